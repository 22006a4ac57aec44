package iif

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// RecordCounts enters counts of an indicator by hand, for one commissioner. They take the place of all that the organisation has of the
// indicator on the day.
func (s *Service) RecordCounts(ctx context.Context, req *iifv1.RecordCountsRequest) (*iifv1.CountVersion, error) {
	if !isOrganisation(req.GetOrganisationCode()) {
		return nil, notOrganisation("organisation_code", req.GetOrganisationCode(), "practice or a PCN")
	}
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	day, err := countsDay(req.GetAchievedOn(), year)
	if err != nil {
		return nil, err
	}
	if day.After(period.DateOf(s.db.Now())) {
		return nil, fault.New(fault.Invalid, reasonCountsInvalid, "%s is still to come", day).At("achieved_on", "not after today")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.CountVersion, error) {
		if err := tx.Lock(ctx, countsLock); err != nil {
			return nil, err
		}
		cells, err := s.enteredCells(ctx, tx, req, year)
		if err != nil {
			return nil, err
		}
		row := store.CountRow{
			CountKey:         store.CountKey{Organisation: req.GetOrganisationCode(), On: day, Indicator: req.GetCounts().GetIndicatorCode()},
			CommissionerCode: req.GetCommissionerCode(), Cells: cells, Reason: req.GetReason(),
		}
		c := changed{year: year, commissioner: row.CommissionerCode, cause: rules.DataAmended, words: req.GetReason()}
		if c.practices = []string{row.Organisation}; isPCN(row.Organisation) {
			c.pcns, c.practices = c.practices, nil
		}
		return s.enter(ctx, tx, &row, c)
	})
}

// enter stores counts that were entered by hand, and works out again what rests on them.
func (s *Service) enter(ctx context.Context, tx *change.Tx, row *store.CountRow, c changed) (*iifv1.CountVersion, error) {
	last, err := store.LastCount(ctx, tx)
	if err != nil {
		return nil, err
	}
	row.Position, row.SourceID, row.Makers = last+1, tx.NewID(), []string{tx.By.Subject}
	row.RecordedBy, row.RecordedAt = tx.By.Subject, sqldb.Micros(tx.Now())
	if err := store.InsertCounts(ctx, tx.Tx, []store.CountRow{*row}); err != nil {
		return nil, err
	}
	if _, err := s.rework(ctx, tx, c); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("entered the counts of %s for %s on %s", row.Indicator, row.Organisation, row.On)
	return countToProto(row, true), tx.Record(ctx, "iif/counts/"+row.SourceID, addressOf(row.CommissionerCode), summary)
}

// enteredCells reads counts against the indicator. All that is wrong with them is named together.
func (s *Service) enteredCells(ctx context.Context, q sqldb.Querier, req *iifv1.RecordCountsRequest, year period.FinancialYear) (store.Cells, error) {
	names, indicator, err := s.indicatorNamed(ctx, q, req.GetCommissionerCode(), year, req.GetCounts().GetIndicatorCode())
	if err != nil {
		return nil, err
	}
	e := entry{names: names, code: indicator.Code, binary: indicator.Kind == rules.Binary}
	e.all(req.GetCounts())
	if len(e.cells) == 0 && len(e.bad) == 0 {
		e.wrong("", rules.ReasonCountMissing, "give at least one count")
	}
	if len(e.bad) > 0 {
		out := fault.New(fault.Invalid, reasonCountsInvalid, "%d things are wrong with the counts of %s", len(e.bad), indicator.Code)
		out.Violations = e.bad
		return nil, out
	}
	if indicator.Kind == rules.Percentage {
		if c := e.cells.Counts(); c.Numerator.State == rules.Stated && c.Denominator.State == rules.Stated && c.Numerator.N > c.Denominator.N {
			return nil, fault.New(fault.Invalid, rules.ReasonCountsDisagree, "%d patients met the target of %s, of %d in its denominator", c.Numerator.N, indicator.Code, c.Denominator.N).
				With("numerator", c.Numerator.N).With("denominator", c.Denominator.N).At("counts.numerator", "not above the denominator")
		}
	}
	// What no sum over practices could take in is refused while who enters it is there to mend it.
	org := req.GetOrganisationCode()
	_, _, err = rules.SumPractices(indicator, []rules.Member{{Practice: org, PCN: org}}, []rules.PracticeCounts{{Practice: org, Counts: e.cells.Counts()}}, working.Origin{})
	if refused, ok := fault.As(err); ok {
		return nil, fault.New(fault.Invalid, reasonCountsInvalid, "%s", refused.Message).At("counts", refused.Message)
	}
	return e.cells, err
}

// indicatorNamed finds an indicator of a year, in its last version, and the names of the year.
func (s *Service) indicatorNamed(
	ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear, code string,
) (*feed.Names, *rules.Indicator, error) {
	scheme, _, err := s.scheme(ctx, q, latest)
	if err != nil {
		return nil, nil, err
	}
	indicators := indicatorsOf(scheme, commissioner, year)
	if len(indicators) == 0 {
		return nil, nil, fault.New(fault.Invalid, reasonYearOutOfRange, "the fund has no indicators in %s", year).At("financial_year", "a year of the fund")
	}
	var found *rules.Indicator
	for i := range indicators {
		if indicators[i].Code == code {
			found = &indicators[i]
		}
	}
	if found == nil {
		return nil, nil, fault.New(fault.Invalid, reasonIndicatorUnknown, "%s has no indicator %q", year, money.Clip(code)).At("indicator_code", "an indicator of the year")
	}
	held, err := store.FieldNames(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	names, err := feed.NewNames(year, indicators, held)
	return names, found, err
}

// entry reads counts that were entered.
type entry struct {
	names  *feed.Names
	code   string
	binary bool
	cells  store.Cells
	bad    []fault.Violation
}

func (e *entry) all(counts *iifv1.IndicatorCounts) {
	for _, part := range []struct {
		at      string
		measure feed.Measure
		count   *iifv1.Count
	}{
		{"numerator", feed.Numerator, counts.GetNumerator()},
		{"denominator", feed.Denominator, counts.GetDenominator()},
		{"register", feed.Register, counts.GetRegister()},
		{"baseline_numerator", feed.BaselineNumerator, counts.GetBaselineNumerator()},
		{"baseline_denominator", feed.BaselineDenominator, counts.GetBaselineDenominator()},
	} {
		if cell, given := e.count(part.at, part.count); given {
			e.add(part.at, part.measure, part.measure.String(), cell)
		}
	}
	for measure, fields := range map[feed.Measure][]*iifv1.FieldCount{feed.Exclusion: counts.GetExclusions(), feed.Adjustment: counts.GetAdjustments()} {
		for i, field := range fields {
			at := fmt.Sprintf("%ss[%d]", measure, i)
			if cell, given := e.count(at, field.GetCount()); given {
				e.add(at, measure, field.GetField(), cell)
			}
		}
	}
	if answer := counts.GetAnswer(); answer != iifv1.Answer_ANSWER_UNSPECIFIED {
		e.add("answer", feed.Answer, feed.Answer.String(), rules.Count(int64(answer)))
	}
	slices.SortFunc(e.bad, func(a, b fault.Violation) int { return cmp.Compare(a.Field, b.Field) })
}

// count reads one count, and reports false where there is none.
func (e *entry) count(at string, count *iifv1.Count) (rules.Cell, bool) {
	switch {
	case count.GetSuppressed() && count.Value != nil:
		e.wrong(at, rules.ReasonCountMalformed, "a count is stated or hidden, not both")
		return rules.Cell{}, false
	case count.GetSuppressed():
		return rules.Cell{State: rules.Suppressed}, true
	case count == nil || count.Value == nil:
		return rules.Cell{}, false
	case count.GetValue() < 0:
		e.wrong(at, rules.ReasonCountMalformed, "a count is not negative")
		return rules.Cell{}, false
	}
	return rules.Count(count.GetValue()), true
}

func (e *entry) add(at string, measure feed.Measure, field string, cell rules.Cell) {
	// An answer stands until another one does: nothing else takes its place.
	if e.binary && measure != feed.Answer {
		e.wrong(at, rules.ReasonFieldUnknown, e.code+" is a question of yes or no: it has an answer and no counts")
		return
	}
	found, short, known := e.names.Lookup(e.code, field)
	if !known || found != measure {
		e.wrong(at, rules.ReasonFieldUnknown, fmt.Sprintf("%s has no %s %s", e.code, measure, strings.TrimPrefix(money.Clip(field), measure.String())))
		return
	}
	c := store.Cell{Measure: measure, Field: short, Cell: cell, ByHand: true}
	i, twice := slices.BinarySearchFunc(e.cells, c, store.Cell.Compare)
	if twice {
		e.wrong(at, rules.ReasonFieldMisplaced, fmt.Sprintf("%s stands twice", money.Clip(field)))
		return
	}
	e.cells = slices.Insert(e.cells, i, c)
}

func (e *entry) wrong(at, reason, description string) {
	field := strings.TrimSuffix("counts."+at, ".")
	e.bad = append(e.bad, fault.Violation{Field: field, Reason: reason, Description: description})
}

// AnswerIndicator answers a question of yes or no for a PCN. The answer is the PCN's own: it holds whoever its commissioner is, and stays
// with it when another body takes over, so it is kept as England's, after whatever a commissioner entered before.
func (s *Service) AnswerIndicator(ctx context.Context, req *iifv1.AnswerIndicatorRequest) (*iifv1.CountVersion, error) {
	if !isOrganisation(req.GetPcnCode()) || !isPCN(req.GetPcnCode()) {
		return nil, notOrganisation("pcn_code", req.GetPcnCode(), "PCN")
	}
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	day := year.Last().Last()
	if req.GetAchievedOn() != "" {
		if day, err = countsDay(req.GetAchievedOn(), year); err != nil {
			return nil, err
		}
	}
	if err := s.mayAnswer(ctx, req.GetPcnCode(), year); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.CountVersion, error) {
		if err := tx.Lock(ctx, countsLock); err != nil {
			return nil, err
		}
		_, indicator, err := s.indicatorNamed(ctx, tx, rules.England, year, req.GetIndicatorCode())
		if err != nil {
			return nil, err
		}
		if indicator.Kind != rules.Binary {
			return nil, fault.New(fault.Invalid, reasonCountsInvalid, "%s is not a question of yes or no", indicator.Code).With("kind", indicator.Kind).
				At("indicator_code", "an indicator that is answered")
		}
		row := store.CountRow{
			CountKey:         store.CountKey{Organisation: req.GetPcnCode(), On: day, Indicator: indicator.Code},
			CommissionerCode: rules.England, Reason: strings.TrimSpace(req.GetReason()),
			Cells: store.Cells{{Measure: feed.Answer, Cell: rules.Count(int64(req.GetAnswer())), ByHand: true}},
		}
		if err := answerable(ctx, tx, &row); err != nil {
			return nil, err
		}
		return s.enter(ctx, tx, &row, changed{
			year: year, commissioner: rules.England, pcns: []string{row.Organisation}, cause: rules.AnswerChanged, words: cmp.Or(row.Reason, "answered"),
		})
	})
}

// mayAnswer refuses who neither speaks for the PCN nor prepares for its commissioner.
func (s *Service) mayAnswer(ctx context.Context, pcn string, year period.FinancialYear) error {
	by := caller(ctx)
	if speaksFor(by, pcn) {
		return nil
	}
	if by.HasRole(optionsv1.Role_ROLE_FINANCE_PREPARER) {
		if by.HoldsEngland() {
			return nil
		}
		bodies, err := s.bodiesOf(ctx, []string{pcn}, year)
		if err != nil || slices.ContainsFunc(bodies, by.HoldsCommissioner) {
			return err
		}
	}
	return noPCN(pcn)
}

// answerable refuses an answer without a reason where one stands for some commissioner.
func answerable(ctx context.Context, q sqldb.Querier, row *store.CountRow) error {
	if row.Reason != "" {
		return nil
	}
	rows, err := store.CountVersions(ctx, q, row.Organisation, row.Indicator, row.On.Month().FinancialYear(), nil)
	if err != nil {
		return err
	}
	for i := range rows {
		if !rows[i].On.After(row.On) && rows[i].Cells.Any(func(c store.Cell) bool { return c.Measure == feed.Answer }) {
			return fault.New(fault.Invalid, rules.ReasonReasonRequired, "%s has answered %s before: say why the answer changes", row.Organisation, row.Indicator).
				At("reason", "required where an answer stands")
		}
	}
	return nil
}
