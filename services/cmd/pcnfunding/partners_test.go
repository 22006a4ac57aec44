package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

func TestWebhookKeys_AreMadeOnceAndNeverGuessed(t *testing.T) {
	t.Parallel()
	command := new(serveCommand)
	command.DataDir = t.TempDir()
	made, err := command.webhookKeys()
	require.NoError(t, err)
	sealed := made.Seal([]byte("secret"), "w")
	again, err := command.webhookKeys()
	require.NoError(t, err)
	opened, err := again.Open(sealed, "w")
	require.NoError(t, err)
	require.Equal(t, "secret", string(opened))

	command.DatabaseURL = "postgres://db.example/pcnfunding"
	none, err := command.webhookKeys()
	require.NoError(t, err)
	require.Nil(t, none, "processes that share a database must have the same key, so none makes its own")
	command.WebhookKey = filepath.Join(t.TempDir(), "keys")
	_, err = command.webhookKeys()
	require.ErrorIs(t, err, os.ErrNotExist, "a file that is named is not made")
	require.NoError(t, os.WriteFile(command.WebhookKey, partners.NewKey("2026"), 0o600))
	_, err = command.webhookKeys()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(command.WebhookKey, []byte("2026 c2hvcnQ="), 0o600))
	_, err = command.webhookKeys()
	require.ErrorContains(t, err, "5 bytes")
}

func TestCredsFile_IsNotLeftBehindByARefusal(t *testing.T) {
	t.Parallel()
	f := credsFile{Out: filepath.Join(t.TempDir(), "x.creds"), Days: 1}
	require.ErrorIs(t, f.with(func() (*partnersv1.IssuedCredential, error) { return nil, os.ErrPermission }), os.ErrPermission)
	_, err := os.Stat(f.Out)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, f.with(func() (*partnersv1.IssuedCredential, error) { return &partnersv1.IssuedCredential{Creds: "file"}, nil }))
	info, err := os.Stat(f.Out)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.ErrorIs(t, f.with(func() (*partnersv1.IssuedCredential, error) { t.Error("not made for nothing"); return nil, nil }), os.ErrExist)
}
