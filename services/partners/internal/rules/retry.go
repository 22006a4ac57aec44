package rules

import "time"

// DisableAfter is how long a webhook may accept nothing before it is disabled.
const DisableAfter = 5 * 24 * time.Hour

// pauses are those after the failed attempts to deliver an event. All are a few hours short of four days.
var pauses = [...]time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 24 * time.Hour, 24 * time.Hour,
}

// Pause returns how long to wait after a number of failed attempts, from 1, and false if it is time to give up.
func Pause(failures int) (time.Duration, bool) {
	if failures < 1 || failures > len(pauses) {
		return 0, false
	}
	return pauses[failures-1], true
}
