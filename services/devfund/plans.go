package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// DraftPlan begins a plan with its first version.
func (s *Service) DraftPlan(ctx context.Context, req *devfundv1.DraftPlanRequest) (*devfundv1.Plan, error) {
	year, err := planYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*devfundv1.Plan](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	pcns, err := s.coveredBy(ctx, req.GetCommissionerCode(), year, req.GetHeader())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Plan, error) {
		if err := tx.Lock(ctx, commissionerLock(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		allocation, err := s.allocationOf(ctx, tx, req.GetHeader().GetAllocationId())
		if err != nil {
			return nil, err
		}
		if allocation.CommissionerCode != req.GetCommissionerCode() || allocation.Year != year {
			return nil, fault.New(fault.Refused, reasonAllocationNotOfPlan, "%s is %s money that %s accounts for, the plan is of %s in %s: name an allocation of its own",
				allocation.ID, yearWords(allocation.Year), allocation.CommissionerCode, req.GetCommissionerCode(), yearWords(year)).
				With("allocation_id", allocation.ID).With("commissioner_code", allocation.CommissionerCode).With("financial_year", yearWords(allocation.Year))
		}
		head := &store.PlanHead{PlanRow: store.PlanRow{
			ID: tx.NewID(), Year: year, CommissionerCode: req.GetCommissionerCode(), AllocationID: allocation.ID, Newest: 1, Version: 1,
		}}
		plan, err := s.newVersion(ctx, tx, head, &draft{header: req.GetHeader(), lines: req.GetLines(), pcns: pcns})
		if err != nil {
			return nil, err
		}
		if err := store.InsertPlan(ctx, tx.Tx, head.PlanRow); err != nil {
			return nil, err
		}
		if err := store.InsertPlanVersion(ctx, tx.Tx, head.PlanVersionRow, pcns, req.GetLines()); err != nil {
			return nil, err
		}
		return s.stepped(ctx, tx, head, "DRAFTED", fmt.Sprintf("%d lines, %s, for %d PCNs", len(plan.Lines), head.Planned, len(pcns)))
	})
}

// RevisePlan makes a new version of a plan. One that is not approved gives its place to it at once, an approved one when the new version
// is approved.
func (s *Service) RevisePlan(ctx context.Context, req *devfundv1.RevisePlanRequest) (*devfundv1.Plan, error) {
	if stored, found, err := change.Stored[*devfundv1.Plan](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	var seen store.PlanHead
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		seen, err = planOfBody(ctx, q, req.GetCommissionerCode(), req.GetPlanId(), 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	pcns, err := s.coveredBy(ctx, seen.CommissionerCode, seen.Year, req.GetHeader())
	if err != nil {
		return nil, err
	}
	return s.step(ctx, req, ofNewest, func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (string, string, error) {
		if err := revisable(ctx, tx, head); err != nil {
			return "", "", err
		}
		if id := req.GetHeader().GetAllocationId(); id != head.AllocationID {
			return "", "", fault.New(fault.Refused, reasonAllocationNotOfPlan, "the plan spends %s, and every version of it: draft another plan for %s", head.AllocationID, money.Clip(id)).
				With("allocation_id", head.AllocationID)
		}
		before := head.PlanVersionRow
		head.Newest++
		plan, err := s.newVersion(ctx, tx, head, &draft{header: req.GetHeader(), lines: req.GetLines(), pcns: pcns})
		if err != nil {
			return "", "", err
		}
		if err := keepsTreated(ctx, tx, head, plan); err != nil {
			return "", "", err
		}
		if err := store.InsertPlanVersion(ctx, tx.Tx, head.PlanVersionRow, pcns, req.GetLines()); err != nil {
			return "", "", err
		}
		if before.Number != head.Approved && before.State != devfundv1.PlanState_REJECTED {
			if err := s.supersede(ctx, tx, head, before); err != nil {
				return "", "", err
			}
		}
		return string(rules.Revise), fmt.Sprintf("%s (%d lines, %s, for %d PCNs)", req.GetReason(), len(plan.Lines), head.Planned, len(pcns)), nil
	})
}

// revisable refuses a new version of a plan that has ended: one that was rejected before any version was approved, or one that is closed.
func revisable(ctx context.Context, tx *change.Tx, head *store.PlanHead) error {
	states := []devfundv1.PlanState{head.State}
	if head.Approved != 0 && head.Approved != head.Number {
		approved, err := store.PlanVersion(ctx, tx, head.ID, head.Approved)
		if err != nil {
			return err
		}
		states = append(states, approved.State)
		if head.State == devfundv1.PlanState_REJECTED {
			states = states[1:]
		}
	}
	for _, state := range states {
		if _, err := rules.Next(stateOf(state), rules.Revise, rolesOf(tx.By)); err != nil {
			return err
		}
	}
	return nil
}

// draft is what a version is to hold.
type draft struct {
	header *devfundv1.PlanHeader
	lines  []*devfundv1.PlanLine
	pcns   []string
}

// newVersion makes the newest version of a plan out of a draft, as it opens, and refuses lines that make no sense or draw on what is not the
// plan's.
func (s *Service) newVersion(ctx context.Context, tx *change.Tx, head *store.PlanHead, d *draft) (*rules.Plan, error) {
	plan, err := checkedPlan(head.Year, d.header, d.lines, d.pcns)
	if err != nil {
		return nil, err
	}
	allocation, err := store.Allocation(ctx, tx, head.AllocationID)
	if err != nil {
		return nil, fmt.Errorf("load allocation %s: %w", head.AllocationID, err)
	}
	if err := underAllocation(ctx, tx, &allocation, plan.Lines); err != nil {
		return nil, err
	}
	planned, err := plan.Planned()
	if err != nil {
		return nil, err
	}
	assessments, err := assessmentsOf(ctx, tx, head.Year, d.pcns)
	if err != nil {
		return nil, err
	}
	head.PlanVersionRow = store.PlanVersionRow{
		PlanID: head.ID, Number: head.Newest, State: stateToProto(rules.Opening(plan, assessments)), Header: d.header, Planned: planned,
		Author: tx.By.Subject, DraftedAt: sqldb.Micros(tx.Now()),
	}
	return plan, nil
}

// underAllocation refuses lines that draw on what is neither the plan's allocation nor money of the same year that came out of it, on what a
// commissioner accounts for that the caller does not hold, and lines that pay others out of the share of one PCN, which a decision gave to
// that one. It tells nothing of other allocations, not even whether they are there.
func underAllocation(ctx context.Context, q sqldb.Querier, of *store.AllocationRow, lines []rules.Line) error {
	read := map[string]store.AllocationRow{of.ID: *of}
	for i := range lines {
		under, err := isUnder(ctx, q, of, lines[i].Allocation, read)
		if err != nil {
			return err
		}
		if from := read[lines[i].Allocation]; !under || !caller(ctx).HoldsCommissioner(from.CommissionerCode) {
			return fault.New(fault.Refused, reasonAllocationNotOfPlan, "line %s draws on %s, which is not money of %s that came out of %s: name the plan's allocation or one that was shared out of it",
				lines[i].ID, money.Clip(lines[i].Allocation), yearWords(of.Year), of.ID).With("line_id", lines[i].ID).With("allocation_id", money.Clip(lines[i].Allocation)).
				With("plan_allocation_id", of.ID).At(fmt.Sprintf("lines[%d].allocation_id", i), "the plan's allocation, or one under it")
		}
		from := read[lines[i].Allocation]
		if from.Level == devfundv1.AllocationLevel_PCN && lines[i].PaysOther(from.HolderCode) {
			return fault.New(fault.Refused, reasonAllocationNotOfPlan, "line %s draws on %s, which is the share of %s, and pays others: draw on a pool, or decide the shares anew",
				lines[i].ID, from.ID, from.HolderCode).With("line_id", lines[i].ID).With("allocation_id", from.ID).With("pcn_code", from.HolderCode).
				At(fmt.Sprintf("lines[%d].beneficiaries", i), "the PCN that holds the share")
		}
	}
	return nil
}

// isUnder climbs from an allocation to what it came out of, all within the year; read are those that were read before.
func isUnder(ctx context.Context, q sqldb.Querier, root *store.AllocationRow, id string, read map[string]store.AllocationRow) (bool, error) {
	for id != root.ID {
		row, known := read[id]
		if !known {
			var err error
			if row, err = store.Allocation(ctx, q, id); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return false, fmt.Errorf("load allocation %s: %w", id, err)
			}
			read[id] = row
		}
		if row.ParentID == "" || row.Year != root.Year {
			return false, nil
		}
		id = row.ParentID
	}
	return true, nil
}

// planYear reads a financial year and refuses one before the fund began.
func planYear(field, text string) (period.FinancialYear, error) { //nolint:unparam // as parseYear: the field is the request's
	year, err := parseYear(field, text)
	if err == nil && year < rules.FirstYear {
		err = fault.New(fault.Invalid, reasonYearOutOfRange, "%s: the fund began in %s, after %s", field, yearWords(rules.FirstYear), yearWords(year)).
			At(field, "not before "+yearWords(rules.FirstYear)).With("first_year", yearWords(rules.FirstYear))
	}
	return year, err
}

// pastDay reads a day and refuses one that lies in the future.
func (s *Service) pastDay(field, text string) (period.Date, error) {
	day, err := parseDate(field, text)
	if today := period.DateOf(s.db.Now()); err == nil && day.After(today) {
		err = fault.New(fault.Invalid, reasonDayInFuture, "%s: %s lies in the future: today is %s", field, day, today).
			At(field, "not after today").With("today", today)
	}
	return day, err
}

func planNotFound(id string) error {
	return fault.New(fault.NotFound, reasonPlanNotFound, "there is no plan %q that you may see", money.Clip(id)).With("plan_id", money.Clip(id))
}

// planOfBody returns a version of a plan of a commissioner, or PLAN_NOT_FOUND.
func planOfBody(ctx context.Context, q sqldb.Querier, commissioner, id string, number int) (store.PlanHead, error) {
	head, err := store.PlanVersion(ctx, q, id, number)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && head.CommissionerCode != commissioner) {
		return store.PlanHead{}, planNotFound(id)
	}
	return head, err
}

// GetPlan returns a version of a plan. A PCN sees the versions that cover it, and of them what concerns it.
func (s *Service) GetPlan(ctx context.Context, req *devfundv1.GetPlanRequest) (out *devfundv1.Plan, err error) {
	return out, s.readAsHeir(ctx, func(ctx context.Context) error {
		return s.db.Read(ctx, func(q sqldb.Querier) error {
			head, err := store.PlanVersion(ctx, q, req.GetPlanId(), int(req.GetVersion()))
			if errors.Is(err, sql.ErrNoRows) {
				return planNotFound(req.GetPlanId())
			}
			if err != nil {
				return err
			}
			of, err := s.sheet(ctx, q, &head)
			if err != nil {
				return err
			}
			out, err = of.whole(ctx, q, caller(ctx))
			return err
		})
	})
}

// planListing is a request for a page of rows that a commissioner or a PCN may see.
type planListing interface {
	GetCommissionerCode() string
	GetPageSize() int32
	GetPageToken() string
}

// planPage selects a page of the rows that the caller may see, and one row beyond it.
func planPage(ctx context.Context, req planListing) (by store.Page, size int, err error) {
	if by.Before, err = page.Key(req.GetPageToken()); err != nil {
		return by, 0, err
	}
	own := caller(ctx).PCNs
	if by.Commissioners, err = visible(ctx, req.GetCommissionerCode()); err != nil {
		if len(own) == 0 {
			return by, 0, err
		}
		by.Commissioners = []string{} // a PCN may ask for those of its commissioner
	}
	size = page.Size(req.GetPageSize(), defaultPage)
	by.PCNs, by.CommissionerCode, by.Limit = own, req.GetCommissionerCode(), size+1
	return by, size, nil
}

// ListPlans returns the newest versions of plans without their lines, newest plans first.
func (s *Service) ListPlans(ctx context.Context, req *devfundv1.ListPlansRequest) (*devfundv1.ListPlansResponse, error) {
	ctx, err := s.listing(ctx, req)
	if err != nil {
		return nil, err
	}
	by, size, err := planPage(ctx, req)
	if err != nil {
		return nil, err
	}
	filter := store.PlanFilter{CommissionerCode: req.GetCommissionerCode(), PCNCode: req.GetPcnCode(), State: req.GetState()}
	if req.GetFinancialYear() != "" {
		year, err := parseYear("financial_year", req.GetFinancialYear())
		if err != nil {
			return nil, err
		}
		filter.Year = year.String()
	}
	out := new(devfundv1.ListPlansResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		heads, err := store.Plans(ctx, q, by, filter)
		if err != nil {
			return err
		}
		heads, out.NextPageToken = page.Cut(heads, size, func(h store.PlanHead) string { return h.ID })
		all, err := s.sheets(ctx, q, heads)
		if err != nil {
			return err
		}
		for i := range all {
			plan, err := all[i].toProto(caller(ctx))
			if err != nil {
				return err
			}
			plan.Lines, plan.Agreements, plan.Checks = nil, nil, nil
			out.Plans = append(out.Plans, plan)
		}
		return nil
	})
}

// planChange is a request that takes a step of a plan.
type planChange interface {
	proto.Message
	GetCommissionerCode() string
	GetPlanId() string
	GetEtag() string
}

// Which version a step is of: the newest one, or the one that is approved, which is the newest where none is.
const (
	ofNewest   = false
	ofApproved = true
)

// step takes a step of a plan for its commissioner, who names the state of things it read. Take changes the version, and tells the step and
// what is said with it.
func (s *Service) step(
	ctx context.Context, req planChange, approved bool, take func(ctx context.Context, tx *change.Tx, head *store.PlanHead) (step, words string, err error),
) (*devfundv1.Plan, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Plan, error) {
		head, err := planOfBody(ctx, tx, req.GetCommissionerCode(), req.GetPlanId(), 0)
		if err != nil {
			return nil, err
		}
		if err := lockPlan(ctx, tx, &head); err != nil {
			return nil, err
		}
		number := 0
		if approved {
			current, err := store.Plan(ctx, tx, head.ID)
			if err != nil {
				return nil, err
			}
			number = current.Approved
		}
		if head, err = store.PlanVersion(ctx, tx, head.ID, number); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), head.Version); err != nil {
			return nil, err
		}
		step, words, err := take(ctx, tx, &head)
		if err != nil {
			return nil, nameUnassessed(ctx, tx, &head, err)
		}
		if err := store.ChangePlanVersion(ctx, tx.Tx, head.PlanVersionRow); err != nil {
			return nil, err
		}
		if err := changePlan(ctx, tx, &head); err != nil {
			return nil, err
		}
		return s.stepped(ctx, tx, &head, step, words)
	})
}

func changePlan(ctx context.Context, tx *change.Tx, head *store.PlanHead) error {
	if changed, err := store.ChangePlan(ctx, tx.Tx, head.PlanRow); err != nil || !changed {
		return staleOr(err)
	}
	head.Version++
	return nil
}

// lockPlan locks what the plan's commissioner accounts for, and whoever accounts for an allocation that its newest or its approved version
// draws on.
func lockPlan(ctx context.Context, tx *change.Tx, head *store.PlanHead) error {
	lines, err := store.VersionLines(ctx, tx, []store.VersionKey{{PlanID: head.ID, Number: head.Newest}, {PlanID: head.ID, Number: head.Approved}})
	if err != nil {
		return err
	}
	var ids []string
	for _, of := range lines {
		for i := range of {
			ids = append(ids, of[i].AllocationID)
		}
	}
	slices.Sort(ids)
	allocations, err := store.AllocationsOf(ctx, tx, slices.Compact(ids))
	if err != nil {
		return err
	}
	accounts := []string{head.CommissionerCode}
	for _, allocation := range allocations {
		accounts = append(accounts, allocation.CommissionerCode)
	}
	return lockAccounts(ctx, tx, accounts...)
}

// stepped keeps, announces and records a step that was taken, and returns the version after it as the caller may see it.
func (s *Service) stepped(ctx context.Context, tx *change.Tx, head *store.PlanHead, step, words string) (*devfundv1.Plan, error) {
	of, err := s.note(ctx, tx, head, step, words)
	if err != nil {
		return nil, err
	}
	return of.whole(ctx, tx, tx.By)
}

// note keeps, announces and records a step that was taken.
func (s *Service) note(ctx context.Context, tx *change.Tx, head *store.PlanHead, step, words string) (*sheet, error) {
	err := store.InsertStep(ctx, tx.Tx, store.StepRow{
		PlanID: head.ID, Step: step, Number: head.Number, State: head.State, TakenBy: tx.By.Subject, TakenAt: sqldb.Micros(tx.Now()), Words: words,
	})
	if err != nil {
		return nil, err
	}
	of, err := s.sheet(ctx, tx, head)
	if err != nil {
		return nil, err
	}
	event := &devfundv1.PlanChanged{
		PlanId: head.ID, Version: int32(head.Number), CommissionerCode: head.CommissionerCode, FinancialYear: yearWords(head.Year), State: head.State, //nolint:gosec // versions of one plan
		Step: step, PlannedPence: int64(head.Planned),
	}
	for _, id := range rules.Failed(of.checks) {
		event.FailedChecks = append(event.FailedChecks, string(id))
	}
	if _, err := tx.Announce(ctx, "plan/"+head.ID, head.CommissionerCode, event); err != nil {
		return nil, err
	}
	return of, tx.Record(ctx, "devfund/plans/"+head.ID, head.CommissionerCode, fmt.Sprintf("%s version %d: %s", step, head.Number, words))
}

// rolesOf are the capacities in which somebody acts.
func rolesOf(by auth.Principal) []rules.Role {
	names := by.RoleNames()
	out := make([]rules.Role, len(names))
	for i, name := range names {
		out[i] = rules.Role(name)
	}
	return out
}
