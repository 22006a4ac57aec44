package devfund

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// sight is how much of a version somebody sees: all of it, or what concerns some of its PCNs.
type sight struct {
	whole bool
	own   []string
}

// sightOf tells how much of a version the caller sees. A PCN sees what concerns it and never what another is to get, so that of a line with
// several beneficiaries it sees its own part. Who holds all PCNs of a plan sees all of it.
func (s *sheet) sightOf(by auth.Principal) sight {
	if by.HoldsCommissioner(s.head.CommissionerCode) {
		return sight{whole: true}
	}
	var own []string
	for _, pcn := range s.covered {
		if by.HoldsPCN(pcn) {
			own = append(own, pcn)
		}
	}
	return sight{whole: len(own) > 0 && len(own) == len(s.covered), own: own}
}

func (v sight) nothing() bool { return !v.whole && len(v.own) == 0 }

func (v sight) of(pcn string) bool { return v.whole || slices.Contains(v.own, pcn) }

// toProto writes the version with its lines, its agreements and what the checks say, as far as the caller sees them.
func (s *sheet) toProto(by auth.Principal) (*devfundv1.Plan, error) {
	v := s.sightOf(by)
	if v.nothing() {
		return nil, planNotFound(s.head.ID)
	}
	h := s.head
	out := &devfundv1.Plan{
		PlanId: h.ID, Version: int32(h.Number), FinancialYear: yearWords(h.Year), CommissionerCode: h.CommissionerCode, State: h.State, Header: h.Header, //nolint:gosec // versions of one plan
		Lines: messagesOf(s.lines), PlannedPence: int64(h.Planned), Author: h.Author, CoveredPcns: s.covered, Approval: h.Approval,
		Checks: checksToProto(s.checks), Approvable: len(rules.Failed(s.checks)) == 0, Etag: versionTag(h.Version),
	}
	for _, row := range s.lastSaid() {
		if v.of(row.PCNCode) {
			out.Agreements = append(out.Agreements, agreementToProto(&row))
		}
	}
	if v.whole {
		return out, nil
	}
	return out, s.cut(v, out)
}

// cut leaves of a version what concerns the PCNs: lines that serve them with their part of the money, and what the checks miss of them.
func (s *sheet) cut(v sight, out *devfundv1.Plan) error {
	out.Lines = nil
	hidden := slices.Clone(s.allocations())
	var planned money.Pence
	for i := range s.plan.Lines {
		part, serves, err := s.ownPart(v, &s.plan.Lines[i])
		if err != nil {
			return err
		}
		if !serves {
			hidden = append(hidden, s.plan.Lines[i].ID)
			continue
		}
		if planned, err = planned.Add(part); err != nil {
			return err
		}
		line := proto.CloneOf(s.lines[i].Message)
		line.AmountPence = int64(part)
		line.Beneficiaries = slices.DeleteFunc(line.GetBeneficiaries(), func(b *devfundv1.Beneficiary) bool { return !v.of(b.GetPcnCode()) })
		for _, b := range line.GetBeneficiaries() {
			b.SharePercent = "" // the part of the only other beneficiary would follow from it
		}
		out.Lines = append(out.Lines, line)
	}
	out.PlannedPence = int64(planned)
	for _, pcn := range s.covered {
		if !v.of(pcn) {
			hidden = append(hidden, pcn)
		}
	}
	checks := slices.Clone(s.checks)
	for i := range checks {
		checks[i].Note = "" // it tells sums of the whole plan
		checks[i].Findings = slices.DeleteFunc(slices.Clone(checks[i].Findings), func(f rules.Finding) bool { return slices.Contains(hidden, f.Subject) })
	}
	cut := checksToProto(checks)
	for i := range cut {
		if !s.checks[i].Passed() && checks[i].Passed() {
			cut[i].Passed, cut[i].Words = false, "what is missing is not of your PCN"
		}
	}
	out.Checks = cut
	return nil
}

// ownPart is what the PCNs that are seen get of a line, and whether it serves them.
func (s *sheet) ownPart(v sight, line *rules.Line) (sum money.Pence, serves bool, err error) {
	parts, err := rules.Portions(line.Amount, line.Beneficiaries)
	if err != nil {
		return 0, false, err
	}
	for _, pcn := range v.own {
		part, named := parts[pcn]
		serves = serves || named
		if sum, err = sum.Add(part); err != nil {
			return 0, false, err
		}
	}
	return sum, serves, nil
}

// whole writes the version with everything about it that the caller sees: also what its PCNs assessed, what is paid when, how it was
// reviewed, and its steps. Reviews and the words of steps tell sums of the whole plan, so that one who sees a part of it sees neither.
func (s *sheet) whole(ctx context.Context, q sqldb.Querier, by auth.Principal) (*devfundv1.Plan, error) {
	out, err := s.toProto(by)
	if err != nil {
		return nil, err
	}
	v := s.sightOf(by)
	pcns := s.covered
	if !v.whole {
		pcns = v.own
	}
	if out.Assessments, err = store.Assessments(ctx, q, s.head.Year, pcns); err != nil {
		return nil, err
	}
	if out.MissingAssessments, err = unassessed(ctx, q, s.head.Year, pcns); err != nil {
		return nil, err
	}
	if out.Tranches, err = s.tranches(ctx, q, v); err != nil {
		return nil, err
	}
	if v.whole {
		if out.Reviews, err = store.Reviews(ctx, q, s.head.ID); err != nil {
			return nil, err
		}
	}
	steps, err := store.Steps(ctx, q, s.head.ID)
	if err != nil {
		return nil, err
	}
	for _, row := range steps {
		step := &devfundv1.PlanStep{
			Step: row.Step, Version: int32(row.Number), State: row.State, By: row.TakenBy, At: timestamp(row.TakenAt), Words: row.Words, //nolint:gosec // versions of one plan
		}
		if !v.whole {
			step.Words = ""
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}

// tranches writes what the version pays, with the schedules that hold it.
func (s *sheet) tranches(ctx context.Context, q sqldb.Querier, v sight) ([]*devfundv1.TrancheDue, error) {
	rows, err := store.TranchesOf(ctx, q, s.head.Key())
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	schedules, err := store.SchedulesOf(ctx, q, s.head.ID)
	if err != nil {
		return nil, err
	}
	var out []*devfundv1.TrancheDue
	for _, row := range rows {
		if v.of(row.PCNCode) {
			out = append(out, &devfundv1.TrancheDue{
				LineId: row.LineID, PcnCode: row.PCNCode, Month: row.Month.String(), AmountPence: int64(row.Amount),
				ScheduleId: schedules[store.ScheduledKey{LineID: row.LineID, PCNCode: row.PCNCode, Month: row.Month}],
			})
		}
	}
	return out, nil
}

func agreementToProto(r *store.AgreementRow) *devfundv1.DirectorAgreement {
	return &devfundv1.DirectorAgreement{
		PcnCode: r.PCNCode, Version: int32(r.Number), Director: r.Director, Deputy: r.Deputy, AgreedOn: r.AgreedOn.String(), //nolint:gosec // versions of one plan
		EvidenceReference: r.EvidenceReference, RecordedBy: r.RecordedBy, RecordedAt: timestamp(r.RecordedAt), Withdrawn: r.Withdrawn,
	}
}
