package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// uploadTypes are the media types a file may come as; its content tells what it is.
func uploadTypes() []string {
	return []string{"text/csv", "application/gzip", "application/octet-stream"}
}

// upload streams the body of a request to the register as an import. What the file is stands in the query; the answer is 201
// with the place of the new load, or 200 if the same file had been loaded before.
func (g *gateway) upload(w http.ResponseWriter, r *http.Request) {
	header, p := importHeader(r)
	if p != nil {
		p.write(w)
		return
	}
	md := outgoing(r.Context(), r)
	if token := r.Header.Get("Authorization"); token != "" {
		md.Set(metadataAuthorization, token)
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(r.Context(), md))
	defer cancel()
	var headers metadata.MD
	answer, err := g.sendFile(ctx, header, http.MaxBytesReader(w, r.Body, MaxUploadBytes), grpc.Header(&headers))
	if err != nil {
		var body *bodyError
		if errors.As(err, &body) {
			cancel()
			problemOfBody(body.cause, MaxUploadBytes).write(w)
			return
		}
		g.fail(ctx, w, err)
		return
	}
	g.writeImport(w, answer, headers)
}

// importHeader reads what the file is from the query.
func importHeader(r *http.Request) (*registerv1.ImportHeader, *problem) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(uploadTypes(), media) {
		return nil, newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia,
			"The call takes a file as text/csv, application/gzip or application/octet-stream.")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" && encoding != "gzip" {
		return nil, newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia, "The content encoding may be gzip or none.")
	}
	header := &registerv1.ImportHeader{}
	if err := runtime.PopulateQueryParameters(header, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		return nil, newProblem(http.StatusBadRequest, reasonRequestInvalid, "A query parameter is not of its type.")
	}
	if key := idempotencyKey(r.Header); key != "" {
		if header.GetRequestId() != "" && header.GetRequestId() != key {
			return nil, newProblem(http.StatusBadRequest, reasonRequestInvalid, "request_id and Idempotency-Key differ.").
				at("request_id", "differs from the Idempotency-Key header")
		}
		header.RequestId = key
	}
	return header, nil
}

// bodyError is an error of reading the caller's body, as opposed to one of the call.
type bodyError struct{ cause error }

// Error returns the cause's text.
func (e *bodyError) Error() string { return "read body: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *bodyError) Unwrap() error { return e.cause }

// sendFile sends header and chunks and waits for the answer. If the register answers early it stops reading.
func (g *gateway) sendFile(ctx context.Context, header *registerv1.ImportHeader, body io.Reader, opts ...grpc.CallOption) (
	*registerv1.ImportResponse, error,
) {
	stream, err := g.register.Import(ctx, opts...)
	if err != nil {
		return nil, err //nolint:wrapcheck // a status is passed on as it is
	}
	part := &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: header}}
	chunk := make([]byte, uploadChunkBytes)
	for {
		if err := stream.Send(part); err != nil {
			if errors.Is(err, io.EOF) { // the register has answered; CloseAndRecv tells what
				break
			}
			return nil, err //nolint:wrapcheck // a status is passed on as it is
		}
		n, err := io.ReadFull(body, chunk)
		if n == 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, readFailure(ctx, err)
		}
		if n == 0 {
			break
		}
		part = &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: chunk[:n]}}
	}
	return stream.CloseAndRecv() //nolint:wrapcheck // a status is passed on as it is
}

// readFailure tells a caller that stopped sending from a deadline that cut it off.
func readFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return &bodyError{cause: err}
}

func (g *gateway) writeImport(w http.ResponseWriter, answer *registerv1.ImportResponse, headers metadata.MD) {
	data, err := g.marshaler.Marshal(answer)
	if err != nil {
		g.fail(context.Background(), w, status.Errorf(codes.Internal, "write import answer: %v", err))
		return
	}
	h := w.Header()
	if replay := headers.Get(metadataReplay); len(replay) > 0 {
		h.Set(headerReplay, replay[0])
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	code := http.StatusCreated
	if answer.GetAlreadyLoaded() {
		code = http.StatusOK
	} else if id := answer.GetLoad().GetLoadId(); id != "" {
		h.Set("Location", "/v1/register/loads/"+id)
	}
	w.WriteHeader(code)
	_, _ = w.Write(data) // the caller may be gone; the import stands all the same
}
