package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// standingCounts are the counts that stand, by organisation.
type standingCounts struct {
	of map[string][]rules.IndicatorCounts
	// position is that of the last counts there are, of whatever organisation, up to the one asked for.
	position int64
	// byHand are those who entered some of them by hand.
	byHand []string
}

// countsOf loads the counts of organisations that stand for a commissioner on a day, up to a position; latest for all.
func (s *Service) countsOf(context.Context, sqldb.Querier, string, period.FinancialYear, period.Date, []string, int64) (*standingCounts, error) {
	return &standingCounts{}, nil
}

// lastDay returns the last day of which there are counts of organisations in a year; zero where there are none.
func (s *Service) lastDay(context.Context, sqldb.Querier, string, period.FinancialYear, []string) (period.Date, error) {
	return period.Date{}, nil
}
