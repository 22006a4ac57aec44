package rules

import (
	"cmp"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Stable reason codes of a variance report.
const (
	ReasonVarianceLineInvalid = "VARIANCE_LINE_INVALID"
	ReasonEntitlementInvalid  = "ENTITLEMENT_INVALID"
	ReasonEntitlementTwice    = "ENTITLEMENT_TWICE"
)

// VarianceLine is a line of a month's runs, or of those of the month before.
type VarianceLine struct {
	LineID, PCNCode, PracticeCode, PayeeCode, PaymentCode string
	// Item tells the parts of one payment apart; empty where it has none.
	Item     string
	ForMonth period.Month
	// Amount in pence; negative for what is taken back.
	Amount money.Pence
	// Adjusts is the identifier of the line it corrects, and Cause the fund's word for why, such as RATE; both empty for a first
	// line.
	Adjusts, Cause string
	// Basis is what the amount rests on; nil where it is not known.
	Basis *LineBasis
}

// VarianceInput is everything a variance report compares.
type VarianceInput struct {
	// Month of the run.
	Month period.Month
	// Lines of the runs compared, and Previous those of the runs of the month before.
	Lines, Previous []VarianceLine
	// First says that the month before has no run, so that there is nothing to compare with.
	First bool
	// Entitlements known; those in force in Month say what it is expected to come to.
	Entitlements []Entitlement
}

// MovementCause is why an amount moved, equal to the value's name in the contract.
type MovementCause string

// The causes.
const (
	// MovedByJoiner is a line that had none the month before.
	MovedByJoiner MovementCause = "JOINER"
	// MovedByLeaver is a line of the month before that has none now.
	MovedByLeaver MovementCause = "LEAVER"
	// MovedByRate is another rate, on the quantity of the month before.
	MovedByRate MovementCause = "RATE"
	// MovedByList is another list or another number of beds, at the rate of this month.
	MovedByList MovementCause = "LIST"
	// MovedByCorrection is a line that adjusts another, or is for an earlier month.
	MovedByCorrection MovementCause = "CORRECTION"
	// MovedByRounding is a penny for each line at most.
	MovedByRounding MovementCause = "ROUNDING"
	// MovedByPayee is another payee; it moves nothing within the PCN.
	MovedByPayee MovementCause = "PAYEE"
	// MovedByFirst is that there is no run of the month before.
	MovedByFirst MovementCause = "NO_LAST_RUN"
	// MovedByOther is what none of the others explains.
	MovedByOther MovementCause = "OTHER"
)

// Effect is one cause of a movement with what it comes to.
type Effect struct {
	Cause MovementCause
	// Amount in pence; the effects of a movement add up to it.
	Amount money.Pence
	// Sentence says it in words, with the figures.
	Sentence string
}

// Movement compares one payment of one PCN with the month before and with its entitlement.
type Movement struct {
	PCNCode, PaymentCode string
	// This and Last are what the month and the one before come to, in pence, and Change is This less Last.
	This, Last, Change money.Pence
	// Effects of the change in order of cause and size; they add up to Change.
	Effects []Effect
	// Entitled says whether an entitlement is in force; Expected is what the month comes to by it, and Difference is This less
	// Expected. Without one both are zero.
	Entitled             bool
	Expected, Difference money.Pence
	// Reasons for Difference, which add up to it.
	Reasons []Effect
}

// Sentence says in words what moved the amount, the largest effect first.
func (m *Movement) Sentence() string {
	effects := slices.Clone(m.Effects)
	slices.SortStableFunc(effects, func(a, b Effect) int { return cmp.Compare(distance(b.Amount, 0), distance(a.Amount, 0)) })
	return sentences(effects)
}

// CauseTotal is what the effects of one cause come to.
type CauseTotal struct {
	Cause  MovementCause
	Amount money.Pence
}

// VarianceTotals add up movements in pence. Change is This less Last and what Causes come to; Difference is that of the movements
// with an entitlement, whose amount is Expected.
type VarianceTotals struct {
	This, Last, Change, Expected, Difference money.Pence
	// Movements counted, and how many of them have no entitlement.
	Movements, WithoutEntitlement int
	// Causes of Change and Reasons for Difference, each in order of their name.
	Causes, Reasons []CauseTotal
}

// PaymentVariance is the totals of one payment.
type PaymentVariance struct {
	PaymentCode string
	VarianceTotals
}

// VarianceReport is every movement of a run.
type VarianceReport struct {
	// Movements in order of PCN and payment.
	Movements []Movement
	// Payments in order of their code.
	Payments []PaymentVariance
	Totals   VarianceTotals
}

// Largest returns the n movements that changed most, in either direction; of equal ones those of the earlier PCN and payment come
// first.
func (r *VarianceReport) Largest(n int) []Movement {
	out := slices.Clone(r.Movements)
	slices.SortStableFunc(out, func(a, b Movement) int { return cmp.Compare(distance(b.Change, 0), distance(a.Change, 0)) })
	return out[:max(0, min(n, len(out)))]
}

// movementKey is what a movement is of.
type movementKey struct{ pcn, payment string }

// Variance compares a run with that of the month before and with what the entitlements expect of its month, and gives every
// movement its causes, whose effects add up to it. The order of the input does not matter. It returns a fault of kind Invalid for
// a line or an entitlement that is incomplete, an entitlement given twice, and amounts beyond what can be added up.
func Variance(in *VarianceInput) (*VarianceReport, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	accounts := in.accounts()
	report := &VarianceReport{Movements: make([]Movement, 0, len(accounts))}
	for _, a := range accounts {
		m, err := a.movement(in.Month, in.First)
		if err != nil {
			return nil, err
		}
		report.Movements = append(report.Movements, m)
	}
	report.addUp()
	return report, report.verify(in)
}

// check refuses what cannot be compared, and sums so large that a figure of the report might not be held.
func (in *VarianceInput) check() error {
	if in.Month.IsZero() {
		return fault.New(fault.Invalid, ReasonVarianceLineInvalid, "the run has no month")
	}
	var total money.Pence
	var err error
	for _, lines := range [][]VarianceLine{in.Lines, in.Previous} {
		ids := make(map[string]bool, len(lines))
		for i := range lines {
			if lines[i].LineID == "" || ids[lines[i].LineID] {
				return fault.New(fault.Invalid, ReasonVarianceLineInvalid, "line %q has no identifier of its own", money.Clip(lines[i].LineID)).
					With("line_id", lines[i].LineID)
			}
			ids[lines[i].LineID] = true
			if lines[i].PaymentCode == "" || lines[i].ForMonth.IsZero() {
				return fault.New(fault.Invalid, ReasonVarianceLineInvalid, "line %q lacks a payment or a month", money.Clip(lines[i].LineID)).
					With("line_id", lines[i].LineID)
			}
			if total, err = addMagnitude(total, lines[i].Amount); err != nil {
				return err
			}
		}
	}
	seen := make(map[Entitlement]bool, len(in.Entitlements))
	for i := range in.Entitlements {
		e := in.Entitlements[i]
		if total, err = addMagnitude(total, e.Amount); err != nil {
			return err
		}
		if e.PaymentCode == "" || e.Instalments < 1 || e.From.IsZero() || e.To.Before(e.From) {
			return fault.New(fault.Invalid, ReasonEntitlementInvalid, "the entitlement of %q to %q lacks a payment, instalments or a period",
				money.Clip(e.PCNCode), money.Clip(e.PaymentCode))
		}
		e.Amount, e.Instalments, e.Convention = 0, 0, ""
		if seen[e] {
			return fault.New(fault.Invalid, ReasonEntitlementTwice, "%q is entitled to %s from %s twice",
				money.Clip(e.PCNCode+" "+e.PracticeCode), e.PaymentCode, e.From)
		}
		seen[e] = true
	}
	return checkHeadroom(total)
}

// movementAccount is what one movement is made from.
type movementAccount struct {
	key          movementKey
	this, last   []VarianceLine
	entitlements []Entitlement
	effects      []Effect
	lists, rates []figureChange
	regular      int // regular lines of this month
}

// accounts gathers lines and entitlements by PCN and payment, in order.
func (in *VarianceInput) accounts() []*movementAccount {
	places := make(map[movementKey]*movementAccount)
	var out []*movementAccount
	at := func(pcn, payment string) *movementAccount {
		key := movementKey{pcn, payment}
		if places[key] == nil {
			places[key] = &movementAccount{key: key}
			out = append(out, places[key])
		}
		return places[key]
	}
	for i := range in.Lines {
		a := at(in.Lines[i].PCNCode, in.Lines[i].PaymentCode)
		a.this = append(a.this, in.Lines[i])
	}
	for i := range in.Previous {
		a := at(in.Previous[i].PCNCode, in.Previous[i].PaymentCode)
		a.last = append(a.last, in.Previous[i])
	}
	for _, e := range in.Entitlements {
		if !in.Month.Before(e.From) && !in.Month.After(e.To) && in.Month.Sub(e.From) < e.Instalments {
			a := at(e.PCNCode, e.PaymentCode)
			a.entitlements = append(a.entitlements, e)
		}
	}
	slices.SortFunc(out, func(a, b *movementAccount) int {
		return cmp.Or(cmp.Compare(a.key.pcn, b.key.pcn), cmp.Compare(a.key.payment, b.key.payment))
	})
	for _, a := range out {
		slices.SortFunc(a.this, compareVarianceLines)
		slices.SortFunc(a.last, compareVarianceLines)
	}
	return out
}

func compareVarianceLines(a, b VarianceLine) int {
	return cmp.Or(
		cmp.Compare(a.PracticeCode, b.PracticeCode), cmp.Compare(a.Item, b.Item), a.ForMonth.Compare(b.ForMonth),
		cmp.Compare(a.LineID, b.LineID),
	)
}

// addUp makes the totals from the movements.
func (r *VarianceReport) addUp() {
	payments := make(map[string]int)
	for i := range r.Movements {
		m := &r.Movements[i]
		n, known := payments[m.PaymentCode]
		if !known {
			n = len(r.Payments)
			payments[m.PaymentCode] = n
			r.Payments = append(r.Payments, PaymentVariance{PaymentCode: m.PaymentCode})
		}
		r.Payments[n].add(m)
		r.Totals.add(m)
	}
	slices.SortFunc(r.Payments, func(a, b PaymentVariance) int { return cmp.Compare(a.PaymentCode, b.PaymentCode) })
}

func (t *VarianceTotals) add(m *Movement) {
	t.Movements++
	t.This += m.This
	t.Last += m.Last
	t.Change += m.Change
	t.Expected += m.Expected
	t.Difference += m.Difference
	if !m.Entitled {
		t.WithoutEntitlement++
	}
	t.Causes, t.Reasons = addEffects(t.Causes, m.Effects), addEffects(t.Reasons, m.Reasons)
}

// addEffects adds effects to the totals of their causes.
func addEffects(totals []CauseTotal, effects []Effect) []CauseTotal {
	for _, effect := range effects {
		n, found := slices.BinarySearchFunc(totals, effect.Cause, func(c CauseTotal, cause MovementCause) int {
			return cmp.Compare(c.Cause, cause)
		})
		if !found {
			totals = slices.Insert(totals, n, CauseTotal{Cause: effect.Cause})
		}
		totals[n].Amount += effect.Amount
	}
	return totals
}

// verify asserts that effects add up to movements, and movements to the lines.
func (r *VarianceReport) verify(in *VarianceInput) error {
	for i := range r.Movements {
		m := &r.Movements[i]
		if sum := sumEffects(m.Effects); sum != m.Change || m.Change != m.This-m.Last {
			return fault.Bug("the effects on %s of %s come to %d pence, not %d", m.PaymentCode, m.PCNCode, sum, m.Change)
		}
		if sum := sumEffects(m.Reasons); sum != m.Difference {
			return fault.Bug("the reasons for %s of %s come to %d pence, not %d", m.PaymentCode, m.PCNCode, sum, m.Difference)
		}
	}
	var this, last money.Pence
	for i := range in.Lines {
		this += in.Lines[i].Amount
	}
	for i := range in.Previous {
		last += in.Previous[i].Amount
	}
	if r.Totals.This != this || r.Totals.Last != last || r.Totals.Change != this-last {
		return fault.Bug("movements come to %d and %d pence, not %d and %d", r.Totals.This, r.Totals.Last, this, last)
	}
	return nil
}

func sumEffects(effects []Effect) money.Pence {
	var sum money.Pence
	for _, effect := range effects {
		sum += effect.Amount
	}
	return sum
}
