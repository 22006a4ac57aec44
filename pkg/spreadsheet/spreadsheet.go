// Package spreadsheet makes values safe for files that people open in a spreadsheet.
package spreadsheet

import (
	"strings"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// starts are the letters a formula begins with; spreadsheets take the wide forms for the plain ones, and pass over blanks before them.
const starts = "=+-@＝＋－＠"

// Cell makes text of what a spreadsheet would run as a formula, by putting an apostrophe before it; a negative amount stays a
// number.
func Cell(value string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimSpace(value))
	if value == "" || (!strings.ContainsRune(starts, first) && !strings.ContainsRune("\t\r", rune(value[0]))) {
		return value
	}
	if _, err := money.ParseDecimal(value); err != nil {
		return "'" + value
	}
	return value
}

// Cells does for a row what Cell does for a value.
func Cells(values ...string) []string {
	for i, value := range values {
		values[i] = Cell(value)
	}
	return values
}
