// Package testkit holds what the tests of the suite share: a clock that is set by hand, tokens, an in-process server with the full
// chain of interceptors, real databases and a real embedded broker. Only tests import it.
package testkit

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until it is moved. It is safe for concurrent use. Its zero value stands at Start.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Start is where a clock stands that was given no other time: a Thursday in a month of an open financial year.
var Start = time.Date(2026, time.January, 15, 9, 0, 0, 0, time.UTC)

// NewClock makes a clock that stands at the given time.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now returns the time at which the clock stands. Pass it where a func() time.Time is asked for.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at()
}

// Set moves the clock to a time, forwards or backwards.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at
}

// Advance moves the clock by a duration; a negative one moves it back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.at().Add(d)
}

func (c *Clock) at() time.Time {
	if c.now.IsZero() {
		return Start
	}
	return c.now
}
