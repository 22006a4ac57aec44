package partners_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

// register stands in for the register service: it knows two commissioners and a practice.
type register struct {
	registerv1.RegisterServiceClient
}

func (register) GetOrganisation(_ context.Context, req *registerv1.GetOrganisationRequest, _ ...grpc.CallOption) (*registerv1.Organisation, error) {
	switch code := req.GetOrganisationCode(); code {
	case "QWE", "QHM":
		return &registerv1.Organisation{OrganisationCode: code, Kind: registerv1.OrganisationKind_SYSTEM}, nil
	case "L83001":
		return &registerv1.Organisation{OrganisationCode: code, Kind: registerv1.OrganisationKind_PRACTICE}, nil
	default:
		return nil, rpc.Status(fault.New(fault.NotFound, "ORGANISATION_UNKNOWN", "no %s", code)).Err()
	}
}

// authority stands in for the signer of credentials and the broker's list of revocations.
type authority struct {
	mu      sync.Mutex
	issued  []partners.Grant
	revoked map[string]time.Time
	away    bool
}

const fileContent = "-----BEGIN NATS USER JWT-----"

func (a *authority) Issue(g partners.Grant) ([]byte, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued = append(a.issued, g)
	return []byte(fileContent + g.Credential), "U" + g.Credential, nil
}

func (a *authority) Revoke(_ context.Context, key string, at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away {
		return fmt.Errorf("the broker is away")
	}
	a.revoked[key] = at
	return nil
}

// suite is partners over a database, with a register, an authority and a clock of the test's.
type suite struct {
	partners  partnersv1.PartnersServiceClient
	service   *partners.Service
	authority *authority
	deps      partners.Deps
	db        *sqldb.DB
	clock     *testkit.Clock
	log       *strings.Builder
	key       []byte // seals the secrets of webhooks

	mu       sync.Mutex
	requests int
	events   int64
}

// stores opens a database of either kind.
var stores = map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres}

// each runs a test on both stores.
func each(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newSuite(t, open))
		})
	}
}

// alone runs a test on SQLite, where what it is about has no SQL of its own.
func alone(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	test(t, newSuite(t, testkit.SQLite))
}

func newSuite(t testing.TB, open func(testing.TB, sqldb.Options) *sqldb.DB) *suite {
	t.Helper()
	clock := testkit.NewClock(testkit.Start)
	s := &suite{db: open(t, sqldb.Options{Clock: clock.Now}), clock: clock, authority: &authority{revoked: make(map[string]time.Time)}, log: new(strings.Builder)}
	require.NoError(t, s.db.Migrate(t.Context(), partners.Migrations()))
	s.key = partners.NewKey("test")
	keys, err := partners.ParseKeys(s.key)
	require.NoError(t, err)
	s.deps = partners.Deps{
		DB: s.db, Register: register{}, Clock: clock.Now, Keys: keys, Authority: s.authority, PrivateWebhooks: true,
		Logger: slog.New(slog.NewTextHandler(&locked{out: s.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	s.service = partners.New(s.deps)
	s.partners = partnersv1.NewPartnersServiceClient(testkit.Serve(t, s.service.Register, testkit.WithLogger(s.deps.Logger)))
	return s
}

// locked is a writer that several may write to.
type locked struct {
	mu  sync.Mutex
	out *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// as makes calls in the name of someone, later than those before.
func (s *suite) as(t testing.TB, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

// next returns a request id that was not used before.
func (s *suite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

// second is another approver than testkit's.
func second(commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "second@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_APPROVER}, Commissioners: commissioners}
}

// refused returns the reason of an error of a call.
func refused(t testing.TB, err error) string {
	t.Helper()
	require.Error(t, err)
	f := rpc.FaultFromStatus(status.Convert(err))
	require.NotNil(t, f, "%v", err)
	return f.Reason
}

const (
	rateAdded     = "pcnfunding.core.v1.RateAdded"
	settingChange = "pcnfunding.core.v1.SettingChanged"
	allOfCore     = "pcnfunding.core.v1.*"
)

// add proposes a partner of QWE.
func (s *suite) add(t testing.TB, types ...string) *partnersv1.Partner {
	t.Helper()
	out, err := s.partners.AddPartner(s.as(t, testkit.Approver("QWE")), &partnersv1.AddPartnerRequest{
		RequestId: s.next(), CommissionerCode: "QWE", Name: "Data platform", ContactEmail: "platform@example.test", Subject: "partner@example.test", EventTypes: types,
	})
	require.NoError(t, err)
	return out
}

// confirm confirms a grant of QWE.
func (s *suite) confirm(t testing.TB, grant string) *partnersv1.Grant {
	t.Helper()
	out, err := s.partners.ConfirmGrant(s.as(t, second("QWE")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant})
	require.NoError(t, err)
	return out
}

// partner is one of QWE with a grant in force.
func (s *suite) partner(t testing.TB, types ...string) *partnersv1.Partner {
	t.Helper()
	p := s.add(t, types...)
	s.confirm(t, p.GetGrants()[0].GetGrantId())
	return p
}

// in returns a moment so many days from now.
func (s *suite) in(days int) *timestamppb.Timestamp {
	return timestamppb.New(s.clock.Now().Add(time.Duration(days) * 24 * time.Hour))
}

// issue issues a credential of QWE for 90 days.
func (s *suite) issue(t testing.TB, p *partnersv1.Partner) *partnersv1.IssuedCredential {
	t.Helper()
	out, err := s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
		RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90),
	})
	require.NoError(t, err)
	return out
}

// hook adds a webhook of QWE.
func (s *suite) hook(t testing.TB, p *partnersv1.Partner, url string, types ...string) *partnersv1.IssuedWebhook {
	t.Helper()
	out, err := s.partners.AddWebhook(s.as(t, testkit.Approver("QWE")), &partnersv1.AddWebhookRequest{
		RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Url: url, EventTypes: types,
	})
	require.NoError(t, err)
	return out
}

// event is an event of core as the broker delivers it.
func event(t testing.TB, id, aggregate string, sequence int64, commissioner string, message proto.Message) inbox.Delivery {
	t.Helper()
	name := string(message.ProtoReflect().Descriptor().FullName())
	payload, err := proto.Marshal(message)
	require.NoError(t, err)
	return inbox.Delivery{Subject: name + "." + commissioner, Payload: payload, Header: map[string]string{
		outbox.HeaderSpecVersion: "1.0", outbox.HeaderID: id, outbox.HeaderSource: "/pcnfunding/core", outbox.HeaderType: name, outbox.HeaderSubject: aggregate,
		outbox.HeaderTime: testkit.Start.Format(time.RFC3339Nano), outbox.HeaderSequence: strconv.FormatInt(sequence, 10), outbox.HeaderContentType: "application/protobuf",
	}}
}

// tell has the service take in a new rate, as an aggregate's event of a number, and returns the event's id.
func (s *suite) tell(t testing.TB, commissioner, aggregate string, sequence int64) string {
	t.Helper()
	s.events++
	s.clock.Advance(time.Millisecond)
	id := fmt.Sprintf("event-%d", s.events)
	message := &corev1.RateAdded{Rate: &corev1.Rate{RateId: id, CommissionerCode: commissioner, PaymentCode: "CORE_PCN"}}
	require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{event(t, id, aggregate, sequence, commissioner, message)}))
	return id
}

// deliveries returns the log of a webhook, the first event first.
func (s *suite) deliveries(t testing.TB, webhook string) []*partnersv1.Delivery {
	t.Helper()
	out, err := s.partners.ListDeliveries(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListDeliveriesRequest{WebhookId: webhook})
	require.NoError(t, err)
	list := out.GetDeliveries()
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// state returns a webhook as it stands.
func (s *suite) state(t testing.TB, webhook string) *partnersv1.Webhook {
	t.Helper()
	out, err := s.partners.ListWebhooks(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListWebhooksRequest{})
	require.NoError(t, err)
	for _, w := range out.GetWebhooks() {
		if w.GetWebhookId() == webhook {
			return w
		}
	}
	return nil
}

// everything returns all that the database, the log, events and audit entries hold, as text.
func (s *suite) everything(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	for table, columns := range map[string]string{
		"outbox": "payload, type", "audit": "summary, resource", "idempotency": "response, request_id", "webhooks": "secret, previous_secret", "credentials": "public_key, streams",
	} {
		require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
			rows, err := q.Query(t.Context(), "SELECT "+columns+" FROM "+table)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var a, b []byte
				if err := rows.Scan(&a, &b); err != nil {
					return err
				}
				fmt.Fprintf(&out, "%s %s %s\n", table, a, b)
			}
			return rows.Err()
		}), table)
	}
	return out.String() + s.log.String()
}
