package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// topic is the signal that wakes the relay, and the name under which one relay at a time leads.
const topic = "outbox"

const (
	// MaxPayload is the largest encoded event, in bytes. Brokers refuse what is above 1 MiB with its headers, and an event that
	// is always refused would hold up the relay; a larger one has to be split by the service that makes it.
	MaxPayload = 768 << 10

	// England stands in a subject for the commissioner of events that concern no single one.
	England = "england"

	// Keep is how long a sent event must stay in the table.
	Keep = 396 * 24 * time.Hour

	// ReasonEventNotFound means that no such event is in the outbox.
	ReasonEventNotFound = "EVENT_NOT_FOUND"

	pruneBatch  = 1000
	reemitBatch = 500
)

// Event is something that has happened, to be told to other services.
type Event struct {
	// Aggregate names the thing that changed; its events are numbered from 1.
	Aggregate string
	// CommissionerCode is that of the payer, so that a partner can be granted one commissioner's events; empty means England.
	CommissionerCode string
	// Message is the content. It must not hold personal pay data in a field that a partner should not see.
	Message proto.Message
}

// Add writes an event, to be published once tx has committed, and returns its id. The subject is the full name of the message
// and the commissioner's code.
func Add(ctx context.Context, tx *sqldb.Tx, e Event) (id string, err error) {
	name, subject, payload, err := encode(e)
	if err != nil {
		return "", err
	}
	// The lock keeps two writers of one aggregate from failing each other again and again: the second waits, is run once more, and then
	// goes ahead alone. Where locks are trusted the row itself does that.
	if !tx.TrustsLocks() {
		if err := tx.QueueLock(ctx, lockKey(e.Aggregate)); err != nil {
			return "", fmt.Errorf("add event %s: %w", name, err)
		}
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	id = tx.NewID()
	insert := insertSQLite
	if tx.Dialect() == sqldb.Postgres {
		insert = insertPostgres
	} else if err := tx.Queue(ctx, "count the events of "+e.Aggregate, countUp, e.Aggregate); err != nil {
		return "", fmt.Errorf("add event %s: %w", name, err)
	}
	err = tx.Queue(ctx, "add event "+name, insert, id, e.Aggregate, subject, name, payload, carrier.Get("traceparent"), sqldb.Micros(tx.Now()))
	if err != nil {
		return "", err
	}
	tx.Raise(topic)
	return id, nil
}

// countUp counts the events of an aggregate up.
const countUp = `INSERT INTO outbox_sequence (aggregate, last) VALUES ($1, 1)
	ON CONFLICT (aggregate) DO UPDATE SET last = outbox_sequence.last + 1`

// The statements that insert an event: Postgres counts in the same one, since a SELECT of its own would count as having read what other
// transactions write next to it; SQLite, which cannot, after it.
const (
	insertHead = `INSERT INTO outbox (id, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, created_at)
		SELECT $1, $1, aggregate, last, $3, $4, $5, $6, $7, $7 FROM `
	insertSQLite   = insertHead + `outbox_sequence WHERE aggregate = $2`
	insertPostgres = `WITH counted AS (INSERT INTO outbox_sequence (aggregate, last) VALUES ($2, 1)
		ON CONFLICT (aggregate) DO UPDATE SET last = outbox_sequence.last + 1 RETURNING aggregate, last) ` + insertHead + `counted`
)

// encode returns the type, the subject and the payload of an event.
func encode(e Event) (name, subject string, payload []byte, err error) {
	name = string(e.Message.ProtoReflect().Descriptor().FullName())
	if e.Aggregate == "" {
		return "", "", nil, fmt.Errorf("add event %s: no aggregate named", name)
	}
	if e.CommissionerCode == "" {
		e.CommissionerCode = England
	}
	if strings.ContainsAny(e.CommissionerCode, ".*> \t\r\n\x00") {
		return "", "", nil, fmt.Errorf("add event %s: the commissioner's code cannot stand in a subject", name)
	}
	payload, err = proto.MarshalOptions{Deterministic: true}.Marshal(e.Message)
	if err != nil {
		return "", "", nil, fmt.Errorf("add event %s: encode: %w", name, err)
	}
	if len(payload) > MaxPayload {
		return "", "", nil, fmt.Errorf("add event %s: it has %d bytes and may have %d", name, len(payload), MaxPayload)
	}
	return name, name + "." + e.CommissionerCode, notNil(payload), nil
}

// notNil keeps an empty payload from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// lockKey is what the writers of one aggregate wait for.
func lockKey(aggregate string) string { return "outbox/" + aggregate }

// Reemit has events published once more, in the order given, and returns the ids of the new messages. The consumers find the
// event's own id and sequence in them, and a consumer that has had the event ignores it.
func Reemit(ctx context.Context, tx *sqldb.Tx, ids []string) ([]string, error) {
	const q = `INSERT INTO outbox (id, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, created_at)
		SELECT $1, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, $3 FROM outbox WHERE id = $2`
	made := make([]string, 0, len(ids))
	for _, id := range ids {
		message := tx.NewID()
		result, err := tx.Exec(ctx, q, message, id, sqldb.Micros(tx.Now()))
		if err != nil {
			return nil, fmt.Errorf("send event %s again: %w", id, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, fmt.Errorf("send event %s again: %w", id, err)
		} else if n == 0 {
			return nil, fault.New(fault.NotFound, ReasonEventNotFound, "there is no event %s in the outbox", id).With("event", id)
		}
		made = append(made, message)
	}
	tx.Raise(topic)
	return made, nil
}

// ReemitSince has all events that occurred at or after a time published once more, in their order, and returns how many: this
// rebuilds a stream that was lost. It works in batches, so events added meanwhile may be among them; that does no harm.
func ReemitSince(ctx context.Context, db *sqldb.DB, since time.Time) (total int, err error) {
	for after := int64(0); ; {
		var ids []string
		err := db.Read(ctx, func(q sqldb.Querier) error {
			ids, after, err = originals(ctx, q, since, after)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("send events again: %w", err)
		}
		if len(ids) == 0 {
			return total, nil
		}
		err = db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := Reemit(ctx, tx, ids)
			return err
		})
		if err != nil {
			return total, err
		}
		total += len(ids)
	}
}

// originals returns the ids of the next events that were published under their own id, and the position of the last of them.
func originals(ctx context.Context, q sqldb.Querier, since time.Time, after int64) (ids []string, last int64, err error) {
	const text = `SELECT id, position FROM outbox WHERE position > $1 AND occurred_at >= $2 AND id = event_id ORDER BY position LIMIT $3`
	rows, err := q.Query(ctx, text, after, sqldb.Micros(since), reemitBatch)
	if err != nil {
		return nil, after, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	last = after
	for rows.Next() {
		var id string
		if err := rows.Scan(&id, &last); err != nil {
			return nil, after, err
		}
		ids = append(ids, id)
	}
	return ids, last, rows.Err()
}

// OldestAge returns how long the oldest unsent event has waited, 0 if none waits.
func OldestAge(ctx context.Context, db *sqldb.DB) (age time.Duration, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		var created int64
		err := q.QueryRow(ctx, `SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY position LIMIT 1`).Scan(&created)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		age = max(0, db.Now().Sub(sqldb.FromMicros(created)))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("age of the oldest unsent event: %w", err)
	}
	return age, nil
}

// unsentMost bounds what Unsent counts.
const unsentMost = 100_000

// Unsent returns how many events wait to be published, or 100,000 if there are more.
func Unsent(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		return q.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM outbox WHERE sent_at IS NULL LIMIT $1) AS unsent`, unsentMost).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the unsent events: %w", err)
	}
	return n, nil
}

// Prune deletes events sent before a time and returns how many. Use a time at least Keep ago.
func Prune(ctx context.Context, db *sqldb.DB, before time.Time) (total int64, err error) {
	const q = `DELETE FROM outbox WHERE position IN (
		SELECT position FROM outbox WHERE created_at < $1 AND sent_at < $1 ORDER BY position LIMIT $2)`
	for {
		result, err := db.Exec(ctx, q, sqldb.Micros(before), pruneBatch)
		if err != nil {
			return total, fmt.Errorf("delete old events: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("delete old events: %w", err)
		}
		if total += n; n < pruneBatch {
			return total, nil
		}
	}
}
