package rules_test

import (
	"encoding/csv"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/tables"
)

// inputs is one example's question; fields hold texts, whole numbers, truths and lists.
type inputs map[string]any

func (in inputs) text(name string) string {
	text, _ := in[name].(string)
	return text
}

func (in inputs) decimal(t testing.TB, name string) *big.Rat { return decimal(t, in.text(name)) }

func (in inputs) pence(t testing.TB, name string) money.Pence { return pence(t, in.text(name)) }

func (in inputs) year(t testing.TB) period.FinancialYear {
	year, err := period.ParseFinancialYear(in.text("financial_year"))
	require.NoError(t, err)
	return year
}

func (in inputs) answer(name string) rules.Answer {
	value, stated := in[name].(bool)
	switch {
	case !stated:
		return rules.Unstated
	case value:
		return rules.Yes
	}
	return rules.No
}

func decimal(t require.TestingT, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	require.NoError(t, err, text)
	return value
}

func pence(t require.TestingT, text string) money.Pence {
	amount, err := money.ParsePence(text)
	require.NoError(t, err, text)
	return amount
}

func date(t require.TestingT, text string) period.Date {
	day, err := period.ParseDate(text)
	require.NoError(t, err, text)
	return day
}

func month(t require.TestingT, text string) period.Month {
	m, err := period.ParseMonth(text)
	require.NoError(t, err, text)
	return m
}

func scheme(t require.TestingT) *rules.Scheme {
	s, err := tables.Scheme()
	require.NoError(t, err)
	return s
}

// answers computes an example's expected fields, by calc.
var answers = map[string]func(*testing.T, inputs) map[string]any{
	"entitlement":          exampleEntitlement,
	"entitlement_two_pots": exampleTwoPots,
	"employment_cost":      exampleCost,
	"hcas_addition":        exampleSupplement,
	"role_maximum":         exampleMaximum,
	"monthly_cap":          exampleCap,
	"mhp_maximum":          exampleMHPMaximum,
	"mhp_reimbursement":    exampleReimbursement,
	"reimbursement":        exampleReimbursement,
	"splw_subcontract":     exampleReimbursement,
	"role_limit":           exampleLimit,
	"eligibility":          exampleEligibility,
	"additionality":        exampleAdditionality,
	"year_limit":           exampleYearLimit,
	"unclaimed":            exampleUnclaimed,
	"backdate":             exampleBackdate,
	"form_validation":      exampleForm,
}

func TestExamples(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/arrs.csv")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 33)
	for _, row := range rows[1:] {
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			var in inputs
			require.NoError(t, json.Unmarshal([]byte(row[2]), &in))
			var expected map[string]any
			require.NoError(t, json.Unmarshal([]byte(row[3]), &expected))
			answer := answers[in.text("calc")]
			require.NotNil(t, answer, "no answer for %s", in.text("calc"))
			got := answer(t, in)
			for field, want := range expected {
				require.Equal(t, want, got[field], "%s: %s", row[1], field)
			}
		})
	}
}

func sumOf(t *testing.T, rate string, in inputs, pot rules.Pot) string {
	year, err := period.ParseFinancialYear("2024/25")
	require.NoError(t, err)
	rates := []rules.SumRate{{
		Figure: rules.Figure{ID: "R", Confidence: working.Official, CommissionerCode: rules.England},
		Months: rules.Months{From: year.First(), To: year.Last()}, Pot: pot, RateGBP: in.decimal(t, rate),
	}}
	sums, err := rules.Entitle(rates, year, rules.Population{Value: in.decimal(t, "weighted_population")}, "QX", period.Date{})
	require.NoError(t, err)
	require.Len(t, sums, 1)
	requireGives(t, sums[0].Working, sums[0].Amount)
	return sums[0].Amount.Plain()
}

func exampleEntitlement(t *testing.T, in inputs) map[string]any {
	return map[string]any{"entitlement_gbp": sumOf(t, "gbp_per_weighted_patient", in, rules.MainPot)}
}

func exampleTwoPots(t *testing.T, in inputs) map[string]any {
	sums, err := rules.Entitle(scheme(t).SumRates, 2024, rules.Population{Value: in.decimal(t, "weighted_population")}, "QX", period.Date{})
	require.NoError(t, err)
	require.Len(t, sums, 2)
	require.Equal(t, sumOf(t, "main_rate", in, rules.MainPot), sums[0].Amount.Plain())
	require.Equal(t, sumOf(t, "gp_rate", in, rules.GPPot), sums[1].Amount.Plain())
	forGP, _ := rules.PotOf(scheme(t).SumRates, rules.GP, month(t, "2024-11"))
	forOthers, _ := rules.PotOf(scheme(t).SumRates, rules.ClinicalPharmacist, month(t, "2024-11"))
	return map[string]any{
		"main": sums[0].Amount.Plain(), "gp": sums[1].Amount.Plain(),
		"transfer_between_pots_allowed": forGP == forOthers,
	}
}

func onCosts(t *testing.T, in inputs) rules.OnCosts {
	costs := rules.OnCosts{NIRate: in.decimal(t, "employer_ni_rate"), NIThresholdGBP: new(big.Rat), PensionRate: in.decimal(t, "employer_pension_rate")}
	if in.text("ni_secondary_threshold") != "" {
		costs.NIThresholdGBP = in.decimal(t, "ni_secondary_threshold")
	}
	return costs
}

func exampleCost(t *testing.T, in inputs) map[string]any {
	cost := rules.EmploymentCost(in.decimal(t, "annual_salary"), onCosts(t, in))
	amount, err := money.RoundHalfUp(cost)
	require.NoError(t, err)
	out := map[string]any{"annual_cost": amount.Plain(), "published_maximum": money.Format(money.Round(cost, money.HalfUp, 0))}
	if in.text("max_annual") != "" {
		headroom := in.pence(t, "max_annual") - amount
		out["headroom"], out["within_max"] = headroom.Plain(), headroom >= 0
	}
	return out
}

func exampleSupplement(t *testing.T, in inputs) map[string]any {
	costs := onCosts(t, in)
	addition := rules.SupplementCost(in.decimal(t, "hcas_amount"), costs)
	amount, err := money.RoundHalfUp(addition)
	require.NoError(t, err)
	regional := new(big.Rat).Add(in.decimal(t, "national_max"), addition)
	return map[string]any{"addition": amount.Plain(), "regional_max": money.Format(money.Round(regional, money.HalfUp, 0))}
}

func exampleMaximum(t *testing.T, in inputs) map[string]any {
	at := func(day, region string) string {
		of, err := rules.ParseRegion(region)
		require.NoError(t, err)
		price, err := scheme(t).Prices.At(rules.PriceKey{Role: in.text("role_code"), Region: of}, "QX", date(t, day).Month(), period.Date{})
		require.NoError(t, err)
		return money.Format(price.AnnualGBP)
	}
	out := make(map[string]any)
	if in.text("date") != "" {
		for _, region := range []string{"national", "inner_london", "outer_london"} {
			out[region] = at(in.text("date"), region)
		}
	}
	dates, _ := in["dates"].([]any)
	for _, day := range dates {
		out[day.(string)] = at(day.(string), in.text("region"))
	}
	return out
}

// priceOf is a price like the given one, at a figure that the example states.
func priceOf(annual *big.Rat) rules.Price {
	return rules.Price{
		Figure: rules.Figure{ID: "P", Confidence: working.Official, CommissionerCode: rules.England},
		Band:   "5", Region: rules.National, AnnualGBP: annual, Percent: big.NewRat(100, 1),
	}
}

func exampleCap(t *testing.T, in inputs) map[string]any {
	price := priceOf(in.decimal(t, "max_annual"))
	full, err := price.Monthly(in.decimal(t, "wte"))
	require.NoError(t, err)
	return map[string]any{"monthly_cap": full.Plain()}
}

func exampleMHPMaximum(t *testing.T, in inputs) map[string]any {
	region, err := rules.ParseRegion(in.text("region"))
	require.NoError(t, err)
	key := rules.PriceKey{Role: rules.MentalHealth, Band: in.text("band"), Post: rules.Post(in.text("post")), Region: region}
	price, err := scheme(t).Prices.At(key, "QX", month(t, "2025-04"), date(t, "2025-04-01"))
	require.NoError(t, err)
	full, err := price.Monthly(big.NewRat(1, 1))
	require.NoError(t, err)
	return map[string]any{"max_annual": money.Format(price.AnnualGBP), "monthly_cap": full.Plain()}
}

// exampleReimbursement assesses one line of an otherwise empty year.
func exampleReimbursement(t *testing.T, in inputs) map[string]any {
	role, when, band := in.text("role_code"), in.text("claim_month"), in.text("band")
	post := rules.Post(in.text("post"))
	switch in.text("calc") {
	case "splw_subcontract":
		role, when = rules.LinkWorker, "2020-06"
	case "mhp_reimbursement":
		role, when = rules.MentalHealth, "2025-05"
	default:
		if when == "" {
			when = "2019-10"
		}
	}
	line := lineFor(t, role, when)
	line.Band, line.Post, line.Known = band, post, line.Month.First()
	if in.text("region") != "" {
		region, err := rules.ParseRegion(in.text("region"))
		require.NoError(t, err)
		line.Region = region
	}
	kind, known := scheme(t).Role(role)
	require.True(t, known)
	switch {
	case in.text("wte") != "":
		line.PerWeek = new(big.Rat).Mul(in.decimal(t, "wte"), kind.FullTime)
	case in.text("sessions") != "":
		require.Equal(t, in.text("full_time_sessions"), money.Format(kind.FullTime))
		line.PerWeek = in.decimal(t, "sessions")
	default:
		require.Equal(t, in.text("full_time_hours"), money.Format(kind.FullTime))
		line.PerWeek = in.decimal(t, "hours_per_week")
	}
	if in.text("calc") == "splw_subcontract" {
		line.Salary, line.Fees = in.pence(t, "pay_and_oncosts"), in.pence(t, "supplier_fee")
	} else {
		line.Salary = in.pence(t, "actual_month_cost")
	}
	line.EmployerNI, line.EmployerPension = 0, 0

	c := contextFor(t, line.Month.FinancialYear())
	got, err := rules.Assess(c, line)
	require.NoError(t, err)
	requireHolds(t, got)
	require.Positive(t, got.Payable)
	out := map[string]any{"payable": got.Payable.Plain(), "wte": money.Format(got.WTE)}
	for _, part := range got.Parts {
		if part.Reason == rules.ReasonNetworkShare {
			out["network_share"] = part.Amount.Plain()
		}
	}
	for _, test := range got.Tests {
		for _, number := range test.Numbers {
			rounded, err := money.RoundHalfUp(number.Value)
			require.NoError(t, err)
			switch number.Name {
			case "monthly maximum":
				out["monthly_cap"] = rounded.Plain()
			case "fee allowed":
				out["fee_allowed"] = min(rounded, line.Fees).Plain()
			}
		}
	}
	if annual := in.text("max_annual"); annual != "" {
		for _, input := range got.Working.Inputs {
			if input.Name == "yearly maximum" {
				require.Equal(t, annual, money.Format(input.Value))
			}
		}
	}
	return out
}

func exampleLimit(t *testing.T, in inputs) map[string]any {
	size, _ := in["list_size"].(float64)
	out := make(map[string]any)
	years, _ := in["years"].([]any)
	for _, text := range years {
		year, err := period.ParseFinancialYear(text.(string))
		require.NoError(t, err)
		limit, err := rules.LimitAt(scheme(t).Limits, in.text("role_code"), rules.ListSize{Patients: int64(size), Known: true}, "QX", year.First(), period.Date{})
		require.NoError(t, err)
		out[text.(string)] = nil
		if limit != nil {
			most, err := json.Marshal(limit.Most.Num().Int64())
			require.NoError(t, err)
			var number any
			require.NoError(t, json.Unmarshal(most, &number))
			out[text.(string)] = number
		}
	}
	return out
}

func exampleEligibility(t *testing.T, in inputs) map[string]any {
	person := rules.Person{Role: in.text("role_code"), Start: date(t, in.text("start_date")), GPAgreed: in.answer("commissioner_agreed") == rules.Yes}
	person.Facts = rules.Facts{
		SubstantiveGPBefore: in.answer("previously_substantive_gp"), Temporary: in.answer("temporary"),
		SalariedElsewhere: rules.No, ModelTerms: rules.Yes, MoreSenior: in.answer("more_senior_or_specialist"),
	}
	if day := in.text("cct_date"); day != "" {
		person.Facts.TrainedOn = date(t, day)
	}
	if day := in.text("last_post_in_pcn_ended"); day != "" {
		person.Facts.HeldPost, person.Facts.LastPostEnded = rules.Yes, date(t, day)
	}
	require.Equal(t, in.year(t), person.Start.Month().FinancialYear())
	role, known := scheme(t).Role(person.Role)
	require.True(t, known)
	refused := rules.Eligible(scheme(t).Eligibility, role, person, period.Date{})
	if refused != nil {
		require.NotEqual(t, rules.ReasonFactMissing, refused.Reason)
	}
	return map[string]any{"eligible": refused == nil}
}

func exampleAdditionality(t *testing.T, in inputs) map[string]any {
	claimable := rules.ClaimableWTE(in.decimal(t, "employed_wte"), in.decimal(t, "baseline_wte"), in.decimal(t, "baseline_exempt_transferred_wte"))

	// The same through the tests: three posts claimed, of which the baseline takes one.
	c := contextFor(t, 2023)
	c.Baselines = []rules.Baseline{{Role: rules.ClinicalPharmacist, WTE: in.decimal(t, "baseline_wte")}}
	c.Employed = []rules.Employed{{Role: rules.ClinicalPharmacist, Month: month(t, "2023-05"), WTE: in.decimal(t, "employed_wte")}}
	var lines []rules.ClaimLine
	for _, person := range []string{"a", "b", "c"} {
		line := lineFor(t, rules.ClinicalPharmacist, "2023-05")
		line.ID, line.EngagementID, line.Person = person, person, person
		lines = append(lines, line)
	}
	year, err := rules.AssessYear(c, lines)
	require.NoError(t, err)
	admitted := new(big.Rat)
	for i := range year.Lines {
		requireHolds(t, &year.Lines[i])
		if year.Lines[i].AdmittedWTEDays != nil {
			admitted.Add(admitted, year.Lines[i].AdmittedWTEDays)
		}
	}
	require.Equal(t, 0, admitted.Cmp(new(big.Rat).Mul(claimable, big.NewRat(31, 1))))
	return map[string]any{"claimable_wte": claimable.FloatString(1)}
}

func exampleYearLimit(t *testing.T, in inputs) map[string]any {
	c := contextFor(t, 2023)
	c.Sums = []rules.PotSum{{Pot: rules.MainPot, Usable: in.pence(t, "entitlement"), PaidBefore: in.pence(t, "paid_to_date")}}
	// Two posts at the maximum and more, so that the claim alone is limited by the sum.
	c.Decisions = []rules.Decision{{ID: "D", Kind: rules.OverCeilingAgreed, Months: rules.Months{From: c.Year.First()}, Value: big.NewRat(3, 1)}}
	line := lineFor(t, rules.ClinicalPharmacist, "2023-10")
	line.Salary, line.EmployerNI, line.EmployerPension = in.pence(t, "claim"), 0, 0
	line.PerWeek = big.NewRat(3*75, 2)
	year, err := rules.AssessYear(c, []rules.ClaimLine{line})
	require.NoError(t, err)
	requireHolds(t, &year.Lines[0])
	return map[string]any{
		"payable": year.Lines[0].Payable.Plain(), "unfunded": year.Pots[0].Unfunded.Plain(), "carry_forward": year.Pots[0].Left.Plain(),
	}
}

func exampleUnclaimed(t *testing.T, in inputs) map[string]any {
	planning, found := rules.PlanningFor(scheme(t).Planning, in.year(t))
	require.True(t, found)
	entitlement, agreed := in.pence(t, "entitlement"), in.pence(t, "agreed_unclaimed")
	require.NoError(t, rules.AgreeUnclaimed(planning, entitlement, agreed))
	sum, err := rules.Usable(rules.Entitlement{Pot: rules.MainPot, Amount: entitlement}, agreed, 0)
	require.NoError(t, err)
	awards, left, err := rules.AwardUnclaimed(planning, agreed, []rules.Bid{{ID: "1", PCN: "U2", Asked: agreed}}, date(t, "2022-11-01"))
	require.NoError(t, err)
	require.Zero(t, left)
	return map[string]any{"usable": sum.Usable.Plain(), "available_to_other_pcns": awards[0].Awarded.Plain()}
}

func exampleBackdate(t *testing.T, in inputs) map[string]any {
	c := contextFor(t, 2025)
	own := *c.Scheme
	c.Scheme = &own
	before, after := priceOf(in.decimal(t, "old_max_annual")), priceOf(in.decimal(t, "new_max_annual"))
	for _, price := range []*rules.Price{&before, &after} {
		price.Role, price.Months = "CC", rules.Months{From: c.Year.First(), To: c.Year.Last()}
	}
	before.KnownFrom, after.KnownFrom, after.ID = date(t, "2025-04-01"), date(t, "2025-08-01"), "P2"
	own.Prices = rules.NewPrices([]rules.Price{before, after})
	months, _ := in["months"].(float64)
	var lines []rules.ClaimLine
	for i := range int(months) {
		line := lineFor(t, "CC", c.Year.First().Add(i).String())
		line.ID, line.Salary, line.EmployerNI, line.EmployerPension = line.Month.String(), in.pence(t, "monthly_claimed"), 0, 0
		line.PerWeek = new(big.Rat).Mul(in.decimal(t, "wte"), big.NewRat(75, 2))
		line.Known = line.Month.Last()
		lines = append(lines, line)
	}
	then, err := rules.AssessYear(c, lines)
	require.NoError(t, err)
	for i := range lines {
		lines[i].Salary, lines[i].Known = in.pence(t, "monthly_cost_after_uplift"), date(t, "2025-08-20")
	}
	now, err := rules.AssessYear(c, lines)
	require.NoError(t, err)
	items := make([]rules.UpliftItem, len(lines))
	for i := range lines {
		items[i] = rules.UpliftItem{PassedOn: in.answer("passed_on_to_staff"), Paid: then.Lines[i].Payable, After: &now.Lines[i]}
	}
	uplifted, err := rules.Uplift(items, map[rules.Pot]money.Pence{rules.SinglePot: 10_000_000})
	require.NoError(t, err)
	for _, line := range uplifted.Lines {
		requireGives(t, line.Working, line.Payable)
	}
	return map[string]any{"adjustment": uplifted.Payable.Plain()}
}

func exampleForm(t *testing.T, in inputs) map[string]any {
	_, violations := rules.ValidateLine(scheme(t), rules.FormLine{
		ID: "1", Role: "CC", StartDate: "2025-04-01", HoursPerWeek: in.text("hours_per_week"), MonthlySalary: in.text("monthly_salary"),
		MonthlyNI: in.text("monthly_employer_ni"), MonthlyPension: in.text("monthly_employer_pension"), MonthlyFees: in.text("monthly_fees"),
	}, month(t, "2025-05"), "QX")
	out := map[string]any{"valid": len(violations) == 0}
	if len(violations) == 1 {
		out["field"] = violations[0].Field
	}
	return out
}

// contextFor is a network with an empty baseline and ample sums.
func contextFor(t require.TestingT, year period.FinancialYear) *rules.Context {
	c := &rules.Context{
		Scheme: scheme(t), Year: year, PCN: "U00001", Commissioner: "QX", Region: rules.National,
		List: rules.ListSize{Patients: 45_000, Known: true},
	}
	for _, role := range c.Scheme.Roles {
		if role.Baseline {
			c.Baselines = append(c.Baselines, rules.Baseline{Role: role.Code, WTE: new(big.Rat)})
		}
	}
	for _, pot := range []rules.Pot{rules.MainPot, rules.GPPot, rules.SinglePot, rules.PharmacistOffer, rules.LinkWorkerOffer} {
		c.Sums = append(c.Sums, rules.PotSum{Pot: pot, Usable: 200_000_000})
	}
	return c
}

// lineFor is a full-time line of somebody who meets every rule.
func lineFor(t require.TestingT, role, when string) rules.ClaimLine {
	m := month(t, when)
	line := rules.ClaimLine{
		ID: "L", EngagementID: "E", Person: "P", Role: role, Month: m, Start: m.First().AddDays(-40),
		PerWeek: big.NewRat(75, 2), Salary: 300_000, EmployerNI: 30_000, EmployerPension: 43_140,
		Facts: eligibleFacts(m),
	}
	if kind, known := scheme(t).Role(role); known {
		line.PerWeek = kind.FullTime
		if line.Start.Before(kind.From) && !m.Last().Before(kind.From) {
			line.Start = kind.From
		}
	}
	return line
}

func eligibleFacts(m period.Month) rules.Facts {
	return rules.Facts{
		TrainedOn: m.First().AddDays(-100), SubstantiveGPBefore: rules.No, Temporary: rules.No, SalariedElsewhere: rules.No,
		ModelTerms: rules.Yes, HeldPost: rules.No, OnPathway: rules.Yes, Level7: rules.Yes, Nurse: rules.No, InBaseline: rules.No,
	}
}

func requireGives(t require.TestingT, w *working.Working, amount money.Pence) {
	got, err := working.Evaluate(w)
	require.NoError(t, err)
	require.Equal(t, 0, got.Cmp(amount.GBP()), "the working gives %s, the amount is %s", money.Format(got), amount)
}

// requireHolds checks what holds of every line.
func requireHolds(t require.TestingT, line *rules.Assessed) {
	sum := line.Payable
	for _, part := range line.Parts {
		require.Positive(t, part.Amount)
		require.NotEmpty(t, part.Reason)
		sum += part.Amount
	}
	require.Equal(t, line.Claimed, sum)
	require.LessOrEqual(t, line.Payable, line.WithinMaximum)
	if line.Working != nil {
		requireGives(t, line.Working, line.Payable)
	} else {
		require.Zero(t, line.Payable)
	}
	for i, test := range line.Tests {
		require.Equal(t, rules.Test(i+1), test.Test)
	}
}

func reasonsOf(line *rules.Assessed) string {
	var reasons []string
	for _, part := range line.Parts {
		reasons = append(reasons, part.Reason)
	}
	return strings.Join(reasons, " ")
}

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, reason, fault.ReasonOf(err))
}
