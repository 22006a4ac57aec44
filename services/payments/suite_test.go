package payments_test

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

// checks is how many random lives of the ledger each store goes through; RAPID_CHECKS asks for more.
const checks = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", cmp.Or(os.Getenv("RAPID_CHECKS"), checks)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	open      = 1 // states of items
	payable   = 2
	sent      = 3
	settled   = 4
	rejected  = 5
	carried   = 6
	cancelled = 7

	expense     = 1 // stages
	accrued     = 2
	toPay       = 3
	underway    = 4
	paid        = 5
	recovered   = 6
	transferred = 7

	variation  = paymentsv1.Format_FORMAT_PCSE_VARIATION
	remittance = paymentsv1.Format_FORMAT_REMITTANCE
)

// suite is payments over a database, with a clock of the test's. Its calls move the clock on, so that each is later than the last.
type suite struct {
	payments paymentsv1.PaymentsServiceClient
	service  *payments.Service
	db       *sqldb.DB
	clock    *testkit.Clock
	metrics  *metric.ManualReader
	// change, unless it is nil, changes the context that a handler gets.
	change atomic.Pointer[func(context.Context) context.Context]
	// heirs is what the register holds.
	heirs heirs
	// accounts, unless it is nil, answers for the account resolver.
	accounts atomic.Pointer[func(tokens []string) (map[string]export.Account, error)]
	// blunt makes calls that found the database busy fail for good, which the client would else make again by itself.
	blunt atomic.Bool

	mu       sync.Mutex
	requests int
	events   map[string]int
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
			test(t, openSuite(t, open))
		})
	}
}

func openSuite(t testing.TB, open func(testing.TB, sqldb.Options) *sqldb.DB) *suite {
	t.Helper()
	clock := testkit.NewClock(testkit.Start)
	db := open(t, sqldb.Options{Clock: clock.Now})
	require.NoError(t, db.Migrate(t.Context(), payments.Migrations()))
	return newSuite(t, db, clock)
}

// newSuite serves payments over a migrated database.
func newSuite(t testing.TB, db *sqldb.DB, clock *testkit.Clock) *suite {
	t.Helper()
	s := &suite{db: db, clock: clock, metrics: metric.NewManualReader(), events: make(map[string]int)}
	meter := metric.NewMeterProvider(metric.WithReader(s.metrics)).Meter("test")
	// Thousands of calls are made, most of them to be refused: only what is a fault of ours is logged.
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	s.service = payments.New(payments.Deps{DB: db, Logger: log, Meter: meter, Accounts: s, Register: &s.heirs})
	s.payments = paymentsv1.NewPaymentsServiceClient(testkit.Serve(t, s.register, testkit.WithLogger(log)))
	return s
}

// register adds the service with handlers that see the context of within.
func (s *suite) register(server *grpc.Server) {
	desc := paymentsv1.PaymentsService_ServiceDesc
	desc.Methods, desc.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i := range desc.Methods {
		next := desc.Methods[i].Handler
		desc.Methods[i].Handler = func(srv any, ctx context.Context, dec func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			return next(srv, ctx, dec, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
				return chain(ctx, req, info, func(ctx context.Context, req any) (any, error) {
					answer, err := handle(s.within(ctx), req)
					return answer, s.told(err)
				})
			})
		}
	}
	for i := range desc.Streams {
		next := desc.Streams[i].Handler
		desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			return s.told(next(srv, streamWithin{ServerStream: stream, ctx: s.within(stream.Context())}))
		}
	}
	server.RegisterService(&desc, s.service)
}

// heirs stands in for the register service: it holds who takes over from whom.
type heirs struct {
	registerv1.RegisterServiceClient

	mu    sync.Mutex
	known map[string][]*registerv1.Succession
	err   error // what it answers instead
}

// record has the register hold a succession, in place of what it held between the two for the same places.
func (h *heirs) record(from, to, day string, places ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = make(map[string][]*registerv1.Succession)
	}
	h.known[from] = append(slices.DeleteFunc(h.known[from], func(s *registerv1.Succession) bool {
		return s.GetSuccessorCode() == to && slices.Equal(s.GetLocationCodes(), places)
	}), &registerv1.Succession{SuccessorCode: to, SuccessorName: "Heir " + to, EffectiveDate: day, LocationCodes: places, LoadId: "load"})
}

// fail has the register answer with an error; nil ends that.
func (h *heirs) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// ListSuccessions implements registerv1.RegisterServiceClient.
func (h *heirs) ListSuccessions(_ context.Context, req *registerv1.ListSuccessionsRequest, _ ...grpc.CallOption) (*registerv1.ListSuccessionsResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &registerv1.ListSuccessionsResponse{Successions: slices.Clone(h.known[req.GetCommissionerCode()])}, h.err
}

// Resolve implements payments.AccountResolver.
func (s *suite) Resolve(_ context.Context, tokens []string) (map[string]export.Account, error) {
	if accounts := s.accounts.Load(); accounts != nil {
		return (*accounts)(tokens)
	}
	return nil, nil
}

func (s *suite) within(ctx context.Context) context.Context {
	if change := s.change.Load(); change != nil {
		return (*change)(ctx)
	}
	return ctx
}

func (s *suite) told(err error) error {
	if f, ok := fault.As(err); ok && f.Kind == fault.Busy && s.blunt.Load() {
		return context.Canceled
	}
	return err
}

// streamWithin is a stream with another context.
type streamWithin struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // that of the stream
}

func (s streamWithin) Context() context.Context { return s.ctx }

// person is one who holds every role of finance, so that what they may not do is refused for who they are. By custom of these tests
// maker prepares runs, ann and bob approve them, and carl only small ones.
func person(name string) auth.Principal {
	return auth.Principal{
		Subject: name, Commissioners: []string{auth.England},
		Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER},
	}
}

// as makes calls in a person's name, later than those before.
func (s *suite) as(ctx context.Context, name string) context.Context {
	s.clock.Advance(time.Second)
	return testkit.As(ctx, person(name))
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

// pay makes a line for a payee; an empty one means that none is recorded.
func pay(payee string, pence int64) *typev1.PaymentLine {
	line := &typev1.PaymentLine{
		PaymentCode: "CORE_PCN", PcnCode: "U" + payee, PcnName: "Network U" + payee, LocationCode: "L1", FundingSource: "CORE",
		Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: pence, Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
	}
	if payee != "" {
		line.Payee = &typev1.Payee{Code: payee, Name: "Payee " + payee}
	}
	return line
}

// closed makes a schedule of core out of lines, which it numbers and puts in the month unless they name one.
func closed(t require.TestingT, code, month string, sequence int32, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	out := &typev1.PaymentSchedule{
		ScheduleId: fmt.Sprintf("core-%s-%s-%d", code, month, sequence), Fund: typev1.Fund_FUND_CORE, CommissionerCode: code,
		CommissionerName: "Body " + code, Month: month, Sequence: sequence, SnapshotId: "s", ClosedBy: "closer",
	}
	for i, line := range lines {
		line.LineId = fmt.Sprintf("%s/%03d", out.GetScheduleId(), i+1)
		if line.GetForMonth() == "" {
			line.ForMonth = month
		}
	}
	out.Lines = lines
	announce(t, out)
	return out
}

// announce writes what the header of a schedule says of its lines.
func announce(t require.TestingT, s *typev1.PaymentSchedule) {
	pay, reconcile, err := schedule.Totals(s.GetLines())
	require.NoError(t, err)
	s.LineCount, s.PayTotalPence, s.ReconcileTotalPence = int32(len(s.GetLines())), int64(pay), int64(reconcile)
	s.LinesSha256, err = schedule.Hash(s.GetLines())
	require.NoError(t, err)
}

// parts makes the events of a schedule, with lines of so many bytes at most in each.
func parts(s *typev1.PaymentSchedule, maxBytes int) (out []*corev1.ScheduleClosed) {
	split := schedule.Split(s.GetLines(), maxBytes)
	for i, lines := range split {
		part := proto.CloneOf(s)
		part.Lines = lines
		out = append(out, &corev1.ScheduleClosed{Schedule: part, Part: int32(i + 1), Parts: int32(len(split))})
	}
	return out
}

// delivery makes the next event of core for a commissioner.
func (s *suite) delivery(t require.TestingT, code string, event proto.Message) inbox.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, err := proto.Marshal(event)
	require.NoError(t, err)
	s.events[code]++
	name := string(event.ProtoReflect().Descriptor().FullName())
	return inbox.Delivery{Subject: name + "." + code, Payload: payload, Header: map[string]string{
		"ce-specversion": "1.0", "ce-id": code + "-" + strconv.Itoa(s.events[code]), "ce-source": "/pcnfunding/core", "ce-type": name,
		"ce-time": "2026-01-15T09:00:00Z", "ce-subject": "schedules/" + code, "ce-sequence": strconv.Itoa(s.events[code]),
		"content-type": "application/protobuf",
	}}
}

// closes delivers a schedule whole.
func (s *suite) closes(t testing.TB, code, month string, sequence int32, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	t.Helper()
	out := closed(t, code, month, sequence, lines...)
	for _, part := range parts(out, schedule.MaxEventBytes) {
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.delivery(t, code, part)}))
	}
	return out
}

func (s *suite) run(t testing.TB, id string) *paymentsv1.Run {
	t.Helper()
	run, err := s.payments.GetRun(s.as(t.Context(), "auditor"), &paymentsv1.GetRunRequest{RunId: id})
	require.NoError(t, err)
	return run
}

// submit, approve and export act on a run as it stands.
func (s *suite) submit(t testing.TB, by, id string) (*paymentsv1.Run, error) {
	t.Helper()
	return s.payments.SubmitRun(s.as(t.Context(), by), &paymentsv1.SubmitRunRequest{RequestId: s.next(), RunId: id, Etag: s.run(t, id).GetEtag()})
}

func (s *suite) approve(t testing.TB, by, id string) (*paymentsv1.Run, error) {
	t.Helper()
	return s.payments.ApproveRun(s.as(t.Context(), by), &paymentsv1.ApproveRunRequest{RequestId: s.next(), RunId: id, Etag: s.run(t, id).GetEtag()})
}

func (s *suite) export(t testing.TB, id string, format paymentsv1.Format) (*paymentsv1.Export, error) {
	t.Helper()
	return s.payments.ExportRun(s.as(t.Context(), "maker"), &paymentsv1.ExportRunRequest{RequestId: s.next(), RunId: id, Format: format})
}

// pays takes a run from assembled to exported.
func (s *suite) pays(t testing.TB, id string) *paymentsv1.Export {
	t.Helper()
	_, err := s.submit(t, "maker", id)
	require.NoError(t, err)
	_, err = s.approve(t, "ann", id)
	require.NoError(t, err)
	out, err := s.export(t, id, variation)
	require.NoError(t, err)
	return out
}

// confirmations writes a file; rows are reference, status, amount.
func confirmations(rows ...[3]string) string {
	var out strings.Builder
	out.WriteString("reference,status,payment_date,amount,reject_reason\n")
	for _, row := range rows {
		fmt.Fprintf(&out, "%s,%s,2026-01-15,%s,%s\n", row[0], row[1], row[2], map[bool]string{true: "account closed"}[row[1] != "PAID"])
	}
	return out.String()
}

// confirm imports a file of confirmations.
func (s *suite) confirm(ctx context.Context, requestID, code, file string) (*paymentsv1.ImportResponse, error) {
	return s.confirmAs(s.as(ctx, "maker"), requestID, code, file)
}

// confirmAs does so for whom the context names.
func (s *suite) confirmAs(ctx context.Context, requestID, code, file string) (*paymentsv1.ImportResponse, error) {
	stream, err := s.payments.Import(ctx)
	if err != nil {
		return nil, err
	}
	// A refusal while the file is sent shows when the answer is read.
	_ = stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Header{Header: &paymentsv1.ImportHeader{
		RequestId: requestID, CommissionerCode: code, Kind: paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, FileName: "confirmations.csv",
	}}})
	_ = stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Chunk{Chunk: []byte(file)}})
	return stream.CloseAndRecv()
}

func (s *suite) payment(t testing.TB, id string) *paymentsv1.Payment {
	t.Helper()
	out, err := s.payments.GetPayment(s.as(t.Context(), "auditor"), &paymentsv1.GetPaymentRequest{PaymentId: id})
	require.NoError(t, err)
	return out
}

func (s *suite) reissue(t testing.TB, id string) (*paymentsv1.ReissuePaymentResponse, error) {
	t.Helper()
	return s.payments.ReissuePayment(s.as(t.Context(), "maker"), &paymentsv1.ReissuePaymentRequest{
		RequestId: s.next(), PaymentId: id, Etag: s.payment(t, id).GetEtag(), Reason: "new account",
	})
}

// rows reads a query as text, a row a line.
func (s *suite) rows(t require.TestingT, query string, args ...any) (out []string) {
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		rows, err := q.Query(context.Background(), query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%q", fmt.Sprintln(values...)))
		}
		return rows.Err()
	}))
	return out
}

// texts reads a query of one column.
func (s *suite) texts(t require.TestingT, query string) []string {
	return collect(t, s.db, func(rows *sql.Rows, text *string) error { return rows.Scan(text) }, query)
}

// count returns how many rows a table holds, or those of a condition.
func (s *suite) count(t require.TestingT, from string, args ...any) (n int) {
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		return q.QueryRow(context.Background(), `SELECT COUNT(*) FROM `+from, args...).Scan(&n)
	}))
	return n
}

// tables are those of payments itself.
var tables = []string{
	"schedules", "schedule_parts", "lines", "items", "entitlements", "runs", "approvals", "run_lines", "run_payees", "run_parts", "holds", "payments", "exports",
	"recovery_plans", "settings", "code_mappings", "suppliers", "imports", "imported_rows", "moves", "move_proposals", "postings", "entries",
}

// dump returns all that payments holds.
func (s *suite) dump(t require.TestingT) map[string][]string {
	out := make(map[string][]string)
	for _, table := range tables {
		rows := s.rows(t, `SELECT * FROM `+table)
		slices.Sort(rows)
		out[table] = rows
	}
	return out
}
