package devfund_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
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
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// quoteConnection serves the quotation calls, which need nothing but their request.
func quoteConnection(t *testing.T) *grpc.ClientConn {
	t.Helper()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), devfund.Migrations()))
	service, err := devfund.New(t.Context(), devfund.Deps{DB: db, Logger: testkit.Logger(t)})
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
		require.True(t, strings.HasPrefix(row[1], devfundv1.DevfundService_ServiceDesc.ServiceName+"/Quote"), row[0])
	}
	_, all := quoteRows(t, "internal/rules/testdata/development_fund.csv")
	wanted := 0
	for _, row := range all {
		// Leadership and management is core's, and so are its checks.
		if strings.HasPrefix(row[0], "DF-") {
			require.Contains(t, ids, row[0])
			wanted++
		}
	}
	require.Len(t, ids, wanted)
	connection := quoteConnection(t)
	var out strings.Builder
	ctx := testkit.As(t.Context(), testkit.PCNManager("U00001"))
	result, err := check.Run(ctx, strings.NewReader(examples), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: wanted}, result, out.String())
}

// quoteAsk calls a quotation by its name with a request in JSON, as a check does.
func quoteAsk(t *testing.T, connection *grpc.ClientConn, call, request string) (proto.Message, error) {
	t.Helper()
	method := devfundv1.File_pcnfunding_devfund_v1_devfund_service_proto.Services().ByName("DevfundService").Methods().ByName(protoreflect.Name(call))
	require.NotNil(t, method, call)
	of := func(message protoreflect.MessageDescriptor) proto.Message {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName())
		require.NoError(t, err)
		return kind.New().Interface()
	}
	in, out := of(method.Input()), of(method.Output())
	require.NoError(t, protojson.Unmarshal([]byte(request), in), request)
	ctx := testkit.As(t.Context(), testkit.PCNManager("U00001"))
	return out, connection.Invoke(ctx, "/"+devfundv1.DevfundService_ServiceDesc.ServiceName+"/"+call, in, out)
}

// quotedWorking is a working with the pence that stand beside it.
type quotedWorking struct {
	working *typev1.Working
	pence   int64
}

func quotedWorkings(answer proto.Message) (out []quotedWorking) {
	shares := func(all []*devfundv1.Share) {
		for _, s := range all {
			out = append(out, quotedWorking{s.GetWorking(), s.GetAmountPence()})
		}
	}
	switch a := answer.(type) {
	case *devfundv1.QuoteSharingResponse:
		shares(a.GetOutcome().GetShares())
		shares(a.GetLeadershipShares())
		for _, s := range a.GetOutcome().GetSlices() {
			out = append(out, quotedWorking{s.GetWorking(), s.GetAmountPence()})
		}
	case *devfundv1.QuoteAverageResponse:
		out = append(out, quotedWorking{a.GetAverageWorking(), a.GetAveragePence()}, quotedWorking{a.GetLeadershipWorking(), a.GetLeadershipPence()})
	}
	return out
}

func requireWorkingsGiveTheirPence(t require.TestingT, answer proto.Message) int {
	all := quotedWorkings(answer)
	for _, of := range all {
		steps, err := working.FromProto(of.working)
		require.NoError(t, err)
		got, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, got.Cmp(money.Pence(of.pence).GBP()), "the working gives %s, not %d pence", got, of.pence)
	}
	return len(all)
}

func TestQuotations_ShowWorkingsThatGiveTheirPence(t *testing.T) {
	t.Parallel()
	_, rows := quoteRows(t, "testdata/examples.csv")
	connection := quoteConnection(t)
	workings := 0
	for _, row := range rows {
		_, call, _ := strings.Cut(row[1], "/")
		answer, err := quoteAsk(t, connection, call, row[2])
		require.NoError(t, err, row[0])
		workings += requireWorkingsGiveTheirPence(t, answer)
	}
	require.Equal(t, 32, workings)
}

// TestQuotations_ShareAPoolWhole proves over the contract what the rules prove: nothing of a pool is lost or made, in any order.
func TestQuotations_ShareAPoolWhole(t *testing.T) {
	t.Parallel()
	connection := quoteConnection(t)
	client := devfundv1.NewDevfundServiceClient(connection)
	ctx := testkit.As(t.Context(), testkit.PCNManager("U00001"))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "receivers")
		req := &devfundv1.QuoteSharingRequest{
			PoolPence: rapid.Int64Range(0, 1e9).Draw(t, "pool"), FinancialYear: "2019-20", LeadershipEqually: true,
			Method: &devfundv1.SharingMethod{Kind: rapid.SampledFrom([]devfundv1.SharingKind{
				devfundv1.SharingKind_EQUAL, devfundv1.SharingKind_PER_HEAD_REGISTERED, devfundv1.SharingKind_PER_HEAD_WEIGHTED, devfundv1.SharingKind_PER_HEAD_ADJUSTED,
				devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, devfundv1.SharingKind_NEED_INDEX,
			}).Draw(t, "kind"), NeedIndexSource: "a test", Slices: []*devfundv1.TopSlice{{Purpose: devfundv1.AllocationPurpose_LEADERSHIP}}},
		}
		for _, purpose := range []devfundv1.AllocationPurpose{devfundv1.AllocationPurpose_SYSTEM_SUPPORT, devfundv1.AllocationPurpose_PLACE_SUPPORT} {
			if rapid.Bool().Draw(t, "slice") {
				req.Method.Slices = append(req.Method.Slices, &devfundv1.TopSlice{Purpose: purpose, Percent: fmt.Sprintf("%d.%d", rapid.IntRange(0, 44).Draw(t, "percent"), rapid.IntRange(0, 9).Draw(t, "tenth"))})
			}
		}
		for i := range n {
			req.Receivers = append(req.Receivers, &devfundv1.Receiver{
				Code: fmt.Sprintf("U%05d", i), Population: fmt.Sprint(rapid.IntRange(1, 90000).Draw(t, "patients")), NeedIndex: "1." + fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "need")),
			})
		}
		answer, err := client.QuoteSharing(ctx, req)
		require.NoError(t, err)
		requireWorkingsGiveTheirPence(t, answer)
		sum := answer.GetOutcome().GetHeldPence()
		for _, s := range answer.GetOutcome().GetSlices() {
			sum += s.GetAmountPence()
		}
		for _, s := range answer.GetOutcome().GetShares() {
			sum += s.GetAmountPence()
		}
		require.Equal(t, req.GetPoolPence(), sum)
		require.Equal(t, devfundv1.AllocationPurpose_LEADERSHIP, answer.GetOutcome().GetSlices()[0].GetPurpose(), "2019/20 has a portion by default")
		sum = 0
		for _, both := range answer.GetAllPence() {
			sum += both
		}
		require.Equal(t, answer.GetOutcome().GetSlices()[0].GetAmountPence()+answer.GetOutcome().GetSharedPoolPence(), sum)

		slices.Reverse(req.GetReceivers())
		again, err := client.QuoteSharing(ctx, req)
		require.NoError(t, err)
		require.True(t, proto.Equal(answer, again), "the order of receivers changes nothing")
	})
}

func TestQuotations_Answer(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, call, request, expected string }{
		{
			"a leftover penny goes to the lower code", "QuoteSharing",
			`{"poolPence":"100","method":{"kind":"EQUAL"},"receivers":[{"code":"B","name":"Second"},{"code":"C"},{"code":"A","name":"First"}]}`,
			`{"outcome":{"methodWords":"the same for each","shares":[{"code":"A","name":"First","amountPence":"34","exact":"1/3"},{"code":"B","name":"Second","amountPence":"33"},{"code":"C","amountPence":"33"}]},
				"leadershipShares":[],"allPence":[]}`,
		},
		{
			"bids below the pool leave something held back", "QuoteSharing",
			`{"poolPence":"1000","method":{"kind":"BID"},"receivers":[{"code":"A","bidPence":"300"},{"code":"B","bidPence":"200"}]}`,
			`{"outcome":{"heldPence":"500","shares":[{"amountPence":"300","population":"","weight":""},{"amountPence":"200"}]}}`,
		},
		{
			"an index of need that is not stated is one", "QuoteSharing",
			`{"poolPence":"300","method":{"kind":"NEED_INDEX","needIndexSource":"the borough"},"receivers":[{"code":"A","population":"100"},{"code":"B","population":"100","needIndex":"2"}]}`,
			`{"outcome":{"shares":[{"amountPence":"100","population":"100","weight":"100"},{"amountPence":"200","population":"100","weight":"200"}]}}`,
		},
		{
			"2019/20 has a portion for leadership by default", "QuoteSharing", `{"poolPence":"1000","financialYear":"2019-20","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP"}]},"receivers":[{"code":"A"}]}`,
			`{"outcome":{"slices":[{"purpose":"LEADERSHIP","percent":"10","amountPence":"100"}],"shares":[{"amountPence":"900"}]}}`,
		},
		{
			"nothing for leadership, with a reason", "QuoteSharing",
			`{"poolPence":"1000","financialYear":"2020-21","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP","percent":"0","reason":"the system pays for it"}]},"receivers":[{"code":"A"}]}`,
			`{"outcome":{"slices":[{"amountPence":"0"}],"shares":[{"amountPence":"1000"}]}}`,
		},
		{
			"freed time without a day of development", "QuoteEligibility",
			`{"lines":[{"lineId":"1","category":"release_time_for_development","developmentActivity":"team days"},{"lineId":"2","category":"wellbeing_and_resilience","releaseTime":true},
				{"lineId":"3","category":"wellbeing_and_resilience"},{"lineId":"4","category":"business_as_usual_cost"}]}`,
			`{"lines":[{"eligible":false,"reason":"RELEASE_TIME_WITHOUT_DEVELOPMENT"},{"eligible":false,"reason":"RELEASE_TIME_WITHOUT_DEVELOPMENT"},{"eligible":true,"reason":"eligible"},
				{"eligible":false,"reason":"ineligible:business_as_usual_cost"}]}`,
		},
		{
			"a sum without a leadership portion", "QuoteAverage", `{"totalPence":"1001","pcnCount":2}`,
			`{"averagePence":"501","leadershipPence":"0","withinRange":false,"leadershipWorking":null}`,
		},
		{
			"tranches whose last takes what is left", "QuoteTranches",
			`{"amountPence":"1000","beneficiaries":[{"pcnCode":"U00002"},{"pcnCode":"U00001"},{"pcnCode":"U00003"}],"tranches":[{"month":"2020-12"},{"month":"2021-01"}]}`,
			`{"tranches":[{"pcnCode":"U00001","month":"2020-12","amountPence":"167"},{"pcnCode":"U00001","month":"2021-01","amountPence":"167"},{"pcnCode":"U00002","amountPence":"167"},
				{"pcnCode":"U00002","amountPence":"166"},{"pcnCode":"U00003","amountPence":"167"},{"pcnCode":"U00003","amountPence":"166"}]}`,
		},
		{
			"a plan that passes every check", "QuotePlan", quotedPlan(""),
			`{"approvable":true,"failedChecks":[],"missing":[],"checks":[{"check":"development_not_delivery","passed":true},{"check":"universal_offer"},{"check":"agreed_with_clinical_directors"},
				{"check":"level_decided"},{"check":"leadership_portion_decided"},{"check":"des_and_ltp_alignment"},{"check":"collaboration"},{"check":"within_allocation","passed":true}]}`,
		},
		{
			"a plan above its allocation", "QuotePlan", quotedPlan(`,"availablePence":"99999"`), `{"approvable":false,"failedChecks":["within_allocation"]}`,
		},
		{
			"checks that are taken as passed are not looked at", "QuotePlan", quotedPlan(`,"availablePence":"99999","assumePassed":["within_allocation"]`), `{"approvable":true}`,
		},
	}
	connection := quoteConnection(t)
	var text strings.Builder
	file := csv.NewWriter(&text)
	require.NoError(t, file.Write([]string{"id", "method", "request", "expected", "source"}))
	for _, row := range rows {
		require.NoError(t, file.Write([]string{row.name, devfundv1.DevfundService_ServiceDesc.ServiceName + "/" + row.call, row.request, row.expected, "a test"}))
	}
	file.Flush()
	var out strings.Builder
	ctx := testkit.As(t.Context(), testkit.Preparer("QX1"))
	result, err := check.Run(ctx, strings.NewReader(text.String()), func(string) grpc.ClientConnInterface { return connection }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: len(rows)}, result, out.String())
}

// quotedPlan is a plan of two networks with one line of £1,000 that nothing is missing of, and more fields.
func quotedPlan(more string) string {
	return `{"financialYear":"2020-21","header":{"title":"A plan","allocationId":"a","leadershipPercent":"10"},"pcnCodes":["U00001","U00002"],"agreedBy":["U00001","U00002"],
		"lines":[{"lineId":"L1","allocationId":"a","level":"LINE_PLACE","levelReason":"one trainer for both","domain":"ORGANISATIONAL_DEVELOPMENT","priorities":["WORKFORCE"],
			"category":"change_management","description":"Change management for both networks","staffGroups":["CLINICAL","NON_CLINICAL"],"payee":"PCN_PAYEE","amountPence":"100000",
			"beneficiaries":[{"pcnCode":"U00001"},{"pcnCode":"U00002"}],"alignments":["NETWORK_CONTRACT"],"widerPartners":"the community trust"}]` + more + `}`
}

func TestQuotations_Refuse(t *testing.T) {
	t.Parallel()
	connection := quoteConnection(t)
	two := `"receivers":[{"code":"A","population":"1"},{"code":"B","population":"2"}]`
	for _, row := range []struct {
		name, call, request, reason string
		fields                      []string
		figures                     map[string]string
	}{
		{
			"needs whose source nobody states", "QuoteSharing", `{"poolPence":"1","method":{"kind":"NEED_INDEX"},` + two + `}`, "NEED_INDEX_SOURCE_MISSING",
			[]string{"method.need_index_source"},
			nil,
		},
		{
			"a slice for development at large", "QuoteSharing", `{"poolPence":"1","method":{"kind":"EQUAL","slices":[{"purpose":"GENERAL","percent":"1"}]},` + two + `}`, "METHOD_MALFORMED",
			[]string{"method.slices[0].purpose"},
			nil,
		},
		{
			"a percentage that is no decimal", "QuoteSharing", `{"poolPence":"1","method":{"kind":"EQUAL","slices":[{"purpose":"PLACE_SUPPORT","percent":"1,5"}]},` + two + `}`, "DECIMAL_MALFORMED",
			[]string{"method.slices[0].percent"},
			nil,
		},
		{
			"a portion that no year decides", "QuoteSharing", `{"poolPence":"1","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP"}]},` + two + `}`, "METHOD_MALFORMED",
			[]string{"method.slices"},
			nil,
		},
		{
			"patients that are no number", "QuoteSharing", `{"poolPence":"1","method":{"kind":"PER_HEAD_REGISTERED"},"receivers":[{"code":"A","population":"many"}]}`, "DECIMAL_MALFORMED",
			[]string{"receivers[0]"},
			nil,
		},
		{
			"a slice twice", "QuoteSharing", `{"poolPence":"1","method":{"kind":"EQUAL","slices":[{"purpose":"PLACE_SUPPORT","percent":"1"},{"purpose":"PLACE_SUPPORT","percent":"1"}]},` + two + `}`,
			"METHOD_MALFORMED",
			[]string{"method.slices[1].purpose"},
			nil,
		},
		{"a leadership portion that must be entered", "QuoteSharing", `{"poolPence":"1","financialYear":"2020-21","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP"}]},` + two + `}`, "LEADERSHIP_PERCENT_MISSING", nil, nil},
		{
			"nothing for leadership without a reason", "QuoteSharing",
			`{"poolPence":"1","financialYear":"2020-21","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP","percent":"0"}]},` + two + `}`, "LEADERSHIP_REASON_MISSING", nil, nil,
		},
		{
			"flat sums above the pool", "QuoteSharing", `{"poolPence":"100","method":{"kind":"FLAT_PLUS_PER_HEAD","flatPence":"51"},` + two + `}`, "FLATS_EXCEED_POOL", nil,
			map[string]string{"flats_pence": "102", "pool_pence": "100"},
		},
		{
			"percentages above a hundred", "QuoteSharing",
			`{"poolPence":"100","method":{"kind":"EQUAL","slices":[{"purpose":"LEADERSHIP","percent":"60"},{"purpose":"PLACE_SUPPORT","percent":"40.5"}]},` + two + `}`,
			"PERCENTAGES_EXCEED_POOL", nil,
			map[string]string{"percent": "100.5"},
		},
		{
			"bids above the pool", "QuoteSharing", `{"poolPence":"100","method":{"kind":"BID"},"receivers":[{"code":"A","bidPence":"101"}]}`, "BIDS_EXCEED_POOL", nil,
			map[string]string{"excess_pence": "1"},
		},
		{
			"patients that are not stated", "QuoteSharing", `{"poolPence":"100","method":{"kind":"PER_HEAD_ADJUSTED"},"receivers":[{"code":"A","population":"1"},{"code":"B"},{"code":"C"}]}`,
			"POPULATION_MISSING", nil,
			map[string]string{"receivers": "B,C"},
		},
		{"nobody", "QuoteSharing", `{"poolPence":"100","method":{"kind":"EQUAL"}}`, "NO_RECEIVERS", nil, nil},
		{"a receiver twice", "QuoteSharing", `{"poolPence":"100","method":{"kind":"EQUAL"},"receivers":[{"code":"A"},{"code":"A"}]}`, "RECEIVER_TWICE", nil, map[string]string{"receiver": "A"}},
		{
			"patients below nothing", "QuoteSharing", `{"poolPence":"100","method":{"kind":"PER_HEAD_REGISTERED"},"receivers":[{"code":"A","population":"-1"}]}`, "WEIGHT_NEGATIVE", nil,
			map[string]string{"receiver": "A"},
		},
		{"weights that are all nothing", "QuoteSharing", `{"poolPence":"100","method":{"kind":"PER_HEAD_REGISTERED"},"receivers":[{"code":"A","population":"0"}]}`, "NO_WEIGHT", nil, nil},
		{"a year that is none", "QuoteSharing", `{"poolPence":"1","financialYear":"2020-22","method":{"kind":"EQUAL"},` + two + `}`, "YEAR_MALFORMED", []string{"financial_year"}, nil},
		{"a range upside down", "QuoteAverage", `{"totalPence":"1","pcnCount":1,"rangeFromPence":"2","rangeToPence":"1"}`, "METHOD_MALFORMED", []string{"range_to_pence"}, nil},
		{
			"a category that the guidance does not have, and a line twice", "QuoteEligibility",
			`{"lines":[{"lineId":"1","category":"rent"},{"lineId":"1","category":"change_management","activityDate":"2021-02-29"}]}`, "PLAN_LINE_MALFORMED",
			[]string{"lines[0].category", "lines[1].line_id", "lines[1].activity_date"},
			nil,
		},
		{"a check that there is not", "QuotePlan", `{"financialYear":"2020-21","assumePassed":["fair"]}`, "METHOD_MALFORMED", []string{"assume_passed[0]"}, nil},
		{"no month", "QuoteTranches", `{"amountPence":"1","beneficiaries":[{"pcnCode":"U00001"}]}`, "TRANCHES_MALFORMED", []string{"tranches"}, nil},
		{
			"months that do not follow each other", "QuoteTranches",
			`{"amountPence":"1","beneficiaries":[{"pcnCode":"U00001"}],"tranches":[{"month":"2020-12"},{"month":"2020-11"}]}`, "TRANCHES_MALFORMED", nil, nil,
		},
		{
			"parts that do not come to a hundred", "QuoteTranches",
			`{"amountPence":"1","beneficiaries":[{"pcnCode":"U00001","sharePercent":"60"},{"pcnCode":"U00002","sharePercent":"39.9"}],"tranches":[{"month":"2020-12"}]}`,
			"BENEFICIARIES_MALFORMED", nil, nil,
		},
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
			for name, value := range row.figures {
				require.Equal(t, value, refused.Meta[name], name)
			}
		})
	}
}
