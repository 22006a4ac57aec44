package rules

import (
	"cmp"
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Distance is what would bring an indicator further: so many more of what its numerator counts, or fewer where lower is better,
// with everything else as it stands.
type Distance struct {
	Code string
	// ToFirst is how many bring the first part of a point; nothing where some are earned.
	ToFirst int64
	// ToAll is how many bring all points; nothing where all are earned.
	ToAll int64
	// WorthFirst and WorthAll are what they bring, over what is due now.
	WorthFirst, WorthAll Payment
	// Refused says why the distance is not counted, or which figure is missing for it.
	Refused *fault.Fault
}

// Known tells whether the distance could be counted.
func (d *Distance) Known() bool { return d.Refused == nil }

// Distances tells, for every indicator that pays, how far it stands from its thresholds in whole patients and what they are worth.
// Patients are taken to be in the denominator already, which stays as it is; where the denominator runs out, or the numerator
// would fall below nothing, the distance is not counted. A question of yes or no is one answer away.
func Distances(t *Terms, n *Network, counts []IndicatorCounts) ([]Distance, error) {
	var out []Distance
	for i := range t.Indicators {
		it := &t.Indicators[i]
		if _, stopped := it.stopped(); stopped || it.Override != nil {
			continue
		}
		at := slices.IndexFunc(counts, func(c IndicatorCounts) bool { return c.Code == it.Code })
		var c *Counts
		if at >= 0 {
			c = &counts[at].Counts
		}
		d, err := distance(t, it, n, c)
		if err != nil {
			return nil, err
		}
		out = append(out, *d)
	}
	return out, nil
}

func distance(t *Terms, it *IndicatorTerms, n *Network, c *Counts) (*Distance, error) {
	d := &Distance{Code: it.Code}
	now, err := Assess(t, it, n, c)
	if err != nil {
		return nil, err
	}
	if d.Refused = now.Due.Refused; !d.Known() {
		return d, nil
	}
	if it.Kind == Binary {
		if c == nil {
			c = new(Counts)
		}
		if c.Answer != Yes {
			d.ToFirst, d.ToAll = 1, 1
		}
		return d, d.price(t, it, n, c, now)
	}
	if d.Refused = d.count(it, &now.Measure, c); !d.Known() {
		return d, nil
	}
	return d, d.price(t, it, n, c, now)
}

// count sets the distances.
func (d *Distance) count(it *IndicatorTerms, m *Measure, c *Counts) *fault.Fault {
	if m.Value == nil || it.Kind == Standardised {
		return fault.New(fault.Refused, ReasonDistanceNotCounted, "the distance of %s cannot be counted in patients", it.Code)
	}
	first, upper := it.needed(it.Lower.Value.Amount, m, true), it.needed(it.Upper.Value.Amount, m, false)
	numerator := m.Numerator.Num().Int64()
	steps := func(needed int64) int64 {
		if it.Direction == LowerBetter {
			return max(numerator-needed, 0)
		}
		return max(needed-numerator, 0)
	}
	beyond := func(needed int64) bool {
		return needed < 0 || (it.Kind == Percentage && whole(needed).Cmp(m.Denominator) > 0)
	}
	d.ToFirst, d.ToAll = steps(first), steps(upper)
	if (d.ToFirst > 0 && beyond(first)) || (d.ToAll > 0 && beyond(upper)) || c.Numerator.State != Stated {
		return fault.New(fault.Refused, ReasonDistanceNotCounted, "the thresholds of %s lie beyond what its denominator allows", it.Code)
	}
	return nil
}

// needed returns the numerator that reaches a threshold, or for the first part of a point the one that just passes it.
func (it *IndicatorTerms) needed(threshold *big.Rat, m *Measure, passing bool) int64 {
	target := new(big.Rat).Set(threshold)
	if it.Kind == Change {
		baseline := new(big.Rat).Mul(m.Numerator, hundred)
		baseline.Quo(baseline, m.Denominator)
		target.Add(target, baseline.Sub(baseline, m.Value))
	}
	target.Mul(target, m.Denominator)
	if it.Kind != Ratio {
		target.Quo(target, hundred)
	}
	mode := money.Ceiling
	if it.Direction == LowerBetter {
		mode = money.Floor
	}
	rounded := money.Round(target, mode, 0)
	needed := rounded.Num().Int64()
	switch {
	case !passing || rounded.Cmp(target) != 0:
		return needed
	case it.Direction == LowerBetter:
		return needed - 1
	}
	return needed + 1
}

// price works out what the distances are worth.
func (d *Distance) price(t *Terms, it *IndicatorTerms, n *Network, c *Counts, now *Result) error {
	for _, way := range []struct {
		steps int64
		worth *Payment
	}{{d.ToFirst, &d.WorthFirst}, {d.ToAll, &d.WorthAll}} {
		if way.steps == 0 {
			*way.worth = Payment{Points: new(big.Rat)}
			continue
		}
		then, err := Assess(t, it, n, c.moved(it, way.steps))
		if err != nil {
			return err
		}
		if *way.worth, err = gain(&now.Due, &then.Due); err != nil {
			return err
		}
	}
	return nil
}

// moved returns the counts with so many steps towards the better.
func (c *Counts) moved(it *IndicatorTerms, steps int64) *Counts {
	out := *c
	switch {
	case it.Kind == Binary:
		out.Answer = Yes
	case it.Direction == LowerBetter:
		out.Numerator = Count(c.Numerator.N - steps)
	default:
		out.Numerator = Count(c.Numerator.N + steps)
	}
	return &out
}

// gain is what a payment brings over another. It has no working of its own: each of the two has.
func gain(now, then *Payment) (out Payment, err error) {
	if out.Refused = then.Refused; !out.Known() {
		return out, nil
	}
	out.Points, out.Confidence = new(big.Rat).Sub(then.Points, now.Points), max(now.Confidence, then.Confidence)
	out.Amount, err = then.Amount.Sub(now.Amount)
	return out, err
}

// Effect is what other counts would change.
type Effect struct {
	Code                    string
	PointsBefore, PointsNow *big.Rat // nil where refused
	Before, After           money.Pence
	// Refused says why there is no difference to tell.
	Refused *fault.Fault
}

// WhatIf assesses a year twice, with some counts taken in place of those that stand, and returns what changes.
func WhatIf(t *Terms, n *Network, counts, instead []IndicatorCounts) (effects []Effect, before, after *Year, err error) {
	if before, err = AssessYear(t, n, counts); err != nil {
		return nil, nil, nil, err
	}
	changed := slices.DeleteFunc(slices.Clone(counts), func(c IndicatorCounts) bool {
		return slices.ContainsFunc(instead, func(i IndicatorCounts) bool { return i.Code == c.Code })
	})
	if after, err = AssessYear(t, n, append(changed, instead...)); err != nil {
		return nil, nil, nil, err
	}
	for i := range before.Results {
		was, is := &before.Results[i].Due, &after.Results[i].Due
		e := Effect{Code: before.Results[i].Code, PointsBefore: was.Points, PointsNow: is.Points, Before: was.Amount, After: is.Amount, Refused: is.Refused}
		if e.Refused == nil {
			e.Refused = was.Refused
		}
		if was.Amount != is.Amount || was.Known() != is.Known() || !samePoints(was.Points, is.Points) {
			effects = append(effects, e)
		}
	}
	return effects, before, after, nil
}

func samePoints(a, b *big.Rat) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Cmp(b) == 0
}

// Ranked is the place of a network among others by what it achieved.
type Ranked struct {
	PCN   string
	Value *big.Rat
	// Place counts from 1; equal values share one.
	Place int
}

// Rank orders networks by an indicator's value, the best first. Networks without a value are left out.
func Rank(direction Direction, values map[string]*big.Rat) []Ranked {
	var out []Ranked
	for pcn, value := range values {
		if value != nil {
			out = append(out, Ranked{PCN: pcn, Value: value})
		}
	}
	slices.SortFunc(out, func(a, b Ranked) int {
		better := b.Value.Cmp(a.Value)
		if direction == LowerBetter {
			better = -better
		}
		return cmp.Or(better, cmp.Compare(a.PCN, b.PCN))
	})
	for i := range out {
		out[i].Place = i + 1
		if i > 0 && out[i].Value.Cmp(out[i-1].Value) == 0 {
			out[i].Place = out[i-1].Place
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
