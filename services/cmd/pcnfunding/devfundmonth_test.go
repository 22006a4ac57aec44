package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// fakeDevfund owes tranches of OWES, has closed the month for CLOSED, and has nothing for others.
type fakeDevfund struct {
	devfundv1.DevfundServiceClient

	fail   error
	closed []string
}

func (f *fakeDevfund) ListSchedules(_ context.Context, r *devfundv1.ListSchedulesRequest, _ ...grpc.CallOption) (*devfundv1.ListSchedulesResponse, error) {
	out := new(devfundv1.ListSchedulesResponse)
	if r.GetCommissionerCode() == "CLOSED" && r.GetMonth() == "2020-12" {
		out.Schedules = append(out.Schedules, new(typev1.PaymentSchedule))
	}
	return out, f.fail
}

func (f *fakeDevfund) PreviewMonth(_ context.Context, r *devfundv1.PreviewMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	out := new(typev1.PaymentSchedule)
	if r.GetCommissionerCode() == "OWES" {
		out.LineCount = 5
	}
	return out, nil
}

func (f *fakeDevfund) CloseMonth(_ context.Context, r *devfundv1.CloseMonthRequest, _ ...grpc.CallOption) (*typev1.PaymentSchedule, error) {
	f.closed = append(f.closed, r.GetCommissionerCode())
	return &typev1.PaymentSchedule{ScheduleId: "devfund-" + r.GetCommissionerCode(), LineCount: 5, PayTotalPence: 7}, nil
}

func TestMonthClose_ClosesDevfundForThoseWhoOweSomethingOfIt(t *testing.T) {
	t.Parallel()
	for code, closes := range map[string]bool{"OWES": true, "CLOSED": true, "OTHER": false} {
		devfund := new(fakeDevfund)
		out, err := closeMonth(t.Context(), "devfund", "2020-12", []string{code}, closeDevfund(devfund, "2020-12", anyRequestID))
		require.NoError(t, err)
		if !closes {
			require.Equal(t, closed{passedOver: 1}, out)
			require.Empty(t, devfund.closed)
			continue
		}
		require.Equal(t, closed{commissioners: 1, lines: 5, pay: 7, schedules: []string{"devfund-" + code}}, out)
	}
}

func TestMonthClose_GoesWithoutDevfundWhereThereIsNone(t *testing.T) {
	t.Parallel()
	devfund := &fakeDevfund{fail: status.Error(codes.Unimplemented, "unknown service")}
	out, err := closeMonth(t.Context(), "devfund", "2020-12", []string{"OWES"}, closeDevfund(devfund, "2020-12", anyRequestID))
	require.NoError(t, err)
	require.Equal(t, 1, out.passedOver)
	devfund.fail = errors.New("away")
	_, err = closeMonth(t.Context(), "devfund", "2020-12", []string{"OWES"}, closeDevfund(devfund, "2020-12", anyRequestID))
	require.ErrorContains(t, err, "close 2020-12 of devfund for OWES: away")
}
