package payments_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// earned makes a line of iif: what a PCN earned on an indicator in a year.
func earned(payee, indicator string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.PaymentCode, line.FundingSource, line.SourceItem = "IIF", "IIF", indicator
	line.Basis = &typev1.LineBasis{Instalments: 1, Clause: "Network Contract DES 2022/23: Investment and Impact Fund, " + indicator + ": achievement of the year"}
	return line
}

// closesIif delivers a schedule of iif whole.
func (s *suite) closesIif(t testing.TB, code, month string, sequence int32, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	t.Helper()
	out := closed(t, code, month, sequence, lines...)
	out.ScheduleId, out.Fund = fmt.Sprintf("iif-%s-%s-%d", code, month, sequence), typev1.Fund_FUND_IIF
	for i, line := range lines {
		line.LineId = fmt.Sprintf("%s/%03d", out.GetScheduleId(), i+1)
	}
	announce(t, out)
	event := &iifv1.ScheduleClosed{Schedule: out, Part: 1, Parts: 1}
	require.LessOrEqual(t, proto.Size(event), schedule.MaxEventBytes)
	require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.fromIif(t, code, event)}))
	return out
}

func (s *suite) fromIif(t testing.TB, code string, event proto.Message) inbox.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, err := proto.Marshal(event)
	require.NoError(t, err)
	s.events["iif "+code]++
	n := strconv.Itoa(s.events["iif "+code])
	name := string(event.ProtoReflect().Descriptor().FullName())
	return inbox.Delivery{Subject: name + "." + code, Payload: payload, Header: map[string]string{
		"ce-specversion": "1.0", "ce-id": code + "-" + n, "ce-source": "/pcnfunding/iif", "ce-type": name,
		"ce-time": "2026-01-15T09:00:0" + n + "Z", "ce-subject": "commissioner/" + code, "ce-sequence": n, "content-type": "application/protobuf",
	}}
}

func TestRun_HoldsTheLinesOfIif(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		run := s.run(t, april1)
		require.Len(t, run.GetFunds(), 1, "a month in which iif pays nothing waits for nothing of it")
		s.closesIif(t, "15N", "2022-04", 1, earned("A", "HI-03", 1140000), earned("A", "ACC-08", 250000))
		run = s.run(t, april1)
		require.Equal(t, int64(1400000), run.GetTotals().GetNetPence())
		require.Equal(t, int32(1), run.GetTotals().GetPayments(), "one payment to a payee, whichever funds it is for")
		require.Len(t, run.GetFunds(), 2)
		require.Equal(t, typev1.Fund_FUND_IIF, run.GetFunds()[1].GetFund())
		require.True(t, run.GetFunds()[1].GetClosed())
		require.Equal(t, []string{"iif-15N-2022-04-1"}, run.GetFunds()[1].GetScheduleIds())
		require.Equal(t, paymentsv1.RunState_RUN_STATE_APPROVED, s.passes(t, april1).GetState())
	})
}

func TestSubmitRun_WaitsForIifWhereItIsExpected(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.expects(t, "core", "iif")
		_, err := s.submit(t, "maker", april1)
		require.Equal(t, "FUND_NOT_CLOSED", reason(err))
		require.ErrorContains(t, err, "name FUND_IIF among missing_funds", "as the request spells it")
		s.closesIif(t, "15N", "2022-04", 1)
		_, err = s.submit(t, "maker", april1)
		require.NoError(t, err, "a schedule without lines counts as closed")
	})
}

func TestJournal_CodesIifByItsStream(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesIif(t, "15N", "2022-04", 1, earned("A", "HI-03", 250000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.ErrorContains(t, err, "IIF", "a stream without codes is named")
		require.NoError(t, s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("IIF", "", "ACHIEVED")}))
		out, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.NoError(t, err)
		debits := make(map[string]string)
		for _, row := range table(t, s.file(t, out.GetExportId())) {
			if row["Debit"] != "" {
				debits[row["Subjective"]] = row["Debit"]
			}
		}
		require.Equal(t, map[string]string{"EXPENSE": "100.00", "ACHIEVED": "2500.00"}, debits)
	})
}

func TestStatement_ShowsIifAndItsCorrections(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesIif(t, "15N", "2022-04", 1, earned("A", "HI-03", 250000))
		s.pays(t, april1)
		less := earned("A", "HI-03", -40000)
		less.ForMonth, less.AdjustsLineId, less.AdjustmentCause = "2022-03", "iif-15N-2022-04-1/001", typev1.AdjustmentCause_ADJUSTMENT_CAUSE_YEAR_CORRECTED
		s.closes(t, "15N", "2022-05", 1, pay("A", 10000))
		s.closesIif(t, "15N", "2022-05", 1, less)
		april := s.statement(t, "UA", "2022-04")
		require.Equal(t, []int64{0, 260000, 260000, 0}, []int64{april.GetOpeningPence(), april.GetTotalPence(), april.GetSentPence(), april.GetClosingPence()})
		line := april.GetPayments()[1]
		require.Equal(t, []any{typev1.Fund_FUND_IIF, "HI-03: achievement of the year"}, []any{line.GetFund(), line.GetBasis()})
		may := s.statement(t, "UA", "2022-05")
		require.Equal(t, int64(-30000), may.GetTotalPence())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_YEAR_CORRECTED, may.GetCorrections()[0].GetLine().GetAdjustmentCause())
		csv, err := s.payments.DownloadStatementCsv(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		require.Contains(t, string(csv.GetData()), "year corrected")
		names := make(map[string]bool)
		for _, row := range table(t, string(csv.GetData())) {
			names[row["section"]+" "+row["payment_code"]+" "+row["payment_name"]] = true
		}
		require.True(t, names["correction IIF Investment and Impact Fund"], "%v", names)
		pdf, err := s.payments.DownloadStatement(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		require.NotEmpty(t, pdf.GetData())
	})
}

func TestVariance_ExpectsNothingOfIif(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closesIif(t, "15N", "2022-04", 1, earned("A", "HI-03", 250000), earned("A", "ACC-08", 50000))
		rows := s.variance(t, april1).GetRows()
		require.Len(t, rows, 1, "the indicators of a PCN are one payment")
		require.Equal(t, int64(300000), rows[0].GetThisMonthPence())
		require.Nil(t, rows[0].ExpectedPence)
	})
}
