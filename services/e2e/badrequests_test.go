package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBadMonth_IsRefusedAndNothingIsClosed(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer")
	for _, c := range []struct {
		commissioner, month, reason string
		status                      int
	}{
		{"71E", "2025-04", "COMMISSIONER_NOT_IN_FORCE", 400},
		{"QJM", "2022-04", "COMMISSIONER_NOT_IN_FORCE", 400},
		{"QJM", "2022-06", "COMMISSIONER_NOT_IN_FORCE", 400},
		{"71E", "2022-07", "COMMISSIONER_NOT_IN_FORCE", 400},
		{"NONSENSE", "2022-04", "ORGANISATION_UNKNOWN", 404},
		{"U89141", "2022-04", "ORGANISATION_UNKNOWN", 404},
		{"Y63", "2022-04", "ORGANISATION_UNKNOWN", 404},
		{"71E", "2099-12", "MONTH_NOT_STARTED", 400},
		{"71E", "2022-13", "MONTH_MALFORMED", 400},
		{"71E", "2022-00", "MONTH_MALFORMED", 400},
		{"71E", "0000-01", "MONTH_MALFORMED", 400},
		{"71E", "2022-4", "REQUEST_INVALID", 400},
		{"71E", "2022-04-01", "REQUEST_INVALID", 400},
		{"71E", "٢٠٢٢-٠٤", "REQUEST_INVALID", 400},
		{"71E", "2019-03", "MONTH_WITHOUT_RATES", 400},
		{"ABCDEFGHIJKLM", "2022-04", "REQUEST_INVALID", 400},
	} {
		path := "/v1/core/commissioners/" + c.commissioner + "/months/" + url.PathEscape(c.month)
		t.Run(c.commissioner+" "+c.month, func(t *testing.T) {
			preparer.post(t, path+":close", fields{"request_id": unique()}).refused(t, c.status, c.reason)
			preparer.get(t, path+":preview").refused(t, c.status, c.reason)
		})
		if c.reason == "REQUEST_INVALID" {
			continue
		}
		if c.month == "2022-04" || c.month == "2025-04" {
			list := read[scheduleList](t, preparer, "/v1/core/schedules?page_size=1000&month="+c.month+"&commissioner_code="+c.commissioner)
			require.Empty(t, list.Schedules, "%s %s", c.commissioner, c.month)
		}
	}
	list := read[scheduleList](t, preparer, "/v1/core/schedules?commissioner_code=71E")
	require.Len(t, list.Schedules, 1, "only the sample's")
}

// withhold is a request that would be accepted.
func withhold(t testing.TB, who caller, commissioner string) fields {
	t.Helper()
	return fields{
		"request_id": unique(), "commissioner_code": commissioner, "pcn_code": firstPCN(t, who, commissioner, "2022-04").PCNCode,
		"payment_code": "NPP", "from_month": "2022-06", "reason": "e2e",
	}
}

func TestBadBody_IsRefusedAndNothingIsStored(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "72Q")
	good := withhold(t, preparer, "72Q")
	for _, c := range []struct {
		name, reason string
		body         fields
	}{
		{"unknown field", "UNKNOWN_FIELD", good.with("colour", "red")},
		{"number for a string", "JSON_INVALID", good.with("reason", 5)},
		{"list for a string", "JSON_INVALID", good.with("reason", []string{"x"})},
		{"object for a string", "JSON_INVALID", good.with("reason", fields{"x": 1})},
		{"no reason", "REQUEST_INVALID", good.with("reason", "")},
		{"null reason", "REQUEST_INVALID", good.with("reason", nil)},
		{"long reason", "REQUEST_INVALID", good.with("reason", strings.Repeat("é", 501))},
		{"long code", "REQUEST_INVALID", good.with("pcn_code", strings.Repeat("U", 13))},
		{"long request id", "REQUEST_INVALID", good.with("request_id", strings.Repeat("r", 129))},
		{"no request id", "REQUEST_ID_REQUIRED", good.with("request_id", "")},
		{"no commissioner", "ENGLAND_REQUIRED", good.with("commissioner_code", "")},
		{"month 13", "MONTH_MALFORMED", good.with("from_month", "2022-13")},
		{"month in words", "REQUEST_INVALID", good.with("from_month", "June")},
		{"months reversed", "MONTH_MALFORMED", good.with("to_month", "2022-05")},
		{"unknown payment", "PAYMENT_UNKNOWN", good.with("payment_code", "GOLD")},
		{"unknown PCN", "PCN_NOT_FOUND", good.with("pcn_code", "U00000")},
		{"PCN of another", "PCN_NOT_FOUND", good.with("pcn_code", "U89141")},
		{"NUL", "REQUEST_INVALID", good.with("reason", "a\x00b")},
		{"NUL in the request id", "REQUEST_INVALID", good.with("request_id", "a\x00b")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := preparer.post(t, "/v1/core/withholdings", c.body)
			require.GreaterOrEqual(t, got.Status, 400, "%s", got)
			got.refused(t, got.Status, c.reason)
		})
	}
	require.Empty(t, read[withholdingList](t, preparer, "/v1/core/withholdings?commissioner_code=72Q").Withholdings)
}

func TestBadJSON_IsRefused(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "78H")
	for _, body := range []string{
		"", "{", "[]", "null", `"text"`, "1", "{}{}", `{"request_id":"a",}`, `{'request_id':'a'}`, "{\"request_id\":\"a\xff\"}", `{"request_id":"\ud800"}`,
		`{"request_id":"a","request_id":"b"}`, `{"request_id":"a","requestId":"b"}`, `{"omit_lines":"yes"}`, `{"omit_lines":1}`, "\ufeff{}", "\x00",
		`{"request_id":` + strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 50_000), `{"omit_lines":1e400}`, "<x/>",
	} {
		got := preparer.postRaw(t, "/v1/core/commissioners/78H/months/2022-04:close", []byte(body))
		require.Equal(t, http.StatusBadRequest, got.Status, "%.60q: %s", body, got)
		require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"), "%.60q", body)
	}
	require.Len(t, read[scheduleList](t, preparer, "/v1/core/schedules?commissioner_code=78H").Schedules, 1, "only the sample's")
}

func TestBadNumber_IsRefusedByTheCallThatRecordsIt(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	body := fields{
		"request_id": unique(), "organisation_code": "A81001", "kind": "POPULATION_KIND_REGISTERED", "reference_date": "2019-01-01", "value": "1", "source": unique(),
	}
	for value, reason := range map[string]string{
		"1e9": "NUMBER_MALFORMED", "-5": "NUMBER_OUT_OF_RANGE", "٣": "NUMBER_MALFORMED", "NaN": "NUMBER_MALFORMED", "1,234": "NUMBER_MALFORMED",
		"1.5": "NUMBER_OUT_OF_RANGE", "0x1F": "NUMBER_MALFORMED", "1_000": "NUMBER_MALFORMED", "+1": "NUMBER_MALFORMED", "Infinity": "NUMBER_MALFORMED",
		"5000001": "NUMBER_OUT_OF_RANGE", "1/3": "NUMBER_MALFORMED", ".5": "NUMBER_MALFORMED", "5.": "NUMBER_MALFORMED", "１": "NUMBER_MALFORMED",
		" 5": "NUMBER_MALFORMED", "--1": "NUMBER_MALFORMED", "99999999999999999999": "NUMBER_OUT_OF_RANGE", "": "REQUEST_INVALID",
		"999999999999999999999": "REQUEST_INVALID",
	} {
		t.Run("value "+value, func(t *testing.T) {
			operator.post(t, "/v1/register/populations", body.with("value", value)).refused(t, http.StatusBadRequest, reason)
		})
	}
	for field, values := range map[string]map[string]any{
		"reference_date":     {"DATE_MALFORMED": "2022-02-30", "REQUEST_INVALID": "30/02/2022"},
		"kind":               {"REQUEST_INVALID": "POPULATION_KIND_UNSPECIFIED", "JSON_INVALID": "SHEEP"},
		"applied_from_month": {"MONTH_MALFORMED": "2022-13"},
		"organisation_code":  {"CODE_MALFORMED": "A81 001"},
	} {
		for reason, value := range values {
			t.Run(field+" "+reason, func(t *testing.T) {
				operator.post(t, "/v1/register/populations", body.with(field, value)).refused(t, http.StatusBadRequest, reason)
			})
		}
	}
	operator.post(t, "/v1/register/populations", body.with("organisation_code", "ZZ9999")).refused(t, http.StatusNotFound, "ORGANISATION_UNKNOWN")
	operator.post(t, "/v1/register/populations", body.with("request_id", "")).refused(t, http.StatusBadRequest, "REQUEST_ID_REQUIRED")
	beds := fields{"request_id": unique(), "pcn_code": "U89141", "month": "2019-07", "beds": "1", "coding_satisfied": true, "source": body["source"]}
	for value, reason := range map[any]string{"1e9": "REQUEST_INVALID", -1: "REQUEST_INVALID", "1,234": "JSON_INVALID", 1.5: "JSON_INVALID", "٣": "JSON_INVALID", "NaN": "JSON_INVALID", 100_001: "REQUEST_INVALID"} {
		operator.post(t, "/v1/register/care-home-beds", beds.with("beds", value)).refused(t, http.StatusBadRequest, reason)
	}
	operator.post(t, "/v1/register/care-home-beds", beds.with("month", "2022-13")).refused(t, http.StatusBadRequest, "MONTH_MALFORMED")
	for _, l := range read[loadList](t, operator, "/v1/register/loads?kind=RECORDED&page_size=1000").Loads {
		require.NotEqual(t, body["source"], l.Source, "nothing was stored")
	}
}

func TestBadQuery_IsRefused(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	organisations := read[organisationList](t, auditor, "/v1/register/organisations?kind=PCN&page_size=1")
	for path, reason := range map[string]string{
		"/v1/register/organisations?kind=PCN&page_size=100000":                                                    "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&page_size=-1":                                                        "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&page_size=ten":                                                       "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&page_size=99999999999999999999":                                      "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&page_size=1&page_size=2":                                             "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&page_token=!!":                                                       "PAGE_TOKEN_INVALID",
		"/v1/register/organisations?kind=PCN&page_token=AAAA":                                                     "PAGE_TOKEN_INVALID",
		"/v1/register/organisations?kind=PCN&page_token=" + strings.Repeat("A", 501):                              "REQUEST_INVALID",
		"/v1/register/loads?page_token=" + url.QueryEscape(organisations.NextPageToken):                           "PAGE_TOKEN_INVALID",
		"/v1/core/rates?page_token=%21":                                                                           "PAGE_TOKEN_INVALID",
		"/v1/core/schedules?page_token=%21":                                                                       "PAGE_TOKEN_INVALID",
		"/v1/core/withholdings?page_token=%21":                                                                    "PAGE_TOKEN_INVALID",
		"/v1/core/declarations?page_token=%21":                                                                    "PAGE_TOKEN_INVALID",
		"/v1/core/settings?page_token=%21":                                                                        "PAGE_TOKEN_INVALID",
		"/v1/core/audit?page_token=%21":                                                                           "PAGE_TOKEN_INVALID",
		"/v1/register/audit?page_token=%21":                                                                       "PAGE_TOKEN_INVALID",
		"/v1/register/organisations?kind=SHEEP":                                                                   "REQUEST_INVALID",
		"/v1/register/organisations":                                                                              "REQUEST_INVALID",
		"/v1/register/organisations?kind=PCN&colour=red":                                                          "UNKNOWN_FIELD",
		"/v1/register/organisations?kind=PCN&page_token=%00":                                                      "TEXT_INVALID",
		"/v1/register/organisations?kind=PCN&page_token=%ff":                                                      "TEXT_INVALID",
		"/v1/register/organisations?kind=PCN&page_token=%zz":                                                      "TEXT_INVALID",
		"/v1/register/organisations/A%00":                                                                         "TEXT_INVALID",
		"/v1/register/commissioners?on_date=2022-02-30":                                                           "DATE_MALFORMED",
		"/v1/register/commissioners?on_date=tomorrow":                                                             "REQUEST_INVALID",
		"/v1/register/commissioners":                                                                              "REQUEST_INVALID",
		"/v1/register/snapshot?commissioner_code=78H":                                                             "VALUE_MISSING",
		"/v1/register/snapshot?commissioner_code=78H&membership_date=2022-04-01&known_at=2999-01-01T00:00:00Z":    "KNOWN_AT_IN_FUTURE",
		"/v1/register/snapshot?commissioner_code=78H&membership_date=2022-04-01&known_at=never":                   "REQUEST_INVALID",
		"/v1/register/snapshot?commissioner_code=78H&membership_date=2022-04-01&population_reference_date=2022-2": "REQUEST_INVALID",
		"/v1/core/commissioners/78H/months/2022-04:preview?known_at=2999-01-01T00:00:00Z":                         "KNOWN_AT_IN_FUTURE",
		"/v1/core/months/2022-13/summary":                                                                         "MONTH_MALFORMED",
		"/v1/core/schedules?month=2022-13":                                                                        "MONTH_MALFORMED",
		"/v1/core/pcns/U89141/months/2022-13":                                                                     "MONTH_MALFORMED",
		"/v1/core/rates?on_date=2022-02-30":                                                                       "",
	} {
		t.Run(path, func(t *testing.T) {
			got := auditor.get(t, path)
			require.Equal(t, http.StatusBadRequest, got.Status, "%s", got)
			if reason != "" {
				p := got.refused(t, http.StatusBadRequest, reason)
				require.NotContains(t, p.Detail, "strconv", "words of the code are no words for callers")
			}
		})
	}
}

func TestHTTP_IsUsedAsItShouldBe(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "84H")
	path := "/v1/core/commissioners/84H/months/2022-04:close"
	for _, media := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "", "x"} {
		got := preparer.call(t, request{method: http.MethodPost, path: path, body: strings.NewReader("{}"), headers: []string{"Content-Type", media}})
		got.refused(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	}
	preparer.post(t, path, fields{}, "Content-Encoding", "gzip").refused(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	operator := as(t, "operator")
	operator.upload(t, "application/json", strings.NewReader("{}"), sourced("e2e")).refused(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	operator.upload(t, "multipart/form-data; boundary=x", strings.NewReader("--x--"), sourced("e2e")).refused(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")

	large := &repeated{part: bytes.Repeat([]byte(" "), 32<<10), left: 5 << 20}
	got := preparer.call(t, request{method: http.MethodPost, path: path, body: io.MultiReader(strings.NewReader("{"), large), headers: []string{"Content-Type", "application/json"}})
	got.refused(t, http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE")

	for _, unknown := range []string{"/v1", "/v1/", "/v1/core", "/v1/core/nothing", "/v2/core/rates", "/v1/core/rates/", "/v1/core/rates/x/y", "/nothing", "/v1/CORE/rates"} {
		preparer.get(t, unknown).refused(t, http.StatusNotFound, "ROUTE_NOT_FOUND")
	}
	for method, target := range map[string]string{
		http.MethodDelete: "/v1/core/rates/NPP-2022-04", http.MethodPut: "/v1/core/withholdings", http.MethodPatch: path, http.MethodGet: path,
		http.MethodPost: "/v1/core/schedules", http.MethodOptions: "/v1/core/rates", "BREW": "/v1/core/rates",
	} {
		refused := preparer.call(t, request{method: method, path: target})
		refused.refused(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
		require.NotEmpty(t, refused.Header.Get("Allow"), method)
	}
	for _, page := range []string{"/readyz", "/docs/", "/openapi.json", "/metrics"} {
		require.Equal(t, http.StatusMethodNotAllowed, preparer.call(t, request{method: http.MethodPost, path: page}).Status, page)
	}
	require.Len(t, read[scheduleList](t, preparer, "/v1/core/schedules?commissioner_code=84H").Schedules, 1, "only the sample's")
}

func TestHeaders_AreChecked(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	got := auditor.get(t, probe, "X-Correlation-Id", "e2e-1234")
	require.Equal(t, "e2e-1234", got.Header.Get("X-Correlation-Id"))
	for _, odd := range []string{"a b", "<script>", strings.Repeat("x", 65), ""} {
		id := auditor.get(t, probe, "X-Correlation-Id", odd).Header.Get("X-Correlation-Id")
		require.NotEmpty(t, id)
		require.NotEqual(t, odd, id, "a malformed id is replaced")
	}
	for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Referrer-Policy"} {
		require.NotEmpty(t, got.Header.Get(name), name)
	}
	preparer := as(t, "finance_preparer", "84H")
	close84 := "/v1/core/commissioners/84H/months/2022-04:close"
	preparer.post(t, close84, fields{}, "Idempotency-Key", strings.Repeat("k", 129)).refused(t, http.StatusBadRequest, "REQUEST_INVALID")
	preparer.post(t, close84, fields{}, "Idempotency-Key", "é").refused(t, http.StatusBadRequest, "HEADER_INVALID")
	preparer.post(t, close84, fields{}, "Idempotency-Key", "a", "Idempotency-Key", "b").refused(t, http.StatusBadRequest, "HEADER_INVALID")
	preparer.post(t, close84, fields{"request_id": unique()}, "If-Match", `"a", "b"`).refused(t, http.StatusBadRequest, "HEADER_INVALID")
}

func TestIfMatch_ThatContradictsTheBodyIsRefused(t *testing.T) {
	t.Parallel()
	preparer, approver := as(t, "finance_preparer", "91Q"), as(t, "finance_approver", "91Q")
	held := write[withholding](t, preparer, "/v1/core/withholdings", withhold(t, preparer, "91Q"))
	got := approver.post(t, "/v1/core/withholdings/"+held.WithholdingID+":release", fields{
		"request_id": unique(), "commissioner_code": "91Q", "reason": "e2e", "etag": held.ETag,
	}, "If-Match", `"stale"`)
	require.Contains(t, []int{http.StatusBadRequest, http.StatusPreconditionFailed}, got.Status, "a condition that fails must hold the change back: %s", got)
}
