// Package store keeps the tables of activity: figures, settings, imports with their cuts and attendances, reports with their rows,
// publications and receipts. One SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a
// transaction, so that a change, its event and its audit entry stand or fall together. All tables are append-only, which triggers enforce.
package store

import (
	"embed"
	"io/fs"
	"iter"
)

//go:embed migrations/*.sql migrations/access.csv
var migrations embed.FS

// Migrations returns the numbered schema changes.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err)
	}
	return sub
}

// rowsOf hands over the rows of things.
func rowsOf[T any](things []T, row func(*T) ([]any, error)) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for i := range things {
			if !yield(row(&things[i])) {
				return
			}
		}
	}
}
