// Package fault holds the one error type that crosses a service's boundary: what went wrong by kind, a stable reason, and the
// figures involved. It knows no transport; package rpc turns it into a gRPC status.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// Kind says what the caller should do about a fault.
type Kind int

// The kinds, each with one gRPC code and one HTTP status (see package rpc).
const (
	// Invalid asks the caller to mend the request.
	Invalid Kind = iota + 1
	// NotFound says that there is no such thing, or none the caller may see.
	NotFound
	// Exists says that the identifier is taken by other content.
	Exists
	// Refused asks the caller to change the state of things first.
	Refused
	// Denied says that the caller may not do this.
	Denied
	// Unauthenticated asks for a valid token.
	Unauthenticated
	// Stale asks the caller to read again: the thing changed meanwhile.
	Stale
	// TooMany asks the caller to slow down.
	TooMany
	// Busy asks the caller to try again soon.
	Busy
)

// Violation names one field of a request and what is wrong with it.
type Violation struct {
	Field       string
	Reason      string
	Description string
}

// Fault is an error a caller may see. Message must not hold personal pay data.
type Fault struct { //nolint:errname // a fault is what the whole suite calls it
	Kind       Kind
	Reason     string
	Message    string
	Meta       map[string]string
	Violations []Violation
	cause      error
}

// New makes a fault with a stable reason code and a message in words.
func New(kind Kind, reason, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message with the reason and the cause, if any.
func (f *Fault) Error() string {
	if f.cause != nil {
		return fmt.Sprintf("%s: %s: %v", f.Reason, f.Message, f.cause)
	}
	return f.Reason + ": " + f.Message
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }

// With returns a copy that carries one more figure.
func (f *Fault) With(key string, value any) *Fault {
	out := *f
	out.Meta = maps.Clone(f.Meta)
	if out.Meta == nil {
		out.Meta = make(map[string]string, 1)
	}
	out.Meta[key] = fmt.Sprint(value)
	return &out
}

// At returns a copy that names one more field of the request.
func (f *Fault) At(field, description string) *Fault {
	out := *f
	out.Violations = append(append([]Violation(nil), f.Violations...), Violation{Field: field, Reason: f.Reason, Description: description})
	return &out
}

// Because returns a copy that wraps a cause; the cause is logged, never shown.
func (f *Fault) Because(cause error) *Fault {
	out := *f
	out.cause = cause
	return &out
}

// As finds the fault in an error's chain.
func As(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}

// ReasonOf returns the reason of the fault in an error's chain, or an empty string.
func ReasonOf(err error) string {
	if f, ok := As(err); ok {
		return f.Reason
	}
	return ""
}

// Bug reports a state that cannot occur if the code is right. It panics under test, so that the bug is loud, and is a plain
// internal error in production.
func Bug(format string, args ...any) error {
	err := fmt.Errorf("bug: "+format, args...)
	if testing.Testing() {
		panic(err)
	}
	return err
}
