package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// AgreementRow is an agreement of a PCN's clinical director to a version of a plan, or its withdrawal, as it is kept.
type AgreementRow struct {
	VersionKey
	PCNCode           string
	Director          string
	Deputy            bool
	AgreedOn          period.Date
	EvidenceReference string
	Withdrawn         bool
	RecordedBy        string
	RecordedAt        int64
}

// InsertAgreement adds an agreement or a withdrawal; it takes the place of what stood of the version and PCN. Whoever calls it holds the
// plan's commissioner.
func InsertAgreement(ctx context.Context, tx *sqldb.Tx, r AgreementRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO agreements (plan_id, number, pcn_code, position, director, deputy, agreed_on, evidence_reference, withdrawn, recorded_by, recorded_at)
		VALUES ($1, $2, $3, (SELECT COUNT(*) + 1 FROM agreements WHERE plan_id = $1 AND number = $2 AND pcn_code = $3), $4, $5, $6, $7, $8, $9, $10)`,
		r.PlanID, r.Number, r.PCNCode, r.Director, r.Deputy, r.AgreedOn.String(), r.EvidenceReference, r.Withdrawn, r.RecordedBy, r.RecordedAt)
	if err != nil {
		return fmt.Errorf("insert agreement of %s to plan %s: %w", r.PCNCode, r.PlanID, err)
	}
	return nil
}

func scanAgreement(rows *sql.Rows) (r AgreementRow, err error) {
	var on string
	if err := rows.Scan(&r.PlanID, &r.Number, &r.PCNCode, &r.Director, &r.Deputy, &on, &r.EvidenceReference, &r.Withdrawn, &r.RecordedBy, &r.RecordedAt); err != nil {
		return r, err
	}
	var p stored.Texts
	r.AgreedOn = p.Date(on)
	return r, p.Err
}

// Agreements returns every agreement to versions and every withdrawal, by PCN in the order in which they were recorded: the last of a PCN
// stands.
func Agreements(ctx context.Context, q sqldb.Querier, keys []VersionKey) (map[VersionKey][]AgreementRow, error) {
	out := make(map[VersionKey][]AgreementRow, len(keys))
	return out, ofVersions("agreements", keys, func(f sqldb.Filter) error {
		return sqldb.Each(ctx, q, scanAgreement, func(r AgreementRow) error {
			out[r.VersionKey] = append(out[r.VersionKey], r)
			return nil
		}, `SELECT plan_id, number, pcn_code, director, deputy, agreed_on, evidence_reference, withdrawn, recorded_by, recorded_at
			FROM agreements`+f.String()+` ORDER BY plan_id, number, pcn_code, position`, f.Args()...)
	})
}

// InsertAssessment adds a PCN's assessment of itself; it takes the place of what stood in the year.
func InsertAssessment(ctx context.Context, tx *sqldb.Tx, year period.FinancialYear, m *devfundv1.SelfAssessment) error {
	body, err := sqldb.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO assessments (pcn_code, financial_year, position, message)
		VALUES ($1, $2, (SELECT COUNT(*) + 1 FROM assessments WHERE pcn_code = $1 AND financial_year = $2), $3)`, m.GetPcnCode(), year.String(), body)
	if err != nil {
		return fmt.Errorf("insert assessment of %s: %w", m.GetPcnCode(), err)
	}
	return nil
}

// Assessments returns where PCNs see themselves in a year, by code: what each recorded last.
func Assessments(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]*devfundv1.SelfAssessment, error) {
	var out []*devfundv1.SelfAssessment
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.Where("a.financial_year = ?", year.String())
		f.In("a.pcn_code", batch)
		f.Where("NOT EXISTS (SELECT 1 FROM assessments n WHERE n.pcn_code = a.pcn_code AND n.financial_year = a.financial_year AND n.position > a.position)")
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (*devfundv1.SelfAssessment, error) {
			var body []byte
			if err := rows.Scan(&body); err != nil {
				return nil, err
			}
			return sqldb.Unmarshal(body, new(devfundv1.SelfAssessment))
		}, `SELECT a.message FROM assessments a`+f.String()+` ORDER BY a.pcn_code`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

// StepRow is a step of a plan as it is kept.
type StepRow struct {
	PlanID  string
	Step    string
	Number  int // version it is of
	State   devfundv1.PlanState
	TakenBy string
	TakenAt int64
	Words   string
}

// InsertStep adds a step after those before. Whoever calls it holds the plan's commissioner.
func InsertStep(ctx context.Context, tx *sqldb.Tx, r StepRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO plan_steps (plan_id, position, step, number, state, taken_by, taken_at, words)
		VALUES ($1, (SELECT COUNT(*) + 1 FROM plan_steps WHERE plan_id = $1), $2, $3, $4, $5, $6, $7)`,
		r.PlanID, r.Step, r.Number, int64(r.State), r.TakenBy, r.TakenAt, r.Words)
	if err != nil {
		return fmt.Errorf("insert step %s of plan %s: %w", r.Step, r.PlanID, err)
	}
	return nil
}

// Steps returns the steps of a plan in their order.
func Steps(ctx context.Context, q sqldb.Querier, plan string) ([]StepRow, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r StepRow, err error) {
		return r, rows.Scan(&r.PlanID, &r.Step, &r.Number, &r.State, &r.TakenBy, &r.TakenAt, &r.Words)
	}, `SELECT plan_id, step, number, state, taken_by, taken_at, words FROM plan_steps WHERE plan_id = $1 ORDER BY position`, plan)
}

// InsertReview adds a review of a plan after those before. Whoever calls it holds the plan's commissioner.
func InsertReview(ctx context.Context, tx *sqldb.Tx, plan string, m *devfundv1.PlanReview) error {
	body, err := sqldb.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO reviews (plan_id, position, message) VALUES ($1, (SELECT COUNT(*) + 1 FROM reviews WHERE plan_id = $1), $2)`, plan, body)
	if err != nil {
		return fmt.Errorf("insert review of plan %s: %w", plan, err)
	}
	return nil
}

// Reviews returns the reviews of a plan in their order.
func Reviews(ctx context.Context, q sqldb.Querier, plan string) ([]*devfundv1.PlanReview, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (*devfundv1.PlanReview, error) {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		return sqldb.Unmarshal(body, new(devfundv1.PlanReview))
	}, `SELECT message FROM reviews WHERE plan_id = $1 ORDER BY position`, plan)
}
