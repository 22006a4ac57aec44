package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
)

func TestActivityReport_TellsACostThatIsNotKnownFromNone(t *testing.T) {
	t.Parallel()
	totals := func(attendances, uncosted, pence int64) *activityv1.AttendanceTotals {
		return &activityv1.AttendanceTotals{Attendances: &attendances, UncostedAttendances: &uncosted, CostedPence: &pence}
	}
	var out bytes.Buffer
	require.NoError(t, tellReport(&out, &activityv1.Report{
		Pcns: []*activityv1.PcnTotals{
			{PcnCode: "U1", Totals: totals(12, 12, 0)}, {PcnCode: "U2", Totals: totals(12, 5, 3456)}, {PcnCode: "U3", Totals: totals(12, 0, 1234)}, {PcnCode: "U4", Totals: totals(0, 0, 0)},
		},
		Totals: totals(36, 17, 4690),
	}))
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	require.Equal(t, []string{
		"attendances per 1,000 a year before notional cost attendances without cost PCN",
		"12 – not known 12 of 12 U1",
		"12 – £34.56 in part 5 of 12 U2",
		"12 – £12.34 none U3",
		"0 – £0.00 none U4",
		"36 £46.90 in part 17 of 36 all",
	}, lines[1:])
}
