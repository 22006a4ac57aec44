package arrs

import (
	"context"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// GetForecast forecasts what a PCN will use of its sums.
func (s *Service) GetForecast(ctx context.Context, req *arrsv1.GetForecastRequest) (*arrsv1.Forecast, error) {
	year, asOf, err := forecastPeriod(req.GetFinancialYear(), req.GetAsOfMonth())
	if err != nil {
		return nil, err
	}
	var out *arrsv1.Forecast
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := fixedYear(ctx, q, req.GetPcnCode(), year)
		if err != nil {
			return err
		}
		forecasts, d, err := s.forecasts(ctx, q, year, []store.YearRow{row}, asOf)
		if err != nil {
			return err
		}
		out = forecastToProto(&forecasts[0], &row, d)
		out.Assumptions = assumptionsToProto(forecasts[0].Assumptions)
		for _, missing := range forecasts[0].Missing {
			out.Missing = append(out.Missing, &typev1.Refusal{
				Reason: missing.Reason, Missing: missing.Missing, Remedy: missing.Remedy, PcnCodes: []string{row.PCNCode},
			})
		}
		return nil
	})
}

// GetCommissionerForecast forecasts what the PCNs of a commissioner will use of their sums.
func (s *Service) GetCommissionerForecast(ctx context.Context, req *arrsv1.GetCommissionerForecastRequest) (*arrsv1.CommissionerForecast, error) {
	year, asOf, err := forecastPeriod(req.GetFinancialYear(), req.GetAsOfMonth())
	if err != nil {
		return nil, err
	}
	var out *arrsv1.CommissionerForecast
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		years, err := store.Years(ctx, q, store.Page{Scope: store.Scope{Commissioners: []string{req.GetCommissionerCode()}}}, year)
		if err != nil {
			return err
		}
		if len(years) == 0 {
			return fault.New(fault.Refused, reasonYearNotFixed, "%s has fixed no year %s", req.GetCommissionerCode(), year)
		}
		forecasts, d, err := s.forecasts(ctx, q, year, years, asOf)
		if err != nil {
			return err
		}
		out, err = commissionerForecast(years, forecasts)
		if err != nil {
			return err
		}
		for i := range forecasts {
			out.Pcns = append(out.Pcns, forecastToProto(&forecasts[i], &years[i], d))
		}
		return nil
	})
}

// GetNationalForecast forecasts what will be left in England. Commissioner after commissioner is worked out, so that memory holds the
// claims of one.
func (s *Service) GetNationalForecast(ctx context.Context, req *arrsv1.GetNationalForecastRequest) (*arrsv1.NationalForecast, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	out := &arrsv1.NationalForecast{FinancialYear: year.String()}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		years, err := store.Years(ctx, q, store.Page{}, year)
		if err != nil {
			return err
		}
		slices.SortStableFunc(years, func(a, b store.YearRow) int { return strings.Compare(a.CommissionerCode, b.CommissionerCode) })
		var all []rules.Forecast
		for start := 0; start < len(years); {
			end := start
			for end < len(years) && years[end].CommissionerCode == years[start].CommissionerCode {
				end++
			}
			forecasts, _, err := s.forecasts(ctx, q, year, years[start:end], period.Month{})
			if err != nil {
				return err
			}
			of, err := commissionerForecast(years[start:end], forecasts)
			if err != nil {
				return err
			}
			out.Commissioners = append(out.Commissioners, of)
			all = append(all, forecasts...)
			start = end
		}
		if len(all) == 0 {
			return nil
		}
		total, err := rules.ForecastAll(all)
		if err != nil {
			return err
		}
		out.Totals, out.Assumptions = totalsToProto(total.Pots), assumptionsToProto(total.Assumptions)
		return nil
	})
}

func forecastPeriod(yearText, asOfText string) (year period.FinancialYear, asOf period.Month, err error) {
	if year, err = parseYear("financial_year", yearText); err != nil || asOfText == "" {
		return year, asOf, err
	}
	asOf, err = period.ParseMonth(asOfText)
	if err != nil {
		return year, asOf, fault.New(fault.Invalid, rules.ReasonForecastPeriodInvalid, "as_of_month: %v", err).At("as_of_month", "a month, YYYY-MM")
	}
	return year, asOf, nil
}

func commissionerForecast(years []store.YearRow, forecasts []rules.Forecast) (*arrsv1.CommissionerForecast, error) {
	total, err := rules.ForecastAll(forecasts)
	if err != nil {
		return nil, err
	}
	return &arrsv1.CommissionerForecast{
		CommissionerCode: years[0].CommissionerCode, CommissionerName: years[0].CommissionerName, FinancialYear: total.Year.String(),
		Totals: totalsToProto(total.Pots), Assumptions: assumptionsToProto(total.Assumptions), MissingCount: int32(total.Missing), //nolint:gosec // posts of one commissioner
	}, nil
}

func totalsToProto(pots []rules.ForecastTotal) []*arrsv1.ForecastTotal {
	out := make([]*arrsv1.ForecastTotal, len(pots))
	for i, pot := range pots {
		out[i] = &arrsv1.ForecastTotal{
			Pot: potToProto(pot.Pot), Pcns: int32(pot.PCNs), UnknownPcns: int32(pot.Unknown), UsablePence: int64(pot.Usable), ClaimedPence: int64(pot.Paid), //nolint:gosec // PCNs
			SpendPence: int64(pot.Spend), WantedPence: int64(pot.Wanted), UnspentPence: int64(pot.Unspent),
		}
	}
	return out
}

// forecastToProto writes a forecast without what it takes for granted.
func forecastToProto(f *rules.Forecast, y *store.YearRow, d *yearData) *arrsv1.Forecast {
	out := &arrsv1.Forecast{
		PcnCode: f.PCN, CommissionerCode: y.CommissionerCode, FinancialYear: f.Year.String(), AsOfMonth: f.AsOf.String(),
		PlanId: d.plans[f.PCN].ID, MissingCount: int32(len(f.Missing)), //nolint:gosec // posts of one PCN
	}
	for i := range f.Pots {
		pot := &f.Pots[i]
		row := &arrsv1.PotForecast{
			Pot: potToProto(pot.Pot), UsablePence: int64(pot.Usable), ClaimedPence: int64(pot.Paid), CommittedPence: int64(pot.Committed),
			ExpectedPence: int64(pot.Expected), SpendPence: int64(pot.Spend), WantedPence: int64(pot.Wanted), Refusal: missingToProto(pot.Refused),
		}
		if pot.Refused == nil {
			row.UnspentPence = int64(max(pot.Usable-pot.Spend, 0))
		}
		out.Pots = append(out.Pots, row)
	}
	return out
}

// assumptionTexts says in words what a forecast takes for granted.
var assumptionTexts = map[rules.Assumption]string{
	rules.AssumePayAsLastClaimed:     "Staff in post cost each month what their last claimed month came to.",
	rules.AssumeLeaversLeave:         "Who has an end date is paid to that day, and replaced only where a plan says so.",
	rules.AssumePostsAtMaximum:       "Vacant and planned posts cost the maximum now known, from the first day of their month.",
	rules.AssumeFirmPlanOnly:         "Only firm plan lines count, as far as their WTE exceeds staff in post.",
	rules.AssumeNoLaterClaims:        "Earlier months bring no further claims but for staff in post.",
	rules.AssumeLimitsNotBinding:     "Number limits and the baseline do not bind posts to come.",
	rules.AssumeMissingPricesNothing: "Posts without a known price count as nothing, and are listed.",
}

func assumptionsToProto(assumptions []rules.Assumption) []*arrsv1.ForecastAssumption {
	out := make([]*arrsv1.ForecastAssumption, len(assumptions))
	for i, assumption := range assumptions {
		out[i] = &arrsv1.ForecastAssumption{Code: string(assumption), Text: assumptionTexts[assumption]}
	}
	return out
}
