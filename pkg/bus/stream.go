package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

const (
	// DefaultMaxAge is how long a stream keeps events: 13 months.
	DefaultMaxAge = 396 * 24 * time.Hour
	// DefaultDuplicates is how long a stream remembers message ids; it is longer than an outage of a relay.
	DefaultDuplicates = 10 * time.Minute
)

// Stream describes where events are kept.
type Stream struct {
	// Name is the stream's, such as PCNFUNDING_CORE.
	Name string
	// Subjects are those it takes in, such as pcnfunding.core.v1.>.
	Subjects []string
	// MaxAge is how long it keeps a message; 0 means DefaultMaxAge.
	MaxAge time.Duration
	// Duplicates is how long it remembers message ids; 0 means DefaultDuplicates.
	Duplicates time.Duration
	// Replicas is the number of copies; 0 means that of the Config.
	Replicas int
	// MaxBytes bounds its size; then it refuses messages, which wait in the outbox. 0 means that of the Config.
	MaxBytes int64
}

// ServiceStream is the stream of the events of a service.
func ServiceStream(service string) Stream {
	return Stream{Name: "PCNFUNDING_" + strings.ToUpper(service), Subjects: []string{"pcnfunding." + service + ".v1.>"}}
}

// ServiceUser is a service at the broker: it publishes its own events, looks after its own stream, proves that it can publish (Check),
// and takes in the events of other services under a durable consumer of its own name.
func ServiceUser(service string, from ...string) natsauth.User {
	own := ServiceStream(service)
	u := natsauth.User{
		Name: service, Publish: append(own.Subjects, canarySubject(service)), Streams: []string{own.Name, canaryStream},
	}
	for _, other := range from {
		u.Durables = append(u.Durables, natsauth.Durable{Stream: ServiceStream(other).Name, Name: service})
	}
	return u
}

// config returns the broker's form of the stream, with defaults filled in.
func (s Stream) config(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        s.Name,
		Subjects:    s.Subjects,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew, // to discard old ones would delete events about money
		Storage:     jetstream.FileStorage,
		PersistMode: jetstream.DefaultPersistMode, // the other acknowledges what a crash can lose
		MaxAge:      cmp.Or(s.MaxAge, DefaultMaxAge),
		Duplicates:  cmp.Or(s.Duplicates, DefaultDuplicates),
		Replicas:    max(1, cmp.Or(s.Replicas, c.Replicas)),
		MaxBytes:    cmp.Or(s.MaxBytes, c.MaxBytes, -1),
	}
}

// EnsureStream makes the stream, or brings its settings up to date. From then on Publish makes it again if it is gone. If what the
// broker then has differs from what was asked for, in a way that could lose or forge events, the error is a DriftError.
func (b *Bus) EnsureStream(ctx context.Context, s Stream) error {
	b.mu.Lock()
	b.streams = append(slices.DeleteFunc(b.streams, func(o Stream) bool { return o.Name == s.Name }), s)
	b.mu.Unlock()
	want := s.config(b.config)
	made, err := b.js.CreateOrUpdateStream(ctx, want)
	if err != nil {
		return fmt.Errorf("make stream %s: %w", s.Name, err)
	}
	return drift(want, made.CachedInfo().Config)
}

// ensured returns the streams asked for so far.
func (b *Bus) ensured() []Stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.streams)
}

// ensureAll makes every stream again that was asked for and is not there.
func (b *Bus) ensureAll(ctx context.Context) error {
	var errs []error
	for _, s := range b.ensured() {
		errs = append(errs, b.EnsureStream(ctx, s))
	}
	return errors.Join(errs...)
}

// DriftError is a stream that the broker keeps otherwise than the suite asks.
type DriftError struct {
	// Stream is its name.
	Stream string
	// Settings are those that differ, each with what it is and what is wanted.
	Settings []string
}

// Error implements error.
func (e *DriftError) Error() string {
	return fmt.Sprintf("stream %s is not as the suite needs it: %s", e.Stream, strings.Join(e.Settings, "; "))
}

// drift compares what the broker has with what is wanted, in whatever decides if an event can be lost, changed or read elsewhere.
func drift(want, have jetstream.StreamConfig) error {
	var differ []string
	note := func(setting string, have, want any) {
		if have != want {
			differ = append(differ, fmt.Sprintf("%s is %v, wanted is %v", setting, have, want))
		}
	}
	note("subjects", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "))
	note("replicas", have.Replicas, want.Replicas)
	note("storage", have.Storage.String(), want.Storage.String())
	note("persist_mode", have.PersistMode.String(), want.PersistMode.String())
	note("retention", have.Retention.String(), want.Retention.String())
	note("discard", have.Discard.String(), want.Discard.String())
	note("max_age", have.MaxAge, want.MaxAge)
	note("max_bytes", have.MaxBytes, want.MaxBytes)
	note("max_msgs", have.MaxMsgs, int64(-1))
	note("max_msgs_per_subject", have.MaxMsgsPerSubject, int64(-1))
	note("duplicate_window", have.Duplicates, want.Duplicates)
	note("no_ack", have.NoAck, false)
	note("mirror or sources", have.Mirror != nil || len(have.Sources) > 0, false)
	note("republish or subject_transform", have.RePublish != nil || have.SubjectTransform != nil, false)
	if len(differ) == 0 {
		return nil
	}
	return &DriftError{want.Name, differ}
}
