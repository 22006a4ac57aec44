package gateway

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	activitygw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/activity/v1"
	arrsgw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/arrs/v1"
	coregw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/core/v1"
	devfundgw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/devfund/v1"
	iifgw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/iif/v1"
	partnersgw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/partners/v1"
	paymentsgw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/payments/v1"
	registergw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// Limits of the REST side.
const (
	// MaxJSONBytes bounds a JSON body.
	MaxJSONBytes = 4 << 20
	// MaxUploadBytes bounds an uploaded file as it is sent.
	MaxUploadBytes = 16 << 20
	// CallTimeout bounds a call from the first byte read to the answer.
	CallTimeout = 10 * time.Second
	// LongCallTimeout bounds an upload, the close of a month, and what a payment run goes through.
	LongCallTimeout = 120 * time.Second

	uploadChunkBytes = 512 << 10
	maxAnswerBytes   = 64 << 20 // a snapshot of England, or a large schedule with its working
)

//go:embed openapi/openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of the suite as it is served.
func OpenAPI() []byte { return openAPI }

// Packages are the contracts the gateway serves.
func Packages() []string {
	return []string{
		string(registerv1.File_pcnfunding_register_v1_register_service_proto.Package()),
		string(corev1.File_pcnfunding_core_v1_core_service_proto.Package()),
		string(arrsv1.File_pcnfunding_arrs_v1_arrs_service_proto.Package()),
		string(iifv1.File_pcnfunding_iif_v1_iif_service_proto.Package()),
		string(devfundv1.File_pcnfunding_devfund_v1_devfund_service_proto.Package()),
		string(activityv1.File_pcnfunding_activity_v1_activity_service_proto.Package()),
		string(paymentsv1.File_pcnfunding_payments_v1_payments_service_proto.Package()),
		string(partnersv1.File_pcnfunding_partners_v1_partners_service_proto.Package()),
	}
}

// Deps are what a gateway works with. Conn, Logger and Clock are required.
type Deps struct {
	// Conn returns a client connection to a service by its name: register, core, arrs, iif, devfund, activity, payments or partners.
	Conn func(service string) grpc.ClientConnInterface
	// Logger receives one record for each call of the API, without bodies and queries.
	Logger *slog.Logger
	// Ready says whether traffic may come; nil means always.
	Ready func(ctx context.Context) error
	// Status returns the parts of the suite and their state, written as JSON at /status; nil means that there is nothing to say.
	Status func(ctx context.Context) any
	// Metrics serves /metrics; nil means no such path.
	Metrics http.Handler
	// Version is the suite's version.
	Version string
	// PublicJWKS serves the public keys of a local token issuer; nil unless there is one.
	PublicJWKS http.Handler
	// Clock tells the time, for the duration of calls in the log.
	Clock func() time.Time
	// Tracer and Meter receive a span and the duration of each call of the API; nil sends them nowhere.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

type gateway struct {
	deps      Deps
	logger    *slog.Logger
	routes    []route.Route
	marshaler runtime.Marshaler
	calls     *runtime.ServeMux
	uploads   map[protoreflect.FullName]upload
}

// New returns the handler of the whole REST side. The context bounds the set-up only.
func New(ctx context.Context, deps Deps) (http.Handler, error) {
	if deps.Conn == nil || deps.Logger == nil || deps.Clock == nil {
		return nil, errors.New("gateway: Conn, Logger and Clock are required")
	}
	routes, err := route.All(Packages()...)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	conns := make(map[string]wideConn)
	for _, name := range []string{
		"register",
		"core",
		"arrs",
		"iif",
		"devfund",
		"activity",
		"payments",
		"partners",
	} {
		conn := deps.Conn(name)
		if conn == nil {
			return nil, fmt.Errorf("gateway: no connection to %s", name)
		}
		conns[name] = wideConn{conn}
	}
	register, arrs := registerv1.NewRegisterServiceClient(conns["register"]), arrsv1.NewArrsServiceClient(conns["arrs"])
	iif, payments := iifv1.NewIifServiceClient(conns["iif"]), paymentsv1.NewPaymentsServiceClient(conns["payments"])
	devfund := devfundv1.NewDevfundServiceClient(conns["devfund"])
	activity := activityv1.NewActivityServiceClient(conns["activity"])
	g := &gateway{
		deps: deps, logger: deps.Logger, routes: routes, marshaler: newMarshaler(), uploads: uploads(register, arrs, iif, activity, payments),
	}
	maps.Copy(g.uploads, devfundUploads(devfund))
	for _, r := range routes {
		if _, ok := g.uploads[r.Method.FullName()]; !ok && r.Upload != nil {
			return nil, fmt.Errorf("gateway: no upload is bound to %s", r.Method.FullName())
		}
	}
	g.calls = runtime.NewServeMux(g.muxOptions()...)
	if err := registergw.RegisterRegisterServiceHandlerClient(ctx, g.calls, register); err != nil {
		return nil, fmt.Errorf("gateway: register: %w", err)
	}
	if err := coregw.RegisterCoreServiceHandlerClient(ctx, g.calls, corev1.NewCoreServiceClient(conns["core"])); err != nil {
		return nil, fmt.Errorf("gateway: core: %w", err)
	}
	if err := arrsgw.RegisterArrsServiceHandlerClient(ctx, g.calls, arrs); err != nil {
		return nil, fmt.Errorf("gateway: arrs: %w", err)
	}
	if err := iifgw.RegisterIifServiceHandlerClient(ctx, g.calls, iif); err != nil {
		return nil, fmt.Errorf("gateway: iif: %w", err)
	}
	if err := devfundgw.RegisterDevfundServiceHandlerClient(ctx, g.calls, devfund); err != nil {
		return nil, fmt.Errorf("gateway: devfund: %w", err)
	}
	if err := activitygw.RegisterActivityServiceHandlerClient(ctx, g.calls, activity); err != nil {
		return nil, fmt.Errorf("gateway: activity: %w", err)
	}
	if err := paymentsgw.RegisterPaymentsServiceHandlerClient(ctx, g.calls, payments); err != nil {
		return nil, fmt.Errorf("gateway: payments: %w", err)
	}
	if err := partnersgw.RegisterPartnersServiceHandlerClient(ctx, g.calls, partnersv1.NewPartnersServiceClient(conns["partners"])); err != nil {
		return nil, fmt.Errorf("gateway: partners: %w", err)
	}
	return g.handler(), nil
}

// wideConn lets answers be larger than gRPC's default of 4 MiB.
type wideConn struct{ grpc.ClientConnInterface }

// Invoke makes a unary call.
func (c wideConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, append(opts, grpc.MaxCallRecvMsgSize(maxAnswerBytes))...)
}

// handler puts the paths together: the API under /v1/, the rest beside it.
func (g *gateway) handler() http.Handler {
	pages, api := http.NewServeMux(), g.traced(g.api())
	g.mountPages(pages)
	return identified(g.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") { // not through the mux, which would redirect paths that it finds untidy
			api.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})))
}

// traced gives each call its span and takes its measure. Nothing of a query, a body or who sent them is noted.
func (g *gateway) traced(api http.Handler) http.Handler {
	tracer, meter := g.deps.Tracer, g.deps.Meter
	if tracer == nil {
		tracer = tracenoop.NewTracerProvider()
	}
	if meter == nil {
		meter = metricnoop.NewMeterProvider()
	}
	return otelhttp.NewHandler(api, "", otelhttp.WithTracerProvider(tracer), otelhttp.WithMeterProvider(meter),
		otelhttp.WithPropagators(propagation.TraceContext{}))
}

// handleError writes the problem of a call that failed, or of a body that could not be read.
func (g *gateway) handleError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if body, ok := r.Body.(*jsonBody); ok && body.problem != nil {
		body.problem.write(w)
		return
	}
	var malformed *runtime.HTTPStatusError
	if errors.As(err, &malformed) {
		newProblem(http.StatusBadRequest, reasonTextInvalid, "The path holds a malformed escape.").write(w)
		return
	}
	g.fail(ctx, w, err)
}

// handleRoutingError answers for paths that only the generated handlers' own matching refuses; the others never reach it.
func (g *gateway) handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
	if code == http.StatusBadRequest {
		newProblem(code, reasonTextInvalid, "The path is malformed.").write(w)
		return
	}
	routeNotFound().write(w)
}

func routeNotFound() *problem {
	return newProblem(http.StatusNotFound, reasonRouteNotFound, "There is no such path. The paths are listed at /openapi.json.")
}
