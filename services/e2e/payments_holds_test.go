package e2e

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// holdsOf returns the holds in force of a commissioner.
func (o office) holdsOf(t testing.TB) []hold {
	t.Helper()
	return read[holdList](t, o.onlooking, "/v1/payments/holds?open_only=true&page_size=1000&commissioner_code="+o.code).Holds
}

func TestPaymentsHold_KeepsAPayeeAndALineOut(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "06N")
	april := o.sample(t)
	o.coded(t)
	networks := find(april.Lines, func(l line) bool { return l.PaymentCode == "CORE_PCN" })
	payeeHeld, lineHeld := networks[0].Payee.Code, networks[slices.IndexFunc(networks, func(l line) bool { return l.Payee.Code != networks[0].Payee.Code })]
	body := fields{"request_id": unique(), "commissioner_code": "06N", "reason": "e2e"}
	path := "/v1/payments/holds"
	o.onlooking.post(t, path, body.with("payee_code", payeeHeld)).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	o.preparer.post(t, path, body).refused(t, http.StatusBadRequest, "HOLD_TARGET_INVALID")
	o.preparer.post(t, path, body.with("payee_code", payeeHeld).with("line_id", lineHeld.LineID)).refused(t, http.StatusBadRequest, "HOLD_TARGET_INVALID")
	o.preparer.post(t, path, body.with("line_id", "core-none")).refused(t, http.StatusNotFound, "LINE_NOT_FOUND")
	foreign := read[schedule](t, as(t, "auditor"), "/v1/core/schedules/core-52R-2022-04-1").Lines[0].LineID
	o.preparer.post(t, path, body.with("line_id", foreign)).refused(t, http.StatusNotFound, "LINE_NOT_FOUND")
	onPayee := o.heldBy(t, o.preparer, fields{"payee_code": payeeHeld})
	onLine := o.heldBy(t, o.approver, fields{"line_id": lineHeld.LineID})
	require.Equal(t, []string{"PLACED", "06n.preparer"}, []string{onPayee.ReasonCode, onPayee.PlacedBy})
	require.ElementsMatch(t, []hold{onPayee, onLine}, o.holdsOf(t))

	var kept int64
	var keptLines []string
	for _, l := range find(april.Lines, func(l line) bool { return l.Payee.Code == payeeHeld || l.LineID == lineHeld.LineID }) {
		kept += l.AmountPence
		keptLines = append(keptLines, l.LineID)
	}
	run := o.run(t, "2022-04", 1)
	require.Equal(t, []int64{april.PayTotalPence - kept, kept}, []int64{run.Totals.NetPence, run.Totals.HeldPence})
	held := read[runLineList](t, o.onlooking, "/v1/payments/runs/"+run.RunID+"/lines?held_only=true&page_size=1000").Lines
	var heldIDs []string
	for _, l := range held {
		require.NotEmpty(t, l.Holds)
		heldIDs = append(heldIDs, l.Line.LineID)
	}
	require.ElementsMatch(t, keptLines, heldIDs)

	run = o.passed(t, run)
	require.Equal(t, []int64{april.PayTotalPence - kept, kept}, []int64{run.Totals.NetPence, run.Totals.HeldPence})
	require.Len(t, o.lines(t, run.RunID), april.LineCount-len(keptLines), "what is on hold is left behind")
	o.preparer.post(t, "/v1/payments/runs/"+run.RunID+":submit", fields{"request_id": unique(), "etag": run.ETag}).refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	late := o.keepBack(t, run, payeeHeld)
	o.releaseAll(t, onPayee, onLine, late, april)
}

// keepBack holds a payee after the approval: it is left out of what is sent.
func (o office) keepBack(t *testing.T, run payRun, but string) hold {
	payees := o.payees(t, run.RunID)
	chosen := payees[slices.IndexFunc(payees, func(p payeeTotal) bool { return p.Payee.Code != but })]
	late := o.heldBy(t, o.preparer, fields{"payee_code": chosen.Payee.Code})
	journal := o.export(t, run.RunID, "FORMAT_JOURNAL")
	o.requireBalanced(t, journal)
	require.Equal(t, run.Totals.NetPence-chosen.NetPence, journal.AmountPence)
	payments := o.sent(t, run.RunID)
	require.False(t, slices.ContainsFunc(payments, func(p payment) bool { return p.Payee.Code == chosen.Payee.Code }))
	o.confirm(t, allPaid(payments))
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, "2022-04", 1).State)
	require.Zero(t, o.stages(t, "")["PAYABLE"], "the approval was undone for the payee on hold")
	return late
}

// releaseAll ends every hold and pays what was held in a run of its own.
func (o office) releaseAll(t *testing.T, onPayee, onLine, late hold, april schedule) {
	path := "/v1/payments/holds/" + onPayee.HoldID + ":release"
	body := fields{"request_id": unique(), "etag": onPayee.ETag, "reason": "e2e"}
	o.preparer.post(t, path, body).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	o.approver.post(t, path, body.with("etag", "")).refused(t, http.StatusBadRequest, "ETAG_REQUIRED")
	o.approver.post(t, path, body.with("etag", "17")).refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")
	as(t, "finance_approver", "52R").post(t, path, body).refused(t, http.StatusNotFound, "HOLD_NOT_FOUND")
	released := o.release(t, onPayee)
	require.Equal(t, []string{"06n.approver", "e2e"}, []string{released.ReleasedBy, released.ReleaseReason})
	o.approver.post(t, path, fields{"request_id": unique(), "etag": released.ETag, "reason": "e2e"}).refused(t, http.StatusBadRequest, "HOLD_RELEASED")
	o.release(t, onLine)
	o.release(t, late)
	require.Empty(t, o.holdsOf(t))

	second := write[payRun](t, o.preparer, "/v1/payments/commissioners/06N/months/2022-04:assemble", fields{"request_id": unique()})
	require.Equal(t, 2, second.Number)
	owed := -o.stages(t, "")["ACCRUED"]
	require.Equal(t, []int64{owed, 0}, []int64{second.Totals.NetPence, second.Totals.HeldPence})
	o.confirm(t, allPaid(o.sentOut(t, second)))
	require.Equal(t, map[string]int64{"EXPENSE": april.PayTotalPence, "SETTLED": -april.PayTotalPence}, o.stages(t, ""))
}

func TestPaymentsHold_OfALineThatNobodyCanBePaid(t *testing.T) {
	t.Parallel()
	// The network U64595 opened in 2019 and has no payee: a practice that joins it makes lines without one.
	const network = "U64595"
	o := officeOf(t, "14L", "QOP")
	c := correctable(t, "14L", "QOP")
	o.sample(t)
	o.coded(t)
	o.confirm(t, allPaid(o.sentOut(t, o.run(t, "2022-04", 1))))
	write[load](t, o.preparer, "/v1/register/memberships", fields{
		"request_id": unique(), "commissioner_code": "QOP", "practice_code": c.practice, "pcn_code": network, "effective_from": "2022-04-01", "source": "e2e",
	})
	second := closeMonth(t, o.preparer, "14L", "2022-04")
	o.received(t, second)
	unpayable := find(second.Lines, func(l line) bool { return l.PCNCode == network && l.Payee.Code == "" })
	require.Len(t, unpayable, 3)
	var amount int64
	for _, l := range unpayable {
		amount += l.AmountPence
	}
	run := o.run(t, "2022-04", 2)
	require.Equal(t, []any{3, amount}, []any{run.Totals.HeldLines, run.Totals.HeldPence})
	holds := o.holdsOf(t)
	require.Len(t, holds, 3)
	for _, h := range holds {
		require.Equal(t, []string{"PAYEE_NOT_RECORDED", "payments"}, []string{h.ReasonCode, h.PlacedBy})
		o.approver.post(t, "/v1/payments/holds/"+h.HoldID+":release", fields{"request_id": unique(), "etag": h.ETag, "reason": "e2e"}).
			refused(t, http.StatusBadRequest, "PAYEE_NOT_RECORDED")
	}
	before := o.stages(t, "")
	require.Equal(t, -second.PayTotalPence, before["ACCRUED"])

	write[load](t, o.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": "QOP", "organisation_code": network, "payee_code": "E2E14", "payee_name": "NEW PAYEE",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	third := closeMonth(t, o.preparer, "14L", "2022-04")
	o.received(t, third)
	require.Zero(t, third.PayTotalPence, "the lines are taken back and scheduled anew")
	run = o.run(t, "2022-04", 2)
	require.Equal(t, []any{0, int64(0)}, []any{run.Totals.HeldLines, run.Totals.HeldPence}, "what is taken back waits no longer")
	payees := o.payees(t, run.RunID)
	at := slices.IndexFunc(payees, func(p payeeTotal) bool { return p.Payee.Code == "E2E14" })
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, amount, payees[at].NetPence)
	payments := o.sentOut(t, run)
	o.confirm(t, allPaid(payments))
	require.Equal(t, amount, payments[slices.IndexFunc(payments, func(p payment) bool { return p.Payee.Code == "E2E14" })].AmountPence)
	stages := o.stages(t, "")
	require.Zero(t, stages["ACCRUED"])
	require.Equal(t, o.scheduled(t), stages["EXPENSE"])
}
