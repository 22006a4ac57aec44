package natsauth

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/nats-io/jwt/v2"
)

const (
	// Domain is the JetStream domain under which partners reach the streams: a client opens JetStream with it.
	Domain = "pcnfunding"

	suiteAPI   = "$JS.API"
	partnerAPI = "$JS." + Domain + ".API"
)

// MaxControlLine is how long the broker must let a line of its protocol be, in bytes: credentials that name many consumers come in one.
const MaxControlLine = 16 << 10

// maxToken is how long the token of a user may be, so that it fits into a line with what else the client says.
const maxToken = MaxControlLine - 4<<10

// plain is a name that is one token of a subject.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// Durable is a durable consumer of a stream.
type Durable struct{ Stream, Name string }

// User is a user in the account of the suite, and what it may do there. It may receive nothing but answers under InboxPrefix.
type User struct {
	// Name is a plain token, such as core.
	Name string
	// Publish are the subjects it may publish to, besides those below.
	Publish []string
	// Streams are those it may make, change and look at, but not empty or delete.
	Streams []string
	// Durables are the consumers it may make, change, look at and take messages from.
	Durables []Durable
	// Manage lets it look at every stream, and on each make, change, take from and delete every consumer except those named Spare, at
	// which it may only look.
	Manage bool
	Spare  []string
	// Unbounded lifts every limit; it is for the process that holds the broker's keys anyway.
	Unbounded bool
}

// InboxPrefix is that of the subjects on which a user may wait for answers; a client has to be told it. A user is a service, by its
// name, or a credential of a partner, by its id.
func InboxPrefix(user string) string { return "_INBOX." + user }

// permissions returns the broker's form of what the user may do.
func (u User) permissions() jwt.Permissions {
	if u.Unbounded {
		return jwt.Permissions{}
	}
	p := jwt.Permissions{Sub: jwt.Permission{Allow: jwt.StringList{InboxPrefix(u.Name) + ".>"}}}
	p.Pub.Allow.Add(u.Publish...)
	for _, s := range u.Streams {
		p.Pub.Allow.Add(suiteAPI+".STREAM.CREATE."+s, suiteAPI+".STREAM.UPDATE."+s, suiteAPI+".STREAM.INFO."+s)
	}
	for _, d := range u.Durables {
		p.Pub.Allow.Add(d.fetch(suiteAPI)...)
		p.Pub.Allow.Add(d.change()...)
	}
	if u.Manage {
		every := Durable{"*", "*"}
		p.Pub.Allow.Add(every.fetch(suiteAPI)...)
		p.Pub.Allow.Add(every.change()...)
		p.Pub.Allow.Add(every.remove(), suiteAPI+".STREAM.INFO.*", suiteAPI+".CONSUMER.NAMES.*", suiteAPI+".CONSUMER.LIST.*")
	}
	for _, name := range u.Spare {
		d := Durable{"*", name}
		p.Pub.Deny.Add(d.remove())
		p.Pub.Deny.Add(d.change()...)
		p.Pub.Deny.Add(d.take(suiteAPI)...)
	}
	return p
}

// fetch are the subjects that looking at a consumer and taking messages from it need.
func (d Durable) fetch(api string) []string {
	return append(d.take(api), fmt.Sprintf("%s.CONSUMER.INFO.%s.%s", api, d.Stream, d.Name))
}

// take are the subjects that ask for messages and acknowledge them.
func (d Durable) take(api string) []string {
	return []string{
		fmt.Sprintf("%s.CONSUMER.MSG.NEXT.%s.%s", api, d.Stream, d.Name), fmt.Sprintf("$JS.ACK.%s.%s.>", d.Stream, d.Name),
	}
}

// change are the subjects that make a consumer: clients put a single filter into the subject too.
func (d Durable) change() []string {
	create := fmt.Sprintf("%s.CONSUMER.CREATE.%s.%s", suiteAPI, d.Stream, d.Name)
	return []string{create, create + ".>"}
}

func (d Durable) remove() string {
	return fmt.Sprintf("%s.CONSUMER.DELETE.%s.%s", suiteAPI, d.Stream, d.Name)
}

// check refuses names that would change the meaning of the subjects they become part of.
func (u User) check() error {
	names := slices.Concat([]string{u.Name}, u.Streams, u.Spare)
	for _, d := range u.Durables {
		names = append(names, d.Stream, d.Name)
	}
	return checkPlain(names...)
}

func checkPlain(names ...string) error {
	for _, name := range names {
		if !plain.MatchString(name) {
			return fmt.Errorf("name %q: 1 to 128 letters, digits, - and _ are allowed", name)
		}
	}
	return nil
}
