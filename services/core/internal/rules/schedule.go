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
}

// Close is what a close has to decide on.
type Close struct {
	CommissionerCode string
	Month            period.Month
	Sequence         int
	Months           map[period.Month]*Entitled // what each month comes to by the figures now known
	Closed           map[period.Month]bool      // months scheduled before, by the commissioner or those it succeeded
	Scheduled        []ScheduledLine            // what was scheduled for those months
	Waiting          func(Group) string         // reason why a group was refused or withheld before; empty when it was not
	Rails            []Rail
}

// Difference is an amount to schedule, before its cause is known.
type Difference struct {
	Line
	due      *Entitlement  // nil when nothing is due any more
	already  money.Pence   // sum scheduled before under the key
	previous ScheduledLine // latest line of the group; zero when there is none
	first    bool          // nothing was scheduled for the group before
	reopened bool          // the month was closed before
	moved    bool          // the group is due, but from or to another account than before
	waited   string        // reason why the group was refused or withheld before; empty when it was not
	joined   bool          // the practice is, or was, paid for as a member of another network
}

// Previous returns the identifier of the line the difference adjusts; empty for a first line.
func (d *Difference) Previous() string { return d.previous.LineID }

// Differences compares what is due with what was scheduled, key by key. A group that is refused or withheld keeps what was
// scheduled for it. The result is in order of line id, holds no zero amounts, and brings every group to what is due.
func Differences(in Close) ([]Difference, error) {
	already, latest, standing := summarise(in.Scheduled)
	due := make(map[Key]*Entitlement)
	kept, groups := make(map[Group]bool), make(map[Group]bool)
	members := make(memberships)
	for month, entitled := range in.Months {
		for i := range entitled.Entitlements {
			e := &entitled.Entitlements[i]
			if e.ForMonth != month || due[e.Key] != nil {
				return nil, fault.Bug("%v is entitled twice or in the wrong month %s", e.Key, month)
			}
			due[e.Key], groups[e.Group] = e, true
			members.note(e.Group)
		}
		for i := range entitled.Refusals {
			kept[entitled.Refusals[i].Group] = true
		}
		for i := range entitled.Withheld {
			kept[entitled.Withheld[i].Group] = true
		}
	}
	for group := range latest {
		members.note(group)
	}
	var out []Difference
	add := func(d Difference) { out = append(out, d) }
	for key, e := range due {
		amount, err := e.Amount.Sub(already[key])
		if err != nil {
			return nil, err
		}
		if amount == 0 {
			continue
		}
		previous, adjusting := latest[key.Group]
		add(Difference{
			Line: Line{
				Key: key, PCNName: e.PCNName, PayeeName: e.PayeeName, LocationCode: e.LocationCode, Amount: amount,
				Holds: e.Holds, Instruction: in.instruct(key, adjusting && e.LateFigure), Adjusts: previous.LineID,
			},
			due: e, already: already[key], previous: previous, first: !adjusting, reopened: in.Closed[key.ForMonth],
			moved: adjusting && previous.Key != key, waited: in.Waiting(key.Group),
			joined: members.elsewhere(key.Group),
		})
	}
	for key, sum := range already {
		if sum == 0 || due[key] != nil || kept[key.Group] || in.Months[key.ForMonth] == nil {
			continue
		}
		line := standing[key]
		add(Difference{
			Line: Line{
				Key: key, PCNName: line.PCNName, PayeeName: line.PayeeName, LocationCode: line.LocationCode, Amount: -sum,
				Instruction: in.instruct(key, false), Adjusts: line.LineID,
			},
			already: sum, previous: line, reopened: true, moved: groups[key.Group], joined: members.elsewhere(key.Group),
		})
	}
	for i := range out {
		out[i].LineID = in.lineID(out[i].Line)
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Compare(a.LineID, b.LineID) })
	return out, in.check(out, due, kept, already)
}

func (in *Close) instruct(key Key, late bool) Instruction {
	if late {
		return Pay
	}
	return Instruct(in.Rails, key.PaymentCode, key.ForMonth)
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

// summarise adds up lines by key and finds the latest line of each group and of each key.
func summarise(lines []ScheduledLine) (already map[Key]money.Pence, latest map[Group]ScheduledLine, standing map[Key]ScheduledLine) {
	already = make(map[Key]money.Pence, len(lines))
	latest = make(map[Group]ScheduledLine, len(lines))
	standing = make(map[Key]ScheduledLine, len(lines))
	later := func(a, b ScheduledLine) bool {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(int64(a.Amount), int64(b.Amount)), cmp.Compare(a.LineID, b.LineID)) > 0
	}
	for _, line := range lines {
		already[line.Key] += line.Amount
		if held, ok := latest[line.Group]; !ok || later(line, held) {
			latest[line.Group] = line
		}
		if held, ok := standing[line.Key]; !ok || later(line, held) {
			standing[line.Key] = line
		}
	}
	return already, latest, standing
}

// check asserts that the lines bring every key to what is due, and that no line stands twice.
func (in *Close) check(lines []Difference, due map[Key]*Entitlement, kept map[Group]bool, already map[Key]money.Pence) error {
	after := make(map[Key]money.Pence, len(already)+len(lines))
	for key, sum := range already {
		after[key] = sum
	}
	seen := make(map[string]bool, len(lines))
	for i := range lines {
		if seen[lines[i].LineID] || lines[i].Amount == 0 {
			return fault.Bug("line %s stands twice or is zero", lines[i].LineID)
		}
		seen[lines[i].LineID] = true
		after[lines[i].Key] += lines[i].Amount
	}
	for key, sum := range after {
		var want money.Pence
		switch {
		case due[key] != nil:
			want = due[key].Amount
		case kept[key.Group] || in.Months[key.ForMonth] == nil:
			want = already[key]
		}
		if sum != want {
			return fault.Bug("%v comes to %d pence, not %d", key, sum, want)
		}
	}
	return nil
}

// lineID derives the identifier of a line from its content key, so that a recomputation names the same line.
func (in *Close) lineID(line Line) string {
	key := strings.Join([]string{
		"core", in.CommissionerCode, in.Month.String(), strconv.Itoa(in.Sequence), line.ForMonth.String(), line.PaymentCode,
		line.PCNCode, line.PracticeCode, line.Item, line.PayeeCode, line.FundingSource, line.Adjusts,
	}, "|")
	sum := sha256.Sum256([]byte(key))
	return "core-" + hex.EncodeToString(sum[:16])
}

// Explain gives each difference its cause, its working and its confidence. Previous holds the workings of the lines that
// differences adjust, by line id.
func Explain(differences []Difference, previous map[string]*working.Working) ([]Line, error) {
	lines := make([]Line, len(differences))
	for i := range differences {
		d := &differences[i]
		line := d.Line
		line.Working = d.explain()
		line.Cause = d.cause(previous[d.previous.LineID])
		line.Confidence = line.Working.Confidence()
		result, err := working.Evaluate(line.Working)
		if err != nil {
			return nil, fault.Bug("the working of line %s does not hold: %v", line.LineID, err)
		}
		if result.Cmp(line.Amount.GBP()) != 0 {
			return nil, fault.Bug("the working of line %s gives %s, not %s", line.LineID, money.Format(result), line.Amount)
		}
		lines[i] = line
	}
	return lines, nil
}

// explain returns the working of the line: that of the amount due, less what was scheduled before.
func (d *Difference) explain() *working.Working {
	if d.due != nil && d.already == 0 {
		return d.due.Working
	}
	scheduled := working.Input{
		Name: "already_scheduled", Value: d.already.GBP(), Unit: "GBP",
		Origin: working.Origin{Kind: working.FromLine, Ref: d.previous.LineID},
	}
	step := working.Step{
		Name: "adjustment", Operation: working.Subtract, Unit: "GBP", Result: d.Amount.GBP(),
		Clause: "nothing scheduled is edited: the difference is scheduled",
	}
	if d.due == nil {
		due := working.Input{Name: "due", Value: new(big.Rat), Unit: "GBP", Origin: working.Origin{Kind: working.FromContract, Source: "nothing is due to this payee any more"}}
		step.Operands = []string{due.Name, scheduled.Name}
		return &working.Working{Inputs: []working.Input{due, scheduled}, Steps: []working.Step{step}}
	}
	now := d.due.Working
	step.Operands = []string{now.Steps[len(now.Steps)-1].Name, scheduled.Name}
	return &working.Working{
		Inputs: append(slices.Clone(now.Inputs), scheduled),
		Steps:  append(slices.Clone(now.Steps), step),
	}
}

func (d *Difference) cause(before *working.Working) Cause {
	switch {
	case d.first && !d.reopened:
		return NoCause
	case d.first:
		return d.causeOfArrival()
	case d.moved:
		return CausePayee
	case d.due == nil:
		return d.causeOfLoss()
	default:
		return compareInputs(before, d.due.Working)
	}
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
		case strings.Contains(in.Origin.Source, "beds"):
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
