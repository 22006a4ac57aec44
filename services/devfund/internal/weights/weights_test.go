package weights_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/devfund/internal/weights"
)

const header = "Practice_Code,GP_Practice_Name,pop 2022/23,Health Ineq WP,Primary Medical Care WP,Final PMC WP\n"

func TestRead_TakesWeightsAsTheyArePublished(t *testing.T) {
	t.Parallel()
	file, err := weights.Read(strings.NewReader("\ufeff" + header +
		"A81001,\"Densham, The\",4086.310904,9609.732545,4620.6,5368.97204\n" +
		",,1,1,1,1\nTotal,,61498822,1,1,1\nno_data,,0,0,0,0\n" +
		"Y07020,Lambeth,391.0550863,449.7709967,1007.68,923.9938508\n"))
	require.NoError(t, err)
	require.Empty(t, file.Bad)
	require.Equal(t, []string{`line 3: "" is no practice`, `line 4: "Total" is no practice`, `line 5: "no_data" is no practice`}, file.Skipped)
	require.Len(t, file.Rows, 2)
	first := file.Rows[0]
	require.Equal(t, []string{"A81001", "4086.310904", "4620.600000", "9609.732545", "5368.972040"}, []string{
		first.Practice, first.Population.FloatString(6), first.PrimaryMedicalCare.FloatString(6), first.HealthInequality.FloatString(6), first.Final.FloatString(6),
	})
}

func TestRead_NamesEveryBadValue(t *testing.T) {
	t.Parallel()
	file, err := weights.Read(strings.NewReader(header +
		"A81001,a,1,1,1,1\n" +
		"A81001,twice,1,1,1,1\n" +
		"A81002,b,1e3,-1,\"1,5\",\n" +
		"a b,c,1,1,1,1\n" +
		"A81003,short,1\n" +
		"A81004,\"stray,1,1,1,1\n" +
		"A81005,fine,1,1,1,1\n"))
	require.NoError(t, err)
	require.Len(t, file.Rows, 2)
	require.Equal(t, 8, file.BadCount)
	type place struct {
		line   int64
		column string
		value  string
		flaw   weights.Flaw
	}
	var got []place
	for _, b := range file.Bad {
		require.NotEmpty(t, b.Detail)
		got = append(got, place{b.Line, b.Column, b.Value, b.Flaw})
	}
	require.Equal(t, []place{
		{3, "Practice_Code", "A81001", weights.Repeated},
		{4, "pop 2022/23", "1e3", weights.NoDecimal},
		{4, "Primary Medical Care WP", "1,5", weights.NoDecimal},
		{4, "Health Ineq WP", "-1", weights.BelowNothing},
		{4, "Final PMC WP", "", weights.NoDecimal},
		{5, "Practice_Code", "a b", weights.NoCode},
		{6, "", "A81003,short,1", weights.Damaged},
		{7, "", got[len(got)-1].value, weights.Damaged},
	}, got)
}

func TestRead_RefusesAnotherFile(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":                 "",
		"a header alone":        header,
		"a column is missing":   "Practice_Code,pop 2022/23,Health Ineq WP,Final PMC WP\nA81001,1,1,1\n",
		"two of population":     "Practice_Code,pop 2022/23,pop 2023/24,Health Ineq WP,Primary Medical Care WP,Final PMC WP\nA81001,1,1,1,1,1\n",
		"letters of two bytes":  "P\x00r\x00",
		"attendances by month":  "provider_code,arrival_month\nRXX,2022-04\n",
		"more than a year ever": header + strings.Repeat("x", 1),
	} {
		_, err := weights.Read(strings.NewReader(text))
		if name == "more than a year ever" {
			require.NoError(t, err, "a ragged row is named, not the file refused")
			continue
		}
		require.ErrorIs(t, err, weights.ErrFormat, name)
	}
	away := errors.New("away")
	_, err := weights.Read(iotest.ErrReader(away))
	require.ErrorIs(t, err, away)
	require.NotErrorIs(t, err, weights.ErrFormat)
}

func FuzzRead(f *testing.F) {
	f.Add(header + "A81001,a,1,1,1,1\n")
	f.Add(header + "A81001,\"a,1,1,1,1\nTotal,,1,1,1,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := weights.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, file.BadCount, len(file.Bad))
		seen := map[string]bool{}
		for _, row := range file.Rows {
			require.False(t, seen[row.Practice])
			seen[row.Practice] = true
			require.GreaterOrEqual(t, row.Final.Sign(), 0)
		}
	})
}
