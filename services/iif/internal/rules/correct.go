package rules

import (
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Paid is what an indicator of a year was paid, over all lines so far.
type Paid struct {
	Code   string
	Amount money.Pence
	// LineID is the line that a difference adjusts.
	LineID string
}

// Difference is a line that corrects an approved year: the result now less what was paid. It is below nothing where money is to
// be recovered.
type Difference struct {
	Code          string
	LineID        string
	Before, After money.Pence
	Amount        money.Pence
	// Working gives Amount.
	Working    *working.Working
	Confidence working.Confidence
}

// Correct returns the differences between a year worked out again and what was paid, in the order of the year; an indicator that
// the year no longer has is taken back. Nothing is returned for what stays the same. It refuses while an amount of the year is not
// known or a count is missing, because nothing may be recovered on a guess.
func Correct(now *Year, paid []Paid) ([]Difference, error) {
	if !now.Whole() {
		refused := fault.New(fault.Refused, ReasonResultIncomplete, "the year of %s is not whole: %d amounts and %d indicators are missing",
			now.PCN, len(now.Refused), len(now.Missing))
		return nil, refused.With(metaMissing, "amounts of the year").With(metaRemedy, "enter the missing figures and counts")
	}
	before := make(map[string]Paid, len(paid))
	var total money.Pence
	var err error
	for _, p := range paid {
		if _, twice := before[p.Code]; twice {
			return nil, fault.New(fault.Invalid, ReasonPaidTwice, "%s stands twice among what was paid", money.Clip(p.Code))
		}
		before[p.Code] = p
		if total, err = total.Add(p.Amount); err != nil {
			return nil, err
		}
	}
	var out []Difference
	correct := func(p Paid, after money.Pence, from *working.Working) error {
		if after == p.Amount {
			return nil
		}
		d, err := difference(p, after, from)
		if err != nil {
			return err
		}
		out = append(out, *d)
		total, err = total.Add(d.Amount)
		return err
	}
	for i := range now.Results {
		r := &now.Results[i]
		p := before[r.Code]
		p.Code = r.Code
		delete(before, r.Code)
		if err := correct(p, r.Due.Amount, r.Due.Working); err != nil {
			return nil, err
		}
	}
	for _, code := range sortedKeys(before) {
		if err := correct(before[code], 0, new(working.Working)); err != nil {
			return nil, err
		}
	}
	if total != now.Due {
		return nil, fault.Bug("what was paid to %s and the differences do not make up the year", now.PCN)
	}
	return out, nil
}

// difference takes what was paid off the new result, whose working it carries on.
func difference(p Paid, after money.Pence, from *working.Working) (*Difference, error) {
	b := new(working.Builder)
	b.Grow(2, 1)
	result := working.Term{Name: "payment", Value: after.GBP()}
	if len(from.Steps) == 0 {
		result = b.Input("payment", after.GBP(), unitGBP, working.Origin{Kind: working.FromContract, Source: "the year no longer has the indicator"})
	}
	paid := b.Input("paid before", p.Amount.GBP(), unitGBP, working.Origin{Kind: working.FromLine, Ref: p.LineID})
	diff := b.Step("difference", working.Subtract, unitGBP, "IIF: after financial approval corrections are paid or recovered as differences", result, paid)
	amount, err := toPence(diff.Value)
	if err != nil {
		return nil, err
	}
	w := b.Done()
	w.Inputs, w.Steps = slices.Concat(from.Inputs, w.Inputs), slices.Concat(from.Steps, w.Steps)
	if back, err := after.Sub(amount); err != nil || back != p.Amount {
		return nil, fault.Bug("the difference of %s does not lead from what was paid to what is due", p.Code)
	}
	return &Difference{Code: p.Code, LineID: p.LineID, Before: p.Amount, After: after, Amount: amount, Working: w, Confidence: w.Confidence()}, nil
}
