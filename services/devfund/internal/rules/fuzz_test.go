package rules_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func FuzzShare(f *testing.F) {
	f.Add(int64(14_312_000), int64(10_000), int64(38_200), int64(41_750), int64(0), uint8(0))
	f.Add(int64(1), int64(99_999), int64(1), int64(1), int64(1), uint8(3))
	f.Fuzz(func(t *testing.T, pence, thousandths, a, b, flat int64, kind uint8) {
		kinds := []rules.Kind{rules.Equal, rules.PerHead, rules.FlatPlusPerHead, rules.NeedIndex, rules.Bid}
		p := pool(money.Pence(pence))
		p.LeadershipPercent.Value = big.NewRat(thousandths, 1_000)
		p.SystemPercent.Value = big.NewRat(thousandths, 3_000)
		bid := sum(money.Pence(flat))
		got, err := rules.Share(p, rules.Method{Kind: kinds[int(kind)%len(kinds)], List: rules.AdjustedList, Flat: sum(money.Pence(flat))}, []rules.Receiver{
			{Code: "U00001", Adjusted: rules.Given{Value: big.NewRat(a, 3)}, Bid: &bid}, {Code: "U00002", Adjusted: rules.Given{Value: big.NewRat(b, 7)}, Bid: &bid},
		})
		if err != nil {
			require.NotEmpty(t, fault.ReasonOf(err), "%v", err)
			return
		}
		requireAddsUp(t, got)
	})
}

func FuzzTranches(f *testing.F) {
	f.Add(int64(100), uint8(3), uint8(2), int64(33), int64(50))
	f.Add(int64(1<<62), uint8(24), uint8(1), int64(-1), int64(100))
	f.Fuzz(func(t *testing.T, pence int64, months, networks uint8, month, part int64) {
		line := rules.Line{ID: "1", Payee: rules.PCNPayee, Amount: money.Pence(pence)}
		for i := range int(networks % 5) {
			line.Beneficiaries = append(line.Beneficiaries, rules.Beneficiary{PCN: string(rune('A' + i)), Percent: fuzzed(part, i)})
		}
		for i := range int(months % 14) {
			line.Instalments = append(line.Instalments, rules.Instalment{Month: period.NewMonth(2020, time.April).Add(i), Percent: fuzzed(month, i)})
		}
		got, err := rules.Tranches(2020, &line, period.NewMonth(2020, time.April))
		if err != nil {
			require.NotEmpty(t, fault.ReasonOf(err), "%v", err)
			return
		}
		all := money.Pence(0)
		for i := range got {
			all += got[i].Amount
			requireGives(t, got[i].Working, got[i].Amount)
		}
		require.Equal(t, line.Amount, all)
	})
}

// fuzzed is a percentage: nothing stated for a number below nothing, else the first takes it and the second the rest of a hundred.
func fuzzed(percent int64, i int) *big.Rat {
	switch {
	case percent < 0:
		return nil
	case i == 0:
		return big.NewRat(percent, 7)
	case i == 1:
		return new(big.Rat).Sub(big.NewRat(100, 1), big.NewRat(percent, 7))
	}
	return new(big.Rat)
}
