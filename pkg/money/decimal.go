package money

import (
	"fmt"
	"math/big"
	"strings"
)

// MaxDigits bounds a decimal: enough for any sum of money or any population with its decimals.
const MaxDigits = 30

// MaxExactDigits bounds a value that was computed from decimals: a few products of the longest ones.
const MaxExactDigits = 300

// ParseDecimal reads an exact decimal: an optional minus, ASCII digits and at most one point with digits on both sides. It
// refuses exponents, separators, signs other than minus, blanks, NaN and digits of other scripts, so that a figure means the
// same to every reader.
func ParseDecimal(text string) (*big.Rat, error) {
	return parseDecimal(text, MaxDigits)
}

func parseDecimal(text string, most int) (*big.Rat, error) {
	if err := checkDecimal(text, most); err != nil {
		return nil, err
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q is not a decimal", Clip(text))
	}
	return value, nil
}

func checkDecimal(text string, most int) error {
	digits := strings.TrimPrefix(text, "-")
	whole, part, pointed := strings.Cut(digits, ".")
	if !allDigits(whole) || (pointed && !allDigits(part)) {
		return fmt.Errorf("%q is not a decimal written in plain digits with at most one point", Clip(text))
	}
	if len(whole)+len(part) > most {
		return fmt.Errorf("%q has more than %d digits", Clip(text), most)
	}
	return nil
}

func allDigits(text string) bool {
	if text == "" {
		return false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// ParseWhole reads a whole number of at least 0, such as patients or beds, in plain digits.
func ParseWhole(text string) (int64, error) {
	if !allDigits(text) || len(text) > 15 {
		return 0, fmt.Errorf("%q is not a whole number in plain digits", Clip(text))
	}
	var n int64
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	return n, nil
}

// Format writes an exact rational: as a decimal where it ends, as n/d where it does not.
func Format(value *big.Rat) string {
	if value.IsInt() {
		return value.Num().String()
	}
	if places, exact := value.FloatPrec(); exact {
		return value.FloatString(places)
	}
	return value.RatString()
}

// ParseExact reads what Format writes: a decimal, or a fraction n/d of whole numbers. It takes more digits than ParseDecimal,
// because a product has as many as its factors together.
func ParseExact(text string) (*big.Rat, error) {
	numerator, denominator, isFraction := strings.Cut(text, "/")
	if !isFraction {
		return parseDecimal(text, MaxExactDigits)
	}
	if len(text) > 2*MaxExactDigits || !allDigits(strings.TrimPrefix(numerator, "-")) || !allDigits(denominator) {
		return nil, fmt.Errorf("%q is not a fraction of whole numbers of at most %d digits together", Clip(text), 2*MaxExactDigits)
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q has a denominator of zero", Clip(text))
	}
	return value, nil
}

// Clip shortens a text that is echoed to its author.
func Clip(text string) string {
	const most = 60
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}
