package core_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core"
)

// register stands in for the register service: it gives one picture for every day, cut for the body that asks.
type register struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// icbFrom is the day from which the system of a PCN pays in place of its CCG; empty means never.
	icbFrom string
}

func (r *register) set(pcns ...*registerv1.SnapshotPcn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcns = pcns
}

func (r *register) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &registerv1.Snapshot{
		CommissionerCode: req.GetCommissionerCode(), CommissionerName: "Body " + req.GetCommissionerCode(),
		MembershipDate: req.GetMembershipDate(), PopulationReferenceDate: req.GetPopulationReferenceDate(),
	}
	for _, p := range r.pcns {
		pcn := proto.CloneOf(p)
		if r.icbFrom != "" && req.GetMembershipDate() >= r.icbFrom {
			pcn.PayerCode = pcn.GetSystemCode()
			for _, practice := range pcn.GetPractices() {
				practice.PayerCode = practice.GetSystemCode()
			}
		}
		if pcn.GetPayerCode() == req.GetCommissionerCode() || pcn.GetSystemCode() == req.GetCommissionerCode() {
			pcn.Owed = true
			out.DebtorCodes = []string{"15N", "QJK"}
			for _, practice := range pcn.GetPractices() {
				practice.Owed = true
			}
			out.Pcns = append(out.Pcns, pcn)
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", req.GetCommissionerCode())).Err()
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return nil, err
	}
	out.SnapshotId = strconv.Itoa(len(bytes))
	return out, nil
}

func snapshotPCN(code, payer, system string, registered int64) *registerv1.SnapshotPcn {
	return &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, SystemCode: system, LocationCode: payer,
		Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
		Practices: []*registerv1.SnapshotPractice{{
			PracticeCode: "A" + code, Name: "Practice A" + code, PayerCode: payer, SystemCode: system, Participating: true,
			Populations: []*registerv1.SnapshotPopulation{
				{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: strconv.FormatInt(registered, 10), LoadId: "list"},
				{Kind: typev1.PopulationKind_POPULATION_KIND_ADJUSTED, Value: strconv.FormatInt(registered, 10), LoadId: "adjusted"},
				{Kind: typev1.PopulationKind_POPULATION_KIND_WEIGHTED, Value: strconv.FormatInt(registered, 10) + ".5", LoadId: "weights"},
			},
		}},
	}
}

// suite is core over a database, with a register and a clock of the test's.
type suite struct {
	core     corev1.CoreServiceClient
	register *register
	db       *sqldb.DB
}

func newSuite(t *testing.T, db *sqldb.DB) *suite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), core.Migrations()))
	s := &suite{register: new(register), db: db}
	service, err := core.New(t.Context(), core.Deps{DB: db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.core = corev1.NewCoreServiceClient(testkit.Serve(t, service.Register))
	return s
}

// each runs a test on both databases.
func each(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		test(t, newSuite(t, open(t)))
	})
}

func as(t *testing.T, p auth.Principal) context.Context {
	t.Helper()
	return testkit.As(t.Context(), p)
}

func (s *suite) close(t *testing.T, commissioner, month, requestID string) *typev1.PaymentSchedule {
	t.Helper()
	// The largest months here are ten times those of a commissioner, and the race detector slows them further.
	ctx, cancel := context.WithTimeout(as(t, testkit.Preparer("*")), time.Minute)
	defer cancel()
	schedule, err := s.core.CloseMonth(ctx, &corev1.CloseMonthRequest{RequestId: requestID, CommissionerCode: commissioner, Month: month})
	require.NoError(t, err)
	return schedule
}

func reason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

func (s *suite) events(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM outbox`).Scan(&n)
	}))
	return n
}

func payments(schedule *typev1.PaymentSchedule) map[string]int64 {
	out := make(map[string]int64)
	for _, line := range schedule.GetLines() {
		out[line.GetPaymentCode()] += line.GetAmountPence()
	}
	return out
}

func TestCloseMonth_SchedulesWhatIsDue(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085), snapshotPCN("U2", "15N", "QJK", 9258))
		schedule := s.close(t, "15N", "2022-04", "r1")
		require.Equal(t, map[string]int64{
			"CORE_PCN":              513563 + 115725,
			"CLINICAL_DIRECTOR":     251988 + 56782,
			"LEADERSHIP_MANAGEMENT": 239320 + 53928,
			"EXTENDED_HOURS":        493020 + 111096,
			"NPP":                   602930 + 135868,
		}, payments(schedule))
		require.Equal(t, schedule.GetPayTotalPence(), sum(schedule))
		require.Equal(t, "BEDS_MISSING", schedule.GetRefusals()[0].GetReason())
		require.Equal(t, []string{"U1", "U2"}, schedule.GetRefusals()[0].GetPcnCodes())
		require.Equal(t, 2, s.events(t), "the schedule and the entitlements")
		again := s.close(t, "15N", "2022-04", "r2")
		require.Equal(t, schedule.GetScheduleId(), again.GetScheduleId(), "nothing has changed")
		require.Equal(t, 2, s.events(t))
	})
}

func sum(schedule *typev1.PaymentSchedule) (total int64) {
	for _, line := range schedule.GetLines() {
		total += line.GetAmountPence()
	}
	return total
}

func TestCloseMonth_AnswersOnceForARequestID(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		first := s.close(t, "15N", "2022-04", "same")
		s.register.set(snapshotPCN("U1", "15N", "QJK", 50000))
		var header metadata.MD
		replay, err := s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: "same", CommissionerCode: "15N", Month: "2022-04"}, grpc.Header(&header))
		require.NoError(t, err)
		require.True(t, proto.Equal(first, replay), "the stored answer, though the list has changed")
		require.Equal(t, []string{"true"}, header.Get(rpc.KeyReplay))
		_, err = s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: "same", CommissionerCode: "15N", Month: "2022-05"})
		require.Equal(t, codes.AlreadyExists, status.Code(err))
		require.Equal(t, "REQUEST_ID_REUSED", reason(err))
	})
}

func TestCloseMonth_AdjustsClosedMonths(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		april := s.close(t, "15N", "2022-04", "r1")
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41095))
		may := s.close(t, "15N", "2022-05", "r2")
		lines := make(map[string]*typev1.PaymentLine)
		for _, line := range april.GetLines() {
			lines[line.GetLineId()] = line
		}
		adjusted := 0
		for _, line := range may.GetLines() {
			if line.GetForMonth() != "2022-04" {
				require.Empty(t, line.GetAdjustsLineId())
				continue
			}
			adjusted++
			require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_POPULATION, line.GetAdjustmentCause())
			require.Equal(t, lines[line.GetAdjustsLineId()].GetPaymentCode(), line.GetPaymentCode())
			explained, err := s.core.GetLine(as(t, testkit.Auditor("*")), &corev1.GetLineRequest{LineId: line.GetLineId()})
			require.NoError(t, err)
			require.True(t, explained.GetVerified())
		}
		require.Equal(t, 5, adjusted, "all payments but the beds, which nobody stated")
		sequel := s.close(t, "15N", "2022-04", "r3")
		require.Equal(t, april.GetScheduleId(), sequel.GetScheduleId(), "May has taken up April's differences")
		preview, err := s.core.PreviewMonth(as(t, testkit.Auditor("*")), &corev1.PreviewMonthRequest{CommissionerCode: "15N", Month: "2022-05", IncludeWorking: true})
		require.NoError(t, err)
		require.Empty(t, preview.GetLines())
	})
}

func TestCloseMonth_TakesOverTheDebtsOfCCGs(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		s.close(t, "15N", "2022-06", "r1")
		_, err := s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: "r2", CommissionerCode: "15N", Month: "2022-07"})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", reason(err), "a CCG owes nothing after June 2022")
		_, err = s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: "r3", CommissionerCode: "QJK", Month: "2022-06"})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", reason(err), "an ICB owes nothing before July 2022")
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41095))
		july := s.close(t, "QJK", "2022-07", "r4")
		corrected := 0
		for _, line := range july.GetLines() {
			if line.GetForMonth() == "2022-06" {
				corrected++
				require.NotEmpty(t, line.GetAdjustsLineId())
			}
		}
		require.Equal(t, 5, corrected, "the ICB makes good what the CCG paid on an old list")
	})
}

func TestCloseMonth_PaysFourMonthsInJuly2019(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 44871))
		july := s.close(t, "15N", "2019-07", "r1")
		months := make(map[string]int64)
		for _, line := range july.GetLines() {
			if line.GetPaymentCode() == "CORE_PCN" {
				months[line.GetForMonth()] += line.GetAmountPence()
			}
		}
		require.Equal(t, map[string]int64{"2019-04": 560888, "2019-05": 560888, "2019-06": 560888, "2019-07": 560888}, months, "CDP-044")
		require.Equal(t, "RATE_UNKNOWN", july.GetRefusals()[0].GetReason(), "extended hours of 2019/20")
	})
}

func TestCloseMonth_RefusesMonthsThatCannotBeClosed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		for month, want := range map[string]string{
			"2999-01": "MONTH_NOT_STARTED", "2018-04": "MONTH_WITHOUT_RATES", "2022-13": "MONTH_MALFORMED",
		} {
			_, err := s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: month, CommissionerCode: "15N", Month: month})
			require.Equal(t, want, reason(err), month)
		}
		require.Zero(t, s.events(t), "nothing is stored")
	})
}

func TestCloseMonth_StormMakesOneSchedulePerSequence(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085))
		var wg sync.WaitGroup
		failures := make(chan error, 20)
		for i := range 20 {
			wg.Go(func() {
				_, err := s.core.CloseMonth(as(t, testkit.Preparer("*")), &corev1.CloseMonthRequest{RequestId: "storm-" + strconv.Itoa(i), CommissionerCode: "15N", Month: "2022-04"})
				failures <- err
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		list, err := s.core.ListSchedules(as(t, testkit.Auditor("*")), &corev1.ListSchedulesRequest{CommissionerCode: "15N"})
		require.NoError(t, err)
		require.Len(t, list.GetSchedules(), 1)
		require.Equal(t, 2, s.events(t), "the schedule and the entitlements")
	})
}

func TestSchedules_AreSeenByThoseWhoMay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 41085), snapshotPCN("U2", "11N", "QT6", 30000))
		own, other := s.close(t, "15N", "2022-04", "r1"), s.close(t, "11N", "2022-04", "r2")
		mine := as(t, testkit.Preparer("15N"))
		_, err := s.core.GetSchedule(mine, &corev1.GetScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		_, err = s.core.GetSchedule(mine, &corev1.GetScheduleRequest{ScheduleId: other.GetScheduleId()})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.core.GetLine(mine, &corev1.GetLineRequest{LineId: other.GetLines()[0].GetLineId()})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.core.GetPcnMonth(mine, &corev1.GetPcnMonthRequest{PcnCode: "U2", Month: "2022-04"})
		require.Equal(t, codes.NotFound, status.Code(err))
		month, err := s.core.GetPcnMonth(as(t, testkit.PCNManager("U1")), &corev1.GetPcnMonthRequest{PcnCode: "U1", Month: "2022-04"})
		require.NoError(t, err)
		require.Len(t, month.GetLines(), 5)
		_, err = s.core.CloseMonth(as(t, testkit.Auditor("*")), &corev1.CloseMonthRequest{RequestId: "r3", CommissionerCode: "15N", Month: "2022-04"})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
	})
}

func TestRates_AreConfirmedByName(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		schedule := s.close(t, "15N", "2021-10", "r1")
		var waiting *typev1.Refusal
		for _, refusal := range schedule.GetRefusals() {
			if refusal.GetPaymentCode() == "LEADERSHIP_MANAGEMENT" {
				waiting = refusal
			}
		}
		require.Equal(t, "RATE_NOT_CONFIRMED", waiting.GetReason())
		require.Equal(t, "40000", waiting.GetQuantity())
		require.Equal(t, int64(471333), waiting.GetCandidatePence(), "0.707 x 40,000 / 6")
		confirm := &corev1.ConfirmRateRequest{
			RequestId: "c1", RateId: "LEADERSHIP_MANAGEMENT-2021-10", Source: "board paper", Confidence: typev1.Confidence_CONFIDENCE_SECONDARY,
		}
		_, err := s.core.ConfirmRate(as(t, testkit.Preparer("*")), confirm)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		_, err = s.core.ConfirmRate(as(t, testkit.Approver("15N")), confirm)
		require.Error(t, err, "national figures are not one commissioner's to confirm")
		own := proto.CloneOf(confirm)
		own.CommissionerCode = "15N"
		rate, err := s.core.ConfirmRate(as(t, testkit.Approver("15N")), own)
		require.NoError(t, err)
		require.Equal(t, "15N", rate.GetCommissionerCode())
		again := s.close(t, "15N", "2021-10", "r2")
		require.Equal(t, int32(2), again.GetSequence())
		require.Len(t, again.GetLines(), 1)
		require.Equal(t, int64(471333), again.GetLines()[0].GetAmountPence())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_FIGURE_ENTERED, again.GetLines()[0].GetAdjustmentCause())
		own.RequestId = "c2"
		_, err = s.core.ConfirmRate(as(t, testkit.Approver("15N")), own)
		require.Equal(t, "RATE_CHANGED", reason(err))
	})
}

func TestWithholdings_HoldAndRelease(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		held, err := s.core.WithholdPayment(as(t, testkit.Preparer("15N")), &corev1.WithholdPaymentRequest{
			RequestId: "w1", CommissionerCode: "15N", PcnCode: "U1", PaymentCode: "EXTENDED_HOURS", FromMonth: "2022-04", Reason: "hours not shown",
		})
		require.NoError(t, err)
		april := s.close(t, "15N", "2022-04", "r1")
		require.NotContains(t, payments(april), "EXTENDED_HOURS")
		require.Equal(t, int64(480000), april.GetWithheld()[0].GetAmountPence())
		_, err = s.core.WithholdPayment(as(t, testkit.Preparer("15N")), &corev1.WithholdPaymentRequest{
			RequestId: "w3", CommissionerCode: "15N", PcnCode: "U1", PaymentCode: "NPP", FromMonth: "2022-04", ToMonth: "2022-04", Reason: "later",
		})
		require.NoError(t, err)
		require.Equal(t, april.GetScheduleId(), s.close(t, "15N", "2022-04", "r4").GetScheduleId(), "what was scheduled before stays")
		release := &corev1.ReleasePaymentRequest{RequestId: "w2", CommissionerCode: "15N", WithholdingId: held.GetWithholdingId(), Etag: "9", Reason: "shown"}
		_, err = s.core.ReleasePayment(as(t, testkit.Approver("15N")), release)
		require.Equal(t, codes.Aborted, status.Code(err))
		release.Etag = held.GetEtag()
		_, err = s.core.ReleasePayment(as(t, testkit.Approver("15N")), release)
		require.NoError(t, err)
		may := s.close(t, "15N", "2022-05", "r2")
		require.Equal(t, int64(960000), payments(may)["EXTENDED_HOURS"], "May and April")
	})
}

func TestDeclarations_ArePaidInFullOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 50000))
		declare := &corev1.RecordDeclarationRequest{
			RequestId: "d1", CommissionerCode: "QJK", PcnCode: "U1", PaymentCode: "CAIP_ACCESS", Month: "2025-10", Evidence: "all practices",
		}
		preparer := testkit.Preparer("QJK")
		declared, err := s.core.RecordDeclaration(as(t, preparer), declare)
		require.NoError(t, err)
		decide := &corev1.DecideDeclarationRequest{RequestId: "d2", CommissionerCode: "QJK", DeclarationId: declared.GetDeclarationId(), Etag: declared.GetEtag(), Accept: true}
		approver := testkit.Approver("QJK")
		self := approver
		self.Subject = preparer.Subject
		_, err = s.core.DecideDeclaration(as(t, self), decide)
		require.Equal(t, "DECIDER_IS_DECLARER", reason(err))
		_, err = s.core.DecideDeclaration(as(t, approver), decide)
		require.NoError(t, err)
		october := s.close(t, "QJK", "2025-10", "r1")
		require.Equal(t, int64(4585000), payments(october)["CAIP_ACCESS"], "0.917 x 50,000, not pro rata")
		declare.RequestId, declare.Month = "d3", "2026-10"
		_, err = s.core.RecordDeclaration(as(t, preparer), declare)
		require.Equal(t, "DECLARATION_OUT_OF_TIME", reason(err))
	})
}

func TestSettings_ChangeTheConvention(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 48413))
		_, err := s.core.SetSetting(as(t, testkit.Approver("15N")), &corev1.SetSettingRequest{
			RequestId: "s1", CommissionerCode: "15N", Name: "CONVENTION", PaymentCode: "CLINICAL_DIRECTOR", Value: "PCN_MONTHLY_RATE", FromMonth: "2021-04", Reason: "as paid before",
		})
		require.NoError(t, err)
		schedule := s.close(t, "15N", "2021-04", "r1")
		require.Equal(t, int64(295319), payments(schedule)["CLINICAL_DIRECTOR"], "CDP-029")
		for _, value := range []string{"PCN_WEEKLY", ""} {
			_, err = s.core.SetSetting(as(t, testkit.Approver("15N")), &corev1.SetSettingRequest{
				RequestId: "s-" + value, CommissionerCode: "15N", Name: "CONVENTION", Value: value, FromMonth: "2021-04", Reason: "r",
			})
			require.Equal(t, codes.InvalidArgument, status.Code(err))
		}
	})
}

func TestSchedules_AreFrozen(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		s.close(t, "15N", "2022-04", "r1")
		owner := testkit.Owner(t, s.db)
		for _, statement := range []string{
			`UPDATE lines SET amount_pence = 1`, `DELETE FROM lines`, `UPDATE schedules SET pay_total_pence = 1`, `DELETE FROM rates`,
		} {
			err := owner.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			})
			require.ErrorContains(t, err, "append-only", statement)
		}
	})
}

func TestPreviewMonth_KnowsWhatWasKnown(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		preview := func(at time.Time) map[string]int64 {
			schedule, err := s.core.PreviewMonth(as(t, testkit.Auditor("*")), previewAt("QJK", "2024-04", at))
			require.NoError(t, err)
			return payments(schedule)
		}
		first, revised := preview(time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)), preview(time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC))
		require.Equal(t, int64(2558000), first["ENHANCED_ACCESS"], "7.674 x 40,000 / 12")
		require.Equal(t, int64(2658333), revised["ENHANCED_ACCESS"], "7.975 x 40,000 / 12")
		require.Equal(t, int64(972000), first["CORE_PCN"], "2.916 x 40,000 / 12")
		require.NotContains(t, revised, "CORE_PCN", "the revised split is not known")
	})
}

func previewAt(commissioner, month string, at time.Time) *corev1.PreviewMonthRequest {
	return &corev1.PreviewMonthRequest{CommissionerCode: commissioner, Month: month, KnownAt: timestamppb.New(at), FromScratch: true}
}

func TestDeclarations_ArePaidOnceAYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 50000))
		for i, month := range []string{"2025-10", "2025-11"} {
			_, err := s.core.RecordDeclaration(as(t, testkit.Preparer("QJK")), &corev1.RecordDeclarationRequest{
				RequestId: "d" + month, CommissionerCode: "QJK", PcnCode: "U1", PaymentCode: "CAIP_ACCESS", Month: month, Evidence: "all practices",
			})
			if i == 0 {
				require.NoError(t, err)
				continue
			}
			require.Equal(t, codes.AlreadyExists, status.Code(err), "a part is earned once a year")
		}
	})
}

func TestDeclarations_AreMadeByThoseWhoSpeakForThePCN(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 50000))
		director := auth.Principal{Subject: "director", Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: []string{"U1"}}
		req := &corev1.RecordDeclarationRequest{RequestId: "d1", CommissionerCode: "QXX", PcnCode: "U1", PaymentCode: "CAIP_RISK", Month: "2025-10", Evidence: "all practices"}
		declared, err := s.core.RecordDeclaration(as(t, director), req)
		require.NoError(t, err)
		_, err = s.core.DecideDeclaration(as(t, testkit.Approver("QXX")), &corev1.DecideDeclarationRequest{
			RequestId: "d2", CommissionerCode: "QXX", DeclarationId: declared.GetDeclarationId(), Etag: declared.GetEtag(), Accept: true,
		})
		require.Error(t, err, "only who owes the PCN accepts")

		audits := director
		audits.Roles, audits.Commissioners = append(audits.Roles, optionsv1.Role_ROLE_AUDITOR), []string{auth.England}
		_, err = s.core.RecordDeclaration(as(t, audits), &corev1.RecordDeclarationRequest{
			RequestId: "d3", CommissionerCode: "QJK", PcnCode: "U2", PaymentCode: "CAIP_RISK", Month: "2025-10", Evidence: "none",
		})
		require.Equal(t, codes.NotFound, status.Code(err), "who audits England speaks for no other PCN")
		all, err := s.core.ListDeclarations(as(t, audits), &corev1.ListDeclarationsRequest{})
		require.NoError(t, err)
		require.Len(t, all.GetDeclarations(), 1, "but reads what all have declared")
	})
}

func TestCloseMonth_CorrectsMonthsThatWerePaidLater(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 44871))
		require.Empty(t, s.close(t, "15N", "2019-04", "r0").GetLines(), "nothing is paid before July 2019")
		require.Empty(t, s.close(t, "15N", "2019-05", "r1").GetLines())
		s.close(t, "15N", "2019-07", "r2")
		s.register.set(snapshotPCN("U1", "15N", "QJK", 45871))
		august := s.close(t, "15N", "2019-08", "r3")
		months := make(map[string]int64)
		for _, line := range august.GetLines() {
			if line.GetPaymentCode() == "CORE_PCN" {
				months[line.GetForMonth()] += line.GetAmountPence()
			}
		}
		require.Equal(t, map[string]int64{"2019-04": 12500, "2019-05": 12500, "2019-06": 12500, "2019-07": 12500, "2019-08": 573388}, months)
	})
}

func TestWithholdings_AreReleasedByTheSuccessor(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		held, err := s.core.WithholdPayment(as(t, testkit.Preparer("15N")), &corev1.WithholdPaymentRequest{
			RequestId: "w1", CommissionerCode: "15N", PcnCode: "U1", PaymentCode: "EXTENDED_HOURS", FromMonth: "2022-05", Reason: "hours not shown",
		})
		require.NoError(t, err)
		july := s.close(t, "QJK", "2022-07", "r1")
		require.NotContains(t, payments(july), "EXTENDED_HOURS", "the decision stands under the ICB")
		_, err = s.core.ReleasePayment(as(t, testkit.Approver("QJK")), &corev1.ReleasePaymentRequest{
			RequestId: "w2", CommissionerCode: "QJK", WithholdingId: held.GetWithholdingId(), Etag: held.GetEtag(), Reason: "shown",
		})
		require.NoError(t, err)
		require.Equal(t, int64(480000), payments(s.close(t, "QJK", "2022-07", "r2"))["EXTENDED_HOURS"])
	})
}

func TestAddRate_RefusesWhatCouldNotStand(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		valid := func() *corev1.AddRateRequest {
			return &corev1.AddRateRequest{
				RequestId: "a", PaymentCode: "CASP", EffectiveFrom: "2025-04-01", EffectiveTo: "2026-03-31", RateGbp: "3.3",
				Source: "letter", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL, Version: "revised",
			}
		}
		for name, c := range map[string]struct {
			change func(*corev1.AddRateRequest)
			by     auth.Principal
			want   string
		}{
			"a second component": {func(r *corev1.AddRateRequest) { r.PaymentCode = "CORE_PCN" }, testkit.Approver("*"), "RATE_PERIOD_INVALID"},
			"part of a period":   {func(r *corev1.AddRateRequest) { r.EffectiveTo = "2025-09-30" }, testkit.Approver("*"), "RATE_PERIOD_INVALID"},
			"30 February":        {func(r *corev1.AddRateRequest) { r.KnownFrom = "2025-02-30" }, testkit.Approver("*"), "RATE_PERIOD_INVALID"},
			"a day to come":      {func(r *corev1.AddRateRequest) { r.KnownFrom = "2999-01-01" }, testkit.Approver("*"), "KNOWN_AT_IN_FUTURE"},
			"nothing":            {func(r *corev1.AddRateRequest) { r.RateGbp = "0" }, testkit.Approver("*"), "DECIMAL_MALFORMED"},
			"too much":           {func(r *corev1.AddRateRequest) { r.RateGbp = "12345" }, testkit.Approver("*"), "DECIMAL_MALFORMED"},
			"a preparer's word":  {func(*corev1.AddRateRequest) {}, testkit.Preparer("*"), "APPROVER_REQUIRED"},
			"an unknown payment": {func(r *corev1.AddRateRequest) { r.PaymentCode = "X" }, testkit.Approver("*"), "PAYMENT_UNKNOWN"},
		} {
			req := valid()
			c.change(req)
			_, err := s.core.AddRate(as(t, c.by), req)
			require.Equal(t, c.want, reason(err), name)
		}
		_, err := s.core.AddRate(as(t, testkit.Approver("*")), valid())
		require.NoError(t, err)
	})
}

func TestConfirmRate_NeedsAnotherPerson(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		both := testkit.Preparer("15N")
		both.Roles = append(both.Roles, optionsv1.Role_ROLE_FINANCE_APPROVER)
		rate, err := s.core.AddRate(as(t, both), &corev1.AddRateRequest{
			RequestId: "a", CommissionerCode: "15N", PaymentCode: "CLINICAL_DIRECTOR", EffectiveFrom: "2022-04-01", EffectiveTo: "2023-03-31",
			RateGbp: "0.75", MonthlyRateGbp: "0.0625", Source: "letter", Confidence: typev1.Confidence_CONFIDENCE_CANDIDATE, Version: "revised",
		})
		require.NoError(t, err)
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		require.Equal(t, int64(245333), payments(s.close(t, "15N", "2022-04", "r1"))["CLINICAL_DIRECTOR"], "a proposal stops nothing")
		confirm := &corev1.ConfirmRateRequest{
			RequestId: "c", CommissionerCode: "15N", RateId: rate.GetRateId(), RateGbp: "0.76", Source: "letter", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		}
		_, err = s.core.ConfirmRate(as(t, both), confirm)
		require.Equal(t, "CONFIRMER_IS_AUTHOR", reason(err))
		confirmed, err := s.core.ConfirmRate(as(t, testkit.Approver("15N")), confirm)
		require.NoError(t, err)
		require.Empty(t, confirmed.GetMonthlyRateGbp(), "a monthly figure went with the other rate")
	})
}

func TestPreviewMonth_StandsApartFromWhatWasScheduled(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		s.close(t, "15N", "2022-04", "r1")
		scratch, err := s.core.PreviewMonth(as(t, testkit.Auditor("15N")), &corev1.PreviewMonthRequest{CommissionerCode: "15N", Month: "2022-05", FromScratch: true})
		require.NoError(t, err)
		require.Equal(t, int64(500000), payments(scratch)["CORE_PCN"], "May alone")
		before, err := s.core.PreviewMonth(as(t, testkit.Auditor("15N")), &corev1.PreviewMonthRequest{
			CommissionerCode: "15N", Month: "2022-04", KnownAt: timestamppb.New(time.Date(2022, 5, 1, 0, 0, 0, 0, time.UTC)),
		})
		require.NoError(t, err)
		require.Equal(t, int64(500000), payments(before)["CORE_PCN"], "nothing was scheduled then")
	})
}

func TestLists_ShowWhatTheCallerMaySee(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000), snapshotPCN("U2", "11N", "QT6", 30000))
		s.close(t, "15N", "2022-04", "r1")
		s.close(t, "11N", "2022-04", "r2")
		list, err := s.core.ListSchedules(as(t, testkit.Auditor("15N")), &corev1.ListSchedulesRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetSchedules(), 1)
		_, err = s.core.ListSchedules(as(t, testkit.Auditor("15N")), &corev1.ListSchedulesRequest{CommissionerCode: "11N"})
		require.Equal(t, codes.NotFound, status.Code(err))
		entries, err := s.core.ListAuditEntries(as(t, testkit.Auditor("15N")), &corev1.ListAuditEntriesRequest{})
		require.NoError(t, err)
		require.Len(t, entries.GetEntries(), 1)
	})
}
