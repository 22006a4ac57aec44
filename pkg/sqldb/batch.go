package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Row is a row of a result. *sql.Rows is one.
type Row interface {
	Scan(dest ...any) error
}

// Batch is statements that are run in their order and, on Postgres, sent together: each then costs its own work, and not a wait for the
// one before. A query reads what the statements before it wrote, and sees what a lock before it waited for.
type Batch struct {
	statements []*statement
}

// statement is one of a batch.
type statement struct {
	what string // is done, for its error; empty leaves the error as it is
	text string
	args []any
	row  func(Row) error        // takes a row; nil for a statement whose rows nobody reads
	done func(rows int64) error // takes the number of rows that it touched; nil if nobody asks
	must bool                   // its failure may be known to done alone, and not to the engine
	tag  string                 // that Postgres answers where it did what it says; empty where any will do
}

func (s *statement) explain(err error) error {
	if err == nil || s.what == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.what, err)
}

// errAborted says that a transaction was undone, because a statement of it failed whose error the closure dropped.
var errAborted = errors.New("a statement of the transaction failed and its error was dropped")

// Select is a query of rows that are scanned alike whether it is run alone or in a batch.
type Select[T any] struct {
	Scan func(Row) (T, error)
	Text string
	Args []any
}

// All runs the query and returns its rows.
func (s Select[T]) All(ctx context.Context, q Querier) ([]T, error) {
	return Collect(ctx, q, s.Scan, s.Text, s.Args...)
}

// First returns the first row, or sql.ErrNoRows.
func (s Select[T]) First(ctx context.Context, q Querier) (T, error) { return First(s.All(ctx, q)) }

// In adds the query to a batch. Its rows stand behind the pointer once the batch was sent.
func (s Select[T]) In(b *Batch) *[]T {
	out := new([]T)
	b.statements = append(b.statements, &statement{text: s.Text, args: s.Args, row: func(row Row) error {
		value, err := s.Scan(row)
		*out = append(*out, value)
		return err
	}})
	return out
}

// run runs the statements up to the first that fails, and returns that one with its error.
func (b *Batch) run(ctx context.Context, q querier) (failed *statement, err error) {
	if len(b.statements) == 0 {
		return nil, nil
	}
	if q.dialect == Postgres {
		err = pgxConn(q.conn, func(c *pgx.Conn) error {
			failed, err = b.send(ctx, c)
			return err
		})
		return failed, err
	}
	for _, s := range b.statements {
		if err := s.run(ctx, q.conn); err != nil {
			return s, s.explain(err)
		}
	}
	return nil, nil
}

// send sends the statements in one go.
func (b *Batch) send(ctx context.Context, c *pgx.Conn) (failed *statement, err error) {
	var out pgx.Batch
	for _, s := range b.statements {
		out.Queue(s.text, s.args...)
	}
	results := c.SendBatch(ctx, &out)
	defer func() {
		if closing := results.Close(); err == nil {
			err = closing
		}
	}()
	for _, s := range b.statements {
		if err := s.take(results); err != nil {
			return s, s.explain(err)
		}
	}
	return nil, nil
}

// take reads the result of the statement, the next of a batch.
func (s *statement) take(results pgx.BatchResults) error {
	if s.row == nil {
		tag, err := results.Exec()
		switch {
		case err != nil:
			return err
		case s.tag != "" && tag.String() != s.tag:
			return fmt.Errorf("%w: it answers %s", errAborted, tag)
		case s.done == nil:
			return nil
		}
		return s.done(tag.RowsAffected())
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// run runs the statement by itself.
func (s *statement) run(ctx context.Context, conn *sql.Conn) (err error) {
	if s.row == nil {
		result, err := conn.ExecContext(ctx, s.text, s.args...)
		if err != nil || s.done == nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		return s.done(n)
	}
	rows, err := conn.QueryContext(ctx, s.text, s.args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		if err := s.row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Queue adds a statement of whose result nothing hangs but whether it succeeds. It is run before whatever is run after it, and at the
// latest before the commit; on Postgres those that wait are sent together. What is done says what it is for. A failure undoes the
// transaction and is what Write returns, whatever the closure makes of it.
func (tx *Tx) Queue(ctx context.Context, what, q string, args ...any) error {
	return tx.queue(ctx, &statement{what: what, text: q, args: args})
}

// QueueFirst does so with a statement that must touch a row: where it touches none the failure is otherwise.
func (tx *Tx) QueueFirst(ctx context.Context, otherwise error, what, q string, args ...any) error {
	return tx.queue(ctx, &statement{what: what, text: q, args: args, must: true, done: func(rows int64) error {
		if rows == 0 {
			return otherwise
		}
		return nil
	}})
}

func (tx *Tx) queue(ctx context.Context, s *statement) error {
	tx.waiting.statements = append(tx.waiting.statements, s)
	if tx.db.dialect == SQLite {
		return tx.flush(ctx) // which answers without a way to it
	}
	return nil
}

// Settle runs what is queued, for a caller who has to know how it went.
func (tx *Tx) Settle(ctx context.Context) error { return tx.flush(ctx) }

// flush runs what waits, and then some more. The failure of one that waited is kept for Write, since it is of an earlier call.
func (tx *Tx) flush(ctx context.Context, more ...*statement) error {
	if tx.failed != nil {
		return tx.failed
	}
	batch := Batch{append(tx.waiting.statements, more...)}
	tx.waiting.statements = nil
	failed, err := batch.run(ctx, tx.querier)
	if err != nil && !slices.Contains(more, failed) {
		tx.failed = err
	}
	return err
}

// Query returns the rows of a query; the caller closes them.
func (tx *Tx) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if err := tx.flush(ctx); err != nil {
		return nil, err
	}
	return tx.querier.Query(ctx, q, args...)
}

// QueryRow returns at most one row; a missing one shows as sql.ErrNoRows when it is scanned.
func (tx *Tx) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	if err := tx.flush(ctx); err != nil {
		// A row with an error is for database/sql alone to make: it does so for a context that has ended.
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		ctx = ended
	}
	return tx.querier.QueryRow(ctx, q, args...)
}

// Exec runs a statement that returns no rows.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	var touched int64
	err := tx.flush(ctx, &statement{text: q, args: args, done: func(rows int64) error { touched = rows; return nil }})
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(touched), nil
}

// Send runs a batch.
func (tx *Tx) Send(ctx context.Context, b *Batch) error {
	return tx.flush(ctx, b.statements...)
}
