package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// slowClients is how many slow clients of each kind a test has: more than the calls and streams that a service works on at once.
const slowClients = 130

// over puts the limits of the real server around the suite's handler.
func (s *suite) over(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := gateway.NewHTTPServer(listener.Addr().String(), s.Config.Handler, slog.New(slog.DiscardHandler))
	change(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

// dial opens a connection and sends the beginning of a request.
func dial(t *testing.T, address, beginning string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, beginning)
	require.NoError(t, err)
	return conn
}

// TestSlow_ClientsDoNotStarveOthers has clients that stop in the middle of a header, of a JSON body and of a file, and clients that do not read
// their answers, while another asks on.
func TestSlow_ClientsDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	address := s.over(t, func(*http.Server) {})
	for range slowClients {
		dial(t, address, "GET /v1/core/rates HTTP/1.1\r\nHost: x\r\nAccept: ")
		dial(t, address, "POST "+closePath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		dial(t, address, "POST /v1/register/imports?source=x HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 9999999\r\n\r\na,")
		dial(t, address, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 3))
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for _, path := range []string{"/healthz", "/readyz", "/v1/core/rates/NPP-2022-04"} {
		for range 20 {
			resp, err := client.Get("http://" + address + path)
			require.NoError(t, err, path)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode, path)
		}
	}
}

func TestSlow_HeadersAreCutOff(t *testing.T) {
	t.Parallel()
	address := newSuite(t).over(t, func(server *http.Server) {
		require.Equal(t, 5*time.Second, server.ReadHeaderTimeout)
		server.ReadHeaderTimeout = 20 * time.Millisecond
	})
	conn := dial(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Empty(t, answer, "the connection is closed without an answer")
}

func TestSlow_HeadersHaveASize(t *testing.T) {
	t.Parallel()
	address := newSuite(t).over(t, func(*http.Server) {})
	for bytes, want := range map[int]int{60 << 10: http.StatusOK, 80 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		conn := dial(t, address, fmt.Sprintf("GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("a", bytes)))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, "%d bytes", bytes)
	}
}
