package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

// SettingRow is a local policy as it is kept.
type SettingRow struct {
	ID               string // empty for a default
	Position         int64
	CommissionerCode string
	Year             period.FinancialYear
	Name             string
	Value            string
	Reason           string
	RecordedBy       string
	RecordedAt       int64 // microseconds
}

const settingColumns = `setting_id, position, commissioner_code, financial_year, name, value, reason, recorded_by, recorded_at`

func scanSetting(rows *sql.Rows) (r SettingRow, err error) {
	var year string
	err = rows.Scan(&r.ID, &r.Position, &r.CommissionerCode, &year, &r.Name, &r.Value, &r.Reason, &r.RecordedBy, &r.RecordedAt)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year = p.Year(year)
	return r, p.Err
}

// InsertSetting adds a setting and sets its position, the next. The caller holds the lock of settings.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, r *SettingRow) error {
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) + 1 FROM settings`).Scan(&r.Position); err != nil {
		return fmt.Errorf("number a setting: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO settings (`+settingColumns+`) VALUES (`+sqldb.Placeholders(1, 9)+`)`,
		r.ID, r.Position, r.CommissionerCode, r.Year.String(), r.Name, r.Value, r.Reason, r.RecordedBy, r.RecordedAt)
	if err != nil {
		return fmt.Errorf("insert setting: %w", err)
	}
	return nil
}

// NewestSetting returns the newest setting of a name that holds for a commissioner in a year, or sql.ErrNoRows.
func NewestSetting(ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear, name string) (SettingRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanSetting, `SELECT `+settingColumns+` FROM settings
		WHERE commissioner_code = $1 AND financial_year = $2 AND name = $3 ORDER BY position DESC LIMIT 1`, commissioner, year.String(), name))
}

// Settings returns settings, newest first: those of the commissioners, and nil means all.
func Settings(ctx context.Context, q sqldb.Querier, commissioners []string, year string, before int64, limit int) ([]SettingRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", commissioners)
	f.Equal("financial_year", year)
	if before != 0 {
		f.Where("position < ?", before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanSetting, `SELECT `+settingColumns+` FROM settings`+conditions+` ORDER BY position DESC`+f.Limit(limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("list settings: %w", err)
	}
	return rows, nil
}
