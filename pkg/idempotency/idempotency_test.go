package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

var caller = idempotency.Caller{Subject: "ann", Method: "/test.Service/Change"}

func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Parallel()
	effects := fstest.MapFS{"00001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id TEXT PRIMARY KEY, request TEXT NOT NULL);")}}
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), effects))
		test(t, db)
	})
}

// effect stores a row and answers with its id, which differs each time.
func effect(request string) func(context.Context, *sqldb.Tx) (*wrapperspb.StringValue, error) {
	return func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
		id := tx.NewID()
		_, err := tx.Exec(ctx, `INSERT INTO effect (id, request) VALUES ($1, $2)`, id, request)
		return wrapperspb.String(id), err
	}
}

func effects(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT count(*) FROM effect`).Scan(&n)
	}))
	return n
}

func TestDo_ReplaysTheAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		req := change(`{"request_id": "1", "reason": "first", "notes": {"b": "2", "a": "1"}}`)
		first, replayed, err := idempotency.Do(t.Context(), db, caller, req, effect("1"))
		require.NoError(t, err)
		assert.False(t, replayed)

		same := change(`{"notes": {"a": "1", "b": "2"}, "reason": "first", "request_id": "1"}`)
		again, replayed, err := idempotency.Do(t.Context(), db, caller, same, effect("1"))
		require.NoError(t, err)
		assert.True(t, replayed)
		assert.True(t, proto.Equal(first, again))
		assert.Equal(t, 1, effects(t, db))
		assert.Contains(t, req.String(), "request_id", "the request is left as it was")
	})
}

func TestDo_KeepsCallersAndMethodsApart(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		for _, c := range []idempotency.Caller{
			{Subject: "ann", Method: "/a"}, {Subject: "ann", Method: "/b"}, {Subject: "bob", Method: "/a"}, {Subject: "Ann", Method: "/a"},
		} {
			_, replayed, err := idempotency.Do(t.Context(), db, c, change(`{"request_id": "1"}`), effect("1"))
			require.NoError(t, err)
			assert.False(t, replayed, c)
		}
		assert.Equal(t, 4, effects(t, db))
	})
}

// A repetition has no effect even where its effect would have gone to the database with the note and the commit, and it gets the answer
// even where it would be refused by now.
func TestDo_ReplaysWhatReadsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		queued := func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
			id := tx.NewID()
			return wrapperspb.String(id), tx.Queue(ctx, "have an effect", `INSERT INTO effect (id, request) VALUES ($1, '1')`, id)
		}
		refused := func(context.Context, *sqldb.Tx) (*wrapperspb.StringValue, error) {
			return nil, errors.New("it is too late for that")
		}
		first, _, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1"}`), queued)
		require.NoError(t, err)
		for _, fn := range []func(context.Context, *sqldb.Tx) (*wrapperspb.StringValue, error){queued, refused} {
			again, replayed, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1"}`), fn)
			require.NoError(t, err)
			assert.True(t, replayed)
			assert.True(t, proto.Equal(first, again))
		}
		assert.Equal(t, 1, effects(t, db))
		_, _, err = idempotency.Do(t.Context(), db, caller, change(`{"request_id": "2"}`), refused)
		require.ErrorContains(t, err, "too late")
	})
}

func TestDo_AnEmptyAnswerIsAnAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		for _, want := range []bool{false, true} {
			_, replayed, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1"}`),
				func(context.Context, *sqldb.Tx) (*emptypb.Empty, error) { return &emptypb.Empty{}, nil })
			require.NoError(t, err)
			assert.Equal(t, want, replayed)
		}
	})
}

func TestDo_RefusesOtherContentAndNamesTheFields(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const original = `{"request_id": "1", "reason": "secret", "amounts_pence": ["1", "2"], "notes": {"a": "1"},
			"lines": [{"name": "x", "amount_pence": "5"}, {"name": "y"}]}`
		_, _, err := idempotency.Do(t.Context(), db, caller, change(original), effect("1"))
		require.NoError(t, err)
		for body, differs := range map[string]string{
			`{"request_id": "1"}`:                                            "reason,amounts_pence,lines,notes",
			strings.Replace(original, "secret", "other", 1):                  "reason",
			strings.Replace(original, `["1", "2"]`, `["1","3"]`, 1):          "amounts_pence[1]",
			strings.Replace(original, `"5"`, `"6"`, 1):                       "lines[0].amount_pence",
			strings.Replace(original, `{"a": "1"}`, `{"b":"1"}`, 1):          "notes",
			strings.Replace(original, `"reason"`, `"main": {}, "reason"`, 1): "main",
		} {
			_, _, err := idempotency.Do(t.Context(), db, caller, change(body), effect("1"))
			f, ok := fault.As(err)
			require.True(t, ok, err)
			assert.Equal(t, fault.Exists, f.Kind)
			assert.Equal(t, idempotency.ReasonReused, f.Reason)
			assert.Equal(t, differs, f.Meta["differs"])
			assert.NotContains(t, err.Error(), "secret")
		}
		assert.Equal(t, 1, effects(t, db))
	})
}

func TestDo_RefusesRequestsWithoutAName(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	_, _, err := idempotency.Do(t.Context(), db, caller, change(`{}`), effect("1"))
	f, ok := fault.As(err)
	require.True(t, ok, err)
	assert.Equal(t, fault.Invalid, f.Kind)
	assert.Equal(t, idempotency.ReasonRequired, f.Reason)
	assert.Equal(t, "request_id", f.Violations[0].Field)
	_, _, err = idempotency.Stored[*emptypb.Empty](t.Context(), db, caller, change(`{}`))
	assert.Equal(t, idempotency.ReasonRequired, fault.ReasonOf(err))
	_, _, err = idempotency.Do(t.Context(), db, caller, &emptypb.Empty{}, effect("1"))
	require.ErrorContains(t, err, "has no string field request_id")
	_, _, err = idempotency.Do(t.Context(), db, idempotency.Caller{}, change(`{"request_id": "1"}`), effect("1"))
	require.ErrorContains(t, err, "no subject")
}

func TestDo_DoesNotRememberARefusal(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		refused := fault.New(fault.Refused, "MONTH_CLOSED", "closed")
		_, _, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1", "reason": "a"}`),
			func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
				if _, err := effect("1")(ctx, tx); err != nil {
					return nil, err
				}
				return nil, refused
			})
		require.ErrorIs(t, err, refused)
		assert.Zero(t, effects(t, db))
		_, replayed, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1", "reason": "b"}`), effect("1"))
		require.NoError(t, err)
		assert.False(t, replayed)
	})
}

func TestStored_FindsOnlyWhatIsThere(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		req := change(`{"request_id": "1", "reason": "a"}`)
		_, found, err := idempotency.Stored[*wrapperspb.StringValue](t.Context(), db, caller, req)
		require.NoError(t, err)
		assert.False(t, found)
		want, _, err := idempotency.Do(t.Context(), db, caller, req, effect("1"))
		require.NoError(t, err)
		got, found, err := idempotency.Stored[*wrapperspb.StringValue](t.Context(), db, caller, req)
		require.NoError(t, err)
		assert.True(t, found)
		assert.True(t, proto.Equal(want, got))
		_, _, err = idempotency.Stored[*wrapperspb.StringValue](t.Context(), db, caller, change(`{"request_id": "1", "reason": "b"}`))
		assert.Equal(t, idempotency.ReasonReused, fault.ReasonOf(err))
	})
}

// Fifty copies of each of twenty requests at once: one effect each, and everyone gets its answer. A call that a busy store turns
// away is made again with the same name, as the refusal asks.
func TestDo_StormHasOneEffectPerRequest(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const keys, copies = 20, 50
		var answers [keys][copies]string
		var fresh atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for k := range keys {
			req := change(fmt.Sprintf(`{"request_id": "%d", "reason": "storm"}`, k))
			for c := range copies {
				group.Go(func() {
					<-start
					resp, replayed, err := idempotency.Do(t.Context(), db, caller, req, effect(fmt.Sprint(k)))
					for fault.ReasonOf(err) == sqldb.ReasonTryAgain {
						resp, replayed, err = idempotency.Do(t.Context(), db, caller, req, effect(fmt.Sprint(k)))
					}
					if assert.NoError(t, err) {
						answers[k][c] = resp.GetValue()
						if !replayed {
							fresh.Add(1)
						}
					}
				})
			}
		}
		close(start)
		group.Wait()
		assert.EqualValues(t, keys, fresh.Load())
		assert.Equal(t, keys, effects(t, db))
		for _, row := range answers {
			for _, answer := range row {
				assert.Equal(t, row[0], answer)
			}
		}
	})
}

// Requests that have nothing to do with each other must not make Postgres undo one for the sake of the other.
func TestDo_RunsUnrelatedRequestsOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const clients, each = 10, 20
		var runs atomic.Int64
		var group sync.WaitGroup
		for c := range clients {
			group.Go(func() {
				for i := range each {
					_, _, err := idempotency.Do(t.Context(), db, caller, change(fmt.Sprintf(`{"request_id": "%d-%d"}`, c, i)),
						func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
							runs.Add(1)
							if err := audit.Add(ctx, tx, audit.Entry{Actor: "ann", Method: caller.Method}); err != nil {
								return nil, err
							}
							if _, err := outbox.Add(ctx, tx, outbox.Event{Aggregate: tx.NewID(), Message: &emptypb.Empty{}}); err != nil {
								return nil, err
							}
							return effect("1")(ctx, tx)
						})
					if !assert.NoError(t, err) {
						return
					}
				}
			})
		}
		group.Wait()
		assert.EqualValues(t, clients*each, runs.Load())
	})
}

// Copies that wait for a first one that is refused must not inherit the refusal.
func TestDo_WaitingCopiesGoOnWhenTheFirstFails(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		var attempts atomic.Int64
		broken := errors.New("the first one breaks")
		var group sync.WaitGroup
		var failed atomic.Int64
		for range 10 {
			group.Go(func() {
				_, _, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1"}`),
					func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
						// Only who holds the note goes on, so that the first is the first of them.
						if err := tx.Settle(ctx); err != nil {
							return nil, err
						}
						if attempts.Add(1) == 1 {
							return nil, broken
						}
						return effect("1")(ctx, tx)
					})
				if err != nil {
					failed.Add(1)
					assert.ErrorIs(t, err, broken)
				}
			})
		}
		group.Wait()
		assert.EqualValues(t, 1, failed.Load())
		assert.Equal(t, 1, effects(t, db))
	})
}

func TestPrune_DeletesOnlyTheOld(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), nil))
		answer := func(context.Context, *sqldb.Tx) (*emptypb.Empty, error) { return &emptypb.Empty{}, nil }
		for i := range 3 {
			_, _, err := idempotency.Do(t.Context(), db, caller, change(fmt.Sprintf(`{"request_id": "%d"}`, i)), answer)
			require.NoError(t, err)
		}
		n, err := idempotency.Prune(t.Context(), db, db.Now().Add(-time.Hour))
		require.NoError(t, err)
		assert.Zero(t, n)
		n, err = idempotency.Prune(t.Context(), db, db.Now().Add(time.Hour))
		require.NoError(t, err)
		assert.EqualValues(t, 3, n)
		_, replayed, err := idempotency.Do(t.Context(), db, caller, change(`{"request_id": "1"}`), answer)
		require.NoError(t, err)
		assert.False(t, replayed)
	})
}

func TestDo_KeepsNothingOfWhatTheContractRedacts(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const pay = 987654321
		request := func(pence int) *dynamicpb.Message {
			return change(fmt.Sprintf(`{"request_id": "1", "reason": "claim", "lines": [{"name": "CP 1", "pay_pence": %d}], "main": {"pay_pence": %d}}`, pence, pence))
		}
		_, _, err := idempotency.Do(t.Context(), db, caller, request(pay), effect("1"))
		require.NoError(t, err)
		var stored []byte
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT request FROM idempotency`).Scan(&stored)
		}))
		kept := dynamicpb.NewMessage(changeType())
		require.NoError(t, proto.Unmarshal(stored, kept))
		require.Contains(t, kept.String(), "CP 1")
		require.NotContains(t, kept.String(), fmt.Sprint(pay))
		_, replayed, err := idempotency.Do(t.Context(), db, caller, request(pay), effect("1"))
		require.NoError(t, err)
		require.True(t, replayed)
		_, _, err = idempotency.Do(t.Context(), db, caller, request(pay+1), effect("1"))
		require.Equal(t, idempotency.ReasonReused, fault.ReasonOf(err), "other pay is other content")
		require.NotContains(t, err.Error(), fmt.Sprint(pay))
	})
}
