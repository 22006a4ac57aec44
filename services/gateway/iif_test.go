package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

type fakeIif struct {
	iifv1.UnimplementedIifServiceServer
	declare *iifv1.DeclareAchievementRequest
	close   *iifv1.CloseMonthRequest
	header  *iifv1.CountsHeader
	data    []byte
	already bool
}

func (f *fakeIif) GetAchievement(_ context.Context, r *iifv1.GetAchievementRequest) (*iifv1.Achievement, error) {
	return &iifv1.Achievement{PcnCode: r.GetPcnCode(), FinancialYear: r.GetFinancialYear(), Etag: "3"}, nil
}

func (f *fakeIif) DeclareAchievement(_ context.Context, r *iifv1.DeclareAchievementRequest) (*iifv1.Achievement, error) {
	f.declare = r
	return &iifv1.Achievement{State: iifv1.AchievementState_AWAITING_COMMISSIONING_ORGANISATION_APPROVAL}, nil
}

func (f *fakeIif) CloseMonth(_ context.Context, r *iifv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	f.close = r
	return &typev1.PaymentSchedule{ScheduleId: "iif-15N-2024-09-1"}, nil
}

func (f *fakeIif) ImportCounts(stream grpc.ClientStreamingServer[iifv1.ImportCountsRequest, iifv1.ImportCountsResponse]) error {
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header := part.GetHeader(); header != nil {
			f.header = header
		}
		f.data = append(f.data, part.GetChunk()...)
	}
	return stream.SendAndClose(&iifv1.ImportCountsResponse{CountsImport: &iifv1.CountsImport{ImportId: "imp-1"}, AlreadyImported: f.already})
}

func TestIif_TakesAFileOfCounts(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	path := "/v1/iif/imports?layout=ANNUAL_PUBLICATION&source=NHS+England&file_name=annual.csv.gz"
	a := s.send(t, http.MethodPost, path, strings.NewReader("a,b\n"), "Content-Type", "application/gzip", "Idempotency-Key", "r1")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	require.Equal(t, "/v1/iif/imports/imp-1", a.Header.Get("Location"))
	require.Equal(t, []string{"r1", "NHS England", "annual.csv.gz"}, []string{s.iif.header.GetRequestId(), s.iif.header.GetSource(), s.iif.header.GetFileName()})
	require.Equal(t, iifv1.CountsLayout_ANNUAL_PUBLICATION, s.iif.header.GetLayout())
	require.Equal(t, "a,b\n", string(s.iif.data))
	s.iif.already = true
	a = s.send(t, http.MethodPost, path, strings.NewReader("a,b\n"), "Content-Type", "text/csv")
	require.Equal(t, http.StatusOK, a.Status, "nothing is new")
	require.Empty(t, a.Header.Get("Location"))
}

func TestIif_CarriesAYearOfAPCN(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, "/v1/iif/pcns/U12345/years/2023-24")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "2023-24", a.json(t)["financial_year"])
	require.Equal(t, `"3"`, a.Header.Get("Etag"))
	a = s.call(t, http.MethodPost, "/v1/iif/pcns/U12345/years/2023-24:declare", `{"request_id": "r1", "result_id": "res-1"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, []string{"r1", "U12345", "2023-24", "res-1"},
		[]string{s.iif.declare.GetRequestId(), s.iif.declare.GetPcnCode(), s.iif.declare.GetFinancialYear(), s.iif.declare.GetResultId()})
	a = s.call(t, http.MethodPost, "/v1/iif/commissioners/15N/months/2024-09:close", `{"request_id": "r2"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "iif-15N-2024-09-1", a.json(t)["schedule_id"])
	require.Equal(t, []string{"15N", "2024-09"}, []string{s.iif.close.GetCommissionerCode(), s.iif.close.GetMonth()})
}
