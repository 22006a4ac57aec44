// Package store keeps core's tables: rates, settings, decisions, and schedules with their lines. One SQL text serves SQLite and
// Postgres. Reads take a Querier, so that they see one snapshot; writes take a transaction, so that a change, its event and
// its audit entry stand or fall together. Rates, settings, schedules and lines are append-only, which triggers enforce.
package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

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

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, q sqldb.Querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// first returns the only row of a query that finds at most one, or sql.ErrNoRows.
func first[T any](rows []T, err error) (T, error) {
	if err == nil && len(rows) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// filter gathers the conditions of a query and their arguments.
type filter struct {
	conditions []string
	args       []any
}

// where adds a condition in which each ? stands for the next argument.
func (f *filter) where(condition string, args ...any) {
	for _, arg := range args {
		f.args = append(f.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// in adds a condition that a column holds one of some values; no values means that nothing matches.
func (f *filter) in(column string, values []string) {
	if len(values) == 0 {
		f.conditions = append(f.conditions, "1 = 0")
		return
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	args := make([]any, len(values))
	for i, value := range values {
		args[i] = value
	}
	f.where(fmt.Sprintf("%s IN (%s)", column, marks), args...)
}

// scope limits rows to commissioners; nil means all.
func (f *filter) scope(commissioners []string) {
	if commissioners != nil {
		f.in("commissioner_code", commissioners)
	}
}

func (f *filter) String() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// limit adds a bound on the number of rows; 0 means none.
func (f *filter) limit(rows int) string {
	if rows == 0 {
		return ""
	}
	f.args = append(f.args, rows)
	return " LIMIT $" + strconv.Itoa(len(f.args))
}
