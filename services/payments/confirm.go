package payments

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// What became of a row.
const (
	outcomeSettled       = "SETTLED"
	outcomeRejected      = "REJECTED"
	outcomeKnown         = "KNOWN"
	outcomeStored        = "STORED"
	outcomeAmountDiffers = "AMOUNT_DIFFERS"
	outcomeDateDiffers   = "DATE_DIFFERS"
	outcomeNotFound      = "NOT_FOUND"
	outcomeAmbiguous     = "AMBIGUOUS"
	outcomeStateDiffers  = "STATE_DIFFERS"
)

// confirmBatch is how many confirmations are written at once.
const confirmBatch = 1000

// noteBoth is of rows by which a payment was paid and was not.
const noteBoth = "the file says both of this payment on one day: ask the payer"

// confirming gives the rows of a file of confirmations their effect, and writes that many at a time.
type confirming struct {
	service *Service
	tx      *change.Tx
	reach   reach
	// payments are those met so far, by reference, as the rows so far have left them.
	payments map[string]*store.PaymentRow
	// alike are the rows that name no payment and are alike; matches is what was found of those looked at.
	alike   map[alike][]*fileRow
	matches map[*fileRow]match
	// paid are those of them that say so.
	paid map[equals][]*fileRow
	// named is what the rows of the file say of the payments that they name or were found to be of, and before what the same bytes said
	// of those that they had an effect on.
	named, before map[string]sayings
	// senders are the commissioners of the runs met so far, and arrivals the days on which payees passed to a commissioner.
	senders  map[string]string
	arrivals map[string]map[string]string
	// both are the payments of rows that have no effect, because the file says both of the payment on one day.
	both map[*fileRow]string
	// amounts are what the payments of each run met so far consist of, by payment.
	amounts map[string]map[string][]rules.Amount

	// What is not written yet; each payment is in it once.
	changed  []*store.PaymentRow
	postings map[string][]rules.Posting // by day
	items    map[itemMove][]string      // payees
	events   []outbox.Event
}

// itemMove is how the items of payments in a run move.
type itemMove struct {
	runID    string
	from, to store.ItemState
}

// reach is which payments the files of a commissioner can be of: its own, and those that passed from it to others that the caller
// holds as well.
type reach struct {
	code   string
	owners []string // commissioners that may owe them now
	origin []string // those whose runs sent them; nil means any
	// beyond is true if some may have passed to commissioners that the caller does not hold.
	beyond bool
}

// reachOf works out which payments the files of a commissioner can be of.
func reachOf(ctx context.Context, q sqldb.Querier, code string) (reach, error) {
	out := reach{code: code, owners: []string{code}}
	heirs, err := successors(ctx, q, code)
	if err != nil || len(heirs) == 0 {
		return out, err
	}
	for _, heir := range heirs {
		if holds(ctx, heir) {
			out.owners = append(out.owners, heir)
		}
	}
	out.beyond = len(out.owners) <= len(heirs)
	slices.Sort(out.owners)
	before, err := predecessors(ctx, q, code)
	out.origin = append(before, code)
	return out, err
}

// successors returns the commissioners to which open items of one passed, near or far.
func successors(ctx context.Context, q sqldb.Querier, code string) ([]string, error) {
	line := []string{code}
	for i := 0; i < len(line); i++ {
		moves, err := store.Moves(ctx, q, line[i])
		if err != nil {
			return nil, err
		}
		for _, m := range moves {
			if to := m.GetToCommissionerCode(); !slices.Contains(line, to) {
				line = append(line, to)
			}
		}
	}
	return line[1:], nil
}

// lockedReach works out which payments the files of a commissioner can be of, and holds the money of all that may owe them. What
// passes on while it waits for the locks it follows.
func lockedReach(ctx context.Context, tx *change.Tx, code string) (reach, error) {
	for {
		out, err := reachOf(ctx, tx, code)
		if err != nil {
			return out, err
		}
		keys := make([]string, len(out.owners))
		for i, owner := range out.owners {
			keys[i] = lockKey(owner)
		}
		if err := tx.LockAll(ctx, keys); err != nil {
			return out, err
		}
		if still, err := reachOf(ctx, tx, code); err != nil || slices.Equal(still.owners, out.owners) {
			return still, err
		}
	}
}

// filter selects the payments within reach.
func (r reach) filter() store.PaymentFilter {
	return store.PaymentFilter{Page: store.Page{Commissioners: r.owners}, RunsOf: r.origin}
}

// confirm matches confirmations with payments, by reference or else by payee and amount, and settles or rejects them. Rows that
// have an outcome keep it. It returns the commissioners that the file concerns: the one it is of, and those whose payments changed.
func (s *Service) confirm(ctx context.Context, tx *change.Tx, within reach, rows []fileRow) ([]string, error) {
	c, err := s.confirming(ctx, tx, within, rows)
	if err != nil {
		return nil, err
	}
	runs, concerned := make(map[string]bool), map[string]bool{within.code: true}
	for i := range rows {
		row := &rows[i]
		if row.Outcome != "" {
			continue
		}
		if id, both := c.both[row]; both {
			row.PaymentID, row.Outcome, row.Note = id, outcomeAmbiguous, noteBoth
			continue
		}
		found, err := c.matching(ctx, row)
		if err != nil {
			return nil, err
		}
		payment := found.payment
		row.Outcome = found.outcome
		if payment != nil {
			row.PaymentID = payment.ID
			row.Outcome = cmp.Or(row.Outcome, confirmable(payment, row))
		}
		if row.Outcome != "" {
			row.Note = c.noteOf(row.Outcome)
			continue
		}
		if err := c.settle(ctx, payment, row); err != nil {
			return nil, err
		}
		runs[payment.RunID], concerned[payment.CommissionerCode] = true, true
	}
	if err := c.flush(ctx); err != nil {
		return nil, err
	}
	for _, id := range sortedKeys(runs) {
		if err := s.settleRun(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	return sortedKeys(concerned), nil
}

// confirming begins with the rows of a file. Which of them contradict each other is tried first, until no more do: without them, others
// may be of other payments.
func (s *Service) confirming(ctx context.Context, tx *change.Tx, within reach, rows []fileRow) (*confirming, error) {
	both := make(map[*fileRow]string)
	for tried := false; ; {
		c := &confirming{
			service: s, tx: tx, reach: within, payments: make(map[string]*store.PaymentRow), amounts: make(map[string]map[string][]rules.Amount),
			alike: make(map[alike][]*fileRow), matches: make(map[*fileRow]match), paid: make(map[equals][]*fileRow),
			named: make(map[string]sayings), before: make(map[string]sayings), both: both,
			senders: make(map[string]string), arrivals: make(map[string]map[string]string),
		}
		if err := c.look(ctx, rows); err != nil || tried || !c.mayContradict(rows) {
			return c, err
		}
		more, err := c.contradictions(ctx, rows)
		if err != nil {
			return nil, err
		}
		tried = !more
	}
}

// noteOf says what is the matter with a row, and what to do. It names no payment, and none to whom one may have passed.
func (c *confirming) noteOf(outcome string) string {
	switch outcome {
	case outcomeNotFound:
		note := "no payment that was sent has this reference, nor does one of this payee and amount wait that was sent by this day and has no other row"
		if c.reach.beyond {
			note += "; open items passed to another commissioner, which may have to import this"
		}
		return note
	case outcomeAmbiguous:
		return "it can be of any of several payments of this payee and amount, or say again what was said of one: send the row with the payment's reference"
	case outcomeDateDiffers:
		return "the payment was sent, or paid, after this day: ask the payer"
	case outcomeAmountDiffers:
		return "the payment was sent with another amount: ask the payer"
	case outcomeStateDiffers:
		return "the payment was confirmed otherwise before: ask the payer"
	}
	return ""
}

// look loads the payments that rows name by reference, and sorts the other rows by what they are matched by.
func (c *confirming) look(ctx context.Context, rows []fileRow) error {
	references := make(map[string]bool)
	for i := range rows {
		if rows[i].Reference != "" {
			references[rows[i].Reference] = true
		}
		if rows[i].Outcome != "" {
			c.before[rows[i].PaymentID] = c.before[rows[i].PaymentID].with(&rows[i])
		}
	}
	found, err := store.PaymentsByID(ctx, c.tx, c.reach.filter(), sortedKeys(references))
	for i := range found {
		c.payments[found[i].ID] = &found[i]
	}
	for i := range rows {
		row := &rows[i]
		id, both := c.both[row]
		switch {
		case both && c.payments[row.Reference] == nil:
			c.named[id] = c.named[id].with(row)
		case c.payments[row.Reference] != nil:
			c.named[row.Reference] = c.named[row.Reference].with(row)
		case row.Outcome == "" && row.PayeeCode == "":
			c.matches[row] = match{outcome: outcomeNotFound}
		case row.Outcome == "":
			key := alikeOf(row)
			c.alike[key] = append(c.alike[key], row)
			if !row.rejects() {
				c.paid[key.equals] = append(c.paid[key.equals], row)
			}
		}
	}
	return err
}

// confirmable returns why a row cannot take effect on a payment; empty means that it can. What was paid can be returned later.
func confirmable(p *store.PaymentRow, row *fileRow) string {
	const (
		sent     = paymentsv1.PaymentState_PAYMENT_STATE_SENT
		paid     = paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
		rejected = paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
		reissued = paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
	)
	switch {
	case p.Amount != row.Amount:
		return outcomeAmountDiffers
	case row.ConfirmedOn < p.SentOn, p.State == paid && row.rejects() && row.ConfirmedOn < p.ConfirmedOn:
		return outcomeDateDiffers
	case p.State == sent, p.State == paid && row.rejects():
		return ""
	case p.State == paid, row.rejects() && (p.State == rejected || p.State == reissued):
		return outcomeKnown
	default:
		return outcomeStateDiffers
	}
}

// settle records that a payment was paid, or rejected.
func (c *confirming) settle(ctx context.Context, p *store.PaymentRow, row *fileRow) error {
	if len(c.changed) >= confirmBatch || slices.Contains(c.changed, p) {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	from, to, kind := rules.Sent, rules.Settled, rules.Settlement
	move := itemMove{p.RunID, store.Sent, store.Settled}
	if p.State == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED {
		from, move.from = rules.Settled, store.Settled
	}
	row.Outcome, p.State = outcomeSettled, paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
	if row.rejects() {
		to, kind, move.to = rules.Payable, rules.Rejection, store.Rejected
		row.Outcome, p.State = outcomeRejected, paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
	}
	p.ConfirmedOn, p.PayerReference, p.RejectReason = row.ConfirmedOn, row.PayerReference, row.rejectReason
	p.Version++
	amounts, err := c.amountsOf(ctx, p)
	if err != nil {
		return err
	}
	if c.postings == nil {
		c.postings, c.items = make(map[string][]rules.Posting), make(map[itemMove][]string)
	}
	c.changed = append(c.changed, p)
	c.items[move] = append(c.items[move], p.PayeeCode)
	day, err := c.takesEffect(ctx, p)
	if err != nil {
		return err
	}
	c.postings[day] = append(c.postings[day], rules.Posting{
		CommissionerCode: p.CommissionerCode, Kind: kind, Source: "payment/" + p.ID, Entries: rules.Moved(p.PayeeCode, from, to, amounts),
	})
	var event proto.Message = &paymentsv1.PaymentSettled{Payment: paymentToProto(*p)}
	if row.rejects() {
		event = &paymentsv1.PaymentRejected{Payment: paymentToProto(*p)}
	}
	c.events = append(c.events, payeeEvent(p.CommissionerCode, p.PayeeCode, event))
	return nil
}

// takesEffect returns the day on which a confirmation is posted: the payer's, but in the books of a commissioner to which the payment
// passed not before it came there.
func (c *confirming) takesEffect(ctx context.Context, p *store.PaymentRow) (string, error) {
	if _, known := c.senders[p.RunID]; !known {
		run, err := store.Run(ctx, c.tx, p.RunID)
		if err != nil {
			return "", err
		}
		c.senders[p.RunID] = run.CommissionerCode
	}
	if c.senders[p.RunID] == p.CommissionerCode {
		return p.ConfirmedOn, nil
	}
	if c.arrivals[p.CommissionerCode] == nil {
		var err error
		if c.arrivals[p.CommissionerCode], err = store.Arrivals(ctx, c.tx, p.CommissionerCode); err != nil {
			return "", err
		}
	}
	return max(p.ConfirmedOn, c.arrivals[p.CommissionerCode][p.PayeeCode]), nil
}

// flush writes what the rows since the last one have changed.
func (c *confirming) flush(ctx context.Context) error {
	tx := c.tx.Tx
	changed := make([]store.PaymentRow, len(c.changed))
	for i, p := range c.changed {
		changed[i] = *p
	}
	if err := saved(store.UpdatePayments(ctx, tx, changed)); err != nil {
		return err
	}
	for move, payees := range c.items {
		if err := store.AdvanceRun(ctx, tx, move.runID, payees, move.from, move.to); err != nil {
			return err
		}
	}
	for _, text := range sortedKeys(c.postings) {
		day, err := period.ParseDate(text)
		if err != nil {
			return fault.Bug("payment %s confirmed on %q", c.postings[text][0].Source, text)
		}
		if err := store.Post(ctx, tx, c.tx.By.Subject, day, c.postings[text]); err != nil {
			return err
		}
	}
	_, err := outbox.AddAll(ctx, tx, c.events)
	c.changed, c.postings, c.items, c.events = nil, nil, nil, nil
	return err
}

// amountsOf returns what a payment consists of: its lines, less what was taken off for overpayments.
func (c *confirming) amountsOf(ctx context.Context, p *store.PaymentRow) ([]rules.Amount, error) {
	if c.amounts[p.RunID] == nil {
		var err error
		if c.amounts[p.RunID], err = amountsByPayment(ctx, c.tx, p.RunID); err != nil {
			return nil, err
		}
	}
	amounts := c.amounts[p.RunID][p.ID]
	var sum money.Pence
	for _, a := range amounts {
		sum += a.Pence
	}
	if sum != p.Amount {
		return nil, fault.Bug("payment %s of %d pence consists of %d", p.ID, p.Amount, sum)
	}
	return amounts, nil
}

// amountsByPayment returns what the payments of a run consist of: the lines, less what was taken off for overpayments.
func amountsByPayment(ctx context.Context, q sqldb.Querier, runID string) (map[string][]rules.Amount, error) {
	out := make(map[string][]rules.Amount)
	err := store.EachAmount(ctx, q, runID, func(a store.ItemAmount) error {
		out[a.PaymentID] = append(out[a.PaymentID], a.Amount)
		return nil
	})
	if err != nil {
		return nil, err
	}
	payees, err := store.FrozenPayees(ctx, q, runID)
	if err != nil {
		return nil, err
	}
	for _, p := range payees {
		taken, err := takenOff(ctx, q, runID, p)
		if err != nil {
			return nil, err
		}
		id := paymentID(runID, p.PayeeCode)
		out[id] = append(out[id], negated(taken)...)
	}
	return out, nil
}

// settleRun notes that every payment of a run is confirmed.
func (s *Service) settleRun(ctx context.Context, tx *change.Tx, runID string) error {
	run, err := store.Run(ctx, tx, runID)
	if err != nil || run.State != exported {
		return err
	}
	waiting, err := store.Payments(ctx, tx, store.PaymentFilter{RunID: runID, State: paymentsv1.PaymentState_PAYMENT_STATE_SENT})
	if err != nil || len(waiting) > 0 {
		return err
	}
	run.State, run.SettledAt = settled, sqldb.Micros(tx.Now())
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return err
	}
	return s.announceSettled(ctx, tx, run)
}
