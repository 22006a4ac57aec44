package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/sample"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestShare_RoundsHalfUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, parts, want int64 }{{0, 5000, 0}, {1, 5000, 1}, {1, 4999, 0}, {3, 5000, 2}, {10_000, 50, 50}, {12_345, 10_000, 12_345}} {
		require.Equal(t, c.want, share(c.n, c.parts), "%d × %d", c.n, c.parts)
	}
}

func TestModelledCounts_AddUpToTheRegister(t *testing.T) {
	t.Parallel()
	for i := range modelledIndicators {
		c := &modelledIndicators[i]
		var met, registers int64
		for practice := range 2000 {
			code, patients := "A"+strconv.Itoa(80_000+practice), int64(10_000)
			n := c.of(code, patients)
			require.Equal(t, n, c.of(code, patients), "the same every time")
			require.Equal(t, share(patients, c.register), n.denominator+n.adjusted)
			require.LessOrEqual(t, n.numerator, n.denominator)
			rate := c.rate(code)
			require.GreaterOrEqual(t, rate, share(c.met, whole-spread))
			require.LessOrEqual(t, rate, share(c.met, whole+spread))
			met, registers = met+n.numerator, registers+share(patients, c.register)
		}
		require.InDelta(t, float64(c.met)/whole, float64(met)/float64(registers), 0.01, "%s on average", c.code)
		require.Contains(t, c.words, c.code)
	}
	require.Equal(t, counted{}, modelledIndicators[0].of("A81001", 0), "a practice without patients")
}

func TestAchievementModel_WritesAnExtractThatSaysWhatItIs(t *testing.T) {
	t.Parallel()
	members := packed(t, "PRACTICE_CODE,PCN_CODE\nA81001,U1\nA81002,U1\nA81003,U2\n")
	lists := packed(t, "CODE,NUMBER_OF_PATIENTS\nA81003,30000\nA81001,10000\nA81002,20000\nB90000,77\n")
	m, err := newAchievementModel("2024-03-31", members, lists)
	require.NoError(t, err)
	require.Equal(t, "30000", m.average(), "60,000 patients in two PCNs")
	require.Empty(t, m.prevalence("HI-03"), "nothing is counted yet")
	content, err := m.file()
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, extractColumns, rows[0])
	require.Len(t, rows, 1+3*len(modelledIndicators)*3)
	n := modelledIndicators[0].of("A81001", 10_000)
	require.Equal(t, []string{"NCD2324", notActual, "A81001", "20240331", "NCD003", "Numerator", strconv.FormatInt(n.numerator, 10), "None", notActual, "31/03/2024", "00:00:00", "Y"}, rows[1])
	total := int64(0)
	for _, row := range rows[1:] {
		require.Equal(t, notActual, row[1])
		if row[4] == "NCD120" && row[5] == "Denominator" {
			value, err := strconv.ParseInt(row[6], 10, 64)
			require.NoError(t, err)
			total += value
		}
	}
	require.Equal(t, total, m.denominators["HI-03"])
	require.True(t, strings.HasPrefix(m.prevalence("HI-03"), "0.49"), m.prevalence("HI-03"))
	require.Empty(t, m.prevalence("ACC-08"))
	_, err = newAchievementModel("2024-03-31", members, packed(t, "CODE,NUMBER_OF_PATIENTS\nA81001,10000\n"))
	require.ErrorContains(t, err, "1 of 3 members")
}

func TestAchievementModel_ReadsTheSample(t *testing.T) {
	t.Parallel()
	of := sample.PublishedAchievement()
	members, err := of.Members.Read()
	require.NoError(t, err)
	lists, err := of.Lists.Read()
	require.NoError(t, err)
	m, err := newAchievementModel(of.AchievedOn, members, lists)
	require.NoError(t, err)
	require.Equal(t, []any{6_290, 1_272, int64(61_836_536), "48614"}, []any{len(m.lists), len(m.pcns), m.patients, m.average()})
}
