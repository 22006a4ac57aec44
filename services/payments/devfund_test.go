package payments_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// tranche makes a line of devfund: what a line of an approved plan pays a PCN for a month.
func tranche(payee, item, what string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.PaymentCode, line.FundingSource, line.SourceItem = "PCN_DEVELOPMENT", "DEVELOPMENT", item
	line.Basis = &typev1.LineBasis{Instalments: 1, Clause: "PCN development fund 2022/23: PCN development, " + what}
	return line
}

const coaching = "Coaching, for all (change management): tranche of 2022-04"

// closesDevfund delivers a schedule of devfund in so many parts, the last one first.
func (s *suite) closesDevfund(t testing.TB, code, month string, sequence int32, parts int, lines ...*typev1.PaymentLine) *typev1.PaymentSchedule {
	t.Helper()
	out := closed(t, code, month, sequence, lines...)
	out.ScheduleId, out.Fund = fmt.Sprintf("devfund-%s-%s-%d", code, month, sequence), typev1.Fund_FUND_DEVFUND
	for i, line := range lines {
		line.LineId = fmt.Sprintf("%s/%03d", out.GetScheduleId(), i+1)
	}
	announce(t, out)
	var deliveries []inbox.Delivery
	for part := range parts {
		header := proto.CloneOf(out)
		header.Lines = out.GetLines()[part*len(lines)/parts : (part+1)*len(lines)/parts]
		event := &devfundv1.ScheduleClosed{Schedule: header, Part: int32(part + 1), Parts: int32(parts)}
		require.LessOrEqual(t, proto.Size(event), schedule.MaxEventBytes)
		deliveries = append(deliveries, s.fromDevfund(t, code, event))
	}
	for _, verdict := range s.service.Inbox().Take(t.Context(), deliveries) {
		require.Equal(t, inbox.Settled, verdict)
	}
	return out
}

func (s *suite) fromDevfund(t testing.TB, code string, event proto.Message) inbox.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, err := proto.Marshal(event)
	require.NoError(t, err)
	s.events["devfund "+code]++
	n := strconv.Itoa(s.events["devfund "+code])
	name := string(event.ProtoReflect().Descriptor().FullName())
	return inbox.Delivery{Subject: name + "." + code, Payload: payload, Header: map[string]string{
		"ce-specversion": "1.0", "ce-id": code + "-devfund-" + n, "ce-source": "/pcnfunding/devfund", "ce-type": name,
		"ce-time": "2026-01-15T09:00:0" + n + "Z", "ce-subject": "commissioner/" + code, "ce-sequence": n, "content-type": "application/protobuf",
	}}
}

func TestRun_HoldsTheLinesOfDevfund(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		run := s.run(t, april1)
		require.Len(t, run.GetFunds(), 1, "a month in which devfund pays nothing waits for nothing of it")
		s.closesDevfund(t, "15N", "2022-04", 1, 2, tranche("A", "p1/L1", coaching, 1140000), tranche("A", "p1/L2", coaching, 250000))
		run = s.run(t, april1)
		require.Equal(t, int64(1400000), run.GetTotals().GetNetPence())
		require.Equal(t, int32(1), run.GetTotals().GetPayments(), "one payment to a payee, whichever funds it is for")
		require.Len(t, run.GetFunds(), 2)
		require.Equal(t, typev1.Fund_FUND_DEVFUND, run.GetFunds()[1].GetFund())
		require.True(t, run.GetFunds()[1].GetClosed())
		require.Equal(t, []string{"devfund-15N-2022-04-1"}, run.GetFunds()[1].GetScheduleIds())
		require.Equal(t, paymentsv1.RunState_RUN_STATE_APPROVED, s.passes(t, april1).GetState())
	})
}

func TestSubmitRun_WaitsForDevfundWhereItIsExpected(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.expects(t, "core", "devfund")
		_, err := s.submit(t, "maker", april1)
		require.Equal(t, "FUND_NOT_CLOSED", reason(err))
		require.ErrorContains(t, err, "name FUND_DEVFUND among missing_funds", "as the request spells it")
		s.closesDevfund(t, "15N", "2022-04", 1, 1)
		_, err = s.submit(t, "maker", april1)
		require.NoError(t, err, "a schedule without lines counts as closed")
	})
}

func TestTake_RefusesAScheduleOfDevfundThatDoesNotAddUp(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		out := closed(t, "15N", "2022-04", 1, tranche("A", "p1/L1", coaching, 100))
		out.ScheduleId, out.Fund = "devfund-15N-2022-04-1", typev1.Fund_FUND_DEVFUND
		announce(t, out)
		out.Lines[0].AmountPence = 101
		s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.fromDevfund(t, "15N", &devfundv1.ScheduleClosed{Schedule: out, Part: 1, Parts: 1})})
		require.Equal(t, int64(1), s.figures(t)["inbox_quarantined"])
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		require.Equal(t, int64(10000), s.run(t, april1).GetTotals().GetNetPence(), "nothing of it is owed")
	})
}

func TestJournal_CodesDevfundByItsStream(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesDevfund(t, "15N", "2022-04", 1, 1, tranche("A", "p1/L1", coaching, 250000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.ErrorContains(t, err, "PCN_DEVELOPMENT", "a stream without codes is named")
		require.NoError(t, s.addCodes(t, "ann", []*paymentsv1.CodeMapping{mapping("PCN_DEVELOPMENT", "", "DEVELOPED")}))
		out, err := s.exportBy(t, "maker", &paymentsv1.ExportRunRequest{RunId: april1, Format: journal, AccountingDate: "2022-04-30"})
		require.NoError(t, err)
		debits := make(map[string]string)
		for _, row := range table(t, s.file(t, out.GetExportId())) {
			if row["Debit"] != "" {
				debits[row["Subjective"]] = row["Debit"]
			}
		}
		require.Equal(t, map[string]string{"EXPENSE": "100.00", "DEVELOPED": "2500.00"}, debits)
	})
}

func TestStatement_ShowsDevfundAndWhatIsTakenBack(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000))
		s.closesDevfund(t, "15N", "2022-04", 1, 1, tranche("A", "p1/L1", coaching, 250000))
		s.pays(t, april1)
		less := tranche("A", "p1/L1", "Coaching, for all (change management): unspent money taken back", -40000)
		less.ForMonth, less.AdjustsLineId, less.AdjustmentCause = "2022-04", "devfund-15N-2022-04-1/001", typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPENT
		s.closes(t, "15N", "2022-05", 1, pay("A", 10000))
		s.closesDevfund(t, "15N", "2022-05", 1, 1, less)
		april := s.statement(t, "UA", "2022-04")
		require.Equal(t, []int64{0, 260000, 260000, 0}, []int64{april.GetOpeningPence(), april.GetTotalPence(), april.GetSentPence(), april.GetClosingPence()})
		line := april.GetPayments()[1]
		require.Equal(t, []any{typev1.Fund_FUND_DEVFUND, coaching}, []any{line.GetFund(), line.GetBasis()})
		may := s.statement(t, "UA", "2022-05")
		require.Equal(t, int64(-30000), may.GetTotalPence())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPENT, may.GetCorrections()[0].GetLine().GetAdjustmentCause())
		csv, err := s.payments.DownloadStatementCsv(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		names := make(map[string]bool)
		for _, row := range table(t, string(csv.GetData())) {
			names[strings.Join([]string{row["section"], row["fund"], row["payment_code"], row["payment_name"], row["cause"]}, "|")] = true
		}
		require.True(t, names["correction|devfund|PCN_DEVELOPMENT|PCN development|unspent"], "%v", names)
		pdf, err := s.payments.DownloadStatement(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementRequest{PcnCode: "UA", Period: "2022-05"})
		require.NoError(t, err)
		require.NotEmpty(t, pdf.GetData())
	})
}

func TestDownloadRunLines_NamesDevfundInWords(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closesDevfund(t, "15N", "2022-04", 1, 1, tranche("A", "p1/L1", coaching, 250000))
		run := s.run(t, april1)
		require.Equal(t, int64(250000), run.GetTotals().GetNetPence(), "a month of devfund alone makes a run")
		lines, err := s.payments.DownloadRunLines(s.as(t.Context(), "auditor"), &paymentsv1.DownloadRunLinesRequest{RunId: april1})
		require.NoError(t, err)
		rows := table(t, string(lines.GetData()))
		require.Equal(t, []string{"devfund", "PCN_DEVELOPMENT", "DEVELOPMENT", coaching},
			[]string{rows[0]["fund"], rows[0]["payment_code"], rows[0]["funding_source"], rows[0]["basis"]})
	})
}

func TestVariance_ExpectsNothingOfDevfund(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closesDevfund(t, "15N", "2022-04", 1, 1, tranche("A", "p1/L1", coaching, 250000), tranche("A", "p1/L2", coaching, 50000))
		rows := s.variance(t, april1).GetRows()
		require.Len(t, rows, 1, "the lines of a PCN are one payment")
		require.Equal(t, int64(300000), rows[0].GetThisMonthPence())
		require.Nil(t, rows[0].ExpectedPence)
	})
}
