package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	allRoles = []string{
		"finance_preparer", "finance_approver", "pcn_manager", "clinical_director", "regional_viewer", "auditor", "operator", "integration",
	}
	paymentReaders = []string{"finance_preparer", "finance_approver", "auditor", "regional_viewer", "integration"}
	preparers      = []string{"finance_preparer"}
	approvers      = []string{"finance_approver"}
	finance        = []string{"finance_preparer", "finance_approver"}
)

// paymentsRoute is a route of payments with who may call it and how it answers those who hold another commissioner.
type paymentsRoute struct {
	verb, path string
	roles      []string
	reason     string // for a caller of another commissioner
	query      string
	body       fields
}

const (
	notFound = "RESOURCE_NOT_FOUND"
	// anyList is a list that shows a caller what they may see.
	anyList = "?commissioner_code={commissioner_code}"
)

// paymentsRoutes are all of them.
func paymentsRoutes() []paymentsRoute {
	statementReaders := append(slices.Clone(paymentReaders), "pcn_manager", "clinical_director")
	get := func(path string, roles []string, reason, query string) paymentsRoute {
		return paymentsRoute{http.MethodGet, "/v1/payments" + path, roles, reason, query, nil}
	}
	post := func(path string, roles []string, reason string, body fields) paymentsRoute {
		return paymentsRoute{http.MethodPost, "/v1/payments" + path, roles, reason, "", body}
	}
	decision := fields{"etag": "1", "reason": "e2e"}
	commissioner := fields{"commissioner_code": "{commissioner_code}", "reason": "e2e"}
	return []paymentsRoute{
		get("/schedules", paymentReaders, notFound, anyList),
		get("/held-events", []string{"operator", "auditor"}, "ENGLAND_REQUIRED", ""),
		post("/held-events/{event_id}:release", []string{"operator"}, "ENGLAND_REQUIRED", fields{"reason": "e2e"}),
		post("/held-events/{event_id}:discard", []string{"operator"}, "ENGLAND_REQUIRED", fields{"reason": "e2e"}),
		post("/commissioners/{commissioner_code}/months/{month}:assemble", preparers, notFound, fields{}),
		get("/runs", paymentReaders, notFound, anyList),
		get("/runs/{run_id}", paymentReaders, "RUN_NOT_FOUND", ""),
		get("/runs/{run_id}/payees", paymentReaders, "RUN_NOT_FOUND", ""),
		get("/runs/{run_id}/lines", paymentReaders, "RUN_NOT_FOUND", ""),
		get("/runs/{run_id}/lines.csv", paymentReaders, "RUN_NOT_FOUND", ""),
		get("/runs/{run_id}/variance", paymentReaders, "RUN_NOT_FOUND", ""),
		post("/runs/{run_id}:submit", preparers, "RUN_NOT_FOUND", fields{"etag": "1"}),
		post("/runs/{run_id}:approve", approvers, "RUN_NOT_FOUND", fields{"etag": "1"}),
		post("/runs/{run_id}:reject", approvers, "RUN_NOT_FOUND", decision),
		post("/runs/{run_id}:withdraw", preparers, "RUN_NOT_FOUND", decision),
		post("/runs/{run_id}:export", finance, "RUN_NOT_FOUND", fields{"format": "FORMAT_REMITTANCE"}),
		get("/exports", paymentReaders, notFound, anyList),
		get("/exports/{export_id}", paymentReaders, "EXPORT_NOT_FOUND", ""),
		get("/exports/{export_id}/file", []string{"finance_preparer", "finance_approver", "integration"}, "EXPORT_NOT_FOUND", ""),
		get("/commissioners/{commissioner_code}/months/{month}/transparency.csv", paymentReaders, notFound, ""),
		post("/holds", finance, notFound, commissioner.with("payee_code", "A81001")),
		post("/holds/{hold_id}:release", approvers, "HOLD_NOT_FOUND", decision),
		get("/holds", paymentReaders, notFound, anyList),
		get("/payments", paymentReaders, notFound, anyList),
		get("/payments/{payment_id}", paymentReaders, "PAYMENT_NOT_FOUND", ""),
		post("/payments/{payment_id}:reissue", preparers, "PAYMENT_NOT_FOUND", decision),
		get("/recoveries", paymentReaders, notFound, anyList),
		post("/recoveries:plan", approvers, notFound, commissioner.with("payee_code", "A81001").with("from_month", "2022-05")),
		get("/commissioners/{commissioner_code}/trial-balance", paymentReaders, notFound, ""),
		get("/postings", paymentReaders, notFound, anyList),
		get("/commissioners/{commissioner_code}/months/{month}/accruals", paymentReaders, notFound, ""),
		get("/pcns/{pcn_code}/statements/{period}", statementReaders, "STATEMENT_EMPTY", ""),
		get("/pcns/{pcn_code}/statements/{period}/statement.pdf", statementReaders, "STATEMENT_EMPTY", ""),
		get("/pcns/{pcn_code}/statements/{period}/statement.csv", statementReaders, "STATEMENT_EMPTY", ""),
		{http.MethodPost, "/v1/payments/imports", append(slices.Clone(finance), "integration"), notFound, anyList + "&kind=" + confirmationKind, nil},
		get("/imports", paymentReaders, notFound, anyList),
		get("/imports/{import_id}/rows", paymentReaders, "IMPORT_NOT_FOUND", ""),
		get("/commissioners/{commissioner_code}/reconciliation", paymentReaders, notFound, "?from_month=2022-04"),
		post("/moves", []string{"finance_preparer", "finance_approver", "operator"}, notFound, fields{
			"from_commissioner_code": "{commissioner_code}", "to_commissioner_code": "70F", "reason": "e2e",
		}),
		post("/moves/{move_id}:confirm", approvers, "MOVE_NOT_FOUND", fields{"etag": "1"}),
		post("/moves/{move_id}:withdraw", []string{"finance_preparer", "finance_approver", "operator"}, "MOVE_NOT_FOUND", decision),
		get("/moves/{move_id}", append(slices.Clone(paymentReaders), "operator"), "MOVE_NOT_FOUND", ""),
		get("/moves", paymentReaders, notFound, anyList),
		post("/codes", approvers, notFound, commissioner.with("mappings", mappings())),
		get("/commissioners/{commissioner_code}/code-mappings", paymentReaders, notFound, ""),
		get("/commissioners/{commissioner_code}/suppliers", paymentReaders, notFound, ""),
		post("/settings", approvers, notFound, commissioner.with("from_month", "2022-04").with("expected_funds", fields{"funds": []string{"core"}})),
		get("/settings", paymentReaders, notFound, anyList),
		get("/audit", []string{"auditor", "operator", "finance_approver"}, notFound, anyList),
	}
}

// ask calls a route with its parameters filled in.
func (r paymentsRoute) ask(t testing.TB, who caller, fill *strings.Replacer) answer {
	t.Helper()
	if r.verb == http.MethodGet {
		return who.get(t, fill.Replace(r.path+r.query))
	}
	if r.body == nil {
		return who.call(t, request{
			method: r.verb, path: fill.Replace(r.path+r.query) + "&request_id=" + unique(), body: strings.NewReader(confirmationFile(nil)), headers: []string{"Content-Type", csvType},
		})
	}
	content, err := json.Marshal(r.body.with("request_id", unique()))
	require.NoError(t, err)
	return who.postRaw(t, fill.Replace(r.path), []byte(fill.Replace(string(content))))
}

// guarded has one of each thing that payments keeps, for a commissioner, and returns how to name them.
func guarded(t *testing.T, o office) *strings.Replacer {
	t.Helper()
	april := o.sample(t)
	o.coded(t)
	placed := o.heldBy(t, o.preparer, fields{"payee_code": april.Lines[0].Payee.Code})
	payments := o.sentOut(t, o.run(t, "2022-04", 1))
	file := o.confirm(t, allPaid(payments[:1]))
	proposed := write[move](t, as(t, "finance_preparer", o.code, "QHM"), "/v1/payments/moves", fields{
		"request_id": unique(), "from_commissioner_code": o.code, "to_commissioner_code": "QHM", "reason": "e2e",
	})
	return strings.NewReplacer(
		"{move_id}", proposed.MoveID,
		"{commissioner_code}", o.code, "{month}", "2022-04", "{run_id}", payments[0].RunID, "{export_id}", payments[0].RunID+"-journal",
		"{payment_id}", payments[0].PaymentID, "{hold_id}", placed.HoldID, "{import_id}", file.ImportID, "{event_id}", "none",
		"{pcn_code}", april.Lines[0].PCNCode, "{period}", "2022-04",
	)
}

func TestPaymentsAccess_IsByRoleAndCommissioner(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01H")
	fill := guarded(t, o)
	// What is not there must look the same as what belongs to another.
	absent := strings.NewReplacer(
		"{move_id}", "none",
		"{commissioner_code}", "ZZZ", "{month}", "2022-04", "{run_id}", "ZZZ-2022-04-1", "{export_id}", "ZZZ-2022-04-1-journal", "{payment_id}", "ZZZ-2022-04-1-A",
		"{hold_id}", "none", "{import_id}", "none", "{event_id}", "none", "{pcn_code}", "U00000", "{period}", "2022-04",
	)
	run, books := o.run(t, "2022-04", 1), o.stages(t, "")
	entries := func() int {
		return len(read[auditList](t, o.onlooking, "/v1/payments/audit?page_size=1000&commissioner_code=01H").Entries)
	}
	before := entries()
	for _, route := range paymentsRoutes() {
		t.Run(route.verb+" "+route.path, func(t *testing.T) {
			refusedToken(t, route.ask(t, caller{}, fill), "TOKEN_MISSING")
			for _, role := range allRoles {
				if !slices.Contains(route.roles, role) {
					route.ask(t, as(t, role, "01H"), fill).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
					continue
				}
				got := route.ask(t, as(t, role, "70F"), fill)
				like := route.ask(t, as(t, role, "70F"), absent)
				require.Equal(t, like.Status, got.Status, "%s: %s\n%s", role, got, like)
				status := http.StatusNotFound
				if route.reason == "ENGLAND_REQUIRED" {
					status = http.StatusForbidden
				}
				reason := route.reason
				if role == "pcn_manager" || role == "clinical_director" {
					reason = notFound // they are held for PCNs, not for a commissioner
				}
				got.refused(t, status, reason)
				like.refused(t, status, reason)
			}
		})
	}
	require.Equal(t, run, o.run(t, "2022-04", 1))
	require.Equal(t, books, o.stages(t, ""))
	require.Equal(t, before, entries(), "nothing of it was done")
}

func TestPaymentsAccess_IsTestedOnEveryRoute(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(caller{}.get(t, "/openapi.json").Body, &document))
	var want, got []string
	for path, operations := range document.Paths {
		for verb := range operations {
			if verb = strings.ToUpper(verb); strings.HasPrefix(path, "/v1/payments/") && (verb == http.MethodGet || verb == http.MethodPost) {
				want = append(want, verb+" "+path)
			}
		}
	}
	for _, route := range paymentsRoutes() {
		got = append(got, route.verb+" "+route.path)
	}
	require.ElementsMatch(t, want, got)
}

func TestPaymentsLists_HoldWhatTheCallerMaySee(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "70F")
	o.sample(t)
	for _, path := range []string{"/runs", "/schedules", "/postings", "/payments", "/exports", "/holds", "/settings", "/imports", "/audit"} {
		got := o.approver.get(t, "/v1/payments"+path+"?page_size=1000")
		require.Equal(t, http.StatusOK, got.Status, "%s", got)
		var rows map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(got.Body, &rows))
		for _, foreign := range []string{`"16C"`, `"02P"`, `"06L"`, `"01H"`} {
			require.NotContains(t, string(got.Body), foreign, path)
		}
	}
	require.Len(t, read[runList](t, o.preparer, "/v1/payments/runs").Runs, 1)
	for token, pages := "", 0; ; pages++ {
		page := read[payeeTotalList](t, o.preparer, "/v1/payments/runs/70F-2022-04-1/payees?page_size=7&page_token="+url.QueryEscape(token))
		require.LessOrEqual(t, len(page.Payees), 7)
		if token = page.NextPageToken; token == "" {
			break
		}
		require.Less(t, pages, 100)
	}
	o.preparer.get(t, "/v1/payments/runs?page_token=x").refused(t, http.StatusBadRequest, "PAGE_TOKEN_INVALID")
}

func TestPaymentsLists_PageByPageAreTheSameAsAtOnce(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "52R")
	o.sample(t)
	whole := o.lines(t, "52R-2022-04-1")
	var pieces []runLine
	for token := ""; ; {
		page := read[runLineList](t, o.preparer, "/v1/payments/runs/52R-2022-04-1/lines?page_size=13&page_token="+url.QueryEscape(token))
		pieces = append(pieces, page.Lines...)
		if token = page.NextPageToken; token == "" {
			break
		}
		require.Less(t, len(pieces), 1000)
	}
	require.Equal(t, whole, pieces)
	for _, query := range []string{"page_size=-1", "page_size=1001", "page_token=%00"} {
		got := o.preparer.get(t, "/v1/payments/runs/52R-2022-04-1/lines?"+query)
		require.Equal(t, http.StatusBadRequest, got.Status, "%s: %s", query, got)
	}
}

func TestPaymentsFiles_MakeTextOfFormulas(t *testing.T) {
	t.Parallel()
	const formula = "=cmd|' /C calc'!A0"
	o := officeOf(t, "01A", "QE1")
	c := correctable(t, "01A", "QE1")
	o.sample(t)
	o.coded(t)
	write[load](t, o.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": "QE1", "organisation_code": c.pcn, "payee_code": "E2E17", "payee_name": formula,
		"effective_from": "2022-04-01", "source": "e2e",
	})
	o.received(t, closeMonth(t, o.preparer, "01A", "2022-04"))
	o.profile(t, "FORMAT_TRANSPARENCY", fields{"department_family": "@SUM(A1)"})
	run := o.passed(t, o.run(t, "2022-04", 1))
	o.requireBalanced(t, o.export(t, run.RunID, "FORMAT_JOURNAL"))
	o.confirm(t, allPaid(o.sent(t, run.RunID)))
	remittance := o.file(t, o.export(t, run.RunID, "FORMAT_REMITTANCE"))
	require.Contains(t, string(remittance), "'"+formula)
	requireDocument(t, o.onlooking, "/v1/payments/pcns/"+c.pcn+"/statements/2022-04")
	for _, path := range []string{
		"/v1/payments/exports/" + run.RunID + "-journal/file", "/v1/payments/exports/" + run.RunID + "-remittance/file", "/v1/payments/runs/" + run.RunID + "/lines.csv",
		"/v1/payments/commissioners/01A/months/" + thisMonth() + "/transparency.csv",
	} {
		file := o.preparer.get(t, path)
		require.Equal(t, http.StatusOK, file.Status, "%s", file)
		for i, row := range sheet(t, file.Body) {
			for header, cell := range row {
				risky := cell != "" && strings.ContainsRune("=+@\t\r", rune(cell[0])) || strings.HasPrefix(cell, "-") && !exactNumber.MatchString(cell)
				require.False(t, risky, "%s, row %d, %s: %q", path, i, header, cell)
			}
		}
	}
}
