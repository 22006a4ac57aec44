package rules

import (
	"cmp"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Population is the number of patients or beds that a rate is multiplied by.
type Population struct {
	// Value is the number as a whole; nil where it is the sum of Practices.
	Value *big.Rat
	// Origin is where Value came from. Where it names no record, the working adds up Practices, each with its own origin.
	Origin working.Origin
	// Practices is the number practice by practice, where it is known so.
	Practices []PracticePopulation
}

// PracticePopulation is one practice's part of a population.
type PracticePopulation struct {
	Code   string
	Value  *big.Rat
	Origin working.Origin
}

// Total returns the number as a whole.
func (p Population) Total() *big.Rat {
	if p.Value != nil {
		return p.Value
	}
	total := new(big.Rat)
	for _, practice := range p.Practices {
		total.Add(total, practice.Value)
	}
	return total
}

// Term is one rate with the population it is multiplied by.
type Term struct {
	// Name tells the terms of one payment apart; empty for a single one.
	Name string
	// RateGBP is pounds per unit for the whole period; nil while unknown.
	RateGBP *big.Rat
	// MonthlyRateGBP is pounds per unit and month as published; nil where none is.
	MonthlyRateGBP *big.Rat
	RateOrigin     working.Origin
	Population     Population
	// Unit is what the population counts: patients or beds.
	Unit string
	// Clause names the component and the contract where a payment has several; empty means that of the payment.
	Clause string
	// Per is what the rate is paid per, such as registered_patient; empty means one of Unit.
	Per string
}

// InstalmentInput is everything that decides one instalment.
type InstalmentInput struct {
	PaymentCode string
	// Terms are added up before rounding. That merged core is rounded once on the sum is an assumption: the rule is not
	// published.
	Terms []Term
	// Instalments is the number of months in the period; 1 for a payment made once.
	Instalments int
	// Number is which of them is asked for, from 1.
	Number     int
	Convention Convention
	// ConventionOrigin is the setting that chose the convention; the zero value means the contract's number of months.
	ConventionOrigin working.Origin
	// Clause names the payment and the contract.
	Clause string
}

// Period returns what the payment comes to for the whole of its period: the period's rate × population, rounded half up once, by
// every convention alike. It needs input that Instalment accepts.
func (in *InstalmentInput) Period() (money.Pence, error) {
	return money.RoundHalfUp(wholePeriod(in.Terms, in.Instalments))
}

// wholePeriod is rate × population for the period, in pounds. Where only a monthly rate is given, the months are added up.
func wholePeriod(terms []Term, instalments int) *big.Rat {
	total := new(big.Rat)
	for _, term := range terms {
		rate := term.RateGBP
		if rate == nil {
			rate = new(big.Rat).Mul(term.MonthlyRateGBP, big.NewRat(int64(instalments), 1))
		}
		total.Add(total, new(big.Rat).Mul(rate, term.Population.Total()))
	}
	return total
}

// Basis is what an amount rests on in short, as a statement shows it: see pcnfunding.type.v1.LineBasis.
type Basis struct {
	// Factors are added up before they are divided. There is none where nothing is due any more.
	Factors []Factor
	// Instalments is the number of months the sum is divided by: 1 for a payment made once and for rates per month.
	Instalments int
	// Convention is the zero value for a payment made once on declaration.
	Convention Convention
	// Share of the sum that is due; nil means all of it.
	Share  *big.Rat
	Clause string
}

// Factor is one rate with the quantity it is multiplied by.
type Factor struct {
	RateGBP *big.Rat
	// Per is what the rate is paid per, such as registered_patient, and Unit what the quantity counts.
	Per      string
	Quantity *big.Rat
	Unit     string
	Origin   working.Origin
	Clause   string
}

// Basis returns what the instalment rests on: the rates that its convention takes.
func (in *InstalmentInput) Basis() *Basis {
	out := &Basis{Factors: make([]Factor, len(in.Terms)), Instalments: in.Instalments, Convention: cmp.Or(in.Convention, PCNAnnual), Clause: in.Clause}
	for n := range in.Terms {
		out.Factors[n] = in.Terms[n].factor(in.Clause)
	}
	if in.Convention == PCNMonthlyRate {
		out.Instalments = 1
		for n := range in.Terms {
			out.Factors[n].RateGBP = in.Terms[n].MonthlyRateGBP
		}
	}
	return out
}

// factor pairs the period's rate with its population; the clause stands where the term has none of its own.
func (t *Term) factor(clause string) Factor {
	return Factor{
		RateGBP: t.RateGBP, Per: t.per(), Quantity: t.Population.Total(), Unit: t.unit(), Origin: t.RateOrigin, Clause: cmp.Or(t.Clause, clause),
	}
}

// Names in a working. None of the steps ends in _rate, _population or _amount, as those of single terms do.
const (
	nameMonths     = "months"
	namePeriod     = "whole_period"
	nameMonth      = "one_month"
	nameInstalment = "instalment"
	unitGBP        = "GBP"
)

// What the steps rest on. The rounding is inferred from published totals (NHS Payments to General Practice): the text of the
// contract on it was not seen.
const (
	clauseOnce         = "paid once, rounded half up"
	clauseAnnual       = "PCN_ANNUAL: monthly instalments rounded half up, no true-up"
	clauseMonthlyRate  = "PCN_MONTHLY_RATE: published monthly rate × population, rounded half up each month"
	clausePracticeSum  = "PRACTICE_SUM: monthly instalments rounded half up practice by practice, then added"
	clauseResidual     = "RESIDUAL_LAST: instalments before the last rounded half up"
	clauseResidualYear = "RESIDUAL_LAST: amount of the period rounded half up once"
	clauseResidualLast = "RESIDUAL_LAST: the last instalment is what remains of the period's amount"
)

// Instalment computes one instalment of a payment and its working, whose last step is the amount. It refuses what it lacks
// a figure for with a fault of kind Refused (RATE_UNKNOWN, MONTHLY_RATE_MISSING, POPULATION_MISSING), and returns a fault of
// kind Invalid for input that no payment can have.
//
// Worked examples CDP-001 to CDP-084 and LM-001 to LM-008 in testdata/examples.csv of the service show it; many of them are
// totals that were published.
func Instalment(in InstalmentInput) (money.Pence, *working.Working, error) {
	if in.Convention == 0 {
		in.Convention = PCNAnnual
	}
	if err := in.check(); err != nil {
		return 0, nil, err
	}
	i := instalment{in: in}
	i.b.Grow(i.figures())
	if in.Instalments > 1 {
		origin := in.ConventionOrigin
		if origin.Kind == 0 {
			origin.Kind = working.FromContract
		}
		i.months = i.b.Input(nameMonths, new(big.Rat).SetInt64(int64(in.Instalments)), nameMonths, origin)
	}
	var amount working.Term
	var err error
	switch {
	case in.Convention == PCNMonthlyRate:
		amount, err = i.monthlyRate()
	case in.Convention == PracticeSum && in.Terms[0].Unit != beds:
		amount, err = i.practiceSum()
	case in.Convention == ResidualLast && in.Instalments > 1 && in.Number == in.Instalments:
		amount, err = i.residual()
	default:
		amount, err = i.annual()
	}
	if err != nil {
		return 0, nil, err
	}
	pence, err := money.RoundHalfUp(amount.Value)
	if err != nil {
		return 0, nil, err
	}
	return pence, i.b.Done(), nil
}

// check refuses input that lacks a figure, or that no payment can have.
func (in *InstalmentInput) check() error {
	if len(in.Terms) == 0 {
		return fault.New(fault.Invalid, ReasonQuoteIncomplete, "%s has no rate to compute with", in.PaymentCode)
	}
	if in.Instalments < 1 || in.Number < 1 || in.Number > in.Instalments {
		return fault.New(fault.Invalid, ReasonQuoteIncomplete, "%s has no instalment %d of %d", in.PaymentCode, in.Number, in.Instalments)
	}
	if in.Convention < PCNAnnual || in.Convention > ResidualLast {
		return fault.New(fault.Invalid, ReasonSettingInvalid, "%s has no known instalment convention", in.PaymentCode)
	}
	for n := range in.Terms {
		if err := in.checkTerm(n); err != nil {
			return err
		}
	}
	return nil
}

func (in *InstalmentInput) checkTerm(n int) error {
	term := &in.Terms[n]
	if term.Name == "" && len(in.Terms) > 1 {
		return fault.New(fault.Invalid, ReasonQuoteIncomplete, "%s has several components, and component %d has no name", in.PaymentCode, n+1)
	}
	for _, earlier := range in.Terms[:n] {
		if strings.EqualFold(earlier.Name, term.Name) {
			return fault.New(fault.Invalid, ReasonQuoteIncomplete, "%s has two components named %q", in.PaymentCode, term.Name)
		}
	}
	rate := term.RateGBP
	if in.Convention == PCNMonthlyRate {
		rate = term.MonthlyRateGBP
		if rate == nil {
			return fault.New(fault.Refused, ReasonMonthlyRateMissing,
				"%s is paid by PCN_MONTHLY_RATE, and no monthly rate is published", in.name(n)).With("missing", "monthly rate of "+in.name(n))
		}
	}
	if rate == nil {
		return fault.New(fault.Refused, ReasonRateUnknown, "the rate of %s is not known", in.name(n)).With("missing", "rate of "+in.name(n))
	}
	if rate.Sign() < 0 {
		return fault.New(fault.Invalid, ReasonDecimalMalformed, "the rate of %s is negative: %s", in.name(n), money.Format(rate))
	}
	return in.checkPopulation(n)
}

func (in *InstalmentInput) checkPopulation(n int) error {
	population := &in.Terms[n].Population
	if population.Value == nil && len(population.Practices) == 0 {
		return fault.New(fault.Refused, ReasonPopulationMissing, "%s lacks its population", in.name(n)).With("missing", "population of "+in.name(n))
	}
	if population.Value != nil && population.Value.Sign() < 0 {
		return fault.New(fault.Invalid, ReasonDecimalMalformed, "the population of %s is negative: %s", in.name(n), money.Format(population.Value))
	}
	for _, practice := range population.Practices {
		if practice.Value.Sign() < 0 {
			return fault.New(fault.Invalid, ReasonDecimalMalformed, "the population of practice %s is negative: %s", practice.Code, money.Format(practice.Value))
		}
	}
	return nil
}

// name names a term in messages.
func (in *InstalmentInput) name(n int) string {
	if in.Terms[n].Name == "" {
		return in.PaymentCode
	}
	return in.PaymentCode + " " + in.Terms[n].Name
}

// instalment is one instalment under construction.
type instalment struct {
	in     InstalmentInput
	b      working.Builder
	months working.Term
}

// figures returns how many inputs and steps the working is going to have, at the least.
func (i *instalment) figures() (inputs, steps int) {
	inputs, steps = 1, 2
	for _, term := range i.in.Terms {
		practices := len(term.Population.Practices)
		inputs, steps = inputs+1+max(practices, 1), steps+1
		if i.in.Convention == PracticeSum {
			steps += 3 * practices
		}
	}
	return inputs, steps
}

// annual rounds rate × population ÷ months.
func (i *instalment) annual() (working.Term, error) {
	month, err := i.month()
	if err != nil {
		return month, err
	}
	clause := clauseAnnual
	switch {
	case i.in.Instalments == 1:
		clause = clauseOnce
	case i.in.Convention == ResidualLast:
		clause = clauseResidual
	}
	return i.b.Round(nameInstalment, money.HalfUp, 2, unitGBP, clause, month), nil
}

// month returns one month's part before rounding; of a payment made once, the whole.
func (i *instalment) month() (working.Term, error) {
	whole, err := i.amount(namePeriod)
	if err != nil || i.in.Instalments == 1 {
		return whole, err
	}
	return i.b.Step(nameMonth, working.Divide, unitGBP, "", whole, i.months), nil
}

// amount adds up rate × population of the terms, under the name given.
func (i *instalment) amount(name string) (working.Term, error) {
	if len(i.in.Terms) == 1 {
		rate := i.rate(0)
		population, err := i.population(0)
		if err != nil {
			return population, err
		}
		return i.b.Step(name, working.Multiply, unitGBP, i.in.Clause, rate, population), nil
	}
	amounts := make([]working.Term, len(i.in.Terms))
	for n := range i.in.Terms {
		rate := i.rate(n)
		population, err := i.population(n)
		if err != nil {
			return population, err
		}
		amounts[n] = i.b.Step(i.prefix(n)+"amount", working.Multiply, unitGBP, i.clause(n), rate, population)
	}
	return i.b.Step(name, working.Add, unitGBP, "components added before rounding", amounts...), nil
}

// clause names the component, where the payment has several, or the payment.
func (i *instalment) clause(n int) string { return cmp.Or(i.in.Terms[n].Clause, i.in.Clause) }

// monthlyRate rounds published monthly rate × population. A payment made once has no month, so it too needs the figure.
func (i *instalment) monthlyRate() (working.Term, error) {
	month, err := i.amount(nameMonth)
	if err != nil {
		return month, err
	}
	return i.b.Round(nameInstalment, money.HalfUp, 2, unitGBP, clauseMonthlyRate, month), nil
}

// residual pays in the last month what the instalments before have left of the period's amount rounded once. It can be less
// than nothing, where each instalment before was rounded up from next to nothing.
func (i *instalment) residual() (working.Term, error) {
	whole, err := i.amount(namePeriod)
	if err != nil {
		return whole, err
	}
	month := i.b.Step(nameMonth, working.Divide, unitGBP, "", whole, i.months)
	each := i.b.Round("each_before", money.HalfUp, 2, unitGBP, clauseResidual, month)
	total := i.b.Round("period_rounded", money.HalfUp, 2, unitGBP, clauseResidualYear, whole)
	before := i.b.Input("instalments_before", new(big.Rat).SetInt64(int64(i.in.Instalments-1)), "instalments", working.Origin{Kind: working.FromContract})
	paid := i.b.Step("paid_before", working.Multiply, unitGBP, "", each, before)
	return i.b.Step(nameInstalment, working.Subtract, unitGBP, clauseResidualLast, total, paid), nil
}

// practiceSum rounds practice by practice and adds.
func (i *instalment) practiceSum() (working.Term, error) {
	rates := make([]working.Term, len(i.in.Terms))
	for n := range i.in.Terms {
		rates[n] = i.rate(n)
	}
	first := i.in.Terms[0].Population.Practices
	if len(first) == 0 {
		return working.Term{}, i.practicesMissing(0, "its practices")
	}
	rounded := make([]working.Term, len(first))
	for p, practice := range first {
		whole, err := i.practiceAmount(rates, practice.Code)
		if err != nil {
			return whole, err
		}
		if i.in.Instalments > 1 {
			whole = i.b.Step(practice.Code+"_one_month", working.Divide, unitGBP, "", whole, i.months)
		}
		rounded[p] = i.b.Round(practice.Code+"_instalment", money.HalfUp, 2, unitGBP, clausePracticeSum, whole)
	}
	return i.b.Step(nameInstalment, working.Add, unitGBP, clausePracticeSum, rounded...), nil
}

// practiceAmount adds up rate × population of one practice over the terms.
func (i *instalment) practiceAmount(rates []working.Term, code string) (working.Term, error) {
	amounts := make([]working.Term, len(rates))
	for n := range i.in.Terms {
		term := &i.in.Terms[n]
		practice, found := term.Population.of(code)
		if !found || len(term.Population.Practices) != len(i.in.Terms[0].Population.Practices) {
			return working.Term{}, i.practicesMissing(n, "every practice of the other components")
		}
		population := i.b.Input(code+"_"+i.prefix(n)+"population", practice.Value, term.unit(), practice.Origin)
		amounts[n] = i.b.Step(code+"_"+i.prefix(n)+"amount", working.Multiply, unitGBP, i.clause(n), rates[n], population)
	}
	if len(amounts) == 1 {
		return amounts[0], nil
	}
	return i.b.Step(code+"_whole_period", working.Add, unitGBP, "components added before rounding", amounts...), nil
}

func (i *instalment) practicesMissing(n int, of string) error {
	return fault.New(fault.Refused, ReasonPopulationMissing,
		"%s is rounded practice by practice, and the population of %s is not given", i.in.name(n), of).
		With("missing", "population by practice of "+i.in.name(n))
}

func (p Population) of(code string) (PracticePopulation, bool) {
	for _, practice := range p.Practices {
		if practice.Code == code {
			return practice, true
		}
	}
	return PracticePopulation{}, false
}

// rate notes the rate of a term: the monthly one where the convention asks for it.
func (i *instalment) rate(n int) working.Term {
	term := &i.in.Terms[n]
	if i.in.Convention == PCNMonthlyRate {
		return i.b.Input(i.prefix(n)+"monthly_rate", term.MonthlyRateGBP, ratePer(term.per())+"_and_month", term.RateOrigin)
	}
	return i.b.Input(i.prefix(n)+"rate", term.RateGBP, ratePer(term.per()), term.RateOrigin)
}

// population notes the population of a term as a whole, adding up practices where the whole has no record of its own.
func (i *instalment) population(n int) (working.Term, error) {
	term := &i.in.Terms[n]
	population := &term.Population
	name := i.prefix(n) + "population"
	if population.Value != nil && (population.Origin.Kind != 0 || len(population.Practices) == 0) {
		return i.b.Input(name, population.Value, term.unit(), population.Origin), nil
	}
	practices := make([]working.Term, len(population.Practices))
	for p, practice := range population.Practices {
		practices[p] = i.b.Input(practice.Code+"_"+name, practice.Value, term.unit(), practice.Origin)
	}
	sum := i.b.Step(name, working.Add, term.unit(), "", practices...)
	if population.Value != nil && population.Value.Cmp(sum.Value) != 0 {
		return sum, fault.Bug("population of %s is %s, but its practices sum to %s",
			i.in.name(n), money.Format(population.Value), money.Format(sum.Value))
	}
	return sum, nil
}

// prefix tells the figures of one term from those of the others.
func (i *instalment) prefix(n int) string {
	switch name := i.in.Terms[n].Name; name {
	case "":
		return ""
	case "REGISTERED":
		return "registered_"
	case "ADJUSTED":
		return "adjusted_"
	default:
		return strings.ToLower(name) + "_"
	}
}

func (t *Term) unit() string {
	if t.Unit == "" {
		return patients
	}
	return t.Unit
}

func (t *Term) per() string {
	if t.Per == "" {
		return strings.TrimSuffix(t.unit(), "s")
	}
	return t.Per
}

// ratePer names the unit of a rate. The usual ones are constants, because this is computed for every line.
func ratePer(unit string) string {
	switch unit {
	case "registered_patient":
		return "GBP_per_registered_patient"
	case "weighted_patient":
		return "GBP_per_weighted_patient"
	case "adjusted_patient":
		return "GBP_per_adjusted_patient"
	case "care_home_bed":
		return "GBP_per_care_home_bed"
	default:
		return "GBP_per_" + unit
	}
}
