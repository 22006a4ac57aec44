package rules

import (
	"math/big"
	"slices"
)

// span is some WTE over some days of one month, numbered from 1; both ends count.
type span struct {
	from, to int
	wte      *big.Rat
}

// occupancy is the WTE already counted in a month, of a person or of a role.
type occupancy []span

// room returns how much of the asked WTE a ceiling leaves, day by day: on each day the lesser of what is asked and what the
// ceiling leaves above what is counted.
func (o occupancy) room(asked []span, ceiling *big.Rat) []span {
	var admitted []span
	for _, want := range asked {
		cuts := []int{want.from, want.to + 1}
		for _, held := range o {
			for _, cut := range []int{held.from, held.to + 1} {
				if cut > want.from && cut <= want.to {
					cuts = append(cuts, cut)
				}
			}
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		for i := range len(cuts) - 1 {
			left := new(big.Rat).Set(ceiling)
			for _, held := range o {
				if held.from <= cuts[i] && held.to >= cuts[i] {
					left.Sub(left, held.wte)
				}
			}
			if left.Sign() > 0 {
				admitted = append(admitted, span{cuts[i], cuts[i+1] - 1, least(want.wte, left)})
			}
		}
	}
	return admitted
}

// wteDays is the sum over the days of the WTE of each.
func wteDays(spans []span) *big.Rat {
	sum := new(big.Rat)
	for _, s := range spans {
		sum.Add(sum, new(big.Rat).Mul(s.wte, whole(s.to-s.from+1)))
	}
	return sum
}
