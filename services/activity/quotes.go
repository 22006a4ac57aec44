package activity

import (
	"context"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// fromRequest is where what a quotation states comes from.
var fromRequest = working.Origin{Kind: working.FromRequest}

// QuoteCost tells what attendances would notionally cost. It writes nothing.
func (s *Service) QuoteCost(ctx context.Context, req *activityv1.QuoteCostRequest) (*activityv1.QuoteCostResponse, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	price, err := parseDecimal("price_gbp", req.GetPriceGbp())
	if err != nil {
		return nil, err
	}
	factor, err := parseDecimal("factor", req.GetFactor())
	if err != nil {
		return nil, err
	}
	if code := req.GetCommissionerCode(); code != "" && !caller(ctx).HoldsCommissioner(code) {
		return nil, noCommissioner(code)
	}
	out := &activityv1.QuoteCostResponse{Notes: []string{rules.NotionalNote}}
	if req.GivenPence != nil {
		given := money.Pence(req.GetGivenPence())
		out.Basis, out.NotionalCostPence = basisToProto(rules.Given), req.GivenPence
		explain(out, rules.GivenWorking(given, fromRequest))
		return out, nil
	}
	var k *known
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		k, err = s.known(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	commissioner, year := orEngland(req.GetCommissionerCode()), month.FinancialYear()
	terms := rules.TermsFor(k.prices, k.factors, k.settings, commissioner, year).On(req.GetStandInList(), k.prices, k.factors)
	unit := terms.With(stand(req, terms, price, factor)).Unit(req.GetProviderCode(), rules.Department(req.GetDepartmentType()), req.GetHrgCode())
	if unit.Missing != nil {
		out.Missing = missingToProto(unit.Missing)
		return out, nil
	}
	pence, err := unit.Of(req.GetAttendances())
	if err != nil {
		return nil, err
	}
	amount := int64(pence)
	out.NotionalCostPence, out.Basis, out.FigureIds = &amount, basisToProto(unit.Basis), unit.Figures()
	explain(out, unit.Working(req.GetAttendances(), fromRequest))
	return out, nil
}

// stand returns what a request states in place of figures that are recorded; nil where it states none.
func stand(req *activityv1.QuoteCostRequest, terms *rules.Terms, price, factor *big.Rat) (p *rules.Price, f *rules.Factor) {
	figure := rules.Figure{Source: "the request", CommissionerCode: terms.Commissioner}
	if price != nil {
		p = &rules.Price{Figure: figure, List: terms.List, HRG: req.GetHrgCode(), Amount: price}
	}
	if factor != nil {
		f = &rules.Factor{Figure: figure, Provider: req.GetProviderCode(), Year: terms.Year, Value: factor}
	}
	return p, f
}

// explain shows how a cost came about.
func explain(out *activityv1.QuoteCostResponse, w *working.Working) {
	out.Working, out.Sentences = working.ToProto(w), working.Sentences(w)
}
