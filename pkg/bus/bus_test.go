package bus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

var events = bus.Stream{Name: "EVENTS", Subjects: []string{"events.>"}}

func messages(n int, prefix string) []outbox.Message {
	msgs := make([]outbox.Message, n)
	for i := range msgs {
		msgs[i] = outbox.Message{
			ID: fmt.Sprintf("%s%d", prefix, i), Subject: "events.one", Payload: []byte{byte(i)},
			Header: map[string]string{outbox.HeaderID: fmt.Sprint(i)},
		}
	}
	return msgs
}

func TestOpen_RefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]bus.Config{
		"neither an address nor a server": {},
		"connect to the broke":            {URL: "not an address"},
		"no such file":                    {URL: "nats://127.0.0.1:1", CAFile: "/nowhere"},
	} {
		_, err := bus.Open(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
}

func TestStartServer_RefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]bus.ServerConfig{
		"no directory":    {},
		"not on loopback": {StoreDir: t.TempDir(), Listen: "0.0.0.0:4222"},
		"missing port":    {StoreDir: t.TempDir(), Listen: "127.0.0.1"},
		"invalid syntax":  {StoreDir: t.TempDir(), Listen: "127.0.0.1:x"},
		"not a directory": {StoreDir: "/dev/null"},
	} {
		_, err := bus.StartServer(c)
		require.ErrorContains(t, err, want)
	}
}

func TestEnsureStream_SetsWhatKeepsEvents(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	require.NoError(t, b.EnsureStream(t.Context(), events))
	info := streamInfo(t, b)
	assert.Equal(t, jetstream.FileStorage, info.Config.Storage)
	assert.Equal(t, jetstream.DiscardNew, info.Config.Discard)
	assert.Equal(t, jetstream.DefaultPersistMode, info.Config.PersistMode)
	assert.Equal(t, bus.DefaultMaxAge, info.Config.MaxAge)
	assert.Equal(t, bus.DefaultDuplicates, info.Config.Duplicates)
	assert.Equal(t, 1, info.Config.Replicas)

	changed := events
	changed.MaxAge = 24 * time.Hour
	require.NoError(t, b.EnsureStream(t.Context(), changed))
	assert.Equal(t, 24*time.Hour, streamInfo(t, b).Config.MaxAge)
}

func streamInfo(t *testing.T, b *bus.Bus) *jetstream.StreamInfo {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), events.Name)
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	return info
}

func TestPublish_StoresOnceWithHeaders(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	require.NoError(t, b.EnsureStream(t.Context(), events))
	for _, again := range []bool{false, true} {
		acks, err := b.Publish(t.Context(), messages(512, "m"))
		require.NoError(t, err)
		require.Len(t, acks, 512)
		for i, a := range acks {
			assert.Equal(t, outbox.Ack{ID: fmt.Sprintf("m%d", i), Duplicate: again}, a)
		}
	}
	assert.EqualValues(t, 512, streamInfo(t, b).State.Msgs)
	s, err := b.JetStream().Stream(t.Context(), events.Name)
	require.NoError(t, err)
	m, err := s.GetMsg(t.Context(), 8)
	require.NoError(t, err)
	assert.Equal(t, nats.Header{"ce-id": {"7"}, nats.MsgIdHdr: {"m7"}}, m.Header)
	assert.Equal(t, []byte{7}, m.Data)
}

func TestPublish_MakesAStreamAgainThatIsGone(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	_, err := b.Publish(t.Context(), messages(1, "m"))
	require.Error(t, err, "no such stream was ever asked for")
	require.NoError(t, b.EnsureStream(t.Context(), events))
	require.NoError(t, b.JetStream().DeleteStream(t.Context(), events.Name))
	acks, err := b.Publish(t.Context(), messages(1, "m"))
	require.Error(t, err)
	assert.Empty(t, acks)
	acks, err = b.Publish(t.Context(), messages(1, "m"))
	require.NoError(t, err)
	assert.Len(t, acks, 1)
}

func TestPublish_AcknowledgesWhatAFullStreamTook(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	small := events
	small.MaxBytes = 2000
	require.NoError(t, b.EnsureStream(t.Context(), small))
	for range 5 { // a full stream is no reason to start the broker again
		acks, err := b.Publish(t.Context(), messages(100, "m"))
		require.Error(t, err)
		require.NotEmpty(t, acks)
		assert.EqualValues(t, len(acks), streamInfo(t, b).State.Msgs)
		for i, a := range acks {
			assert.Equal(t, fmt.Sprintf("m%d", i), a.ID)
		}
	}
}

func TestPublish_FailsAtOnceWithoutABroker(t *testing.T) {
	t.Parallel()
	b, err := bus.Open(t.Context(), bus.Config{URL: "nats://127.0.0.1:1"})
	require.NoError(t, err)
	defer b.Close()
	acks, err := b.Publish(t.Context(), messages(1, "m"))
	require.ErrorContains(t, err, "no connection")
	assert.Empty(t, acks)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, b.Check(ctx))
}

func TestOpen_OtherClientsReachAListeningBroker(t *testing.T) {
	t.Parallel()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer server.Stop()
	host, err := bus.Open(t.Context(), bus.Config{Server: server})
	require.NoError(t, err)
	defer host.Close()
	user := natsauth.User{Name: "guest", Unbounded: true}
	creds, err := server.Credentials(user)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "guest.creds")
	require.NoError(t, os.WriteFile(file, creds, 0o600))
	guest, err := bus.Open(t.Context(), bus.Config{URL: server.ClientURL(), CredentialsFile: file, User: user})
	require.NoError(t, err)
	defer guest.Close()
	require.NoError(t, guest.EnsureStream(t.Context(), events))
	acks, err := guest.Publish(t.Context(), messages(3, "m"))
	require.NoError(t, err)
	assert.Len(t, acks, 3)
	assert.EqualValues(t, 3, streamInfo(t, host).State.Msgs)
	assert.Empty(t, testkit.Broker(t).ClientURL(), "nobody else reaches a broker that does not listen")

	_, err = nats.Connect(server.ClientURL())
	require.ErrorIs(t, err, nats.ErrAuthorization, "nobody gets in without credentials")
}

func TestOpen_FindsTheStreamsAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 2 {
		server, err := bus.StartServer(bus.ServerConfig{StoreDir: dir})
		require.NoError(t, err)
		b, err := bus.Open(t.Context(), bus.Config{Server: server})
		require.NoError(t, err)
		require.NoError(t, b.EnsureStream(t.Context(), events))
		acks, err := b.Publish(t.Context(), messages(10, "m"))
		require.NoError(t, err)
		assert.Equal(t, round == 1, acks[0].Duplicate, "message ids are remembered too")
		assert.EqualValues(t, 10, streamInfo(t, b).State.Msgs)
		b.Close()
		server.Stop()
	}
}

func TestCheck_StoresAMessage(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	for range 3 {
		require.NoError(t, b.Check(t.Context()))
	}
	s, err := b.JetStream().Stream(t.Context(), "PCNFUNDING_CANARY")
	require.NoError(t, err)
	assert.EqualValues(t, 1, s.CachedInfo().State.Msgs)
}
