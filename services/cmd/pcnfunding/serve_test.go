package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServe_AloneIsToldWhereOthersRun(t *testing.T) {
	for service, c := range map[string]struct {
		told    serveCommand
		missing string
	}{
		"all":      {serveCommand{}, ""},
		"register": {serveCommand{}, ""},
		"core":     {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"payments": {serveCommand{RegisterAddress: "dns:///register:9090"}, "--register-address"},
		"gateway":  {serveCommand{RegisterAddress: "dns:///register:9090", CoreAddress: "dns:///core:9090", PaymentsAddress: "dns:///payments:9090"}, "--register-address"},
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
