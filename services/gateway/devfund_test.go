package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

type fakeDevfund struct {
	devfundv1.UnimplementedDevfundServiceServer
	share  *devfundv1.DecideSharingRequest
	close  *devfundv1.CloseMonthRequest
	file   *devfundv1.DownloadSystemReturnRequest
	header *devfundv1.ImportNeedWeightsHeader
	data   []byte
}

func (f *fakeDevfund) GetAllocation(_ context.Context, r *devfundv1.GetAllocationRequest) (*devfundv1.Allocation, error) {
	return &devfundv1.Allocation{AllocationId: r.GetAllocationId(), Etag: "3"}, nil
}

func (f *fakeDevfund) DecideSharing(_ context.Context, r *devfundv1.DecideSharingRequest) (*devfundv1.SharingDecision, error) {
	f.share = r
	return &devfundv1.SharingDecision{DecisionId: "sharing-1"}, nil
}

func (f *fakeDevfund) CloseMonth(_ context.Context, r *devfundv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	f.close = r
	return &typev1.PaymentSchedule{ScheduleId: "devfund-08J-2019-12-1"}, nil
}

func (f *fakeDevfund) DownloadSystemReturn(_ context.Context, r *devfundv1.DownloadSystemReturnRequest) (*httpbody.HttpBody, error) {
	f.file = r
	return &httpbody.HttpBody{ContentType: "text/csv", Data: []byte("a,b\r\n")}, nil
}

func (f *fakeDevfund) ImportNeedWeights(stream grpc.ClientStreamingServer[devfundv1.ImportNeedWeightsRequest, devfundv1.NeedImport]) error {
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&devfundv1.NeedImport{ImportId: "need-1", FinancialYear: f.header.GetFinancialYear()})
		}
		if err != nil {
			return err
		}
		if h := part.GetHeader(); h != nil {
			f.header = h
		}
		f.data = append(f.data, part.GetChunk()...)
	}
}

func TestDevfund_TakesAFileOfWeights(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.call(t, http.MethodPost, "/v1/devfund/need-weights/imports?financial_year=2022-23&source=NHS+England&file_name=weights.csv", "a,b\n",
		"Content-Type", "text/csv", "Idempotency-Key", "r1")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	require.Equal(t, "/v1/devfund/years/2022-23/need-check", a.Header.Get("Location"))
	require.Equal(t, []string{"r1", "2022-23", "NHS England", "weights.csv"}, []string{
		s.devfund.header.GetRequestId(), s.devfund.header.GetFinancialYear(), s.devfund.header.GetSource(), s.devfund.header.GetFileName(),
	})
	require.True(t, bytes.Equal([]byte("a,b\n"), s.devfund.data))
}

func TestDevfund_CarriesMoneyDownTheHierarchy(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, "/v1/devfund/allocations/PCN_DEV-2020-21")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, `"3"`, a.Header.Get("ETag"))
	a = s.call(t, http.MethodPost, "/v1/devfund/allocations/PCN_DEV-2020-21:share", `{"request_id": "r1", "method": {"kind": "EQUAL"}}`,
		"Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, []string{"r1", "PCN_DEV-2020-21"}, []string{s.devfund.share.GetRequestId(), s.devfund.share.GetAllocationId()})
	require.Equal(t, devfundv1.SharingKind_EQUAL, s.devfund.share.GetMethod().GetKind())
	a = s.call(t, http.MethodPost, "/v1/devfund/commissioners/08J/months/2019-12:close", `{"request_id": "r2"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, []string{"08J", "2019-12"}, []string{s.devfund.close.GetCommissionerCode(), s.devfund.close.GetMonth()})
}

func TestDevfund_GivesAReturnAsAFile(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, "/v1/devfund/years/2021-22/quarters/2/return.csv?commissioner_code=08J")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "text/csv", a.Header.Get("Content-Type"))
	require.Equal(t, "a,b\r\n", a.Body)
	require.Equal(t, []string{"2021-22", "08J"}, []string{s.devfund.file.GetFinancialYear(), s.devfund.file.GetCommissionerCode()})
	require.Equal(t, "2", s.devfund.file.GetQuarter())
}
