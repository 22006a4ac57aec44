package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// LockLoads is the key held while a load gets its number, so that numbers follow the order in which loads become known.
const LockLoads = "register/loads"

// Load is one version of reference data with its counts.
type Load struct {
	rules.Load
	FileName                              string
	SHA256                                string
	RowsRead, RowsStored, RowsQuarantined int64
	PassedOver                            map[string]int64
	Warnings                              []string
	KnownFrom                             time.Time
	LoadedBy                              string
	AppliedFrom                           period.Month
}

const loadColumns = `position, load_id, kind, source, file_name, extract_date, sha256, rows_read, rows_stored, rows_quarantined,
	rows_passed_over, warnings, known_from, loaded_by, applied_from_month, maps, locates`

func scanLoad(row scanner) (Load, error) {
	var l Load
	var extract, passed, warnings, applied string
	var known int64
	err := row.Scan(&l.Position, &l.ID, &l.Kind, &l.Source, &l.FileName, &extract, &l.SHA256, &l.RowsRead, &l.RowsStored,
		&l.RowsQuarantined, &passed, &warnings, &known, &l.LoadedBy, &applied, &l.Maps, &l.Locates)
	if err != nil {
		return Load{}, err
	}
	l.KnownFrom = sqldb.FromMicros(known)
	if l.ExtractDate, err = date(extract); err != nil {
		return Load{}, err
	}
	if l.AppliedFrom, err = month(applied); err != nil {
		return Load{}, err
	}
	if err := json.Unmarshal([]byte(passed), &l.PassedOver); err != nil {
		return Load{}, err
	}
	return l, json.Unmarshal([]byte(warnings), &l.Warnings)
}

// AddLoad numbers a load, sets the moment it becomes known, and writes it. Facts are added after it in the same transaction.
func AddLoad(ctx context.Context, tx *sqldb.Tx, l *Load) error {
	if err := tx.Lock(ctx, LockLoads); err != nil {
		return err
	}
	var last, lastKnown sql.NullInt64
	if err := tx.QueryRow(ctx, `SELECT max(position), max(known_from) FROM loads`).Scan(&last, &lastKnown); err != nil {
		return fmt.Errorf("number a load: %w", err)
	}
	l.Position = last.Int64 + 1
	// A clock that was set back must not make a later load known before an earlier one.
	known := max(sqldb.Micros(tx.Now()), lastKnown.Int64)
	l.KnownFrom = sqldb.FromMicros(known)
	passed, err := json.Marshal(orEmpty(l.PassedOver))
	if err != nil {
		return fmt.Errorf("write a load: %w", err)
	}
	warnings, err := json.Marshal(append([]string{}, l.Warnings...))
	if err != nil {
		return fmt.Errorf("write a load: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO loads (`+loadColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		l.Position, l.ID, string(l.Kind), l.Source, l.FileName, l.ExtractDate.String(), l.SHA256, l.RowsRead, l.RowsStored,
		l.RowsQuarantined, string(passed), string(warnings), known, l.LoadedBy, l.AppliedFrom.String(), l.Maps, l.Locates)
	if err != nil {
		return fmt.Errorf("write a load: %w", err)
	}
	return nil
}

func orEmpty(counts map[string]int64) map[string]int64 {
	if counts == nil {
		return map[string]int64{}
	}
	return counts
}

// LoadByID returns a load; sql.ErrNoRows if there is none.
func LoadByID(ctx context.Context, q sqldb.Querier, id string) (Load, error) {
	return scanLoad(q.QueryRow(ctx, `SELECT `+loadColumns+` FROM loads WHERE load_id = $1`, id))
}

// LoadByContent returns the load of the same bytes as the same kind; sql.ErrNoRows if there is none.
func LoadByContent(ctx context.Context, q sqldb.Querier, kind rules.Kind, sha256 string) (Load, error) {
	return scanLoad(q.QueryRow(ctx, `SELECT `+loadColumns+` FROM loads WHERE kind = $1 AND sha256 = $2 AND kind <> 'RECORDED'`,
		string(kind), sha256))
}

// Loads returns loads, the newest first, of one kind if it is not empty, before a number if it is not 0.
func Loads(ctx context.Context, q sqldb.Querier, kind rules.Kind, before int64, limit int) ([]Load, error) {
	out, err := list(ctx, q, scanLoad, `SELECT `+loadColumns+` FROM loads
		WHERE ($1 = '' OR kind = $1) AND ($2 = 0 OR position < $2) ORDER BY position DESC LIMIT $3`, string(kind), before, limit)
	if err != nil {
		return nil, fmt.Errorf("list loads: %w", err)
	}
	return out, nil
}

// LoadsUpTo returns what rules need of every load up to a number, by position.
func LoadsUpTo(ctx context.Context, q sqldb.Querier, position int64) ([]rules.Load, error) {
	out, err := list(ctx, q, func(row scanner) (rules.Load, error) {
		var l rules.Load
		var extract string
		if err := row.Scan(&l.Position, &l.ID, &l.Kind, &l.Source, &extract, &l.Maps, &l.Locates); err != nil {
			return l, err
		}
		var err error
		l.ExtractDate, err = date(extract)
		return l, err
	}, `SELECT position, load_id, kind, source, extract_date, maps, locates FROM loads WHERE position <= $1 ORDER BY position`, position)
	if err != nil {
		return nil, fmt.Errorf("read the loads: %w", err)
	}
	return out, nil
}

// QuarantinedRow is one bad value of a load. Number counts the bad values of the load from 1.
type QuarantinedRow struct {
	Number int64
	files.Bad
}

// QuarantinedRows returns bad values of a load after a number, in the order of the file.
func QuarantinedRows(ctx context.Context, q sqldb.Querier, load, after int64, limit int) ([]QuarantinedRow, error) {
	out, err := list(ctx, q, func(row scanner) (QuarantinedRow, error) {
		var r QuarantinedRow
		err := row.Scan(&r.Number, &r.Line, &r.Column, &r.Value, &r.Reason, &r.Detail)
		return r, err
	}, `SELECT number, line, column_name, value, reason, detail FROM quarantined_rows
		WHERE load_position = $1 AND number > $2 ORDER BY number LIMIT $3`, load, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list quarantined rows: %w", err)
	}
	return out, nil
}
