package activity

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// GetComparison compares the PCNs of a month.
func (s *Service) GetComparison(ctx context.Context, req *activityv1.GetComparisonRequest) (*activityv1.Comparison, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	var out *activityv1.Comparison
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		out, err = compare(ctx, q, req.GetCommissionerCode(), month)
		return err
	})
	return out, err
}

func compare(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (*activityv1.Comparison, error) {
	by := caller(ctx)
	full := seesAll(by, commissioner)
	newest := store.NewestPublished
	if full {
		newest = store.NewestReport
	}
	row, err := newest(ctx, q, commissioner, month)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	var own []string
	for code := range networksOf(&row) {
		if speaksFor(by, code) {
			own = append(own, code)
		}
	}
	if err != nil || (!by.HoldsCommissioner(commissioner) && len(own) == 0) {
		return nil, fault.New(fault.NotFound, reasonReportNotFound, "there is no report of %q for %s that you may see", money.Clip(commissioner), month)
	}
	kept, err := keptReport(ctx, q, &row)
	if err != nil {
		return nil, err
	}
	out := &activityv1.Comparison{ReportId: row.ID, Month: month.String(), View: activityv1.ReportView_FULL_VIEW, Notes: row.Body.GetNotes()}
	var v *view
	if full {
		v, err = fullView(ctx, q, kept, row.Body.GetLastYearReportIds(), activityv1.ReportLevel_PCN_LEVEL)
	} else {
		settings, loadErr := store.Settings(ctx, q)
		if loadErr != nil {
			return nil, loadErr
		}
		out.View, out.Policy = activityv1.ReportView_SHARED_VIEW, policyOf(settingsOf(settings), commissioner)
		if v, err = sharedView(ctx, q, kept, row.Body.GetLastYearReportIds(), out.GetPolicy().GetHiddenUpTo(), own...); err == nil {
			out.Notes = sharedNotes(out.GetNotes(), v.shared)
		}
	}
	if err != nil {
		return nil, err
	}
	out.Pcns, out.Totals, out.RatePer_1000 = v.pcns(), v.totals(), v.rate()
	slices.SortFunc(out.GetPcns(), byRate)
	return out, nil
}

// byRate puts the highest rate first, and those without one last.
func byRate(a, b *activityv1.PcnTotals) int {
	return cmp.Or(rateOf(b).Cmp(rateOf(a)), cmp.Compare(a.GetPcnCode(), b.GetPcnCode()))
}

func rateOf(p *activityv1.PcnTotals) *big.Rat {
	rate, err := money.ParseDecimal(p.GetRatePer_1000())
	if err != nil {
		return big.NewRat(-1, 1)
	}
	return rate
}
