package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

const (
	// maxAttempts bounds how often a transaction is run when Postgres cannot fit it into a serial order with others.
	maxAttempts = 5
	// queueAfter is the failed attempt after which a transaction queues with all others that fail again and again.
	queueAfter = 2
	// queueKey is what they queue for.
	queueKey = "*"
	// lockWaits is how many lock time-outs a retry waits for a lock.
	lockWaits = 3
)

// Read runs fn in one read-only transaction: all its queries see the same snapshot.
func (db *DB) Read(ctx context.Context, fn func(Querier) error) (err error) {
	ctx, observed := db.observe(ctx, reading)
	defer func() { observed(err) }()
	conn, err := acquire(ctx, db.reader)
	if err != nil {
		return explain(fmt.Errorf("begin to read: %w", err))
	}
	defer conn.Close() //nolint:errcheck // it only goes back to the pool
	begin := "BEGIN"
	if db.dialect == Postgres {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return explain(fmt.Errorf("begin to read: %w", orCancelled(ctx, err)))
	}
	open := new(openRows)
	defer func() {
		open.close()
		rollback(ctx, conn)
	}()
	return explain(orCancelled(ctx, fn(querier{conn, db.dialect, open})))
}

// orCancelled names the true cause when database/sql has ended a transaction, a statement or a connection because its context ended: it
// has several errors for that, not all exported. What fn refused stays what it is.
func orCancelled(ctx context.Context, err error) error {
	if _, refused := fault.As(err); err == nil || refused || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// Write runs fn in one transaction and commits it; if fn fails or panics, nothing of it stays. Transactions behave as if they ran
// one after another: on SQLite they do; on Postgres they are SERIALIZABLE, or rest on locks (TrustLocks). There fn is run again, at
// most five times in all, when it met another at the wrong moment, also where that shows as a row that is there already. Errors of
// fn come back wrapped as they are; a database that is out of reach, locked or full gives a Busy fault.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) (err error) {
	ctx, observed := db.observe(ctx, writing)
	defer func() { observed(err) }()
	conn, err := acquire(ctx, db.writer)
	if err != nil {
		return explain(fmt.Errorf("begin to write: %w", err))
	}
	defer conn.Close() //nolint:errcheck // it only goes back to the pool
	var keys []string  // held on the connection from the second attempt on
	defer func() { unlock(ctx, conn, keys) }()
	for attempt := 1; ; attempt++ {
		locks, err := db.writeOnce(ctx, conn, fn)
		if err == nil {
			return nil
		}
		// A transaction that waited for a lock has a snapshot from before it, and may run into a row that it could not see. Run again,
		// with the lock held from the start, it finds the row.
		unseen := attempt == 1 && len(locks) > 0 && IsUnique(err)
		if (!isRetryable(err) && !unseen) || attempt == maxAttempts {
			return explain(orCancelled(ctx, err))
		}
		trace.SpanFromContext(ctx).AddEvent("run again")
		if err := pause(ctx, attempt); err != nil {
			return explain(err)
		}
		unlock(ctx, conn, keys)
		keys = retryKeys(attempt, append(keys, locks...))
		if err := db.lock(ctx, conn, keys); err != nil {
			return explain(err)
		}
	}
}

// beginning is how a transaction that writes begins.
func (db *DB) beginning() string {
	switch {
	case db.dialect == SQLite:
		return "BEGIN IMMEDIATE"
	case db.trustLocks.Load():
		return "BEGIN ISOLATION LEVEL READ COMMITTED"
	default:
		return "BEGIN ISOLATION LEVEL SERIALIZABLE"
	}
}

// writeOnce runs fn in one transaction and returns the keys that it locked.
func (db *DB) writeOnce(ctx context.Context, conn *sql.Conn, fn func(*Tx) error) (locks []string, err error) {
	tx := &Tx{querier: querier{conn, db.dialect, new(openRows)}, db: db, now: db.Now()}
	committed := false
	defer func() {
		tx.open.close()
		if !committed {
			rollback(ctx, conn)
		}
	}()
	if err := tx.Queue(ctx, "begin to write", db.beginning()); err != nil {
		return nil, err
	}
	err = fn(tx)
	if err := cmp.Or(tx.failed, err); err != nil {
		return tx.locks, err
	}
	if err := tx.commit(ctx); err != nil {
		return tx.locks, err
	}
	committed = true
	for _, hook := range tx.after {
		hook()
	}
	return nil, nil
}

// commit is the statement that commits. Postgres answers it with ROLLBACK, and no error, where a statement before it failed.
const commit = "COMMIT"

// commit runs what waits and commits. A statement that must touch a row is waited for, since the engine does not know that it must.
func (tx *Tx) commit(ctx context.Context) error {
	if slices.ContainsFunc(tx.waiting.statements, func(s *statement) bool { return s.must }) {
		if err := tx.flush(ctx); err != nil {
			return err
		}
	}
	return tx.flush(ctx, &statement{what: "commit", text: commit, tag: commit})
}

// rollback undoes the transaction of a connection, if it is in one; a connection on which that fails is closed, which undoes it too.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockLimit)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// retryKeys returns the locks to hold before the next attempt begins. They are those that the failed ones used: a transaction that
// waits for a lock inside itself wakes with an old snapshot, and fails once more if the one before it changed what it reads, so
// that of many waiters each would use up its attempts. A transaction that has failed repeatedly also queues with others
// of its kind, which may undo each other without a lock in common. That key comes first, and the others have an order, so that no
// two transactions can each hold what the other waits for.
func retryKeys(failed int, keys []string) []string {
	keys = slices.DeleteFunc(keys, func(k string) bool { return k == queueKey })
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if failed >= queueAfter {
		keys = slices.Insert(keys, 0, queueKey)
	}
	return keys
}

// lock holds keys on the connection itself, beyond the end of a transaction.
func (db *DB) lock(ctx context.Context, conn *sql.Conn, keys []string) error {
	for _, key := range keys {
		for wait := 1; ; wait++ {
			_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", db.lockName(key))
			if err == nil {
				break
			}
			if wait == lockWaits || !isCode(err, pgLockTimeout) {
				return fmt.Errorf("lock %s: %w", key, err)
			}
		}
	}
	return nil
}

// unlock frees the connection's own locks; a connection on which that fails is closed, which frees them too.
func unlock(ctx context.Context, conn *sql.Conn, keys []string) {
	if len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockLimit)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// Exec runs one statement in a transaction of its own, without the serial order that Write keeps. It is for bookkeeping, where
// no decision rests on what was read: marking rows, deleting what has expired.
func (db *DB) Exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	conn, err := acquire(ctx, db.writer)
	if err != nil {
		return nil, explain(fmt.Errorf("begin to write: %w", err))
	}
	defer conn.Close() //nolint:errcheck // it only goes back to the pool
	result, err := conn.ExecContext(ctx, q, args...)
	return result, explain(err)
}

// acquire takes a connection from the pool, waiting no longer than acquireLimit.
func acquire(ctx context.Context, pool *sql.DB) (*sql.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, acquireLimit)
	defer cancel()
	conn, err := pool.Conn(waiting)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, fault.New(fault.Busy, ReasonTryAgain, "no database connection came free").Because(err)
	}
	return conn, err
}

// pause waits before the next attempt: about 5 ms, doubled each time, with half of it left to chance.
func pause(ctx context.Context, attempt int) error {
	d := 5 * time.Millisecond << (attempt - 1)
	timer := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // spreads retries, guards nothing
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait to try again: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
