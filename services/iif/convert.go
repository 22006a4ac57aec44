package iif

import (
	"math/big"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// yearWords writes a financial year as requests and messages do, 2025-26, since a path cannot hold 2025/26.
func yearWords(year period.FinancialYear) string { return strings.Replace(year.String(), "/", "-", 1) }

// parseYear reads what yearWords writes.
func parseYear(field, text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return 0, fault.New(fault.Invalid, reasonYearMalformed, "%s: %q is not a financial year written YYYY-YY", field, money.Clip(text)).At(field, "a year such as 2025-26")
	}
	return year, nil
}

func parseDate(field, text string) (period.Date, error) {
	day, err := period.ParseDate(text)
	if err != nil {
		return day, fault.New(fault.Invalid, rules.ReasonDateMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return day, nil
}

func optionalDate(field, text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	return parseDate(field, text)
}

func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

// decimal writes an exact decimal or fraction; nil is an empty text.
func decimal(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}

// missingToProto writes what a refusal says is missing; nil stays nil.
func missingToProto(refused *fault.Fault) *typev1.Refusal {
	if refused == nil {
		return nil
	}
	missing, remedy := refused.Meta["missing"], refused.Meta["remedy"]
	if missing == "" {
		missing = refused.Message
	}
	return &typev1.Refusal{Reason: refused.Reason, Missing: missing, Remedy: remedy}
}

// states pairs the states of a year with those of the contract.
var states = map[rules.State]iifv1.AchievementState{
	rules.Open: iifv1.AchievementState_OPEN, rules.AwaitingProvider: iifv1.AchievementState_AWAITING_SERVICE_PROVIDER_APPROVAL,
	rules.AwaitingCommissioner: iifv1.AchievementState_AWAITING_COMMISSIONING_ORGANISATION_APPROVAL,
	rules.AwaitingFinancial:    iifv1.AchievementState_AWAITING_FINANCIAL_APPROVAL,
	rules.Appealed:             iifv1.AchievementState_UNDER_APPEAL, rules.Approved: iifv1.AchievementState_APPROVED_FOR_PAYMENT,
}

// causeOf reads why a year was worked out again; the names of the contract are those of the rules.
func causeOf(cause iifv1.ChangeCause) rules.Cause {
	if cause == iifv1.ChangeCause_CHANGE_CAUSE_UNSPECIFIED {
		return ""
	}
	return rules.Cause(cause.String())
}

// verdictOf reads how an appeal ends.
func verdictOf(verdict iifv1.Verdict) rules.Verdict {
	if verdict == iifv1.Verdict_VERDICT_UNSPECIFIED {
		return ""
	}
	return rules.Verdict(verdict.String())
}

// roundingWords writes a policy of rounding as settings do.
func roundingWords(r rules.Rounding) (mode, place string) {
	mode = map[money.Rounding]string{
		money.HalfUp: rules.RoundingHalfUp, money.HalfEven: rules.RoundingHalfEven, money.Floor: rules.RoundingDown,
	}[r.Mode]
	if r.PointsFirst {
		return mode, rules.PlacePointsAndIndicator
	}
	return mode, rules.PlaceIndicator
}

func answerToProto(a rules.Answer) iifv1.Answer { return iifv1.Answer(a) } //nolint:gosec // few values, the same in both

func cellToProto(c rules.Cell) *iifv1.Count {
	switch c.State {
	case rules.Stated:
		return &iifv1.Count{Value: &c.N}
	case rules.Suppressed:
		return &iifv1.Count{Suppressed: true}
	case rules.Absent:
	}
	return nil
}

// cellOf reads a count; one that is not there, or has no value, is absent.
func cellOf(c *iifv1.Count) rules.Cell {
	switch {
	case c.GetSuppressed():
		return rules.Cell{State: rules.Suppressed}
	case c == nil || c.Value == nil:
		return rules.Cell{}
	}
	return rules.Count(c.GetValue())
}

func countsToProto(code string, c *rules.Counts) *iifv1.IndicatorCounts {
	fields := func(of []rules.FieldCount) []*iifv1.FieldCount {
		out := make([]*iifv1.FieldCount, len(of))
		for i, f := range of {
			out[i] = &iifv1.FieldCount{Field: f.Field, Count: cellToProto(f.Cell)}
		}
		return out
	}
	return &iifv1.IndicatorCounts{
		IndicatorCode: code, Numerator: cellToProto(c.Numerator), Denominator: cellToProto(c.Denominator), Register: cellToProto(c.Register),
		BaselineNumerator: cellToProto(c.BaselineNumerator), BaselineDenominator: cellToProto(c.BaselineDenominator),
		Exclusions: fields(c.Exclusions), Adjustments: fields(c.Adjustments), Answer: answerToProto(c.Answer),
	}
}

// countsFromProto reads counts without their origin, which the caller knows.
func countsFromProto(c *iifv1.IndicatorCounts) rules.Counts {
	fields := func(of []*iifv1.FieldCount) []rules.FieldCount {
		out := make([]rules.FieldCount, len(of))
		for i, f := range of {
			out[i] = rules.FieldCount{Field: f.GetField(), Cell: cellOf(f.GetCount())}
		}
		return out
	}
	return rules.Counts{
		Numerator: cellOf(c.GetNumerator()), Denominator: cellOf(c.GetDenominator()), Register: cellOf(c.GetRegister()),
		BaselineNumerator: cellOf(c.GetBaselineNumerator()), BaselineDenominator: cellOf(c.GetBaselineDenominator()),
		Exclusions: fields(c.GetExclusions()), Adjustments: fields(c.GetAdjustments()), Answer: rules.Answer(c.GetAnswer()),
	}
}
