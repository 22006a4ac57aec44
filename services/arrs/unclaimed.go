package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/big"
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
		y, err := store.Year(ctx, tx, row.PCNCode, row.Year)
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

// PlaceBid asks, for a PCN, for money that others leave.
func (s *Service) PlaceBid(ctx context.Context, req *arrsv1.PlaceBidRequest) (*arrsv1.Bid, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if err := forPCN(ctx, req.GetPcnCode(), noPCN(req.GetPcnCode())); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Bid, error) {
		if err := lockPCNs(ctx, tx, []string{req.GetPcnCode()}); err != nil {
			return nil, err
		}
		y, err := fixedYear(ctx, tx, req.GetPcnCode(), year)
		if err != nil {
			return nil, err
		}
		planning, err := s.planningOf(ctx, tx, year)
		if err != nil {
			return nil, err
		}
		if err := sharesUnclaimed(planning); err != nil {
			return nil, err
		}
		left, err := leftOf(ctx, tx, &y, potOf(req.GetPot()))
		if err != nil {
			return nil, err
		}
		if err := gaveNothing(y.PCNCode, left.held); err != nil {
			return nil, err
		}
		row := store.BidRow{
			ID: tx.NewID(), PCNCode: y.PCNCode, CommissionerCode: y.CommissionerCode, Year: year, Pot: potOf(req.GetPot()), Asked: money.Pence(req.GetAskedPence()),
			Purpose: req.GetPurpose(), State: store.BidOpen, PlacedBy: tx.By.Subject, PlacedAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := store.InsertBid(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return announceBid(ctx, tx, row, fmt.Sprintf("%s bid for %s of the %s pot of %s", row.PCNCode, row.Asked, row.Pot, year))
	})
}

// gaveNothing refuses a PCN that gave up money of the pot that it asks for.
func gaveNothing(pcn string, held store.PotRow) error {
	if held.GivenUp > 0 {
		return fault.New(fault.Refused, reasonBidderGaveUp, "%s gave up %s of the pot: others bid for it", pcn, held.GivenUp)
	}
	return nil
}

func announceBid(ctx context.Context, tx *change.Tx, row store.BidRow, summary string) (*arrsv1.Bid, error) {
	out := bidToProto(row)
	event := proto.CloneOf(out)
	event.Purpose, event.DecisionReason = "", ""
	if _, err := tx.Announce(ctx, "bid/"+row.ID, row.CommissionerCode, &arrsv1.BidChanged{Bid: event}); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, "arrs/bids/"+row.ID, row.CommissionerCode, summary)
}

// WithdrawBid takes a bid that waits back.
func (s *Service) WithdrawBid(ctx context.Context, req *arrsv1.WithdrawBidRequest) (*arrsv1.Bid, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Bid, error) {
		unknown := bidNotFound(req.GetBidId())
		row, err := store.Bid(ctx, tx, req.GetBidId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, unknown
		}
		if err != nil {
			return nil, err
		}
		if err := forPCN(ctx, row.PCNCode, unknown); err != nil {
			return nil, err
		}
		if err := lockPCNs(ctx, tx, []string{row.PCNCode}); err != nil {
			return nil, err
		}
		if row, err = store.Bid(ctx, tx, row.ID); err != nil {
			return nil, err
		}
		if err := checkTag(req.GetEtag(), row.Version); err != nil {
			return nil, err
		}
		if err := openBid(&row); err != nil {
			return nil, err
		}
		row.State, row.DecidedBy, row.DecidedAt, row.DecisionReason = store.BidWithdrawn, tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if changed, err := store.DecideBid(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.Version++
		return announceBid(ctx, tx, row, fmt.Sprintf("%s took back its bid for %s", row.PCNCode, row.Asked))
	})
}

func bidNotFound(id string) *fault.Fault {
	return fault.New(fault.NotFound, reasonBidNotFound, "there is no bid %q", money.Clip(id))
}

func openBid(row *store.BidRow) error {
	if row.State != store.BidOpen {
		return fault.New(fault.Refused, reasonBidNotOpen, "bid %s waits for no decision: it was decided or withdrawn", row.ID).With("bid_id", row.ID)
	}
	return nil
}

// ListBids returns bids, newest first.
func (s *Service) ListBids(ctx context.Context, req *arrsv1.ListBidsRequest) (*arrsv1.ListBidsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	if by.Year, err = parseYearFilter("financial_year", req.GetFinancialYear()); err != nil {
		return nil, err
	}
	var rows []store.BidRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Bids(ctx, q, by, int64(req.GetState()))
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListBidsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.BidRow) string { return r.ID })
	for _, row := range rows {
		out.Bids = append(out.Bids, bidToProto(row))
	}
	return out, nil
}

// AwardUnclaimed shares what PCNs gave up of a pot among bids.
func (s *Service) AwardUnclaimed(ctx context.Context, req *arrsv1.AwardUnclaimedRequest) (*arrsv1.UnclaimedAward, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	on, err := parsePastDay("awarded_on", req.GetAwardedOn(), period.DateOf(s.db.Now()))
	if err != nil {
		return nil, err
	}
	if len(req.GetBids())+len(req.GetDeclinedBidIds()) == 0 {
		return nil, fault.New(fault.Invalid, reasonAwardEmpty, "an award decides at least one bid").At("bids", "the bids that share in it")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.UnclaimedAward, error) {
		a := awarding{service: s, tx: tx, req: req, row: store.AwardRow{
			ID: tx.NewID(), CommissionerCode: req.GetCommissionerCode(), Year: year, Pot: potOf(req.GetPot()), Basis: int64(req.GetBasis()),
			Reason: req.GetReason(), AwardedOn: on, AwardedBy: tx.By.Subject, AwardedAt: sqldb.Micros(tx.Now()),
		}}
		a.row.Basis = cmp.Or(a.row.Basis, int64(arrsv1.AwardBasis_BY_ASKED))
		return a.run(ctx)
	})
}

// awarding is one award on its way.
type awarding struct {
	service  *Service
	tx       *change.Tx
	req      *arrsv1.AwardUnclaimedRequest
	row      store.AwardRow
	chosen   []store.BidRow // in the order in which they were placed
	declined []store.BidRow
	weights  map[string]string
	years    []store.YearRow // of the PCNs of the chosen bids
}

func (a *awarding) run(ctx context.Context) (*arrsv1.UnclaimedAward, error) {
	if err := a.load(ctx); err != nil {
		return nil, err
	}
	pool, err := a.pool(ctx)
	if err != nil {
		return nil, err
	}
	if a.row.Available, err = pool.GivenUp.Sub(pool.Awarded); err != nil {
		return nil, err
	}
	planning, err := a.service.planningOf(ctx, a.tx, a.row.Year)
	if err != nil {
		return nil, err
	}
	bids, err := a.bids(ctx)
	if err != nil {
		return nil, err
	}
	awards, left, err := rules.AwardUnclaimed(planning, a.row.Available, bids, a.row.AwardedOn)
	if err != nil {
		return nil, err
	}
	if len(bids) > 0 && a.row.Available == 0 {
		return nil, fault.New(fault.Refused, reasonAwardEmpty, "nothing that was given up of the %s pot of %s is left", a.row.Pot, a.row.Year)
	}
	a.row.Left = left
	for i, award := range awards {
		a.row.Awarded += award.Awarded // no more than what is available
		a.row.Shares = append(a.row.Shares, store.AwardShare{Award: award, Weight: bids[i].Weight})
	}
	if err := store.InsertAward(ctx, a.tx.Tx, a.row); err != nil {
		return nil, err
	}
	if err := a.decide(ctx, awards); err != nil {
		return nil, err
	}
	if err := a.balance(ctx); err != nil {
		return nil, err
	}
	if err := a.state(ctx); err != nil {
		return nil, err
	}
	out := awardToProto(a.row)
	event := proto.CloneOf(out)
	event.Reason = ""
	if _, err := a.tx.Announce(ctx, "award/"+a.row.ID, a.row.CommissionerCode, &arrsv1.UnclaimedAwarded{Award: event}); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("awarded %s of %s unclaimed of the %s pot of %s to %d bids, decided on %s: %s", a.row.Awarded, a.row.Available, a.row.Pot, a.row.Year,
		len(awards), a.row.AwardedOn, a.row.Reason)
	return out, a.tx.Record(ctx, "arrs/awards/"+a.row.ID, a.row.CommissionerCode, summary)
}

// load reads the bids with the locks of their PCNs and of the pool held, and refuses those that this award cannot decide.
func (a *awarding) load(ctx context.Context) error {
	a.weights = make(map[string]string, len(a.req.GetBids()))
	ids := make([]string, 0, len(a.req.GetBids())+len(a.req.GetDeclinedBidIds()))
	for _, bid := range a.req.GetBids() {
		a.weights[bid.GetBidId()] = bid.GetWeight()
		ids = append(ids, bid.GetBidId())
	}
	ids = append(ids, a.req.GetDeclinedBidIds()...)
	pcns := make([]string, len(ids))
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return fault.New(fault.Invalid, rules.ReasonBidInvalid, "bid %s stands twice", money.Clip(id))
		}
		row, err := a.bid(ctx, id)
		if err != nil {
			return err
		}
		pcns[i] = row.PCNCode
	}
	if err := lockPCNs(ctx, a.tx, pcns, poolLock(a.row.CommissionerCode, a.row.Year)); err != nil {
		return err
	}
	for i, id := range ids {
		row, err := a.bid(ctx, id)
		if err != nil {
			return err
		}
		if err := openBid(&row); err != nil {
			return err
		}
		if row.PlacedBy == a.tx.By.Subject {
			return fault.New(fault.Denied, reasonAwarderIsBidder, "another person than %s, who placed it, decides bid %s", row.PlacedBy, row.ID)
		}
		if i < len(a.req.GetBids()) {
			a.chosen = append(a.chosen, row)
		} else {
			a.declined = append(a.declined, row)
		}
	}
	slices.SortFunc(a.chosen, func(x, y store.BidRow) int { return cmp.Compare(x.ID, y.ID) })
	return nil
}

func (a *awarding) bid(ctx context.Context, id string) (store.BidRow, error) {
	row, err := store.Bid(ctx, a.tx, id)
	other := err == nil && (row.CommissionerCode != a.row.CommissionerCode || row.Year != a.row.Year || row.Pot != a.row.Pot)
	if errors.Is(err, sql.ErrNoRows) || other {
		return row, bidNotFound(id).With("bid_id", money.Clip(id))
	}
	return row, err
}

func (a *awarding) pool(ctx context.Context) (store.PoolRow, error) {
	pools, err := store.Pool(ctx, a.tx, a.row.CommissionerCode, a.row.Year)
	for _, pool := range pools {
		if pool.Pot == a.row.Pot {
			return pool, err
		}
	}
	return store.PoolRow{Pot: a.row.Pot}, err
}

// bids gives the chosen bids their weights, and refuses a PCN that gave money up after it bid.
func (a *awarding) bids(ctx context.Context) ([]rules.Bid, error) {
	out := make([]rules.Bid, len(a.chosen))
	for i, row := range a.chosen {
		y, err := store.Year(ctx, a.tx, row.PCNCode, row.Year)
		if err != nil {
			return nil, err
		}
		a.years = append(a.years, y)
		left, err := leftOf(ctx, a.tx, &y, row.Pot)
		if err != nil {
			return nil, err
		}
		if err := gaveNothing(row.PCNCode, left.held); err != nil {
			return nil, err
		}
		weight, err := weightOf(arrsv1.AwardBasis(a.row.Basis), a.weights[row.ID], y.Population.Value) //nolint:gosec // an enum
		if err != nil {
			return nil, err
		}
		out[i] = rules.Bid{ID: row.ID, PCN: row.PCNCode, Asked: row.Asked, Weight: weight}
	}
	return out, nil
}

func weightOf(basis arrsv1.AwardBasis, stated string, population *big.Rat) (*big.Rat, error) {
	switch basis {
	case arrsv1.AwardBasis_BY_STATED_WEIGHT:
		weight, err := money.ParseDecimal(stated)
		if err != nil {
			return nil, fault.New(fault.Invalid, rules.ReasonDecimalMalformed, "weight: %v", err).At("bids.weight", "a decimal above 0")
		}
		return weight, nil
	case arrsv1.AwardBasis_BY_WEIGHTED_POPULATION:
		if population == nil {
			return nil, fault.New(fault.Refused, rules.ReasonPopulationMissing, "a bidder's weighted population is not known: share by what is asked, or state weights")
		}
		return population, nil
	default:
		if stated != "" {
			return nil, fault.New(fault.Invalid, rules.ReasonBidInvalid, "weights are stated with the basis BY_STATED_WEIGHT").At("bids.weight", "empty")
		}
		return nil, nil
	}
}

// decide moves the money and notes on each bid what became of it.
func (a *awarding) decide(ctx context.Context, awards []rules.Award) error {
	for i := range awards {
		row := a.chosen[i]
		row.Awarded, row.State = awards[i].Awarded, store.BidAwarded
		if row.Awarded == 0 {
			row.State = store.BidDeclined
		} else if err := store.MovePot(ctx, a.tx.Tx, store.PotRow{PCNCode: row.PCNCode, Year: row.Year, Pot: row.Pot, Awarded: row.Awarded}); err != nil {
			return err
		}
		if err := a.note(ctx, row); err != nil {
			return err
		}
	}
	for _, row := range a.declined {
		row.State = store.BidDeclined
		if err := a.note(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (a *awarding) note(ctx context.Context, row store.BidRow) error {
	row.AwardID, row.DecidedBy, row.DecidedAt, row.DecisionReason = a.row.ID, a.tx.By.Subject, a.row.AwardedAt, a.row.Reason
	if changed, err := store.DecideBid(ctx, a.tx.Tx, row); err != nil || !changed {
		return staleOr(err)
	}
	row.Version++
	_, err := announceBid(ctx, a.tx, row, fmt.Sprintf("decided the bid of %s for %s: %s", row.PCNCode, row.Asked, row.Awarded))
	return err
}

// balance checks that what was given up is what was awarded and what is left, to the penny.
func (a *awarding) balance(ctx context.Context) error {
	pool, err := a.pool(ctx)
	if err != nil {
		return err
	}
	if pool.GivenUp != pool.Awarded+a.row.Left {
		return fault.Bug("of %s given up %s was awarded and %s is left", pool.GivenUp, pool.Awarded, a.row.Left)
	}
	return nil
}

// state states what the PCNs that were awarded something can use now, to the commissioners that lead them.
func (a *awarding) state(ctx context.Context) error {
	led, pcns := make(map[string]*store.YearRow), make(map[string][]string)
	for i := range a.years {
		y := &a.years[i]
		if a.row.Shares[i].Awarded > 0 {
			led[y.CommissionerCode], pcns[y.CommissionerCode] = y, append(pcns[y.CommissionerCode], y.PCNCode)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(led)) {
		if err := stateAnew(ctx, a.tx, led[code], pcns[code]); err != nil {
			return err
		}
	}
	return nil
}

// ListAwards returns awards, newest first.
func (s *Service) ListAwards(ctx context.Context, req *arrsv1.ListAwardsRequest) (*arrsv1.ListAwardsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	if by.Year, err = parseYearFilter("financial_year", req.GetFinancialYear()); err != nil {
		return nil, err
	}
	var rows []store.AwardRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Awards(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListAwardsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.AwardRow) string { return r.ID })
	for _, row := range rows {
		out.Awards = append(out.Awards, awardToProto(row))
	}
	return out, nil
}

// GetUnclaimedPool returns what the PCNs of a commissioner gave up in a year, and what became of it.
func (s *Service) GetUnclaimedPool(ctx context.Context, req *arrsv1.GetUnclaimedPoolRequest) (*arrsv1.UnclaimedPool, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	var planning rules.PlanningYear
	var pools []store.PoolRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if planning, err = s.planningOf(ctx, q, year); err != nil {
			return err
		}
		pools, err = store.Pool(ctx, q, req.GetCommissionerCode(), year)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &arrsv1.UnclaimedPool{
		CommissionerCode: req.GetCommissionerCode(), FinancialYear: year.String(), Rule: string(planning.Unclaimed), Source: planning.Source,
		UnclaimedBy: planning.UnclaimedBy.String(), AwardsUntil: planning.AwardsUntil.String(),
	}
	if planning.Unclaimed == rules.UnclaimedShared && planning.AwardsUntil.IsZero() {
		out.AwardsUntil = year.Last().Last().String()
	}
	for _, pool := range pools {
		left, err := pool.GivenUp.Sub(pool.Awarded)
		if err != nil {
			return nil, err
		}
		out.Pots = append(out.Pots, &arrsv1.PotPool{
			Pot: potToProto(pool.Pot), GivenUpPence: int64(pool.GivenUp), AwardedPence: int64(pool.Awarded), LeftPence: int64(left),
			OpenBids: int32(pool.OpenBids), AskedPence: int64(pool.Asked), //nolint:gosec // bids of one commissioner
		})
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

func bidToProto(r store.BidRow) *arrsv1.Bid {
	return &arrsv1.Bid{
		BidId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, FinancialYear: r.Year.String(), Pot: potToProto(r.Pot), AskedPence: int64(r.Asked),
		Purpose: r.Purpose, State: arrsv1.BidState(r.State), AwardedPence: int64(r.Awarded), AwardId: r.AwardID, PlacedBy: r.PlacedBy, //nolint:gosec // an enum
		PlacedAt: timestamp(r.PlacedAt), DecidedBy: r.DecidedBy, DecidedAt: timestamp(r.DecidedAt), DecisionReason: r.DecisionReason, Etag: versionTag(r.Version),
	}
}

func awardToProto(r store.AwardRow) *arrsv1.UnclaimedAward {
	out := &arrsv1.UnclaimedAward{
		AwardId: r.ID, CommissionerCode: r.CommissionerCode, FinancialYear: r.Year.String(), Pot: potToProto(r.Pot), AvailablePence: int64(r.Available),
		AwardedPence: int64(r.Awarded), LeftPence: int64(r.Left), Basis: arrsv1.AwardBasis(r.Basis), Reason: r.Reason, AwardedOn: r.AwardedOn.String(), //nolint:gosec // an enum
		AwardedBy: r.AwardedBy, AwardedAt: timestamp(r.AwardedAt),
	}
	for _, share := range r.Shares {
		weight := ""
		if share.Weight != nil {
			weight = money.Format(share.Weight)
		}
		out.Shares = append(out.Shares, &arrsv1.BidShare{
			BidId: share.BidID, PcnCode: share.PCN, AskedPence: int64(share.Asked), AwardedPence: int64(share.Awarded), Weight: weight,
		})
	}
	return out
}
