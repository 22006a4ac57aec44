package store

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// SettingRow is a setting as it is kept.
type SettingRow struct {
	rules.Setting
	Reason     string
	RecordedAt int64
	RecordedBy string
}

const settingColumns = `setting_id, commissioner_code, name, value, from_month, reason, recorded_at, recorded_by`

// InsertSetting adds a setting.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, s SettingRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO settings (`+settingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.ID, s.CommissionerCode, s.Name, s.Value, s.From.String(), s.Reason, s.RecordedAt, s.RecordedBy)
	if err != nil {
		return fmt.Errorf("insert setting: %w", err)
	}
	return nil
}

// Settings selects those of a commissioner and of England, in order of recording; an empty commissioner means all.
func Settings(commissioner string) sqldb.Select[SettingRow] {
	var f sqldb.Filter
	if commissioner != "" {
		f.In("commissioner_code", []string{commissioner, rules.England})
	}
	return sqldb.Select[SettingRow]{Scan: scanSetting, Text: `SELECT ` + settingColumns + ` FROM settings` + f.String() + ` ORDER BY recorded_at, setting_id`, Args: f.Args()}
}

func scanSetting(row sqldb.Row) (s SettingRow, err error) {
	var from string
	if err := row.Scan(&s.ID, &s.CommissionerCode, &s.Name, &s.Value, &from, &s.Reason, &s.RecordedAt, &s.RecordedBy); err != nil {
		return s, err
	}
	var p stored.Texts
	s.From = p.Month(from)
	return s, p.Err
}

// DecisionKind is what is decided; its values equal those of the contract.
type DecisionKind int64

// The kinds.
const (
	PCNRegion DecisionKind = iota + 1
	BaselineWTE
	ExemptWTE
	EmployedWTE
	OverCeilingAgreed
	ShareAgreed
	SubstantiveGPAgreed
	TrainingTestDay
	RoleAgreed
	ProviderAgreed
	EarlyHireAgreed
	TransferAgreed
)

// DecisionRow is a decision as it is kept.
type DecisionRow struct {
	rules.Months
	ID               string
	CommissionerCode string
	Kind             DecisionKind
	PCNCode          string // empty for all of the commissioner's
	Role             string
	EngagementID     string
	Value            string
	Reason           string
	DecidedBy        string
	DecidedAt        int64
}

const decisionColumns = `decision_id, commissioner_code, kind, pcn_code, role_code, engagement_id, value, from_month, to_month, reason, decided_by, decided_at`

// InsertDecision adds a decision.
func InsertDecision(ctx context.Context, tx *sqldb.Tx, d DecisionRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO decisions (`+decisionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		d.ID, d.CommissionerCode, int64(d.Kind), d.PCNCode, d.Role, d.EngagementID, d.Value, d.From.String(), d.To.String(), d.Reason, d.DecidedBy, d.DecidedAt)
	if err != nil {
		return fmt.Errorf("insert decision: %w", err)
	}
	return nil
}

func scanDecision(rows sqldb.Row) (d DecisionRow, err error) {
	var from, to string
	if err := rows.Scan(&d.ID, &d.CommissionerCode, &d.Kind, &d.PCNCode, &d.Role, &d.EngagementID, &d.Value, &from, &to, &d.Reason, &d.DecidedBy,
		&d.DecidedAt); err != nil {
		return d, err
	}
	var p stored.Texts
	d.From, d.To = p.Month(from), p.Month(to)
	return d, p.Err
}

// DecisionsOn selects the decisions that hold for a PCN, those for all of its commissioner's among them, in order of being taken.
func DecisionsOn(commissioner, pcn string) sqldb.Select[DecisionRow] {
	return sqldb.Select[DecisionRow]{Scan: scanDecision, Text: `SELECT ` + decisionColumns + ` FROM decisions
		WHERE pcn_code = $1 OR (pcn_code = '' AND commissioner_code = $2) ORDER BY decision_id`, Args: []any{pcn, commissioner}}
}

// Decisions returns decisions, newest first.
func Decisions(ctx context.Context, q sqldb.Querier, by Page) ([]DecisionRow, error) {
	f := by.scope()
	if by.Before != "" {
		f.Where("decision_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanDecision, `SELECT `+decisionColumns+` FROM decisions`+conditions+` ORDER BY decision_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// RegionsOf returns the decisions on the price regions of some PCNs, in order of being taken.
func RegionsOf(ctx context.Context, q sqldb.Querier, pcns []string) ([]DecisionRow, error) {
	var out []DecisionRow
	err := sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.Where("kind = ?", int64(PCNRegion))
		f.In("pcn_code", batch)
		rows, err := sqldb.Collect(ctx, q, scanDecision, `SELECT `+decisionColumns+` FROM decisions`+f.String()+` ORDER BY decision_id`, f.Args()...)
		out = append(out, rows...)
		return err
	})
	return out, err
}

// EngagementPCN returns the PCN of an engagement, or sql.ErrNoRows.
func EngagementPCN(ctx context.Context, q sqldb.Querier, id string) (string, error) {
	return sqldb.First(sqldb.Collect(ctx, q, sqldb.Text, `SELECT pcn_code FROM engagements WHERE engagement_id = $1`, id))
}

// YearRow is a version of what a PCN's claims of a year rest on.
type YearRow struct {
	PCNCode            string
	PCNName            string
	CommissionerCode   string
	CommissionerName   string
	LocationCode       string
	Year               period.FinancialYear
	Version            int
	Population         rules.Population
	WeightedLoadID     string
	RegisteredPatients int64 // 0 while unknown
	Region             rules.Region
	SnapshotID         string
	FixedBy            string
	FixedAt            int64
}
