package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// fixture is a broker with the stream of core and a count of what was published.
type fixture struct {
	js    jetstream.JetStream
	count int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	b := testkit.Bus(t)
	require.NoError(t, b.EnsureStream(t.Context(), bus.Stream{Name: "PCNFUNDING_CORE", Subjects: []string{"pcnfunding.core.v1.>"}}))
	return &fixture{js: b.JetStream()}
}

// publish puts an event on the stream as the suite's relay does. The message id is new each time, the event id as given.
func (f *fixture) publish(t *testing.T, id, commissioner string, event proto.Message) {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
	require.NoError(t, err)
	f.raw(t, id, commissioner, string(event.ProtoReflect().Descriptor().FullName()), data)
}

func (f *fixture) raw(t *testing.T, id, commissioner, kind string, data []byte) {
	t.Helper()
	f.count++
	_, err := f.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: kind + "." + commissioner,
		Header: nats.Header{
			"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/pcnfunding/core"}, "ce-type": {kind},
			"ce-time": {"2022-04-01T17:30:00Z"}, "ce-subject": {"commissioner/" + commissioner},
			"ce-sequence": {strconv.Itoa(f.count)}, "content-type": {"application/protobuf"},
		},
		Data: data,
	}, jetstream.WithMsgID("message-"+strconv.Itoa(f.count)))
	require.NoError(t, err)
}

// read runs the consumer to the end of the stream and returns its lines.
func (f *fixture) read(t *testing.T, o options) []string {
	t.Helper()
	o.stream, o.once = "PCNFUNDING_CORE", true
	if o.name == "" {
		o.name = "test"
	}
	var out bytes.Buffer
	require.NoError(t, consume(t.Context(), f.js, identity{}, o, &out))
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// closed returns a schedule of two lines in as many parts.
func closed(t *testing.T, parts int32) []*corev1.ScheduleClosed {
	t.Helper()
	lines := []*typev1.PaymentLine{
		{LineId: "a", AmountPence: 653875, Instruction: typev1.Instruction_INSTRUCTION_PAY, Payee: &typev1.Payee{Code: "L83001"}},
		{LineId: "b", AmountPence: -100, Instruction: typev1.Instruction_INSTRUCTION_RECONCILE_ONLY},
	}
	sum := sha256.New()
	for _, l := range lines {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(l)
		require.NoError(t, err)
		sum.Write(binary.AppendUvarint(nil, uint64(len(data))))
		sum.Write(data)
	}
	out := make([]*corev1.ScheduleClosed, parts)
	for i := range out {
		part := lines
		if parts == 2 {
			part = lines[i : i+1]
		}
		out[i] = &corev1.ScheduleClosed{Part: int32(i + 1), Parts: parts, Schedule: &typev1.PaymentSchedule{
			ScheduleId: "core-15N-2022-04-1", Lines: part, LineCount: 2, PayTotalPence: 653875, ReconcileTotalPence: -100,
			LinesSha256: hex.EncodeToString(sum.Sum(nil)),
		}}
	}
	return out
}

func TestConsume_VerifiesASchedule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "e1", "15N", closed(t, 1)[0])
	require.Equal(t, []string{
		"2022-04-01T17:30:00Z ScheduleClosed commissioner/15N #1 core-15N-2022-04-1: 2 lines, 653875 pence to pay, " +
			"-100 to reconcile; count, sums and hash are right",
	}, f.read(t, options{}))
	require.Equal(t, []string{""}, f.read(t, options{}), "what was acknowledged does not come again")
}

func TestConsume_WaitsForAllParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	parts := closed(t, 2)
	f.publish(t, "e2", "15N", parts[1])
	f.publish(t, "e1", "15N", parts[0])
	lines := f.read(t, options{})
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "part 2 of 2, waits for the others")
	require.Contains(t, lines[1], "count, sums and hash are right")
}

func TestConsume_TakesEffectOncePerEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "e1", "15N", closed(t, 1)[0])
	f.publish(t, "e1", "15N", closed(t, 1)[0]) // sent again by a person: old event id, new message id
	lines := f.read(t, options{})
	require.Len(t, lines, 2)
	require.Contains(t, lines[1], "#2 seen before")
}

func TestConsume_RefusesWhatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*corev1.ScheduleClosed)
		want   string
	}{
		"count":  {func(e *corev1.ScheduleClosed) { e.GetSchedule().LineCount = 3 }, "2 lines came, 3 were announced"},
		"sum":    {func(e *corev1.ScheduleClosed) { e.GetSchedule().PayTotalPence++ }, "lines come to 653875 and -100 pence"},
		"hash":   {func(e *corev1.ScheduleClosed) { e.GetSchedule().GetLines()[0].PcnCode = "U99999" }, "the hash of the lines differs"},
		"order":  {func(e *corev1.ScheduleClosed) { e.GetSchedule().GetLines()[0].LineId = "c" }, "line b is out of order"},
		"number": {func(e *corev1.ScheduleClosed) { e.Part = 2 }, "parts are numbered wrongly"},
		"instruction": {func(e *corev1.ScheduleClosed) {
			e.GetSchedule().GetLines()[0].Instruction = typev1.Instruction_INSTRUCTION_UNSPECIFIED
		}, "neither pay nor reconcile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			event := closed(t, 1)[0]
			c.change(event)
			f.publish(t, "e1", "15N", event)
			lines := f.read(t, options{})
			require.Contains(t, lines[0], "REFUSED: ")
			require.Contains(t, lines[0], c.want)
			require.Equal(t, []string{""}, f.read(t, options{}), "it is not delivered again")
		})
	}
}

func TestConsume_GoesOnAfterDamageAndNews(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.raw(t, "e1", "15N", "pcnfunding.core.v1.RateAdded", []byte{0xff})
	f.raw(t, "e2", "15N", "pcnfunding.core.v1.OfALaterVersion", []byte("x"))
	f.publish(t, "e3", "15N", &corev1.RateAdded{Rate: &corev1.Rate{RateId: "r1"}})
	lines := f.read(t, options{})
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "REFUSED: payload is not a pcnfunding.core.v1.RateAdded")
	require.Contains(t, lines[1], "of a type this program does not know")
	require.Contains(t, lines[2], "r1")
}

func TestConsume_FiltersAndReplays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, commissioner := range []string{"15N", "QJK", "england", "15N"} {
		f.publish(t, fmt.Sprintf("e%d", i+1), commissioner, &corev1.RateAdded{})
	}
	numbers := func(lines []string) (out []string) {
		for _, l := range lines {
			out = append(out, strings.Fields(l)[3])
		}
		return out
	}
	require.Equal(t, []string{"#1", "#2", "#3", "#4"}, numbers(f.read(t, options{name: "all"})))
	require.Equal(t, []string{"#1", "#3", "#4"}, numbers(f.read(t, options{name: "one", commissioner: "15N"})))
	require.Equal(t, []string{"#3", "#4"}, numbers(f.read(t, options{name: "sequence", fromSequence: 3})))
	require.Len(t, f.read(t, options{name: "time", fromTime: "2000-01-01T00:00:00Z"}), 4)
}

func TestConfig_RefusesContradictions(t *testing.T) {
	t.Parallel()
	for _, o := range []options{
		{stream: "OTHER"},
		{stream: "PCNFUNDING_CORE", fromSequence: 1, fromTime: "2022-04-01T00:00:00Z"},
		{stream: "PCNFUNDING_CORE", fromTime: "yesterday"},
	} {
		_, err := o.config()
		require.Error(t, err)
	}
}

func TestConsume_StopsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	require.Error(t, consume(ctx, f.js, identity{}, options{stream: "PCNFUNDING_CORE", name: "x"}, &bytes.Buffer{}))
}

// The same program serves the person at the machine and a partner, who reaches one consumer and makes none.
func TestConnect_WithTheRightsOfItsCredentials(t *testing.T) {
	t.Parallel()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	b, err := bus.Open(t.Context(), bus.Config{Server: server})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.EnsureStream(t.Context(), bus.ServiceStream("core")))
	f := &fixture{js: b.JetStream()}
	f.publish(t, "e1", "15N", closed(t, 1)[0])
	f.publish(t, "e2", "QJK", closed(t, 1)[0])
	_, err = f.js.CreateConsumer(t.Context(), "PCNFUNDING_CORE", jetstream.ConsumerConfig{
		Durable: "partner-x", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"pcnfunding.core.v1.*.15N"},
	})
	require.NoError(t, err)
	authority, end, err := bus.OpenAuthority(bus.Config{Server: server}, "", "")
	require.NoError(t, err)
	t.Cleanup(end)
	listener, err := server.Credentials(natsauth.User{Name: "listener", Manage: true})
	require.NoError(t, err)
	partner, _, err := authority.Issue(natsauth.Grant{
		Partner: "x", Credential: "c1", Expires: time.Now().Add(time.Hour), Durables: []natsauth.Durable{{Stream: "PCNFUNDING_CORE", Name: "partner-x"}},
	})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		creds []byte
		want  []string
	}{
		"listener":  {listener, []string{"commissioner/15N", "commissioner/QJK"}},
		"partner-x": {partner, []string{"commissioner/15N"}},
	} {
		file := filepath.Join(t.TempDir(), name+".creds")
		require.NoError(t, os.WriteFile(file, c.creds, 0o600))
		var out bytes.Buffer
		require.NoError(t, connect(t.Context(), options{
			url: server.ClientURL(), credentials: file, stream: "PCNFUNDING_CORE", name: name, once: true,
		}, &out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, len(c.want), name)
		for i, line := range lines {
			require.Contains(t, line, c.want[i])
		}
	}
}

func TestReadIdentity_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "some.creds")
	for _, text := range []string{"", "-----BEGIN NATS USER JWT-----\na.!.c\n------END NATS USER JWT------", "-----BEGIN NATS USER JWT-----\na.e30.c\n"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := readIdentity(file)
		require.ErrorContains(t, err, "read the credentials")
	}
	_, err := readIdentity(file + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}
