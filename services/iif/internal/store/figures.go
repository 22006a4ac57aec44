package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// FigureKind is what a figure states; its values equal those of the contract.
type FigureKind int64

// The kinds.
const (
	ValueFigure FigureKind = iota + 1
	VersionFigure
	IndicatorFigure
	OverrideFigure
	RunFigure
)

// FigureRow is a version of a figure as it is kept. KnownFrom of the figure is the day in the world, and Position the order of
// recording, which figures share with settings.
type FigureRow struct {
	rules.Figure
	Kind FigureKind
	Year period.FinancialYear
	// Subject names what versions of a figure are versions of, apart from the commissioner.
	Subject string
	// Body holds what the figure states, and nothing else of a figure.
	Body       *iifv1.Figure
	KnownAt    int64 // microseconds: from when a year may rest on it; 0 for always
	RecordedAt int64 // microseconds: when the suite learnt it
	RecordedBy string
	Replaces   string // version it stands in for; empty for a first one
}

// Known is what the rules go by: known from the day on which the suite could use it.
func (r *FigureRow) Known() rules.Figure {
	out := r.Figure
	if out.KnownFrom = (period.Date{}); r.KnownAt != 0 {
		out.KnownFrom = period.DateOf(sqldb.FromMicros(r.KnownAt))
	}
	return out
}

const figureColumns = `figure_id, position, kind, financial_year, subject, body, source, confidence, known_from, known_from_basis, known_at, recorded_at,
	recorded_by, commissioner_code, note, replaces_figure_id`

// InsertFigures adds versions, in order, and sets their positions: the next of figures and settings. The caller holds the lock of figures.
func InsertFigures(ctx context.Context, tx *sqldb.Tx, figures []FigureRow) error {
	last, _, err := LastPosition(ctx, tx)
	if err != nil {
		return err
	}
	for i := range figures {
		figures[i].Position = last + int64(i) + 1
	}
	_, err = tx.BulkInsert(ctx, "figures", []string{
		"figure_id", "position", "kind", "financial_year", "subject", "body", "source", "confidence", "known_from", "known_from_basis", "known_at",
		"recorded_at", "recorded_by", "commissioner_code", "note", "replaces_figure_id",
	}, rowsOf(figures, func(r FigureRow) ([]any, error) {
		body, err := sqldb.Marshal(r.Body)
		return []any{
			r.ID, r.Position, int64(r.Kind), r.Year.String(), r.Subject, body, r.Source, int64(r.Confidence), r.KnownFrom.String(), r.KnownFromBasis,
			r.KnownAt, r.RecordedAt, r.RecordedBy, r.CommissionerCode, r.Note, r.Replaces,
		}, err
	}))
	if err != nil {
		return fmt.Errorf("insert %d figures: %w", len(figures), err)
	}
	return nil
}

// LastPosition returns the position and the identifier of the figure or setting that was recorded last, 0 if there is none. While both
// stand, so do all before it: a position alone may have been that of a row whose transaction failed.
func LastPosition(ctx context.Context, q sqldb.Querier) (position int64, id string, err error) {
	err = q.QueryRow(ctx, `SELECT position, id FROM (
		SELECT position, figure_id AS id FROM figures WHERE position = (SELECT MAX(position) FROM figures)
		UNION ALL SELECT position, setting_id AS id FROM settings WHERE position = (SELECT MAX(position) FROM settings)
		UNION ALL SELECT 0 AS position, '' AS id) AS recorded ORDER BY position DESC LIMIT 1`).Scan(&position, &id)
	if err != nil {
		return 0, "", fmt.Errorf("find the last figure: %w", err)
	}
	return position, id, nil
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

// Figures returns every version up to a position, in order of recording; 0 means all.
func Figures(ctx context.Context, q sqldb.Querier, upTo int64) ([]FigureRow, error) {
	var f sqldb.Filter
	if upTo != 0 {
		f.Where("position <= ?", upTo)
	}
	rows, err := sqldb.Collect(ctx, q, scanFigure, `SELECT `+figureColumns+` FROM figures`+f.String()+` ORDER BY position`, f.Args()...)
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
	var year, knownFrom string
	var confidence int64
	var body []byte
	err := rows.Scan(&r.ID, &r.Position, &r.Kind, &year, &r.Subject, &body, &r.Source, &confidence, &knownFrom, &r.KnownFromBasis, &r.KnownAt,
		&r.RecordedAt, &r.RecordedBy, &r.CommissionerCode, &r.Note, &r.Replaces)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year, r.KnownFrom, r.Confidence = p.Year(year), p.Date(knownFrom), working.Confidence(confidence)
	if p.Err != nil {
		return r, p.Err
	}
	r.Body, err = sqldb.Unmarshal(body, new(iifv1.Figure))
	return r, err
}
