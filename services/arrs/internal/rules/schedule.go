package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// FirstYear is the first financial year the scheme pays.
const FirstYear = firstYear

// DueClaim is what of one claim was approved from one pot and stands in no schedule yet. Of a correction it is the difference to what it
// replaces, which is below nothing where less was due.
type DueClaim struct {
	ClaimID string
	PCNCode string
	// Month is the month claimed for, Year the financial year whose sum it is taken from.
	Month  period.Month
	Year   period.FinancialYear
	Pot    Pot
	Amount money.Pence
	// Correction: the claim replaces what was approved before.
	Correction bool
	// Lines is how many lines of the claim it is the sum of.
	Lines int
	// Confidence is the least among the figures the lines rest on.
	Confidence working.Confidence
}

// HeldLine is a line scheduled earlier that nobody could be paid, of a network whose payee is known now. Its amount is below nothing where
// a correction took off more than was due.
type HeldLine struct {
	LineID     string
	PCNCode    string
	Pot        Pot
	ForMonth   period.Month
	Amount     money.Pence
	Confidence working.Confidence
}

// DueTotal is what is due to one network from one pot for one month: one line of a schedule.
type DueTotal struct {
	PCNCode string
	Pot     Pot
	Year    period.FinancialYear
	// ForMonth is the month that is closed, or the March of a year that is over; of held lines alone, their month.
	ForMonth period.Month
	// First and Last are the months of the earliest and the latest claim, Claims their number, Corrections how many of them replace what
	// was approved before, and New what they come to.
	First, Last         period.Month
	Claims, Corrections int
	New                 money.Pence
	// Held are the lines that are paid to the payee now known.
	Held   []HeldLine
	Amount money.Pence
	// Working adds up claims and held lines. It knows no line of a claim, since a line is one person's pay.
	Working *working.Working
}

// mostOperands bounds the operands of one step; more claims are added up in parts.
const mostOperands = 1000

// Due adds up claims by network, pot and financial year, and with them the held lines of the same month. The totals come in order of
// network, pot and month, and to what goes in.
func Due(claims []DueClaim, held []HeldLine, closed period.Month) ([]DueTotal, error) {
	type subject struct {
		pcn   string
		pot   Pot
		month period.Month
	}
	claims = slices.SortedFunc(slices.Values(claims), func(a, b DueClaim) int {
		return cmp.Or(a.Month.Compare(b.Month), cmp.Compare(a.ClaimID, b.ClaimID))
	})
	claimed, waiting := make(map[subject][]DueClaim), make(map[subject][]HeldLine)
	found := make(map[subject]bool)
	for _, c := range claims {
		of := subject{c.PCNCode, c.Pot, c.Year.Last()}
		if c.Year == closed.FinancialYear() {
			of.month = closed
		}
		claimed[of], found[of] = append(claimed[of], c), true
	}
	for _, h := range held {
		of := subject{h.PCNCode, h.Pot, h.ForMonth}
		waiting[of], found[of] = append(waiting[of], h), true
	}
	out := make([]DueTotal, 0, len(found))
	for of := range found {
		total := DueTotal{PCNCode: of.pcn, Pot: of.pot, Year: of.month.FinancialYear(), ForMonth: of.month, Held: waiting[of]}
		if of.month.After(closed) {
			return nil, fault.Bug("what is due to %s is for %s, after %s", of.pcn, of.month, closed)
		}
		if err := total.add(claimed[of], closed); err != nil {
			return nil, err
		}
		out = append(out, total)
	}
	slices.SortFunc(out, func(a, b DueTotal) int {
		return cmp.Or(cmp.Compare(a.PCNCode, b.PCNCode), cmp.Compare(a.Pot, b.Pot), a.ForMonth.Compare(b.ForMonth))
	})
	return out, nil
}

// add fills in what claims, in order of month, and the held lines come to.
func (t *DueTotal) add(claims []DueClaim, closed period.Month) error {
	b := new(working.Builder)
	b.Grow(len(claims)+len(t.Held), 1+len(claims)/mostOperands)
	terms := make([]working.Term, 0, len(claims)+len(t.Held))
	plus := func(name string, amount money.Pence, origin working.Origin) (err error) {
		terms = append(terms, b.Input(name, amount.GBP(), "GBP", origin))
		t.Amount, err = t.Amount.Add(amount)
		return err
	}
	for _, claim := range claims {
		if claim.Month.After(closed) {
			return fault.Bug("claim %s for %s is due in %s", claim.ClaimID, claim.Month, closed)
		}
		source := "approved of the claim for " + claim.Month.String()
		if claim.Correction {
			source = "approved of the correction for " + claim.Month.String() + " above what it replaces"
			t.Corrections++
		}
		if err := plus("claim "+claim.ClaimID, claim.Amount, working.Origin{
			Kind: working.FromDeclaration, Ref: claim.ClaimID, Source: source, Confidence: claim.Confidence,
		}); err != nil {
			return err
		}
	}
	if t.New, t.Claims = t.Amount, len(claims); t.Claims > 0 {
		t.First, t.Last = claims[0].Month, claims[len(claims)-1].Month
	}
	for _, line := range t.Held {
		if err := plus("line "+line.LineID, line.Amount, working.Origin{
			Kind: working.FromLine, Ref: line.LineID, Source: "scheduled when no payee was recorded", Confidence: line.Confidence,
		}); err != nil {
			return err
		}
	}
	const clause = "ARRS: what was approved, once"
	for part := 1; len(terms) > mostOperands; part++ {
		sum := b.Step(fmt.Sprintf("due, part %d", part), working.Add, "GBP", clause, terms[:mostOperands]...)
		terms = append([]working.Term{sum}, terms[mostOperands:]...)
	}
	sum := b.Step("due", working.Add, "GBP", clause, terms...)
	if t.Working = b.Done(); sum.Value.Cmp(t.Amount.GBP()) != 0 {
		return fault.Bug("the working of %s gives other pence than what is due", t.PCNCode)
	}
	return nil
}

// TakenBack is the working of the line that takes a held one back: nobody is due what had no payee.
func (h HeldLine) TakenBack() *working.Working {
	b := new(working.Builder)
	due := b.Input("due without a payee", new(big.Rat), "GBP", working.Origin{Kind: working.FromContract})
	before := b.Input("line "+h.LineID, h.Amount.GBP(), "GBP", working.Origin{
		Kind: working.FromLine, Ref: h.LineID, Source: "scheduled when no payee was recorded", Confidence: h.Confidence,
	})
	b.Step("taken back", working.Subtract, "GBP", "ARRS: what was approved goes to the payee recorded since", due, before)
	return b.Done()
}
