package tables

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func TestTotals_AreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	rows, err := Totals()
	require.NoError(t, err)
	got := make(map[rules.Key]string)
	for i := range rows {
		r := &rows[i]
		require.NotEmpty(t, r.Source, r.ID)
		require.NotContains(t, r.FundCode, "PCN_LM")
		require.Equal(t, r.Amount == nil, r.Confidence == working.Unknown, r.ID)
		amount := "unknown"
		if r.Amount != nil {
			amount = r.Amount.String() + " " + r.Confidence.String()
		}
		if r.Combined {
			amount += " combined"
		}
		got[r.Key] = amount
	}
	require.Equal(t, map[rules.Key]string{
		{Year: 2019, FundCode: "PCN_DEV", Basis: rules.Released}:      "£43,500,000.00 official",
		{Year: 2020, FundCode: "PCN_DEV", Basis: rules.Planned}:       "£45,000,000.00 official",
		{Year: 2020, FundCode: "PCN_DEV", Basis: rules.Released}:      "£43,700,000.00 official",
		{Year: 2021, FundCode: "PCN_DEV", Basis: rules.Released}:      "unknown",
		{Year: 2022, FundCode: "GP_TRANSFORM", Basis: rules.Released}: "£78,000,000.00 secondary combined",
		{Year: 2023, FundCode: "PC_TRANSFORM", Basis: rules.Released}: "unknown combined",
		{Year: 2024, FundCode: "PC_TRANSFORM", Basis: rules.Released}: "£126,900,000.00 official combined",
	}, got)
}

// What the domain does not know is refused by name, and never nothing.
func TestTotals_AreUsableOnlyWhereTheyAreKnown(t *testing.T) {
	t.Parallel()
	rows, err := Totals()
	require.NoError(t, err)
	for fund, years := range map[string]map[period.FinancialYear]string{
		"PCN_DEV":      {2019: "£43,500,000.00", 2020: "£43,700,000.00", 2021: rules.ReasonAmountUnknown, 2022: rules.ReasonAmountUnknown},
		"GP_TRANSFORM": {2022: rules.ReasonPCNShareNotSet},
		"PC_TRANSFORM": {2023: rules.ReasonAmountUnknown, 2024: rules.ReasonPCNShareNotSet},
	} {
		for year, want := range years {
			amount, err := rules.Usable(rows, year, fund, period.Date{})
			got := amount.Pence.String()
			if err != nil {
				require.Zero(t, amount.Pence)
				got, _, _ = strings.Cut(err.Error(), ":")
			}
			require.Equal(t, want, got, "%s %s", fund, year)
		}
	}
	_, err = rules.Usable(rows, 2020, "PCN_DEV", period.NewDate(2020, 6, 30))
	require.ErrorContains(t, err, rules.ReasonAmountUnknown, "in June 2020 nothing was released, and the plan is not shared")
}

func TestPortions_DefaultIn2019Only(t *testing.T) {
	t.Parallel()
	rows, err := Portions()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	percent, err := rules.LeadershipPercent(2019, rules.Given{}, "", rows)
	require.NoError(t, err)
	require.Equal(t, "10", money.Format(percent.Value))
	require.Equal(t, "LEADERSHIP-2019", percent.Origin.Ref)
	for year := period.FinancialYear(2020); year < 2026; year++ {
		_, err = rules.LeadershipPercent(year, rules.Given{}, "", rows)
		require.ErrorContains(t, err, rules.ReasonLeadershipPercentMissing)
	}
}

func TestTables_RefuseWhatBreaksAPromise(t *testing.T) {
	t.Parallel()
	const row = "A,2020/21,PCN_DEV,name,RELEASED,no,100,source,official,2020-04-01,effective_date,\n"
	for name, c := range map[string]struct{ from, to, want string }{
		"a figure that is unknown":    {"official", "unknown", "left out exactly"},
		"a known figure left out":     {",100,", ",,", "left out exactly"},
		"a total of nothing":          {",100,", ",0,", "not positive"},
		"a year before the fund":      {"2020/21", "2018/19", "begins in 2019/20"},
		"another basis":               {"RELEASED", "HOPED", "not one of"},
		"a day that is not the first": {"2020-04-01", "2020-04-02", "first day of the year"},
		"a month that is not over":    {"2020-04-01,effective_date", "2020-04-29,publication_month", "last day of a month"},
		"a row that stands twice":     {row, row + row, "stands twice"},
	} {
		open := func(string) ([]byte, error) {
			return []byte(totalColumns + "\n" + strings.Replace(row, c.from, c.to, 1)), nil
		}
		_, err := parseTotals(table.Opener(open))
		require.ErrorContains(t, err, c.want, name)
	}
	for name, c := range map[string]struct{ rows, want string }{
		"above the whole": {"A,2020/21,101,source,official,2020-04-01,effective_date,\n", "above 100"},
		"a year twice":    {"A,2020/21,1,source,official,2020-04-01,effective_date,\nB,2020/21,2,source,official,2020-04-01,effective_date,\n", "stands twice"},
	} {
		_, err := parsePortions(func(string) ([]byte, error) { return []byte(portionColumns + "\n" + c.rows), nil })
		require.ErrorContains(t, err, c.want, name)
	}
}
