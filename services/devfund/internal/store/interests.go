package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

// InterestRow is a person's interest in a PCN as it is kept.
type InterestRow struct {
	ID               string
	CommissionerCode string
	Person           string
	PCNCode          string
	Nature           string
	From, To         period.Date // To is the last day; zero while it lasts
	RecordedBy       string
	RecordedAt       int64
}

const interestColumns = `interest_id, commissioner_code, person, pcn_code, nature, from_date, to_date, recorded_by, recorded_at`

func scanInterest(rows *sql.Rows) (r InterestRow, err error) {
	var from, to string
	if err := rows.Scan(&r.ID, &r.CommissionerCode, &r.Person, &r.PCNCode, &r.Nature, &from, &to, &r.RecordedBy, &r.RecordedAt); err != nil {
		return r, err
	}
	var p stored.Texts
	r.From, r.To = p.Date(from), p.Date(to)
	return r, p.Err
}

// InsertInterest adds an interest.
func InsertInterest(ctx context.Context, tx *sqldb.Tx, r InterestRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO interests (`+interestColumns+`) VALUES (`+sqldb.Placeholders(1, 9)+`)`,
		r.ID, r.CommissionerCode, r.Person, r.PCNCode, r.Nature, r.From.String(), r.To.String(), r.RecordedBy, r.RecordedAt)
	if err != nil {
		return fmt.Errorf("insert interest in %s: %w", r.PCNCode, err)
	}
	return nil
}

// EndInterest stores the last day of an interest.
func EndInterest(ctx context.Context, tx *sqldb.Tx, id string, to period.Date) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE interests SET to_date = $1 WHERE interest_id = $2`, to.String(), id))
}

// Interest returns an interest, or sql.ErrNoRows.
func Interest(ctx context.Context, q sqldb.Querier, id string) (InterestRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanInterest, `SELECT `+interestColumns+` FROM interests WHERE interest_id = $1`, id))
}

// InterestsOf returns the interests of a person that last on a day, whatever commissioner recorded them, by PCN.
func InterestsOf(ctx context.Context, q sqldb.Querier, person string, on period.Date) ([]InterestRow, error) {
	return sqldb.Collect(ctx, q, scanInterest, `SELECT `+interestColumns+` FROM interests
		WHERE person = $1 AND from_date <= $2 AND (to_date = '' OR to_date >= $2) ORDER BY pcn_code, interest_id`, person, on.String())
}

// Interests returns interests, newest first; a day selects those that last on it.
func Interests(ctx context.Context, q sqldb.Querier, by Page, on period.Date) ([]InterestRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("commissioner_code", by.CommissionerCode, "pcn_code", by.PCNCode)
	if !on.IsZero() {
		f.Where("from_date <= ?", on.String())
		f.Where("(to_date = '' OR to_date >= ?)", on.String())
	}
	if by.Before != "" {
		f.Where("interest_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanInterest, `SELECT `+interestColumns+` FROM interests`+conditions+` ORDER BY interest_id DESC`+f.Limit(by.Limit), f.Args()...)
}
