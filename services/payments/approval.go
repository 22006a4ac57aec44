package payments

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// ApproveRun consents to a run that another person put forward.
func (s *Service) ApproveRun(ctx context.Context, req *paymentsv1.ApproveRunRequest) (*paymentsv1.Run, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Run, error) {
		run, err := s.runFor(ctx, tx, req.GetRunId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if err := inState(run, submitted); err != nil {
			return nil, err
		}
		given, err := s.consent(ctx, tx, run)
		if err != nil {
			return nil, err
		}
		if given < run.ApprovalsNeeded {
			if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
				return nil, err
			}
			summary := fmt.Sprintf("approved run %s, %d of %d", run.ID, given, run.ApprovalsNeeded)
			if err := s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunPartlyApproved{Run: r} }); err != nil {
				return nil, err
			}
			return s.present(ctx, tx, run)
		}
		return s.approve(ctx, tx, run)
	})
}

// consent notes one person's approval and returns how many there are.
func (s *Service) consent(ctx context.Context, tx *change.Tx, run store.RunRow) (int, error) {
	found, err := store.Approvals(ctx, tx, []string{run.ID})
	if err != nil {
		return 0, err
	}
	before := found[run.ID]
	asked := rules.Consent{
		Approver: tx.By.Subject, SubmittedBy: run.SubmittedBy, PolicyBy: run.PolicyBy, Net: money.Pence(run.Totals.GetNetPence()),
		Limit: limitOf(run.Policy, tx.By.Subject),
	}
	for _, approval := range before {
		asked.Approved = append(asked.Approved, approval.ApprovedBy)
	}
	if err := asked.Check(); err != nil {
		return 0, err
	}
	return len(before) + 1, store.InsertApproval(ctx, tx.Tx, run, tx.By.Subject)
}

// approve posts what an approved run makes payable, payee by payee.
func (s *Service) approve(ctx context.Context, tx *change.Tx, run store.RunRow) (*paymentsv1.Run, error) {
	payees, err := store.FrozenPayees(ctx, tx, run.ID)
	if err != nil {
		return nil, err
	}
	lines, err := amountsByPayee(ctx, tx, run.ID)
	if err != nil {
		return nil, err
	}
	if found := countLines(lines); found != int(run.Totals.GetLines()) {
		return nil, fault.Bug("run %s was frozen with %d lines and has %d", run.ID, run.Totals.GetLines(), found)
	}
	var postings []rules.Posting
	events := make([]outbox.Event, len(payees))
	carried := []string{}
	for i := range payees {
		p := &payees[i]
		added, err := s.makePayable(ctx, tx, run, p, lines[p.PayeeCode])
		if err != nil {
			return nil, err
		}
		postings = append(postings, added...)
		if p.Net == 0 {
			carried = append(carried, p.PayeeCode)
		}
		events[i] = payeeEvent(run.CommissionerCode, p.PayeeCode, &paymentsv1.PaymentApproved{
			RunId: run.ID, CommissionerCode: run.CommissionerCode, Month: run.Month.String(), Total: payeeToProto(*p),
		})
	}
	if err := store.AdvanceRun(ctx, tx.Tx, run.ID, carried, store.Open, store.Carried); err != nil {
		return nil, err
	}
	if err := store.AdvanceRun(ctx, tx.Tx, run.ID, nil, store.Open, store.Payable); err != nil {
		return nil, err
	}
	if _, err := outbox.AddAll(ctx, tx.Tx, events); err != nil {
		return nil, err
	}
	takes, err := approvalDay(ctx, tx, run)
	if err != nil {
		return nil, err
	}
	if err := store.Post(ctx, tx.Tx, tx.By.Subject, takes, postings); err != nil {
		return nil, err
	}
	if err := noteParts(ctx, tx, run, payees); err != nil {
		return nil, err
	}
	run.State = approved
	if run.Totals.GetPayments() == 0 {
		run.State, run.SettledAt = settled, sqldb.Micros(tx.Now())
	}
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("approved run %s: %s to send in %d payments", run.ID, money.Pence(run.Totals.GetNetPence()), run.Totals.GetPayments())
	if err := s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunApproved{Run: r} }); err != nil {
		return nil, err
	}
	if err := s.announceSettled(ctx, tx, run); err != nil {
		return nil, err
	}
	return s.present(ctx, tx, run)
}

// countLines counts the lines of all payees.
func countLines(byPayee map[string][]rules.Amount) (n int) {
	for _, lines := range byPayee {
		n += len(lines)
	}
	return n
}

// announceSettled publishes that nothing of a run waits any more, if that is so.
func (s *Service) announceSettled(ctx context.Context, tx *change.Tx, run store.RunRow) error {
	if run.State != settled {
		return nil
	}
	summary := "nothing of run " + run.ID + " waits to be sent or confirmed"
	return s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunSettled{Run: r} })
}

// payeeEvent is an event of one payee's payments.
func payeeEvent(commissioner, payee string, message proto.Message) outbox.Event {
	return outbox.Event{Aggregate: payeeAggregate(commissioner, payee), CommissionerCode: commissioner, Message: message}
}

// makePayable returns the postings for one payee of an approved run.
func (s *Service) makePayable(ctx context.Context, tx *change.Tx, run store.RunRow, p *rules.PayeeTotal, lines []rules.Amount) ([]rules.Posting, error) {
	source := payeeSource(run.ID, p.PayeeCode)
	var sum money.Pence
	for _, line := range lines {
		sum += line.Pence
	}
	if sum != p.LinesTotal || len(lines) != p.Lines {
		return nil, fault.Bug("run %s, payee %s: %d lines of %d pence were frozen, %d of %d are there", run.ID, p.PayeeCode, p.Lines, p.LinesTotal, len(lines), sum)
	}
	postings := []rules.Posting{{
		CommissionerCode: run.CommissionerCode, Kind: rules.Approval, Source: source,
		Entries: rules.Moved(p.PayeeCode, rules.Accrued, rules.Payable, lines),
	}}
	recovery, err := s.recovery(ctx, tx, run, p, lines)
	if err != nil {
		return nil, err
	}
	if len(recovery) > 0 {
		postings = append(postings, rules.Posting{CommissionerCode: run.CommissionerCode, Kind: rules.Recovery, Source: source, Entries: recovery})
	}
	return postings, nil
}

// recovery returns the entries that carry an overpayment forward, or take off what is brought forward.
func (s *Service) recovery(ctx context.Context, tx *change.Tx, run store.RunRow, p *rules.PayeeTotal, lines []rules.Amount) ([]rules.Entry, error) {
	if p.CarriedForward < 0 {
		return rules.Moved(p.PayeeCode, rules.Payable, rules.Recovered, lines), nil
	}
	if p.BroughtForward == 0 {
		return nil, nil
	}
	taken, err := s.taken(ctx, tx, run, p)
	if err != nil {
		return nil, err
	}
	if p.Net == 0 {
		return rules.Cleared(p.PayeeCode, lines, taken), nil
	}
	return rules.Moved(p.PayeeCode, rules.Payable, rules.Recovered, taken), nil
}

// taken shares what is brought forward over the funds in which the payee owes. It refuses if less is owed than when the run was
// put forward.
func (s *Service) taken(ctx context.Context, tx *change.Tx, run store.RunRow, p *rules.PayeeTotal) ([]rules.Amount, error) {
	owed, err := store.Owed(ctx, tx, run.CommissionerCode, p.PayeeCode)
	if err != nil {
		return nil, err
	}
	var outstanding money.Pence
	for _, a := range owed {
		outstanding += a.Pence
	}
	if outstanding < -p.BroughtForward {
		return nil, fault.New(fault.Refused, rules.ReasonRecoveryChanged, "run %s takes %s off %s, of which only %s is owed now: reject it and put the new one forward",
			run.ID, -p.BroughtForward, p.PayeeCode, outstanding).With("outstanding_pence", int64(outstanding)).With("brought_forward_pence", int64(p.BroughtForward))
	}
	return rules.Share(-p.BroughtForward, owed)
}

// noteParts fixes what an approved run comes to for each PCN. What a PCN still owes is known now; later recoveries do not change it.
func noteParts(ctx context.Context, tx *change.Tx, run store.RunRow, payees []rules.PayeeTotal) error {
	lines, err := store.LinesByPCN(ctx, tx, run.ID)
	if err != nil {
		return err
	}
	debtors := []string{}
	for i := range payees {
		if payees[i].BroughtForward != 0 {
			debtors = append(debtors, payees[i].PayeeCode)
		}
	}
	owed := make(store.ByPCN)
	if len(debtors) > 0 {
		bodies, err := predecessors(ctx, tx, run.CommissionerCode)
		if err != nil {
			return err
		}
		if owed, err = store.OwedByPCN(ctx, tx, append(bodies, run.CommissionerCode), debtors); err != nil {
			return err
		}
	}
	parts := make([]rules.Part, 0, len(payees))
	for i := range payees {
		code := payees[i].PayeeCode
		of, err := rules.PartsOf(&payees[i], lines[code], owed[code])
		if err != nil {
			return err
		}
		parts = append(parts, of...)
	}
	return store.InsertParts(ctx, tx.Tx, run.ID, parts)
}

// effective is the day on which what belongs to a month takes effect: today, or the month's last day where that has passed.
func effective(tx *change.Tx, month period.Month) period.Date {
	if today := period.DateOf(tx.Now()); today.Before(month.Last()) {
		return today
	}
	return month.Last()
}

// approvalDay is the day on which an approval takes effect: in the month of the run, but not before its lines passed to the commissioner,
// came back, or debts it takes off arose. No account may hold less than nothing in between.
func approvalDay(ctx context.Context, tx *change.Tx, run store.RunRow) (period.Date, error) {
	takes := effective(tx, run.Month)
	arrival, err := store.NewestArrival(ctx, tx, run.CommissionerCode, run.ID)
	if err != nil || arrival <= takes.String() {
		return takes, err
	}
	if takes, err = period.ParseDate(arrival); err != nil {
		return takes, fault.Bug("books of %s up to %q", run.CommissionerCode, arrival)
	}
	return takes, nil
}

// approvedOn returns the day on which the approval of a run took effect. One that came to nothing in every stage left no posting to
// wait for.
func approvedOn(ctx context.Context, tx *change.Tx, run store.RunRow) (period.Date, error) {
	payees, err := store.FrozenPayees(ctx, tx, run.ID)
	if err != nil {
		return period.Date{}, err
	}
	for i := range payees {
		postings, err := store.Postings(ctx, tx, store.PostingFilter{Sources: []string{payeeSource(run.ID, payees[i].PayeeCode)}})
		if err != nil {
			return period.Date{}, err
		}
		for _, p := range postings {
			if p.Kind == rules.Approval {
				return period.ParseDate(p.EffectiveDate)
			}
		}
	}
	return effective(tx, run.Month), nil
}

// payeeSource names the cause of what is posted for one payee of a run.
func payeeSource(runID, payee string) string { return "run/" + runID + "/" + payee }

// payeeAggregate is the thing whose events tell of one payee's payments.
func payeeAggregate(commissioner, payee string) string { return "payee/" + commissioner + "/" + payee }

// amountsByPayee returns the amounts of the lines in a run, payee by payee.
func amountsByPayee(ctx context.Context, q sqldb.Querier, runID string) (map[string][]rules.Amount, error) {
	out := make(map[string][]rules.Amount)
	err := store.EachAmount(ctx, q, runID, func(a store.ItemAmount) error {
		out[a.PayeeCode] = append(out[a.PayeeCode], a.Amount)
		return nil
	})
	return out, err
}

// policyNow returns who may approve how much of what is put forward today, and who said so.
func policyNow(ctx context.Context, tx *change.Tx, commissioner string) (*paymentsv1.ApprovalPolicy, string, error) {
	setting, err := store.SettingFor(ctx, tx, commissioner, kindApprovalPolicy, period.DateOf(tx.Now()).Month())
	return setting.GetApprovalPolicy(), setting.GetSetBy(), err
}

// limitOf returns the largest sum a person may approve; nil for any.
func limitOf(policy *paymentsv1.ApprovalPolicy, subject string) *money.Pence {
	for _, limit := range policy.GetLimits() {
		if limit.GetSubject() == subject {
			return new(money.Pence(limit.GetLimitPence()))
		}
	}
	if limit := policy.GetDefaultLimitPence(); limit > 0 {
		return new(money.Pence(limit))
	}
	return nil
}
