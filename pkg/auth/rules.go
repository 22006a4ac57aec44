package auth

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// suitePackage is the prefix of the protobuf packages whose methods need an access rule.
const suitePackage = "pcnfunding."

// MethodRule is the access rule of one call, as declared in the contracts.
type MethodRule struct {
	// Method is the full name as gRPC spells it, "/pcnfunding.core.v1.CoreService/CloseMonth".
	Method string
	// Declared is false for a call without a rule; such a call is refused.
	Declared bool
	// Roles are those of which the caller needs at least one.
	Roles []optionsv1.Role
	// Scope is what the role must be held for.
	Scope optionsv1.Scope
	// CommissionerField names the request field with the commissioner's code, for SCOPE_COMMISSIONER.
	CommissionerField string
	// PCNField names the request field with the PCN's code, for SCOPE_PCN.
	PCNField string
	// Mutates is true for a call that changes something.
	Mutates bool
	// Callers are the names of those who may make the call over a connection with certificates, see AllowsCaller.
	Callers []string
	// ClientStreams and ServerStreams tell the shape of the call.
	ClientStreams, ServerStreams bool
	// Request is the full name of the request message.
	Request protoreflect.FullName
}

// RoleNames returns the names of the roles, in the order of the contract.
func (r MethodRule) RoleNames() []string {
	names := make([]string, 0, len(r.Roles))
	for _, role := range r.Roles {
		names = append(names, RoleName(role))
	}
	return names
}

// Rules returns the rule of every call of the suite that is linked into this program, ordered by method. It feeds the API
// reference and the authorisation matrix.
func Rules() []MethodRule {
	var rules []MethodRule
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package())+".", suitePackage) {
			return true
		}
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				rules = append(rules, ruleOf(methods.Get(j)))
			}
		}
		return true
	})
	slices.SortFunc(rules, func(a, b MethodRule) int { return cmp.Compare(a.Method, b.Method) })
	return rules
}

// RuleOf returns the rule of a call by its full gRPC name, and false for a call that no linked contract describes.
func RuleOf(method string) (MethodRule, bool) {
	rule, ok := rulesByMethod()[method]
	return rule, ok
}

// rulesByMethod is read once: contracts are registered by package initialisation, before any call.
var rulesByMethod = sync.OnceValue(func() map[string]MethodRule {
	rules := Rules()
	byMethod := make(map[string]MethodRule, len(rules))
	for _, rule := range rules {
		byMethod[rule.Method] = rule
	}
	return byMethod
})

func ruleOf(method protoreflect.MethodDescriptor) MethodRule {
	rule := MethodRule{
		Method:        "/" + string(method.Parent().FullName()) + "/" + string(method.Name()),
		ClientStreams: method.IsStreamingClient(),
		ServerStreams: method.IsStreamingServer(),
		Request:       method.Input().FullName(),
	}
	if method.Options() == nil || !proto.HasExtension(method.Options(), optionsv1.E_Access) {
		return rule
	}
	access, ok := proto.GetExtension(method.Options(), optionsv1.E_Access).(*optionsv1.Access)
	if !ok || access == nil {
		return rule
	}
	rule.Declared = true
	rule.Roles = slices.Clone(access.GetRoles())
	rule.Scope = access.GetScope()
	rule.CommissionerField = access.GetCommissionerField()
	rule.PCNField = access.GetPcnField()
	rule.Mutates = access.GetMutates()
	rule.Callers = slices.Clone(outsideCallers)
	for _, caller := range access.GetCallers() {
		rule.Callers = append(rule.Callers, CallerName(caller))
	}
	return rule
}
