package inbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

const (
	// Keep is how long the ids of events must be kept: a replay reaches back as far.
	Keep = 396 * 24 * time.Hour

	// batchSize is how many events are handled in one transaction.
	batchSize = 64
	// sweepEvery is how often parked events are looked for whose time has come.
	sweepEvery = time.Second
	// busyLimit is how many events in a row may find the database busy before the rest of a batch is not tried.
	busyLimit = 3
	// drainLimit is how long parked events may keep new messages waiting.
	drainLimit = 500 * time.Millisecond
	// busyPause is how long a parked event waits that found the database busy.
	busyPause = 5 * time.Second
	// pruneBatch bounds what is deleted at once.
	pruneBatch = 1000
)

// Handler gives an event its effect, within tx. It must be free of effects outside tx, since it may be run again, and idempotent
// by its own keys. Its error decides what becomes of the event; see the package's description.
type Handler func(ctx context.Context, tx *sqldb.Tx, e Event) error

// Options says how an inbox works.
type Options struct {
	// Handle gives an event its effect; it is required.
	Handle Handler
	// New returns an empty message of a type, or false if the consumer knows no such type; it is required.
	New func(typeName string) (proto.Message, bool)
	// OnQuarantine is called, unless it is nil, in the transaction that puts an event in quarantine.
	OnQuarantine func(ctx context.Context, tx *sqldb.Tx, h Held) error
	// AnyStart lets the first event seen of an aggregate have any number; else it must be 1, and higher ones are parked.
	AnyStart bool
	// Logger receives failures; nil discards them.
	Logger *slog.Logger
	// Service is the consumer's name in figures.
	Service string
	// Meter takes the figures; nil drops them.
	Meter metric.Meter
	// Tracer makes a span for each event that is handled, under that of the call which caused it; nil makes none.
	Tracer trace.TracerProvider
}

// Inbox takes in the events of one database. It is safe for concurrent use.
type Inbox struct {
	db      *sqldb.DB
	options Options
	logger  *slog.Logger

	tracer                           trace.Tracer
	of                               metric.MeasurementOption
	handled, duplicates, quarantined metric.Int64Counter
	delay                            metric.Float64Histogram

	mu    sync.Mutex
	swept time.Time // when parked events were last looked for
}

// New makes an inbox. It needs the tables that DB.Migrate makes. All consumers of one database need the same handler, since each takes
// up what any of them has parked.
func New(db *sqldb.DB, o Options) *Inbox {
	in := &Inbox{db: db, options: o, logger: o.Logger}
	if in.logger == nil {
		in.logger = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider()
	}
	in.tracer = o.Tracer.Tracer("github.com/pcnfunding/pcnfunding/pkg/inbox")
	meter := o.Meter
	if meter == nil {
		meter = noop.Meter{}
	}
	in.of = metric.WithAttributes(attribute.String("service", o.Service))
	in.instrument(meter)
	return in
}

// Verdict is what the broker is to be told of a message.
type Verdict int

// The verdicts. Only after Again may the broker deliver the message once more; after the others its fate is in the database.
const (
	// Settled asks to acknowledge: the event has had its effect, or is parked.
	Settled Verdict = iota + 1
	// Quarantined asks to terminate: the event is in quarantine.
	Quarantined
	// Again asks to deliver the message later: nothing of it is stored.
	Again
)

// Take takes messages in and returns a verdict on each. It also tries parked events whose time has come, so call it each second
// or so even if there are no messages.
func (in *Inbox) Take(ctx context.Context, msgs []Delivery) []Verdict {
	verdicts := make([]Verdict, 0, len(msgs))
	touched := make(map[string]bool)
	for batch := range slices.Chunk(msgs, batchSize) {
		items := make([]*item, len(batch))
		for i, d := range batch {
			items[i] = in.read(d)
			items[i].verdict = Again
		}
		in.takeBatch(ctx, items, touched)
		for _, it := range items {
			verdicts = append(verdicts, it.verdict)
		}
	}
	in.takeParked(ctx, touched)
	return verdicts
}

// takeBatch takes items in together or, if that fails, one by one, and notes the aggregates that have moved on.
func (in *Inbox) takeBatch(ctx context.Context, items []*item, touched map[string]bool) {
	// Events that only came out of order need not be parked.
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.aggregate, b.aggregate), cmp.Compare(a.Sequence, b.Sequence))
	})
	if in.takeTogether(ctx, items, touched) == nil {
		return
	}
	busy := 0
	for _, it := range items {
		if busy == busyLimit || ctx.Err() != nil {
			return
		}
		busy++
		if in.takeOne(ctx, it, touched); it.verdict != Again {
			busy = 0
		}
	}
}

// takeTogether takes items in within one transaction; if it fails, their verdict is Again.
func (in *Inbox) takeTogether(ctx context.Context, items []*item, touched map[string]bool) error {
	var w *work
	err := in.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		if w, err = in.newWork(ctx, tx, items...); err != nil {
			return err
		}
		for _, it := range items {
			if err := w.take(ctx, it); err != nil {
				return err
			}
		}
		return w.flush(ctx)
	})
	if err != nil {
		for _, it := range items {
			it.verdict = Again
		}
		return err
	}
	for aggregate := range w.moved {
		touched[aggregate] = true
	}
	return nil
}

// takeOne takes one item in, and stores what went wrong with it if that is its own fault.
func (in *Inbox) takeOne(ctx context.Context, it *item, touched map[string]bool) {
	err := in.takeTogether(ctx, []*item{it}, touched)
	if err == nil {
		return
	}
	in.logger.WarnContext(it.traced(ctx), "an event was not handled", "event", it.event, "type", it.Type, "error", err)
	if isBusy(err) {
		return
	}
	if err := in.noteFailure(ctx, it, err); err != nil {
		it.verdict = Again
		in.logger.ErrorContext(it.traced(ctx), "the failure of an event could not be stored", "event", it.event, "error", err)
	}
}

// noteFailure stores that an item has failed.
func (in *Inbox) noteFailure(ctx context.Context, it *item, cause error) error {
	return in.db.Write(ctx, func(tx *sqldb.Tx) error {
		w, err := in.newWork(ctx, tx, it)
		if err != nil {
			return err
		}
		if err := w.fail(ctx, it, cause); err != nil {
			return err
		}
		return w.flush(ctx)
	})
}

// takeParked tries parked events whose time has come: those of aggregates that have moved on, and once a second all.
func (in *Inbox) takeParked(ctx context.Context, touched map[string]bool) {
	begun := in.db.Now()
	keys := slices.Sorted(maps.Keys(touched))
	if in.sweepIsDue() {
		waiting, err := in.waiting(ctx)
		if err != nil {
			in.logger.WarnContext(ctx, "parked events wait", "error", err)
			return
		}
		keys = slices.Compact(slices.Sorted(slices.Values(append(keys, waiting...))))
	}
	for some := range slices.Chunk(keys, batchSize) {
		in.drain(ctx, some, begun)
	}
}

// sweepIsDue reports whether all parked events are to be looked through, and if so notes that they are. A clock that was set
// back makes it due.
func (in *Inbox) sweepIsDue() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.db.Now()
	if passed := now.Sub(in.swept); passed >= 0 && passed < sweepEvery {
		return false
	}
	in.swept = now
	return true
}

// drain takes up parked events, batch by batch, until there are none whose time has come. When a batch fails they are taken up
// one by one until the one is met that it failed on. That one waits for its next attempt, and so is not met again. A drain that
// takes long makes way for new messages, and the next call of Take goes on with it.
func (in *Inbox) drain(ctx context.Context, aggregates []string, begun time.Time) {
	for limit := batchSize; ctx.Err() == nil; {
		if in.db.Now().Sub(begun) > drainLimit {
			in.mu.Lock()
			in.swept = time.Time{}
			in.mu.Unlock()
			return
		}
		items, err := in.drainBatch(ctx, aggregates, limit)
		switch {
		case err == nil && len(items) == 0:
			return
		case err == nil:
		case limit > 1 && len(items) > 0:
			limit = 1
		case len(items) == 0 || in.postpone(ctx, items[0], err) != nil:
			in.logger.WarnContext(ctx, "parked events wait", "error", err)
			return
		default:
			limit = batchSize
		}
	}
}

// drainBatch takes up at most so many parked events in one transaction and returns them.
func (in *Inbox) drainBatch(ctx context.Context, aggregates []string, limit int) (items []*item, err error) {
	err = in.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		items = nil
		if err := tx.Lock(ctx, lockKey); err != nil {
			return err
		}
		if items, err = in.ready(ctx, tx, aggregates, limit); err != nil || len(items) == 0 {
			return err
		}
		w, err := in.newWork(ctx, tx, items...)
		if err != nil {
			return err
		}
		for _, it := range items {
			if err := w.take(ctx, it); err != nil {
				return err
			}
		}
		return w.flush(ctx)
	})
	return items, err
}

// postpone notes why a parked event was not handled. One that found the database busy has its next attempt soon, and has not failed.
func (in *Inbox) postpone(ctx context.Context, it *item, cause error) error {
	in.logger.WarnContext(it.traced(ctx), "a parked event was not handled", "event", it.event, "type", it.Type, "error", cause)
	if !isBusy(cause) {
		return in.noteFailure(ctx, it, cause)
	}
	_, err := in.db.Exec(ctx, `UPDATE inbox_held SET retry_at = $1 WHERE event = $2 AND reason = ''`,
		sqldb.Micros(in.db.Now().Add(busyPause)), it.event)
	return err
}

// Forget lets events of a source be handled once more when they are sent again: their effect was undone, or was to be completed by
// one that cannot be handled.
func Forget(ctx context.Context, tx *sqldb.Tx, source string, ids []string) error {
	for _, id := range ids {
		if _, err := tx.Exec(ctx, `DELETE FROM inbox_seen WHERE event = $1`, source+" "+id); err != nil {
			return fmt.Errorf("forget event %s: %w", id, err)
		}
	}
	return nil
}

// Prune deletes the ids of events seen before a time and returns how many. Use a time at least Keep ago: an older event that comes
// once more is handed to the handler again.
func Prune(ctx context.Context, db *sqldb.DB, before time.Time) (total int64, err error) {
	const q = `DELETE FROM inbox_seen WHERE event IN (SELECT event FROM inbox_seen WHERE seen_at < $1 LIMIT $2)`
	for {
		result, err := db.Exec(ctx, q, sqldb.Micros(before), pruneBatch)
		if err != nil {
			return total, fmt.Errorf("delete old event ids: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("delete old event ids: %w", err)
		}
		if total += n; n < pruneBatch {
			return total, nil
		}
	}
}
