package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// split separates the lines whose basis gives their amount from the sum of the others, which stand as they are. An adjusting line
// is never recomputed: its basis is that of the amount it corrects to.
func (d *detective) split(f *Finding) (lines []*ExpectedLine, fixed money.Pence) {
	for _, l := range f.lines {
		line := &d.lines[l]
		if d.recomputable(l) {
			lines = append(lines, line)
			continue
		}
		fixed += line.Amount
	}
	return lines, fixed
}

// recomputable tells whether the basis of a first line gives its amount.
func (d *detective) recomputable(l int) bool {
	if d.gives[l] == unasked {
		d.gives[l] = no
		if line := &d.lines[l]; line.Adjusts == "" && line.Basis.gives(line.Amount) {
			d.gives[l] = yes
		}
	}
	return d.gives[l] == yes
}

// answer is one to a question that costs too much to ask twice.
type answer int8

const (
	unasked answer = iota
	yes
	no
)

// convention is one way to round: what it comes to for some lines, and false where it does not apply.
type convention struct {
	name string
	of   func(lines []*ExpectedLine) (money.Pence, bool)
	how  func(*LineBasis) string // how the first line comes out; nil where the name says it
}

// each makes a convention of what one line comes to.
func each(of func(*LineBasis) (money.Pence, bool)) func([]*ExpectedLine) (money.Pence, bool) {
	return func(lines []*ExpectedLine) (money.Pence, bool) {
		var total money.Pence
		for _, line := range lines {
			amount, ok := of(line.Basis)
			if !ok {
				return 0, false
			}
			var err error
			if total, err = total.Add(amount); err != nil {
				return 0, false
			}
		}
		return total, true
	}
}

// roundedTo makes a convention of a rounding to the penny.
func roundedTo(mode money.Rounding) func(*LineBasis) (money.Pence, bool) {
	return func(b *LineBasis) (money.Pence, bool) { return toPence(b.month(), mode) }
}

func toPence(gbp *big.Rat, mode money.Rounding) (money.Pence, bool) {
	amount, err := money.RoundHalfUp(money.Round(gbp, mode, 2))
	return amount, err == nil
}

// inOne rounds the sum of the lines once.
func inOne(mode money.Rounding) func([]*ExpectedLine) (money.Pence, bool) {
	return func(lines []*ExpectedLine) (money.Pence, bool) {
		if len(lines) < 2 {
			return 0, false
		}
		return toPence(sumOf(lines), mode)
	}
}

// sumOf adds up instalments before rounding, in pounds.
func sumOf(lines []*ExpectedLine) *big.Rat {
	sum := new(big.Rat)
	for _, line := range lines {
		sum.Add(sum, line.Basis.month())
	}
	return sum
}

// byComponent rounds every factor by itself.
func byComponent(b *LineBasis) (money.Pence, bool) {
	var total money.Pence
	for i := range b.Factors {
		amount, err := b.with(b.Factors[i : i+1]).instalment()
		if err != nil {
			return 0, false
		}
		if total, err = total.Add(amount); err != nil {
			return 0, false
		}
	}
	return total, len(b.Factors) > 1
}

// ratePlaces is how many decimals published monthly rates have.
const ratePlaces = 3

// monthlyRates returns the basis by rate of a month: as published, else the period's rate divided and rounded to three decimals.
func (b *LineBasis) monthlyRates() *LineBasis {
	out := b.with(slices.Clone(b.Factors))
	out.Instalments = 1
	for i := range out.Factors {
		factor := &out.Factors[i]
		factor.RateGBP = factor.MonthlyRateGBP
		if factor.RateGBP == nil {
			factor.RateGBP = money.Round(quotient(b.Factors[i].RateGBP, b.Instalments), money.HalfUp, ratePlaces)
		}
	}
	return out
}

func byMonthlyRate(b *LineBasis) (money.Pence, bool) {
	if b.Instalments == 1 {
		return 0, false
	}
	amount, err := b.monthlyRates().instalment()
	return amount, err == nil
}

// byResidual takes the lines of one month for those of the last.
func byResidual(lines []*ExpectedLine) (money.Pence, bool) {
	for _, line := range lines {
		if line.Basis.Instalments == 1 || line.ForMonth != lines[0].ForMonth {
			return 0, false
		}
	}
	return each((*LineBasis).residual)(lines)
}

func howResidual(b *LineBasis) string {
	last, _ := b.residual()
	each, _ := b.instalment()
	return fmt.Sprintf("%s less %d × %s = %s", inPounds(money.Round(b.period(), money.HalfUp, 2)), b.Instalments-1, each, last)
}

func howPracticeSum(b *LineBasis) string {
	sum, _ := b.byPractice()
	return fmt.Sprintf("%d practices come to %s a line", len(b.Factors[0].Practices), sum)
}

// conventions are those a paying system was seen to follow, or may follow, the likelier first.
var conventions = []convention{
	{byPCNAnnual + ", each line rounded half up,", each(roundedTo(money.HalfUp)), nil},
	{byResidualLast + ", the last instalment taking what remains,", byResidual, howResidual},
	{byPCNMonthlyRate + ", the rate of a month,", each(byMonthlyRate), func(b *LineBasis) string { return b.monthlyRates().formula() }},
	{byPracticeSum + ", rounded half up practice by practice,", each((*LineBasis).byPractice), howPracticeSum},
	{"the sum of the lines rounded half up once", inOne(money.HalfUp), nil},
	{"every component rounded half up by itself", each(byComponent), nil},
	{"every line rounded down", each(roundedTo(money.Floor)), nil},
	{"the sum of the lines rounded down once", inOne(money.Floor), nil},
	{"every line rounded half to even", each(roundedTo(money.HalfEven)), nil},
	{"every line rounded up", each(roundedTo(money.Ceiling)), nil},
}

// rounding finds the convention that gives what was paid.
func (d *detective) rounding(f *Finding) (ReconcileCause, string) {
	lines, fixed := d.split(f)
	if len(lines) == 0 {
		return d.roundingOfEntitlement(f)
	}
	for _, c := range conventions {
		amount, ok := c.of(lines)
		if !ok || amount+fixed != f.Paid {
			continue
		}
		how := ""
		if c.how != nil {
			how = " (" + c.how(lines[0].Basis) + ")"
		}
		return CauseRounding, fmt.Sprintf("%s gives %s, the amount paid%s; expected %s by %s: %s",
			c.name, f.Paid, how, f.Expected, cmp.Or(lines[0].Basis.Convention, "one payment"), describe(lines, fixed))
	}
	return "", ""
}

// roundingOfEntitlement tries the last instalment of the period's amount where the lines have no basis.
func (d *detective) roundingOfEntitlement(f *Finding) (ReconcileCause, string) {
	e, of := d.entitled(f)
	if !of || e.Instalments == 1 {
		return "", ""
	}
	last := *e
	last.Convention = byResidualLast
	amount, err := last.instalment(e.From.Add(e.Instalments - 1))
	if err != nil || amount != f.Paid {
		return "", ""
	}
	return CauseRounding, fmt.Sprintf("%s gives %s for the last of %d instalments of %s; expected %s",
		byResidualLast, f.Paid, e.Instalments, e.Amount, f.Expected)
}

// entitled finds the one entitlement that the finding's only line rests on.
func (d *detective) entitled(f *Finding) (*Entitlement, bool) {
	if len(f.lines) != 1 {
		return nil, false
	}
	line := &d.lines[f.lines[0]]
	var found *Entitlement
	for _, i := range d.entitlements[unitKey{line.PCNCode, line.PracticeCode, line.PaymentCode}] {
		e := &d.in.Entitlements[i]
		if line.ForMonth.Before(e.From) || line.ForMonth.After(e.To) {
			continue
		}
		if found != nil {
			return nil, false
		}
		found = e
	}
	return found, found != nil
}

// describe writes what lines are computed from, those computed alike together, and of many only the first.
func describe(lines []*ExpectedLine, fixed money.Pence) string {
	const most = 3
	var formulas []string
	counts := make(map[string]int)
	for _, line := range lines {
		text := line.Basis.formula() + " = " + inPounds(line.Basis.month())
		if counts[text]++; counts[text] == 1 {
			formulas = append(formulas, text)
		}
	}
	for n, text := range formulas {
		if counts[text] > 1 {
			formulas[n] = fmt.Sprintf("%d times %s", counts[text], text)
		}
	}
	if len(formulas) > most {
		formulas = append(formulas[:most], fmt.Sprintf("and %d more", len(formulas)-most))
	}
	if fixed != 0 {
		formulas = append(formulas, "with "+fixed.String()+" of other lines")
	}
	return strings.Join(formulas, ", ")
}
