package rules

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Setting is a convention in force from a month on. No official document states these conventions; each is recorded with the
// month from which a commissioner, or England, holds it.
type Setting struct {
	ID               string
	CommissionerCode string
	Name             string
	Value            string
	From             period.Month
}

// Names of settings. The first value of each is the default.
const (
	// SettingRounding rounds each line once, at its end: HALF_UP, or DOWN.
	SettingRounding = "ROUNDING"
	// SettingPartMonth scales the maximum of a part month: CALENDAR_DAYS, or WHOLE_MONTH, which does not scale it.
	SettingPartMonth = "PART_MONTH"
	// SettingWTECeiling is the most WTE of one person that counts, a decimal: 1.
	SettingWTECeiling = "WTE_CEILING"
)

// Values of settings.
const (
	RoundingHalfUp        = "HALF_UP"
	RoundingDown          = "DOWN"
	PartMonthCalendarDays = "CALENDAR_DAYS"
	PartMonthWholeMonth   = "WHOLE_MONTH"
)

// Default is what holds where nobody has set anything, and what the setting takes.
type Default struct{ Name, Value, Takes string }

// Defaults are the settings that can be recorded, by name. The order of claims is none of them: they are paid as they were put forward, since
// what an earlier one has set aside stays its own.
func Defaults() []Default {
	return []Default{
		{SettingPartMonth, PartMonthCalendarDays, PartMonthCalendarDays + " or " + PartMonthWholeMonth},
		{SettingRetentionMonths, strconv.Itoa(retentionDefault), fmt.Sprintf("whole months from %d to %d", retentionLeast, retentionMost)},
		{SettingRounding, RoundingHalfUp, RoundingHalfUp + " or " + RoundingDown},
		{SettingWTECeiling, "1", "a decimal above 0"},
	}
}

// Check tells whether a setting has a known name and a value that name takes.
func (s Setting) Check() error {
	var takes []string
	for _, known := range Defaults() {
		if known.Name == s.Name {
			takes = append(takes, known.Takes)
		}
	}
	if takes == nil {
		for _, known := range Defaults() {
			takes = append(takes, known.Name+" ("+known.Takes+")")
		}
		return fault.New(fault.Invalid, ReasonSettingInvalid, "there is no setting %q: there are %s", money.Clip(s.Name), strings.Join(takes, ", ")).At("name", "a setting")
	}
	good := true
	switch s.Name {
	case SettingWTECeiling:
		value, err := money.ParseDecimal(s.Value)
		good = err == nil && value.Sign() > 0
	case SettingRetentionMonths:
		_, err := RetentionMonths(s.Value)
		good = err == nil
	case SettingRounding:
		good = s.Value == RoundingHalfUp || s.Value == RoundingDown
	case SettingPartMonth:
		good = s.Value == PartMonthCalendarDays || s.Value == PartMonthWholeMonth
	}
	if !good {
		return fault.New(fault.Invalid, ReasonSettingInvalid, "%s takes %s, not %q", s.Name, takes[0], money.Clip(s.Value)).With("setting", s.Name).At("value", takes[0])
	}
	return nil
}

// SettingFor finds the setting that governs a month: of the commissioner before England's, and of those the one with the
// latest first month. Settings come in order of their recording, so that a later one wins.
func SettingFor(settings []Setting, commissioner, name string, month period.Month) (Setting, bool) {
	var best Setting
	bestRank := -1
	for _, s := range settings {
		if s.Name != name || s.From.After(month) || (s.CommissionerCode != commissioner && s.CommissionerCode != England) {
			continue
		}
		rank := 0
		if s.CommissionerCode == commissioner {
			rank = 1
		}
		if rank > bestRank || (rank == bestRank && !s.From.Before(best.From)) {
			best, bestRank = s, rank
		}
	}
	return best, bestRank >= 0
}

// Conventions are the settings of one month, read.
type Conventions struct {
	Rounding   money.Rounding
	PartMonth  string
	WTECeiling *big.Rat
	// IDs of the settings in force, by name; a name that is absent stands at its default.
	IDs map[string]string
}

// ConventionsFor reads the settings that govern a month. It fails on a value that Setting.Check refuses.
func ConventionsFor(settings []Setting, commissioner string, month period.Month) (Conventions, error) {
	c := Conventions{Rounding: money.HalfUp, PartMonth: PartMonthCalendarDays, WTECeiling: one()}
	for _, name := range []string{SettingRounding, SettingPartMonth, SettingWTECeiling} {
		s, found := SettingFor(settings, commissioner, name, month)
		if !found {
			continue
		}
		if err := s.Check(); err != nil {
			return c, fmt.Errorf("setting %s: %w", s.ID, err)
		}
		if c.IDs == nil {
			c.IDs = make(map[string]string)
		}
		c.IDs[name] = s.ID
		switch name {
		case SettingRounding:
			if s.Value == RoundingDown {
				c.Rounding = money.Floor
			}
		case SettingPartMonth:
			c.PartMonth = s.Value
		case SettingWTECeiling:
			ceiling, err := money.ParseDecimal(s.Value)
			if err != nil {
				return c, fmt.Errorf("setting %s: %w", s.ID, err)
			}
			c.WTECeiling = ceiling
		}
	}
	return c, nil
}

func (c Conventions) round(gbp *big.Rat) (money.Pence, error) {
	if c.Rounding == money.Floor {
		return money.RoundDown(gbp)
	}
	return money.RoundHalfUp(gbp)
}
