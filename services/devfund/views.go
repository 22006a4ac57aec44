package devfund

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// Exceptions beside the checks of plans, which go under their own identifiers.
const (
	exceptionPlanMissing   = "PLAN_MISSING"
	exceptionNotAllShared  = "NOT_ALL_SHARED"
	exceptionOverCommitted = "OVER_COMMITTED"
	exceptionSpendOverdue  = "SPEND_OVERDUE"
	exceptionOverspent     = "OVERSPENT"
	exceptionUnspent       = "UNSPENT"
	exceptionAmountUnknown = "AMOUNT_UNKNOWN"
)

// fundView is everything that the region looks at of a fund in a year.
type fundView struct {
	fundOfYear
	today  period.Date
	purses map[string]*purse
	// plans are those that stand: the newest version of each, or the approved one where the newest was rejected.
	plans []sheet
	// approved are the versions that are committed, by plan.
	approved map[string]store.PlanHead
	lines    []fundLine
	// why says of allocations why nothing may be drawn on them, and due of commissioners the last month of which spend is due.
	why map[string]string
	due map[string]period.Month
}

// look loads it.
func (s *Service) look(ctx context.Context, q sqldb.Querier, of *fundOfYear) (*fundView, error) {
	v := &fundView{fundOfYear: *of, today: period.DateOf(s.db.Now()), approved: make(map[string]store.PlanHead), why: make(map[string]string), due: make(map[string]period.Month)}
	var err error
	if v.purses, err = pursesOf(ctx, q, of); err != nil {
		return nil, err
	}
	if v.lines, err = fundLines(ctx, q, of); err != nil {
		return nil, err
	}
	if err := v.loadPlans(ctx, q, s); err != nil {
		return nil, err
	}
	for _, p := range v.purses {
		for i := range p.unknown {
			refused, ok := fault.As(usable(ctx, q, &p.unknown[i]))
			if !ok {
				return nil, fault.Bug("%s has no amount, and is usable", p.unknown[i].ID)
			}
			v.why[p.unknown[i].ID] = refused.Message
		}
	}
	for _, code := range v.commissioners() {
		if v.due[code], err = s.dueMonth(ctx, q, code, of.year, v.today); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *fundView) loadPlans(ctx context.Context, q sqldb.Querier, s *Service) error {
	approved, err := store.ApprovedPlans(ctx, q, v.fundOfYear.plans())
	if err != nil {
		return err
	}
	for i := range approved {
		v.approved[approved[i].ID] = approved[i]
	}
	newest, err := store.Plans(ctx, q, store.Page{}, v.fundOfYear.plans())
	if err != nil {
		return err
	}
	var heads []store.PlanHead
	for i := range newest {
		before, committed := v.approved[newest[i].ID]
		switch {
		case newest[i].State != devfundv1.PlanState_REJECTED:
			heads = append(heads, newest[i])
		case committed:
			heads = append(heads, before)
		}
	}
	v.plans, err = s.sheets(ctx, q, heads)
	return err
}

// dueMonth is the last month of the year of which spend is due: it is reported by a day of the month after, where a setting says by which.
// It is the zero month where none is due.
func (s *Service) dueMonth(ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear, today period.Date) (month period.Month, err error) {
	row, err := s.setting(ctx, q, commissioner, year, settingSpendDueDay)
	if err != nil || row.Value == "" {
		return month, err
	}
	day, err := strconv.Atoi(row.Value)
	if err != nil {
		return month, fmt.Errorf("read setting %s: %w", row.ID, err)
	}
	for m := year.First(); !m.After(year.Last()); m = m.Add(1) {
		if today.After(m.Add(1).First().AddDays(day - 1)) {
			month = m
		}
	}
	return month, nil
}

// commissioners are those that account for something or have a plan, by code.
func (v *fundView) commissioners() []string {
	out := slices.Collect(maps.Keys(v.purses))
	for i := range v.plans {
		out = append(out, v.plans[i].head.CommissionerCode)
	}
	return sorted(out)
}

// GetRegionalView returns where every commissioner stands that the caller may see.
func (s *Service) GetRegionalView(ctx context.Context, req *devfundv1.GetRegionalViewRequest) (*devfundv1.GetRegionalViewResponse, error) {
	of, err := s.fundAsked(ctx, req.GetFinancialYear(), req.GetFundCode(), "")
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.GetRegionalViewResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		v, err := s.look(ctx, q, &of)
		if err != nil {
			return err
		}
		out.Rows, out.Total, err = v.rows()
		return err
	})
}

// standing adds up where a commissioner, or all of them, stand.
type standing struct {
	available money.Pence
	unknown   bool
	planned   money.Pence
	sums      rules.Sums
	row       devfundv1.RegionalRow
}

func (t *standing) toProto(code string) *devfundv1.RegionalRow {
	out := &t.row
	out.CommissionerCode, out.PlannedPence, out.CommittedPence = code, int64(t.planned), int64(t.sums.Committed)
	out.PaidPence, out.SpentPence = int64(t.sums.Paid), int64(t.sums.Spent)
	if !t.unknown {
		out.AvailablePence = (*int64)(&t.available)
	}
	return out
}

// rows writes the commissioners in order, and all of them together.
func (v *fundView) rows() (rows []*devfundv1.RegionalRow, total *devfundv1.RegionalRow, err error) {
	all := new(standing)
	by := make(map[string]*standing)
	for _, code := range v.commissioners() {
		by[code] = new(standing)
		held := v.purses[code]
		for _, t := range []*standing{by[code], all} {
			if held == nil {
				continue
			}
			t.unknown = t.unknown || len(held.unknown) > 0
			if t.available, err = t.available.Add(held.available); err != nil {
				return nil, nil, err
			}
		}
	}
	for i := range v.plans {
		of := &v.plans[i]
		for _, t := range []*standing{by[of.head.CommissionerCode], all} {
			t.row.Plans++
			t.row.ChecksFailed += int32(len(rules.Failed(of.checks))) //nolint:gosec // eight checks
			t.row.Furthest = further(further(t.row.Furthest, of.head.State), v.approved[of.head.ID].State)
			if t.planned, err = t.planned.Add(of.head.Planned); err != nil {
				return nil, nil, err
			}
		}
	}
	for i := range v.lines {
		end, err := v.lines[i].end(v.year.Last())
		if err != nil {
			return nil, nil, err
		}
		for _, t := range []*standing{by[v.lines[i].row.CommissionerCode], all} {
			if t.sums, err = t.sums.Add(&end.Sums); err != nil {
				return nil, nil, err
			}
		}
	}
	exceptions, err := v.exceptions()
	if err != nil {
		return nil, nil, err
	}
	for _, e := range exceptions {
		by[e.GetCommissionerCode()].row.Exceptions++
		all.row.Exceptions++
	}
	for _, code := range v.commissioners() {
		rows = append(rows, by[code].toProto(code))
	}
	return rows, all.toProto(""), nil
}

// further is the state that a plan reaches later on its way. States beside the way are not on it.
func further(a, b devfundv1.PlanState) devfundv1.PlanState {
	if b > devfundv1.PlanState_CLOSED {
		return a
	}
	return max(a, b)
}

// ListExceptions returns what the region should look at, by commissioner.
func (s *Service) ListExceptions(ctx context.Context, req *devfundv1.ListExceptionsRequest) (*devfundv1.ListExceptionsResponse, error) {
	of, err := s.fundAsked(ctx, req.GetFinancialYear(), req.GetFundCode(), req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListExceptionsResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		v, err := s.look(ctx, q, &of)
		if err != nil {
			return err
		}
		out.Exceptions, err = v.exceptions()
		return err
	})
}

// exceptions finds them, in order of commissioner, exception, plan and allocation.
func (v *fundView) exceptions() ([]*devfundv1.FundException, error) {
	out := slices.Concat(v.ofPlans(), v.ofPurses())
	for _, find := range []func() ([]*devfundv1.FundException, error){v.overCommitted, v.ofLines} {
		found, err := find()
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, func(a, b *devfundv1.FundException) int {
		return cmp.Or(cmp.Compare(a.GetCommissionerCode(), b.GetCommissionerCode()), cmp.Compare(a.GetException(), b.GetException()),
			cmp.Compare(a.GetPlanId(), b.GetPlanId()), cmp.Compare(a.GetAllocationId(), b.GetAllocationId()))
	})
	return out, nil
}

// ofPlans are the checks that fail.
func (v *fundView) ofPlans() (out []*devfundv1.FundException) {
	for i := range v.plans {
		of := &v.plans[i]
		for j := range of.checks {
			if check := &of.checks[j]; !check.Passed() {
				out = append(out, &devfundv1.FundException{
					Exception: string(check.ID), CommissionerCode: of.head.CommissionerCode, PlanId: of.head.ID, AmountPence: int64(of.head.Planned), Subjects: check.Missing(),
					Words: check.Words(),
				})
			}
		}
	}
	return out
}

// ofPurses are allocations without an amount, money that nobody below has and no plan commits, and commissioners without a plan.
func (v *fundView) ofPurses() (out []*devfundv1.FundException) {
	planned := make(map[string]bool)
	for i := range v.plans {
		planned[v.plans[i].head.CommissionerCode] = true
	}
	for code, p := range v.purses {
		if !planned[code] {
			out = append(out, &devfundv1.FundException{
				Exception: exceptionPlanMissing, CommissionerCode: code, AmountPence: int64(p.available),
				Words: fmt.Sprintf("%s has %s of %s in %s and no plan for it: draft one", code, p.available, v.fund, yearWords(v.year)),
			})
		}
		for i := range p.rows {
			row := &p.rows[i]
			left, known := row.Left()
			switch {
			case !known:
				out = append(out, &devfundv1.FundException{
					Exception: exceptionAmountUnknown, CommissionerCode: code, AllocationId: row.ID, Words: v.why[row.ID],
				})
			case left > 0 && row.Level < devfundv1.AllocationLevel_PCN:
				out = append(out, &devfundv1.FundException{
					Exception: exceptionNotAllShared, CommissionerCode: code, AllocationId: row.ID, AmountPence: int64(left),
					Words: fmt.Sprintf("%s of %s is neither shared nor committed by an approved plan: share it or plan it", left, row.ID),
				})
			}
		}
	}
	return out
}

// overCommitted are allocations on which the plans that stand would together draw more than is for them. What is committed is bounded by the
// database; plans that are not approved yet may pass it together though each of them alone does not.
func (v *fundView) overCommitted() (out []*devfundv1.FundException, err error) {
	wanted, lines := make(map[string]money.Pence), make(map[string][]string)
	for i := range v.plans {
		for j := range v.plans[i].lines {
			row := &v.plans[i].lines[j]
			if wanted[row.AllocationID], err = wanted[row.AllocationID].Add(row.Amount); err != nil {
				return nil, err
			}
			lines[row.AllocationID] = append(lines[row.AllocationID], row.PlanID+"/"+row.LineID)
		}
	}
	for i := range v.lines {
		moved, err := v.lines[i].moved()
		if err != nil {
			return nil, err
		}
		id := v.lines[i].row.AllocationID
		if wanted[id], err = wanted[id].Sub(moved); err != nil {
			return nil, err
		}
	}
	for code, p := range v.purses {
		for i := range p.rows {
			row := &p.rows[i]
			available, known := row.Available()
			excess := wanted[row.ID] - (available - row.Shared)
			if !known || excess <= 0 {
				continue
			}
			out = append(out, &devfundv1.FundException{
				Exception: exceptionOverCommitted, CommissionerCode: code, AllocationId: row.ID, AmountPence: int64(excess), Subjects: lines[row.ID],
				Words: fmt.Sprintf("plans draw %s on %s, which has %s for them: plan %s less", wanted[row.ID], row.ID, available-row.Shared, excess),
			})
		}
	}
	return out, nil
}

// finding adds up lines of a plan of which the same is wrong.
type finding struct {
	exception, plan string
}

// ofLines are lines of which spend is overdue, spent beyond what is committed, or unspent after the year.
func (v *fundView) ofLines() ([]*devfundv1.FundException, error) {
	found := make(map[finding]*devfundv1.FundException)
	note := func(exception string, l *fundLine, amount money.Pence, words string) error {
		key := finding{exception, l.row.PlanID}
		of := found[key]
		if of == nil {
			of = &devfundv1.FundException{Exception: exception, CommissionerCode: l.row.CommissionerCode, PlanId: l.row.PlanID, Words: words}
			found[key] = of
		}
		sum, err := money.Pence(of.GetAmountPence()).Add(amount)
		of.AmountPence, of.Subjects = int64(sum), append(of.GetSubjects(), l.row.LineID)
		return err
	}
	for i := range v.lines {
		l := &v.lines[i]
		if err := v.lookAt(l, note); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Values(found)), nil
}

// lookAt notes what is wrong with a line.
func (v *fundView) lookAt(l *fundLine, note func(exception string, l *fundLine, amount money.Pence, words string) error) error {
	if due := v.due[l.row.CommissionerCode]; !due.IsZero() && l.row.Amount > 0 && v.begunBy(l.row.PlanID, due) {
		end, err := l.end(due)
		if err != nil {
			return err
		}
		if !end.Reported {
			if err := note(exceptionSpendOverdue, l, l.row.Amount, fmt.Sprintf("spend to %s is due and not reported: report it line by line", due)); err != nil {
				return err
			}
		}
	}
	last := v.year.Last()
	end, err := l.end(last)
	if err != nil {
		return err
	}
	if end.Overspent > 0 {
		if err := note(exceptionOverspent, l, end.Overspent, "more is reported spent than the lines commit: revise the plan, or correct the reports"); err != nil {
			return err
		}
	}
	if !v.today.After(last.Last()) || !end.Reported {
		return nil
	}
	moved, err := l.moved()
	if err != nil {
		return err
	}
	left, err := end.Unspent.Sub(moved)
	if err != nil || left <= 0 {
		return err
	}
	return note(exceptionUnspent, l, left, fmt.Sprintf("unspent at %s and not treated: propose what becomes of it, as the policy in force allows", last.Last()))
}

// begunBy tells whether a plan was approved in a month or before.
func (v *fundView) begunBy(plan string, month period.Month) bool {
	head := v.approved[plan]
	on, err := period.ParseDate(head.Approval.GetApprovedOn())
	return err != nil || !on.Month().After(month)
}
