package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

const (
	// window is how many messages may wait for their acknowledgement; with a synced store larger windows only stall.
	window = 512
	// stallWait is how long a message waits for room in the window.
	stallWait = 5 * time.Second
	// ackWait is how long a message waits for its acknowledgement at most: a whole window may be synced before it.
	ackWait = 10 * time.Second
	// stallLimit is how long none may come before those awaited are given up, so that publishing is there again within 5 s.
	stallLimit = 3 * time.Second

	reconnectWait = 250 * time.Millisecond
	drainLimit    = 5 * time.Second
)

// Config says which broker to use, and as whom.
type Config struct {
	// URL is the broker's address, or several separated by commas. It is not used where there is a Server.
	URL string
	// Server is a broker in this process.
	Server *Server
	// User is who this is; without a name it is somebody who may do everything, which an embedded broker lets this process be.
	User natsauth.User
	// CredentialsFile holds the JWT and key of User for the broker at URL; empty for none. It is read again at each connection.
	CredentialsFile string
	// CAFile holds the certificates that the broker at URL is believed by, in place of those of the machine. With it the connection is
	// encrypted whatever the URL says.
	CAFile string
	// CertFile and KeyFile are this client's own certificate, for a broker that asks for one; both are read again at each connection.
	CertFile, KeyFile string
	// Replicas is the number of copies of a stream unless the stream says otherwise; 0 means 1.
	Replicas int
	// MaxBytes bounds a stream unless the stream says otherwise; 0 means no bound.
	MaxBytes int64
	// Monitor is the address of the broker's monitoring endpoint, such as http://nats:8222, for Verify; empty if it has none.
	Monitor string
	// Name names this client to the broker; empty means pcnfunding.
	Name string
	// Logger receives what the connection reports; nil discards it.
	Logger *slog.Logger
}

// Bus is a connection to the broker. It connects again by itself, forever, and is safe for concurrent use.
type Bus struct {
	config Config
	logger *slog.Logger
	conn   *nats.Conn
	js     jetstream.JetStream

	mu      sync.Mutex
	streams []Stream // those ensured, to be made again if they vanish
}

var discard = slog.New(slog.DiscardHandler)

// Open connects to the broker at Config.URL, or to Config.Server. A broker elsewhere need not be up: the connection is made once it
// is. Credentials that are refused are tried again too, for they may be on their way to the broker.
func Open(_ context.Context, c Config) (*Bus, error) {
	b := &Bus{config: c, logger: c.Logger}
	if b.logger == nil {
		b.logger = discard
	}
	opts := []nats.Option{
		nats.Name(cmp.Or(c.Name, "pcnfunding")),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1), // while there is no broker, publishing fails at once and the outbox waits
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.DrainTimeout(drainLimit),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is an end that was asked for
				b.logger.Warn("the broker is out of reach", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { b.logger.Info("connected to the broker", "address", nc.ConnectedUrlRedacted()) }),
		nats.ReconnectErrHandler(b.refused()),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.logger.Warn("the broker reports", "error", err) }),
	}
	if c.User.Name != "" {
		opts = append(opts, nats.CustomInboxPrefix(natsauth.InboxPrefix(c.User.Name)))
	}
	reach, err := c.reach()
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if err := b.connect(append(opts, reach...)); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// refused returns what logs why the broker cannot be reached: each reason once in a row, for attempts follow one another closely.
func (b *Bus) refused() nats.ConnErrHandler {
	var last atomic.Value
	return func(_ *nats.Conn, err error) {
		if reason := err.Error(); last.Swap(reason) != reason {
			b.logger.Warn("the broker cannot be reached", "error", err)
		}
	}
}

// reach returns the options by which the broker is reached.
func (c Config) reach() (opts []nats.Option, err error) {
	if c.Server != nil {
		user := c.User
		if user.Name == "" {
			user = natsauth.User{Name: "suite", Unbounded: true}
		}
		creds, err := c.Server.Credentials(user)
		if err != nil {
			return nil, err
		}
		return c.Server.as(creds), nil
	}
	if c.URL == "" {
		return nil, errors.New("neither an address nor a server is given")
	}
	if c.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredentialsFile))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13}), nats.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	return opts, nil
}

func (b *Bus) connect(opts []nats.Option) (err error) {
	url := b.config.URL
	if b.config.Server != nil {
		url = ""
	}
	if b.conn, err = nats.Connect(url, opts...); err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	b.js, err = jetstream.New(b.conn, jetstream.WithPublishAsyncMaxPending(window), jetstream.WithPublishAsyncTimeout(ackWait))
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	return nil
}

// Close ends subscriptions and lets what is under way finish. It leaves Config.Server running.
func (b *Bus) Close() {
	if b.conn == nil {
		return
	}
	closed := b.conn.StatusChanged(nats.CLOSED)
	if err := b.conn.Drain(); err == nil {
		<-closed
	}
	b.conn.Close()
}

// JetStream returns the client for streams and consumers.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Conn returns the connection itself.
func (b *Bus) Conn() *nats.Conn { return b.conn }
