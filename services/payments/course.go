package payments

import (
	"cmp"
	"context"
	"maps"
	"math"
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
	parts []part
	// reversed says when approvals were undone, in microseconds by source, of those parts that recover or carry something, or whose payment
	// does not count.
	reversed map[string]int64
	passed   []passage // the oldest first; up to the month
	// first is who owed a line first, where it passed on later; steps are by what it passed on, up to the month. A line that was sent and
	// counts stays with the commissioner that sent it: held has the steps of its money too.
	first       map[string]string
	steps, held map[string][]step
	heirs       []*paymentsv1.Move // moves of those who owed or paid the PCN, the oldest first; up to the month
}

// part is a PCN's part of a run in the month in which it stands: the run's, but not before the lines and debts it disposes of passed to
// its commissioner.
type part struct {
	store.PartRow

	month  period.Month
	passed []step // of its payment, up to the month
}

// holder is who owes or paid the payment.
func (p *part) holder() string {
	if len(p.passed) == 0 {
		return p.Run.CommissionerCode
	}
	return p.passed[len(p.passed)-1].to
}

// step is the passing of a line or payment to another commissioner in a month.
type step struct {
	from, to string
	month    period.Month
}

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

// courseOf loads what was owed and paid to a PCN up to a month. What passed when depends on what came later too: all is gone through, and
// then cut.
func courseOf(ctx context.Context, q sqldb.Querier, pcn string, to period.Month) (*course, error) {
	c := &course{pcn: pcn, to: to, first: make(map[string]string), steps: make(map[string][]step), held: make(map[string][]step)}
	var err error
	if c.lines, err = store.Lines(ctx, q, store.LineFilter{PCNCode: pcn}); err != nil {
		return nil, err
	}
	slices.SortFunc(c.lines, func(a, b store.LineRow) int {
		x, y := a.Line, b.Line
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Fund, b.Fund), cmp.Compare(x.GetPaymentCode(), y.GetPaymentCode()),
			cmp.Compare(x.GetForMonth(), y.GetForMonth()), cmp.Compare(x.GetPracticeCode(), y.GetPracticeCode()), cmp.Compare(x.GetLineId(), y.GetLineId()))
	})
	rows, err := store.PartsOfPCN(ctx, q, pcn)
	if err != nil {
		return nil, err
	}
	c.parts = make([]part, len(rows))
	for i := range rows {
		c.parts[i] = part{PartRow: rows[i], month: rows[i].Run.Month}
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
	if err := c.follow(ctx, q); err != nil {
		return nil, err
	}
	return c, c.cut()
}

// cut leaves out what came after the month.
func (c *course) cut() error {
	later := func(s step) bool { return s.month.After(c.to) }
	c.lines = slices.DeleteFunc(c.lines, func(l store.LineRow) bool { return l.Month > c.to.String() })
	c.parts = slices.DeleteFunc(c.parts, func(p part) bool { return p.month.After(c.to) })
	for i := range c.parts {
		c.parts[i].passed = slices.DeleteFunc(c.parts[i].passed, later)
	}
	c.passed = slices.DeleteFunc(c.passed, func(p passage) bool { return p.month.After(c.to) })
	for _, steps := range []map[string][]step{c.steps, c.held} {
		for id := range steps {
			steps[id] = slices.DeleteFunc(steps[id], later)
		}
	}
	var moves []*paymentsv1.Move
	for _, m := range c.heirs {
		day, err := period.ParseDate(m.GetEffectiveDate())
		if err != nil {
			return fault.Bug("move %s on %q", m.GetMoveId(), m.GetEffectiveDate())
		}
		if !day.Month().After(c.to) {
			moves = append(moves, m)
		}
	}
	c.heirs = moves
	return nil
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
	taken, ids := make(map[string][]store.TransferRow), make(map[string]bool)
	for _, t := range transfers {
		taken[t.Source+" "+t.CommissionerCode] = append(taken[t.Source+" "+t.CommissionerCode], t)
		if t.LineID != "" {
			ids[t.LineID] = true
		}
	}
	frozen, err := store.FrozenForPCN(ctx, q, c.pcn, sortedKeys(ids))
	if err != nil {
		return err
	}
	r := newReplay(c)
	for _, f := range frozen {
		r.frozen[payeeSource(f.RunID, f.PayeeCode)] = append(r.frozen[payeeSource(f.RunID, f.PayeeCode)], f.LineID)
	}
	if err := r.schedule(); err != nil {
		return err
	}
	for _, m := range moves {
		r.approve(sqldb.Micros(m.GetMovedAt().AsTime()))
		if rows := taken[moveSource(m.GetMoveId())+" "+m.GetFromCommissionerCode()]; len(rows) > 0 {
			if err := r.pass(m, rows); err != nil {
				return err
			}
		}
	}
	r.approve(math.MaxInt64)
	c.heirs = moves
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
	came  map[string]period.Month // lines' months, or those in which they passed on last
	// frozen are those lines of parts that ever passed, by source.
	frozen map[string][]string
	// debts are what the PCN owes by commissioner and payee, changed the newest month of each, and taken that in which it last passed there.
	debts          map[[2]string]money.Pence
	changed, taken map[[2]string]period.Month
	waiting        []int // parts in the order of their approval, of which the debts are without
	// owners says of each part who owes its payment so far.
	owners []string
	runs   map[string]string // commissioners of runs
}

func newReplay(c *course) *replay {
	r := &replay{
		course: c, lines: make(map[string]*store.LineRow, len(c.lines)), came: make(map[string]period.Month), frozen: make(map[string][]string),
		debts: make(map[[2]string]money.Pence), changed: make(map[[2]string]period.Month), taken: make(map[[2]string]period.Month),
		waiting: make([]int, len(c.parts)), owners: make([]string, len(c.parts)), runs: make(map[string]string),
	}
	for i := range c.parts {
		r.waiting[i], r.owners[i] = i, c.parts[i].Run.CommissionerCode
		r.runs[c.parts[i].Run.ID] = c.parts[i].Run.CommissionerCode
	}
	slices.SortStableFunc(r.waiting, func(a, b int) int { return cmp.Compare(c.parts[a].ApprovedAt, c.parts[b].ApprovedAt) })
	return r
}

// schedule has the lines come in their months.
func (r *replay) schedule() (err error) {
	for i := range r.course.lines {
		line := &r.course.lines[i]
		id := line.Line.GetLineId()
		if r.came[id], err = period.ParseMonth(line.Month); err != nil {
			return fault.Bug("line %s of %q", id, line.Month)
		}
		r.lines[id] = line
	}
	return nil
}

// approve goes through the parts that were approved by a moment: each stands where all it disposes of has come, and its debts arise.
func (r *replay) approve(by int64) {
	for len(r.waiting) > 0 && r.parts[r.waiting[0]].ApprovedAt <= by {
		part := &r.parts[r.waiting[0]]
		r.waiting = r.waiting[1:]
		key := [2]string{part.Run.CommissionerCode, part.PayeeCode}
		source := payeeSource(part.Run.ID, part.PayeeCode)
		for _, id := range r.frozen[source] {
			part.month = newer(part.month, r.came[id])
		}
		if part.BroughtForward != 0 {
			part.month = newer(part.month, r.taken[key])
		}
		if change := part.BroughtForward - part.CarriedForward; change != 0 && r.reversed[source] == 0 {
			r.debts[key] += change
			r.changed[key] = newer(r.changed[key], part.month)
		}
	}
}

// newer returns the later of two months.
func newer(a, b period.Month) period.Month {
	if a.Before(b) {
		return b
	}
	return a
}

// pass notes what a move took along.
func (r *replay) pass(m *paymentsv1.Move, rows []store.TransferRow) error {
	day, err := period.ParseDate(m.GetEffectiveDate())
	if err != nil {
		return fault.Bug("move %s on %q", m.GetMoveId(), m.GetEffectiveDate())
	}
	t := taking{replay: r, move: m, month: day.Month(), months: make(map[period.Month]*passage), made: sqldb.Micros(m.GetMovedAt().AsTime())}
	payees := make(map[rules.Stage]map[string]bool)
	for _, row := range rows {
		if payees[row.Stage] == nil {
			payees[row.Stage] = make(map[string]bool)
		}
		payees[row.Stage][row.PayeeCode] = true
	}
	t.payments(payees[rules.Sent], payees[rules.Payable])
	for _, payee := range sortedKeys(payees[rules.Recovered]) {
		t.debt(payee)
	}
	for _, row := range rows {
		if line := r.lines[row.LineID]; line != nil {
			t.line(row, line)
		}
	}
	for _, month := range slices.SortedFunc(maps.Keys(t.months), period.Month.Compare) {
		if p := t.months[month]; p.amount != 0 || len(p.lines) > 0 || len(p.debts) > 0 {
			r.passed = append(r.passed, *p)
		}
	}
	return nil
}

// taking is what one move takes along, month by month: nothing passes in a month before its own, or before it came.
type taking struct {
	*replay

	move   *paymentsv1.Move
	month  period.Month // of the change
	made   int64        // microseconds
	months map[period.Month]*passage
}

// in returns what the move takes along of what came in a month.
func (t *taking) in(month period.Month) *passage {
	month = newer(month, t.month)
	if t.months[month] == nil {
		t.months[month] = &passage{move: t.move, month: month, debts: make(map[string]money.Pence)}
	}
	return t.months[month]
}

// between are the keys of a payee's debts before and after the move.
func (t *taking) between(payee string) (here, there [2]string) {
	return [2]string{t.move.GetFromCommissionerCode(), payee}, [2]string{t.move.GetToCommissionerCode(), payee}
}

// step is the move of something that came in a month.
func (t *taking) step(month period.Month) step {
	return step{t.move.GetFromCommissionerCode(), t.move.GetToCommissionerCode(), newer(month, t.month)}
}

// line takes a line along. One that was sent by then and counts stays with the commissioner that sent it.
func (t *taking) line(row store.TransferRow, line *store.LineRow) {
	if t.first[row.LineID] == "" {
		t.first[row.LineID] = t.move.GetFromCommissionerCode()
	}
	step := t.step(t.came[row.LineID])
	sent := row.Stage == rules.Sent || row.Stage == rules.Payable
	switch row.Stage {
	case rules.Accrued:
		p := t.in(step.month)
		p.lines, p.amount = append(p.lines, line), p.amount+money.Pence(line.Line.GetAmountPence())
	case rules.Recovered:
		here, _ := t.between(row.PayeeCode)
		step.month = newer(step.month, t.changed[here])
	case rules.Expense, rules.Payable, rules.Sent, rules.Settled, rules.Transferred:
	}
	t.held[row.LineID] = append(t.held[row.LineID], step)
	if !sent || (line.State != store.Sent && line.State != store.Settled) || !slices.Contains(t.path(line), t.runs[line.RunID]) {
		t.steps[row.LineID] = append(t.steps[row.LineID], step)
	}
	t.came[row.LineID] = step.month
}

// debt takes along what a payee owes for the PCN.
func (t *taking) debt(payee string) {
	here, _ := t.between(payee)
	t.owed(payee, t.debts[here], t.changed[here])
}

// owed takes a debt along that came in a month.
func (t *taking) owed(payee string, debt money.Pence, came period.Month) {
	if debt == 0 {
		return
	}
	here, there := t.between(payee)
	p := t.in(came)
	p.debts[payee], p.amount = p.debts[payee]+debt, p.amount-debt
	t.debts[here], t.debts[there] = t.debts[here]-debt, t.debts[there]+debt
	t.changed[there], t.taken[there] = newer(t.changed[there], p.month), newer(t.taken[there], p.month)
}

// payments takes along those of some payees that were not settled then. One that was settled has stayed: its owner says so.
func (t *taking) payments(payees ...map[string]bool) {
	from := t.move.GetFromCommissionerCode()
	for i := range t.parts {
		part := &t.parts[i]
		passes := slices.ContainsFunc(payees, func(of map[string]bool) bool { return of[part.PayeeCode] })
		if t.owners[i] != from || part.CommissionerCode == from || part.ApprovedAt > t.made || !passes {
			continue
		}
		t.owners[i] = t.move.GetToCommissionerCode()
		source := payeeSource(part.Run.ID, part.PayeeCode)
		undone := t.reversed[source]
		if undone != 0 && undone <= t.made {
			continue // its lines were open again, or in another payment
		}
		came := part.month
		if n := len(part.passed); n > 0 {
			came = part.passed[n-1].month
		}
		step := t.step(came)
		part.passed = append(part.passed, step)
		for _, id := range t.frozen[source] {
			t.came[id] = newer(t.came[id], step.month)
		}
		switch {
		case counts(part.Payment.State):
		case undone != 0:
			t.in(step.month).amount += part.LinesTotal
			t.owed(part.PayeeCode, -part.BroughtForward, step.month)
		default:
			t.in(step.month).amount += part.Net()
		}
	}
}

// path returns who owed a line, the first first, up to the month.
func (c *course) path(line *store.LineRow) []string { return c.along(line, c.steps) }

// along follows steps of a line from who owed it first.
func (c *course) along(line *store.LineRow, steps map[string][]step) []string {
	id := line.Line.GetLineId()
	out := []string{cmp.Or(c.first[id], line.CommissionerCode)}
	for _, s := range steps[id] {
		if s.from == out[len(out)-1] {
			out = append(out, s.to)
		}
	}
	return out
}

// holders returns with whom the PCN dealt for a line, the first first, up to the month: who owed it, who was left its payment, and where
// the whole book of these passed.
func (c *course) holders(line *store.LineRow) []string {
	out := c.along(line, c.held)
	for {
		heir := c.heir(out[len(out)-1], line.Line.GetLocationCode())
		if heir == "" || slices.Contains(out, heir) {
			return out
		}
		out = append(out, heir)
	}
}

// heir returns to whom a place went of a commissioner whose whole book passed, or nothing.
func (c *course) heir(code, location string) (heir string) {
	place := ""
	for _, m := range c.heirs {
		switch {
		case m.GetFromCommissionerCode() != code:
		case isWhole(m):
			heir = m.GetToCommissionerCode()
		case slices.Contains(m.GetLocationCodes(), location):
			place = m.GetToCommissionerCode()
		}
	}
	if heir == "" {
		return ""
	}
	return cmp.Or(place, heir)
}

// sent tells whether a part reduces what is owed: nothing need have been sent where overpayments for one PCN took up what there was for
// another.
func (c *course) sent(p *part) bool {
	if p.Payment.ID == "" {
		return p.Payee.Net == 0 && p.Net() != 0 && c.reversed[payeeSource(p.Run.ID, p.PayeeCode)] == 0
	}
	return counts(p.Payment.State)
}

// balance is what a commissioner owes the PCN at the end of a month.
func (c *course) balance(code string, at period.Month) (sum money.Pence) {
	for i := range c.lines {
		if l := &c.lines[i]; l.State != 0 && l.Month <= at.String() && c.path(l)[0] == code {
			sum += money.Pence(l.Line.GetAmountPence())
		}
	}
	for i := range c.passed {
		if p := &c.passed[i]; !p.month.After(at) {
			sum += p.sign(code) * p.amount
		}
	}
	for i := range c.parts {
		if p := &c.parts[i]; p.Run.CommissionerCode == code && !p.month.After(at) && c.sent(p) {
			sum -= p.Net()
		}
	}
	return sum
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
		slices.ContainsFunc(c.parts, func(p part) bool { return p.Run.CommissionerCode == code }) ||
		slices.ContainsFunc(c.passed, func(p passage) bool { return p.sign(code) != 0 })
}
