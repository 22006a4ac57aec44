package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// localBuffer is the size of the pipe in each direction.
	localBuffer = 1 << 20
	localTarget = "passthrough:///in-process"
)

// Local is an in-process connection to a server: the same chain of interceptors and the same contracts as over a network, without
// one. The gateway and the services of one process call each other through it.
type Local struct {
	listener *bufconn.Listener
	served   chan error
}

// NewLocal makes the server serve in process, beside any network listener it has. Every service must be registered before.
func NewLocal(srv *grpc.Server) *Local {
	l := &Local{listener: bufconn.Listen(localBuffer), served: make(chan error, 1)}
	go func() { l.served <- srv.Serve(l.listener) }()
	return l
}

// Dial makes a client connection to the server; the dialler of the options is replaced. It needs TLS if the server has it.
func (l *Local) Dial(o DialOptions) (*grpc.ClientConn, error) {
	o.Dialer = func(ctx context.Context) (net.Conn, error) { return l.listener.DialContext(ctx) }
	return Dial(localTarget, o)
}

// Wait returns once the server has stopped: nil after an orderly stop.
func (l *Local) Wait() error {
	if err := <-l.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve in process: %w", err)
	}
	return nil
}
