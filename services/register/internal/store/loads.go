package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
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
	// Commissioner is the body on whose behalf a figure was recorded; empty for all of England, and for files.
	Commissioner string
}

const loadColumns = `position, load_id, kind, source, file_name, extract_date, sha256, rows_read, rows_stored, rows_quarantined,
	rows_passed_over, warnings, known_from, loaded_by, applied_from_month, maps, locates, commissioner_code`

func scanLoad(row scanner) (Load, error) {
	var l Load
	var extract, passed, warnings, applied string
	var known int64
	err := row.Scan(&l.Position, &l.ID, &l.Kind, &l.Source, &l.FileName, &extract, &l.SHA256, &l.RowsRead, &l.RowsStored,
		&l.RowsQuarantined, &passed, &warnings, &known, &l.LoadedBy, &applied, &l.Maps, &l.Locates, &l.Commissioner)
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

// AddLoad numbers a load, has its facts written, and last of all sets the moment it becomes known, later than that of any
// other, and writes the load itself. The facts may add to its warnings; nil writes none. Loads are added one after another,
// so that whoever sees one sees all that became known before it.
func AddLoad(ctx context.Context, tx *sqldb.Tx, l *Load, now func() time.Time, facts func() error) error {
	if err := tx.Lock(ctx, LockLoads); err != nil {
		return err
	}
	var last, lastKnown sql.NullInt64
	if err := tx.QueryRow(ctx, `SELECT max(position), max(known_from) FROM loads`).Scan(&last, &lastKnown); err != nil {
		return fmt.Errorf("number a load: %w", err)
	}
	l.Position = last.Int64 + 1
	if facts != nil {
		if err := facts(); err != nil {
			return err
		}
	}
	// A clock that was set back must not make a later load known before an earlier one.
	known := max(sqldb.Micros(now()), lastKnown.Int64+1)
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
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		l.Position, l.ID, string(l.Kind), l.Source, l.FileName, l.ExtractDate.String(), l.SHA256, l.RowsRead, l.RowsStored,
		l.RowsQuarantined, string(passed), string(warnings), known, l.LoadedBy, l.AppliedFrom.String(), l.Maps, l.Locates, l.Commissioner)
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

// NewestOf returns the latest load of a kind and a day; sql.ErrNoRows if there is none.
func NewestOf(ctx context.Context, q sqldb.Querier, kind rules.Kind, day period.Date) (Load, error) {
	return scanLoad(q.QueryRow(ctx, `SELECT `+loadColumns+` FROM loads WHERE kind = $1 AND extract_date = $2 ORDER BY position DESC LIMIT 1`,
		string(kind), day.String()))
}

// Versions counts the loads of the same bytes as the same kind, for the same day and from the same month.
func Versions(ctx context.Context, q sqldb.Querier, l Load) (int64, error) {
	var count int64
	err := q.QueryRow(ctx, `SELECT count(*) FROM loads WHERE kind = $1 AND sha256 = $2 AND extract_date = $3 AND applied_from_month = $4`,
		string(l.Kind), l.SHA256, l.ExtractDate.String(), l.AppliedFrom.String()).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("count the versions of a file: %w", err)
	}
	return count, nil
}

// HasLoad tells whether the same bytes were loaded as the same kind before.
func HasLoad(ctx context.Context, q sqldb.Querier, kind rules.Kind, sha256 string) (bool, error) {
	var count int64
	if err := q.QueryRow(ctx, `SELECT count(*) FROM loads WHERE kind = $1 AND sha256 = $2`, string(kind), sha256).Scan(&count); err != nil {
		return false, fmt.Errorf("look for a load: %w", err)
	}
	return count > 0, nil
}

// LoadFilter says which loads to list.
type LoadFilter struct {
	// Kind is the only kind wanted; empty means all.
	Kind rules.Kind
	// Commissioners are those whose recorded figures are listed beside what is for all of England; nil means all.
	Commissioners []string
	// Before is the position of the last load of the page before; 0 begins with the newest.
	Before int64
	// Limit bounds the number of loads.
	Limit int
}

// Loads returns loads, the newest first.
func Loads(ctx context.Context, q sqldb.Querier, f LoadFilter) ([]Load, error) {
	args := []any{string(f.Kind), f.Before, f.Limit}
	seen := ""
	if f.Commissioners != nil {
		for _, code := range append([]string{""}, f.Commissioners...) {
			args = append(args, code)
		}
		seen = "AND commissioner_code IN (" + sqldb.Placeholders(4, len(args)-3) + ")"
	}
	out, err := list(ctx, q, scanLoad, `SELECT `+loadColumns+` FROM loads
		WHERE ($1 = '' OR kind = $1) AND ($2 = 0 OR position < $2) `+seen+` ORDER BY position DESC LIMIT $3`, args...)
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
