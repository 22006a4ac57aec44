package register_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

const bedsOf = "pcn_code,month,beds,coding_satisfied\nU89141,2022-04,%d,true\n"

func TestImport_OfAnOlderVersionBringsItBack(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	ids := make(map[string]bool)
	for i, beds := range []int{120, 12000, 120} {
		answer, err := f.upload(&registerv1.ImportHeader{RequestId: fmt.Sprint(i)}, fmt.Sprintf(bedsOf, beds))
		require.NoError(t, err)
		require.False(t, answer.GetAlreadyLoaded())
		ids[answer.GetLoad().GetLoadId()] = true
	}
	require.Len(t, ids, 3)
	require.Equal(t, int64(120), pcn(f.snapshot("", "2022-04-01"), "U89141").GetBeds().GetBeds())
	again, err := f.upload(&registerv1.ImportHeader{RequestId: "again"}, fmt.Sprintf(bedsOf, 120))
	require.NoError(t, err)
	require.True(t, again.GetAlreadyLoaded(), "it is the newest of its day")
}

func TestImport_OfTheSameBytesForAnotherDayIsAnotherVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const content = "practice_code,adjusted_population\nA81001,100\n"
	for i, c := range []struct {
		day, applied string
		held         bool
	}{{"2024-01-01", "", false}, {"2025-01-01", "2025-06", false}, {"2025-01-01", "2025-07", false}, {"2025-01-01", "2025-07", true}, {"2024-01-01", "", true}} {
		answer, err := f.upload(&registerv1.ImportHeader{RequestId: fmt.Sprint(i), ExtractDate: c.day, AppliedFromMonth: c.applied}, content)
		require.NoError(t, err)
		require.Equal(t, c.held, answer.GetAlreadyLoaded())
		require.Equal(t, c.day, answer.GetLoad().GetExtractDate())
		require.Equal(t, c.applied, answer.GetLoad().GetAppliedFromMonth())
	}
}

func TestImport_SetsNothingAsideThatWouldBeLost(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	partners := strings.SplitN(string(excerpt(t, "epcn_core_partner_details_2022-05.csv")), "\n", 2)[0]
	mapping := string(excerpt(t, "gp-reg-pat-prac-map_2022-01-01.csv"))
	for name, content := range map[string]string{
		"no good row":     fmt.Sprintf(bedsOf, -1),
		"an edition":      partners + "\nA81001,X,16C,X,U89141,X,16C,X,20220401,,1\nA81002,X,16C,X,U89141,X,16C,X,20229999,,1\n",
		"a whole mapping": strings.Replace(mapping, ",U89141,", ",U/89141,", 1),
	} {
		_, err := f.upload(&registerv1.ImportHeader{RequestId: name, ExtractDate: "", BadRows: registerv1.BadRows_QUARANTINE}, content)
		requireReason(t, err, fault.Invalid, "FILE_HAS_BAD_ROWS")
		require.Len(t, f.badLines(f.as(testkit.Operator()), refusal(t, err).Meta["report_id"]), 1, name)
	}
}

func TestImport_WarnsOfUnknownOrganisations(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	answer, err := f.upload(&registerv1.ImportHeader{RequestId: "1"}, fmt.Sprintf(bedsOf, 5)+"U89114,2022-04,120,true\n")
	require.NoError(t, err)
	require.Equal(t, []string{"no load has shown an organisation U89114 before"}, answer.GetLoad().GetWarnings())
	var many strings.Builder
	many.WriteString("practice_code,participating,notice_date,effective_from\n")
	for i := range 150 {
		fmt.Fprintf(&many, "Z%05d,true,,2022-04-01\n", i)
	}
	answer, err = f.upload(&registerv1.ImportHeader{RequestId: "2"}, many.String())
	require.NoError(t, err)
	require.Len(t, answer.GetLoad().GetWarnings(), 100)
	got, err := f.client.GetLoad(f.as(testkit.Operator()), &registerv1.GetLoadRequest{LoadId: answer.GetLoad().GetLoadId()})
	require.NoError(t, err)
	require.Len(t, got.GetWarnings(), 100)
}

func TestImport_RefusesWithoutARequestIDBeforeTheUpload(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stream, err := f.client.Import(f.as(testkit.Operator()))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: &registerv1.ImportHeader{}}}))
	requireReason(t, stream.RecvMsg(&registerv1.ImportResponse{}), fault.Invalid, "REQUEST_ID_REQUIRED")
}

// duringALoad takes a picture while a load is under way whose facts are written and not yet committed.
func (f *fixture) duringALoad(take func() *registerv1.Snapshot) (taken *registerv1.Snapshot) {
	f.t.Helper()
	require.NoError(f.t, f.db.Write(f.t.Context(), func(tx *sqldb.Tx) error {
		l := store.Load{Load: rules.Load{ID: "under way", Kind: rules.CareHomeBedCounts, Source: "s"}, SHA256: "x"}
		return store.AddLoad(f.t.Context(), tx, &l, f.db.Now, func() error {
			if _, err := tx.Exec(f.t.Context(), `INSERT INTO care_home_beds (load_position, pcn_code, month, beds, coding_satisfied)
				VALUES ($1, 'U89141', '2022-04', 7, true)`, l.Position); err != nil {
				return err
			}
			f.clock.Advance(10 * time.Second)
			taken = take()
			f.clock.Advance(10 * time.Second)
			return nil
		})
	}))
	return taken
}

func TestGetSnapshot_TakenDuringALoadStaysWhatItWas(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	f.snapshot("", "2022-04-01") // stored, so that the next call only reads
	f.clock.Advance(time.Minute)
	request := &registerv1.GetSnapshotRequest{MembershipDate: "2022-04-01"}
	before := f.duringALoad(func() *registerv1.Snapshot { return f.snapshot("", "2022-04-01") })
	request.KnownAt = before.GetKnownAt()
	again, err := f.client.GetSnapshot(f.as(testkit.Operator()), request)
	require.NoError(t, err)
	require.Equal(t, before.GetSnapshotId(), again.GetSnapshotId())
	require.True(t, before.GetKnownAt().AsTime().Equal(again.GetKnownAt().AsTime()))
	request.KnownAt = timestamppb.New(f.clock.Now().Add(-15 * time.Second))
	during, err := f.client.GetSnapshot(f.as(testkit.Operator()), request)
	require.NoError(t, err)
	require.Equal(t, before.GetSnapshotId(), during.GetSnapshotId(), "nor was it known while it was being written")
	require.NotEqual(t, before.GetSnapshotId(), f.snapshot("", "2022-04-01").GetSnapshotId())
}

func TestGetSnapshot_RefusesDaysOutOfReach(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	for _, c := range []struct{ day, reference, reason string }{
		{"2019-06-30", "", "VALUE_NOT_ALLOWED"},
		{"2019-07-01", "", "MEMBERSHIP_NOT_LOADED"},
		{"2024-05-10", "", ""},
		{"2024-05-11", "", "VALUE_NOT_ALLOWED"},
		{"2022-04-01", "1910-01-01", ""},
		{"2022-04-01", "2022-01-02", "VALUE_NOT_ALLOWED"},
	} {
		request := &registerv1.GetCoverageRequest{CommissionerCode: "", MembershipDate: c.day, PopulationReferenceDate: c.reference}
		_, coverage := f.client.GetCoverage(f.as(testkit.Auditor(auth.England)), request)
		_, snapshot := f.client.GetSnapshot(f.as(testkit.Auditor(auth.England)), &registerv1.GetSnapshotRequest{
			MembershipDate: c.day, PopulationReferenceDate: c.reference,
		})
		for _, err := range []error{coverage, snapshot} {
			if c.reason == "" {
				require.NoError(t, err, c)
			} else {
				require.Equal(t, c.reason, refusal(t, err).Reason, c)
			}
		}
	}
}
