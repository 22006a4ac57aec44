package tables

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

func load(t *testing.T) *Prices {
	t.Helper()
	p, err := All()
	require.NoError(t, err)
	return p
}

func TestAll_HoldsItsPromises(t *testing.T) {
	t.Parallel()
	p := load(t)
	byList := make(map[string]map[working.Confidence]int)
	for _, row := range p.Rows {
		require.True(t, row.Source != "" && len(row.Source) <= 500 && !sourceRef.MatchString(row.Source), "%s: %s", row.ID, row.Source)
		require.NotEmpty(t, row.Note, "%s: what the figure is and is not", row.ID)
		require.NotEqual(t, working.Unstated, row.Confidence, row.ID)
		require.Equal(t, row.GBP == nil, row.Confidence == working.Unknown, row.ID)
		require.False(t, row.KnownFrom.IsZero(), row.ID)
		require.LessOrEqual(t, len(row.ID), 128, row.ID)
		if byList[row.List] == nil {
			byList[row.List] = make(map[working.Confidence]int)
		}
		byList[row.List][row.Confidence]++
	}
	require.Equal(t, map[string]map[working.Confidence]int{
		"tariff-2019-20": {working.Unknown: 11}, "tariff-2020-21": {working.Unknown: 11},
		"unit-cost-year-not-stated": {working.Candidate: 9}, "unit-cost-2024-25": {working.Official: 12},
	}, byList)
	require.Equal(t, []period.FinancialYear{2019, 2020, 0, 2024}, []period.FinancialYear{p.Lists[0].Year, p.Lists[1].Year, p.Lists[2].Year, p.Lists[3].Year})
}

// Published figures, read off the tables. The average unit costs are those of the collection, rounded half up to pence.
func TestAll_HoldsPublishedFigures(t *testing.T) {
	t.Parallel()
	p := load(t)
	for id, want := range map[string]string{
		"AE-UNIT-COST-2024-25-VB01Z": "1179.9783087046555", "AE-UNIT-COST-2024-25-VB02Z": "872.6094848553915", "AE-UNIT-COST-2024-25-VB03Z": "515.4501225386998",
		"AE-UNIT-COST-2024-25-VB04Z": "683.6776273944067", "AE-UNIT-COST-2024-25-VB05Z": "503.28741598551665", "AE-UNIT-COST-2024-25-VB06Z": "391.24287083844223",
		"AE-UNIT-COST-2024-25-VB07Z": "367.4894287809107", "AE-UNIT-COST-2024-25-VB08Z": "269.19320410908614", "AE-UNIT-COST-2024-25-VB09Z": "182.12435220709907",
		"AE-UNIT-COST-2024-25-VB10Z": "178.91994993533524", "AE-UNIT-COST-2024-25-VB11Z": "126.75924842599771", "AE-UNIT-COST-2024-25-VB99Z": "429.2517901061595",
		"AE-UNIT-COST-YEAR-NOT-STATED-VB01Z": "338", "AE-UNIT-COST-YEAR-NOT-STATED-VB05Z": "184",
	} {
		exact, err := money.ParseDecimal(want)
		require.NoError(t, err)
		row := find(t, p, id)
		require.Equal(t, money.Format(money.Round(exact, money.HalfUp, 2)), money.Format(row.GBP), id)
	}
	require.True(t, strings.HasPrefix(find(t, p, "AE-UNIT-COST-2024-25-VB09Z").Source, "NHS England, National Cost Collection 2024/25"))
	require.Contains(t, find(t, p, "AE-TARIFF-2020-21-VB11Z").Source, "table 3: what is paid by type of department; NHS England, Developing the national tariff")
	require.Nil(t, find(t, p, "AE-TARIFF-2020-21-VB11Z").GBP)
	require.Equal(t, "2020-11-19", find(t, p, "AE-TARIFF-2020-21-VB11Z").KnownFrom.String())
	require.Equal(t, "Emergency Medicine, Dental Care", find(t, p, "AE-TARIFF-2019-20-VB10Z").Description)
}

func find(t *testing.T, p *Prices, id string) *Price {
	t.Helper()
	i := slices.IndexFunc(p.Rows, func(row Price) bool { return row.ID == id })
	require.GreaterOrEqual(t, i, 0, id)
	return &p.Rows[i]
}

// Each change breaks one promise, and the table is refused for it.
func TestAll_RefusesBrokenTables(t *testing.T) {
	t.Parallel()
	const first, cost = "AE-TARIFF-2019-20-VB01Z,tariff-2019-20,VB01Z", "AE-UNIT-COST-2024-25-VB11Z,unit-cost-2024-25,VB11Z"
	for name, test := range map[string]struct{ file, old, replacement, want string }{
		"a figure of an unknown price":   {"prices.csv", "01;02,,A1;A3,unknown,2019", "01;02,9,A1;A3,unknown,2019", "left out exactly where"},
		"an official one without":        {"prices.csv", ",126.76,", ",,", "left out exactly where"},
		"below nothing":                  {"prices.csv", ",126.76,", ",-126.76,", "negative"},
		"no decimal":                     {"prices.csv", ",126.76,", ",126·76,", "gbp"},
		"the same row":                   {"prices.csv", first, strings.Replace(first, "VB01Z,", "VB02Z,", 1), "stands twice"},
		"the same price":                 {"prices.csv", cost, strings.TrimSuffix(cost, "VB11Z") + "VB10Z", "stands twice"},
		"no such list":                   {"prices.csv", "VB11Z,unit-cost-2024-25", "VB11Z,unit-cost-2025-26", "which there is not"},
		"no HRG":                         {"prices.csv", cost, strings.TrimSuffix(cost, "VB11Z") + "VB1", "no HRG"},
		"a group is missing":             {"prices.csv", first, strings.TrimSuffix(first, "VB01Z") + "VB99Z", "has no row for VB01Z"},
		"a tariff for walk-in centres":   {"prices.csv", "01;02,", "01;04,", "types 01 and 02"},
		"a department that there is not": {"prices.csv", "01;02,", "01;05,", "no type of department"},
		"a department twice":             {"prices.csv", "01;02,", "01;01,", "stands twice"},
		"a source that there is not":     {"prices.csv", ",126.76,A1,", ",126.76,A9,", "A9"},
		"no source":                      {"prices.csv", ",126.76,A1,", ",126.76,the web,", "no source"},
		"no day":                         {"prices.csv", "A1,official,2024-04-01", "A1,official,soon", "known_from"},
		"no year, but official":          {"lists.csv", "stand_in,2024/25", "stand_in,", "what year"},
		"a list twice":                   {"lists.csv", "tariff-2020-21,tariff,2020/21", "tariff-2019-20,tariff,2019/20", "stands twice"},
		"a tariff of another year":       {"lists.csv", "tariff-2020-21,tariff,2020/21", "tariff-2020-21,tariff,2021/22", "after its year"},
		"another kind":                   {"lists.csv", "stand_in,2024/25", "price,2024/25", "not one of"},
		"a list without its source":      {"lists.csv", "2024/25,A1", "2024/25,A7", "A7"},
		"no sources":                     {"sources.csv", "ref,title", "title,ref", "sources.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(func(file string) ([]byte, error) {
				content, err := files.ReadFile(file)
				if err != nil || file != test.file {
					return content, err
				}
				broken := strings.Replace(string(content), test.old, test.replacement, 1)
				if broken == string(content) {
					return nil, fmt.Errorf("%q is not in %s", test.old, file)
				}
				return []byte(broken), nil
			})
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestSources_AreAllNamed(t *testing.T) {
	t.Parallel()
	sources, err := Sources()
	require.NoError(t, err)
	var refs []string
	for _, s := range sources {
		refs = append(refs, s.Ref)
	}
	require.Equal(t, []string{"A1", "A2", "A3", "A4"}, refs)
}
