package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/activity"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// sealInterval is how often new audit entries are sealed.
const sealInterval = time.Minute

// pruneInterval is how often answers and sent events are forgotten that are older than they must be kept.
const pruneInterval = 6 * time.Hour

// parts are what a service is made of.
type parts struct {
	db       *sqldb.DB
	register registerv1.RegisterServiceClient // nil for register itself
	broker   *bus.Bus
	server   *grpc.Server
}

// addService adds one service with its database, its relay and the sealing of its audit log.
func (p *process) addService(ctx context.Context, name string, server *grpc.Server) (*sqldb.DB, error) {
	broker, err := p.connectBroker(ctx, name)
	if err != nil {
		return nil, err
	}
	db, err := p.openStore(ctx, name)
	if err != nil {
		return nil, err
	}
	of := parts{db: db, broker: broker, server: server}
	if name != register.Name {
		conn, err := p.dial(register.Name, p.command.RegisterAddress)
		if err != nil {
			return nil, err
		}
		of.register = registerv1.NewRegisterServiceClient(conn)
	}
	forget, err := p.assemble(ctx, name, of)
	if err != nil {
		return nil, err
	}
	relay := outbox.NewRelay(db, broker, outbox.RelayOptions{
		Source: "/pcnfunding/" + name, Logger: p.telling.Logger, Meter: p.telling.Meter.Meter("outbox." + name), Tracer: p.telling.Tracer,
	})
	p.group.Add(name+" relay", func(ctx context.Context) error {
		p.declareStream(ctx, name)
		return relay.Run(ctx)
	}, nil)
	p.group.Add(name+" upkeep", func(ctx context.Context) error { return upkeep(ctx, db, p.telling, forget) }, nil)
	return db, nil
}

// openStore opens the database of a service, which is migrated here or was before.
func (p *process) openStore(ctx context.Context, name string) (*sqldb.DB, error) {
	db, err := p.command.open(ctx, name)
	if err != nil {
		return nil, err
	}
	p.stores[name] = db
	if err := db.Measure(p.telling.Meter.Meter("database."+name), name); err != nil {
		return nil, err
	}
	p.group.Add(name+" database", nil, func(context.Context) error { return db.Close() })
	if p.command.Migrate {
		return db, migrate(ctx, db, name)
	}
	if err := db.CheckVersion(ctx, migrations(name)); err != nil {
		return nil, fmt.Errorf("%s cannot serve: %w", name, err)
	}
	return db, nil
}

// assemble makes a service of its parts, and returns what its upkeep forgets besides what that of every service does.
func (p *process) assemble(ctx context.Context, name string, of parts) (forget func(context.Context) error, err error) {
	log, nothing := p.telling.Logger, func(context.Context) error { return nil }
	switch name {
	case register.Name:
		service, err := register.New(ctx, register.Deps{DB: of.db, Logger: log, ReminderDays: p.command.Reminders})
		if err == nil {
			p.group.Add(name+" reminders", service.Run, nil)
		}
		return nothing, answer(of.server, service, err)
	case core.Name:
		service, err := core.New(ctx, core.Deps{DB: of.db, Register: of.register, Logger: log})
		return nothing, answer(of.server, service, err)
	case arrs.Name:
		key, err := p.command.personKey()
		if err != nil {
			return nil, err
		}
		service, err := arrs.New(ctx, arrs.Deps{DB: of.db, Register: of.register, Logger: log, PersonKey: key})
		return service.Upkeep, answer(of.server, service, err)
	case iif.Name:
		service, err := iif.New(ctx, iif.Deps{DB: of.db, Register: of.register, Logger: log})
		return nothing, answer(of.server, service, err)
	case devfund.Name:
		service, err := devfund.New(ctx, devfund.Deps{DB: of.db, Register: of.register, Logger: log})
		return nothing, answer(of.server, service, err)
	case activity.Name:
		service, err := activity.New(ctx, activity.Deps{DB: of.db, Register: of.register, Logger: log})
		return nothing, answer(of.server, service, err)
	case payments.Name:
		p.addPayments(of)
		return nothing, nil
	case partners.Name:
		return p.addPartners(of)
	default:
		return nil, fmt.Errorf("there is no service %s", name)
	}
}

// answer has a server answer the calls of a service, unless making it failed.
func answer(server *grpc.Server, service interface{ Register(*grpc.Server) }, err error) error {
	if err == nil {
		service.Register(server)
	}
	return err
}

// addPayments adds the service that takes in the events of the others.
func (p *process) addPayments(of parts) {
	deps := payments.Deps{
		DB: of.db, Logger: p.telling.Logger, Meter: p.telling.Meter.Meter("inbox." + payments.Name), Tracer: p.telling.Tracer, Register: of.register,
	}
	if p.command.Accounts != "" {
		deps.Accounts = payments.AccountFile(p.command.Accounts)
	}
	service := payments.New(deps)
	service.Register(of.server)
	p.group.Add(payments.Name+" events", func(ctx context.Context) error { return service.Run(ctx, of.broker) }, nil)
	p.group.Add(payments.Name+" figures", service.Watch, nil)
}

// upkeep seals new audit entries and forgets what is past its time, now and then until the context ends.
func upkeep(ctx context.Context, db *sqldb.DB, tell *telemetry.Telemetry, forget func(context.Context) error) error {
	seal, tidy := time.NewTicker(sealInterval), time.NewTicker(pruneInterval)
	defer seal.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-seal.C:
			if _, err := audit.Seal(ctx, db); err != nil {
				tell.Logger.WarnContext(ctx, "audit entries are not sealed yet", "error", err)
			}
		case <-tidy.C:
			if err := errors.Join(prune(ctx, db), forget(ctx)); err != nil {
				tell.Logger.WarnContext(ctx, "what is past its time is still kept", "error", err)
			}
		}
	}
}

// prune forgets answers and events that are older than they must be kept.
func prune(ctx context.Context, db *sqldb.DB) error {
	before := db.Now().Add(-idempotency.Keep)
	_, answers := idempotency.Prune(ctx, db, before)
	_, events := outbox.Prune(ctx, db, before)
	_, seen := inbox.Prune(ctx, db, before)
	return errors.Join(answers, events, seen)
}
