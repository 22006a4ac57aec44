package rules

import (
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Names of the conventions by which an amount of a period becomes monthly instalments, as lines carry them.
const (
	byPCNAnnual      = "PCN_ANNUAL"
	byPCNMonthlyRate = "PCN_MONTHLY_RATE"
	byPracticeSum    = "PRACTICE_SUM"
	byResidualLast   = "RESIDUAL_LAST"
)

// LineFactor is one rate of a line with the quantity it is multiplied by.
type LineFactor struct {
	// RateGBP is pounds per unit for the whole period, or for one month by the convention PCN_MONTHLY_RATE.
	RateGBP *big.Rat
	// MonthlyRateGBP is pounds per unit and month as published; nil where it is not known or RateGBP is that already.
	MonthlyRateGBP *big.Rat
	// Per is what the rate is paid per, such as registered_patient.
	Per string
	// Quantity is the number of patients or beds.
	Quantity *big.Rat
	// Practices is Quantity practice by practice, in one order for all factors of a line; empty where it is not known so.
	Practices []*big.Rat
	// RateID names the version of the rate.
	RateID string
}

// LineBasis is what the amount of a line rests on: rate × quantity, added up over the factors, times the share, divided by the
// instalments and rounded by the convention.
type LineBasis struct {
	Factors []LineFactor
	// Instalments is the number of months the sum is divided by; 1 for a payment made once and for a rate per month.
	Instalments int
	// Convention of the instalments, such as PCN_ANNUAL; empty for a payment made once.
	Convention string
	// Share of the sum that is due, from 0 to 1; nil where all of it is.
	Share *big.Rat
}

// Entitlement is what a payment comes to for the whole of its period.
type Entitlement struct {
	PCNCode, PracticeCode, PaymentCode, FundingSource string
	// Amount of the period in pence, rounded once.
	Amount money.Pence
	// From and To are the first and the last month of the period.
	From, To    period.Month
	Instalments int
	// Convention of the instalments; empty means that they are rounded half up without a true-up.
	Convention string
}

// instalment returns what the entitlement comes to in a month: nothing before its period and after its last instalment.
func (e *Entitlement) instalment(month period.Month) (money.Pence, error) {
	number := month.Sub(e.From) + 1
	if number < 1 || number > e.Instalments || month.After(e.To) {
		return 0, nil
	}
	each, err := money.RoundHalfUp(quotient(e.Amount.GBP(), e.Instalments))
	if err != nil || e.Convention != byResidualLast || number < e.Instalments {
		return each, err
	}
	before, err := each.Times(int64(e.Instalments - 1))
	if err != nil {
		return 0, err
	}
	return e.Amount.Sub(before)
}

// usable tells whether a basis has every figure that an amount is computed from.
func (b *LineBasis) usable() bool {
	if b == nil || len(b.Factors) == 0 || b.Instalments < 1 {
		return false
	}
	return !slices.ContainsFunc(b.Factors, func(f LineFactor) bool { return f.RateGBP == nil || f.Quantity == nil })
}

// period returns the sum before it is divided into instalments, in pounds.
func (b *LineBasis) period() *big.Rat {
	sum := new(big.Rat)
	for i := range b.Factors {
		sum.Add(sum, product(b.Factors[i].RateGBP, b.Factors[i].Quantity))
	}
	return b.shared(sum)
}

// month returns one instalment before rounding, in pounds.
func (b *LineBasis) month() *big.Rat { return quotient(b.period(), b.Instalments) }

// shared returns the share of a sum that is due.
func (b *LineBasis) shared(sum *big.Rat) *big.Rat {
	if b.Share != nil {
		sum.Mul(sum, b.Share)
	}
	return sum
}

// instalment returns one instalment rounded half up.
func (b *LineBasis) instalment() (money.Pence, error) { return money.RoundHalfUp(b.month()) }

// byPractice returns one instalment rounded half up practice by practice; false where the practices are not known.
func (b *LineBasis) byPractice() (money.Pence, bool) {
	count := len(b.Factors[0].Practices)
	if count == 0 {
		return 0, false
	}
	sums := make([]*big.Rat, count)
	for p := range sums {
		sums[p] = new(big.Rat)
	}
	for i := range b.Factors {
		if len(b.Factors[i].Practices) != count {
			return 0, false
		}
		for p, quantity := range b.Factors[i].Practices {
			sums[p].Add(sums[p], product(b.Factors[i].RateGBP, quantity))
		}
	}
	var total money.Pence
	for _, sum := range sums {
		rounded, err := money.RoundHalfUp(quotient(b.shared(sum), b.Instalments))
		if err != nil {
			return 0, false
		}
		if total, err = total.Add(rounded); err != nil {
			return 0, false
		}
	}
	return total, true
}

// residual returns what the instalments before the last leave of the period's amount rounded once.
func (b *LineBasis) residual() (money.Pence, bool) {
	each, err := b.instalment()
	if err != nil {
		return 0, false
	}
	whole, err := money.RoundHalfUp(b.period())
	if err != nil {
		return 0, false
	}
	before, err := each.Times(int64(b.Instalments - 1))
	if err != nil {
		return 0, false
	}
	last, err := whole.Sub(before)
	return last, err == nil
}

// mostPractices bounds the practices of a network whose lists are not given one by one.
const mostPractices = 100

// gives tells whether an amount is what the basis comes to by its own convention, so that the basis speaks of the amount. By
// PRACTICE_SUM without the practices it is enough that each can have moved the amount by half a penny.
func (b *LineBasis) gives(amount money.Pence) bool {
	if !b.usable() {
		return false
	}
	once, err := b.instalment()
	if err != nil {
		return false
	}
	switch {
	case once == amount:
		return true
	case b.Convention == byResidualLast:
		last, ok := b.residual()
		return ok && last == amount
	case b.Convention == byPracticeSum:
		if sum, ok := b.byPractice(); ok {
			return sum == amount
		}
		return distance(once, amount) <= mostPractices/2
	default:
		return false
	}
}

// with returns the basis with other factors.
func (b *LineBasis) with(factors []LineFactor) *LineBasis {
	out := *b
	out.Factors = factors
	return &out
}

// formula writes what the amount is computed from, as in £1.50 × 53,674 ÷ 12.
func (b *LineBasis) formula() string {
	parts := make([]string, len(b.Factors))
	for i := range b.Factors {
		parts[i] = inPounds(b.Factors[i].RateGBP) + " × " + inNumber(b.Factors[i].Quantity)
	}
	text := strings.Join(parts, " + ")
	if len(parts) > 1 && (b.Share != nil || b.Instalments > 1) {
		text = "(" + text + ")"
	}
	if b.Share != nil {
		text += " × " + inNumber(b.Share)
	}
	if b.Instalments > 1 {
		text += " ÷ " + strconv.Itoa(b.Instalments)
	}
	return text
}

func product(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func quotient(value *big.Rat, by int) *big.Rat {
	return new(big.Rat).Quo(value, new(big.Rat).SetInt64(int64(by)))
}

// distance returns the difference between two amounts without its sign.
func distance(a, b money.Pence) money.Pence { return max(a-b, b-a) }

// mostPlaces is how many decimals of a rate or a quantity are shown.
const mostPlaces = 8

// inNumber writes a quantity with thousands separators: exactly where it ends within eight decimals, else with an ellipsis.
func inNumber(value *big.Rat) string { return grouped(value, 0) }

// inPounds writes a rate in pounds with at least two decimals.
func inPounds(value *big.Rat) string {
	text := grouped(value, 2)
	if amount, negative := strings.CutPrefix(text, "-"); negative {
		return "-£" + amount
	}
	return "£" + text
}

func grouped(value *big.Rat, least int) string {
	places, exact := value.FloatPrec()
	exact = exact && places <= mostPlaces
	if !exact {
		places = mostPlaces
	}
	text := value.FloatString(max(places, least))
	whole, decimals, pointed := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	var out strings.Builder
	if strings.HasPrefix(text, "-") {
		out.WriteByte('-')
	}
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteByte(whole[i])
	}
	if pointed {
		out.WriteString("." + decimals)
	}
	if !exact {
		out.WriteString("…")
	}
	return out.String()
}

// signed writes an amount with its sign, as in +£14.25.
func signed(amount money.Pence) string {
	if amount > 0 {
		return "+" + amount.String()
	}
	return amount.String()
}
