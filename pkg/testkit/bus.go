package testkit

import (
	"context"
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
)

// Broker starts an embedded broker, without streams, that only this process reaches. It goes with the test.
func Broker(tb testing.TB) *bus.Server {
	tb.Helper()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: tb.TempDir()})
	if err != nil {
		tb.Fatalf("start the test broker: %v", err)
	}
	tb.Cleanup(server.Stop)
	return server
}

// Bus connects to a Broker of the test's own with every right.
func Bus(tb testing.TB) *bus.Bus {
	tb.Helper()
	server := Broker(tb)
	b, err := bus.Open(context.Background(), bus.Config{Server: server})
	if err != nil {
		tb.Fatalf("connect to the test broker: %v", err)
	}
	tb.Cleanup(b.Close)
	return b
}
