package tables

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
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
	require.Len(t, s.Prices.Rows(), 713)
	require.Len(t, s.Roles, 26)
	require.Len(t, s.SumRates, 9)
	require.Len(t, s.Limits, 19)
	require.Len(t, s.Planning, 8)
	for _, price := range s.Prices.Rows() {
		require.NotEmpty(t, price.Source, price.ID)
		require.NotEqual(t, working.Unstated, price.Confidence, price.ID)
		require.LessOrEqual(t, len(price.ID), 128, price.ID)
	}
}

func TestScheme_NamesOnlyKnownSources(t *testing.T) {
	t.Parallel()
	sources, err := Sources()
	require.NoError(t, err)
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

// A figure that was printed, read off the table as a claim of the month would be, on the day it was first known.
func TestPrices_HoldPublishedFigures(t *testing.T) {
	t.Parallel()
	s := load(t)
	cases := []struct{ role, band, post, region, month, known, want string }{
		{"CP", "", "", "national", "2019-07", "", "37810"},
		{"SPLW", "", "", "inner_london", "2019-12", "", "34113"},
		{"CP", "", "", "outer_london", "2020-04", "", "55670"},
		{"PT", "", "", "national", "2021-03", "", "35389"},
		{"TNA", "", "", "national", "2020-10", "", "25671"},
		{"AP", "", "", "national", "2021-04", "", "62705"},
		{"CC", "", "", "national", "2022-03", "", "29726"},
		{"CP", "", "", "national", "2022-09", "", "57318"},
		{"CP", "", "", "national", "2022-10", "", "59312"},
		{"CP", "", "", "inner_london", "2023-03", "", "68768"},
		{"CP", "", "", "national", "2023-06", "", "59312"},
		{"CP", "", "", "national", "2023-07", "", "62340"},
		{"CC", "", "", "national", "2024-09", "", "33396"},
		{"EPN", "", "", "outer_london", "2024-04", "", "67369"},
		{"CP", "", "", "national", "2024-10", "", "65838"},
		{"AP", "", "", "inner_london", "2025-03", "", "82616"},
		{"GP", "", "", "national", "2024-10", "", "92462"},
		{"GP", "", "", "outer_london", "2024-10", "", "95233"},
		{"CP", "", "", "national", "2025-04", "2025-07-31", "66972"},
		{"PT", "", "", "outer_london", "2025-04", "2025-07-31", "49967"},
		{"GP", "", "", "national", "2025-12", "2025-07-31", "105882"},
		{"MHP", "7", "first", "outer_london", "2025-04", "2025-07-31", "36163"},
		{"MHP", "7", "later", "outer_london", "2025-04", "2025-07-31", "72327"},
		{"PT", "", "", "national", "2025-04", "2025-08-01", "44940"},
		{"CP", "", "", "national", "2026-04", "", "71725"},
		{"EGPN", "", "", "national", "2027-03", "", "57114"},
		{"GP", "", "", "inner_london", "2026-04", "", "155698"},
	}
	for _, c := range cases {
		price, err := at(t, s, c.role, c.band, c.post, c.region, c.month, c.known)
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.want, money.Format(price.AnnualGBP), "%+v", c)
	}
}

func at(t *testing.T, s *rules.Scheme, role, band, post, region, month, known string) (*rules.Price, error) {
	t.Helper()
	of, err := rules.ParseRegion(region)
	require.NoError(t, err)
	when, err := period.ParseMonth(month)
	require.NoError(t, err)
	var day period.Date
	if known != "" {
		day, err = period.ParseDate(known)
		require.NoError(t, err)
	}
	return s.Prices.At(rules.PriceKey{Role: role, Band: band, Post: rules.Post(post), Region: of}, "QX", when, day)
}

func TestPrices_AreRefusedByNameWhereNobodyKnows(t *testing.T) {
	t.Parallel()
	s := load(t)
	cases := []struct{ role, band, post, region, month, known, reason string }{
		{"PA", "", "", "national", "2020-04", "", rules.ReasonPriceNotConfirmed},
		{"CP", "", "", "national", "2021-04", "", rules.ReasonPriceUnknown},
		{"CP", "", "", "outer_london", "2022-09", "", rules.ReasonPriceUnknown},
		{"PT", "", "", "outer_london", "2025-04", "2025-08-01", rules.ReasonPriceUnknown},
		{"GP", "", "", "national", "2025-04", "2025-08-01", rules.ReasonPriceUnknown},
		{"MHP", "5", "first", "outer_london", "2025-04", "2025-08-01", rules.ReasonPriceUnknown},
		{"MHP", "5", "later", "national", "2023-04", "", rules.ReasonPriceUnknown},
		{"OTHER_DPC", "4", "", "inner_london", "2025-04", "", rules.ReasonPriceUnknown},
		{"CP", "", "", "inner_london", "2026-04", "", rules.ReasonPriceUnknown},
		{"CP", "", "", "national", "2019-06", "", rules.ReasonPriceUnknown},
		{"CP", "", "", "national", "2027-04", "", rules.ReasonPriceUnknown},
	}
	for _, c := range cases {
		_, err := at(t, s, c.role, c.band, c.post, c.region, c.month, c.known)
		refused, ok := fault.As(err)
		require.True(t, ok, "%+v", c)
		require.Equal(t, c.reason, refused.Reason, "%+v", c)
		require.Equal(t, fault.Refused, refused.Kind)
		require.Contains(t, refused.Message, c.role)
		require.Contains(t, refused.Message, c.month)
	}
}

func TestPrices_AgreeWithTheCostModel(t *testing.T) {
	t.Parallel()
	s := load(t)
	checked := 0
	for _, price := range s.Prices.Rows() {
		if _, modelled := s.CostModel.Maximum(&price); modelled && price.AnnualGBP != nil {
			checked++
		}
		if warning := rules.CheckCost(s.CostModel, &price); warning != nil {
			t.Errorf("%s states %s, the model gives %s", warning.PriceID, money.Format(warning.Stated), money.Format(warning.Modelled))
		}
	}
	require.Greater(t, checked, 340)
}

// Of what the model covers, whatever has no figure is left out on purpose: it would be inferred from nothing printed.
func TestCheckCost_WarnsAndNeverChanges(t *testing.T) {
	t.Parallel()
	s := load(t)
	price, err := at(t, s, "CP", "", "", "national", "2023-07", "")
	require.NoError(t, err)
	typed := *price
	typed.AnnualGBP, err = money.ParseDecimal("63240")
	require.NoError(t, err)
	warning := rules.CheckCost(s.CostModel, &typed)
	require.NotNil(t, warning)
	require.Equal(t, "900", money.Format(warning.Difference))
	require.Equal(t, "63240", money.Format(typed.AnnualGBP))

	for _, text := range []string{"62339", "62340", "62341"} {
		typed.AnnualGBP, err = money.ParseDecimal(text)
		require.NoError(t, err)
		require.Nil(t, rules.CheckCost(s.CostModel, &typed), text)
	}

	before, err := at(t, s, "CP", "", "", "national", "2022-09", "")
	require.NoError(t, err)
	require.Nil(t, rules.CheckCost(s.CostModel, before), "prices before October 2022 do not follow the model")
}

func TestSums_HoldPublishedRates(t *testing.T) {
	t.Parallel()
	s := load(t)
	cases := []struct{ pot, month, known, want string }{
		{"main", "2020-04", "", "7.131"},
		{"main", "2021-04", "", "12.314"},
		{"main", "2022-04", "", "16.696"},
		{"main", "2023-04", "", "22.671"},
		{"main", "2025-03", "", "22.894"},
		{"gp", "2024-10", "", "1.303"},
		{"single", "2025-04", "2025-07-31", "26.631"},
		{"single", "2026-04", "", "27.668"},
	}
	for _, c := range cases {
		when, err := period.ParseMonth(c.month)
		require.NoError(t, err)
		var day period.Date
		if c.known != "" {
			day, err = period.ParseDate(c.known)
			require.NoError(t, err)
		}
		rate := rules.SumRateFor(s.SumRates, rules.Pot(c.pot), "QX", when, day)
		require.NotNil(t, rate, "%+v", c)
		require.Equal(t, c.want, money.Format(rate.RateGBP), "%+v", c)
	}
	candidate := rules.SumRateFor(s.SumRates, rules.MainPot, "QX", period.FinancialYear(2021).First(), period.Date{})
	require.Equal(t, working.Candidate, candidate.Confidence)
	uplifted := rules.SumRateFor(s.SumRates, rules.SinglePot, "QX", period.FinancialYear(2025).First(), period.Date{})
	require.Nil(t, uplifted.RateGBP)
}

func TestParse_RefusesWhatBreaksAPromise(t *testing.T) {
	t.Parallel()
	cases := []struct{ table, from, to, want string }{
		{"prices.csv", "65838,100,", "-65838,100,", "not positive"},
		{"prices.csv", "65838,100,", ",100,", "left out exactly where"},
		{"prices.csv", "CP,7-8a,,national,2024-10-01", "CP,7-8a,,national,2024-10-02", "not a period of whole months"},
		{"prices.csv", "CP,7-8a,,national,2024-10-01,2025-03-31", "CP,7-8a,,national,2024-09-01,2025-03-31", "overlap"},
		{"prices.csv", "CP,7-8a,,national,2024-10-01,2025-03-31", "CP,7-8a,,national,2024-11-01,2025-03-31", "covers"},
		{"prices.csv", "\nCP-NAT-2024-10,CP", "\nCP-NAT-2024-10,XX", "not a role"},
		{"prices.csv", "\nCP-NAT-2024-10,", "\nCP-NAT-2024-04,", "stands twice"},
		{"sums.csv", ",27.668,", ",27.668x,", "not a decimal"},
		{"sums.csv", "SUM-MAIN-2023-04,main", "SUM-MAIN-2023-04,gp", "no pot for every role"},
		{"limits.csv", "100001,,2,2,", "100001,,2,3,", "equal exactly where"},
		{"eligibility.csv", "NO_POST_IN_NETWORK,2025-04-01,,12,", "NO_POST_IN_NETWORK,2025-04-01,,,", "speaks of months"},
		{"eligibility.csv", ",LEVEL_7,", ",LEVEL_8,", "is not a rule"},
		{"roles.csv", ",sessions,", ",days,", "not a measure"},
		{"roles.csv", "role,name,", "code,name,", "other columns"},
		{"planning.csv", ",shared,", ",given,", "is not one of"},
		{"parameters.csv", ",200,", ",,", "left out exactly where"},
		{"cost_model.csv", ",0.1438,", ",,", "left out exactly where"},
		{"transfers.csv", ",2019-09-30,", ",,", "left out exactly where"},
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
	require.ErrorContains(t, err, "no roles.csv")
}
