package e2e

import (
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// firstPCN returns the first PCN that a commissioner pays in a month.
func firstPCN(t testing.TB, who caller, commissioner, month string) snapshotPCN {
	t.Helper()
	picture := read[snapshot](t, who, "/v1/register/snapshot?commissioner_code="+commissioner+"&membership_date="+month+"-01")
	at := slices.IndexFunc(picture.PCNs, func(p snapshotPCN) bool { return p.PayerCode == commissioner && p.Closed == "" && len(p.Practices) > 1 })
	require.GreaterOrEqual(t, at, 0, "%s pays no PCN in %s", commissioner, month)
	return picture.PCNs[at]
}

func TestWithholding_HoldsBackAndReleasePays(t *testing.T) {
	t.Parallel()
	preparer, approver := as(t, "finance_preparer", "03R"), as(t, "finance_approver", "03R")
	pcn := firstPCN(t, preparer, "03R", "2022-04").PCNCode
	first := read[schedule](t, preparer, "/v1/core/schedules/core-03R-2022-04-1")
	amount := only(t, first.Lines, pcn, "CORE_PCN", "2022-04").AmountPence
	held := write[withholding](t, preparer, "/v1/core/withholdings", fields{
		"request_id": unique(), "commissioner_code": "03R", "pcn_code": pcn, "payment_code": "CORE_PCN", "from_month": "2022-04", "reason": "e2e: no accounts",
	})
	require.NotEmpty(t, held.ETag)
	require.Equal(t, first.ScheduleID, closeMonth(t, preparer, "03R", "2022-04").ScheduleID, "what was scheduled before stays")

	may := closeMonth(t, preparer, "03R", "2022-05")
	require.Empty(t, find(may.Lines, func(l line) bool { return l.PCNCode == pcn && l.PaymentCode == "CORE_PCN" }))
	require.Contains(t, may.Withheld, withheld{"CORE_PCN", "2022-05", pcn, amount, "WITHHELD", held.WithholdingID})
	require.Len(t, may.Lines, first.LineCount-1)
	month := read[pcnMonth](t, preparer, "/v1/core/pcns/"+pcn+"/months/2022-05")
	require.Contains(t, month.Withheld, withheld{"CORE_PCN", "2022-05", pcn, amount, "WITHHELD", held.WithholdingID})

	released := release(t, preparer, approver, held)
	require.Equal(t, "e2e: accounts seen", released.ReleaseReason)
	require.NotEmpty(t, released.ReleasedBy)
	second := closeMonth(t, preparer, "03R", "2022-05")
	require.Equal(t, 2, second.Sequence)
	require.Len(t, second.Lines, 1)
	l := only(t, second.Lines, pcn, "CORE_PCN", "2022-05")
	require.Equal(t, amount, l.AmountPence)
	require.Equal(t, "ADJUSTMENT_CAUSE_RELEASE", l.AdjustmentCause)
	require.Empty(t, l.AdjustsLineID, "nothing had been scheduled")
	require.Empty(t, second.Withheld)
}

// release tries every wrong way and then the right one.
func release(t testing.TB, preparer, approver caller, held withholding) withholding {
	t.Helper()
	path := "/v1/core/withholdings/" + held.WithholdingID + ":release"
	body := fields{"request_id": unique(), "commissioner_code": held.CommissionerCode, "reason": "e2e: accounts seen"}
	preparer.post(t, path, body, "If-Match", `"`+held.ETag+`"`).refused(t, 403, "ROLE_REQUIRED")
	approver.post(t, path, body).refused(t, 400, "ETAG_REQUIRED")
	approver.post(t, path, body, "If-Match", `"stale"`).refused(t, 412, "VERSION_CHANGED")
	approver.post(t, path, body.with("commissioner_code", "02Q"), "If-Match", `"`+held.ETag+`"`).refused(t, 404, "RESOURCE_NOT_FOUND")
	approver.post(t, "/v1/core/withholdings/none:release", body, "If-Match", `"`+held.ETag+`"`).refused(t, 404, "WITHHOLDING_NOT_FOUND")

	got := approver.post(t, path, body, "If-Match", `"`+held.ETag+`"`)
	var released withholding
	got.ok(t, &released)
	require.NotEqual(t, held.ETag, released.ETag)
	require.Equal(t, `"`+released.ETag+`"`, got.Header.Get("Etag"))
	again := body.with("request_id", unique())
	approver.post(t, path, again, "If-Match", `"`+held.ETag+`"`).refused(t, 412, "VERSION_CHANGED")
	approver.post(t, path, again, "If-Match", `"`+released.ETag+`"`).refused(t, 400, "WITHHOLDING_RELEASED")

	open := read[withholdingList](t, approver, "/v1/core/withholdings?open_only=true&commissioner_code="+held.CommissionerCode)
	require.NotContains(t, open.Withholdings, released)
	all := read[withholdingList](t, approver, "/v1/core/withholdings?commissioner_code="+held.CommissionerCode)
	require.Contains(t, all.Withholdings, released)
	return released
}

func TestRate_IsConfirmedForOneCommissioner(t *testing.T) {
	t.Parallel()
	preparer, approver := as(t, "finance_preparer", "QT1"), as(t, "finance_approver", "QT1")
	pcn := firstPCN(t, preparer, "QT1", "2022-10").PCNCode
	write[load](t, preparer, "/v1/register/populations", fields{
		"request_id": unique(), "commissioner_code": "QT1", "organisation_code": pcn, "kind": "POPULATION_KIND_ADJUSTED",
		"reference_date": "2022-01-01", "value": "40000", "source": "e2e",
	})
	first := closeMonth(t, preparer, "QT1", "2022-10")
	require.Empty(t, find(first.Lines, func(l line) bool { return l.PaymentCode == "CASP" }), "a rate without a figure is refused, never nought")
	require.Contains(t, refusedPayments(first.Refusals, "RATE_UNKNOWN", "2022-10"), "CASP")

	path := "/v1/core/rates/CASP-2022-10:confirm"
	body := fields{"request_id": unique(), "commissioner_code": "QT1", "rate_gbp": "1.3", "source": "e2e letter", "confidence": "CONFIDENCE_OFFICIAL"}
	preparer.post(t, path, body, "If-Match", `"CASP-2022-10"`).refused(t, 403, "ROLE_REQUIRED")
	approver.post(t, path, body, "If-Match", `"other"`).refused(t, 412, "RATE_CHANGED")
	approver.post(t, path, body.with("rate_gbp", "")).refused(t, 400, "RATE_FIGURE_REQUIRED")
	approver.post(t, path, body.with("rate_gbp", "1e3")).refused(t, 400, "DECIMAL_MALFORMED")
	approver.post(t, path, body.with("rate_gbp", "-1")).refused(t, 400, "DECIMAL_MALFORMED")
	approver.post(t, path, body.with("confidence", "CONFIDENCE_CANDIDATE")).refused(t, 400, "RATE_NOT_CONFIRMABLE")
	approver.post(t, "/v1/core/rates/NPP-2022-04:confirm", body).refused(t, 400, "RATE_NOT_CONFIRMABLE")
	approver.post(t, "/v1/core/rates/NONE:confirm", body).refused(t, 404, "RATE_NOT_FOUND")
	approver.post(t, path, body.with("commissioner_code", "")).refused(t, 403, "ENGLAND_REQUIRED")

	confirmed := write[rate](t, approver, path, body, "If-Match", `"CASP-2022-10"`)
	require.Equal(t, "1.3", confirmed.RateGBP)
	require.Equal(t, "QT1", confirmed.CommissionerCode)
	require.Equal(t, confirmed, read[rate](t, preparer, "/v1/core/rates/"+confirmed.RateID))
	approver.post(t, path, body.with("request_id", unique())).refused(t, 412, "RATE_CHANGED")
	as(t, "finance_preparer", "QXU").get(t, "/v1/core/rates/"+confirmed.RateID).refused(t, 404, "RATE_NOT_FOUND")
	national := read[rate](t, preparer, "/v1/core/rates/CASP-2022-10")
	require.Empty(t, national.RateGBP, "England's own stays unknown")
	require.False(t, national.Superseded)

	second := closeMonth(t, preparer, "QT1", "2022-10")
	l := only(t, second.Lines, pcn, "CASP", "2022-10")
	require.Equal(t, instalment(t, "1.3", big.NewRat(40000, 1), 6), l.AmountPence)
	require.Equal(t, "ADJUSTMENT_CAUSE_FIGURE_ENTERED", l.AdjustmentCause)
	require.NotContains(t, refusedPayments(second.Refusals, "RATE_UNKNOWN", "2022-10"), "CASP")
}

func refusedPayments(refusals []refusal, reason, month string) []string {
	var out []string
	for _, r := range refusals {
		if r.Reason == reason && r.ForMonth == month {
			out = append(out, r.PaymentCode)
		}
	}
	return out
}

func TestRate_AddedInPlaceOfAnotherIsARateCorrection(t *testing.T) {
	t.Parallel()
	preparer := as(t, "finance_preparer", "D9Y0V")
	first := read[schedule](t, preparer, "/v1/core/schedules/core-D9Y0V-2022-04-1")
	body := fields{
		"request_id": unique(), "commissioner_code": "D9Y0V", "payment_code": "CORE_PCN", "effective_from": "2022-04-01", "effective_to": "2023-03-31",
		"rate_gbp": "1.62", "source": "e2e", "confidence": "CONFIDENCE_OFFICIAL", "version": "local",
	}
	approver := as(t, "finance_approver", "D9Y0V")
	preparer.post(t, "/v1/core/rates", body).refused(t, 403, "APPROVER_REQUIRED")
	approver.post(t, "/v1/core/rates", body.with("effective_from", "2022-04-02")).refused(t, 400, "RATE_PERIOD_INVALID")
	approver.post(t, "/v1/core/rates", body.with("effective_to", "2022-12-31")).refused(t, 400, "RATE_PERIOD_INVALID")
	approver.post(t, "/v1/core/rates", body.with("effective_to", "2023-02-30")).refused(t, 400, "RATE_PERIOD_INVALID")
	approver.post(t, "/v1/core/rates", body.with("payment_code", "NOTHING")).refused(t, 400, "PAYMENT_UNKNOWN")
	approver.post(t, "/v1/core/rates", body.with("rate_gbp", "٣")).refused(t, 400, "DECIMAL_MALFORMED")
	added := write[rate](t, approver, "/v1/core/rates", body)
	require.Equal(t, "1.62", added.RateGBP)

	second := closeMonth(t, preparer, "D9Y0V", "2022-04")
	require.Equal(t, 2, second.Sequence)
	require.NotEmpty(t, second.Lines)
	for _, l := range second.Lines {
		old := only(t, first.Lines, l.PCNCode, "CORE_PCN", "2022-04")
		require.Equal(t, "CORE_PCN", l.PaymentCode)
		require.Equal(t, "ADJUSTMENT_CAUSE_RATE", l.AdjustmentCause)
		require.Equal(t, old.LineID, l.AdjustsLineID)
	}
	require.Len(t, second.Lines, len(find(first.Lines, func(l line) bool { return l.PaymentCode == "CORE_PCN" })))
	auditor := as(t, "auditor", "D9Y0V")
	l := read[explainedLine](t, auditor, "/v1/core/lines/"+second.Lines[0].LineID)
	require.Equal(t, second.Lines[0].AmountPence, evaluate(t, l.Line.Working))
	require.Equal(t, "1.62", inputValue(t, l.Line.Working, "rate"))
}

func TestRate_IsNotConfirmedByWhoAddedIt(t *testing.T) {
	t.Parallel()
	both := wearingBothHats(t, "QOC")
	added := write[rate](t, both, "/v1/core/rates", fields{
		"request_id": unique(), "commissioner_code": "QOC", "payment_code": "CASP", "effective_from": "2025-04-01", "effective_to": "2026-03-31",
		"rate_gbp": "99", "source": "e2e", "confidence": "CONFIDENCE_CANDIDATE", "version": "local",
	})
	path := "/v1/core/rates/" + added.RateID + ":confirm"
	body := fields{"request_id": unique(), "commissioner_code": "QOC", "source": "e2e", "confidence": "CONFIDENCE_OFFICIAL"}
	got := both.post(t, path, body)
	require.Equal(t, 403, got.Status, "the maker is never the checker: %s", got)
	confirmed := write[rate](t, named(t, "another."+unique(), "finance_approver", "QOC"), path, body)
	require.Equal(t, "99", confirmed.RateGBP)
}

// wearingBothHats returns one person who prepares and approves.
func wearingBothHats(t testing.TB, commissioner string) caller {
	t.Helper()
	require.NotEmpty(t, suite.binary, "a token of two roles needs PCN_BIN")
	token, err := suite.tokenBy(suite.dataDir, "--role", "finance_preparer", "--role", "finance_approver", "--commissioner", commissioner, "--subject", "both.hats")
	require.NoError(t, err)
	return caller{token: token}
}

func TestDeclaration_IsDecidedByAnotherPerson(t *testing.T) {
	t.Parallel()
	maker := named(t, "maker."+unique(), "finance_preparer", "QOX")
	checker := named(t, "checker."+unique(), "finance_approver", "QOX")
	both := wearingBothHats(t, "QOX")
	pcn := firstPCN(t, maker, "QOX", "2025-04")
	body := fields{
		"request_id": unique(), "commissioner_code": "QOX", "pcn_code": pcn.PCNCode, "payment_code": "CAIP_ACCESS", "month": "2025-06", "evidence": "e2e",
	}
	maker.post(t, "/v1/core/declarations", body.with("payment_code", "CORE_PCN")).refused(t, 400, "DECLARATION_PART_UNKNOWN")
	maker.post(t, "/v1/core/declarations", body.with("month", "2026-06")).refused(t, 400, "DECLARATION_OUT_OF_TIME")
	maker.post(t, "/v1/core/declarations", body.with("pcn_code", "U89141")).refused(t, 404, "PCN_NOT_FOUND")
	checker.post(t, "/v1/core/declarations", body).refused(t, 403, "ROLE_REQUIRED")

	declared := write[declaration](t, both, "/v1/core/declarations", body)
	require.Equal(t, "DECLARED", declared.State)
	maker.post(t, "/v1/core/declarations", body.with("request_id", unique())).refused(t, 409, "DECLARATION_DECIDED")
	path := "/v1/core/declarations/" + declared.DeclarationID + ":decide"
	decision := fields{"request_id": unique(), "commissioner_code": "QOX", "accept": true, "share": "0.5", "etag": declared.ETag, "reason": "half the practices"}
	both.post(t, path, decision).refused(t, 403, "DECIDER_IS_DECLARER")
	maker.post(t, path, decision).refused(t, 403, "ROLE_REQUIRED")
	checker.post(t, path, decision.with("reason", "")).refused(t, 400, "REASON_REQUIRED")
	checker.post(t, path, decision.with("share", "1.5")).refused(t, 400, "DECIMAL_MALFORMED")
	checker.post(t, path, decision.with("etag", "stale")).refused(t, 412, "VERSION_CHANGED")

	before := closeMonth(t, maker, "QOX", "2025-06")
	require.Empty(t, find(before.Lines, func(l line) bool { return l.PaymentCode == "CAIP_ACCESS" }), "declared is not accepted")
	accepted := write[declaration](t, checker, path, decision)
	require.Equal(t, "ACCEPTED", accepted.State)
	require.Equal(t, "0.5", accepted.Share)
	checker.post(t, path, decision.with("request_id", unique()).with("etag", accepted.ETag)).refused(t, 400, "DECLARATION_DECIDED")
	require.Contains(t, read[declarationList](t, maker, "/v1/core/declarations?commissioner_code=QOX").Declarations, accepted)

	adjusted := new(big.Rat)
	for _, practice := range pcn.Practices {
		adjusted.Add(adjusted, exact(t, practice.population("ADJUSTED")))
	}
	after := closeMonth(t, maker, "QOX", "2025-06")
	require.Len(t, after.Lines, 1)
	l := only(t, after.Lines, pcn.PCNCode, "CAIP_ACCESS", "2025-06")
	require.Equal(t, pence(t, halfUp(new(big.Rat).Mul(adjusted.Mul(adjusted, exact(t, "0.917")), big.NewRat(1, 2)), 2)), l.AmountPence)
	require.Equal(t, "ADJUSTMENT_CAUSE_DECLARATION", l.AdjustmentCause)
}

func TestDeclaration_IsMadeByTheClinicalDirector(t *testing.T) {
	t.Parallel()
	pcn := firstPCN(t, as(t, "finance_preparer", "QUA"), "QUA", "2025-04").PCNCode
	token, err := suite.tokenBy(suite.dataDir, "--role", "clinical_director", "--pcn", pcn)
	require.NoError(t, err)
	director := caller{token: token}
	body := fields{"request_id": unique(), "commissioner_code": "QUA", "pcn_code": pcn, "payment_code": "CAIP_RISK", "month": "2025-06", "evidence": "e2e"}
	declared := write[declaration](t, director, "/v1/core/declarations", body)
	require.Equal(t, pcn, declared.PCNCode)
	director.post(t, "/v1/core/declarations", body.with("pcn_code", "U89141").with("commissioner_code", "QHM")).refused(t, 404, "RESOURCE_NOT_FOUND")
	elsewhere := write[declaration](t, director, "/v1/core/declarations",
		body.with("request_id", unique()).with("commissioner_code", "QHM").with("payment_code", "CAIP_ACCESS"))
	as(t, "finance_approver", "QHM").post(t, "/v1/core/declarations/"+elsewhere.DeclarationID+":decide", fields{
		"request_id": unique(), "commissioner_code": "QHM", "accept": true, "etag": elsewhere.ETag,
	}).refused(t, 404, "PCN_NOT_FOUND")
	director.post(t, "/v1/core/declarations/"+declared.DeclarationID+":decide", fields{
		"request_id": unique(), "commissioner_code": "QUA", "accept": true, "etag": declared.ETag,
	}).refused(t, 403, "ROLE_REQUIRED")
}

func TestSetting_ChangesTheConventionFromItsMonth(t *testing.T) {
	t.Parallel()
	preparer, approver := as(t, "finance_preparer", "QUY"), as(t, "finance_approver", "QUY")
	body := fields{"request_id": unique(), "commissioner_code": "QUY", "name": "CONVENTION", "value": "PRACTICE_SUM", "payment_code": "CORE_PCN", "from_month": "2025-05", "reason": "e2e"}
	preparer.post(t, "/v1/core/settings", body).refused(t, 403, "ROLE_REQUIRED")
	approver.post(t, "/v1/core/settings", body.with("value", "PENNIES_FIRST")).refused(t, 400, "SETTING_INVALID")
	approver.post(t, "/v1/core/settings", body.with("name", "COLOUR")).refused(t, 400, "SETTING_INVALID")
	approver.post(t, "/v1/core/settings", body.with("payment_code", "NOTHING")).refused(t, 400, "PAYMENT_UNKNOWN")
	approver.post(t, "/v1/core/settings", body.with("from_month", "2025-13")).refused(t, 400, "MONTH_MALFORMED")
	set := write[setting](t, approver, "/v1/core/settings", body)
	require.Contains(t, read[settingList](t, preparer, "/v1/core/settings?commissioner_code=QUY").Settings, set)
	require.NotContains(t, read[settingList](t, as(t, "auditor", "QXU"), "/v1/core/settings?commissioner_code=QXU").Settings, set)

	require.Equal(t, "core-QUY-2025-04-1", closeMonth(t, preparer, "QUY", "2025-04").ScheduleID, "April is before the setting")
	may := closeMonth(t, preparer, "QUY", "2025-05")
	require.Empty(t, find(may.Lines, func(l line) bool { return l.ForMonth != "2025-05" }))
	for _, pcn := range read[snapshot](t, preparer, "/v1/register/snapshot?commissioner_code=QUY&membership_date=2025-05-01").PCNs {
		if pcn.PayerCode != "QUY" {
			continue
		}
		var want int64
		for _, practice := range pcn.Practices {
			year := new(big.Rat).Mul(exact(t, "2.266"), exact(t, practice.population("REGISTERED")))
			year.Add(year, new(big.Rat).Mul(exact(t, "0.733"), exact(t, practice.population("ADJUSTED"))))
			want += pence(t, halfUp(year.Quo(year, big.NewRat(12, 1)), 2))
		}
		require.Equal(t, want, only(t, may.Lines, pcn.PCNCode, "CORE_PCN", "2025-05").AmountPence, pcn.PCNCode)
	}
}
