package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

func TestDoctor_LooksAtThePersonKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "person.key")
	look := func() finding {
		e := &examination{command: new(doctorCommand), services: []string{"arrs"}}
		e.command.PersonKey = path
		e.keys(t.Context())
		return e.line(t, "person key")
	}
	require.Equal(t, broken, look().Verdict, "a file that is named must be there")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("k"), keyBytes-1), 0o600))
	require.Contains(t, look().Detail, "31 bytes and needs 32")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("k"), keyBytes), 0o600))
	require.Equal(t, fine, look().Verdict)
	require.NoError(t, os.Chmod(path, 0o644))
	require.Contains(t, look().Detail, "anybody on this machine may read")
}

func TestDoctor_LooksAtTheIssuer(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	local, err := auth.NewLocalIssuer(key, time.Now)
	require.NoError(t, err)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer server.Close()
	look := func() *examination {
		e := &examination{command: new(doctorCommand)}
		e.command.OIDCIssuer = server.URL
		e.issuer(t.Context())
		return e
	}
	handler = local.At(server.URL).Discovery()
	require.Equal(t, fine, look().line(t, "issuer").Verdict)
	require.Equal(t, fine, look().line(t, "clock of the issuer").Verdict)
	handler = local.At("https://another.example").Discovery()
	require.Contains(t, look().line(t, "issuer").Detail, "https://another.example")
	handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %[1]q, "keys": []}`, server.URL)
	})
	require.Contains(t, look().line(t, "issuer").Detail, "publishes no key")
	require.Equal(t, broken, look().line(t, "clock of the issuer").Verdict)
	handler = http.NotFoundHandler()
	require.Contains(t, look().line(t, "issuer").Detail, "404")
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, _ = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().AddDate(1, 0, 0)})
	return a
}

// sign makes a certificate and its key, signed by the authority, or by itself while there is none.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber = big.NewInt(1)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return made, key, der
}

// files writes a certificate with a name and an end, its key, and the authority's certificate.
func (a *authority) files(name string, end time.Time) certificateFiles {
	a.t.Helper()
	uri, err := url.Parse(name)
	require.NoError(a.t, err)
	_, key, der := a.sign(&x509.Certificate{NotAfter: end, URIs: []*url.URL{uri}})
	dir := a.t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return certificateFiles{
		write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), write("ca.pem", "CERTIFICATE", a.cert.Raw),
	}
}

func TestDoctor_LooksAtTheCertificate(t *testing.T) {
	t.Parallel()
	const name = "spiffe://pcnfunding/core"
	a, now := newAuthority(t), time.Now()
	good := a.files(name, now.AddDate(0, 3, 0))
	foreign, mixed := good, good
	foreign.authorities = newAuthority(t).files(name, now.AddDate(0, 3, 0)).authorities
	mixed.key = a.files(name, now.AddDate(0, 3, 0)).key
	for what, c := range map[string]struct {
		files   certificateFiles
		verdict verdict
		detail  string
	}{
		"a good one":                  {good, fine, name},
		"one that ends soon":          {a.files(name, now.AddDate(0, 0, 3)), doubtful, "it ends on"},
		"one that has ended":          {a.files(name, now.Add(-time.Hour)), broken, "expired"},
		"another's":                   {a.files("spiffe://pcnfunding/arrs", now.AddDate(0, 3, 0)), broken, "it must carry the name " + name},
		"one of another authority":    {foreign, broken, "unknown authority"},
		"one with another's key":      {mixed, broken, "private key does not match"},
		"none":                        {certificateFiles{"none.pem", "none.pem", "none.pem"}, broken, "no such file"},
		"one without its authorities": {certificateFiles{good.cert, good.key, good.key}, broken, "holds no certificate of an authority"},
	} {
		e := new(examination)
		e.readCertificate(c.files, name, now)
		got := e.line(t, "certificate")
		require.Equal(t, c.verdict, got.Verdict, "%s: %v", what, got)
		require.Contains(t, got.Detail, c.detail, what)
	}
	e := new(examination)
	e.readCertificate(good, "spiffe://pcnfunding/", now)
	require.Equal(t, fine, e.line(t, "certificate").Verdict, "all of them in one process may carry any name")
}

func TestDoctor_MissesTheKeyOfWebhooks(t *testing.T) {
	t.Parallel()
	at := storage{DataDir: filepath.Join(t.TempDir(), "data")}
	require.NoError(t, os.Mkdir(at.DataDir, 0o700))
	db, err := at.open(t.Context(), partners.Name)
	require.NoError(t, err)
	require.NoError(t, migrate(t.Context(), db, partners.Name))
	text := partners.NewKey("local")
	keys, err := partners.ParseKeys(text)
	require.NoError(t, err)
	for _, q := range []string{
		`INSERT INTO partners VALUES ('p', 'n', 'a@b.example', '15N', '', 2, 'ann', 1, 0)`,
		`INSERT INTO webhooks VALUES ('w', 'p', '15N', 'https://b.example', 'x', 1, 0, 0, '` + keys.Seal([]byte("s"), "w") + `', '', 0, 'ann', 1)`,
	} {
		_, err = db.Exec(t.Context(), q)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	path := filepath.Join(at.DataDir, "webhook.key")
	args := []string{"partners", "--data-dir", at.DataDir, "--register-address", "dns:///register:9090"}
	require.Equal(t, broken, examined(t, args...).line(t, "webhook key").Verdict, "a restored folder has none")
	require.NoError(t, os.WriteFile(path, partners.NewKey("local"), 0o600))
	require.Contains(t, examined(t, args...).line(t, "webhook key").Detail, "secrets of 1 webhooks are sealed under a key that is not here")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.Equal(t, fine, examined(t, args...).line(t, "webhook key").Verdict)
}

func TestDoctor_LooksAtPostgresAndItsRole(t *testing.T) {
	t.Parallel()
	admin := testkit.Postgres(t, sqldb.Options{}) // fails or skips where there is none
	role := admin.Schema()
	address, err := url.Parse(os.Getenv(testkit.PostgresVariable))
	require.NoError(t, err)
	pool, err := sql.Open("pgx", address.String())
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	exec := func(query string) {
		_, err := pool.ExecContext(t.Context(), query)
		require.NoError(t, err, query)
	}
	exec("CREATE DATABASE " + role)
	defer exec("DROP DATABASE " + role + " WITH (FORCE)")
	address.Path = "/" + role
	stored := storage{DatabaseURL: address.String()}
	db, err := stored.open(t.Context(), "register")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	require.NoError(t, migrate(t.Context(), db, "register"))
	args := []string{"register", "--data-dir", t.TempDir(), "--nats", "nats://127.0.0.1:1", "--database-url"}

	e := examined(t, append(args, address.String())...)
	require.Equal(t, fine, e.line(t, "register database").Verdict)
	require.Equal(t, fine, e.line(t, "register schema").Verdict)
	require.Equal(t, fine, e.line(t, "clock of the database").Verdict)
	require.Contains(t, e.line(t, "register role").Detail, "superuser")
	require.Equal(t, broken, e.line(t, "register role").Verdict)

	require.Equal(t, fine, e.line(t, "register locks").Verdict)
	_, err = db.Exec(t.Context(), "ALTER TABLE audit NO FORCE ROW LEVEL SECURITY")
	require.NoError(t, err)
	lifted := examined(t, append(args, address.String())...).line(t, "register locks")
	require.Equal(t, broken, lifted.Verdict)
	require.Contains(t, lifted.Detail, "row security of audit")
	_, err = db.Exec(t.Context(), "ALTER TABLE audit FORCE ROW LEVEL SECURITY")
	require.NoError(t, err)

	exec("CREATE ROLE " + role + " LOGIN")
	defer exec("DROP ROLE " + role)
	_, err = db.Exec(t.Context(), "GRANT USAGE ON SCHEMA register TO "+role)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "GRANT SELECT ON ALL TABLES IN SCHEMA register TO "+role)
	require.NoError(t, err)
	defer func() {
		_, err := db.Exec(t.Context(), "DROP OWNED BY "+role)
		require.NoError(t, err)
	}()
	address.User = url.User(role)
	require.Equal(t, fine, examined(t, append(args, address.String())...).line(t, "register role").Verdict)
	_, err = db.Exec(t.Context(), "CREATE SCHEMA core; GRANT USAGE ON SCHEMA core TO "+role)
	require.NoError(t, err)
	require.Contains(t, examined(t, append(args, address.String())...).line(t, "register role").Detail, "schemas of others: core")
	_, err = db.Exec(t.Context(), "GRANT CREATE ON SCHEMA register TO "+role)
	require.NoError(t, err)
	require.Contains(t, examined(t, append(args, address.String())...).line(t, "register role").Detail, "may make some")

	lossy := *address
	lossy.RawQuery += "&synchronous_commit=off"
	got := examined(t, append(args, lossy.String())...).line(t, "register database")
	require.Equal(t, broken, got.Verdict)
	require.Contains(t, got.Detail, "synchronous_commit is off")
	require.Equal(t, broken, examined(t, append(args, strings.Replace(address.String(), role, "nobody_"+role, 1))...).line(t, "register database").Verdict)
}
