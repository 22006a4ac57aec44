package arrs

import (
	"context"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// What a quotation takes as met where its request says nothing of it.
const (
	quoteAssumedEligibility = "ELIGIBILITY"
	quoteAssumedLimit       = "NUMBER_LIMIT"
	quoteAssumedBaseline    = "BASELINE"
	quoteAssumedSum         = "YEAR_SUM"
)

// quotedLine is a line that stands alone in its year, with what decides it.
type quotedLine struct {
	scheme    rules.Scheme
	line      rules.ClaimLine
	list      rules.ListSize
	baselines []rules.Baseline
	employed  []rules.Employed
	decisions []rules.Decision
	known     period.Date
	// usable is what is left of the pot; nil leaves as much as the line costs.
	usable     *money.Pence
	paidBefore money.Pence
}

// assess applies the tests of the rules.
func (q *quotedLine) assess() (*rules.Year, error) {
	usable, err := q.line.Cost()
	if err != nil {
		return nil, err
	}
	if q.usable != nil {
		usable = *q.usable
	}
	c := &rules.Context{
		Scheme: &q.scheme, Year: q.line.Month.FinancialYear(), Commissioner: rules.England, Known: q.known, Region: rules.National,
		List: q.list, Baselines: q.baselines, Employed: q.employed, Decisions: q.decisions,
	}
	if pot, found := rules.PotOf(q.scheme.SumRates, q.line.Role, q.line.Month); found {
		c.Sums = []rules.PotSum{{Pot: pot, Usable: usable, PaidBefore: q.paidBefore}}
	}
	return rules.AssessYear(c, []rules.ClaimLine{q.line})
}

// quoteAmount is a full month of a role that has no rules but a maximum, so that only the last two tests decide.
func quoteAmount(month period.Month, wte *big.Rat, annualGBP *big.Rat, cost money.Pence) *quotedLine {
	const role = "POST"
	all := rules.Months{From: month.FinancialYear().First(), To: month.FinancialYear().Last()}
	return &quotedLine{
		scheme: rules.Scheme{
			Roles: []rules.Role{{Figure: quoteStated(), Code: role, From: all.From.First(), Measure: rules.HoursPerWeek, FullTime: big.NewRat(1, 1)}},
			Prices: rules.NewPrices([]rules.Price{{
				Figure: quoteStated(), Months: all, Role: role, Region: rules.AllEngland, AnnualGBP: annualGBP, Percent: big.NewRat(100, 1),
			}}),
			SumRates: []rules.SumRate{{Figure: quoteStated(), Months: all, Pot: rules.SinglePot}},
		},
		line: rules.ClaimLine{
			ID: quoteRef, EngagementID: quoteRef, Person: quoteRef, Role: role, Month: month, Start: month.First(), PerWeek: wte, Salary: cost,
		},
		decisions: quoteAgreed([]arrsv1.DecisionKind{arrsv1.DecisionKind_OVER_CEILING_AGREED}, month, wte),
	}
}

// quoteAgreements are the agreements of a commissioner that a request can take as given.
var quoteAgreements = map[arrsv1.DecisionKind]rules.DecisionKind{
	arrsv1.DecisionKind_OVER_CEILING_AGREED:   rules.OverCeilingAgreed,
	arrsv1.DecisionKind_SUBSTANTIVE_GP_AGREED: rules.SubstantiveGPAgreed,
	arrsv1.DecisionKind_ROLE_AGREED:           rules.RoleAgreed,
	arrsv1.DecisionKind_PROVIDER_AGREED:       rules.ProviderAgreed,
	arrsv1.DecisionKind_EARLY_HIRE_AGREED:     rules.EarlyHireAgreed,
	arrsv1.DecisionKind_TRANSFER_AGREED:       rules.TransferAgreed,
}

func quoteAgreed(kinds []arrsv1.DecisionKind, month period.Month, wte *big.Rat) []rules.Decision {
	out := make([]rules.Decision, 0, len(kinds)+1)
	for _, kind := range kinds {
		decision := rules.Decision{ID: quoteRef, Kind: quoteAgreements[kind], Months: rules.Months{From: month, To: month}}
		if kind == arrsv1.DecisionKind_OVER_CEILING_AGREED {
			decision.Value = wte
		}
		out = append(out, decision)
	}
	return out
}

// QuoteReimbursement tells what one line of a claim comes to.
func (s *Service) QuoteReimbursement(ctx context.Context, req *arrsv1.QuoteReimbursementRequest) (*arrsv1.QuoteReimbursementResponse, error) {
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	var r quoteReader
	role := r.role(scheme, req.GetRoleCode())
	q := r.line(req, scheme, role)
	if err := r.err(); err != nil {
		return nil, err
	}
	year, err := q.assess()
	if err != nil {
		return nil, err
	}
	line := &year.Lines[0]
	if refused := quoteWaits(line); refused != nil {
		return nil, refused
	}
	out := quotedReimbursement(line, role)
	out.FeeAllowedPence = min(out.GetFeeAllowedPence(), req.GetFeesPence())
	out.Assumed = quoteAssumed(req, scheme, role, line.Month)
	return out, nil
}

// line reads a request as a line with what decides it.
func (r *quoteReader) line(req *arrsv1.QuoteReimbursementRequest, scheme *rules.Scheme, role *rules.Role) *quotedLine {
	month := r.month("month", req.GetMonth())
	q := &quotedLine{scheme: *scheme, known: r.date("known_on", req.GetKnownOn())}
	key := r.priceKey(role, req.GetBand(), req.GetPost())
	q.line = rules.ClaimLine{
		ID: quoteRef, EngagementID: quoteRef, Person: quoteRef, Role: role.Code, Band: key.Band, Post: key.Post,
		Region: rules.Region(req.GetRegion()), Month: month,
		Start: r.date("start_date", req.GetStartDate()), End: r.date("left_date", req.GetLeftDate()),
		PerWeek:         r.perWeek(req, role),
		Salary:          r.pence("salary_pence", req.GetSalaryPence()),
		EmployerNI:      r.pence("employer_ni_pence", req.GetEmployerNiPence()),
		EmployerPension: r.pence("employer_pension_pence", req.GetEmployerPensionPence()),
		Fees:            r.pence("fees_pence", req.GetFeesPence()),
		Facts:           r.facts(req.GetFacts()),
	}
	if q.line.Start.IsZero() {
		q.line.Start = month.First()
	}
	if req.Facts == nil {
		q.scheme.Eligibility = nil
	}
	if req.RegisteredPatients == nil {
		q.scheme.Limits = nil
	}
	q.list = rules.ListSize{Patients: req.GetRegisteredPatients(), Known: req.RegisteredPatients != nil}
	r.baseline(q, req, role)
	r.maximum(q, req, key)
	r.decisions(q, req, role)
	if req.LeftOfSumPence != nil {
		left := r.pence("left_of_sum_pence", req.GetLeftOfSumPence())
		q.usable = &left
	}
	return q
}

// perWeek reads the working time, given once: by the week or as WTE.
func (r *quoteReader) perWeek(req *arrsv1.QuoteReimbursementRequest, role *rules.Role) *big.Rat {
	field, text := "per_week", req.GetPerWeek()
	if text == "" {
		field, text = "wte", req.GetWte()
	} else if req.GetWte() != "" {
		r.refuse("wte", rules.ReasonMeasureMismatch, "give the working time once: by the week or as WTE")
	}
	value := r.decimal(field, text)
	if text != "" && value.Sign() == 0 && len(r.found) == 0 {
		r.refuse(field, rules.ReasonValueOutOfRange, "it is not more than 0")
	}
	if field == "wte" && role.FullTime != nil {
		value = new(big.Rat).Mul(value, role.FullTime)
	}
	return value
}

func (r *quoteReader) baseline(q *quotedLine, req *arrsv1.QuoteReimbursementRequest, role *rules.Role) {
	stated := rules.Baseline{ID: quoteRef, Role: role.Code, WTE: new(big.Rat)}
	if req.Additionality != nil {
		var employed *big.Rat
		employed, stated = r.additionality(req.GetAdditionality())
		stated.Role = role.Code
		q.employed = []rules.Employed{{ID: quoteRef, Role: role.Code, Month: q.line.Month, WTE: employed}}
	}
	if req.Additionality != nil || role.Baseline {
		q.baselines = []rules.Baseline{stated}
	}
}

// maximum puts the maximum of the request in the place of the figures known.
func (r *quoteReader) maximum(q *quotedLine, req *arrsv1.QuoteReimbursementRequest, key rules.PriceKey) {
	percent := r.optional("percent", req.GetPercent())
	switch {
	case req.AnnualMaximumPence == nil && percent != nil:
		r.lacks("annual_maximum_pence", "a percentage goes with a maximum")
		return
	case req.AnnualMaximumPence == nil:
		return
	case percent == nil:
		percent = big.NewRat(100, 1)
	case percent.Sign() == 0 || percent.Cmp(big.NewRat(100, 1)) > 0:
		r.refuse("percent", rules.ReasonValueOutOfRange, "it is more than 0 and no more than 100")
	}
	q.scheme.Prices = rules.NewPrices([]rules.Price{{
		Figure: quoteStated(), Months: rules.Months{From: q.line.Month, To: q.line.Month}, Role: key.Role, Band: key.Band, Post: key.Post,
		Region: rules.AllEngland, AnnualGBP: r.pence("annual_maximum_pence", req.GetAnnualMaximumPence()).GBP(), Percent: percent,
	}})
}

func (r *quoteReader) decisions(q *quotedLine, req *arrsv1.QuoteReimbursementRequest, role *rules.Role) {
	for _, kind := range req.GetAgreed() {
		if _, known := quoteAgreements[kind]; !known {
			r.refuse("agreed", rules.ReasonValueOutOfRange, kind.String()+" is not an agreement that a quotation can take as given")
		}
	}
	wte := q.line.PerWeek
	if role.FullTime != nil {
		wte = role.WTE(q.line.PerWeek)
	}
	q.decisions = quoteAgreed(req.GetAgreed(), q.line.Month, wte)
	share := r.optional("agreed_share", req.GetAgreedShare())
	if share == nil {
		return
	}
	if share.Cmp(big.NewRat(1, 1)) > 0 {
		r.refuse("agreed_share", rules.ReasonValueOutOfRange, "it is from 0 to 1")
	}
	q.decisions = append(q.decisions, rules.Decision{
		ID: quoteRef, Kind: rules.ShareAgreed, Months: rules.Months{From: q.line.Month, To: q.line.Month}, Value: share,
	})
}

// quoteWaits refuses a line of which a part can be neither paid nor refused for good.
func quoteWaits(line *rules.Assessed) error {
	for _, part := range line.Parts {
		if part.Missing != "" {
			return quoteMissing(part.Reason, part.Missing, part.Remedy)
		}
	}
	return nil
}

// quoteAssumed names what the request says nothing of, as far as there is a rule on it.
func quoteAssumed(req *arrsv1.QuoteReimbursementRequest, scheme *rules.Scheme, role *rules.Role, month period.Month) []string {
	hasRules := slices.ContainsFunc(scheme.Eligibility, func(e rules.Eligibility) bool { return e.Role == role.Code })
	hasLimit := slices.ContainsFunc(scheme.Limits, func(l rules.Limit) bool { return l.Role == role.Code && l.Covers(month) })
	var out []string
	for _, one := range []struct {
		name  string
		taken bool
	}{
		{quoteAssumedEligibility, hasRules && req.Facts == nil},
		{quoteAssumedLimit, hasLimit && req.RegisteredPatients == nil},
		{quoteAssumedBaseline, role.Baseline && req.Additionality == nil},
		{quoteAssumedSum, req.LeftOfSumPence == nil},
	} {
		if one.taken {
			out = append(out, one.name)
		}
	}
	return out
}

func quotedReimbursement(line *rules.Assessed, role *rules.Role) *arrsv1.QuoteReimbursementResponse {
	out := &arrsv1.QuoteReimbursementResponse{
		ClaimedPence: int64(line.Claimed), PayablePence: int64(line.Payable), Wte: money.Format(line.WTE), FullTime: money.Format(role.FullTime),
		Days: int32(line.Days), Pot: potToProto(line.Pot), FigureId: quotedFigure(line.PriceID), //nolint:gosec // no more than a month has
		Parts: partsToProto(line.Parts), Tests: make([]*arrsv1.TestResult, len(line.Tests)),
	}
	for _, part := range line.Parts {
		if part.Reason == rules.ReasonNetworkShare {
			out.NetworkSharePence += int64(part.Amount)
		}
	}
	for i := range line.Tests {
		out.Tests[i] = testToProto(&line.Tests[i])
		for _, number := range line.Tests[i].Numbers {
			quotedNumber(out, number)
		}
	}
	out.Working = quoteWorking(line.Working)
	if line.Working != nil {
		out.Confidence = working.ConfidenceToProto(line.Working.Confidence())
	}
	return out
}

// quotedNumber takes over the numbers of the tests that an answer names.
func quotedNumber(out *arrsv1.QuoteReimbursementResponse, number rules.Number) {
	var into *int64
	switch number.Name {
	case "percent payable":
		out.Percent = money.Format(number.Value)
	case "monthly maximum":
		into = &out.MonthlyMaximumPence
	case "fee allowed":
		into = &out.FeeAllowedPence
	}
	if into == nil {
		return
	}
	if rounded, err := money.RoundHalfUp(number.Value); err == nil { // beyond pence it stays among the numbers of its test
		*into = int64(rounded)
	}
}

// quoteAnyMonth is where a line stands whose month plays no part.
var quoteAnyMonth = period.FinancialYear(2020).First()

// QuoteYearLimit tells how much of a claim the yearly sum pays.
func (s *Service) QuoteYearLimit(_ context.Context, req *arrsv1.QuoteYearLimitRequest) (*arrsv1.QuoteYearLimitResponse, error) {
	var r quoteReader
	entitlement := r.pence("entitlement_pence", req.GetEntitlementPence())
	givenUp, awarded := r.pence("given_up_pence", req.GetGivenUpPence()), r.pence("awarded_pence", req.GetAwardedPence())
	paid, claim := r.pence("paid_before_pence", req.GetPaidBeforePence()), r.pence("claim_pence", req.GetClaimPence())
	if err := r.err(); err != nil {
		return nil, err
	}
	sum, err := rules.Usable(rules.Entitlement{Amount: entitlement}, givenUp, awarded)
	if err != nil {
		return nil, err
	}
	// A maximum equal to the claim leaves the decision to the sum alone.
	q := quoteAmount(quoteAnyMonth, big.NewRat(1, 1), new(big.Rat).Mul(claim.GBP(), big.NewRat(12, 1)), claim)
	q.usable, q.paidBefore = &sum.Usable, paid
	year, err := q.assess()
	if err != nil {
		return nil, err
	}
	pot := &year.Pots[0]
	return &arrsv1.QuoteYearLimitResponse{
		UsablePence: int64(pot.Usable), PayablePence: int64(year.Lines[0].Payable), UnfundedPence: int64(pot.Unfunded), LeftPence: int64(pot.Left),
		OverdrawnPence: int64(pot.Overdrawn),
	}, nil
}

// QuoteUplift tells what a backdated uplift pays for months that were claimed before.
func (s *Service) QuoteUplift(_ context.Context, req *arrsv1.QuoteUpliftRequest) (*arrsv1.QuoteUpliftResponse, error) {
	var r quoteReader
	first, wte := r.month("first_month", req.GetFirstMonth()), r.wte(req.GetWte())
	if wte.Sign() == 0 && len(r.found) == 0 {
		r.refuse("wte", rules.ReasonValueOutOfRange, "it is not more than 0")
	}
	last := first.Add(int(req.GetMonths()) - 1)
	if req.GetMonths() < 1 || last.FinancialYear() != first.FinancialYear() {
		r.refuse("months", rules.ReasonValueOutOfRange, "they are at least one, and all of one financial year")
	}
	before, after := r.pence("maximum_before_pence", req.GetMaximumBeforePence()), r.pence("maximum_after_pence", req.GetMaximumAfterPence())
	costBefore, costAfter := r.pence("cost_before_pence", req.GetCostBeforePence()), r.pence("cost_after_pence", req.GetCostAfterPence())
	left := r.pence("left_of_sum_pence", req.GetLeftOfSumPence())
	if err := r.err(); err != nil {
		return nil, err
	}
	items := make([]rules.UpliftItem, 0, req.GetMonths())
	var due money.Pence
	for month := first; !month.After(last); month = month.Add(1) {
		then, err := quoteAmount(month, wte, before.GBP(), costBefore).assess()
		if err != nil {
			return nil, err
		}
		now, err := quoteAmount(month, wte, after.GBP(), costAfter).assess()
		if err != nil {
			return nil, err
		}
		item := rules.UpliftItem{PassedOn: rules.No, Paid: then.Lines[0].Payable, After: &now.Lines[0]}
		if req.GetPassedOn() {
			item.PassedOn = rules.Yes
		}
		item.After.LineID = month.String()
		if due, err = due.Add(item.After.WithinMaximum); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	if req.LeftOfSumPence == nil {
		left = due
	}
	return quotedUplift(items, left)
}

func quotedUplift(items []rules.UpliftItem, left money.Pence) (*arrsv1.QuoteUpliftResponse, error) {
	uplifted, err := rules.Uplift(items, map[rules.Pot]money.Pence{items[0].After.Pot: left})
	if err != nil {
		return nil, err
	}
	out := &arrsv1.QuoteUpliftResponse{Months: make([]*arrsv1.QuotedUplift, len(uplifted.Lines)), AdjustmentPence: int64(uplifted.Payable)}
	for i := range uplifted.Lines {
		line := &uplifted.Lines[i]
		out.Months[i] = &arrsv1.QuotedUplift{
			Month: line.LineID, PaidPence: int64(line.Paid), DuePence: int64(line.Due), PayablePence: int64(line.Payable),
			WithheldPence: int64(line.Withheld), Reason: line.Reason, Working: quoteWorking(line.Working),
		}
	}
	return out, nil
}
