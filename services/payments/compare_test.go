package payments_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

const (
	matched   = paymentsv1.Match_MATCH_MATCHED
	missing   = paymentsv1.Match_MATCH_MISSING
	extra     = paymentsv1.Match_MATCH_EXTRA
	different = paymentsv1.Match_MATCH_DIFFERENT
)

// paidAmounts imports a file of amounts paid for core; rows are payee, month or year, amount.
func (s *suite) paidAmounts(t testing.TB, code string, rows ...[3]string) {
	t.Helper()
	var file strings.Builder
	file.WriteString("payee_code,month,financial_year,payment_code,amount\n")
	for _, row := range rows {
		month, year := row[1], ""
		if strings.Contains(row[1], "/") {
			month, year = "", row[1]
		}
		fmt.Fprintf(&file, "%s,%s,%s,CORE_PCN,%s\n", row[0], month, year, row[2])
	}
	stream, err := s.payments.Import(s.as(t.Context(), "maker"))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Header{Header: &paymentsv1.ImportHeader{
		RequestId: s.next(), CommissionerCode: code, Kind: paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS, FileName: "paid.csv",
	}}}))
	require.NoError(t, stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Chunk{Chunk: []byte(file.String())}}))
	_, err = stream.CloseAndRecv()
	require.NoError(t, err)
}

// settles confirms a payment of a run.
func (s *suite) settles(t testing.TB, code, id, status, amount string) {
	t.Helper()
	got, err := s.confirm(t.Context(), s.next(), code, confirmations([3]string{id, status, amount}))
	require.NoError(t, err)
	require.Equal(t, int32(1), got.GetFile().GetRowsApplied())
}

func (s *suite) reconciled(t testing.TB, code, from, to string) *paymentsv1.Reconciliation {
	t.Helper()
	out, err := s.payments.GetReconciliation(s.as(t.Context(), "auditor"), &paymentsv1.GetReconciliationRequest{
		CommissionerCode: code, FromMonth: from, ToMonth: to, PageSize: 1000,
	})
	require.NoError(t, err)
	var sums [2]int64
	for _, total := range out.GetTotals() {
		sums[0] += total.GetExpectedPence()
		sums[1] += total.GetPaidPence()
	}
	for _, row := range out.GetRows() {
		require.Equal(t, row.GetPaidPence()-row.GetExpectedPence(), row.GetDifferencePence())
		sums[0] -= row.GetExpectedPence()
		sums[1] -= row.GetPaidPence()
	}
	require.Equal(t, [2]int64{}, sums, "totals are those of the rows")
	return out
}

// compared is a row of a reconciliation, in short.
type compared struct {
	match          paymentsv1.Match
	payee, payment string
	period, cause  string
	expected, paid int64
}

func inShort(r *paymentsv1.Reconciliation) []compared {
	out := []compared{}
	for _, row := range r.GetRows() {
		out = append(out, compared{
			row.GetMatch(), row.GetPayeeCode(), row.GetPaymentCode(), row.GetPeriod(), row.GetCause(), row.GetExpectedPence(), row.GetPaidPence(),
		})
	}
	return out
}

func TestReconciliation_CountsWhatWasPaidAndNotWhatWasDue(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-01", 1, pay("P1", -5000), pay("P2", 100))
		s.pays(t, "15N-2022-01-1")
		require.Equal(t, []compared{
			{missing, "P1", "CORE_PCN", "2022-01", "CARRIED", -5000, 0},
			{missing, "P2", "CORE_PCN", "2022-01", "AWAITING_CONFIRMATION", 100, 0},
		}, inShort(s.reconciled(t, "15N", "2022-01", "")))
		s.closes(t, "15N", "2022-05", 1, pay("P1", 20000))
		s.pays(t, "15N-2022-05-1")
		s.settles(t, "15N", "15N-2022-05-1-P1", "PAID", "150.00")

		require.Equal(t, []compared{
			{extra, "P1", "RECOVERY", "2022-05", "RECOVERED", 0, -5000},
			{matched, "P1", "CORE_PCN", "2022-05", "", 20000, 20000},
		}, inShort(s.reconciled(t, "15N", "2022-05", "")), "together £150.00, which is what was paid")
		all := s.reconciled(t, "15N", "2022-01", "2022-05")
		require.Equal(t, []compared{
			{missing, "P2", "CORE_PCN", "2022-01", "AWAITING_CONFIRMATION", 100, 0},
			{matched, "P1", "CORE_PCN", "2022-01", "RECOVERED", -5000, -5000},
			{matched, "P1", "CORE_PCN", "2022-05", "", 20000, 20000},
		}, inShort(all))
		require.Equal(t, "15N-2022-05-1-P1", all.GetRows()[2].GetReference())

		s.paidAmounts(t, "15N", [3]string{"P1", "2022-05", "150.00"})
		require.Equal(t, []compared{{different, "P1", "CORE_PCN", "2022-05", "UNKNOWN", 20000, 15000}}, inShort(s.reconciled(t, "15N", "2022-05", "")),
			"what a file states is what was paid, with nothing more taken off")
	})
}

// nets approves a run of which nothing is to be sent.
func (s *suite) nets(t testing.TB, id string) {
	t.Helper()
	_, err := s.submit(t, "maker", id)
	require.NoError(t, err)
	_, err = s.approve(t, "ann", id)
	require.NoError(t, err)
}

func TestReconciliation_TellsARecoveryThatIsNotWhole(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", -5000))
		s.nets(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, pay("P1", 1000))
		s.nets(t, "15N-2022-05-1")
		s.closes(t, "15N", "2022-06", 1, pay("P1", 4500))
		_, err := s.payments.PlanRecovery(s.as(t.Context(), "ann"), &paymentsv1.PlanRecoveryRequest{
			RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P1", InstalmentPence: 1500, FromMonth: "2022-06", Reason: "agreed",
		})
		require.NoError(t, err)
		s.pays(t, "15N-2022-06-1")
		s.settles(t, "15N", "15N-2022-06-1-P1", "PAID", "30.00")
		got := s.reconciled(t, "15N", "2022-04", "2022-06")
		require.Equal(t, []compared{
			{different, "P1", "CORE_PCN", "2022-04", "RECOVERED", -4000, -1500},
			{matched, "P1", "CORE_PCN", "2022-06", "", 4500, 4500},
		}, inShort(got), "May went whole to the overpayment of April")
		require.Len(t, got.GetRows()[0].GetLineIds(), 2)
		require.Contains(t, got.GetRows()[0].GetEvidence(), "-£25.00")
	})
}

func TestReconciliation_TellsHowLinesStand(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 2000), pay("P3", -300))
		s.pays(t, "15N-2022-04-1")
		s.settles(t, "15N", "15N-2022-04-1-P2", "REJECTED", "20.00")
		s.closes(t, "15N", "2022-04", 2, pay("P4", 4000))
		_, err := s.submit(t, "maker", "15N-2022-04-2")
		require.NoError(t, err)
		_, err = s.approve(t, "ann", "15N-2022-04-2")
		require.NoError(t, err)
		s.closes(t, "15N", "2022-04", 3, pay("P5", 5000), pay("P6", 6000))
		_, err = s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P6", Reason: "doubt"})
		require.NoError(t, err)
		got := s.reconciled(t, "15N", "2022-04", "")
		require.Equal(t, []compared{
			{missing, "P1", "CORE_PCN", "2022-04", "AWAITING_CONFIRMATION", 1000, 0},
			{missing, "P2", "CORE_PCN", "2022-04", "REJECTED", 2000, 0},
			{missing, "P3", "CORE_PCN", "2022-04", "CARRIED", -300, 0},
			{missing, "P4", "CORE_PCN", "2022-04", "NOT_SENT", 4000, 0},
			{missing, "P5", "CORE_PCN", "2022-04", "NOT_SENT", 5000, 0},
			{missing, "P6", "CORE_PCN", "2022-04", "ON_HOLD", 6000, 0},
		}, inShort(got))
		for i, words := range []string{"15N-2022-04-1-P1", "15N-2022-04-1-P2", "15N-2022-04-1", "15N-2022-04-2", "15N-2022-04-3", "doubt"} {
			require.Contains(t, got.GetRows()[i].GetEvidence(), words)
		}
		s.settles(t, "15N", "15N-2022-04-1-P1", "PAID", "10.00")
		s.closes(t, "15N", "2022-04", 4, pay("P1", 1000))
		require.Equal(t, []compared{
			{missing, "P1", "CORE_PCN", "2022-04", "NOT_SENT", 1000, 0},
			{matched, "P1", "CORE_PCN", "2022-04", "", 1000, 1000},
		}, only(inShort(s.reconciled(t, "15N", "2022-04", "")), "P1"), "each line with its own payment")
	})
}

func only(rows []compared, payee string) (out []compared) {
	for _, row := range rows {
		if row.payee == payee {
			out = append(out, row)
		}
	}
	return out
}

// reconcileOnly makes a line that another system pays.
func reconcileOnly(payee string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
	return line
}

func TestReconciliation_ComparesAYearWithItsYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for _, month := range []string{
			"2023-03", "2023-04", "2023-05", "2023-06", "2023-07", "2023-08", "2023-09", "2023-10", "2023-11", "2023-12", "2024-01", "2024-02", "2024-03",
		} {
			s.closes(t, "15N", month, 1, reconcileOnly("P1", 10000), reconcileOnly("P2", 500))
		}
		s.paidAmounts(t, "15N", [3]string{"P1", "2022/23", "100.00"}, [3]string{"P1", "2023/24", "1200.00"}, [3]string{"P2", "2023-04", "5.00"})
		want := []compared{{matched, "P1", "CORE_PCN", "2023/24", "", 120000, 120000}}
		require.Equal(t, append(want, compared{matched, "P2", "CORE_PCN", "2023-04", "", 500, 500}), inShort(s.reconciled(t, "15N", "2023-04", "")))
		require.Equal(t, want, only(inShort(s.reconciled(t, "15N", "2024-02", "")), "P1"))
		require.Equal(t, append(only(inShort(s.reconciled(t, "15N", "2023-03", "")), "P1"), want...), only(inShort(s.reconciled(t, "15N", "2023-03", "2023-04")), "P1"))
	})
}

func TestReconciliation_LooksAMonthBeyondThoseAskedFor(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for _, month := range []string{"2025-03", "2025-04", "2025-05", "2025-06"} {
			s.closes(t, "15N", month, 1, reconcileOnly("P1", 10000))
		}
		s.paidAmounts(t, "15N", [3]string{"P1", "2025-03", "100.00"}, [3]string{"P1", "2025-05", "100.00"}, [3]string{"P1", "2025-06", "1.00"})
		// May has its own line, so that April's goes unpaid unless June pays May.
		require.Equal(t, []compared{{missing, "P1", "CORE_PCN", "2025-04", "UNKNOWN", 10000, 0}}, inShort(s.reconciled(t, "15N", "2025-04", "")))
		s.closes(t, "15N", "2025-09", 1, reconcileOnly("P2", 777))
		s.paidAmounts(t, "15N", [3]string{"P2", "2025-10", "7.77"})
		want := []compared{{matched, "P2", "CORE_PCN", "2025-09", "ONE_MONTH_SHIFT", 777, 777}}
		require.Equal(t, want, inShort(s.reconciled(t, "15N", "2025-09", "")))
		require.Equal(t, want, inShort(s.reconciled(t, "15N", "2025-10", "")), "the month it was paid in tells it too")
		require.Empty(t, inShort(s.reconciled(t, "15N", "2025-11", "")))
	})
}

func TestReconciliation_TakesTheNewestFileForEachAmount(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2025-04", 1, reconcileOnly("P1", 10000), reconcileOnly("P2", 500), reconcileOnly("P3", 700))
		s.paidAmounts(t, "15N", [3]string{"P1", "2025-04", "900.00"}, [3]string{"P2", "2025-04", "5.00"}, [3]string{"P3", "2025-04", "7.00"})
		s.paidAmounts(t, "15N", [3]string{"P1", "2025-04", "60.00"}, [3]string{"P1", "2025-04", "40.00"}, [3]string{"P3", "2025-04", "0.00"})
		require.Equal(t, []compared{
			{missing, "P3", "CORE_PCN", "2025-04", "UNKNOWN", 700, 0},
			{matched, "P1", "CORE_PCN", "2025-04", "", 10000, 10000},
			{matched, "P2", "CORE_PCN", "2025-04", "", 500, 500},
		}, inShort(s.reconciled(t, "15N", "2025-04", "")))
	})
}

func TestReconciliation_PagesAreNotMovedByNewRows(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		var lines []*typev1.PaymentLine
		for i := range 7 {
			lines = append(lines, reconcileOnly(fmt.Sprintf("P%d", i), int64(1000+i)))
		}
		s.closes(t, "15N", "2025-04", 1, lines...)
		s.paidAmounts(t, "15N", [3]string{"P3", "2025-04", "99.00"}, [3]string{"X", "2025-04", "1.00"}, [3]string{"X", "2025-04", "1.00"}, [3]string{"X", "2025-04", "2.00"})
		want := inShort(s.reconciled(t, "15N", "2025-04", ""))
		require.Len(t, want, 10)
		got, token := []compared{}, ""
		for first := true; first || token != ""; first = false {
			answer, err := s.payments.GetReconciliation(s.as(t.Context(), "auditor"), &paymentsv1.GetReconciliationRequest{
				CommissionerCode: "15N", FromMonth: "2025-04", PageSize: 3, PageToken: token,
			})
			require.NoError(t, err)
			got, token = append(got, inShort(answer)...), answer.GetNextPageToken()
			if first {
				s.paidAmounts(t, "15N", [3]string{"P6", "2025-04", "12.00"}) // stands among the first now
			}
		}
		want = slices.DeleteFunc(want, func(c compared) bool { return c.payee == "P6" })
		require.Len(t, want, 9)
		require.Equal(t, want, got, "none is left out, none comes twice")
		_, err := s.payments.GetReconciliation(s.as(t.Context(), "auditor"), &paymentsv1.GetReconciliationRequest{CommissionerCode: "15N", FromMonth: "2025-04", PageToken: "??"})
		require.Equal(t, "PAGE_TOKEN_INVALID", reason(err))
	})
}

func (s *suite) variance(t testing.TB, id string) *paymentsv1.Variance {
	t.Helper()
	out, err := s.payments.GetVariance(s.as(t.Context(), "auditor"), &paymentsv1.GetVarianceRequest{RunId: id, PageSize: 1000})
	require.NoError(t, err)
	var sum, expected paymentsv1.VarianceRow
	for _, row := range append(out.GetRows(), out.GetPayments()...) {
		var causes, reasons int64
		for _, c := range row.GetCauses() {
			causes += c.GetEffectPence()
		}
		for _, c := range row.GetAgainstExpectedCauses() {
			reasons += c.GetEffectPence()
		}
		require.Equal(t, row.GetMovementPence(), causes)
		require.Equal(t, row.GetAgainstExpectedPence(), reasons)
		sum.ThisMonthPence += row.GetThisMonthPence()
		sum.ThisRunPence += row.GetThisRunPence()
		sum.LastMonthPence += row.GetLastMonthPence()
		expected.ThisMonthPence += row.GetExpectedPence()
	}
	require.Equal(t, sum.ThisMonthPence, 2*out.GetTotal().GetThisMonthPence())
	require.Equal(t, sum.ThisRunPence, 2*out.GetTotal().GetThisRunPence())
	require.Equal(t, sum.LastMonthPence, 2*out.GetTotal().GetLastMonthPence())
	require.Equal(t, expected.ThisMonthPence, 2*out.GetTotal().GetExpectedPence())
	return out
}

// movements says what moved in short: PCN, this month, in this run, last month, and the causes.
func movements(v *paymentsv1.Variance) (out []string) {
	for _, row := range v.GetRows() {
		var causes []string
		for _, c := range row.GetCauses() {
			causes = append(causes, c.GetCause())
		}
		out = append(out, fmt.Sprintf("%s %d %d %d %s", row.GetPcnCode(), row.GetThisMonthPence(), row.GetThisRunPence(), row.GetLastMonthPence(), strings.Join(causes, " ")))
	}
	return out
}

func TestVariance_OfASupplementaryRunCountsTheMonthSoFar(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000), pay("B", 20000))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, pay("A", 10000), pay("B", 20000))
		s.pays(t, "15N-2022-05-1")
		s.closes(t, "15N", "2022-05", 2, pay("A", 300), pay("C", 7))
		got := s.variance(t, "15N-2022-05-2")
		require.Equal(t, []string{"UA 10300 300 10000 OTHER", "UB 20000 0 20000 ", "UC 7 7 0 JOINER"}, movements(got))
		require.Equal(t, []string{"15N-2022-05-1", "15N-2022-05-2"}, got.GetRunIds())
		require.Equal(t, []string{"15N-2022-04-1"}, got.GetLastMonthRunIds())
		first := s.variance(t, "15N-2022-05-1")
		require.Equal(t, []string{"UA 10000 10000 10000 ", "UB 20000 20000 20000 "}, movements(first), "a later run changes nothing of an earlier report")
		require.Equal(t, []string{"15N-2022-05-1"}, first.GetRunIds())
	})
}

func TestVariance_DoesNotCountWhatWasKeptBackAsPaid(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000), pay("B", 20000), pay("C", -50))
		_, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		_, err = s.approve(t, "ann", "15N-2022-04-1")
		require.NoError(t, err)
		s.closes(t, "15N", "2022-04", 2, pay("D", 1))
		_, err = s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "B", Reason: "doubt"})
		require.NoError(t, err)
		_, err = s.export(t, "15N-2022-04-1", variation)
		require.NoError(t, err)
		s.closes(t, "15N", "2022-05", 1, pay("A", 10000), pay("B", 20000))
		got := s.variance(t, "15N-2022-05-1")
		require.Equal(t, []string{"UA 10000 10000 10000 ", "UB 20000 20000 0 JOINER", "UC 0 0 -50 LEAVER", "UD 0 0 1 LEAVER"}, movements(got))
		require.Equal(t, []string{"15N-2022-04-1", "15N-2022-04-2"}, got.GetLastMonthRunIds())
	})
}

func TestVariance_SaysThatThereIsNoRunOfLastMonth(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		late := pay("A", 5)
		late.ForMonth = "2022-02"
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000), pay("B", 20000), late)
		got := s.variance(t, "15N-2022-04-1")
		require.Equal(t, []string{"UA 10005 10005 0 CORRECTION NO_LAST_RUN", "UB 20000 20000 0 NO_LAST_RUN"}, movements(got))
		require.Equal(t, "There is no run of last month: +£200.00.", got.GetLargest()[0].GetSentence())
		require.Empty(t, got.GetLastMonthRunIds())
		require.Nil(t, got.GetTotal().ExpectedPence, "nothing was stated")
		require.Nil(t, got.GetTotal().AgainstExpectedPence)
		require.Equal(t, int32(2), got.GetTotal().GetRowsWithoutExpected())
	})
}

func TestVariance_SaysWhatStandsAgainstTheAmountExpected(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		beds := pay("A", 70)
		beds.PaymentCode = "BEDS"
		s.closes(t, "15N", "2022-04", 1, pay("A", 10000), beds)
		stated := func(payment string) *typev1.Entitlement {
			return &typev1.Entitlement{
				PcnCode: "UA", PaymentCode: payment, FundingSource: "CORE", FromMonth: "2022-04", ToMonth: "2023-03", Instalments: 12, AmountPence: 12 * 10100,
				Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
			}
		}
		event := s.delivery(t, "15N", &corev1.EntitlementsStated{
			CommissionerCode: "15N", CommissionerName: "Body 15N", Month: "2022-04", ScheduleId: "core-15N-2022-04-1", Entitlements: []*typev1.Entitlement{stated("CORE_PCN")},
		})
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{event}))
		got := s.variance(t, "15N-2022-04-1")
		require.Equal(t, []*int64{nil, proto.Int64(10100), proto.Int64(10100)}, []*int64{got.GetRows()[0].ExpectedPence, got.GetRows()[1].ExpectedPence, got.GetTotal().ExpectedPence})
		core := got.GetRows()[1]
		require.Equal(t, int64(-100), core.GetAgainstExpectedPence())
		require.Equal(t, "OTHER", core.GetAgainstExpectedCauses()[0].GetCause())
		require.Contains(t, core.GetAgainstExpectedCauses()[0].GetEvidence(), "£101.00")
		require.Equal(t, int64(-100), got.GetTotal().GetAgainstExpectedPence(), "of core alone")
		require.Equal(t, int64(-100), got.GetTotal().GetAgainstExpectedCauses()[0].GetEffectPence())
		require.Equal(t, int32(1), got.GetTotal().GetRowsWithoutExpected())
		require.Equal(t, []string{"BEDS", "CORE_PCN"}, []string{got.GetPayments()[0].GetPaymentCode(), got.GetPayments()[1].GetPaymentCode()})
		require.Nil(t, got.GetPayments()[0].ExpectedPence)
		require.Equal(t, int64(10000), got.GetPayments()[1].GetThisMonthPence())
	})
}

func TestPaidAmounts_AreWithoutAMistakeOnceTheFirstFileIsSentAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		right, doubled := [3]string{"P1", "2022-04", "100.00"}, [3]string{"P1", "2022-04", "200.00"}
		for _, row := range [][3]string{right, doubled, right, right} {
			s.paidAmounts(t, "15N", row)
		}
		require.Equal(t, 3, s.count(t, "imports"), "sent twice in a row it changes nothing")
		require.Zero(t, s.reconciled(t, "15N", "2022-04", "2022-04").GetRows()[0].GetDifferencePence())
	})
}
