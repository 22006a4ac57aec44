package outbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// row is what the outbox keeps of an event, without what differs from call to call.
type row struct {
	id, aggregate, subject, kind string
	sequence                     int64
	payload                      string
}

func rowsIn(t *testing.T, db *sqldb.DB) (out []row) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT id, aggregate, subject, type, aggregate_sequence, payload FROM outbox WHERE id = event_id ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var r row
			var payload []byte
			if err := rows.Scan(&r.id, &r.aggregate, &r.subject, &r.kind, &r.sequence, &payload); err != nil {
				return err
			}
			r.payload = string(payload)
			out = append(out, r)
		}
		return rows.Err()
	}))
	return out
}

func TestAddAll_DoesWhatAddDoes(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 2, "payee/7", "payee/0")
		before := rowsIn(t, db)
		var events []outbox.Event
		want := map[string]int64{"payee/7": 2, "payee/0": 2}
		for i := range 450 {
			events = append(events, event(fmt.Sprintf("payee/%d", i%150), fmt.Sprint(i)))
		}
		var ids []string
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) (err error) {
			ids, err = outbox.AddAll(t.Context(), tx, events)
			return err
		}))
		added := rowsIn(t, db)[len(before):]
		require.Len(t, added, len(events))
		for i, r := range added {
			aggregate := events[i].Aggregate
			want[aggregate]++
			assert.Equal(t, ids[i], r.id)
			assert.Equal(t, aggregate, r.aggregate)
			assert.Equal(t, want[aggregate], r.sequence, "event %d of %s", i, aggregate)
			assert.Equal(t, before[0].kind, r.kind)
			assert.Equal(t, before[0].subject, r.subject)
			assert.Contains(t, r.payload, fmt.Sprint(i))
		}
		addAll(t, db, 1, "payee/149")
		last := rowsIn(t, db)
		assert.EqualValues(t, 4, last[len(last)-1].sequence, "Add goes on where AddAll has counted to")
	})
}

func TestAddAll_RefusesAllWithOne(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		for name, bad := range map[string]outbox.Event{
			"no aggregate": event("", "1"),
			"too large":    event("payee/2", strings.Repeat("x", outbox.MaxPayload)),
		} {
			err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := outbox.AddAll(t.Context(), tx, []outbox.Event{event("payee/1", "1"), bad})
				return err
			})
			require.Error(t, err, name)
		}
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			ids, err := outbox.AddAll(t.Context(), tx, nil)
			assert.Empty(t, ids)
			return err
		}))
		assert.Empty(t, rowsIn(t, db))
	})
}
