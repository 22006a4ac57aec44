package activity

import (
	"context"
	"io/fs"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "activity"

// Deps is what activity needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
}

// Service answers ActivityService.
type Service struct {
	activityv1.UnimplementedActivityServiceServer

	db       *sqldb.DB
	register registerv1.RegisterServiceClient
	logger   *slog.Logger
}

// New makes the service over a migrated database and seeds its figures: versions the database lacks are added, none is changed. Whatever
// numbers things holds a lock before it reads what it decides on, so the database's writes rest on locks.
func New(ctx context.Context, deps Deps) (*Service, error) {
	deps.DB.TrustLocks()
	s := &Service{db: deps.DB, register: deps.Register, logger: deps.Logger}
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { activityv1.RegisterActivityServiceServer(server, s) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
