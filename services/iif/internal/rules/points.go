package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

const pointsEarned = "points earned"

const clausePoints = "IIF: a straight line from the lower threshold, which earns nothing, to the upper, which earns all"

// Share returns the part of the points that a value earns, from 0 to 1: nothing at the lower threshold or worse, all at the upper
// or better, a straight line between (Primary Care IT; examples IIF-008 to IIF-018). It refuses thresholds that are not in the
// order of the direction.
func Share(direction Direction, lower, upper, value *big.Rat) (*big.Rat, error) {
	if refused := orderly(direction, lower, upper); refused != nil {
		return nil, refused
	}
	share := new(big.Rat).Sub(value, lower)
	share.Quo(share, new(big.Rat).Sub(upper, lower)) // both signs turn round where lower is better
	if share.Sign() < 0 {
		return new(big.Rat), nil
	}
	if share.Cmp(one) > 0 {
		return new(big.Rat).Set(one), nil
	}
	return share, nil
}

// orderly holds that the upper threshold is the better one.
func orderly(direction Direction, lower, upper *big.Rat) *fault.Fault {
	order := upper.Cmp(lower)
	if (direction == HigherBetter && order > 0) || (direction == LowerBetter && order < 0) {
		return nil
	}
	return fault.New(fault.Invalid, ReasonFigureInvalid, "thresholds %s and %s are not in order where %s is better",
		lower.RatString(), upper.RatString(), direction)
}

// earn notes the points that a value earns in a working and returns them.
func (it *IndicatorTerms) earn(b *working.Builder, value working.Term, rounding Rounding) (working.Term, *fault.Fault) {
	for _, h := range []*Held{&it.Points, &it.Lower, &it.Upper} {
		if refused := h.need(); refused != nil {
			return working.Term{}, refused
		}
	}
	if refused := orderly(it.Direction, it.Lower.Value.Amount, it.Upper.Value.Amount); refused != nil {
		return working.Term{}, refused.With("figure", it.Lower.Value.ID)
	}
	unit := it.Kind.Unit()
	lower, upper := it.Lower.input(b, unit), it.Upper.input(b, unit)
	none, all := b.Input("no points", nothing, "", contract()), b.Input("all points", one, "", contract())
	reached, span := []working.Term{value, lower}, []working.Term{upper, lower}
	if it.Direction == LowerBetter {
		reached, span = []working.Term{lower, value}, []working.Term{lower, upper}
	}
	over := b.Step("better than the lower threshold by", working.Subtract, unit, clausePoints, reached...)
	between := b.Step("between the thresholds", working.Subtract, unit, clausePoints, span...)
	line := b.Step("part of the way", working.Divide, "", clausePoints, over, between)
	share := b.Step("share of the points", working.Clamp, "", clausePoints, line, none, all)
	available := it.Points.input(b, "points")
	points := b.Step(pointsEarned, working.Multiply, "points", clausePoints, available, share)
	return rounding.points(b, points, available), nil
}

// points rounds points where the policy does so before they are multiplied, to no more than are available.
func (r Rounding) points(b *working.Builder, points, available working.Term) working.Term {
	if !r.PointsFirst {
		return points
	}
	rounded := b.Round("points rounded", r.Mode, pointsPlaces, "points", clauseRoundingPoints, points)
	return b.Step("points counted", working.Minimum, "points", clauseRoundingPoints, rounded, available)
}

// given notes a share of the points that is given and not measured: an answer, or a national override.
func (it *IndicatorTerms) given(b *working.Builder, name, clause string, share Given, rounding Rounding) (working.Term, *fault.Fault) {
	if refused := it.Points.need(); refused != nil {
		return working.Term{}, refused
	}
	part := b.Input(name, share.Value, "", share.Origin)
	available := it.Points.input(b, "points")
	return rounding.points(b, b.Step(pointsEarned, working.Multiply, "points", clause, available, part), available), nil
}
