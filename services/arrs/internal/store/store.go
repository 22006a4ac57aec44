// Package store keeps the tables of arrs: figures, settings, decisions, yearly sums, engagements, claims, and schedules with their
// lines. One SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a transaction, so
// that a change, its event and its audit entry stand or fall together. Figures, choices, yearly sums and schedules are append-only,
// which triggers enforce; claims change state, and lose their pay when its time is over.
package store

import (
	"embed"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
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

// limit lets the rows through that lie in the scope, by their columns.
func (s Scope) limit(f *sqldb.Filter, commissioner, pcn string) {
	if s.Commissioners == nil {
		return
	}
	codes := slices.Concat(s.Commissioners, s.PCNs)
	args := make([]any, len(codes))
	for i, code := range codes {
		args[i] = code
	}
	f.Where(fmt.Sprintf("(%s OR %s)", among(commissioner, len(s.Commissioners)), among(pcn, len(s.PCNs))), args...)
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

// scope selects the rows of commissioners or PCNs: who holds either sees them.
func (by Page) scope() (f sqldb.Filter) {
	by.within(&f, "commissioner_code", "pcn_code")
	return f
}

// within does so where the columns have other names.
func (by Page) within(f *sqldb.Filter, commissioner, pcn string) {
	by.limit(f, commissioner, pcn)
	f.Equal(commissioner, by.CommissionerCode, pcn, by.PCNCode)
}

// newest selects the rows of a list that begins with the newest, by its columns of the year and of the key.
func (by Page) newest(year, key string) sqldb.Filter {
	f := by.scope()
	f.Equal(year, by.Year)
	if by.Before != "" {
		f.Where(key+" < ?", by.Before)
	}
	return f
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
