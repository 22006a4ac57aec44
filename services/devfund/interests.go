package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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

// RecordInterest records a person's interest in a PCN, once: one that is recorded already and lasts is returned as it stands. From its first day to its last the person approves no plan that pays the PCN.
func (s *Service) RecordInterest(ctx context.Context, req *devfundv1.RecordInterestRequest) (*devfundv1.Interest, error) {
	from, err := s.pastDay("from_date", req.GetFromDate())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*devfundv1.Interest](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	if err := s.knownPCN(ctx, req.GetPcnCode()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Interest, error) {
		if err := tx.Lock(ctx, commissionerLock(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		held, err := store.InterestsOf(ctx, tx, req.GetPerson(), period.DateOf(tx.Now()))
		if err != nil {
			return nil, err
		}
		for i := range held {
			if h := &held[i]; h.CommissionerCode == req.GetCommissionerCode() && h.PCNCode == req.GetPcnCode() && h.Nature == req.GetNature() && h.From == from && h.To.IsZero() {
				return interestToProto(h), nil
			}
		}
		row := store.InterestRow{
			ID: tx.NewID(), CommissionerCode: req.GetCommissionerCode(), Person: req.GetPerson(), PCNCode: req.GetPcnCode(), Nature: req.GetNature(), From: from,
			RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
		}
		if err := store.InsertInterest(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return interestToProto(&row), tx.Record(ctx, "devfund/interests/"+row.ID, row.CommissionerCode, fmt.Sprintf("recorded an interest in %s from %s", row.PCNCode, from))
	})
}

// EndInterest says when an interest ended. Whose interest it is does not say so: that is for another person.
func (s *Service) EndInterest(ctx context.Context, req *devfundv1.EndInterestRequest) (*devfundv1.Interest, error) {
	to, err := s.pastDay("to_date", req.GetToDate())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Interest, error) {
		if err := tx.Lock(ctx, commissionerLock(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		row, err := store.Interest(ctx, tx, req.GetInterestId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != req.GetCommissionerCode()) {
			return nil, fault.New(fault.NotFound, reasonInterestNotFound, "there is no interest %q that you may see", money.Clip(req.GetInterestId()))
		}
		switch {
		case err != nil:
			return nil, err
		case tx.By.Subject == row.Person:
			return nil, fault.New(fault.Denied, rules.ReasonConflictOfInterest, "nobody ends an interest of their own: ask another person").With("pcn_code", row.PCNCode)
		case to.Before(row.From):
			return nil, fault.New(fault.Invalid, reasonDateMalformed, "the interest began on %s, after %s", row.From, to).
				At("to_date", "not before "+row.From.String()).With("from_date", row.From)
		}
		row.To = to
		if changed, err := store.EndInterest(ctx, tx.Tx, row.ID, to); err != nil || !changed {
			return nil, staleOr(err)
		}
		return interestToProto(&row), tx.Record(ctx, "devfund/interests/"+row.ID, row.CommissionerCode, fmt.Sprintf("ended an interest in %s on %s", row.PCNCode, to))
	})
}

// ListInterests returns interests, newest first.
func (s *Service) ListInterests(ctx context.Context, req *devfundv1.ListInterestsRequest) (*devfundv1.ListInterestsResponse, error) {
	by, size, err := planPage(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	var on period.Date
	if req.GetInForceOnly() {
		on = period.DateOf(s.db.Now())
	}
	var rows []store.InterestRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Interests(ctx, q, by, on)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListInterestsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.InterestRow) string { return r.ID })
	for i := range rows {
		out.Interests = append(out.Interests, interestToProto(&rows[i]))
	}
	return out, nil
}

func interestToProto(r *store.InterestRow) *devfundv1.Interest {
	return &devfundv1.Interest{
		InterestId: r.ID, CommissionerCode: r.CommissionerCode, Person: r.Person, PcnCode: r.PCNCode, Nature: r.Nature, FromDate: r.From.String(),
		ToDate: r.To.String(), RecordedBy: r.RecordedBy, RecordedAt: timestamp(r.RecordedAt),
	}
}
