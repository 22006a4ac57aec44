package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// RunItem is the amount of one line in a run.
type RunItem struct {
	LineID    string
	Fund      int
	PayeeCode string
	PayeeName string
	Amount    money.Pence
	Held      bool
}

// Debt is what a payee was overpaid in earlier runs and has not given back.
type Debt struct {
	PayeeCode string
	PayeeName string
	// Outstanding is above zero.
	Outstanding money.Pence
	// Instalment is the most that one run takes off; 0 takes off all it can.
	Instalment money.Pence
	// NotYet is true if what was agreed with the payee starts after the month of the run, which then takes nothing off.
	NotYet bool
}

// PayeeTotal is what a run comes to for one payee. Net = LinesTotal + BroughtForward − CarriedForward, and is never below zero:
// an overpayment is carried, not sent.
type PayeeTotal struct {
	PayeeCode string
	PayeeName string
	Lines     int
	// LinesTotal is the sum of the lines that are not held.
	LinesTotal money.Pence
	// BroughtForward is the part of earlier overpayments taken off, not above zero.
	BroughtForward money.Pence
	// CarriedForward is the overpayment left to later runs, not above zero.
	CarriedForward money.Pence
	Net            money.Pence
	HeldLines      int
	HeldTotal      money.Pence
}

// Totals adds up a run.
type Totals struct {
	Lines, Payees, Payments, HeldLines                    int
	LinesTotal, BroughtForward, CarriedForward, Net, Held money.Pence
}

// PayeeTotals works out what is sent to each payee: the sum of the lines, less what is recovered of earlier overpayments; a sum
// below zero is carried to later runs. It asserts that nothing is lost on the way. Payees come in order of code.
func PayeeTotals(items []RunItem, debts []Debt) ([]PayeeTotal, error) {
	byPayee := make(map[string]*PayeeTotal)
	for i := range items {
		if err := addItem(byPayee, &items[i]); err != nil {
			return nil, err
		}
	}
	owed := make(map[string]Debt, len(debts))
	for _, debt := range debts {
		if debt.Outstanding <= 0 || debt.Instalment < 0 {
			return nil, fault.Bug("debt of %s: outstanding %d, instalment %d", debt.PayeeCode, debt.Outstanding, debt.Instalment)
		}
		owed[debt.PayeeCode] = debt
	}
	out := make([]PayeeTotal, 0, len(byPayee))
	for code, total := range byPayee {
		settle(total, owed[code])
		if total.LinesTotal+total.BroughtForward-total.CarriedForward != total.Net || total.Net < 0 {
			return nil, fault.Bug("payee %s: %d + %d − %d is not %d", code, total.LinesTotal, total.BroughtForward, total.CarriedForward, total.Net)
		}
		out = append(out, *total)
	}
	slices.SortFunc(out, func(a, b PayeeTotal) int { return cmp.Compare(a.PayeeCode, b.PayeeCode) })
	return out, nil
}

func addItem(byPayee map[string]*PayeeTotal, item *RunItem) (err error) {
	total := byPayee[item.PayeeCode]
	if total == nil {
		total = &PayeeTotal{PayeeCode: item.PayeeCode, PayeeName: item.PayeeName}
		byPayee[item.PayeeCode] = total
	}
	if item.Held {
		total.HeldLines++
		total.HeldTotal, err = total.HeldTotal.Add(item.Amount)
		return err
	}
	if item.PayeeCode == "" {
		return fault.Bug("line %s has no payee and is not held", item.LineID)
	}
	total.Lines++
	total.LinesTotal, err = total.LinesTotal.Add(item.Amount)
	return err
}

// settle decides what is brought and carried forward.
func settle(total *PayeeTotal, debt Debt) {
	total.CarriedForward = min(total.LinesTotal, 0)
	taken := min(debt.Outstanding, max(total.LinesTotal, 0))
	switch {
	case debt.NotYet:
		taken = 0
	case debt.Instalment > 0:
		taken = min(taken, debt.Instalment)
	}
	total.BroughtForward = -taken
	total.Net = max(total.LinesTotal, 0) - taken
}

// AddUp sums the payees of a run.
func AddUp(payees []PayeeTotal) (Totals, error) {
	var t Totals
	for i := range payees {
		p := &payees[i]
		t.Lines, t.HeldLines = t.Lines+p.Lines, t.HeldLines+p.HeldLines
		if p.Lines > 0 {
			t.Payees++
		}
		if p.Net > 0 {
			t.Payments++
		}
		for _, sum := range []struct {
			into *money.Pence
			of   money.Pence
		}{
			{&t.LinesTotal, p.LinesTotal},
			{&t.BroughtForward, p.BroughtForward},
			{&t.CarriedForward, p.CarriedForward},
			{&t.Net, p.Net},
			{&t.Held, p.HeldTotal},
		} {
			next, err := sum.into.Add(sum.of)
			if err != nil {
				return t, err
			}
			*sum.into = next
		}
	}
	if t.LinesTotal+t.BroughtForward-t.CarriedForward != t.Net {
		return t, fault.Bug("run: %d + %d − %d is not %d", t.LinesTotal, t.BroughtForward, t.CarriedForward, t.Net)
	}
	return t, nil
}

// Freeze returns the hash total of a run that is put forward: the SHA-256, in hexadecimal, of a text with a row for each line that
// is not held, in order of line id: identifier, space, pence, line feed.
func Freeze(items []RunItem) string {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b RunItem) int { return cmp.Compare(a.LineID, b.LineID) })
	sum := sha256.New()
	for i := range items {
		if items[i].Held {
			continue
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n", items[i].LineID, items[i].Amount)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Consent is what is asked of an approver.
type Consent struct {
	Approver    string
	SubmittedBy string
	// PolicyBy is who set the policy in force, empty if there is none.
	PolicyBy string
	Approved []string // those who have approved before
	Net      money.Pence
	// Limit is the largest net sum the approver may consent to; nil for any.
	Limit *money.Pence
}

// Check refuses an approver who put the run forward, has approved it before, or may not approve so much.
func (c Consent) Check() error {
	switch {
	case c.Approver == c.SubmittedBy:
		return fault.New(fault.Denied, ReasonApproverIsPreparer, "the run was put forward by the same person; another has to approve it")
	case slices.Contains(c.Approved, c.Approver):
		return fault.New(fault.Denied, ReasonApproverHasApproved, "this person has approved the run before; a second approval is another person's")
	case c.Approver == c.PolicyBy:
		return fault.New(fault.Denied, ReasonApproverSetPolicy, "this person has set who may approve how much; another has to approve under it")
	case c.Limit != nil && c.Net > *c.Limit:
		return fault.New(fault.Denied, ReasonApproverLimitExceeded, "the run comes to %s, and this person may approve up to %s", c.Net, *c.Limit).
			With("net_pence", int64(c.Net)).With("limit_pence", int64(*c.Limit))
	}
	return nil
}
