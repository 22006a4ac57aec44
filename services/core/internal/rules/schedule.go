package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Instruction says whether the suite asks for a line to be paid.
type Instruction int

// The instructions.
const (
	Pay Instruction = iota + 1
	ReconcileOnly
)

// Rail says who pays a payment from a month on.
type Rail struct {
	PaymentCode string
	From        period.Month
	Instruction Instruction
	Source      string
}

// Instruct returns the instruction of a payment for a month: the latest rail that has begun, or pay.
func Instruct(rails []Rail, payment string, month period.Month) Instruction {
	instruction, from := Pay, period.Month{}
	for _, rail := range rails {
		if rail.PaymentCode == payment && !rail.From.After(month) && !rail.From.Before(from) {
			instruction, from = rail.Instruction, rail.From
		}
	}
	return instruction
}

// Cause is why a line differs from what was scheduled before; its values equal those of the contract.
type Cause int

// The causes.
const (
	NoCause Cause = iota
	CauseRate
	CausePopulation
	CauseMembership
	CauseBeds
	CausePayee
	CauseParticipation
	CauseSetting
	CauseRelease
	CauseFigureEntered
	CauseDeclaration
	CauseSeveral
)

// Line is one line of a schedule to be written.
type Line struct {
	LineID string
	Key
	PCNName      string
	PayeeName    string
	LocationCode string
	Instruction  Instruction
	Amount       money.Pence
	Adjusts      string
	Cause        Cause
	Confidence   working.Confidence
	Holds        []Hold
	Working      *working.Working
	// Basis is that of the amount now right; nil for a line written before lines had one.
	Basis *Basis
}

// Close is what a close has to decide on.
type Close struct {
	CommissionerCode string
	Month            period.Month
	Sequence         int
	Months           map[period.Month]*Entitled // what each month comes to by the figures now known
	Closed           map[period.Month]bool      // months something was scheduled for before, by the commissioner or those it succeeded
	Scheduled        []ScheduledLine            // what was scheduled for those months
	Waiting          func(Group) string         // reason why a group was refused or withheld before; empty when it was not
	Rails            []Rail
}

// Difference is an amount to schedule, before its cause is known.
type Difference struct {
	Line
	due      *Entitlement  // nil when nothing is due any more to anybody
	current  bool          // it is for the account that is due now; false takes back what went to another
	late     bool          // a figure that the national payment system took up later may be its cause
	previous ScheduledLine // latest line of the group or account; zero when there is none
	first    bool          // nothing was scheduled for the group before
	reopened bool          // the month was scheduled before
	carried  bool          // it moves what went to another account
	waited   string        // reason why the group was refused or withheld before; empty when it was not
	joined   bool          // the practice is, or was, paid for as a member of another network
}

// Previous returns the identifier of the line the difference adjusts; empty for a first line.
func (d *Difference) Previous() string { return d.previous.LineID }

// account is what amounts of one group are kept apart by: to and from whom, and whether the suite asks for the payment.
type account struct {
	Key
	Instruction Instruction
}

// balance is what was scheduled under an account, with its latest line.
type balance struct {
	sum  money.Pence
	line ScheduledLine
}

// Differences compares what is due with what was scheduled, group by group. What went to another payee, or from another account,
// is taken back under the instruction it had and given to the one that is due under the same instruction; the rest is the
// difference in the amount. A group that is refused or withheld keeps what was scheduled for it.
func Differences(in *Close) ([]Difference, error) {
	books, latest, err := summarise(in.Scheduled)
	if err != nil {
		return nil, err
	}
	due, kept, err := in.dues()
	if err != nil {
		return nil, err
	}
	members := make(memberships)
	for group := range due {
		members.note(group)
	}
	for group := range latest {
		members.note(group)
		if _, isDue := due[group]; !isDue && !kept[group] && in.Months[group.ForMonth] != nil {
			due[group] = nil
		}
	}
	var out []Difference
	for group, e := range due {
		found, err := in.group(group, e, books[group], latest)
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].joined = members.elsewhere(group)
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, compareDifferences)
	return out, nil
}

// compareDifferences puts differences in one order, whatever the order of the maps they came from.
func compareDifferences(a, b Difference) int {
	return cmp.Or(
		a.ForMonth.Compare(b.ForMonth), cmp.Compare(a.PaymentCode, b.PaymentCode), cmp.Compare(a.PCNCode, b.PCNCode),
		cmp.Compare(a.PracticeCode, b.PracticeCode), cmp.Compare(a.Item, b.Item), cmp.Compare(a.PayeeCode, b.PayeeCode),
		cmp.Compare(a.FundingSource, b.FundingSource), cmp.Compare(a.Instruction, b.Instruction), cmp.Compare(int64(a.Amount), int64(b.Amount)),
	)
}

// dues gathers what is due by group, and the groups that keep what was scheduled.
func (in *Close) dues() (due map[Group]*Entitlement, kept map[Group]bool, err error) {
	due, kept = make(map[Group]*Entitlement), make(map[Group]bool)
	for month, entitled := range in.Months {
		for i := range entitled.Entitlements {
			e := &entitled.Entitlements[i]
			if e.ForMonth != month || due[e.Group] != nil {
				return nil, nil, fault.Bug("%v is entitled twice or in the wrong month %s", e.Key, month)
			}
			due[e.Group] = e
		}
		for i := range entitled.Refusals {
			kept[entitled.Refusals[i].Group] = true
		}
		for i := range entitled.Withheld {
			kept[entitled.Withheld[i].Group] = true
		}
	}
	return due, kept, nil
}

// group finds the differences of one group.
func (in *Close) group(group Group, e *Entitlement, accounts map[account]balance, latest map[Group]ScheduledLine) ([]Difference, error) {
	var out []Difference
	var total money.Pence
	totals := make(map[Instruction]money.Pence, 2)
	for acct, held := range accounts {
		totals[acct.Instruction] += held.sum
		total += held.sum
		if held.sum != 0 && (e == nil || acct.Key != e.Key) {
			out = append(out, Difference{
				Line: Line{
					Key: acct.Key, PCNName: held.line.PCNName, PayeeName: held.line.PayeeName, LocationCode: held.line.LocationCode,
					Instruction: acct.Instruction, Amount: -held.sum, Adjusts: held.line.LineID, Holds: held.line.holds(),
				},
				due: e, previous: held.line, reopened: true,
			})
		}
	}
	if e == nil {
		return out, nil
	}
	previous, adjusting := latest[group]
	base := Difference{
		Line: Line{
			Key: e.Key, PCNName: e.PCNName, PayeeName: e.PayeeName, LocationCode: e.LocationCode, Holds: e.Holds, Adjusts: previous.LineID,
		},
		due: e, current: true, previous: previous, first: !adjusting, reopened: in.Closed[group.ForMonth], waited: in.Waiting(group),
	}
	for _, instruction := range []Instruction{Pay, ReconcileOnly} {
		carry := base
		carry.Instruction, carry.carried = instruction, true
		if carry.Amount = totals[instruction] - accounts[account{e.Key, instruction}].sum; carry.Amount != 0 {
			out = append(out, carry)
		}
	}
	rest := base
	amount, err := e.Amount.Sub(total)
	if err != nil {
		return nil, err
	}
	rest.Amount, rest.late = amount, adjusting && e.LateFigure
	rest.Instruction = Instruct(in.Rails, group.PaymentCode, group.ForMonth)
	if rest.Amount != 0 {
		out = append(out, rest)
	}
	return out, nil
}

// memberships notes in which networks practices are paid for, month by month and payment by payment.
type memberships map[Group]map[string]bool

func (m memberships) note(group Group) {
	pcn := group.PCNCode
	group.PCNCode = ""
	if m[group] == nil {
		m[group] = make(map[string]bool, 1)
	}
	m[group][pcn] = true
}

// elsewhere tells whether a practice is paid for in another network too.
func (m memberships) elsewhere(group Group) bool {
	group.PCNCode = ""
	return len(m[group]) > 1
}

// summarise adds up lines by account within each group, and finds the latest line of each group.
func summarise(lines []ScheduledLine) (books map[Group]map[account]balance, latest map[Group]ScheduledLine, err error) {
	books, latest = make(map[Group]map[account]balance), make(map[Group]ScheduledLine, len(lines))
	for _, line := range lines {
		if books[line.Group] == nil {
			books[line.Group] = make(map[account]balance, 1)
		}
		acct := account{line.Key, line.Instruction}
		held := books[line.Group][acct]
		if held.sum, err = held.sum.Add(line.Amount); err != nil {
			return nil, nil, err
		}
		if held.line.LineID == "" || line.after(held.line) {
			held.line = line
		}
		books[line.Group][acct] = held
		if last, ok := latest[line.Group]; !ok || line.after(last) {
			latest[line.Group] = line
		}
	}
	return books, latest, nil
}

// after tells a later line from an earlier one; of one schedule the line that gives comes after the one that takes back.
func (l ScheduledLine) after(other ScheduledLine) bool {
	return cmp.Or(cmp.Compare(l.Sequence, other.Sequence), cmp.Compare(int64(l.Amount), int64(other.Amount)), cmp.Compare(l.LineID, other.LineID)) > 0
}

// holds are those of a line that takes back what was never sent for want of a payee.
func (l ScheduledLine) holds() []Hold {
	if l.PayeeCode == "" && l.PracticeCode == "" {
		return []Hold{payeeHold(l.PCNCode)}
	}
	return nil
}

// lineID derives the identifier of a line from its content key, so that a recomputation names the same line.
func (in *Close) lineID(line Line) string {
	key := strings.Join([]string{
		"core", in.CommissionerCode, in.Month.String(), strconv.Itoa(in.Sequence), line.ForMonth.String(), line.PaymentCode,
		line.PCNCode, line.PracticeCode, line.Item, line.PayeeCode, line.FundingSource, strconv.Itoa(int(line.Instruction)), line.Adjusts,
	}, "|")
	sum := sha256.Sum256([]byte(key))
	return "core-" + hex.EncodeToString(sum[:16])
}

// Explain turns differences into lines: it tells the cause of each, and so its instruction, puts together what is for one
// account, and gives each line its working and its confidence. Previous holds the workings of the lines that differences
// adjust, by line id. The lines are in order of line id, none is zero, and they bring every group to what is due.
func Explain(in *Close, differences []Difference, previous map[string]*working.Working) ([]Line, error) {
	merged := make(map[account]*Difference, len(differences))
	var order []account
	for i := range differences {
		d := differences[i]
		d.Cause = d.cause(previous[d.previous.LineID])
		if d.late && d.Cause == CausePopulation {
			d.Instruction = Pay
		}
		acct := account{d.Key, d.Instruction}
		held := merged[acct]
		if held == nil {
			merged[acct] = &d
			order = append(order, acct)
			continue
		}
		var err error
		if held.Amount, err = held.Amount.Add(d.Amount); err != nil {
			return nil, err
		}
		if held.Cause != d.Cause {
			held.Cause = CauseSeveral
		}
	}
	lines := make([]Line, 0, len(order))
	for _, acct := range order {
		d := merged[acct]
		if d.Amount == 0 {
			continue
		}
		line := d.Line
		line.LineID = in.lineID(line)
		line.Working, line.Basis = d.explain(), d.basis()
		line.Confidence = line.Working.Confidence()
		if before := previous[d.previous.LineID]; before != nil && !d.current {
			line.Confidence = before.Confidence()
		}
		if err := line.verify(); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.LineID, b.LineID) })
	return lines, in.check(lines)
}

// verify holds a line against the independent evaluation of its working.
func (l *Line) verify() error {
	result, err := working.Evaluate(l.Working)
	if err != nil {
		return fault.Bug("the working of line %s does not hold: %v", l.LineID, err)
	}
	if result.Cmp(l.Amount.GBP()) != 0 {
		return fault.Bug("the working of line %s gives %s, not %s", l.LineID, money.Format(result), l.Amount)
	}
	return nil
}

// check asserts that the lines bring every account to what is due, and that no line stands twice.
func (in *Close) check(lines []Line) error {
	due, kept, err := in.dues()
	if err != nil {
		return err
	}
	after, before := make(map[Key]money.Pence), make(map[Key]money.Pence)
	for _, line := range in.Scheduled {
		before[line.Key] += line.Amount
		after[line.Key] += line.Amount
	}
	seen := make(map[string]bool, len(lines))
	for i := range lines {
		if seen[lines[i].LineID] {
			return fault.Bug("line %s stands twice", lines[i].LineID)
		}
		seen[lines[i].LineID] = true
		after[lines[i].Key] += lines[i].Amount
	}
	for _, e := range due {
		if after[e.Key] != e.Amount {
			return fault.Bug("%v comes to %d pence, not %d", e.Key, after[e.Key], e.Amount)
		}
		delete(after, e.Key)
	}
	for key, sum := range after {
		var want money.Pence
		if kept[key.Group] || in.Months[key.ForMonth] == nil {
			want = before[key]
		}
		if sum != want {
			return fault.Bug("%v comes to %d pence, not %d", key, sum, want)
		}
	}
	return nil
}

// explain returns the working of the line: that of the amount due, less what is scheduled elsewhere or was before.
func (d *Difference) explain() *working.Working {
	scheduled := working.Input{
		Name: "already_scheduled", Unit: "GBP", Origin: working.Origin{Kind: working.FromLine, Ref: d.previous.LineID},
	}
	step := working.Step{
		Name: "adjustment", Operation: working.Subtract, Unit: "GBP", Result: d.Amount.GBP(),
		Clause: "nothing scheduled is edited: the difference is scheduled",
	}
	if !d.current {
		due := working.Input{Name: "due", Value: new(big.Rat), Unit: "GBP", Origin: working.Origin{Kind: working.FromContract, Source: clauseNothingDue}}
		scheduled.Value = new(big.Rat).Neg(d.Amount.GBP())
		step.Operands = []string{due.Name, scheduled.Name}
		return &working.Working{Inputs: []working.Input{due, scheduled}, Steps: []working.Step{step}}
	}
	now := d.due.Working
	if d.Amount == d.due.Amount {
		return now
	}
	scheduled.Value = new(big.Rat).Sub(d.due.Amount.GBP(), d.Amount.GBP())
	step.Operands = []string{now.Steps[len(now.Steps)-1].Name, scheduled.Name}
	return &working.Working{
		Inputs: append(slices.Clone(now.Inputs), scheduled),
		Steps:  append(slices.Clone(now.Steps), step),
	}
}

// clauseNothingDue says why what was scheduled is taken back.
const clauseNothingDue = "nothing is due to this payee any more"

// basis returns what the amount now right rests on.
func (d *Difference) basis() *Basis {
	if !d.current {
		return &Basis{Clause: clauseNothingDue}
	}
	return d.due.Basis
}

func (d *Difference) cause(before *working.Working) Cause {
	switch {
	case d.current && d.first && !d.reopened:
		return NoCause
	case d.current && d.first:
		return d.causeOfArrival()
	case d.carried, !d.current && d.due != nil:
		return d.causeOfMove()
	case !d.current:
		return d.causeOfLoss()
	default:
		return compareInputs(before, d.due.Working)
	}
}

// causeOfMove tells a new payee from a new account that the money comes from, which goes with a version of the rate.
func (d *Difference) causeOfMove() Cause {
	if d.due.PayeeCode == d.previous.PayeeCode {
		return CauseRate
	}
	return CausePayee
}

// causeOfArrival tells why something is due for a month that was closed without it.
func (d *Difference) causeOfArrival() Cause {
	switch {
	case d.waited == ReasonWithheld:
		return CauseRelease
	case d.waited == ReasonCodingNotSatisfied:
		return CauseBeds
	case d.waited != "":
		return CauseFigureEntered
	default:
		return d.causeOfLoss()
	}
}

// causeOfLoss tells why something is no longer due, or newly due, though no figure was missing.
func (d *Difference) causeOfLoss() Cause {
	switch {
	case d.Item != "":
		return CauseDeclaration
	case d.PracticeCode != "" && !d.joined:
		return CauseParticipation
	default:
		return CauseMembership
	}
}

// compareInputs names the figures that differ between two workings of one group.
func compareInputs(before, after *working.Working) Cause {
	if before == nil {
		return CauseSeveral
	}
	earlier := make(map[string]working.Input, len(before.Inputs))
	for _, in := range before.Inputs {
		earlier[in.Name] = in
	}
	for _, in := range after.Inputs {
		// Another convention takes other figures; they are not what changed.
		if was, known := earlier[in.Name]; known && in.Origin.Kind == working.FromSetting && in.Origin.Source != was.Origin.Source {
			return CauseSetting
		}
	}
	found := make(map[Cause]bool)
	for _, in := range after.Inputs {
		was, known := earlier[in.Name]
		delete(earlier, in.Name)
		if !known || in.Value.Cmp(was.Value) != 0 {
			if cause := causeOf(in, known); cause != NoCause {
				found[cause] = true
			}
		}
	}
	for _, in := range earlier {
		if cause := causeOf(in, false); cause != NoCause {
			found[cause] = true
		}
	}
	// A practice that joins or leaves changes the sum of the lists with it.
	if found[CauseMembership] {
		delete(found, CausePopulation)
	}
	switch len(found) {
	case 0:
		return CauseSetting
	case 1:
		for cause := range found {
			return cause
		}
	}
	return CauseSeveral
}

func causeOf(in working.Input, inBoth bool) Cause {
	switch in.Origin.Kind {
	case working.FromRate:
		return CauseRate
	case working.FromSnapshot:
		switch {
		case in.Unit == CareHomeBed.Plural():
			return CauseBeds
		case inBoth:
			return CausePopulation
		default:
			return CauseMembership
		}
	case working.FromSetting:
		return CauseSetting
	case working.FromDeclaration:
		return CauseDeclaration
	default:
		return NoCause
	}
}
