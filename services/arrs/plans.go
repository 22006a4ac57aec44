package arrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// maxPlanViolations bounds the bad fields that a refusal shows.
const maxPlanViolations = 20

func planLock(pcn string, in period.FinancialYear) string { return "plan/" + pcn + "/" + in.String() }

// SubmitPlan puts a PCN's workforce plan, or a new version of it, forward.
func (s *Service) SubmitPlan(ctx context.Context, req *arrsv1.SubmitPlanRequest) (*arrsv1.Plan, error) {
	in, err := parseYear("planned_in", req.GetPlannedIn())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Plan, error) {
		if err := tx.Lock(ctx, planLock(req.GetPcnCode(), in)); err != nil {
			return nil, err
		}
		y, err := fixedYear(ctx, tx, req.GetPcnCode(), in)
		if err != nil {
			return nil, err
		}
		row := store.PlanRow{
			ID: tx.NewID(), PCNCode: y.PCNCode, CommissionerCode: y.CommissionerCode, LocationCode: y.LocationCode, PlannedIn: in, Version: 1,
			SubmittedBy: tx.By.Subject, SubmittedAt: sqldb.Micros(tx.Now()), RowVersion: 1,
		}
		lines, err := s.planLines(ctx, tx, req.GetLines(), &row)
		if err != nil {
			return nil, err
		}
		if err := replacePlan(ctx, tx, req.GetEtag(), &row); err != nil {
			return nil, err
		}
		if err := store.InsertPlan(ctx, tx.Tx, row, lines); err != nil {
			return nil, err
		}
		if err := announcePlan(ctx, tx, row, fmt.Sprintf("put forward version %d of the plan of %s made in %s, %d lines", row.Version, row.PCNCode, in, len(lines))); err != nil {
			return nil, err
		}
		return s.planToProto(ctx, tx, row)
	})
}

// planLines reads the lines of a plan and refuses them with every bad field.
func (s *Service) planLines(ctx context.Context, tx *change.Tx, entries []*arrsv1.PlanLine, row *store.PlanRow) ([]rules.PlanLine, error) {
	scheme, err := s.scheme(ctx, tx)
	if err != nil {
		return nil, err
	}
	refused := fault.New(fault.Invalid, reasonPlanLineInvalid, "the plan has lines that cannot be taken")
	bad := 0
	out := make([]rules.PlanLine, len(entries))
	for i, entry := range entries {
		line, violations := planLine(entry)
		line.ID, line.PCN, line.PlannedIn, line.Version = tx.NewID(), row.PCNCode, row.PlannedIn, row.Version
		if len(violations) == 0 {
			violations = rules.CheckPlanLine(scheme, &line)
		}
		for _, violation := range violations {
			if bad++; bad <= maxPlanViolations {
				violation.Field = fmt.Sprintf("lines[%d].%s", i, violation.Field)
				refused.Violations = append(refused.Violations, violation)
			}
		}
		out[i] = line
	}
	if bad > 0 {
		return nil, refused.With("bad_fields", bad)
	}
	return out, nil
}

// planLine reads a line; quarters become months.
func planLine(entry *arrsv1.PlanLine) (line rules.PlanLine, bad []fault.Violation) {
	note := func(field, reason string, err error) {
		if err != nil {
			bad = append(bad, fault.Violation{Field: field, Reason: reason, Description: err.Error()})
		}
	}
	line = rules.PlanLine{
		Role: entry.GetRoleCode(), Band: entry.GetBand(), Post: rules.Post(entry.GetPost()), Intention: rules.Indicative, Employer: entry.GetEmployer(),
		RecruitmentModel: entry.GetRecruitmentModel(), EstimatedCost: money.Pence(entry.GetEstimatedCostPence()), Risks: entry.GetRisks(), InPost: new(big.Rat),
	}
	if entry.GetIntention() == arrsv1.Intention_FIRM {
		line.Intention = rules.Firm
	}
	var err error
	line.Year, err = parseYear("financial_year", strings.Replace(entry.GetFinancialYear(), "/", "-", 1))
	note("financial_year", rules.ReasonValueOutOfRange, err)
	if entry.GetStartMonth() != "" {
		line.StartMonth, err = period.ParseMonth(entry.GetStartMonth())
		note("start_month", rules.ReasonValueOutOfRange, err)
	}
	if entry.GetWteInPost() != "" {
		line.InPost, err = money.ParseDecimal(entry.GetWteInPost())
		note("wte_in_post", rules.ReasonDecimalMalformed, err)
	}
	planned := entry.GetPlannedWte()
	if len(planned) != 4 && len(planned) != len(line.WTE) {
		return line, append(bad, fault.Violation{Field: "planned_wte", Reason: rules.ReasonValueRequired, Description: "give the WTE of twelve months or of four quarters"})
	}
	for i := range line.WTE {
		line.WTE[i], err = money.ParseDecimal(planned[i*len(planned)/len(line.WTE)])
		note("planned_wte", rules.ReasonDecimalMalformed, err)
	}
	return line, bad
}

// replacePlan takes the version that stands out of its place, if it is the one that was read and none of its lines is locked.
func replacePlan(ctx context.Context, tx *change.Tx, tag string, row *store.PlanRow) error {
	held, err := store.NewestPlan(ctx, tx, row.PCNCode, row.PlannedIn)
	if errors.Is(err, sql.ErrNoRows) {
		if tag != "" {
			return staleOr(nil)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkTag(tag, held.RowVersion); err != nil {
		return err
	}
	lines, err := store.PlanLines(ctx, tx, []store.PlanRow{held})
	if err != nil {
		return err
	}
	for i := range lines {
		if err := lines[i].Locked(); err != nil {
			return err
		}
	}
	row.Version = held.Version + 1
	held.Replaced = true
	if changed, err := store.ChangePlan(ctx, tx.Tx, held); err != nil || !changed {
		return staleOr(err)
	}
	return nil
}

func announcePlan(ctx context.Context, tx *change.Tx, row store.PlanRow, summary string) error {
	event := planHead(row)
	event.WithdrawalReason = ""
	if _, err := tx.Announce(ctx, "plan/"+row.PCNCode+"/"+row.PlannedIn.String(), row.CommissionerCode, &arrsv1.PlanChanged{Plan: event}); err != nil {
		return err
	}
	return tx.Record(ctx, "arrs/plans/"+row.ID, row.CommissionerCode, summary)
}

// AgreePlan records that the clinical director agreed the plan.
func (s *Service) AgreePlan(ctx context.Context, req *arrsv1.AgreePlanRequest) (*arrsv1.Plan, error) {
	on, err := parsePastDay("agreed_on", req.GetAgreedOn(), period.DateOf(s.db.Now()))
	if err != nil {
		return nil, err
	}
	return s.changePlan(ctx, req, func(tx *change.Tx, row *store.PlanRow) (string, error) {
		if !row.AgreedOn.IsZero() {
			return "", fault.New(fault.Refused, reasonPlanAlreadyAgreed, "the plan was agreed on %s", row.AgreedOn)
		}
		row.AgreedOn, row.AgreedBy = on, tx.By.Subject
		return fmt.Sprintf("the clinical director of %s agreed version %d of the plan made in %s on %s", row.PCNCode, row.Version, row.PlannedIn, on), nil
	})
}

// WithdrawPlanAgreement takes the agreement back. What was collated of the plan stands no more.
func (s *Service) WithdrawPlanAgreement(ctx context.Context, req *arrsv1.WithdrawPlanAgreementRequest) (*arrsv1.Plan, error) {
	return s.changePlan(ctx, req, func(tx *change.Tx, row *store.PlanRow) (string, error) {
		if row.AgreedOn.IsZero() {
			return "", fault.New(fault.Refused, reasonPlanNotAgreed, "nobody has agreed the plan")
		}
		row.AgreedOn, row.AgreedBy, row.WithdrawalReason, row.WithdrawnBy = period.Date{}, "", req.GetReason(), tx.By.Subject
		row.CollatedOn, row.CollatedBy, row.SystemCode, row.RegionStatus = period.Date{}, "", "", 0
		return fmt.Sprintf("withdrew the agreement of %s to version %d of the plan made in %s: %s", row.PCNCode, row.Version, row.PlannedIn, req.GetReason()), nil
	})
}

// planChange is a request that changes a plan.
type planChange interface {
	proto.Message
	GetPlanId() string
	GetEtag() string
}

// changePlan changes the version that stands, for its PCN.
func (s *Service) changePlan(ctx context.Context, req planChange, alter func(tx *change.Tx, row *store.PlanRow) (summary string, err error)) (*arrsv1.Plan, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Plan, error) {
		row, err := store.Plan(ctx, tx, req.GetPlanId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, planNotFound(req.GetPlanId())
		}
		if err != nil {
			return nil, err
		}
		if err := forPCN(ctx, row.PCNCode, planNotFound(req.GetPlanId())); err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, planLock(row.PCNCode, row.PlannedIn)); err != nil {
			return nil, err
		}
		if row, err = store.Plan(ctx, tx, row.ID); err != nil {
			return nil, err
		}
		if row.Replaced {
			return nil, fault.New(fault.Refused, reasonPlanReplaced, "a later version stands in its place")
		}
		if err := checkTag(req.GetEtag(), row.RowVersion); err != nil {
			return nil, err
		}
		summary, err := alter(tx, &row)
		if err != nil {
			return nil, err
		}
		if changed, err := store.ChangePlan(ctx, tx.Tx, row); err != nil || !changed {
			return nil, staleOr(err)
		}
		row.RowVersion++
		if err := announcePlan(ctx, tx, row, summary); err != nil {
			return nil, err
		}
		return s.planToProto(ctx, tx, row)
	})
}

func planNotFound(id string) error {
	return fault.New(fault.NotFound, reasonPlanNotFound, "there is no plan %q", money.Clip(id))
}

// GetPlan returns a version of a plan with its lines, beside the allocation.
func (s *Service) GetPlan(ctx context.Context, req *arrsv1.GetPlanRequest) (out *arrsv1.Plan, err error) {
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Plan(ctx, q, req.GetPlanId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, row.PCNCode)) {
			return planNotFound(req.GetPlanId())
		}
		if err != nil {
			return err
		}
		out, err = s.planToProto(ctx, q, row)
		return err
	})
}

// ListPlans returns plans without their lines, newest first.
func (s *Service) ListPlans(ctx context.Context, req *arrsv1.ListPlansRequest) (*arrsv1.ListPlansResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	if by.Year, err = parseYearFilter("planned_in", req.GetPlannedIn()); err != nil {
		return nil, err
	}
	var rows []store.PlanRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Plans(ctx, q, by, req.GetIncludeReplaced())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListPlansResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.PlanRow) string { return r.ID })
	for _, row := range rows {
		out.Plans = append(out.Plans, planHead(row))
	}
	return out, nil
}

// CollatePlans notes that a commissioner collated its PCNs' agreed plans.
func (s *Service) CollatePlans(ctx context.Context, req *arrsv1.CollatePlansRequest) (*arrsv1.CollatePlansResponse, error) {
	in, err := parseYear("planned_in", req.GetPlannedIn())
	if err != nil {
		return nil, err
	}
	on, err := parsePastDay("collated_on", req.GetCollatedOn(), period.DateOf(s.db.Now()))
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.CollatePlansResponse, error) {
		years, err := store.Years(ctx, tx, store.Page{Scope: store.Scope{Commissioners: []string{req.GetCommissionerCode()}}}, in)
		if err != nil {
			return nil, err
		}
		if len(years) == 0 {
			return nil, fault.New(fault.Refused, reasonYearNotFixed, "%s has fixed no year %s", req.GetCommissionerCode(), in)
		}
		pcns, keys := make([]string, len(years)), make([]string, len(years))
		for i, y := range years {
			pcns[i], keys[i] = y.PCNCode, planLock(y.PCNCode, in)
		}
		if err := tx.LockAll(ctx, keys); err != nil {
			return nil, err
		}
		plans, err := store.PlansMade(ctx, tx, in, pcns)
		if err != nil {
			return nil, err
		}
		out := new(arrsv1.CollatePlansResponse)
		for _, row := range plans {
			pcns = slices.DeleteFunc(pcns, func(pcn string) bool { return pcn == row.PCNCode })
			if row.AgreedOn.IsZero() {
				out.NotAgreedPcnCodes = append(out.NotAgreedPcnCodes, row.PCNCode)
				continue
			}
			row.CollatedOn, row.CollatedBy, row.SystemCode, row.RegionStatus = on, tx.By.Subject, req.GetSystemCode(), int64(req.GetRegionStatus())
			if row.SystemCode == "" {
				row.SystemCode = req.GetCommissionerCode()
			}
			if changed, err := store.ChangePlan(ctx, tx.Tx, row); err != nil || !changed {
				return nil, staleOr(err)
			}
			row.RowVersion++
			summary := fmt.Sprintf("collated version %d of the plan of %s made in %s on %s: %s", row.Version, row.PCNCode, in, on, req.GetRegionStatus())
			if err := announcePlan(ctx, tx, row, summary); err != nil {
				return nil, err
			}
			out.Plans++
		}
		out.MissingPcnCodes = pcns
		return out, nil
	})
}

// planHead writes a version without its lines.
func planHead(r store.PlanRow) *arrsv1.Plan {
	return &arrsv1.Plan{
		PlanId: r.ID, PcnCode: r.PCNCode, CommissionerCode: r.CommissionerCode, PlannedIn: r.PlannedIn.String(), Version: int32(r.Version), Replaced: r.Replaced, //nolint:gosec // versions of one plan
		SubmittedBy: r.SubmittedBy, SubmittedAt: timestamp(r.SubmittedAt), AgreedOn: r.AgreedOn.String(), AgreedBy: r.AgreedBy,
		WithdrawalReason: r.WithdrawalReason, WithdrawnBy: r.WithdrawnBy, CollatedOn: r.CollatedOn.String(), CollatedBy: r.CollatedBy, SystemCode: r.SystemCode,
		RegionStatus: arrsv1.RegionStatus(r.RegionStatus), Etag: versionTag(r.RowVersion), //nolint:gosec // an enum
	}
}

// planToProto writes a version with its lines, beside what is allocated in their years.
func (s *Service) planToProto(ctx context.Context, q sqldb.Querier, row store.PlanRow) (*arrsv1.Plan, error) {
	lines, err := store.PlanLines(ctx, q, []store.PlanRow{row})
	if err != nil {
		return nil, err
	}
	out := planHead(row)
	for i := range lines {
		out.Lines = append(out.Lines, planLineToProto(&lines[i]))
	}
	pots, err := s.plannedPots(ctx, q, lines)
	if err != nil {
		return nil, err
	}
	for _, pot := range pots {
		out.Pots = append(out.Pots, pot.toProto())
	}
	return out, nil
}

func planLineToProto(l *rules.PlanLine) *arrsv1.PlanLine {
	out := &arrsv1.PlanLine{
		LineId: l.ID, FinancialYear: l.Year.String(), RoleCode: l.Role, Band: l.Band, Post: string(l.Post), Intention: intentionToProto(l.Intention),
		WteInPost: money.Format(l.InPost), StartMonth: l.StartMonth.String(), Employer: l.Employer, RecruitmentModel: l.RecruitmentModel,
		EstimatedCostPence: int64(l.EstimatedCost), Risks: l.Risks, PlannedWte: wteTexts(l.WTE[:]),
	}
	return out
}

func intentionToProto(intention rules.Intention) arrsv1.Intention {
	if intention == rules.Firm {
		return arrsv1.Intention_FIRM
	}
	return arrsv1.Intention_INDICATIVE
}

func wteTexts(values []*big.Rat) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = money.Format(value)
	}
	return out
}

// plannedPot sets what a PCN plans of a pot against what is allocated.
type plannedPot struct {
	pcn        string
	year       period.FinancialYear
	pot        rules.Pot
	allocation money.Pence
	planned    money.Pence
	refused    *fault.Fault
}

func (p *plannedPot) toProto() *arrsv1.PlanPot {
	out := &arrsv1.PlanPot{
		FinancialYear: p.year.String(), Pot: potToProto(p.pot), AllocationPence: int64(p.allocation), PlannedPence: int64(p.planned), Refusal: missingToProto(p.refused),
	}
	if p.refused == nil {
		out.GapPence = int64(p.allocation - p.planned) // both are at least nothing
	}
	return out
}

// plannedPots adds lines up by PCN, year and pot, in that order. A pot without lines shows what is left unplanned.
func (s *Service) plannedPots(ctx context.Context, q sqldb.Querier, lines []rules.PlanLine) ([]*plannedPot, error) {
	byYear := make(map[period.FinancialYear][]string)
	for i := range lines {
		if !slices.Contains(byYear[lines[i].Year], lines[i].PCN) {
			byYear[lines[i].Year] = append(byYear[lines[i].Year], lines[i].PCN)
		}
	}
	var out []*plannedPot
	for year, pcns := range byYear {
		d, err := s.loadYearData(ctx, q, year, pcns)
		if err != nil {
			return nil, err
		}
		found, err := d.plannedPots(pcns, lines)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, func(a, b *plannedPot) int {
		if c := strings.Compare(a.pcn, b.pcn); c != 0 {
			return c
		}
		if a.year != b.year {
			return int(a.year - b.year)
		}
		return strings.Compare(string(a.pot), string(b.pot))
	})
	return out, nil
}

func (d *yearData) plannedPots(pcns []string, lines []rules.PlanLine) ([]*plannedPot, error) {
	var out []*plannedPot
	pots := make(map[potKey]*plannedPot)
	add := func(p plannedPot) *plannedPot {
		pots[potKey{p.pcn, p.pot}] = &p
		out = append(out, &p)
		return &p
	}
	for _, pcn := range pcns {
		c, err := d.context(&store.YearRow{PCNCode: pcn})
		if err != nil {
			return nil, err
		}
		for _, sum := range c.Sums {
			add(plannedPot{pcn: pcn, year: d.year, pot: sum.Pot, allocation: sum.Usable, refused: sum.Refused})
		}
	}
	for i := range lines {
		line := &lines[i]
		if line.Year != d.year {
			continue
		}
		pot, _ := rules.PotOf(d.scheme.SumRates, line.Role, d.year.Last())
		of := pots[potKey{line.PCN, pot}]
		if of == nil {
			of = add(plannedPot{pcn: line.PCN, year: d.year, pot: pot, refused: fault.New(fault.Refused, reasonYearNotFixed, "not fixed").
				With("missing", "yearly sum of "+line.PCN+" for "+d.year.String()).With("remedy", "fix the year")})
		}
		var err error
		if of.planned, err = of.planned.Add(line.EstimatedCost); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SubmitSystemPlan puts forward what a system plans beyond its PCNs.
func (s *Service) SubmitSystemPlan(ctx context.Context, req *arrsv1.SubmitSystemPlanRequest) (*arrsv1.SystemPlan, error) {
	in, err := parseYear("planned_in", req.GetPlannedIn())
	if err != nil {
		return nil, err
	}
	row := store.SystemPlanRow{CommissionerCode: req.GetCommissionerCode(), SystemCode: req.GetSystemCode(), PlannedIn: in, Version: 1}
	if row.SystemCode == "" {
		row.SystemCode = row.CommissionerCode
	}
	if row.Items, err = systemItems(req.GetItems(), in); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.SystemPlan, error) {
		if err := tx.Lock(ctx, "system-plan/"+row.CommissionerCode+"/"+row.SystemCode+"/"+in.String()); err != nil {
			return nil, err
		}
		held, err := store.SystemPlans(ctx, tx, store.Page{CommissionerCode: row.CommissionerCode, Year: in.String()}, row.SystemCode, false)
		if err != nil {
			return nil, err
		}
		switch {
		case len(held) > 0:
			if err := checkTag(req.GetEtag(), int64(held[0].Version)); err != nil {
				return nil, err
			}
			row.Version = held[0].Version + 1
		case req.GetEtag() != "":
			return nil, staleOr(nil)
		}
		row.ID, row.SubmittedBy, row.SubmittedAt = tx.NewID(), tx.By.Subject, sqldb.Micros(tx.Now())
		if err := store.InsertSystemPlan(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("put forward version %d of the plan of system %s made in %s, %d items", row.Version, row.SystemCode, in, len(row.Items))
		return systemPlanToProto(row), tx.Record(ctx, "arrs/system-plans/"+row.ID, row.CommissionerCode, summary)
	})
}

// systemItems reads the lines of a system's plan and refuses them with every bad field.
func systemItems(items []*arrsv1.SystemPlanItem, in period.FinancialYear) ([]*arrsv1.SystemPlanItem, error) {
	refused := fault.New(fault.Invalid, reasonPlanItemInvalid, "the plan has items that cannot be taken")
	bad := 0
	out := make([]*arrsv1.SystemPlanItem, len(items))
	for i, item := range items {
		out[i] = proto.CloneOf(item)
		wrong := func(field, description string) {
			if bad++; bad <= maxPlanViolations {
				refused.Violations = append(refused.Violations, fault.Violation{
					Field: fmt.Sprintf("items[%d].%s", i, field), Reason: reasonPlanItemInvalid, Description: description,
				})
			}
		}
		year, err := parseYear("financial_year", strings.Replace(item.GetFinancialYear(), "/", "-", 1))
		if err != nil || year < in {
			wrong("financial_year", "a financial year, not before that of the plan")
		}
		out[i].FinancialYear = year.String()
		if _, err := period.ParseDate(item.GetDueDate()); err != nil && item.GetDueDate() != "" {
			wrong("due_date", err.Error())
		}
		switch trainees := item.GetKind() == arrsv1.SystemItemKind_TRAINEES; {
		case trainees && (item.GetTrainees() == 0 || item.GetExpectedToStay() > item.GetTrainees()):
			wrong("trainees", "at least one, and no fewer than are expected to stay")
		case !trainees && item.GetAction() == "":
			wrong("action", "what is done")
		case !trainees && item.GetTrainees()+item.GetExpectedToStay() > 0:
			wrong("trainees", "an action has none")
		}
	}
	if bad > 0 {
		return nil, refused.With("bad_fields", bad)
	}
	return out, nil
}

// ListSystemPlans returns system plans, newest first.
func (s *Service) ListSystemPlans(ctx context.Context, req *arrsv1.ListSystemPlansRequest) (*arrsv1.ListSystemPlansResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	if by.Year, err = parseYearFilter("planned_in", req.GetPlannedIn()); err != nil {
		return nil, err
	}
	var rows []store.SystemPlanRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.SystemPlans(ctx, q, by, "", req.GetIncludeReplaced())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListSystemPlansResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.SystemPlanRow) string { return r.ID })
	for _, row := range rows {
		out.Plans = append(out.Plans, systemPlanToProto(row))
	}
	return out, nil
}

func systemPlanToProto(r store.SystemPlanRow) *arrsv1.SystemPlan {
	return &arrsv1.SystemPlan{
		SystemPlanId: r.ID, CommissionerCode: r.CommissionerCode, SystemCode: r.SystemCode, PlannedIn: r.PlannedIn.String(), Version: int32(r.Version), //nolint:gosec // versions of one plan
		Replaced: r.Replaced, Items: r.Items, SubmittedBy: r.SubmittedBy, SubmittedAt: timestamp(r.SubmittedAt), Etag: versionTag(int64(r.Version)),
	}
}
