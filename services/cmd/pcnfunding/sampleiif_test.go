package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// The sample's year of one ICB: Shropshire, Telford and Wrekin has the fewest PCNs.
func TestSampleAchievement_WorksAYearOutForEveryPCN(t *testing.T) {
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
	s := &achievementSample{of: sample.PublishedAchievement(), codes: []string{"QOC"}}
	require.NoError(t, s.run(t.Context(), reach, &first))
	require.Contains(t, first.String(), notActual)
	require.Len(t, s.all, 8)
	for _, a := range s.all {
		r := a.GetResult()
		require.True(t, r.GetWhole(), "%s: %v %v", a.GetPcnCode(), r.GetMissing(), r.GetRefusals())
		require.Equal(t, iifv1.AchievementState_AWAITING_SERVICE_PROVIDER_APPROVAL, a.GetState())
		require.Len(t, r.GetIndicators(), 5)
		for _, it := range r.GetIndicators() {
			require.True(t, it.GetCounted())
			if it.GetIndicatorCode() == overridden {
				require.NotEmpty(t, it.GetOverrideId())
				require.Equal(t, "71", it.GetDue().GetPoints(), "all points to everybody")
				require.NotEmpty(t, it.GetMeasured().GetPoints(), "what was measured stays beside it")
			}
		}
	}
	again := &achievementSample{of: sample.PublishedAchievement(), codes: []string{"QOC"}}
	require.NoError(t, again.run(t.Context(), reach, &second))
	require.Equal(t, first.String(), second.String(), "what was done stays")

	show := iifShowCommand{client: reach, PCN: s.all[0].GetPcnCode(), Year: s.of.Year}
	require.NoError(t, show.Run(t.Context()))
	standing := iifStandingCommand{client: reach, PCN: s.all[0].GetPcnCode(), Year: s.of.Year}
	require.NoError(t, standing.Run(t.Context()))
	list := iifListCommand{client: reach, Year: s.of.Year, Commissioner: "QOC"}
	require.NoError(t, list.Run(t.Context()))
	figures := iifFiguresListCommand{client: reach, Year: s.of.Year}
	require.NoError(t, figures.Run(t.Context()))
}
