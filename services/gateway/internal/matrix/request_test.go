package matrix

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

const maxAnswerBytes = 64 << 20

var requests atomic.Int64

// words are what is put into the fields of requests, by service and name of the field, or by name alone.
type words map[string]string

// of returns the word for a field of a service's request.
func (w words) of(service string, field protoreflect.FieldDescriptor) (string, bool) {
	if value, ok := w[service+"."+string(field.Name())]; ok {
		return value, true
	}
	value, ok := w[string(field.Name())]
	return value, ok
}

// expand puts words into a template, such as {claim_id}.
func (w words) expand(template string) string {
	pairs := make([]string, 0, 2*len(w))
	for name, value := range w {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(template)
}

// call is one call of the contracts with what it takes to make it.
type call struct {
	rule    auth.MethodRule
	name    string // such as core.GetSchedule
	service string
	input   protoreflect.MessageDescriptor // of the request, or of the header of an upload
	whole   protoreflect.MessageDescriptor
	output  protoreflect.MessageType
	routes  []route.Route
}

// byThing tells whether what the suite holds decides who may make the call, and not the request alone.
func (c call) byThing() bool {
	return c.rule.Scope == optionsv1.Scope_SCOPE_RESOURCE || c.rule.Scope == optionsv1.Scope_SCOPE_PCN
}

// isFile tells whether the answer is a file, which does not say in text whose it is.
func (c call) isFile() bool { return c.output.Descriptor().FullName() == "google.api.HttpBody" }

// calls are all calls of some packages.
func calls(packages []string) ([]call, error) {
	routes, err := route.All(packages...)
	if err != nil {
		return nil, err
	}
	var out []call
	for _, rule := range auth.Rules() {
		parts := strings.Split(rule.Method, "/")
		full := protoreflect.FullName(parts[1] + "." + parts[2])
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
		if err != nil {
			return nil, err
		}
		method, ok := found.(protoreflect.MethodDescriptor)
		if !ok {
			return nil, fmt.Errorf("%s is no method", full)
		}
		service := strings.Split(parts[1], ".")[1]
		c := call{rule: rule, name: service + "." + parts[2], service: service, input: method.Input(), whole: method.Input()}
		if rule.ClientStreams {
			c.input = method.Input().Fields().ByName("header").Message()
		}
		if c.output, err = protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName()); err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Method.FullName() == full {
				c.routes = append(c.routes, r)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// request makes a request of the call that names the own bodies: each field that there is a word for is filled, and what else the
// call needs comes from its template.
func (c call) request(w words, byPCN bool) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(c.input.FullName())
	if err != nil {
		return nil, err
	}
	m := kind.New()
	for i := range c.input.Fields().Len() {
		field := c.input.Fields().Get(i)
		word, ok := w.of(c.service, field)
		switch {
		case field.Name() == "request_id":
			word = "matrix-" + strconv.FormatInt(requests.Add(1), 10)
		case !ok || field.IsList() || field.IsMap():
			continue
		}
		switch field.Kind() {
		case protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(word))
		case protoreflect.Int32Kind:
			n, err := strconv.ParseInt(word, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", c.name, field.Name(), err)
			}
			m.Set(field, protoreflect.ValueOfInt32(int32(n)))
		default:
		}
	}
	// A caller who holds PCNs asks for one of theirs; the commissioner as well would be another question.
	if field := c.input.Fields().ByName("commissioner_code"); byPCN && field != nil && !c.rule.Mutates && !slices.Contains(askOfCommissioner, c.name) {
		m.Clear(field)
	}
	if template, ok := templates[c.name]; ok {
		more := kind.New().Interface()
		if err := protojson.Unmarshal([]byte(w.expand(template)), more); err != nil {
			return nil, fmt.Errorf("template of %s: %w", c.name, err)
		}
		proto.Merge(m.Interface(), more)
	}
	return m.Interface(), nil
}

// file is what an upload sends.
func (c call) file() string { return cmp.Or(files[c.name], emptyFile) }

// overGRPC makes the call and returns its answer, nil if the call was refused.
func (c call) overGRPC(ctx context.Context, conn *grpc.ClientConn, token string, req proto.Message) (proto.Message, error) {
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, rpc.KeyAuthorization, "Bearer "+token)
	}
	answer := c.output.New().Interface()
	if !c.rule.ClientStreams {
		return answer, conn.Invoke(ctx, c.rule.Method, req, answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, c.rule.Method)
	if err != nil {
		return nil, err
	}
	part, err := c.part("header", protoreflect.ValueOfMessage(req.ProtoReflect()))
	if err != nil {
		return nil, err
	}
	chunk, err := c.part("chunk", protoreflect.ValueOfBytes([]byte(c.file())))
	if err != nil {
		return nil, err
	}
	for _, message := range []proto.Message{part, chunk} {
		if err := stream.SendMsg(message); err != nil && !errors.Is(err, io.EOF) { // RecvMsg tells why it ended
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return answer, stream.RecvMsg(answer)
}

func (c call) part(name protoreflect.Name, value protoreflect.Value) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(c.whole.FullName())
	if err != nil {
		return nil, err
	}
	m := kind.New()
	m.Set(c.whole.Fields().ByName(name), value)
	return m.Interface(), nil
}

// overREST makes the call by one of its routes. The refusal, if any, is the status that its problem was made from, as far as the outcome
// needs it.
func (c call) overREST(ctx context.Context, s *suite, r route.Route, token string, req proto.Message) (body []byte, err error) {
	path, query, content, err := asHTTP(r, req, c.file())
	if err != nil {
		return nil, err
	}
	out, err := http.NewRequestWithContext(ctx, r.Verb, s.http+path+query, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	switch {
	case r.Upload != nil:
		out.Header.Set("Content-Type", "text/csv")
	case r.HasBody:
		out.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		out.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.client.Do(out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return body, nil
	}
	return body, problemStatus(resp.StatusCode, body)
}

// codeOf maps the statuses that tell an outcome.
var codeOf = map[int]codes.Code{
	http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied, http.StatusNotFound: codes.NotFound,
}

func problemStatus(code int, body []byte) error {
	var problem struct{ Reason, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return fmt.Errorf("an answer with status %d that is no problem: %w", code, err)
	}
	if code >= 500 || problem.Reason == "ROUTE_NOT_FOUND" {
		return fmt.Errorf("%d %s: %s", code, problem.Reason, problem.Detail)
	}
	known, ok := codeOf[code]
	if !ok {
		known = codes.FailedPrecondition
	}
	st, err := status.New(known, problem.Detail).WithDetails(&errdetails.ErrorInfo{Reason: problem.Reason, Domain: rpc.Domain})
	if err != nil {
		return err
	}
	return st.Err()
}

// asHTTP writes a request as the route takes it.
func asHTTP(r route.Route, req proto.Message, file string) (path, query string, body []byte, err error) {
	m := req.ProtoReflect()
	path = r.Path
	for _, name := range r.PathFields {
		value := m.Get(r.Field(name)).String()
		if value == "" {
			value = "none"
		}
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if r.HasBody {
		rest := proto.Clone(req)
		for _, name := range r.PathFields {
			rest.ProtoReflect().Clear(r.Field(name))
		}
		body, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(rest)
		return path, "", body, err
	}
	values := url.Values{}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(field.Name())
		if slices.Contains(r.PathFields, name) {
			return true
		}
		if field.IsList() {
			for i := range value.List().Len() {
				values.Add(name, scalar(field, value.List().Get(i)))
			}
			return true
		}
		values.Set(name, scalar(field, value))
		return true
	})
	if r.Upload != nil {
		body = []byte(file)
	}
	if len(values) > 0 {
		query = "?" + values.Encode()
	}
	return path, query, body, nil
}

func scalar(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	if field.Enum() != nil {
		return string(field.Enum().Values().ByNumber(value.Enum()).Name())
	}
	return value.String()
}
