package iif

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

// seededBy is the author of the versions that come with the suite.
const seededBy = "published tables"

// latest asks for the scheme as it stands.
const latest int64 = 0

// heldScheme is the scheme as it was read last. Rows are only added, so the last of them tells whether it still stands.
type heldScheme struct{ atomic.Pointer[schemeAt] }

// schemeAt is everything that is published of the fund or was entered, up to the figure or setting that was recorded last.
type schemeAt struct {
	position int64
	last     string
	scheme   *rules.Scheme
	rows     []store.FigureRow // in order of recording
	byID     map[string]*store.FigureRow
	// superseded are the versions that another stands in the place of.
	superseded map[string]bool
}

// seed adds the versions of the embedded tables that the database lacks.
func (s *Service) seed(ctx context.Context) error {
	published, err := tables.Scheme()
	if err != nil {
		return fmt.Errorf("tables of iif: %w", err)
	}
	rows := figuresOf(published)
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return err
		}
		held, err := store.FigureIDs(ctx, tx)
		if err != nil {
			return err
		}
		var missing []store.FigureRow
		for _, row := range rows {
			if held[row.ID] {
				continue
			}
			row.RecordedAt, row.RecordedBy = sqldb.Micros(tx.Now()), seededBy
			missing = append(missing, row)
		}
		return store.InsertFigures(ctx, tx, missing)
	})
}

// figuresOf returns the figures of the published tables that the database versions, those of a version before what belongs to it.
// Each is known from the day it was published, whenever the suite learnt it. A run, of which no such day is known, is known from ever, and
// so is a row that states nothing and was not announced: what someone enters before its period begins stands when it does.
func figuresOf(published *rules.Scheme) []store.FigureRow {
	var out []store.FigureRow
	add := func(year period.FinancialYear, of stated) {
		row := figureRow(year, &of)
		placeholder := row.Confidence == working.Unknown && row.KnownFromBasis == rules.KnownByEffectiveDate
		if !row.KnownFrom.IsZero() && !placeholder {
			row.KnownAt = sqldb.Micros(row.KnownFrom.Time())
		}
		out = append(out, row)
	}
	years := make(map[string]period.FinancialYear, len(published.Versions))
	for i := range published.Versions {
		version := &published.Versions[i]
		years[version.VersionID] = version.Year
		add(version.Year, stated{version: version})
	}
	for i := range published.Indicators {
		indicator := &published.Indicators[i]
		add(years[indicator.VersionID], stated{indicator: indicator})
	}
	for i := range published.Values {
		add(published.Values[i].Year, stated{value: &published.Values[i]})
	}
	for i := range published.Overrides {
		add(published.Overrides[i].Year, stated{override: &published.Overrides[i]})
	}
	for i := range published.Calendar {
		add(published.Calendar[i].Year, stated{run: &published.Calendar[i]})
	}
	return out
}

// figureRow keeps what a figure states.
func figureRow(year period.FinancialYear, of *stated) store.FigureRow {
	return store.FigureRow{Figure: *of.figure(), Kind: of.kind(), Year: year, Subject: of.subject(year), Body: of.toProto()}
}

// scheme returns everything that is published of the fund or was entered, with the position of the last of it, up to a position; latest
// for all. What it returns is shared and never changed.
func (s *Service) scheme(ctx context.Context, q sqldb.Querier, upTo int64) (*rules.Scheme, int64, error) {
	at, err := s.figures(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	if upTo == latest || upTo >= at.position {
		return at.scheme, at.position, nil
	}
	return schemeUpTo(at.scheme, upTo), upTo, nil
}

// schemeUpTo cuts off what was recorded after a position. Rows stand in order of recording.
func schemeUpTo(s *rules.Scheme, upTo int64) *rules.Scheme {
	return &rules.Scheme{
		Versions:   until(s.Versions, upTo, func(v *rules.Version) int64 { return v.Position }),
		Indicators: until(s.Indicators, upTo, func(i *rules.Indicator) int64 { return i.Position }),
		Values:     until(s.Values, upTo, func(v *rules.Value) int64 { return v.Position }),
		Overrides:  until(s.Overrides, upTo, func(o *rules.Override) int64 { return o.Position }),
		Fields:     until(s.Fields, upTo, func(f *rules.ExtractField) int64 { return f.Position }),
		Calendar:   until(s.Calendar, upTo, func(r *rules.Run) int64 { return r.Position }),
		Settings:   until(s.Settings, upTo, func(s *rules.Setting) int64 { return s.Position }),
	}
}

func until[R any](rows []R, upTo int64, position func(*R) int64) []R {
	n, _ := slices.BinarySearchFunc(rows, upTo+1, func(row R, first int64) int { return cmp.Compare(position(&row), first) })
	return rows[:n:n]
}

// figures returns all figures and settings.
func (s *Service) figures(ctx context.Context, q sqldb.Querier) (*schemeAt, error) {
	position, last, err := store.LastPosition(ctx, q)
	if err != nil {
		return nil, err
	}
	if held := s.held.Load(); held != nil && held.position == position && held.last == last {
		return held, nil
	}
	published, err := tables.Scheme()
	if err != nil {
		return nil, fmt.Errorf("tables of iif: %w", err)
	}
	// Up to the position that is told, whatever has come since it was read.
	rows, err := store.Figures(ctx, q, position)
	if err != nil {
		return nil, err
	}
	settings, err := store.Settings(ctx, q, position)
	if err != nil {
		return nil, err
	}
	out := &schemeAt{position: position, last: last, rows: rows, byID: make(map[string]*store.FigureRow, len(rows)), superseded: superseded(rows)}
	out.scheme = &rules.Scheme{Fields: slices.Clone(published.Fields)}
	for i := range rows {
		out.byID[rows[i].ID] = &rows[i]
		if err := addFigure(out.scheme, &rows[i]); err != nil {
			return nil, err
		}
	}
	for i := range settings {
		out.scheme.Settings = append(out.scheme.Settings, settings[i].Setting)
	}
	s.held.Store(out)
	return out, nil
}

// addFigure adds a row to the scheme, as the rules go by it.
func addFigure(out *rules.Scheme, row *store.FigureRow) error {
	of, err := read(row.Body, row.Year, row.Known())
	if err != nil {
		return fmt.Errorf("figure %s: %w", row.ID, err)
	}
	switch {
	case of.value != nil:
		out.Values = append(out.Values, *of.value)
	case of.version != nil:
		out.Versions = append(out.Versions, *of.version)
	case of.indicator != nil:
		out.Indicators = append(out.Indicators, *of.indicator)
		out.Fields = append(out.Fields, fieldsOf(of.indicator)...)
	case of.override != nil:
		out.Overrides = append(out.Overrides, *of.override)
	case of.run != nil:
		out.Calendar = append(out.Calendar, *of.run)
	}
	return nil
}

// fieldsOf returns the fields that an indicator names.
func fieldsOf(i *rules.Indicator) []rules.ExtractField {
	var out []rules.ExtractField
	for role, names := range map[rules.FieldRole][]string{rules.Exclusion: i.Exclusions, rules.Adjustment: i.Adjustments} {
		for _, name := range names {
			out = append(out, rules.ExtractField{Figure: i.Figure, VersionID: i.VersionID, Code: i.Code, Role: role, Name: name})
		}
	}
	slices.SortFunc(out, func(a, b rules.ExtractField) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// superseded tells which versions another stands in the place of: a later one, but for a candidate, which waits for its confirmation
// beside a payable one.
func superseded(rows []store.FigureRow) map[string]bool {
	type subject struct {
		commissioner string
		kind         store.FigureKind
		name         string
	}
	order := make([]*store.FigureRow, len(rows))
	for i := range rows {
		order[i] = &rows[i]
	}
	slices.SortStableFunc(order, func(a, b *store.FigureRow) int {
		return cmp.Or(a.Known().KnownFrom.Compare(b.Known().KnownFrom), cmp.Compare(a.Position, b.Position))
	})
	out := make(map[string]bool)
	stands := make(map[subject][]*store.FigureRow)
	for _, row := range order {
		of := subject{row.CommissionerCode, row.Kind, row.Subject}
		var beside []*store.FigureRow
		for _, earlier := range stands[of] {
			if row.Confidence == working.Candidate && earlier.Confidence.Payable() {
				beside = append(beside, earlier)
			} else {
				out[earlier.ID] = true
			}
		}
		stands[of] = append(beside, row)
	}
	return out
}

// GetScheme returns what governs a year for a commissioner, as known on a day. Of a year whose version nobody knows it returns what was
// entered so far, and refuses the rest by name.
func (s *Service) GetScheme(ctx context.Context, req *iifv1.GetSchemeRequest) (*iifv1.SchemeTerms, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	q := rules.Query{Year: year, Commissioner: orEngland(req.GetCommissionerCode())}
	if q.Known, err = optionalDate("known_on", req.GetKnownOn()); err != nil {
		return nil, err
	}
	if q.On, err = optionalDate("on_date", req.GetOnDate()); err != nil {
		return nil, err
	}
	if !q.On.IsZero() && q.On.Month().FinancialYear() != year {
		return nil, notOfYear("on_date", q.On, year)
	}
	if _, err := visible(ctx, req.GetCommissionerCode()); err != nil {
		return nil, err
	}
	var at *schemeAt
	err = s.db.Read(ctx, func(querier sqldb.Querier) error {
		at, err = s.figures(ctx, querier)
		return err
	})
	if err != nil {
		return nil, err
	}
	terms, err := rules.Outline(at.scheme, q)
	if err != nil {
		return nil, err
	}
	return at.termsToProto(terms), nil
}

func (at *schemeAt) termsToProto(t *rules.Terms) *iifv1.SchemeTerms {
	mode, place := t.Version.Rounding.Names()
	out := &iifv1.SchemeTerms{
		FinancialYear: yearWords(t.Year), CommissionerCode: t.Commissioner, Version: at.figureToProto(t.Version.ID), Rounding: mode, RoundingPlace: place,
		SettingIds: t.Version.Rounding.SettingIDs, GbpPerPoint: at.heldToProto(&t.Price), NationalAverageListSize: at.heldToProto(&t.Average),
		Incomplete: missingToProto(t.Incomplete),
	}
	points, known := new(big.Rat), t.Incomplete == nil
	for i := range t.Indicators {
		it := &t.Indicators[i]
		shown := &iifv1.IndicatorTerms{
			Indicator: at.figureToProto(it.ID), Points: at.heldToProto(&it.Points), LowerThreshold: at.heldToProto(&it.Lower),
			UpperThreshold: at.heldToProto(&it.Upper), PrevalenceAdjusted: at.heldToProto(&it.Prevalent), NationalPrevalencePercent: at.heldToProto(&it.National),
		}
		if it.Override != nil {
			shown.Override = at.figureToProto(it.Override.ID)
		}
		out.Indicators = append(out.Indicators, shown)
		switch amount, payable := payableAmount(&it.Points); {
		case it.Status != rules.Active:
		case payable:
			points.Add(points, amount)
		default:
			known = false
		}
	}
	out.PointsAvailable = decimal(points)
	if price, payable := payableAmount(&t.Price); payable && known {
		out.NationalValueCheckGbp = decimal(rules.NationalValue(points, price, expectedShare, expectedNetworks))
	}
	for _, run := range rules.RunsOf(at.scheme, t.Query) {
		out.PaymentRuns = append(out.PaymentRuns, at.figureToProto(run.ID))
	}
	return out
}

// The national value of a year is what this share of its points would cost with this many networks (IIF-004).
const expectedNetworks = 1_251

var expectedShare = big.NewRat(9, 10)

// payableAmount returns a figure that money may rest on.
func payableAmount(h *rules.Held) (*big.Rat, bool) {
	if h.Value == nil || h.Value.Amount == nil || !h.Value.Confidence.Payable() {
		return nil, false
	}
	return h.Value.Amount, true
}

func (at *schemeAt) heldToProto(h *rules.Held) *iifv1.Figure {
	if h.Value == nil {
		return nil
	}
	return at.figureToProto(h.Value.ID)
}

func (at *schemeAt) figureToProto(id string) *iifv1.Figure {
	row, found := at.byID[id]
	if !found {
		return nil
	}
	return figureToProto(row, at.superseded[id])
}

// figureToProto writes a version of a figure.
func figureToProto(r *store.FigureRow, superseded bool) *iifv1.Figure {
	out := proto.CloneOf(r.Body)
	out.FigureId, out.Kind, out.FinancialYear = r.ID, iifv1.FigureKind(r.Kind), yearWords(r.Year) //nolint:gosec // enum
	out.Source, out.Confidence, out.Note = r.Source, working.ConfidenceToProto(r.Confidence), r.Note
	out.KnownFrom, out.KnownFromBasis = r.KnownFrom.String(), r.KnownFromBasis
	out.RecordedAt, out.RecordedBy, out.CommissionerCode = timestamp(r.RecordedAt), r.RecordedBy, r.CommissionerCode
	out.Superseded, out.ReplacesFigureId, out.Etag = superseded, r.Replaces, r.ID
	return out
}
