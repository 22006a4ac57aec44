package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// leadRetry is how often a process that does not lead tries to.
	leadRetry = time.Second
	// leadCheck is how often a process that leads makes sure that its connection, and so its lock, is still there.
	leadCheck = 2 * time.Second
)

// Lead runs fn while this process alone leads in topic among all that use the database; before that it waits for the one that
// leads now to end. The context of fn ends when the lead may be lost, which is when the connection that holds it is. Lead returns
// what fn returned, or why it could not begin.
//
// A signal of the topic (see Raise) that is raised in any process waiting to lead is raised in the leading one too. SQLite is used
// by one process, so there it is enough to keep out other calls of Lead on the same DB.
func (db *DB) Lead(ctx context.Context, topic string, fn func(context.Context) error) error {
	if db.dialect == SQLite {
		return db.leadAlone(ctx, topic, fn)
	}
	config := db.config.Copy()
	// Nothing is stored over this connection, so the commit of a notification need not wait for the disk.
	config.RuntimeParams["synchronous_commit"] = "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return explain(fmt.Errorf("lead in %s: %w", topic, err))
	}
	defer closeQuietly(ctx, conn)
	if err := db.awaitLead(ctx, conn, topic); err != nil {
		return explain(fmt.Errorf("lead in %s: %w", topic, err))
	}
	leading, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		stop(db.watchLead(leading, conn, topic))
	}()
	err = fn(leading)
	stop(nil)
	<-watched
	return err
}

func (db *DB) leadAlone(ctx context.Context, topic string, fn func(context.Context) error) error {
	seat := db.Signal("lead/" + topic)
	select {
	case seat <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-seat }()
	return fn(ctx)
}

// awaitLead tries to take the lock of the topic until it succeeds, and meanwhile passes signals on to the one that leads.
func (db *DB) awaitLead(ctx context.Context, conn *pgx.Conn, topic string) error {
	ticker := time.NewTicker(leadRetry)
	defer ticker.Stop()
	for {
		var leads bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", db.lockName(topic)).Scan(&leads)
		if err != nil {
			return err
		}
		if leads {
			_, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{db.lockName(topic)}.Sanitize())
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-db.Signal(topic):
			if _, err := conn.Exec(ctx, "SELECT pg_notify($1, '')", db.lockName(topic)); err != nil {
				return err
			}
		}
	}
}

// watchLead raises the signals that other processes send, and returns when the connection is lost or ctx ends.
func (db *DB) watchLead(ctx context.Context, conn *pgx.Conn, topic string) error {
	for {
		wait, cancel := context.WithTimeout(ctx, leadCheck)
		_, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			db.Raise(topic)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			check, cancel := context.WithTimeout(ctx, leadCheck)
			err := conn.Ping(check)
			cancel()
			if err != nil {
				return fmt.Errorf("the connection that holds the lead is lost: %w", err)
			}
		default:
			return fmt.Errorf("the connection that holds the lead is lost: %w", err)
		}
	}
}

// closeQuietly ends a connection even where ctx has ended.
func closeQuietly(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
