package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// tables hold what the tests' handler makes of events: a trail for each aggregate, in which order and doubles show.
var tables = fstest.MapFS{"00001_trail.sql": {Data: []byte(`-- +goose Up
CREATE TABLE trail (aggregate TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE told (held TEXT NOT NULL PRIMARY KEY);`)}}

const knownType = "google.protobuf.StringValue"

// fixture is an inbox whose handler fails as told.
type fixture struct {
	*testing.T
	db    *sqldb.DB
	clock *testkit.Clock
	in    *inbox.Inbox
	// fail returns what the handler fails on; nil for nothing.
	fail func(text string) error
}

// onBoth runs a test on each engine, with a clock that stands still.
func onBoth(t *testing.T, test func(f *fixture)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.PostgresOwned} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(testkit.Start)
			test(newFixture(t, open(t, sqldb.Options{Clock: clock.Now}), clock, inbox.Options{}))
		})
	}
}

func newFixture(t *testing.T, db *sqldb.DB, clock *testkit.Clock, o inbox.Options) *fixture {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), tables))
	f := &fixture{T: t, db: db, clock: clock, fail: func(string) error { return nil }}
	o.Handle, o.New, o.OnQuarantine, o.Logger = f.handle, newMessage, tell, testkit.Logger(t)
	f.in = inbox.New(db, o)
	return f
}

func newMessage(typeName string) (proto.Message, bool) {
	return new(wrapperspb.StringValue), typeName == knownType
}

// handle appends the event's text to the trail of its aggregate, and fails after it has.
func (f *fixture) handle(ctx context.Context, tx *sqldb.Tx, e inbox.Event) error {
	text := e.Message.(*wrapperspb.StringValue).GetValue() //nolint:forcetypeassert // newMessage makes no other
	if err := follow(ctx, tx, e.Aggregate, text); err != nil {
		return err
	}
	return f.fail(text)
}

func follow(ctx context.Context, tx *sqldb.Tx, aggregate, text string) error {
	const q = `INSERT INTO trail (aggregate, text) VALUES ($1, $2)
		ON CONFLICT (aggregate) DO UPDATE SET text = trail.text || ' ' || excluded.text`
	_, err := tx.Exec(ctx, q, aggregate, text)
	return err
}

func tell(ctx context.Context, tx *sqldb.Tx, h inbox.Held) error {
	_, err := tx.Exec(ctx, `INSERT INTO told (held) VALUES ($1)`, h.ID)
	return err
}

// on makes the handler fail on one text.
func (f *fixture) on(bad string, err error) {
	f.fail = func(text string) error {
		if text == bad {
			return err
		}
		return nil
	}
}

// message is the event of a number of an aggregate; its text is that number.
func message(aggregate string, sequence int) inbox.Delivery {
	return with(message0(), map[string]string{
		"ce-id": fmt.Sprintf("%s-%d", aggregate, sequence), "ce-subject": aggregate, "ce-sequence": fmt.Sprint(sequence),
	}, wrapperspb.String(fmt.Sprint(sequence)))
}

func message0() inbox.Delivery {
	return inbox.Delivery{Subject: knownType + ".15N", Header: map[string]string{
		"ce-specversion": "1.0", "ce-source": "/pcnfunding/test", "ce-type": knownType, "ce-time": "2026-01-15T09:00:00Z",
		"content-type": "application/protobuf",
	}}
}

// with returns a message with other headers and, unless it is nil, another content.
func with(d inbox.Delivery, header map[string]string, content proto.Message) inbox.Delivery {
	out := d
	out.Header = make(map[string]string)
	for _, from := range []map[string]string{d.Header, header} {
		for k, v := range from {
			out.Header[k] = v
		}
	}
	if content != nil {
		out.Payload, _ = proto.Marshal(content)
	}
	return out
}

// take takes messages in and checks that each has one and the same verdict.
func (f *fixture) take(want inbox.Verdict, msgs ...inbox.Delivery) {
	f.Helper()
	got := f.in.Take(f.Context(), msgs)
	assert.Equal(f, slices.Repeat([]inbox.Verdict{want}, len(msgs)), got)
}

// trails returns what the handler has made of the events.
func (f *fixture) trails() map[string]string {
	f.Helper()
	out := make(map[string]string)
	require.NoError(f, f.db.Read(f.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(f.Context(), `SELECT aggregate, text FROM trail`)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // a test
		for rows.Next() {
			var aggregate, text string
			if err := rows.Scan(&aggregate, &text); err != nil {
				return err
			}
			out[aggregate] = text
		}
		return rows.Err()
	}))
	return out
}

func (f *fixture) count(table string) (n int) {
	f.Helper()
	require.NoError(f, f.db.Read(f.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(f.Context(), `SELECT count(*) FROM `+table).Scan(&n)
	}))
	return n
}

// held returns all that is held, the oldest first.
func (f *fixture) held() (all []inbox.Held) {
	f.Helper()
	require.NoError(f, f.db.Read(f.Context(), func(q sqldb.Querier) (err error) {
		all, err = inbox.List(f.Context(), q, inbox.Filter{Limit: 5000})
		return err
	}))
	slices.Reverse(all)
	return all
}

// heldEvent returns what is held of one event.
func (f *fixture) heldEvent(event string) inbox.Held {
	f.Helper()
	all := f.held()
	i := slices.IndexFunc(all, func(h inbox.Held) bool { return h.Event.ID == event })
	require.GreaterOrEqual(f, i, 0, event)
	return all[i]
}

func (f *fixture) decide(decision func(context.Context, *sqldb.Tx, string) (inbox.Outcome, error), id string) (out inbox.Outcome, err error) {
	f.Helper()
	err = f.db.Write(f.Context(), func(tx *sqldb.Tx) (err error) {
		out, err = decision(f.Context(), tx, id)
		return err
	})
	return out, err
}

// upTo is the trail of an aggregate whose events 1 to n were handled once and in order.
func upTo(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint(i + 1)
	}
	return strings.Join(words, " ")
}

var refused = fault.New(fault.Refused, "SUM_WRONG", "the sums differ")

func TestTake_HandlesOnceWithTheEventsAttributes(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), tables))
	var got []inbox.Event
	var traced trace.SpanContext
	in := inbox.New(db, inbox.Options{New: newMessage, Handle: func(ctx context.Context, _ *sqldb.Tx, e inbox.Event) error {
		got, traced = append(got, e), trace.SpanContextFromContext(ctx)
		return nil
	}})
	m := with(message("a", 1), map[string]string{"traceparent": "00-01000000000000000000000000000000-0200000000000000-01"}, nil)
	for range 3 {
		assert.Equal(t, []inbox.Verdict{inbox.Settled}, in.Take(t.Context(), []inbox.Delivery{m}))
	}
	require.Len(t, got, 1)
	assert.Equal(t, "1", got[0].Message.(*wrapperspb.StringValue).GetValue()) //nolint:forcetypeassert // newMessage makes no other
	got[0].Message = nil
	assert.Equal(t, inbox.Event{
		ID: "a-1", Source: "/pcnfunding/test", Type: knownType, Aggregate: "a", Sequence: 1, Subject: knownType + ".15N",
		CommissionerCode: "15N", OccurredAt: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC),
	}, got[0])
	assert.Equal(t, trace.TraceID{1}, traced.TraceID())
	assert.True(t, traced.IsRemote())
}

// Each event ten times, any two up to 1,000 places out of order, and then all once more from the start: the state is that of the
// ordered, single run.
func TestTake_EndsAsTheOrderedSingleRun(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const aggregates, each, times, reach = 7, 60, 10, 1000
		var ordered []inbox.Delivery
		want := make(map[string]string)
		for i := range each {
			for a := range aggregates {
				ordered = append(ordered, message(fmt.Sprint("a", a), i+1))
				want[fmt.Sprint("a", a)] = upTo(each)
			}
		}
		var msgs []inbox.Delivery
		for _, m := range ordered {
			msgs = append(msgs, slices.Repeat([]inbox.Delivery{m}, times)...)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for from := 0; from < len(msgs); from += reach {
			part := msgs[from:min(from+reach, len(msgs))]
			random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
		for part := range slices.Chunk(append(msgs, ordered...), 40) {
			f.take(inbox.Settled, part...)
		}
		assert.Equal(f, want, f.trails())
		assert.Empty(f, f.held())
		assert.Equal(f, aggregates*each, f.count("inbox_seen"))
	})
}

func TestTake_OrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.SQLite(t, sqldb.Options{}), nil, inbox.Options{})
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		var msgs []inbox.Delivery
		want := make(map[string]string)
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, 6), 1, 3).Draw(r, "events of each aggregate") {
			aggregate := fmt.Sprint(round, "-", i)
			for sequence := 1; sequence <= n; sequence++ {
				msgs = append(msgs, slices.Repeat([]inbox.Delivery{message(aggregate, sequence)}, rapid.IntRange(1, 3).Draw(r, "times"))...)
			}
			want[aggregate] = upTo(n)
		}
		msgs = rapid.Permutation(msgs).Draw(r, "order")
		for part := range slices.Chunk(msgs, rapid.IntRange(1, len(msgs)).Draw(r, "at once")) {
			f.take(inbox.Settled, part...)
		}
		got := f.trails()
		maps.DeleteFunc(got, func(aggregate, _ string) bool { return want[aggregate] == "" })
		assert.Equal(r, want, got)
		assert.Empty(r, f.held())
	})
}

func TestTake_SeveralAtOnceDoNotDouble(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const each = 40
		done := make(chan bool)
		for range 3 {
			go func() {
				defer func() { done <- true }()
				for i := 0; i < each; {
					n := min(8, each-i)
					var msgs []inbox.Delivery
					for j := range n {
						msgs = append(msgs, message("a", i+j+1), message("b", i+j+1))
					}
					if !slices.Contains(f.in.Take(f.Context(), msgs), inbox.Again) {
						i += n
					}
				}
			}()
		}
		for range 3 {
			<-done
		}
		f.clock.Advance(time.Second)
		f.take(inbox.Settled)
		assert.Equal(f, map[string]string{"a": upTo(each), "b": upTo(each)}, f.trails())
		assert.Empty(f, f.held())
	})
}

func TestTake_ParksBehindAGapAndGoesOn(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.take(inbox.Settled, message("a", 1), message("a", 3), message("a", 4), message("b", 1))
		f.take(inbox.Settled, message("c", 2)) // the first of an aggregate must be number 1
		assert.Equal(f, map[string]string{"a": "1", "b": "1"}, f.trails())
		f.clock.Advance(time.Minute)
		age, err := inbox.OldestParked(f.Context(), f.db)
		require.NoError(f, err)
		assert.Equal(f, time.Minute, age)
		f.take(inbox.Settled, message("a", 2), message("c", 1))
		assert.Equal(f, map[string]string{"a": upTo(4), "b": "1", "c": upTo(2)}, f.trails())
		assert.Empty(f, f.held())
	})
}

func TestTake_TakesUpAnyNumberOfParkedOnes(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const n = 1000
		msgs := make([]inbox.Delivery, n-1)
		for i := range msgs {
			msgs[i] = message("a", i+2)
		}
		f.take(inbox.Settled, msgs...)
		assert.Len(f, f.held(), n-1)
		f.on("500", refused)
		f.take(inbox.Settled, message("a", 1))
		assert.Equal(f, map[string]string{"a": upTo(499)}, f.trails())
		f.fail = func(string) error { return nil }
		out, err := f.decide(f.in.Release, f.heldEvent("a-500").ID)
		require.NoError(f, err)
		assert.Len(f, out.Drained, 64, "a person need not wait for all of them")
		f.clock.Advance(time.Second)
		f.take(inbox.Settled)
		assert.Equal(f, map[string]string{"a": upTo(n)}, f.trails())
	})
}

func TestNew_MeasuresWhatIsHeld(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	clock := testkit.NewClock(testkit.Start)
	f := newFixture(t, testkit.SQLite(t, sqldb.Options{Clock: clock.Now}), clock, inbox.Options{
		Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"),
	})
	f.on("2", refused)
	f.in.Take(t.Context(), []inbox.Delivery{message("a", 1), message("a", 2), message("a", 3), message("b", 1), message("b", 1)})
	clock.Advance(time.Minute)
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	got := make(map[string]float64)
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch points := m.Data.(type) {
		case metricdata.Sum[int64]:
			got[m.Name] = float64(points.DataPoints[0].Value)
		case metricdata.Gauge[int64]:
			got[m.Name] = float64(points.DataPoints[0].Value)
		case metricdata.Gauge[float64]:
			got[m.Name] = points.DataPoints[0].Value
		case metricdata.Histogram[float64]:
			got[m.Name] = float64(points.DataPoints[0].Count)
		}
	}
	assert.Equal(t, map[string]float64{
		"inbox_handled_total": 2, "inbox_duplicates_total": 1, "inbox_quarantined_total": 1, "inbox_quarantined": 1,
		"inbox_parked": 1, "inbox_parked_oldest_age_seconds": 60, "inbox_delay_seconds": 2,
	}, got)
}

func TestTake_StartsAnywhereIfToldTo(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(testkit.Start)
	f := newFixture(t, testkit.SQLite(t, sqldb.Options{Clock: clock.Now}), clock, inbox.Options{AnyStart: true})
	f.on("5", errors.New("once"))
	f.take(inbox.Settled, message("a", 5))
	f.take(inbox.Settled, message("a", 6))
	assert.Empty(t, f.trails(), "the first that came stays the first")
	f.fail = func(string) error { return nil }
	clock.Advance(time.Second)
	f.take(inbox.Settled, message("a", 8))
	assert.Equal(t, map[string]string{"a": "5 6"}, f.trails())
	f.take(inbox.Settled, message("a", 7), message("a", 2))
	assert.Equal(t, map[string]string{"a": "5 6 2 7 8"}, f.trails(), "one from before the start is handled all the same")
}

// garbled are messages of an aggregate that nothing can be made of, by the reason that is given and what is wrong.
func garbled(aggregate string) map[string]inbox.Delivery {
	good := message(aggregate, 1)
	header := func(k, v string) inbox.Delivery { return with(good, map[string]string{k: v}, nil) }
	return map[string]inbox.Delivery{
		inbox.ReasonMalformed + " no headers":     {Subject: "x\xff\x00", Payload: []byte{0xff}},
		inbox.ReasonMalformed + " nothing":        {},
		inbox.ReasonMalformed + " id":             header("ce-id", ""),
		inbox.ReasonMalformed + " id bytes":       header("ce-id", "\xff\x00"),
		inbox.ReasonMalformed + " id long":        header("ce-id", strings.Repeat("x", 10_000)),
		inbox.ReasonMalformed + " source":         header("ce-source", "a b"),
		inbox.ReasonMalformed + " aggregate":      header("ce-subject", ""),
		inbox.ReasonMalformed + " sequence":       header("ce-sequence", "one"),
		inbox.ReasonMalformed + " sequence zero":  header("ce-sequence", "0"),
		inbox.ReasonMalformed + " sequence large": header("ce-sequence", strings.Repeat("9", 30)),
		inbox.ReasonMalformed + " time":           header("ce-time", "yesterday"),
		inbox.ReasonVersionUnknown + " spec":      header("ce-specversion", "2.0"),
		inbox.ReasonVersionUnknown + " content":   header("content-type", "application/json"),
		inbox.ReasonTypeUnknown + " ":             header("ce-type", "pcnfunding.core.v2.ScheduleClosed"),
		inbox.ReasonUndecodable + " ":             {Subject: good.Subject, Header: good.Header, Payload: []byte{0xff}},
		inbox.ReasonTooLarge + " ":                with(good, nil, wrapperspb.String(strings.Repeat("x", 2<<20))),
	}
}

func TestTake_QuarantinesWhatCannotBeRead(t *testing.T) {
	onBoth(t, func(f *fixture) {
		names := slices.Sorted(maps.Keys(garbled("")))
		for i, name := range names {
			bad := garbled(fmt.Sprint("a", i))[name]
			got := f.in.Take(f.Context(), []inbox.Delivery{message("b", i*2+1), bad, message("b", i*2+2)})
			assert.Equal(f, []inbox.Verdict{inbox.Settled, inbox.Quarantined, inbox.Settled}, got, name)
			f.take(inbox.Quarantined, bad) // it comes once more, and is no second one
			held := f.held()
			require.Len(f, held, 1, name)
			f.decideOnGarbled(held[0], bad, name)
			assert.Empty(f, f.held(), name)
			f.take(inbox.Settled, bad)
			assert.Empty(f, f.held(), "its id was seen")
		}
		assert.Equal(f, upTo(2*len(names)), f.trails()["b"])
		assert.Equal(f, len(names), f.count("told"), "each was told of once")
	})
}

// decideOnGarbled tries to release a garbled event, and discards it if that is refused.
func (f *fixture) decideOnGarbled(h inbox.Held, bad inbox.Delivery, name string) {
	f.Helper()
	want, _, _ := strings.Cut(name, " ")
	assert.Equal(f, want, h.Reason, name)
	assert.Equal(f, 2, h.Attempts, name)
	assert.NotEmpty(f, h.Error, name)
	_, err := f.decide(f.in.Release, h.ID)
	if want == inbox.ReasonTooLarge {
		require.NoError(f, err, "a person may accept the size")
		return
	}
	assert.Equal(f, want, fault.ReasonOf(err), name)
	out, err := f.decide(f.in.Discard, h.ID)
	require.NoError(f, err, name)
	assert.True(f, bytes.Equal(bad.Payload, out.Event.Payload), name)
	_, err = f.decide(f.in.Discard, h.ID)
	assert.Equal(f, inbox.ReasonHeldNotFound, fault.ReasonOf(err))
}

func TestTake_QuarantinesARefusalAndReleasesIt(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.on("2", refused)
		msgs := []inbox.Delivery{message("a", 1), message("b", 1), message("a", 2), message("a", 3), message("b", 2)}
		got := f.in.Take(f.Context(), msgs)
		assert.Equal(f, []inbox.Verdict{inbox.Settled, inbox.Settled, inbox.Quarantined, inbox.Settled, inbox.Quarantined}, got)
		f.take(inbox.Settled, message("a", 4), message("c", 1))
		assert.Equal(f, map[string]string{"a": "1", "b": "1", "c": "1"}, f.trails(), "nothing of the refused ones stays")
		n, err := inbox.Quarantine(f.Context(), f.db)
		require.NoError(f, err)
		assert.EqualValues(f, 2, n)

		assert.Len(f, f.held(), 4)
		bad, parked := f.heldEvent("a-2"), f.heldEvent("a-4")
		assert.Equal(f, "SUM_WRONG", bad.Reason)
		assert.Equal(f, "the sums differ", bad.Error)
		assert.Equal(f, 1, bad.Attempts)
		assert.Equal(f, testkit.Start, bad.HeldAt)
		assert.Equal(f, msgs[2].Header, bad.Header)
		assert.Equal(f, "15N", bad.Event.CommissionerCode)
		assert.Empty(f, parked.Reason)

		_, err = f.decide(f.in.Release, bad.ID)
		assert.Equal(f, "SUM_WRONG", fault.ReasonOf(err), "the cause is still there")
		_, err = f.decide(f.in.Release, parked.ID)
		assert.Equal(f, inbox.ReasonHeldBehind, fault.ReasonOf(err))
		_, err = f.decide(f.in.Discard, parked.ID)
		assert.Equal(f, inbox.ReasonHeldBehind, fault.ReasonOf(err))
		assert.Len(f, f.held(), 4)

		f.on("4", errors.New("a parked one that fails does not hinder the release"))
		out, err := f.decide(f.in.Release, bad.ID)
		require.NoError(f, err)
		assert.Equal(f, bad.ID, out.Event.ID)
		assert.Equal(f, msgs[2].Payload, out.Event.Payload)
		require.Len(f, out.Drained, 1)
		assert.Equal(f, "a-3", out.Drained[0].Event.ID)
		assert.Equal(f, "1 2 3", f.trails()["a"])
		f.fail = func(string) error { return nil }
		f.clock.Advance(time.Second)
		f.take(inbox.Settled)
		assert.Equal(f, "1 2 3 4", f.trails()["a"])
		f.take(inbox.Settled, msgs[2]) // once more from the broker
		assert.Equal(f, "1 2 3 4", f.trails()["a"])
	})
}

func TestDiscard_GoesOnWithoutTheEvent(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.on("2", refused)
		f.in.Take(f.Context(), []inbox.Delivery{message("a", 1), message("a", 2), message("a", 3), message("a", 5)})
		out, err := f.decide(f.in.Discard, f.heldEvent("a-2").ID)
		require.NoError(f, err)
		assert.Len(f, out.Drained, 1)
		f.take(inbox.Settled, message("a", 2))
		assert.Equal(f, map[string]string{"a": "1 3"}, f.trails())

		out, err = f.decide(f.in.Release, f.heldEvent("a-5").ID)
		require.NoError(f, err)
		assert.Equal(f, "a-5", out.Event.Event.ID)
		assert.Equal(f, map[string]string{"a": "1 3 5"}, f.trails(), "a release accepts the gap")
		f.take(inbox.Settled, message("a", 6), message("a", 4))
		assert.Equal(f, map[string]string{"a": "1 3 5 4 6"}, f.trails(), "what was missing is handled when it comes after all")
	})
}

func TestTake_TriesAReplacementAnew(t *testing.T) {
	onBoth(t, func(f *fixture) {
		damaged := message("a", 2)
		damaged.Payload = []byte{0xff}
		got := f.in.Take(f.Context(), []inbox.Delivery{message("a", 1), damaged, message("a", 3)})
		assert.Equal(f, []inbox.Verdict{inbox.Settled, inbox.Quarantined, inbox.Settled}, got)
		f.on("2", errors.New("not yet"))
		f.take(inbox.Quarantined, message("a", 2))
		held := f.heldEvent("a-2")
		assert.Equal(f, inbox.ReasonFailed, held.Reason)
		assert.Equal(f, 2, held.Attempts)
		require.NoError(f, f.db.Read(f.Context(), func(q sqldb.Querier) error {
			h, err := inbox.Get(f.Context(), q, held.ID)
			assert.Equal(f, message("a", 2).Payload, h.Payload, "the later payload counts")
			return err
		}))
		f.fail = func(string) error { return nil }
		f.take(inbox.Settled, message("a", 2))
		assert.Equal(f, map[string]string{"a": upTo(3)}, f.trails())
		assert.Equal(f, 1, f.count("told"))
	})
}

// The pauses are 1 s, 5 s, 30 s, 2 min and 10 min; a try before its time does not happen, and the sixth failure is the last.
func TestTake_TriesAFailureSixTimes(t *testing.T) {
	onBoth(t, func(f *fixture) {
		var tries []time.Duration
		f.fail = func(text string) error {
			if text == "2" {
				tries = append(tries, f.clock.Now().Sub(testkit.Start))
				panic("of the test")
			}
			return nil
		}
		f.take(inbox.Settled, message("a", 1), message("a", 2))
		f.take(inbox.Settled, message("a", 3), message("b", 1))
		for range 1000 {
			f.clock.Advance(time.Second)
			f.take(inbox.Settled)
		}
		tries = slices.Compact(tries)
		seconds := time.Second
		assert.Equal(f, []time.Duration{0, seconds, 6 * seconds, 36 * seconds, 156 * seconds, 756 * seconds}, tries)
		assert.Len(f, f.held(), 2)
		held := f.heldEvent("a-2")
		assert.Equal(f, inbox.ReasonFailed, held.Reason)
		assert.Equal(f, 6, held.Attempts)
		assert.Contains(f, held.Error, "panic: of the test")
		assert.Equal(f, map[string]string{"a": "1", "b": "1"}, f.trails())
		assert.Equal(f, 1, f.count("told"))
	})
}

func TestTake_RetriesAreNotPutOffByTheClock(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.on("1", errors.New("once"))
		f.take(inbox.Settled, message("a", 1))
		f.fail = func(string) error { return nil }
		f.clock.Advance(-24 * time.Hour)
		f.take(inbox.Settled)
		assert.Equal(f, map[string]string{"a": "1"}, f.trails())
	})
}

// A parked event that fails is tried again by itself, though the broker no longer has it, and holds up no other.
func TestTake_TriesParkedOnesAgain(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for name, c := range map[string]struct {
			cause error
			pause time.Duration
		}{
			"failure": {errors.New("once"), time.Second},
			"busy":    {fault.New(fault.Busy, "TRY_AGAIN", "wait"), 5 * time.Second},
		} {
			f.on("2", c.cause)
			f.take(inbox.Settled, message("b"+name, 3), message("a"+name, 2), message("a"+name, 3), message("b"+name, 4))
			f.take(inbox.Settled, message("a"+name, 1))
			f.fail = func(string) error { return nil }
			f.take(inbox.Settled, message("b"+name, 1), message("b"+name, 2))
			assert.Equal(f, "1", f.trails()["a"+name], name)
			assert.Equal(f, upTo(4), f.trails()["b"+name], name)
			f.clock.Advance(c.pause)
			f.take(inbox.Settled)
			assert.Equal(f, upTo(3), f.trails()["a"+name], name)
			assert.Empty(f, f.held())
		}
	})
}

func TestTake_BusyIsNoFailureOfTheEvent(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for _, cause := range []error{fault.New(fault.Busy, "TRY_AGAIN", "wait"), context.DeadlineExceeded, context.Canceled} {
			f.on("2", cause)
			for range 10 {
				got := f.in.Take(f.Context(), []inbox.Delivery{message("a", 1), message("a", 2), message("b", 1)})
				assert.Equal(f, []inbox.Verdict{inbox.Settled, inbox.Again, inbox.Settled}, got)
			}
		}
		assert.Empty(f, f.held())
		ended, cancel := context.WithCancel(f.Context())
		cancel()
		assert.Equal(f, []inbox.Verdict{inbox.Again, inbox.Again}, f.in.Take(ended, []inbox.Delivery{message("a", 2), {}}))
		f.fail = func(string) error { return nil }
		f.take(inbox.Settled, message("a", 2))
		assert.Equal(f, map[string]string{"a": upTo(2), "b": "1"}, f.trails())
	})
}

func TestTake_GivesUpWithoutADatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testkit.SQLite(t, sqldb.Options{}), nil, inbox.Options{})
	_, err := f.db.Exec(t.Context(), `ALTER TABLE inbox_seen RENAME TO elsewhere`)
	require.NoError(t, err)
	f.take(inbox.Again, message("a", 1), inbox.Delivery{})
	_, err = f.db.Exec(t.Context(), `ALTER TABLE elsewhere RENAME TO inbox_seen`)
	require.NoError(t, err)
	f.take(inbox.Settled, message("a", 1))
	assert.Equal(t, map[string]string{"a": "1"}, f.trails())
}

func TestList_PagesByCommissionerNewestFirst(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for i, code := range []string{"15N", "QJK", "england", "15N", "15N"} {
			m := message(fmt.Sprint("a", i), 2)
			m.Subject = knownType + "." + code
			f.take(inbox.Settled, m)
			f.clock.Advance(time.Second)
		}
		list := func(filter inbox.Filter) (names []string, last string) {
			require.NoError(f, f.db.Read(f.Context(), func(q sqldb.Querier) error {
				page, err := inbox.List(f.Context(), q, filter)
				for _, h := range page {
					assert.Nil(f, h.Payload)
					names, last = append(names, h.Event.Aggregate), h.ID
				}
				return err
			}))
			return names, last
		}
		names, last := list(inbox.Filter{Commissioners: []string{"15N", "england"}, Limit: 2})
		assert.Equal(f, []string{"a4", "a3"}, names)
		names, last = list(inbox.Filter{Commissioners: []string{"15N", "england"}, Limit: 2, Before: last})
		assert.Equal(f, []string{"a2", "a0"}, names)
		names, _ = list(inbox.Filter{Limit: 10, Before: last})
		assert.Empty(f, names)
		names, _ = list(inbox.Filter{Limit: 10})
		assert.Len(f, names, 5)
	})
}

func TestPrune_ForgetsOldIDs(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.take(inbox.Settled, message("a", 1), message("a", 2))
		f.clock.Advance(inbox.Keep)
		f.take(inbox.Settled, message("a", 3))
		n, err := inbox.Prune(f.Context(), f.db, f.clock.Now().Add(-time.Second))
		require.NoError(f, err)
		assert.EqualValues(f, 2, n)
		f.take(inbox.Settled, message("a", 3), message("a", 4))
		assert.Equal(f, map[string]string{"a": upTo(4)}, f.trails())
	})
}
