package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

const (
	// eventBytes is the size of an event's payload: that of a small schedule's.
	eventBytes = 300
	// eventSubject is the subject of the events measured.
	eventSubject = "google.protobuf.StringValue.15N"
	// eventsPerSecond is the rate at which latency is measured.
	eventsPerSecond = 500
	// window is how many messages wait for the broker at once, for the relay as for its bound.
	window = 512
)

var eventStream = bus.Stream{Name: "BENCH", Subjects: []string{"google.protobuf.>"}}

// broker starts an embedded broker, which syncs each message to disk.
func broker(b *testing.B, c *closers) *bus.Bus {
	b.Helper()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: b.TempDir()})
	require.NoError(b, err)
	c.add(server.Stop)
	broker, err := bus.Open(b.Context(), bus.Config{Server: server})
	require.NoError(b, err)
	c.add(broker.Close)
	require.NoError(b, broker.EnsureStream(b.Context(), eventStream))
	return broker
}

// BenchmarkRelay has a backlog drained in as many parts as there are rounds, and between them publishes as many messages without
// a database to the same broker.
func BenchmarkRelay(b *testing.B) {
	var all closers
	b.Cleanup(all.close)
	bus := broker(b, &all)
	backlogs := make(map[string]*sqldb.DB)
	for _, store := range stores() {
		backlogs[store] = openDB(b, &all, store, nil)
		fill(b, backlogs[store], store, chosen.backlog)
	}
	part := chosen.backlog / chosen.rounds
	figures := make(map[string][]float64)
	drained := make(map[string]float64)
	var bounds []float64
	published := len(backlogs) * chosen.backlog
	for round := range chosen.rounds {
		took, err := seconds(func() error { return publishPlain(b.Context(), bus, round, part) })
		require.NoError(b, err)
		published += part
		bounds = append(bounds, float64(part)/took)
		for _, store := range stores() {
			if round == chosen.rounds-1 {
				part = unsent(b, backlogs[store]) // what is left
			}
			sent, took := drain(b, backlogs[store], bus, part)
			figures[store] = append(figures[store], float64(sent)/took)
			drained[store] += took
		}
		part = chosen.backlog / chosen.rounds
	}
	b.ReportMetric(0, "ns/op")
	stream, err := bus.JetStream().Stream(b.Context(), eventStream.Name)
	require.NoError(b, err)
	info, err := stream.Info(b.Context())
	require.NoError(b, err)
	require.EqualValues(b, published, info.State.Msgs, "the broker has stored every message")
	for _, store := range stores() {
		require.Zero(b, unsent(b, backlogs[store]), "the relay has sent all")
		note := fmt.Sprintf("backlog of %d, %d bytes each", chosen.backlog, eventBytes)
		results.ratio(b, goal{id: "P8", work: "relay on " + store, unit: "/s", at: 0.50, least: true, note: note}, figures[store], bounds)
		limit := 30 * float64(chosen.backlog) / float64(modes["full"].backlog)
		results.limit(b, goal{id: "P8", work: "the same, drained within", unit: "s", at: limit}, []float64{drained[store]})
	}
}

// fill writes a backlog straight into the outbox, for writing it is not what is measured. No two stores share an id, for the broker
// would drop the second message of one.
func fill(b *testing.B, db *sqldb.DB, store string, events int) {
	b.Helper()
	now, payload := sqldb.Micros(time.Now()), make([]byte, eventBytes)
	backlog := table{name: "outbox", columns: []string{
		"id", "event_id", "aggregate", "aggregate_sequence", "subject", "type", "payload", "traceparent", "occurred_at", "created_at",
	}}
	for i := range events {
		id := store + "-" + strconv.Itoa(i)
		backlog.rows = append(backlog.rows, []any{id, id, id, 1, eventSubject, "google.protobuf.StringValue", payload, "", now, now})
	}
	for start := 0; start < events; start += 10_000 { // each within the time limit of a statement
		part := backlog
		part.rows = backlog.rows[start:min(start+10_000, events)]
		require.NoError(b, part.insert(b.Context(), db))
	}
}

func unsent(b *testing.B, db *sqldb.DB) (n int) {
	b.Helper()
	require.NoError(b, db.Read(b.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(b.Context(), `SELECT count(*) FROM outbox WHERE sent_at IS NULL`).Scan(&n)
	}))
	return n
}

// publishPlain publishes messages of the same size, with nothing but an id, and waits until the broker has stored them.
func publishPlain(ctx context.Context, bus *bus.Bus, round, messages int) error {
	js, err := jetstream.New(bus.Conn(), jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return err
	}
	payload, futures := make([]byte, eventBytes), make([]jetstream.PubAckFuture, 0, messages)
	for i := range messages {
		future, err := js.PublishAsync(eventSubject, payload, jetstream.WithMsgID(fmt.Sprintf("plain-%d-%d", round, i)), jetstream.WithStallWait(5*time.Second))
		if err != nil {
			return err
		}
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// counted stops the relay once it has published as many as wanted.
type counted struct {
	outbox.Publisher
	wanted, sent int
	stop         context.CancelFunc
}

// Publish implements outbox.Publisher.
func (c *counted) Publish(ctx context.Context, msgs []outbox.Message) ([]outbox.Ack, error) {
	acks, err := c.Publisher.Publish(ctx, msgs)
	if c.sent += len(acks); c.sent >= c.wanted {
		c.stop()
	}
	return acks, err
}

// drain runs a relay until it has published about as many as wanted, and returns how many that were and the seconds it took.
func drain(b *testing.B, db *sqldb.DB, bus *bus.Bus, wanted int) (sent int, took float64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	publisher := &counted{Publisher: bus, wanted: wanted, stop: cancel}
	relay := outbox.NewRelay(db, publisher, outbox.RelayOptions{Source: "/bench"})
	took, err := seconds(func() error { return relay.Run(ctx) })
	require.NoError(b, err)
	require.GreaterOrEqual(b, publisher.sent, wanted)
	return publisher.sent, took
}

// BenchmarkDelivery measures, in open loop, how long after its commit an event reaches a consumer.
func BenchmarkDelivery(b *testing.B) {
	delays := make(map[string][]delay)
	for range chosen.rounds {
		for _, store := range stores() {
			delays[store] = append(delays[store], deliver(b, store))
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, store := range stores() {
		d := delays[store]
		late := median(pick(d, func(d delay) float64 { return d.due99 }))
		results.limit(b, goal{
			id: "P9", work: "commit to delivery on " + store + ", p50", unit: "s", at: 0.050,
			note: fmt.Sprintf("%d events/s in open loop; p99 from when each was due to its commit %s", eventsPerSecond, value(late, "s")),
		}, pick(d, func(d delay) float64 { return d.p50 }))
		results.limit(b, goal{id: "P9", work: "the same, p99", unit: "s", at: 0.250}, pick(d, func(d delay) float64 { return d.p99 }))
	}
}

// delay is what one round of events came to, in seconds.
type delay struct {
	p50, p99 float64 // from commit to delivery
	due99    float64 // from when the event was due to its commit
}

// moments are when something happened to each event.
type moments struct {
	mu   sync.Mutex
	at   []time.Time
	left int
	all  chan struct{}
}

func newMoments(n int) *moments {
	return &moments{at: make([]time.Time, n), left: n, all: make(chan struct{})}
}

func (m *moments) note(i int) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at[i].IsZero() {
		return // delivered again
	}
	m.at[i] = now
	if m.left--; m.left == 0 {
		close(m.all)
	}
}

// deliver commits events at a steady rate, whatever becomes of them, and waits for each at a consumer.
func deliver(b *testing.B, store string) delay {
	b.Helper()
	var round closers
	defer round.close()
	bus, db := broker(b, &round), openDB(b, &round, store, nil)
	events := int(chosen.open.Seconds() * eventsPerSecond)
	committed, delivered := newMoments(events), newMoments(events)
	consume(b, &round, bus, delivered)
	runRelay(&round, outbox.NewRelay(db, bus, outbox.RelayOptions{Source: "/bench"}))

	ctx, cancel := context.WithTimeout(b.Context(), chosen.open+time.Minute)
	defer cancel()
	var writers sync.WaitGroup
	due := make([]time.Time, events)
	began := time.Now()
	for i := range due {
		due[i] = began.Add(time.Duration(i) * time.Second / eventsPerSecond)
		wait(ctx, time.Until(due[i]))
		writers.Go(func() {
			if err := commit(ctx, db, i, committed); err != nil {
				b.Error(err)
			}
		})
	}
	writers.Wait()
	select {
	case <-delivered.all:
	case <-ctx.Done():
		require.NoError(b, ctx.Err(), "%d of %d events were not delivered", delivered.left, events)
	}
	toDelivery, toCommit := make([]time.Duration, events), make([]time.Duration, events)
	for i := range due {
		toDelivery[i], toCommit[i] = max(0, delivered.at[i].Sub(committed.at[i])), committed.at[i].Sub(due[i])
	}
	return delay{p50: quantile(toDelivery, 0.5), p99: quantile(toDelivery, 0.99), due99: quantile(toCommit, 0.99)}
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// commit writes one event in a transaction of its own.
func commit(ctx context.Context, db *sqldb.DB, i int, committed *moments) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error {
		tx.AfterCommit(func() { committed.note(i) }) // before the relay is told
		_, err := outbox.Add(ctx, tx, outbox.Event{
			Aggregate: "commissioner/" + strconv.Itoa(i%106), CommissionerCode: "15N", Message: wrapperspb.String(strconv.Itoa(i)),
		})
		return err
	})
}

// consume notes each event delivered.
func consume(b *testing.B, c *closers, bus *bus.Bus, delivered *moments) {
	b.Helper()
	consumer, err := bus.JetStream().CreateOrUpdateConsumer(b.Context(), eventStream.Name, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1000,
	})
	require.NoError(b, err)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		var event wrapperspb.StringValue
		if err := proto.Unmarshal(msg.Data(), &event); err != nil {
			b.Error(err)
			return
		}
		i, err := strconv.Atoi(event.GetValue())
		if err != nil {
			b.Error(err)
			return
		}
		delivered.note(i)
		if err := msg.Ack(); err != nil {
			b.Error(err)
		}
	})
	require.NoError(b, err)
	c.add(func() { consuming.Stop(); <-consuming.Closed() })
}

// runRelay runs a relay until c is closed.
func runRelay(c *closers, relay *outbox.Relay) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = relay.Run(ctx) // ends with its context, without an error
	}()
	c.add(func() { cancel(); <-done })
}
