package feed

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/csvrows"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Read reads a file of attendances and hands each good row to each, in the order of the file. It does not look for repeated keys.
//
// Errors of r and each end the reading and are returned. Faults of its own are Invalid, and are of the file, never of a row: FILE_EMPTY,
// LAYOUT_MISMATCH, PATIENT_LEVEL_COLUMN, COMMISSIONER_COLUMN_REQUIRED, FILE_TOO_LONG and FILE_TOO_WIDE.
func Read(r io.Reader, o Options, each func(*Row) error) (*Report, error) {
	f, err := open(r, o)
	if err != nil {
		return nil, err
	}
	if err := f.rows(each); err != nil {
		return nil, err
	}
	return f.end(), nil
}

// reader reads rows of attendances.
type reader struct {
	csv    *csvrows.Reader
	o      Options
	at     [columns]int
	line   int64
	values []string
	report *Report
	sums   map[Cut]*Sum

	monthText string // of month
	month     period.Month
}

func open(r io.Reader, o Options) (*reader, error) {
	source, err := csvrows.Open(r, csvrows.Options{MaxLine: MaxLine})
	switch {
	case errors.Is(err, csvrows.ErrEmpty):
		return nil, fault.New(fault.Invalid, ReasonFileEmpty, "%v", err)
	case errors.Is(err, csvrows.ErrHeader):
		return nil, fault.New(fault.Invalid, ReasonLayoutMismatch, "%v", err)
	case err != nil:
		return nil, fmt.Errorf("read the file of attendances: %w", err)
	}
	at, err := layout(source.Header(), o)
	if err != nil {
		return nil, err
	}
	return &reader{csv: source, o: o, at: at, report: new(Report), sums: make(map[Cut]*Sum)}, nil
}

// damages are the reasons of lines that are no rows.
var damages = map[csvrows.Damage]string{csvrows.Broken: ReasonRowDamaged, csvrows.TooLong: ReasonLineTooLong, csvrows.Ragged: ReasonRowRagged}

// rows goes through the file. The row that it hands on is used again for the next.
func (f *reader) rows(each func(*Row) error) error {
	var row Row
	for {
		next, err := f.csv.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the file of attendances: %w", err)
		}
		if f.report.Rows == MaxRows {
			return fault.New(fault.Invalid, ReasonFileTooLong, "the file has more than %d rows: divide it by month or commissioner", MaxRows).With("limit_rows", MaxRows)
		}
		f.report.Rows++
		f.line, f.values = next.Line, next.Values
		if next.Damage != 0 {
			f.bad(whole, damages[next.Damage], "%s", next.Detail)
			continue
		}
		row = Row{Line: f.line}
		if !f.row(&row) {
			continue
		}
		if err := f.keep(&row); err != nil {
			return err
		}
		if err := each(&row); err != nil {
			return err
		}
	}
}

// keep adds a row to what its cut comes to.
func (f *reader) keep(row *Row) error {
	cut := Cut{row.Commissioner, row.Month}
	sum := f.sums[cut]
	if sum == nil {
		if len(f.sums) == MaxCuts {
			return fault.New(fault.Invalid, ReasonFileTooWide, "the file has more than %d pairs of commissioner and month: divide it", MaxCuts).With("limit_pairs", MaxCuts)
		}
		cut.Commissioner = strings.Clone(cut.Commissioner)
		sum = &Sum{Cut: cut, Line: row.Line}
		f.sums[cut] = sum
	}
	f.report.Kept++
	sum.Rows++
	sum.Attendances += row.Attendances
	if !row.PracticeKnown {
		sum.UnknownPractice += row.Attendances
	}
	return nil
}

func (f *reader) end() *Report {
	for _, cut := range slices.SortedFunc(maps.Keys(f.sums), func(a, b Cut) int {
		return cmp.Or(cmp.Compare(a.Commissioner, b.Commissioner), a.Month.Compare(b.Month))
	}) {
		f.report.Sums = append(f.report.Sums, *f.sums[cut])
	}
	return f.report
}

// row fills a row. It reports false for one that is bad.
func (f *reader) row(row *Row) bool {
	return f.where(row) && f.when(row) && f.what(row) && f.who(row) && f.count(row)
}

// where reads who pays, and whose department it is.
func (f *reader) where(row *Row) (ok bool) {
	if row.Commissioner = f.text(commissioner); f.o.Commissioner != "" {
		if row.Commissioner != "" && row.Commissioner != f.o.Commissioner {
			return f.bad(commissioner, ReasonCommissionerElsewhere, "the file is of %s", f.o.Commissioner)
		}
		row.Commissioner = f.o.Commissioner
	} else if row.Commissioner, ok = f.code(commissioner, 3, 5); !ok {
		return false
	}
	if row.Provider, ok = f.code(provider, 3, 6); !ok {
		return false
	}
	if f.text(site) != "" {
		row.Site, ok = f.code(site, 3, 9)
	}
	return ok
}

func (f *reader) when(row *Row) bool {
	text, ok := f.required(month)
	if !ok {
		return false
	}
	if text != f.monthText {
		parsed, err := period.ParseMonth(text)
		if err != nil {
			return f.bad(month, ReasonMonthMalformed, "the month of arrival is written as 2020-11, without a day")
		}
		f.month, f.monthText = parsed, strings.Clone(text)
	}
	if row.Month = f.month; row.Month.After(f.o.Latest) {
		return f.bad(month, ReasonMonthNotBegun, "nobody arrives after %s", f.o.Latest)
	}
	return true
}

// what reads the kind of department and of attendance.
func (f *reader) what(row *Row) (ok bool) {
	if row.Department, ok = f.required(department); !ok {
		return false
	}
	if len(row.Department) != 2 || row.Department[0] != '0' || row.Department[1] < '1' || row.Department[1] > '4' {
		return f.bad(department, ReasonDepartmentUnknown, "a type of department is 01, 02, 03 or 04")
	}
	if row.CategoryCode, ok = f.required(category); !ok {
		return false
	}
	if row.Category = ParseCategory(row.CategoryCode); row.Category != 0 {
		row.CategoryCode = row.Category.String()
	} else if f.o.Category != nil {
		if meaning, entered := f.o.Category(row.Commissioner, row.CategoryCode); entered {
			row.Category = meaning
		}
	}
	if row.Category == 0 {
		return f.bad(category, ReasonCategoryUnmapped, "nobody has entered what this code means for %s: enter it, or send %s", row.Commissioner, strings.Join(words[First:], ", "))
	}
	if row.HRG = f.text(hrg); row.HRG != "" && !isHRG(row.HRG) {
		return f.bad(hrg, ReasonCodeMalformed, "an HRG is as VB09Z, and left out for attendances that were not grouped")
	}
	return true
}

// ParseCategory reads the words that files may always say, whose case does not count; 0 for others.
func ParseCategory(text string) Category {
	for c := First; int(c) < len(words); c++ {
		if strings.EqualFold(text, words[c]) {
			return c
		}
	}
	return 0
}

func isHRG(text string) bool {
	return len(text) == 5 && capital(text[0]) && capital(text[1]) && digit(text[2]) && digit(text[3]) && capital(text[4])
}

// who reads the practice.
func (f *reader) who(row *Row) bool {
	row.Practice = f.text(practice)
	if row.Practice == "" {
		return true
	}
	if len(row.Practice) != 6 || !capital(row.Practice[0]) || row.Practice[0] == 'U' || strings.Trim(row.Practice[1:], "0123456789") != "" {
		return f.bad(practice, ReasonCodeMalformed, "a practice is a letter other than U and five digits; left out, or %s, for one that is unknown", strings.Join(UnknownPractices, ", "))
	}
	row.PracticeKnown = !slices.Contains(UnknownPractices, row.Practice)
	return true
}

// count reads the attendances, and their cost where it is given.
func (f *reader) count(row *Row) bool {
	text, ok := f.required(attendances)
	if !ok {
		return false
	}
	var err error
	if row.Attendances, err = money.ParseWhole(text); err != nil || row.Attendances > MaxAttendances {
		return f.bad(attendances, ReasonCountMalformed, "attendances are a whole number in plain digits, at most %d", MaxAttendances)
	}
	if text = f.text(cost); text == "" {
		return true
	}
	pence, err := money.ParseWhole(text)
	if err != nil || pence > MaxCost {
		return f.bad(cost, ReasonCostMalformed, "a cost is whole pence in plain digits, at most %d", MaxCost)
	}
	row.Cost, row.CostGiven = money.Pence(pence), true
	return true
}

// text returns a value, or an empty one for a column that the file does not have.
func (f *reader) text(c column) string {
	if f.at[c] < 0 {
		return ""
	}
	return strings.TrimSpace(f.values[f.at[c]])
}

// required returns a value, and false with a bad row where there is none.
func (f *reader) required(c column) (string, bool) {
	text := f.text(c)
	if text == "" {
		return "", f.bad(c, ReasonValueMissing, "a value is required")
	}
	return text, true
}

// code returns the code of an organisation.
func (f *reader) code(c column, least, most int) (string, bool) {
	text, ok := f.required(c)
	if !ok {
		return "", false
	}
	if len(text) < least || len(text) > most || strings.Trim(text, capitalsAndDigits) != "" {
		return "", f.bad(c, ReasonCodeMalformed, "a code is %d to %d capitals and digits", least, most)
	}
	return text, true
}

const capitalsAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func capital(b byte) bool { return b >= 'A' && b <= 'Z' }

func digit(b byte) bool { return b >= '0' && b <= '9' }

// bad notes that the row is bad. It returns false, for callers that say by it whether to go on.
func (f *reader) bad(c column, reason, format string, args ...any) bool {
	if f.report.BadRows++; len(f.report.Bad) >= MaxBad {
		return false
	}
	b := Bad{Line: f.line, Reason: reason, Detail: fmt.Sprintf(format, args...)}
	if c == whole {
		b.Value = money.Clip(strings.Join(f.values, ","))
	} else {
		b.Column, b.Value = names[c], strings.Clone(money.Clip(f.values[f.at[c]]))
	}
	f.report.Bad = append(f.report.Bad, b)
	return false
}
