package activity

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/tables"
)

// seededBy is the author of the versions that come with the suite.
const seededBy = "published tables"

// seed adds the prices of the embedded tables that the database lacks.
func (s *Service) seed(ctx context.Context) error {
	published, err := tables.All()
	if err != nil {
		return fmt.Errorf("tables of activity: %w", err)
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return err
		}
		held, err := store.FigureIDs(ctx, tx)
		if err != nil {
			return err
		}
		var missing []store.FigureRow
		for i := range published.Rows {
			row := seedRow(&published.Rows[i])
			if held[row.ID] {
				continue
			}
			row.RecordedAt, row.RecordedBy = sqldb.Micros(tx.Now()), seededBy
			missing = append(missing, row)
		}
		return store.InsertFigures(ctx, tx, missing)
	})
}

func seedRow(p *tables.Price) store.FigureRow {
	body := &activityv1.Price{List: p.List, HrgCode: p.HRG, Gbp: decimal(p.GBP), Description: p.Description}
	for _, code := range p.Departments {
		body.DepartmentTypes = append(body.DepartmentTypes, departmentToProto(rules.DepartmentOf(code)))
	}
	return store.FigureRow{
		Figure: rules.Figure{
			ID: p.ID, Source: p.Source, Confidence: p.Confidence, KnownFrom: p.KnownFrom, KnownFromBasis: p.KnownFromBasis, Note: p.Note, CommissionerCode: rules.England,
		},
		Kind: store.PriceFigure, Subject: p.List + "/" + p.HRG, Body: &activityv1.Figure{Body: &activityv1.Figure_Price{Price: body}},
	}
}

// stated is what a figure states: one of these.
type stated struct {
	price  *rules.Price
	factor *rules.Factor
}

// oneof is a message that states one of them.
type oneof interface {
	GetPrice() *activityv1.Price
	GetFactor() *activityv1.MarketForcesFactor
}

// read reads what a message states, with what is known of its origin.
func read(in oneof, figure rules.Figure) (stated, error) {
	switch {
	case in.GetPrice() != nil:
		p := in.GetPrice()
		amount, err := parseDecimal("price.gbp", p.GetGbp())
		if err != nil {
			return stated{}, err
		}
		out := &rules.Price{Figure: figure, List: p.GetList(), HRG: p.GetHrgCode(), Amount: amount, Description: p.GetDescription()}
		for _, d := range p.GetDepartmentTypes() {
			out.Departments = append(out.Departments, rules.Department(d))
		}
		slices.Sort(out.Departments)
		return stated{price: out}, out.Check()
	case in.GetFactor() != nil:
		f := in.GetFactor()
		year, err := parseYear("factor.financial_year", f.GetFinancialYear())
		if err != nil {
			return stated{}, err
		}
		value, err := parseDecimal("factor.value", f.GetValue())
		if err != nil {
			return stated{}, err
		}
		out := &rules.Factor{Figure: figure, Provider: f.GetProviderCode(), Year: year, Value: value}
		return stated{factor: out}, out.Check()
	}
	return stated{}, fault.New(fault.Invalid, rules.ReasonFigureSubjectInvalid, "state a price or a factor").At("price", "a price, or a factor in its place")
}

func (s *stated) figure() *rules.Figure {
	if s.price != nil {
		return &s.price.Figure
	}
	return &s.factor.Figure
}

// amount is where the number of the figure stands.
func (s *stated) amount() **big.Rat {
	if s.price != nil {
		return &s.price.Amount
	}
	return &s.factor.Value
}

func (s *stated) row() store.FigureRow {
	if s.price != nil {
		p := s.price
		body := &activityv1.Price{List: p.List, HrgCode: p.HRG, Gbp: decimal(p.Amount), Description: p.Description}
		for _, d := range p.Departments {
			body.DepartmentTypes = append(body.DepartmentTypes, departmentToProto(d))
		}
		return store.FigureRow{Figure: p.Figure, Kind: store.PriceFigure, Subject: p.Subject(), Body: &activityv1.Figure{Body: &activityv1.Figure_Price{Price: body}}}
	}
	f := s.factor
	body := &activityv1.MarketForcesFactor{ProviderCode: f.Provider, FinancialYear: yearWords(f.Year), Value: decimal(f.Value)}
	return store.FigureRow{Figure: f.Figure, Kind: store.FactorFigure, Subject: f.Subject(), Body: &activityv1.Figure{Body: &activityv1.Figure_Factor{Factor: body}}}
}

func (s *stated) words() string {
	value := decimal(*s.amount())
	if value == "" {
		value = "not known"
	}
	return s.row().Subject + " is " + value
}

// known is everything that was published or entered, up to the figure or setting that was recorded last.
type known struct {
	position int64
	rows     []store.FigureRow
	prices   []rules.Price
	factors  []rules.Factor
	settings []rules.Setting
}

// known loads all figures and settings.
func (s *Service) known(ctx context.Context, q sqldb.Querier) (*known, error) {
	k := new(known)
	var err error
	if k.position, err = store.LastPosition(ctx, q); err != nil {
		return nil, err
	}
	if k.rows, err = store.Figures(ctx, q); err != nil {
		return nil, err
	}
	settings, err := store.Settings(ctx, q)
	if err != nil {
		return nil, err
	}
	k.settings = settingsOf(settings)
	for i := range k.rows {
		of, err := read(k.rows[i].Body, k.rows[i].Figure)
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", k.rows[i].ID, err)
		}
		if of.price != nil {
			k.prices = append(k.prices, *of.price)
		} else {
			k.factors = append(k.factors, *of.factor)
		}
	}
	return k, nil
}

// superseded tells which versions another stands in the place of: a later one, but for a candidate, which waits for its confirmation beside
// a usable one. Rows are in order of recording.
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
		return cmp.Or(a.KnownFrom.Compare(b.KnownFrom), cmp.Compare(a.Position, b.Position))
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

// ListFigures returns versions of figures, by kind and subject. A commissioner's own versions are shown to those who hold it.
func (s *Service) ListFigures(ctx context.Context, req *activityv1.ListFiguresRequest) (*activityv1.ListFiguresResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var rows []store.FigureRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Figures(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	replaced := superseded(rows)
	by := caller(ctx)
	rows = slices.DeleteFunc(rows, func(r store.FigureRow) bool {
		return figureKey(r) <= after || (r.CommissionerCode != rules.England && !by.HoldsCommissioner(r.CommissionerCode)) ||
			(req.GetKind() != 0 && activityv1.FigureKind(r.Kind) != req.GetKind()) || //nolint:gosec // enum
			(req.GetList() != "" && r.Body.GetPrice().GetList() != req.GetList()) ||
			(req.GetProviderCode() != "" && r.Body.GetFactor().GetProviderCode() != req.GetProviderCode()) ||
			(req.GetNotUsableOnly() && r.Confidence.Payable()) || (replaced[r.ID] && !req.GetIncludeSuperseded())
	})
	slices.SortFunc(rows, func(a, b store.FigureRow) int { return cmp.Compare(figureKey(a), figureKey(b)) })
	out := new(activityv1.ListFiguresResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), figureKey)
	for i := range rows {
		out.Figures = append(out.Figures, figureToProto(&rows[i], replaced[rows[i].ID]))
	}
	return out, nil
}

func figureKey(r store.FigureRow) string {
	return fmt.Sprintf("%d %s %012d", r.Kind, r.Subject, r.Position)
}

func figureToProto(r *store.FigureRow, superseded bool) *activityv1.Figure {
	out := proto.CloneOf(r.Body)
	out.FigureId, out.Kind = r.ID, activityv1.FigureKind(r.Kind) //nolint:gosec // enum
	out.Source, out.Confidence, out.Note = r.Source, working.ConfidenceToProto(r.Confidence), r.Note
	out.KnownFrom, out.KnownFromBasis = r.KnownFrom.String(), r.KnownFromBasis
	out.RecordedAt, out.RecordedBy, out.CommissionerCode = timestamp(r.RecordedAt), r.RecordedBy, r.CommissionerCode
	out.Superseded, out.ReplacesFigureId, out.Etag = superseded, r.Replaces, r.ID
	return out
}

// AddFigure adds a version of a figure.
func (s *Service) AddFigure(ctx context.Context, req *activityv1.AddFigureRequest) (*activityv1.Figure, error) {
	figure, err := s.origin(ctx, req)
	if err != nil {
		return nil, err
	}
	of, err := read(req, figure)
	if err != nil {
		return nil, err
	}
	if (*of.amount() == nil) != (figure.Confidence == working.Unknown) {
		return nil, fault.New(fault.Invalid, reasonFigureValueRequired, "a figure has a number exactly where it is not unknown").At("confidence", "unknown, or a number with it")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.Figure, error) {
		if err := tx.Lock(ctx, figuresLock); err != nil {
			return nil, err
		}
		of := of
		if f := of.figure(); f.KnownFrom.IsZero() {
			f.KnownFrom, f.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		}
		row, err := addVersion(ctx, tx, &of, "")
		if err != nil {
			return nil, err
		}
		out := figureToProto(row, false)
		if _, err := tx.Announce(ctx, figureAggregate(row), req.GetCommissionerCode(), &activityv1.FigureAdded{Figure: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "activity/figures/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("added %s (%s)", of.words(), req.GetSource()))
	})
}

// origin reads what a request says of where its figure comes from, and whether the caller may say so.
func (s *Service) origin(ctx context.Context, req *activityv1.AddFigureRequest) (rules.Figure, error) {
	out := rules.Figure{
		Source: req.GetSource(), Confidence: working.ConfidenceFromProto(req.GetConfidence()), Note: req.GetNote(), CommissionerCode: orEngland(req.GetCommissionerCode()),
	}
	if out.Confidence == working.Unstated {
		return out, fault.New(fault.Invalid, reasonFigureValueRequired, "say how well the figure is founded").
			At("confidence", "official, secondary, inferred or candidate; unknown where nobody knows it any more")
	}
	if req.GetKnownFrom() != "" {
		day, err := parseDate("known_from", req.GetKnownFrom())
		if err != nil {
			return out, err
		}
		if day.After(period.DateOf(s.db.Now())) {
			return out, fault.New(fault.Invalid, reasonKnownAtInFuture, "a figure cannot be known from %s: that lies in the future", day).At("known_from", "not after today")
		}
		out.KnownFrom, out.KnownFromBasis = day, rules.KnownByPublication
	}
	if out.Confidence != working.Candidate && !approves(caller(ctx), req.GetCommissionerCode()) {
		return out, fault.New(fault.Denied, reasonApproverRequired, "an approver enters a figure that costs rest on: propose it as a candidate").At("confidence", "candidate")
	}
	return out, nil
}

// addVersion stores a figure as known from now, under an identifier of its own.
func addVersion(ctx context.Context, tx *change.Tx, of *stated, replaces string) (*store.FigureRow, error) {
	row := of.row()
	row.ID = row.Subject + "-" + tx.NewID()
	row.RecordedAt, row.RecordedBy, row.Replaces = sqldb.Micros(tx.Now()), tx.By.Subject, replaces
	rows := []store.FigureRow{row}
	return &rows[0], store.InsertFigures(ctx, tx.Tx, rows)
}

func figureAggregate(r *store.FigureRow) string {
	return "figure/" + r.CommissionerCode + "/" + r.Subject
}

// ConfirmFigure makes a candidate usable, or enters a number that is unknown, as a new version.
func (s *Service) ConfirmFigure(ctx context.Context, req *activityv1.ConfirmFigureRequest) (*activityv1.Figure, error) {
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || !confidence.Payable() {
		return nil, fault.New(fault.Invalid, reasonFigureNotConfirmable, "a confirmed figure is official, secondary or inferred").At("confidence", "official, secondary or inferred")
	}
	value, err := parseDecimal("value", req.GetValue())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.Figure, error) {
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
		of, err := read(row.Body, rules.Figure{
			Source: req.GetSource(), Confidence: confidence, Note: req.GetNote(), CommissionerCode: orEngland(req.GetCommissionerCode()),
			KnownFrom: period.DateOf(tx.Now()), KnownFromBasis: rules.KnownByEntry,
		})
		if err != nil {
			return nil, fmt.Errorf("figure %s: %w", row.ID, err)
		}
		if value != nil {
			*of.amount() = value
		}
		if *of.amount() == nil {
			return nil, fault.New(fault.Invalid, reasonFigureValueRequired, "%s has no figure yet: give it", row.ID).At("value", "an exact decimal")
		}
		if of, err = checked(of); err != nil {
			return nil, err
		}
		added, err := addVersion(ctx, tx, &of, row.ID)
		if err != nil {
			return nil, err
		}
		out := figureToProto(added, false)
		event := &activityv1.FigureConfirmed{Figure: out, ReplacesFigureId: row.ID}
		if _, err := tx.Announce(ctx, figureAggregate(added), req.GetCommissionerCode(), event); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "activity/figures/"+added.ID, req.GetCommissionerCode(), fmt.Sprintf("confirmed %s: %s (%s)", row.ID, of.words(), req.GetSource()))
	})
}

// checked refuses a figure whose new number makes no sense.
func checked(of stated) (stated, error) {
	if of.price != nil {
		return of, of.price.Check()
	}
	return of, of.factor.Check()
}

// confirmable loads a version that waits for confirmation and is still the one that stands.
func confirmable(ctx context.Context, q sqldb.Querier, req *activityv1.ConfirmFigureRequest) (store.FigureRow, error) {
	row, err := store.Figure(ctx, q, req.GetFigureId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != rules.England && row.CommissionerCode != req.GetCommissionerCode()) {
		return row, fault.New(fault.NotFound, reasonFigureNotFound, "there is no figure %q", money.Clip(req.GetFigureId()))
	}
	if err != nil {
		return row, err
	}
	if row.Confidence.Payable() {
		return row, fault.New(fault.Refused, reasonFigureNotConfirmable, "%s is usable as it stands", row.ID).With("confidence", row.Confidence)
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
