// Package working builds, explains and checks how an amount came about: named inputs and the steps from them to the result,
// over exact rationals.
package working

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Kind is the kind of record an input came from.
type Kind int

// The kinds of record.
const (
	FromSnapshot Kind = iota + 1
	FromRate
	FromSetting
	FromLine
	FromDeclaration
	FromRequest
	FromContract
)

// Confidence says how well a figure is founded; a larger value is founded worse.
type Confidence int

// The confidences, best first. Unstated is for figures that carry none, such as a number of months.
const (
	Unstated Confidence = iota
	Official
	Secondary
	Inferred
	Candidate
	Unknown
)

// Payable tells whether money may rest on a figure of this confidence without anyone's confirmation.
func (c Confidence) Payable() bool { return c <= Inferred }

// Origin is where an input came from.
type Origin struct {
	Kind       Kind
	Ref        string
	Source     string
	Confidence Confidence
}

// Input is one figure that went in.
type Input struct {
	Name   string
	Value  *big.Rat
	Unit   string
	Origin Origin
}

// Operation is what a step does.
type Operation int

// The operations.
const (
	Add Operation = iota + 1
	Subtract
	Multiply
	Divide
	Minimum
	Maximum
	Clamp
	Round
)

// Step is one operation on inputs and earlier results.
type Step struct {
	Name      string
	Operation Operation
	Operands  []string
	Rounding  money.Rounding
	Places    int
	Result    *big.Rat
	Unit      string
	Clause    string
}

// Working is how an amount came about; the last step is the amount in pounds.
type Working struct {
	Inputs []Input
	Steps  []Step
}

// Result returns the last step's result, or nil for a working without steps.
func (w *Working) Result() *big.Rat {
	if len(w.Steps) == 0 {
		return nil
	}
	return w.Steps[len(w.Steps)-1].Result
}

// Confidence returns the least confidence among the inputs.
func (w *Working) Confidence() Confidence {
	worst := Unstated
	for _, in := range w.Inputs {
		worst = max(worst, in.Origin.Confidence)
	}
	return worst
}

// Term is a named value of a working under construction.
type Term struct {
	Name  string
	Value *big.Rat
}

// Builder computes a working as it is written down, so that what is shown is what was done.
type Builder struct{ working Working }

// Grow makes room for so many more inputs and steps, for builders that know how many they will note.
func (b *Builder) Grow(inputs, steps int) {
	b.working.Inputs = slices.Grow(b.working.Inputs, inputs)
	b.working.Steps = slices.Grow(b.working.Steps, steps)
}

// Input notes a figure and returns it for use in steps. Names are unique within a working.
func (b *Builder) Input(name string, value *big.Rat, unit string, origin Origin) Term {
	b.working.Inputs = append(b.working.Inputs, Input{name, value, unit, origin})
	return Term{name, value}
}

// Step computes one operation, notes it and returns its result. Divide by zero is the caller's mistake and panics.
func (b *Builder) Step(name string, operation Operation, unit, clause string, operands ...Term) Term {
	return b.add(Step{Name: name, Operation: operation, Unit: unit, Clause: clause}, operands)
}

// Round rounds a term to decimal places, notes it and returns the result.
func (b *Builder) Round(name string, mode money.Rounding, places int, unit, clause string, operand Term) Term {
	return b.add(Step{Name: name, Operation: Round, Rounding: mode, Places: places, Unit: unit, Clause: clause}, []Term{operand})
}

func (b *Builder) add(step Step, operands []Term) Term {
	step.Operands = make([]string, len(operands))
	var few [4]*big.Rat // most steps have few operands, and these then need no memory of their own
	values := few[:0]
	for i, term := range operands {
		step.Operands[i] = term.Name
		values = append(values, term.Value)
	}
	result, err := apply(step, values)
	if err != nil {
		panic(err)
	}
	step.Result = result
	b.working.Steps = append(b.working.Steps, step)
	return Term{step.Name, result}
}

// Done returns the working.
func (b *Builder) Done() *Working { return &b.working }

func apply(step Step, values []*big.Rat) (*big.Rat, error) {
	if err := checkArity(step, len(values)); err != nil {
		return nil, err
	}
	result := new(big.Rat)
	switch step.Operation {
	case Add:
		return sum(result, values), nil
	case Subtract:
		result.Set(values[0])
		for _, v := range values[1:] {
			result.Sub(result, v)
		}
	case Multiply:
		if len(values) == 1 {
			return result.Set(values[0]), nil
		}
		result.Mul(values[0], values[1])
		for _, v := range values[2:] {
			result.Mul(result, v)
		}
	case Divide:
		if values[1].Sign() == 0 {
			return nil, fmt.Errorf("step %s divides by zero", step.Name)
		}
		result.Quo(values[0], values[1])
	case Minimum:
		result.Set(values[0])
		for _, v := range values[1:] {
			if v.Cmp(result) < 0 {
				result.Set(v)
			}
		}
	case Maximum:
		result.Set(values[0])
		for _, v := range values[1:] {
			if v.Cmp(result) > 0 {
				result.Set(v)
			}
		}
	case Clamp:
		result.Set(values[0])
		if result.Cmp(values[1]) < 0 {
			result.Set(values[1])
		}
		if result.Cmp(values[2]) > 0 {
			result.Set(values[2])
		}
	case Round:
		return money.Round(values[0], step.Rounding, step.Places), nil
	}
	return result, nil
}

// sum adds values. Patients and beds are whole numbers, whose sum needs no common denominator.
func sum(result *big.Rat, values []*big.Rat) *big.Rat {
	whole := new(big.Int)
	for i, v := range values {
		if !v.IsInt() {
			result.SetInt(whole)
			for _, rest := range values[i:] {
				result.Add(result, rest)
			}
			return result
		}
		whole.Add(whole, v.Num())
	}
	return result.SetInt(whole)
}

func checkArity(step Step, n int) error {
	least, most := 1, 1000
	switch step.Operation {
	case Add, Subtract, Multiply, Minimum, Maximum:
	case Divide:
		least, most = 2, 2
	case Clamp:
		least, most = 3, 3
	case Round:
		least, most = 1, 1
		if step.Places < 0 || step.Places > 12 {
			return fmt.Errorf("step %s rounds to %d places", step.Name, step.Places)
		}
	default:
		return fmt.Errorf("step %s has no known operation", step.Name)
	}
	if n < least || n > most {
		return fmt.Errorf("step %s has %d operands", step.Name, n)
	}
	return nil
}

// Evaluate recomputes every step from the inputs alone and returns the last result. It fails if a name is missing or used
// twice, or if a step does not give the result it states.
func Evaluate(w *Working) (*big.Rat, error) {
	values := make(map[string]*big.Rat, len(w.Inputs)+len(w.Steps))
	define := func(name string, value *big.Rat) error {
		if _, taken := values[name]; taken || name == "" {
			return fmt.Errorf("the name %q stands twice or is empty", name)
		}
		values[name] = value
		return nil
	}
	for _, in := range w.Inputs {
		if err := define(in.Name, in.Value); err != nil {
			return nil, err
		}
	}
	var last *big.Rat
	for _, step := range w.Steps {
		operands := make([]*big.Rat, len(step.Operands))
		for i, name := range step.Operands {
			if operands[i] = values[name]; operands[i] == nil {
				return nil, fmt.Errorf("step %s uses %q, which nothing defines", step.Name, name)
			}
		}
		result, err := apply(step, operands)
		if err != nil {
			return nil, err
		}
		if result.Cmp(step.Result) != 0 {
			return nil, fmt.Errorf("step %s states %s but gives %s", step.Name, money.Format(step.Result), money.Format(result))
		}
		if err := define(step.Name, result); err != nil {
			return nil, err
		}
		last = result
	}
	if last == nil {
		return nil, fmt.Errorf("the working has no steps")
	}
	return last, nil
}
