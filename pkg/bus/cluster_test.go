package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
)

// cluster is three servers in operator mode that keep each message on disk before they acknowledge it.
type cluster struct {
	material *natsauth.Material
	accounts map[string]string // as they were at first; what is signed later counts as newer
	options  []server.Options
	servers  []*server.Server
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	const size = 3
	material, err := natsauth.Create(t.TempDir())
	require.NoError(t, err)
	operator, _ := material.Operator()
	accounts, err := material.Accounts()
	require.NoError(t, err)
	c := &cluster{material: material, accounts: accounts, options: make([]server.Options, size), servers: make([]*server.Server, size)}
	var routes []*url.URL
	for i := range size {
		client, route := freePort(t), freePort(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", route)})
		c.options[i] = server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: client, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxControlLine: natsauth.MaxControlLine,
			TrustedOperators: []*jwt.OperatorClaims{operator}, SystemAccount: material.SystemAccount(),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: route},
		}
	}
	for i := range size {
		c.options[i].Routes = routes
		c.start(t, i)
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.Shutdown()
		}
	})
	return c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	options := c.options[i]
	accounts, err := server.NewDirAccResolver(filepath.Join(options.StoreDir, "accounts"), 0, time.Second, server.NoDelete)
	require.NoError(t, err)
	for name, token := range c.accounts {
		require.NoError(t, accounts.Store(name, token))
	}
	options.AccountResolver = accounts
	s, err := server.NewServer(&options)
	require.NoError(t, err)
	s.Start()
	c.servers[i] = s
}

// config is how a user reaches the servers.
func (c *cluster) config(t *testing.T, u natsauth.User) bus.Config {
	t.Helper()
	creds, err := c.material.Credentials(u)
	require.NoError(t, err)
	return bus.Config{URL: c.urls(), User: u, CredentialsFile: write(t, u.Name+".creds", creds), Replicas: len(c.servers)}
}

func (c *cluster) urls() string {
	urls := make([]string, len(c.options))
	for i, o := range c.options {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", o.Port)
	}
	return strings.Join(urls, ",")
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

// stopLeader stops the server that leads the stream, and returns its number.
func (c *cluster) stopLeader(t *testing.T, js jetstream.JetStream, stream string) int {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	leader := slices.IndexFunc(c.options, func(o server.Options) bool { return o.ServerName == s.CachedInfo().Cluster.Leader })
	require.GreaterOrEqual(t, leader, 0)
	c.servers[leader].Shutdown()
	c.servers[leader].WaitForShutdown()
	return leader
}

// whole waits until every server has a copy that is current.
func whole(t *testing.T, b *bus.Bus, stream bus.Stream) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, f := range b.Verify(t.Context(), stream) {
			if f.What == "stream "+stream.Name {
				return f.State == bus.OK
			}
		}
		return false
	}, 30*time.Second, 20*time.Millisecond)
}

// publisher publishes without end, and remembers what was acknowledged and when.
type publisher struct {
	mu    sync.Mutex
	acked map[string]bool
	last  time.Time
}

func (p *publisher) run(ctx context.Context, b *bus.Bus) {
	const size = 16
	for n := 0; ctx.Err() == nil; n += size {
		var msgs []outbox.Message
		for i := range size {
			msgs = append(msgs, outbox.Message{ID: fmt.Sprint(n + i), Subject: "pcnfunding.core.v1.Happened.15N"})
		}
		for len(msgs) > 0 && ctx.Err() == nil { // what was not acknowledged is published again, as a relay does
			acks, _ := b.Publish(ctx, msgs)
			p.note(acks)
			msgs = slices.DeleteFunc(msgs, func(m outbox.Message) bool { return p.has(m.ID) })
		}
	}
}

func (p *publisher) note(acks []outbox.Ack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range acks {
		p.acked[a.ID], p.last = true, time.Now()
	}
}

func (p *publisher) has(id string) bool { p.mu.Lock(); defer p.mu.Unlock(); return p.acked[id] }

// since tells whether anything was acknowledged after a moment.
func (p *publisher) since(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.After(at)
}

// F19 of the fault tests: the leader of a stream goes, again and again. Publishing is there again within 5 s, and nothing that was
// acknowledged is missing.
func TestCluster_OutlivesItsLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	core, err := bus.Open(t.Context(), c.config(t, bus.ServiceUser("core")))
	require.NoError(t, err)
	defer core.Close()
	stream := bus.ServiceStream("core")
	require.Eventually(t, func() bool { return core.EnsureStream(t.Context(), stream) == nil }, 30*time.Second, 50*time.Millisecond)
	watcher, err := bus.Open(t.Context(), c.config(t, natsauth.User{Name: "watcher", Unbounded: true}))
	require.NoError(t, err)
	defer watcher.Close()

	p := &publisher{acked: make(map[string]bool)}
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { p.run(ctx, core) })
	const injections = 3
	var gaps []time.Duration
	for range injections {
		whole(t, watcher, stream)
		leader := c.stopLeader(t, watcher.JetStream(), stream.Name)
		gone := time.Now()
		require.Eventually(t, func() bool { return p.since(gone) }, 30*time.Second, 5*time.Millisecond)
		gaps = append(gaps, time.Since(gone))
		c.start(t, leader)
	}
	whole(t, watcher, stream)
	stop()
	ended.Wait()
	t.Logf("%d messages acknowledged; publishing was away for %v", len(p.acked), gaps)
	slices.Sort(gaps)
	assert.LessOrEqual(t, gaps[injections/2], 5*time.Second, "publishing is there again within 5 s")
	assert.Empty(t, missing(t, watcher, stream.Name, p.acked), "acknowledged and lost")
}

// A partner is served by whichever server it comes to, and a credential that one server is told to revoke is good at none, nor at one
// that comes back later.
func TestCluster_ServesPartnersAtEveryServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	core, err := bus.Open(t.Context(), c.config(t, natsauth.User{Name: "core", Unbounded: true}))
	require.NoError(t, err)
	defer core.Close()
	require.Eventually(t, func() bool { return core.EnsureStream(t.Context(), bus.ServiceStream("core")) == nil }, 30*time.Second, 50*time.Millisecond)
	_, err = core.JetStream().CreateConsumer(t.Context(), "PCNFUNDING_CORE", jetstream.ConsumerConfig{Durable: "partner-x", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	keys, err := c.material.AuthorityKeys()
	require.NoError(t, err)
	system, err := c.material.SystemUser()
	require.NoError(t, err)
	authority, end, err := bus.OpenAuthority(bus.Config{URL: c.urls()}, write(t, "partners.key", keys), write(t, "system.creds", system))
	require.NoError(t, err)
	defer end()
	creds, key, err := authority.Issue(natsauth.Grant{
		Partner: "x", Credential: "c1", Expires: time.Now().Add(time.Hour), Durables: []natsauth.Durable{{Stream: "PCNFUNDING_CORE", Name: "partner-x"}},
	})
	require.NoError(t, err)
	var cut []chan nats.Status
	for i := range c.options {
		_, err := core.Publish(t.Context(), []outbox.Message{{ID: fmt.Sprint(i), Subject: "pcnfunding.core.v1.Happened.15N"}})
		require.NoError(t, err)
		conn, err := nats.Connect(c.servers[i].ClientURL(), nats.UserCredentialBytes(creds), nats.NoReconnect(), nats.IgnoreDiscoveredServers(),
			nats.CustomInboxPrefix(natsauth.InboxPrefix("c1")), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		require.NoError(t, err)
		defer conn.Close()
		cut = append(cut, conn.StatusChanged(nats.CLOSED))
		js, err := jetstream.NewWithDomain(conn, natsauth.Domain)
		require.NoError(t, err)
		consumer, err := js.Consumer(t.Context(), "PCNFUNDING_CORE", "partner-x")
		require.NoError(t, err)
		m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), m.Headers().Get(nats.MsgIdHdr))
		require.NoError(t, m.DoubleAck(t.Context()))
	}
	away := len(c.servers) - 1
	c.servers[away].Shutdown()
	c.servers[away].WaitForShutdown()
	require.NoError(t, authority.Revoke(t.Context(), key, time.Now()))
	for i := range cut {
		<-cut[i]
	}
	c.start(t, away)
	require.Eventually(t, func() bool {
		conn, err := nats.Connect(c.servers[away].ClientURL(), nats.UserCredentialBytes(creds), nats.NoReconnect())
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, nats.ErrAuthorization)
	}, 30*time.Second, 100*time.Millisecond, "a server that was away hears of it")
}

// missing returns the ids that a stream does not hold.
func missing(t *testing.T, b *bus.Bus, stream string, ids map[string]bool) []string {
	t.Helper()
	var consumer jetstream.Consumer
	require.Eventually(t, func() bool {
		var err error
		consumer, err = b.JetStream().CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{
			Durable: "judge", AckPolicy: jetstream.AckNonePolicy,
		})
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	left := make(map[string]bool, len(ids))
	for id := range ids {
		left[id] = true
	}
	for count := uint64(1); count > 0; {
		batch, err := consumer.Fetch(1000, jetstream.FetchMaxWait(5*time.Second))
		require.NoError(t, err)
		for m := range batch.Messages() {
			delete(left, m.Headers().Get(nats.MsgIdHdr))
			meta, err := m.Metadata()
			require.NoError(t, err)
			if count = meta.NumPending; count == 0 {
				break
			}
		}
		require.NoError(t, batch.Error())
	}
	var out []string
	for id := range left {
		out = append(out, id)
	}
	return out
}
