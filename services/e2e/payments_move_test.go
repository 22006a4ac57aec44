package e2e

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// legacy is what Tees Valley leaves to its ICB on 1 July 2022.
type legacy struct {
	*teesValley
	icb                      office
	held                     withholding // of June, to be released after the change
	overpaid, kept           string      // payees
	may, june                schedule
	ofMay                    []payment
	settled, carried, turned int64
}

func (v *teesValley) succeeded(t *testing.T) {
	l := &legacy{teesValley: v, icb: officeOf(t, "QHM", "16C")}
	l.leave(t)
	before := l.stages(t, "")
	moved := l.pass(t, before)
	l.requirePassed(t, before, moved)
	l.requireReadable(t)
	l.confirmUnderTheICB(t)
	l.closeLate(t)
	l.payUnderTheICB(t)
}

// leave has May sent, one payment of it rejected and an overpayment carried, and June open with a payee on hold.
func (l *legacy) leave(t *testing.T) {
	networks := make(map[string]line)
	for _, found := range find(l.april.Lines, func(x line) bool { return x.PaymentCode == "CORE_PCN" && x.PCNCode != stockton }) {
		networks[found.PCNCode] = found
	}
	codes := slices.Sorted(maps.Keys(networks))
	late, corrected := codes[0], networks[codes[1]]
	l.overpaid, l.kept = corrected.Payee.Code, networks[codes[2]].Payee.Code
	l.held = write[withholding](t, l.preparer, "/v1/core/withholdings", fields{
		"request_id": unique(), "commissioner_code": "16C", "pcn_code": late, "payment_code": "CLINICAL_DIRECTOR", "from_month": "2022-06", "reason": "e2e",
	})
	write[load](t, l.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": "QHM", "organisation_code": corrected.PCNCode, "payee_code": "E2E16", "payee_name": "NEW PAYEE",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	l.may = l.close(t, "2022-05")
	l.ofMay = l.sentOut(t, l.run(t, "2022-05", 1))
	run := l.run(t, "2022-05", 1)
	l.carried = -run.Totals.CarriedForwardPence
	require.Positive(t, l.carried, "three payments of April were paid to another payee")
	require.False(t, slices.ContainsFunc(l.ofMay, func(p payment) bool { return p.Payee.Code == l.overpaid }))
	turned := l.ofMay[0]
	l.turned, l.settled = turned.AmountPence, l.ofMay[1].AmountPence
	l.confirm(t, []confirmation{{turned.PaymentID, "RETURNED", "no such account", turned.AmountPence}, paid(l.ofMay[1])})

	l.june = l.close(t, "2022-06")
	l.heldBy(t, l.preparer, fields{"payee_code": l.kept})
}

// icbName is what the register calls it.
const icbName = "NHS North East and North Cumbria Integrated Care Board"

func (l *legacy) pass(t *testing.T, before map[string]int64) move {
	body := fields{"request_id": unique(), "from_commissioner_code": "16C", "to_commissioner_code": "QHM", "reason": "Health and Care Act 2022"}
	path := "/v1/payments/moves"
	submitted := l.submit(t, l.run(t, "2022-06", 1))
	p := l.approver.post(t, path, body).refused(t, http.StatusBadRequest, "MOVE_REFUSED")
	require.Equal(t, submitted.RunID, p.Metadata["run_id"])
	write[payRun](t, l.preparer, "/v1/payments/runs/"+submitted.RunID+":withdraw", fields{"request_id": unique(), "etag": submitted.ETag, "reason": "e2e"})
	l.onlooking.post(t, path, body).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	as(t, "finance_approver", "16C").post(t, path, body).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	l.approver.post(t, path, body.with("to_commissioner_code", "16C")).refused(t, http.StatusBadRequest, "MOVE_REFUSED")
	l.approver.post(t, path, body.with("from_commissioner_code", "QHM").with("to_commissioner_code", "16C")).refused(t, http.StatusBadRequest, "SUCCESSION_NOT_RECORDED")

	proposed := write[move](t, l.approver, path, body.with("request_id", unique()))
	require.Equal(t, []string{"MOVE_STATE_PROPOSED", "2022-07-01", ""}, []string{proposed.State, proposed.EffectiveDate, proposed.MovedBy})
	require.Equal(t, before["ACCRUED"], -proposed.AccruedPence)
	require.Equal(t, before, l.stages(t, ""), "nothing of it was posted")
	consent := fields{"request_id": unique(), "etag": proposed.ETag}
	l.approver.post(t, path+"/"+proposed.MoveID+":confirm", consent).refused(t, http.StatusForbidden, "APPROVER_IS_PREPARER")
	as(t, "finance_approver", "16C").post(t, path+"/"+proposed.MoveID+":confirm", consent).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	require.Equal(t, before, l.stages(t, ""), "nor of this")

	moved := write[move](t, l.deputy, path+"/"+proposed.MoveID+":confirm", consent)
	require.Equal(t, []string{"16c.approver", "16c.deputy"}, []string{moved.ProposedBy, moved.MovedBy})
	require.Equal(t, moved, read[moveList](t, l.onlooking, "/v1/payments/moves?commissioner_code=QHM").Moves[0])
	require.Equal(t, moved, read[moveList](t, l.onlooking, "/v1/payments/moves?commissioner_code=16C").Moves[0])
	return moved
}

// open is what is owed, less what is to be recovered.
func open(stages map[string]int64) int64 {
	return -(stages["ACCRUED"] + stages["PAYABLE"] + stages["SENT"] + stages["RECOVERED"])
}

func (l *legacy) requirePassed(t *testing.T, before map[string]int64, moved move) {
	after, heir := l.stages(t, ""), l.icb.stages(t, "")
	require.Zero(t, open(after))
	require.Equal(t, open(before), open(heir))
	require.Equal(t, []int64{open(before), open(before)}, []int64{moved.OpenBeforePence, moved.OpenAfterPence})
	for _, stage := range []string{"ACCRUED", "PAYABLE", "SENT", "RECOVERED"} {
		require.Equal(t, before[stage], heir[stage], stage)
	}
	require.Equal(t, before["ACCRUED"], -moved.AccruedPence)
	require.Equal(t, before["PAYABLE"], -moved.PayablePence)
	require.Equal(t, before["SENT"], -moved.SentPence)
	require.Equal(t, before["RECOVERED"], moved.RecoveryPence)
	require.Equal(t, []int64{l.june.PayTotalPence, l.turned, l.carried}, []int64{moved.AccruedPence, moved.PayablePence, moved.RecoveryPence})
	require.Zero(t, after["TRANSFERRED"]+heir["TRANSFERRED"], "the two commissioners' accounts cancel")
	require.Equal(t, before["EXPENSE"], after["EXPENSE"], "what it cost stays where it was")
	require.Equal(t, before["SETTLED"], after["SETTLED"], "and so does what was paid")
	require.Len(t, l.ofMay[1:], moved.Payments, "all but the one that is settled")

	run := l.icb.run(t, "2022-07", 1)
	require.Equal(t, icbName, run.CommissionerName)
	require.Equal(t, l.june.LineCount, run.Totals.Lines+run.Totals.HeldLines)
	require.Equal(t, l.june.PayTotalPence, run.Totals.LinesPence+run.Totals.HeldPence)
	require.Positive(t, run.Totals.HeldLines, "the hold went with its payee")
	for _, ended := range read[runList](t, l.onlooking, "/v1/payments/runs?commissioner_code=16C&month=2022-06").Runs {
		require.Equal(t, "RUN_STATE_WITHDRAWN", ended.State)
	}
	for _, p := range l.icb.sent(t, "16C-2022-05-1") {
		want := "QHM"
		if p.State == "PAYMENT_STATE_SETTLED" {
			want = "16C"
		}
		require.Equal(t, want, p.CommissionerCode, p.PaymentID)
	}
	p := l.preparer.post(t, "/v1/payments/commissioners/16C/months/2022-07:assemble", fields{"request_id": unique()}).
		refused(t, http.StatusBadRequest, "COMMISSIONER_SUCCEEDED")
	require.Equal(t, "QHM", p.Metadata["successor"])
}

// requireReadable checks that the ICB reads what it took over, and that each has its own statement.
func (l *legacy) requireReadable(t *testing.T) {
	heir, old := as(t, "finance_preparer", "QHM"), as(t, "finance_preparer", "16C")
	for _, path := range []string{"/v1/payments/runs/16C-2022-05-1", "/v1/payments/runs/16C-2022-05-1/lines", "/v1/payments/exports/16C-2022-05-1-journal/file"} {
		require.Equal(t, http.StatusOK, heir.get(t, path).Status, path)
	}
	run := read[payRun](t, heir, "/v1/payments/runs/16C-2022-04-1")
	heir.post(t, "/v1/payments/runs/"+run.RunID+":withdraw", fields{"request_id": unique(), "etag": run.ETag, "reason": "e2e"}).
		refused(t, http.StatusNotFound, "RUN_NOT_FOUND")
	path := "/v1/payments/pcns/" + stockton + "/statements/"
	june := read[statement](t, old, path+"2022-06?commissioner_code=16C")
	require.Equal(t, "16C-"+stockton+"-2022-06", june.StatementID)
	ended, begun := read[statement](t, old, path+"2022-07?commissioner_code=16C"), read[statement](t, heir, path+"2022-07?commissioner_code=QHM")
	require.Equal(t, "QHM-"+stockton+"-2022-07", begun.StatementID)
	require.Equal(t, []int64{june.ClosingPence, -june.ClosingPence, 0}, []int64{ended.OpeningPence, ended.PassedPence, ended.ClosingPence})
	require.Equal(t, []int64{0, june.ClosingPence, june.ClosingPence}, []int64{begun.OpeningPence, begun.PassedPence, begun.ClosingPence})
	require.NotZero(t, june.ClosingPence)
}

func (l *legacy) confirmUnderTheICB(t *testing.T) {
	waiting := l.ofMay[2:]
	old := allPaid(waiting[:1])
	var blind paymentsImport
	l.importFile(t, as(t, "finance_preparer", "16C"), confirmationKind, confirmationFile(old)).read(t, &blind)
	require.Equal(t, []int{0, 1}, []int{blind.File.RowsApplied, blind.File.RowsUnmatched}, "the CCG has no payment that waits")
	require.Equal(t, 1, l.confirm(t, old).RowsApplied, "who may see both finds it with the ICB")
	require.Equal(t, len(waiting)-1, l.icb.confirm(t, allPaid(waiting[1:])).RowsApplied)
	require.Equal(t, "RUN_STATE_SETTLED", l.run(t, "2022-05", 1).State)
	stages := l.icb.stages(t, "")
	require.Zero(t, stages["SENT"])
	var sum int64
	for _, p := range waiting {
		sum += p.AmountPence
	}
	require.Equal(t, -sum, stages["SETTLED"])
	turned := read[payment](t, l.onlooking, "/v1/payments/payments/"+l.ofMay[0].PaymentID)
	as(t, "finance_preparer", "16C").post(t, "/v1/payments/payments/"+turned.PaymentID+":reissue", fields{"request_id": unique(), "reason": "e2e", "etag": turned.ETag}).
		refused(t, http.StatusNotFound, "PAYMENT_NOT_FOUND")
	again := write[reissue](t, l.icb.preparer, "/v1/payments/payments/"+turned.PaymentID+":reissue", fields{"request_id": unique(), "reason": "e2e", "etag": turned.ETag})
	run := read[payRun](t, l.onlooking, "/v1/payments/runs/"+again.RunID)
	require.Equal(t, "QHM", run.CommissionerCode)
	require.Zero(t, l.icb.stages(t, "")["PAYABLE"])
}

// closeLate has core schedule for the CCG after its time: the ICB owes it.
func (l *legacy) closeLate(t *testing.T) {
	before, owed := l.stages(t, ""), l.icb.stages(t, "")
	write[withholding](t, l.approver, "/v1/core/withholdings/"+l.held.WithholdingID+":release", fields{
		"request_id": unique(), "commissioner_code": "16C", "etag": l.held.ETag, "reason": "e2e",
	})
	late := l.close(t, "2022-06")
	require.Equal(t, 2, late.Sequence)
	require.Len(t, late.Lines, 1)
	require.Equal(t, before, l.stages(t, ""), "nothing is owed by the CCG any more")
	require.Equal(t, owed["ACCRUED"]-late.PayTotalPence, l.icb.stages(t, "")["ACCRUED"])
	var found bool
	for _, run := range read[runList](t, l.onlooking, "/v1/payments/runs?commissioner_code=QHM&state=RUN_STATE_ASSEMBLED").Runs {
		found = found || slices.ContainsFunc(l.icb.lines(t, run.RunID), func(x runLine) bool { return x.Line.LineID == late.Lines[0].LineID })
	}
	require.True(t, found, "the line is in a run of the ICB")
}

func (l *legacy) payUnderTheICB(t *testing.T) {
	l.icb.coded(t)
	owed := read[recoveryList](t, l.onlooking, "/v1/payments/recoveries?commissioner_code=QHM").Recoveries
	require.Len(t, owed, 1)
	require.Equal(t, []any{l.overpaid, l.carried}, []any{owed[0].Payee.Code, owed[0].OutstandingPence})
	run := l.icb.run(t, "2022-07", 1)
	at := slices.IndexFunc(l.icb.payees(t, run.RunID), func(p payeeTotal) bool { return p.Payee.Code == l.overpaid })
	require.GreaterOrEqual(t, at, 0)
	mine := l.icb.payees(t, run.RunID)[at]
	require.Equal(t, -min(mine.LinesPence, l.carried), mine.BroughtForwardPence)
	path, body := "/v1/payments/runs/"+run.RunID+":submit", fields{"request_id": unique(), "etag": run.ETag}
	p := l.icb.preparer.post(t, path, body).refused(t, http.StatusBadRequest, "FUND_NOT_CLOSED")
	require.Equal(t, "core", p.Metadata["fund"])
	submitted := write[payRun](t, l.icb.preparer, path, body.with("missing_funds", []fields{{"fund": "FUND_CORE", "reason": "July is not closed yet"}}))
	require.Equal(t, "July is not closed yet", submitted.Funds[0].MissingReason)
	l.icb.approve(t, submitted)
	l.icb.requireBalanced(t, l.icb.export(t, run.RunID, "FORMAT_JOURNAL"))
	payments := l.icb.sent(t, run.RunID)
	require.Equal(t, len(payments), l.icb.confirm(t, allPaid(payments)).RowsApplied)
	require.Equal(t, l.carried+mine.BroughtForwardPence, l.icb.stages(t, "")["RECOVERED"])
	require.Equal(t, "RUN_STATE_SETTLED", l.icb.run(t, "2022-07", 1).State)
}

func TestPaymentsMove_OfOnePlaceTakesItsItemsOnly(t *testing.T) {
	t.Parallel()
	o, heir := officeOf(t, "QNX", "QKS"), officeOf(t, "QKS", "QNX")
	july := o.close(t, "2022-07")
	sums := make(map[string]int64)
	for _, l := range july.Lines {
		sums[l.LocationCode] += l.AmountPence
	}
	require.Greater(t, len(sums), 1, "an ICB with several places")
	before := o.run(t, "2022-07", 1)
	require.Equal(t, july.PayTotalPence, before.Totals.NetPence)
	body := fields{"request_id": unique(), "from_commissioner_code": "QNX", "to_commissioner_code": "QKS", "location_codes": []string{"97R"}, "reason": "e2e"}
	o.approver.post(t, "/v1/payments/moves", body).refused(t, http.StatusBadRequest, "SUCCESSION_NOT_RECORDED")
	write[load](t, as(t, "operator"), "/v1/register/successions", fields{
		"request_id": unique(), "predecessor_code": "QNX", "successor_code": "QKS", "effective_date": "2022-08-01", "location_codes": []string{"97R"}, "source": "e2e",
	})
	proposed := write[move](t, o.preparer, "/v1/payments/moves", body)
	moved := write[move](t, o.approver, "/v1/payments/moves/"+proposed.MoveID+":confirm", fields{"request_id": unique(), "etag": proposed.ETag})
	require.Equal(t, sums["97R"], moved.AccruedPence)
	require.Equal(t, []int64{july.PayTotalPence - sums["97R"], sums["97R"]}, []int64{-o.stages(t, "")["ACCRUED"], -heir.stages(t, "")["ACCRUED"]})
	require.Equal(t, july.PayTotalPence-sums["97R"], o.run(t, "2022-07", 1).Totals.NetPence)
	require.Equal(t, sums["97R"], heir.run(t, "2022-08", 1).Totals.NetPence)
	for _, l := range heir.lines(t, "QKS-2022-08-1") {
		require.Equal(t, "97R", l.Line.LocationCode)
	}
}
