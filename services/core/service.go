package core

import (
	"context"
	"io/fs"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "core"

// Deps is what core needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
}

// Service answers CoreService.
type Service struct {
	corev1.UnimplementedCoreServiceServer

	db       *sqldb.DB
	register registerv1.RegisterServiceClient
	logger   *slog.Logger
}

// New makes the service over a migrated database and seeds its rate tables: versions the database lacks are added, none is
// changed.
func New(ctx context.Context, deps Deps) (*Service, error) {
	s := &Service{db: deps.DB, register: deps.Register, logger: deps.Logger}
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { corev1.RegisterCoreServiceServer(server, s) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
