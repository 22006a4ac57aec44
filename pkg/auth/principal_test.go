package auth_test

import (
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/stretchr/testify/require"
)

func TestPrincipal_TellsWhatItHolds(t *testing.T) {
	t.Parallel()
	england := auth.Principal{Commissioners: []string{"*"}}
	one := auth.Principal{Commissioners: []string{"15N"}, PCNs: []string{"U12345"}}
	none := auth.Principal{}
	emptyCodes := auth.Principal{Commissioners: []string{""}, PCNs: []string{""}}

	cases := map[string]struct {
		p                        auth.Principal
		commissioner, pcn        string
		holds, holdsPCN, maysSee bool
	}{
		"England sees a commissioner":       {england, "15N", "U12345", true, false, true},
		"England sees what has no body":     {england, "", "", true, false, true},
		"one sees its own":                  {one, "15N", "U99999", true, false, true},
		"one sees its PCN elsewhere":        {one, "36J", "U12345", false, true, true},
		"one does not see others":           {one, "36J", "U99999", false, false, false},
		"one does not see England's":        {one, "", "", false, false, false},
		"none sees nothing":                 {none, "15N", "U12345", false, false, false},
		"none sees nothing without a body":  {none, "", "", false, false, false},
		"empty codes are no codes":          {emptyCodes, "", "", false, false, false},
		"a star in the request is no claim": {one, "*", "*", false, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.holds, c.p.HoldsCommissioner(c.commissioner))
			require.Equal(t, c.holdsPCN, c.p.HoldsPCN(c.pcn))
			require.Equal(t, c.maysSee, c.p.MaySee(c.commissioner, c.pcn))
		})
	}
}

// A role of a PCN is held for PCNs: a commissioner in the token would open every other PCN's account with it. Any other role is held for
// commissioners: a PCN in the token would have those who approve decide on the one they manage.
func TestPrincipal_HoldsWhatTheRolesOfACallAreHeldFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		has, asked               []optionsv1.Role
		forPCN, forCommissioners bool
	}{
		"a manager":                       {[]optionsv1.Role{manager}, []optionsv1.Role{manager, auditor}, true, false},
		"a director and manager":          {[]optionsv1.Role{director, manager}, []optionsv1.Role{manager, auditor}, true, false},
		"an auditor":                      {[]optionsv1.Role{auditor}, []optionsv1.Role{manager, auditor}, false, true},
		"a manager who audits reads":      {[]optionsv1.Role{manager, auditor}, []optionsv1.Role{manager, director, auditor, preparer}, true, true},
		"a manager who audits changes":    {[]optionsv1.Role{manager, auditor}, []optionsv1.Role{manager, preparer}, true, false},
		"a manager who audits only looks": {[]optionsv1.Role{manager, auditor}, []optionsv1.Role{auditor, preparer}, false, true},
		"a role that is not asked for":    {[]optionsv1.Role{manager, auditor}, []optionsv1.Role{preparer}, false, false},
		"a call without roles":            {[]optionsv1.Role{manager, auditor}, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := auth.Principal{Roles: c.has, Commissioners: []string{"15N", "*"}, PCNs: []string{"U12345"}}
			p := token.As(c.asked...)
			require.Equal(t, c.forPCN, p.HoldsPCN("U12345"))
			require.Equal(t, c.forCommissioners, p.HoldsEngland())
			require.Equal(t, c.forCommissioners, p.HoldsCommissioner("15N"))
			require.Equal(t, c.forCommissioners, p.MaySee("15N", "U99999"))
			require.Equal(t, c.forCommissioners, p.CommissionerScope() == nil, "nil means all of England")
			require.Equal(t, c.has, p.Roles, "the audit log names them all")
			require.Equal(t, []string{"15N", "*"}, token.Commissioners)
		})
	}
}

func TestCommissionerScope_TellsAllFromNone(t *testing.T) {
	t.Parallel()
	require.Nil(t, auth.Principal{Commissioners: []string{"15N", "*"}}.CommissionerScope())
	require.Equal(t, []string{"15N"}, auth.Principal{Commissioners: []string{"15N"}}.CommissionerScope())
	none := auth.Principal{}.CommissionerScope()
	require.NotNil(t, none, "nil would mean all of England")
	require.Empty(t, none)
}

func TestFrom_ReturnsWhatWithStored(t *testing.T) {
	t.Parallel()
	_, ok := auth.From(t.Context())
	require.False(t, ok)
	got, ok := auth.From(auth.With(t.Context(), auth.Principal{Subject: "x"}))
	require.True(t, ok)
	require.Equal(t, "x", got.Subject)
}

func TestRoleNames_RoundTrip(t *testing.T) {
	t.Parallel()
	for number := range optionsv1.Role_name {
		role := optionsv1.Role(number)
		name := auth.RoleName(role)
		got, ok := auth.ParseRole(name)
		require.Equal(t, role != optionsv1.Role_ROLE_UNSPECIFIED, ok, "%s", role)
		if ok {
			require.Equal(t, role, got)
		}
	}
	require.Equal(t, "finance_preparer", auth.RoleName(optionsv1.Role_ROLE_FINANCE_PREPARER))
	for _, name := range []string{"", "unspecified", "FINANCE_PREPARER", "ROLE_FINANCE_PREPARER", "admin"} {
		_, ok := auth.ParseRole(name)
		require.False(t, ok, name)
	}
	require.Equal(t, []string{"auditor"}, auth.Principal{Roles: []optionsv1.Role{optionsv1.Role_ROLE_AUDITOR}}.RoleNames())
}

func TestTiedTo_KeepsThePCNsThatACallLeavesOut(t *testing.T) {
	t.Parallel()
	manager, approver := optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_FINANCE_APPROVER
	const call = "/none/AsksForNoRole"
	both := auth.Principal{Roles: []optionsv1.Role{manager, approver}, Commissioners: []string{"15N"}, PCNs: []string{"U12345"}}
	inCall := both.In(call)
	require.False(t, inCall.HoldsPCN("U12345"), "what a PCN's role allows is not asked for")
	require.True(t, inCall.TiedTo("U12345"))
	require.True(t, inCall.In(call).TiedTo("U12345"))
	require.False(t, inCall.TiedTo("U99999"))
	require.False(t, inCall.TiedTo(""))
	both.Roles = []optionsv1.Role{approver}
	require.False(t, both.In(call).TiedTo("U12345"), "the claim without a role says nothing")
}
