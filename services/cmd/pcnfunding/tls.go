package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/pcnfunding/pcnfunding/pkg/certs"
)

// allName is the name in the certificate of a process that runs every service.
const allName = "all"

// transport says how a process shows the others who it is.
type transport struct {
	TLSCertFile       string `name:"tls-cert-file" help:"PEM file with the certificate of this process, which names it as spiffe://TRUST-DOMAIN/NAME. Read again when it changes, as the next two." type:"path"`
	TLSKeyFile        string `name:"tls-key-file" help:"PEM file with its key." type:"path"`
	TLSCAFile         string `name:"tls-ca-file" help:"PEM file with the authorities that are trusted. With all three, gRPC asks both sides for a certificate, and HTTP is served over TLS." type:"path"`
	TLSTrustDomain    string `name:"tls-trust-domain" help:"Trust domain of the names in certificates." default:"pcnfunding"`
	InsecurePlaintext bool   `name:"insecure-plaintext" help:"Talk to other machines in clear text, tokens and claims included. Only where a service mesh encrypts for every process."`
}

// wholeOrNone refuses half a set of files.
func (t *transport) wholeOrNone() error {
	given := 0
	for _, file := range []string{t.TLSCertFile, t.TLSKeyFile, t.TLSCAFile} {
		if file != "" {
			given++
		}
	}
	switch {
	case given != 0 && given != 3:
		return errors.New("--tls-cert-file, --tls-key-file and --tls-ca-file go together")
	case given == 3 && t.InsecurePlaintext:
		return errors.New("--insecure-plaintext goes without --tls-cert-file")
	}
	return nil
}

// secured tells whether connections have certificates.
func (t *transport) secured() bool { return t.TLSCertFile != "" }

// source reads the certificate; it returns nil if there is none.
func (t *transport) source(log *slog.Logger) (*certs.Source, error) {
	if err := t.wholeOrNone(); err != nil || !t.secured() {
		return nil, err
	}
	return certs.Open(certs.Files{
		Cert: t.TLSCertFile, Key: t.TLSKeyFile, CA: t.TLSCAFile, TrustDomain: t.TLSTrustDomain,
	}, time.Now, log)
}

// mayListen refuses to let other machines in without certificates.
func (t *transport) mayListen(address string) error {
	if onLoopback(address) || t.secured() || t.InsecurePlaintext {
		return nil
	}
	return fmt.Errorf("%s can be reached from elsewhere: --tls-cert-file, --tls-key-file and --tls-ca-file are needed there", address)
}

// mayDial refuses to send a token to another machine in clear text.
func (t *transport) mayDial(target string) error {
	address := target[strings.LastIndex(target, "/")+1:]
	if onLoopback(address) || t.secured() || t.InsecurePlaintext {
		return nil
	}
	return fmt.Errorf("%s is on another machine: --tls-cert-file, --tls-key-file and --tls-ca-file are needed to reach it", address)
}

// clientTLS is for a connection to one of the services, or to a process that runs them all; nil in clear text.
func clientTLS(source *certs.Source, services ...string) *tls.Config {
	if source == nil {
		return nil
	}
	return source.Client(append(services, allName)...)
}

// openCerts reads the certificate of the process, which must be that of the service it runs.
func (p *process) openCerts() error {
	source, err := p.command.source(p.telling.Logger)
	if err != nil || source == nil {
		return err
	}
	if source.Name() != p.command.Service {
		return fmt.Errorf("the certificate is that of %s, and this is %s: others would refuse it", source.Name(), p.command.Service)
	}
	p.certs = source
	_, err = p.telling.Meter.Meter("certs").Int64ObservableGauge("tls_certificate_expiry_timestamp_seconds",
		metric.WithDescription("When the certificate of the process ends, in seconds since 1970."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(source.Expires().Unix())
			return nil
		}))
	return err
}

// self is the name by which the process calls itself, if it runs what it calls.
func (p *process) self() string {
	if p.command.Service == allName {
		return allName
	}
	return ""
}

// listenHTTP listens for REST, or for health and metrics: over TLS if the process has a certificate.
func (p *process) listenHTTP(ctx context.Context, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	if p.certs != nil {
		listener = tls.NewListener(listener, p.certs.Public())
	}
	return listener, nil
}

// address is where HTTP is to be had: REST, or with a service alone health and metrics.
func (p *process) address() string {
	host := cmp.Or(p.httpAddr, p.opsAddr)
	if p.certs != nil {
		return "https://" + host
	}
	return "http://" + host
}

// reach is how the process calls its own services as a stranger would.
func (p *process) reach() client {
	return client{Address: p.grpcAddr, DataDir: p.command.DataDir, access: access{transport: p.command.transport}}
}
