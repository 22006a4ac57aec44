package matrix

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

const (
	startLimit = 3 * time.Minute
	stopLimit  = 45 * time.Second
	tokenLife  = time.Hour
	command    = "github.com/pcnfunding/pcnfunding/services/cmd/pcnfunding"
)

// suite is the suite under test: the built binary on real published data. PCN_BIN names a binary in place of a fresh build.
type suite struct {
	dir     string
	data    string // folder of the stores
	http    string // address of REST
	conn    *grpc.ClientConn
	client  *http.Client
	issuer  *auth.LocalIssuer
	process *exec.Cmd
	drained chan struct{}
}

// running is the suite that every test of the package calls.
var running *suite

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pcnfunding-matrix-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	running = &suite{dir: dir, drained: make(chan struct{}), client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: workers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	code := 1
	if err := running.start(); err != nil {
		fmt.Fprintf(os.Stderr, "matrix: start: %v\n%s\n", err, running.log())
	} else {
		code = m.Run()
	}
	if err := running.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "matrix: stop: %v\n%s\n", err, running.log())
		return 1
	}
	return code
}

// start builds the binary unless one is given, runs it on free ports and waits until its sample is loaded.
func (s *suite) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	binary := os.Getenv("PCN_BIN")
	if binary == "" {
		binary = filepath.Join(s.dir, "pcnfunding")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, command).CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	log, err := os.Create(filepath.Join(s.dir, "stderr.log"))
	if err != nil {
		return err
	}
	s.data = filepath.Join(s.dir, "data")
	s.process = exec.Command(binary, "serve", "all", "--sample", "--sample-claims-of", claimant, "--rate-limit", "0", //nolint:noctx // it is stopped by signal
		"--data-dir", s.data, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--nats-listen", "")
	s.process.Stderr = log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	addresses := make(chan [2]string, 1)
	go func() {
		defer close(s.drained)
		findAddresses(stdout, addresses)
	}()
	var found [2]string
	select {
	case found = <-addresses:
	case <-ctx.Done():
		return fmt.Errorf("wait for the sample: %w", ctx.Err())
	}
	if found[1] == "" {
		return errors.New("the process ended without printing its addresses")
	}
	s.http = found[0]
	if s.conn, err = grpc.NewClient("passthrough:///"+found[1], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes))); err != nil {
		return err
	}
	s.issuer, err = auth.OpenLocalIssuer(s.data, time.Now)
	return err
}

// findAddresses reads what the suite prints to its end and passes on the addresses of REST and gRPC, which it names when its
// sample is loaded.
func findAddresses(stdout io.Reader, found chan<- [2]string) {
	var addresses [2]string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if fields[0] == "REST" {
			addresses[0] = strings.TrimSuffix(fields[1], "/v1")
		}
		if _, _, err := net.SplitHostPort(fields[1]); fields[0] == "gRPC" && err == nil && addresses[1] == "" {
			addresses[1] = fields[1]
			found <- addresses
		}
	}
	if addresses[1] == "" {
		found <- addresses
	}
}

// token mints a token for a principal, under the name that the sample acts by: some things are open only to who entered them.
func (s *suite) token(role optionsv1.Role, commissioners, pcns []string) (string, error) {
	p := auth.Principal{Subject: "local." + strings.ReplaceAll(auth.RoleName(role), "_", "."), Commissioners: commissioners, PCNs: pcns}
	if role != optionsv1.Role_ROLE_UNSPECIFIED {
		p.Roles = []optionsv1.Role{role}
	}
	return s.issuer.Mint(p, tokenLife)
}

// stop ends the process as an orchestrator would, and tells whether it went well.
func (s *suite) stop() error {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.process == nil || s.process.Process == nil {
		return nil
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	late := time.AfterFunc(stopLimit, func() { _ = s.process.Process.Kill() })
	defer late.Stop()
	<-s.drained
	if err := s.process.Wait(); err != nil {
		return fmt.Errorf("the process did not end cleanly after SIGTERM: %w", err)
	}
	return nil
}

// log returns the end of what the process has logged.
func (s *suite) log() []byte {
	content, err := os.ReadFile(filepath.Join(s.dir, "stderr.log"))
	if err != nil {
		return nil
	}
	return content[max(0, len(content)-4000):]
}
