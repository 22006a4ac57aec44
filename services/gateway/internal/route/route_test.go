package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

func all(t *testing.T) []route.Route {
	t.Helper()
	routes, err := route.All(
		"pcnfunding.arrs.v1",
		"pcnfunding.core.v1",
		"pcnfunding.devfund.v1",
		"pcnfunding.iif.v1",
		"pcnfunding.payments.v1",
		"pcnfunding.register.v1",
	)
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
		{"POST", "/v1/arrs/claims", "SubmitClaim", []string{"GET", "POST"}},
		{"POST", "/v1/arrs/claims:check", "CheckClaim", []string{"POST"}},
		{"POST", "/v1/arrs/claims/c1:decide", "DecideClaim", []string{"GET", "POST"}},
		{"POST", "/v1/arrs/claims/imports", "ImportClaims", []string{"GET", "POST"}},
		{"GET", "/v1/arrs/commissioners/15N/months/2022-04:preview", "PreviewMonth", []string{"GET"}},
		{"POST", "/v1/iif/imports", "ImportCounts", []string{"GET", "POST"}},
		{"GET", "/v1/iif/pcns/U12345/years/2023-24", "GetAchievement", []string{"GET"}},
		{"GET", "/v1/iif/pcns/U12345/years/2023-24/standing", "GetStanding", []string{"GET"}},
		{"POST", "/v1/iif/pcns/U12345/years/2023-24/standing:quote", "QuoteCounts", []string{"POST"}},
		{"POST", "/v1/iif/pcns/U12345/years/2023-24:decide-appeal", "DecideAppeal", []string{"GET", "POST"}},
		{"POST", "/v1/iif/commissioners/15N/years/2023-24:calculate", "CalculateYear", []string{"POST"}},
		{"POST", "/v1/devfund/allocations/PCN_DEV-2020-21:share", "DecideSharing", []string{"GET", "POST"}},
		{"GET", "/v1/devfund/years/2021-22/quarters/2/return.csv", "DownloadSystemReturn", []string{"GET"}},
		{"POST", "/v1/devfund/need-weights/imports", "ImportNeedWeights", []string{"POST"}},
		{"POST", "/v1/payments/imports", "Import", []string{"GET", "POST"}},
		{"GET", "/v1/payments/imports", "ListImports", []string{"GET", "POST"}},
		{"POST", "/v1/payments/runs/16C-2022-04-1:approve", "ApproveRun", []string{"GET", "POST"}},
		{"GET", "/v1/payments/runs/16C-2022-04-1/lines.csv", "DownloadRunLines", []string{"GET"}},
		{"POST", "/v1/payments/moves", "ProposeMove", []string{"GET", "POST"}},
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

func TestAll_KnowsUploads(t *testing.T) {
	t.Parallel()
	types := map[string][]string{}
	for _, r := range all(t) {
		if r.Upload != nil {
			require.Equal(t, "POST", r.Verb)
			require.NotNil(t, r.Field("request_id"), "the query is read into the header")
			types[r.Path] = r.Upload.Types()
		}
	}
	require.Equal(t, map[string][]string{
		"/v1/register/imports":             {"text/csv", "application/gzip", "application/octet-stream"},
		"/v1/arrs/claims/imports":          {"text/csv", "application/octet-stream"},
		"/v1/arrs/workforce/imports":       {"text/csv", "application/gzip", "application/octet-stream"},
		"/v1/devfund/need-weights/imports": {"text/csv", "application/gzip", "application/octet-stream"},
		"/v1/iif/imports":                  {"text/csv", "application/gzip", "application/octet-stream"},
		"/v1/payments/imports":             {"text/csv", "application/octet-stream"},
	}, types)
}

func TestAll_LinksFilesToTheirResource(t *testing.T) {
	t.Parallel()
	files := map[string][]route.File{}
	for _, r := range all(t) {
		if len(r.Files) > 0 {
			files[r.Path] = r.Files
		}
	}
	require.Equal(t, map[string][]route.File{
		"/v1/arrs/collation":                                           {{Media: "text/csv", Suffix: ".csv"}},
		"/v1/arrs/schedules/{schedule_id}":                             {{Media: "text/csv", Suffix: "/lines.csv"}},
		"/v1/core/schedules/{schedule_id}":                             {{Media: "text/csv", Suffix: "/lines.csv"}},
		"/v1/iif/schedules/{schedule_id}":                              {{Media: "text/csv", Suffix: "/lines.csv"}},
		"/v1/register/requirement-statuses":                            {{Media: "text/csv", Suffix: ".csv"}},
		"/v1/payments/runs/{run_id}/lines":                             {{Media: "text/csv", Suffix: ".csv"}},
		"/v1/devfund/schedules/{schedule_id}":                          {{Media: "text/csv", Suffix: "/lines.csv"}},
		"/v1/devfund/years/{financial_year}/quarters/{quarter}/return": {{Media: "text/csv", Suffix: ".csv"}},
		"/v1/payments/pcns/{pcn_code}/statements/{period}": {
			{Media: "text/csv", Suffix: "/statement.csv"}, {Media: "application/pdf", Suffix: "/statement.pdf"},
		},
	}, files)
}

func TestValues_AreThoseOfThePath(t *testing.T) {
	t.Parallel()
	found, _ := route.Find(all(t), "GET", "/v1/payments/pcns/U89141/statements/2022-04/statement.pdf")
	require.NotNil(t, found)
	require.True(t, found.IsFile())
	require.Equal(t, []string{"U89141", "2022-04"}, found.Values("/v1/payments/pcns/U89141/statements/2022-04/statement.pdf"))
	require.Equal(t, []string{"a%2Fb", "c"}, found.Values("/v1/payments/pcns/a%2Fb/statements/c/statement.pdf"), "escapes stay")
	require.Empty(t, found.Values("/v1/payments/pcns/U89141"))
}
