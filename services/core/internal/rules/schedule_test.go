package rules_test

import (
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// books is what a commissioner has scheduled so far, with what a later close needs of it.
type books struct {
	commissioner string
	lines        []rules.ScheduledLine
	workings     map[string]*working.Working
	closed       map[period.Month]bool
	sequences    map[period.Month]int
	waiting      map[rules.Group]string
	rails        []rules.Rail
}

func newBooks(commissioner string) *books {
	return &books{
		commissioner: commissioner, workings: make(map[string]*working.Working), closed: make(map[period.Month]bool),
		sequences: make(map[period.Month]int), waiting: make(map[rules.Group]string),
	}
}

// close schedules a month: what each month closed so far, and the month itself, comes to by the inputs given.
func (b *books) close(t require.TestingT, month period.Month, inputs func(period.Month) rules.ForMonth) []rules.Line {
	due := make(map[period.Month]*rules.Entitled)
	for m := range maps.Keys(b.closed) {
		due[m] = b.entitle(t, inputs(m))
	}
	due[month] = b.entitle(t, inputs(month))
	lines := b.schedule(t, month, due)
	b.closed[month] = true
	return lines
}

func (b *books) entitle(t require.TestingT, in rules.ForMonth) *rules.Entitled {
	entitled, err := rules.Entitle(in)
	require.NoError(t, err)
	return entitled
}

func (b *books) schedule(t require.TestingT, month period.Month, due map[period.Month]*rules.Entitled) []rules.Line {
	b.sequences[month]++
	closing := &rules.Close{
		CommissionerCode: b.commissioner, Month: month, Sequence: b.sequences[month], Months: due, Closed: b.closed,
		Scheduled: b.lines, Rails: b.rails, Waiting: func(g rules.Group) string { return b.waiting[g] },
	}
	differences, err := rules.Differences(closing)
	require.NoError(t, err)
	lines, err := rules.Explain(closing, differences, b.workings)
	require.NoError(t, err)
	for _, line := range lines {
		b.lines = append(b.lines, rules.ScheduledLine{
			LineID: line.LineID, Key: line.Key, PCNName: line.PCNName, PayeeName: line.PayeeName, Amount: line.Amount, Instruction: line.Instruction,
			Sequence: int64(month.Sub(period.Month{})*1000 + b.sequences[month]),
		})
		b.workings[line.LineID] = line.Working
	}
	for _, entitled := range due {
		for _, r := range entitled.Refusals {
			b.waiting[r.Group] = r.Reason
		}
		for _, w := range entitled.Withheld {
			b.waiting[w.Group] = w.Reason
		}
	}
	return lines
}

func (b *books) total(forMonth period.Month) money.Pence {
	var sum money.Pence
	for _, line := range b.lines {
		if line.ForMonth == forMonth {
			sum += line.Amount
		}
	}
	return sum
}

func rat(text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return value
}

func month(text string) period.Month {
	m, err := period.ParseMonth(text)
	if err != nil {
		panic(err)
	}
	return m
}

func rate(id, payment, gbp, from, to string, unit rules.Unit) rules.Rate {
	r := rules.Rate{
		ID: id, PaymentCode: payment, Name: payment, From: month(from), To: month(to), Unit: unit, Timing: rules.Monthly,
		FundingSource: "PRIMARY_MEDICAL_ALLOCATION", Source: "test", Confidence: working.Official, CommissionerCode: rules.England,
	}
	if gbp == "" {
		r.Confidence = working.Unknown
	} else {
		r.RateGBP = rat(gbp)
	}
	return r
}

func practice(code, payer string, unit rules.Unit, population string) rules.Practice {
	return rules.Practice{
		Code: code, Name: "Practice " + code, PayerCode: payer, Owed: payer != "", Participating: true,
		Populations: map[rules.Unit]rules.Figure{unit: {Value: rat(population), LoadID: "load-1"}},
	}
}

func network(code, payer string, practices ...rules.Practice) rules.PCN {
	return rules.PCN{
		Code: code, Name: "Network " + code, PayerCode: payer, Owed: true, Payee: rules.Payee{Code: "P" + code, Name: "Payee of " + code}, Practices: practices,
	}
}

func picture(m period.Month, pcns ...rules.PCN) *rules.Picture {
	return &rules.Picture{SnapshotID: "s", Day: m.First(), ListDate: m.FinancialYear().ListDate(), PCNs: pcns}
}

// enhancedAccess is CDP-054: a rate revised from 7.674 to 7.975, backdated, for an adjusted population of 36,977.
func enhancedAccess(revised bool) func(period.Month) rules.ForMonth {
	rates := []rules.Rate{rate("EA-FIRST", "ENHANCED_ACCESS", "7.674", "2024-04", "2025-03", rules.AdjustedPatient)}
	if revised {
		rates = append(rates, rate("EA-REVISED", "ENHANCED_ACCESS", "7.975", "2024-04", "2025-03", rules.AdjustedPatient))
	}
	return func(m period.Month) rules.ForMonth {
		return rules.ForMonth{
			Month: m, PaidMonth: m, Rates: rates,
			Picture: picture(m, network("U1", "QAA", practice("A1", "QAA", rules.AdjustedPatient, "36977"))),
		}
	}
}

func TestDifferences_PayBackdatedRateMonthByMonth(t *testing.T) {
	t.Parallel()
	b := newBooks("QAA")
	for m := month("2024-04"); m.Before(month("2024-11")); m = m.Add(1) {
		lines := b.close(t, m, enhancedAccess(false))
		require.Len(t, lines, 1)
		require.Equal(t, money.Pence(2364679), lines[0].Amount)
		require.Equal(t, rules.NoCause, lines[0].Cause)
	}
	lines := b.close(t, month("2024-11"), enhancedAccess(true))
	require.Len(t, lines, 8, "one line of the month and seven of arrears")
	var arrears money.Pence
	for _, line := range lines {
		if line.ForMonth == month("2024-11") {
			require.Equal(t, money.Pence(2457430), line.Amount)
			require.Empty(t, line.Adjusts)
			continue
		}
		require.Equal(t, rules.CauseRate, line.Cause)
		require.NotEmpty(t, line.Adjusts)
		require.Equal(t, "EA-REVISED", line.Basis.Factors[0].Origin.Ref, "the basis of the amount now right")
		arrears += line.Amount
	}
	require.Equal(t, money.Pence(649257), arrears, "CDP-054")
	require.Empty(t, b.close(t, month("2024-11"), enhancedAccess(true)), "nothing is left to schedule")
}

// TestEntitle_StatesThePeriod closes a whole year of published examples and holds the months against the period stated in each.
func TestEntitle_StatesThePeriod(t *testing.T) {
	t.Parallel()
	whole := func(payment, gbp, population string) ([]rules.Rate, rules.PCN) {
		return []rules.Rate{rate("R", payment, gbp, "2022-04", "2023-03", rules.AdjustedPatient)},
			network("U1", "15N", practice("A1", "15N", rules.AdjustedPatient, population))
	}
	merged, both := whole("CORE_PCN", "2.266", "30000")
	merged[0].Component, merged[0].Unit = "REGISTERED", rules.RegisteredPatient
	adjusted := rate("A", "CORE_PCN", "0.733", "2022-04", "2023-03", rules.AdjustedPatient)
	adjusted.Component = "ADJUSTED"
	merged = append(merged, adjusted)
	both.Practices[0].Populations = map[rules.Unit]rules.Figure{
		rules.RegisteredPatient: {Value: rat("30000"), LoadID: "l"}, rules.AdjustedPatient: {Value: rat("53477"), LoadID: "l"},
	}
	lm060, pcn060 := whole("LEADERSHIP_MANAGEMENT", "0.699", "49873")
	lm061, pcn061 := whole("LEADERSHIP_MANAGEMENT", "0.699", "58466")
	lm002, pcn002 := whole("LEADERSHIP_MANAGEMENT", "0.699", "48613")
	cases := map[string]struct {
		rates      []rules.Rate
		pcn        rules.PCN
		convention string
		period     money.Pence
		months     money.Pence
	}{
		"CDP-060": {lm060, pcn060, "PCN_ANNUAL", 3486123, 3486120},
		"CDP-061": {lm061, pcn061, "PCN_ANNUAL", 4086773, 4086768},
		"CDP-039": {merged, both, "PCN_ANNUAL", 10717864, 10717860},
		"LM-002":  {lm002, pcn002, "RESIDUAL_LAST", 3398049, 3398049},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBooks("15N")
			var sum money.Pence
			for m := month("2022-04"); m.Before(month("2023-04")); m = m.Add(1) {
				in := func(m period.Month) rules.ForMonth {
					return rules.ForMonth{
						Month: m, PaidMonth: m, Rates: c.rates, Picture: picture(m, c.pcn),
						Settings: []rules.Setting{{ID: "s", CommissionerCode: rules.England, Name: rules.SettingConvention, Value: c.convention, From: month("2019-07")}},
					}
				}
				for _, line := range b.close(t, m, in) {
					sum += line.Amount
					require.Len(t, line.Basis.Factors, len(c.rates))
					require.Equal(t, c.convention, line.Basis.Convention.String())
					require.Equal(t, 12, line.Basis.Instalments)
				}
				stated := b.entitle(t, in(m)).Periods
				require.Equal(t, []rules.PeriodAmount{{
					Group: rules.Group{ForMonth: m, PaymentCode: c.rates[0].PaymentCode, PCNCode: "U1"}, PCNName: "Network U1",
					FundingSource: "PRIMARY_MEDICAL_ALLOCATION", From: month("2022-04"), To: month("2023-03"), Instalments: 12,
					Amount: c.period, Confidence: working.Official,
				}}, stated)
			}
			require.Equal(t, c.months, sum)
			require.LessOrEqual(t, max(sum-c.period, c.period-sum), money.Pence(6), "half a penny a month")
		})
	}
}

func TestEntitle_StatesThePeriodOfWhatIsWithheldAndDeclared(t *testing.T) {
	t.Parallel()
	once := rate("D", "CAIP_RISK", "2.35", "2025-04", "2026-03", rules.AdjustedPatient)
	once.Timing = rules.OnDeclaration
	pcn := network("U1", "15N", practice("A1", "15N", rules.AdjustedPatient, "1000"))
	in := rules.ForMonth{
		Month: month("2025-10"), PaidMonth: month("2025-10"), Picture: picture(month("2025-10"), pcn),
		Rates:        []rules.Rate{once, rate("E", "ENHANCED_ACCESS", "8.427", "2025-04", "2026-03", rules.AdjustedPatient), rate("U", "NPP", "", "2025-04", "2026-03", rules.AdjustedPatient)},
		Declarations: []rules.Declaration{{ID: "d", PCNCode: "U1", PaymentCode: "CAIP_RISK", Month: month("2025-10"), Share: rat("0.5")}},
		Withholdings: []rules.Withholding{{ID: "w", PCNCode: "U1", PaymentCode: "ENHANCED_ACCESS", From: month("2025-04")}},
	}
	entitled, err := rules.Entitle(in)
	require.NoError(t, err)
	require.Len(t, entitled.Refusals, 1, "the unknown rate is stated by nobody")
	stated := make(map[string]rules.PeriodAmount)
	for _, p := range entitled.Periods {
		stated[p.PaymentCode] = p
	}
	require.Len(t, stated, 2)
	require.Equal(t, money.Pence(117500), stated["CAIP_RISK"].Amount)
	require.Equal(t, 1, stated["CAIP_RISK"].Instalments)
	require.Equal(t, money.Pence(842700), stated["ENHANCED_ACCESS"].Amount)
	require.Len(t, entitled.Entitlements, 1)
	basis := entitled.Entitlements[0].Basis
	require.Zero(t, basis.Share.Cmp(rat("0.5")))
	require.Equal(t, 1, basis.Instalments)
	require.Zero(t, basis.Convention)
	require.Zero(t, basis.Factors[0].RateGBP.Cmp(rat("2.35")))
}

func TestDifferences_KeepWhatIsRefused(t *testing.T) {
	t.Parallel()
	b := newBooks("QAA")
	b.close(t, month("2024-04"), enhancedAccess(false))
	unknown := func(m period.Month) rules.ForMonth {
		in := enhancedAccess(false)(m)
		in.Rates = append(slices.Clone(in.Rates), rate("EA-REVISED", "ENHANCED_ACCESS", "", "2024-04", "2025-03", rules.AdjustedPatient))
		return in
	}
	require.Empty(t, b.close(t, month("2024-05"), unknown), "neither paid nor taken back")
	entitled := b.entitle(t, unknown(month("2024-05")))
	require.Len(t, entitled.Refusals, 1)
	require.Equal(t, rules.ReasonRateUnknown, entitled.Refusals[0].Reason)
	require.Contains(t, entitled.Refusals[0].Missing, "EA-REVISED")
	require.Zero(t, entitled.Refusals[0].Quantity.Cmp(rat("36977")))
	lines := b.close(t, month("2024-06"), enhancedAccess(true))
	require.Len(t, lines, 3, "May and June in full, April's difference")
	for _, line := range lines {
		if line.ForMonth == month("2024-05") {
			require.Equal(t, rules.CauseFigureEntered, line.Cause)
		}
	}
}

func TestDifferences_MoveAPayment(t *testing.T) {
	t.Parallel()
	rates := []rules.Rate{rate("R", "CORE_PCN", "1.50", "2022-04", "2023-03", rules.RegisteredPatient)}
	in := func(payee string) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			pcn := network("U1", "15N", practice("A1", "15N", rules.RegisteredPatient, "41085"))
			pcn.Payee.Code = payee
			return rules.ForMonth{Month: m, PaidMonth: m, Rates: rates, Picture: picture(m, pcn)}
		}
	}
	b := newBooks("15N")
	b.close(t, month("2022-04"), in("X1"))
	lines := b.close(t, month("2022-04"), in("X2"))
	require.Len(t, lines, 2)
	byPayee := map[string]rules.Line{lines[0].PayeeCode: lines[0], lines[1].PayeeCode: lines[1]}
	require.Equal(t, money.Pence(-513563), byPayee["X1"].Amount)
	require.Equal(t, money.Pence(513563), byPayee["X2"].Amount)
	require.Equal(t, rules.CausePayee, byPayee["X1"].Cause)
	require.Equal(t, rules.CausePayee, byPayee["X2"].Cause)
	require.Empty(t, byPayee["X1"].Basis.Factors, "nothing is due to the former payee")
	require.NotEmpty(t, byPayee["X1"].Basis.Clause)
	require.Equal(t, "R", byPayee["X2"].Basis.Factors[0].Origin.Ref)
	require.Equal(t, money.Pence(513563), b.total(month("2022-04")))
}

func TestDifferences_FollowAPracticeThatMoves(t *testing.T) {
	t.Parallel()
	rates := []rules.Rate{
		rate("R", "CORE_PCN", "1.50", "2022-04", "2023-03", rules.RegisteredPatient),
	}
	in := func(moved bool) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			a, c := practice("A1", "15N", rules.RegisteredPatient, "10000"), practice("C1", "15N", rules.RegisteredPatient, "8000")
			mover := practice("B1", "15N", rules.RegisteredPatient, "6000")
			one, two := network("U1", "15N", a, mover), network("U2", "15N", c)
			if moved {
				one, two = network("U1", "15N", a), network("U2", "15N", c, mover)
			}
			return rules.ForMonth{Month: m, PaidMonth: m, Rates: rates, Picture: picture(m, one, two)}
		}
	}
	b := newBooks("15N")
	b.close(t, month("2022-04"), in(false))
	before := b.total(month("2022-04"))
	lines := b.close(t, month("2022-05"), in(true))
	adjustments := slices.DeleteFunc(lines, func(l rules.Line) bool { return l.ForMonth != month("2022-04") })
	require.Len(t, adjustments, 2)
	for _, line := range adjustments {
		require.Equal(t, rules.CauseMembership, line.Cause)
	}
	require.Equal(t, before, b.total(month("2022-04")), "the practice takes its list along")
}

func TestEntitle_WithholdsAndReleases(t *testing.T) {
	t.Parallel()
	in := func(withheld bool) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			out := enhancedAccess(false)(m)
			if withheld {
				out.Withholdings = []rules.Withholding{{ID: "w1", PCNCode: "U1", PaymentCode: "ENHANCED_ACCESS", From: month("2024-05"), Reason: "service not shown"}}
			}
			return out
		}
	}
	b := newBooks("QAA")
	require.Len(t, b.close(t, month("2024-04"), in(true)), 1, "withheld from May only")
	require.Empty(t, b.close(t, month("2024-05"), in(true)))
	lines := b.close(t, month("2024-06"), in(false))
	require.Len(t, lines, 2)
	for _, line := range lines {
		if line.ForMonth == month("2024-05") {
			require.Equal(t, rules.CauseRelease, line.Cause)
			require.Equal(t, money.Pence(2364679), line.Amount)
		}
	}
}

func TestEntitle_CareHomePremiumFollowsBedsAndCoding(t *testing.T) {
	t.Parallel()
	rates := []rules.Rate{rate("CH", "CARE_HOME_PREMIUM", "60.00", "2020-08", "2021-03", rules.CareHomeBed)}
	at := func(beds *rules.Beds) *rules.Entitled {
		pcn := network("U1", "15N")
		pcn.Beds = beds
		entitled, err := rules.Entitle(rules.ForMonth{Month: month("2020-11"), PaidMonth: month("2020-11"), Rates: rates, Picture: picture(month("2020-11"), pcn)})
		require.NoError(t, err)
		return entitled
	}
	paid := at(&rules.Beds{Count: 196, StatedMonth: month("2020-11"), CodingSatisfied: true})
	require.Equal(t, money.Pence(147000), paid.Entitlements[0].Amount, "CDP-048, November")
	uncoded := at(&rules.Beds{Count: 196, StatedMonth: month("2020-11")})
	require.Empty(t, uncoded.Entitlements)
	require.Equal(t, rules.ReasonCodingNotSatisfied, uncoded.Withheld[0].Reason)
	require.Equal(t, money.Pence(147000), uncoded.Withheld[0].Amount)
	require.Equal(t, rules.ReasonBedsMissing, at(nil).Refusals[0].Reason)
}

func TestEntitle_ParticipationGoesToPracticesByTheirOwnCommissioner(t *testing.T) {
	t.Parallel()
	npp := rate("NPP", "NPP", "1.761", "2021-04", "2022-03", rules.WeightedPatient)
	npp.PaidToPractice = true
	out := practice("C1", "15N", rules.WeightedPatient, "5000")
	out.Participating = false
	pcn := network("U1", "15N",
		practice("A1", "15N", rules.WeightedPatient, "10456"), practice("B1", "11N", rules.WeightedPatient, "14002"), out,
		rules.Practice{Code: "D1", PayerCode: "15N", Participating: true})
	owedBy := func(commissioner string) rules.ForMonth {
		for i := range pcn.Practices {
			pcn.Practices[i].Owed = pcn.Practices[i].PayerCode == commissioner
		}
		return rules.ForMonth{Month: month("2021-04"), PaidMonth: month("2021-04"), Rates: []rules.Rate{npp}, Picture: picture(month("2021-04"), pcn)}
	}
	own, err := rules.Entitle(owedBy("15N"))
	require.NoError(t, err)
	require.Len(t, own.Entitlements, 1, "A1: B1 is another's, C1 opted out, D1 has no weight")
	require.Equal(t, money.Pence(153442), own.Entitlements[0].Amount, "CDP-074")
	require.Equal(t, "A1", own.Entitlements[0].PayeeCode)
	require.Equal(t, []string{"D1"}, own.Refusals[0].Practices)
	neighbour, err := rules.Entitle(owedBy("11N"))
	require.NoError(t, err)
	require.Equal(t, money.Pence(205479), neighbour.Entitlements[0].Amount, "CDP-075")
}

func TestEntitle_RefusesNetworksThatAreClosed(t *testing.T) {
	t.Parallel()
	pcn := network("U1", "15N", practice("A1", "15N", rules.RegisteredPatient, "9258"))
	pcn.Closed = period.NewDate(2022, time.March, 31)
	entitled, err := rules.Entitle(rules.ForMonth{
		Month: month("2022-04"), PaidMonth: month("2022-04"), Picture: picture(month("2022-04"), pcn),
		Rates: []rules.Rate{rate("R", "CORE_PCN", "1.50", "2022-04", "2023-03", rules.RegisteredPatient)},
	})
	require.NoError(t, err)
	require.Empty(t, entitled.Entitlements)
	require.Equal(t, rules.ReasonPCNNotInForce, entitled.Refusals[0].Reason)
	require.Contains(t, entitled.Refusals[0].Missing, "closed 2022-03-31")
}

func TestGoverning_PrefersOwnThenLatest(t *testing.T) {
	t.Parallel()
	first := rate("FIRST", "CASP", "2.765", "2023-04", "2024-03", rules.AdjustedPatient)
	own := rate("OWN", "CASP", "2.9", "2023-04", "2024-03", rules.AdjustedPatient)
	own.CommissionerCode = "QAA"
	later := rate("LATER", "CASP", "2.8", "2023-04", "2024-03", rules.AdjustedPatient)
	rates := []rules.Rate{first, own, later}
	require.Equal(t, "OWN", rules.Governing(rates, "QAA", month("2023-06"))[0][0].ID)
	require.Equal(t, "LATER", rules.Governing(rates, "QBB", month("2023-06"))[0][0].ID)
	require.Empty(t, rules.Governing(rates, "QAA", month("2024-04")))
}

func TestInstruct_FollowsTheRail(t *testing.T) {
	t.Parallel()
	rails := []rules.Rail{{PaymentCode: "CORE_PCN", From: month("2022-10"), Instruction: rules.ReconcileOnly}}
	require.Equal(t, rules.Pay, rules.Instruct(rails, "CORE_PCN", month("2022-09")))
	require.Equal(t, rules.ReconcileOnly, rules.Instruct(rails, "CORE_PCN", month("2022-10")))
	require.Equal(t, rules.Pay, rules.Instruct(rails, "CAIP_ACCESS", month("2025-10")))
}

func TestDifferences_PayArrearsOfLateFiguresInTheRailsPlace(t *testing.T) {
	t.Parallel()
	rates := []rules.Rate{rate("EA", "ENHANCED_ACCESS", "8.427", "2025-04", "2026-03", rules.AdjustedPatient)}
	in := func(population string, from period.Month) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			p := practice("A1", "QAA", rules.AdjustedPatient, population)
			p.Populations[rules.AdjustedPatient] = rules.Figure{Value: rat(population), LoadID: "load-" + population, AppliedFrom: from}
			return rules.ForMonth{Month: m, PaidMonth: m, Rates: rates, Picture: picture(m, network("U1", "QAA", p))}
		}
	}
	b := newBooks("QAA")
	b.rails = []rules.Rail{{PaymentCode: "ENHANCED_ACCESS", From: month("2022-10"), Instruction: rules.ReconcileOnly}}
	b.close(t, month("2025-04"), in("50000", period.Month{}))
	b.close(t, month("2025-05"), in("50000", period.Month{}))
	lines := b.close(t, month("2025-06"), in("50640", month("2025-06")))
	var arrears money.Pence
	for _, line := range lines {
		if line.ForMonth == month("2025-06") {
			require.Equal(t, rules.ReconcileOnly, line.Instruction)
			continue
		}
		require.Equal(t, rules.Pay, line.Instruction, "the commissioner makes good April and May")
		require.Equal(t, rules.CausePopulation, line.Cause)
		arrears += line.Amount
	}
	require.Equal(t, money.Pence(89888), arrears, "CDP-056")
}

// After every close, what is scheduled for a month is what the inputs then known come to, whatever was known before.
func TestDifferences_AlwaysReachWhatIsDue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBooks("15N")
		months := []period.Month{month("2022-04"), month("2022-05"), month("2022-06")}
		for range rapid.IntRange(1, 8).Draw(t, "closes") {
			in := drawInputs(t)
			m := rapid.SampledFrom(months).Draw(t, "month")
			b.close(t, m, in)
			for closedMonth := range b.closed {
				entitled := b.entitle(t, in(closedMonth))
				var due money.Pence
				for _, e := range entitled.Entitlements {
					due += e.Amount
				}
				require.Equal(t, due, b.total(closedMonth))
			}
			require.Empty(t, b.close(t, m, in), "closing again without a change schedules nothing")
		}
	})
}

// drawInputs makes two networks whose four practices, lists, payees and rate are drawn.
func drawInputs(t *rapid.T) func(period.Month) rules.ForMonth {
	gbp := rapid.SampledFrom([]string{"1.50", "1.51", "0.736", "0.51430"}).Draw(t, "rate")
	where := rapid.SliceOfN(rapid.IntRange(0, 1), 4, 4).Draw(t, "networks of practices")
	lists := rapid.SliceOfN(rapid.IntRange(0, 60000), 4, 4).Draw(t, "lists")
	payees := rapid.SliceOfN(rapid.SampledFrom([]string{"", "X1", "X2"}), 2, 2).Draw(t, "payees")
	rates := []rules.Rate{rate("R-"+gbp, "CORE_PCN", gbp, "2022-04", "2023-03", rules.RegisteredPatient)}
	return func(m period.Month) rules.ForMonth {
		pcns := []rules.PCN{network("U1", "15N"), network("U2", "15N")}
		for i := range pcns {
			pcns[i].Payee.Code = payees[i]
		}
		for i, n := range where {
			p := practice(string(rune('A'+i))+"1", "15N", rules.RegisteredPatient, big.NewInt(int64(lists[i])).String())
			pcns[n].Practices = append(pcns[n].Practices, p)
		}
		present := slices.DeleteFunc(pcns, func(p rules.PCN) bool { return len(p.Practices) == 0 })
		return rules.ForMonth{Month: m, PaidMonth: m, Rates: rates, Picture: picture(m, present...)}
	}
}

func TestEntitle_RefusesAConventionThatLacksItsFigure(t *testing.T) {
	t.Parallel()
	in := enhancedAccess(false)(month("2024-04"))
	in.Settings = []rules.Setting{{CommissionerCode: rules.England, Name: rules.SettingConvention, Value: "PCN_MONTHLY_RATE", From: month("2024-04")}}
	entitled, err := rules.Entitle(in)
	require.NoError(t, err, "other payments of the month are not held up")
	require.Equal(t, rules.ReasonMonthlyRateMissing, entitled.Refusals[0].Reason)
	require.Equal(t, "monthly rate of ENHANCED_ACCESS", entitled.Refusals[0].Missing)
}

func TestEntitle_RoundsParticipationByAnyConvention(t *testing.T) {
	t.Parallel()
	npp := rate("NPP", "NPP", "1.761", "2021-04", "2022-03", rules.WeightedPatient)
	npp.PaidToPractice = true
	for _, convention := range []string{"PCN_ANNUAL", "PRACTICE_SUM"} {
		entitled, err := rules.Entitle(rules.ForMonth{
			Month: month("2021-04"), PaidMonth: month("2021-04"), Rates: []rules.Rate{npp},
			Picture:  picture(month("2021-04"), network("U1", "15N", practice("A1", "15N", rules.WeightedPatient, "10456"))),
			Settings: []rules.Setting{{CommissionerCode: "15N", Name: rules.SettingConvention, Value: convention, From: month("2021-04")}},
		})
		require.NoError(t, err)
		require.Equal(t, money.Pence(153442), entitled.Entitlements[0].Amount, convention)
	}
}

func TestGoverning_LetsACandidateWait(t *testing.T) {
	t.Parallel()
	payable := rate("PAYABLE", "CASP", "2.765", "2023-04", "2024-03", rules.AdjustedPatient)
	candidate := rate("CANDIDATE", "CASP", "2.9", "2023-04", "2024-03", rules.AdjustedPatient)
	candidate.Confidence = working.Candidate
	unknown := rate("UNKNOWN", "CASP", "", "2023-04", "2024-03", rules.AdjustedPatient)
	require.Equal(t, "PAYABLE", rules.Governing([]rules.Rate{payable, candidate}, "QAA", month("2023-06"))[0][0].ID)
	require.Equal(t, "UNKNOWN", rules.Governing([]rules.Rate{payable, unknown}, "QAA", month("2023-06"))[0][0].ID)
	require.Equal(t, "CANDIDATE", rules.Governing([]rules.Rate{payable, unknown, candidate}, "QAA", month("2023-06"))[0][0].ID)
}

// A list that PCSE took up late is the commissioner's to make good; a payee that changes afterwards takes over each part under
// its own instruction, and nothing more is asked to be paid.
func TestDifferences_MoveEachPartUnderItsInstruction(t *testing.T) {
	t.Parallel()
	rates := []rules.Rate{rate("EA", "ENHANCED_ACCESS", "3.00", "2025-04", "2026-03", rules.AdjustedPatient)}
	in := func(population, payee string, from period.Month) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			p := practice("A1", "QAA", rules.AdjustedPatient, population)
			p.Populations[rules.AdjustedPatient] = rules.Figure{Value: rat(population), LoadID: "load-" + population, AppliedFrom: from}
			pcn := network("U1", "QAA", p)
			pcn.Payee.Code = payee
			return rules.ForMonth{Month: m, PaidMonth: m, Rates: rates, Picture: picture(m, pcn)}
		}
	}
	b := newBooks("QAA")
	b.rails = []rules.Rail{{PaymentCode: "ENHANCED_ACCESS", From: month("2022-10"), Instruction: rules.ReconcileOnly}}
	april := month("2025-04")
	b.close(t, april, in("50000", "X1", period.Month{}))
	b.close(t, april, in("51000", "X1", month("2025-06")))
	lines := b.close(t, april, in("51000", "X2", month("2025-06")))
	sums := make(map[string]money.Pence)
	for _, line := range lines {
		sums[line.PayeeCode+map[rules.Instruction]string{rules.Pay: " pay", rules.ReconcileOnly: " reconcile"}[line.Instruction]] += line.Amount
		require.Equal(t, rules.CausePayee, line.Cause)
	}
	require.Equal(t, map[string]money.Pence{"X1 reconcile": -1250000, "X1 pay": -25000, "X2 reconcile": 1250000, "X2 pay": 25000}, sums)
	rates[0] = rate("EA-2", "ENHANCED_ACCESS", "3.12", "2025-04", "2026-03", rules.AdjustedPatient)
	for _, line := range b.close(t, april, in("51000", "X2", month("2025-06"))) {
		require.Equal(t, rules.ReconcileOnly, line.Instruction, "a rate is the national system's own to make good")
		require.Equal(t, rules.CauseRate, line.Cause)
	}
}

func TestDifferences_TakeBackHeldLinesUnderTheirHold(t *testing.T) {
	t.Parallel()
	in := func(payee string) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			out := enhancedAccess(false)(m)
			out.Picture.PCNs[0].Payee = rules.Payee{Code: payee}
			return out
		}
	}
	b := newBooks("QAA")
	first := b.close(t, month("2024-04"), in(""))
	require.Equal(t, rules.ReasonPayeeNotRecorded, first[0].Holds[0].Reason)
	for _, line := range b.close(t, month("2024-04"), in("X1")) {
		require.Equal(t, line.PayeeCode == "", len(line.Holds) == 1, "what goes to nobody is never sent")
	}
}

func TestEntitle_OwesNothingToANetworkThatLeft(t *testing.T) {
	t.Parallel()
	in := func(participating bool) func(period.Month) rules.ForMonth {
		return func(m period.Month) rules.ForMonth {
			out := enhancedAccess(false)(m)
			out.Picture.PCNs[0].Practices[0].Participating = participating
			return out
		}
	}
	b := newBooks("QAA")
	b.close(t, month("2024-04"), in(true))
	lines := b.close(t, month("2024-05"), in(false))
	require.Len(t, lines, 1)
	require.Equal(t, money.Pence(-2364679), lines[0].Amount)
	require.Zero(t, b.total(month("2024-04")))
}

func TestEntitle_KeepsTheConventionOfThePayerOfTheDay(t *testing.T) {
	t.Parallel()
	r := rate("CD", "CLINICAL_DIRECTOR", "0.736", "2022-04", "2023-03", rules.RegisteredPatient)
	r.MonthlyRateGBP = rat("0.061")
	in := rules.ForMonth{
		Month: month("2022-06"), PaidMonth: month("2022-06"), Rates: []rules.Rate{r},
		Settings: []rules.Setting{{CommissionerCode: "15N", Name: rules.SettingConvention, Value: "PCN_MONTHLY_RATE", From: month("2022-04")}},
		Picture:  picture(month("2022-06"), network("U1", "15N", practice("A1", "15N", rules.RegisteredPatient, "48413"))),
	}
	entitled, err := rules.Entitle(in)
	require.NoError(t, err)
	require.Equal(t, money.Pence(295319), entitled.Entitlements[0].Amount, "whoever closes it: the CCG, or the ICB after it")
}

func TestMembershipDay_NeverLeavesTheEraOfThePayer(t *testing.T) {
	t.Parallel()
	year := []rules.Setting{{CommissionerCode: rules.England, Name: rules.SettingMembershipAt, Value: rules.MembershipAtYear, From: month("2021-04")}}
	for m, want := range map[string]string{"2022-05": "2022-04-01", "2022-08": "2022-07-01", "2023-02": "2022-07-01", "2023-05": "2023-04-01"} {
		require.Equal(t, want, rules.MembershipDay(year, month(m)).String(), m)
	}
	require.Equal(t, "2022-08-01", rules.MembershipDay(nil, month("2022-08")).String())
}
