package payments

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// knownAt reads the moment whose knowledge is wanted; absent means now.
func (s *Service) knownAt(at *timestamppb.Timestamp) (int64, error) {
	if at == nil {
		return sqldb.Micros(s.db.Now()), nil
	}
	if at.AsTime().After(s.db.Now()) {
		return 0, fault.New(fault.Invalid, rules.ReasonKnownAtInFuture, "known_at lies in the future").At("known_at", "must not lie in the future")
	}
	return sqldb.Micros(at.AsTime()), nil
}

// GetTrialBalance returns the balance of every account on a day, as known now or at an earlier moment.
func (s *Service) GetTrialBalance(ctx context.Context, req *paymentsv1.GetTrialBalanceRequest) (*paymentsv1.TrialBalance, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	known, err := s.knownAt(req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	if req.GetEffectiveTo() != "" {
		if _, err := parseDate("effective_to", req.GetEffectiveTo()); err != nil {
			return nil, err
		}
	}
	var balances []store.Balance
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		balances, err = store.Balances(ctx, q, store.BalanceFilter{
			CommissionerCode: req.GetCommissionerCode(), EffectiveTo: req.GetEffectiveTo(), KnownAt: known, ByPayee: req.GetByPayee(),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.TrialBalance{CommissionerCode: req.GetCommissionerCode(), EffectiveTo: req.GetEffectiveTo(), KnownAt: timestamp(known)}
	for _, b := range balances {
		if b.Amount > 0 {
			out.DebitPence += int64(b.Amount)
		} else {
			out.CreditPence -= int64(b.Amount)
		}
	}
	if out.GetDebitPence() != out.GetCreditPence() {
		return nil, fault.Bug("ledger of %s: debits %d, credits %d", req.GetCommissionerCode(), out.GetDebitPence(), out.GetCreditPence())
	}
	balances = slices.DeleteFunc(balances, func(b store.Balance) bool { return after != "" && balanceKey(b) <= after })
	balances, out.NextPageToken = page.Cut(balances, page.Size(req.GetPageSize(), defaultPage), balanceKey)
	for _, b := range balances {
		out.Balances = append(out.Balances, &paymentsv1.Balance{
			Account: account(req.GetCommissionerCode(), b.Fund, b.PayeeCode, b.Stage), BalancePence: int64(b.Amount), Entries: b.Entries,
		})
	}
	return out, nil
}

func balanceKey(b store.Balance) string { return fmt.Sprintf("%d %d %s", b.Fund, b.Stage, b.PayeeCode) }

// ListPostings returns a page of postings.
func (s *Service) ListPostings(ctx context.Context, req *paymentsv1.ListPostingsRequest) (*paymentsv1.ListPostingsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	filter := store.PostingFilter{Page: by, PayeeCode: req.GetPayeeCode()}
	if req.GetSource() != "" {
		filter.Sources = []string{req.GetSource()}
	}
	out := new(paymentsv1.ListPostingsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if req.GetLineId() != "" {
			if filter.Sources, err = sourcesOf(ctx, q, req.GetLineId(), req.GetSource()); err != nil {
				return err
			}
		}
		postings, err := store.Postings(ctx, q, filter)
		if err != nil {
			return err
		}
		postings, out.NextPageToken = page.Cut(postings, by.Limit-1, func(p store.PostingRow) string { return p.ID })
		for _, p := range postings {
			shown := postingToProto(p)
			if req.GetLineId() != "" {
				shown.Entries = slices.DeleteFunc(shown.GetEntries(), func(e *paymentsv1.Entry) bool { return e.GetLineId() != req.GetLineId() })
			}
			if len(shown.GetEntries()) > 0 {
				out.Postings = append(out.Postings, shown)
			}
		}
		return nil
	})
	return out, err
}

// sourcesOf names what may have posted for a line: its schedule, the runs that froze it, and their payments.
func sourcesOf(ctx context.Context, q sqldb.Querier, lineID, only string) ([]string, error) {
	lines, err := store.Lines(ctx, q, store.LineFilter{LineID: lineID})
	if err != nil || len(lines) == 0 {
		return []string{}, err
	}
	payee := lines[0].Line.GetPayee().GetCode()
	runs, err := store.RunsOfLine(ctx, q, lineID)
	if err != nil {
		return nil, err
	}
	sources := []string{"schedule/" + lines[0].ScheduleID}
	for _, run := range runs {
		sources = append(sources, payeeSource(run, payee), "payment/"+paymentID(run, payee))
	}
	moves, err := store.Moves(ctx, q, "")
	if err != nil {
		return nil, err
	}
	for _, move := range moves {
		sources = append(sources, moveSource(move.GetMoveId()))
	}
	if only != "" {
		sources = slices.DeleteFunc(sources, func(s string) bool { return s != only })
	}
	return sources, nil
}

// ListAccruals returns what had been earned and not paid at the end of a month.
func (s *Service) ListAccruals(ctx context.Context, req *paymentsv1.ListAccrualsRequest) (*paymentsv1.Accruals, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	month, err := parseMonth("month", req.GetMonth())
	if err != nil {
		return nil, err
	}
	known, err := s.knownAt(req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	var rows []store.Accrual
	var names map[string]string
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if rows, err = store.Accruals(ctx, q, req.GetCommissionerCode(), month.Last(), known); err != nil {
			return err
		}
		names, err = accruedTo(ctx, q, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.Accruals{CommissionerCode: req.GetCommissionerCode(), Month: req.GetMonth(), KnownAt: timestamp(known)}
	var total money.Pence
	for _, row := range rows {
		if total, err = total.Add(row.Amount); err != nil {
			return nil, err
		}
	}
	out.TotalPence = int64(total)
	key := func(a store.Accrual) string {
		return fmt.Sprintf("%s %d %s %s", a.PayeeCode, a.Fund, a.PaymentCode, a.ForMonth)
	}
	rows = slices.DeleteFunc(rows, func(a store.Accrual) bool { return after != "" && key(a) <= after })
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for _, row := range rows {
		accrual := &paymentsv1.Accrual{
			Fund: typev1.Fund(row.Fund), PaymentCode: row.PaymentCode, ForMonth: row.ForMonth, Lines: int32(row.Lines), AmountPence: int64(row.Amount), //nolint:gosec // an enum and a count
		}
		if row.PayeeCode != "" {
			accrual.Payee = &typev1.Payee{Code: row.PayeeCode, Name: names[row.PayeeCode]}
		}
		out.Accruals = append(out.Accruals, accrual)
	}
	return out, nil
}

// accruedTo returns the names of the payees of accruals, as the newest of the lines has them.
func accruedTo(ctx context.Context, q sqldb.Querier, rows []store.Accrual) (map[string]string, error) {
	newest := make(map[string]store.Accrual)
	for _, row := range rows {
		last := newest[row.PayeeCode]
		if cmp.Or(cmp.Compare(row.NewestMonth, last.NewestMonth), cmp.Compare(row.NewestLine, last.NewestLine)) >= 0 {
			newest[row.PayeeCode] = row
		}
	}
	var lines, lineless []string
	for _, payee := range sortedKeys(newest) {
		switch line := newest[payee].NewestLine; {
		case line != "":
			lines = append(lines, line)
		case payee != "":
			lineless = append(lineless, payee)
		}
	}
	names, err := store.NamesOnLines(ctx, q, lines)
	if err != nil {
		return nil, err
	}
	others, err := store.PayeeNames(ctx, q, lineless)
	maps.Copy(names, others)
	return names, err
}
