package activity

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// lookups is how many practices are looked up in the register at a time.
const lookups = 8

// picture is whom a commissioner had on a day, as the register has it.
type picture struct {
	snapshotID, commissionerName string
	knownAt                      int64 // microseconds
	day, listDate                period.Date
	members                      *rules.Members
}

// picture fetches the members and lists of a day.
func (s *Service) picture(ctx context.Context, commissioner string, day, listDate period.Date) (*picture, error) {
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: day.String(), PopulationReferenceDate: listDate.String(),
	})
	if err != nil {
		return nil, err
	}
	out := &picture{
		snapshotID: snapshot.GetSnapshotId(), commissionerName: snapshot.GetCommissionerName(), knownAt: snapshot.GetKnownAt().AsTime().UnixMicro(), day: day, listDate: listDate,
		members: &rules.Members{Practices: make(map[string]rules.Member), Networks: make(map[string]rules.Network)},
	}
	for _, pcn := range snapshot.GetPcns() {
		if closed := pcn.GetClosed(); closed != "" && closed < day.String() || pcn.GetOpened() > day.String() {
			continue
		}
		network := rules.Network{Code: pcn.GetPcnCode(), Name: pcn.GetName(), LedElsewhere: !pcn.GetOwed()}
		if network.List, err = out.practices(pcn); err != nil {
			return nil, err
		}
		out.members.Networks[network.Code] = network
	}
	return out, nil
}

// reportable refuses months of which the register lets no report be built, because the commissioner paid nothing then or nobody knows who
// did. It asks the register, so it is not for transactions.
func (s *Service) reportable(ctx context.Context, sums []feed.Sum) error {
	paying := make(map[period.Month]map[string]bool)
	var not []fault.Violation
	for i := range sums {
		sum := &sums[i]
		if paying[sum.Month] == nil {
			codes, err := s.payers(ctx, sum.Month)
			if err != nil && refusalOf(err) == nil {
				return err
			}
			paying[sum.Month] = codes
		}
		if paying[sum.Month][sum.Commissioner] {
			continue
		}
		// Who leads no PCN may pay for practices in none, and whatever took a body over for what it owed.
		_, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{CommissionerCode: sum.Commissioner, MembershipDate: sum.Month.First().String()})
		if err == nil {
			continue
		}
		refusal := refusalOf(err)
		if refusal == nil {
			return err
		}
		not = append(not, fault.Violation{
			Field: lineField(sum.Line, "arrival_month"), Reason: refusal.Reason,
			Description: fmt.Sprintf("%s in %s (rows: %d): %s", sum.Commissioner, sum.Month, sum.Rows, refusal.Message),
		})
	}
	if len(not) == 0 {
		return nil
	}
	out := fault.New(fault.Refused, reasonNotReportable, "no report can be built of all that the file holds, so nothing was stored: %s", not[0].Description).
		With("months", len(not))
	if len(not) > 1 {
		out.Message += fmt.Sprintf("; and so with %d more", len(not)-1)
	}
	out.Violations = not[:min(len(not), maxViolations)]
	return out
}

// payers returns who leads PCNs on the first of a month; an empty set with the register's refusal where it cannot tell.
func (s *Service) payers(ctx context.Context, month period.Month) (map[string]bool, error) {
	out := make(map[string]bool)
	req := &registerv1.ListCommissionersRequest{OnDate: month.First().String()}
	for {
		found, err := s.register.ListCommissioners(ctx, req)
		if err != nil {
			return out, err
		}
		for _, body := range found.GetCommissioners() {
			out[body.GetCommissionerCode()] = true
		}
		if req.PageToken = found.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// refusalOf returns what the register refused for what it was asked; nil for none and for any other error, such as that of a register that is away.
func refusalOf(err error) *fault.Fault {
	if err == nil {
		return nil
	}
	f := rpc.FaultFromStatus(status.Convert(err))
	if f != nil && (f.Kind == fault.Refused || f.Kind == fault.NotFound || f.Kind == fault.Invalid) {
		return f
	}
	return nil
}

// practices notes the practices of a PCN, and returns its list: that of its practices where each has one, else the one supplied for it as a
// whole.
func (p *picture) practices(pcn *registerv1.SnapshotPcn) (list *int64, err error) {
	sum, known := int64(0), true
	for _, practice := range pcn.GetPractices() {
		n, err := registered(practice.GetPopulations())
		if err != nil {
			return nil, fmt.Errorf("list of %s: %w", practice.GetPracticeCode(), err)
		}
		if n == nil {
			known = false
		} else {
			sum += *n
		}
		p.members.Practices[practice.GetPracticeCode()] = rules.Member{PCN: pcn.GetPcnCode(), List: n}
	}
	if known && len(pcn.GetPractices()) > 0 {
		return &sum, nil
	}
	return registered(pcn.GetPopulations())
}

// registered returns the registered patients among populations; nil where there are none.
func registered(populations []*registerv1.SnapshotPopulation) (*int64, error) {
	for _, population := range populations {
		if population.GetKind() == typev1.PopulationKind_POPULATION_KIND_REGISTERED {
			n, err := money.ParseWhole(population.GetValue())
			return &n, err
		}
	}
	return nil, nil //nolint:nilnil // none is a value
}

// others looks up the practices of a cut that the picture does not show: those in no PCN, and those of PCNs elsewhere.
func (s *Service) others(ctx context.Context, p *picture, practices []string) error {
	var unknown []string
	for _, code := range practices {
		if _, known := p.members.Practices[code]; !known {
			unknown = append(unknown, code)
		}
	}
	found := make([]*registerv1.Relationship, len(unknown))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for i, code := range unknown {
		group.Go(func() (err error) {
			found[i], err = s.networkOf(ctx, code, p.day)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, code := range unknown {
		if r := found[i]; r != nil {
			p.members.Practices[code] = rules.Member{PCN: r.GetOtherCode()}
			if _, known := p.members.Networks[r.GetOtherCode()]; !known {
				p.members.Networks[r.GetOtherCode()] = rules.Network{Code: r.GetOtherCode(), Name: r.GetOtherName(), LedElsewhere: true}
			}
		}
	}
	return nil
}

// networkOf returns the PCN of a practice on a day, by the register's relationships, the one that began last; nil where it is in none, or
// the register does not know it.
func (s *Service) networkOf(ctx context.Context, practice string, day period.Date) (*registerv1.Relationship, error) {
	organisation, err := s.register.GetOrganisation(ctx, &registerv1.GetOrganisationRequest{OrganisationCode: practice})
	if status.Code(err) == codes.NotFound {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("look %s up in the register: %w", practice, err)
	}
	on := day.String()
	in := slices.DeleteFunc(slices.Clone(organisation.GetRelationships()), func(r *registerv1.Relationship) bool {
		return r.GetKind() != registerv1.RelationshipKind_MEMBER_OF_PCN || r.GetEffectiveFrom() > on || (r.GetEffectiveTo() != "" && r.GetEffectiveTo() < on)
	})
	if len(in) == 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return slices.MaxFunc(in, func(a, b *registerv1.Relationship) int {
		if a.GetEffectiveFrom() != b.GetEffectiveFrom() {
			if a.GetEffectiveFrom() < b.GetEffectiveFrom() {
				return -1
			}
			return 1
		}
		return 0
	}), nil
}

// predecessors returns the bodies that owed in a month what a commissioner has taken over since, without itself; none where the register
// knows nothing of the month.
func (s *Service) predecessors(ctx context.Context, commissioner string, month period.Month) ([]string, error) {
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: month.First().String()})
	if refusalOf(err) != nil {
		return nil, nil //nolint:nilerr // that nothing is known, or of a month before there were PCNs, is an answer
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(snapshot.GetDebtorCodes()), func(code string) bool { return code == commissioner }), nil
}
