package arrs

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/tables"
)

// seededBy is the author of the versions that come with the suite.
const seededBy = "published tables"

// seed adds the versions of the embedded tables that the database lacks.
func (s *Service) seed(ctx context.Context) error {
	published, err := tables.Scheme()
	if err != nil {
		return fmt.Errorf("tables of arrs: %w", err)
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return err
		}
		held, err := store.FigureIDs(ctx, tx)
		if err != nil {
			return err
		}
		var missing []store.FigureRow
		for _, row := range figuresOf(published) {
			if held[row.ID] {
				continue
			}
			row.CommissionerCode = rules.England
			row.KnownAt, row.RecordedAt, row.RecordedBy = sqldb.Micros(row.KnownFrom.Time()), sqldb.Micros(tx.Now()), seededBy
			missing = append(missing, row)
		}
		return store.InsertFigures(ctx, tx, missing)
	})
}

// figuresOf returns the figures of the published tables that the database versions.
func figuresOf(published *rules.Scheme) []store.FigureRow {
	var out []store.FigureRow
	for _, price := range published.Prices.Rows() {
		out = append(out, store.PriceRow(price))
	}
	for _, rate := range published.SumRates {
		out = append(out, store.SumRateRow(rate))
	}
	for _, limit := range published.Limits {
		out = append(out, store.LimitRow(limit))
	}
	return out
}

// schemeAt is the tables of the fund as they stood when a figure had been recorded last.
type schemeAt struct {
	position int64
	scheme   *rules.Scheme
}

// scheme returns the tables of the fund: figures as the database holds them, the rest as published. What it returns is shared and never
// changed.
func (s *Service) scheme(ctx context.Context, q sqldb.Querier) (*rules.Scheme, error) {
	position, err := store.LastFigure().First(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.schemeAt(ctx, q, position)
}

// schemeAt does so where the position of the last figure is known.
func (s *Service) schemeAt(ctx context.Context, q sqldb.Querier, position int64) (*rules.Scheme, error) {
	if held := s.held.Load(); held != nil && held.position == position {
		return held.scheme, nil
	}
	published, err := tables.Scheme()
	if err != nil {
		return nil, fmt.Errorf("tables of arrs: %w", err)
	}
	rows, err := store.Figures(ctx, q)
	if err != nil {
		return nil, err
	}
	out := *published
	out.SumRates, out.Limits = nil, nil
	var prices []rules.Price
	for i := range rows {
		switch row := &rows[i]; row.Kind {
		case store.RoleMaximum:
			prices = append(prices, row.Price())
		case store.SumRate:
			out.SumRates = append(out.SumRates, row.SumRate())
		case store.NumberLimit:
			out.Limits = append(out.Limits, row.Limit())
		}
	}
	out.Prices = rules.NewPrices(prices)
	s.held.Store(&schemeAt{position, &out})
	return &out, nil
}
