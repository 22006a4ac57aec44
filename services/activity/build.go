package activity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// built is a report that was worked out, and is not kept yet.
type built struct {
	report *rules.Report
	row    store.ReportRow
	// before is the newest version there is; its ID is empty where there is none.
	before     store.ReportRow
	beforeRows *rules.Report
	// same is true where the newest version says the same.
	same bool
}

// gathered is what a report rests on that is fetched from the register, for one cut.
type gathered struct {
	cut     store.CutRow
	picture *picture
	// predecessors are whose debts the commissioner has taken over since the month a year before.
	predecessors []string
}

// gather finds the cut of a month, and fetches the members of its first day.
func (s *Service) gather(ctx context.Context, commissioner string, month period.Month) (*gathered, error) {
	g := new(gathered)
	var practices []string
	var settings []store.SettingRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if g.cut, err = newestCut(ctx, q, commissioner, month); err != nil {
			return err
		}
		if practices, err = store.PracticesOf(ctx, q, g.cut.Position); err != nil {
			return err
		}
		settings, err = store.Settings(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	listDate, _ := rules.ListDate(settingsOf(settings), commissioner, month.FinancialYear())
	if g.picture, err = s.picture(ctx, commissioner, month.First(), listDate); err != nil {
		return nil, err
	}
	if g.predecessors, err = s.predecessors(ctx, commissioner, month.Add(-12)); err != nil {
		return nil, err
	}
	return g, s.others(ctx, g.picture, practices)
}

func newestCut(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (store.CutRow, error) {
	cut, err := store.NewestCut(ctx, q, commissioner, month)
	if errors.Is(err, sql.ErrNoRows) {
		return cut, fault.New(fault.Refused, reasonCutNotFound, "no attendances of %s in %s were taken in: import them first", commissioner, month).
			With("commissioner", commissioner).With("month", month)
	}
	return cut, err
}

// work builds the report of what was gathered. It refuses where another cut or another day of the lists came meanwhile.
func (s *Service) work(ctx context.Context, q sqldb.Querier, g *gathered) (*built, error) {
	commissioner, month := g.cut.CommissionerCode, g.cut.Month
	cut, err := newestCut(ctx, q, commissioner, month)
	if err != nil {
		return nil, err
	}
	k, err := s.known(ctx, q)
	if err != nil {
		return nil, err
	}
	listDate, listSetting := rules.ListDate(k.settings, commissioner, month.FinancialYear())
	if cut.ID != g.cut.ID || listDate != g.picture.listDate {
		return nil, fault.New(fault.Stale, reasonReportOutdated, "attendances or settings of %s in %s changed meanwhile: build it again", commissioner, month)
	}
	terms := rules.TermsFor(k.prices, k.factors, k.settings, commissioner, month.FinancialYear())
	builder := rules.NewBuilder(terms, g.picture.members, rules.Categories(k.settings, commissioner))
	if err := store.Attendances(ctx, q, cut.Position, builder.Add); err != nil {
		return nil, err
	}
	b := new(built)
	if b.report, err = builder.Done(cut.Attendances); err != nil {
		return nil, err
	}
	b.before, err = store.NewestReport(ctx, q, commissioner, month)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if b.before.ID != "" {
		if b.beforeRows, err = keptReport(ctx, q, &b.before); err != nil {
			return nil, err
		}
		b.report.Carry(b.beforeRows, g.picture.members)
	}
	lastYear, err := reportsOf(ctx, q, g, month.Add(-12))
	if err != nil {
		return nil, err
	}
	if err := b.write(ctx, q, g, k, terms, lastYear, listSetting); err != nil {
		return nil, err
	}
	b.same = b.before.Digest == b.row.Digest
	return b, nil
}

// reportsOf returns the newest reports of an earlier month: the commissioner's, else those of its predecessors.
func reportsOf(ctx context.Context, q sqldb.Querier, g *gathered, month period.Month) (ids []string, err error) {
	for _, codes := range [][]string{{g.cut.CommissionerCode}, g.predecessors} {
		for _, code := range codes {
			row, err := store.NewestReport(ctx, q, code, month)
			if err == nil {
				ids = append(ids, row.ID)
			} else if !errors.Is(err, sql.ErrNoRows) {
				return nil, err
			}
		}
		if len(ids) > 0 {
			return ids, nil
		}
	}
	return nil, nil
}

// write puts the report together as it is kept.
func (b *built) write(ctx context.Context, q sqldb.Querier, g *gathered, k *known, terms *rules.Terms, lastYear []string, listSetting *rules.Setting) error {
	r, cut := b.report, g.cut
	body := &activityv1.Report{
		CommissionerCode: cut.CommissionerCode, CommissionerName: g.picture.commissionerName, Month: cut.Month.String(), Cut: cutToProto(&cut),
		SnapshotId: g.picture.snapshotID, MembershipDate: g.picture.day.String(), ListDate: g.picture.listDate.String(), KnownAt: timestamp(g.picture.knownAt),
		PriceList: terms.List, PriceVersion: digestOf(r.Prices...), FigureIds: slices.Concat(r.Prices, r.Factors), SettingIds: slices.Clone(r.Settings),
		LastYearReportIds: lastYear, RowCount: int64(len(r.Rows)), Totals: totalsToProto(r.Totals),
	}
	body.Cut.Newest = nil // it was, and need not stay so
	if len(r.Factors) > 0 {
		body.FactorVersion = digestOf(r.Factors...)
	}
	if terms.StandIn != nil {
		body.SettingIds = append(body.SettingIds, terms.StandIn.ID)
	}
	if listSetting != nil {
		body.SettingIds = append(body.SettingIds, listSetting.ID)
	}
	last, err := lastYearOf(ctx, q, lastYear, "")
	if err != nil {
		return err
	}
	for i := range r.PCNs {
		body.Pcns = append(body.Pcns, pcnToProto(&r.PCNs[i], last))
	}
	lacking := make([]int64, len(r.Missing))
	for i := range r.Rows {
		for _, l := range r.Rows[i].Lacking {
			lacking[l.Missing] += l.Count
		}
	}
	for i := range r.Missing {
		m := missingToProto(&r.Missing[i])
		m.Attendances = &lacking[i]
		body.Missing = append(body.Missing, m)
	}
	body.Notes = notes(r, terms, cut.Month, len(lastYear) > 0)
	body.Sha256 = digestOf(body.GetCommissionerName(), cut.ID, body.GetMembershipDate(), body.GetListDate(), body.GetPriceList(), strings.Join(body.GetSettingIds(), " "),
		strings.Join(lastYear, " "), strings.Join(body.GetNotes(), "\n"), r.Words())
	b.row = store.ReportRow{
		CommissionerCode: cut.CommissionerCode, Month: cut.Month, Version: b.before.Version + 1, CutID: cut.ID, Digest: body.GetSha256(), Body: body, KnownAt: g.picture.knownAt,
	}
	b.row.ID = fmt.Sprintf("activity-%s-%s-%d", cut.CommissionerCode, cut.Month, b.row.Version)
	body.ReportId, body.Version = b.row.ID, int32(b.row.Version) //nolint:gosec // few
	if b.before.ID != "" {
		body.Restatement = restatement(k, &b.before, b.beforeRows, body, r)
	}
	return nil
}

// uncostedNote says that sums of costs are of a part.
const uncostedNote = "Some attendances have no cost, for want of what is named."

// notes are what a reader must know.
func notes(r *rules.Report, terms *rules.Terms, month period.Month, lastYear bool) []string {
	out := []string{rules.NotionalNote}
	if terms.StandIn != nil {
		out = append(out, fmt.Sprintf("Costs are by %s, which stands in for the tariff of %s; no market forces factor is applied to it.", terms.List, terms.Year))
	}
	if r.Totals.Uncosted > 0 {
		out = append(out, uncostedNote)
	}
	switch {
	case !lastYear:
		out = append(out, fmt.Sprintf("There is no report of %s to compare with.", month.Add(-12)))
	case month.Add(-12).FinancialYear() <= firstWholeYear:
		out = append(out, "Records of 2019/20 are of two types, of which one was being phased in: compare with care.")
	}
	if len(r.UnmappedCodes) > 0 {
		out = append(out, "Nobody has entered what these codes of attendance category mean: "+strings.Join(r.UnmappedCodes, ", ")+".")
	}
	return out
}

// firstWholeYear is the last year in which records of emergency care were of two types.
const firstWholeYear period.FinancialYear = 2019

// restatement says what a version changes of the one before.
func restatement(k *known, before *store.ReportRow, was *rules.Report, body *activityv1.Report, is *rules.Report) *activityv1.Restatement {
	out := &activityv1.Restatement{
		BeforeReportId: before.ID, AfterReportId: body.GetReportId(), Causes: causes(k, before.Body, body),
		TotalsBefore: totalsToProto(was.Totals), TotalsAfter: totalsToProto(is.Totals),
	}
	for _, d := range rules.Compare(was, is) {
		out.Differences = append(out.Differences, differenceToProto(&d))
	}
	return out
}

func differenceToProto(d *rules.Difference) *activityv1.PcnDifference {
	out := &activityv1.PcnDifference{PcnCode: d.Code, PcnName: d.Name, RowsDiffering: d.Rows}
	if d.Before != nil {
		out.Before = totalsToProto(*d.Before)
	}
	if d.After != nil {
		out.After = totalsToProto(*d.After)
	}
	return out
}

// causes names the inputs in which two versions differ: of figures and meanings those that both needed.
func causes(k *known, before, after *activityv1.Report) (out []string) {
	for _, input := range []struct{ name, was, is string }{
		{"cut", before.GetCut().GetCutId(), after.GetCut().GetCutId()},
		{"members", before.GetSnapshotId(), after.GetSnapshotId()},
		{"day of the registered lists", before.GetListDate(), after.GetListDate()},
		{"list of prices", before.GetPriceList(), after.GetPriceList()},
		{"reports of the last year", strings.Join(before.GetLastYearReportIds(), " "), strings.Join(after.GetLastYearReportIds(), " ")},
	} {
		if input.was != input.is {
			out = append(out, fmt.Sprintf("%s: %s after %s", input.name, cmp.Or(input.is, "none"), cmp.Or(input.was, "none")))
		}
	}
	was, is := rested(before), rested(after)
	return slices.Concat(out, rules.FigureCauses(was, is, k.prices, k.factors), rules.CategoryCauses(was, is, k.settings))
}

// rested is what a version rests on.
func rested(r *activityv1.Report) *rules.Rested {
	out := &rules.Rested{Figures: r.GetFigureIds(), Settings: r.GetSettingIds()}
	for _, m := range r.GetMissing() {
		out.Missing = append(out.Missing, m.GetMissing())
	}
	return out
}

func digestOf(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// keptReport reads a version back as the rules go by it.
func keptReport(ctx context.Context, q sqldb.Querier, row *store.ReportRow) (*rules.Report, error) {
	return keptRows(ctx, q, row, "")
}

// keptRows reads a version back with the rows of one PCN only; of all where it is empty.
func keptRows(ctx context.Context, q sqldb.Querier, row *store.ReportRow, pcn string) (*rules.Report, error) {
	rows, err := store.Rows(ctx, q, row.ID, pcn)
	if err != nil {
		return nil, err
	}
	out := &rules.Report{Rows: rows, Totals: totalsFromProto(row.Body.GetTotals())}
	for _, p := range row.Body.GetPcns() {
		network := rules.Network{Code: p.GetPcnCode(), Name: p.GetPcnName(), List: p.RegisteredList, LedElsewhere: p.GetLedElsewhere()}
		out.PCNs = append(out.PCNs, rules.PCN{Network: network, Totals: totalsFromProto(p.GetTotals())})
	}
	for _, m := range row.Body.GetMissing() {
		out.Missing = append(out.Missing, rules.Missing{Reason: m.GetReason(), Figure: m.GetMissing(), Remedy: m.GetRemedy()})
	}
	return out, nil
}

// PreviewReport builds what BuildReport would keep now, and writes nothing.
func (s *Service) PreviewReport(ctx context.Context, req *activityv1.PreviewReportRequest) (*activityv1.Report, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	g, err := s.gather(ctx, req.GetCommissionerCode(), month)
	if err != nil {
		return nil, err
	}
	var out *activityv1.Report
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		b, err := s.work(ctx, q, g)
		if err != nil {
			return err
		}
		out = proto.CloneOf(b.row.Body)
		if b.same {
			out.ReportId, out.Version, out.Unchanged, out.Restatement = b.before.ID, int32(b.before.Version), true, b.before.Body.GetRestatement() //nolint:gosec // few
		}
		out.View, out.Level = activityv1.ReportView_FULL_VIEW, levelOr(req.GetLevel())
		if !req.GetIncludeRows() {
			return nil
		}
		v, err := fullView(ctx, q, b.report, out.GetLastYearReportIds(), out.GetLevel())
		if err == nil {
			out.Rows = v.rows()
		}
		return err
	})
	return out, err
}

// BuildReport builds the report of a month and keeps it as the next version, unless it says what the newest says.
func (s *Service) BuildReport(ctx context.Context, req *activityv1.BuildReportRequest) (*activityv1.Report, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*activityv1.Report](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	g, err := s.gather(ctx, req.GetCommissionerCode(), month)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.Report, error) {
		if err := errors.Join(tx.Allow(ctx, importLimit), tx.Lock(ctx, commissionerLock(req.GetCommissionerCode()))); err != nil {
			return nil, err
		}
		b, err := s.work(ctx, tx, g)
		if err != nil {
			return nil, err
		}
		if b.same {
			out := reportToProto(&b.before)
			out.Unchanged = true
			return out, nil
		}
		return s.keep(ctx, tx, b)
	})
}

// keep stores a version, announces and notes it.
func (s *Service) keep(ctx context.Context, tx *change.Tx, b *built) (*activityv1.Report, error) {
	row := &b.row
	row.GeneratedAt, row.GeneratedBy = sqldb.Micros(tx.Now()), tx.By.Subject
	row.Body.GeneratedAt, row.Body.GeneratedBy = timestamp(row.GeneratedAt), row.GeneratedBy
	settings, err := store.Settings(ctx, tx)
	if err != nil {
		return nil, err
	}
	limit, _ := rules.Limit(settingsOf(settings), row.CommissionerCode)
	event := &activityv1.ReportBuilt{
		ReportId: row.ID, CommissionerCode: row.CommissionerCode, Month: row.Month.String(), Version: int32(row.Version), CutId: row.CutID, //nolint:gosec // few
		Cut: row.Body.GetCut().GetKind(),
	}
	words := fmt.Sprintf("built version %d of %s from %s: %d attendances", row.Version, row.Month, row.CutID, b.report.Totals.Attendances)
	if restated := row.Body.GetRestatement(); restated != nil {
		if event.Restatement, err = sharedRestatement(restated, b.beforeRows, b.report, limit); err != nil {
			return nil, err
		}
		words += fmt.Sprintf(", %d of PCNs and the like differ", len(restated.GetDifferences()))
	}
	if row.EventID, err = tx.Announce(ctx, reportAggregate(row), row.CommissionerCode, event); err != nil {
		return nil, err
	}
	if err := store.InsertReport(ctx, tx.Tx, row, b.report.Rows); err != nil {
		return nil, err
	}
	return reportToProto(row), tx.Record(ctx, "activity/reports/"+row.ID, row.CommissionerCode, words)
}

func reportAggregate(r *store.ReportRow) string {
	return "report/" + r.CommissionerCode + "/" + r.Month.String()
}

// reportToProto writes a version as it is kept, in full and without rows.
func reportToProto(r *store.ReportRow) *activityv1.Report {
	out := proto.CloneOf(r.Body)
	out.View = activityv1.ReportView_FULL_VIEW
	return out
}
