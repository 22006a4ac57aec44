package idempotency_test

import (
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// requestFile is the contract of the requests in these tests.
const requestFile = `
name: "idempotency_test.proto" package: "idempotency.test" syntax: "proto3"
message_type {
  name: "Change"
  field { name: "request_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "request_id" }
  field { name: "reason" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "reason" }
  field { name: "amounts_pence" number: 3 type: TYPE_INT64 label: LABEL_REPEATED json_name: "amounts_pence" }
  field { name: "lines" number: 4 type: TYPE_MESSAGE type_name: ".idempotency.test.Line" label: LABEL_REPEATED json_name: "lines" }
  field { name: "notes" number: 5 type: TYPE_MESSAGE type_name: ".idempotency.test.Change.NotesEntry" label: LABEL_REPEATED json_name: "notes" }
  field { name: "main" number: 6 type: TYPE_MESSAGE type_name: ".idempotency.test.Line" label: LABEL_OPTIONAL json_name: "main" }
  nested_type {
    name: "NotesEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "value" }
  }
}
message_type {
  name: "Line"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "name" }
  field { name: "amount_pence" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "amount_pence" }
  field { name: "pay_pence" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "pay_pence" options { debug_redact: true } }
}`

var changeType = sync.OnceValue(func() protoreflect.MessageDescriptor {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(requestFile), &file); err != nil {
		panic(err)
	}
	built, err := protodesc.NewFile(&file, nil)
	if err != nil {
		panic(err)
	}
	return built.Messages().ByName("Change")
})

// change makes a request from JSON.
func change(body string) *dynamicpb.Message {
	m := dynamicpb.NewMessage(changeType())
	if err := protojson.Unmarshal([]byte(body), m); err != nil {
		panic(err)
	}
	return m
}
