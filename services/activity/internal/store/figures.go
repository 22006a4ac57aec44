package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// FigureKind is what a figure states; its values equal those of the contract.
type FigureKind int64

// The kinds.
const (
	PriceFigure FigureKind = iota + 1
	FactorFigure
)

// FigureRow is a version of a figure as it is kept. Position is the order of recording, which figures share with settings.
type FigureRow struct {
	rules.Figure
	Kind FigureKind
	// Subject names what versions of a figure are versions of, apart from the commissioner.
	Subject string
	// Body holds what the figure states, and nothing else of a figure.
	Body       *activityv1.Figure
	RecordedAt int64 // microseconds: when the suite learnt it
	RecordedBy string
	Replaces   string // version it stands in for; empty for a first one
}

const figureColumns = `figure_id, position, kind, subject, body, source, confidence, known_from, known_from_basis, recorded_at, recorded_by,
	commissioner_code, note, replaces_figure_id`

// InsertFigures adds versions, in order, and sets their positions: the next of figures and settings. The caller holds the lock of figures.
func InsertFigures(ctx context.Context, tx *sqldb.Tx, figures []FigureRow) error {
	last, err := LastPosition(ctx, tx)
	if err != nil {
		return err
	}
	for i := range figures {
		figures[i].Position = last + int64(i) + 1
	}
	_, err = tx.BulkInsert(ctx, "figures", []string{
		"figure_id", "position", "kind", "subject", "body", "source", "confidence", "known_from", "known_from_basis", "recorded_at", "recorded_by",
		"commissioner_code", "note", "replaces_figure_id",
	}, rowsOf(figures, func(r *FigureRow) ([]any, error) {
		body, err := sqldb.Marshal(r.Body)
		return []any{
			r.ID, r.Position, int64(r.Kind), r.Subject, body, r.Source, int64(r.Confidence), r.KnownFrom.String(), r.KnownFromBasis, r.RecordedAt,
			r.RecordedBy, r.CommissionerCode, r.Note, r.Replaces,
		}, err
	}))
	if err != nil {
		return fmt.Errorf("insert %d figures: %w", len(figures), err)
	}
	return nil
}

// LastPosition returns the position of the figure or setting that was recorded last, 0 if there is none.
func LastPosition(ctx context.Context, q sqldb.Querier) (position int64, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) FROM (
		SELECT MAX(position) AS position FROM figures UNION ALL SELECT MAX(position) AS position FROM settings) AS recorded`).Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("find the last figure: %w", err)
	}
	return position, nil
}

// FigureIDs returns the identifiers of all versions.
func FigureIDs(ctx context.Context, q sqldb.Querier) (map[string]bool, error) {
	out := make(map[string]bool)
	return out, sqldb.Each(ctx, q, sqldb.Text, func(id string) error { out[id] = true; return nil }, `SELECT figure_id FROM figures`)
}

// Figure returns one version, or sql.ErrNoRows.
func Figure(ctx context.Context, q sqldb.Querier, id string) (FigureRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanFigure, `SELECT `+figureColumns+` FROM figures WHERE figure_id = $1`, id))
}

// Figures returns every version, in order of recording.
func Figures(ctx context.Context, q sqldb.Querier) ([]FigureRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanFigure, `SELECT `+figureColumns+` FROM figures ORDER BY position`)
	if err != nil {
		return nil, fmt.Errorf("load figures: %w", err)
	}
	return rows, nil
}

// FiguresAfter returns the versions of a subject that were recorded after a position, in order of recording.
func FiguresAfter(ctx context.Context, q sqldb.Querier, position int64, kind FigureKind, subject string) ([]FigureRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanFigure,
		`SELECT `+figureColumns+` FROM figures WHERE position > $1 AND kind = $2 AND subject = $3 ORDER BY position`, position, int64(kind), subject)
	if err != nil {
		return nil, fmt.Errorf("load later figures of %s: %w", subject, err)
	}
	return rows, nil
}

func scanFigure(rows *sql.Rows) (FigureRow, error) {
	var r FigureRow
	var knownFrom string
	var confidence int64
	var body []byte
	err := rows.Scan(&r.ID, &r.Position, &r.Kind, &r.Subject, &body, &r.Source, &confidence, &knownFrom, &r.KnownFromBasis, &r.RecordedAt,
		&r.RecordedBy, &r.CommissionerCode, &r.Note, &r.Replaces)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.KnownFrom, r.Confidence = p.Date(knownFrom), working.Confidence(confidence)
	if p.Err != nil {
		return r, p.Err
	}
	r.Body, err = sqldb.Unmarshal(body, new(activityv1.Figure))
	return r, err
}

// SettingRow is a setting as it is kept. Its position is one of the figures'.
type SettingRow struct {
	rules.Setting
	Reason     string
	RecordedAt int64 // microseconds
	RecordedBy string
}

const settingColumns = `setting_id, position, commissioner_code, name, subject, value, reason, recorded_at, recorded_by`

// InsertSetting adds a setting and sets its position: the next of figures and settings. The caller holds the lock of figures.
func InsertSetting(ctx context.Context, tx *sqldb.Tx, s *SettingRow) error {
	last, err := LastPosition(ctx, tx)
	if err != nil {
		return err
	}
	s.Position = last + 1
	_, err = tx.Exec(ctx, `INSERT INTO settings (`+settingColumns+`) VALUES (`+sqldb.Placeholders(1, 9)+`)`,
		s.ID, s.Position, s.CommissionerCode, s.Name, s.Subject, s.Value, s.Reason, s.RecordedAt, s.RecordedBy)
	if err != nil {
		return fmt.Errorf("insert setting: %w", err)
	}
	return nil
}

// Settings returns every setting, in order of recording.
func Settings(ctx context.Context, q sqldb.Querier) ([]SettingRow, error) {
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (s SettingRow, err error) {
		err = rows.Scan(&s.ID, &s.Position, &s.CommissionerCode, &s.Name, &s.Subject, &s.Value, &s.Reason, &s.RecordedAt, &s.RecordedBy)
		return s, err
	}, `SELECT `+settingColumns+` FROM settings ORDER BY position`)
	if err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	return rows, nil
}
