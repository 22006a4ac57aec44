// Package store keeps the tables of payments: schedules and their lines, runs, the ledger, exports, confirmations and choices. One
// SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a transaction, so that a
// change, its postings, its events and its audit entry stand or fall together. What was received, frozen, posted or exported
// is append-only, and a posting that does not balance is refused; triggers enforce both.
package store

import (
	"embed"
	"io/fs"

	"github.com/pcnfunding/pcnfunding/pkg/period"
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

// Page is a part of a list.
type Page struct {
	Commissioners []string // nil means all
	Before        string   // key of the last row seen; empty for the first page
	Limit         int      // 0 means all
}

// month reads a month that was stored; an empty one is none.
func month(text string) (period.Month, error) {
	if text == "" {
		return period.Month{}, nil
	}
	return period.ParseMonth(text)
}

var _ sqldb.Querier = (*sqldb.Tx)(nil)
