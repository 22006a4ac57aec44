package iif

import (
	"context"
	"math/big"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// quoteRef names, among the figures of a quotation, those of its request.
const quoteRef = "request"

var quoteOrigin = working.Origin{Kind: working.FromRequest}

// quoteStated is the figure of a request: one that whoever asks stands for.
func quoteStated() rules.Figure {
	return rules.Figure{ID: quoteRef, Confidence: working.Official, CommissionerCode: rules.England}
}

// quoteCounts reads counts of a request.
func quoteCounts(in *iifv1.IndicatorCounts) rules.Counts {
	out := countsFromProto(in)
	out.Origin = quoteOrigin
	return out
}

// quoted is what a quotation is worked out from: the terms of England with the figures of the request in their place.
type quoted struct {
	terms   *rules.Terms
	network rules.Network
	stated  rules.Quotation
}

// quoted reads the basis of a quotation. It returns what is wrong with it before anything is looked up, and leaves what is wrong with
// its indicators to the caller, who may find more.
func (s *Service) quoted(ctx context.Context, r *quoteReader, in *iifv1.QuoteBasis) (*quoted, error) {
	query := rules.Query{
		Year: r.year("basis.financial_year", in.GetFinancialYear()), Commissioner: rules.England,
		Known: r.date("basis.known_on", in.GetKnownOn()), On: r.date("basis.on_date", in.GetOnDate()),
	}
	q := &quoted{stated: rules.Quotation{Prevalence: make(map[string]rules.Given)}}
	q.network.ListSize = r.given("basis.list_size", in.GetListSize())
	q.network.List = rules.List{Kind: listKinds[in.GetListKind()], On: r.date("basis.list_date", in.GetListDate())}
	q.stated.ListSize = r.given("basis.list_size_adjustment", in.GetListSizeAdjustment())
	price := r.optional("basis.gbp_per_point", in.GetGbpPerPoint())
	average := r.optional("basis.national_average_list_size", in.GetNationalAverageListSize())
	if err := r.err(); err != nil {
		return nil, err
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	if q.terms, err = rules.TermsFor(scheme, query); err != nil {
		return nil, err
	}
	quoteHold(&q.terms.Price, price)
	quoteHold(&q.terms.Average, average)
	for name, value := range map[string]string{rules.SettingRounding: in.GetRounding(), rules.SettingRoundingPlace: in.GetRoundingPlace()} {
		if value == "" {
			continue
		}
		if q.terms.Version.Rounding, err = q.terms.Version.Rounding.Apply(name, value); err != nil {
			return nil, err
		}
	}
	for i, stated := range in.GetIndicators() {
		r.state(q, "basis.indicators["+strconv.Itoa(i)+"]", stated)
	}
	return q, nil
}

// quoteScheme returns the scheme as the database holds it now.
func (s *Service) quoteScheme(ctx context.Context) (scheme *rules.Scheme, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		scheme, _, err = s.scheme(ctx, q, latest)
		return err
	})
	return scheme, err
}

// quoteHold takes a stated figure in place of the one that governs.
func quoteHold(held *rules.Held, value *big.Rat) {
	if value != nil {
		held.Value = &rules.Value{Figure: quoteStated(), Key: held.Key, Amount: value}
	}
}

// quoteReader reads a request and gathers everything that is wrong with it, so that a caller mends it in one go.
type quoteReader struct{ found []fault.Violation }

func (r *quoteReader) refuse(field, reason, description string) {
	r.found = append(r.found, fault.Violation{Field: field, Reason: reason, Description: description})
}

// err returns everything that is wrong, under the reason of the first field.
func (r *quoteReader) err() error {
	if len(r.found) == 0 {
		return nil
	}
	first := r.found[0]
	out := fault.New(fault.Invalid, first.Reason, "%s: %s", first.Field, first.Description)
	out.Violations = r.found
	return out
}

// decimal reads an exact decimal; it returns 0 for one that is malformed.
func (r *quoteReader) decimal(field, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	if err != nil {
		r.refuse(field, reasonDecimalMalformed, err.Error())
		return new(big.Rat)
	}
	return value
}

// optional reads a decimal that may be left out; nil where it is.
func (r *quoteReader) optional(field, text string) *big.Rat {
	if text == "" {
		return nil
	}
	return r.decimal(field, text)
}

// given reads a quantity of the request that may be left out.
func (r *quoteReader) given(field, text string) rules.Given {
	return rules.Given{Value: r.optional(field, text), Origin: quoteOrigin}
}

// date reads a day that may be left out.
func (r *quoteReader) date(field, text string) period.Date {
	if text == "" {
		return period.Date{}
	}
	day, err := period.ParseDate(text)
	if err != nil {
		r.refuse(field, rules.ReasonDateMalformed, err.Error())
	}
	return day
}

func (r *quoteReader) year(field, text string) period.FinancialYear {
	year, err := parseYear(field, text)
	if err != nil {
		r.refuse(field, reasonYearMalformed, strconv.Quote(money.Clip(text))+" is not a financial year written YYYY-YY")
	}
	return year
}

// indicator finds an indicator of the version; it returns an empty one where there is none.
func (r *quoteReader) indicator(field string, t *rules.Terms, code string) *rules.IndicatorTerms {
	it, found := t.Find(code)
	if !found {
		r.refuse(field, reasonIndicatorUnknown, strconv.Quote(money.Clip(code))+" is not an indicator of "+t.Version.VersionID)
		return new(rules.IndicatorTerms)
	}
	return it
}

// indicatorOrAll finds an indicator; no code is all points of the version.
func (r *quoteReader) indicatorOrAll(field string, t *rules.Terms, code string) *rules.IndicatorTerms {
	if code == "" {
		return t.WholeScheme()
	}
	return r.indicator(field, t, code)
}

// state takes the stated figures of an indicator in place of those that govern.
func (r *quoteReader) state(q *quoted, at string, in *iifv1.StatedIndicator) {
	it := r.indicator(at+".indicator_code", q.terms, in.GetIndicatorCode())
	quoteHold(&it.Points, r.optional(at+".points", in.GetPoints()))
	quoteHold(&it.Lower, r.optional(at+".lower_threshold", in.GetLowerThreshold()))
	quoteHold(&it.Upper, r.optional(at+".upper_threshold", in.GetUpperThreshold()))
	quoteHold(&it.National, r.optional(at+".national_prevalence_percent", in.GetNationalPrevalencePercent()))
	if in.PrevalenceAdjusted != nil {
		applies := new(big.Rat)
		if in.GetPrevalenceAdjusted() {
			applies.SetInt64(1)
		}
		quoteHold(&it.Prevalent, applies)
	}
	if share := r.given(at+".override_share_of_points", in.GetOverrideShareOfPoints()); share.Value != nil {
		it.Override = &rules.Override{Figure: quoteStated(), Year: q.terms.Year, Code: it.Code, Share: share}
	}
	prevalence := r.given(at+".prevalence_adjustment", in.GetPrevalenceAdjustment())
	if _, twice := q.stated.Prevalence[it.Code]; twice {
		r.refuse(at+".indicator_code", rules.ReasonIndicatorTwice, "it has figures twice")
	}
	q.stated.Prevalence[it.Code] = prevalence
}
