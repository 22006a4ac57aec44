package check_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

// answers is a connection that gives one answer, or one error, to every call.
type answers struct {
	grpc.ClientConnInterface
	response proto.Message
	err      error
	called   []string
}

func (a *answers) Invoke(_ context.Context, method string, _, reply any, _ ...grpc.CallOption) error {
	a.called = append(a.called, method)
	if a.err != nil {
		return a.err
	}
	encoded, err := proto.Marshal(a.response)
	if err != nil {
		return err
	}
	return proto.Unmarshal(encoded, reply.(proto.Message))
}

func (a *answers) conn(string) grpc.ClientConnInterface { return a }

func beds() *answers {
	return &answers{response: &corev1.QuoteBedsResponse{MonthsPence: []int64{135000, 147000}, TotalPence: 282000}}
}

const header = "id,method,request,expected,source\n"

func row(method, request, expected string) string {
	quote := func(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
	return header + "A-1," + method + "," + quote(request) + "," + quote(expected) + ",the page\n"
}

const quoteBeds = "pcnfunding.core.v1.CoreService/QuoteBeds"

func TestRun_ComparesOnlyWhatIsExpected(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, expected, says string }{
		{"nothing", `{}`, ""},
		{"figure in quotation marks", `{"total_pence":"282000"}`, ""},
		{"figure without", `{"totalPence":282000}`, ""},
		{"list", `{"monthsPence":["135000",147000]}`, ""},
		{"other figure", `{"totalPence":"282001"}`, "A-1: total_pence: expected 282001, got 282000 (the page)\n"},
		{"list of other length", `{"monthsPence":["135000"]}`, `A-1: months_pence: expected ["135000"], got ["135000","147000"] (the page)` + "\n"},
		{"list in other order", `{"monthsPence":["147000","135000"]}`, "A-1: months_pence[0]: expected 147000, got 135000 (the page)\nA-1: months_pence[1]: expected 135000, got 147000 (the page)\n"},
		{"message that is not set", `{"working":{"steps":[]}}`, `A-1: working: expected {"steps":[]}, got null (the page)` + "\n"},
		{"null", `{"working":null}`, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			connection := beds()
			result, err := check.Run(t.Context(), strings.NewReader(row(quoteBeds, `{}`, c.expected)), connection.conn, &out)
			require.NoError(t, err)
			require.Equal(t, []string{"/" + quoteBeds}, connection.called)
			if c.says == "" {
				require.Equal(t, check.Result{Passed: 1}, result)
				require.Equal(t, "1 passed, 0 failed\n", out.String())
				return
			}
			require.Equal(t, check.Result{Failed: 1}, result)
			require.Equal(t, c.says+"0 passed, 1 failed\n", out.String())
		})
	}
}

func TestRun_ComparesMapsAndNestedMessages(t *testing.T) {
	t.Parallel()
	connection := &answers{response: &corev1.QuoteImprovementResponse{PartsPence: map[string]int64{"A": 1, "B": 2}, AmountPence: 3}}
	var out bytes.Buffer
	result, err := check.Run(t.Context(),
		strings.NewReader(row("/pcnfunding.core.v1.CoreService/QuoteImprovement", `{}`, `{"partsPence":{"A":"1","C":"2"},"amountPence":3}`)),
		connection.conn, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Failed: 1}, result)
	require.Equal(t, "A-1: parts_pence.C: expected 2, got nothing (the page)\n0 passed, 1 failed\n", out.String())

	nested := &answers{response: &corev1.QuoteInstalmentsResponse{Streams: []*corev1.QuotedStream{{MonthlyPence: 7}, {MonthlyPence: 8}}}}
	out.Reset()
	_, err = check.Run(t.Context(),
		strings.NewReader(row("pcnfunding.core.v1.CoreService/QuoteInstalments", `{}`, `{"streams":[{"monthlyPence":"7"},{"monthly_pence":"9"}]}`)),
		nested.conn, &out)
	require.NoError(t, err)
	require.Contains(t, out.String(), "A-1: streams[1].monthly_pence: expected 9, got 8 (the page)\n")
}

func TestRun_ReportsARefusedCallAsADifference(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	connection := &answers{err: status.Error(codes.InvalidArgument, "rate_gbp:\nis not a decimal")}
	result, err := check.Run(t.Context(), strings.NewReader(row(quoteBeds, `{}`, `{}`)), connection.conn, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Failed: 1}, result)
	require.Contains(t, out.String(), "A-1: call: expected an answer, got InvalidArgument: rate_gbp: is not a decimal (the page)\n")
}

func TestRun_ReportsAServiceThatIsNotThere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	result, err := check.Run(t.Context(), strings.NewReader(row(quoteBeds, `{}`, `{}`)),
		func(string) grpc.ClientConnInterface { return nil }, &out)
	require.NoError(t, err)
	require.Equal(t, check.Result{Failed: 1}, result)
	require.Contains(t, out.String(), "no service pcnfunding.core.v1.CoreService")
}

func TestRun_RefusesABadFileBeforeAnyCall(t *testing.T) {
	t.Parallel()
	good := strings.TrimPrefix(row(quoteBeds, `{}`, `{}`), header)
	cases := []struct{ name, text, says string }{
		{"empty", "", "does not begin with the header"},
		{"other header", "id,method\n", "does not begin with the header"},
		{"header alone", header, "no example"},
		{"fields missing", header + good + "A-2,x\n", "wrong number of fields"},
		{"quotation mark", header + "A-1," + quoteBeds + ",\"{},{},s\n", "parse error"},
		{"id twice", header + good + good, `line 3, column id: "A-1" is empty or stands on line 2 too`},
		{"no id", header + strings.Replace(good, "A-1", "", 1), "column id"},
		{"no source", header + strings.Replace(good, "the page", " ", 1), "column source"},
		{"method unknown", row("pcnfunding.core.v1.CoreService/QuoteAnything", `{}`, `{}`), "line 2, column method"},
		{"service unknown", row("CoreService/QuoteBeds", `{}`, `{}`), "line 2, column method"},
		{"message for a method", row("pcnfunding.core.v1.Rate/QuoteBeds", `{}`, `{}`), "line 2, column method"},
		{"request not JSON", row(quoteBeds, `rate`, `{}`), "line 2, column request"},
		{"request field unknown", row(quoteBeds, `{"rate":"1"}`, `{}`), "line 2, column request"},
		{"expected not JSON", row(quoteBeds, `{}`, `{`), "line 2, column expected"},
		{"expected not an object", row(quoteBeds, `{}`, `[1]`), "line 2, column expected"},
		{"expected null", row(quoteBeds, `{}`, `null`), "line 2, column expected"},
		{"expected goes on", row(quoteBeds, `{}`, `{} {}`), "something follows"},
		{"expected field unknown", row(quoteBeds, `{}`, `{"totalGbp":"1"}`), "QuoteBedsResponse has no field totalGbp"},
		{"expected field unknown inside", row(quoteBeds, `{}`, `{"working":{"steps":[{"cause":1}]}}`), "no field working.steps[0].cause"},
		{"expected field twice", row(quoteBeds, `{}`, `{"totalPence":"1","total_pence":"1"}`), "stands twice"},
		{"list where none is", row(quoteBeds, `{}`, `{"totalPence":["1"]}`), "is not a list"},
		{"object where none is", row(quoteBeds, `{}`, `{"totalPence":{"a":"1"}}`), "is not an object"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			connection := beds()
			_, err := check.Run(t.Context(), strings.NewReader(c.text), connection.conn, &out)
			require.ErrorContains(t, err, c.says)
			f, ok := fault.As(err)
			require.True(t, ok)
			require.Equal(t, fault.Invalid, f.Kind)
			require.Equal(t, check.ReasonFileInvalid, f.Reason)
			require.Empty(t, connection.called)
			require.Empty(t, out.String())
		})
	}
}

func TestRun_ReportsEveryProblemOfAFile(t *testing.T) {
	t.Parallel()
	text := row("x/y", `{}`, `{}`) + strings.TrimPrefix(row(quoteBeds, `{`, `{}`), header)
	_, err := check.Run(t.Context(), strings.NewReader(text), beds().conn, io.Discard)
	f, ok := fault.As(err)
	require.True(t, ok)
	require.Len(t, f.Violations, 3)
	require.Equal(t, "line 2, column method", f.Violations[0].Field)
	require.Equal(t, "line 3, column id", f.Violations[1].Field)
	require.Equal(t, "line 3, column request", f.Violations[2].Field)
}

func TestRun_ReadsAFileOfASpreadsheet(t *testing.T) {
	t.Parallel()
	text := "\xef\xbb\xbf" + strings.ReplaceAll(row(quoteBeds, `{}`, `{"totalPence":282000}`), "\n", "\r\n")
	result, err := check.Run(t.Context(), strings.NewReader(text), beds().conn, io.Discard)
	require.NoError(t, err)
	require.Equal(t, check.Result{Passed: 1}, result)
}

func TestRun_StopsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := check.Run(ctx, strings.NewReader(row(quoteBeds, `{}`, `{}`)), (&answers{err: context.Canceled}).conn, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestRun_FailsWhereItCannotReport(t *testing.T) {
	t.Parallel()
	_, err := check.Run(t.Context(), strings.NewReader(row(quoteBeds, `{}`, `{}`)), beds().conn, full{})
	require.ErrorIs(t, err, errFull)
	_, err = check.Run(t.Context(), strings.NewReader(row(quoteBeds, `{}`, `{"totalPence":1}`)), beds().conn, full{})
	require.ErrorIs(t, err, errFull)
}
