package iif

import (
	"context"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// CountsOf shows tests what results are worked out from.
func (s *Service) CountsOf(
	ctx context.Context, commissioner string, year period.FinancialYear, on period.Date, organisations []string, upTo int64,
) (of map[string][]rules.IndicatorCounts, position int64, byHand []string, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		standing, err := s.countsOf(ctx, q, []string{commissioner}, year, on, organisations, upTo)
		if err == nil {
			of, position = standing.of, standing.position
			for _, code := range slices.Sorted(maps.Keys(standing.byHand)) {
				byHand = append(byHand, standing.byHand[code]...)
			}
		}
		return err
	})
	return of, position, byHand, err
}

// LastDay shows tests the last day of which there are counts.
func (s *Service) LastDay(ctx context.Context, commissioner string, year period.FinancialYear, organisations []string) (day period.Date, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		day, err = s.lastDay(ctx, q, []string{commissioner}, year, organisations)
		return err
	})
	return day, err
}
