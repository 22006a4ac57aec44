package rules_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func TestCheckPlan_BoundsEachAllocationByItself(t *testing.T) {
	t.Parallel()
	holds := func(id string, left money.Pence) rules.Holding { return rules.Holding{Allocation: id, Left: &left} }
	for name, c := range map[string]struct {
		holdings []rules.Holding
		missing  []string
		words    string
	}{
		"both hold enough to the penny": {[]rules.Holding{holds("A1", 1_000_000), holds("A2", 2_000_000)}, nil, ""},
		"one lacks a penny that the other has": {
			[]rules.Holding{holds("A1", 1_000_001), holds("A2", 1_999_999)}, []string{"A2"}, " comes to £20,000.00, the allocation holds £19,999.99: plan £0.01 less",
		},
		"both lack": {[]rules.Holding{holds("A1", 0), holds("A2", 0)}, []string{"A1", "A2"}, "plan £10,000.00 less"},
		"one that is named": {
			[]rules.Holding{holds("A1", 1_000_000), {Allocation: "A2", Name: "the share of U1", Left: new(money.Pence)}}, []string{"A2"}, "the share of U1 holds £0.00",
		},
		"one is not known": {
			[]rules.Holding{holds("A1", 1_000_000), {Allocation: "A2", Why: "nobody confirmed it"}}, []string{"A2"}, "nobody confirmed it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := goodPlan()
			p.Available = nil
			p.Lines[0].Allocation, p.Lines[1].Allocation, p.Lines[2].Allocation = "A1", "A2", "A1"
			p.Holdings = c.holdings
			all := checked(t, p)
			if c.missing == nil {
				require.Empty(t, rules.Failed(all))
				return
			}
			require.Equal(t, []rules.CheckID{rules.WithinAllocation}, rules.Failed(all))
			require.Equal(t, c.missing, all[7].Missing())
			require.Contains(t, all[7].Words(), c.words)
		})
	}
}

// What the header says of leadership is set against what the lines draw on money for it, which fails nothing.
func TestCheckPlan_SaysWhereLeadershipDiffers(t *testing.T) {
	t.Parallel()
	left := money.Pence(10_000_000)
	for name, c := range map[string]struct {
		amounts [3]money.Pence
		words   string
	}{
		"ten percent of it": {[3]money.Pence{300_000, 2_400_000, 300_000}, "passed"},
		"a penny more": {
			[3]money.Pence{300_001, 2_399_999, 300_000},
			"passed; the header says 10 percent for leadership, £3,000.00 of £30,000.00 planned, and lines that draw on money for leadership come to £3,000.01",
		},
	} {
		p := goodPlan()
		p.Available, p.LeadershipPercent = nil, big.NewRat(10, 1)
		for i := range p.Lines {
			p.Lines[i].Amount, p.Lines[i].Allocation = c.amounts[i], "A2"
		}
		p.Lines[0].Allocation = "A1"
		p.Holdings = []rules.Holding{{Allocation: "A1", Leadership: true, Left: &left}, {Allocation: "A2", Left: &left}}
		all := checked(t, p)
		require.Empty(t, rules.Failed(all), name)
		require.Equal(t, c.words, all[4].Words(), name)
	}
}
