package arrs_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// quoteService serves the quotation calls over the published figures.
func quoteService(t *testing.T) *arrs.Service {
	t.Helper()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
	service, err := arrs.New(t.Context(), arrs.Deps{DB: db, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	return service
}

func quoteExamples(t *testing.T) (file string, rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/examples.csv")
	require.NoError(t, err)
	rows, err = csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return string(text), rows[1:]
}

func TestQuotations_GiveTheWorkedExamples(t *testing.T) {
	t.Parallel()
	examples, rows := quoteExamples(t)
	require.Len(t, rows, 32)
	for _, row := range rows {
		require.True(t, strings.HasPrefix(row[1], arrsv1.ArrsService_ServiceDesc.ServiceName+"/Quote"), row[0])
	}
	connection := testkit.Serve(t, quoteService(t).Register)
	var out strings.Builder
	ctx := testkit.As(t.Context(), auth.Principal{Subject: "operator", Roles: []optionsv1.Role{optionsv1.Role_ROLE_OPERATOR}})
	result, err := check.Run(ctx, strings.NewReader(examples), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(rows)}, result, out.String())
}

// quoteAsk calls a quotation by the name of its call, with a request in JSON.
func quoteAsk(t *testing.T, service *arrs.Service, call, request string) (proto.Message, error) {
	t.Helper()
	ctx := t.Context()
	switch call {
	case "QuoteEntitlements":
		return service.QuoteEntitlements(ctx, quoteRead(t, request, new(arrsv1.QuoteEntitlementsRequest)))
	case "QuoteEmploymentCost":
		return service.QuoteEmploymentCost(ctx, quoteRead(t, request, new(arrsv1.QuoteEmploymentCostRequest)))
	case "QuoteSupplement":
		return service.QuoteSupplement(ctx, quoteRead(t, request, new(arrsv1.QuoteSupplementRequest)))
	case "QuoteMaxima":
		return service.QuoteMaxima(ctx, quoteRead(t, request, new(arrsv1.QuoteMaximaRequest)))
	case "QuoteMonthlyMaximum":
		return service.QuoteMonthlyMaximum(ctx, quoteRead(t, request, new(arrsv1.QuoteMonthlyMaximumRequest)))
	case "QuoteReimbursement":
		return service.QuoteReimbursement(ctx, quoteRead(t, request, new(arrsv1.QuoteReimbursementRequest)))
	case "QuoteLimits":
		return service.QuoteLimits(ctx, quoteRead(t, request, new(arrsv1.QuoteLimitsRequest)))
	case "QuoteEligibility":
		return service.QuoteEligibility(ctx, quoteRead(t, request, new(arrsv1.QuoteEligibilityRequest)))
	case "QuoteAdditionality":
		return service.QuoteAdditionality(ctx, quoteRead(t, request, new(arrsv1.QuoteAdditionalityRequest)))
	case "QuoteYearLimit":
		return service.QuoteYearLimit(ctx, quoteRead(t, request, new(arrsv1.QuoteYearLimitRequest)))
	case "QuoteUnclaimed":
		return service.QuoteUnclaimed(ctx, quoteRead(t, request, new(arrsv1.QuoteUnclaimedRequest)))
	case "QuoteUplift":
		return service.QuoteUplift(ctx, quoteRead(t, request, new(arrsv1.QuoteUpliftRequest)))
	default:
		require.Equal(t, "QuoteForm", call)
		return service.QuoteForm(ctx, quoteRead(t, request, new(arrsv1.QuoteFormRequest)))
	}
}

func quoteRead[M proto.Message](t *testing.T, text string, into M) M {
	t.Helper()
	require.NoError(t, protojson.Unmarshal([]byte(text), into), text)
	return into
}

// quoteGives recomputes an amount from the working in an answer, which names no line and no figure of the request as one that is kept.
func quoteGives(t *testing.T, id string, w *typev1.Working, pence int64) {
	t.Helper()
	require.NotNil(t, w, id)
	steps, err := working.FromProto(w)
	require.NoError(t, err, id)
	result, err := working.Evaluate(steps)
	require.NoError(t, err, id)
	require.Zero(t, result.Cmp(money.Pence(pence).GBP()), id)
	for _, input := range w.GetInputs() {
		require.NotEqual(t, typev1.Origin_KIND_LINE, input.GetOrigin().GetKind(), "%s: %s", id, input.GetName())
		require.NotEqual(t, "request", input.GetOrigin().GetRef(), "%s: %s", id, input.GetName())
	}
}

// TestQuotations_ShowHowTheAmountCameAbout recomputes every example that has a working, and holds that parts make up what is claimed.
func TestQuotations_ShowHowTheAmountCameAbout(t *testing.T) {
	t.Parallel()
	service := quoteService(t)
	_, rows := quoteExamples(t)
	workings := 0
	for _, row := range rows {
		_, call, _ := strings.Cut(row[1], "/")
		answer, err := quoteAsk(t, service, call, row[2])
		require.NoError(t, err, row[0])
		switch out := answer.(type) {
		case *arrsv1.QuoteEntitlementsResponse:
			for _, pot := range out.GetEntitlements() {
				quoteGives(t, row[0], pot.GetWorking(), pot.GetEntitlementPence())
				require.Empty(t, pot.GetFigureId(), row[0])
				workings++
			}
		case *arrsv1.QuoteReimbursementResponse:
			quoteGives(t, row[0], out.GetWorking(), out.GetPayablePence())
			sum := out.GetPayablePence()
			for _, part := range out.GetParts() {
				sum += part.GetAmountPence()
			}
			require.Equal(t, out.GetClaimedPence(), sum, row[0])
			require.Len(t, out.GetTests(), 4, row[0])
			workings++
		case *arrsv1.QuoteUpliftResponse:
			for _, month := range out.GetMonths() {
				quoteGives(t, row[0], month.GetWorking(), month.GetPayablePence())
				workings++
			}
		}
	}
	require.Equal(t, 18, workings)
}

func TestQuotations_Answer(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, call, request, expected string }{
		{
			"every pot of the year at the figures known", "QuoteEntitlements", `{"financialYear":"2024-25","weightedPopulation":"46000"}`,
			`{"entitlements":[{"pot":"MAIN","figureId":"SUM-MAIN-2024-04","entitlementPence":"105312400","confidence":"CONFIDENCE_SECONDARY"},{"pot":"GP","entitlementPence":"5993800","fromMonth":"2024-10"}]}`,
		},
		{
			"a candidate rate is named", "QuoteEntitlements", `{"financialYear":"2021-22","weightedPopulation":"46000"}`,
			`{"entitlements":[{"pot":"MAIN","entitlementPence":"0","refusal":{"reason":"SUM_NOT_CONFIRMED","missing":"rate per weighted patient of the main pot of 2021/22"}}]}`,
		},
		{
			"an unknown rate is named", "QuoteEntitlements", `{"financialYear":"2025-26","weightedPopulation":"46000"}`,
			`{"entitlements":[{"pot":"SINGLE","figureId":"SUM-SINGLE-2025-04-UPLIFTED","entitlementPence":"0","refusal":{"reason":"SUM_UNKNOWN"}}]}`,
		},
		{
			"a year as it was known", "QuoteEntitlements", `{"financialYear":"2025-26","weightedPopulation":"10000","knownOn":"2025-07-31"}`,
			`{"entitlements":[{"pot":"SINGLE","figureId":"SUM-SINGLE-2025-04-FIRST","entitlementPence":"26631000"}]}`,
		},
		{
			"the offers of 2019/20", "QuoteEntitlements", `{"financialYear":"2019-20","registeredPatients":"45000"}`,
			`{"entitlements":[{"pot":"OFFER_CLINICAL_PHARMACIST","entitlementPence":"2835750"},{"pot":"OFFER_LINK_WORKER","entitlementPence":"2558475"}]}`,
		},
		{
			"an offer without a list", "QuoteEntitlements", `{"financialYear":"2019-20"}`,
			`{"entitlements":[{"refusal":{"reason":"LIST_SIZE_MISSING"}},{"refusal":{"reason":"LIST_SIZE_MISSING"}}]}`,
		},
		{
			"a cost above the maximum", "QuoteEmploymentCost",
			`{"annualSalaryPence":"5200000","onCosts":{"employerNiRate":"0.138","niSecondaryThresholdPence":"910000","employerPensionRate":"0.1438"},"annualMaximumPence":"6539779"}`,
			`{"annualCostPence":"6539780","headroomPence":"-1","withinMaximum":false}`,
		},
		{
			"maxima known now: the uplifted figure is not", "QuoteMaxima", `{"roleCode":"CP","dates":["2025-09-01"],"regions":["OUTER_LONDON"]}`,
			`{"maxima":[{"annualPence":"0","version":"uplifted","confidence":"CONFIDENCE_UNKNOWN","refusal":{"reason":"PRICE_UNKNOWN","missing":"maximum of CP outer_london for 2025-09"}}]}`,
		},
		{
			"a maximum by part of a post", "QuoteMaxima", `{"roleCode":"CP","dates":["2023-07-01"],"regions":["NATIONAL"],"wte":"0.5","band":"6","post":"first"}`,
			`{"maxima":[{"annualPence":"6234000","monthlyPence":"259750","percent":"100","figureId":"CP-NAT-2023-07","refusal":null}]}`,
		},
		{
			"a later post of 2025/26", "QuoteMaxima", `{"roleCode":"MHP","band":"5","post":"later","dates":["2025-04-01"],"regions":["OUTER_LONDON"],"knownOn":"2025-04-01"}`,
			`{"maxima":[{"annualPence":"4996700","monthlyPence":"416392","percent":"100"}]}`,
		},
		{
			"a role before its first day", "QuoteMaxima", `{"roleCode":"EPN","dates":["2024-03-31"],"regions":["NATIONAL"]}`,
			`{"maxima":[{"figureId":"","refusal":{"reason":"ROLE_NOT_REIMBURSABLE"}}]}`,
		},
		{
			"a limit that changed within the year", "QuoteLimits", `{"roleCode":"AP","registeredPatients":"99999","financialYears":["2022-23"]}`,
			`{"limits":[{"fromMonth":"2022-04","toMonth":"2022-09","wte":"1"},{"fromMonth":"2022-10","toMonth":"2023-03","wte":"2"}]}`,
		},
		{
			"a limit that is known in part", "QuoteLimits", `{"roleCode":"PT","registeredPatients":"45000","financialYears":["2020-21"]}`,
			`{"limits":[{"limited":true,"wte":"","wteCertain":"1","refusal":{"reason":"LIMIT_UNKNOWN","missing":"number of PT that a network may claim in 2020/21"}}]}`,
		},
		{
			"a limit by a list that is not known", "QuoteLimits", `{"roleCode":"MHP","financialYears":["2022-23","2023-24"]}`,
			`{"limits":[{"limited":true,"refusal":{"reason":"LIST_SIZE_MISSING"}},{"limited":false,"refusal":null}]}`,
		},
		{
			"a provider that has to agree", "QuoteLimits", `{"roleCode":"MHP","registeredPatients":"1","financialYears":["2022-23"]}`,
			`{"limits":[{"wte":"2","needsProviderAgreement":true}]}`,
		},
		{
			"a role before its first year", "QuoteLimits", `{"roleCode":"EPN","registeredPatients":"1","financialYears":["2023-24"]}`,
			`{"limits":[{"toMonth":"2024-03","limited":false,"refusal":{"reason":"ROLE_NOT_REIMBURSABLE"}}]}`,
		},
		{
			"a substantive GP whom the commissioner accepts", "QuoteEligibility",
			`{"roleCode":"GP","startDate":"2024-12-02","substantiveGpAgreed":true,"facts":{"trainedOn":"2024-02-01","substantiveGpBefore":"YES","temporary":"NO","salariedElsewhere":"NO","modelTerms":"YES"}}`,
			`{"eligible":true,"reason":"","ruleId":""}`,
		},
		{
			"a day after the second anniversary", "QuoteEligibility",
			`{"roleCode":"GP","startDate":"2024-11-16","facts":{"trainedOn":"2022-11-15","substantiveGpBefore":"NO","temporary":"NO","salariedElsewhere":"NO","modelTerms":"YES"}}`,
			`{"eligible":false,"reason":"TRAINED_TOO_LONG_AGO","ruleId":"GP-TRAINED_WITHIN-2024-10"}`,
		},
		{
			"a day of testing that the commissioner decided", "QuoteEligibility",
			`{"roleCode":"GP","startDate":"2024-11-16","trainingTestedOn":"2024-10-01","facts":{"trainedOn":"2022-11-15","substantiveGpBefore":"NO","temporary":"NO","salariedElsewhere":"NO","modelTerms":"YES"}}`,
			`{"eligible":true}`,
		},
		{
			"fewer staff than the baseline", "QuoteAdditionality", `{"roleCode":"CP","additionality":{"employedWte":"0.5","baselineWte":"1"}}`, `{"claimableWte":"0"}`,
		},
		{
			"a sum with what was given up and awarded", "QuoteYearLimit",
			`{"entitlementPence":"1000","givenUpPence":"300","awardedPence":"100","paidBeforePence":"500","claimPence":"250"}`,
			`{"usablePence":"800","payablePence":"250","unfundedPence":"0","leftPence":"50","overdrawnPence":"0"}`,
		},
		{
			"a sum that is overdrawn", "QuoteYearLimit", `{"entitlementPence":"1000","paidBeforePence":"1200","claimPence":"250"}`,
			`{"payablePence":"0","unfundedPence":"250","leftPence":"0","overdrawnPence":"200"}`,
		},
		{
			"an uplift that was not passed on", "QuoteUplift",
			`{"firstMonth":"2025-04","months":1,"costBeforePence":"500000","costAfterPence":"520000","maximumBeforePence":"6000000","maximumAfterPence":"6216000"}`,
			`{"adjustmentPence":"0","months":[{"month":"2025-04","paidPence":"500000","duePence":"518000","withheldPence":"18000","reason":"UPLIFT_NOT_PASSED_ON"}]}`,
		},
		{
			"an uplift beyond the sum", "QuoteUplift",
			`{"firstMonth":"2025-04","months":2,"costBeforePence":"500000","costAfterPence":"520000","maximumBeforePence":"6000000","maximumAfterPence":"6216000","passedOn":true,"leftOfSumPence":"20000"}`,
			`{"adjustmentPence":"20000","months":[{"payablePence":"18000","reason":""},{"payablePence":"2000","withheldPence":"16000","reason":"OVER_YEAR_SUM"}]}`,
		},
		{
			"a form without fault", "QuoteForm",
			`{"month":"2025-05","roleCode":"CC","startDate":"2025-04-01","hoursPerWeek":"40","monthlySalaryGbp":"3000","monthlyEmployerNiGbp":"300","monthlyEmployerPensionGbp":"430"}`,
			`{"valid":true,"violations":[]}`,
		},
		{
			"a form that is empty", "QuoteForm", `{"month":"2025-05"}`,
			`{"valid":false,"violations":[{"field":"role"},{"field":"start_date"},{"field":"hours_worked_per_week"},{"field":"monthly_salary"},{"field":"monthly_employer_ni"},{"field":"monthly_employer_pension"}]}`,
		},
	}
	quoteRun(t, rows)
}

// quoteRun asks and compares as the check of a release does.
func quoteRun(t *testing.T, rows []struct{ name, call, request, expected string }) {
	t.Helper()
	connection := testkit.Serve(t, quoteService(t).Register)
	ctx := testkit.As(t.Context(), auth.Principal{Subject: "manager", Roles: []optionsv1.Role{optionsv1.Role_ROLE_PCN_MANAGER}})
	var file strings.Builder
	writer := csv.NewWriter(&file)
	require.NoError(t, writer.Write([]string{"id", "method", "request", "expected", "source"}))
	for _, row := range rows {
		require.NoError(t, writer.Write([]string{row.name, arrsv1.ArrsService_ServiceDesc.ServiceName + "/" + row.call, row.request, row.expected, "test"}))
	}
	writer.Flush()
	var out strings.Builder
	result, err := check.Run(ctx, strings.NewReader(file.String()), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(rows)}, result, out.String())
}

func TestQuoteReimbursement_AppliesTheTests(t *testing.T) {
	t.Parallel()
	quoteRun(t, []struct{ name, call, request, expected string }{
		{
			"what is not asked about is taken as met and named", "QuoteReimbursement", `{"roleCode":"CP","month":"2019-10","wte":"1","salaryPence":"450000"}`,
			`{"assumed":["ELIGIBILITY","NUMBER_LIMIT","BASELINE","YEAR_SUM"],"pot":"OFFER_CLINICAL_PHARMACIST","percent":"70","figureId":"CP-ENG-2019-07","days":31,"confidence":"CONFIDENCE_SECONDARY",
			"tests":[{"test":"ROLE","outcome":"PASSED"},{"test":"ADDITIONALITY","outcome":"PASSED"},{"test":"MAXIMUM","outcome":"REDUCED","reason":"NETWORK_SHARE"},{"test":"YEAR_SUM","outcome":"PASSED"}]}`,
		},
		{
			"nothing is taken as met where all is stated", "QuoteReimbursement",
			`{"roleCode":"CP","month":"2019-10","wte":"1","salaryPence":"450000","facts":{"onPathway":"YES"},"registeredPatients":"45000","additionality":{"employedWte":"1","baselineWte":"0"},"leftOfSumPence":"300000"}`,
			`{"assumed":[],"payablePence":"300000","parts":[{"test":"MAXIMUM","reason":"NETWORK_SHARE","amountPence":"135000"},{"test":"YEAR_SUM","reason":"OVER_YEAR_SUM","amountPence":"15000"}]}`,
		},
		{
			"a role without rules asks about the sum alone", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","salaryPence":"100"}`,
			`{"assumed":["YEAR_SUM"]}`,
		},
		{
			"a role before its first day", "QuoteReimbursement", `{"roleCode":"EPN","month":"2024-03","wte":"1","salaryPence":"100000"}`,
			`{"payablePence":"0","parts":[{"test":"ROLE","reason":"ROLE_NOT_REIMBURSABLE","amountPence":"100000"}],"working":null,"monthlyMaximumPence":"0"}`,
		},
		{
			"a person who is not eligible", "QuoteReimbursement", `{"roleCode":"AP","month":"2023-05","wte":"1","salaryPence":"100000","facts":{"level7":"NO"}}`,
			`{"payablePence":"0","parts":[{"test":"ROLE","reason":"LEVEL_NOT_MET"}]}`,
		},
		{
			"more than the number", "QuoteReimbursement", `{"roleCode":"EPN","month":"2024-05","wte":"2","salaryPence":"200000","registeredPatients":"50000","agreed":["OVER_CEILING_AGREED"]}`,
			`{"payablePence":"100000","parts":[{"test":"ROLE","reason":"LIMIT_REACHED","amountPence":"100000"}]}`,
		},
		{
			"more than one post of one person", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"2","salaryPence":"600000"}`,
			`{"monthlyMaximumPence":"264550","payablePence":"264550"}`,
		},
		{
			"more than one post that is agreed", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"2","salaryPence":"600000","agreed":["OVER_CEILING_AGREED"]}`,
			`{"monthlyMaximumPence":"529100","payablePence":"529100"}`,
		},
		{
			"the baseline takes its part", "QuoteReimbursement",
			`{"roleCode":"CP","month":"2023-05","wte":"1","salaryPence":"400000","additionality":{"employedWte":"1.5","baselineWte":"1"}}`,
			`{"payablePence":"200000","parts":[{"test":"ADDITIONALITY","reason":"WITHIN_BASELINE","amountPence":"200000"}]}`,
		},
		{
			"the days of a part month", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","salaryPence":"600000","startDate":"2022-11-16"}`,
			`{"days":15,"monthlyMaximumPence":"132275","payablePence":"132275"}`,
		},
		{
			"on-costs and a London price", "QuoteReimbursement",
			`{"roleCode":"CP","region":"INNER_LONDON","month":"2022-11","perWeek":"37.5","salaryPence":"500000","employerNiPence":"60000","employerPensionPence":"70000"}`,
			`{"claimedPence":"630000","monthlyMaximumPence":"573067","payablePence":"573067","figureId":"CP-INN-2022-10"}`,
		},
		{
			"a fee where none is allowed", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","salaryPence":"100000","feesPence":"5000"}`,
			`{"feeAllowedPence":"0","payablePence":"100000","parts":[{"reason":"FEE_NOT_ALLOWED","amountPence":"5000"}]}`,
		},
		{
			"a later mental health post with its agreed share", "QuoteReimbursement",
			`{"roleCode":"MHP","band":"5","post":"later","region":"OUTER_LONDON","month":"2025-05","knownOn":"2025-05-31","wte":"1","salaryPence":"400000","agreedShare":"0.4"}`,
			`{"payablePence":"160000","networkSharePence":"240000","monthlyMaximumPence":"166557","figureId":"MHP-LATER-B5-OUT-2025-04-FIRST"}`,
		},
	})
}

func TestQuotations_RefuseWhatTheyCannotTell(t *testing.T) {
	t.Parallel()
	service := quoteService(t)
	cases := []struct {
		name, call, request string
		kind                fault.Kind
		reason              string
		// fields are those named; missing is what the refusal says is missing.
		fields  []string
		missing string
	}{
		{"population left out", "QuoteEntitlements", `{"financialYear":"2024-25"}`, fault.Invalid, "VALUE_REQUIRED", []string{"weighted_population"}, ""},
		{"year malformed", "QuoteEntitlements", `{"financialYear":"2024-26","weightedPopulation":"x"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"financial_year", "weighted_population"}, ""},
		{"pot twice", "QuoteEntitlements", `{"financialYear":"2024-25","weightedPopulation":"1","rates":[{"pot":"GP","rateGbp":"1"},{"pot":"GP","rateGbp":"-1"}]}`, fault.Invalid, "FIGURE_NEGATIVE", []string{"rates[1].rate_gbp", "rates[1].pot"}, ""},
		{"a rate for 2019/20", "QuoteEntitlements", `{"financialYear":"2019-20","rates":[{"pot":"MAIN","rateGbp":"1"}]}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"rates"}, ""},
		{"a year without a rate", "QuoteEntitlements", `{"financialYear":"2030-31","weightedPopulation":"1"}`, fault.Refused, "SUM_UNKNOWN", nil, "rate per weighted patient of 2030/31"},
		{"a sum too large", "QuoteEntitlements", `{"financialYear":"2024-25","weightedPopulation":"1000000000000","rates":[{"pot":"GP","rateGbp":"1000000000000"}]}`, fault.Invalid, "AMOUNT_OVERFLOW", nil, ""},
		{"salary below the threshold", "QuoteEmploymentCost", `{"annualSalaryPence":"899999","onCosts":{"employerNiRate":"0.138","niSecondaryThresholdPence":"910000","employerPensionRate":"0.1438"}}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"annual_salary_pence"}, ""},
		{"on-costs left out", "QuoteSupplement", `{"supplementPence":"-1"}`, fault.Invalid, "AMOUNT_NEGATIVE", []string{"supplement_pence", "on_costs.employer_ni_rate", "on_costs.employer_pension_rate"}, ""},
		{"role unknown", "QuoteMaxima", `{"roleCode":"XX","dates":["2024-02-30"]}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"dates[0]", "role_code"}, ""},
		{"band and post left out", "QuoteMaxima", `{"roleCode":"MHP","dates":["2025-05-01"]}`, fault.Invalid, "VALUE_REQUIRED", []string{"band", "post"}, ""},
		{"working time malformed", "QuoteMonthlyMaximum", `{"annualPence":"100","wte":"1e3"}`, fault.Invalid, "DECIMAL_MALFORMED", []string{"wte"}, ""},
		{"maximum unknown", "QuoteReimbursement", `{"roleCode":"CP","region":"OUTER_LONDON","month":"2025-09","wte":"1","salaryPence":"100"}`, fault.Refused, "PRICE_UNKNOWN", nil, "maximum of CP outer_london for 2025-09"},
		{"role of a person unknown", "QuoteEligibility", `{"roleCode":"XX","startDate":"2025-09-01"}`, fault.Invalid, "ROLE_UNKNOWN", []string{"role_code"}, ""},
		{"fact missing from a line", "QuoteReimbursement", `{"roleCode":"AP","month":"2023-05","wte":"1","salaryPence":"100","facts":{}}`, fault.Refused, "FACT_MISSING", nil, "level_7"},
		{"limit known in part", "QuoteReimbursement", `{"roleCode":"FCP","month":"2020-06","wte":"1","salaryPence":"100","registeredPatients":"1"}`, fault.Refused, "LIMIT_UNKNOWN", nil, "number of FCP that a network may claim in 2020-06"},
		{"share not agreed", "QuoteReimbursement", `{"roleCode":"MHP","band":"5","post":"later","month":"2025-05","wte":"1","salaryPence":"100","annualMaximumPence":"100"}`, fault.Refused, "AGREED_SHARE_MISSING", nil, "share of the post agreed in writing"},
		{"working time left out", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","salaryPence":"100"}`, fault.Invalid, "VALUE_REQUIRED", []string{"wte"}, ""},
		{"working time given twice", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","perWeek":"37.5","wte":"1"}`, fault.Invalid, "MEASURE_MISMATCH", []string{"wte"}, ""},
		{"no working time", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"0"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"wte"}, ""},
		{"percent without a maximum", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","percent":"50"}`, fault.Invalid, "VALUE_REQUIRED", []string{"annual_maximum_pence"}, ""},
		{"percent above a hundred", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","percent":"101","annualMaximumPence":"1"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"percent"}, ""},
		{"share above the whole", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","agreedShare":"1.1"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"agreed_share"}, ""},
		{"a decision that is no agreement", "QuoteReimbursement", `{"roleCode":"CC","month":"2022-11","wte":"1","agreed":["PCN_REGION"]}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"agreed"}, ""},
		{"role and month wrong", "QuoteReimbursement", `{"roleCode":"XX","month":"2022-13","wte":"1"}`, fault.Invalid, "ROLE_UNKNOWN", []string{"role_code", "month"}, ""},
		{"fact missing", "QuoteEligibility", `{"roleCode":"GP","startDate":"2025-06-01","facts":{"trainedOn":"2024-06-01"}}`, fault.Refused, "FACT_MISSING", []string{"facts"}, "substantive_gp_before"},
		{"day malformed", "QuoteEligibility", `{"roleCode":"GP","startDate":"2025-06-31","facts":{"trainedOn":"2024-06-31"}}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"start_date", "facts.trained_on"}, ""},
		{"role without a baseline", "QuoteAdditionality", `{"roleCode":"CC","additionality":{"employedWte":"1","baselineWte":"1","exemptWte":"2"}}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"additionality.exempt_wte", "role_code"}, ""},
		{"staff left out", "QuoteAdditionality", `{"roleCode":"CP"}`, fault.Invalid, "VALUE_REQUIRED", []string{"additionality.employed_wte", "additionality.baseline_wte"}, ""},
		{"more given up than there is", "QuoteYearLimit", `{"entitlementPence":"1","givenUpPence":"2"}`, fault.Refused, "UNCLAIMED_EXCEEDS_SUM", nil, ""},
		{"claim negative", "QuoteYearLimit", `{"entitlementPence":"1","claimPence":"-2"}`, fault.Invalid, "AMOUNT_NEGATIVE", []string{"claim_pence"}, ""},
		{"year without the mechanism", "QuoteUnclaimed", `{"financialYear":"2024-25","entitlementPence":"2","agreedUnclaimedPence":"1"}`, fault.Refused, "NO_UNCLAIMED_MECHANISM", nil, ""},
		{"year whose rules were not found", "QuoteUnclaimed", `{"financialYear":"2019-20","entitlementPence":"2","agreedUnclaimedPence":"1"}`, fault.Refused, "PLAN_RULES_UNKNOWN", nil, "rule for unclaimed money in 2019/20"},
		{"more unclaimed than there is", "QuoteUnclaimed", `{"financialYear":"2022-23","entitlementPence":"1","agreedUnclaimedPence":"2"}`, fault.Refused, "UNCLAIMED_EXCEEDS_SUM", nil, ""},
		{"months of two years", "QuoteUplift", `{"firstMonth":"2026-03","months":2}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"months"}, ""},
		{"no months", "QuoteUplift", `{"firstMonth":"2026-03","wte":"0"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"wte", "months"}, ""},
		{"month malformed", "QuoteForm", `{"month":"2025-00"}`, fault.Invalid, "VALUE_OUT_OF_RANGE", []string{"month"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := quoteAsk(t, service, c.call, c.request)
			f, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.kind, f.Kind, f.Message)
			require.Equal(t, c.reason, f.Reason, f.Message)
			require.Equal(t, c.missing, f.Meta["missing"])
			var named []string
			for _, violation := range f.Violations {
				named = append(named, violation.Field)
			}
			require.Equal(t, c.fields, named)
		})
	}
}

// TestQuotations_NeverRepeatPay holds that no refusal holds an amount that could be one person's.
func TestQuotations_NeverRepeatPay(t *testing.T) {
	t.Parallel()
	service := quoteService(t)
	for call, request := range map[string]string{
		"QuoteEmploymentCost": `{"annualSalaryPence":"777777","onCosts":{"employerNiRate":"0","niSecondaryThresholdPence":"910000","employerPensionRate":"0"}}`,
		"QuoteReimbursement":  `{"roleCode":"CP","region":"OUTER_LONDON","month":"2025-09","wte":"1","salaryPence":"777777"}`,
		"QuoteUplift":         `{"firstMonth":"2025-09","months":1,"costBeforePence":"-777777"}`,
	} {
		_, err := quoteAsk(t, service, call, request)
		f, ok := fault.As(err)
		require.True(t, ok, "%v", err)
		require.NotContains(t, f.Error(), "777", call)
		for _, violation := range f.Violations {
			require.NotContains(t, violation.Description, "777", call)
		}
	}
	answer, err := service.QuoteForm(t.Context(), &arrsv1.QuoteFormRequest{Month: "2025-05", MonthlySalaryGbp: "7777.777", MonthlyEmployerNiGbp: "77777"})
	require.NoError(t, err)
	for _, violation := range answer.GetViolations() {
		require.NotContains(t, violation.GetDescription(), "777", violation.GetField())
	}
}
