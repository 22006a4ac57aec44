package iif

import (
	"context"
	"io/fs"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "iif"

// Deps is what iif needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
}

// Service answers IifService.
type Service struct {
	iifv1.UnimplementedIifServiceServer

	db       *sqldb.DB
	register registerv1.RegisterServiceClient
	logger   *slog.Logger
	held     heldScheme
	// calculate works the years of a close out again.
	calculate func(ctx context.Context, q sqldb.Querier, all []basis) ([]worked, error)
}

// New makes the service over a migrated database and seeds its figures: versions the database lacks are added, none is changed.
// Whatever changes the years of a commissioner's PCNs holds that commissioner's lock before it reads what it decides on, so the
// database's writes rest on locks.
func New(ctx context.Context, deps Deps) (*Service, error) {
	deps.DB.TrustLocks()
	s := &Service{db: deps.DB, register: deps.Register, logger: deps.Logger}
	s.calculate = s.work
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { iifv1.RegisterIifServiceServer(server, s) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
