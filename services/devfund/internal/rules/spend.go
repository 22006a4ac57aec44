package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Spend is what was reported of a line for a month. Of several for a month the last recorded stands.
type Spend struct {
	Month period.Month
	// ToDate is what was spent from April to the end of the month.
	ToDate money.Pence
	// Forecast is for the whole year.
	Forecast money.Pence
	// Position is the order in which reports were recorded.
	Position int64
}

// Standing returns the reports that stand, one a month, in order of month.
func Standing(reports []Spend) []Spend {
	rows := slices.SortedFunc(slices.Values(reports), func(a, b Spend) int {
		return cmp.Or(a.Month.Compare(b.Month), cmp.Compare(b.Position, a.Position))
	})
	return slices.CompactFunc(rows, func(a, b Spend) bool { return a.Month == b.Month })
}

// CheckSpend refuses a report of a month beyond the year or the latest month that has begun, below what an earlier month has or above what a
// later one has, and with a forecast for the year below what is spent already. Spending above the line is reported as it is: it is
// an exception, and no mistake of the report.
func CheckSpend(year period.FinancialYear, begun period.Month, reports []Spend, report *Spend) error {
	switch {
	case report.Month.FinancialYear() != year || report.Month.After(begun):
		return fault.New(fault.Invalid, ReasonSpendMonthWrong, "%s is not a month of %s that has begun", report.Month, year).With("month", report.Month)
	case report.ToDate < 0:
		return fault.New(fault.Invalid, ReasonSpendBelowEarlier, "%s spent to date is below nothing", report.ToDate)
	case report.Forecast < report.ToDate:
		return fault.New(fault.Invalid, ReasonForecastBelowSpend, "a forecast of %s for the year is below the %s that are spent", report.Forecast, report.ToDate).
			With("forecast_pence", int64(report.Forecast)).With("spent_pence", int64(report.ToDate))
	}
	for _, other := range Standing(reports) {
		if other.Month.Before(report.Month) && other.ToDate > report.ToDate || other.Month.After(report.Month) && other.ToDate < report.ToDate {
			return fault.New(fault.Invalid, ReasonSpendBelowEarlier, "%s spent to %s does not agree with %s to %s: correct that month first",
				report.ToDate, report.Month, other.ToDate, other.Month).With("month", other.Month).With("spent_pence", int64(other.ToDate))
		}
	}
	return nil
}

// SpentTo is what the reports say was spent up to the end of a month: that of the month, or else the latest before it. Found is false
// where there is none.
func SpentTo(reports []Spend, month period.Month) (spend Spend, found bool) {
	for _, s := range Standing(reports) {
		if !s.Month.After(month) {
			spend, found = s, true
		}
	}
	return spend, found
}

// SpentWithin is what was spent from the first to the last month, by the reports up to each.
func SpentWithin(reports []Spend, first, last period.Month) (money.Pence, error) {
	before, _ := SpentTo(reports, first.Add(-1))
	end, _ := SpentTo(reports, last)
	return end.ToDate.Sub(before.ToDate)
}

// LineYear is one line with what became of it in its year.
type LineYear struct {
	PlanID, LineID string
	Payee          PayeeKind
	Committed      money.Pence
	// Scheduled is what schedules hold of the line, less what they took back.
	Scheduled money.Pence
	Reports   []Spend
}

// Sums are what a line, or many, come to.
type Sums struct {
	Committed, Paid, Spent, Forecast money.Pence
	// Unspent is committed and not spent.
	Unspent money.Pence
	// Recoverable is of it what payees of networks were paid, or are to be by March.
	Recoverable money.Pence
	// Overspent is spent beyond what is committed.
	Overspent money.Pence
}

// Add adds sums up, or fails where 64 bits do not hold them.
func (s Sums) Add(other *Sums) (Sums, error) {
	for _, pair := range []struct{ to, by *money.Pence }{
		{&s.Committed, &other.Committed},
		{&s.Paid, &other.Paid},
		{&s.Spent, &other.Spent},
		{&s.Forecast, &other.Forecast},
		{&s.Unspent, &other.Unspent},
		{&s.Recoverable, &other.Recoverable},
		{&s.Overspent, &other.Overspent},
	} {
		var err error
		if *pair.to, err = pair.to.Add(*pair.by); err != nil {
			return s, err
		}
	}
	return s, nil
}

// LineEnd is where a line stands at the end of a month; at 31 March, how its year ended.
type LineEnd struct {
	Sums
	// Reported is true where the month itself is reported; else the latest report before it counts.
	Reported bool
}

// EndOf returns where a line stands at the end of a month. Suppliers are paid outside the suite: what is reported spent on them counts as
// paid. What networks do not spend of a line may be recovered: its tranches are all due by March, whenever months are closed.
func EndOf(line *LineYear, month period.Month) (LineEnd, error) {
	spend, _ := SpentTo(line.Reports, month)
	end := LineEnd{
		Sums:     Sums{Committed: line.Committed, Paid: line.Scheduled, Spent: spend.ToDate, Forecast: spend.Forecast},
		Reported: spend.Month == month,
	}
	if line.Payee != PCNPayee {
		end.Paid = end.Spent
	}
	unspent, err := end.Committed.Sub(end.Spent)
	if err != nil {
		return end, err
	}
	if unspent < 0 {
		end.Overspent = -unspent
		return end, nil
	}
	end.Unspent = unspent
	if line.Payee == PCNPayee {
		end.Recoverable = end.Unspent
	}
	return end, nil
}

// Policy is what becomes of money unspent at 31 March. No national rule was found: by default it is flagged, and not moved.
type Policy string

// The policies.
const (
	Flagged                  Policy = "FLAGGED"
	ReturnToSystem           Policy = "RETURN_TO_SYSTEM"
	CarryForwardWithApproval Policy = "CARRY_FORWARD_WITH_APPROVAL"
)

// ParsePolicy reads a policy; of none stated it is Flagged.
func ParsePolicy(text string) (Policy, error) {
	switch p := Policy(text); p {
	case "":
		return Flagged, nil
	case Flagged, ReturnToSystem, CarryForwardWithApproval:
		return p, nil
	}
	return "", fault.New(fault.Invalid, ReasonPolicyOther, "%q is not a policy: %s, %s or %s", money.Clip(text), Flagged, ReturnToSystem, CarryForwardWithApproval)
}

// Treatment is what is to become of unspent money of one line.
type Treatment struct {
	Policy Policy
	// Amount is above nothing, and Treated is what other treatments of the line move already.
	Amount, Treated money.Pence
	// Today is the day of the proposal.
	Today period.Date
}

// Moved is what a treatment moves once another person has approved it.
type Moved struct {
	// Returned goes back to the allocation the line draws on, and CarriedForward to one of the next year.
	Returned, CarriedForward money.Pence
	// Recovered is, of either, what is taken back from networks: their tranches are paid, and a plan of the next year pays what is carried
	// into it anew. Of suppliers the suite takes back nothing.
	Recovered money.Pence
}

// Treat works out what a treatment moves under the policy in force. It refuses, by name and with the figures: a policy other than that in
// force, one that moves nothing, a year that is not over, a line without its report of March, and more than is unspent and not
// treated yet.
func Treat(year period.FinancialYear, inForce Policy, end *LineEnd, t *Treatment) (Moved, error) {
	switch {
	case t.Policy != inForce || t.Policy != ReturnToSystem && t.Policy != CarryForwardWithApproval:
		return Moved{}, fault.New(fault.Refused, ReasonPolicyOther, "the policy in force is %s, and %s is asked for: change the setting first", inForce, t.Policy).
			With("policy", inForce)
	case !t.Today.After(year.Last().Last()):
		return Moved{}, fault.New(fault.Refused, ReasonYearNotOver, "what is unspent of %s is known after its last day, %s", year, year.Last().Last()).
			With("last_day", year.Last().Last())
	case !end.Reported:
		return Moved{}, refuse(ReasonSpendReportMissing, "report of spend to "+year.Last().String(), "report the spend of the line to the end of the year")
	}
	left, err := end.Unspent.Sub(t.Treated)
	if err != nil {
		return Moved{}, err
	}
	if t.Amount <= 0 || t.Amount > left {
		return Moved{}, fault.New(fault.Refused, ReasonTreatmentExceedsUnspent, "%s is asked for, and %s is unspent of the line and not treated yet", t.Amount, left).
			With("amount_pence", int64(t.Amount)).With("unspent_pence", int64(end.Unspent)).With("treated_pence", int64(t.Treated))
	}
	moved := Moved{Recovered: min(t.Amount, end.Recoverable)}
	if t.Policy == CarryForwardWithApproval {
		moved.CarriedForward = t.Amount
	} else {
		moved.Returned = t.Amount
	}
	return moved, nil
}

// MayDecide refuses who proposed a treatment as the one who decides it.
func MayDecide(proposedBy, person string) error {
	if proposedBy == person {
		return fault.New(fault.Denied, ReasonSelfApproved, "who proposed the treatment does not decide it: ask another person")
	}
	return nil
}

// Paid is what the tranches of a line come to for one network, less what is taken back of them already.
type Paid struct {
	PCN    string
	Amount money.Pence
}

// Recoveries splits what is taken back of a line by what each network was paid of it; the parts come to the amount, by the largest remainder
// and of equal ones to the lower code, and none is above what was paid. Networks that pay back nothing are left out.
func Recoveries(amount money.Pence, paid []Paid) ([]Paid, error) {
	rows := slices.SortedFunc(slices.Values(paid), func(a, b Paid) int { return cmp.Compare(a.PCN, b.PCN) })
	weights := make([]*big.Rat, len(rows))
	var sum money.Pence
	for i, p := range rows {
		var err error
		if sum, err = sum.Add(p.Amount); err != nil {
			return nil, err
		}
		weights[i] = new(big.Rat).SetInt64(int64(p.Amount))
	}
	if amount < 0 || amount > sum {
		return nil, fault.New(fault.Refused, ReasonTreatmentExceedsUnspent, "%s is to be paid back of %s that was paid", amount, sum).
			With("amount_pence", int64(amount)).With("paid_pence", int64(sum))
	}
	if amount == 0 {
		return nil, nil
	}
	parts, err := money.Allocate(amount, weights)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if parts[i] > rows[i].Amount {
			return nil, fault.Bug("%s pays back %d pence of %d", rows[i].PCN, parts[i], rows[i].Amount)
		}
		rows[i].Amount = parts[i]
	}
	return slices.DeleteFunc(rows, func(p Paid) bool { return p.Amount == 0 }), nil
}

// Account is what one body had of the fund within a year.
type Account struct {
	Body        string
	First, Last period.Month
	// Received is what was released to it; HandedOver what predecessors received and did not spend.
	Received, HandedOver money.Pence
	Spent                money.Pence
	// Unspent is received, by release or from predecessors, and not spent; Overspent is the contrary.
	Unspent, Overspent money.Pence
}

// Succeed aggregates the accounts of predecessors with that of their successor: what each received and did not spend is handed over
// (2022/23: CCGs to June, ICBs from July; SI 2022/734 regulation 34). Nothing is handed over of an account that is overspent. It refuses
// predecessors whose last month is not the one before the successor's first. The predecessors come first, in order of body.
func Succeed(predecessors []Account, successor Account) ([]Account, error) {
	out := slices.SortedFunc(slices.Values(predecessors), func(a, b Account) int { return cmp.Compare(a.Body, b.Body) })
	successor.HandedOver = 0
	for i := range out {
		a := &out[i]
		if a.Last.Add(1) != successor.First || a.Last.Before(a.First) || a.First.FinancialYear() != successor.Last.FinancialYear() {
			return nil, fault.New(fault.Invalid, ReasonSpendMonthWrong, "%s has the months %s to %s, and %s begins in %s",
				a.Body, a.First, a.Last, successor.Body, successor.First)
		}
		if err := a.close(); err != nil {
			return nil, err
		}
		var err error
		if successor.HandedOver, err = successor.HandedOver.Add(a.Unspent); err != nil {
			return nil, err
		}
	}
	if err := successor.close(); err != nil {
		return nil, err
	}
	return append(out, successor), nil
}

func (a *Account) close() error {
	had, err := a.Received.Add(a.HandedOver)
	if err != nil {
		return err
	}
	left, err := had.Sub(a.Spent)
	if err != nil {
		return err
	}
	a.Unspent, a.Overspent = max(left, 0), max(-left, 0)
	return nil
}
