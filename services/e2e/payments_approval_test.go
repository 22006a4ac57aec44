package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// person returns a caller of some name and roles, with a token of its own each time.
func person(t testing.TB, name, commissioner string, roles ...string) caller {
	t.Helper()
	require.NotEmpty(t, suite.binary, "a token of several roles needs PCN_BIN")
	args := []string{"--subject", name, "--commissioner", commissioner}
	for _, role := range roles {
		args = append(args, "--role", role)
	}
	token, err := suite.tokenBy(suite.dataDir, args...)
	require.NoError(t, err)
	return caller{token: token}
}

// decide posts a decision on a run.
func decide(t testing.TB, who caller, r payRun, verb string) answer {
	t.Helper()
	body := fields{"request_id": unique(), "etag": r.ETag}
	if verb == "reject" || verb == "withdraw" {
		body["reason"] = "e2e"
	}
	return who.post(t, "/v1/payments/runs/"+r.RunID+":"+verb, body)
}

func TestPaymentsApproval_IsNeverThePreparers(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "00P")
	april := o.sample(t)
	run := o.run(t, "2022-04", 1)
	both, again := person(t, "both.roles", "00P", "finance_preparer", "finance_approver"), person(t, "both.roles", "00P", "finance_approver")
	decide(t, person(t, "only.preparer", "00P", "finance_preparer"), run, "approve").refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	decide(t, o.approver, run, "submit").refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	decide(t, o.approver, run, "approve").refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	var submitted payRun
	decide(t, both, run, "submit").ok(t, &submitted)
	for _, who := range []caller{both, again, person(t, "both.roles", "00P", "operator", "finance_approver", "integration")} {
		decide(t, who, submitted, "approve").refused(t, http.StatusForbidden, "APPROVER_IS_PREPARER")
		decide(t, who, submitted, "reject").refused(t, http.StatusForbidden, "APPROVER_IS_PREPARER")
	}
	require.Equal(t, submitted, o.run(t, "2022-04", 1))

	var rejected payRun
	decide(t, o.approver, submitted, "reject").ok(t, &rejected)
	require.Equal(t, []string{"RUN_STATE_REJECTED", "00p.approver", "e2e", "00P-2022-04-2"},
		[]string{rejected.State, rejected.EndedBy, rejected.EndReason, rejected.ReplacedByRunID})
	require.Len(t, o.lines(t, run.RunID), april.LineCount, "what was put forward can still be read")
	for _, verb := range []string{"submit", "withdraw"} {
		decide(t, o.preparer, rejected, verb).refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	}
	decide(t, o.approver, rejected, "approve").refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")

	// Another person puts the same lines forward: the one with both roles may approve these.
	second := o.submit(t, o.run(t, "2022-04", 2))
	require.Equal(t, submitted.LinesSHA256, second.LinesSHA256)
	var withdrawn payRun
	decide(t, both, second, "withdraw").ok(t, &withdrawn)
	third := o.submit(t, o.run(t, "2022-04", 3))
	var approved payRun
	decide(t, both, third, "approve").ok(t, &approved)
	require.Equal(t, "both.roles", approved.Approvals[0].ApprovedBy)
	require.Equal(t, map[string]int64{"EXPENSE": april.PayTotalPence, "PAYABLE": -april.PayTotalPence}, o.stages(t, ""))
	for _, verb := range []string{"approve", "reject"} {
		decide(t, o.approver, approved, verb).refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	}
	decide(t, o.preparer, approved, "withdraw").refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
}

func TestPaymentsApproval_FollowsThePolicy(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01D")
	o.sample(t)
	run := o.run(t, "2022-04", 1)
	net := run.Totals.NetPence
	policy := fields{"request_id": unique(), "commissioner_code": "01D", "from_month": "2022-04", "reason": "scheme of delegation", "approval_policy": fields{
		"second_approval_above_pence": fmt.Sprint(net - 1), "default_limit_pence": "100",
		"limits": []fields{
			{"subject": "01d.approver", "limit_pence": fmt.Sprint(net)},
			{"subject": "01d.deputy", "limit_pence": fmt.Sprint(net + 1)},
			{"subject": "01d.junior", "limit_pence": fmt.Sprint(net - 1)},
			{"subject": "01d.preparer", "limit_pence": fmt.Sprint(net)},
		},
	}}
	o.preparer.post(t, "/v1/payments/settings", policy).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	twice := policy.with("approval_policy", fields{"limits": []fields{{"subject": "a", "limit_pence": "1"}, {"subject": "a", "limit_pence": "2"}}})
	o.approver.post(t, "/v1/payments/settings", twice).refused(t, http.StatusBadRequest, "SETTING_INVALID")
	o.approver.post(t, "/v1/payments/settings", policy.with("commissioner_code", "")).refused(t, http.StatusForbidden, "ENGLAND_REQUIRED")
	director := person(t, "01d.director", "01D", "finance_approver")
	write[map[string]any](t, director, "/v1/payments/settings", policy)

	submitted := o.submit(t, run)
	require.Equal(t, 2, submitted.ApprovalsNeeded)
	for _, name := range []string{"01d.junior", "01d.stranger"} {
		p := decide(t, person(t, name, "01D", "finance_approver"), submitted, "approve").refused(t, http.StatusForbidden, "APPROVER_LIMIT_EXCEEDED")
		require.Equal(t, fmt.Sprint(net), p.Metadata["net_pence"])
	}
	decide(t, director, submitted, "approve").refused(t, http.StatusForbidden, "APPROVER_SET_POLICY")
	partly := o.approve(t, submitted)
	require.Equal(t, "RUN_STATE_SUBMITTED", partly.State)
	require.Len(t, partly.Approvals, 1)
	decide(t, o.approver, partly, "approve").refused(t, http.StatusForbidden, "APPROVER_HAS_APPROVED")
	decide(t, person(t, "01d.approver", "01D", "finance_approver", "operator"), partly, "approve").refused(t, http.StatusForbidden, "APPROVER_HAS_APPROVED")
	decide(t, person(t, "01d.preparer", "01D", "finance_approver"), partly, "approve").refused(t, http.StatusForbidden, "APPROVER_IS_PREPARER")
	decide(t, o.deputy, submitted, "approve").refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")
	o.preparer.post(t, "/v1/payments/runs/"+run.RunID+":export", fields{"request_id": unique(), "format": "FORMAT_JOURNAL"}).
		refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	require.Zero(t, o.stages(t, "")["PAYABLE"], "one approval of two makes nothing payable")
	var approved payRun
	decide(t, o.deputy, partly, "approve").ok(t, &approved)
	require.Equal(t, "RUN_STATE_APPROVED", approved.State)
	require.Equal(t, []string{"01d.approver", "01d.deputy"}, []string{approved.Approvals[0].ApprovedBy, approved.Approvals[1].ApprovedBy})
	require.Equal(t, -net, o.stages(t, "")["PAYABLE"])
}

func TestPaymentsRun_IsFrozenOncePutForward(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "00Y")
	april := o.sample(t)
	run := o.run(t, "2022-04", 1)
	path := "/v1/payments/runs/" + run.RunID
	o.preparer.post(t, path+":submit", fields{"request_id": unique()}).refused(t, http.StatusBadRequest, "ETAG_REQUIRED")
	o.preparer.post(t, path+":submit", fields{"request_id": unique()}, "If-Match", `"99"`).refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")
	got := o.preparer.post(t, path+":submit", fields{"request_id": unique()}, "If-Match", `"`+run.ETag+`"`)
	var submitted payRun
	got.ok(t, &submitted)
	require.Equal(t, `"`+submitted.ETag+`"`, got.Header.Get("Etag"))
	decide(t, o.approver, run, "approve").refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")
	decide(t, o.preparer, run, "withdraw").refused(t, http.StatusPreconditionFailed, "RUN_CHANGED")

	for _, who := range []caller{o.preparer, o.approver} {
		p := who.post(t, "/v1/payments/holds", fields{"request_id": unique(), "commissioner_code": "00Y", "line_id": april.Lines[0].LineID, "reason": "e2e"}).
			refused(t, http.StatusBadRequest, "LINE_FROZEN")
		require.Equal(t, run.RunID, p.Metadata["run_id"])
	}
	next := write[payRun](t, o.preparer, "/v1/payments/commissioners/00Y/months/2022-04:assemble", fields{"request_id": unique()})
	require.Equal(t, []any{"00Y-2022-04-2", 0}, []any{next.RunID, next.Totals.Lines})
	decide(t, o.preparer, next, "submit").refused(t, http.StatusBadRequest, "RUN_EMPTY")
	require.Equal(t, submitted, o.run(t, "2022-04", 1), "the run that was put forward is as it was")
	o.preparer.post(t, path+":export", fields{"request_id": unique(), "format": "FORMAT_REMITTANCE"}).refused(t, http.StatusBadRequest, "RUN_STATE_DIFFERS")
	approved := o.approve(t, submitted)
	require.Equal(t, submitted.LinesSHA256, approved.LinesSHA256)
	o.preparer.post(t, "/v1/payments/commissioners/00Y/months/2022-13:assemble", fields{"request_id": unique()}).refused(t, http.StatusBadRequest, "MONTH_MALFORMED")
}

// atOnce posts to a path at the same time as several callers, and counts the answers by reason; empty for success.
func atOnce(t testing.TB, path string, callers []caller, body fields) map[string]int {
	t.Helper()
	answers, errs := make([]answer, len(callers)), make([]error, len(callers))
	var group sync.WaitGroup
	for i, who := range callers {
		text, err := json.Marshal(body.with("request_id", unique()))
		require.NoError(t, err)
		group.Go(func() {
			answers[i], errs[i] = suite.send(context.Background(), request{
				method: http.MethodPost, path: path, token: who.token, body: strings.NewReader(string(text)), headers: []string{"Content-Type", "application/json"},
			})
		})
	}
	group.Wait()
	count := make(map[string]int)
	for i, a := range answers {
		require.NoError(t, errs[i])
		require.Less(t, a.Status, 500, "%s", a)
		if a.Status == http.StatusOK {
			count[""]++
			continue
		}
		var p problem
		require.NoError(t, json.Unmarshal(a.Body, &p))
		require.NotEmpty(t, p.Reason, "%s", a)
		count[p.Reason]++
	}
	return count
}

func TestPaymentsApproval_ByTwentyAtOnceCountsOnce(t *testing.T) {
	t.Parallel()
	const people = 20
	o := officeOf(t, "01K")
	april := o.sample(t)
	o.coded(t)
	write[map[string]any](t, o.approver, "/v1/payments/settings", fields{
		"request_id": unique(), "commissioner_code": "01K", "from_month": "2022-04", "reason": "e2e", "approval_policy": fields{"second_approval_above_pence": "1"},
	})
	submitted := o.submit(t, o.run(t, "2022-04", 1))
	callers := make([]caller, people)
	for i := range callers {
		callers[i] = person(t, fmt.Sprintf("01k.approver%d", i), "01K", "finance_approver")
	}
	path := "/v1/payments/runs/" + submitted.RunID
	require.Equal(t, map[string]int{"": 1, "RUN_CHANGED": people - 1}, atOnce(t, path+":approve", callers, fields{"etag": submitted.ETag}))
	partly := o.run(t, "2022-04", 1)
	require.Equal(t, "RUN_STATE_SUBMITTED", partly.State)
	rest := slices.DeleteFunc(callers, func(c caller) bool { return c == callerOf(t, partly.Approvals[0].ApprovedBy, callers) })
	require.Equal(t, map[string]int{"": 1, "RUN_CHANGED": len(rest) - 1}, atOnce(t, path+":approve", rest, fields{"etag": partly.ETag}))
	approved := o.run(t, "2022-04", 1)
	require.Equal(t, "RUN_STATE_APPROVED", approved.State)
	require.Len(t, approved.Approvals, 2)
	require.Equal(t, map[string]int64{"EXPENSE": april.PayTotalPence, "PAYABLE": -april.PayTotalPence}, o.stages(t, ""), "it was posted once")

	exporters := []caller{o.preparer, o.approver, o.deputy, o.preparer, o.approver, o.deputy}
	require.Equal(t, map[string]int{"": 1, "RUN_EXPORTED": len(exporters) - 1}, atOnce(t, path+":export", exporters, fields{"format": "FORMAT_JOURNAL"}))
	payments := o.sent(t, submitted.RunID)
	require.Len(t, payments, approved.Totals.Payments)
	require.Equal(t, -april.PayTotalPence, o.stages(t, "")["SENT"], "it was sent once")
	o.confirmAtOnce(t, payments)
}

// callerOf returns the caller of a name that ends in its number.
func callerOf(t testing.TB, name string, callers []caller) caller {
	t.Helper()
	var number int
	_, err := fmt.Sscanf(name, "01k.approver%d", &number)
	require.NoError(t, err)
	return callers[number]
}

// confirmAtOnce imports the same file many times at once: it takes effect once.
func (o office) confirmAtOnce(t *testing.T, payments []payment) {
	content := confirmationFile(allPaid(payments))
	const copies = 6
	answers, errs := make([]answer, copies), make([]error, copies)
	var group sync.WaitGroup
	for i := range copies {
		path := fmt.Sprintf("%srequest_id=%s&commissioner_code=%s&kind=%s", paymentsImportsPath, unique(), o.code, confirmationKind)
		group.Go(func() {
			answers[i], errs[i] = suite.send(context.Background(), request{
				method: http.MethodPost, path: path, token: o.preparer.token, body: strings.NewReader(content), headers: []string{"Content-Type", csvType},
			})
		})
	}
	group.Wait()
	count := make(map[int]int)
	for i, a := range answers {
		require.NoError(t, errs[i])
		count[a.Status]++
	}
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusOK: copies - 1}, count)
	require.Equal(t, "RUN_STATE_SETTLED", o.run(t, "2022-04", 1).State)
	stages := o.stages(t, "")
	require.Zero(t, stages["SENT"])
	require.Equal(t, -stages["EXPENSE"], stages["SETTLED"])
}

// sum adds up how often a race was won and lost.
func sum(count map[string]int) (all int) {
	for _, n := range count {
		all += n
	}
	return all
}

func TestPayments_OfDecisionsAtOnceOneCounts(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "07H")
	april := o.sample(t)
	o.coded(t)
	submitted := o.submit(t, o.run(t, "2022-04", 1))
	path := "/v1/payments/runs/" + submitted.RunID
	decision := fields{"etag": submitted.ETag, "reason": "e2e"}
	rejections := atOnce(t, path+":reject", []caller{o.approver, o.deputy, o.approver, o.deputy}, decision)
	require.Equal(t, map[string]int{"": 1, "RUN_CHANGED": 3}, rejections)
	require.Len(t, read[runList](t, o.onlooking, "/v1/payments/runs?commissioner_code=07H&month=2022-04").Runs, 2, "its lines went to one run")

	// A line is held, or it is in the run that is put forward, and never both.
	run := o.run(t, "2022-04", 2)
	var submissions, holds map[string]int
	var group sync.WaitGroup
	group.Go(func() {
		submissions = atOnce(t, "/v1/payments/runs/"+run.RunID+":submit", []caller{o.preparer, o.preparer}, fields{"etag": run.ETag})
	})
	group.Go(func() {
		holds = atOnce(t, "/v1/payments/holds", []caller{o.preparer, o.approver}, fields{"commissioner_code": "07H", "line_id": april.Lines[0].LineID, "reason": "e2e"})
	})
	group.Wait()
	require.Equal(t, 2, sum(holds))
	if submissions[""] == 0 { // a hold came first, and nobody puts forward what they have not seen
		require.Equal(t, map[string]int{"RUN_CHANGED": 2}, submissions)
		o.submit(t, o.run(t, "2022-04", 2))
	} else {
		require.Equal(t, map[string]int{"": 1, "RUN_CHANGED": 1}, submissions)
	}
	frozen := slices.ContainsFunc(o.lines(t, run.RunID), func(l runLine) bool { return l.Line.LineID == april.Lines[0].LineID })
	require.Equal(t, frozen, holds[""] == 0, "%v", holds)
	approved := o.approve(t, o.run(t, "2022-04", 2))
	o.export(t, approved.RunID, "FORMAT_JOURNAL")
	sent := o.sent(t, approved.RunID)
	turned := sent[0]
	o.confirm(t, append(allPaid(sent[1:]), confirmation{turned.PaymentID, "REJECTED", "closed", turned.AmountPence}))
	turned = read[payment](t, o.onlooking, "/v1/payments/payments/"+turned.PaymentID)
	again := atOnce(t, "/v1/payments/payments/"+turned.PaymentID+":reissue", []caller{o.preparer, o.preparer, o.preparer}, fields{"etag": turned.ETag, "reason": "e2e"})
	require.Equal(t, map[string]int{"": 1, "RUN_CHANGED": 2}, again)
	stages := o.stages(t, "")
	require.Zero(t, stages["PAYABLE"])
	require.Equal(t, april.PayTotalPence, stages["EXPENSE"])
	require.Equal(t, approved.Totals.NetPence-turned.AmountPence, -stages["SETTLED"])
}
