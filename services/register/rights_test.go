package register_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// upload sends a file as the operator, a minute later.
func (f *fixture) upload(header *registerv1.ImportHeader, content string) (*registerv1.ImportResponse, error) {
	f.clock.Advance(time.Minute)
	header.Source = "test"
	return f.send(f.as(testkit.Operator()), header, []byte(content), 1000)
}

// moved is a register in which the networks of 16C have come under 84H on 1 April 2022.
func moved(t testing.TB) *fixture {
	t.Helper()
	f := loaded(t)
	content := strings.ReplaceAll(string(excerpt(t, "gp-reg-pat-prac-map_2022-01-01.csv")), "01Jan2022", "01Apr2022")
	content = strings.ReplaceAll(content, ",16C,NHS Tees Valley CCG,", ",84H,NHS County Durham CCG,")
	_, err := f.upload(&registerv1.ImportHeader{RequestId: "move"}, content)
	require.NoError(t, err)
	return f
}

func TestRecordCalls_RefuseAFormerCommissioner(t *testing.T) {
	t.Parallel()
	f := moved(t)
	for _, c := range []struct{ commissioner, reason string }{{"16C", "ORGANISATION_UNKNOWN"}, {"84H", ""}, {"QHM", ""}} {
		caller := f.as(testkit.Preparer(c.commissioner))
		id := "former/" + c.commissioner
		_, payee := f.client.RecordPayee(caller, &registerv1.RecordPayeeRequest{
			RequestId: id, CommissionerCode: c.commissioner, OrganisationCode: "U89141", PayeeCode: "A81001", PayeeName: "N", EffectiveFrom: "2022-01-01", Source: "s",
		})
		_, beds := f.client.RecordCareHomeBeds(caller, &registerv1.RecordCareHomeBedsRequest{
			CodingSatisfied: proto.Bool(false),
			RequestId:       id, CommissionerCode: c.commissioner, PcnCode: "U89141", Month: "2022-01", Beds: proto.Int64(1), Source: "s",
		})
		_, leave := f.client.RecordParticipation(caller, &registerv1.RecordParticipationRequest{
			RequestId: id, CommissionerCode: c.commissioner, PracticeCode: "A81001", Participating: proto.Bool(true), EffectiveFrom: "2022-01-01", Source: "s",
		})
		_, move := f.client.RecordMembership(caller, &registerv1.RecordMembershipRequest{
			RequestId: id, CommissionerCode: c.commissioner, PracticeCode: "A81001", PcnCode: "U89141", EffectiveFrom: "2022-01-01", Source: "s",
		})
		for _, err := range []error{payee, beds, leave, move} {
			if c.reason == "" {
				require.NoError(t, err, c.commissioner)
			} else {
				requireReason(t, err, fault.NotFound, c.reason)
			}
		}
	}
}

func TestRecordPopulation_MayBeCorrectedByTheCommissionerOfTheDay(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	f.clock.Set(time.Date(2025, time.August, 1, 9, 0, 0, 0, time.UTC))
	f.load("practice_adjusted_population_2025-01-01.csv")
	record := func(commissioner, reference string) error {
		_, err := f.client.RecordPopulation(f.as(testkit.Preparer(commissioner)), &registerv1.RecordPopulationRequest{
			RequestId: commissioner + reference, CommissionerCode: commissioner, OrganisationCode: "A81001", Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED,
			ReferenceDate: reference, Value: "10", Source: "s",
		})
		return err
	}
	require.NoError(t, record("16C", "2022-01-01"))
	require.NoError(t, record("QHM", "2022-01-01"))
	requireReason(t, record("02Q", "2022-01-01"), fault.NotFound, "ORGANISATION_UNKNOWN")
}

func TestRecordedLoads_AreShownToTheirCommissioner(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	load, err := f.client.RecordCareHomeBeds(f.as(testkit.Preparer("16C")), &registerv1.RecordCareHomeBedsRequest{
		CodingSatisfied: proto.Bool(false),
		RequestId:       "beds", CommissionerCode: "16C", PcnCode: "U89141", Month: "2022-04", Beds: proto.Int64(120), Source: "note of 16C",
	})
	require.NoError(t, err)
	for _, c := range []struct {
		caller auth.Principal
		shown  bool
	}{{testkit.Preparer("16C"), true}, {testkit.Operator(), true}, {testkit.Preparer("15E"), false}} {
		ctx := f.as(c.caller)
		list, err := f.client.ListLoads(ctx, &registerv1.ListLoadsRequest{Kind: registerv1.FileKind_RECORDED})
		require.NoError(t, err)
		require.Equal(t, c.shown, len(list.GetLoads()) == 1)
		_, get := f.client.GetLoad(ctx, &registerv1.GetLoadRequest{LoadId: load.GetLoadId()})
		_, rows := f.client.ListQuarantinedRows(ctx, &registerv1.ListQuarantinedRowsRequest{LoadId: load.GetLoadId()})
		for _, err := range []error{get, rows} {
			if c.shown {
				require.NoError(t, err)
			} else {
				requireReason(t, err, fault.NotFound, "LOAD_NOT_FOUND")
			}
		}
		files, err := f.client.ListLoads(ctx, &registerv1.ListLoadsRequest{Kind: registerv1.FileKind_PRACTICE_MAPPING})
		require.NoError(t, err)
		require.Len(t, files.GetLoads(), 1, "files are for all")
	}
	events := f.events("LoadRecorded")
	require.Equal(t, "pcnfunding.register.v1.LoadRecorded.england", events[0])
	require.Equal(t, "pcnfunding.register.v1.LoadRecorded.16C", events[len(events)-1])
}

func TestRecordPayee_KeepsTheNameAsItIs(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	for name, reason := range map[string]string{
		"The Densham Surgery": "", "  ": "VALUE_MISSING", "\u00a0": "VALUE_MISSING", " N": "VALUE_NOT_ALLOWED", "N ": "VALUE_NOT_ALLOWED", "N\u00a0": "VALUE_NOT_ALLOWED",
	} {
		_, err := f.client.RecordPayee(f.as(testkit.Preparer("16C")), &registerv1.RecordPayeeRequest{
			RequestId: "p" + name, CommissionerCode: "16C", OrganisationCode: "U89141", PayeeCode: "A81001", PayeeName: name, EffectiveFrom: "2022-04-01", Source: "s",
		})
		if reason == "" {
			require.NoError(t, err)
			require.Equal(t, name, pcn(f.snapshot("16C", "2022-04-01"), "U89141").GetPayee().GetName())
		} else {
			requireReason(t, err, fault.Invalid, reason)
		}
	}
}

func TestGetPcnSnapshot_IsThatOfWhoPaysThePCN(t *testing.T) {
	t.Parallel()
	f := loaded(t)
	const day = "2022-03-01"
	ask := func(by auth.Principal, pcn string) (*registerv1.Snapshot, error) {
		return f.client.GetPcnSnapshot(f.as(by), &registerv1.GetPcnSnapshotRequest{PcnCode: pcn, MembershipDate: day})
	}
	payers, err := f.client.GetSnapshot(f.as(testkit.Preparer("16C")), &registerv1.GetSnapshotRequest{CommissionerCode: "16C", MembershipDate: day})
	require.NoError(t, err)
	for name, by := range map[string]auth.Principal{
		"its manager": testkit.PCNManager("U89141"), "its commissioner": testkit.Preparer("16C"), "who holds England": testkit.Operator(),
	} {
		got, err := ask(by, "U89141")
		require.NoError(t, err, name)
		require.Equal(t, payers.GetSnapshotId(), got.GetSnapshotId(), name)
	}
	for name, by := range map[string]auth.Principal{"another's manager": testkit.PCNManager("U00000"), "another commissioner": testkit.Preparer("02Q")} {
		_, err := ask(by, "U89141")
		requireReason(t, err, fault.NotFound, auth.ReasonNotFound)
		require.NotContains(t, err.Error(), "16C", name)
	}
	_, err = ask(testkit.Operator(), "U00000")
	requireReason(t, err, fault.NotFound, auth.ReasonNotFound)
}
