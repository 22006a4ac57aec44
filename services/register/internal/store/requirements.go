package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// LockRequirements is the key held while a version of a requirement gets its number, so that numbers follow the order in which versions
// become known.
const LockRequirements = "register/requirements"

// RequirementVersion is one version of a requirement with who recorded it, when and why.
type RequirementVersion struct {
	rules.Requirement
	Position   int64
	KnownFrom  time.Time
	RecordedBy string
	Reason     string
}

// days reads columns written by this package and keeps the first failure.
type days struct{ err error }

func (d *days) day(text string) period.Date {
	day, err := date(text)
	if d.err == nil {
		d.err = err
	}
	return day
}

const requirementColumns = `position, requirement_id, financial_year, name, phase, focus_area, start_date, due_date, other_due_date, end_date, put_off,
	evidence_type, hold_clause, source, confidence, note, commissioner_code, taken_back, known_from, recorded_by, reason`

func scanRequirement(row scanner) (RequirementVersion, error) {
	var v RequirementVersion
	var year, start, due, other, end string
	var known int64
	err := row.Scan(&v.Position, &v.ID, &year, &v.Name, &v.Phase, &v.Focus, &start, &due, &other, &end, &v.PutOff, &v.Evidence, &v.HoldBasis,
		&v.Source, &v.Confidence, &v.Note, &v.Commissioner, &v.TakenBack, &known, &v.RecordedBy, &v.Reason)
	if err != nil {
		return v, err
	}
	var d days
	v.Start, v.Due, v.Other, v.End, v.KnownFrom = d.day(start), d.day(due), d.day(other), d.day(end), sqldb.FromMicros(known)
	if d.err != nil {
		return v, d.err
	}
	v.Year, err = period.ParseFinancialYear(year)
	return v, err
}

// AddRequirement numbers a version of a requirement, sets the moment it becomes known, later than that of any other, and stores it. The
// caller holds LockRequirements.
func AddRequirement(ctx context.Context, tx *sqldb.Tx, v *RequirementVersion, now time.Time) error {
	var last, lastKnown sql.NullInt64
	if err := tx.QueryRow(ctx, `SELECT max(position), max(known_from) FROM requirement_versions`).Scan(&last, &lastKnown); err != nil {
		return fmt.Errorf("number a version of %s: %w", v.ID, err)
	}
	known := max(sqldb.Micros(now), lastKnown.Int64+1)
	v.Position, v.KnownFrom = last.Int64+1, sqldb.FromMicros(known)
	_, err := tx.Exec(ctx, `INSERT INTO requirement_versions (`+requirementColumns+`) VALUES (`+sqldb.Placeholders(1, 21)+`)`,
		v.Position, v.ID, v.Year.String(), v.Name, v.Phase, v.Focus, v.Start.String(), v.Due.String(), v.Other.String(), v.End.String(), v.PutOff,
		v.Evidence, v.HoldBasis, v.Source, int64(v.Confidence), v.Note, v.Commissioner, v.TakenBack, known, v.RecordedBy, v.Reason)
	if err != nil {
		return fmt.Errorf("store a version of %s: %w", v.ID, err)
	}
	return nil
}

// Requirements returns the versions known at a moment of one requirement, of one year, or of all for which neither is named, in the order
// in which they became known.
func Requirements(ctx context.Context, q sqldb.Querier, id, year string, known time.Time) ([]RequirementVersion, error) {
	var f sqldb.Filter
	f.Where("known_from <= ?", sqldb.Micros(known))
	f.Equal("requirement_id", id, "financial_year", year)
	out, err := list(ctx, q, scanRequirement, `SELECT `+requirementColumns+` FROM requirement_versions`+f.String()+` ORDER BY position`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("read the requirements: %w", err)
	}
	return out, nil
}

// Step is one step of a requirement at a PCN.
type Step struct {
	rules.Step
	Requirement, PCN string
	// Commissioner owed the PCN's payments when the step was recorded.
	Commissioner string
	RecordedAt   time.Time
}

// StepKey names the history of a requirement at a PCN.
type StepKey struct{ Requirement, PCN string }

const stepColumns = `requirement_id, pcn_code, number, kind, planned_date, met_date, evidence_type, evidence_reference, reason, commissioner_code,
	recorded_by, recorded_at`

func scanStep(row scanner) (Step, error) {
	var s Step
	var planned, met string
	var at int64
	err := row.Scan(&s.Requirement, &s.PCN, &s.Number, &s.Kind, &planned, &met, &s.Evidence, &s.Where, &s.Reason, &s.Commissioner, &s.By, &at)
	if err != nil {
		return s, err
	}
	var d days
	s.Planned, s.Met, s.RecordedAt = d.day(planned), d.day(met), sqldb.FromMicros(at)
	return s, d.err
}

// AddStep stores a step; its number must be the next of its history.
func AddStep(ctx context.Context, tx *sqldb.Tx, s Step) error {
	_, err := tx.Exec(ctx, `INSERT INTO requirement_steps (`+stepColumns+`) VALUES (`+sqldb.Placeholders(1, 12)+`)`,
		s.Requirement, s.PCN, s.Number, string(s.Kind), s.Planned.String(), s.Met.String(), s.Evidence, s.Where, s.Reason, s.Commissioner, s.By,
		sqldb.Micros(s.RecordedAt))
	if err != nil {
		return fmt.Errorf("store a step of %s at %s: %w", s.Requirement, s.PCN, err)
	}
	return nil
}

// Steps returns the histories known at a moment of some requirements, at some PCNs or, for nil, at all; each oldest first.
func Steps(ctx context.Context, q sqldb.Querier, requirements, pcns []string, known time.Time) (map[StepKey][]Step, error) {
	out := make(map[StepKey][]Step)
	err := sqldb.InBatches(requirements, func(batch []string) error {
		var f sqldb.Filter
		f.In("requirement_id", batch)
		f.Within("pcn_code", pcns)
		f.Where("recorded_at <= ?", sqldb.Micros(known))
		return each(ctx, q, func(row scanner) error {
			s, err := scanStep(row)
			key := StepKey{s.Requirement, s.PCN}
			out[key] = append(out[key], s)
			return err
		}, `SELECT `+stepColumns+` FROM requirement_steps`+f.String()+` ORDER BY requirement_id, pcn_code, number`, f.Args()...)
	})
	if err != nil {
		return nil, fmt.Errorf("read steps of requirements: %w", err)
	}
	return out, nil
}

// Plain returns the steps of a history as rules take them.
func Plain(history []Step) []rules.Step {
	out := make([]rules.Step, len(history))
	for i := range history {
		out[i] = history[i].Step
		out[i].Recorded = period.DateOf(history[i].RecordedAt)
	}
	return out
}
