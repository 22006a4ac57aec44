package arrs

import (
	"context"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// QuoteEntitlements tells what the pots of a year come to for a PCN.
func (s *Service) QuoteEntitlements(ctx context.Context, req *arrsv1.QuoteEntitlementsRequest) (*arrsv1.QuoteEntitlementsResponse, error) {
	var r quoteReader
	year := r.year("financial_year", req.GetFinancialYear())
	known := r.date("known_on", req.GetKnownOn())
	offered := year == quoteOfferYear
	population := rules.Population{Value: r.optional("weighted_population", req.GetWeightedPopulation()), Origin: quoteOrigin}
	switch {
	case population.Value == nil && !offered:
		r.lacks("weighted_population", "a population is needed")
	case offered && len(req.GetRates()) > 0:
		r.refuse("rates", rules.ReasonValueOutOfRange, "2019/20 offered two posts and had no rate")
	}
	rates := r.rates(req.GetRates())
	if err := r.err(); err != nil {
		return nil, err
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	var sums []rules.Entitlement
	if offered {
		list := rules.ListSize{Patients: req.GetRegisteredPatients(), Known: req.RegisteredPatients != nil}
		sums, err = rules.Offers(scheme.Prices, scheme.Limits, rules.National, list, rules.England, known)
	} else {
		if len(rates) == 0 {
			rates = scheme.SumRates
		} else {
			quotePeriods(rates, scheme.SumRates, year, known)
			known = period.Date{}
		}
		sums, err = rules.Entitle(rates, year, population, rules.England, known)
	}
	if err != nil {
		return nil, err
	}
	out := &arrsv1.QuoteEntitlementsResponse{FinancialYear: year.String(), Entitlements: make([]*arrsv1.QuotedEntitlement, len(sums))}
	for i := range sums {
		out.Entitlements[i] = quotedEntitlement(&sums[i])
	}
	if len(sums) == 0 {
		return nil, quoteMissing(rules.ReasonSumUnknown, "rate per weighted patient of "+year.String(), "give the rate, or enter the figure with its source")
	}
	return out, nil
}

// quotePeriods gives rates of the request the periods that their pots are known to have, such as the half year of the GP pot.
func quotePeriods(rates, published []rules.SumRate, year period.FinancialYear, known period.Date) {
	for i := range rates {
		rates[i].From, rates[i].To = year.First(), year.Last()
		for month := year.First(); !month.After(year.Last()); month = month.Add(1) {
			if held := rules.SumRateFor(published, rates[i].Pot, rules.England, month, known); held != nil {
				rates[i].Months = held.Months
				break
			}
		}
	}
}

func quotedEntitlement(e *rules.Entitlement) *arrsv1.QuotedEntitlement {
	out := &arrsv1.QuotedEntitlement{
		Pot: potToProto(e.Pot), FromMonth: e.From.String(), ToMonth: e.To.String(), EntitlementPence: int64(e.Amount), FigureId: quotedFigure(e.RateID),
		Refusal: missingToProto(e.Refused), Working: quoteWorking(e.Working),
	}
	if e.Working != nil {
		out.Confidence = working.ConfidenceToProto(e.Working.Confidence())
	}
	return out
}

// QuoteEmploymentCost tells what a salary costs its employer in a year.
func (s *Service) QuoteEmploymentCost(_ context.Context, req *arrsv1.QuoteEmploymentCostRequest) (*arrsv1.QuoteEmploymentCostResponse, error) {
	var r quoteReader
	salary := r.pence("annual_salary_pence", req.GetAnnualSalaryPence())
	costs := r.onCosts(req.GetOnCosts())
	if salary.GBP().Cmp(costs.NIThresholdGBP) < 0 {
		r.refuse("annual_salary_pence", rules.ReasonValueOutOfRange, "the cost is worked out for salaries above the threshold of National Insurance")
	}
	maximum := r.pence("annual_maximum_pence", req.GetAnnualMaximumPence())
	if err := r.err(); err != nil {
		return nil, err
	}
	exact := rules.EmploymentCost(salary.GBP(), costs)
	cost, err := money.RoundHalfUp(exact)
	if err != nil {
		return nil, err
	}
	published, err := quotePublished(exact)
	if err != nil {
		return nil, err
	}
	out := &arrsv1.QuoteEmploymentCostResponse{AnnualCostPence: int64(cost), PublishedMaximumPence: int64(published)}
	if req.AnnualMaximumPence != nil {
		headroom, within := int64(maximum-cost), cost <= maximum
		out.HeadroomPence, out.WithinMaximum = &headroom, &within
	}
	return out, nil
}

// QuoteSupplement tells what a London supplement adds to a yearly maximum.
func (s *Service) QuoteSupplement(_ context.Context, req *arrsv1.QuoteSupplementRequest) (*arrsv1.QuoteSupplementResponse, error) {
	var r quoteReader
	supplement := r.pence("supplement_pence", req.GetSupplementPence())
	national := r.pence("national_maximum_pence", req.GetNationalMaximumPence())
	costs := r.onCosts(req.GetOnCosts())
	if err := r.err(); err != nil {
		return nil, err
	}
	exact := rules.SupplementCost(supplement.GBP(), costs)
	addition, err := money.RoundHalfUp(exact)
	if err != nil {
		return nil, err
	}
	regional, err := quotePublished(exact.Add(exact, national.GBP()))
	if err != nil {
		return nil, err
	}
	return &arrsv1.QuoteSupplementResponse{AdditionPence: int64(addition), RegionalMaximumPence: int64(regional)}, nil
}

// quotePublished is a yearly amount as maxima are published: in whole pounds.
func quotePublished(gbp *big.Rat) (money.Pence, error) {
	return money.RoundHalfUp(money.Round(gbp, money.HalfUp, 0))
}

// QuoteMaxima tells the maxima of a role by day and region.
func (s *Service) QuoteMaxima(ctx context.Context, req *arrsv1.QuoteMaximaRequest) (*arrsv1.QuoteMaximaResponse, error) {
	var r quoteReader
	known, wte := r.date("known_on", req.GetKnownOn()), r.wte(req.GetWte())
	days := make([]period.Date, len(req.GetDates()))
	for i, text := range req.GetDates() {
		days[i] = r.required("dates["+strconv.Itoa(i)+"]", text)
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	role := r.role(scheme, req.GetRoleCode())
	key := r.priceKey(role, req.GetBand(), req.GetPost())
	if err := r.err(); err != nil {
		return nil, err
	}
	regions := req.GetRegions()
	if len(regions) == 0 {
		regions = []arrsv1.Region{arrsv1.Region_NATIONAL, arrsv1.Region_INNER_LONDON, arrsv1.Region_OUTER_LONDON}
	}
	out := &arrsv1.QuoteMaximaResponse{Maxima: make([]*arrsv1.QuotedMaximum, 0, len(days)*len(regions))}
	for _, day := range days {
		for _, region := range regions {
			key.Region = rules.Region(region)
			maximum := &arrsv1.QuotedMaximum{Date: day.String(), Region: region}
			out.Maxima = append(out.Maxima, maximum)
			if refused := quoteReimbursable(role, day); refused != nil {
				maximum.Refusal = missingToProto(refused)
				continue
			}
			price, err := scheme.Prices.At(key, rules.England, day.Month(), known)
			if err := quotedMaximum(maximum, price, err, wte); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// quoteReimbursable refuses a role that nobody may claim on a day.
func quoteReimbursable(role *rules.Role, day period.Date) *fault.Fault {
	first := role.From
	if !role.EarlyFrom.IsZero() && role.EarlyFrom.Before(first) {
		first = role.EarlyFrom
	}
	if day.Before(first) || (!role.To.IsZero() && day.After(role.To)) {
		return fault.New(fault.Refused, rules.ReasonRoleNotReimbursable, "%s is not reimbursable on %s", role.Code, day)
	}
	return nil
}

// quotedMaximum fills in a price, or why there is none. It fails where the price is beyond what can be held.
func quotedMaximum(out *arrsv1.QuotedMaximum, price *rules.Price, err error, wte *big.Rat) error {
	refused, waits := fault.As(err)
	if err != nil && !waits {
		return err
	}
	if price != nil {
		out.FigureId, out.Version, out.Source, out.Percent = price.ID, price.Version, price.Source, money.Format(price.Percent)
		out.Confidence = working.ConfidenceToProto(price.Confidence)
	}
	if waits {
		out.Refusal = missingToProto(refused)
		return nil
	}
	annual, err := money.RoundHalfUp(price.AnnualGBP)
	if err != nil {
		return err
	}
	monthly, err := price.Monthly(wte)
	out.AnnualPence, out.MonthlyPence = int64(annual), int64(monthly)
	return err
}

// QuoteMonthlyMaximum tells what a yearly maximum comes to in a month.
func (s *Service) QuoteMonthlyMaximum(_ context.Context, req *arrsv1.QuoteMonthlyMaximumRequest) (*arrsv1.QuoteMonthlyMaximumResponse, error) {
	var r quoteReader
	annual, wte := r.pence("annual_pence", req.GetAnnualPence()), r.wte(req.GetWte())
	if err := r.err(); err != nil {
		return nil, err
	}
	price := rules.Price{Figure: quoteStated(), AnnualGBP: annual.GBP()}
	monthly, err := price.Monthly(wte)
	if err != nil {
		return nil, err
	}
	return &arrsv1.QuoteMonthlyMaximumResponse{MonthlyPence: int64(monthly)}, nil
}

// QuoteLimits tells how many of a role a PCN of some list size may claim, by year.
func (s *Service) QuoteLimits(ctx context.Context, req *arrsv1.QuoteLimitsRequest) (*arrsv1.QuoteLimitsResponse, error) {
	var r quoteReader
	known := r.date("known_on", req.GetKnownOn())
	list := rules.ListSize{Patients: req.GetRegisteredPatients(), Known: req.RegisteredPatients != nil}
	years := make([]period.FinancialYear, len(req.GetFinancialYears()))
	for i, text := range req.GetFinancialYears() {
		years[i] = r.year("financial_years["+strconv.Itoa(i)+"]", text)
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	role := r.role(scheme, req.GetRoleCode())
	if err := r.err(); err != nil {
		return nil, err
	}
	out := new(arrsv1.QuoteLimitsResponse)
	for _, year := range years {
		for month := year.First(); !month.After(year.Last()); month = month.Add(1) {
			row, err := quotedLimit(scheme, role, list, month, known)
			if err != nil {
				return nil, err
			}
			if last := len(out.Limits) - 1; month != year.First() && quoteSameLimit(out.Limits[last], row) {
				out.Limits[last].ToMonth = month.String()
				continue
			}
			out.Limits = append(out.Limits, row)
		}
	}
	return out, nil
}

// quotedLimit is the limit of one month.
func quotedLimit(scheme *rules.Scheme, role *rules.Role, list rules.ListSize, month period.Month, known period.Date) (*arrsv1.QuotedLimit, error) {
	out := &arrsv1.QuotedLimit{FinancialYear: month.FinancialYear().String(), FromMonth: month.String(), ToMonth: month.String()}
	if refused := quoteReimbursable(role, month.Last()); refused != nil {
		out.Refusal = missingToProto(refused)
		return out, nil
	}
	limit, err := rules.LimitAt(scheme.Limits, role.Code, list, rules.England, month, known)
	if refused, waits := fault.As(err); waits {
		out.Limited, out.Refusal = true, missingToProto(refused)
		return out, nil
	}
	if err != nil || limit == nil {
		return out, err
	}
	out.Limited, out.NeedsProviderAgreement, out.FigureId = true, limit.NeedsAgreement, limit.ID
	if limit.Certain != nil {
		out.WteCertain = money.Format(limit.Certain)
	}
	if limit.Certain != nil && limit.Most != nil && limit.Certain.Cmp(limit.Most) == 0 {
		out.Wte = money.Format(limit.Most)
		return out, nil
	}
	out.Refusal = missingToProto(quoteMissing(rules.ReasonLimitUnknown,
		"number of "+role.Code+" that a network may claim in "+month.FinancialYear().String(), "enter the figure with its source"))
	return out, nil
}

// quoteSameLimit tells whether two months of a year have the same limit.
func quoteSameLimit(a, b *arrsv1.QuotedLimit) bool {
	return a.GetFigureId() == b.GetFigureId() && a.GetLimited() == b.GetLimited() && a.GetRefusal().GetReason() == b.GetRefusal().GetReason()
}

// QuoteEligibility tells whether a person may be claimed in a role.
func (s *Service) QuoteEligibility(ctx context.Context, req *arrsv1.QuoteEligibilityRequest) (*arrsv1.QuoteEligibilityResponse, error) {
	var r quoteReader
	person := rules.Person{
		Role: req.GetRoleCode(), Start: r.required("start_date", req.GetStartDate()), Facts: r.facts(req.GetFacts()),
		GPAgreed: req.GetSubstantiveGpAgreed(), TrainingTestedOn: r.date("training_tested_on", req.GetTrainingTestedOn()),
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	role := r.role(scheme, req.GetRoleCode())
	if err := r.err(); err != nil {
		return nil, err
	}
	refused := rules.Eligible(scheme.Eligibility, role, person, period.Date{})
	switch {
	case refused == nil:
		return &arrsv1.QuoteEligibilityResponse{Eligible: true}, nil
	case refused.Reason == rules.ReasonFactMissing:
		return nil, refused.At("facts", refused.Message)
	}
	return &arrsv1.QuoteEligibilityResponse{Reason: refused.Reason, Message: refused.Message, RuleId: refused.Meta["rule"]}, nil
}

// QuoteAdditionality tells how much of a role comes on top of the staff of 31 March 2019.
func (s *Service) QuoteAdditionality(ctx context.Context, req *arrsv1.QuoteAdditionalityRequest) (*arrsv1.QuoteAdditionalityResponse, error) {
	var r quoteReader
	employed, baseline := r.additionality(req.GetAdditionality())
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	if role := r.role(scheme, req.GetRoleCode()); !role.Baseline && role.Code != "" {
		r.refuse("role_code", rules.ReasonValueOutOfRange, "the role has no baseline")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	claimable := rules.ClaimableWTE(employed, baseline.WTE, baseline.ExemptWTE)
	return &arrsv1.QuoteAdditionalityResponse{ClaimableWte: money.Format(claimable)}, nil
}

// QuoteUnclaimed tells what an agreed estimate of unclaimed money does to a yearly sum.
func (s *Service) QuoteUnclaimed(ctx context.Context, req *arrsv1.QuoteUnclaimedRequest) (*arrsv1.QuoteUnclaimedResponse, error) {
	var r quoteReader
	year := r.year("financial_year", req.GetFinancialYear())
	entitlement := r.pence("entitlement_pence", req.GetEntitlementPence())
	if err := r.err(); err != nil {
		return nil, err
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	planning, _ := rules.PlanningFor(scheme.Planning, year)
	agreed := money.Pence(req.GetAgreedUnclaimedPence())
	if err := rules.AgreeUnclaimed(planning, entitlement, agreed); err != nil {
		return nil, err
	}
	sum, err := rules.Usable(rules.Entitlement{Year: year, Amount: entitlement}, agreed, 0)
	if err != nil {
		return nil, err
	}
	return &arrsv1.QuoteUnclaimedResponse{UsablePence: int64(sum.Usable), AvailableToOtherPcnsPence: int64(agreed)}, nil
}

// QuoteForm tells what the form of the claims portal would find wrong with a line.
func (s *Service) QuoteForm(ctx context.Context, req *arrsv1.QuoteFormRequest) (*arrsv1.QuoteFormResponse, error) {
	var r quoteReader
	month := r.month("month", req.GetMonth())
	if err := r.err(); err != nil {
		return nil, err
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	_, violations := rules.ValidateLine(scheme, rules.FormLine{
		ID: quoteRef, Role: req.GetRoleCode(), Band: req.GetBand(), Post: req.GetPost(), StartDate: req.GetStartDate(), LeftDate: req.GetLeftDate(),
		HoursPerWeek: req.GetHoursPerWeek(), SessionsPerWeek: req.GetSessionsPerWeek(), MonthlySalary: req.GetMonthlySalaryGbp(),
		MonthlyNI: req.GetMonthlyEmployerNiGbp(), MonthlyPension: req.GetMonthlyEmployerPensionGbp(), MonthlyFees: req.GetMonthlyFeesGbp(),
		OnPathway: rules.Answer(req.GetOnPathway()), ReasonNotOnPathway: req.GetReasonNotOnPathway(),
	}, month, rules.England)
	out := &arrsv1.QuoteFormResponse{Valid: len(violations) == 0, Violations: make([]*arrsv1.FormViolation, len(violations))}
	for i, v := range violations {
		out.Violations[i] = &arrsv1.FormViolation{Field: v.Field, Reason: v.Reason, Description: v.Description}
	}
	return out, nil
}

// quoteScheme returns the tables as the database holds them now.
func (s *Service) quoteScheme(ctx context.Context) (scheme *rules.Scheme, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		scheme, err = s.scheme(ctx, q)
		return err
	})
	return scheme, err
}

const (
	// quoteRef names, among the figures and lines of a quotation, those of its request.
	quoteRef = "request"
	// quoteOfferYear is the year in which two posts were offered in place of a sum.
	quoteOfferYear period.FinancialYear = 2019
)

var quoteOrigin = working.Origin{Kind: working.FromRequest}

// quoteStated is the figure of a request: one that whoever asks stands for.
func quoteStated() rules.Figure {
	return rules.Figure{ID: quoteRef, Confidence: working.Official, CommissionerCode: rules.England}
}

// quotedFigure is the identifier of a figure that is kept; a stated one has none.
func quotedFigure(id string) string {
	if id == quoteRef {
		return ""
	}
	return id
}

// quoteWorking writes a working whose stated figures and lines come from the request.
func quoteWorking(w *working.Working) *typev1.Working {
	if w == nil {
		return nil
	}
	for i := range w.Inputs {
		if origin := &w.Inputs[i].Origin; origin.Kind == working.FromLine || origin.Ref == quoteRef {
			*origin = quoteOrigin
		}
	}
	return working.ToProto(w)
}

func quoteMissing(reason, what, remedy string) *fault.Fault {
	return fault.New(fault.Refused, reason, "the %s is missing: %s", what, remedy).With("missing", what).With("remedy", remedy)
}

// quoteReader reads a request and gathers everything that is wrong with it, so that a caller mends it in one go. It never repeats an
// amount.
type quoteReader struct{ found []fault.Violation }

func (r *quoteReader) refuse(field, reason, description string) {
	r.found = append(r.found, fault.Violation{Field: field, Reason: reason, Description: description})
}

func (r *quoteReader) lacks(field, description string) {
	r.refuse(field, rules.ReasonValueRequired, description)
}

// err returns everything that is wrong, under the reason of the first field.
func (r *quoteReader) err() error {
	if len(r.found) == 0 {
		return nil
	}
	first := r.found[0]
	out := fault.New(fault.Invalid, first.Reason, "%s: %s", first.Field, first.Description)
	out.Violations = r.found
	return out
}

func (r *quoteReader) pence(field string, amount int64) money.Pence {
	if amount < 0 {
		r.refuse(field, rules.ReasonAmountNegative, "must not be negative")
	}
	return money.Pence(amount)
}

// decimal reads an exact decimal of at least 0; it returns 0 for one that is malformed.
func (r *quoteReader) decimal(field, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	switch {
	case text == "":
		r.lacks(field, "it is empty")
	case err != nil:
		r.refuse(field, rules.ReasonDecimalMalformed, err.Error())
	case value.Sign() < 0:
		r.refuse(field, rules.ReasonFigureNegative, "must not be negative")
	default:
		return value
	}
	return new(big.Rat)
}

// optional reads a decimal that may be left out; nil where it is.
func (r *quoteReader) optional(field, text string) *big.Rat {
	if text == "" {
		return nil
	}
	return r.decimal(field, text)
}

// wte reads a working time; left out, it is a whole one.
func (r *quoteReader) wte(text string) *big.Rat {
	if text == "" {
		return big.NewRat(1, 1)
	}
	return r.decimal("wte", text)
}

// date reads a day that may be left out.
func (r *quoteReader) date(field, text string) period.Date {
	if text == "" {
		return period.Date{}
	}
	return r.required(field, text)
}

func (r *quoteReader) required(field, text string) period.Date {
	day, err := period.ParseDate(text)
	if err != nil {
		r.refuse(field, rules.ReasonValueOutOfRange, err.Error())
	}
	return day
}

func (r *quoteReader) month(field, text string) period.Month {
	month, err := period.ParseMonth(text)
	if err != nil {
		r.refuse(field, rules.ReasonValueOutOfRange, err.Error())
	}
	return month
}

// year reads YYYY-YY, which a path can hold, as the calls on years do.
func (r *quoteReader) year(field, text string) period.FinancialYear {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		r.refuse(field, rules.ReasonValueOutOfRange, strconv.Quote(money.Clip(text))+" is not a financial year written YYYY-YY")
	}
	return year
}

// role finds a role; it returns an empty one where there is none.
func (r *quoteReader) role(scheme *rules.Scheme, code string) *rules.Role {
	role, known := scheme.Role(code)
	if !known {
		r.refuse("role_code", rules.ReasonRoleUnknown, strconv.Quote(money.Clip(code))+" is not a role")
		return new(rules.Role)
	}
	return role
}

// priceKey asks for the price of a role, by band and post where the role has several.
func (r *quoteReader) priceKey(role *rules.Role, band, post string) rules.PriceKey {
	key := rules.PriceKey{Role: role.Code}
	mental := role.Code == rules.MentalHealth
	if !mental && !role.NeedsAgreement {
		return key
	}
	key.Band, key.Post = band, rules.Post(post)
	if band == "" {
		r.lacks("band", "the role has several bands")
	}
	if mental && key.Post != rules.FirstPost && key.Post != rules.LaterPost {
		r.lacks("post", "it is first or later")
	}
	return key
}

func (r *quoteReader) onCosts(in *arrsv1.OnCosts) rules.OnCosts {
	return rules.OnCosts{
		NIRate:         r.decimal("on_costs.employer_ni_rate", in.GetEmployerNiRate()),
		NIThresholdGBP: r.pence("on_costs.ni_secondary_threshold_pence", in.GetNiSecondaryThresholdPence()).GBP(),
		PensionRate:    r.decimal("on_costs.employer_pension_rate", in.GetEmployerPensionRate()),
	}
}

// additionality reads the employed WTE and the baseline.
func (r *quoteReader) additionality(in *arrsv1.Additionality) (*big.Rat, rules.Baseline) {
	employed := r.decimal("additionality.employed_wte", in.GetEmployedWte())
	baseline := rules.Baseline{
		ID: quoteRef, WTE: r.decimal("additionality.baseline_wte", in.GetBaselineWte()),
		ExemptWTE: r.optional("additionality.exempt_wte", in.GetExemptWte()),
	}
	switch {
	case baseline.ExemptWTE == nil:
		baseline.ExemptWTE = new(big.Rat)
	case baseline.ExemptWTE.Cmp(baseline.WTE) > 0:
		r.refuse("additionality.exempt_wte", rules.ReasonValueOutOfRange, "it is a part of the baseline")
	}
	return employed, baseline
}

// rates reads the rates of pots, each at most once; none stays none.
func (r *quoteReader) rates(in []*arrsv1.PotRate) []rules.SumRate {
	out := make([]rules.SumRate, 0, len(in))
	for i, rate := range in {
		at := "rates[" + strconv.Itoa(i) + "]"
		row := rules.SumRate{Figure: quoteStated(), RateGBP: r.decimal(at+".rate_gbp", rate.GetRateGbp())}
		if pot := potOf(rate.GetPot()); slices.Contains([]rules.Pot{rules.MainPot, rules.GPPot, rules.SinglePot}, pot) {
			row.Pot = pot
		}
		twice := slices.ContainsFunc(out, func(before rules.SumRate) bool { return before.Pot == row.Pot })
		if row.Pot == "" || twice {
			r.refuse(at+".pot", rules.ReasonValueOutOfRange, "it is MAIN, GP or SINGLE, each at most once")
		}
		out = append(out, row)
	}
	return out
}

func (r *quoteReader) facts(in *arrsv1.EngagementFacts) rules.Facts {
	return factsOf(in, func(field, text string) period.Date { return r.date("facts."+field, text) })
}
