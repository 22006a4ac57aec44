package devfund

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// move takes a version to where a step leads, for who may take it.
func move(tx *change.Tx, head *store.PlanHead, step rules.Step) error {
	to, err := rules.Next(stateOf(head.State), step, rolesOf(tx.By))
	head.State = stateToProto(to)
	return err
}

// plain takes a step of which only its words are kept.
func plain(step rules.Step, words string) func(context.Context, *change.Tx, *store.PlanHead) (string, string, error) {
	return func(_ context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		return string(step), words, move(tx, head, step)
	}
}

// SettlePlan says that the plan is agreed locally, once every governance check passes.
func (s *Service) SettlePlan(ctx context.Context, req *devfundv1.SettlePlanRequest) (*devfundv1.Plan, error) {
	return s.step(ctx, req, ofNewest, func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		of, err := s.sheet(ctx, tx, head)
		if err != nil {
			return "", "", err
		}
		if err := move(tx, head, rules.Settle); err != nil {
			return "", "", err
		}
		return string(rules.Settle), req.GetNote(), rules.Approvable(of.checks)
	})
}

// ReturnPlan sends a version back for changes.
func (s *Service) ReturnPlan(ctx context.Context, req *devfundv1.ReturnPlanRequest) (*devfundv1.Plan, error) {
	return s.step(ctx, req, ofNewest, plain(rules.Return, req.GetReason()))
}

// RejectPlan ends a version that was not approved. One that is approved before it stays.
func (s *Service) RejectPlan(ctx context.Context, req *devfundv1.RejectPlanRequest) (*devfundv1.Plan, error) {
	return s.step(ctx, req, ofNewest, plain(rules.Reject, req.GetReason()))
}

// MobilisePlan says that the support of the approved version is mobilised.
func (s *Service) MobilisePlan(ctx context.Context, req *devfundv1.MobilisePlanRequest) (*devfundv1.Plan, error) {
	return s.step(ctx, req, ofApproved, plain(rules.Mobilise, req.GetNote()))
}

// ReviewPlan records a review of the approved version.
func (s *Service) ReviewPlan(ctx context.Context, req *devfundv1.ReviewPlanRequest) (*devfundv1.Plan, error) {
	on, err := s.pastDay("reviewed_on", req.GetReviewedOn())
	if err != nil {
		return nil, err
	}
	return s.step(ctx, req, ofApproved, func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		if err := move(tx, head, rules.Review); err != nil {
			return "", "", err
		}
		return string(rules.Review), fmt.Sprintf("reviewed on %s: %s spent, %s forecast", on, money.Pence(req.GetSpentPence()), money.Pence(req.GetForecastPence())),
			store.InsertReview(ctx, tx.Tx, head.ID, &devfundv1.PlanReview{
				ReviewedOn: on.String(), Progress: req.GetProgress(), SpentPence: req.GetSpentPence(), ForecastPence: req.GetForecastPence(),
				AdditionalSupport: req.GetAdditionalSupport(), RecordedBy: tx.By.Subject, RecordedAt: timestamp(sqldb.Micros(tx.Now())),
			})
	})
}

// ClosePlan closes the approved version after its year, once spend is reported for March of every line with an amount.
func (s *Service) ClosePlan(ctx context.Context, req *devfundv1.ClosePlanRequest) (*devfundv1.Plan, error) {
	return s.step(ctx, req, ofApproved, func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		if err := move(tx, head, rules.Close); err != nil {
			return "", "", err
		}
		march := head.Year.Last()
		if today := period.DateOf(tx.Now()); !today.After(march.Last()) {
			return "", "", fault.New(fault.Refused, rules.ReasonYearNotOver, "%s ends on %s and today is %s: close the plan after its year", yearWords(head.Year), march.Last(), today).
				With("last_day", march.Last()).With("today", today)
		}
		missing, err := store.UnreportedLines(ctx, tx, head.Key(), march)
		if err != nil {
			return "", "", err
		}
		if len(missing) > 0 {
			return "", "", fault.New(fault.Refused, rules.ReasonSpendReportMissing, "no spend is reported for %s of %d lines: %s; report it first, also where it is nothing",
				march, len(missing), money.Clip(strings.Join(missing, ", "))).
				With("month", march).With("lines", len(missing)).With("line_ids", money.Clip(strings.Join(missing, ",")))
		}
		return string(rules.Close), req.GetNote(), nil
	})
}

// ApprovePlan records the committee's approval of the newest version, commits its lines in place of those that were committed before, and
// fixes what it pays when.
func (s *Service) ApprovePlan(ctx context.Context, req *devfundv1.ApprovePlanRequest) (*devfundv1.Plan, error) {
	on, err := s.pastDay("approved_on", req.GetApprovedOn())
	if err != nil {
		return nil, err
	}
	return s.step(ctx, req, ofNewest, func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		of, err := s.sheet(ctx, tx, head)
		if err != nil {
			return "", "", err
		}
		if err := move(tx, head, rules.Approve); err != nil {
			return "", "", err
		}
		if err := mayApprove(ctx, tx, of, on); err != nil {
			return "", "", err
		}
		if err := rules.Approvable(of.checks); err != nil {
			return "", "", err
		}
		if err := keepsTreated(ctx, tx, head, of.plan); err != nil {
			return "", "", err
		}
		if err := s.commitLines(ctx, tx, of); err != nil {
			return "", "", err
		}
		if err := fixTranches(ctx, tx, of, on); err != nil {
			return "", "", err
		}
		if err := s.replaceApproved(ctx, tx, head); err != nil {
			return "", "", err
		}
		head.Approved = head.Number
		head.Approval = &devfundv1.PlanApproval{
			Body: req.GetBody(), ApprovedOn: on.String(), MinuteReference: req.GetMinuteReference(), Conditions: req.GetConditions(),
			RecordedBy: tx.By.Subject, RecordedAt: timestamp(sqldb.Micros(tx.Now())),
		}
		words := fmt.Sprintf("%s on %s, %s: %s", req.GetBody(), on, req.GetMinuteReference(), head.Planned)
		if req.GetConditions() != "" {
			words += "; conditions: " + req.GetConditions()
		}
		return string(rules.Approve), words, nil
	})
}

// mayApprove refuses who has something to gain, on the day of the committee or on the day that the approval is recorded.
func mayApprove(ctx context.Context, tx *change.Tx, of *sheet, on period.Date) error {
	authors, err := store.Authors(ctx, tx, of.head.ID)
	if err != nil {
		return err
	}
	approval := rules.Approval{Person: tx.By.Subject, Authors: authors, Paid: of.plan.Paid()}
	for _, pcn := range approval.Paid {
		if tx.By.TiedTo(pcn) {
			approval.DirectorOf = append(approval.DirectorOf, pcn)
		}
	}
	for _, row := range of.agreements {
		approval.Agreed = append(approval.Agreed, row.Director, row.RecordedBy)
	}
	for _, day := range []period.Date{on, period.DateOf(tx.Now())} {
		interests, err := store.InterestsOf(ctx, tx, tx.By.Subject, day)
		if err != nil {
			return err
		}
		approval.On, approval.Interests = day, nil
		for _, row := range interests {
			approval.Interests = append(approval.Interests, rules.Interest{Person: row.Person, PCN: row.PCNCode, Nature: row.Nature, From: row.From, To: row.To})
		}
		if err := rules.MayApprove(&approval); err != nil {
			return err
		}
	}
	return nil
}

// keepsTreated refuses a version that has less of a line than approved treatments moved of the one that is committed.
func keepsTreated(ctx context.Context, q sqldb.Querier, head *store.PlanHead, plan *rules.Plan) error {
	moved, err := store.TreatedOf(ctx, q, head.ID)
	if err != nil || len(moved) == 0 {
		return err
	}
	lines, err := store.LinesOf(ctx, q, approvedKey(head))
	if err != nil {
		return err
	}
	taken, err := store.Recoveries(ctx, q, []string{head.ID})
	if err != nil {
		return err
	}
	var treated []rules.TreatedLine
	for i := range lines {
		amount, found := moved[lines[i].LineID]
		if !found {
			continue
		}
		line := rules.TreatedLine{LineID: lines[i].LineID, Allocation: lines[i].AllocationID, Amount: amount, TakenBack: make(map[string]money.Pence)}
		for _, r := range taken {
			if r.LineID != line.LineID {
				continue
			}
			if line.TakenBack[r.PCNCode], err = line.TakenBack[r.PCNCode].Add(r.Amount); err != nil {
				return err
			}
		}
		treated = append(treated, line)
	}
	return plan.KeepsTreated(treated)
}

// commitLines moves what is committed of each allocation from the lines of the approved version to those of the new one: what goes down
// first, so that a line may move between allocations that are full.
func (s *Service) commitLines(ctx context.Context, tx *change.Tx, of *sheet) error {
	if err := mayDraw(ctx, tx, of.allocations()); err != nil {
		return err
	}
	before, err := store.LinesOf(ctx, tx, approvedKey(of.head))
	if err != nil {
		return err
	}
	deltas := make(map[string]money.Pence)
	for i := range before {
		if deltas[before[i].AllocationID], err = deltas[before[i].AllocationID].Sub(before[i].Amount); err != nil {
			return err
		}
	}
	for i := range of.lines {
		if deltas[of.lines[i].AllocationID], err = deltas[of.lines[i].AllocationID].Add(of.lines[i].Amount); err != nil {
			return err
		}
	}
	ids := make([]string, 0, len(deltas))
	for id := range deltas {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if down := deltas[a] < 0; down != (deltas[b] < 0) {
			if down {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids {
		if err := s.commit(ctx, tx, id, deltas[id]); err != nil {
			return err
		}
	}
	return nil
}

// mayDraw refuses to commit what a commissioner accounts for that the caller does not hold: who drafted the plan did.
func mayDraw(ctx context.Context, tx *change.Tx, ids []string) error {
	rows, err := store.AllocationsOf(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if row := rows[id]; !tx.By.HoldsCommissioner(row.CommissionerCode) {
			return fault.New(fault.Refused, reasonAllocationNotOfPlan, "the plan draws on %s, which another commissioner accounts for: who approves it holds both", id).
				With("allocation_id", id)
		}
	}
	return nil
}

// fixTranches keeps what the version pays each PCN in each month. A line without months is paid in the month after the approval, as far as
// that lies in the year; one that was approved without months before stays where it was, so that nothing is taken back to be paid again.
func fixTranches(ctx context.Context, tx *change.Tx, of *sheet, on period.Date) error {
	inFull := on.Month().Add(1)
	if first := of.head.Year.First(); inFull.Before(first) {
		inFull = first
	}
	if last := of.head.Year.Last(); inFull.After(last) {
		inFull = last
	}
	before, err := monthsBefore(ctx, tx, approvedKey(of.head))
	if err != nil {
		return err
	}
	var rows []store.TrancheRow
	for i := range of.plan.Lines {
		line := &of.plan.Lines[i]
		month, kept := before[line.ID]
		if !kept {
			month = inFull
		}
		tranches, err := rules.Tranches(of.head.Year, line, month)
		if err != nil {
			return err
		}
		for _, tranche := range tranches {
			rows = append(rows, store.TrancheRow{
				VersionKey: of.head.Key(), LineID: line.ID, PCNCode: tranche.PCN, Month: tranche.Month, Amount: tranche.Amount,
			})
		}
	}
	return store.InsertTranches(ctx, tx.Tx, rows)
}

// monthsBefore returns the months in which lines without months of their own were to be paid by the version approved before.
func monthsBefore(ctx context.Context, tx *change.Tx, approved store.VersionKey) (map[string]period.Month, error) {
	if approved.Number == 0 {
		return nil, nil
	}
	lines, err := store.LinesOf(ctx, tx, approved)
	if err != nil {
		return nil, err
	}
	tranches, err := store.TranchesOf(ctx, tx, approved)
	if err != nil {
		return nil, err
	}
	out := make(map[string]period.Month)
	for _, tranche := range tranches {
		out[tranche.LineID] = tranche.Month
	}
	for i := range lines {
		if len(lines[i].Message.GetTranches()) > 0 {
			delete(out, lines[i].LineID)
		}
	}
	return out, nil
}

// replaceApproved takes the version that was approved before out of its place.
func (s *Service) replaceApproved(ctx context.Context, tx *change.Tx, head *store.PlanHead) error {
	if head.Approved == 0 {
		return nil
	}
	before, err := store.PlanVersion(ctx, tx, head.ID, head.Approved)
	if err != nil {
		return err
	}
	return s.supersede(ctx, tx, head, before.PlanVersionRow)
}

// supersede gives the place of a version to a later one of its plan.
func (s *Service) supersede(ctx context.Context, tx *change.Tx, head *store.PlanHead, before store.PlanVersionRow) error {
	to, err := rules.Next(stateOf(before.State), rules.Supersede, []rules.Role{rules.RoleSystem})
	if err != nil {
		return err
	}
	before.State = stateToProto(to)
	if err := store.ChangePlanVersion(ctx, tx.Tx, before); err != nil {
		return err
	}
	return store.InsertStep(ctx, tx.Tx, store.StepRow{
		PlanID: head.ID, Step: string(rules.Supersede), Number: before.Number, State: before.State, TakenBy: tx.By.Subject, TakenAt: sqldb.Micros(tx.Now()),
		Words: fmt.Sprintf("version %d takes its place", head.Number),
	})
}
