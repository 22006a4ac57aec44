package rules

import (
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Share shares a fixed pool by population: each part rounded down, the pennies left one each to the largest remainders, and
// of equal remainders to the lower code. The parts sum to the pool exactly. (Leadership and management payment where a pool
// and no rate is published; case LM-005.)
func Share(pool money.Pence, populations map[string]*big.Rat) (map[string]money.Pence, error) {
	codes := slices.Sorted(maps.Keys(populations))
	weights := make([]*big.Rat, len(codes))
	for i, code := range codes {
		weights[i] = populations[code]
	}
	parts, err := money.Allocate(pool, weights)
	if fault.ReasonOf(err) == money.ReasonNoWeight {
		return nil, fault.New(fault.Invalid, ReasonQuoteIncomplete, "%s cannot be shared: the populations are all zero, or one is negative", pool).Because(err)
	}
	if err != nil {
		return nil, err
	}
	out := make(map[string]money.Pence, len(codes))
	for i, code := range codes {
		out[code] = parts[i]
	}
	return out, nil
}

// NeedWeight is the need-weighted population of a practice: its two weighted populations mixed by the share of the second,
// rounded half up to two decimals. NHS England's 2022/23 practice weighted populations obey it with a share of 0.15; it serves
// checks and forecasts, never payment.
func NeedWeight(medicalCare, healthInequality, share *big.Rat) (*big.Rat, error) {
	rest := new(big.Rat).Sub(big.NewRat(1, 1), share)
	if share.Sign() < 0 || rest.Sign() < 0 {
		return nil, fault.New(fault.Invalid, ReasonDecimalMalformed, "a share of %s does not lie between 0 and 1", money.Format(share))
	}
	mixed := rest.Mul(rest, medicalCare)
	mixed.Add(mixed, new(big.Rat).Mul(share, healthInequality))
	return money.Round(mixed, money.HalfUp, 2), nil
}
