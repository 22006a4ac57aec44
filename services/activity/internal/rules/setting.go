package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Setting is a choice that a commissioner, or England, made.
type Setting struct {
	ID               string
	CommissionerCode string
	Name             string
	Subject          string
	Value            string
	// Position is the order of recording.
	Position int64
}

// Names of settings.
const (
	// SettingCategory is what a code of attendance category means; the subject is the code.
	SettingCategory = "CATEGORY"
	// SettingStandInList is the list that stands in for the tariff of a year, or NONE; the subject is the year.
	SettingStandInList = "STAND_IN_LIST"
	// SettingListDate is the day whose registered lists count in a year; the subject is the year.
	SettingListDate = "LIST_DATE"
	// SettingDueDay is by when reports are due in the month after: DAY 20 or WORKING_DAY 10.
	SettingDueDay = "DUE_DAY"
	// SettingSmallNumbers is up to which number counts are hidden.
	SettingSmallNumbers = "SMALL_NUMBER_LIMIT"
)

const (
	// NoStandIn takes a list back that stood in.
	NoStandIn = "NONE"
	// RecommendedLimit is up to which number counts are hidden where nobody set another: it is recommended, and no rule.
	RecommendedLimit int64 = 7
	// maxLimit bounds what may be set.
	maxLimit = 100
)

// Find returns the setting of a name and a subject that holds for a commissioner: its own before England's, of each the newest; nil of
// none.
func Find(settings []Setting, commissioner, name, subject string) *Setting {
	var out *Setting
	for i := range settings {
		s := &settings[i]
		if s.Name != name || s.Subject != subject || (s.CommissionerCode != England && s.CommissionerCode != commissioner) {
			continue
		}
		own, best := s.CommissionerCode != England, out != nil && out.CommissionerCode != England
		if out == nil || (own && !best) || (own == best && s.Position > out.Position) {
			out = s
		}
	}
	return out
}

// Check refuses a setting that makes no sense.
func (s *Setting) Check() error {
	switch s.Name {
	case SettingCategory:
		if s.Subject == "" || CategoryOf(s.Subject) != 0 {
			return s.bad("subject", "a code of the files' own")
		}
		if !slices.Contains(categoryNames[1:], s.Value) {
			return s.bad("value", strings.Join(categoryNames[1:], ", "))
		}
	case SettingStandInList:
		if _, err := parseYear(s.Subject); err != nil {
			return s.bad("subject", "a financial year, such as 2020-21")
		}
		if IsTariff(s.Value) || strings.Trim(s.Value, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" && s.Value != NoStandIn {
			return s.bad("value", "a list that is no tariff, such as unit-cost-2024-25, or NONE")
		}
	case SettingListDate:
		if _, err := parseYear(s.Subject); err != nil {
			return s.bad("subject", "a financial year, such as 2020-21")
		}
		if _, err := period.ParseDate(s.Value); err != nil {
			return s.bad("value", "a day, YYYY-MM-DD")
		}
	case SettingDueDay:
		if s.Subject != "" {
			return s.bad("subject", "left out")
		}
		if _, _, ok := parseDueDay(s.Value); !ok {
			return s.bad("value", "DAY 1 to DAY 31, or WORKING_DAY 1 to WORKING_DAY 23")
		}
	case SettingSmallNumbers:
		if s.Subject != "" {
			return s.bad("subject", "left out")
		}
		if n, err := money.ParseWhole(s.Value); err != nil || n > maxLimit {
			return s.bad("value", "a number from 0 to 100")
		}
	default:
		return s.bad("name", "CATEGORY, STAND_IN_LIST, LIST_DATE, DUE_DAY or SMALL_NUMBER_LIMIT")
	}
	return nil
}

func (s *Setting) bad(field, takes string) error {
	return fault.New(fault.Invalid, ReasonSettingInvalid, "%s of %q does not take %q for %q: it takes %s", field, money.Clip(s.Name), money.Clip(s.Value), money.Clip(s.Subject), takes).
		At(field, takes).With("setting", money.Clip(s.Name))
}

func parseYear(text string) (period.FinancialYear, error) {
	return period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
}

// Limit returns up to which number a commissioner's counts are hidden, and the setting that says so; nil for the recommendation.
func Limit(settings []Setting, commissioner string) (int64, *Setting) {
	s := Find(settings, commissioner, SettingSmallNumbers, "")
	if s == nil {
		return RecommendedLimit, nil
	}
	n, err := money.ParseWhole(s.Value)
	if err != nil {
		return RecommendedLimit, nil
	}
	return n, s
}

// ListDate returns the day whose registered lists count for a commissioner in a year, and the setting that says so; nil for the rule of
// the register, which is 1 January before.
func ListDate(settings []Setting, commissioner string, year period.FinancialYear) (period.Date, *Setting) {
	s := Find(settings, commissioner, SettingListDate, yearWords(year))
	if s == nil {
		return year.ListDate(), nil
	}
	day, err := period.ParseDate(s.Value)
	if err != nil {
		return year.ListDate(), nil
	}
	return day, s
}
