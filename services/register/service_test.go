package register_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// fixture is a register on a database of its own, its clock standing in May 2022.
type fixture struct {
	t      testing.TB
	db     *sqldb.DB
	clock  *testkit.Clock
	client registerv1.RegisterServiceClient
	spool  string

	service *register.Service
}

var may2022 = time.Date(2022, time.May, 10, 9, 0, 0, 0, time.UTC)

func newFixture(t testing.TB) *fixture {
	t.Helper()
	clock := testkit.NewClock(may2022)
	return newFixtureOn(t, clock, testkit.SQLite(t, sqldb.Options{Clock: clock.Now}))
}

func newFixtureOn(t testing.TB, clock *testkit.Clock, db *sqldb.DB) *fixture {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), register.Migrations()))
	f := &fixture{t: t, db: db, clock: clock, spool: t.TempDir()}
	service, err := register.New(t.Context(), register.Deps{DB: db, SpoolDir: f.spool})
	require.NoError(t, err)
	f.service = service
	f.client = registerv1.NewRegisterServiceClient(testkit.Serve(t, service.Register))
	return f
}

func (f *fixture) as(p auth.Principal) context.Context { return testkit.As(f.t.Context(), p) }

// send uploads content in chunks of a given size.
func (f *fixture) send(ctx context.Context, header *registerv1.ImportHeader, content []byte, size int) (*registerv1.ImportResponse, error) {
	stream, err := f.client.Import(ctx)
	if err != nil {
		return nil, err
	}
	// A refusal shows when the answer is awaited; until then sending may fail with io.EOF.
	_ = stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: header}})
	for part := range slices.Chunk(content, size) {
		if stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: part}}) != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

func excerpt(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return content
}

// load uploads excerpts as the operator, a minute apart, and returns the last load.
func (f *fixture) load(names ...string) *registerv1.Load {
	f.t.Helper()
	var last *registerv1.Load
	for _, name := range names {
		f.clock.Advance(time.Minute)
		answer, err := f.send(f.as(testkit.Operator()), &registerv1.ImportHeader{RequestId: "load " + name, FileName: name, Source: "excerpt"}, excerpt(f.t, name), 1000)
		require.NoError(f.t, err, name)
		last = answer.GetLoad()
	}
	return last
}

func (f *fixture) snapshot(commissioner, day string) *registerv1.Snapshot {
	f.t.Helper()
	s, err := f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: day})
	require.NoError(f.t, err)
	return s
}

func (f *fixture) events(name string) []string {
	f.t.Helper()
	var out []string
	require.NoError(f.t, f.db.Read(f.t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(f.t.Context(), `SELECT subject FROM outbox WHERE type = $1 ORDER BY position`, "pcnfunding.register.v1."+name)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // read only
		for rows.Next() {
			var subject string
			if err := rows.Scan(&subject); err != nil {
				return err
			}
			out = append(out, subject)
		}
		return rows.Err()
	}))
	return out
}

// refusal returns the fault that a call was refused with.
func refusal(t testing.TB, err error) fault.Fault {
	t.Helper()
	require.Error(t, err)
	found, ok := rpc.FaultOf(err)
	require.True(t, ok, "%v", err)
	return *found
}

func requireReason(t testing.TB, err error, kind fault.Kind, reason string) {
	t.Helper()
	found := refusal(t, err)
	require.Equal(t, reason, found.Reason, "%v", err)
	require.Equal(t, kind, found.Kind)
}

func pcn(s *registerv1.Snapshot, code string) *registerv1.SnapshotPcn {
	for _, p := range s.GetPcns() {
		if p.GetPcnCode() == code {
			return p
		}
	}
	return nil
}

func kinds(findings []*registerv1.Finding) map[string]int {
	out := make(map[string]int)
	for _, f := range findings {
		out[f.GetKind().String()]++
	}
	return out
}

func TestImport_StoresAFileOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	content := excerpt(t, "gp-reg-pat-prac-map_2022-01-01.csv")
	header := &registerv1.ImportHeader{RequestId: "one", FileName: "map.csv", Source: "NHS England"}
	first, err := f.send(f.as(testkit.Operator()), header, content, 777)
	require.NoError(t, err)
	require.False(t, first.GetAlreadyLoaded())
	l := first.GetLoad()
	require.Equal(t, registerv1.FileKind_PRACTICE_MAPPING, l.GetKind())
	require.Equal(t, "2022-01-01", l.GetExtractDate())
	require.Equal(t, int64(45), l.GetRowsStored())
	require.Equal(t, "operator@example.test", l.GetLoadedBy())
	require.Equal(t, may2022.Add(time.Microsecond), l.GetKnownFrom().AsTime(), "later than the program's own table")

	var replay metadata.MD
	stream, err := f.client.Import(f.as(testkit.Operator()), grpc.Header(&replay))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: header}}))
	require.NoError(t, stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: content}}))
	again, err := stream.CloseAndRecv()
	require.NoError(t, err)
	require.True(t, proto.Equal(first, again), "the same request gets the stored answer")
	require.Equal(t, []string{"true"}, replay.Get(rpc.KeyReplay))

	_, err = f.send(f.as(testkit.Operator()), header, excerpt(t, "gp-reg-pat-prac-map_2020-09-01.csv"), 1000)
	requireReason(t, err, fault.Exists, "REQUEST_ID_REUSED")
	require.Equal(t, "sha256", refusal(t, err).Meta["differs"])

	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	third, err := f.send(f.as(testkit.Operator()), &registerv1.ImportHeader{RequestId: "two"}, packed.Bytes(), 1<<20)
	require.NoError(t, err)
	require.True(t, third.GetAlreadyLoaded())
	require.True(t, proto.Equal(l, third.GetLoad()), "the same bytes are the same load, whatever their compression")
	require.Len(t, f.events("LoadRecorded"), 2, "the program's own table, and one file")
	left, err := os.ReadDir(f.spool)
	require.NoError(t, err)
	require.Empty(t, left, "no spooled file is left")
}

// badLines pages through the bad values of a load or of a refused file.
func (f *fixture) badLines(ctx context.Context, id string) []int64 {
	f.t.Helper()
	var lines []int64
	request := &registerv1.ListQuarantinedRowsRequest{LoadId: id, PageSize: 7}
	for {
		page, err := f.client.ListQuarantinedRows(ctx, request)
		require.NoError(f.t, err)
		for _, row := range page.GetRows() {
			lines = append(lines, row.GetLine())
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			return lines
		}
	}
}

func TestImport_StoresNothingOfAFileWithBadRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var content strings.Builder
	content.WriteString("pcn_code,month,beds,coding_satisfied\n")
	for i := range 30 {
		fmt.Fprintf(&content, "U%05d,2022-04,1,true\nU%05d,2022-04,-1,true\n", i, 100+i)
	}
	header := &registerv1.ImportHeader{RequestId: "beds", ExpectedKind: registerv1.FileKind_CARE_HOME_BEDS}
	_, err := f.send(f.as(testkit.Operator()), header, []byte(content.String()), 100)
	requireReason(t, err, fault.Invalid, "FILE_HAS_BAD_ROWS")
	refused := refusal(t, err)
	require.Equal(t, "30", refused.Meta["rows_bad"])
	require.Equal(t, "60", refused.Meta["rows_read"])
	require.Len(t, refused.Violations, 20)
	require.Equal(t, "line 3, column beds", refused.Violations[0].Field)
	require.Equal(t, "NUMBER_OUT_OF_RANGE", refused.Violations[0].Reason)
	require.Len(t, f.badLines(f.as(testkit.Operator()), refused.Meta["report_id"]), 30, "the report holds every bad row")
	_, err = f.client.GetLoad(f.as(testkit.Operator()), &registerv1.GetLoadRequest{LoadId: refused.Meta["report_id"]})
	requireReason(t, err, fault.NotFound, "LOAD_NOT_FOUND")
	_, err = f.client.ListQuarantinedRows(f.as(testkit.Preparer("16C")), &registerv1.ListQuarantinedRowsRequest{LoadId: refused.Meta["report_id"]})
	requireReason(t, err, fault.NotFound, "LOAD_NOT_FOUND")
	again := proto.CloneOf(header)
	again.RequestId = "beds again"
	_, err = f.send(f.as(testkit.Operator()), again, []byte(content.String()), 100)
	require.Equal(t, refused.Meta["report_id"], refusal(t, err).Meta["report_id"], "the same file has the same report")
	loads, err := f.client.ListLoads(f.as(testkit.Operator()), &registerv1.ListLoadsRequest{Kind: registerv1.FileKind_CARE_HOME_BEDS})
	require.NoError(t, err)
	require.Empty(t, loads.GetLoads())

	header.BadRows = registerv1.BadRows_QUARANTINE
	answer, err := f.send(f.as(testkit.Operator()), header, []byte(content.String()), 100)
	require.NoError(t, err, "a refusal leaves the request_id free")
	require.Equal(t, int64(30), answer.GetLoad().GetRowsStored())
	require.Equal(t, int64(30), answer.GetLoad().GetRowsQuarantined())
	require.Len(t, answer.GetBadRows(), 30)
	lines := f.badLines(f.as(testkit.Operator()), answer.GetLoad().GetLoadId())
	require.Len(t, lines, 30)
	require.True(t, slices.IsSorted(lines))
	got, err := f.client.GetLoad(f.as(testkit.Operator()), &registerv1.GetLoadRequest{LoadId: answer.GetLoad().GetLoadId()})
	require.NoError(t, err)
	require.True(t, proto.Equal(answer.GetLoad(), got))
}

func TestImport_RefusesWhatIsNoUpload(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	operator := f.as(testkit.Operator())
	mapping := excerpt(t, "gp-reg-pat-prac-map_2022-01-01.csv")
	for _, c := range []struct {
		name   string
		header *registerv1.ImportHeader
		body   []byte
		kind   fault.Kind
		reason string
	}{
		{"another kind", &registerv1.ImportHeader{RequestId: "a", ExpectedKind: registerv1.FileKind_WEIGHTED_LISTS}, mapping, fault.Invalid, "FILE_KIND_MISMATCH"},
		{"no kind of file", &registerv1.ImportHeader{RequestId: "b", ExpectedKind: registerv1.FileKind_RECORDED}, mapping, fault.Invalid, "VALUE_NOT_ALLOWED"},
		{"no bytes", &registerv1.ImportHeader{RequestId: "c"}, nil, fault.Invalid, "FILE_EMPTY"},
		{"no request_id", &registerv1.ImportHeader{}, mapping, fault.Invalid, "REQUEST_ID_REQUIRED"},
		{"a day that is none", &registerv1.ImportHeader{RequestId: "d", ExtractDate: "2022-02-30"}, mapping, fault.Invalid, "DATE_MALFORMED"},
		{"a month that is none", &registerv1.ImportHeader{RequestId: "e", AppliedFromMonth: "2022-13"}, mapping, fault.Invalid, "MONTH_MALFORMED"},
		{"truncated gzip", &registerv1.ImportHeader{RequestId: "f"}, []byte("\x1f\x8b\x08\x00\x00"), fault.Invalid, "FILE_DAMAGED"},
		{"a line of 3 MiB", &registerv1.ImportHeader{RequestId: "g"}, bytes.Repeat([]byte("x"), 3<<20), fault.Invalid, "LINE_TOO_LONG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := f.send(operator, c.header, c.body, 1<<20)
			requireReason(t, err, c.kind, c.reason)
		})
	}
	stream, err := f.client.Import(operator)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: mapping}}))
	_, err = stream.CloseAndRecv()
	requireReason(t, err, fault.Invalid, "VALUE_MISSING")
	_, err = f.send(f.as(testkit.Preparer("02Q")), &registerv1.ImportHeader{RequestId: "h"}, mapping, 1000)
	requireReason(t, err, fault.Denied, "ROLE_REQUIRED")
}

func TestGetSnapshot_ShowsTheDay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv", "weighted_lists.csv", "epcn_pcn_details_2022-05.csv")
	s := f.snapshot("", "2022-04-01")
	require.Equal(t, "2022-01-01", s.GetPopulationReferenceDate())
	require.Len(t, s.GetSources(), 4)
	require.Equal(t, map[string]int{
		"PRACTICE_WITHOUT_PCN": 1, "PRACTICE_WITHOUT_ADJUSTED": 1, "PCN_UNDER_TWO_COMMISSIONERS": 1, "PCN_CLOSED": 1, "LEAD_CARRIED_BACK": 1,
	}, kinds(s.GetFindings()))
	p := pcn(s, "U89141")
	require.Equal(t, "16C", p.GetPayerCode())
	require.Equal(t, "NHS Tees Valley CCG", p.GetPayerName())
	require.Equal(t, "QHM", p.GetSystemCode())
	require.Equal(t, "Y63", p.GetRegionCode())
	require.Equal(t, "2019-10-01", p.GetOpened())
	require.Equal(t, "A81001", p.GetPractices()[0].GetPracticeCode())
	require.True(t, p.GetPractices()[0].GetParticipating())
	require.Equal(t, "2022-03-31", pcn(s, "U01315").GetClosed())

	cut := f.snapshot("02Q", "2022-04-01")
	require.Equal(t, "NHS Bassetlaw CCG", cut.GetCommissionerName())
	require.Len(t, cut.GetPcns(), 3)
	heir := f.snapshot("QT1", "2022-04-01")
	require.Equal(t, "NHS Nottingham and Nottinghamshire Integrated Care Board", heir.GetCommissionerName())
	require.Len(t, heir.GetPcns(), 3)
	july := f.snapshot("QT1", "2022-07-01")
	require.Len(t, july.GetPcns(), 3)
	require.Equal(t, "QT1", july.GetPcns()[0].GetPayerCode(), "Bassetlaw changed system when the ICBs came")
	require.Equal(t, "02Q", july.GetPcns()[0].GetLocationCode())
	_, err := f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{CommissionerCode: "02Q", MembershipDate: "2022-07-01"})
	requireReason(t, err, fault.Refused, "COMMISSIONER_NOT_IN_FORCE")
	_, err = f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{CommissionerCode: "ZZZ", MembershipDate: "2022-07-01"})
	requireReason(t, err, fault.NotFound, "ORGANISATION_UNKNOWN")
	_, err = f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{MembershipDate: "2021-12-31"})
	requireReason(t, err, fault.Refused, "MEMBERSHIP_NOT_LOADED")
}

func TestGetSnapshot_IsNamedByItsContent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv")
	first := f.snapshot("02Q", "2022-04-01")
	f.clock.Advance(time.Hour)
	again := f.snapshot("02Q", "2022-04-01")
	require.Equal(t, first.GetSnapshotId(), again.GetSnapshotId())
	require.Equal(t, []string{"pcnfunding.register.v1.SnapshotPublished.02Q"}, f.events("SnapshotPublished"))

	f.load("gp-reg-pat-prac-all_2021-01-01.csv")
	require.Equal(t, first.GetSnapshotId(), f.snapshot("02Q", "2022-04-01").GetSnapshotId(), "a load that does not matter changes nothing")

	other := newFixture(t)
	other.clock.Advance(time.Hour)
	other.load("gp-reg-pat-prac-all_2022-01-01.csv", "gp-reg-pat-prac-map_2022-01-01.csv")
	require.Equal(t, first.GetSnapshotId(), other.snapshot("02Q", "2022-04-01").GetSnapshotId(), "nor does another installation")

	preparer := f.as(testkit.Preparer("02Q"))
	stored, err := f.client.GetSnapshot(preparer, &registerv1.GetSnapshotRequest{SnapshotId: first.GetSnapshotId(), CommissionerCode: "02Q"})
	require.NoError(t, err)
	require.True(t, proto.Equal(first, stored))
	_, err = f.client.GetSnapshot(f.as(testkit.Preparer("16C")), &registerv1.GetSnapshotRequest{SnapshotId: first.GetSnapshotId(), CommissionerCode: "16C"})
	requireReason(t, err, fault.NotFound, "SNAPSHOT_NOT_FOUND")
	_, err = f.client.GetSnapshot(f.as(testkit.Preparer("16C")), &registerv1.GetSnapshotRequest{SnapshotId: first.GetSnapshotId(), CommissionerCode: "02Q"})
	require.Error(t, err)
}

func TestGetSnapshot_IsAsKnownAtAMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv")
	before := f.snapshot("02Q", "2022-04-01")
	practice := before.GetPcns()[0].GetPractices()[0]
	f.clock.Advance(time.Minute)
	load, err := f.client.RecordPopulation(f.as(testkit.Preparer("02Q")), &registerv1.RecordPopulationRequest{
		RequestId: "correction", CommissionerCode: "02Q", OrganisationCode: practice.GetPracticeCode(), Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED,
		ReferenceDate: "2022-01-01", Value: "12345", AppliedFromMonth: "2022-06", Source: "letter of the practice",
	})
	require.NoError(t, err)
	after := f.snapshot("02Q", "2022-04-01")
	require.NotEqual(t, before.GetSnapshotId(), after.GetSnapshotId())
	corrected := after.GetPcns()[0].GetPractices()[0].GetPopulations()[0]
	require.Equal(t, "12345", corrected.GetValue())
	require.Equal(t, "2022-06", corrected.GetAppliedFromMonth())
	require.Equal(t, load.GetLoadId(), corrected.GetLoadId())
	then, err := f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{
		CommissionerCode: "02Q", MembershipDate: "2022-04-01", KnownAt: before.GetKnownAt(),
	})
	require.NoError(t, err)
	require.True(t, proto.Equal(before, then), "what was known then stays as it was")
	_, err = f.client.GetSnapshot(f.as(testkit.Operator()), &registerv1.GetSnapshotRequest{
		MembershipDate: "2022-04-01", KnownAt: timestamppb.New(f.clock.Now().Add(time.Hour)),
	})
	requireReason(t, err, fault.Invalid, "KNOWN_AT_IN_FUTURE")
}

func TestGetSnapshot_FollowsTheICBsOf2026(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Set(time.Date(2026, time.August, 1, 9, 0, 0, 0, time.UTC))
	f.load("practice_adjusted_population_2025-01-01.csv", "epcn_pcn_details_2024-10.csv", "gp-reg-pat-prac-map_2025-10-01.csv",
		"gp-reg-pat-prac-map_2026-01-01.csv", "gp-reg-pat-prac-map_2026-07-01.csv")
	require.Equal(t, "QNQ", pcn(f.snapshot("", "2025-04-01"), "U82487").GetPayerCode())
	require.Equal(t, "QNQ", pcn(f.snapshot("", "2026-06-30"), "U82487").GetPayerCode())
	after := pcn(f.snapshot("", "2026-07-01"), "U82487")
	require.Equal(t, "S0E4D", after.GetPayerCode())
	require.Equal(t, "NHS Thames Valley Integrated Care Board", after.GetPayerName())
	require.Equal(t, "U2G6B", after.GetLocationCode(), "its old location was dissolved")
	list, err := f.client.ListCommissioners(f.as(testkit.Preparer("S0E4D")), &registerv1.ListCommissionersRequest{OnDate: "2026-07-01", PageSize: 1})
	require.NoError(t, err)
	require.Len(t, list.GetCommissioners(), 1)
	rest, err := f.client.ListCommissioners(f.as(testkit.Preparer("S0E4D")), &registerv1.ListCommissionersRequest{OnDate: "2026-07-01", PageToken: list.GetNextPageToken()})
	require.NoError(t, err)
	require.Greater(t, rest.GetCommissioners()[0].GetCommissionerCode(), list.GetCommissioners()[0].GetCommissionerCode())
	require.Empty(t, rest.GetNextPageToken())
}

func TestGetCoverage_CountsPatients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv")
	c, err := f.client.GetCoverage(f.as(testkit.Auditor(auth.England)), &registerv1.GetCoverageRequest{MembershipDate: "2022-04-01"})
	require.NoError(t, err)
	require.Equal(t, int32(45), c.GetPractices())
	require.Equal(t, int32(44), c.GetPracticesInPcn())
	require.Less(t, c.GetRegisteredPatientsInPcn(), c.GetRegisteredPatients())
	require.Equal(t, int32((c.GetRegisteredPatientsInPcn()*20000+c.GetRegisteredPatients())/(2*c.GetRegisteredPatients())), c.GetCoveredBasisPoints())
	require.Empty(t, f.events("SnapshotPublished"), "counting publishes nothing")
	require.Equal(t, f.snapshot("", "2022-04-01").GetSnapshotId(), c.GetSnapshotId())
}

func TestLists_RefuseForeignPageTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	operator := f.as(testkit.Operator())
	load := f.load("gp-reg-pat-prac-map_2022-01-01.csv").GetLoadId()
	for name, call := range map[string]func() error{
		"loads": func() error {
			_, err := f.client.ListLoads(operator, &registerv1.ListLoadsRequest{PageToken: "!"})
			return err
		},
		"loads, another list's": func() error {
			_, err := f.client.ListLoads(operator, &registerv1.ListLoadsRequest{PageToken: "djE6QTgxMDAx"})
			return err
		},
		"rows": func() error {
			_, err := f.client.ListQuarantinedRows(operator, &registerv1.ListQuarantinedRowsRequest{LoadId: load, PageToken: "zzz"})
			return err
		},
		"commissioners": func() error {
			_, err := f.client.ListCommissioners(operator, &registerv1.ListCommissionersRequest{OnDate: "2022-04-01", PageToken: "zzz"})
			return err
		},
		"organisations": func() error {
			_, err := f.client.ListOrganisations(operator, &registerv1.ListOrganisationsRequest{Kind: registerv1.OrganisationKind_PCN, PageToken: "zzz"})
			return err
		},
		"windows": func() error {
			_, err := f.client.ListOptOutWindows(operator, &registerv1.ListOptOutWindowsRequest{PageToken: "zzz"})
			return err
		},
		"audit": func() error {
			_, err := f.client.ListAuditEntries(operator, &registerv1.ListAuditEntriesRequest{PageToken: "zzz"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireReason(t, call(), fault.Invalid, "PAGE_TOKEN_INVALID")
		})
	}
}

func TestGetLoad_RefusesAnUnknownOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.client.GetLoad(f.as(testkit.Operator()), &registerv1.GetLoadRequest{LoadId: "none"})
	requireReason(t, err, fault.NotFound, "LOAD_NOT_FOUND")
	_, err = f.client.ListQuarantinedRows(f.as(testkit.Operator()), &registerv1.ListQuarantinedRowsRequest{LoadId: "none"})
	requireReason(t, err, fault.NotFound, "LOAD_NOT_FOUND")
}
