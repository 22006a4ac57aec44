package arrs

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// approvedMonth is what counts as approved of an engagement for a month: its working time, and uplifts, all of one pot.
type approvedMonth struct {
	time  *store.LineRow
	lines []store.LineRow
}

// approvedMonths are those by engagement and month.
type approvedMonths map[store.EngagementMonth]*approvedMonth

// approvedBy gathers lines of which something was approved. A month is left out if nothing is known any more of its working time, since the
// claim was erased.
func approvedBy(lines []store.LineRow) approvedMonths {
	out := make(approvedMonths)
	for i := range lines {
		of := lines[i].Of()
		if out[of] == nil {
			out[of] = new(approvedMonth)
		}
		if out[of].lines = append(out[of].lines, lines[i]); lines[i].Kind != store.Uplift {
			out[of].time = &lines[i]
		}
	}
	for of, month := range out {
		if month.time == nil {
			delete(out, of)
		}
	}
	return out
}

// cost is what the working time came to, whatever of it was approved; an uplift comes on top of it.
func (m *approvedMonth) cost() money.Pence { return m.time.Payable }

func (m *approvedMonth) approved() (sum money.Pence) {
	for i := range m.lines {
		sum += m.lines[i].Approved // parts of what a pot holds, which is a number
	}
	return sum
}

// pot is the one that paid.
func (m *approvedMonth) pot() rules.Pot { return m.time.Pot }

func (m *approvedMonth) has(line string) bool {
	for i := range m.lines {
		if m.lines[i].ID == line {
			return true
		}
	}
	return false
}

// scheduled returns what of it is in schedules, and the bodies whose those are.
func (m *approvedMonth) scheduled() (paid money.Pence, by []string) {
	for i := range m.lines {
		line := &m.lines[i]
		if line.ScheduleID == "" {
			paid += line.Paid
		} else {
			paid += line.Approved
		}
		if line.PaidBy != "" && !slices.Contains(by, line.PaidBy) {
			by = append(by, line.PaidBy)
		}
	}
	return paid, by
}

// changedTerms names what of an engagement's terms is stated otherwise now than it was, working time and facts of the person apart.
func changedTerms(was, is *arrsv1.EngagementTerms) (names []string) {
	before, now := was.ProtoReflect(), is.ProtoReflect()
	fields := now.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Kind() != protoreflect.MessageKind && field.Name() != "per_week" && !before.Get(field).Equal(now.Get(field)) {
			names = append(names, string(field.Name()))
		}
	}
	return names
}
