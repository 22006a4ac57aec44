// Package store keeps the tables of payments: schedules and their lines, runs, the ledger, exports, confirmations and choices. One
// SQL text serves SQLite and Postgres. Reads take a Querier, so that they see one snapshot; writes take a transaction, so that a
// change, its postings, its events and its audit entry stand or fall together. What was received, frozen, posted or exported
// is append-only, and a posting that does not balance is refused; triggers enforce both.
package store

import (
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
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

// Page is a part of a list.
type Page struct {
	Commissioners []string // nil means all
	Before        string   // key of the last row seen; empty for the first page
	Limit         int      // 0 means all
}

// marshal writes a message for a column.
func marshal(m proto.Message) ([]byte, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}

// unmarshal reads a message out of a column.
func unmarshal[T proto.Message](body []byte, into T) (T, error) {
	if err := proto.Unmarshal(body, into); err != nil {
		return into, fmt.Errorf("read %s: %w", into.ProtoReflect().Descriptor().FullName(), err)
	}
	return into, nil
}

// texts scans one text column.
func text(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}

// month reads a month that was stored; an empty one is none.
func month(text string) (period.Month, error) {
	if text == "" {
		return period.Month{}, nil
	}
	return period.ParseMonth(text)
}

// one checks that a statement changed exactly one row: otherwise another came first.
func one(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

var _ sqldb.Querier = (*sqldb.Tx)(nil)
