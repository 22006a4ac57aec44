package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// States of estimates; their values equal those of the contract.
const (
	UnclaimedEstimated int64 = iota + 1
	UnclaimedAgreed
	UnclaimedDisputed
	UnclaimedReplaced
)

// UnclaimedRow is an estimate of unclaimed money as it is kept.
type UnclaimedRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	Pot              rules.Pot
	Amount           money.Pence
	FromForecast     bool
	Forecast         money.Pence
	State            int64
	Note             string
	EstimatedBy      string
	EstimatedAt      int64
	AnsweredBy       string
	AnsweredAt       int64
	AnswerReason     string
	Version          int64
}

const unclaimedColumns = `unclaimed_id, pcn_code, commissioner_code, financial_year, pot, amount_pence, from_forecast, forecast_pence, state, note,
	estimated_by, estimated_at, answered_by, answered_at, answer_reason, version`

func scanUnclaimed(rows *sql.Rows) (u UnclaimedRow, err error) {
	var year, pot string
	if err := rows.Scan(&u.ID, &u.PCNCode, &u.CommissionerCode, &year, &pot, &u.Amount, &u.FromForecast, &u.Forecast, &u.State, &u.Note, &u.EstimatedBy,
		&u.EstimatedAt, &u.AnsweredBy, &u.AnsweredAt, &u.AnswerReason, &u.Version); err != nil {
		return u, err
	}
	var p stored.Texts
	u.Year, u.Pot = stored.Parse(&p, year, period.ParseFinancialYear), rules.Pot(pot)
	return u, p.Err
}

// InsertUnclaimed adds an estimate.
func InsertUnclaimed(ctx context.Context, tx *sqldb.Tx, u UnclaimedRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO unclaimed (`+unclaimedColumns+`) VALUES (`+sqldb.Placeholders(1, 16)+`)`,
		u.ID, u.PCNCode, u.CommissionerCode, u.Year.String(), string(u.Pot), int64(u.Amount), u.FromForecast, int64(u.Forecast), u.State, u.Note,
		u.EstimatedBy, u.EstimatedAt, u.AnsweredBy, u.AnsweredAt, u.AnswerReason, u.Version)
	if err != nil {
		return fmt.Errorf("insert estimate of %s: %w", u.PCNCode, err)
	}
	return nil
}

// AnswerUnclaimed stores the state and the answer of an estimate, if its version is still the one that was read.
func AnswerUnclaimed(ctx context.Context, tx *sqldb.Tx, u UnclaimedRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE unclaimed SET state = $1, answered_by = $2, answered_at = $3, answer_reason = $4, version = version + 1
		WHERE unclaimed_id = $5 AND version = $6`, u.State, u.AnsweredBy, u.AnsweredAt, u.AnswerReason, u.ID, u.Version))
}

// OneUnclaimed returns an estimate, or sql.ErrNoRows.
func OneUnclaimed(ctx context.Context, q sqldb.Querier, id string) (UnclaimedRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanUnclaimed, `SELECT `+unclaimedColumns+` FROM unclaimed WHERE unclaimed_id = $1`, id))
}

// OpenUnclaimed returns the estimates of a pot that no agreement or later estimate has closed.
func OpenUnclaimed(ctx context.Context, q sqldb.Querier, pcn string, year period.FinancialYear, pot rules.Pot) ([]UnclaimedRow, error) {
	return sqldb.Collect(ctx, q, scanUnclaimed, `SELECT `+unclaimedColumns+` FROM unclaimed
		WHERE pcn_code = $1 AND financial_year = $2 AND pot = $3 AND state IN (1, 3) ORDER BY unclaimed_id`, pcn, year.String(), string(pot))
}

// ListUnclaimed returns estimates, newest first; a state of 0 means any.
func ListUnclaimed(ctx context.Context, q sqldb.Querier, by Page, state int64) ([]UnclaimedRow, error) {
	f := by.newest("financial_year", "unclaimed_id")
	if state != 0 {
		f.Where("state = ?", state)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanUnclaimed, `SELECT `+unclaimedColumns+` FROM unclaimed`+conditions+` ORDER BY unclaimed_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// States of bids; their values equal those of the contract.
const (
	BidOpen int64 = iota + 1
	BidWithdrawn
	BidAwarded
	BidDeclined
)

// BidRow is a bid as it is kept.
type BidRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	Pot              rules.Pot
	Asked            money.Pence
	Purpose          string
	State            int64
	Awarded          money.Pence
	AwardID          string
	PlacedBy         string
	PlacedAt         int64
	DecidedBy        string
	DecidedAt        int64
	DecisionReason   string
	Version          int64
}

const bidColumns = `bid_id, pcn_code, commissioner_code, financial_year, pot, asked_pence, purpose, state, awarded_pence, award_id, placed_by, placed_at,
	decided_by, decided_at, decision_reason, version`

func scanBid(rows *sql.Rows) (b BidRow, err error) {
	var year, pot string
	if err := rows.Scan(&b.ID, &b.PCNCode, &b.CommissionerCode, &year, &pot, &b.Asked, &b.Purpose, &b.State, &b.Awarded, &b.AwardID, &b.PlacedBy, &b.PlacedAt,
		&b.DecidedBy, &b.DecidedAt, &b.DecisionReason, &b.Version); err != nil {
		return b, err
	}
	var p stored.Texts
	b.Year, b.Pot = stored.Parse(&p, year, period.ParseFinancialYear), rules.Pot(pot)
	return b, p.Err
}

// InsertBid adds a bid.
func InsertBid(ctx context.Context, tx *sqldb.Tx, b BidRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO bids (`+bidColumns+`) VALUES (`+sqldb.Placeholders(1, 16)+`)`,
		b.ID, b.PCNCode, b.CommissionerCode, b.Year.String(), string(b.Pot), int64(b.Asked), b.Purpose, b.State, int64(b.Awarded), b.AwardID, b.PlacedBy,
		b.PlacedAt, b.DecidedBy, b.DecidedAt, b.DecisionReason, b.Version)
	if err != nil {
		return fmt.Errorf("insert bid of %s: %w", b.PCNCode, err)
	}
	return nil
}

// DecideBid stores what became of a bid, if its version is still the one that was read.
func DecideBid(ctx context.Context, tx *sqldb.Tx, b BidRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE bids SET state = $1, awarded_pence = $2, award_id = $3, decided_by = $4, decided_at = $5, decision_reason = $6,
		version = version + 1 WHERE bid_id = $7 AND version = $8`,
		b.State, int64(b.Awarded), b.AwardID, b.DecidedBy, b.DecidedAt, b.DecisionReason, b.ID, b.Version))
}

// Bid returns a bid, or sql.ErrNoRows.
func Bid(ctx context.Context, q sqldb.Querier, id string) (BidRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanBid, `SELECT `+bidColumns+` FROM bids WHERE bid_id = $1`, id))
}

// Bids returns bids, newest first; a state of 0 means any.
func Bids(ctx context.Context, q sqldb.Querier, by Page, state int64) ([]BidRow, error) {
	f := by.newest("financial_year", "bid_id")
	if state != 0 {
		f.Where("state = ?", state)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanBid, `SELECT `+bidColumns+` FROM bids`+conditions+` ORDER BY bid_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// AwardRow is an award as it is kept.
type AwardRow struct {
	ID                       string
	CommissionerCode         string
	Year                     period.FinancialYear
	Pot                      rules.Pot
	Available, Awarded, Left money.Pence
	Basis                    int64
	Reason                   string
	AwardedOn                period.Date
	AwardedBy                string
	AwardedAt                int64
	Shares                   []AwardShare
}

// AwardShare is what one bid came to.
type AwardShare struct {
	rules.Award
	Weight *big.Rat // nil where money is shared by what is asked
}

const awardColumns = `award_id, commissioner_code, financial_year, pot, available_pence, awarded_pence, left_pence, basis, reason, awarded_on, awarded_by, awarded_at`

// InsertAward adds an award with its shares.
func InsertAward(ctx context.Context, tx *sqldb.Tx, a AwardRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO awards (`+awardColumns+`) VALUES (`+sqldb.Placeholders(1, 12)+`)`,
		a.ID, a.CommissionerCode, a.Year.String(), string(a.Pot), int64(a.Available), int64(a.Awarded), int64(a.Left), a.Basis, a.Reason, a.AwardedOn.String(),
		a.AwardedBy, a.AwardedAt)
	if err != nil {
		return fmt.Errorf("insert award: %w", err)
	}
	number := 0
	_, err = tx.BulkInsert(ctx, "award_shares", []string{"award_id", "number", "bid_id", "pcn_code", "asked_pence", "awarded_pence", "weight"},
		rowsOf(a.Shares, func(s AwardShare) ([]any, error) {
			number++
			return []any{a.ID, int64(number), s.BidID, s.PCN, int64(s.Asked), int64(s.Awarded), decimalText(s.Weight)}, nil
		}))
	if err != nil {
		return fmt.Errorf("insert shares of award %s: %w", a.ID, err)
	}
	return nil
}

// Awards returns awards with their shares, newest first.
func Awards(ctx context.Context, q sqldb.Querier, by Page) ([]AwardRow, error) {
	var f sqldb.Filter
	if by.Commissioners != nil {
		f.In("commissioner_code", by.Commissioners)
	}
	f.Equal("commissioner_code", by.CommissionerCode, "financial_year", by.Year)
	if by.Before != "" {
		f.Where("award_id < ?", by.Before)
	}
	conditions := f.String()
	out, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (a AwardRow, err error) {
		var year, pot, on string
		if err := rows.Scan(&a.ID, &a.CommissionerCode, &year, &pot, &a.Available, &a.Awarded, &a.Left, &a.Basis, &a.Reason, &on, &a.AwardedBy,
			&a.AwardedAt); err != nil {
			return a, err
		}
		var p stored.Texts
		a.Year, a.Pot, a.AwardedOn = stored.Parse(&p, year, period.ParseFinancialYear), rules.Pot(pot), p.Date(on)
		return a, p.Err
	}, `SELECT `+awardColumns+` FROM awards`+conditions+` ORDER BY award_id DESC`+f.Limit(by.Limit), f.Args()...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	at := make(map[string]int, len(out))
	ids := make([]string, len(out))
	for i := range out {
		at[out[i].ID], ids[i] = i, out[i].ID
	}
	return out, sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("award_id", batch)
		type share struct {
			award string
			AwardShare
		}
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (s share, err error) {
			var weight string
			if err := rows.Scan(&s.award, &s.BidID, &s.PCN, &s.Asked, &s.Awarded, &weight); err != nil {
				return s, err
			}
			s.Weight, err = optionalExact(weight)
			return s, err
		}, func(s share) error {
			out[at[s.award]].Shares = append(out[at[s.award]].Shares, s.AwardShare)
			return nil
		}, `SELECT award_id, bid_id, pcn_code, asked_pence, awarded_pence, weight FROM award_shares`+f.String()+` ORDER BY award_id, number`, f.Args()...)
	})
}

// optionalExact reads a decimal or a fraction; nil where there is none.
func optionalExact(text string) (*big.Rat, error) {
	if text == "" {
		return nil, nil
	}
	return money.ParseExact(text)
}

// PoolRow is what became of what the PCNs of a commissioner gave up of a pot.
type PoolRow struct {
	Pot              rules.Pot
	GivenUp, Awarded money.Pence
	OpenBids         int64
	Asked            money.Pence
}

// Pool adds up what a commissioner's PCNs gave up in a year, what was awarded and what is asked, by pot.
func Pool(ctx context.Context, q sqldb.Querier, commissioner string, year period.FinancialYear) ([]PoolRow, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (p PoolRow, err error) {
		var pot string
		err = rows.Scan(&pot, &p.GivenUp, &p.Awarded, &p.OpenBids, &p.Asked)
		p.Pot = rules.Pot(pot)
		return p, err
	}, `SELECT pot, CAST(SUM(given_up) AS BIGINT), CAST(SUM(awarded) AS BIGINT), CAST(SUM(open_bids) AS BIGINT), CAST(SUM(asked) AS BIGINT) FROM (
			SELECT pot, amount_pence AS given_up, 0 AS awarded, 0 AS open_bids, 0 AS asked FROM unclaimed
				WHERE commissioner_code = $1 AND financial_year = $2 AND state = 2
			UNION ALL SELECT pot, 0, awarded_pence, 0, 0 FROM awards WHERE commissioner_code = $1 AND financial_year = $2
			UNION ALL SELECT pot, 0, 0, 1, asked_pence FROM bids WHERE commissioner_code = $1 AND financial_year = $2 AND state = 1
		) AS parts GROUP BY pot ORDER BY pot`, commissioner, year.String())
}
