package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

type natsCommand struct {
	Init  natsInitCommand  `cmd:"" help:"Make the keys, accounts and credentials of a broker, and the part of its configuration that names them."`
	Creds natsCredsCommand `cmd:"" help:"Write new credentials for services at a broker whose keys nats init made."`
}

type natsInitCommand struct {
	Dir   string `arg:"" help:"Folder to write into; it must not have keys yet." type:"path"`
	Store string `help:"Folder of the broker's own files, on the machine where it runs." default:"/data"`
}

// natsConf is the broker's configuration.
//
//go:embed nats.conf.tmpl
var natsConf string

const credsFolder = "creds"

// Run makes everything or nothing that was there before is touched.
func (n *natsInitCommand) Run() error {
	m, err := natsauth.Create(n.Dir)
	if errors.Is(err, natsauth.ErrExists) {
		return fmt.Errorf("%w; for new credentials of a service use pcnfunding nats creds", err)
	}
	if err != nil {
		return err
	}
	for _, user := range brokerUsers() {
		if err := writeCredentials(m, n.Dir, user); err != nil {
			return err
		}
	}
	system, err := m.SystemUser()
	if err != nil {
		return err
	}
	keys, err := m.AuthorityKeys()
	if err != nil {
		return err
	}
	conf, err := n.configuration(m)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		filepath.Join(credsFolder, natsauth.SystemUserName+".creds"): system, "partners.key": keys, "nats-server.conf": conf,
	} {
		if err := os.WriteFile(filepath.Join(n.Dir, name), data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	fmt.Printf(natsNext, n.Dir)
	return nil
}

// natsNext is what is left to do for a person.
const natsNext = `Wrote the broker's keys and accounts to %[1]s. Next:
  1. Include %[1]s/nats-server.conf in the configuration of every server of the broker, add TLS, and start them.
  2. Give each service its own file of %[1]s/creds by --nats-creds, and no other.
  3. Give partners besides %[1]s/partners.key by --nats-account-key-file and %[1]s/creds/system.creds by --nats-system-creds.
  4. Whoever runs pcnfunding events takes %[1]s/creds/operator.creds by --nats-creds.
  5. Move %[1]s/keys off this machine into safe keeping. operator.seed above all: no running part needs it.
`

// configuration returns the part of the broker's configuration that names operator and accounts.
func (n *natsInitCommand) configuration(m *natsauth.Material) ([]byte, error) {
	parsed, err := template.New("nats.conf").Parse(natsConf)
	if err != nil {
		return nil, fmt.Errorf("read the template of the broker's configuration: %w", err)
	}
	accounts, err := m.Accounts()
	if err != nil {
		return nil, err
	}
	_, operator := m.Operator()
	var out strings.Builder
	if err := parsed.Execute(&out, map[string]any{
		"Operator": operator, "System": m.SystemAccount(), "Accounts": accounts, "Store": n.Store, "ControlLine": natsauth.MaxControlLine,
	}); err != nil {
		return nil, fmt.Errorf("write the broker's configuration: %w", err)
	}
	return []byte(out.String()), nil
}

type natsCredsCommand struct {
	Dir      string   `arg:"" help:"Folder that nats init wrote, with its keys." type:"existingdir"`
	Services []string `arg:"" help:"Services, or operator, that get new credentials."`
}

// Run replaces the files of the services. What they held before is still good at the broker.
func (n *natsCredsCommand) Run() error {
	m, err := natsauth.Open(n.Dir)
	if err != nil {
		return err
	}
	users := brokerUsers()
	for _, name := range n.Services {
		i := slices.IndexFunc(users, func(u natsauth.User) bool { return u.Name == name })
		if i < 0 {
			return fmt.Errorf("nobody called %q uses the broker: %s or %s", name, strings.Join(serviceNames, ", "), operator().Name)
		}
		if err := writeCredentials(m, n.Dir, users[i]); err != nil {
			return err
		}
		fmt.Println("wrote", filepath.Join(n.Dir, credsFolder, name+".creds"))
	}
	return nil
}

// brokerUsers are the services, and whoever looks after the streams by command.
func brokerUsers() []natsauth.User {
	users := []natsauth.User{operator()}
	for _, name := range serviceNames {
		users = append(users, brokerUser(name))
	}
	return users
}

// writeCredentials makes new credentials of a user in dir.
func writeCredentials(m *natsauth.Material, dir string, user natsauth.User) error {
	creds, err := m.Credentials(user)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, credsFolder)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of credentials: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, user.Name+".creds"), creds, 0o600); err != nil {
		return fmt.Errorf("write the credentials of %s: %w", user.Name, err)
	}
	return nil
}
