package devfund

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// QuoteSharing tells how a pool would be shared; every figure is in the request, but for a leadership portion that it leaves to the year.
func (s *Service) QuoteSharing(ctx context.Context, req *devfundv1.QuoteSharingRequest) (*devfundv1.QuoteSharingResponse, error) {
	pool := &store.AllocationRow{CommissionerCode: rules.England, Purpose: devfundv1.AllocationPurpose_GENERAL, Year: rules.FirstYear}
	if text := req.GetFinancialYear(); text != "" {
		var err error
		if pool.Year, err = parseYear("financial_year", text); err != nil {
			return nil, err
		}
	} else if slices.ContainsFunc(req.GetMethod().GetSlices(), func(slice *devfundv1.TopSlice) bool { return slice.GetPercent() == "" }) {
		return nil, methodMalformed("method.slices", "state every percentage, or the financial year whose leadership portion is meant")
	}
	// Receivers of a place are those that the register does not know.
	parties := &receiving{level: devfundv1.AllocationLevel_PLACE, stated: req.GetReceivers()}
	var taken *rules.Pool
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		amount := rules.Amount{Pence: money.Pence(req.GetPoolPence()), Origin: requested("pool of the quotation")}
		taken, err = s.poolOf(ctx, q, pool, amount, req.GetMethod())
		return err
	})
	if err != nil {
		return nil, err
	}
	shared, of, err := shareOut(pool, taken, req.GetMethod(), parties)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.QuoteSharingResponse{Outcome: outcomeToProto(req.GetMethod(), shared, of)}
	if !req.GetLeadershipEqually() {
		return out, nil
	}
	return out, leadEqually(out, shared, of)
}

// leadEqually shares the leadership slice equally among the same receivers, and adds both up.
func leadEqually(out *devfundv1.QuoteSharingResponse, shared *rules.Shared, parties *among) error {
	slice := money.Pence(0)
	for i := range shared.Slices {
		if shared.Slices[i].Kind == rules.LeadershipSlice {
			slice = shared.Slices[i].Amount
		}
	}
	pool := &rules.Pool{Amount: rules.Amount{Pence: slice, Origin: requested("leadership portion of the quotation")}}
	leadership, err := rules.Share(pool, rules.Method{Kind: rules.Equal}, parties.receivers)
	if err != nil {
		return err
	}
	out.LeadershipShares = outcomeToProto(&devfundv1.SharingMethod{Kind: devfundv1.SharingKind_EQUAL}, leadership, parties).GetShares()
	out.AllPence = make([]int64, len(shared.Parts))
	for i := range shared.Parts {
		both, err := shared.Parts[i].Amount.Add(leadership.Parts[i].Amount)
		if err != nil {
			return err
		}
		out.AllPence[i] = int64(both)
	}
	return nil
}

// QuoteAverage returns the average per PCN of a sum, and of its leadership portion.
func (s *Service) QuoteAverage(_ context.Context, req *devfundv1.QuoteAverageRequest) (*devfundv1.QuoteAverageResponse, error) {
	r := quoteReader{}
	percent := r.given("leadership_percent", req.GetLeadershipPercent())
	if from, to := req.GetRangeFromPence(), req.GetRangeToPence(); to < from {
		r.refuse(rules.ReasonMethodMalformed, "range_to_pence", "it is not below the lower end")
	}
	if r.wrong != nil {
		return nil, r.wrong
	}
	total, n := rules.Amount{Pence: money.Pence(req.GetTotalPence()), Origin: requested("")}, int64(req.GetPcnCount())
	average, averageWorking, err := rules.Average(total, rules.Given{}, n)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.QuoteAverageResponse{AveragePence: int64(average), AverageWorking: working.ToProto(averageWorking)}
	if percent.Value == nil {
		return out, nil
	}
	leadership, leadershipWorking, err := rules.Average(total, percent, n)
	if err != nil {
		return nil, err
	}
	out.LeadershipPence, out.LeadershipWorking = int64(leadership), working.ToProto(leadershipWorking)
	out.WithinRange = req.GetRangeToPence() > 0 && out.GetLeadershipPence() >= req.GetRangeFromPence() && out.GetLeadershipPence() <= req.GetRangeToPence()
	return out, nil
}

// QuoteEligibility says which lines may be bought.
func (s *Service) QuoteEligibility(_ context.Context, req *devfundv1.QuoteEligibilityRequest) (*devfundv1.QuoteEligibilityResponse, error) {
	r := quoteReader{}
	out := &devfundv1.QuoteEligibilityResponse{Lines: make([]*devfundv1.LineEligibility, len(req.GetLines()))}
	seen := make(map[string]bool, len(req.GetLines()))
	for i, line := range req.GetLines() {
		at := fmt.Sprintf("lines[%d].", i)
		if seen[line.GetLineId()] {
			r.refuse(rules.ReasonPlanLineMalformed, at+"line_id", "the line stands twice")
		}
		seen[line.GetLineId()] = true
		judged, err := rules.Judge(&rules.Proposal{
			Category: line.GetCategory(), FreesTime: line.GetReleaseTime(), DevelopmentActivity: line.GetDevelopmentActivity(),
			ActivityOn: r.date(at+"activity_date", line.GetActivityDate()),
		})
		if refused, ok := fault.As(err); ok {
			r.refuse(refused.Reason, at+"category", refused.Message)
		} else if err != nil {
			return nil, err
		}
		out.Lines[i] = &devfundv1.LineEligibility{LineId: line.GetLineId(), Eligible: judged.Eligible, Reason: judged.Answer, Basis: judged.Basis}
	}
	if r.wrong != nil {
		return nil, r.wrong
	}
	return out, nil
}

// QuotePlan says what the governance checks make of a plan; every fact is in the request.
func (s *Service) QuotePlan(_ context.Context, req *devfundv1.QuotePlanRequest) (*devfundv1.QuotePlanResponse, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	plan, err := checkedPlan(year, req.GetHeader(), req.GetLines(), req.GetPcnCodes())
	if err != nil {
		return nil, err
	}
	for _, pcn := range req.GetAgreedBy() {
		plan.Agreements = append(plan.Agreements, rules.Agreement{PCN: pcn, Director: pcn, On: year.First().First()})
	}
	assumed, err := assumedChecks(req.GetAssumePassed())
	if err != nil {
		return nil, err
	}
	if req.AvailablePence == nil {
		assumed = append(assumed, rules.WithinAllocation)
	} else {
		available := money.Pence(req.GetAvailablePence())
		plan.Available = &available
	}
	checks, err := rules.CheckPlan(plan, assumed...)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.QuotePlanResponse{Checks: checksToProto(checks), Approvable: true}
	for i := range checks {
		if !checks[i].Passed() {
			out.Approvable = false
			out.FailedChecks = append(out.FailedChecks, string(checks[i].ID))
			out.Missing = append(out.Missing, checks[i].Missing()...)
		}
	}
	slices.Sort(out.Missing)
	out.Missing = slices.Compact(out.Missing)
	return out, nil
}

// assumedChecks reads the names of checks.
func assumedChecks(names []string) ([]rules.CheckID, error) {
	out := make([]rules.CheckID, len(names))
	for i, name := range names {
		if out[i] = rules.CheckID(name); !slices.Contains(rules.CheckIDs(), out[i]) {
			return nil, fault.New(fault.Invalid, rules.ReasonMethodMalformed, "%q is not a governance check", money.Clip(name)).
				At(fmt.Sprintf("assume_passed[%d]", i), "a check, such as "+string(rules.UniversalOffer))
		}
	}
	return out, nil
}

// QuoteTranches says what each PCN of a line is paid when.
func (s *Service) QuoteTranches(_ context.Context, req *devfundv1.QuoteTranchesRequest) (*devfundv1.QuoteTranchesResponse, error) {
	r := planReader{at: "request"}
	line := rules.Line{
		Payee: rules.PCNPayee, Amount: money.Pence(req.GetAmountPence()), Beneficiaries: r.beneficiaries(req.GetBeneficiaries()), Instalments: r.instalments(req.GetTranches()),
	}
	if r.wrong != nil {
		return nil, bounded(r.wrong)
	}
	if len(line.Instalments) == 0 {
		return nil, fault.New(fault.Invalid, rules.ReasonTranchesMalformed, "a line is paid in at least one month").At("tranches", "state the months")
	}
	first := line.Instalments[0].Month
	tranches, err := rules.Tranches(first.FinancialYear(), &line, first)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.QuoteTranchesResponse{Tranches: make([]*devfundv1.TrancheDue, len(tranches))}
	for i := range tranches {
		out.Tranches[i] = &devfundv1.TrancheDue{PcnCode: tranches[i].PCN, Month: tranches[i].Month.String(), AmountPence: int64(tranches[i].Amount)}
	}
	return out, nil
}

// quoteReader reads the figures of a quotation and keeps all that are wrong, so that a caller mends them in one go.
type quoteReader struct{ wrong *fault.Fault }

func (r *quoteReader) refuse(reason, field, words string) {
	if r.wrong == nil {
		r.wrong = fault.New(fault.Invalid, reason, "the request has figures that cannot be read")
	}
	r.wrong = r.wrong.At(field, words)
	r.wrong.Violations[len(r.wrong.Violations)-1].Reason = reason
}

// given reads an exact decimal of the request; an empty one is not stated.
func (r *quoteReader) given(field, text string) rules.Given {
	if text == "" {
		return rules.Given{}
	}
	value, err := money.ParseDecimal(text)
	if err != nil {
		r.refuse(reasonDecimalMalformed, field, err.Error())
	}
	return rules.Given{Value: value, Origin: requested("")}
}

func (r *quoteReader) date(field, text string) (day period.Date) {
	if text == "" {
		return day
	}
	day, err := period.ParseDate(text)
	if err != nil {
		r.refuse(reasonDateMalformed, field, err.Error())
	}
	return day
}
