// Package store keeps the tables of activity: figures, settings, imports with their cuts and attendances, reports with their rows,
// publications and receipts. One SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a
// transaction, so that a change, its event and its audit entry stand or fall together. All tables are append-only, which triggers enforce.
package store

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"iter"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

//go:embed migrations/*.sql
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

// parser reads stored texts and keeps the first that it cannot read.
type parser struct{ err error }

func (p *parser) month(text string) period.Month { return parse(p, text, period.ParseMonth) }
func (p *parser) date(text string) period.Date   { return parse(p, text, period.ParseDate) }

func parse[T any](p *parser, text string, read func(string) (T, error)) T {
	var none T
	if text == "" || p.err != nil {
		return none
	}
	value, err := read(text)
	if err != nil {
		p.err = cmp.Or(p.err, fmt.Errorf("stored value: %w", err))
		return none
	}
	return value
}
