package tables

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io/fs"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

func load(t *testing.T) *rules.Scheme {
	t.Helper()
	s, err := Scheme()
	require.NoError(t, err)
	return s
}

func TestScheme_HoldsItsPromises(t *testing.T) {
	t.Parallel()
	s := load(t)
	require.Len(t, s.Versions, 11)
	require.Len(t, s.Indicators, 123)
	require.Len(t, s.Overrides, 1)
	require.Len(t, s.Calendar, 6)
	require.Len(t, s.Fields, 47)
	for i := range s.Values {
		v := &s.Values[i]
		require.NotEmpty(t, v.Source, v.ID)
		require.NotEqual(t, working.Unstated, v.Confidence, v.ID)
		require.Equal(t, rules.England, v.CommissionerCode, v.ID)
		require.False(t, v.KnownFrom.IsZero(), v.ID)
		require.LessOrEqual(t, len(v.ID), 128, v.ID)
		require.Equal(t, v.Amount == nil, v.Confidence == working.Unknown, v.ID)
	}
}

func TestScheme_NamesOnlyKnownSources(t *testing.T) {
	t.Parallel()
	sources, err := Sources()
	require.NoError(t, err)
	require.Len(t, sources, 59)
	known := make(map[string]bool)
	for _, source := range sources {
		require.False(t, known[source.Ref], "%s stands twice", source.Ref)
		known[source.Ref] = true
	}
	names, err := fs.Glob(files, "*.csv")
	require.NoError(t, err)
	ref := regexp.MustCompile(`\bS\d+\b`)
	for _, name := range names {
		text, err := files.ReadFile(name)
		require.NoError(t, err)
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		require.NoError(t, err)
		for _, row := range rows {
			for _, found := range ref.FindAllString(strings.Join(row, " "), -1) {
				require.True(t, known[found], "%s: %s is not in sources.csv", name, found)
			}
		}
	}
}

func find(t *testing.T, s *rules.Scheme, id string) *rules.Value {
	t.Helper()
	i := slices.IndexFunc(s.Values, func(v rules.Value) bool { return v.ID == id })
	require.GreaterOrEqual(t, i, 0, id)
	return &s.Values[i]
}

// Published figures, read off the tables.
func TestValues_HoldPublishedFigures(t *testing.T) {
	t.Parallel()
	s := load(t)
	for id, want := range map[string]string{
		"IIF-2020-10:gbp_per_point":                   "111 secondary",
		"IIF-2021-12:gbp_per_point":                   "200 secondary",
		"IIF-2023-04:gbp_per_point":                   "198 inferred",
		"IIF-2021-12-VI-02:points":                    "88 secondary",
		"IIF-2021-12-VI-02:lower_threshold":           "57 secondary",
		"IIF-2021-12-COV-01:points":                   "220 official",
		"IIF-2021-12-ACC-01:points":                   "27 inferred",
		"IIF-2022-04-PC-01:lower_threshold":           "1.2 secondary",
		"IIF-2022-10-PC-01:lower_threshold":           "0.8 secondary",
		"IIF-2022-10-CVD-02:upper_threshold":          "0.8 secondary",
		"IIF-2022-10-RESP-02:upper_threshold":         "15 secondary",
		"IIF-2022-10-CVD-06:upper_threshold":          "35 secondary",
		"IIF-2023-04-VI-02:points":                    "113 candidate",
		"IIF-2023-04-HI-03:points":                    "36 inferred",
		"IIF-2025-04-HI-03:lower_threshold":           "60 candidate",
		"IIF-2025-04-CAN-04:upper_threshold":          "80 secondary",
		"IIF-2025-04-HI-03:prevalence_adjusted":       "1 secondary",
		"IIF-AVERAGE-2025:national_average_list_size": "49412.66 candidate",
	} {
		v := find(t, s, id)
		require.Equal(t, want, money.Format(v.Amount)+" "+v.Confidence.String(), id)
	}
	for _, id := range []string{
		"IIF-2022-10-VI-01:points", "IIF-2022-10-AC-02:lower_threshold", "IIF-2025-04-CAN-04:prevalence_adjusted", "IIF-2026-04:gbp_per_point",
		"IIF-AVERAGE-2022:national_average_list_size", "IIF-PREVALENCE-2021-VI-01:national_prevalence_percent",
	} {
		require.Nil(t, find(t, s, id).Amount, id)
	}
}

// A row is no surer than the source of its status: the suspensions and the introductions of October 2021 were read in the press, and
// nobody confirmed that prevalence adjusted the indicators of 2020.
func TestIndicators_AreNoSurerThanTheirSource(t *testing.T) {
	t.Parallel()
	s := load(t)
	for i := range s.Indicators {
		row := &s.Indicators[i]
		introduced := row.VersionID == "IIF-2021-10" && !slices.Contains([]string{"VI-01", "VI-02", "VI-03"}, row.Code)
		if introduced || row.Status == rules.Suspended {
			require.GreaterOrEqual(t, row.Confidence, working.Secondary, row.ID)
		}
	}
	require.Equal(t, working.Inferred, find(t, s, "IIF-2020-10-FLU-65:prevalence_adjusted").Confidence)
	require.Equal(t, working.Inferred, find(t, s, "IIF-2020-10-LD-CHECK:prevalence_adjusted").Confidence)
}

func TestAverages_KeepWhichListTheyAreOf(t *testing.T) {
	t.Parallel()
	s := load(t)
	require.Equal(t, rules.List{Kind: rules.RegisteredList, On: period.NewDate(2025, time.January, 1)},
		find(t, s, "IIF-AVERAGE-2025:national_average_list_size").List)
	require.Zero(t, find(t, s, "IIF-AVERAGE-2020:national_average_list_size").List)
}

// National value = points × price × 0.90 × networks reproduces what was published, to the precision it was quoted to.
func TestVersions_AgreeWithTheirNationalValue(t *testing.T) {
	t.Parallel()
	s := load(t)
	checked := 0
	for i := range s.Versions {
		v := &s.Versions[i]
		if v.NationalGBP == nil {
			continue
		}
		networks := int64(1_251)
		if v.Year == 2023 {
			networks = 1_264
		}
		price := find(t, s, v.ID+":"+string(rules.PriceField))
		value := rules.NationalValue(v.Points, price.Amount, big.NewRat(9, 10), networks)
		off := new(big.Rat).Sub(value, v.NationalGBP)
		off.Quo(off.Abs(off), v.NationalGBP)
		require.Negative(t, off.Cmp(big.NewRat(1, 150)), "%s: %s against %s", v.ID, value.FloatString(0), v.NationalGBP.FloatString(0))
		checked++
	}
	require.Equal(t, 8, checked)
}

// Where every paying indicator has points, candidates included, they sum to what was published.
func TestVersions_SumToTheirPublishedPoints(t *testing.T) {
	t.Parallel()
	s := load(t)
	sums := make(map[string]*big.Rat)
	unknown := make(map[string]int)
	for i := range s.Indicators {
		row := &s.Indicators[i]
		if row.Status != rules.Active {
			continue
		}
		if sums[row.VersionID] == nil {
			sums[row.VersionID] = new(big.Rat)
		}
		if points := find(t, s, row.ID+":points").Amount; points != nil {
			sums[row.VersionID].Add(sums[row.VersionID], points)
		} else {
			unknown[row.VersionID]++
		}
	}
	got := make(map[string]string)
	for id, sum := range sums {
		got[id] = fmt.Sprintf("%s and %d unknown", sum.RatString(), unknown[id])
	}
	require.Equal(t, map[string]string{
		"IIF-2020-10": "119 and 4 unknown", "IIF-2021-04": "225 and 0 unknown", "IIF-2021-10": "270 and 6 unknown", "IIF-2021-12": "389 and 0 unknown",
		"IIF-2022-04": "391 and 26 unknown", "IIF-2022-10": "227 and 26 unknown", "IIF-2023-04": "262 and 0 unknown",
		"IIF-2024-04": "58 and 0 unknown", "IIF-2024-10": "58 and 0 unknown", "IIF-2025-04": "58 and 0 unknown",
	}, got)
}

func TestVersions_ChangeStatusInsideAYear(t *testing.T) {
	t.Parallel()
	s := load(t)
	status := make(map[string]rules.Status)
	for i := range s.Indicators {
		status[s.Indicators[i].ID] = s.Indicators[i].Status
	}
	for id, want := range map[string]rules.Status{
		"IIF-2021-10-HI-02": rules.Active, "IIF-2021-12-HI-02": rules.Suspended, "IIF-2022-04-ACC-08": rules.Active,
		"IIF-2022-10-ACC-08": rules.Deferred, "IIF-2022-10-ACC-05": rules.Retired, "IIF-2024-04-CAN-02": rules.Active,
		"IIF-2024-10-CAN-02": rules.Retired, "IIF-2024-10-CAN-04": rules.Active, "IIF-2023-04-ACC-08": rules.Active,
	} {
		require.Equal(t, want, status[id], id)
	}
	announced := slices.IndexFunc(s.Versions, func(v rules.Version) bool { return v.ID == "IIF-2022-10" })
	require.Equal(t, "2022-09-26", s.Versions[announced].KnownFrom.String())
	require.Equal(t, "2022-10-01", s.Versions[announced].From.String())
	require.Equal(t, period.FinancialYear(2022), s.Versions[announced].Year)
}

func TestParse_RefusesWhatBreaksAPromise(t *testing.T) {
	t.Parallel()
	cases := []struct{ table, from, to, want string }{
		{"versions.csv", ",111.00,", ",-111.00,", "negative"},
		{"versions.csv", ",111.00,", ",,", "left out exactly where"},
		{"versions.csv", ",194,exact,", ",,exact,", "left out exactly where"},
		{"versions.csv", ",194,exact,", ",118,exact,", "points sum to 119 of 118"},
		{"versions.csv", ",58,exact,", ",59,exact,", "points sum to 58 of 59"},
		{"versions.csv", "2021-04-01,2021-09-30", "2021-04-01,2021-09-29", "does not follow"},
		{"versions.csv", "2021-04-01,2021-09-30", "2021-04-01,2022-09-30", "not within its financial year"},
		{"versions.csv", "HALF_UP", "NEAREST", "does not take the value"},
		{"calendar.csv", "IIF-RUN-2024-07,", "IIF-RUN-2024-06,", "stands twice"},
		{"versions.csv", ",50700000,6,", ",50700000,5,", "pays 6 indicators, not 5"},
		{"indicators.csv", "\nIIF-2021-04-VI-01,IIF-2021-04,", "\nIIF-2021-04-VI-01,IIF-2021-05,", "not a version"},
		{"indicators.csv", "\nIIF-2021-04-VI-02,IIF-2021-04,VI-02", "\nIIF-2021-04-VI-02,IIF-2021-04,VI-01", "are one figure"},
		{"indicators.csv", ",72,secondary,70,77,", ",72,secondary,77,70,", "not in order"},
		{"indicators.csv", ",72,secondary,70,77,", ",72,secondary,70,,", "left out exactly where"},
		{"indicators.csv", "percentage,higher,72", "binary,higher,72", "has no thresholds"},
		{"indicators.csv", "percentage,higher,72", "percentage,,72", "left out exactly for"},
		{"indicators.csv", "percentage,higher,72", "undefined,higher,72", "undefined exactly where"},
		{"indicators.csv", "percentage,higher,72", "guess,higher,72", "not a kind"},
		{"indicators.csv", ",yes,secondary,active,", ",maybe,secondary,active,", "is not one of"},
		{"indicators.csv", ",yes,secondary,active,", ",,secondary,active,", "left out exactly where"},
		{"indicators.csv", ",active,", ",paused,", "not a status"},
		{"indicators.csv", ",gpes,", ",post,", "not a feed"},
		{"indicators.csv", "retired,CAN-04", "retired,CAN-05", "does not assess"},
		{"indicators.csv", "2021-12-31;2022-03-31", "2021-12-31;", "not a day"},
		{"averages.csv", "48000,", "48000x,", "not a decimal"},
		{"prevalence.csv", ",FLU-65,", ",FLU-66,", "not an indicator of"},
		{"overrides.csv", ",ACC-08,1,", ",ACC-08,2,", "not from 0 to 1"},
		{"overrides.csv", ",ACC-08,1,", ",ACC-09,1,", "not an indicator of"},
		{"calendar.csv", "2024-06-05,2024-06-20", "2024-06-21,2024-06-20", "pays on"},
		{"calendar.csv", "run,2024-06-05", "run,", "pays on"},
		{"calendar.csv", "2024-07-04,2024-07-19", "2024-06-04,2024-06-19", "are one run"},
		{"fields.csv", "HI-03,exclusion,LD_DAT", "HI-03,exclusion,PAT_AGEU14", "stands twice"},
		{"fields.csv", ",exclusion,", ",exception,", "is not one of"},
		{"fields.csv", "code,role,", "role,code,", "other columns"},
	}
	for _, c := range cases {
		_, err := parse(func(name string) ([]byte, error) {
			text, err := files.ReadFile(name)
			if name != c.table {
				return text, err
			}
			changed := strings.Replace(string(text), c.from, c.to, 1)
			require.NotEqual(t, string(text), changed, "%+v", c)
			return []byte(changed), err
		})
		require.ErrorContains(t, err, c.want, "%+v", c)
	}
	_, err := parse(func(name string) ([]byte, error) { return nil, fmt.Errorf("no %s", name) })
	require.ErrorContains(t, err, "no versions.csv")
}
