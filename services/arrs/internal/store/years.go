package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

const yearColumns = `y.pcn_code, y.pcn_name, y.commissioner_code, y.commissioner_name, y.location_code, y.financial_year, y.version, y.weighted_population,
	y.weighted_load_id, y.registered_patients, y.region, y.snapshot_id, y.fixed_by, y.fixed_at`

// InsertYear adds a version of a PCN's year and what its pots come to.
func InsertYear(ctx context.Context, tx *sqldb.Tx, y YearRow, pots []rules.Entitlement) error {
	_, err := tx.Exec(ctx, `INSERT INTO years (pcn_code, pcn_name, commissioner_code, commissioner_name, location_code, financial_year, version,
		weighted_population, weighted_load_id, registered_patients, region, snapshot_id, fixed_by, fixed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		y.PCNCode, y.PCNName, y.CommissionerCode, y.CommissionerName, y.LocationCode, y.Year.String(), y.Version, decimalText(y.Population.Value),
		y.WeightedLoadID, y.RegisteredPatients, y.Region.String(), y.SnapshotID, y.FixedBy, y.FixedAt)
	if err != nil {
		return fmt.Errorf("insert year of %s: %w", y.PCNCode, err)
	}
	_, err = tx.BulkInsert(ctx, "entitlements", []string{
		"pcn_code", "financial_year", "version", "pot", "from_month", "to_month", "amount_pence", "rate_id", "confidence", "refusal", "working",
	}, rowsOf(pots, func(e rules.Entitlement) ([]any, error) {
		refusal, steps, confidence := []byte{}, []byte{}, working.Unstated
		if e.Refused != nil {
			body, err := json.Marshal(refused{e.Refused.Reason, e.Refused.Message, e.Refused.Meta})
			if err != nil {
				return nil, fmt.Errorf("keep a refusal: %w", err)
			}
			refusal = body
		}
		if e.Working != nil {
			body, err := sqldb.Marshal(working.ToProto(e.Working))
			if err != nil {
				return nil, err
			}
			steps, confidence = body, e.Working.Confidence()
		}
		return []any{
			y.PCNCode, y.Year.String(), int64(y.Version), string(e.Pot), e.From.String(), e.To.String(), int64(e.Amount), e.RateID, int64(confidence), refusal, steps,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert entitlements of %s: %w", y.PCNCode, err)
	}
	return nil
}

// refused is a refusal as it is kept.
type refused struct {
	Reason  string            `json:"reason"`
	Message string            `json:"message"`
	Meta    map[string]string `json:"meta"`
}

func scanYear(rows sqldb.Row) (y YearRow, err error) {
	var year, weighted, region string
	if err := rows.Scan(&y.PCNCode, &y.PCNName, &y.CommissionerCode, &y.CommissionerName, &y.LocationCode, &year, &y.Version, &weighted, &y.WeightedLoadID,
		&y.RegisteredPatients, &region, &y.SnapshotID, &y.FixedBy, &y.FixedAt); err != nil {
		return y, err
	}
	var p stored.Texts
	y.Year = stored.Parse(&p, year, period.ParseFinancialYear)
	y.Population = rules.Population{
		Value: p.Decimal(weighted), Origin: working.Origin{Kind: working.FromSnapshot, Ref: y.WeightedLoadID, Source: "register snapshot " + y.SnapshotID},
	}
	y.Region = stored.Parse(&p, region, rules.ParseRegion)
	return y, p.Err
}

// newest selects the newest version of each PCN's year.
const newest = `NOT EXISTS (SELECT 1 FROM years n WHERE n.pcn_code = y.pcn_code AND n.financial_year = y.financial_year AND n.version > y.version)`

// Year selects the newest version of a PCN's year.
func Year(pcn string, year period.FinancialYear) sqldb.Select[YearRow] {
	return sqldb.Select[YearRow]{Scan: scanYear, Text: `SELECT ` + yearColumns + ` FROM years y WHERE y.pcn_code = $1 AND y.financial_year = $2
		ORDER BY y.version DESC LIMIT 1`, Args: []any{pcn, year.String()}}
}

// Years returns the newest versions of a year, in order of PCN. Before holds the last PCN seen.
func Years(ctx context.Context, q sqldb.Querier, by Page, year period.FinancialYear) ([]YearRow, error) {
	var f sqldb.Filter
	by.within(&f, "y.commissioner_code", "y.pcn_code")
	f.Where("y.financial_year = ?", year.String())
	f.Where(newest)
	if by.Before != "" {
		f.Where("y.pcn_code > ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanYear, `SELECT `+yearColumns+` FROM years y`+conditions+` ORDER BY y.pcn_code`+f.Limit(by.Limit), f.Args()...)
}

// EntitlementRow is what a pot comes to, as it is kept.
type EntitlementRow struct {
	rules.Entitlement
	PCNCode      string
	Confidence   working.Confidence
	WorkingProto *typev1.Working
}

// Entitlements returns what the pots of some PCNs come to, by the newest versions of a year, in order of PCN and pot.
func Entitlements(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]EntitlementRow, error) {
	return inBatches(ctx, q, pcns, func(batch ...string) sqldb.Select[EntitlementRow] { return EntitlementsOf(year, batch...) })
}

// EntitlementsOf selects them for a few PCNs.
func EntitlementsOf(year period.FinancialYear, pcns ...string) sqldb.Select[EntitlementRow] {
	var f sqldb.Filter
	f.Where("e.financial_year = ?", year.String())
	f.Where(`e.version = (SELECT MAX(y.version) FROM years y WHERE y.pcn_code = e.pcn_code AND y.financial_year = e.financial_year)`)
	f.In("e.pcn_code", pcns)
	return sqldb.Select[EntitlementRow]{
		Scan: func(row sqldb.Row) (EntitlementRow, error) { return scanEntitlement(row, year) },
		Text: `SELECT e.pcn_code, e.pot, e.from_month, e.to_month, e.amount_pence, e.rate_id, e.confidence, e.refusal, e.working FROM entitlements e` +
			f.String() + ` ORDER BY e.pcn_code, e.pot`,
		Args: f.Args(),
	}
}

// inBatches runs a query for a few hundred PCNs at a time.
func inBatches[T any](ctx context.Context, q sqldb.Querier, pcns []string, of func(...string) sqldb.Select[T]) (out []T, err error) {
	err = sqldb.InBatches(pcns, func(batch []string) error {
		rows, err := of(batch...).All(ctx, q)
		out = append(out, rows...)
		return err
	})
	return out, err
}

func scanEntitlement(rows sqldb.Row, year period.FinancialYear) (e EntitlementRow, err error) {
	var pot, from, to string
	var refusal, steps []byte
	if err := rows.Scan(&e.PCNCode, &pot, &from, &to, &e.Amount, &e.RateID, &e.Confidence, &refusal, &steps); err != nil {
		return e, err
	}
	var p stored.Texts
	e.Year, e.Pot, e.From, e.To = year, rules.Pot(pot), p.Month(from), p.Month(to)
	if p.Err != nil {
		return e, p.Err
	}
	if len(refusal) > 0 {
		var kept refused
		if err := json.Unmarshal(refusal, &kept); err != nil {
			return e, fmt.Errorf("refusal of %s: %w", e.PCNCode, err)
		}
		e.Refused = fault.New(fault.Refused, kept.Reason, "%s", kept.Message)
		for key, value := range kept.Meta {
			e.Refused = e.Refused.With(key, value)
		}
	}
	e.WorkingProto, err = sqldb.Unmarshal(steps, new(typev1.Working))
	return e, err
}

// PotRow is the running totals of a pot, in pence.
type PotRow struct {
	PCNCode                                          string
	Year                                             period.FinancialYear
	Pot                                              rules.Pot
	GivenUp, Awarded, Submitted, Approved, Scheduled money.Pence
}

// LedPCNs returns the PCNs of which a commissioner ever had a year fixed, in order.
func LedPCNs(ctx context.Context, q sqldb.Querier, commissioner string) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT pcn_code FROM years WHERE commissioner_code = $1 ORDER BY pcn_code`, commissioner)
}

// Pots returns the running totals of some PCNs in a year; a pot that nothing has touched is absent.
func Pots(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]PotRow, error) {
	return inBatches(ctx, q, pcns, func(batch ...string) sqldb.Select[PotRow] { return PotsOf(year, batch...) })
}

// PotsOf selects them for a few PCNs.
func PotsOf(year period.FinancialYear, pcns ...string) sqldb.Select[PotRow] {
	var f sqldb.Filter
	f.Where("financial_year = ?", year.String())
	f.In("pcn_code", pcns)
	return sqldb.Select[PotRow]{
		Scan: func(row sqldb.Row) (p PotRow, err error) {
			var pot string
			err = row.Scan(&p.PCNCode, &pot, &p.GivenUp, &p.Awarded, &p.Submitted, &p.Approved, &p.Scheduled)
			p.Pot, p.Year = rules.Pot(pot), year
			return p, err
		},
		Text: `SELECT pcn_code, pot, given_up_pence, awarded_pence, submitted_pence, approved_pence, scheduled_pence FROM pots` + f.String() +
			` ORDER BY pcn_code, pot`,
		Args: f.Args(),
	}
}

// errNoPot tells that something is taken off a pot into which nothing was ever put.
var errNoPot = errors.New("there is no such pot")

// MovePot adds to the running totals of a pot; amounts below zero take away. A total below zero breaks a check.
func MovePot(ctx context.Context, tx *sqldb.Tx, by PotRow) error {
	args := []any{
		by.PCNCode, by.Year.String(), string(by.Pot), int64(by.GivenUp), int64(by.Awarded), int64(by.Submitted), int64(by.Approved), int64(by.Scheduled),
	}
	what := "move pot " + string(by.Pot) + " of " + by.PCNCode
	if min(by.GivenUp, by.Awarded, by.Submitted, by.Approved, by.Scheduled) < 0 {
		return tx.QueueFirst(ctx, errNoPot, what, `UPDATE pots SET given_up_pence = given_up_pence + $4,
			awarded_pence = awarded_pence + $5, submitted_pence = submitted_pence + $6, approved_pence = approved_pence + $7,
			scheduled_pence = scheduled_pence + $8 WHERE pcn_code = $1 AND financial_year = $2 AND pot = $3`, args...)
	}
	return tx.Queue(ctx, what, `INSERT INTO pots (pcn_code, financial_year, pot, given_up_pence, awarded_pence, submitted_pence, approved_pence, scheduled_pence)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (pcn_code, financial_year, pot) DO UPDATE SET given_up_pence = pots.given_up_pence + $4,
		awarded_pence = pots.awarded_pence + $5, submitted_pence = pots.submitted_pence + $6, approved_pence = pots.approved_pence + $7,
		scheduled_pence = pots.scheduled_pence + $8`, args...)
}
