package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/resolver/dns"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/lifecycle"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/services/activity"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/gateway"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// resolveEvery is how soon after one look at a service's addresses another may follow. The library's 30 s are longer than it takes to
// replace all processes of a service, after which none that a client knows would be left.
const resolveEvery = time.Second

type serveCommand struct {
	storage         `embed:""`
	identity        `embed:""`
	transport       `embed:""`
	events          `embed:""`
	partnersOptions `embed:""`

	Service     string        `arg:"" default:"all" help:"all, register, core, arrs, iif, devfund, activity, payments, partners or gateway."`
	Sample      bool          `help:"Load the sample data and close its months first, unless that was done before."`
	Claims      bool          `name:"sample-claims" help:"Model a month of claims from the published workforce with the sample." default:"true" negatable:""`
	ClaimsOf    []string      `name:"sample-claims-of" help:"Commissioners whose claims the sample models; all of them if none is named." placeholder:"CODE"`
	Achievement bool          `name:"sample-iif" help:"Work a year of the Investment and Impact Fund out with the sample." default:"true" negatable:""`
	Development bool          `name:"sample-devfund" help:"Take the development fund down to networks with the sample, and a modelled plan into a schedule." default:"true" negatable:""`
	Attendances bool          `name:"sample-activity" help:"Model a month of A&E attendances from those that providers publish with the sample." default:"true" negatable:""`
	Migrate     bool          `help:"Bring schemas up to date before serving." default:"true" negatable:""`
	GRPC        string        `name:"grpc" help:"Address of the gRPC server." default:"127.0.0.1:9090"`
	HTTP        string        `name:"http" help:"Address of REST, reference page, health and metrics." default:"127.0.0.1:8080"`
	Ops         string        `name:"ops" help:"Address of health, status and metrics apart from REST; empty for that of REST." placeholder:"127.0.0.1:9091"`
	Rate        int           `name:"rate-limit" help:"Calls a second that one subject may make; 0 for no bound." default:"500"`
	Notice      time.Duration `name:"drain-notice" help:"How long to go on serving after the signal to stop, so that load balancers notice." default:"0s"`

	Reminders []int  `name:"reminder-days" help:"Days before something of the planning calendar falls due on which an event reminds of it." default:"14,1"`
	PersonKey string `name:"person-key-file" help:"File with the key of the pseudonyms of persons, at least 32 bytes; without one a key is made in the data folder, unless --database-url names a database." type:"path"`
	Accounts  string `name:"accounts-file" help:"CSV file with the bank accounts behind tokens (token, name, sort_code, account_number), for bank files." type:"path"`

	RegisterAddress string `help:"gRPC address of register, where it runs elsewhere." placeholder:"dns:///register:9090"`
	CoreAddress     string `help:"gRPC address of core, where it runs elsewhere." placeholder:"dns:///core:9090"`
	ArrsAddress     string `help:"gRPC address of arrs, where it runs elsewhere." placeholder:"dns:///arrs:9090"`
	IifAddress      string `help:"gRPC address of iif, where it runs elsewhere." placeholder:"dns:///iif:9090"`
	DevfundAddress  string `help:"gRPC address of devfund, where it runs elsewhere." placeholder:"dns:///devfund:9090"`
	ActivityAddress string `help:"gRPC address of activity, where it runs elsewhere." placeholder:"dns:///activity:9090"`
	PaymentsAddress string `help:"gRPC address of payments, where it runs elsewhere." placeholder:"dns:///payments:9090"`

	quiet bool
	log   io.Writer // nil is the standard error stream
}

// Validate refuses combinations that cannot run.
func (s *serveCommand) Validate() error {
	names, err := chosen(s.Service)
	if err != nil {
		return err
	}
	if err := s.reaches(); err != nil {
		return err
	}
	if s.DatabaseURL != "" && s.PersonKey == "" && slices.Contains(names, arrs.Name) {
		return errors.New("--person-key-file is needed with --database-url: processes that share a database must know a person by the same pseudonym")
	}
	if s.Sample && s.Service != "all" {
		return errors.New("--sample goes with serve all")
	}
	if err := s.wholeOrNone(); err != nil {
		return err
	}
	for _, address := range []string{s.HTTP, s.GRPC, cmp.Or(s.Ops, s.HTTP)} {
		if s.OIDCIssuer == "" && !onLoopback(address) {
			return fmt.Errorf("%s can be reached from elsewhere: --oidc-issuer is needed there, for the local key is for one machine only", address)
		}
		if err := s.mayListen(address); err != nil {
			return err
		}
	}
	return s.checkEvents(names)
}

// reaches refuses a service alone that calls others and is not told where they run.
func (s *serveCommand) reaches() error {
	needed := map[string][]string{
		core.Name:     {register.Name},
		arrs.Name:     {register.Name},
		iif.Name:      {register.Name},
		devfund.Name:  {register.Name},
		activity.Name: {register.Name},
		payments.Name: {register.Name},
		partners.Name: {register.Name},
		gatewayName:   serviceNames,
	}
	addresses := s.addresses()
	for _, name := range needed[s.Service] {
		if addresses[name] == "" {
			return fmt.Errorf("serve %s needs --%s-address, for %s runs elsewhere", s.Service, name, name)
		}
	}
	return nil
}

// addresses are those of the services that run elsewhere.
func (s *serveCommand) addresses() map[string]string {
	return map[string]string{
		register.Name: s.RegisterAddress,
		core.Name:     s.CoreAddress,
		arrs.Name:     s.ArrsAddress,
		iif.Name:      s.IifAddress,
		devfund.Name:  s.DevfundAddress,
		activity.Name: s.ActivityAddress,
		payments.Name: s.PaymentsAddress,
		partners.Name: s.PartnersAddress,
	}
}

// onLoopback tells whether only this machine can reach an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Run serves until a signal comes.
func (s *serveCommand) Run(ctx context.Context) error {
	dns.SetMinResolutionInterval(resolveEvery)
	process, err := s.assemble(ctx)
	if err != nil {
		return err
	}
	switch {
	case s.Sample:
		process.group.Add("sample", func(ctx context.Context) error { return process.showSample(ctx) }, nil)
	case s.Service == allName && s.OIDCIssuer == "":
		// Anywhere else what is printed is a log, and is read as one.
		process.group.Add("greeting", func(context.Context) error { process.greet(); return nil }, nil)
	}
	return errors.Join(process.group.Run(ctx), process.shutdown(context.WithoutCancel(ctx)))
}

// getenv reads the environment; a run of a command that ends by itself logs warnings only, unless told otherwise.
func (s *serveCommand) getenv(name string) string {
	value := os.Getenv(name)
	if name == telemetry.EnvLogLevel && value == "" && s.quiet {
		return "warn"
	}
	return value
}

// process is what one run is made of.
type process struct {
	command  *serveCommand
	group    *lifecycle.Group
	shutdown func(context.Context) error
	issuer   *auth.LocalIssuer
	telling  *telemetry.Telemetry
	grpcAddr string
	httpAddr string
	opsAddr  string
	broker   *bus.Server // nil for one elsewhere
	buses    map[string]*bus.Bus
	stores   map[string]*sqldb.DB
	checks   *rpc.Readiness
	certs    *certs.Source                       // nil in clear text
	sealing  *partners.Keys                      // nil for none
	behind   map[string]grpc.ClientConnInterface // the services behind a gateway alone
}

// assemble opens what the services chosen need and puts their parts in the order in which they start.
func (s *serveCommand) assemble(ctx context.Context) (*process, error) {
	names, err := chosen(s.Service)
	if err != nil {
		return nil, err
	}
	telling, shutdown, err := telemetry.OpenWith(ctx, telemetry.Options{Service: "pcnfunding-" + s.Service, Version: version, Getenv: s.getenv, Output: s.log})
	if err != nil {
		return nil, err
	}
	p := &process{command: s, shutdown: shutdown, telling: telling, stores: make(map[string]*sqldb.DB), buses: make(map[string]*bus.Bus)}
	p.group = lifecycle.New(lifecycle.Options{Logger: telling.Logger, Notice: s.Notice})
	if err := p.openCerts(); err != nil {
		return nil, err
	}
	verifier, issuer, err := s.verifier(ctx, s.DataDir)
	if err != nil {
		return nil, err
	}
	p.issuer = issuer
	if slices.ContainsFunc(names, func(n string) bool { return n != gatewayName }) {
		if err := p.addServices(ctx, names, verifier); err != nil {
			return nil, err
		}
	}
	if err := p.addMetrics(names); err != nil {
		return nil, err
	}
	if slices.Contains(names, gatewayName) {
		return p, p.addGateway(ctx)
	}
	return p, p.addHTTP("http", cmp.Or(s.Ops, s.HTTP), &p.opsAddr, p.operations())
}

// addServices adds the gRPC server with its services, their databases, and what carries their events.
func (p *process) addServices(ctx context.Context, names []string, verifier auth.Verifier) error {
	s, tell := p.command, p.telling
	if s.NATS == "" || s.DatabaseURL == "" {
		release, err := s.lock()
		if err != nil {
			return err
		}
		p.group.Add("data folder", nil, func(context.Context) error { return release() })
	}
	if err := p.startBroker(); err != nil {
		return err
	}
	observe, err := observeCalls(tell.Meter.Meter("calls"), names)
	if err != nil {
		return err
	}
	server, err := rpc.NewServer(rpc.ServerOptions{
		Logger: tell.Logger, Verifier: verifier, Meter: tell.Meter, Tracer: tell.Tracer, Clock: time.Now, Observe: observe,
		RatePerSecond: s.Rate, RateBurst: 2 * s.Rate, Certs: p.certs, Self: p.self(),
	})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.GRPC)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	p.grpcAddr = listener.Addr().String()
	checks := make(map[string]rpc.Check)
	for _, name := range names {
		if name == gatewayName {
			continue
		}
		db, err := p.addService(ctx, name, server)
		if err != nil {
			return err
		}
		checks["pcnfunding."+name+".v1."+strings.ToUpper(name[:1])+name[1:]+"Service"] = db.Ping
	}
	p.checks = rpc.Health(server, tell.Logger, checks)
	reflection.Register(server)
	p.group.OnDrain(p.checks.Drain)
	p.group.Add("health", p.checks.Run, nil)
	p.group.Add("grpc", func(context.Context) error { return served(server.Serve(listener)) }, func(ctx context.Context) error {
		return rpc.Stop(ctx, server, 20*time.Second)
	})
	return nil
}

func served(err error) error {
	if errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// dial connects to a service elsewhere, or to the server of this process.
func (p *process) dial(service, address string) (*grpc.ClientConn, error) {
	if address == "" {
		address = "passthrough:///" + p.grpcAddr
	}
	if err := p.command.mayDial(address); err != nil {
		return nil, err
	}
	return rpc.Dial(address, rpc.DialOptions{Meter: p.telling.Meter, Tracer: p.telling.Tracer, TLS: clientTLS(p.certs, service)})
}

// addGateway adds REST, the reference page and the operations endpoints.
func (p *process) addGateway(ctx context.Context) error {
	s, tell := p.command, p.telling
	conns := make(map[string]grpc.ClientConnInterface)
	for name, address := range s.addresses() {
		conn, err := p.dial(name, address)
		if err != nil {
			return err
		}
		conns[name] = conn
	}
	if s.Service == gatewayName {
		p.behind = conns
	}
	deps := gateway.Deps{
		Conn: func(name string) grpc.ClientConnInterface { return conns[name] }, Logger: tell.Logger,
		Ready: p.ready, Status: p.status, Metrics: tell.MetricsHandler, Version: version, Clock: time.Now, Tracer: tell.Tracer, Meter: tell.Meter,
	}
	if s.Ops != "" {
		deps.Status, deps.Metrics = nil, nil
	}
	if p.issuer != nil {
		deps.PublicJWKS = p.issuer.JWKS()
	}
	handler, err := gateway.New(ctx, deps)
	if err != nil {
		return err
	}
	if err := p.addHTTP("http", s.HTTP, &p.httpAddr, handler); err != nil || s.Ops == "" {
		return err
	}
	return p.addHTTP("operations", s.Ops, &p.opsAddr, p.operations())
}

// ready tells whether traffic may come: started, not stopping, and its own databases answer. Neither the broker nor other
// services count, for that would spread one outage to all.
func (p *process) ready(ctx context.Context) error {
	if !p.group.Ready() {
		return errors.New("starting or stopping")
	}
	if p.checks == nil {
		return nil
	}
	return p.checks.Ready(ctx)
}

// addHTTP adds a server of HTTP and notes the address that it got.
func (p *process) addHTTP(name, address string, got *string, handler http.Handler) error {
	listener, err := p.listenHTTP(context.Background(), address)
	if err != nil {
		return err
	}
	*got = listener.Addr().String()
	server := gateway.NewHTTPServer(*got, handler, p.telling.Logger)
	p.group.Add(name, func(context.Context) error { return served(server.Serve(listener)) }, server.Shutdown)
	return nil
}
