package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/stretchr/testify/require"
)

// shake connects a client to a server and returns the error of each side and who the server says the client is. A client of TLS 1.3
// learns of a refusal with its first read only, so one byte goes each way.
func shake(t *testing.T, server *certs.Source, serverConfig, clientConfig *tls.Config) (name string, serverErr, clientErr error) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	done := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		conn := tls.Server(raw, serverConfig)
		defer func() { _ = conn.Close() }()
		if err = conn.HandshakeContext(t.Context()); err == nil {
			name, _ = server.Peer(conn.ConnectionState())
			_, err = conn.Write([]byte{1})
		}
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	require.NoError(t, err)
	conn := tls.Client(raw, clientConfig)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	if clientErr = conn.HandshakeContext(ctx); clientErr == nil {
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	_ = raw.Close()
	return name, <-done, clientErr
}

func named(uris ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, text := range uris {
			uri, err := url.Parse(text)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, uri)
		}
	}
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute)
}

func notYet(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Minute), time.Now().Add(time.Hour)
}

func usedFor(usage x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{usage} }
}

// stranger is a configuration that shows a certificate whatever it says and checks nothing, as an attacker's program would.
func stranger(t *testing.T, files certs.Files) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, ClientAuth: tls.RequestClientCert,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
}

func TestHandshake_KnowsBothSides(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	server, client := ca.Source("register"), ca.Source("core")
	require.Equal(t, "register", server.Name())
	name, serverErr, clientErr := shake(t, server, server.Server(), client.Client("register", "all"))
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Equal(t, "core", name)
}

func TestServer_TurnsStrangersAway(t *testing.T) {
	t.Parallel()
	ca, foreign := testkit.NewCA(t), testkit.NewCA(t)
	server := ca.Source("register")
	for name, files := range map[string]certs.Files{
		"foreign authority":              foreign.Certify(t.TempDir(), "core"),
		"another trust domain":           ca.Certify(t.TempDir(), "core", named("spiffe://elsewhere/core")),
		"a domain that begins like ours": ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding.example/core")),
		"expired":                        ca.Certify(t.TempDir(), "core", expired),
		"of tomorrow":                    ca.Certify(t.TempDir(), "core", notYet),
		"for servers only":               ca.Certify(t.TempDir(), "core", usedFor(x509.ExtKeyUsageServerAuth)),
		"no name":                        ca.Certify(t.TempDir(), "core", named()),
		"two names":                      ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding/core", "spiffe://pcnfunding/gateway")),
		"a path of two":                  ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding/core/gateway")),
		"a name with a query":            ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding/gateway?x")),
		"a name with an escape":          ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding/gatewa%79")),
		"a name in upper case":           ca.Certify(t.TempDir(), "core", named("spiffe://pcnfunding/Gateway")),
		"a web address":                  ca.Certify(t.TempDir(), "core", named("https://pcnfunding/core")),
	} {
		_, serverErr, clientErr := shake(t, server, server.Server(), stranger(t, files))
		require.Error(t, serverErr, name)
		require.Error(t, clientErr, name)
	}
	bare := &tls.Config{InsecureSkipVerify: true}
	_, serverErr, clientErr := shake(t, server, server.Server(), bare)
	require.Error(t, serverErr, "no certificate")
	require.Error(t, clientErr, "no certificate")
	old := stranger(t, ca.Certify(t.TempDir(), "core"))
	old.MaxVersion = tls.VersionTLS12
	_, serverErr, _ = shake(t, server, server.Server(), old)
	require.ErrorContains(t, serverErr, "version", "TLS 1.2")
}

func TestClient_ReachesNobodyElse(t *testing.T) {
	t.Parallel()
	ca, foreign := testkit.NewCA(t), testkit.NewCA(t)
	client := ca.Source("core")
	for name, c := range map[string]struct {
		files certs.Files
		says  string
	}{
		"another service":      {ca.Certify(t.TempDir(), "payments"), "meant to reach register, but payments answers there"},
		"the client's own":     {ca.Certify(t.TempDir(), "core"), "meant to reach register"},
		"foreign authority":    {foreign.Certify(t.TempDir(), "register"), "unknown authority"},
		"another trust domain": {ca.Certify(t.TempDir(), "register", named("spiffe://elsewhere/register")), "spiffe://elsewhere/register"},
		"expired":              {ca.Certify(t.TempDir(), "register", expired), "expired"},
		"for clients only":     {ca.Certify(t.TempDir(), "register", usedFor(x509.ExtKeyUsageClientAuth)), "key usage"},
	} {
		_, _, err := shake(t, client, stranger(t, c.files), client.Client("register"))
		require.ErrorContains(t, err, c.says, name)
	}
	old := stranger(t, ca.Certify(t.TempDir(), "register"))
	old.MaxVersion = tls.VersionTLS12
	_, _, err := shake(t, client, old, client.Client("register"))
	require.ErrorContains(t, err, "version", "TLS 1.2")
}

func TestPublic_ServesThoseWithoutACertificate(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	server := ca.Source("gateway")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca.PEM()))
	name, serverErr, clientErr := shake(t, server, server.Public(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Empty(t, name)
}

func TestSource_FollowsTheFiles(t *testing.T) {
	t.Parallel()
	before, after := testkit.NewCA(t), testkit.NewCA(t)
	var book bytes.Buffer
	dir := t.TempDir()
	files := before.Certify(dir, "register")
	server, err := certs.Open(files, time.Now, slog.New(slog.NewTextHandler(&book, nil)))
	require.NoError(t, err)
	config := server.Server()
	earlier, later := before.Certify(t.TempDir(), "core"), after.Certify(t.TempDir(), "core")
	accepts := func(client certs.Files) bool {
		_, serverErr, _ := shake(t, server, config, stranger(t, client))
		return serverErr == nil
	}
	require.True(t, accepts(earlier))
	require.False(t, accepts(later))

	after.Certify(dir, "register")
	require.True(t, accepts(later), "the renewed authority counts at once")
	require.False(t, accepts(earlier))
	require.Contains(t, book.String(), "certificate renewed")

	testkit.WriteFile(t, files.Key, []byte("half a key"))
	require.True(t, accepts(later), "what was good stays in force")
	require.True(t, accepts(later))
	require.NoError(t, os.Remove(files.CA))
	require.True(t, accepts(later))
	after.Certify(dir, "payments")
	require.True(t, accepts(later))
	_, _, err = shake(t, server, config, testkit.OpenCerts(t, later).Client("register"))
	require.NoError(t, err, "a certificate by another name is not put to use")
	require.Equal(t, 3, bytes.Count(book.Bytes(), []byte("not usable")), "each complaint once: %s", book.String())
}

// TestServer_ResumesNothing has a client come back with what it kept of a connection, after its authority was withdrawn.
func TestServer_ResumesNothing(t *testing.T) {
	t.Parallel()
	before, after := testkit.NewCA(t), testkit.NewCA(t)
	dir := t.TempDir()
	server := testkit.OpenCerts(t, before.Certify(dir, "register"))
	client := stranger(t, before.Certify(t.TempDir(), "core"))
	client.ServerName, client.ClientSessionCache = "localhost", tls.NewLRUClientSessionCache(1)
	config := server.Server()
	_, serverErr, _ := shake(t, server, config, client)
	require.NoError(t, serverErr)
	_, kept := client.ClientSessionCache.Get("localhost")
	require.False(t, kept, "there is nothing to come back with")
	after.Certify(dir, "register")
	_, serverErr, _ = shake(t, server, config, client)
	require.Error(t, serverErr)
}

func TestOpen_RefusesBadFiles(t *testing.T) {
	t.Parallel()
	ca, foreign := testkit.NewCA(t), testkit.NewCA(t)
	good := ca.Certify(t.TempDir(), "core")
	other := foreign.Certify(t.TempDir(), "core")
	empty := filepath.Join(t.TempDir(), "empty")
	testkit.WriteFile(t, empty, nil)
	for says, files := range map[string]certs.Files{
		"no such file":                  {Cert: good.Cert, Key: good.Key, CA: filepath.Join(t.TempDir(), "none")},
		"private key does not match":    {Cert: good.Cert, Key: other.Key, CA: good.CA},
		"holds no certificate":          {Cert: good.Cert, Key: good.Key, CA: empty},
		"failed to find any PEM data":   {Cert: empty, Key: good.Key, CA: good.CA},
		"it is not good under":          {Cert: good.Cert, Key: good.Key, CA: other.CA},
		"expired":                       ca.Certify(t.TempDir(), "core", expired),
		"has 0 URIs":                    ca.Certify(t.TempDir(), "core", named()),
		"not of the form spiffe://else": {Cert: good.Cert, Key: good.Key, CA: good.CA, TrustDomain: "else"},
	} {
		_, err := certs.Open(files, time.Now, testkit.Logger(t))
		require.ErrorContains(t, err, says)
	}
}
