package e2e

import (
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The year that the tests take from counts to money: the last that was over when they were written, of which the sample holds the members
// and the lists.
const (
	achievedYear = "2025-26"
	achievedOn   = "2026-03-31"
)

// earned is points and pounds; AmountPence is nil while they wait for something.
type earned struct {
	Points      string   `json:"points"`
	AmountPence *string  `json:"amount_pence"`
	Working     *working `json:"working"`
}

type indicatorResult struct {
	IndicatorCode string `json:"indicator_code"`
	Counted       bool   `json:"counted"`
	Achievement   string `json:"achievement"`
	Denominator   string `json:"denominator"`
	Due           earned `json:"due"`
	Tests         []struct {
		Test    string `json:"test"`
		Outcome string `json:"outcome"`
	} `json:"tests"`
}

type yearResult struct {
	ResultID      string            `json:"result_id"`
	PCNCode       string            `json:"pcn_code"`
	Indicators    []indicatorResult `json:"indicators"`
	DuePence      int64             `json:"due_pence,string"`
	Whole         bool              `json:"whole"`
	Missing       []string          `json:"missing"`
	ListSize      string            `json:"list_size"`
	PracticeCodes []string          `json:"practice_codes"`
}

type achievement struct {
	PCNCode         string     `json:"pcn_code"`
	State           string     `json:"state"`
	Result          yearResult `json:"result"`
	PaymentMonth    string     `json:"payment_month"`
	ScheduleID      string     `json:"schedule_id"`
	PaidPence       int64      `json:"paid_pence,string"`
	CorrectionPence *string    `json:"correction_pence"`
	Steps           []struct {
		Step string `json:"step"`
	} `json:"steps"`
	ETag string `json:"etag"`
}

type yearCorrection struct {
	CorrectionID string `json:"correction_id"`
	State        string `json:"state"`
	AmountPence  int64  `json:"amount_pence,string"`
	Lines        []struct {
		IndicatorCode string `json:"indicator_code"`
		AmountPence   int64  `json:"amount_pence,string"`
	} `json:"lines"`
	ETag string `json:"etag"`
}

type schemeFigure struct {
	FigureID string `json:"figure_id"`
	ETag     string `json:"etag"`
	Value    *struct {
		IndicatorCode string `json:"indicator_code"`
		Field         string `json:"field"`
		Value         string `json:"value"`
	} `json:"value"`
}

// earning is a PCN whose year is worked out for its commissioner. Keeper enters the figures and clerk the counts, who approve nothing.
type earning struct {
	office
	keeper, clerk caller
	pcn           snapshotPCN
	director      caller
}

func earningIn(t testing.TB, icb string) earning {
	t.Helper()
	e := earning{office: officeOf(t, icb)}
	lower := strings.ToLower(icb)
	e.keeper, e.clerk = named(t, lower+".keeper", "finance_approver", icb), named(t, lower+".clerk", "finance_preparer", icb)
	picture := read[snapshot](t, e.onlooking, "/v1/register/snapshot?commissioner_code="+icb+"&membership_date="+achievedOn)
	at := slices.IndexFunc(picture.PCNs, func(p snapshotPCN) bool {
		return p.PayerCode == icb && p.Closed == "" && len(p.Practices) > 1 && p.Payee.Code != ""
	})
	require.GreaterOrEqual(t, at, 0, "a PCN of several practices with a payee")
	e.pcn = picture.PCNs[at]
	token, err := suite.tokenBy(suite.dataDir, "--role", "clinical_director", "--pcn", e.pcn.PCNCode, "--subject", e.directorName())
	require.NoError(t, err)
	e.director = caller{token: token}
	return e
}

func (e earning) directorName() string { return "director." + strings.ToLower(e.pcn.PCNCode) }

func (e earning) path() string { return "/v1/iif/pcns/" + e.pcn.PCNCode + "/years/" + achievedYear }

// settle enters what the published tables lack of the year, for this commissioner alone.
func (e earning) settle(t testing.TB) {
	t.Helper()
	waiting := read[struct {
		Figures []schemeFigure `json:"figures"`
	}](t, e.onlooking, "/v1/iif/figures?page_size=1000&not_payable_only=true&financial_year="+achievedYear).Figures
	require.NotEmpty(t, waiting)
	for _, f := range waiting {
		body := fields{
			"request_id": unique(), "commissioner_code": e.code, "source": "e2e", "confidence": "CONFIDENCE_SECONDARY", "etag": f.ETag,
		}
		switch {
		case f.Value == nil || f.Value.Value != "": // confirmed as it stands
		case f.Value.Field == "NATIONAL_PREVALENCE_PERCENT":
			body["value"] = "0.5"
		case f.Value.Field == "PREVALENCE_ADJUSTED":
			body["value"] = "0"
		}
		write[fields](t, e.keeper, "/v1/iif/figures/"+url.PathEscape(f.FigureID)+":confirm", body)
	}
	now := time.Now().UTC()
	payOn := time.Date(now.Year(), now.Month()+1, 0, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	write[fields](t, e.keeper, "/v1/iif/figures", fields{
		"request_id": unique(), "commissioner_code": e.code, "financial_year": achievedYear, "source": "e2e", "confidence": "CONFIDENCE_SECONDARY",
		"payment_run": fields{"approve_by": payOn, "pay_on": payOn},
	})
}

// count loads an extract in which every practice of the PCN reaches a target for so many of its hundred patients.
func (e earning) count(t testing.TB, met map[string]int) {
	t.Helper()
	var file strings.Builder
	file.WriteString("QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION\r\n")
	for _, practice := range e.pcn.Practices {
		for code, n := range met {
			for field, value := range map[string]int{"Numerator": n, "Denominator": 100} {
				fmt.Fprintf(&file, "NCD2526,e2e,%s,20260331,%s,%s,%d,None,e2e,12/04/2026,03:15:00,Y\r\n", practice.PracticeCode, code, field, value)
			}
		}
	}
	got := e.clerk.call(t, request{
		method: http.MethodPost, body: strings.NewReader(file.String()), headers: []string{"Content-Type", csvType, "Idempotency-Key", unique()},
		path: "/v1/iif/imports?" + url.Values{"commissioner_code": {e.code}, "layout": {"CQRS_EXTRACT"}, "source": {"e2e"}, "file_name": {"e2e.csv"}}.Encode(),
	})
	require.Equal(t, http.StatusCreated, got.Status, "%s", got)
	location := got.Header.Get("Location")
	require.True(t, strings.HasPrefix(location, "/v1/iif/imports/"), location)
	e.onlooking.get(t, location).ok(t, &fields{})
}

func (e earning) year(t testing.TB) achievement {
	t.Helper()
	return read[achievement](t, e.onlooking, e.path())
}

// requireEarned recomputes what the PCN is due by hand: the list cancels out of what prevalence adjusts.
func (e earning) requireEarned(t testing.TB, r yearResult, met map[string]int) int64 {
	t.Helper()
	patients := exact(t, fmt.Sprint(100*len(e.pcn.Practices)))
	average, price := exact(t, "49412.66"), exact(t, "198")
	due := int64(0)
	for _, it := range r.Indicators {
		low, high, points, at := "60", "80", "36", met["HI03"]
		size := new(big.Rat).Quo(patients, new(big.Rat).Mul(average, big.NewRat(5, 1000)))
		if it.IndicatorCode == "CAN-04" {
			low, high, points, at = "65", "80", "22", met["CAN04"]
			size = new(big.Rat).Quo(exact(t, r.ListSize), average)
		}
		part := new(big.Rat).Sub(exact(t, fmt.Sprint(at)), exact(t, low))
		part.Quo(part, new(big.Rat).Sub(exact(t, high), exact(t, low)))
		if part.Sign() < 0 {
			part.SetInt64(0)
		}
		want := new(big.Rat).Mul(part, exact(t, points))
		require.Equal(t, 0, want.Cmp(exact(t, it.Due.Points)), "points of %s", it.IndicatorCode)
		want.Mul(want, price).Mul(want, size)
		amount := pence(t, halfUp(want, 2))
		require.NotNil(t, it.Due.AmountPence, it.IndicatorCode)
		require.Equal(t, fmt.Sprint(amount), *it.Due.AmountPence, it.IndicatorCode)
		require.Equal(t, amount, evaluate(t, it.Due.Working), "the working alone gives the same")
		due += amount
	}
	require.Equal(t, due, r.DuePence)
	return due
}

func (e earning) calculate(t testing.TB) (answer struct {
	PCNs              int      `json:"pcns"`
	Opened            int      `json:"opened"`
	PCNsMissingCounts []string `json:"pcns_missing_counts"`
},
) {
	t.Helper()
	e.preparer.post(t, "/v1/iif/commissioners/"+e.code+"/years/"+achievedYear+":calculate", fields{"request_id": unique()}).ok(t, &answer)
	return answer
}

// step takes a step of the year on the result that stands.
func (e earning) step(t testing.TB, who caller, verb, result string) achievement {
	t.Helper()
	return write[achievement](t, who, e.path()+":"+verb, e.stepBody(verb, result))
}

func (e earning) stepBody(verb, result string) fields {
	body := fields{"request_id": unique(), "result_id": result}
	if verb == "accept" || verb == "approve" {
		body["commissioner_code"] = e.code
	}
	return body
}

func (e earning) closeIif(t testing.TB, month string) schedule {
	t.Helper()
	closed := write[schedule](t, e.preparer, "/v1/iif/commissioners/"+e.code+"/months/"+month+":close", fields{"request_id": unique()})
	requireSums(t, closed)
	e.received(t, closed)
	return closed
}

// TestIif_AYearIsDeclaredApprovedPaidAndCorrected takes a PCN from an extract to money sent, and what was counted wrongly back again.
func TestIif_AYearIsDeclaredApprovedPaidAndCorrected(t *testing.T) {
	t.Parallel()
	e := earningIn(t, "QVV")
	e.settle(t)
	first := map[string]int{"HI03": 70, "CAN04": 71}
	opened := e.calculate(t)
	require.Positive(t, opened.Opened)
	require.Contains(t, opened.PCNsMissingCounts, e.pcn.PCNCode)
	require.False(t, e.year(t).Result.Whole, "nothing is counted yet")
	e.count(t, first)
	year := e.year(t)
	require.True(t, year.Result.Whole, "%v", year.Result.Missing)
	require.Equal(t, "AWAITING_SERVICE_PROVIDER_APPROVAL", year.State)
	due := e.requireEarned(t, year.Result, first)
	require.Positive(t, due)
	e.requireStanding(t, due)
	e.requireCourse(t, year.Result.ResultID)

	month := thisMonth()
	closed := e.closeIif(t, month)
	require.Equal(t, fmt.Sprintf("iif-%s-%s-1", e.code, month), closed.ScheduleID)
	require.Equal(t, due, closed.PayTotalPence)
	require.Equal(t, 2, closed.LineCount, "one line for each indicator")
	for _, l := range closed.Lines {
		require.Equal(t, []string{"IIF", e.pcn.PCNCode, "2026-03", "INSTRUCTION_PAY"}, []string{l.PaymentCode, l.PCNCode, l.ForMonth, l.Instruction})
		explained := read[explainedLine](t, e.onlooking, "/v1/iif/lines/"+l.LineID)
		require.True(t, explained.Verified)
		require.NotEmpty(t, explained.Sentences)
		require.Equal(t, l.AmountPence, evaluate(t, explained.Line.Working))
	}
	require.Equal(t, closed.ScheduleID, e.closeIif(t, month).ScheduleID, "nothing is new")
	paid := e.year(t)
	require.Equal(t, []any{closed.ScheduleID, due}, []any{paid.ScheduleID, paid.PaidPence})
	e.requireRun(t, month, due)
	e.requireCorrected(t, month, due)
}

// requireStanding checks what the PCN is told of its place within the year.
func (e earning) requireStanding(t *testing.T, due int64) {
	standing := read[struct {
		Result    yearResult `json:"result"`
		Distances []struct {
			IndicatorCode string `json:"indicator_code"`
			ToAll         int64  `json:"to_all,string"`
		} `json:"distances"`
	}](t, e.director, e.path()+"/standing?achieved_on="+achievedOn)
	require.Equal(t, due, standing.Result.DuePence)
	for _, d := range standing.Distances {
		if d.IndicatorCode == "HI-03" {
			require.Equal(t, int64(10*len(e.pcn.Practices)), d.ToAll, "ten more of each hundred")
		}
	}
	rows := read[struct {
		Rows []struct {
			PCNCode string `json:"pcn_code"`
			Place   int    `json:"place"`
		} `json:"rows"`
	}](t, e.onlooking, "/v1/iif/commissioners/"+e.code+"/years/"+achievedYear+"/standings?achieved_on="+achievedOn).Rows
	require.Equal(t, e.pcn.PCNCode, rows[0].PCNCode, "the only one with counts leads")
}

// requireCourse takes the year from declaration to approval, and checks who may not take each step.
func (e earning) requireCourse(t *testing.T, result string) {
	e.director.post(t, e.path()+":declare", e.stepBody("declare", result)).refused(t, http.StatusForbidden, "NOT_NOMINATED")
	nomination := write[fields](t, managerOf(t, e.pcn.PCNCode), "/v1/iif/nominations", fields{
		"request_id": unique(), "pcn_code": e.pcn.PCNCode, "person": e.directorName(),
	})
	write[fields](t, e.preparer, fmt.Sprintf("/v1/iif/nominations/%s:decide", nomination["nomination_id"]), fields{
		"request_id": unique(), "commissioner_code": e.code, "etag": nomination["etag"], "approve": true,
	})
	e.director.post(t, e.path()+":declare", e.stepBody("declare", "another")).refused(t, http.StatusPreconditionFailed, "RESULT_CHANGED")
	require.Equal(t, "AWAITING_COMMISSIONING_ORGANISATION_APPROVAL", e.step(t, e.director, "declare", result).State)
	require.Equal(t, "AWAITING_FINANCIAL_APPROVAL", e.step(t, e.preparer, "accept", result).State)
	e.approver.post(t, e.path()+":approve", e.stepBody("approve", result)).refused(t, http.StatusBadRequest, "REINVESTMENT_COMMITMENT_REQUIRED")
	write[achievement](t, e.director, e.path()+":commit", fields{"request_id": unique(), "text": "e2e: a second social prescriber"})
	e.keeper.post(t, e.path()+":approve", e.stepBody("approve", result)).refused(t, http.StatusForbidden, "APPROVER_IS_MAKER")
	approved := e.step(t, e.approver, "approve", result)
	require.Equal(t, "APPROVED_FOR_PAYMENT", approved.State)
	require.Equal(t, thisMonth(), approved.PaymentMonth)
	steps := make([]string, 0, len(approved.Steps))
	for _, s := range approved.Steps {
		steps = append(steps, s.Step)
	}
	require.Contains(t, steps, "COMMISSIONER_FINANCIALLY_APPROVES")
}

// requireRun checks that payments pays what was closed, though core has not closed the month.
func (e earning) requireRun(t *testing.T, month string, due int64) {
	run := e.run(t, month, 1)
	e.preparer.post(t, "/v1/payments/runs/"+run.RunID+":submit", fields{"request_id": unique(), "etag": run.ETag}).
		refused(t, http.StatusBadRequest, "FUND_NOT_CLOSED")
	run = write[payRun](t, e.preparer, "/v1/payments/runs/"+run.RunID+":submit", fields{
		"request_id": unique(), "etag": run.ETag, "note": "e2e", "missing_funds": []fields{{"fund": "FUND_CORE", "reason": "paid by hand"}},
	})
	run = e.approve(t, run)
	require.Equal(t, "RUN_STATE_APPROVED", run.State)
	sum := int64(0)
	for _, l := range e.lines(t, run.RunID) {
		require.Equal(t, "IIF", l.Line.PaymentCode)
		sum += l.Line.AmountPence
	}
	require.Equal(t, due, sum)
	require.Contains(t, string(e.onlooking.get(t, "/v1/payments/pcns/"+e.pcn.PCNCode+"/statements/"+month).Body), "FUND_IIF")
}

// requireCorrected counts less than before, and has the difference taken back.
func (e earning) requireCorrected(t *testing.T, month string, due int64) {
	then := map[string]int{"HI03": 65, "CAN04": 71}
	e.count(t, then)
	year := e.year(t)
	require.Equal(t, "APPROVED_FOR_PAYMENT", year.State, "what was approved stands")
	require.NotNil(t, year.CorrectionPence)
	correction := write[yearCorrection](t, e.preparer, e.path()+":correct", fields{
		"request_id": unique(), "commissioner_code": e.code, "reason": "e2e: five checks were counted twice",
	})
	require.Equal(t, *year.CorrectionPence, fmt.Sprint(correction.AmountPence))
	require.Negative(t, correction.AmountPence)
	decide := fields{"request_id": unique(), "commissioner_code": e.code, "etag": correction.ETag, "approve": true}
	correction = write[yearCorrection](t, e.deputy, "/v1/iif/corrections/"+correction.CorrectionID+":decide", decide)
	require.Equal(t, "CORRECTION_APPROVED", correction.State)
	closed := e.closeIif(t, month)
	require.Equal(t, 2, closed.Sequence)
	require.Equal(t, correction.AmountPence, closed.PayTotalPence)
	require.Len(t, closed.Lines, 1, "only HI-03 came to something else")
	require.Equal(t, "ADJUSTMENT_CAUSE_YEAR_CORRECTED", closed.Lines[0].AdjustmentCause)
	require.NotEmpty(t, closed.Lines[0].AdjustsLineID)
	require.Equal(t, due+correction.AmountPence, e.year(t).PaidPence)
}

func TestIif_IsSeenByItsCommissionerAndItsPCN(t *testing.T) {
	t.Parallel()
	e := earningIn(t, "QSL")
	require.Positive(t, e.calculate(t).PCNs)
	for who, sees := range map[caller]bool{
		e.onlooking: true, e.director: true, managerOf(t, e.pcn.PCNCode): true, as(t, "auditor"): true,
		as(t, "auditor", "15N"): false, managerOf(t, "U00000"): false, as(t, "pcn_manager", "QSL"): false,
	} {
		got := who.get(t, e.path())
		if sees {
			require.Equal(t, http.StatusOK, got.Status, "%s", got)
			continue
		}
		require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, got.Status, "%s", got)
	}
	as(t, "operator").get(t, e.path()).refused(t, http.StatusForbidden, "ROLE_REQUIRED")
	list := "/v1/iif/achievements?financial_year=" + achievedYear + "&pcn_code=" + e.pcn.PCNCode
	require.Contains(t, string(e.director.get(t, list).Body), e.pcn.PCNCode)
	require.NotContains(t, string(managerOf(t, "U00000").get(t, list).Body), e.pcn.PCNCode)
	require.Empty(t, read[scheduleList](t, e.onlooking, "/v1/iif/schedules?commissioner_code=QSL").Schedules)
	require.Zero(t, read[schedule](t, e.onlooking, "/v1/iif/commissioners/QSL/months/"+thisMonth()+":preview").LineCount)
}
