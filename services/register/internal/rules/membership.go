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
	// starts is the first day of a dated or recorded membership; zero where a mapping observed it.
	starts period.Date
	// other is a second PCN on the day, whose membership started earlier.
	other string
	// disputes say in words which sources disagree, and which was taken.
	disputes []string
}

// members settles the PCN of every practice on the day: dated relationships or the published mapping, whichever the plan says,
// and what was recorded by calls, unless a dated relationship started later.
func members(facts Facts, plan Plan, day period.Date) map[string]membership {
	published, edition := facts.Mappings[plan.Published], facts.Editions[plan.Edition]
	byPractice := make(map[string][]Relationship)
	for _, r := range edition.Rows {
		byPractice[r.Practice] = append(byPractice[r.Practice], r)
	}
	var out map[string]membership
	if plan.EditionSpeaks {
		out = datedMembers(edition, byPractice, published, day)
	} else {
		out = publishedMembers(edition, byPractice, published, day)
	}
	for practice, recorded := range recordedMembers(facts.Recorded, day) {
		out[practice] = recorded.over(out[practice], speaking(plan, published, edition))
	}
	return out
}

// speaking returns the load that tells the members without what was recorded.
func speaking(plan Plan, published Mapping, edition Edition) Load {
	if plan.EditionSpeaks {
		return edition.Load
	}
	return published.Load
}

// publishedMembers reads the members of a day off the published mapping. A practice that an older edition of dated
// relationships puts into another PCN on the day is disputed.
func publishedMembers(edition Edition, byPractice map[string][]Relationship, published Mapping, day period.Date) map[string]membership {
	out := make(map[string]membership, len(published.Rows))
	for _, row := range published.Rows {
		m := membership{pcn: row.PCN, load: published.Load.Position}
		if dated := inForceOn(byPractice[row.Practice], day); dated.pcn != "" && dated.pcn != row.PCN {
			m.disputes = []string{fmt.Sprintf("dated relationships of %s show %s, the published mapping of %s shows %s; the mapping was taken",
				edition.Load.ExtractDate, dated.pcn, published.Load.ExtractDate, orNone(row.PCN))}
		}
		out[row.Practice] = m
	}
	return out
}

// datedMembers reads the members of a day off dated relationships. Practices of the published mapping that no relationship
// puts into a PCN are in none. A practice whose PCN differs from the mapping's, on its day and on the day asked for, is
// disputed.
func datedMembers(edition Edition, byPractice map[string][]Relationship, published Mapping, day period.Date) map[string]membership {
	out := make(map[string]membership, len(byPractice))
	for practice, rows := range byPractice {
		if m := inForceOn(rows, day); m.pcn != "" {
			m.load = edition.Load.Position
			out[practice] = m
		}
	}
	for _, row := range published.Rows {
		m, ok := out[row.Practice]
		if !ok {
			m = membership{load: edition.Load.Position}
		}
		if m.pcn != row.PCN && inForceOn(byPractice[row.Practice], published.Load.ExtractDate).pcn != row.PCN {
			m.disputes = []string{fmt.Sprintf("dated relationships show %s, the published mapping shows %s; the dated one was taken",
				orNone(m.pcn), orNone(row.PCN))}
		}
		out[row.Practice] = m
	}
	return out
}

// over settles a recorded membership against what a publication shows: the later start wins, of one start the recorded one,
// which also outranks a publication without starts. They disagree where the publication came after the recorded start.
func (m membership) over(shown membership, publication Load) membership {
	if shown.pcn == m.pcn || shown.load == 0 {
		return m
	}
	if shown.starts.After(m.starts) {
		shown.disputes = append(shown.disputes, fmt.Sprintf("dated relationships show %s from %s, a call recorded %s from %s; the later start was taken",
			orNone(shown.pcn), shown.starts, orNone(m.pcn), m.starts))
		return shown
	}
	if !publication.ExtractDate.Before(m.starts) {
		m.disputes = []string{fmt.Sprintf("a call recorded %s from %s, the publication of %s shows %s; the recorded one was taken",
			orNone(m.pcn), m.starts, publication.ExtractDate, orNone(shown.pcn))}
	}
	return m
}

// inForceOn returns the membership in force on a day and, where two PCNs claim the practice, the other one. End dates are
// inclusive and the later start wins; of two that start together the one that lasts longer.
func inForceOn(rows []Relationship, day period.Date) membership {
	var current []Relationship
	for _, r := range rows {
		if isCurrent(day, r.Starts, r.Ends) {
			current = append(current, r)
		}
	}
	slices.SortFunc(current, func(a, b Relationship) int {
		return cmp.Or(b.Starts.Compare(a.Starts), compareEnds(b.Ends, a.Ends), cmp.Compare(a.PCN, b.PCN))
	})
	var m membership
	for _, r := range current {
		if m.pcn == "" {
			m.pcn, m.starts = r.PCN, r.Starts
		} else if r.PCN != m.pcn && m.other == "" {
			m.other = r.PCN
		}
	}
	return m
}

// isCurrent tells whether a day lies in a period; its end is inclusive, zero means open.
func isCurrent(day, starts, ends period.Date) bool {
	return !day.Before(starts) && (ends.IsZero() || !day.After(ends))
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

// recordedMembers returns what calls recorded and is in force on the day: of several the latest start, of one start the latest
// recording.
func recordedMembers(recorded []RecordedMembership, day period.Date) map[string]membership {
	out := make(map[string]membership)
	for _, r := range recorded {
		if held, ok := out[r.Practice]; isCurrent(day, r.Starts, r.Ends) && (!ok || !held.starts.After(r.Starts)) {
			out[r.Practice] = membership{pcn: r.PCN, load: r.Load, starts: r.Starts}
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
		for _, words := range m.disputes {
			n.find(Finding{Kind: SourcesDisagree, PCN: m.pcn, Practice: practice, Detail: "practice " + practice + ": " + words})
		}
	}
}

func orNone(pcn string) string {
	if pcn == "" {
		return "no PCN"
	}
	return pcn
}
