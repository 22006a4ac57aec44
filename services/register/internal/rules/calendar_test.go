package rules

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// easter2022 holds the bank holidays of April 2022 and of New Year 2023.
func easter2022(t testing.TB) *Holidays {
	return NewHolidays([]Holiday{{Day: dayOf(t, "2022-04-15")}, {Day: dayOf(t, "2022-04-18")}, {Day: dayOf(t, "2023-01-02")}})
}

func TestFall_IsAWorkingDay(t *testing.T) {
	t.Parallel()
	h := easter2022(t)
	for _, c := range []struct {
		day  string
		rule DayRule
		want string
	}{
		{"2022-04-13", NextWorking, "2022-04-13"},
		{"2022-04-15", NextWorking, "2022-04-19"},
		{"2022-04-16", NextWorking, "2022-04-19"},
		{"2022-04-18", NextWorking, "2022-04-19"},
		{"2022-04-18", PreviousWorking, "2022-04-14"},
		{"2022-04-15", AsStated, "2022-04-15"},
		{"2022-12-31", NextWorking, "2023-01-03"},
		{"2023-01-01", PreviousWorking, "2022-12-30"},
		{"2030-01-01", AsStated, "2030-01-01"},
	} {
		got, err := h.Fall(dayOf(t, c.day), c.rule)
		require.NoError(t, err)
		require.Equal(t, c.want, got.String(), "%s %s", c.day, c.rule)
	}
	for _, c := range []struct {
		day  string
		rule DayRule
	}{{"2030-01-01", NextWorking}, {"2023-12-31", NextWorking}, {"2022-01-01", PreviousWorking}} {
		_, err := h.Fall(dayOf(t, c.day), c.rule)
		require.Equal(t, ReasonBankHolidaysUnknown, fault.ReasonOf(err), "%s %s", c.day, c.rule)
	}
	_, err := h.Of(2021)
	require.Equal(t, ReasonBankHolidaysUnknown, fault.ReasonOf(err))
	days, err := h.Of(2022)
	require.NoError(t, err)
	require.Len(t, days, 2)
}

func TestItem_StandsWhereItsDayPutsIt(t *testing.T) {
	t.Parallel()
	h := easter2022(t)
	item := Item{Title: "t", Due: dayOf(t, "2022-04-15"), Rule: NextWorking, State: ItemOpen, Confidence: working.Official, Known: dayOf(t, "2022-01-01")}
	for name, c := range map[string]struct {
		alter func(*Item)
		on    string
		want  ItemState
	}{
		"before":                        {func(*Item) {}, "2022-04-14", ItemOpen},
		"on the next working day":       {func(*Item) {}, "2022-04-19", ItemOpen},
		"after it":                      {func(*Item) {}, "2022-04-20", ItemLate},
		"as stated":                     {func(i *Item) { i.Rule = AsStated }, "2022-04-16", ItemLate},
		"done":                          {func(i *Item) { i.State = ItemDone }, "2022-04-20", ItemDone},
		"cancelled":                     {func(i *Item) { i.State = ItemCancelled }, "2022-04-20", ItemCancelled},
		"seeded in time":                {func(i *Item) { i.Seeded = true }, "2022-04-20", ItemLate},
		"seeded after it":               {func(i *Item) { i.Seeded, i.Known = true, dayOf(t, "2022-05-01") }, "2022-06-20", ItemPassed},
		"entered by hand after it":      {func(i *Item) { i.Known = dayOf(t, "2022-05-01") }, "2022-06-20", ItemLate},
		"without a day":                 {func(i *Item) { i.Due, i.Confidence = period.Date{}, working.Unknown }, "2022-06-20", ItemUndated},
		"with a day only guessed":       {func(i *Item) { i.Confidence = working.Candidate }, "2022-06-20", ItemUndated},
		"window, on its last day":       {func(i *Item) { i.Due, i.From, i.Till = period.Date{}, i.Due, dayOf(t, "2022-04-21") }, "2022-04-21", ItemOpen},
		"window, after its last day":    {func(i *Item) { i.Due, i.From, i.Till = period.Date{}, i.Due, dayOf(t, "2022-04-21") }, "2022-04-22", ItemLate},
		"window ends on a bank holiday": {func(i *Item) { i.Due, i.From, i.Till = period.Date{}, i.Due, dayOf(t, "2022-04-18") }, "2022-04-19", ItemOpen},
	} {
		copied := item
		c.alter(&copied)
		got, _, err := copied.StandsOn(dayOf(t, c.on), h)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestItemCheck_WantsADayOrAWindow(t *testing.T) {
	t.Parallel()
	h := easter2022(t)
	a, b := dayOf(t, "2022-04-01"), dayOf(t, "2022-04-30")
	for name, c := range map[string]struct {
		item   Item
		reason string
	}{
		"a day":              {Item{Title: "t", Due: a, Confidence: working.Official}, ""},
		"a window":           {Item{Title: "t", From: a, Till: b, Confidence: working.Official}, ""},
		"unknown":            {Item{Title: "t", Confidence: working.Unknown}, ""},
		"neither":            {Item{Title: "t", Confidence: working.Official}, ReasonCalendarDayInvalid},
		"both":               {Item{Title: "t", Due: a, From: a, Till: b, Confidence: working.Official}, ReasonCalendarDayInvalid},
		"half a window":      {Item{Title: "t", Till: b, Confidence: working.Official}, ReasonCalendarDayInvalid},
		"reversed":           {Item{Title: "t", From: b, Till: a, Confidence: working.Official}, ReasonPeriodReversed},
		"without a title":    {Item{Title: " ", Due: a, Confidence: working.Official}, ReasonValueMissing},
		"without confidence": {Item{Title: "t", Due: a}, ReasonValueMissing},
		"year not held":      {Item{Title: "t", Due: dayOf(t, "2035-04-02"), Rule: NextWorking, Confidence: working.Official}, ReasonBankHolidaysUnknown},
		"year as stated":     {Item{Title: "t", Due: dayOf(t, "2035-04-02"), Rule: AsStated, Confidence: working.Official}, ""},
	} {
		require.Equal(t, c.reason, fault.ReasonOf(c.item.Check(h)), name)
	}
}

func TestSettle_ChangesOnce(t *testing.T) {
	t.Parallel()
	today := dayOf(t, "2022-04-20")
	open := Item{Title: "t", State: ItemOpen, Evidence: "minutes"}
	done, err := open.Settle(ItemDone, today, "", "", today)
	require.NoError(t, err)
	require.Equal(t, today, done.Completed)
	require.Equal(t, "minutes", done.Evidence)
	again, err := done.Settle(ItemOpen, period.Date{}, "", "wrong item", today)
	require.NoError(t, err)
	require.True(t, again.Completed.IsZero())
	for reason, call := range map[string]func() (Item, error){
		ReasonCalendarStateDiffers: func() (Item, error) { return done.Settle(ItemDone, today, "", "", today) },
		ReasonReasonMissing:        func() (Item, error) { return open.Settle(ItemCancelled, period.Date{}, "", "", today) },
		ReasonValueMissing:         func() (Item, error) { return open.Settle(ItemDone, period.Date{}, "", "", today) },
		ReasonDayInFuture:          func() (Item, error) { return open.Settle(ItemDone, today.AddDays(1), "", "", today) },
	} {
		_, err := call()
		require.Equal(t, reason, fault.ReasonOf(err))
	}
}

func TestLatestMoment_IsTheLastThatHasCome(t *testing.T) {
	t.Parallel()
	falls := dayOf(t, "2022-07-29")
	for _, c := range []struct{ today, known, want string }{
		{"2022-07-14", "2022-01-01", ""},
		{"2022-07-15", "2022-01-01", "14"},
		{"2022-07-27", "2022-01-01", "14"},
		{"2022-07-28", "2022-01-01", "1"},
		{"2022-07-29", "2022-01-01", "1"},
		{"2022-07-30", "2022-01-01", "late"},
		{"2022-12-30", "2022-01-01", "late"},
		{"2022-07-20", "2022-07-16", ""},
		{"2022-07-28", "2022-07-16", "1"},
		{"2022-07-28", "2022-07-28", "1"},
		{"2022-08-30", "2022-08-01", ""},
	} {
		got, found := LatestMoment(falls, dayOf(t, c.known), dayOf(t, c.today), []int{14, 1})
		key := ""
		if found {
			key = got.Key()
		}
		require.Equal(t, c.want, key, "%+v", c)
	}
	// On each day of a downtime of any length at most one reminder waits, and none twice in a row of days without one.
	seen := map[string]int{}
	for day := falls.AddDays(-30); !day.After(falls.AddDays(30)); day = day.AddDays(1) {
		if got, found := LatestMoment(falls, falls.AddDays(-60), day, []int{14, 1, 0}); found {
			seen[got.Key()]++
		}
	}
	require.Equal(t, map[string]int{"14": 13, "1": 1, "0": 1, "late": 30}, seen)
}
