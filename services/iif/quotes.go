package iif

import (
	"context"
	"math/big"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// QuoteIndicator tells what counts of an indicator come to.
func (s *Service) QuoteIndicator(ctx context.Context, req *iifv1.QuoteIndicatorRequest) (*iifv1.QuoteIndicatorResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	it := r.indicator("counts.indicator_code", q.terms, req.GetCounts().GetIndicatorCode())
	if err := r.err(); err != nil {
		return nil, err
	}
	counts := quoteCounts(req.GetCounts())
	result, decimals, err := q.indicator(it, &counts)
	if err != nil {
		return nil, err
	}
	return &iifv1.QuoteIndicatorResponse{VersionId: it.VersionID, Result: result, Decimals: decimals}, nil
}

// QuotePatients tells how a register is counted.
func (s *Service) QuotePatients(ctx context.Context, req *iifv1.QuotePatientsRequest) (*iifv1.QuotePatientsResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	it := r.indicator("indicator_code", q.terms, req.GetIndicatorCode())
	if err := r.err(); err != nil {
		return nil, err
	}
	patients := make([]rules.Patient, len(req.GetPatients()))
	for i, p := range req.GetPatients() {
		patients[i] = rules.Patient{Excluded: p.GetExclusion(), Met: p.GetMet(), Adjusted: p.GetAdjustments()}
	}
	counts := rules.CountPatients(patients)
	counts.Origin = quoteOrigin
	result, decimals, err := q.indicator(it, &counts)
	if err != nil {
		return nil, err
	}
	return &iifv1.QuotePatientsResponse{Counts: countsToProto(it.Code, &counts), Result: result, Decimals: decimals}, nil
}

// indicator works one indicator out.
func (q *quoted) indicator(it *rules.IndicatorTerms, counts *rules.Counts) (*iifv1.IndicatorResult, *iifv1.QuotedDecimals, error) {
	result, err := rules.Quote(q.terms, it, &q.network, counts, q.stated)
	if err != nil {
		return nil, nil, err
	}
	quoteOwn(result)
	return indicatorToProto(it, result, true), quotedDecimals(it, result), nil
}

// QuoteYear tells what counts of a year come to.
func (s *Service) QuoteYear(ctx context.Context, req *iifv1.QuoteYearRequest) (*iifv1.QuoteYearResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	counts := make([]rules.IndicatorCounts, len(req.GetCounts()))
	for i, c := range req.GetCounts() {
		counts[i] = rules.IndicatorCounts{Code: c.GetIndicatorCode(), Counts: quoteCounts(c)}
	}
	year, err := rules.QuoteYear(q.terms, &q.network, counts, q.stated)
	if err != nil {
		return nil, err
	}
	decimals := make([]*iifv1.QuotedDecimals, len(year.Results))
	for i := range year.Results {
		result := &year.Results[i]
		quoteOwn(result)
		it, _ := q.terms.Find(result.Code)
		decimals[i] = quotedDecimals(it, result)
	}
	quoteOwnYear(year)
	out := yearToProto(q.terms, year, true)
	out.ListSize, out.ListKind, out.ListDate = decimal(q.network.ListSize.Value), req.GetBasis().GetListKind(), req.GetBasis().GetListDate()
	return &iifv1.QuoteYearResponse{Result: out, Decimals: decimals}, nil
}

// QuotePoints tells what points come to in pounds.
func (s *Service) QuotePoints(ctx context.Context, req *iifv1.QuotePointsRequest) (*iifv1.QuotePointsResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	out := &iifv1.QuotePointsResponse{Payments: make([]*iifv1.QuotedPayment, len(req.GetPoints())), Whole: true}
	var total money.Pence
	for i, row := range req.GetPoints() {
		at := "points[" + strconv.Itoa(i) + "]"
		it := r.indicatorOrAll(at+".indicator_code", q.terms, row.GetIndicatorCode())
		points := r.decimal(at+".points", row.GetPoints())
		prevalence := r.given(at+".prevalence_adjustment", row.GetPrevalenceAdjustment())
		if slices.ContainsFunc(req.GetPoints()[:i], func(before *iifv1.QuotedPoints) bool { return before.GetIndicatorCode() == row.GetIndicatorCode() }) {
			r.refuse(at+".indicator_code", rules.ReasonIndicatorTwice, "it has points twice")
		}
		if err := r.err(); err != nil {
			return nil, err
		}
		if prevalence.Value != nil {
			q.stated.Prevalence[it.Code] = prevalence
		}
		payment, err := rules.QuotePoints(q.terms, it, &q.network, rules.Given{Value: points, Origin: quoteOrigin}, q.stated)
		if err != nil {
			return nil, quoteAt(err, at+".points")
		}
		quoteOwnPayment(payment)
		out.Payments[i] = &iifv1.QuotedPayment{IndicatorCode: it.Code, Payment: paymentToProto(payment, true)}
		if !payment.Known() {
			out.Whole = false
			continue
		}
		if total, err = total.Add(payment.Amount); err != nil {
			return nil, err
		}
	}
	out.TotalPence = int64(total)
	return out, nil
}

// QuoteAdjustments tells what list size and prevalence adjust a payment by.
func (s *Service) QuoteAdjustments(ctx context.Context, req *iifv1.QuoteAdjustmentsRequest) (*iifv1.QuoteAdjustmentsResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	it := r.indicator("indicator_code", q.terms, req.GetIndicatorCode())
	if err := r.err(); err != nil {
		return nil, err
	}
	register := rules.Given{Value: new(big.Rat).SetInt64(req.GetRegister()), Origin: quoteOrigin}
	got, err := rules.QuoteAdjustments(q.terms, it, &q.network, register, q.stated)
	if err != nil {
		return nil, err
	}
	quoteOwnWorking(got.Working)
	return &iifv1.QuoteAdjustmentsResponse{
		ListSizeAdjustment: decimal(got.ListSize), PrevalenceAdjustment: decimal(got.Prevalence), Product: decimal(got.Product),
		AverageRegister: decimal(got.AverageRegister), RegisterOverAverageRegister: decimal(got.Share),
		Working: working.ToProto(got.Working), Confidence: working.ConfidenceToProto(got.Working.Confidence()),
	}, nil
}

// QuoteNationalValue tells what points are worth nationally.
func (s *Service) QuoteNationalValue(ctx context.Context, req *iifv1.QuoteNationalValueRequest) (*iifv1.QuoteNationalValueResponse, error) {
	var r quoteReader
	q, err := s.quoted(ctx, &r, req.GetBasis())
	if err != nil {
		return nil, err
	}
	it := r.indicatorOrAll("indicator_code", q.terms, req.GetIndicatorCode())
	share := r.decimal("share_expected", req.GetShareExpected())
	if err := r.err(); err != nil {
		return nil, err
	}
	w, err := rules.QuoteNationalValue(q.terms, it, rules.Given{Value: share, Origin: quoteOrigin}, req.GetPcns())
	if err != nil {
		return nil, quoteAt(err, "share_expected")
	}
	quoteOwnWorking(w)
	out := &iifv1.QuoteNationalValueResponse{
		NationalValueGbp:        decimal(w.Result()),
		NationalValueGbpMillion: money.Round(new(big.Rat).Quo(w.Result(), big.NewRat(1_000_000, 1)), money.HalfUp, 1).FloatString(1),
		Working:                 working.ToProto(w), Confidence: working.ConfidenceToProto(w.Confidence()),
	}
	if it.Code == "" {
		out.PublishedGbp = decimal(q.terms.Version.NationalGBP)
	}
	return out, nil
}

// QuoteStandardisedCount tells a count standardised by age and sex.
func (s *Service) QuoteStandardisedCount(_ context.Context, req *iifv1.QuoteStandardisedCountRequest) (*iifv1.QuoteStandardisedCountResponse, error) {
	var r quoteReader
	bands, names := make([]rules.Band, len(req.GetBands())), make(map[string]bool, len(req.GetBands()))
	for i, b := range req.GetBands() {
		name := b.GetName()
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		if names[name] {
			r.refuse("bands["+strconv.Itoa(i)+"].name", rules.ReasonCountsDisagree, "the band stands twice")
		}
		names[name] = true
		bands[i] = rules.Band{
			Name: name, Admissions: b.GetAdmissions(), Patients: b.GetPcnPopulation(), England: b.GetEnglandPopulation(), Origin: quoteOrigin,
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	got, err := rules.Standardise(bands)
	if err != nil {
		return nil, err
	}
	return &iifv1.QuoteStandardisedCountResponse{
		Rate: decimal(got.Rate), Numerator: got.Numerator, Denominator: got.Denominator, Working: working.ToProto(got.Working),
	}, nil
}

// quotedDecimals writes figures of a result in decimals, as examples do.
func quotedDecimals(it *rules.IndicatorTerms, r *rules.Result) *iifv1.QuotedDecimals {
	out := &iifv1.QuotedDecimals{
		Achievement: shownDecimal(r.Measure.Value), AchievementUnadjusted: shownDecimal(r.Measure.Unadjusted),
		PointsMeasured: shownDecimal(r.Measured.Points), PointsDue: shownDecimal(r.Due.Points),
		ListSizeAdjustment: shownDecimal(r.ListSize), PrevalenceAdjustment: shownDecimal(r.Prevalence),
	}
	known := func(h *rules.Held) bool {
		return h.Value != nil && h.Value.Amount != nil && h.Value.Confidence.Payable()
	}
	if r.Measure.Value != nil && known(&it.Lower) && known(&it.Upper) {
		if share, err := rules.Share(it.Direction, it.Lower.Value.Amount, it.Upper.Value.Amount, r.Measure.Value); err == nil {
			out.ShareOfPoints = shownDecimal(share)
		}
	}
	return out
}

// shownPlaces is to how many places a figure is shown that does not end.
const shownPlaces = 10

func shownDecimal(value *big.Rat) string {
	if value == nil {
		return ""
	}
	if places, exact := value.FloatPrec(); exact && places <= shownPlaces {
		return money.Format(value)
	}
	return money.Round(value, money.HalfUp, shownPlaces).FloatString(shownPlaces)
}

// quoteOwn marks what a result owes to the request, and reads its confidence off the other figures.
func quoteOwn(r *rules.Result) {
	quoteOwnPayment(&r.Measured)
	quoteOwnPayment(&r.Due)
	if r.OverrideID == quoteRef {
		r.OverrideID = ""
	}
}

func quoteOwnPayment(p *rules.Payment) {
	if quoteOwnWorking(p.Working); p.Working != nil {
		p.Confidence = p.Working.Confidence()
	}
}

// quoteOwnYear reads the confidence of a year off its results; what it adds up are no lines that are kept.
func quoteOwnYear(y *rules.Year) {
	y.Confidence = working.Unstated
	if y.Working == nil {
		return
	}
	due := 0
	for i := range y.Results {
		if r := &y.Results[i]; r.Due.Known() {
			y.Working.Inputs[due].Origin = working.Origin{Confidence: r.Due.Confidence}
			due++
		}
	}
	y.Confidence = y.Working.Confidence()
}

// quoteOwnWorking marks inputs of the request.
func quoteOwnWorking(w *working.Working) {
	if w == nil {
		return
	}
	for i := range w.Inputs {
		if origin := &w.Inputs[i].Origin; origin.Ref == quoteRef {
			*origin = quoteOrigin
		}
	}
}

// quoteAt names the field of a request that a rule finds wrong.
func quoteAt(err error, field string) error {
	if refused, ok := fault.As(err); ok && refused.Kind == fault.Invalid {
		return refused.At(field, refused.Message)
	}
	return err
}
