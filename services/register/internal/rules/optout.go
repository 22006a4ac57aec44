package rules

import (
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Window is a period in which a practice may give notice to leave the DES; both days are inclusive.
type Window struct {
	Opens, Closes period.Date
	Source        string
}

// FindWindow returns the first window a notice falls into. The windows are data: the known ones follow no formula (worked
// examples CDP-080 to CDP-082).
func FindWindow(notice period.Date, windows []Window) (Window, bool) {
	for _, w := range windows {
		if !notice.Before(w.Opens) && !notice.After(w.Closes) {
			return w, true
		}
	}
	return Window{}, false
}

// CheckOptOut refuses an opt-out whose notice is absent or outside every window: outside them a practice cannot leave without
// breach. Taking part again needs no notice.
func CheckOptOut(p Participation, windows []Window) error {
	if p.Participating {
		return nil
	}
	if p.Notice.IsZero() {
		return fault.New(fault.Invalid, ReasonValueMissing, "an opt-out needs the day of its notice").
			At("notice_date", "required when participating is false")
	}
	if _, ok := FindWindow(p.Notice, windows); !ok {
		return fault.New(fault.Refused, ReasonOptOutOutsideWindow, "the notice of %s is outside every known opt-out window", p.Notice).
			With("notice_date", p.Notice)
	}
	return nil
}
