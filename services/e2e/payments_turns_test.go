package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPayments_WhatWasPaidCanBeReturned(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01V")
	april := o.sample(t)
	o.coded(t)
	sent := o.sentOut(t, o.run(t, "2022-04", 1))
	o.confirm(t, allPaid(sent))
	total := april.PayTotalPence
	require.Equal(t, map[string]int64{"EXPENSE": total, "SETTLED": -total}, o.stages(t, ""))

	back := sent[0]
	returned := confirmation{back.PaymentID, "RETURNED", "account closed", back.AmountPence}
	require.Equal(t, 1, o.confirm(t, []confirmation{returned}).RowsApplied)
	require.Equal(t, map[string]int64{"EXPENSE": total, "SETTLED": back.AmountPence - total, "PAYABLE": -back.AmountPence}, o.stages(t, ""))
	pcn := april.Lines[slices.IndexFunc(april.Lines, func(l line) bool { return l.Payee.Code == back.Payee.Code })].PCNCode
	month := read[statement](t, o.onlooking, "/v1/payments/pcns/"+pcn+"/statements/2022-04")
	var owed int64
	for _, l := range find(april.Lines, func(l line) bool { return l.Payee.Code == back.Payee.Code && l.PCNCode == pcn }) {
		owed += l.AmountPence
	}
	require.Equal(t, []int64{owed, month.TotalPence - owed}, []int64{month.ClosingPence, month.SentPence}, "what came back is owed again")
	row := o.confirm(t, []confirmation{returned, {"nobody", "PAID", "", 1}})
	require.Equal(t, []int{0, 1, 1}, []int{row.RowsApplied, row.RowsKnown, row.RowsUnmatched})

	turned := read[payment](t, o.onlooking, "/v1/payments/payments/"+back.PaymentID)
	again := write[reissue](t, o.preparer, "/v1/payments/payments/"+back.PaymentID+":reissue", fields{"request_id": unique(), "etag": turned.ETag, "reason": "e2e"})
	o.confirm(t, allPaid(o.sentOut(t, read[payRun](t, o.onlooking, "/v1/payments/runs/"+again.RunID))))
	require.Equal(t, map[string]int64{"EXPENSE": total, "SETTLED": -total}, o.stages(t, ""))
	month = read[statement](t, o.onlooking, "/v1/payments/pcns/"+pcn+"/statements/2022-04")
	require.Equal(t, []int64{month.TotalPence, 0}, []int64{month.SentPence, month.ClosingPence})
}

func TestPayments_ByPayeeAndAmountWhereThePayerGivesNoReference(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "05D")
	o.sample(t)
	o.coded(t)
	sent := o.sentOut(t, o.run(t, "2022-04", 1))
	var text strings.Builder
	text.WriteString("payee;status;date;amount\n")
	for _, p := range sent {
		fmt.Fprintf(&text, "%s;paid;%s;£%s\n", p.Payee.Code, today(), pounds(p.AmountPence))
	}
	o.importFile(t, o.preparer, confirmationKind, text.String()).refused(t, http.StatusBadRequest, "FILE_MALFORMED")
	got := o.importFile(t, o.preparer, confirmationKind, "\ufeff"+strings.ReplaceAll(text.String(), ";", ","))
	require.Equal(t, http.StatusCreated, got.Status, "%s", got)
	var imported paymentsImport
	got.read(t, &imported)
	require.Len(t, sent, imported.File.RowsApplied)
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, "2022-04", 1).State)
}

// laterMonth closes May and returns its run, of which an overpayment of April is taken off.
func (o overpaid) laterMonth(t *testing.T, month string) payRun {
	t.Helper()
	o.close(t, month)
	run := o.run(t, month, 1)
	require.Negative(t, run.Totals.BroughtForwardPence)
	return run
}

// carry schedules the difference of April and settles it, so that the overpayment is carried.
func (o overpaid) carry(t *testing.T) {
	t.Helper()
	o.received(t, closeMonth(t, o.preparer, o.code, "2022-04"))
	o.confirm(t, allPaid(o.sentOut(t, o.run(t, "2022-04", 2))))
	require.Equal(t, o.owed, o.stages(t, "")["RECOVERED"])
	write[recovery](t, o.approver, "/v1/payments/recoveries:plan", fields{
		"request_id": unique(), "commissioner_code": o.code, "payee_code": o.payee, "instalment_pence": "5000", "from_month": "2022-04", "reason": "agreed",
	})
}

func TestPayments_ARejectedPaymentGivesBackWhatWasTakenOff(t *testing.T) {
	t.Parallel()
	o := overpay(t, "03W", "QK1", "E2E18")
	o.carry(t)
	run := o.laterMonth(t, "2022-05")
	// On hold after the approval: what the approval took off is owed again.
	run = o.passed(t, run)
	require.Equal(t, o.owed-5000, o.stages(t, "")["RECOVERED"])
	late := o.heldBy(t, o.preparer, fields{"payee_code": o.payee})
	o.requireBalanced(t, o.export(t, run.RunID, "FORMAT_JOURNAL"))
	require.Equal(t, o.owed, o.stages(t, "")["RECOVERED"])
	o.confirm(t, allPaid(o.sent(t, run.RunID)))
	o.release(t, late)
	second := write[payRun](t, o.preparer, "/v1/payments/commissioners/03W/months/2022-05:assemble", fields{"request_id": unique()})
	require.Equal(t, []int64{o.paid, -5000, o.paid - 5000}, []int64{second.Totals.LinesPence, second.Totals.BroughtForwardPence, second.Totals.NetPence})
	sent := o.sentOut(t, second)
	require.Len(t, sent, 1)
	require.Equal(t, o.owed-5000, o.stages(t, "")["RECOVERED"])

	// Rejected: it is owed again, and taken off again when the payment is issued again.
	o.confirm(t, []confirmation{{sent[0].PaymentID, "REJECTED", "account closed", sent[0].AmountPence}})
	require.Equal(t, -sent[0].AmountPence, o.stages(t, "")["PAYABLE"])
	turned := read[payment](t, o.onlooking, "/v1/payments/payments/"+sent[0].PaymentID)
	again := write[reissue](t, o.preparer, "/v1/payments/payments/"+turned.PaymentID+":reissue", fields{"request_id": unique(), "etag": turned.ETag, "reason": "e2e"})
	stages := o.stages(t, "")
	require.Equal(t, []int64{o.owed, 0, -o.paid}, []int64{stages["RECOVERED"], stages["PAYABLE"], stages["ACCRUED"]})
	third := o.sentOut(t, read[payRun](t, o.onlooking, "/v1/payments/runs/"+again.RunID))
	require.Equal(t, sent[0].AmountPence, third[0].AmountPence)
	o.confirm(t, allPaid(third))
	stages = o.stages(t, "")
	require.Equal(t, map[string]int64{"EXPENSE": o.scheduled(t), "RECOVERED": o.owed - 5000, "SETTLED": 5000 - o.owed - o.scheduled(t)}, stages)
}

func TestPayments_AnOverpaymentIsTakenOffOnce(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "02Y", "QOQ")
	c := correctable(t, "02Y", "QOQ")
	april := o.sample(t)
	o.coded(t)
	o.confirm(t, allPaid(o.sentOut(t, o.run(t, "2022-04", 1))))
	payee := only(t, april.Lines, c.pcn, "CORE_PCN", "2022-04").Payee.Code
	write[load](t, o.preparer, "/v1/register/participations", fields{
		"request_id": unique(), "commissioner_code": "QOQ", "practice_code": c.practice, "participating": false, "notice_date": "2022-04-15",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	o.received(t, closeMonth(t, o.preparer, "02Y", "2022-04"))
	run := o.passed(t, o.run(t, "2022-04", 2))
	require.Equal(t, []any{"RUN_STATE_SETTLED", 0, int64(0)}, []any{run.State, run.Totals.Payments, run.Totals.NetPence}, "there is nothing to send")
	o.preparer.post(t, "/v1/payments/runs/"+run.RunID+":export", fields{"request_id": unique(), "format": "FORMAT_PCSE_VARIATION"}).
		refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	booked := o.export(t, run.RunID, "FORMAT_JOURNAL")
	o.requireBalanced(t, booked)
	require.NotEmpty(t, sheet(t, o.file(t, booked)), "what is carried is in the ledger all the same")
	owed := o.stages(t, "")["RECOVERED"]
	require.Equal(t, -run.Totals.CarriedForwardPence, owed)

	// Both months reckon with the same debt while none of them is approved.
	o.close(t, "2022-05")
	o.close(t, "2022-06")
	may, june := o.submit(t, o.run(t, "2022-05", 1)), o.submit(t, o.run(t, "2022-06", 1))
	taken := -may.Totals.BroughtForwardPence
	require.Positive(t, taken)
	require.Equal(t, may.Totals.BroughtForwardPence, june.Totals.BroughtForwardPence)
	o.approve(t, may)
	require.Equal(t, owed-taken, o.stages(t, "")["RECOVERED"])
	p := decide(t, o.approver, june, "approve").refused(t, http.StatusBadRequest, "RECOVERY_CHANGED")
	require.Contains(t, p.Detail, payee)
	var rejected payRun
	decide(t, o.approver, june, "reject").ok(t, &rejected)
	again := read[payRun](t, o.onlooking, "/v1/payments/runs/"+rejected.ReplacedByRunID)
	require.Zero(t, again.Totals.BroughtForwardPence)
	o.requireBalanced(t, o.export(t, may.RunID, "FORMAT_JOURNAL"))
	o.sentOut(t, again)
	stages := o.stages(t, "")
	require.Equal(t, owed-taken, stages["RECOVERED"], "what is left is owed by one who is paid no more")
	require.Equal(t, o.scheduled(t)+owed-taken, -stages["SENT"]-stages["SETTLED"])
}

func TestPaymentsExport_WithEveryPayeeOnHoldSendsNothing(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01F")
	april := o.sample(t)
	o.coded(t)
	run := o.passed(t, o.run(t, "2022-04", 1))
	var holds []hold
	for _, p := range o.payees(t, run.RunID) {
		holds = append(holds, o.heldBy(t, o.preparer, fields{"payee_code": p.Payee.Code}))
	}
	journal := o.export(t, run.RunID, "FORMAT_JOURNAL")
	require.Equal(t, []any{0, int64(0)}, []any{journal.Payments, journal.AmountPence})
	require.Empty(t, o.file(t, journal))
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, "2022-04", 1).State)
	require.Equal(t, map[string]int64{"EXPENSE": april.PayTotalPence, "ACCRUED": -april.PayTotalPence}, o.stages(t, ""))
	for _, h := range holds {
		o.release(t, h)
	}
	second := write[payRun](t, o.preparer, "/v1/payments/commissioners/01F/months/2022-04:assemble", fields{"request_id": unique()})
	require.Equal(t, april.PayTotalPence, second.Totals.NetPence)
	o.supply(t, o.payees(t, second.RunID))
	second = o.passed(t, second)
	p := o.preparer.post(t, "/v1/payments/runs/"+second.RunID+":export", fields{"request_id": unique(), "format": "FORMAT_PAYABLES_INVOICES"}).
		refused(t, http.StatusBadRequest, "EXPORT_INCOMPLETE")
	require.Contains(t, p.violations(), "approver")
	o.profile(t, "FORMAT_PAYABLES_INVOICES", fields{"approver": "J Smith"})
	invoices := o.export(t, second.RunID, "FORMAT_PAYABLES_INVOICES")
	require.Equal(t, april.PayTotalPence, invoices.AmountPence)
	heads, details := 0, make(map[string]int64)
	totals := make(map[string]int64)
	for _, row := range sheet(t, o.file(t, invoices)) {
		if row["Row Type"] == "HEADER" {
			heads++
			totals[row["Invoice Number"]] = column(t, []map[string]string{row}, "Gross")
			continue
		}
		details[row["Invoice Number"]] += column(t, []map[string]string{row}, "Net")
	}
	require.Equal(t, invoices.Payments, heads)
	require.Equal(t, totals, details)
	for _, p := range o.sent(t, second.RunID) {
		require.Equal(t, p.AmountPence, totals[p.PaymentID], "the payment is the invoice number")
	}
}

func TestPayments_TakesAScheduleOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01Y")
	april := o.sample(t)
	write[map[string]any](t, as(t, "operator"), "/v1/core/schedules/"+april.ScheduleID+":reemit", fields{"request_id": unique()})
	may := o.close(t, "2022-05")
	require.Equal(t, map[string]int64{"EXPENSE": april.PayTotalPence + may.PayTotalPence, "ACCRUED": -april.PayTotalPence - may.PayTotalPence}, o.stages(t, ""))
	require.Equal(t, april.LineCount, o.run(t, "2022-04", 1).Totals.Lines)
	require.Len(t, read[runList](t, o.onlooking, "/v1/payments/runs?commissioner_code=01Y").Runs, 2)
	var held struct {
		Events []struct {
			Aggregate string `json:"aggregate"`
			Reason    string `json:"reason"`
		} `json:"events"`
	}
	as(t, "auditor").get(t, "/v1/payments/held-events?page_size=1000").ok(t, &held)
	for _, event := range held.Events {
		require.Empty(t, event.Reason, "%s is in quarantine", event.Aggregate)
	}
	as(t, "operator").post(t, "/v1/payments/held-events/none:release", fields{"request_id": unique(), "reason": "e2e"}).
		refused(t, http.StatusNotFound, "HELD_EVENT_NOT_FOUND")
}

func TestPayments_AHeldPaymentIsIssuedAgainOnceReleased(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "02X")
	april := o.sample(t)
	o.coded(t)
	sent := o.sentOut(t, o.run(t, "2022-04", 1))
	turned := sent[0]
	o.confirm(t, append(allPaid(sent[1:]), confirmation{turned.PaymentID, "REJECTED", "closed", turned.AmountPence}))
	turned = read[payment](t, o.onlooking, "/v1/payments/payments/"+turned.PaymentID)
	held := o.heldBy(t, o.preparer, fields{"payee_code": turned.Payee.Code})
	again := write[reissue](t, o.preparer, "/v1/payments/payments/"+turned.PaymentID+":reissue", fields{"request_id": unique(), "etag": turned.ETag, "reason": "e2e"})
	run := read[payRun](t, o.onlooking, "/v1/payments/runs/"+again.RunID)
	require.Zero(t, run.Totals.Payments)
	decide(t, o.preparer, run, "submit").refused(t, http.StatusBadRequest, "RUN_EMPTY")
	o.release(t, held)
	next := o.sentOut(t, read[payRun](t, o.onlooking, "/v1/payments/runs/"+again.RunID))
	require.Len(t, next, 1)
	late := o.confirm(t, []confirmation{paid(turned)})
	require.Equal(t, []int{0, 1}, []int{late.RowsApplied, late.RowsUnmatched}, "the old payment was rejected: that it is paid now needs a person")
	require.Equal(t, map[string]int64{
		"EXPENSE": april.PayTotalPence, "SENT": -turned.AmountPence, "SETTLED": turned.AmountPence - april.PayTotalPence,
	}, o.stages(t, ""))
}

func TestPaymentsExport_OfAVariationNamesEveryLine(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "02G")
	april := o.sample(t)
	o.coded(t)
	run := o.passed(t, o.run(t, "2022-04", 1))
	rows := sheet(t, o.file(t, o.export(t, run.RunID, "FORMAT_PCSE_VARIATION")))
	require.Len(t, rows, april.LineCount)
	require.Equal(t, april.PayTotalPence, column(t, rows, "Amount"))
	for _, row := range rows {
		require.Equal(t, row["Pay Code"] == "NPP", row["Participation Payment Month"] == "2022-04", "%v", row)
	}
}
