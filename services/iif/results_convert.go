package iif

import (
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// resultToProto writes a year that was worked out, without what only a kept result has: its id, when and why it was worked out.
func resultToProto(w *worked, withWorkings bool) *iifv1.YearResult {
	out := yearToProto(w.terms, w.result, withWorkings)
	out.PcnCode, out.PcnName, out.CommissionerCode, out.AchievedOn = w.pcn, w.pcnName, w.commissioner, w.on.String()
	out.ListSize, out.ListKind, out.ListDate = decimal(w.list.Value), wordOf(listKinds, w.listOf.Kind), w.listOf.On.String()
	out.SnapshotId, out.PracticeCodes, out.IncompletePractices, out.PayerCode = w.snapshot, w.members, w.incomplete, w.payer
	out.FiguresPosition, out.CountsPosition = w.figures, w.basis.counts
	for i := range w.terms.Indicators {
		code := w.terms.Indicators[i].Code
		for _, d := range w.differences[code] {
			out.Differences = append(out.Differences, &iifv1.CountDifference{IndicatorCode: code, Name: d.Name, Summed: d.Summed.N, Stated: d.Stated.N})
		}
	}
	return out
}

// yearToProto writes what a year comes to.
func yearToProto(t *rules.Terms, y *rules.Year, withWorkings bool) *iifv1.YearResult {
	out := &iifv1.YearResult{
		PcnCode: y.PCN, FinancialYear: yearWords(t.Year), VersionId: y.VersionID, DuePence: int64(y.Due), MeasuredPence: int64(y.Measured),
		Points: decimal(y.Points), PointsAvailable: decimal(y.Available), Whole: y.Whole(), Missing: y.Missing, IgnoredCodes: y.Ignored,
		Confidence: working.ConfidenceToProto(y.Confidence),
		Indicators: make([]*iifv1.IndicatorResult, len(y.Results)), Refusals: make([]*typev1.Refusal, len(y.Refused)),
	}
	out.Rounding, out.RoundingPlace = roundingWords(t.Version.Rounding)
	for i := range y.Results {
		r := &y.Results[i]
		it, _ := t.Find(r.Code)
		out.Indicators[i] = indicatorToProto(it, r, withWorkings)
	}
	for i, refused := range y.Refused {
		out.Refusals[i] = missingToProto(refused.Why)
		out.Refusals[i].PaymentCode = refused.Code
	}
	if withWorkings {
		out.Working = working.ToProto(y.Working)
	}
	return out
}

// indicatorToProto writes what an indicator comes to.
func indicatorToProto(it *rules.IndicatorTerms, r *rules.Result, withWorkings bool) *iifv1.IndicatorResult {
	out := &iifv1.IndicatorResult{
		IndicatorCode: r.Code, FigureId: r.IndicatorID, Name: it.Name, Status: wordOf(indicatorStatuses, r.Status), Counted: r.Counted,
		Achievement: decimal(r.Measure.Value), AchievementUnadjusted: decimal(r.Measure.Unadjusted), Unit: it.Kind.Unit(),
		Numerator: decimal(r.Measure.Numerator), Denominator: decimal(r.Measure.Denominator), Answer: answerToProto(r.Measure.Answer),
		Notes: slices.Clone(r.Notes), OverrideId: r.OverrideID,
		Measured: paymentToProto(&r.Measured, withWorkings), Due: paymentToProto(&r.Due, withWorkings),
		ListSizeAdjustment: decimal(r.ListSize), PrevalenceAdjustment: decimal(r.Prevalence), Tests: make([]*iifv1.TestOutcome, len(r.Tests)),
	}
	for i := range r.Tests {
		test := &r.Tests[i]
		numbers := make([]*iifv1.TestNumber, len(test.Numbers))
		for j, n := range test.Numbers {
			numbers[j] = &iifv1.TestNumber{Name: n.Name, Value: decimal(n.Value), Unit: n.Unit}
		}
		out.Tests[i] = &iifv1.TestOutcome{Test: test.Test.String(), Outcome: string(test.Outcome), Reasons: test.Reasons, Numbers: numbers}
	}
	return out
}

// paymentToProto writes what points come to; an amount that is refused is left out.
func paymentToProto(p *rules.Payment, withWorking bool) *iifv1.EarnedPayment {
	out := &iifv1.EarnedPayment{
		Points: decimal(p.Points), Refusal: missingToProto(p.Refused), Confidence: working.ConfidenceToProto(p.Confidence),
	}
	if p.Known() {
		amount := int64(p.Amount)
		out.AmountPence = &amount
	}
	if withWorking {
		out.Working = working.ToProto(p.Working)
	}
	return out
}
