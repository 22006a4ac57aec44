package natsauth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

const coreStream = "PCNFUNDING_CORE"

// fixture is a broker with the stream of core, on which two partners of two commissioners have a consumer each.
type fixture struct {
	dir       string
	server    *bus.Server
	js        jetstream.JetStream // of somebody who may do everything
	authority *natsauth.Authority
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir()}
	f.start(t)
	b, err := bus.Open(t.Context(), bus.Config{Server: f.server})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	f.js = b.JetStream()
	require.NoError(t, b.EnsureStream(t.Context(), bus.ServiceStream("core")))
	for partner, commissioner := range map[string]string{"partner-a": "15N", "partner-b": "QJK"} {
		_, err := f.js.CreateConsumer(t.Context(), coreStream, jetstream.ConsumerConfig{
			Durable: partner, AckPolicy: jetstream.AckExplicitPolicy,
			FilterSubjects: []string{"pcnfunding.core.v1.*." + commissioner, "pcnfunding.core.v1.*.england"},
		})
		require.NoError(t, err)
	}
	return f
}

func (f *fixture) start(t *testing.T) {
	t.Helper()
	var err error
	f.server, err = bus.StartServer(bus.ServerConfig{StoreDir: f.dir, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(f.server.Stop)
	var end func()
	f.authority, end, err = bus.OpenAuthority(bus.Config{Server: f.server}, "", "")
	require.NoError(t, err)
	t.Cleanup(end)
}

// issue gives partner a or b a credential.
func (f *fixture) issue(t *testing.T, partner, credential string, expires time.Time) (creds []byte, publicKey string) {
	t.Helper()
	creds, publicKey, err := f.authority.Issue(natsauth.Grant{
		Partner: partner, Credential: credential, Expires: expires, Durables: []natsauth.Durable{{Stream: coreStream, Name: "partner-" + partner}},
	})
	require.NoError(t, err)
	return creds, publicKey
}

// connect connects with a credential as a partner's client would.
func (f *fixture) connect(t *testing.T, creds []byte, credential string) *nats.Conn {
	t.Helper()
	conn, err := f.dial(creds, credential)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func (f *fixture) dial(creds []byte, credential string) (*nats.Conn, error) {
	return nats.Connect(f.server.ClientURL(), nats.UserCredentialBytes(creds), nats.NoReconnect(),
		nats.CustomInboxPrefix(natsauth.InboxPrefix(credential)), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// untilCut connects with a credential, and tells why the broker ended the connection.
func (f *fixture) untilCut(t *testing.T, creds []byte) <-chan error {
	t.Helper()
	why := make(chan error, 8)
	conn, err := nats.Connect(f.server.ClientURL(), nats.UserCredentialBytes(creds), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { why <- err }))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return why
}

// partnersAccount returns the account of partners as the broker keeps it, and where.
func (f *fixture) partnersAccount(t *testing.T) (file string, claims *jwt.AccountClaims) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, "auth", "accounts", "*.jwt"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		claims, err := jwt.DecodeAccountClaims(string(text))
		require.NoError(t, err)
		if claims.Name == "PARTNERS" {
			return file, claims
		}
	}
	require.FailNow(t, "the broker keeps no account of partners")
	return "", nil
}

func (f *fixture) publish(t *testing.T, subjects ...string) {
	t.Helper()
	for _, s := range subjects {
		_, err := f.js.Publish(t.Context(), s, []byte(s))
		require.NoError(t, err)
	}
}

func (f *fixture) messages(t *testing.T) uint64 {
	t.Helper()
	s, err := f.js.Stream(t.Context(), coreStream)
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}

func inAYear() time.Time { return time.Now().AddDate(1, 0, 0) }

func TestPartner_FetchesAndAcknowledgesItsOwnEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "pcnfunding.core.v1.ScheduleClosed.15N", "pcnfunding.core.v1.ScheduleClosed.QJK", "pcnfunding.core.v1.RateAdded.england")
	creds, _ := f.issue(t, "a", "cred1", inAYear())
	js, err := jetstream.NewWithDomain(f.connect(t, creds, "cred1"), natsauth.Domain)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), coreStream, "partner-a")
	require.NoError(t, err)

	batch, err := consumer.FetchNoWait(10)
	require.NoError(t, err)
	var got []string
	for m := range batch.Messages() {
		got = append(got, m.Subject())
		require.NoError(t, m.DoubleAck(t.Context()), "the broker confirms the acknowledgement")
	}
	require.NoError(t, batch.Error())
	require.Equal(t, []string{"pcnfunding.core.v1.ScheduleClosed.15N", "pcnfunding.core.v1.RateAdded.england"}, got)

	heard := make(chan string, 1)
	consuming, err := consumer.Consume(func(m jetstream.Msg) { _ = m.Ack(); heard <- m.Subject() })
	require.NoError(t, err)
	defer consuming.Stop()
	f.publish(t, "pcnfunding.core.v1.PaymentWithheld.QJK", "pcnfunding.core.v1.PaymentWithheld.15N")
	require.Equal(t, "pcnfunding.core.v1.PaymentWithheld.15N", <-heard, "a request that waits is answered too")
}

// Whatever else a partner tries is refused by the permissions of its user.
func TestPartner_MayDoNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	creds, _ := f.issue(t, "a", "cred1", inAYear())
	conn := f.connect(t, creds, "cred1")
	for _, api := range []string{"$JS.API", "$JS." + natsauth.Domain + ".API"} {
		for _, call := range []string{
			"INFO", "ACCOUNT.PURGE.X", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.PCNFUNDING_CORE", "STREAM.CREATE.X", "STREAM.UPDATE.PCNFUNDING_CORE",
			"STREAM.DELETE.PCNFUNDING_CORE", "STREAM.PURGE.PCNFUNDING_CORE", "STREAM.MSG.GET.PCNFUNDING_CORE", "STREAM.MSG.DELETE.PCNFUNDING_CORE",
			"STREAM.SNAPSHOT.PCNFUNDING_CORE", "DIRECT.GET.PCNFUNDING_CORE", "CONSUMER.CREATE.PCNFUNDING_CORE", "CONSUMER.CREATE.PCNFUNDING_CORE.mine",
			"CONSUMER.CREATE.PCNFUNDING_CORE.partner-a", "CONSUMER.CREATE.PCNFUNDING_CORE.partner-a.pcnfunding.>", "CONSUMER.PAUSE.PCNFUNDING_CORE.partner-b",
			"CONSUMER.DURABLE.CREATE.PCNFUNDING_CORE.mine", "CONSUMER.NAMES.PCNFUNDING_CORE", "CONSUMER.LIST.PCNFUNDING_CORE",
			"CONSUMER.INFO.PCNFUNDING_CORE.partner-b", "CONSUMER.DELETE.PCNFUNDING_CORE.partner-a", "CONSUMER.DELETE.PCNFUNDING_CORE.partner-b",
			"CONSUMER.MSG.NEXT.PCNFUNDING_CORE.partner-b", "CONSUMER.MSG.NEXT.PCNFUNDING_ARRS.partner-a", "CONSUMER.LEADER.STEPDOWN.PCNFUNDING_CORE.partner-a",
		} {
			refusesPublish(t, conn, api+"."+call)
		}
	}
	for _, subject := range []string{
		"pcnfunding.core.v1.ScheduleClosed.15N", "pcnfunding.canary.core", "anything", "$JS.ACK.PCNFUNDING_CORE.partner-b.1.1.1.1.0",
		"_INBOX.core.x", "_INBOX.cred2.x", "_R_.x", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.USER.INFO", "$SYS.REQ.CLAIMS.UPDATE",
	} {
		refusesPublish(t, conn, subject)
	}
	for _, subject := range []string{
		">", "*", "pcnfunding.>", "pcnfunding.core.v1.*.15N", "_INBOX.>", "_INBOX.*.x", "_INBOX.core.>", "_INBOX.cred2.>", "_R_.>", "$SYS.>", "$JS.>",
		"$JS.ACK.>", "$JS.EVENT.>", "$JS.API.>",
	} {
		refusesSubscribe(t, conn, subject)
	}
}

// Consumers put what they deliver, and the broker what it answers, wherever a request says. In one account with the streams a partner
// could so write into them without being allowed to publish.
func TestPartner_CannotPublishByTheReplySubject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "pcnfunding.core.v1.ScheduleClosed.15N")
	creds, _ := f.issue(t, "a", "cred1", inAYear())
	conn := f.connect(t, creds, "cred1")
	const api = "$JS." + natsauth.Domain + ".API.CONSUMER."
	for _, forged := range []string{"pcnfunding.core.v1.ScheduleClosed.QJK", "$JS.API.STREAM.PURGE.PCNFUNDING_CORE"} {
		require.NoError(t, conn.PublishRequest(api+"INFO.PCNFUNDING_CORE.partner-a", forged, nil))
		require.NoError(t, conn.PublishRequest(api+"MSG.NEXT.PCNFUNDING_CORE.partner-a", forged, []byte(`{"batch":1,"no_wait":true}`)))
		require.NoError(t, conn.PublishRequest("$JS.ACK.PCNFUNDING_CORE.partner-a.1.1.1.1.0", forged, []byte("+NXT")))
	}
	require.NoError(t, conn.Flush())
	_, err := conn.Request(api+"INFO.PCNFUNDING_CORE.partner-a", nil, 5*time.Second)
	require.NoError(t, err, "what was sent before has been dealt with")
	require.EqualValues(t, 1, f.messages(t))
}

// What a partner asks for may be sent to a reply subject that is a call of partners itself; it must not pass for a call of whoever asked.
func TestPartner_CannotActForAnotherByTheReplySubject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "pcnfunding.core.v1.ScheduleClosed.QJK")
	b, _ := f.issue(t, "b", "cred2", inAYear())
	js, err := jetstream.NewWithDomain(f.connect(t, b, "cred2"), natsauth.Domain)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), coreStream, "partner-b")
	require.NoError(t, err)
	batch, err := consumer.FetchNoWait(1)
	require.NoError(t, err)
	message := <-batch.Messages()
	require.NotNil(t, message)

	creds, _ := f.issue(t, "a", "cred1", inAYear())
	conn := f.connect(t, creds, "cred1")
	const api = "$JS." + natsauth.Domain + ".API.CONSUMER."
	// There is nothing for partner a, so the broker answers with a status and no body, which is what an acknowledgement looks like.
	require.NoError(t, conn.PublishRequest(api+"MSG.NEXT.PCNFUNDING_CORE.partner-a", message.Reply(), []byte(`{"batch":1,"no_wait":true}`)))
	require.NoError(t, conn.PublishRequest(api+"MSG.NEXT.PCNFUNDING_CORE.partner-a", message.Reply(), []byte(`{"batch":0,"expires":-1}`)))
	require.NoError(t, conn.Flush())
	_, err = conn.Request(api+"INFO.PCNFUNDING_CORE.partner-a", nil, 5*time.Second)
	require.NoError(t, err, "what was sent before has been dealt with")
	info, err := consumer.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, info.NumAckPending, "the event of partner b still waits for its acknowledgement")
}

// The account of partners is a second wall: a user whose permissions were forgotten still sees and reaches no event.
func TestPartner_IsInAnAccountOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	material, err := natsauth.Open(filepath.Join(f.dir, "auth"))
	require.NoError(t, err)
	conn := f.connect(t, unboundedPartner(t, material), "any")
	heard := make(chan *nats.Msg, 64)
	_, err = conn.ChanSubscribe(">", heard)
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	f.publish(t, "pcnfunding.core.v1.ScheduleClosed.15N")
	require.NoError(t, conn.Publish("pcnfunding.core.v1.ScheduleClosed.15N", nil))
	require.NoError(t, conn.Flush())
	require.Equal(t, "pcnfunding.core.v1.ScheduleClosed.15N", (<-heard).Subject)
	require.Empty(t, heard, "it hears what it said itself, and nothing of the suite")
	require.EqualValues(t, 1, f.messages(t), "nor does what it says reach a stream")
	for _, api := range []string{"$JS.API.", "$JS." + natsauth.Domain + ".API."} {
		answer, err := conn.Request(api+"STREAM.INFO.PCNFUNDING_CORE", nil, 300*time.Millisecond)
		if err == nil {
			assert.Contains(t, string(answer.Data), "not enabled for account")
		}
	}
}

// unboundedPartner signs a user without any permissions with the key that signs partners.
func unboundedPartner(t *testing.T, m *natsauth.Material) []byte {
	t.Helper()
	keys, err := m.AuthorityKeys()
	require.NoError(t, err)
	values := make(map[string]string)
	for line := range strings.Lines(string(keys)) {
		what, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[what] = value
	}
	signer, err := nkeys.FromSeed([]byte(values["issue"]))
	require.NoError(t, err)
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewUserClaims(public)
	claims.IssuerAccount = values["account"]
	token, err := claims.Encode(signer)
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	creds, err := jwt.FormatUserConfig(token, seed)
	require.NoError(t, err)
	return creds
}

func TestRevoke_CutsOffAndStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	creds, key := f.issue(t, "a", "cred1", inAYear())
	others, _ := f.issue(t, "a", "cred2", inAYear())
	cut := f.untilCut(t, creds)
	spared := f.connect(t, others, "cred2")

	require.NoError(t, f.authority.Revoke(t.Context(), key, inAYear()))
	require.ErrorIs(t, <-cut, nats.ErrAuthRevoked)
	require.NoError(t, f.authority.Revoke(t.Context(), key, inAYear()), "it may be asked twice")
	_, err := f.dial(creds, "cred1")
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.NoError(t, spared.Flush(), "another credential of the partner goes on")

	f.server.Stop()
	f.start(t)
	_, err = f.dial(creds, "cred1")
	require.ErrorIs(t, err, nats.ErrAuthorization, "also after a restart")
	f.connect(t, others, "cred2")
}

// A release may need other accounts than the one before it left at the broker; what that revoked stays revoked.
func TestDeclare_MendsWhatDiffersAndForgetsNoRevocation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gone, key := f.issue(t, "a", "cred1", inAYear())
	require.NoError(t, f.authority.Revoke(t.Context(), key, inAYear()))
	creds, _ := f.issue(t, "a", "cred2", inAYear())
	f.server.Stop()

	material, err := natsauth.Open(filepath.Join(f.dir, "auth"))
	require.NoError(t, err)
	keys, err := material.AuthorityKeys()
	require.NoError(t, err)
	_, seed, _ := strings.Cut(string(keys), "\nrevoke ")
	operator, err := nkeys.FromSeed([]byte(strings.TrimSpace(seed)))
	require.NoError(t, err)
	file, claims := f.partnersAccount(t)
	claims.Imports = nil
	token, err := claims.Encode(operator)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	f.start(t)
	look := func() error {
		js, err := jetstream.NewWithDomain(f.connect(t, creds, "cred2"), natsauth.Domain)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = js.Consumer(ctx, coreStream, "partner-a")
		return err
	}
	require.Error(t, look(), "the account imports nothing")
	require.NoError(t, f.authority.Declare(t.Context()))
	require.Eventually(t, func() bool { return look() == nil }, 20*time.Second, 50*time.Millisecond)
	_, err = f.dial(gone, "cred1")
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// The account names every user that is revoked, and has to fit into one message for as long as the suite runs.
func TestRevoke_ForgetsWhatHasEnded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	revoked := func() jwt.RevocationList {
		_, claims := f.partnersAccount(t)
		return claims.Revocations
	}
	threeYearsAgo, anHourAgo := time.Now().AddDate(-3, 0, 0), time.Now().Add(-time.Hour)
	_, forgotten := f.issue(t, "a", "cred0", threeYearsAgo)
	_, ended := f.issue(t, "a", "cred1", anHourAgo)
	_, first := f.issue(t, "a", "cred2", inAYear())
	require.NoError(t, f.authority.Revoke(t.Context(), forgotten, threeYearsAgo))
	require.Contains(t, revoked(), forgotten)
	require.NoError(t, f.authority.Revoke(t.Context(), ended, anHourAgo))
	require.NoError(t, f.authority.Revoke(t.Context(), first, inAYear()))
	require.NotContains(t, revoked(), forgotten)
	require.Contains(t, revoked(), ended)
	require.Contains(t, revoked(), first)
}

func TestIssue_EndsWithItsTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	creds, _ := f.issue(t, "a", "cred1", time.Now().Add(2*time.Second))
	require.ErrorIs(t, <-f.untilCut(t, creds), nats.ErrAuthExpired)
	creds, _ = f.issue(t, "a", "cred2", time.Now().Add(-time.Hour))
	_, err := f.dial(creds, "cred2")
	require.Error(t, err)
}

func TestIssue_RefusesWhatWouldWiden(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := natsauth.Grant{Partner: "a", Credential: "c", Durables: []natsauth.Durable{{Stream: coreStream, Name: "partner-a"}}, Expires: inAYear()}
	for name, change := range map[string]func(*natsauth.Grant){
		"credential":   func(g *natsauth.Grant) { g.Credential = "*" },
		"partner":      func(g *natsauth.Grant) { g.Partner = "a b" },
		"durable":      func(g *natsauth.Grant) { g.Durables = []natsauth.Durable{{Stream: coreStream, Name: ">"}} },
		"stream":       func(g *natsauth.Grant) { g.Durables = []natsauth.Durable{{Stream: "*", Name: "partner-a"}} },
		"no durable":   func(g *natsauth.Grant) { g.Durables = nil },
		"no end":       func(g *natsauth.Grant) { g.Expires = time.Time{} },
		"empty name":   func(g *natsauth.Grant) { g.Credential = "" },
		"several dots": func(g *natsauth.Grant) { g.Credential = "a.b" },
	} {
		g := good
		change(&g)
		_, _, err := f.authority.Issue(g)
		require.Error(t, err, name)
	}
	_, _, err := f.authority.Issue(good)
	require.NoError(t, err)
}

// A credential comes to the broker in one line of its protocol, which is bounded.
func TestIssue_NamesManyConsumersButNotTooMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	grant := natsauth.Grant{Partner: "a", Credential: strings.Repeat("c", 36), Expires: inAYear()}
	add := func(n int) {
		for i := range n {
			grant.Durables = append(grant.Durables, natsauth.Durable{Stream: fmt.Sprintf("PCNFUNDING_SERVICE%d", i), Name: "partner-" + strings.Repeat("d", 36)})
		}
	}
	add(16)
	creds, _, err := f.authority.Issue(grant)
	require.NoError(t, err)
	require.Greater(t, len(creds), 4096)
	f.connect(t, creds, grant.Credential)
	add(48)
	_, _, err = f.authority.Issue(grant)
	require.ErrorContains(t, err, "give them fewer consumers")
}

func TestNewAuthority_SaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	m, err := natsauth.Create(t.TempDir())
	require.NoError(t, err)
	keys, err := m.AuthorityKeys()
	require.NoError(t, err)
	lines := strings.SplitAfter(string(keys), "\n")
	for name, bad := range map[string]string{
		"empty": "", "no account": strings.Join(append(lines[:2:2], lines[3:]...), ""), "garbage": "x y", "wrong kind": strings.Replace(string(keys), "issue SA", "revoke SA", 1),
	} {
		_, err := natsauth.NewAuthority([]byte(bad), nil)
		require.ErrorContains(t, err, "key file for partners", name)
	}
	a, err := natsauth.NewAuthority([]byte(strings.Join(lines[:5], "")), nil)
	require.NoError(t, err)
	require.ErrorIs(t, a.Revoke(t.Context(), "U", time.Now()), natsauth.ErrCannotRevoke)
	require.ErrorIs(t, a.Declare(t.Context()), natsauth.ErrCannotRevoke)
}

func TestMaterial_IsMadeOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "broker")
	made, err := natsauth.OpenOrCreate(dir)
	require.NoError(t, err)
	_, err = natsauth.Create(dir)
	require.ErrorIs(t, err, natsauth.ErrExists)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s is for its owner only", path)
		return nil
	}))
	require.NoError(t, os.Remove(filepath.Join(dir, "keys", "operator.seed")), "it is kept elsewhere")
	read, err := natsauth.OpenOrCreate(dir)
	require.NoError(t, err)
	require.Equal(t, made.SuiteAccount(), read.SuiteAccount())
	require.Equal(t, made.SystemAccount(), read.SystemAccount())

	require.NoError(t, os.Remove(filepath.Join(dir, "keys", "suite.seed")))
	_, err = natsauth.OpenOrCreate(dir)
	require.ErrorContains(t, err, "suite.seed", "a folder that has lost a key is not filled anew")
}

func TestCredentials_RefusesWhatWouldWiden(t *testing.T) {
	t.Parallel()
	m, err := natsauth.Create(t.TempDir())
	require.NoError(t, err)
	for _, u := range []natsauth.User{
		{Name: "nobody"},
		{Name: "a.b", Streams: []string{"S"}},
		{Name: "a", Streams: []string{"*"}},
		{Name: "a", Manage: true, Spare: []string{">"}},
		{Name: "a", Durables: []natsauth.Durable{{Stream: "S", Name: "*"}}},
	} {
		_, err := m.Credentials(u)
		require.Error(t, err, fmt.Sprint(u))
	}
}

func refusesPublish(t *testing.T, conn *nats.Conn, subject string) {
	t.Helper()
	require.NoError(t, conn.Publish(subject, nil))
	require.NoError(t, conn.Flush())
	require.ErrorContains(t, conn.LastError(), fmt.Sprintf("Permissions Violation for Publish to %q", subject))
}

func refusesSubscribe(t *testing.T, conn *nats.Conn, subject string) {
	t.Helper()
	_, err := conn.SubscribeSync(subject)
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	require.ErrorContains(t, conn.LastError(), fmt.Sprintf("Permissions Violation for Subscription to %q", subject))
}
