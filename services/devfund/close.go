package devfund

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
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// CloseMonth fixes what a commissioner owes of approved plans and that is in no schedule yet: see the contract. The register's pictures are
// fetched before the transaction; what is due is read in it, under the locks of the bodies whose plans they are.
func (s *Service) CloseMonth(ctx context.Context, req *devfundv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
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
	if month.Before(rules.FirstScheduleMonth) {
		return month, fault.New(fault.Refused, reasonMonthOutOfRange, "the fund began in %s, after %s", rules.FirstScheduleMonth, month).
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
	// then are the pictures of the first days of months that money is for, of which something waits that another body's plan pays, or that
	// is due to networks which the picture of the month lacks.
	then map[period.Month]*bodyPicture
	// moved are those networks as whoever leads them in the month has them; of those alone that the caller may see there.
	moved map[string]owedPCN
	// ended tells of bodies whether they lead no network any more; of those alone that it was asked of.
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

// gather fetches the picture of the month, and those of months that money is for where they decide whose debt something is.
func (s *Service) gather(ctx context.Context, commissioner string, month period.Month) (*closing, error) {
	c := &closing{
		commissioner: commissioner, month: month, at: sqldb.Micros(s.db.Now()), then: make(map[period.Month]*bodyPicture),
		moved: make(map[string]owedPCN), ended: make(map[string]bool),
	}
	var err error
	if c.now, err = s.bodyPicture(ctx, commissioner, month.First()); err != nil {
		return nil, err
	}
	var debts []store.Debt
	closed := false
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if debts, err = c.waiting(ctx, q); err != nil {
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
	if err := s.whenDue(ctx, c, debts); err != nil {
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

// waiting returns whose money waits for a close of the month: tranches, differences and money taken back that are in no schedule, and lines
// that nobody could be paid. It is that of the commissioner's plans, and of all bodies whose plans pay a network that is the commissioner's
// to pay now: one of them may have left its debts to it.
func (c *closing) waiting(ctx context.Context, q sqldb.Querier) ([]store.Debt, error) {
	bodies, err := store.PayersOf(ctx, q, slices.Sorted(maps.Keys(c.now.pcns)))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(bodies, c.commissioner) {
		bodies = append(bodies, c.commissioner)
	}
	rows, err := store.Waiting(ctx, q, bodies, c.month)
	if err != nil {
		return nil, err
	}
	unpaid, err := store.UnpaidLines(ctx, q, bodies, c.month)
	if err != nil {
		return nil, err
	}
	var debts []store.Debt
	seen := make(map[store.Debt]bool)
	for _, row := range slices.Concat(rows, unpaid) {
		if !seen[row.Debt] {
			seen[row.Debt] = true
			debts = append(debts, row.Debt)
		}
	}
	return debts, nil
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

// pictures are what is known of networks, the newest first: of the month, as others have them, and of the months that money is for.
func (c *closing) pictures() []map[string]owedPCN {
	out := []map[string]owedPCN{c.now.pcns, c.moved}
	months := slices.SortedFunc(maps.Keys(c.then), func(a, b period.Month) int { return b.Compare(a) })
	for _, month := range months {
		if picture := c.then[month]; picture != nil {
			out = append(out, picture.pcns)
		}
	}
	return out
}

// whenDue fetches the pictures of months that money is for where another body's plan pays it, or where it is due to a network that the
// picture of the month lacks.
func (s *Service) whenDue(ctx context.Context, c *closing, debts []store.Debt) error {
	for _, of := range debts {
		if _, known := c.now.pcns[of.PCNCode]; !known || of.CommissionerCode != c.commissioner {
			c.then[of.Month] = nil
		}
	}
	months := slices.Collect(maps.Keys(c.then))
	pictures := make([]*bodyPicture, len(months))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, month := range months {
		group.Go(func() (err error) {
			pictures[i], err = s.bodyPicture(ctx, c.commissioner, month.First())
			return noneOrFail(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, month := range months {
		c.then[month] = pictures[i]
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

// others asks who leads networks in the month, where the commissioner owes what was due in the month that the money is for: a body that
// leads none has ended and left its plans to the commissioner, and one that does pays them itself. Who closes for the commissioner need not
// see the pictures of others.
func (s *Service) others(ctx context.Context, c *closing, debts []store.Debt) error {
	for _, of := range debts {
		if of.CommissionerCode != c.commissioner && c.then[of.Month].owes(of.PCNCode) {
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
		if here || asked[of.PCNCode] || !c.owes(of) {
			continue
		}
		asked[of.PCNCode] = true
		found, err := s.register.GetPcnSnapshot(ctx, &registerv1.GetPcnSnapshotRequest{
			PcnCode: of.PCNCode, MembershipDate: c.month.First().String(), PopulationReferenceDate: c.month.FinancialYear().ListDate().String(),
		})
		// A network that is gone, or that the caller may not see with its present commissioner, is known by the month that the money is for.
		if err := unlessFor(err, auth.ReasonNotFound, "PAYER_UNKNOWN", "MEMBERSHIP_NOT_LOADED"); err != nil {
			return err
		}
		maps.Copy(c.moved, networksIn(found))
	}
	return nil
}

func (p *bodyPicture) owes(pcn string) bool { return p != nil && p.pcns[pcn].owed }

// owes tells whether something is the commissioner's to pay: its own plan pays it, or that of a body that owes nothing any more and whose
// debts of the month that the money is for the commissioner has taken over. What came up since the bodies were asked waits for the next
// close.
func (c *closing) owes(of store.Debt) bool {
	return of.CommissionerCode == c.commissioner || (c.ended[of.CommissionerCode] && c.then[of.Month].owes(of.PCNCode))
}

// bodies are those whose plans the commissioner may pay, in order: itself, and those that have ended.
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

// network returns what is known of a PCN by the newest picture that has it; nobody is known to pay where none has.
func (c *closing) network(code string) owedPCN {
	for _, picture := range c.pictures() {
		if found, known := picture[code]; known {
			return found
		}
	}
	return owedPCN{}
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
	if !first && len(decided.lines) == 0 {
		lines, err := store.ScheduleLines(ctx, tx, latest.ID, false)
		return latest, lines, err
	}
	return s.writeSchedule(ctx, tx, c, decided)
}

// decision is what a close comes to.
type decision struct {
	sequence int
	due      []rules.DueLine
	// paid are the lines of plans that are due, by plan and line.
	paid  map[[2]string]store.PaidLine
	lines []store.ScheduleLine // in order of line id
}

// decideMonth loads what is due and makes the lines of it. It writes nothing.
func (s *Service) decideMonth(ctx context.Context, q sqldb.Querier, c *closing, sequence int) (*decision, error) {
	d := &decision{sequence: sequence}
	waiting, err := store.Waiting(ctx, q, c.bodies(), c.month)
	if err != nil {
		return nil, err
	}
	waiting = slices.DeleteFunc(waiting, func(w store.WaitingRow) bool { return !c.owes(w.Debt) })
	unpaid, err := store.UnpaidLines(ctx, q, c.bodies(), c.month)
	if err != nil {
		return nil, err
	}
	networks := make(map[string]owedPCN)
	for _, row := range slices.Concat(waiting, unpaid) {
		if _, known := networks[row.PCNCode]; !known {
			networks[row.PCNCode] = c.network(row.PCNCode)
		}
	}
	for _, row := range unpaid {
		if c.owes(row.Debt) && networks[row.PCNCode].payee.GetCode() != "" {
			waiting = append(waiting, row)
		}
	}
	if len(waiting) == 0 {
		return d, nil
	}
	positions, err := d.positions(ctx, q, waiting, networks)
	if err != nil {
		return nil, err
	}
	if d.due, err = rules.Due(positions, c.month); err != nil {
		return nil, err
	}
	d.lines = linesOf(c, d, networks)
	return d, nil
}

func subjectOf(w *store.WaitingRow) rules.Subject {
	return rules.Subject{PlanID: w.PlanID, LineID: w.LineID, PCNCode: w.PCNCode, ForMonth: w.Month}
}

// positions loads where each subject stands that something waits of.
func (d *decision) positions(ctx context.Context, q sqldb.Querier, waiting []store.WaitingRow, networks map[string]owedPCN) ([]rules.Position, error) {
	at := make(map[rules.Subject]int)
	var out []rules.Position
	var plans []string
	var months []period.Month
	for i := range waiting {
		of := subjectOf(&waiting[i])
		if _, known := at[of]; known {
			continue
		}
		at[of] = len(out)
		out = append(out, rules.Position{Subject: of, PayeeKnown: networks[of.PCNCode].payee.GetCode() != ""})
		plans, months = append(plans, of.PlanID), append(months, of.ForMonth)
	}
	slices.Sort(plans)
	plans = slices.Compact(plans)
	slices.SortFunc(months, period.Month.Compare)
	months = slices.Compact(months)
	var err error
	if d.paid, err = store.PaidLines(ctx, q, plans); err != nil {
		return nil, err
	}
	for i := range out {
		line, known := d.paid[[2]string{out[i].PlanID, out[i].LineID}]
		if !known {
			return nil, fault.Bug("line %s of plan %s was scheduled and is in no version", out[i].LineID, out[i].PlanID)
		}
		out[i].Version, out[i].Confidence = line.Approved, working.ConfidenceFromProto(line.Confidence)
	}
	if err := fill(ctx, q, out, at, plans, months); err != nil {
		return nil, err
	}
	explained := make(map[explainedBy]map[rules.Subject]*working.Working)
	for i := range out {
		line := d.paid[[2]string{out[i].PlanID, out[i].LineID}]
		if out[i].Tranche != 0 && line.Version == line.Approved {
			out[i].Explained = explain(explained, &line, out[i].Subject)
		}
	}
	return out, nil
}

// explainedBy is what the tranches of a line are worked out by: where it states no months they are those of the month that it is paid in.
type explainedBy struct {
	plan, line string
	inFull     period.Month
}

// explain works a tranche out again from its line, for the working of what is due. It is nil where the line does not tell: what was fixed
// when the version was approved is owed whatever the line says.
func explain(explained map[explainedBy]map[rules.Subject]*working.Working, line *store.PaidLine, of rules.Subject) *working.Working {
	by := explainedBy{plan: of.PlanID, line: of.LineID}
	if len(line.Message.GetTranches()) == 0 {
		by.inFull = of.ForMonth
	}
	found, known := explained[by]
	if !known {
		found = make(map[rules.Subject]*working.Working)
		explained[by] = found
		var r planReader
		read := r.line(line.Message)
		if r.wrong != nil {
			return nil
		}
		tranches, err := rules.Tranches(of.ForMonth.FinancialYear(), &read, by.inFull)
		if err != nil {
			return nil
		}
		for i := range tranches {
			subject := rules.Subject{PlanID: of.PlanID, LineID: of.LineID, PCNCode: tranches[i].PCN, ForMonth: tranches[i].Month}
			found[subject] = tranches[i].Working
		}
	}
	return found[of]
}

// fill adds tranches, money taken back and scheduled lines to positions.
func fill(ctx context.Context, q sqldb.Querier, out []rules.Position, at map[rules.Subject]int, plans []string, months []period.Month) error {
	tranches, err := store.Tranches(ctx, q, plans, months)
	if err != nil {
		return err
	}
	for i := range tranches {
		if n, wanted := at[subjectOf(&tranches[i])]; wanted {
			out[n].Tranche = tranches[i].Tranche
		}
	}
	taken, err := store.Recoveries(ctx, q, plans)
	if err != nil {
		return err
	}
	for _, r := range taken {
		if n, wanted := at[rules.Subject{PlanID: r.PlanID, LineID: r.LineID, PCNCode: r.PCNCode, ForMonth: r.Month}]; wanted {
			out[n].Taken = append(out[n].Taken, rules.Taken{TreatmentID: r.TreatmentID, Amount: r.Amount})
		}
	}
	lines, err := store.LinesOfPlans(ctx, q, plans, months)
	if err != nil {
		return err
	}
	for i := range lines {
		line := lines[i].Message
		month, err := period.ParseMonth(line.GetForMonth())
		if err != nil {
			return fault.Bug("line %s: %v", line.GetLineId(), err)
		}
		n, wanted := at[rules.Subject{PlanID: lines[i].PlanID, LineID: lines[i].PlanLineID, PCNCode: line.GetPcnCode(), ForMonth: month}]
		if !wanted {
			continue
		}
		scheduled := rules.ScheduledLine{
			LineID: line.GetLineId(), Amount: money.Pence(line.GetAmountPence()), Unpaid: line.GetPayee().GetCode() == "",
			Confidence: working.ConfidenceFromProto(line.GetConfidence()),
		}
		if store.TakesBack(line) {
			scheduled.TakesBack = line.GetAdjustsLineId()
		}
		out[n].Lines = append(out[n].Lines, scheduled)
	}
	return nil
}
