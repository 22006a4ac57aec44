package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// ReissuePayment puts the lines of a rejected payment into a new run.
func (s *Service) ReissuePayment(ctx context.Context, req *paymentsv1.ReissuePaymentRequest) (*paymentsv1.ReissuePaymentResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.ReissuePaymentResponse, error) {
		p, err := visiblePayment(ctx, tx, req.GetPaymentId())
		if err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, lockKey(p.CommissionerCode)); err != nil {
			return nil, err
		}
		if p, err = visiblePayment(ctx, tx, req.GetPaymentId()); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), p.Version); err != nil {
			return nil, err
		}
		if p.State != paymentsv1.PaymentState_PAYMENT_STATE_REJECTED {
			return nil, fault.New(fault.Refused, rules.ReasonPaymentNotRejected, "payment %s was not rejected by the payer, or was issued again before", p.ID)
		}
		if err := reissuable(ctx, tx, p); err != nil {
			return nil, err
		}
		if err := s.reverseApproval(ctx, tx, p.RunID, p.CommissionerCode, p.PayeeCode); err != nil {
			return nil, err
		}
		if err := store.Reopen(ctx, tx.Tx, p.ID); err != nil {
			return nil, err
		}
		p.State = paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
		if err := saved(store.UpdatePayment(ctx, tx.Tx, &p)); err != nil {
			return nil, err
		}
		was, err := store.Run(ctx, tx, p.RunID)
		if err != nil {
			return nil, err
		}
		run, err := s.gathered(ctx, tx, commissioner{code: p.CommissionerCode}, was.Month)
		if err != nil {
			return nil, err
		}
		out := &paymentsv1.ReissuePaymentResponse{Payment: paymentToProto(p), RunId: run.ID}
		_, err = tx.Announce(ctx, payeeAggregate(p.CommissionerCode, p.PayeeCode), p.CommissionerCode, &paymentsv1.PaymentReissued{Payment: out.GetPayment(), RunId: run.ID})
		if err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "payments/payments/"+p.ID, p.CommissionerCode, fmt.Sprintf("issued payment %s again in run %s: %s", p.ID, run.ID, req.GetReason()))
	})
}

// reissuable refuses to pay again in the name of a commissioner whose open items have all passed to another: a payment that was
// settled then has stayed behind, and is open again since it was returned.
func reissuable(ctx context.Context, q sqldb.Querier, p store.PaymentRow) error {
	owner, err := ownerOf(ctx, q, p.CommissionerCode, "")
	if err != nil || owner.code == p.CommissionerCode {
		return err
	}
	return fault.New(fault.Refused, rules.ReasonCommissionerSucceeded, "the open items of %s passed to %s, and payment %s was returned since: move the open items again first",
		p.CommissionerCode, owner.code, p.ID).With("successor", owner.code)
}

// visiblePayment loads a payment that the caller may see.
func visiblePayment(ctx context.Context, q sqldb.Querier, id string) (store.PaymentRow, error) {
	p, err := store.Payment(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, p.CommissionerCode)) {
		return p, fault.New(fault.NotFound, rules.ReasonPaymentNotFound, "there is no payment %q", id)
	}
	return p, err
}

// GetPayment returns one payment.
func (s *Service) GetPayment(ctx context.Context, req *paymentsv1.GetPaymentRequest) (out *paymentsv1.Payment, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		p, err := visiblePayment(ctx, q, req.GetPaymentId())
		out = paymentToProto(p)
		return err
	})
	return out, err
}

// ListPayments returns a page of payments.
func (s *Service) ListPayments(ctx context.Context, req *paymentsv1.ListPaymentsRequest) (*paymentsv1.ListPaymentsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.PaymentRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Payments(ctx, q, store.PaymentFilter{Page: by, RunID: req.GetRunId(), PayeeCode: req.GetPayeeCode(), State: req.GetState()})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListPaymentsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(p store.PaymentRow) string { return fmt.Sprintf("%d %s", p.SentAt, p.ID) })
	for _, row := range rows {
		out.Payments = append(out.Payments, paymentToProto(row))
	}
	return out, nil
}
