package core_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// quotations serves the quotation calls, which need nothing but their request, over an in-process connection.
func quotations(t *testing.T) grpc.ClientConnInterface {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	corev1.RegisterCoreServiceServer(server, new(core.Service))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:bufconn",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, connection.Close()) })
	return connection
}

// examplesOf returns the examples whose method begins so, as a file of their own, and their number.
func examplesOf(t *testing.T, method string) (file string, count int) {
	t.Helper()
	text, err := os.ReadFile("testdata/examples.csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	var out strings.Builder
	writer := csv.NewWriter(&out)
	require.NoError(t, writer.Write(rows[0]))
	for _, row := range rows[1:] {
		if strings.HasPrefix(row[1], method) {
			require.NoError(t, writer.Write(row))
			count++
		}
	}
	writer.Flush()
	return out.String(), count
}

func TestQuotations_GiveTheWorkedExamples(t *testing.T) {
	t.Parallel()
	examples, count := examplesOf(t, corev1.CoreService_ServiceDesc.ServiceName+"/")
	require.Positive(t, count)
	connection := quotations(t)
	var out strings.Builder
	result, err := check.Run(t.Context(), strings.NewReader(examples), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: count}, result, out.String())
}

func TestExamples_NameOnlyCallsOfTheContract(t *testing.T) {
	t.Parallel()
	_, ofCore := examplesOf(t, corev1.CoreService_ServiceDesc.ServiceName+"/")
	_, ofRegister := examplesOf(t, registerv1.RegisterService_ServiceDesc.ServiceName+"/")
	_, all := examplesOf(t, "")
	require.Equal(t, 92, ofCore)
	require.Equal(t, 3, ofRegister)
	require.Equal(t, 95, all)
}

// TestQuoteInstalments_WorkingGivesThePence recomputes every example's first instalment from the working in the answer.
func TestQuoteInstalments_WorkingGivesThePence(t *testing.T) {
	t.Parallel()
	examples, _ := examplesOf(t, corev1.CoreService_ServiceDesc.ServiceName+"/QuoteInstalments")
	rows, err := csv.NewReader(strings.NewReader(examples)).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		request := new(corev1.QuoteInstalmentsRequest)
		require.NoError(t, protojson.Unmarshal([]byte(row[2]), request), row[0])
		answer, err := new(core.Service).QuoteInstalments(t.Context(), request)
		require.NoError(t, err, row[0])
		for _, stream := range answer.GetStreams() {
			steps, err := working.FromProto(stream.GetWorking())
			require.NoError(t, err, row[0])
			result, err := working.Evaluate(steps)
			require.NoError(t, err, row[0])
			require.Zero(t, result.Cmp(money.Pence(stream.GetMonthlyPence()).GBP()), row[0])
		}
	}
}

func component(rate, population string) *corev1.Component {
	return &corev1.Component{RateGbp: rate, Population: population}
}

func instalments(streams ...*corev1.Stream) *corev1.QuoteInstalmentsRequest {
	return &corev1.QuoteInstalmentsRequest{Streams: streams}
}

func stream(instalments int32, convention corev1.Convention, components ...*corev1.Component) *corev1.Stream {
	return &corev1.Stream{PaymentCode: "CORE_PCN", Components: components, Instalments: instalments, Convention: convention}
}

func TestQuoteInstalments_RefusesWhatItCannotCompute(t *testing.T) {
	t.Parallel()
	const annual, monthly, byPractice = corev1.Convention_PCN_ANNUAL, corev1.Convention_PCN_MONTHLY_RATE, corev1.Convention_PRACTICE_SUM
	good := component("1.50", "100")
	both := &corev1.Component{RateGbp: "1.50", Population: "1", PracticePopulations: map[string]string{"A": "1"}}
	tooMany := stream(12, annual, good)
	tooMany.FirstPaymentInstalments = 13
	cases := []struct {
		name    string
		request *corev1.QuoteInstalmentsRequest
		kind    fault.Kind
		reason  string
		fields  []string
	}{
		{"exponent", instalments(stream(12, annual, component("1e3", "1"))), fault.Invalid, "DECIMAL_MALFORMED", []string{"streams[0].components[0].rate_gbp"}},
		{"separator", instalments(stream(12, annual, good), stream(12, annual, component("1.50", "48,124"))), fault.Invalid, "DECIMAL_MALFORMED", []string{"streams[1].components[0].population"}},
		{"negative", instalments(stream(12, annual, component("-1.50", "-1"))), fault.Invalid, "DECIMAL_MALFORMED", []string{"streams[0].components[0].rate_gbp", "streams[0].components[0].population"}},
		{"practice malformed", instalments(stream(12, byPractice, &corev1.Component{RateGbp: "1", PracticePopulations: map[string]string{"B": "1", "A": "x"}})), fault.Invalid, "DECIMAL_MALFORMED", []string{"streams[0].components[0].practice_populations[A]"}},
		{"rate left out", instalments(stream(12, annual, component("", "1"))), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0].components[0].rate_gbp"}},
		{"population left out", instalments(stream(12, annual, component("1", ""))), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0].components[0].population"}},
		{"population given twice", instalments(stream(12, annual, both)), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0].components[0].population"}},
		{"practices left out", instalments(stream(12, byPractice, good)), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0].components[0].practice_populations"}},
		{"monthly rate left out", instalments(stream(12, monthly, good)), fault.Refused, "MONTHLY_RATE_MISSING", []string{"streams[0]"}},
		{"components without names", instalments(stream(12, annual, good, good)), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0]"}},
		{"no components", instalments(stream(12, annual)), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0]"}},
		{"no instalments", instalments(stream(0, annual, good)), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0]"}},
		{"first payment too long", instalments(tooMany), fault.Invalid, "QUOTE_INCOMPLETE", []string{"streams[0]"}},
		{"convention unknown", instalments(stream(12, 9, good)), fault.Invalid, "SETTING_INVALID", []string{"streams[0]"}},
		{"too large", instalments(stream(12, annual, component("1000000000000", "1000000000000"))), fault.Invalid, "AMOUNT_OVERFLOW", []string{"streams[0]"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := new(core.Service).QuoteInstalments(t.Context(), c.request)
			requireFault(t, err, c.kind, c.reason, c.fields...)
		})
	}
}

func requireFault(t *testing.T, err error, kind fault.Kind, reason string, fields ...string) {
	t.Helper()
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, kind, f.Kind, f.Message)
	require.Equal(t, reason, f.Reason, f.Message)
	var named []string
	for _, violation := range f.Violations {
		named = append(named, violation.Field)
	}
	require.Equal(t, fields, named)
}

func TestQuoteInstalments_RefusesASumBeyondPence(t *testing.T) {
	t.Parallel()
	large := stream(1, corev1.Convention_PCN_ANNUAL, component("90000000000000000", "1"))
	_, err := new(core.Service).QuoteInstalments(t.Context(), instalments(large, large))
	requireFault(t, err, fault.Invalid, "AMOUNT_OVERFLOW")
}

func TestQuoteBeds_TakesTheLastCountStated(t *testing.T) {
	t.Parallel()
	answer, err := new(core.Service).QuoteBeds(t.Context(), &corev1.QuoteBedsRequest{
		RateGbp: "120", Instalments: 4, FirstMonth: "2022-01", BedsByMonth: map[string]int64{"2021-11": 10, "2022-02": 7, "2022-04": 8},
	})
	require.NoError(t, err)
	require.Equal(t, []int64{30000, 21000, 21000, 24000}, answer.GetMonthsPence())
	require.EqualValues(t, 96000, answer.GetTotalPence())
	require.Contains(t, answer.GetWorking().GetInputs()[2].GetOrigin().GetSource(), "2021-11")
}

func TestQuoteBeds_RefusesWhatItCannotCompute(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		request *corev1.QuoteBedsRequest
		kind    fault.Kind
		reason  string
		fields  []string
	}{
		{"rate malformed", &corev1.QuoteBedsRequest{RateGbp: "£120", Instalments: 1, FirstMonth: "2022-04", BedsByMonth: map[string]int64{"2022-04": 1}}, fault.Invalid, "DECIMAL_MALFORMED", []string{"rate_gbp"}},
		{"beds negative", &corev1.QuoteBedsRequest{RateGbp: "120", Instalments: 1, FirstMonth: "2022-04", BedsByMonth: map[string]int64{"2022-04": -1}}, fault.Invalid, "DECIMAL_MALFORMED", []string{"beds_by_month[2022-04]"}},
		{"month malformed", &corev1.QuoteBedsRequest{RateGbp: "120", Instalments: 1, FirstMonth: "2022-04", BedsByMonth: map[string]int64{"2022-4": 1}}, fault.Invalid, "MONTH_MALFORMED", []string{"beds_by_month"}},
		{"first month malformed", &corev1.QuoteBedsRequest{RateGbp: "120", Instalments: 1, FirstMonth: "2022-13", BedsByMonth: map[string]int64{"2022-04": 1}}, fault.Invalid, "MONTH_MALFORMED", []string{"first_month"}},
		{"none stated yet", &corev1.QuoteBedsRequest{RateGbp: "120", Instalments: 2, FirstMonth: "2022-04", BedsByMonth: map[string]int64{"2022-05": 1}}, fault.Refused, "BEDS_MISSING", nil},
		{"stated after the period", &corev1.QuoteBedsRequest{RateGbp: "120", Instalments: 1, FirstMonth: "2022-04", BedsByMonth: map[string]int64{"2022-04": 1, "2022-05": 1}}, fault.Invalid, "QUOTE_INCOMPLETE", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := new(core.Service).QuoteBeds(t.Context(), c.request)
			requireFault(t, err, c.kind, c.reason, c.fields...)
		})
	}
}

func TestQuoteCorrection_RecoversWhatWasOverpaid(t *testing.T) {
	t.Parallel()
	answer, err := new(core.Service).QuoteCorrection(t.Context(), &corev1.QuoteCorrectionRequest{
		Before:          stream(12, corev1.Convention_PCN_ANNUAL, component("12", "1000")),
		After:           stream(12, corev1.Convention_PCN_ANNUAL, component("12", "900")),
		InstalmentsPaid: 12,
	})
	require.NoError(t, err)
	require.EqualValues(t, -120000, answer.GetArrearsPence())
	require.EqualValues(t, -120000, answer.GetNextPaymentPence())
	require.Zero(t, answer.GetPaidAfterPence())
	require.EqualValues(t, 1080000, answer.GetTotalPence())
}

func TestQuoteCorrection_RefusesOtherPeriods(t *testing.T) {
	t.Parallel()
	request := &corev1.QuoteCorrectionRequest{
		Before: stream(12, corev1.Convention_PCN_ANNUAL, component("12", "1")),
		After:  stream(6, corev1.Convention_PCN_ANNUAL, component("12", "1")),
	}
	_, err := new(core.Service).QuoteCorrection(t.Context(), request)
	requireFault(t, err, fault.Invalid, "QUOTE_INCOMPLETE")
	request.After.Instalments, request.InstalmentsPaid = 12, 13
	_, err = new(core.Service).QuoteCorrection(t.Context(), request)
	requireFault(t, err, fault.Invalid, "QUOTE_INCOMPLETE")
	request.Before.Components[0].RateGbp = "twelve"
	_, err = new(core.Service).QuoteCorrection(t.Context(), request)
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "before.components[0].rate_gbp")
}

func TestQuoteImprovement_PaysFullYearValueOfDeclaredParts(t *testing.T) {
	t.Parallel()
	request := &corev1.QuoteImprovementRequest{
		AdjustedPopulation: "50000", PartRatesGbp: map[string]string{"CAIP_ACCESS": "0.917", "CAIP_RISK": "0.458"}, DeclaredParts: []string{"CAIP_ACCESS"},
	}
	answer, err := new(core.Service).QuoteImprovement(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"CAIP_ACCESS": 4585000}, answer.GetPartsPence())
	require.EqualValues(t, 4585000, answer.GetAmountPence())
	require.EqualValues(t, 6875000, answer.GetMaximumPence())

	for _, declared := range [][]string{{"CAIP_TELEPHONY"}, {"CAIP_RISK", "CAIP_RISK"}} {
		request.DeclaredParts = declared
		_, err = new(core.Service).QuoteImprovement(t.Context(), request)
		requireFault(t, err, fault.Invalid, "DECLARATION_PART_UNKNOWN")
	}
	request.PartRatesGbp["CAIP_RISK"] = ""
	_, err = new(core.Service).QuoteImprovement(t.Context(), request)
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "part_rates_gbp[CAIP_RISK]")
}

func TestQuotations_NameTheFieldThatIsMalformed(t *testing.T) {
	t.Parallel()
	s, ctx := new(core.Service), t.Context()
	_, err := s.QuotePerHead(ctx, &corev1.QuotePerHeadRequest{RatesGbp: map[string]string{"CORE_PCN": "1.50", "CASP": "NaN"}})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "rates_gbp[CASP]")
	_, err = s.QuoteServiceHours(ctx, &corev1.QuoteServiceHoursRequest{Population: "1", MinutesPer_1000: ".5"})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "minutes_per_1000")
	_, err = s.QuoteImpliedPopulation(ctx, &corev1.QuoteImpliedPopulationRequest{NationalGbp: "x", RateGbp: "1"})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "national_gbp")
	_, err = s.QuoteImpliedPopulation(ctx, &corev1.QuoteImpliedPopulationRequest{NationalGbp: "1", RateGbp: "0"})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "rate_gbp")
	_, err = s.QuoteImpliedPopulation(ctx, &corev1.QuoteImpliedPopulationRequest{NationalGbp: "1000000000000000000000000", RateGbp: "1"})
	requireFault(t, err, fault.Invalid, "AMOUNT_OVERFLOW", "rate_gbp")
	_, err = s.QuoteShare(ctx, &corev1.QuoteShareRequest{PoolPence: 1, Populations: map[string]string{"U00001": "-1"}})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "populations[U00001]")
	_, err = s.QuoteShare(ctx, &corev1.QuoteShareRequest{PoolPence: 1, Populations: map[string]string{"U00001": "0"}})
	requireFault(t, err, fault.Invalid, "QUOTE_INCOMPLETE", "populations")
	_, err = s.QuoteNeedWeight(ctx, &corev1.QuoteNeedWeightRequest{PrimaryMedicalCareWeighted: "1", HealthInequalityWeighted: "1", HealthInequalityShare: "1.01"})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "health_inequality_share")
	_, err = s.QuoteNeedWeight(ctx, &corev1.QuoteNeedWeightRequest{PrimaryMedicalCareWeighted: "", HealthInequalityWeighted: "1", HealthInequalityShare: "0"})
	requireFault(t, err, fault.Invalid, "DECIMAL_MALFORMED", "primary_medical_care_weighted")
}

// TestEnumerations_EqualTheContract holds that the enumerations of the rules carry the numbers of the contract.
func TestEnumerations_EqualTheContract(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, corev1.Convention_PCN_ANNUAL, rules.PCNAnnual)
	require.EqualValues(t, corev1.Convention_RESIDUAL_LAST, rules.ResidualLast)
	for number, name := range corev1.Convention_name {
		if number != 0 {
			require.Equal(t, name, rules.Convention(number).String())
		}
	}
	for number, name := range corev1.Unit_name {
		if number != 0 {
			require.Equal(t, name, strings.ToUpper(rules.Unit(number).String()))
		}
	}
	for number, name := range corev1.Timing_name {
		if number != 0 {
			require.Equal(t, name, strings.ToUpper(rules.Timing(number).String()))
		}
	}
}
