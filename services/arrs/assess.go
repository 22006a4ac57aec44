package arrs

import (
	"cmp"
	"context"
	"fmt"
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
	regions map[period.Month]regionDecided
	usable  []rules.PotSum
	pots    map[rules.Pot]store.PotRow
	held    []store.HeldLine // in the months of the claim, by other claims
	today   period.Date
}

// stand loads the ground of a PCN's year, with what the caller wants to be read besides. A year that is not fixed is refused, and so is a
// commissioner that does not lead the PCN in it. What the claim that is replaced holds, if any, is left out.
func (s *Service) stand(
	ctx context.Context, q sqldb.Querier, by auth.Principal, in *arrsv1.ClaimEntry, month period.Month, replaced string, besides *sqldb.Batch,
) (*ground, error) {
	g := &ground{today: period.DateOf(s.db.Now()), pots: make(map[rules.Pot]store.PotRow)}
	pcn, commissioner, of := in.GetPcnCode(), in.GetCommissionerCode(), month.FinancialYear()
	year, position := store.Year(pcn, of).In(besides), store.LastFigure().In(besides)
	decisions, settings := store.DecisionsOn(commissioner, pcn).In(besides), store.Settings(commissioner).In(besides)
	pots, entitlements := store.PotsOf(of, pcn).In(besides), store.EntitlementsOf(of, pcn).In(besides)
	held := store.HeldIn(pcn, monthsOf(in, month), replaced).In(besides)
	if err := q.Send(ctx, besides); err != nil {
		return nil, err
	}
	var err error
	if g.year, err = leading(*year, by, in, of); err != nil {
		return nil, err
	}
	if g.scheme, err = s.schemeAt(ctx, q, (*position)[0]); err != nil {
		return nil, err
	}
	g.held = *held
	if err := g.decided(*decisions, *settings); err != nil {
		return nil, err
	}
	return g, g.sums(*pots, *entitlements)
}

// leading returns a PCN's year, which the commissioner must lead to whom the claim is put forward.
func leading(found []store.YearRow, by auth.Principal, in *arrsv1.ClaimEntry, of period.FinancialYear) (store.YearRow, error) {
	pcn := in.GetPcnCode()
	year, err := sqldb.First(found, nil)
	switch {
	case err != nil:
		return year, fault.New(fault.Refused, reasonYearNotFixed, "%s of %s is not fixed: its commissioner fixes the year first (FixYear)", of, pcn).
			With("pcn_code", pcn).With("financial_year", of).With("remedy", "fix the year")
	case year.CommissionerCode != in.GetCommissionerCode() && speaksFor(by, pcn):
		return year, fault.New(fault.Invalid, reasonCommissionerDiffers, "in %s %s is led by %s", of, pcn, year.CommissionerCode).
			With("commissioner_code", year.CommissionerCode).At("claim.commissioner_code", "does not lead the PCN in the year")
	case year.CommissionerCode != in.GetCommissionerCode():
		return year, noPCN(pcn)
	}
	return year, nil
}

// decided takes in what was decided and set for the PCN.
func (g *ground) decided(decisions []store.DecisionRow, settings []store.SettingRow) error {
	on, err := decidedBy(decisions, g.year.Year)
	if err != nil {
		return err
	}
	g.regions = on.regions
	g.context = rules.Context{
		Scheme: g.scheme, Year: g.year.Year, PCN: g.year.PCNCode, Commissioner: g.year.CommissionerCode, Known: g.today,
		List:      rules.ListSize{Patients: g.year.RegisteredPatients, Known: g.year.RegisteredPatients > 0},
		Baselines: on.baselines, Employed: on.employed, Decisions: on.decisions, Settings: make([]rules.Setting, len(settings)),
	}
	for i, setting := range settings {
		g.context.Settings[i] = setting.Setting
	}
	return nil
}

// sums takes in what the pots come to.
func (g *ground) sums(pots []store.PotRow, entitlements []store.EntitlementRow) error {
	for _, pot := range pots {
		g.pots[pot.Pot] = pot
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
	lines  []store.LineRow // without claim and revision
	totals []*arrsv1.PotTotal
}

// assess decides the lines of a claim against what stands: the lines of its months that are live and the running totals of the pots,
// both without those of the claim that it replaces, if any. Identifiers of lines come from newID.
func (g *ground) assess(e *entered, replaced *store.ClaimRow, newID func() string) (*assessed, error) {
	in := &assessing{ground: g, entered: e, own: map[rules.Pot]money.Pence{}}
	if replaced != nil {
		in.own = setAsideOf(replaced.Totals)
	}
	for i := range e.lines {
		line := &e.lines[i].line
		line.ID, line.Region, line.PriceKnown = newID(), g.regions[line.Month].region, g.today
	}
	switch e.kind {
	case store.Uplift:
		return in.assessUplift()
	case store.Correction:
		return in.assessCorrection()
	default:
		return in.assessMonthly()
	}
}

// assessing is a claim on its way.
type assessing struct {
	*ground
	*entered
	own map[rules.Pot]money.Pence // set aside for the claim that it is a revision of, and its own to use again
}

// before returns what lines hold that are paid for working time, but for those of a month that are assessed anew.
func (in *assessing) before(anew ...*approvedMonth) []rules.Held {
	var out []rules.Held
	for i := range in.held {
		h := &in.held[i]
		own := slices.ContainsFunc(anew, func(m *approvedMonth) bool { return m != nil && m.has(h.LineID) })
		if h.Kind == store.Uplift || h.Corrects() || own {
			continue
		}
		held := h.Held
		if held.From > 0 {
			held.From, held.To = 1, h.Month.Last().Time().Day() // a month of an engagement is claimed once, whatever its days
		}
		out = append(out, held)
	}
	return out
}

// assessMonthly decides what a month cost. What a correction restates is not claimed beside it.
func (in *assessing) assessMonthly() (*assessed, error) {
	var bad []badField
	for i := range in.lines {
		of := in.lines[i].of()
		if slices.ContainsFunc(in.held, func(h store.HeldLine) bool { return h.Corrects() && h.Of() == of }) {
			bad = append(bad, badField{i, "label", reasonCorrectionWaits, fmt.Sprintf("a correction of %s for %s waits for a decision", in.lines[i].engagement.Label, of.Month)})
		}
	}
	if err := refuseForm(bad); err != nil {
		return nil, err
	}
	out, err := in.assessTime(in.before())
	if err != nil {
		return nil, err
	}
	return out, out.sum()
}

// assessTime decides lines of working time, after those that hold something. Lines of a correction that take off come first, so that what
// they free is there for the others: which do is seen from what they cost, and then from what they come to.
func (in *assessing) assessTime(before []rules.Held) (*assessed, error) {
	comes := make([]money.Pence, len(in.lines))
	for i := range in.lines {
		cost, err := in.lines[i].line.Cost()
		if err != nil {
			return nil, err
		}
		comes[i] = cost
	}
	order := in.takingOffFirst(comes)
	decided := make([]*rules.Assessed, len(in.lines))
	for again := in.kind == store.Correction; ; again = false {
		lines := make([]rules.ClaimLine, len(order))
		for n, i := range order {
			lines[n] = in.lines[i].line
		}
		year, err := rules.AssessYear(in.contextFor(before, in.own), lines)
		if err != nil {
			return nil, err
		}
		for n, i := range order {
			decided[i], comes[i] = &year.Lines[n], year.Lines[n].WithinMaximum
		}
		next := in.takingOffFirst(comes)
		if !again || slices.Equal(next, order) {
			break
		}
		order = next
	}
	out := new(assessed)
	for i := range decided {
		out.add(in, i, decided[i])
	}
	return out, nil
}

// takingOffFirst orders the lines by whether they come to less than what they replace, and otherwise as they were entered.
func (in *assessing) takingOffFirst(comes []money.Pence) []int {
	var order, others []int
	for i := range in.lines {
		if comes[i] < in.lines[i].line.Standing {
			order = append(order, i)
		} else {
			others = append(others, i)
		}
	}
	return append(order, others...)
}

// add keeps what a line comes to.
func (a *assessed) add(in *assessing, i int, of *rules.Assessed) {
	line, region, shown := &in.lines[i], in.regions[of.Month], lineToAssessment(of)
	shown.Label, shown.PriceRegion, shown.PriceRegionAssumed = line.engagement.Label, region.region.String(), !region.decided
	a.lines = append(a.lines, store.LineRow{
		ID: line.line.ID, Number: i + 1, PCNCode: line.engagement.PCNCode, Month: line.month, EngagementID: line.engagement.ID, Left: line.left, Kind: in.kind,
		Live: in.kind != store.Correction, Role: of.Role, Person: line.line.Person, Pot: of.Pot, Held: of.Held, Claimed: of.Claimed, Payable: of.Payable,
		Confidence: of.Confidence, PriceKnown: line.line.PriceKnown, Terms: line.terms, Entry: line.entry, Assessment: shown,
	})
}

// sum adds the lines up by pot.
func (a *assessed) sum() error {
	totals := make(map[rules.Pot]*arrsv1.PotTotal)
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
		total.ReplacedPence += int64(line.Replaced)
	}
	for _, pot := range slices.Sorted(maps.Keys(totals)) {
		a.totals = append(a.totals, totals[pot])
	}
	return nil
}

// payableOf is what is payable of a claim by pot, and replacedOf what was approved before for what a correction replaces.
func payableOf(totals []*arrsv1.PotTotal) map[rules.Pot]money.Pence {
	return byPot(totals, (*arrsv1.PotTotal).GetPayablePence)
}

func replacedOf(totals []*arrsv1.PotTotal) map[rules.Pot]money.Pence {
	return byPot(totals, (*arrsv1.PotTotal).GetReplacedPence)
}

// setAsideOf is what a claim that waits sets aside in its pots: what is payable above what was approved before.
func setAsideOf(totals []*arrsv1.PotTotal) map[rules.Pot]money.Pence {
	return byPot(totals, func(total *arrsv1.PotTotal) int64 { return total.GetPayablePence() - total.GetReplacedPence() })
}

// byPot returns what totals come to that is above nothing.
func byPot(totals []*arrsv1.PotTotal, pence func(*arrsv1.PotTotal) int64) map[rules.Pot]money.Pence {
	out := make(map[rules.Pot]money.Pence)
	for _, total := range totals {
		if amount := money.Pence(pence(total)); amount > 0 {
			out[potOf(total.GetPot())] = amount
		}
	}
	return out
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
