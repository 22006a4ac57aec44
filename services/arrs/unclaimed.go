package arrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// potLeft is a pot of a PCN as it stands, and what no claim has taken of it.
type potLeft struct {
	entitlement rules.Entitlement
	held        store.PotRow
	left        money.Pence
}

// leftOf loads a pot. It refuses a pot that the year has not, and one whose sum is not known.
func leftOf(ctx context.Context, q sqldb.Querier, y *store.YearRow, pot rules.Pot) (out potLeft, err error) {
	entitlements, err := store.Entitlements(ctx, q, y.Year, []string{y.PCNCode})
	if err != nil {
		return out, err
	}
	at := slices.IndexFunc(entitlements, func(e store.EntitlementRow) bool { return e.Pot == pot })
	if at < 0 {
		return out, fault.New(fault.Refused, rules.ReasonNoPot, "%s has no pot %s in %s", y.PCNCode, pot, y.Year).At("pot", "a pot that GetYear shows")
	}
	out.entitlement = entitlements[at].Entitlement
	if refused := out.entitlement.Refused; refused != nil {
		return out, refused
	}
	pots, err := store.Pots(ctx, q, y.Year, []string{y.PCNCode})
	if err != nil {
		return out, err
	}
	for _, row := range pots {
		if row.Pot == pot {
			out.held = row
		}
	}
	sum, err := potSum(out.entitlement, out.held)
	if err != nil {
		return out, err
	}
	claimed, err := out.held.Submitted.Add(out.held.Approved)
	if err != nil {
		return out, err
	}
	out.left, err = sum.Usable.Sub(claimed)
	return out, err
}

// planningOf returns how a year plans its workforce and shares unclaimed money.
func (s *Service) planningOf(ctx context.Context, q sqldb.Querier, year period.FinancialYear) (rules.PlanningYear, error) {
	scheme, err := s.scheme(ctx, q)
	if err != nil {
		return rules.PlanningYear{}, err
	}
	planning, _ := rules.PlanningFor(scheme.Planning, year)
	return planning, nil
}

// EstimateUnclaimed shares with a PCN what it is expected to leave of a pot.
func (s *Service) EstimateUnclaimed(ctx context.Context, req *arrsv1.EstimateUnclaimedRequest) (*arrsv1.Unclaimed, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	pot := potOf(req.GetPot())
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Unclaimed, error) {
		if err := lockPCNs(ctx, tx, []string{req.GetPcnCode()}); err != nil {
			return nil, err
		}
		y, err := fixedYear(ctx, tx, req.GetPcnCode(), year)
		if err != nil {
			return nil, err
		}
		if y.CommissionerCode != req.GetCommissionerCode() {
			return nil, noPCN(req.GetPcnCode())
		}
		row := store.UnclaimedRow{
			ID: tx.NewID(), PCNCode: y.PCNCode, CommissionerCode: y.CommissionerCode, Year: year, Pot: pot, Amount: money.Pence(req.GetAmountPence()),
			State: store.UnclaimedEstimated, Note: req.GetNote(), EstimatedBy: tx.By.Subject, EstimatedAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := s.estimate(ctx, tx, &y, &row); err != nil {
			return nil, err
		}
		open, err := store.OpenUnclaimed(ctx, tx, y.PCNCode, year, pot)
		if err != nil {
			return nil, err
		}
		for _, before := range open {
			before.State = store.UnclaimedReplaced
			if changed, err := store.AnswerUnclaimed(ctx, tx.Tx, before); err != nil || !changed {
				return nil, staleOr(err)
			}
		}
		if err := store.InsertUnclaimed(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return announceUnclaimed(ctx, tx, row, fmt.Sprintf("estimated that %s leaves %s of the %s pot of %s", row.PCNCode, row.Amount, pot, year))
	})
}

// estimate fills in the amount where none is stated, and refuses one that could not be agreed.
func (s *Service) estimate(ctx context.Context, tx *change.Tx, y *store.YearRow, row *store.UnclaimedRow) error {
	left, err := leftOf(ctx, tx, y, row.Pot)
	if err != nil {
		return err
	}
	planning, err := s.planningOf(ctx, tx, row.Year)
	if err != nil {
		return err
	}
	if err := sharesUnclaimed(planning); err != nil {
		return err
	}
	if row.FromForecast = row.Amount == 0; row.FromForecast {
		forecasts, _, err := s.forecasts(ctx, tx, row.Year, []store.YearRow{*y}, period.Month{})
		if err != nil {
			return err
		}
		for i := range forecasts[0].Pots {
			if of := &forecasts[0].Pots[i]; of.Pot == row.Pot {
				row.Forecast, row.Amount = of.Spend, rules.EstimateUnclaimed(of.Usable, of.Spend)
			}
		}
		if row.Amount == 0 {
			return fault.New(fault.Refused, reasonUnclaimedNothing, "by its forecast %s leaves nothing of the pot", y.PCNCode)
		}
	}
	return rules.AgreeUnclaimed(planning, left.left, row.Amount)
}

// sharesUnclaimed refuses a year in which no money is given up or bid for.
func sharesUnclaimed(planning rules.PlanningYear) error { return rules.AgreeUnclaimed(planning, 1, 1) }

func announceUnclaimed(ctx context.Context, tx *change.Tx, row store.UnclaimedRow, summary string) (*arrsv1.Unclaimed, error) {
	out := unclaimedToProto(row)
	event := proto.CloneOf(out)
	event.Note, event.AnswerReason = "", ""
	if _, err := tx.Announce(ctx, "unclaimed/"+row.PCNCode+"/"+row.Year.String(), row.CommissionerCode, &arrsv1.UnclaimedChanged{Unclaimed: event}); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, "arrs/unclaimed/"+row.ID, row.CommissionerCode, summary)
}

// AgreeUnclaimed agrees an estimate for the PCN, which loses the right to the money.
func (s *Service) AgreeUnclaimed(ctx context.Context, req *arrsv1.AgreeUnclaimedRequest) (*arrsv1.Unclaimed, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Unclaimed, error) {
		row, err := answerable(ctx, tx, req.GetUnclaimedId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if row.EstimatedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, reasonAgreerIsEstimator, "another person than %s, who estimated it, agrees", row.EstimatedBy)
		}
		y, err := store.Year(row.PCNCode, row.Year).First(ctx, tx)
		if err != nil {
			return nil, err
		}
		planning, err := s.planningOf(ctx, tx, row.Year)
		if err != nil {
			return nil, err
		}
		left, err := leftOf(ctx, tx, &y, row.Pot)
		if err != nil {
			return nil, err
		}
		if err := rules.AgreeUnclaimed(planning, left.left, row.Amount); err != nil {
			return nil, err
		}
		if _, err := rules.Usable(left.entitlement, left.held.GivenUp+row.Amount, left.held.Awarded); err != nil {
			return nil, err
		}
		row.State, row.AnsweredBy, row.AnsweredAt = store.UnclaimedAgreed, tx.By.Subject, sqldb.Micros(tx.Now())
		if changed, err := store.AnswerUnclaimed(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		if err := store.MovePot(ctx, tx.Tx, store.PotRow{PCNCode: row.PCNCode, Year: row.Year, Pot: row.Pot, GivenUp: row.Amount}); err != nil {
			return nil, err
		}
		if err := stateAnew(ctx, tx, &y, []string{row.PCNCode}); err != nil {
			return nil, err
		}
		return announceUnclaimed(ctx, tx, row, fmt.Sprintf("%s gave up %s of the %s pot of %s", row.PCNCode, row.Amount, row.Pot, row.Year))
	})
}

// DisputeUnclaimed disputes an estimate for the PCN.
func (s *Service) DisputeUnclaimed(ctx context.Context, req *arrsv1.DisputeUnclaimedRequest) (*arrsv1.Unclaimed, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Unclaimed, error) {
		row, err := answerable(ctx, tx, req.GetUnclaimedId(), req.GetEtag())
		if err != nil {
			return nil, err
		}
		if row.EstimatedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, reasonAgreerIsEstimator, "another person than %s, who estimated it, answers", row.EstimatedBy)
		}
		row.State, row.AnsweredBy, row.AnsweredAt, row.AnswerReason = store.UnclaimedDisputed, tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if changed, err := store.AnswerUnclaimed(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		return announceUnclaimed(ctx, tx, row, fmt.Sprintf("%s disputed the estimate of the %s pot of %s", row.PCNCode, row.Pot, row.Year))
	})
}

// answerable loads an estimate that waits for the caller's PCN, with the locks of what it moves held.
func answerable(ctx context.Context, tx *change.Tx, id, tag string) (store.UnclaimedRow, error) {
	unknown := fault.New(fault.NotFound, reasonUnclaimedNotFound, "there is no estimate %q", id)
	row, err := store.OneUnclaimed(ctx, tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return row, unknown
	}
	if err != nil {
		return row, err
	}
	if err := forPCN(ctx, row.PCNCode, unknown); err != nil {
		return row, err
	}
	if err := lockPCNs(ctx, tx, []string{row.PCNCode}, poolLock(row.CommissionerCode, row.Year)); err != nil {
		return row, err
	}
	if row, err = store.OneUnclaimed(ctx, tx, id); err != nil {
		return row, err
	}
	if err := checkTag(tag, row.Version); err != nil {
		return row, err
	}
	if row.State != store.UnclaimedEstimated {
		return row, fault.New(fault.Refused, reasonUnclaimedNotWaiting, "the estimate waits for no answer: it was answered or replaced")
	}
	return row, nil
}

// ListUnclaimed returns estimates, newest first.
func (s *Service) ListUnclaimed(ctx context.Context, req *arrsv1.ListUnclaimedRequest) (*arrsv1.ListUnclaimedResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	if by.Year, err = parseYearFilter("financial_year", req.GetFinancialYear()); err != nil {
		return nil, err
	}
	var rows []store.UnclaimedRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.ListUnclaimed(ctx, q, by, int64(req.GetState()))
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListUnclaimedResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.UnclaimedRow) string { return r.ID })
	for _, row := range rows {
		out.Unclaimed = append(out.Unclaimed, unclaimedToProto(row))
	}
	return out, nil
}

func unclaimedToProto(r store.UnclaimedRow) *arrsv1.Unclaimed {
	return &arrsv1.Unclaimed{
		UnclaimedId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, FinancialYear: r.Year.String(), Pot: potToProto(r.Pot),
		AmountPence: int64(r.Amount), FromForecast: r.FromForecast, ForecastPence: int64(r.Forecast), State: arrsv1.UnclaimedState(r.State), Note: r.Note, //nolint:gosec // an enum
		EstimatedBy: r.EstimatedBy, EstimatedAt: timestamp(r.EstimatedAt), AnsweredBy: r.AnsweredBy, AnsweredAt: timestamp(r.AnsweredAt),
		AnswerReason: r.AnswerReason, Etag: versionTag(r.Version),
	}
}
