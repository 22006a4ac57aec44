package iif

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

// openTerms are the terms of a year in which every figure that was not found is stated.
func openTerms(t require.TestingT, year period.FinancialYear) *rules.Terms {
	scheme, err := tables.Scheme()
	require.NoError(t, err)
	out, err := rules.TermsFor(scheme, rules.Query{Year: year, Commissioner: rules.England})
	require.NoError(t, err)
	fill := func(held *rules.Held, value *big.Rat) {
		if held.Value == nil || held.Value.Amount == nil || !held.Value.Confidence.Payable() {
			quoteHold(held, value)
		}
	}
	fill(&out.Average, big.NewRat(50_000, 1))
	for i := range out.Indicators {
		it := &out.Indicators[i]
		lower, upper := big.NewRat(49, 1), big.NewRat(80, 1)
		if it.Direction == rules.LowerBetter {
			lower, upper = upper, lower
		}
		fill(&it.Points, big.NewRat(int64(10+i), 1))
		fill(&it.Lower, lower)
		fill(&it.Upper, upper)
		fill(&it.Prevalent, big.NewRat(1, 1))
		fill(&it.National, big.NewRat(int64(1+i), 2))
	}
	return out
}

// workedYear is the year of a PCN with some counts.
func workedYear(t require.TestingT, terms *rules.Terms, pcn string, list int64, counts ...rules.IndicatorCounts) worked {
	w := worked{basis: basis{pcn: pcn, pcnName: "Network " + pcn}, terms: terms, counts: counts}
	w.network = rules.Network{PCN: pcn, ListSize: rules.Given{Value: big.NewRat(list, 1)}}
	var err error
	w.result, err = rules.AssessYear(terms, &w.network, counts)
	require.NoError(t, err)
	return w
}

func percentage(code string, numerator, denominator int64) rules.IndicatorCounts {
	return rules.IndicatorCounts{Code: code, Counts: rules.Counts{Numerator: rules.Count(numerator), Denominator: rules.Count(denominator)}}
}

// TestDistances_ComeTrue applies every distance to the counts, and holds that it brings exactly what was promised.
func TestDistances_ComeTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		terms := openTerms(t, period.FinancialYear(rapid.IntRange(2020, 2025).Draw(t, "year")))
		terms.Version.Rounding.Mode = rapid.SampledFrom([]money.Rounding{money.HalfUp, money.HalfEven, money.Floor}).Draw(t, "rounding")
		var counts []rules.IndicatorCounts
		given := make(map[string]rules.Counts)
		for i := range terms.Indicators {
			it := &terms.Indicators[i]
			denominator := rapid.Int64Range(0, 500).Draw(t, "denominator")
			c := percentage(it.Code, rapid.Int64Range(0, denominator).Draw(t, "numerator"), denominator)
			c.Counts.BaselineNumerator, c.Counts.BaselineDenominator = rules.Count(denominator/2), rules.Count(denominator)
			c.Counts.Answer = rules.Answer(rapid.IntRange(0, 2).Draw(t, "answer"))
			counts, given[it.Code] = append(counts, c), c.Counts
		}
		w := workedYear(t, terms, "U00001", rapid.Int64Range(1, 100_000).Draw(t, "list"), counts...)
		distances, err := distancesOf(&w)
		require.NoError(t, err)
		for _, d := range distances {
			if d.GetRefusal() != nil {
				require.Nil(t, d.GetWorthAll())
				continue
			}
			require.LessOrEqual(t, d.GetToFirst(), d.GetToAll(), d.GetSentence())
			require.LessOrEqual(t, d.GetWorthFirst().GetAmountPence(), d.GetWorthAll().GetAmountPence(), d.GetSentence())
			it, _ := terms.Find(d.GetIndicatorCode())
			for steps, worth := range map[int64]*iifv1.EarnedPayment{d.GetToFirst(): d.GetWorthFirst(), d.GetToAll(): d.GetWorthAll()} {
				if worth.GetRefusal() != nil || (d.GetToFirst() == d.GetToAll() && steps != 0 && worth != d.GetWorthAll()) {
					continue
				}
				requireComesTrue(t, &w, it, given[it.Code], steps, worth)
			}
		}
	})
}

// requireComesTrue moves the counts of an indicator by some steps and holds what that brings.
func requireComesTrue(t require.TestingT, w *worked, it *rules.IndicatorTerms, counts rules.Counts, steps int64, worth *iifv1.EarnedPayment) {
	other := countsToProto(it.Code, &counts)
	switch {
	case it.Kind == rules.Binary && steps > 0:
		other.Answer = iifv1.Answer_YES
	case it.Direction == rules.LowerBetter:
		other.Numerator = cellToProto(rules.Count(counts.Numerator.N - steps))
	default:
		other.Numerator = cellToProto(rules.Count(counts.Numerator.N + steps))
	}
	got, err := effectsOf(w, []*iifv1.IndicatorCounts{other})
	require.NoError(t, err)
	require.Equal(t, got.GetAfter().GetDuePence()-got.GetBefore().GetDuePence(), worth.GetAmountPence(), it.Code)
	before, err := money.ParseExact(got.GetBefore().GetPoints())
	require.NoError(t, err)
	after, err := money.ParseExact(got.GetAfter().GetPoints())
	require.NoError(t, err)
	require.Equal(t, decimal(after.Sub(after, before)), worth.GetPoints(), it.Code)
	if worth.GetPoints() == "0" {
		require.Empty(t, got.GetEffects())
		return
	}
	require.Len(t, got.GetEffects(), 1)
	effect := got.GetEffects()[0]
	require.Equal(t, it.Code, effect.GetIndicatorCode())
	require.Equal(t, effect.GetAfterPence()-effect.GetBeforePence(), worth.GetAmountPence(), it.Code)
}

func TestDistances_AreSaidInWords(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		year     period.FinancialYear
		code     string
		counts   rules.Counts
		change   func(*rules.Terms, *rules.IndicatorTerms)
		sentence string
	}{
		{
			name: "between the thresholds", year: 2025, code: "HI-03", counts: percentage("", 68, 100).Counts,
			sentence: "12 more of HI-03 earn £551.85",
		},
		{
			name: "below the lower threshold", year: 2025, code: "HI-03", counts: percentage("", 49, 100).Counts,
			sentence: "1 more of HI-03 earns £45.99, and 31 in all £1,425.60",
		},
		{
			name: "one short of all", year: 2025, code: "HI-03", counts: percentage("", 79, 100).Counts,
			sentence: "1 more of HI-03 earns £45.99",
		},
		{
			name: "nothing left to earn", year: 2025, code: "HI-03", counts: percentage("", 95, 100).Counts,
			sentence: "HI-03 has earned all its points",
		},
		{
			name: "lower is better", year: 2022, code: "RESP-02", counts: percentage("", 200, 1000).Counts,
			sentence: "50 fewer of RESP-02 earn £4,400.00",
		},
		{
			name: "a question", year: 2021, code: "COV-01", sentence: "A yes to COV-01 earns £44,000.00",
		},
		{
			name: "a question answered", year: 2021, code: "COV-01", counts: rules.Counts{Answer: rules.Yes}, sentence: "COV-01 has earned all its points",
		},
		{
			name: "a threshold that nobody knows", year: 2025, code: "HI-03", counts: percentage("", 68, 100).Counts,
			change:   func(_ *rules.Terms, it *rules.IndicatorTerms) { it.Upper.Value = nil },
			sentence: "What more of HI-03 would earn is not known: upper threshold of HI-03 in IIF-2025-04 missing: enter the figure with its source",
		},
		{
			name: "an average that nobody knows", year: 2025, code: "HI-03", counts: percentage("", 20, 100).Counts,
			change: func(at *rules.Terms, _ *rules.IndicatorTerms) { at.Average.Value = nil },
			sentence: "30 more of HI-03 earn points whose worth is not known: national average list size in 2025/26 missing: enter the figure with its source, " +
				"and 60 in all points whose worth is not known: national average list size in 2025/26 missing: enter the figure with its source",
		},
		{
			name: "no counts", year: 2025, code: "CAN-04", counts: rules.Counts{},
			sentence: "What more of CAN-04 would earn is not known: numerator of CAN-04 missing: submit the indicator's counts",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			terms := openTerms(t, row.year)
			it, found := terms.Find(row.code)
			require.True(t, found)
			if it.Kind == rules.Percentage {
				quoteHold(&it.National, big.NewRat(1, 1))
			}
			if row.change != nil {
				row.change(terms, it)
			}
			w := workedYear(t, terms, "U00001", 50_000, rules.IndicatorCounts{Code: row.code, Counts: row.counts})
			got, err := distancesOf(&w)
			require.NoError(t, err)
			for _, d := range got {
				if d.GetIndicatorCode() == row.code {
					require.Equal(t, row.sentence, d.GetSentence())
					return
				}
			}
			require.Fail(t, "no distance")
		})
	}
}

// rankedYears are PCNs of a commissioner: two alike, one without counts, and one of which a denominator is nothing.
func rankedYears(t *testing.T) []worked {
	t.Helper()
	terms := openTerms(t, 2025)
	year := func(pcn string, counts ...rules.IndicatorCounts) worked {
		return workedYear(t, terms, pcn, 50_000, counts...)
	}
	return []worked{
		year("U00001", percentage("HI-03", 60, 100), percentage("CAN-04", 70, 100)),
		year("U00002", percentage("HI-03", 75, 100)),
		year("U00003"),
		year("U00004", percentage("HI-03", 600, 1000), percentage("CAN-04", 90, 100)),
		year("U00005", percentage("HI-03", 0, 0), percentage("CAN-04", 66, 100)),
	}
}

func TestRanks_TellOfOthersTheBestAndTheMiddleOnly(t *testing.T) {
	t.Parallel()
	all := rankedYears(t)
	rank := func(pcn int) []*iifv1.Rank { return ranksOf(all, &all[pcn]) }
	hi := func(place int32) *iifv1.Rank {
		return &iifv1.Rank{IndicatorCode: "HI-03", Place: place, Among: 3, Best: "75", Median: "60"}
	}
	can := func(place int32) *iifv1.Rank {
		return &iifv1.Rank{IndicatorCode: "CAN-04", Place: place, Among: 3, Best: "90", Median: "70"}
	}
	for pcn, want := range [][]*iifv1.Rank{{hi(2), can(2)}, {hi(1), can(0)}, {hi(0), can(0)}, {hi(2), can(1)}, {hi(0), can(3)}} {
		require.Equal(t, want, rank(pcn), all[pcn].pcn)
	}
	require.Equal(t, "75", ranksOf(all[:2], &all[0])[0].GetMedian(), "of two the better one is the middle")
}

func TestRankings_PutThoseWithoutAnAchievementLast(t *testing.T) {
	t.Parallel()
	all := rankedYears(t)
	it, _ := all[0].terms.Find("HI-03")
	rows, total, err := byIndicator(it)(all)
	require.NoError(t, err)
	require.Equal(t, []string{"U00002 1 75 []", "U00001 2 60 []", "U00004 2 60 []", "U00003 0  [HI-03]", "U00005 0  []"}, shownRows(rows))
	require.Nil(t, rows[3].DuePence, "refused for want of counts")
	require.Zero(t, rows[4].GetDuePence(), "a denominator of nothing earns nothing")
	require.NotNil(t, rows[4].DuePence)
	require.Equal(t, sumOf(rows), total)

	rows, total, err = byPounds(all)
	require.NoError(t, err)
	require.Equal(t, []string{"U00004 1  []", "U00002 2  [CAN-04]", "U00001 3  []", "U00005 4  []", "U00003 0  [HI-03 CAN-04]"}, shownRows(rows))
	require.Nil(t, rows[4].DuePence)
	require.Equal(t, sumOf(rows), total)
	var sum money.Pence
	for i := range all {
		sum += all[i].result.Due
	}
	require.Equal(t, sum, total)
}

func shownRows(rows []*iifv1.StandingRow) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = row.GetPcnCode() + " " + money.Format(big.NewRat(int64(row.GetPlace()), 1)) + " " + row.GetAchievement() + " " + listed(row.GetMissing())
	}
	return out
}

func listed(codes []string) string {
	out := "["
	for i, code := range codes {
		if i > 0 {
			out += " "
		}
		out += code
	}
	return out + "]"
}

func sumOf(rows []*iifv1.StandingRow) (sum money.Pence) {
	for _, row := range rows {
		sum += money.Pence(row.GetDuePence())
	}
	return sum
}

// TestEffects_KeepWhyCountsAreMissing holds that counts which contradict each other are not said to be missing.
func TestEffects_KeepWhyCountsAreMissing(t *testing.T) {
	t.Parallel()
	w := workedYear(t, openTerms(t, 2025), "U00001", 50_000, percentage("CAN-04", 70, 100))
	why := fault.New(fault.Refused, rules.ReasonCountsDisagree, "practices contradict each other")
	r, _ := w.result.Find("HI-03")
	r.Due.Refused = why
	for i := range w.result.Refused {
		w.result.Refused[i].Why = why
	}
	got, err := effectsOf(&w, []*iifv1.IndicatorCounts{countsToProto("CAN-04", &rules.Counts{Numerator: rules.Count(80), Denominator: rules.Count(100)})})
	require.NoError(t, err)
	require.Len(t, got.GetEffects(), 1)
	require.Equal(t, rules.ReasonCountsDisagree, got.GetAfter().GetRefusals()[0].GetReason())
	got, err = effectsOf(&w, []*iifv1.IndicatorCounts{countsToProto("HI-03", &rules.Counts{Numerator: rules.Count(80), Denominator: rules.Count(100)})})
	require.NoError(t, err)
	require.Equal(t, rules.ReasonCountsDisagree, got.GetEffects()[0].GetRefusal().GetReason())
	require.Empty(t, got.GetAfter().GetRefusals())
	_, err = effectsOf(&w, []*iifv1.IndicatorCounts{{IndicatorCode: "CAN-99"}})
	require.Equal(t, reasonIndicatorUnknown, fault.ReasonOf(err))
	_, err = effectsOf(&w, []*iifv1.IndicatorCounts{{IndicatorCode: "HI-03"}, {IndicatorCode: "HI-03"}})
	require.Equal(t, rules.ReasonIndicatorTwice, fault.ReasonOf(err))
}
