// Package rules decides what the Additional Roles Reimbursement Scheme pays, from figures that it is given: no input or
// output, no clock, nothing remembered between calls.
package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// England is the code under which figures and settings hold for every commissioner.
const England = "england"

// Figure says where one row of a table comes from and since when it is known.
type Figure struct {
	ID     string
	Source string
	// Version tells the rows of one period apart: current, or first and uplifted.
	Version    string
	Confidence working.Confidence
	// KnownFrom is the day from which the figure was known in the world, and KnownFromBasis says how that is known.
	KnownFrom      period.Date
	KnownFromBasis string
	Note           string
	// CommissionerCode is England, or the commissioner that entered the figure for its own networks.
	CommissionerCode string
}

// The ways in which the day is known from which a figure was known.
const (
	// KnownByPublication means that the figure was published on the day.
	KnownByPublication = "publication"
	// KnownByEffectiveDate means that the day of publication is not known, and the first day of the period stands for it.
	KnownByEffectiveDate = "effective_date"
	// KnownByEntry means that a person entered the figure on the day.
	KnownByEntry = "entry"
)

// origin is the figure as the origin of an input.
func (f *Figure) origin() working.Origin {
	return working.Origin{Kind: working.FromRate, Ref: f.ID, Source: f.Source, Confidence: f.Confidence}
}

// knownTo tells whether a figure counts for a commissioner on a day; no day counts everything.
func (f *Figure) knownTo(commissioner string, known period.Date) bool {
	if f.CommissionerCode != England && f.CommissionerCode != commissioner {
		return false
	}
	return known.IsZero() || !f.KnownFrom.After(known)
}

// replaces tells whether a row takes the place of one found earlier: of a commissioner before England's, and of those the one
// that became known last. A candidate never takes the place of a payable row: it waits for its confirmation.
func (f *Figure) replaces(held *Figure) bool {
	switch {
	case f.Confidence == working.Candidate && held.Confidence.Payable():
		return false
	case held.Confidence == working.Candidate && f.Confidence.Payable():
		return true
	case (f.CommissionerCode == England) != (held.CommissionerCode == England):
		return f.CommissionerCode != England
	}
	return !f.KnownFrom.Before(held.KnownFrom)
}

// governing returns the row that holds, of those that match; rows come in the order in which they became known.
func governing[R any](rows []R, figure func(*R) *Figure, commissioner string, known period.Date, matches func(*R) bool) *R {
	var best *R
	for i := range rows {
		row := &rows[i]
		if !matches(row) || !figure(row).knownTo(commissioner, known) {
			continue
		}
		if best == nil || figure(row).replaces(figure(best)) {
			best = row
		}
	}
	return best
}

// Meta keys of a refusal for want of a figure.
const (
	metaMissing = "missing"
	metaRemedy  = "remedy"
)

// missing refuses by name what cannot be decided for want of a figure or a fact.
func missing(reason, what, remedy string) *fault.Fault {
	return fault.New(fault.Refused, reason, "the %s is missing: %s", what, remedy).With(metaMissing, what).With(metaRemedy, remedy)
}

// Months is a span of whole months; To is zero while it is open.
type Months struct{ From, To period.Month }

// Covers tells whether the month lies in the span.
func (m Months) Covers(month period.Month) bool {
	return !month.Before(m.From) && (m.To.IsZero() || !month.After(m.To))
}

// Answer is what a form says to a question of yes or no.
type Answer int

// The answers; the zero value is no answer.
const (
	Unstated Answer = iota
	Yes
	No
)

// String writes the answer, or an empty string where there is none.
func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	case Unstated:
	}
	return ""
}

func one() *big.Rat { return big.NewRat(1, 1) }

func least(a, b *big.Rat) *big.Rat {
	if b.Cmp(a) < 0 {
		return b
	}
	return a
}

func whole(n int) *big.Rat { return new(big.Rat).SetInt64(int64(n)) }
