package apidoc

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	timestampName = "google.protobuf.Timestamp"
	httpBodyName  = "google.api.HttpBody"
	// wholeNumber is how JSON carries a 64-bit integer: as a string, so that no reader rounds it.
	wholeNumber  = "^-?[0-9]{1,19}$"
	naturalOrNil = "^[0-9]{1,19}$"
)

// rulesOf returns the validation rules of a field; nil if it has none.
func rulesOf(field protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

// gather notes a message and all that it holds as schemas, as part of a request or of an answer.
func (b *builder) gather(m protoreflect.MessageDescriptor, request bool) {
	name := m.FullName()
	if name == timestampName || name == httpBodyName || m.IsMapEntry() {
		return
	}
	_, known := b.messages[name]
	if known && (!request || b.requests[name]) {
		return
	}
	b.messages[name] = m
	if request {
		b.requests[name] = true
	}
	fields := m.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsMap() {
			f = f.MapValue()
		}
		if inner := f.Message(); inner != nil {
			b.gather(inner, request)
		}
		if enum := f.Enum(); enum != nil {
			b.enums[enum.FullName()] = enum
		}
	}
}

func (b *builder) messageSchema(m protoreflect.MessageDescriptor) object {
	properties, required := object{}, []string{}
	fields := m.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if slices.Contains(b.omitted[m.FullName()], string(f.Name())) {
			continue
		}
		properties = append(properties, member{string(f.Name()), b.fieldSchema(f)})
		if b.required(f) {
			required = append(required, string(f.Name()))
		}
	}
	out := object{{"type", "object"}}.
		with("description", b.comments[string(m.FullName())]).
		with("properties", properties).
		with("required", required)
	if b.requests[m.FullName()] {
		out = append(out, member{"additionalProperties", false})
	}
	return out
}

// required says whether a caller must send a field, or, in answers, whether it is always there: all are but messages and
// optional numbers.
func (b *builder) required(f protoreflect.FieldDescriptor) bool {
	if b.requests[f.ContainingMessage().FullName()] {
		return mustBeSent(f)
	}
	return f.IsList() || f.IsMap() || f.Kind() != protoreflect.MessageKind && !f.HasOptionalKeyword()
}

// mustBeSent says whether a field's rules refuse its zero value.
func mustBeSent(f protoreflect.FieldDescriptor) bool {
	r := rulesOf(f)
	switch {
	case r == nil:
		return false
	case r.GetRequired(), r.GetString().GetMinLen() > 0, r.GetRepeated().GetMinItems() > 0, r.GetMap().GetMinPairs() > 0:
		return true
	case r.GetString().GetPattern() != "":
		return !regexp.MustCompile(r.GetString().GetPattern()).MatchString("")
	case slices.Contains(r.GetEnum().GetNotIn(), 0):
		return true
	}
	return r.GetInt32().HasGte() && r.GetInt32().GetGte() > 0 || r.GetInt64().HasGte() && r.GetInt64().GetGte() > 0
}

// fieldSchema returns the schema of a field with its description and limits.
func (b *builder) fieldSchema(f protoreflect.FieldDescriptor) object {
	description := b.comments[string(f.FullName())]
	rules := rulesOf(f)
	switch {
	case f.IsMap():
		out := object{{"type", "object"}, {"description", description}, {"additionalProperties", b.value(f.MapValue(), nil)}}
		if n := rules.GetMap().GetMinPairs(); n > 0 {
			out = append(out, member{"minProperties", n})
		}
		if n := rules.GetMap().GetMaxPairs(); n > 0 {
			out = append(out, member{"maxProperties", n})
		}
		return out
	case f.IsList():
		out := object{{"type", "array"}, {"description", description}, {"items", b.value(f, rules.GetRepeated().GetItems())}}
		if n := rules.GetRepeated().GetMinItems(); n > 0 {
			out = append(out, member{"minItems", n})
		}
		if n := rules.GetRepeated().GetMaxItems(); n > 0 {
			out = append(out, member{"maxItems", n})
		}
		return out
	}
	out := b.value(f, rules)
	if bounds := int64Bounds(rules); bounds != "" {
		description += " " + bounds
	}
	return described(out, description)
}

// described puts a field's own words in front of those of its type, or in their place where the type is referred to.
func described(schema object, description string) object {
	for i, m := range schema {
		if m.Name == "description" {
			schema[i].Value = fmt.Sprintf("%s %s", description, m.Value)
			return schema
		}
	}
	return schema.with("description", description)
}

// int64Bounds says in words what JSON Schema cannot say of a number written as a string.
func int64Bounds(r *validate.FieldRules) string {
	n := r.GetInt64()
	switch {
	case n.HasGte() && n.HasLte():
		return fmt.Sprintf("From %d to %d.", n.GetGte(), n.GetLte())
	case n.HasGte():
		return fmt.Sprintf("At least %d.", n.GetGte())
	case n.HasLte():
		return fmt.Sprintf("At most %d.", n.GetLte())
	}
	return ""
}

// value returns the schema of one value of a field.
func (b *builder) value(f protoreflect.FieldDescriptor, rules *validate.FieldRules) object {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.EnumKind:
		if not := rules.GetEnum().GetNotIn(); len(not) > 0 {
			return b.enumSchema(f.Enum(), not)
		}
		return reference("schemas", string(f.Enum().FullName()))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return int32Schema(rules)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		pattern := wholeNumber
		if rules.GetInt64().HasGte() && rules.GetInt64().GetGte() >= 0 {
			pattern = naturalOrNil
		}
		return object{{"type", "string"}, {"format", "int64"}, {"pattern", pattern}}
	case protoreflect.StringKind:
		return stringSchema(rules)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if f.Message().FullName() == timestampName {
			return object{{"type", "string"}, {"format", "date-time"}}
		}
		return reference("schemas", string(f.Message().FullName()))
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"format", "byte"}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind,
		protoreflect.FloatKind, protoreflect.DoubleKind:
	}
	// The contracts hold no unsigned and no floating numbers.
	panic(fmt.Sprintf("apidoc: %s is of kind %s", f.FullName(), f.Kind()))
}

func int32Schema(rules *validate.FieldRules) object {
	out := object{{"type", "integer"}, {"format", "int32"}}
	least, most := int32(math.MinInt32), int32(math.MaxInt32)
	if rules.GetInt32().HasGte() {
		least = rules.GetInt32().GetGte()
	}
	if rules.GetInt32().HasLte() {
		most = rules.GetInt32().GetLte()
	}
	return append(out, member{"minimum", least}, member{"maximum", most})
}

func stringSchema(rules *validate.FieldRules) object {
	out, r := object{{"type", "string"}}, rules.GetString()
	if n := r.GetMinLen(); n > 0 {
		out = append(out, member{"minLength", n})
	}
	if n := r.GetMaxLen(); n > 0 {
		out = append(out, member{"maxLength", n})
	}
	if values := r.GetIn(); len(values) > 0 {
		out = append(out, member{"enum", values})
	}
	return out.with("pattern", r.GetPattern())
}

// enumSchema returns the names of an enum, without those that a field refuses, and what they mean.
func (b *builder) enumSchema(enum protoreflect.EnumDescriptor, refused []int32) object {
	var names, meanings []string
	values := enum.Values()
	for i := range values.Len() {
		v := values.Get(i)
		if slices.Contains(refused, int32(v.Number())) {
			continue
		}
		names = append(names, string(v.Name()))
		scope := string(enum.FullName())
		if meaning := b.comments[scope+"."+string(v.Name())]; meaning != "" {
			meanings = append(meanings, fmt.Sprintf("- `%s`: %s", v.Name(), meaning))
		}
	}
	description := b.comments[string(enum.FullName())]
	if len(meanings) > 0 {
		description += "\n\n" + strings.Join(meanings, "\n")
	}
	return object{{"type", "string"}, {"enum", names}}.with("description", description)
}
