// Package spreadsheet makes values safe for files that people open in a spreadsheet.
package spreadsheet

import (
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Cell makes text of what a spreadsheet would run as a formula, by putting an apostrophe before it; a negative amount stays a
// number.
func Cell(value string) string {
	if value == "" || !strings.ContainsRune("=+-@\t\r", rune(value[0])) {
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
