package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// upload is a call that takes a file as its body.
type upload struct {
	// header makes an empty header of the call's request.
	header func() proto.Message
	// send makes the call with a header and a body, and waits for its answer.
	send func(ctx context.Context, header proto.Message, body io.Reader, opts ...grpc.CallOption) (proto.Message, error)
	// location returns the path of what the file became, or an empty string if the same file was there before.
	location func(answer proto.Message) string
}

// uploads are the calls behind the routes that take a file, by their full names.
func uploads(
	register registerv1.RegisterServiceClient, arrs arrsv1.ArrsServiceClient, iif iifv1.IifServiceClient,
	activity activityv1.ActivityServiceClient,
	payments paymentsv1.PaymentsServiceClient,
) map[protoreflect.FullName]upload {
	return map[protoreflect.FullName]upload{
		"pcnfunding.register.v1.RegisterService.Import": newUpload(register.Import,
			func(h *registerv1.ImportHeader) *registerv1.ImportRequest {
				return &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: h}}
			},
			func(chunk []byte) *registerv1.ImportRequest {
				return &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: chunk}}
			},
			func(answer *registerv1.ImportResponse) string {
				if answer.GetAlreadyLoaded() {
					return ""
				}
				return "/v1/register/loads/" + answer.GetLoad().GetLoadId()
			}),
		"pcnfunding.arrs.v1.ArrsService.ImportClaims": newUpload(arrs.ImportClaims,
			func(h *arrsv1.ClaimsHeader) *arrsv1.ImportClaimsRequest {
				return &arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Header{Header: h}}
			},
			func(chunk []byte) *arrsv1.ImportClaimsRequest {
				return &arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Chunk{Chunk: chunk}}
			},
			func(answer *arrsv1.ImportClaimsResponse) string {
				if claims := answer.GetClaims(); len(claims) == 1 && claims[0].GetClaimId() != "" {
					return "/v1/arrs/claims/" + claims[0].GetClaimId()
				}
				return ""
			}),
		"pcnfunding.arrs.v1.ArrsService.ImportWorkforce": newUpload(arrs.ImportWorkforce,
			func(h *arrsv1.WorkforceHeader) *arrsv1.ImportWorkforceRequest {
				return &arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Header{Header: h}}
			},
			func(chunk []byte) *arrsv1.ImportWorkforceRequest {
				return &arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Chunk{Chunk: chunk}}
			},
			func(answer *arrsv1.ImportWorkforceResponse) string {
				if answer.GetAlreadyImported() || answer.GetWorkforceImport().GetImportId() == "" {
					return ""
				}
				return "/v1/arrs/workforce/imports/" + answer.GetWorkforceImport().GetImportId()
			}),
		"pcnfunding.iif.v1.IifService.ImportCounts": newUpload(iif.ImportCounts,
			func(h *iifv1.CountsHeader) *iifv1.ImportCountsRequest {
				return &iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Header{Header: h}}
			},
			func(chunk []byte) *iifv1.ImportCountsRequest {
				return &iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Chunk{Chunk: chunk}}
			},
			func(answer *iifv1.ImportCountsResponse) string {
				if answer.GetAlreadyImported() || answer.GetCountsImport().GetImportId() == "" {
					return ""
				}
				return "/v1/iif/imports/" + answer.GetCountsImport().GetImportId()
			}),
		"pcnfunding.activity.v1.ActivityService.ImportAttendances": newUpload(activity.ImportAttendances,
			func(h *activityv1.AttendancesHeader) *activityv1.ImportAttendancesRequest {
				return &activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Header{Header: h}}
			},
			func(chunk []byte) *activityv1.ImportAttendancesRequest {
				return &activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Chunk{Chunk: chunk}}
			},
			func(answer *activityv1.ImportAttendancesResponse) string {
				if answer.GetAlreadyImported() || answer.GetAttendancesImport().GetImportId() == "" {
					return ""
				}
				return "/v1/activity/imports/" + answer.GetAttendancesImport().GetImportId()
			}),
		"pcnfunding.payments.v1.PaymentsService.Import": newUpload(payments.Import,
			func(h *paymentsv1.ImportHeader) *paymentsv1.ImportRequest {
				return &paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Header{Header: h}}
			},
			func(chunk []byte) *paymentsv1.ImportRequest {
				return &paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Chunk{Chunk: chunk}}
			},
			func(answer *paymentsv1.ImportResponse) string {
				if answer.GetAlreadyImported() {
					return ""
				}
				return "/v1/payments/imports/" + answer.GetFile().GetImportId() + "/rows"
			}),
	}
}

// message is a pointer to a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// newUpload binds an upload to a call: open begins it, first and next make the parts of its request.
func newUpload[Header, Part, Answer any, H message[Header], A message[Answer]](
	open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[Part, Answer], error),
	first func(H) *Part, next func([]byte) *Part, location func(A) string,
) upload {
	return upload{
		header: func() proto.Message { return H(new(Header)) },
		send: func(ctx context.Context, header proto.Message, body io.Reader, opts ...grpc.CallOption) (proto.Message, error) {
			h, ok := header.(H)
			if !ok {
				return nil, status.Errorf(codes.Internal, "upload: a header of type %T", header)
			}
			stream, err := open(ctx, opts...)
			if err != nil {
				return nil, err //nolint:wrapcheck // a status is passed on as it is
			}
			answer, err := sendFile(ctx, stream, first(h), next, body)
			if err != nil {
				return nil, err
			}
			return A(answer), nil
		},
		location: func(answer proto.Message) string {
			a, _ := answer.(A) // what send returned
			return location(a)
		},
	}
}

// upload streams the body of a request to the call behind its route. What the file is stands in the query; the answer is 201
// with the place of what it became, or 200 if the same file was there before.
func (g *gateway) upload(w http.ResponseWriter, r *http.Request, found *route.Route) {
	call := g.uploads[found.Method.FullName()]
	header := call.header()
	if p := readHeader(r, found.Upload, header); p != nil {
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
	answer, err := call.send(ctx, header, http.MaxBytesReader(w, r.Body, MaxUploadBytes), grpc.Header(&headers))
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
	g.writeImport(ctx, w, answer, call.location(answer), headers)
}

// readHeader reads what the file is from the query.
func readHeader(r *http.Request, taken *route.Upload, header proto.Message) *problem {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if types := taken.Types(); err != nil || !slices.Contains(types, media) {
		last := len(types) - 1
		return newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia,
			fmt.Sprintf("The call takes a file as %s or %s.", strings.Join(types[:last], ", "), types[last]))
	}
	switch encoding := r.Header.Get("Content-Encoding"); {
	case encoding == "", encoding == "identity", encoding == "gzip" && taken.Gzip:
	case taken.Gzip:
		return newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia, "The content encoding may be gzip or none.")
	default:
		return newProblem(http.StatusUnsupportedMediaType, reasonUnsupportedMedia, "The file is taken without content encoding.")
	}
	if err := runtime.PopulateQueryParameters(header, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		return newProblem(http.StatusBadRequest, reasonRequestInvalid, "A query parameter is not of its type.")
	}
	if key := idempotencyKey(r.Header); key != "" {
		m := header.ProtoReflect()
		field := m.Descriptor().Fields().ByName("request_id")
		if sent := m.Get(field).String(); sent != "" && sent != key {
			return newProblem(http.StatusBadRequest, reasonRequestInvalid, "request_id and Idempotency-Key differ.").
				at("request_id", "differs from the Idempotency-Key header")
		}
		m.Set(field, protoreflect.ValueOfString(key))
	}
	return nil
}

// bodyError is an error of reading the caller's body, as opposed to one of the call.
type bodyError struct{ cause error }

// Error returns the cause's text.
func (e *bodyError) Error() string { return "read body: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *bodyError) Unwrap() error { return e.cause }

// sendFile sends the first part and the file in chunks, and waits for the answer. If the service answers early it stops reading.
func sendFile[Part, Answer any](ctx context.Context, stream grpc.ClientStreamingClient[Part, Answer], part *Part, next func([]byte) *Part,
	body io.Reader,
) (*Answer, error) {
	chunk := make([]byte, uploadChunkBytes)
	for {
		if err := stream.Send(part); err != nil {
			if errors.Is(err, io.EOF) { // the service has answered; CloseAndRecv tells what
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
		part = next(chunk[:n])
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

// writeImport answers an upload; without a location nothing is new.
func (g *gateway) writeImport(ctx context.Context, w http.ResponseWriter, answer proto.Message, location string, headers metadata.MD) {
	data, err := g.marshaler.Marshal(answer)
	if err != nil {
		g.fail(ctx, w, status.Errorf(codes.Internal, "write import answer: %v", err))
		return
	}
	h := w.Header()
	if replay := headers.Get(metadataReplay); len(replay) > 0 {
		h.Set(headerReplay, replay[0])
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	code := http.StatusOK
	if location != "" {
		code = http.StatusCreated
		h.Set("Location", location)
	}
	w.WriteHeader(code)
	_, _ = w.Write(data) // the caller may be gone; the import stands all the same
}
