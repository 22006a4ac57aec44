package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Stable reason codes of a reconciliation.
const (
	ReasonExpectedLineInvalid = "EXPECTED_LINE_INVALID"
	ReasonExpectedLineTwice   = "EXPECTED_LINE_TWICE"
	ReasonPaidRowInvalid      = "PAID_ROW_INVALID"
	ReasonPaidRowTwice        = "PAID_ROW_TWICE"
	ReasonKnownFigureInvalid  = "KNOWN_FIGURE_INVALID"
)

// ExpectedLine is a scheduled line that is compared with what was paid.
type ExpectedLine struct {
	LineID string
	// Reference of the instruction it went out under; empty where it went out under none.
	Reference    string
	PayeeCode    string
	PCNCode      string
	PracticeCode string
	PaymentCode  string
	// ForMonth is the month the line is for, ScheduleMonth the one it is paid in.
	ForMonth, ScheduleMonth period.Month
	// Amount in pence; negative for what is taken back.
	Amount money.Pence
	// ReconcileOnly says that another system pays the line, and that it is compared here and nowhere else.
	ReconcileOnly bool
	// Adjusts is the identifier of the line it corrects; empty for a first line.
	Adjusts string
	// Standing is why nothing can have been paid for the line by itself, as far as is known here, such as CauseNotSent, and Where says it
	// in words; both empty where a payment is to be expected.
	Standing ReconcileCause
	Where    string
	// Basis is what the amount rests on; nil where it is not known.
	Basis *LineBasis
}

// PaidRow is one row of a file of amounts actually paid. It has a month or a financial year.
type PaidRow struct {
	// Row is the row's number in its file, from 1.
	Row         int
	Reference   string
	PayeeCode   string
	PaymentCode string
	Month       period.Month
	Year        period.FinancialYear
	Amount      money.Pence
	// Recovery says that the row is what was taken off a payment for overpayments carried forward, below zero. It is compared with lines
	// that were carried, and with nothing else.
	Recovery bool
}

// KnownRate is a version of a rate that no expected line need rest on.
type KnownRate struct {
	PaymentCode, Per, RateID string
	RateGBP                  *big.Rat
	// Instalments is the number of months the rate is for; 0 means that of the line.
	Instalments int
}

// KnownQuantity is a list or a number of beds that no expected line need rest on.
type KnownQuantity struct {
	PCNCode, PracticeCode, Per string
	Quantity                   *big.Rat
	// Source names the record, in words for a reader.
	Source string
}

// ReconcileInput is everything a reconciliation compares.
type ReconcileInput struct {
	Lines []ExpectedLine
	Rows  []PaidRow
	// Entitlements, Rates and Quantities serve to explain differences; each may be empty.
	Entitlements []Entitlement
	Rates        []KnownRate
	Quantities   []KnownQuantity
}

// FindingStatus says how expected lines and paid rows compare.
type FindingStatus int

// The statuses.
const (
	// Matched lines were paid, to the penny and to their payee.
	Matched FindingStatus = iota + 1
	// Different lines were paid with another amount, or to another payee.
	Different
	// Missing lines were not paid.
	Missing
	// Extra rows pay what no line expects.
	Extra
)

// MatchStep says what lines and rows were put together by.
type MatchStep int

// The steps, in the order they are tried.
const (
	// ByReference is the instruction's reference.
	ByReference MatchStep = iota + 1
	// ByPeriod is payee, payment and the month the lines are paid in.
	ByPeriod
	// ByForMonth is payee, payment and the month the lines are for.
	ByForMonth
	// ByYear is payee, payment and financial year.
	ByYear
	// ByAmount is payee and amount, in the same or the next month or the one before.
	ByAmount
	// ByRecovery is the payee whose overpayments were carried forward and taken off later payments.
	ByRecovery
	// ByNetting is that the lines of one payee, payment and month come to nothing, so that nothing is to be paid.
	ByNetting
)

// ReconcileCause is the likely cause of a finding, equal to the value's name in the contract.
type ReconcileCause string

// The causes.
const (
	// CauseRounding is another convention of rounding or instalments.
	CauseRounding ReconcileCause = "ROUNDING"
	// CauseOneMonthShift is that payments run a month late or early.
	CauseOneMonthShift ReconcileCause = "ONE_MONTH_SHIFT"
	// CauseOldRate is another version of the rate.
	CauseOldRate ReconcileCause = "OLD_RATE"
	// CauseArrearsLump is that several months, or what they lacked, were paid together.
	CauseArrearsLump ReconcileCause = "ARREARS_LUMP"
	// CauseOldList is another list or another number of beds.
	CauseOldList ReconcileCause = "OLD_LIST"
	// CauseDuplicate is that the same was paid again.
	CauseDuplicate ReconcileCause = "DUPLICATE"
	// CauseSign is that the amount has the opposite sign.
	CauseSign ReconcileCause = "SIGN"
	// CauseReversed is that a row takes back what another paid.
	CauseReversed ReconcileCause = "REVERSED"
	// CausePartial is that a part was paid.
	CausePartial ReconcileCause = "PARTIAL"
	// CauseWholePeriod is that the amount of the whole period was paid in one.
	CauseWholePeriod ReconcileCause = "WHOLE_PERIOD"
	// CauseOtherPayee is that the amount went to another payee.
	CauseOtherPayee ReconcileCause = "OTHER_PAYEE"
	// CauseOtherPayment is that the amount was paid under another payment code.
	CauseOtherPayment ReconcileCause = "OTHER_PAYMENT"
	// CauseNotSent is that the line was not sent to the payer.
	CauseNotSent ReconcileCause = "NOT_SENT"
	// CauseOnHold is that a hold keeps the line back.
	CauseOnHold ReconcileCause = "ON_HOLD"
	// CauseAwaiting is that the payer has neither paid nor rejected what was sent.
	CauseAwaiting ReconcileCause = "AWAITING_CONFIRMATION"
	// CauseRejected is that the payer rejected the payment.
	CauseRejected ReconcileCause = "REJECTED"
	// CauseCarried is that the line was set against overpayments, and not sent by itself.
	CauseCarried ReconcileCause = "CARRIED"
	// CauseRecovered is that overpayments carried forward were taken off payments.
	CauseRecovered ReconcileCause = "RECOVERED"
	// CauseUnknown is that none of the others fits.
	CauseUnknown ReconcileCause = "UNKNOWN"
)

// Finding is a set of expected lines with the paid rows they are compared with.
type Finding struct {
	Status FindingStatus
	// Step is what they were put together by; zero for a difference between what is left of a month or year on both sides, and
	// for what is missing or extra.
	Step        MatchStep
	PayeeCode   string
	PaymentCode string
	// Month or Year the finding is for; of a match in another month that of the lines.
	Month period.Month
	Year  period.FinancialYear
	// LineIDs and Rows in order of the month paid in, and of the row.
	LineIDs []string
	Rows    []int
	// Expected and Paid in pence, and Difference, which is Paid less Expected.
	Expected, Paid, Difference money.Pence
	// ReconcileOnly is the part of Expected that another system pays.
	ReconcileOnly money.Pence
	// Cause is the likely cause and Evidence its figures in words; empty for a match that needs none.
	Cause    ReconcileCause
	Evidence string

	lines, rows []int
	months      []period.Month // that lines are paid in and rows are for
}

// Touches tells whether a line of the finding is paid in some months, or a row is for one of them.
func (f *Finding) Touches(from, to period.Month) bool {
	if f.Year != 0 && !f.Year.First().After(to) && !f.Year.Last().Before(from) {
		return true
	}
	return slices.ContainsFunc(f.months, func(m period.Month) bool { return !m.Before(from) && !m.After(to) })
}

// ReconcileTotals add up findings in pence. Expected is ExpectedMatched + ExpectedDifferent + Missing, and Paid is PaidMatched +
// PaidDifferent + Extra.
type ReconcileTotals struct {
	Expected, ExpectedMatched, ExpectedDifferent, Missing money.Pence
	Paid, PaidMatched, PaidDifferent, Extra               money.Pence
	// ReconcileOnly is the part of Expected that another system pays.
	ReconcileOnly money.Pence
	Lines, Rows   int
}

// PaymentTotals are the totals of one payment code. A row counts under the code it bears.
type PaymentTotals struct {
	PaymentCode string
	ReconcileTotals
}

// Reconciliation is every line and every row, each in one finding.
type Reconciliation struct {
	// Findings in order of status, payee, payment, month or year, line and row.
	Findings []Finding
	// Counts of findings by status.
	Matched, Different, Missing, Extra int
	Totals                             ReconcileTotals
	// Payments in order of their code.
	Payments []PaymentTotals
}

// Reconcile compares what was expected with what was paid. It matches by reference, then by payee, payment and period, then by
// payee and amount; several lines, or rows, of one payee, payment and month count together. Lines that were carried are compared with
// what was taken off later payments. Each line and each row is in one
// finding, and every finding that is not a plain match has a likely cause. The order of the input does not matter. It returns a
// fault of kind Invalid for a line or a row that is incomplete or given twice, and for amounts beyond what can be added up.
func Reconcile(in *ReconcileInput) (*Reconciliation, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	r := newReconciler(in)
	r.match()
	r.explain()
	slices.SortFunc(r.findings, compareFindings)
	return r.report()
}

// check refuses what cannot be compared, and sums so large that a figure of the report might not be held.
func (in *ReconcileInput) check() error {
	var total money.Pence
	var err error
	ids := make(map[string]bool, len(in.Lines))
	for i := range in.Lines {
		line := &in.Lines[i]
		switch {
		case line.LineID == "" || line.PaymentCode == "" || line.ForMonth.IsZero() || line.ScheduleMonth.IsZero():
			return fault.New(fault.Invalid, ReasonExpectedLineInvalid,
				"line %q lacks an identifier, a payment or a month", money.Clip(line.LineID)).With("line_id", line.LineID)
		case ids[line.LineID]:
			return fault.New(fault.Invalid, ReasonExpectedLineTwice, "line %q is given twice", money.Clip(line.LineID)).With("line_id", line.LineID)
		}
		ids[line.LineID] = true
		if total, err = addMagnitude(total, line.Amount); err != nil {
			return err
		}
	}
	numbers := make(map[int]bool, len(in.Rows))
	for i := range in.Rows {
		row := &in.Rows[i]
		switch {
		case row.Row < 1 || row.PaymentCode == "" || row.Month.IsZero() == (row.Year == 0) || row.PayeeCode+row.Reference == "":
			return fault.New(fault.Invalid, ReasonPaidRowInvalid,
				"row %d lacks its number, a payment, a payee or a reference, or has not one of month and year", row.Row).With("row", row.Row)
		case numbers[row.Row]:
			return fault.New(fault.Invalid, ReasonPaidRowTwice, "row %d is given twice", row.Row).With("row", row.Row)
		}
		numbers[row.Row] = true
		if total, err = addMagnitude(total, row.Amount); err != nil {
			return err
		}
	}
	return in.checkKnown(total)
}

func (in *ReconcileInput) checkKnown(total money.Pence) error {
	for i := range in.Rates {
		if in.Rates[i].RateGBP == nil || in.Rates[i].Instalments < 0 {
			return fault.New(fault.Invalid, ReasonKnownFigureInvalid, "rate %q has no figure", money.Clip(in.Rates[i].RateID))
		}
	}
	for i := range in.Quantities {
		if in.Quantities[i].Quantity == nil {
			return fault.New(fault.Invalid, ReasonKnownFigureInvalid, "the quantity of %q has no figure", money.Clip(in.Quantities[i].PCNCode))
		}
	}
	for i := range in.Entitlements {
		if in.Entitlements[i].Instalments < 1 {
			return fault.New(fault.Invalid, ReasonEntitlementInvalid,
				"the entitlement of %q to %s has no instalments", money.Clip(in.Entitlements[i].PCNCode), in.Entitlements[i].PaymentCode)
		}
	}
	return checkHeadroom(total)
}

// addMagnitude adds an amount without its sign.
func addMagnitude(total, amount money.Pence) (money.Pence, error) {
	if amount < 0 {
		return total.Sub(amount)
	}
	return total.Add(amount)
}

// checkHeadroom refuses amounts of which a small multiple cannot be held, so that sums of some of them need no further check.
func checkHeadroom(total money.Pence) error {
	const headroom = 16
	_, err := total.Times(headroom)
	return err
}

// report adds up the findings and asserts that every line and row is in one of them.
func (r *reconciler) report() (*Reconciliation, error) {
	out := &Reconciliation{Findings: r.findings}
	payments := make(map[string]*ReconcileTotals)
	var codes []string
	of := func(code string) *ReconcileTotals {
		if payments[code] == nil {
			payments[code] = new(ReconcileTotals)
			codes = append(codes, code)
		}
		return payments[code]
	}
	lines, rows := make([]bool, len(r.lines)), make([]bool, len(r.rows))
	for i := range r.findings {
		f := &r.findings[i]
		out.count(f.Status)
		for _, l := range f.lines {
			if lines[l] {
				return nil, fault.Bug("line %s is in two findings", r.lines[l].LineID)
			}
			lines[l] = true
			out.Totals.addLine(f.Status, &r.lines[l])
			of(r.lines[l].PaymentCode).addLine(f.Status, &r.lines[l])
		}
		for _, p := range f.rows {
			if rows[p] {
				return nil, fault.Bug("row %d is in two findings", r.rows[p].Row)
			}
			rows[p] = true
			out.Totals.addRow(f.Status, &r.rows[p])
			of(r.rows[p].PaymentCode).addRow(f.Status, &r.rows[p])
		}
	}
	slices.Sort(codes)
	for _, code := range codes {
		out.Payments = append(out.Payments, PaymentTotals{PaymentCode: code, ReconcileTotals: *payments[code]})
	}
	return out, r.verify(&out.Totals)
}

func (r *Reconciliation) count(status FindingStatus) {
	switch status {
	case Matched:
		r.Matched++
	case Different:
		r.Different++
	case Missing:
		r.Missing++
	case Extra:
		r.Extra++
	}
}

func (t *ReconcileTotals) addLine(status FindingStatus, line *ExpectedLine) {
	t.Lines++
	t.Expected += line.Amount
	if line.ReconcileOnly {
		t.ReconcileOnly += line.Amount
	}
	switch status {
	case Matched:
		t.ExpectedMatched += line.Amount
	case Different:
		t.ExpectedDifferent += line.Amount
	case Missing, Extra:
		t.Missing += line.Amount
	}
}

func (t *ReconcileTotals) addRow(status FindingStatus, row *PaidRow) {
	t.Rows++
	t.Paid += row.Amount
	switch status {
	case Matched:
		t.PaidMatched += row.Amount
	case Different:
		t.PaidDifferent += row.Amount
	case Extra, Missing:
		t.Extra += row.Amount
	}
}

// verify asserts that the totals are those of the input, and that what is matched was paid to the penny.
func (r *reconciler) verify(t *ReconcileTotals) error {
	var expected, paid money.Pence
	for i := range r.lines {
		expected += r.lines[i].Amount
	}
	for i := range r.rows {
		paid += r.rows[i].Amount
	}
	switch {
	case t.Lines != len(r.lines) || t.Rows != len(r.rows):
		return fault.Bug("%d of %d lines and %d of %d rows are in findings", t.Lines, len(r.lines), t.Rows, len(r.rows))
	case t.Expected != expected || t.ExpectedMatched+t.ExpectedDifferent+t.Missing != expected:
		return fault.Bug("findings expect %d pence, not %d", t.ExpectedMatched+t.ExpectedDifferent+t.Missing, expected)
	case t.Paid != paid || t.PaidMatched+t.PaidDifferent+t.Extra != paid:
		return fault.Bug("findings were paid %d pence, not %d", t.PaidMatched+t.PaidDifferent+t.Extra, paid)
	case t.ExpectedMatched != t.PaidMatched:
		return fault.Bug("%d pence matched with %d", t.ExpectedMatched, t.PaidMatched)
	}
	return nil
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Status, b.Status), cmp.Compare(a.PayeeCode, b.PayeeCode), cmp.Compare(a.PaymentCode, b.PaymentCode),
		cmp.Compare(a.Year, b.Year), a.Month.Compare(b.Month), slices.Compare(a.LineIDs, b.LineIDs), slices.Compare(a.Rows, b.Rows),
	)
}
