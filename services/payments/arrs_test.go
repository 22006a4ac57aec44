package payments_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// staff makes a line of arrs for a payee.
func staff(payee string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.PaymentCode, line.FundingSource = "ARRS_MAIN", "ARRS"
	line.Basis = &typev1.LineBasis{Instalments: 1, Clause: "Network Contract DES 2022/23: Additional roles reimbursement, 2 approved claims for 2022-04"}
	return line
}

// fromArrs makes the next event of arrs for a commissioner. Its identifiers and aggregates are also those of events of core.
func (s *suite) fromArrs(t require.TestingT, code string, event proto.Message) inbox.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, err := proto.Marshal(event)
	require.NoError(t, err)
	s.events["arrs "+code]++
	n := strconv.Itoa(s.events["arrs "+code])
	name := string(event.ProtoReflect().Descriptor().FullName())
	return inbox.Delivery{Subject: name + "." + code, Payload: payload, Header: map[string]string{
		"ce-specversion": "1.0", "ce-id": code + "-" + n, "ce-source": "/pcnfunding/arrs", "ce-type": name,
		"ce-time": "2026-01-15T09:00:0" + n + "Z", "ce-subject": "schedules/" + code, "ce-sequence": n, "content-type": "application/protobuf",
	}}
}

// closesArrs delivers a schedule of arrs whole.
func (s *suite) closesArrs(t testing.TB, code, month string, sequence int32, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	t.Helper()
	out := closed(t, code, month, sequence, lines...)
	out.ScheduleId, out.Fund = fmt.Sprintf("arrs-%s-%s-%d", code, month, sequence), typev1.Fund_FUND_ARRS
	for i, line := range lines {
		line.LineId = fmt.Sprintf("%s/%03d", out.GetScheduleId(), i+1)
	}
	announce(t, out)
	event := &arrsv1.ScheduleClosed{Schedule: out, Part: 1, Parts: 1}
	require.LessOrEqual(t, proto.Size(event), schedule.MaxEventBytes)
	require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.fromArrs(t, code, event)}))
	return out
}

// statesArrs has arrs say what can be used of the main pot of PCN UA; without a schedule where a year was fixed.
func (s *suite) statesArrs(t testing.TB, month, schedule string, pence int64) {
	t.Helper()
	event := &arrsv1.EntitlementsStated{CommissionerCode: "15N", CommissionerName: "Body 15N", Month: month, ScheduleId: schedule}
	event.Entitlements = append(event.Entitlements, &typev1.Entitlement{
		PcnCode: "UA", PcnName: "Network UA", PaymentCode: "ARRS_MAIN", FundingSource: "ARRS", FromMonth: "2022-04", ToMonth: "2023-03", Instalments: 1,
		AmountPence: pence, Confidence: typev1.Confidence_CONFIDENCE_SECONDARY,
	})
	require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.fromArrs(t, "15N", event)}))
}

func (s *suite) expects(t testing.TB, names ...string) {
	t.Helper()
	_, err := s.payments.SetSetting(s.as(t.Context(), "ann"), &paymentsv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: "15N", FromMonth: "2022-04", Reason: "test",
		Choice: &paymentsv1.SetSettingRequest_ExpectedFunds{ExpectedFunds: &paymentsv1.ExpectedFunds{Funds: names}},
	})
	require.NoError(t, err)
}

func TestRun_HoldsTheLinesOfBothFunds(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000), pay("B", 500))
		s.closesArrs(t, "15N", "2022-04", 1, staff("A", 250000))
		run := s.run(t, april1)
		require.Equal(t, int32(3), run.GetTotals().GetLines())
		require.Equal(t, int64(260500), run.GetTotals().GetNetPence())
		require.Equal(t, int32(2), run.GetTotals().GetPayments(), "one payment to a payee, whichever funds it is for")
		require.Len(t, run.GetFunds(), 2)
		for i, fund := range []typev1.Fund{typev1.Fund_FUND_CORE, typev1.Fund_FUND_ARRS} {
			require.Equal(t, fund, run.GetFunds()[i].GetFund())
			require.True(t, run.GetFunds()[i].GetClosed())
		}
		require.Equal(t, []string{"arrs-15N-2022-04-1"}, run.GetFunds()[1].GetScheduleIds())
		approved := s.passes(t, april1)
		require.Equal(t, paymentsv1.RunState_RUN_STATE_APPROVED, approved.GetState())
		balances := make(map[string]int64)
		trial, err := s.payments.GetTrialBalance(s.as(t.Context(), "auditor"), &paymentsv1.GetTrialBalanceRequest{CommissionerCode: "15N"})
		require.NoError(t, err)
		for _, b := range trial.GetBalances() {
			if b.GetBalancePence() != 0 {
				balances[fmt.Sprintf("%s %d", b.GetAccount().GetFund(), b.GetAccount().GetStage())] = b.GetBalancePence()
			}
		}
		require.Equal(t, map[string]int64{
			"FUND_CORE 1": 10500, "FUND_CORE 3": -10500, "FUND_ARRS 1": 250000, "FUND_ARRS 3": -250000,
		}, balances)
	})
}

func TestSubmitRun_WaitsForTheFundsExpected(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		require.Len(t, s.run(t, april1).GetFunds(), 1, "core alone unless a setting says otherwise")
		s.expects(t, "core", "arrs")
		_, err := s.submit(t, "maker", april1)
		require.Equal(t, "FUND_NOT_CLOSED", reason(err))
		require.ErrorContains(t, err, "name FUND_ARRS among missing_funds", "as the request spells it")
		s.closesArrs(t, "15N", "2022-04", 1)
		_, err = s.submit(t, "maker", april1)
		require.NoError(t, err, "a schedule without lines counts as closed")
	})
}

func TestJournal_CodesClaimsByTheirPot(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesArrs(t, "15N", "2022-04", 1, staff("A", 250000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.ErrorContains(t, err, "ARRS_MAIN", "a stream without codes is named")
		require.NoError(t, s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("ARRS_MAIN", "", "STAFF")}))
		out, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.NoError(t, err)
		debits := make(map[string]string)
		for _, row := range table(t, s.file(t, out.GetExportId())) {
			if row["Debit"] != "" {
				debits[row["Subjective"]] = row["Debit"]
			}
		}
		require.Equal(t, map[string]string{"EXPENSE": "100.00", "STAFF": "2500.00"}, debits)
	})
}

func TestStatement_ShowsClaimsAndWhatRemainsOfTheirSum(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.states(t, "2022-04", "core-15N-2022-04-1", map[string]int64{"": 120000})
		s.statesArrs(t, "2022-04", "", 900000)
		before := s.statement(t, "UA", "2022-04")
		require.Len(t, before.GetRemaining(), 2)
		s.closesArrs(t, "15N", "2022-04", 1, staff("A", 250000))
		s.statesArrs(t, "2022-04", "arrs-15N-2022-04-1", 1000000)
		s.pays(t, april1)
		s.closes(t, "15N", "2022-05", 1, pay("A", 10000))
		late := staff("A", 33)
		late.ForMonth, late.AdjustsLineId, late.AdjustmentCause = "2022-04", "arrs-15N-2022-04-1/001", typev1.AdjustmentCause_ADJUSTMENT_CAUSE_LATE_CLAIM
		s.closesArrs(t, "15N", "2022-05", 1, staff("A", 300000), late)
		april := s.statement(t, "UA", "2022-04")
		require.Equal(t, []int64{0, 260000, 260000, 0}, []int64{april.GetOpeningPence(), april.GetTotalPence(), april.GetSentPence(), april.GetClosingPence()})
		require.Equal(t, "CORE_PCN", april.GetPayments()[0].GetLine().GetPaymentCode())
		arrs := april.GetPayments()[1]
		require.Equal(t, []any{typev1.Fund_FUND_ARRS, "2 approved claims for 2022-04", int64(250000)}, []any{arrs.GetFund(), arrs.GetBasis(), arrs.GetLine().GetAmountPence()})
		may := s.statement(t, "UA", "2022-05")
		require.Equal(t, []int64{0, 310033, 0, 310033}, []int64{may.GetOpeningPence(), may.GetTotalPence(), may.GetSentPence(), may.GetClosingPence()})
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_LATE_CLAIM, may.GetCorrections()[0].GetLine().GetAdjustmentCause())
		var left []string
		for _, r := range may.GetRemaining() {
			left = append(left, fmt.Sprintf("%s %d %d %d", r.GetPaymentCode(), r.GetEntitledPence(), r.GetScheduledPence(), r.GetRemainingPence()))
		}
		require.Equal(t, []string{"CORE_PCN 120000 20000 100000", "ARRS_MAIN 1000000 550033 449967"}, left)
		csv, err := s.payments.DownloadStatementCsv(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		require.Contains(t, string(csv.GetData()), "late claim")
		names := make(map[string]bool)
		for _, row := range table(t, string(csv.GetData())) {
			names[row["section"]+" "+row["payment_code"]+" "+row["payment_name"]] = true
		}
		require.True(t, names["payment ARRS_MAIN Additional roles reimbursement"], "%v", names)
		pdf, err := s.payments.DownloadStatement(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		require.NotEmpty(t, pdf.GetData())
	})
}

func TestEntitlements_OfAYearFixedAnewReplaceWhatAScheduleStated(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closesArrs(t, "15N", "2022-04", 1, staff("A", 100))
		entitled := func() int64 { return s.statement(t, "UA", "2022-06").GetRemaining()[0].GetEntitledPence() }
		s.statesArrs(t, "2022-04", "", 100000)
		require.Equal(t, int64(100000), entitled())
		s.statesArrs(t, "2022-04", "", 110000)
		require.Equal(t, int64(110000), entitled(), "the newest statement of a year")
		s.statesArrs(t, "2022-05", "arrs-15N-2022-05-1", 120000)
		require.Equal(t, int64(120000), entitled())
		s.statesArrs(t, "2022-04", "", 130000)
		require.Equal(t, int64(130000), entitled(), "a year that is fixed anew after a close")
		s.statesArrs(t, "2022-06", "arrs-15N-2022-06-1", 140000)
		require.Equal(t, int64(140000), entitled())
	})
}

func TestVariance_ExpectsNothingOfClaims(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesArrs(t, "15N", "2022-04", 1, staff("A", 250000))
		s.statesArrs(t, "2022-04", "arrs-15N-2022-04-1", 1000000)
		rows := s.variance(t, april1).GetRows()
		require.Len(t, rows, 2)
		for _, row := range rows {
			require.Nil(t, row.ExpectedPence, "%s", row.GetPaymentCode())
		}
	})
}
