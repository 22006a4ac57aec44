package arrs

import (
	"context"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "arrs"

// Deps is what arrs needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
	// PersonKey keys the pseudonyms of persons: at least 32 bytes, the same as long as the data lives.
	PersonKey []byte
}

// Service answers ArrsService.
type Service struct {
	arrsv1.UnimplementedArrsServiceServer

	db        *sqldb.DB
	register  registerv1.RegisterServiceClient
	logger    *slog.Logger
	personKey []byte
	// held is the tables as they were read last; figures are only added, so their last position tells whether they still stand.
	held atomic.Pointer[schemeAt]
}

// New makes the service over a migrated database and seeds its figures: versions the database lacks are added, none is changed.
// Whatever changes a PCN's money holds that PCN's lock before it reads what it decides on, so the database's writes rest on locks.
func New(ctx context.Context, deps Deps) (*Service, error) {
	deps.DB.TrustLocks()
	s := &Service{db: deps.DB, register: deps.Register, logger: deps.Logger, personKey: deps.PersonKey}
	if err := s.seed(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { arrsv1.RegisterArrsServiceServer(server, s) }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
