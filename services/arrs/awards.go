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
	if on.Before(year.First().First()) {
		return nil, fault.New(fault.Invalid, rules.ReasonValueOutOfRange, "%s is before %s: an award that was decided earlier is entered under the day it was decided on", on, year).
			At("awarded_on", "is before the year")
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
		y, err := store.Year(row.PCNCode, row.Year).First(ctx, a.tx)
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
