package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// England stands for the commissioner in choices that hold for all.
const England = "england"

// InsertSetting adds a choice under its kind.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, kind string, s *paymentsv1.Setting) error {
	value, err := sqldb.Marshal(s)
	if err != nil {
		return err
	}
	commissioner := s.GetCommissionerCode()
	if commissioner == "" {
		commissioner = England
	}
	_, err = tx.Exec(ctx, `INSERT INTO settings (setting_id, commissioner_code, kind, from_month, value, reason, set_by, set_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, s.GetSettingId(), commissioner, kind, s.GetFromMonth(), value, s.GetReason(), s.GetSetBy(),
		sqldb.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("insert setting %s: %w", kind, err)
	}
	return nil
}

func scanSetting(rows *sql.Rows) (*paymentsv1.Setting, error) {
	var value []byte
	if err := rows.Scan(&value); err != nil {
		return nil, err
	}
	return sqldb.Unmarshal(value, new(paymentsv1.Setting))
}

// SettingFor returns the choice of a kind that holds in a month: the commissioner's own before that of England, the later before
// the earlier. Nil means that none was made.
func SettingFor(ctx context.Context, q sqldb.Querier, commissioner, kind string, month period.Month) (*paymentsv1.Setting, error) {
	setting, err := sqldb.First(sqldb.Collect(ctx, q, scanSetting, `SELECT value FROM settings WHERE commissioner_code IN ($1, $2) AND kind = $3
		AND from_month <= $4 ORDER BY CASE WHEN commissioner_code = $2 THEN 1 ELSE 0 END, from_month DESC, setting_id DESC LIMIT 1`,
		commissioner, England, kind, month.String()))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no choice is an answer
	}
	return setting, err
}

// Settings returns choices, those of England among them, newest first.
func Settings(ctx context.Context, q sqldb.Querier, by Page) ([]*paymentsv1.Setting, error) {
	var f sqldb.Filter
	if by.Commissioners != nil {
		f.In("commissioner_code", append([]string{England}, by.Commissioners...))
	}
	if by.Before != "" {
		f.Where("setting_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanSetting, `SELECT value FROM settings`+conditions+` ORDER BY setting_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// InsertMappings adds code mappings of a commissioner.
func InsertMappings(ctx context.Context, tx *sqldb.Tx, commissioner, by string, mappings []*paymentsv1.CodeMapping) error {
	_, err := tx.BulkInsert(ctx, "code_mappings", []string{
		"mapping_id", "commissioner_code", "stream", "financial_year", "organisation_code", "effective_from", "effective_to", "value",
		"recorded_by", "recorded_at",
	}, rowsOf(mappings, func(m *paymentsv1.CodeMapping) ([]any, error) {
		value, err := sqldb.Marshal(m)
		return []any{
			m.GetMappingId(), commissioner, m.GetStream(), m.GetFinancialYear(), m.GetOrganisationCode(), m.GetEffectiveFrom(), m.GetEffectiveTo(),
			value, by, sqldb.Micros(tx.Now()),
		}, err
	}))
	return err
}

// MappingFilter selects mappings.
type MappingFilter struct {
	CommissionerCode string
	Known            int64  // microseconds: what was recorded later is not known; 0 knows everything
	Before           string // identifier of the last one seen
	Limit            int
}

// Mappings returns the code mappings of a commissioner, newest first.
func Mappings(ctx context.Context, q sqldb.Querier, by MappingFilter) ([]*paymentsv1.CodeMapping, error) {
	var f sqldb.Filter
	f.Where("commissioner_code = ?", by.CommissionerCode)
	if by.Known != 0 {
		f.Where("recorded_at <= ?", by.Known)
	}
	if by.Before != "" {
		f.Where("mapping_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (*paymentsv1.CodeMapping, error) {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		return sqldb.Unmarshal(value, new(paymentsv1.CodeMapping))
	}, `SELECT value FROM code_mappings`+conditions+` ORDER BY mapping_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// InsertSuppliers adds payees as the ledger knows them.
func InsertSuppliers(ctx context.Context, tx *sqldb.Tx, commissioner, by string, suppliers []*paymentsv1.Supplier) error {
	_, err := tx.BulkInsert(ctx, "suppliers", []string{
		"commissioner_code", "payee_code", "effective_from", "recorded_at", "supplier_id", "value", "recorded_by",
	}, rowsOf(suppliers, func(s *paymentsv1.Supplier) ([]any, error) {
		value, err := sqldb.Marshal(s)
		return []any{commissioner, s.GetPayeeCode(), s.GetEffectiveFrom(), sqldb.Micros(tx.Now()), tx.NewID(), value, by}, err
	}))
	return err
}

// SupplierFilter selects suppliers.
type SupplierFilter struct {
	CommissionerCode string
	On               string // day; empty returns every version
	Known            int64  // microseconds: what was recorded later is not known; 0 knows everything
	After            string // payee and day of the last one seen
	Limit            int
}

// Suppliers returns payees as the ledger knows them, in order of payee. With a day, the version that holds on it.
func Suppliers(ctx context.Context, q sqldb.Querier, by SupplierFilter) ([]*paymentsv1.Supplier, error) {
	var f sqldb.Filter
	f.Where("s.commissioner_code = ?", by.CommissionerCode)
	known := cmp.Or(by.Known, math.MaxInt64)
	f.Where("s.recorded_at <= ?", known)
	f.Where(`NOT EXISTS (SELECT 1 FROM suppliers n WHERE n.commissioner_code = s.commissioner_code AND n.payee_code = s.payee_code
		AND n.effective_from = s.effective_from AND n.supplier_id > s.supplier_id AND n.recorded_at <= ?)`, known)
	if by.On != "" {
		f.Where("s.effective_from <= ?", by.On)
		f.Where(`NOT EXISTS (SELECT 1 FROM suppliers n WHERE n.commissioner_code = s.commissioner_code AND n.payee_code = s.payee_code
			AND n.effective_from > s.effective_from AND n.effective_from <= ? AND n.recorded_at <= ?)`, by.On, known)
	}
	if by.After != "" {
		f.Where("s.payee_code || ' ' || s.effective_from > ?", by.After)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (*paymentsv1.Supplier, error) {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		return sqldb.Unmarshal(value, new(paymentsv1.Supplier))
	}, `SELECT s.value FROM suppliers s`+conditions+` ORDER BY s.payee_code, s.effective_from`+f.Limit(by.Limit), f.Args()...)
}

// KnowsPayee tells whether a commissioner has a line for a payee, or knows it as a supplier.
func KnowsPayee(ctx context.Context, q sqldb.Querier, commissioner, payee string) (known bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM items WHERE commissioner_code = $1 AND payee_code = $2)
		OR EXISTS (SELECT 1 FROM entries WHERE commissioner_code = $1 AND payee_code = $2)
		OR EXISTS (SELECT 1 FROM suppliers WHERE commissioner_code = $1 AND payee_code = $2)`, commissioner, payee).Scan(&known)
	return known, err
}

// MovingItem is an item that may pass to another commissioner.
type MovingItem struct {
	LineID, PayeeCode, LocationCode, RunID string
	State                                  ItemState
}

// ItemsOf returns every item of a commissioner, in order of line id.
func ItemsOf(ctx context.Context, q sqldb.Querier, commissioner string) ([]MovingItem, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (i MovingItem, err error) {
		err = rows.Scan(&i.LineID, &i.PayeeCode, &i.LocationCode, &i.RunID, &i.State)
		return i, err
	}, `SELECT line_id, payee_code, location_code, run_id, state FROM items WHERE commissioner_code = $1 ORDER BY line_id`, commissioner)
}

// PayeesOf returns the payees in a commissioner's books.
func PayeesOf(ctx context.Context, q sqldb.Querier, commissioner string) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT payee_code FROM entries WHERE commissioner_code = $1 ORDER BY payee_code`, commissioner)
}

// NewestEffective returns the latest day on which anything took effect in a commissioner's books, empty if they are.
func NewestEffective(ctx context.Context, q sqldb.Querier, commissioner string) (day string, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(effective_date), '') FROM entries WHERE commissioner_code = $1`, commissioner).Scan(&day)
	return day, err
}

// MoveItems changes who owes some items, and takes those that are open out of their runs.
func MoveItems(ctx context.Context, tx *sqldb.Tx, to string, lineIDs []string) error {
	return sqldb.InBatches(lineIDs, func(batch []string) error {
		var f sqldb.Filter
		f.In("line_id", batch)
		_, err := tx.Exec(ctx, `UPDATE items SET run_id = CASE WHEN state = 1 THEN '' ELSE run_id END, commissioner_code = `+f.Arg(to)+f.String(), f.Args()...)
		return err
	})
}

// MoveHolds passes on some holds.
func MoveHolds(ctx context.Context, tx *sqldb.Tx, to string, ids []string) error {
	return sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("hold_id", batch)
		_, err := tx.Exec(ctx, `UPDATE holds SET version = version + 1, commissioner_code = `+f.Arg(to)+f.String(), f.Args()...)
		return err
	})
}

// MovePlans passes on the instalments that were agreed with some payees.
func MovePlans(ctx context.Context, tx *sqldb.Tx, from, to string, payees []string) error {
	return sqldb.InBatches(payees, func(batch []string) error {
		var f sqldb.Filter
		f.Where("commissioner_code = ?", from)
		f.In("payee_code", batch)
		_, err := tx.Exec(ctx, `UPDATE recovery_plans SET commissioner_code = `+f.Arg(to)+f.String(), f.Args()...)
		return err
	})
}
