package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// CheckClaim tells what a claim would come to now, and stores nothing.
func (s *Service) CheckClaim(ctx context.Context, req *arrsv1.CheckClaimRequest) (*arrsv1.Claim, error) {
	by, in := caller(ctx), req.GetClaim()
	month, err := parseMonth("claim.month", in.GetMonth())
	if err != nil {
		return nil, err
	}
	own := speaksFor(by, in.GetPcnCode())
	if !own && !prepares(by, in.GetCommissionerCode()) {
		return nil, noPCN(in.GetPcnCode())
	}
	var out *arrsv1.Claim
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		g, e, err := s.read(ctx, q, by, in, month, "", form{undeclared: true, pastMonths: !own})
		if err != nil {
			return err
		}
		a, err := g.assess(e, nil, numbered())
		if err != nil {
			return err
		}
		out = claimToProto(&store.ClaimRow{
			PCNCode: in.GetPcnCode(), CommissionerCode: in.GetCommissionerCode(), Month: month, Kind: e.kind, Notes: e.notes, Totals: a.totals, LineCount: len(a.lines),
		}, a.lines)
		return nil
	})
	return out, err
}

// read loads what a claim is decided on, beside what another that it replaces says, and reads it against the form.
func (s *Service) read(
	ctx context.Context, q sqldb.Querier, by auth.Principal, in *arrsv1.ClaimEntry, month period.Month, replaced string, f form,
) (*ground, *entered, error) {
	var besides sqldb.Batch
	engagements := store.EngagementsNamed(in.GetPcnCode(), namesIn(in)).In(&besides)
	approved := new([]store.LineRow)
	if kindOf(in) != store.Monthly {
		approved = store.ApprovedLines(in.GetPcnCode(), monthsOf(in, month)).In(&besides)
	}
	g, err := s.stand(ctx, q, by, in, month, replaced, &besides)
	if err != nil {
		return nil, nil, err
	}
	f.scheme, f.year, f.today, f.by = g.scheme, g.year, g.today, by.Subject
	f.pastMonths = f.pastMonths || kindOf(in) == store.Correction
	f.engagements, f.approved = *engagements, approvedBy(*approved)
	e, bad := f.read(in, month)
	return g, e, refuseForm(bad)
}

// namesIn are the labels and identifiers by which a claim names engagements.
func namesIn(in *arrsv1.ClaimEntry) []string {
	var out []string
	for _, line := range in.GetLines() {
		out = append(out, cmp.Or(line.GetEngagementId(), strings.TrimSpace(line.GetLabel())))
	}
	return out
}

// monthsOf are the months whose cost a claim is of: its own, or of an uplift those that it raises, as far as they can be read.
func monthsOf(in *arrsv1.ClaimEntry, month period.Month) (out []period.Month) {
	if kindOf(in) != store.Uplift {
		return []period.Month{month}
	}
	for _, line := range in.GetLines() {
		if month, err := period.ParseMonth(line.GetUpliftMonth()); err == nil && !slices.Contains(out, month) {
			out = append(out, month)
		}
	}
	return out
}

// SubmitClaim puts a claim forward. What is payable is set aside in its pots.
func (s *Service) SubmitClaim(ctx context.Context, req *arrsv1.SubmitClaimRequest) (*arrsv1.Claim, error) {
	by, in := caller(ctx), req.GetClaim()
	own := speaksFor(by, in.GetPcnCode())
	if !own && !prepares(by, in.GetCommissionerCode()) {
		return nil, noPCN(in.GetPcnCode())
	}
	month, err := parseMonth("claim.month", in.GetMonth())
	if err != nil {
		return nil, err
	}
	return s.changeClaim(ctx, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error) {
		if err := tx.QueueLock(ctx, pcnLock(in.GetPcnCode())); err != nil {
			return nil, err
		}
		g, e, err := s.read(ctx, tx, tx.By, in, month, "", form{pastMonths: !own})
		if err != nil {
			return nil, err
		}
		row, lines, err := s.put(ctx, tx, g, e)
		return claimToProto(&row, lines), err
	})
}

// changeClaim runs a change of a claim and returns the claim as it stands after it. What is kept for a repetition of the request is its
// identifier alone, since the claim holds pay: a repetition reads it.
func (s *Service) changeClaim(ctx context.Context, req proto.Message, fn func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error)) (*arrsv1.Claim, error) {
	var changed, kept *arrsv1.Claim
	answer, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (_ *arrsv1.Claim, err error) {
		changed, err = fn(ctx, tx)
		kept = &arrsv1.Claim{ClaimId: changed.GetClaimId()}
		return kept, err
	})
	switch {
	case err != nil:
		return nil, err
	case answer == kept:
		return changed, nil
	default:
		return s.claim(ctx, answer.GetClaimId())
	}
}

// put assesses a claim and stores it, sets aside what is payable, and tells of it.
func (s *Service) put(ctx context.Context, tx *change.Tx, g *ground, e *entered) (store.ClaimRow, []store.LineRow, error) {
	row := store.ClaimRow{
		ID: tx.NewID(), PCNCode: g.year.PCNCode, CommissionerCode: g.year.CommissionerCode, Month: e.month, Kind: e.kind, State: store.Submitted, Revision: 1,
		LineCount: len(e.lines), Notes: e.notes, SubmittedBy: tx.By.Subject,
		// Taken under the lock, so that of two claims the one that was assessed later bears the later time.
		SubmittedAt: sqldb.Micros(s.db.Now()), Version: 1,
	}
	row.AssessedAt = row.SubmittedAt
	a, err := g.assess(e, nil, tx.NewID)
	if err != nil {
		return row, nil, err
	}
	row.Totals = a.totals
	if err := store.InsertClaim(ctx, tx.Tx, row); err != nil {
		return row, nil, err
	}
	if err := s.keepLines(ctx, tx, &row, a); err != nil {
		return row, nil, err
	}
	if err := setAside(ctx, tx.Tx, &row, setAsideOf(a.totals), nil); err != nil {
		return row, nil, err
	}
	return row, a.lines, tell(ctx, tx, &row, fmt.Sprintf("put forward a claim of %s for %s: %d lines", row.PCNCode, row.Month, row.LineCount))
}

// keepLines stores the lines of the claim's newest revision.
func (s *Service) keepLines(ctx context.Context, tx *change.Tx, row *store.ClaimRow, a *assessed) error {
	for i := range a.lines {
		a.lines[i].ClaimID, a.lines[i].Revision = row.ID, row.Revision
	}
	return store.InsertLines(ctx, tx.Tx, a.lines)
}

// setAside moves the running totals of the pots from what a claim had set aside to what it sets aside now.
func setAside(ctx context.Context, tx *sqldb.Tx, row *store.ClaimRow, now, before map[rules.Pot]money.Pence) error {
	for _, pot := range potsOf(now, before) {
		by := store.PotRow{PCNCode: row.PCNCode, Year: row.Month.FinancialYear(), Pot: pot, Submitted: now[pot] - before[pot]}
		if by.Submitted == 0 {
			continue
		}
		if err := store.MovePot(ctx, tx, by); err != nil {
			return err
		}
	}
	return nil
}

// potsOf returns the pots of some sums, in order.
func potsOf(sums ...map[rules.Pot]money.Pence) []rules.Pot {
	var pots []rules.Pot
	for _, sum := range sums {
		for pot := range sum {
			pots = append(pots, pot)
		}
	}
	slices.Sort(pots)
	return slices.Compact(pots)
}

// tell announces where a claim stands, and notes the change. Neither says anything of money or of a line.
func tell(ctx context.Context, tx *change.Tx, row *store.ClaimRow, summary string) error {
	_, err := tx.Announce(ctx, "claim/"+row.ID, row.CommissionerCode, &arrsv1.ClaimChanged{
		ClaimId: row.ID, PcnCode: row.PCNCode, CommissionerCode: row.CommissionerCode, Month: row.Month.String(), Kind: arrsv1.ClaimKind(row.Kind), //nolint:gosec // enum
		State: arrsv1.ClaimState(row.State), Revision: int32(row.Revision), LineCount: int32(row.LineCount), //nolint:gosec // at most 500 lines
	})
	if err != nil {
		return err
	}
	return tx.Record(ctx, "arrs/claims/"+row.ID, row.CommissionerCode, summary)
}

// AmendClaim puts a claim that is not decided forward anew, in its old place: what it had set aside is its own to use again.
func (s *Service) AmendClaim(ctx context.Context, req *arrsv1.AmendClaimRequest) (*arrsv1.Claim, error) {
	in := req.GetClaim()
	month, err := parseMonth("claim.month", in.GetMonth())
	if err != nil {
		return nil, err
	}
	return s.changeClaim(ctx, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error) {
		row, err := s.claimFor(ctx, tx, req.GetClaimId(), req.GetEtag(), func(c *store.ClaimRow) bool { return enters(tx.By, c) })
		if err != nil {
			return nil, err
		}
		if in.GetPcnCode() != row.PCNCode || in.GetCommissionerCode() != row.CommissionerCode || month != row.Month || kindOf(in) != row.Kind {
			return nil, fault.New(fault.Invalid, reasonClaimDiffers, "an amendment is of the same PCN, commissioner, month and kind: withdraw the claim, and submit another").
				At("claim", "is of another PCN, commissioner, month or kind")
		}
		g, e, err := s.read(ctx, tx, tx.By, in, month, row.ID, form{pastMonths: true})
		if err != nil {
			return nil, err
		}
		lines, err := s.amend(ctx, tx, &row, g, e)
		return claimToProto(&row, lines), err
	})
}

func (s *Service) amend(ctx context.Context, tx *change.Tx, row *store.ClaimRow, g *ground, e *entered) ([]store.LineRow, error) {
	a, err := g.assess(e, row, tx.NewID)
	if err != nil {
		return nil, err
	}
	if err := store.RetireLines(ctx, tx.Tx, row.ID); err != nil {
		return nil, err
	}
	before := setAsideOf(row.Totals)
	row.AssessedAt = sqldb.Micros(s.db.Now())
	row.State, row.Revision, row.LineCount, row.Notes, row.Totals, row.AmendedBy = store.Submitted, row.Revision+1, len(a.lines), e.notes, a.totals, tx.By.Subject
	if err := saved(store.ChangeClaim(ctx, tx.Tx, row)); err != nil {
		return nil, err
	}
	if err := s.keepLines(ctx, tx, row, a); err != nil {
		return nil, err
	}
	if err := setAside(ctx, tx.Tx, row, setAsideOf(a.totals), before); err != nil {
		return nil, err
	}
	return a.lines, tell(ctx, tx, row, fmt.Sprintf("amended the claim of %s for %s: revision %d, %d lines", row.PCNCode, row.Month, row.Revision, row.LineCount))
}

// enters tells whether somebody may amend or withdraw a claim: who speaks for its PCN, and of the commissioner's preparers who entered it.
func enters(by auth.Principal, c *store.ClaimRow) bool {
	return speaksFor(by, c.PCNCode) || (by.Subject == c.SubmittedBy && prepares(by, c.CommissionerCode))
}

// saved refuses a write that found another version.
func saved(changed bool, err error) error {
	if err != nil || changed {
		return err
	}
	return staleOr(nil)
}

// claimFor loads, under the lock of its PCN, a claim that waits and that the caller may change, as it was read last.
func (s *Service) claimFor(ctx context.Context, tx *change.Tx, id, tag string, may func(*store.ClaimRow) bool) (store.ClaimRow, error) {
	row, err := visibleClaim(ctx, tx, tx.By, id)
	if err != nil {
		return row, err
	}
	if !may(&row) {
		return row, noClaim(id)
	}
	if err := tx.QueueLock(ctx, pcnLock(row.PCNCode)); err != nil {
		return row, err
	}
	if row, err = visibleClaim(ctx, tx, tx.By, id); err != nil {
		return row, err
	}
	if err := checkTag(tag, row.Version); err != nil {
		return row, err
	}
	if !row.State.Waits() {
		return row, stateDiffers(&row)
	}
	return row, nil
}

func stateDiffers(row *store.ClaimRow) error {
	state := arrsv1.ClaimState(row.State).String() //nolint:gosec // enum
	return fault.New(fault.Refused, reasonClaimStateDiffers, "claim %s is %s", row.ID, state).With("state", state)
}

func noClaim(id string) error {
	return fault.New(fault.NotFound, reasonClaimNotFound, "there is no claim %q that you may see", money.Clip(id))
}

// visibleClaim loads a claim that the caller may see.
func visibleClaim(ctx context.Context, q sqldb.Querier, by auth.Principal, id string) (store.ClaimRow, error) {
	row, err := store.Claim(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !sees(by, row.CommissionerCode, row.PCNCode)) {
		return row, noClaim(id)
	}
	return row, err
}

// WithdrawClaim takes a claim that is not decided back, and gives its pots back what it had set aside.
func (s *Service) WithdrawClaim(ctx context.Context, req *arrsv1.WithdrawClaimRequest) (*arrsv1.Claim, error) {
	return s.changeClaim(ctx, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.Claim, error) {
		row, err := s.claimFor(ctx, tx, req.GetClaimId(), req.GetEtag(), func(c *store.ClaimRow) bool { return enters(tx.By, c) })
		if err != nil {
			return nil, err
		}
		if err := store.RetireLines(ctx, tx.Tx, row.ID); err != nil {
			return nil, err
		}
		row.State, row.DecidedAt, row.DecisionReason = store.Withdrawn, sqldb.Micros(tx.Now()), req.GetReason()
		if err := saved(store.ChangeClaim(ctx, tx.Tx, &row)); err != nil {
			return nil, err
		}
		if err := setAside(ctx, tx.Tx, &row, nil, setAsideOf(row.Totals)); err != nil {
			return nil, err
		}
		return claimAfter(ctx, tx, row.ID, tell(ctx, tx, &row, fmt.Sprintf("withdrew the claim of %s for %s", row.PCNCode, row.Month)))
	})
}

// GetClaim returns a claim with its lines, tests and working.
func (s *Service) GetClaim(ctx context.Context, req *arrsv1.GetClaimRequest) (*arrsv1.Claim, error) {
	return s.claim(ctx, req.GetClaimId())
}

// claim returns a claim that the caller may see, with the lines of its newest revision.
func (s *Service) claim(ctx context.Context, id string) (out *arrsv1.Claim, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		out, err = claimOf(ctx, q, caller(ctx), id)
		return err
	})
	return out, err
}

// claimAfter returns a claim as its change leaves it, unless that failed.
func claimAfter(ctx context.Context, tx *change.Tx, id string, err error) (*arrsv1.Claim, error) {
	if err != nil {
		return nil, err
	}
	return claimOf(ctx, tx, tx.By, id)
}

func claimOf(ctx context.Context, q sqldb.Querier, by auth.Principal, id string) (*arrsv1.Claim, error) {
	row, err := visibleClaim(ctx, q, by, id)
	if err != nil {
		return nil, err
	}
	lines, err := store.Lines(ctx, q, row.ID, row.Revision)
	if err != nil {
		return nil, err
	}
	return claimToProto(&row, lines), nil
}

// ListClaims returns a page of claims without their lines, newest first.
func (s *Service) ListClaims(ctx context.Context, req *arrsv1.ListClaimsRequest) (*arrsv1.ListClaimsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetMonth() != "" {
		if _, err := parseMonth("month", req.GetMonth()); err != nil {
			return nil, err
		}
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.ClaimRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Claims(ctx, q, store.ClaimFilter{
			Scope: scopeOf(caller(ctx)), Commissioner: req.GetCommissionerCode(), PCN: req.GetPcnCode(), Month: req.GetMonth(),
			State: store.ClaimState(req.GetState()), Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListClaimsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(c store.ClaimRow) string { return c.ID })
	for i := range rows {
		out.Claims = append(out.Claims, claimToProto(&rows[i], nil))
	}
	return out, nil
}
