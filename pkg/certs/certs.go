package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// DefaultTrustDomain is the trust domain of a suite that is given no other.
const DefaultTrustDomain = "pcnfunding"

// Files says where the certificate of this process lies.
type Files struct {
	// Cert is a PEM file with the certificate, followed by those between it and the authority; Key is its key.
	Cert, Key string
	// CA is a PEM file with the certificates of the authorities that are trusted. While authorities change it holds both.
	CA string
	// TrustDomain is the host of every name; empty is DefaultTrustDomain.
	TrustDomain string
}

// Source gives the configurations of connections, which follow the files. It is safe for concurrent use.
type Source struct {
	files Files
	clock func() time.Time
	log   *slog.Logger
	name  string

	mu      sync.Mutex
	current *material
	// complaint is what was last wrong with the files, so that it is logged once and not at each handshake.
	complaint string
}

// material is what the files held when they were last good.
type material struct {
	cert, key, ca []byte
	certificate   tls.Certificate
	authorities   *x509.CertPool
}

// Open reads the files for the first time. It fails when one is missing or unreadable, when key and certificate do not belong
// together, when the certificate does not carry exactly one name of the trust domain, and when it is not trusted by its own authority
// at this time, for then nobody else would trust it.
func Open(files Files, clock func() time.Time, log *slog.Logger) (*Source, error) {
	if files.TrustDomain == "" {
		files.TrustDomain = DefaultTrustDomain
	}
	s := &Source{files: files, clock: clock, log: log}
	first, err := s.read(nil)
	if err != nil {
		return nil, fmt.Errorf("open the certificate: %w", err)
	}
	leaf := first.certificate.Leaf
	if s.name, err = nameOf(leaf, files.TrustDomain); err != nil {
		return nil, fmt.Errorf("open the certificate %s: %w", files.Cert, err)
	}
	if err := s.trusted(first, first.chain(), x509.ExtKeyUsageAny); err != nil {
		return nil, fmt.Errorf("open the certificate %s: it is not good under %s: %w", files.Cert, files.CA, err)
	}
	s.current = first
	log.Info("certificate read", "name", s.name, "trust_domain", files.TrustDomain, "expires", leaf.NotAfter)
	return s, nil
}

// Name is what the certificate calls this process, without the trust domain.
func (s *Source) Name() string { return s.name }

// Expires is when the certificate in force ends.
func (s *Source) Expires() time.Time { return s.load().certificate.Leaf.NotAfter }

// load returns what the files hold now. Files that cannot be used, as when they are replaced one by one, leave what was good before
// in force.
func (s *Source) load() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, err := s.read(s.current)
	if err == nil && fresh != s.current {
		err = s.renewal(fresh)
	}
	if err != nil {
		if s.complaint != err.Error() {
			s.complaint = err.Error()
			s.log.Warn("renewed certificate not usable; the one before stays in force", "name", s.name, "error", err)
		}
		return s.current
	}
	s.complaint = ""
	if fresh != s.current {
		s.current = fresh
		s.log.Info("certificate renewed", "name", s.name, "expires", fresh.certificate.Leaf.NotAfter)
	}
	return fresh
}

// renewal refuses a certificate by another name: it was put there by mistake, and would be refused by everyone.
func (s *Source) renewal(fresh *material) error {
	name, err := nameOf(fresh.certificate.Leaf, s.files.TrustDomain)
	if err == nil && name != s.name {
		err = fmt.Errorf("it names %s", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.files.Cert, err)
	}
	return nil
}

// read returns what the files hold: known itself if that is what they hold still.
func (s *Source) read(known *material) (*material, error) {
	m := new(material)
	for path, into := range map[string]*[]byte{s.files.Cert: &m.cert, s.files.Key: &m.key, s.files.CA: &m.ca} {
		text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, err
		}
		*into = text
	}
	if known != nil && bytes.Equal(m.cert, known.cert) && bytes.Equal(m.key, known.key) && bytes.Equal(m.ca, known.ca) {
		return known, nil
	}
	var err error
	if m.certificate, err = tls.X509KeyPair(m.cert, m.key); err != nil {
		return nil, fmt.Errorf("%s and %s: %w", s.files.Cert, s.files.Key, err)
	}
	m.authorities = x509.NewCertPool()
	if !m.authorities.AppendCertsFromPEM(m.ca) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", s.files.CA)
	}
	return m, nil
}

// chain is the certificate with those that came with it.
func (m *material) chain() []*x509.Certificate {
	chain := []*x509.Certificate{m.certificate.Leaf}
	for _, der := range m.certificate.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, between)
		}
	}
	return chain
}

// trusted tells whether a chain, the certificate itself first, leads to an authority, is valid now and is meant for the usage.
func (s *Source) trusted(m *material, chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.authorities, Intermediates: between, CurrentTime: s.clock(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}
