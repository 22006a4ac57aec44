package e2e

import (
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrganisations_PageByPageAreTheSameAsAtOnce(t *testing.T) {
	t.Parallel()
	manager := as(t, "pcn_manager", "QWE")
	for _, kind := range []string{"PCN", "COMMISSIONER_LOCATION", "SYSTEM", "REGION"} {
		whole := pages(t, manager, kind, "1000")
		require.NotEmpty(t, whole)
		require.Equal(t, whole, pages(t, manager, kind, "97"), kind)
		codes := make([]string, 0, len(whole))
		for _, o := range whole {
			require.Equal(t, kind, o.Kind)
			codes = append(codes, o.OrganisationCode)
		}
		require.True(t, slices.IsSorted(codes))
		require.Len(t, slices.Compact(codes), len(whole), "none stands twice")
	}
	first := read[organisationList](t, manager, "/v1/register/organisations?kind=PCN")
	require.Len(t, first.Organisations, 100, "the default page")
}

// pages reads a list of organisations to its end.
func pages(t testing.TB, who caller, kind, size string) []organisation {
	t.Helper()
	var out []organisation
	for token := ""; ; {
		query := url.Values{"kind": {kind}, "page_size": {size}, "page_token": {token}}
		got := read[organisationList](t, who, "/v1/register/organisations?"+query.Encode())
		out = append(out, got.Organisations...)
		if token = got.NextPageToken; token == "" {
			return out
		}
		require.NotEmpty(t, got.Organisations)
		require.Less(t, len(out), 10_000, "the list does not end")
	}
}

func TestOrganisation_ShowsItsDatedRelationships(t *testing.T) {
	t.Parallel()
	got := read[organisation](t, as(t, "regional_viewer", "QHM"), "/v1/register/organisations/A81001")
	require.Equal(t, "PRACTICE", got.Kind)
	require.True(t, slices.ContainsFunc(got.Relationships, func(r relationship) bool { return r.Kind == "MEMBER_OF_PCN" && r.OtherCode == "U89141" }))
	require.True(t, slices.ContainsFunc(got.Relationships, func(r relationship) bool { return r.Kind == "COMMISSIONED_BY" && r.OtherCode == "16C" }))
	as(t, "auditor").get(t, "/v1/register/organisations/NOSUCH").refused(t, http.StatusNotFound, "ORGANISATION_UNKNOWN")
}

func TestCommissioners_AreCCGsThenICBs(t *testing.T) {
	t.Parallel()
	integration := as(t, "integration", "15A")
	for day, want := range map[string]int{"2022-04-01": 106, "2022-06-30": 106, "2022-07-01": 42, "2025-04-01": 42} {
		got := read[struct {
			Commissioners []struct {
				Code string `json:"commissioner_code"`
				PCNs int    `json:"pcn_count"`
			} `json:"commissioners"`
		}](t, integration, "/v1/register/commissioners?on_date="+day)
		require.Len(t, got.Commissioners, want, day)
	}
}

func TestSnapshot_IsFoundAgainByItsIdentifier(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "10Q")
	path := "/v1/register/snapshot?commissioner_code=10Q&membership_date=2022-04-01"
	taken := read[map[string]any](t, preparer, path)
	id, ok := taken["snapshot_id"].(string)
	require.True(t, ok)
	found := read[map[string]any](t, preparer, "/v1/register/snapshots/"+id+"?commissioner_code=10Q")
	delete(taken, "known_at") // the moment of asking, which is no part of the picture
	delete(found, "known_at")
	require.Equal(t, taken, found)
	closed := read[schedule](t, preparer, "/v1/core/schedules/core-10Q-2022-04-1")
	used := read[snapshot](t, preparer, "/v1/register/snapshots/"+closed.SnapshotID+"?commissioner_code=10Q")
	require.Equal(t, closed.SnapshotID, used.SnapshotID, "the picture that a close rests on is kept")

	other := as(t, "finance_preparer", "11M")
	other.get(t, "/v1/register/snapshots/"+id+"?commissioner_code=11M").refused(t, http.StatusNotFound, "SNAPSHOT_NOT_FOUND")
	other.get(t, "/v1/register/snapshots/"+id+"?commissioner_code=10Q").refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	other.get(t, "/v1/register/snapshots/"+strings.Repeat("0", 64)+"?commissioner_code=11M").refused(t, http.StatusNotFound, "SNAPSHOT_NOT_FOUND")
}

func TestCoverage_AgreesWithTheSnapshot(t *testing.T) {
	t.Parallel()
	viewer := as(t, "regional_viewer", "14Y", "QU9")
	for commissioner, day := range map[string]string{"14Y": "2022-04-01", "QU9": "2025-04-01"} {
		got := read[coverage](t, viewer, "/v1/register/coverage?commissioner_code="+commissioner+"&membership_date="+day)
		picture := read[snapshot](t, viewer, "/v1/register/snapshot?commissioner_code="+commissioner+"&membership_date="+day)
		require.Equal(t, picture.SnapshotID, got.SnapshotID)
		require.NotEmpty(t, picture.PCNs)
		patients := new(big.Rat)
		for _, pcn := range picture.PCNs {
			for _, practice := range pcn.Practices {
				patients.Add(patients, exact(t, practice.population("REGISTERED")))
			}
		}
		require.Equal(t, patients.Num().Int64(), got.RegisteredPatientsInPCN)
		require.Positive(t, got.Practices)
		require.LessOrEqual(t, got.PracticesInPCN, got.Practices)
		require.LessOrEqual(t, got.RegisteredPatientsInPCN, got.RegisteredPatients)
		share := halfUp(big.NewRat(got.RegisteredPatientsInPCN*10_000, got.RegisteredPatients), 0)
		require.Equal(t, share.Num().Int64(), got.CoveredBasisPoints)
	}
}

func TestAudit_ListsDecisionsNewestFirst(t *testing.T) {
	t.Parallel()
	preparer, auditor := as(t, "finance_preparer", "11M"), as(t, "auditor", "11M")
	pcn := firstPCN(t, preparer, "11M", "2022-04").PCNCode
	var made []string
	for range 3 {
		w := write[withholding](t, preparer, "/v1/core/withholdings", fields{
			"request_id": unique(), "commissioner_code": "11M", "pcn_code": pcn, "payment_code": "NPP", "from_month": "2022-06", "reason": "e2e audit",
		})
		made = append(made, "core/withholdings/"+w.WithholdingID)
	}
	slices.Reverse(made)
	list := read[auditList](t, auditor, "/v1/core/audit?commissioner_code=11M&page_size=3")
	var resources []string
	for _, e := range list.Entries {
		resources = append(resources, e.Resource)
		require.Equal(t, "11M", e.CommissionerCode)
		require.Equal(t, "/pcnfunding.core.v1.CoreService/WithholdPayment", e.Method)
		require.Equal(t, []string{"finance_preparer"}, e.Roles)
		require.NotEmpty(t, e.Actor)
		require.NotEmpty(t, e.At)
		require.NotEmpty(t, e.Summary)
	}
	require.Equal(t, made, resources)
	next := read[auditList](t, auditor, "/v1/core/audit?commissioner_code=11M&page_size=3&page_token="+url.QueryEscape(list.NextPageToken))
	require.NotEmpty(t, next.Entries, "the close of the sample is there")
	require.NotContains(t, resources, next.Entries[0].Resource)
	auditor.get(t, "/v1/core/audit?commissioner_code=10Q").refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	for _, e := range read[auditList](t, auditor, "/v1/core/audit").Entries {
		require.Equal(t, "11M", e.CommissionerCode)
	}
	preparer.get(t, "/v1/core/audit?commissioner_code=11M").refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	register := read[auditList](t, as(t, "auditor"), "/v1/register/audit?page_size=1000")
	require.True(t, slices.ContainsFunc(register.Entries, func(e auditEntry) bool {
		return e.Method == "/pcnfunding.register.v1.RegisterService/Import" && strings.HasPrefix(e.Resource, "register/loads/")
	}))
}

func TestPages_ServeTheContractAndItsReference(t *testing.T) {
	t.Parallel()
	nobody := caller{}
	spec := nobody.get(t, "/openapi.json")
	require.Equal(t, http.StatusOK, spec.Status)
	var document struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(spec.Body, &document))
	require.True(t, strings.HasPrefix(document.OpenAPI, "3."))
	require.Contains(t, document.Paths, "/v1/register/imports")
	require.Contains(t, document.Paths, "/v1/core/schedules/{schedule_id}/lines.csv")
	for path, operations := range document.Paths {
		for verb, operation := range operations {
			require.NotEmpty(t, operation["summary"], "%s %s", verb, path)
			require.NotEmpty(t, operation["responses"], "%s %s", verb, path)
		}
	}
	docs := nobody.get(t, "/docs/")
	require.Equal(t, http.StatusOK, docs.Status)
	require.Contains(t, string(docs.Body), "<html")
	require.Contains(t, string(docs.Body), "/openapi.json")
	require.NotContains(t, docs.Header.Get("Content-Security-Policy"), "http", "nothing is loaded from elsewhere")
	for _, path := range []string{"/healthz", "/readyz", "/status", "/metrics"} {
		require.Equal(t, http.StatusOK, nobody.get(t, path).Status, path)
	}
	require.Equal(t, http.StatusFound, nobody.get(t, "/").Status)
	keys := nobody.get(t, "/.well-known/jwks.json")
	require.NotContains(t, string(keys.Body), `"d"`, "the private part stays inside")
}

func TestETag_AnswersNotModified(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	got := auditor.get(t, "/v1/core/rates/NPP-2022-04")
	tag := got.Header.Get("Etag")
	require.Regexp(t, `^"[^"]+"$`, tag)
	for _, header := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		same := auditor.get(t, "/v1/core/rates/NPP-2022-04", "If-None-Match", header)
		require.Equal(t, http.StatusNotModified, same.Status, header)
		require.Empty(t, same.Body)
	}
	require.Equal(t, http.StatusOK, auditor.get(t, "/v1/core/rates/NPP-2022-04", "If-None-Match", `"x"`).Status)
}

func TestHead_IsGetWithoutTheBody(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	want := auditor.get(t, "/v1/core/rates/NPP-2022-04")
	got := auditor.call(t, request{method: http.MethodHead, path: "/v1/core/rates/NPP-2022-04"})
	require.Equal(t, http.StatusOK, got.Status)
	require.Empty(t, got.Body)
	require.Equal(t, want.Header.Get("Content-Length"), got.Header.Get("Content-Length"))
}
