package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// settled is when an idle process shows what it needs to be idle.
const settled = 5 * time.Second

// BenchmarkBinary measures the built binary: its size, the demonstration from start to end, and a suite that waits.
func BenchmarkBinary(b *testing.B) {
	path := os.Getenv(envBinary)
	if path == "" {
		b.Skipf("%s does not name a binary", envBinary)
	}
	info, err := os.Stat(path)
	require.NoError(b, err)
	var demoTime, demoMemory, ready, idle []float64
	for range chosen.rounds {
		took, memory := demo(b, path)
		demoTime, demoMemory = append(demoTime, took), append(demoMemory, memory)
		s := startBinary(b, path)
		ready = append(ready, s.ready)
		wait(b.Context(), settled-time.Since(s.began))
		idle = append(idle, s.memory(b, "VmRSS"))
		s.stop(b)
	}
	b.ReportMetric(0, "ns/op")
	results.limit(b, goal{id: "size", work: "pcnfunding demo, wall time", unit: "s", at: 20, note: "files loaded, two months of England closed, a month of staff claimed"}, demoTime)
	results.limit(b, goal{id: "size", work: "pcnfunding demo, most memory resident", unit: "MB", at: 500}, demoMemory)
	results.limit(b, goal{id: "size", work: "serve all, start to /readyz", unit: "s", at: 1, note: "first start, on an empty folder"}, ready)
	results.limit(b, goal{id: "size", work: "serve all, memory resident when idle", unit: "MB", at: 100, note: "5 s after the start"}, idle)
	results.limit(b, goal{id: "size", work: "binary", unit: "MB", at: 50, note: "MB are millions of bytes here and everywhere"}, []float64{float64(info.Size()) / 1e6})
}

// BenchmarkBinaryImport compares the memory of the binary after the import of a file with that after one ten times larger.
func BenchmarkBinaryImport(b *testing.B) {
	path := os.Getenv(envBinary)
	if path == "" {
		b.Skipf("%s does not name a binary", envBinary)
	}
	peaks := make(map[int][]float64)
	for range chosen.rounds {
		for _, rows := range []int{fewRows, manyRows} {
			s := startBinary(b, path)
			file := filepath.Join(b.TempDir(), "lists.csv")
			require.NoError(b, os.WriteFile(file, lists(rows), 0o600))
			out, err := exec.CommandContext(b.Context(), path, "import", "--address", s.grpc, "--data-dir", s.dir, "--kind", "REGISTERED_LISTS", file).CombinedOutput()
			require.NoError(b, err, "%s", out)
			peaks[rows] = append(peaks[rows], s.memory(b, "VmHWM"))
			s.stop(b)
		}
	}
	b.ReportMetric(0, "ns/op")
	results.ratio(b, goal{
		id: "P7", work: "memory of serve all, 65,270 rows, bound 6,527", unit: "MB", at: memoryRatio, note: "most resident since the start",
	}, peaks[manyRows], peaks[fewRows])
}

// demo runs the demonstration and returns its seconds and the most megabytes it had resident.
func demo(b *testing.B, path string) (took, memory float64) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), path, "demo")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, b.TempDir()
	began := time.Now()
	require.NoError(b, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			require.NoError(b, err, "%s", out.String())
			require.Contains(b, out.String(), "loaded, closed, paid and added up")
			require.Contains(b, out.String(), "claims modelled, approved and closed")
			return time.Since(began).Seconds(), memory
		case <-ticker.C:
			// The kernel's account of a child that has ended would count this process, which it was forked from.
			if now, err := residentMB(cmd.Process.Pid, "VmHWM"); err == nil {
				memory = max(memory, now)
			}
		}
	}
}

// residentMB reads one line of a process's memory, in megabytes.
func residentMB(pid int, name string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for entry := range strings.Lines(string(text)) {
		fields := strings.Fields(entry)
		if len(fields) == 3 && fields[0] == name+":" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}

// running is a suite in a process of its own.
type running struct {
	cmd        *exec.Cmd
	began      time.Time
	ready      float64 // seconds
	dir        string
	http, grpc string
	log        *lockedBuffer
}

// startBinary starts a suite on an empty folder and waits until it is ready.
func startBinary(b *testing.B, path string) *running {
	b.Helper()
	s := &running{dir: b.TempDir(), http: freeAddress(b), grpc: freeAddress(b), log: new(lockedBuffer)}
	s.cmd = exec.Command(path, "serve", "all", "--data-dir", s.dir, "--http", s.http, "--grpc", s.grpc, "--nats-listen", "127.0.0.1:0")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.began = time.Now()
	require.NoError(b, s.cmd.Start())
	b.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
	})
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	for !isReady(ctx, s.http) {
		require.NoError(b, ctx.Err(), "the suite does not become ready: %s", s.log)
		wait(ctx, 2*time.Millisecond)
	}
	s.ready = time.Since(s.began).Seconds()
	return s
}

func isReady(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, bufio.NewReader(resp.Body))
	return resp.StatusCode == http.StatusOK
}

// freeAddress returns an address on loopback on which nobody listens.
func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (s *running) memory(b *testing.B, name string) float64 {
	b.Helper()
	mb, err := residentMB(s.cmd.Process.Pid, name)
	require.NoError(b, err)
	return mb
}

// stop ends the suite as an operator does.
func (s *running) stop(b *testing.B) {
	b.Helper()
	require.NoError(b, s.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(b, s.cmd.Wait(), "%s", s.log)
}

// lockedBuffer holds a log that is written while it is read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns what was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
