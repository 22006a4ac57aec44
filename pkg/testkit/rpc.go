package testkit

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"google.golang.org/grpc"
)

// ServeOption changes the server that Serve starts.
type ServeOption func(*rpc.ServerOptions)

// WithServer changes the options of the server before it is made.
func WithServer(change func(*rpc.ServerOptions)) ServeOption { return change }

// WithLogger sends the server's log somewhere else than to the test's output.
func WithLogger(log *slog.Logger) ServeOption {
	return func(o *rpc.ServerOptions) { o.Logger = log }
}

// As returns a context whose calls over a connection of Serve are made by the principal: the connection mints the token.
func As(ctx context.Context, p auth.Principal) context.Context { return auth.With(ctx, p) }

// Serve starts a server in process, with the full chain of interceptors, and returns a connection to it. Calls are made by the
// principal of their context, see As; without one they carry no token. All is stopped when the test ends.
func Serve(t testing.TB, register func(*grpc.Server), options ...ServeOption) *grpc.ClientConn {
	t.Helper()
	tokens := Tokens(t)
	o := rpc.ServerOptions{Logger: Logger(t), Verifier: tokens, Clock: time.Now}
	for _, change := range options {
		change(&o)
	}
	srv, err := rpc.NewServer(o)
	if err != nil {
		t.Fatalf("make a server: %v", err)
	}
	register(srv)
	local := rpc.NewLocal(srv)
	conn, err := local.Dial(rpc.DialOptions{Token: func(ctx context.Context) (string, error) {
		p, ok := auth.From(ctx)
		if !ok {
			return "", nil
		}
		return tokens.Mint(p, tokenLife)
	}})
	if err != nil {
		t.Fatalf("dial the server: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
		srv.Stop()
		if err := local.Wait(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	return conn
}

// Logger returns a logger that writes to the output of the test.
func Logger(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
