// Package store keeps the tables of devfund: allocations with the versions of their amounts, sharing decisions, plans with versions, lines,
// tranches, agreements, assessments and steps, interests, reports of spend, treatments of unspent money, settings, published weights, and
// schedules with their lines. One SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a
// transaction, so that a change, its event and its audit entry stand or fall together. What was stated, agreed, reported and scheduled is
// append-only, which triggers enforce; allocations, decisions, plans, interests and treatments change state and are never deleted.
package store

import (
	"embed"
	"io/fs"
	"iter"
	"strings"
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

// Scope is what of a list a caller may see: what lies under the commissioners or in the PCNs. Nil commissioners are all of them; nil
// PCNs are none.
type Scope struct {
	Commissioners []string
	PCNs          []string
}

// Page is a part of a list.
type Page struct {
	Scope
	CommissionerCode string // only this one's rows; empty means all
	PCNCode          string // only this one's rows; empty means all
	Year             string // only this one's rows, where a list has several; empty means all
	Before           string // key of the last row seen; empty for the first page
	Limit            int    // 0 means all
}

// among is the condition that a column holds one of some values, each a ?.
func among(column string, values int) string {
	if values == 0 {
		return "1 = 0"
	}
	return column + " IN (" + strings.TrimSuffix(strings.Repeat("?, ", values), ", ") + ")"
}

// rowsOf hands over the rows of things.
func rowsOf[T any](things []T, row func(T) ([]any, error)) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, thing := range things {
			if !yield(row(thing)) {
				return
			}
		}
	}
}
