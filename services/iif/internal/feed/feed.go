// Package feed reads the files in which counts of the Investment and Impact Fund arrive: the extract of CQRS in its two layouts, the
// monthly and the annual publication, the central feed, and the map of field names. It is pure: bytes in, rows out, with no more
// memory for a long file than for a short one.
//
// Every data row of a file is one of three: handed on as a count, tallied by cause because it is no count for payment, or bad and
// named with its line, column, value and reason. The three add up to the rows of the file; none is left out in silence.
//
// Rules of reading, where the texts are silent:
//
//   - A file must have the columns of its layout, in any order, and no others: one that nobody documented may change what a row means.
//   - A line is a row: no layout has line breaks inside values, so that a stray quotation mark spoils one line and not the rest.
//   - Each line is UTF-8 or, where it is not valid as that, Windows-1252.
//   - The values of APPROVED_STATUS in the old layout were not found, and the official code passes over them (S34). All are read and
//     handed on, and none decides: money is approved later, by people, and not by row.
//   - An achievement date outside the year of its service is bad.
//   - How an extract names the answer to a question of yes or no was not found: Answer and Numerator are taken, with Y, Yes or 1 and
//     N, No or 0.
//
// Whether a cell stands twice with different counts is not looked at here, because that takes memory for every cell: the store, which
// groups rows by organisation, code and day, refuses it (rules.LastSubmissions).
package feed

import (
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// OrganisationKind tells a practice from a network.
type OrganisationKind int

// The kinds of organisation.
const (
	// Practice has a code of a letter other than U and five digits.
	Practice OrganisationKind = iota + 1
	// PCN has a code of U and five digits.
	PCN
)

// String returns the kind in words.
func (k OrganisationKind) String() string { return word(int(k), "practice", "PCN") }

// Measure is what a count is of.
type Measure int

// The measures, as rules.Counts has them.
const (
	Numerator Measure = iota + 1
	Denominator
	Register
	Exclusion
	Adjustment
	BaselineNumerator
	BaselineDenominator
	Answer
)

// String returns the measure in words.
func (m Measure) String() string {
	return word(int(m), "numerator", "denominator", "register", "exclusion", "adjustment", "baseline numerator", "baseline denominator", "answer")
}

// Row is one count for payment, or one hidden in a publication. It holds nothing of the file's memory.
type Row struct {
	Line             int64
	Organisation     string
	OrganisationKind OrganisationKind
	// Service is as the file has it, such as NCD2425; empty in the central feed.
	Service string
	// Year is what Service denotes, and without one the year of AchievedOn.
	Year       period.FinancialYear
	AchievedOn period.Date
	// Code is that of the scheme, whatever the file calls the indicator.
	Code    string
	Measure Measure
	// Field is the short name of an exclusion or adjustment, and empty for other measures.
	Field string
	// Cell is the count, stated or suppressed; absent for an answer.
	Cell   rules.Cell
	Answer rules.Answer
	// SubmittedAt is the date and time of the submission as the file has them, or when the central feed made the row; empty where the
	// layout has neither.
	SubmittedAt string
	// Approval is the status in the old layout, and empty in others.
	Approval string
	// Defaulted means that the extract put a default value in place of one that did not come.
	Defaulted bool
	// Rounded means that a publication gives the count to the nearest 5: it serves comparison, not payment.
	Rounded bool
}

// Cause is why a row is no count for payment.
type Cause int

// The causes.
const (
	// ManagementCode is a code of management information, NCDMI and a number.
	ManagementCode Cause = iota + 1
	// UnlistedCode is a code that the scheme of the year does not list.
	UnlistedCode
	// ManagementCount is a count of management information under a listed code.
	ManagementCount
	// NotLast is a submission that a later one replaced.
	NotLast
	// OtherMeasure is a measure that comes beside those that pay: a numerator before standardisation, or the copy of the denominator
	// that CQRS adds at times (S34).
	OtherMeasure
	causes = iota
)

// String returns the cause in words.
func (c Cause) String() string {
	return word(int(c), "management information", "not of the scheme", "management count", "not the last submission", "measure that does not pay")
}

// Tally counts rows that are no counts for payment.
type Tally struct {
	Cause    Cause
	Rows     int64
	Examples []Example
}

// Example is a row that was tallied, the first of its code and field.
type Example struct {
	Line        int64
	Code, Field string
}

// Bad is a bad row, by the first thing wrong with it. Column is empty where the whole row is bad.
type Bad struct {
	Line          int64
	Column, Value string
	Reason        string
	Detail        string
}

// The bounds of what a report keeps; what is beyond is counted all the same.
const (
	MaxBad      = 100
	MaxExamples = 5
)

// Report says what became of the rows of a file: Rows is Kept, BadRows and the rows of Tallies together.
type Report struct {
	Layout     Layout
	Rows, Kept int64
	// Tallies are by cause, in order, those with rows only.
	Tallies []Tally
	// Bad are the first MaxBad of BadRows.
	Bad     []Bad
	BadRows int64
	// Years and Days are those of the rows whose year the scheme has, in order; submissions that were replaced are not looked at.
	Years []period.FinancialYear
	Days  []period.Date
}

func word(number int, words ...string) string {
	if number < 1 || number > len(words) {
		return "unknown"
	}
	return words[number-1]
}
