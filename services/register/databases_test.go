package register_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// TestService_OnBothDatabases runs many callers at once: a file is stored once, every fact once, and the picture is the same
// on either database.
func TestService_OnBothDatabases(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := make(map[string]bool)
	t.Cleanup(func() { require.Len(t, ids, 1, "one picture, one name") })
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		clock := testkit.NewClock(may2022)
		f := newFixtureOn(t, clock, open(t))
		operator := f.as(testkit.Operator())
		const callers = 6
		var wait sync.WaitGroup
		fresh := make(chan string, callers)
		content := excerpt(t, "gp-reg-pat-prac-map_2022-01-01.csv")
		for i := range callers {
			wait.Go(func() {
				answer, err := f.send(operator, &registerv1.ImportHeader{RequestId: fmt.Sprint("import", i)}, content, 4000)
				if err != nil {
					t.Errorf("import %d: %v", i, err)
				} else if !answer.GetAlreadyLoaded() {
					fresh <- answer.GetLoad().GetLoadId()
				}
			})
		}
		wait.Wait()
		require.Len(t, fresh, 1)
		f.load("gp-reg-pat-prac-all_2022-01-01.csv", "weighted_lists.csv", "epcn_pcn_details_2022-05.csv", "epcn_core_partner_details_2022-05.csv",
			"practice_adjusted_population_2025-01-01.csv")
		for i := range callers {
			wait.Go(func() {
				_, err := f.client.RecordCareHomeBeds(operator, &registerv1.RecordCareHomeBedsRequest{
					CodingSatisfied: proto.Bool(false),
					RequestId:       fmt.Sprint("beds", i/2), PcnCode: "U89141", Month: fmt.Sprintf("2022-%02d", 1+i/2), Beds: proto.Int64(int64(i / 2)), Source: "test",
				})
				if err != nil {
					t.Errorf("record %d: %v", i, err)
				}
			})
		}
		wait.Wait()
		loads, err := f.client.ListLoads(operator, &registerv1.ListLoadsRequest{Kind: registerv1.FileKind_RECORDED})
		require.NoError(t, err)
		require.Len(t, loads.GetLoads(), callers/2)
		for range callers {
			wait.Go(func() {
				if _, err := f.client.GetSnapshot(operator, &registerv1.GetSnapshotRequest{MembershipDate: "2022-03-01"}); err != nil {
					t.Errorf("snapshot: %v", err)
				}
			})
		}
		wait.Wait()
		require.Len(t, f.events("SnapshotPublished"), 1)
		_, err = f.client.RecordMembership(operator, &registerv1.RecordMembershipRequest{
			RequestId: "by details", PracticeCode: "A81001", PcnCode: "U84150", EffectiveFrom: "2022-02-01", EffectiveTo: "2022-02-28", Source: "test",
		})
		require.NoError(t, err)
		require.NotEmpty(t, pcn(f.snapshot("", "2022-02-01"), "U84150").GetName())
		request := &registerv1.GetSnapshotRequest{MembershipDate: "2022-04-01"}
		f.snapshot("", "2022-04-01") // stored, so that the next call only reads
		during := f.duringALoad(func() *registerv1.Snapshot { return f.snapshot("", "2022-04-01") })
		request.KnownAt = during.GetKnownAt()
		again, err := f.client.GetSnapshot(operator, request)
		require.NoError(t, err)
		require.Equal(t, during.GetSnapshotId(), again.GetSnapshotId())
		require.NotEqual(t, during.GetSnapshotId(), f.snapshot("", "2022-04-01").GetSnapshotId())
		s := f.snapshot("", "2022-03-01")
		mu.Lock()
		defer mu.Unlock()
		ids[s.GetSnapshotId()] = true
		require.Equal(t, int64(2), pcn(s, "U89141").GetBeds().GetBeds(), "the latest month counts, whatever the order of recording")
	})
}
