package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func causesOf(row varianceRow) map[string]int64 {
	out := make(map[string]int64)
	for _, cause := range row.Causes {
		out[cause.Cause] += cause.EffectPence
	}
	return out
}

func TestPayments_ALateListIsPaidWithTheNextMonth(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "02P", "QF7")
	c := correctable(t, "02P", "QF7")
	o.sample(t)
	o.coded(t)
	payments := o.sentOut(t, o.run(t, "2022-04", 1))
	o.confirm(t, allPaid(payments))
	c.record(t, 114)
	may := o.close(t, "2022-05")
	late := find(may.Lines, func(l line) bool { return l.ForMonth == "2022-04" })
	require.Len(t, late, 3)

	run := o.run(t, "2022-05", 1)
	require.Equal(t, may.PayTotalPence, run.Totals.NetPence)
	lines := o.lines(t, run.RunID)
	require.Len(t, lines, may.LineCount)
	for _, want := range late {
		at := slices.IndexFunc(lines, func(l runLine) bool { return l.Line.LineID == want.LineID })
		require.GreaterOrEqual(t, at, 0)
		require.Equal(t, []string{want.AdjustsLineID, causePopulation}, []string{lines[at].Line.AdjustsLineID, lines[at].Line.AdjustmentCause})
	}
	report := read[variance](t, o.onlooking, "/v1/payments/runs/"+run.RunID+"/variance?page_size=1000")
	requireVariance(t, report)
	more := less(c.due(t, 114), c.due(t, 0))
	for _, row := range report.Rows {
		if row.PCNCode != c.pcn || row.PaymentCode == "NPP" {
			require.Zero(t, row.MovementPence, "%s %s", row.PCNCode, row.PaymentCode)
			continue
		}
		require.Equal(t, map[string]int64{"LIST": more[row.PaymentCode], "CORRECTION": more[row.PaymentCode]}, causesOf(row), row.PaymentCode)
	}
	require.Equal(t, causesOf(report.Largest[0]), causesOf(report.Rows[slices.IndexFunc(report.Rows, func(r varianceRow) bool {
		return r.PCNCode == report.Largest[0].PCNCode && r.PaymentCode == report.Largest[0].PaymentCode
	})]))
	require.Contains(t, report.Largest[0].Sentence, "(+114)")

	got := read[statement](t, managerOf(t, c.pcn), "/v1/payments/pcns/"+c.pcn+"/statements/2022-05")
	require.Len(t, got.Corrections, 3)
	var corrections, total int64
	for _, l := range got.Corrections {
		require.Equal(t, "2022-04", l.Line.ForMonth)
		require.Equal(t, "2022-05", l.ScheduleMonth)
		corrections += l.Line.AmountPence
	}
	for _, l := range got.Payments {
		require.Equal(t, "2022-05", l.Line.ForMonth)
		total += l.Line.AmountPence
	}
	require.Equal(t, more["CORE_PCN"]+more["CLINICAL_DIRECTOR"]+more["EXTENDED_HOURS"], corrections)
	require.Equal(t, total+corrections, got.TotalPence)
	require.Equal(t, []int64{0, 0, got.TotalPence}, []int64{got.OpeningPence, got.SentPence, got.ClosingPence}, "April was paid, May is not yet")

	o.confirm(t, allPaid(o.sentOut(t, run)))
	got = read[statement](t, o.onlooking, "/v1/payments/pcns/"+c.pcn+"/statements/2022-05")
	require.Equal(t, []int64{got.TotalPence, 0}, []int64{got.SentPence, got.ClosingPence})
	require.Equal(t, map[string]int64{"EXPENSE": o.scheduled(t), "SETTLED": -o.scheduled(t)}, o.stages(t, ""))
	var matched int64
	for _, row := range read[reconciliation](t, o.onlooking, "/v1/payments/commissioners/02P/reconciliation?from_month=2022-04&to_month=2022-05").Totals {
		require.Equal(t, "MATCH_MATCHED", row.Match)
		matched += row.PaidPence
	}
	require.Equal(t, o.scheduled(t), matched)
}

// scheduled adds up what core has scheduled for payment in 2022/23.
func (o office) scheduled(t testing.TB) (sum int64) {
	t.Helper()
	for _, s := range read[scheduleList](t, o.onlooking, "/v1/core/schedules?page_size=1000&commissioner_code="+o.code).Schedules {
		if s.Month < "2023-04" {
			sum += s.PayTotalPence
		}
	}
	return sum
}

// overpaid is a payee that was paid for a PCN which another should have been paid for.
type overpaid struct {
	office
	pcn, payee string
	paid, owed int64
}

// overpay pays April and then learns that the PCN had another payee from its first day.
func overpay(t testing.TB, ccg, icb, payee string) overpaid {
	t.Helper()
	o := overpaid{office: officeOf(t, ccg, icb)}
	april := o.sample(t)
	o.coded(t)
	o.confirm(t, allPaid(o.sentOut(t, o.run(t, "2022-04", 1))))
	found := find(april.Lines, func(l line) bool { return l.PaymentCode == "CORE_PCN" })
	o.pcn, o.payee = found[0].PCNCode, found[0].Payee.Code
	o.paid = find(april.Lines, func(l line) bool { return l.PaymentCode == "NPP" && l.Payee.Code == o.payee })[0].AmountPence
	write[load](t, o.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": icb, "organisation_code": o.pcn, "payee_code": payee, "payee_name": "NEW PAYEE",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	for _, l := range find(april.Lines, func(l line) bool { return l.PCNCode == o.pcn && l.PaymentCode != "NPP" }) {
		o.owed += l.AmountPence
	}
	return o
}

// mine returns what a run comes to for a payee.
func (o overpaid) mine(t testing.TB, runID string) payeeTotal {
	t.Helper()
	payees := o.payees(t, runID)
	at := slices.IndexFunc(payees, func(p payeeTotal) bool { return p.Payee.Code == o.payee })
	require.GreaterOrEqual(t, at, 0, "%s has no line in %s", o.payee, runID)
	return payees[at]
}

func TestPayments_AnOverpaymentIsCarriedAndTakenOff(t *testing.T) {
	t.Parallel()
	o := overpay(t, "06L", "QJG", "E2E06")
	plan := fields{"request_id": unique(), "commissioner_code": "06L", "payee_code": o.payee, "instalment_pence": "10000", "from_month": "2022-05", "reason": "agreed"}
	o.approver.post(t, "/v1/payments/recoveries:plan", plan).refused(t, http.StatusBadRequest, "NOTHING_TO_RECOVER")
	second := closeMonth(t, o.preparer, "06L", "2022-04")
	o.received(t, second)
	require.Zero(t, second.PayTotalPence)

	run := o.run(t, "2022-04", 2)
	require.Equal(t, []int64{0, -o.owed, o.owed}, []int64{run.Totals.LinesPence, run.Totals.CarriedForwardPence, run.Totals.NetPence})
	require.Equal(t, []int{2, 1}, []int{run.Totals.Payees, run.Totals.Payments})
	mine := o.mine(t, run.RunID)
	require.Equal(t, []int64{-o.owed, -o.owed, 0, 0}, []int64{mine.LinesPence, mine.CarriedForwardPence, mine.BroughtForwardPence, mine.NetPence})
	payments := o.sentOut(t, run)
	require.Len(t, payments, 1, "what is below zero is never sent")
	require.Equal(t, []any{"E2E06", o.owed}, []any{payments[0].Payee.Code, payments[0].AmountPence})
	o.confirm(t, allPaid(payments))
	require.Equal(t, o.owed, o.stages(t, "")["RECOVERED"])
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, "2022-04", 2).State)

	owing := read[recoveryList](t, o.onlooking, "/v1/payments/recoveries?commissioner_code=06L").Recoveries
	require.Len(t, owing, 1)
	require.Equal(t, []any{o.payee, o.owed, int64(0)}, []any{owing[0].Payee.Code, owing[0].OutstandingPence, owing[0].InstalmentPence})
	o.preparer.post(t, "/v1/payments/recoveries:plan", plan).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	o.approver.post(t, "/v1/payments/recoveries:plan", plan.with("payee_code", "E2E06")).refused(t, http.StatusBadRequest, "NOTHING_TO_RECOVER")
	planned := write[recovery](t, o.approver, "/v1/payments/recoveries:plan", plan.with("request_id", unique()))
	require.Equal(t, []any{int64(10000), "2022-05", "06l.approver"}, []any{planned.InstalmentPence, planned.FromMonth, planned.PlannedBy})

	o.requireInstalment(t, "2022-05", 10000)
	write[recovery](t, o.approver, "/v1/payments/recoveries:plan", plan.with("request_id", unique()).with("instalment_pence", "0").with("from_month", "2022-06"))
	o.requireInstalment(t, "2022-06", o.paid)
	left := o.owed - 10000 - o.paid
	require.Equal(t, left, o.stages(t, "")["RECOVERED"])
	require.Equal(t, left, read[recoveryList](t, o.onlooking, "/v1/payments/recoveries?commissioner_code=06L").Recoveries[0].OutstandingPence)
	o.requireNothingNegative(t)
	o.requireStated(t, left)
}

// requireInstalment closes and sends a month, of which a part is taken off.
func (o overpaid) requireInstalment(t *testing.T, month string, taken int64) {
	t.Helper()
	before := o.stages(t, "")
	o.close(t, month)
	run := o.run(t, month, 1)
	mine := o.mine(t, run.RunID)
	require.Equal(t, []int64{o.paid, -taken, 0, o.paid - taken}, []int64{mine.LinesPence, mine.BroughtForwardPence, mine.CarriedForwardPence, mine.NetPence})
	require.Equal(t, -taken, run.Totals.BroughtForwardPence)
	require.Equal(t, run.Totals.LinesPence-taken, run.Totals.NetPence)
	payments := o.sentOut(t, run)
	at := slices.IndexFunc(payments, func(p payment) bool { return p.Payee.Code == o.payee })
	require.Equal(t, mine.NetPence > 0, at >= 0, "nothing is sent where nothing is left")
	o.confirm(t, allPaid(payments))
	require.Equal(t, before["RECOVERED"]-taken, o.stages(t, "")["RECOVERED"])
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, month, 1).State)
	if at < 0 {
		return
	}
	rows := sheet(t, o.file(t, o.export(t, run.RunID, "FORMAT_REMITTANCE")))
	rows = slices.DeleteFunc(rows, func(r map[string]string) bool { return r["Payee Code"] != o.payee || r["Recovered"] == "" })
	require.Equal(t, []string{"-" + pounds(taken)}, []string{rows[0]["Recovered"]})
}

func (o overpaid) requireNothingNegative(t *testing.T) {
	t.Helper()
	for _, p := range read[paymentList](t, o.onlooking, "/v1/payments/payments?page_size=1000&commissioner_code=06L").Payments {
		require.Positive(t, p.AmountPence, p.PaymentID)
	}
	for _, e := range read[exportList](t, o.onlooking, "/v1/payments/exports?commissioner_code=06L").Exports {
		require.Positive(t, e.AmountPence, e.ExportID)
		if e.Format != "FORMAT_JOURNAL" {
			continue
		}
		for _, row := range sheet(t, o.file(t, e)) {
			require.False(t, strings.HasPrefix(row["Debit"], "-") || strings.HasPrefix(row["Credit"], "-"), "%v", row)
		}
	}
}

// requireStated checks the statement of the PCN whose money went astray: what it is owed now is paid to the new payee.
func (o overpaid) requireStated(t *testing.T, left int64) {
	t.Helper()
	year := read[statement](t, o.onlooking, "/v1/payments/pcns/"+o.pcn+"/statements/2022-23")
	require.Equal(t, year.OpeningPence+year.TotalPence-year.SentPence, year.ClosingPence)
	require.Equal(t, -left, year.ClosingPence, "all was paid, and what is left to recover was paid too much")
	requireDocument(t, o.onlooking, fmt.Sprintf("/v1/payments/pcns/%s/statements/2022-23", o.pcn))
}
