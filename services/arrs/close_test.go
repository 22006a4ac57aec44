package arrs_test

import (
	"context"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// closeRegister gives one picture for every day, cut for the body that asks.
type closeRegister struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never.
	icbFrom string
	// moved is the payer of a PCN from movedFrom on, which has taken over no debt.
	movedFrom string
	moved     map[string]string
	asked     []string // days asked for
}

func (r *closeRegister) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns, r.asked = pcns, nil
}

func (r *closeRegister) days() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *closeRegister) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req.GetMembershipDate())
	code := req.GetCommissionerCode()
	out := &registerv1.Snapshot{SnapshotId: "picture-" + code + "-" + req.GetMembershipDate(), CommissionerCode: code, CommissionerName: "Body " + code}
	for _, p := range r.pcns {
		network := proto.CloneOf(p)
		if r.icbFrom != "" && req.GetMembershipDate() >= r.icbFrom {
			network.PayerCode = network.GetSystemCode()
		}
		if payer := r.moved[p.GetPcnCode()]; payer != "" && req.GetMembershipDate() >= r.movedFrom {
			network.PayerCode = payer
		}
		network.Owed = network.GetPayerCode() == code || (r.icbFrom != "" && network.GetSystemCode() == code)
		if network.GetOwed() {
			out.Pcns = append(out.Pcns, network)
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", code)).Err()
	}
	return out, nil
}

func closePCN(code, payer, system string) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: "L" + payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
	}
}

// closeSuite is arrs over a database, with a register and a clock of the test's, and claims that were put there by hand.
type closeSuite struct {
	arrs     arrsv1.ArrsServiceClient
	register *closeRegister
	db       *sqldb.DB
}

func newCloseSuite(t testing.TB, db *sqldb.DB) *closeSuite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
	s := &closeSuite{register: new(closeRegister), db: db}
	service, err := arrs.New(t.Context(), arrs.Deps{
		DB: db, Register: s.register, Logger: testkit.Logger(t), PersonKey: []byte(strings.Repeat("k", 32)),
	})
	require.NoError(t, err)
	s.arrs = arrsv1.NewArrsServiceClient(testkit.Serve(t, service.Register))
	return s
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

func (s *closeSuite) write(t testing.TB, fn func(tx *sqldb.Tx) error) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), fn))
}

// heldClaim is a claim as it is kept once it was decided: approved pence, line by line.
type heldClaim struct {
	id, pcn, commissioner, month string
	pot                          rules.Pot // MainPot unless given
	approved                     []int64
	confidence                   working.Confidence
	undecided                    bool
}

// put writes claims with their engagements and pots, as handlers of claims leave them.
func (s *closeSuite) put(t testing.TB, claims ...heldClaim) {
	t.Helper()
	s.write(t, func(tx *sqldb.Tx) error {
		for _, c := range claims {
			if err := putClaim(t.Context(), tx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func putClaim(ctx context.Context, tx *sqldb.Tx, c heldClaim) error {
	month, err := period.ParseMonth(c.month)
	if err != nil {
		return err
	}
	if c.pot == "" {
		c.pot = rules.MainPot
	}
	state, by, at := 4, "approver", int64(1)
	if c.undecided {
		state, by, at = 1, "", 0
	}
	if _, err := tx.Exec(ctx, `INSERT INTO claims (claim_id, pcn_code, commissioner_code, month, financial_year, kind, state, line_count, notes, totals,
		submitted_by, submitted_at, decided_by, decided_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, '', $8, 'manager', 1, $9, $10)`,
		c.id, c.pcn, c.commissioner, c.month, month.FinancialYear().String(), state, len(c.approved), []byte{}, by, at); err != nil {
		return err
	}
	moved := store.PotRow{PCNCode: c.pcn, Year: month.FinancialYear(), Pot: c.pot}
	for i, pence := range c.approved {
		engagement := fmt.Sprintf("%s-%d", c.id, i)
		if _, err := tx.Exec(ctx, `INSERT INTO engagements (engagement_id, pcn_code, commissioner_code, label, folded_label, role_code, start_date, end_date, terms, pseudonym,
			recorded_by, recorded_at, changed_by, changed_at) VALUES ($1, $2, $3, $1, $1, 'CP', '2019-07-01', '', $4, '', 'manager', 1, 'manager', 1)`,
			engagement, c.pcn, c.commissioner, []byte{}); err != nil {
			return err
		}
		approved := pence
		if moved.Approved += money.Pence(pence); c.undecided {
			approved = 0
		}
		if _, err := tx.Exec(ctx, `INSERT INTO claim_lines (line_id, claim_id, revision, number, pcn_code, month, engagement_id, kind, live, role_code, person, pot, held,
			claimed_pence, payable_pence, approved_pence, confidence, terms, entry, assessment)
			VALUES ($1, $2, 1, $3, $4, $5, $1, 1, true, 'CP', '', $6, $7, $8, $8, $9, $10, $7, $7, $7)`,
			engagement, c.id, i+1, c.pcn, c.month, string(c.pot), []byte{}, pence, approved, int64(c.confidence)); err != nil {
			return err
		}
	}
	if c.undecided {
		return nil
	}
	return store.MovePot(ctx, tx, moved)
}

// sum fixes what a pot of a PCN comes to.
func (s *closeSuite) sum(t testing.TB, pcn string, year period.FinancialYear, version int, pot rules.Pot, pence int64) {
	t.Helper()
	b := new(working.Builder)
	rate := b.Input("rate", big.NewRat(1, 1), "GBP", working.Origin{Kind: working.FromRate, Ref: "rate", Confidence: working.Secondary})
	b.Step("sum", working.Add, "GBP", "", rate)
	s.write(t, func(tx *sqldb.Tx) error {
		return store.InsertYear(t.Context(), tx, store.YearRow{
			PCNCode: pcn, PCNName: "Network " + pcn, CommissionerCode: "15N", Year: year, Version: version, Region: rules.National, FixedBy: "preparer",
			LocationCode: "L15N",
		}, []rules.Entitlement{{Year: year, Pot: pot, From: year.First(), To: year.Last(), Amount: money.Pence(pence), Working: b.Done()}})
	})
}

func (s *closeSuite) close(t *testing.T, commissioner, month, requestID string) *typev1.PaymentSchedule {
	t.Helper()
	closed, err := s.arrs.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &arrsv1.CloseMonthRequest{
		RequestId: requestID, CommissionerCode: commissioner, Month: month,
	})
	require.NoError(t, err)
	require.NoError(t, schedule.Verify(closed, closed.GetLines()))
	return closed
}

func (s *closeSuite) get(t *testing.T, id string) *typev1.PaymentSchedule {
	t.Helper()
	found, err := s.arrs.GetSchedule(testkit.As(t.Context(), testkit.Auditor("*")), &arrsv1.GetScheduleRequest{ScheduleId: id, IncludeWorking: true})
	require.NoError(t, err)
	return found
}

func (s *closeSuite) count(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error { return q.QueryRow(t.Context(), query, args...).Scan(&n) }))
	return n
}

func closeReason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// line is what a line says, in one phrase.
func lineSays(l *typev1.PaymentLine) string {
	return strings.Join([]string{l.GetPcnCode(), l.GetPaymentCode(), l.GetForMonth(), strconv.FormatInt(l.GetAmountPence(), 10)}, " ")
}

func lineTexts(s *typev1.PaymentSchedule) []string {
	out := make([]string, len(s.GetLines()))
	for i, line := range s.GetLines() {
		out[i] = lineSays(line)
	}
	return out
}

func TestCloseMonth_MakesOneLineForEachPCNPotAndYear(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "15N", "QJK"), closePCN("U3", "11N", "QT6"))
		s.put(t,
			heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2024-12", approved: []int64{100000, 250001}, confidence: working.Inferred},
			heldClaim{id: "c2", pcn: "U1", commissioner: "15N", month: "2024-11", approved: []int64{5}},
			heldClaim{id: "c3", pcn: "U1", commissioner: "15N", month: "2024-12", pot: rules.GPPot, approved: []int64{700000}, confidence: working.Official},
			heldClaim{id: "c4", pcn: "U1", commissioner: "15N", month: "2024-03", approved: []int64{33}},
			heldClaim{id: "c5", pcn: "U2", commissioner: "15N", month: "2024-12", approved: []int64{40}},
			heldClaim{id: "c6", pcn: "U2", commissioner: "15N", month: "2024-12", approved: []int64{41}, undecided: true},
			heldClaim{id: "c7", pcn: "U2", commissioner: "15N", month: "2025-01", approved: []int64{42}},
			heldClaim{id: "c8", pcn: "U3", commissioner: "11N", month: "2024-12", approved: []int64{43}},
		)
		closed := s.close(t, "15N", "2024-12", "r1")
		require.Equal(t, "arrs-15N-2024-12-1", closed.GetScheduleId())
		require.Equal(t, typev1.Fund_FUND_ARRS, closed.GetFund())
		require.Equal(t, "Body 15N", closed.GetCommissionerName())
		require.Equal(t, "picture-15N-2024-12-01", closed.GetSnapshotId())
		require.ElementsMatch(t, []string{
			"U1 ARRS_MAIN 2024-12 350006", "U1 ARRS_GP 2024-12 700000", "U1 ARRS_MAIN 2024-03 33", "U2 ARRS_MAIN 2024-12 40",
		}, lineTexts(closed))
		require.Equal(t, int64(1050079), closed.GetPayTotalPence())
		for _, line := range closed.GetLines() {
			require.Equal(t, "P"+line.GetPcnCode(), line.GetPayee().GetCode())
			require.Equal(t, []string{"L15N", "ARRS", "Network " + line.GetPcnCode()}, []string{line.GetLocationCode(), line.GetFundingSource(), line.GetPcnName()})
			require.Equal(t, typev1.Instruction_INSTRUCTION_PAY, line.GetInstruction())
			require.Empty(t, line.GetAdjustsLineId())
			require.Empty(t, line.GetHolds())
			require.Empty(t, line.GetBasis().GetFactors())
		}
		s.proveWorkings(t, closed)
		require.Equal(t, int64(6), s.count(t, `SELECT COUNT(*) FROM claim_lines WHERE schedule_id = $1`, closed.GetScheduleId()))
		require.Equal(t, int64(350006), s.count(t, `SELECT scheduled_pence FROM pots WHERE pcn_code = 'U1' AND pot = 'main' AND financial_year = '2024/25'`))
		require.Equal(t, int64(33), s.count(t, `SELECT scheduled_pence FROM pots WHERE pcn_code = 'U1' AND pot = 'main' AND financial_year = '2023/24'`))
		other := s.close(t, "11N", "2024-12", "r2")
		require.Equal(t, []string{"U3 ARRS_MAIN 2024-12 43"}, lineTexts(other))
	})
}

// proveWorkings checks that each line's working comes to its pence and names claims, not lines of claims.
func (s *closeSuite) proveWorkings(t *testing.T, closed *typev1.PaymentSchedule) {
	t.Helper()
	for _, line := range s.get(t, closed.GetScheduleId()).GetLines() {
		steps, err := working.FromProto(line.GetWorking())
		require.NoError(t, err)
		result, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(money.Pence(line.GetAmountPence()).GBP()))
		if lineSays(line) != "U1 ARRS_MAIN 2024-12 350006" {
			continue
		}
		require.Equal(t, "Network Contract DES 2024/25: Additional roles reimbursement, 2 approved claims for 2024-11 to 2024-12", line.GetBasis().GetClause())
		require.Equal(t, typev1.Confidence_CONFIDENCE_INFERRED, line.GetConfidence())
		inputs := line.GetWorking().GetInputs()
		require.Len(t, inputs, 2)
		require.Equal(t, []string{"c2", "0.05", "c1", "3500.01"}, []string{
			inputs[0].GetOrigin().GetRef(), inputs[0].GetValue(), inputs[1].GetOrigin().GetRef(), inputs[1].GetValue(),
		})
	}
}

func TestCloseMonth_AgainTakesOnlyWhatIsNew(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "15N", "QJK"))
		empty := s.close(t, "15N", "2022-05", "r0")
		require.Empty(t, empty.GetLines(), "a month without claims is closed too")
		require.Equal(t, int32(1), empty.GetSequence())
		require.Equal(t, empty.GetScheduleId(), s.close(t, "15N", "2022-05", "r1").GetScheduleId(), "nothing is new")
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}})
		second := s.close(t, "15N", "2022-05", "r2")
		require.Equal(t, "arrs-15N-2022-05-2", second.GetScheduleId())
		require.Equal(t, []string{"U1 ARRS_MAIN 2022-05 100"}, lineTexts(second))
		require.Empty(t, second.GetLines()[0].GetAdjustsLineId())
		require.Equal(t, second.GetScheduleId(), s.close(t, "15N", "2022-05", "r3").GetScheduleId())
		events := s.count(t, `SELECT COUNT(*) FROM outbox`)
		require.Equal(t, int64(4), events, "a schedule and what the pots come to, twice")
		s.put(t,
			heldClaim{id: "c2", pcn: "U1", commissioner: "15N", month: "2022-04", approved: []int64{7}},
			heldClaim{id: "c3", pcn: "U2", commissioner: "15N", month: "2022-05", approved: []int64{8}},
		)
		third := s.close(t, "15N", "2022-05", "r4")
		require.ElementsMatch(t, []string{"U1 ARRS_MAIN 2022-05 7", "U2 ARRS_MAIN 2022-05 8"}, lineTexts(third))
		for _, line := range third.GetLines() {
			if line.GetPcnCode() == "U2" {
				require.Empty(t, line.GetAdjustsLineId())
				continue
			}
			require.Equal(t, second.GetLines()[0].GetLineId(), line.GetAdjustsLineId(), "it adds to the line of the same PCN, pot and month")
			require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_LATE_CLAIM, line.GetAdjustmentCause())
		}
		s.put(t, heldClaim{id: "c4", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{9}})
		june := s.close(t, "15N", "2022-06", "r5")
		require.Equal(t, []string{"U1 ARRS_MAIN 2022-06 9"}, lineTexts(june), "a later month takes up what is left of earlier ones")
		require.Empty(t, june.GetLines()[0].GetAdjustsLineId())
		require.Equal(t, int64(124), s.count(t, `SELECT CAST(SUM(scheduled_pence) AS BIGINT) FROM pots`))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM claim_lines WHERE schedule_id = ''`))
	})
}

func TestCloseMonth_LateClaimsOfAYearThatIsOverAreForItsMarch(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "QJK", month: "2023-03", approved: []int64{100}})
		april := s.close(t, "QJK", "2023-04", "r1")
		require.Equal(t, []string{"U1 ARRS_MAIN 2023-03 100"}, lineTexts(april))
		s.put(t, heldClaim{id: "c2", pcn: "U1", commissioner: "QJK", month: "2023-01", approved: []int64{50}})
		may := s.close(t, "QJK", "2023-05", "r2")
		require.Equal(t, []string{"U1 ARRS_MAIN 2023-03 50"}, lineTexts(may))
		require.Equal(t, april.GetLines()[0].GetLineId(), may.GetLines()[0].GetAdjustsLineId())
	})
}

func TestCloseMonth_AnswersOnceForARequestID(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		first := s.close(t, "15N", "2022-05", "same")
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}})
		require.True(t, proto.Equal(first, s.close(t, "15N", "2022-05", "same")), "the stored answer, though there is more by now")
		_, err := s.arrs.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &arrsv1.CloseMonthRequest{RequestId: "same", CommissionerCode: "15N", Month: "2022-06"})
		require.Equal(t, "REQUEST_ID_REUSED", closeReason(err))
		brief, err := s.arrs.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &arrsv1.CloseMonthRequest{
			RequestId: "brief", CommissionerCode: "15N", Month: "2022-05", OmitLines: true,
		})
		require.NoError(t, err)
		require.Empty(t, brief.GetLines())
		require.Equal(t, int32(1), brief.GetLineCount())
	})
}

func TestCloseMonth_RefusesWhatCannotBeClosed(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.register.icbFrom = "2022-07-01"
		refused := map[string]string{
			"2999-01": "MONTH_NOT_STARTED", "2019-03": "MONTH_OUT_OF_RANGE", "2022-13": "MONTH_MALFORMED", "2022-07": "COMMISSIONER_NOT_IN_FORCE",
		}
		for month, want := range refused {
			_, err := s.arrs.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &arrsv1.CloseMonthRequest{RequestId: month, CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
			_, err = s.arrs.PreviewMonth(testkit.As(t.Context(), testkit.Auditor("*")), &arrsv1.PreviewMonthRequest{CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
		}
		_, err := s.arrs.CloseMonth(testkit.As(t.Context(), testkit.Preparer("11N")), &arrsv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "15N", Month: "2022-05"})
		require.Equal(t, codes.NotFound, status.Code(err))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM outbox`), "nothing is stored")
	})
}

func TestCloseMonth_TakesOverTheDebtsOfCCGs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.put(t,
			heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}},
			heldClaim{id: "c2", pcn: "U1", commissioner: "15N", month: "2022-06", approved: []int64{10}},
			heldClaim{id: "c3", pcn: "U2", commissioner: "11N", month: "2022-06", approved: []int64{1}},
		)
		may := s.close(t, "15N", "2022-05", "r1")
		require.Equal(t, []string{"U1 ARRS_MAIN 2022-05 100"}, lineTexts(may))
		july := s.close(t, "QJK", "2022-07", "r2")
		require.ElementsMatch(t, []string{"U1 ARRS_MAIN 2022-07 10", "U2 ARRS_MAIN 2022-07 1"}, lineTexts(july), "the ICB pays what the CCGs approved last")
		require.Empty(t, s.close(t, "15N", "2022-06", "r3").GetLines(), "and nobody pays it again")
	})
}

func TestCloseMonth_LeavesClaimsToTheBodyThatOwesThem(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "11N", month: "2022-04", approved: []int64{100}})
		s.sum(t, "U1", 2022, 1, rules.MainPot, 1000)
		s.register.set(closePCN("U1", "11N", "QJK"), closePCN("U2", "15N", "QJK"))
		require.Empty(t, s.close(t, "15N", "2022-05", "r1").GetLines())
		s.register.set(closePCN("U2", "11N", "QJK"))
		gone := s.close(t, "11N", "2022-05", "r2")
		require.Equal(t, []string{"U1 ARRS_MAIN 2022-05 100"}, lineTexts(gone), "a claim is paid though its network is in no picture any more")
		require.Equal(t, "PAYEE_NOT_RECORDED", gone.GetLines()[0].GetHolds()[0].GetReason())
		require.Equal(t, "Network U1", gone.GetLines()[0].GetPcnName(), "as it was called when its year was fixed")
		require.Contains(t, s.register.days(), "2022-04-01", "the picture of the claim's month was looked at")
	})
}

func TestCloseMonth_HoldsWhatHasNoPayee(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		network := closePCN("U1", "15N", "QJK")
		network.Payee = nil
		s.register.set(network)
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}})
		line := s.close(t, "15N", "2022-05", "r1").GetLines()[0]
		require.Nil(t, line.GetPayee())
		require.Equal(t, "PAYEE_NOT_RECORDED", line.GetHolds()[0].GetReason())
		require.Equal(t, "record the nominated payee of U1", line.GetHolds()[0].GetRemedy())
	})
}

func TestCloseMonth_PaysWhatHadNoPayeeOnceOneIsRecorded(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		network := closePCN("U1", "15N", "QJK")
		network.Payee = nil
		s.register.set(network)
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}, confidence: working.Inferred})
		s.close(t, "15N", "2022-05", "r1")
		s.put(t, heldClaim{id: "c2", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{20}})
		second := s.close(t, "15N", "2022-05", "r2")
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.put(t, heldClaim{id: "c3", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{3}})
		third := s.close(t, "15N", "2022-05", "r3")
		require.ElementsMatch(t, []string{"U1 ARRS_MAIN 2022-05 -100", "U1 ARRS_MAIN 2022-05 -20", "U1 ARRS_MAIN 2022-05 123"}, lineTexts(third))
		require.Equal(t, int64(3), third.GetPayTotalPence(), "what moves comes to nothing")
		for _, line := range s.get(t, third.GetScheduleId()).GetLines() {
			steps, err := working.FromProto(line.GetWorking())
			require.NoError(t, err)
			result, err := working.Evaluate(steps)
			require.NoError(t, err)
			require.Zero(t, result.Cmp(money.Pence(line.GetAmountPence()).GBP()))
			if line.GetAmountPence() < 0 {
				require.Nil(t, line.GetPayee(), "it takes back from nobody")
				require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE, line.GetAdjustmentCause())
				continue
			}
			require.Equal(t, "PU1", line.GetPayee().GetCode())
			require.Equal(t, second.GetLines()[0].GetLineId(), line.GetAdjustsLineId())
			require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL, line.GetAdjustmentCause())
			require.Equal(t, typev1.Confidence_CONFIDENCE_INFERRED, line.GetConfidence())
		}
		require.Equal(t, third.GetScheduleId(), s.close(t, "15N", "2022-05", "r4").GetScheduleId(), "once")
		require.Empty(t, s.close(t, "15N", "2022-06", "r5").GetLines())
		require.Equal(t, int64(123), s.count(t, `SELECT scheduled_pence FROM pots`))
	})
}

func TestCloseMonth_PaysWhatHadNoPayeeInALaterMonth(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		network := closePCN("U1", "15N", "QJK")
		network.Payee = nil
		s.register.set(network)
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}})
		may := s.close(t, "15N", "2022-05", "r1")
		s.register.set(closePCN("U1", "15N", "QJK"))
		july := s.close(t, "QJK", "2022-07", "r2")
		require.ElementsMatch(t, []string{"U1 ARRS_MAIN 2022-05 -100", "U1 ARRS_MAIN 2022-05 100"}, lineTexts(july), "by the body that took the debt over")
		for _, line := range july.GetLines() {
			require.Equal(t, may.GetLines()[0].GetLineId(), line.GetAdjustsLineId())
			require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE, line.GetAdjustmentCause())
			require.Equal(t, "Network Contract DES 2022/23: Additional roles reimbursement, what had no payee before", line.GetBasis().GetClause())
		}
	})
}

func TestCloseMonth_StatesWhatCanBeUsedOfThePots(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "15N", "QJK"))
		s.sum(t, "U1", 2022, 1, rules.MainPot, 900000)
		s.sum(t, "U1", 2022, 2, rules.MainPot, 1000000)
		s.sum(t, "U2", 2022, 1, rules.MainPot, 500000)
		s.sum(t, "U2", 2021, 1, rules.MainPot, 400000)
		s.write(t, func(tx *sqldb.Tx) error {
			return store.MovePot(t.Context(), tx, store.PotRow{PCNCode: "U2", Year: 2022, Pot: rules.MainPot, GivenUp: 100000, Awarded: 1})
		})
		s.put(t,
			heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100}, confidence: working.Official},
			heldClaim{id: "c2", pcn: "U2", commissioner: "15N", month: "2022-03", approved: []int64{100}},
		)
		closed := s.close(t, "15N", "2022-05", "r1")
		require.Equal(t, typev1.Confidence_CONFIDENCE_SECONDARY, closed.GetLines()[0].GetConfidence(), "the sum that the claim was held against counts")
		stated := s.stated(t)
		require.Equal(t, []string{closed.GetScheduleId(), "15N", "Body 15N", "2022-05"},
			[]string{stated.GetScheduleId(), stated.GetCommissionerCode(), stated.GetCommissionerName(), stated.GetMonth()})
		var got []string
		for _, e := range stated.GetEntitlements() {
			got = append(got, fmt.Sprintf("%s %s %s %s-%s %d", e.GetPcnCode(), e.GetPcnName(), e.GetPaymentCode(), e.GetFromMonth(), e.GetToMonth(), e.GetAmountPence()))
			require.Equal(t, int32(1), e.GetInstalments())
		}
		require.Equal(t, []string{
			"U1 Network U1 ARRS_MAIN 2022-04-2023-03 1000000",
			"U2 Network U2 ARRS_MAIN 2021-04-2022-03 400000",
			"U2 Network U2 ARRS_MAIN 2022-04-2023-03 400001",
		}, got)
	})
}

// stated returns the last statement of what pots come to.
func (s *closeSuite) stated(t *testing.T) *arrsv1.EntitlementsStated {
	t.Helper()
	out := new(arrsv1.EntitlementsStated)
	var payload []byte
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT payload FROM outbox WHERE type = $1 ORDER BY position DESC LIMIT 1`,
			string(out.ProtoReflect().Descriptor().FullName())).Scan(&payload)
	}))
	require.NoError(t, proto.Unmarshal(payload, out))
	return out
}

func TestPreviewMonth_WritesNothing(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{100, 1}})
		preview, err := s.arrs.PreviewMonth(testkit.As(t.Context(), testkit.Auditor("15N")), &arrsv1.PreviewMonthRequest{
			CommissionerCode: "15N", Month: "2022-05", IncludeWorking: true,
		})
		require.NoError(t, err)
		require.Equal(t, []string{"U1 ARRS_MAIN 2022-05 101"}, lineTexts(preview))
		require.Equal(t, int64(101), preview.GetPayTotalPence())
		require.Equal(t, int32(1), preview.GetLineCount())
		require.NotEmpty(t, preview.GetLines()[0].GetWorking().GetSteps())
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM schedules`))
		closed := s.close(t, "15N", "2022-05", "r1")
		require.Equal(t, preview.GetLines()[0].GetLineId(), closed.GetLines()[0].GetLineId(), "the close names the same line")
	})
}

func TestSchedules_AreReadByThoseWhoMay(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QT6"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{12345}, confidence: working.Official})
		own, other := s.close(t, "15N", "2022-05", "r1"), s.close(t, "11N", "2022-05", "r2")
		again := s.close(t, "15N", "2022-06", "r3")
		mine := testkit.As(t.Context(), testkit.Preparer("15N"))
		found, err := s.arrs.GetSchedule(mine, &arrsv1.GetScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		require.True(t, proto.Equal(own, found))
		for _, id := range []string{other.GetScheduleId(), "arrs-none"} {
			_, err = s.arrs.GetSchedule(mine, &arrsv1.GetScheduleRequest{ScheduleId: id})
			require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		}
		list, err := s.arrs.ListSchedules(mine, &arrsv1.ListSchedulesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, again.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		list, err = s.arrs.ListSchedules(mine, &arrsv1.ListSchedulesRequest{PageSize: 1, PageToken: list.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, own.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		require.Empty(t, list.GetSchedules()[0].GetLines())
		require.Empty(t, list.GetNextPageToken())
		_, err = s.arrs.ListSchedules(mine, &arrsv1.ListSchedulesRequest{CommissionerCode: "11N"})
		require.Equal(t, codes.NotFound, status.Code(err))
		csv, err := s.arrs.DownloadSchedule(mine, &arrsv1.DownloadScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		rows := strings.Split(string(csv.GetData()), "\r\n")
		require.Len(t, rows, 3)
		require.Equal(t, "arrs-15N-2022-05-1,15N,2022-05,1,"+own.GetLines()[0].GetLineId()+
			",2022-05,ARRS_MAIN,U1,Network U1,,PU1,Payee of U1,L15N,ARRS,PAY,123.45,,UNSPECIFIED,official,", rows[1])
	})
}

func TestSchedules_ShowWhatClaimsComeToOnlyToThoseWhoSeeClaims(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{12345}, confidence: working.Official})
		closed := s.close(t, "15N", "2022-05", "r1")
		s.put(t, heldClaim{id: "c2", pcn: "U1", commissioner: "15N", month: "2022-05", approved: []int64{54321}, confidence: working.Official})
		for role, shown := range map[optionsv1.Role]bool{
			optionsv1.Role_ROLE_FINANCE_PREPARER: true, optionsv1.Role_ROLE_FINANCE_APPROVER: true, optionsv1.Role_ROLE_AUDITOR: true,
			optionsv1.Role_ROLE_REGIONAL_VIEWER: false, optionsv1.Role_ROLE_INTEGRATION: false,
		} {
			ctx := testkit.As(t.Context(), auth.Principal{Subject: "reader", Roles: []optionsv1.Role{role}, Commissioners: []string{"15N"}})
			kept, err := s.arrs.GetSchedule(ctx, &arrsv1.GetScheduleRequest{ScheduleId: closed.GetScheduleId(), IncludeWorking: true})
			require.NoError(t, err, role)
			previewed, err := s.arrs.PreviewMonth(ctx, &arrsv1.PreviewMonthRequest{CommissionerCode: "15N", Month: "2022-05", IncludeWorking: true})
			require.NoError(t, err, role)
			for _, lines := range [][]*typev1.PaymentLine{kept.GetLines(), previewed.GetLines()} {
				require.Len(t, lines, 1, role)
				require.Equal(t, shown, lines[0].GetWorking() != nil, role)
			}
		}
	})
}

func TestReemitSchedule_PublishesItsEventsAgain(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		closed := s.close(t, "15N", "2022-05", "r1")
		req := &arrsv1.ReemitScheduleRequest{RequestId: "e1", ScheduleId: closed.GetScheduleId()}
		_, err := s.arrs.ReemitSchedule(testkit.As(t.Context(), testkit.Preparer("*")), req)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		answer, err := s.arrs.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), req)
		require.NoError(t, err)
		require.Len(t, answer.GetEventIds(), 2)
		_, err = s.arrs.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), &arrsv1.ReemitScheduleRequest{RequestId: "e2", ScheduleId: "arrs-none"})
		require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		entries, err := s.arrs.ListAuditEntries(testkit.As(t.Context(), testkit.Auditor("15N")), &arrsv1.ListAuditEntriesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, "published 2 events once more", entries.GetEntries()[0].GetSummary())
		entries, err = s.arrs.ListAuditEntries(testkit.As(t.Context(), testkit.Auditor("15N")), &arrsv1.ListAuditEntriesRequest{PageToken: entries.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, "closed 2022-05, sequence 1: 0 lines, £0.00 to pay", entries.GetEntries()[0].GetSummary())
		require.Equal(t, "arrs/schedules/arrs-15N-2022-05-1", entries.GetEntries()[0].GetResource())
	})
}

func TestCloseMonth_StormTakesEachClaimOnce(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "15N", "QJK"))
		for i := range 20 {
			s.put(t, heldClaim{id: fmt.Sprint("c", i), pcn: "U" + strconv.Itoa(1+i%2), commissioner: "15N", month: "2022-06", approved: []int64{int64(i + 1)}})
		}
		var wg sync.WaitGroup
		failures := make(chan error, 20)
		ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("*")), time.Minute)
		defer cancel()
		for i := range 20 {
			wg.Go(func() {
				req := &arrsv1.CloseMonthRequest{RequestId: "storm-" + strconv.Itoa(i), CommissionerCode: "15N", Month: "2022-06"}
				if i%2 == 1 {
					req.CommissionerCode, req.Month = "QJK", "2022-07"
				}
				_, err := s.arrs.CloseMonth(ctx, req)
				failures <- err
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		require.Equal(t, int64(210), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`), "whichever body closed first paid each claim once")
		require.Equal(t, int64(210), s.count(t, `SELECT CAST(SUM(scheduled_pence) AS BIGINT) FROM pots`))
	})
}

func TestCloseMonth_BesideApprovalsLosesNothing(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "15N", "QJK"))
		ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("*")), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		failures := make(chan error, 60)
		for i := range 30 {
			wg.Go(func() {
				claim := heldClaim{id: fmt.Sprint("c", i), pcn: "U" + strconv.Itoa(1+i%2), commissioner: "15N", month: "2022-05", approved: []int64{int64(i + 1), 1000}}
				failures <- s.db.Write(ctx, func(tx *sqldb.Tx) error {
					if err := tx.Lock(ctx, "pcn/"+claim.pcn); err != nil {
						return err
					}
					return putClaim(ctx, tx, claim)
				})
			})
			wg.Go(func() {
				_, err := s.arrs.CloseMonth(ctx, &arrsv1.CloseMonthRequest{RequestId: "beside-" + strconv.Itoa(i), CommissionerCode: "15N", Month: "2022-05"})
				failures <- err
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		s.close(t, "15N", "2022-05", "last")
		require.Equal(t, int64(30465), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM pots WHERE scheduled_pence <> approved_pence`))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM claim_lines WHERE schedule_id = ''`))
		require.Equal(t, s.count(t, `SELECT COUNT(*) FROM schedules`), s.count(t, `SELECT MAX(sequence) FROM schedules`), "sequences have no gap")
	})
}

// TestClose_LeavesALineToWhoOwedItsMonth holds that a line nobody could be paid stays with the body that owed its month, where another
// came to lead the PCN and took over no debt.
func TestClose_LeavesALineToWhoOwedItsMonth(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		without := closePCN("U1", "01A", "")
		without.Payee = nil
		s.register.set(without)
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "01A", month: "2025-10", approved: []int64{500_00}})
		kept := s.close(t, "01A", "2025-10", "a")
		require.Equal(t, "PAYEE_NOT_RECORDED", kept.GetLines()[0].GetHolds()[0].GetReason())
		s.register.set(closePCN("U1", "01A", ""), closePCN("U2", "02B", ""))
		s.register.movedFrom, s.register.moved = "2025-11-01", map[string]string{"U1": "02B"}
		require.Empty(t, s.close(t, "02B", "2025-11", "b").GetLines())
		paid := s.close(t, "01A", "2025-10", "c")
		require.Len(t, paid.GetLines(), 2)
		require.Zero(t, paid.GetPayTotalPence(), "taken back, and given to the payee")
	})
}

// TestClose_PaysWhatWasPutToABodyThatHadEnded holds for a claim of a month in which the ICB led, put to the CCG whose year it still was.
func TestClose_PaysWhatWasPutToABodyThatHadEnded(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.put(t, heldClaim{id: "c1", pcn: "U1", commissioner: "15N", month: "2022-07", approved: []int64{100}})
		require.Equal(t, int64(100), s.close(t, "QJK", "2022-07", "r1").GetPayTotalPence())
	})
}
