package core

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// QuoteInstalments tells what capitation payments come to, instalment by instalment.
func (s *Service) QuoteInstalments(_ context.Context, req *corev1.QuoteInstalmentsRequest) (*corev1.QuoteInstalmentsResponse, error) {
	var d decimals
	streams := make([]rules.Stream, len(req.GetStreams()))
	for i, stream := range req.GetStreams() {
		streams[i] = d.stream("streams["+strconv.Itoa(i)+"]", stream)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	out := &corev1.QuoteInstalmentsResponse{Streams: make([]*corev1.QuotedStream, len(streams))}
	var monthly, total money.Pence
	for i, stream := range streams {
		quoted, err := rules.Quote(stream)
		if err != nil {
			return nil, atField(err, "streams["+strconv.Itoa(i)+"]")
		}
		out.Streams[i] = quotedStream(stream.PaymentCode, quoted)
		if monthly, err = monthly.Add(quoted.Instalments[0]); err != nil {
			return nil, err
		}
		if total, err = total.Add(quoted.Total); err != nil {
			return nil, err
		}
	}
	out.MonthlyTotalPence, out.TotalPence = int64(monthly), int64(total)
	return out, nil
}

func quotedStream(paymentCode string, q *rules.Quotation) *corev1.QuotedStream {
	return &corev1.QuotedStream{
		PaymentCode: paymentCode, InstalmentsPence: pences(q.Instalments), MonthlyPence: int64(q.Instalments[0]),
		FirstPaymentPence: int64(q.First), RemainingInstalments: int32(q.Remaining), //nolint:gosec // no more than the instalments asked for, an int32
		TotalPence: int64(q.Total), PartTotalPence: int64(q.Part), RestTotalPence: int64(q.Rest),
		UnroundedGbp: money.Format(q.UnroundedGBP), RoundedOncePence: int64(q.RoundedOnce),
		Population: money.Format(q.Population), Working: working.ToProto(q.Working),
	}
}

// QuoteBeds tells what the care home premium comes to.
func (s *Service) QuoteBeds(_ context.Context, req *corev1.QuoteBedsRequest) (*corev1.QuoteBedsResponse, error) {
	var d decimals
	asked := rules.BedsAsked{
		RateGBP: d.parse("rate_gbp", req.GetRateGbp()), Months: int(req.GetInstalments()),
		Stated: make(map[period.Month]int64, len(req.GetBedsByMonth())),
	}
	for _, text := range slices.Sorted(maps.Keys(req.GetBedsByMonth())) {
		count := req.GetBedsByMonth()[text]
		if count < 0 {
			d.refuse("beds_by_month["+text+"]", "must not be negative")
		}
		month, err := period.ParseMonth(text)
		if err != nil {
			return nil, monthMalformed("beds_by_month", err)
		}
		asked.Stated[month] = count
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	var err error
	if asked.First, err = period.ParseMonth(req.GetFirstMonth()); err != nil {
		return nil, monthMalformed("first_month", err)
	}
	quoted, err := rules.QuoteBeds(asked)
	if err != nil {
		return nil, err
	}
	return &corev1.QuoteBedsResponse{
		MonthsPence: pences(quoted.Months), TotalPence: int64(quoted.Total), Working: working.ToProto(quoted.Working),
	}, nil
}

// QuoteCorrection tells what a back-dated change of a rate or a population comes to.
func (s *Service) QuoteCorrection(_ context.Context, req *corev1.QuoteCorrectionRequest) (*corev1.QuoteCorrectionResponse, error) {
	var d decimals
	before, after := d.stream("before", req.GetBefore()), d.stream("after", req.GetAfter())
	if err := d.err(); err != nil {
		return nil, err
	}
	c, err := rules.QuoteCorrection(before, after, int(req.GetInstalmentsPaid()))
	if err != nil {
		return nil, err
	}
	return &corev1.QuoteCorrectionResponse{
		BeforeMonthlyPence: int64(c.Before), AfterMonthlyPence: int64(c.After),
		PaidBeforePence: int64(c.PaidBefore), PaidAfterPence: int64(c.PaidAfter),
		ArrearsPence: int64(c.Arrears), NextPaymentPence: int64(c.Next),
		TotalWithoutArrearsPence: int64(c.WithoutArrears), TotalPence: int64(c.Total),
	}, nil
}

// QuoteImprovement tells what declared parts of the improvement payment come to.
func (s *Service) QuoteImprovement(_ context.Context, req *corev1.QuoteImprovementRequest) (*corev1.QuoteImprovementResponse, error) {
	var d decimals
	population := d.parse("adjusted_population", req.GetAdjustedPopulation())
	rates := d.parseMap("part_rates_gbp", req.GetPartRatesGbp())
	if err := d.err(); err != nil {
		return nil, err
	}
	quoted, err := rules.QuoteImprovement(population, rates, req.GetDeclaredParts())
	if err != nil {
		return nil, err
	}
	return &corev1.QuoteImprovementResponse{
		PartsPence: penceMap(quoted.Parts), AmountPence: int64(quoted.Amount), MaximumPence: int64(quoted.Maximum),
	}, nil
}

// QuotePerHead adds up rates per head.
func (s *Service) QuotePerHead(_ context.Context, req *corev1.QuotePerHeadRequest) (*corev1.QuotePerHeadResponse, error) {
	var d decimals
	rates := d.parseMap("rates_gbp", req.GetRatesGbp())
	if err := d.err(); err != nil {
		return nil, err
	}
	return &corev1.QuotePerHeadResponse{SumGbp: money.Format(rules.PerHead(rates))}, nil
}

// QuoteServiceHours tells the least weekly service for a population.
func (s *Service) QuoteServiceHours(_ context.Context, req *corev1.QuoteServiceHoursRequest) (*corev1.QuoteServiceHoursResponse, error) {
	var d decimals
	population := d.parse("population", req.GetPopulation())
	minutesPer1000 := d.parse("minutes_per_1000", req.GetMinutesPer_1000())
	if err := d.err(); err != nil {
		return nil, err
	}
	minutes, hours := rules.ServiceHours(population, minutesPer1000)
	return &corev1.QuoteServiceHoursResponse{
		MinutesPerWeek: money.Format(minutes), HoursRoundedToQuarter: hours.FloatString(2),
	}, nil
}

// QuoteImpliedPopulation tells which population a national sum and a rate imply.
func (s *Service) QuoteImpliedPopulation(_ context.Context, req *corev1.QuoteImpliedPopulationRequest) (*corev1.QuoteImpliedPopulationResponse, error) {
	var d decimals
	national, rate := d.parse("national_gbp", req.GetNationalGbp()), d.parse("rate_gbp", req.GetRateGbp())
	if err := d.err(); err != nil {
		return nil, err
	}
	people, err := rules.ImpliedPopulation(national, rate)
	if err != nil {
		return nil, atField(err, "rate_gbp")
	}
	return &corev1.QuoteImpliedPopulationResponse{PopulationNearestThousand: people}, nil
}

// QuoteShare tells how a fixed pool is shared by population.
func (s *Service) QuoteShare(_ context.Context, req *corev1.QuoteShareRequest) (*corev1.QuoteShareResponse, error) {
	var d decimals
	populations := d.parseMap("populations", req.GetPopulations())
	if err := d.err(); err != nil {
		return nil, err
	}
	shares, err := rules.Share(money.Pence(req.GetPoolPence()), populations)
	if err != nil {
		return nil, atField(err, "populations")
	}
	return &corev1.QuoteShareResponse{SharesPence: penceMap(shares), TotalPence: req.GetPoolPence()}, nil
}

// QuoteNeedWeight tells the need-weighted population of a practice.
func (s *Service) QuoteNeedWeight(_ context.Context, req *corev1.QuoteNeedWeightRequest) (*corev1.QuoteNeedWeightResponse, error) {
	var d decimals
	medicalCare := d.parse("primary_medical_care_weighted", req.GetPrimaryMedicalCareWeighted())
	inequality := d.parse("health_inequality_weighted", req.GetHealthInequalityWeighted())
	share := d.parse("health_inequality_share", req.GetHealthInequalityShare())
	if err := d.err(); err != nil {
		return nil, err
	}
	weighted, err := rules.NeedWeight(medicalCare, inequality, share)
	if err != nil {
		return nil, atField(err, "health_inequality_share")
	}
	return &corev1.QuoteNeedWeightResponse{FinalWeighted: weighted.FloatString(2)}, nil
}

// decimals reads the figures of a quotation and gathers all that are wrong, so that a caller mends them in one go.
type decimals struct {
	malformed  *fault.Fault
	incomplete *fault.Fault
}

// parse reads an exact decimal of at least 0; nil for one that is malformed.
func (d *decimals) parse(field, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	if err != nil {
		d.refuse(field, err.Error())
		return nil
	}
	if value.Sign() < 0 {
		d.refuse(field, "must not be negative")
	}
	return value
}

// optional reads a decimal that may be left out; nil where it is.
func (d *decimals) optional(field, text string) *big.Rat {
	if text == "" {
		return nil
	}
	return d.parse(field, text)
}

func (d *decimals) parseMap(field string, texts map[string]string) map[string]*big.Rat {
	out := make(map[string]*big.Rat, len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		out[key] = d.parse(field+"["+key+"]", texts[key])
	}
	return out
}

func (d *decimals) stream(field string, stream *corev1.Stream) rules.Stream {
	out := rules.Stream{
		PaymentCode: stream.GetPaymentCode(), Instalments: int(stream.GetInstalments()),
		Convention:       rules.Convention(stream.GetConvention()),
		FirstInstalments: int(stream.GetFirstPaymentInstalments()), PartInstalments: int(stream.GetPartInstalments()),
		Terms: make([]rules.Term, len(stream.GetComponents())),
	}
	for i, component := range stream.GetComponents() {
		at := field + ".components[" + strconv.Itoa(i) + "]"
		out.Terms[i] = rules.Term{
			Name:           component.GetName(),
			RateGBP:        d.optional(at+".rate_gbp", component.GetRateGbp()),
			MonthlyRateGBP: d.optional(at+".monthly_rate_gbp", component.GetMonthlyRateGbp()),
			RateOrigin:     fromRequest,
			Population:     d.population(at, component, out.Convention),
		}
		switch {
		case out.Convention == rules.PCNMonthlyRate && component.GetMonthlyRateGbp() == "":
			// The rules refuse it as a figure that is not published.
		case out.Convention != rules.PCNMonthlyRate && component.GetRateGbp() == "":
			d.lacks(at+".rate_gbp", "the period's rate is needed under this convention")
		}
	}
	return out
}

// population reads a population given once: as a figure, or practice by practice.
func (d *decimals) population(at string, component *corev1.Component, convention rules.Convention) rules.Population {
	byPractice := component.GetPracticePopulations()
	switch whole := component.GetPopulation(); {
	case whole != "" && len(byPractice) > 0:
		d.lacks(at+".population", "give the population once: as a figure, or practice by practice")
	case whole != "" && convention == rules.PracticeSum:
		d.lacks(at+".practice_populations", "PRACTICE_SUM needs the population practice by practice")
	case whole != "":
		return rules.Population{Value: d.parse(at+".population", whole), Origin: fromRequest}
	case len(byPractice) == 0:
		d.lacks(at+".population", "a population is needed")
	}
	values := d.parseMap(at+".practice_populations", byPractice)
	out := rules.Population{Practices: make([]rules.PracticePopulation, 0, len(values))}
	for _, code := range slices.Sorted(maps.Keys(values)) {
		out.Practices = append(out.Practices, rules.PracticePopulation{Code: code, Value: values[code], Origin: fromRequest})
	}
	return out
}

func (d *decimals) refuse(field, description string) {
	if d.malformed == nil {
		d.malformed = fault.New(fault.Invalid, rules.ReasonDecimalMalformed, "%s: %s", field, description)
	}
	d.malformed = d.malformed.At(field, description)
}

func (d *decimals) lacks(field, description string) {
	if d.incomplete == nil {
		d.incomplete = fault.New(fault.Invalid, rules.ReasonQuoteIncomplete, "%s: %s", field, description)
	}
	d.incomplete = d.incomplete.At(field, description)
}

// err returns what is wrong: malformed figures first, then missing ones.
func (d *decimals) err() error {
	switch {
	case d.malformed != nil:
		return d.malformed
	case d.incomplete != nil:
		return d.incomplete
	default:
		return nil
	}
}

var fromRequest = working.Origin{Kind: working.FromRequest}

// atField names the field of the request that a fault is about.
func atField(err error, field string) error {
	if f, ok := fault.As(err); ok {
		return f.At(field, f.Message)
	}
	return err
}

func monthMalformed(field string, err error) error {
	return fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%s: %v", field, err).At(field, err.Error())
}

func pences(amounts []money.Pence) []int64 {
	out := make([]int64, len(amounts))
	for i, amount := range amounts {
		out[i] = int64(amount)
	}
	return out
}

func penceMap(amounts map[string]money.Pence) map[string]int64 {
	out := make(map[string]int64, len(amounts))
	for key, amount := range amounts {
		out[key] = int64(amount)
	}
	return out
}
