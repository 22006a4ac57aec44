package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/lifecycle"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

type issuerCommand struct {
	Issuer  string `help:"Address at which services reach it; it is the name of the issuer in every token." placeholder:"http://issuer:8081" required:""`
	HTTP    string `name:"http" help:"Address to listen on." default:"127.0.0.1:8081"`
	DataDir string `help:"Folder of the key; whoever can read it can mint any token." default:"var" type:"path"`
}

// Run publishes the public key of a local issuer to services of the same laptop that run as processes or containers of their own.
func (i *issuerCommand) Run(ctx context.Context) error {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	local, err := auth.OpenLocalIssuer(i.DataDir, time.Now)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", i.HTTP)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	pages := http.NewServeMux()
	pages.Handle("GET /.well-known/", local.At(i.Issuer).Discovery())
	pages.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	server := gateway.NewHTTPServer(i.HTTP, pages, logger)
	group := lifecycle.New(lifecycle.Options{Logger: logger})
	group.Add("issuer", func(context.Context) error { return served(server.Serve(listener)) }, server.Shutdown)
	logger.WarnContext(ctx, "this issuer is for a laptop: it asks nobody who they are before it mints", "issuer", i.Issuer)
	return group.Run(ctx)
}

type readyCommand struct {
	HTTP string `name:"http" help:"Address that the service was told to listen on." default:"127.0.0.1:8080"`
}

// Run asks a service on this machine whether it is ready, for health checks of containers, which have no other program.
func (r *readyCommand) Run(ctx context.Context) error {
	host, port, err := net.SplitHostPort(r.HTTP)
	if err != nil {
		return fmt.Errorf("read the address: %w", err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return errors.New("not ready: " + strings.ToLower(answer.Status))
	}
	return nil
}
