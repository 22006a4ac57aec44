package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

const (
	clauseListSize   = "IIF: list size adjustment: the network's list ÷ the national average"
	clausePrevalence = "IIF: prevalence adjustment: the network's prevalence ÷ the national, for quantitative indicators"
	clausePayment    = "IIF: points × price × list size adjustment × prevalence adjustment"
	unitGBP          = "GBP"

	patientsOfIndicator = "patients of the indicator"
	percentOfWhole      = "percent of a whole"
)

// pay turns points into pence. Points of nothing pay nothing whatever the adjustments, which then need not be known. Tests are
// noted for what is due, not for a measured result that an override has replaced.
func (a *assessing) pay(p *Payment, b *working.Builder, points working.Term, refused *fault.Fault, due bool) error {
	if p.Refused = refused; !p.Known() {
		return nil
	}
	p.Points = points.Value
	factors := []working.Term{points}
	if points.Value.Sign() > 0 {
		var adjusted []working.Term
		if adjusted, p.Refused = a.adjust(b, due); !p.Known() {
			return nil
		}
		factors = append(factors, adjusted...)
	}
	if a.it.Confidence.Payable() { // all but an undefined one that the version does not assess
		b.Input("definition of the indicator", one, "", a.it.origin())
	}
	exact := b.Step("payment before rounding", working.Multiply, unitGBP, clausePayment, factors...)
	rounded := b.Round("payment", a.t.Version.Rounding.Mode, pencePlaces, unitGBP, clauseRounding, exact)
	amount, err := toPence(rounded.Value)
	if err != nil {
		return err
	}
	p.Amount, p.Working = amount, b.Done()
	p.Confidence = p.Working.Confidence()
	if due {
		a.number(TestPayment, "payment", rounded.Value, unitGBP)
		a.decide(TestPayment, Passed)
	}
	return nil
}

// adjust notes price and adjustments, in the order in which they are multiplied.
func (a *assessing) adjust(b *working.Builder, due bool) ([]working.Term, *fault.Fault) {
	waits := func(t Test, refused *fault.Fault) ([]working.Term, *fault.Fault) {
		if due {
			a.decide(t, Waits, refused.Reason)
		}
		return nil, refused
	}
	if refused := a.t.Price.need(); refused != nil {
		return waits(TestPayment, refused)
	}
	price := a.t.Price.input(b, "GBP_per_point")
	list, size, refused := a.listSize(b)
	if refused != nil {
		return waits(TestListSize, refused)
	}
	prevalence, refused := a.prevalence(b, list)
	if due {
		a.out.ListSize = size.Value
		a.decide(TestListSize, Passed)
		a.number(TestListSize, "list size", list.Value, unitPatients)
		a.number(TestListSize, "list size adjustment", size.Value, "")
	}
	if refused != nil {
		return waits(TestPrevalence, refused)
	}
	if due {
		a.out.Prevalence = prevalence.Value
		a.decide(TestPrevalence, Passed)
		if prevalence.Value.Sign() == 0 { // points without patients: given by an override, and worth nothing
			a.out.Notes = append(a.out.Notes, ReasonPrevalenceOfNothing)
			a.decide(TestPrevalence, Passed, ReasonPrevalenceOfNothing)
		}
		a.number(TestPrevalence, "prevalence adjustment", prevalence.Value, "")
	}
	return []working.Term{price, size, prevalence}, nil
}

// listSize divides the list by the national average. The list is zero where the adjustment was stated.
func (a *assessing) listSize(b *working.Builder) (list, adjustment working.Term, refused *fault.Fault) {
	if stated := a.q.ListSize; stated.Value != nil {
		if stated.Value.Sign() <= 0 {
			return list, adjustment, fault.New(fault.Invalid, ReasonFigureInvalid, "a list size adjustment is above nothing")
		}
		if a.n.ListSize.Value != nil {
			list = b.Input("list size", a.n.ListSize.Value, unitPatients, a.n.ListSize.Origin)
		}
		return list, b.Input("list size adjustment", stated.Value, "", stated.Origin), nil
	}
	if refused := a.t.Average.need(); refused != nil {
		return list, adjustment, refused
	}
	if size := a.n.ListSize.Value; size == nil || size.Sign() <= 0 {
		return list, adjustment, missing(ReasonListSizeMissing, "registered list of the network", "load or enter the list that is paid on")
	}
	if of, own := a.t.Average.Value.List, a.n.List; (of.Kind != "" && of.Kind != own.Kind) || (!of.On.IsZero() && of.On != own.On) {
		return list, adjustment, fault.New(fault.Refused, ReasonListMismatch, "the average is of the %s list of %s, the network's of the %s list of %s",
			of.Kind, of.On, own.Kind, own.On).
			With(metaMissing, "list of the network of the kind and day of the average").With(metaRemedy, "load that list, or enter the average of this one")
	}
	list = b.Input("list size", a.n.ListSize.Value, unitPatients, a.n.ListSize.Origin)
	average := a.t.Average.input(b, unitPatients)
	return list, b.Step("list size adjustment", working.Divide, "", clauseListSize, list, average), nil
}

// prevalence divides the denominator as a percentage of the list by the national prevalence. Questions of yes or no take 1, and so
// do indicators that a stated rule leaves unadjusted; where the rule is not known it is asked for.
func (a *assessing) prevalence(b *working.Builder, list working.Term) (working.Term, *fault.Fault) {
	if a.it.Kind == Binary {
		return a.unadjusted(b, working.Origin{Kind: working.FromContract, Source: "questions of yes or no are not adjusted"})
	}
	refused := a.it.Prevalent.need()
	if refused == nil && a.it.Prevalent.Value.Amount.Sign() == 0 {
		return a.unadjusted(b, a.it.Prevalent.Value.origin())
	}
	if stated := a.q.Prevalence[a.it.Code]; stated.Value != nil {
		if stated.Value.Sign() < 0 {
			return working.Term{}, fault.New(fault.Invalid, ReasonFigureInvalid, "a prevalence adjustment is not negative")
		}
		return b.Input("prevalence adjustment", stated.Value, "", stated.Origin), nil
	}
	if refused != nil {
		return working.Term{}, refused
	}
	if refused := a.it.National.need(); refused != nil {
		return working.Term{}, refused
	}
	if a.out.Measure.Denominator == nil {
		return working.Term{}, missing(ReasonCountMissing, "denominator of "+a.it.Code, "submit the indicator's counts")
	}
	if list.Value == nil {
		return working.Term{}, missing(ReasonListSizeMissing, "registered list of the network", "load or enter the list that is paid on")
	}
	register := b.Input(patientsOfIndicator, a.out.Measure.Denominator, unitPatients, a.c.Origin)
	percent := b.Input(percentOfWhole, hundred, "percent", contract())
	times := b.Step("patients of the indicator × 100", working.Multiply, "percent", clausePrevalence, register, percent)
	own := b.Step("prevalence of the network", working.Divide, "percent", clausePrevalence, times, list)
	national := a.it.National.input(b, "percent")
	return b.Step("prevalence adjustment", working.Divide, "", clausePrevalence, own, national), nil
}

// unadjusted takes 1 by the rule of the origin, which a quotation does not set aside.
func (a *assessing) unadjusted(b *working.Builder, rule working.Origin) (working.Term, *fault.Fault) {
	if stated := a.q.Prevalence[a.it.Code]; stated.Value != nil && stated.Value.Cmp(one) != 0 {
		return working.Term{}, fault.New(fault.Invalid, ReasonFigureInvalid, "prevalence does not adjust %s: %s cannot be stated", a.it.Code,
			stated.Value.RatString()).With("figure", a.it.Code)
	}
	return b.Input("prevalence adjustment", one, "", rule), nil
}

// payNothing pays nothing for an indicator that the version does not assess.
func (a *assessing) payNothing(p *Payment, reason string) error {
	b := new(working.Builder)
	points := b.Input("points", nothing, "points", working.Origin{
		Kind: working.FromRate, Ref: a.it.ID, Source: reason + ", " + a.t.Version.Source, Confidence: a.t.Version.Confidence,
	})
	if err := a.pay(p, b, points, nil, true); err != nil {
		return err
	}
	a.out.Due = *p
	return nil
}

// toPence reads pounds that were rounded to the penny.
func toPence(gbp *big.Rat) (money.Pence, error) {
	amount, err := money.RoundHalfUp(gbp)
	if err == nil && amount.GBP().Cmp(gbp) != 0 {
		return 0, fault.Bug("%s is not rounded to the penny", gbp.RatString())
	}
	return amount, err
}
