package rules

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// CellState tells a count from what stands in its place.
type CellState int

// The states.
const (
	// Absent is a count that did not come.
	Absent CellState = iota
	// Stated is a count.
	Stated
	// Suppressed is a count that a publication hides. It never pays.
	Suppressed
)

// Cell is one count of patients, or of whatever an indicator counts.
type Cell struct {
	State CellState
	N     int64
}

// Count is a stated cell.
func Count(n int64) Cell { return Cell{Stated, n} }

// hidden is how publications write a suppressed count.
const hidden = "*"

// ParseCell reads a cell of a file: a whole number in plain digits, * for a suppressed count, or nothing for an absent one.
func ParseCell(text string) (Cell, error) {
	switch text = strings.TrimSpace(text); text {
	case "":
		return Cell{}, nil
	case hidden:
		return Cell{State: Suppressed}, nil
	}
	n, err := money.ParseWhole(text)
	if err != nil {
		return Cell{}, fault.New(fault.Invalid, ReasonCountMalformed, "%q is not a count: a whole number, or * for a suppressed one", money.Clip(text))
	}
	return Count(n), nil
}

// String writes what ParseCell reads.
func (c Cell) String() string {
	switch c.State {
	case Suppressed:
		return hidden
	case Stated:
		return whole(c.N).Num().String()
	case Absent:
	}
	return ""
}

// plus adds cells: a suppressed part hides the sum, and an absent one adds nothing.
func (c Cell) plus(d Cell) Cell {
	switch {
	case c.State == Suppressed || d.State == Suppressed:
		return Cell{State: Suppressed}
	case c.State == Absent:
		return d
	case d.State == Absent:
		return c
	}
	return Count(c.N + d.N)
}

// FieldCount is the count of one field of the extract.
type FieldCount struct {
	Field string
	Cell  Cell
}

// Answer is what a network says to a question of yes or no.
type Answer int

// The answers; the zero value is no answer, which counts as no.
const (
	Unanswered Answer = iota
	Yes
	No
)

// Counts are the counts of one indicator, of a network or of a practice.
type Counts struct {
	Numerator Cell
	// Denominator is after exclusions and adjustments, as the extract holds it. It may be left out where Register is given.
	Denominator Cell
	// Register is everyone before exclusions.
	Register Cell
	// Exclusions are patients who are not of the target group, each counted once.
	Exclusions []FieldCount
	// Adjustments are patients who did not meet the target and have a personalised care adjustment, each counted once.
	Adjustments []FieldCount
	// BaselineNumerator and BaselineDenominator serve changes.
	BaselineNumerator, BaselineDenominator Cell
	Answer                                 Answer
	// Prevalence is stated in place of the adjustment that would be worked out; only quotations do.
	Prevalence Given
	Origin     working.Origin
}

// cells returns the counts that are numbers, each with its name.
func (c *Counts) cells() []namedCell {
	out := []namedCell{
		{"numerator", &c.Numerator},
		{"denominator", &c.Denominator},
		{"register", &c.Register},
		{"baseline numerator", &c.BaselineNumerator},
		{"baseline denominator", &c.BaselineDenominator},
	}
	for i := range c.Exclusions {
		out = append(out, namedCell{"exclusion " + c.Exclusions[i].Field, &c.Exclusions[i].Cell})
	}
	for i := range c.Adjustments {
		out = append(out, namedCell{"adjustment " + c.Adjustments[i].Field, &c.Adjustments[i].Cell})
	}
	return out
}

type namedCell struct {
	name string
	cell *Cell
}

// Patient is one patient of a register, as a rule sees one.
type Patient struct {
	// Excluded names the exclusion that applies, and Adjusted the personalised care adjustments on record.
	Excluded string
	Met      bool
	Adjusted []string
}

// CountPatients counts a register in the order of the rules: exclusions first, then the target, then adjustments. Who meets the
// target counts even with an adjustment on record; who does not leaves the denominator once, under the first of several
// (examples IIF-001 and IIF-024).
func CountPatients(patients []Patient) Counts {
	exclusions, adjustments := make(map[string]int64), make(map[string]int64)
	var numerator, denominator int64
	for _, p := range patients {
		switch {
		case p.Excluded != "":
			exclusions[p.Excluded]++
		case p.Met:
			numerator++
			denominator++
		case len(p.Adjusted) > 0:
			adjustments[p.Adjusted[0]]++
		default:
			denominator++
		}
	}
	return Counts{
		Numerator: Count(numerator), Denominator: Count(denominator), Register: Count(int64(len(patients))),
		Exclusions: fieldCounts(exclusions), Adjustments: fieldCounts(adjustments),
	}
}

func fieldCounts(byField map[string]int64) []FieldCount {
	out := make([]FieldCount, 0, len(byField))
	for field, n := range byField {
		out = append(out, FieldCount{field, Count(n)})
	}
	slices.SortFunc(out, func(a, b FieldCount) int { return cmp.Compare(a.Field, b.Field) })
	return out
}

// PracticeCounts are the counts of one indicator of one practice.
type PracticeCounts struct {
	Practice string
	// PCN is the network of the practice on the day that counts; empty for a practice outside any, which is dropped.
	PCN    string
	Counts Counts
}

// NetworkCounts are the counts of a network, summed over its practices.
type NetworkCounts struct {
	PCN    string
	Counts Counts
	// Practices are those that were summed, in order of code.
	Practices []string
	// Incomplete are practices without a count that the feed should have brought; the sum then stays absent.
	Incomplete []string
}

// SumPractices sums the counts of an indicator by network; a practice percentage earns nothing of its own. A suppressed count
// hides the sum. A practice that a central feed has no rows for counts as nothing, and one that the extract has none for makes the
// network incomplete. Practices outside any network are returned by code. Questions of yes or no are the network's own and are not
// summed.
func SumPractices(i *Indicator, rows []PracticeCounts, origin working.Origin) (sums []NetworkCounts, dropped []string, err error) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b PracticeCounts) int {
		return cmp.Or(cmp.Compare(a.PCN, b.PCN), cmp.Compare(a.Practice, b.Practice))
	})
	seen := make(map[string]bool, len(rows))
	for n := range rows {
		row := &rows[n]
		if seen[row.Practice] {
			return nil, nil, fault.New(fault.Invalid, ReasonPracticeTwice, "practice %s has counts of %s twice", money.Clip(row.Practice), i.Code)
		}
		seen[row.Practice] = true
		if row.PCN == "" {
			dropped = append(dropped, row.Practice)
			continue
		}
		if len(sums) == 0 || sums[len(sums)-1].PCN != row.PCN {
			sums = append(sums, NetworkCounts{PCN: row.PCN, Counts: Counts{Origin: origin}})
		}
		sums[len(sums)-1].add(i, row)
	}
	for n := range sums {
		if len(sums[n].Incomplete) > 0 {
			sums[n].Counts.Numerator, sums[n].Counts.Denominator = Cell{}, Cell{}
		}
	}
	return sums, dropped, nil
}

func (n *NetworkCounts) add(i *Indicator, row *PracticeCounts) {
	n.Practices = append(n.Practices, row.Practice)
	c, d := &n.Counts, &row.Counts
	lacks := func(cell Cell, feed Feed) bool { return cell.State == Absent && !feed.absentIsNothing() }
	if lacks(d.Numerator, i.NumeratorFrom) || (d.Register.State == Absent && lacks(d.Denominator, i.DenominatorFrom)) {
		n.Incomplete = append(n.Incomplete, row.Practice)
	}
	c.Numerator, c.Denominator = c.Numerator.plus(d.Numerator), c.Denominator.plus(d.Denominator)
	c.Register = c.Register.plus(d.Register)
	c.BaselineNumerator, c.BaselineDenominator = c.BaselineNumerator.plus(d.BaselineNumerator), c.BaselineDenominator.plus(d.BaselineDenominator)
	c.Exclusions, c.Adjustments = plusFields(c.Exclusions, d.Exclusions), plusFields(c.Adjustments, d.Adjustments)
}

func plusFields(sum, part []FieldCount) []FieldCount {
	for _, f := range part {
		i, found := slices.BinarySearchFunc(sum, f.Field, func(have FieldCount, field string) int { return cmp.Compare(have.Field, field) })
		if !found {
			sum = slices.Insert(sum, i, f)
			continue
		}
		sum[i].Cell = sum[i].Cell.plus(f.Cell)
	}
	return sum
}

// CountDifference is a count that two feeds give differently.
type CountDifference struct {
	Name           string
	Summed, Stated Cell
}

// CompareCounts sets the sum over practices against the row of the network, count by count; only what both state is compared.
func CompareCounts(summed, stated *Counts) []CountDifference {
	var out []CountDifference
	given := make(map[string]Cell)
	for _, c := range stated.cells() {
		given[c.name] = *c.cell
	}
	for _, c := range summed.cells() {
		if other, both := given[c.name]; both && c.cell.State == Stated && other.State == Stated && other.N != c.cell.N {
			out = append(out, CountDifference{c.name, *c.cell, other})
		}
	}
	return out
}
