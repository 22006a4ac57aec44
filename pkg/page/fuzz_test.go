package page_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
)

// FuzzKey holds that a key comes back out of its token, and that any other token is refused by name.
func FuzzKey(f *testing.F) {
	for _, token := range []string{"", page.Token("core-15N-2022-04-1"), "djE6", "x", "v1:abc", page.Token("\x00é"), "djE6YQ==", "djE6Y\n"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		back, err := page.Key(page.Token(token))
		require.NoError(t, err)
		require.Equal(t, token, back)
		if _, err := page.Key(token); err != nil {
			require.Equal(t, page.ReasonToken, fault.ReasonOf(err))
		}
	})
}
