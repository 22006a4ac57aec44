package iif_test

import (
	"bytes"
	"encoding/csv"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// quoteConnection serves the quotation calls over the published figures.
func quoteConnection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
	service, err := iif.New(t.Context(), iif.Deps{DB: db, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	return testkit.Serve(t, service.Register)
}

func quoteRows(t *testing.T, name string) (file string, rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	rows, err = csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return string(text), rows[1:]
}

func TestQuotations_GiveTheWorkedExamples(t *testing.T) {
	t.Parallel()
	examples, rows := quoteRows(t, "testdata/examples.csv")
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row[0]
		require.True(t, strings.HasPrefix(row[1], iifv1.IifService_ServiceDesc.ServiceName+"/Quote"), row[0])
	}
	_, all := quoteRows(t, "internal/rules/testdata/iif.csv")
	for _, row := range all {
		// The support payment that stood in for the fund in 2020 is core's, and so is its check.
		require.Equal(t, row[0] != "IIF-030", slices.Contains(ids, row[0]), row[0])
	}
	connection := quoteConnection(t)
	var out strings.Builder
	ctx := testkit.As(t.Context(), auth.Principal{Subject: "operator", Roles: []optionsv1.Role{optionsv1.Role_ROLE_OPERATOR}})
	result, err := check.Run(ctx, strings.NewReader(examples), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(all) - 1}, result, out.String())
}

// quoteAsk calls a quotation by its name with a request in JSON, as a check does.
func quoteAsk(t *testing.T, connection *grpc.ClientConn, call, request string) (proto.Message, error) {
	t.Helper()
	method := iifv1.File_pcnfunding_iif_v1_iif_service_proto.Services().ByName("IifService").Methods().ByName(protoreflect.Name(call))
	require.NotNil(t, method, call)
	of := func(message protoreflect.MessageDescriptor) proto.Message {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName())
		require.NoError(t, err)
		return kind.New().Interface()
	}
	in, out := of(method.Input()), of(method.Output())
	require.NoError(t, protojson.Unmarshal([]byte(request), in), request)
	ctx := testkit.As(t.Context(), testkit.PCNManager("U00001"))
	return out, connection.Invoke(ctx, "/"+iifv1.IifService_ServiceDesc.ServiceName+"/"+call, in, out)
}

// workingsIn returns every working of an answer with the pence that stand beside it; nil where none do.
func workingsIn(answer proto.Message) (out []quotedWorking) {
	payment := func(p *iifv1.EarnedPayment) {
		if p.GetWorking() != nil {
			out = append(out, quotedWorking{p.GetWorking(), money.Pence(p.GetAmountPence()).GBP(), p.GetConfidence()})
		}
	}
	switch a := answer.(type) {
	case *iifv1.QuoteIndicatorResponse:
		payment(a.GetResult().GetDue())
		payment(a.GetResult().GetMeasured())
	case *iifv1.QuoteYearResponse:
		for _, r := range a.GetResult().GetIndicators() {
			payment(r.GetDue())
		}
		out = append(out, quotedWorking{a.GetResult().GetWorking(), money.Pence(a.GetResult().GetDuePence()).GBP(), a.GetResult().GetConfidence()})
	case *iifv1.QuotePointsResponse:
		for _, p := range a.GetPayments() {
			payment(p.GetPayment())
		}
	case *iifv1.QuoteAdjustmentsResponse:
		product, _ := money.ParseExact(a.GetProduct())
		out = append(out, quotedWorking{a.GetWorking(), product, a.GetConfidence()})
	case *iifv1.QuoteNationalValueResponse:
		value, _ := money.ParseExact(a.GetNationalValueGbp())
		out = append(out, quotedWorking{a.GetWorking(), value, a.GetConfidence()})
	case *iifv1.QuoteStandardisedCountResponse:
		out = append(out, quotedWorking{a.GetWorking(), big.NewRat(a.GetNumerator(), 1), typev1.Confidence_CONFIDENCE_UNSPECIFIED})
	}
	return out
}

type quotedWorking struct {
	working    *typev1.Working
	gives      *big.Rat
	confidence typev1.Confidence
}

// TestQuotations_ShowHowTheAmountCameAbout recomputes every working of the examples from its inputs. What the request states is marked
// so, and weighs nothing on the confidence.
func TestQuotations_ShowHowTheAmountCameAbout(t *testing.T) {
	t.Parallel()
	connection := quoteConnection(t)
	_, rows := quoteRows(t, "testdata/examples.csv")
	workings := 0
	for _, row := range rows {
		_, call, _ := strings.Cut(row[1], "/")
		answer, err := quoteAsk(t, connection, call, row[2])
		require.NoError(t, err, row[0])
		for _, of := range workingsIn(answer) {
			steps, err := working.FromProto(of.working)
			require.NoError(t, err, row[0])
			got, err := working.Evaluate(steps)
			require.NoError(t, err, row[0])
			require.Zero(t, got.Cmp(of.gives), "%s: the working gives %s, not %s", row[0], got, of.gives)
			require.Equal(t, working.ConfidenceToProto(steps.Confidence()), of.confidence, row[0])
			for _, input := range steps.Inputs {
				require.NotEqual(t, "request", input.Origin.Ref, "%s: %s", row[0], input.Name)
				require.NotEqual(t, working.FromLine, input.Origin.Kind, "%s: %s", row[0], input.Name)
			}
			workings++
		}
	}
	require.Equal(t, 57, workings)
}

func TestQuotations_Answer(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, call, request, expected string }{
		{
			"figures that nobody stated are those of the scheme", "QuoteIndicator",
			`{"basis":{"financialYear":"2021-22","listSizeAdjustment":"1","indicators":[{"indicatorCode":"VI-01","prevalenceAdjustment":"1"}]},
				"counts":{"indicatorCode":"VI-01","numerator":{"value":"8300"},"denominator":{"value":"10000"}}}`,
			`{"versionId":"IIF-2021-12","result":{"figureId":"IIF-2021-12-VI-01","due":{"amountPence":"400000","confidence":"CONFIDENCE_SECONDARY"}}}`,
		},
		{
			"an average that nobody confirmed is refused by name", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","listSize":"50000","listKind":"REGISTERED","listDate":"2025-01-01"},
				"counts":{"indicatorCode":"CAN-04","numerator":{"value":"75"},"denominator":{"value":"100"}}}`,
			`{"result":{"achievement":"75","due":{"points":"44/3","refusal":{"reason":"AVERAGE_LIST_NOT_CONFIRMED"}}}}`,
		},
		{
			"a rule of prevalence that nobody knows is asked for", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","listSizeAdjustment":"1"},"counts":{"indicatorCode":"CAN-04","numerator":{"value":"75"},"denominator":{"value":"100"}}}`,
			`{"result":{"due":{"refusal":{"reason":"PREVALENCE_RULE_UNKNOWN"}}}}`,
		},
		{
			"and may be stated", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","listSizeAdjustment":"1","indicators":[{"indicatorCode":"CAN-04","prevalenceAdjusted":false}]},
				"counts":{"indicatorCode":"CAN-04","numerator":{"value":"80"},"denominator":{"value":"100"}}}`,
			`{"result":{"prevalenceAdjustment":"1","due":{"amountPence":"435600"}}}`,
		},
		{
			"thresholds that are stated", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","listSizeAdjustment":"1","indicators":[{"indicatorCode":"HI-03","lowerThreshold":"49","upperThreshold":"80","prevalenceAdjustment":"1.5"}]},
				"counts":{"indicatorCode":"HI-03","numerator":{"value":"80"},"denominator":{"value":"100"}}}`,
			`{"result":{"due":{"points":"36","amountPence":"1069200","confidence":"CONFIDENCE_INFERRED"}},"decimals":{"shareOfPoints":"1"}}`,
		},
		{
			"a rounding that is stated", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","roundingPlace":"POINTS_AND_INDICATOR","listSizeAdjustment":"1","indicators":[{"indicatorCode":"CAN-04","prevalenceAdjustment":"1"}]},
				"counts":{"indicatorCode":"CAN-04","numerator":{"value":"41"},"denominator":{"value":"60"}}}`,
			`{"result":{"due":{"points":"4.89","amountPence":"96822"}}}`,
		},
		{
			"a hidden count never pays", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26"},"counts":{"indicatorCode":"CAN-04","numerator":{"suppressed":true},"denominator":{"value":"60"}}}`,
			`{"result":{"achievement":"","due":{"refusal":{"reason":"COUNT_SUPPRESSED"}}}}`,
		},
		{
			"a version before that of year end", "QuoteYear",
			`{"basis":{"financialYear":"2024-25","onDate":"2024-09-30"}}`,
			`{"result":{"versionId":"IIF-2024-04","whole":false,"missing":["HI-03","CAN-02"],"duePence":"0"}}`,
		},
		{
			"counts that the version does not list", "QuoteYear",
			`{"basis":{"financialYear":"2025-26"},"counts":[{"indicatorCode":"VI-01","numerator":{"value":"1"},"denominator":{"value":"2"}}]}`,
			`{"result":{"ignoredCodes":["VI-01"]}}`,
		},
		{
			"points of an indicator that the version does not assess", "QuotePoints",
			`{"basis":{"financialYear":"2021-22","listSizeAdjustment":"1"},"points":[{"indicatorCode":"HI-02","points":"45","prevalenceAdjustment":"1"}]}`,
			`{"payments":[{"payment":{"refusal":{"reason":"INDICATOR_SUSPENDED","missing":"points of HI-02 in IIF-2021-12"}}}],"whole":false,"totalPence":"0"}`,
		},
		{
			"points of which it is not known how many there are", "QuotePoints",
			`{"basis":{"financialYear":"2022-23","listSizeAdjustment":"1"},"points":[{"indicatorCode":"CVD-02","points":"5","prevalenceAdjustment":"1"},{"indicatorCode":"CVD-05","points":"66","prevalenceAdjustment":"0.5"}]}`,
			`{"payments":[{"payment":{"refusal":{"reason":"POINTS_UNKNOWN"}}},{"payment":{"amountPence":"660000"}}],"whole":false,"totalPence":"660000"}`,
		},
		{
			"the whole scheme has no prevalence of its own", "QuotePoints", `{"basis":{"financialYear":"2021-22","listSizeAdjustment":"1"},"points":[{"points":"389"}]}`,
			`{"payments":[{"payment":{"refusal":{"reason":"PREVALENCE_RULE_UNKNOWN"}}}]}`,
		},
		{
			"an adjustment that is stated has no average behind it", "QuoteAdjustments",
			`{"basis":{"financialYear":"2021-22","listSizeAdjustment":"0.9","listSize":"45000","indicators":[{"indicatorCode":"VI-01","nationalPrevalencePercent":"10"}]},"indicatorCode":"VI-01","register":"9000"}`,
			`{"listSizeAdjustment":"0.9","prevalenceAdjustment":"2","product":"1.8","averageRegister":"","registerOverAverageRegister":""}`,
		},
		{
			"what a whole version was budgeted at", "QuoteNationalValue", `{"basis":{"financialYear":"2020-21"},"shareExpected":"0.9","pcns":"1251"}`,
			`{"nationalValueGbp":"24245130.6","nationalValueGbpMillion":"24.2","publishedGbp":"24250000","confidence":"CONFIDENCE_SECONDARY"}`,
		},
		{
			"exclusions before all else", "QuotePatients",
			`{"basis":{"financialYear":"2025-26"},"indicatorCode":"CAN-04","patients":[{"exclusion":"GICANREF","met":true},{"met":true},{"adjustments":["FITNIDAT","FAECIMMDEC"]},{}]}`,
			`{"counts":{"numerator":{"value":"1"},"denominator":{"value":"2"},"register":{"value":"4"},"exclusions":[{"field":"GICANREF"}],"adjustments":[{"field":"FITNIDAT"}]},
				"result":{"achievement":"50"}}`,
		},
		{
			"nobody approves what they declared, and the money waits for a commitment", "QuoteCourse",
			`{"financialYear":"2025-26","steps":[{"step":"PROVIDER_DECLARES"},{"step":"SERVICE_AGGREGATED"},{"step":"PROVIDER_DECLARES","notNominated":true},{"step":"PROVIDER_DECLARES"},
				{"step":"COMMISSIONER_DECLARES","person":"b"},{"step":"COMMISSIONER_FINANCIALLY_APPROVES","person":"b"},{"step":"COMMISSIONER_FINANCIALLY_APPROVES"},
				{"step":"REINVESTMENT_COMMITTED"},{"step":"COMMISSIONER_FINANCIALLY_APPROVES"},{"step":"DATA_CHANGED","cause":"DATA_AMENDED"}]}`,
			`{"states":[{"state":"OPEN","refusal":{"reason":"STEP_OUT_OF_ORDER"}},{"state":"AWAITING_SERVICE_PROVIDER_APPROVAL","refusal":null},{"refusal":{"reason":"NOT_NOMINATED"}},
				{"state":"AWAITING_COMMISSIONING_ORGANISATION_APPROVAL"},{"state":"AWAITING_FINANCIAL_APPROVAL"},{"refusal":{"reason":"APPROVER_IS_MAKER"}},
				{"refusal":{"reason":"REINVESTMENT_COMMITMENT_REQUIRED"}},{"refusal":null},{"state":"APPROVED_FOR_PAYMENT","refusal":null},{"state":"APPROVED_FOR_PAYMENT","refusal":{"reason":"ALREADY_APPROVED"}}]}`,
		},
		{
			"an appeal that is upheld is worked out again", "QuoteCourse",
			`{"financialYear":"2025-26","steps":[{"step":"SERVICE_AGGREGATED","onDate":"2026-03-31"},{"step":"SERVICE_AGGREGATED"},{"step":"APPEALED"},{"step":"APPEAL_DECIDED"},
				{"step":"APPEAL_DECIDED","verdict":"UPHELD"},{"step":"SERVICE_AGGREGATED"}]}`,
			`{"states":[{"state":"OPEN","refusal":{"reason":"YEAR_NOT_OVER"}},{},{"state":"UNDER_APPEAL"},{"refusal":{"reason":"OUTCOME_REQUIRED"}},{"state":"OPEN"},
				{"state":"AWAITING_SERVICE_PROVIDER_APPROVAL"}],"fellBack":0}`,
		},
		{
			"a year with indicators missing is not declared", "QuoteCourse",
			`{"financialYear":"2025-26","missing":["HI-03"],"steps":[{"step":"SERVICE_AGGREGATED"},{"step":"PROVIDER_DECLARES"}]}`,
			`{"states":[{},{"refusal":{"reason":"INDICATORS_MISSING","missing":"HI-03"}}]}`,
		},
		{
			"the deadline of the contract", "QuotePaymentRuns", `{"financialYear":"2025-26","approvedOn":["2026-07-04"]}`,
			`{"deadline":"2026-08-31","runs":[{"approveBy":"2026-08-05","payOn":"2026-08-20","afterDeadline":false}]}`,
		},
		{
			"the same count twice is one", "QuoteSubmissions",
			`{"rows":[{"organisationCode":"A81001","achievedOn":"20250331","indicatorCode":"CAN04","field":"FITNIDAT","value":"*","lastSubmission":true},
				{"organisationCode":"A81001","achievedOn":"20250331","indicatorCode":"CAN04","field":"FITNIDAT","value":"*","lastSubmission":true}]}`,
			`{"cells":[{"value":"*"}],"rowsLeftOut":1}`,
		},
		{
			"two adjustments are hidden together", "QuotePublication",
			`{"counts":{"indicatorCode":"CAN-04","numerator":{"value":"0"},"denominator":{"value":"0"},"adjustments":[{"field":"FITNIDAT","count":{"value":"3"}},{"field":"FAECIMMDEC","count":{"value":"0"}}]}}`,
			`{"denominator":"0","adjustments":[{"value":"*"},{"value":"*"}]}`,
		},
	}
	connection := quoteConnection(t)
	var text strings.Builder
	file := csv.NewWriter(&text)
	require.NoError(t, file.Write([]string{"id", "method", "request", "expected", "source"}))
	for _, row := range rows {
		require.NoError(t, file.Write([]string{row.name, iifv1.IifService_ServiceDesc.ServiceName + "/" + row.call, row.request, row.expected, "a test"}))
	}
	file.Flush()
	var out strings.Builder
	ctx := testkit.As(t.Context(), testkit.Preparer("QX1"))
	result, err := check.Run(ctx, strings.NewReader(text.String()), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(rows)}, result, out.String())
}

func TestQuotations_Refuse(t *testing.T) {
	t.Parallel()
	connection := quoteConnection(t)
	for _, row := range []struct {
		name, call, request, reason string
		fields                      []string
	}{
		{
			"everything that is wrong with a basis at once", "QuoteYear",
			`{"basis":{"financialYear":"2025-27","onDate":"2025-02-30","gbpPerPoint":"1,5","listSize":"many"}}`, "YEAR_MALFORMED",
			[]string{"basis.financial_year", "basis.on_date", "basis.list_size", "basis.gbp_per_point"},
		},
		{
			"indicators that the version does not have", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","indicators":[{"indicatorCode":"VI-01"}]},"counts":{"indicatorCode":"CAN-02"}}`, "INDICATOR_UNKNOWN",
			[]string{"basis.indicators[0].indicator_code", "counts.indicator_code"},
		},
		{
			"figures stated twice", "QuoteIndicator",
			`{"basis":{"financialYear":"2025-26","indicators":[{"indicatorCode":"HI-03"},{"indicatorCode":"HI-03"}]},"counts":{"indicatorCode":"HI-03"}}`, "INDICATOR_TWICE",
			[]string{"basis.indicators[1].indicator_code"},
		},
		{
			"counts twice", "QuoteYear", `{"basis":{"financialYear":"2025-26"},"counts":[{"indicatorCode":"HI-03"},{"indicatorCode":"HI-03"}]}`, "INDICATOR_TWICE", nil,
		},
		{"a year without figures", "QuoteYear", `{"basis":{"financialYear":"2026-27"}}`, "SCHEME_VERSION_UNKNOWN", nil},
		{"a year before the fund", "QuoteYear", `{"basis":{"financialYear":"2019-20"}}`, "SCHEME_VERSION_UNKNOWN", nil},
		{"a year before it was known", "QuoteYear", `{"basis":{"financialYear":"2025-26","knownOn":"2024-01-01"}}`, "SCHEME_VERSION_UNKNOWN", nil},
		{
			"more points than there are", "QuotePoints", `{"basis":{"financialYear":"2025-26"},"points":[{"indicatorCode":"HI-03","points":"36.01"}]}`, "FIGURE_INVALID",
			[]string{"points[0].points"},
		},
		{
			"points twice", "QuotePoints", `{"basis":{"financialYear":"2025-26"},"points":[{"points":"1"},{"points":"2"}]}`, "INDICATOR_TWICE",
			[]string{"points[1].indicator_code"},
		},
		{
			"an adjustment without an average", "QuoteAdjustments", `{"basis":{"financialYear":"2021-22","listSize":"40000"},"indicatorCode":"VI-01","register":"3000"}`,
			"AVERAGE_LIST_UNKNOWN", nil,
		},
		{
			"an adjustment without a prevalence", "QuoteAdjustments",
			`{"basis":{"financialYear":"2021-22","listSize":"40000","nationalAverageListSize":"50000"},"indicatorCode":"VI-01","register":"3000"}`, "PREVALENCE_UNKNOWN", nil,
		},
		{
			"a share above one", "QuoteNationalValue", `{"basis":{"financialYear":"2025-26"},"shareExpected":"1.1","pcns":"1251"}`, "FIGURE_INVALID",
			[]string{"share_expected"},
		},
		{
			"a value of points that nobody knows", "QuoteNationalValue", `{"basis":{"financialYear":"2022-23"},"indicatorCode":"CVD-02","shareExpected":"0.9","pcns":"1251"}`,
			"POINTS_UNKNOWN", nil,
		},
		{
			"two last submissions", "QuoteSubmissions",
			`{"rows":[{"organisationCode":"A81001","achievedOn":"20250331","indicatorCode":"CAN04","field":"FITNIDAT","value":"14","lastSubmission":true},
				{"organisationCode":"A81001","achievedOn":"20250331","indicatorCode":"CAN04","field":"FITNIDAT","value":"16","lastSubmission":true}]}`, "SUBMISSION_TWICE", nil,
		},
		{
			"a row that is no count", "QuoteSubmissions",
			`{"rows":[{"organisationCode":"A81001","achievedOn":"20250331","indicatorCode":"CAN04","field":"FITNIDAT","value":"1.5","lastSubmission":true}]}`, "COUNT_MALFORMED",
			[]string{"rows[0].value"},
		},
		{
			"a band with admissions and no patients", "QuoteStandardisedCount", `{"bands":[{"admissions":"1","englandPopulation":"10"}]}`, "BAND_WITHOUT_PATIENTS", nil,
		},
		{
			"a band twice", "QuoteStandardisedCount", `{"bands":[{"name":"a","pcnPopulation":"1","englandPopulation":"10"},{"name":"a","pcnPopulation":"1","englandPopulation":"10"}]}`,
			"COUNTS_DISAGREE",
			[]string{"bands[1].name"},
		},
		{"a day that is in no calendar", "QuotePaymentRuns", `{"financialYear":"2025-26","approvedOn":["2026-02-30"]}`, "DATE_MALFORMED", []string{"approved_on[0]"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := quoteAsk(t, connection, row.call, row.request)
			refused := rpc.FaultFromStatus(status.Convert(err))
			require.NotNil(t, refused, "%v", err)
			require.Equal(t, row.reason, refused.Reason)
			fields := make([]string, len(refused.Violations))
			for i, v := range refused.Violations {
				fields[i] = v.Field
			}
			require.ElementsMatch(t, row.fields, fields)
		})
	}
}
