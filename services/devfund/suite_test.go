package devfund_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
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
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund"
)

// register stands in for the register service: it gives one picture for every day, cut for the body that asks, and keeps every picture
// that it gave.
type register struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never. The system owes what the CCG
	// owed before.
	icbFrom string
	// asked holds the requests, in order, and given the pictures by their identifiers.
	asked []*registerv1.GetSnapshotRequest
	given map[string]*registerv1.Snapshot
}

func (r *register) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns = pcns
}

func (r *register) GetSnapshot(ctx context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	if by, _ := auth.From(ctx); !by.HoldsCommissioner(req.GetCommissionerCode()) {
		return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no such thing")).Err()
	}
	if req.GetSnapshotId() == "" && req.GetMembershipDate() < "2019-07-01" {
		return nil, rpc.Status(fault.New(fault.Invalid, "VALUE_NOT_ALLOWED", "there are pictures of days from 2019-07-01")).Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req)
	if id := req.GetSnapshotId(); id != "" {
		held, found := r.given[id]
		if !found || held.GetCommissionerCode() != req.GetCommissionerCode() {
			return nil, rpc.Status(fault.New(fault.NotFound, "SNAPSHOT_NOT_FOUND", "there is no such snapshot")).Err()
		}
		return proto.CloneOf(held), nil
	}
	out := &registerv1.Snapshot{
		CommissionerCode: req.GetCommissionerCode(), CommissionerName: "Body " + req.GetCommissionerCode(),
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
			for _, code := range []string{pcn.GetPayerCode(), req.GetCommissionerCode()} {
				if !slices.Contains(out.GetDebtorCodes(), code) {
					out.DebtorCodes = append(out.DebtorCodes, code)
				}
			}
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", req.GetCommissionerCode())).Err()
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	out.SnapshotId = hex.EncodeToString(sum[:])
	if r.given == nil {
		r.given = make(map[string]*registerv1.Snapshot)
	}
	r.given[out.GetSnapshotId()] = proto.CloneOf(out)
	return out, nil
}

// ListCommissioners lists the payers of a day to everybody.
func (r *register) ListCommissioners(_ context.Context, req *registerv1.ListCommissionersRequest, _ ...grpc.CallOption) (*registerv1.ListCommissionersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := new(registerv1.ListCommissionersResponse)
	for _, p := range r.pcns {
		code := p.GetPayerCode()
		if r.icbFrom != "" && req.GetOnDate() >= r.icbFrom {
			code = p.GetSystemCode()
		}
		out.Commissioners = append(out.Commissioners, &registerv1.Commissioner{CommissionerCode: code, SystemCode: p.GetSystemCode()})
	}
	return out, nil
}

// snapshotPCN makes a PCN of one practice, whose weighted list is half a patient longer than its registered one and whose adjusted one is a
// tenth longer.
func snapshotPCN(code, payer, system string, registered int64) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
		Practices: []*registerv1.SnapshotPractice{{
			PracticeCode: "A" + code, Name: "Practice A" + code, PayerCode: payer, SystemCode: system, Participating: true,
			Populations: []*registerv1.SnapshotPopulation{
				{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: strconv.FormatInt(registered, 10), LoadId: "list"},
				{Kind: typev1.PopulationKind_POPULATION_KIND_WEIGHTED, Value: strconv.FormatInt(registered, 10) + ".5", LoadId: "weights"},
				{Kind: typev1.PopulationKind_POPULATION_KIND_ADJUSTED, Value: strconv.FormatInt(registered*11/10, 10), LoadId: "adjusted"},
			},
		}},
	}
}

// suite is devfund over a database, with a register and a clock of the test's.
type suite struct {
	devfund  devfundv1.DevfundServiceClient
	service  *devfund.Service
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
	require.NoError(t, db.Migrate(t.Context(), devfund.Migrations()))
	s := &suite{register: new(register), db: db, clock: clock}
	service, err := devfund.New(t.Context(), devfund.Deps{DB: db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.service = service
	s.devfund = devfundv1.NewDevfundServiceClient(testkit.Serve(t, service.Register))
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

// holder is a person with one role for commissioners.
func holder(subject string, role optionsv1.Role, commissioners ...string) auth.Principal {
	return auth.Principal{Subject: subject, Roles: []optionsv1.Role{role}, Commissioners: commissioners}
}

// director is a clinical director of PCNs.
func director(subject string, pcns ...string) auth.Principal {
	return auth.Principal{Subject: subject, Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: pcns}
}

// faultOf is the fault of a call or of the service itself, or nil.
func faultOf(err error) *fault.Fault {
	if f, is := fault.As(err); is {
		return f
	}
	return rpc.FaultFromStatus(status.Convert(err))
}

func reason(err error) string {
	f := faultOf(err)
	if f == nil {
		return ""
	}
	return f.Reason
}

// refused requires a refusal by its reason, with the figures in it; names and values alternate.
func refused(t *testing.T, err error, why string, figures ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, why, reason(err), "%v", err)
	for i := 0; i+1 < len(figures); i += 2 {
		require.Equal(t, figures[i+1], faultOf(err).Meta[figures[i]], "%s of %v", figures[i], err)
	}
}

// published is an event as the outbox holds it.
type published struct {
	aggregate, subject string
	event              proto.Message
}

// published returns the events of the outbox, in order.
func (s *suite) published(t *testing.T) (out []published) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
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

// give records an allocation that a commissioner was given, confirmed as it is, and returns it.
func (s *suite) give(t *testing.T, req *devfundv1.RecordAllocationRequest) *devfundv1.Allocation {
	t.Helper()
	req.RequestId, req.Source, req.Reason = s.next(), "allocation letter", "given"
	if req.GetBasis() == 0 {
		req.Basis = devfundv1.AllocationBasis_RELEASED
	}
	out, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), req)
	require.NoError(t, err)
	return out
}

// system records what a system was given of PCN_DEV in a year, accounted for by a commissioner.
func (s *suite) system(t *testing.T, commissioner, year, code string, pence int64) *devfundv1.Allocation {
	t.Helper()
	return s.give(t, &devfundv1.RecordAllocationRequest{
		CommissionerCode: commissioner, FinancialYear: year, FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: code, HolderName: "System " + code,
		ParentAllocationId: "PCN_DEV-" + year, AmountPence: &pence,
	})
}

// allocation returns an allocation as it stands.
func (s *suite) allocation(t *testing.T, id string) *devfundv1.Allocation {
	t.Helper()
	out, err := s.devfund.GetAllocation(s.as(t, testkit.Auditor("*")), &devfundv1.GetAllocationRequest{AllocationId: id})
	require.NoError(t, err)
	return out
}

// accounts brings a register with the PCNs of commissioner 36J of system QWE: U1, U2 and U3.
func accounts(s *suite) {
	s.register.set(snapshotPCN("U1", "36J", "QWE", 40_000), snapshotPCN("U2", "36J", "QWE", 30_000), snapshotPCN("U3", "36J", "QWE", 50_001))
}
