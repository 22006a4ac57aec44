package money_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

func TestPence_AddsWithinItsRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		sum, err := money.Pence(a).Add(money.Pence(b))
		if !exact.IsInt64() {
			require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
			return
		}
		require.NoError(t, err)
		require.Equal(t, exact.Int64(), int64(sum))
	})
}

func TestPence_SubtractsWithinItsRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64Range(math.MinInt64+1, math.MaxInt64).Draw(t, "b")
		exact := new(big.Int).Sub(big.NewInt(a), big.NewInt(b))
		difference, err := money.Pence(a).Sub(money.Pence(b))
		if !exact.IsInt64() {
			require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
			return
		}
		require.NoError(t, err)
		require.Equal(t, exact.Int64(), int64(difference))
	})
	_, err := money.Pence(1).Sub(math.MinInt64)
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestPence_MultipliesWithinItsRange(t *testing.T) {
	t.Parallel()
	product, err := money.Pence(-7).Times(12)
	require.NoError(t, err)
	require.EqualValues(t, -84, product)
	_, err = money.Pence(math.MaxInt64).Times(2)
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
	_, err = money.Pence(math.MinInt64).Times(-1)
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestSum_RefusesToOverflow(t *testing.T) {
	t.Parallel()
	total, err := money.Sum(1, -3, 2, 10)
	require.NoError(t, err)
	require.EqualValues(t, 10, total)
	total, err = money.Sum()
	require.NoError(t, err)
	require.Zero(t, total)
	_, err = money.Sum(math.MaxInt64, 1)
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestPence_IsWrittenInPounds(t *testing.T) {
	t.Parallel()
	cases := []struct {
		pence        money.Pence
		words, plain string
	}{
		{0, "£0.00", "0.00"},
		{5, "£0.05", "0.05"},
		{-5, "-£0.05", "-0.05"},
		{99999, "£999.99", "999.99"},
		{100000, "£1,000.00", "1000.00"},
		{-123456789, "-£1,234,567.89", "-1234567.89"},
		{math.MaxInt64, "£92,233,720,368,547,758.07", "92233720368547758.07"},
		{math.MinInt64, "-£92,233,720,368,547,758.08", "-92233720368547758.08"},
	}
	for _, c := range cases {
		require.Equal(t, c.words, c.pence.String())
		require.Equal(t, c.plain, c.pence.Plain())
		back, err := money.ParsePence(c.plain)
		require.NoError(t, err)
		require.Equal(t, c.pence, back)
	}
}

func TestParsePence_RefusesMoreThanTwoDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]money.Pence{"1234.5": 123450, "7": 700, "-0.01": -1, "1.10": 110, "1.000": 100} {
		got, err := money.ParsePence(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"1.005", "", "£1", "1,000.00", "1e2", "99999999999999999999"} {
		_, err := money.ParsePence(text)
		require.Error(t, err, text)
	}
}

func TestRound_RoundsAsNamed(t *testing.T) {
	t.Parallel()
	cases := []struct{ value, halfUp, floor, ceiling, halfEven string }{
		{"2.4", "2", "2", "3", "2"},
		{"2.5", "3", "2", "3", "2"},
		{"3.5", "4", "3", "4", "4"},
		{"2.6", "3", "2", "3", "3"},
		{"-2.4", "-2", "-3", "-2", "-2"},
		{"-2.5", "-3", "-3", "-2", "-2"},
		{"-3.5", "-4", "-4", "-3", "-4"},
		{"-2.6", "-3", "-3", "-2", "-3"},
		{"7", "7", "7", "7", "7"},
		{"0", "0", "0", "0", "0"},
		{"1/3", "0", "0", "1", "0"},
		{"-1/3", "0", "-1", "0", "0"},
	}
	for _, c := range cases {
		value, ok := new(big.Rat).SetString(c.value)
		require.True(t, ok)
		for mode, want := range map[money.Rounding]string{money.HalfUp: c.halfUp, money.Floor: c.floor, money.Ceiling: c.ceiling, money.HalfEven: c.halfEven} {
			require.Equal(t, want, money.Format(money.Round(value, mode, 0)), "%s %s", c.value, mode)
			hundredth := new(big.Rat).Quo(value, big.NewRat(100, 1))
			wanted, _ := new(big.Rat).SetString(want)
			require.Zero(t, wanted.Quo(wanted, big.NewRat(100, 1)).Cmp(money.Round(hundredth, mode, 2)), "%s %s to two places", c.value, mode)
		}
	}
}

func TestRoundHalfUp_AgreesWithRound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gbp := big.NewRat(rapid.Int64Range(-1_000_000_000, 1_000_000_000).Draw(t, "numerator"), rapid.Int64Range(1, 100_000).Draw(t, "denominator"))
		text := gbp.RatString()
		up, err := money.RoundHalfUp(gbp)
		require.NoError(t, err)
		require.Zero(t, up.GBP().Cmp(money.Round(gbp, money.HalfUp, 2)))
		down, err := money.RoundDown(gbp)
		require.NoError(t, err)
		require.Zero(t, down.GBP().Cmp(money.Round(gbp, money.Floor, 2)))
		require.Equal(t, text, gbp.RatString(), "the value given is left alone")
		require.True(t, down <= up && up <= down+1)
		opposite, err := money.RoundHalfUp(new(big.Rat).Neg(gbp))
		require.NoError(t, err)
		require.Equal(t, -up, opposite, "half up is away from zero on both sides")
	})
}

func TestRoundHalfUp_RefusesToOverflow(t *testing.T) {
	t.Parallel()
	_, err := money.RoundHalfUp(new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 80)))
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestAllocate_SumsToTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := money.Pence(rapid.Int64Range(-1_000_000_000_000, 1_000_000_000_000).Draw(t, "total"))
		numbers := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000), 1, 60).Draw(t, "weights")
		weights, sum := make([]*big.Rat, len(numbers)), new(big.Rat)
		for i, n := range numbers {
			weights[i] = big.NewRat(n, rapid.Int64Range(1, 9).Draw(t, "divisor"))
			sum.Add(sum, weights[i])
		}
		parts, err := money.Allocate(total, weights)
		if sum.Sign() == 0 {
			require.Equal(t, money.ReasonNoWeight, fault.ReasonOf(err))
			return
		}
		require.NoError(t, err)
		again, err := money.Allocate(total, weights)
		require.NoError(t, err)
		require.Equal(t, parts, again, "the same input gives the same parts")
		whole, err := money.Sum(parts...)
		require.NoError(t, err)
		require.Equal(t, total, whole)
		for i, part := range parts {
			exact := new(big.Rat).Mul(big.NewRat(int64(total), 1), weights[i])
			exact.Sub(exact.Quo(exact, sum), big.NewRat(int64(part), 1))
			require.Negative(t, exact.Abs(exact).Cmp(big.NewRat(1, 1)), "each part is less than a penny from its exact share")
		}
	})
}

func TestAllocate_HandsOutPenniesByRemainder(t *testing.T) {
	t.Parallel()
	weigh := func(numbers ...int64) []*big.Rat {
		out := make([]*big.Rat, len(numbers))
		for i, n := range numbers {
			out[i] = big.NewRat(n, 1)
		}
		return out
	}
	cases := []struct {
		total   money.Pence
		weights []*big.Rat
		want    []money.Pence
	}{
		{100, weigh(1, 1, 1), []money.Pence{34, 33, 33}},
		{101, weigh(1, 1, 1), []money.Pence{34, 34, 33}},
		{1, weigh(0, 1, 1), []money.Pence{0, 1, 0}},
		{10, weigh(0, 3, 0), []money.Pence{0, 10, 0}},
		{-100, weigh(1, 1, 1), []money.Pence{-33, -33, -34}},
		{0, weigh(5, 2), []money.Pence{0, 0}},
		{10000000, weigh(31250, 48800, 66417), []money.Pence{2133586, 3331809, 4534605}},
	}
	for _, c := range cases {
		parts, err := money.Allocate(c.total, c.weights)
		require.NoError(t, err)
		require.Equal(t, c.want, parts)
	}
}

func TestAllocate_RefusesWhatHasNoWeight(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]*big.Rat{nil, {new(big.Rat)}, {big.NewRat(2, 1), big.NewRat(-1, 1)}} {
		_, err := money.Allocate(1, weights)
		f, ok := fault.As(err)
		require.True(t, ok)
		require.Equal(t, fault.Invalid, f.Kind)
		require.Equal(t, money.ReasonNoWeight, f.Reason)
	}
}

func TestParseDecimal_ReadsPlainDigitsOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "007": "7", "1.50": "1.5", "-12.25": "-12.25", "0.51430": "0.5143",
		strings.Repeat("9", 30): strings.Repeat("9", 30),
	} {
		value, err := money.ParseDecimal(text)
		require.NoError(t, err, text)
		require.Equal(t, want, money.Format(value), text)
	}
	for _, text := range []string{
		"", "-", ".", ".5", "5.", "+1", "--1", "1-", "1e3", "1E3", "0x1f", "1_000", "1,000", " 1", "1 ", "1\n", "1.2.3", "1/2",
		"NaN", "Inf", "١٢", "１", "½", "£1", "1.-5", "1\x00", strings.Repeat("9", 31), "0." + strings.Repeat("0", 30),
	} {
		_, err := money.ParseDecimal(text)
		require.Error(t, err, "%q", text)
	}
}

func TestParseWhole_ReadsPlainDigitsOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "48124": 48124, "0012": 12, "999999999999999": 999999999999999} {
		got, err := money.ParseWhole(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "-1", "+1", "1.0", "1e3", "1,000", " 1", "١", "1000000000000000"} {
		_, err := money.ParseWhole(text)
		require.Error(t, err, "%q", text)
	}
}

func TestFormat_IsReadBackExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := big.NewRat(rapid.Int64().Draw(t, "numerator"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "denominator"))
		back, err := money.ParseExact(money.Format(value))
		require.NoError(t, err)
		require.Zero(t, value.Cmp(back))
	})
}

func TestFormat_WritesFractionsWhereADecimalDoesNotEnd(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]*big.Rat{
		"0": new(big.Rat), "-3": big.NewRat(-3, 1), "0.125": big.NewRat(1, 8), "1/3": big.NewRat(1, 3), "-2/7": big.NewRat(-2, 7), "4109.375": big.NewRat(4109375, 1000),
	} {
		require.Equal(t, want, money.Format(value))
	}
}

// TestParseExact_ReadsLongProducts holds that the product of two decimals of the greatest length can be kept and read back.
func TestParseExact_ReadsLongProducts(t *testing.T) {
	t.Parallel()
	small, err := money.ParseDecimal("0." + strings.Repeat("0", money.MaxDigits-2) + "1")
	require.NoError(t, err)
	product := new(big.Rat).Mul(small, small)
	back, err := money.ParseExact(money.Format(product))
	require.NoError(t, err)
	require.Zero(t, product.Cmp(back))
}

func TestParseExact_RefusesWhatFormatDoesNotWrite(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "1/0", "/2", "1/", "1/-2", "1/2/3", "1.5/2", "0x1/2", "1 / 2", "1e3", strings.Repeat("9", 5000), "1/" + strings.Repeat("9", 5000)} {
		_, err := money.ParseExact(text)
		require.Error(t, err, money.Clip(text))
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, text := range []string{"1.50", "-0", "1e9", "٣", "0.51430", "..", "1/3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := money.ParseDecimal(text)
		if err != nil {
			return
		}
		back, err := money.ParseExact(money.Format(value))
		require.NoError(t, err)
		require.Zero(t, value.Cmp(back))
		require.NotContains(t, text, "e")
	})
}

func TestClip_ShortensLongTexts(t *testing.T) {
	t.Parallel()
	require.Equal(t, "short", money.Clip("short"))
	require.Equal(t, strings.Repeat("é", 60)+"…", money.Clip(strings.Repeat("é", 61)))
}

func TestRounding_HasAName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "half up", money.HalfUp.String())
	require.Equal(t, "down", money.Floor.String())
	require.Equal(t, "up", money.Ceiling.String())
	require.Equal(t, "half to even", money.HalfEven.String())
	require.Equal(t, "not rounded", money.Rounding(0).String())
}
