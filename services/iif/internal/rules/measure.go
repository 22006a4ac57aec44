package rules

import (
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Measure is what was achieved.
type Measure struct {
	// Value is in the unit of the kind; nil where there is none: a question of yes or no, or a denominator of nothing.
	Value *big.Rat
	// Numerator and Denominator are nil for a question of yes or no.
	Numerator, Denominator *big.Rat
	// Unadjusted is the percentage with the adjusted patients left in; nil where it is the same or not known.
	Unadjusted *big.Rat
	Answer     Answer
}

const (
	clauseExclusions  = "IIF: exclusions first, then the target, then personalised care adjustments"
	clauseAchievement = "IIF: achievement on the sums over practices"
	unitPatients      = "patients"
)

// measuring builds the working of a measure.
type measuring struct {
	*working.Builder
	it    *IndicatorTerms
	c     *Counts
	out   Measure
	notes []string
}

// measure works out the achievement. It returns notes for the commissioner, and refuses counts that are missing, suppressed or
// contradict each other. A denominator of nothing is no refusal: it has no percentage and earns nothing.
func (m *measuring) measure() (working.Term, *fault.Fault) {
	if m.it.Kind == Undefined {
		return working.Term{}, missing(ReasonIndicatorUndefined, "definition of "+m.it.Code+" in "+m.it.VersionID, "enter the indicator with its source")
	}
	if m.it.Kind == Binary {
		m.out.Answer = m.c.Answer
		if m.c.Answer == Unanswered {
			m.note(ReasonNotAnswered)
		}
		return working.Term{}, nil
	}
	if refused := m.it.fields(m.c); refused != nil {
		return working.Term{}, refused
	}
	numerator, denominator, refused := m.counts()
	if refused != nil {
		return working.Term{}, refused
	}
	m.out.Numerator, m.out.Denominator = numerator.Value, denominator.Value
	now, exists := m.quotient("", numerator, denominator)
	if !exists {
		m.note(ReasonNoPercentage)
		return working.Term{}, nil
	}
	if m.it.Kind == Percentage && now.Value.Cmp(hundred) > 0 {
		m.note(ReasonAboveWhole)
	}
	if m.it.Kind == Change || m.it.Kind == Standardised {
		return m.change(now)
	}
	m.out.Value = now.Value
	return now, nil
}

func (m *measuring) note(reason string) { m.notes = append(m.notes, reason) }

// change takes the baseline off.
func (m *measuring) change(now working.Term) (working.Term, *fault.Fault) {
	numerator, refused := m.cell("baseline numerator", m.c.BaselineNumerator, m.it.NumeratorFrom)
	if refused != nil {
		return now, refused
	}
	denominator, refused := m.cell("baseline denominator", m.c.BaselineDenominator, m.it.DenominatorFrom)
	if refused != nil {
		return now, refused
	}
	before, exists := m.quotient("baseline ", numerator, denominator)
	if !exists {
		m.note(ReasonNoPercentage)
		return working.Term{}, nil
	}
	change := m.Step("change against the baseline", working.Subtract, m.it.Kind.Unit(), clauseAchievement, now, before)
	m.out.Value = change.Value
	return change, nil
}

// quotient divides; it reports false where the denominator is nothing, so that 0 of 0 never reads as perfect.
func (m *measuring) quotient(prefix string, numerator, denominator working.Term) (working.Term, bool) {
	if denominator.Value.Sign() == 0 {
		return working.Term{}, false
	}
	if m.it.Kind == Ratio || m.it.Kind == Standardised {
		return m.Step(prefix+"achievement", working.Divide, "", clauseAchievement, numerator, denominator), true
	}
	if prefix == "" {
		m.Input("hundred", hundred, "percent", contract())
	}
	times := m.Step(prefix+"numerator × 100", working.Multiply, "percent", clauseAchievement, numerator, working.Term{Name: "hundred", Value: hundred})
	return m.Step(prefix+"achievement", working.Divide, "percent", clauseAchievement, times, denominator), true
}

// cell notes one count, or refuses it by name.
func (m *measuring) cell(name string, cell Cell, feed Feed) (working.Term, *fault.Fault) {
	switch {
	case cell.State == Suppressed:
		return working.Term{}, fault.New(fault.Refused, ReasonCountSuppressed, "the %s of %s is suppressed, and hidden counts never pay", name, m.it.Code).
			With(metaMissing, name+" of "+m.it.Code).With(metaRemedy, "load the extract")
	case cell.State == Absent && feed == Typed:
		m.note(ReasonBedsNotEntered)
	case cell.State == Absent && feed.absentIsNothing():
		m.note(ReasonLoadedAsNothing)
	case cell.State == Absent:
		return working.Term{}, missing(ReasonCountMissing, name+" of "+m.it.Code, "submit the indicator's counts")
	case cell.N < 0:
		return working.Term{}, fault.New(fault.Invalid, ReasonCountMalformed, "the %s of %s is negative", name, m.it.Code)
	}
	return m.Input(name, whole(cell.N), unitPatients, m.c.Origin), nil
}

// counts notes numerator and denominator, working out the denominator from the register where it is given.
func (m *measuring) counts() (numerator, denominator working.Term, refused *fault.Fault) {
	numerator, refused = m.cell("numerator", m.c.Numerator, m.it.NumeratorFrom)
	if refused != nil {
		return numerator, denominator, refused
	}
	if m.c.Register.State == Absent {
		denominator, refused = m.cell("denominator", m.c.Denominator, m.it.DenominatorFrom)
		return numerator, denominator, refused
	}
	denominator, refused = m.fromRegister()
	if refused != nil {
		return numerator, denominator, refused
	}
	stated := m.c.Denominator
	if m.it.Kind == Percentage && numerator.Value.Cmp(denominator.Value) > 0 || (stated.State == Stated && denominator.Value.Cmp(whole(stated.N)) != 0) {
		return numerator, denominator, fault.New(fault.Refused, ReasonCountsDisagree,
			"register, exclusions and adjustments of %s leave a denominator of %s", m.it.Code, denominator.Value.RatString()).
			With("numerator", numerator.Value.RatString()).With("denominator", stated.String())
	}
	return numerator, denominator, nil
}

// fromRegister takes exclusions and adjustments out of the register.
func (m *measuring) fromRegister() (working.Term, *fault.Fault) {
	register, refused := m.cell("register", m.c.Register, Extract)
	if refused != nil {
		return register, refused
	}
	leave := func(what string, fields []FieldCount, left working.Term, name string) (working.Term, *fault.Fault) {
		terms := []working.Term{left}
		fields = slices.SortedFunc(slices.Values(fields), func(a, b FieldCount) int { return strings.Compare(a.Field, b.Field) })
		for _, f := range fields {
			term, refused := m.cell(what+" "+f.Field, f.Cell, Extract)
			if refused != nil {
				return left, refused
			}
			terms = append(terms, term)
		}
		return m.Step(name, working.Subtract, unitPatients, clauseExclusions, terms...), nil
	}
	group, refused := leave("exclusion", m.c.Exclusions, register, "target group")
	if refused != nil {
		return group, refused
	}
	left, refused := leave("adjustment", m.c.Adjustments, group, "denominator")
	if refused != nil {
		return left, refused
	}
	if left.Value.Sign() < 0 {
		return left, fault.New(fault.Refused, ReasonCountsDisagree, "more patients of %s leave the register than it has", m.it.Code)
	}
	if len(m.c.Adjustments) > 0 && group.Value.Sign() > 0 && m.it.Kind == Percentage {
		m.out.Unadjusted = new(big.Rat).Mul(hundred, whole(m.c.Numerator.N))
		m.out.Unadjusted.Quo(m.out.Unadjusted, group.Value)
	}
	return left, nil
}

// fields holds that no field stands twice, and none that the indicator knows stands under the other role.
func (i *Indicator) fields(c *Counts) *fault.Fault {
	seen := make(map[string]bool)
	for _, part := range []struct {
		counts []FieldCount
		other  []string
	}{{c.Exclusions, i.Adjustments}, {c.Adjustments, i.Exclusions}} {
		for _, f := range part.counts {
			if seen[f.Field] || slices.Contains(part.other, f.Field) {
				return fault.New(fault.Invalid, ReasonFieldMisplaced, "field %s of %s stands twice, or among the other kind of fields", f.Field, i.Code)
			}
			seen[f.Field] = true
		}
	}
	return nil
}
