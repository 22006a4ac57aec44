package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// window is how many messages may wait for their acknowledgement; with a synced store larger windows only stall.
	window = 512
	// stallWait is how long a message waits for room in the window.
	stallWait = 5 * time.Second
	// ackWait is how long a message waits for its acknowledgement.
	ackWait = 10 * time.Second

	reconnectWait = 250 * time.Millisecond
	drainLimit    = 5 * time.Second

	// DefaultMaxAge is how long a stream keeps events: 13 months.
	DefaultMaxAge = 396 * 24 * time.Hour
	// DefaultDuplicates is how long a stream remembers message ids; it is longer than an outage of a relay.
	DefaultDuplicates = 10 * time.Minute
)

// Config says which broker to use.
type Config struct {
	// URL is the broker's address, or several separated by commas; empty starts one in this process.
	URL string
	// CredentialsFile holds the user's JWT and key for the broker at URL; empty for none.
	CredentialsFile string
	// StoreDir is where the embedded broker keeps its streams.
	StoreDir string
	// Listen is the host and port, on loopback, where the embedded broker takes connections; empty takes only those of this
	// process. Port 0 picks a free one.
	Listen string
	// Replicas is the number of copies of a stream unless the stream says otherwise; 0 means 1.
	Replicas int
	// Name names this client to the broker; empty means pcnfunding.
	Name string
	// Logger receives what the broker and the connection report; nil discards it.
	Logger *slog.Logger
}

// Bus is a connection to the broker. It connects again by itself, forever, and is safe for concurrent use.
type Bus struct {
	config   Config
	logger   *slog.Logger
	embedded *embedded // nil for a broker elsewhere
	conn     *nats.Conn
	js       jetstream.JetStream

	mu      sync.Mutex
	streams []Stream // those ensured, to be made again if they vanish
}

var discard = slog.New(slog.DiscardHandler)

// Open connects to the broker at Config.URL, or starts the embedded one. A broker elsewhere need not be up: the connection is
// made once it is.
func Open(_ context.Context, c Config) (*Bus, error) {
	b := &Bus{config: c, logger: c.Logger}
	if b.logger == nil {
		b.logger = discard
	}
	if c.Name == "" {
		c.Name = "pcnfunding"
	}
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1), // while there is no broker, publishing fails at once and the outbox waits
		nats.RetryOnFailedConnect(true),
		nats.DrainTimeout(drainLimit),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is an end that was asked for
				b.logger.Warn("the broker is out of reach", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { b.logger.Info("connected to the broker", "address", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.logger.Warn("the broker reports", "error", err) }),
	}
	if c.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredentialsFile))
	}
	if c.URL == "" {
		server, err := startEmbedded(c, b.logger)
		if err != nil {
			return nil, err
		}
		b.embedded = server
		opts = append(opts, nats.InProcessServer(server))
	}
	if err := b.connect(opts); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) connect(opts []nats.Option) (err error) {
	if b.conn, err = nats.Connect(b.config.URL, opts...); err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	b.js, err = jetstream.New(b.conn, jetstream.WithPublishAsyncMaxPending(window), jetstream.WithPublishAsyncTimeout(ackWait))
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	return nil
}

// Close ends subscriptions, lets what is under way finish, and stops the embedded broker.
func (b *Bus) Close() {
	if b.conn != nil {
		closed := b.conn.StatusChanged(nats.CLOSED)
		if err := b.conn.Drain(); err == nil {
			<-closed
		}
		b.conn.Close()
	}
	if b.embedded != nil {
		b.embedded.stop()
	}
}

// JetStream returns the client for streams and consumers.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Conn returns the connection itself.
func (b *Bus) Conn() *nats.Conn { return b.conn }

// ClientURL returns an address at which other clients reach the broker, or an empty string if only this process can.
func (b *Bus) ClientURL() string {
	if b.embedded != nil {
		return b.embedded.clientURL()
	}
	return b.config.URL
}

// Stream describes where events are kept.
type Stream struct {
	// Name is the stream's, such as PCNFUNDING_CORE.
	Name string
	// Subjects are those it takes in, such as pcnfunding.core.v1.>.
	Subjects []string
	// MaxAge is how long it keeps a message; 0 means DefaultMaxAge.
	MaxAge time.Duration
	// Duplicates is how long it remembers message ids; 0 means DefaultDuplicates.
	Duplicates time.Duration
	// Replicas is the number of copies; 0 means that of the Config.
	Replicas int
	// MaxBytes bounds its size; then it refuses messages, which wait in the outbox. 0 means no bound of its own.
	MaxBytes int64
}

// config returns the broker's form of the stream, with defaults filled in.
func (s Stream) config(replicas int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:       s.Name,
		Subjects:   s.Subjects,
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardNew, // to discard old ones would delete events about money
		Storage:    jetstream.FileStorage,
		MaxAge:     s.MaxAge,
		Duplicates: s.Duplicates,
		Replicas:   s.Replicas,
		MaxBytes:   s.MaxBytes,
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.Duplicates == 0 {
		c.Duplicates = DefaultDuplicates
	}
	if c.Replicas == 0 {
		c.Replicas = max(1, replicas)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = -1
	}
	return c
}

// EnsureStream makes the stream, or brings its settings up to date. From then on Publish makes it again if it is gone.
func (b *Bus) EnsureStream(ctx context.Context, s Stream) error {
	b.mu.Lock()
	b.streams = append(slices.DeleteFunc(b.streams, func(o Stream) bool { return o.Name == s.Name }), s)
	b.mu.Unlock()
	if _, err := b.js.CreateOrUpdateStream(ctx, s.config(b.config.Replicas)); err != nil {
		return fmt.Errorf("make stream %s: %w", s.Name, err)
	}
	return nil
}

// ensureAll makes every stream again that was asked for and is not there.
func (b *Bus) ensureAll(ctx context.Context) error {
	b.mu.Lock()
	streams := slices.Clone(b.streams)
	b.mu.Unlock()
	var errs []error
	for _, s := range streams {
		errs = append(errs, b.EnsureStream(ctx, s))
	}
	return errors.Join(errs...)
}
