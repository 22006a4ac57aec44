package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// scope names what makes the spans and figures of this package.
const scope = "github.com/pcnfunding/pcnfunding/pkg/sqldb"

// figures are what a database tells about itself, once Measure was called.
type figures struct {
	duration metric.Float64Histogram
	of       map[[2]string]metric.MeasurementOption // by operation and outcome: made once, for every transaction needs one
}

// Measure has the database tell how long its transactions take, and how many of its connections are in use. The namespace is the service.
// Call it before the database is used, and once.
func (db *DB) Measure(meter metric.Meter, namespace string) error {
	common := []attribute.KeyValue{
		attribute.String("db.system.name", db.systemName()), attribute.String("db.namespace", namespace),
	}
	duration, err := meter.Float64Histogram("db.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long transactions took, with the wait for a connection and attempts that were run again."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	if err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	connections, err := meter.Int64ObservableGauge("db.client.connection.count", metric.WithDescription("Connections to the database, by state."))
	if err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	most, err := meter.Int64ObservableGauge("db.client.connection.max", metric.WithDescription("The most connections there may be."))
	if err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	waits, err := meter.Float64ObservableCounter("db.client.connection.wait", metric.WithUnit("s"),
		metric.WithDescription("Time that transactions have waited for a connection, all of them together."))
	if err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	state := func(value string) metric.ObserveOption {
		return metric.WithAttributes(append(common[:len(common):len(common)], attribute.String("db.client.connection.state", value))...)
	}
	idle, used, all := state("idle"), state("used"), metric.WithAttributes(common...)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := db.stats()
		o.ObserveInt64(connections, int64(stats.Idle), idle)
		o.ObserveInt64(connections, int64(stats.InUse), used)
		o.ObserveInt64(most, int64(stats.MaxOpenConnections), all)
		o.ObserveFloat64(waits, stats.WaitDuration.Seconds(), all)
		return nil
	}, connections, most, waits)
	if err != nil {
		return fmt.Errorf("measure the database: %w", err)
	}
	db.figures = &figures{duration: duration, of: make(map[[2]string]metric.MeasurementOption)}
	for _, operation := range []string{reading, writing} {
		for _, outcome := range []string{outcomeDone, outcomeRefused, outcomeBusy, outcomeGivenUp, outcomeFailed} {
			db.figures.of[[2]string{operation, outcome}] = metric.WithAttributeSet(attribute.NewSet(append(common[:len(common):len(common)],
				attribute.String("db.operation.name", operation), attribute.String("outcome", outcome))...))
		}
	}
	return nil
}

// stats adds the pools of readers and writer up, where they are two.
func (db *DB) stats() sql.DBStats {
	stats := db.writer.Stats()
	if db.reader != db.writer {
		readers := db.reader.Stats()
		stats.Idle += readers.Idle
		stats.InUse += readers.InUse
		stats.MaxOpenConnections += readers.MaxOpenConnections
		stats.WaitDuration += readers.WaitDuration
	}
	return stats
}

// systemName is the engine's name in the conventions of OpenTelemetry.
func (db *DB) systemName() string {
	if db.dialect == Postgres {
		return "postgresql"
	}
	return db.dialect.String()
}

// observe begins a transaction's span, if the call that it belongs to is traced; background work is not. The function it returns ends the
// span and takes the transaction's measure. Neither ever holds a statement, a value or the text of an error.
func (db *DB) observe(ctx context.Context, operation string) (context.Context, func(error)) {
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		ctx, span = span.TracerProvider().Tracer(scope).Start(ctx, operation+" "+db.schema, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.String("db.system.name", db.systemName()), attribute.String("db.namespace", db.schema),
				attribute.String("db.operation.name", operation)))
	} else {
		span = nil
	}
	if span == nil && db.figures == nil {
		return ctx, func(error) {}
	}
	begun := time.Now() //nolint:forbidigo // a duration by the monotonic clock, of which nothing is decided
	return ctx, func(err error) {
		outcome := outcomeOf(err)
		if db.figures != nil {
			took := time.Since(begun) //nolint:forbidigo // as above
			db.figures.duration.Record(ctx, took.Seconds(), db.figures.of[[2]string{operation, outcome}])
		}
		if span == nil {
			return
		}
		if outcome == outcomeFailed || outcome == outcomeBusy {
			span.SetStatus(codes.Error, fault.ReasonOf(err))
		}
		span.End()
	}
}

// What a transaction does, and what became of it.
const (
	reading = "read"
	writing = "write"

	outcomeDone    = "done"
	outcomeRefused = "refused" // by what the service decided
	outcomeBusy    = "busy"    // out of reach, locked or full
	outcomeGivenUp = "given_up"
	outcomeFailed  = "failed"
)

func outcomeOf(err error) string {
	f, decided := fault.As(err)
	switch {
	case err == nil:
		return outcomeDone
	case decided && f.Kind == fault.Busy:
		return outcomeBusy
	case decided, errors.Is(err, sql.ErrNoRows):
		return outcomeRefused
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return outcomeGivenUp
	default:
		return outcomeFailed
	}
}
