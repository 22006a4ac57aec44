package payments

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	assembled = paymentsv1.RunState_RUN_STATE_ASSEMBLED
	submitted = paymentsv1.RunState_RUN_STATE_SUBMITTED
	approved  = paymentsv1.RunState_RUN_STATE_APPROVED
	exported  = paymentsv1.RunState_RUN_STATE_EXPORTED
	settled   = paymentsv1.RunState_RUN_STATE_SETTLED
	rejected  = paymentsv1.RunState_RUN_STATE_REJECTED
	withdrawn = paymentsv1.RunState_RUN_STATE_WITHDRAWN
)

// commissioner is a body with its name.
type commissioner struct{ code, name string }

// lockKey holds one commissioner's money against every other change.
func lockKey(commissioner string) string { return "commissioner/" + commissioner }

// assembledRun returns the assembled run of a month, and begins one if there is none; begun tells of it. The caller announces it
// with grown, once its lines are in it.
func (s *Service) assembledRun(ctx context.Context, tx *change.Tx, owner commissioner, month period.Month) (run store.RunRow, begun bool, err error) {
	run, err = store.AssembledRun(ctx, tx, owner.code, month)
	if !errors.Is(err, sql.ErrNoRows) {
		return run, false, err
	}
	last, err := store.LastRunNumber(ctx, tx, owner.code, month)
	if err != nil {
		return run, false, err
	}
	run = store.RunRow{
		ID: fmt.Sprintf("%s-%s-%d", owner.code, month, last+1), CommissionerCode: owner.code, CommissionerName: owner.name, Month: month,
		Number: last + 1, State: assembled, Version: 1, AssembledAt: sqldb.Micros(tx.Now()),
	}
	if run.CommissionerName == "" {
		if run.CommissionerName, err = knownName(ctx, tx, owner.code); err != nil {
			return run, false, err
		}
	}
	return run, true, store.InsertRun(ctx, tx.Tx, run)
}

// gathered returns the assembled run of a month, with every open line of the month and of those before that is in no run.
func (s *Service) gathered(ctx context.Context, tx *change.Tx, owner commissioner, month period.Month) (store.RunRow, error) {
	run, begun, err := s.assembledRun(ctx, tx, owner, month)
	if err != nil {
		return run, err
	}
	lines, err := store.Gather(ctx, tx.Tx, owner.code, month, run.ID)
	if err != nil {
		return run, err
	}
	return run, s.grown(ctx, tx, &run, begun, lines)
}

// grown announces a run that has begun, and counts up the version of one that lines came into: its tag stands for what was seen.
func (s *Service) grown(ctx context.Context, tx *change.Tx, run *store.RunRow, begun bool, lines int64) error {
	if begun {
		return s.announce(ctx, tx, *run, "began run "+run.ID, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunAssembled{Run: r} })
	}
	if lines == 0 {
		return nil
	}
	return saved(store.UpdateRun(ctx, tx.Tx, run))
}

// knownName returns the name under which a commissioner came in schedules or took over from another.
func knownName(ctx context.Context, q sqldb.Querier, code string) (string, error) {
	schedules, err := store.Schedules(ctx, q, store.Page{Commissioners: []string{code}, Limit: 1}, "")
	if err != nil {
		return "", err
	}
	if len(schedules) > 0 {
		return schedules[0].Header.GetCommissionerName(), nil
	}
	runs, err := store.Runs(ctx, q, store.RunFilter{Page: store.Page{Commissioners: []string{code}, Limit: 1}})
	if err != nil {
		return "", err
	}
	if len(runs) > 0 {
		return runs[0].CommissionerName, nil
	}
	moves, err := store.Moves(ctx, q, "")
	at := slices.IndexFunc(moves, func(m *paymentsv1.Move) bool { return m.GetToCommissionerCode() == code })
	if err != nil || at < 0 {
		return "", err
	}
	return moves[at].GetToCommissionerName(), nil
}

// announce publishes a change of a run and notes it in the audit log.
func (s *Service) announce(ctx context.Context, tx *change.Tx, run store.RunRow, summary string, event func(*paymentsv1.Run) proto.Message) error {
	message, err := s.present(ctx, tx, run)
	if err != nil {
		return err
	}
	if _, err := tx.Announce(ctx, "run/"+run.ID, run.CommissionerCode, event(message)); err != nil {
		return err
	}
	return tx.Record(ctx, "payments/runs/"+run.ID, run.CommissionerCode, summary)
}

// AssembleRun begins a run for a month, or refreshes the one that is assembled.
func (s *Service) AssembleRun(ctx context.Context, req *paymentsv1.AssembleRunRequest) (*paymentsv1.Run, error) {
	month, err := parseMonth("month", req.GetMonth())
	if err != nil {
		return nil, err
	}
	if today := period.DateOf(s.db.Now()); month.First().After(today) {
		return nil, fault.New(fault.Invalid, rules.ReasonPeriodInvalid, "%s has not started: today is %s", month, today).At("month", "a month that has started")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Run, error) {
		code := req.GetCommissionerCode()
		if err := tx.Lock(ctx, lockKey(code)); err != nil {
			return nil, err
		}
		if err := notSucceeded(ctx, tx, code, month); err != nil {
			return nil, err
		}
		run, err := s.gathered(ctx, tx, commissioner{code: code}, month)
		if err != nil {
			return nil, err
		}
		if err := tx.Record(ctx, "payments/runs/"+run.ID, code, "gathered the open lines into run "+run.ID); err != nil {
			return nil, err
		}
		return s.present(ctx, tx, run)
	})
}

// runFor loads a run that the caller may act on, and locks its commissioner's money.
func (s *Service) runFor(ctx context.Context, tx *change.Tx, id, etag string) (store.RunRow, error) {
	run, err := visibleRun(ctx, tx, id)
	if err != nil {
		return run, err
	}
	if err := tx.Lock(ctx, lockKey(run.CommissionerCode)); err != nil {
		return run, err
	}
	if run, err = visibleRun(ctx, tx, id); err != nil {
		return run, err
	}
	return run, checkTag(etag, run.Version)
}

// visibleRun loads a run that the caller may act on.
func visibleRun(ctx context.Context, q sqldb.Querier, id string) (store.RunRow, error) {
	run, err := store.Run(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, run.CommissionerCode)) {
		return run, runNotFound(id)
	}
	return run, err
}

// inState refuses what cannot be done to a run as it stands.
func inState(run store.RunRow, states ...paymentsv1.RunState) error {
	if slices.Contains(states, run.State) {
		return nil
	}
	return fault.New(fault.Refused, rules.ReasonRunStateDiffers, "run %s is %s", run.ID, stateName(run.State)).With("state", stateName(run.State))
}

// SubmitRun freezes a run and puts it forward.
func (s *Service) SubmitRun(ctx context.Context, req *paymentsv1.SubmitRunRequest) (*paymentsv1.Run, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Run, error) {
		run, err := s.runFor(ctx, tx, req.GetRunId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if err := inState(run, assembled); err != nil {
			return nil, err
		}
		if run.Funds, err = expectedFunds(ctx, tx, run.CommissionerCode, run.Month); err != nil {
			return nil, err
		}
		if err := goWithout(run, req.GetMissingFunds()); err != nil {
			return nil, err
		}
		if err := s.freeze(ctx, tx, &run); err != nil {
			return nil, err
		}
		if run.Policy, run.PolicyBy, err = policyNow(ctx, tx, run.CommissionerCode); err != nil {
			return nil, err
		}
		run.State, run.SubmittedBy, run.SubmittedAt, run.SubmitNote = submitted, tx.By.Subject, sqldb.Micros(tx.Now()), req.GetNote()
		run.ApprovalsNeeded = 1
		if above := run.Policy.GetSecondApprovalAbovePence(); above > 0 && run.Totals.GetNetPence() > above {
			run.ApprovalsNeeded = 2
		}
		if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("put run %s forward: %d lines, %s to send", run.ID, run.Totals.GetLines(), money.Pence(run.Totals.GetNetPence()))
		if err := s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunSubmitted{Run: r} }); err != nil {
			return nil, err
		}
		return s.present(ctx, tx, run)
	})
}

// goWithout checks that every expected fund has closed, or that a reason is given for going without it.
func goWithout(run store.RunRow, missing []*paymentsv1.MissingFund) error {
	for _, expected := range run.Funds {
		if expected.GetClosed() {
			continue
		}
		at := slices.IndexFunc(missing, func(m *paymentsv1.MissingFund) bool { return m.GetFund() == expected.GetFund() })
		if at < 0 {
			name := fundName(int(expected.GetFund()))
			return fault.New(fault.Refused, rules.ReasonFundNotClosed, "%s has not closed %s for %s: close it, or name %s among missing_funds with a reason",
				name, run.Month, run.CommissionerCode, expected.GetFund()).With("fund", name).With("month", run.Month)
		}
		expected.MissingReason = missing[at].GetReason()
	}
	return nil
}

// freeze leaves the lines on hold behind and notes what the run comes to.
func (s *Service) freeze(ctx context.Context, tx *change.Tx, run *store.RunRow) error {
	items, payees, totals, err := workOut(ctx, tx, *run)
	if err != nil {
		return err
	}
	if totals.Lines == 0 {
		return fault.New(fault.Refused, rules.ReasonRunEmpty, "run %s has no line that could be paid; %d are on hold", run.ID, totals.HeldLines).
			With("held_lines", totals.HeldLines)
	}
	var held []string
	for i := range items {
		if items[i].Held {
			held = append(held, items[i].LineID)
		}
	}
	if len(held) > 0 {
		if err := store.Detach(ctx, tx.Tx, run.ID, held); err != nil {
			return err
		}
	}
	items = slices.DeleteFunc(items, func(i rules.RunItem) bool { return i.Held })
	payees = slices.DeleteFunc(payees, func(p rules.PayeeTotal) bool { return p.Lines == 0 })
	run.Totals, run.LinesSHA256 = totalsToProto(totals), rules.Freeze(items)
	return store.InsertFrozen(ctx, tx.Tx, run.ID, items, payees)
}

// workOut computes what an assembled run comes to as things are now.
func workOut(ctx context.Context, q sqldb.Querier, run store.RunRow) ([]rules.RunItem, []rules.PayeeTotal, rules.Totals, error) {
	items, err := store.RunItems(ctx, q, run.ID)
	if err != nil {
		return nil, nil, rules.Totals{}, err
	}
	debts, err := store.Debts(ctx, q, run.CommissionerCode, run.Month)
	if err != nil {
		return nil, nil, rules.Totals{}, err
	}
	payees, err := rules.PayeeTotals(items, debts)
	if err != nil {
		return nil, nil, rules.Totals{}, err
	}
	totals, err := rules.AddUp(payees)
	return items, payees, totals, err
}

// RejectRun refuses a run that was put forward.
func (s *Service) RejectRun(ctx context.Context, req *paymentsv1.RejectRunRequest) (*paymentsv1.Run, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Run, error) {
		run, err := s.runFor(ctx, tx, req.GetRunId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if run.SubmittedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, rules.ReasonApproverIsPreparer, "run %s was put forward by the same person, who may withdraw it", run.ID)
		}
		return s.end(ctx, tx, run, rejected, req.GetReason(), func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunRejected{Run: r} })
	})
}

// WithdrawRun takes back a run that was put forward, or ends one that is assembled.
func (s *Service) WithdrawRun(ctx context.Context, req *paymentsv1.WithdrawRunRequest) (*paymentsv1.Run, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Run, error) {
		run, err := s.runFor(ctx, tx, req.GetRunId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if run.State == assembled {
			if err := store.Detach(ctx, tx.Tx, run.ID, nil); err != nil {
				return nil, err
			}
			if err := s.withdraw(ctx, tx, run, req.GetReason()); err != nil {
				return nil, err
			}
			if err := s.gatherLatest(ctx, tx, run.CommissionerCode); err != nil {
				return nil, err
			}
			if run, err = visibleRun(ctx, tx, run.ID); err != nil {
				return nil, err
			}
			return s.present(ctx, tx, run)
		}
		return s.end(ctx, tx, run, withdrawn, req.GetReason(), func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunWithdrawn{Run: r} })
	})
}

// end closes a run without paying it; its lines go to another run of the month.
func (s *Service) end(
	ctx context.Context, tx *change.Tx, run store.RunRow, state paymentsv1.RunState, reason string, event func(*paymentsv1.Run) proto.Message,
) (*paymentsv1.Run, error) {
	if err := inState(run, submitted); err != nil {
		return nil, err
	}
	if err := store.Detach(ctx, tx.Tx, run.ID, nil); err != nil {
		return nil, err
	}
	run.State, run.EndedBy, run.EndedAt, run.EndReason = state, tx.By.Subject, sqldb.Micros(tx.Now()), reason
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return nil, err
	}
	next, err := s.gathered(ctx, tx, commissioner{run.CommissionerCode, run.CommissionerName}, run.Month)
	if err != nil {
		return nil, err
	}
	run.ReplacedBy = next.ID
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return nil, err
	}
	if err := s.announce(ctx, tx, run, fmt.Sprintf("%s run %s: %s", stateName(state), run.ID, reason), event); err != nil {
		return nil, err
	}
	return s.present(ctx, tx, run)
}

// saved refuses a change that another came before.
func saved(updated bool, err error) error {
	if err == nil && !updated {
		return fault.New(fault.Stale, rules.ReasonRunChanged, "it has changed since it was read: read it again")
	}
	return err
}

// checkTag compares a tag with the version that stands; an empty one is refused, because the caller must have read first.
func checkTag(tag string, version int64) error { return sameTag(tag, versionTag(version)) }

// sameTag compares a tag with the one that stands.
func sameTag(tag, standing string) error {
	switch tag {
	case standing:
		return nil
	case "":
		return fault.New(fault.Invalid, rules.ReasonETagRequired, "give the etag of the last read").At("etag", "the etag of the last read, or If-Match")
	default:
		return saved(false, nil)
	}
}

// GetRun returns one run.
func (s *Service) GetRun(ctx context.Context, req *paymentsv1.GetRunRequest) (out *paymentsv1.Run, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		run, of, err := readableRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		if of.partial() {
			out = headToProto(run)
			return nil
		}
		out, err = s.present(ctx, q, run)
		return err
	})
	return out, err
}

// present writes a run: one that is assembled as things are now, others as they were frozen.
func (s *Service) present(ctx context.Context, q sqldb.Querier, run store.RunRow) (*paymentsv1.Run, error) {
	out, err := presentAll(ctx, q, []store.RunRow{run})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// presentAll writes runs as present does.
func presentAll(ctx context.Context, q sqldb.Querier, runs []store.RunRow) ([]*paymentsv1.Run, error) {
	var frozen, withExport []string
	for i := range runs {
		if runs[i].State != assembled {
			frozen = append(frozen, runs[i].ID)
		}
		if runs[i].ExportID != "" {
			withExport = append(withExport, runs[i].ID)
		}
	}
	approvals, err := store.Approvals(ctx, q, frozen)
	if err != nil {
		return nil, err
	}
	sent, err := store.SentOf(ctx, q, withExport)
	if err != nil {
		return nil, err
	}
	out := make([]*paymentsv1.Run, len(runs))
	for i, run := range runs {
		out[i] = runToProto(run)
		if run.State == assembled {
			if err := presentNow(ctx, q, run, out[i]); err != nil {
				return nil, err
			}
			continue
		}
		if run.ExportID != "" {
			out[i].Sent = cmp.Or(sent[run.ID], new(paymentsv1.RunSent))
		}
		for _, approval := range approvals[run.ID] {
			out[i].Approvals = append(out[i].Approvals, &paymentsv1.Approval{ApprovedBy: approval.ApprovedBy, ApprovedAt: timestamp(approval.ApprovedAt)})
		}
	}
	return out, nil
}

// presentNow completes an assembled run with what it comes to and waits for as things are.
func presentNow(ctx context.Context, q sqldb.Querier, run store.RunRow, out *paymentsv1.Run) error {
	_, _, totals, err := workOut(ctx, q, run)
	if err != nil {
		return err
	}
	out.Totals = totalsToProto(totals)
	out.Funds, err = expectedFunds(ctx, q, run.CommissionerCode, run.Month)
	return err
}

// ListRuns returns a page of runs.
func (s *Service) ListRuns(ctx context.Context, req *paymentsv1.ListRunsRequest) (*paymentsv1.ListRunsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	if err := checkMonth("month", req.GetMonth()); err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListRunsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		runs, err := store.Runs(ctx, q, store.RunFilter{Page: by, Month: req.GetMonth(), State: req.GetState()})
		if err != nil {
			return err
		}
		runs, out.NextPageToken = page.Cut(runs, by.Limit-1, func(r store.RunRow) string { return r.Month.String() + " " + r.ID })
		out.Runs, err = presentAll(ctx, q, runs)
		return err
	})
	return out, err
}

// ListRunPayees returns a page of what a run comes to payee by payee.
func (s *Service) ListRunPayees(ctx context.Context, req *paymentsv1.ListRunPayeesRequest) (*paymentsv1.ListRunPayeesResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListRunPayeesResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		run, of, err := readableRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		payees, err := payeesOf(ctx, q, run)
		if err != nil {
			return err
		}
		kept, err := store.KeptBack(ctx, q, run.ID)
		if err != nil {
			return err
		}
		sent, err := store.Payments(ctx, q, store.PaymentFilter{RunID: run.ID, Page: store.Page{Commissioners: of.heirs}})
		if err != nil {
			return err
		}
		paymentOf := make(map[string]string, len(sent))
		for _, row := range sent {
			paymentOf[row.PayeeCode] = row.ID
		}
		payees = slices.DeleteFunc(payees, func(p rules.PayeeTotal) bool {
			return (payeeKey(p) <= after && after != "") || (of.partial() && paymentOf[p.PayeeCode] == "")
		})
		payees, out.NextPageToken = page.Cut(payees, page.Size(req.GetPageSize(), defaultPage), payeeKey)
		for _, p := range payees {
			total := payeeToProto(p)
			total.PaymentId, total.KeptBack = paymentOf[p.PayeeCode], kept[p.PayeeCode]
			out.Payees = append(out.Payees, total)
		}
		return nil
	})
	return out, err
}

// payeeKey orders payees; lines without one come first.
func payeeKey(p rules.PayeeTotal) string { return "p" + p.PayeeCode }

// payeesOf returns what a run comes to payee by payee: as things are now, or as frozen.
func payeesOf(ctx context.Context, q sqldb.Querier, run store.RunRow) ([]rules.PayeeTotal, error) {
	if run.State != assembled {
		return store.FrozenPayees(ctx, q, run.ID)
	}
	_, payees, _, err := workOut(ctx, q, run)
	return payees, err
}

// expectedFunds tells which of the funds a run waits for have closed the month, for every body whose month it pays.
func expectedFunds(ctx context.Context, q sqldb.Querier, code string, month period.Month) ([]*paymentsv1.ExpectedFund, error) {
	setting, err := store.SettingFor(ctx, q, code, kindExpectedFunds, month)
	if err != nil {
		return nil, err
	}
	names := []string{"core"}
	if setting != nil {
		names = setting.GetExpectedFunds().GetFunds()
	}
	bodies, err := closers(ctx, q, code, month)
	if err != nil {
		return nil, err
	}
	closed, err := store.ClosedFunds(ctx, q, bodies, month)
	if err != nil {
		return nil, err
	}
	byFund := make(map[typev1.Fund]*paymentsv1.ExpectedFund)
	for _, name := range names {
		byFund[fundCode(name)] = &paymentsv1.ExpectedFund{Fund: fundCode(name)}
	}
	closedBy := make(map[typev1.Fund]map[string]bool)
	for _, c := range closed {
		fund := typev1.Fund(c.Fund) //nolint:gosec // enum
		if byFund[fund] == nil {
			byFund[fund] = &paymentsv1.ExpectedFund{Fund: fund}
		}
		if closedBy[fund] == nil {
			closedBy[fund] = make(map[string]bool)
		}
		closedBy[fund][c.CommissionerCode] = true
		byFund[fund].Closed = len(closedBy[fund]) == len(bodies)
		byFund[fund].ScheduleIds = append(byFund[fund].ScheduleIds, c.ScheduleID)
	}
	out := make([]*paymentsv1.ExpectedFund, 0, len(byFund))
	for _, fund := range byFund {
		out = append(out, fund)
	}
	slices.SortFunc(out, func(a, b *paymentsv1.ExpectedFund) int { return cmp.Compare(a.GetFund(), b.GetFund()) })
	return out, nil
}
