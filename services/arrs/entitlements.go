package arrs

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// potSum is what can be used of a pot. A sum can be lowered after some of it was given up: then there is nothing to use, not a refusal.
func potSum(e rules.Entitlement, held store.PotRow) (rules.PotSum, error) {
	lacking := max(held.GivenUp-e.Amount, 0)
	return rules.Usable(e, held.GivenUp-lacking, max(held.Awarded-lacking, 0))
}

// entitlementsOf returns what some PCNs can use of their pots in a year: the sum less what was given up and with what was awarded. A pot
// whose sum is not known is absent.
func entitlementsOf(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]*typev1.Entitlement, error) {
	if len(pcns) == 0 {
		return nil, nil
	}
	fixed, err := store.Years(ctx, q, store.Page{Scope: store.Scope{Commissioners: []string{}, PCNs: pcns}}, year)
	if err != nil {
		return nil, err
	}
	sums, err := store.Entitlements(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	moved, err := store.Pots(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	networks, held := make(map[string]*store.YearRow), make(map[pot]store.PotRow)
	for i := range fixed {
		networks[fixed[i].PCNCode] = &fixed[i]
	}
	for _, row := range moved {
		held[pot{row.PCNCode, year, row.Pot}] = row
	}
	var out []*typev1.Entitlement
	for i := range sums {
		sum := &sums[i]
		if sum.Refused != nil {
			continue
		}
		left, err := potSum(sum.Entitlement, held[pot{sum.PCNCode, year, sum.Pot}])
		if err != nil {
			return nil, err
		}
		network := networks[sum.PCNCode]
		out = append(out, &typev1.Entitlement{
			PcnCode: sum.PCNCode, PcnName: network.PCNName, PaymentCode: potCode(sum.Pot), FundingSource: fundingSource, LocationCode: network.LocationCode,
			FromMonth: sum.From.String(), ToMonth: sum.To.String(), Instalments: 1, AmountPence: int64(left.Usable),
			Confidence: working.ConfidenceToProto(sum.Confidence),
		})
	}
	return out, nil
}

// stateAnew states what the PCNs of a commissioner can use in a year after some of it moved.
func stateAnew(ctx context.Context, tx *change.Tx, led *store.YearRow, pcns []string) error {
	slices.Sort(pcns)
	entitlements, err := entitlementsOf(ctx, tx, led.Year, slices.Compact(pcns))
	if err != nil {
		return err
	}
	_, err = state(ctx, tx, &arrsv1.EntitlementsStated{
		CommissionerCode: led.CommissionerCode, CommissionerName: led.CommissionerName,
		Month: membershipDay(led.Year, period.DateOf(tx.Now())).Month().String(),
	}, entitlements)
	return err
}

// state announces what pots come to, in events that stay within the bound, and returns their identifiers.
func state(ctx context.Context, tx *change.Tx, head *arrsv1.EntitlementsStated, entitlements []*typev1.Entitlement) ([]string, error) {
	parts := schedule.Split(entitlements, schedule.MaxEventBytes)
	events := make([]*arrsv1.EntitlementsStated, len(parts))
	for i, part := range parts {
		events[i] = proto.CloneOf(head)
		events[i].Entitlements = part
	}
	return announce(ctx, tx, "entitlements", head.GetCommissionerCode(), events)
}
