package partners

import (
	"context"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/send"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/vault"
)

// Name is the name of the service, of its schema and of its part of the configuration.
const Name = "partners"

// Grant is what one credential may do at the broker.
type Grant = natsauth.Grant

// Durable is a durable consumer of a stream.
type Durable = natsauth.Durable

// Authority signs credentials for the broker.
type Authority interface {
	// Issue returns the content of a credentials file, and the user's public key. It needs no network.
	Issue(g Grant) (creds []byte, publicKey string, err error)
	// Revoke makes the broker refuse a user from now on and cuts it off, also after restarts, until its credential ends by itself. Told twice,
	// it does no more.
	Revoke(ctx context.Context, publicKey string, ends time.Time) error
}

// Keys seal the secrets of webhooks.
type Keys = vault.Ring

// ParseKeys reads the keys that seal the secrets of webhooks: a line each, of an id and 32 bytes in base64. The first seals, all open.
func ParseKeys(text []byte) (*Keys, error) { return vault.Parse(text) }

// NewKey returns a new key as ParseKeys reads it.
func NewKey(id string) []byte { return vault.New(id) }

// Deps is what partners needs.
type Deps struct {
	DB       *sqldb.DB
	Register registerv1.RegisterServiceClient
	Logger   *slog.Logger
	// Meter takes the figures; nil drops them.
	Meter metric.Meter
	// Clock tells how long attempts take.
	Clock func() time.Time
	// Keys seal the secrets of webhooks; nil lets nobody have one.
	Keys *Keys
	// Authority signs credentials; nil if none can be issued.
	Authority Authority
	// JetStream is where the consumers of partners are kept; nil keeps none.
	JetStream jetstream.JetStream
	// Roots are the authorities that the certificates of receivers are held against; nil means those of the system.
	Roots *x509.CertPool
	// PrivateWebhooks lets webhooks lead to this machine and to private networks; for development and tests.
	PrivateWebhooks bool
}

// Service answers PartnersService.
type Service struct {
	partnersv1.UnimplementedPartnersServiceServer

	db        *sqldb.DB
	register  registerv1.RegisterServiceClient
	logger    *slog.Logger
	meter     metric.Meter
	clock     func() time.Time
	keys      *Keys
	authority Authority
	js        jetstream.JetStream
	sender    *send.Sender
	inbox     *inbox.Inbox
	attempts  metric.Int64Counter
}

// New makes the service over a migrated database. Whatever changes a partner holds its lock before it reads what it decides on, so the
// database's writes rest on locks.
func New(deps Deps) *Service {
	deps.DB.TrustLocks()
	s := &Service{
		db: deps.DB, register: deps.Register, logger: deps.Logger, meter: deps.Meter, clock: deps.Clock, keys: deps.Keys, authority: deps.Authority,
		js: deps.JetStream, sender: send.New(send.Options{Roots: deps.Roots, Private: deps.PrivateWebhooks}),
	}
	if s.meter == nil {
		s.meter = noop.Meter{}
	}
	// A grant begins somewhere in the life of a stream, and so does an inbox made later than the stream.
	s.inbox = inbox.New(deps.DB, inbox.Options{
		Handle: s.take, New: newEvent, OnQuarantine: s.quarantined, AnyStart: true, Logger: deps.Logger, Meter: deps.Meter,
	})
	s.instrument()
	return s
}

// Register adds the service to a server.
func (s *Service) Register(server *grpc.Server) { partnersv1.RegisterPartnersServiceServer(server, s) }

// Inbox returns what takes in the events of the other services.
func (s *Service) Inbox() *inbox.Inbox { return s.inbox }

// Migrations returns the numbered schema changes of the service.
func Migrations() fs.FS { return store.Migrations() }
