package natsauth_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/natsauth"
)

// FuzzNewAuthority checks that whatever is taken as a key file signs credentials that a client can read, of the account it names.
func FuzzNewAuthority(f *testing.F) {
	m, err := natsauth.Create(f.TempDir())
	require.NoError(f, err)
	keys, err := m.AuthorityKeys()
	require.NoError(f, err)
	for _, text := range [][]byte{nil, []byte("account\nissue\n"), []byte("# none\n"), keys, keys[:len(keys)/2], append([]byte("issue x\n"), keys...), append(keys, keys...)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := natsauth.NewAuthority(text, nil)
		if err != nil {
			require.Nil(t, a)
			return
		}
		creds, public, err := a.Issue(natsauth.Grant{
			Partner: "a", Credential: "c", Expires: time.Now().Add(time.Hour), Durables: []natsauth.Durable{{Stream: "PCNFUNDING_CORE", Name: "partner-a"}},
		})
		require.NoError(t, err)
		token, err := jwt.ParseDecoratedJWT(creds)
		require.NoError(t, err)
		claims, err := jwt.DecodeUserClaims(token)
		require.NoError(t, err)
		require.Equal(t, public, claims.Subject)
		require.Contains(t, string(text), claims.IssuerAccount)
	})
}

// FuzzOpen checks that a folder whose files were changed is opened as it was made, or not at all.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	m, err := natsauth.Create(dir)
	require.NoError(f, err)
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.seed"))
	require.NoError(f, err)
	require.NotEmpty(f, names)
	for _, name := range names {
		seed, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(filepath.Base(name), seed)
		f.Add(filepath.Base(name), seed[:len(seed)-1])
	}
	f.Add("system.seed", []byte("SAA"))
	f.Fuzz(func(t *testing.T, name string, seed []byte) {
		changed := t.TempDir()
		require.NoError(t, os.CopyFS(changed, os.DirFS(dir)))
		if !filepath.IsLocal(name) || filepath.Base(name) != name || os.WriteFile(filepath.Join(changed, "keys", name), seed, 0o600) != nil {
			return
		}
		again, err := natsauth.Open(changed)
		if err != nil {
			require.Nil(t, again)
			return
		}
		_, err = again.Accounts()
		require.NoError(t, err)
		_, token := again.Operator()
		_, same := m.Operator()
		require.Equal(t, same, token)
	})
}
