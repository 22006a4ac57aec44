package apidoc

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exampleMoment is the moment of every example: the evening of the first close of April 2022.
var exampleMoment = time.Date(2022, time.April, 1, 17, 30, 0, 0, time.UTC)

//go:embed examples.json
var examplesJSON []byte

// whole are examples that only make sense as a whole: JSON of a message or, after a slash, of one field of it. Under the name of a
// call stand the fields of its answer that differ from the example of the message. What stands here as an empty value or null
// stays empty.
var whole = sync.OnceValues(func() (map[string]json.RawMessage, error) {
	var out map[string]json.RawMessage
	if err := json.Unmarshal(examplesJSON, &out); err != nil {
		return nil, fmt.Errorf("read examples.json: %w", err)
	}
	return out, nil
})

// skippedInQuery are the query fields whose example stays empty: filters and tokens that most calls leave out.
var skippedInQuery = []string{"page_token", "known_at"}

// exampleJSON returns an example of a message as JSON, without the fields named.
func exampleJSON(m protoreflect.MessageDescriptor, without []string) (any, error) {
	message, err := exampleOf(m, 0)
	if err != nil {
		return nil, err
	}
	return inJSON(message, without)
}

// exampleAnswer returns an example of a call's answer as JSON.
func exampleAnswer(method protoreflect.MethodDescriptor) (any, error) {
	message, err := exampleOf(method.Output(), 0)
	if err != nil {
		return nil, err
	}
	stated, err := whole()
	if err != nil {
		return nil, err
	}
	if text, ok := stated[string(method.FullName())]; ok {
		part := message.ProtoReflect().New()
		if err := protojson.Unmarshal(text, part.Interface()); err != nil {
			return nil, fmt.Errorf("example of %s: %w", method.FullName(), err)
		}
		part.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			message.ProtoReflect().Set(f, v)
			return true
		})
	}
	return inJSON(message, nil)
}

func inJSON(message proto.Message, without []string) (any, error) {
	m := message.ProtoReflect().Descriptor()
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	for _, name := range without {
		delete(out, name)
	}
	return inOrder(out, m), nil
}

// inOrder puts the members of a decoded message into the order of the contract.
func inOrder(in map[string]any, m protoreflect.MessageDescriptor) object {
	out := object{}
	fields := m.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v, ok := in[string(f.Name())]
		if !ok {
			continue
		}
		if f.Message() != nil && !f.IsMap() && f.Message().FullName() != timestampName {
			v = orderedValue(v, f.Message())
		}
		out = append(out, member{string(f.Name()), v})
	}
	return out
}

func orderedValue(v any, m protoreflect.MessageDescriptor) any {
	switch v := v.(type) {
	case map[string]any:
		return inOrder(v, m)
	case []any:
		for i := range v {
			v[i] = orderedValue(v[i], m)
		}
		return v
	}
	return v
}

// exampleOf returns a message filled in by the names of its fields.
func exampleOf(m protoreflect.MessageDescriptor, depth int) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
	}
	message := kind.New()
	stated, err := whole()
	if err != nil {
		return nil, err
	}
	if text, ok := stated[string(m.FullName())]; ok {
		if err := protojson.Unmarshal(text, message.Interface()); err != nil {
			return nil, fmt.Errorf("example of %s: %w", m.FullName(), err)
		}
		return message.Interface(), nil
	}
	if depth > 8 {
		return nil, fmt.Errorf("example of %s: nested too deeply", m.FullName())
	}
	fields := m.Fields()
	for i := range fields.Len() {
		if err := fill(message, fields.Get(i), depth); err != nil {
			return nil, err
		}
	}
	return message.Interface(), nil
}

func fill(message protoreflect.Message, f protoreflect.FieldDescriptor, depth int) error {
	full := string(f.ContainingMessage().FullName()) + "/" + string(f.Name())
	stated, err := whole()
	if err != nil {
		return err
	}
	if text, ok := stated[full]; ok {
		patch := fmt.Sprintf("{%q: %s}", f.Name(), text)
		part := message.New()
		if err := protojson.Unmarshal([]byte(patch), part.Interface()); err != nil {
			return fmt.Errorf("example of %s: %w", full, err)
		}
		proto.Merge(message.Interface(), part.Interface())
		return nil
	}
	switch {
	case f.IsMap():
		return nil // a map's keys carry meaning: where one is wanted it is stated as a whole
	case f.IsList():
		v, err := exampleValue(f, depth)
		if err != nil || !v.IsValid() {
			return err
		}
		message.Mutable(f).List().Append(v)
		return nil
	}
	v, err := exampleValue(f, depth)
	if err != nil {
		return err
	}
	if v.IsValid() {
		message.Set(f, v)
	}
	return nil
}

// exampleValue returns one value for a field; an invalid value leaves it empty.
func exampleValue(f protoreflect.FieldDescriptor, depth int) (protoreflect.Value, error) {
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.StringKind:
		text, ok := textOf(f)
		if !ok && !f.IsList() {
			return protoreflect.Value{}, fmt.Errorf("no example for the text %s", f.FullName())
		}
		if text == "" {
			return protoreflect.Value{}, nil
		}
		return protoreflect.ValueOfString(text), nil
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(numberOf(f)), nil
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(numberOf(f))), nil //nolint:gosec // the tables of this file hold small numbers
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(name == "participating" || name == "coding_satisfied" || name == "observed"), nil
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(exampleEnum(f.Enum())), nil
	case protoreflect.MessageKind:
		if f.Message().FullName() == timestampName {
			if strings.HasPrefix(name, "released") {
				return protoreflect.Value{}, nil
			}
			return protoreflect.ValueOfMessage(timestamppb.New(exampleMoment).ProtoReflect()), nil
		}
		inner, err := exampleOf(f.Message(), depth+1)
		if err != nil {
			return protoreflect.Value{}, err
		}
		return protoreflect.ValueOfMessage(inner.ProtoReflect()), nil
	default:
		return protoreflect.Value{}, fmt.Errorf("no example for %s of kind %s", f.FullName(), f.Kind())
	}
}

func exampleEnum(e protoreflect.EnumDescriptor) protoreflect.EnumNumber {
	if name, ok := choices[e.FullName()]; ok {
		return e.Values().ByName(protoreflect.Name(name)).Number()
	}
	return e.Values().Get(min(1, e.Values().Len()-1)).Number()
}

// queryExample returns the example of a path or query parameter.
func queryExample(f protoreflect.FieldDescriptor) any {
	name := string(f.Name())
	if slices.Contains(skippedInQuery, name) {
		if f.Message() != nil {
			return exampleMoment.Format(time.RFC3339)
		}
		return ""
	}
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return numberOf(f)
	case protoreflect.BoolKind:
		return false
	case protoreflect.EnumKind:
		return string(f.Enum().Values().ByNumber(exampleEnum(f.Enum())).Name())
	case protoreflect.MessageKind:
		return exampleMoment.Format(time.RFC3339)
	default:
		text, _ := textOf(f)
		return text
	}
}
