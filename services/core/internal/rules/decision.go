package rules

import (
	"math/big"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// England is the code under which figures and settings hold for every commissioner.
const England = "england"

// Withholding is a commissioner's decision not to pay one payment of one PCN for some months.
type Withholding struct {
	ID          string
	PCNCode     string
	PaymentCode string
	From        period.Month
	To          period.Month // zero while open
	Reason      string
}

func (w Withholding) covers(pcn, payment string, month period.Month) bool {
	return w.PCNCode == pcn && w.PaymentCode == payment && !month.Before(w.From) && (w.To.IsZero() || !month.After(w.To))
}

// Declaration is an accepted statement that a payment made once has been earned.
type Declaration struct {
	ID          string
	PCNCode     string
	PaymentCode string
	Month       period.Month
	Share       *big.Rat // from 0 to 1
}

// Setting is a convention in force from a month on.
type Setting struct {
	ID               string
	CommissionerCode string
	Name             string
	PaymentCode      string // empty for all payments
	Value            string
	From             period.Month
}

// Names of settings and the values of MembershipAt.
const (
	SettingConvention   = "CONVENTION"
	SettingMembershipAt = "MEMBERSHIP_AT"
	MembershipAtMonth   = "MONTH"
	MembershipAtYear    = "YEAR"
)

// SettingFor finds the setting that governs a month: of the commissioner before England's, for the payment before that for
// all, and of those the one with the latest first month. Settings come in order of their recording, so that a later one wins.
func SettingFor(settings []Setting, commissioner, name, payment string, month period.Month) (Setting, bool) {
	var best Setting
	bestRank := -1
	for _, s := range settings {
		if s.Name != name || s.From.After(month) || (s.PaymentCode != "" && s.PaymentCode != payment) ||
			(s.CommissionerCode != commissioner && s.CommissionerCode != England) {
			continue
		}
		rank := 0
		if s.CommissionerCode == commissioner {
			rank += 2
		}
		if s.PaymentCode != "" {
			rank++
		}
		if rank > bestRank || (rank == bestRank && !s.From.Before(best.From)) {
			best, bestRank = s, rank
		}
	}
	return best, bestRank >= 0
}

// firstICBDay is when the ICBs took over from the CCGs: members of a day before it have another payer than those after.
var firstICBDay = period.NewDate(2022, time.July, 1)

// MembershipDay returns the day whose members are paid for a month: its first day, or 1 April of its year where that is set for
// England, though never a day of the CCGs for a month of the ICBs. Months that were first paid later take the members of the
// month that paid them.
func MembershipDay(settings []Setting, paidMonth period.Month) period.Date {
	first := paidMonth.First()
	setting, found := SettingFor(settings, England, SettingMembershipAt, "", paidMonth)
	if !found || setting.Value != MembershipAtYear {
		return first
	}
	if day := paidMonth.FinancialYear().First().First(); first.Before(firstICBDay) || !day.Before(firstICBDay) {
		return day
	}
	return firstICBDay
}

// Group names what is paid, whoever receives it.
type Group struct {
	ForMonth     period.Month
	PaymentCode  string
	PCNCode      string
	PracticeCode string // where the money goes to a practice
	Item         string // declaration, where a payment is made once
}

// Key is a group with the account it is paid from and to; amounts of one key add up.
type Key struct {
	Group
	PayeeCode     string
	FundingSource string
}

// Entitlement is an amount due by the figures now known.
type Entitlement struct {
	Key
	PCNName      string
	PayeeName    string
	LocationCode string
	Amount       money.Pence
	Working      *working.Working
	Basis        *Basis
	Holds        []Hold
	// LateFigure says that the national payment system uses a figure of the amount only from a later month, so that a
	// difference is the commissioner's to pay.
	LateFigure bool
}

// PeriodAmount is what a payment comes to for the whole of its period by the figures of a month, paid or withheld.
type PeriodAmount struct {
	Group
	PCNName       string
	FundingSource string
	LocationCode  string
	From, To      period.Month
	Instalments   int
	Amount        money.Pence
	Confidence    working.Confidence
}

// LessScheduled reduces what is withheld by what was scheduled for it before the decision, which stays. Nothing may be left.
func (e *Entitled) LessScheduled(lines []ScheduledLine) {
	already := make(map[Group]money.Pence)
	for _, line := range lines {
		already[line.Group] += line.Amount
	}
	for i := range e.Withheld {
		e.Withheld[i].Amount -= already[e.Withheld[i].Group]
	}
}

// Hold is a named reason not to send a line yet.
type Hold struct{ Reason, Remedy string }

// Refusal is what could not be computed, before refusals of one cause are put together.
type Refusal struct {
	Group
	Reason    string
	Missing   string
	Remedy    string
	Practices []string
	Quantity  *big.Rat
	Unit      string
	Candidate *money.Pence
}

// Withheld is an amount that is computed and not paid.
type Withheld struct {
	Group
	Amount        money.Pence
	Reason        string
	Note          string
	WithholdingID string
}

// ScheduledLine is a line scheduled earlier.
type ScheduledLine struct {
	LineID           string
	CommissionerCode string // who scheduled it
	Key
	PCNName      string
	PayeeName    string
	LocationCode string
	Instruction  Instruction
	Amount       money.Pence
	Sequence     int64 // grows with each schedule, so that the latest line of a group can be told
}
