package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Engagement is one person's post with one network.
type Engagement struct {
	ID string
	// Person is a keyed pseudonym, the same for one person in every network.
	Person   string
	PCN      string
	Role     string
	Employer string
	WTE      *big.Rat
	// Start is the first day and End the last; End is zero while it lasts.
	Start, End period.Date
}

// OverlapKind says what is odd about engagements of one person at one time.
type OverlapKind string

// The kinds.
const (
	// Duplicate is the same role and employer twice in one network: probably one engagement entered twice.
	Duplicate OverlapKind = "DUPLICATE"
	// Concurrent is more than one engagement at a time, as a person in two networks has.
	Concurrent OverlapKind = "CONCURRENT"
	// OverFullTime is more WTE at a time than the ceiling.
	OverFullTime OverlapKind = "OVER_FULL_TIME"
)

// Overlap is a stretch of days in which one person has several engagements, or more WTE than one person has.
type Overlap struct {
	Kind OverlapKind
	// Engagements are in order of their ids, and PCNs in order without repetition.
	Engagements []string
	PCNs        []string
	// From and To are the days; To is zero where the stretch has no end yet.
	From, To period.Date
	WTE      *big.Rat // of all of them together
}

// Overlaps finds, person by person, every stretch of days with several engagements or with more WTE than the ceiling. The
// result is ordered by first day, kind and engagements, whatever the order of the engagements. Who may see a match between
// networks is for the caller to decide.
func Overlaps(engagements []Engagement, ceiling *big.Rat) []Overlap {
	byPerson := make(map[string][]*Engagement)
	for i := range engagements {
		e := &engagements[i]
		byPerson[e.Person] = append(byPerson[e.Person], e)
	}
	var out []Overlap
	for _, of := range byPerson {
		slices.SortFunc(of, func(a, b *Engagement) int { return cmp.Compare(a.ID, b.ID) })
		out = append(out, overlapsOf(of, ceiling)...)
	}
	slices.SortFunc(out, func(a, b Overlap) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Engagements, b.Engagements))
	})
	return out
}

// overlapsOf cuts the time of one person where an engagement starts or has ended, and looks at each stretch.
func overlapsOf(of []*Engagement, ceiling *big.Rat) []Overlap {
	var cuts []period.Date
	for _, e := range of {
		cuts = append(cuts, e.Start)
		if !e.End.IsZero() {
			cuts = append(cuts, e.End.AddDays(1))
		}
	}
	slices.SortFunc(cuts, period.Date.Compare)
	cuts = slices.Compact(cuts)
	var out []Overlap
	for i, from := range cuts {
		var running []*Engagement
		for _, e := range of {
			if !e.Start.After(from) && (e.End.IsZero() || !e.End.Before(from)) {
				running = append(running, e)
			}
		}
		if len(running) == 0 {
			continue
		}
		var to period.Date
		if i+1 < len(cuts) {
			to = cuts[i+1].AddDays(-1)
		}
		out = append(out, stretch(running, from, to, ceiling)...)
	}
	return out
}

func stretch(running []*Engagement, from, to period.Date, ceiling *big.Rat) []Overlap {
	found := Overlap{From: from, To: to, WTE: new(big.Rat)}
	duplicate := false
	type post struct{ pcn, role, employer string }
	seen := make(map[post]bool, len(running))
	for _, e := range running {
		found.Engagements = append(found.Engagements, e.ID)
		found.PCNs = append(found.PCNs, e.PCN)
		found.WTE.Add(found.WTE, e.WTE)
		key := post{e.PCN, e.Role, e.Employer}
		duplicate = duplicate || seen[key]
		seen[key] = true
	}
	slices.Sort(found.PCNs)
	found.PCNs = slices.Compact(found.PCNs)
	var out []Overlap
	add := func(kind OverlapKind) {
		one := found
		one.Kind = kind
		out = append(out, one)
	}
	switch {
	case duplicate:
		add(Duplicate)
	case len(running) > 1:
		add(Concurrent)
	}
	if found.WTE.Cmp(ceiling) > 0 {
		add(OverFullTime)
	}
	return out
}
