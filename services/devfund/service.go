package devfund

import (
	"context"
	"io/fs"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "devfund"

// Deps is what devfund needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
}

// Service answers DevfundService.
type Service struct {
	devfundv1.UnimplementedDevfundServiceServer

	db       *sqldb.DB
	register registerv1.RegisterServiceClient
	logger   *slog.Logger
	// totals are the sums of the nation that the suite comes with.
	totals []rules.Total
}

// New makes the service over a migrated database and seeds the national allocations: those the database lacks are added, none is
// changed. Whatever changes allocations, plans or spend of a commissioner holds its lock before it reads what it decides on, so the
// database's writes rest on locks.
func New(ctx context.Context, deps Deps) (*Service, error) {
	deps.DB.TrustLocks()
	s := &Service{db: deps.DB, register: deps.Register, logger: deps.Logger}
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { devfundv1.RegisterDevfundServiceServer(server, s) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
