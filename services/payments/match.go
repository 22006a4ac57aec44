package payments

import (
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// alike is what rows without the reference of a payment are matched by.
type alike struct {
	payee  string
	amount money.Pence
	day    string
	status string
}

func alikeOf(row *fileRow) alike {
	return alike{row.PayeeCode, row.Amount, row.ConfirmedOn, row.Status}
}

// match is what a row is found to be: of a payment, or with an outcome why it has no effect.
type match struct {
	payment *store.PaymentRow
	outcome string
	note    string
}

// repetition tells whether two statements that are alike are one.
type repetition int

const (
	another repetition = iota
	perhaps
	repeated
)

// earlier is a payment of which files before this one have said the same, with the words they used.
type earlier struct {
	payment *store.PaymentRow
	words   []store.Words
}

// saidBy tells whether a row says of the payment once more what was said. The payer's references tell payments apart; a row that has
// none, where the earlier one had, may be either.
func (e *earlier) saidBy(row *fileRow) repetition {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	out := perhaps
	for _, was := range e.words {
		own := was.Reference == e.payment.ID
		switch {
		case differ(was.PayerReference, row.PayerReference), !own && differ(was.Reference, row.Reference):
			out = another
		case was.PayerReference == row.PayerReference && (row.PayerReference != "" || was.Reference == row.Reference):
			return repeated
		}
	}
	return out
}

// matching finds the payment a row is of: by reference, else among those of the payee and amount.
func (c *confirming) matching(ctx context.Context, row *fileRow) (match, error) {
	if p := c.payments[row.Reference]; p != nil {
		return match{payment: p}, nil
	}
	if _, done := c.matches[row]; !done {
		if err := c.share(ctx, c.alike[alikeOf(row)]); err != nil {
			return match{}, err
		}
	}
	return c.matches[row], nil
}

// share finds which payments the rows of a file that are alike are of. Two rows of one file are two payments; a row that an earlier file
// had in the same words is the same. What is left is of the payments that wait, if each of them has its row.
func (c *confirming) share(ctx context.Context, rows []*fileRow) error {
	said, waiting, err := c.candidates(ctx, rows[0])
	if err != nil {
		return err
	}
	var left []*fileRow
	for _, row := range rows {
		at := slices.IndexFunc(said, func(e earlier) bool { return e.saidBy(row) == repeated })
		if at < 0 {
			left = append(left, row)
			continue
		}
		known := match{payment: said[at].payment, outcome: outcomeKnown}
		if len(waiting) > 0 {
			known.note = "said before in the same words; if this is another payment, send the row with its reference"
		}
		c.matches[row] = known
		said = slices.Delete(said, at, at+1)
	}
	said = slices.DeleteFunc(said, func(e earlier) bool { return c.hasRow(e.payment, rows[0]) })
	doubtful := slices.DeleteFunc(slices.Clone(left), func(row *fileRow) bool {
		return !slices.ContainsFunc(said, func(e earlier) bool { return e.saidBy(row) == perhaps })
	})
	fresh := slices.DeleteFunc(slices.Clone(left), func(row *fileRow) bool { return slices.Contains(doubtful, row) })
	if len(fresh) < len(waiting) && len(left) < len(said)+len(waiting) {
		for _, row := range left {
			c.matches[row] = match{outcome: outcomeAmbiguous}
		}
		return nil
	}
	for _, row := range doubtful {
		at := slices.IndexFunc(said, func(e earlier) bool { return e.saidBy(row) == perhaps })
		if at < 0 {
			fresh = append(fresh, row)
			continue
		}
		c.matches[row] = match{payment: said[at].payment, outcome: outcomeKnown}
		said = slices.Delete(said, at, at+1)
	}
	for i, row := range fresh {
		if i >= len(waiting) {
			c.matches[row] = match{outcome: outcomeNotFound}
			continue
		}
		c.matches[row] = match{payment: waiting[i]}
		c.taken[waiting[i].ID] = true
	}
	return nil
}

// hasRow tells whether the file names a payment in a row of its own, so that rows like this one are of others. Before it came back, it
// was paid.
func (c *confirming) hasRow(p *store.PaymentRow, row *fileRow) bool {
	return c.named[p.ID] || c.cameBack[p.ID] && row.rejects()
}

// candidates returns the payments that a row without the reference of one can be of, oldest first: those of which the same was said
// before, and those that were sent by then and wait.
func (c *confirming) candidates(ctx context.Context, row *fileRow) (said []earlier, waiting []*store.PaymentRow, err error) {
	by := c.reach.filter()
	by.PayeeCode = row.PayeeCode
	found, err := store.Payments(ctx, c.tx, by)
	if err != nil {
		return nil, nil, err
	}
	found = slices.DeleteFunc(found, func(p store.PaymentRow) bool { return p.Amount != row.Amount || c.before[p.ID] })
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	words, err := store.WordsOf(ctx, c.tx, ids, row.ConfirmedOn, row.Status)
	if err != nil {
		return nil, nil, err
	}
	for i := range slices.Backward(found) {
		p := &found[i]
		if met := c.payments[p.ID]; met != nil {
			p = met // what earlier rows made of it may not be written yet
		}
		c.payments[p.ID] = p
		of := words[p.ID]
		if len(of) == 0 && !c.hasRow(p, row) && p.ConfirmedOn == row.ConfirmedOn && confirmable(p, row) == outcomeKnown {
			of = []store.Words{{Reference: p.ID, PayerReference: p.PayerReference}} // by a file of before its words were kept
		}
		switch {
		case len(of) > 0:
			said = append(said, earlier{payment: p, words: of})
		case p.State == paymentsv1.PaymentState_PAYMENT_STATE_SENT && p.SentOn <= row.ConfirmedOn && !c.hasRow(p, row) && !c.taken[p.ID]:
			waiting = append(waiting, p)
		}
	}
	return said, waiting, nil
}
