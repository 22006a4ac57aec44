package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/stretchr/testify/require"
)

// tokenEndpoint is an issuer that gives tokens to one client, as RFC 7523 has it: by a key, or else by a secret.
type tokenEndpoint struct {
	t     *testing.T
	url   string
	clock *testkit.Clock

	mu      sync.Mutex
	key     crypto.PublicKey
	alg     jose.SignatureAlgorithm
	secret  string
	life    int
	used    map[string]bool // jti
	kids    []string
	given   int
	refusal string
}

func newTokenEndpoint(t *testing.T) *tokenEndpoint {
	t.Helper()
	e := &tokenEndpoint{t: t, clock: testkit.NewClock(testkit.Start), life: 600, used: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "token_endpoint": %q, "jwks_uri": %q}`, e.url, e.url+"/token", e.url+"/jwks")
	})
	mux.HandleFunc("POST /token", e.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// set changes what the issuer does from now on.
func (e *tokenEndpoint) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

func (e *tokenEndpoint) token(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	err := e.check(r)
	if err != nil || e.refusal != "" {
		w.WriteHeader(http.StatusUnauthorized)
		words := fmt.Sprint(err, e.refusal, r.PostForm, r.Header) // an issuer that says too much
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": words})
		return
	}
	e.given++
	_, _ = fmt.Fprintf(w, `{"access_token": "token-%d", "token_type": "Bearer", "expires_in": %d}`, e.given, e.life)
}

func (e *tokenEndpoint) check(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return fmt.Errorf("grant %q", r.PostForm.Get("grant_type"))
	}
	if e.secret != "" {
		id, secret, _ := r.BasicAuth()
		if plain, err := url.QueryUnescape(secret); err != nil || id != "month-close" || plain != e.secret {
			return fmt.Errorf("client %q by a wrong secret", id)
		}
		return nil
	}
	if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return fmt.Errorf("assertion of type %q", r.PostForm.Get("client_assertion_type"))
	}
	parsed, err := jwt.ParseSigned(r.PostForm.Get("client_assertion"), []jose.SignatureAlgorithm{e.alg})
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := parsed.Claims(e.key, &claims); err != nil {
		return err
	}
	e.kids = append(e.kids, parsed.Headers[0].KeyID)
	want := jwt.Expected{Issuer: "month-close", Subject: "month-close", AnyAudience: jwt.Audience{e.url + "/token"}, Time: e.clock.Now()}
	if err := claims.ValidateWithLeeway(want, 0); err != nil {
		return err
	}
	switch life := claims.Expiry.Time().Sub(claims.IssuedAt.Time()); {
	case len(claims.Audience) != 1 || life <= 0 || life > 5*time.Minute:
		return fmt.Errorf("an audience of %v for %s", claims.Audience, life)
	case claims.ID == "" || e.used[claims.ID]:
		return fmt.Errorf("jti %q was used before", claims.ID)
	}
	e.used[claims.ID] = true
	return nil
}

func (e *tokenEndpoint) options(t *testing.T, key []byte) auth.ClientOptions {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client")
	testkit.WriteFile(t, file, key)
	return auth.ClientOptions{Issuer: e.url, ClientID: "month-close", KeyFile: file, Clock: e.clock.Now}
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestClientTokens_ProveThemselvesByAKey(t *testing.T) {
	t.Parallel()
	p256 := newSigningKey(t, "").key
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: long, KeyID: "by-agreement", Algorithm: string(jose.RS512)})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		file   []byte
		public crypto.PublicKey
		alg    jose.SignatureAlgorithm
		kid    string
	}{
		"P-256":        {pkcs8(t, p256), p256.Public(), jose.ES256, ""},
		"P-384":        {pkcs8(t, p384), p384.Public(), jose.ES384, ""},
		"RSA":          {pkcs8(t, long), long.Public(), jose.RS256, ""},
		"Ed25519":      {pkcs8(t, edwards), public, jose.EdDSA, ""},
		"JSON Web Key": {jwk, long.Public(), jose.RS512, "by-agreement"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTokenEndpoint(t)
			e.key, e.alg = c.public, c.alg
			tokens, err := auth.NewClientTokens(t.Context(), e.options(t, c.file))
			require.NoError(t, err)
			token, err := tokens.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, "token-1", token)
			want := c.kid
			if want == "" {
				want = thumbprint(t, c.public)
			}
			require.Equal(t, []string{want}, e.kids)
		})
	}
}

func thumbprint(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	require.NoError(t, err)
	return encode(string(sum))
}

func TestClientTokens_AreUsedUntilShortlyBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	e := newTokenEndpoint(t)
	e.secret = "a secret & more"
	o := e.options(t, []byte(e.secret+"\n"))
	o.KeyFile, o.SecretFile = "", o.KeyFile
	tokens, err := auth.NewClientTokens(t.Context(), o)
	require.NoError(t, err)
	e.life = 29 // a token that ends within the next half minute is not kept
	for _, want := range []string{"token-1", "token-2"} {
		token, err := tokens.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, token)
	}
	e.set(func() { e.life = 600 })
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if token, err := tokens.Token(t.Context()); err != nil || token != "token-3" {
				t.Errorf("token %q, error %v", token, err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 3, e.given)
}

func TestClientTokens_UseTheKeyOfTheDay(t *testing.T) {
	t.Parallel()
	e := newTokenEndpoint(t)
	old, young := newSigningKey(t, "").key, newSigningKey(t, "").key
	e.key, e.alg, e.life = old.Public(), jose.ES256, 1
	o := e.options(t, pkcs8(t, old))
	tokens, err := auth.NewClientTokens(t.Context(), o)
	require.NoError(t, err)
	for range 2 {
		_, err = tokens.Token(t.Context())
		require.NoError(t, err, "each by an assertion of its own")
	}
	e.set(func() { e.key = young.Public() })
	_, err = tokens.Token(t.Context())
	require.ErrorContains(t, err, "401")
	testkit.WriteFile(t, o.KeyFile, pkcs8(t, young))
	_, err = tokens.Token(t.Context())
	require.NoError(t, err)
}

func TestClientTokens_KeepSecretsOutOfErrors(t *testing.T) {
	t.Parallel()
	e := newTokenEndpoint(t)
	e.secret, e.refusal = "hunter2hunter2", "not today: "
	o := e.options(t, []byte(e.secret))
	o.KeyFile, o.SecretFile = "", o.KeyFile
	tokens, err := auth.NewClientTokens(t.Context(), o)
	require.NoError(t, err)
	_, err = tokens.Token(t.Context())
	require.ErrorContains(t, err, "gives client month-close no token: 401 Unauthorized invalid_client")
	require.NotContains(t, err.Error(), e.secret)

	e.set(func() { e.secret, e.key, e.alg = "", newSigningKey(t, "").key.Public(), jose.ES256 })
	tokens, err = auth.NewClientTokens(t.Context(), e.options(t, pkcs8(t, newSigningKey(t, "").key)))
	require.NoError(t, err)
	_, err = tokens.Token(t.Context())
	require.ErrorContains(t, err, "invalid_client")
	require.NotContains(t, err.Error(), "eyJ", "an assertion is good for two minutes")
}

func TestClientTokens_RefuseBadKeys(t *testing.T) {
	t.Parallel()
	e := newTokenEndpoint(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	key := newSigningKey(t, "").key
	web := func(key any, alg jose.SignatureAlgorithm) []byte {
		text, err := json.Marshal(jose.JSONWebKey{Key: key, Algorithm: string(alg)})
		require.NoError(t, err)
		return text
	}
	for says, file := range map[string][]byte{
		"neither PEM nor a JSON Web Key": []byte("hunter2"),
		"no private key in PKCS #8 form": pemOf(t, key.Public()),
		"an RSA key of 1024 bits":        pkcs8(t, short),
		"keys of the curve P-521":        pkcs8(t, p521),
		"*ecdsa.PublicKey is no private": web(key.Public(), jose.ES256),
		"[]uint8 is no private key":      web([]byte("a secret of 32 bytes or even more"), jose.HS256),
		"client with HS256":              web(key, jose.HS256),
		"client with none":               web(key, "none"),
	} {
		tokens, err := auth.NewClientTokens(t.Context(), e.options(t, file))
		require.NoError(t, err, says)
		_, err = tokens.Token(t.Context())
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestNewClientTokens_RefusesBadSettings(t *testing.T) {
	t.Parallel()
	e := newTokenEndpoint(t)
	good := e.options(t, nil)
	for name, change := range map[string]func(*auth.ClientOptions){
		"no issuer":          func(o *auth.ClientOptions) { o.Issuer = "" },
		"another issuer":     func(o *auth.ClientOptions) { o.Issuer += "/" },
		"no client":          func(o *auth.ClientOptions) { o.ClientID = "" },
		"no proof":           func(o *auth.ClientOptions) { o.KeyFile = "" },
		"two proofs":         func(o *auth.ClientOptions) { o.SecretFile = o.KeyFile },
		"no clock":           func(o *auth.ClientOptions) { o.Clock = nil },
		"nobody at the door": func(o *auth.ClientOptions) { o.Issuer = "http://127.0.0.1:1" },
	} {
		o := good
		change(&o)
		_, err := auth.NewClientTokens(t.Context(), o)
		require.Error(t, err, name)
	}
}

// TestClientTokens_TravelInPrivate has an issuer name a token endpoint that a secret would reach in clear text, and one that passes it on.
func TestClientTokens_TravelInPrivate(t *testing.T) {
	t.Parallel()
	endpoint, reached := "http://issuer.example.test/token", false
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_, _ = fmt.Fprintf(w, `{"issuer": %q, "token_endpoint": %q}`, server.URL, endpoint)
		case "/token":
			http.Redirect(w, r, server.URL+"/elsewhere", http.StatusTemporaryRedirect)
		default:
			reached = true
		}
	}))
	t.Cleanup(server.Close)
	e := &tokenEndpoint{url: server.URL, clock: testkit.NewClock(testkit.Start)}
	o := e.options(t, pkcs8(t, newSigningKey(t, "").key))
	o.Issuer = "http://issuer.example.test"
	_, err := auth.NewClientTokens(t.Context(), o)
	require.ErrorContains(t, err, "is not https", "whoever answers in its place could name a token endpoint of theirs")
	o.Issuer = e.url
	_, err = auth.NewClientTokens(t.Context(), o)
	require.ErrorContains(t, err, "is not https")
	endpoint = server.URL + "/token"
	tokens, err := auth.NewClientTokens(t.Context(), o)
	require.NoError(t, err)
	_, err = tokens.Token(t.Context())
	require.ErrorContains(t, err, "307")
	require.False(t, reached)
}
