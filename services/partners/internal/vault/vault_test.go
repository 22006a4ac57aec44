package vault_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/partners/internal/vault"
)

func ring(t *testing.T, text ...[]byte) *vault.Ring {
	t.Helper()
	r, err := vault.Parse(bytes.Join(text, nil))
	require.NoError(t, err)
	return r
}

func TestRing_OpensWhatItSealedForTheSameOwner(t *testing.T) {
	t.Parallel()
	r := ring(t, vault.New("a"))
	sealed := r.Seal([]byte("secret"), "webhook 1")
	require.NotContains(t, sealed, "secret")
	require.NotEqual(t, sealed, r.Seal([]byte("secret"), "webhook 1"), "each sealing has its own nonce")
	opened, err := r.Open(sealed, "webhook 1")
	require.NoError(t, err)
	require.Equal(t, "secret", string(opened))
	for name, other := range map[string]string{"another owner": "webhook 2", "no owner": ""} {
		_, err := r.Open(sealed, other)
		require.Error(t, err, name)
	}
	for i := range len(sealed) {
		changed := []byte(sealed)
		changed[i] ^= 1
		_, err := r.Open(string(changed), "webhook 1")
		require.Error(t, err, "changed at %d", i)
	}
}

func TestRing_ReplacesAKeyInSteps(t *testing.T) {
	t.Parallel()
	old, renewed := vault.New("2025"), vault.New("2026")
	sealed := ring(t, old).Seal([]byte("secret"), "w")
	both := ring(t, []byte("# the first seals\n\n"), renewed, old)
	require.True(t, both.Stale(sealed))
	opened, err := both.Open(sealed, "w")
	require.NoError(t, err)
	again := both.Seal(opened, "w")
	require.False(t, both.Stale(again))
	opened, err = ring(t, renewed).Open(again, "w")
	require.NoError(t, err)
	require.Equal(t, "secret", string(opened))
	_, err = ring(t, renewed).Open(sealed, "w")
	require.ErrorContains(t, err, `there is no key "2025"`)
}

func TestParse_RefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	good := strings.TrimSpace(string(vault.New("a")))
	for name, text := range map[string]string{
		"nothing": "", "only a comment": "# a\n", "no key": "a", "not base64": "a ????", "short": "a c2hvcnQ=", "twice": good + "\n" + good, "colon": "a:b" + good[1:],
	} {
		_, err := vault.Parse([]byte(text))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), good[2:])
	}
}
