package e2e

import (
	"math/big"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// working is how an amount came about, as the API shows it.
type working struct {
	Inputs []input `json:"inputs"`
	Steps  []step  `json:"steps"`
}

type input struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Unit   string `json:"unit"`
	Origin struct {
		Kind   string `json:"kind"`
		Ref    string `json:"ref"`
		Source string `json:"source"`
	} `json:"origin"`
}

type step struct {
	Name      string   `json:"name"`
	Operation string   `json:"operation"`
	Operands  []string `json:"operands"`
	Rounding  string   `json:"rounding"`
	Places    int64    `json:"places"`
	Result    string   `json:"result"`
}

// exactNumber is how the contract writes numbers: plain digits, with a point or as a fraction.
var exactNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?(/[0-9]+)?$`)

func exact(t testing.TB, text string) *big.Rat {
	t.Helper()
	require.Regexp(t, exactNumber, text)
	value, ok := new(big.Rat).SetString(text)
	require.True(t, ok, "%q", text)
	return value
}

// evaluate follows the steps of a working from its inputs alone, checks every result on the way, and returns pence.
func evaluate(t testing.TB, w *working) int64 {
	t.Helper()
	require.NotNil(t, w)
	require.NotEmpty(t, w.Steps)
	values := make(map[string]*big.Rat)
	for _, in := range w.Inputs {
		require.NotContains(t, values, in.Name, "an input stands twice")
		values[in.Name] = exact(t, in.Value)
	}
	var last *big.Rat
	for _, s := range w.Steps {
		require.NotContains(t, values, s.Name, "a step stands twice")
		operands := make([]*big.Rat, 0, len(s.Operands))
		for _, name := range s.Operands {
			require.Contains(t, values, name)
			operands = append(operands, values[name])
		}
		last = apply(t, s, operands)
		require.Zero(t, last.Cmp(exact(t, s.Result)), "step %s gives %s, not %s", s.Name, last.RatString(), s.Result)
		values[s.Name] = last
	}
	return pence(t, last)
}

// apply does one step.
func apply(t testing.TB, s step, operands []*big.Rat) *big.Rat {
	t.Helper()
	require.NotEmpty(t, operands)
	out := new(big.Rat).Set(operands[0])
	rest := operands[1:]
	switch s.Operation {
	case "OPERATION_ADD":
		for _, o := range rest {
			out.Add(out, o)
		}
	case "OPERATION_SUBTRACT":
		for _, o := range rest {
			out.Sub(out, o)
		}
	case "OPERATION_MULTIPLY":
		for _, o := range rest {
			out.Mul(out, o)
		}
	case "OPERATION_DIVIDE":
		require.Len(t, rest, 1)
		out.Quo(out, rest[0])
	case "OPERATION_MINIMUM":
		out = slices.MinFunc(operands, (*big.Rat).Cmp)
	case "OPERATION_MAXIMUM":
		out = slices.MaxFunc(operands, (*big.Rat).Cmp)
	case "OPERATION_CLAMP":
		require.Len(t, rest, 2)
		out = slices.MinFunc([]*big.Rat{slices.MaxFunc([]*big.Rat{out, rest[0]}, (*big.Rat).Cmp), rest[1]}, (*big.Rat).Cmp)
	case "OPERATION_ROUND":
		require.Empty(t, rest)
		if s.Rounding == "ROUNDING_FLOOR" { // pools of the development fund are shared so
			return down(out, s.Places)
		}
		require.Equal(t, "ROUNDING_HALF_UP", s.Rounding, "only this mode is in the contract of core")
		out = halfUp(out, s.Places)
	default:
		require.Failf(t, "unknown operation", "%s", s.Operation)
	}
	return out
}

// halfUp rounds to decimal places, a half away from zero.
func halfUp(value *big.Rat, places int64) *big.Rat {
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(places), nil))
	scaled := new(big.Rat).Mul(value, scale)
	doubled := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).Abs(scaled.Num()), 1), scaled.Denom())
	whole := doubled.Quo(doubled, new(big.Int).Lsh(scaled.Denom(), 1))
	if scaled.Sign() < 0 {
		whole.Neg(whole)
	}
	return new(big.Rat).Quo(new(big.Rat).SetInt(whole), scale)
}

// down rounds an amount of nothing or more down to decimal places.
func down(value *big.Rat, places int64) *big.Rat {
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(places), nil))
	scaled := new(big.Rat).Mul(value, scale)
	return new(big.Rat).Quo(new(big.Rat).SetInt(new(big.Int).Quo(scaled.Num(), scaled.Denom())), scale)
}

// pence reads an amount in pounds as whole pence.
func pence(t testing.TB, gbp *big.Rat) int64 {
	t.Helper()
	out := new(big.Rat).Mul(gbp, big.NewRat(100, 1))
	require.True(t, out.IsInt(), "%s is not whole pence", gbp.RatString())
	require.True(t, out.Num().IsInt64())
	return out.Num().Int64()
}

// instalment is a year's rate times patients, paid in equal parts and rounded half up: the formula of the contract.
func instalment(t testing.TB, rateGBP string, patients *big.Rat, months int64) int64 {
	t.Helper()
	year := new(big.Rat).Mul(exact(t, rateGBP), patients)
	return pence(t, halfUp(year.Quo(year, big.NewRat(months, 1)), 2))
}

// inputValue returns an input of a working by name.
func inputValue(t testing.TB, w *working, name string) string {
	t.Helper()
	at := slices.IndexFunc(w.Inputs, func(in input) bool { return in.Name == name })
	require.GreaterOrEqual(t, at, 0, "the working has no input %s", name)
	return w.Inputs[at].Value
}

func TestEvaluate_RoundsHalvesAwayFromZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, want string }{
		{"1.005", "1.01"}, {"1.0049", "1"}, {"-1.005", "-1.01"}, {"0", "0"}, {"1/3", "0.33"}, {"2/3", "0.67"}, {"-0.004", "0"},
	} {
		require.Zero(t, halfUp(exact(t, c.value), 2).Cmp(exact(t, c.want)), c.value)
	}
}
