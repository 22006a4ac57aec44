package rules

import (
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
func RunFor(calendar []Run, year period.FinancialYear, approvedOn period.Date) (*Run, error) {
	var first *Run
	for i := range calendar {
		run := &calendar[i]
		if run.Kind != PaymentRun || run.Year != year || !run.Confidence.Payable() || run.ApproveBy.Before(approvedOn) {
			continue
		}
		if first == nil || run.ApproveBy.Before(first.ApproveBy) {
			first = run
		}
	}
	if first == nil {
		return nil, missing(ReasonPaymentDayUnknown, "payment run of "+year.String()+" for an approval of "+approvedOn.String(), "enter the run with its source")
	}
	return first, nil
}

// DeadlineOf returns the last day on which the contract has a year paid; false where none was found.
func DeadlineOf(calendar []Run, year period.FinancialYear) (period.Date, bool) {
	for _, run := range calendar {
		if run.Kind == PaymentDeadline && run.Year == year && run.Confidence.Payable() {
			return run.PayOn, true
		}
	}
	return period.Date{}, false
}

// Check tells whether a run makes sense: a day to approve by exactly where it is a run, and none after the day it is paid.
func (r *Run) Check() error {
	if r.PayOn.IsZero() || (r.Kind == PaymentRun) == r.ApproveBy.IsZero() || (!r.ApproveBy.IsZero() && r.PayOn.Before(r.ApproveBy)) {
		return fault.New(fault.Invalid, ReasonFigureInvalid, "run %s pays on %s what is approved by %s", r.ID, r.PayOn, r.ApproveBy)
	}
	return nil
}
