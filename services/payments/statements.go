package payments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/statement"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// GetStatement tells a PCN what it is paid for a month or a financial year.
func (s *Service) GetStatement(ctx context.Context, req *paymentsv1.GetStatementRequest) (*paymentsv1.Statement, error) {
	drawn, err := s.drawUp(ctx, req.GetPcnCode(), req.GetPeriod())
	if err != nil {
		return nil, err
	}
	return drawn.message, nil
}

// DownloadStatement returns a statement as PDF.
func (s *Service) DownloadStatement(ctx context.Context, req *paymentsv1.DownloadStatementRequest) (*httpbody.HttpBody, error) {
	return s.download(ctx, req.GetPcnCode(), req.GetPeriod(), typePDF, statement.PDF)
}

// DownloadStatementCsv returns a statement as CSV.
func (s *Service) DownloadStatementCsv(ctx context.Context, req *paymentsv1.DownloadStatementCsvRequest) (*httpbody.HttpBody, error) {
	return s.download(ctx, req.GetPcnCode(), req.GetPeriod(), typeCSV, statement.CSV)
}

func (s *Service) download(ctx context.Context, pcn, when, kind string, render func(*statement.Statement) ([]byte, error)) (*httpbody.HttpBody, error) {
	drawn, err := s.drawUp(ctx, pcn, when)
	if err != nil {
		return nil, err
	}
	printed, err := drawn.print()
	if err != nil {
		return nil, err
	}
	content, err := render(printed)
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: kind, Data: content}, nil
}

// monthsOf reads a month, YYYY-MM, or a financial year, YYYY-YY.
func monthsOf(text string) (from, to period.Month, err error) {
	if year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1)); err == nil {
		return year.First(), year.Last(), nil
	}
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, month, fault.New(fault.Invalid, rules.ReasonPeriodMalformed, "%q is neither a month, YYYY-MM, nor a financial year, YYYY-YY", money.Clip(text)).
			At("period", "a month or a financial year")
	}
	return month, month, nil
}

// drawing is a statement in the making.
type drawing struct {
	pcn      string
	from, to period.Month
	message  *paymentsv1.Statement
	lines    []store.LineRow
	sent     []sentPayment
	debts    debts
	payee    *typev1.Payee
	held     heldTargets
	// ownOnly is set for a caller who holds the PCN alone: what a payee gets for other PCNs is none of their business.
	ownOnly bool
}

// sentPayment is a payment with the part of it that is for one PCN.
type sentPayment struct {
	row   store.PaymentRow
	month period.Month
	part  money.Pence
	taken money.Pence // of the PCN's part of overpayments, taken off
}

// debts are the overpayments of a PCN over the period. Every amount is above zero where the PCN owes.
type debts struct{ before, arisen, recovered money.Pence }

// left is what the PCN owes at the end.
func (d debts) left() money.Pence { return d.before + d.arisen - d.recovered }

// drawUp draws a statement up from what payments holds: the fund is not asked.
func (s *Service) drawUp(ctx context.Context, pcn, when string) (*drawing, error) {
	from, to, err := monthsOf(when)
	if err != nil {
		return nil, err
	}
	d := &drawing{pcn: pcn, from: from, to: to, message: &paymentsv1.Statement{
		PcnCode: pcn, FromMonth: from.String(), ToMonth: to.String(), DrawnUpAt: timestamp(sqldb.Micros(s.db.Now())),
	}}
	principal, _ := auth.From(ctx)
	var scope []string
	if d.ownOnly = principal.HoldsPCN(pcn); !d.ownOnly {
		scope = principal.CommissionerScope()
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		d.lines, err = store.Lines(ctx, q, store.LineFilter{PCNCode: pcn, ToMonth: to.String(), Commissioners: scope})
		if err != nil {
			return err
		}
		if len(d.lines) == 0 {
			return fault.New(fault.NotFound, rules.ReasonStatementEmpty, "nothing is known of %s up to %s", pcn, to)
		}
		if err := errors.Join(d.head(ctx, q, when), d.payments(ctx, q)); err != nil {
			return err
		}
		d.place()
		return errors.Join(d.remaining(ctx, q, scope), d.recoveries(ctx, q))
	})
	return d, err
}

// head names the commissioner that owes the newest line, and loads the holds.
func (d *drawing) head(ctx context.Context, q sqldb.Querier, when string) (err error) {
	slices.SortFunc(d.lines, func(a, b store.LineRow) int {
		x, y := a.Line, b.Line
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Fund, b.Fund), cmp.Compare(x.GetPaymentCode(), y.GetPaymentCode()),
			cmp.Compare(x.GetForMonth(), y.GetForMonth()), cmp.Compare(x.GetPracticeCode(), y.GetPracticeCode()), cmp.Compare(x.GetLineId(), y.GetLineId()))
	})
	m := d.message
	for i := range d.lines {
		line := d.lines[i].Line
		m.PcnName = line.GetPcnName()
		if line.GetPracticeCode() == "" {
			m.CommissionerCode, d.payee = d.lines[i].CommissionerCode, line.GetPayee()
		}
	}
	m.CommissionerCode = cmp.Or(m.GetCommissionerCode(), d.lines[len(d.lines)-1].CommissionerCode)
	m.StatementId = m.GetCommissionerCode() + "-" + d.pcn + "-" + when
	if m.CommissionerName, err = knownName(ctx, q, m.GetCommissionerCode()); err != nil {
		return err
	}
	d.held, err = holdsByTarget(ctx, q, m.GetCommissionerCode())
	return err
}

// payments finds the payments that carry lines of the PCN, and what part of each is its.
func (d *drawing) payments(ctx context.Context, q sqldb.Querier) error {
	own := make(map[string]money.Pence)
	for i := range d.lines {
		if id := d.lines[i].PaymentID; id != "" {
			own[id] += money.Pence(d.lines[i].Line.GetAmountPence())
		}
	}
	for _, id := range sortedKeys(own) {
		row, err := store.Payment(ctx, q, id)
		if err != nil {
			return err
		}
		run, err := store.Run(ctx, q, row.RunID)
		if err != nil {
			return err
		}
		if run.Month.After(d.to) {
			continue
		}
		taken, err := d.takenOff(ctx, q, row)
		if err != nil {
			return err
		}
		d.sent = append(d.sent, sentPayment{row: row, month: run.Month, part: own[id] - taken, taken: taken})
	}
	return nil
}

// takenOff returns the PCN's part of what was taken off a payment for overpayments. A payee that serves several PCNs shares it by
// what each was overpaid.
func (d *drawing) takenOff(ctx context.Context, q sqldb.Querier, row store.PaymentRow) (money.Pence, error) {
	total, err := store.FrozenPayee(ctx, q, row.RunID, row.PayeeCode)
	if err != nil || total.BroughtForward == 0 {
		return 0, err
	}
	carried, err := store.CarriedByPCN(ctx, q, row.PayeeCode)
	if err != nil {
		return 0, err
	}
	codes := sortedKeys(carried)
	weights := make([]*big.Rat, len(codes))
	for i, code := range codes {
		weights[i] = new(big.Rat).SetInt64(max(0, -int64(carried[code])))
	}
	parts, err := money.Allocate(-total.BroughtForward, weights)
	if err != nil {
		return 0, err
	}
	if at := slices.Index(codes, d.pcn); at >= 0 {
		return parts[at], nil
	}
	return 0, nil
}

// place puts lines and payments where they belong and adds up.
func (d *drawing) place() {
	m := d.message
	first := d.from.String()
	for i := range d.lines {
		row := &d.lines[i]
		amount := row.Line.GetAmountPence()
		if row.State == store.Carried {
			if row.Month < first {
				d.debts.before -= money.Pence(amount)
			} else {
				d.debts.arisen -= money.Pence(amount)
			}
		}
		switch {
		case row.State == 0 && row.Month >= first:
			m.ReconcileOnly = append(m.ReconcileOnly, d.statementLine(row))
		case row.State == 0:
		case row.Month < first:
			m.OpeningPence += amount
		case row.Line.GetAdjustsLineId() != "" || row.Line.GetForMonth() < row.Month:
			m.Corrections = append(m.Corrections, d.statementLine(row))
			m.TotalPence += amount
		default:
			m.Payments = append(m.Payments, d.statementLine(row))
			m.TotalPence += amount
		}
	}
	for _, p := range d.sent {
		counts := p.counts()
		switch {
		case p.month.Before(d.from) && counts:
			m.OpeningPence -= int64(p.part)
			d.debts.before -= p.taken
		case p.month.Before(d.from):
		default:
			payment := paymentToProto(p.row)
			if d.ownOnly {
				payment.AmountPence = int64(p.part)
			}
			m.Sent = append(m.Sent, &paymentsv1.StatementPayment{Payment: payment, PcnPence: int64(p.part)})
			if counts {
				m.SentPence += int64(p.part)
				d.debts.recovered += p.taken
			}
		}
	}
	m.ClosingPence = m.GetOpeningPence() + m.GetTotalPence() - m.GetSentPence()
}

// counts tells whether a payment reduces what is owed.
func (p *sentPayment) counts() bool {
	return p.row.State == paymentsv1.PaymentState_PAYMENT_STATE_SENT || p.row.State == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
}

func (d *drawing) statementLine(row *store.LineRow) *paymentsv1.StatementLine {
	return &paymentsv1.StatementLine{
		Line: row.Line, Fund: typev1.Fund(row.Fund), ScheduleMonth: row.Month, State: paymentsv1.ItemState(row.State), //nolint:gosec // enums
		Basis: basisText(row.Line), Holds: d.held.of(*row),
	}
}

// remaining works out what is left of the amounts that the funds stated for a year or another period.
func (d *drawing) remaining(ctx context.Context, q sqldb.Querier, scope []string) error {
	stated, err := store.Entitlements(ctx, q, store.EntitlementFilter{CommissionerCodes: scope, PCNCode: d.pcn, Month: d.to})
	if err != nil {
		return err
	}
	for _, e := range stated {
		var scheduled money.Pence
		for i := range d.lines {
			line := d.lines[i].Line
			if d.lines[i].Fund == e.Fund && line.GetPaymentCode() == e.PaymentCode && line.GetPracticeCode() == e.PracticeCode &&
				line.GetForMonth() >= e.From.String() && line.GetForMonth() <= e.To.String() {
				scheduled += money.Pence(line.GetAmountPence())
			}
		}
		d.message.Remaining = append(d.message.Remaining, &paymentsv1.Remaining{
			Fund: typev1.Fund(e.Fund), PaymentCode: e.PaymentCode, PracticeCode: e.PracticeCode, FromMonth: e.From.String(), ToMonth: e.To.String(), //nolint:gosec // enum
			EntitledPence: int64(e.Amount), ScheduledPence: int64(scheduled), RemainingPence: int64(e.Amount - scheduled), Confidence: e.Confidence,
		})
	}
	return nil
}

// recoveries lists what the payee of the PCN still has to give back.
func (d *drawing) recoveries(ctx context.Context, q sqldb.Querier) error {
	if d.payee.GetCode() == "" {
		return nil
	}
	plans, sums, err := store.Recoveries(ctx, q, store.Page{Commissioners: []string{d.message.GetCommissionerCode()}}, []string{d.payee.GetCode()})
	if err != nil {
		return err
	}
	for _, plan := range plans {
		recovery, err := recoveryToProto(ctx, q, plan, sums[plan.CommissionerCode+" "+plan.PayeeCode])
		if err != nil {
			return err
		}
		if d.ownOnly {
			recovery.OutstandingPence = int64(d.debts.left())
		}
		d.message.Recoveries = append(d.message.Recoveries, recovery)
	}
	return nil
}

// print writes a statement as it is printed.
func (d *drawing) print() (*statement.Statement, error) {
	m := d.message
	out := &statement.Statement{
		Commissioner: statement.Party{Code: m.GetCommissionerCode(), Name: m.GetCommissionerName()}, PCN: statement.Party{Code: m.GetPcnCode(), Name: m.GetPcnName()},
		Payee: statement.Party{Code: d.payee.GetCode(), Name: d.payee.GetName()}, Number: m.GetStatementId(), Period: periodName(d.from, d.to), From: d.from, To: d.to,
		DrawnUp: m.GetDrawnUpAt().AsTime(), KnownAt: m.GetDrawnUpAt().AsTime(), Opening: money.Pence(m.GetOpeningPence()), Total: money.Pence(m.GetTotalPence()),
		Closing: money.Pence(m.GetClosingPence()),
	}
	for _, part := range []struct {
		from []*paymentsv1.StatementLine
		to   *[]statement.Line
	}{{m.GetPayments(), &out.Payments}, {m.GetCorrections(), &out.Corrections}, {m.GetReconcileOnly(), &out.ReconcileOnly}} {
		for _, line := range part.from {
			printed, err := printedLine(line)
			if err != nil {
				return nil, err
			}
			*part.to = append(*part.to, printed)
			for _, hold := range line.GetHolds() {
				out.Held = append(out.Held, statement.HeldLine{Line: printed, Reason: hold.GetReasonCode(), Remedy: hold.GetReason()})
			}
		}
	}
	for _, p := range d.sent {
		if !p.month.Before(d.from) {
			out.Settled = append(out.Settled, statement.Settlement{
				Date: period.DateOf(sqldb.FromMicros(p.row.SentAt)), Reference: p.row.ID, Amount: p.part, Counts: p.counts(),
				State: strings.ToLower(strings.TrimPrefix(p.row.State.String(), "PAYMENT_STATE_")),
			})
		}
	}
	if d.debts != (debts{}) {
		out.Recoveries = append(out.Recoveries, statement.Recovery{
			Reference: d.payee.GetCode(), Reason: "paid too much in earlier runs", BroughtForward: d.debts.before, Arisen: d.debts.arisen,
			Recovered: d.debts.recovered, CarriedForward: d.debts.left(),
		})
	}
	out.Entitlements = printedRemaining(m.GetRemaining())
	for i := range out.Entitlements {
		out.Entitlements[i].PaymentName = d.nameOf(out.Entitlements[i].PaymentCode)
	}
	return out, nil
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
		ForMonth: forMonth, Fund: fundName(int(l.GetFund())), PracticeCode: line.GetPracticeCode(), Instalments: int(basis.GetInstalments()),
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

// nameOf returns the name of a payment as its lines have it, or its code.
func (d *drawing) nameOf(code string) string {
	for i := range d.lines {
		if line := d.lines[i].Line; line.GetPaymentCode() == code {
			return paymentName(line.GetBasis().GetClause(), code)
		}
	}
	return code
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
