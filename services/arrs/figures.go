package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// ListRoles returns the roles that can be reimbursed, by code.
func (s *Service) ListRoles(ctx context.Context, req *arrsv1.ListRolesRequest) (*arrsv1.ListRolesResponse, error) {
	on, err := optionalDate("on_date", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	var scheme *rules.Scheme
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		scheme, err = s.scheme(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListRolesResponse)
	for i := range scheme.Roles {
		role := &scheme.Roles[i]
		if on.IsZero() || (!on.Before(role.From) && (role.To.IsZero() || !on.After(role.To))) {
			out.Roles = append(out.Roles, roleToProto(role))
		}
	}
	slices.SortFunc(out.Roles, func(a, b *arrsv1.Role) int { return cmp.Compare(a.GetRoleCode(), b.GetRoleCode()) })
	return out, nil
}

// subject names what versions of a figure are versions of.
type subject struct {
	commissioner     string
	kind             store.FigureKind
	role, band       string
	post             rules.Post
	region           rules.Region
	pot              rules.Pot
	listFrom, listTo int64
	from, to         period.Month
}

func subjectOf(r *store.FigureRow) subject {
	return subject{r.CommissionerCode, r.Kind, r.Role, r.Band, r.Post, r.Region, r.Pot, r.ListFrom, r.ListTo, r.From, r.To}
}

// superseded tells which versions another stands in the place of: a later one, but for a candidate, which waits for its confirmation
// beside a payable one. Rows come in the order in which they became known.
func superseded(rows []store.FigureRow) map[string]bool {
	out := make(map[string]bool)
	stands := make(map[subject][]*store.FigureRow)
	for i := range rows {
		row, of := &rows[i], subjectOf(&rows[i])
		var beside []*store.FigureRow
		for _, earlier := range stands[of] {
			if row.Confidence == working.Candidate && earlier.Confidence.Payable() {
				beside = append(beside, earlier)
			} else {
				out[earlier.ID] = true
			}
		}
		stands[of] = append(beside, row)
	}
	return out
}

// ListFigures returns versions of figures, by kind, subject and period. A commissioner's own versions are shown to those who hold it.
func (s *Service) ListFigures(ctx context.Context, req *arrsv1.ListFiguresRequest) (*arrsv1.ListFiguresResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	on, err := optionalDate("on_date", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	var rows []store.FigureRow
	var scheme *rules.Scheme
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if scheme, err = s.scheme(ctx, q); err != nil {
			return err
		}
		rows, err = store.Figures(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	replaced := superseded(rows)
	wanted := slices.DeleteFunc(rows, func(r store.FigureRow) bool {
		return figureKey(r) <= after || (r.CommissionerCode != rules.England && !maySee(ctx, r.CommissionerCode, "")) ||
			(req.GetKind() != 0 && arrsv1.FigureKind(r.Kind) != req.GetKind()) || (req.GetRoleCode() != "" && r.Role != req.GetRoleCode()) || //nolint:gosec // enum
			(!on.IsZero() && !r.Covers(on.Month())) || (req.GetNotPayableOnly() && r.Confidence.Payable()) ||
			(replaced[r.ID] && !req.GetIncludeSuperseded())
	})
	slices.SortFunc(wanted, func(a, b store.FigureRow) int { return cmp.Compare(figureKey(a), figureKey(b)) })
	out := new(arrsv1.ListFiguresResponse)
	wanted, out.NextPageToken = page.Cut(wanted, page.Size(req.GetPageSize(), defaultPage), figureKey)
	for i := range wanted {
		out.Figures = append(out.Figures, figureToProto(&wanted[i], replaced[wanted[i].ID], scheme.CostModel))
	}
	return out, nil
}

func figureKey(r store.FigureRow) string {
	return fmt.Sprintf("%d %s %s %s %s %s %012d %s %012d", r.Kind, r.Role, r.Pot, r.Band, r.Post, r.Region, r.ListFrom, r.From, r.Position)
}

func optionalDate(field, text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	return parseDate(field, text)
}

// AddFigure adds a version of a figure. One whose price departs from the cost model is added all the same, and says so.
func (s *Service) AddFigure(ctx context.Context, req *arrsv1.AddFigureRequest) (*arrsv1.Figure, error) {
	row, err := readFigure(req)
	if err != nil {
		return nil, err
	}
	if row.KnownFrom.After(period.DateOf(s.db.Now())) {
		return nil, fault.New(fault.Invalid, reasonKnownAtInFuture, "a figure cannot be known from %s: that lies in the future", row.KnownFrom).At("known_from", "not after today")
	}
	if row.Confidence.Payable() && !caller(ctx).HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER) {
		return nil, fault.New(fault.Denied, reasonApproverRequired, "an approver enters a payable figure: propose it as a candidate").At("confidence", "candidate")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Figure, error) {
		row := *row
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		scheme, err := s.scheme(ctx, tx)
		if err != nil {
			return nil, err
		}
		if err := place(ctx, tx, scheme, &row); err != nil {
			return nil, err
		}
		if row.KnownFromBasis = rules.KnownByPublication; row.KnownFrom.IsZero() {
			row.KnownFrom, row.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		}
		if err := addVersion(ctx, tx, &row, ""); err != nil {
			return nil, err
		}
		out := figureToProto(&row, false, scheme.CostModel)
		if _, err := tx.Announce(ctx, figureAggregate(&row), req.GetCommissionerCode(), &arrsv1.FigureAdded{Figure: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "arrs/figures/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("added %s %s: %s", figureName(&row), row.Version, decimal(row.Value)))
	})
}

// figuresLock is held by whoever adds versions: they are numbered, and each is held against those before it.
const figuresLock = "figures"

// figureName is what a figure is of, as identifiers begin.
func figureName(r *store.FigureRow) string {
	switch r.Kind {
	case store.SumRate:
		return "SUM-" + string(r.Pot)
	case store.NumberLimit:
		return "LIMIT-" + r.Role
	case store.RoleMaximum:
	}
	return r.Role
}

func figureAggregate(r *store.FigureRow) string {
	return "figure/" + r.CommissionerCode + "/" + figureName(r)
}

// addVersion stores a version as known from now, under an identifier of its own.
func addVersion(ctx context.Context, tx *change.Tx, row *store.FigureRow, replaces string) error {
	row.ID = fmt.Sprintf("%s-%s-%s", figureName(row), row.From, tx.NewID())
	row.RecordedAt = sqldb.Micros(tx.Now())
	row.KnownAt = max(row.RecordedAt, sqldb.Micros(row.KnownFrom.Time()))
	row.RecordedBy, row.Replaces = tx.By.Subject, replaces
	return store.InsertFigures(ctx, tx.Tx, []store.FigureRow{*row})
}

// readFigure reads what a request says by itself.
func readFigure(req *arrsv1.AddFigureRequest) (*store.FigureRow, error) {
	r := reader{}
	from, to, knownFrom := r.date(req.GetEffectiveFrom()), r.date(req.GetEffectiveTo()), r.date(req.GetKnownFrom())
	if r.err != nil {
		return nil, fault.New(fault.Invalid, reasonFigurePeriodInvalid, "%v", r.err)
	}
	if from != from.Month().First() || (!to.IsZero() && (to != to.Month().Last() || to.Before(from))) {
		return nil, fault.New(fault.Invalid, reasonFigurePeriodInvalid, "a figure holds for whole months: %s to %s does not", from, to).
			At("effective_from", "the first day of a month").At("effective_to", "the last day of a month, not before effective_from")
	}
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || confidence == working.Unknown {
		return nil, fault.New(fault.Invalid, reasonFigureValueRequired, "say how well the figure is founded").At("confidence", "official, secondary, inferred or candidate")
	}
	row := &store.FigureRow{
		Figure: rules.Figure{
			Source: req.GetSource(), Version: req.GetVersion(), Confidence: confidence, KnownFrom: knownFrom, Note: req.GetNote(),
			CommissionerCode: orEngland(req.GetCommissionerCode()),
		},
		Months: rules.Months{From: from.Month()}, Kind: store.FigureKind(req.GetKind()), Role: req.GetRoleCode(), Band: req.GetBand(),
		Post: rules.Post(req.GetPost()), Region: rules.Region(req.GetRegion()), Pot: pots[req.GetPot()], ListFrom: req.GetListFrom(), ListTo: req.GetListTo(),
	}
	if !to.IsZero() {
		row.To = to.Month()
	}
	var err error
	if row.Value, err = readValue("value", row.Kind, req.GetValue()); err != nil {
		return nil, err
	}
	if req.GetPercent() != "" {
		if row.Percent, err = readBetween("percent", req.GetPercent(), big.NewRat(100, 1), false); err != nil {
			return nil, err
		}
	}
	return row, checkForm(row)
}

// most bounds the figures of each kind: none of the scheme comes near its bound, and a slip of the decimal point does.
var most = map[store.FigureKind]*big.Rat{
	store.RoleMaximum: big.NewRat(500_000, 1), store.SumRate: big.NewRat(250, 1), store.NumberLimit: big.NewRat(1_000, 1),
}

func readValue(field string, kind store.FigureKind, text string) (*big.Rat, error) {
	return readBetween(field, text, most[kind], kind == store.NumberLimit)
}

// readBetween reads a decimal of at most a bound, and more than 0 unless 0 is allowed.
func readBetween(field, text string, bound *big.Rat, orZero bool) (*big.Rat, error) {
	value, err := money.ParseDecimal(text)
	if err == nil && (value.Sign() < 0 || (value.Sign() == 0 && !orZero) || value.Cmp(bound) > 0) {
		err = fmt.Errorf("%s is not more than 0 and at most %s", money.Format(value), money.Format(bound))
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, rules.ReasonDecimalMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return value, nil
}

// checkForm refuses fields that the kind does not have or lacks, and gives those left out the value that rows have without them.
func checkForm(r *store.FigureRow) error {
	invalid := func(field, rule string) error {
		return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s: %s", field, rule).At(field, rule)
	}
	maximum, sum, limit := r.Kind == store.RoleMaximum, r.Kind == store.SumRate, r.Kind == store.NumberLimit
	for _, field := range []struct {
		name              string
		stated, has, must bool
	}{
		{"role_code", r.Role != "", !sum, true},
		{"pot", r.Pot != "", sum, true},
		{"band", r.Band != "", maximum, false},
		{"post", r.Post != "", maximum, false},
		{"region", r.Region != 0, maximum, false},
		{"percent", r.Percent != nil, maximum, false},
		{"list_from", r.ListFrom != 0, limit, false},
		{"list_to", r.ListTo != 0, limit, false},
	} {
		switch {
		case field.stated && !field.has:
			return invalid(field.name, "a figure of this kind has none")
		case !field.stated && field.has && field.must:
			return invalid(field.name, "a figure of this kind needs it")
		}
	}
	if !limit && (r.To.IsZero() || r.From.FinancialYear() != r.To.FinancialYear()) {
		return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "the period ends within its financial year").At("effective_to", "within the financial year of effective_from")
	}
	switch {
	case maximum && r.Region == 0:
		r.Region = rules.AllEngland
	case limit:
		r.ValueMost = r.Value
		if r.ListTo == 0 {
			r.ListTo = -1
		} else if r.ListTo < r.ListFrom {
			return invalid("list_to", "not below list_from")
		}
	case sum:
		return checkPot(r)
	}
	return nil
}

// checkPot refuses a pot that has no rate, or has none then: two pots for the same roles would double a sum.
func checkPot(r *store.FigureRow) error {
	months := map[rules.Pot]rules.Months{
		rules.MainPot:   {From: period.FinancialYear(2019).First(), To: period.FinancialYear(2024).Last()},
		rules.GPPot:     {From: period.FinancialYear(2024).First().Add(6), To: period.FinancialYear(2024).Last()},
		rules.SinglePot: {From: period.FinancialYear(2025).First()},
	}
	span, rated := months[r.Pot]
	if !rated {
		return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "the offers of 2019/20 have no rate").At("pot", "MAIN, GP or SINGLE")
	}
	if !span.Covers(r.From) || !span.Covers(r.To) {
		return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "the pot pays from %s to %s", span.From, span.To).At("effective_from", "a month that the pot pays")
	}
	return nil
}

// place holds a figure against those that are known: its role and band are, and no period or list stands across another. What a
// request left out is as in the version that it stands beside.
func place(ctx context.Context, q sqldb.Querier, scheme *rules.Scheme, r *store.FigureRow) error {
	if _, known := scheme.Role(r.Role); r.Role != "" && !known {
		return fault.New(fault.Invalid, rules.ReasonRoleUnknown, "no role %q is known", money.Clip(r.Role)).At("role_code", "a role that ListRoles shows")
	}
	rows, err := store.Figures(ctx, q)
	if err != nil {
		return err
	}
	if r.Kind == store.RoleMaximum {
		if err := placePost(rows, r); err != nil {
			return err
		}
	}
	var beside *store.FigureRow
	for i := range rows {
		row := &rows[i]
		if row.Kind != r.Kind || (row.CommissionerCode != rules.England && row.CommissionerCode != r.CommissionerCode) || !meet(row, r) {
			continue
		}
		same := subjectOf(row)
		same.commissioner = r.CommissionerCode
		if within := row.Months == r.Months && r.Kind == store.NumberLimit && inside(r, row); same != subjectOf(r) && !within {
			return fault.New(fault.Refused, reasonFigurePeriodInvalid, "%s holds for %s to %s, beside which none for %s to %s can stand", row.ID, row.From, row.To, r.From, r.To).
				With("figure_id", row.ID).At("effective_from", "the period, region, post and lists of figure "+row.ID+", or clear of them")
		}
		beside = row
	}
	if r.Kind == store.RoleMaximum && r.Percent == nil {
		if r.Percent = big.NewRat(100, 1); beside != nil {
			r.Percent = beside.Percent
		}
	}
	r.NeedsAgreement = beside != nil && beside.NeedsAgreement
	return nil
}

// meet tells whether two figures could answer the same question.
func meet(a, b *store.FigureRow) bool {
	if a.Role != b.Role || a.Pot != b.Pot || a.Band != b.Band || startsAfter(a, b) || startsAfter(b, a) {
		return false
	}
	regions := a.Region == b.Region || a.Region == rules.AllEngland || b.Region == rules.AllEngland
	posts := a.Post == b.Post || a.Post == rules.AnyPost || b.Post == rules.AnyPost
	lists := (a.ListTo < 0 || b.ListFrom <= a.ListTo) && (b.ListTo < 0 || a.ListFrom <= b.ListTo)
	return regions && posts && (lists || a.Kind != store.NumberLimit)
}

func startsAfter(a, b *store.FigureRow) bool { return !b.To.IsZero() && a.From.After(b.To) }

// inside tells whether the lists of a limit lie within those of another: a finer limit stands before the one it divides.
func inside(r, of *store.FigureRow) bool {
	return r.ListFrom >= of.ListFrom && (of.ListTo < 0 || (r.ListTo >= 0 && r.ListTo <= of.ListTo))
}

// placePost holds the band and the post of a maximum against those that its role has.
func placePost(rows []store.FigureRow, r *store.FigureRow) error {
	bands, all, posts := make(map[string]bool), make(map[string]bool), false
	for i := range rows {
		if row := &rows[i]; row.Kind == store.RoleMaximum {
			if all[row.Band] = true; row.Role == r.Role {
				bands[row.Band], posts = true, posts || row.Post != rules.OnlyPost
			}
		}
	}
	if r.Band == "" && len(bands) == 1 {
		for band := range bands {
			r.Band = band
		}
	}
	if !bands[r.Band] && (!bands[rules.AnyBand] || !all[r.Band]) {
		return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s has no band %q", r.Role, money.Clip(r.Band)).At("band", "a band that ListFigures shows for the role")
	}
	switch {
	case posts && r.Post == rules.OnlyPost:
		r.Post = rules.AnyPost
	case posts && r.Post != rules.FirstPost && r.Post != rules.LaterPost, !posts && r.Post != rules.OnlyPost:
		return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s has no post %q", r.Role, money.Clip(string(r.Post))).At("post", "first or later, where the posts of the role differ")
	}
	return nil
}

// ConfirmFigure makes a candidate payable, or enters a figure that is unknown, as a new version.
func (s *Service) ConfirmFigure(ctx context.Context, req *arrsv1.ConfirmFigureRequest) (*arrsv1.Figure, error) {
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || !confidence.Payable() {
		return nil, fault.New(fault.Invalid, reasonFigureNotConfirmable, "a confirmed figure is official, secondary or inferred").At("confidence", "official, secondary or inferred")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Figure, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		row, err := confirmable(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		if row.RecordedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, reasonConfirmerIsAuthor, "another person confirms what %s entered", row.RecordedBy)
		}
		if err := giveValue(&row, req.GetValue()); err != nil {
			return nil, err
		}
		scheme, err := s.scheme(ctx, tx)
		if err != nil {
			return nil, err
		}
		row.Source, row.Confidence, row.Note, row.Version = req.GetSource(), confidence, req.GetNote(), confirmedVersion(row.Version)
		row.KnownFrom, row.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		row.CommissionerCode = orEngland(req.GetCommissionerCode())
		if err := addVersion(ctx, tx, &row, req.GetFigureId()); err != nil {
			return nil, err
		}
		out := figureToProto(&row, false, scheme.CostModel)
		event := &arrsv1.FigureConfirmed{Figure: out, ReplacesFigureId: req.GetFigureId()}
		if _, err := tx.Announce(ctx, figureAggregate(&row), req.GetCommissionerCode(), event); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "arrs/figures/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("confirmed %s: %s (%s)", req.GetFigureId(), out.GetValue(), req.GetSource()))
	})
}

// confirmedVersion is the label of a confirmed version. Those of 2025/26 keep theirs: the cost model tells its two tables apart by it.
func confirmedVersion(label string) string {
	if label == rules.FirstVersion || label == rules.UpliftedVersion {
		return label
	}
	return "confirmed"
}

// giveValue gives a version the figure that is confirmed, or keeps that of the candidate.
func giveValue(row *store.FigureRow, text string) error {
	limit := row.Kind == store.NumberLimit
	if text != "" {
		value, err := readValue("value", row.Kind, text)
		if err != nil {
			return err
		}
		if row.Value = value; limit {
			row.ValueMost = value
		}
	}
	known := row.Value != nil && (!limit || (row.ValueMost != nil && row.Value.Cmp(row.ValueMost) == 0))
	if !known {
		return fault.New(fault.Invalid, reasonFigureValueRequired, "%s has no figure yet: give it", row.ID).At("value", "pounds a year, pounds a patient, or WTE")
	}
	return nil
}

// confirmable loads a version that waits for confirmation and is still the one that stands.
func confirmable(ctx context.Context, q sqldb.Querier, req *arrsv1.ConfirmFigureRequest) (store.FigureRow, error) {
	row, err := store.Figure(ctx, q, req.GetFigureId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != rules.England && row.CommissionerCode != req.GetCommissionerCode()) {
		return row, fault.New(fault.NotFound, reasonFigureNotFound, "there is no figure %q", req.GetFigureId())
	}
	if err != nil {
		return row, err
	}
	if row.Confidence.Payable() {
		return row, fault.New(fault.Refused, reasonFigureNotConfirmable, "%s is payable as it stands", row.ID).With("confidence", row.Confidence)
	}
	all, err := store.Figures(ctx, q)
	if err != nil {
		return row, err
	}
	own := subjectOf(&row)
	own.commissioner = orEngland(req.GetCommissionerCode())
	for i := range all {
		other := &all[i]
		if of := subjectOf(other); other.Position > row.Position && (of == own || of == subjectOf(&row)) {
			return row, fault.New(fault.Stale, reasonFigureChanged, "%s has been replaced by %s", row.ID, other.ID).With("figure_id", other.ID)
		}
	}
	if req.GetEtag() != "" && req.GetEtag() != row.ID {
		return row, fault.New(fault.Stale, reasonFigureChanged, "the tag is not that of %s", row.ID)
	}
	return row, nil
}
