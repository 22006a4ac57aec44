package devfund

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// DecideSharing records how an allocation is shared and makes the allocations below. The register's pictures are fetched before the
// transaction; the pool, what its standing decision gave and what is drawn on that are read in it, under the locks of everyone who accounts
// for any of it.
func (s *Service) DecideSharing(ctx context.Context, req *devfundv1.DecideSharingRequest) (*devfundv1.SharingDecision, error) {
	decidedOn, err := s.decidedOn(req)
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*devfundv1.SharingDecision](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	var pool store.AllocationRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		pool, err = s.ownAllocation(ctx, q, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	parties, err := receivingOf(&pool, req)
	if err != nil {
		return nil, err
	}
	counted, err := countedOn(req.GetMethod(), pool.Year)
	if err != nil {
		return nil, err
	}
	if err := s.inForce(ctx, &pool, parties); err != nil {
		return nil, err
	}
	if err := s.fetch(ctx, parties, counted, nil); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.SharingDecision, error) {
		return s.decide(ctx, tx, req, parties, decidedOn)
	})
}

// decidedOn reads the day of a decision, and refuses one without who decided or where it is minuted.
func (s *Service) decidedOn(req *devfundv1.DecideSharingRequest) (period.Date, error) {
	for _, stated := range [][2]string{{"decided_by", req.GetDecidedBy()}, {"minute_reference", req.GetMinuteReference()}} {
		if strings.TrimSpace(stated[1]) == "" {
			return period.Date{}, methodMalformed(stated[0], "%s is blank: say who decided, and where it is minuted", stated[0])
		}
	}
	day, err := s.pastDay("decided_on", req.GetDecidedOn())
	if first := rules.FirstYear.First().First(); err == nil && day.Before(first) {
		err = fault.New(fault.Invalid, reasonDateMalformed, "decided_on: %s lies before the fund, which began on %s", day, first).
			At("decided_on", "not before "+first.String()).With("first_day", first)
	}
	return day, err
}

// sharingBase is what a decision rests on inside its transaction.
type sharingBase struct {
	pool     store.AllocationRow
	children []store.AllocationRow // everything that came out of the pool
	versions []store.VersionRow    // of the pool
}

// decide records a decision.
func (s *Service) decide(
	ctx context.Context, tx *change.Tx, req *devfundv1.DecideSharingRequest, parties *receiving, decidedOn period.Date,
) (*devfundv1.SharingDecision, error) {
	base, err := s.sharingBase(ctx, tx, req, parties)
	if err != nil {
		return nil, err
	}
	if err := checkReplaces(ctx, tx, &base.pool, req.GetReplacesDecisionId()); err != nil {
		return nil, err
	}
	if err := usable(ctx, tx, &base.pool); err != nil {
		return nil, err
	}
	amount, err := amountOf(&base.pool, base.versions, poolLeft(&base.pool, base.children))
	if err != nil {
		return nil, err
	}
	pool, err := s.poolOf(ctx, tx, &base.pool, amount, req.GetMethod())
	if err != nil {
		return nil, err
	}
	shared, of, err := shareOut(&base.pool, pool, req.GetMethod(), parties)
	if err != nil {
		return nil, err
	}
	out := &devfundv1.SharingDecision{
		DecisionId: tx.NewID(), AllocationId: base.pool.ID, FinancialYear: yearWords(base.pool.Year), CommissionerCode: base.pool.CommissionerCode,
		State: devfundv1.DecisionState_STANDING, ReceiversLevel: parties.level, Outcome: outcomeToProto(req.GetMethod(), shared, of),
		Receivers: req.GetReceivers(), CommissionerCodes: parties.commissioners, DecidedBy: req.GetDecidedBy(), DecidedOn: decidedOn.String(),
		MinuteReference: req.GetMinuteReference(), Reason: req.GetReason(), ReplacesDecisionId: req.GetReplacesDecisionId(),
		RecordedBy: tx.By.Subject, RecordedAt: timestamp(sqldb.Micros(tx.Now())),
	}
	if !parties.day.IsZero() {
		out.MembershipDate = parties.day.String()
	}
	given, err := s.give(ctx, tx, base, out, granted(&base.pool, parties.level, shared, of))
	if err != nil {
		return nil, err
	}
	if replaces := out.GetReplacesDecisionId(); replaces != "" {
		if replaced, err := store.ReplaceDecision(ctx, tx.Tx, replaces, out.GetDecisionId()); err != nil || !replaced {
			return nil, staleOr(err)
		}
	}
	err = store.InsertDecision(ctx, tx.Tx, &store.DecisionRow{
		ID: out.GetDecisionId(), AllocationID: base.pool.ID, Year: base.pool.Year, CommissionerCode: base.pool.CommissionerCode, Decision: out,
		RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
	})
	if err != nil {
		return nil, err
	}
	return out, s.tellDecision(ctx, tx, out, given)
}

// sharingBase reads what a decision rests on, under the locks of whoever accounts for the pool, for what it gave before, or for what
// it gives now.
func (s *Service) sharingBase(ctx context.Context, tx *change.Tx, req *devfundv1.DecideSharingRequest, parties *receiving) (*sharingBase, error) {
	accounts := []string{orEngland(req.GetCommissionerCode())}
	before, err := store.Children(ctx, tx, req.GetAllocationId())
	if err != nil {
		return nil, err
	}
	for i := range before {
		accounts = append(accounts, before[i].CommissionerCode)
	}
	accounts = append(accounts, parties.commissioners...)
	if accountsItself(parties.level) {
		for _, r := range parties.stated {
			accounts = append(accounts, r.GetCode())
		}
	}
	if err := lockAccounts(ctx, tx, accounts...); err != nil {
		return nil, err
	}
	out := new(sharingBase)
	if out.pool, err = s.ownAllocation(ctx, tx, req); err != nil {
		return nil, err
	}
	if err := checkTag(req.GetEtag(), out.pool.Version); err != nil {
		return nil, err
	}
	out.children, out.versions, err = children(ctx, tx, &out.pool)
	for i := range out.children {
		if !slices.Contains(accounts, out.children[i].CommissionerCode) {
			return nil, staleOr(nil) // it came since the locks were chosen
		}
	}
	return out, err
}

// checkReplaces refuses a first decision where one stands, and one in the place of what does not stand on the allocation.
func checkReplaces(ctx context.Context, q sqldb.Querier, pool *store.AllocationRow, replaces string) error {
	if replaces == "" {
		stands, err := store.StandingDecision(ctx, q, pool.ID)
		if err != nil || stands == "" {
			return err
		}
		return fault.New(fault.Refused, reasonAlreadyShared, "%s is shared by decision %s: name it in replaces_decision_id", pool.ID, stands).
			With("allocation_id", pool.ID).With("decision_id", stands)
	}
	held, err := store.Decision(ctx, q, replaces)
	switch {
	case errors.Is(err, sql.ErrNoRows) || (err == nil && held.AllocationID != pool.ID):
		return noDecision(replaces)
	case err != nil:
		return fmt.Errorf("load decision %s: %w", replaces, err)
	case held.ReplacedBy != "":
		return fault.New(fault.Refused, reasonDecisionReplaced, "decision %s was replaced by %s: replace that one", replaces, held.ReplacedBy).
			With("decision_id", replaces).With("replaced_by", held.ReplacedBy)
	}
	return nil
}

func noDecision(id string) error {
	return fault.New(fault.NotFound, reasonDecisionNotFound, "there is no decision %q that you may see", money.Clip(id)).With("decision_id", money.Clip(id))
}

// grant is what a decision gives one holder.
type grant struct {
	level                      devfundv1.AllocationLevel
	holder, name, commissioner string
	purpose                    devfundv1.AllocationPurpose
	amount                     money.Pence
	confidence                 working.Confidence
}

// granted returns what a sharing gives: a slice stays with who holds the pool, and a slice of nothing makes nothing.
func granted(pool *store.AllocationRow, level devfundv1.AllocationLevel, shared *rules.Shared, parties *among) []grant {
	var out []grant
	for i := range shared.Slices {
		if slice := &shared.Slices[i]; slice.Amount > 0 {
			out = append(out, grant{
				pool.Level, pool.HolderCode, pool.HolderName, pool.CommissionerCode, slicePurposes[slice.Kind], slice.Amount, slice.Working.Confidence(),
			})
		}
	}
	purpose := devfundv1.AllocationPurpose_GENERAL
	if pool.Purpose == devfundv1.AllocationPurpose_LEADERSHIP {
		purpose = pool.Purpose
	}
	for i := range shared.Parts {
		part := &shared.Parts[i]
		of := parties.known[part.Code]
		out = append(out, grant{level, part.Code, of.name, of.commissioner, purpose, part.Amount, part.Confidence()})
	}
	return out
}

// given is an allocation that a decision made or changed, with the statement that came.
type given struct {
	row     store.AllocationRow
	version store.VersionRow
}

// give makes the allocations of a decision, and gives those anew that an earlier one made; what the earlier one gave and this one does
// not falls to nothing. It refuses where one would fall below what is drawn on it.
func (s *Service) give(ctx context.Context, tx *change.Tx, base *sharingBase, d *devfundv1.SharingDecision, grants []grant) ([]given, error) {
	held := make(map[string]*store.AllocationRow, len(base.children))
	for i := range base.children {
		if child := &base.children[i]; child.Year == base.pool.Year {
			held[holding(child.Level, child.HolderCode, child.Purpose)] = child
		}
	}
	var made, changed []store.AllocationRow
	confidence := make(map[string]working.Confidence)
	for _, g := range grants {
		child := held[holding(g.level, g.holder, g.purpose)]
		if child == nil && g.amount == 0 {
			continue // the outcome tells that it got nothing
		}
		if child == nil {
			made = append(made, store.AllocationRow{
				ID: tx.NewID(), Year: base.pool.Year, FundCode: base.pool.FundCode, Level: g.level, HolderCode: g.holder, HolderName: g.name,
				CommissionerCode: g.commissioner, Purpose: g.purpose, ParentID: base.pool.ID, DecisionID: d.GetDecisionId(), Released: &g.amount, Version: 1,
			})
			confidence[made[len(made)-1].ID] = g.confidence
			continue
		}
		if child.DecisionID == "" {
			return nil, exists(child)
		}
		delete(held, holding(g.level, g.holder, g.purpose))
		next := *child
		next.Released, next.DecisionID = &g.amount, d.GetDecisionId()
		if next.Drawn() == 0 {
			next.CommissionerCode = g.commissioner
		}
		changed, confidence[next.ID] = append(changed, next), g.confidence
	}
	for i := range base.children {
		child := &base.children[i]
		if child.DecisionID != "" && held[holding(child.Level, child.HolderCode, child.Purpose)] == child {
			next := *child
			next.Released, next.DecisionID = new(money.Pence), d.GetDecisionId()
			changed = append(changed, next)
		}
	}
	if err := keepsDrawn(changed); err != nil {
		return nil, err
	}
	for i := range made {
		d.AllocationIds = append(d.AllocationIds, made[i].ID)
	}
	for i := range changed {
		if _, anew := confidence[changed[i].ID]; anew {
			d.AllocationIds = append(d.AllocationIds, changed[i].ID)
		}
	}
	slices.Sort(d.AllocationIds)
	return s.writeGiven(ctx, tx, base, d, made, changed, confidence)
}

// holding names what is unique below one allocation in a year.
func holding(level devfundv1.AllocationLevel, holder string, purpose devfundv1.AllocationPurpose) string {
	return fmt.Sprintf("%d/%d/%s", level, purpose, holder)
}

// keepsDrawn refuses, with every one of them, allocations that would fall below what is shared or committed of them.
func keepsDrawn(rows []store.AllocationRow) error {
	var short []string
	var first *store.AllocationRow
	for i := range rows {
		if r := &rows[i]; r.Drawn() > r.Holding() {
			first = cmp.Or(first, r)
			short = append(short, r.HolderCode)
		}
	}
	if first == nil {
		return nil
	}
	return fallsBelow(first, first.Holding()).With("holders", strings.Join(short, ","))
}

// writeGiven stores what a decision gives, and what the pool has given with it.
func (s *Service) writeGiven(
	ctx context.Context, tx *change.Tx, base *sharingBase, d *devfundv1.SharingDecision, made, changed []store.AllocationRow, confidence map[string]working.Confidence,
) ([]given, error) {
	versions, err := store.Versions(ctx, tx, keysOf(changed)...)
	if err != nil {
		return nil, err
	}
	before := make(map[string]money.Pence, len(base.children))
	for i := range base.children {
		before[base.children[i].ID] = base.children[i].Holding()
	}
	var out []given
	var added []store.VersionRow
	var delta money.Pence
	for _, row := range slices.Concat(made, changed) {
		version := versionOf(tx, &row, &statement{
			basis: devfundv1.AllocationBasis_RELEASED, amount: row.Released, source: "decision " + d.GetDecisionId() + ", " + d.GetMinuteReference(),
			confidence: max(working.Official, confidence[row.ID]), knownFrom: period.DateOf(tx.Now()), reason: d.GetReason(),
		}, len(versions[row.ID])+1)
		added, out = append(added, version), append(out, given{row, version})
		if delta, err = delta.Add(row.Holding() - before[row.ID]); err != nil {
			return nil, err
		}
	}
	if err := s.share(ctx, tx, &base.pool, delta, false); err != nil {
		return nil, err
	}
	if err := store.InsertAllocations(ctx, tx.Tx, made...); err != nil {
		return nil, err
	}
	for i := range out[len(made):] {
		if err := changeAllocation(ctx, tx, &out[len(made)+i].row); err != nil {
			return nil, err
		}
	}
	return out, store.InsertVersions(ctx, tx.Tx, added...)
}

// tellDecision announces a decision and what it gave, and notes it for everyone who accounts for any of it.
func (s *Service) tellDecision(ctx context.Context, tx *change.Tx, d *devfundv1.SharingDecision, all []given) error {
	o := d.GetOutcome()
	events := []outbox.Event{{Aggregate: "allocation/" + d.GetAllocationId(), CommissionerCode: d.GetCommissionerCode(), Message: &devfundv1.SharingDecided{
		DecisionId: d.GetDecisionId(), AllocationId: d.GetAllocationId(), FinancialYear: d.GetFinancialYear(), MethodWords: o.GetMethodWords(),
		PoolPence: o.GetPoolPence(), Receivers: int32(len(o.GetShares())), ReplacesDecisionId: d.GetReplacesDecisionId(), //nolint:gosec // few receivers
	}}}
	sums := make(map[string]money.Pence)
	for i := range all {
		g := &all[i]
		events = append(events, outbox.Event{
			Aggregate: "allocation/" + g.row.ID, CommissionerCode: g.row.CommissionerCode,
			Message: &devfundv1.AllocationChanged{Allocation: allocationToProto(&g.row, nil), Version: versionToProto(&g.version, true)},
		})
		sum, err := sums[g.row.CommissionerCode].Add(g.row.Holding())
		if err != nil {
			return err
		}
		sums[g.row.CommissionerCode] = sum
	}
	if _, err := outbox.AddAll(ctx, tx.Tx, events); err != nil {
		return err
	}
	words := fmt.Sprintf("shared %s of %s: %s; decided by %s on %s, %s", money.Pence(o.GetPoolPence()), d.GetAllocationId(), o.GetMethodWords(),
		d.GetDecidedBy(), d.GetDecidedOn(), d.GetMinuteReference())
	if err := tx.Record(ctx, "devfund/sharing-decisions/"+d.GetDecisionId(), d.GetCommissionerCode(), words); err != nil {
		return err
	}
	delete(sums, d.GetCommissionerCode())
	for _, code := range sorted(codesOf(sums)) {
		if err := tx.Record(ctx, "devfund/sharing-decisions/"+d.GetDecisionId(), code, fmt.Sprintf("%s of it for %s", sums[code], code)); err != nil {
			return err
		}
	}
	return nil
}

func codesOf(sums map[string]money.Pence) (out []string) {
	for code := range sums {
		out = append(out, code)
	}
	return out
}

// withState writes a decision as it stands; workings are left out where nobody asks for them.
func withState(r *store.DecisionRow, withWorking bool) *devfundv1.SharingDecision {
	out := r.Decision
	out.State = devfundv1.DecisionState_STANDING
	if r.ReplacedBy != "" {
		out.State = devfundv1.DecisionState_REPLACED
	}
	if !withWorking {
		withoutWorking(out.GetOutcome())
	}
	return out
}

func withoutWorking(o *devfundv1.SharingOutcome) {
	for _, share := range o.GetShares() {
		share.Working = nil
	}
	for _, slice := range o.GetSlices() {
		slice.Working = nil
	}
}

// GetSharingDecision returns one decision with the working of every share that the caller may see: who accounts for the pool sees all, a
// commissioner or a PCN that shared in it what is its own.
func (s *Service) GetSharingDecision(ctx context.Context, req *devfundv1.GetSharingDecisionRequest) (*devfundv1.SharingDecision, error) {
	var out *devfundv1.SharingDecision
	err := s.readAsHeir(ctx, func(ctx context.Context) error {
		return s.db.Read(ctx, func(q sqldb.Querier) error {
			row, err := store.Decision(ctx, q, req.GetDecisionId())
			if errors.Is(err, sql.ErrNoRows) {
				return noDecision(req.GetDecisionId())
			}
			if err != nil {
				return fmt.Errorf("load decision %s: %w", req.GetDecisionId(), err)
			}
			out = withState(&row, true)
			if caller(ctx).HoldsCommissioner(row.CommissionerCode) {
				return nil
			}
			return s.ownShares(ctx, q, out)
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ownShares cuts a decision down to what came to the caller. Of bids it tells no sums: with them others' would follow, which nothing but the
// decision makes known.
func (s *Service) ownShares(ctx context.Context, q sqldb.Querier, d *devfundv1.SharingDecision) error {
	rows, err := store.AllocationsOf(ctx, q, d.GetAllocationIds())
	if err != nil {
		return err
	}
	own := make(map[string]bool)
	d.AllocationIds = slices.DeleteFunc(d.GetAllocationIds(), func(id string) bool {
		row := rows[id]
		sees := row.Level == d.GetReceiversLevel() && seesAllocation(caller(ctx), &row)
		own[row.HolderCode] = own[row.HolderCode] || sees
		return !sees
	})
	o := d.GetOutcome()
	o.Slices = nil
	if o.GetMethod().GetKind() == devfundv1.SharingKind_BID {
		o.PoolPence, o.SharedPoolPence, o.HeldPence = 0, 0, 0
	}
	o.Shares = slices.DeleteFunc(o.GetShares(), func(share *devfundv1.Share) bool { return !own[share.GetCode()] })
	d.Receivers = slices.DeleteFunc(d.GetReceivers(), func(r *devfundv1.Receiver) bool { return !own[r.GetCode()] })
	if len(o.GetShares()) == 0 {
		return noDecision(d.GetDecisionId())
	}
	return nil
}

// ListSharingDecisions returns the decisions of commissioners, newest first.
func (s *Service) ListSharingDecisions(ctx context.Context, req *devfundv1.ListSharingDecisionsRequest) (*devfundv1.ListSharingDecisionsResponse, error) {
	ctx, err := s.listing(ctx, req)
	if err != nil {
		return nil, err
	}
	before, size, scope, err := listed(ctx, req)
	if err != nil {
		return nil, err
	}
	by := store.Page{Scope: store.Scope{Commissioners: scope}, Before: before, Limit: size + 1}
	if by.Year, err = listedYear(req.GetFinancialYear()); err != nil {
		return nil, err
	}
	out := new(devfundv1.ListSharingDecisionsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Decisions(ctx, q, by, req.GetAllocationId())
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.DecisionRow) string { return r.ID })
		for i := range rows {
			out.Decisions = append(out.Decisions, withState(&rows[i], false))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
