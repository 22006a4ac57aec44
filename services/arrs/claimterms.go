package arrs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// termsColumn is a column of a file of claims that states the engagement itself. Set tells why a value cannot be read.
type termsColumn struct {
	name  string
	field string // of RecordEngagementRequest
	set   func(in *arrsv1.RecordEngagementRequest, text string) (why string)
}

// referenceColumn names a person; its values are never repeated.
const referenceColumn = "person_reference"

// termsColumns are the columns that state an engagement; the working time is that of the line.
var termsColumns = slices.Concat(
	[]termsColumn{
		{"role", "terms.role_code", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.RoleCode = text; return "" }},
		{"band", "terms.band", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.Band = text; return "" }},
		{"post", "terms.post", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.Post = text; return "" }},
		{"start_date", "terms.start_date", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.StartDate = text; return "" }},
		{"employer_code", "terms.employer_code", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.EmployerCode = text; return "" }},
		{"employer_name", "terms.employer_name", func(in *arrsv1.RecordEngagementRequest, text string) string { in.Terms.EmployerName = text; return "" }},
		{"recruitment_model", "terms.recruitment_model", setModel},
		{referenceColumn, referenceColumn, func(in *arrsv1.RecordEngagementRequest, text string) string { in.PersonReference = text; return "" }},
	},
	answers(map[string]func(*arrsv1.EngagementFacts) *arrsv1.Answer{
		"on_pathway":            func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.OnPathway },
		"level_7":               func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.Level_7 },
		"rotational":            func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.Rotational },
		"nurse":                 func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.Nurse },
		"held_post":             func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.HeldPost },
		"more_senior":           func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.MoreSenior },
		"substantive_gp_before": func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.SubstantiveGpBefore },
		"temporary":             func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.Temporary },
		"salaried_elsewhere":    func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.SalariedElsewhere },
		"model_terms":           func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.ModelTerms },
		"in_baseline":           func(f *arrsv1.EngagementFacts) *arrsv1.Answer { return &f.InBaseline },
	}),
	texts(map[string]func(*arrsv1.EngagementFacts) *string{
		"reason_not_on_pathway": func(f *arrsv1.EngagementFacts) *string { return &f.ReasonNotOnPathway },
		"last_post_ended":       func(f *arrsv1.EngagementFacts) *string { return &f.LastPostEnded },
		"trained_on":            func(f *arrsv1.EngagementFacts) *string { return &f.TrainedOn },
		"transfer_scheme":       func(f *arrsv1.EngagementFacts) *string { return &f.TransferScheme },
		"transferred_on":        func(f *arrsv1.EngagementFacts) *string { return &f.TransferredOn },
		"training":              func(f *arrsv1.EngagementFacts) *string { return &f.Training },
		"training_share":        func(f *arrsv1.EngagementFacts) *string { return &f.TrainingShare },
	}),
)

func setModel(in *arrsv1.RecordEngagementRequest, text string) string {
	model, known := arrsv1.RecruitmentModel_value[strings.ToUpper(strings.ReplaceAll(text, " ", "_"))]
	in.Terms.RecruitmentModel = arrsv1.RecruitmentModel(model)
	if !known || model == 0 {
		return "is no recruitment model, such as EMPLOYED_BY_PCN"
	}
	return ""
}

func statedFacts(in *arrsv1.RecordEngagementRequest) *arrsv1.EngagementFacts {
	if in.Terms.Facts == nil {
		in.Terms.Facts = new(arrsv1.EngagementFacts)
	}
	return in.Terms.Facts
}

// answers makes columns of the facts that are answered by yes or no.
func answers(facts map[string]func(*arrsv1.EngagementFacts) *arrsv1.Answer) (out []termsColumn) {
	for name, of := range facts {
		out = append(out, termsColumn{name, "terms.facts." + name, func(in *arrsv1.RecordEngagementRequest, text string) string {
			switch into := of(statedFacts(in)); strings.ToLower(text) {
			case "yes", "y":
				*into = arrsv1.Answer_YES
			case "no", "n":
				*into = arrsv1.Answer_NO
			default:
				return "is neither yes nor no"
			}
			return ""
		}})
	}
	return sortedColumns(out)
}

// sortedColumns puts columns in an order that does not change, in which they are spoken of.
func sortedColumns(columns []termsColumn) []termsColumn {
	slices.SortFunc(columns, func(a, b termsColumn) int { return strings.Compare(a.name, b.name) })
	return columns
}

// texts makes columns of the facts that are written as they are.
func texts(facts map[string]func(*arrsv1.EngagementFacts) *string) (out []termsColumn) {
	for name, of := range facts {
		out = append(out, termsColumn{name, "terms.facts." + name, func(in *arrsv1.RecordEngagementRequest, text string) string {
			*of(statedFacts(in)) = text
			return ""
		}})
	}
	return sortedColumns(out)
}

// columnOf names a field of an engagement as the file does.
func columnOf(field string) string {
	for i := range termsColumns {
		if termsColumns[i].field == field {
			return termsColumns[i].name
		}
	}
	return strings.TrimPrefix(field, "terms.")
}

// terms reads what a row states of the engagement itself; nil where it states nothing.
func (f *claimFile) terms(line int, cell func(string) string) map[string]string {
	var stated map[string]string
	scratch := &arrsv1.RecordEngagementRequest{Terms: new(arrsv1.EngagementTerms)}
	for i := range termsColumns {
		column := &termsColumns[i]
		text := cell(column.name)
		if text == "" {
			continue
		}
		if why := column.set(scratch, text); why != "" {
			f.bad(line, column.name, reasonFileHasBadRows, why)
		}
		if stated == nil {
			stated = make(map[string]string)
		}
		stated[column.name] = text
	}
	return stated
}

// requestOf is the call that would record the engagement that a line states.
func (claim *fileClaim) requestOf(i int) *arrsv1.RecordEngagementRequest {
	entry := claim.entry.GetLines()[i]
	out := &arrsv1.RecordEngagementRequest{
		PcnCode: claim.entry.GetPcnCode(), CommissionerCode: claim.entry.GetCommissionerCode(), Label: entry.GetLabel(),
		Terms: &arrsv1.EngagementTerms{PerWeek: entry.GetPerWeek()},
	}
	for c := range termsColumns {
		if text := claim.terms[i][termsColumns[c].name]; text != "" {
			termsColumns[c].set(out, text)
		}
	}
	return out
}

// engage records the engagements that lines of a claim state and the PCN does not have, under the checks of RecordEngagement. What is
// wrong is noted in the file; the labels that remain without an engagement for it are returned.
func (s *Service) engage(ctx context.Context, tx *change.Tx, f *claimFile, claim *fileClaim) (refused map[string]bool, err error) {
	if !slices.ContainsFunc(claim.terms, func(stated map[string]string) bool { return stated != nil }) {
		return nil, nil
	}
	pcn := claim.entry.GetPcnCode()
	held, err := store.EngagementsOf(ctx, tx, pcn)
	if err != nil {
		return nil, err
	}
	notLed := s.led(ctx, tx, tx.By, claim.entry.GetCommissionerCode(), pcn)
	byLabel := make(map[string]*store.EngagementRow, len(held))
	for i := range held {
		byLabel[held[i].Label] = &held[i]
	}
	refused = make(map[string]bool)
	for i, stated := range claim.terms {
		label := claim.entry.GetLines()[i].GetLabel()
		switch row := byLabel[label]; {
		case stated == nil || refused[label]:
		case row != nil:
			s.agree(f, claim, i, row)
		default:
			if err = notLed; err == nil {
				row, err = s.engageRow(ctx, tx, claim.requestOf(i))
			}
			if err == nil {
				byLabel[label] = row
				continue
			}
			refusal, ok := refusalOf(err)
			if !ok {
				return nil, err
			}
			refused[label] = true
			for _, v := range refusal.Violations {
				f.bad(claim.lines[i], columnOf(v.Field), refusal.Reason, v.Description)
			}
			if len(refusal.Violations) == 0 {
				f.bad(claim.lines[i], "label", refusal.Reason, refusal.Message)
			}
		}
	}
	return refused, nil
}

// engageRow records the engagement that a row states, whose reference of a person goes no further than its pseudonym.
func (s *Service) engageRow(ctx context.Context, tx *change.Tx, req *arrsv1.RecordEngagementRequest) (*store.EngagementRow, error) {
	if err := withinContract(req); err != nil {
		return nil, err
	}
	var err error
	if req.PersonReference, err = s.person(req.GetPersonReference()); err != nil {
		return nil, err
	}
	return s.engageOne(ctx, tx, req)
}

// withinContract holds an engagement of a file against the limits that the contract states for a request of its own.
func withinContract(req *arrsv1.RecordEngagementRequest) error {
	err := protovalidate.Validate(req)
	broken, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return err
	}
	refused := fault.New(fault.Invalid, reasonEngagementInvalid, "the engagement cannot be recorded as it is stated")
	for _, v := range broken.Violations {
		field := protovalidate.FieldPathString(v.Proto.GetField())
		why := "is not as the contract takes it"
		if field == "terms.role_code" || field == "terms.per_week" || field == "terms.start_date" {
			why = "is missing or not as the contract takes it: a new engagement states role, per_week and start_date"
		}
		refused = refused.At(field, why)
	}
	return refused
}

// agree notes the columns of a row that say otherwise than the engagement that the PCN has: a file of claims changes none.
func (s *Service) agree(f *claimFile, claim *fileClaim, i int, row *store.EngagementRow) {
	for c := range termsColumns {
		column := &termsColumns[c]
		text := claim.terms[i][column.name]
		if text == "" {
			continue
		}
		with := &arrsv1.RecordEngagementRequest{Terms: proto.CloneOf(row.Terms)}
		column.set(with, text)
		if same := proto.Equal(with.GetTerms(), row.Terms); same && (column.name != referenceColumn || s.pseudonym(text) == row.Pseudonym) {
			continue
		}
		f.bad(claim.lines[i], column.name, reasonLabelTaken, fmt.Sprintf("differs from engagement %q of %s: leave it empty, or change the engagement first", row.Label, row.PCNCode))
	}
}
