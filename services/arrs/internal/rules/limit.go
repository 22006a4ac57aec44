package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// ListSize is a network's registered list, which decides how many of a role it may have. That it is the registered and not the
// weighted list is inferred.
type ListSize struct {
	Patients int64
	Known    bool
}

// Limit is the most WTE of a role that a network of some list size may claim at any one time. A role without a row has no
// limit.
type Limit struct {
	Figure
	Months
	Role string
	// ListFrom and ListTo are the registered patients between which the row stands; ListTo is -1 where it is open.
	ListFrom, ListTo int64
	// Certain is the WTE that the sources agree on and Most the WTE that no source exceeds. They are equal for a known limit.
	// Between the two the limit is not known, and so is everything above Certain where Most is nil.
	Certain, Most *big.Rat
	// NeedsAgreement tells whether the mental health provider has to agree.
	NeedsAgreement bool
}

// settled tells a known limit from one that is known in part.
func (l *Limit) settled() bool {
	return l.Certain != nil && l.Most != nil && l.Certain.Cmp(l.Most) == 0
}

// LimitAt returns the limit of a role for a month; nil means that there is none. It refuses where the list size decides and is
// not known, and where the limit waits for confirmation. (Examples ARRS-S22 to S24.)
func LimitAt(limits []Limit, role string, list ListSize, commissioner string, month period.Month, known period.Date) (*Limit, error) {
	limit, refused := limitFor(limits, role, list, commissioner, month, known)
	if refused != nil {
		return nil, refused
	}
	return limit, nil
}

func limitFor(limits []Limit, role string, list ListSize, commissioner string, month period.Month, known period.Date) (*Limit, *fault.Fault) {
	bySize := false
	limit := governing(limits, func(l *Limit) *Figure { return &l.Figure }, commissioner, known, func(l *Limit) bool {
		if l.Role != role || !l.Covers(month) {
			return false
		}
		if l.ListFrom > 0 || l.ListTo >= 0 {
			bySize = true
			return list.Known && list.Patients >= l.ListFrom && (l.ListTo < 0 || list.Patients <= l.ListTo)
		}
		return true
	})
	switch {
	case bySize && !list.Known:
		return nil, missing(ReasonListSizeMissing, "registered list size of the network", "load the list, or enter the figure")
	case limit != nil && limit.settled() && !limit.Confidence.Payable():
		return nil, missing(ReasonLimitNotConfirmed, limitName(role, month), "confirm "+limit.ID+", or enter the figure with its source")
	}
	return limit, nil
}

func limitName(role string, month period.Month) string {
	return "number of " + role + " that a network may claim in " + month.String()
}
