// Package money holds integer pence with checked arithmetic, exact decimals, named rounding, and sharing that sums to the
// whole. It has no floating point.
package money

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// ReasonOverflow says that an amount is beyond what 64-bit pence can hold.
const ReasonOverflow = "AMOUNT_OVERFLOW"

// Pence is a signed amount in pence.
type Pence int64

// Add returns a+b, or a fault on overflow.
func (a Pence) Add(b Pence) (Pence, error) {
	sum := a + b
	if (a > 0 && b > 0 && sum <= 0) || (a < 0 && b < 0 && sum >= 0) {
		return 0, overflow()
	}
	return sum, nil
}

// Sub returns a-b, or a fault on overflow.
func (a Pence) Sub(b Pence) (Pence, error) {
	if b == math.MinInt64 {
		return 0, overflow()
	}
	return a.Add(-b)
}

// Times returns a×n, or a fault on overflow.
func (a Pence) Times(n int64) (Pence, error) {
	return fromInt(new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(n)))
}

// Sum adds amounts, or returns a fault on overflow.
func Sum(amounts ...Pence) (Pence, error) {
	var total Pence
	for _, a := range amounts {
		var err error
		if total, err = total.Add(a); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// GBP returns the amount in pounds as an exact rational.
func (a Pence) GBP() *big.Rat { return big.NewRat(int64(a), 100) }

// String writes the amount as pounds and pence with thousands separators, as in £1,234.56.
func (a Pence) String() string {
	digits := strconv.FormatUint(magnitude(int64(a)), 10)
	for len(digits) < 3 {
		digits = "0" + digits
	}
	whole, part := digits[:len(digits)-2], digits[len(digits)-2:]
	var grouped strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			grouped.WriteByte(',')
		}
		grouped.WriteRune(d)
	}
	sign := ""
	if a < 0 {
		sign = "-"
	}
	return sign + "£" + grouped.String() + "." + part
}

// Plain writes the amount as pounds with two decimals and nothing else, as in 1234.56.
func (a Pence) Plain() string { return a.GBP().FloatString(2) }

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-(n + 1)) + 1 //nolint:gosec // the value is not negative
	}
	return uint64(n)
}

func fromInt(n *big.Int) (Pence, error) {
	if !n.IsInt64() {
		return 0, overflow()
	}
	return Pence(n.Int64()), nil
}

func overflow() *fault.Fault {
	return fault.New(fault.Invalid, ReasonOverflow, "the amount is beyond what pence can hold (%d)", int64(math.MaxInt64))
}

// ParsePence reads pounds with at most two decimals, such as 1234.5, as pence.
func ParsePence(text string) (Pence, error) {
	value, err := ParseDecimal(text)
	if err != nil {
		return 0, err
	}
	value.Mul(value, big.NewRat(100, 1))
	if !value.IsInt() {
		return 0, fmt.Errorf("%q has more than two decimals", text)
	}
	return fromInt(value.Num())
}
