package vault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/partners/internal/vault"
)

// FuzzParse checks that whatever is taken as keys opens what it seals, and that nothing else does.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "# none\n\n", "a", "a b", "a " + "AAAA", string(vault.New("a")), string(vault.New("a")) + "# then\n" + string(vault.New("b")), string(vault.New("a:b")),
		string(vault.New("")), "\xff" + string(vault.New("a")), string(vault.New("a")) + string(vault.New("a")),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := vault.Parse(text)
		if err != nil {
			require.Nil(t, r)
			return
		}
		opened, err := r.Open(r.Seal([]byte("secret"), "owner"), "owner")
		require.NoError(t, err)
		require.Equal(t, "secret", string(opened))
		_, err = r.Open(string(text), "owner")
		require.Error(t, err)
	})
}
