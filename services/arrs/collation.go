package arrs

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// GetCollation returns plans added up by PCN, location, commissioner or system, beside the allocation.
func (s *Service) GetCollation(ctx context.Context, req *arrsv1.GetCollationRequest) (*arrsv1.Collation, error) {
	in, err := parseYear("planned_in", req.GetPlannedIn())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	out := &arrsv1.Collation{PlannedIn: in.String(), Group: req.GetGroup()}
	if out.Group == arrsv1.CollationGroup_COLLATION_GROUP_UNSPECIFIED {
		out.Group = arrsv1.CollationGroup_GROUP_COMMISSIONER
	}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		years, err := store.Years(ctx, q, store.Page{Scope: store.Scope{Commissioners: scope}}, in)
		if err != nil {
			return err
		}
		return s.collate(ctx, q, in, years, req.GetAgreedOnly(), out)
	})
}

// collate adds up the newest plans of the PCNs of some years.
func (s *Service) collate(ctx context.Context, q sqldb.Querier, in period.FinancialYear, years []store.YearRow, agreedOnly bool, out *arrsv1.Collation) error {
	pcns := make([]string, len(years))
	for i := range years {
		pcns[i] = years[i].PCNCode
	}
	plans, err := store.PlansMade(ctx, q, in, pcns)
	if err != nil {
		return err
	}
	if agreedOnly {
		plans = slices.DeleteFunc(plans, func(p store.PlanRow) bool { return p.AgreedOn.IsZero() })
	}
	groups := make(map[string]string, len(plans))
	planned := make(map[string]bool, len(plans))
	for _, plan := range plans {
		planned[plan.PCNCode] = true
		if out.GetGroup() == arrsv1.CollationGroup_GROUP_SYSTEM {
			groups[plan.PCNCode] = plan.SystemCode
		}
	}
	for _, y := range years {
		switch out.GetGroup() {
		case arrsv1.CollationGroup_GROUP_PCN:
			groups[y.PCNCode] = y.PCNCode
		case arrsv1.CollationGroup_GROUP_LOCATION:
			groups[y.PCNCode] = y.LocationCode
		case arrsv1.CollationGroup_GROUP_COMMISSIONER:
			groups[y.PCNCode] = y.CommissionerCode
		default:
		}
		if !planned[y.PCNCode] {
			out.MissingPcnCodes = append(out.MissingPcnCodes, y.PCNCode)
		}
	}
	lines, err := store.PlanLines(ctx, q, plans)
	if err != nil {
		return err
	}
	rows, err := rules.Collate(lines, func(pcn string) string { return groups[pcn] })
	if err != nil {
		return err
	}
	for i := range rows {
		out.Rows = append(out.Rows, collationRow(&rows[i]))
	}
	out.Plans = int32(len(plans)) //nolint:gosec // PCNs
	pots, err := s.plannedPots(ctx, q, lines)
	if err != nil {
		return err
	}
	out.Pots, err = collatePots(pots, groups)
	return err
}

func collationRow(row *rules.Collated) *arrsv1.CollationRow {
	return &arrsv1.CollationRow{
		GroupCode: row.Group, FinancialYear: row.Year.String(), RoleCode: row.Role, Intention: intentionToProto(row.Intention), Pcns: int32(row.PCNs), //nolint:gosec // PCNs
		WteInPost: money.Format(row.InPost), PlannedWte: wteTexts(row.WTE[:]), EstimatedCostPence: int64(row.Cost),
	}
}

// collatePots adds pots up by group, year and pot.
func collatePots(pots []*plannedPot, groups map[string]string) ([]*arrsv1.CollationPot, error) {
	type key struct {
		group string
		year  period.FinancialYear
		pot   rules.Pot
	}
	sums := make(map[key]*plannedPot)
	rows := make(map[key]*arrsv1.CollationPot)
	var order []key
	for _, pot := range pots {
		k := key{groups[pot.pcn], pot.year, pot.pot}
		if sums[k] == nil {
			sums[k], rows[k] = &plannedPot{year: pot.year, pot: pot.pot}, &arrsv1.CollationPot{GroupCode: k.group}
			order = append(order, k)
		}
		rows[k].Pcns++
		if pot.refused != nil {
			rows[k].UnknownPcns++
			continue
		}
		var err error
		if sums[k].allocation, err = sums[k].allocation.Add(pot.allocation); err != nil {
			return nil, err
		}
		if sums[k].planned, err = sums[k].planned.Add(pot.planned); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(order, func(a, b key) int {
		if c := strings.Compare(a.group, b.group); c != 0 {
			return c
		}
		if a.year != b.year {
			return int(a.year - b.year)
		}
		return strings.Compare(string(a.pot), string(b.pot))
	})
	out := make([]*arrsv1.CollationPot, len(order))
	for i, k := range order {
		rows[k].Pot = sums[k].toProto()
		out[i] = rows[k]
	}
	return out, nil
}

// DownloadCollation returns plans added up as CSV. A cell that a spreadsheet would take for a formula is made text.
func (s *Service) DownloadCollation(ctx context.Context, req *arrsv1.DownloadCollationRequest) (*httpbody.HttpBody, error) {
	collation, err := s.GetCollation(ctx, &arrsv1.GetCollationRequest{
		CommissionerCode: req.GetCommissionerCode(), PlannedIn: req.GetPlannedIn(), Group: req.GetGroup(), AgreedOnly: req.GetAgreedOnly(),
	})
	if err != nil {
		return nil, err
	}
	var names map[string]string
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		scheme, err := s.scheme(ctx, q)
		if err != nil {
			return err
		}
		names = make(map[string]string, len(scheme.Roles))
		for i := range scheme.Roles {
			names[scheme.Roles[i].Code] = scheme.Roles[i].Name
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write([]string{
		"planned_in", "group", "group_code", "financial_year", "role_code", "role_name", "intention", "pcns", "wte_in_post", "wte_april", "wte_may", "wte_june",
		"wte_july", "wte_august", "wte_september", "wte_october", "wte_november", "wte_december", "wte_january", "wte_february", "wte_march", "estimated_cost_gbp",
	})
	for _, row := range collation.GetRows() {
		cells := []string{
			collation.GetPlannedIn(), strings.TrimPrefix(collation.GetGroup().String(), "GROUP_"), row.GetGroupCode(), row.GetFinancialYear(), row.GetRoleCode(),
			names[row.GetRoleCode()], row.GetIntention().String(), fmt.Sprint(row.GetPcns()), row.GetWteInPost(),
		}
		cells = append(cells, row.GetPlannedWte()...)
		_ = w.Write(spreadsheet.Cells(append(cells, money.Pence(row.GetEstimatedCostPence()).Plain())...))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of the plans of %s: %w", collation.GetPlannedIn(), err)
	}
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text.String())}, nil
}
