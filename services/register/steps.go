package register

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// speaksFor tells whether the caller is of the PCN.
func speaksFor(by auth.Principal, pcn string) bool {
	return by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_CLINICAL_DIRECTOR) && by.HoldsPCN(pcn)
}

// ofFinance tells whether the caller holds a role of finance.
func ofFinance(by auth.Principal) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER)
}

// mayStep refuses who may see a PCN but not take a step for it: the PCN's people say what they do, its commissioner judges the evidence.
func mayStep(by auth.Principal, kind rules.StepKind, of *subject) error {
	judges := kind == rules.AcceptEvidence || kind == rules.ReturnEvidence
	switch {
	case kind == rules.AcceptEvidence && by.TiedTo(of.code) && ofFinance(by):
		return fault.New(fault.Denied, rules.ReasonAccepterIsMaker, "who manages or directs %s does not accept its evidence", of.code).With("pcn_code", of.code).
			With("remedy", "another person of the commissioner accepts it")
	case judges && ofFinance(by) && slices.ContainsFunc(of.judges, by.HoldsCommissioner):
		return nil
	case !judges && speaksFor(by, of.code):
		return nil
	case judges:
		return fault.New(fault.Denied, auth.ReasonRoleRequired, "the commissioner of %s accepts evidence or returns it", of.code).With("roles", "finance_preparer,finance_approver")
	default:
		return fault.New(fault.Denied, auth.ReasonRoleRequired, "the people of %s say what they plan and deliver", of.code).With("roles", "pcn_manager,clinical_director")
	}
}

// RecordRequirementStep records a step of a requirement at a PCN.
func (s *Service) RecordRequirementStep(ctx context.Context, req *registerv1.RecordRequirementStepRequest) (*registerv1.RequirementStatus, error) {
	if stored, found, err := change.Stored[*registerv1.RequirementStatus](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	step, err := stepFromProto(req)
	if err != nil {
		return nil, err
	}
	chosen, found, err := s.chooseOne(ctx, req.GetPcnCode(), req.GetRequirementId(), "", nil)
	if err != nil {
		return nil, err
	}
	by, _ := auth.From(ctx)
	today, err := s.today(ctx, found.of)
	if err != nil {
		return nil, err
	}
	// A former commissioner sees what it led then, and decides nothing now.
	if !by.HoldsPCN(today.code) && !slices.ContainsFunc(today.judges, by.HoldsCommissioner) {
		return nil, pcnUnknown(req.GetPcnCode())
	}
	if err := mayStep(by, step.Kind, today); err != nil {
		return nil, err
	}
	if today.payer == "" {
		return nil, fault.New(fault.Refused, rules.ReasonPayerUnknown, "it is not known who leads %s", today.code).
			With("pcn_code", today.code).With("remedy", "record the PCN's lead commissioner")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*registerv1.RequirementStatus, error) {
		return takeStep(ctx, tx, chosen, *found, today, step, req.GetEtag())
	})
}

// takeStep adds a step to the history that stands.
func takeStep(
	ctx context.Context, tx *change.Tx, chosen *selected, found standing, today *subject, step rules.Step, tag string,
) (*registerv1.RequirementStatus, error) {
	id, pcn := found.version.ID, found.of.code
	record := requirementRecord(id) + "/" + pcn
	if err := tx.Lock(ctx, record); err != nil {
		return nil, err
	}
	held, err := store.Steps(ctx, tx, []string{id}, []string{pcn}, everKnown)
	if err != nil {
		return nil, err
	}
	history := held[store.StepKey{Requirement: id, PCN: pcn}]
	course := rules.Follow(store.Plain(history))
	if err := checkTag(tag, strconv.FormatInt(course.Last, 10)); err != nil {
		return nil, err
	}
	step.Number, step.By = course.Last+1, tx.By.Subject
	if found.course, err = course.Take(&found.version.Requirement, &step, chosen.when.on); err != nil {
		return nil, err
	}
	row := store.Step{Step: step, Requirement: id, PCN: pcn, Commissioner: today.payer, RecordedAt: tx.Now()}
	if err := store.AddStep(ctx, tx.Tx, row); err != nil {
		return nil, err
	}
	event := &registerv1.RequirementStatusChanged{
		PcnCode: pcn, CommissionerCode: today.payer, RequirementId: id, FinancialYear: found.version.Year.String(), Step: stepToProto(&row),
		State: stateToProto(found.course.State),
	}
	// Whoever receives the events of one payer finds no gap in a sequence when another takes over.
	if _, err := tx.Announce(ctx, "requirement-statuses/"+today.payer+"/"+pcn, today.payer, event); err != nil {
		return nil, err
	}
	history = append(history, row)
	found.Standing = chosen.stand(found.of, &found.version, store.Plain(history))
	answer := withHistory(found.proto(chosen.when.on), history)
	return answer, tx.Record(ctx, record, today.payer, fmt.Sprintf("recorded %s of %s at %s", step.Kind, id, pcn))
}

// today returns a PCN as it is led today, or as it was led last where it is no more.
func (s *Service) today(ctx context.Context, of *subject) (*subject, error) {
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	national, err := s.pictureToday(ctx, position)
	if err != nil || national == nil {
		return of, err
	}
	for i := range national.PCNs {
		if pcn := &national.PCNs[i]; pcn.Code == of.code {
			bodies, err := s.bodiesOf(ctx, position)
			if err != nil {
				return nil, err
			}
			return &subject{code: pcn.Code, name: pcn.Name, payer: pcn.Payer, opened: pcn.Opened, bodies: bodies(national, pcn), judges: national.Judges(pcn)}, nil
		}
	}
	return of, nil
}

func stepFromProto(req *registerv1.RecordRequirementStepRequest) (rules.Step, error) {
	step := rules.Step{
		Kind: rules.StepKind(req.GetKind().String()), Evidence: req.GetEvidenceType(), Where: req.GetEvidenceReference(), Reason: req.GetReason(),
	}
	var err error
	if step.Planned, err = dateField("planned_date", req.GetPlannedDate()); err != nil {
		return step, err
	}
	step.Met, err = dateField("met_date", req.GetMetDate())
	for field, given := range map[string]bool{
		"planned_date": !step.Planned.IsZero() && step.Kind != rules.PlanStep,
		"met_date":     !step.Met.IsZero() && step.Kind != rules.DeliverStep,
		"evidence_type": (step.Evidence != "" || step.Where != "") && step.Kind != rules.DeliverStep &&
			step.Kind != rules.AcceptEvidence,
	} {
		if given && err == nil {
			err = fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "%s does not belong to %s", field, step.Kind).At(field, "empty")
		}
	}
	return step, err
}

// dayOf is the day of today, as steps and items take it.
func (s *Service) dayOf() period.Date { return period.DateOf(s.db.Now()) }
