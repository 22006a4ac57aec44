package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// AgreePlan records that a PCN's clinical director agrees to the newest version of a plan, or takes that back: the director themselves, or
// the commissioner who has it on file.
func (s *Service) AgreePlan(ctx context.Context, req *devfundv1.AgreePlanRequest) (*devfundv1.Plan, error) {
	on, err := s.pastDay("agreed_on", req.GetAgreedOn())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Plan, error) {
		head, of, err := s.agreeable(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		held := slices.ContainsFunc(of.standing(), func(row store.AgreementRow) bool { return row.PCNCode == req.GetPcnCode() })
		if req.GetWithdraw() && !held {
			return nil, fault.New(fault.Refused, reasonAgreementNotFound, "%s has not agreed to version %d, so that nothing is withdrawn", req.GetPcnCode(), head.Number).
				With("pcn_code", req.GetPcnCode()).With("version", head.Number)
		}
		row := store.AgreementRow{
			VersionKey: head.Key(), PCNCode: req.GetPcnCode(), Director: req.GetDirector(), Deputy: req.GetDeputy(), AgreedOn: on,
			EvidenceReference: req.GetEvidenceReference(), Withdrawn: req.GetWithdraw(), RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
		}
		if err := store.InsertAgreement(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		if err := changePlan(ctx, tx, head); err != nil {
			return nil, err
		}
		words := fmt.Sprintf("%s agreed on %s", row.PCNCode, on)
		if row.Withdrawn {
			words = fmt.Sprintf("%s withdrew its agreement on %s", row.PCNCode, on)
		}
		return s.stepped(ctx, tx, head, string(rules.Agree), words)
	})
}

// agreeable returns the newest version of a plan, if the PCN may say something to it now and the caller may say so.
func (s *Service) agreeable(ctx context.Context, tx *change.Tx, req *devfundv1.AgreePlanRequest) (*store.PlanHead, *sheet, error) {
	head, err := store.PlanVersion(ctx, tx, req.GetPlanId(), 0)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, planNotFound(req.GetPlanId())
	}
	if err != nil {
		return nil, nil, err
	}
	directs := tx.By.HasRole(optionsv1.Role_ROLE_CLINICAL_DIRECTOR) && tx.By.HoldsPCN(req.GetPcnCode())
	records := prepares(tx.By, head.CommissionerCode)
	if !directs && !records {
		return nil, nil, planNotFound(req.GetPlanId())
	}
	if err := lockPlan(ctx, tx, &head); err != nil {
		return nil, nil, err
	}
	if head, err = store.PlanVersion(ctx, tx, head.ID, 0); err != nil {
		return nil, nil, err
	}
	of, err := s.sheet(ctx, tx, &head)
	if err != nil {
		return nil, nil, err
	}
	switch covered := slices.Contains(of.covered, req.GetPcnCode()); {
	case !covered && !records:
		return nil, nil, planNotFound(req.GetPlanId())
	case !covered:
		return nil, nil, fault.New(fault.Refused, rules.ReasonNotOfPCN, "version %d does not cover %s: it covers %d other PCNs", head.Number, req.GetPcnCode(), len(of.covered)).
			With("pcn_code", req.GetPcnCode()).With("version", head.Number)
	case int(req.GetVersion()) != head.Number:
		return nil, nil, fault.New(fault.Refused, reasonAgreementOutdated, "the agreement is to version %d and version %d is the newest: read it and agree to that", req.GetVersion(), head.Number).
			With("version", req.GetVersion()).With("newest_version", head.Number)
	}
	if _, err = rules.Next(stateOf(head.State), rules.Agree, rolesOf(tx.By)); err != nil {
		return nil, nil, nameUnassessed(ctx, tx, &head, err)
	}
	return &head, of, nil
}
