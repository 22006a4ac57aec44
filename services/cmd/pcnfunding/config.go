package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/activity"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// serviceNames are the services with a database, in the order in which they start.
var serviceNames = []string{
	register.Name,
	core.Name,
	arrs.Name,
	iif.Name,
	devfund.Name,
	activity.Name,
	payments.Name,
	partners.Name,
}

// gatewayName is the service without one.
const gatewayName = "gateway"

// storage says where services keep their data.
type storage struct {
	DataDir     string `help:"Folder of the embedded stores and the local key." default:"var" type:"path"`
	DatabaseURL string `help:"Postgres to use in place of embedded files; each service has its own schema. {service} stands for its name." placeholder:"postgres://..."`
	// DatabaseRole narrows what sessions may do where all services log in as the same role.
	DatabaseRole string `help:"Role that sessions on Postgres act as, such as pcn_{service}; without one, that which logs in." placeholder:"ROLE"`
}

// serviceMark stands for the name of a service in an address or a role.
const serviceMark = "{service}"

func ofService(text, service string) string { return strings.ReplaceAll(text, serviceMark, service) }

// open opens the database of a service.
func (s *storage) open(ctx context.Context, service string) (*sqldb.DB, error) {
	url := ofService(s.DatabaseURL, service)
	if url == "" {
		if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
		url = "sqlite:" + filepath.Join(s.DataDir, service+".db")
	}
	db, err := sqldb.Open(ctx, url, sqldb.Options{
		Schema: service, Role: ofService(s.DatabaseRole, service), Clock: time.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("open the database of %s: %w", service, err)
	}
	return db, nil
}

// lock keeps a second suite off the embedded stores of a folder: two brokers on one store would lose events. The lock ends with
// the process, however it ends.
func (s *storage) lock() (release func() error, err error) {
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(s.DataDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another suite: stop it, or give another --data-dir", s.DataDir), file.Close())
	}
	return file.Close, nil
}

// migrations are the numbered schema changes of a service.
func migrations(service string) fs.FS {
	files := register.Migrations()
	switch service {
	case core.Name:
		files = core.Migrations()
	case arrs.Name:
		files = arrs.Migrations()
	case iif.Name:
		files = iif.Migrations()
	case devfund.Name:
		files = devfund.Migrations()
	case activity.Name:
		files = activity.Migrations()
	case payments.Name:
		files = payments.Migrations()
	case partners.Name:
		files = partners.Migrations()
	}
	return files
}

// migrate brings the schema of a service up to date.
func migrate(ctx context.Context, db *sqldb.DB, service string) error {
	if err := db.Migrate(ctx, migrations(service)); err != nil {
		return fmt.Errorf("migrate %s: %w", service, err)
	}
	return nil
}

// identity says whose tokens are believed.
type identity struct {
	OIDCIssuer   string `help:"Issuer of tokens; without one a local key in the data folder is used, which is for one machine only." placeholder:"https://..."`
	OIDCAudience string `help:"Audience a token must name." default:"pcnfunding"`
}

// verifier returns what checks tokens, and the local issuer if there is no other.
func (i *identity) verifier(ctx context.Context, dataDir string) (auth.Verifier, *auth.LocalIssuer, error) {
	if i.OIDCIssuer != "" {
		verifier, err := auth.NewOIDC(ctx, i.OIDCIssuer, i.OIDCAudience, time.Now)
		return verifier, nil, err
	}
	local, err := auth.OpenLocalIssuer(dataDir, time.Now)
	return local, local, err
}

// chosen returns the services that a name stands for.
func chosen(name string) ([]string, error) {
	all := append(slices.Clone(serviceNames), gatewayName)
	switch {
	case name == "all":
		return all, nil
	case slices.Contains(all, name):
		return []string{name}, nil
	default:
		return nil, fmt.Errorf("there is no service %q: all, register, core, arrs, iif, devfund, activity, payments, partners or gateway", name)
	}
}

type migrateCommand struct {
	storage `embed:""`
	Service string `arg:"" default:"all" help:"all, register, core, arrs, iif, devfund, activity, payments or partners."`
	AppRole string `help:"Role that is granted what the service needs, no more; {service} stands for its name. Without this flag, pcn_{service} where there is such a role." placeholder:"ROLE"`
	Owner   string `name:"owner-role" help:"Role that --print-roles makes to migrate with and to own what is made so." default:"pcn_owner"`
	Print   bool   `name:"print-roles" help:"Print the SQL with which an administrator makes the roles and schemas, and do nothing else."`
}

// Run migrates the services chosen, and grants their roles what they need.
func (m *migrateCommand) Run(ctx context.Context) error {
	names, err := chosen(m.Service)
	if err != nil {
		return err
	}
	if m.Print {
		return m.printRoles(os.Stdout, names)
	}
	for _, name := range names {
		if name == gatewayName {
			continue
		}
		if err := m.one(ctx, name); err != nil {
			return err
		}
		fmt.Println("migrated", name)
	}
	return nil
}

func (m *migrateCommand) one(ctx context.Context, name string) (err error) {
	db, err := m.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := migrate(ctx, db, name); err != nil {
		return err
	}
	return m.grant(ctx, db, name)
}

// keyBytes is the least length of a key, and that of one that is made.
const keyBytes = 32

// personKey reads the key of the pseudonyms of persons, and makes one in the data folder if no file is named.
func (s *serveCommand) personKey() ([]byte, error) {
	name := s.PersonKey
	if name == "" {
		name = filepath.Join(s.DataDir, "person.key")
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			key := make([]byte, keyBytes)
			if _, err := rand.Read(key); err != nil {
				return nil, fmt.Errorf("make the key of pseudonyms: %w", err)
			}
			if err := os.WriteFile(name, key, 0o600); err != nil {
				return nil, fmt.Errorf("keep the key of pseudonyms: %w", err)
			}
			return key, nil
		}
	}
	key, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the key of pseudonyms: %w", err)
	}
	if len(key) < keyBytes {
		return nil, fmt.Errorf("the key of pseudonyms in %s has %d bytes; it needs %d", name, len(key), keyBytes)
	}
	return key, nil
}
