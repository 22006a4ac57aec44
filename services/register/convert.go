package register

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// dateField reads a day of a request; an empty one is no day.
func dateField(field, text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	day, err := period.ParseDate(text)
	if err != nil {
		return period.Date{}, fault.New(fault.Invalid, rules.ReasonDateMalformed, "%s %q is not a day of the calendar written YYYY-MM-DD", field, text).
			At(field, "a day of the calendar, YYYY-MM-DD")
	}
	return day, nil
}

// requiredDate reads a day that a request must name.
func requiredDate(field, text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, fault.New(fault.Invalid, rules.ReasonValueMissing, "%s is required", field).At(field, "a day, YYYY-MM-DD")
	}
	return dateField(field, text)
}

// monthField reads a month of a request; an empty one is no month.
func monthField(field, text string) (period.Month, error) {
	if text == "" {
		return period.Month{}, nil
	}
	month, err := period.ParseMonth(text)
	if err != nil {
		return period.Month{}, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%s %q is not a month written YYYY-MM", field, text).
			At(field, "a month, YYYY-MM")
	}
	return month, nil
}

// codeField checks that a text of a request could be a code.
func codeField(field, code string) error {
	if !rules.ValidCode(code) {
		return fault.New(fault.Invalid, rules.ReasonCodeMalformed, "%s is not an organisation code", field).
			At(field, fmt.Sprintf("1 to %d letters and digits", rules.MaxCode))
	}
	return nil
}

// nameField checks a name of a request, which is kept as it is.
func nameField(field, name string) error {
	switch strings.TrimSpace(name) {
	case "":
		return fault.New(fault.Invalid, rules.ReasonValueMissing, "%s is required", field).At(field, "a name")
	case name:
		return nil
	default:
		return fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "%s begins or ends with a blank", field).At(field, "no blanks around the name")
	}
}

func kindFromProto(kind registerv1.FileKind) rules.Kind {
	if kind == registerv1.FileKind_FILE_KIND_UNSPECIFIED {
		return ""
	}
	return rules.Kind(kind.String())
}

func kindToProto(kind rules.Kind) registerv1.FileKind {
	return registerv1.FileKind(registerv1.FileKind_value[string(kind)])
}

func loadToProto(l store.Load) *registerv1.Load {
	return &registerv1.Load{
		LoadId: l.ID, Kind: kindToProto(l.Kind), Source: l.Source, FileName: l.FileName, ExtractDate: l.ExtractDate.String(), Sha256: l.SHA256,
		RowsRead: l.RowsRead, RowsStored: l.RowsStored, RowsQuarantined: l.RowsQuarantined, RowsPassedOver: l.PassedOver, Warnings: l.Warnings,
		KnownFrom: timestamppb.New(l.KnownFrom), LoadedBy: l.LoadedBy, AppliedFromMonth: l.AppliedFrom.String(),
	}
}

func badToProto(b files.Bad) *registerv1.QuarantinedRow {
	return &registerv1.QuarantinedRow{Line: b.Line, Column: b.Column, Value: b.Value, Reason: b.Reason, Detail: b.Detail}
}

// loadIDs gives the identifiers of loads by their numbers.
type loadIDs map[int64]rules.Load

func snapshotToProto(s rules.Snapshot, ids loadIDs) *registerv1.Snapshot {
	out := &registerv1.Snapshot{
		CommissionerCode: s.Commissioner, CommissionerName: s.CommissionerName,
		MembershipDate: s.Day.String(), PopulationReferenceDate: s.Reference.String(),
		Pcns: make([]*registerv1.SnapshotPcn, 0, len(s.PCNs)), Findings: findingsToProto(s.Findings),
		DebtorCodes: s.Debtors,
	}
	for _, p := range s.PCNs {
		out.Pcns = append(out.Pcns, ids.pcn(p, s.Owes))
	}
	for _, l := range s.Sources {
		out.Sources = append(out.Sources, &registerv1.SnapshotSource{
			LoadId: l.ID, Kind: string(l.Kind), ExtractDate: l.ExtractDate.String(), Source: l.Source,
		})
	}
	return out
}

func (ids loadIDs) pcn(p rules.PCN, owes func(code string) bool) *registerv1.SnapshotPcn {
	out := &registerv1.SnapshotPcn{
		PcnCode: p.Code, Name: p.Name, LocationCode: p.Location, PayerCode: p.Payer, PayerName: p.PayerName, SystemCode: p.System,
		RegionCode: p.Region, Payee: payeeToProto(p.Payee), Populations: ids.populations(p.Populations),
		Opened: p.Opened.String(), Closed: p.Closed.String(), Owed: owes(p.Code),
		Practices: make([]*registerv1.SnapshotPractice, 0, len(p.Practices)),
	}
	if p.Beds != nil {
		out.Beds = &registerv1.CareHomeBeds{
			StatedMonth: p.Beds.Month.String(), Beds: p.Beds.Beds, CodingSatisfied: p.Beds.CodingSatisfied, LoadId: ids[p.Beds.Load].ID,
		}
	}
	for _, q := range p.Practices {
		out.Practices = append(out.Practices, &registerv1.SnapshotPractice{
			PracticeCode: q.Code, Name: q.Name, LocationCode: q.Location, PayerCode: q.Payer, SystemCode: q.System,
			Payee: payeeToProto(q.Payee), Participating: q.Participating, Populations: ids.populations(q.Populations),
			Owed: owes(q.Code),
		})
	}
	return out
}

func payeeToProto(p *rules.Payee) *typev1.Payee {
	if p == nil {
		return nil
	}
	return &typev1.Payee{Code: p.Code, Name: p.Name}
}

var populationKinds = map[rules.PopulationKind]typev1.PopulationKind{
	rules.Registered: typev1.PopulationKind_POPULATION_KIND_REGISTERED,
	rules.Weighted:   typev1.PopulationKind_POPULATION_KIND_WEIGHTED,
	rules.Adjusted:   typev1.PopulationKind_POPULATION_KIND_ADJUSTED,
}

func (ids loadIDs) populations(populations []rules.Population) []*registerv1.SnapshotPopulation {
	out := make([]*registerv1.SnapshotPopulation, 0, len(populations))
	for _, p := range populations {
		out = append(out, &registerv1.SnapshotPopulation{
			Kind: populationKinds[p.Kind], Value: p.Value, LoadId: ids[p.Load].ID, AppliedFromMonth: p.AppliedFrom.String(),
		})
	}
	return out
}

func findingsToProto(findings []rules.Finding) []*registerv1.Finding {
	out := make([]*registerv1.Finding, 0, len(findings))
	for _, f := range findings {
		out = append(out, &registerv1.Finding{
			Kind: registerv1.FindingKind(registerv1.FindingKind_value[string(f.Kind)]), PcnCode: f.PCN, PracticeCode: f.Practice, Detail: f.Detail,
			RegisteredPatients: f.RegisteredPatients, LocationCode: f.Location, PayerCode: f.Payer,
		})
	}
	return out
}

// moment writes a time in messages to people.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
