package payments

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// course is all that was owed and paid to a PCN up to a month, by whom, and what passed from one commissioner to another.
type course struct {
	pcn   string
	to    period.Month
	lines []store.LineRow
	parts []store.PartRow
	// reversed says when approvals were undone, in microseconds by source, of those parts that recover or carry something, or whose payment
	// does not count.
	reversed map[string]int64
	passed   []passage // the oldest first; up to the month
	// first is who owed a line first, where it passed on later; steps are by what it passed on, up to the month.
	first map[string]string
	steps map[string][]step
}

// step is the passing of a line to another commissioner.
type step struct{ from, to string }

// passage is what a move took along for the PCN in a month. What was sent and counts was paid by the commissioner that sent it, and does
// not pass.
type passage struct {
	move   *paymentsv1.Move
	month  period.Month // of the change, or that of what passes if it is later
	amount money.Pence
	lines  []*store.LineRow       // that were not approved
	debts  map[string]money.Pence // by payee; in amount too
}

// sign is 1 where a passage comes to a commissioner, and −1 where it goes from it.
func (p *passage) sign(code string) money.Pence {
	switch code {
	case p.move.GetToCommissionerCode():
		return 1
	case p.move.GetFromCommissionerCode():
		return -1
	default:
		return 0
	}
}

// courseOf loads what was owed and paid to a PCN up to a month.
func courseOf(ctx context.Context, q sqldb.Querier, pcn string, to period.Month) (*course, error) {
	c := &course{pcn: pcn, to: to, first: make(map[string]string), steps: make(map[string][]step)}
	var err error
	if c.lines, err = store.Lines(ctx, q, store.LineFilter{PCNCode: pcn, ToMonth: to.String()}); err != nil {
		return nil, err
	}
	slices.SortFunc(c.lines, func(a, b store.LineRow) int {
		x, y := a.Line, b.Line
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Fund, b.Fund), cmp.Compare(x.GetPaymentCode(), y.GetPaymentCode()),
			cmp.Compare(x.GetForMonth(), y.GetForMonth()), cmp.Compare(x.GetPracticeCode(), y.GetPracticeCode()), cmp.Compare(x.GetLineId(), y.GetLineId()))
	})
	if c.parts, err = store.PartsOfPCN(ctx, q, pcn, to); err != nil {
		return nil, err
	}
	var sources []string
	for i := range c.parts {
		if p := &c.parts[i]; p.BroughtForward != 0 || p.CarriedForward != 0 || p.Payee.Net == 0 || !counts(p.Payment.State) {
			sources = append(sources, payeeSource(p.Run.ID, p.PayeeCode))
		}
	}
	if c.reversed, err = store.Reversed(ctx, q, sources); err != nil {
		return nil, err
	}
	return c, c.follow(ctx, q)
}

// follow works out what passed from one commissioner to another.
func (c *course) follow(ctx context.Context, q sqldb.Querier) error {
	moves, givers, err := c.moves(ctx, q)
	if err != nil || len(moves) == 0 {
		return err
	}
	transfers, err := store.TransfersOfPCN(ctx, q, c.pcn, givers)
	if err != nil {
		return err
	}
	taken := make(map[string][]store.TransferRow)
	for _, t := range transfers {
		taken[t.Source+" "+t.CommissionerCode] = append(taken[t.Source+" "+t.CommissionerCode], t)
	}
	lines := make(map[string]*store.LineRow, len(c.lines))
	for i := range c.lines {
		lines[c.lines[i].Line.GetLineId()] = &c.lines[i]
	}
	r := replay{
		course: c, lines: lines, debts: make(map[[2]string]money.Pence), arose: make(map[[2]string]period.Month), added: make(map[int]bool),
		owners: make([]string, len(c.parts)), runs: make(map[string]string),
	}
	for i := range c.parts {
		r.owners[i] = c.parts[i].Run.CommissionerCode
		r.runs[c.parts[i].Run.ID] = c.parts[i].Run.CommissionerCode
	}
	for _, m := range moves {
		if rows := taken[moveSource(m.GetMoveId())+" "+m.GetFromCommissionerCode()]; len(rows) > 0 {
			if err := r.pass(m, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// moves returns the moves from those who scheduled or paid something for the PCN, and on from whom it passed to, the oldest first, and
// the commissioners from which they went.
func (c *course) moves(ctx context.Context, q sqldb.Querier) (out []*paymentsv1.Move, givers []string, err error) {
	var owners []string
	add := func(code string) {
		if !slices.Contains(owners, code) {
			owners = append(owners, code)
		}
	}
	for i := range c.lines {
		add(c.lines[i].ScheduledBy)
	}
	for i := range c.parts {
		add(c.parts[i].Run.CommissionerCode)
	}
	for i := 0; i < len(owners); i++ {
		moves, err := store.Moves(ctx, q, owners[i])
		if err != nil {
			return nil, nil, err
		}
		if len(moves) > 0 {
			givers = append(givers, owners[i])
		}
		for _, m := range moves {
			add(m.GetToCommissionerCode())
		}
		out = append(out, moves...)
	}
	slices.SortFunc(out, func(a, b *paymentsv1.Move) int {
		return cmp.Or(a.GetMovedAt().AsTime().Compare(b.GetMovedAt().AsTime()), cmp.Compare(a.GetMoveId(), b.GetMoveId()))
	})
	return out, givers, nil
}

// replay goes through moves in the order in which they were made.
type replay struct {
	*course

	lines map[string]*store.LineRow
	// debts are what the PCN owes by commissioner and payee, and arose the newest month of each; the parts in added are in them.
	debts map[[2]string]money.Pence
	arose map[[2]string]period.Month
	added map[int]bool
	// owners says of each part who owes its payment so far.
	owners []string
	runs   map[string]string // commissioners of runs
}

// pass notes what a move took along.
func (r *replay) pass(m *paymentsv1.Move, rows []store.TransferRow) error {
	day, err := period.ParseDate(m.GetEffectiveDate())
	if err != nil {
		return fault.Bug("move %s on %q", m.GetMoveId(), m.GetEffectiveDate())
	}
	within := !day.Month().After(r.to)
	t := taking{replay: r, move: m, day: day, months: make(map[period.Month]*passage), made: sqldb.Micros(m.GetMovedAt().AsTime())}
	r.arise(t.made)
	withPayments := make(map[string]bool)
	for _, row := range rows {
		switch row.Stage {
		case rules.Accrued:
			if err := t.line(row.LineID); err != nil {
				return err
			}
		case rules.Payable, rules.Sent:
			withPayments[row.PayeeCode] = true
		case rules.Recovered:
			t.debt(row.PayeeCode)
		case rules.Expense, rules.Settled, rules.Transferred:
		}
		if line := r.lines[row.LineID]; line != nil {
			if r.first[row.LineID] == "" {
				r.first[row.LineID] = m.GetFromCommissionerCode()
			}
			if within {
				r.step(row, line, m)
			}
		}
	}
	t.payments(withPayments)
	for _, month := range slices.SortedFunc(maps.Keys(t.months), period.Month.Compare) {
		if p := t.months[month]; within && (p.amount != 0 || len(p.lines) > 0 || len(p.debts) > 0) {
			r.passed = append(r.passed, *p)
		}
	}
	return nil
}

// taking is what one move takes along, month by month: nothing passes in a month before its own.
type taking struct {
	*replay

	move   *paymentsv1.Move
	day    period.Date
	made   int64 // microseconds
	months map[period.Month]*passage
}

// in returns what the move takes along of a month.
func (t *taking) in(month period.Month) *passage {
	if month.Before(t.day.Month()) {
		month = t.day.Month()
	}
	if t.months[month] == nil {
		t.months[month] = &passage{move: t.move, month: month, debts: make(map[string]money.Pence)}
	}
	return t.months[month]
}

// line takes a line along that was not approved.
func (t *taking) line(id string) error {
	line := t.lines[id]
	if line == nil {
		return nil // of a later month
	}
	month, err := period.ParseMonth(line.Month)
	if err != nil {
		return fault.Bug("line %s of %q", id, line.Month)
	}
	p := t.in(month)
	p.lines, p.amount = append(p.lines, line), p.amount+money.Pence(line.Line.GetAmountPence())
	return nil
}

// debt takes along what a payee owes for the PCN.
func (t *taking) debt(payee string) {
	here, there := [2]string{t.move.GetFromCommissionerCode(), payee}, [2]string{t.move.GetToCommissionerCode(), payee}
	owed := t.debts[here]
	if owed == 0 {
		return
	}
	p := t.in(t.arose[here])
	p.debts[payee], p.amount = owed, p.amount-owed
	t.debts[there], t.debts[here], t.arose[there] = t.debts[there]+owed, 0, t.arose[here]
}

// payments takes along those of some payees that were not settled then. One that was settled has stayed: its owner says so.
func (t *taking) payments(of map[string]bool) {
	from := t.move.GetFromCommissionerCode()
	for i := range t.parts {
		part := &t.parts[i]
		if t.owners[i] != from || part.CommissionerCode == from || part.ApprovedAt > t.made || !of[part.PayeeCode] {
			continue
		}
		t.owners[i] = t.move.GetToCommissionerCode()
		undone := t.reversed[payeeSource(part.Run.ID, part.PayeeCode)]
		switch {
		case counts(part.Payment.State):
		case undone != 0 && undone <= t.made: // its lines were open again, or in another payment
		case undone != 0:
			t.in(part.Run.Month).amount += part.LinesTotal
		default:
			t.in(part.Run.Month).amount += part.Net()
		}
	}
}

// arise adds the debts of the parts that were approved by a moment.
func (r *replay) arise(by int64) {
	for i := range r.parts {
		part := &r.parts[i]
		if r.added[i] || part.ApprovedAt > by {
			continue
		}
		r.added[i] = true
		change := part.BroughtForward - part.CarriedForward
		if change == 0 || r.reversed[payeeSource(part.Run.ID, part.PayeeCode)] != 0 {
			continue
		}
		key := [2]string{part.Run.CommissionerCode, part.PayeeCode}
		r.debts[key] += change
		if r.arose[key].Before(part.Run.Month) {
			r.arose[key] = part.Run.Month
		}
	}
}

// step notes that a line passed on. One that was sent by then and counts stays with the commissioner that sent it.
func (r *replay) step(t store.TransferRow, line *store.LineRow, m *paymentsv1.Move) {
	sent := t.Stage == rules.Sent || t.Stage == rules.Payable
	if sent && (line.State == store.Sent || line.State == store.Settled) && slices.Contains(r.path(line), r.runs[line.RunID]) {
		return
	}
	r.steps[t.LineID] = append(r.steps[t.LineID], step{m.GetFromCommissionerCode(), m.GetToCommissionerCode()})
}

// path returns who owed a line, the first first, up to the month.
func (c *course) path(line *store.LineRow) []string {
	id := line.Line.GetLineId()
	first := cmp.Or(c.first[id], line.CommissionerCode)
	out := []string{first}
	for _, s := range c.steps[id] {
		if s.from == out[len(out)-1] {
			out = append(out, s.to)
		}
	}
	return out
}

// after returns to whom a line passed from a commissioner, or nothing.
func (c *course) after(line *store.LineRow, code string) string {
	path := c.path(line)
	if at := slices.Index(path, code); at >= 0 && at+1 < len(path) {
		return path[at+1]
	}
	return ""
}

// knows tells whether a commissioner owed or paid the PCN anything up to the month, or took it over.
func (c *course) knows(code string) bool {
	return slices.ContainsFunc(c.lines, func(l store.LineRow) bool { return c.path(&l)[0] == code }) ||
		slices.ContainsFunc(c.parts, func(p store.PartRow) bool { return p.Run.CommissionerCode == code }) ||
		slices.ContainsFunc(c.passed, func(p passage) bool { return p.sign(code) != 0 })
}
