package working_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// premium is a small working that uses each kind of step that rules use.
func premium() *working.Working {
	var b working.Builder
	rate := b.Input("rate", big.NewRat(130253, 1000), "GBP_per_care_home_bed", working.Origin{
		Kind: working.FromRate, Ref: "R-1", Source: "the page", Confidence: working.Secondary,
	})
	beds := b.Input("beds", big.NewRat(245, 1), "beds", working.Origin{Kind: working.FromSnapshot, Ref: "L-1"})
	months := b.Input("months", big.NewRat(12, 1), "months", working.Origin{Kind: working.FromContract})
	whole := b.Step("whole_period", working.Multiply, "GBP", "premium", rate, beds)
	month := b.Step("one_month", working.Divide, "GBP", "", whole, months)
	b.Round("instalment", money.HalfUp, 2, "GBP", "half up each month", month)
	return b.Done()
}

func TestBuilder_ComputesWhatItWritesDown(t *testing.T) {
	t.Parallel()
	w := premium()
	require.Equal(t, "2659.33", money.Format(w.Result()))
	result, err := working.Evaluate(w)
	require.NoError(t, err)
	require.Zero(t, result.Cmp(w.Result()))
	require.Nil(t, new(working.Working).Result())
}

func TestBuilder_LeavesItsOperandsAlone(t *testing.T) {
	t.Parallel()
	var b working.Builder
	one, two := b.Input("one", big.NewRat(1, 1), "patients", working.Origin{}), b.Input("two", big.NewRat(2, 1), "patients", working.Origin{})
	for i, operation := range []working.Operation{working.Add, working.Subtract, working.Multiply, working.Divide, working.Minimum, working.Maximum} {
		b.Step(string(rune('a'+i)), operation, "patients", "", one, two)
	}
	b.Step("z", working.Clamp, "patients", "", one, two, two)
	require.Zero(t, one.Value.Cmp(big.NewRat(1, 1)))
	require.Zero(t, two.Value.Cmp(big.NewRat(2, 1)))
	_, err := working.Evaluate(b.Done())
	require.NoError(t, err)
}

func TestBuilder_DoesEachOperation(t *testing.T) {
	t.Parallel()
	cases := []struct {
		operation working.Operation
		operands  []int64
		want      string
	}{
		{working.Add, []int64{1, 2, 3}, "6"},
		{working.Add, []int64{5}, "5"},
		{working.Subtract, []int64{10, 2, 3}, "5"},
		{working.Multiply, []int64{2, 3, 4}, "24"},
		{working.Divide, []int64{1, 3}, "1/3"},
		{working.Minimum, []int64{3, 1, 2}, "1"},
		{working.Maximum, []int64{1, 3, 2}, "3"},
		{working.Clamp, []int64{5, 1, 3}, "3"},
		{working.Clamp, []int64{0, 1, 3}, "1"},
		{working.Clamp, []int64{2, 1, 3}, "2"},
	}
	for _, c := range cases {
		var b working.Builder
		terms := make([]working.Term, len(c.operands))
		for i, operand := range c.operands {
			terms[i] = b.Input(string(rune('a'+i)), big.NewRat(operand, 1), "patients", working.Origin{})
		}
		require.Equal(t, c.want, money.Format(b.Step("result", c.operation, "patients", "", terms...).Value))
		_, err := working.Evaluate(b.Done())
		require.NoError(t, err)
	}
}

func TestBuilder_PanicsOverACallersMistake(t *testing.T) {
	t.Parallel()
	var b working.Builder
	one, none := b.Input("one", big.NewRat(1, 1), "", working.Origin{}), b.Input("none", new(big.Rat), "", working.Origin{})
	require.Panics(t, func() { b.Step("x", working.Divide, "", "", one, none) })
	require.Panics(t, func() { b.Step("x", working.Divide, "", "", one) })
	require.Panics(t, func() { b.Step("x", working.Clamp, "", "", one) })
	require.Panics(t, func() { b.Step("x", working.Add, "", "") })
	require.Panics(t, func() { b.Step("x", 99, "", "", one) })
	require.Panics(t, func() { b.Round("x", money.HalfUp, 13, "", "", one) })
}

// TestEvaluate_FindsWhatWasAltered alters a sound working in one place and expects it to be found.
func TestEvaluate_FindsWhatWasAltered(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		alter func(w *working.Working)
		says  string
	}{
		{"input", func(w *working.Working) { w.Inputs[1].Value = big.NewRat(246, 1) }, "states"},
		{"result", func(w *working.Working) { w.Steps[2].Result = big.NewRat(265934, 100) }, "states 2659.34 but gives 2659.33"},
		{"operation", func(w *working.Working) { w.Steps[0].Operation = working.Add }, "states"},
		{"no operation", func(w *working.Working) { w.Steps[0].Operation = 0 }, "no known operation"},
		{"rounding", func(w *working.Working) { w.Steps[2].Rounding = money.Ceiling }, "states"},
		{"places", func(w *working.Working) { w.Steps[2].Places = 0 }, "states"},
		{"places beyond", func(w *working.Working) { w.Steps[2].Places = -1 }, "places"},
		{"operand", func(w *working.Working) { w.Steps[1].Operands = []string{"whole_period", "beds"} }, "states"},
		{"operand missing", func(w *working.Working) { w.Steps[1].Operands = []string{"whole_period", "weeks"} }, "nothing defines"},
		{"operand left out", func(w *working.Working) { w.Steps[1].Operands = nil }, "operands"},
		{"step used before it is done", func(w *working.Working) { w.Steps[0], w.Steps[1] = w.Steps[1], w.Steps[0] }, "nothing defines"},
		{"input twice", func(w *working.Working) { w.Inputs[1].Name = "rate" }, "stands twice"},
		{"step under an input's name", func(w *working.Working) { w.Steps[0].Name = "beds" }, "stands twice"},
		{"no name", func(w *working.Working) { w.Inputs[0].Name = "" }, "is empty"},
		{"divides by zero", func(w *working.Working) { w.Inputs[2].Value = new(big.Rat) }, "divides by zero"},
		{"no steps", func(w *working.Working) { w.Steps = nil }, "no steps"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := premium()
			c.alter(w)
			_, err := working.Evaluate(w)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestToProto_IsReadBackWhole(t *testing.T) {
	t.Parallel()
	w := premium()
	back, err := working.FromProto(working.ToProto(w))
	require.NoError(t, err)
	require.Len(t, back.Inputs, len(w.Inputs))
	for i, in := range w.Inputs {
		require.Equal(t, in.Name, back.Inputs[i].Name)
		require.Equal(t, in.Unit, back.Inputs[i].Unit)
		require.Equal(t, in.Origin, back.Inputs[i].Origin)
		require.Zero(t, in.Value.Cmp(back.Inputs[i].Value))
	}
	require.Len(t, back.Steps, len(w.Steps))
	for i, step := range w.Steps {
		got := back.Steps[i]
		require.Zero(t, step.Result.Cmp(got.Result))
		got.Result, step.Result = nil, nil
		require.Equal(t, step, got)
	}
	require.Nil(t, working.ToProto(nil))
}

func TestFromProto_RefusesAValueThatIsNotExact(t *testing.T) {
	t.Parallel()
	_, err := working.FromProto(&typev1.Working{Inputs: []*typev1.WorkingInput{{Name: "rate", Value: "1e3"}}})
	require.ErrorContains(t, err, "input rate")
	_, err = working.FromProto(&typev1.Working{Steps: []*typev1.WorkingStep{{Name: "sum", Result: ""}}})
	require.ErrorContains(t, err, "step sum")
}

// TestEvaluate_AgreesWithTheBuilder builds random workings and holds that the working alone gives the builder's result, also
// as a message.
func TestEvaluate_AgreesWithTheBuilder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b working.Builder
		var terms []working.Term
		for i := range rapid.IntRange(1, 6).Draw(t, "inputs") {
			value := big.NewRat(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "value"), rapid.Int64Range(1, 1000).Draw(t, "divisor"))
			terms = append(terms, b.Input(string(rune('a'+i)), value, "patients", working.Origin{Kind: working.FromRequest}))
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "steps") {
			one, two := rapid.SampledFrom(terms).Draw(t, "one"), rapid.SampledFrom(terms).Draw(t, "two")
			operation := working.Operation(rapid.IntRange(int(working.Add), int(working.Round)).Draw(t, "operation"))
			name := string(rune('A' + i))
			switch {
			case operation == working.Round:
				mode := money.Rounding(rapid.IntRange(1, 4).Draw(t, "mode"))
				terms = append(terms, b.Round(name, mode, rapid.IntRange(0, 12).Draw(t, "places"), "GBP", "", one))
			case operation == working.Clamp:
				terms = append(terms, b.Step(name, operation, "GBP", "", one, two, two))
			case operation == working.Divide && two.Value.Sign() == 0:
				terms = append(terms, b.Step(name, working.Add, "GBP", "", one, two))
			default:
				terms = append(terms, b.Step(name, operation, "GBP", "", one, two))
			}
		}
		w := b.Done()
		back, err := working.FromProto(working.ToProto(w))
		require.NoError(t, err)
		for _, each := range []*working.Working{w, back} {
			result, err := working.Evaluate(each)
			require.NoError(t, err)
			require.Zero(t, result.Cmp(terms[len(terms)-1].Value))
		}
		require.Len(t, working.Sentences(w), len(w.Inputs)+len(w.Steps))
	})
}

func TestSentences_ExplainFromFigureToPenny(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"rate is £130.253 per care home bed (rate R-1; the page; confidence: secondary).",
		"beds is 245 beds (register load L-1).",
		"months is 12 months.",
		"whole period = rate 130.253 × beds 245 = £31911.985 (premium).",
		"one month = whole period 31911.985 ÷ months 12 = £2659.332083333333….",
		"instalment = one month 2659.332083333333… rounded half up to 2 decimals = £2659.33 (half up each month).",
	}, working.Sentences(premium()))
}

func TestSentences_NameEachOperationAndOrigin(t *testing.T) {
	t.Parallel()
	var b working.Builder
	kinds := []working.Kind{working.FromSnapshot, working.FromRate, working.FromSetting, working.FromLine, working.FromDeclaration, working.FromRequest, working.FromContract, 0}
	var terms []working.Term
	for i, kind := range kinds {
		terms = append(terms, b.Input(string(rune('a'+i)), big.NewRat(int64(i)-1, 1), "GBP", working.Origin{Kind: kind, Ref: "X"}))
	}
	b.Step("sum", working.Add, "GBP", "", terms[0], terms[1])
	b.Step("difference", working.Subtract, "GBP", "", terms[0], terms[2])
	b.Step("least", working.Minimum, "GBP", "", terms[0], terms[1])
	b.Step("most", working.Maximum, "GBP", "", terms[0], terms[1])
	b.Step("held", working.Clamp, "GBP", "", terms[0], terms[1], terms[2])
	got := working.Sentences(b.Done())
	require.Equal(t, []string{
		"a is -£1.00 (register load X).", "b is £0.00 (rate X).", "c is £1.00 (setting X).", "d is £2.00 (line X).",
		"e is £3.00 (declaration X).", "f is £4.00 (request X).", "g is £5.00 (contract X).", "h is £6.00 (record X).",
		"sum = a -1 + b 0 = -£1.00.", "difference = a -1 − c 1 = -£2.00.", "least = the least of a -1, b 0 = -£1.00.",
		"most = the greatest of a -1, b 0 = £0.00.", "held = a -1 held between b 0 and c 1 = £0.00.",
	}, got)
}

func TestConfidence_WorstOfTheInputsHolds(t *testing.T) {
	t.Parallel()
	require.Equal(t, working.Secondary, premium().Confidence())
	require.Equal(t, working.Unstated, new(working.Working).Confidence())
	for c := working.Unstated; c <= working.Unknown; c++ {
		require.Equal(t, c <= working.Inferred, c.Payable(), c.String())
		require.Equal(t, c, working.ConfidenceFromProto(working.ConfidenceToProto(c)))
		read, err := working.ParseConfidence(c.String())
		if c == working.Unstated {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c, read)
	}
	require.Equal(t, "CONFIDENCE_CANDIDATE", working.ConfidenceToProto(working.Candidate).String())
}

// TestEnumerations_EqualTheContract holds that kinds, operations and roundings carry the numbers of the contract.
func TestEnumerations_EqualTheContract(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, typev1.Origin_KIND_SNAPSHOT, working.FromSnapshot)
	require.EqualValues(t, typev1.Origin_KIND_CONTRACT, working.FromContract)
	require.EqualValues(t, typev1.Operation_OPERATION_ADD, working.Add)
	require.EqualValues(t, typev1.Operation_OPERATION_ROUND, working.Round)
	require.EqualValues(t, typev1.Rounding_ROUNDING_HALF_UP, money.HalfUp)
	require.EqualValues(t, typev1.Rounding_ROUNDING_HALF_EVEN, money.HalfEven)
}
