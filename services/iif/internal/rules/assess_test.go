package rules_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	require.Equal(t, reason, fault.ReasonOf(err))
}

func network() *rules.Network {
	return &rules.Network{PCN: "U00001", ListSize: rules.Given{Value: big.NewRat(50_000, 1)}}
}

func counts(numerator, denominator int64) *rules.Counts {
	return &rules.Counts{Numerator: rules.Count(numerator), Denominator: rules.Count(denominator)}
}

// unadjusted returns the terms of a year and of one of its indicators, with every figure stated and both adjustments 1.
func unadjusted(t *testing.T, year period.FinancialYear, code string) (*rules.Terms, *rules.IndicatorTerms) {
	t.Helper()
	at := fullTerms(t, year)
	it, found := at.Find(code)
	require.True(t, found, code)
	at.Average = stated(at.Average.Key, big.NewRat(50_000, 1))
	it.Prevalent = stated(it.Prevalent.Key, new(big.Rat))
	return at, it
}

func assess(t *testing.T, at *rules.Terms, it *rules.IndicatorTerms, c *rules.Counts) *rules.Result {
	t.Helper()
	got, err := rules.Assess(at, it, network(), c)
	require.NoError(t, err)
	requireHolds(t, it, got)
	return got
}

func TestTermsFor_TheVersionOf31MarchJudgesTheYear(t *testing.T) {
	t.Parallel()
	cases := []struct {
		year            period.FinancialYear
		known, on, want string
	}{
		{2020, "", "", "IIF-2020-10"},
		{2021, "", "", "IIF-2021-12"},
		{2021, "2021-05-01", "", "IIF-2021-04"},
		{2021, "2021-12-06", "", "IIF-2021-10"},
		{2021, "2021-12-07", "", "IIF-2021-12"},
		{2021, "", "2021-09-30", "IIF-2021-04"},
		{2022, "2022-09-25", "", "IIF-2022-04"},
		{2022, "2022-09-26", "", "IIF-2022-10"},
		{2022, "2022-09-26", "2022-09-30", "IIF-2022-04"},
		{2024, "", "", "IIF-2024-10"},
		{2025, "", "", "IIF-2025-04"},
	}
	query := func(year period.FinancialYear, known, on string) rules.Query {
		q := rules.Query{Year: year, Commissioner: "QX"}
		if known != "" {
			q.Known = date(t, known)
		}
		if on != "" {
			q.On = date(t, on)
		}
		return q
	}
	for _, c := range cases {
		got, err := rules.TermsFor(scheme(t), query(c.year, c.known, c.on))
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.want, got.Version.VersionID, "%+v", c)
		// Six indicators of October 2021 are not named, two of 2020 and four of 2022 (three from October) not defined.
		incomplete := []string{"IIF-2020-10", "IIF-2021-10", "IIF-2022-04", "IIF-2022-10"}
		require.Equal(t, slices.Contains(incomplete, got.Version.VersionID), got.Incomplete != nil, "%+v", c)
	}
	for _, q := range []rules.Query{query(2019, "", ""), query(2026, "", ""), query(2020, "", "2020-09-30"), query(2025, "2025-03-31", "")} {
		_, err := rules.TermsFor(scheme(t), q)
		requireReason(t, err, rules.ReasonVersionUnknown)
	}
}

func TestTermsFor_TheOverrideCountsOnceItIsKnown(t *testing.T) {
	t.Parallel()
	for known, want := range map[string]bool{"2024-06-29": false, "2024-06-30": true} {
		at, err := rules.TermsFor(scheme(t), rules.Query{Year: 2023, Commissioner: "QX", Known: date(t, known)})
		require.NoError(t, err)
		it, _ := at.Find("ACC-08")
		require.Equal(t, want, it.Override != nil, known)
	}
}

// entered adds a figure that a commissioner entered to the scheme.
func entered(t *testing.T, v rules.Value) *rules.Scheme {
	t.Helper()
	s := *scheme(t)
	v.KnownFromBasis = rules.KnownByEntry
	s.Values = append(append([]rules.Value{}, s.Values...), v)
	return &s
}

func TestAssess_CandidatesNeverPayUntilConfirmed(t *testing.T) {
	t.Parallel()
	value := func(figure rules.Figure, code string, field rules.Field, amount int64) rules.Value {
		return rules.Value{Figure: figure, Key: rules.Key{Year: 2023, VersionID: "IIF-2023-04", Code: code, Field: field}, Amount: big.NewRat(amount, 1)}
	}
	mine := rules.Figure{ID: "E1", Source: "letter", Confidence: working.Secondary, CommissionerCode: "QX", KnownFrom: date(t, "2024-05-01")}
	theirs := mine
	theirs.CommissionerCode = "QY"
	guess := mine
	guess.Confidence = working.Candidate
	reason := func(s *rules.Scheme, known string) string {
		q := rules.Query{Year: 2023, Commissioner: "QX", Known: date(t, known)}
		at, err := rules.TermsFor(s, q)
		require.NoError(t, err)
		it, _ := at.Find("VI-02")
		got, err := rules.Assess(at, it, network(), counts(80, 100))
		require.NoError(t, err)
		require.NotNil(t, got.Due.Refused)
		require.Equal(t, fault.Refused, got.Due.Refused.Kind)
		require.NotEmpty(t, got.Due.Refused.Meta["missing"])
		require.NotEmpty(t, got.Due.Refused.Meta["remedy"])
		return got.Due.Refused.Reason
	}
	require.Equal(t, rules.ReasonPointsNotConfirmed, reason(scheme(t), "2024-06-01"))
	require.Equal(t, rules.ReasonPointsNotConfirmed, reason(entered(t, value(mine, "VI-02", rules.PointsField, 113)), "2024-04-30"), "not known yet")
	require.Equal(t, rules.ReasonPointsNotConfirmed, reason(entered(t, value(theirs, "VI-02", rules.PointsField, 113)), "2024-06-01"), "another's")
	require.Equal(t, rules.ReasonPointsNotConfirmed, reason(entered(t, value(guess, "VI-02", rules.PointsField, 113)), "2024-06-01"))
	require.Equal(t, rules.ReasonThresholdNotConfirmed, reason(entered(t, value(mine, "VI-02", rules.PointsField, 113)), "2024-06-01"))

	confirmed := *scheme(t)
	confirmed.Values = append([]rules.Value{}, confirmed.Values...)
	for field, amount := range map[rules.Field]int64{rules.PointsField: 113, rules.LowerField: 72, rules.UpperField: 90} {
		confirmed.Values = append(confirmed.Values, value(mine, "VI-02", field, amount))
	}
	for key, amount := range map[rules.Key]int64{
		{Year: 2023, Field: rules.AverageField}: 50_000, {Year: 2023, Code: "VI-02", Field: rules.PrevalenceField}: 20,
	} {
		confirmed.Values = append(confirmed.Values, rules.Value{Figure: mine, Key: key, Amount: big.NewRat(amount, 1)})
	}
	at, err := rules.TermsFor(&confirmed, rules.Query{Year: 2023, Commissioner: "QX"})
	require.NoError(t, err)
	it, _ := at.Find("VI-02")
	got := assess(t, at, it, counts(8_100, 10_000))
	require.Equal(t, "11187.00", got.Due.Amount.Plain())
	require.Equal(t, working.Inferred, got.Due.Confidence, "the price of the year is inferred")
}

func TestAssess_RefusesByNameWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	full := counts(90, 100)
	cases := []struct {
		reason string
		change func(*rules.Terms, *rules.IndicatorTerms, *rules.Network, *rules.Counts)
	}{
		{rules.ReasonPointsUnknown, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Points.Value = nil
		}},
		{rules.ReasonThresholdUnknown, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Upper.Value = nil
		}},
		{rules.ReasonPriceUnknown, func(at *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			at.Price.Value = nil
		}},
		{rules.ReasonAverageUnknown, func(at *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			at.Average.Value = nil
		}},
		{rules.ReasonListSizeMissing, func(_ *rules.Terms, _ *rules.IndicatorTerms, n *rules.Network, _ *rules.Counts) {
			n.ListSize.Value = nil
		}},
		{rules.ReasonPrevalenceRuleUnknown, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Prevalent.Value = nil
		}},
		{rules.ReasonPrevalenceUnknown, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Prevalent = stated(it.Prevalent.Key, big.NewRat(1, 1))
			it.National.Value = nil
		}},
		{rules.ReasonFigureInvalid, func(at *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			at.Average = stated(at.Average.Key, new(big.Rat))
		}},
		{rules.ReasonFigureInvalid, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) { it.Upper = it.Lower }},
		{rules.ReasonFigureInvalid, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Prevalent = stated(it.Prevalent.Key, big.NewRat(1, 2))
		}},
		{rules.ReasonIndicatorUndefined, func(_ *rules.Terms, it *rules.IndicatorTerms, _ *rules.Network, _ *rules.Counts) {
			it.Kind = rules.Undefined
		}},
		{rules.ReasonCountMissing, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Denominator = rules.Cell{}
		}},
		{rules.ReasonCountSuppressed, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Denominator.State = rules.Suppressed
		}},
		{rules.ReasonCountMalformed, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Numerator = rules.Count(-1)
		}},
		{rules.ReasonCountsDisagree, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Register = rules.Count(101)
		}},
		{rules.ReasonCountsDisagree, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Register, c.Exclusions = rules.Count(1), []rules.FieldCount{{Field: "AGE", Cell: rules.Count(2)}}
		}},
		{rules.ReasonCountSuppressed, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Register, c.Adjustments = rules.Count(101), []rules.FieldCount{{Field: "FLUDEC_DAT", Cell: rules.Cell{State: rules.Suppressed}}}
		}},
		{rules.ReasonFieldMisplaced, func(_ *rules.Terms, _ *rules.IndicatorTerms, _ *rules.Network, c *rules.Counts) {
			c.Exclusions = []rules.FieldCount{{Field: "FLUDEC_DAT", Cell: rules.Count(0)}}
		}},
	}
	for i, c := range cases {
		at, it := unadjusted(t, 2021, "VI-01")
		of, n, asked := *it, network(), *full
		c.change(at, &of, n, &asked)
		got, err := rules.Assess(at, &of, n, &asked)
		require.NoError(t, err)
		require.NotNil(t, got.Due.Refused, "%d: %s", i, c.reason)
		require.Equal(t, c.reason, got.Due.Refused.Reason, i)
		require.Zero(t, got.Due.Amount)
		require.Nil(t, got.Due.Working)
		waits := 0
		for _, test := range got.Tests {
			if test.Outcome == rules.Waits {
				waits++
				require.Equal(t, []string{c.reason}, test.Reasons)
			}
		}
		require.Equal(t, 1, waits, "%d: the one test that waits names why", i)
	}
	at, it := unadjusted(t, 2021, "VI-01")
	got := assess(t, at, it, nil)
	require.Equal(t, rules.ReasonCountMissing, got.Due.Refused.Reason)
	require.False(t, got.Counted)
}

// Points of nothing pay nothing, whatever is not known of the adjustments.
func TestAssess_PaysNothingForNoPointsWithoutAdjustments(t *testing.T) {
	t.Parallel()
	at, err := rules.TermsFor(scheme(t), rules.Query{Year: 2021, Commissioner: "QX"})
	require.NoError(t, err)
	it, _ := at.Find("VI-01")
	got := assess(t, at, it, counts(80, 100))
	require.True(t, got.Due.Known())
	require.Zero(t, got.Due.Amount)
	require.Equal(t, []string{rules.ReasonBelowLower}, got.Tests[rules.TestPoints-1].Reasons)
	above := assess(t, at, it, counts(81, 100))
	require.Equal(t, rules.ReasonAverageUnknown, above.Due.Refused.Reason)
	require.Equal(t, "20/3", money.Format(above.Due.Points))
}

func TestAssess_EdgeCases(t *testing.T) {
	t.Parallel()
	t.Run("0 of 0 is not perfect where lower is better", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "RESP-02")
		got := assess(t, at, it, counts(0, 0))
		require.Nil(t, got.Measure.Value)
		require.Equal(t, []string{rules.ReasonNoPercentage}, got.Notes)
		require.Zero(t, got.Due.Points.Sign())
		require.Zero(t, got.Due.Amount)
	})
	t.Run("0 of some is the best where lower is better", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "RESP-02")
		require.Equal(t, "4400.00", assess(t, at, it, counts(0, 9)).Due.Amount.Plain())
	})
	t.Run("above a hundred percent earns all points", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "EHCH-01")
		got := assess(t, at, it, counts(110, 100))
		require.Zero(t, got.Due.Points.Cmp(it.Points.Value.Amount))
		at, it = unadjusted(t, 2021, "VI-01")
		require.Equal(t, []string{rules.ReasonAboveWhole}, assess(t, at, it, counts(110, 100)).Notes)
	})
	t.Run("a question never answered is a no", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2021, "COV-01")
		for _, c := range []*rules.Counts{nil, {}, {Answer: rules.No}} {
			got := assess(t, at, it, c)
			require.Zero(t, got.Due.Amount)
			require.Equal(t, c == nil || c.Answer == rules.Unanswered, len(got.Notes) == 1)
		}
		require.Equal(t, "44000.00", assess(t, at, it, &rules.Counts{Answer: rules.Yes}).Due.Amount.Plain())
	})
	t.Run("beds never entered are none", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "EHCH-01")
		got := assess(t, at, it, &rules.Counts{Numerator: rules.Count(5)})
		require.Equal(t, []string{rules.ReasonBedsNotEntered, rules.ReasonNoPercentage}, got.Notes)
		require.Zero(t, got.Due.Amount)
	})
	t.Run("a fall against the baseline takes nothing back", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "CVD-02")
		c := counts(6_000, 50_000)
		c.BaselineNumerator, c.BaselineDenominator = rules.Count(7_000), rules.Count(50_000)
		got := assess(t, at, it, c)
		require.Equal(t, "-2", money.Format(got.Measure.Value))
		require.Zero(t, got.Due.Amount)
		c.BaselineDenominator = rules.Count(0)
		require.Equal(t, []string{rules.ReasonNoPercentage}, assess(t, at, it, c).Notes)
		c.BaselineNumerator = rules.Cell{}
		require.Equal(t, rules.ReasonCountMissing, assess(t, at, it, c).Due.Refused.Reason)
	})
	t.Run("a ratio and a standardised rate are no percentages", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2022, "EHCH-04")
		require.Equal(t, "1.5", money.Format(assess(t, at, it, counts(150, 100)).Measure.Value))
		at, it = unadjusted(t, 2022, "AC-02")
		it.Upper = stated(it.Upper.Key, big.NewRat(-1, 1_000))
		c := counts(203, 30_000)
		c.BaselineNumerator, c.BaselineDenominator = rules.Count(233), rules.Count(30_000)
		got := assess(t, at, it, c)
		require.Equal(t, "-0.001", money.Format(got.Measure.Value))
		require.Zero(t, got.Due.Points.Cmp(it.Points.Value.Amount))
	})
	t.Run("who is not assessed earns nothing whatever the performance", func(t *testing.T) {
		t.Parallel()
		for status, reason := range map[rules.Status]string{
			rules.Suspended: rules.ReasonIndicatorSuspended, rules.Deferred: rules.ReasonIndicatorDeferred, rules.Retired: rules.ReasonIndicatorRetired,
		} {
			at, it := unadjusted(t, 2021, "VI-01")
			it.Status = status
			for _, c := range []*rules.Counts{nil, counts(99, 100), counts(0, 0)} {
				got := assess(t, at, it, c)
				require.True(t, got.Due.Known())
				require.Zero(t, got.Due.Amount)
				require.Equal(t, []string{reason}, got.Tests[rules.TestStatus-1].Reasons)
			}
		}
	})
	t.Run("an override is refused without a confirmation, and pays without counts", func(t *testing.T) {
		t.Parallel()
		at, it := unadjusted(t, 2023, "ACC-08")
		got := assess(t, at, it, nil)
		require.Equal(t, "14058.00", got.Due.Amount.Plain())
		require.Equal(t, rules.ReasonCountMissing, got.Measured.Refused.Reason)
		guess := *it.Override
		guess.Confidence = working.Candidate
		it.Override = &guess
		require.Equal(t, rules.ReasonOverrideUnconfirmed, assess(t, at, it, nil).Due.Refused.Reason)
		guess.Confidence, guess.Share.Value = working.Official, big.NewRat(3, 2)
		require.Equal(t, rules.ReasonFigureInvalid, assess(t, at, it, nil).Due.Refused.Reason)
	})
}

func TestAssess_ReadsFromClauseToPenny(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2025, "CAN-04")
	it.Prevalent = stated(it.Prevalent.Key, big.NewRat(1, 1))
	it.National = stated(it.National.Key, big.NewRat(1, 2))
	got := assess(t, at, it, &rules.Counts{
		Register: rules.Count(230), Numerator: rules.Count(150), Exclusions: []rules.FieldCount{{Field: "GICANREF", Cell: rules.Count(10)}},
		Adjustments: []rules.FieldCount{{Field: "FITNIDAT", Cell: rules.Count(12)}, {Field: "FAECIMMDEC", Cell: rules.Count(8)}},
	})
	require.Equal(t, "2323.20", got.Due.Amount.Plain())
	require.Equal(t, working.Secondary, got.Due.Confidence)
	sentences := working.Sentences(got.Due.Working)
	require.Contains(t, sentences, "denominator = target group 220 − adjustment FAECIMMDEC 8 − adjustment FITNIDAT 12 = 200 patients "+
		"(IIF: exclusions first, then the target, then personalised care adjustments).")
	require.Equal(t, "payment = payment before rounding 2323.2 rounded half up to 2 decimals = £2323.20 "+
		"(policy of the version: rounded once for each indicator, to the penny).", sentences[len(sentences)-1])
	names := make([]string, 0, len(got.Tests))
	for _, test := range got.Tests {
		names = append(names, test.Test.String()+" "+string(test.Outcome))
	}
	require.Equal(t, []string{
		"STATUS PASSED", "ACHIEVEMENT PASSED", "POINTS PASSED", "OVERRIDE NOT_REACHED", "LIST_SIZE PASSED", "PREVALENCE PASSED", "PAYMENT PASSED",
	}, names)
}

func TestRounding_IsAPolicyOfTheVersion(t *testing.T) {
	t.Parallel()
	setting := func(commissioner, name, value, known string) rules.Setting {
		return rules.Setting{
			ID: commissioner + value, CommissionerCode: commissioner, VersionID: "IIF-2025-04", Name: name, Value: value, KnownFrom: date(t, known),
		}
	}
	pay := func(numerator, denominator int64, list int64, known string, settings ...rules.Setting) (string, []string) {
		s := *scheme(t)
		s.Settings = settings
		at, err := rules.TermsFor(&s, rules.Query{Year: 2025, Commissioner: "QX", Known: date(t, known)})
		require.NoError(t, err)
		at.Average = stated(at.Average.Key, big.NewRat(50_000, 1))
		it, _ := at.Find("CAN-04")
		it.Prevalent = stated(it.Prevalent.Key, new(big.Rat))
		n := network()
		n.ListSize.Value = big.NewRat(list, 1)
		got, err := rules.Assess(at, it, n, counts(numerator, denominator))
		require.NoError(t, err)
		requireHolds(t, it, got)
		return got.Due.Amount.Plain(), at.Version.Rounding.SettingIDs
	}
	even := setting(rules.England, rules.SettingRounding, rules.RoundingHalfEven, "2026-01-01")
	down := setting("QX", rules.SettingRounding, rules.RoundingDown, "2025-06-01")
	places := setting("QX", rules.SettingRoundingPlace, rules.PlacePointsAndIndicator, "2026-01-01")
	tied := setting("QX", rules.SettingRounding, rules.RoundingHalfEven, "2025-06-01") // QXHALF_EVEN is after QXDOWN where neither has a position
	other := setting("QY", rules.SettingRounding, rules.RoundingDown, "2025-06-01")
	cases := []struct {
		numerator, denominator, list int64
		known                        string
		settings                     []rules.Setting
		want                         string
		ids                          []string
	}{
		{145, 200, 50_125, "2026-04-01", nil, "2183.45", nil},
		{145, 200, 50_125, "2026-04-01", []rules.Setting{other}, "2183.45", nil},
		{145, 200, 50_125, "2026-04-01", []rules.Setting{even}, "2183.44", []string{even.ID}},
		{145, 200, 50_126, "2026-04-01", []rules.Setting{down, even}, "2183.48", []string{down.ID}},
		{145, 200, 50_126, "2026-04-01", []rules.Setting{even, down}, "2183.48", []string{down.ID}},
		{145, 200, 50_126, "2026-04-01", []rules.Setting{even}, "2183.49", []string{even.ID}},
		{145, 200, 50_126, "2026-04-01", []rules.Setting{tied, down}, "2183.49", []string{tied.ID}},
		{145, 200, 50_126, "2026-04-01", []rules.Setting{down, tied}, "2183.49", []string{tied.ID}},
		{145, 200, 50_125, "2025-12-31", []rules.Setting{even}, "2183.45", nil},
		{41, 60, 50_000, "2026-04-01", nil, "968.00", nil},
		{41, 60, 50_000, "2026-04-01", []rules.Setting{places}, "968.22", []string{places.ID}},
	}
	for _, c := range cases {
		got, ids := pay(c.numerator, c.denominator, c.list, c.known, c.settings...)
		require.Equal(t, c.want, got, "%+v", c)
		require.Equal(t, c.ids, ids, "%+v", c)
	}
	s := *scheme(t)
	s.Settings = []rules.Setting{setting("QX", rules.SettingRounding, "NEAREST", "2025-06-01")}
	_, err := rules.TermsFor(&s, rules.Query{Year: 2025, Commissioner: "QX"})
	requireReason(t, err, rules.ReasonSettingInvalid)
}

func TestAssessYear_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2021)
	asked := []rules.IndicatorCounts{
		{Code: "VI-01", Counts: *counts(90, 100)}, {Code: "COV-01", Counts: rules.Counts{Answer: rules.Yes}}, {Code: "NCDMI198", Counts: *counts(1, 1)},
	}
	year, err := rules.AssessYear(at, network(), asked)
	require.NoError(t, err)
	require.Equal(t, []string{"VI-02", "VI-03"}, year.Missing, "questions of yes or no are never missing")
	require.Equal(t, []string{"NCDMI198"}, year.Ignored)
	require.Len(t, year.Refused, 2)
	require.False(t, year.Whole())
	require.Equal(t, "389", money.Format(year.Available))
	require.Equal(t, "260", money.Format(year.Points))
	result, found := year.Find("COV-01")
	require.True(t, found)
	require.Equal(t, "44000.00", result.Due.Amount.Plain())
	_, found = year.Find("ACC-09")
	require.False(t, found)
	_, err = rules.AssessYear(at, network(), append(asked, asked[0]))
	requireReason(t, err, rules.ReasonIndicatorTwice)

	october, err := rules.TermsFor(scheme(t), rules.Query{Year: 2021, Commissioner: "QX", Known: date(t, "2021-11-01")})
	require.NoError(t, err)
	year, err = rules.AssessYear(october, network(), nil)
	require.NoError(t, err)
	require.Equal(t, rules.ReasonVersionIncomplete, year.Refused[0].Why.Reason)
}

// of returns counts of a practice.
func of(practice string, c *rules.Counts) rules.PracticeCounts {
	return rules.PracticeCounts{Practice: practice, Counts: *c}
}

func members(pcn string, practices ...string) []rules.Member {
	var out []rules.Member
	for _, practice := range practices {
		out = append(out, rules.Member{Practice: practice, PCN: pcn})
	}
	return out
}

func TestSumPractices_HidesAndDropsAsTheFeedSays(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2022)
	extract, _ := at.Find("VI-01")
	central, _ := at.Find("ACC-08")
	beds, _ := at.Find("EHCH-01")
	hidden := rules.Cell{State: rules.Suppressed}
	both := slices.Concat(members("U2", "E", "D"), members("U1", "B", "A"))
	rows := []rules.PracticeCounts{
		of("B", counts(8, 10)), of("A", &rules.Counts{}), of("C", counts(5, 9)),
		of("D", &rules.Counts{Numerator: rules.Count(1), Denominator: hidden}), of("E", &rules.Counts{Numerator: hidden, Denominator: rules.Count(2)}),
	}
	sums, dropped, err := rules.SumPractices(&extract.Indicator, both, rows, working.Origin{})
	require.NoError(t, err)
	require.Equal(t, []string{"C"}, dropped)
	require.Equal(t, []string{"A"}, sums[0].Incomplete)
	require.Equal(t, rules.Counts{}, sums[0].Counts, "what a practice did not submit leaves the network without")
	require.Equal(t, hidden, sums[1].Counts.Denominator, "a hidden count before a stated one")
	require.Equal(t, hidden, sums[1].Counts.Numerator, "and after one")

	sums, _, err = rules.SumPractices(&central.Indicator, both, rows, working.Origin{})
	require.NoError(t, err)
	require.Empty(t, sums[0].Incomplete)
	require.Equal(t, rules.Count(8), sums[0].Counts.Numerator, "a practice that a central feed does not know counts as nothing")
	require.Equal(t, []rules.CountDifference{{Name: "numerator", Summed: rules.Count(8), Stated: rules.Count(9)}},
		rules.CompareCounts(&sums[0].Counts, counts(9, 10)))
	require.Empty(t, rules.CompareCounts(&sums[1].Counts, counts(3, 99)), "hidden counts are not compared")

	unentered := []rules.PracticeCounts{of("A", &rules.Counts{Numerator: rules.Count(5)})}
	sums, _, err = rules.SumPractices(&beds.Indicator, members("U1", "A"), unentered, working.Origin{})
	require.NoError(t, err)
	require.Empty(t, sums[0].Incomplete)
}

func TestSumPractices_TakesEveryMemberIntoAccount(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2022)
	extract, _ := at.Find("VI-01")
	central, _ := at.Find("ACC-08")
	rows := []rules.PracticeCounts{of("A", counts(8, 10))}
	sums, _, err := rules.SumPractices(&extract.Indicator, members("U1", "A", "B"), rows, working.Origin{})
	require.NoError(t, err)
	require.Equal(t, []rules.NetworkCounts{{PCN: "U1", Practices: []string{"A", "B"}, Incomplete: []string{"B"}}}, sums)
	sums, _, err = rules.SumPractices(&central.Indicator, members("U1", "A", "B"), rows, working.Origin{})
	require.NoError(t, err)
	require.Equal(t, []rules.NetworkCounts{{PCN: "U1", Practices: []string{"A", "B"}, Counts: *counts(8, 10)}}, sums)
}

func TestSumPractices_BringsPracticesToOneForm(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2022)
	it, _ := at.Find("CVD-05")
	field := func(n int64) []rules.FieldCount { return []rules.FieldCount{{Field: "F", Cell: rules.Count(n)}} }
	register := func(numerator, register, adjusted int64) *rules.Counts {
		return &rules.Counts{Numerator: rules.Count(numerator), Register: rules.Count(register), Adjustments: field(adjusted)}
	}
	add := func(rows ...rules.PracticeCounts) rules.NetworkCounts {
		sums, _, err := rules.SumPractices(&it.Indicator, members("U1", "A", "B"), rows, working.Origin{})
		require.NoError(t, err)
		return sums[0]
	}
	require.Equal(t, *counts(80, 190), add(of("A", register(40, 100, 10)), of("B", counts(40, 100))).Counts, "one register covers one practice")
	alike := add(of("A", register(40, 100, 10)), of("B", register(40, 100, 5))).Counts
	require.Equal(t, rules.Counts{
		Numerator: rules.Count(80), Denominator: rules.Count(185), Register: rules.Count(200), Adjustments: field(15),
	}, alike)
	absent := register(40, 150, 0)
	absent.Adjustments[0].Cell = rules.Cell{}
	require.Equal(t, []string{"B"}, add(of("A", register(40, 100, 0)), of("B", absent)).Incomplete)
	absent.Adjustments[0].Cell.State = rules.Suppressed
	require.Equal(t, rules.Suppressed, add(of("A", register(40, 100, 0)), of("B", absent)).Counts.Denominator.State)
}

func TestSumPractices_WantsBaselinesLikeOtherCounts(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2022)
	rise, _ := at.Find("CVD-02")
	admissions, _ := at.Find("AC-02")
	with := counts(1_000, 10_000)
	with.BaselineNumerator, with.BaselineDenominator = rules.Count(900), rules.Count(10_000)
	rows := []rules.PracticeCounts{of("A", with), of("B", counts(2_000, 10_000))}
	sums, _, err := rules.SumPractices(&rise.Indicator, members("U1", "A", "B"), rows, working.Origin{})
	require.NoError(t, err)
	require.Equal(t, []string{"B"}, sums[0].Incomplete)
	require.Equal(t, rules.Counts{}, sums[0].Counts)
	sums, _, err = rules.SumPractices(&admissions.Indicator, members("U1", "A", "B"), rows, working.Origin{})
	require.NoError(t, err)
	require.Equal(t, rules.Count(900), sums[0].Counts.BaselineNumerator, "a central feed without rows is nothing")

	at, admissions = unadjusted(t, 2022, "AC-02")
	got := assess(t, at, admissions, &rules.Counts{Numerator: rules.Count(1), Denominator: rules.Count(9), BaselineDenominator: rules.Count(9)})
	require.Equal(t, []string{rules.ReasonLoadedAsNothing}, got.Notes, "nor does a network without a baseline numerator wait")
}

func TestSumPractices_RefusesCountsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2021)
	it, _ := at.Find("VI-01")
	twice := []rules.FieldCount{{Field: "F", Cell: rules.Count(2)}, {Field: "F", Cell: rules.Count(2)}}
	whole := counts(math.MaxInt64, math.MaxInt64)
	for name, c := range map[string]struct {
		members []rules.Member
		rows    []rules.PracticeCounts
		reason  string
	}{
		"rows twice":    {members("U1", "A"), []rules.PracticeCounts{of("A", counts(1, 2)), of("A", counts(1, 2))}, rules.ReasonPracticeTwice},
		"a member of 2": {slices.Concat(members("U1", "A"), members("U2", "A")), nil, rules.ReasonPracticeTwice},
		"negative":      {members("U1", "A", "B"), []rules.PracticeCounts{of("A", counts(-50, 100)), of("B", counts(50, 100))}, rules.ReasonCountMalformed},
		"a field twice": {
			members("U1", "A"),
			[]rules.PracticeCounts{of("A", &rules.Counts{Numerator: rules.Count(1), Register: rules.Count(9), Adjustments: twice})},
			rules.ReasonFieldMisplaced,
		},
		"a field misplaced": {
			members("U1", "A"),
			[]rules.PracticeCounts{of("A", &rules.Counts{Exclusions: []rules.FieldCount{{Field: "FLUDEC_DAT", Cell: rules.Count(1)}}})},
			rules.ReasonFieldMisplaced,
		},
		"more leave than there are": {
			members("U1", "A"),
			[]rules.PracticeCounts{of("A", &rules.Counts{Numerator: rules.Count(0), Register: rules.Count(1), Exclusions: twice[:1]})},
			rules.ReasonCountsDisagree,
		},
		"another denominator": {
			members("U1", "A"),
			[]rules.PracticeCounts{of("A", &rules.Counts{Numerator: rules.Count(0), Register: rules.Count(3), Denominator: rules.Count(2)})},
			rules.ReasonCountsDisagree,
		},
		"more met than are left": {
			members("U1", "A"), []rules.PracticeCounts{of("A", &rules.Counts{Numerator: rules.Count(4), Register: rules.Count(3)})}, rules.ReasonCountsDisagree,
		},
		"beyond a count": {members("U1", "A", "B"), []rules.PracticeCounts{of("A", whole), of("B", whole)}, rules.ReasonCountMalformed},
	} {
		_, _, err := rules.SumPractices(&it.Indicator, c.members, c.rows, working.Origin{})
		require.Equal(t, c.reason, fault.ReasonOf(err), name)
	}
}

func TestPublish_HidesWhatCouldNameSomeone(t *testing.T) {
	t.Parallel()
	pca := func(cells ...int64) []rules.FieldCount {
		var out []rules.FieldCount
		for i, n := range cells {
			out = append(out, rules.FieldCount{Field: string(rune('A' + i)), Cell: rules.Count(n)})
		}
		return out
	}
	cases := []struct {
		denominator int64
		pca         []rules.FieldCount
		want        string
	}{
		{1, pca(1), "* *"},
		{2, pca(1), "2 1"},
		{1, pca(0), "1 0"},
		{0, pca(3, 0), "0 * *"},
		{0, pca(3, 1), "0 3 1"},
		{0, pca(0, 0), "0 0 0"},
		{1, pca(3, 0), "1 3 0"},
		{1, nil, "1"},
	}
	for _, c := range cases {
		out := rules.Publish(&rules.Counts{Numerator: rules.Count(0), Denominator: rules.Count(c.denominator), Adjustments: c.pca})
		got := out.Denominator.String()
		for _, f := range out.Adjustments {
			got += " " + f.Cell.String()
		}
		require.Equal(t, c.want, got, "%+v", c)
	}
}

func TestLastSubmissions_RefusesTwoThatDiffer(t *testing.T) {
	t.Parallel()
	key := rules.CellKey{Organisation: "U1", AchievementDate: "20250331", Code: "CAN04", Field: "Numerator"}
	row := rules.Submission{CellKey: key, Cell: rules.Count(1), Last: true}
	last, err := rules.LastSubmissions([]rules.Submission{row, row})
	require.NoError(t, err)
	require.Equal(t, map[rules.CellKey]rules.Cell{key: rules.Count(1)}, last)
	other := row
	other.Cell = rules.Count(2)
	_, err = rules.LastSubmissions([]rules.Submission{row, other})
	requireReason(t, err, rules.ReasonSubmissionTwice)
}

func TestStandardise_RefusesABandWithoutPatients(t *testing.T) {
	t.Parallel()
	band := rules.Band{Name: "a", Admissions: 30, Patients: 20_000, England: 30_000_000}
	empty := rules.Band{Name: "b", England: 1_000}
	got, err := rules.Standardise([]rules.Band{band, empty})
	require.NoError(t, err)
	require.EqualValues(t, 20_000, got.Denominator)
	empty.Admissions = 1
	_, err = rules.Standardise([]rules.Band{band, empty})
	requireReason(t, err, rules.ReasonBandWithoutPeople)
	_, err = rules.Standardise(nil)
	requireReason(t, err, rules.ReasonCountMissing)
	band.Admissions = -1
	_, err = rules.Standardise([]rules.Band{band})
	requireReason(t, err, rules.ReasonCountMalformed)
}

func TestDistances_SayWhatPatientsAreWorth(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2021, "VI-01")
	for i := range at.Indicators {
		at.Indicators[i].Prevalent = stated(it.Prevalent.Key, new(big.Rat))
	}
	distances, err := rules.Distances(at, network(), []rules.IndicatorCounts{
		{Code: "VI-01", Counts: *counts(790, 1_000)}, {Code: "VI-02", Counts: *counts(0, 0)}, {Code: "COV-01", Counts: rules.Counts{Answer: rules.Yes}},
	})
	require.NoError(t, err)
	byCode := make(map[string]rules.Distance)
	for _, d := range distances {
		byCode[d.Code] = d
	}
	require.Len(t, byCode, 5, "suspended indicators have no distance")
	require.EqualValues(t, 11, byCode["VI-01"].ToFirst)
	require.Equal(t, "133.33", byCode["VI-01"].WorthFirst.Amount.Plain())
	require.EqualValues(t, 70, byCode["VI-01"].ToAll)
	require.Equal(t, "8000.00", byCode["VI-01"].WorthAll.Amount.Plain())
	require.Equal(t, rules.ReasonDistanceNotCounted, byCode["VI-02"].Refused.Reason)
	require.Equal(t, rules.ReasonCountMissing, byCode["VI-03"].Refused.Reason)
	require.EqualValues(t, 1, byCode["ACC-01"].ToAll, "one answer away")
	require.Equal(t, "5400.00", byCode["ACC-01"].WorthAll.Amount.Plain())
	require.Zero(t, byCode["COV-01"].ToAll)
}

// An indicator without any counts is refused for want of them, also where a central feed's absence is nothing.
func TestDistances_AreNotCountedWithoutCounts(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2023, "ACC-08")
	it.Override = nil
	distances, err := rules.Distances(at, network(), nil)
	require.NoError(t, err)
	i := slices.IndexFunc(distances, func(d rules.Distance) bool { return d.Code == "ACC-08" })
	require.Equal(t, rules.ReasonCountMissing, distances[i].Refused.Reason)
}

// An average divides the list that it is of, and no other.
func TestAssess_RefusesAListOfAnotherKindOrDay(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2025, "CAN-04")
	of := rules.List{Kind: rules.RegisteredList, On: date(t, "2025-01-01")}
	at.Average.Value.List = of
	reason := func(list rules.List) string {
		n := network()
		n.List = list
		got, err := rules.Assess(at, it, n, counts(80, 100))
		require.NoError(t, err)
		if got.Due.Known() {
			return ""
		}
		return got.Due.Refused.Reason
	}
	require.Empty(t, reason(of))
	for _, other := range []rules.List{{}, {Kind: rules.WeightedList, On: of.On}, {Kind: of.Kind, On: of.On.AddDays(1)}} {
		require.Equal(t, rules.ReasonListMismatch, reason(other), "%+v", other)
	}
	at.Average.Value.List = rules.List{}
	require.Empty(t, reason(rules.List{Kind: rules.WeightedList}), "an average that does not say divides any")
}

func TestWhatIf_TellsWhatChanges(t *testing.T) {
	t.Parallel()
	at, _ := unadjusted(t, 2021, "VI-01")
	now := []rules.IndicatorCounts{{Code: "VI-01", Counts: *counts(83, 100)}, {Code: "VI-03", Counts: *counts(60, 100)}}
	effects, before, after, err := rules.WhatIf(at, network(), now, []rules.IndicatorCounts{{Code: "VI-01", Counts: *counts(86, 100)}})
	require.NoError(t, err)
	require.Len(t, effects, 1)
	require.Equal(t, "4000.00", effects[0].Before.Plain())
	require.Equal(t, "8000.00", effects[0].After.Plain())
	require.Equal(t, before.Due+400_000, after.Due)
	_, _, _, err = rules.WhatIf(at, network(), append(now, now...), nil)
	requireReason(t, err, rules.ReasonIndicatorTwice)
}

func TestRank_PutsTheBestFirst(t *testing.T) {
	t.Parallel()
	values := map[string]*big.Rat{"U1": big.NewRat(80, 1), "U2": big.NewRat(90, 1), "U3": big.NewRat(80, 1), "U4": nil, "U5": big.NewRat(70, 1)}
	places := func(direction rules.Direction) string {
		out := ""
		for _, r := range rules.Rank(direction, values) {
			out += r.PCN + " " + string(rune('0'+r.Place)) + ", "
		}
		return out
	}
	require.Equal(t, "U2 1, U1 2, U3 2, U5 4, ", places(rules.HigherBetter))
	require.Equal(t, "U5 1, U1 2, U3 2, U2 4, ", places(rules.LowerBetter))
}

func TestCorrect_TakesBackWhatTheYearNoLongerHas(t *testing.T) {
	t.Parallel()
	at, _ := unadjusted(t, 2024, "CAN-04")
	year, err := rules.AssessYear(at, network(), []rules.IndicatorCounts{{Code: "HI-03", Counts: *counts(10, 100)}, {Code: "CAN-04", Counts: *counts(145, 200)}})
	require.NoError(t, err)
	require.True(t, year.Whole())
	lines, err := rules.Correct(year, []rules.Paid{
		{Code: "CAN-02", Amount: 5_000, LineID: "L1"}, {Code: "CAN-04", Amount: 200_000, LineID: "L2"}, {Code: "OLD", Amount: 7},
	})
	require.NoError(t, err)
	got := make(map[string]string)
	for _, line := range lines {
		requireGives(t, line.Working, line.Amount)
		got[line.Code+" "+line.LineID] = line.Amount.Plain()
	}
	require.Equal(t, map[string]string{"CAN-02 L1": "-50.00", "CAN-04 L2": "178.00", "OLD ": "-0.07"}, got)
	_, err = rules.Correct(year, []rules.Paid{{Code: "CAN-04"}, {Code: "CAN-04"}})
	requireReason(t, err, rules.ReasonPaidTwice)
	year.Missing = []string{"HI-03"}
	_, err = rules.Correct(year, nil)
	requireReason(t, err, rules.ReasonResultIncomplete)
}

func TestRunFor_TakesTheFirstInTime(t *testing.T) {
	t.Parallel()
	backwards := *scheme(t)
	backwards.Calendar = slices.Clone(backwards.Calendar)
	slices.Reverse(backwards.Calendar)
	for approved, want := range map[string]string{"2024-05-01": "2024-06-20", "2024-06-05": "2024-06-20", "2024-06-06": "2024-07-19"} {
		run, err := rules.RunFor(&backwards, rules.Query{Year: 2023, Commissioner: "QX"}, date(t, approved))
		require.NoError(t, err)
		require.Equal(t, want, run.PayOn.String(), approved)
	}
}

func TestRunFor_TakesTheGoverningRow(t *testing.T) {
	t.Parallel()
	row := func(id, commissioner, knownFrom, payOn string, confidence working.Confidence) rules.Run {
		return rules.Run{
			Figure: rules.Figure{ID: id, CommissionerCode: commissioner, KnownFrom: date(t, knownFrom), Confidence: confidence},
			Year:   2025, Kind: rules.PaymentRun, ApproveBy: date(t, "2026-07-03"), PayOn: date(t, payOn),
		}
	}
	corrected := row("corrected", rules.England, "2026-06-10", "2026-07-21", working.Official)
	own := row("own", "QX", "2026-06-20", "2026-07-25", working.Secondary)
	theirs := row("theirs", "QY", "2026-06-01", "2026-07-01", working.Official)
	guess := row("guess", rules.England, "2026-06-30", "2026-07-30", working.Candidate)
	deadline := row("deadline", "QX", "2026-06-20", "2026-09-30", working.Official)
	deadline.Kind, deadline.ApproveBy = rules.PaymentDeadline, period.Date{}
	s := *scheme(t)
	s.Calendar = slices.Concat([]rules.Run{own, guess, theirs, corrected, deadline}, s.Calendar)
	for _, c := range []struct{ commissioner, known, pays, last string }{
		{"QZ", "2026-06-09", "2026-07-20", "2026-08-31"},
		{"QZ", "2026-06-10", "2026-07-21", "2026-08-31"},
		{"QX", "2026-06-19", "2026-07-21", "2026-08-31"},
		{"QX", "2026-06-20", "2026-07-25", "2026-09-30"},
		{"QY", "2026-07-01", "2026-07-01", "2026-08-31"},
	} {
		q := rules.Query{Year: 2025, Commissioner: c.commissioner, Known: date(t, c.known)}
		run, err := rules.RunFor(&s, q, date(t, "2026-07-01"))
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.pays, run.PayOn.String(), "%+v", c)
		last, found := rules.DeadlineOf(&s, q)
		require.True(t, found)
		require.Equal(t, c.last, last.String(), "%+v", c)
	}
}

// A commissioner's own run that waits for its confirmation moves no payment.
func TestRunFor_PassesByARunThatNobodyConfirmed(t *testing.T) {
	t.Parallel()
	s := *scheme(t)
	own := rules.Run{
		Figure: rules.Figure{ID: "own", CommissionerCode: "QX", Confidence: working.Candidate}, Year: 2025, Kind: rules.PaymentRun,
		ApproveBy: date(t, "2026-07-03"), PayOn: date(t, "2026-07-25"),
	}
	s.Calendar = append(slices.Clone(s.Calendar), own)
	run, err := rules.RunFor(&s, rules.Query{Year: 2025, Commissioner: "QX"}, date(t, "2026-07-01"))
	require.NoError(t, err)
	require.Equal(t, "2026-07-20", run.PayOn.String())
}

func TestDeadlineOf_IsKnownForOneYear(t *testing.T) {
	t.Parallel()
	day, found := rules.DeadlineOf(scheme(t), rules.Query{Year: 2025, Commissioner: "QX"})
	require.True(t, found)
	require.Equal(t, "2026-08-31", day.String())
	_, found = rules.DeadlineOf(scheme(t), rules.Query{Year: 2023, Commissioner: "QX"})
	require.False(t, found)
}

func TestTermsFor_ACandidateTakesThePlaceOnlyOfWhatWasNotKnown(t *testing.T) {
	t.Parallel()
	key := rules.Key{Year: 2025, Field: rules.AverageField}
	row := func(id, commissioner, knownFrom string, confidence working.Confidence) rules.Value {
		return rules.Value{
			Figure: rules.Figure{ID: id, CommissionerCode: commissioner, KnownFrom: date(t, knownFrom), Confidence: confidence},
			Key:    key, Amount: big.NewRat(50_000, 1),
		}
	}
	payable := row("payable", rules.England, "2025-04-01", working.Secondary)
	candidate := row("candidate", rules.England, "2025-06-01", working.Candidate)
	unknown := row("unknown", rules.England, "2025-07-01", working.Unknown)
	own := row("own", "QX", "2025-05-01", working.Candidate)
	before := row("before", rules.England, "2025-03-01", working.Unknown)
	later := row("later", rules.England, "2025-08-01", working.Candidate)
	for _, c := range []struct {
		rows []rules.Value
		want string
	}{
		{[]rules.Value{payable, candidate, before}, "payable"},
		{[]rules.Value{candidate, before, payable}, "payable"},
		{[]rules.Value{payable, own}, "payable"},
		{[]rules.Value{own, candidate, payable, unknown}, "own"},
		{[]rules.Value{payable, candidate, unknown}, "unknown"},
		{[]rules.Value{later, payable, candidate, unknown}, "later"},
		{[]rules.Value{row("b", "QX", "2025-05-01", working.Official), row("a", "QX", "2025-05-01", working.Official)}, "b"},
	} {
		s := *scheme(t)
		s.Values = c.rows
		at, err := rules.TermsFor(&s, rules.Query{Year: 2025, Commissioner: "QX"})
		require.NoError(t, err)
		require.Equal(t, c.want, at.Average.Value.ID, "%+v", c.rows)
	}
}

// An indicator that pays is missing until its counts are there to be read, be it overridden or hidden.
func TestAssessYear_WantsCountsOfEveryIndicatorThatPays(t *testing.T) {
	t.Parallel()
	at, _ := unadjusted(t, 2023, "ACC-08")
	year, err := rules.AssessYear(at, network(), nil)
	require.NoError(t, err)
	require.Contains(t, year.Missing, "ACC-08")
	acc, found := year.Find("ACC-08")
	require.True(t, found)
	require.True(t, acc.Due.Known(), "what is due of the override is known all the same")
	at, _ = unadjusted(t, 2025, "CAN-04")
	hidden := rules.Counts{Numerator: rules.Count(3), Denominator: rules.Cell{State: rules.Suppressed}}
	year, err = rules.AssessYear(at, network(), []rules.IndicatorCounts{{Code: "HI-03", Counts: *counts(70, 100)}, {Code: "CAN-04", Counts: hidden}})
	require.NoError(t, err)
	require.Equal(t, []string{"CAN-04"}, year.Missing)
}

// A candidate is refused wherever it stands, with its own name to confirm it by.
func TestAssess_RefusesEachCandidateByName(t *testing.T) {
	t.Parallel()
	for reason, of := range map[string]func(*rules.Terms, *rules.IndicatorTerms) *rules.Held{
		rules.ReasonPriceNotConfirmed:         func(at *rules.Terms, _ *rules.IndicatorTerms) *rules.Held { return &at.Price },
		rules.ReasonAverageNotConfirmed:       func(at *rules.Terms, _ *rules.IndicatorTerms) *rules.Held { return &at.Average },
		rules.ReasonPrevalenceNotConfirmed:    func(_ *rules.Terms, it *rules.IndicatorTerms) *rules.Held { return &it.National },
		rules.ReasonPrevalenceRuleUnconfirmed: func(_ *rules.Terms, it *rules.IndicatorTerms) *rules.Held { return &it.Prevalent },
		rules.ReasonPointsNotConfirmed:        func(_ *rules.Terms, it *rules.IndicatorTerms) *rules.Held { return &it.Points },
		rules.ReasonThresholdNotConfirmed:     func(_ *rules.Terms, it *rules.IndicatorTerms) *rules.Held { return &it.Lower },
	} {
		at, it := unadjusted(t, 2021, "VI-01")
		it.Prevalent, it.National = stated(it.Prevalent.Key, big.NewRat(1, 1)), stated(it.National.Key, big.NewRat(20, 1))
		require.True(t, assess(t, at, it, counts(90, 100)).Due.Known())
		held := of(at, it)
		guess := *held.Value
		guess.ID, guess.Confidence = "C1", working.Candidate
		held.Value = &guess
		refused := assess(t, at, it, counts(90, 100)).Due.Refused
		require.Equal(t, reason, refused.Reason)
		require.Contains(t, refused.Meta["remedy"], "confirm candidate C1")
	}
}

// An indicator's own confidence gates it like that of its figures: in the payment, in the count of the version, and in the working.
func TestAssess_RefusesAnIndicatorThatNobodyConfirmed(t *testing.T) {
	t.Parallel()
	for _, confidence := range []working.Confidence{working.Candidate, working.Unknown} {
		at, it := unadjusted(t, 2025, "CAN-04")
		require.Equal(t, "4356.00", assess(t, at, it, counts(80, 100)).Due.Amount.Plain())
		it.Confidence = confidence
		for _, status := range []rules.Status{rules.Active, rules.Suspended} {
			it.Status = status
			got := assess(t, at, it, counts(80, 100))
			require.Equal(t, rules.ReasonIndicatorNotConfirmed, got.Due.Refused.Reason)
			require.Equal(t, rules.ReasonIndicatorNotConfirmed, got.Measured.Refused.Reason)
			require.Equal(t, []string{rules.ReasonIndicatorNotConfirmed}, got.Tests[rules.TestStatus-1].Reasons)
		}
	}
	at, it := unadjusted(t, 2025, "CAN-04")
	at.Price = stated(at.Price.Key, big.NewRat(198, 1))
	for _, of := range []*rules.Held{&it.Points, &it.Lower, &it.Upper} {
		*of = stated(of.Key, of.Value.Amount)
	}
	for _, c := range []*rules.Counts{counts(80, 100), counts(10, 100), counts(0, 0)} {
		it.Confidence = working.Official
		require.Equal(t, working.Official, assess(t, at, it, c).Due.Confidence)
		it.Confidence = working.Inferred
		require.Equal(t, working.Inferred, assess(t, at, it, c).Due.Confidence)
	}
}

func TestTermsFor_CountsOnlyConfirmedIndicators(t *testing.T) {
	t.Parallel()
	q := rules.Query{Year: 2025, Commissioner: "QX"}
	for confidence, complete := range map[working.Confidence]bool{working.Official: true, working.Inferred: true, working.Candidate: false} {
		s := *scheme(t)
		s.Indicators = slices.Clone(s.Indicators)
		for i := range s.Indicators {
			if s.Indicators[i].ID == "IIF-2025-04-CAN-04" {
				s.Indicators[i].Confidence = confidence
			}
		}
		at, err := rules.TermsFor(&s, q)
		require.NoError(t, err)
		require.Equal(t, complete, at.Incomplete == nil, confidence)
	}
	s := *scheme(t)
	s.Versions = slices.Clone(s.Versions)
	for i := range s.Versions {
		s.Versions[i].PayingIndicators = 0
	}
	at, err := rules.TermsFor(&s, q)
	require.NoError(t, err)
	require.Equal(t, rules.ReasonVersionIncomplete, at.Incomplete.Reason, "nobody knows whether there are more")
}

// What a rule fixes is not set aside by what a quotation states; 1 stated agrees with it.
func TestQuote_RefusesAnAdjustmentThatARuleFixes(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"COV-01", "VI-01"} {
		at, it := unadjusted(t, 2021, code) // VI-01 by a stated rule, COV-01 as a question of yes or no
		c := counts(90, 100)
		c.Answer = rules.Yes
		quote := func(prevalence int64) *rules.Result {
			got, err := rules.Quote(at, it, network(), c, rules.Quotation{Prevalence: map[string]rules.Given{code: {Value: big.NewRat(prevalence, 1)}}})
			require.NoError(t, err)
			requireHolds(t, it, got)
			return got
		}
		for _, prevalence := range []int64{2, 0, -1} {
			require.Equal(t, rules.ReasonFigureInvalid, quote(prevalence).Due.Refused.Reason, code)
		}
		require.Equal(t, assess(t, at, it, c).Due, quote(1).Due, code)
	}
}

func TestQuote_TakesWhatIsStatedWhereNothingFixesIt(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2021, "VI-01")
	it.Prevalent.Value, at.Average.Value = nil, nil
	quote := func(list, prevalence *big.Rat) *rules.Result {
		got, err := rules.Quote(at, it, network(), counts(86, 100), rules.Quotation{
			ListSize: rules.Given{Value: list}, Prevalence: map[string]rules.Given{"VI-01": {Value: prevalence}, "VI-02": {Value: big.NewRat(9, 1)}},
		})
		require.NoError(t, err)
		return got
	}
	require.Equal(t, "6000.00", quote(big.NewRat(1, 2), big.NewRat(3, 2)).Due.Amount.Plain())
	require.Equal(t, rules.ReasonPrevalenceRuleUnknown, quote(big.NewRat(1, 2), nil).Due.Refused.Reason)
	require.Equal(t, rules.ReasonAverageUnknown, quote(nil, big.NewRat(1, 1)).Due.Refused.Reason)
	require.Equal(t, rules.ReasonFigureInvalid, quote(big.NewRat(1, 2), big.NewRat(-1, 1)).Due.Refused.Reason)
	require.Equal(t, rules.ReasonFigureInvalid, quote(new(big.Rat), big.NewRat(1, 1)).Due.Refused.Reason)
}

// An override gives points to a network without patients, whose prevalence makes them worth nothing; that is said.
func TestAssess_NotesAnOverrideOfNobody(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2023, "ACC-08")
	it.Prevalent, it.National = stated(it.Prevalent.Key, big.NewRat(1, 1)), stated(it.National.Key, big.NewRat(20, 1))
	got := assess(t, at, it, counts(0, 0))
	require.Equal(t, []string{rules.ReasonNoPercentage, rules.ReasonPrevalenceOfNothing}, got.Notes)
	require.Equal(t, []string{rules.ReasonPrevalenceOfNothing}, got.Tests[rules.TestPrevalence-1].Reasons)
	require.Equal(t, "71", money.Format(got.Due.Points))
	require.Zero(t, got.Due.Amount)
	require.Equal(t, []string(nil), assess(t, at, it, counts(1, 1)).Notes)
}

func TestAssess_NotesWhatTheCommissionerShouldSee(t *testing.T) {
	t.Parallel()
	at, it := unadjusted(t, 2021, "COV-01")
	got := assess(t, at, it, nil)
	require.Equal(t, []string{rules.ReasonNotAnswered}, got.Notes)
	require.Equal(t, []string{rules.ReasonAnsweredNo}, got.Tests[rules.TestPoints-1].Reasons)
	at, it = unadjusted(t, 2023, "ACC-08")
	got = assess(t, at, it, &rules.Counts{Numerator: rules.Count(9)})
	require.Equal(t, []string{rules.ReasonLoadedAsNothing, rules.ReasonNoPercentage}, got.Notes)
	require.Equal(t, []string{rules.ReasonNationalOverride}, got.Tests[rules.TestOverride-1].Reasons)
	require.Zero(t, got.Measured.Points.Sign(), "the measured result stands beside the override")
}
