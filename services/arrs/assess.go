package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// ground is what the claims of a PCN's year are decided on, as it stands under the PCN's lock.
type ground struct {
	scheme  *rules.Scheme
	year    store.YearRow
	context rules.Context // without what is set aside and what lines before hold
	usable  []rules.PotSum
	pots    map[rules.Pot]store.PotRow
	today   period.Date
}

// stand loads the ground of a PCN's year. A year that is not fixed is refused, and so is a commissioner that does not lead the PCN in it.
func (s *Service) stand(ctx context.Context, q sqldb.Querier, by auth.Principal, in *arrsv1.ClaimEntry, month period.Month) (*ground, error) {
	g := &ground{today: period.DateOf(s.db.Now()), pots: make(map[rules.Pot]store.PotRow)}
	pcn, of := in.GetPcnCode(), month.FinancialYear()
	var err error
	g.year, err = store.Year(ctx, q, pcn, of)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fault.New(fault.Refused, reasonYearNotFixed, "%s of %s is not fixed: its commissioner fixes the year first (FixYear)", of, pcn).
			With("pcn_code", pcn).With("financial_year", of).With("remedy", "fix the year")
	case err != nil:
		return nil, err
	case g.year.CommissionerCode != in.GetCommissionerCode() && speaksFor(by, pcn):
		return nil, fault.New(fault.Invalid, reasonCommissionerDiffers, "in %s %s is led by %s", of, pcn, g.year.CommissionerCode).
			With("commissioner_code", g.year.CommissionerCode).At("claim.commissioner_code", "does not lead the PCN in the year")
	case g.year.CommissionerCode != in.GetCommissionerCode():
		return nil, noPCN(pcn)
	}
	if g.scheme, err = s.scheme(ctx, q); err != nil {
		return nil, err
	}
	return g, s.load(ctx, q, g)
}

// load reads what the assessment rests on beside the year and the figures.
func (s *Service) load(ctx context.Context, q sqldb.Querier, g *ground) error {
	pcn, of := g.year.PCNCode, g.year.Year
	decisions, baselines, employed, region, err := s.decisionsOn(ctx, q, g.year)
	if err != nil {
		return err
	}
	settings, err := store.Settings(ctx, q, g.year.CommissionerCode)
	if err != nil {
		return err
	}
	g.context = rules.Context{
		Scheme: g.scheme, Year: of, PCN: pcn, Commissioner: g.year.CommissionerCode, Known: g.today, Region: region,
		List:      rules.ListSize{Patients: g.year.RegisteredPatients, Known: g.year.RegisteredPatients > 0},
		Baselines: baselines, Employed: employed, Decisions: decisions, Settings: make([]rules.Setting, len(settings)),
	}
	for i, setting := range settings {
		g.context.Settings[i] = setting.Setting
	}
	pots, err := store.Pots(ctx, q, of, []string{pcn})
	if err != nil {
		return err
	}
	for _, pot := range pots {
		g.pots[pot.Pot] = pot
	}
	entitlements, err := store.Entitlements(ctx, q, of, []string{pcn})
	if err != nil {
		return err
	}
	for _, e := range entitlements {
		sum, err := potSum(e.Entitlement, g.pots[e.Pot])
		if err != nil {
			return err
		}
		g.usable = append(g.usable, sum)
	}
	return nil
}

// contextFor is what decides lines after those that hold something, and beside what is set aside but for one claim's part of it.
func (g *ground) contextFor(before []rules.Held, replaced map[rules.Pot]money.Pence) *rules.Context {
	out := g.context
	out.Before, out.Sums = before, slices.Clone(g.usable)
	for i := range out.Sums {
		pot := g.pots[out.Sums[i].Pot]
		out.Sums[i].PaidBefore = pot.Submitted + pot.Approved - replaced[out.Sums[i].Pot]
	}
	return &out
}

// assessed is what a claim comes to.
type assessed struct {
	lines   []store.LineRow // without claim and revision
	totals  []*arrsv1.PotTotal
	payable map[rules.Pot]money.Pence
}

// assess decides the lines of a claim against what stands: the lines of its months that are live and the running totals of the pots,
// both without those of the claim that it replaces, if any. Identifiers of lines come from newID.
func (s *Service) assess(ctx context.Context, q sqldb.Querier, g *ground, e *entered, replaced *store.ClaimRow, newID func() string) (*assessed, error) {
	without, given := "", map[rules.Pot]money.Pence{}
	if replaced != nil {
		without, given = replaced.ID, payableOf(replaced.Totals)
	}
	var months []period.Month
	for i := range e.lines {
		e.lines[i].line.ID = newID()
		if !slices.Contains(months, e.lines[i].month) {
			months = append(months, e.lines[i].month)
		}
	}
	held, err := store.HeldIn(ctx, q, g.year.PCNCode, months, without)
	if err != nil {
		return nil, err
	}
	if e.kind == store.Uplift {
		return s.assessUplift(ctx, q, g, e, held, given, months)
	}
	var before []rules.Held
	for _, h := range held {
		if h.Kind == store.Monthly {
			before = append(before, h.Held)
		}
	}
	lines := make([]rules.ClaimLine, len(e.lines))
	for i := range e.lines {
		lines[i] = e.lines[i].line
	}
	year, err := rules.AssessYear(g.contextFor(before, given), lines)
	if err != nil {
		return nil, err
	}
	out := new(assessed)
	for i := range year.Lines {
		out.add(e, i, &year.Lines[i], lineToAssessment(&year.Lines[i]))
	}
	return out, out.sum()
}

// add keeps what a line comes to.
func (a *assessed) add(e *entered, i int, of *rules.Assessed, shown *arrsv1.ClaimLine) {
	in := &e.lines[i]
	shown.Label = in.engagement.Label
	a.lines = append(a.lines, store.LineRow{
		ID: in.line.ID, Number: i + 1, PCNCode: in.engagement.PCNCode, Month: in.month, EngagementID: in.engagement.ID, Kind: e.kind, Live: true, Role: of.Role,
		Person: in.line.Person, Pot: of.Pot, Held: of.Held, Claimed: of.Claimed, Payable: of.Payable,
		Confidence: of.Confidence, Entry: in.entry, Assessment: shown,
	})
}

// sum adds the lines up by pot.
func (a *assessed) sum() error {
	totals := make(map[rules.Pot]*arrsv1.PotTotal)
	a.payable = make(map[rules.Pot]money.Pence)
	for i := range a.lines {
		line := &a.lines[i]
		total := totals[line.Pot]
		if total == nil {
			total = &arrsv1.PotTotal{Pot: potToProto(line.Pot)}
			totals[line.Pot] = total
		}
		claimed, err := money.Pence(total.GetClaimedPence()).Add(line.Claimed)
		if err != nil {
			return err
		}
		total.ClaimedPence, total.PayablePence = int64(claimed), total.GetPayablePence()+int64(line.Payable)
		if line.Payable > 0 {
			a.payable[line.Pot] += line.Payable
		}
	}
	for _, pot := range slices.Sorted(maps.Keys(totals)) {
		a.totals = append(a.totals, totals[pot])
	}
	return nil
}

func payableOf(totals []*arrsv1.PotTotal) map[rules.Pot]money.Pence {
	out := make(map[rules.Pot]money.Pence)
	for _, total := range totals {
		if total.GetPayablePence() > 0 {
			out[potOf(total.GetPot())] += money.Pence(total.GetPayablePence())
		}
	}
	return out
}

// uplifting is one line of an uplift on its way.
type uplifting struct {
	in       *enteredLine
	original *store.LineRow
	after    *rules.Assessed
	refused  string // why none of it can be uplifted
}

// assessUplift decides the lines of an uplift: each is the difference between what its month comes to with the cost after the uplift,
// by the prices now known, and what was approved for it.
func (s *Service) assessUplift(
	ctx context.Context, q sqldb.Querier, g *ground, e *entered, held []store.HeldLine, given map[rules.Pot]money.Pence, months []period.Month,
) (*assessed, error) {
	approved, err := store.ApprovedLines(ctx, q, g.year.PCNCode, months)
	if err != nil {
		return nil, err
	}
	type engagementMonth struct {
		engagement string
		month      period.Month
	}
	uplifted, originals := make(map[engagementMonth]bool), make(map[engagementMonth]*store.LineRow)
	for _, h := range held {
		if h.Kind == store.Uplift {
			uplifted[engagementMonth{h.EngagementID, h.Month}] = true
		}
	}
	for i := range approved {
		originals[engagementMonth{approved[i].EngagementID, approved[i].Month}] = &approved[i]
	}
	works := make([]uplifting, len(e.lines))
	var items []rules.UpliftItem
	for i := range e.lines {
		w := &works[i]
		w.in = &e.lines[i]
		key := engagementMonth{w.in.engagement.ID, w.in.month}
		w.original = originals[key]
		if err := w.assess(g, held, given, uplifted[key]); err != nil {
			return nil, err
		}
		uplifted[key] = true
		if w.refused == "" {
			items = append(items, rules.UpliftItem{PassedOn: passedOn(w.in.entry.GetPassedOn()), Paid: w.original.Approved, After: w.after})
		}
	}
	left := make(map[rules.Pot]money.Pence)
	for _, sum := range g.contextFor(nil, given).Sums {
		if sum.Refused == nil {
			left[sum.Pot] = max(sum.Usable-sum.PaidBefore, 0)
		}
	}
	result, err := rules.Uplift(items, left)
	if err != nil {
		return nil, err
	}
	out, next := new(assessed), 0
	for i := range works {
		var line *rules.UpliftedLine
		if works[i].refused == "" {
			line = &result.Lines[next]
			next++
		}
		of := works[i].result(line)
		out.add(e, i, of, lineToAssessment(of))
	}
	return out, out.sum()
}

func passedOn(yes bool) rules.Answer {
	if yes {
		return rules.Yes
	}
	return rules.No
}

// assess decides the month of the line anew, with the working time it was claimed with unless the line states other.
func (w *uplifting) assess(g *ground, held []store.HeldLine, given map[rules.Pot]money.Pence, before bool) error {
	line := w.in.line
	if w.original != nil {
		was := w.original.Entry
		if perWeek, err := money.ParseDecimal(was.GetPerWeek()); err == nil && w.in.entry.GetPerWeek() == "" {
			line.PerWeek = perWeek
		}
		if left, err := period.ParseDate(was.GetLeftDate()); err == nil && w.in.entry.GetLeftDate() == "" && (line.End.IsZero() || left.Before(line.End)) {
			line.End = left
		}
	}
	var others []rules.Held
	for _, h := range held {
		if h.Kind == store.Monthly && (w.original == nil || h.LineID != w.original.ID) && h.Month == line.Month {
			others = append(others, h.Held)
		}
	}
	c := g.contextFor(others, given)
	var err error
	if w.after, err = rules.Assess(c, line); err != nil {
		return err
	}
	switch {
	case before:
		w.refused = rules.ReasonAlreadyClaimed
	case w.original == nil:
		w.refused = reasonUpliftLineMissing
	case !rules.Replaced(c, &line, g.today):
		w.refused = reasonUpliftNotPublished
	}
	return nil
}

// result puts an uplift in the shape of a line: claimed is the cost after it above what was approved before.
func (w *uplifting) result(line *rules.UpliftedLine) *rules.Assessed {
	out := *w.after
	// Days, person and role are held by the line of the month itself.
	out.Held = rules.Held{LineID: out.LineID}
	out.Parts, out.Payable, out.Working = nil, 0, nil
	part := func(test rules.Test, reason string, amount money.Pence, missing, remedy string) {
		if amount > 0 {
			out.Parts = append(out.Parts, rules.Part{Test: test, Reason: reason, Amount: amount, Missing: missing, Remedy: remedy})
		}
	}
	if line == nil {
		if w.original != nil {
			out.Claimed = max(w.after.Claimed-w.original.Approved, 0)
		}
		part(rules.TestRole, w.refused, out.Claimed, "", "")
		out.Pot = ""
		settle(&out)
		return &out
	}
	out.Claimed, out.Payable, out.Working = max(w.after.Claimed-line.Paid, 0), line.Payable, line.Working
	rest := out.Claimed - line.Payable - line.Withheld
	for _, p := range w.after.Parts {
		if p.Missing != "" && line.Missing != "" {
			part(p.Test, p.Reason, rest, p.Missing, p.Remedy)
			rest = 0
			break
		}
	}
	if line.Reason == rules.ReasonUpliftBelowPaid {
		part(rules.TestMaximum, line.Reason, rest, "", "")
		rest = 0
	}
	for _, p := range w.after.Parts {
		if p.Test != rules.TestYearSum {
			amount := min(p.Amount, rest)
			part(p.Test, p.Reason, amount, p.Missing, p.Remedy)
			rest -= amount
		}
	}
	test := rules.TestMaximum
	if line.Reason == rules.ReasonOverYearSum {
		test = rules.TestYearSum
	}
	part(test, line.Reason, line.Withheld, "", "")
	settle(&out)
	return &out
}

// settle states the tests by the parts.
func settle(a *rules.Assessed) {
	left := a.Claimed
	for i := range a.Tests {
		r := &a.Tests[i]
		r.Reasons, r.Removed = nil, 0
		if left == 0 && a.Claimed > 0 {
			r.Outcome = rules.NotReached
			continue
		}
		r.Outcome = rules.Passed
		for _, p := range a.Parts {
			if p.Test != r.Test {
				continue
			}
			r.Reasons, r.Removed = append(r.Reasons, p.Reason), r.Removed+p.Amount
			left -= p.Amount
			switch {
			case p.Missing != "" || r.Outcome == rules.Waits:
				r.Outcome = rules.Waits
			case left == 0:
				r.Outcome = rules.Failed
			default:
				r.Outcome = rules.Reduced
			}
		}
	}
}

// numbered gives lines that are not stored the numbers from 1.
func numbered() func() string {
	n := 0
	return func() string {
		n++
		return "line-" + strconv.Itoa(n)
	}
}

// approvedTotals states what was approved in the totals of a claim.
func approvedTotals(totals []*arrsv1.PotTotal, approved map[rules.Pot]money.Pence) []*arrsv1.PotTotal {
	out := make([]*arrsv1.PotTotal, len(totals))
	for i, total := range totals {
		out[i] = proto.CloneOf(total)
		out[i].ApprovedPence = int64(approved[potOf(total.GetPot())])
	}
	slices.SortFunc(out, func(a, b *arrsv1.PotTotal) int { return cmp.Compare(a.GetPot(), b.GetPot()) })
	return out
}
