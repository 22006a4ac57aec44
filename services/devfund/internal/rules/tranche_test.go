package rules_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func cashLine(amount money.Pence, instalments []rules.Instalment, pcns ...string) *rules.Line {
	l := &rules.Line{ID: "1", Payee: rules.PCNPayee, Amount: amount, Instalments: instalments}
	for _, pcn := range pcns {
		l.Beneficiaries = append(l.Beneficiaries, rules.Beneficiary{PCN: pcn})
	}
	return l
}

func instalments(percents ...int64) []rules.Instalment {
	out := make([]rules.Instalment, len(percents))
	for i, percent := range percents {
		out[i].Month = month(time.April).Add(i)
		if percent >= 0 {
			out[i].Percent = big.NewRat(percent, 1)
		}
	}
	return out
}

func TestTranches_LastTakesWhatIsLeft(t *testing.T) {
	t.Parallel()
	const equal = -1
	for name, c := range map[string]struct {
		amount  money.Pence
		percent []int64
		want    []money.Pence
	}{
		"three equal months":             {100, []int64{equal, equal, equal}, []money.Pence{33, 33, 34}},
		"three equal months, half up":    {200, []int64{equal, equal, equal}, []money.Pence{67, 67, 66}},
		"percentages":                    {1_001, []int64{50, 25, 25}, []money.Pence{501, 250, 250}},
		"twopence in four months":        {2, []int64{equal, equal, equal, equal}, []money.Pence{1, 1}},
		"a month of nothing is left out": {10, []int64{0, 100}, []money.Pence{10}},
		"one month":                      {7, []int64{equal}, []money.Pence{7}},
		"no months stated":               {7, nil, []money.Pence{7}},
	} {
		got, err := rules.Tranches(2020, cashLine(c.amount, instalments(c.percent...), "U00001"), month(time.December))
		require.NoError(t, err, name)
		amounts := make([]money.Pence, len(got))
		for i := range got {
			amounts[i] = got[i].Amount
			requireGives(t, got[i].Working, got[i].Amount)
		}
		require.Equal(t, c.want, amounts, name)
		if c.percent == nil {
			require.Equal(t, month(time.December), got[0].Month)
		}
	}
}

func TestTranches_ComeToTheLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := &rules.Line{ID: "1", Payee: rules.PCNPayee, Amount: money.Pence(rapid.Int64Range(1, 1_000_000).Draw(t, "amount"))}
		percents := func(name string, n int) []*big.Rat {
			out := make([]*big.Rat, n)
			if rapid.Bool().Draw(t, name+" equal") {
				return out
			}
			left := int64(10_000)
			for i := range out {
				part := left
				if i < n-1 {
					part = rapid.Int64Range(0, left).Draw(t, name)
				}
				out[i], left = big.NewRat(part, 100), left-part
			}
			return out
		}
		pcns := rapid.IntRange(1, 8).Draw(t, "networks")
		for i, percent := range percents("part", pcns) {
			line.Beneficiaries = append(line.Beneficiaries, rules.Beneficiary{PCN: fmt.Sprintf("U%05d", i), Percent: percent})
		}
		n := rapid.IntRange(1, 12).Draw(t, "months")
		for i, percent := range percents("month", n) {
			line.Instalments = append(line.Instalments, rules.Instalment{Month: month(time.April).Add(i), Percent: percent})
		}
		got, err := rules.Tranches(2020, line, period.Month{})
		require.NoError(t, err)
		all := money.Pence(0)
		for i := range got {
			all += got[i].Amount
			require.Positive(t, got[i].Amount)
			requireGives(t, got[i].Working, got[i].Amount)
		}
		require.Equal(t, line.Amount, all)

		line.Beneficiaries = rapid.Permutation(line.Beneficiaries).Draw(t, "another order")
		again, err := rules.Tranches(2020, line, period.Month{})
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestTranches_PayOnlyNetworks(t *testing.T) {
	t.Parallel()
	line := cashLine(100, nil, "U00001")
	for _, payee := range []rules.PayeeKind{rules.Supplier, rules.InKind} {
		line.Payee = payee
		got, err := rules.Tranches(2020, line, month(time.May))
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

func TestParts_ShareASupplierLineByPercent(t *testing.T) {
	t.Parallel()
	got, err := rules.Parts(10_001, []rules.Beneficiary{{"U00002", decimal(t, "33.3")}, {"U00001", decimal(t, "66.7")}})
	require.NoError(t, err)
	require.Equal(t, []money.Pence{6_671, 3_330}, []money.Pence{got[0].Amount, got[1].Amount})
	requireGives(t, got[0].Working, 6_671)
}

func TestParts_RefusesByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][]rules.Beneficiary{
		"nobody":            nil,
		"no code":           {{}},
		"twice":             {{PCN: "U00001"}, {PCN: "U00001"}},
		"some stated":       {{"U00001", decimal(t, "100")}, {PCN: "U00002"}},
		"below nothing":     {{"U00001", decimal(t, "101")}, {"U00002", decimal(t, "-1")}},
		"not the whole":     {{"U00001", decimal(t, "50")}, {"U00002", decimal(t, "49.99")}},
		"more than a whole": {{"U00001", decimal(t, "100.01")}},
	} {
		_, err := rules.Parts(100, c)
		require.Equal(t, rules.ReasonBeneficiariesMalformed, fault.ReasonOf(err), name)
	}
}

func TestTranches_RefuseMonthsByName(t *testing.T) {
	t.Parallel()
	may, june := month(time.May), month(time.June)
	for name, in := range map[string][]rules.Instalment{
		"another year":    {{Month: may.Add(12)}},
		"out of order":    {{Month: june}, {Month: may}},
		"a month twice":   {{Month: june}, {Month: june}},
		"some stated":     {{may, decimal(t, "100")}, {Month: june}},
		"below nothing":   {{may, decimal(t, "-1")}, {june, decimal(t, "101")}},
		"not the whole":   {{may, decimal(t, "50")}, {june, decimal(t, "49")}},
		"of no month":     {{}},
		"a year too soon": {{Month: may.Add(-12)}},
	} {
		_, err := rules.Tranches(2020, cashLine(100, in, "U00001"), may)
		require.Equal(t, rules.ReasonTranchesMalformed, fault.ReasonOf(err), name)
	}
	_, err := rules.Tranches(2020, cashLine(100, nil, "U00001"), period.Month{})
	require.Equal(t, rules.ReasonTranchesMalformed, fault.ReasonOf(err))
	_, err = rules.Tranches(2020, cashLine(100, nil), may)
	require.Equal(t, rules.ReasonBeneficiariesMalformed, fault.ReasonOf(err))
}
