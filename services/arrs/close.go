package arrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// CloseMonth fixes what a commissioner owes for claims that were approved and are in no schedule yet: see the contract. The register's
// pictures are fetched before the transaction; what is due is read in it, under the locks of its PCNs.
func (s *Service) CloseMonth(ctx context.Context, req *arrsv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*typev1.PaymentSchedule](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	b, err := s.gather(ctx, req.GetCommissionerCode(), month)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*typev1.PaymentSchedule, error) {
		row, lines, err := s.fixMonth(ctx, tx, b)
		if err != nil {
			return nil, err
		}
		if req.GetOmitLines() {
			lines = nil
		}
		return scheduleToProto(row, lines, false), nil
	})
}

// startedMonth reads a month and refuses one that has not begun, or that lies before the scheme.
func (s *Service) startedMonth(text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, reasonMonthMalformed, "%v", err).At("month", err.Error())
	}
	if today := period.DateOf(s.db.Now()); month.First().After(today) {
		return month, fault.New(fault.Refused, reasonMonthNotStarted, "%s has not started: today is %s", month, today).
			With("month", month).With("today", today)
	}
	if month.FinancialYear() < rules.FirstYear {
		return month, fault.New(fault.Refused, rules.ReasonMonthOutOfRange, "the scheme pays from %s, not for %s", rules.FirstYear, month).
			With("month", month)
	}
	return month, nil
}

// basis is what a close rests on that is fetched before its transaction.
type basis struct {
	commissioner string
	month        period.Month
	at           int64 // microseconds: when the pictures were fetched
	now          *picture
	// then are the pictures of earlier months that something is due for.
	then map[period.Month]*picture
	// inForce tells of other bodies whether they owed anything in a month in which the commissioner led the PCN of what was put to them.
	inForce map[debt]bool
	// pcns are those of which something waited when the pictures were fetched, in order: approved claims, or lines without a payee that
	// is recorded by now. What becomes due later waits for the next close.
	pcns []string
}

// picture is whom the commissioner owes for a month, as the register has it.
type picture struct {
	id, name string
	pcns     map[string]pcn
}

// pcn is a network in a picture.
type pcn struct {
	name, location string
	payee          *typev1.Payee
	leads          bool // the commissioner is the payer of the day
	owed           bool // the commissioner is, or has taken over the payer's debts
}

// gather fetches the picture of the month, and those of earlier months where they decide whose debt a claim is.
func (s *Service) gather(ctx context.Context, commissioner string, month period.Month) (*basis, error) {
	b := &basis{commissioner: commissioner, month: month, at: sqldb.Micros(s.db.Now()), then: make(map[period.Month]*picture), inForce: make(map[debt]bool)}
	var err error
	if b.now, err = s.picture(ctx, commissioner, month); err != nil {
		return nil, err
	}
	if !b.now.pays() {
		return nil, fault.New(fault.Refused, reasonCommissionerNotInForce, "%s owes nothing in %s: close the month for the body that does", commissioner, month).
			With("commissioner", commissioner).With("month", month)
	}
	var due []store.DueClaim
	var unpaid []store.ScheduleLine
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		claiming, err := store.ClaimingPCNs(ctx, q, commissioner)
		if err != nil {
			return err
		}
		if due, err = store.DueClaims(ctx, q, sorted(append(claiming, slices.Collect(maps.Keys(b.now.pcns))...)), month); err != nil {
			return err
		}
		unpaid, err = store.LinesWithoutPayee(ctx, q, sorted(slices.Collect(maps.Keys(b.now.pcns))))
		return err
	})
	if err != nil {
		return nil, err
	}
	debts, err := debtsOf(due, notTaken(unpaid))
	if err != nil {
		return nil, err
	}
	if err := s.earlier(ctx, b, debts); err != nil {
		return nil, err
	}
	if err := s.others(ctx, b, debts); err != nil {
		return nil, err
	}
	held, err := b.held(unpaid)
	if err != nil {
		return nil, err
	}
	for i := range held {
		b.pcns = append(b.pcns, held[i].PCNCode)
	}
	for i := range due {
		if b.owes(debtOf(&due[i])) {
			b.pcns = append(b.pcns, due[i].PCNCode)
		}
	}
	b.pcns = sorted(b.pcns)
	return b, nil
}

// pays tells whether the commissioner leads a network, or owes what one that led it owed.
func (p *picture) pays() bool {
	for _, network := range p.pcns {
		if network.leads || network.owed {
			return true
		}
	}
	return false
}

// notTaken returns those of the lines without a payee that no line has taken back.
func notTaken(rows []store.ScheduleLine) (out []store.ScheduleLine) {
	taken := make(map[string]bool)
	for i := range rows {
		if store.TakesBack(rows[i].Message) {
			taken[rows[i].Message.GetAdjustsLineId()] = true
		}
	}
	for _, row := range rows {
		if !store.TakesBack(row.Message) && !taken[row.Message.GetLineId()] {
			out = append(out, row)
		}
	}
	return out
}

// debt is whose money something is: it was put to a commissioner, for a PCN and a month.
type debt struct {
	commissioner, pcn string
	month             period.Month
}

func debtOf(claim *store.DueClaim) debt {
	return debt{claim.CommissionerCode, claim.PCNCode, claim.Month}
}

func debtOfLine(line *store.ScheduleLine) (debt, error) {
	month, err := period.ParseMonth(line.Message.GetForMonth())
	if err != nil {
		return debt{}, fault.Bug("line %s: %v", line.Message.GetLineId(), err)
	}
	return debt{line.CommissionerCode, line.Message.GetPcnCode(), month}, nil
}

func debtsOf(due []store.DueClaim, unpaid []store.ScheduleLine) ([]debt, error) {
	var out []debt
	for i := range due {
		out = append(out, debtOf(&due[i]))
	}
	for i := range unpaid {
		of, err := debtOfLine(&unpaid[i])
		if err != nil {
			return nil, err
		}
		out = append(out, of)
	}
	return out, nil
}

// earlier fetches the pictures of months in which money was another body's to pay, or a network's that the month's picture lacks.
func (s *Service) earlier(ctx context.Context, b *basis, debts []debt) error {
	for _, of := range debts {
		_, known := b.now.pcns[of.pcn]
		if of.month.Before(b.month) && (!known || of.commissioner != b.commissioner) {
			b.then[of.month] = nil
		}
	}
	months := slices.Collect(maps.Keys(b.then))
	pictures := make([]*picture, len(months))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, month := range months {
		group.Go(func() (err error) {
			pictures[i], err = s.picture(ctx, b.commissioner, month)
			return earlierOrFail(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, month := range months {
		b.then[month] = pictures[i]
	}
	return nil
}

// earlierOrFail lets an earlier month go for which the body did not exist or nothing is known of its members.
func earlierOrFail(err error) error {
	f := rpc.FaultFromStatus(status.Convert(err))
	if err == nil || f == nil {
		return err
	}
	switch f.Reason {
	case reasonCommissionerNotInForce, "ORGANISATION_UNKNOWN", "MEMBERSHIP_NOT_LOADED":
		return nil
	}
	return err
}

// picture fetches one picture; the payers of the day are those of the first of the month.
func (s *Service) picture(ctx context.Context, commissioner string, month period.Month) (*picture, error) {
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: month.First().String(), PopulationReferenceDate: month.FinancialYear().ListDate().String(),
	})
	if err != nil {
		return nil, err
	}
	out := &picture{id: snapshot.GetSnapshotId(), name: snapshot.GetCommissionerName(), pcns: make(map[string]pcn, len(snapshot.GetPcns()))}
	for _, p := range snapshot.GetPcns() {
		out.pcns[p.GetPcnCode()] = pcn{
			name: p.GetName(), location: p.GetLocationCode(), payee: p.GetPayee(), leads: p.GetPayerCode() == commissioner, owed: p.GetOwed(),
		}
	}
	return out, nil
}

// others asks whether bodies owed anything in the months in which the commissioner led the PCNs of what was put to them. A body that had
// ended left it to the commissioner, and one that had not owes it itself.
func (s *Service) others(ctx context.Context, b *basis, debts []debt) error {
	for _, of := range debts {
		body := debt{commissioner: of.commissioner, month: of.month}
		if _, asked := b.inForce[body]; asked || of.commissioner == b.commissioner || !b.picture(of.month).leads(of.pcn) {
			continue
		}
		found, err := s.picture(ctx, of.commissioner, of.month)
		if err := earlierOrFail(err); err != nil {
			return err
		}
		b.inForce[body] = err == nil && found.pays()
	}
	return nil
}

// picture is that of a month, or nil where none was needed or there is none.
func (b *basis) picture(month period.Month) *picture {
	if month == b.month {
		return b.now
	}
	return b.then[month]
}

func (p *picture) leads(pcn string) bool { return p != nil && p.pcns[pcn].leads }

// owes tells whether something is the commissioner's to pay: it is the one's it was put to, or of a body whose debts of that month it has
// taken over. What another body in force took on, for a month in which the commissioner itself led, is that body's.
func (b *basis) owes(of debt) bool {
	if of.commissioner == b.commissioner {
		return true
	}
	picture := b.picture(of.month)
	if inForce, asked := b.inForce[debt{commissioner: of.commissioner, month: of.month}]; picture.leads(of.pcn) && (inForce || !asked) {
		return false // what came up since the bodies were asked waits for the next close
	}
	return picture != nil && picture.pcns[of.pcn].owed
}

// network returns what is known of a PCN: by the picture of the month, else the newest one that has it, else as its year was fixed.
func (b *basis) network(ctx context.Context, q sqldb.Querier, code string, year period.FinancialYear) (pcn, error) {
	if found, known := b.now.pcns[code]; known {
		return found, nil
	}
	for _, month := range slices.Backward(slices.SortedFunc(maps.Keys(b.then), period.Month.Compare)) {
		if p := b.then[month]; p != nil {
			if found, known := p.pcns[code]; known {
				return found, nil
			}
		}
	}
	fixed, err := store.Year(code, year).First(ctx, q)
	if errors.Is(err, sql.ErrNoRows) {
		return pcn{}, nil
	}
	return pcn{name: fixed.PCNName, location: fixed.LocationCode}, err
}

// held returns the lines of PCNs that nobody could be paid, and that no line has taken back, where the payee is known now.
func (b *basis) held(rows []store.ScheduleLine) ([]rules.HeldLine, error) {
	var out []rules.HeldLine
	for _, row := range notTaken(rows) {
		line := row.Message
		of, err := debtOfLine(&row)
		if err != nil {
			return nil, err
		}
		// A later month is there where an earlier one is closed again.
		if of.month.After(b.month) || !b.owes(of) || b.now.pcns[of.pcn].payee.GetCode() == "" {
			continue
		}
		out = append(out, rules.HeldLine{
			LineID: line.GetLineId(), PCNCode: line.GetPcnCode(), Pot: potOfCode(line.GetPaymentCode()), ForMonth: of.month,
			Amount: money.Pence(line.GetAmountPence()), Confidence: working.ConfidenceFromProto(line.GetConfidence()),
		})
	}
	return out, nil
}

// fixMonth decides and writes one schedule, or returns the latest one if nothing new is due.
func (s *Service) fixMonth(ctx context.Context, tx *change.Tx, b *basis) (store.ScheduleRow, []store.ScheduleLine, error) {
	none := store.ScheduleRow{}
	if err := tx.Lock(ctx, "close/"+b.commissioner); err != nil {
		return none, nil, err
	}
	if err := lockPCNs(ctx, tx, b.pcns); err != nil {
		return none, nil, err
	}
	latest, err := store.LatestSchedule(ctx, tx, b.commissioner, b.month)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return none, nil, fmt.Errorf("load latest schedule: %w", err)
	}
	decided, err := s.decideMonth(ctx, tx, b, latest.Sequence+1)
	if err != nil {
		return none, nil, err
	}
	if !first && len(decided.lines)+len(decided.claims) == 0 {
		lines, err := store.ScheduleLines(ctx, tx, latest.ID, false)
		return latest, lines, err
	}
	return s.write(ctx, tx, b, decided)
}

// decision is what a close comes to.
type decision struct {
	sequence int
	claims   []store.DueClaim
	totals   []rules.DueTotal
	lines    []store.ScheduleLine // in order of line id
}

// decideMonth loads what is due and makes the lines of it. It writes nothing.
func (s *Service) decideMonth(ctx context.Context, q sqldb.Querier, b *basis, sequence int) (*decision, error) {
	d := &decision{sequence: sequence}
	claims, err := store.DueClaims(ctx, q, b.pcns, b.month)
	if err != nil {
		return nil, err
	}
	d.claims = slices.DeleteFunc(claims, func(c store.DueClaim) bool { return !b.owes(debtOf(&c)) })
	unpaid, err := store.LinesWithoutPayee(ctx, q, b.pcns)
	if err != nil {
		return nil, err
	}
	held, err := b.held(unpaid)
	if err != nil || len(d.claims)+len(held) == 0 {
		return d, err
	}
	founded, err := sumConfidences(ctx, q, d.claims)
	if err != nil {
		return nil, err
	}
	due := make([]rules.DueClaim, len(d.claims))
	for i := range d.claims {
		due[i] = d.claims[i].DueClaim
		due[i].Confidence = max(due[i].Confidence, founded[potKeyOf(due[i])])
	}
	if d.totals, err = rules.Due(due, held, b.month); err != nil {
		return nil, err
	}
	before, err := latestLines(ctx, q, d.totals)
	if err != nil {
		return nil, err
	}
	networks := make(map[string]pcn, len(d.totals))
	for i := range d.totals {
		code := d.totals[i].PCNCode
		if networks[code], err = b.network(ctx, q, code, d.totals[i].Year); err != nil {
			return nil, err
		}
	}
	d.lines, err = linesOf(b, sequence, d.totals, networks, before)
	return d, err
}

// pot is one PCN's pot of a financial year.
type pot struct {
	pcn  string
	year period.FinancialYear
	pot  rules.Pot
}

func potKeyOf(c rules.DueClaim) pot { return pot{c.PCNCode, c.Year, c.Pot} }

// sumConfidences returns how well the yearly sums are founded that claims were held against.
func sumConfidences(ctx context.Context, q sqldb.Querier, claims []store.DueClaim) (map[pot]working.Confidence, error) {
	out := make(map[pot]working.Confidence)
	for year, codes := range pcnsByYear(claims) {
		sums, err := store.Entitlements(ctx, q, year, codes)
		if err != nil {
			return nil, err
		}
		for i := range sums {
			if sums[i].Refused == nil {
				out[pot{sums[i].PCNCode, year, sums[i].Pot}] = sums[i].Confidence
			}
		}
	}
	return out, nil
}

// pcnsByYear lists the PCNs of claims, in order, by the financial year of the claims.
func pcnsByYear(claims []store.DueClaim) map[period.FinancialYear][]string {
	out := make(map[period.FinancialYear][]string)
	for i := range claims {
		out[claims[i].Year] = append(out[claims[i].Year], claims[i].PCNCode)
	}
	for year, codes := range out {
		out[year] = sorted(codes)
	}
	return out
}

// lineSubject is what lines of one PCN, pot and month have in common; a later one adjusts an earlier one.
type lineSubject struct{ pcn, code, forMonth string }

// latestLines returns the identifiers of the lines scheduled last for what is due.
func latestLines(ctx context.Context, q sqldb.Querier, totals []rules.DueTotal) (map[lineSubject]string, error) {
	from, codes := totals[0].ForMonth, make([]string, len(totals))
	for i := range totals {
		codes[i] = totals[i].PCNCode
		if totals[i].ForMonth.Before(from) {
			from = totals[i].ForMonth
		}
	}
	rows, err := store.LinesSince(ctx, q, sorted(codes), from)
	if err != nil {
		return nil, err
	}
	out := make(map[lineSubject]string, len(rows))
	for _, row := range rows {
		out[lineSubject{row.Message.GetPcnCode(), row.Message.GetPaymentCode(), row.Message.GetForMonth()}] = row.Message.GetLineId()
	}
	return out, nil
}

func sorted(codes []string) []string {
	slices.Sort(codes)
	return slices.Compact(codes)
}
