package payments

import (
	"context"
	"io/fs"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "payments"

// Deps is what payments needs.
type Deps struct {
	DB     *sqldb.DB
	Logger *slog.Logger
	Meter  metric.Meter
	// Tracer makes a span for each event that is taken in; nil makes none.
	Tracer trace.TracerProvider
	// Register tells who takes over from a commissioner.
	Register registerv1.RegisterServiceClient
	// Accounts resolves account tokens at export; nil if there is no resolver.
	Accounts AccountResolver
}

// Service answers PaymentsService.
type Service struct {
	paymentsv1.UnimplementedPaymentsServiceServer

	db       *sqldb.DB
	logger   *slog.Logger
	meter    metric.Meter
	register registerv1.RegisterServiceClient
	accounts AccountResolver
	inbox    *inbox.Inbox
}

// New makes the service over a migrated database. Whatever changes a commissioner's money holds that commissioner's lock before it
// reads what it decides on, so the database's writes rest on locks.
func New(deps Deps) *Service {
	deps.DB.TrustLocks()
	s := &Service{db: deps.DB, logger: deps.Logger, meter: deps.Meter, register: deps.Register, accounts: deps.Accounts}
	s.inbox = inbox.New(deps.DB, inbox.Options{
		Handle: s.take, New: newEvent, OnQuarantine: s.quarantined, Logger: deps.Logger, Service: Name, Meter: deps.Meter, Tracer: deps.Tracer,
	})
	return s
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { paymentsv1.RegisterPaymentsServiceServer(server, s) }

// Inbox returns what takes in the events of the funds.
func (s *Service) Inbox() *inbox.Inbox { return s.inbox }

// Run takes in the events of the funds until the context ends.
func (s *Service) Run(ctx context.Context, broker *bus.Bus) error { return s.consume(ctx, broker) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
