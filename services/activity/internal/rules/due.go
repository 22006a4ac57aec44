package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

const (
	dueByDay        = "DAY"
	dueByWorkingDay = "WORKING_DAY"
	mostDays        = 31
	// mostWorkingDays is how many any month may have.
	mostWorkingDays = 23
)

// parseDueDay reads DAY 20 or WORKING_DAY 10.
func parseDueDay(value string) (kind string, n int, ok bool) {
	kind, text, found := strings.Cut(value, " ")
	n, err := strconv.Atoi(text)
	most := map[string]int{dueByDay: mostDays, dueByWorkingDay: mostWorkingDays}[kind]
	return kind, n, found && err == nil && n >= 1 && n <= most
}

// DueOn returns the last day on which a commissioner's reports of a month are in time. The day of a month that is shorter is its last one,
// and so is a working day that it does not have. The holidays are the bank holidays of the year in which they are due, YYYY-MM-DD; none are
// taken for not known. It refuses by name where no day is set, and where working days count and the holidays are not known.
func DueOn(settings []Setting, commissioner string, month period.Month, holidays []string) (period.Date, *Missing) {
	s := Find(settings, commissioner, SettingDueDay, "")
	if s == nil {
		return period.Date{}, &Missing{ReasonDueDayNotSet, "day by which reports of " + commissioner + " are due", "set DUE_DAY"}
	}
	kind, n, _ := parseDueDay(s.Value)
	in := month.Add(1)
	if kind == dueByDay {
		return earlier(in.First().AddDays(n-1), in.Last()), nil
	}
	if len(holidays) == 0 {
		year := strconv.Itoa(in.First().Time().Year())
		return period.Date{}, &Missing{ReasonBankHolidaysUnknown, "bank holidays of England in " + year, "set DUE_DAY by the day of the month, or use a register that holds the year"}
	}
	last := in.Last()
	for day := in.First(); !day.After(in.Last()); day = day.AddDays(1) {
		weekday := day.Time().Weekday()
		if weekday == time.Saturday || weekday == time.Sunday || slices.Contains(holidays, day.String()) {
			continue
		}
		if last = day; n == 1 {
			break
		}
		n--
	}
	return last, nil
}

func earlier(a, b period.Date) period.Date {
	if a.Before(b) {
		return a
	}
	return b
}

// State is where the report of a PCN stands.
type State int

// The states.
const (
	// Due is not published, and not late by what is known.
	Due State = iota + 1
	// Published is not fetched by anybody of the PCN.
	Published
	// Delivered is fetched or acknowledged by somebody of the PCN, in its newest version.
	Delivered
	// Late was published after the due day, and is not fetched by anybody of the PCN.
	Late
	// Absent is not published, and its due day is over.
	Absent
)

// Publication is what is known of the publication of a PCN's report.
type Publication struct {
	// Due is the last day in time; zero where none is known.
	Due period.Date
	// First is the day on which a version was published first; zero where none was.
	First period.Date
	// Received is true where somebody of the PCN got the newest version.
	Received bool
}

// At returns where it stands on a day, and whether its first version came after the due day.
func (p Publication) At(today period.Date) (state State, late bool) {
	if p.First.IsZero() {
		if !p.Due.IsZero() && today.After(p.Due) {
			return Absent, false
		}
		return Due, false
	}
	late = !p.Due.IsZero() && p.First.After(p.Due)
	switch {
	case p.Received:
		return Delivered, late
	case late:
		return Late, late
	default:
		return Published, late
	}
}
