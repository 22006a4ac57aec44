package devfund

import (
	"context"
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// firstICBMonth is that in which ICBs took over from CCGs (Health and Care Act 2022, section 14).
var firstICBMonth = period.NewMonth(2022, time.July)

// bodies are those that had a commissioner's money within a year.
type bodies struct {
	// before are the CCGs that the commissioner took over from within the year, by code; empty but in 2022/23.
	before []string
	// ended tells that the commissioner itself was taken over within the year.
	ended bool
}

// last is the last month of the commissioner within the year.
func (b *bodies) last(year period.FinancialYear) period.Month {
	if b.ended {
		return firstICBMonth.Add(-1)
	}
	return year.Last()
}

// bodiesOf asks the register whom a commissioner took over from within a year, and whether it was taken over itself.
func (s *Service) bodiesOf(ctx context.Context, commissioner string, year period.FinancialYear) (out bodies, err error) {
	if year != firstICBMonth.FinancialYear() {
		return out, nil
	}
	april, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: year.First().First().String()})
	if err := noneOrFail(err); err != nil {
		return out, err
	}
	own := false
	for _, pcn := range april.GetPcns() {
		switch code := pcn.GetPayerCode(); {
		case code == commissioner:
			own = true
		case pcn.GetOwed() && code != "":
			out.before = append(out.before, code)
		}
	}
	if !own && len(out.before) == 0 {
		return out, nil
	}
	leads, err := s.leadsOn(ctx, commissioner, firstICBMonth.First())
	switch {
	case err != nil:
		return out, err
	case own:
		return bodies{ended: !leads}, nil
	case !leads:
		return bodies{}, nil // a later successor had no account in the year
	}
	out.before = sorted(out.before)
	return out, nil
}

// leadsOn tells whether a commissioner is the payer of a network on a day.
func (s *Service) leadsOn(ctx context.Context, commissioner string, day period.Date) (bool, error) {
	picture, err := s.bodyPicture(ctx, commissioner, day)
	if err != nil {
		return false, noneOrFail(err)
	}
	for _, network := range picture.pcns {
		if network.leads {
			return true, nil
		}
	}
	return false, nil
}

// GetYearEnd returns how a commissioner's year ended. That of 2022/23 has the accounts of the CCGs to June and the ICB's after, whose
// statement is of all of their plans; a CCG's own goes to June and has its account alone.
func (s *Service) GetYearEnd(ctx context.Context, req *devfundv1.GetYearEndRequest) (*devfundv1.YearEndStatement, error) {
	of, err := s.fundAsked(ctx, req.GetFinancialYear(), req.GetFundCode(), req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	had, err := s.bodiesOf(ctx, req.GetCommissionerCode(), of.year)
	if err != nil {
		return nil, err
	}
	of.scope = append(slices.Clone(had.before), req.GetCommissionerCode())
	out := &devfundv1.YearEndStatement{FinancialYear: yearWords(of.year), CommissionerCode: req.GetCommissionerCode(), FundCode: of.fund}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		inForce, err := s.policy(ctx, q, req.GetCommissionerCode(), of.year)
		if err != nil {
			return err
		}
		out.Policy = devfundv1.UnspentPolicy(devfundv1.UnspentPolicy_value[string(inForce)])
		lines, err := fundLines(ctx, q, &of)
		if err != nil {
			return err
		}
		purses, err := knownPurses(ctx, q, &of)
		if err != nil {
			return err
		}
		if err := fillYearEnd(out, had.last(of.year), lines); err != nil {
			return err
		}
		if out.Accounts, err = accountsAt(req.GetCommissionerCode(), &had, of.year, purses, lines); err != nil {
			return err
		}
		var available money.Pence
		for _, p := range purses {
			if available, err = available.Add(p.available); err != nil {
				return err
			}
		}
		unspent, err := available.Sub(money.Pence(out.GetSpentPence()))
		if err != nil {
			return err
		}
		out.AvailablePence, out.UnspentPence = int64(available), int64(unspent)
		out.Final, err = s.isFinal(ctx, q, &of, out.GetLines())
		return err
	})
}

// knownPurses refuses, by name, where an amount is not known: a statement without it would be wrong.
func knownPurses(ctx context.Context, q sqldb.Querier, of *fundOfYear) (map[string]*purse, error) {
	purses, err := pursesOf(ctx, q, of)
	if err != nil {
		return nil, err
	}
	for _, code := range of.scope {
		if p := purses[code]; p != nil && len(p.unknown) > 0 {
			return nil, usable(ctx, q, &p.unknown[0])
		}
	}
	return purses, nil
}

// fillYearEnd adds the lines and what they come to.
func fillYearEnd(out *devfundv1.YearEndStatement, last period.Month, lines []fundLine) error {
	var sums rules.Sums
	var moved money.Pence
	for i := range lines {
		l := &lines[i]
		end, err := l.end(last)
		if err != nil {
			return err
		}
		if sums, err = sums.Add(&end.Sums); err != nil {
			return err
		}
		of, err := l.moved()
		if err != nil {
			return err
		}
		if moved, err = moved.Add(of); err != nil {
			return err
		}
		line := &devfundv1.YearEndLine{
			PlanId: l.row.PlanID, LineId: l.row.LineID, Description: l.row.Message.GetDescription(), Payee: l.row.Payee,
			CommittedPence: int64(end.Committed), PaidPence: int64(end.Paid), SpentPence: int64(end.Spent), UnspentPence: int64(end.Unspent),
		}
		for _, t := range l.treatments {
			if t.State != devfundv1.TreatmentState_TREATMENT_REJECTED {
				line.TreatmentId = t.ID
			}
		}
		if !end.Reported && l.row.Amount > 0 {
			line.Missing = append(line.Missing, "report of spend to "+last.String())
		}
		out.Lines = append(out.Lines, line)
	}
	out.CommittedPence, out.PaidPence, out.SpentPence, out.TreatedPence = int64(sums.Committed), int64(sums.Paid), int64(sums.Spent), int64(moved)
	return nil
}

// accountsAt makes the accounts of a commissioner and of those that it took over from. What a successor spends on its predecessors' plans
// after their last month is its own.
func accountsAt(commissioner string, had *bodies, year period.FinancialYear, purses map[string]*purse, lines []fundLine) ([]*devfundv1.YearEndAccount, error) {
	first := year.First()
	if len(had.before) > 0 {
		first = firstICBMonth
	}
	own := rules.Account{Body: commissioner, First: first, Last: had.last(year)}
	accounts := make(map[string]*rules.Account, 1+len(had.before))
	accounts[commissioner] = &own
	for _, code := range had.before {
		accounts[code] = &rules.Account{Body: code, First: year.First(), Last: firstICBMonth.Add(-1)}
	}
	paid := make(map[string]money.Pence)
	for code, account := range accounts {
		if p := purses[code]; p != nil {
			account.Received = p.available
		}
	}
	for i := range lines {
		l := &lines[i]
		if err := l.addTo(accounts, &own, year); err != nil {
			return nil, err
		}
		for _, row := range l.scheduled {
			var err error
			if paid[row.Payer], err = paid[row.Payer].Add(row.Amount); err != nil {
				return nil, err
			}
		}
	}
	settled, err := settle(accounts, &own, had)
	if err != nil {
		return nil, err
	}
	out := make([]*devfundv1.YearEndAccount, len(settled))
	for i, a := range settled {
		received, err := a.Received.Add(a.HandedOver)
		if err != nil {
			return nil, err
		}
		out[i] = &devfundv1.YearEndAccount{
			CommissionerCode: a.Body, FromMonth: a.First.String(), ToMonth: a.Last.String(), ReceivedPence: int64(received), PaidPence: int64(paid[a.Body]),
			SpentPence: int64(a.Spent),
		}
		if had.ended || a.Body != commissioner {
			out[i].HandedOverPence = int64(a.Unspent)
		}
	}
	return out, nil
}

// settle hands over what predecessors did not spend. The account of a body that was taken over is settled as that of a predecessor.
func settle(accounts map[string]*rules.Account, own *rules.Account, had *bodies) ([]rules.Account, error) {
	if had.ended {
		out, err := rules.Succeed([]rules.Account{*own}, rules.Account{First: firstICBMonth, Last: own.First.FinancialYear().Last()})
		if err != nil {
			return nil, err
		}
		return out[:1], nil
	}
	before := make([]rules.Account, len(had.before))
	for i, code := range had.before {
		before[i] = *accounts[code]
	}
	return rules.Succeed(before, *own)
}

// addTo adds what was spent of the line to the accounts of its months: that of its plan's commissioner, and what came after that one's last
// month to the successor's.
func (l *fundLine) addTo(accounts map[string]*rules.Account, successor *rules.Account, year period.FinancialYear) error {
	account := accounts[l.row.CommissionerCode]
	if account == nil {
		return fault.Bug("line %s of plan %s is of %s", l.row.LineID, l.row.PlanID, l.row.CommissionerCode)
	}
	within, err := rules.SpentWithin(l.reports, year.First(), account.Last)
	if err != nil {
		return err
	}
	if account.Spent, err = account.Spent.Add(within); err != nil || account == successor {
		return err
	}
	after, err := rules.SpentWithin(l.reports, account.Last.Add(1), year.Last())
	if err != nil {
		return err
	}
	successor.Spent, err = successor.Spent.Add(after)
	return err
}

// isFinal tells whether nothing of the year can change any more: it is over, every line is reported for March and every plan is closed.
func (s *Service) isFinal(ctx context.Context, q sqldb.Querier, of *fundOfYear, lines []*devfundv1.YearEndLine) (bool, error) {
	plans, err := store.ApprovedPlans(ctx, q, of.plans())
	if err != nil {
		return false, err
	}
	return period.DateOf(s.db.Now()).After(of.year.Last().Last()) &&
		!slices.ContainsFunc(plans, func(h store.PlanHead) bool { return h.State != devfundv1.PlanState_CLOSED }) &&
		!slices.ContainsFunc(lines, func(l *devfundv1.YearEndLine) bool { return len(l.GetMissing()) > 0 }), nil
}
