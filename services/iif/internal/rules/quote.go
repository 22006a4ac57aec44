package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// WholeScheme returns all points that a version offers as one, for who asks what points come to without their indicators (example
// IIF-003). Its prevalence adjustment is always to be stated.
func (t *Terms) WholeScheme() *IndicatorTerms {
	figure := t.Version.Figure
	figure.Confidence = t.Version.PointsConfidence
	key := Key{Year: t.Year, VersionID: t.Version.VersionID, Field: PointsField}
	return &IndicatorTerms{
		Indicator: Indicator{Figure: t.Version.Figure, VersionID: t.Version.VersionID, Kind: Percentage, Status: Active},
		Points:    Held{Key: key, Value: &Value{Figure: figure, Key: key, Amount: t.Version.Points}},
		Prevalent: Held{Key: Key{Year: t.Year, VersionID: t.Version.VersionID, Field: PrevalentField}},
	}
}

// QuotePoints tells what points that someone states come to, in place of those that counts would earn (examples IIF-003 and
// IIF-031). It refuses more points than are available. Its result is not for payment.
func QuotePoints(t *Terms, it *IndicatorTerms, n *Network, points Given, q Quotation) (*Payment, error) {
	a := assessing{t: t, it: it, n: n, q: q, c: new(Counts), out: Result{Code: it.Code, IndicatorID: it.ID, Status: it.Status}}
	out := new(Payment)
	if out.Refused = a.unquotable(); !out.Known() {
		return out, nil
	}
	if most := it.Points.Value.Amount; points.Value.Sign() < 0 || points.Value.Cmp(most) > 0 {
		return nil, fault.New(fault.Invalid, ReasonFigureInvalid, "%s points are not within the %s that are available", money.Format(points.Value), money.Format(most)).
			With("available", money.Format(most))
	}
	b := new(working.Builder)
	earned := b.Input(pointsEarned, points.Value, "points", points.Origin)
	if t.Version.Rounding.PointsFirst {
		earned = t.Version.Rounding.points(b, earned, it.Points.input(b, "points"))
	}
	return out, a.pay(out, b, earned, nil, true)
}

// unquotable refuses points of an indicator that earns none, or of which it is not known how many it has.
func (a *assessing) unquotable() *fault.Fault {
	if refused := a.unconfirmed(); refused != nil {
		return refused
	}
	if reason, stopped := a.it.stopped(); stopped {
		return fault.New(fault.Refused, reason, "%s is not assessed in %s", a.it.Code, a.it.VersionID).
			With(metaMissing, "points of "+a.it.Code+" in "+a.it.VersionID).With(metaRemedy, "ask for an indicator that the version assesses")
	}
	return a.it.Points.need()
}

// Adjustments are what a payment is adjusted by.
type Adjustments struct {
	ListSize, Prevalence, Product *big.Rat
	// AverageRegister is what the national prevalence gives of the average list, in patients, and Share the network's register over
	// it: the product once more, since the list cancels. Both are nil where an adjustment was stated or prevalence does not adjust.
	AverageRegister, Share *big.Rat
	// Working gives Product.
	Working *working.Working
}

// QuoteAdjustments works out the adjustments of an indicator for a register of patients (example IIF-029). It refuses by name what
// is missing for them.
func QuoteAdjustments(t *Terms, it *IndicatorTerms, n *Network, register Given, q Quotation) (*Adjustments, error) {
	a := assessing{t: t, it: it, n: n, q: q, c: &Counts{Origin: register.Origin}}
	a.out.Measure.Denominator = register.Value
	b := new(working.Builder)
	list, size, refused := a.listSize(b)
	if refused != nil {
		return nil, refused
	}
	prevalence, refused := a.prevalence(b, list)
	if refused != nil {
		return nil, refused
	}
	out := &Adjustments{ListSize: size.Value, Prevalence: prevalence.Value}
	adjusted := it.Kind != Binary && it.Prevalent.need() == nil && it.Prevalent.Value.Amount.Sign() > 0
	if adjusted && q.Prevalence[it.Code].Value == nil && q.ListSize.Value == nil {
		term := func(h *Held) working.Term {
			words, _, _ := h.Key.Field.wants()
			return working.Term{Name: words, Value: h.Value.Amount}
		}
		percent := working.Term{Name: percentOfWhole, Value: hundred}
		of := b.Step("national prevalence of the average list × 100", working.Multiply, unitPatients, clausePrevalence, term(&t.Average), term(&it.National))
		average := b.Step("average register", working.Divide, unitPatients, clausePrevalence, of, percent)
		own := working.Term{Name: patientsOfIndicator, Value: register.Value}
		out.AverageRegister, out.Share = average.Value, b.Step("register over the average register", working.Divide, "", clausePrevalence, own, average).Value
	}
	out.Product = b.Step("product of the adjustments", working.Multiply, "", clausePayment, size, prevalence).Value
	out.Working = b.Done()
	if out.Share != nil && out.Share.Cmp(out.Product) != 0 {
		return nil, fault.Bug("the adjustments of %s do not come to its register over the average one", it.ID)
	}
	return out, nil
}

// QuoteNationalValue works out NationalValue of an indicator, or of WholeScheme, and refuses by name what is not known of it. The
// working gives the value in pounds.
func QuoteNationalValue(t *Terms, it *IndicatorTerms, shareExpected Given, networks int64) (*working.Working, error) {
	for _, h := range []*Held{&it.Points, &t.Price} {
		if refused := h.need(); refused != nil {
			return nil, refused
		}
	}
	if s := shareExpected.Value; s.Sign() < 0 || s.Cmp(one) > 0 {
		return nil, fault.New(fault.Invalid, ReasonFigureInvalid, "a share expected to be earned is from 0 to 1")
	}
	b := new(working.Builder)
	factors := []working.Term{
		it.Points.input(b, "points"), t.Price.input(b, "GBP_per_point"),
		b.Input("share expected to be earned", shareExpected.Value, "", shareExpected.Origin),
		b.Input("networks", whole(networks), "networks", shareExpected.Origin),
	}
	value := b.Step("national value", working.Multiply, unitGBP, "budget of the fund: points × price × share expected × networks", factors...)
	if value.Value.Cmp(NationalValue(it.Points.Value.Amount, t.Price.Value.Amount, shareExpected.Value, networks)) != 0 {
		return nil, fault.Bug("the working does not give the national value of %s", it.VersionID)
	}
	return b.Done(), nil
}
