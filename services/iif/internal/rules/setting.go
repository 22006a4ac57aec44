package rules

import (
	"cmp"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Setting is a policy of a version that a commissioner, or England, holds instead of the version's own.
type Setting struct {
	ID               string
	CommissionerCode string
	VersionID        string
	Name             string
	Value            string
	// KnownFrom is the day of its recording, and Position the order in which settings were recorded.
	KnownFrom period.Date
	Position  int64
}

// Names of settings.
const (
	// SettingRounding is how a payment is rounded to the penny: HALF_UP, HALF_EVEN or DOWN.
	SettingRounding = "ROUNDING"
	// SettingRoundingPlace is where: INDICATOR, once for each indicator, or POINTS_AND_INDICATOR, where points are rounded to two
	// decimals before.
	SettingRoundingPlace = "ROUNDING_PLACE"
)

// Values of settings. The first of each name is the policy that the tables hold.
const (
	RoundingHalfUp          = "HALF_UP"
	RoundingHalfEven        = "HALF_EVEN"
	RoundingDown            = "DOWN"
	PlaceIndicator          = "INDICATOR"
	PlacePointsAndIndicator = "POINTS_AND_INDICATOR"
)

const (
	pointsPlaces         = 2
	pencePlaces          = 2
	clauseRounding       = "policy of the version: rounded once for each indicator, to the penny"
	clauseRoundingPoints = "policy of the version: points to two decimals first"
)

// Apply returns the policy with one setting in force; it fails on a name or a value that settings do not take.
func (r Rounding) Apply(name, value string) (Rounding, error) {
	modes := map[string]money.Rounding{RoundingHalfUp: money.HalfUp, RoundingHalfEven: money.HalfEven, RoundingDown: money.Floor}
	switch mode, known := modes[value]; {
	case name == SettingRounding && known:
		r.Mode = mode
	case name == SettingRoundingPlace && (value == PlaceIndicator || value == PlacePointsAndIndicator):
		r.PointsFirst = value == PlacePointsAndIndicator
	default:
		return r, fault.New(fault.Invalid, ReasonSettingInvalid, "%s does not take the value %q", money.Clip(name), money.Clip(value)).
			With("setting", money.Clip(name))
	}
	return r, nil
}

// Names returns the values of the two settings that give the policy.
func (r Rounding) Names() (mode, place string) {
	mode, place = RoundingHalfUp, PlaceIndicator
	switch r.Mode {
	case money.HalfEven:
		mode = RoundingHalfEven
	case money.Floor:
		mode = RoundingDown
	case money.HalfUp, money.Ceiling:
	}
	if r.PointsFirst {
		place = PlacePointsAndIndicator
	}
	return mode, place
}

// roundingFor applies the settings that hold to the policy of a version: of the commissioner and its predecessor before England's, and
// of those the last recorded.
func roundingFor(settings []Setting, q Query, version *Version) (Rounding, error) {
	r := version.Rounding
	for _, name := range []string{SettingRounding, SettingRoundingPlace} {
		var best *Setting
		for i := range settings {
			s := &settings[i]
			if s.Name != name || s.VersionID != version.VersionID || !q.holds(s.CommissionerCode) || (!q.Known.IsZero() && s.KnownFrom.After(q.Known)) {
				continue
			}
			if best == nil || s.follows(best) {
				best = s
			}
		}
		if best == nil {
			continue
		}
		var err error
		if r, err = r.Apply(name, best.Value); err != nil {
			return r, fmt.Errorf("setting %s: %w", best.ID, err)
		}
		r.SettingIDs = append(r.SettingIDs, best.ID)
	}
	return r, nil
}

// follows tells whether a setting stands before another of its name: a body's own before England's, and else the later one.
func (s *Setting) follows(t *Setting) bool {
	if own := s.CommissionerCode != England; own != (t.CommissionerCode != England) {
		return own
	}
	return cmp.Or(s.KnownFrom.Compare(t.KnownFrom), cmp.Compare(s.Position, t.Position), cmp.Compare(s.ID, t.ID)) > 0
}
