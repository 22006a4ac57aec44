package rules

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

func TestPayeeTotals_Examples(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		items []money.Pence
		held  []money.Pence
		debt  *Debt
		want  PayeeTotal
	}{
		{"lines add up", []money.Pence{100, 50}, nil, nil, PayeeTotal{Lines: 2, LinesTotal: 150, Net: 150}},
		{"a correction is taken off", []money.Pence{100, -30}, nil, nil, PayeeTotal{Lines: 2, LinesTotal: 70, Net: 70}},
		{"nothing is left", []money.Pence{100, -100}, nil, nil, PayeeTotal{Lines: 2}},
		{"an overpayment is carried forward", []money.Pence{100, -130}, nil, nil, PayeeTotal{Lines: 2, LinesTotal: -30, CarriedForward: -30}},
		{"a line on hold stays out", []money.Pence{100}, []money.Pence{40, -5}, nil, PayeeTotal{Lines: 1, LinesTotal: 100, Net: 100, HeldLines: 2, HeldTotal: 35}},
		{"a debt is taken off", []money.Pence{100}, nil, &Debt{Outstanding: 30}, PayeeTotal{Lines: 1, LinesTotal: 100, BroughtForward: -30, Net: 70}},
		{"a debt takes all there is", []money.Pence{100}, nil, &Debt{Outstanding: 130}, PayeeTotal{Lines: 1, LinesTotal: 100, BroughtForward: -100}},
		{"a debt takes its instalment", []money.Pence{100}, nil, &Debt{Outstanding: 130, Instalment: 20}, PayeeTotal{Lines: 1, LinesTotal: 100, BroughtForward: -20, Net: 80}},
		{"the last instalment is what is left", []money.Pence{100}, nil, &Debt{Outstanding: 7, Instalment: 20}, PayeeTotal{Lines: 1, LinesTotal: 100, BroughtForward: -7, Net: 93}},
		{"what is agreed for later takes nothing yet", []money.Pence{100}, nil, &Debt{Outstanding: 30, Instalment: 20, NotYet: true}, PayeeTotal{Lines: 1, LinesTotal: 100, Net: 100}},
		{"who is overpaid again gives nothing back", []money.Pence{-10}, nil, &Debt{Outstanding: 30}, PayeeTotal{Lines: 1, LinesTotal: -10, CarriedForward: -10}},
		{"a debt without lines waits", nil, []money.Pence{100}, &Debt{Outstanding: 30}, PayeeTotal{HeldLines: 1, HeldTotal: 100}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var items []RunItem
			add := func(amounts []money.Pence, held bool) {
				for _, amount := range amounts {
					items = append(items, RunItem{LineID: strconv.Itoa(len(items)), PayeeCode: "P", PayeeName: "Payee", Amount: amount, Held: held})
				}
			}
			add(c.items, false)
			add(c.held, true)
			debts := []Debt{{PayeeCode: "Q", Outstanding: 1}}
			if c.debt != nil {
				c.debt.PayeeCode = "P"
				debts = append(debts, *c.debt)
			}
			got, err := PayeeTotals(items, debts)
			require.NoError(t, err)
			c.want.PayeeCode, c.want.PayeeName = "P", "Payee"
			require.Equal(t, []PayeeTotal{c.want}, got)
		})
	}
}

func TestPayeeTotals_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	one := []RunItem{{LineID: "a", PayeeCode: "P", Amount: 1}}
	for name, c := range map[string]struct {
		items []RunItem
		debts []Debt
	}{
		"nobody to pay":         {items: []RunItem{{LineID: "a", Amount: 1}}},
		"a debt of nothing":     {items: one, debts: []Debt{{PayeeCode: "P"}}},
		"a debt below zero":     {items: one, debts: []Debt{{PayeeCode: "P", Outstanding: -1}}},
		"an instalment below 0": {items: one, debts: []Debt{{PayeeCode: "P", Outstanding: 1, Instalment: -1}}},
		"more than pence hold":  {items: []RunItem{{PayeeCode: "P", Amount: math.MaxInt64}, {PayeeCode: "P", Amount: 1}}},
		"more on hold":          {items: []RunItem{{PayeeCode: "P", Amount: math.MinInt64, Held: true}, {PayeeCode: "P", Amount: -1, Held: true}}},
	} {
		refused(t, name, func() error { _, err := PayeeTotals(c.items, c.debts); return err })
	}
	_, err := AddUp([]PayeeTotal{{LinesTotal: math.MaxInt64, Net: math.MaxInt64}, {LinesTotal: 1, Net: 1}})
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
	refused(t, "a penny is lost", func() error { _, err := AddUp([]PayeeTotal{{LinesTotal: 5, Net: 4}}); return err })
}

// refused asserts that a function fails, or finds a bug, which is loud in tests.
func refused(t *testing.T, name string, fn func() error) {
	t.Helper()
	defer func() {
		if found := recover(); found != nil {
			assert.Contains(t, fmt.Sprint(found), "bug: ", name)
		}
	}()
	assert.Error(t, fn(), name)
}

func drawRun(t *rapid.T) ([]RunItem, []Debt) {
	var items []RunItem
	for i := range rapid.IntRange(0, 12).Draw(t, "items") {
		item := RunItem{
			LineID: strconv.Itoa(i), Fund: rapid.IntRange(1, 3).Draw(t, "fund"), PayeeCode: rapid.SampledFrom([]string{"P", "Q", "R"}).Draw(t, "payee"),
			Amount: money.Pence(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "amount")), Held: rapid.IntRange(0, 3).Draw(t, "held") == 3,
		}
		item.PayeeName = "Payee " + item.PayeeCode
		items = append(items, item)
	}
	var debts []Debt
	for _, payee := range []string{"P", "Q", "S"} {
		if rapid.Bool().Draw(t, "owes") {
			debts = append(debts, Debt{
				PayeeCode: payee, Outstanding: money.Pence(rapid.Int64Range(1, 1_000_000).Draw(t, "outstanding")),
				Instalment: money.Pence(rapid.Int64Range(0, 100_000).Draw(t, "instalment")), NotYet: rapid.Bool().Draw(t, "agreed for later"),
			})
		}
	}
	return items, debts
}

// TestPayeeTotals_LoseNothing holds that what lines come to is sent, recovered or carried, and the order of lines is nothing to them.
func TestPayeeTotals_LoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, debts := drawRun(t)
		payees, err := PayeeTotals(items, debts)
		require.NoError(t, err)
		totals, err := AddUp(payees)
		require.NoError(t, err)
		again, err := PayeeTotals(permuted(t, "items in another order", items), permuted(t, "debts in another order", debts))
		require.NoError(t, err)
		require.Equal(t, payees, again)
		require.Equal(t, Freeze(items), Freeze(permuted(t, "items to hash", items)))
		owed := make(map[string]Debt)
		for _, debt := range debts {
			owed[debt.PayeeCode] = debt
		}
		var lines, held money.Pence
		for _, item := range items {
			if item.Held {
				held += item.Amount
			} else {
				lines += item.Amount
			}
		}
		require.Equal(t, lines, totals.LinesTotal)
		require.Equal(t, held, totals.Held)
		require.Equal(t, lines, totals.Net-totals.BroughtForward+totals.CarriedForward)
		payments := 0
		for _, p := range payees {
			debt := owed[p.PayeeCode]
			require.GreaterOrEqual(t, p.Net, money.Pence(0))
			require.LessOrEqual(t, -p.BroughtForward, debt.Outstanding, "more is taken than is owed")
			require.GreaterOrEqual(t, -p.BroughtForward, money.Pence(0))
			require.LessOrEqual(t, p.CarriedForward, money.Pence(0))
			switch {
			case debt.NotYet:
				require.Zero(t, p.BroughtForward)
			case debt.Instalment > 0:
				require.LessOrEqual(t, -p.BroughtForward, debt.Instalment)
			default:
				require.True(t, p.Net == 0 || -p.BroughtForward == debt.Outstanding, "paid before the debt is cleared")
			}
			require.True(t, p.CarriedForward == 0 || p.Net == 0 && p.BroughtForward == 0)
			if p.Net > 0 {
				payments++
			}
		}
		require.Equal(t, payments, totals.Payments)
	})
}

func TestFreeze_TellsLinesApart(t *testing.T) {
	t.Parallel()
	item := func(id string, amount money.Pence, held bool) RunItem {
		return RunItem{LineID: id, PayeeCode: "P", Amount: amount, Held: held}
	}
	seen := make(map[string]string)
	for name, items := range map[string][]RunItem{
		"none": nil, "one": {item("a", 1, false)}, "another amount": {item("a", 2, false)}, "a negative one": {item("a", -1, false)},
		"another line": {item("b", 1, false)}, "two": {item("a", 1, false), item("b", 1, false)}, "amounts changed over": {item("a", 2, false), item("b", 1, false)},
		"amounts changed back": {item("a", 1, false), item("b", 2, false)},
	} {
		hash := Freeze(items)
		require.NotContains(t, seen, hash, name)
		seen[hash] = name
	}
	require.Equal(t, Freeze([]RunItem{item("a", 1, false)}), Freeze([]RunItem{item("a", 1, false), item("b", 9, true)}), "lines on hold are not frozen")
	require.Equal(t, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Freeze(nil))
}

func TestConsent_Examples(t *testing.T) {
	t.Parallel()
	limit := money.Pence(100)
	for name, c := range map[string]struct {
		consent Consent
		want    string
	}{
		"another person":        {Consent{Approver: "ann", SubmittedBy: "maker", Net: 500}, ""},
		"the maker":             {Consent{Approver: "maker", SubmittedBy: "maker"}, ReasonApproverIsPreparer},
		"a second person":       {Consent{Approver: "bob", SubmittedBy: "maker", Approved: []string{"ann"}}, ""},
		"the same person again": {Consent{Approver: "ann", SubmittedBy: "maker", Approved: []string{"ann"}}, ReasonApproverHasApproved},
		"up to the limit":       {Consent{Approver: "ann", SubmittedBy: "maker", Net: 100, Limit: &limit}, ""},
		"a penny more":          {Consent{Approver: "ann", SubmittedBy: "maker", Net: 101, Limit: &limit}, ReasonApproverLimitExceeded},
		"a limit of nothing":    {Consent{Approver: "ann", SubmittedBy: "maker", Net: 1, Limit: new(money.Pence)}, ReasonApproverLimitExceeded},
	} {
		err := c.consent.Check()
		assert.Equal(t, c.want, fault.ReasonOf(err), name)
		assert.Equal(t, c.want == "", err == nil, name)
	}
}
