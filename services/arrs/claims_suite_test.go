package arrs_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// claimSuite is arrs over a database, with a clock of the test's and with all that it tells the world outside kept.
type claimSuite struct {
	arrs    arrsv1.ArrsServiceClient
	service *arrs.Service
	db      *sqldb.DB
	// register gives the pictures of months that are closed.
	register *closeRegister
	clock    *testkit.Clock
	logged   *lockedBuffer
	spans    *tracetest.InMemoryExporter
	metrics  *sdkmetric.ManualReader

	mu       sync.Mutex
	requests int
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// eachClaims runs a test on both stores.
func eachClaims(t *testing.T, test func(t *testing.T, s *claimSuite)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(testkit.Start)
			db := open(t, sqldb.Options{Clock: clock.Now})
			require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
			s := &claimSuite{db: db, register: new(closeRegister), clock: clock, logged: new(lockedBuffer), spans: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader()}
			log := slog.New(slog.NewTextHandler(s.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			service, err := arrs.New(t.Context(), arrs.Deps{DB: db, Register: s.register, Logger: log, PersonKey: bytes.Repeat([]byte("k"), 32)})
			require.NoError(t, err)
			s.service = service
			tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
			meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.metrics))
			s.arrs = arrsv1.NewArrsServiceClient(testkit.Serve(t, func(srv *grpc.Server) { service.Register(srv) }, testkit.WithLogger(log),
				testkit.WithServer(func(o *rpc.ServerOptions) { o.Tracer, o.Meter = tracer, meter })))
			test(t, s)
		})
	}
}

func network(name string, pcns ...string) auth.Principal {
	return auth.Principal{Subject: name, Roles: []optionsv1.Role{optionsv1.Role_ROLE_PCN_MANAGER}, PCNs: pcns}
}

// as makes calls in a person's name, later than those before.
func (s *claimSuite) as(t testing.TB, p auth.Principal) context.Context {
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

func (s *claimSuite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

func claimReason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// fields writes what a refusal says of fields, one in each line.
func fields(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	var out []string
	for _, v := range f.Violations {
		out = append(out, v.Field+" "+v.Reason+" "+v.Description)
	}
	return strings.Join(out, "\n")
}

// fix states what the pots of a PCN come to in a year.
func (s *claimSuite) fix(t testing.TB, pcn, commissioner string, year period.FinancialYear, version int, pots map[rules.Pot]money.Pence) {
	t.Helper()
	row := store.YearRow{
		PCNCode: pcn, PCNName: "Network " + pcn, CommissionerCode: commissioner, CommissionerName: "Body " + commissioner, Year: year, Version: version,
		Population: rules.Population{Value: big.NewRat(40_000, 1)}, RegisteredPatients: 40_000, Region: rules.National, SnapshotID: "s", FixedBy: "fixer",
	}
	var entitlements []rules.Entitlement
	for pot, amount := range pots {
		entitlements = append(entitlements, rules.Entitlement{Year: year, Pot: pot, From: year.First(), To: year.Last(), Amount: amount, RateID: "rate"})
	}
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.InsertYear(t.Context(), tx, row, entitlements) }))
}

// decided records what a commissioner decided.
func (s *claimSuite) decided(t testing.TB, d store.DecisionRow) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		d.ID, d.CommissionerCode, d.DecidedBy, d.Reason = tx.NewID(), "15N", "decider", "agreed"
		return store.InsertDecision(t.Context(), tx, d)
	}))
}

// set records a setting of a commissioner.
func (s *claimSuite) set(t testing.TB, name, value string) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		return store.InsertSetting(t.Context(), tx, store.SettingRow{
			Setting: rules.Setting{ID: tx.NewID(), CommissionerCode: "15N", Name: name, Value: value, From: period.FinancialYear(2019).First()}, Reason: "x", RecordedBy: "setter",
		})
	}))
}

// engage records an engagement of a PCN under 15N: a care coordinator, whose role asks for nothing, unless change says otherwise.
func (s *claimSuite) engage(t testing.TB, pcn, label string, change ...func(*arrsv1.RecordEngagementRequest)) *arrsv1.Engagement {
	t.Helper()
	req := &arrsv1.RecordEngagementRequest{
		RequestId: s.next(), PcnCode: pcn, CommissionerCode: "15N", Label: label,
		Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01"},
	}
	for _, c := range change {
		c(req)
	}
	out, err := s.arrs.RecordEngagement(s.as(t, network("manager", pcn)), req)
	require.NoError(t, err)
	return out
}

// entry makes a monthly claim of lines.
func entry(pcn, month string, lines ...*arrsv1.LineEntry) *arrsv1.ClaimEntry {
	return &arrsv1.ClaimEntry{PcnCode: pcn, CommissionerCode: "15N", Month: month, Lines: lines, Declared: true}
}

// costing makes a line whose cost is all salary.
func costing(label string, pence int64) *arrsv1.LineEntry {
	return &arrsv1.LineEntry{Label: label, SalaryPence: pence}
}

func (s *claimSuite) submit(t testing.TB, in *arrsv1.ClaimEntry) *arrsv1.Claim {
	t.Helper()
	out, err := s.arrs.SubmitClaim(s.as(t, network("manager", in.GetPcnCode())), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in})
	require.NoError(t, err, fields(err))
	s.balanced(t)
	s.shows(t, out)
	return out
}

// shows holds that a call answered what the claim is read as afterwards.
func (s *claimSuite) shows(t testing.TB, answered *arrsv1.Claim) {
	t.Helper()
	read, err := s.arrs.GetClaim(testkit.As(t.Context(), network("manager", answered.GetPcnCode())), &arrsv1.GetClaimRequest{ClaimId: answered.GetClaimId()})
	require.NoError(t, err)
	require.True(t, proto.Equal(read, answered), "read %v\nanswered %v", read, answered)
}

func (s *claimSuite) amend(t testing.TB, claim *arrsv1.Claim, in *arrsv1.ClaimEntry) (*arrsv1.Claim, error) {
	t.Helper()
	out, err := s.arrs.AmendClaim(s.as(t, network("manager", claim.GetPcnCode())), &arrsv1.AmendClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Claim: in,
	})
	s.balanced(t)
	if err == nil {
		s.shows(t, out)
	}
	return out, err
}

func (s *claimSuite) withdraw(t testing.TB, claim *arrsv1.Claim) (*arrsv1.Claim, error) {
	t.Helper()
	out, err := s.arrs.WithdrawClaim(s.as(t, network("manager", claim.GetPcnCode())), &arrsv1.WithdrawClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Reason: "entered twice",
	})
	s.balanced(t)
	return out, err
}

func (s *claimSuite) query(t testing.TB, claim *arrsv1.Claim) (*arrsv1.Claim, error) {
	t.Helper()
	return s.arrs.QueryClaim(s.as(t, testkit.Preparer("15N")), &arrsv1.QueryClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Query: "is this the whole month?",
	})
}

func (s *claimSuite) decide(t testing.TB, claim *arrsv1.Claim, approve bool, why string, lines ...*arrsv1.LineDecision) (*arrsv1.Claim, error) {
	t.Helper()
	out, err := s.arrs.DecideClaim(s.as(t, testkit.Approver("15N")), &arrsv1.DecideClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Approve: approve, Reason: why, Lines: lines,
	})
	s.balanced(t)
	return out, err
}

func (s *claimSuite) approved(t testing.TB, in *arrsv1.ClaimEntry) *arrsv1.Claim {
	t.Helper()
	out, err := s.decide(t, s.submit(t, in), true, "")
	require.NoError(t, err)
	return out
}

// importFile sends a file of claims in pieces.
func (s *claimSuite) importFile(t testing.TB, by auth.Principal, header *arrsv1.ClaimsHeader, content string) (*arrsv1.ImportClaimsResponse, error) {
	t.Helper()
	header = proto.CloneOf(header)
	if header.GetCommissionerCode() == "" {
		header.CommissionerCode = "15N"
	}
	stream, err := s.arrs.ImportClaims(s.as(t, by))
	require.NoError(t, err)
	// A refusal while the file is sent shows when the answer is read.
	_ = stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Header{Header: header}})
	for chunk := range slices.Chunk([]byte(content), 50) {
		_ = stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Chunk{Chunk: chunk}})
	}
	out, err := stream.CloseAndRecv()
	s.balanced(t)
	return out, err
}

// number reads a query of one number.
func (s *claimSuite) number(t testing.TB, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		return q.QueryRow(context.Background(), query, args...).Scan(&n)
	}))
	return n
}

// balanced holds that the running totals of the pots are those of the lines beneath them, that nothing is approved twice or beyond what
// is payable, and that no pot is above what it comes to.
func (s *claimSuite) balanced(t testing.TB) {
	t.Helper()
	const lines = `SELECT COALESCE(SUM(l.approved_pence), 0) FROM claim_lines l JOIN claims c ON c.claim_id = l.claim_id
		WHERE l.live AND l.pcn_code = p.pcn_code AND l.pot = p.pot AND c.financial_year = p.financial_year`
	if s.number(t, `SELECT COUNT(*) FROM claims WHERE erased_at > 0`) > 0 {
		return // of old claims the totals are all that is left
	}
	require.Zero(t, s.number(t, `SELECT COUNT(*) FROM pots p WHERE p.approved_pence <> (`+lines+`)`), "approved totals of pots are not those of their lines")
	var sum int64
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		for _, state := range []store.ClaimState{store.Submitted, store.Queried} {
			claims, err := store.Claims(context.Background(), q, store.ClaimFilter{State: state})
			if err != nil {
				return err
			}
			for _, claim := range claims {
				for _, total := range claim.Totals {
					sum += max(total.GetPayablePence()-total.GetReplacedPence(), 0)
				}
			}
		}
		return nil
	}))
	require.Equal(t, sum, s.number(t, `SELECT COALESCE(SUM(submitted_pence), 0) FROM pots`), "what pots set aside is not what waiting claims do")
	require.Zero(t, s.number(t, `SELECT COUNT(*) FROM pots p WHERE p.submitted_pence + p.approved_pence > (
		SELECT MAX(e.amount_pence) FROM entitlements e WHERE e.pcn_code = p.pcn_code AND e.financial_year = p.financial_year AND e.pot = p.pot) + p.awarded_pence`), "a pot is overspent")
	require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claim_lines l JOIN claims c ON c.claim_id = l.claim_id WHERE l.live AND l.revision <> c.revision`), "an old revision is live")
	require.Zero(t, s.number(t, `SELECT COUNT(*) FROM (SELECT 1 AS twice FROM claim_lines WHERE live AND kind <> 2 AND payable_pence > 0
		GROUP BY engagement_id, month HAVING COUNT(*) > 1) AS repeated`), "an engagement and month is paid twice")
}
