package bus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
)

// certificate makes a certificate for 127.0.0.1 that signs itself, and returns the files of it and of its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return write(t, "tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(t, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestOpen_EncryptsAndShowsItsCertificate(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t)
	otherCert, otherKey := certificate(t)
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: certFile, KeyFile: keyFile, CaFile: certFile, Verify: true, MinVersion: tls.VersionTLS13,
	})
	require.NoError(t, err)
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, TLS: true, TLSVerify: true, TLSConfig: config, TLSTimeout: 10,
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(s.Shutdown)
	require.True(t, s.ReadyForConnections(10*time.Second))
	url := "nats://" + s.Addr().String()

	b, err := bus.Open(t.Context(), bus.Config{URL: url, CAFile: certFile, CertFile: certFile, KeyFile: keyFile})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.True(t, b.Conn().IsConnected())
	state, err := b.Conn().TLSConnectionState()
	require.NoError(t, err)
	require.EqualValues(t, tls.VersionTLS13, state.Version)

	for name, c := range map[string]bus.Config{
		"no certificate":       {URL: url, CAFile: certFile},
		"another authority":    {URL: url, CAFile: otherCert, CertFile: certFile, KeyFile: keyFile},
		"a stranger's":         {URL: url, CAFile: certFile, CertFile: otherCert, KeyFile: otherKey},
		"authority not stated": {URL: url, CertFile: certFile, KeyFile: keyFile},
	} {
		b, err := bus.Open(t.Context(), c)
		if err == nil {
			t.Cleanup(b.Close)
			require.False(t, b.Conn().IsConnected(), name)
		}
	}
}
