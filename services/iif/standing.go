package iif

import (
	"cmp"
	"context"
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// GetStanding tells where a PCN stands on cumulative counts, how far it is from its thresholds, and its place within the commissioner.
// Of the others it tells the best and the middle achievement only.
func (s *Service) GetStanding(ctx context.Context, req *iifv1.GetStandingRequest) (*iifv1.Standing, error) {
	v, err := s.viewOf(ctx, req.GetPcnCode(), req.GetFinancialYear(), req.GetAchievedOn())
	if err != nil {
		return nil, err
	}
	all, err := s.standings(ctx, v)
	if err != nil {
		return nil, err
	}
	mine, err := standingOf(all, req.GetPcnCode())
	if err != nil {
		return nil, err
	}
	distances, err := distancesOf(mine)
	if err != nil {
		return nil, err
	}
	return &iifv1.Standing{Result: resultToProto(mine, true), Distances: distances, Ranks: ranksOf(all, mine)}, nil
}

// ListStandings ranks the PCNs of a commissioner by an indicator, or by pounds due.
func (s *Service) ListStandings(ctx context.Context, req *iifv1.ListStandingsRequest) (*iifv1.ListStandingsResponse, error) {
	v, err := s.viewAt(req.GetFinancialYear(), req.GetAchievedOn())
	if err != nil {
		return nil, err
	}
	v.fetch = func(ctx context.Context) ([]basis, error) {
		return s.bases(ctx, req.GetCommissionerCode(), v.year, v.on)
	}
	if v.bases, err = v.fetch(ctx); err != nil {
		return nil, err
	}
	all, err := s.standings(ctx, v)
	if err != nil {
		return nil, err
	}
	out := &iifv1.ListStandingsResponse{AchievedOn: v.on.String()}
	if len(all) == 0 {
		return out, nil
	}
	ranking := byPounds
	if code := req.GetIndicatorCode(); code != "" {
		it, found := all[0].terms.Find(code)
		if !found {
			return nil, unknownIndicator("indicator_code", code, all[0].terms)
		}
		ranking = byIndicator(it)
	}
	var due money.Pence
	out.Rows, due, err = ranking(all)
	out.DuePence = int64(due)
	return out, err
}

// QuoteCounts tells what other counts would change of a PCN's year.
func (s *Service) QuoteCounts(ctx context.Context, req *iifv1.QuoteCountsRequest) (*iifv1.QuoteCountsResponse, error) {
	v, err := s.viewOf(ctx, req.GetPcnCode(), req.GetFinancialYear(), req.GetAchievedOn())
	if err != nil {
		return nil, err
	}
	all, err := s.standings(ctx, v, req.GetPcnCode())
	if err != nil {
		return nil, err
	}
	mine, err := standingOf(all, req.GetPcnCode())
	if err != nil {
		return nil, err
	}
	return effectsOf(mine, req.GetInstead())
}

// effectsOf tells what other counts would change of a year that was worked out.
func effectsOf(mine *worked, other []*iifv1.IndicatorCounts) (*iifv1.QuoteCountsResponse, error) {
	instead := make([]rules.IndicatorCounts, len(other))
	for i, c := range other {
		if _, found := mine.terms.Find(c.GetIndicatorCode()); !found {
			return nil, unknownIndicator("instead", c.GetIndicatorCode(), mine.terms)
		}
		instead[i] = rules.IndicatorCounts{Code: c.GetIndicatorCode(), Counts: quoteCounts(c)}
	}
	effects, _, after, err := rules.WhatIf(mine.terms, &mine.network, mine.counts, instead)
	if err != nil {
		return nil, err
	}
	standing := refusals(mine.result)
	kept := maps.Clone(standing)
	for _, c := range instead {
		delete(kept, c.Code)
	}
	restore(after, kept)
	out := &iifv1.QuoteCountsResponse{Effects: make([]*iifv1.CountsEffect, len(effects)), Before: resultToProto(mine, true)}
	for i := range effects {
		e := &effects[i]
		if why := standing[e.Code]; why != nil && e.Refused != nil && e.Refused.Reason == rules.ReasonCountMissing {
			e.Refused = why
		}
		out.Effects[i] = &iifv1.CountsEffect{
			IndicatorCode: e.Code, PointsBefore: decimal(e.PointsBefore), PointsAfter: decimal(e.PointsNow),
			BeforePence: int64(e.Before), AfterPence: int64(e.After), Refusal: missingToProto(e.Refused),
		}
	}
	then := *mine
	then.result = after
	out.After = resultToProto(&then, true)
	return out, nil
}

// restore says of a year again why counts are missing of it: those that contradict each other were left out of it.
func restore(y *rules.Year, standing map[string]*fault.Fault) {
	for i := range y.Refused {
		refused := &y.Refused[i]
		why := standing[refused.Code]
		r, found := y.Find(refused.Code)
		if !found || why == nil || refused.Why.Reason != rules.ReasonCountMissing {
			continue
		}
		refused.Why, r.Due.Refused = why, why
		if r.Measured.Refused != nil {
			r.Measured.Refused = why
		}
	}
}

// view is which PCNs' years are looked at, and by the counts of which day.
type view struct {
	year period.FinancialYear
	on   period.Date
	// last asks for the last day with counts in place of on.
	last bool
	// bases are what those years are worked out from, and fetch gets them anew once on is another day.
	bases []basis
	fetch func(context.Context) ([]basis, error)
}

func (v *view) among(bases []basis, fetch func(context.Context) ([]basis, error)) *view {
	v.bases, v.fetch = bases, fetch
	return v
}

// viewAt reads the year and the day of a view; no day is 31 March, or the last one with counts in a year that is not over.
func (s *Service) viewAt(yearText, dayText string) (*view, error) {
	year, err := parseYear("financial_year", yearText)
	if err != nil {
		return nil, err
	}
	first, last := year.First().First(), year.Last().Last()
	if dayText == "" {
		switch today := period.DateOf(s.db.Now()); {
		case today.Before(first):
			return nil, noCounts(year)
		case today.After(last):
			return &view{year: year, on: last}, nil
		default:
			return &view{year: year, on: today, last: true}, nil
		}
	}
	on, err := parseDate("achieved_on", dayText)
	if err == nil && (on.Before(first) || on.After(last)) {
		err = fault.New(fault.Invalid, rules.ReasonDayInvalid, "%s is no day of %s", on, year).At("achieved_on", "a day from "+first.String()+" to "+last.String())
	}
	return &view{year: year, on: on}, err
}

func noCounts(year period.FinancialYear) error {
	return fault.New(fault.Refused, reasonCountsNotLoaded, "there are no counts of %s yet: import the extract", year).With("financial_year", year)
}

func unknownIndicator(field, code string, t *rules.Terms) error {
	return fault.New(fault.Invalid, reasonIndicatorUnknown, "%s has no indicator %q", t.Year, money.Clip(code)).At(field, "an indicator of "+t.Year.String())
}

// viewOf finds among which PCNs the caller sees one. Who holds commissioners sees it among those that they owe; its own people, and who
// holds England, among those of the payer of the day.
func (s *Service) viewOf(ctx context.Context, pcn, yearText, dayText string) (*view, error) {
	v, err := s.viewAt(yearText, dayText)
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	for _, commissioner := range by.CommissionerScope() {
		found, err := s.bases(ctx, commissioner, v.year, v.on)
		if refused, ok := rpc.FaultOf(err); ok && refused.Reason == reasonCommissionerNotInForce {
			continue
		}
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(found, func(b basis) bool { return b.pcn == pcn }) {
			return v.among(found, func(ctx context.Context) ([]basis, error) { return s.bases(ctx, commissioner, v.year, v.on) }), nil
		}
	}
	if !by.HoldsEngland() && !by.HoldsPCN(pcn) {
		return nil, noPCN(pcn)
	}
	beside := func(ctx context.Context) ([]basis, error) { return s.basesBeside(ctx, pcn, v.year, v.on) }
	found, err := beside(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noPCN(pcn)
	}
	return v.among(found, beside), nil
}

// standings works out the years of a view, of all PCNs or of some. In a year that is not over it is by the last counts of any PCN of the
// commissioner, so that all are of one day.
func (s *Service) standings(ctx context.Context, v *view, pcns ...string) (all []worked, err error) {
	if v.last {
		day := v.on
		if v.on, err = s.lastCounts(ctx, v); err != nil {
			return nil, err
		}
		if v.on != day {
			if v.bases, err = v.fetch(ctx); err != nil {
				return nil, err
			}
		}
	}
	bases := v.bases
	if len(pcns) > 0 {
		bases = slices.DeleteFunc(slices.Clone(bases), func(b basis) bool { return !slices.Contains(pcns, b.pcn) })
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		all, err = s.work(ctx, q, bases)
		return err
	})
	return all, err
}

// lastCounts returns the last day of which there are counts of the PCNs of a view or their practices; it refuses where there is none.
func (s *Service) lastCounts(ctx context.Context, v *view) (on period.Date, err error) {
	if len(v.bases) == 0 {
		return on, noCounts(v.year)
	}
	var organisations, bodies []string
	for i := range v.bases {
		organisations = append(append(organisations, v.bases[i].pcn), v.bases[i].members...)
		bodies = append(bodies, v.bases[i].commissioner, v.bases[i].payer)
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		on, err = s.lastDay(ctx, q, inOrder(bodies), v.year, organisations)
		return err
	})
	if err == nil && on.IsZero() {
		err = noCounts(v.year)
	}
	return on, err
}

func standingOf(all []worked, pcn string) (*worked, error) {
	i := slices.IndexFunc(all, func(w worked) bool { return w.pcn == pcn })
	if i < 0 {
		return nil, noPCN(pcn)
	}
	return &all[i], nil
}

// refusals are what is missing for amounts of a year, by indicator.
func refusals(y *rules.Year) map[string]*fault.Fault {
	out := make(map[string]*fault.Fault, len(y.Refused))
	for _, refused := range y.Refused {
		out[refused.Code] = refused.Why
	}
	return out
}

// ranksOf returns the place of a PCN among all of its commissioner, indicator by indicator that pays and has an achievement.
func ranksOf(all []worked, mine *worked) []*iifv1.Rank {
	var out []*iifv1.Rank
	for i := range mine.terms.Indicators {
		it := &mine.terms.Indicators[i]
		if it.Status != rules.Active || it.Kind == rules.Binary || it.Kind == rules.Undefined {
			continue
		}
		rank := &iifv1.Rank{IndicatorCode: it.Code}
		out = append(out, rank)
		ranked := rules.Rank(it.Direction, achievements(all, it.Code))
		if len(ranked) == 0 {
			continue
		}
		rank.Among, rank.Best, rank.Median = int32(len(ranked)), decimal(ranked[0].Value), decimal(ranked[(len(ranked)-1)/2].Value) //nolint:gosec // PCNs
		if at := slices.IndexFunc(ranked, func(r rules.Ranked) bool { return r.PCN == mine.pcn }); at >= 0 {
			rank.Place = int32(ranked[at].Place) //nolint:gosec // PCNs
		}
	}
	return out
}

// achievements are the achievements of an indicator by PCN; nil where there is none.
func achievements(all []worked, code string) map[string]*big.Rat {
	out := make(map[string]*big.Rat, len(all))
	for i := range all {
		if r, found := all[i].result.Find(code); found {
			out[all[i].pcn] = r.Measure.Value
		}
	}
	return out
}

// ranking puts PCNs in order, the best first and those without an achievement last, and adds up what is due to them.
type ranking func(all []worked) ([]*iifv1.StandingRow, money.Pence, error)

// byIndicator ranks by what was achieved of an indicator. A question of yes or no has no achievement: its points are ranked.
func byIndicator(it *rules.IndicatorTerms) ranking {
	return func(all []worked) ([]*iifv1.StandingRow, money.Pence, error) {
		values, direction := achievements(all, it.Code), it.Direction
		rows := make([]*iifv1.StandingRow, len(all))
		var total money.Pence
		var err error
		for i := range all {
			r, _ := all[i].result.Find(it.Code)
			rows[i] = &iifv1.StandingRow{PcnCode: all[i].pcn, PcnName: all[i].pcnName, Achievement: decimal(r.Measure.Value), Points: decimal(r.Due.Points)}
			if it.Kind == rules.Binary {
				values[all[i].pcn], direction = r.Due.Points, rules.HigherBetter
			}
			if slices.Contains(all[i].result.Missing, it.Code) {
				rows[i].Missing = []string{it.Code}
			}
			if !r.Due.Known() {
				continue
			}
			due := int64(r.Due.Amount)
			rows[i].DuePence = &due
			if total, err = total.Add(r.Due.Amount); err != nil {
				return nil, 0, err
			}
		}
		return placed(rows, rules.Rank(direction, values)), total, nil
	}
}

// byPounds ranks by what is due as far as it is known. A PCN without any counts has nothing to be ranked by.
func byPounds(all []worked) ([]*iifv1.StandingRow, money.Pence, error) {
	values := make(map[string]*big.Rat, len(all))
	rows := make([]*iifv1.StandingRow, len(all))
	var total money.Pence
	for i := range all {
		y := all[i].result
		rows[i] = &iifv1.StandingRow{PcnCode: all[i].pcn, PcnName: all[i].pcnName, Missing: y.Missing}
		if !slices.ContainsFunc(y.Results, earns) {
			continue
		}
		due := int64(y.Due)
		rows[i].Points, rows[i].DuePence, values[all[i].pcn] = decimal(y.Points), &due, y.Due.GBP()
		var err error
		if total, err = total.Add(y.Due); err != nil {
			return nil, 0, err
		}
	}
	return placed(rows, rules.Rank(rules.HigherBetter, values)), total, nil
}

// earns tells whether an indicator that pays was counted, or is given, and comes to an amount.
func earns(r rules.Result) bool {
	return r.Due.Known() && (r.Status == rules.Overridden || (r.Status == rules.Active && r.Counted))
}

// placed puts rows in the order of their places, and those without one last, by name.
func placed(rows []*iifv1.StandingRow, ranked []rules.Ranked) []*iifv1.StandingRow {
	places := make(map[string]int, len(ranked))
	for _, r := range ranked {
		places[r.PCN] = r.Place
	}
	for _, row := range rows {
		row.Place = int32(places[row.GetPcnCode()]) //nolint:gosec // PCNs
	}
	order := func(row *iifv1.StandingRow) int {
		if row.GetPlace() == 0 {
			return len(rows) + 1
		}
		return int(row.GetPlace())
	}
	slices.SortFunc(rows, func(a, b *iifv1.StandingRow) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.GetPcnName(), b.GetPcnName()), cmp.Compare(a.GetPcnCode(), b.GetPcnCode()))
	})
	return rows
}
