package arrs

import (
	"fmt"
	"math/big"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// reader reads texts of messages and keeps the first failure.
type reader struct{ err error }

func (r *reader) date(text string) period.Date   { return readText(r, text, period.ParseDate) }
func (r *reader) decimal(text string) *big.Rat   { return readText(r, text, money.ParseDecimal) }
func (r *reader) month(text string) period.Month { return readText(r, text, period.ParseMonth) }

func readText[T any](r *reader, text string, read func(string) (T, error)) T {
	var none T
	if text == "" || r.err != nil {
		return none
	}
	value, err := read(text)
	if err != nil {
		r.err = err
		return none
	}
	return value
}

// parseYear reads a financial year as requests write it, 2025-26, since a path cannot hold 2025/26.
func parseYear(field, text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return 0, fault.New(fault.Invalid, reasonYearMalformed, "%s: %q is not a financial year written YYYY-YY", field, money.Clip(text)).At(field, "a year such as 2025-26")
	}
	return year, nil
}

// parseYearFilter reads the year that a list is asked for, as tables write it; empty is any.
func parseYearFilter(field, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	year, err := parseYear(field, text)
	return year.String(), err
}

func parseMonth(field, text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, reasonMonthMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return month, nil
}

func parseDate(field, text string) (period.Date, error) {
	day, err := period.ParseDate(text)
	if err != nil {
		return day, fault.New(fault.Invalid, reasonDateMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return day, nil
}

// parsePastDay reads the day of something that has happened; an empty text is today.
func parsePastDay(field, text string, today period.Date) (period.Date, error) {
	if text == "" {
		return today, nil
	}
	day, err := parseDate(field, text)
	if err == nil && day.After(today) {
		err = fault.New(fault.Invalid, reasonDayInFuture, "%s: %s lies in the future", field, day).At(field, "not after today")
	}
	return day, err
}

func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

// decimal writes an exact decimal; nil is an empty text.
func decimal(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}

// regionToProto writes a region; that of all England, which stands in prices only, is left out.
func regionToProto(r rules.Region) arrsv1.Region {
	if r == rules.AllEngland {
		return arrsv1.Region_REGION_UNSPECIFIED
	}
	return arrsv1.Region(r) //nolint:gosec // enum
}

// pots pairs the pots of the contract with those of the rules.
var pots = map[arrsv1.Pot]rules.Pot{
	arrsv1.Pot_MAIN: rules.MainPot, arrsv1.Pot_GP: rules.GPPot, arrsv1.Pot_SINGLE: rules.SinglePot,
	arrsv1.Pot_OFFER_CLINICAL_PHARMACIST: rules.PharmacistOffer, arrsv1.Pot_OFFER_LINK_WORKER: rules.LinkWorkerOffer,
}

func potToProto(pot rules.Pot) arrsv1.Pot {
	for out, of := range pots {
		if of == pot {
			return out
		}
	}
	return arrsv1.Pot_POT_UNSPECIFIED
}

func potOf(pot arrsv1.Pot) rules.Pot { return pots[pot] }

// potCode is the payment that a pot pays, in schedules and statements.
func potCode(pot rules.Pot) string {
	switch pot {
	case rules.MainPot:
		return "ARRS_MAIN"
	case rules.GPPot:
		return "ARRS_GP"
	case rules.SinglePot:
		return "ARRS_SINGLE"
	case rules.PharmacistOffer:
		return "ARRS_OFFER_CP"
	case rules.LinkWorkerOffer:
		return "ARRS_OFFER_SPLW"
	default:
		return ""
	}
}

// potOfCode returns the pot that a payment code is of; empty for none.
func potOfCode(code string) rules.Pot {
	for _, pot := range pots {
		if potCode(pot) == code {
			return pot
		}
	}
	return ""
}

func roleToProto(r *rules.Role) *arrsv1.Role {
	return &arrsv1.Role{
		RoleCode: r.Code, Name: r.Name, ReimbursableFrom: r.From.String(), ReimbursableTo: r.To.String(), EarlyFrom: r.EarlyFrom.String(),
		Measure: r.Measure.String(), FullTime: decimal(r.FullTime), HasBaseline: r.Baseline, NeedsAgreement: r.NeedsAgreement,
		Source: r.Source, Confidence: working.ConfidenceToProto(r.Confidence),
	}
}

// figureToProto writes a version with what the cost model has to say of it.
func figureToProto(r *store.FigureRow, superseded bool, model rules.CostModel) *arrsv1.Figure {
	out := &arrsv1.Figure{
		FigureId: r.ID, Kind: arrsv1.FigureKind(r.Kind), RoleCode: r.Role, Band: r.Band, Post: postToProto(r.Post), //nolint:gosec // enum
		Region: regionToProto(r.Region), Pot: potToProto(r.Pot), ListFrom: r.ListFrom, ListTo: max(r.ListTo, 0),
		EffectiveFrom: r.From.First().String(), Value: decimal(r.Value), ValueMost: decimal(r.ValueMost), Percent: decimal(r.Percent),
		Source: r.Source, Version: r.Version, Confidence: working.ConfidenceToProto(r.Confidence), KnownFrom: r.KnownFrom.String(),
		KnownFromBasis: r.KnownFromBasis, RecordedAt: timestamp(r.RecordedAt), RecordedBy: r.RecordedBy, Superseded: superseded,
		Note: r.Note, Etag: r.ID, CommissionerCode: r.CommissionerCode,
	}
	if !r.To.IsZero() {
		out.EffectiveTo = r.To.Last().String()
	}
	if r.Kind == store.RoleMaximum {
		price := r.Price()
		if modelled, found := model.Maximum(&price); found {
			out.ModelGbp = decimal(modelled)
		}
		if w := rules.CheckCost(model, &price); w != nil {
			out.ModelWarning = fmt.Sprintf("£%s a year is £%s %s than the cost model's £%s: check it against its source",
				decimal(w.Stated), decimal(new(big.Rat).Abs(w.Difference)), map[bool]string{true: "more", false: "less"}[w.Difference.Sign() > 0], decimal(w.Modelled))
		}
	}
	return out
}

// postToProto writes which post of a role a figure is of; one of any post is left out, as where the posts do not differ.
func postToProto(p rules.Post) string {
	if p == rules.AnyPost {
		return ""
	}
	return string(p)
}

func settingToProto(s store.SettingRow) *arrsv1.Setting {
	return &arrsv1.Setting{
		SettingId: s.ID, CommissionerCode: s.CommissionerCode, Name: s.Name, Value: s.Value, FromMonth: s.From.String(), Reason: s.Reason,
		RecordedAt: timestamp(s.RecordedAt), RecordedBy: s.RecordedBy,
	}
}

func decisionToProto(d store.DecisionRow) *arrsv1.Decision {
	return &arrsv1.Decision{
		DecisionId: d.ID, CommissionerCode: d.CommissionerCode, Kind: arrsv1.DecisionKind(d.Kind), PcnCode: d.PCNCode, //nolint:gosec // enum
		RoleCode: d.Role, EngagementId: d.EngagementID, Value: d.Value, FromMonth: d.From.String(), ToMonth: d.To.String(), Reason: d.Reason,
		DecidedBy: d.DecidedBy, DecidedAt: timestamp(d.DecidedAt),
	}
}

// yearToProto writes a version of a PCN's year without its pots.
func yearToProto(y *store.YearRow) *arrsv1.Year {
	return &arrsv1.Year{
		PcnCode: y.PCNCode, PcnName: y.PCNName, CommissionerCode: y.CommissionerCode, FinancialYear: y.Year.String(),
		WeightedPopulation: decimal(y.Population.Value), RegisteredPatients: y.RegisteredPatients, Region: regionToProto(y.Region),
		Version: int32(y.Version), SnapshotId: y.SnapshotID, FixedBy: y.FixedBy, FixedAt: timestamp(y.FixedAt), //nolint:gosec // a year has a few versions
	}
}

// missingToProto writes what a refusal says is missing; nil stays nil.
func missingToProto(refused *fault.Fault) *typev1.Refusal {
	if refused == nil {
		return nil
	}
	return &typev1.Refusal{Reason: refused.Reason, Missing: refused.Meta["missing"], Remedy: refused.Meta["remedy"]}
}
