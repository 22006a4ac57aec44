// Package route lists the REST routes of the suite as the contracts declare them, for all that must know them beside the
// generated handlers: the methods allowed on a path, the query parameters of a call, and the API reference.
package route

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// Paths and methods that no google.api.http rule can state, since a body is streamed in.
const (
	// ImportPath takes a file of reference data as its body.
	ImportPath = "/v1/register/imports"
	// ImportMethod is the full name of the call behind ImportPath.
	ImportMethod = "pcnfunding.register.v1.RegisterService.Import"
)

// Route is one HTTP method and path bound to one call.
type Route struct {
	// Verb is the HTTP method.
	Verb string
	// Path is the template, such as /v1/core/rates/{rate_id}:confirm.
	Path string
	// Binding is 0 for the first path of a call, 1 for its first additional one, and so on.
	Binding int
	// Method is the call.
	Method protoreflect.MethodDescriptor
	// Access is the call's rule; nil if the contract states none.
	Access *optionsv1.Access
	// HasBody says that the request's fields outside the path are read from a JSON body, else from the query.
	HasBody bool
	// Input holds the request's fields: the request message, or the header of an upload.
	Input protoreflect.MessageDescriptor
	// PathFields are the names of the request fields in the path, in order.
	PathFields []string

	pattern *regexp.Regexp
}

var placeholder = regexp.MustCompile(`\{([a-z0-9_.]+)\}`)

// All returns every route of every service of the given packages, in order of path and verb. The packages' generated code
// must be linked in.
func All(packages ...string) ([]Route, error) {
	var out []Route
	var problem error
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !slices.Contains(packages, string(file.Package())) {
			return true
		}
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				routes, err := ofMethod(methods.Get(j))
				if err != nil {
					problem = err
					return false
				}
				out = append(out, routes...)
			}
		}
		return true
	})
	if problem != nil {
		return nil, problem
	}
	slices.SortFunc(out, func(a, b Route) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Verb, b.Verb)
	})
	return out, nil
}

func ofMethod(method protoreflect.MethodDescriptor) ([]Route, error) {
	access, _ := proto.GetExtension(method.Options(), optionsv1.E_Access).(*optionsv1.Access)
	if string(method.FullName()) == ImportMethod {
		header := method.Input().Fields().ByName("header")
		if header == nil {
			return nil, fmt.Errorf("routes: %s has no header field", method.Input().FullName())
		}
		return []Route{build("POST", ImportPath, 0, method, access, false, header.Message())}, nil
	}
	rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil, nil
	}
	var out []Route
	for n, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		verb, path := verbAndPath(r)
		if verb == "" {
			return nil, fmt.Errorf("routes: %s binds an unknown HTTP method", method.FullName())
		}
		if body := r.GetBody(); body != "" && body != "*" {
			return nil, fmt.Errorf("routes: %s takes one field as its body; only the whole request is supported", method.FullName())
		}
		out = append(out, build(verb, path, n, method, access, r.GetBody() != "", method.Input()))
	}
	return out, nil
}

func verbAndPath(r *annotations.HttpRule) (verb, path string) {
	switch {
	case r.GetGet() != "":
		return "GET", r.GetGet()
	case r.GetPost() != "":
		return "POST", r.GetPost()
	case r.GetPut() != "":
		return "PUT", r.GetPut()
	case r.GetPatch() != "":
		return "PATCH", r.GetPatch()
	case r.GetDelete() != "":
		return "DELETE", r.GetDelete()
	}
	return "", ""
}

func build(verb, path string, binding int, method protoreflect.MethodDescriptor, access *optionsv1.Access, hasBody bool,
	input protoreflect.MessageDescriptor,
) Route {
	out := Route{Verb: verb, Path: path, Binding: binding, Method: method, Access: access, HasBody: hasBody, Input: input}
	var expr strings.Builder
	rest := path
	for _, found := range placeholder.FindAllStringSubmatchIndex(path, -1) {
		offset := len(path) - len(rest)
		expr.WriteString(regexp.QuoteMeta(rest[:found[0]-offset]))
		expr.WriteString(`[^/]+`)
		out.PathFields = append(out.PathFields, path[found[2]:found[3]])
		rest = path[found[1]:]
	}
	expr.WriteString(regexp.QuoteMeta(rest))
	out.pattern = regexp.MustCompile("^" + expr.String() + "$")
	return out
}

// Matches says whether an escaped request path fits the route's template.
func (r Route) Matches(path string) bool { return r.pattern.MatchString(path) }

// Mutates says whether the call changes something.
func (r Route) Mutates() bool { return r.Access.GetMutates() }

// Fields returns the request's fields that are not in the path, in the order of the contract.
func (r Route) Fields() []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	fields := r.Input.Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); !slices.Contains(r.PathFields, string(f.Name())) {
			out = append(out, f)
		}
	}
	return out
}

// Field returns a field of the request by its name in the contract, or nil.
func (r Route) Field(name string) protoreflect.FieldDescriptor {
	return r.Input.Fields().ByName(protoreflect.Name(name))
}

// Find returns the route for a verb and an escaped path, and all verbs the path knows, in order. A path ending in a verb of
// its own, such as :close, goes before one whose last field would swallow it.
func Find(routes []Route, verb, path string) (found *Route, verbs []string) {
	for i := range routes {
		r := &routes[i]
		if !r.Matches(path) {
			continue
		}
		if !slices.Contains(verbs, r.Verb) {
			verbs = append(verbs, r.Verb)
		}
		if r.Verb == verb && (found == nil || strings.HasSuffix(r.Path, customVerb(path)) && customVerb(path) != "") {
			found = r
		}
	}
	slices.Sort(verbs)
	return found, verbs
}

// customVerb returns the part of a path's last segment from its last colon on, or an empty string.
func customVerb(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	if i := strings.LastIndexByte(last, ':'); i > 0 {
		return last[i:]
	}
	return ""
}
