package rpc

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"buf.build/go/protovalidate"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// ReasonRequestInvalid refuses a request that breaks the limits its contract states.
const ReasonRequestInvalid = "REQUEST_INVALID"

// validator is built once for the process, with the rules of every request of the linked contracts compiled.
var validator = sync.OnceValues(func() (protovalidate.Validator, error) {
	var requests []protoreflect.MessageDescriptor
	for _, rule := range auth.Rules() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(rule.Request)
		if err != nil {
			return nil, fmt.Errorf("find the request of %s: %w", rule.Method, err)
		}
		if message, ok := found.(protoreflect.MessageDescriptor); ok {
			requests = append(requests, message)
		}
	}
	v, err := protovalidate.New(protovalidate.WithMessageDescriptors(requests...))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of the requests: %w", err)
	}
	return v, nil
})

// validate holds a request against the limits its contract states. The fault names fields and rules, never values.
func validate(v protovalidate.Validator, req proto.Message) error {
	err := v.Validate(req)
	if err == nil {
		return checkText(req)
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		return fmt.Errorf("validate %s: %w", req.ProtoReflect().Descriptor().FullName(), err)
	}
	f := fault.New(fault.Invalid, ReasonRequestInvalid, "the request breaks %d of its limits", len(broken.Violations))
	for _, violation := range broken.Violations[:min(len(broken.Violations), maxViolations)] {
		description := violation.Proto.GetMessage()
		if description == "" {
			description = "breaks the rule " + violation.Proto.GetRuleId()
		}
		f.Violations = append(f.Violations, fault.Violation{
			Field:       protovalidate.FieldPathString(violation.Proto.GetField()),
			Reason:      reasonOfRule(violation.Proto.GetRuleId()),
			Description: description,
		})
	}
	return f
}

// reasonOfRule spells the id of a rule, such as "string.max_len", as a reason: "STRING_MAX_LEN".
func reasonOfRule(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, id)
}
