package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	healthInterval = 2 * time.Second
	// healthTimeout bounds one check, so that a hanging database shows as one.
	healthTimeout = time.Second
)

// Check tells whether a service can do its work, by asking what it owns: its database, not the broker and not other services,
// for that would spread one outage to all.
type Check func(ctx context.Context) error

// Readiness answers grpc.health.v1 for a server, by the name of each service and, under the empty name, for all of them.
type Readiness struct {
	server   *health.Server
	checks   map[string]Check
	log      *slog.Logger
	draining atomic.Bool
	last     map[string]bool
}

// Health registers the health service on the server, with a check per service name. Nothing is serving until Run has asked the
// checks once.
func Health(srv *grpc.Server, log *slog.Logger, checks map[string]Check) *Readiness {
	r := &Readiness{server: health.NewServer(), checks: maps.Clone(checks), log: log, last: make(map[string]bool)}
	r.server.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	for name := range r.checks {
		r.server.SetServingStatus(name, healthv1.HealthCheckResponse_NOT_SERVING)
	}
	healthv1.RegisterHealthServer(srv, r.server)
	return r
}

// Run asks the checks every two seconds until the context ends, and then drains.
func (r *Readiness) Run(ctx context.Context) error {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	defer r.Drain()
	for {
		r.refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Ready asks every check now. It returns nil when all services can do their work and the server is not draining.
func (r *Readiness) Ready(ctx context.Context) error {
	if r.draining.Load() {
		return errors.New("draining")
	}
	var failures []error
	for _, name := range slices.Sorted(maps.Keys(r.checks)) {
		if err := r.ask(ctx, name); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Drain answers NOT_SERVING from now on, for good, so that no new calls are sent here.
func (r *Readiness) Drain() {
	r.draining.Store(true)
	r.server.Shutdown()
}

func (r *Readiness) refresh(ctx context.Context) {
	all := true
	for _, name := range slices.Sorted(maps.Keys(r.checks)) {
		err := r.ask(ctx, name)
		if ctx.Err() != nil {
			return
		}
		all = all && err == nil
		if known, before := r.last[name]; !before || known != (err == nil) {
			r.note(ctx, name, err)
		}
		r.last[name] = err == nil
		r.server.SetServingStatus(name, servingStatus(err == nil))
	}
	r.server.SetServingStatus("", servingStatus(all))
}

func (r *Readiness) note(ctx context.Context, name string, err error) {
	if err != nil {
		r.log.WarnContext(ctx, "service not ready", "grpc_service", name, "error", err)
		return
	}
	r.log.InfoContext(ctx, "service ready", "grpc_service", name)
}

func (r *Readiness) ask(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := r.checks[name](ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func servingStatus(ok bool) healthv1.HealthCheckResponse_ServingStatus {
	if ok {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}
