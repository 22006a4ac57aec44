package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stockton is a PCN of Tees Valley CCG.
const stockton = "U89141"

// teesValley is the CCG whose run of April 2022 the sample has sent.
type teesValley struct {
	office
	april schedule
}

// One after another, because each month begins where the one before ended.
func TestPayments_OfTeesValleyFromItsStatementsToItsSuccessor(t *testing.T) {
	t.Parallel()
	v := &teesValley{office: officeOf(t, "16C", "QHM")}
	v.april = v.sample(t)
	eventually(t, "the sample's run to be sent", func() bool { return v.run(t, "2022-04", 1).State == "RUN_STATE_EXPORTED" })
	v.coded(t)
	v.confirm(t, allPaid(v.sent(t, "16C-2022-04-1")))
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "SETTLED": -v.april.PayTotalPence}, v.stages(t, ""))
	require.True(t, t.Run("stated", v.stated))
	require.True(t, t.Run("succeeded", v.succeeded))
}

func (v *teesValley) stated(t *testing.T) {
	manager := managerOf(t, stockton)
	month := read[statement](t, manager, "/v1/payments/pcns/"+stockton+"/statements/2022-04")
	require.Equal(t, "16C-"+stockton+"-2022-04", month.StatementID)
	require.Equal(t, "NHS Tees Valley CCG", month.CommissionerName)
	require.Empty(t, month.Corrections)
	require.Empty(t, month.ReconcileOnly)
	var want int64
	for _, l := range find(v.april.Lines, func(l line) bool { return l.PCNCode == stockton }) {
		want += l.AmountPence
		at := slices.IndexFunc(month.Payments, func(s statementLine) bool { return s.Line.LineID == l.LineID })
		require.GreaterOrEqual(t, at, 0, l.LineID)
		require.Equal(t, l.AmountPence, month.Payments[at].Line.AmountPence)
		require.Equal(t, "ITEM_STATE_SETTLED", month.Payments[at].State)
	}
	require.Len(t, month.Payments, 10)
	require.Equal(t, "£1.50 × 53,560 registered patients ÷ 12", month.Payments[slices.IndexFunc(month.Payments, func(s statementLine) bool {
		return s.Line.PaymentCode == "CORE_PCN"
	})].Basis)
	require.Equal(t, []int64{0, want, want, 0}, []int64{month.OpeningPence, month.TotalPence, month.SentPence, month.ClosingPence})
	year := read[statement](t, v.onlooking, "/v1/payments/pcns/"+stockton+"/statements/2022-23")
	require.Equal(t, []string{"2022-04", "2023-03"}, []string{year.FromMonth, year.ToMonth})
	require.Equal(t, want, year.TotalPence, "April is the only month that is closed")

	for _, r := range year.Remaining {
		require.Equal(t, r.EntitledPence-r.ScheduledPence, r.RemainingPence, r.PaymentCode)
		require.Positive(t, r.RemainingPence, r.PaymentCode)
	}
	require.NotEmpty(t, year.Remaining)
	for _, period := range []string{"2022-04", "2022-23"} {
		path := "/v1/payments/pcns/" + stockton + "/statements/" + period
		requirePrinted(t, manager, path)
		managerOf(t, "U00070").get(t, path).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
		as(t, "pcn_manager", "16C").get(t, path).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
		as(t, "finance_preparer", "70F").get(t, path).refused(t, http.StatusNotFound, "STATEMENT_EMPTY")
	}
	manager.get(t, "/v1/payments/pcns/"+stockton+"/statements/2022-24").refused(t, http.StatusBadRequest, "PERIOD_MALFORMED")
}

// managerOf returns the manager of a PCN.
func managerOf(t testing.TB, pcn string) caller {
	t.Helper()
	require.NotEmpty(t, suite.binary, "a token for a PCN needs PCN_BIN")
	token, err := suite.tokenBy(suite.dataDir, "--role", "pcn_manager", "--pcn", pcn)
	require.NoError(t, err)
	return caller{token: token}
}

// requirePrinted checks a statement of Stockton that can be had as a document and as a spreadsheet.
func requirePrinted(t testing.TB, who caller, path string) {
	t.Helper()
	requireDocument(t, who, path)
	table := who.get(t, path+"/statement.csv")
	require.Equal(t, http.StatusOK, table.Status, "%s", table)
	require.True(t, strings.HasPrefix(table.Header.Get("Content-Type"), "text/csv"))
	require.Contains(t, table.Header.Get("Content-Disposition"), "attachment")
	require.Contains(t, string(table.Body), stockton)
	require.Contains(t, string(table.Body), "6695.00")
}

// requireDocument checks that a statement is printed, the same each time.
func requireDocument(t testing.TB, who caller, path string) {
	t.Helper()
	document, again := who.get(t, path+"/statement.pdf"), who.get(t, path+"/statement.pdf")
	require.Equal(t, http.StatusOK, document.Status, "%s", document)
	require.Equal(t, "application/pdf", document.Header.Get("Content-Type"))
	require.True(t, strings.HasPrefix(string(document.Body), "%PDF-"), "%s", document)
	require.True(t, strings.HasSuffix(strings.TrimSpace(string(document.Body)), "%%EOF"))
	require.InDelta(t, len(document.Body), len(again.Body), 64, "only the time it was drawn up differs")
}
