package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// TestSampleDevelopment_TakesAPlanIntoASchedule takes the sample's fund from the nation to a month of South West London.
func TestSampleDevelopment_TakesAPlanIntoASchedule(t *testing.T) {
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
	s := &developmentSample{of: sample.PublishedDevelopment()}
	require.NoError(t, s.run(t.Context(), reach, &first))
	require.Contains(t, first.String(), "modelled, not actual")
	require.Len(t, s.published.GetOutcome().GetShares(), 5)
	for _, share := range s.published.GetOutcome().GetShares() {
		require.Equal(t, int64(25_761_60), share.GetAmountPence(), "DF-001")
	}
	require.Equal(t, int64(14_312_00), s.published.GetOutcome().GetSlices()[0].GetAmountPence())
	require.Equal(t, devfundv1.PlanState_APPROVED, s.plan.GetState())
	require.True(t, s.plan.GetApprovable())
	require.Len(t, s.plan.GetCoveredPcns(), 39)
	require.Len(t, s.plan.GetLines(), 41)

	// What is scheduled is half of the shares and all of the leadership portion; the supplier is paid elsewhere.
	due := s.modelled.GetOutcome().GetSlices()[0].GetAmountPence()
	for _, share := range s.modelled.GetOutcome().GetShares() {
		due += (share.GetAmountPence() + 1) / 2
	}
	require.Equal(t, due, s.schedule.GetPayTotalPence())
	require.Equal(t, int32(78), s.schedule.GetLineCount())
	require.True(t, s.need.GetPassed())

	again := &developmentSample{of: sample.PublishedDevelopment()}
	require.NoError(t, again.run(t.Context(), reach, &second))
	require.Equal(t, first.String(), second.String(), "what was done stays")

	allocation := s.modelled.GetAllocationId()
	for name, err := range map[string]error{
		"allocations": (&devfundAllocationsCommand{client: reach, Year: s.of.Modelled}).Run(t.Context()),
		"tree":        (&devfundTreeCommand{client: reach, Allocation: allocation}).Run(t.Context()),
		"compare":     (&devfundCompareCommand{client: reach, Allocation: allocation, Method: []string{"registered", "flat:1000"}}).Run(t.Context()),
		"plans":       (&devfundPlanListCommand{client: reach, Year: s.of.Modelled}).Run(t.Context()),
		"plan":        (&devfundPlanShowCommand{client: reach, Plan: s.plan.GetPlanId()}).Run(t.Context()),
		"checks":      (&devfundPlanCheckCommand{client: reach, Plan: s.plan.GetPlanId()}).Run(t.Context()),
		"need":        (&devfundNeedCheckCommand{client: reach, Year: s.of.Modelled}).Run(t.Context()),
		"forecast":    (&devfundNeedForecastCommand{client: reach, Year: s.of.Modelled, Commissioner: s.of.Commissioner}).Run(t.Context()),
		"of England":  (&devfundNeedForecastCommand{client: reach, Year: s.of.Modelled}).Run(t.Context()),
	} {
		require.NoError(t, err, name)
	}
}
