package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/certs"
)

// certificateLife is the life of certificates for tests, either way from now.
const certificateLife = time.Hour

// CA is an authority whose certificates the parts of a suite under test show each other.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t, key: newKey(t)}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority for a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.cert = certify(t, template, template, ca.key, ca.key)
	return ca
}

// Certify writes the files of a certificate that carries the name in the default trust domain, for servers and clients alike, into
// a folder. Changes are made to the certificate before it is signed.
func (ca *CA) Certify(dir, name string, changes ...func(*x509.Certificate)) certs.Files {
	ca.t.Helper()
	files := certs.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	WriteFile(ca.t, files.CA, ca.PEM())
	ca.Renew(files, name, changes...)
	return files
}

// Renew replaces key and certificate one after the other, as a renewal does it, and leaves the authorities alone.
func (ca *CA) Renew(files certs.Files, name string, changes ...func(*x509.Certificate)) {
	ca.t.Helper()
	key := newKey(ca.t)
	template := &x509.Certificate{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: certs.DefaultTrustDomain, Path: "/" + name}}, DNSNames: []string{"localhost"},
	}
	for _, change := range changes {
		change(template)
	}
	cert := certify(ca.t, template, ca.cert, key, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatalf("encode a key: %v", err)
	}
	WriteFile(ca.t, files.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	WriteFile(ca.t, files.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// PEM is the authority's own certificate.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Source opens the files of a certificate by the name, on the real clock.
func (ca *CA) Source(name string, changes ...func(*x509.Certificate)) *certs.Source {
	ca.t.Helper()
	return OpenCerts(ca.t, ca.Certify(ca.t.TempDir(), name, changes...))
}

// OpenCerts opens the files of a certificate on the real clock.
func OpenCerts(t testing.TB, files certs.Files) *certs.Source {
	t.Helper()
	source, err := certs.Open(files, time.Now, Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// WriteFile replaces a file at once.
func WriteFile(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	return key
}

func certify(t testing.TB, template, by *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatalf("make a serial number: %v", err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-certificateLife), time.Now().Add(certificateLife)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
	if err != nil {
		t.Fatalf("sign a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read a certificate: %v", err)
	}
	return cert
}
