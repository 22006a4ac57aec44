package devfund

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// coveredBy returns the PCNs that a plan covers, by code: those that it names, or every PCN that its commissioner leads on 1 April of the
// year, or on the day on which the version is drafted where that lies within the year.
func (s *Service) coveredBy(ctx context.Context, commissioner string, year period.FinancialYear, header *devfundv1.PlanHeader) ([]string, error) {
	own, day, err := s.ledIn(ctx, commissioner, year)
	if err != nil {
		return nil, err
	}
	asked := slices.Clone(header.GetPcnCodes())
	if header.GetPcnCode() != "" {
		asked = append(asked, header.GetPcnCode())
	}
	slices.Sort(asked)
	asked = slices.Compact(asked)
	if len(asked) == 0 {
		if len(own) == 0 {
			return nil, fault.New(fault.Refused, reasonCommissionerNotInForce, "%s leads no PCN on %s: name the PCNs that the plan covers", commissioner, day).
				With("commissioner", commissioner).With("on", day)
		}
		return own, nil
	}
	for _, pcn := range asked {
		if _, led := slices.BinarySearch(own, pcn); led {
			continue
		}
		if err := s.ofSystem(ctx, pcn, header.GetSystemCode(), commissioner, day); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// ledIn returns the PCNs that a commissioner leads in a year, by code, and the day on which it does: today, or 1 April for a body that has
// ended within the year. Of a year that is over or to come it is 1 April, and 31 March for a body that was not there on 1 April.
func (s *Service) ledIn(ctx context.Context, commissioner string, year period.FinancialYear) ([]string, period.Date, error) {
	days := []period.Date{year.First().First(), year.Last().Last()}
	if today := period.DateOf(s.db.Now()); !today.Before(days[0]) && !today.After(days[1]) {
		days = []period.Date{today, days[0]}
	}
	var err error
	for _, day := range days {
		var networks []network
		if networks, err = s.pcnsOf(ctx, commissioner, day); err == nil {
			codes := make([]string, len(networks))
			for i := range networks {
				codes[i] = networks[i].code
			}
			return codes, day, nil
		}
		if f := rpc.FaultFromStatus(status.Convert(err)); f == nil || f.Reason != reasonCommissionerNotInForce {
			break
		}
	}
	return nil, period.Date{}, err
}

// ofSystem refuses a PCN that another body leads, unless it belongs to the system that the plan is of.
func (s *Service) ofSystem(ctx context.Context, pcn, system, commissioner string, day period.Date) error {
	found, err := s.pcnOn(ctx, pcn, day)
	if err != nil {
		return err
	}
	if found != nil && found.GetSystemCode() != "" && slices.Contains([]string{system, commissioner}, found.GetSystemCode()) {
		return nil
	}
	return fault.New(fault.Refused, rules.ReasonNotOfPCN, "%s is led neither by %s nor within the system of the plan on %s: name its system, or leave it out", money.Clip(pcn), commissioner, day).
		With("pcn_code", money.Clip(pcn)).With("commissioner_code", commissioner).With("system_code", system).At("header.pcn_codes", "PCNs of the commissioner or the system")
}

// pcnOn returns a PCN as the register has it on a day, or nil where there is none that the caller may see.
func (s *Service) pcnOn(ctx context.Context, code string, day period.Date) (*registerv1.SnapshotPcn, error) {
	snapshot, err := s.register.GetPcnSnapshot(ctx, &registerv1.GetPcnSnapshotRequest{PcnCode: code, MembershipDate: day.String()})
	if status.Code(err) == codes.NotFound {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	for _, pcn := range snapshot.GetPcns() {
		if pcn.GetPcnCode() == code {
			return pcn, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// knownPCN refuses a code that is no PCN's: an interest under a code that nobody has would never be met.
func (s *Service) knownPCN(ctx context.Context, code string) error {
	organisation, err := s.register.GetOrganisation(ctx, &registerv1.GetOrganisationRequest{OrganisationCode: code})
	if status.Code(err) == codes.NotFound || (err == nil && organisation.GetKind() != registerv1.OrganisationKind_PCN) {
		return noPCN(code)
	}
	return err
}

// leadOf returns the commissioner that led a PCN on a day, or England where none is recorded, for who may speak of the PCN: the PCN itself,
// and a preparer of that commissioner.
func (s *Service) leadOf(ctx context.Context, pcn string, day period.Date) (string, error) {
	by := caller(ctx)
	found, err := s.pcnOn(ctx, pcn, day)
	if err != nil {
		return "", fmt.Errorf("find who leads %s: %w", money.Clip(pcn), err)
	}
	if found == nil || (!speaksFor(by, pcn) && !prepares(by, found.GetPayerCode())) {
		return "", noPCN(pcn)
	}
	return orEngland(found.GetPayerCode()), nil
}
