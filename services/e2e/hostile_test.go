package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hostile are texts that have broken systems before: markup, queries, paths, formats, characters that hide or reverse others.
var hostile = []string{
	"", " ", "  leading", "trailing  ", "\u00a0no break\u00a0", "\t", "a\nb", "a\r\nSet-Cookie: x=y", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x7f", "\u0085", "\u200b",
	"\ufeffmark", "\u202egnp.exe", "\u2066isolated\u2069", "שלום עולם", "مرحبا", "日本語テキスト", "👩‍👩‍👧‍👦 🏥", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A", "e\u0301 is not é", "\ufffd", "\U0010ffff",
	"' OR '1'='1", `"; DROP TABLE loads;--`, "%s%n%x", "$1", "{{7*7}}", "${jndi:ldap://x/a}", "<script>alert(1)</script>", "&lt;&amp;", "=cmd|' /C calc'!A0", "+1", "@SUM(A1)",
	"../../../etc/passwd", `C:\con\nul`, "%00%2e%2e%2f", "NULL", "null", "undefined", "NaN", "-1", "1e309", "true", "[]", `{"a":1}`, `\u0000`, "\\", `"`, "'", "`id`", "$(id)",
	strings.Repeat("x", 100), strings.Repeat("é", 200), strings.Repeat("x", 501), strings.Repeat("👩‍👩‍👧‍👦", 5000), strings.Repeat("A", 100_000),
}

// attempt posts a request with one field made hostile and tells whether it was accepted. A refusal must be well formed, name a
// reason and repeat no long value.
func attempt(t testing.TB, who caller, path string, body fields, into any) bool {
	t.Helper()
	got := who.post(t, path, body)
	if got.Status == http.StatusOK {
		got.read(t, into)
		return true
	}
	require.GreaterOrEqual(t, got.Status, 400, "%s", got)
	require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
	var p problem
	require.NoError(t, json.Unmarshal(got.Body, &p))
	require.NotEmpty(t, p.Reason)
	require.Less(t, len(got.Body), 4096)
	return false
}

// Not parallel: each accepted payee is a load of its own, after which others would wait for new pictures.
func TestHostileText_OfAPayeeIsRefusedOrKeptAsItIs(t *testing.T) {
	operator := named(t, "hostile.operator", "operator")
	good := fields{"organisation_code": "U16464", "payee_code": "E2E99", "payee_name": "PAYEE", "effective_from": "2098-06-01", "source": "e2e hostile"}
	accepted := make(map[string]int)
	for _, name := range []string{"request_id", "commissioner_code", "organisation_code", "payee_code", "payee_name", "effective_from", "source"} {
		for _, text := range hostile {
			body := good.with("request_id", unique()).with(name, text)
			var got load
			if !attempt(t, operator, "/v1/register/payees", body, &got) {
				continue
			}
			accepted[name]++
			t.Run(fmt.Sprintf("%s %.20q", name, text), func(t *testing.T) { requireKept(t, operator, body, got) })
		}
	}
	require.Zero(t, accepted["effective_from"], "a date takes none of them")
	require.Zero(t, accepted["organisation_code"], "nor does the code of an organisation")
	require.Equal(t, 1, accepted["commissioner_code"], "nor does a commissioner, but for none")
	require.Positive(t, accepted["payee_name"])
	require.Positive(t, accepted["source"])
}

// requireKept checks that a payee reads back as it was accepted.
func requireKept(t testing.TB, who caller, body fields, got load) {
	t.Helper()
	require.Equal(t, body["source"], read[load](t, who, "/v1/register/loads/"+got.LoadID).Source)
	payees := read[organisation](t, who, "/v1/register/organisations/U16464").Relationships
	at := slices.IndexFunc(payees, func(r relationship) bool { return r.Kind == "PAID_TO" && r.LoadID == got.LoadID })
	require.GreaterOrEqual(t, at, 0, "the payee is not among the organisation's relationships")
	require.Equal(t, body["payee_name"], payees[at].OtherName)
	code, ok := body["payee_code"].(string)
	require.True(t, ok)
	require.Equal(t, strings.ToUpper(code), payees[at].OtherCode, "codes are kept in capitals")
}

func TestHostileText_OfAWithholdingIsRefusedOrKeptAsItIs(t *testing.T) {
	t.Parallel()
	preparer, auditor := named(t, "hostile.preparer", "finance_preparer", "A3A8R"), as(t, "auditor", "A3A8R")
	good := withhold(t, preparer, "A3A8R")
	accepted := make(map[string]int)
	var want []withholding
	for _, name := range []string{"request_id", "commissioner_code", "pcn_code", "payment_code", "from_month", "to_month", "reason"} {
		for _, text := range hostile {
			body := good.with("request_id", unique()).with(name, text)
			var got withholding
			if !attempt(t, preparer, "/v1/core/withholdings", body, &got) {
				continue
			}
			accepted[name]++
			want = append(want, got)
			t.Run(fmt.Sprintf("%s %.20q", name, text), func(t *testing.T) { require.Equal(t, body["reason"], got.Reason) })
		}
	}
	require.Equal(t, map[string]int{"request_id": accepted["request_id"], "to_month": 1, "reason": accepted["reason"]}, accepted, "codes and months take none of them")
	require.Positive(t, accepted["reason"])
	slices.Reverse(want)
	require.Equal(t, want, read[withholdingList](t, auditor, "/v1/core/withholdings?page_size=1000&commissioner_code=A3A8R").Withholdings)
}

func TestHostileText_InPathsAndQueriesFindsNothing(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	for _, text := range hostile {
		if text == "" || len(text) > 1000 {
			continue // no segment of a path, or beyond what a URL holds
		}
		segment, value := url.PathEscape(text), url.QueryEscape(text)
		for _, path := range []string{
			"/v1/register/organisations/" + segment, "/v1/register/loads/" + segment, "/v1/core/schedules/" + segment, "/v1/core/schedules/" + segment + "/lines.csv",
			"/v1/core/lines/" + segment, "/v1/core/rates/" + segment, "/v1/core/pcns/" + segment + "/months/2022-04", "/v1/core/commissioners/" + segment + "/months/2022-04:preview",
			"/v1/register/snapshots/" + segment, "/v1/payments/runs/" + segment, "/v1/payments/runs/" + segment + "/lines.csv", "/v1/payments/runs/" + segment + "/variance",
			"/v1/payments/exports/" + segment, "/v1/payments/payments/" + segment, "/v1/payments/imports/" + segment + "/rows",
			"/v1/payments/pcns/" + segment + "/statements/2022-04", "/v1/payments/pcns/U89141/statements/" + segment + "/statement.pdf",
			"/v1/payments/commissioners/16C/months/" + segment + "/accruals",
		} {
			got := auditor.get(t, path)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, got.Status, "%q: %s", path, got)
			require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
			require.Empty(t, got.Header.Get("Set-Cookie"))
		}
		for _, path := range []string{
			"/v1/core/schedules?commissioner_code=" + value, "/v1/core/rates?payment_code=" + value, "/v1/core/rates?page_token=" + value,
			"/v1/payments/runs?month=" + value, "/v1/payments/postings?line_id=" + value, "/v1/payments/postings?source=" + value, "/v1/payments/payments?page_token=" + value,
			"/v1/payments/commissioners/16C/trial-balance?effective_to=" + value, "/v1/payments/commissioners/16C/reconciliation?from_month=" + value,
			"/v1/register/organisations?kind=" + value, "/v1/register/snapshot?membership_date=2022-04-01&commissioner_code=" + value,
		} {
			got := auditor.get(t, path)
			require.Contains(t, []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound}, got.Status, "%q: %s", path, got)
		}
	}
}

func TestHostileText_OfAHoldIsRefusedOrKeptAsItIs(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "00X")
	payee := o.sample(t).Lines[0].Payee.Code
	good := fields{"commissioner_code": "00X", "payee_code": payee, "reason": "e2e hostile"}
	accepted := make(map[string]int)
	var want []hold
	for _, name := range []string{"request_id", "commissioner_code", "payee_code", "line_id", "reason"} {
		for _, text := range hostile {
			body := good.with("request_id", unique()).with(name, text)
			var got hold
			if !attempt(t, o.preparer, "/v1/payments/holds", body, &got) {
				continue
			}
			accepted[name]++
			require.Equal(t, body["reason"], got.Reason)
			want = append(want, o.release(t, got)) // a payee is held once at a time
		}
	}
	require.Positive(t, accepted["reason"])
	require.Zero(t, accepted["commissioner_code"])
	require.Equal(t, 1, accepted["line_id"], "none but no line")
	require.Empty(t, o.holdsOf(t))
	slices.Reverse(want)
	require.Equal(t, want, read[holdList](t, o.onlooking, "/v1/payments/holds?page_size=1000&commissioner_code=00X").Holds)
}

func TestHostileText_InAFileOfConfirmationsChangesNothing(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "00V")
	o.sample(t)
	before := o.stages(t, "")
	for _, text := range hostile {
		quoted := `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		for _, row := range []string{
			quoted + ",PAID,2022-05-03,x,1.00,", "R1," + quoted + ",2022-05-03,x,1.00,", "R1,PAID," + quoted + ",x,1.00,", "R1,PAID,2022-05-03," + quoted + ",1.00,",
			"R1,PAID,2022-05-03,x," + quoted + ",", "R1,REJECTED,2022-05-03,x,1.00," + quoted, text,
		} {
			got := o.importFile(t, o.preparer, confirmationKind, "reference,status,payment_date,payment_reference,amount,reject_reason\n"+row+"\n")
			require.Contains(t, []int{http.StatusCreated, http.StatusOK, http.StatusBadRequest}, got.Status, "%s", got)
			require.Less(t, len(got.Body), 16384)
		}
	}
	require.Equal(t, before, o.stages(t, ""))
	require.Empty(t, read[paymentList](t, o.onlooking, "/v1/payments/payments?commissioner_code=00V").Payments)
}
