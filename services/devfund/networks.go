package devfund

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// network is a PCN in a commissioner's picture.
type network struct {
	code, name string
	// commissioner leads it, or has taken over from the body that led it.
	commissioner string
	// snapshot is the register's picture.
	snapshot string
	// lists are its patients; those that are not known are left out.
	lists map[rules.List]*big.Rat
}

// kinds are the populations of the register by the lists of the fund.
var kinds = map[rules.List]typev1.PopulationKind{
	rules.RegisteredList: typev1.PopulationKind_POPULATION_KIND_REGISTERED,
	rules.WeightedList:   typev1.PopulationKind_POPULATION_KIND_WEIGHTED,
	rules.AdjustedList:   typev1.PopulationKind_POPULATION_KIND_ADJUSTED,
}

// firstDayOfPCNs is when the first PCNs came to be, a quarter into the first year of the fund.
var firstDayOfPCNs = period.NewDate(2019, time.July, 1)

// membersOn is the day of the memberships of a year where none is named: 1 April, or the first on which there were PCNs.
func membersOn(year period.FinancialYear) period.Date { return notBeforePCNs(year.First().First()) }

func notBeforePCNs(day period.Date) period.Date {
	if day.Before(firstDayOfPCNs) {
		return firstDayOfPCNs
	}
	return day
}

// pcnsOf returns the PCNs that a commissioner leads on a day, or has taken over, by code, from the register's snapshot. A day before there
// were PCNs is the first on which there were.
func (s *Service) pcnsOf(ctx context.Context, commissioner string, day period.Date) ([]network, error) {
	day = notBeforePCNs(day)
	_, out, err := s.networks(ctx, &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: day.String()})
	return out, err
}

// networks returns the PCNs that are a commissioner's in a picture of the register, by code, and the picture's identifier.
func (s *Service) networks(ctx context.Context, req *registerv1.GetSnapshotRequest) (id string, out []network, err error) {
	snapshot, err := s.register.GetSnapshot(ctx, req)
	if err != nil {
		return "", nil, err
	}
	for _, pcn := range snapshot.GetPcns() {
		open, err := openOn(pcn, snapshot.GetMembershipDate())
		if err != nil {
			return "", nil, fmt.Errorf("read snapshot %s: %w", snapshot.GetSnapshotId(), err)
		}
		if !pcn.GetOwed() || !open {
			continue
		}
		lists := make(map[rules.List]*big.Rat, len(kinds))
		for list, kind := range kinds {
			switch total, err := patients(pcn, kind); {
			case err != nil:
				return "", nil, fmt.Errorf("read snapshot %s: %s: %w", snapshot.GetSnapshotId(), pcn.GetPcnCode(), err)
			case total != nil:
				lists[list] = total
			}
		}
		out = append(out, network{
			code: pcn.GetPcnCode(), name: pcn.GetName(), commissioner: req.GetCommissionerCode(), snapshot: snapshot.GetSnapshotId(), lists: lists,
		})
	}
	slices.SortFunc(out, func(a, b network) int { return cmp.Compare(a.code, b.code) })
	return snapshot.GetSnapshotId(), out, nil
}

// openOn tells whether a PCN was open on a day; days that are not known bound nothing.
func openOn(pcn *registerv1.SnapshotPcn, day string) (bool, error) {
	for _, text := range []string{day, pcn.GetOpened(), pcn.GetClosed()} {
		if _, err := optionalDate("snapshot", text); err != nil {
			return false, err
		}
	}
	return pcn.GetOpened() <= day && (pcn.GetClosed() == "" || pcn.GetClosed() >= day), nil // ISO days stand in their order as texts
}

// patients adds up those of the practices that take part, or takes the figure supplied for the PCN where they have none. It is nil where one
// of them lacks its figure.
func patients(pcn *registerv1.SnapshotPcn, kind typev1.PopulationKind) (*big.Rat, error) {
	var total *big.Rat
	add := func(populations []*registerv1.SnapshotPopulation) (bool, error) {
		i := slices.IndexFunc(populations, func(p *registerv1.SnapshotPopulation) bool { return p.GetKind() == kind })
		if i < 0 {
			return false, nil
		}
		value, err := money.ParseExact(populations[i].GetValue())
		if err != nil {
			return false, err
		}
		if total == nil {
			total = new(big.Rat)
		}
		total.Add(total, value)
		return true, nil
	}
	missing := false
	for _, practice := range pcn.GetPractices() {
		if !practice.GetParticipating() {
			continue
		}
		stated, err := add(practice.GetPopulations())
		if err != nil {
			return nil, err
		}
		missing = missing || !stated
	}
	if total == nil {
		_, err := add(pcn.GetPopulations())
		return total, err
	}
	if missing {
		return nil, nil //nolint:nilnil // not known
	}
	return total, nil
}
