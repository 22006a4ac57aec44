package arrs

import (
	"context"
	"database/sql"
	"errors"
	"math/big"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/workforce"
)

// ComparePlan sets a PCN's plan of a year beside its money, its claims and the published workforce.
func (s *Service) ComparePlan(ctx context.Context, req *arrsv1.ComparePlanRequest) (*arrsv1.PlanComparison, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	out := &arrsv1.PlanComparison{FinancialYear: year.String()}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		y, err := fixedYear(ctx, q, req.GetPcnCode(), year)
		if err != nil {
			return err
		}
		if err := s.compare(ctx, q, year, []store.YearRow{y}, out); err != nil {
			return err
		}
		out.PcnCode, out.CommissionerCode, out.PlanId, out.Pcns = y.PCNCode, y.CommissionerCode, out.GetPcns()[0].GetPlanId(), nil
		return nil
	})
}

// ComparePlans sets the plans of a commissioner's PCNs beside their money, their claims and the published workforce.
func (s *Service) ComparePlans(ctx context.Context, req *arrsv1.ComparePlansRequest) (*arrsv1.PlanComparison, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	out := &arrsv1.PlanComparison{CommissionerCode: req.GetCommissionerCode(), FinancialYear: year.String()}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		years, err := store.Years(ctx, q, store.Page{Scope: store.Scope{Commissioners: []string{req.GetCommissionerCode()}}}, year)
		if err != nil {
			return err
		}
		if len(years) == 0 {
			return fault.New(fault.Refused, reasonYearNotFixed, "%s has fixed no year %s", req.GetCommissionerCode(), year)
		}
		return s.compare(ctx, q, year, years, out)
	})
}

// comparing adds up the comparisons of PCNs.
type comparing struct {
	out       *arrsv1.PlanComparison
	pots      map[rules.Pot]*arrsv1.ComparedPot
	roles     map[string]*rules.PlanOfRole
	published map[string]*big.Rat
}

func (s *Service) compare(ctx context.Context, q sqldb.Querier, year period.FinancialYear, years []store.YearRow, out *arrsv1.PlanComparison) error {
	pcns := make([]string, len(years))
	for i := range years {
		pcns[i] = years[i].PCNCode
	}
	d, err := s.loadYearData(ctx, q, year, pcns)
	if err != nil {
		return err
	}
	claims := make(map[string][]rules.Assessed)
	counted := make(map[[2]string]bool)
	err = store.Claimed(ctx, q, year, pcns, func(row store.ClaimedRow) error {
		line := assessedLine(d.scheme, &row)
		// A month that was claimed in parts is one month's work, and an uplift none.
		month := [2]string{row.EngagementID, row.Month.String()}
		if row.Uplift || counted[month] {
			line.AdmittedWTEDays = nil
		} else if line.AdmittedWTEDays.Sign() > 0 {
			counted[month] = true
		}
		claims[row.PCNCode] = append(claims[row.PCNCode], line)
		return nil
	})
	if err != nil {
		return err
	}
	c := comparing{out: out, pots: make(map[rules.Pot]*arrsv1.ComparedPot), roles: make(map[string]*rules.PlanOfRole), published: make(map[string]*big.Rat)}
	for i := range years {
		if err := c.pcn(d, &years[i], claims[years[i].PCNCode]); err != nil {
			return err
		}
	}
	if err := c.workforce(ctx, q, year, pcns); err != nil {
		return err
	}
	c.write(maySeeClaims(ctx))
	return nil
}

// maySeeClaims tells whether a caller may see what is claimed for a role, which can be one person's pay: those who may read claims.
func maySeeClaims(ctx context.Context) bool {
	by := caller(ctx)
	return ofFinance(by) || by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_CLINICAL_DIRECTOR)
}

func (c *comparing) pcn(d *yearData, y *store.YearRow, claims []rules.Assessed) error {
	of, err := d.context(y)
	if err != nil {
		return err
	}
	compared, err := rules.ComparePlan(of, d.lines[y.PCNCode], claims)
	if err != nil {
		return err
	}
	row := &arrsv1.ComparedPcn{PcnCode: y.PCNCode, PlanId: d.plans[y.PCNCode].ID}
	if row.GetPlanId() == "" {
		c.out.MissingPcnCodes = append(c.out.MissingPcnCodes, y.PCNCode)
	}
	for i := range compared.Pots {
		pot := &compared.Pots[i]
		held := d.pots[potKey{y.PCNCode, pot.Pot}]
		one := &arrsv1.ComparedPot{
			Pot: potToProto(pot.Pot), UsablePence: int64(pot.Usable), PlannedPence: int64(pot.Planned), GapPence: int64(pot.Gap),
			ClaimedPence: int64(held.Submitted + held.Approved), Refusal: missingToProto(pot.Refused),
		}
		row.Pots = append(row.Pots, one)
		if err := c.addPot(pot.Pot, one, y.PCNCode); err != nil {
			return err
		}
	}
	c.out.Pcns = append(c.out.Pcns, row)
	for i := range compared.Roles {
		if err := c.addRole(&compared.Roles[i]); err != nil {
			return err
		}
	}
	return nil
}

// addPot adds a PCN's pot; a PCN whose sum is not known adds what it plans and claims only.
func (c *comparing) addPot(pot rules.Pot, one *arrsv1.ComparedPot, pcn string) error {
	sum := c.pots[pot]
	if sum == nil {
		sum = &arrsv1.ComparedPot{Pot: one.GetPot()}
		c.pots[pot] = sum
	}
	if one.GetRefusal() != nil {
		if sum.GetRefusal() == nil {
			sum.Refusal = proto.CloneOf(one.GetRefusal())
		}
		sum.Refusal.PcnCodes = append(sum.Refusal.PcnCodes, pcn)
	}
	for _, pair := range []struct {
		into *int64
		more int64
	}{
		{&sum.UsablePence, one.GetUsablePence()},
		{&sum.PlannedPence, one.GetPlannedPence()},
		{&sum.GapPence, one.GetGapPence()},
		{&sum.ClaimedPence, one.GetClaimedPence()},
	} {
		added, err := money.Pence(*pair.into).Add(money.Pence(pair.more))
		if err != nil {
			return err
		}
		*pair.into = int64(added)
	}
	return nil
}

func (c *comparing) addRole(more *rules.PlanOfRole) (err error) {
	sum := c.roles[more.Role]
	if sum == nil {
		c.roles[more.Role] = more
		return nil
	}
	for m := range sum.Planned {
		sum.Planned[m].Add(sum.Planned[m], more.Planned[m])
		sum.Claimed[m].Add(sum.Claimed[m], more.Claimed[m])
	}
	if sum.PlannedCost, err = sum.PlannedCost.Add(more.PlannedCost); err != nil {
		return err
	}
	sum.Paid, err = sum.Paid.Add(more.Paid)
	return err
}

// workforce adds the published WTE of the newest month of the year.
func (c *comparing) workforce(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) error {
	held, err := store.NewestWorkforce(ctx, q, year.First(), year.Last())
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	rows, err := store.Workforce(ctx, q, held.ID, store.WorkforceFilter{PCNs: pcns})
	if err != nil {
		return err
	}
	c.out.PublishedMonth, c.out.NotPublished = held.Month.String(), len(rows) == 0
	for i := range rows {
		code, _, err := workforce.RoleOf(rows[i].Name)
		if err != nil {
			return err
		}
		if code == "" {
			continue
		}
		if c.published[code] == nil {
			c.published[code] = new(big.Rat)
		}
		c.published[code].Add(c.published[code], rows[i].WTE)
	}
	return nil
}

func (c *comparing) write(withPay bool) {
	for _, pot := range c.pots {
		c.out.Pots = append(c.out.Pots, pot)
	}
	slices.SortFunc(c.out.Pots, func(a, b *arrsv1.ComparedPot) int { return int(a.GetPot() - b.GetPot()) })
	for code := range c.published {
		if c.roles[code] == nil {
			c.roles[code] = &rules.PlanOfRole{Role: code}
			for m := range c.roles[code].Planned {
				c.roles[code].Planned[m], c.roles[code].Claimed[m] = new(big.Rat), new(big.Rat)
			}
		}
	}
	for code, role := range c.roles {
		row := &arrsv1.ComparedRole{
			RoleCode: code, PlannedWte: wteTexts(role.Planned[:]), ClaimedWte: wteTexts(role.Claimed[:]), PlannedPence: int64(role.PlannedCost),
		}
		if withPay {
			row.ClaimedPence = proto.Int64(int64(role.Paid))
		}
		if published := c.published[code]; published != nil {
			row.PublishedWte = money.Format(published)
		}
		c.out.Roles = append(c.out.Roles, row)
	}
	slices.SortFunc(c.out.Roles, func(a, b *arrsv1.ComparedRole) int { return strings.Compare(a.GetRoleCode(), b.GetRoleCode()) })
}
