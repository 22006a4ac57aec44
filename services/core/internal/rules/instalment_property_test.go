package rules

import (
	"math/big"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// drawRate draws pounds per head with up to five decimals, as published rates have.
func drawRate(t *rapid.T, label string) *big.Rat {
	return big.NewRat(rapid.Int64Range(0, 15_000_000).Draw(t, label), 100_000)
}

// drawPopulation draws practices with lists that may end in hundredths, as weighted lists do.
func drawPopulation(t *rapid.T, label string) Population {
	var out Population
	scale := rapid.SampledFrom([]int64{1, 100}).Draw(t, label+" scale")
	lists := rapid.SliceOfN(rapid.Int64Range(0, 60_000*scale), 1, 12).Draw(t, label)
	for i, list := range lists {
		out.Practices = append(out.Practices, PracticePopulation{Code: "P" + strconv.Itoa(i), Value: big.NewRat(list, scale)})
	}
	if rapid.Bool().Draw(t, label+" has its own record") {
		out.Value, out.Origin = out.Total(), working.Origin{Kind: working.FromSnapshot, Ref: "L"}
	}
	return out
}

// drawInput draws a payment of one or two components that every convention can pay.
func drawInput(t *rapid.T) InstalmentInput {
	in := InstalmentInput{
		PaymentCode: "P", Clause: "clause", Number: 1,
		Instalments: rapid.IntRange(1, 24).Draw(t, "instalments"),
		Terms:       []Term{{Name: "ONE", RateGBP: drawRate(t, "rate"), MonthlyRateGBP: drawRate(t, "monthly"), Population: drawPopulation(t, "population")}},
	}
	if rapid.Bool().Draw(t, "two components") {
		second := Term{Name: "TWO", RateGBP: drawRate(t, "second rate"), MonthlyRateGBP: drawRate(t, "second monthly")}
		for _, practice := range in.Terms[0].Population.Practices {
			practice.Value = big.NewRat(rapid.Int64Range(0, 60_000).Draw(t, "second "+practice.Code), 1)
			second.Population.Practices = append(second.Population.Practices, practice)
		}
		in.Terms = append(in.Terms, second)
	}
	return in
}

// exactPence is rate × population of the whole period in pence, before rounding.
func exactPence(in InstalmentInput, monthly bool) *big.Rat {
	total := new(big.Rat)
	for _, term := range in.Terms {
		rate := term.RateGBP
		if monthly {
			rate = term.MonthlyRateGBP
		}
		total.Add(total, new(big.Rat).Mul(rate, term.Population.Total()))
	}
	return total.Mul(total, big.NewRat(100, 1))
}

// within tells whether an amount lies at most so many half-pennies from an exact number of pence.
func within(amount money.Pence, exact *big.Rat, halfPennies int64) bool {
	difference := new(big.Rat).SetInt64(int64(amount))
	difference.Abs(difference.Sub(difference, exact))
	return difference.Cmp(big.NewRat(halfPennies, 2)) <= 0
}

func pay(t *rapid.T, in InstalmentInput, number int) money.Pence {
	in.Number = number
	amount, steps, err := Instalment(in)
	require.NoError(t, err)
	requireGives(t, steps, amount)
	return amount
}

func TestInstalment_AnnualNeverStraysMoreThanHalfAPennyAMonth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = PCNAnnual
		first := pay(t, in, 1)
		require.Equal(t, first, pay(t, in, in.Instalments), "all instalments are equal")
		year, err := first.Times(int64(in.Instalments))
		require.NoError(t, err)
		require.True(t, within(year, exactPence(in, false), int64(in.Instalments)))
	})
}

func TestInstalment_ResidualSumsToTheYearRoundedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = ResidualLast
		var sum money.Pence
		for n := range in.Instalments {
			sum += pay(t, in, n+1)
		}
		exact := exactPence(in, false)
		once, err := money.RoundHalfUp(exact.Quo(exact, big.NewRat(100, 1)))
		require.NoError(t, err)
		require.Equal(t, once, sum)
	})
}

func TestPeriod_IsWhatTheMonthsComeTo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = rapid.SampledFrom([]Convention{PCNAnnual, ResidualLast}).Draw(t, "convention")
		period, err := in.Period()
		require.NoError(t, err)
		var sum money.Pence
		for n := range in.Instalments {
			sum += pay(t, in, n+1)
		}
		if in.Convention == ResidualLast {
			require.Equal(t, period, sum)
			return
		}
		// The months stray half a penny each and the period half a penny.
		require.True(t, within(sum, new(big.Rat).SetInt64(int64(period)), int64(in.Instalments)+1), "%s, not %s", sum, period)
	})
}

func TestBasis_GivesTheAmount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = rapid.SampledFrom([]Convention{0, PCNAnnual, PCNMonthlyRate, ResidualLast}).Draw(t, "convention")
		basis := in.Basis()
		sum := new(big.Rat)
		for _, factor := range basis.Factors {
			sum.Add(sum, new(big.Rat).Mul(factor.RateGBP, factor.Quantity))
			require.Equal(t, patients, factor.Unit)
			require.Equal(t, "clause", factor.Clause)
		}
		want, err := money.RoundHalfUp(sum.Quo(sum, big.NewRat(int64(basis.Instalments), 1)))
		require.NoError(t, err)
		require.Equal(t, want, pay(t, in, 1))
		require.NotEmpty(t, basis.Convention.String())
	})
}

func TestInstalment_PracticeSumStraysHalfAPennyAPractice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = PracticeSum
		exact := exactPence(in, false)
		exact.Quo(exact, big.NewRat(int64(in.Instalments), 1))
		require.True(t, within(pay(t, in, 1), exact, int64(len(in.Terms[0].Population.Practices))))
	})
}

func TestInstalment_MonthlyRateIsRoundedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = PCNMonthlyRate
		require.True(t, within(pay(t, in, 1), exactPence(in, true), 1))
	})
}

// TestInstalment_GrowsWithThePopulation holds that one patient more never lowers what is paid by a convention that rounds up.
func TestInstalment_GrowsWithThePopulation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = rapid.SampledFrom([]Convention{PCNAnnual, PCNMonthlyRate, PracticeSum}).Draw(t, "convention")
		before := pay(t, in, 1)
		population := &in.Terms[0].Population
		practices := append([]PracticePopulation(nil), population.Practices...)
		practices[0].Value = new(big.Rat).Add(practices[0].Value, big.NewRat(1, 1))
		*population = Population{Practices: practices}
		require.GreaterOrEqual(t, pay(t, in, 1), before)
	})
}

// TestInstalment_LeavesItsInputAlone holds that the figures given are not changed, so that many lines may share them.
func TestInstalment_LeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Convention = Convention(rapid.IntRange(1, 4).Draw(t, "convention"))
		rate, total := in.Terms[0].RateGBP.RatString(), in.Terms[0].Population.Total().RatString()
		first := pay(t, in, in.Instalments)
		require.Equal(t, first, pay(t, in, in.Instalments))
		require.Equal(t, rate, in.Terms[0].RateGBP.RatString())
		require.Equal(t, total, in.Terms[0].Population.Total().RatString())
	})
}

// FuzzInstalment holds, for whatever text a request can bring, that an amount agrees with its own working and that what is
// refused is refused with a fault.
func FuzzInstalment(f *testing.F) {
	f.Add("1.50", "0.125", "32875", "3", 12, 1, 1)
	f.Add("0.51430", "", "31458", "", 9, 9, 4)
	f.Add("0", "0.061", "48413.37", "0.01", 24, 24, 2)
	f.Add("130.253", "", "1", "1", 1, 1, 3)
	f.Add("999999999999999999999999999999", "1", "999999999999999999999999999999", "1", 12, 12, 4)
	f.Add("0.00000000000000000000000000001", "", "0.00000000000000000000000000001", "", 24, 1, 1)
	f.Add("-1", "-0", "x", "1e9", 0, -1, 9)
	f.Fuzz(func(t *testing.T, rate, monthly, first, second string, instalments, number, convention int) {
		term := Term{Per: "weighted_patient"}
		term.RateGBP, _ = money.ParseDecimal(rate) // a malformed figure is a missing one here
		term.MonthlyRateGBP, _ = money.ParseDecimal(monthly)
		for i, text := range []string{first, second} {
			if value, err := money.ParseDecimal(text); err == nil {
				term.Population.Practices = append(term.Population.Practices, PracticePopulation{Code: strconv.Itoa(i), Value: value})
			}
		}
		amount, steps, err := Instalment(InstalmentInput{
			PaymentCode: "P", Terms: []Term{term}, Instalments: instalments, Number: number, Convention: Convention(convention),
		})
		if err != nil {
			_, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			return
		}
		requireGives(t, steps, amount)
	})
}
