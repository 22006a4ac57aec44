package payments_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// reads makes every call that reads a run or files of it, and returns those that are not refused.
func (s *suite) reads(t testing.TB, who auth.Principal, runID string, files ...string) (out []string) {
	t.Helper()
	ctx := testkit.As(t.Context(), who)
	note := func(call string, _ proto.Message, err error) {
		if err == nil {
			out = append(out, call)
			return
		}
		require.Contains(t, []string{"RUN_NOT_FOUND", "EXPORT_NOT_FOUND"}, reason(err), call)
	}
	run, err := s.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: runID})
	note("run", run, err)
	payees, err := s.payments.ListRunPayees(ctx, &paymentsv1.ListRunPayeesRequest{RunId: runID})
	note("payees", payees, err)
	lines, err := s.payments.ListRunLines(ctx, &paymentsv1.ListRunLinesRequest{RunId: runID})
	note("lines", lines, err)
	table, err := s.payments.DownloadRunLines(ctx, &paymentsv1.DownloadRunLinesRequest{RunId: runID})
	note("table", table, err)
	variance, err := s.payments.GetVariance(ctx, &paymentsv1.GetVarianceRequest{RunId: runID})
	note("variance", variance, err)
	var listed []string
	for token := ""; ; {
		page, err := s.payments.ListExports(ctx, &paymentsv1.ListExportsRequest{RunId: runID, PageSize: 1, PageToken: token})
		require.NoError(t, err)
		for _, e := range page.GetExports() {
			listed = append(listed, e.GetExportId())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	for _, id := range files {
		got, err := s.payments.GetExport(ctx, &paymentsv1.GetExportRequest{ExportId: id})
		file, fileErr := s.payments.DownloadExport(ctx, &paymentsv1.DownloadExportRequest{ExportId: id})
		require.Equal(t, reason(err), reason(fileErr), id)
		note(strings.TrimPrefix(id, runID+"-"), got, err)
		require.Equal(t, file != nil, slices.Contains(listed, id), "%s is listed to whom it is shown", id)
	}
	return out
}

const april1Bank, april1Advice, may1Variation = april1 + "-pain-001", april1 + "-remittance", may1 + "-pcse-variation"

// twoPayees has April paid by a bank file to payees of two places, and May to one of them by another.
func (s *suite) twoPayees(t testing.TB) {
	t.Helper()
	s.coded(t)
	require.NoError(t, s.addCodes(t, "bob", nil, supplier("P1", "acc-1"), supplier("P2", "acc-2")))
	s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L1", pay("P1", 30)), in("L2", pay("P2", 500)))
	s.passes(t, april1)
	for _, format := range []paymentsv1.Format{bankFile, remittance} {
		_, err := s.export(t, april1, format)
		require.NoError(t, err)
	}
	s.closes(t, "15N", "2022-05", 1, in("L2", pay("P2", 500)))
	s.pays(t, may1)
}

func TestRun_IsReadByWhomAllPassedTo(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.twoPayees(t)
		s.succeeds(t, "15N", "QOC", "2022-07-01")
		s.succeeds(t, "QOC", "QU9", "2022-08-01")
		all := []string{"run", "payees", "lines", "table", "variance"}
		last := testkit.Preparer("QU9")
		for _, who := range []auth.Principal{testkit.Preparer("QOC"), last} {
			require.Equal(t, append(all, "remittance"), s.reads(t, who, april1, april1Bank, april1Advice), "a bank file shows accounts, which did not pass")
			require.Equal(t, append(all, "pcse-variation"), s.reads(t, who, may1, may1Variation))
		}
		require.Equal(t, append(all, "pain-001", "remittance"), s.reads(t, testkit.Preparer("15N"), april1, april1Bank, april1Advice), "the old body reads what it did")
		require.Equal(t, append(all, "pain-001"), s.reads(t, testkit.Preparer("*"), april1, april1Bank), "and so does who holds England")
		listed, err := s.payments.ListExports(testkit.As(t.Context(), last), &paymentsv1.ListExportsRequest{})
		require.NoError(t, err)
		require.Empty(t, listed.GetExports())
		_, err = s.payments.ExportRun(testkit.As(t.Context(), last), &paymentsv1.ExportRunRequest{RequestId: s.next(), RunId: may1, Format: remittance})
		require.Equal(t, "RUN_NOT_FOUND", reason(err), "what is done to a run stays with the body it was made for")
	})
}

func TestRun_ShowsAnHeirOfAPartThatPartAlone(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.twoPayees(t)
		heir := testkit.Preparer("QJK")
		require.Empty(t, s.reads(t, heir, april1, april1Bank, april1Advice))
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Empty(t, s.reads(t, heir, may1, may1Variation), "it holds no payment of May")
		require.Equal(t, []string{"run", "payees", "lines", "table"}, s.reads(t, heir, april1, april1Bank, april1Advice), "nor a file of April")

		ctx := testkit.As(t.Context(), heir)
		whole := s.run(t, april1)
		head, err := s.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: april1})
		require.NoError(t, err)
		require.True(t, proto.Equal(&paymentsv1.Run{
			RunId: april1, CommissionerCode: "15N", CommissionerName: whole.GetCommissionerName(), Month: "2022-04", Number: 1, State: whole.GetState(),
			AssembledAt: whole.GetAssembledAt(), SubmittedAt: whole.GetSubmittedAt(), ExportedAt: whole.GetExportedAt(), SettledAt: whole.GetSettledAt(),
		}, head), "no sum, for that is of others too: %v", head)
		payees, err := s.payments.ListRunPayees(ctx, &paymentsv1.ListRunPayeesRequest{RunId: april1})
		require.NoError(t, err)
		require.Len(t, payees.GetPayees(), 1)
		require.Equal(t, []string{"P1", april1 + "-P1"}, []string{payees.GetPayees()[0].GetPayee().GetCode(), payees.GetPayees()[0].GetPaymentId()})
		lines, err := s.payments.ListRunLines(ctx, &paymentsv1.ListRunLinesRequest{RunId: april1})
		require.NoError(t, err)
		require.Len(t, lines.GetLines(), 2)
		for _, line := range lines.GetLines() {
			require.Equal(t, "P1", line.GetLine().GetPayee().GetCode())
		}
		lines, err = s.payments.ListRunLines(ctx, &paymentsv1.ListRunLinesRequest{RunId: april1, PayeeCode: "P2"})
		require.NoError(t, err)
		require.Empty(t, lines.GetLines())
		table, err := s.payments.DownloadRunLines(ctx, &paymentsv1.DownloadRunLinesRequest{RunId: april1})
		require.NoError(t, err)
		require.Equal(t, 3, strings.Count(string(table.GetData()), "\r\n"), "a header and two lines")
		require.NotContains(t, string(table.GetData()), "P2")
		payments, err := s.payments.ListPayments(ctx, &paymentsv1.ListPaymentsRequest{RunId: april1})
		require.NoError(t, err)
		require.Len(t, payments.GetPayments(), 1)
		s.books(t).hold(t)
	})
}
