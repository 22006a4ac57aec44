package working

import (
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// ToProto writes a working as its message.
func ToProto(w *Working) *typev1.Working {
	if w == nil {
		return nil
	}
	out := &typev1.Working{
		Inputs: make([]*typev1.WorkingInput, len(w.Inputs)),
		Steps:  make([]*typev1.WorkingStep, len(w.Steps)),
	}
	for i, in := range w.Inputs {
		out.Inputs[i] = &typev1.WorkingInput{
			Name: in.Name, Value: money.Format(in.Value), Unit: in.Unit,
			Origin: &typev1.Origin{
				Kind: typev1.Origin_Kind(in.Origin.Kind), Ref: in.Origin.Ref, Source: in.Origin.Source, //nolint:gosec // few values
				Confidence: ConfidenceToProto(in.Origin.Confidence),
			},
		}
	}
	for i, step := range w.Steps {
		out.Steps[i] = &typev1.WorkingStep{
			Name: step.Name, Operation: typev1.Operation(step.Operation), Operands: step.Operands, //nolint:gosec // few values
			Rounding: typev1.Rounding(step.Rounding), Places: int32(step.Places), //nolint:gosec // checkArity bounds the places to 12
			Result: money.Format(step.Result), Unit: step.Unit, Clause: step.Clause,
		}
	}
	return out
}

// FromProto reads a working from its message; it fails on a value that is not exact.
func FromProto(in *typev1.Working) (*Working, error) {
	out := &Working{Inputs: make([]Input, len(in.GetInputs())), Steps: make([]Step, len(in.GetSteps()))}
	for i, input := range in.GetInputs() {
		value, err := money.ParseExact(input.GetValue())
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", input.GetName(), err)
		}
		origin := input.GetOrigin()
		out.Inputs[i] = Input{input.GetName(), value, input.GetUnit(), Origin{
			Kind(origin.GetKind()), origin.GetRef(), origin.GetSource(), ConfidenceFromProto(origin.GetConfidence()),
		}}
	}
	for i, step := range in.GetSteps() {
		result, err := money.ParseExact(step.GetResult())
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", step.GetName(), err)
		}
		out.Steps[i] = Step{
			step.GetName(), Operation(step.GetOperation()), step.GetOperands(), money.Rounding(step.GetRounding()),
			int(step.GetPlaces()), result, step.GetUnit(), step.GetClause(),
		}
	}
	return out, nil
}

// ConfidenceToProto maps a confidence to its enum.
func ConfidenceToProto(c Confidence) typev1.Confidence {
	return typev1.Confidence(c) //nolint:gosec // few values
}

// ConfidenceFromProto maps an enum to its confidence.
func ConfidenceFromProto(c typev1.Confidence) Confidence { return Confidence(c) }
