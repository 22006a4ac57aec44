package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func statement(id string, basis rules.Basis, amount money.Pence, confidence working.Confidence, known period.Date) rules.Total {
	t := rules.Total{
		Figure: rules.Figure{ID: id, Source: "letter", Confidence: confidence, KnownFrom: known}, Key: rules.Key{Year: 2022, FundCode: "F", Basis: basis},
	}
	if amount >= 0 {
		t.Amount = &amount
	}
	return t
}

const unknown = money.Pence(-1)

func TestUsable_IsWhatWasReleasedAndSet(t *testing.T) {
	t.Parallel()
	april, may, june := day(time.April, 1), day(time.May, 1), day(time.June, 1)
	combined := func(t rules.Total) rules.Total { t.Combined = true; return t }
	cases := map[string]struct {
		all    []rules.Total
		known  period.Date
		want   money.Pence
		reason string
	}{
		"nothing stated": {nil, period.Date{}, 0, rules.ReasonAmountUnknown},
		"a plan":         {[]rules.Total{statement("A", rules.Planned, 45, working.Official, april)}, period.Date{}, 0, rules.ReasonAmountUnknown},
		"a release": {
			[]rules.Total{statement("A", rules.Planned, 45, working.Official, april), statement("B", rules.Released, 43, working.Secondary, may)}, period.Date{}, 43, "",
		},
		"a release not known yet": {[]rules.Total{statement("B", rules.Released, 43, working.Official, may)}, april, 0, rules.ReasonAmountUnknown},
		"a later release": {
			[]rules.Total{statement("C", rules.Released, 44, working.Official, june), statement("B", rules.Released, 43, working.Official, may)}, period.Date{}, 44, "",
		},
		"the earlier, as known then": {
			[]rules.Total{statement("C", rules.Released, 44, working.Official, june), statement("B", rules.Released, 43, working.Official, may)}, may, 43, "",
		},
		"a candidate":                   {[]rules.Total{statement("B", rules.Released, 43, working.Candidate, may)}, period.Date{}, 0, rules.ReasonAmountNotConfirmed},
		"a candidate after a release":   {[]rules.Total{statement("B", rules.Released, 43, working.Official, may), statement("C", rules.Released, 9, working.Candidate, june)}, period.Date{}, 43, ""},
		"a candidate after an unknown":  {[]rules.Total{statement("B", rules.Released, unknown, working.Unknown, may), statement("C", rules.Released, 9, working.Candidate, june)}, period.Date{}, 0, rules.ReasonAmountNotConfirmed},
		"a candidate before an unknown": {[]rules.Total{statement("B", rules.Released, unknown, working.Unknown, may), statement("C", rules.Released, 9, working.Candidate, april)}, period.Date{}, 0, rules.ReasonAmountUnknown},
		"an unknown after a release":    {[]rules.Total{statement("B", rules.Released, 43, working.Official, may), statement("C", rules.Released, unknown, working.Unknown, june)}, period.Date{}, 0, rules.ReasonAmountUnknown},
		"a combined fund":               {[]rules.Total{combined(statement("B", rules.Released, 43, working.Official, may))}, period.Date{}, 0, rules.ReasonPCNShareNotSet},
		"its share":                     {[]rules.Total{combined(statement("B", rules.Released, 43, working.Official, may)), statement("S", rules.PCNShare, 7, working.Official, june)}, period.Date{}, 7, ""},
		"a share not confirmed":         {[]rules.Total{combined(statement("B", rules.Released, 43, working.Official, may)), statement("S", rules.PCNShare, 7, working.Candidate, june)}, period.Date{}, 0, rules.ReasonAmountNotConfirmed},
		"a share above the release":     {[]rules.Total{combined(statement("B", rules.Released, 43, working.Official, may)), statement("S", rules.PCNShare, 44, working.Official, june)}, period.Date{}, 0, rules.ReasonAllocationExceeded},
		"another year and fund":         {[]rules.Total{{Key: rules.Key{Year: 2021, FundCode: "F", Basis: rules.Released}}}, period.Date{}, 0, rules.ReasonAmountUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rules.Usable(c.all, 2022, "F", c.known)
			require.Equal(t, c.reason, fault.ReasonOf(err))
			require.Equal(t, c.want, got.Pence)
			if c.reason == "" {
				require.Equal(t, "letter", got.Origin.Source)
			}
		})
	}
}

func TestGoverning_DoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := make([]rules.Total, rapid.IntRange(1, 6).Draw(t, "statements"))
		for i := range all {
			all[i] = statement(string(rune('A'+i)), rules.Released, money.Pence(i), rapid.SampledFrom([]working.Confidence{
				working.Official, working.Inferred, working.Candidate,
			}).Draw(t, "confidence"), day(time.April, rapid.IntRange(1, 3).Draw(t, "day")))
			all[i].Position = rapid.Int64Range(0, 2).Draw(t, "position")
		}
		got := rules.Governing(all, all[0].Key, period.Date{})
		again := rules.Governing(rapid.Permutation(all).Draw(t, "another order"), all[0].Key, period.Date{})
		require.Equal(t, got, again)
		if got.Confidence == working.Candidate {
			require.False(t, slices.ContainsFunc(all, func(s rules.Total) bool { return s.Confidence.Payable() }))
		}
	})
}

func TestLeadershipPercent_IsDecidedOrTheDefault(t *testing.T) {
	t.Parallel()
	defaults := []rules.Portion{
		{Figure: rules.Figure{Confidence: working.Official}, Year: 2019, Percent: decimal(t, "10")}, {Figure: rules.Figure{Confidence: working.Unknown}, Year: 2020},
	}
	for name, c := range map[string]struct {
		year   period.FinancialYear
		given  rules.Given
		reason string
		want   string
		fault  string
	}{
		"default":               {2019, rules.Given{}, "", "10", ""},
		"decided in 2019/20":    {2019, given(t, "12.5"), "", "12.5", ""},
		"decided in 2020/21":    {2020, given(t, "8"), "", "8", ""},
		"nothing, with reason":  {2020, given(t, "0"), "paid elsewhere", "0", ""},
		"nothing, no reason":    {2020, given(t, "0"), " ", "", rules.ReasonLeadershipReasonMissing},
		"not decided":           {2020, rules.Given{}, "", "", rules.ReasonLeadershipPercentMissing},
		"not decided, no row":   {2024, rules.Given{}, "", "", rules.ReasonLeadershipPercentMissing},
		"more than everything":  {2020, given(t, "100.1"), "", "", rules.ReasonMethodMalformed},
		"less than nothing":     {2020, given(t, "-1"), "", "", rules.ReasonMethodMalformed},
		"a year before it all":  {2018, rules.Given{}, "", "", rules.ReasonLeadershipPercentMissing},
		"everything is allowed": {2021, given(t, "100"), "", "100", ""},
	} {
		got, err := rules.LeadershipPercent(c.year, c.given, c.reason, defaults)
		require.Equal(t, c.fault, fault.ReasonOf(err), name)
		if c.fault == "" {
			require.Equal(t, c.want, money.Format(got.Value), name)
		}
	}
}

func TestAverage_RefusesNobody(t *testing.T) {
	t.Parallel()
	_, _, err := rules.Average(sum(1), rules.Given{}, 0)
	requireFault(t, err, fault.Invalid, rules.ReasonNoReceivers)
}
