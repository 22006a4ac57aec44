package rpc

import (
	"bytes"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ReasonRequestMalformed refuses bytes that are no message of the kind the call takes.
const ReasonRequestMalformed = "REQUEST_MALFORMED"

// malformedMark is the unknown field that marks a request which could not be decoded: a varint of 1 under the highest number a
// field can have, which no contract of the suite uses.
var malformedMark = protoreflect.RawFields{0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01}

// strictCodec is the protobuf codec of servers. grpc-go answers INTERNAL to bytes it cannot decode, before any interceptor runs;
// this codec lets such a request through, empty and marked, so that the chain refuses it as the caller's fault.
type strictCodec struct {
	encoding.CodecV2
}

func newStrictCodec() (strictCodec, error) {
	inner := encoding.GetCodecV2(protocodec.Name)
	if inner == nil {
		return strictCodec{}, fmt.Errorf("the codec %q is not registered", protocodec.Name)
	}
	return strictCodec{CodecV2: inner}, nil
}

// Unmarshal decodes a request, or marks it as one that cannot be decoded.
func (c strictCodec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	message, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	proto.Reset(message)
	message.ProtoReflect().SetUnknown(malformedMark)
	return nil
}

// checkDecoded refuses a request that was marked.
func checkDecoded(req proto.Message) error {
	if bytes.Equal(req.ProtoReflect().GetUnknown(), malformedMark) {
		return fault.New(fault.Invalid, ReasonRequestMalformed, "the request cannot be decoded: damaged bytes or text that is not UTF-8")
	}
	return nil
}
