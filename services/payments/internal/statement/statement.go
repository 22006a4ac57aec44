// Package statement draws up what a PCN was owed and paid in a month or a financial year, as CSV and as a document to print
// and sign. It is free of input, output and clocks: the same statement makes the same bytes.
package statement

import (
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Statement is a PCN's account with one commissioner over a period. Its sums must agree:
//
//	Payments + Corrections = Total
//	Opening + Total + Transfers − what counts of Settled = Closing
//
// Opening and Closing are owed to the PCN where positive, and to be recovered from it where negative. ReconcileOnly and Held
// are shown for information and are in neither sum: a line held is also among the lines of the period that scheduled it.
type Statement struct {
	// Commissioner owes the money, PCN earns it, Payee receives it; without a code where there are several payees.
	Commissioner, PCN, Payee Party
	// Number names the statement, such as 16C-U89141-2022-04.
	Number string
	// Period names the period in words, such as April 2022.
	Period string
	// From and To are the first and the last month of the period.
	From, To period.Month
	// DrawnUp is when the statement was made; it must be set. KnownAt is the moment whose knowledge it shows.
	DrawnUp, KnownAt time.Time
	// Opening is the balance at the beginning.
	Opening money.Pence
	// Payments are the ordinary lines of the period.
	Payments []Line
	// Corrections are lines for earlier months, and lines that adjust others.
	Corrections []Line
	// ReconcileOnly are lines that PCSE itself pays.
	ReconcileOnly []Line
	// Transfers are what passed to or from another commissioner in the period.
	Transfers []Transfer
	// Recoveries are the debts of the PCN with their movements.
	Recoveries []Recovery
	// Settled is what was sent to the payee in the period, or tried.
	Settled []Settlement
	// Held are lines of the period that may not be sent yet, each once.
	Held []HeldLine
	// Total is what the period's lines come to.
	Total money.Pence
	// Closing is the balance at the end.
	Closing money.Pence
	// Entitlements say what remains of each payment's year.
	Entitlements []Entitlement
	// Notes are paragraphs for the reader.
	Notes []string
}

// Party is an organisation.
type Party struct {
	Code, Name string
}

// Line is one amount with what it rests on.
type Line struct {
	// LineID is the line's identifier in its fund.
	LineID string
	// PaymentCode and PaymentName say what is paid, such as CORE_PCN.
	PaymentCode, PaymentName string
	// Payee receives the amount.
	Payee Party
	// Month is the run that scheduled the line; ForMonth is the month the amount is for.
	Month, ForMonth period.Month
	// Fund scheduled the line, such as core; FundingSource is the account the money comes from.
	Fund, FundingSource string
	// PracticeCode names the practice the payment arises from, if any.
	PracticeCode string
	// Factors are the rates and quantities the amount is computed from, in order.
	Factors []Factor
	// Instalments is the number of months the product of the factors is spread over; 0 and 1 mean that it is not.
	Instalments int
	// Convention names how instalments are rounded. Clause is what the payment rests on.
	Convention, Clause string
	// Amount is signed.
	Amount money.Pence
	// Adjusts is the line this one adjusts, and Cause says why; both are empty for a first line.
	Adjusts, Cause string
	// Confidence is the least among the figures used, such as official.
	Confidence string
	// State is how far the line is settled, such as paid.
	State string
}

// Factor is one rate and what it is multiplied by.
type Factor struct {
	// RateGBP is an exact decimal of pounds, such as 1.50.
	RateGBP string
	// Per is what the rate is for, such as "registered patient".
	Per string
	// Quantity is an exact decimal, such as 53674.
	Quantity string
	// Unit is what is counted, such as "registered patients".
	Unit string
	// Clause and Source say where the rate comes from; Confidence is the rate's.
	Clause, Source, Confidence string
}

// Transfer is what passed between the commissioner and another when the one took over from the other.
type Transfer struct {
	Date period.Date
	// Reference names the move.
	Reference string
	// Other is the other commissioner.
	Other Party
	// Amount is added to the balance: owed to the PCN and taken over, or owed by it and passed on, where it is above zero.
	Amount money.Pence
}

// Recovery is what a payee was overpaid for the PCN. Every amount is positive where the PCN owes:
//
//	BroughtForward + Arisen + Passed − Recovered = CarriedForward
type Recovery struct {
	Payee Party
	// BroughtForward is what was owed at the beginning of the period.
	BroughtForward money.Pence
	// Arisen is what the period added.
	Arisen money.Pence
	// Passed came from another commissioner, or below zero went to one.
	Passed money.Pence
	// Recovered was taken out of payments; it leaves the balance as it is, because less was sent.
	Recovered money.Pence
	// CarriedForward is what is owed at the end.
	CarriedForward money.Pence
}

// Settlement is the PCN's part of one sum sent to a payee, or tried.
type Settlement struct {
	Date      period.Date
	Reference string
	Payee     Party
	// State is approved, sent, paid or rejected.
	State string
	// Amount is positive where money goes to the payee, and negative where overpayments were taken off what it got for other PCNs.
	Amount money.Pence
	// Counts says whether Amount reduces what is owed; a rejected one does not.
	Counts bool
}

// HeldLine is a line that may not be sent yet.
type HeldLine struct {
	Line
	// Codes are stable, with a blank between. Reason says why in words, and Remedy what to do about it, if that is known.
	Codes, Reason, Remedy string
}

// Entitlement is what a payment comes to in its year.
type Entitlement struct {
	PaymentCode, PaymentName string
	// Period names the year or the part of it, such as 2022/23.
	Period string
	// Known tells a year whose amount is known from one that waits for a figure; the latter has no amounts.
	Known bool
	// Year − Scheduled = Remaining.
	Year, Scheduled, Remaining money.Pence
	// Confidence is the least among the figures used.
	Confidence string
}

// figures are the sums of a statement's parts.
type figures struct {
	payments, corrections, reconcileOnly, held, paid, passed money.Pence
	recovery                                                 Recovery
}

// check returns the sums, or a bug if a part does not add up to what the statement says.
func (s *Statement) check() (f figures, err error) {
	if s.DrawnUp.IsZero() || s.KnownAt.IsZero() {
		return f, fault.Bug("statement %s: when it was drawn up, or what was known, is not set", s.Number)
	}
	if f, err = s.sums(); err != nil {
		return f, err
	}
	if total, err := money.Sum(f.payments, f.corrections); err != nil || total != s.Total {
		return f, disagree(s.Number, "total", total, s.Total, err)
	}
	owed, err := money.Sum(s.Opening, s.Total, f.passed)
	if err != nil {
		return f, err
	}
	if closing, err := owed.Sub(f.paid); err != nil || closing != s.Closing {
		return f, disagree(s.Number, "closing balance", closing, s.Closing, err)
	}
	for i := range s.Entitlements {
		e := &s.Entitlements[i]
		if remaining, err := e.Year.Sub(e.Scheduled); err != nil || remaining != e.Remaining {
			return f, disagree(s.Number, "remainder of "+e.PaymentCode, remaining, e.Remaining, err)
		}
	}
	return f, nil
}

func disagree(number, what string, computed, stated money.Pence, err error) error {
	if err != nil {
		return err
	}
	return fault.Bug("statement %s: the %s is %s by its parts and %s as stated", number, what, computed, stated)
}

func (s *Statement) sums() (f figures, err error) {
	if f.payments, err = sum(s.Payments, lineAmount); err != nil {
		return f, err
	}
	if f.corrections, err = sum(s.Corrections, lineAmount); err != nil {
		return f, err
	}
	if f.reconcileOnly, err = sum(s.ReconcileOnly, lineAmount); err != nil {
		return f, err
	}
	if f.held, err = sum(s.Held, func(l *HeldLine) money.Pence { return l.Amount }); err != nil {
		return f, err
	}
	if f.paid, err = sum(s.Settled, counted); err != nil {
		return f, err
	}
	if f.passed, err = sum(s.Transfers, func(t *Transfer) money.Pence { return t.Amount }); err != nil {
		return f, err
	}
	if f.recovery, err = s.recoveries(); err != nil {
		return f, err
	}
	return f, nil
}

// recoveries returns the sum of all debts, each of which must add up.
func (s *Statement) recoveries() (total Recovery, err error) {
	for i := range s.Recoveries {
		r := &s.Recoveries[i]
		carried, err := r.left()
		if err != nil || carried != r.CarriedForward {
			return total, disagree(s.Number, "debt of "+r.Payee.Code, carried, r.CarriedForward, err)
		}
	}
	for _, part := range []struct {
		sum *money.Pence
		of  func(*Recovery) money.Pence
	}{
		{&total.BroughtForward, func(r *Recovery) money.Pence { return r.BroughtForward }},
		{&total.Arisen, func(r *Recovery) money.Pence { return r.Arisen }},
		{&total.Passed, func(r *Recovery) money.Pence { return r.Passed }},
		{&total.Recovered, func(r *Recovery) money.Pence { return r.Recovered }},
		{&total.CarriedForward, func(r *Recovery) money.Pence { return r.CarriedForward }},
	} {
		if *part.sum, err = sum(s.Recoveries, part.of); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (r *Recovery) left() (money.Pence, error) {
	owed, err := money.Sum(r.BroughtForward, r.Arisen, r.Passed)
	if err != nil {
		return 0, err
	}
	return owed.Sub(r.Recovered)
}

func sum[T any](items []T, of func(*T) money.Pence) (total money.Pence, err error) {
	for i := range items {
		if total, err = total.Add(of(&items[i])); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func lineAmount(l *Line) money.Pence { return l.Amount }

// counted returns what a settlement takes off the balance.
func counted(s *Settlement) money.Pence {
	if !s.Counts {
		return 0
	}
	return s.Amount
}

// byMonth groups lines by the run that scheduled them, the earliest first; within a run they keep their order.
func byMonth(lines []Line) [][]Line {
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b Line) int { return a.Month.Compare(b.Month) })
	var groups [][]Line
	for i := range sorted {
		if i == 0 || sorted[i].Month != sorted[i-1].Month {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], sorted[i])
	}
	return groups
}

// fundSum is what a fund pays in the period.
type fundSum struct {
	fund                         string
	payments, corrections, total money.Pence
}

// byFund sums payments and corrections by fund, in order of name.
func (s *Statement) byFund() ([]fundSum, error) {
	var names []string
	parts := make(map[string]*fundSum)
	add := func(lines []Line, to func(*fundSum) *money.Pence) (err error) {
		for i := range lines {
			part := parts[lines[i].Fund]
			if part == nil {
				part = &fundSum{fund: lines[i].Fund}
				parts[part.fund], names = part, append(names, part.fund)
			}
			if *to(part), err = to(part).Add(lines[i].Amount); err != nil {
				return err
			}
			if part.total, err = part.total.Add(lines[i].Amount); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(s.Payments, func(f *fundSum) *money.Pence { return &f.payments }); err != nil {
		return nil, err
	}
	if err := add(s.Corrections, func(f *fundSum) *money.Pence { return &f.corrections }); err != nil {
		return nil, err
	}
	slices.Sort(names)
	out := make([]fundSum, len(names))
	for i, name := range names {
		out[i] = *parts[name]
	}
	return out, nil
}
