package arrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

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

func bidToProto(r store.BidRow) *arrsv1.Bid {
	return &arrsv1.Bid{
		BidId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, FinancialYear: r.Year.String(), Pot: potToProto(r.Pot), AskedPence: int64(r.Asked),
		Purpose: r.Purpose, State: arrsv1.BidState(r.State), AwardedPence: int64(r.Awarded), AwardId: r.AwardID, PlacedBy: r.PlacedBy, //nolint:gosec // an enum
		PlacedAt: timestamp(r.PlacedAt), DecidedBy: r.DecidedBy, DecidedAt: timestamp(r.DecidedAt), DecisionReason: r.DecisionReason, Etag: versionTag(r.Version),
	}
}
