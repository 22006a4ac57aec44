package rules

import (
	"cmp"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// RunKind tells a payment run from the last day on which the contract has a year paid.
type RunKind string

// The kinds.
const (
	PaymentRun      RunKind = "run"
	PaymentDeadline RunKind = "deadline"
)

// Run is one day on which what was approved by another is paid.
type Run struct {
	Figure
	Year period.FinancialYear
	Kind RunKind
	// ApproveBy is the last day of financial approval for the run; zero for a deadline.
	ApproveBy period.Date
	PayOn     period.Date
}

// RunFor returns the first run of the year that an approval is in time for (example IIF-035). It refuses with PAYMENT_DAY_UNKNOWN
// an approval after the last known run, and a year without any.
func RunFor(s *Scheme, q Query, approvedOn period.Date) (*Run, error) {
	var first *Run
	for _, run := range s.runs(q) {
		if run.Kind != PaymentRun || run.ApproveBy.Before(approvedOn) {
			continue
		}
		if first == nil || run.ApproveBy.Before(first.ApproveBy) {
			first = run
		}
	}
	if first == nil {
		return nil, missing(ReasonPaymentDayUnknown, "payment run of "+q.Year.String()+" for an approval of "+approvedOn.String(), "enter the run with its source")
	}
	return first, nil
}

// DeadlineOf returns the last day on which the contract has a year paid; false where none was found.
func DeadlineOf(s *Scheme, q Query) (period.Date, bool) {
	for _, run := range s.runs(q) {
		if run.Kind == PaymentDeadline {
			return run.PayOn, true
		}
	}
	return period.Date{}, false
}

// RunsOf returns the runs and the deadline of a year that may be relied on, by day of payment.
func RunsOf(s *Scheme, q Query) []*Run { return s.runs(q) }

// runs returns the governing rows of a year that may be relied on. A year has one run for each month in which it pays, and one
// deadline: a row for the same month corrects another.
func (s *Scheme) runs(q Query) []*Run {
	type slot struct {
		kind RunKind
		pays period.Month
	}
	figure := func(r *Run) *Figure { return &r.Figure }
	bySlot := make(map[slot][]*Run)
	for _, run := range known(s.Calendar, figure, q, func(r *Run) bool { return r.Year == q.Year }) {
		at := slot{kind: run.Kind}
		if run.Kind == PaymentRun {
			at.pays = run.PayOn.Month()
		}
		bySlot[at] = append(bySlot[at], run)
	}
	out := make([]*Run, 0, len(bySlot))
	for _, runs := range bySlot {
		if run := governing(runs, figure); run.Confidence.Payable() {
			out = append(out, run)
		}
	}
	slices.SortFunc(out, func(a, b *Run) int {
		return cmp.Or(a.PayOn.Compare(b.PayOn), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Check tells whether a run makes sense: a day to approve by exactly where it is a run, and none after the day it is paid.
func (r *Run) Check() error {
	if r.PayOn.IsZero() || (r.Kind == PaymentRun) == r.ApproveBy.IsZero() || (!r.ApproveBy.IsZero() && r.PayOn.Before(r.ApproveBy)) {
		return fault.New(fault.Invalid, ReasonFigureInvalid, "run %s pays on %s what is approved by %s", r.ID, r.PayOn, r.ApproveBy)
	}
	return nil
}
