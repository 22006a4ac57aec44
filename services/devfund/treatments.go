package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// policy returns what becomes of unspent money of a commissioner's year.
func (s *Service) policy(ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear) (rules.Policy, error) {
	row, err := s.setting(ctx, q, commissioner, year, settingUnspentPolicy)
	if err != nil {
		return "", err
	}
	return rules.ParsePolicy(row.Value)
}

// unspentLine is a line at 31 March, with its treatments in the order in which they were proposed.
type unspentLine struct {
	*approvedLine
	end        rules.LineEnd
	inForce    rules.Policy
	treatments []store.TreatmentRow
}

// unspentOf loads what is unspent of a line of a plan of a commissioner. The caller holds its lock.
func (s *Service) unspentOf(ctx context.Context, tx *change.Tx, commissioner, plan, id string) (*unspentLine, error) {
	current, err := store.Plan(ctx, tx, plan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, planNotFound(plan)
	}
	if err != nil {
		return nil, err
	}
	head, err := planOfBody(ctx, tx, commissioner, plan, current.Approved)
	if err != nil {
		return nil, err
	}
	line, err := approvedLineOf(ctx, tx, &head, id)
	if err != nil {
		return nil, err
	}
	reports, err := store.SpendOf(ctx, tx, line.row.Key())
	if err != nil {
		return nil, err
	}
	out := &unspentLine{approvedLine: line}
	year := rules.LineYear{
		PlanID: plan, LineID: id, Payee: named(line.row.Payee, rules.PayeeKind("")), Committed: line.row.Amount, Reports: reported(reports),
	}
	if out.end, err = rules.EndOf(&year, head.Year.Last()); err != nil {
		return nil, err
	}
	if out.inForce, err = s.policy(ctx, tx, commissioner, head.Year); err != nil {
		return nil, err
	}
	all, err := store.Treatments(ctx, tx, store.Page{}, plan)
	if err != nil {
		return nil, err
	}
	for _, row := range slices.Backward(all) {
		if row.LineID == id {
			out.treatments = append(out.treatments, row)
		}
	}
	return out, nil
}

// treated is what the treatments of a line come to that were not rejected, without one of them.
func treated(all []store.TreatmentRow, without string) (sum money.Pence, err error) {
	for i := range all {
		if all[i].ID == without || all[i].State == devfundv1.TreatmentState_TREATMENT_REJECTED {
			continue
		}
		if sum, err = sum.Add(all[i].Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// treat asks the rules what a treatment moves, now.
func (l *unspentLine) treat(tx *change.Tx, row *store.TreatmentRow) (rules.Moved, error) {
	others, err := treated(l.treatments, row.ID)
	if err != nil {
		return rules.Moved{}, err
	}
	return rules.Treat(l.head.Year, l.inForce, &l.end, &rules.Treatment{
		Policy: named(row.Policy, rules.Policy("")), Amount: row.Amount, Treated: others, Today: period.DateOf(tx.Now()),
	})
}

// ProposeTreatment proposes what becomes of unspent money of a line. Nothing moves before another person approves it.
func (s *Service) ProposeTreatment(ctx context.Context, req *devfundv1.ProposeTreatmentRequest) (*devfundv1.UnspentTreatment, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.UnspentTreatment, error) {
		if err := tx.Lock(ctx, commissionerLock(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		line, err := s.unspentOf(ctx, tx, req.GetCommissionerCode(), req.GetPlanId(), req.GetLineId())
		if err != nil {
			return nil, err
		}
		for i := range line.treatments {
			if waits := &line.treatments[i]; waits.State == devfundv1.TreatmentState_TREATMENT_PROPOSED {
				return nil, fault.New(fault.Refused, rules.ReasonTreatmentExceedsUnspent, "treatment %s of %s of the line waits for its decision: decide it first", waits.ID, waits.Amount).
					With("treatment_id", waits.ID).With("treated_pence", int64(waits.Amount)).With("unspent_pence", int64(line.end.Unspent))
			}
		}
		row := &store.TreatmentRow{
			ID: tx.NewID(), LineKey: line.row.Key(), CommissionerCode: line.head.CommissionerCode, Year: line.head.Year, Policy: req.GetPolicy(),
			Amount: money.Pence(req.GetAmountPence()), Reason: req.GetReason(), State: devfundv1.TreatmentState_TREATMENT_PROPOSED,
			ProposedBy: tx.By.Subject, ProposedAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if _, err := line.treat(tx, row); err != nil {
			return nil, err
		}
		if err := store.InsertTreatment(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return s.treatedAs(ctx, tx, row, fmt.Sprintf("line %s: %s of %s is proposed: %s", row.LineID, row.Policy, row.Amount, row.Reason))
	})
}

// DecideTreatment approves or rejects a treatment that another person proposed.
func (s *Service) DecideTreatment(ctx context.Context, req *devfundv1.DecideTreatmentRequest) (*devfundv1.UnspentTreatment, error) {
	if !req.GetApprove() && req.GetReason() == "" {
		return nil, fault.New(fault.Invalid, rpc.ReasonRequestInvalid, "a rejection needs its reason").At("reason", "why it is rejected")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.UnspentTreatment, error) {
		row, err := s.lockTreatment(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		if row.State != devfundv1.TreatmentState_TREATMENT_PROPOSED {
			return nil, fault.New(fault.Refused, reasonTreatmentDecided, "%s decided treatment %s already: it is %s", row.DecidedBy, row.ID, row.State).
				With("treatment_id", row.ID).With("state", row.State).With("decided_by", row.DecidedBy)
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		if err := rules.MayDecide(row.ProposedBy, tx.By.Subject); err != nil {
			return nil, err
		}
		row.DecidedBy, row.DecidedAt, row.DecisionReason = tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		row.State = devfundv1.TreatmentState_TREATMENT_REJECTED
		words := "rejected: " + req.GetReason()
		if req.GetApprove() {
			row.State = devfundv1.TreatmentState_TREATMENT_APPROVED
			if words, err = s.moveUnspent(ctx, tx, row); err != nil {
				return nil, err
			}
		}
		if changed, err := store.ChangeTreatment(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		return s.treatedAs(ctx, tx, row, fmt.Sprintf("line %s: %s of %s is %s", row.LineID, row.Policy, row.Amount, words))
	})
}

// lockTreatment loads a treatment of a commissioner under the locks that its approval needs.
func (s *Service) lockTreatment(ctx context.Context, tx *change.Tx, req *devfundv1.DecideTreatmentRequest) (*store.TreatmentRow, error) {
	notFound := fault.New(fault.NotFound, reasonTreatmentNotFound, "there is no treatment %q that you may see", money.Clip(req.GetTreatmentId())).
		With("treatment_id", money.Clip(req.GetTreatmentId()))
	row, err := store.Treatment(ctx, tx, req.GetTreatmentId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != req.GetCommissionerCode()) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	plan, err := store.Plan(ctx, tx, row.PlanID)
	if err != nil {
		return nil, err
	}
	lines, err := store.LinesOf(ctx, tx, store.VersionKey{PlanID: plan.ID, Number: plan.Approved})
	if err != nil {
		return nil, err
	}
	accounts := []string{row.CommissionerCode}
	for i := range lines {
		if lines[i].LineID == row.LineID {
			more, err := s.accountsOf(ctx, tx, lines[i].AllocationID)
			if err != nil {
				return nil, err
			}
			accounts = append(accounts, more...)
		}
	}
	if err := lockAccounts(ctx, tx, accounts...); err != nil {
		return nil, err
	}
	row, err = store.Treatment(ctx, tx, row.ID)
	return &row, err
}

// moveUnspent moves the money of a treatment as it is approved: back to the system, and out of the hands of networks that did not spend
// it; or into an allocation of the next year. It returns what moved in words.
func (s *Service) moveUnspent(ctx context.Context, tx *change.Tx, row *store.TreatmentRow) (string, error) {
	line, err := s.unspentOf(ctx, tx, row.CommissionerCode, row.PlanID, row.LineID)
	if err != nil {
		return "", err
	}
	moved, err := line.treat(tx, row)
	if err != nil {
		return "", err
	}
	source, from := "treatment "+row.ID, line.row.AllocationID
	words := fmt.Sprintf("approved: %s returns, %s of it from networks", moved.Returned, moved.Recovered)
	if moved.CarriedForward > 0 {
		row.AllocationID, err = s.carryForward(ctx, tx, from, moved.CarriedForward, source, row.Reason)
		words = fmt.Sprintf("approved: %s is carried into %s, %s of it from networks", moved.CarriedForward, row.AllocationID, moved.Recovered)
	} else {
		err = s.giveBack(ctx, tx, from, moved.Returned, source, row.Reason)
	}
	if err != nil {
		return "", err
	}
	return words, takeBack(ctx, tx, line, row, moved.Recovered)
}

// takeBack splits what is recovered by what each network was paid of the line, less what was taken back before.
func takeBack(ctx context.Context, tx *change.Tx, line *unspentLine, row *store.TreatmentRow, amount money.Pence) error {
	if amount == 0 {
		return nil
	}
	before, err := store.Recoveries(ctx, tx, []string{row.PlanID})
	if err != nil {
		return err
	}
	paid := make(map[string]money.Pence)
	for i := range line.tranches {
		t := &line.tranches[i]
		if paid[t.PCNCode], err = paid[t.PCNCode].Add(t.Amount); err != nil {
			return err
		}
	}
	for i := range before {
		if before[i].LineID != row.LineID {
			continue
		}
		if paid[before[i].PCNCode], err = paid[before[i].PCNCode].Sub(before[i].Amount); err != nil {
			return err
		}
	}
	all := make([]rules.Paid, 0, len(paid))
	for pcn, pence := range paid {
		all = append(all, rules.Paid{PCN: pcn, Amount: pence})
	}
	parts, err := rules.Recoveries(amount, all)
	if err != nil {
		return err
	}
	rows := make([]store.RecoveryRow, len(parts))
	for i, part := range parts {
		rows[i] = store.RecoveryRow{
			TreatmentID: row.ID, PlanID: row.PlanID, LineID: row.LineID, PCNCode: part.PCN, Month: row.Year.Last(), Amount: part.Amount,
		}
	}
	return store.InsertRecoveries(ctx, tx.Tx, rows)
}

// treatedAs announces and records what became of a treatment, and returns it.
func (s *Service) treatedAs(ctx context.Context, tx *change.Tx, row *store.TreatmentRow, words string) (*devfundv1.UnspentTreatment, error) {
	out := treatmentToProto(row, nil)
	if _, err := tx.Announce(ctx, "plan/"+row.PlanID, row.CommissionerCode, &devfundv1.UnspentTreated{Treatment: out}); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, "devfund/plans/"+row.PlanID, row.CommissionerCode, words)
}

// ListTreatments returns treatments, newest first.
func (s *Service) ListTreatments(ctx context.Context, req *devfundv1.ListTreatmentsRequest) (*devfundv1.ListTreatmentsResponse, error) {
	before, size, scope, err := listed(ctx, req)
	if err != nil {
		return nil, err
	}
	by := store.Page{Scope: store.Scope{Commissioners: scope}, Before: before, Limit: size + 1}
	if by.Year, err = listedYear(req.GetFinancialYear()); err != nil {
		return nil, err
	}
	out := new(devfundv1.ListTreatmentsResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Treatments(ctx, q, by, req.GetPlanId())
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.TreatmentRow) string { return r.ID })
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		schedules, err := store.RecoverySchedules(ctx, q, ids)
		if err != nil {
			return err
		}
		for i := range rows {
			out.Treatments = append(out.Treatments, treatmentToProto(&rows[i], schedules[rows[i].ID]))
		}
		return nil
	})
}

func treatmentToProto(r *store.TreatmentRow, schedules []string) *devfundv1.UnspentTreatment {
	return &devfundv1.UnspentTreatment{
		TreatmentId: r.ID, PlanId: r.PlanID, LineId: r.LineID, CommissionerCode: r.CommissionerCode, FinancialYear: yearWords(r.Year), Policy: r.Policy,
		AmountPence: int64(r.Amount), Reason: r.Reason, State: r.State, ProposedBy: r.ProposedBy, ProposedAt: timestamp(r.ProposedAt),
		DecidedBy: r.DecidedBy, DecidedAt: timestamp(r.DecidedAt), DecisionReason: r.DecisionReason, AllocationId: r.AllocationID,
		ScheduleIds: schedules, Etag: versionTag(r.Version),
	}
}
