package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Querier runs SQL inside a transaction.
type Querier interface {
	// Query returns the rows of a query; the caller closes them.
	Query(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	// QueryRow returns at most one row; a missing one shows as sql.ErrNoRows when it is scanned.
	QueryRow(ctx context.Context, q string, args ...any) *sql.Row
	// Exec runs a statement that returns no rows.
	Exec(ctx context.Context, q string, args ...any) (sql.Result, error)
	// Send runs the statements of a batch.
	Send(ctx context.Context, b *Batch) error
}

// querier runs SQL on a connection, in the transaction that it is in.
type querier struct {
	conn    *sql.Conn
	dialect Dialect
	open    *openRows
}

func (q querier) Query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := q.conn.QueryContext(ctx, text, args...)
	if err == nil {
		q.open.add(rows)
	}
	return rows, err
}

// openRows are rows that a closure may have left open. A connection waits for them before it does anything else, and nobody else is left
// to close them.
type openRows struct {
	mu   sync.Mutex
	rows []*sql.Rows
}

// manyRows is from how many on those that were closed since are let go.
const manyRows = 16

func (o *openRows) add(rows *sql.Rows) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rows) >= manyRows {
		o.rows = slices.DeleteFunc(o.rows, func(held *sql.Rows) bool {
			_, err := held.Columns() // fails once they are closed
			return err != nil
		})
	}
	o.rows = append(o.rows, rows)
}

func (o *openRows) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rows := range o.rows {
		_ = rows.Close()
	}
	o.rows = nil
}

func (q querier) QueryRow(ctx context.Context, text string, args ...any) *sql.Row {
	return q.conn.QueryRowContext(ctx, text, args...)
}

func (q querier) Exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return q.conn.ExecContext(ctx, text, args...)
}

func (q querier) Send(ctx context.Context, b *Batch) error {
	_, err := b.run(ctx, q)
	return err
}

// Tx is a transaction that may write. It is for one goroutine, and ends with the closure it was given to.
type Tx struct {
	querier
	db      *DB
	now     time.Time
	waiting Batch // statements that are to be run before any other
	failed  error // of one that waited
	ids     uint16
	locks   []string
	after   []func()
	signals map[string]bool
}

// Now returns the time at which this transaction began; it does not change within it.
func (tx *Tx) Now() time.Time { return tx.now }

// TrustsLocks tells whether the transaction reads what stands at each statement, since its service locks before it reads (DB.TrustLocks).
func (tx *Tx) TrustsLocks() bool { return tx.db.trustLocks.Load() }

// Dialect returns the engine.
func (tx *Tx) Dialect() Dialect { return tx.db.dialect }

// Lock holds key against every other transaction of this schema until this one ends: call it before reading what a
// decision rests on. If the wait passes the lock time-out, the transaction fails with a Busy fault. On SQLite it does
// nothing, since there is only one writer.
func (tx *Tx) Lock(ctx context.Context, key string) error { return tx.LockAll(ctx, []string{key}) }

// LockAll locks keys as Lock does, in their order and in one statement. Callers that may lock some of the same keys give them in
// one order, such as sorted.
func (tx *Tx) LockAll(ctx context.Context, keys []string) error {
	if err := tx.QueueLock(ctx, keys...); err != nil {
		return err
	}
	return tx.flush(ctx)
}

// QueueLock locks keys as LockAll does, but together with what is run next. It is for a caller that goes on with a statement: the clock,
// for one, may still be that of before the lock.
func (tx *Tx) QueueLock(ctx context.Context, keys ...string) error {
	if tx.db.dialect == SQLite || len(keys) == 0 {
		return nil
	}
	tx.locks = append(tx.locks, keys...)
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = tx.db.lockName(key)
	}
	const q = `SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(CAST($1 AS text[])) AS name`
	return tx.Queue(ctx, fmt.Sprintf("lock %s and %d more", keys[0], len(keys)-1), q, names)
}

// lockName sets the schemas of one Postgres database apart, which share its advisory locks.
func (db *DB) lockName(key string) string { return db.schema + "/" + key }

// Allow raises the time limits of this transaction for a long job. On SQLite, which has none, it does nothing.
func (tx *Tx) Allow(ctx context.Context, limit time.Duration) error {
	if tx.db.dialect == SQLite {
		return nil
	}
	const q = `SELECT set_config(name, $1, true) FROM pg_settings
		WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')`
	if _, err := tx.Exec(ctx, q, millis(limit)); err != nil {
		return fmt.Errorf("raise the time limits to %s: %w", limit, err)
	}
	return nil
}

// AfterCommit has fn called once, after the transaction has committed, and never if it does not.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Raise raises the signal of a topic (see DB.Signal) after the commit, once however often it is called.
func (tx *Tx) Raise(topic string) {
	if tx.signals == nil {
		tx.signals = make(map[string]bool, 1)
	}
	if !tx.signals[topic] {
		tx.signals[topic] = true
		tx.AfterCommit(func() { tx.db.Raise(topic) })
	}
}
