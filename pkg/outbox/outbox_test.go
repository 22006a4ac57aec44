package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), nil))
		test(t, db)
	})
}

func event(aggregate, text string) outbox.Event {
	return outbox.Event{Aggregate: aggregate, CommissionerCode: "15N", Message: wrapperspb.String(text)}
}

// addAll writes events 0 to n-1 of the aggregates, in one transaction.
func addAll(tb testing.TB, db *sqldb.DB, n int, aggregates ...string) (ids []string) {
	tb.Helper()
	require.NoError(tb, db.Write(tb.Context(), func(tx *sqldb.Tx) error {
		ids = nil
		for i := range n {
			for _, a := range aggregates {
				id, err := outbox.Add(tb.Context(), tx, event(a, fmt.Sprint(i)))
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

// unsent counts the events not marked as sent.
func unsent(tb testing.TB, db *sqldb.DB) (n int) {
	tb.Helper()
	require.NoError(tb, db.Read(tb.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(tb.Context(), `SELECT count(*) FROM outbox WHERE sent_at IS NULL`).Scan(&n)
	}))
	return n
}

func TestAdd_RefusesWhatCannotBePublished(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), nil))
	for want, e := range map[string]outbox.Event{
		"no aggregate":   {Message: &emptypb.Empty{}},
		"subject":        {Aggregate: "a", CommissionerCode: "15N.>", Message: &emptypb.Empty{}},
		"bytes and may":  {Aggregate: "a", Message: wrapperspb.String(strings.Repeat("x", outbox.MaxPayload))},
		"encode: string": {Aggregate: "a", Message: wrapperspb.String("\xff")},
	} {
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := outbox.Add(t.Context(), tx, e)
			return err
		})
		require.ErrorContains(t, err, want)
	}
}

func TestAdd_LeavesNothingOfARollback(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		refused := fault.New(fault.Refused, "NO", "no")
		for range 2 {
			require.ErrorIs(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := outbox.Add(t.Context(), tx, event("a", "x"))
				require.NoError(t, err)
				return refused
			}), refused)
		}
		assert.Zero(t, unsent(t, db))
		pub := &recorder{}
		addAll(t, db, 1, "a")
		relayUntil(t, db, pub, func() bool { return unsent(t, db) == 0 })
		assert.Equal(t, "1", pub.stored[0].Header[outbox.HeaderSequence], "the sequence has no gap")
	})
}

func TestAdd_NumbersWithoutGapsHoweverManyWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const writers = 40
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				assert.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
					_, err := outbox.Add(t.Context(), tx, event([]string{"a", "b"}[i%2], "x"))
					return err
				}))
			})
		}
		group.Wait()
		for _, aggregate := range []string{"a", "b"} {
			var n, last int
			require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
				return q.QueryRow(t.Context(), `SELECT count(*), max(aggregate_sequence) FROM outbox WHERE aggregate = $1`, aggregate).
					Scan(&n, &last)
			}))
			assert.Equal(t, writers/2, n)
			assert.Equal(t, writers/2, last)
		}
	})
}

func TestReemit_KeepsTheEventAndChangesTheMessage(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		ids := addAll(t, db, 3, "a")
		var again []string
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) (err error) {
			again, err = outbox.Reemit(t.Context(), tx, []string{ids[2], ids[1]})
			return err
		}))
		pub := &recorder{}
		relayUntil(t, db, pub, func() bool { return unsent(t, db) == 0 })
		require.Len(t, pub.stored, 5)
		for i, original := range map[int]int{3: 2, 4: 1} {
			first, second := pub.stored[original], pub.stored[i]
			assert.Equal(t, again[i-3], second.ID)
			assert.NotEqual(t, first.ID, second.ID)
			assert.Equal(t, first.Header, second.Header)
			assert.Equal(t, first.Payload, second.Payload)
		}
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := outbox.Reemit(t.Context(), tx, []string{"nobody"})
			return err
		})
		assert.Equal(t, outbox.ReasonEventNotFound, fault.ReasonOf(err))
	})
}

func TestReemitSince_SendsEachEventOnceMore(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 1, "old")
		since := db.Now()
		ids := addAll(t, db, 600, "a", "b")
		for _, from := range []time.Time{since, since} { // what was sent again is not sent again by the next
			n, err := outbox.ReemitSince(t.Context(), db, from)
			require.NoError(t, err)
			assert.Equal(t, len(ids), n)
		}
		assert.Equal(t, 1+3*len(ids), unsent(t, db))
	})
}

func TestOldestAge_CountsFromTheFirstUnsent(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC))
	db := testkit.SQLite(t, sqldb.Options{Clock: clock.Now})
	require.NoError(t, db.Migrate(t.Context(), nil))
	age := func() time.Duration {
		d, err := outbox.OldestAge(t.Context(), db)
		require.NoError(t, err)
		return d
	}
	assert.Zero(t, age())
	addAll(t, db, 1, "a")
	clock.Advance(time.Minute)
	addAll(t, db, 1, "a")
	assert.Equal(t, time.Minute, age())
	clock.Advance(-time.Hour)
	assert.Zero(t, age(), "a clock set back gives no negative age")
}

func TestPrune_KeepsWhatIsUnsentOrRecent(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 3, "a")
		relayUntil(t, db, &recorder{}, func() bool { return unsent(t, db) == 0 })
		later := db.Now().Add(time.Hour)
		addAll(t, db, 2, "a")
		n, err := outbox.Prune(t.Context(), db, later.Add(-2*time.Hour))
		require.NoError(t, err)
		assert.Zero(t, n)
		n, err = outbox.Prune(t.Context(), db, later)
		require.NoError(t, err)
		assert.EqualValues(t, 3, n)
		assert.Equal(t, 2, unsent(t, db))
	})
}

// relayUntil runs a relay until done says so.
func relayUntil(tb testing.TB, db *sqldb.DB, pub outbox.Publisher, done func() bool) {
	tb.Helper()
	stop := startRelay(tb, db, pub)
	defer stop()
	assert.Eventually(tb, done, 20*time.Second, 5*time.Millisecond)
}

// startRelay runs a relay until stop is called, which waits for its end.
func startRelay(tb testing.TB, db *sqldb.DB, pub outbox.Publisher) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		relay := outbox.NewRelay(db, pub, outbox.RelayOptions{Source: "/pcnfunding/test"})
		assert.NoError(tb, relay.Run(ctx))
	}()
	return func() {
		cancel()
		<-ended
	}
}
