package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// notJSON are documents that every JSON parser has to refuse, after the n_ cases of JSONTestSuite.
var notJSON = []string{
	`[`, `]`, `{`, `}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{,}`, `{"a" "b"}`, `{'a':1}`, `{a:1}`, `{"a":1 "b":2}`, `{1:1}`,
	`{"request_id": 'x'}`, `{"request_id": "x}`, `{"request_id": "\x"}`, `{"request_id": "\u12"}`, `{"request_id": "\ud800"}`,
	"{\"request_id\": \"a\nb\"}", "{\"request_id\": \"a\x00b\"}", `{"omit_lines": True}`, `{"omit_lines": truth}`, `{"omit_lines": +1}`,
	`{"omit_lines": nul}`, `{"omit_lines": NaN}`, `{"omit_lines": Infinity}`, `{"omit_lines": 0x1}`, `{"omit_lines": 01}`,
	`{"omit_lines": 1.}`, `{"omit_lines": .5}`, `{"omit_lines": 1e}`, `{"omit_lines": --1}`, `{} x`, `{}}`, `{}/**/`, `/**/{}`, `{}//`,
	"\ufeff{}", "\xff{}", `"text"`, `1`, `true`, `[{}]`, `<xml/>`, "\x00", strings.Repeat(`{"a":`, 20_000), ` `, "\t\n",
}

func TestHostile_RefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for _, body := range notJSON {
		a := s.post(t, closePath, body)
		require.Equal(t, http.StatusBadRequest, a.Status, "%.60q: %s", body, a.Body)
		require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"), "%.60q", body)
	}
}

func TestHostile_PathsNeverFail(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for _, path := range []string{
		"/v1/", "/v1", "//", "/v1/core/rates/", "/v1/core/rates//", "/v1/core/rates/..", "/v1/core/rates/%2e%2e/%2e%2e/etc/passwd",
		"/v1/core/rates/%2F", "/v1/core/rates/a%2Fb", "/v1/core/rates/:confirm", "/v1/core/schedules/:reemit", "/v1/core/rates/%25zz",
		"/v1/core/rates/%0d%0aSet-Cookie:a=b", "/v1/core/rates/%c0%af", "/v1/core/rates/%E2%80%AE", "/v1/core/rates?%00=1",
		"/v1/core/rates?page_size=99999999999999999999", "/v1/core/rates?known_at[x]=1", "/v1/core/rates?page_size", "/v1/core/rates?;",
		"/v1/core/commissioners/15N/months/2022-04:preview?known_at=never",
		"/v1/core/commissioners/15N/months/2022-04:preview?known_at.seconds=1",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a := s.call(t, method, path, "")
			require.Less(t, a.Status, 500, "%s %s: %s", method, path, a.Body)
			if a.Status >= 400 {
				require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"), "%s %s", method, path)
			}
			require.Empty(t, a.Header.Get("Set-Cookie"))
		}
	}
}

func TestHostile_PanicBecomesAProblem(t *testing.T) {
	t.Parallel()
	s := newSuite(t, func(d *gateway.Deps) { d.Status = func(context.Context) any { panic("a defect with a secret") } })
	a := s.get(t, "/status")
	a.problem(t, http.StatusInternalServerError, "INTERNAL")
	require.NotContains(t, a.Body, "secret")
	require.Equal(t, http.StatusOK, s.get(t, "/healthz").Status)
}

func TestHostile_BodyCutShortIsRefused(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", closePath)
	require.NoError(t, err)
	tcp, ok := conn.(*net.TCPConn)
	require.True(t, ok)
	require.NoError(t, tcp.CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
}

func TestHostile_DeclaredSizeIsNotTrusted(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.send(t, http.MethodPost, closePath, &spaces{left: gateway.MaxJSONBytes + 1}, "Content-Type", "application/json")
	a.problem(t, http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE")
}

// spaces is a body whose size the client does not tell.
type spaces struct{ left int }

func (e *spaces) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.left)
	for i := range b[:n] {
		b[i] = ' '
	}
	e.left -= n
	return n, nil
}

func TestHostile_RefusesPackedJSON(t *testing.T) {
	t.Parallel()
	a := newSuite(t).send(t, http.MethodPost, closePath, &spaces{left: 10}, "Content-Type", "application/json", "Content-Encoding", "gzip")
	a.problem(t, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
}
