package tables

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

func TestRequirements_AreWholeAndSourced(t *testing.T) {
	t.Parallel()
	rows, err := Requirements()
	require.NoError(t, err)
	require.Len(t, rows, 47)
	waits := map[string]bool{}
	for _, r := range rows {
		require.NotEmpty(t, r.Source, r.ID)
		for _, missing := range r.Missing() {
			waits[missing] = true
		}
		day, _ := r.DueDay()
		require.Equal(t, day.IsZero(), r.PutOff || r.Confidence == working.Unknown, r.ID)
		if !day.IsZero() && r.ID != "2022-23-personalised-care-digital-planning" && r.ID != "2019-20-network-agreement" {
			require.Equal(t, r.Year, day.Month().FinancialYear(), r.ID)
		}
	}
	require.Equal(t, map[string]bool{
		"due date of 2021-22-neighbourhood-inequalities-delivery":                               true,
		"which of 2023-05-12 and 2023-06-30 is the due date of 2023-24-access-improvement-plan": true,
	}, waits)
	require.Len(t, TrackerSHA256(), 64)
}

func TestCalendar_IsWholeAndSourced(t *testing.T) {
	t.Parallel()
	items, err := Calendar()
	require.NoError(t, err)
	require.Len(t, items, 45)
	holidays, err := Holidays()
	require.NoError(t, err)
	undated := 0
	for _, item := range items {
		falls, err := item.FallsDue(holidays)
		require.NoError(t, err, item.ID)
		if falls.IsZero() {
			undated++
			require.NotEmpty(t, item.Missing())
		}
	}
	require.Equal(t, 1, undated)
}

// easter returns Easter Sunday by the Gregorian reckoning.
func easter(year int) period.Date {
	a, b, c := year%19, year/100, year%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return period.NewDate(year, time.Month(n/31), n%31+1)
}

// TestHolidays_AgreeWithTheCalendar works out the days that follow from Easter, the first and last Mondays, and counts the others.
func TestHolidays_AgreeWithTheCalendar(t *testing.T) {
	t.Parallel()
	holidays, err := Holidays()
	require.NoError(t, err)
	counts := map[int]int{2020: 8, 2022: 10, 2023: 9}
	for year := 2019; year <= 2027; year++ {
		days, err := holidays.Of(year)
		require.NoError(t, err)
		held := map[period.Date]string{}
		for _, d := range days {
			require.NotContains(t, []time.Weekday{time.Saturday, time.Sunday}, d.Day.Time().Weekday(), d.Day)
			held[d.Day] = d.Name
		}
		want := counts[year]
		if want == 0 {
			want = 8
		}
		require.Len(t, days, want, year)
		require.Equal(t, "Good Friday", held[easter(year).AddDays(-2)])
		require.Equal(t, "Easter Monday", held[easter(year).AddDays(1)])
		lastMonday := period.NewDate(year, time.August, 31)
		for lastMonday.Time().Weekday() != time.Monday {
			lastMonday = lastMonday.AddDays(-1)
		}
		require.Equal(t, "Summer bank holiday", held[lastMonday])
		newYear := period.NewDate(year, time.January, 1)
		falls, err := holidays.Fall(newYear, rules.NextWorking)
		require.NoError(t, err)
		require.True(t, falls.After(newYear))
	}
	_, err = holidays.Of(2028)
	require.Error(t, err)
}
