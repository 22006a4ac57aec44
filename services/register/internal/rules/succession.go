package rules

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Succession is the passing of what a commissioner owes to another on a day. No locations means all; a record without a day says that
// there was no such succession.
type Succession struct {
	Load                   int64
	Predecessor, Successor string
	SuccessorName          string
	Day                    period.Date
	Locations              []string
}

// between names the two bodies and the places of a succession.
func (s *Succession) between() string {
	return strings.Join(append([]string{s.Predecessor, s.Successor}, s.Locations...), " ")
}

// Successions returns who takes over what a commissioner owes, by day and code: the ICB that followed a CCG on 1 July 2022, and what
// was recorded, in order of load, of which a later record outranks an earlier one of the same bodies and places.
func Successions(commissioner string, recorded []Succession, observed []Place, table []Commissioner) []Succession {
	first := lastDayOfCCGs.AddDays(1)
	p := newPlaces(observed, table, first)
	var out []Succession
	put := func(s Succession) {
		out = slices.DeleteFunc(out, func(earlier Succession) bool { return earlier.between() == s.between() })
		if !s.Day.IsZero() {
			s.SuccessorName = p.name(s.Successor, s.Day)
			out = append(out, s)
		}
	}
	if p.kind(commissioner) == LocationBody && p.standing(commissioner, lastDayOfCCGs) == inForce {
		if heir := p.systemOf(commissioner); heir.code != "" {
			put(Succession{Load: heir.load, Predecessor: commissioner, Successor: heir.code, Day: first})
		}
	}
	for _, s := range recorded {
		put(s)
	}
	slices.SortFunc(out, func(a, b Succession) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.between(), b.between()))
	})
	return out
}
