package rpc

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// checkText refuses control characters in any text of a request, its maps and lists included: a database refuses some of them
// and a reader sees none. The fault names the field, never the value.
func checkText(req proto.Message) error {
	return protorange.Range(req.ProtoReflect(), func(values protopath.Values) error {
		last := values.Index(-1)
		text, _ := last.Value.Interface().(string)
		if last.Step.Kind() == protopath.MapIndexStep {
			key, _ := last.Step.MapIndex().Interface().(string)
			text += key
		}
		if strings.IndexFunc(text, isControl) < 0 {
			return nil
		}
		field := fieldPath(values)
		return fault.New(fault.Invalid, ReasonRequestInvalid, "%s holds a control character", field).At(field, "text without control characters")
	})
}

// isControl tells characters that no text of a person or a system needs; tabs and line ends are let through.
func isControl(r rune) bool {
	return (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r == 0x7f
}

// fieldPath writes where a value stands, as in streams[0].payment_code.
func fieldPath(values protopath.Values) string {
	var path strings.Builder
	for _, step := range values.Path {
		switch step.Kind() {
		case protopath.FieldAccessStep:
			if path.Len() > 0 {
				path.WriteByte('.')
			}
			path.WriteString(string(step.FieldDescriptor().Name()))
		case protopath.ListIndexStep, protopath.MapIndexStep:
			path.WriteString(indexOf(step))
		default:
		}
	}
	return path.String()
}

// indexOf writes an index of a list; the key of a map may be the value at fault, and is left out.
func indexOf(step protopath.Step) string {
	if step.Kind() == protopath.ListIndexStep {
		return "[" + protoreflect.ValueOfInt64(int64(step.ListIndex())).String() + "]"
	}
	return "[…]"
}
