package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
)

func TestCheckText_RefusesControlCharacters(t *testing.T) {
	t.Parallel()
	for field, req := range map[string]proto.Message{
		"reason":                  &corev1.WithholdPaymentRequest{Reason: "a\x00b"},
		"streams[0].payment_code": &corev1.QuoteInstalmentsRequest{Streams: []*corev1.Stream{{PaymentCode: "\x1b[2J"}}},
		"rates_gbp[…]":            &corev1.QuotePerHeadRequest{RatesGbp: map[string]string{"A": "1\x7f"}},
	} {
		f, ok := fault.As(checkText(req))
		require.True(t, ok, field)
		require.Equal(t, ReasonRequestInvalid, f.Reason)
		require.Equal(t, field, f.Violations[0].Field)
	}
	require.Error(t, checkText(&corev1.QuotePerHeadRequest{RatesGbp: map[string]string{"A\x00": "1"}}), "keys too")
	require.NoError(t, checkText(&corev1.WithholdPaymentRequest{Reason: "líne one\nline two\t😀"}))
}
