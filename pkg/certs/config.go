package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Server is for a server that only parts of the suite may reach: a client without a certificate of an authority, in its time, meant
// for clients and with a name of the trust domain is turned away in the handshake.
func (s *Source) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// One configuration for each handshake, for authorities cannot change within one.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := s.load()
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Time: s.clock, Certificates: []tls.Certificate{now.certificate},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: now.authorities,
				// A resumed connection would live on what was trusted when the first was made.
				SessionTicketsDisabled: true,
				VerifyConnection: func(state tls.ConnectionState) error {
					_, err := s.Peer(state)
					if err != nil {
						s.log.Warn("connection refused", "subject", state.PeerCertificates[0].Subject.String(), "error", err)
					}
					return err
				},
			}, nil
		},
	}
}

// Public is for a server that anyone may reach, with this certificate and none of the client's: REST, health and metrics.
func (s *Source) Public() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.load().certificate, nil
		},
	}
}

// Client is for connections to a part of the suite that goes by one of the names, and to nobody else, whoever has a certificate.
func (s *Source) Client(names ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &s.load().certificate, nil
		},
		// The standard check takes fixed authorities and a host name; VerifyConnection makes the whole check with those of now, and
		// with the name that counts here. It runs in every handshake.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := s.trusted(s.load(), state.PeerCertificates, x509.ExtKeyUsageServerAuth); err != nil {
				return fmt.Errorf("check the certificate of %s: %w", strings.Join(names, " or "), err)
			}
			name, err := nameOf(state.PeerCertificates[0], s.files.TrustDomain)
			if err != nil {
				return fmt.Errorf("check the certificate of %s: %w", strings.Join(names, " or "), err)
			}
			if !slices.Contains(names, name) {
				return fmt.Errorf("meant to reach %s, but %s answers there", strings.Join(names, " or "), name)
			}
			return nil
		},
	}
}

// Peer returns the name of the client of a connection that was made with Server's configuration. It fails for a client that has shown
// no certificate, or none with exactly one name of the trust domain.
func (s *Source) Peer(state tls.ConnectionState) (string, error) {
	if len(state.VerifiedChains) == 0 {
		return "", errors.New("the client has shown no certificate that is trusted")
	}
	return nameOf(state.VerifiedChains[0][0], s.files.TrustDomain)
}

// plainName is a name as certificates may carry it: what needs no escape in a URI and has one spelling only.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// nameOf returns the name in a certificate: its one URI is spiffe://<domain>/<name>.
func nameOf(c *x509.Certificate, domain string) (string, error) {
	if len(c.URIs) != 1 {
		return "", fmt.Errorf("the certificate has %d URIs; it needs exactly one, %s", len(c.URIs), uri(domain, "<name>"))
	}
	said := c.URIs[0].String()
	name, ours := strings.CutPrefix(said, uri(domain, ""))
	if !ours || !plainName.MatchString(name) {
		return "", fmt.Errorf("the certificate names %q, which is not of the form %s", said, uri(domain, "<name>"))
	}
	return name, nil
}

func uri(domain, name string) string { return "spiffe://" + domain + "/" + name }
