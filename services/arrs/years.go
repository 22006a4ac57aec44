package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// fundingSource is the account that ARRS is paid from.
const fundingSource = "ARRS"

// firstYear is the first in which the fund pays.
const firstYear = period.FinancialYear(2019)

// fixAttempts bounds how often fixing a year starts again.
const fixAttempts = 5

// errInputsMoved says that another fix changed what this one rests on; it starts again.
var errInputsMoved = errors.New("another fix of the year came between")

// membershipDay is the day whose PCNs and leaders count for a year: its first or, within it, the first of the month that runs. PCNs began
// on 1 July 2019, and the register's open on 1 October, when they were given codes.
func membershipDay(year period.FinancialYear, today period.Date) period.Date {
	if month := today.Month(); month.FinancialYear() == year {
		return month.First()
	}
	if year == firstYear {
		return year.First().Add(6).First()
	}
	return year.First().First()
}

func snapshotRequest(commissioner string, day period.Date, year period.FinancialYear) *registerv1.GetSnapshotRequest {
	return &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: day.String(), PopulationReferenceDate: year.ListDate().String(),
	}
}

// FixYear works out the yearly sums of a commissioner's PCNs: see the contract. The register's picture is fetched before the
// transaction; if another fix came between, it starts again.
func (s *Service) FixYear(ctx context.Context, req *arrsv1.FixYearRequest) (*arrsv1.FixYearResponse, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	if today := period.DateOf(s.db.Now()); year < firstYear || year.ListDate().After(today) {
		return nil, fault.New(fault.Refused, reasonYearOutOfRange, "%s cannot be fixed: the fund starts with %s, and the lists of a year are those of 1 January before it", year, firstYear).
			With("financial_year", year).At("financial_year", "a year from 2019-20 whose lists are of a day that has come")
	}
	if stored, found, err := change.Stored[*arrsv1.FixYearResponse](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	for range fixAttempts {
		asked := s.db.Now()
		day := membershipDay(year, period.DateOf(asked))
		snapshot, err := s.register.GetSnapshot(ctx, snapshotRequest(req.GetCommissionerCode(), day, year))
		if err != nil {
			return nil, err
		}
		led, err := ledBy(snapshot, year, day)
		if err != nil {
			return nil, err
		}
		f := &fix{commissioner: req.GetCommissionerCode(), name: snapshot.GetCommissionerName(), year: year, day: day, asked: sqldb.Micros(asked), led: led}
		out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*arrsv1.FixYearResponse, error) {
			return s.fix(ctx, tx, f)
		})
		if !errors.Is(err, errInputsMoved) {
			return out, err
		}
	}
	return nil, fault.New(fault.Busy, reasonFixInProgress, "%s is being fixed by others for PCNs of %s", year, req.GetCommissionerCode())
}

// fix is what fixing a year rests on that is fetched before its transaction.
type fix struct {
	commissioner, name string
	year               period.FinancialYear
	day                period.Date
	asked              int64 // microseconds: before the picture was fetched
	led                []ledPCN
}

// ledPCN is a PCN as the register shows it to its commissioner.
type ledPCN struct {
	row   store.YearRow
	payer string // who pays it on the day; another than the commissioner where that has taken over the debts
}

// ledBy reads the PCNs whose payments the commissioner owes on the day, in order of code.
func ledBy(snapshot *registerv1.Snapshot, year period.FinancialYear, day period.Date) ([]ledPCN, error) {
	var out []ledPCN
	r := reader{}
	for _, pcn := range snapshot.GetPcns() {
		opened, closed := r.date(pcn.GetOpened()), r.date(pcn.GetClosed())
		if !pcn.GetOwed() || opened.After(day) || (!closed.IsZero() && closed.Before(day)) {
			continue
		}
		weighted, load := r.population(pcn, typev1.PopulationKind_POPULATION_KIND_WEIGHTED)
		registered, _ := r.population(pcn, typev1.PopulationKind_POPULATION_KIND_REGISTERED)
		row := store.YearRow{
			PCNCode: pcn.GetPcnCode(), PCNName: pcn.GetName(), CommissionerCode: snapshot.GetCommissionerCode(),
			CommissionerName: snapshot.GetCommissionerName(), LocationCode: pcn.GetLocationCode(), Year: year, WeightedLoadID: load,
			SnapshotID: snapshot.GetSnapshotId(), Population: rules.Population{Value: weighted, Origin: working.Origin{
				Kind: working.FromSnapshot, Ref: load, Source: "register snapshot " + snapshot.GetSnapshotId(),
			}},
		}
		if registered != nil {
			row.RegisteredPatients = new(big.Int).Quo(registered.Num(), registered.Denom()).Int64()
		}
		out = append(out, ledPCN{row, pcn.GetPayerCode()})
	}
	if r.err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", snapshot.GetSnapshotId(), r.err)
	}
	slices.SortFunc(out, func(a, b ledPCN) int { return cmp.Compare(a.row.PCNCode, b.row.PCNCode) })
	return out, nil
}

// population adds up the practices that take part, or takes the figure supplied for the PCN where they have none. It is nil where one
// of them lacks its figure. The load is named if all come from one.
func (r *reader) population(pcn *registerv1.SnapshotPcn, kind typev1.PopulationKind) (total *big.Rat, load string) {
	var loads []string
	add := func(populations []*registerv1.SnapshotPopulation) bool {
		for _, p := range populations {
			value := r.decimal(p.GetValue())
			if p.GetKind() != kind || value == nil {
				continue
			}
			if total == nil {
				total = new(big.Rat)
			}
			total.Add(total, value)
			loads = append(loads, p.GetLoadId())
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
		return nil, ""
	}
	if loads = slices.Compact(loads); len(loads) == 1 {
		load = loads[0]
	}
	return total, load
}

// fix stores a version of each PCN's year of which something has changed, with what its pots come to.
func (s *Service) fix(ctx context.Context, tx *change.Tx, f *fix) (*arrsv1.FixYearResponse, error) {
	codes := make([]string, len(f.led))
	locks := []string{commissionerLock(f.commissioner)}
	for i := range f.led {
		codes[i] = f.led[i].row.PCNCode
		locks = append(locks, pcnLock(codes[i]))
	}
	if err := tx.LockAll(ctx, locks); err != nil {
		return nil, err
	}
	in, err := s.fixed(ctx, tx, f, codes)
	if err != nil {
		return nil, err
	}
	out := &arrsv1.FixYearResponse{FinancialYear: f.year.String()}
	var changed []string
	all := make(map[string][]rules.Entitlement)
	for i := range f.led {
		pcn := &f.led[i]
		held, found := in.held[pcn.row.PCNCode]
		if found && held.FixedAt > f.asked {
			return nil, errInputsMoved
		}
		if found && !f.takes(pcn, &held) {
			continue // another leads it by now
		}
		row := pcn.row
		pots, err := in.entitle(&row)
		if err != nil {
			return nil, fmt.Errorf("yearly sums of %s: %w", row.PCNCode, err)
		}
		out.Pcns++
		all[row.PCNCode] = pots
		if found && !differs(&row, &held) && samePots(pots, in.pots[row.PCNCode]) {
			continue
		}
		out.Changed++
		// Taken under the lock, so that of two fixes the later one bears the later time.
		row.Version, row.FixedBy, row.FixedAt = held.Version+1, tx.By.Subject, sqldb.Micros(s.db.Now())
		if err := store.InsertYear(ctx, tx.Tx, row, pots); err != nil {
			return nil, err
		}
		if held.CommissionerCode != row.CommissionerCode {
			if err := s.handOver(ctx, tx, &row); err != nil {
				return nil, err
			}
		}
		changed = append(changed, row.PCNCode)
	}
	if out.Totals, out.Refusals, err = sums(all); err != nil {
		return nil, err
	}
	stated, err := entitlementsOf(ctx, tx, f.year, changed)
	if err != nil {
		return nil, err
	}
	if len(stated) > 0 {
		head := &arrsv1.EntitlementsStated{CommissionerCode: f.commissioner, CommissionerName: f.name, Month: f.day.Month().String()}
		if _, err := state(ctx, tx, head, stated); err != nil {
			return nil, err
		}
	}
	summary := fmt.Sprintf("fixed %s: %d PCNs, %d of them anew", f.year, out.GetPcns(), out.GetChanged())
	return out, tx.Record(ctx, "arrs/years/"+f.year.String()+"/"+f.commissioner, f.commissioner, summary)
}

// handOver gives the commissioner that now leads a PCN in a year what is its to decide.
func (s *Service) handOver(ctx context.Context, tx *change.Tx, row *store.YearRow) error {
	claims, err := store.LeadClaims(ctx, tx.Tx, row.PCNCode, row.Year, row.CommissionerCode)
	if err != nil {
		return err
	}
	for i := range claims {
		if err := tell(ctx, tx, &claims[i], fmt.Sprintf("took over the claim of %s for %s", row.PCNCode, claims[i].Month)); err != nil {
			return err
		}
	}
	_, err = store.LeadEngagements(ctx, tx.Tx, row.PCNCode, s.runningYear())
	return err
}

// runningYear is the financial year that today lies in.
func (s *Service) runningYear() period.FinancialYear {
	return period.DateOf(s.db.Now()).Month().FinancialYear()
}

// takes tells whether a commissioner's word on a PCN's year stands in the place of another's: it leads the PCN on a later day than the
// other did, or has taken over the debts of the other.
func (f *fix) takes(pcn *ledPCN, held *store.YearRow) bool {
	heldDay := membershipDay(f.year, period.DateOf(sqldb.FromMicros(held.FixedAt)))
	switch {
	case held.CommissionerCode == f.commissioner, heldDay.Before(f.day):
		return true
	case heldDay.After(f.day):
		return false
	}
	return held.CommissionerCode == pcn.payer
}

// fixedInputs is what fixing a year rests on that is read in its transaction.
type fixedInputs struct {
	scheme  *rules.Scheme
	year    period.FinancialYear
	known   period.Date
	held    map[string]store.YearRow
	pots    map[string][]store.EntitlementRow
	regions map[string]rules.Region
}

func (s *Service) fixed(ctx context.Context, tx *change.Tx, f *fix, codes []string) (*fixedInputs, error) {
	in := &fixedInputs{
		year: f.year, known: period.DateOf(tx.Now()), held: make(map[string]store.YearRow), pots: make(map[string][]store.EntitlementRow),
		regions: make(map[string]rules.Region),
	}
	var err error
	if in.scheme, err = s.scheme(ctx, tx); err != nil {
		return nil, err
	}
	held, err := store.Years(ctx, tx, store.Page{Scope: store.Scope{Commissioners: []string{}, PCNs: codes}}, f.year)
	if err != nil {
		return nil, err
	}
	for _, row := range held {
		in.held[row.PCNCode] = row
	}
	pots, err := store.Entitlements(ctx, tx, f.year, codes)
	if err != nil {
		return nil, err
	}
	for i := range pots {
		in.pots[pots[i].PCNCode] = append(in.pots[pots[i].PCNCode], pots[i])
	}
	decided, err := store.RegionsOf(ctx, tx, codes)
	if err != nil {
		return nil, err
	}
	byPCN := make(map[string][]store.DecisionRow)
	for _, row := range decided {
		byPCN[row.PCNCode] = append(byPCN[row.PCNCode], row)
	}
	for _, code := range codes {
		region, err := regionOf(standing(byPCN[code]), runningMonth(f.year, in.known))
		if err != nil {
			return nil, err
		}
		in.regions[code] = region.region
	}
	return in, nil
}

// entitle gives a PCN's year its region and computes what its pots come to. In 2019/20 a rate comes on top of the offers only where a
// person entered one, for those hired early.
func (in *fixedInputs) entitle(row *store.YearRow) ([]rules.Entitlement, error) {
	row.Region = in.regions[row.PCNCode]
	pots, err := rules.Entitle(in.scheme.SumRates, in.year, row.Population, row.CommissionerCode, in.known)
	if err != nil || in.year != firstYear {
		return pots, err
	}
	list := rules.ListSize{Patients: row.RegisteredPatients, Known: row.RegisteredPatients > 0}
	offers, err := rules.Offers(in.scheme.Prices, in.scheme.Limits, row.Region, list, row.CommissionerCode, in.known)
	return append(pots, offers...), err
}

// differs tells whether what the sums of a year rest on has changed: who leads the PCN, where it lies, its lists, its region.
func differs(now, held *store.YearRow) bool {
	return now.CommissionerCode != held.CommissionerCode || now.LocationCode != held.LocationCode || now.Region != held.Region ||
		now.RegisteredPatients != held.RegisteredPatients || decimal(now.Population.Value) != decimal(held.Population.Value)
}

// samePots tells whether pots come to what they came to before, on the same rates.
func samePots(now []rules.Entitlement, held []store.EntitlementRow) bool {
	key := func(e *rules.Entitlement) string {
		reason := ""
		if e.Refused != nil {
			reason = e.Refused.Reason
		}
		return fmt.Sprint(e.Pot, e.From, e.To, int64(e.Amount), e.RateID, reason)
	}
	keys := make(map[string]bool, len(held))
	for i := range held {
		keys[key(&held[i].Entitlement)] = true
	}
	for i := range now {
		if !keys[key(&now[i])] {
			return false
		}
	}
	return len(now) == len(held)
}

// sums adds up the pots of PCNs, and puts refusals of one cause together.
func sums(all map[string][]rules.Entitlement) (totals []*arrsv1.PotSum, refusals []*typev1.Refusal, err error) {
	byPot := make(map[rules.Pot]*arrsv1.PotSum)
	byCause := make(map[string]*typev1.Refusal)
	for pcn, pots := range all {
		for i := range pots {
			e := &pots[i]
			if e.Refused != nil {
				refusal := refusalToProto(e)
				cause := fmt.Sprint(refusal.GetReason(), refusal.GetPaymentCode(), refusal.GetMissing())
				if byCause[cause] == nil {
					byCause[cause] = refusal
					refusals = append(refusals, refusal)
				}
				byCause[cause].PcnCodes = append(byCause[cause].PcnCodes, pcn)
				continue
			}
			sum := byPot[e.Pot]
			if sum == nil {
				sum = &arrsv1.PotSum{Pot: potToProto(e.Pot)}
				byPot[e.Pot] = sum
				totals = append(totals, sum)
			}
			total, err := money.Pence(sum.GetEntitlementPence()).Add(e.Amount)
			if err != nil {
				return nil, nil, err
			}
			sum.Pcns, sum.EntitlementPence = sum.GetPcns()+1, int64(total)
		}
	}
	slices.SortFunc(totals, func(a, b *arrsv1.PotSum) int { return cmp.Compare(a.GetPot(), b.GetPot()) })
	slices.SortFunc(refusals, func(a, b *typev1.Refusal) int {
		return cmp.Or(cmp.Compare(a.GetPaymentCode(), b.GetPaymentCode()), cmp.Compare(a.GetReason(), b.GetReason()), cmp.Compare(a.GetMissing(), b.GetMissing()))
	})
	for _, refusal := range refusals {
		slices.Sort(refusal.PcnCodes)
	}
	return totals, refusals, nil
}

// refusalToProto writes why a pot has no sum.
func refusalToProto(e *rules.Entitlement) *typev1.Refusal {
	out := missingToProto(e.Refused)
	out.PaymentCode, out.ForMonth = potCode(e.Pot), e.From.String()
	return out
}

// GetYear returns a PCN's yearly sums, with their working, to its commissioner and itself.
func (s *Service) GetYear(ctx context.Context, req *arrsv1.GetYearRequest) (*arrsv1.Year, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	var out []*arrsv1.Year
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Year(req.GetPcnCode(), year).First(ctx, q)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, row.PCNCode)) {
			return fault.New(fault.NotFound, reasonYearNotFound, "%s has not been fixed for a PCN %q", year, req.GetPcnCode())
		}
		if err != nil {
			return err
		}
		out, err = positions(ctx, q, year, []store.YearRow{row})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// ListYears returns the yearly sums of many PCNs without their working: those of the caller's commissioners, and the PCNs that the
// caller holds.
func (s *Service) ListYears(ctx context.Context, req *arrsv1.ListYearsRequest) (*arrsv1.ListYearsResponse, error) {
	year, err := parseYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListYearsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Years(ctx, q, by, year)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.YearRow) string { return r.PCNCode })
		out.Years, err = positions(ctx, q, year, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, y := range out.GetYears() {
		for _, pot := range y.GetPots() {
			pot.Working = nil
		}
	}
	return out, nil
}

// positions returns years with what is left of their pots.
func positions(ctx context.Context, q sqldb.Querier, year period.FinancialYear, rows []store.YearRow) ([]*arrsv1.Year, error) {
	codes := make([]string, len(rows))
	for i := range rows {
		codes[i] = rows[i].PCNCode
	}
	entitled, err := store.Entitlements(ctx, q, year, codes)
	if err != nil {
		return nil, err
	}
	moved, err := store.Pots(ctx, q, year, codes)
	if err != nil {
		return nil, err
	}
	type potOf struct {
		pcn string
		pot rules.Pot
	}
	totals := make(map[potOf]store.PotRow, len(moved))
	for _, row := range moved {
		totals[potOf{row.PCNCode, row.Pot}] = row
	}
	byPCN := make(map[string][]*arrsv1.PotPosition)
	for i := range entitled {
		e := &entitled[i]
		position, err := positionOf(e, totals[potOf{e.PCNCode, e.Pot}])
		if err != nil {
			return nil, fmt.Errorf("pot %s of %s: %w", e.Pot, e.PCNCode, err)
		}
		byPCN[e.PCNCode] = append(byPCN[e.PCNCode], position)
	}
	out := make([]*arrsv1.Year, len(rows))
	for i := range rows {
		out[i] = yearToProto(&rows[i])
		out[i].Pots = byPCN[rows[i].PCNCode]
		slices.SortFunc(out[i].Pots, func(a, b *arrsv1.PotPosition) int { return cmp.Compare(a.GetPot(), b.GetPot()) })
	}
	return out, nil
}

// positionOf is how much of a pot is left: below nothing where more was set aside or approved than a sum that was lowered allows.
// Without a sum nothing can be used, and nothing is left.
func positionOf(e *store.EntitlementRow, moved store.PotRow) (*arrsv1.PotPosition, error) {
	out := &arrsv1.PotPosition{
		Pot: potToProto(e.Pot), FromMonth: e.From.String(), ToMonth: e.To.String(), GivenUpPence: int64(moved.GivenUp), AwardedPence: int64(moved.Awarded),
		SubmittedPence: int64(moved.Submitted), ApprovedPence: int64(moved.Approved), ScheduledPence: int64(moved.Scheduled),
	}
	if e.Refused == nil {
		return out, usableOf(out, e, moved)
	}
	out.Refusal = refusalToProto(&e.Entitlement)
	out.Refusal.PcnCodes = []string{e.PCNCode}
	return out, nil
}

func usableOf(out *arrsv1.PotPosition, e *store.EntitlementRow, moved store.PotRow) error {
	usable, err := money.Sum(e.Amount, -moved.GivenUp, moved.Awarded)
	if err != nil {
		return err
	}
	remaining, err := money.Sum(usable, -moved.Submitted, -moved.Approved)
	out.EntitlementPence, out.UsablePence, out.RemainingPence = int64(e.Amount), int64(usable), int64(remaining)
	out.Working, out.Confidence = e.WorkingProto, working.ConfidenceToProto(e.Confidence)
	return err
}
