package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// figureChange is one rate or one list that changed, with what that comes to; equal changes of several practices are one.
type figureChange struct {
	per       string
	several   bool // the payment has several components, so the list needs its name
	was, now  *big.Rat
	quantity  *big.Rat // what the rate was paid on
	practices int
	amount    money.Pence
}

// slot is what the lines of two months are compared by within a PCN and a payment.
type slot struct{ practice, item string }

// pairOfMonths is the regular lines of one slot.
type pairOfMonths struct {
	slot
	this, last []*VarianceLine
}

// movement makes the movement of an account; first says that there is no month before.
func (a *movementAccount) movement(month period.Month, first bool) (Movement, error) {
	m := Movement{PCNCode: a.key.pcn, PaymentCode: a.key.payment}
	var pairs []*pairOfMonths
	places := make(map[slot]*pairOfMonths)
	at := func(line *VarianceLine) *pairOfMonths {
		key := slot{line.PracticeCode, line.Item}
		if places[key] == nil {
			places[key] = &pairOfMonths{slot: key}
			pairs = append(pairs, places[key])
		}
		return places[key]
	}
	var corrections, before []*VarianceLine
	for i := range a.this {
		line := &a.this[i]
		m.This += line.Amount
		if line.Adjusts != "" || line.ForMonth != month {
			corrections = append(corrections, line)
			continue
		}
		a.regular++
		pair := at(line)
		pair.this = append(pair.this, line)
	}
	for i := range a.last {
		line := &a.last[i]
		m.Last += line.Amount
		if line.Adjusts != "" || line.ForMonth != month.Add(-1) {
			before = append(before, line)
			continue
		}
		pair := at(line)
		pair.last = append(pair.last, line)
	}
	slices.SortFunc(pairs, func(a, b *pairOfMonths) int {
		return cmp.Or(cmp.Compare(a.practice, b.practice), cmp.Compare(a.item, b.item))
	})
	if first && a.regular > 0 {
		var sum money.Pence
		for _, pair := range pairs {
			sum += sumLines(pair.this)
		}
		a.effect(MovedByFirst, sum, "There is no run of last month")
		pairs = nil
	}
	for _, pair := range pairs {
		a.compare(pair)
	}
	a.addChanges()
	a.corrections(corrections, before)
	m.Change = m.This - m.Last
	m.Effects = a.effects
	slices.SortStableFunc(m.Effects, func(a, b Effect) int {
		return cmp.Or(cmp.Compare(a.Cause, b.Cause), cmp.Compare(distance(b.Amount, 0), distance(a.Amount, 0)))
	})
	return m, a.expect(&m, corrections, month)
}

func (a *movementAccount) effect(cause MovementCause, amount money.Pence, format string, args ...any) {
	a.effects = append(a.effects, Effect{Cause: cause, Amount: amount, Sentence: fmt.Sprintf(format, args...) + ": " + signed(amount) + "."})
}

// compare finds what moved the lines of one slot.
func (a *movementAccount) compare(pair *pairOfMonths) {
	this, last := sumLines(pair.this), sumLines(pair.last)
	switch {
	case len(pair.last) == 0 && len(pair.this) == 1 && pair.this[0].Basis.usable() && pair.this[0].Basis.Instalments == 1 &&
		pair.this[0].Basis.Convention != byPCNMonthlyRate:
		a.effect(MovedByJoiner, this, "%s is paid once, in this month", pair.name())
		return
	case len(pair.last) == 0:
		a.effect(MovedByJoiner, this, "%s had no line last month", pair.name())
		return
	case len(pair.this) == 0:
		a.effect(MovedByLeaver, -last, "%s has no line this month", pair.name())
		return
	}
	if now, was := payees(pair.this), payees(pair.last); now != was {
		a.effect(MovedByPayee, 0, "%s goes to %s, last month to %s", pair.name(), now, was)
	}
	if this == last && len(pair.this) == len(pair.last) && sameFigures(pair.this, pair.last) {
		return
	}
	if len(pair.this) != 1 || len(pair.last) != 1 {
		if this != last {
			a.effect(MovedByOther, this-last, "%s has %d %s after %d, which are not told apart",
				pair.name(), len(pair.this), plural(len(pair.this), "line"), len(pair.last))
		}
		return
	}
	a.steps(pair, pair.this[0], pair.last[0])
}

// sameFigures tells whether nothing that lines rest on changed; lines without a basis rest on their amount.
func sameFigures(this, last []*VarianceLine) bool {
	for n := range this {
		now, was := this[n].Basis, last[n].Basis
		if !now.usable() || !was.usable() {
			continue
		}
		if now.Instalments != was.Instalments || len(now.Factors) != len(was.Factors) {
			return false
		}
		for i := range now.Factors {
			if now.Factors[i].RateGBP.Cmp(was.Factors[i].RateGBP) != 0 || now.Factors[i].Quantity.Cmp(was.Factors[i].Quantity) != 0 {
				return false
			}
		}
	}
	return true
}

func sumLines(lines []*VarianceLine) money.Pence {
	var sum money.Pence
	for _, line := range lines {
		sum += line.Amount
	}
	return sum
}

func payees(lines []*VarianceLine) string {
	var codes []string
	for _, line := range lines {
		codes = append(codes, cmp.Or(line.PayeeCode, "no payee"))
	}
	slices.Sort(codes)
	return strings.Join(slices.Compact(codes), " and ")
}

// name names a slot in a sentence.
func (p *pairOfMonths) name() string {
	switch {
	case p.practice != "" && p.item != "":
		return "Practice " + p.practice + " (" + p.item + ")"
	case p.practice != "":
		return "Practice " + p.practice
	case p.item != "":
		return "Part " + p.item
	default:
		return "The payment"
	}
}

// mostCompared bounds, in pence, an amount at the rate of one month on the quantity of another.
const mostCompared = 100_000_000_000_000

// steps goes from the figures of the month before to those of this month, one after the other: instalments and share, then the
// rates on the old quantities, then the quantities at the new rates. Each step's effect is the difference of two amounts rounded
// half up, so that together they leave nothing over. What the lines' own rounding adds is an effect of its own.
func (a *movementAccount) steps(pair *pairOfMonths, this, last *VarianceLine) {
	effects, rates, lists := len(a.effects), len(a.rates), len(a.lists)
	change := this.Amount - last.Amount
	left, ok := a.walk(pair, this, last)
	switch {
	case !ok:
		a.effects, a.rates, a.lists = a.effects[:effects], a.rates[:rates], a.lists[:lists]
		if change != 0 {
			a.effect(MovedByOther, change, "%s went from %s to %s, and the figures behind it cannot be compared",
				pair.name(), last.Amount, this.Amount)
		}
	case left == 0:
	case distance(left, 0) <= 1:
		a.effect(MovedByRounding, left, "%s is rounded otherwise than last month", pair.name())
	case this.Basis.Convention == byResidualLast || last.Basis.Convention == byResidualLast:
		a.effect(MovedByOther, left, "%s has a last instalment, which takes what the others leave (%s)", pair.name(), byResidualLast)
	case this.Basis.Convention == byPracticeSum || last.Basis.Convention == byPracticeSum:
		a.effect(MovedByOther, left, "%s is rounded practice by practice (%s)", pair.name(), byPracticeSum)
	default:
		a.effect(MovedByOther, left, "%s went from %s to %s, of which its figures (%s after %s) do not explain all", pair.name(),
			last.Amount, this.Amount, this.Basis.formula(), last.Basis.formula())
	}
}

// walk notes the effect of each figure that changed and returns what of the change is left; false where the figures do not speak
// of the amounts, or cannot be compared.
func (a *movementAccount) walk(pair *pairOfMonths, this, last *VarianceLine) (left money.Pence, ok bool) {
	if !describes(this) || !describes(last) || monthly(this.Basis) != monthly(last.Basis) {
		return 0, false
	}
	was, now := aligned(last.Basis.Factors, this.Basis.Factors)
	at := last.Basis.with(slices.Clone(was))
	amount, err := at.instalment()
	if err != nil {
		return 0, false
	}
	left, ok = this.Amount-last.Amount, true
	step := func() money.Pence {
		next, err := at.instalment()
		if err != nil || distance(next, 0) > mostCompared {
			ok = false
			return 0
		}
		effect := next - amount
		amount = next
		left -= effect
		return effect
	}
	if last.Basis.Instalments != this.Basis.Instalments {
		at.Instalments = this.Basis.Instalments
		a.effect(MovedByOther, step(), "%s is divided into %d instalments, last month into %d",
			pair.name(), this.Basis.Instalments, last.Basis.Instalments)
	}
	if !sameShare(last.Basis.Share, this.Basis.Share) {
		at.Share = this.Basis.Share
		a.effect(MovedByOther, step(), "%s is due to a share of %s, last month of %s",
			pair.name(), inShare(this.Basis.Share), inShare(last.Basis.Share))
	}
	for i := range was {
		if was[i].RateGBP.Cmp(now[i].RateGBP) != 0 {
			at.Factors[i].RateGBP = now[i].RateGBP
			a.rates = append(a.rates, figureChange{was[i].Per, len(was) > 1, was[i].RateGBP, now[i].RateGBP, was[i].Quantity, 1, step()})
		}
	}
	for i := range was {
		if was[i].Quantity.Cmp(now[i].Quantity) != 0 {
			at.Factors[i].Quantity = now[i].Quantity
			a.lists = append(a.lists, figureChange{was[i].Per, len(was) > 1, was[i].Quantity, now[i].Quantity, now[i].RateGBP, 1, step()})
		}
	}
	return left, ok
}

// describes tells whether the basis of a line gives its amount, to the penny that the rounding can be about.
func describes(line *VarianceLine) bool {
	if !line.Basis.usable() || distance(line.Amount, 0) > mostCompared {
		return false
	}
	amount, err := line.Basis.instalment()
	return line.Basis.gives(line.Amount) || (err == nil && distance(amount, 0) <= mostCompared && distance(amount, line.Amount) <= 1)
}

// monthly tells whether the rates of a basis are those of a month.
func monthly(b *LineBasis) bool { return b.Convention == byPCNMonthlyRate }

func sameShare(a, b *big.Rat) bool { return shareOrAll(a).Cmp(shareOrAll(b)) == 0 }

func inShare(share *big.Rat) string { return inNumber(shareOrAll(share)) }

// shareOrAll returns a share; none means all.
func shareOrAll(share *big.Rat) *big.Rat {
	if share == nil {
		return new(big.Rat).SetInt64(1)
	}
	return share
}

// aligned puts the factors of two months into one order by what they are paid per. A component that only one month has is at a
// rate of nothing in the other, on the same quantity.
func aligned(last, this []LineFactor) (was, now []LineFactor) {
	left := slices.Clone(this)
	for _, factor := range last {
		n := slices.IndexFunc(left, func(f LineFactor) bool { return f.Per == factor.Per })
		was = append(was, factor)
		if n < 0 {
			factor.RateGBP = new(big.Rat)
			now = append(now, factor)
			continue
		}
		now = append(now, left[n])
		left = slices.Delete(left, n, n+1)
	}
	for _, factor := range left {
		now = append(now, factor)
		factor.RateGBP = new(big.Rat)
		was = append(was, factor)
	}
	return was, now
}

// addChanges turns changed rates and lists into effects, those of several practices together.
func (a *movementAccount) addChanges() {
	for _, c := range merge(a.rates, true) {
		a.effect(MovedByRate, c.amount, "Rate per %s went from %s to %s (%s) on %s", inWords(c.per),
			inPounds(c.was), inPounds(c.now), plus(inPounds(subtractRats(c.now, c.was))), inNumber(c.quantity))
	}
	for _, c := range merge(a.lists, false) {
		a.effect(MovedByList, c.amount, "%s went from %s to %s (%s)",
			c.list(), inNumber(c.was), inNumber(c.now), plus(inNumber(subtractRats(c.now, c.was))))
	}
}

// merge adds up changes of one component over practices: of rates those that are the same, of lists all.
func merge(changes []figureChange, rates bool) []figureChange {
	type kind struct{ per, was, now string }
	places := make(map[kind]int)
	var out []figureChange
	for _, c := range changes {
		key := kind{per: c.per}
		if rates {
			key.was, key.now = c.was.RatString(), c.now.RatString()
		}
		n, known := places[key]
		if !known {
			places[key] = len(out)
			out = append(out, c)
			continue
		}
		held := &out[n]
		held.practices++
		held.several = held.several || c.several
		held.amount += c.amount
		if rates {
			held.quantity = addRats(held.quantity, c.quantity)
			continue
		}
		held.was, held.now = addRats(held.was, c.was), addRats(held.now, c.now)
	}
	return out
}

func addRats(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }

func subtractRats(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }

// plus writes a figure with its sign.
func plus(text string) string {
	if strings.HasPrefix(text, "-") {
		return text
	}
	return "+" + text
}

// list names what a changed quantity counts.
func (c *figureChange) list() string {
	unit, isPatients := strings.CutSuffix(c.per, "_patient")
	name := "List"
	switch {
	case strings.HasSuffix(c.per, "bed"):
		name = "Beds"
	case !isPatients && c.per != "" && c.per != "patient":
		name = "Number per " + inWords(c.per)
	case c.several && isPatients:
		name = strings.ToUpper(unit[:min(1, len(unit))]) + unit[min(1, len(unit)):] + " list"
	}
	if c.practices > 1 {
		return fmt.Sprintf("%s of %d practices together", name, c.practices)
	}
	return name
}

// corrections adds what lines for earlier months come to, and takes off what those of the month before did, by the fund's own
// causes.
func (a *movementAccount) corrections(this, last []*VarianceLine) {
	for _, c := range byCause(this) {
		a.effect(MovedByCorrection, c.amount, "%s", c.words("this month"))
	}
	for _, c := range byCause(last) {
		a.effect(MovedByCorrection, -c.amount, "%s", c.words("last month")+", "+c.amount.String()+", not repeated")
	}
}

// corrected is the corrections of one cause.
type corrected struct {
	cause  string
	amount money.Pence
	lines  int
	from   period.Month
	to     period.Month
}

func byCause(lines []*VarianceLine) []corrected {
	var out []corrected
	for _, line := range lines {
		cause := line.Cause
		if cause == "" && line.Adjusts == "" {
			cause = "first payment of an earlier month"
		}
		n, found := slices.BinarySearchFunc(out, cause, func(c corrected, cause string) int { return cmp.Compare(c.cause, cause) })
		if !found {
			out = slices.Insert(out, n, corrected{cause: cause, from: line.ForMonth, to: line.ForMonth})
		}
		c := &out[n]
		c.amount += line.Amount
		c.lines++
		if line.ForMonth.Before(c.from) {
			c.from = line.ForMonth
		}
		if line.ForMonth.After(c.to) {
			c.to = line.ForMonth
		}
	}
	return out
}

func (c *corrected) words(when string) string {
	months := c.from.String()
	if c.from != c.to {
		months += " to " + c.to.String()
	}
	return fmt.Sprintf("%d %s %s of %s (%s)", c.lines, plural(c.lines, "correction"), when, months, cmp.Or(c.cause, "no cause given"))
}

// expect compares the month with what the entitlements in force come to.
func (a *movementAccount) expect(m *Movement, corrections []*VarianceLine, month period.Month) error {
	if len(a.entitlements) == 0 {
		return nil
	}
	m.Entitled = true
	for i := range a.entitlements {
		amount, err := a.entitlements[i].instalment(month)
		if err != nil {
			return err
		}
		m.Expected += amount
	}
	m.Difference = m.This - m.Expected
	rest := m.Difference
	reason := func(cause MovementCause, amount money.Pence, sentence string) {
		m.Reasons = append(m.Reasons, Effect{Cause: cause, Amount: amount, Sentence: sentence + ": " + signed(amount) + "."})
		rest -= amount
	}
	for _, c := range byCause(corrections) {
		reason(MovedByCorrection, c.amount, c.words("this month"))
	}
	lines := max(a.regular, len(a.entitlements))
	switch {
	case rest == 0:
	case a.regular == 0:
		reason(MovedByLeaver, rest, fmt.Sprintf("%s was to be expected, and there is no line for the month", m.Expected))
	case distance(rest, 0) <= money.Pence(lines):
		reason(MovedByRounding, rest, fmt.Sprintf(
			"The period's amount in instalments is rounded otherwise than %d %s of the month", lines, plural(lines, "line")))
	default:
		reason(MovedByOther, rest, fmt.Sprintf("The lines of the month come to %s, the entitlement to %s", m.Expected+rest, m.Expected))
	}
	return nil
}

// sentences joins the sentences of effects.
func sentences(effects []Effect) string {
	if len(effects) == 0 {
		return "No change."
	}
	parts := make([]string, len(effects))
	for n := range effects {
		parts[n] = effects[n].Sentence
	}
	return strings.Join(parts, " ")
}
