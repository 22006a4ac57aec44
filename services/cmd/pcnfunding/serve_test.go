package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/arrs"
)

func TestServe_NeedsThePersonKeyWhereADatabaseIsShared(t *testing.T) {
	t.Parallel()
	for service, needed := range map[string]bool{"all": true, "arrs": true, "core": false, "gateway": false} {
		command := &serveCommand{
			Service: service, HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", RegisterAddress: "dns:///register:9090", CoreAddress: "dns:///core:9090",
			ArrsAddress: "dns:///arrs:9090", IifAddress: "dns:///iif:9090", PaymentsAddress: "dns:///payments:9090",
			DevfundAddress:  "dns:///devfund:9090",
			ActivityAddress: "dns:///activity:9090", partnersOptions: partnersOptions{PartnersAddress: "dns:///partners:9090"},
		}
		require.NoError(t, command.Validate(), "%s without a database makes its own", service)
		command.DatabaseURL = "postgres://db.example/pcnfunding"
		if err := command.Validate(); needed {
			require.ErrorContains(t, err, "--person-key-file is needed with --database-url", service)
		} else {
			require.NoError(t, err, service)
		}
		command.PersonKey = "person.key"
		require.NoError(t, command.Validate(), service)
	}
}

func TestPersonKey_IsMadeOnceAndNeverShort(t *testing.T) {
	t.Parallel()
	command := new(serveCommand)
	command.DataDir = t.TempDir()
	made, err := command.personKey()
	require.NoError(t, err)
	require.Len(t, made, keyBytes)
	again, err := command.personKey()
	require.NoError(t, err)
	require.Equal(t, made, again)
	command.PersonKey = filepath.Join(t.TempDir(), "person.key")
	_, err = command.personKey()
	require.ErrorIs(t, err, os.ErrNotExist, "a file that is named is not made")
	require.NoError(t, os.WriteFile(command.PersonKey, []byte(strings.Repeat("k", keyBytes-1)), 0o600))
	_, err = command.personKey()
	require.ErrorContains(t, err, "31 bytes")
}

func TestUpkeep_ForgetsWhatIsPastItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := testkit.SQLite(t, sqldb.Options{})
		require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
		ctx, stop := context.WithTimeout(t.Context(), 2*pruneInterval+time.Minute)
		defer stop()
		times := 0
		require.NoError(t, upkeep(ctx, db, &telemetry.Telemetry{Logger: slog.New(slog.DiscardHandler)}, func(context.Context) error {
			times++
			return errors.New("once more")
		}))
		require.Equal(t, 2, times, "again after it failed")
	})
}

func TestServe_AloneIsToldWhereOthersRun(t *testing.T) {
	for service, c := range map[string]struct {
		told    serveCommand
		missing string
	}{
		"all":      {serveCommand{}, ""},
		"register": {serveCommand{}, ""},
		"core":     {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"arrs":     {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"iif":      {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"devfund":  {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"activity": {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"partners": {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"payments": {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"gateway": {serveCommand{
			RegisterAddress: "dns:///register:9090", CoreAddress: "dns:///core:9090", ArrsAddress: "dns:///arrs:9090", IifAddress: "dns:///iif:9090",
			PaymentsAddress: "dns:///payments:9090",
			DevfundAddress:  "dns:///devfund:9090",
			ActivityAddress: "dns:///activity:9090", partnersOptions: partnersOptions{PartnersAddress: "dns:///partners:9090"},
		}, "--register-address"},
	} {
		alone, told := serveCommand{}, c.told
		for _, command := range []*serveCommand{&alone, &told} {
			command.Service, command.GRPC, command.HTTP = service, "127.0.0.1:9090", "127.0.0.1:8080"
		}
		require.NoError(t, told.Validate(), service)
		if err := alone.Validate(); c.missing == "" {
			require.NoError(t, err, service)
		} else {
			require.ErrorContains(t, err, c.missing, service)
		}
	}
}

func TestServe_KeepsOperationsFromElsewhereWithoutAnIssuer(t *testing.T) {
	t.Parallel()
	command := &serveCommand{Service: "all", HTTP: "127.0.0.1:8080", GRPC: "127.0.0.1:9090", Ops: "0.0.0.0:9091"}
	require.ErrorContains(t, command.Validate(), "0.0.0.0:9091 can be reached from elsewhere")
	command.Ops = "127.0.0.1:9091"
	require.NoError(t, command.Validate())
}
