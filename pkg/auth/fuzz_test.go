package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/stretchr/testify/require"
)

// FuzzVerify_RefusesWhatItDidNotMint feeds text as a token, and as the payload of a token signed with the right key.
func FuzzVerify_RefusesWhatItDidNotMint(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f, err)
	clock := testkit.NewClock(testkit.Start)
	issuer, err := auth.NewLocalIssuer(key, clock.Now)
	require.NoError(f, err)
	f.Add("", "")
	f.Add("a.b.c", `{"iss":"urn:pcnfunding:local","aud":"pcnfunding","sub":"x","exp":1e300}`)
	f.Add("eyJhbGciOiJub25lIn0.e30.", `{"exp":1768467600,"aud":["pcnfunding"],"roles":null}`)
	f.Fuzz(func(t *testing.T, token, payload string) {
		_, err := issuer.Verify(t.Context(), token)
		require.Error(t, err)
		_, ok := fault.As(err)
		require.True(t, ok, "%v", err)
		kid := keyID(t, issuer)
		p, err := issuer.Verify(t.Context(), sign(t, jose.ES256, key, map[string]any{"kid": kid}, payload))
		if err == nil {
			require.NotEmpty(t, p.Subject)
			return
		}
		_, ok = fault.As(err)
		require.True(t, ok, "%v", err)
	})
}
