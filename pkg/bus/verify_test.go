package bus_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func finding(t *testing.T, found []bus.Finding, what string) bus.Finding {
	t.Helper()
	for _, f := range found {
		if f.What == what {
			return f
		}
	}
	t.Fatalf("nothing was found about %s", what)
	return bus.Finding{}
}

func TestVerify_NamesWhatDiffers(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	require.Equal(t, bus.Wrong, finding(t, b.Verify(t.Context(), events), "stream EVENTS").State, "it is not there")
	require.NoError(t, b.EnsureStream(t.Context(), events))
	for _, f := range b.Verify(t.Context()) {
		require.Equal(t, bus.OK, f.State, f.Detail)
	}
	s, err := b.JetStream().Stream(t.Context(), events.Name)
	require.NoError(t, err)
	changed := s.CachedInfo().Config
	changed.Discard, changed.MaxAge, changed.Subjects = jetstream.DiscardOld, time.Hour, []string{"events.>", "other.>"}
	changed.RePublish = &jetstream.RePublish{Source: "events.>", Destination: "copied.>"}
	_, err = b.JetStream().UpdateStream(t.Context(), changed)
	require.NoError(t, err)

	f := finding(t, b.Verify(t.Context()), "stream EVENTS")
	require.Equal(t, bus.Wrong, f.State)
	for _, setting := range []string{
		"discard is DiscardOld, wanted is DiscardNew", "max_age is 1h0m0s, wanted is 9504h0m0s", "subjects is events.> other.>", "republish",
	} {
		assert.Contains(t, f.Detail, setting)
	}
	var drifted *bus.DriftError
	require.ErrorAs(t, b.Check(t.Context()), &drifted, "the status says so too")
	require.NoError(t, b.EnsureStream(t.Context(), events), "the settings are set again")
	require.NoError(t, b.Check(t.Context()))
}

// What the broker does not let anybody change stays an error; and that a stream is in memory only, the account forbids.
func TestEnsureStream_NamesWhatItCannotMend(t *testing.T) {
	t.Parallel()
	b := testkit.Bus(t)
	made := jetstream.StreamConfig{Name: events.Name, Subjects: events.Subjects, Storage: jetstream.MemoryStorage}
	_, err := b.JetStream().CreateStream(t.Context(), made)
	require.Error(t, err)
	made.Storage, made.Retention = jetstream.FileStorage, jetstream.WorkQueuePolicy
	_, err = b.JetStream().CreateStream(t.Context(), made)
	require.NoError(t, err)
	require.ErrorContains(t, b.EnsureStream(t.Context(), events), "make stream EVENTS: ")
	require.Contains(t, finding(t, b.Verify(t.Context()), "stream EVENTS").Detail, "retention is WorkQueue, wanted is Limits")
	require.Error(t, b.Check(t.Context()))
}

func TestVerify_SaysWhatIsAboutToBeFull(t *testing.T) {
	t.Parallel()
	b, err := bus.Open(t.Context(), bus.Config{Server: testkit.Broker(t), MaxBytes: 10_000})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.EnsureStream(t.Context(), events))
	require.Equal(t, bus.OK, finding(t, b.Verify(t.Context()), "stream EVENTS").State)
	_, err = b.Publish(t.Context(), []outbox.Message{{ID: "1", Subject: "events.one", Payload: make([]byte, 8500)}})
	require.NoError(t, err)
	require.Contains(t, finding(t, b.Verify(t.Context()), "stream EVENTS").Detail, "of 10000 bytes")
}

// Only the monitoring endpoint tells whether a server elsewhere syncs what it acknowledges; without it that is said.
func TestVerify_AsksTheMonitoringEndpointForSyncing(t *testing.T) {
	t.Parallel()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	user := natsauth.User{Name: "any", Unbounded: true}
	creds, err := server.Credentials(user)
	require.NoError(t, err)
	config := bus.Config{URL: server.ClientURL(), User: user, CredentialsFile: write(t, "any.creds", creds)}
	for answer, want := range map[string]bus.State{
		"": bus.Unverified,
		`{"jetstream":{"config":{"max_storage":100,"sync_always":true},"stats":{"storage":10}}}`: bus.OK,
		`{"jetstream":{"config":{"max_storage":100,"sync_always":true},"stats":{"storage":80}}}`: bus.Wrong,
		`{"jetstream":{"config":{"max_storage":100,"sync_interval":120000000000}}}`:              bus.Wrong,
		`{"jetstream":{}}`: bus.Wrong,
		`<html>`:           bus.Unverified,
	} {
		asked := config
		if answer != "" {
			monitor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, answer) }))
			t.Cleanup(monitor.Close)
			asked.Monitor = monitor.URL
		}
		b, err := bus.Open(t.Context(), asked)
		require.NoError(t, err)
		t.Cleanup(b.Close)
		require.Equal(t, want, finding(t, b.Verify(t.Context()), "broker storage").State, answer)
	}
	away, err := bus.Open(t.Context(), bus.Config{URL: "nats://127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	require.Equal(t, bus.Wrong, finding(t, away.Verify(t.Context()), "broker").State)
}
