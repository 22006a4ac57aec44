package iif_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

const (
	courseYear   = "2025-26"
	courseBody   = "QXX"
	courseHeir   = "QYY"
	coursePCN    = "U00001"
	courseOthers = "U00002"
	coursePaper  = "letter of 1 May 2026"
)

var courseDay = period.NewDate(2026, time.March, 31)

// courseRegister gives one picture for every day, cut for the body that asks.
type courseRegister struct {
	registerv1.RegisterServiceClient

	mu   sync.Mutex
	pcns []*registerv1.SnapshotPcn
	// heirs are the bodies that have taken over what others owed, by those.
	heirs map[string]string
	asked int
	// after, unless it is nil, is called once a picture was taken and before it is given.
	after func()
}

func (r *courseRegister) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	out, err := r.picture(req)
	if r.after != nil {
		r.after()
	}
	return out, err
}

// GetPcnSnapshot gives the picture of the payer of a PCN.
func (r *courseRegister) GetPcnSnapshot(_ context.Context, req *registerv1.GetPcnSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	i := slices.IndexFunc(r.pcns, func(p *registerv1.SnapshotPcn) bool { return p.GetPcnCode() == req.GetPcnCode() })
	r.mu.Unlock()
	if i < 0 {
		return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %q", req.GetPcnCode())).Err()
	}
	return r.picture(&registerv1.GetSnapshotRequest{CommissionerCode: r.pcns[i].GetPayerCode(), MembershipDate: req.GetMembershipDate()})
}

func (r *courseRegister) picture(req *registerv1.GetSnapshotRequest) (*registerv1.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	code := req.GetCommissionerCode()
	out := &registerv1.Snapshot{SnapshotId: "picture-" + strconv.Itoa(r.asked), CommissionerCode: code, MembershipDate: req.GetMembershipDate()}
	for _, p := range r.pcns {
		if code == "" || p.GetPayerCode() == code || r.heirs[p.GetPayerCode()] == code {
			p = proto.CloneOf(p)
			p.Owed = true
			out.Pcns = append(out.Pcns, p)
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", code)).Err()
	}
	return out, nil
}

// GetOrganisation knows PCNs in the location L1, and that in the system of courseBody.
func (r *courseRegister) GetOrganisation(_ context.Context, req *registerv1.GetOrganisationRequest, _ ...grpc.CallOption) (*registerv1.Organisation, error) {
	out := &registerv1.Organisation{OrganisationCode: req.GetOrganisationCode()}
	relation := func(kind registerv1.RelationshipKind, other, from, to string) {
		out.Relationships = append(out.Relationships, &registerv1.Relationship{Kind: kind, OtherCode: other, EffectiveFrom: from, EffectiveTo: to})
	}
	switch req.GetOrganisationCode() {
	case "L1":
		relation(registerv1.RelationshipKind_IN_SYSTEM, "QOLD", "2022-07-01", "2024-03-31")
		relation(registerv1.RelationshipKind_IN_SYSTEM, courseBody, "2024-04-01", "")
	case "U99999":
	default:
		relation(registerv1.RelationshipKind_COMMISSIONED_BY, "L0", "2019-07-01", "2023-03-31")
		relation(registerv1.RelationshipKind_COMMISSIONED_BY, "L1", "2023-04-01", "")
		relation(registerv1.RelationshipKind_COMMISSIONED_BY, "L2", "2099-04-01", "")
	}
	return out, nil
}

// change alters the PCNs of the register.
func (r *courseRegister) change(alter func(pcns []*registerv1.SnapshotPcn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	alter(r.pcns)
}

// courseNetwork makes a PCN of practices, each with its registered patients; of less than nothing none are known.
func courseNetwork(code, payer string, practices map[string]int64) *registerv1.SnapshotPcn {
	out := &registerv1.SnapshotPcn{
		PcnCode: code, Name: "Network " + code, PayerCode: payer, LocationCode: "L1", Payee: &typev1.Payee{Code: "P" + code, Name: "Payee of " + code},
	}
	for _, practice := range slices.Sorted(maps.Keys(practices)) {
		out.Practices = append(out.Practices, coursePractice(practice, practices[practice]))
	}
	return out
}

func coursePractice(code string, patients int64) *registerv1.SnapshotPractice {
	out := &registerv1.SnapshotPractice{PracticeCode: code, Participating: true}
	if patients >= 0 {
		out.Populations = []*registerv1.SnapshotPopulation{
			{Kind: typev1.PopulationKind_POPULATION_KIND_WEIGHTED, Value: strconv.FormatInt(2*patients, 10)},
			{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: strconv.FormatInt(patients, 10), LoadId: "list"},
		}
	}
	return out
}

// courseSuite is iif after the end of 2025/26, with a register and a clock of the test's. Its figures are entered; two PCNs have counts.
type courseSuite struct {
	iif      iifv1.IifServiceClient
	register *courseRegister
	db       *sqldb.DB
	clock    *testkit.Clock

	mu       sync.Mutex
	requests int
}

// eachCourse runs a test on both databases.
func eachCourse(t *testing.T, test func(t *testing.T, s *courseSuite)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
			s := newCourseSuite(t, open(t, sqldb.Options{Clock: clock.Now}), clock)
			s.prepare(t)
			test(t, s)
		})
	}
}

func newCourseSuite(t testing.TB, db *sqldb.DB, clock *testkit.Clock) *courseSuite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
	s := &courseSuite{register: &courseRegister{heirs: make(map[string]string)}, db: db, clock: clock}
	service, err := iif.New(t.Context(), iif.Deps{DB: db, Register: s.register, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.iif = iifv1.NewIifServiceClient(testkit.Serve(t, service.Register))
	return s
}

// prepare enters what 2025/26 lacks, with a question of yes or no beside the two indicators, and puts counts of two PCNs there.
func (s *courseSuite) prepare(t testing.TB) {
	t.Helper()
	s.register.pcns = []*registerv1.SnapshotPcn{
		courseNetwork(coursePCN, courseBody, map[string]int64{"A00001": 20_000, "A00002": 30_000}),
		courseNetwork(courseOthers, courseBody, map[string]int64{"A00003": 25_000}),
		courseNetwork("U00003", "QZZ", map[string]int64{"A00005": 25_000}),
	}
	s.figure(t, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Indicator{Indicator: &iifv1.SchemeIndicator{
		VersionId: "IIF-2025-04", IndicatorCode: "TK-01", Name: "A question", Area: "Test", Kind: iifv1.IndicatorKind_BINARY, Status: iifv1.IndicatorStatus_ACTIVE,
		NumeratorFrom: iifv1.CountsFeed_TICK,
	}}})
	for _, v := range []*iifv1.SchemeValue{
		{VersionId: "IIF-2025-04", IndicatorCode: "TK-01", Field: iifv1.ValueField_POINTS, Value: "10"},
		{VersionId: "IIF-2025-04", IndicatorCode: "HI-03", Field: iifv1.ValueField_LOWER_THRESHOLD, Value: "60"},
		{VersionId: "IIF-2025-04", IndicatorCode: "HI-03", Field: iifv1.ValueField_UPPER_THRESHOLD, Value: "80"},
		{VersionId: "IIF-2025-04", IndicatorCode: "CAN-04", Field: iifv1.ValueField_PREVALENCE_ADJUSTED, Value: "1"},
		{IndicatorCode: "HI-03", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.5"},
		{IndicatorCode: "CAN-04", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.2"},
		{Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, Value: "50000", ListKind: iifv1.ListKind_REGISTERED, ListDate: "2025-01-01"},
	} {
		s.value(t, "", v)
	}
	for practice, counts := range map[string][4]int64{"A00001": {70, 100, 40, 50}, "A00002": {80, 100, 35, 50}, "A00003": {50, 100, 45, 50}, "A00005": {50, 100, 45, 50}} {
		s.put(t, practice, "HI-03", counts[0], counts[1])
		s.put(t, practice, "CAN-04", counts[2], counts[3])
	}
}

// due is what the first PCN's year comes to: 27 points of HI-03 at 0.8 of the national prevalence, and 14 2/3 of CAN-04.
const due int64 = 427_680 + 290_400

// author enters figures and is nobody else.
func author(commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "author@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_APPROVER}, Commissioners: commissioners}
}

// counter enters counts and is nobody else.
func counter(commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "counter@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER}, Commissioners: commissioners}
}

// named gives a principal another name.
func named(p auth.Principal, subject string) auth.Principal {
	p.Subject = subject
	return p
}

// as makes calls in the name of someone, later than those before.
func (s *courseSuite) as(t testing.TB, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

// unhurried lets a call take longer than callers usually wait.
func (s *courseSuite) unhurried(t testing.TB, p auth.Principal) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.as(t, p), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (s *courseSuite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

func courseReason(err error) string {
	if err == nil {
		return ""
	}
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return err.Error()
	}
	return f.Reason
}

// figure enters a figure of the year.
func (s *courseSuite) figure(t testing.TB, commissioner string, req *iifv1.AddFigureRequest) *iifv1.Figure {
	t.Helper()
	req.RequestId, req.CommissionerCode, req.FinancialYear, req.Source = s.next(), commissioner, courseYear, coursePaper
	req.Confidence = typev1.Confidence_CONFIDENCE_OFFICIAL
	out, err := s.iif.AddFigure(s.unhurried(t, author("*")), req)
	require.NoError(t, err, "%v", req)
	return out
}

func (s *courseSuite) value(t testing.TB, commissioner string, v *iifv1.SchemeValue) *iifv1.Figure {
	t.Helper()
	return s.figure(t, commissioner, &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Value{Value: v}})
}

// setting sets how a body rounds.
func (s *courseSuite) setting(t testing.TB, body, mode string) {
	t.Helper()
	_, err := s.iif.SetSetting(s.as(t, author("*")), &iifv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: body, VersionId: "IIF-2025-04", Name: "ROUNDING", Value: mode, Reason: "as our letter has it",
	})
	require.NoError(t, err)
}

// put puts counts there as an import would.
func (s *courseSuite) put(t testing.TB, organisation, code string, numerator, denominator int64) {
	t.Helper()
	s.putCells(t, organisation, code, store.Cells{
		{Measure: feed.Numerator, Cell: rules.Count(numerator)}, {Measure: feed.Denominator, Cell: rules.Count(denominator)},
	})
}

func (s *courseSuite) putCells(t testing.TB, organisation, code string, cells store.Cells) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		last, err := store.LastCount(t.Context(), tx)
		if err != nil {
			return err
		}
		return store.InsertCounts(t.Context(), tx, []store.CountRow{{
			CountKey: store.CountKey{Organisation: organisation, On: courseDay, Indicator: code}, Position: last + 1, CommissionerCode: rules.England,
			SourceID: "import", Cells: cells, RecordedBy: "importer", RecordedAt: sqldb.Micros(s.clock.Now()),
		}})
	}))
}

// count enters counts by hand.
func (s *courseSuite) count(t testing.TB, organisation, code string, numerator, denominator int64) {
	t.Helper()
	s.countFor(t, courseBody, organisation, code, numerator, denominator)
}

// countFor enters counts by hand for a body.
func (s *courseSuite) countFor(t testing.TB, body, organisation, code string, numerator, denominator int64) {
	t.Helper()
	_, err := s.iif.RecordCounts(s.as(t, counter(body)), &iifv1.RecordCountsRequest{
		RequestId: s.next(), CommissionerCode: body, OrganisationCode: organisation, FinancialYear: courseYear, AchievedOn: courseDay.String(),
		Counts: &iifv1.IndicatorCounts{
			IndicatorCode: code, Numerator: &iifv1.Count{Value: &numerator}, Denominator: &iifv1.Count{Value: &denominator},
		}, Reason: "counted again",
	})
	require.NoError(t, err)
}

// answer answers the question for a PCN.
func (s *courseSuite) answer(t testing.TB, pcn string, answer iifv1.Answer) {
	t.Helper()
	_, err := s.iif.AnswerIndicator(s.as(t, testkit.PCNManager(pcn)), &iifv1.AnswerIndicatorRequest{
		RequestId: s.next(), PcnCode: pcn, FinancialYear: courseYear, IndicatorCode: "TK-01", Answer: answer, Reason: "asked again",
	})
	require.NoError(t, err)
}

func (s *courseSuite) calculate(t testing.TB) *iifv1.CalculateYearResponse {
	t.Helper()
	return s.calculateFor(t, courseBody)
}

func (s *courseSuite) calculateFor(t testing.TB, commissioner string) *iifv1.CalculateYearResponse {
	t.Helper()
	out, err := s.iif.CalculateYear(s.as(t, testkit.Preparer(commissioner)), &iifv1.CalculateYearRequest{
		RequestId: s.next(), CommissionerCode: commissioner, FinancialYear: courseYear,
	})
	require.NoError(t, err)
	return out
}

func (s *courseSuite) get(t testing.TB, pcn string) *iifv1.Achievement {
	t.Helper()
	out, err := s.iif.GetAchievement(s.as(t, testkit.Auditor("*")), &iifv1.GetAchievementRequest{PcnCode: pcn, FinancialYear: courseYear})
	require.NoError(t, err)
	return out
}

// nominate has a person declare for a PCN from now on.
func (s *courseSuite) nominate(t testing.TB, pcn, person string) *iifv1.Nomination {
	t.Helper()
	nomination, err := s.iif.Nominate(s.as(t, named(testkit.PCNManager(pcn), "director@example.test")), &iifv1.NominateRequest{
		RequestId: s.next(), PcnCode: pcn, Person: person,
	})
	require.NoError(t, err)
	nomination, err = s.iif.DecideNomination(s.as(t, testkit.Preparer(courseBody)), &iifv1.DecideNominationRequest{
		RequestId: s.next(), CommissionerCode: courseBody, NominationId: nomination.GetNominationId(), Etag: nomination.GetEtag(), Approve: true,
	})
	require.NoError(t, err)
	return nomination
}

// The steps, each by who usually takes it, on the result as it stands.

func (s *courseSuite) declare(t testing.TB, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.DeclareAchievement(s.as(t, testkit.PCNManager(pcn)), &iifv1.DeclareAchievementRequest{
		RequestId: s.next(), PcnCode: pcn, FinancialYear: courseYear, ResultId: s.get(t, pcn).GetResult().GetResultId(),
	})
}

func (s *courseSuite) commit(t testing.TB, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.CommitReinvestment(s.as(t, testkit.PCNManager(pcn)), &iifv1.CommitReinvestmentRequest{
		RequestId: s.next(), PcnCode: pcn, FinancialYear: courseYear, Text: "two more nurses",
	})
}

func (s *courseSuite) appeal(t testing.TB, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.AppealAchievement(s.as(t, testkit.PCNManager(pcn)), &iifv1.AppealAchievementRequest{
		RequestId: s.next(), PcnCode: pcn, FinancialYear: courseYear, Reason: "our register is larger",
	})
}

func (s *courseSuite) decide(t testing.TB, pcn string, verdict iifv1.Verdict) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.DecideAppeal(s.as(t, testkit.Preparer(courseBody)), &iifv1.DecideAppealRequest{
		RequestId: s.next(), CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, Verdict: verdict, Reason: "looked at it",
	})
}

func (s *courseSuite) accept(t testing.TB, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.AcceptAchievement(s.as(t, testkit.Preparer(courseBody)), &iifv1.AcceptAchievementRequest{
		RequestId: s.next(), CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, ResultId: s.get(t, pcn).GetResult().GetResultId(),
	})
}

func (s *courseSuite) approve(t testing.TB, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.approveAs(t, testkit.Approver(courseBody), pcn)
}

func (s *courseSuite) approveAs(t testing.TB, p auth.Principal, pcn string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.ApprovePayment(s.as(t, p), &iifv1.ApprovePaymentRequest{
		RequestId: s.next(), CommissionerCode: courseBody, PcnCode: pcn, FinancialYear: courseYear, ResultId: s.get(t, pcn).GetResult().GetResultId(),
	})
}

const (
	open         = iifv1.AchievementState_OPEN
	provider     = iifv1.AchievementState_AWAITING_SERVICE_PROVIDER_APPROVAL
	commissioner = iifv1.AchievementState_AWAITING_COMMISSIONING_ORGANISATION_APPROVAL
	financial    = iifv1.AchievementState_AWAITING_FINANCIAL_APPROVAL
	appealed     = iifv1.AchievementState_UNDER_APPEAL
	approvedYear = iifv1.AchievementState_APPROVED_FOR_PAYMENT
)

// bring brings the year of the first PCN, which was calculated, to a state.
func (s *courseSuite) bring(t testing.TB, to iifv1.AchievementState) *iifv1.Achievement {
	t.Helper()
	type step func(t testing.TB, pcn string) (*iifv1.Achievement, error)
	upheld := func(t testing.TB, pcn string) (*iifv1.Achievement, error) {
		t.Helper()
		return s.decide(t, pcn, iifv1.Verdict_UPHELD)
	}
	for _, take := range map[iifv1.AchievementState][]step{
		provider: {}, commissioner: {s.declare}, financial: {s.declare, s.accept}, appealed: {s.appeal}, open: {s.appeal, upheld},
		approvedYear: {s.declare, s.commit, s.accept, s.approve},
	}[to] {
		_, err := take(t, coursePCN)
		require.NoError(t, err)
	}
	out := s.get(t, coursePCN)
	require.Equal(t, to, out.GetState())
	return out
}

// rows counts the rows of a table.
func (s *courseSuite) rows(t testing.TB, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+from, args...).Scan(&n)
	}))
	return n
}

func clockOptions(clock *testkit.Clock) sqldb.Options { return sqldb.Options{Clock: clock.Now} }
