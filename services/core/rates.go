package core

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
	"github.com/pcnfunding/pcnfunding/services/core/internal/tables"
)

// seededBy is the author of the versions that come with the suite.
const seededBy = "published tables"

// seed adds the versions of the embedded tables that the database lacks.
func (s *Service) seed(ctx context.Context) error {
	rates, err := tables.Rates()
	if err != nil {
		return fmt.Errorf("rate tables: %w", err)
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "seed"); err != nil {
			return err
		}
		held, err := store.RateIDs(ctx, tx)
		if err != nil {
			return err
		}
		for _, rate := range rates {
			if held[rate.ID] {
				continue
			}
			rate.CommissionerCode = rules.England
			row := store.RateRow{
				Rate: rate, KnownAt: sqldb.Micros(rate.KnownFrom.Time()), RecordedAt: sqldb.Micros(tx.Now()), RecordedBy: seededBy,
			}
			if err := store.InsertRate(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// figure names what versions of a rate are versions of.
type figure struct {
	commissioner, payment, component string
	from, to                         period.Month
}

func figureOf(r store.RateRow) figure {
	return figure{r.CommissionerCode, r.PaymentCode, r.Component, r.From, r.To}
}

// ListRates returns versions of rates, by period and payment. A commissioner's own versions are shown to those who hold it.
func (s *Service) ListRates(ctx context.Context, req *corev1.ListRatesRequest) (*corev1.ListRatesResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var on period.Month
	if req.GetOnDate() != "" {
		day, err := period.ParseDate(req.GetOnDate())
		if err != nil {
			return nil, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%v", err).At("on_date", err.Error())
		}
		on = day.Month()
	}
	rows, latest, err := s.allRates(ctx)
	if err != nil {
		return nil, err
	}
	wanted := slices.DeleteFunc(rows, func(r store.RateRow) bool {
		superseded := latest[figureOf(r)] != r.ID
		return rateKey(r) <= after || (r.CommissionerCode != rules.England && !maySee(ctx, r.CommissionerCode, "")) ||
			(req.GetPaymentCode() != "" && r.PaymentCode != req.GetPaymentCode()) ||
			(!on.IsZero() && (r.From.After(on) || r.To.Before(on))) ||
			(req.GetNotPayableOnly() && r.Confidence.Payable()) || (superseded && !req.GetIncludeSuperseded())
	})
	slices.SortFunc(wanted, func(a, b store.RateRow) int { return cmp.Compare(rateKey(a), rateKey(b)) })
	out := new(corev1.ListRatesResponse)
	wanted, out.NextPageToken = page.Cut(wanted, page.Size(req.GetPageSize(), defaultPage), rateKey)
	for _, row := range wanted {
		out.Rates = append(out.Rates, rateToProto(row, latest[figureOf(row)] != row.ID))
	}
	return out, nil
}

func rateKey(r store.RateRow) string {
	return fmt.Sprintf("%s %s %s %012d", r.From, r.PaymentCode, r.Component, r.Position)
}

// allRates returns every version, and the one that stands of each figure.
func (s *Service) allRates(ctx context.Context) (rows []store.RateRow, latest map[figure]string, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Rates(ctx, q, s.knownAt(0))
		return err
	})
	latest = make(map[figure]string, len(rows))
	for _, row := range rows {
		latest[figureOf(row)] = row.ID
	}
	return rows, latest, err
}

// GetRate returns one version.
func (s *Service) GetRate(ctx context.Context, req *corev1.GetRateRequest) (*corev1.Rate, error) {
	rows, latest, err := s.allRates(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.ID == req.GetRateId() && (row.CommissionerCode == rules.England || maySee(ctx, row.CommissionerCode, "")) {
			return rateToProto(row, latest[figureOf(row)] != row.ID), nil
		}
	}
	return nil, rateNotFound(req.GetRateId())
}

func rateNotFound(id string) error {
	return fault.New(fault.NotFound, rules.ReasonRateNotFound, "there is no rate %q", id)
}

// AddRate adds a version of a rate whose payment and period are known: what else the contract says of it stays.
func (s *Service) AddRate(ctx context.Context, req *corev1.AddRateRequest) (*corev1.Rate, error) {
	r := reader{}
	from, to, knownFrom := r.date(req.GetEffectiveFrom()), r.date(req.GetEffectiveTo()), r.date(req.GetKnownFrom())
	if r.err != nil {
		return nil, fault.New(fault.Invalid, rules.ReasonRatePeriodInvalid, "%v", r.err)
	}
	if knownFrom.After(period.DateOf(s.db.Now())) {
		return nil, fault.New(fault.Invalid, rules.ReasonKnownAtInFuture, "a rate cannot be known from %s: that lies in the future", knownFrom).At("known_from", "not after today")
	}
	if from != from.Month().First() || to != to.Month().Last() || to.Before(from) {
		return nil, fault.New(fault.Invalid, rules.ReasonRatePeriodInvalid, "a rate holds for whole months: %s to %s does not", from, to).
			At("effective_from", "the first day of a month").At("effective_to", "the last day of a month, not before effective_from")
	}
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || confidence == working.Unknown {
		return nil, fault.New(fault.Invalid, rules.ReasonRateFigureRequired, "say how well the figure is founded").At("confidence", "official, secondary, inferred or candidate")
	}
	if by, _ := auth.From(ctx); confidence.Payable() && !by.HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER) {
		return nil, fault.New(fault.Denied, rules.ReasonApproverRequired, "an approver enters a payable figure: propose it as a candidate").At("confidence", "candidate")
	}
	figures, err := readFigures(req.GetRateGbp(), req.GetMonthlyRateGbp())
	if err != nil {
		return nil, err
	}
	if figures.rate == nil {
		return nil, fault.New(fault.Invalid, rules.ReasonRateFigureRequired, "a version needs its figure").At("rate_gbp", "pounds per unit for the whole period")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Rate, error) {
		if err := tx.Lock(ctx, "rates"); err != nil {
			return nil, err
		}
		model, err := modelRate(ctx, tx, orEngland(req.GetCommissionerCode()), req.GetPaymentCode(), req.GetComponent(), from.Month(), to.Month())
		if err != nil {
			return nil, err
		}
		row := model
		row.From, row.To, row.RateGBP, row.MonthlyRateGBP = from.Month(), to.Month(), figures.rate, figures.monthly
		row.Source, row.Version, row.Confidence, row.Note = req.GetSource(), req.GetVersion(), confidence, req.GetNote()
		row.KnownFrom, row.KnownFromBasis = knownFrom, rules.KnownByPublication
		if row.KnownFrom.IsZero() {
			row.KnownFrom, row.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		}
		row.CommissionerCode = orEngland(req.GetCommissionerCode())
		if err := s.addVersion(ctx, tx, &row, ""); err != nil {
			return nil, err
		}
		out := rateToProto(row, false)
		if _, err := tx.Announce(ctx, "rate/"+row.CommissionerCode+"/"+row.PaymentCode, req.GetCommissionerCode(), &corev1.RateAdded{Rate: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "core/rates/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("added %s %s: £%s", row.PaymentCode, row.Version, decimal(row.RateGBP)))
	})
}

// modelRate finds the version whose unit, timing and payee a new one shares: the last of the same period, or else of the latest
// period. It refuses a period or a component that could not stand beside what is there.
func modelRate(ctx context.Context, q sqldb.Querier, commissioner, payment, component string, from, to period.Month) (store.RateRow, error) {
	rows, err := store.Rates(ctx, q, whenever)
	if err != nil {
		return store.RateRow{}, err
	}
	var model store.RateRow
	exact := false
	for _, row := range rows {
		if row.PaymentCode != payment || (row.CommissionerCode != rules.England && row.CommissionerCode != commissioner) {
			continue
		}
		overlaps := !row.From.After(to) && !row.To.Before(from)
		if same := row.From == from && row.To == to; overlaps && (!same || (row.Component == "") != (component == "")) {
			return model, fault.New(fault.Refused, rules.ReasonRatePeriodInvalid, "%s %s has a rate for %s to %s, beside which none for %s to %s can stand",
				payment, row.Component, row.From, row.To, from, to).
				With("rate_id", row.ID).At("effective_from", "the period and components of rate "+row.ID+", or a period clear of it")
		}
		if row.Component != component {
			continue
		}
		if overlaps || (!exact && (model.ID == "" || row.From.After(model.From))) {
			model, exact = row, exact || overlaps
		}
	}
	if exact {
		return model, nil
	}
	if model.ID == "" {
		return model, fault.New(fault.Invalid, rules.ReasonPaymentUnknown, "no payment %q with component %q is known", payment, component).At("payment_code", "a payment that ListRates shows")
	}
	model.PopulationDate, model.FirstPaidMonth = period.Date{}, period.Month{}
	if model.Unit != rules.CareHomeBed {
		model.PopulationDate = from.FinancialYear().ListDate()
	}
	return model, nil
}

// addVersion stores a version as known from now, under an identifier of its own.
func (s *Service) addVersion(ctx context.Context, tx *change.Tx, row *store.RateRow, replaces string) error {
	row.ID = fmt.Sprintf("%s-%s-%s", row.PaymentCode, row.From, tx.NewID())
	row.KnownAt, row.RecordedAt = sqldb.Micros(tx.Now()), sqldb.Micros(tx.Now())
	row.KnownAt = max(row.KnownAt, sqldb.Micros(row.KnownFrom.Time()))
	row.RecordedBy, row.Replaces = tx.By.Subject, replaces
	return store.InsertRate(ctx, tx.Tx, *row)
}

// ConfirmRate makes a candidate payable, or enters the figure of an unknown rate, as a new version.
func (s *Service) ConfirmRate(ctx context.Context, req *corev1.ConfirmRateRequest) (*corev1.Rate, error) {
	confidence := working.ConfidenceFromProto(req.GetConfidence())
	if confidence == working.Unstated || !confidence.Payable() {
		return nil, fault.New(fault.Invalid, rules.ReasonRateNotConfirmable, "a confirmed figure is official, secondary or inferred").At("confidence", "official, secondary or inferred")
	}
	figures, err := readFigures(req.GetRateGbp(), "")
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.Rate, error) {
		if err := tx.Lock(ctx, "rates"); err != nil {
			return nil, err
		}
		row, err := confirmable(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		if row.RecordedBy == tx.By.Subject {
			return nil, fault.New(fault.Denied, rules.ReasonConfirmerIsAuthor, "another person confirms what %s entered", row.RecordedBy)
		}
		if figures.rate != nil {
			row.RateGBP, row.MonthlyRateGBP = figures.rate, nil // a published monthly rate went with the figure before
		}
		if row.RateGBP == nil {
			return nil, fault.New(fault.Invalid, rules.ReasonRateFigureRequired, "%s has no figure yet: give it", req.GetRateId()).At("rate_gbp", "pounds per unit for the whole period")
		}
		row.Source, row.Confidence, row.Note, row.Version = req.GetSource(), confidence, req.GetNote(), "confirmed"
		row.KnownFrom, row.KnownFromBasis = period.DateOf(tx.Now()), rules.KnownByEntry
		row.CommissionerCode = orEngland(req.GetCommissionerCode())
		if err := s.addVersion(ctx, tx, &row, req.GetRateId()); err != nil {
			return nil, err
		}
		out := rateToProto(row, false)
		event := &corev1.RateConfirmed{Rate: out, ReplacesRateId: req.GetRateId()}
		if _, err := tx.Announce(ctx, "rate/"+row.CommissionerCode+"/"+row.PaymentCode, req.GetCommissionerCode(), event); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "core/rates/"+row.ID, req.GetCommissionerCode(), fmt.Sprintf("confirmed %s: £%s (%s)", req.GetRateId(), out.GetRateGbp(), req.GetSource()))
	})
}

// confirmable loads a version that waits for confirmation and is still the one that stands.
func confirmable(ctx context.Context, q sqldb.Querier, req *corev1.ConfirmRateRequest) (store.RateRow, error) {
	row, err := store.Rate(ctx, q, req.GetRateId())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.CommissionerCode != rules.England && row.CommissionerCode != req.GetCommissionerCode()) {
		return row, rateNotFound(req.GetRateId())
	}
	if err != nil {
		return row, err
	}
	if row.Confidence.Payable() {
		return row, fault.New(fault.Refused, rules.ReasonRateNotConfirmable, "%s is payable as it stands", row.ID).With("confidence", row.Confidence)
	}
	all, err := store.Rates(ctx, q, whenever)
	if err != nil {
		return row, err
	}
	wanted := figureOf(row)
	wanted.commissioner = orEngland(req.GetCommissionerCode())
	for _, other := range all {
		if other.ID != row.ID && figureOf(other) == wanted && other.Position > row.Position {
			return row, fault.New(fault.Stale, rules.ReasonRateChanged, "%s has been replaced by %s", row.ID, other.ID).With("rate_id", other.ID)
		}
	}
	if req.GetEtag() != "" && req.GetEtag() != row.ID {
		return row, fault.New(fault.Stale, rules.ReasonRateChanged, "the tag is not that of %s", row.ID)
	}
	return row, nil
}

func orEngland(commissioner string) string {
	if commissioner == "" {
		return rules.England
	}
	return commissioner
}

type figures struct{ rate, monthly *big.Rat }

// mostGBP bounds a rate: no payment of the contract comes near it, and a slip of the decimal point does.
var mostGBP = big.NewRat(10_000, 1)

func readFigures(rate, monthly string) (figures, error) {
	var out figures
	for _, field := range []struct {
		name, text string
		into       **big.Rat
	}{{"rate_gbp", rate, &out.rate}, {"monthly_rate_gbp", monthly, &out.monthly}} {
		if field.text == "" {
			continue
		}
		value, err := money.ParseDecimal(field.text)
		if err == nil && (value.Sign() <= 0 || value.Cmp(mostGBP) > 0) {
			err = fmt.Errorf("%s is not more than 0 and at most %s", field.text, money.Format(mostGBP))
		}
		if err != nil {
			return out, fault.New(fault.Invalid, rules.ReasonDecimalMalformed, "%s: %v", field.name, err).At(field.name, err.Error())
		}
		*field.into = value
	}
	return out, nil
}
