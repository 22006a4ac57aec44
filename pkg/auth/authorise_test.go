package auth_test

import (
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const (
	preparer = optionsv1.Role_ROLE_FINANCE_PREPARER
	approver = optionsv1.Role_ROLE_FINANCE_APPROVER
	manager  = optionsv1.Role_ROLE_PCN_MANAGER
	auditor  = optionsv1.Role_ROLE_AUDITOR
	operator = optionsv1.Role_ROLE_OPERATOR
	director = optionsv1.Role_ROLE_CLINICAL_DIRECTOR
)

func TestAuthorise_HoldsEachScope(t *testing.T) {
	t.Parallel()
	close15N := &corev1.CloseMonthRequest{CommissionerCode: "15N"}
	month := &corev1.GetPcnMonthRequest{PcnCode: "U12345"}
	cases := map[string]struct {
		p      auth.Principal
		method string
		req    proto.Message
		reason string
		kind   fault.Kind
	}{
		"the commissioner's preparer": {p: held(preparer, "15N"), method: corev1.CoreService_CloseMonth_FullMethodName, req: close15N},
		"England's preparer":          {p: held(preparer, "*"), method: corev1.CoreService_CloseMonth_FullMethodName, req: close15N},
		"another's preparer": {
			held(preparer, "36J"), corev1.CoreService_CloseMonth_FullMethodName, close15N, auth.ReasonNotFound, fault.NotFound,
		},
		"a preparer of nothing": {
			held(preparer), corev1.CoreService_CloseMonth_FullMethodName, close15N, auth.ReasonNotFound, fault.NotFound,
		},
		"a preparer with an empty code": {
			held(preparer, ""), corev1.CoreService_CloseMonth_FullMethodName, &corev1.CloseMonthRequest{}, auth.ReasonEnglandRequired, fault.Denied,
		},
		"a code in another case": {
			held(preparer, "15N"), corev1.CoreService_CloseMonth_FullMethodName, &corev1.CloseMonthRequest{CommissionerCode: "15n"},
			auth.ReasonNotFound, fault.NotFound,
		},
		"a code that spells England": {
			held(preparer, "15N"), corev1.CoreService_CloseMonth_FullMethodName, &corev1.CloseMonthRequest{CommissionerCode: "*"},
			auth.ReasonNotFound, fault.NotFound,
		},
		"another role": {
			held(approver, "15N"), corev1.CoreService_CloseMonth_FullMethodName, close15N, auth.ReasonRoleRequired, fault.Denied,
		},
		"no role": {
			auth.Principal{Subject: "x", Commissioners: []string{"*"}},
			corev1.CoreService_CloseMonth_FullMethodName, close15N,
			auth.ReasonRoleRequired, fault.Denied,
		},
		"the unspecified role": {
			held(optionsv1.Role_ROLE_UNSPECIFIED, "*"), corev1.CoreService_CloseMonth_FullMethodName, close15N, auth.ReasonRoleRequired, fault.Denied,
		},
		"an auditor of England lists all": {
			p: held(auditor, "*"), method: registerv1.RegisterService_GetCoverage_FullMethodName, req: &registerv1.GetCoverageRequest{},
		},
		"an auditor of one lists all": {
			held(auditor, "15N"), registerv1.RegisterService_GetCoverage_FullMethodName, &registerv1.GetCoverageRequest{},
			auth.ReasonEnglandRequired, fault.Denied,
		},
		"an auditor of one lists one": {
			p: held(auditor, "15N"), method: registerv1.RegisterService_GetCoverage_FullMethodName, req: &registerv1.GetCoverageRequest{CommissionerCode: "15N"},
		},
		"the PCN's manager": {
			p: pcn("U12345"), method: corev1.CoreService_GetPcnMonth_FullMethodName, req: month,
		},
		"another PCN's manager": {
			pcn("U99999"), corev1.CoreService_GetPcnMonth_FullMethodName, month, auth.ReasonNotFound, fault.NotFound,
		},
		"a manager who holds its commissioner": {
			held(manager, "15N"), corev1.CoreService_GetPcnMonth_FullMethodName, month, auth.ReasonNotFound, fault.NotFound,
		},
		"a manager who audits, of another PCN": {
			p: both(manager, auditor), method: corev1.CoreService_GetPcnMonth_FullMethodName, req: &corev1.GetPcnMonthRequest{PcnCode: "U99999"},
		},
		"a director who audits, for another PCN": {
			both(director, auditor), corev1.CoreService_RecordDeclaration_FullMethodName, &corev1.RecordDeclarationRequest{PcnCode: "U99999"},
			auth.ReasonNotFound, fault.NotFound,
		},
		"a director who audits, for the PCN": {
			p: both(director, auditor), method: corev1.CoreService_RecordDeclaration_FullMethodName, req: &corev1.RecordDeclarationRequest{PcnCode: "U12345"},
		},
		"an auditor who holds the PCN": {
			auth.Principal{Roles: []optionsv1.Role{auditor}, PCNs: []string{"U12345"}},
			corev1.CoreService_GetPcnMonth_FullMethodName, month,
			auth.ReasonNotFound, fault.NotFound,
		},
		"a PCN's manager with an empty code": {
			pcn(""), corev1.CoreService_GetPcnMonth_FullMethodName, &corev1.GetPcnMonthRequest{}, auth.ReasonNotFound, fault.NotFound,
		},
		"a commissioner's preparer, for the handler to check": {
			p: held(preparer, "36J"), method: corev1.CoreService_GetPcnMonth_FullMethodName, req: month,
		},
		"any role for a resource": {
			p: pcn("U99999"), method: corev1.CoreService_GetLine_FullMethodName, req: &corev1.GetLineRequest{},
		},
		"an operator of England": {
			p: held(operator, "*"), method: corev1.CoreService_ReemitSchedule_FullMethodName, req: &corev1.ReemitScheduleRequest{},
		},
		"an operator of one": {
			held(operator, "15N"), corev1.CoreService_ReemitSchedule_FullMethodName, &corev1.ReemitScheduleRequest{},
			auth.ReasonEnglandRequired, fault.Denied,
		},
		"a call of no contract": {
			held(operator, "*"), "/pcnfunding.core.v1.CoreService/NoSuchCall", close15N, auth.ReasonNoRule, fault.Denied,
		},
		"a request without the rule's field": {
			held(preparer, "*"), corev1.CoreService_CloseMonth_FullMethodName, month, auth.ReasonNoRule, fault.Denied,
		},
		"no request": {
			held(preparer, "*"), corev1.CoreService_CloseMonth_FullMethodName, nil, auth.ReasonNoRule, fault.Denied,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := auth.Authorise(t.Context(), c.p, c.method, c.req)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			f, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.reason, f.Reason)
			require.Equal(t, c.kind, f.Kind)
		})
	}
}

func TestAuthorise_NamesTheRolesNeeded(t *testing.T) {
	t.Parallel()
	err := auth.Authorise(t.Context(), held(auditor, "*"), corev1.CoreService_CloseMonth_FullMethodName, &corev1.CloseMonthRequest{})
	f, ok := fault.As(err)
	require.True(t, ok)
	require.Equal(t, "finance_preparer", f.Meta["roles"])
}

func TestAuthoriseRole_DecidesBeforeARequest(t *testing.T) {
	t.Parallel()
	method := registerv1.RegisterService_Import_FullMethodName
	require.NoError(t, auth.AuthoriseRole(held(operator, "*"), method))
	require.Equal(t, auth.ReasonEnglandRequired, fault.ReasonOf(auth.AuthoriseRole(held(operator, "15N"), method)))
	require.Equal(t, auth.ReasonRoleRequired, fault.ReasonOf(auth.AuthoriseRole(held(preparer, "*"), method)))
	require.Equal(t, auth.ReasonNoRule, fault.ReasonOf(auth.AuthoriseRole(held(operator, "*"), "/no.Such/Call")))
	require.NoError(t, auth.AuthoriseRole(held(preparer), corev1.CoreService_CloseMonth_FullMethodName), "the body is in the request")
}

// TestRules_AreUsable holds every rule of the linked contracts to what the interceptor needs to enforce it.
func TestRules_AreUsable(t *testing.T) {
	t.Parallel()
	rules := auth.Rules()
	require.NotEmpty(t, rules)
	for _, rule := range rules {
		require.True(t, rule.Declared, "%s has no access rule", rule.Method)
		require.NotEmpty(t, rule.Roles, rule.Method)
		require.NotContains(t, rule.Roles, optionsv1.Role_ROLE_UNSPECIFIED, rule.Method)
		require.NotEqual(t, optionsv1.Scope_SCOPE_UNSPECIFIED, rule.Scope, rule.Method)
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(rule.Request)
		require.NoError(t, err)
		request, ok := found.(protoreflect.MessageDescriptor)
		require.True(t, ok)
		requireStringField(t, rule, request, rule.CommissionerField, rule.Scope == optionsv1.Scope_SCOPE_COMMISSIONER)
		requireStringField(t, rule, request, rule.PCNField, rule.Scope == optionsv1.Scope_SCOPE_PCN)
		if rule.Mutates && !rule.ClientStreams {
			require.NotNil(t, request.Fields().ByName("request_id"), "%s changes something and has no request_id", rule.Method)
		}
		if rule.ClientStreams {
			require.Contains(t, []optionsv1.Scope{optionsv1.Scope_SCOPE_ROLE, optionsv1.Scope_SCOPE_ENGLAND, optionsv1.Scope_SCOPE_RESOURCE},
				rule.Scope, "%s: not every message of a stream names its body", rule.Method)
		}
	}
}

func requireStringField(t *testing.T, rule auth.MethodRule, request protoreflect.MessageDescriptor, name string, needed bool) {
	t.Helper()
	require.Equal(t, needed, name != "", "%s names the field %q for %s", rule.Method, name, rule.Scope)
	if !needed {
		return
	}
	field := request.Fields().ByName(protoreflect.Name(name))
	require.NotNil(t, field, "%s names the field %q, which %s does not have", rule.Method, name, rule.Request)
	require.Equal(t, protoreflect.StringKind, field.Kind(), rule.Method)
}

// TestAuthorise_RefusesEveryRoleNotNamed is the authorisation matrix: for each call, every role that is not named is refused,
// and no one with a named role is refused for want of it.
func TestAuthorise_RefusesEveryRoleNotNamed(t *testing.T) {
	t.Parallel()
	for _, rule := range auth.Rules() {
		for number := range optionsv1.Role_name {
			role := optionsv1.Role(number)
			named := false
			for _, r := range rule.Roles {
				named = named || r == role
			}
			err := auth.AuthoriseRole(held(role, auth.England), rule.Method)
			require.Equal(t, named, err == nil, "%s as %s: %v", rule.Method, role, err)
		}
	}
}

func TestRuleOf_FindsARule(t *testing.T) {
	t.Parallel()
	rule, ok := auth.RuleOf(corev1.CoreService_CloseMonth_FullMethodName)
	require.True(t, ok)
	require.True(t, rule.Mutates)
	require.Equal(t, "commissioner_code", rule.CommissionerField)
	require.Equal(t, []string{"finance_preparer"}, rule.RoleNames())
	_, ok = auth.RuleOf("/grpc.health.v1.Health/Check")
	require.False(t, ok)
}

func held(role optionsv1.Role, commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "x", Roles: []optionsv1.Role{role}, Commissioners: commissioners}
}

// both holds a role for one PCN, and another for England.
func both(roles ...optionsv1.Role) auth.Principal {
	return auth.Principal{Subject: "x", Roles: roles, Commissioners: []string{"*"}, PCNs: []string{"U12345"}}
}

func pcn(codes ...string) auth.Principal {
	return auth.Principal{Subject: "x", Roles: []optionsv1.Role{manager}, PCNs: codes}
}
