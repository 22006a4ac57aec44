package iif

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// CloseMonth fixes what a commissioner owes for years and corrections that were approved and are in no schedule yet: see the contract. The
// register's pictures are fetched before the transaction; what is due is read in it, under the locks of the bodies whose it is.
func (s *Service) CloseMonth(ctx context.Context, req *iifv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*typev1.PaymentSchedule](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	c, err := s.gather(ctx, req.GetCommissionerCode(), month)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*typev1.PaymentSchedule, error) {
		row, lines, err := s.fixMonth(ctx, tx, c)
		if err != nil {
			return nil, err
		}
		if req.GetOmitLines() {
			lines = nil
		}
		return scheduleToProto(row, lines, false), nil
	})
}

// startedMonth reads a month and refuses one that has not begun, or that lies before the fund.
func (s *Service) startedMonth(text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, reasonMonthMalformed, "%v", err).At("month", err.Error())
	}
	if today := period.DateOf(s.db.Now()); month.First().After(today) {
		return month, fault.New(fault.Refused, reasonMonthNotStarted, "%s has not started: today is %s", month, today).
			With("month", month).With("today", today)
	}
	if month.Before(rules.FirstMonth) {
		return month, fault.New(fault.Refused, reasonMonthOutOfRange, "the fund began in %s, after %s", rules.FirstMonth, month).
			With("month", month)
	}
	return month, nil
}

// closing is what a close rests on that is fetched before its transaction.
type closing struct {
	commissioner string
	month        period.Month
	at           int64 // microseconds: when the pictures were fetched
	now          *bodyPicture
	// then are the pictures of the last days of years of which something waits that was put to other bodies, or that is due to networks
	// which the picture of the month lacks.
	then map[period.FinancialYear]*bodyPicture
	// moved are those networks as whoever leads them in the month has them; of those alone that the caller may see there.
	moved map[string]owedPCN
	// ended tells of those bodies whether they owe nothing any more; of those alone that it was asked of.
	ended map[string]bool
}

// bodyPicture is whom a body owes on a day, as the register has it.
type bodyPicture struct {
	id, name string
	pcns     map[string]owedPCN
}

// owedPCN is a network in a picture.
type owedPCN struct {
	name, location string
	payee          *typev1.Payee
	leads          bool // the body is the payer of the day
	owed           bool // the body is, or has taken over the payer's debts
}

// gather fetches the picture of the month, and those of the last days of years where they decide whose debt something is.
func (s *Service) gather(ctx context.Context, commissioner string, month period.Month) (*closing, error) {
	c := &closing{
		commissioner: commissioner, month: month, at: sqldb.Micros(s.db.Now()), then: make(map[period.FinancialYear]*bodyPicture),
		moved: make(map[string]owedPCN), ended: make(map[string]bool),
	}
	var err error
	if c.now, err = s.bodyPicture(ctx, commissioner, month.First()); err != nil {
		return nil, err
	}
	var debts []store.Debt
	closed := false
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if debts, err = waiting(ctx, q, month); err != nil {
			return err
		}
		_, err = store.LatestSchedule(ctx, q, commissioner, month)
		if closed = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.lastDays(ctx, c, debts); err != nil {
		return nil, err
	}
	if err := s.others(ctx, c, debts); err != nil {
		return nil, err
	}
	if !c.now.pays() && !slices.ContainsFunc(debts, c.owes) && !closed {
		return nil, fault.New(fault.Refused, reasonCommissionerNotInForce, "%s owes nothing in %s: close the month for the body that does", commissioner, month).
			With("commissioner", commissioner).With("month", month)
	}
	return c, s.elsewhere(ctx, c, debts)
}

// waiting returns whose money waits for a close of a month: years and corrections in no schedule, and lines that nobody could be paid. What
// is of a year that is not over waits for later months.
func waiting(ctx context.Context, q sqldb.Querier, month period.Month) ([]store.Debt, error) {
	debts, err := store.WaitingDebts(ctx, q, month)
	if err != nil {
		return nil, err
	}
	unpaid, err := store.UnpaidLines(ctx, q)
	for _, line := range notTaken(unpaid) {
		if !line.Year.Last().After(month) {
			debts = append(debts, debtOfLine(&line))
		}
	}
	return debts, err
}

// pays tells whether the body leads a network, or owes what one that led it owed.
func (p *bodyPicture) pays() bool {
	for _, network := range p.pcns {
		if network.leads || network.owed {
			return true
		}
	}
	return false
}

// pictures are what is known of networks, the newest first: of the month, as others have them, and of the last days of years.
func (c *closing) pictures() []map[string]owedPCN {
	out := []map[string]owedPCN{c.now.pcns, c.moved}
	for _, year := range slices.Backward(slices.Sorted(maps.Keys(c.then))) {
		if picture := c.then[year]; picture != nil {
			out = append(out, picture.pcns)
		}
	}
	return out
}

// payable lists the networks whose payee is known, in order.
func (c *closing) payable() []string {
	var out []string
	for _, picture := range c.pictures() {
		for code := range picture {
			if c.payee(code).GetCode() != "" {
				out = append(out, code)
			}
		}
	}
	return inOrder(out)
}

// payee returns whom a network is paid by, as far as it is known.
func (c *closing) payee(code string) *typev1.Payee { return c.network(code, "", "").payee }

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

func debtOfLine(line *store.ScheduleLine) store.Debt {
	return store.Debt{CommissionerCode: line.CommissionerCode, PCNCode: line.Message.GetPcnCode(), Year: line.Year}
}

// lastDays fetches the pictures of the last days of years of which something was put to other bodies, or is due to a network that the
// picture of the month lacks.
func (s *Service) lastDays(ctx context.Context, c *closing, debts []store.Debt) error {
	for _, of := range debts {
		if _, known := c.now.pcns[of.PCNCode]; !known || of.CommissionerCode != c.commissioner {
			c.then[of.Year] = nil
		}
	}
	years := slices.Sorted(maps.Keys(c.then))
	pictures := make([]*bodyPicture, len(years))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, year := range years {
		group.Go(func() (err error) {
			pictures[i], err = s.bodyPicture(ctx, c.commissioner, year.Last().Last())
			return noneOrFail(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, year := range years {
		c.then[year] = pictures[i]
	}
	return nil
}

// noneOrFail lets a day go on which the body did not exist or of which nothing is known of its members.
func noneOrFail(err error) error {
	return unlessFor(err, reasonCommissionerNotInForce, "ORGANISATION_UNKNOWN", "MEMBERSHIP_NOT_LOADED")
}

// unlessFor returns an error of the register, and none where it refused for one of some reasons.
func unlessFor(err error, reasons ...string) error {
	if f := rpc.FaultFromStatus(status.Convert(err)); err != nil && f != nil && slices.Contains(reasons, f.Reason) {
		return nil
	}
	return err
}

// bodyPicture fetches one picture.
func (s *Service) bodyPicture(ctx context.Context, commissioner string, day period.Date) (*bodyPicture, error) {
	snapshot, err := s.register.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{
		CommissionerCode: commissioner, MembershipDate: day.String(), PopulationReferenceDate: day.Month().FinancialYear().ListDate().String(),
	})
	if err != nil {
		return nil, err
	}
	return &bodyPicture{id: snapshot.GetSnapshotId(), name: snapshot.GetCommissionerName(), pcns: networksIn(snapshot)}, nil
}

// networksIn reads the networks of a picture, as the body has them that it was cut for.
func networksIn(snapshot *registerv1.Snapshot) map[string]owedPCN {
	out := make(map[string]owedPCN, len(snapshot.GetPcns()))
	for _, p := range snapshot.GetPcns() {
		out[p.GetPcnCode()] = owedPCN{
			name: p.GetName(), location: p.GetLocationCode(), payee: p.GetPayee(), leads: p.GetPayerCode() == snapshot.GetCommissionerCode(), owed: p.GetOwed(),
		}
	}
	return out
}

// others asks whether bodies still lead networks in the month, where the commissioner owes what was due on the last day of the year: a body
// that has ended left its debts to the commissioner, and one that has not pays them itself. Who leads on a day is open to everybody, as the
// picture of another body is not.
func (s *Service) others(ctx context.Context, c *closing, debts []store.Debt) error {
	for _, of := range debts {
		if of.CommissionerCode != c.commissioner && c.then[of.Year].owes(of.PCNCode) {
			c.ended[of.CommissionerCode] = true
		}
	}
	if len(c.ended) == 0 {
		return nil
	}
	req := &registerv1.ListCommissionersRequest{OnDate: c.month.First().String()}
	for {
		found, err := s.register.ListCommissioners(ctx, req)
		if err != nil {
			return err
		}
		for _, body := range found.GetCommissioners() {
			if c.ended[body.GetCommissionerCode()] {
				c.ended[body.GetCommissionerCode()] = false
			}
		}
		if req.PageToken = found.GetNextPageToken(); req.GetPageToken() == "" {
			return nil
		}
	}
}

// elsewhere asks for the networks that something is due to and that the picture of the month lacks: they have another commissioner now.
func (s *Service) elsewhere(ctx context.Context, c *closing, debts []store.Debt) error {
	asked := make(map[string]bool)
	for _, of := range debts {
		_, here := c.now.pcns[of.PCNCode]
		_, there := c.moved[of.PCNCode]
		if here || there || asked[of.PCNCode] || !c.owes(of) {
			continue
		}
		asked[of.PCNCode] = true
		found, err := s.register.GetPcnSnapshot(ctx, &registerv1.GetPcnSnapshotRequest{
			PcnCode: of.PCNCode, MembershipDate: c.month.First().String(), PopulationReferenceDate: c.month.FinancialYear().ListDate().String(),
		})
		// A network that is gone, or that the caller may not see with its present commissioner, is known by the last day of its year.
		if err := unlessFor(err, auth.ReasonNotFound, "PAYER_UNKNOWN", "MEMBERSHIP_NOT_LOADED"); err != nil {
			return err
		}
		maps.Copy(c.moved, networksIn(found))
	}
	return nil
}

func (p *bodyPicture) owes(pcn string) bool { return p != nil && p.pcns[pcn].owed }

// owes tells whether something is the commissioner's to pay: it was put to the commissioner itself, or to a body that owes nothing any more
// and whose debts of the last day of the year the commissioner has taken over. What came up since the bodies were asked waits for the next
// close.
func (c *closing) owes(of store.Debt) bool {
	return of.CommissionerCode == c.commissioner || (c.ended[of.CommissionerCode] && c.then[of.Year].owes(of.PCNCode))
}

// bodies are those whose debts the commissioner may pay, in order: itself, and those that have ended.
func (c *closing) bodies() []string {
	out := []string{c.commissioner}
	for code, ended := range c.ended {
		if ended {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	return out
}

// network returns what is known of a PCN: by the newest picture that has it, else as its year has it, and then nobody is known to pay.
func (c *closing) network(code, name, location string) owedPCN {
	for _, picture := range c.pictures() {
		if found, known := picture[code]; known {
			return found
		}
	}
	return owedPCN{name: name, location: location}
}

// held returns the lines that nobody could be paid, and that no line has taken back, where the payee is known now.
func (c *closing) held(rows []store.ScheduleLine) []rules.HeldLine {
	var out []rules.HeldLine
	for _, row := range notTaken(rows) {
		line := row.Message
		// The year is not over yet where an earlier month is closed again.
		if row.Year.Last().After(c.month) || !c.owes(debtOfLine(&row)) || c.payee(line.GetPcnCode()).GetCode() == "" {
			continue
		}
		out = append(out, rules.HeldLine{
			LineID: line.GetLineId(), PCNCode: line.GetPcnCode(), Year: row.Year, Code: line.GetSourceItem(),
			Amount: money.Pence(line.GetAmountPence()), Confidence: working.ConfidenceFromProto(line.GetConfidence()),
		})
	}
	return out
}

// fixMonth decides and writes one schedule, or returns the latest one if nothing new is due.
func (s *Service) fixMonth(ctx context.Context, tx *change.Tx, c *closing) (store.ScheduleRow, []store.ScheduleLine, error) {
	none := store.ScheduleRow{}
	var locks []string
	for _, body := range c.bodies() {
		locks = append(locks, commissionerLock(body))
	}
	if err := tx.LockAll(ctx, locks); err != nil {
		return none, nil, err
	}
	latest, err := store.LatestSchedule(ctx, tx, c.commissioner, c.month)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return none, nil, fmt.Errorf("load latest schedule: %w", err)
	}
	decided, err := s.decideMonth(ctx, tx, c, latest.Sequence+1)
	if err != nil {
		return none, nil, err
	}
	if !first && len(decided.lines)+len(decided.years)+len(decided.corrections) == 0 {
		lines, err := store.ScheduleLines(ctx, tx, latest.ID, false)
		return latest, lines, err
	}
	return s.writeSchedule(ctx, tx, c, decided)
}

// decision is what a close comes to.
type decision struct {
	sequence    int
	years       []store.DueYear
	corrections []store.DueCorrection
	due         []rules.DueLine
	before      scheduled
	lines       []store.ScheduleLine // in order of line id
}

// decideMonth loads what is due and makes the lines of it. It writes nothing.
func (s *Service) decideMonth(ctx context.Context, q sqldb.Querier, c *closing, sequence int) (*decision, error) {
	d := &decision{sequence: sequence}
	years, err := store.DueYears(ctx, q, c.bodies(), c.month)
	if err != nil {
		return nil, err
	}
	d.years = slices.DeleteFunc(years, func(y store.DueYear) bool { return !c.owes(y.Debt) })
	corrections, err := store.DueCorrections(ctx, q, c.bodies(), c.month)
	if err != nil {
		return nil, err
	}
	d.corrections = slices.DeleteFunc(corrections, func(row store.DueCorrection) bool {
		follows := row.YearScheduled || d.takes(row.Debt)
		return !follows || !c.owes(row.Debt)
	})
	unpaid, err := store.LinesWithoutPayee(ctx, q, c.payable())
	if err != nil {
		return nil, err
	}
	items, err := s.items(ctx, q, d)
	if err != nil {
		return nil, err
	}
	if d.due, err = rules.Due(items, c.held(unpaid), c.month); err != nil || len(d.years)+len(d.corrections)+len(d.due) == 0 {
		return d, err
	}
	if d.before, err = scheduledBefore(ctx, q, d.subjects()); err != nil {
		return nil, err
	}
	d.lines = linesOf(c, d)
	return d, nil
}

// takes tells whether the close takes a year up.
func (d *decision) takes(of store.Debt) bool {
	return slices.ContainsFunc(d.years, func(y store.DueYear) bool { return y.PCNCode == of.PCNCode && y.Year == of.Year })
}

// subjects lists the PCNs that the close concerns, in order, by year.
func (d *decision) subjects() map[period.FinancialYear][]string {
	out := make(map[period.FinancialYear][]string)
	for i := range d.years {
		out[d.years[i].Year] = append(out[d.years[i].Year], d.years[i].PCNCode)
	}
	for i := range d.corrections {
		out[d.corrections[i].Year] = append(out[d.corrections[i].Year], d.corrections[i].PCNCode)
	}
	for i := range d.due {
		out[d.due[i].Year] = append(out[d.due[i].Year], d.due[i].PCNCode)
	}
	for year, codes := range out {
		slices.Sort(codes)
		out[year] = slices.Compact(codes)
	}
	return out
}

// items works the years of a close out again, and returns them and its corrections by indicator.
func (s *Service) items(ctx context.Context, q sqldb.Querier, d *decision) ([]rules.DueItem, error) {
	out, err := s.yearItems(ctx, q, d.years)
	if err != nil {
		return nil, err
	}
	for i := range d.corrections {
		row := &d.corrections[i]
		var sum money.Pence
		for _, line := range row.Lines {
			steps, err := working.FromProto(line.GetWorking())
			if err != nil {
				return nil, fault.Bug("correction %s: %v", row.ID, err)
			}
			amount := money.Pence(line.GetAmountPence())
			if sum, err = sum.Add(amount); err != nil {
				return nil, err
			}
			out = append(out, rules.DueItem{
				PCNCode: row.PCNCode, Year: row.Year, Code: line.GetIndicatorCode(), CorrectionID: row.ID, Amount: amount, Working: steps,
			})
		}
		if sum != row.Amount {
			return nil, fault.Bug("correction %s does not come to the sum of its lines", row.ID)
		}
	}
	return out, nil
}

// yearItems works years out again from what their results rest on. They come to what was approved, or nothing is scheduled.
func (s *Service) yearItems(ctx context.Context, q sqldb.Querier, years []store.DueYear) ([]rules.DueItem, error) {
	type group struct {
		year period.FinancialYear
		on   period.Date
	}
	together := make(map[group][]basis)
	approved := make(map[store.Debt]*store.DueYear, len(years))
	for i := range years {
		of, err := basisOf(years[i].Result)
		if err != nil {
			return nil, err
		}
		key := group{of.year, of.on}
		together[key] = append(together[key], of)
		approved[store.Debt{PCNCode: years[i].PCNCode, Year: years[i].Year}] = &years[i]
	}
	var out []rules.DueItem
	for _, all := range together {
		again, err := s.calculate(ctx, q, all)
		if err != nil {
			return nil, err
		}
		for i := range again {
			w := &again[i]
			row := approved[store.Debt{PCNCode: w.pcn, Year: w.year}]
			if row == nil || w.result.Due != row.Result.Due {
				return nil, fault.Bug("the year %s of %s gives other pence than was approved", w.year, w.pcn)
			}
			delete(approved, store.Debt{PCNCode: w.pcn, Year: w.year})
			items, err := rules.DueOf(w.result, w.year)
			if err != nil {
				return nil, err
			}
			out = append(out, items...)
		}
	}
	if len(approved) > 0 {
		return nil, fault.Bug("%d approved years were not worked out again", len(approved))
	}
	return out, nil
}

// lineSubject is what lines of one indicator of a PCN's year have in common; a later one adjusts an earlier one.
type lineSubject struct {
	pcn  string
	year period.FinancialYear
	code string
}

// scheduled is what schedules hold of some years already.
type scheduled struct {
	// last names the lines scheduled last.
	last map[lineSubject]string
	// sums are what the lines of PCNs' years come to.
	sums map[pcnYear]money.Pence
}

// pcnYear is a year of a PCN.
type pcnYear struct {
	pcn  string
	year period.FinancialYear
}

// scheduledBefore loads what schedules hold of years.
func scheduledBefore(ctx context.Context, q sqldb.Querier, subjects map[period.FinancialYear][]string) (scheduled, error) {
	out := scheduled{last: make(map[lineSubject]string), sums: make(map[pcnYear]money.Pence)}
	years := slices.Sorted(maps.Keys(subjects))
	var pcns []string
	for _, codes := range subjects {
		pcns = append(pcns, codes...)
	}
	slices.Sort(pcns)
	rows, err := store.LinesSince(ctx, q, slices.Compact(pcns), years[0])
	if err != nil {
		return out, err
	}
	for _, row := range rows {
		out.last[lineSubject{row.Message.GetPcnCode(), row.Year, row.Message.GetSourceItem()}] = row.Message.GetLineId()
		of := pcnYear{row.Message.GetPcnCode(), row.Year}
		if out.sums[of], err = out.sums[of].Add(money.Pence(row.Message.GetAmountPence())); err != nil {
			return out, err
		}
	}
	return out, nil
}
