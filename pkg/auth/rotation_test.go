package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/stretchr/testify/require"
)

// changing is an issuer that changes its keys.
type changing struct {
	t        *testing.T
	clock    *testkit.Clock
	verifier auth.Verifier
	url      string
	document atomic.Value // string: the key set
	asked    atomic.Int64 // requests for the key set
	down     atomic.Bool
	issued   int
}

func newChanging(t *testing.T, keys ...*signingKey) *changing {
	t.Helper()
	c := &changing{t: t, clock: testkit.NewClock(testkit.Start)}
	c.publish(keys...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/jwks" {
			_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, c.url, c.url+"/jwks")
			return
		}
		c.asked.Add(1)
		if c.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprint(w, c.document.Load())
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	var err error
	c.verifier, err = auth.NewOIDC(t.Context(), c.url, auth.DefaultAudience, c.clock.Now)
	require.NoError(t, err)
	return c
}

// publish makes these the keys of the issuer.
func (c *changing) publish(keys ...*signingKey) {
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.kid, Algorithm: string(jose.ES256), Use: "sig"})
	}
	text, err := json.Marshal(set)
	require.NoError(c.t, err)
	c.document.Store(string(text))
}

// token is one that was never seen before, good for ten minutes.
func (c *changing) token(by *signingKey) string {
	c.t.Helper()
	c.issued++
	now := c.clock.Now().Unix()
	return sign(c.t, jose.ES256, by.key, map[string]any{"kid": by.kid}, map[string]any{
		"iss": c.url, "aud": "pcnfunding", "sub": "someone", "iat": now, "exp": now + 600, "jti": c.issued, "roles": []string{"auditor"},
	})
}

// says is the reason for which the verifier refuses a token, empty if it does not.
func (c *changing) says(token string) string {
	_, err := c.verifier.Verify(c.t.Context(), token)
	return fault.ReasonOf(err)
}

type signingKey struct {
	key *ecdsa.PrivateKey
	kid string
}

func newSigningKey(t *testing.T, kid string) *signingKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &signingKey{key: key, kid: kid}
}

func TestOIDC_FollowsAnIssuerToItsNewKey(t *testing.T) {
	t.Parallel()
	old, young := newSigningKey(t, "1"), newSigningKey(t, "2")
	c := newChanging(t, old)
	require.Empty(t, c.says(c.token(old)))
	require.Equal(t, auth.ReasonTokenInvalid, c.says(c.token(young)), "before the issuer gives the key")
	c.publish(old, young)
	c.clock.Advance(10 * time.Second)
	require.Empty(t, c.says(c.token(young)), "without a restart")
	require.Empty(t, c.says(c.token(old)))
	c.publish(young)
	c.clock.Advance(5 * time.Minute)
	require.Equal(t, auth.ReasonTokenInvalid, c.says(c.token(old)))
	require.Empty(t, c.says(c.token(young)))
	again := newSigningKey(t, "2")
	c.publish(again)
	c.clock.Advance(10 * time.Second)
	require.Empty(t, c.says(c.token(again)), "another key by the same name")
}

// TestOIDC_DropsAWithdrawnKey has nobody use a new key, which would make the verifier look at the issuer's keys anyway.
func TestOIDC_DropsAWithdrawnKey(t *testing.T) {
	t.Parallel()
	stolen := newSigningKey(t, "1")
	c := newChanging(t, stolen)
	require.Empty(t, c.says(c.token(stolen)))
	c.clock.Advance(4 * time.Minute)
	seen := c.token(stolen)
	require.Empty(t, c.says(seen))
	c.publish(newSigningKey(t, "2"))
	c.clock.Advance(59 * time.Second)
	require.Empty(t, c.says(c.token(stolen)), "the keys are not due yet")
	c.clock.Advance(time.Second)
	require.Equal(t, auth.ReasonTokenInvalid, c.says(c.token(stolen)))
	require.Empty(t, c.says(seen), "a token that was found good stays so")
	c.clock.Advance(9*time.Minute - time.Second)
	require.Empty(t, c.says(seen))
	c.clock.Advance(time.Second)
	require.Equal(t, auth.ReasonTokenInvalid, c.says(seen), "for ten minutes")
}

func TestOIDC_OutlivesAnOutageOfItsIssuer(t *testing.T) {
	t.Parallel()
	known, unknown := newSigningKey(t, "1"), newSigningKey(t, "2")
	c := newChanging(t, known)
	require.Empty(t, c.says(c.token(known)))
	c.down.Store(true)
	for range 64 {
		c.clock.Advance(time.Minute)
		require.Empty(t, c.says(c.token(known)))
		require.Equal(t, auth.ReasonIssuerUnavailable, c.says(c.token(unknown)), "it may be good: nobody can tell")
	}
	c.clock.Advance(time.Minute)
	require.Equal(t, auth.ReasonIssuerUnavailable, c.says(c.token(known)), "an hour after its keys were due")
	c.down.Store(false)
	c.clock.Advance(time.Second)
	require.Empty(t, c.says(c.token(known)))
	require.Equal(t, auth.ReasonTokenInvalid, c.says(c.token(unknown)))
}

func TestOIDC_KeepsItsKeysWhenTheIssuerGivesNone(t *testing.T) {
	t.Parallel()
	key := newSigningKey(t, "1")
	c := newChanging(t, key)
	require.Empty(t, c.says(c.token(key)))
	c.document.Store("<html>down for maintenance</html>")
	c.clock.Advance(6 * time.Minute)
	require.Empty(t, c.says(c.token(key)))
}

// TestOIDC_SparesTheIssuerInAStorm sends tokens of keys that nobody has for a minute, from many sides, to an issuer that is up and to
// one that is down.
func TestOIDC_SparesTheIssuerInAStorm(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		down bool
		most int64
	}{"up": {false, 7}, "down": {true, 61}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChanging(t, newSigningKey(t, "1"))
			c.down.Store(of.down)
			nobodys := newSigningKey(t, "invented")
			for range 60 {
				tokens := make([]string, 10)
				for i := range tokens {
					tokens[i] = c.token(nobodys)
				}
				var senders sync.WaitGroup
				for _, token := range tokens {
					senders.Go(func() { _, _ = c.verifier.Verify(t.Context(), token) })
				}
				senders.Wait()
				c.clock.Advance(time.Second)
			}
			require.LessOrEqual(t, c.asked.Load(), of.most, "of 600 tokens")
		})
	}
}
