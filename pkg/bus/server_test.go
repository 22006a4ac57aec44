package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/outbox"
)

// After three failures of its store the embedded broker is a new one, and this connection, its subscriptions and the streams go on.
func TestEmbedded_StartsAgainUnderItsClients(t *testing.T) {
	t.Parallel()
	s, err := StartServer(ServerConfig{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer s.Stop()
	b, err := Open(t.Context(), Config{Server: s})
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.EnsureStream(t.Context(), Stream{Name: "EVENTS", Subjects: []string{"events.>"}}))
	message := outbox.Message{ID: "1", Subject: "events.one"}
	_, err = b.Publish(t.Context(), []outbox.Message{message})
	require.NoError(t, err)
	heard := make(chan *nats.Msg, 1)
	_, err = b.Conn().ChanSubscribe("elsewhere", heard)
	require.NoError(t, err)
	before, address := s.server, s.ClientURL()

	require.NoError(t, s.storeFailed())
	require.NoError(t, s.storeFailed())
	s.storeWorks()
	require.NoError(t, s.storeFailed())
	require.NoError(t, s.storeFailed())
	assert.Same(t, before, s.server, "only failures in a row count")
	require.NoError(t, s.storeFailed())
	assert.NotSame(t, before, s.server)
	assert.Equal(t, address, s.ClientURL())

	require.Eventually(t, func() bool {
		acks, err := b.Publish(t.Context(), []outbox.Message{message})
		return err == nil && acks[0].Duplicate
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, b.Conn().Publish("elsewhere", nil))
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		t.Fatal("the subscription did not outlast the restart")
	}
}

func TestEmbedded_SyncsEveryMessage(t *testing.T) {
	t.Parallel()
	s, err := StartServer(ServerConfig{StoreDir: t.TempDir()})
	require.NoError(t, err)
	defer s.Stop()
	assert.True(t, s.options.SyncAlways)
	assert.True(t, s.server.JetStreamConfig().SyncAlways, "the server has taken the setting")
	assert.True(t, s.options.DontListen)
}

// Streams of a suite that had no accounts yet are still there, with what was published and how far its consumers have come.
func TestServer_AdoptsStreamsWithoutAnAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true})
	require.NoError(t, err)
	old.Start()
	require.True(t, old.ReadyForConnections(10*time.Second))
	conn, err := nats.Connect("", nats.InProcessServer(old))
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
	require.NoError(t, err)
	consumer, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "far", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	for range 2 {
		_, err = js.Publish(t.Context(), "events.one", nil)
		require.NoError(t, err)
	}
	m, err := consumer.Next()
	require.NoError(t, err)
	require.NoError(t, m.DoubleAck(t.Context()))
	old.Shutdown()
	old.WaitForShutdown()

	for range 2 {
		s, err := StartServer(ServerConfig{StoreDir: dir})
		require.NoError(t, err)
		b, err := Open(t.Context(), Config{Server: s})
		require.NoError(t, err)
		c, err := b.JetStream().Consumer(t.Context(), "EVENTS", "far")
		require.NoError(t, err)
		assert.EqualValues(t, 1, c.CachedInfo().AckFloor.Stream)
		assert.EqualValues(t, 1, c.CachedInfo().NumPending)
		b.Close()
		s.Stop()
	}
}
