package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/services/partners"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// part is the state of one part of a process.
type part struct {
	State  string `json:"state"` // ok or degraded
	Detail string `json:"detail,omitempty"`
}

// outboxAlarm is the age at which an event that waits to be published counts as trouble.
const outboxAlarm = time.Minute

// status tells which parts are degraded, readiness aside.
func (p *process) status(ctx context.Context) any {
	parts := make(map[string]part)
	note := func(name string, err error) {
		parts[name] = part{State: "ok"}
		if err != nil {
			// The cause may hold addresses; it is for the log.
			p.telling.Logger.WarnContext(ctx, "degraded", "part", name, "error", err)
			parts[name] = part{State: "degraded", Detail: "see the log"}
		}
	}
	for name, db := range p.stores {
		note(name+" database", db.Ping(ctx))
		age, err := outbox.OldestAge(ctx, db)
		note(name+" outbox", err)
		if err == nil && age > outboxAlarm {
			parts[name+" outbox"] = part{State: "degraded", Detail: "the oldest event has waited " + age.Round(time.Second).String()}
		}
	}
	for _, name := range []string{payments.Name, partners.Name} {
		db := p.stores[name]
		if db == nil {
			continue
		}
		held, err := inbox.Quarantine(ctx, db)
		note(name+" events", err)
		if err == nil && held > 0 {
			parts[name+" events"] = part{State: "degraded", Detail: fmt.Sprintf("%d events are in quarantine: list the held events", held)}
		}
	}
	for name, broker := range p.buses {
		note(name+" broker", broker.Check(ctx))
	}
	if db := p.stores[partners.Name]; db != nil {
		note(partners.Name+" webhooks", webhooks(ctx, db, p.sealing))
	}
	for name, conn := range p.behind {
		note(name+" service", serving(ctx, conn))
	}
	return parts
}

// behindLimit is how long a service behind the gateway may take to say that it serves.
const behindLimit = time.Second

// serving asks a service whether it can do its work.
func serving(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(ctx, behindLimit)
	defer cancel()
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("it is %s", answer.GetStatus())
	}
	return err
}

// operations serves health, status and metrics where REST does not.
func (p *process) operations() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if p.ready(r.Context()) != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(w).Encode(map[string]any{"version": version, "parts": p.status(r.Context())})
		if err != nil {
			p.telling.Logger.DebugContext(r.Context(), "the status was not sent", "error", err)
		}
	})
	mux.Handle("GET /metrics", p.telling.MetricsHandler)
	return mux
}
