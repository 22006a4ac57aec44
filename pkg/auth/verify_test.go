package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/stretchr/testify/require"
)

// issuer is a local issuer and an OIDC verifier of the same key: what one refuses the other must refuse.
type issuer struct {
	key       *ecdsa.PrivateKey
	kid       string
	clock     *testkit.Clock
	local     *auth.LocalIssuer
	verifiers map[string]auth.Verifier
	requests  *atomic.Int64
	down      *atomic.Bool
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	clock := testkit.NewClock(testkit.Start)
	plain, err := auth.NewLocalIssuer(key, clock.Now)
	require.NoError(t, err)
	i := issuer{key: key, clock: clock, requests: new(atomic.Int64), down: new(atomic.Bool)}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		if i.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.local = plain.At(server.URL)
	handler = i.local.Discovery()
	i.kid = keyID(t, i.local)
	oidc, err := auth.NewOIDC(t.Context(), server.URL, auth.DefaultAudience, clock.Now)
	require.NoError(t, err)
	i.verifiers = map[string]auth.Verifier{"local": i.local, "oidc": oidc}
	return i
}

func keyID(t *testing.T, local *auth.LocalIssuer) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	local.JWKS().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	var set jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &set))
	require.Len(t, set.Keys, 1)
	require.True(t, set.Keys[0].IsPublic())
	return set.Keys[0].KeyID
}

func (i issuer) claims() map[string]any {
	now := i.clock.Now().Unix()
	return map[string]any{
		"iss": i.local.Issuer(), "aud": "pcnfunding", "sub": "someone", "iat": now, "exp": now + 600,
		"roles": []string{"finance_preparer"}, "commissioners": []string{"15N"},
	}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, header map[string]any, claims any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	require.NoError(t, err)
	payload, isText := claims.(string)
	if !isText {
		text, err := json.Marshal(claims)
		require.NoError(t, err)
		payload = string(text)
	}
	signed, err := signer.Sign([]byte(payload))
	require.NoError(t, err)
	token, err := signed.CompactSerialize()
	require.NoError(t, err)
	return token
}

func (i issuer) sign(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	claims := i.claims()
	change(claims)
	return sign(t, jose.ES256, i.key, map[string]any{"kid": i.kid}, claims)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestVerify_AcceptsGoodTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	now := testkit.Start.Unix()
	cases := map[string]func(map[string]any){
		"plain":                      func(map[string]any) {},
		"audience among others":      set("aud", []string{"another", "pcnfunding"}),
		"expired within the leeway":  set("exp", now-29),
		"issued within the leeway":   set("iat", now+29),
		"not before, in the leeway":  set("nbf", now+29),
		"decimals in a time":         set("exp", json.Number("1768470000.75")),
		"no iat":                     func(c map[string]any) { delete(c, "iat") },
		"claims that are not ours":   set("amr", []string{"pwd"}),
		"a role of another system":   set("roles", []string{"admin_elsewhere", "finance_preparer", "finance_preparer"}),
		"a commissioner named twice": set("commissioners", []string{"15N", "", "15N"}),
	}
	for name, change := range cases {
		token := i.sign(t, change)
		for kind, verifier := range i.verifiers {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				got, err := verifier.Verify(t.Context(), token)
				require.NoError(t, err)
				require.Equal(t, auth.Principal{
					Subject: "someone", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER},
					Commissioners: []string{"15N"}, Token: token,
				}, got)
			})
		}
	}
}

func TestVerify_RefusesBadClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	drop := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	now := testkit.Start.Unix()
	cases := map[string]struct {
		change        func(map[string]any)
		reason, claim string
	}{
		"expired":              {set("exp", now-30), auth.ReasonTokenExpired, "exp"},
		"expired long ago":     {set("exp", 0), auth.ReasonTokenExpired, "exp"},
		"no expiry":            {drop("exp"), auth.ReasonTokenInvalid, "exp"},
		"expiry beyond time":   {set("exp", json.Number("99999999999999999999")), auth.ReasonTokenInvalid, "payload"},
		"negative expiry":      {set("exp", -1), auth.ReasonTokenInvalid, "payload"},
		"expiry in words":      {set("exp", "tomorrow"), auth.ReasonTokenInvalid, "payload"},
		"issued in the future": {set("iat", now+31), auth.ReasonTokenInvalid, "iat"},
		"not valid yet":        {set("nbf", now+31), auth.ReasonTokenInvalid, "nbf"},
		"another issuer":       {set("iss", "https://issuer.example.test"), auth.ReasonTokenInvalid, "iss"},
		"issuer with a slash":  {func(c map[string]any) { c["iss"] = i.local.Issuer() + "/" }, auth.ReasonTokenInvalid, "iss"},
		"no issuer":            {drop("iss"), auth.ReasonTokenInvalid, "iss"},
		"another audience":     {set("aud", "pcnfunding2"), auth.ReasonTokenInvalid, "aud"},
		"no audience":          {drop("aud"), auth.ReasonTokenInvalid, "aud"},
		"empty audience":       {set("aud", []string{}), auth.ReasonTokenInvalid, "aud"},
		"audience as a number": {set("aud", 5), auth.ReasonTokenInvalid, "payload"},
		"no subject":           {drop("sub"), auth.ReasonTokenInvalid, "sub"},
		"roles as one string":  {set("roles", "finance_preparer"), auth.ReasonTokenInvalid, "payload"},
		"audience in upper case": {func(c map[string]any) {
			delete(c, "aud")
			c["AUD"] = "pcnfunding"
		}, auth.ReasonTokenInvalid, "aud"},
	}
	for name, c := range cases {
		token := i.sign(t, c.change)
		for kind, verifier := range i.verifiers {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				requireRefused(t, verifier, token, c.reason, c.claim)
			})
		}
	}
}

func TestVerify_RefusesForgedTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	foreignRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := json.Marshal(jose.JSONWebKey{Key: i.key.Public()})
	require.NoError(t, err)
	claims := i.claims()
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	good := i.sign(t, func(map[string]any) {})
	parts := strings.Split(good, ".")
	kid := map[string]any{"kid": i.kid}
	unsigned := func(alg string) string {
		return encode(`{"alg":"`+alg+`","kid":"`+i.kid+`"}`) + "." + encode(string(text)) + "."
	}
	cases := map[string]struct{ token, claim string }{
		"foreign key":                          {sign(t, jose.ES256, foreign, kid, claims), "signature"},
		"foreign key with its own jwk":         {sign(t, jose.ES256, foreign, map[string]any{"kid": i.kid, "jwk": jose.JSONWebKey{Key: foreign.Public()}}, claims), "signature"},
		"foreign key with a key's URL":         {sign(t, jose.ES256, foreign, map[string]any{"kid": i.kid, "jku": "https://evil.example.test/jwks"}, claims), "signature"},
		"foreign RSA key":                      {sign(t, jose.RS256, foreignRSA, kid, claims), ""},
		"alg none":                             {unsigned("none"), "alg"},
		"alg None":                             {unsigned("None"), "alg"},
		"alg nOnE with a signature":            {unsigned("nOnE") + parts[2], "alg"},
		"ES256 without a signature":            {unsigned("ES256"), ""},
		"public key as a shared secret":        {sign(t, jose.HS256, public, kid, claims), "alg"},
		"public key in PEM as a shared secret": {sign(t, jose.HS256, pemOf(t, i.key.Public()), kid, claims), "alg"},
		"kid as a path":                        {sign(t, jose.ES256, foreign, map[string]any{"kid": "../../../../dev/null"}, claims), ""},
		"kid as SQL":                           {sign(t, jose.ES256, foreign, map[string]any{"kid": "x' UNION SELECT 'secret"}, claims), ""},
		"kid as an address":                    {sign(t, jose.ES256, foreign, map[string]any{"kid": "https://evil.example.test/jwks#1"}, claims), ""},
		"kid with NUL":                         {sign(t, jose.ES256, foreign, map[string]any{"kid": i.kid + "\x00"}, claims), ""},
		"kid of nothing":                       {sign(t, jose.ES256, foreign, nil, claims), ""},
		"unknown critical header":              {sign(t, jose.ES256, i.key, map[string]any{"kid": i.kid, "crit": []string{"exp2"}, "exp2": 1}, claims), ""},
		"payload exchanged":                    {parts[0] + "." + encode(strings.Replace(string(text), "15N", "*", 1)) + "." + parts[2], "signature"},
		"signature of zeros":                   {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "signature"},
		"signature cut":                        {good[:len(good)-4], ""},
		"one part":                             {"abc", "token"},
		"four parts":                           {good + ".abc", "token"},
		"JSON serialisation":                   {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "token"},
		"padded base64":                        {parts[0] + "=." + parts[1] + "." + parts[2], "token"},
		"no JSON in the payload":               {sign(t, jose.ES256, i.key, kid, "not json"), "payload"},
		"a claim that stands twice":            {sign(t, jose.ES256, i.key, kid, strings.Replace(string(text), "{", `{"aud":"x",`, 1)), "payload"},
		"16 KiB and more":                      {strings.Repeat("a", 16<<10+1), "token"},
		"naughty text":                         {"\xff\xfe.\u202e.\x00", "token"},
	}
	for name, c := range cases {
		for kind, verifier := range i.verifiers {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				requireRefused(t, verifier, c.token, auth.ReasonTokenInvalid, c.claim)
			})
		}
	}
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func requireRefused(t *testing.T, verifier auth.Verifier, token, reason, claim string) {
	t.Helper()
	p, err := verifier.Verify(t.Context(), token)
	require.Error(t, err)
	require.Equal(t, auth.Principal{}, p)
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, fault.Unauthenticated, f.Kind, "%v", err)
	require.Equal(t, reason, f.Reason, "%v", err)
	if claim == "" {
		require.NotEmpty(t, f.Meta["claim"])
		return
	}
	require.Equal(t, claim, f.Meta["claim"], "%v", err)
}

func TestVerify_AsksForAToken(t *testing.T) {
	t.Parallel()
	for _, verifier := range newIssuer(t).verifiers {
		_, err := verifier.Verify(t.Context(), "")
		require.Equal(t, auth.ReasonTokenMissing, fault.ReasonOf(err))
	}
}

func TestVerify_ChecksTimesOfTokensItHasSeen(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	token := i.sign(t, func(map[string]any) {})
	for _, verifier := range i.verifiers {
		i.clock.Set(testkit.Start)
		_, err := verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		i.clock.Advance(629 * time.Second)
		_, err = verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		i.clock.Advance(time.Second)
		_, err = verifier.Verify(t.Context(), token)
		require.Equal(t, auth.ReasonTokenExpired, fault.ReasonOf(err))
		i.clock.Set(testkit.Start.Add(-24 * time.Hour))
		_, err = verifier.Verify(t.Context(), token)
		require.Equal(t, auth.ReasonTokenInvalid, fault.ReasonOf(err), "a clock set back makes the token one of the future")
	}
}

func TestVerify_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	token := i.sign(t, func(map[string]any) {})
	var group sync.WaitGroup
	for range 20 {
		for _, verifier := range i.verifiers {
			group.Go(func() {
				p, err := verifier.Verify(t.Context(), token)
				if err != nil || p.Subject != "someone" {
					t.Errorf("verify: %v, %v", p, err)
				}
			})
		}
	}
	group.Wait()
}

func TestOIDC_SparesTheIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	before := i.requests.Load()
	for n := range 50 {
		claims := i.claims()
		claims["jti"] = n
		_, err := i.verifiers["oidc"].Verify(t.Context(), sign(t, jose.ES256, i.key, map[string]any{"kid": "invented"}, claims))
		require.Equal(t, auth.ReasonTokenInvalid, fault.ReasonOf(err))
	}
	require.Equal(t, before+1, i.requests.Load(), "one key set for all of them")
}

func TestOIDC_TellsAnIssuerThatIsDown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.down.Store(true)
	token := i.sign(t, func(map[string]any) {})
	_, err := i.verifiers["oidc"].Verify(t.Context(), token)
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, fault.Busy, f.Kind)
	require.Equal(t, auth.ReasonIssuerUnavailable, f.Reason)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = i.verifiers["oidc"].Verify(gone, token)
	require.ErrorIs(t, err, context.Canceled)

	i.down.Store(false)
	require.Eventually(t, func() bool {
		i.clock.Advance(time.Second)
		_, err := i.verifiers["oidc"].Verify(t.Context(), token)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond)
}

func TestNewOIDC_RefusesBadSettings(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	clock := i.clock.Now
	for name, c := range map[string]struct{ issuer, audience string }{
		"no issuer":                   {"", "pcnfunding"},
		"no audience":                 {i.local.Issuer(), ""},
		"an issuer by another name":   {i.local.Issuer() + "/", "pcnfunding"},
		"an issuer that is not there": {"http://127.0.0.1:1", "pcnfunding"},
	} {
		_, err := auth.NewOIDC(t.Context(), c.issuer, c.audience, clock)
		require.Error(t, err, name)
	}
}

func TestLocalIssuer_KeepsItsKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	clock := testkit.NewClock(testkit.Start)
	var group sync.WaitGroup
	issuers := make([]*auth.LocalIssuer, 4)
	for n := range issuers {
		group.Go(func() {
			opened, err := auth.OpenLocalIssuer(dir, clock.Now)
			if err != nil {
				t.Errorf("open: %v", err)
			}
			issuers[n] = opened
		})
	}
	group.Wait()
	p := auth.Principal{Subject: "someone", Roles: []optionsv1.Role{optionsv1.Role_ROLE_AUDITOR}, PCNs: []string{"U12345"}}
	token, err := issuers[0].Mint(p, time.Minute)
	require.NoError(t, err)
	for _, other := range issuers {
		got, err := other.Verify(t.Context(), token)
		require.NoError(t, err)
		p.Token = token
		require.Equal(t, p, got)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestOpenLocalIssuer_RefusesABadKeyFile(t *testing.T) {
	t.Parallel()
	write := func(text string, mode os.FileMode) string {
		dir := t.TempDir()
		path := filepath.Join(dir, "local-issuer.key")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return dir
	}
	good := t.TempDir()
	_, err := auth.OpenLocalIssuer(good, time.Now)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Join(good, "local-issuer.key"), 0o640))
	for name, c := range map[string]struct{ dir, says string }{
		"readable by others": {good, "read by others"},
		"empty":              {write("", 0o600), "PEM"},
		"no key in PEM":      {write("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600), "parse"},
	} {
		_, err := auth.OpenLocalIssuer(c.dir, time.Now)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestMint_RefusesSenselessTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for name, c := range map[string]struct {
		subject string
		ttl     time.Duration
	}{"no subject": {"", time.Minute}, "no life": {"x", 0}, "a long life": {"x", 25 * time.Hour}} {
		_, err := i.local.Mint(auth.Principal{Subject: c.subject}, c.ttl)
		require.Error(t, err, name)
	}
}
