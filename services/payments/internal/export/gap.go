package export

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// GapKind says what is missing.
type GapKind string

// The kinds of gap, in the order they are listed.
const (
	// GapSetting is something the commissioner settles once; What names it.
	GapSetting GapKind = "SETTING"
	// GapSegment is a part of the ledger code of a stream in a year; What names the segment, or the ledger's VAT code.
	GapSegment GapKind = "SEGMENT"
	// GapVATTreatment is a stream whose standing to VAT nobody has assessed.
	GapVATTreatment GapKind = "VAT_TREATMENT"
	// GapVATRate is a taxed stream of which nobody has stated the rate, and whether its amounts include the tax.
	GapVATRate GapKind = "VAT_RATE"
	// GapSupplier is a payee the ledger does not know; What names the number or the site.
	GapSupplier GapKind = "SUPPLIER"
	// GapAccount is a payee without an account token.
	GapAccount GapKind = "ACCOUNT"
)

var gapOrder = []GapKind{GapSetting, GapSegment, GapVATTreatment, GapVATRate, GapSupplier, GapAccount}

// Gap is one thing that blocks a file. What does not concern its kind is empty.
type Gap struct {
	Kind          GapKind
	What          string
	Commissioner  string
	Fund          string
	PaymentCode   string
	FundingSource string
	Year          period.FinancialYear // of the month that the money is for
	Payee         Party
	Beneficiaries []string    // codes of the practices or networks whose lines wait, in order
	Lines         int         // lines that wait; payments of a supplier or an account
	Amount        money.Pence // sum that waits, whatever its sign; capped at what pence can hold
}

// String says in words what is missing and how much waits for it.
func (g Gap) String() string {
	stream := fmt.Sprintf("%s %s from %q in %s", g.Fund, g.PaymentCode, g.FundingSource, g.Year)
	waiting := fmt.Sprintf("(%d waiting, %s)", g.Lines, g.Amount)
	switch g.Kind {
	case GapSetting:
		return fmt.Sprintf("%s has no %s", g.Commissioner, g.What)
	case GapSegment:
		return fmt.Sprintf("%s has no %s code for %s %s", g.Commissioner, g.What, stream, waiting)
	case GapVATTreatment:
		return fmt.Sprintf("%s has not assessed VAT on %s %s", g.Commissioner, stream, waiting)
	case GapVATRate:
		return fmt.Sprintf("%s has not stated the VAT rate of %s, nor whether its amounts include VAT %s: instruct the run by a journal "+
			"or a PCSE variation, or record another treatment", g.Commissioner, stream, waiting)
	case GapSupplier:
		return fmt.Sprintf("%s has no supplier %s for %s %s", g.Commissioner, g.What, g.Payee.Code, waiting)
	case GapAccount:
		return fmt.Sprintf("%s has no account token for %s %s", g.Commissioner, g.Payee.Code, waiting)
	default:
		return string(g.Kind)
	}
}

// gapKey is what makes two gaps one.
type gapKey struct {
	kind                                       GapKind
	what, fund, paymentCode, source, payeeCode string
	year                                       period.FinancialYear
}

type gaps struct {
	commissioner string
	found        map[gapKey]*Gap
}

func (g *gaps) add(found Gap, beneficiary string, amount money.Pence) {
	key := gapKey{found.Kind, found.What, found.Fund, found.PaymentCode, found.FundingSource, found.Payee.Code, found.Year}
	gap := g.found[key]
	if gap == nil {
		found.Commissioner = g.commissioner
		gap = &found
		g.found[key] = gap
	}
	if found.Kind == GapSetting {
		return
	}
	gap.Lines++
	gap.Amount = waits(gap.Amount, amount)
	if beneficiary != "" {
		gap.Beneficiaries = append(gap.Beneficiaries, beneficiary)
	}
}

// waits adds the size of an amount. A sum beyond pence is capped: what waits is for reading, and the file is refused anyway.
func waits(sum, amount money.Pence) money.Pence {
	size, err := money.Pence(0).Sub(min(amount, 0))
	if err == nil {
		size, err = size.Add(max(amount, 0))
	}
	if err == nil {
		sum, err = sum.Add(size)
	}
	if err != nil {
		return math.MaxInt64
	}
	return sum
}

// Missing names everything that blocks the file of a profile, each once and in one order: codes and settings that a column
// shows, VAT treatments and rates for the ledger's files, supplier numbers, account tokens. Nothing missing gives nil.
func Missing(profile *Profile, batch *Batch, coding *Coding) []Gap {
	g := &gaps{commissioner: batch.Commissioner.Code, found: make(map[gapKey]*Gap)}
	g.settings(profile, batch, coding)
	for i := range batch.Payments {
		payment := &batch.Payments[i]
		if profile.Format == Transparency && !published(payment) {
			continue
		}
		g.payee(profile, payment)
		for j := range payment.Lines {
			g.line(profile, batch, payment, &payment.Lines[j])
		}
	}
	out := make([]Gap, 0, len(g.found))
	for _, gap := range g.found {
		slices.Sort(gap.Beneficiaries)
		gap.Beneficiaries = slices.Compact(gap.Beneficiaries)
		out = append(out, *gap)
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, func(a, b Gap) int {
		return cmp.Or(
			cmp.Compare(slices.Index(gapOrder, a.Kind), slices.Index(gapOrder, b.Kind)),
			cmp.Compare(a.Fund, b.Fund), cmp.Compare(a.PaymentCode, b.PaymentCode), cmp.Compare(a.FundingSource, b.FundingSource),
			cmp.Compare(a.Year, b.Year), cmp.Compare(a.Payee.Code, b.Payee.Code), cmp.Compare(a.What, b.What),
		)
	})
	return out
}

func (g *gaps) settings(p *Profile, b *Batch, c *Coding) {
	settled := map[string]bool{}
	for field, value := range map[Field]string{
		FieldJournalSource: c.JournalSource, FieldJournalCategory: c.JournalCategory,
		FieldDepartmentFamily: c.DepartmentFamily, FieldApprover: c.Approver,
	} {
		settled[string(field)] = value != "" || !p.shows(field)
	}
	if p.Format == Journal {
		for segment, value := range c.Control.named() {
			// The entity of a balancing row is that of the lines it balances.
			settled["control_"+string(segment)] = value != "" || segment == FieldEntity || !p.shows(segment)
		}
	}
	participation := p.shows(FieldParticipationMonth) || p.shows(FieldParticipationYear)
	settled["participation_payment_codes"] = len(c.ParticipationCodes) > 0 || !participation
	if p.Format == Pain001 {
		settled["payer_name"] = c.Payer.Name != ""
		settled["payer_account_token"] = c.Payer.AccountToken != ""
		settled["payment_date"] = !b.PayOn.IsZero()
		settled["creation_time"] = !b.CreatedAt.IsZero()
	} else {
		settled["accounting_date"] = !b.AccountingDate.IsZero() || !p.shows(FieldDate)
	}
	for what, done := range settled {
		if !done {
			g.add(Gap{Kind: GapSetting, What: what}, "", 0)
		}
	}
}

func (g *gaps) payee(p *Profile, payment *Payment) {
	if p.shows(FieldSupplierNumber) && payment.Supplier.Number == "" {
		g.add(Gap{Kind: GapSupplier, What: "number", Payee: payment.Payee}, "", payment.Net)
	}
	if p.shows(FieldSupplierSite) && payment.Supplier.Site == "" {
		g.add(Gap{Kind: GapSupplier, What: "site", Payee: payment.Payee}, "", payment.Net)
	}
	if p.Format == Pain001 && payment.Supplier.AccountToken == "" {
		g.add(Gap{Kind: GapAccount, Payee: payment.Payee}, "", payment.Net)
	}
}

func (g *gaps) line(p *Profile, b *Batch, payment *Payment, line *Line) {
	stream := Gap{Fund: line.Fund, PaymentCode: line.PaymentCode, FundingSource: line.FundingSource, Year: b.year(line)}
	add := func(kind GapKind, what string) {
		gap := stream
		gap.Kind, gap.What = kind, what
		g.add(gap, payment.beneficiary(line), line.Amount)
	}
	for segment, value := range line.Codes.named() {
		if value == "" && p.shows(segment) {
			add(GapSegment, string(segment))
		}
	}
	if p.Format != Journal && p.Format != PayablesInvoices {
		return
	}
	switch {
	case !line.VAT.assessed():
		add(GapVATTreatment, "")
	case line.VAT.taxed() && p.Format == PayablesInvoices:
		add(GapVATRate, "")
	}
	if line.VAT.assessed() && line.VAT.Code == "" && p.shows(FieldVATCode) {
		add(GapSegment, string(FieldVATCode))
	}
}

// named returns the segments by the field that shows each.
func (s *Segments) named() map[Field]string {
	return map[Field]string{
		FieldEntity: s.Entity, FieldCostCentre: s.CostCentre, FieldSubjective: s.Subjective,
		FieldAnalysis1: s.Analysis1, FieldAnalysis2: s.Analysis2, FieldSpare: s.Spare,
	}
}

// beneficiary is the practice that a line is for, else the network, else the payee, from whom an overpayment is taken back.
func (p *Payment) beneficiary(l *Line) string {
	return cmp.Or(l.PracticeCode, l.PCN.Code, p.Payee.Code)
}

// blocked returns the fault of a file with gaps. It names all of them: those that one person mends in one go in one sentence.
func blocked(p *Profile, found []Gap) error {
	reason := ReasonVATRateNotStated
	kinds := make(map[string]bool)
	for i := range found {
		if found[i].Kind != GapVATRate {
			reason = ReasonIncomplete
		}
		kinds[string(found[i].Kind)] = true
	}
	groups := grouped(found)
	f := fault.New(fault.Refused, reason, "the %s file is not written: %d things are missing, the first: %s", p.Format, len(found), groups[0]).
		With("format", p.Format).With("gaps", len(found)).With("kinds", strings.Join(slices.Sorted(maps.Keys(kinds)), " "))
	for _, gap := range groups {
		f = f.At(strings.ToLower(string(gap.Kind)), gap.String())
	}
	return f
}

// grouped puts together what is missing of one kind: settings, the segments of a stream, payees without a number, a site or an account.
// Segments wait for the same lines, payees each for their own payments.
func grouped(found []Gap) []Gap {
	type group struct{ kind, what, fund, paymentCode, source, year string }
	at := make(map[group]int)
	var out []Gap
	for _, gap := range found {
		key := group{kind: string(gap.Kind)}
		switch gap.Kind {
		case GapSetting, GapAccount:
		case GapSupplier:
			key.what = gap.What
		case GapSegment, GapVATTreatment, GapVATRate:
			key.fund, key.paymentCode, key.source, key.year = gap.Fund, gap.PaymentCode, gap.FundingSource, gap.Year.String()
		}
		n, known := at[key]
		if !known {
			at[key] = len(out)
			out = append(out, gap)
			continue
		}
		all := &out[n]
		if all.What != gap.What {
			all.What += ", " + gap.What
		}
		if gap.Payee.Code != "" {
			all.Payee.Code += ", " + gap.Payee.Code
			all.Lines += gap.Lines
			all.Amount = waits(all.Amount, gap.Amount)
		} else if gap.Lines > all.Lines {
			all.Lines, all.Amount = gap.Lines, gap.Amount
		}
	}
	return out
}
