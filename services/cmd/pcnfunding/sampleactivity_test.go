package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// The sample's month of two commissioners: one that has chosen a list to stand in for the tariff, and one that has not.
func TestSampleAttendances_ReachThePCNs(t *testing.T) {
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
	only := []string{sampleCommissioner, "01H"}
	months, err := showAttendances(t.Context(), reach, sample.PublishedAttendances(), only, &first)
	require.NoError(t, err)
	require.Len(t, months, 2)
	require.Contains(t, first.String(), notSUS)
	for _, s := range months {
		require.Contains(t, s.taken.GetSource(), notSUS, "it is stored as what it is")
		require.Len(t, s.reports, 2)
		for _, report := range s.reports {
			require.Equal(t, report.GetCommissionerCode() == sampleCommissioner, report.GetTotals().GetCostedPence() > 0, report.GetCommissionerCode())
			require.Contains(t, report.GetCut().GetSource(), notSUS)
		}
		require.Positive(t, s.pcn.GetTotals().GetTotals().GetCostedPence())
		require.NotEmpty(t, s.pcn.GetTotals().GetRatePer_1000())
	}
	require.Nil(t, months[0].pcn.GetTotals().LastYear, "there is no report of 2019")
	require.Equal(t, months[0].pcn.GetTotals().GetTotals().GetAttendances(), months[1].pcn.GetTotals().GetLastYear())
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		report, err := suite.activity.GetReport(t.Context(), &activityv1.GetReportRequest{ReportId: months[0].reports["01H"].GetReportId(), IncludeRows: true})
		require.NoError(t, err)
		require.NotEmpty(t, report.GetRows())
		for _, row := range report.GetRows() {
			require.Nil(t, row.GetTotals().NotionalCostPence)
			require.NotEmpty(t, row.GetMissing(), "a count without a cost names what is missing")
		}
		return nil
	}))

	// The register itself says which months nobody can report.
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		for month, commissioner := range map[string]string{"2022-08": "16C", "1990-12": "16C", "2021-08": "ZZZ"} {
			_, err := sendAttendances(t.Context(), suite.activity, &activityv1.AttendancesHeader{
				RequestId: month, CommissionerCode: commissioner, Cut: activityv1.CutKind_FIRST_CUT, Source: "a test", ExtractDate: "2022-12-14", FileName: "ae.csv",
			}, strings.NewReader("provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances\nRVW,,"+month+",01,first,,VB09Z,14\n"))
			require.ErrorContains(t, err, "no report can be built of all that the file holds, so nothing was stored: "+commissioner+" in "+month+" (rows: 1): ")
		}
		return nil
	}))

	_, err = showAttendances(t.Context(), reach, sample.PublishedAttendances(), only, &second)
	require.NoError(t, err)
	require.Equal(t, first.String(), second.String(), "what was done stays")
}
