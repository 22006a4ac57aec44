package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Stage is how far money has come.
type Stage int

// The stages; see the contract for what each holds.
const (
	Expense Stage = iota + 1
	Accrued
	Payable
	Sent
	Settled
	Recovered
	Transferred
)

// Kind is what a posting records.
type Kind int

// The kinds of posting.
const (
	Accrual Kind = iota + 1
	Approval
	Recovery
	Sending
	Settlement
	Rejection
	Reversal
	Transfer
	Cancellation
)

// Entry is one side of a posting: a debit above zero, a credit below.
type Entry struct {
	Fund      int
	PayeeCode string
	Stage     Stage
	Amount    money.Pence
	LineID    string
}

// Posting is a set of entries of one commissioner that sum to zero.
type Posting struct {
	CommissionerCode string
	Kind             Kind
	// Source is what caused it, such as run/16C-2022-04-1/U89141.
	Source   string
	Reverses string // posting that it undoes
	Entries  []Entry
}

// Check asserts that the posting balances and has something to say.
func (p *Posting) Check() error {
	var sum money.Pence
	for i := range p.Entries {
		var err error
		if sum, err = sum.Add(p.Entries[i].Amount); err != nil {
			return err
		}
		if p.Entries[i].Amount == 0 {
			return fault.Bug("posting of %s has an entry of nothing", p.Source)
		}
	}
	if sum != 0 || len(p.Entries) < 2 || p.CommissionerCode == "" {
		return fault.Bug("posting of %s for %q: %d entries sum to %d", p.Source, p.CommissionerCode, len(p.Entries), sum)
	}
	return nil
}

// Amount is part of a payee's money, for one fund and mostly for one line.
type Amount struct {
	Fund   int
	LineID string
	Pence  money.Pence
}

// Moved returns the entries that move amounts of a payee from one credit stage to the next: what is owed leaves the one and
// stands in the other.
func Moved(payee string, from, to Stage, amounts []Amount) []Entry {
	out := make([]Entry, 0, 2*len(amounts))
	for _, a := range amounts {
		if a.Pence == 0 {
			continue
		}
		out = append(out,
			Entry{Fund: a.Fund, PayeeCode: payee, Stage: from, Amount: a.Pence, LineID: a.LineID},
			Entry{Fund: a.Fund, PayeeCode: payee, Stage: to, Amount: -a.Pence, LineID: a.LineID})
	}
	return out
}

// Cleared returns the entries by which the lines of a payee, to whom nothing is sent, clear as much of what it owes: the lines leave
// what is payable one by one, and the debts what is to be recovered, fund by fund. Both come to the same.
func Cleared(payee string, lines, taken []Amount) []Entry {
	out := make([]Entry, 0, len(lines)+len(taken))
	for _, a := range lines {
		out = append(out, Entry{Fund: a.Fund, PayeeCode: payee, Stage: Payable, Amount: a.Pence, LineID: a.LineID})
	}
	for _, a := range taken {
		out = append(out, Entry{Fund: a.Fund, PayeeCode: payee, Stage: Recovered, Amount: -a.Pence, LineID: a.LineID})
	}
	return out
}

// ByFund adds up amounts fund by fund, in order of fund; funds that come to nothing are left out.
func ByFund(amounts []Amount) ([]Amount, error) {
	sums := make(map[int]money.Pence)
	for _, a := range amounts {
		sum, err := sums[a.Fund].Add(a.Pence)
		if err != nil {
			return nil, err
		}
		sums[a.Fund] = sum
	}
	var out []Amount
	for fund, sum := range sums {
		if sum != 0 {
			out = append(out, Amount{Fund: fund, Pence: sum})
		}
	}
	slices.SortFunc(out, func(a, b Amount) int { return cmp.Compare(a.Fund, b.Fund) })
	return out, nil
}

// Share divides what is recovered from a payee over the funds in which it owes. Owed holds the balance of each fund's account for
// recovery, a debt above zero. What is recovered in full clears every fund; a part is taken from the funds in debt, in
// proportion. The parts sum to the whole.
func Share(recovered money.Pence, owed []Amount) ([]Amount, error) {
	var outstanding, debts money.Pence
	weights := make([]*big.Rat, len(owed))
	for i, a := range owed {
		weights[i] = new(big.Rat).SetInt64(max(0, int64(a.Pence)))
		var err error
		if outstanding, err = outstanding.Add(a.Pence); err != nil {
			return nil, err
		}
		debts += max(0, a.Pence)
	}
	if recovered <= 0 || recovered > outstanding {
		return nil, fault.Bug("recover %d of %d", recovered, outstanding)
	}
	if recovered == outstanding {
		return slices.Clone(owed), nil
	}
	parts, err := money.Allocate(recovered, weights)
	if err != nil {
		return nil, err
	}
	var out []Amount
	for i, part := range parts {
		if part > max(0, owed[i].Pence) {
			return nil, fault.Bug("recover %d of %d in fund %d of %d in debt", part, owed[i].Pence, owed[i].Fund, debts)
		}
		if part != 0 {
			out = append(out, Amount{Fund: owed[i].Fund, Pence: part})
		}
	}
	return out, nil
}
