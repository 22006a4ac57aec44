package apidoc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// paths returns the path items, by path and verb.
func (b *builder) paths(routes []route.Route) (object, error) {
	for _, r := range routes {
		if r.HasBody {
			b.omitted[r.Input.FullName()] = r.PathFields
			b.gather(r.Input, true)
		}
		b.gather(r.Method.Output(), false)
		for _, f := range r.Fields() {
			if f.Enum() != nil && !r.HasBody {
				b.enums[f.Enum().FullName()] = f.Enum()
			}
		}
	}
	var out object
	for _, r := range routes {
		operation, err := b.operation(r)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Verb, r.Path, err)
		}
		entry := member{strings.ToLower(r.Verb), operation}
		if n := len(out); n > 0 && out[n-1].Name == r.Path {
			item, _ := out[n-1].Value.(object)
			out[n-1].Value = append(item, entry)
			continue
		}
		out = append(out, member{r.Path, object{entry}})
	}
	return out, nil
}

func (b *builder) operation(r route.Route) (object, error) {
	name := string(r.Method.Name())
	comment := b.comments[string(r.Method.FullName())]
	if comment == "" {
		return nil, fmt.Errorf("%s has no comment", r.Method.FullName())
	}
	if r.Access == nil {
		return nil, fmt.Errorf("%s has no access rule", r.Method.FullName())
	}
	id := string(r.Method.Parent().Name()) + "_" + name
	if r.Binding > 0 {
		id += "_" + strconv.Itoa(r.Binding+1)
	}
	body, err := b.requestBody(r)
	if err != nil {
		return nil, err
	}
	parameters, err := b.parametersOf(r)
	if err != nil {
		return nil, err
	}
	responses, err := b.responses(r)
	if err != nil {
		return nil, err
	}
	return object{
		{"operationId", id},
		{"tags", []string{tagName(r.Method.Parent())}},
		{"summary", sentence(without(name, comment))},
		{"description", without(name, comment) + "\n\n" + b.accessText(r)},
		{"security", []any{bearer()}},
		{"x-roles", roleNames(r.Access)},
		{"x-scope", strings.ToLower(strings.TrimPrefix(r.Access.GetScope().String(), "SCOPE_"))},
		{"x-grpc-method", "/" + string(r.Method.Parent().FullName()) + "/" + name},
	}.with("parameters", parameters).with("requestBody", body).with("responses", responses), nil
}

func tagName(service protoreflect.Descriptor) string {
	return strings.ToLower(strings.TrimSuffix(string(service.Name()), "Service"))
}

func roleNames(access *optionsv1.Access) []string {
	var out []string
	for _, role := range access.GetRoles() {
		out = append(out, strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")))
	}
	return out
}

// accessText says in words who may make a call.
func (b *builder) accessText(r route.Route) string {
	text := "**Roles**: `" + strings.Join(roleNames(r.Access), "`, `") + "`; "
	switch r.Access.GetScope() {
	case optionsv1.Scope_SCOPE_COMMISSIONER:
		field := r.Access.GetCommissionerField()
		text += "held for the commissioner in `" + field + "`"
		if f := r.Method.Input().Fields().ByName(protoreflect.Name(field)); f != nil && !mustBeSent(f) {
			text += "; if that is empty, for all of England"
		}
	case optionsv1.Scope_SCOPE_PCN:
		text += "held for the PCN in `" + r.Access.GetPcnField() + "` or for its commissioner"
	case optionsv1.Scope_SCOPE_ENGLAND:
		text += "held for all of England"
	case optionsv1.Scope_SCOPE_RESOURCE:
		text += "held for the commissioner or PCN that the resource belongs to"
	case optionsv1.Scope_SCOPE_ROLE, optionsv1.Scope_SCOPE_UNSPECIFIED:
		text += "held for any body"
	}
	return text + "."
}

// parametersOf returns path fields, query fields and the headers a call takes.
func (b *builder) parametersOf(r route.Route) ([]any, error) {
	var out []any
	for _, name := range r.PathFields {
		f := r.Field(name)
		if f == nil {
			return nil, fmt.Errorf("path names a field %s that the request does not have", name)
		}
		p := b.parameter(f, "path", true)
		out = append(out, p)
	}
	if !r.HasBody {
		for _, f := range r.Fields() {
			if f.Kind() == protoreflect.MessageKind && f.Message().FullName() != timestampName {
				return nil, fmt.Errorf("field %s cannot stand in a query", f.Name())
			}
			if r.Upload != nil && f.Name() == "request_id" || skipForBinding(r, f) {
				continue
			}
			out = append(out, b.parameter(f, "query", mustBeSent(f)))
		}
	}
	if r.Mutates() {
		out = append(out, reference("parameters", "IdempotencyKey"))
	}
	if r.HasBody && r.Field("etag") != nil {
		out = append(out, reference("parameters", "IfMatch"))
	}
	if r.Verb == "GET" && r.Method.Output().Fields().ByName("etag") != nil {
		out = append(out, reference("parameters", "IfNoneMatch"))
	}
	return append(out, reference("parameters", "CorrelationId")), nil
}

// skipForBinding leaves out what the path of a further binding makes meaningless: a thing asked for by its identifier needs no
// other input than the commissioner that the access rule looks at; and the identifier itself, where another path takes it.
func skipForBinding(r route.Route, f protoreflect.FieldDescriptor) bool {
	if r.Method.FullName() != "pcnfunding.register.v1.RegisterService.GetSnapshot" {
		return false
	}
	if r.Binding == 0 {
		return f.Name() == "snapshot_id"
	}
	return string(f.Name()) != r.Access.GetCommissionerField()
}

func (b *builder) parameter(f protoreflect.FieldDescriptor, in string, required bool) object {
	schema := b.fieldSchema(f)
	schema = slices.DeleteFunc(schema, func(m member) bool { return m.Name == "description" })
	return object{
		{"name", string(f.Name())},
		{"in", in},
		{"required", required},
		{"description", b.comments[string(f.FullName())]},
		{"schema", schema},
		{"example", queryExample(f)},
	}
}

func (b *builder) requestBody(r route.Route) (object, error) {
	if r.Upload != nil {
		return uploadBody(r)
	}
	if !r.HasBody {
		return nil, nil
	}
	example, err := exampleJSON(r.Input, r.PathFields)
	if err != nil {
		return nil, err
	}
	return object{
		{"required", true},
		{"content", object{{"application/json", object{
			{"schema", reference("schemas", string(r.Input.FullName()))},
			{"example", example},
		}}}},
	}, nil
}

// uploadBody returns the request body of a call that takes a file.
func uploadBody(r route.Route) (object, error) {
	example, err := fileExample(r, "text/csv")
	if err != nil {
		return nil, err
	}
	text, form := object{{"type", "string"}, {"maxLength", 16 << 20}}, "as it is; at most 16 MiB"
	if r.Upload.Gzip {
		form = "plain or gzip; at most 16 MiB as sent"
	}
	var content object
	for _, media := range r.Upload.Types() {
		entry := object{{"schema", object{{"type", "string"}, {"format", "binary"}, {"maxLength", 16 << 20}}}}
		if media == "text/csv" {
			entry = object{{"schema", text}, {"example", example}}
		}
		content = append(content, member{media, entry})
	}
	return object{{"required", true}, {"description", "The file itself, " + form + "."}, {"content", content}}, nil
}

// responses returns the answer and the errors a call can give.
func (b *builder) responses(r route.Route) (object, error) {
	var out object
	content, err := b.answer(r)
	if err != nil {
		return nil, err
	}
	ok := object{{"description", b.answerText(r)}, {"headers", answerHeaders(r)}, {"content", content}}
	out = append(out, member{"200", ok})
	if r.Upload != nil {
		out[0].Value = object{
			{"description", "The same file had been taken in before; nothing changed."}, {"headers", answerHeaders(r)}, {"content", content},
		}
		created := append(answerHeaders(r), member{"Location", object{
			{"description", "Path of what the file became."},
			{"schema", object{{"type", "string"}}},
		}})
		out = append(out, member{"201", object{{"description", "The file was taken in."}, {"headers", created}, {"content", content}}})
	}
	if r.Verb == "GET" && r.Method.Output().Fields().ByName("etag") != nil {
		out = append(out, member{"304", object{{"description", "The tag in If-None-Match is still right."}}})
	}
	for _, code := range errorCodes(r) {
		out = append(out, member{code, reference("responses", errorName(code))})
	}
	return out, nil
}

// errorCodes returns the HTTP statuses a call can fail with.
func errorCodes(r route.Route) []string {
	out := []string{"400", "401", "403", "404"}
	if r.Mutates() {
		out = append(out, "409")
	}
	if r.HasBody && r.Field("etag") != nil {
		out = append(out, "412")
	}
	if r.HasBody || r.Upload != nil {
		out = append(out, "413", "415")
	}
	return append(out, "429", "500", "503", "504")
}

func (b *builder) answerText(r route.Route) string {
	if r.IsFile() {
		return "The file."
	}
	return b.comments[string(r.Method.Output().FullName())]
}

func (b *builder) answer(r route.Route) (object, error) {
	output := r.Method.Output()
	if r.IsFile() {
		return fileContent(r)
	}
	example, err := exampleAnswer(r.Method)
	if err != nil {
		return nil, err
	}
	out := object{{"application/json", object{{"schema", reference("schemas", string(output.FullName()))}, {"example", example}}}}
	for _, file := range r.Files {
		of, _ := route.Find(b.routes, r.Verb, r.Path+file.Suffix)
		if of == nil {
			return nil, fmt.Errorf("no route of its form %s", file.Suffix)
		}
		content, err := fileContent(*of)
		if err != nil {
			return nil, err
		}
		out = append(out, content...)
	}
	return out, nil
}

// fileContent returns the media types in which a file comes, each with an example.
func fileContent(r route.Route) (object, error) {
	types, err := fileTypes(r)
	if err != nil {
		return nil, err
	}
	var out object
	for _, media := range types {
		example, err := fileExample(r, media)
		if err != nil {
			return nil, err
		}
		schema := object{{"type", "string"}}
		if media == "application/pdf" {
			schema = append(schema, member{"format", "binary"})
		}
		out = append(out, member{media, object{{"schema", schema}, {"example", example}}})
	}
	return out, nil
}

func answerHeaders(r route.Route) object {
	out := object{{"X-Correlation-Id", reference("headers", "CorrelationId")}}
	if r.Method.Output().Fields().ByName("etag") != nil {
		out = append(out, member{"ETag", reference("headers", "ETag")})
	}
	if r.Mutates() {
		out = append(out, member{"Idempotent-Replay", reference("headers", "IdempotentReplay")})
	}
	if r.IsFile() {
		out = append(out, member{"Content-Disposition", object{
			{"description", "Name of the file."},
			{"schema", object{{"type", "string"}}},
		}})
	}
	return out
}

// tags returns one tag for each service, with the reasons it refuses for.
func (b *builder) tags(routes []route.Route) []any {
	var out []any
	var seen []protoreflect.FullName
	for _, r := range routes {
		service := r.Method.Parent()
		if slices.Contains(seen, service.FullName()) {
			continue
		}
		seen = append(seen, service.FullName())
		text := without(string(service.Name()), b.comments[string(service.FullName())])
		out = append(out, object{{"name", tagName(service)}, {"description", text + b.reasons(service.ParentFile())}})
	}
	return out
}

// reasons lists the reason codes of a service's contract.
func (b *builder) reasons(file protoreflect.FileDescriptor) string {
	prefix := string(file.Package()) + ".Reason."
	var lines []string
	for name, meaning := range b.comments {
		if reason, ok := strings.CutPrefix(name, prefix); ok {
			lines = append(lines, "| `"+reason+"` | "+meaning+" |")
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return "\n\nReasons it refuses for:\n\n| Reason | Meaning |\n| --- | --- |\n" + strings.Join(lines, "\n")
}
