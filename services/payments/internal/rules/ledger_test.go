package rules

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

func TestShare_Examples(t *testing.T) {
	t.Parallel()
	owed := func(pence ...money.Pence) (out []Amount) {
		for i, p := range pence {
			out = append(out, Amount{Fund: i + 1, Pence: p})
		}
		return out
	}
	for name, c := range map[string]struct {
		recovered  money.Pence
		owed, want []Amount
	}{
		"one fund":                    {30, owed(100), owed(30)},
		"all of one":                  {100, owed(100), owed(100)},
		"in proportion":               {50, owed(75, 25), []Amount{{Fund: 1, Pence: 38}, {Fund: 2, Pence: 12}}},
		"all clears every fund":       {60, owed(100, -40), owed(100, -40)},
		"a part is of those in debt":  {30, owed(100, -40), []Amount{{Fund: 1, Pence: 30}}},
		"nothing of a fund for pence": {1, owed(1000, 1), []Amount{{Fund: 1, Pence: 1}}},
	} {
		got, err := Share(c.recovered, c.owed)
		if assert.NoError(t, err, name) {
			var sum money.Pence
			for _, a := range got {
				sum += a.Pence
			}
			assert.Equal(t, c.recovered, sum, name)
			if name != "in proportion" {
				assert.Equal(t, c.want, got, name)
			}
		}
	}
	for name, c := range map[string]struct {
		recovered money.Pence
		owed      []Amount
	}{
		"nothing":              {0, owed(5)},
		"less than nothing":    {-1, owed(5)},
		"more than is owed":    {6, owed(5)},
		"more than the sum":    {61, owed(100, -40)},
		"where nothing is":     {1, nil},
		"more than fits":       {1, owed(math.MaxInt64, math.MaxInt64)},
		"what is owed to them": {1, owed(-5)},
	} {
		refused(t, name, func() error { _, err := Share(c.recovered, c.owed); return err })
	}
}

// TestShare_PartsSumToTheWhole holds that no part is above its debt, and that the parts are those of debts alone.
func TestShare_PartsSumToTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var owed []Amount
		var outstanding money.Pence
		for fund := range rapid.IntRange(1, 4).Draw(t, "funds") {
			pence := money.Pence(rapid.Int64Range(-50, 1_000).Filter(func(n int64) bool { return n != 0 }).Draw(t, "owed"))
			owed = append(owed, Amount{Fund: fund + 1, Pence: pence})
			outstanding += pence
		}
		if outstanding <= 0 {
			t.Skip("nothing is owed")
		}
		recovered := money.Pence(rapid.Int64Range(1, int64(outstanding)).Draw(t, "recovered"))
		got, err := Share(recovered, owed)
		require.NoError(t, err)
		again, err := Share(recovered, permuted(t, "funds in another order", owed))
		require.NoError(t, err)
		sums := func(parts []Amount) (total money.Pence, byFund map[int]money.Pence) {
			byFund = make(map[int]money.Pence)
			for _, part := range parts {
				byFund[part.Fund] += part.Pence
				total += part.Pence
			}
			return total, byFund
		}
		total, byFund := sums(got)
		other, _ := sums(again)
		require.Equal(t, recovered, total)
		require.Equal(t, recovered, other)
		for _, a := range owed {
			if recovered == outstanding {
				require.Equal(t, a.Pence, byFund[a.Fund], "cleared")
				continue
			}
			require.LessOrEqual(t, byFund[a.Fund], max(0, a.Pence))
			require.GreaterOrEqual(t, byFund[a.Fund], money.Pence(0))
		}
	})
}

func TestMoved_BalancesLineByLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var amounts []Amount
		var whole money.Pence
		for i := range rapid.IntRange(1, 6).Draw(t, "amounts") {
			a := Amount{Fund: rapid.IntRange(1, 2).Draw(t, "fund"), LineID: string(rune('a' + i)), Pence: money.Pence(rapid.Int64Range(-100, 100).Draw(t, "pence"))}
			amounts, whole = append(amounts, a), whole+a.Pence
		}
		entries := Moved("P", Accrued, Payable, amounts)
		if len(entries) > 0 {
			require.NoError(t, (&Posting{CommissionerCode: "15N", Entries: entries}).Check())
		}
		var left, came money.Pence
		for i := 0; i < len(entries); i += 2 {
			require.Equal(t, entries[i].LineID, entries[i+1].LineID)
			require.Equal(t, entries[i].Fund, entries[i+1].Fund)
			require.Zero(t, entries[i].Amount+entries[i+1].Amount)
			left, came = left+entries[i].Amount, came-entries[i+1].Amount
		}
		require.Equal(t, whole, left)
		require.Equal(t, whole, came)
		byFund, err := ByFund(amounts)
		require.NoError(t, err)
		var sum money.Pence
		for i, a := range byFund {
			require.NotZero(t, a.Pence)
			require.True(t, i == 0 || byFund[i-1].Fund < a.Fund)
			sum += a.Pence
		}
		require.Equal(t, whole, sum)
	})
}

func TestPosting_CheckRefusesWhatDoesNotBalance(t *testing.T) {
	t.Parallel()
	entry := func(stage Stage, amount money.Pence) Entry {
		return Entry{Fund: 1, PayeeCode: "P", Stage: stage, Amount: amount}
	}
	for name, p := range map[string]Posting{
		"a penny off":         {CommissionerCode: "15N", Entries: []Entry{entry(Expense, 5), entry(Accrued, -4)}},
		"one entry":           {CommissionerCode: "15N", Entries: []Entry{entry(Expense, 0)}},
		"an entry of nothing": {CommissionerCode: "15N", Entries: []Entry{entry(Expense, 5), entry(Accrued, -5), entry(Sent, 0)}},
		"none":                {CommissionerCode: "15N"},
		"nobody's":            {Entries: []Entry{entry(Expense, 5), entry(Accrued, -5)}},
		"too much":            {CommissionerCode: "15N", Entries: []Entry{entry(Expense, math.MaxInt64), entry(Accrued, 1)}},
	} {
		refused(t, name, p.Check)
	}
	fine := Posting{CommissionerCode: "15N", Entries: []Entry{entry(Expense, 5), entry(Accrued, -5)}}
	require.NoError(t, fine.Check())
}
