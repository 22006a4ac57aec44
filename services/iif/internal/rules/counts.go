package rules

import (
	"cmp"
	"fmt"
	"math"
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

// plus adds cells: a suppressed part hides the sum, and an absent one adds nothing. It refuses a sum beyond a count.
func (c Cell) plus(d Cell) (Cell, *fault.Fault) {
	switch {
	case c.State == Suppressed || d.State == Suppressed:
		return Cell{State: Suppressed}, nil
	case c.State == Absent:
		return d, nil
	case d.State == Absent:
		return c, nil
	case c.N > math.MaxInt64-d.N:
		return c, fault.New(fault.Invalid, ReasonCountMalformed, "a sum of counts is beyond a count")
	}
	return Count(c.N + d.N), nil
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
	Origin                                 working.Origin
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

// Member is a practice with its network on the day that counts.
type Member struct{ Practice, PCN string }

// PracticeCounts are the counts of one indicator of one practice.
type PracticeCounts struct {
	Practice string
	Counts   Counts
}

// NetworkCounts are the counts of a network, summed over its practices.
type NetworkCounts struct {
	PCN    string
	Counts Counts
	// Practices are the members, in order of code, with or without counts.
	Practices []string
	// Incomplete are members without a count that the feed should have brought; no count of the network is then stated, so that
	// none covers other practices than the rest.
	Incomplete []string
}

// SumPractices sums the counts of an indicator by network, over all its members; a practice percentage earns nothing of its own.
// Each practice is brought to a numerator and a denominator first, because one may state its register and another what is left of
// it; register and fields are kept where every member states its register, or none does. A suppressed count hides the sum. A
// member that a central feed has no rows for counts as nothing, and one that the extract has none for makes the network
// incomplete. Practices outside any network are returned by code. It fails on a practice that stands twice, and on counts of one
// that contradict each other. Questions of yes or no are the network's own and are not summed.
func SumPractices(i *Indicator, members []Member, rows []PracticeCounts, origin working.Origin) (sums []NetworkCounts, dropped []string, err error) {
	given := make(map[string]*Counts, len(rows))
	for n := range rows {
		if given[rows[n].Practice] != nil {
			return nil, nil, practiceTwice(i, rows[n].Practice)
		}
		given[rows[n].Practice] = &rows[n].Counts
	}
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.PCN, b.PCN), cmp.Compare(a.Practice, b.Practice))
	})
	seen := make(map[string]bool, len(members))
	for n := 0; n < len(members); {
		of := NetworkCounts{PCN: members[n].PCN}
		var parts []Counts
		for ; n < len(members) && members[n].PCN == of.PCN; n++ {
			practice := members[n].Practice
			if seen[practice] {
				return nil, nil, practiceTwice(i, practice)
			}
			seen[practice] = true
			part, refused := i.reduce(given[practice])
			if refused != nil {
				return nil, nil, fmt.Errorf("practice %s: %w", money.Clip(practice), refused)
			}
			delete(given, practice)
			of.Practices, parts = append(of.Practices, practice), append(parts, part)
			if i.lacks(&part) {
				of.Incomplete = append(of.Incomplete, practice)
			}
		}
		if len(of.Incomplete) == 0 {
			var refused *fault.Fault
			if of.Counts, refused = sum(parts); refused != nil {
				return nil, nil, fmt.Errorf("network %s: %w", money.Clip(of.PCN), refused)
			}
		}
		of.Counts.Origin = origin
		sums = append(sums, of)
	}
	return sums, sortedKeys(given), nil
}

func practiceTwice(i *Indicator, practice string) *fault.Fault {
	return fault.New(fault.Invalid, ReasonPracticeTwice, "practice %s stands twice for %s", money.Clip(practice), i.Code)
}

// reduce checks the counts of a practice, nil where it has none, and works out the denominator from the register where that is given.
func (i *Indicator) reduce(given *Counts) (Counts, *fault.Fault) {
	if given == nil {
		return Counts{}, nil
	}
	for _, c := range given.cells() {
		if c.cell.State == Stated && c.cell.N < 0 {
			return Counts{}, fault.New(fault.Invalid, ReasonCountMalformed, "the %s of %s is negative", c.name, i.Code)
		}
	}
	if refused := i.fields(given); refused != nil {
		return Counts{}, refused
	}
	out := Counts{
		Numerator: given.Numerator, Denominator: given.Denominator, Register: given.Register,
		Exclusions: given.Exclusions, Adjustments: given.Adjustments,
	}
	if i.Kind == Change || i.Kind == Standardised {
		out.BaselineNumerator, out.BaselineDenominator = given.BaselineNumerator, given.BaselineDenominator
	}
	if out.Register.State == Absent {
		return out, nil
	}
	left := out.left()
	both := left.State == Stated && out.Denominator.State == Stated
	short := i.Kind == Percentage && left.State == Stated && out.Numerator.State == Stated && out.Numerator.N > left.N
	if (left.State == Stated && left.N < 0) || (both && left.N != out.Denominator.N) || short {
		return out, fault.New(fault.Refused, ReasonCountsDisagree, "register, exclusions and adjustments of %s leave a denominator of %d", i.Code, left.N).
			With("numerator", out.Numerator.String()).With("denominator", out.Denominator.String())
	}
	out.Denominator = left
	return out, nil
}

// left is what exclusions and adjustments leave of the register: hidden where a part is, and absent where a field has no count.
func (c *Counts) left() Cell {
	left := c.Register
	for _, f := range slices.Concat(c.Exclusions, c.Adjustments) {
		switch {
		case left.State == Suppressed || f.Cell.State == Suppressed:
			left = Cell{State: Suppressed}
		case left.State == Absent || f.Cell.State == Absent:
			left = Cell{}
		case left.N < 0: // more left than there were; no need to go on, where it could wrap
		default:
			left.N -= f.Cell.N
		}
	}
	return left
}

// lacks tells whether a count did not come that the feed should have brought.
func (i *Indicator) lacks(c *Counts) bool {
	lacks := func(numerator, denominator Cell) bool {
		return (numerator.State == Absent && !i.NumeratorFrom.absentIsNothing()) || (denominator.State == Absent && !i.DenominatorFrom.absentIsNothing())
	}
	if lacks(c.Numerator, c.Denominator) {
		return true
	}
	return (i.Kind == Change || i.Kind == Standardised) && lacks(c.BaselineNumerator, c.BaselineDenominator)
}

// sum adds the counts of practices that were reduced.
func sum(parts []Counts) (Counts, *fault.Fault) {
	var out Counts
	registers := 0
	for n := range parts {
		if parts[n].Register.State != Absent {
			registers++
		}
	}
	alike := registers == 0 || registers == len(parts)
	for n := range parts {
		part := parts[n]
		if !alike {
			part.Register, part.Exclusions, part.Adjustments = Cell{}, nil, nil
		}
		if refused := out.plus(&part); refused != nil {
			return out, refused
		}
	}
	return out, nil
}

func (c *Counts) plus(d *Counts) *fault.Fault {
	for _, pair := range []struct {
		sum  *Cell
		part Cell
	}{
		{&c.Numerator, d.Numerator},
		{&c.Denominator, d.Denominator},
		{&c.Register, d.Register},
		{&c.BaselineNumerator, d.BaselineNumerator},
		{&c.BaselineDenominator, d.BaselineDenominator},
	} {
		var refused *fault.Fault
		if *pair.sum, refused = pair.sum.plus(pair.part); refused != nil {
			return refused
		}
	}
	var refused *fault.Fault
	if c.Exclusions, refused = plusFields(c.Exclusions, d.Exclusions); refused != nil {
		return refused
	}
	c.Adjustments, refused = plusFields(c.Adjustments, d.Adjustments)
	return refused
}

func plusFields(sum, part []FieldCount) ([]FieldCount, *fault.Fault) {
	for _, f := range part {
		i, found := slices.BinarySearchFunc(sum, f.Field, func(have FieldCount, field string) int { return cmp.Compare(have.Field, field) })
		if !found {
			sum = slices.Insert(sum, i, f)
			continue
		}
		var refused *fault.Fault
		if sum[i].Cell, refused = sum[i].Cell.plus(f.Cell); refused != nil {
			return sum, refused
		}
	}
	return sum, nil
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
