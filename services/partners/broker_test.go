package partners_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestConsumers_AreWhatIsGranted follows the durable consumers of a partner at a real broker, from its first credential to its end.
func TestConsumers_AreWhatIsGranted(t *testing.T) {
	t.Parallel()
	s := newSuite(t, testkit.SQLite)
	s.clock.Set(time.Now()) // the broker has its own
	broker := testkit.Bus(t)
	s.deps.JetStream = broker.JetStream()
	s.restart()
	require.NoError(t, broker.EnsureStream(t.Context(), bus.Stream{Name: "PCNFUNDING_CORE", Subjects: []string{"pcnfunding.core.v1.>"}}))
	publish := func(subjects ...string) {
		for _, subject := range subjects {
			_, err := broker.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: "pcnfunding.core.v1." + subject})
			require.NoError(t, err)
		}
	}
	publish("RateAdded.QWE") // before the grant
	s.clock.Set(time.Now())
	p := s.partner(t, rateAdded)
	name := "partner-" + p.GetPartnerId() + "-QWE"
	find := func() (jetstream.Consumer, error) {
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		return broker.JetStream().Consumer(t.Context(), "PCNFUNDING_CORE", name)
	}
	_, err := find()
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound, "nobody could use it yet")
	s.clock.Set(time.Now())
	c := s.issue(t, p).GetCredential()
	require.Equal(t, name, c.GetConsumers()[0].GetDurable())
	fetch := func(n int) (out []string) {
		consumer, err := find()
		require.NoError(t, err)
		batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
		require.NoError(t, err)
		for m := range batch.Messages() {
			require.NoError(t, m.DoubleAck(t.Context()))
			out = append(out, m.Subject())
		}
		left, err := consumer.Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, left.NumPending)
		return out
	}
	consumer, err := find()
	require.NoError(t, err)
	require.NotNil(t, consumer)
	// The suite's clock goes ahead of the broker's by a second for each call, so wait for nothing: ask for what comes from the start.
	replay := func(since time.Time) {
		_, err := s.partners.ReplayEvents(testkit.As(t.Context(), testkit.Integration("QWE")), &partnersv1.ReplayEventsRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Since: timestamppb.New(since),
		})
		require.NoError(t, err)
	}
	replay(time.Now().Add(-time.Hour))
	publish("RateAdded.QWE", "RateAdded.england", "RateAdded.QHM", "SettingChanged.QWE")
	require.Equal(t, []string{"pcnfunding.core.v1.RateAdded.QWE", "pcnfunding.core.v1.RateAdded.QWE", "pcnfunding.core.v1.RateAdded.england"}, fetch(3),
		"neither another commissioner's nor another type; and what came before, since it was asked for")
	replay(time.Now().Add(-2 * time.Hour))
	require.Len(t, fetch(3), 3, "from the start once more")

	wider, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{
		RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", EventTypes: []string{allOfCore},
	})
	require.NoError(t, err)
	s.confirm(t, wider.GetGrantId())
	require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
	publish("SettingChanged.QWE")
	consumer, err = find()
	require.NoError(t, err)
	require.Equal(t, []string{"pcnfunding.core.v1.*.QWE", "pcnfunding.core.v1.*.england"}, consumer.CachedInfo().Config.FilterSubjects)

	require.NoError(t, broker.JetStream().DeleteConsumer(t.Context(), "PCNFUNDING_CORE", name))
	require.NoError(t, s.service.ApplyToBroker(t.Context(), true))
	_, err = find()
	require.NoError(t, err, "one that was lost is made again")

	_, err = s.partners.RevokeCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RevokeCredentialRequest{RequestId: s.next(), CredentialId: c.GetCredentialId(), Reason: "over"})
	require.NoError(t, err)
	_, err = find()
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
	_, err = broker.JetStream().CreateConsumer(t.Context(), "PCNFUNDING_CORE", jetstream.ConsumerConfig{Durable: name})
	require.NoError(t, err)
	require.NoError(t, s.service.ApplyToBroker(t.Context(), true))
	_, err = find()
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound, "one that came back, as with a broker that is restored, goes again")
}

// TestConsumers_WaitForTheirStream: a grant may come before the first event of a service, and before its stream.
func TestConsumers_WaitForTheirStream(t *testing.T) {
	t.Parallel()
	s := newSuite(t, testkit.SQLite)
	broker := testkit.Bus(t)
	s.deps.JetStream = broker.JetStream()
	s.restart()
	s.issue(t, s.partner(t, rateAdded))
	require.ErrorIs(t, s.service.ApplyToBroker(t.Context(), false), jetstream.ErrStreamNotFound)
	require.NoError(t, broker.EnsureStream(t.Context(), bus.Stream{Name: "PCNFUNDING_CORE", Subjects: []string{"pcnfunding.core.v1.>"}}))
	require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
}

// TestRevoke_HoldsWhereClocksDiffer: the process that tells the broker of a revocation may be behind the one that signed the credential.
func TestRevoke_HoldsWhereClocksDiffer(t *testing.T) {
	t.Parallel()
	s := newSuite(t, testkit.SQLite)
	s.clock.Set(time.Now().Add(-time.Minute))
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	authority, end, err := bus.OpenAuthority(bus.Config{Server: server}, "", "")
	require.NoError(t, err)
	t.Cleanup(end)
	// What is signed carries the time of this machine, a minute ahead of the clock that decides.
	s.deps.Authority = authority
	s.restart()
	s.partners = partnersv1.NewPartnersServiceClient(testkit.Serve(t, s.service.Register))
	issued := s.issue(t, s.partner(t, rateAdded))
	dial := func() error {
		conn, err := nats.Connect(server.ClientURL(), nats.UserCredentialBytes([]byte(issued.GetCreds())), nats.NoReconnect(),
			nats.CustomInboxPrefix(natsauth.InboxPrefix(issued.GetCredential().GetCredentialId())))
		if err == nil {
			conn.Close()
		}
		return err
	}
	require.NoError(t, dial())
	_, err = s.partners.RevokeCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RevokeCredentialRequest{
		RequestId: s.next(), CredentialId: issued.GetCredential().GetCredentialId(), Reason: "leaked",
	})
	require.NoError(t, err)
	require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
	require.ErrorIs(t, dial(), nats.ErrAuthorization)
}
