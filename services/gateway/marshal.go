package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// jsonBody is a request body that was read whole. A decoder that refuses it leaves the problem here, since the generated
// handlers keep only an error's text.
type jsonBody struct {
	*bytes.Reader
	problem *problem
}

// Close does nothing: the original body is closed by the HTTP server.
func (*jsonBody) Close() error { return nil }

// jsonMarshaler is the JSON of the suite: names as in the contracts, numbers and empty lists always shown, int64 as a string
// (as the protobuf mapping has it, so that pence survive any JSON reader), fields of unknown name refused.
type jsonMarshaler struct{ runtime.JSONPb }

func newMarshaler() runtime.Marshaler {
	return &runtime.HTTPBodyMarshaler{Marshaler: &jsonMarshaler{JSONPb: runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}}
}

// NewDecoder returns a decoder that takes the whole body as one JSON object; what stands after it is refused too.
func (m *jsonMarshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		message, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("decode JSON: %T is no message", v)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("read body: %w", err)
		}
		if len(data) == 0 {
			return io.EOF
		}
		if err := m.UnmarshalOptions.Unmarshal(data, message); err != nil {
			p := problemFromJSON(err)
			if body, ok := r.(*jsonBody); ok {
				body.problem = p
			}
			return errors.New(p.Detail)
		}
		return nil
	})
}

var (
	jsonPosition = regexp.MustCompile(`\(line ([0-9]+:[0-9]+)\)`)
	jsonUnknown  = regexp.MustCompile(`unknown field "((?:[^"\\]|\\.)*)"`)
	jsonValue    = regexp.MustCompile(`invalid value for \w+ (?:field|type:?) ?([A-Za-z0-9_]*)`)
	jsonRepeated = regexp.MustCompile(`duplicate field "((?:[^"\\]|\\.)*)"`)
)

// problemFromJSON says in stable words what protojson found. Values of the body are not repeated.
func problemFromJSON(err error) *problem {
	text := err.Error()
	where := ""
	if m := jsonPosition.FindStringSubmatch(text); m != nil {
		where = " at line " + strings.Replace(m[1], ":", ", column ", 1)
	}
	if m := jsonUnknown.FindStringSubmatch(text); m != nil {
		name := shorten(m[1])
		return newProblem(http.StatusBadRequest, reasonUnknownField, fmt.Sprintf("The request has no field %q%s.", name, where)).
			at(name, "no such field")
	}
	if m := jsonRepeated.FindStringSubmatch(text); m != nil {
		name := shorten(m[1])
		return newProblem(http.StatusBadRequest, reasonJSONInvalid, fmt.Sprintf("The field %q stands twice%s.", name, where)).
			at(name, "stands twice")
	}
	if m := jsonValue.FindStringSubmatch(text); m != nil && m[1] != "" {
		name := contractName(m[1])
		return newProblem(http.StatusBadRequest, reasonJSONInvalid, fmt.Sprintf("The value of %s is not of its type%s.", name, where)).
			at(name, "value is not of the field's type")
	}
	return newProblem(http.StatusBadRequest, reasonJSONInvalid, "The body is not the JSON object that the call takes"+where+".")
}

// contractName turns a name of the protobuf mapping, such as poolPence, into that of the contract.
func contractName(name string) string {
	var out strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

func shorten(name string) string {
	if runes := []rune(name); len(runes) > longestEchoedName {
		return string(runes[:longestEchoedName]) + "…"
	}
	return name
}

func newJSONBody(data []byte) *jsonBody { return &jsonBody{Reader: bytes.NewReader(data)} }
