package iif

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// nothingYet asks for what stood before anything came, where latest would ask for all that came since.
const nothingYet int64 = -1

// chunk is how many PCNs a core works out at a time.
const chunk = 16

// basis is what a year of a PCN is worked out from. The same basis always gives the same year.
type basis struct {
	pcn, pcnName, location, commissioner string
	// payer is the body that owed the PCN's payments on the day of the members. What it entered counts beside what the commissioner did.
	payer string
	year  period.FinancialYear
	// on is the day of the counts.
	on period.Date
	// members are the practices of the PCN on the last day of the year, or on the day of the counts where that comes first.
	members []string
	// list is the registered list, and listOf which one that is.
	list     rules.Given
	listOf   rules.List
	snapshot string
	// figures and counts are the positions of the last of them that count; latest for all.
	figures, counts int64
}

// worked is a year that was worked out, with what it took.
type worked struct {
	basis
	terms       *rules.Terms
	network     rules.Network
	counts      []rules.IndicatorCounts
	result      *rules.Year
	differences map[string][]rules.CountDifference // by indicator
	incomplete  []string                           // practices
	makers      []string
	// digest is the SHA-256 of all that the result says: the same again has the same.
	digest string
	// ungoverned says that no version of the scheme governs the year, which then comes to nothing by terms that say nothing.
	ungoverned *fault.Fault
}

// judgedOn is the day of the counts that judge a year.
func judgedOn(year period.FinancialYear) period.Date { return year.Last().Last() }

// bases fetches from the register what the years of a commissioner's PCNs are worked out from: those that it owes, or some of them.
func (s *Service) bases(ctx context.Context, commissioner string, year period.FinancialYear, on period.Date, pcns ...string) ([]basis, error) {
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: membersOn(year, on).String(), PopulationReferenceDate: year.ListDate().String(),
	})
	if err != nil {
		return nil, err
	}
	return basesIn(snapshot, year, on, pcns)
}

// basesBeside does so for the PCNs of whoever pays one, for those who may ask about that one alone.
func (s *Service) basesBeside(ctx context.Context, pcn string, year period.FinancialYear, on period.Date) ([]basis, error) {
	snapshot, err := s.register.GetPcnSnapshot(ctx, &registerv1.GetPcnSnapshotRequest{
		PcnCode: pcn, MembershipDate: membersOn(year, on).String(), PopulationReferenceDate: year.ListDate().String(),
	})
	if err != nil {
		return nil, err
	}
	return basesIn(snapshot, year, on, nil)
}

// membersOn is the day whose members count.
func membersOn(year period.FinancialYear, on period.Date) period.Date {
	if day := judgedOn(year); !on.Before(day) {
		return day
	}
	return on
}

// basesIn reads them from a commissioner's snapshot.
func basesIn(snapshot *registerv1.Snapshot, year period.FinancialYear, on period.Date, pcns []string) ([]basis, error) {
	day := membersOn(year, on)
	var out []basis
	r := textReader{}
	for _, pcn := range snapshot.GetPcns() {
		opened, closed := r.date(pcn.GetOpened()), r.date(pcn.GetClosed())
		if !pcn.GetOwed() || opened.After(day) || (!closed.IsZero() && closed.Before(day)) || (len(pcns) > 0 && !slices.Contains(pcns, pcn.GetPcnCode())) {
			continue
		}
		b := basis{
			pcn: pcn.GetPcnCode(), pcnName: pcn.GetName(), location: pcn.GetLocationCode(), commissioner: snapshot.GetCommissionerCode(), payer: pcn.GetPayerCode(),
			year: year, on: on, snapshot: snapshot.GetSnapshotId(), listOf: rules.List{Kind: rules.RegisteredList, On: year.ListDate()},
			list: registered(r.registered(pcn), snapshot.GetSnapshotId()),
		}
		for _, practice := range pcn.GetPractices() {
			if practice.GetParticipating() {
				b.members = append(b.members, practice.GetPracticeCode())
			}
		}
		slices.Sort(b.members)
		out = append(out, b)
	}
	if r.err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", snapshot.GetSnapshotId(), r.err)
	}
	slices.SortFunc(out, func(a, b basis) int { return cmp.Compare(a.pcn, b.pcn) })
	return out, nil
}

// registered is a list as the register's snapshot has it.
func registered(value *big.Rat, snapshot string) rules.Given {
	return rules.Given{Value: value, Origin: working.Origin{Kind: working.FromSnapshot, Ref: snapshot, Source: "register snapshot"}}
}

// textReader reads texts of messages and keeps the first failure.
type textReader struct{ err error }

func (r *textReader) date(text string) period.Date { return readText(r, text, period.ParseDate) }
func (r *textReader) exact(text string) *big.Rat   { return readText(r, text, money.ParseExact) }

func readText[T any](r *textReader, text string, read func(string) (T, error)) T {
	var none T
	if text == "" || r.err != nil {
		return none
	}
	value, err := read(text)
	if err != nil {
		r.err = err
		return none
	}
	return value
}

// registered adds up the registered patients of the practices that take part, or takes the figure supplied for the PCN where they have
// none. It is nil where one of them lacks its figure.
func (r *textReader) registered(pcn *registerv1.SnapshotPcn) (total *big.Rat) {
	add := func(populations []*registerv1.SnapshotPopulation) bool {
		for _, p := range populations {
			value := r.exact(p.GetValue())
			if p.GetKind() != typev1.PopulationKind_POPULATION_KIND_REGISTERED || value == nil {
				continue
			}
			if total == nil {
				total = new(big.Rat)
			}
			total.Add(total, value)
			return true
		}
		return false
	}
	missing, some := false, false
	for _, practice := range pcn.GetPractices() {
		if practice.GetParticipating() {
			stated := add(practice.GetPopulations())
			missing, some = missing || !stated, some || stated
		}
	}
	switch {
	case !some:
		add(pcn.GetPopulations())
	case missing:
		return nil
	}
	return total
}

// work works years out. Those of one call are of one year and one day. It refuses with SCHEME_VERSION_UNKNOWN a year that no version of
// the scheme governs.
func (s *Service) work(ctx context.Context, q sqldb.Querier, all []basis) ([]worked, error) {
	out, err := s.workOut(ctx, q, all, withIndicators)
	if err != nil {
		return nil, err
	}
	return out, governed(out)
}

// governed refuses years that no version of the scheme governs.
func governed(all []worked) error {
	for i := range all {
		if all[i].ungoverned != nil {
			return all[i].ungoverned
		}
	}
	return nil
}

// extent is how much is kept of years that are worked out. Indicators with their workings take some hundred kilobytes for each PCN, which
// nobody needs who works all of England out.
type extent bool

const (
	sumsOnly       extent = false
	withIndicators extent = true
)

// workOut works years out, also those that no version of the scheme governs: they come to nothing, and wait for the version. What is
// loaded is loaded once for all that rest on the same; while one part is loaded, the cores work on those before it.
func (s *Service) workOut(ctx context.Context, q sqldb.Querier, all []basis, kept extent) ([]worked, error) {
	type shared struct {
		commissioner, payer string
		figures, counts     int64
	}
	parts := make(map[shared][]int)
	var order []shared
	for i := range all {
		key := shared{all[i].commissioner, all[i].payer, all[i].figures, all[i].counts}
		if parts[key] == nil {
			order = append(order, key)
		}
		parts[key] = append(parts[key], i)
	}
	out := make([]worked, len(all))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	load := func() error {
		for _, key := range order {
			g, err := s.grounds(working, q, all, parts[key])
			if err != nil {
				return err
			}
			for some := range slices.Chunk(parts[key], chunk) {
				group.Go(func() error {
					for _, i := range some {
						if err := g.workOut(all[i], &out[i]); err != nil {
							return fmt.Errorf("year %s of %s: %w", all[i].year, all[i].pcn, err)
						}
						if kept == sumsOnly {
							out[i].counts, out[i].result = nil, light(out[i].result)
						}
					}
					return nil
				})
			}
		}
		return nil
	}
	loading := load()
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, loading
}

// grounds is what the years of one call rest on that have the same commissioner and payer and the same last figure and count.
type grounds struct {
	terms   *rules.Terms
	refused *fault.Fault // why the terms say nothing
	counts  *standingCounts
	figures int64
	// authors are those who entered figures and settings that govern.
	authors []string
	// at is the place of an indicator in the terms.
	at map[string]int
}

// grounds loads them.
func (s *Service) grounds(ctx context.Context, q sqldb.Querier, all []basis, part []int) (*grounds, error) {
	first := &all[part[0]]
	scheme, figures, err := s.scheme(ctx, q, first.figures)
	if err != nil {
		return nil, err
	}
	g := &grounds{figures: figures, counts: new(standingCounts), at: make(map[string]int)}
	query := rules.Query{Year: first.year, Commissioner: first.commissioner, Predecessor: first.payer}
	g.terms, err = rules.TermsFor(scheme, query)
	if refused, ok := fault.As(err); ok && refused.Reason == rules.ReasonVersionUnknown {
		g.refused, err = refused, nil
		g.terms = &rules.Terms{Query: query}
	}
	if err != nil {
		return nil, err
	}
	for i := range g.terms.Indicators {
		g.at[g.terms.Indicators[i].Code] = i
	}
	if g.authors, err = store.Authors(ctx, q, governingFigures(g.terms), g.terms.Version.Rounding.SettingIDs, seededBy); err != nil {
		return nil, err
	}
	if first.counts == nothingYet {
		return g, nil
	}
	var organisations []string
	for _, i := range part {
		organisations = append(append(organisations, all[i].pcn), all[i].members...)
	}
	g.counts, err = s.countsOf(ctx, q, []string{first.commissioner, first.payer}, first.year, first.on, inOrder(organisations), first.counts)
	return g, err
}

// governingFigures names the versions of figures that govern a year.
func governingFigures(t *rules.Terms) []string {
	out := []string{t.Version.ID}
	add := func(held rules.Held) {
		if held.Value != nil {
			out = append(out, held.Value.ID)
		}
	}
	add(t.Price)
	add(t.Average)
	for i := range t.Indicators {
		it := &t.Indicators[i]
		out = append(out, it.ID)
		for _, held := range []rules.Held{it.Points, it.Lower, it.Upper, it.Prevalent, it.National} {
			add(held)
		}
		if it.Override != nil {
			out = append(out, it.Override.ID)
		}
	}
	return inOrder(out)
}

// workOut works the year of one PCN out.
func (g *grounds) workOut(b basis, out *worked) error {
	*out = worked{basis: b, terms: g.terms, network: rules.Network{PCN: b.pcn, ListSize: b.list, List: b.listOf}, differences: make(map[string][]rules.CountDifference)}
	out.figures, out.basis.counts = g.figures, g.counts.position
	if b.counts == nothingYet {
		out.basis.counts = 0
	}
	out.makers = inOrder(append(g.counts.makersOf(append([]string{b.pcn}, b.members...)), g.authors...))
	if g.refused != nil {
		out.waitFor(g.refused)
	} else if err := g.assess(out); err != nil {
		return err
	}
	out.digest = digestOf(out)
	return nil
}

// waitFor leaves a year that no version governs with nothing.
func (w *worked) waitFor(version *fault.Fault) {
	w.ungoverned = version
	w.result = &rules.Year{PCN: w.pcn, Points: new(big.Rat), Available: new(big.Rat), Refused: []rules.Refusal{{Why: version}}}
}

// assess brings the counts together and judges them.
func (g *grounds) assess(w *worked) (err error) {
	disagreeing := g.sum(w)
	if w.result, err = rules.AssessYear(g.terms, &w.network, w.counts); err != nil {
		return err
	}
	for code, why := range disagreeing {
		contradicted(w.result, code, why)
	}
	return nil
}

// makersOf returns who made counts of some organisations.
func (c *standingCounts) makersOf(organisations []string) (out []string) {
	for _, code := range organisations {
		out = append(out, c.byHand[code]...)
	}
	return out
}

// sum brings together what counts for a PCN, indicator by indicator, and returns those whose practices' counts contradict each other.
//
// Where practices have counts, their sum is judged and the PCN's own row is only held against it. The PCN's own row is judged where no
// practice has any: answers of yes or no, and feeds that come for the PCN as a whole. Where two feeds bring the two halves of an
// indicator, such as residents by practice and beds entered for the PCN, this holds for each half.
func (g *grounds) sum(w *worked) map[string]*fault.Fault {
	rows := make([][]rules.PracticeCounts, len(g.terms.Indicators))
	own := make([]*rules.Counts, len(g.terms.Indicators))
	unlisted := make(map[string]bool)
	each := func(organisation string, use func(at int, counts *rules.Counts)) {
		for i, of := 0, g.counts.of[organisation]; i < len(of); i++ {
			if at, listed := g.at[of[i].Code]; listed {
				use(at, &of[i].Counts)
			} else {
				unlisted[of[i].Code] = true
			}
		}
	}
	each(w.pcn, func(at int, counts *rules.Counts) { own[at] = counts })
	members := make([]rules.Member, len(w.members))
	for i, practice := range w.members {
		members[i] = rules.Member{Practice: practice, PCN: w.pcn}
		each(practice, func(at int, counts *rules.Counts) {
			rows[at] = append(rows[at], rules.PracticeCounts{Practice: practice, Counts: *counts})
		})
	}
	disagreeing := make(map[string]*fault.Fault)
	for at := range g.terms.Indicators {
		it := &g.terms.Indicators[at].Indicator
		if it.Kind == rules.Binary || len(members) == 0 || (len(rows[at]) == 0 && own[at] != nil) {
			if own[at] != nil {
				w.counts = append(w.counts, rules.IndicatorCounts{Code: it.Code, Counts: *own[at]})
			}
			continue
		}
		if why := w.sum(it, members, rows[at], own[at]); why != nil {
			disagreeing[it.Code] = why
		}
	}
	for _, code := range slices.Sorted(maps.Keys(unlisted)) {
		w.counts = append(w.counts, rules.IndicatorCounts{Code: code})
	}
	w.incomplete = inOrder(w.incomplete)
	return disagreeing
}

// sum adds up the rows of the practices of one indicator, and holds the PCN's own row against them.
func (w *worked) sum(it *rules.Indicator, members []rules.Member, rows []rules.PracticeCounts, own *rules.Counts) *fault.Fault {
	origin := working.Origin{Kind: working.FromDeclaration, Source: fmt.Sprintf("counts of %d practices on %s", len(members), w.on)}
	for i := range rows {
		origin.Confidence = max(origin.Confidence, rows[i].Counts.Origin.Confidence)
	}
	sums, _, err := rules.SumPractices(it, members, rows, origin)
	if err != nil {
		if refused, ok := fault.As(err); ok {
			where := strings.TrimSuffix(strings.TrimSuffix(err.Error(), refused.Error()), ": ")
			return refused.With("where", where).With("missing", "counts of "+it.Code+" that agree").With("remedy", "mend the counts of "+where)
		}
		return fault.New(fault.Refused, rules.ReasonCountsDisagree, "the counts of %s cannot be added up", it.Code).Because(err)
	}
	if it.Status == rules.Active {
		w.incomplete = append(w.incomplete, sums[0].Incomplete...)
	}
	if len(rows) == 0 {
		return nil // nothing came at all, which is not the same as counts of nothing
	}
	summed := sums[0].Counts
	if own != nil {
		if different := rules.CompareCounts(&summed, own); len(different) > 0 {
			w.differences[it.Code] = different
		}
		takeHalf(it, &summed, rows, own)
	}
	w.counts = append(w.counts, rules.IndicatorCounts{Code: it.Code, Counts: summed})
	return nil
}

// takeHalf takes from the PCN's own row the half of an indicator that another feed brings than the practices' half.
func takeHalf(it *rules.Indicator, summed *rules.Counts, rows []rules.PracticeCounts, own *rules.Counts) {
	if it.NumeratorFrom == it.DenominatorFrom {
		return
	}
	none := func(cells ...func(*rules.Counts) rules.Cell) bool {
		return !slices.ContainsFunc(rows, func(row rules.PracticeCounts) bool {
			return slices.ContainsFunc(cells, func(cell func(*rules.Counts) rules.Cell) bool { return cell(&row.Counts).State != rules.Absent })
		})
	}
	numerator := func(c *rules.Counts) rules.Cell { return c.Numerator }
	baselineNumerator := func(c *rules.Counts) rules.Cell { return c.BaselineNumerator }
	if none(numerator, baselineNumerator) {
		summed.Numerator, summed.BaselineNumerator = own.Numerator, own.BaselineNumerator
	}
	denominator := func(c *rules.Counts) rules.Cell { return c.Denominator }
	baselineDenominator := func(c *rules.Counts) rules.Cell { return c.BaselineDenominator }
	register := func(c *rules.Counts) rules.Cell { return c.Register }
	if none(denominator, baselineDenominator, register) {
		summed.Denominator, summed.BaselineDenominator, summed.Register = own.Denominator, own.BaselineDenominator, own.Register
		summed.Exclusions, summed.Adjustments = own.Exclusions, own.Adjustments
	}
}

// light is a year without its indicators and workings.
func light(y *rules.Year) *rules.Year {
	out := *y
	out.Results, out.Working = nil, nil
	return &out
}

// contradicted says of an indicator without counts that there are some, and that they contradict each other.
func contradicted(y *rules.Year, code string, why *fault.Fault) {
	r, found := y.Find(code)
	if !found {
		return
	}
	for _, p := range []*rules.Payment{&r.Measured, &r.Due} {
		if p.Refused != nil && p.Refused.Reason == rules.ReasonCountMissing {
			p.Refused = why
		}
	}
	for i := range y.Refused {
		if y.Refused[i].Code == code && y.Refused[i].Why.Reason == rules.ReasonCountMissing {
			y.Refused[i].Why = why
		}
	}
	at := &r.Tests[rules.TestAchievement-1]
	for i, reason := range at.Reasons {
		if reason == rules.ReasonCountMissing {
			at.Reasons[i] = why.Reason
		}
	}
}

// changed says what of the basis of years changed.
type changed struct {
	year         period.FinancialYear
	commissioner string   // rules.England for all
	pcns         []string // none for all
	practices    []string // those of which they are members; none for all
	// national says that it is a national file: who loads one makes nothing, and may approve what comes of it.
	national bool
	cause    rules.Cause
	words    string
}

// inOrder returns values in order, each once and none empty.
func inOrder(values []string) []string {
	values = slices.DeleteFunc(values, func(value string) bool { return value == "" })
	slices.Sort(values)
	return slices.Compact(values)
}
