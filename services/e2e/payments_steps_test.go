package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	paymentsImportsPath = "/v1/payments/imports?"
	confirmationKind    = "FILE_KIND_CONFIRMATIONS"
	paidAmountKind      = "FILE_KIND_PAID_AMOUNTS"
	ledgerFrom          = "2022-04-01"
	// arrival is how long an event may take from core to payments.
	arrival = 30 * time.Second
)

// office is the finance team of one commissioner: two people who prepare, and as many as approve.
type office struct {
	code                                  string
	preparer, approver, deputy, onlooking caller
}

// officeOf returns the team of a commissioner and, where its items pass on, of its successors.
func officeOf(t testing.TB, codes ...string) office {
	t.Helper()
	of := func(role, name string) caller { return named(t, strings.ToLower(codes[0])+"."+name, role, codes...) }
	return office{
		code: codes[0], preparer: of("finance_preparer", "preparer"), approver: of("finance_approver", "approver"),
		deputy: of("finance_approver", "deputy"), onlooking: of("auditor", "auditor"),
	}
}

// eventually asks now and then until the condition holds: payments learns of a schedule a little after core has closed it.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), arrival)
	defer cancel()
	require.NoError(t, suite.wait(ctx, what, holds))
}

// received waits until a schedule is stored by payments.
func (o office) received(t testing.TB, s schedule) {
	t.Helper()
	eventually(t, s.ScheduleID+" to arrive", func() bool {
		path := "/v1/payments/schedules?page_size=1000&commissioner_code=" + s.CommissionerCode + "&month=" + s.Month
		for _, found := range read[receivedList](t, o.onlooking, path).Schedules {
			if found.Schedule.ScheduleID == s.ScheduleID {
				return found.Schedule.LinesSHA256 == s.LinesSHA256
			}
		}
		return false
	})
}

// close closes a month in core and waits until payments has its schedule.
func (o office) close(t testing.TB, month string) schedule {
	t.Helper()
	closed := closeMonth(t, o.preparer, o.code, month)
	o.received(t, closed)
	return closed
}

// sample waits until payments has the first schedule of April 2022, which the suite closed itself.
func (o office) sample(t testing.TB) schedule {
	t.Helper()
	first := read[schedule](t, o.onlooking, "/v1/core/schedules/core-"+o.code+"-2022-04-1")
	o.received(t, first)
	return first
}

// run reads a run of the team's own commissioner.
func (o office) run(t testing.TB, month string, number int) payRun {
	t.Helper()
	return read[payRun](t, o.onlooking, fmt.Sprintf("/v1/payments/runs/%s-%s-%d", o.code, month, number))
}

func (o office) payees(t testing.TB, runID string) []payeeTotal {
	t.Helper()
	return read[payeeTotalList](t, o.onlooking, "/v1/payments/runs/"+runID+"/payees?page_size=1000").Payees
}

func (o office) lines(t testing.TB, runID string) []runLine {
	t.Helper()
	return read[runLineList](t, o.onlooking, "/v1/payments/runs/"+runID+"/lines?page_size=1000").Lines
}

// sent returns the payments of a run, in order of payee.
func (o office) sent(t testing.TB, runID string) []payment {
	t.Helper()
	out := read[paymentList](t, o.onlooking, "/v1/payments/payments?page_size=1000&run_id="+runID).Payments
	slices.SortFunc(out, func(a, b payment) int { return strings.Compare(a.Payee.Code, b.Payee.Code) })
	return out
}

func (o office) submit(t testing.TB, r payRun) payRun {
	t.Helper()
	return write[payRun](t, o.preparer, "/v1/payments/runs/"+r.RunID+":submit", fields{"request_id": unique(), "etag": r.ETag, "note": "e2e"})
}

func (o office) approve(t testing.TB, r payRun) payRun {
	t.Helper()
	return write[payRun](t, o.approver, "/v1/payments/runs/"+r.RunID+":approve", fields{"request_id": unique(), "etag": r.ETag})
}

// passed puts a run forward and has it approved.
func (o office) passed(t testing.TB, r payRun) payRun {
	t.Helper()
	return o.approve(t, o.submit(t, r))
}

func (o office) export(t testing.TB, runID, format string) export {
	t.Helper()
	return write[export](t, o.preparer, "/v1/payments/runs/"+runID+":export", fields{"request_id": unique(), "format": format})
}

// sentOut passes a run and sends its payments by journal.
func (o office) sentOut(t testing.TB, r payRun) []payment {
	t.Helper()
	r = o.passed(t, r)
	o.requireBalanced(t, o.export(t, r.RunID, "FORMAT_JOURNAL"))
	return o.sent(t, r.RunID)
}

// file downloads an export twice and requires the same bytes, which are those the export names.
func (o office) file(t testing.TB, e export) []byte {
	t.Helper()
	path := "/v1/payments/exports/" + e.ExportID + "/file"
	first, second := o.preparer.get(t, path), o.approver.get(t, path)
	require.Equal(t, http.StatusOK, first.Status, "%s", first)
	require.Equal(t, first.Body, second.Body, "a file never changes")
	require.Contains(t, first.Header.Get("Content-Disposition"), "attachment")
	sum := sha256.Sum256(first.Body)
	require.Equal(t, e.SHA256, hex.EncodeToString(sum[:]))
	require.Len(t, first.Body, int(e.SizeBytes))
	return first.Body
}

// sheet reads a CSV file as rows by header.
func sheet(t testing.TB, content []byte) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
	require.NoError(t, err)
	require.NotEmpty(t, rows)
	out := make([]map[string]string, 0, len(rows)-1)
	for _, row := range rows[1:] {
		byHeader := make(map[string]string)
		for i, header := range rows[0] {
			byHeader[header] = row[i]
		}
		out = append(out, byHeader)
	}
	return out
}

// column adds up a column of amounts in pounds; empty cells are nothing.
func column(t testing.TB, rows []map[string]string, header string) (sum int64) {
	t.Helper()
	for _, row := range rows {
		cell, found := row[header]
		require.True(t, found, "no column %s", header)
		if cell != "" {
			sum += pence(t, exact(t, cell))
		}
	}
	return sum
}

// requireBalanced checks that a journal's debits equal its credits and that what it credits to payables is what the export sends.
func (o office) requireBalanced(t testing.TB, e export) {
	t.Helper()
	require.True(t, e.Instructs)
	rows := sheet(t, o.file(t, e))
	require.Equal(t, column(t, rows, "Debit"), column(t, rows, "Credit"))
	var control int64
	for _, row := range rows {
		if strings.HasPrefix(row["Line Description"], "Payables ") {
			control += column(t, []map[string]string{row}, "Credit")
		}
	}
	require.Equal(t, e.AmountPence, control)
}

// mappings are codes for every stream of core, made up for the tests.
func mappings() []fields {
	streams := []string{"CORE_PCN", "CLINICAL_DIRECTOR", "EXTENDED_HOURS", "NPP", "CARE_HOME_PREMIUM", "CONTROL", "RECOVERY"}
	out := make([]fields, 0, len(streams))
	for i, stream := range streams {
		out = append(out, fields{
			"stream": stream, "effective_from": ledgerFrom, "entity": "Y99", "cost_centre": fmt.Sprintf("9%05d", i), "subjective": fmt.Sprintf("5216%d", i),
			"analysis1": "00000", "analysis2": "00000", "spare": "000000", "vat_treatment": "VAT_TREATMENT_OUTSIDE_SCOPE", "vat_code": "OS",
		})
	}
	return out
}

// coded gives the ledger all it needs: segments, VAT treatments, the names of a journal.
func (o office) coded(t testing.TB) {
	t.Helper()
	write[map[string]any](t, o.approver, "/v1/payments/codes", fields{
		"request_id": unique(), "commissioner_code": o.code, "mappings": mappings(), "reason": "e2e",
	})
	o.profile(t, "FORMAT_JOURNAL", fields{"journal_source": "PCN", "journal_category": "Primary care"})
}

// supply tells the ledger's number and the account token of payees.
func (o office) supply(t testing.TB, payees []payeeTotal) {
	t.Helper()
	suppliers := make([]fields, 0, len(payees))
	for _, p := range payees {
		suppliers = append(suppliers, fields{
			"payee_code": p.Payee.Code, "supplier_number": "7" + p.Payee.Code, "supplier_site": "MAIN", "account_token": "acc-" + p.Payee.Code,
			"effective_from": ledgerFrom,
		})
	}
	write[map[string]any](t, o.approver, "/v1/payments/codes", fields{
		"request_id": unique(), "commissioner_code": o.code, "suppliers": suppliers, "reason": "e2e",
	})
}

func (o office) profile(t testing.TB, format string, texts fields) {
	t.Helper()
	write[map[string]any](t, o.approver, "/v1/payments/settings", fields{
		"request_id": unique(), "commissioner_code": o.code, "from_month": "2022-04", "reason": "e2e",
		"export_profile": fields{"format": format, "texts": texts},
	})
}

// confirmation is one row of a payer's file.
type confirmation struct {
	reference, status, reason string
	amount                    int64
}

func paid(p payment) confirmation {
	return confirmation{reference: p.PaymentID, status: "PAID", amount: p.AmountPence}
}

// allPaid confirms every payment.
func allPaid(payments []payment) []confirmation {
	out := make([]confirmation, 0, len(payments))
	for _, p := range payments {
		out = append(out, paid(p))
	}
	return out
}

func pounds(amount int64) string { return fmt.Sprintf("%d.%02d", amount/100, amount%100) }

// today is the day the tests' payers pay: that on which the suite sends.
func today() string { return time.Now().UTC().Format(time.DateOnly) }

// thisMonth is the month of that day.
func thisMonth() string { return today()[:7] }

// confirmationFile writes a payer's file of today.
func confirmationFile(rows []confirmation) string {
	var text strings.Builder
	text.WriteString("reference,status,payment_date,payment_reference,amount,reject_reason\n")
	for i, row := range rows {
		fmt.Fprintf(&text, "%s,%s,%s,BACS%04d,%s,%s\n", row.reference, row.status, today(), i+1, pounds(row.amount), row.reason)
	}
	return text.String()
}

// importFile sends a file to payments.
func (o office) importFile(t testing.TB, who caller, kind, content string) answer {
	t.Helper()
	query := url.Values{"request_id": {unique()}, "commissioner_code": {o.code}, "kind": {kind}, "file_name": {"e2e.csv"}}
	return who.call(t, request{
		method: http.MethodPost, path: paymentsImportsPath + query.Encode(), body: strings.NewReader(content), headers: []string{"Content-Type", csvType},
	})
}

// confirm imports a file of confirmations that the payer has not sent before.
func (o office) confirm(t testing.TB, rows []confirmation) importedFile {
	t.Helper()
	got := o.importFile(t, o.preparer, confirmationKind, confirmationFile(rows))
	require.Equal(t, http.StatusCreated, got.Status, "%s", got)
	var out paymentsImport
	got.read(t, &out)
	require.False(t, out.AlreadyImported)
	require.Len(t, rows, out.File.Rows)
	require.Equal(t, "/v1/payments/imports/"+out.File.ImportID+"/rows", got.Header.Get("Location"))
	return out.File
}

// stages returns the balance of each stage in a commissioner's books, and requires that these balance.
func (o office) stages(t testing.TB, query string) map[string]int64 {
	t.Helper()
	got := read[trialBalance](t, o.onlooking, "/v1/payments/commissioners/"+o.code+"/trial-balance?page_size=1000"+query)
	out := make(map[string]int64)
	var debit, credit int64
	for _, b := range got.Balances {
		require.NotZero(t, b.BalancePence)
		out[strings.TrimPrefix(b.Account.Stage, "STAGE_")] += b.BalancePence
		debit, credit = debit+max(b.BalancePence, 0), credit-min(b.BalancePence, 0)
	}
	require.Equal(t, debit, got.DebitPence)
	require.Equal(t, credit, got.CreditPence)
	require.Equal(t, debit, credit, "debits equal credits")
	return out
}

// heldBy places a hold.
func (o office) heldBy(t testing.TB, who caller, what fields) hold {
	t.Helper()
	return write[hold](t, who, "/v1/payments/holds", what.with("request_id", unique()).with("commissioner_code", o.code).with("reason", "e2e"))
}

// release ends a hold.
func (o office) release(t testing.TB, h hold) hold {
	t.Helper()
	return write[hold](t, o.approver, "/v1/payments/holds/"+h.HoldID+":release", fields{"request_id": unique(), "etag": h.ETag, "reason": "e2e"})
}

// violations returns what a refusal names, as one text.
func (p problem) violations() string {
	out, _ := json.Marshal(p.Errors)
	return string(out)
}
