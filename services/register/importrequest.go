package register

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// importRequestType describes an upload as one message: its header and the hash of its bytes stand for the stream, so that an
// upload is told from another under the same request_id.
var importRequestType = sync.OnceValues(func() (protoreflect.MessageDescriptor, error) {
	header := registerv1.File_pcnfunding_register_v1_register_service_proto
	text := descriptorpb.FieldDescriptorProto_TYPE_STRING
	message := descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	single := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("pcnfunding/register/upload.proto"), Package: proto.String("pcnfunding.register"), Syntax: proto.String("proto3"),
		Dependency: []string{header.Path()},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Upload"),
			Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("request_id"), Number: proto.Int32(1), Type: &text, Label: &single},
				{
					Name: proto.String("header"), Number: proto.Int32(2), Type: &message, Label: &single,
					TypeName: proto.String("." + string((&registerv1.ImportHeader{}).ProtoReflect().Descriptor().FullName())),
				},
				{Name: proto.String("sha256"), Number: proto.Int32(3), Type: &text, Label: &single},
			},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("describe an upload: %w", err)
	}
	return file.Messages().ByName("Upload"), nil
})

// importRequest returns the message that stands for an upload.
func importRequest(header *registerv1.ImportHeader, sha256 string) (proto.Message, error) {
	kind, err := importRequestType()
	if err != nil {
		return nil, err
	}
	rest := proto.CloneOf(header)
	rest.RequestId = ""
	out := dynamicpb.NewMessage(kind)
	fields := kind.Fields()
	out.Set(fields.ByName("request_id"), protoreflect.ValueOfString(header.GetRequestId()))
	out.Set(fields.ByName("header"), protoreflect.ValueOfMessage(rest.ProtoReflect()))
	out.Set(fields.ByName("sha256"), protoreflect.ValueOfString(sha256))
	return out, nil
}
