package iif

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// ListFigures returns versions of figures, by year, kind and subject. A commissioner's own versions are shown to those who hold it.
func (s *Service) ListFigures(ctx context.Context, req *iifv1.ListFiguresRequest) (*iifv1.ListFiguresResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var year period.FinancialYear
	if req.GetFinancialYear() != "" {
		if year, err = parseYear("financial_year", req.GetFinancialYear()); err != nil {
			return nil, err
		}
	}
	var at *schemeAt
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		at, err = s.figures(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	var wanted []*store.FigureRow
	for i := range at.rows {
		r := &at.rows[i]
		version, code := belongsTo(r.Body)
		if figureKey(r) <= after || (r.CommissionerCode != rules.England && !maySee(ctx, r.CommissionerCode, "")) ||
			(year != 0 && r.Year != year) || (req.GetKind() != 0 && iifv1.FigureKind(r.Kind) != req.GetKind()) || //nolint:gosec // enum
			(req.GetVersionId() != "" && version != req.GetVersionId()) || (req.GetIndicatorCode() != "" && code != req.GetIndicatorCode()) ||
			(req.GetNotPayableOnly() && r.Confidence.Payable()) || (at.superseded[r.ID] && !req.GetIncludeSuperseded()) {
			continue
		}
		wanted = append(wanted, r)
	}
	slices.SortFunc(wanted, func(a, b *store.FigureRow) int { return cmp.Compare(figureKey(a), figureKey(b)) })
	out := new(iifv1.ListFiguresResponse)
	wanted, out.NextPageToken = page.Cut(wanted, page.Size(req.GetPageSize(), defaultPage), figureKey)
	for _, r := range wanted {
		out.Figures = append(out.Figures, figureToProto(r, at.superseded[r.ID]))
	}
	return out, nil
}

func figureKey(r *store.FigureRow) string {
	return fmt.Sprintf("%s %d %s %012d", r.Year, r.Kind, r.Subject, r.Position)
}

// belongsTo returns the version and the indicator that a figure is of; empty where it is of none.
func belongsTo(in oneof) (version, code string) {
	switch {
	case in.GetValue() != nil:
		return in.GetValue().GetVersionId(), in.GetValue().GetIndicatorCode()
	case in.GetVersion() != nil:
		return in.GetVersion().GetVersionId(), ""
	case in.GetIndicator() != nil:
		return in.GetIndicator().GetVersionId(), in.GetIndicator().GetIndicatorCode()
	default:
		return "", in.GetOverride().GetIndicatorCode()
	}
}

// AddFigure adds a version of a figure.
func (s *Service) AddFigure(ctx context.Context, req *iifv1.AddFigureRequest) (*iifv1.Figure, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	figure, err := s.origin(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := read(req, year, figure); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Figure, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		if err := fundHas(year, period.DateOf(tx.Now())); err != nil {
			return nil, err
		}
		of, err := read(req, year, figure)
		if err != nil {
			return nil, err
		}
		if f := of.figure(); f.KnownFrom.IsZero() {
			f.KnownFrom, f.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		}
		row, err := s.addVersion(ctx, tx, year, &of, "")
		if err != nil {
			return nil, err
		}
		out := figureToProto(row, false)
		if _, err := tx.Announce(ctx, figureAggregate(row), req.GetCommissionerCode(), &iifv1.FigureAdded{Figure: out}); err != nil {
			return nil, err
		}
		words := row.Subject + " is " + of.words()
		if err := s.figureChanged(ctx, tx, row, words); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "iif/figures/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("added %s (%s)", words, req.GetSource()))
	})
}

// firstYear is the first of the fund.
const firstYear period.FinancialYear = 2020

// fundHas refuses a year before the fund, and one after the next.
func fundHas(year period.FinancialYear, today period.Date) error {
	if last := today.Month().FinancialYear() + 1; year < firstYear || year > last {
		return fault.New(fault.Invalid, reasonYearOutOfRange, "the fund has figures of %s to %s, not of %s", firstYear, last, year).
			At("financial_year", fmt.Sprintf("from %s to %s", yearWords(firstYear), yearWords(last)))
	}
	return nil
}

// origin reads what a request says of where its figure comes from, and whether the caller may say so.
func (s *Service) origin(ctx context.Context, req *iifv1.AddFigureRequest) (rules.Figure, error) {
	out := rules.Figure{
		Source: req.GetSource(), Confidence: working.ConfidenceFromProto(req.GetConfidence()), Note: req.GetNote(),
		CommissionerCode: orEngland(req.GetCommissionerCode()),
	}
	if out.Confidence == working.Unstated {
		return out, fault.New(fault.Invalid, reasonFigureValueRequired, "say how well the figure is founded").
			At("confidence", "official, secondary, inferred or candidate; unknown where nobody knows it any more")
	}
	var err error
	if out.KnownFrom, err = optionalDate("known_from", req.GetKnownFrom()); err != nil {
		return out, err
	}
	if out.KnownFrom.After(period.DateOf(s.db.Now())) {
		return out, fault.New(fault.Invalid, reasonKnownAtInFuture, "a figure cannot be known from %s: that lies in the future", out.KnownFrom).At("known_from", "not after today")
	}
	if !out.KnownFrom.IsZero() {
		out.KnownFromBasis = rules.KnownByPublication
	}
	if out.Confidence != working.Candidate && !approves(caller(ctx), req.GetCommissionerCode()) {
		return out, fault.New(fault.Denied, reasonApproverRequired, "an approver enters a figure that payments rest on: propose it as a candidate").At("confidence", "candidate")
	}
	return out, nil
}

// addVersion holds a figure against those that are known and stores it as known from now, under an identifier of its own.
func (s *Service) addVersion(ctx context.Context, tx *change.Tx, year period.FinancialYear, of *stated, replaces string) (*store.FigureRow, error) {
	known, _, err := s.scheme(ctx, tx, latest)
	if err != nil {
		return nil, err
	}
	p := placing{scheme: known, year: year, today: period.DateOf(tx.Now()), query: rules.Query{Year: year, Commissioner: of.figure().CommissionerCode}}
	if err := p.place(of); err != nil {
		return nil, err
	}
	row := figureRow(year, of)
	row.ID = row.Subject + "-" + tx.NewID()
	row.RecordedAt = sqldb.Micros(tx.Now())
	row.KnownAt = max(row.RecordedAt, sqldb.Micros(row.KnownFrom.Time()))
	row.RecordedBy, row.Replaces = tx.By.Subject, replaces
	rows := []store.FigureRow{row}
	return &rows[0], store.InsertFigures(ctx, tx.Tx, rows)
}

// figureChanged works the years that rest on a figure out again.
func (s *Service) figureChanged(ctx context.Context, tx *change.Tx, row *store.FigureRow, words string) error {
	_, err := s.rework(ctx, tx, changed{year: row.Year, commissioner: row.CommissionerCode, cause: rules.FigureChanged, words: words})
	return err
}

func figureAggregate(r *store.FigureRow) string {
	return "figure/" + r.CommissionerCode + "/" + r.Subject
}

// ConfirmFigure makes a candidate payable, or enters a number that is unknown, as a new version.
func (s *Service) ConfirmFigure(ctx context.Context, req *iifv1.ConfirmFigureRequest) (*iifv1.Figure, error) {
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || !confidence.Payable() {
		return nil, fault.New(fault.Invalid, reasonFigureNotConfirmable, "a confirmed figure is official, secondary or inferred").At("confidence", "official, secondary or inferred")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*iifv1.Figure, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		row, err := confirmable(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		if row.RecordedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, reasonConfirmerIsAuthor, "another person confirms what %s entered", row.RecordedBy)
		}
		of, err := read(row.Body, row.Year, rules.Figure{
			Source: req.GetSource(), Confidence: confidence, Note: req.GetNote(), CommissionerCode: orEngland(req.GetCommissionerCode()),
			KnownFrom: period.DateOf(tx.Now()), KnownFromBasis: rules.KnownByEntry,
		})
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", row.ID, err)
		}
		if err := giveValue(&row, &of, req.GetValue()); err != nil {
			return nil, err
		}
		added, err := s.addVersion(ctx, tx, row.Year, &of, row.ID)
		if err != nil {
			return nil, err
		}
		out := figureToProto(added, false)
		event := &iifv1.FigureConfirmed{Figure: out, ReplacesFigureId: row.ID}
		if _, err := tx.Announce(ctx, figureAggregate(added), req.GetCommissionerCode(), event); err != nil {
			return nil, err
		}
		words := added.Subject + " is " + of.words()
		if err := s.figureChanged(ctx, tx, added, words); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "iif/figures/"+added.ID, req.GetCommissionerCode(), fmt.Sprintf("confirmed %s: %s (%s)", row.ID, words, req.GetSource()))
	})
}

// giveValue gives a number the figure that is confirmed. Whatever else is confirmed stands as it was proposed.
func giveValue(row *store.FigureRow, of *stated, text string) error {
	if of.value == nil {
		if text != "" {
			return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s is no number: it is confirmed as it stands, or entered anew", row.ID).At("value", "left out")
		}
		if row.Confidence == working.Unknown {
			return fault.New(fault.Invalid, reasonFigureValueRequired, "nobody knows %s: enter it with AddFigure", row.ID).With("figure_id", row.ID)
		}
		return nil
	}
	if text != "" {
		r := reader{}
		if of.value.Amount = r.decimal("value", text); r.err != nil {
			return r.err
		}
	}
	if of.value.Amount == nil {
		return fault.New(fault.Invalid, reasonFigureValueRequired, "%s has no figure yet: give it", row.ID).At("value", "an exact decimal")
	}
	return nil
}

// confirmable loads a version that waits for confirmation and is still the one that stands.
func confirmable(ctx context.Context, q sqldb.Querier, req *iifv1.ConfirmFigureRequest) (store.FigureRow, error) {
	row, err := store.Figure(ctx, q, req.GetFigureId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != rules.England && row.CommissionerCode != req.GetCommissionerCode()) {
		return row, fault.New(fault.NotFound, reasonFigureNotFound, "there is no figure %q", money.Clip(req.GetFigureId()))
	}
	if err != nil {
		return row, err
	}
	if row.Confidence.Payable() {
		return row, fault.New(fault.Refused, reasonFigureNotConfirmable, "%s is payable as it stands", row.ID).With("confidence", row.Confidence)
	}
	later, err := store.FiguresAfter(ctx, q, row.Position, row.Kind, row.Subject)
	if err != nil {
		return row, err
	}
	for i := range later {
		if by := later[i].CommissionerCode; by == row.CommissionerCode || by == orEngland(req.GetCommissionerCode()) {
			return row, fault.New(fault.Stale, reasonFigureReplaced, "%s has been replaced by %s", row.ID, later[i].ID).With("figure_id", later[i].ID)
		}
	}
	if req.GetEtag() != "" && req.GetEtag() != row.ID {
		return row, fault.New(fault.Stale, reasonFigureReplaced, "the tag is not that of %s", row.ID)
	}
	return row, nil
}
