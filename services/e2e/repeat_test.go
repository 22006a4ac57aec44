package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepeat_GetsTheStoredAnswer(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "18C")
	pcn := firstPCN(t, preparer, "18C", "2022-04").PCNCode
	body := fields{"request_id": unique(), "commissioner_code": "18C", "pcn_code": pcn, "payment_code": "NPP", "from_month": "2022-06", "reason": "once"}
	first := preparer.post(t, "/v1/core/withholdings", body)
	require.Equal(t, http.StatusOK, first.Status)
	require.Empty(t, first.Header.Get("Idempotent-Replay"))
	again := preparer.post(t, "/v1/core/withholdings", body)
	require.Equal(t, http.StatusOK, again.Status)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replay"))
	require.JSONEq(t, string(first.Body), string(again.Body))
	require.Equal(t, first.Header.Get("Etag"), again.Header.Get("Etag"))

	p := preparer.post(t, "/v1/core/withholdings", body.with("reason", "twice")).refused(t, http.StatusConflict, "REQUEST_ID_REUSED")
	require.Equal(t, "reason", p.Metadata["differs"])
	require.NotContains(t, p.Detail, "twice", "values are not repeated")
	list := read[withholdingList](t, preparer, "/v1/core/withholdings?commissioner_code=18C")
	require.Len(t, list.Withholdings, 1)

	other := named(t, "someone.else", "finance_preparer", "18C")
	var made withholding
	other.post(t, "/v1/core/withholdings", body).ok(t, &made)
	require.NotEqual(t, list.Withholdings[0].WithholdingID, made.WithholdingID, "request ids are each caller's own")
}

func TestRepeat_ByTheIdempotencyKeyHeader(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "26A")
	path, key := "/v1/core/commissioners/26A/months/2022-05:close", unique()
	first := preparer.post(t, path, fields{}, "Idempotency-Key", key)
	require.Equal(t, http.StatusOK, first.Status, "%s", first)
	inBody := preparer.post(t, path, fields{"request_id": key})
	require.Equal(t, "true", inBody.Header.Get("Idempotent-Replay"), "header and field are the same thing")
	require.JSONEq(t, string(first.Body), string(inBody.Body))
	quoted := preparer.post(t, path, fields{}, "Idempotency-Key", `"`+key+`"`)
	require.Equal(t, "true", quoted.Header.Get("Idempotent-Replay"))
	preparer.post(t, path, fields{"omit_lines": true}, "Idempotency-Key", key).refused(t, http.StatusConflict, "REQUEST_ID_REUSED")
	both := preparer.post(t, path, fields{"request_id": "x" + key}, "Idempotency-Key", key)
	require.Equal(t, http.StatusBadRequest, both.Status, "%s", both)
	preparer.post(t, path, fields{}).refused(t, http.StatusBadRequest, "REQUEST_ID_REQUIRED")
}

func TestRepeat_AtTheSameTimeTakesEffectOnce(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "27D")
	pcn := firstPCN(t, preparer, "27D", "2022-04").PCNCode
	body, err := json.Marshal(fields{"request_id": unique(), "commissioner_code": "27D", "pcn_code": pcn, "payment_code": "NPP", "from_month": "2022-06", "reason": "once"})
	require.NoError(t, err)
	const copies = 20
	answers, errs := make([]answer, copies), make([]error, copies)
	var group sync.WaitGroup
	for i := range copies {
		group.Go(func() {
			answers[i], errs[i] = suite.send(context.Background(), request{
				method: http.MethodPost, path: "/v1/core/withholdings", token: preparer.token, body: strings.NewReader(string(body)),
				headers: []string{"Content-Type", "application/json"},
			})
		})
	}
	group.Wait()
	for i, a := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, http.StatusOK, a.Status, "%s", a)
		require.JSONEq(t, string(answers[0].Body), string(a.Body))
	}
	require.Len(t, read[withholdingList](t, preparer, "/v1/core/withholdings?commissioner_code=27D").Withholdings, 1)
}

func TestRepeat_OfClosesAtTheSameTimeMakesOneSchedule(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "36J")
	const copies = 8
	answers, errs := make([]answer, copies), make([]error, copies)
	var group sync.WaitGroup
	for i := range copies {
		group.Go(func() {
			answers[i], errs[i] = suite.send(context.Background(), request{
				method: http.MethodPost, path: "/v1/core/commissioners/36J/months/2022-05:close", token: preparer.token,
				body: strings.NewReader("{}"), headers: []string{"Content-Type", "application/json", "Idempotency-Key", unique()},
			})
		})
	}
	group.Wait()
	for i, a := range answers {
		require.NoError(t, errs[i])
		var got schedule
		a.ok(t, &got)
		require.Equal(t, "core-36J-2022-05-1", got.ScheduleID)
	}
	require.Len(t, read[scheduleList](t, preparer, "/v1/core/schedules?commissioner_code=36J&month=2022-05").Schedules, 1)
}

func TestReemit_PublishesAScheduleAgain(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	got := write[struct {
		EventIDs []string `json:"event_ids"`
	}](t, operator, "/v1/core/schedules/core-36L-2022-04-1:reemit", fields{"request_id": unique()})
	require.NotEmpty(t, got.EventIDs)
	operator.post(t, "/v1/core/schedules/none:reemit", fields{"request_id": unique()}).refused(t, http.StatusNotFound, "SCHEDULE_NOT_FOUND")
	as(t, "finance_preparer", "36L").post(t, "/v1/core/schedules/core-36L-2022-04-1:reemit", fields{"request_id": unique()}).
		refused(t, http.StatusForbidden, "ROLE_REQUIRED")
}
