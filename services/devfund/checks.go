package devfund

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// sheet is a version of a plan with what the governance checks look at, and what they say of it now.
type sheet struct {
	head       *store.PlanHead
	covered    []string
	lines      []store.PlanLineRow
	agreements []store.AgreementRow // all of them, also those that were withdrawn
	plan       *rules.Plan
	checks     []rules.Check
}

// sheet loads and checks one version.
func (s *Service) sheet(ctx context.Context, q sqldb.Querier, head *store.PlanHead) (*sheet, error) {
	all, err := s.sheets(ctx, q, []store.PlanHead{*head})
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// sheets loads and checks versions, each against what its allocations hold for it: what is left of them, and what the plan itself has
// committed.
func (s *Service) sheets(ctx context.Context, q sqldb.Querier, heads []store.PlanHead) ([]sheet, error) {
	keys := make([]store.VersionKey, len(heads))
	withApproved := make([]store.VersionKey, 0, 2*len(heads))
	for i := range heads {
		keys[i] = heads[i].Key()
		withApproved = append(withApproved, keys[i])
		if heads[i].Approved != 0 && heads[i].Approved != heads[i].Number {
			withApproved = append(withApproved, approvedKey(&heads[i]))
		}
	}
	covered, err := store.VersionPCNs(ctx, q, keys)
	if err != nil {
		return nil, err
	}
	lines, err := store.VersionLines(ctx, q, withApproved)
	if err != nil {
		return nil, err
	}
	agreements, err := store.Agreements(ctx, q, keys)
	if err != nil {
		return nil, err
	}
	out := make([]sheet, len(heads))
	for i := range heads {
		out[i] = sheet{head: &heads[i], covered: covered[keys[i]], lines: lines[keys[i]], agreements: agreements[keys[i]]}
	}
	allocations, err := s.drawnOn(ctx, q, out)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := out[i].check(allocations, lines[approvedKey(out[i].head)]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func approvedKey(head *store.PlanHead) store.VersionKey {
	return store.VersionKey{PlanID: head.ID, Number: head.Approved}
}

// drawn is an allocation, and why nothing may be drawn on it.
type drawn struct {
	store.AllocationRow
	why string
}

// drawnOn loads the allocations that versions draw on.
func (s *Service) drawnOn(ctx context.Context, q sqldb.Querier, all []sheet) (map[string]drawn, error) {
	var ids []string
	for i := range all {
		ids = append(ids, all[i].allocations()...)
	}
	slices.Sort(ids)
	rows, err := store.AllocationsOf(ctx, q, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	out := make(map[string]drawn, len(rows))
	for id, row := range rows {
		of := drawn{AllocationRow: row}
		err := usable(ctx, q, &row)
		if refused, ok := fault.As(err); ok {
			of.why = refused.Message
		} else if err != nil {
			return nil, err
		}
		out[id] = of
	}
	return out, nil
}

// allocations are what the lines draw on, or the plan's own where there are none, in order of identifier.
func (s *sheet) allocations() []string {
	if len(s.lines) == 0 {
		return []string{s.head.AllocationID}
	}
	ids := make([]string, len(s.lines))
	for i := range s.lines {
		ids[i] = s.lines[i].AllocationID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// check holds the version against the guidance. Committed are the lines of the plan that are committed, of this version or of the one that
// stands before it.
func (s *sheet) check(allocations map[string]drawn, committed []store.PlanLineRow) (err error) {
	if s.plan, err = planOf(s.head.Year, s.head.Header, messagesOf(s.lines), s.covered); err != nil {
		return err
	}
	for _, row := range s.standing() {
		s.plan.Agreements = append(s.plan.Agreements, rules.Agreement{PCN: row.PCNCode, Director: row.Director, Deputy: row.Deputy, On: row.AgreedOn})
	}
	for _, id := range s.allocations() {
		of := allocations[id]
		holding := rules.Holding{
			Allocation: id, Name: whose(&of.AllocationRow), Leadership: of.Purpose == devfundv1.AllocationPurpose_LEADERSHIP, Why: of.why,
		}
		if left, known := of.Left(); known {
			for i := range committed {
				if committed[i].AllocationID != id {
					continue
				}
				if left, err = left.Add(committed[i].Amount); err != nil {
					return err
				}
			}
			holding.Left = &left
		}
		s.plan.Holdings = append(s.plan.Holdings, holding)
	}
	s.checks, err = rules.CheckPlan(s.plan)
	return err
}

// whose says in words whose an allocation is, what it is for and in which year.
func whose(r *store.AllocationRow) string {
	if r.ID == "" {
		return ""
	}
	purpose := strings.ReplaceAll(strings.ToLower(r.Purpose.String()), "_", " ")
	return fmt.Sprintf("the %s allocation of %s in %s", purpose, strings.TrimSpace(r.HolderName+" ("+r.HolderCode+")"), yearWords(r.Year))
}

func messagesOf(lines []store.PlanLineRow) []*devfundv1.PlanLine {
	out := make([]*devfundv1.PlanLine, len(lines))
	for i := range lines {
		out[i] = lines[i].Message
	}
	return out
}

// standing are the agreements that were not withdrawn, by PCN.
func (s *sheet) standing() []store.AgreementRow {
	return slices.DeleteFunc(s.lastSaid(), func(row store.AgreementRow) bool { return row.Withdrawn })
}

// lastSaid is the last that each PCN said to the version, by PCN.
func (s *sheet) lastSaid() (out []store.AgreementRow) {
	for i, row := range s.agreements {
		if i == len(s.agreements)-1 || s.agreements[i+1].PCNCode != row.PCNCode {
			out = append(out, row)
		}
	}
	return out
}
