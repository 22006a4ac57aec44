package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// april2022Of is April 2022 of one CCG, from its schedule on.
type april2022Of struct {
	office
	april schedule
	run   payRun
}

// One after another: each step begins where the one before ended.
func TestPayments_OfAMonthFromItsScheduleToTheLastPenny(t *testing.T) {
	t.Parallel()
	v := &april2022Of{office: officeOf(t, "13T")}
	v.april = v.sample(t)
	v.run = v.office.run(t, "2022-04", 1)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"assembled", v.assembled},
		{"approved", v.approved},
		{"incomplete", v.incomplete},
		{"exported", v.exported},
		{"confirmed", v.confirmed},
		{"issued again", v.issuedAgain},
		{"compared", v.compared},
	} {
		require.True(t, t.Run(step.name, step.run), step.name)
	}
}

func (v *april2022Of) assembled(t *testing.T) {
	require.Equal(t, "RUN_STATE_ASSEMBLED", v.run.State)
	require.Equal(t, "NHS Newcastle Gateshead CCG", v.run.CommissionerName)
	require.Equal(t, []expectedFund{{Fund: "FUND_CORE", Closed: true, ScheduleIDs: []string{v.april.ScheduleID}}}, v.run.Funds)
	want := make(map[string]int64)
	for _, l := range v.april.Lines {
		want[l.Payee.Code] += l.AmountPence
	}
	require.Equal(t, runTotals{
		Lines: v.april.LineCount, Payees: len(want), LinesPence: v.april.PayTotalPence, NetPence: v.april.PayTotalPence, Payments: len(want),
	}, v.run.Totals)
	got := make(map[string]int64)
	for _, p := range v.payees(t, v.run.RunID) {
		got[p.Payee.Code] = p.NetPence
		require.NotEmpty(t, p.Payee.Name)
		require.Empty(t, p.PaymentID, "nothing is sent yet")
	}
	require.Equal(t, want, got)
	v.requireLines(t)
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "ACCRUED": -v.april.PayTotalPence}, v.stages(t, ""))

	report := read[variance](t, v.onlooking, "/v1/payments/runs/"+v.run.RunID+"/variance?page_size=1000")
	require.Equal(t, v.april.PayTotalPence, report.Total.ThisMonthPence)
	require.Zero(t, report.Total.LastMonthPence, "there is no run of March")
	requireVariance(t, report)
}

// requireLines checks that a run holds the lines of its schedule, as JSON and as CSV.
func (v *april2022Of) requireLines(t *testing.T) {
	lines := v.lines(t, v.run.RunID)
	require.Len(t, lines, v.april.LineCount)
	rows := sheet(t, v.preparer.get(t, "/v1/payments/runs/"+v.run.RunID+"/lines.csv").Body)
	require.Len(t, rows, v.april.LineCount)
	for i, want := range v.april.Lines {
		want.Working = nil
		require.Equal(t, want, lines[i].Line)
		require.Equal(t, v.april.ScheduleID, lines[i].ScheduleID)
		require.Equal(t, "ITEM_STATE_OPEN", lines[i].State)
		require.Equal(t, want.LineID, rows[i]["line_id"])
		require.Equal(t, want.AmountPence, pence(t, exact(t, rows[i]["amount_gbp"])))
		require.Contains(t, rows[i]["basis"], " ÷ ")
	}
}

// requireVariance checks that rows add up to the total, and causes to the movement of their row.
func requireVariance(t testing.TB, v variance) {
	t.Helper()
	var this, last int64
	for _, row := range v.Rows {
		require.Equal(t, row.ThisMonthPence-row.LastMonthPence, row.MovementPence)
		var causes int64
		for _, cause := range row.Causes {
			causes += cause.EffectPence
		}
		require.Equal(t, row.MovementPence, causes, "%s %s", row.PCNCode, row.PaymentCode)
		this, last = this+row.ThisMonthPence, last+row.LastMonthPence
	}
	require.Equal(t, v.Total.ThisMonthPence, this)
	require.Equal(t, v.Total.LastMonthPence, last)
}

func (v *april2022Of) approved(t *testing.T) {
	submitted := v.submit(t, v.run)
	require.Equal(t, "RUN_STATE_SUBMITTED", submitted.State)
	require.Equal(t, "13t.preparer", submitted.SubmittedBy)
	require.Equal(t, v.run.Totals, submitted.Totals)
	require.Len(t, submitted.LinesSHA256, 64)
	require.Equal(t, 1, submitted.ApprovalsNeeded)
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "ACCRUED": -v.april.PayTotalPence}, v.stages(t, ""), "putting forward posts nothing")

	v.run = v.approve(t, submitted)
	require.Equal(t, "RUN_STATE_APPROVED", v.run.State)
	require.Len(t, v.run.Approvals, 1)
	require.Equal(t, "13t.approver", v.run.Approvals[0].ApprovedBy)
	require.Equal(t, submitted.LinesSHA256, v.run.LinesSHA256)
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "PAYABLE": -v.april.PayTotalPence}, v.stages(t, ""))
	require.Empty(t, v.sent(t, v.run.RunID))
}

func (v *april2022Of) incomplete(t *testing.T) {
	path := "/v1/payments/runs/" + v.run.RunID + ":export"
	p := v.preparer.post(t, path, fields{"request_id": unique(), "format": "FORMAT_JOURNAL"}).refused(t, http.StatusBadRequest, "EXPORT_INCOMPLETE")
	for _, missing := range []string{"journal_source", "journal_category", "control_cost_centre"} {
		require.Contains(t, p.violations(), missing)
	}
	require.Contains(t, p.Metadata["kinds"], "SEGMENT")
	require.Contains(t, p.Metadata["kinds"], "VAT_TREATMENT")
	require.Equal(t, "RUN_STATE_APPROVED", v.office.run(t, "2022-04", 1).State)
	v.preparer.post(t, path, fields{"request_id": unique(), "format": "FORMAT_TRANSPARENCY"}).refused(t, http.StatusBadRequest, "FORMAT_INVALID")

	v.preparer.post(t, "/v1/payments/codes", fields{"request_id": unique(), "commissioner_code": "13T", "mappings": mappings(), "reason": "e2e"}).
		refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	unassessed := slices.Clone(mappings())
	for i := range unassessed {
		unassessed[i] = unassessed[i].with("vat_treatment", "VAT_TREATMENT_NOT_ASSESSED").with("vat_code", "").with("effective_from", "2022-03-31")
	}
	write[map[string]any](t, v.approver, "/v1/payments/codes", fields{"request_id": unique(), "commissioner_code": "13T", "mappings": unassessed, "reason": "e2e"})
	v.profile(t, "FORMAT_JOURNAL", fields{"journal_source": "PCN", "journal_category": "Primary care"})
	p = v.preparer.post(t, path, fields{"request_id": unique(), "format": "FORMAT_JOURNAL"}).refused(t, http.StatusBadRequest, "EXPORT_INCOMPLETE")
	require.Equal(t, "VAT_TREATMENT", p.Metadata["kinds"], "only what nobody has assessed is left")
	v.coded(t)
	require.Len(t, read[struct {
		Mappings []map[string]any `json:"mappings"`
	}](t, v.onlooking, "/v1/payments/commissioners/13T/code-mappings").Mappings, 2*len(mappings()))
}

func (v *april2022Of) exported(t *testing.T) {
	body := fields{"request_id": unique(), "format": "FORMAT_JOURNAL"}
	path := "/v1/payments/runs/" + v.run.RunID + ":export"
	journal := write[export](t, v.preparer, path, body)
	require.Equal(t, v.run.RunID+"-journal", journal.ExportID)
	require.Equal(t, v.run.Totals.NetPence, journal.AmountPence)
	require.Equal(t, v.run.Totals.Payments, journal.Payments)
	v.requireBalanced(t, journal)
	require.Equal(t, journal, write[export](t, v.preparer, path, body), "the same request gets the stored answer")
	v.preparer.post(t, path, body.with("format", "FORMAT_REMITTANCE")).refused(t, http.StatusConflict, "REQUEST_ID_REUSED")
	rows := sheet(t, v.file(t, journal))
	require.Equal(t, v.april.PayTotalPence, column(t, rows, "Debit"), "a line each, and nothing is taken back")
	require.Len(t, rows, v.april.LineCount+v.run.Totals.Payments)

	for _, format := range []string{"FORMAT_JOURNAL", "FORMAT_PAYABLES_INVOICES", "FORMAT_PCSE_VARIATION", "FORMAT_PAIN_001"} {
		p := v.approver.post(t, path, fields{"request_id": unique(), "format": format}).refused(t, http.StatusBadRequest, "RUN_EXPORTED")
		require.Equal(t, journal.ExportID, p.Metadata["export_id"])
	}
	remittance := v.export(t, v.run.RunID, "FORMAT_REMITTANCE")
	require.False(t, remittance.Instructs)
	require.Equal(t, remittance, v.export(t, v.run.RunID, "FORMAT_REMITTANCE"), "a file for information is made once")
	var lines []map[string]string
	for _, row := range sheet(t, v.file(t, remittance)) {
		if row["Line Reference"] != "" {
			lines = append(lines, row)
		}
	}
	require.Len(t, lines, v.april.LineCount)
	require.Equal(t, v.april.PayTotalPence, column(t, lines, "Amount"))
	require.ElementsMatch(t, []export{journal, remittance}, read[exportList](t, v.onlooking, "/v1/payments/exports?run_id="+v.run.RunID).Exports)
	v.onlooking.get(t, "/v1/payments/exports/"+journal.ExportID+"/file").refused(t, http.StatusForbidden, "ROLE_REQUIRED")

	v.run = v.office.run(t, "2022-04", 1)
	require.Equal(t, "RUN_STATE_EXPORTED", v.run.State)
	require.Equal(t, journal.ExportID, v.run.ExportID)
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "SENT": -v.april.PayTotalPence}, v.stages(t, ""))
	var sum int64
	for _, p := range v.sent(t, v.run.RunID) {
		require.Positive(t, p.AmountPence)
		require.Equal(t, "PAYMENT_STATE_SENT", p.State)
		require.Equal(t, v.run.RunID+"-"+p.Payee.Code, p.PaymentID)
		sum += p.AmountPence
	}
	require.Equal(t, v.run.Totals.NetPence, sum)
}

// accrued returns what had been earned and not paid at the end of a month, as known at a moment, or now.
func (v *april2022Of) accrued(t *testing.T, month, knownAt string) int64 {
	path := "/v1/payments/commissioners/13T/months/" + month + "/accruals?page_size=1000"
	if knownAt != "" {
		path += "&known_at=" + knownAt
	}
	got := read[accruals](t, v.onlooking, path)
	var sum int64
	for _, a := range got.Accruals {
		sum += a.AmountPence
	}
	require.Equal(t, sum, got.TotalPence)
	return sum
}

// closedAt is when core closed April, before payments could learn of it.
func (v *april2022Of) closedAt(t *testing.T) string {
	return read[struct {
		ClosedAt string `json:"closed_at"`
	}](t, v.onlooking, "/v1/core/schedules/"+v.april.ScheduleID).ClosedAt
}

func (v *april2022Of) confirmed(t *testing.T) {
	total := v.april.PayTotalPence
	sent := v.sent(t, v.run.RunID)
	turned, wrong := sent[0], sent[1]
	rows := append(allPaid(sent[2:]),
		confirmation{turned.PaymentID, "REJECTED", "account closed", turned.AmountPence},
		confirmation{"13T-2022-04-1-NOBODY", "PAID", "", 100},
		confirmation{wrong.PaymentID, "PAID", "", wrong.AmountPence + 1})
	first := v.confirm(t, rows)
	require.Equal(t, len(sent)-1, first.RowsApplied)
	require.Equal(t, 2, first.RowsUnmatched)
	require.Equal(t, "13t.preparer", first.ImportedBy)
	unmatched := read[importedRowList](t, v.onlooking, "/v1/payments/imports/"+first.ImportID+"/rows?unmatched_only=true").Rows
	require.Len(t, unmatched, 2)
	require.Equal(t, []string{"NOT_FOUND", "AMOUNT_DIFFERS"}, []string{unmatched[0].Outcome, unmatched[1].Outcome})
	require.Equal(t, wrong.PaymentID, unmatched[1].PaymentID)
	require.NotEmpty(t, unmatched[0].Note)
	settled := total - turned.AmountPence - wrong.AmountPence
	require.Equal(t, map[string]int64{
		"EXPENSE": total, "SETTLED": -settled, "SENT": -wrong.AmountPence, "PAYABLE": -turned.AmountPence,
	}, v.stages(t, ""))
	require.Equal(t, "RUN_STATE_EXPORTED", v.office.run(t, "2022-04", 1).State, "one payment still waits")

	again := v.confirm(t, rows)
	require.NotEqual(t, first.ImportID, again.ImportID, "what was unmatched is tried once more")
	require.Equal(t, []int{0, len(sent) - 1, 2}, []int{again.RowsApplied, again.RowsKnown, again.RowsUnmatched})
	whole := allPaid(sent[2:])
	known := v.confirm(t, whole)
	require.Equal(t, len(whole), known.RowsKnown)
	repeated := v.importFile(t, v.preparer, confirmationKind, confirmationFile(whole))
	require.Equal(t, http.StatusOK, repeated.Status, "%s", repeated)
	var same paymentsImport
	repeated.read(t, &same)
	require.True(t, same.AlreadyImported)
	require.Equal(t, known, same.File)

	second := v.confirm(t, []confirmation{paid(wrong), paid(sent[2]), paid(turned)})
	require.Equal(t, []int{1, 1, 1}, []int{second.RowsApplied, second.RowsKnown, second.RowsUnmatched})
	states := read[importedRowList](t, v.onlooking, "/v1/payments/imports/"+second.ImportID+"/rows").Rows
	require.Equal(t, []string{"SETTLED", "KNOWN", "STATE_DIFFERS"}, []string{states[0].Outcome, states[1].Outcome, states[2].Outcome})
	v.run = v.office.run(t, "2022-04", 1)
	require.Equal(t, "RUN_STATE_SETTLED", v.run.State)
	require.NotEmpty(t, v.run.SettledAt)

	require.Equal(t, turned.AmountPence, v.accrued(t, thisMonth(), ""), "what was rejected is still owed")
	require.Equal(t, total, v.accrued(t, thisMonth(), v.run.ExportedAt), "all of it was when the run was sent")
	require.Equal(t, map[string]int64{"EXPENSE": total, "SENT": -total}, v.stages(t, "&known_at="+v.run.ExportedAt))
	require.Equal(t, map[string]int64{"EXPENSE": total, "PAYABLE": -total}, v.stages(t, "&effective_to=2022-04-30"), "sending takes effect on its accounting date")
	require.Equal(t, v.stages(t, ""), v.stages(t, "&by_payee=true"))
	v.onlooking.get(t, "/v1/payments/commissioners/13T/trial-balance?known_at=2999-01-01T00:00:00Z").refused(t, http.StatusBadRequest, "KNOWN_AT_IN_FUTURE")
	require.Equal(t, total, v.accrued(t, "2022-04", ""), "and at the end of April, whatever was paid since")
	require.Zero(t, v.accrued(t, "2022-04", v.closedAt(t)), "nobody knew of it before April was closed")
	require.Zero(t, v.accrued(t, "2022-03", ""))
}

func (v *april2022Of) issuedAgain(t *testing.T) {
	turned := v.sent(t, v.run.RunID)[0]
	require.Equal(t, "PAYMENT_STATE_REJECTED", turned.State)
	require.Equal(t, "account closed", turned.RejectReason)
	path := "/v1/payments/payments/" + turned.PaymentID + ":reissue"
	body := fields{"request_id": unique(), "reason": "new account"}
	v.preparer.post(t, path, body).refused(t, http.StatusBadRequest, "ETAG_REQUIRED")
	v.preparer.post(t, path, body.with("etag", "1")).refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")
	v.approver.post(t, path, body.with("etag", turned.ETag)).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	got := write[reissue](t, v.preparer, path, body.with("etag", turned.ETag))
	require.Equal(t, "PAYMENT_STATE_REISSUED", got.Payment.State)
	require.Equal(t, "13T-2022-04-2", got.RunID)
	v.preparer.post(t, path, fields{"request_id": unique(), "reason": "twice", "etag": got.Payment.ETag}).refused(t, http.StatusBadRequest, "PAYMENT_NOT_REJECTED")
	paidPart := v.april.PayTotalPence - turned.AmountPence
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "SETTLED": -paidPart, "ACCRUED": -turned.AmountPence}, v.stages(t, ""))

	next := v.office.run(t, "2022-04", 2)
	require.Equal(t, turned.AmountPence, next.Totals.NetPence)
	sent := v.sentOut(t, next)
	require.Len(t, sent, 1)
	require.Equal(t, turned.AmountPence, sent[0].AmountPence)
	require.NotEqual(t, turned.PaymentID, sent[0].PaymentID, "a payment of its own")
	v.confirm(t, allPaid(sent))
	require.Equal(t, "RUN_STATE_SETTLED", v.office.run(t, "2022-04", 2).State)
	require.Equal(t, map[string]int64{"EXPENSE": v.april.PayTotalPence, "SETTLED": -v.april.PayTotalPence}, v.stages(t, ""))
	require.Zero(t, v.accrued(t, thisMonth(), ""))
	v.requireTraced(t, turned)
}

// requireTraced follows one line of a rejected payment through every posting.
func (v *april2022Of) requireTraced(t *testing.T, turned payment) {
	var own line
	for _, l := range v.april.Lines {
		if l.Payee.Code == turned.Payee.Code {
			own = l
		}
	}
	count := make(map[string]int)
	stages := make(map[string]int64)
	for _, p := range read[postingList](t, v.onlooking, "/v1/payments/postings?commissioner_code=13T&page_size=1000&line_id="+own.LineID).Postings {
		count[strings.TrimPrefix(p.Kind, "POSTING_KIND_")]++
		for _, e := range p.Entries {
			require.Equal(t, own.LineID, e.LineID)
			stages[strings.TrimPrefix(e.Account.Stage, "STAGE_")] += e.AmountPence
		}
	}
	require.Equal(t, map[string]int{"ACCRUAL": 1, "APPROVAL": 2, "SENDING": 2, "REJECTION": 1, "REVERSAL": 1, "SETTLEMENT": 1}, count)
	require.Equal(t, map[string]int64{"EXPENSE": own.AmountPence, "ACCRUED": 0, "PAYABLE": 0, "SENT": 0, "SETTLED": -own.AmountPence}, stages)
}

func (v *april2022Of) compared(t *testing.T) {
	got := read[reconciliation](t, v.onlooking, "/v1/payments/commissioners/13T/reconciliation?from_month=2022-04&page_size=1000")
	require.Len(t, got.Totals, 1)
	require.Equal(t, "MATCH_MATCHED", got.Totals[0].Match)
	require.Equal(t, v.april.PayTotalPence, got.Totals[0].ExpectedPence)
	require.Equal(t, v.april.PayTotalPence, got.Totals[0].PaidPence)
	require.Empty(t, read[reconciliation](t, v.onlooking, "/v1/payments/commissioners/13T/reconciliation?from_month=2022-04&differences_only=true").Rows)

	path := "/v1/payments/commissioners/13T/months/" + thisMonth() + "/transparency.csv"
	v.onlooking.get(t, path).refused(t, http.StatusBadRequest, "EXPORT_INCOMPLETE")
	v.profile(t, "FORMAT_TRANSPARENCY", fields{"department_family": "Department of Health and Social Care"})
	list := v.onlooking.get(t, path)
	require.Equal(t, http.StatusOK, list.Status, "%s", list)
	var want, large int64
	for _, p := range v.sent(t, v.run.RunID) {
		if p.AmountPence > 25_000_00 {
			want += p.AmountPence
			large++
		}
	}
	rows := sheet(t, list.Body)
	require.Positive(t, large, "some payee is paid more than £25,000")
	require.Equal(t, want, column(t, rows, "Amount"))
	for _, row := range rows {
		require.Equal(t, "NHS Newcastle Gateshead CCG", row["Entity"])
		require.Equal(t, thisMonth(), row["Date"][:7])
	}
}
