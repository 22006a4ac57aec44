package gateway

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// Headers of the REST side and the metadata they travel in.
const (
	headerCorrelationID  = "X-Correlation-Id"
	headerIdempotencyKey = "Idempotency-Key"
	headerReplay         = "Idempotent-Replay"
	headerETag           = "Etag"
	headerIfMatch        = "If-Match"
	headerIfNoneMatch    = "If-None-Match"

	metadataAuthorization  = "authorization"
	metadataIdempotencyKey = "idempotency-key"
	metadataIfMatch        = "if-match"
	metadataCorrelationID  = "x-correlation-id"
	metadataETag           = "etag"
	metadataReplay         = "idempotent-replay"

	longestHeader = 8 << 10
)

// single are the request headers that reach a service; each may stand once.
var single = []string{
	"Authorization", headerIdempotencyKey, headerIfMatch, headerIfNoneMatch, "Traceparent", "Tracestate", "Accept",
	"Content-Type", "Content-Encoding",
}

// checkHeaders refuses headers that stand twice or hold what metadata of a call cannot: a list of tags in If-Match included.
func checkHeaders(h http.Header) *problem {
	for _, name := range single {
		values := h.Values(name)
		if len(values) > 1 && name != "Accept" && name != "Tracestate" {
			return newProblem(http.StatusBadRequest, reasonHeaderInvalid, fmt.Sprintf("The header %s stands more than once.", name))
		}
		for _, v := range values {
			if len(v) > longestHeader || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
				return newProblem(http.StatusBadRequest, reasonHeaderInvalid,
					fmt.Sprintf("The header %s is too long or holds characters other than printable ASCII.", name))
			}
		}
	}
	if tag, ok := matchTag(h.Get(headerIfMatch)); !ok {
		return newProblem(http.StatusBadRequest, reasonHeaderInvalid, "If-Match must hold one entity tag.")
	} else if tag == "" {
		h.Del(headerIfMatch)
	}
	return nil
}

// matchTag takes the one entity tag out of an If-Match header, without quotes and weakness. The star means any version and
// gives an empty tag.
func matchTag(value string) (tag string, ok bool) {
	value = strings.TrimSpace(value)
	if value == "" || value == "*" {
		return "", true
	}
	value = strings.TrimPrefix(value, "W/")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, value != "" && !strings.ContainsAny(value, `",`)
}

// outgoing returns the metadata of the call, without the authorisation, which the runtime forwards itself.
func outgoing(_ context.Context, r *http.Request) metadata.MD {
	md := metadata.MD{}
	set := func(key, value string) {
		if value != "" {
			md.Set(key, value)
		}
	}
	set(metadataCorrelationID, r.Header.Get(headerCorrelationID))
	set(metadataIdempotencyKey, idempotencyKey(r.Header))
	tag, _ := matchTag(r.Header.Get(headerIfMatch))
	set(metadataIfMatch, tag)
	set("traceparent", r.Header.Get("Traceparent"))
	set("tracestate", strings.Join(r.Header.Values("Tracestate"), ","))
	return md
}

// idempotencyKey returns the key with the quotes of a structured header taken off.
func idempotencyKey(h http.Header) string {
	key := strings.TrimSpace(h.Get(headerIdempotencyKey))
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	return key
}

// outgoingHeader names the HTTP header of response metadata; what is not listed stays inside.
func outgoingHeader(key string) (string, bool) {
	switch strings.ToLower(key) {
	case metadataETag:
		return headerETag, true
	case metadataReplay:
		return headerReplay, true
	}
	return "", false
}

func none(string) (string, bool) { return "", false }

// finishResponse quotes the entity tag, or takes it from the resource itself where the service sent none, and names a file.
func finishResponse(ctx context.Context, w http.ResponseWriter, message proto.Message) error {
	h := w.Header()
	tag := h.Get(headerETag)
	if tag == "" {
		tag = tagOf(message)
	}
	if tag != "" {
		h.Set(headerETag, quoteTag(tag))
	}
	if file, ok := message.(*httpbody.HttpBody); ok {
		if name := fileNameFrom(ctx); name != "" {
			h.Set("Content-Disposition", `attachment; filename="`+withExtension(name, file.GetContentType())+`"`)
		}
	}
	return nil
}

func tagOf(message proto.Message) string {
	m := message.ProtoReflect()
	field := m.Descriptor().Fields().ByName("etag")
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return ""
	}
	return m.Get(field).String()
}

func quoteTag(tag string) string {
	if strings.HasPrefix(tag, `"`) || strings.HasPrefix(tag, "W/") {
		return tag
	}
	return `"` + tag + `"`
}

// tagListed says whether an If-None-Match header names the tag, by weak comparison.
func tagListed(header, tag string) bool {
	if header == "" || tag == "" {
		return false
	}
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(part), "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

type fileNameKey struct{}

// withFileName notes the name under which an answer that is a file is offered.
func withFileName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, fileNameKey{}, name)
}

func fileNameFrom(ctx context.Context) string {
	name, _ := ctx.Value(fileNameKey{}).(string)
	return name
}

// fileName makes a plain file name out of the escaped path of a download: the identifiers in it and its last segment, such as
// schedule id and lines.csv. A last segment that only says that it is the file adds nothing.
func fileName(found *route.Route, path string) string {
	if !found.IsFile() {
		return ""
	}
	var parts []string
	for _, value := range found.Values(path) {
		if plain, err := url.PathUnescape(value); err == nil {
			parts = append(parts, plain)
		}
	}
	if last := found.Path[strings.LastIndexByte(found.Path, '/')+1:]; last != "file" {
		parts = append(parts, last)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, strings.Join(parts, "-"))
}

// extensions are the ends of file names by media type. They do not come from the operating system's table, which differs between
// machines.
var extensions = map[string]string{
	"text/csv": ".csv", "text/plain": ".txt", "application/xml": ".xml", "text/xml": ".xml", "application/pdf": ".pdf",
}

// withExtension ends a file name as its content asks for, unless it ends so already or the content is of no known type.
func withExtension(name, contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || strings.HasSuffix(name, extensions[media]) {
		return name
	}
	return name + extensions[media]
}

// muxOptions are the options of the generated handlers' mux.
func (g *gateway) muxOptions() []runtime.ServeMuxOption {
	return []runtime.ServeMuxOption{
		runtime.WithMarshalerOption(runtime.MIMEWildcard, g.marshaler),
		runtime.WithErrorHandler(g.handleError),
		runtime.WithRoutingErrorHandler(g.handleRoutingError),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(outgoingHeader),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithMetadata(outgoing),
		runtime.WithForwardResponseOption(finishResponse),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
	}
}
