package e2e

import (
	"cmp"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// paidRow is one row of a file of amounts actually paid.
type paidRow struct {
	payee, payment, month string
	amount                int64
}

func paidFile(rows []paidRow) string {
	var text strings.Builder
	text.WriteString("payee_code,month,payment_code,amount\n")
	for _, row := range rows {
		fmt.Fprintf(&text, "%s,%s,%s,%s\n", row.payee, row.month, row.payment, pounds(row.amount))
	}
	return text.String()
}

// paidAsScheduled is what another system would have paid for a schedule, had it paid by its lines.
func paidAsScheduled(s schedule) []paidRow {
	sums := make(map[[2]string]int64)
	for _, l := range s.Lines {
		sums[[2]string{cmp.Or(l.Payee.Code, l.PCNCode), l.PaymentCode}] += l.AmountPence
	}
	out := make([]paidRow, 0, len(sums))
	for key, amount := range sums {
		out = append(out, paidRow{payee: key[0], payment: key[1], month: s.Month, amount: amount})
	}
	slices.SortFunc(out, func(a, b paidRow) int {
		return cmp.Or(cmp.Compare(a.payment, b.payment), cmp.Compare(a.payee, b.payee))
	})
	return out
}

// cutShort finds a payment of enhanced access whose last penny comes of rounding half up: another convention pays a penny less.
func cutShort(t testing.TB, o office, s schedule, rows []paidRow) int {
	t.Helper()
	picture := read[snapshot](t, o.onlooking, "/v1/register/snapshot?commissioner_code="+o.code+"&membership_date=2025-04-01")
	for i, row := range rows {
		lines := find(s.Lines, func(l line) bool { return l.PaymentCode == row.payment && cmp.Or(l.Payee.Code, l.PCNCode) == row.payee })
		if row.payment != "ENHANCED_ACCESS" || len(lines) != 1 {
			continue
		}
		adjusted := new(big.Rat)
		for _, practice := range pictureOf(t, picture, lines[0].PCNCode).Practices {
			adjusted.Add(adjusted, exact(t, practice.population("ADJUSTED")))
		}
		month := new(big.Rat).Mul(exact(t, "8.427"), adjusted)
		if month.Quo(month, big.NewRat(12, 1)).Cmp(new(big.Rat).SetFrac64(row.amount, 100)) < 0 {
			return i
		}
	}
	require.Fail(t, "no amount was rounded up")
	return 0
}

func TestPaymentsReconciliation_ComparesWhatAnotherSystemPays(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "QNC")
	april := read[schedule](t, o.onlooking, "/v1/core/schedules/core-QNC-2025-04-1")
	o.received(t, april)
	o.requireNothingToPay(t, april)

	rows := paidAsScheduled(april)
	penny := cutShort(t, o, april, rows)
	core := slices.IndexFunc(rows, func(r paidRow) bool { return r.payment == "CORE_PCN" })
	shifted, missing, twice := core, core+1, core+2
	require.Less(t, twice, penny, "four rows of their own")
	file := slices.Clone(rows)
	file[penny].amount--
	file[shifted].month = "2025-05"
	file = append(slices.Delete(file, missing, missing+1), rows[twice], paidRow{payee: "E2E99", payment: "CASP", month: "2025-04", amount: 123_45})
	got := o.importFile(t, o.preparer, paidAmountKind, paidFile(file))
	require.Equal(t, http.StatusCreated, got.Status, "%s", got)
	var imported paymentsImport
	got.read(t, &imported)
	require.Equal(t, []int{len(file), len(file), 0}, []int{imported.File.Rows, imported.File.RowsApplied, imported.File.RowsUnmatched})

	path := "/v1/payments/commissioners/QNC/reconciliation?from_month=2025-04&to_month=2025-05&page_size=1000"
	compared := read[reconciliation](t, o.onlooking, path)
	found := func(row paidRow) reconciliationRow {
		t.Helper()
		at := slices.IndexFunc(compared.Rows, func(r reconciliationRow) bool {
			return r.PayeeCode == row.payee && r.PaymentCode == row.payment && r.Cause != ""
		})
		require.GreaterOrEqual(t, at, 0, "%v", row)
		return compared.Rows[at]
	}
	for _, c := range []struct {
		row            paidRow
		match, cause   string
		expected, paid int64
		words          string
	}{
		{rows[penny], "MATCH_DIFFERENT", "ROUNDING", rows[penny].amount, rows[penny].amount - 1, ""},
		{rows[shifted], "MATCH_MATCHED", "ONE_MONTH_SHIFT", rows[shifted].amount, rows[shifted].amount, "2025-05"},
		{rows[missing], "MATCH_MISSING", "UNKNOWN", rows[missing].amount, 0, "nothing was paid"},
		{rows[twice], "MATCH_EXTRA", "DUPLICATE", 0, rows[twice].amount, "paid already"},
		{paidRow{payee: "E2E99", payment: "CASP"}, "MATCH_EXTRA", "UNKNOWN", 0, 123_45, "no line expects it"},
	} {
		r := found(c.row)
		require.Equal(t, []any{c.match, c.cause, c.expected, c.paid, c.paid - c.expected}, []any{r.Match, r.Cause, r.ExpectedPence, r.PaidPence, r.DifferencePence}, r.Evidence)
		require.NotEmpty(t, r.Evidence)
		require.Contains(t, r.Evidence, c.words)
	}
	require.Len(t, findRows(compared.Rows, func(r reconciliationRow) bool { return r.Match == "MATCH_MATCHED" && r.Cause == "" }), len(rows)-3)
	require.Len(t, read[reconciliation](t, o.onlooking, path+"&differences_only=true").Rows, 4)
	o.requireCompared(t, april, compared, file)
}

// findRows returns the rows that a test names.
func findRows(rows []reconciliationRow, wanted func(reconciliationRow) bool) []reconciliationRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r reconciliationRow) bool { return !wanted(r) })
}

// requireCompared checks that nothing is lost between the file, the schedule and the comparison.
func (o office) requireCompared(t *testing.T, s schedule, compared reconciliation, file []paidRow) {
	t.Helper()
	var expected, paid, given, totalExpected, totalPaid int64
	for _, row := range file {
		given += row.amount
	}
	lines := make(map[string]bool)
	for _, r := range compared.Rows {
		expected, paid = expected+r.ExpectedPence, paid+r.PaidPence
		for _, id := range r.LineIDs {
			require.False(t, lines[id], "a line stands twice")
			lines[id] = true
			require.Equal(t, "INSTRUCTION_RECONCILE_ONLY", r.Instruction)
		}
	}
	for _, total := range compared.Totals {
		totalExpected, totalPaid = totalExpected+total.ExpectedPence, totalPaid+total.PaidPence
	}
	require.Len(t, lines, s.LineCount)
	require.Equal(t, []int64{s.ReconcileTotalPence, given}, []int64{expected, paid})
	require.Equal(t, []int64{s.ReconcileTotalPence, given}, []int64{totalExpected, totalPaid})
}

// requireNothingToPay checks that what another system pays makes no run and no posting, and stands apart in a statement.
func (o office) requireNothingToPay(t *testing.T, s schedule) {
	t.Helper()
	require.Empty(t, read[runList](t, o.onlooking, "/v1/payments/runs?commissioner_code=QNC").Runs)
	require.Empty(t, o.stages(t, ""))
	require.Empty(t, read[postingList](t, o.onlooking, "/v1/payments/postings?commissioner_code=QNC").Postings)
	require.Empty(t, read[accruals](t, o.onlooking, "/v1/payments/commissioners/QNC/months/2025-04/accruals").Accruals)
	pcn := s.Lines[0].PCNCode
	own := find(s.Lines, func(l line) bool { return l.PCNCode == pcn })
	path := "/v1/payments/pcns/" + pcn + "/statements/"
	for _, period := range []string{"2025-04", "2025-26"} {
		got := read[statement](t, managerOf(t, pcn), path+period)
		require.Len(t, got.ReconcileOnly, len(own))
		require.Empty(t, got.Payments)
		require.Empty(t, got.Corrections)
		require.Equal(t, []int64{0, 0, got.OpeningPence}, []int64{got.TotalPence, got.SentPence, got.ClosingPence}, "what is left of 2022 stays as it is")
		for _, l := range got.ReconcileOnly {
			require.Equal(t, "ITEM_STATE_UNSPECIFIED", l.State)
		}
		requireDocument(t, managerOf(t, pcn), path+period)
	}
	o.preparer.post(t, "/v1/payments/holds", fields{"request_id": unique(), "commissioner_code": "QNC", "line_id": own[0].LineID, "reason": "e2e"}).
		refused(t, http.StatusNotFound, "LINE_NOT_FOUND")
	assembled := write[payRun](t, o.preparer, "/v1/payments/commissioners/QNC/months/2025-04:assemble", fields{"request_id": unique()})
	require.Zero(t, assembled.Totals.Lines)
	decide(t, o.preparer, assembled, "submit").refused(t, http.StatusBadRequest, "RUN_EMPTY")
}

func TestPaymentsImport_NamesEveryBadValue(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "QYG")
	header := "reference,status,payment_date,payment_reference,amount,reject_reason\n"
	bad := header + "R1,PAID,2022-04-31,x,1.00,\nR2,MAYBE,2022-04-30,x,1.00,\nR3,REJECTED,2022-04-30,x,1.00,\nR4,PAID,2022-04-30,x,0.00,\nR5,PAID,2022-04-30,x,1.005,\n" +
		",PAID,2022-04-30,x,-1,\nR7,PAID,2022-04-30,x,1e3,\nR8,PAID\n"
	p := o.importFile(t, o.preparer, confirmationKind, bad).refused(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
	for _, where := range []string{
		"line 2, payment_date", "line 3, status", "line 4, reject_reason", "line 5, amount", "line 6, amount", "line 7, reference", "line 7, amount", "line 8, amount", "line 9",
	} {
		require.Contains(t, p.violations(), where)
	}
	for name, content := range map[string]string{
		"empty": "", "no rows known": "a,b,c\n1,2,3\n", "binary": "\x00\xff\xfe", "amount missing": "reference,status,payment_date\nR1,PAID,2022-04-30\n",
		"paid amounts": "payee_code,month,payment_code,amount\nA,2022-04,NPP,1.00\n", "a column twice": "reference,status,payment_date,amount,amount_gbp\nR1,PAID,2022-04-30,1.00,1.00\n",
	} {
		got := o.importFile(t, o.preparer, confirmationKind, content)
		got.refused(t, http.StatusBadRequest, "FILE_MALFORMED")
		require.Less(t, len(got.Body), 4096, name)
	}
	for _, period := range []string{"2022-13", "22-04", "2022", ""} {
		o.importFile(t, o.preparer, paidAmountKind, "payee_code,month,payment_code,amount\nA,"+period+",NPP,1.00\n").refused(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
	}
	require.Empty(t, read[struct {
		Files []importedFile `json:"files"`
	}](t, o.onlooking, "/v1/payments/imports?commissioner_code=QYG").Files, "nothing of them was stored")
	stray := o.confirm(t, []confirmation{{reference: "R1", status: "PAID", amount: 100}})
	require.Equal(t, []int{0, 1}, []int{stray.RowsApplied, stray.RowsUnmatched})
	as(t, "finance_preparer", "52R").get(t, "/v1/payments/imports/"+stray.ImportID+"/rows").refused(t, http.StatusNotFound, "IMPORT_NOT_FOUND")
	o.importFile(t, as(t, "finance_preparer", "52R"), confirmationKind, confirmationFile(nil)).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	o.importFile(t, o.onlooking, confirmationKind, confirmationFile(nil)).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
}

func TestPaymentsImport_NamesARowThatIsNoCSV(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "00V")
	for _, row := range []string{`"`, `a"b`, `""x`} {
		content := "reference,status,payment_date,payment_reference,amount,reject_reason\n" + row + "\n"
		p := o.importFile(t, o.preparer, confirmationKind, content).refused(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
		require.Contains(t, p.violations(), "line 2")
	}
}
