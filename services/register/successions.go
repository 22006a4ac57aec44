package register

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// RecordSuccession records that what a commissioner owes passes to another on a day.
func (s *Service) RecordSuccession(ctx context.Context, req *registerv1.RecordSuccessionRequest) (*registerv1.Load, error) {
	day, err := dateField("effective_date", req.GetEffectiveDate())
	if err != nil {
		return nil, err
	}
	passes := &rules.Succession{Predecessor: strings.ToUpper(req.GetPredecessorCode()), Successor: strings.ToUpper(req.GetSuccessorCode()), Day: day}
	if passes.Predecessor == passes.Successor {
		return nil, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "%s cannot take over from itself", passes.Successor).
			At("successor_code", "another commissioner")
	}
	for _, location := range req.GetLocationCodes() {
		passes.Locations = append(passes.Locations, strings.ToUpper(location))
	}
	slices.Sort(passes.Locations)
	if places := slices.Compact(slices.Clone(passes.Locations)); len(places) < len(passes.Locations) {
		return nil, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "a place stands twice among %s", strings.Join(passes.Locations, ", ")).
			At("location_codes", "each place once")
	}
	for _, code := range append([]string{passes.Successor}, passes.Locations...) {
		if err := s.checkSighted(ctx, code, store.KindLocation, store.KindSystem); err != nil {
			return nil, err
		}
	}
	what, when := "all it owes", "on "+day.String()
	if len(passes.Locations) > 0 {
		what = "what it owes in " + strings.Join(passes.Locations, ", ")
	}
	spoken := day
	if day.IsZero() {
		when, spoken = "on no day", period.DateOf(s.db.Now())
	}
	return s.record(ctx, req, statement{
		organisation: passes.Predecessor, kinds: []string{store.KindLocation, store.KindSystem}, day: spoken, row: &files.Row{Succession: passes},
		summary: fmt.Sprintf("recorded that %s passes %s to %s %s", passes.Predecessor, what, passes.Successor, when),
		check:   func(ctx context.Context, tx *change.Tx) error { return oneHeir(ctx, tx, passes) },
	})
}

// oneHeir refuses to have all that a commissioner owes pass to another than it does already.
func oneHeir(ctx context.Context, tx *change.Tx, passes *rules.Succession) error {
	if len(passes.Locations) > 0 || passes.Day.IsZero() {
		return nil
	}
	if err := tx.Lock(ctx, "succession of "+passes.Predecessor); err != nil {
		return err
	}
	position, _, err := store.KnownAt(ctx, tx, everKnown)
	if err != nil {
		return err
	}
	known, _, err := successionsOf(ctx, tx, passes.Predecessor, position)
	if err != nil {
		return err
	}
	for _, found := range known {
		if len(found.Locations) == 0 && found.Successor != passes.Successor {
			return fault.New(fault.Refused, rules.ReasonSuccessionDiffers,
				"all that %s owes passes to %s on %s: to record another, take that back first, by a record of it without a day", passes.Predecessor, found.Successor, found.Day).
				With("successor_code", found.Successor)
		}
	}
	return nil
}

// successionsOf returns who takes over from a commissioner by what was known at a position, and what says so.
func successionsOf(ctx context.Context, q sqldb.Querier, code string, position int64) ([]rules.Succession, store.SuccessionFacts, error) {
	loads, err := store.LoadsUpTo(ctx, q, position)
	if err != nil {
		return nil, store.SuccessionFacts{}, err
	}
	facts, err := store.ReadSuccession(ctx, q, loads, code)
	if err != nil {
		return nil, facts, err
	}
	return rules.Successions(code, facts.Recorded, facts.Places, facts.Commissioners), facts, nil
}

// ListSuccessions returns who takes over what a commissioner owes.
func (s *Service) ListSuccessions(ctx context.Context, req *registerv1.ListSuccessionsRequest) (*registerv1.ListSuccessionsResponse, error) {
	code := req.GetCommissionerCode()
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	out := new(registerv1.ListSuccessionsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		known, facts, err := successionsOf(ctx, q, code, position)
		if err != nil {
			return err
		}
		for _, found := range known {
			out.Successions = append(out.Successions, &registerv1.Succession{
				SuccessorCode: found.Successor, SuccessorName: found.SuccessorName, EffectiveDate: found.Day.String(),
				LocationCodes: found.Locations, LoadId: facts.Loads[found.Load].ID,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("successors of %s: %w", code, err)
	}
	return out, nil
}
