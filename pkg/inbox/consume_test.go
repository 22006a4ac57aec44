package inbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

var (
	stream   = bus.Stream{Name: "TEST", Subjects: []string{"google.protobuf.>"}}
	consumer = bus.ConsumerConfig{Stream: stream.Name, Durable: "test"}
)

// consume runs a consumer until stop is called, which waits for its end.
func consume(tb testing.TB, b *bus.Bus, take bus.Take) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(tb, b.Consume(ctx, consumer, take))
	}()
	return func() {
		cancel()
		<-ended
	}
}

// addAll writes events 1 to n of each aggregate into the outbox.
func addAll(tb testing.TB, db *sqldb.DB, n int, aggregates ...string) (ids []string) {
	tb.Helper()
	require.NoError(tb, db.Write(tb.Context(), func(tx *sqldb.Tx) error {
		ids = nil
		for i := range n {
			for _, a := range aggregates {
				id, err := outbox.Add(tb.Context(), tx, outbox.Event{
					Aggregate: a, CommissionerCode: "15N", Message: wrapperspb.String(fmt.Sprint(i + 1)),
				})
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
		}
		return nil
	}))
	return ids
}

// From one service's outbox to another's inbox. The consumer dies again and again between its commit and its acknowledgement; one
// event is refused, and is sent again once the cause is mended.
func TestConsume_CarriesEventsFromServiceToService(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		const each = 200
		producer, b := open(t), testkit.Bus(t)
		require.NoError(t, producer.Migrate(t.Context(), nil))
		f := newFixture(t, open(t), nil, inbox.Options{})
		f.on("150", refused)
		ctx, cancel := context.WithCancel(t.Context())
		relayed := make(chan struct{})
		go func() {
			defer close(relayed)
			assert.NoError(t, outbox.NewRelay(producer, b, outbox.RelayOptions{Source: "/pcnfunding/test"}).Run(ctx))
		}()
		defer func() { cancel(); <-relayed }()
		var rounds atomic.Int64
		stop := consume(t, b, func(ctx context.Context, msgs []inbox.Delivery) []inbox.Verdict {
			verdicts := f.in.Take(ctx, msgs)
			if rounds.Add(1)%3 == 0 {
				for i := range verdicts {
					verdicts[i] = inbox.Again // the acknowledgement is lost, and the broker delivers once more
				}
			}
			return verdicts
		})
		defer func() { stop() }()
		require.NoError(t, b.EnsureStream(t.Context(), stream))
		ids := addAll(t, producer, each, "a", "b", "c")
		parked := 3 * (each - 150 + 1)
		require.Eventually(t, func() bool { return f.count("inbox_held") == parked }, 60*time.Second, 20*time.Millisecond)
		assert.Equal(t, map[string]string{"a": upTo(149), "b": upTo(149), "c": upTo(149)}, f.trails())
		assert.Equal(t, 3, f.count("told"))

		stop()
		f.fail = func(string) error { return nil }
		stop = consume(t, b, f.in.Take)
		require.NoError(t, producer.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := outbox.Reemit(t.Context(), tx, ids[149*3:150*3])
			return err
		}))
		require.Eventually(t, func() bool { return f.count("inbox_held") == 0 }, 60*time.Second, 20*time.Millisecond)
		assert.Equal(t, map[string]string{"a": upTo(each), "b": upTo(each), "c": upTo(each)}, f.trails())
	})
}

// Poison holds up its own aggregate only: the others' events are through long before the poison would come again.
func TestConsume_PoisonDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	require.NoError(t, b.EnsureStream(t.Context(), stream))
	f := newFixture(t, testkit.SQLite(t, sqldb.Options{}), nil, inbox.Options{})
	f.on("bad", refused)
	var msgs []outbox.Message
	for i := range 300 {
		d := message(fmt.Sprint("good", i), 1)
		if i%10 == 0 {
			d = with(message(fmt.Sprint("bad", i), 1), nil, wrapperspb.String("bad"))
		}
		msgs = append(msgs, outbox.Message{ID: fmt.Sprint(i), Subject: d.Subject, Header: d.Header, Payload: d.Payload})
	}
	_, err := b.Publish(t.Context(), msgs)
	require.NoError(t, err)
	stop := consume(t, b, f.in.Take)
	defer stop()
	require.Eventually(t, func() bool { return f.count("trail") == 270 }, 30*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return f.count("told") == 30 }, 30*time.Second, 5*time.Millisecond)
	for aggregate := range f.trails() {
		assert.True(t, strings.HasPrefix(aggregate, "good"), aggregate)
	}
}
