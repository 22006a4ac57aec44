package working

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Sentences renders a working in words: one sentence for each input and step, in order.
func Sentences(w *Working) []string {
	values := make(map[string]*big.Rat, len(w.Inputs)+len(w.Steps))
	out := make([]string, 0, len(w.Inputs)+len(w.Steps))
	for _, in := range w.Inputs {
		values[in.Name] = in.Value
		out = append(out, inputSentence(in))
	}
	for _, step := range w.Steps {
		out = append(out, stepSentence(step, values))
		values[step.Name] = step.Result
	}
	return out
}

func inputSentence(in Input) string {
	sentence := fmt.Sprintf("%s is %s", words(in.Name), figure(in.Value, in.Unit))
	var from []string
	if in.Origin.Ref != "" {
		from = append(from, kindWords(in.Origin.Kind)+" "+in.Origin.Ref)
	}
	if in.Origin.Source != "" {
		from = append(from, in.Origin.Source)
	}
	if label := in.Origin.Confidence.String(); label != "" {
		from = append(from, "confidence: "+label)
	}
	if len(from) > 0 {
		sentence += " (" + strings.Join(from, "; ") + ")"
	}
	return sentence + "."
}

func stepSentence(step Step, values map[string]*big.Rat) string {
	operands := make([]string, len(step.Operands))
	for i, name := range step.Operands {
		operands[i] = words(name) + " " + shown(values[name])
	}
	var how string
	switch step.Operation {
	case Add:
		how = strings.Join(operands, " + ")
	case Subtract:
		how = strings.Join(operands, " − ")
	case Multiply:
		how = strings.Join(operands, " × ")
	case Divide:
		how = strings.Join(operands, " ÷ ")
	case Minimum:
		how = "the least of " + strings.Join(operands, ", ")
	case Maximum:
		how = "the greatest of " + strings.Join(operands, ", ")
	case Clamp:
		how = operands[0] + " held between " + operands[1] + " and " + operands[2]
	case Round:
		how = fmt.Sprintf("%s rounded %s to %d decimals", operands[0], step.Rounding, step.Places)
	}
	sentence := fmt.Sprintf("%s = %s = %s", words(step.Name), how, figure(step.Result, step.Unit))
	if step.Clause != "" {
		sentence += " (" + step.Clause + ")"
	}
	return sentence + "."
}

func figure(value *big.Rat, unit string) string {
	if per, isMoney := strings.CutPrefix(unit, "GBP"); isMoney {
		return pounds(value) + words(per)
	}
	return shown(value) + " " + words(unit)
}

// pounds writes an amount or a rate with at least two decimals.
func pounds(value *big.Rat) string {
	text := shown(value)
	if value != nil {
		if places, exact := value.FloatPrec(); exact && places < 2 {
			text = value.FloatString(2)
		}
	}
	if amount, negative := strings.CutPrefix(text, "-"); negative {
		return "-£" + amount
	}
	return "£" + text
}

// shown writes a value for reading: exactly where it ends within twelve decimals, else to twelve with an ellipsis.
func shown(value *big.Rat) string {
	if value == nil {
		return "?"
	}
	const most = 12
	if places, exact := value.FloatPrec(); exact && places <= most {
		return money.Format(value)
	}
	return value.FloatString(most) + "…"
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

func kindWords(kind Kind) string {
	switch kind {
	case FromSnapshot:
		return "register load"
	case FromRate:
		return "rate"
	case FromSetting:
		return "setting"
	case FromLine:
		return "line"
	case FromDeclaration:
		return "declaration"
	case FromRequest:
		return "request"
	case FromContract:
		return "contract"
	default:
		return "record"
	}
}

// String names the confidence; it is empty for an unstated one.
func (c Confidence) String() string {
	switch c {
	case Official:
		return "official"
	case Secondary:
		return "secondary"
	case Inferred:
		return "inferred"
	case Candidate:
		return "candidate"
	case Unknown:
		return "unknown"
	default:
		return ""
	}
}

// ParseConfidence reads what String writes.
func ParseConfidence(text string) (Confidence, error) {
	for c := Official; c <= Unknown; c++ {
		if c.String() == text {
			return c, nil
		}
	}
	return Unstated, fmt.Errorf("%q is not a confidence: official, secondary, inferred, candidate or unknown", text)
}
