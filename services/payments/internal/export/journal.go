package export

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// renderJournal writes a debit for each line and, after each payment, what it owes to the payables control, entity by entity.
func renderJournal(w io.Writer, profile *Profile, b *Batch, c *Coding) error {
	balances := make([]map[string]money.Pence, len(b.Payments))
	for i := range b.Payments {
		var err error
		if balances[i], err = byEntity(b.Payments[i].Lines); err != nil {
			return err
		}
	}
	return writeSheet(w, profile, func(put func(record) error) error {
		books := make(map[string]*book)
		post := func(r record, entity string, amount money.Pence) error {
			if books[entity] == nil {
				books[entity] = new(book)
			}
			if err := books[entity].post(amount); err != nil {
				return err
			}
			if err := r.debit(profile.SignRule, amount); err != nil {
				return err
			}
			return put(r)
		}
		for i := range b.Payments {
			p := &b.Payments[i]
			for j := range p.Lines {
				r := b.line(c, p, &p.Lines[j])
				r[FieldRowType], r[FieldRowNumber] = text("LINE"), text(fmt.Sprint(j+1))
				if err := post(r, p.Lines[j].Codes.Entity, p.Lines[j].Amount); err != nil {
					return err
				}
			}
			number := len(p.Lines)
			for _, entity := range slices.Sorted(maps.Keys(balances[i])) {
				owed, err := money.Pence(0).Sub(balances[i][entity])
				if err != nil {
					return err
				}
				if owed == 0 {
					continue
				}
				number++
				r, control := b.payment(c, p), c.Control
				if p.Reversal {
					control = p.Control
				}
				control.Entity = entity
				r.code(&control)
				r[FieldRowType], r[FieldRowNumber] = text("CONTROL"), text(fmt.Sprint(number))
				r[FieldDescription] = text(p.described("Payables " + p.Reference))
				if err := post(r, entity, owed); err != nil {
					return err
				}
			}
		}
		return balanced(b.name(), books)
	})
}

// byEntity sums the lines of a payment by the entity they are posted to.
func byEntity(lines []Line) (map[string]money.Pence, error) {
	out := make(map[string]money.Pence)
	for i := range lines {
		entity := lines[i].Codes.Entity
		sum, err := out[entity].Add(lines[i].Amount)
		if err != nil {
			return nil, err
		}
		out[entity] = sum
	}
	return out, nil
}

// book is what was posted to one entity.
type book struct{ debits, credits money.Pence }

func (k *book) post(amount money.Pence) (err error) {
	if amount >= 0 {
		k.debits, err = k.debits.Add(amount)
	} else {
		k.credits, err = k.credits.Sub(amount)
	}
	return err
}

// balanced holds that debits equal credits in every entity, hence in the whole journal.
func balanced(name string, books map[string]*book) error {
	for entity, k := range books {
		if k.debits != k.credits {
			return fault.Bug("journal %s of entity %q has debits %s and credits %s", name, entity, k.debits, k.credits)
		}
	}
	return nil
}

// debit sets the amount columns of a record; a negative amount is a credit.
func (r record) debit(rule SignRule, amount money.Pence) error {
	delete(r, FieldAmount)
	opposite, err := money.Pence(0).Sub(amount)
	if err != nil {
		return err
	}
	switch {
	case rule == DebitPositive:
		r[FieldAmount] = pounds(amount)
	case rule == CreditPositive:
		r[FieldAmount] = pounds(opposite)
	case amount >= 0:
		r[FieldDebit] = pounds(amount)
	default:
		r[FieldCredit] = pounds(opposite)
	}
	return nil
}
