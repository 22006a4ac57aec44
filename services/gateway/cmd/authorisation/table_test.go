package main

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

func TestTable_IsCommitted(t *testing.T) {
	t.Parallel()
	want, err := table(gateway.Packages(), auth.Rules())
	require.NoError(t, err)
	got, err := os.ReadFile("../../../../docs/authorisation.md")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run make generate")
}

func TestTable_RefusesACallWithoutARule(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*auth.MethodRule){
		"nothing declared": func(r *auth.MethodRule) { r.Declared = false },
		"no roles":         func(r *auth.MethodRule) { r.Roles = nil },
		"no scope":         func(r *auth.MethodRule) { r.Scope = optionsv1.Scope_SCOPE_UNSPECIFIED },
		"no route":         func(r *auth.MethodRule) { r.Method = "/pcnfunding.core.v1.CoreService/NoSuchCall" },
	} {
		rules := slices.Clone(auth.Rules())
		change(&rules[7])
		_, err := table(gateway.Packages(), rules)
		require.ErrorContains(t, err, rules[7].Method[len("/pcnfunding."):len("/pcnfunding.core")], name)
	}
}

func TestTable_KnowsEveryRole(t *testing.T) {
	t.Parallel()
	for number := range optionsv1.Role_name {
		role := optionsv1.Role(number)
		known := slices.ContainsFunc(columns, func(c column) bool { return c.role == role })
		require.Equal(t, role != optionsv1.Role_ROLE_UNSPECIFIED, known, role)
	}
}
