package payments

import (
	"cmp"
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// equals is what payments have in common that rows without a reference can be of, and alike what such rows have that say the same.
type (
	equals struct {
		payee  string
		amount money.Pence
	}
	alike struct {
		equals
		day    string
		status string
	}
)

func alikeOf(row *fileRow) alike {
	return alike{equals{row.PayeeCode, row.Amount}, row.ConfirmedOn, row.Status}
}

// sayings are what rows of a file say of a payment.
type sayings struct{ paid, refused, cameBack bool }

func (s sayings) with(row *fileRow) sayings {
	switch {
	case !row.rejects():
		s.paid = true
	case row.cameBack:
		s.cameBack = true
	default:
		s.refused = true
	}
	return s
}

// include tells whether a row of its own says of the payment what another one says, so that the other is of another payment. What came
// back was paid before, and what was paid can come back.
func (s sayings) include(row *fileRow) bool {
	if row.rejects() {
		return s.refused || s.cameBack
	}
	return s.paid || s.refused
}

// contradict tells whether rows of one day say of a payment that it was paid, and that it was not.
func (s sayings) contradict() bool { return s.paid && s.refused }

// match is what a row is found to be: of a payment, or with an outcome why it has no effect.
type match struct {
	payment *store.PaymentRow
	outcome string
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

// share finds which payments the rows of a file that are alike are of.
func (c *confirming) share(ctx context.Context, rows []*fileRow) error {
	candidates, err := c.candidates(ctx, rows[0])
	if err != nil {
		return err
	}
	in := rules.Alike{Rows: make([]rules.Confirmation, len(rows)), Candidates: candidates, PaidToo: rows[0].rejects() && c.paidToo(rows[0])}
	for i, row := range rows {
		in.Rows[i] = rules.Confirmation{Words: rules.Words{Reference: row.Reference, PayerReference: row.PayerReference}, CameBack: row.cameBack}
	}
	outcomes := map[rules.Verdict]string{rules.Unfound: outcomeNotFound, rules.Ambiguous: outcomeAmbiguous, rules.Known: outcomeKnown}
	for i, found := range in.ShareOut() {
		c.matches[rows[i]] = match{payment: c.payments[found.PaymentID], outcome: outcomes[found.Verdict]}
		if found.Verdict == rules.Effective {
			c.named[found.PaymentID] = c.named[found.PaymentID].with(rows[i])
		}
	}
	return nil
}

// paidToo tells whether rows of the file say that payments which a row rejects were paid, and are of none yet: it can be of those too,
// wherever in the file they stand.
func (c *confirming) paidToo(rejects *fileRow) bool {
	return slices.ContainsFunc(c.paid[alikeOf(rejects).equals], func(row *fileRow) bool {
		found, done := c.matches[row]
		return row.ConfirmedOn <= rejects.ConfirmedOn && (!done || found.outcome == outcomeAmbiguous)
	})
}

// candidates returns the payments that a row without the reference of one can be of, oldest first: those of which the same was said
// before, and those on which it can have an effect.
func (c *confirming) candidates(ctx context.Context, row *fileRow) ([]rules.Candidate, error) {
	by := c.reach.filter()
	by.PayeeCode = row.PayeeCode
	found, err := store.Payments(ctx, c.tx, by)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(p store.PaymentRow) bool { return p.Amount != row.Amount || c.before[p.ID].include(row) })
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	words, err := store.WordsOf(ctx, c.tx, ids, row.ConfirmedOn, row.Status)
	if err != nil {
		return nil, err
	}
	var out []rules.Candidate
	for i := range slices.Backward(found) {
		p := &found[i]
		if met := c.payments[p.ID]; met != nil {
			p = met // what earlier rows made of it may not be written yet
		}
		c.payments[p.ID] = p
		why, named := confirmable(p, row), c.named[p.ID].include(row)
		said := words[p.ID]
		if len(said) == 0 && !named && p.ConfirmedOn == row.ConfirmedOn && why == outcomeKnown {
			said = []rules.Words{{Reference: p.ID, PayerReference: p.PayerReference}} // by a file of before its words were kept
		}
		if len(said) > 0 || why == "" && !named {
			out = append(out, rules.Candidate{
				PaymentID: p.ID, Said: said, Named: named, Paid: p.State == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED || c.named[p.ID].paid,
			})
		}
	}
	return out, nil
}

// mayContradict tells whether rows say of payments of one payee and amount on one day that they were paid, and that they were not.
func (c *confirming) mayContradict(rows []fileRow) bool {
	type key struct {
		equals
		day string
	}
	said := make(map[key]sayings)
	for i := range rows {
		row := &rows[i]
		of := key{equals{row.PayeeCode, row.Amount}, row.ConfirmedOn}
		if p := c.payments[row.Reference]; p != nil {
			of.payee = p.PayeeCode
		}
		said[of] = said[of].with(row)
		if said[of].contradict() {
			return true
		}
	}
	return false
}

// contradictions notes the rows that say of one payment on one day that it was paid, and that it was not, and tells whether it found any
// that were not noted. It moves the payments, but writes nothing. Of each day it takes first what was paid, so that nothing depends on the
// order of the rows.
func (c *confirming) contradictions(ctx context.Context, rows []fileRow) (more bool, err error) {
	type key struct{ payment, day string }
	said, of := make(map[key]sayings), make(map[key][]*fileRow)
	order := make([]*fileRow, len(rows))
	for i := range rows {
		order[i] = &rows[i]
	}
	slices.SortStableFunc(order, func(a, b *fileRow) int {
		return cmp.Or(cmp.Compare(a.ConfirmedOn, b.ConfirmedOn), cmp.Compare(a.Status, b.Status))
	})
	for _, row := range order {
		id, both := c.both[row]
		switch {
		case both:
		case row.Outcome != "":
			id = row.PaymentID
		default:
			found, err := c.matching(ctx, row)
			if err != nil {
				return false, err
			}
			if found.payment == nil || found.payment.Amount != row.Amount {
				continue
			}
			id = found.payment.ID
			if found.outcome == "" && confirmable(found.payment, row) == "" {
				found.payment.State, found.payment.ConfirmedOn = row.makes(), row.ConfirmedOn
			}
		}
		at := key{id, row.ConfirmedOn}
		said[at] = said[at].with(row)
		of[at] = append(of[at], row)
	}
	for at, rows := range of {
		for _, row := range rows {
			if _, known := c.both[row]; said[at].contradict() && row.Outcome == "" && !known {
				c.both[row], more = at.payment, true
			}
		}
	}
	return more, nil
}
