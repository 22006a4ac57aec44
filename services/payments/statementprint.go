package payments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/statement"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// print writes a statement as it is printed.
func (d *drawing) print() (*statement.Statement, error) {
	m := d.message
	out := &statement.Statement{
		Commissioner: statement.Party{Code: m.GetCommissionerCode(), Name: m.GetCommissionerName()}, PCN: statement.Party{Code: m.GetPcnCode(), Name: m.GetPcnName()},
		Number: m.GetStatementId(), Period: periodName(d.from, d.to), From: d.from, To: d.to, DrawnUp: m.GetDrawnUpAt().AsTime(),
		KnownAt: m.GetDrawnUpAt().AsTime(), Opening: money.Pence(m.GetOpeningPence()), Total: money.Pence(m.GetTotalPence()),
		Closing: money.Pence(m.GetClosingPence()),
	}
	setOff := d.setOff()
	for _, part := range []struct {
		from []*paymentsv1.StatementLine
		to   *[]statement.Line
	}{{m.GetPayments(), &out.Payments}, {m.GetCorrections(), &out.Corrections}, {m.GetReconcileOnly(), &out.ReconcileOnly}} {
		for _, line := range part.from {
			printed, err := printedLine(line)
			if err != nil {
				return nil, err
			}
			if setOff[line.GetLine().GetLineId()] {
				printed.State = "recovered"
			}
			if line.GetPassedTo() != "" {
				printed.State = "passed to " + line.GetPassedTo()
			}
			*part.to = append(*part.to, printed)
			if len(line.GetHolds()) > 0 {
				out.Held = append(out.Held, heldLine(printed, line.GetHolds()))
			}
		}
	}
	for _, p := range m.GetSent() {
		settlement, err := printedPayment(p)
		if err != nil {
			return nil, err
		}
		out.Settled = append(out.Settled, settlement)
	}
	for _, transfer := range m.GetPassed() {
		printed, err := printedTransfer(transfer)
		if err != nil {
			return nil, err
		}
		out.Transfers = append(out.Transfers, printed)
		for _, line := range transfer.GetLines() {
			if len(line.GetHolds()) == 0 {
				continue
			}
			printed, err := printedLine(line)
			if err != nil {
				return nil, err
			}
			out.Held = append(out.Held, heldLine(printed, line.GetHolds()))
		}
	}
	for _, payee := range sortedKeys(d.debts) {
		if owes := d.debts[payee]; owes != (debts{}) {
			out.Recoveries = append(out.Recoveries, statement.Recovery{
				Payee: statement.Party{Code: payee, Name: d.payeeName(payee)}, BroughtForward: owes.before, Arisen: owes.arisen, Passed: owes.passed,
				Recovered: owes.recovered, CarriedForward: owes.left(),
			})
		}
	}
	if others := m.GetAlsoOwedBy(); len(others) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("This is the account with %s alone. Lines, payments or balances of the period are also with %s, each with a statement of its own.",
			m.GetCommissionerCode(), strings.Join(others, ", ")))
	}
	out.Payee = d.paidTo(out)
	out.Entitlements = printedRemaining(m.GetRemaining())
	for i := range out.Entitlements {
		out.Entitlements[i].PaymentName = d.nameOf(out.Entitlements[i].PaymentCode)
	}
	return out, nil
}

// setOff returns the lines of which nothing was sent because all of it was taken off for earlier overpayments.
func (d *drawing) setOff() map[string]bool {
	taken := make(map[[2]string]bool)
	for i := range d.parts {
		if p := &d.parts[i]; p.Payee.Net == 0 && p.Payee.CarriedForward == 0 {
			taken[[2]string{p.Run.ID, p.PayeeCode}] = true
		}
	}
	out := make(map[string]bool)
	for i := range d.lines {
		if row := &d.lines[i]; row.State == store.Carried && taken[[2]string{row.RunID, row.Line.GetPayee().GetCode()}] {
			out[row.Line.GetLineId()] = true
		}
	}
	return out
}

// paidTo names the one payee of a statement; without a code where there are several.
func (d *drawing) paidTo(s *statement.Statement) statement.Party {
	payees := make(map[string]statement.Party)
	for _, lines := range [][]statement.Line{s.Payments, s.Corrections} {
		for i := range lines {
			payees[lines[i].Payee.Code] = lines[i].Payee
		}
	}
	for i := range s.Settled {
		payees[s.Settled[i].Payee.Code] = s.Settled[i].Payee
	}
	delete(payees, "")
	switch len(payees) {
	case 0:
		return party(d.newest.Line.GetPayee())
	case 1:
		for _, only := range payees {
			return only
		}
	}
	return statement.Party{Name: "Several payees"}
}

func party(p *typev1.Payee) statement.Party {
	return statement.Party{Code: p.GetCode(), Name: p.GetName()}
}

// heldLine writes why a line may not be sent, each reason once.
func heldLine(line statement.Line, holds []*paymentsv1.Hold) statement.HeldLine {
	var codes, reasons, remedies []string
	for _, hold := range holds {
		code, reason, remedy := hold.GetReasonCode(), hold.GetReason(), ""
		if code != reasonPlaced {
			// A fund gives its reason as a code, and says what to do about it.
			reason, remedy = strings.ToLower(strings.ReplaceAll(code, "_", " ")), reason
		}
		codes, reasons, remedies = append(codes, code), append(reasons, reason), append(remedies, remedy)
	}
	return statement.HeldLine{Line: line, Codes: distinct(codes, " "), Reason: distinct(reasons, "; "), Remedy: distinct(remedies, "; ")}
}

// distinct joins texts that are not empty, each once.
func distinct(texts []string, separator string) string {
	var kept []string
	for _, text := range texts {
		if text != "" && !slices.Contains(kept, text) {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, separator)
}

func printedPayment(p *paymentsv1.StatementPayment) (statement.Settlement, error) {
	payment := p.GetPayment()
	out := statement.Settlement{
		Date: period.DateOf(payment.GetSentAt().AsTime()), Reference: payment.GetPaymentId(), Payee: party(payment.GetPayee()), Amount: money.Pence(p.GetPcnPence()),
		Counts: counts(payment.GetState()), State: strings.ToLower(strings.TrimPrefix(payment.GetState().String(), "PAYMENT_STATE_")),
	}
	if out.Reference == "" {
		out.Reference = payment.GetRunId() + ", nothing was sent"
		return out, nil
	}
	sentOn, err := period.ParseDate(payment.GetSentOn())
	if err != nil {
		return out, fault.Bug("payment %s: %v", payment.GetPaymentId(), err)
	}
	out.Date = sentOn
	return out, nil
}

func printedTransfer(t *paymentsv1.StatementTransfer) (statement.Transfer, error) {
	day, err := period.ParseDate(t.GetEffectiveDate())
	if err != nil {
		return statement.Transfer{}, fault.Bug("move %s: %v", t.GetMoveId(), err)
	}
	return statement.Transfer{
		Date: day, Reference: t.GetMoveId(), Other: statement.Party{Code: t.GetCommissionerCode(), Name: t.GetCommissionerName()}, Amount: money.Pence(t.GetAmountPence()),
	}, nil
}

// periodName writes a period in words, such as April 2022 or Financial year 2022/23.
func periodName(from, to period.Month) string {
	if from == to {
		return from.First().Time().Format("January 2006")
	}
	return "Financial year " + from.FinancialYear().String()
}

func printedLine(l *paymentsv1.StatementLine) (statement.Line, error) {
	line, basis := l.GetLine(), l.GetLine().GetBasis()
	scheduled, err := period.ParseMonth(l.GetScheduleMonth())
	if err != nil {
		return statement.Line{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	forMonth, err := period.ParseMonth(line.GetForMonth())
	if err != nil {
		return statement.Line{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	out := statement.Line{
		LineID: line.GetLineId(), PaymentCode: line.GetPaymentCode(), PaymentName: paymentName(basis.GetClause(), line.GetPaymentCode()), Month: scheduled,
		ForMonth: forMonth, Fund: fundName(int(l.GetFund())), FundingSource: line.GetFundingSource(), Payee: party(line.GetPayee()),
		PracticeCode: line.GetPracticeCode(), Instalments: int(basis.GetInstalments()),
		Convention: basis.GetConvention(), Clause: basis.GetClause(), Amount: money.Pence(line.GetAmountPence()), Adjusts: line.GetAdjustsLineId(),
		Cause: strings.ToLower(strings.ReplaceAll(causeName(line.GetAdjustmentCause()), "_", " ")), Confidence: confidenceName(line.GetConfidence()),
	}
	if l.GetState() != paymentsv1.ItemState_ITEM_STATE_UNSPECIFIED {
		out.State = strings.ToLower(strings.TrimPrefix(l.GetState().String(), "ITEM_STATE_"))
	}
	for _, f := range basis.GetFactors() {
		out.Factors = append(out.Factors, statement.Factor{
			RateGBP: pounds(f.GetRateGbp()), Per: strings.ReplaceAll(f.GetPer(), "_", " "), Quantity: f.GetQuantity(), Unit: quantityName(f), Clause: f.GetClause(),
			Source: f.GetSource(), Confidence: confidenceName(f.GetConfidence()),
		})
	}
	return out, nil
}

func confidenceName(c typev1.Confidence) string {
	if c == typev1.Confidence_CONFIDENCE_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(c.String(), "CONFIDENCE_"))
}

// paymentName takes the name of a payment out of its clause, such as Core PCN funding out of "Network Contract DES 2022/23: Core PCN
// funding, 12 months from 2022-04".
func paymentName(clause, code string) string {
	_, name, found := strings.Cut(clause, ": ")
	if !found {
		return code
	}
	name, _, _ = strings.Cut(name, ",")
	return name
}

// nameOf returns the name of a payment as its lines have it, or that of claims, or its code.
func (d *drawing) nameOf(code string) string {
	for i := range d.course.lines {
		if line := d.course.lines[i].Line; line.GetPaymentCode() == code {
			return paymentName(line.GetBasis().GetClause(), code)
		}
	}
	return cmp.Or(claimed[code], code)
}

// printedRemaining adds up practices of one payment.
func printedRemaining(in []*paymentsv1.Remaining) []statement.Entitlement {
	var out []statement.Entitlement
	for _, r := range in {
		when := r.GetFromMonth() + " to " + r.GetToMonth()
		at := slices.IndexFunc(out, func(e statement.Entitlement) bool { return e.PaymentCode == r.GetPaymentCode() && e.Period == when })
		if at < 0 {
			at = len(out)
			out = append(out, statement.Entitlement{PaymentCode: r.GetPaymentCode(), PaymentName: r.GetPaymentCode(), Period: when, Known: true, Confidence: confidenceName(r.GetConfidence())})
		}
		out[at].Year += money.Pence(r.GetEntitledPence())
		out[at].Scheduled += money.Pence(r.GetScheduledPence())
		out[at].Remaining += money.Pence(r.GetRemainingPence())
	}
	for i := range out {
		if first, last, ok := strings.Cut(out[i].Period, " to "); ok {
			out[i].Period = yearOf(first, last)
		}
	}
	return out
}

// yearOf writes a financial year where a period is one.
func yearOf(first, last string) string {
	from, err := period.ParseMonth(first)
	if err == nil && from == from.FinancialYear().First() && last == from.FinancialYear().Last().String() {
		return from.FinancialYear().String()
	}
	return fmt.Sprintf("%s to %s", first, last)
}
