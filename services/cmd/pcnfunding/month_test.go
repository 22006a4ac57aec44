package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// fakeArrs has a year fixed for FIXED, approved claims for OWES, and nothing for others.
type fakeArrs struct {
	arrsv1.ArrsServiceClient

	fail   error
	closed []string
}

func (f *fakeArrs) ListYears(_ context.Context, r *arrsv1.ListYearsRequest, _ ...grpc.CallOption) (*arrsv1.ListYearsResponse, error) {
	out := new(arrsv1.ListYearsResponse)
	if r.GetCommissionerCode() == "FIXED" && r.GetFinancialYear() == "2022-23" {
		out.Years = append(out.Years, new(arrsv1.Year))
	}
	return out, f.fail
}

func (f *fakeArrs) PreviewMonth(_ context.Context, r *arrsv1.PreviewMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	out := new(typev1.PaymentSchedule)
	if r.GetCommissionerCode() == "OWES" {
		out.LineCount = 1
	}
	return out, nil
}

func (f *fakeArrs) CloseMonth(_ context.Context, r *arrsv1.CloseMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	f.closed = append(f.closed, r.GetCommissionerCode())
	return &typev1.PaymentSchedule{ScheduleId: "arrs-" + r.GetCommissionerCode(), LineCount: 2, PayTotalPence: 5}, nil
}

func TestMonthClose_ClosesArrsForThoseWhoUseIt(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"FIXED", "OWES", "OTHER"} {
		arrs := new(fakeArrs)
		out, err := closeMonth(t.Context(), "arrs", "2023-03", []string{code}, closeArrs(arrs, "2023-03", anyRequestID))
		require.NoError(t, err)
		if code == "OTHER" {
			require.Equal(t, closed{passedOver: 1}, out)
			require.Empty(t, arrs.closed)
			continue
		}
		require.Equal(t, closed{commissioners: 1, lines: 2, pay: 5, schedules: []string{"arrs-" + code}}, out)
	}
}

func TestMonthClose_GoesWithoutArrsWhereThereIsNone(t *testing.T) {
	t.Parallel()
	arrs := &fakeArrs{fail: status.Error(codes.Unimplemented, "unknown service")}
	out, err := closeMonth(t.Context(), "arrs", "2022-05", []string{"FIXED"}, closeArrs(arrs, "2022-05", anyRequestID))
	require.NoError(t, err)
	require.Equal(t, 1, out.passedOver)
	arrs.fail = errors.New("away")
	_, err = closeMonth(t.Context(), "arrs", "2022-05", []string{"FIXED"}, closeArrs(arrs, "2022-05", anyRequestID))
	require.ErrorContains(t, err, "close 2022-05 of arrs for FIXED: away")
}

// fakeIif owes for approved years of OWES, has closed the month for CLOSED, and has nothing for others.
type fakeIif struct {
	iifv1.IifServiceClient

	fail   error
	closed []string
}

func (f *fakeIif) ListSchedules(_ context.Context, r *iifv1.ListSchedulesRequest, _ ...grpc.CallOption) (*iifv1.ListSchedulesResponse, error) {
	out := new(iifv1.ListSchedulesResponse)
	if r.GetCommissionerCode() == "CLOSED" && r.GetMonth() == "2024-09" {
		out.Schedules = append(out.Schedules, new(typev1.PaymentSchedule))
	}
	return out, f.fail
}

func (f *fakeIif) PreviewMonth(_ context.Context, r *iifv1.PreviewMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	out := new(typev1.PaymentSchedule)
	if r.GetCommissionerCode() == "OWES" {
		out.LineCount = 5
	}
	return out, nil
}

func (f *fakeIif) CloseMonth(_ context.Context, r *iifv1.CloseMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	f.closed = append(f.closed, r.GetCommissionerCode())
	return &typev1.PaymentSchedule{ScheduleId: "iif-" + r.GetCommissionerCode(), LineCount: 5, PayTotalPence: 7}, nil
}

func TestMonthClose_ClosesIifForThoseWhoOweSomethingOfIt(t *testing.T) {
	t.Parallel()
	for code, closes := range map[string]bool{"OWES": true, "CLOSED": true, "OTHER": false} {
		iif := new(fakeIif)
		out, err := closeMonth(t.Context(), "iif", "2024-09", []string{code}, closeIif(iif, "2024-09", anyRequestID))
		require.NoError(t, err)
		if !closes {
			require.Equal(t, closed{passedOver: 1}, out)
			require.Empty(t, iif.closed)
			continue
		}
		require.Equal(t, closed{commissioners: 1, lines: 5, pay: 7, schedules: []string{"iif-" + code}}, out)
	}
}

func TestMonthClose_GoesWithoutIifWhereThereIsNone(t *testing.T) {
	t.Parallel()
	iif := &fakeIif{fail: status.Error(codes.Unimplemented, "unknown service")}
	out, err := closeMonth(t.Context(), "iif", "2024-09", []string{"OWES"}, closeIif(iif, "2024-09", anyRequestID))
	require.NoError(t, err)
	require.Equal(t, 1, out.passedOver)
	iif.fail = errors.New("away")
	_, err = closeMonth(t.Context(), "iif", "2024-09", []string{"OWES"}, closeIif(iif, "2024-09", anyRequestID))
	require.ErrorContains(t, err, "close 2024-09 of iif for OWES: away")
}

func TestMonthNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, now, want string }{
		{"current", "2024-02-29T23:59:59Z", "2024-02"},
		{"previous", "2024-03-31T06:00:00Z", "2024-02"},
		{"previous", "2024-01-01T00:00:00Z", "2023-12"},
		{"2022-04", "2024-01-01T00:00:00Z", "2022-04"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		require.NoError(t, err)
		require.Equal(t, c.want, monthNamed(c.text, now), c)
	}
}
