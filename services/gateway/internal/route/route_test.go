package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

func all(t *testing.T) []route.Route {
	t.Helper()
	routes, err := route.All("pcnfunding.core.v1", "pcnfunding.register.v1")
	require.NoError(t, err)
	return routes
}

func TestFind_TellsRoutesApart(t *testing.T) {
	t.Parallel()
	routes := all(t)
	for _, c := range []struct {
		verb, path, method string
		verbs              []string
	}{
		{"GET", "/v1/core/rates", "ListRates", []string{"GET", "POST"}},
		{"POST", "/v1/core/rates", "AddRate", []string{"GET", "POST"}},
		{"GET", "/v1/core/rates/r1", "GetRate", []string{"GET"}},
		{"POST", "/v1/core/rates/r1:confirm", "ConfirmRate", []string{"GET", "POST"}},
		{"GET", "/v1/core/rates/r1:confirm", "GetRate", []string{"GET", "POST"}},
		{"GET", "/v1/core/commissioners/15N/months/2022-04:preview", "PreviewMonth", []string{"GET"}},
		{"POST", "/v1/register/imports", "Import", []string{"POST"}},
		{"GET", "/v1/register/snapshots/abc", "GetSnapshot", []string{"GET"}},
		{"PUT", "/v1/core/rates", "", []string{"GET", "POST"}},
		{"GET", "/v1/core/rates/", "", nil},
		{"GET", "/v1/core/rates/a/b", "", nil},
		{"GET", "/v2/core/rates", "", nil},
	} {
		found, verbs := route.Find(routes, c.verb, c.path)
		require.Equal(t, c.verbs, verbs, c.path)
		if c.method == "" {
			require.Nil(t, found, c.path)
			continue
		}
		require.NotNil(t, found, c.path)
		require.Equal(t, c.method, string(found.Method.Name()), c.path)
	}
}

func TestFields_LeaveOutThePath(t *testing.T) {
	t.Parallel()
	found, _ := route.Find(all(t), "POST", "/v1/core/commissioners/15N/months/2022-04:close")
	require.NotNil(t, found)
	require.Equal(t, []string{"commissioner_code", "month"}, found.PathFields)
	var names []string
	for _, f := range found.Fields() {
		names = append(names, string(f.Name()))
	}
	require.Equal(t, []string{"request_id", "omit_lines"}, names)
	require.True(t, found.Mutates())
}
