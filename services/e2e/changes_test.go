package e2e

import (
	"encoding/csv"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// patientsOf adds up the registered lists of practices.
func patientsOf(t testing.TB, practices []snapshotPractice) *big.Rat {
	t.Helper()
	sum := new(big.Rat)
	for _, practice := range practices {
		sum.Add(sum, exact(t, practice.population("REGISTERED")))
	}
	return sum
}

func TestMembership_MovesAPracticeFromOneNetworkToAnother(t *testing.T) {
	t.Parallel()
	c := correctable(t, "M1J4Y", "QHG")
	picture := read[snapshot](t, c.preparer, "/v1/register/snapshot?commissioner_code=M1J4Y&membership_date=2022-04-01")
	from := pictureOf(t, picture, c.pcn)
	at := slices.IndexFunc(picture.PCNs, func(p snapshotPCN) bool { return p.PayerCode == "M1J4Y" && p.Closed == "" && p.PCNCode != c.pcn })
	to := picture.PCNs[at]
	first := read[schedule](t, c.preparer, "/v1/core/schedules/core-M1J4Y-2022-04-1")
	write[load](t, c.preparer, "/v1/register/memberships", fields{
		"request_id": unique(), "commissioner_code": "QHG", "practice_code": c.practice, "pcn_code": to.PCNCode, "effective_from": "2022-04-01", "source": "e2e",
	})
	second := closeMonth(t, c.preparer, "M1J4Y", "2022-04")
	require.Equal(t, second.ScheduleID, closeMonth(t, c.preparer, "M1J4Y", "2022-04").ScheduleID, "nothing is left to schedule")
	moved := big.NewRat(c.published, 1)
	require.Len(t, second.Lines, 8, "three payments in each network, and the practice's own twice")
	for payment, terms := range perHead {
		for _, network := range []struct {
			pcn      string
			patients *big.Rat
		}{
			{from.PCNCode, new(big.Rat).Sub(patientsOf(t, from.Practices), moved)}, {to.PCNCode, new(big.Rat).Add(patientsOf(t, to.Practices), moved)},
		} {
			old := only(t, first.Lines, network.pcn, payment, "2022-04")
			l := only(t, second.Lines, network.pcn, payment, "2022-04")
			require.Equal(t, instalment(t, terms.rate, network.patients, terms.months)-old.AmountPence, l.AmountPence)
			require.Equal(t, "ADJUSTMENT_CAUSE_MEMBERSHIP", l.AdjustmentCause)
			require.Equal(t, old.LineID, l.AdjustsLineID)
		}
	}
	own := find(second.Lines, func(l line) bool { return l.PaymentCode == "NPP" })
	require.Len(t, own, 2)
	require.Zero(t, own[0].AmountPence+own[1].AmountPence, "the practice gets what it got before")
	for _, l := range own {
		require.Equal(t, c.practice, l.PracticeCode)
		require.Equal(t, l.AmountPence > 0, l.PCNCode == to.PCNCode)
		require.Equal(t, "ADJUSTMENT_CAUSE_MEMBERSHIP", l.AdjustmentCause, "a practice that moves goes on taking part")
	}
	moves := read[organisation](t, c.preparer, "/v1/register/organisations/"+c.practice).Relationships
	require.True(t, slices.ContainsFunc(moves, func(r relationship) bool { return r.OtherCode == to.PCNCode && r.EffectiveFrom == "2022-04-01" }))
}

func TestMembership_ThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	c := correctable(t, "B2M3M", "QWU")
	body := fields{"request_id": unique(), "commissioner_code": "QWU", "practice_code": c.practice, "pcn_code": c.pcn, "effective_from": "2022-04-01", "source": "e2e"}
	for name, bad := range map[string]struct {
		body   fields
		status int
		reason string
	}{
		"reversed":        {body.with("effective_to", "2022-03-31"), http.StatusBadRequest, "PERIOD_REVERSED"},
		"30 February":     {body.with("effective_from", "2022-02-30"), http.StatusBadRequest, "DATE_MALFORMED"},
		"unknown network": {body.with("pcn_code", "U99999"), http.StatusNotFound, "ORGANISATION_UNKNOWN"},
		"no code":         {body.with("pcn_code", "U 0"), http.StatusBadRequest, "CODE_MALFORMED"},
		"another's":       {body.with("practice_code", "A81001"), http.StatusNotFound, "ORGANISATION_UNKNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			c.preparer.post(t, "/v1/register/memberships", bad.body).refused(t, bad.status, bad.reason)
		})
	}
	require.Empty(t, read[schedule](t, c.preparer, "/v1/core/commissioners/B2M3M/months/2022-04:preview").Lines)
}

func TestParticipation_EndsWithANoticeInAWindow(t *testing.T) {
	t.Parallel()
	c := correctable(t, "W2U3Z", "QRV")
	first := read[schedule](t, c.preparer, "/v1/core/schedules/core-W2U3Z-2022-04-1")
	body := fields{
		"request_id": unique(), "commissioner_code": "QRV", "practice_code": c.practice, "participating": false, "notice_date": "2022-04-15",
		"effective_from": "2022-04-01", "source": "e2e",
	}
	c.preparer.post(t, "/v1/register/participations", body.with("notice_date", "2022-06-15")).refused(t, http.StatusBadRequest, "OPT_OUT_OUTSIDE_WINDOW")
	c.preparer.post(t, "/v1/register/participations", body.with("notice_date", "")).refused(t, http.StatusBadRequest, "VALUE_MISSING")
	for day, want := range map[string]bool{"2022-04-01": true, "2022-04-30": true, "2022-05-01": false} {
		quote := write[struct {
			InsideWindow bool `json:"inside_window"`
		}](t, c.preparer, "/v1/register/quotes/opt-out", fields{"notice_date": day})
		require.Equal(t, want, quote.InsideWindow, day)
	}
	write[load](t, c.preparer, "/v1/register/participations", body)
	second := closeMonth(t, c.preparer, "W2U3Z", "2022-04")
	own := find(second.Lines, func(l line) bool { return l.PaymentCode == "NPP" })
	require.Len(t, own, 1)
	old := find(first.Lines, func(l line) bool { return l.PracticeCode == c.practice })
	require.Equal(t, -old[0].AmountPence, own[0].AmountPence, "the practice's own payment is taken back")
	require.Equal(t, old[0].LineID, own[0].AdjustsLineID)
	require.Equal(t, "ADJUSTMENT_CAUSE_PARTICIPATION", own[0].AdjustmentCause)
}

func TestBeds_ArePaidOnceStatedAndCoded(t *testing.T) {
	t.Parallel()
	c := correctable(t, "93C", "QMJ")
	month := "/v1/core/commissioners/93C/months/2022-04"
	body := fields{"commissioner_code": "QMJ", "pcn_code": c.pcn, "month": "2022-04", "beds": 37, "coding_satisfied": false, "source": "e2e"}
	write[load](t, c.preparer, "/v1/register/care-home-beds", body.with("request_id", unique()))
	preview := read[schedule](t, c.preparer, month+":preview")
	require.Empty(t, preview.Lines, "not while residents are not coded")
	require.True(t, slices.ContainsFunc(preview.Withheld, func(w withheld) bool {
		return w.PCNCode == c.pcn && w.Reason == "CODING_NOT_SATISFIED" && w.AmountPence == 37*10_00
	}), "%+v", preview.Withheld)
	closed := closeMonth(t, c.preparer, "93C", "2022-04")
	require.Equal(t, 1, closed.Sequence, "nothing to schedule")

	write[load](t, c.preparer, "/v1/register/care-home-beds", body.with("coding_satisfied", true).with("request_id", unique()))
	second := closeMonth(t, c.preparer, "93C", "2022-04")
	require.Len(t, second.Lines, 1)
	l := only(t, second.Lines, c.pcn, "CARE_HOME_PREMIUM", "2022-04")
	require.EqualValues(t, 37*10_00, l.AmountPence, "£120 a bed and year")
	require.Empty(t, l.AdjustsLineID)

	write[load](t, c.preparer, "/v1/register/care-home-beds", body.with("coding_satisfied", true).with("beds", 30).with("request_id", unique()))
	third := closeMonth(t, c.preparer, "93C", "2022-04")
	less := only(t, third.Lines, c.pcn, "CARE_HOME_PREMIUM", "2022-04")
	require.EqualValues(t, -7*10_00, less.AmountPence)
	require.Equal(t, "ADJUSTMENT_CAUSE_BEDS", less.AdjustmentCause)
	require.Equal(t, l.LineID, less.AdjustsLineID)
}

func TestDownload_MakesTextOfFormulas(t *testing.T) {
	t.Parallel()
	c := correctable(t, "42D", "QOQ")
	write[load](t, c.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": "QOQ", "organisation_code": c.pcn, "payee_code": "E2E02", "payee_name": "=cmd|' /C calc'!A0",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	closed := closeMonth(t, c.preparer, "42D", "2022-04")
	file := c.preparer.get(t, "/v1/core/schedules/"+closed.ScheduleID+"/lines.csv")
	rows, err := csv.NewReader(strings.NewReader(string(file.Body))).ReadAll()
	require.NoError(t, err)
	name, code := slices.Index(rows[0], "payee_name"), slices.Index(rows[0], "payee_code")
	found := 0
	for _, row := range rows[1:] {
		if row[code] == "E2E02" {
			found++
			require.Equal(t, "'=cmd|' /C calc'!A0", row[name])
		}
	}
	require.Equal(t, 3, found)
}

func TestWithholding_StandsWhileAnyDecisionDoes(t *testing.T) {
	t.Parallel()
	preparer, approver := as(t, "finance_preparer", "D4U1Y"), as(t, "finance_approver", "D4U1Y")
	pcn := firstPCN(t, preparer, "D4U1Y", "2022-04").PCNCode
	body := fields{"commissioner_code": "D4U1Y", "pcn_code": pcn, "payment_code": "CLINICAL_DIRECTOR", "from_month": "2022-05", "reason": "e2e"}
	first := write[withholding](t, preparer, "/v1/core/withholdings", body.with("request_id", unique()))
	write[withholding](t, preparer, "/v1/core/withholdings", body.with("request_id", unique()).with("to_month", "2022-05"))
	write[withholding](t, approver, "/v1/core/withholdings/"+first.WithholdingID+":release", fields{
		"request_id": unique(), "commissioner_code": "D4U1Y", "etag": first.ETag, "reason": "e2e",
	})
	may := closeMonth(t, preparer, "D4U1Y", "2022-05")
	require.Empty(t, find(may.Lines, func(l line) bool { return l.PCNCode == pcn && l.PaymentCode == "CLINICAL_DIRECTOR" }), "one decision still stands")
	june := closeMonth(t, preparer, "D4U1Y", "2022-06")
	only(t, june.Lines, pcn, "CLINICAL_DIRECTOR", "2022-06")
}

func TestRates_PageByPageAreTheSameAsAtOnce(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor", "X2C4Y")
	whole := read[rateList](t, auditor, "/v1/core/rates?page_size=1000&include_superseded=true")
	require.Greater(t, len(whole.Rates), 50)
	var pieces []rate
	for token := ""; ; {
		page := read[rateList](t, auditor, "/v1/core/rates?page_size=7&include_superseded=true&page_token="+url.QueryEscape(token))
		pieces = append(pieces, page.Rates...)
		if token = page.NextPageToken; token == "" {
			break
		}
		require.Less(t, len(pieces), 1000)
	}
	require.Equal(t, whole.Rates, pieces)
	for _, r := range read[rateList](t, auditor, "/v1/core/rates?page_size=1000&payment_code=NPP&on_date=2022-04-01").Rates {
		require.Equal(t, "NPP-2022-04", r.RateID)
	}
	for _, r := range read[rateList](t, auditor, "/v1/core/rates?page_size=1000&not_payable_only=true").Rates {
		require.Contains(t, []string{"CONFIDENCE_CANDIDATE", "CONFIDENCE_UNKNOWN"}, r.Confidence)
	}
}
