package register_test

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register"
)

// The plan of enhanced access is due on 31 July 2022; the clock of a fixture stands in May.
const accessPlan = "2022-23-enhanced-access-plan"

// onBoth runs tests of the tracker over a register that knows January 2022, on both databases.
func onBoth(t *testing.T, tests map[string]func(*testing.T, *fixture)) {
	t.Helper()
	for engine, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		for name, test := range tests {
			t.Run(engine+"/"+name, func(t *testing.T) {
				t.Parallel()
				clock := testkit.NewClock(may2022)
				f := newFixtureOn(t, clock, open(t, sqldb.Options{Clock: clock.Now}))
				f.load("gp-reg-pat-prac-map_2022-01-01.csv", "gp-reg-pat-prac-all_2022-01-01.csv")
				test(t, f)
			})
		}
	}
}

func TestTracker_OnBothDatabases(t *testing.T) {
	t.Parallel()
	onBoth(t, map[string]func(*testing.T, *fixture){
		"Step_LeadsFromPlanToEvidence":           stepsLeadToEvidence,
		"Step_IsRefusedToWhoMayNotTakeIt":        stepsAreRefused,
		"Step_IsTakenOnce":                       stepsAreTakenOnce,
		"Step_GoesOnUnderTheICB":                 stepsGoOnUnderTheICB,
		"Status_IsThatOfTheDayAndOfTheMoment":    statusIsOfTheDay,
		"Status_IsListedToWhoMaySeeIt":           statusesAreListed,
		"Status_OfAPCNThatEndedIsTold":           statusOfEndedPCN,
		"Summary_AddsUpToThePCNs":                summaryAddsUp,
		"Requirement_VersionsHoldForTheirPCNs":   versionsHold,
		"Requirement_RefusesWhatIsWrong":         versionsAreRefused,
		"Requirement_OfAPersonOutlivesTheTables": personsOutliveTables,
		"Calendar_HoldsWhatIsDue":                calendarHolds,
		"Calendar_ItemsAreOfThoseWhoseTheyAre":   itemsAreOfTheirOwners,
		"Calendar_OfALocationIsNotOfTheOthers":   locationsDoNotSeeEachOther,
		"Reminders_ComeOnceByASteppedClock":      remindersComeOnce,
		"Reminders_ComeOnceFromManyProcesses":    remindersComeOnceFromMany,
	})
}

var (
	manager  = testkit.PCNManager("U89141")
	preparer = testkit.Preparer("16C")
	approver = testkit.Approver("16C")
)

// stepper records steps of the plan at U89141, each with the tag of the one before.
type stepper struct {
	*fixture
	id   string
	etag string
	n    int
}

func (f *fixture) steps(id string) *stepper { return &stepper{fixture: f, id: id, etag: "0"} }

func (s *stepper) try(by auth.Principal, r *registerv1.RecordRequirementStepRequest) (*registerv1.RequirementStatus, error) {
	s.n++
	r.RequestId, r.PcnCode, r.RequirementId = fmt.Sprint("step ", s.id, s.n), "U89141", s.id
	if r.GetEtag() == "" {
		r.Etag = s.etag
	}
	return s.client.RecordRequirementStep(s.as(by), r)
}

func (s *stepper) take(by auth.Principal, r *registerv1.RecordRequirementStepRequest) *registerv1.RequirementStatus {
	s.t.Helper()
	got, err := s.try(by, r)
	require.NoError(s.t, err)
	s.etag = got.GetEtag()
	return got
}

func (s *stepper) refused(by auth.Principal, r *registerv1.RecordRequirementStepRequest, kind fault.Kind, reason string) {
	s.t.Helper()
	_, err := s.try(by, r)
	requireReason(s.t, err, kind, reason)
}

func deliver(met string) *registerv1.RecordRequirementStepRequest {
	return &registerv1.RecordRequirementStepRequest{
		Kind: registerv1.RequirementStepKind_DELIVER, MetDate: met, EvidenceType: "plan", EvidenceReference: "https://example.test/plan.pdf",
	}
}

func accept() *registerv1.RecordRequirementStepRequest {
	return &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_ACCEPT_EVIDENCE}
}

func (f *fixture) status(by auth.Principal, id, on string) *registerv1.RequirementStatus {
	f.t.Helper()
	got, err := f.client.GetRequirementStatus(f.as(by), &registerv1.GetRequirementStatusRequest{PcnCode: "U89141", RequirementId: id, OnDate: on})
	require.NoError(f.t, err)
	return got
}

func stepsLeadToEvidence(t *testing.T, f *fixture) {
	got := f.status(manager, accessPlan, "")
	require.Equal(t, registerv1.RequirementState_NOT_STARTED, got.GetState())
	require.Equal(t, "0", got.GetEtag())
	require.Equal(t, "2022-07-31", got.GetRequirement().GetDueDate())
	require.Equal(t, registerv1.DueBasis_DUE_STATED, got.GetRequirement().GetDueBasis())
	require.Equal(t, typev1.Confidence_CONFIDENCE_SECONDARY, got.GetRequirement().GetConfidence())

	s := f.steps(accessPlan)
	got = s.take(manager, &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_PLAN, PlannedDate: "2022-07-15"})
	require.Equal(t, registerv1.RequirementState_PLANNED, got.GetState())
	s.take(manager, &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_START})
	got = s.take(manager, deliver("2022-05-09"))
	require.Equal(t, registerv1.RequirementState_DELIVERED, got.GetState())
	got = s.take(preparer, &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_RETURN_EVIDENCE, Reason: "not signed"})
	require.Equal(t, registerv1.RequirementState_IN_PROGRESS, got.GetState())
	require.Equal(t, "not signed", got.GetReturnedReason())
	s.take(manager, deliver("2022-05-10"))
	got = s.take(approver, accept())
	require.Equal(t, registerv1.RequirementState_EVIDENCED, got.GetState())
	require.Equal(t, "2022-05-10", got.GetMetDate())
	require.Equal(t, "https://example.test/plan.pdf", got.GetEvidenceReference())
	require.Equal(t, "2022-07-15", got.GetPlannedDate())
	require.Len(t, got.GetHistory(), 6)
	require.Equal(t, "approver@example.test", got.GetHistory()[5].GetRecordedBy())
	require.True(t, proto.Equal(got, f.status(manager, accessPlan, "")), "what a step answers is what is read")

	events := f.events("RequirementStatusChanged")
	require.Len(t, events, 6)
	require.Equal(t, "pcnfunding.register.v1.RequirementStatusChanged.16C", events[0])
	audit, err := f.client.ListAuditEntries(f.as(approver), &registerv1.ListAuditEntriesRequest{CommissionerCode: "16C"})
	require.NoError(t, err)
	require.Len(t, audit.GetEntries(), 6)
	summaries := make([]string, 0, 6)
	for _, entry := range audit.GetEntries() {
		require.Equal(t, "requirements/"+accessPlan+"/U89141", entry.GetResource())
		summaries = append(summaries, entry.GetSummary())
	}
	require.Contains(t, summaries, "recorded ACCEPT_EVIDENCE of "+accessPlan+" at U89141")
}

func stepsAreRefused(t *testing.T, f *fixture) {
	s := f.steps(accessPlan)
	plan := func() *registerv1.RecordRequirementStepRequest {
		return &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_PLAN, PlannedDate: "2022-07-15"}
	}
	s.refused(testkit.PCNManager("U25545"), plan(), fault.NotFound, auth.ReasonNotFound)
	s.refused(testkit.Preparer("84H"), accept(), fault.NotFound, auth.ReasonNotFound)
	s.refused(preparer, plan(), fault.Denied, auth.ReasonRoleRequired)
	s.refused(manager, accept(), fault.Denied, auth.ReasonRoleRequired)
	s.refused(testkit.Auditor("16C"), accept(), fault.Denied, auth.ReasonRoleRequired)
	s.refused(preparer, accept(), fault.Refused, "STEP_NOT_ALLOWED")
	stale := plan()
	stale.Etag = "7"
	s.refused(manager, stale, fault.Stale, "VERSION_CHANGED")
	s.etag = ""
	s.refused(manager, plan(), fault.Invalid, "ETAG_REQUIRED")
	s.etag = "0"
	s.refused(manager, deliver("2022-05-11"), fault.Invalid, "DAY_IN_FUTURE")
	misplaced := plan()
	misplaced.MetDate = "2022-05-01"
	s.refused(manager, misplaced, fault.Invalid, "VALUE_NOT_ALLOWED")
	// One person may hold both roles, and is still one person.
	both := auth.Principal{
		Subject: "both@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_FINANCE_PREPARER},
		PCNs: []string{"U89141"}, Commissioners: []string{"16C"},
	}
	s.take(both, deliver("2022-05-09"))
	s.refused(both, accept(), fault.Denied, "ACCEPTER_IS_MAKER")
	s.take(preparer, accept())
	s.refused(preparer, &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_RETURN_EVIDENCE}, fault.Invalid, "REASON_MISSING")

	// Nor do they judge for the commissioner what others of their PCN delivered.
	homes := f.steps("2022-23-care-homes")
	homes.take(manager, deliver("2022-05-09"))
	homes.refused(both, accept(), fault.Denied, "ACCEPTER_IS_MAKER")

	off := f.steps("2021-22-personalised-care")
	off.refused(manager, plan(), fault.Refused, "REQUIREMENT_PUT_OFF")
	none := f.steps("no-such")
	none.refused(manager, plan(), fault.NotFound, "REQUIREMENT_NOT_FOUND")
	require.Len(t, f.events("RequirementStatusChanged"), 3, "what is refused tells nobody")
}

func stepsAreTakenOnce(t *testing.T, f *fixture) {
	request := &registerv1.RecordRequirementStepRequest{
		RequestId: "once", PcnCode: "U89141", RequirementId: accessPlan, Etag: "0", Kind: registerv1.RequirementStepKind_START,
	}
	first, err := f.client.RecordRequirementStep(f.as(manager), request)
	require.NoError(t, err)
	again, err := f.client.RecordRequirementStep(f.as(manager), request)
	require.NoError(t, err)
	require.True(t, proto.Equal(first, again))
	// Of many at once one is taken.
	const callers = 6
	var wait sync.WaitGroup
	var mu sync.Mutex
	taken, stale := 0, 0
	for i := range callers {
		wait.Go(func() {
			r := deliver("2022-05-09")
			r.RequestId, r.PcnCode, r.RequirementId, r.Etag = fmt.Sprint("many", i), "U89141", accessPlan, first.GetEtag()
			_, err := f.client.RecordRequirementStep(f.as(manager), r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken++
			} else if refusal(t, err).Reason == "VERSION_CHANGED" {
				stale++
			}
		})
	}
	wait.Wait()
	require.Equal(t, []int{1, callers - 1}, []int{taken, stale})
	require.Len(t, f.events("RequirementStatusChanged"), 2)
}

func stepsGoOnUnderTheICB(t *testing.T, f *fixture) {
	s := f.steps(accessPlan)
	s.take(manager, deliver("2022-05-09"))
	f.clock.Set(time.Date(2022, time.July, 20, 9, 0, 0, 0, time.UTC))
	icb := testkit.Preparer("QHM")
	got := f.status(icb, accessPlan, "")
	require.Equal(t, "QHM", got.GetCommissionerCode())
	require.Equal(t, "16C", got.GetHistory()[0].GetCommissionerCode())
	// What the CCG did is read under its code for the days on which it was, and nothing is decided by it any more.
	_, err := f.client.ListRequirementStatuses(f.as(preparer), &registerv1.ListRequirementStatusesRequest{FinancialYear: "2022-23", CommissionerCode: "16C", OnDate: "2022-06-30"})
	require.NoError(t, err)
	s.refused(preparer, accept(), fault.NotFound, auth.ReasonNotFound)
	s.refused(testkit.Preparer("00L"), accept(), fault.NotFound, auth.ReasonNotFound)
	got = s.take(icb, accept())
	require.Equal(t, registerv1.RequirementState_EVIDENCED, got.GetState())
	events := f.events("RequirementStatusChanged")
	require.Equal(t, []string{"pcnfunding.register.v1.RequirementStatusChanged.16C", "pcnfunding.register.v1.RequirementStatusChanged.QHM"}, events)
	list, err := f.client.ListRequirementStatuses(f.as(icb), &registerv1.ListRequirementStatusesRequest{
		FinancialYear: "2022-23", CommissionerCode: "QHM", RequirementId: accessPlan, State: registerv1.RequirementState_EVIDENCED,
	})
	require.NoError(t, err)
	require.Len(t, list.GetStatuses(), 1)
}

func statusIsOfTheDay(t *testing.T, f *fixture) {
	s := f.steps(accessPlan)
	f.clock.Set(time.Date(2022, time.August, 20, 9, 0, 0, 0, time.UTC))
	before := timestamppb.New(f.clock.Now())
	f.clock.Advance(time.Hour)
	s.take(manager, deliver("2022-08-05"))
	f.clock.Advance(time.Hour)
	for _, c := range []struct {
		on    string
		known *timestamppb.Timestamp
		state registerv1.RequirementState
		late  int32
	}{
		{"2022-07-31", nil, registerv1.RequirementState_NOT_STARTED, 0},
		{"2022-08-01", nil, registerv1.RequirementState_OVERDUE, 1},
		{"2022-08-04", nil, registerv1.RequirementState_OVERDUE, 4},
		{"2022-08-05", nil, registerv1.RequirementState_DELIVERED, 5},
		{"", nil, registerv1.RequirementState_DELIVERED, 5},
		{"2022-08-05", before, registerv1.RequirementState_OVERDUE, 5},
		{"2022-07-31", before, registerv1.RequirementState_NOT_STARTED, 0},
	} {
		got, err := f.client.GetRequirementStatus(f.as(manager), &registerv1.GetRequirementStatusRequest{
			PcnCode: "U89141", RequirementId: accessPlan, OnDate: c.on, KnownAt: c.known,
		})
		require.NoError(t, err)
		require.Equal(t, c.state, got.GetState(), "%+v", c)
		require.Equal(t, c.late, got.GetDaysLate(), "%+v", c)
		require.False(t, got.GetPaymentHoldAllowed())
	}
	_, err := f.client.GetRequirementStatus(f.as(manager), &registerv1.GetRequirementStatusRequest{
		PcnCode: "U89141", RequirementId: accessPlan, KnownAt: timestamppb.New(f.clock.Now().Add(time.Hour)),
	})
	requireReason(t, err, fault.Invalid, "KNOWN_AT_IN_FUTURE")
	// What had passed before the register held it accuses nobody who is silent, and whoever begins is late.
	const past = "2021-22-care-homes"
	require.Equal(t, registerv1.RequirementState_DUE_PASSED, f.status(manager, past, "").GetState())
	late, err := f.client.ListRequirementStatuses(f.as(manager), &registerv1.ListRequirementStatusesRequest{
		FinancialYear: "2021-22", State: registerv1.RequirementState_OVERDUE, OnDate: "2022-03-31",
	})
	require.NoError(t, err)
	require.Empty(t, late.GetStatuses())
	f.steps(past).take(manager, &registerv1.RecordRequirementStepRequest{Kind: registerv1.RequirementStepKind_START})
	require.Equal(t, registerv1.RequirementState_OVERDUE, f.status(manager, past, "").GetState())
	require.Equal(t, registerv1.RequirementState_DUE_PASSED, f.status(manager, past, "2022-08-19").GetState(), "it began on the day after")
	unknown := f.status(manager, "2021-22-neighbourhood-inequalities-delivery", "2030-01-01")
	require.Equal(t, registerv1.RequirementState_DATE_UNKNOWN, unknown.GetState())
	require.Equal(t, []string{"due date of 2021-22-neighbourhood-inequalities-delivery"}, unknown.GetMissing())
}

func statusesAreListed(t *testing.T, f *fixture) {
	ask := func(by auth.Principal, r *registerv1.ListRequirementStatusesRequest) (out []string, err error) {
		r.FinancialYear, r.PageSize = "2022-23", 7
		for {
			page, err := f.client.ListRequirementStatuses(f.as(by), r)
			if err != nil {
				return nil, err
			}
			for _, st := range page.GetStatuses() {
				out = append(out, st.GetPcnCode()+" "+st.GetRequirement().GetRequirementId())
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				return out, nil
			}
		}
	}
	const ofYear = 12
	own, err := ask(manager, &registerv1.ListRequirementStatusesRequest{})
	require.NoError(t, err)
	require.Len(t, own, ofYear)
	require.True(t, slices.IsSorted(own))
	theirs, err := ask(preparer, &registerv1.ListRequirementStatusesRequest{})
	require.NoError(t, err)
	require.Equal(t, own, theirs, "16C leads one PCN of the excerpt")
	all, err := ask(testkit.Operator(), &registerv1.ListRequirementStatusesRequest{})
	require.NoError(t, err)
	require.Len(t, all, 10*ofYear)
	require.Len(t, slices.Compact(slices.Clone(all)), len(all))
	late, err := ask(preparer, &registerv1.ListRequirementStatusesRequest{State: registerv1.RequirementState_OVERDUE, OnDate: "2022-08-01"})
	require.NoError(t, err)
	require.Contains(t, late, "U89141 "+accessPlan)
	require.NotContains(t, late, "U89141 2022-23-enhanced-access-service", "it begins in October")
	for _, r := range []*registerv1.ListRequirementStatusesRequest{{CommissionerCode: "84H"}, {PcnCode: "U25545"}} {
		_, err := ask(preparer, r)
		requireReason(t, err, fault.NotFound, auth.ReasonNotFound)
	}
	_, err = ask(preparer, &registerv1.ListRequirementStatusesRequest{RequirementId: "2021-22-care-homes"})
	requireReason(t, err, fault.NotFound, "REQUIREMENT_NOT_FOUND")
	_, err = f.client.ListRequirementStatuses(f.as(preparer), &registerv1.ListRequirementStatusesRequest{FinancialYear: "2022-24"})
	requireReason(t, err, fault.Invalid, "YEAR_MALFORMED")

	file, err := f.client.DownloadRequirementStatuses(f.as(manager), &registerv1.DownloadRequirementStatusesRequest{FinancialYear: "2022-23"})
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(file.GetData()))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, ofYear+1)
	require.Equal(t, []string{"2022-05-10", "2022/23", "16C", "U89141"}, rows[1][:4])
}

func statusOfEndedPCN(t *testing.T, f *fixture) {
	operator := f.as(testkit.Operator())
	// U10748 has one practice, which leaves it in the middle of the year.
	s := f.snapshot("", "2022-04-01")
	one := pcn(s, "U10748").GetPractices()
	require.Len(t, one, 1)
	_, err := f.client.RecordMembership(operator, &registerv1.RecordMembershipRequest{
		RequestId: "leaves", PracticeCode: one[0].GetPracticeCode(), PcnCode: "U82499", EffectiveFrom: "2022-06-01", Source: "test",
	})
	require.NoError(t, err)
	at := func(on string) registerv1.RequirementState {
		list, err := f.client.ListRequirementStatuses(operator, &registerv1.ListRequirementStatusesRequest{
			FinancialYear: "2022-23", PcnCode: "U10748", RequirementId: accessPlan, OnDate: on,
		})
		require.NoError(t, err)
		require.Len(t, list.GetStatuses(), 1)
		return list.GetStatuses()[0].GetState()
	}
	require.Equal(t, registerv1.RequirementState_NOT_STARTED, at("2022-05-31"))
	require.Equal(t, registerv1.RequirementState_PCN_ENDED, at("2022-08-01"))
	_, err = f.client.GetRequirementStatus(operator, &registerv1.GetRequirementStatusRequest{PcnCode: "U10748", RequirementId: "2023-24-enhanced-access"})
	requireReason(t, err, fault.NotFound, auth.ReasonNotFound)
}

func summaryAddsUp(t *testing.T, f *fixture) {
	f.steps(accessPlan).take(manager, deliver("2022-05-09"))
	for _, c := range []struct {
		by           auth.Principal
		commissioner string
		on           string
		pcns         int32
	}{{preparer, "16C", "2022-06-30", 1}, {testkit.Operator(), "", "2022-08-01", 10}, {testkit.Preparer("QHM"), "QHM", "2022-08-01", 2}, {preparer, "16C", "2022-08-01", 0}} {
		got, err := f.client.SummariseRequirements(f.as(c.by), &registerv1.SummariseRequirementsRequest{
			CommissionerCode: c.commissioner, FinancialYear: "2022-23", OnDate: c.on,
		})
		if c.pcns == 0 {
			requireReason(t, err, fault.Refused, "COMMISSIONER_NOT_IN_FORCE")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.pcns, got.GetPcns())
		of := make(map[string]int32)
		for _, row := range got.GetCounts() {
			var sum int32
			for _, state := range row.GetStates() {
				require.NotZero(t, state.GetPcns())
				sum += state.GetPcns()
			}
			require.Equal(t, row.GetPcns(), sum)
			of[row.GetRequirementId()] += row.GetPcns()
			if row.GetRequirementId() == accessPlan && c.commissioner == "16C" {
				require.Equal(t, registerv1.RequirementState_DELIVERED, row.GetStates()[0].GetState())
			}
		}
		require.Len(t, of, 12)
		for id, pcns := range of {
			require.Equal(t, c.pcns, pcns, id)
		}
	}
	_, err := f.client.SummariseRequirements(f.as(preparer), &registerv1.SummariseRequirementsRequest{FinancialYear: "2022-23"})
	requireReason(t, err, fault.Denied, auth.ReasonEnglandRequired)
}

// record is a version of the requirement of which the day was not found.
func record(commissioner, id, etag, due string) *registerv1.RecordRequirementRequest {
	return &registerv1.RecordRequirementRequest{
		RequestId: commissioner + id + etag + due, CommissionerCode: commissioner, RequirementId: id, Etag: etag, FinancialYear: "2021-22",
		Name: "Tackling neighbourhood health inequalities", Phase: "Deliver the designed intervention", DueDate: due,
		Source: "letter of the ICB", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL, Reason: "the day was not known",
	}
}

func (f *fixture) requirement(by auth.Principal, commissioner, id string) *registerv1.Requirement {
	f.t.Helper()
	list, err := f.client.ListRequirements(f.as(by), &registerv1.ListRequirementsRequest{CommissionerCode: commissioner, PageSize: 1000})
	require.NoError(f.t, err)
	for _, r := range list.GetRequirements() {
		if r.GetRequirementId() == id {
			return r
		}
	}
	return nil
}

func versionsHold(t *testing.T, f *fixture) {
	const id = "2021-22-neighbourhood-inequalities-delivery"
	held := f.requirement(preparer, "16C", id)
	require.Equal(t, []string{"due date of " + id}, held.GetMissing())
	before := timestamppb.New(f.clock.Now())
	f.clock.Advance(time.Hour)
	got, err := f.client.RecordRequirement(f.as(preparer), record("16C", id, held.GetEtag(), "2022-03-31"))
	require.NoError(t, err)
	require.Equal(t, "2022-03-31", got.GetDueDate())
	require.Equal(t, "preparer@example.test", got.GetRecordedBy())
	require.Equal(t, "the day was not known", got.GetReason())
	require.Equal(t, registerv1.RequirementState_OVERDUE, f.status(manager, id, "2022-04-01").GetState())
	require.Equal(t, "2022-03-31", f.requirement(preparer, "16C", id).GetDueDate())
	require.Empty(t, f.requirement(preparer, "", id).GetDueDate(), "for all of England nothing changed")
	other, err := f.client.GetRequirementStatus(f.as(testkit.PCNManager("U25545")), &registerv1.GetRequirementStatusRequest{PcnCode: "U25545", RequirementId: id})
	require.NoError(t, err)
	require.Equal(t, registerv1.RequirementState_DATE_UNKNOWN, other.GetState(), "nor for others")
	was, err := f.client.GetRequirementStatus(f.as(manager), &registerv1.GetRequirementStatusRequest{PcnCode: "U89141", RequirementId: id, KnownAt: before})
	require.NoError(t, err)
	require.Equal(t, registerv1.RequirementState_DATE_UNKNOWN, was.GetState(), "nor for what was known before")
	events := f.events("RequirementRecorded")
	require.Equal(t, []string{"pcnfunding.register.v1.RequirementRecorded.16C"}, events)

	// The calendar of a commissioner has its own day, and not the one that does not hold for it.
	const item = "due-" + id
	dues := func(by auth.Principal, of string) (out []string) {
		for _, e := range f.calendar(by, &registerv1.ListCalendarItemsRequest{CommissionerCode: of}) {
			if e.GetItemId() == item {
				out = append(out, e.GetCommissionerCode()+" "+e.GetDueDate())
			}
		}
		return out
	}
	require.Equal(t, []string{"16C 2022-03-31"}, dues(preparer, "16C"))
	require.Equal(t, []string{"16C 2022-03-31", " "}, dues(preparer, ""))
	require.Equal(t, []string{" "}, dues(testkit.Preparer("84H"), "84H"))
	mine, err := f.client.RecordRequirement(f.as(preparer), record("16C", "", "", "2022-06-30"))
	require.NoError(t, err)
	one, err := f.client.GetCalendarItem(f.as(preparer), &registerv1.GetCalendarItemRequest{ItemId: "due-" + mine.GetRequirementId()})
	require.NoError(t, err, "what is listed is found")
	require.Equal(t, "2022-06-30", one.GetDueDate())
	_, err = f.client.GetCalendarItem(f.as(testkit.Preparer("84H")), &registerv1.GetCalendarItemRequest{ItemId: "due-" + mine.GetRequirementId()})
	requireReason(t, err, fault.NotFound, "CALENDAR_ITEM_NOT_FOUND")
	link := newItem("link", "84H", registerv1.OwnerLevel_COMMISSIONER_LEVEL, "", "2022-06-10")
	link.LinkedRecord = "requirements/" + mine.GetRequirementId()
	_, err = f.client.AddCalendarItem(f.as(testkit.Preparer("84H")), link)
	requireReason(t, err, fault.NotFound, "REQUIREMENT_NOT_FOUND")

	// Versions are shown to whom they concern; the ICB that takes over sees them and goes on with them.
	shown := func(by auth.Principal) int {
		one, err := f.client.GetRequirement(f.as(by), &registerv1.GetRequirementRequest{RequirementId: id})
		require.NoError(t, err)
		return len(one.GetVersions())
	}
	require.Equal(t, []int{2, 1, 2}, []int{shown(preparer), shown(testkit.Preparer("84H")), shown(testkit.Operator())})
	f.clock.Set(time.Date(2022, time.July, 2, 9, 0, 0, 0, time.UTC))
	icb := testkit.Preparer("QHM")
	require.Equal(t, 2, shown(icb))
	require.Equal(t, registerv1.RequirementState_OVERDUE, f.status(icb, id, "").GetState())

	// Taken back, what holds for all of England holds again.
	own := f.requirement(preparer, "16C", id)
	back := record("16C", id, own.GetEtag(), "")
	back.TakeBack = true
	got, err = f.client.RecordRequirement(f.as(preparer), back)
	require.NoError(t, err)
	require.True(t, got.GetTakenBack())
	require.Equal(t, registerv1.RequirementState_DATE_UNKNOWN, f.status(icb, id, "").GetState())
	back.RequestId, back.Etag = "again", got.GetEtag()
	_, err = f.client.RecordRequirement(f.as(preparer), back)
	requireReason(t, err, fault.Refused, "REQUIREMENT_NOT_OWN")
}

func versionsAreRefused(t *testing.T, f *fixture) {
	const id = "2021-22-neighbourhood-inequalities-delivery"
	tag := f.requirement(preparer, "16C", id).GetEtag()
	for name, c := range map[string]struct {
		alter  func(*registerv1.RecordRequirementRequest)
		kind   fault.Kind
		reason string
	}{
		"stale":            {func(r *registerv1.RecordRequirementRequest) { r.Etag = "1" }, fault.Stale, "VERSION_CHANGED"},
		"without a tag":    {func(r *registerv1.RecordRequirementRequest) { r.Etag = "" }, fault.Invalid, "ETAG_REQUIRED"},
		"another year":     {func(r *registerv1.RecordRequirementRequest) { r.FinancialYear = "2022-23" }, fault.Refused, "REQUIREMENT_YEAR_FIXED"},
		"no such":          {func(r *registerv1.RecordRequirementRequest) { r.RequirementId = "no-such" }, fault.NotFound, "REQUIREMENT_NOT_FOUND"},
		"not held":         {func(r *registerv1.RecordRequirementRequest) { r.CommissionerCode = "84H" }, fault.NotFound, auth.ReasonNotFound},
		"England's":        {func(r *registerv1.RecordRequirementRequest) { r.CommissionerCode = "" }, fault.Denied, auth.ReasonEnglandRequired},
		"not in the year":  {func(r *registerv1.RecordRequirementRequest) { r.DueDate = "2022-02-30" }, fault.Invalid, "DATE_MALFORMED"},
		"reversed":         {func(r *registerv1.RecordRequirementRequest) { r.StartDate = "2022-04-01" }, fault.Invalid, "PERIOD_REVERSED"},
		"second day first": {func(r *registerv1.RecordRequirementRequest) { r.OtherDueDate = "2022-03-01" }, fault.Invalid, "VALUE_NOT_ALLOWED"},
	} {
		r := record("16C", id, tag, "2022-03-31")
		r.RequestId = name
		c.alter(r)
		_, err := f.client.RecordRequirement(f.as(preparer), r)
		requireReason(t, err, c.kind, c.reason)
	}
	require.Empty(t, f.events("RequirementRecorded"))
	fresh, err := f.client.RecordRequirement(f.as(preparer), record("16C", "", "", "2022-03-31"))
	require.NoError(t, err)
	require.NotEmpty(t, fresh.GetRequirementId())
	_, err = f.client.GetRequirement(f.as(testkit.Preparer("84H")), &registerv1.GetRequirementRequest{RequirementId: fresh.GetRequirementId()})
	requireReason(t, err, fault.NotFound, "REQUIREMENT_NOT_FOUND")
	_, err = f.client.GetRequirementStatus(f.as(testkit.PCNManager("U25545")), &registerv1.GetRequirementStatusRequest{PcnCode: "U25545", RequirementId: fresh.GetRequirementId()})
	requireReason(t, err, fault.NotFound, "REQUIREMENT_NOT_FOUND")
}

func personsOutliveTables(t *testing.T, f *fixture) {
	const id = "2023-24-access-improvement-plan"
	held := f.requirement(testkit.Operator(), "", id)
	require.Equal(t, "2023-05-12", held.GetDueDate())
	require.Equal(t, "2023-06-30", held.GetOtherDueDate())
	r := record("", id, held.GetEtag(), "2023-06-30")
	r.FinancialYear = "2023-24"
	_, err := f.client.RecordRequirement(f.as(testkit.Operator()), r)
	require.NoError(t, err)
	_, err = register.New(t.Context(), register.Deps{DB: f.db})
	require.NoError(t, err)
	held = f.requirement(testkit.Operator(), "", id)
	require.Equal(t, "2023-06-30", held.GetDueDate(), "a start brings nothing twice")
	require.Empty(t, held.GetMissing())
}
