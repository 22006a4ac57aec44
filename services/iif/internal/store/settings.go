package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// SettingRow is a setting as it is kept. Its position is one of the figures'.
type SettingRow struct {
	rules.Setting
	Reason     string
	RecordedAt int64 // microseconds
	RecordedBy string
}

const settingColumns = `setting_id, position, commissioner_code, version_id, name, value, reason, recorded_at, recorded_by`

// InsertSetting adds a setting and sets its position: the next of figures and settings. The caller holds the lock of figures.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, s *SettingRow) error {
	last, _, err := LastPosition(ctx, tx)
	if err != nil {
		return err
	}
	s.Position = last + 1
	_, err = tx.Exec(ctx, `INSERT INTO settings (`+settingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		s.ID, s.Position, s.CommissionerCode, s.VersionID, s.Name, s.Value, s.Reason, s.RecordedAt, s.RecordedBy)
	if err != nil {
		return fmt.Errorf("insert setting: %w", err)
	}
	return nil
}

// Settings returns every setting up to a position, in order of recording; 0 means all.
func Settings(ctx context.Context, q sqldb.Querier, upTo int64) ([]SettingRow, error) {
	var f sqldb.Filter
	if upTo != 0 {
		f.Where("position <= ?", upTo)
	}
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (s SettingRow, err error) {
		err = rows.Scan(&s.ID, &s.Position, &s.CommissionerCode, &s.VersionID, &s.Name, &s.Value, &s.Reason, &s.RecordedAt, &s.RecordedBy)
		s.KnownFrom = period.DateOf(sqldb.FromMicros(s.RecordedAt))
		return s, err
	}, `SELECT `+settingColumns+` FROM settings`+f.String()+` ORDER BY position`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	return rows, nil
}
