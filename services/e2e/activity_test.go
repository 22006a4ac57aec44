package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The month of attendances that the tests take from the file to the PCN: one of which the sample holds the members.
const attendedMonth = "2025-06"

type attendanceTotals struct {
	Attendances       *string `json:"attendances"`
	NotionalCostPence *string `json:"notional_cost_pence"`
	Uncosted          *string `json:"uncosted_attendances"`
}

type attendancePCN struct {
	PCNCode string           `json:"pcn_code"`
	Totals  attendanceTotals `json:"totals"`
	Hidden  bool             `json:"hidden"`
}

type attendanceReport struct {
	ReportID  string           `json:"report_id"`
	Version   int              `json:"version"`
	View      string           `json:"view"`
	Unchanged bool             `json:"unchanged"`
	Totals    attendanceTotals `json:"totals"`
	PCNs      []attendancePCN  `json:"pcns"`
	Notes     []string         `json:"notes"`
	Missing   []struct {
		Reason string `json:"reason"`
	} `json:"missing"`
	Rows []struct {
		PCNCode      string           `json:"pcn_code"`
		PracticeCode string           `json:"practice_code"`
		Totals       attendanceTotals `json:"totals"`
		Hidden       bool             `json:"hidden"`
	} `json:"rows"`
	Restatement *struct {
		Differences []struct {
			PCNCode string `json:"pcn_code"`
		} `json:"differences"`
	} `json:"restatement"`
}

// of returns the sums of a PCN.
func (r attendanceReport) of(t testing.TB, pcn string) attendancePCN {
	t.Helper()
	for _, p := range r.PCNs {
		if p.PCNCode == pcn {
			return p
		}
	}
	require.Failf(t, "no such PCN", "%s in %v", pcn, r.PCNs)
	return attendancePCN{}
}

type attendanceDelivery struct {
	PCNCode  string `json:"pcn_code"`
	State    string `json:"state"`
	ReportID string `json:"report_id"`
	SHA256   string `json:"sha256"`
	DueOn    string `json:"due_on"`
	Receipts []struct {
		Kind, Person, SHA256 string
	} `json:"receipts"`
}

// attending is a commissioner's month of attendances at two of its PCNs.
type attending struct {
	office
	first, second snapshotPCN
	manager       caller // of the first
	path          string // of the month
}

func attendingIn(t testing.TB, icb string) attending {
	t.Helper()
	a := attending{office: officeOf(t, icb), path: "/v1/activity/commissioners/" + icb + "/months/" + attendedMonth}
	picture := read[snapshot](t, a.onlooking, "/v1/register/snapshot?commissioner_code="+icb+"&membership_date="+attendedMonth+"-01")
	var found []snapshotPCN
	for _, p := range picture.PCNs {
		if p.PayerCode == icb && p.Closed == "" && len(p.Practices) > 1 {
			found = append(found, p)
		}
	}
	require.GreaterOrEqual(t, len(found), 2, "two PCNs of several practices")
	a.first, a.second = found[0], found[1]
	token, err := suite.tokenBy(suite.dataDir, "--role", "pcn_manager", "--pcn", a.first.PCNCode, "--subject", "manager."+strings.ToLower(a.first.PCNCode))
	require.NoError(t, err)
	a.manager = caller{token: token}
	return a
}

// file is the month with so many attendances at the first practice; the sum is 400 more.
func (a attending) file(n int) string {
	var out strings.Builder
	out.WriteString("provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances\n")
	for _, row := range []struct {
		practice, hrg string
		n             int
	}{
		{a.first.Practices[0].PracticeCode, "VB05Z", n},
		{a.first.Practices[1].PracticeCode, "VB09Z", 3},
		{a.first.Practices[1].PracticeCode, "VB08Z", 97},
		{a.second.Practices[0].PracticeCode, "VB05Z", 250},
		{"", "VB11Z", 40},
		{"V81999", "VB05Z", 10},
	} {
		_, _ = fmt.Fprintf(&out, "RH8,,%s,01,first,%s,%s,%d\n", attendedMonth, row.practice, row.hrg, row.n)
	}
	return out.String()
}

func (a attending) send(t testing.TB, cut, content string) answer {
	t.Helper()
	query := url.Values{"commissioner_code": {a.code}, "cut": {cut}, "source": {"e2e"}, "file_name": {"ae.csv"}, "extract_date": {"2025-07-14"}}
	return a.preparer.call(t, request{
		method: http.MethodPost, body: strings.NewReader(content), headers: []string{"Content-Type", csvType, "Idempotency-Key", unique()},
		path: "/v1/activity/imports?" + query.Encode(),
	})
}

func (a attending) build(t testing.TB) attendanceReport {
	t.Helper()
	return write[attendanceReport](t, a.preparer, a.path+"/report:build", fields{"request_id": unique()})
}

func (a attending) deliveryOf(t testing.TB, pcn string) attendanceDelivery {
	t.Helper()
	for _, d := range read[struct{ Deliveries []attendanceDelivery }](t, a.onlooking, a.path+"/deliveries?page_size=1000").Deliveries {
		if d.PCNCode == pcn {
			return d
		}
	}
	require.Failf(t, "no delivery", pcn)
	return attendanceDelivery{}
}

// TestActivity_CarriesAMonthOfAttendancesToThePCN goes from the file to proof of delivery, with what is refused on the way.
func TestActivity_CarriesAMonthOfAttendancesToThePCN(t *testing.T) {
	t.Parallel()
	a := attendingIn(t, "QWU")
	own := "/v1/activity/pcns/" + a.first.PCNCode + "/months/" + attendedMonth + "/report"

	a.send(t, "FIRST_CUT", strings.Replace(a.file(100), "provider_code", "nhs_number,provider_code", 1)).refused(t, http.StatusBadRequest, "PATIENT_LEVEL_COLUMN")
	a.send(t, "FIRST_CUT", a.file(100)+strings.Split(a.file(1), "\n")[1]+"\n").refused(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
	a.preparer.post(t, a.path+"/report:build", fields{"request_id": unique()}).refused(t, http.StatusBadRequest, "CUT_NOT_FOUND")
	taken := a.send(t, "FIRST_CUT", a.file(100))
	require.Equal(t, http.StatusCreated, taken.Status, "%s", taken)
	a.onlooking.get(t, taken.Header.Get("Location")).ok(t, &fields{})
	require.Equal(t, http.StatusOK, a.send(t, "FIRST_CUT", a.file(100)).Status, "the same again makes nothing")

	r := a.build(t)
	require.Equal(t, "500", *r.Totals.Attendances)
	require.Equal(t, "200", *r.of(t, a.first.PCNCode).Totals.Attendances)
	require.Equal(t, "50", *r.of(t, "UNKNOWN").Totals.Attendances)
	require.Nil(t, r.Totals.NotionalCostPence)
	require.NotEmpty(t, r.Missing)
	require.Contains(t, r.Notes[0], "never an amount owed")
	require.True(t, a.build(t).Unchanged)

	a.manager.get(t, own).refused(t, http.StatusNotFound, "REPORT_NOT_FOUND")
	a.preparer.post(t, a.path+"/report:publish", fields{"request_id": unique(), "report_id": r.ReportID}).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	write[fields](t, a.approver, a.path+"/report:publish", fields{"request_id": unique(), "report_id": r.ReportID})
	require.Equal(t, "PUBLISHED", a.deliveryOf(t, a.first.PCNCode).State)
	got := a.manager.get(t, own, "Accept", csvType)
	require.Equal(t, http.StatusOK, got.Status)
	sum := sha256.Sum256(got.Body)
	d := a.deliveryOf(t, a.first.PCNCode)
	require.Equal(t, "DELIVERED", d.State)
	require.Equal(t, hex.EncodeToString(sum[:]), d.Receipts[0].SHA256, "the proof names the bytes that were fetched")
	require.Equal(t, "manager."+strings.ToLower(a.first.PCNCode), d.Receipts[0].Person)
	a.manager.get(t, strings.Replace(own, a.first.PCNCode, a.second.PCNCode, 1)).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	a.manager.get(t, "/v1/activity/reports/"+r.ReportID).refused(t, http.StatusForbidden, "ROLE_REQUIRED")

	region := as(t, "regional_viewer", a.code)
	shared := read[attendanceReport](t, region, "/v1/activity/reports/"+r.ReportID+"?include_rows=true&level=PRACTICE_LEVEL")
	require.Equal(t, "SHARED_VIEW", shared.View)
	for _, row := range shared.Rows {
		require.Empty(t, row.PracticeCode)
		require.Equal(t, row.PCNCode == a.first.PCNCode && row.Totals.Attendances == nil, row.Hidden)
	}
	as(t, "regional_viewer", "QHM").get(t, "/v1/activity/reports/"+r.ReportID).refused(t, http.StatusNotFound, "REPORT_NOT_FOUND")

	// A final cut restates the month, and what was delivered is of the version before.
	require.Equal(t, http.StatusCreated, a.send(t, "FINAL_CUT", a.file(110)).Status)
	a.send(t, "FIRST_CUT", a.file(120)).refused(t, http.StatusBadRequest, "FINAL_CUT_STANDS")
	a.approver.post(t, a.path+"/report:publish", fields{"request_id": unique(), "report_id": r.ReportID}).refused(t, http.StatusBadRequest, "REPORT_OUTDATED")
	restated := a.build(t)
	require.Equal(t, 2, restated.Version)
	require.Equal(t, a.first.PCNCode, restated.Restatement.Differences[0].PCNCode)
	require.Len(t, restated.Restatement.Differences, 1)
	write[fields](t, a.approver, a.path+"/report:publish", fields{"request_id": unique(), "report_id": restated.ReportID})
	d = a.deliveryOf(t, a.first.PCNCode)
	require.Equal(t, "PUBLISHED", d.State)
	write[fields](t, a.approver, "/v1/activity/settings", fields{"request_id": unique(), "commissioner_code": a.code, "name": "DUE_DAY", "value": "WORKING_DAY 10", "reason": "e2e"})
	acknowledged := write[attendanceDelivery](t, a.manager, own+":acknowledge", fields{"request_id": unique(), "report_id": restated.ReportID, "sha256": d.SHA256})
	require.Equal(t, "DELIVERED", acknowledged.State)
	require.Equal(t, "2025-07-14", acknowledged.DueOn, "the register tells the manager's call which days of July are working days")
	require.Len(t, acknowledged.Receipts, 2)
}
