package devfund_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund"
)

// closeRegister gives one picture for every day, cut for a body, to who holds it. A CCG has none from icbFrom on; a system that owes nothing
// has an empty one.
type closeRegister struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never. The system owes what the CCG owed
	// before.
	icbFrom string
	// moved is the payer of a PCN, and its system, from movedFrom on, which has taken over no debt.
	movedFrom string
	moved     map[string]string
	asked     []string // body and day asked for
}

func (r *closeRegister) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns, r.asked = pcns, nil
}

func (r *closeRegister) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *closeRegister) GetSnapshot(ctx context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	if by, _ := auth.From(ctx); !by.HoldsCommissioner(req.GetCommissionerCode()) {
		return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no such thing")).Err()
	}
	return r.picture(req.GetCommissionerCode(), req.GetMembershipDate())
}

// picture cuts a picture for a body, or of England.
func (r *closeRegister) picture(code, day string) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, code+" "+day)
	out := &registerv1.Snapshot{SnapshotId: "picture-" + code + "-" + day, CommissionerCode: code, CommissionerName: "Body " + code}
	for _, p := range r.pcns {
		network := proto.CloneOf(p)
		if r.icbFrom != "" && day >= r.icbFrom {
			network.PayerCode = network.GetSystemCode()
		}
		if payer := r.moved[p.GetPcnCode()]; payer != "" && day >= r.movedFrom {
			network.PayerCode, network.SystemCode = payer, payer
		}
		network.Owed = code == "" || network.GetPayerCode() == code || (r.icbFrom != "" && network.GetSystemCode() == code)
		if network.GetOwed() {
			out.Pcns = append(out.Pcns, network)
		}
	}
	ended := r.icbFrom != "" && day >= r.icbFrom && !slices.ContainsFunc(r.pcns, func(p *registerv1.SnapshotPcn) bool { return p.GetSystemCode() == code })
	if len(out.GetPcns()) == 0 && ended {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", code)).Err()
	}
	return out, nil
}

// ListCommissioners lists the payers of a day to everybody.
func (r *closeRegister) ListCommissioners(_ context.Context, req *registerv1.ListCommissionersRequest, _ ...grpc.CallOption) (*registerv1.ListCommissionersResponse, error) {
	england, err := r.picture("", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	out := new(registerv1.ListCommissionersResponse)
	for _, p := range england.GetPcns() {
		if req.GetPageToken() == "" || p.GetPayerCode() > req.GetPageToken() {
			out.Commissioners = append(out.Commissioners, &registerv1.Commissioner{CommissionerCode: p.GetPayerCode()})
		}
	}
	slices.SortFunc(out.GetCommissioners(), func(a, b *registerv1.Commissioner) int {
		return strings.Compare(a.GetCommissionerCode(), b.GetCommissionerCode())
	})
	if len(out.GetCommissioners()) > 1 { // pages of one
		out.Commissioners, out.NextPageToken = out.GetCommissioners()[:1], out.GetCommissioners()[0].GetCommissionerCode()
	}
	return out, nil
}

// GetPcnSnapshot gives the picture of a PCN's payer to those who may see the PCN there.
func (r *closeRegister) GetPcnSnapshot(ctx context.Context, req *registerv1.GetPcnSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	england, err := r.picture("", req.GetMembershipDate())
	if err != nil {
		return nil, err
	}
	by, _ := auth.From(ctx)
	for _, p := range england.GetPcns() {
		if p.GetPcnCode() == req.GetPcnCode() && by.MaySee(p.GetPayerCode(), p.GetPcnCode()) {
			return r.picture(p.GetPayerCode(), req.GetMembershipDate())
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %s", req.GetPcnCode())).Err()
}

func closePCN(code, payer, system string) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: "L" + payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
	}
}

// unpaidPCN is one whose payee is not recorded.
func unpaidPCN(code, payer, system string) *registerv1.SnapshotPcn {
	out := closePCN(code, payer, system)
	out.Payee = nil
	return out
}

// closeSuite is devfund over a database, with a register of the test's, and approved plans that were put there by hand.
type closeSuite struct {
	devfund  devfundv1.DevfundServiceClient
	register *closeRegister
	db       *sqldb.DB

	mu       sync.Mutex
	requests int
}

func newCloseSuite(t testing.TB, db *sqldb.DB) *closeSuite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), devfund.Migrations()))
	s := &closeSuite{register: new(closeRegister), db: db}
	service, err := devfund.New(t.Context(), devfund.Deps{DB: db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.devfund = devfundv1.NewDevfundServiceClient(testkit.Serve(t, service.Register))
	s.exec(t, `INSERT INTO allocations (allocation_id, financial_year, fund_code, level, holder_code, holder_name, commissioner_code, purpose,
		parent_allocation_id, decision_id, combined, released_pence, shared_pence, committed_pence, version)
		VALUES ('close-pool', '2020/21', 'PCN_DEV', 2, 'SYS', 'System', 'SYS', 1, '', '', false, 1000000000, 0, 0, 1)`)
	s.exec(t, `INSERT INTO allocation_versions (allocation_id, version, basis, amount_pence, source, confidence, known_from, reason, recorded_by, recorded_at)
		VALUES ('close-pool', 1, 2, 1000000000, 'letter', 2, '2020-08-01', 'released', 'suite', 1)`)
	return s
}

func (s *closeSuite) exec(t require.TestingT, query string, args ...any) {
	ctx := context.Background()
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	}))
}

// eachClose runs a test on both databases.
func eachClose(t *testing.T, test func(t *testing.T, s *closeSuite)) {
	t.Helper()
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		test(t, newCloseSuite(t, open(t)))
	})
}

func (s *closeSuite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

// closeTranche is a tranche: line, PCN, month and pence.
type closeTranche struct {
	line, pcn, month string
	pence            int64
}

// approve puts the next version of a plan there as its approval leaves it: it takes the place of the one before.
func (s *closeSuite) approve(t require.TestingT, plan, commissioner string, tranches ...closeTranche) {
	ctx := context.Background()
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) error { return putVersion(ctx, tx, plan, commissioner, tranches) }))
}

func putVersion(ctx context.Context, tx *sqldb.Tx, plan, commissioner string, tranches []closeTranche) error {
	number := 1
	rows, err := tx.Query(ctx, `SELECT newest_version + 1 FROM plans WHERE plan_id = $1`, plan)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := rows.Scan(&number); err != nil {
			return err
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	run := func(query string, args ...any) {
		if err == nil {
			_, err = tx.Exec(ctx, query, args...)
		}
	}
	if number == 1 {
		run(`INSERT INTO plans (plan_id, financial_year, commissioner_code, allocation_id, newest_version, approved_version, version)
			VALUES ($1, '2020/21', $2, 'close-pool', 1, 1, 1)`, plan, commissioner)
	} else {
		run(`UPDATE plans SET newest_version = $2, approved_version = $2, version = version + 1 WHERE plan_id = $1`, plan, number)
	}
	run(`INSERT INTO plan_versions (plan_id, number, state, header, planned_pence, author, drafted_at) VALUES ($1, $2, 5, $3, 0, 'author', 1)`, plan, number, []byte{})
	put := make(map[string]bool)
	for _, d := range tranches {
		payee := devfundv1.PayeeKind_PCN_PAYEE
		if strings.HasPrefix(d.line, "supplier") {
			payee = devfundv1.PayeeKind_SUPPLIER
		}
		if !put[d.line] {
			put[d.line] = true
			body, failed := sqldb.Marshal(&devfundv1.PlanLine{
				LineId: d.line, AllocationId: "close-pool", Category: "change_management", Description: "Coaching, " + d.line, Payee: payee,
			})
			if failed != nil {
				return failed
			}
			run(`INSERT INTO plan_lines (plan_id, number, line_id, position, allocation_id, level, domain, payee, amount_pence, message)
				VALUES ($1, $2, $3, $6, 'close-pool', 1, 1, $4, 0, $5)`, plan, number, d.line, int64(payee), body, len(put))
		}
		run(`INSERT INTO tranches (plan_id, number, line_id, pcn_code, month, amount_pence) VALUES ($1, $2, $3, $4, $5, $6)`,
			plan, number, d.line, d.pcn, d.month, d.pence)
	}
	return err
}

// draft puts the next version of a plan there that nobody has approved.
func (s *closeSuite) draft(t require.TestingT, plan, commissioner string, tranches ...closeTranche) {
	var approved int64
	s.query(t, &approved, `SELECT approved_version FROM plans WHERE plan_id = $1`, plan)
	s.approve(t, plan, commissioner, tranches...)
	s.exec(t, `UPDATE plans SET approved_version = $2 WHERE plan_id = $1`, plan, approved)
}

// treat puts a treatment there that takes unspent money back; approved tells whether a second person has approved it.
func (s *closeSuite) treat(t require.TestingT, id, plan string, approved bool, taken ...closeTranche) {
	ctx := context.Background()
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) error {
		state, by := 1, ""
		if approved {
			state, by = 2, "second"
		}
		_, err := tx.Exec(ctx, `INSERT INTO treatments (treatment_id, plan_id, line_id, commissioner_code, financial_year, policy, amount_pence, reason, state,
			proposed_by, proposed_at, decided_by, decided_at, version) VALUES ($1, $2, $3, 'SYS', '2020/21', 2, 1, 'unspent', $4, 'first', 1, $5, $6, 1)`,
			id, plan, taken[0].line, state, by, sqldb.Micros(tx.Now()))
		for _, d := range taken {
			if err == nil {
				_, err = tx.Exec(ctx, `INSERT INTO recoveries (treatment_id, plan_id, line_id, pcn_code, month, amount_pence) VALUES ($1, $2, $3, $4, $5, $6)`,
					id, plan, d.line, d.pcn, d.month, d.pence)
			}
		}
		return err
	}))
}

func (s *closeSuite) close(t testing.TB, commissioner, month string) *typev1.PaymentSchedule {
	t.Helper()
	return s.closeAs(t, testkit.Preparer("*"), commissioner, month)
}

func (s *closeSuite) closeAs(t testing.TB, by auth.Principal, commissioner, month string) *typev1.PaymentSchedule {
	t.Helper()
	closed, err := s.devfund.CloseMonth(testkit.As(t.Context(), by), &devfundv1.CloseMonthRequest{
		RequestId: s.next(), CommissionerCode: commissioner, Month: month,
	})
	require.NoError(t, err)
	require.NoError(t, schedule.Verify(closed, closed.GetLines()))
	s.proveWorkings(t, closed.GetScheduleId())
	return closed
}

// proveWorkings checks that each line of a schedule is explained to the penny.
func (s *closeSuite) proveWorkings(t testing.TB, id string) {
	t.Helper()
	found, err := s.devfund.GetSchedule(testkit.As(t.Context(), testkit.Auditor("*")), &devfundv1.GetScheduleRequest{ScheduleId: id, IncludeWorking: true})
	require.NoError(t, err)
	for _, line := range found.GetLines() {
		steps, err := working.FromProto(line.GetWorking())
		require.NoError(t, err)
		result, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(money.Pence(line.GetAmountPence()).GBP()))
	}
}

func (s *closeSuite) query(t require.TestingT, into any, query string, args ...any) {
	ctx := context.Background()
	require.NoError(t, s.db.Read(ctx, func(q sqldb.Querier) error { return q.QueryRow(ctx, query, args...).Scan(into) }))
}

func (s *closeSuite) count(t require.TestingT, query string, args ...any) (n int64) {
	s.query(t, &n, query, args...)
	return n
}

// held is what schedules hold of a line of a plan for a PCN.
func (s *closeSuite) held(t require.TestingT, plan, line, pcn string) int64 {
	return s.count(t, `SELECT CAST(COALESCE(SUM(amount_pence), 0) AS BIGINT) FROM lines WHERE plan_id = $1 AND plan_line_id = $2 AND pcn_code = $3`, plan, line, pcn)
}

func closeReason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// lineSays is what a line says, in one phrase.
func lineSays(l *typev1.PaymentLine) string {
	return fmt.Sprint(l.GetPcnCode(), " ", l.GetSourceItem(), " ", l.GetForMonth(), " ", l.GetAmountPence())
}

func lineTexts(s *typev1.PaymentSchedule) []string {
	out := make([]string, len(s.GetLines()))
	for i, line := range s.GetLines() {
		out[i] = lineSays(line)
	}
	return out
}

// lineOf returns the line of a schedule that says something.
func lineOf(t testing.TB, s *typev1.PaymentSchedule, says string) *typev1.PaymentLine {
	t.Helper()
	for _, line := range s.GetLines() {
		if lineSays(line) == says {
			return line
		}
	}
	require.Fail(t, "no line says "+says, lineTexts(s))
	return nil
}
