package rules

import (
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

func decimal(t testing.TB, text string) *big.Rat {
	t.Helper()
	if text == "" {
		return nil
	}
	value, err := money.ParseDecimal(text)
	require.NoError(t, err)
	return value
}

// perHead is a term with one population; its rates are left out where empty.
func perHead(t testing.TB, rate, monthly, population string) Term {
	t.Helper()
	return Term{
		RateGBP: decimal(t, rate), MonthlyRateGBP: decimal(t, monthly),
		RateOrigin: working.Origin{Kind: working.FromRate, Ref: "R-1", Source: "the page", Confidence: working.Secondary},
		Population: Population{Value: decimal(t, population), Origin: working.Origin{Kind: working.FromSnapshot, Ref: "L-1"}},
		Unit:       "patients", Per: "registered_patient",
	}
}

// byPractice is a term whose population is given practice by practice.
func byPractice(t testing.TB, rate string, populations ...string) Term {
	t.Helper()
	term := perHead(t, rate, "", "0")
	term.Population = Population{}
	for i, population := range populations {
		term.Population.Practices = append(term.Population.Practices, PracticePopulation{
			Code: string(rune('A' + i)), Value: decimal(t, population), Origin: working.Origin{Kind: working.FromSnapshot, Ref: "L-1"},
		})
	}
	return term
}

func named(name string, term Term) Term {
	term.Name = name
	return term
}

func TestInstalment_FollowsItsConvention(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		in   InstalmentInput
		want money.Pence
	}{
		{"odd list rounds half a penny up", InstalmentInput{Terms: []Term{perHead(t, "1.50", "", "32875")}, Instalments: 12, Number: 12}, 410938},
		{"even list", InstalmentInput{Terms: []Term{perHead(t, "1.50", "", "17876")}, Instalments: 12, Number: 1}, 223450},
		{"just below half a penny", InstalmentInput{Terms: []Term{perHead(t, "0.00499999", "", "1")}, Instalments: 1, Number: 1}, 0},
		{"half a penny", InstalmentInput{Terms: []Term{perHead(t, "0.005", "", "1")}, Instalments: 1, Number: 1}, 1},
		{"nobody registered", InstalmentInput{Terms: []Term{perHead(t, "1.50", "", "0")}, Instalments: 12, Number: 1}, 0},
		{"five decimals", InstalmentInput{Terms: []Term{perHead(t, "0.51430", "", "31458")}, Instalments: 9, Number: 1}, 179765},
		{"made once", InstalmentInput{Terms: []Term{perHead(t, "0.542", "", "48417")}, Instalments: 1, Number: 1}, 2624201},
		{"fraction of a weighted patient", InstalmentInput{Terms: []Term{perHead(t, "1.761", "", "10456.37")}, Instalments: 12, Number: 1}, 153447},
		{"published monthly rate", InstalmentInput{Terms: []Term{perHead(t, "0.736", "0.061", "48413")}, Instalments: 12, Number: 1, Convention: PCNMonthlyRate}, 295319},
		{"monthly rate alone", InstalmentInput{Terms: []Term{perHead(t, "", "0.061", "48413")}, Instalments: 12, Number: 1, Convention: PCNMonthlyRate}, 295319},
		{"practice by practice", InstalmentInput{Terms: []Term{byPractice(t, "1.50", "15001", "15001", "2003")}, Instalments: 12, Number: 1, Convention: PracticeSum}, 400064},
		{"practices added first", InstalmentInput{Terms: []Term{byPractice(t, "1.50", "15001", "15001", "2003")}, Instalments: 12, Number: 1}, 400063},
		{"practice by practice, once", InstalmentInput{Terms: []Term{byPractice(t, "0.005", "1", "1")}, Instalments: 1, Number: 1, Convention: PracticeSum}, 2},
		{"residual, first", InstalmentInput{Terms: []Term{perHead(t, "0.699", "", "48613")}, Instalments: 12, Number: 1, Convention: ResidualLast}, 283171},
		{"residual, last", InstalmentInput{Terms: []Term{perHead(t, "0.699", "", "48613")}, Instalments: 12, Number: 12, Convention: ResidualLast}, 283168},
		{"residual below nothing", InstalmentInput{Terms: []Term{perHead(t, "0.06", "", "1")}, Instalments: 12, Number: 12, Convention: ResidualLast}, -5},
		{"residual of one", InstalmentInput{Terms: []Term{perHead(t, "0.699", "", "48613")}, Instalments: 1, Number: 1, Convention: ResidualLast}, 3398049},
		{"merged, rounded once", InstalmentInput{
			Terms: []Term{named("REGISTERED", perHead(t, "2.266", "", "42702")), named("ADJUSTED", perHead(t, "0.733", "", "37838"))}, Instalments: 12, Number: 1,
		}, 1037483},
		{"merged, practice by practice", InstalmentInput{
			Terms: []Term{named("REGISTERED", byPractice(t, "2.266", "10", "11")), named("ADJUSTED", byPractice(t, "0.733", "9", "12"))}, Instalments: 12, Number: 1, Convention: PracticeSum,
		}, 244 + 281},
		{"beds have no practices", InstalmentInput{
			Terms: []Term{{RateGBP: decimal(t, "130.253"), Population: Population{Value: decimal(t, "245")}, Unit: "beds"}}, Instalments: 12, Number: 1, Convention: PracticeSum,
		}, 265933},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, steps, err := Instalment(c.in)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			requireGives(t, steps, got)
		})
	}
}

// requireGives holds that a working alone gives an amount, also after it was written as a message and read back.
func requireGives(t rapid.TB, steps *working.Working, amount money.Pence) {
	t.Helper()
	result, err := working.Evaluate(steps)
	require.NoError(t, err)
	require.Zero(t, result.Cmp(amount.GBP()), "%s gives %s", amount, money.Format(result))
	back, err := working.FromProto(working.ToProto(steps))
	require.NoError(t, err)
	result, err = working.Evaluate(back)
	require.NoError(t, err)
	require.Zero(t, result.Cmp(amount.GBP()))
}

func TestInstalment_ShowsItsWorking(t *testing.T) {
	t.Parallel()
	_, steps, err := Instalment(InstalmentInput{
		PaymentCode: "CORE_PCN", Terms: []Term{perHead(t, "1.50", "", "32875")}, Instalments: 12, Number: 1,
		ConventionOrigin: working.Origin{Kind: working.FromSetting, Ref: "S-1", Source: "PCN_ANNUAL"},
		Clause:           "Network Contract DES 2022/23: core PCN funding",
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"months is 12 months (setting S-1; PCN_ANNUAL).",
		"rate is £1.50 per registered patient (rate R-1; the page; confidence: secondary).",
		"population is 32875 patients (register load L-1).",
		"whole period = rate 1.5 × population 32875 = £49312.50 (Network Contract DES 2022/23: core PCN funding).",
		"one month = whole period 49312.5 ÷ months 12 = £4109.375.",
		"instalment = one month 4109.375 rounded half up to 2 decimals = £4109.38 (PCN_ANNUAL: monthly instalments rounded half up, no true-up).",
	}, working.Sentences(steps))
	require.Equal(t, working.Secondary, steps.Confidence())
}

func TestInstalment_ShowsEachPracticeWhereTheWholeHasNoRecord(t *testing.T) {
	t.Parallel()
	term := byPractice(t, "1.50", "15001", "15001", "2003")
	term.Population.Value = decimal(t, "32005")
	_, steps, err := Instalment(InstalmentInput{Terms: []Term{term}, Instalments: 12, Number: 1})
	require.NoError(t, err)
	text := strings.Join(working.Sentences(steps), "\n")
	require.Contains(t, text, "A population is 15001 patients (register load L-1).")
	require.Contains(t, text, "population = A population 15001 + B population 15001 + C population 2003 = 32005 patients.")

	term.Population.Origin = working.Origin{Kind: working.FromSnapshot, Ref: "L-2"}
	_, steps, err = Instalment(InstalmentInput{Terms: []Term{term}, Instalments: 12, Number: 1})
	require.NoError(t, err)
	require.Contains(t, strings.Join(working.Sentences(steps), "\n"), "population is 32005 patients (register load L-2).")
	require.Len(t, steps.Inputs, 3)
}

func TestInstalment_ShowsConfidenceOfItsWorstFigure(t *testing.T) {
	t.Parallel()
	adjusted := named("ADJUSTED", perHead(t, "0.733", "", "10"))
	adjusted.RateOrigin.Confidence = working.Inferred
	adjusted.Per = "adjusted_patient"
	_, steps, err := Instalment(InstalmentInput{Terms: []Term{named("REGISTERED", perHead(t, "2.266", "", "10")), adjusted}, Instalments: 12, Number: 1})
	require.NoError(t, err)
	require.Equal(t, working.Inferred, steps.Confidence())
	require.Equal(t, "GBP_per_registered_patient", steps.Inputs[1].Unit)
	require.Equal(t, "GBP_per_adjusted_patient", steps.Inputs[3].Unit)
}

func TestInstalment_RefusesWhatItCannotCompute(t *testing.T) {
	t.Parallel()
	good := perHead(t, "1.50", "", "10")
	short := byPractice(t, "0.733", "9")
	cases := []struct {
		name   string
		in     InstalmentInput
		kind   fault.Kind
		reason string
	}{
		{"no terms", InstalmentInput{Instalments: 12, Number: 1}, fault.Invalid, ReasonQuoteIncomplete},
		{"no instalments", InstalmentInput{Terms: []Term{good}}, fault.Invalid, ReasonQuoteIncomplete},
		{"instalment before the first", InstalmentInput{Terms: []Term{good}, Instalments: 12}, fault.Invalid, ReasonQuoteIncomplete},
		{"instalment after the last", InstalmentInput{Terms: []Term{good}, Instalments: 12, Number: 13}, fault.Invalid, ReasonQuoteIncomplete},
		{"convention unknown", InstalmentInput{Terms: []Term{good}, Instalments: 12, Number: 1, Convention: 5}, fault.Invalid, ReasonSettingInvalid},
		{"convention below", InstalmentInput{Terms: []Term{good}, Instalments: 12, Number: 1, Convention: -1}, fault.Invalid, ReasonSettingInvalid},
		{"components of one name", InstalmentInput{Terms: []Term{named("A", good), named("a", good)}, Instalments: 12, Number: 1}, fault.Invalid, ReasonQuoteIncomplete},
		{"component without a name", InstalmentInput{Terms: []Term{named("A", good), good}, Instalments: 12, Number: 1}, fault.Invalid, ReasonQuoteIncomplete},
		{"rate unknown", InstalmentInput{Terms: []Term{perHead(t, "", "", "10")}, Instalments: 12, Number: 1}, fault.Refused, ReasonRateUnknown},
		{"rate negative", InstalmentInput{Terms: []Term{perHead(t, "-1", "", "10")}, Instalments: 12, Number: 1}, fault.Invalid, ReasonDecimalMalformed},
		{"monthly rate not published", InstalmentInput{Terms: []Term{good}, Instalments: 12, Number: 1, Convention: PCNMonthlyRate}, fault.Refused, ReasonMonthlyRateMissing},
		{"monthly rate of one component", InstalmentInput{
			Terms: []Term{named("A", perHead(t, "1", "1", "1")), named("B", good)}, Instalments: 12, Number: 1, Convention: PCNMonthlyRate,
		}, fault.Refused, ReasonMonthlyRateMissing},
		{"population missing", InstalmentInput{Terms: []Term{perHead(t, "1", "", "")}, Instalments: 12, Number: 1}, fault.Refused, ReasonPopulationMissing},
		{"population negative", InstalmentInput{Terms: []Term{perHead(t, "1", "", "-1")}, Instalments: 12, Number: 1}, fault.Invalid, ReasonDecimalMalformed},
		{"practice negative", InstalmentInput{Terms: []Term{byPractice(t, "1", "1", "-1")}, Instalments: 12, Number: 1}, fault.Invalid, ReasonDecimalMalformed},
		{"practices missing", InstalmentInput{Terms: []Term{good}, Instalments: 12, Number: 1, Convention: PracticeSum}, fault.Refused, ReasonPopulationMissing},
		{"practice missing in one component", InstalmentInput{
			Terms: []Term{named("A", byPractice(t, "1", "1", "1")), named("B", short)}, Instalments: 12, Number: 1, Convention: PracticeSum,
		}, fault.Refused, ReasonPopulationMissing},
		{"practice more in one component", InstalmentInput{
			Terms: []Term{named("B", short), named("A", byPractice(t, "1", "1", "1"))}, Instalments: 12, Number: 1, Convention: PracticeSum,
		}, fault.Refused, ReasonPopulationMissing},
		{"beyond pence", InstalmentInput{Terms: []Term{perHead(t, "1000000000000", "", "1000000000000")}, Instalments: 12, Number: 1}, fault.Invalid, ReasonAmountOverflow},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			amount, steps, err := Instalment(c.in)
			f, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.kind, f.Kind)
			require.Equal(t, c.reason, f.Reason)
			require.Zero(t, amount)
			require.Nil(t, steps)
		})
	}
}

// TestInstalment_IsLoudOverAPopulationThatIsNotItsSum holds the invariant that a network's list is the sum of its practices.
func TestInstalment_IsLoudOverAPopulationThatIsNotItsSum(t *testing.T) {
	t.Parallel()
	term := byPractice(t, "1", "1", "2")
	term.Population.Value = decimal(t, "4")
	require.Panics(t, func() { _, _, _ = Instalment(InstalmentInput{Terms: []Term{term}, Instalments: 1, Number: 1}) })
}

func TestEnumerations_ReadWhatTheyWrite(t *testing.T) {
	t.Parallel()
	for u := RegisteredPatient; u <= CareHomeBed; u++ {
		read, err := ParseUnit(u.String())
		require.NoError(t, err)
		require.Equal(t, u, read)
		require.NotEmpty(t, u.Adjective())
		require.Contains(t, []string{"patients", "beds"}, u.Plural())
	}
	for timing := Monthly; timing <= OnDeclaration; timing++ {
		read, err := ParseTiming(timing.String())
		require.NoError(t, err)
		require.Equal(t, timing, read)
	}
	for c := PCNAnnual; c <= ResidualLast; c++ {
		read, err := ParseConvention(c.String())
		require.NoError(t, err)
		require.Equal(t, c, read)
	}
	_, err := ParseUnit("iif_point")
	require.Error(t, err)
	_, err = ParseTiming("")
	require.Error(t, err)
	_, err = ParseConvention("pcn_annual")
	require.Error(t, err)
}
