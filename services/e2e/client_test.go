package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// harness is the suite under test and what is needed to reach it.
type harness struct {
	dir, base, binary, dataDir string
	accounts                   string // file of the bank accounts behind tokens, which the suite reads

	client  *http.Client
	process *exec.Cmd
	drained chan struct{}

	mu     sync.Mutex
	tokens map[string]string
}

// request is one HTTP request; an empty token sends none.
type request struct {
	method, path, token string
	body                io.Reader
	headers             []string // names and values in turn
}

// answer is one HTTP answer, read whole.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// String returns the beginning of the body, for messages.
func (a answer) String() string { return string(a.Body[:min(len(a.Body), 2000)]) }

func (h *harness) send(ctx context.Context, r request) (answer, error) {
	out, err := http.NewRequestWithContext(ctx, r.method, h.base+r.path, r.body)
	if err != nil {
		return answer{}, err
	}
	if r.token != "" {
		out.Header.Set("Authorization", "Bearer "+r.token)
	}
	for pair := range slices.Chunk(r.headers, 2) {
		out.Header.Add(pair[0], pair[1])
	}
	resp, err := h.client.Do(out)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// mint returns a token of a role for a commissioner, or for all of England. A name sets callers of the same role apart.
func (h *harness) mint(role, name string, commissioners ...string) (string, error) {
	key := strings.ToUpper(strings.Join(append([]string{role}, commissioners...), "_"))
	if token := os.Getenv("E2E_TOKEN_" + key); token != "" {
		return token, nil
	}
	if h.binary == "" || h.dataDir == "" {
		return "", fmt.Errorf("no token: set E2E_TOKEN_%s, or PCN_BIN and E2E_DATA_DIR", key)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key += "\x00" + name
	if token := h.tokens[key]; token != "" {
		return token, nil
	}
	args := []string{"--role", role}
	for _, code := range commissioners {
		args = append(args, "--commissioner", code)
	}
	if name != "" {
		args = append(args, "--subject", name)
	}
	token, err := h.tokenBy(h.dataDir, args...)
	h.tokens[key] = token
	return token, err
}

// tokenBy has the binary mint a token with the key in a folder.
func (h *harness) tokenBy(dir string, args ...string) (string, error) {
	mint := exec.Command(h.binary, append([]string{"token", "--data-dir", dir}, args...)...) //nolint:noctx // it takes milliseconds
	var said strings.Builder
	mint.Stderr = &said // what is held by whom is not part of the token
	out, err := mint.Output()
	if err != nil {
		return "", fmt.Errorf("mint a token: %w: %s", err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// caller is someone who calls with a token.
type caller struct{ token string }

// as returns a caller of a role, for some commissioners or for all of England.
func as(t testing.TB, role string, commissioners ...string) caller {
	t.Helper()
	return named(t, "", role, commissioners...)
}

// named returns a caller with a name of their own.
func named(t testing.TB, name, role string, commissioners ...string) caller {
	t.Helper()
	token, err := suite.mint(role, name, commissioners...)
	require.NoError(t, err)
	return caller{token: token}
}

// call sends a request and fails the test on a server error: nothing that a caller sends may cause one.
func (c caller) call(t testing.TB, r request) answer {
	t.Helper()
	r.token = c.token
	got, err := suite.send(context.Background(), r)
	require.NoError(t, err, "%s %s", r.method, r.path)
	require.Less(t, got.Status, 500, "%s %s: %s", r.method, r.path, got)
	return got
}

func (c caller) get(t testing.TB, path string, headers ...string) answer {
	t.Helper()
	return c.call(t, request{method: http.MethodGet, path: path, headers: headers})
}

// fields are the fields of a JSON request.
type fields map[string]any

// with returns the fields with one of them changed.
func (f fields) with(name string, value any) fields {
	out := fields{}
	for k, v := range f {
		out[k] = v
	}
	out[name] = value
	return out
}

func (c caller) post(t testing.TB, path string, body fields, headers ...string) answer {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	return c.postRaw(t, path, encoded, headers...)
}

func (c caller) postRaw(t testing.TB, path string, body []byte, headers ...string) answer {
	t.Helper()
	return c.call(t, request{
		method: http.MethodPost, path: path, body: bytes.NewReader(body), headers: append([]string{"Content-Type", "application/json"}, headers...),
	})
}

// ok requires success and reads the body.
func (a answer) ok(t testing.TB, into any) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Status, "%s", a)
	a.read(t, into)
}

func (a answer) read(t testing.TB, into any) {
	t.Helper()
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal(a.Body, into), "%s", a)
}

// problem is an error as RFC 9457 has it, with the suite's members.
type problem struct {
	Type, Title, Detail, Instance, Reason string
	Status                                int
	Metadata                              map[string]string
	Errors                                []struct{ Field, Reason, Description string }
}

// refused requires a problem with a status and a reason, well formed in all its parts.
func (a answer) refused(t testing.TB, status int, reason string) problem {
	t.Helper()
	require.Equal(t, status, a.Status, "want %s: %s", reason, a)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"), "%s", a)
	var p problem
	require.NoError(t, json.Unmarshal(a.Body, &p), "%s", a)
	require.Equal(t, reason, p.Reason, "%s", a)
	require.Equal(t, status, p.Status)
	require.Equal(t, "urn:pcnfunding:problem:"+reason, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, "urn:pcnfunding:request:"+a.Header.Get("X-Correlation-Id"), p.Instance)
	return p
}

// read gets a path and reads the answer.
func read[T any](t testing.TB, c caller, path string) T {
	t.Helper()
	var out T
	c.get(t, path).ok(t, &out)
	return out
}

// write posts a change and reads the answer.
func write[T any](t testing.TB, c caller, path string, body fields, headers ...string) T {
	t.Helper()
	var out T
	c.post(t, path, body, headers...).ok(t, &out)
	return out
}

// unique returns an identifier that no earlier run has used.
func unique() string { return "e2e-" + strings.ToLower(rand.Text()) }
