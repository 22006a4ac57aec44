package register_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// successions lists who takes over from a commissioner, as a line each.
func (f *fixture) successions(code string) []string {
	f.t.Helper()
	got, err := f.client.ListSuccessions(f.as(testkit.Preparer("02Q")), &registerv1.ListSuccessionsRequest{CommissionerCode: code})
	require.NoError(f.t, err)
	out := make([]string, len(got.GetSuccessions()))
	for i, s := range got.GetSuccessions() {
		require.NotEmpty(f.t, s.GetLoadId())
		out[i] = s.GetEffectiveDate() + " " + s.GetSuccessorCode() + " " + s.GetSuccessorName()
		for _, location := range s.GetLocationCodes() {
			out[i] += " " + location
		}
	}
	return out
}

func TestSuccessions_OfCCGsAreKnown(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	icb := "2022-07-01 QHM NHS North East and North Cumbria Integrated Care Board"
	require.Equal(t, []string{icb}, f.successions("16C"))
	require.Empty(t, f.successions("QHM"), "an ICB is followed by none that was not recorded")
	require.Empty(t, f.successions("00M"), "it was closed before, and who followed it was not recorded")
	require.Empty(t, f.successions("ZZZ"))
}

func TestRecordSuccession_OutranksWhatWasKnown(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(may2022)
			f := newFixtureOn(t, clock, open(t, sqldb.Options{Clock: clock.Now}))
			record := func(id, from, to, day string, places ...string) error {
				_, err := f.client.RecordSuccession(f.as(testkit.Operator()), &registerv1.RecordSuccessionRequest{
					RequestId: id, PredecessorCode: from, SuccessorCode: to, EffectiveDate: day, LocationCodes: places, Source: "order",
				})
				return err
			}
			require.NoError(t, record("1", "qnx", "QKS", "2022-08-02", "97r"))
			require.NoError(t, record("2", "QNX", "QKS", "2022-08-01", "97R"))
			require.NoError(t, record("3", "QNX", "QU9", "2023-04-01"))
			require.Equal(t, []string{
				"2022-08-01 QKS NHS Kent and Medway Integrated Care Board 97R",
				"2023-04-01 QU9 NHS Buckinghamshire, Oxfordshire and Berkshire West Integrated Care Board",
			}, f.successions("QNX"))
			require.NoError(t, record("4", "QNX", "QU9", ""))
			require.Len(t, f.successions("QNX"), 1, "it was taken back")
			requireReason(t, record("20", "16C", "QKS", "2022-07-01"), fault.Refused, "SUCCESSION_DIFFERS")
			require.NoError(t, record("5", "16C", "QHM", ""))
			require.Empty(t, f.successions("16C"))
			require.NoError(t, record("6", "00M", "16C", "2020-04-01"))
			require.Equal(t, []string{"2020-04-01 16C NHS NORTH EAST AND NORTH CUMBRIA ICB - 16C"}, f.successions("00M"))

			require.NoError(t, record("13", "QNX", "QU9", "2023-04-01"))
			requireReason(t, record("14", "QNX", "QHM", "2024-04-01"), fault.Refused, "SUCCESSION_DIFFERS")
			require.NoError(t, record("15", "QNX", "QU9", "2023-05-01"), "another day of the same is a correction")
			require.NoError(t, record("16", "QNX", "QU9", ""))
			require.NoError(t, record("17", "QNX", "QHM", "2024-04-01"), "the first was taken back")
			require.NoError(t, record("18", "QNX", "QHM", ""))
			requireReason(t, record("19", "QNX", "QKS", "2023-04-01", "97r", "97R"), fault.Invalid, "VALUE_NOT_ALLOWED")

			requireReason(t, record("7", "QNX", "QNX", "2023-04-01"), fault.Invalid, "VALUE_NOT_ALLOWED")
			requireReason(t, record("8", "QNX", "ZZZ", "2023-04-01"), fault.NotFound, "ORGANISATION_UNKNOWN")
			requireReason(t, record("9", "ZZZ", "QNX", "2023-04-01"), fault.NotFound, "ORGANISATION_UNKNOWN")
			requireReason(t, record("10", "QNX", "QKS", "2023-04-01", "ZZZ"), fault.NotFound, "ORGANISATION_UNKNOWN")
			requireReason(t, record("11", "QNX", "QKS", "2023-02-30"), fault.Invalid, "DATE_MALFORMED")
			_, err := f.client.RecordSuccession(f.as(testkit.Preparer("QNX")), &registerv1.RecordSuccessionRequest{
				RequestId: "12", PredecessorCode: "QNX", SuccessorCode: "QKS", EffectiveDate: "2022-08-01", Source: "letter",
			})
			require.Equal(t, fault.Denied, refusal(t, err).Kind)
		})
	}
}
