package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// basis is what a year of a PCN is worked out from. The same basis always gives the same year.
type basis struct {
	pcn, pcnName, location, commissioner string
	year                                 period.FinancialYear
	// on is the day of the counts.
	on period.Date
	// members are the practices of the PCN on the last day of the year, or on the day of the counts where that comes first.
	members []string
	// list is the registered list, and listOf which one that is.
	list     rules.Given
	listOf   rules.List
	snapshot string
	// figures and counts are the positions of the last of them that count; latest for all.
	figures, counts int64
}

// worked is a year that was worked out, with what it took.
type worked struct {
	basis
	terms       *rules.Terms
	network     rules.Network
	counts      []rules.IndicatorCounts
	result      *rules.Year
	differences map[string][]rules.CountDifference // by indicator
	incomplete  []string                           // practices
	makers      []string
}

// bases fetches from the register what the years of a commissioner's PCNs are worked out from: those that it owes, or some of them.
func (s *Service) bases(ctx context.Context, commissioner string, year period.FinancialYear, on period.Date, pcns ...string) ([]basis, error) {
	return nil, nil
}

// work works years out. Those of one call are of one year and one day.
func (s *Service) work(ctx context.Context, q sqldb.Querier, all []basis) ([]worked, error) {
	return nil, nil
}

// changed says what of the basis of years changed.
type changed struct {
	year         period.FinancialYear
	commissioner string   // rules.England for all
	pcns         []string // none for all
	practices    []string // those of which they are members; none for all
	cause        rules.Cause
	words        string
}

// rework works years that are not approved out again, where what they rest on has changed. It returns how many came to another result.
// The caller holds the lock of what it changed, and none of a commissioner.
func (s *Service) rework(ctx context.Context, tx *change.Tx, c changed) (int, error) {
	return 0, nil
}
