package activity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/activity"
)

// practice is one of the register's; pcn and list may be empty.
type practice struct {
	code, commissioner, pcn string
	list                    int64
}

// register stands in for the register service: practices with their PCNs, each led by the commissioner in leads.
type register struct {
	registerv1.RegisterServiceClient

	mu        sync.Mutex
	practices []practice
	leads     map[string]string
	// heirs are who took over a commissioner's debts, after the months of the tests.
	heirs map[string]string
	// ended are CCGs by the last day on which they owed anything.
	ended map[string]string
	// away is true while it does not tell bank holidays.
	away atomic.Bool
}

func (r *register) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ended := r.ended[req.GetCommissionerCode()]; ended && req.GetMembershipDate() > last {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owed nothing on %s", req.GetCommissionerCode(), req.GetMembershipDate())).Err()
	}
	if req.GetMembershipDate() < "2019-07-01" {
		return nil, rpc.Status(fault.New(fault.Invalid, "VALUE_NOT_ALLOWED", "there are no pictures of %s", req.GetMembershipDate())).Err()
	}
	pcns := make(map[string]*registerv1.SnapshotPcn)
	debtors := []string{req.GetCommissionerCode()}
	for code, heir := range r.heirs {
		if heir == req.GetCommissionerCode() {
			debtors = append(debtors, code)
		}
	}
	slices.Sort(debtors)
	digest := req.GetCommissionerCode() + req.GetMembershipDate() + req.GetPopulationReferenceDate()
	for _, p := range r.practices {
		if p.pcn == "" || (r.leads[p.pcn] != req.GetCommissionerCode() && p.commissioner != req.GetCommissionerCode()) {
			continue
		}
		if pcns[p.pcn] == nil {
			pcns[p.pcn] = &registerv1.SnapshotPcn{PcnCode: p.pcn, Name: "Network " + p.pcn, Owed: r.leads[p.pcn] == req.GetCommissionerCode(), Opened: "2019-07-01"}
		}
		in := &registerv1.SnapshotPractice{PracticeCode: p.code}
		if p.list > 0 {
			in.Populations = []*registerv1.SnapshotPopulation{{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: strconv.FormatInt(p.list, 10)}}
		}
		pcns[p.pcn].Practices = append(pcns[p.pcn].Practices, in)
		digest += fmt.Sprint(p)
	}
	out := &registerv1.Snapshot{
		SnapshotId: digest, CommissionerCode: req.GetCommissionerCode(), CommissionerName: "Commissioner " + req.GetCommissionerCode(),
		MembershipDate: req.GetMembershipDate(), KnownAt: timestamppb.New(testkit.Start), DebtorCodes: debtors,
	}
	for _, pcn := range pcns {
		out.Pcns = append(out.Pcns, pcn)
	}
	return out, nil
}

// ListCommissioners returns who leads PCNs, of those who had not ended.
func (r *register) ListCommissioners(_ context.Context, req *registerv1.ListCommissionersRequest, _ ...grpc.CallOption) (*registerv1.ListCommissionersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.GetOnDate() < "2019-07-01" {
		return nil, rpc.Status(fault.New(fault.Refused, "MEMBERSHIP_NOT_LOADED", "nothing is loaded for %s", req.GetOnDate())).Err()
	}
	out := new(registerv1.ListCommissionersResponse)
	for _, code := range r.leads {
		if last, ended := r.ended[code]; !ended || req.GetOnDate() <= last {
			out.Commissioners = append(out.Commissioners, &registerv1.Commissioner{CommissionerCode: code})
		}
	}
	return out, nil
}

func (r *register) GetOrganisation(_ context.Context, req *registerv1.GetOrganisationRequest, _ ...grpc.CallOption) (*registerv1.Organisation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.practices {
		if p.code == req.GetOrganisationCode() {
			out := &registerv1.Organisation{OrganisationCode: p.code}
			if p.pcn != "" {
				out.Relationships = []*registerv1.Relationship{{Kind: registerv1.RelationshipKind_MEMBER_OF_PCN, OtherCode: p.pcn, OtherName: "Network " + p.pcn, EffectiveFrom: "2020-04-01"}}
			}
			return out, nil
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, "ORGANISATION_UNKNOWN", "no %s", req.GetOrganisationCode())).Err()
}

// ListBankHolidays holds Easter 2026.
func (r *register) ListBankHolidays(_ context.Context, req *registerv1.ListBankHolidaysRequest, _ ...grpc.CallOption) (*registerv1.ListBankHolidaysResponse, error) {
	switch {
	case r.away.Load():
		return nil, status.Error(codes.Unavailable, "the register is away")
	case req.GetYear() == 2026:
		return &registerv1.ListBankHolidaysResponse{Holidays: []*registerv1.BankHoliday{{Date: "2026-04-03"}, {Date: "2026-04-06"}}}, nil
	default:
		return nil, rpc.Status(fault.New(fault.Refused, "BANK_HOLIDAYS_UNKNOWN", "the bank holidays of %d are not held", req.GetYear())).Err()
	}
}

// move puts a practice into another PCN.
func (r *register) move(code, pcn string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.practices {
		if r.practices[i].code == code {
			r.practices[i].pcn = pcn
		}
	}
}

// suite is activity over a database, with a register and a clock of the test's.
type suite struct {
	activity activityv1.ActivityServiceClient
	service  *activity.Service
	register *register
	db       *sqldb.DB
	clock    *testkit.Clock

	mu       sync.Mutex
	requests int
}

// stores opens a database of either kind.
var stores = map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres}

// each runs a test on both stores.
func each(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newSuite(t, open))
		})
	}
}

// newSuite has two PCNs of 15N with two practices each, a practice of 15N in a PCN of 11X, one of 11X's own, and one in no PCN.
func newSuite(t testing.TB, open func(testing.TB, sqldb.Options) *sqldb.DB) *suite {
	t.Helper()
	clock := testkit.NewClock(testkit.Start)
	s := &suite{db: open(t, sqldb.Options{Clock: clock.Now}), clock: clock, register: &register{
		practices: []practice{
			{"L83001", "15N", "U10001", 9120},
			{"L83002", "15N", "U10001", 10880},
			{"L83003", "15N", "U10002", 30000},
			{"L83004", "15N", "U10002", 20000},
			{"L83005", "15N", "U10003", 5000},
			{"L85001", "11X", "U10003", 25000},
			{"L85002", "11X", "U10004", 12000},
			{"L83009", "15N", "", 3000},
		},
		leads: map[string]string{"U10001": "15N", "U10002": "15N", "U10003": "11X", "U10004": "11X"},
	}}
	require.NoError(t, s.db.Migrate(t.Context(), activity.Migrations()))
	var err error
	s.service, err = activity.New(t.Context(), activity.Deps{DB: s.db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.activity = activityv1.NewActivityServiceClient(testkit.Serve(t, s.service.Register))
	return s
}

// as makes calls in the name of someone, later than those before.
func (s *suite) as(t testing.TB, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

// next returns a request id that was not used before.
func (s *suite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

func regional(commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "region", Roles: []optionsv1.Role{optionsv1.Role_ROLE_REGIONAL_VIEWER}, Commissioners: commissioners}
}

// refused returns the fault behind an error of a call.
func refused(t testing.TB, err error) *fault.Fault {
	t.Helper()
	require.Error(t, err)
	f := rpc.FaultFromStatus(status.Convert(err))
	require.NotNil(t, f, "%v", err)
	return f
}

const fileHeader = "provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances"

// rows makes a file of one month of rows of practice, group and count.
func rows(month string, of ...string) string {
	var out strings.Builder
	out.WriteString(fileHeader + "\n")
	for _, row := range of {
		f := strings.Fields(row)
		fmt.Fprintf(&out, "RH8,RH801,%s,01,first,%s,%s,%s\n", month, strings.Trim(f[0], "-"), f[1], f[2])
	}
	return out.String()
}

// november is a month of 15N: 500 attendances at two PCNs of its own, one that 11X leads, none, and of unknown practices.
func november() string {
	return rows("2020-11", "L83001 VB05Z 120", "L83001 VB09Z 3", "L83002 VB05Z 80", "L83003 VB05Z 100", "L83004 VB09Z 90", "L83005 VB09Z 40", "L83009 VB05Z 30",
		"- VB05Z 20", "V81999 VB09Z 12", "L89999 VB09Z 5")
}

func (s *suite) send(ctx context.Context, header *activityv1.AttendancesHeader, content io.Reader) (*activityv1.ImportAttendancesResponse, error) {
	stream, err := s.activity.ImportAttendances(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Header{Header: header}}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	piece := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(content, piece)
		if n > 0 {
			// The server may have answered already; what it said comes with the answer.
			if err := stream.Send(&activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Chunk{Chunk: piece[:n]}}); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

// try imports a file for a commissioner, for England where it is empty.
func (s *suite) try(t testing.TB, commissioner, content string, change ...func(*activityv1.AttendancesHeader)) (*activityv1.ImportAttendancesResponse, error) {
	t.Helper()
	by := testkit.Preparer("*")
	if commissioner != "" {
		by = testkit.Preparer(commissioner)
	}
	header := &activityv1.AttendancesHeader{
		RequestId: s.next(), CommissionerCode: commissioner, Cut: activityv1.CutKind_FIRST_CUT, Source: "a test", FileName: "ae.csv", ExtractDate: "2022-12-14",
	}
	for _, fn := range change {
		fn(header)
	}
	return s.send(s.as(t, by), header, strings.NewReader(content))
}

func final(h *activityv1.AttendancesHeader) { h.Cut = activityv1.CutKind_FINAL_CUT }

// load imports a file that is good.
func (s *suite) load(t testing.TB, commissioner, content string, change ...func(*activityv1.AttendancesHeader)) *activityv1.AttendancesImport {
	t.Helper()
	out, err := s.try(t, commissioner, content, change...)
	require.NoError(t, err)
	require.False(t, out.GetAlreadyImported())
	return out.GetAttendancesImport()
}

// build builds the report of a month of 15N.
func (s *suite) build(t testing.TB, month string) *activityv1.Report {
	t.Helper()
	out, err := s.activity.BuildReport(s.as(t, testkit.Preparer("15N")), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: "15N", Month: month})
	require.NoError(t, err)
	return out
}

// publish publishes a version of 15N.
func (s *suite) publish(t testing.TB, r *activityv1.Report) *activityv1.PublishReportResponse {
	t.Helper()
	out, err := s.activity.PublishReport(s.as(t, testkit.Approver("15N")), &activityv1.PublishReportRequest{
		RequestId: s.next(), CommissionerCode: "15N", Month: r.GetMonth(), ReportId: r.GetReportId(),
	})
	require.NoError(t, err)
	return out
}

// set chooses something for 15N, or for England where the commissioner is empty.
func (s *suite) set(t testing.TB, commissioner, name, subject, value string) *activityv1.Setting {
	t.Helper()
	by := testkit.Approver("*")
	if commissioner != "" {
		by = testkit.Approver(commissioner)
	}
	out, err := s.activity.SetSetting(s.as(t, by), &activityv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: commissioner, Name: name, Subject: subject, Value: value, Reason: "a test",
	})
	require.NoError(t, err)
	return out
}

// published is an event as the outbox holds it.
type published struct {
	aggregate, subject string
	event              proto.Message
}

// published returns the events of the outbox, in order.
func (s *suite) published(t *testing.T) (out []published) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT aggregate, type, payload, subject FROM outbox ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p published
			var name string
			var payload []byte
			if err := rows.Scan(&p.aggregate, &name, &payload, &p.subject); err != nil {
				return err
			}
			kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
			if err != nil {
				return err
			}
			p.event = kind.New().Interface()
			if err := proto.Unmarshal(payload, p.event); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	}))
	return out
}

// count returns how many rows a table holds, or those of a condition.
func (s *suite) count(t testing.TB, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+from, args...).Scan(&n)
	}))
	return n
}
