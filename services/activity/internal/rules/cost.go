package rules

import (
	"fmt"
	"maps"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Basis is what a notional cost came from.
type Basis int

// The bases.
const (
	// Tariff is the price of the year × the market forces factor of the provider.
	Tariff Basis = iota + 1
	// StandIn is a price of a list that was chosen in place of the tariff, without a factor.
	StandIn
	// Given is the file's own cost.
	Given
)

var basisNames = []string{"", "TARIFF", "STAND_IN_UNIT_COST", "GIVEN"}

// String returns the name.
func (b Basis) String() string { return basisNames[b] }

// NotionalNote is what stands beside every cost.
const NotionalNote = "Costs are notional, what attendances would come to by a list of prices: never an amount owed."

// Missing is why attendances have no cost.
type Missing struct {
	Reason string
	// Figure is what is missing, by name.
	Figure string
	Remedy string
}

// Fault writes it as a refusal.
func (m *Missing) Fault() *fault.Fault {
	return fault.New(fault.Refused, m.Reason, "%s missing: %s", m.Figure, m.Remedy).With(MetaMissing, m.Figure).With(MetaRemedy, m.Remedy)
}

// UnitCost is what one attendance costs, or why that is not known.
type UnitCost struct {
	Basis   Basis
	Price   *Price
	Factor  *Factor
	Missing *Missing

	unit *big.Rat // pounds
}

// Unit returns what an attendance of a group costs at a provider, in a department of a type.
func (t *Terms) Unit(provider string, department Department, hrg string) *UnitCost {
	standIn := !IsTariff(t.List)
	if !standIn && department > SingleSpecialty {
		return &UnitCost{Missing: &Missing{
			ReasonPriceIsLocal, fmt.Sprintf("local price of departments of type %s at %s", department, provider),
			"give the cost with the file, or choose a list that stands in",
		}}
	}
	price := t.prices[hrg]
	if price != nil && !price.holds(department) {
		price = nil
	}
	if missing := t.lacks(price, department, hrg); missing != nil {
		return &UnitCost{Missing: missing}
	}
	if standIn {
		return &UnitCost{Basis: StandIn, Price: price, unit: price.Amount}
	}
	factor := t.factors[provider]
	name := factorName(provider, t.Year)
	switch {
	case factor == nil || factor.Value == nil:
		return &UnitCost{Missing: &Missing{ReasonFactorUnknown, name, "enter it with its source"}}
	case !factor.Confidence.Payable():
		return &UnitCost{Missing: &Missing{ReasonFactorNotConfirmed, name, "confirm candidate " + factor.ID + ", or enter it with its source"}}
	}
	return &UnitCost{Basis: Tariff, Price: price, Factor: factor, unit: new(big.Rat).Mul(price.Amount, factor.Value)}
}

func factorName(provider string, year period.FinancialYear) string {
	return fmt.Sprintf("market forces factor of %s in %s", provider, year)
}

// lacks says what is wrong with a price; nil where nothing is.
func (t *Terms) lacks(price *Price, department Department, hrg string) *Missing {
	name := fmt.Sprintf("price of %s in departments of type %s by %s", hrg, department, t.List)
	if hrg == "" {
		return &Missing{ReasonPriceUnknown, "healthcare resource group of attendances that were not grouped", "send them grouped, or with their cost"}
	}
	switch {
	case price == nil || price.Amount == nil:
		return &Missing{ReasonPriceUnknown, name, "enter it with its source, or choose a list that stands in"}
	case !price.Confidence.Payable():
		return &Missing{ReasonPriceNotConfirmed, name, "confirm candidate " + price.ID + ", or enter it with its source"}
	}
	return nil
}

// Of returns what a number of attendances costs, rounded once, half up to the penny.
func (u *UnitCost) Of(count int64) (money.Pence, error) {
	pence, err := money.RoundHalfUp(new(big.Rat).Mul(u.unit, whole(count)))
	if err != nil {
		return 0, tooLarge(err)
	}
	return pence, nil
}

// Working shows the steps to what Of returns.
func (u *UnitCost) Working(count int64, origin working.Origin) *working.Working {
	var b working.Builder
	attendances := b.Input("attendances", whole(count), "attendances", origin)
	operands := []working.Term{attendances, b.Input("price of "+u.Price.HRG, u.Price.Amount, "GBP_per_attendance", u.Price.origin())}
	clause := "attendances × average unit cost, which stands in for the tariff; no market forces factor"
	if u.Factor != nil {
		operands = append(operands, b.Input("market forces factor of "+u.Factor.Provider, u.Factor.Value, "factor", u.Factor.origin()))
		clause = "attendances × tariff price × market forces factor of the provider"
	}
	exact := b.Step("notional cost, exact", working.Multiply, "GBP", clause, operands...)
	b.Round("notional cost", money.HalfUp, pencePlaces, "GBP", "rounded once a row, half up to the penny", exact)
	return b.Done()
}

// GivenWorking shows a cost that the file gives.
func GivenWorking(pence money.Pence, origin working.Origin) *working.Working {
	var b working.Builder
	given := b.Input("cost of the file", pence.GBP(), "GBP", origin)
	b.Step("notional cost", working.Add, "GBP", "the file's own cost goes before a list of prices", given)
	return b.Done()
}

const pencePlaces = 2

func whole(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func tooLarge(err error) error {
	return fault.New(fault.Refused, ReasonAmountTooLarge, "a cost is too large to be written in pence").Because(err)
}

// With returns terms in which a price and a factor stand in the place of those that are recorded; nil changes nothing.
func (t *Terms) With(price *Price, factor *Factor) *Terms {
	out := *t
	if price != nil {
		out.prices = maps.Clone(t.prices)
		out.prices[price.HRG] = price
	}
	if factor != nil {
		out.factors = maps.Clone(t.factors)
		out.factors[factor.Provider] = factor
	}
	return &out
}

// Figures returns the versions that a cost came from.
func (u *UnitCost) Figures() (out []string) {
	if u.Price != nil && u.Price.ID != "" {
		out = append(out, u.Price.ID)
	}
	if u.Factor != nil && u.Factor.ID != "" {
		out = append(out, u.Factor.ID)
	}
	return out
}
