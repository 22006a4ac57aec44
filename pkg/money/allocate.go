package money

import (
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// ReasonNoWeight says that a sum cannot be shared because no part has a weight.
const ReasonNoWeight = "NO_WEIGHT"

// Allocate shares an amount by weight with the largest-remainder method: each part is rounded down, and the pennies left go
// one by one to the largest remainders; of equal remainders the earlier part comes first. The parts sum to the amount.
func Allocate(total Pence, weights []*big.Rat) ([]Pence, error) {
	sum := new(big.Rat)
	for _, w := range weights {
		if w.Sign() < 0 {
			return nil, fault.New(fault.Invalid, ReasonNoWeight, "a weight is negative: %s", Format(w))
		}
		sum.Add(sum, w)
	}
	if sum.Sign() == 0 {
		return nil, fault.New(fault.Invalid, ReasonNoWeight, "%s cannot be shared: all weights are zero", total)
	}
	parts := make([]Pence, len(weights))
	remainders := make([]*big.Rat, len(weights))
	order := make([]int, len(weights))
	left := total
	for i, w := range weights {
		exact := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(total)), w)
		exact.Quo(exact, sum)
		floor, err := fromInt(divide(new(big.Int).Set(exact.Num()), exact.Denom(), Floor))
		if err != nil {
			return nil, err
		}
		parts[i], order[i] = floor, i
		remainders[i] = exact.Sub(exact, new(big.Rat).SetInt64(int64(floor)))
		left -= floor
	}
	slices.SortStableFunc(order, func(a, b int) int { return remainders[b].Cmp(remainders[a]) })
	for _, i := range order[:left] {
		parts[i]++
	}
	if check, err := Sum(parts...); err != nil || check != total {
		return nil, fault.Bug("allocation of %d pence sums to %d", total, check)
	}
	return parts, nil
}
