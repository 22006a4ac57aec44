package inbox_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// benchBacklog is the number of events of one round, and benchAggregates that of the aggregates they are spread over.
const (
	benchBacklog    = 10_000
	benchAggregates = 100
)

// BenchmarkCatchUp compares an inbox that works off a backlog with fetching and acknowledging the same messages.
func BenchmarkCatchUp(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		catchUp(b, func(_ context.Context, msgs []inbox.Delivery) []inbox.Verdict {
			verdicts := make([]inbox.Verdict, len(msgs))
			for i := range verdicts {
				verdicts[i] = inbox.Settled
			}
			return verdicts
		})
	})
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.PostgresOwned} {
		b.Run(name, func(b *testing.B) {
			db := open(b, sqldb.Options{})
			require.NoError(b, db.Migrate(b.Context(), tables))
			in := inbox.New(db, inbox.Options{New: newMessage, Handle: func(ctx context.Context, tx *sqldb.Tx, e inbox.Event) error {
				_, err := tx.Exec(ctx, `INSERT INTO told (held) VALUES ($1)`, e.ID)
				return err
			}})
			catchUp(b, in.Take)
		})
	}
}

// catchUp measures how fast take works off a backlog.
func catchUp(b *testing.B, take bus.Take) {
	b.Helper()
	broker := testkit.Bus(b)
	require.NoError(b, broker.EnsureStream(b.Context(), stream))
	var taken atomic.Int64
	through := make(chan struct{})
	counted := func(ctx context.Context, msgs []inbox.Delivery) []inbox.Verdict {
		verdicts := take(ctx, msgs)
		for _, v := range verdicts {
			if v == inbox.Settled && taken.Add(1)%benchBacklog == 0 {
				through <- struct{}{}
			}
		}
		return verdicts
	}
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		fillStream(b, broker, round)
		b.StartTimer()
		stop := consume(b, broker, counted)
		<-through
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(benchBacklog)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func fillStream(b *testing.B, broker *bus.Bus, round int) {
	b.Helper()
	payload, err := proto.Marshal(wrapperspb.String(fmt.Sprintf("%0300d", round)))
	require.NoError(b, err)
	msgs := make([]outbox.Message, 0, 500)
	for i := range benchBacklog {
		d := message(fmt.Sprintf("%d-%d", round, i%benchAggregates), i/benchAggregates+1)
		msgs = append(msgs, outbox.Message{ID: d.Header[outbox.HeaderID], Subject: d.Subject, Header: d.Header, Payload: payload})
		if len(msgs) < cap(msgs) {
			continue
		}
		_, err := broker.Publish(b.Context(), msgs)
		require.NoError(b, err)
		msgs = msgs[:0]
	}
}
