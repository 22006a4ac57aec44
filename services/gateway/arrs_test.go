package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

func TestArrs_ClosesAMonthAndGivesItsLines(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.call(t, http.MethodPost, "/v1/arrs/commissioners/15N/months/2022-04:close", `{"request_id": "r1"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "arrs-15N-2022-04-1", a.json(t)["schedule_id"])
	require.Equal(t, []string{"r1", "15N", "2022-04"}, []string{s.arrs.close.GetRequestId(), s.arrs.close.GetCommissionerCode(), s.arrs.close.GetMonth()})
	a = s.get(t, "/v1/arrs/schedules/arrs-15N-2022-04-1/lines.csv")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "schedule_id\n", a.Body)
}

func TestArrs_TakesAClaim(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.arrs.claim = &arrsv1.Claim{ClaimId: "c1", Etag: "1"}
	a := s.call(t, http.MethodPost, "/v1/arrs/claims",
		`{"request_id": "r1", "claim": {"pcn_code": "U1", "commissioner_code": "15N", "month": "2022-04", "lines": [{"label": "CP 1", "salary_pence": "370000"}]}}`,
		"Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, int64(370000), s.arrs.submit.GetClaim().GetLines()[0].GetSalaryPence())
	a = s.get(t, "/v1/arrs/claims/c1")
	require.Equal(t, `"1"`, a.Header.Get("Etag"))
}

func TestArrs_TakesAFileOfClaims(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.arrs.claim = &arrsv1.Claim{ClaimId: "c1"}
	a := s.send(t, http.MethodPost, "/v1/arrs/claims/imports?commissioner_code=15N&declared=true", strings.NewReader("a,b\n"),
		"Content-Type", "text/csv", "Idempotency-Key", "r1")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	require.Equal(t, "/v1/arrs/claims/c1", a.Header.Get("Location"))
	require.Equal(t, "r1", s.arrs.header.GetRequestId())
	require.True(t, s.arrs.header.GetDeclared())
	require.Equal(t, "a,b\n", string(s.arrs.data))
	s.arrs.claim = &arrsv1.Claim{}
	a = s.send(t, http.MethodPost, "/v1/arrs/claims/imports?commissioner_code=15N&check_only=true", strings.NewReader("a,b\n"), "Content-Type", "text/csv")
	require.Equal(t, http.StatusOK, a.Status, "nothing was stored")
}
