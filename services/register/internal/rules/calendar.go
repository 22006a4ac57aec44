package rules

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Holiday is a bank holiday of England and Wales.
type Holiday struct {
	Day          period.Date
	Name, Source string
}

// Holidays are the bank holidays of the years of which they are known.
type Holidays struct {
	days  []Holiday
	off   map[period.Date]bool
	years map[int]bool
}

// NewHolidays takes the bank holidays of whole years.
func NewHolidays(days []Holiday) *Holidays {
	h := &Holidays{days: slices.Clone(days), off: make(map[period.Date]bool, len(days)), years: make(map[int]bool)}
	slices.SortFunc(h.days, func(a, b Holiday) int { return a.Day.Compare(b.Day) })
	for _, d := range days {
		h.off[d.Day], h.years[d.Day.Time().Year()] = true, true
	}
	return h
}

// Of returns the bank holidays of a year, or refuses with BANK_HOLIDAYS_UNKNOWN.
func (h *Holidays) Of(year int) ([]Holiday, error) {
	if !h.years[year] {
		return nil, fault.New(fault.Refused, ReasonBankHolidaysUnknown, "the bank holidays of %d are not held", year).With("year", year).
			With("missing", "bank holidays of England and Wales in "+strconv.Itoa(year)).With("remedy", "use a day as it is stated, or a program that holds the year")
	}
	var out []Holiday
	for _, d := range h.days {
		if d.Day.Time().Year() == year {
			out = append(out, d)
		}
	}
	return out, nil
}

// working tells whether a day is a working day: neither Saturday nor Sunday nor a bank holiday.
func (h *Holidays) working(day period.Date) (bool, error) {
	if weekday := day.Time().Weekday(); weekday == time.Saturday || weekday == time.Sunday {
		return false, nil
	}
	if year := day.Time().Year(); !h.years[year] {
		_, err := h.Of(year)
		return false, err
	}
	return !h.off[day], nil
}

// DayRule says on which day an item falls due whose day is no working day; the names are those of the contract.
type DayRule string

// The rules.
const (
	AsStated        DayRule = "AS_STATED"
	NextWorking     DayRule = "NEXT_WORKING_DAY"
	PreviousWorking DayRule = "PREVIOUS_WORKING_DAY"
)

// Fall returns the day on which something falls due by a rule; it refuses with BANK_HOLIDAYS_UNKNOWN where that takes a year whose bank
// holidays are not held.
func (h *Holidays) Fall(day period.Date, rule DayRule) (period.Date, error) {
	step := 0
	switch rule {
	case NextWorking:
		step = 1
	case PreviousWorking:
		step = -1
	case AsStated:
		return day, nil
	}
	for {
		open, err := h.working(day)
		if err != nil || open || step == 0 {
			return day, err
		}
		day = day.AddDays(step)
	}
}

// Level is the level at which somebody sees to an item; the names are those of the contract.
type Level string

// The levels.
const (
	NationLevel       Level = "NATION_LEVEL"
	RegionLevel       Level = "REGION_LEVEL"
	SystemLevel       Level = "SYSTEM_LEVEL"
	PlaceLevel        Level = "PLACE_LEVEL"
	CommissionerLevel Level = "COMMISSIONER_LEVEL"
	PCNLevel          Level = "PCN_LEVEL"
)

// ItemState is where an item stands; the names are those of the contract.
type ItemState string

// The states; the first three are stored.
const (
	ItemOpen      ItemState = "OPEN"
	ItemDone      ItemState = "DONE"
	ItemCancelled ItemState = "CANCELLED"
	ItemLate      ItemState = "LATE"
	ItemPassed    ItemState = "PASSED"
	ItemUndated   ItemState = "UNDATED"
	ItemPerPCN    ItemState = "PER_PCN"
)

// Item is one thing to be done by a day or within a window. A zero day is one that is not known.
type Item struct {
	ID, Title       string
	Level           Level
	Owner           string
	Commissioner    string
	Due, From, Till period.Date
	Rule            DayRule
	Evidence        string
	State           ItemState
	Completed       period.Date
	Linked          string
	Source, Reason  string
	Confidence      working.Confidence
	// Seeded says that the program brought the item, on the day Known.
	Seeded bool
	Known  period.Date
}

// day is the day of an item, or the last of its window; zero where it may not be relied on.
func (i *Item) day() period.Date {
	if !i.Confidence.Payable() {
		return period.Date{}
	}
	if i.Due.IsZero() {
		return i.Till
	}
	return i.Due
}

// FallsDue returns the day on which an item falls due; zero where that is not known.
func (i *Item) FallsDue(h *Holidays) (period.Date, error) {
	day := i.day()
	if day.IsZero() {
		return day, nil
	}
	return h.Fall(day, i.Rule)
}

// Missing names what is not known of an item.
func (i *Item) Missing() []string {
	if i.day().IsZero() {
		return []string{"day of " + i.Title}
	}
	return nil
}

// Check refuses an item without a day, or with days that contradict each other.
func (i *Item) Check(h *Holidays) error {
	dated, window := !i.Due.IsZero(), !i.From.IsZero() || !i.Till.IsZero()
	switch {
	case i.Confidence == working.Unstated:
		return fault.New(fault.Invalid, ReasonValueMissing, "confidence is required").At("confidence", "how far the source may be relied on")
	case !dated && !window && i.Confidence == working.Unknown:
		return unnamed("title", i.Title)
	case dated == window, window && (i.From.IsZero() || i.Till.IsZero()):
		return fault.New(fault.Invalid, ReasonCalendarDayInvalid, "an item has a day, or a window with its first and its last day").
			At("due_date", "a day, or else window_start and window_end")
	case window && i.Till.Before(i.From):
		return fault.New(fault.Invalid, ReasonPeriodReversed, "the window ends before it starts").At("window_end", "not before window_start")
	}
	if _, err := i.FallsDue(h); err != nil {
		return err
	}
	return unnamed("title", i.Title)
}

// StandsOn tells where an item stands on a day.
func (i *Item) StandsOn(on period.Date, h *Holidays) (ItemState, period.Date, error) {
	falls, err := i.FallsDue(h)
	if err != nil || i.State != ItemOpen {
		return i.State, falls, err
	}
	switch {
	case falls.IsZero():
		return ItemUndated, falls, nil
	case i.Seeded && falls.Before(i.Known):
		return ItemPassed, falls, nil
	case on.After(falls):
		return ItemLate, falls, nil
	default:
		return ItemOpen, falls, nil
	}
}

// Settle refuses a change of an item that changes nothing or lacks what it needs, and returns the item as it leaves it.
func (i Item) Settle(state ItemState, completed period.Date, evidence, reason string, today period.Date) (Item, error) {
	switch {
	case i.State == state:
		return i, fault.New(fault.Refused, ReasonCalendarStateDiffers, "the item is %s already", state).With("state", state)
	case state != ItemDone && strings.TrimSpace(reason) == "":
		return i, fault.New(fault.Invalid, ReasonReasonMissing, "%s needs a reason", state).At("reason", "why")
	case state == ItemDone && completed.IsZero():
		return i, fault.New(fault.Invalid, ReasonValueMissing, "completed_date is required").At("completed_date", "the day on which it was done, YYYY-MM-DD")
	case completed.After(today):
		return i, fault.New(fault.Invalid, ReasonDayInFuture, "completed_date, %s, lies in the future: it is %s", completed, today).At("completed_date", "a day up to today")
	}
	i.State, i.Reason, i.Completed = state, reason, period.Date{}
	if state == ItemDone {
		i.Completed = completed
	}
	if evidence != "" {
		i.Evidence = evidence
	}
	return i, nil
}

// Moment is one reminder: so many days before something falls due, or that it is late.
type Moment struct {
	DaysBefore int
	Late       bool
}

// Key names a moment among those of one thing.
func (m Moment) Key() string {
	if m.Late {
		return "late"
	}
	return strconv.Itoa(m.DaysBefore)
}

// LatestMoment returns the reminder to send by a day of what falls due on another: the latest whose time has come, for one that a later
// one has overtaken tells nothing any more. Of moments before it was known that the thing falls due none is sent.
func LatestMoment(falls, known, today period.Date, before []int) (Moment, bool) {
	type timed struct {
		Moment
		at period.Date
	}
	moments := []timed{{Moment{Late: true}, falls.AddDays(1)}}
	for _, n := range before {
		moments = append(moments, timed{Moment{DaysBefore: n}, falls.AddDays(-n)})
	}
	moments = slices.DeleteFunc(moments, func(m timed) bool { return m.at.After(today) || m.at.Before(known) })
	if len(moments) == 0 {
		return Moment{}, false
	}
	latest := slices.MaxFunc(moments, func(a, b timed) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(b.DaysBefore, a.DaysBefore))
	})
	return latest.Moment, true
}
