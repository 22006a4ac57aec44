// Package store keeps core's tables: rates, settings, decisions, and schedules with their lines. One SQL text serves SQLite and
// Postgres. Reads take a Querier, so that they see one snapshot; writes take a transaction, so that a change, its event and
// its audit entry stand or fall together. Rates, settings, schedules and lines are append-only, which triggers enforce.
package store

import (
	"embed"
	"io/fs"
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
