package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

// partnersOptions say where partners runs, and how.
type partnersOptions struct {
	PartnersAddress string `help:"gRPC address of partners, where it runs elsewhere." placeholder:"dns:///partners:9090"`
	WebhookKey      string `name:"webhook-key-file" help:"File with the keys that seal the secrets of webhooks: lines of an id and 32 bytes in base64, of which the first seals; without one a key is made in the data folder, unless --database-url names a database, and then nobody can have a webhook." type:"path"`
	WebhookCA       string `name:"webhook-ca-file" help:"PEM file with the authorities that receivers' certificates are held against, in place of those of the system." type:"path"`
	WebhookPrivate  bool   `name:"webhook-private" help:"Let webhooks lead to this machine and to private networks. For development and tests only."`
}

// addPartners adds the service that lets systems of other organisations follow events, and returns what its upkeep does besides.
func (p *process) addPartners(of parts) (forget func(context.Context) error, err error) {
	keys, err := p.command.webhookKeys()
	if err != nil {
		return nil, err
	}
	p.sealing = keys
	roots, err := p.command.webhookRoots()
	if err != nil {
		return nil, err
	}
	authority, err := p.authority()
	if err != nil {
		return nil, err
	}
	service := partners.New(partners.Deps{
		DB: of.db, Register: of.register, Logger: p.telling.Logger, Meter: p.telling.Meter.Meter("inbox." + partners.Name),
		Clock: time.Now, Keys: keys, Authority: authority, JetStream: of.broker.JetStream(), Roots: roots, PrivateWebhooks: p.command.WebhookPrivate,
	})
	service.Register(of.server)
	p.group.Add(partners.Name+" events", func(ctx context.Context) error { return service.Run(ctx, of.broker) }, nil)
	return service.Upkeep, nil
}

// authority opens what signs and revokes the credentials of partners.
func (p *process) authority() (partners.Authority, error) {
	s := p.command
	authority, end, err := bus.OpenAuthority(s.busConfig(partners.Name, p.broker), s.AccountKey, s.SystemCreds)
	if err != nil {
		return nil, err
	}
	p.group.Add(partners.Name+" authority", func(ctx context.Context) error { p.declareAccounts(ctx, authority); return nil },
		func(context.Context) error { end(); return nil })
	return authority, nil
}

// declareAgain is how long to wait before the accounts of the broker are declared again that could not be.
const declareAgain = 5 * time.Second

// declareAccounts brings the accounts of the broker up to what this release needs, however long the broker is away. Keys that do not
// sign accounts leave them to nats init.
func (p *process) declareAccounts(ctx context.Context, authority *natsauth.Authority) {
	for {
		err := authority.Declare(ctx)
		if err == nil || errors.Is(err, natsauth.ErrCannotRevoke) {
			return
		}
		p.telling.Logger.WarnContext(ctx, "the accounts of the broker are not declared yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(declareAgain):
		}
	}
}

// webhookKeys reads the keys of the secrets of webhooks, and makes one in the data folder if no file is named and the database is there too.
func (s *serveCommand) webhookKeys() (*partners.Keys, error) {
	name := s.WebhookKey
	if name == "" {
		if s.DatabaseURL != "" {
			return nil, nil //nolint:nilnil // no key is a choice, which the service tells those who ask for a webhook
		}
		name = filepath.Join(s.DataDir, "webhook.key")
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(name, partners.NewKey("local"), 0o600); err != nil {
				return nil, fmt.Errorf("keep the key of webhooks: %w", err)
			}
		}
	}
	text, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the keys of webhooks: %w", err)
	}
	keys, err := partners.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("read the keys of webhooks in %s: %w", name, err)
	}
	return keys, nil
}

// webhooks tells whether every webhook's secret can be opened.
func webhooks(ctx context.Context, db *sqldb.DB, keys *partners.Keys) error {
	n, err := partners.Unopened(ctx, db, keys)
	if err == nil && n > 0 {
		err = fmt.Errorf("the secrets of %d webhooks are sealed under a key that is not here, so nothing is sent to them", n)
	}
	return err
}

// webhookRoots reads the authorities of receivers' certificates; nil means those of the system.
func (s *serveCommand) webhookRoots() (*x509.CertPool, error) {
	if s.WebhookCA == "" {
		return nil, nil //nolint:nilnil // nil is what tells the client to use the system's
	}
	text, err := os.ReadFile(s.WebhookCA)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of receivers: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", s.WebhookCA)
	}
	return roots, nil
}
