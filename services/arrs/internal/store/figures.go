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
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// FigureKind is what a figure states; its values equal those of the contract.
type FigureKind int64

// The kinds.
const (
	RoleMaximum FigureKind = iota + 1
	SumRate
	NumberLimit
)

// FigureRow is a version of a figure as it is kept. KnownFrom of the figure is the day in the world.
type FigureRow struct {
	rules.Figure
	rules.Months
	Kind             FigureKind
	Position         int64 // order of recording
	Role             string
	Band             string
	Post             rules.Post
	Region           rules.Region // 0 where the kind has none
	Pot              rules.Pot
	ListFrom, ListTo int64    // ListTo is -1 where it is open
	Value            *big.Rat // pounds a year, pounds a patient, or the WTE that is certain; nil while unknown
	ValueMost        *big.Rat // most WTE of a limit; nil while unknown
	Percent          *big.Rat
	NationalGBP      *big.Rat
	NeedsAgreement   bool
	KnownAt          int64 // microseconds: from when a claim may use it
	RecordedAt       int64 // microseconds: when the suite learnt it
	RecordedBy       string
	Replaces         string // version it stands in for; empty for a first one
}

// PriceRow keeps a role maximum.
func PriceRow(p rules.Price) FigureRow {
	return FigureRow{
		Figure: p.Figure, Months: p.Months, Kind: RoleMaximum, Role: p.Role, Band: p.Band, Post: p.Post, Region: p.Region, Value: p.AnnualGBP,
		Percent: p.Percent,
	}
}

// SumRateRow keeps a rate of the yearly sum.
func SumRateRow(r rules.SumRate) FigureRow {
	return FigureRow{Figure: r.Figure, Months: r.Months, Kind: SumRate, Pot: r.Pot, Value: r.RateGBP, NationalGBP: r.NationalGBP}
}

// LimitRow keeps a number limit.
func LimitRow(l rules.Limit) FigureRow {
	return FigureRow{
		Figure: l.Figure, Months: l.Months, Kind: NumberLimit, Role: l.Role, ListFrom: l.ListFrom, ListTo: l.ListTo, Value: l.Certain, ValueMost: l.Most,
		NeedsAgreement: l.NeedsAgreement,
	}
}

// figure is what the rules go by: known from the day on which the suite could use it.
func (r *FigureRow) figure() rules.Figure {
	out := r.Figure
	out.KnownFrom = period.DateOf(sqldb.FromMicros(r.KnownAt))
	return out
}

// Price reads a role maximum.
func (r *FigureRow) Price() rules.Price {
	return rules.Price{
		Figure: r.figure(), Months: r.Months, Role: r.Role, Band: r.Band, Post: r.Post, Region: r.Region, AnnualGBP: r.Value, Percent: r.Percent,
	}
}

// SumRate reads a rate of the yearly sum.
func (r *FigureRow) SumRate() rules.SumRate {
	return rules.SumRate{Figure: r.figure(), Months: r.Months, Pot: r.Pot, RateGBP: r.Value, NationalGBP: r.NationalGBP}
}

// Limit reads a number limit.
func (r *FigureRow) Limit() rules.Limit {
	return rules.Limit{
		Figure: r.figure(), Months: r.Months, Role: r.Role, ListFrom: r.ListFrom, ListTo: r.ListTo, Certain: r.Value, Most: r.ValueMost,
		NeedsAgreement: r.NeedsAgreement,
	}
}

const figureColumns = `figure_id, position, kind, role_code, band, post, region, pot, list_from, list_to, from_month, to_month, value, value_most, percent,
	national_gbp, needs_agreement, source, version, confidence, known_from, known_from_basis, known_at, recorded_at, recorded_by, commissioner_code, note,
	replaces_figure_id`

// InsertFigures adds versions, in order, and gives them the next positions.
func InsertFigures(ctx context.Context, tx *sqldb.Tx, figures []FigureRow) error {
	last, err := LastFigure().First(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.BulkInsert(ctx, "figures", []string{
		"figure_id", "position", "kind", "role_code", "band", "post", "region", "pot", "list_from", "list_to", "from_month", "to_month", "value", "value_most",
		"percent", "national_gbp", "needs_agreement", "source", "version", "confidence", "known_from", "known_from_basis", "known_at", "recorded_at",
		"recorded_by", "commissioner_code", "note", "replaces_figure_id",
	}, rowsOf(figures, func(r FigureRow) ([]any, error) {
		last++
		return []any{
			r.ID, last, int64(r.Kind), r.Role, r.Band, string(r.Post), r.Region.String(), string(r.Pot), r.ListFrom, r.ListTo, r.From.String(), r.To.String(),
			decimalText(r.Value), decimalText(r.ValueMost), decimalText(r.Percent), decimalText(r.NationalGBP), r.NeedsAgreement, r.Source, r.Version,
			int64(r.Confidence), r.KnownFrom.String(), r.KnownFromBasis, r.KnownAt, r.RecordedAt, r.RecordedBy, r.CommissionerCode, r.Note, r.Replaces,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert %d figures: %w", len(figures), err)
	}
	return nil
}

// LastFigure selects the position of the figure recorded last, 0 if there is none: while it stands, so do the figures.
func LastFigure() sqldb.Select[int64] {
	return sqldb.Select[int64]{
		Scan: func(row sqldb.Row) (position int64, err error) { err = row.Scan(&position); return position, err },
		Text: `SELECT COALESCE(MAX(position), 0) FROM figures`,
	}
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

// Figures returns every version, in order of becoming known.
func Figures(ctx context.Context, q sqldb.Querier) ([]FigureRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanFigure, `SELECT `+figureColumns+` FROM figures ORDER BY known_at, position`)
	if err != nil {
		return nil, fmt.Errorf("load figures: %w", err)
	}
	return rows, nil
}

func scanFigure(rows *sql.Rows) (FigureRow, error) {
	var r FigureRow
	var post, region, pot, from, to, value, most, percent, national, knownFrom string
	var confidence int64
	if err := rows.Scan(&r.ID, &r.Position, &r.Kind, &r.Role, &r.Band, &post, &region, &pot, &r.ListFrom, &r.ListTo, &from, &to, &value, &most, &percent,
		&national, &r.NeedsAgreement, &r.Source, &r.Version, &confidence, &knownFrom, &r.KnownFromBasis, &r.KnownAt, &r.RecordedAt, &r.RecordedBy,
		&r.CommissionerCode, &r.Note, &r.Replaces); err != nil {
		return r, err
	}
	r.Post, r.Pot, r.Confidence = rules.Post(post), rules.Pot(pot), working.Confidence(confidence)
	var p stored.Texts
	r.Region = stored.Parse(&p, region, rules.ParseRegion)
	r.From, r.To, r.KnownFrom = p.Month(from), p.Month(to), p.Date(knownFrom)
	r.Value, r.ValueMost, r.Percent, r.NationalGBP = p.Decimal(value), p.Decimal(most), p.Decimal(percent), p.Decimal(national)
	return r, p.Err
}

func decimalText(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}
