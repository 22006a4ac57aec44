package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// CalculateFrom has closes take years from a test in place of working them out from counts and figures.
func CalculateFrom(s *Service, year func(pcn string, year period.FinancialYear, figures int64) *rules.Year) {
	s.calculate = func(_ context.Context, _ sqldb.Querier, all []basis) ([]worked, error) {
		out := make([]worked, len(all))
		for i := range all {
			out[i] = worked{basis: all[i], result: year(all[i].pcn, all[i].year, all[i].figures)}
		}
		return out, nil
	}
}

// DigestOf shows tests by what results are told apart.
func DigestOf(y *rules.Year) string { return digestOf(&worked{terms: new(rules.Terms), result: y}) }

// Publish adds a price of a point of 2025/26 as the seed of a release does: without a look at the years that rest on it.
func Publish(ctx context.Context, db *sqldb.DB, known period.Date, price string) error {
	amount, err := money.ParseExact(price)
	if err != nil {
		return err
	}
	row := figureRow(2025, &stated{value: &rules.Value{
		Figure: rules.Figure{
			Source: "published late", Confidence: working.Official, KnownFrom: known, KnownFromBasis: rules.KnownByPublication, CommissionerCode: rules.England,
		},
		Key: rules.Key{Year: 2025, VersionID: "IIF-2025-04", Field: rules.PriceField}, Amount: amount,
	}})
	row.KnownAt, row.RecordedBy = sqldb.Micros(known.Time()), seededBy
	return db.Write(ctx, func(tx *sqldb.Tx) error {
		row.ID = "published-" + tx.NewID()
		return store.InsertFigures(ctx, tx, []store.FigureRow{row})
	})
}
