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

const (
	// sqliteBulkParameters bounds the parameters of one multi-row statement: beyond it larger statements are no faster.
	sqliteBulkParameters = 600
	// securedRows are those of one INSERT into a table with row security, which COPY cannot fill.
	securedRows = 500
	// fewRows are no more than Postgres takes faster by one INSERT, whose plan it keeps, than by a COPY, which it prepares each time.
	fewRows = 16
)

// BulkInsert adds many rows to a table and returns how many. Each row holds the values of the columns, in their order; the
// rows are taken one by one and not kept, so memory does not grow with their number. An error that rows yields ends the
// work and comes back wrapped. A few rows are queued on Postgres (Queue), so that a key they break is told later.
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

// Analyze tells Postgres what a table holds now, for a caller who has added a good part of it and goes on to read it: until it is told,
// it plans as for the table that was. SQLite looks for itself.
func (tx *Tx) Analyze(ctx context.Context, table string) error {
	if tx.db.dialect == SQLite {
		return nil
	}
	if !isIdentifier(table) {
		return fmt.Errorf("analyze %q: not a plain lower-case identifier", table)
	}
	// The table is its owner's to analyse, so a function of the owner does it.
	if _, err := tx.Exec(ctx, "SELECT analyze_table($1)", table); err != nil {
		return fmt.Errorf("analyze %s: %w", table, err)
	}
	return nil
}

// copySource feeds an iterator to COPY.
type copySource struct {
	next  func() ([]any, error, bool)
	width int
	ahead []any // values of rows that were taken already
	row   []any
	err   error
}

func (s *copySource) Next() bool {
	if len(s.ahead) > 0 {
		s.row, s.ahead = s.ahead[:s.width], s.ahead[s.width:]
		return true
	}
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
	var first []any
	for len(first) < fewRows*len(columns) && source.Next() {
		first = append(first, source.row...)
	}
	if source.err != nil {
		return 0, source.err
	}
	if len(first) < fewRows*len(columns) {
		if len(first) == 0 {
			return 0, nil
		}
		n := len(first) / len(columns)
		return int64(n), tx.Queue(ctx, "insert into "+table, insertSQL(table, columns, n, numbered), first...)
	}
	if err := tx.flush(ctx); err != nil {
		return 0, err
	}
	source.ahead = first
	if secured, err := tx.rowSecurity(ctx, table); err != nil {
		return 0, err
	} else if secured {
		return tx.bulkSecured(ctx, table, columns, source)
	}
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

// rowSecurity tells whether row security binds this session on a table. That is asked once, since only a migration changes it.
func (tx *Tx) rowSecurity(ctx context.Context, table string) (bool, error) {
	if known, found := tx.db.secured.Load(table); found {
		return known.(bool), nil //nolint:forcetypeassert // the map holds nothing else
	}
	var secured bool
	if err := tx.QueryRow(ctx, `SELECT row_security_active($1)`, table).Scan(&secured); err != nil {
		return false, fmt.Errorf("ask for row security: %w", err)
	}
	tx.db.secured.Store(table, secured)
	return secured, nil
}

// bulkSecured adds rows by statements of many rows each.
func (tx *Tx) bulkSecured(ctx context.Context, table string, columns []string, source *copySource) (n int64, err error) {
	args := make([]any, 0, securedRows*len(columns))
	add := func() error {
		if len(args) == 0 {
			return nil
		}
		err := addRows(&n)(tx.Exec(ctx, insertSQL(table, columns, len(args)/len(columns), numbered), args...))
		args = args[:0]
		return err
	}
	for source.Next() {
		if args = append(args, source.row...); len(args) == cap(args) {
			if err := add(); err != nil {
				return n, err
			}
		}
	}
	if source.err != nil {
		return n, source.err
	}
	return n, add()
}

func (tx *Tx) bulkSQLite(ctx context.Context, table string, columns []string, rows iter.Seq2[[]any, error]) (n int64, err error) {
	batch := max(1, sqliteBulkParameters/len(columns))
	var stmt *sql.Stmt // of a full batch, for which a few rows need not wait
	defer func() {
		if stmt != nil {
			err = errors.Join(err, stmt.Close())
		}
	}()
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
		if stmt == nil {
			if stmt, err = tx.conn.PrepareContext(ctx, insertSQL(table, columns, batch, unnamed)); err != nil { //nolint:sqlclosecheck // closed above
				return n, err
			}
		}
		if err := addRows(&n)(stmt.ExecContext(ctx, args...)); err != nil {
			return n, err
		}
		args = args[:0]
	}
	if len(args) == 0 {
		return n, nil
	}
	err = addRows(&n)(tx.Exec(ctx, insertSQL(table, columns, len(args)/len(columns), unnamed), args...))
	return n, err
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

// unnamed are the parameters of a row for SQLite, which looks each name up in a list of all of them: that costs more than the insert.
func unnamed(_, n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// numbered are those for Postgres.
func numbered(row, n int) string { return Placeholders(row*n+1, n) }

// insertSQL writes an INSERT of so many rows.
func insertSQL(table string, columns []string, rows int, parameters func(row, n int) string) string {
	values := make([]string, rows)
	for row := range values {
		values[row] = "(" + parameters(row, len(columns)) + ")"
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", table, strings.Join(columns, ", "), strings.Join(values, ", "))
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
