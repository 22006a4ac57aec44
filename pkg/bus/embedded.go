package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	startLimit = 10 * time.Second
	// storeFailures is how many rounds of publishing in a row may fail before the embedded broker is started again: after a full
	// disk it refuses everything until then, even when there is space.
	storeFailures = 3
)

// embedded is the broker in this process. It can be stopped and started while clients stay connected to it, since they come
// by InProcessConn.
type embedded struct {
	options server.Options
	logger  *slog.Logger

	mu       sync.Mutex
	server   *server.Server
	failures int
}

func startEmbedded(c Config, logger *slog.Logger) (*embedded, error) {
	if c.StoreDir == "" {
		return nil, errors.New("start the embedded broker: no directory for its streams given")
	}
	e := &embedded{logger: logger, options: server.Options{
		ServerName: "pcnfunding",
		JetStream:  true,
		StoreDir:   c.StoreDir,
		SyncAlways: true, // the default flushes every two minutes, and a power cut loses what lies between
		NoSigs:     true,
		DontListen: c.Listen == "",

		DisableJetStreamBanner: true,
	}}
	if c.Listen != "" {
		if err := e.listenOn(c.Listen); err != nil {
			return nil, fmt.Errorf("start the embedded broker: %w", err)
		}
	}
	if err := e.start(); err != nil {
		return nil, err
	}
	return e, nil
}

// listenOn sets the address, which must be on loopback: the embedded broker asks for no credentials.
func (e *embedded) listenOn(address string) error {
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
	e.options.Host, e.options.Port = host, int(number)
	if number == 0 {
		e.options.Port = server.RANDOM_PORT
	}
	return nil
}

// start starts a server; the caller holds the lock or is alone.
func (e *embedded) start() error {
	options := e.options
	s, err := server.NewServer(&options)
	if err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	log := serverLogger{e.logger, make(chan string, 1)}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err := awaitReady(s, log.fatal); err != nil {
		s.Shutdown()
		return fmt.Errorf("start the embedded broker in %s: %w", options.StoreDir, err)
	}
	e.server = s
	if addr, ok := s.Addr().(*net.TCPAddr); ok {
		e.options.Port = addr.Port // a restart keeps the address
	}
	return nil
}

// awaitReady waits until the server takes connections, or gives up.
func awaitReady(s *server.Server, fatal <-chan string) error {
	const step = 50 * time.Millisecond
	for range startLimit / step {
		if s.ReadyForConnections(step) {
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

func (e *embedded) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.server = nil
	}
}

// restart stops the server and starts one on the same files. Connections of this process find the new one.
func (e *embedded) restart() error {
	e.stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = 0
	return e.start()
}

// storeFailed counts a failure of the store, and starts the server again at the third in a row.
func (e *embedded) storeFailed() error {
	e.mu.Lock()
	e.failures++
	enough := e.failures >= storeFailures
	e.mu.Unlock()
	if !enough {
		return nil
	}
	e.logger.Warn("the embedded broker cannot store and is started again")
	return e.restart()
}

func (e *embedded) storeWorks() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = 0
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errors.New("the embedded broker is not running")
	}
	return e.server.InProcessConn()
}

func (e *embedded) clientURL() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil || e.options.DontListen {
		return ""
	}
	return e.server.ClientURL()
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
