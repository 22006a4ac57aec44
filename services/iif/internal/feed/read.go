package feed

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// The years that names are asked for: the fund began in the first, and a service has two digits of its year.
const (
	firstYear period.FinancialYear = 2020
	lastYear  period.FinancialYear = 2099
)

// The bounds of the meanings that are remembered: a year has some thousand, of sentences under a thousand letters.
const (
	maxMeanings   = 4096
	maxRemembered = 2000
)

// Read reads a file of counts and hands each count to each, in the order of the file. The header tells the layout; want is what the
// caller states it to be, or 0.
//
// It asks for the names of a year at the first row of it; nil names mean that the scheme has no such year, and its rows are bad.
// Errors of r, names and each end the reading and are returned. Faults of its own are Invalid, and are of the file, never of a row:
// FILE_EMPTY, LAYOUT_UNKNOWN and LAYOUT_MISMATCH, the last for a field map too, which ReadFieldMap reads.
func Read(r io.Reader, names func(period.FinancialYear) (*Names, error), want Layout, each func(Row) error) (*Report, error) {
	s, err := open(r, want)
	if err != nil {
		return nil, err
	}
	if s.form.layout == FieldMap {
		return nil, fault.New(fault.Invalid, rules.ReasonLayoutMismatch, "the header is that of the %s, which holds no counts", FieldMap)
	}
	f := &reader{
		scan: s, ask: names, years: make(map[period.FinancialYear]*Names),
		meanings: make(map[place]meaning), days: make(map[period.Date]bool),
	}
	err = s.rows(func() error {
		row := Row{Line: s.line}
		if ok, err := f.row(&row); !ok || err != nil {
			return err
		}
		s.report.Kept++
		return each(row)
	})
	if err != nil {
		return nil, err
	}
	s.report.Tallies = slices.DeleteFunc(f.tallies[:], func(t Tally) bool { return t.Rows == 0 })
	s.report.Days = slices.SortedFunc(maps.Keys(f.days), period.Date.Compare)
	for _, day := range s.report.Days {
		if year := day.Month().FinancialYear(); !slices.Contains(s.report.Years, year) {
			s.report.Years = append(s.report.Years, year)
		}
	}
	return s.report, nil
}

// reader reads rows of counts. What repeats from row to row is kept, so that it is made once and no row holds the memory of its line.
type reader struct {
	*scan
	ask      func(period.FinancialYear) (*Names, error)
	years    map[period.FinancialYear]*Names
	meanings map[place]meaning
	days     map[period.Date]bool
	tallies  [causes]Tally

	dayText, service string // of day and year
	day              period.Date
	year             period.FinancialYear

	organisation, approval, created, submitted string
}

// row fills a row. It reports false for one that is bad or tallied: what is no count for payment is not looked at further.
func (f *reader) row(row *Row) (bool, error) {
	if f.has(last) && !f.oneOf(last, "Y", "N") {
		return false, nil
	}
	if f.has(last) && strings.EqualFold(f.text(last), "N") {
		return f.tally(NotLast), nil
	}
	if !f.when(row) {
		return false, nil
	}
	names, asked := f.years[row.Year]
	if !asked && row.Year >= firstYear && row.Year <= lastYear {
		var err error
		if names, err = f.ask(row.Year); err != nil {
			return false, err
		}
		f.years[row.Year] = names
	}
	if names == nil {
		return f.bad(day, rules.ReasonYearUnknown, "the scheme has no year %s", row.Year), nil
	}
	f.days[row.AchievedOn] = true
	return f.what(row, names) && f.who(row) && f.count(row) && f.notes(row), nil
}

// when reads the day, and holds the service to be that of its year.
func (f *reader) when(row *Row) bool {
	if text := f.text(day); text != f.dayText || text == "" {
		moment, err := time.Parse(f.form.dates, text)
		if err != nil {
			return f.bad(day, rules.ReasonDateMalformed, "it is no day of the calendar as the layout writes one, such as %s", period.NewDate(2024, time.March, 31).Time().Format(f.form.dates))
		}
		f.day, f.dayText = period.DateOf(moment), strings.Clone(text)
		f.year = f.day.Month().FinancialYear()
		f.service = fmt.Sprintf("NCD%02d%02d", f.year%100, (f.year+1)%100)
	}
	row.AchievedOn, row.Year = f.day, f.year
	if !f.has(service) {
		return true
	}
	if row.Service = f.service; f.text(service) != f.service {
		return f.bad(service, rules.ReasonYearMismatch, "the service of %s is %s", f.day, f.service)
	}
	return true
}

// place is where a meaning holds.
type place struct {
	year        period.FinancialYear
	code, field string
}

// what finds the indicator and the measure.
func (f *reader) what(row *Row, names *Names) bool {
	codeText, ok := f.required(code)
	if !ok {
		return false
	}
	fieldText, ok := f.required(field)
	if !ok {
		return false
	}
	m, known := f.meanings[place{row.Year, codeText, fieldText}]
	if !known {
		m = names.meaning(codeText, fieldText)
		if len(f.meanings) < maxMeanings && len(codeText)+len(fieldText) <= maxRemembered {
			f.meanings[place{row.Year, strings.Clone(codeText), strings.Clone(fieldText)}] = m
		}
	}
	switch {
	case m.reason != "":
		return f.bad(field, m.reason, "%s", m.detail)
	case m.cause != 0:
		return f.tally(m.cause)
	}
	row.Code, row.Measure, row.Field = m.code, m.measure, m.short
	row.Rounded = f.form.layout == AnnualPublication && m.hospital && (m.measure == Numerator || m.measure == BaselineNumerator)
	return true
}

// who reads the organisation.
func (f *reader) who(row *Row) bool {
	text := f.text(organisation)
	if len(text) != 6 || text[0] < 'A' || text[0] > 'Z' || strings.Trim(text[1:], "0123456789") != "" {
		return f.bad(organisation, rules.ReasonOrganisationMalformed, "a practice is a letter and five digits, a network U and five digits")
	}
	row.Organisation, row.OrganisationKind = keep(&f.organisation, text), Practice
	if text[0] == 'U' {
		row.OrganisationKind = PCN
	}
	if !f.has(organisationType) {
		return true
	}
	if !f.oneOf(organisationType, "PCN", "GP practice") {
		return false
	}
	if strings.EqualFold(f.text(organisationType), "PCN") != (row.OrganisationKind == PCN) {
		return f.bad(organisationType, rules.ReasonOrganisationMismatch, "%s is the code of a %s", row.Organisation, row.OrganisationKind)
	}
	return true
}

// count reads the count or the answer.
func (f *reader) count(row *Row) bool {
	text, ok := f.required(value)
	if !ok || (f.has(attributeType) && !f.oneOf(attributeType, "int")) {
		return false
	}
	if row.Measure == Answer {
		if row.Answer = rules.Yes; strings.ContainsAny(text, "Nn0") {
			row.Answer = rules.No
		}
		return f.oneOf(value, "Y", "Yes", "1", "N", "No", "0")
	}
	var err error
	if row.Cell, err = rules.ParseCell(text); err != nil {
		return f.bad(value, rules.ReasonCountMalformed, "a count is a whole number in plain digits, or * for a hidden one")
	}
	return true
}

// notes reads what stands beside the count.
func (f *reader) notes(row *Row) bool {
	if f.has(defaulted) {
		text := f.text(defaulted)
		row.Defaulted = !slices.ContainsFunc([]string{"", "None", "N", "No"}, func(none string) bool { return strings.EqualFold(text, none) })
	}
	if f.has(approval) {
		row.Approval = keep(&f.approval, f.text(approval))
	}
	if f.has(created) {
		row.SubmittedAt = keep(&f.created, f.text(created))
	}
	if !f.has(submitDate) {
		return true
	}
	text := f.text(submitDate) + " " + f.text(submitTime)
	if text != f.submitted {
		if _, err := time.Parse("02/01/2006 15:04:05", text); err != nil {
			return f.bad(submitDate, rules.ReasonDateMalformed, "a submission has its day as 30/09/2024 and its time as 19:36:07")
		}
	}
	row.SubmittedAt = keep(&f.submitted, text)
	return true
}

// keep returns a text that repeats from row to row, clipped.
func keep(last *string, text string) string {
	if *last != text {
		*last = strings.Clone(money.Clip(text))
	}
	return *last
}

// tally counts the row under a cause. It returns false, like bad.
func (f *reader) tally(cause Cause) bool {
	t := &f.tallies[cause-1]
	t.Cause = cause
	if t.Rows++; len(t.Examples) == MaxExamples {
		return false
	}
	e := Example{Line: f.line, Code: money.Clip(f.text(code)), Field: money.Clip(f.text(field))}
	if !slices.ContainsFunc(t.Examples, func(have Example) bool { return have.Code == e.Code && have.Field == e.Field }) {
		t.Examples = append(t.Examples, e)
	}
	return false
}
