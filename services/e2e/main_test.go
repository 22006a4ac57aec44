package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit = 2 * time.Minute
	stopLimit  = 45 * time.Second
	pollEvery  = 100 * time.Millisecond
	callLimit  = 60 * time.Second
	command    = "github.com/pcnfunding/pcnfunding/services/cmd/pcnfunding"
)

// suite is the running suite under test.
var suite *harness

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pcnfunding-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	suite = &harness{
		dir: dir, base: strings.TrimSuffix(os.Getenv("BASE_URL"), "/"), binary: os.Getenv("PCN_BIN"), dataDir: os.Getenv("E2E_DATA_DIR"),
		client:   &http.Client{Timeout: callLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		accounts: os.Getenv("E2E_ACCOUNTS_FILE"), tokens: make(map[string]string),
	}
	if err := suite.start(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: start: %v\n%s\n", err, suite.logTail())
		_ = suite.stop()
		return 1
	}
	code := m.Run()
	if err := suite.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: stop: %v\n%s\n", err, suite.logTail())
		return 1
	}
	return code
}

// start makes the suite reachable and waits until its sample is loaded and closed.
func (h *harness) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if h.base == "" {
		if err := h.launch(ctx); err != nil {
			return err
		}
	}
	if err := h.wait(ctx, "the suite to be ready", func() bool {
		answer, err := h.send(ctx, request{method: http.MethodGet, path: "/readyz"})
		return err == nil && answer.Status == http.StatusOK
	}); err != nil {
		return err
	}
	token, err := h.mint("auditor", "")
	if err != nil {
		return err
	}
	return h.wait(ctx, "the sample to be closed", func() bool {
		answer, err := h.send(ctx, request{method: http.MethodGet, path: "/v1/core/months/2025-04/summary", token: token})
		var summary monthSummary
		return err == nil && answer.Status == http.StatusOK && json.Unmarshal(answer.Body, &summary) == nil && summary.Commissioners == 42
	})
}

// launch builds the binary unless one is given, and runs it on free ports.
func (h *harness) launch(ctx context.Context) error {
	if h.binary == "" {
		h.binary = filepath.Join(h.dir, "pcnfunding")
		build := exec.CommandContext(ctx, "go", "build", "-o", h.binary, command)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	h.dataDir = filepath.Join(h.dir, "data")
	if err := os.Mkdir(h.dataDir, 0o700); err != nil {
		return err
	}
	h.accounts = filepath.Join(h.dir, "accounts.csv")
	if err := os.WriteFile(h.accounts, []byte(accountsHeader), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(h.dir, "stderr.log"))
	if err != nil {
		return err
	}
	h.process = exec.Command(h.binary, "serve", "all", "--sample", "--no-sample-claims", "--no-sample-iif", "--data-dir", h.dataDir, //nolint:noctx // it is stopped by signal
		"--no-sample-devfund", "--no-sample-activity", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--nats-listen", "", "--accounts-file", h.accounts)
	h.process.Stderr = log
	stdout, err := h.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := h.process.Start(); err != nil {
		return err
	}
	address := make(chan string, 1)
	h.drained = make(chan struct{})
	go func() {
		defer close(h.drained)
		findAddress(stdout, address)
	}()
	select {
	case h.base = <-address:
	case <-ctx.Done():
		return fmt.Errorf("wait for the address on stdout: %w", ctx.Err())
	}
	if h.base == "" {
		return errors.New("the process ended without printing its address")
	}
	return nil
}

// findAddress reads what the suite prints to its end and passes on the address of REST, or nothing if it never came.
func findAddress(stdout io.Reader, address chan<- string) {
	found := false
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if !found && len(fields) > 1 && fields[0] == "REST" {
			found = true
			address <- strings.TrimSuffix(fields[1], "/v1")
		}
	}
	if !found {
		address <- ""
	}
}

// wait asks now and then until the condition holds.
func (h *harness) wait(ctx context.Context, what string, holds func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// stop ends the process as an orchestrator would, and tells whether it went well.
func (h *harness) stop() error {
	if h.process == nil || h.process.Process == nil {
		return nil
	}
	if err := h.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	late := time.AfterFunc(stopLimit, func() { _ = h.process.Process.Kill() })
	defer late.Stop()
	<-h.drained
	if err := h.process.Wait(); err != nil {
		return fmt.Errorf("the process did not end cleanly after SIGTERM: %w", err)
	}
	if log := h.log(); bytes.Contains(log, []byte(`"msg":"panic"`)) || bytes.Contains(log, []byte("goroutine ")) {
		return errors.New("the process logged a panic")
	}
	return nil
}

func (h *harness) log() []byte {
	content, err := os.ReadFile(filepath.Join(h.dir, "stderr.log"))
	if err != nil {
		return nil
	}
	return content
}

func (h *harness) logTail() []byte {
	log := h.log()
	return log[max(0, len(log)-4000):]
}
