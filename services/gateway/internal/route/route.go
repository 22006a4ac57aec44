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

// Upload is a route that takes a file as its body. No google.api.http rule can state one, since the body is streamed in: the
// call's request carries a header first, whose fields are read from the query, and the bytes of the file after it.
type Upload struct {
	// Path is where the file is sent, with POST.
	Path string
	// Gzip says that the file may come compressed.
	Gzip bool
}

// uploads are the uploads of the suite by the full name of the call.
var uploads = map[protoreflect.FullName]Upload{
	"pcnfunding.register.v1.RegisterService.Import":            {Path: "/v1/register/imports", Gzip: true},
	"pcnfunding.arrs.v1.ArrsService.ImportClaims":              {Path: "/v1/arrs/claims/imports"},
	"pcnfunding.arrs.v1.ArrsService.ImportWorkforce":           {Path: "/v1/arrs/workforce/imports", Gzip: true},
	"pcnfunding.iif.v1.IifService.ImportCounts":                {Path: "/v1/iif/imports", Gzip: true},
	"pcnfunding.devfund.v1.DevfundService.ImportNeedWeights":   {Path: "/v1/devfund/need-weights/imports", Gzip: true},
	"pcnfunding.payments.v1.PaymentsService.Import":            {Path: "/v1/payments/imports"},
	"pcnfunding.activity.v1.ActivityService.ImportAttendances": {Path: "/v1/activity/imports", Gzip: true},
}

// Types returns the media types the file may come as; its content tells what it is.
func (u Upload) Types() []string {
	if u.Gzip {
		return []string{"text/csv", "application/gzip", "application/octet-stream"}
	}
	return []string{"text/csv", "application/octet-stream"}
}

// File is another form of a resource, which has a path of its own.
type File struct {
	// Media is its media type.
	Media string
	// Suffix is what its path adds to that of the resource.
	Suffix string
}

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
	// Upload says how a file comes in; nil unless the body is one.
	Upload *Upload
	// Files are the forms of the resource beside JSON that a caller may ask for by media type.
	Files []File

	pattern *regexp.Regexp
}

var (
	placeholder = regexp.MustCompile(`\{([a-z0-9_.]+)\}`)
	// fileSuffix tells the path of a file from that of its resource.
	fileSuffix = regexp.MustCompile(`^(?:/[a-z]+)?\.(csv|pdf)$`)
)

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
	linkFiles(out)
	return out, nil
}

// linkFiles notes each file at the resource it is another form of: the one with the longest path that its own continues.
func linkFiles(routes []Route) {
	for _, file := range routes {
		if !file.IsFile() {
			continue
		}
		var of *Route
		var found File
		for i := range routes {
			r := &routes[i]
			suffix, ok := strings.CutPrefix(file.Path, r.Path)
			kind := fileSuffix.FindStringSubmatch(suffix)
			if ok && kind != nil && r.Verb == "GET" && !r.IsFile() && (of == nil || len(r.Path) > len(of.Path)) {
				of, found = r, File{Media: mediaOf(kind[1]), Suffix: suffix}
			}
		}
		if of != nil {
			of.Files = append(of.Files, found)
		}
	}
}

func mediaOf(extension string) string {
	if extension == "pdf" {
		return "application/pdf"
	}
	return "text/csv"
}

func ofMethod(method protoreflect.MethodDescriptor) ([]Route, error) {
	access, _ := proto.GetExtension(method.Options(), optionsv1.E_Access).(*optionsv1.Access)
	if upload, ok := uploads[method.FullName()]; ok {
		header := method.Input().Fields().ByName("header")
		if header == nil {
			return nil, fmt.Errorf("routes: %s has no header field", method.Input().FullName())
		}
		out := build("POST", upload.Path, 0, method, access, false, header.Message())
		out.Upload = &upload
		return []Route{out}, nil
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
		expr.WriteString(`([^/]+)`)
		out.PathFields = append(out.PathFields, path[found[2]:found[3]])
		rest = path[found[1]:]
	}
	expr.WriteString(regexp.QuoteMeta(rest))
	out.pattern = regexp.MustCompile("^" + expr.String() + "$")
	return out
}

// Matches says whether an escaped request path fits the route's template.
func (r Route) Matches(path string) bool { return r.pattern.MatchString(path) }

// Values returns the escaped values of the path's fields, in order; none if the path does not fit.
func (r Route) Values(path string) []string {
	if found := r.pattern.FindStringSubmatch(path); found != nil {
		return found[1:]
	}
	return nil
}

// IsFile says whether the answer is a file.
func (r Route) IsFile() bool { return r.Method.Output().FullName() == "google.api.HttpBody" }

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
