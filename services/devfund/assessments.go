package devfund

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// stepAssessed says that the last PCN of a plan assessed itself.
const stepAssessed = "ASSESSED"

// AssessPcn records where a PCN sees itself in a year. It takes the place of what the PCN recorded before; plans that wait for it go on.
func (s *Service) AssessPcn(ctx context.Context, req *devfundv1.AssessPcnRequest) (*devfundv1.SelfAssessment, error) {
	year, err := planYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	on, err := s.pastDay("assessed_on", req.GetAssessedOn())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*devfundv1.SelfAssessment](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	lead, err := s.leadOf(ctx, req.GetPcnCode(), on)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.SelfAssessment, error) {
		out := &devfundv1.SelfAssessment{
			PcnCode: req.GetPcnCode(), FinancialYear: yearWords(year), Scores: req.GetScores(), ServiceImprovementPriority: req.GetServiceImprovementPriority(),
			AssessedOn: req.GetAssessedOn(), RecordedBy: tx.By.Subject, RecordedAt: timestamp(sqldb.Micros(tx.Now())),
		}
		if err := checkAssessment(out); err != nil {
			return nil, err
		}
		waiting := func() ([]store.PlanHead, error) { return waitingPlans(ctx, tx, year, req.GetPcnCode()) }
		plans, err := waiting()
		if err != nil {
			return nil, err
		}
		accounts := []string{lead}
		for i := range plans {
			accounts = append(accounts, plans[i].CommissionerCode)
		}
		if err := lockAccounts(ctx, tx, accounts...); err != nil {
			return nil, err
		}
		if err := store.InsertAssessment(ctx, tx.Tx, year, out); err != nil {
			return nil, err
		}
		if plans, err = waiting(); err != nil {
			return nil, err
		}
		for i := range plans {
			if !slices.Contains(accounts, plans[i].CommissionerCode) {
				return nil, staleOr(nil) // a plan came meanwhile that nobody holds
			}
			if err := s.reopen(ctx, tx, &plans[i]); err != nil {
				return nil, err
			}
		}
		return out, tx.Record(ctx, "devfund/pcns/"+req.GetPcnCode()+"/assessments", lead, fmt.Sprintf("recorded where %s sees itself in %s", req.GetPcnCode(), yearWords(year)))
	})
}

// checkAssessment refuses an assessment that is not complete, or scores an area twice.
func checkAssessment(m *devfundv1.SelfAssessment) error {
	assessment, err := assessmentOf(m)
	if err != nil {
		return err
	}
	if len(assessment.Scores) != len(m.GetScores()) {
		return fault.New(fault.Invalid, rules.ReasonAssessmentMalformed, "%d scores are of %d areas: score each area once", len(m.GetScores()), len(assessment.Scores)).
			At("scores", "each area once").With("pcn", m.GetPcnCode())
	}
	return assessment.Check()
}

// waitingPlans returns the plans of a year whose newest version covers a PCN and waits for assessments.
func waitingPlans(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcn string) ([]store.PlanHead, error) {
	return store.Plans(ctx, q, store.Page{}, store.PlanFilter{Year: year.String(), PCNCode: pcn, State: devfundv1.PlanState_ALLOCATED})
}

// reopen moves a version that waited for assessments on, once all its PCNs have assessed themselves.
func (s *Service) reopen(ctx context.Context, tx *change.Tx, head *store.PlanHead) error {
	of, err := s.sheet(ctx, tx, head)
	if err != nil {
		return err
	}
	assessments, err := assessmentsOf(ctx, tx, head.Year, of.covered)
	if err != nil {
		return err
	}
	to := stateToProto(rules.Opening(of.plan, assessments))
	if to == head.State {
		return nil
	}
	head.State = to
	if err := store.ChangePlanVersion(ctx, tx.Tx, head.PlanVersionRow); err != nil {
		return err
	}
	if err := changePlan(ctx, tx, head); err != nil {
		return err
	}
	_, err = s.note(ctx, tx, head, stepAssessed, fmt.Sprintf("all %d PCNs have assessed themselves", len(of.covered)))
	return err
}

// unassessed returns the PCNs that have not recorded where they see themselves in a year, by code.
func unassessed(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]string, error) {
	assessments, err := assessmentsOf(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	return rules.Unassessed(pcns, assessments), nil
}

// nameUnassessed adds to the refusal of a step that a version does not stand at for want of assessments which they are. Who does not hold the
// commissioner is told of its own PCNs, and how many others there are.
func nameUnassessed(ctx context.Context, q sqldb.Querier, head *store.PlanHead, refusal error) error {
	wrong, is := fault.As(refusal)
	if !is || wrong.Reason != rules.ReasonPlanStateWrong || head.State != devfundv1.PlanState_ALLOCATED {
		return refusal
	}
	covered, err := store.VersionPCNs(ctx, q, []store.VersionKey{head.Key()})
	if err != nil {
		return err
	}
	missing, err := unassessed(ctx, q, head.Year, covered[head.Key()])
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return refusal
	}
	all := len(missing)
	if by := caller(ctx); !by.HoldsCommissioner(head.CommissionerCode) {
		missing = slices.DeleteFunc(missing, func(pcn string) bool { return !by.HoldsPCN(pcn) })
	}
	names := missing
	if others := all - len(missing); others > 0 {
		names = append(slices.Clone(missing), fmt.Sprintf("%d that you do not act for", others))
	}
	named := *wrong.With("missing_assessments", strings.Join(missing, ",")).With("missing", all)
	named.Message = fmt.Sprintf("%s; the self-assessment of %s is missing of %s: record it first", named.Message, yearWords(head.Year), strings.Join(names, ", "))
	return &named
}

// assessmentsOf returns where PCNs see themselves, as rules read it.
func assessmentsOf(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]rules.Assessment, error) {
	rows, err := store.Assessments(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	out := make([]rules.Assessment, len(rows))
	for i, row := range rows {
		if out[i], err = assessmentOf(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}
