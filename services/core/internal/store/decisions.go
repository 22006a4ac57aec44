package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// SettingRow is a setting as it is kept.
type SettingRow struct {
	rules.Setting
	Reason     string
	RecordedAt int64
	RecordedBy string
}

const settingColumns = `setting_id, commissioner_code, name, payment_code, value, from_month, reason, recorded_at, recorded_by`

// InsertSetting adds a setting.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, s SettingRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO settings (`+settingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		s.ID, s.CommissionerCode, s.Name, s.PaymentCode, s.Value, s.From.String(), s.Reason, s.RecordedAt, s.RecordedBy)
	if err != nil {
		return fmt.Errorf("insert setting: %w", err)
	}
	return nil
}

// Settings returns those of a commissioner and of England known at a moment, in order of recording; an empty commissioner
// means all.
func Settings(ctx context.Context, q sqldb.Querier, commissioner string, knownAt int64) ([]SettingRow, error) {
	var f sqldb.Filter
	f.Where("recorded_at <= ?", knownAt)
	if commissioner != "" {
		f.In("commissioner_code", []string{commissioner, rules.England})
	}
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (s SettingRow, err error) {
		var from string
		if err := rows.Scan(&s.ID, &s.CommissionerCode, &s.Name, &s.PaymentCode, &s.Value, &from, &s.Reason, &s.RecordedAt, &s.RecordedBy); err != nil {
			return s, err
		}
		var p stored.Texts
		s.From = p.Month(from)
		return s, p.Err
	}, `SELECT `+settingColumns+` FROM settings`+f.String()+` ORDER BY recorded_at, setting_id`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	return rows, nil
}

// WithholdingRow is a withholding as it is kept.
type WithholdingRow struct {
	rules.Withholding
	CommissionerCode string
	WithheldBy       string
	WithheldAt       int64
	ReleasedBy       string
	ReleasedAt       int64 // 0 while withheld
	ReleaseReason    string
	Version          int64
}

const withholdingColumns = `withholding_id, commissioner_code, pcn_code, payment_code, from_month, to_month, reason, withheld_by,
	withheld_at, released_by, released_at, release_reason, version`

// InsertWithholding adds a withholding.
func InsertWithholding(ctx context.Context, tx *sqldb.Tx, w WithholdingRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO withholdings (withholding_id, commissioner_code, pcn_code, payment_code, from_month, to_month,
		reason, withheld_by, withheld_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		w.ID, w.CommissionerCode, w.PCNCode, w.PaymentCode, w.From.String(), w.To.String(), w.Reason, w.WithheldBy, w.WithheldAt)
	if err != nil {
		return fmt.Errorf("insert withholding: %w", err)
	}
	return nil
}

// ReleaseWithholding notes a release if the version still stands; it returns false if it does not.
func ReleaseWithholding(ctx context.Context, tx *sqldb.Tx, w WithholdingRow) (bool, error) {
	result, err := tx.Exec(ctx, `UPDATE withholdings SET released_by = $1, released_at = $2, release_reason = $3, version = version + 1
		WHERE withholding_id = $4 AND version = $5`, w.ReleasedBy, w.ReleasedAt, w.ReleaseReason, w.ID, w.Version)
	return changedOne(result, err, "release withholding")
}

func changedOne(result sql.Result, err error, what string) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Withholding returns one, or sql.ErrNoRows.
func Withholding(ctx context.Context, q sqldb.Querier, id string) (WithholdingRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanWithholding, `SELECT `+withholdingColumns+` FROM withholdings WHERE withholding_id = $1`, id))
}

// WithholdingFilter selects withholdings.
type WithholdingFilter struct {
	Commissioners []string // nil means all
	PCNs          []string // nil means all
	OpenOnly      bool
	KnownAt       int64  // 0 means now: as they stand
	Before        string // identifier of the last one seen; empty for the first page
	Limit         int    // 0 means all
}

// Withholdings returns withholdings, newest first. As known at an earlier moment, later releases are not seen.
func Withholdings(ctx context.Context, q sqldb.Querier, by WithholdingFilter) ([]WithholdingRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	if by.PCNs != nil {
		f.In("pcn_code", by.PCNs)
	}
	if by.KnownAt != 0 {
		f.Where("withheld_at <= ?", by.KnownAt)
	}
	if by.OpenOnly && by.KnownAt == 0 {
		f.Where("released_at = 0")
	}
	if by.OpenOnly && by.KnownAt != 0 {
		f.Where("(released_at = 0 OR released_at > ?)", by.KnownAt)
	}
	if by.Before != "" {
		f.Where("withholding_id < ?", by.Before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanWithholding, `SELECT `+withholdingColumns+` FROM withholdings`+conditions+
		` ORDER BY withholding_id DESC`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load withholdings: %w", err)
	}
	return rows, nil
}

func scanWithholding(rows *sql.Rows) (WithholdingRow, error) {
	var w WithholdingRow
	var from, to string
	if err := rows.Scan(&w.ID, &w.CommissionerCode, &w.PCNCode, &w.PaymentCode, &from, &to, &w.Reason, &w.WithheldBy, &w.WithheldAt,
		&w.ReleasedBy, &w.ReleasedAt, &w.ReleaseReason, &w.Version); err != nil {
		return w, err
	}
	var p stored.Texts
	w.From, w.To = p.Month(from), p.Month(to)
	return w, p.Err
}

// DeclarationState is where a declaration stands; its values equal those of the contract.
type DeclarationState int64

// The states.
const (
	Declared DeclarationState = iota + 1
	Accepted
	Rejected
)

// DeclarationRow is a declaration as it is kept.
type DeclarationRow struct {
	rules.Declaration
	CommissionerCode string
	PeriodFrom       period.Month // first month of the rate's period, within which it is paid once
	Evidence         string
	State            DeclarationState
	DeclaredBy       string
	DeclaredAt       int64
	DecidedBy        string
	DecidedAt        int64
	DecisionReason   string
	Version          int64
}

const declarationColumns = `declaration_id, commissioner_code, pcn_code, payment_code, month, share, evidence, state, declared_by,
	declared_at, decided_by, decided_at, decision_reason, version`

// InsertDeclaration adds a declaration. A second one of the same PCN, payment and period of its rate is a unique violation
// unless the first was rejected.
func InsertDeclaration(ctx context.Context, tx *sqldb.Tx, d DeclarationRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO declarations (declaration_id, commissioner_code, pcn_code, payment_code, month, period_from, share,
		evidence, state, declared_by, declared_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		d.ID, d.CommissionerCode, d.PCNCode, d.PaymentCode, d.Month.String(), d.PeriodFrom.String(), decimalText(d.Share), d.Evidence,
		int64(d.State), d.DeclaredBy, d.DeclaredAt)
	if err != nil {
		return fmt.Errorf("insert declaration: %w", err)
	}
	return nil
}

// DecideDeclaration notes a decision if the version still stands; it returns false if it does not.
func DecideDeclaration(ctx context.Context, tx *sqldb.Tx, d DeclarationRow) (bool, error) {
	result, err := tx.Exec(ctx, `UPDATE declarations SET state = $1, share = $2, decided_by = $3, decided_at = $4, decision_reason = $5,
		version = version + 1 WHERE declaration_id = $6 AND version = $7`,
		int64(d.State), decimalText(d.Share), d.DecidedBy, d.DecidedAt, d.DecisionReason, d.ID, d.Version)
	return changedOne(result, err, "decide declaration")
}

// Declaration returns one, or sql.ErrNoRows.
func Declaration(ctx context.Context, q sqldb.Querier, id string) (DeclarationRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanDeclaration, `SELECT `+declarationColumns+` FROM declarations WHERE declaration_id = $1`, id))
}

// DeclarationFilter selects declarations.
type DeclarationFilter struct {
	Commissioners []string         // nil means all
	PCNs          []string         // nil means all
	State         DeclarationState // 0 means any
	KnownAt       int64            // 0 means now; else only those decided by then
	Before        string
	Limit         int // 0 means all
}

// Declarations returns declarations, newest first.
func Declarations(ctx context.Context, q sqldb.Querier, by DeclarationFilter) ([]DeclarationRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	if by.PCNs != nil {
		f.In("pcn_code", by.PCNs)
	}
	if by.State != 0 {
		f.Where("state = ?", int64(by.State))
	}
	if by.KnownAt != 0 {
		f.Where("decided_at > 0")
		f.Where("decided_at <= ?", by.KnownAt)
	}
	if by.Before != "" {
		f.Where("declaration_id < ?", by.Before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanDeclaration, `SELECT `+declarationColumns+` FROM declarations`+conditions+
		` ORDER BY declaration_id DESC`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load declarations: %w", err)
	}
	return rows, nil
}

func scanDeclaration(rows *sql.Rows) (DeclarationRow, error) {
	var d DeclarationRow
	var month, share string
	if err := rows.Scan(&d.ID, &d.CommissionerCode, &d.PCNCode, &d.PaymentCode, &month, &share, &d.Evidence, &d.State, &d.DeclaredBy,
		&d.DeclaredAt, &d.DecidedBy, &d.DecidedAt, &d.DecisionReason, &d.Version); err != nil {
		return d, err
	}
	var p stored.Texts
	d.Month, d.Share = p.Month(month), p.Decimal(share)
	return d, p.Err
}
