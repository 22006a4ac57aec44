package payments

import (
	"context"
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

// GetStatement tells a PCN what a commissioner pays it for a month or a financial year.
func (s *Service) GetStatement(ctx context.Context, req *paymentsv1.GetStatementRequest) (*paymentsv1.Statement, error) {
	drawn, err := s.drawUp(ctx, req)
	if err != nil {
		return nil, err
	}
	return drawn.message, nil
}

// DownloadStatement returns a statement as PDF.
func (s *Service) DownloadStatement(ctx context.Context, req *paymentsv1.DownloadStatementRequest) (*httpbody.HttpBody, error) {
	return s.download(ctx, req, typePDF, statement.PDF)
}

// DownloadStatementCsv returns a statement as CSV.
func (s *Service) DownloadStatementCsv(ctx context.Context, req *paymentsv1.DownloadStatementCsvRequest) (*httpbody.HttpBody, error) {
	return s.download(ctx, req, typeCSV, statement.CSV)
}

func (s *Service) download(ctx context.Context, req asked, kind string, render func(*statement.Statement) ([]byte, error)) (*httpbody.HttpBody, error) {
	drawn, err := s.drawUp(ctx, req)
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

// asked is a request for a statement.
type asked interface {
	GetPcnCode() string
	GetPeriod() string
	GetCommissionerCode() string
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

// drawing is a statement in the making: a PCN's account with one commissioner.
type drawing struct {
	*course

	from    period.Month
	message *paymentsv1.Statement
	// code is the commissioner whose account it is.
	code string
	// newest is the newest line of the PCN itself in the account, or else of the PCN.
	newest *store.LineRow
	lines  []store.LineRow // that it was the first to owe
	parts  []part          // of its runs
	debts  map[string]debts
	held   map[string]heldTargets // by commissioner
	// ownOnly is set for a caller who holds the PCN alone: what a payee gets for other PCNs is none of their business.
	ownOnly bool
}

// debts are the overpayments of a PCN's payee for the PCN over the period. Every amount is above zero where the PCN owes; passed is below
// where another commissioner took them over.
type debts struct{ before, arisen, passed, recovered money.Pence }

// left is what the PCN owes at the end.
func (d debts) left() money.Pence { return d.before + d.arisen + d.passed - d.recovered }

// drawUp draws a statement up from what payments holds: the fund is not asked.
func (s *Service) drawUp(ctx context.Context, req asked) (*drawing, error) {
	from, to, err := monthsOf(req.GetPeriod())
	if err != nil {
		return nil, err
	}
	d := &drawing{
		from: from, debts: make(map[string]debts), held: make(map[string]heldTargets),
		message: &paymentsv1.Statement{
			PcnCode: req.GetPcnCode(), FromMonth: from.String(), ToMonth: to.String(), DrawnUpAt: timestamp(sqldb.Micros(s.db.Now())),
		},
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		for _, step := range []func() error{
			func() (err error) { d.course, err = courseOf(ctx, q, req.GetPcnCode(), to); return err },
			func() error { return d.account(ctx, q, req.GetCommissionerCode()) },
			func() error { return d.head(ctx, q, req.GetPeriod()) },
			func() error { return d.place(ctx, q) },
			func() error { return d.passages(ctx, q) },
			func() error { return d.remaining(ctx, q) },
			func() error { return d.recoveries(ctx, q) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	return d, err
}

// account chooses whose account it is, and keeps what is its own: the one asked for, or that of whom the PCN deals with for its newest
// line at the end of the period. To a caller who may not read that one it is the one from which the line passed.
func (d *drawing) account(ctx context.Context, q sqldb.Querier, asked string) error {
	var holders []string
	if len(d.course.lines) > 0 {
		holders = d.holders(newestOf(d.course.lines))
	}
	candidates := holders
	if asked != "" {
		candidates = []string{asked}
	}
	principal, _ := auth.From(ctx)
	for _, code := range slices.Backward(candidates) {
		if !d.knows(code) && !slices.Contains(holders, code) {
			continue
		}
		may, err := mayRead(ctx, q, code)
		if err != nil {
			return err
		}
		if may || principal.HoldsPCN(d.pcn) {
			d.code, d.ownOnly = code, !may
			d.keep()
			return nil
		}
	}
	return d.empty(asked)
}

// keep takes what concerns the account out of the course.
func (d *drawing) keep() {
	var owed []store.LineRow
	for i := range d.course.lines {
		line := &d.course.lines[i]
		path := d.path(line)
		if path[0] == d.code {
			d.lines = append(d.lines, *line)
		}
		if slices.Contains(path, d.code) {
			owed = append(owed, *line)
		}
	}
	if len(owed) == 0 {
		owed = d.course.lines
	}
	d.newest, d.message.AlsoOwedBy = newestOf(owed), d.others()
	for i := range d.course.parts {
		if part := d.course.parts[i]; part.Run.CommissionerCode == d.code {
			d.parts = append(d.parts, part)
		}
	}
}

// others returns who else has lines of the period, a balance, or a payment that is not settled.
func (d *drawing) others() []string {
	owed, balances := make(map[string]bool), make(map[string]bool)
	for i := range d.course.lines {
		line := &d.course.lines[i]
		path := d.path(line)
		for _, code := range path {
			balances[code] = true
		}
		if line.Month >= d.from.String() {
			owed[path[len(path)-1]] = true
		}
	}
	for i := range d.course.parts {
		part := &d.course.parts[i]
		balances[part.Run.CommissionerCode] = true
		if part.Payment.State == paymentsv1.PaymentState_PAYMENT_STATE_SENT {
			owed[part.holder()] = true
		}
	}
	for i := range d.passed {
		balances[d.passed[i].move.GetFromCommissionerCode()], balances[d.passed[i].move.GetToCommissionerCode()] = true, true
	}
	for code := range balances {
		if d.balance(code, d.from.Add(-1)) != 0 || d.balance(code, d.to) != 0 {
			owed[code] = true
		}
	}
	delete(owed, d.code)
	return sortedKeys(owed)
}

// empty says that there is nothing to draw a statement up from, or nothing that the caller may see.
func (d *drawing) empty(asked string) error {
	if asked != "" {
		return fault.New(fault.NotFound, rules.ReasonStatementEmpty, "nothing that you may see is known of what %s owed or paid %s up to %s", asked, d.pcn, d.to).
			With("commissioner_code", asked)
	}
	return fault.New(fault.NotFound, rules.ReasonStatementEmpty,
		"nothing that you may see is known of %s up to %s; where several commissioners owe it, give commissioner_code", d.pcn, d.to)
}

// newestOf returns the last line of the PCN itself, or else the last.
func newestOf(lines []store.LineRow) *store.LineRow {
	for i := range slices.Backward(lines) {
		if lines[i].Line.GetPracticeCode() == "" {
			return &lines[i]
		}
	}
	return &lines[len(lines)-1]
}

// head names the account.
func (d *drawing) head(ctx context.Context, q sqldb.Querier, when string) (err error) {
	m := d.message
	m.PcnName, m.CommissionerCode = d.newest.Line.GetPcnName(), d.code
	m.StatementId = m.GetCommissionerCode() + "-" + d.pcn + "-" + when
	for i := range slices.Backward(d.parts) {
		if m.CommissionerName = d.parts[i].Run.CommissionerName; m.GetCommissionerName() != "" {
			return nil
		}
	}
	m.CommissionerName, err = knownName(ctx, q, m.GetCommissionerCode())
	return err
}

// place puts lines and payments where they belong and adds up.
func (d *drawing) place(ctx context.Context, q sqldb.Querier) error {
	m := d.message
	first := d.from.String()
	for i := range d.lines {
		row := &d.lines[i]
		amount := row.Line.GetAmountPence()
		if row.Month < first {
			if row.State != 0 {
				m.OpeningPence += amount
			}
			continue
		}
		line, err := d.statementLine(ctx, q, row)
		if err != nil {
			return err
		}
		switch {
		case row.State == 0:
			m.ReconcileOnly = append(m.ReconcileOnly, line)
		case row.Line.GetAdjustsLineId() != "" || row.Line.GetForMonth() < row.Month:
			m.Corrections = append(m.Corrections, line)
			m.TotalPence += amount
		default:
			m.Payments = append(m.Payments, line)
			m.TotalPence += amount
		}
	}
	for i := range d.parts {
		d.placePart(&d.parts[i])
	}
	return nil
}

// passages puts what came from other commissioners, and what passed to them, where it belongs, and strikes the balance.
func (d *drawing) passages(ctx context.Context, q sqldb.Querier) error {
	m := d.message
	for i := range d.passed {
		p := &d.passed[i]
		sign := p.sign(d.code)
		if sign == 0 {
			continue
		}
		earlier := p.month.Before(d.from)
		for payee, amount := range p.debts {
			owes := d.debts[payee]
			if earlier {
				owes.before += sign * amount
			} else {
				owes.passed += sign * amount
			}
			d.debts[payee] = owes
		}
		if earlier {
			m.OpeningPence += int64(sign * p.amount)
			continue
		}
		transfer := &paymentsv1.StatementTransfer{
			MoveId: p.move.GetMoveId(), CommissionerCode: p.move.GetFromCommissionerCode(), EffectiveDate: p.move.GetEffectiveDate(), AmountPence: int64(sign * p.amount),
		}
		if sign < 0 {
			transfer.CommissionerCode, transfer.CommissionerName = p.move.GetToCommissionerCode(), p.move.GetToCommissionerName()
		}
		var err error
		if transfer.GetCommissionerName() == "" {
			if transfer.CommissionerName, err = knownName(ctx, q, transfer.GetCommissionerCode()); err != nil {
				return err
			}
		}
		for _, row := range p.lines {
			if sign < 0 {
				break // each is among the lines of the account, or was taken over before
			}
			line, err := d.statementLine(ctx, q, row)
			if err != nil {
				return err
			}
			transfer.Lines = append(transfer.Lines, line)
		}
		m.Passed = append(m.Passed, transfer)
		m.PassedPence += transfer.GetAmountPence()
	}
	m.ClosingPence = m.GetOpeningPence() + m.GetTotalPence() + m.GetPassedPence() - m.GetSentPence()
	return nil
}

// placePart puts the PCN's part of a run where it belongs.
func (d *drawing) placePart(p *part) {
	m := d.message
	earlier, undone := p.month.Before(d.from), d.reversed[payeeSource(p.Run.ID, p.PayeeCode)] != 0
	if owes := d.debts[p.PayeeCode]; !undone {
		if earlier {
			owes.before += p.BroughtForward - p.CarriedForward
		} else {
			owes.arisen -= p.CarriedForward
			owes.recovered -= p.BroughtForward
		}
		d.debts[p.PayeeCode] = owes
	}
	if p.Payment.ID == "" && !d.sent(p) {
		return
	}
	payment := paymentToProto(p.Payment)
	if p.Payment.ID == "" {
		payment.State, payment.SentAt, payment.Etag = paymentsv1.PaymentState_PAYMENT_STATE_SETTLED, timestamp(p.ApprovedAt), ""
	}
	switch {
	case earlier && d.sent(p):
		m.OpeningPence -= int64(p.Net())
	case earlier:
	default:
		if d.ownOnly {
			payment.AmountPence = int64(p.Net())
		}
		m.Sent = append(m.Sent, &paymentsv1.StatementPayment{Payment: payment, PcnPence: int64(p.Net())})
		if d.sent(p) {
			m.SentPence += int64(p.Net())
		}
	}
}

// counts tells whether a payment reduces what is owed.
func counts(state paymentsv1.PaymentState) bool {
	return state == paymentsv1.PaymentState_PAYMENT_STATE_SENT || state == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
}

func (d *drawing) statementLine(ctx context.Context, q sqldb.Querier, row *store.LineRow) (*paymentsv1.StatementLine, error) {
	out := &paymentsv1.StatementLine{
		Line: row.Line, Fund: typev1.Fund(row.Fund), ScheduleMonth: row.Month, State: paymentsv1.ItemState(row.State), //nolint:gosec // enums
		Basis: basisText(row.Line), PassedTo: d.after(row, d.code),
	}
	if row.State != store.Open || out.GetPassedTo() != "" {
		return out, nil
	}
	held, known := d.held[row.CommissionerCode]
	if !known {
		var err error
		if held, err = holdsByTarget(ctx, q, row.CommissionerCode); err != nil {
			return nil, err
		}
		d.held[row.CommissionerCode] = held
	}
	out.Holds = held.of(*row)
	return out, nil
}

// remaining works out what is left of the amounts that the funds stated for a year or another period, whoever of a line of commissioners
// scheduled it.
func (d *drawing) remaining(ctx context.Context, q sqldb.Querier) error {
	stated, err := store.Entitlements(ctx, q, store.EntitlementFilter{PCNCode: d.pcn, Month: d.to})
	if err != nil {
		return err
	}
	heirs := make(map[[2]string]string)
	heirOf := func(code, location string) (string, error) {
		key := [2]string{code, location}
		if heir, known := heirs[key]; known {
			return heir, nil
		}
		owner, err := ownerOf(ctx, q, code, location)
		heirs[key] = owner.code
		return owner.code, err
	}
	heir, err := heirOf(d.code, d.newest.Line.GetLocationCode())
	if err != nil {
		return err
	}
	for _, e := range stated {
		of, err := heirOf(e.CommissionerCode, d.newest.Line.GetLocationCode())
		if err != nil {
			return err
		}
		if of != heir {
			continue
		}
		var scheduled money.Pence
		for i := range d.course.lines {
			row := &d.course.lines[i]
			line := row.Line
			if row.Fund != e.Fund || line.GetPaymentCode() != e.PaymentCode || line.GetPracticeCode() != e.PracticeCode ||
				line.GetForMonth() < e.From.String() || line.GetForMonth() > e.To.String() {
				continue
			}
			if of, err = heirOf(row.CommissionerCode, line.GetLocationCode()); err != nil {
				return err
			}
			if of == heir {
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

// recoveries lists what is still to be given back for the PCN, payee by payee.
func (d *drawing) recoveries(ctx context.Context, q sqldb.Querier) error {
	var debtors []string
	for _, payee := range sortedKeys(d.debts) {
		if d.debts[payee].left() > 0 {
			debtors = append(debtors, payee)
		}
	}
	if len(debtors) == 0 {
		return nil
	}
	// A plan passes on with its debt, and still tells of the time before.
	holders, err := successors(ctx, q, d.code)
	if err != nil {
		return err
	}
	plans, err := store.NewestPlans(ctx, q, append(holders, d.code), debtors)
	if err != nil {
		return err
	}
	for _, payee := range debtors {
		plan := plans[payee]
		plan.CommissionerCode, plan.PayeeCode, plan.PayeeName = d.code, payee, d.payeeName(payee)
		recovery, err := recoveryToProto(ctx, q, plan, d.debts[payee].left())
		if err != nil {
			return err
		}
		d.message.Recoveries = append(d.message.Recoveries, recovery)
	}
	return nil
}

// payeeName returns the name under which a payee was last in a run for the PCN.
func (d *drawing) payeeName(code string) string {
	for _, part := range slices.Backward(d.course.parts) {
		if part.PayeeCode == code {
			return part.Payee.PayeeName
		}
	}
	return ""
}
