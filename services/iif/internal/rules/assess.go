package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Test is one of the steps from counts to payment that each indicator passes in order.
type Test int

// The tests.
const (
	// TestStatus asks whether the version assesses the indicator.
	TestStatus Test = iota + 1
	// TestAchievement works out numerator, denominator and what they achieve.
	TestAchievement
	// TestPoints sets the achievement against the thresholds.
	TestPoints
	// TestOverride takes a national override in place of what was measured.
	TestOverride
	// TestListSize and TestPrevalence adjust the payment.
	TestListSize
	TestPrevalence
	// TestPayment multiplies and rounds.
	TestPayment
)

const tests = int(TestPayment)

// String returns the test as results name it.
func (t Test) String() string {
	switch t {
	case TestStatus:
		return "STATUS"
	case TestAchievement:
		return "ACHIEVEMENT"
	case TestPoints:
		return "POINTS"
	case TestOverride:
		return "OVERRIDE"
	case TestListSize:
		return "LIST_SIZE"
	case TestPrevalence:
		return "PREVALENCE"
	case TestPayment:
		return "PAYMENT"
	default:
		return ""
	}
}

// Outcome is how an indicator came out of a test.
type Outcome string

// The outcomes.
const (
	// NotReached stands where the test has nothing to decide: an earlier one left nothing, or waits.
	NotReached Outcome = "NOT_REACHED"
	Passed     Outcome = "PASSED"
	// Failed means that the indicator earns nothing for it.
	Failed Outcome = "FAILED"
	// Waits means that a figure or a count is missing.
	Waits Outcome = "WAITS"
)

// Number is one figure that a test looked at.
type Number struct {
	Name  string
	Value *big.Rat
	Unit  string
}

// TestResult is what one test said.
type TestResult struct {
	Test    Test
	Outcome Outcome
	// Reasons tell why it failed or waits, or what is to be noted though it passed.
	Reasons []string
	Numbers []Number
}

// Payment is what points come to.
type Payment struct {
	// Points are those earned, exactly; nil where they could not be worked out.
	Points *big.Rat
	// Amount means nothing while Refused names what is missing.
	Amount  money.Pence
	Refused *fault.Fault
	// Working gives Amount; nil where it is refused.
	Working *working.Working
	// Confidence is the least of the figures that the amount rests on.
	Confidence working.Confidence
}

// Known tells whether the amount could be worked out.
func (p *Payment) Known() bool { return p.Refused == nil }

// Result is what one indicator comes to for a network.
type Result struct {
	Code        string
	IndicatorID string
	Status      Status
	// Counted is false where no counts were given; a year is not declared before every indicator that pays has some.
	Counted bool
	Measure Measure
	// Notes are for the commissioner: a denominator of nothing, an answer that never came.
	Notes []string
	// Measured is what was earned by the counts, and Due what is paid: the same unless a national override takes its place.
	Measured, Due Payment
	// OverrideID is the override in force; empty where there is none.
	OverrideID string
	// ListSize and Prevalence are the adjustments of what is due; nil where they were not needed or are not known.
	ListSize, Prevalence *big.Rat
	Tests                [tests]TestResult
}

// Network is what a calculation needs to know of a network.
type Network struct {
	PCN string
	// ListSize is the contractor registered population, in patients.
	ListSize Given
	// List is which list that is; an average that says of which it is divides no other.
	List List
}

// Quotation states adjustments in place of those that would be worked out, for who asks what points would come to. Nothing that is
// paid passes through one: Assess and AssessYear take none.
type Quotation struct {
	// ListSize is the list size adjustment; it has no value where it is to be worked out.
	ListSize Given
	// Prevalence are the prevalence adjustments by code of the indicator. One that a rule fixes at 1 is refused with another value.
	Prevalence map[string]Given
}

// Assess works out one indicator for a network: status, achievement, points, override, adjustments, and one rounding to the penny.
// What cannot be worked out comes back refused by name, inside the result; an error is a state that cannot occur. No counts at all
// are nil.
func Assess(t *Terms, it *IndicatorTerms, n *Network, c *Counts) (*Result, error) {
	return Quote(t, it, n, c, Quotation{})
}

// Quote is Assess with adjustments that the caller states; its result is not for payment.
func Quote(t *Terms, it *IndicatorTerms, n *Network, c *Counts, q Quotation) (*Result, error) {
	a := assessing{t: t, it: it, n: n, q: q, out: Result{Code: it.Code, IndicatorID: it.ID, Status: it.Status, Counted: c != nil}}
	for i := range a.out.Tests {
		a.out.Tests[i] = TestResult{Test: Test(i + 1), Outcome: NotReached}
	}
	if c == nil {
		c = new(Counts)
	}
	a.c = c
	if err := a.run(); err != nil {
		return nil, err
	}
	return &a.out, a.holds()
}

// assessing is one indicator on its way through the tests.
type assessing struct {
	t   *Terms
	it  *IndicatorTerms
	n   *Network
	c   *Counts
	q   Quotation
	out Result
}

func (a *assessing) test(t Test) *TestResult { return &a.out.Tests[t-1] }

func (a *assessing) decide(t Test, outcome Outcome, reasons ...string) {
	a.test(t).Outcome = outcome
	a.test(t).Reasons = append(a.test(t).Reasons, reasons...)
}

func (a *assessing) number(t Test, name string, value *big.Rat, unit string) {
	if value != nil {
		a.test(t).Numbers = append(a.test(t).Numbers, Number{name, value, unit})
	}
}

func (a *assessing) run() error {
	if a.out.Due.Refused = a.unconfirmed(); !a.out.Due.Known() {
		a.decide(TestStatus, Waits, a.out.Due.Refused.Reason)
		a.out.Measured.Refused = a.out.Due.Refused
		return nil
	}
	measured := new(working.Builder)
	measured.Grow(15, 12)
	earned, refused := a.achieve(measured)
	if reason, stopped := a.it.stopped(); stopped {
		a.decide(TestStatus, Failed, reason)
		return a.payNothing(&a.out.Measured, reason)
	}
	a.decide(TestStatus, Passed)
	if a.it.Override == nil {
		if err := a.pay(&a.out.Measured, measured, earned, refused, true); err != nil {
			return err
		}
		a.out.Due = a.out.Measured
		return nil
	}
	if err := a.pay(&a.out.Measured, measured, earned, refused, false); err != nil {
		return err
	}
	return a.override()
}

// unconfirmed refuses an indicator whose definition and status nobody has confirmed, whatever its figures: it says neither what is
// measured nor which way is better. One of which no definition was found is refused as undefined where the version assesses it, and
// where it does not, nothing rests on the definition.
func (a *assessing) unconfirmed() *fault.Fault {
	if a.it.Confidence.Payable() || a.it.Kind == Undefined {
		return nil
	}
	return missing(ReasonIndicatorNotConfirmed, "confirmation of indicator "+a.it.Code+" in "+a.it.VersionID,
		"confirm candidate "+a.it.ID+", or enter the indicator with its source")
}

// stopped tells why the version does not assess the indicator.
func (it *IndicatorTerms) stopped() (string, bool) {
	switch it.Status {
	case Suspended:
		return ReasonIndicatorSuspended, true
	case Deferred:
		return ReasonIndicatorDeferred, true
	case Retired:
		if it.ReplacedBy != "" {
			return ReasonIndicatorReplaced, true
		}
		return ReasonIndicatorRetired, true
	case Active, Overridden:
	}
	return "", false
}

// achieve measures and earns points; what is missing comes back as a refusal.
func (a *assessing) achieve(b *working.Builder) (working.Term, *fault.Fault) {
	m := measuring{Builder: b, it: a.it, c: a.c}
	var value working.Term
	refused := a.uncounted()
	if refused == nil {
		value, refused = m.measure()
	}
	a.out.Measure, a.out.Notes = m.out, m.notes
	a.number(TestAchievement, "numerator", m.out.Numerator, unitPatients)
	a.number(TestAchievement, "denominator", m.out.Denominator, unitPatients)
	a.number(TestAchievement, "achievement", m.out.Value, a.it.Kind.Unit())
	a.number(TestAchievement, "achievement without adjustments", m.out.Unadjusted, a.it.Kind.Unit())
	if refused != nil {
		a.decide(TestAchievement, Waits, refused.Reason)
		return value, refused
	}
	if a.it.Kind != Binary && m.out.Value == nil {
		a.decide(TestAchievement, Failed, m.notes...)
		return b.Input("points of no percentage", nothing, "points", working.Origin{
			Kind: working.FromContract, Source: "policy: a denominator of nothing has no percentage and earns no points",
		}), nil
	}
	a.decide(TestAchievement, Passed, m.notes...)
	if a.it.Kind == Binary {
		return a.answered(b)
	}
	points, refused := a.it.earn(b, value, a.t.Version.Rounding)
	if refused != nil {
		a.decide(TestPoints, Waits, refused.Reason)
		return points, refused
	}
	a.number(TestPoints, "lower threshold", a.it.Lower.Value.Amount, a.it.Kind.Unit())
	a.number(TestPoints, "upper threshold", a.it.Upper.Value.Amount, a.it.Kind.Unit())
	a.points(points, ReasonBelowLower)
	return points, nil
}

// uncounted refuses an indicator without any counts; a question that nobody answered is a no all the same.
func (a *assessing) uncounted() *fault.Fault {
	if a.out.Counted || a.it.Kind == Binary || a.it.Kind == Undefined {
		return nil
	}
	return missing(ReasonCountMissing, "counts of "+a.it.Code, "submit the indicator's counts")
}

// answered gives all points for a yes, and none for a no or no answer.
func (a *assessing) answered(b *working.Builder) (working.Term, *fault.Fault) {
	share := Given{Value: nothing, Origin: a.c.Origin}
	if a.c.Answer == Yes {
		share.Value = one
	}
	points, refused := a.it.given(b, "answered yes", "IIF: all points for yes, none for no", share, a.t.Version.Rounding)
	if refused != nil {
		a.decide(TestPoints, Waits, refused.Reason)
		return points, refused
	}
	a.points(points, ReasonAnsweredNo)
	return points, nil
}

func (a *assessing) points(points working.Term, none string) {
	a.number(TestPoints, "points available", a.it.Points.Value.Amount, "points")
	a.number(TestPoints, "points", points.Value, "points")
	if points.Value.Sign() == 0 {
		a.decide(TestPoints, Failed, none)
		return
	}
	a.decide(TestPoints, Passed)
}

// override pays the national decision beside what was measured.
func (a *assessing) override() error {
	o := a.it.Override
	a.out.Status, a.out.OverrideID = Overridden, o.ID
	b := new(working.Builder)
	var points working.Term
	refused := a.overrideRefused()
	if refused == nil {
		share := Given{Value: o.Share.Value, Origin: o.origin()}
		points, refused = a.it.given(b, "share by national override", "IIF: national override; the measured result stands beside it", share, a.t.Version.Rounding)
	}
	if refused != nil {
		a.decide(TestOverride, Waits, refused.Reason)
	} else {
		a.decide(TestOverride, Passed, ReasonNationalOverride)
		a.number(TestOverride, "points", points.Value, "points")
	}
	return a.pay(&a.out.Due, b, points, refused, true)
}

func (a *assessing) overrideRefused() *fault.Fault {
	o := a.it.Override
	if !o.Confidence.Payable() {
		return missing(ReasonOverrideUnconfirmed, "confirmation of national override "+o.ID, "confirm it, or enter it with its source")
	}
	if s := o.Share.Value; s == nil || s.Sign() < 0 || s.Cmp(one) > 0 {
		return fault.New(fault.Invalid, ReasonFigureInvalid, "override %s gives no share from 0 to 1", o.ID).With("figure", o.ID)
	}
	return nil
}

// holds asserts what holds of every result: points within their bounds, and a working that gives the pence.
func (a *assessing) holds() error {
	for _, p := range []*Payment{&a.out.Measured, &a.out.Due} {
		if !p.Known() {
			continue
		}
		if p.Points == nil || p.Points.Sign() < 0 || (p.Points.Sign() > 0 && p.Points.Cmp(a.it.Points.Value.Amount) > 0) {
			return fault.Bug("indicator %s: its points are not within those available", a.it.ID)
		}
		if p.Amount < 0 || p.Working == nil || p.Working.Result().Cmp(p.Amount.GBP()) != 0 {
			return fault.Bug("indicator %s: the working does not give what is paid", a.it.ID)
		}
	}
	return nil
}
