// Package period holds calendar days, funding months and financial years. None of them is a moment in time.
package period

import (
	"fmt"
	"time"
)

// Date is a calendar day. The zero value means no day.
type Date struct {
	year  int
	month time.Month
	day   int
}

// NewDate makes a day; it must be in the calendar.
func NewDate(year int, month time.Month, day int) Date { return Date{year, month, day} }

// DateOf returns the UTC day of a moment.
func DateOf(moment time.Time) Date {
	year, month, day := moment.UTC().Date()
	return Date{year, month, day}
}

// ParseDate reads a day written YYYY-MM-DD; it must be in the calendar.
func ParseDate(text string) (Date, error) {
	moment, err := time.Parse(time.DateOnly, text)
	if err != nil || moment.Year() < 1900 {
		return Date{}, fmt.Errorf("%q is not a day written YYYY-MM-DD", text)
	}
	return DateOf(moment), nil
}

// String writes YYYY-MM-DD, or an empty string for no day.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day)
}

// IsZero tells no day from a day.
func (d Date) IsZero() bool { return d == Date{} }

// Before tells whether d comes before e.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// After tells whether d comes after e.
func (d Date) After(e Date) bool { return d.Compare(e) > 0 }

// Compare returns -1, 0 or 1.
func (d Date) Compare(e Date) int { return d.Time().Compare(e.Time()) }

// Time returns the first moment of the day, UTC.
func (d Date) Time() time.Time { return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC) }

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date { return DateOf(d.Time().AddDate(0, 0, n)) }

// Month returns the month the day lies in.
func (d Date) Month() Month { return Month{d.year, d.month} }

// Month is a funding month. The zero value means no month.
type Month struct {
	year  int
	month time.Month
}

// NewMonth makes a month.
func NewMonth(year int, month time.Month) Month { return Month{year, month} }

// ParseMonth reads a month written YYYY-MM.
func ParseMonth(text string) (Month, error) {
	moment, err := time.Parse("2006-01", text)
	if err != nil || moment.Year() < 1900 {
		return Month{}, fmt.Errorf("%q is not a month written YYYY-MM", text)
	}
	return Month{moment.Year(), moment.Month()}, nil
}

// String writes YYYY-MM, or an empty string for no month.
func (m Month) String() string {
	if m.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d", m.year, m.month)
}

// IsZero tells no month from a month.
func (m Month) IsZero() bool { return m == Month{} }

// First returns the first day.
func (m Month) First() Date { return Date{m.year, m.month, 1} }

// Last returns the last day.
func (m Month) Last() Date { return m.Add(1).First().AddDays(-1) }

// Add returns the month n months later.
func (m Month) Add(n int) Month {
	index := m.index() + n
	return Month{index / 12, time.Month(index%12 + 1)}
}

// Sub returns the number of months from n to m.
func (m Month) Sub(n Month) int { return m.index() - n.index() }

// Before tells whether m comes before n.
func (m Month) Before(n Month) bool { return m.index() < n.index() }

// After tells whether m comes after n.
func (m Month) After(n Month) bool { return m.index() > n.index() }

// Compare returns a negative number, 0 or a positive number.
func (m Month) Compare(n Month) int { return m.index() - n.index() }

func (m Month) index() int { return m.year*12 + int(m.month) - 1 }

// FinancialYear returns the year, April to March, that the month lies in.
func (m Month) FinancialYear() FinancialYear {
	if m.month >= time.April {
		return FinancialYear(m.year)
	}
	return FinancialYear(m.year - 1)
}

// FinancialYear is a year from 1 April to 31 March, by the calendar year it starts in.
type FinancialYear int

// ParseFinancialYear reads 2022/23.
func ParseFinancialYear(text string) (FinancialYear, error) {
	var start, end int
	if len(text) != len("2022/23") {
		return 0, fmt.Errorf("%q is not a financial year written YYYY/YY", text)
	}
	if _, err := fmt.Sscanf(text, "%4d/%2d", &start, &end); err != nil || (start+1)%100 != end || FinancialYear(start).String() != text {
		return 0, fmt.Errorf("%q is not a financial year written YYYY/YY", text)
	}
	return FinancialYear(start), nil
}

// String writes 2022/23.
func (y FinancialYear) String() string { return fmt.Sprintf("%04d/%02d", int(y), (int(y)+1)%100) }

// First returns April of the year.
func (y FinancialYear) First() Month { return Month{int(y), time.April} }

// Last returns March of the year.
func (y FinancialYear) Last() Month { return Month{int(y) + 1, time.March} }

// ListDate returns 1 January before the year, the day whose lists the Network Contract DES pays on.
func (y FinancialYear) ListDate() Date { return Date{int(y), time.January, 1} }
