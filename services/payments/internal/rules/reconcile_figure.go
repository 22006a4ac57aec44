package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// choices returns every combination of one of the options of each factor, up to a bound, the first options first.
func choices(options [][]LineFactor, instalments [][]int) (factors [][]LineFactor, divisors []int) {
	const most = 64
	factors, divisors = [][]LineFactor{nil}, []int{0}
	for i, option := range options {
		var next [][]LineFactor
		var nextDivisors []int
		for n, chosen := range factors {
			for m, factor := range option {
				if len(next) == most {
					break
				}
				next = append(next, append(slices.Clone(chosen), factor))
				nextDivisors = append(nextDivisors, cmp.Or(divisors[n], instalments[i][m]))
			}
		}
		factors, divisors = next, nextDivisors
	}
	return factors, divisors
}

// oldRates returns the bases a line would have by other versions of its rates.
func (d *detective) oldRates(line *ExpectedLine) []*LineBasis {
	options := make([][]LineFactor, len(line.Basis.Factors))
	instalments := make([][]int, len(options))
	var known bool
	for i, factor := range line.Basis.Factors {
		options[i], instalments[i] = []LineFactor{factor}, []int{0}
		for _, rate := range d.rates[rateKey{line.PaymentCode, factor.Per}] {
			divisor := cmp.Or(rate.Instalments, line.Basis.Instalments)
			if rate.RateGBP.Cmp(factor.RateGBP) == 0 && divisor == line.Basis.Instalments {
				continue
			}
			other := factor
			other.RateGBP, other.RateID, known = rate.RateGBP, rate.RateID, true
			options[i] = append(options[i], other)
			instalments[i] = append(instalments[i], divisor)
		}
	}
	if !known {
		return nil
	}
	factors, divisors := choices(options, instalments)
	out := make([]*LineBasis, 0, len(factors)-1)
	for n := 1; n < len(factors); n++ {
		basis := line.Basis.with(factors[n])
		basis.Instalments = cmp.Or(divisors[n], basis.Instalments)
		out = append(out, basis)
	}
	return out
}

// oldRate finds another version of the rate that gives what was paid, for all lines alike.
func (d *detective) oldRate(f *Finding) (ReconcileCause, string) {
	lines, fixed := d.split(f)
	if len(lines) == 0 {
		return "", ""
	}
	for _, basis := range d.oldRates(lines[0]) {
		amount, ok := d.atRates(lines, basis)
		if !ok || amount+fixed != f.Paid {
			continue
		}
		var rates []string
		for i := range basis.Factors {
			if now := &lines[0].Basis.Factors[i]; now.RateGBP.Cmp(basis.Factors[i].RateGBP) != 0 || basis.Instalments != lines[0].Basis.Instalments {
				rates = append(rates, fmt.Sprintf("%s%s instead of %s per %s",
					inPounds(basis.Factors[i].RateGBP), inBrackets(basis.Factors[i].RateID), inPounds(now.RateGBP), inWords(now.Per)))
			}
		}
		return CauseOldRate, fmt.Sprintf("%s gives %s, the amount paid: %s; %s was expected%s",
			strings.Join(rates, " and "), f.Paid, basis.formula(), f.Expected, d.alsoBefore(f))
	}
	return "", ""
}

// atRates returns what lines come to at the rates of one basis, each on its own quantities.
func (d *detective) atRates(lines []*ExpectedLine, rates *LineBasis) (money.Pence, bool) {
	var total money.Pence
	for _, line := range lines {
		if len(line.Basis.Factors) != len(rates.Factors) {
			return 0, false
		}
		factors := slices.Clone(line.Basis.Factors)
		for i := range factors {
			if factors[i].Per != rates.Factors[i].Per {
				return 0, false
			}
			factors[i].RateGBP = rates.Factors[i].RateGBP
		}
		other := line.Basis.with(factors)
		other.Instalments = rates.Instalments
		amount, err := other.instalment()
		if err != nil {
			return 0, false
		}
		if total, err = total.Add(amount); err != nil {
			return 0, false
		}
	}
	return total, true
}

func inBrackets(id string) string {
	if id == "" {
		return ""
	}
	return " (" + id + ")"
}

// alsoBefore says that the amount is that of the month before too, which another explanation would rest on.
func (d *detective) alsoBefore(f *Finding) string {
	if f.Month.IsZero() {
		return ""
	}
	key := f.key()
	key.month = key.month.Add(-1)
	if sum := d.months[key]; sum != nil && len(sum.lines) > 0 && sum.expected == f.Paid {
		return fmt.Sprintf(" (it is also what was expected in %s)", key.month)
	}
	return ""
}

// oldList finds another list, of one of the lines, that gives what was paid.
func (d *detective) oldList(f *Finding) (ReconcileCause, string) {
	lines, _ := d.split(f)
	for _, line := range lines {
		options := make([][]LineFactor, len(line.Basis.Factors))
		none := make([][]int, len(options))
		sources := make(map[*big.Rat]string)
		for i, factor := range line.Basis.Factors {
			options[i] = []LineFactor{factor}
			for _, quantity := range d.quantities[listKey{line.PCNCode, line.PracticeCode, factor.Per}] {
				if quantity.Quantity.Cmp(factor.Quantity) != 0 {
					other := factor
					other.Quantity = quantity.Quantity
					options[i] = append(options[i], other)
					sources[quantity.Quantity] = quantity.Source
				}
			}
			none[i] = make([]int, len(options[i]))
		}
		if len(sources) == 0 {
			continue
		}
		found, _ := choices(options, none)
		for _, factors := range found[1:] {
			basis := line.Basis.with(factors)
			amount, err := basis.instalment()
			if err != nil || amount-line.Amount != f.Difference {
				continue
			}
			var lists []string
			for i := range factors {
				if was := line.Basis.Factors[i].Quantity; was.Cmp(factors[i].Quantity) != 0 {
					lists = append(lists, fmt.Sprintf("%s (%s) instead of %s at %s per %s", inNumber(factors[i].Quantity),
						cmp.Or(sources[factors[i].Quantity], "another record"), inNumber(was), inPounds(factors[i].RateGBP), inWords(factors[i].Per)))
				}
			}
			return CauseOldList, fmt.Sprintf("%s gives %s, the amount paid: %s; %s was expected%s",
				strings.Join(lists, " and "), amount+f.Expected-line.Amount, basis.formula(), f.Expected, d.alsoBefore(f))
		}
	}
	return "", ""
}

// oldBoth finds an earlier rate on another list that together give what was paid.
func (d *detective) oldBoth(f *Finding) (ReconcileCause, string) {
	lines, fixed := d.split(f)
	if len(lines) != 1 {
		return "", ""
	}
	line := lines[0]
	rates := d.oldRates(line)
	for _, basis := range rates[:min(mostPairs, len(rates))] {
		if len(basis.Factors) != 1 {
			break
		}
		quantities := d.quantities[listKey{line.PCNCode, line.PracticeCode, basis.Factors[0].Per}]
		for _, quantity := range quantities[:min(mostPairs, len(quantities))] {
			factor := basis.Factors[0]
			factor.Quantity = quantity.Quantity
			other := basis.with([]LineFactor{factor})
			if amount, err := other.instalment(); err == nil && amount+fixed == f.Paid {
				return CauseOldRate, fmt.Sprintf("%s%s on %s of %s gives %s, the amount paid: %s; %s was expected%s",
					inPounds(factor.RateGBP), inBrackets(factor.RateID), inNumber(quantity.Quantity), cmp.Or(quantity.Source, "another record"),
					f.Paid, other.formula(), f.Expected, d.alsoBefore(f))
			}
		}
	}
	return "", ""
}
