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

// Test is one of the four tests that each line passes in order.
type Test int

// The tests.
const (
	// TestRole asks whether the role is reimbursable on the day, for this person, and within its number.
	TestRole Test = iota + 1
	// TestAdditional asks whether the person comes on top of the staff of 31 March 2019.
	TestAdditional
	// TestMaximum takes the percentage payable and the monthly maximum.
	TestMaximum
	// TestYearSum takes what is left of the year's sum, in claim order.
	TestYearSum
)

// String returns the test as results name it.
func (t Test) String() string {
	switch t {
	case TestRole:
		return "ROLE_AND_LIMITS"
	case TestAdditional:
		return "ADDITIONALITY"
	case TestMaximum:
		return "MONTHLY_MAXIMUM"
	case TestYearSum:
		return "YEARLY_SUM"
	default:
		return ""
	}
}

// Outcome is how a line came out of a test.
type Outcome string

// The outcomes.
const (
	// NotReached stands where an earlier test left nothing.
	NotReached Outcome = "NOT_REACHED"
	Passed     Outcome = "PASSED"
	// Reduced means that a part of the line did not pass, and Failed that nothing of it did.
	Reduced Outcome = "REDUCED"
	Failed  Outcome = "FAILED"
	// Waits means that the test could not be decided, for all or a part of the line, until a figure or fact is known.
	Waits Outcome = "WAITS"
)

// Number is one figure that a test looked at.
type Number struct {
	Name  string
	Value *big.Rat
	Unit  string
}

// Result is what one test said.
type Result struct {
	Test    Test
	Outcome Outcome
	// Reasons of the parts that did not pass, in order; none where everything passed.
	Reasons []string
	// Removed is what the test took from the line.
	Removed money.Pence
	Numbers []Number
}

// Part is an amount of a line that is not payable.
type Part struct {
	Test   Test
	Reason string
	Amount money.Pence
	// Missing names the figure or fact without which the part can be neither paid nor refused for good, and Remedy says what to
	// do; both are empty for a part that is decided.
	Missing string
	Remedy  string
}

// Assessed is what a line comes to. Claimed = Payable + the parts, to the penny.
type Assessed struct {
	LineID       string
	EngagementID string
	Month        period.Month
	Role         string
	Pot          Pot
	Claimed      money.Pence
	Payable      money.Pence
	Parts        []Part
	Tests        [4]Result
	// WTE is the working time claimed, and AdmittedWTEDays what passed the first two tests, summed over the days.
	WTE             *big.Rat
	AdmittedWTEDays *big.Rat
	Days            int // claimed, of the month
	// WithinMaximum is what passed the first three tests: what would be payable if the year's sum had no end.
	WithinMaximum money.Pence
	// PriceID is the price row of the maximum; empty where it was not reached.
	PriceID string
	// Working gives Payable; nil where the line did not get as far as the monthly maximum.
	Working *working.Working
	// Confidence is the least of the figures that Payable rests on.
	Confidence working.Confidence
	// Held is what the line keeps from the lines after it.
	Held Held
}

// Waiting is the sum of the parts that wait for a figure or a fact.
func (a *Assessed) Waiting() money.Pence {
	var sum money.Pence
	for _, part := range a.Parts {
		if part.Missing != "" {
			sum += part.Amount // parts of one claimed amount cannot overflow
		}
	}
	return sum
}

// Context is everything that decides the lines of one network in one financial year, loaded by the caller.
type Context struct {
	Scheme       *Scheme
	Year         period.FinancialYear
	PCN          string
	Commissioner string
	// Known is the day whose knowledge of figures decides; no day takes all that are given. A line may state its own.
	Known period.Date
	// Region is the network's, for lines that state none.
	Region    Region
	List      ListSize
	Baselines []Baseline
	Employed  []Employed
	Decisions []Decision
	Settings  []Setting
	// Sums are the pots. A pot that is absent is refused by name.
	Sums []PotSum
	// Before is what lines that are not among those assessed, and come before them, hold in the same months. What they are paid
	// stands in PotSum.PaidBefore.
	Before []Held
}

// PotState is a pot after all lines.
type PotState struct {
	PotSum
	Paid money.Pence // for the lines assessed, above what they replace
	Left money.Pence
	// Unfunded is what passed the other tests and found nothing left: it is lost, and does not carry into another year.
	Unfunded money.Pence
	// Overdrawn is what was paid before beyond the usable sum, as after the sum was lowered.
	Overdrawn money.Pence
	freed     money.Pence
}

// take takes what a line is paid, above what was paid before for what it replaces. What is below that is freed for the lines after it: they
// are of one correction, which takes off no more than it says.
func (p *PotState) take(paid money.Pence) {
	p.Paid += paid
	if paid < 0 {
		p.freed -= paid
		return
	}
	freed := min(paid, p.freed)
	p.freed -= freed
	p.Left -= paid - freed
}

// settle gives what was freed and not used back, first to what is overdrawn.
func (p *PotState) settle() {
	back := min(p.freed, p.Overdrawn)
	p.Overdrawn -= back
	p.Left, p.freed = p.Left+p.freed-back, 0
}

// Year is a network's year, assessed.
type Year struct {
	// Lines are in the order in which they were given.
	Lines []Assessed
	Pots  []PotState
}

// Assess decides one line alone, as if it were the first of the year but for PotSum.PaidBefore.
func Assess(c *Context, line ClaimLine) (*Assessed, error) {
	year, err := AssessYear(c, []ClaimLine{line})
	if err != nil {
		return nil, err
	}
	return &year.Lines[0], nil
}

// AssessYear decides the lines of a network's year, which come in the order of their submission. The four tests are applied to
// each line in turn, with the state of number limits, baseline, working time of each person and yearly sum that the lines
// before it left. What does not pass is a part of the line with its reason, never an error; an error means that a line cannot
// be read (a fault of kind Invalid, which names the line and the field and repeats no amount), or that a setting is bad.
//
// What holds, whatever the order: no line is paid more than was claimed, more than its percentage of the cost, or more than
// its maximum; no day of an engagement is paid twice; no pot pays more than is usable. Where no number limit, baseline,
// working time of a person or repeated line binds, another order changes only which lines a pot pays, never how much it pays
// altogether. Where one of the first three binds, another order still admits the same WTE on every day, though at other
// prices.
func AssessYear(c *Context, lines []ClaimLine) (*Year, error) {
	a, err := newAssessor(c)
	if err != nil {
		return nil, err
	}
	if err := a.check(lines); err != nil {
		return nil, err
	}
	out := &Year{Lines: make([]Assessed, len(lines))}
	for i := range lines {
		assessed, err := a.line(&lines[i])
		if err != nil {
			return nil, err
		}
		out.Lines[i] = *assessed
	}
	out.Pots, err = a.states()
	return out, err
}

type personMonth struct {
	person string
	month  period.Month
}

type roleMonth struct {
	role  string
	month period.Month
}

// assessor is the running state of one year.
type assessor struct {
	*Context
	roles       map[string]*Role
	conventions map[period.Month]Conventions
	persons     map[personMonth]occupancy
	limited     map[roleMonth]occupancy
	additional  map[roleMonth]occupancy
	claimed     map[personMonth]occupancy // by engagement
	pots        map[Pot]*PotState
}

func newAssessor(c *Context) (*assessor, error) {
	a := &assessor{
		Context: c, roles: make(map[string]*Role, len(c.Scheme.Roles)), conventions: make(map[period.Month]Conventions, monthsOfYear),
		persons: make(map[personMonth]occupancy), limited: make(map[roleMonth]occupancy), additional: make(map[roleMonth]occupancy),
		claimed: make(map[personMonth]occupancy), pots: make(map[Pot]*PotState, len(c.Sums)),
	}
	for i := range c.Scheme.Roles {
		a.roles[c.Scheme.Roles[i].Code] = &c.Scheme.Roles[i]
	}
	for month := c.Year.First(); !month.After(c.Year.Last()); month = month.Add(1) {
		conventions, err := ConventionsFor(c.Settings, c.Commissioner, month)
		if err != nil {
			return nil, err
		}
		a.conventions[month] = conventions
	}
	for _, sum := range c.Sums {
		if sum.Usable < 0 || sum.PaidBefore < 0 {
			return nil, fault.New(fault.Invalid, ReasonAmountNegative, "the sum of pot %s, or what was paid of it, is negative", sum.Pot)
		}
		state := &PotState{PotSum: sum}
		if sum.Refused == nil {
			state.Left = max(sum.Usable-sum.PaidBefore, 0)
			state.Overdrawn = max(sum.PaidBefore-sum.Usable, 0)
		}
		a.pots[sum.Pot] = state
	}
	a.take(c.Before)
	return a, nil
}

// check holds that the lines can be read and that none stands twice.
func (a *assessor) check(lines []ClaimLine) error {
	seen := make(map[string]bool, len(lines))
	for i := range lines {
		if err := lines[i].check(a.Year); err != nil {
			return err
		}
		if seen[lines[i].ID] {
			return fault.New(fault.Invalid, ReasonLineTwice, "line %s stands twice", money.Clip(lines[i].ID)).With("line", money.Clip(lines[i].ID))
		}
		seen[lines[i].ID] = true
	}
	return nil
}

func (a *assessor) states() ([]PotState, error) {
	out := make([]PotState, 0, len(a.pots))
	for _, state := range a.pots {
		state.settle()
		if state.Refused == nil && state.PaidBefore+state.Paid+state.Left-state.Overdrawn != state.Usable {
			return nil, fault.Bug("pot %s: paid and left do not make up its sum", state.Pot)
		}
		out = append(out, *state)
	}
	slices.SortFunc(out, func(a, b PotState) int { return cmp.Compare(a.Pot, b.Pot) })
	return out, nil
}

// line applies the four tests and asserts that nothing of the claimed amount was lost or made.
func (a *assessor) line(l *ClaimLine) (*Assessed, error) {
	w, err := a.start(l)
	if err != nil {
		return nil, err
	}
	for _, test := range []func() error{w.testRole, w.testAdditional, w.testMaximum, w.testYearSum} {
		if err := test(); err != nil {
			return nil, err
		}
	}
	out := &w.out
	sum := out.Payable
	for _, part := range out.Parts {
		if part.Amount <= 0 {
			return nil, fault.Bug("line %s has a part that takes nothing", l.ID)
		}
		sum += part.Amount
	}
	if sum != out.Claimed || out.Payable < 0 || out.Payable > out.WithinMaximum {
		return nil, fault.Bug("line %s: what is payable and what is not do not make up what is claimed", l.ID)
	}
	return out, nil
}
