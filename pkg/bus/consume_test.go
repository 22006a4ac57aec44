package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
)

var eventStream = Stream{Name: "EVENTS", Subjects: []string{"events.>"}}

// taker notes what it is handed.
type taker struct {
	verdict func(id string, times int) inbox.Verdict // nil means Settled

	mu    sync.Mutex
	times map[string]int // event id → deliveries
	order []string
	idle  int
}

func (k *taker) take(_ context.Context, msgs []inbox.Delivery) (verdicts []inbox.Verdict) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.times == nil {
		k.times = make(map[string]int)
	}
	if len(msgs) == 0 {
		k.idle++
	}
	for _, m := range msgs {
		id := m.Header[outbox.HeaderID]
		k.times[id]++
		k.order = append(k.order, m.Subject+" "+id+" "+string(m.Payload))
		v := inbox.Settled
		if k.verdict != nil {
			v = k.verdict(id, k.times[id])
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func (k *taker) taken() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.order)
}

func openTest(t *testing.T) *Bus {
	t.Helper()
	server, err := StartServer(ServerConfig{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	b, err := Open(t.Context(), Config{Server: server})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// startConsumer consumes until stop is called, which waits for the end.
func startConsumer(t *testing.T, b *Bus, c ConsumerConfig, take Take) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, b.Consume(ctx, c, take))
	}()
	return func() {
		cancel()
		<-ended
	}
}

// publish puts events from…to on the stream, once there is one.
func publish(t *testing.T, b *Bus, from, to int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var msgs []outbox.Message
		for i := from; i <= to; i++ {
			msgs = append(msgs, outbox.Message{
				ID: fmt.Sprint(i), Subject: "events.one", Header: map[string]string{outbox.HeaderID: fmt.Sprint(i)}, Payload: []byte{'p'},
			})
		}
		_, err := b.Publish(t.Context(), msgs)
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

func numbered(from, to int) (out []string) {
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("events.one %d p", i))
	}
	return out
}

func eventually(t *testing.T, done func() bool, text string) {
	t.Helper()
	require.Eventually(t, done, 30*time.Second, 5*time.Millisecond, text)
}

func TestConsume_RefusesAConfigThatCannotWork(t *testing.T) {
	t.Parallel()
	b := openTest(t)
	for _, c := range []ConsumerConfig{{}, {Stream: "EVENTS"}, {Durable: "test"}} {
		require.Error(t, b.Consume(t.Context(), c, new(taker).take))
	}
}

func TestConsume_WaitsForTheStreamAndOutlastsTheBroker(t *testing.T) {
	t.Parallel()
	b := openTest(t)
	k := new(taker)
	config := ConsumerConfig{Stream: "EVENTS", Durable: "test"}
	stop := startConsumer(t, b, config, k.take)
	eventually(t, func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.idle > 1 }, "it is called while there is no stream")
	require.NoError(t, b.EnsureStream(t.Context(), eventStream))
	publish(t, b, 1, 100)
	eventually(t, func() bool { return len(k.taken()) == 100 }, "the stream was made later")

	require.NoError(t, b.config.Server.restart())
	publish(t, b, 101, 200)
	eventually(t, func() bool { return len(k.taken()) == 200 }, "after a restart of the broker")
	stop()

	publish(t, b, 201, 210)
	stop = startConsumer(t, b, config, k.take)
	eventually(t, func() bool { return len(k.taken()) == 210 }, "it goes on where it stopped")
	assert.Equal(t, numbered(1, 210), k.taken())

	require.NoError(t, b.JetStream().DeleteStream(t.Context(), "EVENTS"))
	publish(t, b, 1, 3)
	eventually(t, func() bool { return len(k.taken()) == 213 }, "a stream made anew is read from its start")
	stop()
	assert.Equal(t, numbered(1, 3), k.taken()[210:])
}

func TestConsume_TellsTheBrokerTheVerdicts(t *testing.T) {
	t.Parallel()
	b := openTest(t)
	require.NoError(t, b.EnsureStream(t.Context(), eventStream))
	publish(t, b, 1, 5)
	k := &taker{verdict: func(id string, times int) inbox.Verdict {
		switch {
		case id == "2":
			return inbox.Quarantined
		case id == "4" && times < 3:
			return inbox.Again
		}
		return inbox.Settled
	}}
	stop := startConsumer(t, b, ConsumerConfig{Stream: "EVENTS", Durable: "test"}, k.take)
	eventually(t, func() bool { return len(k.taken()) == 7 }, "number 4 comes three times")
	c, err := b.JetStream().Consumer(t.Context(), "EVENTS", "test")
	require.NoError(t, err)
	eventually(t, func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	}, "nothing is left")
	stop()
	assert.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1, "4": 3, "5": 1}, k.times)
}

func TestConsume_FiltersAndSharesAmongMany(t *testing.T) {
	t.Parallel()
	b := openTest(t)
	require.NoError(t, b.EnsureStream(t.Context(), eventStream))
	config := ConsumerConfig{Stream: "EVENTS", Durable: "test", Subjects: []string{"events.one", "events.two"}}
	_, err := b.Publish(t.Context(), []outbox.Message{{ID: "x", Subject: "events.other"}})
	require.NoError(t, err)
	k := new(taker)
	stops := []func(){startConsumer(t, b, config, k.take), startConsumer(t, b, config, k.take)}
	publish(t, b, 1, 500)
	eventually(t, func() bool { return len(k.taken()) == 500 }, "all come")
	for _, stop := range stops {
		stop()
	}
	assert.ElementsMatch(t, numbered(1, 500), k.taken(), "each comes once, and none that is not wanted")
}

// What is under way when the end is asked for is finished, and the broker is told.
func TestConsume_FinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := openTest(t)
	require.NoError(t, b.EnsureStream(t.Context(), eventStream))
	publish(t, b, 1, 1)
	entered, leave := make(chan struct{}), make(chan struct{})
	k := new(taker)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, ConsumerConfig{Stream: "EVENTS", Durable: "test"}, func(ctx context.Context, m []inbox.Delivery) []inbox.Verdict {
			if len(m) > 0 {
				close(entered)
				<-leave
				assert.NoError(t, ctx.Err()) //nolint:testifylint // require ends the test's own goroutine only
			}
			return k.take(ctx, m)
		})
	}()
	<-entered
	cancel()
	close(leave)
	require.NoError(t, <-ended)
	c, err := b.JetStream().Consumer(t.Context(), "EVENTS", "test")
	require.NoError(t, err)
	eventually(t, func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumAckPending == 0
	}, "it is acknowledged")
}

func TestConsume_EndsWithoutABroker(t *testing.T) {
	t.Parallel()
	b, err := Open(t.Context(), Config{URL: "nats://127.0.0.1:1"})
	require.NoError(t, err)
	defer b.Close()
	k := new(taker)
	stop := startConsumer(t, b, ConsumerConfig{Stream: "EVENTS", Durable: "test"}, k.take)
	defer stop()
	eventually(t, func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.idle > 1 }, "what is parked is tried without a broker")
}

func TestConsumerConfig_LosesNothing(t *testing.T) {
	t.Parallel()
	c := ConsumerConfig{Stream: "EVENTS", Durable: "test"}.config()
	assert.Equal(t, -1, c.MaxDeliver, "else the broker drops what nobody has kept")
	assert.LessOrEqual(t, c.MaxAckPending, 1000)
	assert.Greater(t, c.AckWait, time.Minute)
}
