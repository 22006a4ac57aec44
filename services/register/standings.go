package register

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// fewSubjects are as many PCNs as steps are asked for by name; an ICB has fewer.
const fewSubjects = 200

// subject is a PCN of which the requirements of a year are asked for.
type subject struct {
	code, name, payer string
	opened            period.Date
	// bodies answer for it; their versions of a requirement hold for it, the first first.
	bodies []string
	// judges accept its evidence or return it.
	judges []string
	// ended says that it came to an end within the year, before the day.
	ended bool
}

// subjects returns the PCNs of a year on a day, by code: those of the nearest day of the year, and those that were there when it began and
// are no more. What it cannot tell stands in words. It refuses a commissioner, unless none is named, that led none then.
func (s *Service) subjects(
	ctx context.Context, year period.FinancialYear, when moments, commissioner string,
) (out []subject, warnings []string, err error) {
	begins, ends := year.First().First(), year.Last().Last()
	if ends.Before(firstDay) {
		return nil, nil, nil
	}
	if begins.Before(firstDay) {
		begins = firstDay
	}
	day := when.on
	if day.Before(begins) {
		day = begins
	}
	if day.After(ends) {
		day = ends
	}
	if last := period.DateOf(s.db.Now().AddDate(furthestYears, 0, 0)); day.After(last) {
		return nil, nil, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "the PCNs of %s are not known yet: there are pictures of days up to %s", day, last).
			At("financial_year", "a year that begins by "+last.String())
	}
	national, err := s.picture(ctx, day, year.ListDate(), when.position)
	if err != nil {
		return nil, nil, err
	}
	if commissioner != "" {
		if _, err := national.Cut(commissioner); err != nil {
			return nil, nil, err
		}
	}
	bodies, err := s.bodiesOf(ctx, when.position)
	if err != nil {
		return nil, nil, err
	}
	add := func(of *picture, pcn *rules.PCN, ended bool) {
		out = append(out, subject{code: pcn.Code, name: pcn.Name, payer: pcn.Payer, opened: pcn.Opened, bodies: bodies(of, pcn), judges: of.Judges(pcn), ended: ended})
	}
	there := make(map[string]bool, len(national.PCNs))
	for i := range national.PCNs {
		pcn := &national.PCNs[i]
		there[pcn.Code] = true
		add(national, pcn, !pcn.Closed.IsZero() && pcn.Closed.Before(day))
	}
	if day != begins {
		before, err := s.picture(ctx, begins, year.ListDate(), when.position)
		switch {
		case fault.ReasonOf(err) == rules.ReasonMembershipNotLoaded:
			warnings = append(warnings, fmt.Sprintf("which PCNs ended between %s and %s is not known: nothing is loaded that tells the members on the first day", begins, day))
		case err != nil:
			return nil, nil, err
		default:
			since := make(map[string]bool, len(before.PCNs))
			for i := range before.PCNs {
				since[before.PCNs[i].Code] = true
			}
			// Who had members when the year began was there, whenever its code was issued.
			for i := range out {
				if since[out[i].code] {
					out[i].opened = period.Date{}
				}
			}
			for i := range before.PCNs {
				if !there[before.PCNs[i].Code] {
					add(before, &before.PCNs[i], true)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b subject) int { return cmp.Compare(a.code, b.code) })
	return out, warnings, nil
}

// selection is what statuses are asked for.
type selection interface {
	GetFinancialYear() string
	GetCommissionerCode() string
	GetPcnCode() string
	GetRequirementId() string
	GetState() registerv1.RequirementState
	GetOnDate() string
	GetKnownAt() *timestamppb.Timestamp
}

// selected are the PCNs and the requirements of a request.
type selected struct {
	when     moments
	year     period.FinancialYear
	subjects []subject
	terms    *terms
	steps    map[store.StepKey][]store.Step
	warnings []string
}

// choose loads what statuses are told from: PCNs that the caller may see, of one commissioner, or one PCN.
func (s *Service) choose(ctx context.Context, year, on string, knownAt *timestamppb.Timestamp, commissioner, pcn, requirement string) (*selected, error) {
	out := &selected{}
	var err error
	if out.year, err = yearField(year); err != nil {
		return nil, err
	}
	if err := holdsOr(ctx, commissioner); err != nil {
		return nil, err
	}
	if out.when, err = s.moments(ctx, on, knownAt); err != nil {
		return nil, err
	}
	all, warnings, err := s.subjects(ctx, out.year, out.when, commissioner)
	if err != nil {
		return nil, err
	}
	out.warnings = warnings
	by, _ := auth.From(ctx)
	for _, one := range all {
		sees := by.HoldsPCN(one.code) || by.HoldsEngland() || slices.ContainsFunc(one.bodies, by.HoldsCommissioner)
		if sees && (pcn == "" || one.code == pcn) && (commissioner == "" || slices.Contains(one.bodies, commissioner)) {
			out.subjects = append(out.subjects, one)
		}
	}
	if pcn != "" && len(out.subjects) == 0 {
		return nil, pcnUnknown(pcn)
	}
	if out.terms, err = s.terms(ctx, requirement, out.year.String(), out.when.known); err != nil {
		return nil, err
	}
	if requirement != "" && len(out.terms.ids) == 0 {
		return nil, requirementUnknown(requirement)
	}
	var pcns []string // all, where they are many
	if len(out.subjects) <= fewSubjects {
		pcns = make([]string, len(out.subjects))
		for i := range out.subjects {
			pcns[i] = out.subjects[i].code
		}
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		out.steps, err = store.Steps(ctx, q, out.terms.ids, pcns, out.when.known)
		return err
	})
	return out, err
}

func pcnUnknown(code string) *fault.Fault {
	return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %q that you may see", money.Clip(code)).With("pcn_code", money.Clip(code))
}

// standing is where one PCN stands with one requirement.
type standing struct {
	of      *subject
	version store.RequirementVersion
	tag     string
	course  rules.Course
	rules.Standing
}

// each tells where each PCN stands with each requirement that holds for it, by PCN and requirement, until yield says no.
func (c *selected) each(yield func(standing) bool) {
	for i := range c.subjects {
		of := &c.subjects[i]
		for _, id := range c.terms.ids {
			version, found := c.terms.inForce(id, of.bodies)
			if found && !yield(c.stands(of, version)) {
				return
			}
		}
	}
}

func (c *selected) stands(of *subject, version store.RequirementVersion) standing {
	out := standing{of: of, version: version, tag: c.terms.tag(version.ID, of.payer)}
	history := store.Plain(c.steps[store.StepKey{Requirement: version.ID, PCN: of.code}])
	out.course = rules.Follow(history)
	out.Standing = c.stand(of, &version, history)
	return out
}

func (c *selected) stand(of *subject, version *store.RequirementVersion, history []rules.Step) rules.Standing {
	return rules.Stand(&version.Requirement, history, c.when.on, rules.Setting{Opened: of.opened, Ended: of.ended, Held: c.terms.heldSince(version)})
}

func stateToProto(state rules.RequirementState) registerv1.RequirementState {
	return registerv1.RequirementState(registerv1.RequirementState_value[string(state)])
}

func (st *standing) proto(on period.Date) *registerv1.RequirementStatus {
	return &registerv1.RequirementStatus{
		PcnCode: st.of.code, PcnName: st.of.name, CommissionerCode: st.of.payer, Requirement: requirementToProto(&st.version, st.tag),
		State: stateToProto(st.State), RecordedState: stateToProto(st.course.State), OnDate: on.String(), PlannedDate: st.course.Planned.String(),
		MetDate: st.course.Met.String(), EvidenceType: st.course.Evidence, EvidenceReference: st.course.Where, DaysLate: int32(st.DaysLate), //nolint:gosec // years at most
		PaymentHoldAllowed: st.MayHold, ReturnedReason: st.course.Returned, Missing: st.Missing, Etag: strconv.FormatInt(st.course.Last, 10),
	}
}

// ListRequirementStatuses returns where PCNs stand with the requirements of a financial year on a day.
func (s *Service) ListRequirementStatuses(
	ctx context.Context, req *registerv1.ListRequirementStatusesRequest,
) (*registerv1.ListRequirementStatusesResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	chosen, err := s.chooseFor(ctx, req)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []*registerv1.RequirementStatus
	chosen.each(func(st standing) bool {
		if wanted(req, &st) && statusKey(st.of.code, st.version.ID) > after {
			rows = append(rows, st.proto(chosen.when.on))
		}
		return len(rows) <= size
	})
	out := &registerv1.ListRequirementStatusesResponse{OnDate: chosen.when.on.String(), Warnings: chosen.warnings}
	out.Statuses, out.NextPageToken = page.Cut(rows, size, func(r *registerv1.RequirementStatus) string {
		return statusKey(r.GetPcnCode(), r.GetRequirement().GetRequirementId())
	})
	return out, nil
}

func (s *Service) chooseFor(ctx context.Context, req selection) (*selected, error) {
	return s.choose(ctx, req.GetFinancialYear(), req.GetOnDate(), req.GetKnownAt(), req.GetCommissionerCode(), req.GetPcnCode(), req.GetRequirementId())
}

func wanted(req selection, st *standing) bool {
	return req.GetState() == registerv1.RequirementState_REQUIREMENT_STATE_UNSPECIFIED || req.GetState() == stateToProto(st.State)
}

func statusKey(pcn, requirement string) string { return pcn + " " + requirement }

// DownloadRequirementStatuses returns the same as CSV. A cell that a spreadsheet would take for a formula is made text.
func (s *Service) DownloadRequirementStatuses(ctx context.Context, req *registerv1.DownloadRequirementStatusesRequest) (*httpbody.HttpBody, error) {
	chosen, err := s.chooseFor(ctx, req)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write([]string{
		"on_date", "financial_year", "commissioner_code", "pcn_code", "pcn_name", "requirement_id", "requirement", "phase", "due_date", "due_basis", "other_due_date",
		"state", "recorded_state", "planned_date", "met_date", "days_late", "payment_hold_allowed", "evidence_type", "evidence_reference", "missing", "source", "confidence",
	})
	chosen.each(func(st standing) bool {
		if wanted(req, &st) {
			r := st.proto(chosen.when.on)
			of := r.GetRequirement()
			_ = w.Write(spreadsheet.Cells(
				r.GetOnDate(), of.GetFinancialYear(), r.GetCommissionerCode(), r.GetPcnCode(), r.GetPcnName(), of.GetRequirementId(), of.GetName(), of.GetPhase(),
				of.GetDueDate(), of.GetDueBasis().String(), of.GetOtherDueDate(), r.GetState().String(), r.GetRecordedState().String(), r.GetPlannedDate(),
				r.GetMetDate(), strconv.Itoa(st.DaysLate), strconv.FormatBool(st.MayHold), r.GetEvidenceType(), r.GetEvidenceReference(),
				strings.Join(st.Missing, "; "), of.GetSource(), st.version.Confidence.String(),
			))
		}
		return true
	})
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of requirements of %s: %w", chosen.year, err)
	}
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text.String())}, nil
}

// chooseOne loads one PCN and one requirement, whatever its year.
func (s *Service) chooseOne(ctx context.Context, pcn, requirement, on string, knownAt *timestamppb.Timestamp) (*selected, *standing, error) {
	when, err := s.moments(ctx, on, knownAt)
	if err != nil {
		return nil, nil, err
	}
	t, err := s.terms(ctx, requirement, "", when.known)
	if err != nil {
		return nil, nil, err
	}
	if len(t.ids) == 0 {
		return nil, nil, requirementUnknown(requirement)
	}
	year := strings.Replace(t.versions[requirement][0].Year.String(), "/", "-", 1)
	chosen, err := s.choose(ctx, year, on, knownAt, "", pcn, requirement)
	if err != nil {
		return nil, nil, err
	}
	var found *standing
	chosen.each(func(st standing) bool { found = &st; return true })
	if found == nil {
		return nil, nil, requirementUnknown(requirement)
	}
	return chosen, found, nil
}

// GetRequirementStatus returns where one PCN stands with one requirement, with its history.
func (s *Service) GetRequirementStatus(ctx context.Context, req *registerv1.GetRequirementStatusRequest) (*registerv1.RequirementStatus, error) {
	chosen, found, err := s.chooseOne(ctx, req.GetPcnCode(), req.GetRequirementId(), req.GetOnDate(), req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	return withHistory(found.proto(chosen.when.on), chosen.steps[store.StepKey{Requirement: found.version.ID, PCN: found.of.code}]), nil
}

func withHistory(status *registerv1.RequirementStatus, history []store.Step) *registerv1.RequirementStatus {
	for i := range history {
		status.History = append(status.History, stepToProto(&history[i]))
	}
	return status
}

func stepToProto(s *store.Step) *registerv1.RequirementStep {
	return &registerv1.RequirementStep{
		Number: s.Number, Kind: registerv1.RequirementStepKind(registerv1.RequirementStepKind_value[string(s.Kind)]), PlannedDate: s.Planned.String(),
		MetDate: s.Met.String(), EvidenceType: s.Evidence, EvidenceReference: s.Where, Reason: s.Reason, CommissionerCode: s.Commissioner,
		RecordedBy: s.By, RecordedAt: timestamppb.New(s.RecordedAt),
	}
}

// SummariseRequirements counts where the PCNs of a commissioner, or of all commissioners, stand with each requirement of a year.
func (s *Service) SummariseRequirements(
	ctx context.Context, req *registerv1.SummariseRequirementsRequest,
) (*registerv1.SummariseRequirementsResponse, error) {
	chosen, err := s.choose(ctx, req.GetFinancialYear(), req.GetOnDate(), req.GetKnownAt(), req.GetCommissionerCode(), "", "")
	if err != nil {
		return nil, err
	}
	type counted struct {
		version store.RequirementVersion
		states  map[rules.RequirementState]int32
		mixed   bool
	}
	type key struct{ commissioner, requirement string }
	counts := make(map[key]*counted)
	chosen.each(func(st standing) bool {
		k := key{cmp.Or(req.GetCommissionerCode(), st.of.payer), st.version.ID}
		c := counts[k]
		if c == nil {
			c = &counted{version: st.version, states: make(map[rules.RequirementState]int32)}
			counts[k] = c
		}
		c.mixed = c.mixed || c.version.Due != st.version.Due || c.version.Start != st.version.Start
		c.states[st.State]++
		return true
	})
	out := &registerv1.SummariseRequirementsResponse{
		Pcns: int32(len(chosen.subjects)), OnDate: chosen.when.on.String(), Warnings: chosen.warnings, //nolint:gosec // thousands at most
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.commissioner, b.commissioner), cmp.Compare(a.requirement, b.requirement))
	})
	for _, k := range keys {
		c := counts[k]
		row := &registerv1.RequirementCount{CommissionerCode: k.commissioner, RequirementId: k.requirement, Name: c.version.Name, Phase: c.version.Phase}
		if due, _ := c.version.DueDay(); !c.mixed {
			row.DueDate = due.String()
		} else {
			out.Warnings = append(out.Warnings, fmt.Sprintf("PCNs of %s have different due dates of %s: see their statuses", k.commissioner, k.requirement))
		}
		for _, state := range slices.SortedFunc(maps.Keys(c.states), func(a, b rules.RequirementState) int {
			return cmp.Compare(stateToProto(a), stateToProto(b))
		}) {
			row.States = append(row.States, &registerv1.RequirementStateCount{State: stateToProto(state), Pcns: c.states[state]})
			row.Pcns += c.states[state]
		}
		out.Counts = append(out.Counts, row)
	}
	return out, nil
}
