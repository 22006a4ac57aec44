package iif

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// The words of the contract and those of the rules.
var (
	valueFields = map[iifv1.ValueField]rules.Field{
		iifv1.ValueField_GBP_PER_POINT: rules.PriceField, iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE: rules.AverageField,
		iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT: rules.PrevalenceField, iifv1.ValueField_POINTS: rules.PointsField,
		iifv1.ValueField_LOWER_THRESHOLD: rules.LowerField, iifv1.ValueField_UPPER_THRESHOLD: rules.UpperField,
		iifv1.ValueField_PREVALENCE_ADJUSTED: rules.PrevalentField,
	}
	indicatorKinds = map[iifv1.IndicatorKind]rules.Kind{
		iifv1.IndicatorKind_PERCENTAGE: rules.Percentage, iifv1.IndicatorKind_BINARY: rules.Binary, iifv1.IndicatorKind_CHANGE: rules.Change,
		iifv1.IndicatorKind_BEDS: rules.Beds, iifv1.IndicatorKind_RATIO: rules.Ratio, iifv1.IndicatorKind_STANDARDISED: rules.Standardised,
		iifv1.IndicatorKind_UNDEFINED: rules.Undefined,
	}
	directions = map[iifv1.Direction]rules.Direction{
		iifv1.Direction_DIRECTION_UNSPECIFIED: "", iifv1.Direction_HIGHER: rules.HigherBetter, iifv1.Direction_LOWER: rules.LowerBetter,
	}
	indicatorStatuses = map[iifv1.IndicatorStatus]rules.Status{
		iifv1.IndicatorStatus_ACTIVE: rules.Active, iifv1.IndicatorStatus_SUSPENDED: rules.Suspended, iifv1.IndicatorStatus_DEFERRED: rules.Deferred,
		iifv1.IndicatorStatus_RETIRED: rules.Retired, iifv1.IndicatorStatus_OVERRIDDEN: rules.Overridden,
	}
	listKinds = map[iifv1.ListKind]rules.ListKind{
		iifv1.ListKind_LIST_KIND_UNSPECIFIED: "", iifv1.ListKind_REGISTERED: rules.RegisteredList, iifv1.ListKind_ADJUSTED: rules.AdjustedList,
		iifv1.ListKind_WEIGHTED: rules.WeightedList,
	}
	countsFeeds = map[iifv1.CountsFeed]rules.Feed{
		iifv1.CountsFeed_COUNTS_FEED_UNSPECIFIED: rules.NoFeed, iifv1.CountsFeed_EXTRACT: rules.Extract, iifv1.CountsFeed_APPOINTMENTS: rules.Appointments,
		iifv1.CountsFeed_ADMISSIONS: rules.Admissions, iifv1.CountsFeed_TYPED: rules.Typed, iifv1.CountsFeed_TICK: rules.Tick,
	}
)

// wordOf returns the word of the contract for one of the rules.
func wordOf[P ~int32, R comparable](words map[P]R, of R) P {
	for word, means := range words {
		if means == of {
			return word
		}
	}
	return 0
}

// stated is what a figure states: one of these.
type stated struct {
	value     *rules.Value
	version   *rules.Version
	indicator *rules.Indicator
	override  *rules.Override
	run       *rules.Run
}

// oneof is a message that states one of them.
type oneof interface {
	GetValue() *iifv1.SchemeValue
	GetVersion() *iifv1.SchemeVersion
	GetIndicator() *iifv1.SchemeIndicator
	GetOverride() *iifv1.NationalOverride
	GetPaymentRun() *iifv1.PaymentRun
}

// read reads what a message states, for a year and with what is known of its origin. It refuses what cannot be read, and no more.
func read(in oneof, year period.FinancialYear, figure rules.Figure) (stated, error) {
	r := reader{}
	var out stated
	switch {
	case in.GetValue() != nil:
		out.value = r.value(in.GetValue(), year, figure)
	case in.GetVersion() != nil:
		out.version = r.version(in.GetVersion(), year, figure)
	case in.GetIndicator() != nil:
		out.indicator = r.indicator(in.GetIndicator(), figure)
	case in.GetOverride() != nil:
		out.override = &rules.Override{
			Figure: figure, Year: year, Code: in.GetOverride().GetIndicatorCode(),
			Share: rules.Given{Value: r.decimal("override.share_of_points", in.GetOverride().GetShareOfPoints())},
		}
	case in.GetPaymentRun() != nil:
		run := in.GetPaymentRun()
		out.run = &rules.Run{
			Figure: figure, Year: year, Kind: rules.PaymentRun, ApproveBy: r.date("payment_run.approve_by", run.GetApproveBy()),
			PayOn: r.date("payment_run.pay_on", run.GetPayOn()),
		}
		if run.GetDeadline() {
			out.run.Kind = rules.PaymentDeadline
		}
	default:
		return out, fault.New(fault.Invalid, reasonFigureSubjectInvalid, "say what the figure states").
			At("body", "one of value, version, indicator, override and payment_run")
	}
	return out, r.err
}

// reader reads texts of messages and keeps the first failure.
type reader struct{ err error }

func (r *reader) date(field, text string) period.Date {
	day, err := optionalDate(field, text)
	r.keep(err)
	return day
}

func (r *reader) decimal(field, text string) *big.Rat {
	if text == "" {
		return nil
	}
	value, err := money.ParseDecimal(text)
	if err != nil {
		r.keep(fault.New(fault.Invalid, reasonDecimalMalformed, "%s: %v", field, err).At(field, err.Error()))
		return nil
	}
	return value
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) value(in *iifv1.SchemeValue, year period.FinancialYear, figure rules.Figure) *rules.Value {
	return &rules.Value{
		Figure: figure, Key: rules.Key{Year: year, VersionID: in.GetVersionId(), Code: in.GetIndicatorCode(), Field: valueFields[in.GetField()]},
		Amount: r.decimal("value.value", in.GetValue()),
		List:   rules.List{Kind: listKinds[in.GetListKind()], On: r.date("value.list_date", in.GetListDate())},
	}
}

func (r *reader) version(in *iifv1.SchemeVersion, year period.FinancialYear, figure rules.Figure) *rules.Version {
	out := &rules.Version{
		Figure: figure, VersionID: in.GetVersionId(), Year: year, From: r.date("version.from_date", in.GetFromDate()),
		To: r.date("version.to_date", in.GetToDate()), Points: r.decimal("version.points", in.GetPoints()), PointsAtMost: in.GetPointsAtMost(),
		PointsConfidence: working.Unknown, NationalGBP: r.decimal("version.national_value_gbp", in.GetNationalValueGbp()),
		PayingIndicators: int(in.GetPayingIndicators()),
	}
	if out.Points != nil {
		out.PointsConfidence = figure.Confidence
	}
	for _, setting := range []struct{ name, value, otherwise string }{
		{rules.SettingRounding, in.GetRounding(), rules.RoundingHalfUp}, {rules.SettingRoundingPlace, in.GetRoundingPlace(), rules.PlaceIndicator},
	} {
		value := setting.value
		if value == "" {
			value = setting.otherwise
		}
		var err error
		out.Rounding, err = out.Rounding.Apply(setting.name, value)
		r.keep(err)
	}
	return out
}

func (r *reader) indicator(in *iifv1.SchemeIndicator, figure rules.Figure) *rules.Indicator {
	out := &rules.Indicator{
		Figure: figure, VersionID: in.GetVersionId(), Code: in.GetIndicatorCode(), CodeIsLabel: in.GetCodeIsLabel(), CQRSCode: in.GetCqrsCode(),
		Name: strings.TrimSpace(in.GetName()), Area: strings.TrimSpace(in.GetArea()), Kind: indicatorKinds[in.GetKind()],
		Direction: directions[in.GetDirection()], Status: indicatorStatuses[in.GetStatus()], ReplacedBy: in.GetReplacedBy(),
		NumeratorFrom: countsFeeds[in.GetNumeratorFrom()], DenominatorFrom: countsFeeds[in.GetDenominatorFrom()],
		CountsFrom: r.date("indicator.counts_from", in.GetCountsFrom()),
		Exclusions: slices.Clone(in.GetExclusions()), Adjustments: slices.Clone(in.GetAdjustments()),
	}
	for i, text := range in.GetJudgedOn() {
		day, err := parseDate(fmt.Sprintf("indicator.judged_on[%d]", i), text)
		r.keep(err)
		out.JudgedOn = append(out.JudgedOn, day)
	}
	return out
}

// figure returns what is known of the origin.
func (s *stated) figure() *rules.Figure {
	switch {
	case s.value != nil:
		return &s.value.Figure
	case s.version != nil:
		return &s.version.Figure
	case s.indicator != nil:
		return &s.indicator.Figure
	case s.override != nil:
		return &s.override.Figure
	default:
		return &s.run.Figure
	}
}

func (s *stated) kind() store.FigureKind {
	switch {
	case s.value != nil:
		return store.ValueFigure
	case s.version != nil:
		return store.VersionFigure
	case s.indicator != nil:
		return store.IndicatorFigure
	case s.override != nil:
		return store.OverrideFigure
	default:
		return store.RunFigure
	}
}

// subject names what versions of the figure are versions of, as the rows of the tables are named.
func (s *stated) subject(year period.FinancialYear) string {
	switch {
	case s.value != nil:
		return valueSubject(s.value.Key)
	case s.version != nil:
		return s.version.VersionID
	case s.indicator != nil:
		return s.indicator.VersionID + "-" + s.indicator.Code
	case s.override != nil:
		return fmt.Sprintf("IIF-OVERRIDE-%d-%s", year, s.override.Code)
	case s.run.Kind == rules.PaymentDeadline:
		return fmt.Sprintf("IIF-DEADLINE-%d", year+1)
	default:
		return "IIF-RUN-" + s.run.PayOn.Month().String()
	}
}

func valueSubject(k rules.Key) string {
	of := k.VersionID
	switch {
	case k.Field == rules.AverageField:
		of = fmt.Sprintf("IIF-AVERAGE-%d", k.Year)
	case k.Field == rules.PrevalenceField:
		of = fmt.Sprintf("IIF-PREVALENCE-%d-%s", k.Year, k.Code)
	case k.Code != "":
		of += "-" + k.Code
	}
	return of + ":" + string(k.Field)
}

// words says what the figure states, for the audit log and for the years that it changes.
func (s *stated) words() string {
	of := s.figure().Confidence.String()
	switch {
	case s.value != nil && s.value.Amount != nil:
		return decimal(s.value.Amount) + ", " + of
	case s.version != nil:
		return fmt.Sprintf("%s to %s, %s", s.version.From, s.version.To, of)
	case s.indicator != nil:
		return fmt.Sprintf("%s, %s, %s", s.indicator.Kind, s.indicator.Status, of)
	case s.override != nil && s.override.Share.Value != nil:
		return fmt.Sprintf("%s of the points, %s", decimal(s.override.Share.Value), of)
	case s.override != nil:
		return "withdrawn, " + of
	case s.run != nil && s.run.Kind == rules.PaymentRun:
		return fmt.Sprintf("pays on %s what is approved by %s, %s", s.run.PayOn, s.run.ApproveBy, of)
	case s.run != nil:
		return fmt.Sprintf("%s, %s", s.run.PayOn, of)
	default:
		return of
	}
}

// toProto writes what the figure states, and nothing else of it.
func (s *stated) toProto() *iifv1.Figure {
	out := new(iifv1.Figure)
	switch {
	case s.value != nil:
		out.Body = &iifv1.Figure_Value{Value: valueToProto(s.value)}
	case s.version != nil:
		out.Body = &iifv1.Figure_Version{Version: versionToProto(s.version)}
	case s.indicator != nil:
		out.Body = &iifv1.Figure_Indicator{Indicator: statedIndicatorToProto(s.indicator)}
	case s.override != nil:
		out.Body = &iifv1.Figure_Override{Override: &iifv1.NationalOverride{IndicatorCode: s.override.Code, ShareOfPoints: decimal(s.override.Share.Value)}}
	default:
		out.Body = &iifv1.Figure_PaymentRun{PaymentRun: &iifv1.PaymentRun{
			Deadline: s.run.Kind == rules.PaymentDeadline, ApproveBy: s.run.ApproveBy.String(), PayOn: s.run.PayOn.String(),
		}}
	}
	return out
}

func valueToProto(v *rules.Value) *iifv1.SchemeValue {
	return &iifv1.SchemeValue{
		VersionId: v.VersionID, IndicatorCode: v.Code, Field: wordOf(valueFields, v.Field), Value: decimal(v.Amount),
		ListKind: wordOf(listKinds, v.List.Kind), ListDate: v.List.On.String(),
	}
}

func versionToProto(v *rules.Version) *iifv1.SchemeVersion {
	mode, place := v.Rounding.Names()
	return &iifv1.SchemeVersion{
		VersionId: v.VersionID, FromDate: v.From.String(), ToDate: v.To.String(), Points: decimal(v.Points), PointsAtMost: v.PointsAtMost,
		NationalValueGbp: decimal(v.NationalGBP), PayingIndicators: int32(v.PayingIndicators), Rounding: mode, RoundingPlace: place, //nolint:gosec // a handful
	}
}

func statedIndicatorToProto(i *rules.Indicator) *iifv1.SchemeIndicator {
	out := &iifv1.SchemeIndicator{
		VersionId: i.VersionID, IndicatorCode: i.Code, CodeIsLabel: i.CodeIsLabel, CqrsCode: i.CQRSCode, Name: i.Name, Area: i.Area,
		Kind: wordOf(indicatorKinds, i.Kind), Direction: wordOf(directions, i.Direction), Status: wordOf(indicatorStatuses, i.Status),
		ReplacedBy: i.ReplacedBy, NumeratorFrom: wordOf(countsFeeds, i.NumeratorFrom), DenominatorFrom: wordOf(countsFeeds, i.DenominatorFrom),
		CountsFrom: i.CountsFrom.String(), Exclusions: i.Exclusions, Adjustments: i.Adjustments,
	}
	for _, day := range i.JudgedOn {
		out.JudgedOn = append(out.JudgedOn, day.String())
	}
	return out
}
