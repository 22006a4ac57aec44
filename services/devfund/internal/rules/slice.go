package rules

import (
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// SliceKind is what a slice of a pool is set aside for.
type SliceKind string

// The kinds, in the order in which they are taken.
const (
	// LeadershipSlice is for the development of clinical directors.
	LeadershipSlice SliceKind = "LEADERSHIP"
	// SystemSlice is for support commissioned once for the system.
	SystemSlice SliceKind = "SYSTEM"
	// PlaceSlice is for support commissioned once for a place.
	PlaceSlice SliceKind = "PLACE"
)

// Pool is a sum to share, and the percentages of it that are set aside first; a percentage without a value is not taken.
type Pool struct {
	Amount
	LeadershipPercent, SystemPercent, PlacePercent Given
}

// Slice is a sum set aside before a pool is shared.
type Slice struct {
	Kind    SliceKind
	Percent *big.Rat
	Amount  money.Pence
	Working *working.Working
}

const clauseSlice = "PCN development fund: percentage of the pool taken first, half up to the penny; the rest takes the balance"

// cut is a pool after its slices: what is left, and the working up to there, which every part begins with.
type cut struct {
	clause string
	b      working.Builder
	slices []Slice
	left   money.Pence
	term   working.Term
}

// with returns the working of the pool continued by another.
func (c *cut) with(own *working.Builder) *working.Working {
	pool, rest := c.b.Done(), own.Done()
	return &working.Working{Inputs: slices.Concat(pool.Inputs, rest.Inputs), Steps: slices.Concat(pool.Steps, rest.Steps)}
}

// cut takes the slices off. Each is rounded half up by itself, and no more than is left: of a pool of a penny, two halves do not
// come to twopence.
func (p *Pool) cut() (*cut, error) {
	if p.Pence < 0 {
		return nil, fault.New(fault.Invalid, ReasonMethodMalformed, "a pool of %s is below nothing", p.Pence).With("pool_pence", int64(p.Pence))
	}
	percents := []struct {
		kind  SliceKind
		name  string
		given Given
	}{{LeadershipSlice, "leadership", p.LeadershipPercent}, {SystemSlice, "system level", p.SystemPercent}, {PlaceSlice, "place level", p.PlacePercent}}
	sum := new(big.Rat)
	for _, s := range percents {
		if s.given.Value == nil {
			continue
		}
		if s.given.Value.Sign() < 0 {
			return nil, fault.New(fault.Invalid, ReasonMethodMalformed, "%s takes %s percent, which is below nothing", s.name, money.Format(s.given.Value))
		}
		sum.Add(sum, s.given.Value)
	}
	if sum.Cmp(hundred) > 0 {
		return nil, fault.New(fault.Invalid, ReasonPercentagesExceedPool, "the percentages taken first come to %s: lower them to 100 or less", money.Format(sum)).
			With("percent", money.Format(sum))
	}
	c := &cut{clause: clauseShare, left: p.Pence}
	c.term = c.b.Input("pool", p.Pence.GBP(), "GBP", p.Origin)
	taken := []working.Term{c.term}
	for _, s := range percents {
		if s.given.Value == nil {
			continue
		}
		portion, err := c.take(s.name, s.given, taken)
		if err != nil {
			return nil, err
		}
		taken = append(taken, portion)
		amount, err := money.RoundDown(portion.Value)
		if err != nil {
			return nil, err
		}
		c.left -= amount
		so := c.b.Done()
		c.slices = append(c.slices, Slice{s.kind, s.given.Value, amount, &working.Working{Inputs: slices.Clone(so.Inputs), Steps: slices.Clone(so.Steps)}})
	}
	if len(c.slices) > 0 {
		c.term = c.b.Step("to share", working.Subtract, "GBP", clauseSlice, taken...)
	}
	return c, nil
}

// take works out one slice: taken begins with the pool and goes on with the slices before.
func (c *cut) take(name string, percent Given, taken []working.Term) (working.Term, error) {
	rate := c.b.Input(name+" percent", percent.Value, "percent", percent.Origin)
	if len(taken) == 1 {
		c.b.Input("the whole", hundred, "percent", contract())
	}
	share := c.b.Step(name+" share", working.Divide, "share", clauseSlice, rate, working.Term{Name: "the whole", Value: hundred})
	exact := c.b.Step(name+" before rounding", working.Multiply, "GBP", clauseSlice, c.term, share)
	rounded, err := money.RoundHalfUp(exact.Value)
	if err != nil {
		return working.Term{}, err
	}
	if rounded <= c.left {
		return c.b.Round(name+" portion", money.HalfUp, pencePlaces, "GBP", clauseSlice, exact), nil
	}
	half := c.b.Round(name+" rounded", money.HalfUp, pencePlaces, "GBP", clauseSlice, exact)
	left := c.b.Step("left for "+name, working.Subtract, "GBP", clauseSlice, taken...)
	return c.b.Step(name+" portion", working.Minimum, "GBP", clauseSlice, half, left), nil
}
