// Package apidoc writes the OpenAPI 3.1 document of the suite from the contracts themselves: paths from the HTTP rules, schemas
// and limits from the messages and their validation rules, roles from the access rules, words from the comments. The general
// generator knows neither the rules nor the comments of enum values, and writes names that the gateway does not use; its output
// serves as a second opinion in this package's test.
package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// Input is what a document is made from.
type Input struct {
	// Routes are the routes of the suite.
	Routes []route.Route
	// Protos holds the contracts as text, for their comments, with paths as protobuf imports them.
	Protos fs.FS
	// Version is the version of the API.
	Version string
}

// Build returns the document. The same input gives the same bytes.
func Build(in Input) ([]byte, error) {
	comments, err := readComments(in.Protos)
	if err != nil {
		return nil, fmt.Errorf("apidoc: %w", err)
	}
	b := &builder{
		comments: comments, routes: in.Routes, requests: map[protoreflect.FullName]bool{}, omitted: map[protoreflect.FullName][]string{},
		messages: map[protoreflect.FullName]protoreflect.MessageDescriptor{}, enums: map[protoreflect.FullName]protoreflect.EnumDescriptor{},
	}
	paths, err := b.paths(in.Routes)
	if err != nil {
		return nil, fmt.Errorf("apidoc: %w", err)
	}
	document := object{
		{"openapi", "3.1.0"},
		{"info", info(in.Version)},
		{"servers", []any{object{{"url", "/"}, {"description", "The suite that serves this document."}}}},
		{"security", []any{bearer()}},
		{"tags", b.tags(in.Routes)},
		{"paths", paths},
		{"components", object{
			{"securitySchemes", object{{"bearer", object{
				{"type", "http"},
				{"scheme", "bearer"},
				{"bearerFormat", "JWT"},
				{"description", "A token of the suite's OIDC issuer with the claims `roles` and `commissioners` or `pcns`."},
			}}}},
			{"parameters", parameters()},
			{"headers", headers()},
			{"responses", errorResponses()},
			{"schemas", b.schemas()},
		}},
	}
	return encode(document)
}

func encode(document any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return out.Bytes(), nil
}

// member is one name and value of a JSON object.
type member struct {
	Name  string
	Value any
}

// object is a JSON object that keeps the order of its members, so that a reader meets them as the contract has them.
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := encoder.Encode(m.Name); err != nil {
			return nil, fmt.Errorf("write name: %w", err)
		}
		out.WriteByte(':')
		if err := encoder.Encode(m.Value); err != nil {
			return nil, fmt.Errorf("write %s: %w", m.Name, err)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// with returns the object with one more member, if the value says anything.
func (o object) with(name string, value any) object {
	switch v := value.(type) {
	case string:
		if v == "" {
			return o
		}
	case object:
		if len(v) == 0 {
			return o
		}
	case []string:
		if len(v) == 0 {
			return o
		}
	case []any:
		if len(v) == 0 {
			return o
		}
	}
	return append(o, member{name, value})
}

func reference(kind, name string) object {
	return object{{"$ref", "#/components/" + kind + "/" + name}}
}

func bearer() object { return object{{"bearer", []string{}}} }

// builder gathers the schemas that the operations need.
type builder struct {
	comments map[string]string
	routes   []route.Route
	messages map[protoreflect.FullName]protoreflect.MessageDescriptor
	enums    map[protoreflect.FullName]protoreflect.EnumDescriptor
	// requests are the messages a caller may send; their fields of unknown name are refused.
	requests map[protoreflect.FullName]bool
	// omitted are the fields of a request that stand in its path.
	omitted map[protoreflect.FullName][]string
}

// schemas returns the gathered schemas by name.
func (b *builder) schemas() object {
	var names []string
	for name := range b.messages {
		names = append(names, string(name))
	}
	for name := range b.enums {
		names = append(names, string(name))
	}
	slices.Sort(names)
	out := object{{"Problem", problemSchema()}}
	for _, name := range names {
		if m, ok := b.messages[protoreflect.FullName(name)]; ok {
			out = append(out, member{name, b.messageSchema(m)})
		} else {
			out = append(out, member{name, b.enumSchema(b.enums[protoreflect.FullName(name)], nil)})
		}
	}
	return out
}
