package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// The sample's month of one ICB: Shropshire, Telford and Wrekin has the fewest PCNs.
func TestSampleClaims_TakesAMonthFromThePublicationToARun(t *testing.T) {
	t.Parallel()
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", quiet: true}
	command.DataDir = t.TempDir()
	process, err := command.assemble(t.Context())
	require.NoError(t, err)
	stop := process.start(t.Context())
	defer func() { require.NoError(t, stop()) }()
	reach := client{Address: process.grpcAddr, DataDir: command.DataDir}
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error { return loadSample(t.Context(), suite.register) }))

	var first, second bytes.Buffer
	s := &claimsSample{of: sample.PublishedWorkforce(), codes: []string{"QOC"}}
	require.NoError(t, s.run(t.Context(), reach, &first))
	require.Contains(t, first.String(), modelled)
	require.NotEmpty(t, s.claims)
	for _, claim := range s.claims {
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_APPROVED, claim.GetState())
		require.NotEqual(t, claim.GetSubmittedBy(), claim.GetDecidedBy())
		for _, line := range claim.GetLines() {
			require.Equal(t, line.GetPayablePence(), line.GetApprovedPence())
			for _, part := range line.GetParts() {
				require.NotContains(t, []string{"OVER_MAXIMUM", "BASELINE_MISSING", "FACT_MISSING"}, part.GetReason())
			}
		}
	}
	again := &claimsSample{of: sample.PublishedWorkforce(), codes: []string{"QOC"}}
	require.NoError(t, again.run(t.Context(), reach, &second))
	require.Equal(t, first.String(), second.String(), "what was done stays")

	absent := monthClaimsCommand{client: reach, Month: "2022-10", Absent: true}
	require.NoError(t, absent.Run(t.Context()))
}
