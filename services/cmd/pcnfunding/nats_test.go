package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// natsFixture is a broker of its own with the configuration that nats init wrote.
type natsFixture struct {
	dir    string
	server *server.Server
	flags  events
}

func newNATSFixture(t *testing.T) *natsFixture {
	t.Helper()
	f := &natsFixture{dir: filepath.Join(t.TempDir(), "broker")}
	require.NoError(t, (&natsInitCommand{Dir: f.dir, Store: filepath.Join(t.TempDir(), "store")}).Run())
	f.start(t)
	return f
}

func (f *natsFixture) start(t *testing.T) {
	t.Helper()
	main := filepath.Join(f.dir, "main.conf")
	require.NoError(t, os.WriteFile(main, []byte("listen: 127.0.0.1:-1\nhttp: 127.0.0.1:-1\ninclude ./nats-server.conf\n"), 0o600))
	options, err := server.ProcessConfigFile(main)
	require.NoError(t, err)
	options.NoSigs, options.NoLog = true, true
	f.server, err = server.NewServer(options)
	require.NoError(t, err)
	f.server.Start()
	t.Cleanup(f.server.Shutdown)
	require.True(t, f.server.ReadyForConnections(10*time.Second))
	f.flags = events{
		NATS: f.server.ClientURL(), Creds: filepath.Join(f.dir, "creds"), Monitor: fmt.Sprintf("http://127.0.0.1:%d", f.server.MonitorAddr().Port),
		AccountKey: filepath.Join(f.dir, "partners.key"), SystemCreds: filepath.Join(f.dir, "creds", "system.creds"),
	}
}

func (f *natsFixture) open(t *testing.T, name string) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), f.flags.busConfig(name, nil))
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// Each service does its work with the credentials of its own, and is refused whatever is not its work.
func TestNATS_ServicesMayDoTheirWorkAndNoMore(t *testing.T) {
	t.Parallel()
	f := newNATSFixture(t)
	for _, name := range serviceNames {
		b := f.open(t, name)
		require.NoError(t, b.EnsureStream(t.Context(), bus.ServiceStream(name)), name)
		require.NoError(t, b.EnsureStream(t.Context(), bus.ServiceStream(name)), "%s brings it up to date", name)
		acks, err := b.Publish(t.Context(), []outbox.Message{{ID: "1", Subject: "pcnfunding." + name + ".v1.Happened.15N"}})
		require.NoError(t, err, name)
		require.Len(t, acks, 1, name)
		require.NoError(t, b.Check(t.Context()), name)
		for _, finding := range b.Verify(t.Context()) {
			require.Equal(t, bus.OK, finding.State, "%s: %s: %s", name, finding.What, finding.Detail)
		}
	}
	for _, name := range serviceNames {
		conn := f.open(t, name).Conn()
		for _, subject := range forbidden(name) {
			require.NoError(t, conn.Publish(subject, nil))
			require.NoError(t, conn.Flush())
			require.ErrorContains(t, conn.LastError(), fmt.Sprintf("Publish to %q", subject), name)
		}
		for _, subject := range []string{">", "pcnfunding.>", "pcnfunding." + name + ".v1.>", "_INBOX.>", "_INBOX.other.>", "$SYS.>", "$JS.>"} {
			_, err := conn.SubscribeSync(subject)
			require.NoError(t, err)
			require.NoError(t, conn.Flush())
			require.ErrorContains(t, conn.LastError(), fmt.Sprintf("Subscription to %q", subject), name)
		}
	}
}

// forbidden are subjects that a service may not publish to.
func forbidden(name string) []string {
	own, other := bus.ServiceStream(name).Name, "core"
	if name == other {
		other = "arrs"
	}
	another := bus.ServiceStream(other).Name
	out := []string{
		"pcnfunding." + other + ".v1.ScheduleClosed.15N", "pcnfunding.canary." + other, "elsewhere", "_INBOX." + other + ".x",
		"$JS.API.STREAM.DELETE." + own, "$JS.API.STREAM.PURGE." + own, "$JS.API.STREAM.MSG.DELETE." + own, "$JS.API.STREAM.CREATE.OTHER",
		"$JS.API.STREAM.UPDATE." + another, "$JS.API.STREAM.DELETE." + another, "$JS.API.STREAM.PURGE." + another, "$JS.API.STREAM.LIST",
		"$JS.API.STREAM.NAMES", "$JS.API.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE",
		"$JS.API.CONSUMER.DURABLE.CREATE." + another + ".mine",
	}
	if name != payments.Name {
		out = append(out, "$JS.API.CONSUMER.CREATE."+another+".payments", "$JS.API.CONSUMER.CREATE."+another+".payments.pcnfunding.>",
			"$JS.API.CONSUMER.DELETE."+another+".payments", "$JS.API.CONSUMER.MSG.NEXT."+another+".payments", "$JS.ACK."+another+".payments.1.1.1.1.0")
	}
	if name != partners.Name {
		out = append(out, "$JS.API.CONSUMER.CREATE."+another+".mine", "$JS.API.CONSUMER.CREATE."+another+".partner-x",
			"$JS.API.CONSUMER.DELETE."+another+".partner-x", "$JS.API.CONSUMER.LIST."+another, "$JS.API.CONSUMER.MSG.NEXT."+another+".partners",
			"$JS.API.STREAM.INFO."+another)
	}
	return out
}

// A service takes in the events of those it needs, under a consumer of its own name.
func TestNATS_ServicesTakeInWhatTheyNeed(t *testing.T) {
	t.Parallel()
	f := newNATSFixture(t)
	core := f.open(t, "core")
	require.NoError(t, core.EnsureStream(t.Context(), bus.ServiceStream("core")))
	_, err := core.Publish(t.Context(), []outbox.Message{{ID: "1", Subject: "pcnfunding.core.v1.ScheduleClosed.15N"}})
	require.NoError(t, err)
	for name, subjects := range map[string][]string{
		payments.Name: {"pcnfunding.core.v1.ScheduleClosed.>"}, partners.Name: {"pcnfunding.core.v1.*.15N", "pcnfunding.core.v1.*.england"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := f.open(t, name).Consume(ctx, bus.ConsumerConfig{Stream: "PCNFUNDING_CORE", Durable: name, Subjects: subjects},
			func(_ context.Context, msgs []inbox.Delivery) []inbox.Verdict {
				for _, m := range msgs {
					got = append(got, m.Subject)
					cancel()
				}
				return make([]inbox.Verdict, len(msgs))
			})
		cancel()
		require.NoError(t, err)
		require.Equal(t, []string{"pcnfunding.core.v1.ScheduleClosed.15N"}, got, name)
	}
}

// Partners is what makes the consumers of partners and issues their credentials; revoking one outlasts a restart of the broker, whose
// configuration has the account as it was before.
func TestNATS_PartnersIssueAndRevoke(t *testing.T) {
	t.Parallel()
	f := newNATSFixture(t)
	core, issuing := f.open(t, "core"), f.open(t, partners.Name)
	require.NoError(t, core.EnsureStream(t.Context(), bus.ServiceStream("core")))
	_, err := core.Publish(t.Context(), []outbox.Message{{ID: "1", Subject: "pcnfunding.core.v1.ScheduleClosed.15N"}})
	require.NoError(t, err)
	_, err = issuing.JetStream().CreateOrUpdateConsumer(t.Context(), "PCNFUNDING_CORE", jetstream.ConsumerConfig{
		Durable: "partner-x", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"pcnfunding.core.v1.*.15N"},
	})
	require.NoError(t, err)
	authority, end, err := bus.OpenAuthority(f.flags.busConfig(partners.Name, nil), f.flags.AccountKey, f.flags.SystemCreds)
	require.NoError(t, err)
	defer end()
	creds, key, err := authority.Issue(natsauth.Grant{
		Partner: "x", Credential: "c1", Expires: time.Now().Add(time.Hour), Durables: []natsauth.Durable{{Stream: "PCNFUNDING_CORE", Name: "partner-x"}},
	})
	require.NoError(t, err)
	dial := func() (*nats.Conn, error) {
		return nats.Connect(f.server.ClientURL(), nats.UserCredentialBytes(creds), nats.NoReconnect(), nats.CustomInboxPrefix(natsauth.InboxPrefix("c1")),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	}
	conn, err := dial()
	require.NoError(t, err)
	defer conn.Close()
	closed := conn.StatusChanged(nats.CLOSED)
	js, err := jetstream.NewWithDomain(conn, natsauth.Domain)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), "PCNFUNDING_CORE", "partner-x")
	require.NoError(t, err)
	msg, err := consumer.Next()
	require.NoError(t, err)
	require.NoError(t, msg.DoubleAck(t.Context()))

	require.NoError(t, authority.Revoke(t.Context(), key, time.Now()))
	<-closed
	_, err = dial()
	require.ErrorIs(t, err, nats.ErrAuthorization)
	f.server.Shutdown()
	f.server.WaitForShutdown()
	f.start(t)
	_, err = dial()
	require.ErrorIs(t, err, nats.ErrAuthorization, "also after a restart")
	require.NoError(t, f.open(t, partners.Name).JetStream().DeleteConsumer(t.Context(), "PCNFUNDING_CORE", "partner-x"))
}

// A broker needs to know its operator and its system account; the others come from the service partners.
func TestNATS_PartnersDeclareTheAccounts(t *testing.T) {
	t.Parallel()
	f := &natsFixture{dir: filepath.Join(t.TempDir(), "broker")}
	require.NoError(t, (&natsInitCommand{Dir: f.dir, Store: filepath.Join(t.TempDir(), "store")}).Run())
	material, err := natsauth.Open(f.dir)
	require.NoError(t, err)
	conf := filepath.Join(f.dir, "nats-server.conf")
	text, err := os.ReadFile(conf)
	require.NoError(t, err)
	_, preload, _ := strings.Cut(string(text), "resolver_preload {")
	preload, _, _ = strings.Cut(preload, "}")
	kept := ""
	for line := range strings.Lines(preload) {
		if strings.Contains(line, material.SystemAccount()+":") {
			kept = line
		}
	}
	require.NotEmpty(t, kept)
	require.NoError(t, os.WriteFile(conf, []byte(strings.Replace(string(text), preload, "\n"+kept, 1)), 0o600))
	f.start(t)
	core := f.open(t, "core")
	require.Error(t, core.EnsureStream(t.Context(), bus.ServiceStream("core")), "its account is not there")
	authority, end, err := bus.OpenAuthority(f.flags.busConfig(partners.Name, nil), f.flags.AccountKey, f.flags.SystemCreds)
	require.NoError(t, err)
	defer end()
	for range 2 {
		require.NoError(t, authority.Declare(t.Context()))
	}
	require.Eventually(t, func() bool { return core.EnsureStream(t.Context(), bus.ServiceStream("core")) == nil }, 20*time.Second, 50*time.Millisecond)
}

func TestNATSInit_WritesOnceAndForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "broker")
	command := &natsInitCommand{Dir: dir, Store: "/data"}
	require.NoError(t, command.Run())
	before, err := os.ReadFile(filepath.Join(dir, "creds", "core.creds"))
	require.NoError(t, err)
	require.ErrorIs(t, command.Run(), natsauth.ErrExists)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, path)
		return nil
	}))
	after, err := os.ReadFile(filepath.Join(dir, "creds", "core.creds"))
	require.NoError(t, err)
	require.Equal(t, before, after)

	require.ErrorContains(t, (&natsCredsCommand{Dir: dir, Services: []string{"gateway"}}).Run(), "uses the broker")
	require.NoError(t, (&natsCredsCommand{Dir: dir, Services: []string{"core"}}).Run())
	replaced, err := os.ReadFile(filepath.Join(dir, "creds", "core.creds"))
	require.NoError(t, err)
	require.NotEqual(t, before, replaced)
}

func TestEvents_RefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]events{
		"is not encrypted":        {Listen: "0.0.0.0:4222"},
		"go together":             {NATSCert: "x"},
		"--nats-account-key-file": {NATS: "nats://broker"},
	} {
		require.ErrorContains(t, e.checkEvents([]string{partners.Name}), want)
	}
	e := events{NATS: "nats://broker", Listen: "0.0.0.0:4222", NATSCert: "x", NATSKey: "y"}
	require.NoError(t, e.checkEvents([]string{"core"}))
}
