package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// RateRow is a version of a rate as it is kept.
type RateRow struct {
	rules.Rate
	Position   int64 // order of recording
	KnownAt    int64 // microseconds: from when a computation may use it
	RecordedAt int64 // microseconds: when the suite learnt it
	RecordedBy string
	Replaces   string // version it stands in for; empty for a first one
}

const rateColumns = `rate_id, position, payment_code, component, name, from_month, to_month, rate_gbp, monthly_rate_gbp, unit,
	timing, first_paid_month, population_date, paid_to_practice, funding_source, source, version, confidence, known_from,
	known_from_basis, known_at, recorded_at, recorded_by, commissioner_code, note, replaces_rate_id`

// InsertRate adds a version and gives it the next position.
func InsertRate(ctx context.Context, tx *sqldb.Tx, row RateRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO rates (`+rateColumns+`)
		SELECT $1, COALESCE(MAX(position), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
			$19, $20, $21, $22, $23, $24, $25 FROM rates`,
		row.ID, row.PaymentCode, row.Component, row.Name, row.From.String(), row.To.String(), decimalText(row.RateGBP),
		decimalText(row.MonthlyRateGBP), int64(row.Unit), int64(row.Timing), row.FirstPaidMonth.String(),
		row.PopulationDate.String(), row.PaidToPractice, row.FundingSource, row.Source, row.Version, int64(row.Confidence),
		row.KnownFrom.String(), row.KnownFromBasis, row.KnownAt, row.RecordedAt, row.RecordedBy, row.CommissionerCode, row.Note,
		row.Replaces)
	if err != nil {
		return fmt.Errorf("insert rate %s: %w", row.ID, err)
	}
	return nil
}

// RateIDs returns the identifiers of all versions.
func RateIDs(ctx context.Context, q sqldb.Querier) (map[string]bool, error) {
	ids, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (id string, err error) {
		err = rows.Scan(&id)
		return id, err
	}, `SELECT rate_id FROM rates`)
	out := make(map[string]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, err
}

// Rate returns one version, or sql.ErrNoRows.
func Rate(ctx context.Context, q sqldb.Querier, id string) (RateRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanRate, `SELECT `+rateColumns+` FROM rates WHERE rate_id = $1`, id))
}

// Rates returns every version known at a moment, in order of becoming known.
func Rates(ctx context.Context, q sqldb.Querier, knownAt int64) ([]RateRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanRate, `SELECT `+rateColumns+` FROM rates WHERE known_at <= $1 ORDER BY known_at, position`, knownAt)
	if err != nil {
		return nil, fmt.Errorf("load rates: %w", err)
	}
	return rows, nil
}

func scanRate(rows *sql.Rows) (RateRow, error) {
	var r RateRow
	var from, to, rate, monthly, firstPaid, populationDate, knownFrom string
	var unit, timing, confidence int64
	if err := rows.Scan(&r.ID, &r.Position, &r.PaymentCode, &r.Component, &r.Name, &from, &to, &rate, &monthly, &unit, &timing,
		&firstPaid, &populationDate, &r.PaidToPractice, &r.FundingSource, &r.Source, &r.Version, &confidence, &knownFrom,
		&r.KnownFromBasis, &r.KnownAt, &r.RecordedAt, &r.RecordedBy, &r.CommissionerCode, &r.Note, &r.Replaces); err != nil {
		return r, err
	}
	r.Unit, r.Timing, r.Confidence = rules.Unit(unit), rules.Timing(timing), working.Confidence(confidence)
	var p stored.Texts
	r.From, r.To, r.FirstPaidMonth = p.Month(from), p.Month(to), p.Month(firstPaid)
	r.PopulationDate, r.KnownFrom = p.Date(populationDate), p.Date(knownFrom)
	r.RateGBP, r.MonthlyRateGBP = p.Decimal(rate), p.Decimal(monthly)
	return r, p.Err
}

func decimalText(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}
