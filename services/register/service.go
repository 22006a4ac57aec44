package register

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
	"github.com/pcnfunding/pcnfunding/services/register/internal/tables"
)

// Name is the name of the service: of its subcommand, its database schema and its stream.
const Name = "register"

// aggregateOf names what an event of a load is about: the register as a whole, or the part recorded for one commissioner.
func aggregateOf(commissioner string) string {
	if commissioner == "" {
		return Name
	}
	return Name + "/" + commissioner
}

// Deps is what the service needs.
type Deps struct {
	// DB is the service's database, migrated with Migrations.
	DB *sqldb.DB
	// Logger receives what goes wrong beside answers; nil discards it.
	Logger *slog.Logger
	// SpoolDir is where uploads are kept while they are read; empty means the system's directory for temporary files.
	SpoolDir string
	// ReminderDays are the days before something falls due on which a reminder is sent; none means 14 and 1.
	ReminderDays []int
}

// Service is the register.
type Service struct {
	registerv1.UnimplementedRegisterServiceServer

	db       *sqldb.DB
	logger   *slog.Logger
	spoolDir string
	windows  []rules.Window
	pictures *pictures
	holidays *rules.Holidays

	reminderDays []int
}

// New makes the service over a migrated database and loads the program's own table of commissioners, unless that was done
// before; a new edition of the program brings it as a new load.
func New(ctx context.Context, d Deps) (*Service, error) {
	windows, err := tables.Windows()
	if err != nil {
		return nil, fmt.Errorf("table of opt-out windows: %w", err)
	}
	holidays, err := tables.Holidays()
	if err != nil {
		return nil, err
	}
	if len(d.ReminderDays) == 0 {
		d.ReminderDays = defaultReminderDays
	}
	for _, days := range d.ReminderDays {
		if days < 0 || days > remindersFor {
			return nil, fmt.Errorf("a reminder is sent 0 to %d days before something falls due, not %d", remindersFor, days)
		}
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		db: d.DB, logger: d.Logger, spoolDir: d.SpoolDir, windows: windows, pictures: newPictures(), holidays: holidays, reminderDays: d.ReminderDays,
	}
	if err := s.seed(ctx); err != nil {
		return nil, fmt.Errorf("load the table of commissioners: %w", err)
	}
	if err := s.seedTracker(ctx); err != nil {
		return nil, fmt.Errorf("take in requirements and calendar: %w", err)
	}
	return s, nil
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { registerv1.RegisterRegisterServiceServer(server, s) }

// Migrations returns the numbered files that make the service's tables.
func Migrations() fs.FS { return store.Migrations() }
