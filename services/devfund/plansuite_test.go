package devfund_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// GetPcnSnapshot gives the picture of one PCN, to who may see it.
func (r *register) GetPcnSnapshot(ctx context.Context, req *registerv1.GetPcnSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	by, _ := auth.From(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pcns {
		if p.GetPcnCode() == req.GetPcnCode() && by.MaySee(p.GetPayerCode(), p.GetPcnCode()) {
			return &registerv1.Snapshot{MembershipDate: req.GetMembershipDate(), Pcns: []*registerv1.SnapshotPcn{proto.CloneOf(p)}}, nil
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no such thing")).Err()
}

// GetOrganisation knows the PCNs, and their commissioners.
func (r *register) GetOrganisation(_ context.Context, req *registerv1.GetOrganisationRequest, _ ...grpc.CallOption) (*registerv1.Organisation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pcns {
		switch req.GetOrganisationCode() {
		case p.GetPcnCode():
			return &registerv1.Organisation{OrganisationCode: p.GetPcnCode(), Kind: registerv1.OrganisationKind_PCN}, nil
		case p.GetPayerCode():
			return &registerv1.Organisation{OrganisationCode: p.GetPayerCode(), Kind: registerv1.OrganisationKind_COMMISSIONER_LOCATION}, nil
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, "ORGANISATION_UNKNOWN", "there is no such thing")).Err()
}

// The plans of these tests are 36J's of 2025/26, drafted on 15 January 2026.
const (
	planBody = "36J"
	planYear = "2025-26"
	pool     = "pool" // what 36J holds for its system
	ownShare = "u1"   // what U1 holds of it
)

// allocate puts an allocation into the database.
func (s *suite) allocate(t *testing.T, id, parent, commissioner, year string, level devfundv1.AllocationLevel, released any) {
	t.Helper()
	holder := "H" + id
	if level == devfundv1.AllocationLevel_PCN {
		holder = strings.ToUpper(id)
	}
	s.exec(t, `INSERT INTO allocations (allocation_id, financial_year, fund_code, level, holder_code, holder_name, commissioner_code, purpose,
		parent_allocation_id, decision_id, combined, planned_pence, released_pence, pcn_share_pence, shared_pence, committed_pence, version)
		VALUES ($1, $2, 'PCN_DEV', $3, $4, 'Holder', $5, 1, $6, '', FALSE, NULL, $7, NULL, 0, 0, 1)`, id, year, int64(level), holder, commissioner, parent, released)
}

// eachPlan runs a test on both stores, with three PCNs of 36J in system QWE, one of 99X in the same system, and £300.00 that 36J holds, of
// which U1 holds £100.00.
func eachPlan(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Helper()
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.register.mu.Lock()
		s.register.pcns = append(s.register.pcns, snapshotPCN("U9", "99X", "QWE", 20_000), snapshotPCN("U7", "77Z", "QAB", 20_000))
		s.register.mu.Unlock()
		s.allocate(t, pool, "PCN_DEV-2025-26", planBody, "2025/26", devfundv1.AllocationLevel_SYSTEM, 30_000)
		s.allocate(t, ownShare, pool, planBody, "2025/26", devfundv1.AllocationLevel_PCN, 10_000)
		s.exec(t, `UPDATE allocations SET shared_pence = 10000 WHERE allocation_id = $1`, pool)
		test(t, s)
	})
}

// committed returns what plans draw on an allocation.
func (s *suite) committed(t *testing.T, id string) (pence int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT committed_pence FROM allocations WHERE allocation_id = $1`, id).Scan(&pence)
	}))
	return pence
}

func planHeader() *devfundv1.PlanHeader {
	return &devfundv1.PlanHeader{Title: "Winter development", AllocationId: pool, LeadershipPercent: "10", ServiceImprovementPriority: "access"}
}

// planLine makes a line of the pool that lacks nothing and pays £10.00 to its PCNs.
func planLine(id string, pcns ...string) *devfundv1.PlanLine {
	out := &devfundv1.PlanLine{
		LineId: id, AllocationId: pool, Level: devfundv1.LineLevel_LINE_PCN, Domain: devfundv1.SupportDomain_ORGANISATIONAL_DEVELOPMENT,
		Priorities: []devfundv1.Priority{devfundv1.Priority_ACCESS}, Category: "change_management", Description: "facilitated programme",
		StaffGroups: []devfundv1.StaffGroup{devfundv1.StaffGroup_CLINICAL, devfundv1.StaffGroup_NON_CLINICAL}, Payee: devfundv1.PayeeKind_PCN_PAYEE,
		AmountPence: 1000, Alignments: []devfundv1.Alignment{devfundv1.Alignment_NETWORK_CONTRACT}, WiderPartners: "community pharmacy",
	}
	for _, pcn := range pcns {
		out.Beneficiaries = append(out.Beneficiaries, &devfundv1.Beneficiary{PcnCode: pcn})
	}
	return out
}

// goodLines pass every check: money to two PCNs in two tranches, a supplier for the system, and support in kind for the third.
func goodLines() []*devfundv1.PlanLine {
	money := planLine("1", "U1", "U2")
	money.AmountPence = 5001
	money.Tranches = []*devfundv1.Tranche{{Month: "2026-02"}, {Month: "2026-03"}}
	supplier := planLine("2", "U1", "U2", "U3")
	supplier.Payee, supplier.SupplierCode, supplier.SupplierName, supplier.AmountPence = devfundv1.PayeeKind_SUPPLIER, "S1", "Supplier", 9000
	supplier.Level, supplier.LevelReason = devfundv1.LineLevel_LINE_SYSTEM, "one contract costs less than three"
	kind := planLine("3", "U3")
	kind.Payee, kind.AmountPence = devfundv1.PayeeKind_IN_KIND, 0
	own := planLine("4", "U1")
	own.AllocationId, own.AmountPence = ownShare, 10_000
	own.Category, own.ReleaseTime, own.DevelopmentActivity, own.ActivityDate = "release_time_for_development", true, "team development day", "2026-02-04"
	return []*devfundv1.PlanLine{money, supplier, kind, own}
}

func (s *suite) tryDraft(t *testing.T, header *devfundv1.PlanHeader, lines ...*devfundv1.PlanLine) (*devfundv1.Plan, error) {
	t.Helper()
	return s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody)), &devfundv1.DraftPlanRequest{
		RequestId: s.next(), CommissionerCode: planBody, FinancialYear: planYear, Header: header, Lines: lines,
	})
}

func (s *suite) draft(t *testing.T, header *devfundv1.PlanHeader, lines ...*devfundv1.PlanLine) *devfundv1.Plan {
	t.Helper()
	out, err := s.tryDraft(t, header, lines...)
	require.NoError(t, err)
	return out
}

func (s *suite) tryRevise(t *testing.T, plan *devfundv1.Plan, header *devfundv1.PlanHeader, lines ...*devfundv1.PlanLine) (*devfundv1.Plan, error) {
	t.Helper()
	return s.devfund.RevisePlan(s.as(t, testkit.Preparer(planBody)), &devfundv1.RevisePlanRequest{
		RequestId: s.next(), CommissionerCode: planBody, PlanId: plan.GetPlanId(), Etag: s.etag(t, plan), Header: header, Lines: lines, Reason: "asked for",
	})
}

func (s *suite) revise(t *testing.T, plan *devfundv1.Plan, header *devfundv1.PlanHeader, lines ...*devfundv1.PlanLine) *devfundv1.Plan {
	t.Helper()
	out, err := s.tryRevise(t, plan, header, lines...)
	require.NoError(t, err)
	return out
}

// plan returns a version of a plan as the auditor sees it; 0 is the newest.
func (s *suite) plan(t *testing.T, id string, version int32) *devfundv1.Plan {
	t.Helper()
	out, err := s.devfund.GetPlan(s.as(t, testkit.Auditor(planBody)), &devfundv1.GetPlanRequest{PlanId: id, Version: version})
	require.NoError(t, err)
	return out
}

func (s *suite) etag(t *testing.T, plan *devfundv1.Plan) string {
	t.Helper()
	return s.plan(t, plan.GetPlanId(), 0).GetEtag()
}

// assessment is a complete one.
func assessment(pcn string) *devfundv1.AssessPcnRequest {
	out := &devfundv1.AssessPcnRequest{PcnCode: pcn, FinancialYear: planYear, ServiceImprovementPriority: "access", AssessedOn: "2026-01-10"}
	for area := range devfundv1.MaturityArea_name {
		if area != 0 {
			out.Scores = append(out.Scores, &devfundv1.AreaScore{Area: devfundv1.MaturityArea(area), Score: area - 1})
		}
	}
	return out
}

// assess records where PCNs see themselves.
func (s *suite) assess(t *testing.T, pcns ...string) {
	t.Helper()
	for _, pcn := range pcns {
		req := assessment(pcn)
		req.RequestId = s.next()
		_, err := s.devfund.AssessPcn(s.as(t, testkit.PCNManager(pcn)), req)
		require.NoError(t, err)
	}
}

func (s *suite) tryAgree(t *testing.T, by auth.Principal, plan *devfundv1.Plan, pcn string, version int32, withdraw bool) (*devfundv1.Plan, error) {
	t.Helper()
	return s.devfund.AgreePlan(s.as(t, by), &devfundv1.AgreePlanRequest{
		RequestId: s.next(), PlanId: plan.GetPlanId(), PcnCode: pcn, Version: version, Director: "Dr " + pcn, AgreedOn: "2026-01-14", EvidenceReference: "letter of " + pcn,
		Withdraw: withdraw,
	})
}

// agree records the agreements of directors to the newest version.
func (s *suite) agree(t *testing.T, plan *devfundv1.Plan, pcns ...string) {
	t.Helper()
	version := s.plan(t, plan.GetPlanId(), 0).GetVersion()
	for _, pcn := range pcns {
		_, err := s.tryAgree(t, director("director of "+pcn, pcn), plan, pcn, version, false)
		require.NoError(t, err)
	}
}

// steps are those of a plan that its commissioner takes, each with the etag of now.
var steps = map[string]func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error){
	"settle": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.SettlePlan(ctx, &devfundv1.SettlePlanRequest{RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag, Note: "all met"})
	},
	"return": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.ReturnPlan(ctx, &devfundv1.ReturnPlanRequest{RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag, Reason: "too dear"})
	},
	"reject": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.RejectPlan(ctx, &devfundv1.RejectPlanRequest{RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag, Reason: "no"})
	},
	"approve": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.ApprovePlan(ctx, &devfundv1.ApprovePlanRequest{
			RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag, Body: "Primary Care Commissioning Committee", ApprovedOn: "2026-01-15", MinuteReference: "PCCC 7",
		})
	},
	"mobilise": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.MobilisePlan(ctx, &devfundv1.MobilisePlanRequest{RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag})
	},
	"review": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.ReviewPlan(ctx, &devfundv1.ReviewPlanRequest{
			RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag, ReviewedOn: "2026-01-15", Progress: "begun", SpentPence: 100, ForecastPence: 24_001,
		})
	},
	"close": func(s *suite, ctx context.Context, id, plan, etag string) (*devfundv1.Plan, error) {
		return s.devfund.ClosePlan(ctx, &devfundv1.ClosePlanRequest{RequestId: id, CommissionerCode: planBody, PlanId: plan, Etag: etag})
	},
}

// takerOf is who takes a step.
func takerOf(step string) auth.Principal {
	if step == "approve" || step == "reject" {
		return testkit.Approver(planBody)
	}
	return testkit.Preparer(planBody)
}

// try takes a step in somebody's name.
func (s *suite) try(t *testing.T, by auth.Principal, step string, plan *devfundv1.Plan) (*devfundv1.Plan, error) {
	t.Helper()
	etag := s.etag(t, plan)
	return steps[step](s, s.as(t, by), s.next(), plan.GetPlanId(), etag)
}

// take takes steps that succeed and returns the plan after the last.
func (s *suite) take(t *testing.T, plan *devfundv1.Plan, names ...string) (out *devfundv1.Plan) {
	t.Helper()
	for _, name := range names {
		var err error
		out, err = s.try(t, takerOf(name), name, plan)
		require.NoError(t, err, name)
	}
	return out
}

// approved brings a plan of those lines to its approval.
func (s *suite) approved(t *testing.T, header *devfundv1.PlanHeader, lines ...*devfundv1.PlanLine) *devfundv1.Plan {
	t.Helper()
	s.assess(t, "U1", "U2", "U3")
	out := s.draft(t, header, lines...)
	s.agree(t, out, out.GetCoveredPcns()...)
	return s.take(t, out, "settle", "approve")
}

// failedChecks are the checks of a plan that fail.
func failedChecks(plan *devfundv1.Plan) (out []string) {
	for _, check := range plan.GetChecks() {
		if !check.GetPassed() {
			out = append(out, check.GetCheck())
		}
	}
	return out
}

// taken are the steps of a plan in words: step, version and state.
func taken(plan *devfundv1.Plan) (out []string) {
	for _, step := range plan.GetSteps() {
		out = append(out, fmt.Sprintf("%s %d %s", step.GetStep(), step.GetVersion(), step.GetState()))
	}
	return out
}

// paid are the tranches of a plan in words: line, PCN, month and pence.
func paid(plan *devfundv1.Plan) (out []string) {
	for _, tranche := range plan.GetTranches() {
		out = append(out, fmt.Sprintf("%s %s %s %d", tranche.GetLineId(), tranche.GetPcnCode(), tranche.GetMonth(), tranche.GetAmountPence()))
	}
	return out
}

// both holds a role of finance and one of a PCN.
func both(subject string, role optionsv1.Role, pcns ...string) auth.Principal {
	return auth.Principal{Subject: subject, Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_APPROVER, role}, Commissioners: []string{planBody}, PCNs: pcns}
}
