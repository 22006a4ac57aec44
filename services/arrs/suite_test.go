package arrs_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
)

// register stands in for the register service: it gives one picture for every day, cut for the body that asks.
type register struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never. The system owes what the CCG
	// owed before.
	icbFrom string
	// asked holds the requests, in order.
	asked []*registerv1.GetSnapshotRequest
	// before, unless it is nil, is called before a request is answered.
	before func()
}

func (r *register) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns = pcns
}

func (r *register) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	if r.before != nil {
		r.before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req)
	out := &registerv1.Snapshot{
		CommissionerCode: req.GetCommissionerCode(), CommissionerName: "Body " + req.GetCommissionerCode(), SnapshotId: strconv.Itoa(len(r.asked)),
		MembershipDate: req.GetMembershipDate(), PopulationReferenceDate: req.GetPopulationReferenceDate(),
	}
	for _, p := range r.pcns {
		pcn := proto.CloneOf(p)
		if r.icbFrom != "" && req.GetMembershipDate() >= r.icbFrom {
			pcn.PayerCode = pcn.GetSystemCode()
		}
		if pcn.GetPayerCode() == req.GetCommissionerCode() || pcn.GetSystemCode() == req.GetCommissionerCode() {
			pcn.Owed = true
			out.Pcns = append(out.Pcns, pcn)
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", req.GetCommissionerCode())).Err()
	}
	return out, nil
}

// snapshotPCN makes a PCN of one practice, whose weighted list is half a patient longer than its registered one.
func snapshotPCN(code, payer, system string, registered int64) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
		Practices: []*registerv1.SnapshotPractice{{
			PracticeCode: "A" + code, Name: "Practice A" + code, PayerCode: payer, SystemCode: system, Participating: true,
			Populations: []*registerv1.SnapshotPopulation{
				{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: strconv.FormatInt(registered, 10), LoadId: "list"},
				{Kind: typev1.PopulationKind_POPULATION_KIND_WEIGHTED, Value: strconv.FormatInt(registered, 10) + ".5", LoadId: "weights"},
			},
		}},
	}
}

// suite is arrs over a database, with a register and a clock of the test's.
type suite struct {
	arrs     arrsv1.ArrsServiceClient
	service  *arrs.Service
	register *register
	db       *sqldb.DB
	clock    *testkit.Clock

	mu       sync.Mutex
	requests int
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
			clock := testkit.NewClock(testkit.Start)
			test(t, newSuite(t, open(t, sqldb.Options{Clock: clock.Now}), clock))
		})
	}
}

func newSuite(t *testing.T, db *sqldb.DB, clock *testkit.Clock) *suite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
	s := &suite{register: new(register), db: db, clock: clock}
	service, err := arrs.New(t.Context(), arrs.Deps{
		DB: db, Register: s.register, Logger: testkit.Logger(t), PersonKey: []byte("a key of tests, thirty-two bytes"),
	})
	require.NoError(t, err)
	s.service = service
	s.arrs = arrsv1.NewArrsServiceClient(testkit.Serve(t, service.Register))
	return s
}

// as makes calls in the name of someone, later than those before.
func (s *suite) as(t *testing.T, p auth.Principal) context.Context {
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

func reason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// published is an event as the outbox holds it.
type published struct {
	aggregate, subject string
	event              proto.Message
}

// published returns the events of the outbox, in order.
func (s *suite) published(t *testing.T) []published { return publishedIn(t, s.db) }

func publishedIn(t *testing.T, db *sqldb.DB) (out []published) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT aggregate, type, payload, subject FROM outbox ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p published
			var name string
			var payload []byte
			if err := rows.Scan(&p.aggregate, &name, &payload, &p.subject); err != nil {
				return err
			}
			kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
			if err != nil {
				return err
			}
			p.event = kind.New().Interface()
			if err := proto.Unmarshal(payload, p.event); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	}))
	return out
}

// count returns how many rows a table holds, or those of a condition.
func (s *suite) count(t *testing.T, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+from, args...).Scan(&n)
	}))
	return n
}

// exec changes the database past the service.
func (s *suite) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), statement, args...)
		return err
	}))
}

// fix fixes a year of a commissioner.
func (s *suite) fix(t *testing.T, commissioner, year string) *arrsv1.FixYearResponse {
	t.Helper()
	out, err := s.arrs.FixYear(s.as(t, testkit.Preparer("*")), &arrsv1.FixYearRequest{RequestId: s.next(), CommissionerCode: commissioner, FinancialYear: year})
	require.NoError(t, err)
	return out
}

// pot returns a PCN's position of a pot, as its commissioner's auditor sees it.
func (s *suite) pot(t *testing.T, pcn, year string, pot arrsv1.Pot) *arrsv1.PotPosition {
	t.Helper()
	out, err := s.arrs.GetYear(s.as(t, testkit.Auditor("*")), &arrsv1.GetYearRequest{PcnCode: pcn, FinancialYear: year})
	require.NoError(t, err)
	for _, position := range out.GetPots() {
		if position.GetPot() == pot {
			return position
		}
	}
	return nil
}
