package partners

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

// eventFiles are the contracts of the events that can be granted. Those of this service are not among them: they tell of other partners.
func eventFiles() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		registerv1.File_pcnfunding_register_v1_events_proto, corev1.File_pcnfunding_core_v1_events_proto, arrsv1.File_pcnfunding_arrs_v1_events_proto,
		iifv1.File_pcnfunding_iif_v1_events_proto, devfundv1.File_pcnfunding_devfund_v1_events_proto,
		activityv1.File_pcnfunding_activity_v1_events_proto, paymentsv1.File_pcnfunding_payments_v1_events_proto,
	}
}

// catalogue holds the events of those contracts: the messages of their files that are no part of another.
var catalogue = sync.OnceValue(func() rules.Catalogue {
	out := make(rules.Catalogue)
	for _, file := range eventFiles() {
		parts := make(map[protoreflect.FullName]bool)
		for i := range file.Messages().Len() {
			fields := file.Messages().Get(i).Fields()
			for n := range fields.Len() {
				if message := fields.Get(n).Message(); message != nil {
					parts[message.FullName()] = true
				}
			}
		}
		for i := range file.Messages().Len() {
			if name := file.Messages().Get(i).FullName(); !parts[name] {
				out[string(name)] = true
			}
		}
	}
	return out
})

// services are those whose events are taken in.
func services() []string {
	var out []string
	for _, file := range eventFiles() {
		out = append(out, strings.Split(string(file.Package()), ".")[1])
	}
	return out
}

// newEvent returns an empty event of a type that is taken in.
func newEvent(name string) (proto.Message, bool) {
	if !catalogue()[name] {
		return nil, false
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return nil, false
	}
	return kind.New().Interface(), true
}

// streamOf is the stream of a service's events.
func streamOf(service string) string { return "PCNFUNDING_" + strings.ToUpper(service) }

// durableOf is the name of a partner's consumers for a commissioner's events, the same on every stream.
func durableOf(partner, commissioner string) string { return "partner-" + partner + "-" + commissioner }
