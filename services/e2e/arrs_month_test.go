package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A month of arrs without claims is closed as any other, and payments takes it in beside that of core.
func TestArrs_ClosesAMonthWithoutClaims(t *testing.T) {
	t.Parallel()
	const code, month = "15E", "2022-04"
	o := officeOf(t, code)
	path := "/v1/arrs/commissioners/" + code + "/months/" + month
	require.Zero(t, read[schedule](t, o.onlooking, path+":preview").LineCount)
	closed := write[schedule](t, o.preparer, path+":close", fields{"request_id": unique()})
	require.Equal(t, "arrs-15E-2022-04-1", closed.ScheduleID)
	requireSums(t, closed)
	require.Equal(t, closed.ScheduleID, write[schedule](t, o.preparer, path+":close", fields{"request_id": unique()}).ScheduleID, "nothing is new")
	require.Equal(t, closed, read[schedule](t, o.onlooking, "/v1/arrs/schedules/"+closed.ScheduleID))
	require.Len(t, read[scheduleList](t, o.onlooking, "/v1/arrs/schedules?commissioner_code="+code).Schedules, 1)
	as(t, "finance_preparer", "15N").get(t, "/v1/arrs/schedules/"+closed.ScheduleID).refused(t, http.StatusNotFound, "SCHEDULE_NOT_FOUND")
	o.received(t, closed)
	list := o.onlooking.get(t, "/v1/payments/runs?commissioner_code="+code+"&month="+month)
	require.Contains(t, string(list.Body), "FUND_ARRS", "the run tells that arrs has closed")
}
