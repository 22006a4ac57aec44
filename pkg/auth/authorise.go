package auth

import (
	"context"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Reasons of the faults that authorisation gives.
const (
	// ReasonNoRule refuses a call whose contract declares no usable access rule.
	ReasonNoRule = "METHOD_WITHOUT_RULE"
	// ReasonRoleRequired refuses a caller who holds none of the roles of the call.
	ReasonRoleRequired = "ROLE_REQUIRED"
	// ReasonEnglandRequired refuses a call for all of England by a caller who holds single commissioners or PCNs.
	ReasonEnglandRequired = "ENGLAND_REQUIRED"
	// ReasonNotFound hides what the caller holds no role for.
	ReasonNotFound = "RESOURCE_NOT_FOUND"
)

// Authorise decides whether the principal may make the call with this request. Method is the full gRPC name. It returns nil or
// a fault: Denied METHOD_WITHOUT_RULE, Denied ROLE_REQUIRED (naming the roles), Denied ENGLAND_REQUIRED for a call that covers
// all of England, or NotFound RESOURCE_NOT_FOUND for a commissioner or PCN the role is not held for, so that nobody learns
// what exists elsewhere. Only the roles of the call count, see Principal.As.
func Authorise(_ context.Context, p Principal, method string, req proto.Message) error {
	rule, _ := RuleOf(method)
	if err := rule.allowsRole(p, method); err != nil {
		return err
	}
	p = p.As(rule.Roles...)
	switch rule.Scope {
	case optionsv1.Scope_SCOPE_ROLE, optionsv1.Scope_SCOPE_RESOURCE:
		return nil
	case optionsv1.Scope_SCOPE_ENGLAND:
		if !p.HoldsEngland() {
			return englandRequired()
		}
		return nil
	case optionsv1.Scope_SCOPE_COMMISSIONER:
		code, ok := stringField(req, rule.CommissionerField)
		if !ok {
			return noRule(method)
		}
		return p.allowsCommissioner(code)
	case optionsv1.Scope_SCOPE_PCN:
		code, ok := stringField(req, rule.PCNField)
		if !ok {
			return noRule(method)
		}
		return p.allowsPCN(code)
	case optionsv1.Scope_SCOPE_UNSPECIFIED:
		return noRule(method)
	default:
		return noRule(method)
	}
}

// AuthoriseRole decides what can be decided before a request is read, which is all there is when a stream opens: that the call
// has a rule, that the principal holds a role for it, and that they hold England if the call needs it.
func AuthoriseRole(p Principal, method string) error {
	rule, _ := RuleOf(method)
	if err := rule.allowsRole(p, method); err != nil {
		return err
	}
	if rule.Scope == optionsv1.Scope_SCOPE_ENGLAND && !p.As(rule.Roles...).HoldsEngland() {
		return englandRequired()
	}
	return nil
}

func (r MethodRule) allowsRole(p Principal, method string) error {
	if !r.Declared || len(r.Roles) == 0 || r.Scope == optionsv1.Scope_SCOPE_UNSPECIFIED {
		return noRule(method)
	}
	if !p.HasRole(r.Roles...) {
		names := strings.Join(r.RoleNames(), ",")
		return fault.New(fault.Denied, ReasonRoleRequired, "this call needs one of the roles %s", names).With("roles", names)
	}
	return nil
}

func (p Principal) allowsCommissioner(code string) error {
	switch {
	case p.HoldsCommissioner(code):
		return nil
	case code == "":
		return englandRequired()
	default:
		return notFound()
	}
}

// allowsPCN lets any holder of a commissioner pass: only the handler can load which commissioner the PCN has.
func (p Principal) allowsPCN(code string) error {
	if p.HoldsPCN(code) || len(p.Commissioners) > 0 {
		return nil
	}
	return notFound()
}

// stringField returns the value of a string field by name, and false when the message has no such field: a rule that points
// nowhere must refuse rather than let everyone pass.
func stringField(req proto.Message, name string) (string, bool) {
	if req == nil || name == "" {
		return "", false
	}
	m := req.ProtoReflect()
	field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return "", false
	}
	return m.Get(field).String(), true
}

func noRule(method string) error {
	return fault.New(fault.Denied, ReasonNoRule, "the call %s has no usable access rule", method)
}

func englandRequired() error {
	return fault.New(fault.Denied, ReasonEnglandRequired,
		"this call covers all of England, for which the caller holds no role; name a commissioner where the call takes one")
}

func notFound() error {
	return fault.New(fault.NotFound, ReasonNotFound, "there is no such thing, or none that the caller may see")
}
