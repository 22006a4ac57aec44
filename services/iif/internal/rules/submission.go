package rules

import "github.com/pcnfunding/pcnfunding/pkg/fault"

// CellKey names one cell of an extract.
type CellKey struct {
	Organisation    string
	AchievementDate string
	Code            string
	Field           string
}

// Submission is one row of an extract.
type Submission struct {
	CellKey
	Cell Cell
	// Last is the extract's own mark of the submission that counts.
	Last bool
}

// LastSubmissions returns the cells that count: only rows marked as last do (example IIF-036). A cell with two such rows of
// different counts is refused; the same count twice is one.
func LastSubmissions(rows []Submission) (map[CellKey]Cell, error) {
	out := make(map[CellKey]Cell)
	for _, row := range rows {
		if !row.Last {
			continue
		}
		if held, twice := out[row.CellKey]; twice && held != row.Cell {
			return nil, fault.New(fault.Invalid, ReasonSubmissionTwice, "%s of %s for %s on %s has two last submissions",
				row.Field, row.Code, row.Organisation, row.AchievementDate)
		}
		out[row.CellKey] = row.Cell
	}
	return out, nil
}

// Publish hides counts as the monthly publication does (example IIF-037): with one adjustment, a denominator under 2 and an
// adjustment above nothing hide both; with two or more, a denominator of nothing and exactly one adjustment above nothing hide
// all adjustments. Exclusions are left out of it.
func Publish(c *Counts) Counts {
	out := Counts{Numerator: c.Numerator, Denominator: c.Denominator, Origin: c.Origin}
	above := 0
	for _, f := range c.Adjustments {
		out.Adjustments = append(out.Adjustments, f)
		if f.Cell.N > 0 {
			above++
		}
	}
	switch n := len(out.Adjustments); {
	case n == 1 && c.Denominator.N < 2 && above == 1:
		out.Denominator = Cell{State: Suppressed}
	case n >= 2 && c.Denominator.N == 0 && above == 1:
	default:
		return out
	}
	for i := range out.Adjustments {
		out.Adjustments[i].Cell = Cell{State: Suppressed}
	}
	return out
}

// PublishHospital hides a count as the annual publication of hospital measures does (example IIF-038): 1 to 7 are hidden, nothing
// stays nothing, and others go to the nearest 5.
func PublishHospital(n int64) Cell {
	switch {
	case n == 0:
		return Count(0)
	case n <= 7:
		return Cell{State: Suppressed}
	}
	return Count((n + 2) / 5 * 5)
}
