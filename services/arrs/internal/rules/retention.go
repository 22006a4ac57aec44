package rules

import (
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// SettingRetentionMonths is how many months a claim is kept after it ended, before it is reduced to its totals: 84, a whole number.
const SettingRetentionMonths = "RETENTION_MONTHS"

const (
	retentionDefault = 84
	// retentionLeast keeps the claims of the year that is open, and those of the one before, which are still paid and corrected.
	retentionLeast = 24
	retentionMost  = 1200
)

// RetentionMonths reads a number of months that claims are kept.
func RetentionMonths(text string) (int, error) {
	months, err := money.ParseWhole(text)
	if err != nil || months < retentionLeast || months > retentionMost {
		return 0, fmt.Errorf("%q is not a whole number of months from %d to %d", money.Clip(text), retentionLeast, retentionMost)
	}
	return int(months), nil
}

// KeptSince returns the day since when ended claims of a commissioner are kept whole.
func KeptSince(settings []Setting, commissioner string, today period.Date) (period.Date, error) {
	months := retentionDefault
	if s, found := SettingFor(settings, commissioner, SettingRetentionMonths, today.Month()); found {
		var err error
		if months, err = RetentionMonths(s.Value); err != nil {
			return period.Date{}, fmt.Errorf("setting %s: %w", s.ID, err)
		}
	}
	return addMonths(today, -months), nil
}
