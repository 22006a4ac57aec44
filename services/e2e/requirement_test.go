package e2e

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// coreFunctions is a requirement that has been due since April 2026.
const coreFunctions = "2026-27-core-functions"

type requirementStatus struct {
	PCNCode          string `json:"pcn_code"`
	CommissionerCode string `json:"commissioner_code"`
	State            string `json:"state"`
	RecordedState    string `json:"recorded_state"`
	DaysLate         int    `json:"days_late"`
	MetDate          string `json:"met_date"`
	Requirement      struct {
		RequirementID string `json:"requirement_id"`
		DueDate       string `json:"due_date"`
		DueBasis      string `json:"due_basis"`
		Confidence    string `json:"confidence"`
		Source        string `json:"source"`
	} `json:"requirement"`
	History []struct {
		Kind       string `json:"kind"`
		RecordedBy string `json:"recorded_by"`
		Reason     string `json:"reason"`
	} `json:"history"`
	ETag string `json:"etag"`
}

type requirementStatuses struct {
	Statuses []requirementStatus `json:"statuses"`
}

type requirementSummary struct {
	Counts []struct {
		RequirementID string `json:"requirement_id"`
		States        []struct {
			State string `json:"state"`
			PCNs  int    `json:"pcns"`
		} `json:"states"`
		PCNs int `json:"pcns"`
	} `json:"counts"`
	PCNs int `json:"pcns"`
}

// ofPCN is a caller who runs a PCN.
func ofPCN(t testing.TB, name, pcn string) caller {
	t.Helper()
	token, err := suite.tokenBy(suite.dataDir, "--role", "pcn_manager", "--pcn", pcn, "--subject", name)
	require.NoError(t, err)
	return caller{token: token}
}

// TestRequirement_IsPlannedDeliveredReturnedAndEvidenced follows one requirement at a PCN through its life.
func TestRequirement_IsPlannedDeliveredReturnedAndEvidenced(t *testing.T) {
	t.Parallel()
	const commissioner = "QU9"
	preparer, approver := as(t, "finance_preparer", commissioner), named(t, "approver.of.requirements", "finance_approver", commissioner)
	query := "?financial_year=2026-27&commissioner_code=" + commissioner
	all := read[requirementStatuses](t, preparer, "/v1/register/requirement-statuses"+query+"&page_size=1000&requirement_id="+coreFunctions).Statuses
	require.NotEmpty(t, all)
	first := all[0]
	require.Equal(t, []string{commissioner, "DUE_PASSED", "2026-04-01", "DUE_FROM_START", "CONFIDENCE_SECONDARY"}, []string{
		first.CommissionerCode, first.State, first.Requirement.DueDate, first.Requirement.DueBasis, first.Requirement.Confidence,
	})
	require.Zero(t, first.DaysLate, "its day had passed before the suite held it")
	require.NotEmpty(t, first.Requirement.Source)
	path := "/v1/register/pcns/" + first.PCNCode + "/requirements/" + coreFunctions
	name := "manager." + strings.ToLower(first.PCNCode)
	manager := ofPCN(t, name, first.PCNCode)

	plan := fields{"request_id": unique(), "etag": "0", "kind": "PLAN", "planned_date": "2026-12-01"}
	ofPCN(t, "another.manager", all[1].PCNCode).post(t, path+":record", plan).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	ofPCN(t, "another.manager", all[1].PCNCode).get(t, path).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	as(t, "finance_preparer", "QHM").get(t, path).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	preparer.post(t, path+":record", plan).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	as(t, "integration", commissioner).post(t, path+":record", plan).refused(t, http.StatusForbidden, "ROLE_REQUIRED")

	planned := write[requirementStatus](t, manager, path+":record", plan)
	require.Equal(t, []string{"OVERDUE", "PLANNED"}, []string{planned.State, planned.RecordedState}, "a plan is no delivery")
	require.Equal(t, planned, write[requirementStatus](t, manager, path+":record", plan), "the same request again gets the same answer")
	deliver := fields{
		"request_id": unique(), "kind": "DELIVER", "met_date": "2026-05-01", "evidence_type": "board minute", "evidence_reference": "=minute 7",
	}
	manager.post(t, path+":record", deliver.with("etag", "0")).refused(t, http.StatusPreconditionFailed, "VERSION_CHANGED")
	manager.post(t, path+":record", deliver.with("etag", planned.ETag).with("met_date", "2099-01-01")).refused(t, http.StatusBadRequest, "DAY_IN_FUTURE")
	delivered := write[requirementStatus](t, manager, path+":record", deliver, "If-Match", `"`+planned.ETag+`"`)
	require.Equal(t, "DELIVERED", delivered.State)
	require.Equal(t, 30, delivered.DaysLate)

	accept := fields{"request_id": unique(), "etag": delivered.ETag, "kind": "ACCEPT_EVIDENCE"}
	named(t, name, "finance_preparer", commissioner).post(t, path+":record", accept).refused(t, http.StatusForbidden, "ACCEPTER_IS_MAKER")
	back := fields{"request_id": unique(), "etag": delivered.ETag, "kind": "RETURN_EVIDENCE"}
	preparer.post(t, path+":record", back).refused(t, http.StatusBadRequest, "REASON_MISSING")
	returned := write[requirementStatus](t, preparer, path+":record", back.with("reason", "the minute is not signed"))
	require.Equal(t, []string{"OVERDUE", "IN_PROGRESS"}, []string{returned.State, returned.RecordedState})
	preparer.post(t, path+":record", accept.with("etag", returned.ETag).with("request_id", unique())).refused(t, http.StatusBadRequest, "STEP_NOT_ALLOWED")
	again := write[requirementStatus](t, manager, path+":record", deliver.with("request_id", unique()).with("etag", returned.ETag))
	write[requirementStatus](t, approver, path+":record", accept.with("etag", again.ETag).with("request_id", unique()))

	got := read[requirementStatus](t, manager, path)
	require.Equal(t, "EVIDENCED", got.State)
	kinds := make([]string, 0, len(got.History))
	for _, step := range got.History {
		kinds = append(kinds, step.Kind)
	}
	require.Equal(t, []string{"PLAN", "DELIVER", "RETURN_EVIDENCE", "DELIVER", "ACCEPT_EVIDENCE"}, kinds)
	require.Equal(t, "the minute is not signed", got.History[2].Reason)

	summary := read[requirementSummary](t, preparer, "/v1/register/requirement-summary"+query)
	require.Equal(t, len(all), summary.PCNs)
	for _, row := range summary.Counts {
		sum := 0
		for _, state := range row.States {
			sum += state.PCNs
			if row.RequirementID == coreFunctions && state.State == "EVIDENCED" {
				require.Equal(t, 1, state.PCNs)
			}
		}
		require.Equal(t, []int{summary.PCNs, summary.PCNs}, []int{row.PCNs, sum}, row.RequirementID)
	}

	file := preparer.get(t, "/v1/register/requirement-statuses.csv"+query+"&state=EVIDENCED")
	require.Equal(t, http.StatusOK, file.Status)
	rows, err := csv.NewReader(strings.NewReader(string(file.Body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Contains(t, rows[1], first.PCNCode)
	require.Contains(t, rows[1], "'=minute 7", "a cell that a spreadsheet would run is text")
}

// TestCalendar_ItemIsAddedShownAndDone follows one item of a commissioner.
func TestCalendar_ItemIsAddedShownAndDone(t *testing.T) {
	t.Parallel()
	type item struct {
		ItemID   string `json:"item_id"`
		FallsDue string `json:"falls_due"`
		State    string `json:"state"`
		ETag     string `json:"etag"`
	}
	type items struct {
		Items []item `json:"items"`
	}
	preparer := as(t, "finance_preparer", "QJ2")
	body := fields{
		"request_id": unique(), "commissioner_code": "QJ2", "title": "Board agrees the plan", "owner_level": "COMMISSIONER_LEVEL", "due_date": "2027-12-25",
		"source": "terms of reference", "confidence": "CONFIDENCE_OFFICIAL",
	}
	added := write[item](t, preparer, "/v1/register/calendar", body)
	require.Equal(t, []string{"2027-12-29", "OPEN"}, []string{added.FallsDue, added.State}, "Christmas 2027 is a Saturday with two days in lieu")
	preparer.post(t, "/v1/register/calendar", body.with("request_id", unique()).with("due_date", "2031-01-01")).
		refused(t, http.StatusBadRequest, "BANK_HOLIDAYS_UNKNOWN")
	preparer.post(t, "/v1/register/calendar", body.with("request_id", unique()).with("commissioner_code", "QHM")).refused(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
	path := "/v1/register/calendar/" + added.ItemID
	as(t, "finance_preparer", "QHM").get(t, path).refused(t, http.StatusNotFound, "CALENDAR_ITEM_NOT_FOUND")
	period := "/v1/register/calendar?from_date=2027-12-29&to_date=2027-12-29"
	require.Equal(t, []item{added}, read[items](t, preparer, period).Items)
	require.Empty(t, read[items](t, as(t, "finance_preparer", "QHM"), period).Items)
	done := write[item](t, preparer, path+":settle", fields{"request_id": unique(), "etag": added.ETag, "state": "DONE", "completed_date": "2026-01-05", "evidence": "minute 4"})
	require.Equal(t, "DONE", done.State)
	require.Equal(t, "DONE", read[item](t, preparer, path).State)
}
