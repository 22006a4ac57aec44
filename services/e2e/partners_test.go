package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	partnerOf     = "16C"
	partnerNotOf  = "15N" // its events go past the partner
	partnerStream = "PCNFUNDING_CORE"
	partnerEvent  = "pcnfunding.core.v1.ScheduleClosed"
	partnerWait   = 30 * time.Second
)

// partner is a system of another organisation, as docs/partners.md tells it to be written.
type partner struct {
	*mortal

	id string
	// posted is what its webhook was sent.
	posted chan delivery
}

type delivery struct {
	header http.Header
	body   []byte
}

type cloudEvent struct{ Type, Commissioner string }

type credential struct {
	Credential struct {
		ID        string     `json:"credential_id"`
		Consumers []consumer `json:"consumers"`
	} `json:"credential"`
	Creds string `json:"creds"`
}

type consumer struct {
	Stream  string `json:"stream"`
	Durable string `json:"durable"`
}

// TestPartner_GetsTheEventsOfItsCommissionerAlone takes a partner from the proposal over REST to the end of a credential, beside a suite that
// is killed and started again, and listens with the broker's own client and with the published library of its webhooks.
func TestPartner_GetsTheEventsOfItsCommissionerAlone(t *testing.T) {
	t.Parallel()
	p := &partner{mortal: newMortal(t, false), posted: make(chan delivery, 8)}
	receiver := p.receiver()
	p.args = append(p.args, "--webhook-private", "--webhook-ca-file", authorityOf(t, receiver))
	p.start("--sample", "--no-sample-claims", "--no-sample-iif", "--no-sample-devfund", "--no-sample-activity")
	p.grant()
	var old credential
	p.write("first", "/v1/partners/partners/"+p.id+"/credentials", fields{"commissioner_code": partnerOf, "expires_at": inADay()}).ok(t, &old)
	secret := p.addWebhook(receiver.URL)

	connection, ended := p.connect(old)
	events := p.consumer(connection, old)
	p.closeMonth(partnerNotOf, "2022-05")
	p.closeMonth(partnerOf, "2022-05")
	require.Equal(t, partnerEvent+"."+partnerOf, p.fetch(events))
	require.Equal(t, cloudEvent{partnerEvent, partnerOf}, p.verified(secret))
	p.mayDoNothingElse(connection)

	var next credential
	p.write("first", "/v1/partners/credentials/"+old.Credential.ID+":rotate", fields{"expires_at": inADay(), "overlap_hours": 1}).ok(t, &next)
	require.Equal(t, old.Credential.Consumers, next.Credential.Consumers, "it goes on where the other stops")
	successor, _ := p.connect(next)
	p.closeMonth(partnerOf, "2022-06")
	require.Equal(t, partnerEvent+"."+partnerOf, p.fetch(p.consumer(successor, next)))
	batch, err := events.FetchNoWait(1)
	require.NoError(t, err)
	require.Empty(t, batch.Messages())
	require.NoError(t, batch.Error(), "the one before may fetch too while they overlap")

	p.write("first", "/v1/partners/credentials/"+old.Credential.ID+":revoke", fields{"reason": "it leaked"}).ok(t, &struct{}{})
	select {
	case err := <-ended:
		require.ErrorIs(t, err, nats.ErrAuthRevoked)
	case <-time.After(partnerWait):
		require.Fail(t, "the broker did not end the connection")
	}
	p.refused(old)
	require.NoError(t, successor.Flush(), "the other credential goes on")
	p.kill()
	p.start()
	p.refused(old)
	again, _ := p.connect(next)
	p.consumer(again, next)
}

// grant has a partner proposed by one person and confirmed by another.
func (p *partner) grant() {
	p.t.Helper()
	var proposed struct {
		ID     string `json:"partner_id"`
		Grants []struct {
			ID string `json:"grant_id"`
		} `json:"grants"`
	}
	p.write("first", "/v1/partners/partners", fields{
		"commissioner_code": partnerOf, "name": "ICS data platform", "contact_email": "platform@ics.example", "event_types": []string{partnerEvent},
	}).ok(p.t, &proposed)
	p.id = proposed.ID
	issue := fields{"commissioner_code": partnerOf, "expires_at": inADay()}
	p.write("first", "/v1/partners/partners/"+p.id+"/credentials", issue).refused(p.t, http.StatusBadRequest, "GRANT_REQUIRED")
	confirm := "/v1/partners/grants/" + proposed.Grants[0].ID + ":confirm"
	p.write("first", confirm, nil).refused(p.t, http.StatusForbidden, "CONFIRMER_IS_PROPOSER")
	p.write("second", confirm, nil).ok(p.t, &struct{}{})
}

// receiver is where the webhook leads.
func (p *partner) receiver() *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			p.posted <- delivery{r.Header, body}
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	p.t.Cleanup(server.Close)
	return server
}

// addWebhook has events sent to an address, and returns the secret that they are signed with.
func (p *partner) addWebhook(address string) string {
	p.t.Helper()
	var made struct{ Secret string }
	p.write("first", "/v1/partners/partners/"+p.id+"/webhooks", fields{
		"commissioner_code": partnerOf, "url": address + "/events", "event_types": []string{partnerEvent},
	}).ok(p.t, &made)
	return made.Secret
}

// verified waits for what the webhook is sent next, and reads it if the signature is good.
func (p *partner) verified(secret string) (event cloudEvent) {
	p.t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(p.t, err)
	select {
	case got := <-p.posted:
		require.NoError(p.t, verifier.Verify(got.body, got.header))
		require.NoError(p.t, json.Unmarshal(got.body, &event))
	case <-time.After(partnerWait):
		require.Fail(p.t, "the webhook was sent nothing")
	}
	return event
}

// authorityOf writes a file with the certificate of a server, which signs itself.
func authorityOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "receiver.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return file
}

// write posts a change as an approver of both commissioners who has a name.
func (p *partner) write(name, path string, body fields) answer {
	p.t.Helper()
	return p.post("finance_approver", name, path, body)
}

func (p *partner) closeMonth(commissioner, month string) {
	p.t.Helper()
	p.post("finance_preparer", "", "/v1/core/commissioners/"+commissioner+"/months/"+month+":close", nil).ok(p.t, &struct{}{})
}

func (p *partner) post(role, name, path string, body fields) answer {
	p.t.Helper()
	token, err := p.harness.mint(role, name, partnerOf, partnerNotOf)
	require.NoError(p.t, err)
	encoded, err := json.Marshal(body.with("request_id", unique()))
	require.NoError(p.t, err)
	got, err := p.harness.send(p.t.Context(), request{
		method: http.MethodPost, path: path, token: token, body: bytes.NewReader(encoded), headers: []string{"Content-Type", "application/json"},
	})
	require.NoError(p.t, err)
	return got
}

func (p *partner) options(c credential) []nats.Option {
	return []nats.Option{nats.UserCredentialBytes([]byte(c.Creds)), nats.CustomInboxPrefix("_INBOX." + c.Credential.ID), nats.NoReconnect()}
}

// connect connects to the broker, and tells why it ended the connection.
func (p *partner) connect(c credential) (*nats.Conn, <-chan error) {
	p.t.Helper()
	why := make(chan error, 64)
	tell := func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if !isRefusal(err) {
			why <- err
		}
	}
	conn, err := nats.Connect("nats://"+p.nats, append(p.options(c), nats.ErrorHandler(tell))...)
	require.NoError(p.t, err)
	p.t.Cleanup(conn.Close)
	return conn, why
}

// refused checks that the broker lets a credential in no more.
func (p *partner) refused(c credential) {
	p.t.Helper()
	_, err := nats.Connect("nats://"+p.nats, p.options(c)...)
	require.ErrorIs(p.t, err, nats.ErrAuthorization)
}

// consumer binds to the one consumer of a credential, once the suite has made it.
func (p *partner) consumer(conn *nats.Conn, c credential) jetstream.Consumer {
	p.t.Helper()
	require.Equal(p.t, []consumer{{partnerStream, "partner-" + p.id + "-" + partnerOf}}, c.Credential.Consumers)
	js, err := jetstream.NewWithDomain(conn, "pcnfunding")
	require.NoError(p.t, err)
	var out jetstream.Consumer
	require.EventuallyWithT(p.t, func(t *assert.CollectT) {
		out, err = js.Consumer(p.t.Context(), partnerStream, c.Credential.Consumers[0].Durable)
		require.NoError(t, err)
	}, partnerWait, pollEvery)
	return out
}

// fetch takes the next event, behind which there must be no other.
func (p *partner) fetch(from jetstream.Consumer) string {
	p.t.Helper()
	m, err := from.Next(jetstream.FetchMaxWait(partnerWait))
	require.NoError(p.t, err)
	require.NoError(p.t, m.DoubleAck(p.t.Context()))
	left, err := from.Info(p.t.Context())
	require.NoError(p.t, err)
	require.Zero(p.t, left.NumPending)
	return m.Subject()
}

// mayDoNothingElse tries a credential's connection on what is not its own.
func (p *partner) mayDoNothingElse(conn *nats.Conn) {
	p.t.Helper()
	for _, api := range []string{"$JS.API.", "$JS.pcnfunding.API."} {
		for _, call := range []string{
			"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO." + partnerStream, "STREAM.MSG.GET." + partnerStream, "CONSUMER.CREATE." + partnerStream + ".mine",
			"CONSUMER.LIST." + partnerStream, "CONSUMER.MSG.NEXT." + partnerStream + ".partner-" + p.id + "-" + partnerNotOf, "CONSUMER.MSG.NEXT.PCNFUNDING_CORE.payments",
			"CONSUMER.DELETE." + partnerStream + ".partner-" + p.id + "-" + partnerOf,
		} {
			p.refusedBy(conn, "Publish", api+call, conn.Publish(api+call, nil))
		}
	}
	p.refusedBy(conn, "Publish", partnerEvent+"."+partnerOf, conn.Publish(partnerEvent+"."+partnerOf, nil))
	for _, subject := range []string{">", "pcnfunding.>", partnerEvent + "." + partnerOf, "_INBOX.>", "$SYS.>"} {
		_, err := conn.SubscribeSync(subject)
		p.refusedBy(conn, "Subscription", subject, err)
	}
}

// refusedBy checks that the broker has refused what was last sent to it.
func (p *partner) refusedBy(conn *nats.Conn, kind, subject string, err error) {
	p.t.Helper()
	require.NoError(p.t, err)
	require.NoError(p.t, conn.Flush())
	require.ErrorContains(p.t, conn.LastError(), `Permissions Violation for `+kind+` to "`+subject+`"`)
}

// isRefusal tells the refusal of one subject from the end of the connection.
func isRefusal(err error) bool { return errors.Is(err, nats.ErrPermissionViolation) }

func inADay() string { return time.Now().AddDate(0, 0, 1).UTC().Format(time.RFC3339) }
