package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// membership is where one practice belongs on the day. PCN is empty for a practice in none.
type membership struct {
	pcn  string
	load int64
	// other is a second PCN on the day, whose membership started earlier.
	other string
	// disputed is the PCN a published mapping shows instead; noPCN where it shows none.
	disputed   string
	isDisputed bool
}

// members settles the PCN of every practice on the day: dated relationships or the published mapping, whichever the plan says,
// and over both what was recorded by calls.
func members(facts Facts, plan Plan, day period.Date) map[string]membership {
	published := facts.Mappings[plan.Published]
	out := make(map[string]membership)
	for _, row := range published.Rows {
		out[row.Practice] = membership{pcn: row.PCN, load: published.Load.Position}
	}
	if plan.EditionSpeaks {
		out = datedMembers(facts.Editions[plan.Edition], published, day)
	}
	for practice, recorded := range recordedMembers(facts.Recorded, day) {
		out[practice] = recorded
	}
	return out
}

// datedMembers reads the members of a day off dated relationships. Practices of the published mapping that no relationship
// puts into a PCN are in none. A practice whose PCN differs from the mapping's, on its day and on the day asked for, is
// disputed.
func datedMembers(edition Edition, published Mapping, day period.Date) map[string]membership {
	byPractice := make(map[string][]Relationship)
	for _, r := range edition.Rows {
		byPractice[r.Practice] = append(byPractice[r.Practice], r)
	}
	out := make(map[string]membership, len(byPractice))
	for practice, rows := range byPractice {
		if pcn, other := inForceOn(rows, day); pcn != "" {
			out[practice] = membership{pcn: pcn, other: other, load: edition.Load.Position}
		}
	}
	for _, row := range published.Rows {
		m, ok := out[row.Practice]
		if !ok {
			m = membership{load: edition.Load.Position}
		}
		if m.pcn != row.PCN {
			then, _ := inForceOn(byPractice[row.Practice], published.Load.ExtractDate)
			m.isDisputed = then != row.PCN
			m.disputed = row.PCN
		}
		out[row.Practice] = m
	}
	return out
}

// inForceOn returns the PCN of the relationship in force on a day and, where two PCNs claim the practice, the other one. End
// dates are inclusive and the later start wins; of two that start together the one that lasts longer.
func inForceOn(rows []Relationship, day period.Date) (pcn, other string) {
	var current []Relationship
	for _, r := range rows {
		if !day.Before(r.Starts) && (r.Ends.IsZero() || !day.After(r.Ends)) {
			current = append(current, r)
		}
	}
	slices.SortFunc(current, func(a, b Relationship) int {
		return cmp.Or(b.Starts.Compare(a.Starts), compareEnds(b.Ends, a.Ends), cmp.Compare(a.PCN, b.PCN))
	})
	for _, r := range current {
		if pcn == "" {
			pcn = r.PCN
		} else if r.PCN != pcn && other == "" {
			other = r.PCN
		}
	}
	return pcn, other
}

// compareEnds orders ends, an open end last.
func compareEnds(a, b period.Date) int {
	switch {
	case a == b:
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	default:
		return a.Compare(b)
	}
}

// recordedMembers returns what calls recorded for the day: of several the latest start, of one start the latest recording.
func recordedMembers(recorded []RecordedMembership, day period.Date) map[string]membership {
	latest := make(map[string]RecordedMembership)
	for _, r := range recorded {
		if held, ok := latest[r.Practice]; ok && held.Starts.After(r.Starts) {
			continue
		}
		if !day.Before(r.Starts) {
			latest[r.Practice] = r
		}
	}
	out := make(map[string]membership)
	for practice, r := range latest {
		if r.Ends.IsZero() || !day.After(r.Ends) {
			out[practice] = membership{pcn: r.PCN, load: r.Load}
		}
	}
	return out
}

// membershipFindings reports practices in two PCNs and sources that disagree.
func (n *National) membershipFindings(all map[string]membership) {
	for _, practice := range slices.Sorted(maps.Keys(all)) {
		m := all[practice]
		if m.other != "" {
			n.find(Finding{
				Kind: PracticeInTwoPCNs, PCN: m.pcn, Practice: practice,
				Detail: fmt.Sprintf("practice %s has two PCNs on %s, %s and %s; the later start, %s, was taken", practice, n.Day, m.pcn, m.other, m.pcn),
			})
		}
		if m.isDisputed {
			n.find(Finding{
				Kind: SourcesDisagree, PCN: m.pcn, Practice: practice,
				Detail: fmt.Sprintf("practice %s: dated relationships show %s, the published mapping shows %s; the dated one was taken",
					practice, orNone(m.pcn), orNone(m.disputed)),
			})
		}
	}
}

func orNone(pcn string) string {
	if pcn == "" {
		return "no PCN"
	}
	return pcn
}
