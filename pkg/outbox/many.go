package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// countBatch is how many aggregates one statement counts up.
const countBatch = 100

// AddAll writes events as Add does, in their order, with a few statements for all of them, and returns their ids.
func AddAll(ctx context.Context, tx *sqldb.Tx, events []Event) ([]string, error) {
	if len(events) == 0 {
		return nil, nil
	}
	counts := make(map[string]int64)
	for i := range events {
		counts[events[i].Aggregate]++
	}
	next, err := reserve(ctx, tx, counts)
	if err != nil {
		return nil, fmt.Errorf("add %d events: %w", len(events), err)
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	trace, now := carrier.Get("traceparent"), sqldb.Micros(tx.Now())
	ids := make([]string, 0, len(events))
	_, err = tx.BulkInsert(ctx, "outbox", []string{
		"id", "event_id", "aggregate", "aggregate_sequence", "subject", "type", "payload", "traceparent", "occurred_at", "created_at",
	}, func(yield func([]any, error) bool) {
		for i := range events {
			name, subject, payload, err := encode(events[i])
			id, aggregate := tx.NewID(), events[i].Aggregate
			ids = append(ids, id)
			if !yield([]any{id, id, aggregate, next[aggregate], subject, name, payload, trace, now, now}, err) {
				return
			}
			next[aggregate]++
		}
	})
	if err != nil {
		return nil, fmt.Errorf("add %d events: %w", len(events), err)
	}
	tx.Raise(topic)
	return ids, nil
}

// reserve counts aggregates up by the number of their new events, and returns the number of the first of each.
func reserve(ctx context.Context, tx *sqldb.Tx, counts map[string]int64) (map[string]int64, error) {
	aggregates := slices.Sorted(maps.Keys(counts))
	locks := make([]string, len(aggregates))
	for i, aggregate := range aggregates {
		locks[i] = lockKey(aggregate)
	}
	if err := tx.LockAll(ctx, locks); err != nil {
		return nil, err
	}
	first := make(map[string]int64, len(counts))
	for batch := range slices.Chunk(aggregates, countBatch) {
		if err := reserveBatch(ctx, tx, batch, counts, first); err != nil {
			return nil, fmt.Errorf("count the events of %d aggregates: %w", len(batch), err)
		}
	}
	return first, nil
}

func reserveBatch(ctx context.Context, tx *sqldb.Tx, aggregates []string, counts, first map[string]int64) (err error) {
	values, args := make([]string, len(aggregates)), make([]any, 0, 2*len(aggregates))
	for i, aggregate := range aggregates {
		values[i] = fmt.Sprintf("($%d, $%d)", len(args)+1, len(args)+2)
		args = append(args, aggregate, counts[aggregate])
	}
	rows, err := tx.Query(ctx, `INSERT INTO outbox_sequence (aggregate, last) VALUES `+strings.Join(values, ", ")+`
		ON CONFLICT (aggregate) DO UPDATE SET last = outbox_sequence.last + excluded.last RETURNING aggregate, last`, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var aggregate string
		var last int64
		if err := rows.Scan(&aggregate, &last); err != nil {
			return err
		}
		first[aggregate] = last - counts[aggregate] + 1
	}
	return rows.Err()
}
