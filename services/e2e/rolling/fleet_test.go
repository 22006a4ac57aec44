package rolling

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

const (
	startLimit = time.Minute
	stopLimit  = 45 * time.Second
	pollEvery  = 50 * time.Millisecond
	// notice is how long a process goes on serving after the signal; who sends it work is told of the end within endpointLag.
	notice      = 2 * time.Second
	endpointLag = 500 * time.Millisecond

	grpcPort, httpPort = "29090", "28080"
	zone               = ".suite.test."
)

// others are the services that each one calls.
var others = []string{"register", "core", "arrs", "iif", "devfund", "activity", "payments", "partners"}

// fleet is a suite of processes on one database and one broker, which find each other by name as in a cluster: each process has an
// address of its own, which it does not hand on to the one that replaces it.
type fleet struct {
	t        *testing.T
	dir      string
	database string
	broker   *server.Server
	names    *names
	next     int
	pods     map[string][]*pod
}

// pod is one process.
type pod struct {
	service, address string
	process          *exec.Cmd
	log              string
	ended            chan error
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), database: newDatabase(t), broker: newBroker(t), names: newNames(t), pods: make(map[string][]*pod)}
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "person.key"), bytes.Repeat([]byte("k"), 32), 0o600))
	accounts, err := natsauth.Create(filepath.Join(f.dir, "broker")) // partners signs with them; this broker asks for none
	require.NoError(t, err)
	keys, err := accounts.AuthorityKeys()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "partners.key"), keys, 0o600))
	return f
}

// newDatabase makes a database that goes with the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(os.Getenv(testkit.PostgresVariable))
	require.NoError(t, err)
	pool, err := sql.Open("pgx", address.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	name := "rolling_" + strings.ToLower(rand.Text())
	_, err = pool.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	address.Path = "/" + name
	return address.String()
}

// newBroker starts a broker that keeps its streams on disk and syncs them before it acknowledges.
func newBroker(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(startLimit))
	return s
}

// migrate brings the schemas up to date with a program, as the job of an upgrade does before any process is replaced, and tells which
// services the program has.
func (f *fleet) migrate(binary string) (services []string) {
	f.t.Helper()
	out, err := exec.Command(binary, "migrate", "all", "--database-url", f.database).CombinedOutput()
	require.NoError(f.t, err, string(out))
	for _, other := range others {
		if strings.Contains(string(out), "migrated "+other+"\n") {
			services = append(services, other)
		}
	}
	return services
}

// start runs a process of a service, and makes it known once it is ready.
func (f *fleet) start(binary, service string) *pod {
	f.t.Helper()
	f.next++
	p := &pod{service: service, address: fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()%64, os.Getpid()/64%256, f.next), ended: make(chan error, 1)}
	p.log = filepath.Join(f.dir, fmt.Sprintf("%s-%d.log", service, f.next))
	args := []string{
		"serve", service, "--no-migrate", "--data-dir", f.dir, "--database-url", f.database, "--nats", f.broker.ClientURL(),
		"--person-key-file", filepath.Join(f.dir, "person.key"), "--rate-limit", "0", "--drain-notice", notice.String(),
		"--grpc", net.JoinHostPort(p.address, grpcPort), "--http", net.JoinHostPort(p.address, httpPort),
	}
	log, err := os.Create(p.log)
	require.NoError(f.t, err)
	defer func() { _ = log.Close() }()
	p.process = exec.Command(binary, args...)
	// By the environment, of which an older program takes no notice where it does not know the service.
	// What is reached by name counts as another machine, hence clear text is asked for.
	p.process.Env = append(os.Environ(), "PCN_INSECURE_PLAINTEXT=true", "PCN_NATS_ACCOUNT_KEY_FILE="+filepath.Join(f.dir, "partners.key"))
	for _, other := range others {
		address := "dns://" + f.names.address + "/" + other + zone + ":" + grpcPort
		p.process.Env = append(p.process.Env, "PCN_"+strings.ToUpper(other)+"_ADDRESS="+address)
	}
	p.process.Stdout, p.process.Stderr = log, log
	require.NoError(f.t, p.process.Start())
	go func() { p.ended <- p.process.Wait() }()
	f.t.Cleanup(func() { _ = p.process.Process.Kill() })
	f.pods[service] = append(f.pods[service], p)
	return p
}

// ready waits for processes and then makes them known.
func (f *fleet) ready(pods ...*pod) {
	f.t.Helper()
	for _, p := range pods {
		if !f.becomes(p) {
			require.Fail(f.t, "a process does not become ready", "%s: %s", p.service, p.said())
		}
		f.names.add(p.service, p.address)
	}
}

// becomes waits until a process is ready, and tells whether it is.
func (f *fleet) becomes(p *pod) bool {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	late := time.After(startLimit)
	for {
		answer, err := http.Get("http://" + net.JoinHostPort(p.address, httpPort) + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ticker.C:
		case <-late:
			return false
		case err := <-p.ended:
			p.ended <- err
			return false
		}
	}
}

// replace starts a process in place of another before it stops that one: the endpoints follow a little after the signal.
func (f *fleet) replace(binary string, old *pod) {
	f.t.Helper()
	f.ready(f.start(binary, old.service))
	f.pods[old.service] = slices.DeleteFunc(f.pods[old.service], func(p *pod) bool { return p == old })
	require.NoError(f.t, old.process.Process.Signal(syscall.SIGTERM))
	timer := time.AfterFunc(endpointLag, func() { f.names.remove(old.service, old.address) })
	defer timer.Stop()
	select {
	case err := <-old.ended:
		require.NoError(f.t, err, "%s did not stop in good order: %s", old.service, old.said())
	case <-time.After(stopLimit):
		require.Fail(f.t, "a process does not stop", "%s: %s", old.service, old.said())
	}
}

// said is the end of what a process logged.
func (p *pod) said() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-3000):])
}

// names is a name server for the services, which knows the processes that are ready.
type names struct {
	address string
	socket  net.PacketConn

	mu    sync.Mutex
	known map[string][]string
}

func newNames(t *testing.T) *names {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &names{address: socket.LocalAddr().String(), socket: socket, known: make(map[string][]string)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve()
	}()
	t.Cleanup(func() { _ = socket.Close(); <-done })
	return n
}

func (n *names) add(service, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[service] = append(n.known[service], address)
}

func (n *names) remove(service, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[service] = slices.DeleteFunc(n.known[service], func(a string) bool { return a == address })
}

// of returns the addresses of a service.
func (n *names) of(service string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.known[service])
}

func (n *names) serve() {
	buffer := make([]byte, 4096)
	for {
		size, from, err := n.socket.ReadFrom(buffer)
		if err != nil {
			return // closed
		}
		if answer, err := n.answer(buffer[:size]); err == nil {
			_, _ = n.socket.WriteTo(answer, from) // who asked asks again
		}
	}
}

func (n *names) answer(query []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil || len(message.Questions) != 1 {
		return nil, fmt.Errorf("no single question: %w", err)
	}
	question := message.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: message.ID, Response: true, Authoritative: true},
		Questions: message.Questions,
	}
	service, inZone := strings.CutSuffix(question.Name.String(), zone)
	addresses := n.of(service)
	if !inZone || len(addresses) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
	}
	if question.Type == dnsmessage.TypeA {
		for _, a := range addresses {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(a).To4())},
			})
		}
	}
	return reply.Pack()
}
