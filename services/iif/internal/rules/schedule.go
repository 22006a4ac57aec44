package rules

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// FirstMonth is the first month of the fund: April to September 2020 had none.
var FirstMonth = period.NewMonth(2020, time.October)

// DueItem is what was approved of one indicator of a network's year and stands in no schedule yet: what the year comes to, or by how much
// a correction differs from what was paid, which is below nothing where money is recovered.
type DueItem struct {
	PCNCode string
	Year    period.FinancialYear
	Code    string
	// CorrectionID is empty for the year itself.
	CorrectionID string
	Amount       money.Pence
	// Working gives Amount.
	Working *working.Working
}

// HeldLine is a line scheduled earlier that nobody could be paid, of a network whose payee is known now. Its amount is below nothing where
// a correction took off more than was due.
type HeldLine struct {
	LineID     string
	PCNCode    string
	Year       period.FinancialYear
	Code       string
	Amount     money.Pence
	Confidence working.Confidence
}

// DueLine is what is due to one network for one indicator of a year: one line of a schedule.
type DueLine struct {
	PCNCode string
	Year    period.FinancialYear
	Code    string
	// Years tells how many of what goes in are the year itself, Corrections how many are corrections of it, and New what they come to.
	Years, Corrections int
	New                money.Pence
	// Held are the lines that are paid to the payee now known.
	Held   []HeldLine
	Amount money.Pence
	// Working carries on the working of what goes in.
	Working *working.Working
}

// DueOf returns what a year comes to by indicator, in its order; indicators that come to nothing are left out. It is for approved years,
// of which every amount is known.
func DueOf(y *Year, year period.FinancialYear) ([]DueItem, error) {
	if !y.Whole() {
		return nil, fault.Bug("the approved year %s of %s is not whole", year, y.PCN)
	}
	var out []DueItem
	var sum money.Pence
	var err error
	for i := range y.Results {
		r := &y.Results[i]
		if r.Due.Amount == 0 {
			continue
		}
		if sum, err = sum.Add(r.Due.Amount); err != nil {
			return nil, err
		}
		out = append(out, DueItem{PCNCode: y.PCN, Year: year, Code: r.Code, Amount: r.Due.Amount, Working: r.Due.Working})
	}
	if sum != y.Due {
		return nil, fault.Bug("what is due of %s to %s is not the sum of its indicators", year, y.PCN)
	}
	return out, nil
}

// Due adds up what was approved by network, year and indicator, and with it the held lines of the same. The lines come in that order.
func Due(items []DueItem, held []HeldLine, closed period.Month) ([]DueLine, error) {
	type subject struct {
		pcn  string
		year period.FinancialYear
		code string
	}
	approved, waiting := make(map[subject][]DueItem), make(map[subject][]HeldLine)
	found := make(map[subject]bool)
	items = slices.SortedFunc(slices.Values(items), func(a, b DueItem) int { return cmp.Compare(a.CorrectionID, b.CorrectionID) })
	for _, item := range items {
		of := subject{item.PCNCode, item.Year, item.Code}
		approved[of], found[of] = append(approved[of], item), true
	}
	for _, line := range held {
		of := subject{line.PCNCode, line.Year, line.Code}
		waiting[of], found[of] = append(waiting[of], line), true
	}
	out := make([]DueLine, 0, len(found))
	for of := range found {
		if of.year.Last().After(closed) {
			return nil, fault.Bug("what is due of %s to %s is paid in %s", of.year, of.pcn, closed)
		}
		line := DueLine{PCNCode: of.pcn, Year: of.year, Code: of.code, Held: waiting[of]}
		if err := line.add(approved[of]); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	slices.SortFunc(out, func(a, b DueLine) int {
		return cmp.Or(cmp.Compare(a.PCNCode, b.PCNCode), cmp.Compare(a.Year, b.Year), cmp.Compare(a.Code, b.Code))
	})
	return out, nil
}

// add fills in what the approved and the held lines come to. One amount alone keeps its working; of several the names are told apart.
func (l *DueLine) add(items []DueItem) error {
	carried, b := new(working.Working), new(working.Builder)
	terms := make([]working.Term, 0, len(items)+len(l.Held))
	plus := func(amount money.Pence, term working.Term) (err error) {
		terms = append(terms, term)
		l.Amount, err = l.Amount.Add(amount)
		return err
	}
	alone := len(items)+len(l.Held) == 1
	for _, item := range items {
		label := "year"
		if item.CorrectionID == "" {
			l.Years++
		} else {
			l.Corrections++
			label = "correction " + item.CorrectionID
		}
		if item.Working == nil || item.Working.Result() == nil || item.Working.Result().Cmp(item.Amount.GBP()) != 0 {
			return fault.Bug("the working of %s of %s gives other pence than what was approved", l.Code, l.PCNCode)
		}
		if !alone {
			carry(carried, item.Working, label+": ")
		} else {
			carried = item.Working
		}
		if err := plus(item.Amount, working.Term{Name: label + ": " + lastStep(item.Working), Value: item.Amount.GBP()}); err != nil {
			return err
		}
	}
	l.New = l.Amount
	for _, line := range l.Held {
		if err := plus(line.Amount, line.scheduled(b)); err != nil {
			return err
		}
	}
	if l.Working = carried; alone && len(items) == 1 {
		return nil
	}
	sum := b.Step("due", working.Add, unitGBP, "IIF: what was approved, once", terms...)
	added := b.Done()
	l.Working = &working.Working{Inputs: slices.Concat(carried.Inputs, added.Inputs), Steps: slices.Concat(carried.Steps, added.Steps)}
	if sum.Value.Cmp(l.Amount.GBP()) != 0 {
		return fault.Bug("the working of %s of %s gives other pence than what is due", l.Code, l.PCNCode)
	}
	return nil
}

// carry adds inputs and steps to a working under names of their own.
func carry(into, from *working.Working, prefix string) {
	for _, in := range from.Inputs {
		in.Name = prefix + in.Name
		into.Inputs = append(into.Inputs, in)
	}
	for _, step := range from.Steps {
		step.Name = prefix + step.Name
		operands := make([]string, len(step.Operands))
		for i, name := range step.Operands {
			operands[i] = prefix + name
		}
		step.Operands = operands
		into.Steps = append(into.Steps, step)
	}
}

func lastStep(w *working.Working) string { return w.Steps[len(w.Steps)-1].Name }

// scheduled notes what the line was scheduled with.
func (h HeldLine) scheduled(b *working.Builder) working.Term {
	return b.Input("line "+h.LineID, h.Amount.GBP(), unitGBP, working.Origin{
		Kind: working.FromLine, Ref: h.LineID, Source: "scheduled when no payee was recorded", Confidence: h.Confidence,
	})
}

// TakenBack is the working of the line that takes a held one back: nobody is due what had no payee.
func (h HeldLine) TakenBack() *working.Working {
	b := new(working.Builder)
	due := b.Input("due without a payee", new(big.Rat), unitGBP, working.Origin{Kind: working.FromContract})
	b.Step("taken back", working.Subtract, unitGBP, "IIF: what was approved goes to the payee recorded since", due, h.scheduled(b))
	return b.Done()
}
