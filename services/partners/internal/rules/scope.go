package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// Reasons of what scopes refuse.
const (
	ReasonEventTypeNotKnown   = "EVENT_TYPE_NOT_KNOWN"
	ReasonEventTypeNotGranted = "EVENT_TYPE_NOT_GRANTED"
)

// england is the last token of the subject of an event that concerns all.
const england = "england"

// Catalogue holds the full names of the events that can be granted.
type Catalogue map[string]bool

// Scope is a set of event types, sorted: full names, and pcnfunding.core.v1.* for all of a service. No name stands beside the star that
// takes it in, so that no two subjects of a scope overlap.
type Scope []string

// Scope reads a set of types, or refuses the first that stands for no event.
func (c Catalogue) Scope(types []string) (Scope, error) {
	all := make(Scope, 0, len(types))
	for _, name := range types {
		if !c.has(name) {
			return nil, fault.New(fault.Invalid, ReasonEventTypeNotKnown, "%s is no event that can be granted", name).
				With("event_type", name).At("event_types", "use the names that the page of events lists")
		}
		all = append(all, name)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name != star(name) && slices.Contains(all, star(name)) }), nil
}

// Split returns the names of the events that a scope takes in, and of those that it leaves out.
func (c Catalogue) Split(s Scope) (in, out []string) {
	for name := range c {
		if s.Covers(name) {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	return in, out
}

func (c Catalogue) has(name string) bool {
	if name != star(name) {
		return c[name]
	}
	for known := range c {
		if star(known) == name {
			return true
		}
	}
	return false
}

// star is the type that takes in all events of the service of one.
func star(name string) string { return packageOf(name) + ".*" }

func packageOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }

// Covers tells whether the scope takes in a type.
func (s Scope) Covers(name string) bool {
	return slices.Contains(s, name) || slices.Contains(s, star(name))
}

// Within refuses the first type that another scope does not take in.
func (s Scope) Within(granted Scope) error {
	for _, name := range s {
		if !granted.Covers(name) {
			return fault.New(fault.Refused, ReasonEventTypeNotGranted, "%s is not granted: propose a grant with it first", name).With("event_type", name)
		}
	}
	return nil
}

// Subjects returns, by service, the subjects of the broker under which events of the scope come: those addressed to the commissioner, and
// the national ones.
func (s Scope) Subjects(commissioner string) map[string][]string {
	out := make(map[string][]string)
	for _, name := range s {
		service := strings.Split(name, ".")[1]
		out[service] = append(out[service], name+"."+commissioner, name+"."+england)
	}
	return out
}

// Services returns the services whose events the scope takes in, sorted.
func (s Scope) Services() []string {
	var out []string
	for _, name := range s {
		out = append(out, strings.Split(name, ".")[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}
