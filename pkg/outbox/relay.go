package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

const (
	// batchRows and batchBytes bound what is read, published and marked at once.
	batchRows  = 512
	batchBytes = 8 << 20

	// pollEvery finds what no signal told of, such as events written by a process that died before it could.
	pollEvery = time.Second

	// stepLimit bounds publishing or marking a batch; what is under way when the relay is stopped may end within it.
	stepLimit = 15 * time.Second

	// measureLimit bounds what a scrape waits for the database.
	measureLimit = time.Second

	backoffFirst = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
)

// RelayOptions says how a relay works.
type RelayOptions struct {
	// Source is the CloudEvents source of the service, such as /pcnfunding/core; it is required.
	Source string
	// Logger receives failures to publish; nil discards them.
	Logger *slog.Logger
	// Meter takes the relay's figures; nil drops them.
	Meter metric.Meter
	// Tracer makes a span for each event of a traced call, from its commit to the broker's acknowledgement; nil makes none.
	Tracer trace.TracerProvider
}

// Relay publishes a database's events. Any number may run on one database; one of them works at a time.
type Relay struct {
	db      *sqldb.DB
	pub     Publisher
	source  string
	logger  *slog.Logger
	tracer  trace.Tracer // nil for none
	of      metric.MeasurementOption
	sent    metric.Int64Counter
	failed  metric.Int64Counter
	failing bool // a failure has been logged and nothing has succeeded since
}

// NewRelay makes a relay; Run starts it.
func NewRelay(db *sqldb.DB, pub Publisher, o RelayOptions) *Relay {
	r := &Relay{db: db, pub: pub, source: o.Source, logger: o.Logger}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if o.Tracer != nil {
		r.tracer = o.Tracer.Tracer("github.com/pcnfunding/pcnfunding/pkg/outbox")
	}
	meter := o.Meter
	if meter == nil {
		meter = noop.Meter{}
	}
	r.of = metric.WithAttributes(attribute.String("service", path.Base(o.Source)))
	r.instrument(meter)
	return r
}

// instrument makes the figures, and counts nothing once, so that a counter is there before the first event. A figure that cannot be made
// is logged and does not stop the relay.
func (r *Relay) instrument(meter metric.Meter) {
	var errs [4]error
	r.sent, errs[0] = meter.Int64Counter("outbox_published_total",
		metric.WithDescription("Events that the broker has acknowledged."))
	r.failed, errs[1] = meter.Int64Counter("outbox_publish_failures_total",
		metric.WithDescription("Rounds of publishing in which something was not acknowledged."))
	_, errs[2] = meter.Float64ObservableGauge("outbox_oldest_age_seconds",
		metric.WithDescription("How long the oldest unsent event has waited."),
		metric.WithFloat64Callback(func(ctx context.Context, o metric.Float64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, measureLimit)
			defer cancel()
			age, err := OldestAge(ctx, r.db)
			if r.measured(ctx, err) {
				o.Observe(age.Seconds(), r.of)
			}
			return nil
		}))
	_, errs[3] = meter.Int64ObservableGauge("outbox_unsent",
		metric.WithDescription("Events that wait to be published, counted up to 100,000."),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, measureLimit)
			defer cancel()
			n, err := Unsent(ctx, r.db)
			if r.measured(ctx, err) {
				o.Observe(n, r.of)
			}
			return nil
		}))
	if err := errors.Join(errs[:]...); err != nil {
		r.logger.Error("the outbox has no metrics", "error", err)
	}
	if r.sent == nil {
		r.sent = noop.Int64Counter{}
	}
	if r.failed == nil {
		r.failed = noop.Int64Counter{}
	}
	r.sent.Add(context.Background(), 0, r.of)
	r.failed.Add(context.Background(), 0, r.of)
}

// measured tells whether a figure was read. One that was not is left out: an error given to the reader would take all others with it.
func (r *Relay) measured(ctx context.Context, err error) bool {
	if err != nil {
		r.logger.DebugContext(ctx, "the outbox is not measured", "error", err)
	}
	return err == nil
}

// Wake has the relay look for events now. Add does so after each commit.
func (r *Relay) Wake() { r.db.Raise(topic) }

// Run publishes until ctx ends, and then returns nil once the step under way is done. Whatever fails, the database or the
// broker, is tried again, after 100 ms at first and 5 s at most.
func (r *Relay) Run(ctx context.Context) error {
	if r.source == "" {
		return errors.New("outbox relay: no source given")
	}
	delay := backoff{}
	for ctx.Err() == nil {
		err := r.db.Lead(ctx, topic, r.work)
		if ctx.Err() == nil {
			r.complain(ctx, err)
			delay.wait(ctx)
		}
	}
	return nil
}

// work publishes while this relay leads.
func (r *Relay) work(ctx context.Context) error {
	delay := backoff{}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for ctx.Err() == nil {
		acked, err := r.pass(ctx)
		if acked > 0 {
			delay = backoff{}
		}
		if err != nil {
			r.complain(ctx, err)
			delay.wait(ctx)
			continue
		}
		r.failing = false
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-r.db.Signal(topic):
		}
	}
	return context.Cause(ctx)
}

// pass goes through the unsent events once, in their order, and returns how many were acknowledged. While a batch is published
// the one before it is marked. An event that is refused stays unsent and is passed by; when nothing of a batch is acknowledged
// the pass ends. It also ends with a batch that was not full: what came meanwhile has raised the signal.
func (r *Relay) pass(ctx context.Context) (acked int, err error) {
	marking := make(chan error, 1)
	marking <- nil
	for after := int64(0); ctx.Err() == nil; {
		batch, acks, more, batchErr := r.publish(ctx, after)
		err = errors.Join(err, <-marking, batchErr)
		if len(acks) == 0 {
			return acked, err
		}
		acked += len(acks)
		after = batch[len(batch)-1].position
		go func() { marking <- r.mark(ctx, batch, acks) }()
		if !more {
			break
		}
	}
	return acked, errors.Join(err, <-marking)
}

// publish reads the next batch and publishes it; more may follow a full one. It is not cut short when ctx ends, so that an
// acknowledgement on its way is not lost; nor is mark.
func (r *Relay) publish(ctx context.Context, after int64) (batch []Message, acks []Ack, more bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepLimit)
	defer cancel()
	batch, more, err = r.unsent(ctx, after)
	if err != nil || len(batch) == 0 {
		return nil, nil, false, err
	}
	published := r.trace(ctx, batch)
	acks, err = r.pub.Publish(ctx, batch)
	published(acks)
	r.sent.Add(ctx, int64(len(acks)), r.of)
	if err == nil && len(acks) < len(batch) {
		err = fmt.Errorf("the broker acknowledged %d of %d", len(acks), len(batch))
	}
	if err != nil {
		r.failed.Add(ctx, 1, r.of)
		return batch, acks, more, fmt.Errorf("publish events: %w", err)
	}
	return batch, acks, more, nil
}

// unsent reads the oldest events behind a position that are not marked, and tells whether there may be more.
func (r *Relay) unsent(ctx context.Context, after int64) (msgs []Message, more bool, err error) {
	const text = `SELECT ` + rowColumns + ` FROM outbox WHERE sent_at IS NULL AND position > $2 ORDER BY position LIMIT $1`
	err = r.db.Read(ctx, func(q sqldb.Querier) (err error) {
		msgs = nil
		rows, err := q.Query(ctx, text, batchRows, after)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		size := 0
		for size < batchBytes && rows.Next() {
			var one row
			if err := rows.Scan(one.fields()...); err != nil {
				return err
			}
			size += len(one.payload)
			msgs = append(msgs, one.message(r.source))
		}
		more = len(msgs) == batchRows || size >= batchBytes
		return rows.Err()
	})
	if err != nil {
		return nil, false, fmt.Errorf("read unsent events: %w", err)
	}
	return msgs, more, nil
}

// mark notes the acknowledged messages, and none else, as sent.
func (r *Relay) mark(ctx context.Context, msgs []Message, acks []Ack) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepLimit)
	defer cancel()
	acked := make(map[string]bool, len(acks))
	for _, a := range acks {
		acked[a.ID] = true
	}
	args := []any{sqldb.Micros(r.db.Now())}
	for _, m := range msgs {
		if acked[m.ID] {
			args = append(args, m.position)
		}
	}
	// The list is filled up to one of a few lengths, so that the database need not plan a new statement for each.
	for len(args)-1 < listLength(len(acks)) {
		args = append(args, args[len(args)-1])
	}
	q := `UPDATE outbox SET sent_at = $1 WHERE position IN (` + sqldb.Placeholders(2, len(args)-1) + `)`
	if _, err := r.db.Exec(ctx, q, args...); err != nil {
		return fmt.Errorf("mark events as sent: %w", err)
	}
	return nil
}

func listLength(n int) int {
	for _, length := range []int{1, 8, 64} {
		if n <= length {
			return length
		}
	}
	return batchRows
}

// complain logs a failure, but only the first of a row of them: the age of the oldest event tells the rest.
func (r *Relay) complain(ctx context.Context, err error) {
	if err != nil && !r.failing {
		r.failing = true
		r.logger.ErrorContext(ctx, "events wait in the outbox", "error", err)
	}
}

// backoff spaces attempts: 100 ms, doubled each time up to 5 s, the last half of it left to chance.
type backoff struct{ last time.Duration }

func (b *backoff) wait(ctx context.Context) {
	b.last = min(max(backoffFirst, 2*b.last), backoffMost)
	timer := time.NewTimer(b.last/2 + rand.N(b.last/2)) //nolint:gosec // spreads retries, guards nothing
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
