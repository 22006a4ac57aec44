package rules

import (
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Kind is how an indicator is measured.
type Kind string

// The kinds.
const (
	// Percentage is 100 × numerator ÷ denominator.
	Percentage Kind = "percentage"
	// Binary is a question of yes or no.
	Binary Kind = "binary"
	// Change is the percentage less that of the baseline, in percentage points.
	Change Kind = "change"
	// Beds is recorded residents as a percentage of beds, which may exceed a hundred.
	Beds Kind = "beds"
	// Ratio is numerator ÷ denominator.
	Ratio Kind = "ratio"
	// Standardised is the change of an age and sex standardised rate against the year before, as a plain fraction. The unit of
	// its thresholds was not found.
	Standardised Kind = "standardised"
	// Undefined is for indicators of which no definition was found: they are never measured.
	Undefined Kind = "undefined"
)

// ParseKind reads a kind.
func ParseKind(text string) (Kind, error) {
	switch kind := Kind(text); kind {
	case Percentage, Binary, Change, Beds, Ratio, Standardised, Undefined:
		return kind, nil
	default:
		return "", fmt.Errorf("%q is not a kind of indicator", text)
	}
}

// Unit returns the unit of what is measured and of the thresholds.
func (k Kind) Unit() string {
	switch k {
	case Percentage, Beds:
		return "percent"
	case Change:
		return "percentage points"
	case Standardised:
		return "change of the rate"
	case Ratio, Binary, Undefined:
	}
	return ""
}

// Direction says which way is better. It is empty for a question of yes or no.
type Direction string

// The directions.
const (
	HigherBetter Direction = "higher"
	LowerBetter  Direction = "lower"
)

// Status is whether a version assesses an indicator.
type Status string

// The statuses. All but Active earn nothing, whatever the performance.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
	Deferred  Status = "deferred"
	// Retired is for indicators that were withdrawn, or replaced by another.
	Retired Status = "retired"
	// Overridden stands in results only, where a national override takes the place of what was measured.
	Overridden Status = "overridden"
)

// ParseStatus reads a status that a version may give.
func ParseStatus(text string) (Status, error) {
	switch status := Status(text); status {
	case Active, Suspended, Deferred, Retired:
		return status, nil
	default:
		return "", fmt.Errorf("%q is not a status: active, suspended, deferred or retired", text)
	}
}

// Feed is where counts come from.
type Feed string

// The feeds.
const (
	// Extract is the national extract from practice systems.
	Extract Feed = "gpes"
	// Appointments and Admissions are loaded centrally; a practice without rows counts as nothing.
	Appointments Feed = "appointments"
	Admissions   Feed = "admissions"
	// Typed is entered by hand; not entered counts as nothing.
	Typed Feed = "typed"
	// Tick is a yes or no by the network; not answered counts as no.
	Tick Feed = "tick"
	// NoFeed stands for the denominator of a question of yes or no.
	NoFeed Feed = ""
)

// ParseFeed reads a feed.
func ParseFeed(text string) (Feed, error) {
	switch feed := Feed(text); feed {
	case Extract, Appointments, Admissions, Typed, Tick, NoFeed:
		return feed, nil
	default:
		return "", fmt.Errorf("%q is not a feed", text)
	}
}

// absentIsNothing tells whether a count that did not come is held as nothing.
func (f Feed) absentIsNothing() bool { return f == Appointments || f == Admissions || f == Typed }

// Indicator is one indicator of one version. Its confidence is that of its definition, direction and status; its figures are
// values with their own.
type Indicator struct {
	Figure
	VersionID string
	// Code is unique within a version only: codes were reused for other indicators.
	Code string
	// CodeIsLabel means that the real code was not found.
	CodeIsLabel bool
	// CQRSCode is what extracts name it by; empty where there is none or it was not found.
	CQRSCode   string
	Name       string
	Area       string
	Kind       Kind
	Direction  Direction
	Status     Status
	ReplacedBy string
	// NumeratorFrom and DenominatorFrom are the feeds of the counts.
	NumeratorFrom, DenominatorFrom Feed
	// CountsFrom is the first day that counts; zero for the first of the year. It is for display, like JudgedOn: the extract counts
	// from that day, and no rule here reads either.
	CountsFrom period.Date
	// JudgedOn are the days on which it is judged; none for 31 March.
	JudgedOn []period.Date
	// Exclusions and Adjustments are the extract's fields that leave the denominator, as far as they were found. A row without any
	// has those of its code.
	Exclusions, Adjustments []string
}

// FieldRole says what a field of the extract counts.
type FieldRole string

// The roles of fields.
const (
	// Exclusion is a patient who is not of the target group at all.
	Exclusion FieldRole = "exclusion"
	// Adjustment is a personalised care adjustment: a reason to leave out a patient who did not meet the target.
	Adjustment FieldRole = "adjustment"
)

// ExtractField is a field of the extract that takes patients out of a denominator.
type ExtractField struct {
	// VersionID is empty for a field of every version.
	VersionID string
	Code      string
	Role      FieldRole
	Name      string
	Meaning   string
	Figure
}

// Override is a national decision to take other points than those measured.
type Override struct {
	Figure
	Year period.FinancialYear
	Code string
	// Share of the points available that every network is given, from 0 to 1; without a value where the override was withdrawn.
	Share Given
}
