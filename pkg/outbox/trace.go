package outbox

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// trace begins a span for each message whose call was traced and sampled, and hands it on in the message, so that what its consumers do
// comes under it. The span begins at the commit: its length is how long the event was on its way to the broker. One that was not
// acknowledged has no span, for there will be another attempt.
func (r *Relay) trace(ctx context.Context, batch []Message) (published func([]Ack)) {
	if r.tracer == nil {
		return func([]Ack) {}
	}
	format := propagation.TraceContext{}
	spans := make(map[string]trace.Span)
	for _, m := range batch {
		from := format.Extract(ctx, propagation.MapCarrier(m.Header))
		if !trace.SpanContextFromContext(from).IsSampled() {
			continue
		}
		made, span := r.tracer.Start(from, "publish "+m.Header[HeaderType], trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithTimestamp(sqldb.FromMicros(m.created)), trace.WithAttributes(
				attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "send"),
				attribute.String("messaging.destination.name", m.Subject), attribute.String("messaging.message.id", m.ID)))
		format.Inject(made, propagation.MapCarrier(m.Header))
		spans[m.ID] = span
	}
	return func(acks []Ack) {
		for _, ack := range acks {
			if span := spans[ack.ID]; span != nil {
				span.End()
			}
		}
	}
}
