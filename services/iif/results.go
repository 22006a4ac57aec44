package iif

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// calculations bounds how often a calculation starts again.
const calculations = 5

// errInputsMoved says that another calculation saw a later picture of the register than this one; it starts again.
var errInputsMoved = errors.New("another calculation of the year came between")

// fundYear reads a financial year in which there is the fund.
func fundYear(field, text string) (period.FinancialYear, error) {
	year, err := parseYear(field, text)
	if err == nil && year < firstYear {
		err = fault.New(fault.Refused, reasonYearOutOfRange, "the fund has no year %s: it starts with %s", yearWords(year), yearWords(firstYear)).
			With("financial_year", yearWords(year)).With("first_year", yearWords(firstYear)).At(field, "a year from "+yearWords(firstYear))
	}
	return year, err
}

// CalculateYear works the year of every PCN out that a commissioner owes: see the contract. The register's picture is fetched before the
// transaction; if another calculation came between, it starts again.
func (s *Service) CalculateYear(ctx context.Context, req *iifv1.CalculateYearRequest) (*iifv1.CalculateYearResponse, error) {
	year, err := fundYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if today, last := period.DateOf(s.db.Now()), judgedOn(year); !today.After(last) {
		return nil, fault.New(fault.Refused, rules.ReasonYearNotOver, "%s is worked out after its last day, %s; until then ask where PCNs stand", yearWords(year), last).
			With("last_day", last).With("today", today)
	}
	if stored, found, err := change.Stored[*iifv1.CalculateYearResponse](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	for range calculations {
		c := &calculation{commissioner: req.GetCommissionerCode(), year: year, asked: sqldb.Micros(s.db.Now())}
		if c.bases, err = s.bases(ctx, c.commissioner, year, judgedOn(year)); err != nil {
			return nil, err
		}
		if len(c.bases) == 0 {
			return nil, fault.New(fault.Refused, reasonCommissionerNotInForce, "%s owes nothing on %s: calculate the year for the body that does", c.commissioner, judgedOn(year)).
				With("commissioner", c.commissioner).With("on", judgedOn(year))
		}
		out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.CalculateYearResponse, error) {
			return s.calculateAll(ctx, tx, c)
		})
		if !errors.Is(err, errInputsMoved) {
			return out, err
		}
	}
	return nil, staleOr(nil)
}

// calculation is one run over a commissioner's PCNs.
type calculation struct {
	commissioner string
	year         period.FinancialYear
	asked        int64 // microseconds: before the picture was fetched
	bases        []basis
	held         map[string]store.AchievementRow // by PCN
	leads        map[string]store.Lead           // by PCN, as they were before
	results      map[string]store.ResultRow      // by identifier
}

// calculateAll holds off whoever changes figures or counts: their change would not find the years that are being opened.
func (s *Service) calculateAll(ctx context.Context, tx *change.Tx, c *calculation) (*iifv1.CalculateYearResponse, error) {
	if err := tx.LockAll(ctx, []string{figuresLock, countsLock}); err != nil {
		return nil, err
	}
	if err := s.load(ctx, tx, c); err != nil {
		return nil, err
	}
	out := &iifv1.CalculateYearResponse{SnapshotId: c.bases[0].snapshot}
	var due money.Pence
	add := func(amount money.Pence) (err error) {
		due, err = due.Add(amount)
		return err
	}
	var open []basis
	var taken []takenStep
	for _, b := range c.bases {
		row, found := c.held[b.pcn]
		if c.takenOver(&b) {
			continue
		}
		out.Pcns++
		if !found || row.Course.State != rules.Approved {
			open = append(open, b)
			continue
		}
		out.Approved++
		if row.CommissionerCode != c.commissioner {
			row.CommissionerCode = c.commissioner
			taken = append(taken, takenStep{row: row})
		}
		if err := add(c.results[row.ResultID].Due); err != nil {
			return nil, err
		}
	}
	all, err := s.workOut(ctx, tx, open, sumsOnly)
	if err != nil {
		return nil, err
	}
	if err := governed(all); err != nil {
		return nil, err
	}
	var results []store.ResultRow
	for i := range all {
		step, result, err := s.reach(tx, c, &all[i], out)
		if err != nil {
			return nil, err
		}
		if result != nil {
			results = append(results, *result)
		}
		if step != nil {
			taken = append(taken, *step)
		}
		if err := add(all[i].result.Due); err != nil {
			return nil, err
		}
		if len(all[i].result.Missing) > 0 {
			out.PcnsMissingCounts = append(out.PcnsMissingCounts, all[i].pcn)
		}
	}
	out.DuePence, out.Refusals = int64(due), refusalsOf(all)
	if out.PcnsNotOwed, err = c.notOwed(ctx, tx); err != nil {
		return nil, err
	}
	if err := c.handOver(ctx, tx); err != nil {
		return nil, err
	}
	if err := write(ctx, tx, results, taken); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, yearResource(c.year, c.commissioner), c.commissioner, fmt.Sprintf("calculated %s: %d PCNs, %d opened, %d reworked, %d unchanged, %d approved",
		yearWords(c.year), out.GetPcns(), out.GetOpened(), out.GetReworked(), out.GetUnchanged(), out.GetApproved()))
}

// load reads where the years stand, under the locks of the commissioner and of those whose years and nominations it takes over.
func (s *Service) load(ctx context.Context, tx *change.Tx, c *calculation) error {
	pcns := make([]string, len(c.bases))
	for i := range c.bases {
		pcns[i] = c.bases[i].pcn
	}
	rows, err := store.AchievementsOf(ctx, tx, c.year, pcns)
	if err != nil {
		return err
	}
	locks := []string{c.commissioner}
	for i := range rows {
		locks = append(locks, rows[i].CommissionerCode)
	}
	if c.leads, err = store.Leads(ctx, tx, pcns); err != nil {
		return err
	}
	for _, lead := range c.leads {
		locks = append(locks, lead.CommissionerCode)
	}
	if err := lockCommissioners(ctx, tx, locks); err != nil {
		return err
	}
	if rows, err = store.AchievementsOf(ctx, tx, c.year, pcns); err != nil {
		return err
	}
	c.held = make(map[string]store.AchievementRow, len(rows))
	for _, row := range rows {
		c.held[row.PCNCode] = row
	}
	if c.results, err = resultsOf(ctx, tx, rows); err != nil {
		return err
	}
	for _, result := range c.results {
		if result.WorkedAt > c.asked && result.Basis.GetSnapshotId() != c.bases[0].snapshot {
			return errInputsMoved
		}
	}
	return nil
}

// takenOver tells whether another body has taken over since what the commissioner owed for a PCN. Where the register names another payer
// of the day than it did, the year was held by the wrong body, and the commissioner takes it.
func (c *calculation) takenOver(b *basis) bool {
	row, found := c.held[b.pcn]
	return found && row.CommissionerCode != c.commissioner && c.commissioner == b.payer && row.PayerCode == b.payer
}

// takes tells whether the commissioner takes a PCN's year over from another body.
func (c *calculation) takes(b *basis) bool {
	row, found := c.held[b.pcn]
	return b.payer != c.commissioner || (found && row.CommissionerCode != c.commissioner && !c.takenOver(b))
}

// notOwed names the PCNs whose year the commissioner holds and does not owe by the picture.
func (c *calculation) notOwed(ctx context.Context, q sqldb.Querier) ([]string, error) {
	rows, err := store.OpenAchievements(ctx, q, c.year, c.commissioner, nil)
	var out []string
	for i := range rows {
		owed := slices.ContainsFunc(c.bases, func(b basis) bool { return b.pcn == rows[i].PCNCode })
		if rows[i].CommissionerCode == c.commissioner && !owed {
			out = append(out, rows[i].PCNCode)
		}
	}
	return out, err
}

// handOver gives the commissioner what waits of PCNs: nominations where it opens or has taken over the newest year, and corrections of a
// year that it has taken over.
func (c *calculation) handOver(ctx context.Context, tx *change.Tx) error {
	var over, led []string
	for i := range c.bases {
		b := &c.bases[i]
		lead, takes := c.leads[b.pcn], c.takes(b)
		if lead.Year < c.year || (lead.Year == c.year && takes) {
			led = append(led, b.pcn)
		}
		if takes {
			over = append(over, b.pcn)
		}
	}
	if err := store.LeadNominations(ctx, tx.Tx, led, c.commissioner); err != nil {
		return err
	}
	return store.LeadCorrections(ctx, tx.Tx, c.year, over, c.commissioner)
}

func lockCommissioners(ctx context.Context, tx *change.Tx, codes []string) error {
	keys := make([]string, len(codes))
	for i, code := range codes {
		keys[i] = commissionerLock(code)
	}
	return tx.LockAll(ctx, inOrder(keys))
}

// resultsOf loads the results of years, by identifier.
func resultsOf(ctx context.Context, q sqldb.Querier, rows []store.AchievementRow) (map[string]store.ResultRow, error) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ResultID
	}
	found, err := store.Results(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]store.ResultRow, len(found))
	for _, row := range found {
		out[row.ID] = row
	}
	return out, nil
}

// reach decides what a year that was worked out is to the one that is held, and counts it. A step is nil where nothing changes.
func (s *Service) reach(tx *change.Tx, c *calculation, w *worked, out *iifv1.CalculateYearResponse) (*takenStep, *store.ResultRow, error) {
	row, found := c.held[w.pcn]
	led := row.CommissionerCode == c.commissioner
	was := c.results[row.ResultID]
	if !found {
		row = store.AchievementRow{PCNCode: w.pcn, Year: w.year, Course: rules.Course{Year: w.year, State: rules.Open}}
	}
	row.CommissionerCode, row.PayerCode, row.PCNName, row.LocationCode = c.commissioner, w.payer, w.pcnName, w.location
	event := rules.Event{Step: rules.Aggregated, By: rules.Actor{Role: rules.RoleSystem}}
	words := ""
	switch {
	case !found:
		out.Opened++
	case row.Course.State == rules.Open:
		out.Reworked++
	case was.Digest == w.digest:
		out.Unchanged++
		if led {
			return nil, nil, nil
		}
		return &takenStep{row: row}, nil, nil
	default:
		out.Reworked++
		event.Step = rules.DataChanged
		event.Cause, words = w.changes(was.Basis, led)
	}
	step, result, err := s.newResult(tx, row, event, words, w)
	return step, result, err
}

// changes says what is different between a result and a year worked out by another picture of the register.
func (w *worked) changes(was *iifv1.YearResult, led bool) (rules.Cause, string) {
	var joined, left, words []string
	for _, practice := range w.members {
		if !slices.Contains(was.GetPracticeCodes(), practice) {
			joined = append(joined, practice)
		}
	}
	for _, practice := range was.GetPracticeCodes() {
		if !slices.Contains(w.members, practice) {
			left = append(left, practice)
		}
	}
	if len(joined) > 0 {
		words = append(words, strings.Join(joined, ", ")+" joined")
	}
	if len(left) > 0 {
		words = append(words, strings.Join(left, ", ")+" left")
	}
	if payer := was.GetPayerCode(); w.payer != payer {
		words = append(words, fmt.Sprintf("by the register %s owed the PCN's payments on the last day, and not %s", w.payer, payer))
	}
	if list := decimal(w.list.Value); list != was.GetListSize() {
		words = append(words, fmt.Sprintf("the registered list is %s, before %s", cmp.Or(list, "not known"), cmp.Or(was.GetListSize(), "not known")))
	}
	switch {
	case len(joined) > 0:
		return rules.PracticeJoined, strings.Join(words, "; ")
	case len(left) > 0:
		return rules.PracticeLeft, strings.Join(words, "; ")
	case len(words) == 0 && !led:
		return rules.FigureChanged, w.commissioner + " took the year over, and its own figures hold"
	case len(words) == 0 && w.figures > was.GetFiguresPosition() && w.basis.counts == was.GetCountsPosition():
		return rules.FigureChanged, "figures were added"
	}
	return rules.DataAmended, cmp.Or(strings.Join(words, "; "), "the year was calculated again")
}

// refusalsOf gathers what could not be worked out, with the PCNs that wait.
func refusalsOf(all []worked) []*typev1.Refusal {
	type missed struct{ reason, code, missing string }
	found := make(map[missed]*typev1.Refusal)
	for i := range all {
		for _, refused := range all[i].result.Refused {
			out := missingToProto(refused.Why)
			out.PaymentCode = refused.Code
			key := missed{out.GetReason(), refused.Code, out.GetMissing()}
			if found[key] == nil {
				found[key] = out
			}
			found[key].PcnCodes = append(found[key].PcnCodes, all[i].pcn)
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *typev1.Refusal) int {
		return cmp.Or(cmp.Compare(a.GetReason(), b.GetReason()), cmp.Compare(a.GetPaymentCode(), b.GetPaymentCode()), cmp.Compare(a.GetMissing(), b.GetMissing()))
	})
}

func yearResource(year period.FinancialYear, commissioner string) string {
	return "iif/years/" + yearWords(year) + "/" + commissioner
}

// newResult makes a result of a year that was worked out, and takes the step that brings it.
func (s *Service) newResult(tx *change.Tx, row store.AchievementRow, event rules.Event, words string, w *worked) (*takenStep, *store.ResultRow, error) {
	result := w.row(tx, event.Cause, words)
	event.ResultID, event.Missing, event.Waiting, event.Makers = result.ID, w.result.Missing, w.waiting(), w.makers
	step, err := s.advance(tx, row, event, words, &result)
	if err != nil {
		return nil, nil, err
	}
	return &step, &result, nil
}

// row is what is kept of a year that was worked out.
func (w *worked) row(tx *change.Tx, cause rules.Cause, words string) store.ResultRow {
	kept := *w
	kept.result = light(w.result)
	out := store.ResultRow{
		ID: tx.NewID(), PCNCode: w.pcn, CommissionerCode: w.commissioner, Year: w.year, Basis: resultToProto(&kept, false), Digest: w.digest,
		Due: w.result.Due, Whole: w.result.Whole(), WorkedBy: tx.By.Subject, WorkedAt: sqldb.Micros(tx.Now()),
	}
	out.Basis.Cause, out.Basis.Reason = iifv1.ChangeCause(iifv1.ChangeCause_value[string(cause)]), words
	return out
}

// waiting names the figures without which amounts are not known. Counts that are missing keep a year from being declared, and are not
// among them.
func (w *worked) waiting() []string {
	var out []string
	for _, refused := range w.result.Refused {
		counts := refused.Why.Reason == rules.ReasonCountMissing || refused.Why.Reason == rules.ReasonCountSuppressed
		if counts && slices.Contains(w.result.Missing, refused.Code) {
			continue
		}
		out = append(out, missingToProto(refused.Why).GetMissing())
	}
	return inOrder(out)
}

// basisOf reads what a kept result rests on.
func basisOf(row store.ResultRow) (basis, error) {
	of := row.Basis
	r := textReader{}
	out := basis{
		pcn: row.PCNCode, pcnName: of.GetPcnName(), commissioner: row.CommissionerCode, payer: of.GetPayerCode(), year: row.Year, on: r.date(of.GetAchievedOn()),
		members: of.GetPracticeCodes(), list: registered(r.exact(of.GetListSize()), of.GetSnapshotId()),
		listOf:   rules.List{Kind: listKinds[of.GetListKind()], On: r.date(of.GetListDate())},
		snapshot: of.GetSnapshotId(), figures: of.GetFiguresPosition(), counts: of.GetCountsPosition(),
	}
	if out.counts == 0 {
		out.counts = nothingYet
	}
	if r.err != nil {
		return out, fault.Bug("result %s: %v", row.ID, r.err)
	}
	return out, nil
}

// again works a kept result out again from what it rests on. That it comes to the same pence and points is asserted.
func (s *Service) again(ctx context.Context, q sqldb.Querier, row store.ResultRow) (*worked, error) {
	b, err := basisOf(row)
	if err != nil {
		return nil, err
	}
	all, err := s.workOut(ctx, q, []basis{b}, withIndicators)
	if err != nil {
		return nil, err
	}
	w := &all[0]
	if w.digest == row.Digest && w.result.Due == row.Due {
		return w, nil
	}
	if !w.agrees(row) {
		return nil, fault.Bug("result %s comes to %s where it came to %s", row.ID, w.result.Due, row.Due)
	}
	// A result that says the same in another form is no reason to keep anybody from reading it.
	s.logger.WarnContext(ctx, "a result has another digest than it was kept with", "result_id", row.ID)
	return w, nil
}

// agrees tells whether a year came to the pence, the points and the refusals that were kept.
func (w *worked) agrees(row store.ResultRow) bool {
	kept, now := row.Basis, yearToProto(w.terms, light(w.result), false)
	said := func(of []*typev1.Refusal) (out []string) {
		for _, refused := range of {
			out = append(out, refused.GetPaymentCode()+" "+refused.GetReason())
		}
		return out
	}
	return w.result.Due == row.Due && kept.GetMeasuredPence() == now.GetMeasuredPence() && kept.GetPoints() == now.GetPoints() &&
		kept.GetPointsAvailable() == now.GetPointsAvailable() && kept.GetWhole() == now.GetWhole() && slices.Equal(kept.GetMissing(), now.GetMissing()) &&
		slices.Equal(said(kept.GetRefusals()), said(now.GetRefusals()))
}

// keptToProto writes a kept result without its indicators.
func keptToProto(row store.ResultRow) *iifv1.YearResult {
	out := row.Basis
	out.ResultId, out.WorkedAt = row.ID, timestamp(row.WorkedAt)
	return out
}

// wholeToProto writes a kept result with its indicators and workings, which are worked out again.
func (s *Service) wholeToProto(ctx context.Context, q sqldb.Querier, row store.ResultRow) (*iifv1.YearResult, error) {
	w, err := s.again(ctx, q, row)
	if err != nil {
		return nil, err
	}
	out := resultToProto(w, true)
	out.ResultId, out.WorkedAt, out.Cause, out.Reason = row.ID, timestamp(row.WorkedAt), row.Basis.GetCause(), row.Basis.GetReason()
	return out, nil
}

// GetResult returns one result with its workings.
func (s *Service) GetResult(ctx context.Context, req *iifv1.GetResultRequest) (out *iifv1.YearResult, err error) {
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		notFound := fault.New(fault.NotFound, reasonResultNotFound, "there is no result %q that you may see", money.Clip(req.GetResultId()))
		row, err := store.Result(ctx, q, req.GetResultId())
		if errors.Is(err, sql.ErrNoRows) {
			return notFound
		}
		if err != nil {
			return err
		}
		year, err := store.Achievement(ctx, q, row.PCNCode, row.Year)
		if err != nil {
			return err
		}
		if !maySee(ctx, row.CommissionerCode, row.PCNCode) && !maySee(ctx, year.CommissionerCode, row.PCNCode) {
			return notFound
		}
		out, err = s.wholeToProto(ctx, q, row)
		return err
	})
}
