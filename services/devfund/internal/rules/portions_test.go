package rules_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// Portions are the amounts of Parts, in whatever order the networks are named.
func TestPortions_AreThoseOfParts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 7))
	for range 300 {
		beneficiaries := make([]rules.Beneficiary, 1+r.IntN(9))
		stated, left := r.IntN(2) == 0, int64(10_000)
		for i := range beneficiaries {
			beneficiaries[i].PCN = fmt.Sprintf("U%02d", i)
			if stated {
				part := r.Int64N(left + 1)
				if i == len(beneficiaries)-1 {
					part = left
				}
				left -= part
				beneficiaries[i].Percent = big.NewRat(part, 100)
			}
		}
		r.Shuffle(len(beneficiaries), func(i, j int) { beneficiaries[i], beneficiaries[j] = beneficiaries[j], beneficiaries[i] })
		amount := money.Pence(r.Int64N(1_000_000))
		parts, err := rules.Parts(amount, beneficiaries)
		require.NoError(t, err)
		portions, err := rules.Portions(amount, beneficiaries)
		require.NoError(t, err)
		require.Len(t, portions, len(parts))
		sum := money.Pence(0)
		for _, part := range parts {
			require.Equal(t, part.Amount, portions[part.Code])
			sum += portions[part.Code]
		}
		require.Equal(t, amount, sum)
	}
	_, err := rules.Portions(1, nil)
	require.Equal(t, "BENEFICIARIES_MALFORMED", fault.ReasonOf(err))
}
