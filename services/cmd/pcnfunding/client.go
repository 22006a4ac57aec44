package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
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

// client says how a command reaches a running suite.
type client struct {
	access `embed:""`

	Address string `help:"gRPC address of the suite." default:"127.0.0.1:9090"`
	// RegisterAddress and those below set services apart that run on their own.
	RegisterAddress string `help:"gRPC address of register, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	ArrsAddress     string `help:"gRPC address of arrs, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	IifAddress      string `help:"gRPC address of iif, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	DevfundAddress  string `help:"gRPC address of devfund, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	ActivityAddress string `help:"gRPC address of activity, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	PaymentsAddress string `help:"gRPC address of payments, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	PartnersAddress string `help:"gRPC address of partners, where it runs elsewhere than --address." placeholder:"HOST:PORT"`
	Token           string `help:"Bearer token; without one the issuer gives it to --oidc-client-id, or else the local key mints it." env:"PCN_TOKEN"`
	DataDir         string `help:"Folder of the local key." default:"var" type:"path"`
}

// access says by which certificate a command calls, and with whose tokens if none is given.
type access struct {
	transport `embed:""`

	OIDCIssuer           string   `name:"oidc-issuer" help:"Issuer that gives tokens to --oidc-client-id." placeholder:"https://..."`
	OIDCClientID         string   `name:"oidc-client-id" help:"Name by which the issuer knows this job, which then asks it for its own tokens."`
	OIDCClientKeyFile    string   `name:"oidc-client-key-file" help:"Private key by which the job proves itself: a JSON Web Key, or PKCS #8 in PEM form." type:"path"`
	OIDCClientSecretFile string   `name:"oidc-client-secret-file" help:"Secret by which it does so in place of a key." type:"path"`
	OIDCClientScope      []string `name:"oidc-client-scope" help:"Scope to ask the issuer for; may be given more than once."`
}

// localTokenLife is how long a token lives that a command mints for itself.
const localTokenLife = 10 * time.Minute

// dialler makes the connections of a command, all by one certificate and with one source of tokens.
type dialler struct {
	transport *transport
	certs     *certs.Source
	token     func(context.Context) (string, error)
}

// dialler is for calls with a token of the job, or one minted for a principal.
func (c *client) dialler(by auth.Principal) (*dialler, error) {
	source, err := c.source(slog.New(slog.DiscardHandler))
	return &dialler{transport: &c.transport, certs: source, token: c.tokens(by)}, err
}

// dial connects to an address at which one of the services answers.
func (d *dialler) dial(address string, services ...string) (*grpc.ClientConn, error) {
	if err := d.transport.mayDial(address); err != nil {
		return nil, err
	}
	return rpc.Dial("passthrough:///"+address, rpc.DialOptions{
		BulkTimeout: 10 * time.Minute, Timeout: 2 * time.Minute, TLS: clientTLS(d.certs, services...), Token: d.token,
	})
}

// tokens gives the token given, one that the issuer gives to the job, or one minted by the local key, in this order.
func (c *client) tokens(by auth.Principal) func(context.Context) (string, error) {
	if c.Token != "" {
		return func(context.Context) (string, error) { return c.Token, nil }
	}
	if c.OIDCClientID != "" {
		open := sync.OnceValues(func() (*auth.ClientTokens, error) {
			return auth.NewClientTokens(context.Background(), auth.ClientOptions{
				Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, KeyFile: c.OIDCClientKeyFile, SecretFile: c.OIDCClientSecretFile,
				Scopes: c.OIDCClientScope, Clock: time.Now,
			})
		})
		return func(ctx context.Context) (string, error) {
			tokens, err := open()
			if err != nil {
				return "", err
			}
			return tokens.Token(ctx)
		}
	}
	return func(context.Context) (string, error) {
		issuer, err := auth.OpenLocalIssuer(c.DataDir, time.Now)
		if err != nil {
			return "", fmt.Errorf("no --token, no --oidc-client-id, and no local key: %w", err)
		}
		return issuer.Mint(by, localTokenLife)
	}
}

// localPrincipal is who a command of the local run is: somebody whose role is held for all of England.
func localPrincipal(role optionsv1.Role) auth.Principal {
	return auth.Principal{
		Subject: "local." + strings.ReplaceAll(auth.RoleName(role), "_", "."), Roles: []optionsv1.Role{role},
		Commissioners: []string{auth.England},
	}
}

// localOfPCN is who a command of the local run is that acts for a PCN.
func localOfPCN(role optionsv1.Role, pcn string) auth.Principal {
	by := localPrincipal(role)
	by.Commissioners, by.PCNs = nil, []string{pcn}
	return by
}

// clients are those of the services that commands call.
type clients struct {
	register registerv1.RegisterServiceClient
	core     corev1.CoreServiceClient
	arrs     arrsv1.ArrsServiceClient
	iif      iifv1.IifServiceClient
	devfund  devfundv1.DevfundServiceClient
	activity activityv1.ActivityServiceClient
	payments paymentsv1.PaymentsServiceClient
	partners partnersv1.PartnersServiceClient
}

// withClients calls fn with clients of the services, in a role that is held for all of England.
func (c *client) withClients(role optionsv1.Role, fn func(clients) error) error {
	return c.as(localPrincipal(role), fn)
}

// as calls fn with clients of the services on behalf of a principal.
func (c *client) as(by auth.Principal, fn func(clients) error) (err error) {
	dialler, err := c.dialler(by)
	if err != nil {
		return err
	}
	conns := make(map[string]*grpc.ClientConn)
	for name, address := range map[string]string{
		register.Name: c.RegisterAddress,
		core.Name:     "",
		arrs.Name:     c.ArrsAddress,
		iif.Name:      c.IifAddress,
		devfund.Name:  c.DevfundAddress,
		activity.Name: c.ActivityAddress,
		payments.Name: c.PaymentsAddress,
		partners.Name: c.PartnersAddress,
	} {
		conn, err := dialler.dial(cmp.Or(address, c.Address), name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		conns[name] = conn
	}
	return fn(clients{
		register: registerv1.NewRegisterServiceClient(conns[register.Name]),
		core:     corev1.NewCoreServiceClient(conns[core.Name]),
		arrs:     arrsv1.NewArrsServiceClient(conns[arrs.Name]),
		iif:      iifv1.NewIifServiceClient(conns[iif.Name]),
		devfund:  devfundv1.NewDevfundServiceClient(conns[devfund.Name]),
		activity: activityv1.NewActivityServiceClient(conns[activity.Name]),
		payments: paymentsv1.NewPaymentsServiceClient(conns[payments.Name]),
		partners: partnersv1.NewPartnersServiceClient(conns[partners.Name]),
	})
}

// newRequestID names one request of a command.
func newRequestID() string { return uuid.NewString() }

// describe writes an error for a person: a refusal by its reason, words and fields.
func describe(err error) string {
	f, ok := fault.As(err)
	said := err.Error()
	if s, isStatus := status.FromError(err); !ok && isStatus {
		f, said = rpc.FaultFromStatus(s), s.Message()
	}
	if f == nil {
		return said
	}
	var text strings.Builder
	if f.Reason != "" {
		text.WriteString(f.Reason + ": ")
	}
	text.WriteString(cmp.Or(f.Message, said))
	for _, v := range f.Violations {
		fmt.Fprintf(&text, "\n  %s: %s", v.Field, v.Description)
	}
	return text.String()
}

// onTerminal tells whether progress can be written over itself.
func onTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress tells how far long work has come: on a terminal in one line written over, in a log every tenth part.
type progress struct {
	what     string
	total    int
	done     int
	terminal bool
}

func newProgress(what string, total int) *progress {
	return &progress{what: what, total: total, terminal: onTerminal(os.Stderr)}
}

// step notes one more part done.
func (p *progress) step() {
	p.done++
	switch {
	case p.terminal:
		fmt.Fprintf(os.Stderr, "\r%s %d/%d", p.what, p.done, p.total)
		if p.done == p.total {
			fmt.Fprintln(os.Stderr)
		}
	case p.total < 10 || p.done%(p.total/10) == 0 || p.done == p.total:
		fmt.Fprintf(os.Stderr, "%s %d/%d\n", p.what, p.done, p.total)
	}
}
