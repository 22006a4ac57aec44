package files

import (
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// The bounds of figures.
const (
	// maxPracticePatients bounds a population of one practice: some eight times the largest there is.
	maxPracticePatients = 1_000_000
	// maxPCNPatients bounds a population of one PCN.
	maxPCNPatients = 5_000_000
	// maxBeds bounds the care home beds of one PCN.
	maxBeds = 100_000
	// maxText bounds a name.
	maxText = 300
	// maxShown bounds what of a bad value is shown.
	maxShown = 100
)

// Bad is one bad value of a row; Column is empty where the whole row is bad.
type Bad struct {
	Line          int64
	Column, Value string
	Reason        string
	Detail        string
}

// Row is one good row by what it says; fields that the row says nothing about are nil.
type Row struct {
	Line          int64
	Mapping       *rules.MappingRow
	Relationship  *rules.Relationship
	Detail        *rules.Detail
	Populations   []rules.Population
	Beds          *rules.Beds
	Payee         *rules.Payee
	Participation *rules.Participation
	Commissioner  *rules.Commissioner
	Succession    *rules.Succession
}

// cells reads the values of one row and gathers what is wrong with them.
type cells struct {
	reader *reader
	line   int64
	values []string
	bad    []Bad
	// stated is the day the row speaks for, where no good row has stated one before.
	stated period.Date
	// passed names why the row carries nothing to store.
	passed string
}

// has tells whether the file has a column.
func (c *cells) has(column int) bool { return c.reader.at[column] >= 0 }

// raw returns the trimmed value of a column, empty where the file has no such column.
func (c *cells) raw(column int) string {
	at := c.reader.at[column]
	if at < 0 {
		return ""
	}
	return strings.TrimSpace(c.values[at])
}

// reject notes that a value is bad.
func (c *cells) reject(column int, reason, format string, args ...any) {
	name, value := "", ""
	if at := c.reader.at[column]; at >= 0 {
		name, value = c.reader.header[at], c.values[at]
	}
	c.bad = append(c.bad, Bad{Line: c.line, Column: name, Value: show(value), Reason: reason, Detail: fmt.Sprintf(format, args...)})
}

// required returns a value that must not be empty.
func (c *cells) required(column int) (string, bool) {
	value := c.raw(column)
	if value == "" {
		c.reject(column, rules.ReasonValueMissing, "a value is required")
		return "", false
	}
	return value, true
}

// name returns a text of reasonable length; it may be empty.
func (c *cells) name(column int) string {
	value := c.raw(column)
	if utf8.RuneCountInString(value) > maxText {
		c.reject(column, rules.ReasonValueNotAllowed, "a name has at most %d characters", maxText)
		return ""
	}
	return strings.Clone(value)
}

// code returns a required organisation code.
func (c *cells) code(column int, role rules.CodeRole) string {
	value, ok := c.required(column)
	if !ok {
		return ""
	}
	return c.checkedCode(column, role, value)
}

// optionalCode returns an organisation code, or an empty string.
func (c *cells) optionalCode(column int, role rules.CodeRole) string {
	value := c.raw(column)
	if value == "" {
		return ""
	}
	return c.checkedCode(column, role, value)
}

// checkedCode refuses what no code can be, and warns of a shape not seen before.
func (c *cells) checkedCode(column int, role rules.CodeRole, value string) string {
	if !rules.ValidCode(value) {
		c.reject(column, rules.ReasonCodeMalformed, "a code has 1 to %d letters and digits", rules.MaxCode)
		return ""
	}
	upper := strings.ToUpper(value)
	if upper != value {
		c.reader.warn("line %d: the %s code %s is written in small letters and was read as %s", c.line, role, value, upper)
	}
	if !rules.UsualShape(role, upper) {
		c.reader.warn("line %d: the %s code %s has an unusual shape", c.line, role, upper)
	}
	return strings.Clone(upper)
}

// memberOf returns the PCN of a practice, empty where the publication says that it is in none.
func (c *cells) memberOf(column int) string {
	value, ok := c.required(column)
	if !ok || rules.NoPCN(value) {
		return ""
	}
	return c.checkedCode(column, rules.PCNCode, value)
}

// whole returns a required count between 0 and a bound, in plain digits.
func (c *cells) whole(column int, most int64, of string) int64 {
	value, ok := c.required(column)
	if !ok {
		return 0
	}
	count, err := money.ParseWhole(value)
	if err != nil {
		if _, err := money.ParseDecimal(value); err != nil {
			c.reject(column, rules.ReasonNumberMalformed, "a count of %s is written in plain digits", of)
		} else {
			c.reject(column, rules.ReasonNumberOutOfRange, "a count of %s is a whole number from 0 to %d", of, most)
		}
		return 0
	}
	if count > most {
		c.reject(column, rules.ReasonNumberOutOfRange, "a count of %s is a whole number from 0 to %d", of, most)
	}
	return count
}

// decimal returns a required exact decimal between 0 and a bound.
func (c *cells) decimal(column int, most int64, of string) *big.Rat {
	value, ok := c.required(column)
	if !ok {
		return new(big.Rat)
	}
	number, err := money.ParseDecimal(value)
	if err != nil {
		c.reject(column, rules.ReasonNumberMalformed, "a number of %s is written in plain digits with at most one point", of)
		return new(big.Rat)
	}
	if number.Sign() < 0 || number.Cmp(new(big.Rat).SetInt64(most)) > 0 {
		c.reject(column, rules.ReasonNumberOutOfRange, "a number of %s lies between 0 and %d", of, most)
	}
	return number
}

// date returns a required day.
func (c *cells) date(column int) period.Date {
	if _, ok := c.required(column); !ok {
		return period.Date{}
	}
	return c.optionalDate(column)
}

// optionalDate returns a day, or none for an empty value.
func (c *cells) optionalDate(column int) period.Date {
	value := c.raw(column)
	if value == "" {
		return period.Date{}
	}
	if value == c.reader.lastDateText {
		return c.reader.lastDate
	}
	day, ok := parseDate(value)
	if !ok {
		c.reject(column, rules.ReasonDateMalformed, "a date is a day of the calendar written as 2022-01-31, 20220131, 31Jan2022, 31-Jan-22 or 31/01/2022")
		return period.Date{}
	}
	c.reader.lastDateText, c.reader.lastDate = strings.Clone(value), day
	return day
}

// ordered checks that a period does not end before it starts.
func (c *cells) ordered(column int, starts, ends period.Date) {
	if !ends.IsZero() && ends.Before(starts) {
		c.reject(column, rules.ReasonPeriodReversed, "the period ends before it starts on %s", starts)
	}
}

// yes returns a required truth value.
func (c *cells) yes(column int) bool {
	value, ok := c.required(column)
	if !ok {
		return false
	}
	switch strings.ToLower(value) {
	case "true", "yes", "y", "1":
		return true
	case "false", "no", "n", "0":
		return false
	default:
		c.reject(column, rules.ReasonValueNotAllowed, "the value is true or false")
		return false
	}
}

// one checks that a column, where the file has it, holds the only value allowed.
func (c *cells) one(column int, allowed, why string) {
	if c.has(column) && !strings.EqualFold(c.raw(column), allowed) {
		c.reject(column, rules.ReasonValueNotAllowed, "only rows of %s count %s", allowed, why)
	}
}

// sameDate checks that every row of a file speaks for one day, which the first good row sets.
func (c *cells) sameDate(column int, day period.Date) {
	if day.IsZero() {
		return
	}
	if set := c.reader.extractDate; set.IsZero() {
		c.stated = day
	} else if set != day {
		c.reject(column, rules.ReasonExtractDateMixed, "the file speaks for %s", set)
	}
}

// show makes a value fit to be shown: valid text without control characters, not too long.
func show(value string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(value, "\uFFFD"))
	if utf8.RuneCountInString(clean) <= maxShown {
		return clean
	}
	runes := []rune(clean)
	return string(runes[:maxShown-1]) + "…"
}
