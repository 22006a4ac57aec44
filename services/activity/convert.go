package activity

import (
	"math/big"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// yearWords writes a financial year as requests and messages do, 2020-21, since a path cannot hold 2020/21.
func yearWords(year period.FinancialYear) string { return strings.Replace(year.String(), "/", "-", 1) }

// parseYear reads what yearWords writes.
func parseYear(field, text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return 0, fault.New(fault.Invalid, reasonYearMalformed, "%s: %q is not a financial year written YYYY-YY", field, money.Clip(text)).At(field, "a year such as 2020-21")
	}
	return year, nil
}

func parseMonth(text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, feed.ReasonMonthMalformed, "%v", err).At("month", err.Error())
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

// parseDecimal reads an exact decimal; nil for none.
func parseDecimal(field, text string) (*big.Rat, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none is a value
	}
	value, err := money.ParseDecimal(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, reasonDecimalMalformed, "%s: %q is no exact decimal", field, money.Clip(text)).At(field, "an exact decimal, such as 152.50")
	}
	return value, nil
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

// The values of these enums equal those of the rules.
func departmentToProto(d rules.Department) activityv1.DepartmentType {
	return activityv1.DepartmentType(d) //nolint:gosec // few values
}

func categoryToProto(c rules.Category) activityv1.AttendanceCategory {
	return activityv1.AttendanceCategory(c) //nolint:gosec // few values
}

func basisToProto(b rules.Basis) activityv1.CostBasis {
	return activityv1.CostBasis(b) //nolint:gosec // few values
}

func stateToProto(s rules.State) activityv1.PublicationState {
	return activityv1.PublicationState(s) //nolint:gosec // few values
}

func basesToProto(bits uint8) (out []activityv1.CostBasis) {
	for b := rules.Tariff; b <= rules.Given; b++ {
		if bits&(1<<b) != 0 {
			out = append(out, basisToProto(b))
		}
	}
	return out
}

// totalsToProto writes all of some sums.
func totalsToProto(t rules.Totals) *activityv1.AttendanceTotals {
	costed := int64(t.Costed)
	out := &activityv1.AttendanceTotals{Attendances: &t.Attendances, CostedPence: &costed, UncostedAttendances: &t.Uncosted}
	if pence, whole := t.Whole(); whole {
		notional := int64(pence)
		out.NotionalCostPence = &notional
	}
	return out
}

// totalsFromProto reads what totalsToProto writes.
func totalsFromProto(t *activityv1.AttendanceTotals) rules.Totals {
	return rules.Totals{Attendances: t.GetAttendances(), Uncosted: t.GetUncostedAttendances(), Costed: money.Pence(t.GetCostedPence())}
}

func missingToProto(m *rules.Missing) *activityv1.MissingCost {
	return &activityv1.MissingCost{Reason: m.Reason, Missing: m.Figure, Remedy: m.Remedy}
}

// refusalToProto writes what is missing; nil stays nil.
func refusalToProto(m *rules.Missing) *typev1.Refusal {
	if m == nil {
		return nil
	}
	return &typev1.Refusal{Reason: m.Reason, Missing: m.Figure, Remedy: m.Remedy}
}

func cutToProto(r *store.CutRow) *activityv1.Cut {
	return &activityv1.Cut{
		CutId: r.ID, CommissionerCode: r.CommissionerCode, Month: r.Month.String(), Number: int32(r.Number), Kind: activityv1.CutKind(r.Kind), ImportId: r.ImportID, //nolint:gosec // few
		Source: r.Source, ExtractDate: r.ExtractDate.String(), Rows: &r.Rows, Attendances: &r.Attendances, UnknownPractice: &r.UnknownPractice,
		RecordedAt: timestamp(r.ImportedAt), RecordedBy: r.ImportedBy, Reason: r.Reason, Newest: &r.Newest,
	}
}

func importToProto(r *store.ImportRow) *activityv1.AttendancesImport {
	return &activityv1.AttendancesImport{
		ImportId: r.ID, CommissionerCode: r.CommissionerCode, Cut: activityv1.CutKind(r.Kind), FileName: r.FileName, Sha256: r.SHA256, Source: r.Source, //nolint:gosec // few
		ExtractDate: r.ExtractDate.String(), Rows: r.Rows, Attendances: r.Attendances, ImportedBy: r.ImportedBy, ImportedAt: timestamp(r.ImportedAt),
	}
}

func settingToProto(s *store.SettingRow) *activityv1.Setting {
	return &activityv1.Setting{
		SettingId: s.ID, CommissionerCode: s.CommissionerCode, Name: s.Name, Subject: s.Subject, Value: s.Value, Reason: s.Reason,
		RecordedAt: timestamp(s.RecordedAt), RecordedBy: s.RecordedBy,
	}
}

func settingsOf(rows []store.SettingRow) []rules.Setting {
	out := make([]rules.Setting, len(rows))
	for i := range rows {
		out[i] = rows[i].Setting
	}
	return out
}
