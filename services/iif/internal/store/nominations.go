package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

// NominationState is where a nomination stands; its values equal those of the contract.
type NominationState int64

// The states.
const (
	Nominated NominationState = iota + 1
	NominationApproved
	NominationRefused
	NominationEnded
)

// NominationRow is a nomination as it is kept.
type NominationRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Person           string
	State            NominationState
	NominatedBy      string
	NominatedAt      int64
	DecidedBy        string
	DecidedAt        int64
	Reason           string
	Version          int64
}

const nominationColumns = `nomination_id, pcn_code, commissioner_code, person, state, nominated_by, nominated_at, decided_by, decided_at, reason, version`

func scanNomination(rows *sql.Rows) (r NominationRow, err error) {
	err = rows.Scan(&r.ID, &r.PCNCode, &r.CommissionerCode, &r.Person, &r.State, &r.NominatedBy, &r.NominatedAt, &r.DecidedBy, &r.DecidedAt, &r.Reason, &r.Version)
	return r, err
}

// InsertNomination adds a nomination.
func InsertNomination(ctx context.Context, tx *sqldb.Tx, r NominationRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO nominations (`+nominationColumns+`) VALUES (`+sqldb.Placeholders(1, 11)+`)`,
		r.ID, r.PCNCode, r.CommissionerCode, r.Person, r.State, r.NominatedBy, r.NominatedAt, r.DecidedBy, r.DecidedAt, r.Reason, r.Version)
	if err != nil {
		return fmt.Errorf("insert nomination for %s: %w", r.PCNCode, err)
	}
	return nil
}

// ChangeNomination stores what became of a nomination, if its row is still the one that was read.
func ChangeNomination(ctx context.Context, tx *sqldb.Tx, r NominationRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE nominations SET commissioner_code = $1, state = $2, decided_by = $3, decided_at = $4, reason = $5, version = version + 1
		WHERE nomination_id = $6 AND version = $7`, r.CommissionerCode, r.State, r.DecidedBy, r.DecidedAt, r.Reason, r.ID, r.Version))
}

// LeadNominations gives the nominations of PCNs to the commissioner that leads them now.
func LeadNominations(ctx context.Context, tx *sqldb.Tx, pcns []string, commissioner string) error {
	return sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		to := f.Arg(commissioner)
		f.In("pcn_code", batch)
		f.Where("commissioner_code <> ?", commissioner)
		if _, err := tx.Exec(ctx, `UPDATE nominations SET commissioner_code = `+to+`, version = version + 1`+f.String(), f.Args()...); err != nil {
			return fmt.Errorf("hand nominations over to %s: %w", commissioner, err)
		}
		return nil
	})
}

// Lead is the newest year of a PCN that was calculated, and whose it is.
type Lead struct {
	PCNCode          string
	Year             period.FinancialYear
	CommissionerCode string
}

// Leads returns those of some PCNs, by PCN. One of which no year was calculated has none.
func Leads(ctx context.Context, q sqldb.Querier, pcns []string) (map[string]Lead, error) {
	out := make(map[string]Lead, len(pcns))
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("a.pcn_code", batch)
		f.Where(`a.financial_year = (SELECT MAX(financial_year) FROM achievements WHERE pcn_code = a.pcn_code)`)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (l Lead, err error) {
			var year string
			if err := rows.Scan(&l.PCNCode, &year, &l.CommissionerCode); err != nil {
				return l, err
			}
			var p stored.Texts
			l.Year = p.Year(year)
			return l, p.Err
		}, `SELECT a.pcn_code, a.financial_year, a.commissioner_code FROM achievements a`+f.String(), f.Args()...)
		if err != nil {
			return fmt.Errorf("load who leads PCNs: %w", err)
		}
		for _, l := range rows {
			out[l.PCNCode] = l
		}
		return nil
	})
}

// Nomination returns a nomination, or sql.ErrNoRows.
func Nomination(ctx context.Context, q sqldb.Querier, id string) (NominationRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanNomination, `SELECT `+nominationColumns+` FROM nominations WHERE nomination_id = $1`, id))
}

// LiveNominations returns the nominations of a PCN that wait or are in force.
func LiveNominations(ctx context.Context, q sqldb.Querier, pcn string) ([]NominationRow, error) {
	return sqldb.Collect(ctx, q, scanNomination, `SELECT `+nominationColumns+` FROM nominations WHERE pcn_code = $1 AND state IN (1, 2) ORDER BY nomination_id`, pcn)
}

// Nominations returns nominations, newest first.
func Nominations(ctx context.Context, q sqldb.Querier, by Page, inForce bool) ([]NominationRow, error) {
	f := by.scope()
	if by.Before != "" {
		f.Where("nomination_id < ?", by.Before)
	}
	if inForce {
		f.Where("state = ?", NominationApproved)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanNomination, `SELECT `+nominationColumns+` FROM nominations`+conditions+` ORDER BY nomination_id DESC`+f.Limit(by.Limit), f.Args()...)
}
