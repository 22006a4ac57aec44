package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// benchBacklog is the number of events of one round.
const benchBacklog = 20_000

// BenchmarkDrain compares a relay that drains a backlog with publishing the same messages to the same broker without a
// database. The broker syncs each message in both.
func BenchmarkDrain(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		broker := benchBroker(b)
		msgs := make([]outbox.Message, 512)
		for round := 0; b.Loop(); round++ {
			for sent := 0; sent < benchBacklog; sent += len(msgs) {
				msgs = msgs[:min(cap(msgs), benchBacklog-sent)]
				for i := range msgs {
					msgs[i] = outbox.Message{
						ID: fmt.Sprintf("%d-%d", round, sent+i), Subject: "google.protobuf.StringValue.15N",
						Header: map[string]string{outbox.HeaderID: "x"}, Payload: benchPayload,
					}
				}
				_, err := broker.Publish(b.Context(), msgs)
				require.NoError(b, err)
			}
			msgs = msgs[:cap(msgs)]
		}
		report(b)
	})
	for name, open := range map[string]func() *sqldb.DB{
		"sqlite":   func() *sqldb.DB { return testkit.SQLite(b, sqldb.Options{}) },
		"postgres": func() *sqldb.DB { return testkit.Postgres(b, sqldb.Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			broker := benchBroker(b)
			db := open()
			require.NoError(b, db.Migrate(b.Context(), nil))
			for round := 0; b.Loop(); round++ {
				b.StopTimer()
				fillOutbox(b, db, round)
				b.StartTimer()
				relayUntil(b, db, broker, func() bool { return unsent(b, db) == 0 })
			}
			report(b)
		})
	}
}

var benchPayload = make([]byte, 300)

func benchBroker(b *testing.B) *bus.Bus {
	b.Helper()
	broker := testkit.Bus(b)
	require.NoError(b, broker.EnsureStream(b.Context(), stream))
	return broker
}

func report(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(benchBacklog)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// fillOutbox writes a backlog straight into the table, since writing it is not what is measured.
func fillOutbox(b *testing.B, db *sqldb.DB, round int) {
	b.Helper()
	columns := []string{
		"id", "event_id", "aggregate", "aggregate_sequence", "subject", "type", "payload", "traceparent", "occurred_at", "created_at",
	}
	now := sqldb.Micros(time.Now())
	rows := func(yield func([]any, error) bool) {
		for i := range benchBacklog {
			id := fmt.Sprintf("%d-%d", round, i)
			row := []any{id, id, id, 1, "google.protobuf.StringValue.15N", "google.protobuf.StringValue", benchPayload, "", now, now}
			if !yield(row, nil) {
				return
			}
		}
	}
	require.NoError(b, db.Write(b.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.BulkInsert(b.Context(), "outbox", columns, rows)
		return err
	}))
}
