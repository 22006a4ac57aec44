package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
)

// sqliteBulkParameters bounds the parameters of one multi-row statement: beyond it larger statements are no faster.
const sqliteBulkParameters = 600

// BulkInsert adds many rows to a table and returns how many. Each row holds the values of the columns, in their order; the
// rows are taken one by one and not kept, so memory does not grow with their number. An error that rows yields ends the
// work and comes back wrapped.
func (tx *Tx) BulkInsert(ctx context.Context, table string, columns []string, rows iter.Seq2[[]any, error]) (int64, error) {
	for _, name := range append([]string{table}, columns...) {
		if !isIdentifier(name) {
			return 0, fmt.Errorf("insert into %s: %q is not a plain lower-case identifier", table, name)
		}
	}
	if len(columns) == 0 {
		return 0, fmt.Errorf("insert into %s: no columns named", table)
	}
	insert := tx.bulkSQLite
	if tx.db.dialect == Postgres {
		insert = tx.bulkPostgres
	}
	n, err := insert(ctx, table, columns, rows)
	if err != nil {
		return n, fmt.Errorf("insert into %s: %w", table, err)
	}
	return n, nil
}

// copySource feeds an iterator to COPY.
type copySource struct {
	next  func() ([]any, error, bool)
	width int
	row   []any
	err   error
}

func (s *copySource) Next() bool {
	row, err, ok := s.next()
	if !ok {
		return false
	}
	s.row, s.err = row, err
	if s.err == nil && len(row) != s.width {
		s.err = errWidth(len(row), s.width)
	}
	return s.err == nil
}

func (s *copySource) Values() ([]any, error) { return s.row, nil }
func (s *copySource) Err() error             { return s.err }

func errWidth(got, want int) error {
	return fmt.Errorf("a row has %d values for %d columns", got, want)
}

func (tx *Tx) bulkPostgres(ctx context.Context, table string, columns []string, rows iter.Seq2[[]any, error]) (n int64, err error) {
	next, stop := iter.Pull2(rows)
	defer stop()
	source := &copySource{next: next, width: len(columns)}
	err = pgxConn(tx.conn, func(c *pgx.Conn) error {
		var err error
		n, err = c.CopyFrom(ctx, pgx.Identifier{table}, columns, source)
		return err
	})
	if source.err != nil {
		return n, source.err // COPY would show it as text only
	}
	return n, err
}

func (tx *Tx) bulkSQLite(ctx context.Context, table string, columns []string, rows iter.Seq2[[]any, error]) (n int64, err error) {
	batch := max(1, sqliteBulkParameters/len(columns))
	stmt, err := tx.tx.PrepareContext(ctx, insertSQL(table, columns, batch))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	args := make([]any, 0, batch*len(columns))
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		if len(row) != len(columns) {
			return n, errWidth(len(row), len(columns))
		}
		args = append(args, row...)
		if len(args) < cap(args) {
			continue
		}
		if err := addRows(&n)(stmt.ExecContext(ctx, args...)); err != nil {
			return n, err
		}
		args = args[:0]
	}
	if len(args) == 0 {
		return n, nil
	}
	return n, addRows(&n)(tx.Exec(ctx, insertSQL(table, columns, len(args)/len(columns)), args...))
}

// addRows adds the rows of a result to n.
func addRows(n *int64) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return err
		}
		added, err := result.RowsAffected()
		*n += added
		return err
	}
}

// insertSQL writes an INSERT of so many rows for SQLite, with parameters that have no names: it looks each name up in a list of
// all of them, which costs more than the insert.
func insertSQL(table string, columns []string, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", table, strings.Join(columns, ", "),
		strings.TrimSuffix(strings.Repeat(row+", ", rows), ", "))
}

// Placeholders returns n parameters, from $first on, separated by commas: for IN (…) and for lists of values.
func Placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}
