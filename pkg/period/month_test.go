package period_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

func TestParseDate_ReadsDaysOfTheCalendar(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2020-02-29", "1900-01-01", "2022-06-30", "9999-12-31"} {
		day, err := period.ParseDate(text)
		require.NoError(t, err)
		require.Equal(t, text, day.String())
	}
	for _, text := range []string{"", "2021-02-29", "2021-13-01", "2021-00-10", "2021-1-1", "01/02/2021", "2021-01-01T00:00:00Z", "1899-12-31", " 2021-01-01", "٢٠٢١-٠١-٠١"} {
		_, err := period.ParseDate(text)
		require.Error(t, err, text)
	}
}

func TestParseMonth_ReadsMonthsOfTheCalendar(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2020-02", "1900-01", "2022-12"} {
		month, err := period.ParseMonth(text)
		require.NoError(t, err)
		require.Equal(t, text, month.String())
	}
	for _, text := range []string{"", "2021-13", "2021-00", "2021-1", "2021-01-01", "1899-12", "2021/01", "Jan 2021"} {
		_, err := period.ParseMonth(text)
		require.Error(t, err, text)
	}
}

func TestDate_IsTheUTCDayOfAMoment(t *testing.T) {
	t.Parallel()
	late := time.Date(2022, time.June, 30, 23, 30, 0, 0, time.FixedZone("an hour behind", -3600))
	require.Equal(t, "2022-07-01", period.DateOf(late).String())
	day := period.NewDate(2022, time.July, 1)
	require.Equal(t, period.DateOf(late), day)
	require.Equal(t, time.Date(2022, time.July, 1, 0, 0, 0, 0, time.UTC), day.Time())
}

func TestDate_IsOrdered(t *testing.T) {
	t.Parallel()
	before, after := period.NewDate(2022, time.March, 31), period.NewDate(2022, time.April, 1)
	require.True(t, before.Before(after))
	require.False(t, before.Before(before))
	require.True(t, after.After(before))
	require.False(t, after.After(after))
	require.Negative(t, before.Compare(after))
	require.Zero(t, before.Compare(before))
	require.Equal(t, after, before.AddDays(1))
	require.Equal(t, period.NewMonth(2022, time.March), before.Month())
}

func TestZero_MeansNone(t *testing.T) {
	t.Parallel()
	require.True(t, period.Date{}.IsZero())
	require.True(t, period.Month{}.IsZero())
	require.Empty(t, period.Date{}.String())
	require.Empty(t, period.Month{}.String())
	require.False(t, period.NewDate(2022, time.July, 1).IsZero())
	require.False(t, period.NewMonth(2022, time.July).IsZero())
}

func drawMonth(t *rapid.T, label string) period.Month {
	return period.NewMonth(rapid.IntRange(1900, 2200).Draw(t, label+" year"), time.Month(rapid.IntRange(1, 12).Draw(t, label+" month")))
}

func TestMonth_AddsAndSubtracts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, n := drawMonth(t, "m"), rapid.IntRange(-1000, 1000).Draw(t, "n")
		later := m.Add(n)
		require.Equal(t, n, later.Sub(m))
		require.Equal(t, m, later.Add(-n))
		require.Equal(t, n > 0, later.After(m))
		require.Equal(t, n < 0, later.Before(m))
		require.Equal(t, n == 0, later.Compare(m) == 0)
	})
}

func TestMonth_FollowsWithoutAGap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t, "m")
		require.Equal(t, m.Add(1).First(), m.Last().AddDays(1))
		require.Equal(t, m, m.First().Month())
		require.Equal(t, m, m.Last().Month())
		back, err := period.ParseMonth(m.String())
		require.NoError(t, err)
		require.Equal(t, m, back)
		day, err := period.ParseDate(m.Last().String())
		require.NoError(t, err)
		require.Equal(t, m.Last(), day)
	})
}

func TestMonth_LiesInItsFinancialYear(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMonth(t, "m")
		year := m.FinancialYear()
		require.False(t, m.Before(year.First()))
		require.False(t, m.After(year.Last()))
		require.Equal(t, 11, year.Last().Sub(year.First()))
		back, err := period.ParseFinancialYear(year.String())
		require.NoError(t, err)
		require.Equal(t, year, back)
	})
}

func TestFinancialYear_RunsFromAprilToMarch(t *testing.T) {
	t.Parallel()
	year, err := period.ParseFinancialYear("2022/23")
	require.NoError(t, err)
	require.Equal(t, "2022-04", year.First().String())
	require.Equal(t, "2023-03", year.Last().String())
	require.Equal(t, "2022-01-01", year.ListDate().String())
	require.Equal(t, year, period.NewMonth(2022, time.April).FinancialYear())
	require.Equal(t, year-1, period.NewMonth(2022, time.March).FinancialYear())
	require.Equal(t, "1999/00", period.FinancialYear(1999).String())
}

func TestParseFinancialYear_RefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "2022", "2022/24", "2022-23", "2022/2023", "22/23", "2022/ 3", "+022/23", "2022/23 ", "abcd/ef"} {
		_, err := period.ParseFinancialYear(text)
		require.Error(t, err, text)
	}
}
