package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Tranche is what a line pays one network in one month.
type Tranche struct {
	PCN     string
	Month   period.Month
	Amount  money.Pence
	Working *working.Working
}

const (
	clauseParts    = "PCN development fund: one line, many beneficiaries, parts that come to 100%"
	clauseTranches = "tranches of a fixed pool: half up to the penny, the last takes what is left"
	// lineName and shareName are what a line and a receiver's part are called in workings.
	lineName  = "line"
	shareName = "share"
)

// inOrder returns beneficiaries in order of code, and whether their percentages are stated. It refuses a line without beneficiaries, one
// that stands twice, percentages of some only, and percentages that are below nothing or do not come to 100.
func inOrder(beneficiaries []Beneficiary) (rows []Beneficiary, stated bool, err error) {
	malformed := func(format string, args ...any) error {
		return fault.New(fault.Invalid, ReasonBeneficiariesMalformed, format, args...)
	}
	if len(beneficiaries) == 0 {
		return nil, false, malformed("a line names at least one network that it serves")
	}
	rows = slices.Clone(beneficiaries)
	slices.SortFunc(rows, func(a, b Beneficiary) int { return cmp.Compare(a.PCN, b.PCN) })
	stated = rows[0].Percent != nil
	whole := new(big.Rat)
	for i, b := range rows {
		switch {
		case b.PCN == "":
			return nil, false, malformed("a beneficiary has no code")
		case i > 0 && b.PCN == rows[i-1].PCN:
			return nil, false, malformed("%s stands twice among the beneficiaries", b.PCN)
		case (b.Percent != nil) != stated:
			return nil, false, malformed("parts are stated of all beneficiaries or of none: %s differs from %s", b.PCN, rows[0].PCN)
		case stated && b.Percent.Sign() < 0:
			return nil, false, malformed("the part of %s is %s percent, which is below nothing", b.PCN, money.Format(b.Percent))
		case stated:
			whole.Add(whole, b.Percent)
		}
	}
	if stated && whole.Cmp(hundred) != 0 {
		return nil, false, malformed("the parts come to %s percent, not 100", money.Format(whole))
	}
	return rows, stated, nil
}

// Parts shares a line among its beneficiaries by percent, or equally where none is stated; the parts come to the amount, by the
// largest remainder and of equal ones to the lower code. It refuses beneficiaries that make no sense of a line (see inOrder). Parts are
// in order of code.
func Parts(amount money.Pence, beneficiaries []Beneficiary) ([]Part, error) {
	rows, stated, err := inOrder(beneficiaries)
	if err != nil {
		return nil, err
	}
	entries := make([]weighed, len(rows))
	for i, b := range rows {
		e := &entries[i]
		e.code, e.weight = b.PCN, one
		if stated {
			e.unit = "percent"
			e.term = e.own.Input("percent of the line", b.Percent, e.unit, declared())
			e.weight = b.Percent
		}
	}
	s := Shared{Pool: amount, ToShare: amount}
	c := &cut{clause: clauseParts, left: amount}
	c.term = c.b.Input(lineName, amount.GBP(), "GBP", declared())
	if err := s.byWeight(c, entries, remainder{amount, c.term}, working.Term{}); err != nil {
		return nil, err
	}
	return s.Parts, s.check()
}

// Portions returns what Parts shares, by network and without workings, for those who show sums of many lines.
func Portions(amount money.Pence, beneficiaries []Beneficiary) (map[string]money.Pence, error) {
	rows, stated, err := inOrder(beneficiaries)
	if err != nil {
		return nil, err
	}
	weights := make([]*big.Rat, len(rows))
	for i := range rows {
		if weights[i] = one; stated {
			weights[i] = rows[i].Percent
		}
	}
	amounts, err := money.Allocate(amount, weights)
	if err != nil {
		return nil, err
	}
	out := make(map[string]money.Pence, len(rows))
	for i := range rows {
		out[rows[i].PCN] = amounts[i]
	}
	return out, nil
}

func declared() working.Origin { return working.Origin{Kind: working.FromDeclaration} }

// Tranches splits what a line pays into its months: each network's part half up to the penny in every month but the last, which takes
// what is left, so that the tranches of every network come to its part, and all to the amount. A line without instalments is paid in
// the month given. Tranches are in order of network and month, and one that comes to nothing is left out.
func Tranches(year period.FinancialYear, line *Line, inFull period.Month) ([]Tranche, error) {
	if line.Payee != PCNPayee {
		return nil, nil
	}
	instalments := line.Instalments
	if len(instalments) == 0 {
		instalments = []Instalment{{Month: inFull}}
	}
	if err := checkInstalments(year, instalments); err != nil {
		return nil, err
	}
	parts, err := Parts(line.Amount, line.Beneficiaries)
	if err != nil {
		return nil, err
	}
	var out []Tranche
	for i := range parts {
		tranches, err := parts[i].tranches(instalments)
		if err != nil {
			return nil, err
		}
		out = append(out, tranches...)
	}
	sum := money.Pence(0)
	for i := range out {
		if sum, err = sum.Add(out[i].Amount); err != nil {
			return nil, err
		}
	}
	if sum != line.Amount {
		return nil, fault.Bug("tranches of %d pence are made of a line of %d", sum, line.Amount)
	}
	return out, nil
}

func checkInstalments(year period.FinancialYear, instalments []Instalment) error {
	malformed := func(format string, args ...any) error {
		return fault.New(fault.Invalid, ReasonTranchesMalformed, format, args...)
	}
	stated := instalments[0].Percent != nil
	whole := new(big.Rat)
	for i, in := range instalments {
		switch {
		case in.Month.FinancialYear() != year:
			return malformed("%s does not lie in %s", in.Month, year)
		case i > 0 && !in.Month.After(instalments[i-1].Month):
			return malformed("%s does not follow %s", in.Month, instalments[i-1].Month)
		case (in.Percent != nil) != stated:
			return malformed("percentages are stated of all months or of none: %s differs from %s", in.Month, instalments[0].Month)
		case stated && in.Percent.Sign() < 0:
			return malformed("%s percent for %s is below nothing", money.Format(in.Percent), in.Month)
		case stated:
			whole.Add(whole, in.Percent)
		}
	}
	if stated && whole.Cmp(hundred) != 0 {
		return malformed("the months come to %s percent, not 100", money.Format(whole))
	}
	return nil
}

// tranches splits one network's part.
func (p *Part) tranches(instalments []Instalment) ([]Tranche, error) {
	part := working.Term{Name: shareName, Value: p.Amount.GBP()}
	left := p.Amount
	out := make([]Tranche, 0, len(instalments))
	for i, in := range instalments {
		var b working.Builder
		last := i == len(instalments)-1
		amount := left
		if !last {
			exact := in.exactly(&b, part, len(instalments))
			half, err := money.RoundHalfUp(exact.Value)
			if err != nil {
				return nil, err
			}
			if amount = min(half, left); amount == half {
				b.Round(in.name(), money.HalfUp, pencePlaces, "GBP", clauseTranches, exact)
			}
		}
		if len(b.Done().Steps) == 0 || b.Done().Result().Cmp(amount.GBP()) != 0 {
			p.whatIsLeft(&b, in, part, out)
		}
		left -= amount
		own := b.Done()
		out = append(out, Tranche{p.Code, in.Month, amount, &working.Working{
			Inputs: slices.Concat(p.Working.Inputs, own.Inputs), Steps: slices.Concat(p.Working.Steps, own.Steps),
		}})
	}
	return slices.DeleteFunc(out, func(t Tranche) bool { return t.Amount == 0 }), nil
}

// whatIsLeft writes a tranche that takes what the months before it left. Those have workings of their own.
func (p *Part) whatIsLeft(b *working.Builder, in Instalment, part working.Term, before []Tranche) {
	terms := []working.Term{part}
	for _, t := range before {
		name := Instalment{Month: t.Month}.name()
		terms = append(terms, b.Input(name, t.Amount.GBP(), "GBP", working.Origin{Kind: working.FromLine, Ref: t.Month.String(), Source: "tranche of the same line and network"}))
	}
	b.Step(in.name(), working.Subtract, "GBP", clauseTranches, terms...)
}

func (in Instalment) name() string { return "tranche of " + in.Month.String() }

// exactly writes what an instalment comes to before it is rounded.
func (in Instalment) exactly(b *working.Builder, part working.Term, n int) working.Term {
	const exact = "exact tranche"
	if in.Percent == nil {
		count := b.Input("months", new(big.Rat).SetInt64(int64(n)), "month", declared())
		return b.Step(exact, working.Divide, "GBP", clauseTranches, part, count)
	}
	percent := b.Input("percent of the month", in.Percent, "percent", declared())
	of := b.Step("share of the month", working.Divide, "share", clauseTranches, percent, b.Input("whole", hundred, "percent", contract()))
	return b.Step(exact, working.Multiply, "GBP", clauseTranches, of, part)
}
