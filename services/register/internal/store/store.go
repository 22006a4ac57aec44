// Package store keeps the register's loads, facts and snapshots in the database. Nothing it holds is ever changed or taken
// back: each fact belongs to a load, loads are numbered in the order in which they became known, and what was known at a
// moment is what loads up to a number say.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

//go:embed migrations/*.sql migrations/access.csv
var migrations embed.FS

// Migrations returns the numbered files that make the register's tables.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		// The folder is part of the program.
		panic(err)
	}
	return files
}

// scanner reads the columns of one row.
type scanner interface{ Scan(dest ...any) error }

// each runs a query and gives every row to scan.
func each(ctx context.Context, q sqldb.Querier, scan func(scanner) error, query string, args ...any) (err error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// list runs a query and gathers its rows.
func list[T any](ctx context.Context, q sqldb.Querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	var out []T
	err := each(ctx, q, func(row scanner) error {
		value, err := scan(row)
		out = append(out, value)
		return err
	}, query, args...)
	return out, err
}

// date reads a day from a column written by this package.
func date(text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	return period.ParseDate(text)
}

// month reads a month from a column written by this package.
func month(text string) (period.Month, error) {
	if text == "" {
		return period.Month{}, nil
	}
	return period.ParseMonth(text)
}

// KnownAt returns the number of the last load known at a moment, and the moment itself or, if that is earlier, the one at which
// the last load of all became known: asked again for what it returns, it returns the same. Before the first load the number
// is 0.
func KnownAt(ctx context.Context, q sqldb.Querier, at time.Time) (int64, time.Time, error) {
	var position, last sql.NullInt64
	asked := sqldb.Micros(at)
	err := q.QueryRow(ctx, `SELECT max(CASE WHEN known_from <= $1 THEN position END), max(known_from) FROM loads`, asked).Scan(&position, &last)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("find the last load known at %s: %w", at.Format(time.RFC3339), err)
	}
	if last.Valid {
		asked = min(asked, last.Int64)
	}
	return position.Int64, sqldb.FromMicros(asked), nil
}
