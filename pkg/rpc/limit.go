package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// ReasonStreamIdle ends an upload whose caller has sent nothing for too long.
const ReasonStreamIdle = "STREAM_IDLE"

// ReasonRateLimited asks a caller to slow down: the server has all the work it takes at once, or the caller has used up their
// rate.
const ReasonRateLimited = "RATE_LIMITED"

const (
	// queueWait is the longest that a call waits for room; past it an early refusal serves the caller better.
	queueWait = 100 * time.Millisecond
	// maxSubjects bounds the memory of the rate limits.
	maxSubjects = 10_000
)

// bound admits a limited number of calls at once and lets others queue briefly.
type bound struct {
	room *semaphore.Weighted
	wait time.Duration
}

func newBound(limit int) *bound {
	if limit <= 0 {
		return nil
	}
	return &bound{room: semaphore.NewWeighted(int64(limit)), wait: queueWait}
}

// enter waits for room and returns what gives it back. It returns TooMany RATE_LIMITED when there is none in time.
func (b *bound) enter(ctx context.Context) (func(), error) {
	if b == nil {
		return func() {}, nil
	}
	if b.room.TryAcquire(1) {
		return b.leave, nil
	}
	waiting, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	if b.room.Acquire(waiting, 1) == nil {
		return b.leave, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, rateLimited(defaultRetryAfter, "the server has all the work it takes at once")
}

func (b *bound) leave() { b.room.Release(1) }

// rates keeps one token bucket per subject.
type rates struct {
	clock func() time.Time
	every rate.Limit
	burst int

	mu       sync.Mutex
	subjects map[string]*rate.Limiter
}

func newRates(perSecond, burst int, clock func() time.Time) *rates {
	if perSecond <= 0 {
		return nil
	}
	return &rates{
		clock: clock, every: rate.Limit(perSecond), burst: max(burst, perSecond), subjects: make(map[string]*rate.Limiter),
	}
}

// take uses one token of the subject's bucket, or returns TooMany RATE_LIMITED with the time until there is one.
func (r *rates) take(subject string) error {
	if r == nil {
		return nil
	}
	now := r.clock()
	reservation := r.limiter(subject, now).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay <= 0 {
		return nil
	}
	reservation.CancelAt(now)
	return rateLimited(delay, "the caller has used up their rate")
}

func (r *rates) limiter(subject string, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limiter, ok := r.subjects[subject]; ok {
		return limiter
	}
	if len(r.subjects) >= maxSubjects {
		r.forget(now)
	}
	limiter := rate.NewLimiter(r.every, r.burst)
	r.subjects[subject] = limiter
	return limiter
}

// forget drops the buckets that are full, which are as good as new; if none is, all go.
func (r *rates) forget(now time.Time) {
	for subject, limiter := range r.subjects {
		if limiter.TokensAt(now) >= float64(r.burst) { //nolint:forbidigo // the library counts tokens so
			delete(r.subjects, subject)
		}
	}
	if len(r.subjects) >= maxSubjects {
		clear(r.subjects)
	}
}

func rateLimited(after time.Duration, message string) error {
	ms := max(after.Milliseconds(), 1)
	return fault.New(fault.TooMany, ReasonRateLimited, "%s", message).With(MetaRetryAfter, ms)
}

// shares bounds how many streams of one subject are worked on at once, so that one caller, however slow, leaves room for others.
type shares struct {
	most int

	mu    sync.Mutex
	taken map[string]int
}

func newShares(most int) *shares { return &shares{most: most, taken: make(map[string]int)} }

// enter takes one place of the subject's share and returns what gives it back, or returns TooMany RATE_LIMITED when all are taken.
func (s *shares) enter(subject string) (func(), error) {
	if s.most < 0 {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[subject] >= s.most {
		return nil, rateLimited(defaultRetryAfter, "the caller has as many streams open as one may have")
	}
	s.taken[subject]++
	return func() { s.leave(subject) }, nil
}

func (s *shares) leave(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[subject]--; s.taken[subject] == 0 {
		delete(s.taken, subject)
	}
}

// withinTime gives a call without a deadline one of ours, so that no work outlives the interest in it, and shortens one that is later than
// any call needs: room that is held for a day is room that is lost.
func withinTime(ctx context.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		otherwise = longestCall
	}
	return context.WithTimeout(ctx, otherwise)
}

// receiveWithin waits for a message of a stream no longer than the stream may be idle, and never past its deadline. The receiver left
// behind ends with the stream, when the handler returns.
func receiveWithin(ctx context.Context, idle time.Duration, receive func() error) error {
	received := make(chan error, 1)
	go func() { received <- receive() }()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case err := <-received:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fault.New(fault.Invalid, ReasonStreamIdle, "nothing has come for %s: send the file without a pause, or in smaller files", idle).
			With("idle_limit_ms", idle.Milliseconds())
	}
}
