package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
)

// FuzzRequest holds that any bytes and headers of any call are a request or are refused by name, before a handler sees them.
func FuzzRequest(f *testing.F) {
	codec, err := newStrictCodec()
	require.NoError(f, err)
	v, err := validator()
	require.NoError(f, err)
	rules := auth.Rules()
	good, err := proto.Marshal(&corev1.CloseMonthRequest{RequestId: "r1", CommissionerCode: "15N", Month: "2026-01"})
	require.NoError(f, err)
	for n := range rules {
		f.Add(uint16(n), good, "r1", `"3"`, "Bearer a.b.c", "id-1")
	}
	f.Add(uint16(0), []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, "\x00", `W/"`, "bearer", "\r\n")
	f.Fuzz(func(t *testing.T, call uint16, content []byte, key, tag, authorization, correlation string) {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(rules[int(call)%len(rules)].Request)
		require.NoError(t, err)
		req := kind.New().Interface()
		require.NoError(t, codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(content)}, req))
		md := metadata.Pairs(KeyIdempotencyKey, key, KeyIfMatch, tag, KeyAuthorization, authorization, KeyCorrelationID, correlation)
		_, id := correlate(t.Context(), md)
		require.True(t, plainID(id))
		_ = bearer(md)
		for _, err := range []error{checkDecoded(req), fillFromMetadata(md, req), validate(v, req)} {
			if err != nil {
				_, ok := fault.As(err)
				require.True(t, ok, "%v", err)
			}
		}
	})
}
