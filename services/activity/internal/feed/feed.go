// Package feed reads the files in which attendances at accident and emergency departments arrive: aggregates by provider, practice,
// department, category and HRG, never patients. It is pure: bytes in, rows out, with bounded memory however long the file.
//
// Every row of a file is handed on, or is bad and named with its line, column, value and reason; the two add up.
//
// Rules of reading, where the texts are silent:
//
//   - A file has the columns of Columns, in any order, and no others. One more may tell of patients, and refuses the file before a row
//     is read; its name is repeated only if it is a known one, since the first line of a file without a header is somebody's record.
//   - Text is UTF-8. A line is a row: no value has a line break, so that a stray quotation mark spoils one line and not the rest.
//   - Codes are those of the Organisation Data Service, in capitals. A site and an HRG may be left out: an attendance that was not
//     grouped has no HRG.
//   - The practice is unknown where it is left out or a pseudo code of UnknownPractices.
//   - A row may count nobody. A cost that is left out was not given, which is not nothing.
//   - A day or time in place of the month is bad: it would tell of patients.
//
// A key that stands twice is bad and never added up, because the two rows may be one counted twice. Check finds it with 8 bytes a row
// and a second reading where it may be so; Read does not look for it, because a million keys would not fit its memory.
package feed

import (
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Category tells first attendances from follow-ups.
type Category int

// The categories. The zero value is none.
const (
	First Category = iota + 1
	FollowUpPlanned
	FollowUpUnplanned
	// UnknownCategory is of attendances of which the sender does not know it.
	UnknownCategory
)

// words are what a file may always say for a category, whatever else a table of codes lets it say.
var words = []string{First: "first", FollowUpPlanned: "follow_up_planned", FollowUpUnplanned: "follow_up_unplanned", UnknownCategory: "unknown"}

// String returns the word of a category as files have it.
func (c Category) String() string {
	if c < First || int(c) >= len(words) {
		return "none"
	}
	return words[c]
}

// UnknownPractices are the pseudo codes of the Organisation Data Service for no registered practice, none that applies, and none known.
var UnknownPractices = []string{"V81997", "V81998", "V81999"}

// Row is the attendances of one key. Its texts share the memory of their line, which is at most MaxLine bytes.
type Row struct {
	Line         int64
	Commissioner string
	Provider     string
	// Site is empty where the file gives none.
	Site  string
	Month period.Month
	// Department is 01, 02, 03 or 04.
	Department string
	// CategoryCode is what the file says for Category; a word that is understood everywhere is in small letters.
	CategoryCode string
	Category     Category
	// Practice is as the file has it, and PracticeKnown false where that is nothing or a pseudo code.
	Practice      string
	PracticeKnown bool
	// HRG is empty where the attendances were not grouped.
	HRG         string
	Attendances int64
	// Cost is meaningful with CostGiven only.
	Cost      money.Pence
	CostGiven bool
}

// Options says what a file is held to.
type Options struct {
	// Commissioner is whose attendances they are; with an empty one each row names its own.
	Commissioner string
	// Category returns what a code means that is none of the words understood everywhere, and false for one that nobody entered. With nil
	// there are no codes.
	Category func(commissioner, code string) (Category, bool)
	// Latest is the last month in which anybody can have arrived.
	Latest period.Month
}

// Cut is the attendances of a commissioner in a month, of which a file makes a cut.
type Cut struct {
	Commissioner string
	Month        period.Month
}

// Sum is what the rows of a cut come to.
type Sum struct {
	Cut
	// Line is where the first of its rows stands.
	Line              int64
	Rows, Attendances int64
	// UnknownPractice is the attendances of them without a practice.
	UnknownPractice int64
}

// Bad is a bad row, by the first thing wrong with it. Column is empty where the whole row is bad.
type Bad struct {
	Line          int64
	Column, Value string
	Reason        string
	Detail        string
}

// The bounds of a file and of a report. What is beyond MaxBad is counted all the same.
const (
	MaxBad = 100
	// MaxLine bounds a line in bytes: values that fit their columns have less than two hundred.
	MaxLine = 1 << 10
	// MaxRows bounds a file: two years of all England by practice and HRG have less.
	MaxRows = 4_000_000
	// MaxCuts bounds the pairs of commissioner and month: ten years of 190 commissioners have more, but come in several files.
	MaxCuts = 10_000
	// MaxAttendances bounds one row: all England has some two million in a month.
	MaxAttendances = 10_000_000
	// MaxCost bounds one row, in pence, such that no file has a sum beyond 64 bits.
	MaxCost = 1_000_000_000_000
)

// Report says what became of the rows of a file: Rows is Kept and BadRows together.
type Report struct {
	Rows, Kept int64
	// Sums are by commissioner and month, in order, of the rows that are good in themselves.
	Sums []Sum
	// Bad are the first MaxBad of BadRows; repeated keys, which Check finds last, come behind the others.
	Bad     []Bad
	BadRows int64
}
