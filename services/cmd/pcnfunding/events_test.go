package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// told is an event as a relay would have published it.
func told(number int, at time.Time) outbox.Message {
	id := fmt.Sprintf("event-%d", number)
	return outbox.Message{ID: id, Subject: "pcnfunding.register.v1.LoadRecorded.england", Payload: []byte("x"), Header: map[string]string{
		outbox.HeaderID: id, outbox.HeaderSubject: "load/" + id, outbox.HeaderSequence: "1", outbox.HeaderType: "x",
		outbox.HeaderTime: at.UTC().Format(time.RFC3339Nano),
	}}
}

// TestCompare_LeavesOutWhatIsForgottenByAge holds that a suite older than what streams and outboxes keep is not told, each day anew, that
// it has lost events.
func TestCompare_LeavesOutWhatIsForgottenByAge(t *testing.T) {
	t.Parallel()
	p, old := newPatient(t), time.Now().Add(-outbox.Keep)
	p.row("pruned-from-the-stream", old, old)
	p.stream(func(b *bus.Bus) {
		_, err := b.Publish(t.Context(), []outbox.Message{told(1, old), told(2, time.Now())})
		require.NoError(t, err)
		p.database(func(db *sqldb.DB) {
			d, err := compare(t.Context(), db, b.JetStream(), "register")
			require.NoError(t, err)
			require.Zero(t, d.missing)
			require.Equal(t, 1, d.same)
			require.Len(t, d.unknown, 1, "the newer is in the stream only")
		})
	})
}

// TestAdopt_TakesManyIn adopts more than one transaction may, and once only.
func TestAdopt_TakesManyIn(t *testing.T) {
	t.Parallel()
	p, many := newPatient(t), 2*adoptBatch+1
	p.stream(func(b *bus.Bus) {
		var messages []outbox.Message
		for number := range many {
			messages = append(messages, told(number, time.Now()))
		}
		require.NoError(t, b.JetStream().DeleteStream(t.Context(), bus.ServiceStream("register").Name))
		require.NoError(t, b.EnsureStream(t.Context(), bus.ServiceStream("register")))
		for len(messages) > 0 {
			n := min(len(messages), 200)
			_, err := b.Publish(t.Context(), messages[:n])
			require.NoError(t, err)
			messages = messages[n:]
		}
		p.database(func(db *sqldb.DB) {
			for _, want := range []int{many, 0} {
				n, err := adopt(t.Context(), db, b.JetStream(), "register")
				require.NoError(t, err)
				require.Equal(t, want, n)
			}
		})
	})
}
