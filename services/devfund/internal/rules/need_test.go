package rules_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// published reads rows of a file of the sample by the names of columns.
func published(t testing.TB, name string) []map[string]string {
	file, err := os.Open("../../../sample/data/" + name)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	unzipped, err := gzip.NewReader(file)
	require.NoError(t, err)
	rows, err := csv.NewReader(unzipped).ReadAll()
	require.NoError(t, err)
	out := make([]map[string]string, 0, len(rows)-1)
	for _, row := range rows[1:] {
		fields := make(map[string]string, len(row))
		for i, column := range rows[0] {
			fields[column] = row[i]
		}
		out = append(out, fields)
	}
	return out
}

func publishedWeights(t testing.TB) []rules.NeedWeight {
	rows := published(t, "gp_practice_weighted_population_2022-23.csv.gz")
	out := make([]rules.NeedWeight, len(rows))
	for i, row := range rows {
		out[i] = rules.NeedWeight{
			Practice: row["Practice_Code"], Population: decimal(t, row["pop 2022/23"]), PrimaryCare: decimal(t, row["Primary Medical Care WP"]),
			HealthInequality: decimal(t, row["Health Ineq WP"]), Final: decimal(t, row["Final PMC WP"]),
		}
	}
	return out
}

// The published file of 2022/23 obeys the identity in every practice, and every column has the national population.
func TestCheckNeed_HoldsForThePublishedFile(t *testing.T) {
	t.Parallel()
	got, err := rules.CheckNeed(rules.UnmetNeed(), publishedWeights(t))
	require.NoError(t, err)
	require.True(t, got.Passed())
	require.Equal(t, 6_554, got.Practices)
	require.Empty(t, got.Gaps)
	require.Equal(t, "N83028", got.Largest.Practice)
	require.Equal(t, "0.0042555", new(big.Rat).Abs(got.Largest.Gap).FloatString(7))
	for column, sum := range map[string]*big.Rat{
		"population": got.Population, "primary care": got.PrimaryCare, "inequality": got.HealthInequality, "final": got.Final,
	} {
		require.Equal(t, "61498822", sum.FloatString(0), column)
	}
}

// Another mix than 85 and 15 does not pass: the file tells them apart.
func TestCheckNeed_FindsAnotherMix(t *testing.T) {
	t.Parallel()
	need := rules.UnmetNeed()
	need.PrimaryShare, need.InequalityShare = big.NewRat(86, 100), big.NewRat(14, 100)
	got, err := rules.CheckNeed(need, publishedWeights(t))
	require.NoError(t, err)
	require.False(t, got.Passed())
	require.Greater(t, len(got.Gaps), 6_000)
	require.True(t, got.SumsAgree, "the mix leaves the sums as they are")
	require.True(t, slices.IsSortedFunc(got.Gaps, func(a, b rules.NeedGap) int {
		return new(big.Rat).Abs(b.Gap).Cmp(new(big.Rat).Abs(a.Gap))
	}))
}

func weight(t require.TestingT, practice, population, primary, inequality, final string) rules.NeedWeight {
	return rules.NeedWeight{practice, decimal(t, population), decimal(t, primary), decimal(t, inequality), decimal(t, final)}
}

// The practice of example LM-008, and both sides of the tolerance.
func TestCheckNeed_AtTheTolerance(t *testing.T) {
	t.Parallel()
	for final, passes := range map[string]bool{
		"21991.1795": true, "21991.1895": true, "21991.1895001": false, "21991.1695": true, "21991.1694999": false,
	} {
		got, err := rules.CheckNeed(rules.UnmetNeed(), []rules.NeedWeight{weight(t, "A81002", "18684.58", "20255.66", "31825.79", final)})
		require.NoError(t, err)
		require.Equal(t, "21991.1795", money.Format(got.Largest.Expected))
		require.Equal(t, passes, len(got.Gaps) == 0, final)
		require.False(t, got.SumsAgree, "one practice alone has no national sum")
		require.False(t, got.Passed())
	}
}

func TestCheckNeed_RefusesByName(t *testing.T) {
	t.Parallel()
	good := weight(t, "A", "1", "1", "1", "1")
	bare := good
	bare.Final = nil
	for name, c := range map[string]struct {
		rows   []rules.NeedWeight
		reason string
	}{
		"nothing":         {nil, rules.ReasonNeedWeightsNotFound},
		"twice":           {[]rules.NeedWeight{good, good}, rules.ReasonReceiverTwice},
		"a figure absent": {[]rules.NeedWeight{bare}, rules.ReasonPopulationMissing},
		"below nothing":   {[]rules.NeedWeight{weight(t, "A", "1", "-1", "1", "1")}, rules.ReasonWeightNegative},
	} {
		_, err := rules.CheckNeed(rules.UnmetNeed(), c.rows)
		require.Equal(t, c.reason, fault.ReasonOf(err), name)
		_, err = rules.ForecastNeed(c.rows, []rules.NeedList{{"A", "U00001", big.NewRat(1, 1)}})
		require.Equal(t, c.reason, fault.ReasonOf(err), name)
	}
	for name, lists := range map[string][]rules.NeedList{
		rules.ReasonPopulationMissing: {{Practice: "A"}}, rules.ReasonWeightNegative: {{"A", "", big.NewRat(-1, 1)}},
		rules.ReasonReceiverTwice: {{"A", "", big.NewRat(1, 1)}, {"A", "", big.NewRat(1, 1)}},
	} {
		_, err := rules.ForecastNeed([]rules.NeedWeight{good}, lists)
		require.Equal(t, name, fault.ReasonOf(err))
	}
	_, err := rules.ForecastNeed([]rules.NeedWeight{good}, nil)
	require.Equal(t, rules.ReasonPopulationMissing, fault.ReasonOf(err))
	_, err = rules.ForecastNeed([]rules.NeedWeight{weight(t, "A", "1", "0", "0", "0")}, []rules.NeedList{{"A", "U00001", big.NewRat(1, 1)}})
	require.Equal(t, rules.ReasonNoWeight, fault.ReasonOf(err))
}

func TestForecastNeed_KeepsTheSumOfTheLists(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rows []rules.NeedWeight
		var lists []rules.NeedList
		draw := func(name string, least int64) *big.Rat {
			return big.NewRat(rapid.Int64Range(least, 9_999_999).Draw(t, name), 1_000)
		}
		for i := range rapid.IntRange(1, 20).Draw(t, "practices") {
			practice := fmt.Sprintf("P%02d", i)
			lists = append(lists, rules.NeedList{practice, fmt.Sprintf("U%02d", i%5), big.NewRat(rapid.Int64Range(1, 20_000).Draw(t, "list"), 1)})
			if i == 0 || rapid.Bool().Draw(t, "weighted") {
				rows = append(rows, rules.NeedWeight{practice, draw("population", 0), draw("primary", 0), draw("inequality", 0), draw("final", 100_000)})
			}
		}
		got, err := rules.ForecastNeed(rows, lists)
		require.NoError(t, err)
		require.Zero(t, got.Forecast.Cmp(got.Registered))
		again, err := rules.ForecastNeed(rapid.Permutation(rows).Draw(t, "rows"), rapid.Permutation(lists).Draw(t, "lists"))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestForecastNeed_WeighsListsAndCountsOthersAsListed(t *testing.T) {
	t.Parallel()
	got, err := rules.ForecastNeed([]rules.NeedWeight{weight(t, "A", "100", "0", "0", "150"), weight(t, "B", "0", "0", "0", "0")}, []rules.NeedList{
		{"A", "U00002", big.NewRat(200, 1)}, {"B", "U00001", big.NewRat(50, 1)}, {"C", "U00001", big.NewRat(50, 1)},
	})
	require.NoError(t, err)
	require.Equal(t, "3/4", got.Scale.RatString())
	require.Equal(t, []string{"B", "C"}, got.Rows[0].WithoutWeight)
	require.Equal(t, "75", got.Rows[0].Forecast.RatString())
	require.Equal(t, "225", got.Rows[1].Forecast.RatString())
	require.Empty(t, got.Rows[1].WithoutWeight)
}

// Weights of 2022/23 on the lists of January 2025 come near the adjusted populations published for that day, though the years differ: the
// median network lies within two percent, and nine of ten within five.
func TestForecastNeed_ComesNearThePublishedPopulations(t *testing.T) {
	t.Parallel()
	var lists []rules.NeedList
	adjusted := make(map[string]*big.Rat)
	for _, row := range published(t, "practice_adjusted_population_2025-01-01.csv.gz") {
		pcn := row["PCN Code"]
		if row["Practice Code"] == "" { // the total
			continue
		}
		if row["PCN member January 25"] != "Yes" {
			pcn = ""
		}
		lists = append(lists, rules.NeedList{row["Practice Code"], pcn, decimal(t, row["Raw list size"])})
		if adjusted[pcn] == nil {
			adjusted[pcn] = new(big.Rat)
		}
		adjusted[pcn].Add(adjusted[pcn], decimal(t, row["Adjusted Population"]))
	}
	got, err := rules.ForecastNeed(publishedWeights(t), lists)
	require.NoError(t, err)
	require.Len(t, got.Rows, 1_285)
	require.Equal(t, "63724163", got.Registered.RatString())
	require.Zero(t, got.Forecast.Cmp(got.Registered))
	var off []*big.Rat
	unweighted := 0
	for _, row := range got.Rows[1:] {
		unweighted += len(row.WithoutWeight)
		difference := new(big.Rat).Quo(row.Forecast, adjusted[row.PCN])
		off = append(off, difference.Abs(difference.Sub(difference, big.NewRat(1, 1))))
	}
	slices.SortFunc(off, func(a, b *big.Rat) int { return a.Cmp(b) })
	t.Logf("scale %s, %d members without a weight, median gap %s, ninth decile %s, largest %s",
		got.Scale.FloatString(6), unweighted, off[len(off)/2].FloatString(4), off[len(off)*9/10].FloatString(4), off[len(off)-1].FloatString(4))
	require.Negative(t, off[len(off)/2].Cmp(big.NewRat(2, 100)))
	require.Negative(t, off[len(off)*9/10].Cmp(big.NewRat(5, 100)))
}

func BenchmarkCheckNeed(b *testing.B) {
	rows := publishedWeights(b)
	for b.Loop() {
		if _, err := rules.CheckNeed(rules.UnmetNeed(), rows); err != nil {
			b.Fatal(err)
		}
	}
}
