package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

const (
	startLimit = 10 * time.Second
	// storeFailures is how many rounds of publishing in a row may fail before the embedded broker is started again: after a full
	// disk it refuses everything until then, even when there is space.
	storeFailures = 3
)

// ServerConfig says how to run a broker in this process.
type ServerConfig struct {
	// StoreDir is where it keeps its streams, and the keys that it makes at the first start. Only its owner may read it.
	StoreDir string
	// Listen is the host and port, on loopback, where it takes connections; empty takes only those of this process. Port 0 picks a free
	// one.
	Listen string
	// Logger receives what it reports; nil discards it.
	Logger *slog.Logger
}

// Server is a broker in this process. It lets in whoever has credentials that it made, and nobody else. It can be started again
// while clients of this process stay connected to it, since they come by InProcessConn. It is safe for concurrent use.
type Server struct {
	options  server.Options
	material *natsauth.Material
	logger   *slog.Logger

	mu       sync.Mutex
	server   *server.Server
	failures int
}

// StartServer starts a broker. Each message is synced before it is acknowledged: the default flushes every two minutes, and a power
// cut loses what lies between.
func StartServer(c ServerConfig) (*Server, error) {
	if c.StoreDir == "" {
		return nil, errors.New("start the embedded broker: no directory for its streams given")
	}
	s := &Server{logger: c.Logger, options: server.Options{
		ServerName: "pcnfunding",
		JetStream:  true,
		StoreDir:   c.StoreDir,
		SyncAlways: true,
		NoSigs:     true,
		DontListen: c.Listen == "",

		MaxControlLine: natsauth.MaxControlLine,

		DisableJetStreamBanner: true,
	}}
	if s.logger == nil {
		s.logger = discard
	}
	if c.Listen != "" {
		if err := s.listenOn(c.Listen); err != nil {
			return nil, fmt.Errorf("start the embedded broker: %w", err)
		}
	}
	var err error
	if s.material, err = natsauth.OpenOrCreate(filepath.Join(c.StoreDir, "auth")); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	operator, _ := s.material.Operator()
	s.options.TrustedOperators = []*jwt.OperatorClaims{operator}
	s.options.SystemAccount = s.material.SystemAccount()
	if err := s.adopt(); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// adopt moves streams that a broker without accounts kept in this folder into the account of the suite.
func (s *Server) adopt() error {
	streams := filepath.Join(s.options.StoreDir, server.JetStreamStoreDir)
	to := filepath.Join(streams, s.material.SuiteAccount())
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	err := os.Rename(filepath.Join(streams, server.DEFAULT_GLOBAL_ACCOUNT), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Credentials makes a new key for a user of the suite and returns the content of its .creds file.
func (s *Server) Credentials(u natsauth.User) ([]byte, error) { return s.material.Credentials(u) }

// authority is OpenAuthority for this broker.
func (s *Server) authority() (a *natsauth.Authority, end func(), err error) {
	keys, err := s.material.AuthorityKeys()
	if err != nil {
		return nil, nil, err
	}
	creds, err := s.material.SystemUser()
	if err != nil {
		return nil, nil, err
	}
	return authority("", keys, s.as(creds))
}

// as returns the options by which this process connects with credentials.
func (s *Server) as(creds []byte) []nats.Option {
	return []nats.Option{nats.InProcessServer(s), nats.UserCredentialBytes(creds)}
}

// listenOn sets the address, which must be on loopback: what the embedded broker says is not encrypted.
func (s *Server) listenOn(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("address %q is not on loopback", address)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	s.options.Host, s.options.Port = host, int(number)
	if number == 0 {
		s.options.Port = server.RANDOM_PORT
	}
	return nil
}

// start starts a server; the caller holds the lock or is alone.
func (s *Server) start() error {
	options := s.options
	accounts, err := s.accounts()
	if err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	options.AccountResolver = accounts
	broker, err := server.NewServer(&options)
	if err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	log := serverLogger{s.logger, make(chan string, 1)}
	broker.SetLoggerV2(log, false, false, false)
	broker.Start()
	if err := awaitReady(broker, log.fatal); err != nil {
		broker.Shutdown()
		return fmt.Errorf("start the embedded broker in %s: %w", options.StoreDir, err)
	}
	s.server = broker
	if addr, ok := broker.Addr().(*net.TCPAddr); ok {
		s.options.Port = addr.Port // a restart keeps the address
	}
	return nil
}

// accounts returns the store of accounts with what is not in it yet. What was revoked there is newer, and stays.
func (s *Server) accounts() (*server.DirAccResolver, error) {
	store, err := server.NewDirAccResolver(filepath.Join(s.options.StoreDir, "auth", "accounts"), 0, 0, server.NoDelete)
	if err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	claims, err := s.material.Accounts()
	if err != nil {
		return nil, err
	}
	for name, token := range claims {
		if _, err := store.Fetch(name); err == nil {
			continue
		}
		if err := store.Store(name, token); err != nil {
			return nil, fmt.Errorf("keep account %s: %w", name, err)
		}
	}
	return store, nil
}

// awaitReady waits until the server takes connections, or gives up.
func awaitReady(broker *server.Server, fatal <-chan string) error {
	const step = 50 * time.Millisecond
	for range startLimit / step {
		if broker.ReadyForConnections(step) {
			return nil
		}
		select {
		case reason := <-fatal:
			return errors.New(reason)
		default:
		}
	}
	return fmt.Errorf("it is not ready after %s", startLimit)
}

// Stop ends the broker.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.server = nil
	}
}

// restart stops the server and starts one on the same files. Connections of this process find the new one.
func (s *Server) restart() error {
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
	return s.start()
}

// storeFailed counts a failure of the store, and starts the server again at the third in a row.
func (s *Server) storeFailed() error {
	s.mu.Lock()
	s.failures++
	enough := s.failures >= storeFailures
	s.mu.Unlock()
	if !enough {
		return nil
	}
	s.logger.Warn("the embedded broker cannot store and is started again")
	return s.restart()
}

func (s *Server) storeWorks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
}

// InProcessConn implements nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, errors.New("the embedded broker is not running")
	}
	return s.server.InProcessConn()
}

// ClientURL returns the address at which other processes reach the broker, or an empty string if none can.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil || s.options.DontListen {
		return ""
	}
	return s.server.ClientURL()
}

// serverLogger passes the server's log on, and keeps why it could not start. Its notices are of use only when looking for a fault.
type serverLogger struct {
	*slog.Logger
	fatal chan string
}

// Noticef implements server.Logger.
func (l serverLogger) Noticef(format string, v ...any) {
	l.Debug("broker: " + fmt.Sprintf(format, v...))
}

// Warnf implements server.Logger.
func (l serverLogger) Warnf(format string, v ...any) { l.Warn("broker: " + fmt.Sprintf(format, v...)) }

// Errorf implements server.Logger.
func (l serverLogger) Errorf(format string, v ...any) {
	l.Error("broker: " + fmt.Sprintf(format, v...))
}

// Fatalf implements server.Logger. The server goes on after it, but never becomes ready.
func (l serverLogger) Fatalf(format string, v ...any) {
	l.Errorf(format, v...)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

// Debugf implements server.Logger.
func (serverLogger) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (serverLogger) Tracef(string, ...any) {}
