package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// recorder is a broker that stores each message once and fails as told.
type recorder struct {
	fail func(round int, m outbox.Message) error

	mu     sync.Mutex
	rounds int
	stored []outbox.Message
	seen   map[string]int // message id → times it came
}

func (r *recorder) Publish(_ context.Context, msgs []outbox.Message) (acks []outbox.Ack, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds++
	if r.seen == nil {
		r.seen = make(map[string]int)
	}
	for _, m := range msgs {
		if r.fail != nil {
			if failure := r.fail(r.rounds, m); failure != nil {
				err = failure
				continue
			}
		}
		if r.seen[m.ID]++; r.seen[m.ID] == 1 {
			r.stored = append(r.stored, m)
		}
		acks = append(acks, outbox.Ack{ID: m.ID, Duplicate: r.seen[m.ID] > 1})
	}
	return acks, err
}

func TestRelay_PublishesInOrderWithTheEventsAttributes(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 1})
		ctx := trace.ContextWithSpanContext(t.Context(), span)
		var id string
		var at time.Time
		require.NoError(t, db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			at = tx.Now()
			id, err = outbox.Add(ctx, tx, outbox.Event{Aggregate: "schedules/1", Message: wrapperspb.String("hello")})
			return err
		}))
		addAll(t, db, 600, "b", "schedules/1") // more than one batch
		pub := &recorder{}
		relayUntil(t, db, pub, func() bool { return unsent(t, db) == 0 })

		require.Len(t, pub.stored, 1201)
		first := pub.stored[0]
		assert.Equal(t, id, first.ID)
		assert.Equal(t, "google.protobuf.StringValue.england", first.Subject)
		assert.Equal(t, map[string]string{
			"ce-specversion": "1.0", "ce-id": id, "ce-source": "/pcnfunding/test", "ce-type": "google.protobuf.StringValue",
			"ce-time": at.Format(time.RFC3339Nano), "ce-subject": "schedules/1", "ce-sequence": "1",
			"content-type": "application/protobuf", "traceparent": "00-01000000000000000000000000000000-0200000000000000-01",
		}, first.Header)
		var content wrapperspb.StringValue
		require.NoError(t, proto.Unmarshal(first.Payload, &content))
		assert.Equal(t, "hello", content.GetValue())
		assert.Equal(t, "google.protobuf.StringValue.15N", pub.stored[1].Subject)
		inOrder(t, pub.stored)
	})
}

// inOrder checks that each aggregate's events come as 1, 2, 3 …
func inOrder(t *testing.T, msgs []outbox.Message) {
	t.Helper()
	last := make(map[string]int)
	for _, m := range msgs {
		aggregate := m.Header[outbox.HeaderSubject]
		last[aggregate]++
		assert.Equal(t, fmt.Sprint(last[aggregate]), m.Header[outbox.HeaderSequence])
	}
}

func TestRelay_MarksOnlyWhatWasAcknowledged(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		ids := addAll(t, db, 10, "a")
		refused := map[string]bool{ids[0]: true, ids[4]: true, ids[9]: true}
		release := make(chan struct{})
		pub := &recorder{fail: func(_ int, m outbox.Message) error {
			select {
			case <-release:
				return nil
			default:
			}
			if refused[m.ID] {
				return errors.New("refused")
			}
			return nil
		}}
		stop := startRelay(t, db, pub)
		defer stop()
		require.Eventually(t, func() bool { return unsent(t, db) == len(refused) }, 10*time.Second, 5*time.Millisecond)
		var waiting []string
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			for i, id := range ids {
				var sent bool
				if err := q.QueryRow(t.Context(), `SELECT sent_at IS NOT NULL FROM outbox WHERE id = $1`, id).Scan(&sent); err != nil {
					return err
				}
				if !sent {
					waiting = append(waiting, ids[i])
				}
			}
			return nil
		}))
		assert.Equal(t, []string{ids[0], ids[4], ids[9]}, waiting)
		close(release)
		require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 10*time.Second, 5*time.Millisecond)
		for id, times := range pub.seen {
			assert.Equal(t, 1, times, "acknowledged messages are not sent again: %s", id)
		}
	})
}

func TestRelay_OutlastsTheBroker(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var up atomic.Bool
		pub := &recorder{fail: func(int, outbox.Message) error {
			if up.Load() {
				return nil
			}
			return errors.New("no broker")
		}}
		stop := startRelay(t, db, pub)
		defer stop()
		for i := range 20 {
			addAll(t, db, 1, fmt.Sprint(i)) // commits go on
		}
		assert.Equal(t, 20, unsent(t, db))
		age, err := outbox.OldestAge(t.Context(), db)
		require.NoError(t, err)
		assert.Positive(t, age)
		up.Store(true)
		require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 15*time.Second, 5*time.Millisecond)
	})
}

func TestRelay_OneOfManyWorks(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var busy atomic.Int32
		pub := &recorder{fail: func(int, outbox.Message) error {
			if busy.Add(1) > 1 {
				t.Error("two relays publish at once")
			}
			busy.Add(-1)
			return nil
		}}
		stops := []func(){startRelay(t, db, pub), startRelay(t, db, pub), startRelay(t, db, pub)}
		for i := range 30 {
			addAll(t, db, 2, fmt.Sprint(i))
		}
		require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 10*time.Second, 5*time.Millisecond)
		for i, stop := range stops {
			stop()
			if i == len(stops)-1 {
				break
			}
			addAll(t, db, 1, "next")
			require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 10*time.Second, 5*time.Millisecond, "another takes over")
		}
		for id, times := range pub.seen {
			assert.Equal(t, 1, times, id)
		}
	})
}

var stream = bus.Stream{Name: "TEST", Subjects: []string{"google.protobuf.>"}}

// forgetful publishes truly and then loses some of the acknowledgements, as a relay does that dies before it can mark.
type forgetful struct {
	outbox.Publisher
	rounds     int
	duplicates int
}

func (f *forgetful) Publish(ctx context.Context, msgs []outbox.Message) ([]outbox.Ack, error) {
	acks, err := f.Publisher.Publish(ctx, msgs)
	for _, a := range acks {
		if a.Duplicate {
			f.duplicates++
		}
	}
	if f.rounds++; f.rounds == 1 {
		return acks[:len(acks)/2], errors.New("lost the rest")
	}
	return acks, err
}

func TestRelay_SendsNothingTwiceToTheStream(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		b := testkit.Bus(t)
		require.NoError(t, b.EnsureStream(t.Context(), stream))
		ids := addAll(t, db, 100, "a")
		pub := &forgetful{Publisher: b}
		relayUntil(t, db, pub, func() bool { return unsent(t, db) == 0 })
		assert.Equal(t, 50, pub.duplicates)
		assert.Equal(t, ids, streamIDs(t, b, nats.MsgIdHdr))
	})
}

func TestRelay_RebuildsADeletedStream(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), nil))
	b := testkit.Bus(t)
	require.NoError(t, b.EnsureStream(t.Context(), stream))
	stop := startRelay(t, db, b)
	defer stop()
	ids := addAll(t, db, 50, "a")
	require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, b.JetStream().DeleteStream(t.Context(), stream.Name))
	_, err := outbox.ReemitSince(t.Context(), db, time.Time{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return unsent(t, db) == 0 }, 10*time.Second, 5*time.Millisecond)
	assert.Equal(t, ids, streamIDs(t, b, outbox.HeaderID))
	assert.Empty(t, slices.Compact(slices.DeleteFunc(streamIDs(t, b, nats.MsgIdHdr), func(id string) bool { return !slices.Contains(ids, id) })))
}

// streamIDs returns one header of every message of the stream, in order.
func streamIDs(t *testing.T, b *bus.Bus, header string) (ids []string) {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), stream.Name)
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		ids = append(ids, m.Header.Get(header))
	}
	return ids
}

// TestRelay_DeliversSoonAfterTheCommit holds the way from commit to consumer to less than the poll that would find it anyway.
func TestRelay_DeliversSoonAfterTheCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		b := testkit.Bus(t)
		require.NoError(t, b.EnsureStream(t.Context(), stream))
		consumer, err := b.JetStream().OrderedConsumer(t.Context(), stream.Name, jetstream.OrderedConsumerConfig{})
		require.NoError(t, err)
		messages, err := consumer.Messages()
		require.NoError(t, err)
		defer messages.Stop()
		stop := startRelay(t, db, b)
		defer stop()
		const rounds = 20
		begun := time.Now()
		for range rounds {
			addAll(t, db, 1, "a")
			_, err := messages.Next()
			require.NoError(t, err)
		}
		assert.Less(t, time.Since(begun), rounds*500*time.Millisecond, "the poll alone takes about a second each")
	})
}
