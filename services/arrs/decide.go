package arrs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// QueryClaim asks a PCN about its claim. What the claim set aside stays set aside.
func (s *Service) QueryClaim(ctx context.Context, req *arrsv1.QueryClaimRequest) (*arrsv1.Claim, error) {
	return s.changeClaim(ctx, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error) {
		row, err := s.claimFor(ctx, tx, req.GetClaimId(), req.GetEtag(), func(c *store.ClaimRow) bool {
			return prepares(tx.By, c.CommissionerCode) || approves(tx.By, c.CommissionerCode)
		})
		if err != nil {
			return nil, err
		}
		row.State, row.Query = store.Queried, req.GetQuery()
		if err := saved(store.ChangeClaim(ctx, tx.Tx, &row)); err != nil {
			return nil, err
		}
		return claimAfter(ctx, tx, row.ID, tell(ctx, tx, &row, fmt.Sprintf("asked %s about its claim for %s", row.PCNCode, row.Month)))
	})
}

// DecideClaim approves a claim in whole or in part, or rejects it. It assesses nothing anew: what is approved is what was seen.
func (s *Service) DecideClaim(ctx context.Context, req *arrsv1.DecideClaimRequest) (*arrsv1.Claim, error) {
	if !req.GetApprove() && len(req.GetLines()) > 0 {
		return nil, fault.New(fault.Invalid, reasonClaimInvalid, "lines are named where a claim is approved in part").At("lines", "approve is false")
	}
	return s.changeClaim(ctx, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error) {
		row, err := s.claimFor(ctx, tx, req.GetClaimId(), req.GetEtag(), func(c *store.ClaimRow) bool { return approves(tx.By, c.CommissionerCode) })
		if err != nil {
			return nil, err
		}
		if tx.By.Subject == row.SubmittedBy || tx.By.Subject == row.AmendedBy {
			return nil, fault.New(fault.Denied, reasonDeciderIsSubmitter, "another person decides what you put forward")
		}
		if req.GetApprove() && row.State == store.Queried {
			return nil, stateDiffers(&row)
		}
		if today := period.DateOf(s.db.Now()); req.GetApprove() && row.Month.First().After(today) {
			return nil, fault.New(fault.Refused, reasonMonthNotStarted, "%s has not started, and nobody has worked in it: today is %s", row.Month, today).
				With("month", row.Month).With("today", today)
		}
		lines, err := store.Lines(ctx, tx, row.ID, row.Revision)
		if err != nil {
			return nil, err
		}
		if err := current(ctx, tx, &row, lines, req); err != nil {
			return nil, err
		}
		approved, err := s.approve(ctx, tx, &row, lines, req)
		if err != nil {
			return nil, err
		}
		return claimAfter(ctx, tx, row.ID, s.decide(ctx, tx, &row, approved, req.GetReason()))
	})
}

// current refuses to approve a claim on which a decision bears that was recorded after the claim was assessed, or of an engagement that has
// ended before its month by now: what was seen is not what it would come to.
func current(ctx context.Context, q sqldb.Querier, row *store.ClaimRow, lines []store.LineRow, req *arrsv1.DecideClaimRequest) error {
	if !req.GetApprove() {
		return nil
	}
	decisions, err := store.DecisionsOn(row.CommissionerCode, row.PCNCode).All(ctx, q)
	if err != nil {
		return err
	}
	if row.Kind != store.Uplift {
		if err := hasEnded(ctx, q, row.PCNCode, lines); err != nil {
			return err
		}
	}
	for i := range decisions {
		d := &decisions[i]
		bears := slices.ContainsFunc(lines, func(l store.LineRow) bool {
			return d.Covers(l.Month) && (d.Role == "" || d.Role == l.Role) && (d.EngagementID == "" || d.EngagementID == l.EngagementID)
		})
		if bears && d.DecidedAt > row.AssessedAt {
			kind := arrsv1.DecisionKind(d.Kind) //nolint:gosec // enum
			return fault.New(fault.Refused, reasonFactsChanged,
				"%s was recorded on %s, after the claim was assessed: have it amended, which assesses it anew", kind, period.DateOf(sqldb.FromMicros(d.DecidedAt))).
				With("decision_id", d.ID).With("decision", kind)
		}
	}
	return nil
}

// hasEnded refuses to approve lines of engagements that have ended before their month by now, as another claim has said since.
func hasEnded(ctx context.Context, q sqldb.Querier, pcn string, lines []store.LineRow) error {
	months := make(map[string]store.LineRow)
	for _, line := range lines {
		if line.Payable > 0 {
			months[line.EngagementID] = line
		}
	}
	engagements, err := store.EngagementsNamed(pcn, slices.Sorted(maps.Keys(months))).All(ctx, q)
	if err != nil {
		return err
	}
	for i := range engagements {
		line, end := months[engagements[i].ID], engagements[i].End
		if !end.IsZero() && end.Before(line.Month.First()) {
			return fault.New(fault.Refused, reasonFactsChanged, "line %d: the engagement ended on %s, as is known since the claim was assessed: have it amended, which assesses it anew",
				line.Number, end).With("line_id", line.ID).With("ended_on", end)
		}
	}
	return nil
}

// approve writes what is approved of each line and returns what that comes to by pot.
func (s *Service) approve(
	ctx context.Context, tx *change.Tx, row *store.ClaimRow, lines []store.LineRow, req *arrsv1.DecideClaimRequest,
) (map[rules.Pot]money.Pence, error) {
	if !req.GetApprove() {
		return nil, store.RetireLines(ctx, tx.Tx, row.ID)
	}
	lowered, err := loweredLines(lines, req.GetLines())
	if err != nil {
		return nil, err
	}
	if row.Kind == store.Correction {
		if err := s.replace(ctx, tx, row, lines); err != nil {
			return nil, err
		}
	}
	if err := store.ApproveLines(ctx, tx.Tx, row.ID); err != nil {
		return nil, err
	}
	out := make(map[rules.Pot]money.Pence)
	for i := range lines {
		amount := lines[i].Payable
		if lower := lowered[lines[i].ID]; lower != nil {
			amount = money.Pence(lower.GetApprovedPence())
			if err := saved(store.LowerLine(ctx, tx.Tx, lines[i].ID, amount, lower.GetReason())); err != nil {
				return nil, err
			}
		}
		if amount > 0 {
			out[lines[i].Pot] += amount
		}
	}
	// A line of which nothing is approved may be claimed again, when the figure or the fact that it waits for is known.
	return out, store.RetireUnpaid(ctx, tx.Tx, row.ID)
}

// loweredLines reads the lines of which less is approved, and names those that are not of the claim or not payable so far. No
// description repeats an amount.
func loweredLines(lines []store.LineRow, in []*arrsv1.LineDecision) (map[string]*arrsv1.LineDecision, error) {
	byID := make(map[string]*store.LineRow, len(lines))
	for i := range lines {
		byID[lines[i].ID] = &lines[i]
	}
	refused := fault.New(fault.Invalid, reasonClaimInvalid, "the lines cannot be decided so")
	bad := func(i int, field, reason, why string) {
		refused.Violations = append(refused.Violations, fault.Violation{Field: fmt.Sprintf("lines[%d].%s", i, field), Reason: reason, Description: why})
	}
	out := make(map[string]*arrsv1.LineDecision, len(in))
	for i, lower := range in {
		line, approved := byID[lower.GetLineId()], money.Pence(lower.GetApprovedPence())
		switch {
		case line == nil:
			bad(i, "line_id", reasonLineNotFound, "is not a line of the claim as it stands")
		case out[lower.GetLineId()] != nil:
			bad(i, "line_id", rules.ReasonLineTwice, "stands twice")
		case approved > line.Payable:
			bad(i, "approved_pence", reasonApprovedAbovePayable, "is more than is payable of the line")
		case approved < min(line.Payable, line.Replaced):
			bad(i, "approved_pence", reasonApprovedBelowReplaced, "takes off more than the correction asks for: put another correction forward")
		}
		out[lower.GetLineId()] = lower
	}
	if len(refused.Violations) > 0 {
		return nil, refused
	}
	return out, nil
}

// decide ends the waiting of a claim: what was set aside goes back to the pots, and what is approved is taken from them, less what a
// correction replaces.
func (s *Service) decide(ctx context.Context, tx *change.Tx, row *store.ClaimRow, approved map[rules.Pot]money.Pence, reason string) error {
	rise := make(map[rules.Pot]money.Pence)
	if approved != nil {
		replaced := replacedOf(row.Totals)
		for _, pot := range potsOf(approved, replaced) {
			rise[pot] = approved[pot] - replaced[pot]
		}
	}
	if err := covered(ctx, tx, row, rise); err != nil {
		return err
	}
	payable, aside := payableOf(row.Totals), setAsideOf(row.Totals)
	var sum, most money.Pence
	for _, pot := range potsOf(payable, approved) {
		sum, most = sum+approved[pot], most+payable[pot]
	}
	switch {
	case approved == nil || (sum == 0 && most > 0 && row.Kind != store.Correction):
		row.State = store.Rejected
	case sum == most:
		row.State = store.Approved
	default:
		row.State = store.PartlyApproved
	}
	if row.State != store.Approved && reason == "" {
		return fault.New(fault.Invalid, reasonReasonRequired, "a reason is needed unless all that is payable is approved").At("reason", "why")
	}
	row.Totals = approvedTotals(row.Totals, approved)
	row.DecidedBy, row.DecidedAt, row.DecisionReason = tx.By.Subject, sqldb.Micros(tx.Now()), reason
	if err := saved(store.ChangeClaim(ctx, tx.Tx, row)); err != nil {
		return err
	}
	for _, pot := range potsOf(aside, rise) {
		by := store.PotRow{PCNCode: row.PCNCode, Year: row.Month.FinancialYear(), Pot: pot, Submitted: -aside[pot], Approved: rise[pot]}
		if err := store.MovePot(ctx, tx.Tx, by); err != nil {
			return err
		}
	}
	state := arrsv1.ClaimState(row.State) //nolint:gosec // enum
	return tell(ctx, tx, row, fmt.Sprintf("decided the claim of %s for %s: %s", row.PCNCode, row.Month, state))
}

// covered refuses to approve more than is left of a year's sum, which can be lowered after a claim was put forward. Rise is what the
// approval adds to each pot.
func covered(ctx context.Context, q sqldb.Querier, row *store.ClaimRow, rise map[rules.Pot]money.Pence) error {
	year, pcns := row.Month.FinancialYear(), []string{row.PCNCode}
	entitlements, err := store.Entitlements(ctx, q, year, pcns)
	if err != nil {
		return err
	}
	moved, err := store.Pots(ctx, q, year, pcns)
	if err != nil {
		return err
	}
	held, usable := make(map[rules.Pot]store.PotRow), make(map[rules.Pot]money.Pence)
	for _, pot := range moved {
		held[pot.Pot] = pot
	}
	for i := range entitlements {
		e := &entitlements[i]
		if e.Refused != nil {
			continue
		}
		sum, err := potSum(e.Entitlement, held[e.Pot])
		if err != nil {
			return err
		}
		usable[e.Pot] = sum.Usable
	}
	for _, pot := range potsOf(rise) {
		if left := usable[pot] - held[pot].Approved; rise[pot] > max(left, 0) {
			return fault.New(fault.Refused, reasonSumLowered, "%s of the sum of %s is left, which no longer covers the claim: approve less, or query it",
				max(left, 0), year).With("pot", string(pot))
		}
	}
	return nil
}
