package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/swaggest/swgui/v5emb"
)

const (
	docsPath    = "/docs/"
	openAPIPath = "/openapi.json"
	docsPolicy  = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

// mountPages adds what stands beside the API. None of it needs a token, and none of it shows data.
func (g *gateway) mountPages(mux *http.ServeMux) {
	mux.Handle("/healthz", page(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	}))
	mux.Handle("/readyz", page(g.ready))
	mux.Handle("/status", page(g.status))
	mux.Handle(openAPIPath, page(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		w.Header().Set("Content-Length", strconv.Itoa(len(openAPI)))
		_, _ = w.Write(openAPI) // the caller may be gone
	}))
	reference := v5emb.New("PCN funding suite: API reference", openAPIPath, docsPath)
	mux.Handle(docsPath, page(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		reference.ServeHTTP(w, r)
	}))
	if g.deps.Metrics != nil {
		mux.Handle("/metrics", page(g.deps.Metrics.ServeHTTP))
	}
	if g.deps.PublicJWKS != nil {
		mux.Handle("/.well-known/jwks.json", page(g.deps.PublicJWKS.ServeHTTP))
	}
	mux.Handle("/{$}", page(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, docsPath, http.StatusFound) }))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { routeNotFound().write(w) })
}

// page lets only reads through.
func page(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			methodNotAllowed([]string{http.MethodGet}).write(w)
			return
		}
		serve(w, r)
	})
}

// ready answers a readiness probe. The cause of not being ready is logged; /status shows the parts.
func (g *gateway) ready(w http.ResponseWriter, r *http.Request) {
	if g.deps.Ready != nil {
		if err := g.deps.Ready(r.Context()); err != nil {
			g.logger.WarnContext(r.Context(), "not ready", "error", err)
			newProblem(http.StatusServiceUnavailable, reasonNotReady, "The suite is not ready; /status shows which part.").write(w)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (g *gateway) status(w http.ResponseWriter, r *http.Request) {
	answer := map[string]any{"version": g.deps.Version}
	if g.deps.Status != nil {
		answer["parts"] = g.deps.Status(r.Context())
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		newProblem(http.StatusInternalServerError, reasonInternal, internalDetail).write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	_, _ = w.Write(data) // the caller may be gone
}

// NewHTTPServer returns a server for the handler with limits on what a slow or greedy client may take: headers within five
// seconds and 64 KiB, a body and its answer within the longest call. The caller listens and shuts down.
func NewHTTPServer(addr string, handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       LongCallTimeout + 5*time.Second,
		WriteTimeout:      LongCallTimeout + 15*time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(quiet{logger.Handler()}, slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.Background() },
	}
}

// quiet drops the server's notes on clients that leave during a handshake: anyone can cause them at will.
type quiet struct{ slog.Handler }

// Handle passes a record on unless it is such a note.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "TLS handshake error") {
		return nil
	}
	return q.Handler.Handle(ctx, r) //nolint:wrapcheck // a handler passes its handler's error on
}
