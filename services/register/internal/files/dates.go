package files

import (
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// dateStyles are the styles seen in the publications. Each has one length or holds one sign, so that no text fits two.
var dateStyles = []string{"2006-01-02", "20060102", "02Jan2006", "02-Jan-06", "02-Jan-2006", "02/01/2006"}

// The bounds of a believable date.
const (
	firstYear = 1900
	lastYear  = 2199
)

// parseDate reads a day in any of the known styles; it must be in the calendar.
func parseDate(text string) (period.Date, bool) {
	for _, style := range dateStyles {
		if len(text) != len(style) {
			continue
		}
		day, err := time.Parse(style, text)
		if err == nil && day.Year() >= firstYear && day.Year() <= lastYear {
			return period.DateOf(day), true
		}
	}
	return period.Date{}, false
}
