package export

import (
	"cmp"
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Party is an organisation by its ODS code.
type Party struct{ Code, Name string }

// Batch is what one export writes: the payments of one approved run.
type Batch struct {
	ExportID       string
	Commissioner   Party
	Month          period.Month
	Number         int // 1 for the month's run, 2 and more for supplementary ones
	AccountingDate period.Date
	CreatedAt      time.Time   // when the export was made; bank files state it
	PayOn          period.Date // the day a bank is asked to pay on
	Payments       []Payment
}

// Payment is what one payee gets. Its lines sum to Net, which is above zero; in a JOURNAL it may be zero, of lines that are carried
// forward or taken off in full. In the files that a ledger takes there may be reversals too.
type Payment struct {
	Reference string // unique invoice number, as in 16C-2022-04-1-U89141
	Payee     Party
	Supplier  Supplier
	Lines     []Line
	Net       money.Pence
	// Reversal takes back the payment of this reference, which an earlier file shows and the payer rejected: Net and the lines are what
	// they were, with the opposite sign.
	Reversal bool
	// Control is the payables control that a reversal meets: that of the file which booked the payment. Others meet the batch's.
	Control Segments
}

// Reversed returns the payment that takes one back.
func (p *Payment) Reversed() (Payment, error) {
	out := *p
	out.Reversal, out.Lines = true, slices.Clone(p.Lines)
	var err error
	for i := range out.Lines {
		if out.Lines[i].Amount, err = money.Pence(0).Sub(p.Lines[i].Amount); err != nil {
			return out, err
		}
	}
	out.Net, err = money.Pence(0).Sub(p.Net)
	return out, err
}

// reverses tells whether files of a format take back what an earlier one shows: those that a ledger takes as what it owes, and the list of
// what was spent.
func (f Format) reverses() bool { return f == Journal || f == PayablesInvoices || f == Transparency }

// Supplier is how the ledger and the bank know a payee.
type Supplier struct {
	Number, Site, PaymentGroup string
	AccountToken               string // stands for the bank account, never holds it
	PONumber, Attachment       string // optional
}

// LineKind tells money a fund scheduled from money taken back.
type LineKind string

// The kinds of line.
const (
	Scheduled LineKind = "SCHEDULED"
	Recovery  LineKind = "RECOVERY"
)

// Line is one part of a payment; a negative amount lowers it.
type Line struct {
	LineID        string
	Kind          LineKind
	Fund          string
	PaymentCode   string
	FundingSource string
	ForMonth      period.Month
	PCN           Party
	PracticeCode  string // empty where the network is paid as a whole
	Adjusts       bool   // brings an earlier line to what is due
	Cause         string // why it adjusts; empty for others
	Basis         string // how it was calculated, in words
	Amount        money.Pence
	Codes         Segments
	VAT           VAT
}

// Segments is a ledger code.
type Segments struct{ Entity, CostCentre, Subjective, Analysis1, Analysis2, Spare string }

// Treatment is how a line stands to VAT.
type Treatment string

// The treatments.
const (
	Exempt       Treatment = "EXEMPT"
	OutsideScope Treatment = "OUTSIDE_SCOPE"
	ZeroRated    Treatment = "ZERO"
	StandardRate Treatment = "STANDARD"
	ReducedRate  Treatment = "REDUCED"
	NotAssessed  Treatment = "NOT_ASSESSED"
)

// VAT is the treatment of a line and the ledger's code for it.
type VAT struct {
	Treatment Treatment
	Code      string
}

// taxed tells whether VAT is due at a rate that is not nothing.
func (v VAT) taxed() bool { return v.Treatment == StandardRate || v.Treatment == ReducedRate }

// assessed tells whether somebody has decided on the treatment.
func (v VAT) assessed() bool {
	return v.taxed() || v.Treatment == Exempt || v.Treatment == OutsideScope || v.Treatment == ZeroRated
}

// Coding is what a commissioner has settled for all its files.
type Coding struct {
	Control            Segments // payables control; a balancing row takes the entity of the lines it balances
	JournalSource      string
	JournalCategory    string
	DepartmentFamily   string
	Approver           string
	Payer              Payer
	ParticipationCodes []string // payment codes whose contract variations state a participation month and year, such as NPP
}

// Payer is whose account a bank takes the money from.
type Payer struct{ Name, AccountToken string }

// year is the financial year that codes are looked up by.
func (b *Batch) year(line *Line) period.FinancialYear {
	if line.ForMonth.IsZero() {
		return b.Month.FinancialYear()
	}
	return line.ForMonth.FinancialYear()
}

// movement is a payment or its return: each goes once into a file.
type movement struct {
	reference string
	reversal  bool
}

func movementOf(p *Payment) movement { return movement{p.Reference, p.Reversal} }

// arranged checks the payments of a file and returns them in one order, whatever the order they came in.
func arranged(format Format, payments []Payment) ([]Payment, error) {
	out := slices.Clone(payments)
	slices.SortFunc(out, func(a, b Payment) int {
		return cmp.Or(cmp.Compare(a.Payee.Code, b.Payee.Code), cmp.Compare(a.Reference, b.Reference))
	})
	seen := make(map[movement]bool, len(out))
	for i := range out {
		p := &out[i]
		if p.Reference == "" || seen[movementOf(p)] {
			return nil, fault.Bug("payment reference %q is empty or used twice", p.Reference)
		}
		seen[movementOf(p)] = true
		p.Lines = slices.Clone(p.Lines)
		slices.SortFunc(p.Lines, compareLines)
		sum, err := total(p.Lines, func(*Line) bool { return true })
		if err != nil {
			return nil, err
		}
		if sum != p.Net || (p.Net < 0) != p.Reversal || len(p.Lines) == 0 || (p.Net == 0 && format != Journal) {
			return nil, fault.Bug("lines of %s sum to %s, the payment is %s", p.Reference, sum, p.Net)
		}
		if p.Reversal && !format.reverses() {
			return nil, fault.Bug("a %s file takes %s back", format, p.Reference)
		}
	}
	return out, nil
}

func compareLines(a, b Line) int {
	return cmp.Or(
		a.ForMonth.Compare(b.ForMonth), cmp.Compare(a.Fund, b.Fund), cmp.Compare(a.PaymentCode, b.PaymentCode),
		cmp.Compare(a.PCN.Code, b.PCN.Code), cmp.Compare(a.PracticeCode, b.PracticeCode), cmp.Compare(a.LineID, b.LineID),
		cmp.Compare(a.Amount, b.Amount),
	)
}

// total sums the lines that count.
func total(lines []Line, counts func(*Line) bool) (money.Pence, error) {
	var sum money.Pence
	for i := range lines {
		if !counts(&lines[i]) {
			continue
		}
		var err error
		if sum, err = sum.Add(lines[i].Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}
