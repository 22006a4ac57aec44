package export

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

const currency = "GBP"

// Render writes the file of a profile, record by record. It refuses a profile that cannot lay out its file
// (EXPORT_PROFILE_INVALID) and a batch with gaps (EXPORT_INCOMPLETE, or VAT_RATE_NOT_STATED where nothing else is missing)
// before it writes anything. Of PAIN001 it writes the template, which holds tokens only; Resolve makes the bank file of it.
func Render(w io.Writer, profile *Profile, batch *Batch, coding *Coding) error {
	if profile.Format == Transparency {
		list := SpendList{Commissioner: batch.Commissioner, Month: batch.Month}
		for i := range batch.Payments {
			list.Transactions = append(list.Transactions, Transaction{Date: batch.AccountingDate, Payment: batch.Payments[i]})
		}
		return RenderSpend(w, profile, &list, coding)
	}
	if err := profile.Check(); err != nil {
		return err
	}
	if found := Missing(profile, batch, coding); found != nil {
		return blocked(profile, found)
	}
	in := *batch
	var err error
	if in.Payments, err = arranged(profile.Format, batch.Payments); err != nil {
		return err
	}
	switch profile.Format {
	case Journal:
		return renderJournal(w, profile, &in, coding)
	case PayablesInvoices:
		return writeSheet(w, profile, in.invoices(coding))
	case PCSEVariation:
		return writeSheet(w, profile, in.variations(coding))
	case Remittance:
		return renderRemittance(w, profile, &in, coding)
	case Pain001:
		return writeTemplate(w, &in, coding)
	default:
		return fault.Bug("%q passed its check and is not a format", profile.Format)
	}
}

// name is what the batch is called in files, as in 16C-2022-04-1.
func (b *Batch) name() string { return fmt.Sprintf("%s-%s-%d", b.Commissioner.Code, b.Month, b.Number) }

// payment makes a record with what holds for the batch and for one payment.
func (b *Batch) payment(c *Coding, p *Payment) record {
	return record{
		FieldExportID: text(b.ExportID), FieldBatchName: text(b.name()),
		FieldCommissionerCode: text(b.Commissioner.Code), FieldCommissionerName: text(b.Commissioner.Name),
		FieldMonth: text(b.Month.String()), FieldPeriodName: text(periodName(b.AccountingDate.Month())),
		FieldFinancialYear: text(b.Month.FinancialYear().String()), FieldDate: day(b.AccountingDate), FieldCurrency: text(currency),
		FieldJournalSource: text(c.JournalSource), FieldJournalCategory: text(c.JournalCategory),
		FieldDepartmentFamily: text(c.DepartmentFamily), FieldApprover: text(c.Approver),
		FieldReference: text(p.Reference), FieldPayeeCode: text(p.Payee.Code), FieldPayeeName: text(p.Payee.Name),
		FieldReversal: yes(p.Reversal), FieldSupplierNumber: text(p.Supplier.Number), FieldSupplierSite: text(p.Supplier.Site),
		FieldPaymentGroup: text(p.Supplier.PaymentGroup), FieldPONumber: text(p.Supplier.PONumber),
		FieldAttachment: text(p.Supplier.Attachment),
	}
}

// line makes a record of one line of a payment.
func (b *Batch) line(c *Coding, p *Payment, l *Line) record {
	r := b.payment(c, p)
	r.code(&l.Codes)
	for field, value := range map[Field]string{
		FieldLineID: l.LineID, FieldKind: string(l.Kind), FieldFund: l.Fund, FieldPaymentCode: l.PaymentCode,
		FieldFundingSource: l.FundingSource, FieldForMonth: l.ForMonth.String(), FieldForYear: b.year(l).String(),
		FieldPCNCode: l.PCN.Code, FieldPCNName: l.PCN.Name, FieldPracticeCode: l.PracticeCode,
		FieldBeneficiaryCode: p.beneficiary(l), FieldCause: l.Cause, FieldBasis: l.Basis,
		FieldDescription: p.described(l.description(p.beneficiary(l))), FieldVATTreatment: string(l.VAT.Treatment), FieldVATCode: l.VAT.Code,
	} {
		r[field] = text(value)
	}
	r[FieldAmount], r[FieldAdjusts] = pounds(l.Amount), yes(l.Adjusts)
	return r
}

func yes(holds bool) cell {
	if holds {
		return text("Y")
	}
	return text("N")
}

// described says of what takes a payment back that it does.
func (p *Payment) described(words string) string {
	if p.Reversal {
		return words + " reversal"
	}
	return words
}

func (r record) code(s *Segments) {
	for field, value := range s.named() {
		r[field] = text(value)
	}
}

// description says in one phrase what a line is, as in CORE_PCN 2022-04 U89141.
func (l *Line) description(beneficiary string) string {
	words := []string{l.PaymentCode, l.ForMonth.String(), beneficiary}
	switch {
	case l.Kind == Recovery:
		words = append(words, "recovery")
	case l.Adjusts:
		words = append(words, "adjustment")
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// periodName writes a month as ledgers do, as in APR-22.
func periodName(m period.Month) string { return strings.ToUpper(m.First().Time().Format("Jan-06")) }

// invoices are a header for each payment and a row for each of its lines; a payment is taken back by a credit note, whose number is
// that of its invoice and -R. A line that bears no VAT has a gross equal to its net; taxed lines never come here.
func (b *Batch) invoices(c *Coding) rows {
	return func(put func(record) error) error {
		for i := range b.Payments {
			p, about := &b.Payments[i], "PCN funding "+b.name()
			if p.Reversal {
				credit := *p
				about, credit.Reference = "Credit note for "+p.Reference, p.Reference+"-R"
				p = &credit
			}
			head := b.payment(c, p)
			head[FieldRowType], head[FieldRowNumber] = text("HEADER"), text("0")
			head[FieldDescription] = text(about)
			head.untaxed(p.Net)
			if err := put(head); err != nil {
				return err
			}
			for j := range p.Lines {
				r := b.line(c, p, &p.Lines[j])
				r[FieldRowType], r[FieldRowNumber] = text("LINE"), text(fmt.Sprint(j+1))
				r.untaxed(p.Lines[j].Amount)
				if err := put(r); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (r record) untaxed(amount money.Pence) {
	r[FieldGross], r[FieldNet], r[FieldVATAmount] = pounds(amount), pounds(amount), pounds(0)
}

// variations are a row for each line; a participation payment states its month and financial year.
func (b *Batch) variations(c *Coding) rows {
	return func(put func(record) error) error {
		for i := range b.Payments {
			p := &b.Payments[i]
			for j := range p.Lines {
				line := &p.Lines[j]
				r := b.line(c, p, line)
				if slices.Contains(c.ParticipationCodes, line.PaymentCode) {
					r[FieldParticipationMonth], r[FieldParticipationYear] = text(line.ForMonth.String()), text(b.year(line).String())
				}
				if err := put(r); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// payeeSums is what a payee gets, apart by why.
type payeeSums struct{ scheduled, adjustment, recovered, all money.Pence }

// renderRemittance writes a section for each payee: its lines and a row of totals. What corrects earlier lines and what is
// taken back stand apart from what was scheduled.
func renderRemittance(w io.Writer, profile *Profile, b *Batch, c *Coding) error {
	sums := make(map[string]payeeSums)
	for i := range b.Payments {
		p := &b.Payments[i]
		s := sums[p.Payee.Code]
		for _, part := range []struct {
			sum    *money.Pence
			counts func(*Line) bool
		}{
			{&s.scheduled, func(l *Line) bool { return remitted(l) == FieldScheduled }},
			{&s.adjustment, func(l *Line) bool { return remitted(l) == FieldAdjustment }},
			{&s.recovered, func(l *Line) bool { return remitted(l) == FieldRecovered }},
			{&s.all, func(*Line) bool { return true }},
		} {
			amount, err := total(p.Lines, part.counts)
			if err == nil {
				*part.sum, err = part.sum.Add(amount)
			}
			if err != nil {
				return err
			}
		}
		sums[p.Payee.Code] = s
	}
	return writeSheet(w, profile, func(put func(record) error) error {
		for i := range b.Payments {
			p := &b.Payments[i]
			for j := range p.Lines {
				r := b.line(c, p, &p.Lines[j])
				r[FieldRowType], r[remitted(&p.Lines[j])] = text("LINE"), pounds(p.Lines[j].Amount)
				if err := put(r); err != nil {
					return err
				}
			}
			if i+1 < len(b.Payments) && b.Payments[i+1].Payee.Code == p.Payee.Code {
				continue
			}
			s, r := sums[p.Payee.Code], b.payment(c, p)
			r[FieldRowType], r[FieldPayeeTotal] = text("TOTAL"), pounds(s.all)
			r[FieldScheduled], r[FieldAdjustment], r[FieldRecovered] = pounds(s.scheduled), pounds(s.adjustment), pounds(s.recovered)
			if err := put(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// remitted is the column a line stands in.
func remitted(l *Line) Field {
	switch {
	case l.Kind == Recovery:
		return FieldRecovered
	case l.Adjusts:
		return FieldAdjustment
	default:
		return FieldScheduled
	}
}

// TransparencyLimit is what a transaction must exceed to be published: £25,000.
const TransparencyLimit money.Pence = 25_000_00

// published tells whether the list of spending shows a payment, or the return of one.
func published(p *Payment) bool { return max(p.Net, -p.Net) > TransparencyLimit }

// Transaction is a payment with the day it was made, or its return with the day of that.
type Transaction struct {
	Date period.Date
	Payment
}

// SpendList is what a commissioner paid and got back in a month, in any number of runs.
type SpendList struct {
	Commissioner Party
	Month        period.Month
	Transactions []Transaction
}

// Missing names what blocks the file of the list, as Missing does for a batch.
func (s *SpendList) Missing(profile *Profile, coding *Coding) []Gap {
	b := s.batch()
	return Missing(profile, &b, coding)
}

// batch returns the payments of the list as if one run had made them.
func (s *SpendList) batch() Batch {
	b := Batch{
		Commissioner: s.Commissioner, Month: s.Month, AccountingDate: s.Month.Last(), Payments: make([]Payment, len(s.Transactions)),
	}
	for i := range s.Transactions {
		t := &s.Transactions[i]
		b.Payments[i] = t.Payment
		if t.Date.IsZero() {
			// A day missing from one transaction is a gap of the list, which shows a day for each.
			b.AccountingDate = t.Date
		}
	}
	return b
}

// days returns the day of each transaction.
func (s *SpendList) days() map[movement]period.Date {
	out := make(map[movement]period.Date, len(s.Transactions))
	for i := range s.Transactions {
		out[movementOf(&s.Transactions[i].Payment)] = s.Transactions[i].Date
	}
	return out
}

// RenderSpend writes the TRANSPARENCY file of a month: every transaction over the limit with all its lines, even those that are
// below it. What came back is taken off on the day of its return, and stays in the list of the month it was paid in. It refuses as
// Render does.
func RenderSpend(w io.Writer, profile *Profile, list *SpendList, coding *Coding) error {
	if profile.Format != Transparency {
		return fault.New(fault.Invalid, ReasonProfileInvalid, "a %q profile does not lay out a list of spending", profile.Format).
			At("format", "must be TRANSPARENCY")
	}
	if err := profile.Check(); err != nil {
		return err
	}
	b := list.batch()
	if found := Missing(profile, &b, coding); found != nil {
		return blocked(profile, found)
	}
	var err error
	if b.Payments, err = arranged(Transparency, b.Payments); err != nil {
		return err
	}
	days := list.days()
	slices.SortStableFunc(b.Payments, func(p, q Payment) int {
		return cmp.Or(days[movementOf(&p)].Compare(days[movementOf(&q)]), cmp.Compare(p.Reference, q.Reference))
	})
	return writeSheet(w, profile, func(put func(record) error) error {
		for i := range b.Payments {
			p := &b.Payments[i]
			if !published(p) {
				continue
			}
			for j := range p.Lines {
				r := b.line(coding, p, &p.Lines[j])
				r[FieldDate] = day(days[movementOf(p)])
				if err := put(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
