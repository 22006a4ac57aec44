package money

import "math/big"

// Rounding names how a value between two is rounded.
type Rounding int

// The roundings.
const (
	// HalfUp rounds to the nearest, a half away from zero.
	HalfUp Rounding = iota + 1
	// Floor rounds towards minus infinity.
	Floor
	// Ceiling rounds towards plus infinity.
	Ceiling
	// HalfEven rounds to the nearest, a half to the even neighbour.
	HalfEven
)

// String names the rounding in words.
func (r Rounding) String() string {
	switch r {
	case HalfUp:
		return "half up"
	case Floor:
		return "down"
	case Ceiling:
		return "up"
	case HalfEven:
		return "half to even"
	default:
		return "not rounded"
	}
}

var (
	one  = big.NewInt(1)
	two  = big.NewInt(2)
	ten  = big.NewInt(10)
	cent = big.NewInt(100)
)

// RoundHalfUp rounds pounds to the nearest penny, a half away from zero.
func RoundHalfUp(gbp *big.Rat) (Pence, error) { return roundToPence(gbp, HalfUp) }

// RoundDown rounds pounds down to the penny, towards minus infinity.
func RoundDown(gbp *big.Rat) (Pence, error) { return roundToPence(gbp, Floor) }

func roundToPence(gbp *big.Rat, mode Rounding) (Pence, error) {
	numerator := new(big.Int).Mul(gbp.Num(), cent)
	return fromInt(divide(numerator, gbp.Denom(), mode))
}

// Round rounds to a number of decimal places.
func Round(value *big.Rat, mode Rounding, places int) *big.Rat {
	scale := new(big.Int).Exp(ten, big.NewInt(int64(places)), nil)
	numerator := new(big.Int).Mul(value.Num(), scale)
	return new(big.Rat).SetFrac(divide(numerator, value.Denom(), mode), scale)
}

// divide returns numerator/denominator rounded to a whole number; the denominator is positive.
func divide(numerator, denominator *big.Int, mode Rounding) *big.Int {
	quotient, remainder := new(big.Int).DivMod(numerator, denominator, new(big.Int))
	if remainder.Sign() == 0 {
		return quotient
	}
	twice := remainder.Mul(remainder, two)
	up := false
	switch mode {
	case Ceiling:
		up = true
	case HalfUp:
		// DivMod floors, so at a half the larger neighbour is away from zero only for positive values.
		comparison := twice.Cmp(denominator)
		up = comparison > 0 || (comparison == 0 && numerator.Sign() > 0)
	case HalfEven:
		comparison := twice.Cmp(denominator)
		up = comparison > 0 || (comparison == 0 && quotient.Bit(0) == 1)
	case Floor:
	}
	if up {
		quotient.Add(quotient, one)
	}
	return quotient
}
