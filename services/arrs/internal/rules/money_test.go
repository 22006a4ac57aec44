package rules_test

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/tables"
)

func schemeForFuzz() (*rules.Scheme, error) { return tables.Scheme() }

func TestEntitle_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := scheme(t)
	population := rules.Population{Value: big.NewRat(50_000, 1)}
	cases := []struct {
		year   period.FinancialYear
		known  string
		pots   string
		reason string
	}{
		{2020, "", "[main]", ""},
		{2021, "", "[main]", rules.ReasonSumNotConfirmed},
		{2022, "", "[main]", ""},
		{2024, "2024-09-30", "[main]", ""},
		{2024, "", "[main gp]", ""},
		{2025, "2025-07-31", "[single]", ""},
		{2025, "2025-08-01", "[single]", rules.ReasonSumUnknown},
		{2026, "", "[single]", ""},
	}
	for _, c := range cases {
		var day period.Date
		if c.known != "" {
			day = date(t, c.known)
		}
		sums, err := rules.Entitle(s.SumRates, c.year, population, "QX", day)
		require.NoError(t, err)
		var pots []rules.Pot
		for _, sum := range sums {
			pots = append(pots, sum.Pot)
			if c.reason != "" {
				require.NotNil(t, sum.Refused, c.year)
				require.Equal(t, c.reason, sum.Refused.Reason)
				continue
			}
			require.Nil(t, sum.Refused, c.year)
			requireGives(t, sum.Working, sum.Amount)
		}
		require.Equal(t, c.pots, fmt.Sprint(pots))
	}
	sums, err := rules.Entitle(s.SumRates, 2022, population, "QX", period.Date{})
	require.NoError(t, err)
	require.Equal(t, "834800.00", sums[0].Amount.Plain(), "as published for 50,000 weighted patients")
	sums, err = rules.Entitle(s.SumRates, 2022, rules.Population{}, "QX", period.Date{})
	require.NoError(t, err)
	require.Equal(t, rules.ReasonPopulationMissing, sums[0].Refused.Reason)
	require.Contains(t, sums[0].Refused.Message, "2022-01-01")
}

func TestOffers_AreTheTwoPostsOf2019(t *testing.T) {
	t.Parallel()
	s := scheme(t)
	offers := func(patients int64) []rules.Entitlement {
		out, err := rules.Offers(s.Prices, s.Limits, rules.InnerLondon, rules.ListSize{Patients: patients, Known: true}, "QX", period.Date{})
		require.NoError(t, err)
		require.Len(t, out, 2)
		return out
	}
	small, large := offers(100_000), offers(100_001)
	require.Equal(t, "28357.50", small[0].Amount.Plain(), "37,810 × 9 ÷ 12")
	require.Equal(t, "25584.75", small[1].Amount.Plain(), "34,113 × 9 ÷ 12")
	require.Equal(t, "56715.00", large[0].Amount.Plain())
	require.Equal(t, rules.ReasonLimitUnknown, large[1].Refused.Reason, "doubling is not confirmed for link workers")
	requireGives(t, large[0].Working, large[0].Amount)

	for month := month(t, "2019-07"); !month.After(period.FinancialYear(2019).Last()); month = month.Add(1) {
		pot, found := rules.PotOf(s.SumRates, rules.LinkWorker, month)
		require.True(t, found)
		require.Equal(t, rules.LinkWorkerOffer, pot, "one offer does not pay for the other")
	}
}

func TestUsable_TakesWhatWasGivenUpAndAwarded(t *testing.T) {
	t.Parallel()
	e := rules.Entitlement{Pot: rules.MainPot, Amount: 1000}
	sum, err := rules.Usable(e, 300, 50)
	require.NoError(t, err)
	require.EqualValues(t, 750, sum.Usable)
	_, err = rules.Usable(e, 1001, 0)
	requireReason(t, err, rules.ReasonUnclaimedExceedsSum)
	_, err = rules.Usable(e, -1, 0)
	requireReason(t, err, rules.ReasonAmountNegative)
}

func TestPositionOf_TellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	p, err := rules.PositionOf(rules.PotSum{Pot: rules.MainPot, Usable: 1000}, 400, 450, 200)
	require.NoError(t, err)
	require.Equal(t, []money.Pence{600, 150, -50}, []money.Pence{p.Remaining, p.FreeOfCommitments, p.Forecast})
}

func TestUplift_PaysOnlyWhatWasPassedOn(t *testing.T) {
	t.Parallel()
	after := func(id string, due money.Pence) *rules.Assessed {
		return &rules.Assessed{LineID: id, Pot: rules.SinglePot, WithinMaximum: due, Payable: due, Claimed: due}
	}
	waits := after("waits", 0)
	waits.Parts = []rules.Part{{Reason: rules.ReasonPriceUnknown, Amount: 5, Missing: "maximum of GP"}}
	out, err := rules.Uplift([]rules.UpliftItem{
		{PassedOn: rules.Yes, Paid: 500, After: after("paid", 600)},
		{PassedOn: rules.No, Paid: 500, After: after("kept", 600)},
		{PassedOn: rules.Unstated, Paid: 500, After: after("unsaid", 600)},
		{PassedOn: rules.Yes, Paid: 700, After: after("less", 600)},
		{PassedOn: rules.Yes, Paid: 500, After: waits},
		{PassedOn: rules.Yes, Paid: 500, After: after("last", 600)},
	}, map[rules.Pot]money.Pence{rules.SinglePot: 130})
	require.NoError(t, err)
	reasons := []string{"", rules.ReasonUpliftNotPassedOn, rules.ReasonUpliftNotPassedOn, rules.ReasonUpliftBelowPaid, rules.ReasonPriceUnknown, rules.ReasonOverYearSum}
	payable := []money.Pence{100, 0, 0, 0, 0, 30}
	withheld := []money.Pence{0, 100, 100, 0, 0, 70}
	for i, line := range out.Lines {
		require.Equal(t, reasons[i], line.Reason, line.LineID)
		require.Equal(t, payable[i], line.Payable, line.LineID)
		require.Equal(t, withheld[i], line.Withheld, line.LineID)
		if line.Working != nil {
			requireGives(t, line.Working, line.Payable)
		}
	}
	require.EqualValues(t, 130, out.Payable)
	require.Zero(t, out.Left[rules.SinglePot])
	item := rules.UpliftItem{PassedOn: rules.Yes, After: after("twice", 1)}
	_, err = rules.Uplift([]rules.UpliftItem{item, item}, nil)
	requireReason(t, err, rules.ReasonLineTwice)
}

func TestAwardUnclaimed_FollowsTheYear(t *testing.T) {
	t.Parallel()
	bids := []rules.Bid{{ID: "1", PCN: "U1", Asked: 100}, {ID: "2", PCN: "U2", Asked: 100}, {ID: "3", PCN: "U3", Asked: 100}}
	cases := []struct {
		year   period.FinancialYear
		on     string
		reason string
	}{
		{2019, "2019-12-01", rules.ReasonPlanRulesUnknown},
		{2020, "2020-12-01", ""},
		{2021, "2021-12-01", ""},
		{2022, "2023-03-31", ""},
		{2022, "2023-04-01", rules.ReasonAwardsStopped},
		{2023, "2023-11-16", ""},
		{2023, "2023-11-17", rules.ReasonAwardsStopped},
		{2024, "2024-06-01", rules.ReasonNoUnclaimedMechanism},
		{2025, "2025-06-01", rules.ReasonNoUnclaimedMechanism},
		{2026, "2026-06-01", rules.ReasonNoUnclaimedMechanism},
	}
	for _, c := range cases {
		planning, found := rules.PlanningFor(scheme(t).Planning, c.year)
		require.True(t, found)
		awards, left, err := rules.AwardUnclaimed(planning, 200, bids, date(t, c.on))
		if c.reason != "" {
			requireReason(t, err, c.reason)
			continue
		}
		require.NoError(t, err)
		require.Zero(t, left)
		require.Equal(t, []money.Pence{67, 67, 66}, []money.Pence{awards[0].Awarded, awards[1].Awarded, awards[2].Awarded})
	}
	planning, _ := rules.PlanningFor(scheme(t).Planning, 2022)
	for _, bad := range [][]rules.Bid{
		{{ID: "1", PCN: "U1"}},
		{{ID: "1", Asked: 1}},
		{{ID: "1", PCN: "U1", Asked: 1}, {ID: "1", PCN: "U2", Asked: 1}},
		{{ID: "1", PCN: "U1", Asked: 1}, {ID: "2", PCN: "U2", Asked: 1, Weight: big.NewRat(1, 1)}},
	} {
		_, _, err := rules.AwardUnclaimed(planning, 10, bad, date(t, "2022-12-01"))
		requireReason(t, err, rules.ReasonBidInvalid)
	}
	requireReason(t, rules.AgreeUnclaimed(planning, 100, 101), rules.ReasonUnclaimedExceedsSum)
	requireReason(t, rules.AgreeUnclaimed(planning, 100, 0), rules.ReasonAmountNegative)
	require.EqualValues(t, 25, rules.EstimateUnclaimed(100, 75))
	require.Zero(t, rules.EstimateUnclaimed(100, 175))
}

func plan(t *testing.T) rules.PlanLine {
	line := rules.PlanLine{ID: "PL", PCN: "U00001", PlannedIn: 2023, Year: 2023, Role: "CC", Intention: rules.Firm, InPost: big.NewRat(1, 1), EstimatedCost: 5_000_000}
	for i := range line.WTE {
		line.WTE[i] = big.NewRat(int64(1+i/6), 1)
	}
	return line
}

func TestCheckPlanLine_NamesBadFields(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*rules.PlanLine){
		"role":              func(l *rules.PlanLine) { l.Role = "XX" },
		"pcn_code":          func(l *rules.PlanLine) { l.PCN = "" },
		"intention":         func(l *rules.PlanLine) { l.PlannedIn, l.Year = 2020, 2021 },
		"financial_year":    func(l *rules.PlanLine) { l.PlannedIn, l.Year, l.Intention = 2020, 2024, rules.Indicative },
		"planned_in":        func(l *rules.PlanLine) { l.PlannedIn = 2018 },
		"wte_in_post":       func(l *rules.PlanLine) { l.InPost = big.NewRat(-1, 1) },
		"planned_wte":       func(l *rules.PlanLine) { l.WTE[3] = big.NewRat(-1, 1) },
		"estimated_cost":    func(l *rules.PlanLine) { l.EstimatedCost = -1 },
		"start_month":       func(l *rules.PlanLine) { l.StartMonth = month(t, "2024-04") },
		"recruitment_model": func(l *rules.PlanLine) { l.RecruitmentModel = "rented" },
	}
	good := plan(t)
	require.Empty(t, rules.CheckPlanLine(scheme(t), &good))
	for field, change := range cases {
		line := plan(t)
		change(&line)
		found := rules.CheckPlanLine(scheme(t), &line)
		require.Len(t, found, 1, field)
		require.Equal(t, field, found[0].Field)
	}
	first := plan(t)
	first.PlannedIn, first.Year = 2020, 2020
	require.Empty(t, rules.CheckPlanLine(scheme(t), &first), "firm for the first year itself")
	first.Year, first.Intention = 2023, rules.Indicative
	require.Empty(t, rules.CheckPlanLine(scheme(t), &first))

	require.NoError(t, good.Locked())
	good.AgreedOn = date(t, "2023-08-31")
	requireReason(t, good.Locked(), rules.ReasonPlanLocked)
	good.Intention = rules.Indicative
	require.NoError(t, good.Locked())
}

func TestComparePlan_SetsPlanAgainstSumAndClaims(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	c.Sums = []rules.PotSum{{Pot: rules.MainPot, Usable: 6_000_000}}
	line := lineFor(t, "CC", "2023-05")
	year, err := rules.AssessYear(c, []rules.ClaimLine{line})
	require.NoError(t, err)
	got, err := rules.ComparePlan(c, []rules.PlanLine{plan(t)}, year.Lines)
	require.NoError(t, err)
	require.Len(t, got.Pots, 1)
	require.EqualValues(t, 1_000_000, got.Pots[0].Gap)
	require.Equal(t, year.Lines[0].Payable, got.Pots[0].Paid)
	require.Equal(t, "CC", got.Roles[0].Role)
	require.Equal(t, "1", money.Format(got.Roles[0].Claimed[1]))
	require.Equal(t, "2", money.Format(got.Roles[0].Planned[11]))

	other := plan(t)
	other.ID, other.PCN = "PL2", "U00002"
	collated, err := rules.Collate([]rules.PlanLine{plan(t), other}, func(string) string { return "QX" })
	require.NoError(t, err)
	require.Len(t, collated, 1)
	require.Equal(t, 2, collated[0].PCNs)
	require.Equal(t, "4", money.Format(collated[0].WTE[11]))
	require.EqualValues(t, 10_000_000, collated[0].Cost)
}

func TestForecastYear_CarriesOnToTheEnd(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	c.Sums = []rules.PotSum{{Pot: rules.MainPot, Usable: 10_000_000}}
	stays, leaves := lineFor(t, "CC", "2023-12"), lineFor(t, "CC", "2023-12")
	stays.Salary, stays.EmployerNI, stays.EmployerPension = 200_000, 0, 0
	leaves.ID, leaves.EngagementID, leaves.Person = "L2", "E2", "P2"
	leaves.Salary, leaves.EmployerNI, leaves.EmployerPension = 100_000, 0, 0
	year, err := rules.AssessYear(c, []rules.ClaimLine{stays, leaves})
	require.NoError(t, err)
	planned := plan(t) // two posts, both filled in January; from 16 January one is vacant
	in := rules.ForecastInput{
		AsOf: month(t, "2023-12"), Claims: year.Lines,
		Staff:     []rules.Staff{{Last: &year.Lines[0]}, {Last: &year.Lines[1], End: date(t, "2024-01-31")}},
		Vacancies: []rules.Vacancy{{ID: "V", Role: "EPN", WTE: big.NewRat(1, 1), Start: month(t, "2024-03")}, {ID: "W", Role: rules.ClinicalPharmacist, WTE: big.NewRat(1, 2), Start: month(t, "2024-03")}},
		Plan:      []rules.PlanLine{planned},
	}
	f, err := rules.ForecastYear(c, in)
	require.NoError(t, err)
	require.Len(t, f.Pots, 1)
	pot := f.Pots[0]
	require.Equal(t, "3000.00", pot.Paid.Plain())
	require.Equal(t, "7000.00", pot.Committed.Plain(), "2,000 for three months and 1,000 for one")
	require.Equal(t, "8163.50", pot.Expected.Plain(), "the planned post in February and March, 33,396 ÷ 12 each, and half a pharmacist")
	require.Equal(t, "18163.50", pot.Spend.Plain())
	require.Equal(t, "81836.50", pot.Forecast.Plain())
	require.Len(t, f.Missing, 1, "there is no price of an enhanced practice nurse before April 2024")
	require.Contains(t, f.Assumptions, rules.AssumeMissingPricesNothing)

	twice := in
	twice.Plan = []rules.PlanLine{planned, planned}
	more, err := rules.ForecastYear(c, twice)
	require.NoError(t, err)
	require.Equal(t, "34861.50", more.Pots[0].Wanted.Plain(), "a second line is not met by the same staff: two posts more for three months")

	c.Sums[0].Usable = 1_500_000
	tight, err := rules.ForecastYear(c, in)
	require.NoError(t, err)
	require.Equal(t, "15000.00", tight.Pots[0].Spend.Plain())
	require.Equal(t, "18163.50", tight.Pots[0].Wanted.Plain())

	second := *tight
	second.PCN = "U00002"
	all, err := rules.ForecastAll([]rules.Forecast{*f, second})
	require.NoError(t, err)
	require.Equal(t, "33163.50", all.Pots[0].Spend.Plain())
	require.Equal(t, "81836.50", all.Pots[0].Unspent.Plain(), "one network's rest is not another's")
	_, err = rules.ForecastAll([]rules.Forecast{*f, *tight})
	requireReason(t, err, rules.ReasonForecastPeriodInvalid)

	in.AsOf = month(t, "2024-04")
	_, err = rules.ForecastYear(c, in)
	requireReason(t, err, rules.ReasonForecastPeriodInvalid)
}

func TestOverlaps_FindsOnePersonTwice(t *testing.T) {
	t.Parallel()
	wte := func(tenths int64) *big.Rat { return big.NewRat(tenths, 10) }
	engagements := []rules.Engagement{
		{ID: "1", Person: "a", PCN: "U1", Role: "CP", Employer: "X", WTE: wte(8), Start: date(t, "2025-04-01"), End: date(t, "2025-06-30")},
		{ID: "2", Person: "a", PCN: "U2", Role: "CP", Employer: "X", WTE: wte(3), Start: date(t, "2025-06-01")},
		{ID: "3", Person: "b", PCN: "U1", Role: "CC", Employer: "X", WTE: wte(5), Start: date(t, "2025-04-01")},
		{ID: "4", Person: "b", PCN: "U1", Role: "CC", Employer: "X", WTE: wte(5), Start: date(t, "2025-05-01")},
		{ID: "5", Person: "c", PCN: "U1", Role: "CC", Employer: "X", WTE: wte(10), Start: date(t, "2025-04-01"), End: date(t, "2025-04-30")},
		{ID: "6", Person: "c", PCN: "U2", Role: "CC", Employer: "X", WTE: wte(10), Start: date(t, "2025-05-01")},
		{ID: "7", Person: "d", PCN: "U2", Role: "CC", Employer: "X", WTE: wte(11), Start: date(t, "2025-07-01")},
	}
	got := rules.Overlaps(engagements, big.NewRat(1, 1))
	var texts []string
	for _, o := range got {
		texts = append(texts, fmt.Sprintf("%s %v %v %s–%s %s", o.Kind, o.Engagements, o.PCNs, o.From, o.To, o.WTE.FloatString(1)))
	}
	require.Equal(t, []string{
		"DUPLICATE [3 4] [U1] 2025-05-01– 1.0",
		"CONCURRENT [1 2] [U1 U2] 2025-06-01–2025-06-30 1.1",
		"OVER_FULL_TIME [1 2] [U1 U2] 2025-06-01–2025-06-30 1.1",
		"OVER_FULL_TIME [7] [U2] 2025-07-01– 1.1",
	}, texts)
}

func TestValidate_NamesEachBadFieldWithoutPay(t *testing.T) {
	t.Parallel()
	s := scheme(t)
	form := rules.FormLine{
		ID: "1", Role: "CC", StartDate: "2025-06-01", LeftDate: "2025-04-01", HoursPerWeek: "0.5", MonthlySalary: "10000.01",
		MonthlyNI: "1000.01", MonthlyPension: "x9876.54", MonthlyFees: "0.01",
	}
	line, found := rules.ValidateLine(s, form, month(t, "2025-05"), "QX")
	require.Nil(t, line)
	fields := make(map[string]string)
	for _, v := range found {
		fields[v.Field] += v.Reason
		for _, pay := range []string{"10000.01", "1000.01", "9876"} {
			require.NotContains(t, v.Description, pay)
		}
	}
	require.Equal(t, map[string]string{
		"start_date": rules.ReasonDatesOutOfOrder, "left_date": rules.ReasonDatesOutOfOrder + rules.ReasonDatesOutOfOrder,
		"hours_worked_per_week": rules.ReasonValueOutOfRange, "monthly_salary": rules.ReasonValueOutOfRange,
		"monthly_employer_ni": rules.ReasonValueOutOfRange, "monthly_employer_pension": rules.ReasonDecimalMalformed,
		"monthly_fees": rules.ReasonValueOutOfRange,
	}, fields)

	good := rules.FormLine{ID: "1", Role: "SPLW", StartDate: "2025-04-01", HoursPerWeek: "40", MonthlySalary: "10000", MonthlyNI: "1000", MonthlyPension: "0", MonthlyFees: "1000"}
	line, found = rules.ValidateLine(s, good, month(t, "2025-05"), "QX")
	require.Empty(t, found)
	require.EqualValues(t, 1_000_000, line.Salary)
	gp := rules.FormLine{ID: "1", Role: "GP", StartDate: "2026-04-01", SessionsPerWeek: "9", MonthlySalary: "9000", MonthlyNI: "1422", MonthlyPension: "0"}
	_, found = rules.ValidateLine(s, gp, month(t, "2026-05"), "QX")
	require.Empty(t, found, "the bound of a GP's National Insurance is not known, and the old one must have gone")
	good.HoursPerWeek = "1"
	_, found = rules.ValidateLine(s, good, month(t, "2025-05"), "QX")
	require.Empty(t, found)
	good.SessionsPerWeek = "1"
	_, found = rules.ValidateLine(s, good, month(t, "2025-05"), "QX")
	require.Len(t, found, 1)
	require.Equal(t, rules.ReasonMeasureMismatch, found[0].Reason)
	good.SessionsPerWeek = ""
	pharmacist := good
	pharmacist.Role, pharmacist.MonthlyFees = "CP", ""
	_, found = rules.ValidateLine(s, pharmacist, month(t, "2025-05"), "QX")
	require.Len(t, found, 1)
	require.Equal(t, "meets_training_requirements", found[0].Field)

	head := rules.ClaimHead{Month: month(t, "2025-05"), ListSize: "45000", PCNCode: "U1", PayeeCode: "P", CommissionerCode: "QX", SubmittedBy: "m", Declared: true}
	require.Empty(t, rules.ValidateHead(s, head, date(t, "2025-11-30")))
	require.Equal(t, "claim_month", rules.ValidateHead(s, head, date(t, "2025-12-01"))[0].Field)
	require.Empty(t, rules.ValidateHead(s, head, date(t, "2023-06-01")))
	require.Equal(t, "claim_month", rules.ValidateHead(s, head, date(t, "2023-05-31"))[0].Field)
	require.Len(t, rules.ValidateHead(s, rules.ClaimHead{}, date(t, "2025-06-01")), 7)
}

func TestSetting_ChecksNameAndValue(t *testing.T) {
	t.Parallel()
	for _, s := range []rules.Setting{
		{Name: rules.SettingRounding, Value: rules.RoundingDown},
		{Name: rules.SettingPartMonth, Value: rules.PartMonthWholeMonth},
		{Name: rules.SettingWTECeiling, Value: "1.2"},
		{Name: rules.SettingRetentionMonths, Value: "24"},
	} {
		require.NoError(t, s.Check())
		s.Value = "other"
		requireReason(t, s.Check(), rules.ReasonSettingInvalid)
	}
	requireReason(t, rules.Setting{Name: "OTHER", Value: "1"}.Check(), rules.ReasonSettingInvalid)
	for _, known := range rules.Defaults() {
		require.NoError(t, rules.Setting{Name: known.Name, Value: known.Value}.Check(), known.Name)
	}
}

// All England: 15,000 lines of 1,250 networks with a year each.
func BenchmarkAssessYear_AllEngland(b *testing.B) {
	const networks, perNetwork = 1_250, 12
	c := contextFor(b, 2023)
	roles := []string{"CP", "CC", "SPLW", "PARA", "FCP", "PT", "PA", "AP", "GPA", "HWBC", "NA", "OT"}
	lines := make([]rules.ClaimLine, perNetwork)
	for i := range lines {
		line := lineFor(b, roles[i], "2023-10")
		line.ID, line.EngagementID, line.Person = fmt.Sprint(i), fmt.Sprint("E", i), fmt.Sprint("P", i)
		line.PerWeek = big.NewRat(int64(150+i*20), 10)
		lines[i] = line
	}
	b.ReportAllocs()
	for b.Loop() {
		for range networks {
			if _, err := rules.AssessYear(c, lines); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(networks*perNetwork), "µs/line")
}
