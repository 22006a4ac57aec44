package rules_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

type byPCN = map[string]money.Pence

func TestPartsOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total       rules.PayeeTotal
		lines, owed byPCN
		want        []rules.Part
	}{
		"each PCN its lines": {
			rules.PayeeTotal{LinesTotal: 100, Net: 100},
			byPCN{"U2": 70, "U1": 30},
			nil,
			[]rules.Part{{PCNCode: "U1", LinesTotal: 30}, {PCNCode: "U2", LinesTotal: 70}},
		},
		"an overpayment is carried by whose lines make it": {
			rules.PayeeTotal{LinesTotal: -100, CarriedForward: -100},
			byPCN{"U1": 50, "U2": -150},
			nil,
			[]rules.Part{{PCNCode: "U1", LinesTotal: 50, CarriedForward: 50}, {PCNCode: "U2", LinesTotal: -150, CarriedForward: -150}},
		},
		"in proportion, the larger remainder first": {
			rules.PayeeTotal{LinesTotal: 100, BroughtForward: -10, Net: 90},
			byPCN{"U3": 100},
			byPCN{"U1": 10, "U2": 20},
			[]rules.Part{{PCNCode: "U1", BroughtForward: -3}, {PCNCode: "U2", BroughtForward: -7}, {PCNCode: "U3", LinesTotal: 100}},
		},
		"in part, of those in debt alone": {
			rules.PayeeTotal{LinesTotal: 50, BroughtForward: -50},
			byPCN{"U1": 50},
			byPCN{"U1": -50, "U2": 150},
			[]rules.Part{{PCNCode: "U1", LinesTotal: 50}, {PCNCode: "U2", BroughtForward: -50}},
		},
		"in full, every PCN is cleared": {
			rules.PayeeTotal{LinesTotal: 200, BroughtForward: -100, Net: 100},
			byPCN{"U1": 200},
			byPCN{"U1": -50, "U2": 150},
			[]rules.Part{{PCNCode: "U1", LinesTotal: 200, BroughtForward: 50}, {PCNCode: "U2", BroughtForward: -150}},
		},
	} {
		got, err := rules.PartsOf(&c.total, c.lines, c.owed)
		if assert.NoError(t, err, name) {
			assert.Equal(t, c.want, got, name)
		}
	}
	require.Panics(t, func() {
		_, _ = rules.PartsOf(&rules.PayeeTotal{LinesTotal: 9, BroughtForward: -9}, byPCN{"U1": 9}, byPCN{"U1": 8})
	})
	require.Panics(t, func() { _, _ = rules.PartsOf(&rules.PayeeTotal{LinesTotal: 9, Net: 9}, byPCN{"U1": 8}, nil) })
}

// TestPartsOf_TakesNoMoreThanIsOwed holds over any course of runs that the parts sum to the payee's figures, and that a PCN's debt is
// never turned into a claim.
func TestPartsOf_TakesNoMoreThanIsOwed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		owed := byPCN{}
		for range rapid.IntRange(1, 12).Draw(rt, "runs") {
			total, lines := rules.PayeeTotal{}, byPCN{}
			for range rapid.IntRange(1, 4).Draw(rt, "lines") {
				pcn, pence := fmt.Sprint("U", rapid.IntRange(1, 4).Draw(rt, "pcn")), money.Pence(rapid.Int64Range(-500, 700).Draw(rt, "pence"))
				lines[pcn] += pence
				total.LinesTotal += pence
			}
			var outstanding money.Pence
			for _, debt := range owed {
				outstanding += debt
			}
			total.CarriedForward = min(0, total.LinesTotal)
			total.BroughtForward = -min(outstanding, max(0, total.LinesTotal), money.Pence(rapid.Int64Range(1, 900).Draw(rt, "instalment")))
			total.Net = total.LinesTotal + total.BroughtForward - total.CarriedForward
			parts, err := rules.PartsOf(&total, lines, owed)
			require.NoError(rt, err)
			var net money.Pence
			for i := range parts {
				net += parts[i].Net()
				debt := owed[parts[i].PCNCode]
				require.LessOrEqual(rt, -parts[i].BroughtForward, max(0, debt), "more is taken off than was owed")
				owed[parts[i].PCNCode] += parts[i].BroughtForward - parts[i].CarriedForward
			}
			require.Equal(rt, total.Net, net)
		}
	})
}
