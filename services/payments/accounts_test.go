package payments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

func TestAccountFile_ResolvesEachTokenToOneAccount(t *testing.T) {
	t.Parallel()
	const header = "token,name,sort_code,account_number\n"
	for name, c := range map[string]struct{ content, token string }{
		"token of two accounts": {header + "acc-one,One,200000,86420975\nacc-two,Two,200000,86420976\nacc-one,Other,200000,86420977\n", "acc-one"},
		"same account twice":    {header + "acc-one,One,200000,86420975\nacc-one,One,200000,86420975\n", "acc-one"},
		"other columns":         {"token,name,account_number,sort_code\nacc-one,One,86420975,200000\n", ""},
		"too many values":       {header + "acc-one,One,200000,86420975,x\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "accounts.csv")
		require.NoError(t, os.WriteFile(path, []byte(c.content), 0o600))
		_, err := payments.AccountFile(path).Resolve(t.Context(), []string{"acc-one"})
		f, ok := fault.As(err)
		if assert.True(t, ok, name) {
			require.Equal(t, fault.Refused, f.Kind, name)
			require.Equal(t, "ACCOUNT_NOT_RESOLVED", f.Reason, name)
			require.Contains(t, f.Error(), c.token, name)
			require.NotContains(t, f.Error(), "8642", name)
		}
	}
	path := filepath.Join(t.TempDir(), "accounts.csv")
	_, err := payments.AccountFile(path).Resolve(t.Context(), nil)
	require.Error(t, err)
	_, ok := fault.As(err)
	require.False(t, ok, "a secret that is not mounted is no answer")
	require.NoError(t, os.WriteFile(path, []byte(header+"acc-one,One,200000,86420975\nacc-two,Two,200000,86420976\n"), 0o600))
	found, err := payments.AccountFile(path).Resolve(t.Context(), []string{"acc-one", "acc-none"})
	if assert.NoError(t, err) {
		require.Equal(t, map[string]export.Account{"acc-one": {Name: "One", SortCode: "200000", AccountNumber: "86420975"}}, found)
	}
}
