package payments_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// reads makes every call that reads a run or an export of it, and returns the reasons for which they are refused.
func (s *suite) reads(t testing.TB, who auth.Principal, runID, exportID string) map[string]bool {
	t.Helper()
	ctx, out := testkit.As(t.Context(), who), make(map[string]bool)
	note := func(_ any, err error) {
		if err != nil {
			out[reason(err)] = true
		}
	}
	note(s.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: runID}))
	note(s.payments.ListRunPayees(ctx, &paymentsv1.ListRunPayeesRequest{RunId: runID}))
	note(s.payments.ListRunLines(ctx, &paymentsv1.ListRunLinesRequest{RunId: runID}))
	note(s.payments.DownloadRunLines(ctx, &paymentsv1.DownloadRunLinesRequest{RunId: runID}))
	note(s.payments.GetVariance(ctx, &paymentsv1.GetVarianceRequest{RunId: runID}))
	note(s.payments.GetExport(ctx, &paymentsv1.GetExportRequest{ExportId: exportID}))
	note(s.payments.DownloadExport(ctx, &paymentsv1.DownloadExportRequest{ExportId: exportID}))
	return out
}

func TestRun_IsReadByWhomItsPaymentsPassedTo(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)))
		s.pays(t, "15N-2022-04-1")
		_, err := s.export(t, "15N-2022-04-1", remittance)
		require.NoError(t, err)
		s.closes(t, "15N", "2022-05", 1, in("L2", pay("P2", 500)))
		s.pays(t, "15N-2022-05-1")
		april, may := []string{"15N-2022-04-1", "15N-2022-04-1-remittance"}, []string{"15N-2022-05-1", "15N-2022-05-1-pcse-variation"}
		none, refused := map[string]bool{}, map[string]bool{"RUN_NOT_FOUND": true, "EXPORT_NOT_FOUND": true}
		heir, last := testkit.Preparer("QJK"), testkit.Preparer("QU9")
		require.Equal(t, none, s.reads(t, testkit.Preparer("15N"), may[0], may[1]))
		require.Equal(t, refused, s.reads(t, heir, april[0], april[1]))

		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, none, s.reads(t, heir, april[0], april[1]), "it holds a payment of April")
		require.Equal(t, refused, s.reads(t, heir, may[0], may[1]), "and none of May")
		listed, err := s.payments.ListExports(testkit.As(t.Context(), heir), &paymentsv1.ListExportsRequest{RunId: april[0]})
		require.NoError(t, err)
		require.Len(t, listed.GetExports(), 2)
		listed, err = s.payments.ListExports(testkit.As(t.Context(), heir), &paymentsv1.ListExportsRequest{})
		require.NoError(t, err)
		require.Empty(t, listed.GetExports())

		s.succeeds(t, "15N", "QOC", "2022-07-01")
		s.succeeds(t, "QOC", "QU9", "2022-08-01")
		for _, run := range [][]string{april, may} {
			require.Equal(t, none, s.reads(t, last, run[0], run[1]), "the whole book of 15N passed to it in the end")
			require.Equal(t, none, s.reads(t, testkit.Preparer("15N"), run[0], run[1]), "and the old body reads what it did")
		}
		_, err = s.payments.ExportRun(testkit.As(t.Context(), last), &paymentsv1.ExportRunRequest{RequestId: s.next(), RunId: may[0], Format: remittance})
		require.Equal(t, "RUN_NOT_FOUND", reason(err), "what is done to a run stays with the body it was made for")
		s.books(t).hold(t)
	})
}
