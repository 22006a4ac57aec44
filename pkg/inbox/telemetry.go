package inbox

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// measureLimit bounds what a scrape waits for the database.
const measureLimit = time.Second

// instrument makes the figures, and counts nothing once, so that a counter is there before the first event. A figure that cannot be made
// is logged and does not stop the inbox.
func (in *Inbox) instrument(meter metric.Meter) {
	var errs []error
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		if err != nil {
			errs = append(errs, err)
			return noop.Int64Counter{}
		}
		c.Add(context.Background(), 0, in.of)
		return c
	}
	in.handled = counter("inbox_handled_total", "Events that have had their effect.")
	in.duplicates = counter("inbox_duplicates_total", "Events that came once more after they had had their effect.")
	in.quarantined = counter("inbox_quarantined_total", "Events that were put in quarantine.")
	delay, err := meter.Float64Histogram("inbox_delay_seconds",
		metric.WithDescription("How long after the change that it tells of an event had its effect."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3600))
	if in.delay = delay; err != nil {
		in.delay = noop.Float64Histogram{}
	}
	errs = append(errs, err)
	gauge := func(name, description string, count func(context.Context) (int64, error)) {
		_, err := meter.Int64ObservableGauge(name, metric.WithDescription(description),
			metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
				ctx, cancel := context.WithTimeout(ctx, measureLimit)
				defer cancel()
				n, err := count(ctx)
				if in.measured(ctx, err) {
					o.Observe(n, in.of)
				}
				return nil
			}))
		errs = append(errs, err)
	}
	gauge("inbox_quarantined", "Events in quarantine.", func(ctx context.Context) (int64, error) { return Quarantine(ctx, in.db) })
	gauge("inbox_parked", "Events that are parked.", func(ctx context.Context) (int64, error) { return Parked(ctx, in.db) })
	_, err = meter.Float64ObservableGauge("inbox_parked_oldest_age_seconds",
		metric.WithDescription("How long the oldest parked event has waited."),
		metric.WithFloat64Callback(func(ctx context.Context, o metric.Float64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, measureLimit)
			defer cancel()
			age, err := OldestParked(ctx, in.db)
			if in.measured(ctx, err) {
				o.Observe(age.Seconds(), in.of)
			}
			return nil
		}))
	if err := errors.Join(append(errs, err)...); err != nil {
		in.logger.Error("the inbox has no metrics", "error", err)
	}
}

// measured tells whether a figure was read. One that was not is left out: an error given to the reader would take all others with it.
func (in *Inbox) measured(ctx context.Context, err error) bool {
	if err != nil {
		in.logger.DebugContext(ctx, "the inbox is not measured", "error", err)
	}
	return err == nil
}

// span begins the span of an event that is handled: a child of the call that caused the event, since both are one piece of work.
func (in *Inbox) span(ctx context.Context, it *item) (context.Context, func(error)) {
	//nolint:spancheck // the function returned ends it
	ctx, span := in.tracer.Start(it.traced(ctx), "process "+it.Type, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", it.Subject), attribute.String("messaging.message.id", it.ID)))
	return ctx, func(err error) { //nolint:spancheck // as above
		if err != nil {
			span.SetStatus(codes.Error, fault.ReasonOf(err))
		}
		span.End()
	}
}
