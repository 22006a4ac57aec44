package rules_test

import (
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// restated adds rows of versions to the published scheme, each a published one with what changes of it.
func restated(t *testing.T, of string, changes ...func(*rules.Version)) *rules.Scheme {
	t.Helper()
	s := *scheme(t)
	s.Versions = slices.Clone(s.Versions)
	at := slices.IndexFunc(s.Versions, func(v rules.Version) bool { return v.VersionID == of })
	require.GreaterOrEqual(t, at, 0)
	for i, change := range changes {
		row := s.Versions[at]
		row.ID, row.Position = of+string(rune('a'+i)), int64(i+1)
		change(&row)
		s.Versions = append(s.Versions, row)
	}
	return &s
}

// A corrected or confirmed row is another figure of the same version, which keeps its indicators and its values.
func TestTermsFor_ACorrectedRowIsOfTheSameVersion(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"2021-12-01", "2021-12-07", "2021-12-20"} {
		s := restated(t, "IIF-2021-12", func(v *rules.Version) { v.From = date(t, from) })
		got, err := rules.TermsFor(s, rules.Query{Year: 2021, Commissioner: "QX"})
		require.NoError(t, err)
		require.Equal(t, "IIF-2021-12a", got.Version.ID, from)
		require.Equal(t, "IIF-2021-12", got.Version.VersionID, from)
		require.Equal(t, big.NewRat(200, 1), got.Price.Value.Amount)
		require.NotEmpty(t, got.Indicators)
		got, err = rules.TermsFor(s, rules.Query{Year: 2021, Commissioner: "QX", On: date(t, from).AddDays(-1)})
		require.NoError(t, err)
		require.Equal(t, "IIF-2021-10", got.Version.VersionID, "the row before no longer says when it began")
	}
}

func TestTermsFor_ACandidateVersionWaits(t *testing.T) {
	t.Parallel()
	october := func(confidence working.Confidence) func(*rules.Version) {
		return func(v *rules.Version) {
			v.VersionID, v.From, v.Confidence = "IIF-2025-10", date(t, "2025-10-01"), confidence
		}
	}
	for confidence, want := range map[working.Confidence]string{working.Candidate: "IIF-2025-04", working.Secondary: "IIF-2025-10", working.Unknown: ""} {
		got, err := rules.TermsFor(restated(t, "IIF-2025-04", october(confidence)), rules.Query{Year: 2025, Commissioner: "QX"})
		if want == "" {
			requireReason(t, err, rules.ReasonVersionUnknown)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, got.Version.VersionID)
	}
	s := restated(t, "IIF-2026-04", func(v *rules.Version) { v.Confidence = working.Candidate })
	_, err := rules.TermsFor(s, rules.Query{Year: 2026, Commissioner: "QX"})
	refused, _ := fault.As(err)
	require.Equal(t, rules.ReasonVersionUnknown, refused.Reason)
	require.Contains(t, refused.Meta["remedy"], "confirm candidate IIF-2026-04a")
}

func TestOutline_ShowsAYearThatNobodyKnows(t *testing.T) {
	t.Parallel()
	got, err := rules.Outline(scheme(t), rules.Query{Year: 2026, Commissioner: "QX"})
	require.NoError(t, err)
	require.Equal(t, "IIF-2026-04", got.Version.VersionID)
	require.Equal(t, rules.ReasonVersionUnknown, got.Incomplete.Reason)
	require.NotEmpty(t, got.Incomplete.Meta["remedy"])
	_, err = rules.Outline(scheme(t), rules.Query{Year: 2019, Commissioner: "QX"})
	requireReason(t, err, rules.ReasonVersionUnknown)
}

func TestTermsFor_OfOneDayTheRowRecordedLastHolds(t *testing.T) {
	t.Parallel()
	for want, positions := range map[string][2]int64{"IIF-2025-04b": {8, 9}, "IIF-2025-04a": {9, 8}} {
		s := restated(t, "IIF-2025-04",
			func(v *rules.Version) { v.Position = positions[0] }, func(v *rules.Version) { v.Position = positions[1] })
		got, err := rules.TermsFor(s, rules.Query{Year: 2025, Commissioner: "QX"})
		require.NoError(t, err)
		require.Equal(t, want, got.Version.ID)
	}
}

func TestTermsFor_AnOverrideWithoutAShareWithdrawsIt(t *testing.T) {
	t.Parallel()
	s := *scheme(t)
	for confidence, stands := range map[working.Confidence]bool{working.Official: false, working.Candidate: true} {
		withdrawn := s.Overrides[0]
		withdrawn.ID, withdrawn.Confidence, withdrawn.Share.Value, withdrawn.Position = "W", confidence, nil, 1
		with := s
		with.Overrides = append(slices.Clone(s.Overrides), withdrawn)
		got, err := rules.TermsFor(&with, rules.Query{Year: 2023, Commissioner: "QX"})
		require.NoError(t, err)
		it, _ := got.Find("ACC-08")
		require.Equal(t, stands, it.Override != nil, confidence.String())
	}
}

// Fields that an indicator names are its own: those of the tables are of the code in every version, and no other row gains any.
func TestTermsFor_AnIndicatorHasTheFieldsItNames(t *testing.T) {
	t.Parallel()
	fields := func(s *rules.Scheme, year period.FinancialYear) (exclusions, adjustments []string) {
		got, err := rules.TermsFor(s, rules.Query{Year: year, Commissioner: "QX"})
		require.NoError(t, err)
		it, _ := got.Find("HI-03")
		return it.Exclusions, it.Adjustments
	}
	s := *scheme(t)
	exclusions, _ := fields(&s, 2025)
	require.Contains(t, exclusions, "LD_DAT")
	at := slices.IndexFunc(s.Indicators, func(i rules.Indicator) bool { return i.ID == "IIF-2025-04-HI-03" })
	own := s.Indicators[at]
	own.ID, own.Position, own.Exclusions, own.Adjustments = "own", 1, []string{"NEW1"}, nil
	s.Indicators = append(slices.Clone(s.Indicators), own)
	s.Fields = append(slices.Clone(s.Fields), rules.ExtractField{VersionID: own.VersionID, Code: own.Code, Role: rules.Exclusion, Name: "NEW1"})
	exclusions, adjustments := fields(&s, 2025)
	require.Equal(t, []string{"NEW1"}, exclusions)
	require.Empty(t, adjustments)
	exclusions, _ = fields(&s, 2024)
	require.Contains(t, exclusions, "LD_DAT")
	require.NotContains(t, exclusions, "NEW1")
}

func TestRounding_NamesTheSettingsThatGiveIt(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{rules.RoundingHalfUp, rules.RoundingHalfEven, rules.RoundingDown} {
		for _, place := range []string{rules.PlaceIndicator, rules.PlacePointsAndIndicator} {
			policy, err := rules.Rounding{}.Apply(rules.SettingRounding, mode)
			require.NoError(t, err)
			policy, err = policy.Apply(rules.SettingRoundingPlace, place)
			require.NoError(t, err)
			gotMode, gotPlace := policy.Names()
			require.Equal(t, [2]string{mode, place}, [2]string{gotMode, gotPlace})
		}
	}
}

func TestTermsFor_WhatAPredecessorEnteredCountsForItsSuccessor(t *testing.T) {
	t.Parallel()
	s := *scheme(t)
	key := rules.Key{Year: 2023, Field: rules.AverageField}
	value := func(body string, day string, amount int64) rules.Value {
		return rules.Value{
			Figure: rules.Figure{ID: body + day, Source: "letter", Confidence: working.Official, KnownFrom: date(t, day), CommissionerCode: body},
			Key:    key, Amount: big.NewRat(amount, 1),
		}
	}
	s.Values = append(slices.Clone(s.Values), value("QA", "2024-05-02", 2), value("QB", "2024-05-01", 3), value(rules.England, "2024-06-01", 4), value("QC", "2024-05-04", 5))
	version, err := rules.TermsFor(&s, rules.Query{Year: 2023, Commissioner: "QX"})
	require.NoError(t, err)
	set := func(body, day, mode string) rules.Setting {
		return rules.Setting{
			ID: body + day, CommissionerCode: body, VersionID: version.Version.VersionID, Name: rules.SettingRounding, Value: mode, KnownFrom: date(t, day),
		}
	}
	s.Settings = []rules.Setting{set("QA", "2024-05-01", rules.RoundingDown), set("QB", "2024-05-02", rules.RoundingHalfEven), set(rules.England, "2024-06-01", rules.RoundingHalfUp)}
	for _, c := range []struct {
		commissioner, predecessor string
		average                   int64
		rounding                  string
	}{
		{"QA", "", 2, rules.RoundingDown},
		{"QB", "QB", 3, rules.RoundingHalfEven},
		{"QB", "QA", 2, rules.RoundingHalfEven}, // each by the later
		{"QA", "QB", 2, rules.RoundingHalfEven},
		{"QX", "QA", 2, rules.RoundingDown},
		{"QX", "QY", 4, rules.RoundingHalfUp},
	} {
		at, err := rules.TermsFor(&s, rules.Query{Year: 2023, Commissioner: c.commissioner, Predecessor: c.predecessor})
		require.NoError(t, err)
		require.Equal(t, big.NewRat(c.average, 1), at.Average.Value.Amount, c)
		mode, _ := at.Version.Rounding.Names()
		require.Equal(t, c.rounding, mode, c)
	}
}
