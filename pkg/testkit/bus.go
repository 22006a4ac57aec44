package testkit

import (
	"context"
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
)

// Bus starts an embedded broker, without streams, that only this process reaches. It goes with the test.
func Bus(tb testing.TB) *bus.Bus {
	tb.Helper()
	b, err := bus.Open(context.Background(), bus.Config{StoreDir: tb.TempDir()})
	if err != nil {
		tb.Fatalf("start the test broker: %v", err)
	}
	tb.Cleanup(b.Close)
	return b
}
