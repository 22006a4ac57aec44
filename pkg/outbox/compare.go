package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Kept are the events that the outbox holds.
type Kept struct {
	// Sent holds the ids of those that were published.
	Sent map[string]bool
	// Waiting holds the ids of those that were not yet.
	Waiting map[string]bool
}

// Has tells whether the outbox holds an event.
func (k Kept) Has(event string) bool { return k.Sent[event] || k.Waiting[event] }

// KeptIn returns the ids of the events that the outbox holds and that occurred at or after a time, to be compared with those of a stream.
func KeptIn(ctx context.Context, db *sqldb.DB, since time.Time) (k Kept, err error) {
	k = Kept{Sent: make(map[string]bool), Waiting: make(map[string]bool)}
	err = db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err := q.Query(ctx, `SELECT id, sent_at IS NOT NULL FROM outbox WHERE id = event_id AND occurred_at >= $1`, sqldb.Micros(since))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var id string
			var sent bool
			if err := rows.Scan(&id, &sent); err != nil {
				return err
			}
			if sent {
				k.Sent[id] = true
			} else {
				k.Waiting[id] = true
			}
		}
		return rows.Err()
	})
	if err != nil {
		return Kept{}, fmt.Errorf("list the events of the outbox: %w", err)
	}
	return k, nil
}

// ErrNumberTaken means that the outbox holds another event of the same number of its aggregate.
var ErrNumberTaken = errors.New("the database has another event of this number")

// Adopt notes an event that stands in the stream and is missing here, since the database was restored to a moment before it: it counts as
// sent, and the events of its aggregate go on after it. What it tells of is not made good by this. An event that is here already is left
// as it is; one whose number another event bears gives ErrNumberTaken.
func Adopt(ctx context.Context, tx *sqldb.Tx, m Message) error {
	sequence, err := strconv.ParseInt(m.Header[HeaderSequence], 10, 64)
	if err != nil || sequence < 1 {
		return fmt.Errorf("adopt an event: its number %q is none", m.Header[HeaderSequence])
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header[HeaderTime])
	if err != nil {
		return fmt.Errorf("adopt an event: read its time: %w", err)
	}
	id, aggregate := m.Header[HeaderID], m.Header[HeaderSubject]
	if id == "" || aggregate == "" {
		return errors.New("adopt an event: it has no id or no aggregate")
	}
	var there, taken bool
	const look = `SELECT EXISTS (SELECT 1 FROM outbox WHERE id = $1),
		EXISTS (SELECT 1 FROM outbox WHERE aggregate = $2 AND aggregate_sequence = $3 AND id = event_id)`
	if err := tx.QueryRow(ctx, look, id, aggregate, sequence).Scan(&there, &taken); err != nil {
		return fmt.Errorf("adopt event %s: %w", id, err)
	}
	switch {
	case there:
		return nil
	case taken:
		return fmt.Errorf("adopt event %s, number %d of %s: %w", id, sequence, aggregate, ErrNumberTaken)
	}
	const insert = `INSERT INTO outbox
			(id, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, created_at, sent_at)
		VALUES ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`
	_, err = tx.Exec(ctx, insert, id, aggregate, sequence, m.Subject, m.Header[HeaderType], notNil(m.Payload), m.Header[HeaderTraceparent],
		sqldb.Micros(at), sqldb.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("adopt event %s: %w", id, err)
	}
	const count = `INSERT INTO outbox_sequence (aggregate, last) VALUES ($1, $2)
		ON CONFLICT (aggregate) DO UPDATE SET last = CASE WHEN outbox_sequence.last < excluded.last THEN excluded.last ELSE outbox_sequence.last END`
	if _, err := tx.Exec(ctx, count, aggregate, sequence); err != nil {
		return fmt.Errorf("count the events of %s: %w", aggregate, err)
	}
	return nil
}
