package iif

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// standingCounts are the counts that stand, by organisation.
type standingCounts struct {
	of map[string][]rules.IndicatorCounts
	// position is that of the last counts there are, of whatever organisation, up to the one asked for.
	position int64
	// byHand are those who entered some of them by hand or took in a commissioner's own file, by organisation.
	byHand map[string][]string
}

// countsOf loads the counts that stand on a day among those of England and of some bodies, up to a position, latest for all: those of
// organisations, or of everybody where they are nil. An answer to a question of yes or no stands from its day to the end of the year.
func (s *Service) countsOf(
	ctx context.Context, q sqldb.Querier, bodies []string, year period.FinancialYear, on period.Date, organisations []string, position int64,
) (*standingCounts, error) {
	last, err := store.LastCount(ctx, q)
	if err != nil {
		return nil, err
	}
	if position != latest {
		last = min(last, position)
	}
	if last == 0 {
		return &standingCounts{}, nil
	}
	// Up to the position that is told, whatever has come since it was read.
	standing, err := store.StandingCounts(ctx, q, on, store.CountFilter{Year: year, Bodies: bodies, Organisations: organisations, UpTo: last})
	if err != nil {
		return nil, err
	}
	return &standingCounts{of: standing.Of, position: last, byHand: standing.Makers}, nil
}

// lastDay returns the last day of which organisations have counts in a year, of everybody where they are nil; zero where there are none.
// Answers do not tell it: they are given ahead, for 31 March.
func (s *Service) lastDay(
	ctx context.Context, q sqldb.Querier, bodies []string, year period.FinancialYear, organisations []string,
) (period.Date, error) {
	return store.LastCountDay(ctx, q, store.CountFilter{Year: year, Bodies: bodies, Organisations: organisations})
}

// ListCounts returns versions of the counts of a practice or a PCN in a year, by indicator and day, newest first.
func (s *Service) ListCounts(ctx context.Context, req *iifv1.ListCountsRequest) (*iifv1.ListCountsResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	var on period.Date
	if req.GetAchievedOn() != "" {
		if on, err = countsDay(req.GetAchievedOn(), year); err != nil {
			return nil, err
		}
	}
	scope, err := s.countScope(ctx, req.GetOrganisationCode(), year)
	if err != nil {
		return nil, err
	}
	var rows []store.CountRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.CountVersions(ctx, q, req.GetOrganisationCode(), req.GetIndicatorCode(), year, scope)
		return err
	})
	if err != nil {
		return nil, err
	}
	stands := standingVersions(rows)
	rows = slices.DeleteFunc(rows, func(r store.CountRow) bool {
		return countKey(r) <= after || (!on.IsZero() && r.On != on) || (req.GetStandingOnly() && !stands[r.Position])
	})
	slices.SortFunc(rows, func(a, b store.CountRow) int { return cmp.Compare(countKey(a), countKey(b)) })
	out := new(iifv1.ListCountsResponse)
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), importsPage), countKey)
	for i := range rows {
		out.Versions = append(out.Versions, countToProto(&rows[i], stands[rows[i].Position]))
	}
	return out, nil
}

// countKey orders versions by indicator and day, the newest of a day first.
func countKey(r store.CountRow) string {
	return fmt.Sprintf("%s %s %019d", r.Indicator, r.On, 1<<62-r.Position)
}

// standingVersions returns the positions of the versions that stand, of all of an organisation that the caller sees: those without a later
// one of their commissioner's or of England's. Where a commissioner's own came after England's, both do, each for those whom it concerns.
func standingVersions(rows []store.CountRow) map[int64]bool {
	type scope struct {
		store.CountKey
		commissioner string
	}
	last := make(map[scope]int64)
	for i := range rows {
		at := scope{rows[i].CountKey, rows[i].CommissionerCode}
		last[at] = max(last[at], rows[i].Position)
	}
	out := make(map[int64]bool)
	for at, position := range last {
		out[position] = position >= last[scope{at.CountKey, rules.England}]
	}
	return out
}

func countToProto(r *store.CountRow, stands bool) *iifv1.CountVersion {
	return &iifv1.CountVersion{
		OrganisationCode: r.Organisation, FinancialYear: yearWords(r.On.Month().FinancialYear()), AchievedOn: r.On.String(), Counts: cellsToProto(r.Indicator, r.Cells),
		SourceId: r.SourceID, CommissionerCode: r.CommissionerCode, Defaulted: r.Cells.Any(func(c store.Cell) bool { return c.Defaulted }), Stands: stands,
		Reason: r.Reason, RecordedBy: r.RecordedBy, RecordedAt: timestamppb.New(sqldb.FromMicros(r.RecordedAt)),
	}
}

func cellsToProto(code string, cells store.Cells) *iifv1.IndicatorCounts {
	out := &iifv1.IndicatorCounts{IndicatorCode: code}
	for _, c := range cells {
		count := &iifv1.Count{Suppressed: c.State == rules.Suppressed}
		if c.State == rules.Stated {
			count.Value = &c.N
		}
		switch c.Measure {
		case feed.Numerator:
			out.Numerator = count
		case feed.Denominator:
			out.Denominator = count
		case feed.Register:
			out.Register = count
		case feed.BaselineNumerator:
			out.BaselineNumerator = count
		case feed.BaselineDenominator:
			out.BaselineDenominator = count
		case feed.Exclusion:
			out.Exclusions = append(out.Exclusions, &iifv1.FieldCount{Field: c.Field, Count: count})
		case feed.Adjustment:
			out.Adjustments = append(out.Adjustments, &iifv1.FieldCount{Field: c.Field, Count: count})
		case feed.Answer:
			out.Answer = iifv1.Answer(c.N) //nolint:gosec // 1 or 2
		}
	}
	return out
}

// isPCN tells PCNs from practices by their codes.
func isPCN(code string) bool { return strings.HasPrefix(code, "U") }

// isOrganisation tells whether a code is one of a practice or a PCN.
func isOrganisation(code string) bool {
	return len(code) == 6 && code[0] >= 'A' && code[0] <= 'Z' && strings.Trim(code[1:], "0123456789") == ""
}

func notOrganisation(field, code, what string) error {
	return fault.New(fault.Invalid, rules.ReasonOrganisationMalformed, "%q is not the code of a %s: a practice is a letter and five digits, a PCN U and five digits", money.Clip(code), what).
		At(field, "such as A81001 or U12345")
}

// countsDay reads a day of a year.
func countsDay(text string, year period.FinancialYear) (period.Date, error) {
	day, err := parseDate("achieved_on", text)
	if err != nil {
		return day, err
	}
	if day.Month().FinancialYear() != year {
		return day, fault.New(fault.Invalid, reasonCountsInvalid, "%s is no day of %s", day, year).At("achieved_on", "a day of the financial year")
	}
	return day, nil
}

// countScope returns under which codes the caller sees the counts of an organisation in a year; nil for all. They are seen by those of
// its PCN, by the bodies that commission it or its PCN, and by those who hold England: England's, and of commissioners' own what those
// may see who hold them, or whose PCN they commission. Others are refused.
func (s *Service) countScope(ctx context.Context, code string, year period.FinancialYear) ([]string, error) {
	if !isOrganisation(code) {
		return nil, notOrganisation("organisation_code", code, "practice or a PCN")
	}
	by := caller(ctx)
	if by.HoldsEngland() {
		return nil, nil
	}
	whose := []string{code}
	if !isPCN(code) {
		pcns, err := s.related(ctx, code, registerv1.RelationshipKind_MEMBER_OF_PCN, year)
		if err != nil {
			return nil, err
		}
		whose = append(whose, pcns...)
	}
	bodies, err := s.bodiesOf(ctx, whose, year)
	if err != nil {
		return nil, err
	}
	scope := append([]string{rules.England}, by.Commissioners...)
	switch {
	case slices.ContainsFunc(whose, by.HoldsPCN):
		return append(scope, bodies...), nil
	case slices.ContainsFunc(bodies, by.HoldsCommissioner):
		return scope, nil
	}
	return nil, fault.New(fault.NotFound, auth.ReasonNotFound, "there is no organisation %q that you may see", code).With("organisation_code", code)
}

// bodiesOf returns the bodies that commission some organisations in a year, and the systems in which those lie.
func (s *Service) bodiesOf(ctx context.Context, organisations []string, year period.FinancialYear) ([]string, error) {
	var bodies []string
	for _, code := range organisations {
		places, err := s.related(ctx, code, registerv1.RelationshipKind_COMMISSIONED_BY, year)
		if err != nil {
			return nil, err
		}
		for _, place := range places {
			systems, err := s.related(ctx, place, registerv1.RelationshipKind_IN_SYSTEM, year)
			if err != nil {
				return nil, err
			}
			bodies = append(append(bodies, place), systems...)
		}
	}
	return bodies, nil
}

// related returns what an organisation belonged to in a year; none where the register does not know it. The system in which a place lies
// counts also where it took over after the year. What a publication showed first counts for the years before.
func (s *Service) related(ctx context.Context, code string, kind registerv1.RelationshipKind, year period.FinancialYear) ([]string, error) {
	organisation, err := s.register.GetOrganisation(ctx, &registerv1.GetOrganisationRequest{OrganisationCode: code})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look %s up in the register: %w", code, err)
	}
	var out []string
	for _, r := range organisation.GetRelationships() {
		begun := r.GetObserved() || kind == registerv1.RelationshipKind_IN_SYSTEM || r.GetEffectiveFrom() <= year.Last().Last().String()
		ended := r.GetEffectiveTo() != "" && r.GetEffectiveTo() < year.First().First().String()
		if r.GetKind() == kind && begun && !ended {
			out = append(out, r.GetOtherCode())
		}
	}
	return out, nil
}
