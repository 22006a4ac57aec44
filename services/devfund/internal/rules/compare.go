package rules

import (
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Alternative is one way to share a pool, beside the first of them.
type Alternative struct {
	Method Method
	// Shared is nil where the method is refused, and Refused says why.
	Shared  *Shared
	Refused *fault.Fault
	// Differences are what each receiver gets more, or less, than by the first method, in order of code. They are nil where either is refused.
	Differences []Difference
	// Moved is what receivers get more than by the first method, all together; where the two hold back the same, others get as much less.
	Moved money.Pence
	// HeldBackMore is what is held back more, or less, than by the first method.
	HeldBackMore money.Pence
}

// Difference is what one receiver gets more, or less, than by another method.
type Difference struct {
	Code string
	More money.Pence
}

// Compare shares a pool by several methods, side by side; the first is what the others are held against, as a rule the plain share per
// head. A method that is refused does not hinder the others.
func Compare(pool *Pool, receivers []Receiver, methods []Method) ([]Alternative, error) {
	out := make([]Alternative, len(methods))
	for i, method := range methods {
		shared, err := Share(pool, method, receivers)
		if refused, is := fault.As(err); is {
			out[i] = Alternative{Method: method, Refused: refused}
			continue
		}
		if err != nil {
			return nil, err
		}
		out[i] = Alternative{Method: method, Shared: shared}
		if first := out[0].Shared; first != nil {
			if err := out[i].against(first); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// against finds what an alternative moves. Both have the same receivers, in order of code.
func (a *Alternative) against(first *Shared) (err error) {
	a.Differences = make([]Difference, len(first.Parts))
	for i := range first.Parts {
		d := &a.Differences[i]
		d.Code = first.Parts[i].Code
		if d.More, err = a.Shared.Parts[i].Amount.Sub(first.Parts[i].Amount); err != nil {
			return err
		}
		if d.More > 0 {
			if a.Moved, err = a.Moved.Add(d.More); err != nil {
				return err
			}
		}
	}
	a.HeldBackMore, err = a.Shared.HeldBack.Sub(first.HeldBack)
	return err
}
