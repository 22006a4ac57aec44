package devfund

import (
	"context"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// CompareSharing shares an allocation by several methods side by side, and writes nothing. A method that is refused does not hinder the
// others.
func (s *Service) CompareSharing(ctx context.Context, req *devfundv1.CompareSharingRequest) (*devfundv1.CompareSharingResponse, error) {
	var row store.AllocationRow
	var held []store.AllocationRow
	var versions []store.VersionRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if row, err = s.allocationOf(ctx, q, req.GetAllocationId()); err != nil {
			return err
		}
		held, versions, err = children(ctx, q, &row)
		return err
	})
	if err != nil {
		return nil, err
	}
	amount := rules.Amount{Pence: money.Pence(req.GetPoolPence()), Origin: requested("pool of the comparison")}
	if req.PoolPence == nil { //nolint:protogetter // absent is not nothing
		if amount, err = amountOf(&row, versions, poolLeft(&row, held)); err != nil {
			return nil, err
		}
	}
	parties, err := receivingOf(&row, req)
	if err != nil {
		return nil, err
	}
	if err := s.inForce(ctx, &row, parties); err != nil {
		return nil, err
	}
	for _, m := range req.GetMethods() {
		counted, err := countedOn(m, row.Year)
		if err != nil {
			return nil, err
		}
		if err := s.fetch(ctx, parties, counted, nil); err != nil {
			return nil, err
		}
	}
	out := new(devfundv1.CompareSharingResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		for _, m := range req.GetMethods() {
			pool, err := s.poolOf(ctx, q, &row, amount, m)
			outcome, refused, err := alternative(&row, amount.Pence, pool, err, m, parties)
			switch {
			case err != nil:
				return err
			case refused != nil && (refused.Reason == reasonReceiverUnknown || refused.Reason == reasonDecimalMalformed):
				return refused // of no method
			}
			withoutWorking(outcome)
			out.Alternatives = append(out.Alternatives, outcome)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Receivers, err = differences(out.GetAlternatives())
	return out, err
}

// alternative is what a method makes of a pool, or why it makes nothing of it; unpooled says why there is no pool.
func alternative(
	row *store.AllocationRow, sum money.Pence, pool *rules.Pool, unpooled error, m *devfundv1.SharingMethod, parties *receiving,
) (*devfundv1.SharingOutcome, *fault.Fault, error) {
	var shared *rules.Shared
	var of *among
	err := unpooled
	if err == nil {
		shared, of, err = shareOut(row, pool, m, parties)
	}
	if refused, is := fault.As(err); is {
		return &devfundv1.SharingOutcome{Method: m, MethodWords: methodWords(m, new(rules.Shared)), PoolPence: int64(sum), Refusal: refusalOf(refused)}, refused, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return outcomeToProto(m, shared, of), nil, nil
}

// differences sets every receiver's shares side by side, by code; each is held against the first. Nothing moves by a method that is refused,
// nor against one.
func differences(alternatives []*devfundv1.SharingOutcome) ([]*devfundv1.ShareDifference, error) {
	names := make(map[string]string)
	shares := make([]map[string]*devfundv1.Share, len(alternatives))
	var codes []string
	for i, alternative := range alternatives {
		shares[i] = make(map[string]*devfundv1.Share, len(alternative.GetShares()))
		for _, share := range alternative.GetShares() {
			if _, found := names[share.GetCode()]; !found {
				codes, names[share.GetCode()] = append(codes, share.GetCode()), share.GetName()
			}
			shares[i][share.GetCode()] = share
		}
	}
	slices.Sort(codes)
	out := make([]*devfundv1.ShareDifference, len(codes))
	for i, code := range codes {
		out[i] = &devfundv1.ShareDifference{Code: code, Name: names[code]}
		for j := range alternatives {
			share := shares[j][code]
			var moved money.Pence
			if alternatives[0].GetRefusal() == nil && alternatives[j].GetRefusal() == nil {
				var err error
				if moved, err = money.Pence(share.GetAmountPence()).Sub(money.Pence(shares[0][code].GetAmountPence())); err != nil {
					return nil, err
				}
			}
			each, err := perPatient(share)
			if err != nil {
				return nil, err
			}
			out[i].AmountsPence = append(out[i].GetAmountsPence(), share.GetAmountPence())
			out[i].MovedPence = append(out[i].GetMovedPence(), int64(moved))
			out[i].PerHead = append(out[i].GetPerHead(), each)
		}
	}
	return out, nil
}

// perPatient is a share for each patient that it rests on, in pounds, half up to the penny; empty where it rests on none.
func perPatient(share *devfundv1.Share) (string, error) {
	if share.GetPopulation() == "" {
		return "", nil
	}
	patients, err := money.ParseExact(share.GetPopulation())
	if err != nil || patients.Sign() == 0 {
		return "", err
	}
	each, err := money.RoundHalfUp(new(big.Rat).Quo(money.Pence(share.GetAmountPence()).GBP(), patients))
	return each.Plain(), err
}
