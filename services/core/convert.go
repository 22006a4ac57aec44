package core

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

func snapshotRequest(commissioner string, day period.Date, forMonth period.Month, knownAt int64) *registerv1.GetSnapshotRequest {
	req := &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: day.String(),
		PopulationReferenceDate: forMonth.FinancialYear().ListDate().String(),
	}
	if knownAt != 0 {
		req.KnownAt = timestamppb.New(sqldb.FromMicros(knownAt))
	}
	return req
}

// reasonOf returns the reason of a refusal by another service, or an empty string.
func reasonOf(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// pictureFromProto reads a snapshot; a value that is not exact is the register's fault and fails.
func pictureFromProto(snapshot *registerv1.Snapshot) (*rules.Picture, error) {
	r := reader{}
	out := &rules.Picture{
		SnapshotID: snapshot.GetSnapshotId(),
		Day:        r.date(snapshot.GetMembershipDate()),
		ListDate:   r.date(snapshot.GetPopulationReferenceDate()),
		PCNs:       make([]rules.PCN, len(snapshot.GetPcns())),
		Debtors:    snapshot.GetDebtorCodes(),
	}
	for i, pcn := range snapshot.GetPcns() {
		out.PCNs[i] = rules.PCN{
			Code: pcn.GetPcnCode(), Name: pcn.GetName(), PayerCode: pcn.GetPayerCode(),
			LocationCode: pcn.GetLocationCode(), Payee: payeeFromProto(pcn.GetPayee()),
			Opened: r.date(pcn.GetOpened()), Closed: r.date(pcn.GetClosed()), Beds: r.beds(pcn.GetBeds()),
			Practices: make([]rules.Practice, len(pcn.GetPractices())), Populations: r.populations(pcn.GetPopulations()),
			Owed: pcn.GetOwed(),
		}
		for j, practice := range pcn.GetPractices() {
			out.PCNs[i].Practices[j] = rules.Practice{
				Code: practice.GetPracticeCode(), Name: practice.GetName(), PayerCode: practice.GetPayerCode(),
				LocationCode: practice.GetLocationCode(), Payee: payeeFromProto(practice.GetPayee()),
				Owed: practice.GetOwed(), Participating: practice.GetParticipating(), Populations: r.populations(practice.GetPopulations()),
			}
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", snapshot.GetSnapshotId(), r.err)
	}
	return out, nil
}

func payeeFromProto(payee *typev1.Payee) rules.Payee {
	return rules.Payee{Code: payee.GetCode(), Name: payee.GetName()}
}

// reader reads texts of messages and keeps the first failure.
type reader struct{ err error }

func (r *reader) date(text string) period.Date   { return readText(r, text, period.ParseDate) }
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

func (r *reader) beds(in *registerv1.CareHomeBeds) *rules.Beds {
	if in == nil {
		return nil
	}
	return &rules.Beds{
		Count: in.GetBeds(), StatedMonth: r.month(in.GetStatedMonth()), CodingSatisfied: in.GetCodingSatisfied(), LoadID: in.GetLoadId(),
	}
}

// units pairs each population with the unit of the rates that go with it.
var units = map[typev1.PopulationKind]rules.Unit{
	typev1.PopulationKind_POPULATION_KIND_REGISTERED: rules.RegisteredPatient,
	typev1.PopulationKind_POPULATION_KIND_WEIGHTED:   rules.WeightedPatient,
	typev1.PopulationKind_POPULATION_KIND_ADJUSTED:   rules.AdjustedPatient,
}

func (r *reader) populations(in []*registerv1.SnapshotPopulation) map[rules.Unit]rules.Figure {
	if len(in) == 0 {
		return nil
	}
	out := make(map[rules.Unit]rules.Figure, len(in))
	for _, population := range in {
		unit, known := units[population.GetKind()]
		if !known {
			r.err = cmp.Or(r.err, fmt.Errorf("population of kind %s", population.GetKind()))
			continue
		}
		out[unit] = rules.Figure{
			Value: readText(r, population.GetValue(), money.ParseDecimal), LoadID: population.GetLoadId(),
			AppliedFrom: r.month(population.GetAppliedFromMonth()),
		}
	}
	return out
}

func scheduleToProto(s store.ScheduleRow, lines []store.LineRow) *typev1.PaymentSchedule {
	out := &typev1.PaymentSchedule{
		ScheduleId: s.ID, Fund: typev1.Fund_FUND_CORE, CommissionerCode: s.CommissionerCode, CommissionerName: s.CommissionerName,
		Month: s.Month.String(), Sequence: int32(s.Sequence), LineCount: int32(s.LineCount), //nolint:gosec // counts of one month
		PayTotalPence: int64(s.PayTotal), ReconcileTotalPence: int64(s.ReconcileTotal), LinesSha256: s.LinesSHA256,
		SnapshotId: s.SnapshotID, KnownAt: timestamp(s.KnownAt), ClosedBy: s.ClosedBy, ClosedAt: timestamp(s.ClosedAt),
		Refusals: s.Refusals, Withheld: s.Withheld, Lines: make([]*typev1.PaymentLine, len(lines)),
	}
	for i := range lines {
		out.Lines[i] = lineToProto(&lines[i])
	}
	return out
}

// lineToProto writes a line without its working.
func lineToProto(l *store.LineRow) *typev1.PaymentLine {
	out := &typev1.PaymentLine{
		LineId: l.LineID, ForMonth: l.ForMonth.String(), PaymentCode: l.PaymentCode, PcnCode: l.PCNCode, PcnName: l.PCNName,
		PracticeCode: l.PracticeCode, LocationCode: l.LocationCode, FundingSource: l.FundingSource,
		Instruction: typev1.Instruction(l.Instruction), AdjustmentCause: typev1.AdjustmentCause(l.Cause), //nolint:gosec // enums
		AmountPence: int64(l.Amount), SourceItem: l.Item, AdjustsLineId: l.Adjusts,
		Confidence: working.ConfidenceToProto(l.Confidence), Basis: store.BasisToProto(l.Basis),
	}
	if l.PayeeCode != "" {
		out.Payee = &typev1.Payee{Code: l.PayeeCode, Name: l.PayeeName}
	}
	for _, hold := range l.Holds {
		out.Holds = append(out.Holds, &typev1.Hold{Reason: hold.Reason, Remedy: hold.Remedy})
	}
	return out
}

func periodToProto(p *rules.PeriodAmount) *typev1.Entitlement {
	return &typev1.Entitlement{
		PcnCode: p.PCNCode, PcnName: p.PCNName, PracticeCode: p.PracticeCode, PaymentCode: p.PaymentCode,
		FundingSource: p.FundingSource, LocationCode: p.LocationCode, FromMonth: p.From.String(), ToMonth: p.To.String(),
		Instalments: int32(p.Instalments), AmountPence: int64(p.Amount), //nolint:gosec // months of a period
		Confidence: working.ConfidenceToProto(p.Confidence),
	}
}

// lineWithWorking writes a line with its stored working.
func lineWithWorking(l *store.LineRow) (*typev1.PaymentLine, *working.Working, error) {
	steps, err := l.ReadWorking()
	if err != nil {
		return nil, nil, err
	}
	out := lineToProto(l)
	out.Working = working.ToProto(steps)
	return out, steps, nil
}

func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

func rateToProto(r store.RateRow, superseded bool) *corev1.Rate {
	return &corev1.Rate{
		RateId: r.ID, PaymentCode: r.PaymentCode, Component: r.Component, Name: r.Name,
		EffectiveFrom: r.From.First().String(), EffectiveTo: r.To.Last().String(),
		RateGbp: decimal(r.RateGBP), MonthlyRateGbp: decimal(r.MonthlyRateGBP),
		Unit: corev1.Unit(r.Unit), Timing: corev1.Timing(r.Timing), FirstPaidMonth: r.FirstPaidMonth.String(), //nolint:gosec // enums
		PopulationDate: r.PopulationDate.String(), PaidToPractice: r.PaidToPractice, FundingSource: r.FundingSource,
		Source: r.Source, Version: r.Version, Confidence: working.ConfidenceToProto(r.Confidence),
		KnownFrom: r.KnownFrom.String(), KnownFromBasis: r.KnownFromBasis, RecordedAt: timestamp(r.RecordedAt),
		RecordedBy: r.RecordedBy, CommissionerCode: r.CommissionerCode, Superseded: superseded, Note: r.Note, Etag: r.ID,
	}
}

func settingToProto(s store.SettingRow) *corev1.Setting {
	return &corev1.Setting{
		SettingId: s.ID, CommissionerCode: s.CommissionerCode, Name: s.Name, PaymentCode: s.PaymentCode, Value: s.Value,
		FromMonth: s.From.String(), Reason: s.Reason, RecordedAt: timestamp(s.RecordedAt), RecordedBy: s.RecordedBy,
	}
}

func withholdingToProto(w store.WithholdingRow) *corev1.Withholding {
	return &corev1.Withholding{
		WithholdingId: w.ID, CommissionerCode: w.CommissionerCode, PcnCode: w.PCNCode, PaymentCode: w.PaymentCode,
		FromMonth: w.From.String(), ToMonth: w.To.String(), Reason: w.Reason, WithheldBy: w.WithheldBy, WithheldAt: timestamp(w.WithheldAt),
		ReleasedBy: w.ReleasedBy, ReleasedAt: timestamp(w.ReleasedAt), ReleaseReason: w.ReleaseReason, Etag: versionTag(w.Version),
	}
}

func declarationToProto(d store.DeclarationRow) *corev1.Declaration {
	return &corev1.Declaration{
		DeclarationId: d.ID, CommissionerCode: d.CommissionerCode, PcnCode: d.PCNCode, PaymentCode: d.PaymentCode,
		Month: d.Month.String(), Share: decimal(d.Share), Evidence: d.Evidence, State: corev1.DeclarationState(d.State), //nolint:gosec // enum
		DeclaredBy: d.DeclaredBy, DeclaredAt: timestamp(d.DeclaredAt), DecidedBy: d.DecidedBy, DecidedAt: timestamp(d.DecidedAt),
		DecisionReason: d.DecisionReason, Etag: versionTag(d.Version),
	}
}

func compareRefusals(a, b *typev1.Refusal) int {
	return cmp.Or(
		cmp.Compare(a.GetForMonth(), b.GetForMonth()), cmp.Compare(a.GetPaymentCode(), b.GetPaymentCode()),
		cmp.Compare(a.GetReason(), b.GetReason()), cmp.Compare(a.GetMissing(), b.GetMissing()),
	)
}

func compareWithheld(a, b *typev1.Withheld) int {
	return cmp.Or(
		cmp.Compare(a.GetForMonth(), b.GetForMonth()), cmp.Compare(a.GetPaymentCode(), b.GetPaymentCode()),
		cmp.Compare(a.GetPcnCode(), b.GetPcnCode()), cmp.Compare(a.GetPracticeCode(), b.GetPracticeCode()),
	)
}

func compareEntitlements(a, b *typev1.Entitlement) int {
	return cmp.Or(
		cmp.Compare(a.GetPcnCode(), b.GetPcnCode()), cmp.Compare(a.GetPracticeCode(), b.GetPracticeCode()),
		cmp.Compare(a.GetPaymentCode(), b.GetPaymentCode()), cmp.Compare(a.GetFromMonth(), b.GetFromMonth()),
	)
}

func versionTag(version int64) string { return strconv.FormatInt(version, 10) }

// decimal writes an exact decimal; nil is an empty text.
func decimal(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}
