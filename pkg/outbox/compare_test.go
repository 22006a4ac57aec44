package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// lost is an event as a stream has it.
func lost(id, aggregate, sequence string) outbox.Message {
	return outbox.Message{Subject: "google.protobuf.StringValue.15N", Payload: []byte("x"), Header: map[string]string{
		outbox.HeaderID: id, outbox.HeaderSubject: aggregate, outbox.HeaderSequence: sequence, outbox.HeaderType: "google.protobuf.StringValue",
		outbox.HeaderTime: "2025-04-30T12:00:00Z",
	}}
}

func adoptAll(t *testing.T, db *sqldb.DB, messages ...outbox.Message) error {
	t.Helper()
	return db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for _, m := range messages {
			if err := outbox.Adopt(t.Context(), tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestAdopt_NewEventsGoOnAfterIt(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 1, "payee/1")
		require.NoError(t, adoptAll(t, db, lost("e2", "payee/1", "2"), lost("e3", "payee/1", "3"), lost("o1", "payee/2", "1")))
		require.NoError(t, adoptAll(t, db, lost("e3", "payee/1", "3")), "it is there already")
		addAll(t, db, 1, "payee/1")
		var numbers []int64
		for _, r := range rowsIn(t, db) {
			if r.aggregate == "payee/1" {
				numbers = append(numbers, r.sequence)
			}
		}
		assert.Equal(t, []int64{1, 2, 3, 4}, numbers)
		kept, err := outbox.KeptIn(t.Context(), db, time.Time{})
		require.NoError(t, err)
		assert.Equal(t, map[string]bool{"e2": true, "e3": true, "o1": true}, kept.Sent, "it was published before")
		assert.Len(t, kept.Waiting, 2)
		assert.True(t, kept.Has("e2"))
		assert.False(t, kept.Has("e4"))
		recent, err := outbox.KeptIn(t.Context(), db, time.Date(2025, 5, 1, 0, 0, 0, 0, time.UTC))
		require.NoError(t, err)
		assert.False(t, recent.Has("e2"), "it occurred before")
	})
}

func TestAdopt_RefusesANumberThatIsTaken(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 2, "payee/1")
		require.ErrorIs(t, adoptAll(t, db, lost("e3", "payee/1", "3"), lost("e2", "payee/1", "2")), outbox.ErrNumberTaken)
		require.Len(t, rowsIn(t, db), 2, "none is adopted beside it")
		for _, bad := range []outbox.Message{lost("e", "payee/1", "0"), lost("e", "payee/1", ""), lost("", "payee/1", "3"), lost("e", "", "3")} {
			require.ErrorContains(t, adoptAll(t, db, bad), "adopt an event")
		}
	})
}
