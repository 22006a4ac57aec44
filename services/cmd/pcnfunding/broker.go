package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// events says which broker carries them.
type events struct {
	NATS        string `name:"nats" help:"Broker to use in place of an embedded one." placeholder:"nats://..."`
	Listen      string `name:"nats-listen" help:"Address of the embedded broker; empty for this process only." default:"127.0.0.1:4222"`
	Creds       string `name:"nats-creds" help:"Credentials file for the broker, or the folder of them that nats init wrote, with SERVICE.creds for each." type:"path"`
	Copies      int    `name:"nats-replicas" help:"Copies of each stream." default:"1"`
	MaxBytes    int64  `name:"nats-max-bytes" help:"Bytes that a stream may come to; then it refuses events, which wait in the database. 0 for no bound of its own." default:"0"`
	NATSCA      string `name:"nats-ca-file" help:"PEM file of the authorities that sign the broker's certificate; with it the connection is TLS." type:"path"`
	NATSCert    string `name:"nats-cert-file" help:"PEM file of the certificate shown to the broker, if it asks for one." type:"path"`
	NATSKey     string `name:"nats-key-file" help:"PEM file of the key of --nats-cert-file." type:"path"`
	Monitor     string `name:"nats-monitor" help:"Monitoring endpoint of the broker, from which the doctor reads whether messages are synced." placeholder:"http://nats:8222"`
	AccountKey  string `name:"nats-account-key-file" help:"Key file of nats init that signs credentials of partners; for partners only." type:"path"`
	SystemCreds string `name:"nats-system-creds" help:"Credentials of nats init that revoke those of partners; for partners only." type:"path"`
}

// checkEvents refuses combinations that cannot run.
func (e *events) checkEvents(names []string) error {
	switch {
	case e.NATS == "" && e.Listen != "" && !onLoopback(e.Listen):
		return fmt.Errorf("%s can be reached from elsewhere: what the embedded broker says is not encrypted; use --nats", e.Listen)
	case (e.NATSCert == "") != (e.NATSKey == ""):
		return errors.New("--nats-cert-file and --nats-key-file go together")
	case e.NATS != "" && e.AccountKey == "" && slices.Contains(names, partners.Name):
		return errors.New("serve partners needs --nats-account-key-file with --nats: it signs the credentials of partners")
	}
	return nil
}

// busConfig is how a service reaches the broker; server is the embedded one, or nil.
func (e *events) busConfig(name string, server *bus.Server) bus.Config {
	return bus.Config{
		URL: e.NATS, Server: server, User: brokerUser(name), CredentialsFile: credentialsOf(e.Creds, name),
		CAFile: e.NATSCA, CertFile: e.NATSCert, KeyFile: e.NATSKey, Replicas: e.Copies, MaxBytes: e.MaxBytes, Monitor: e.Monitor,
		Name: "pcnfunding-" + name,
	}
}

// credentialsOf returns the file of a service where path names a folder of them, and otherwise path.
func credentialsOf(path, name string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, name+".creds")
	}
	return path
}

// brokerUser is a service at the broker, with no more rights than its work takes.
func brokerUser(name string) natsauth.User {
	switch name {
	case payments.Name:
		return bus.ServiceUser(name, core.Name, arrs.Name, iif.Name, devfund.Name)
	case partners.Name:
		others := slices.DeleteFunc(slices.Clone(serviceNames), func(other string) bool { return other == name })
		return manager(bus.ServiceUser(name, others...))
	}
	return bus.ServiceUser(name)
}

// listener is the person at the machine of a local run: everything can be read, and nothing of the suite changed.
func listener() natsauth.User { return manager(natsauth.User{Name: "listener"}) }

// operator is whoever holds streams against databases: every message can be read, and a stream deleted that is to be rebuilt.
func operator() natsauth.User {
	return manager(natsauth.User{Name: "operator", Publish: []string{"$JS.API.INFO", "$JS.API.STREAM.MSG.GET.*", "$JS.API.STREAM.DELETE.*"}})
}

// localCredentials is the file that the embedded broker of a data folder keeps for a user.
func localCredentials(dataDir string, u natsauth.User) string {
	return filepath.Join(dataDir, "events", u.Name+".creds")
}

// manager lets a user make consumers of its own on every stream, and leave those of the other services alone.
func manager(u natsauth.User) natsauth.User {
	u.Manage, u.Spare = true, []string{payments.Name}
	return u
}

// startBroker starts the embedded broker unless there is one elsewhere, and writes down how the person at the machine gets in.
func (p *process) startBroker() (err error) {
	s := p.command
	if s.NATS != "" {
		return nil
	}
	dir := filepath.Join(s.DataDir, "events")
	if p.broker, err = bus.StartServer(bus.ServerConfig{StoreDir: dir, Listen: s.Listen, Logger: p.telling.Logger}); err != nil {
		return err
	}
	p.group.Add("broker", nil, func(context.Context) error { p.broker.Stop(); return nil })
	for _, user := range []natsauth.User{listener(), operator()} {
		creds, err := p.broker.Credentials(user)
		if err != nil {
			return err
		}
		if err := os.WriteFile(localCredentials(s.DataDir, user), creds, 0o600); err != nil {
			return fmt.Errorf("write the credentials of %s: %w", user.Name, err)
		}
	}
	return nil
}

// eventsURL is where clients reach the broker, or an empty string if only this process can.
func (p *process) eventsURL() string {
	if p.broker != nil {
		return p.broker.ClientURL()
	}
	return p.command.NATS
}

// connectBroker opens the connection of a service, with its own rights.
func (p *process) connectBroker(ctx context.Context, name string) (*bus.Bus, error) {
	config := p.command.busConfig(name, p.broker)
	config.Logger = p.telling.Logger
	broker, err := bus.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	p.buses[name] = broker
	p.group.Add(name+" events connection", nil, func(context.Context) error { broker.Close(); return nil })
	return broker, nil
}

// declareStream makes the stream of a service. A broker that is away is met again by the relay, which makes the stream before it
// publishes. A stream that is otherwise than it should be is an alarm, and degraded in the status, but no reason to serve nobody.
func (p *process) declareStream(ctx context.Context, name string) {
	stream := bus.ServiceStream(name)
	err := p.buses[name].EnsureStream(ctx, stream)
	if drifted, ok := errors.AsType[*bus.DriftError](err); ok {
		p.telling.Logger.ErrorContext(ctx, "the stream can lose or change events", "stream", stream.Name, "settings", drifted.Settings)
	} else if err != nil {
		p.telling.Logger.WarnContext(ctx, "the stream is not there yet", "stream", stream.Name, "error", err)
	}
}
