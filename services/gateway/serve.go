package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

var correlationID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// longCalls are the ends of paths whose calls go over every line of a commissioner.
var longCalls = []string{":close", ":assemble", ":submit", ":approve", ":export", "/payments/moves", "/moves/{move_id}:confirm", "/report:build"}

// identified gives each request its correlation id, the caller's if it is well formed, and the headers every answer carries.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerCorrelationID)
		if !correlationID.MatchString(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		r.Header.Set(headerCorrelationID, id)
		h := w.Header()
		h.Set(headerCorrelationID, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r.WithContext(telemetry.WithCorrelation(r.Context(), id)))
	})
}

// recovered turns a panic into a problem, unless the answer has begun.
func (g *gateway) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &recorder{ResponseWriter: w}
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // the sentinel is compared as net/http compares it
				panic(cause)
			}
			g.logger.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
			if recorder.status == 0 {
				newProblem(http.StatusInternalServerError, reasonInternal, internalDetail).write(recorder)
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

// recorder notes the status and the size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status.
func (w *recorder) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write notes the size.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err //nolint:wrapcheck // a writer passes its writer's error on
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// api serves everything under /v1/: it finds the route, checks what the generated handlers would not, bounds time and size,
// and logs the call.
func (g *gateway) api() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := g.deps.Clock()
		recorder := &recorder{ResponseWriter: w}
		call := ""
		if found, p := g.admit(r); p != nil {
			p.write(recorder)
		} else {
			call = string(found.Method.FullName())
			r.Pattern = found.Path
			g.dispatch(recorder, r, found)
		}
		g.logger.InfoContext(r.Context(), "call", "method", r.Method, "path", r.URL.Path, "call", call, "status", recorder.status,
			"bytes", recorder.bytes, "duration_ms", g.deps.Clock().Sub(started).Milliseconds())
	})
}

// admit finds the route of a request and refuses what no service needs to see. It also normalises the request: HEAD is GET,
// a resource asked for as CSV or PDF is its file, and headers the runtime would obey on its own are dropped.
func (g *gateway) admit(r *http.Request) (*route.Route, *problem) {
	for name := range r.Header {
		if strings.HasPrefix(name, "Grpc-") || name == "Te" || name == "X-Http-Method-Override" {
			r.Header.Del(name)
		}
	}
	verb := r.Method
	if verb == http.MethodHead {
		verb = http.MethodGet
	}
	found, verbs := route.Find(g.routes, verb, r.URL.EscapedPath())
	if suffix := wantedFile(r.Header, found); suffix != "" {
		r.URL.Path += suffix
		if r.URL.RawPath != "" {
			r.URL.RawPath += suffix
		}
		found, verbs = route.Find(g.routes, verb, r.URL.EscapedPath())
	}
	if len(verbs) == 0 {
		return nil, routeNotFound()
	}
	if found == nil {
		return nil, methodNotAllowed(verbs)
	}
	if p := checkHeaders(r.Header); p != nil {
		return nil, p
	}
	if !plainText(r.URL.Path) {
		return nil, newProblem(http.StatusBadRequest, reasonTextInvalid, "The path holds control characters or is not UTF-8.")
	}
	r.Method = verb
	return found, checkQuery(r.URL.RawQuery, found)
}

// answerTime is how long a caller may take to read an answer, once the call's own time is over.
const answerTime = 15 * time.Second

// dispatch makes the call under its deadline. A body that comes too slowly is cut off at the deadline too, and a caller who does not read the
// answer a little later.
func (g *gateway) dispatch(w http.ResponseWriter, r *http.Request, found *route.Route) {
	limit := CallTimeout
	if found.Upload != nil || slices.ContainsFunc(longCalls, func(end string) bool { return strings.HasSuffix(found.Path, end) }) {
		limit = LongCallTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	connection := http.NewResponseController(w)
	stop := context.AfterFunc(ctx, func() {
		_ = connection.SetReadDeadline(time.Unix(1, 0)) // not every writer has a connection to cut
	})
	defer stop()
	late := time.AfterFunc(limit+answerTime, func() { _ = connection.SetWriteDeadline(time.Unix(1, 0)) })
	defer late.Stop()
	r = r.WithContext(withFileName(ctx, fileName(found, r.URL.EscapedPath())))
	if found.Upload != nil {
		g.upload(w, r, found)
		return
	}
	if found.HasBody {
		body, p := readJSON(w, r)
		if p != nil {
			p.write(w)
			return
		}
		r.Body = body
	}
	g.calls.ServeHTTP(&conditional{ResponseWriter: w, ifNoneMatch: noneMatch(r)}, r)
}

func noneMatch(r *http.Request) string {
	if r.Method != http.MethodGet {
		return ""
	}
	return r.Header.Get(headerIfNoneMatch)
}

// conditional answers 304 in place of a body whose tag the caller already holds.
type conditional struct {
	http.ResponseWriter
	ifNoneMatch string
	decided     bool
	unchanged   bool
}

// WriteHeader decides once what to send.
func (w *conditional) WriteHeader(code int) {
	if w.decided {
		return
	}
	w.decided = true
	if code == http.StatusOK && tagListed(w.ifNoneMatch, w.Header().Get(headerETag)) {
		w.unchanged = true
		for _, name := range []string{"Content-Length", "Content-Type", "Content-Disposition"} {
			w.Header().Del(name)
		}
		code = http.StatusNotModified
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write drops the body of an unchanged answer.
func (w *conditional) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.unchanged {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b) //nolint:wrapcheck // a writer passes its writer's error on
}

// Unwrap lets http.ResponseController reach the connection.
func (w *conditional) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// readJSON reads a body whole, within its limit, so that a refusal names the cause.
func readJSON(w http.ResponseWriter, r *http.Request) (*jsonBody, *problem) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia, "JSON bodies are taken without content encoding.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxJSONBytes))
	if err != nil {
		return nil, problemOfBody(err, MaxJSONBytes)
	}
	kind := r.Header.Get("Content-Type")
	if len(data) > 0 || kind != "" {
		if media, params, err := mime.ParseMediaType(kind); err != nil || media != "application/json" || !utf8Charset(params) {
			return nil, newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia, "The call takes application/json in UTF-8.")
		}
	}
	return newJSONBody(data), nil
}

func utf8Charset(params map[string]string) bool {
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

func problemOfBody(err error, limit int64) *problem {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newProblem(http.StatusRequestTimeout, reasonDeadlineExceeded, "The body did not arrive in time.")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newProblem(http.StatusRequestEntityTooLarge, reasonBodyTooLarge, fmt.Sprintf("The body is larger than %d bytes.", limit))
	}
	return newProblem(http.StatusBadRequest, reasonBodyIncomplete, "The body did not arrive whole.")
}

// checkQuery refuses query parameters that the call does not know, since the runtime would ignore them.
func checkQuery(raw string, found *route.Route) *problem {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return newProblem(http.StatusBadRequest, reasonTextInvalid, "The query is malformed.")
	}
	for name, list := range values {
		if !plainText(name) {
			return newProblem(http.StatusBadRequest, reasonTextInvalid, "The query holds control characters or is not UTF-8.")
		}
		for _, v := range list {
			if !plainText(v) {
				return newProblem(http.StatusBadRequest, reasonTextInvalid, "The query holds control characters or is not UTF-8.").
					at(shorten(name), "holds control characters or is not UTF-8")
			}
		}
		field := found.Field(name)
		if found.HasBody || field == nil || slices.Contains(found.PathFields, name) || field.Kind() == protoreflect.MessageKind && !scalarMessage(field) {
			return newProblem(http.StatusBadRequest, reasonUnknownField, fmt.Sprintf("The call has no query parameter %q.", shorten(name))).
				at(shorten(name), "no such query parameter")
		}
		if p := checkNumbers(name, field, list); p != nil {
			return p
		}
		if len(list) > 1 && !field.IsList() {
			return newProblem(http.StatusBadRequest, reasonRequestInvalid, fmt.Sprintf("The query parameter %q stands more than once.", name)).
				at(name, "stands more than once")
		}
	}
	return nil
}

// checkNumbers refuses what is not a whole number where one is asked for.
func checkNumbers(name string, field protoreflect.FieldDescriptor, values []string) *problem {
	bits := 64
	switch field.Kind() {
	case protoreflect.Int32Kind:
		bits = 32
	case protoreflect.Int64Kind:
	default:
		return nil
	}
	for _, value := range values {
		if _, err := strconv.ParseInt(value, 10, bits); err != nil {
			return newProblem(http.StatusBadRequest, reasonRequestInvalid, fmt.Sprintf("The query parameter %q is a whole number.", name)).
				at(name, fmt.Sprintf("%q is not a whole number of its size", shorten(value)))
		}
	}
	return nil
}

// scalarMessage says whether a message is written as one value in a query.
func scalarMessage(field protoreflect.FieldDescriptor) bool {
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		return true
	}
	return false
}

// plainText says whether text is UTF-8 without control characters, which no field of a path or query holds.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// wantedFile returns what leads from a resource to the form of it that the caller asks for by media type, and prefers to JSON by
// putting it first; empty for JSON.
func wantedFile(h http.Header, found *route.Route) string {
	if found == nil || len(found.Files) == 0 {
		return ""
	}
	for _, value := range h.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			kind, _, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			if kind == "application/json" || kind == "*/*" {
				return ""
			}
			if i := slices.IndexFunc(found.Files, func(f route.File) bool { return f.Media == kind }); i >= 0 {
				return found.Files[i].Suffix
			}
		}
	}
	return ""
}
