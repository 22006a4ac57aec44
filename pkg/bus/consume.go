package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
)

const (
	// fetchMost is how many messages are fetched and handed on at once.
	fetchMost = 64
	// maxAckPending bounds the messages under way to all processes that share a durable consumer.
	maxAckPending = 1000
	// handleWait is how long the broker waits to be told of a message before it delivers it again. While a message is worked on it is
	// told so each handleWait/3, so that only a process that has died lets it pass.
	handleWait = 75 * time.Second
	// idleWait is how long an idle consumer waits for a message before it calls take without one.
	idleWait = time.Second
	// againWait is how long a message waits that could not be taken in.
	againWait = time.Second
	// stopLimit is how long what is under way may take after the end was asked for.
	stopLimit = 15 * time.Second

	consumeFirst = 100 * time.Millisecond
	consumeMost  = 5 * time.Second
)

// ConsumerConfig names a durable consumer. All processes that use the same name on a stream share its messages.
type ConsumerConfig struct {
	// Stream is the stream's name; Durable is the consumer's, and both are required.
	Stream, Durable string
	// Subjects are those wanted; none means all of the stream.
	Subjects []string
	// Logger receives failures; nil means that of the Bus.
	Logger *slog.Logger
	// Meter takes the number of messages still to come; nil drops it.
	Meter metric.Meter
}

// config returns the broker's form of the consumer. It sets no MaxDeliver: the broker would drop the message for good, without
// anyone having kept it. The inbox counts failures itself.
func (c ConsumerConfig) config() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:        c.Durable,
		FilterSubjects: c.Subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        handleWait,
		MaxAckPending:  maxAckPending,
		MaxDeliver:     -1,
	}
}

// Take takes messages in and returns a verdict on each, in their order; inbox.Inbox has it.
type Take func(ctx context.Context, msgs []inbox.Delivery) []inbox.Verdict

// Consume hands the messages of a stream to take, from the first that the stream holds, until ctx ends; then it finishes what is
// under way and returns nil. It calls take without messages about each second when none come. Whatever fails is tried again, after
// 100 ms at first and 5 s at most: a broker that is away, a stream that is not there yet or is made anew, a database that is busy.
// The error of a config that can never work is returned at once.
func (b *Bus) Consume(ctx context.Context, c ConsumerConfig, take Take) error {
	if c.Stream == "" || c.Durable == "" {
		return errors.New("consume: a stream and a name for the consumer are required")
	}
	k := &consumer{bus: b, config: c, take: take, logger: c.Logger}
	if k.logger == nil {
		k.logger = b.logger
	}
	k.instrument()
	// What is under way outlives ctx, but not for ever.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopLimit, cancel) })()
	for ctx.Err() == nil {
		err := k.run(ctx, work)
		if ctx.Err() == nil {
			k.complain(ctx, err)
			k.take(work, nil) // what is parked does not need the broker
			k.wait(ctx)
		}
	}
	return nil
}

// consumer is one run of Consume.
type consumer struct {
	bus     *Bus
	config  ConsumerConfig
	take    Take
	logger  *slog.Logger
	lag     metric.Int64Gauge
	pause   time.Duration // the last pause, 0 after a success
	failing bool          // a failure has been logged and nothing has succeeded since
}

// instrument makes the figure. If it cannot be made that is logged, and does not stop the consumer.
func (k *consumer) instrument() {
	k.lag = noop.Int64Gauge{}
	if k.config.Meter == nil {
		return
	}
	lag, err := k.config.Meter.Int64Gauge("inbox_lag", metric.WithDescription("Messages that the stream still holds for the consumer."))
	if err != nil {
		k.logger.Error("the consumer has no metrics", "consumer", k.config.Durable, "error", err)
		return
	}
	k.lag = lag
}

// run makes the consumer, or finds it, and works until something fails or ctx ends.
func (k *consumer) run(ctx, work context.Context) error {
	from, err := k.bus.js.CreateOrUpdateConsumer(ctx, k.config.Stream, k.config.config())
	if err != nil {
		return fmt.Errorf("make consumer %s of stream %s: %w", k.config.Durable, k.config.Stream, err)
	}
	for ctx.Err() == nil {
		msgs, err := fetch(from)
		busy := k.hand(work, msgs)
		if err != nil {
			return fmt.Errorf("fetch messages for %s: %w", k.config.Durable, err)
		}
		if busy {
			k.wait(ctx)
			continue
		}
		k.pause, k.failing = 0, false
	}
	return nil
}

// fetch returns what the broker has, and if that is nothing waits for one message. It does not end with a context, since a
// message on its way to a request given up would come again only after handleWait.
func fetch(from jetstream.Consumer) ([]jetstream.Msg, error) {
	msgs, err := collect(from.FetchNoWait(fetchMost))
	if err != nil || len(msgs) > 0 {
		return msgs, err
	}
	return collect(from.Fetch(1, jetstream.FetchMaxWait(idleWait)))
}

func collect(batch jetstream.MessageBatch, err error) (msgs []jetstream.Msg, _ error) {
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	return msgs, batch.Error()
}

// hand hands messages to take, tells the broker the verdicts, and reports whether any is to come again.
func (k *consumer) hand(ctx context.Context, msgs []jetstream.Msg) (busy bool) {
	deliveries := make([]inbox.Delivery, len(msgs))
	for i, m := range msgs {
		header := make(map[string]string, len(m.Headers()))
		for name, values := range m.Headers() {
			if len(values) > 0 {
				header[name] = values[0]
			}
		}
		deliveries[i] = inbox.Delivery{Subject: m.Subject(), Header: header, Payload: m.Data()}
	}
	working := k.keep(msgs)
	verdicts := k.take(ctx, deliveries)
	working()
	for i, m := range msgs {
		if err := tell(m, verdicts[i]); err != nil {
			k.complain(ctx, fmt.Errorf("tell the broker of a message: %w", err))
		}
	}
	k.measure(ctx, msgs)
	return slices.Contains(verdicts, inbox.Again)
}

// keep tells the broker now and then that messages are worked on, until stop is called.
func (k *consumer) keep(msgs []jetstream.Msg) (stop func()) {
	if len(msgs) == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(handleWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				for _, m := range msgs {
					_ = m.InProgress() // a broker that does not hear it delivers the message again, which does no harm
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// tell passes a verdict on. An acknowledgement that is lost brings a duplicate, no more.
func tell(m jetstream.Msg, v inbox.Verdict) error {
	switch v {
	case inbox.Settled:
		return m.Ack()
	case inbox.Quarantined:
		return m.TermWithReason("in quarantine")
	case inbox.Again:
	}
	return m.NakWithDelay(againWait)
}

// measure notes how many messages are still to come.
func (k *consumer) measure(ctx context.Context, msgs []jetstream.Msg) {
	if len(msgs) == 0 {
		return
	}
	if meta, err := msgs[len(msgs)-1].Metadata(); err == nil {
		k.lag.Record(ctx, int64(min(meta.NumPending, 1<<62)),
			metric.WithAttributes(attribute.String("consumer", k.config.Durable), attribute.String("stream", k.config.Stream)))
	}
}

// complain logs a failure, but only the first of a row of them.
func (k *consumer) complain(ctx context.Context, err error) {
	if err != nil && !k.failing {
		k.failing = true
		k.logger.WarnContext(ctx, "events wait on their stream", "consumer", k.config.Durable, "error", err)
	}
}

// wait spaces attempts: 100 ms, doubled each time up to 5 s, the last half of it left to chance.
func (k *consumer) wait(ctx context.Context) {
	k.pause = min(max(consumeFirst, 2*k.pause), consumeMost)
	timer := time.NewTimer(k.pause/2 + rand.N(k.pause/2)) //nolint:gosec // spreads retries, guards nothing
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
