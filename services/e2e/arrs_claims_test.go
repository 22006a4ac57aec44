package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// claimLine is a line of a claim.
type claimLine struct {
	LineID        string `json:"line_id"`
	Label         string `json:"label"`
	ClaimedPence  int64  `json:"claimed_pence,string"`
	PayablePence  int64  `json:"payable_pence,string"`
	ApprovedPence int64  `json:"approved_pence,string"`
	ReplacedPence int64  `json:"replaced_pence,string"`
	ReplacedBy    string `json:"replaced_by_line_id"`
	Parts         []struct {
		Reason      string `json:"reason"`
		AmountPence int64  `json:"amount_pence,string"`
	} `json:"parts"`
	Tests []struct {
		Test    string `json:"test"`
		Outcome string `json:"outcome"`
	} `json:"tests"`
}

type staffClaim struct {
	ClaimID string      `json:"claim_id"`
	State   string      `json:"state"`
	ETag    string      `json:"etag"`
	Lines   []claimLine `json:"lines"`
}

// pcnYear is what a PCN has of a year.
type pcnYear struct {
	PCNCode string `json:"pcn_code"`
	Pots    []struct {
		EntitlementPence int64 `json:"entitlement_pence,string"`
		SubmittedPence   int64 `json:"submitted_pence,string"`
		ApprovedPence    int64 `json:"approved_pence,string"`
		ScheduledPence   int64 `json:"scheduled_pence,string"`
		RemainingPence   int64 `json:"remaining_pence,string"`
	} `json:"pots"`
}

// claiming is a PCN that claims for staff, with its manager.
type claiming struct {
	office
	pcn     string
	manager caller
}

// claimingIn fixes the year of a body and takes one of its PCNs.
func claimingIn(t testing.TB, icb string) claiming {
	t.Helper()
	c := claiming{office: officeOf(t, icb)}
	write[fields](t, c.preparer, "/v1/arrs/commissioners/"+icb+"/years/2022-23:fix", fields{"request_id": unique()})
	years := read[struct {
		Years []pcnYear `json:"years"`
	}](t, c.onlooking, "/v1/arrs/years?financial_year=2022-23&page_size=1000&commissioner_code="+icb).Years
	for _, year := range years {
		if len(year.Pots) > 0 && year.Pots[0].EntitlementPence > 0 {
			c.pcn = year.PCNCode
		}
	}
	require.NotEmpty(t, c.pcn, "a PCN with a sum")
	c.manager = managerOf(t, c.pcn)
	for _, label := range []string{"CC 1", "CC 2"} {
		write[fields](t, c.manager, "/v1/arrs/engagements", fields{
			"request_id": unique(), "pcn_code": c.pcn, "commissioner_code": icb, "label": label, "person_reference": "ref " + label,
			"terms": fields{"role_code": "CC", "per_week": "37.5", "start_date": "2022-04-01"},
		})
	}
	return c
}

// claim is the body of a claim: each line's cost is all salary.
func (c claiming) claim(kind, month string, pence map[string]int64) fields {
	var lines []fields
	for _, label := range []string{"CC 1", "CC 2"} {
		if cost, named := pence[label]; named {
			lines = append(lines, fields{"label": label, "salary_pence": cost})
		}
	}
	return fields{"request_id": unique(), "claim": fields{
		"pcn_code": c.pcn, "commissioner_code": c.code, "month": month, "kind": kind, "declared": true, "lines": lines,
	}}
}

// put puts a claim forward in the commissioner's name, since the months of 2022 are longer past than a PCN may enter.
func (c claiming) put(t testing.TB, kind, month string, pence map[string]int64) staffClaim {
	t.Helper()
	return write[staffClaim](t, c.preparer, "/v1/arrs/claims", c.claim(kind, month, pence))
}

func (c claiming) decide(t testing.TB, claim staffClaim, more fields) staffClaim {
	t.Helper()
	body := fields{"request_id": unique(), "etag": claim.ETag, "approve": true, "reason": "e2e"}
	for name, value := range more {
		body[name] = value
	}
	return write[staffClaim](t, c.approver, "/v1/arrs/claims/"+claim.ClaimID+":decide", body)
}

func (c claiming) year(t testing.TB) pcnYear {
	t.Helper()
	return read[pcnYear](t, c.manager, "/v1/arrs/pcns/"+c.pcn+"/years/2022-23")
}

// pays closes a month of arrs and takes its run through, whether or not core has closed.
func (c claiming) pays(t testing.TB, month string) (schedule, payRun) {
	t.Helper()
	closed := write[schedule](t, c.preparer, "/v1/arrs/commissioners/"+c.code+"/months/"+month+":close", fields{"request_id": unique()})
	requireSums(t, closed)
	c.received(t, closed)
	run := c.run(t, month, 1)
	run = write[payRun](t, c.preparer, "/v1/payments/runs/"+run.RunID+":submit", fields{
		"request_id": unique(), "etag": run.ETag, "note": "e2e", "missing_funds": []fields{{"fund": "FUND_CORE", "reason": "paid by hand"}},
	})
	return closed, c.approve(t, run)
}

// TestArrs_ClaimsArePaidCorrectedAndRecovered takes staff from a claim to money sent, and what was claimed wrongly back again.
func TestArrs_ClaimsArePaidCorrectedAndRecovered(t *testing.T) {
	t.Parallel()
	c := claimingIn(t, "QWO")
	before := c.year(t).Pots[0]
	c.manager.post(t, "/v1/arrs/claims", c.claim("MONTHLY", "2022-10", map[string]int64{"CC 1": 1})).refused(t, http.StatusBadRequest, "CLAIM_INVALID")

	checked := write[staffClaim](t, c.preparer, "/v1/arrs/claims:check", fields{"claim": c.claim("MONTHLY", "2022-10", map[string]int64{"CC 1": 1_00})["claim"]})
	require.Empty(t, checked.ClaimID)
	claim := c.put(t, "MONTHLY", "2022-10", map[string]int64{"CC 1": 2_000_00, "CC 2": 9_000_00})
	require.Equal(t, int64(2_000_00), claim.Lines[0].PayablePence)
	require.Equal(t, "OVER_MAXIMUM", claim.Lines[1].Parts[0].Reason)
	require.Equal(t, int64(9_000_00), claim.Lines[1].PayablePence+claim.Lines[1].Parts[0].AmountPence)
	require.Len(t, claim.Lines[0].Tests, 4)
	maximum := claim.Lines[1].PayablePence
	c.preparer.post(t, "/v1/arrs/claims/"+claim.ClaimID+":decide", fields{"request_id": unique(), "etag": claim.ETag, "approve": true}).
		refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	as(t, "finance_approver", "15N").post(t, "/v1/arrs/claims/"+claim.ClaimID+":decide", fields{"request_id": unique(), "etag": claim.ETag, "approve": true}).
		refused(t, http.StatusNotFound, "CLAIM_NOT_FOUND")
	part := c.decide(t, claim, fields{"lines": []fields{{"line_id": claim.Lines[1].LineID, "approved_pence": 1_500_00, "reason": "half of the month"}}})
	require.Equal(t, "PARTLY_APPROVED", part.State[len("CLAIM_STATE_"):])
	october, run := c.pays(t, "2022-10")
	require.Equal(t, int64(3_500_00), october.PayTotalPence)
	require.Equal(t, int64(3_500_00), run.Totals.NetPence)

	// Of the first person the whole was wrong, and of the second the other half was due.
	correction := c.put(t, "CORRECTION", "2022-10", map[string]int64{"CC 1": 0, "CC 2": 9_000_00})
	require.Equal(t, []int64{2_000_00, 1_500_00}, []int64{correction.Lines[0].ReplacedPence, correction.Lines[1].ReplacedPence})
	require.Zero(t, c.year(t).Pots[0].SubmittedPence, "what it comes to is approved already")
	c.decide(t, correction, nil)
	was := read[staffClaim](t, c.manager, "/v1/arrs/claims/"+claim.ClaimID)
	require.Equal(t, correction.Lines[1].LineID, was.Lines[1].ReplacedBy)
	november, run := c.pays(t, "2022-11")
	require.Equal(t, maximum-3_500_00, november.PayTotalPence)
	require.Negative(t, november.PayTotalPence)
	explained := read[explainedLine](t, c.onlooking, "/v1/arrs/lines/"+november.Lines[0].LineID)
	require.True(t, explained.Verified)
	require.Equal(t, november.ScheduleID, explained.ScheduleID)
	c.manager.get(t, "/v1/arrs/lines/"+november.Lines[0].LineID).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	as(t, "auditor", "15N").get(t, "/v1/arrs/lines/"+november.Lines[0].LineID).refused(t, http.StatusNotFound, "LINE_NOT_FOUND")
	require.Zero(t, run.Totals.NetPence, "an overpayment is carried, not sent")
	require.Equal(t, november.PayTotalPence, c.payees(t, run.RunID)[0].CarriedForwardPence)

	c.decide(t, c.put(t, "MONTHLY", "2022-12", map[string]int64{"CC 2": 3_000_00}), nil)
	december, run := c.pays(t, "2022-12")
	require.Equal(t, december.PayTotalPence+november.PayTotalPence, run.Totals.NetPence, "and taken off the next month")
	after := c.year(t).Pots[0]
	require.Equal(t, maximum+december.PayTotalPence, after.ScheduledPence)
	require.Equal(t, after.ScheduledPence, after.ApprovedPence)
	require.Equal(t, before.EntitlementPence-after.ApprovedPence, after.RemainingPence)
	require.Equal(t, october.PayTotalPence+november.PayTotalPence+december.PayTotalPence, after.ScheduledPence, "the schedules together are what stands")
}
