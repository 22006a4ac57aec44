package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

func TestFault_IsFoundThroughWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk")
	original := fault.New(fault.Busy, "TRY_AGAIN", "wait %d s", 3).Because(cause)
	wrapped := fmt.Errorf("close 2022-04: %w", original)
	f, ok := fault.As(wrapped)
	require.True(t, ok)
	require.Equal(t, fault.Busy, f.Kind)
	require.Equal(t, "wait 3 s", f.Message)
	require.Equal(t, "TRY_AGAIN", fault.ReasonOf(wrapped))
	require.ErrorIs(t, wrapped, cause)
	require.Equal(t, "TRY_AGAIN: wait 3 s: disk", original.Error())
	require.Equal(t, "X: y", fault.New(fault.Invalid, "X", "y").Error())
}

func TestReasonOf_IsEmptyForOtherErrors(t *testing.T) {
	t.Parallel()
	require.Empty(t, fault.ReasonOf(errors.New("plain")))
	require.Empty(t, fault.ReasonOf(nil))
	_, ok := fault.As(nil)
	require.False(t, ok)
}

// TestFault_IsCopiedWhenItIsExtended holds that a fault kept in a variable is never changed by those who extend it.
func TestFault_IsCopiedWhenItIsExtended(t *testing.T) {
	t.Parallel()
	base := fault.New(fault.Refused, "RATE_UNKNOWN", "no rate")
	one := base.With("rate", "R-1").At("rate_id", "is unknown")
	two := one.With("rate", 2).At("month", "is wrong")
	other := one.At("code", "is other").Because(errors.New("cause"))
	require.Nil(t, base.Meta)
	require.Nil(t, base.Violations)
	require.Equal(t, map[string]string{"rate": "R-1"}, one.Meta)
	require.Len(t, one.Violations, 1)
	require.NoError(t, one.Unwrap())
	require.Equal(t, map[string]string{"rate": "2"}, two.Meta)
	require.Equal(t, fault.Violation{Field: "month", Reason: "RATE_UNKNOWN", Description: "is wrong"}, two.Violations[1])
	require.Equal(t, "code", other.Violations[1].Field)
}

func TestBug_IsLoudUnderTest(t *testing.T) {
	t.Parallel()
	require.PanicsWithError(t, "bug: 3 is not 4", func() { _ = fault.Bug("%d is not %d", 3, 4) })
}
