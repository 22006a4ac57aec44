package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

const (
	developmentFund = "PCN_DEV"
	// combinedFund is what the fund was part of in 2022/23.
	combinedFund = "GP_TRANSFORM"
	// assumed begins the source of whatever the sample assumes.
	assumed = "sample assumption: "
	// modelledNational is what the sample takes for the part of the combined fund that is for networks: what was released in 2020/21.
	modelledNational = 43_700_000_00
)

// sampleDevelopment takes published sums of the development fund down to networks, and a modelled plan to a month's schedule, over gRPC as a
// stranger would. What was done before stays.
func (p *process) sampleDevelopment(ctx context.Context) error {
	began := time.Now()
	reach := p.reach()
	s := &developmentSample{of: sample.PublishedDevelopment()}
	if err := s.run(ctx, reach, os.Stdout); err != nil {
		return fmt.Errorf("development fund of the sample: %w", err)
	}
	fmt.Printf("\nshared, planned, approved and closed in %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// developmentSample is the fund on its way down.
type developmentSample struct {
	of sample.Development
	// published and modelled are what the decisions came to.
	published, modelled *devfundv1.SharingDecision
	compared            *devfundv1.CompareSharingResponse
	need                *devfundv1.NeedCheck
	plan                *devfundv1.Plan
	schedule            *typev1.PaymentSchedule
	trace               *devfundv1.TraceLineResponse
}

// run takes the fund through and prints what it came to.
func (s *developmentSample) run(ctx context.Context, reach client, out io.Writer) error {
	// Who enters figures approves no plan.
	keeper := localPrincipal(optionsv1.Role_ROLE_FINANCE_APPROVER)
	keeper.Subject = "local.sample.figures"
	preparer := localPrincipal(optionsv1.Role_ROLE_FINANCE_PREPARER)
	for _, step := range []struct {
		by  auth.Principal
		run func(context.Context, clients) error
	}{
		{localPrincipal(optionsv1.Role_ROLE_OPERATOR), s.weigh},
		{keeper, s.allocate},
		{preparer, s.share},
		{preparer, s.draft},
		{localPrincipal(optionsv1.Role_ROLE_FINANCE_APPROVER), s.approve},
		{preparer, s.close},
	} {
		if err := reach.as(step.by, func(suite clients) error { return step.run(ctx, suite) }); err != nil {
			return err
		}
	}
	return s.print(out)
}

// weigh takes in the published weights of practices, and checks them.
func (s *developmentSample) weigh(ctx context.Context, suite clients) error {
	file := sample.NeedWeights()
	content, err := file.Read()
	if err != nil {
		return err
	}
	_, err = sendNeedWeights(ctx, suite.devfund, &devfundv1.ImportNeedWeightsHeader{
		RequestId: "sample-need-weights", FinancialYear: s.of.Modelled, FileName: file.Name, Source: file.Source,
	}, bytes.NewReader(content))
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// found returns an allocation by who holds it.
func found(ctx context.Context, suite clients, year, fund, holder string, level devfundv1.AllocationLevel) (*devfundv1.Allocation, error) {
	all, err := listAllocations(ctx, suite.devfund, &devfundv1.ListAllocationsRequest{FinancialYear: year, FundCode: fund, HolderCode: holder, Level: level})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a *devfundv1.Allocation) bool { return a.GetPurpose() == devfundv1.AllocationPurpose_GENERAL })
	if i < 0 {
		return nil, nil //nolint:nilnil // there is none yet
	}
	return all[i], nil
}

// record enters an allocation, unless that was done.
func record(ctx context.Context, suite clients, req *devfundv1.RecordAllocationRequest) (*devfundv1.Allocation, error) {
	held, err := found(ctx, suite, req.GetFinancialYear(), req.GetFundCode(), req.GetHolderCode(), req.GetLevel())
	if err != nil || held != nil {
		return held, err
	}
	req.RequestId = "sample-" + req.GetFundCode() + "-" + req.GetFinancialYear() + "-" + req.GetHolderCode()
	req.Basis, req.Reason = devfundv1.AllocationBasis_RELEASED, "entered by the sample; not for payment"
	return suite.devfund.RecordAllocation(ctx, req)
}

// allocate enters what the system and the place had, and what the sample takes the system to have of the combined fund.
func (s *developmentSample) allocate(ctx context.Context, suite clients) error {
	system, place := s.of.System, s.of.Place
	held, err := record(ctx, suite, &devfundv1.RecordAllocationRequest{
		FinancialYear: s.of.Year, FundCode: developmentFund, Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: system.Code, HolderName: system.Name,
		ParentAllocationId: developmentFund + "-" + s.of.Year, AmountPence: &system.Pence, Source: system.Source, Confidence: typev1.Confidence_CONFIDENCE_SECONDARY,
	})
	if err != nil {
		return err
	}
	_, err = record(ctx, suite, &devfundv1.RecordAllocationRequest{
		CommissionerCode: place.Code, FinancialYear: s.of.Year, FundCode: developmentFund, Level: devfundv1.AllocationLevel_COMMISSIONER, HolderCode: place.Code,
		HolderName: place.Name, ParentAllocationId: held.GetAllocationId(), AmountPence: &place.Pence, Source: place.Source, Confidence: typev1.Confidence_CONFIDENCE_SECONDARY,
	})
	if err != nil {
		return err
	}
	nation, err := suite.devfund.GetAllocation(ctx, &devfundv1.GetAllocationRequest{AllocationId: combinedFund + "-" + s.of.Modelled})
	if err != nil {
		return err
	}
	if nation.PcnSharePence == nil {
		share := int64(modelledNational)
		_, err := suite.devfund.ReviseAllocation(ctx, &devfundv1.ReviseAllocationRequest{
			RequestId: "sample-pcn-share-" + s.of.Modelled, AllocationId: nation.GetAllocationId(), Etag: nation.GetEtag(), Basis: devfundv1.AllocationBasis_PCN_SHARE,
			AmountPence: &share, Source: assumed + "as much of the combined fund as was released for PCN development in 2020/21",
			Confidence: typev1.Confidence_CONFIDENCE_INFERRED, Reason: "entered by the sample; not for payment",
		})
		if err != nil {
			return err
		}
	}
	modelled, err := s.modelledSystem(ctx, suite)
	if err != nil {
		return err
	}
	_, err = record(ctx, suite, &devfundv1.RecordAllocationRequest{
		CommissionerCode: s.of.Commissioner, FinancialYear: s.of.Modelled, FundCode: combinedFund, Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: system.Code,
		HolderName: system.Name, ParentAllocationId: nation.GetAllocationId(), AmountPence: &modelled,
		Source: assumed + "the part of the nation that it had in " + s.of.Year, Confidence: typev1.Confidence_CONFIDENCE_INFERRED,
	})
	return err
}

// modelledSystem is the part of the modelled national sum that the system had of the published one.
func (s *developmentSample) modelledSystem(ctx context.Context, suite clients) (int64, error) {
	nation, err := suite.devfund.GetAllocation(ctx, &devfundv1.GetAllocationRequest{AllocationId: developmentFund + "-" + s.of.Year})
	if err != nil {
		return 0, err
	}
	if nation.GetReleasedPence() == 0 {
		return 0, errors.New("what was released in " + s.of.Year + " is not known")
	}
	part := new(big.Rat).Mul(big.NewRat(s.of.System.Pence, nation.GetReleasedPence()), money.Pence(modelledNational).GBP())
	pence, err := money.RoundHalfUp(part)
	return int64(pence), err
}

// share shares what the place had as it was published, and what the system is taken to have by weighted patients, after a comparison.
func (s *developmentSample) share(ctx context.Context, suite clients) (err error) {
	place, err := found(ctx, suite, s.of.Year, developmentFund, s.of.Place.Code, devfundv1.AllocationLevel_COMMISSIONER)
	if err != nil {
		return err
	}
	req := &devfundv1.DecideSharingRequest{
		CommissionerCode: s.of.Place.Code, CommissionerCodes: []string{s.of.Commissioner}, MembershipDate: s.of.MembersOn,
		Method: &devfundv1.SharingMethod{
			Kind: devfundv1.SharingKind_EQUAL, Slices: []*devfundv1.TopSlice{{Purpose: devfundv1.AllocationPurpose_LEADERSHIP, Percent: "10", Reason: s.of.Place.Source}},
		},
		DecidedBy: "Kingston CCG primary care commissioning committee", DecidedOn: "2019-12-01", MinuteReference: "not published; December 2019",
		Reason: assumed + "equal parts; the sum, the number of networks and the tenth are published",
	}
	for _, code := range s.of.PCNs {
		req.Receivers = append(req.Receivers, &devfundv1.Receiver{Code: code})
	}
	if s.published, err = decideOnce(ctx, suite, place, req); err != nil {
		return err
	}
	system, err := found(ctx, suite, s.of.Modelled, combinedFund, s.of.System.Code, devfundv1.AllocationLevel_SYSTEM)
	if err != nil {
		return err
	}
	slicesFirst := []*devfundv1.TopSlice{
		{Purpose: devfundv1.AllocationPurpose_LEADERSHIP, Percent: "10", Reason: assumed + "as in 2019/20"},
		{Purpose: devfundv1.AllocationPurpose_SYSTEM_SUPPORT, Percent: "15", Reason: assumed + "support bought once"},
	}
	compare := &devfundv1.CompareSharingRequest{AllocationId: system.GetAllocationId()}
	for _, kind := range []devfundv1.SharingKind{
		devfundv1.SharingKind_PER_HEAD_REGISTERED, devfundv1.SharingKind_PER_HEAD_WEIGHTED, devfundv1.SharingKind_EQUAL, devfundv1.SharingKind_PER_HEAD_ADJUSTED,
	} {
		compare.Methods = append(compare.Methods, &devfundv1.SharingMethod{Kind: kind, Slices: slicesFirst})
	}
	if s.compared, err = suite.devfund.CompareSharing(ctx, compare); err != nil {
		return err
	}
	s.modelled, err = decideOnce(ctx, suite, system, &devfundv1.DecideSharingRequest{
		CommissionerCode: s.of.Commissioner, Method: &devfundv1.SharingMethod{Kind: devfundv1.SharingKind_PER_HEAD_WEIGHTED, Slices: slicesFirst},
		DecidedBy: "nobody: modelled by the sample", DecidedOn: "2022-04-20", MinuteReference: "none: modelled by the sample", Reason: assumed + "by weighted patients",
	})
	return err
}

// decideOnce records a decision on an allocation, unless one stands.
func decideOnce(ctx context.Context, suite clients, of *devfundv1.Allocation, req *devfundv1.DecideSharingRequest) (*devfundv1.SharingDecision, error) {
	held, err := suite.devfund.ListSharingDecisions(ctx, &devfundv1.ListSharingDecisionsRequest{AllocationId: of.GetAllocationId()})
	if err != nil {
		return nil, err
	}
	for _, d := range held.GetDecisions() {
		if d.GetState() == devfundv1.DecisionState_STANDING {
			return d, nil
		}
	}
	req.RequestId, req.AllocationId, req.Etag = "sample-share-"+of.GetAllocationId(), of.GetAllocationId(), of.GetEtag()
	return suite.devfund.DecideSharing(ctx, req)
}

// planTitle tells the plan of the sample from others.
const planTitle = "Modelled plan of the sample, of nobody's making"

// draft writes the modelled plan and has every network assess itself and agree, unless that was done.
func (s *developmentSample) draft(ctx context.Context, suite clients) error {
	plans, err := suite.devfund.ListPlans(ctx, &devfundv1.ListPlansRequest{CommissionerCode: s.of.Commissioner, FinancialYear: s.of.Modelled, PageSize: samplePage})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(plans.GetPlans(), func(p *devfundv1.Plan) bool { return p.GetHeader().GetTitle() == planTitle })
	if i >= 0 {
		s.plan = plans.GetPlans()[i]
	} else {
		lines, err := s.lines(ctx, suite)
		if err != nil {
			return err
		}
		s.plan, err = suite.devfund.DraftPlan(ctx, &devfundv1.DraftPlanRequest{
			RequestId: "sample-plan-" + s.of.Modelled, CommissionerCode: s.of.Commissioner, FinancialYear: s.of.Modelled, Lines: lines,
			Header: &devfundv1.PlanHeader{
				Title: planTitle, AllocationId: s.modelled.GetAllocationId(), SystemCode: s.of.System.Code, LeadershipPercent: "10",
				ServiceImprovementPriority: "modelled: joint working with community services",
			},
		})
		if err != nil {
			return err
		}
	}
	if !slices.Contains([]devfundv1.PlanState{devfundv1.PlanState_ALLOCATED, devfundv1.PlanState_SELF_ASSESSED, devfundv1.PlanState_PLAN_DRAFTED}, s.plan.GetState()) {
		return nil
	}
	return s.agree(ctx, suite)
}

// agree has every network assess itself and agree, and settles the plan.
func (s *developmentSample) agree(ctx context.Context, suite clients) (err error) {
	for _, pcn := range s.plan.GetCoveredPcns() {
		assessment := &devfundv1.AssessPcnRequest{
			RequestId: "sample-assess-" + s.of.Modelled + "-" + pcn, PcnCode: pcn, FinancialYear: s.of.Modelled, ServiceImprovementPriority: "modelled by the sample",
			AssessedOn: "2022-04-12",
		}
		for area := range devfundv1.MaturityArea_name {
			if area != 0 {
				assessment.Scores = append(assessment.Scores, &devfundv1.AreaScore{Area: devfundv1.MaturityArea(area), Score: 2})
			}
		}
		slices.SortFunc(assessment.GetScores(), func(a, b *devfundv1.AreaScore) int { return cmp.Compare(a.GetArea(), b.GetArea()) })
		if _, err := suite.devfund.AssessPcn(ctx, assessment); err != nil {
			return err
		}
	}
	for _, pcn := range s.plan.GetCoveredPcns() {
		s.plan, err = suite.devfund.AgreePlan(ctx, &devfundv1.AgreePlanRequest{
			RequestId: "sample-agree-" + s.of.Modelled + "-" + pcn, PlanId: s.plan.GetPlanId(), PcnCode: pcn, Version: s.plan.GetVersion(),
			Director: "modelled clinical director of " + pcn, AgreedOn: "2022-04-22", EvidenceReference: "none: modelled by the sample",
		})
		if err != nil {
			return err
		}
	}
	s.plan, err = suite.devfund.SettlePlan(ctx, &devfundv1.SettlePlanRequest{
		RequestId: "sample-settle-" + s.of.Modelled, CommissionerCode: s.of.Commissioner, PlanId: s.plan.GetPlanId(), Etag: s.plan.GetEtag(), Note: "modelled by the sample",
	})
	return err
}

// lines buys support from a supplier once for all networks, pays a portion for leadership to each, and each its share in two tranches.
func (s *developmentSample) lines(ctx context.Context, suite clients) ([]*devfundv1.PlanLine, error) {
	given, err := listAllocations(ctx, suite.devfund, &devfundv1.ListAllocationsRequest{
		FinancialYear: s.of.Modelled, FundCode: combinedFund, ParentAllocationId: s.modelled.GetAllocationId(),
	})
	if err != nil {
		return nil, err
	}
	var all []*devfundv1.Beneficiary
	var out []*devfundv1.PlanLine
	line := func(of *devfundv1.Allocation, id string) *devfundv1.PlanLine {
		l := &devfundv1.PlanLine{
			LineId: id, AllocationId: of.GetAllocationId(), AmountPence: of.GetReleasedPence(), Payee: devfundv1.PayeeKind_PCN_PAYEE,
			Priorities: []devfundv1.Priority{devfundv1.Priority_INTEGRATION}, Alignments: []devfundv1.Alignment{devfundv1.Alignment_NETWORK_CONTRACT},
			StaffGroups:   []devfundv1.StaffGroup{devfundv1.StaffGroup_CLINICAL, devfundv1.StaffGroup_NON_CLINICAL},
			WiderPartners: "modelled: community services of the borough", StartsOn: "2022-05-01", EndsOn: "2023-03-31",
		}
		out = append(out, l)
		return l
	}
	for _, a := range given {
		if a.GetLevel() == devfundv1.AllocationLevel_PCN {
			all = append(all, &devfundv1.Beneficiary{PcnCode: a.GetHolderCode()})
		}
	}
	for _, a := range given {
		switch {
		case a.GetLevel() == devfundv1.AllocationLevel_PCN:
			l := line(a, a.GetHolderCode())
			l.Level, l.Domain, l.Category = devfundv1.LineLevel_LINE_PCN, devfundv1.SupportDomain_COLLABORATIVE_WORKING, "integration_and_mdt_working"
			l.Description, l.Beneficiaries = "modelled: joint working of the network", []*devfundv1.Beneficiary{{PcnCode: a.GetHolderCode()}}
			l.Tranches = []*devfundv1.Tranche{{Month: s.of.Month}, {Month: "2022-12"}}
		case a.GetPurpose() == devfundv1.AllocationPurpose_LEADERSHIP:
			l := line(a, "leadership")
			l.Level, l.LevelReason = devfundv1.LineLevel_LINE_SYSTEM, "one programme for all directors"
			l.Domain, l.Category = devfundv1.SupportDomain_CLINICAL_DIRECTOR_DEVELOPMENT, "leadership_development"
			l.Description, l.Beneficiaries, l.Tranches = "modelled: development of clinical directors", all, []*devfundv1.Tranche{{Month: s.of.Month}}
		case a.GetPurpose() == devfundv1.AllocationPurpose_SYSTEM_SUPPORT:
			l := line(a, "supplier")
			l.Level, l.LevelReason = devfundv1.LineLevel_LINE_SYSTEM, "bought once for all networks"
			l.Domain, l.Category = devfundv1.SupportDomain_ORGANISATIONAL_DEVELOPMENT, "change_management"
			l.Description, l.Beneficiaries = "modelled: change management for all networks", all
			l.Payee, l.SupplierCode, l.SupplierName = devfundv1.PayeeKind_SUPPLIER, "SAMPLE-SUPPLIER", "SAMPLE SUPPLIER"
		}
	}
	return out, nil
}

// approve has another person approve the plan, unless that was done.
func (s *developmentSample) approve(ctx context.Context, suite clients) (err error) {
	if s.plan.GetState() != devfundv1.PlanState_AGREED_LOCALLY {
		return nil
	}
	s.plan, err = suite.devfund.ApprovePlan(ctx, &devfundv1.ApprovePlanRequest{
		RequestId: "sample-approve-plan-" + s.of.Modelled, CommissionerCode: s.of.Commissioner, PlanId: s.plan.GetPlanId(), Etag: s.plan.GetEtag(),
		Body: "nobody: modelled by the sample", ApprovedOn: "2022-04-27", MinuteReference: "none: modelled by the sample",
	})
	return err
}

// close closes the month that pays of the plan, and follows one line.
func (s *developmentSample) close(ctx context.Context, suite clients) (err error) {
	s.schedule, err = suite.devfund.CloseMonth(ctx, &devfundv1.CloseMonthRequest{
		RequestId: "sample-close-" + s.of.Month, CommissionerCode: s.of.Commissioner, Month: s.of.Month, OmitLines: true,
	})
	if err != nil {
		return err
	}
	if err := awaitSchedules(ctx, suite.payments, s.of.Month, []string{s.schedule.GetScheduleId()}); err != nil {
		return err
	}
	if s.plan, err = suite.devfund.GetPlan(ctx, &devfundv1.GetPlanRequest{PlanId: s.plan.GetPlanId()}); err != nil {
		return err
	}
	if s.need, err = suite.devfund.CheckNeedWeights(ctx, &devfundv1.CheckNeedWeightsRequest{FinancialYear: s.of.Modelled}); err != nil {
		return err
	}
	s.trace, err = suite.devfund.TraceLine(ctx, &devfundv1.TraceLineRequest{PlanId: s.plan.GetPlanId(), LineId: s.of.PCNs[0]})
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return err
}

// print writes what the fund came to.
func (s *developmentSample) print(out io.Writer) error {
	title := "development of networks: " + s.of.Year + " as published, " + s.of.Modelled + " modelled, not actual"
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("─", len([]rune(title))))
	o := s.published.GetOutcome()
	_, _ = fmt.Fprintf(out, "%s: %s had %s, %s of it %s (%s)\n", s.of.Year, s.of.System.Name, money.Pence(s.of.System.Pence), s.of.Place.Name, money.Pence(o.GetPoolPence()), s.of.Place.Source)
	_, _ = fmt.Fprintf(out, "  %s: %s for directors, which is published; equal parts of the rest are assumed:\n", o.GetMethodWords(), money.Pence(o.GetSlices()[0].GetAmountPence()))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, share := range o.GetShares() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t  %s\n", share.GetCode(), money.Pence(share.GetAmountPence()), share.GetName())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := s.printCompared(out); err != nil {
		return err
	}
	return s.printPlan(out)
}

// printCompared writes what other methods would move, for the networks that gain and lose most.
func (s *developmentSample) printCompared(out io.Writer) error {
	o := s.modelled.GetOutcome()
	_, _ = fmt.Fprintf(out, "\n%s: %s with %s (%sthe part of the nation that it had in %s)\n", s.of.Modelled, s.of.System.Name, money.Pence(o.GetPoolPence()), assumed, s.of.Year)
	methods := s.compared.GetAlternatives()
	for i, m := range methods {
		said := fmt.Sprintf("%s to share", money.Pence(m.GetSharedPoolPence()))
		if r := m.GetRefusal(); r != nil {
			missing := r.GetMissing()
			if len(missing) > 60 {
				missing = missing[:60] + "…"
			}
			said = "refused, " + r.GetReason() + ": " + missing
		}
		_, _ = fmt.Fprintf(out, "  %d  %s: %s\n", i+1, cmp.Or(m.GetMethodWords(), lower(m.GetMethod().GetKind().String())), said)
	}
	rows := slices.SortedFunc(slices.Values(s.compared.GetReceivers()), func(a, b *devfundv1.ShareDifference) int {
		return cmp.Or(cmp.Compare(b.GetMovedPence()[1], a.GetMovedPence()[1]), cmp.Compare(a.GetCode(), b.GetCode()))
	})
	const shown = 3
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "most moved\t1\t2\tmoved\t3\tmoved\t")
	for _, part := range [][]*devfundv1.ShareDifference{rows[:min(shown, len(rows))], rows[max(0, len(rows)-shown):]} {
		for _, r := range part {
			a, m := r.GetAmountsPence(), r.GetMovedPence()
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", r.GetCode(), money.Pence(a[0]), money.Pence(a[1]), money.Pence(m[1]), money.Pence(a[2]), money.Pence(m[2]), r.GetName())
		}
	}
	return w.Flush()
}

// printPlan writes what became of the plan.
func (s *developmentSample) printPlan(out io.Writer) error {
	passed := 0
	for _, check := range s.plan.GetChecks() {
		if check.GetPassed() {
			passed++
		}
	}
	supplied := int64(0)
	for _, line := range s.plan.GetLines() {
		if line.GetPayee() == devfundv1.PayeeKind_SUPPLIER {
			supplied += line.GetAmountPence()
		}
	}
	_, _ = fmt.Fprintf(out, "\nthe modelled plan %s is %s: %d lines of %s for %d networks, %s of it for a supplier; %d of %d checks pass\n", s.plan.GetPlanId(), lower(s.plan.GetState().String()),
		len(s.plan.GetLines()), money.Pence(s.plan.GetPlannedPence()), len(s.plan.GetCoveredPcns()), money.Pence(supplied), passed, len(s.plan.GetChecks()))
	_, _ = fmt.Fprintf(out, "%s of it is scheduled in %s: %d lines to pay, schedule %s; the rest follows in its months\n", money.Pence(s.schedule.GetPayTotalPence()), s.of.Month,
		s.schedule.GetLineCount(), s.schedule.GetScheduleId())
	if s.trace != nil {
		_, _ = fmt.Fprintf(out, "\nthe way of %s's money\n", s.of.PCNs[0])
		if err := tellTrace(out, s.trace); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintln(out)
	tellNeedCheck(out, s.need)
	_, err := fmt.Fprintf(out, "\nbin/pcnfunding devfund tree %s-%s shows the fund level by level, devfund plan show %s the plan\n", combinedFund, s.of.Modelled, s.plan.GetPlanId())
	return err
}
