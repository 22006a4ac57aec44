package rules

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Level is where a line is bought.
type Level string

// The levels.
const (
	PCNLevel    Level = "PCN"
	PlaceLevel  Level = "PLACE"
	SystemLevel Level = "SYSTEM"
)

// PayeeKind is whom a line pays.
type PayeeKind string

// The kinds.
const (
	// PCNPayee pays the nominated payees of the line's networks, through the month's schedule.
	PCNPayee PayeeKind = "PCN_PAYEE"
	// Supplier is paid outside the schedule.
	Supplier PayeeKind = "SUPPLIER"
	// InKind pays nobody.
	InKind PayeeKind = "IN_KIND"
)

// StaffGroup is whom a line covers.
type StaffGroup string

// The groups.
const (
	Clinical    StaffGroup = "CLINICAL"
	NonClinical StaffGroup = "NON_CLINICAL"
)

// Alignment is what a line serves.
type Alignment string

// The alignments.
const (
	NetworkContract Alignment = "NETWORK_CONTRACT"
	LongTermPlan    Alignment = "LONG_TERM_PLAN"
	SystemStrategy  Alignment = "SYSTEM_STRATEGY"
)

// Beneficiary is a network that a line serves, with its part of it.
type Beneficiary struct {
	PCN string
	// Percent is nil where all parts are equal.
	Percent *big.Rat
}

// Instalment is a month in which a part of a line is paid.
type Instalment struct {
	Month period.Month
	// Percent is nil where all instalments are equal.
	Percent *big.Rat
}

// Line is one thing a plan buys.
type Line struct {
	ID string
	Proposal
	Description string
	Level       Level
	// LevelReason says why a line of a place or a system is bought once.
	LevelReason string
	Domain      Domain
	Priorities  []Priority
	StaffGroups []StaffGroup
	Payee       PayeeKind
	// SupplierCode is stated for a supplier.
	SupplierCode  string
	Beneficiaries []Beneficiary
	StartsOn      period.Date
	EndsOn        period.Date
	// Amount is nothing for support in kind.
	Amount money.Pence
	// Allocation is the one that the line draws on, where the plan says what each holds.
	Allocation string
	Alignments []Alignment
	// WiderPartners names them, or says why none are relevant.
	WiderPartners string
	Instalments   []Instalment
}

// pays tells whether the line pays networks.
func (l *Line) pays() bool { return l.Payee == PCNPayee && l.Amount > 0 }

// PaysOther tells whether the line pays another network than one.
func (l *Line) PaysOther(pcn string) bool {
	return l.pays() && slices.ContainsFunc(l.Beneficiaries, func(b Beneficiary) bool { return b.PCN != pcn })
}

// Agreement is a clinical director's, or a deputy's, dated agreement to the version of a plan.
type Agreement struct {
	PCN      string
	Director string
	Deputy   bool
	On       period.Date
}

// Plan is how a system, a place, a commissioner or a network means to spend an allocation.
type Plan struct {
	Year period.FinancialYear
	// PCNs are all that the plan covers: of a system's plan, every network of the system.
	PCNs  []string
	Lines []Line
	// LeadershipPercent is nil while it is not decided; LeadershipReason says why it is nothing.
	LeadershipPercent *big.Rat
	LeadershipReason  string
	// Agreements are those that stand to this version.
	Agreements []Agreement
	// Available is what the allocation holds for the plan, nil while that is not known, and AvailableOf names the allocation.
	Available   *money.Pence
	AvailableOf string
	// Holdings are the allocations that lines draw on, with what each holds for the plan. Where there are any, each is a bound of its own
	// and Available is not looked at.
	Holdings []Holding
}

// Holding is what an allocation holds for a plan.
type Holding struct {
	Allocation string
	// Name says whose it is, such as "the leadership money of U1"; empty where nobody is to be named.
	Name string
	// Leadership is true of money that was set aside for the leadership of clinical directors.
	Leadership bool
	// Left is nil while it is not known; Why then says what is missing.
	Left *money.Pence
	Why  string
}

// Planned is what the lines come to.
func (p *Plan) Planned() (money.Pence, error) {
	amounts := make([]money.Pence, len(p.Lines))
	for i := range p.Lines {
		amounts[i] = p.Lines[i].Amount
	}
	return money.Sum(amounts...)
}

// Paid returns the networks that the plan pays, in order of code.
func (p *Plan) Paid() []string {
	var out []string
	for i := range p.Lines {
		if p.Lines[i].pays() {
			for _, b := range p.Lines[i].Beneficiaries {
				out = append(out, b.PCN)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// CheckLines refuses a plan whose lines cannot be read as lines, whatever governance says of them: every fault is named by line and
// field. A line has one domain from 2019/20 on and at least one priority from 2020/21 on; this is asked here and is no governance
// check, because without them a line cannot be reported. Whether a line may be bought, why it is bought once and what it serves is
// asked by the checks, so that an author may draft and see what is missing.
func (p *Plan) CheckLines() error {
	c := lineCheck{plan: p, covered: make(map[string]bool, len(p.PCNs))}
	for _, pcn := range p.PCNs {
		c.covered[pcn] = true
	}
	ids := make(map[string]bool, len(p.Lines))
	for i := range p.Lines {
		l := &p.Lines[i]
		c.at = fmt.Sprintf("lines[%d]", i)
		if l.ID == "" || ids[l.ID] {
			c.say(ReasonPlanLineMalformed, "line_id", "every line has an identifier, and no two lines have the same")
		}
		ids[l.ID] = true
		c.words(l)
		c.money(l)
		c.beneficiaries(l)
		c.instalments(l)
	}
	if c.wrong != nil {
		return c.wrong
	}
	return nil
}

type lineCheck struct {
	plan    *Plan
	covered map[string]bool
	at      string
	wrong   *fault.Fault
}

// say adds a violation. The fault has the reason of the first, each violation its own.
func (c *lineCheck) say(reason, field, words string) {
	if c.wrong == nil {
		c.wrong = fault.New(fault.Invalid, reason, "the lines of the plan are not complete")
	}
	c.wrong = c.wrong.At(c.at+"."+field, words)
	c.wrong.Violations[len(c.wrong.Violations)-1].Reason = reason
}

// said is what a refusal says, without its reason, which the violation has.
func said(err error) string {
	if wrong, ok := fault.As(err); ok {
		return wrong.Message
	}
	return err.Error()
}

func (c *lineCheck) words(l *Line) {
	malformed := func(bad bool, field, words string) {
		if bad {
			c.say(ReasonPlanLineMalformed, field, words)
		}
	}
	_, known := FindCategory(l.Category)
	malformed(!known, "category", "it is one of the guidance")
	malformed(strings.TrimSpace(l.Description) == "", "description", "it is stated")
	malformed(l.Domain != "" && !slices.Contains(Domains(), l.Domain) || l.Domain == "" && c.plan.Year >= domainsFrom, "domain", "a line has one from 2019/20 on")
	malformed(len(l.Priorities) == 0 && c.plan.Year >= prioritiesFrom, "priorities", "a line has at least one from 2020/21 on")
	malformed(!eachOf(l.Priorities, Priorities()), "priorities", "they are of the guidance, each once")
	malformed(!eachOf(l.StaffGroups, []StaffGroup{Clinical, NonClinical}), "staff_groups", "they are clinical and non-clinical, each once")
	malformed(!eachOf(l.Alignments, []Alignment{NetworkContract, LongTermPlan, SystemStrategy}), "alignments", "they are of the guidance, each once")
	malformed(!slices.Contains([]Level{"", PCNLevel, PlaceLevel, SystemLevel}, l.Level), "level", "it is PCN, PLACE or SYSTEM")
	malformed(!l.EndsOn.IsZero() && l.EndsOn.Before(l.StartsOn), "ends_on", "it is not before the first day")
}

// eachOf tells whether values are of a list, each at most once.
func eachOf[T comparable](values, list []T) bool {
	for i, v := range values {
		if !slices.Contains(list, v) || slices.Contains(values[:i], v) {
			return false
		}
	}
	return true
}

func (c *lineCheck) money(l *Line) {
	switch l.Payee {
	case PCNPayee:
		if l.Amount <= 0 {
			c.say(ReasonPlanLineMalformed, "amount_pence", "a line that pays networks has an amount; support in kind has the payee IN_KIND")
		}
	case Supplier:
		if l.Amount < 0 {
			c.say(ReasonPlanLineMalformed, "amount_pence", "it is not below nothing")
		}
		if strings.TrimSpace(l.SupplierCode) == "" {
			c.say(ReasonPlanLineMalformed, "supplier_code", "a line that pays a supplier names it")
		}
	case InKind:
		if l.Amount != 0 {
			c.say(ReasonPlanLineMalformed, "amount_pence", "support in kind has an amount of nothing")
		}
	default:
		c.say(ReasonPlanLineMalformed, "payee", "it is PCN_PAYEE, SUPPLIER or IN_KIND")
	}
}

func (c *lineCheck) beneficiaries(l *Line) {
	if _, _, err := inOrder(l.Beneficiaries); err != nil {
		c.say(ReasonBeneficiariesMalformed, "beneficiaries", said(err))
	}
	for _, b := range l.Beneficiaries {
		if !c.covered[b.PCN] {
			c.say(ReasonNotOfPCN, "beneficiaries", b.PCN+" is not covered by the plan")
		}
	}
}

func (c *lineCheck) instalments(l *Line) {
	if len(l.Instalments) == 0 {
		return
	}
	if l.Payee != PCNPayee {
		c.say(ReasonTranchesMalformed, "tranches", "only lines that pay networks are paid in tranches")
		return
	}
	if err := checkInstalments(c.plan.Year, l.Instalments); err != nil {
		c.say(ReasonTranchesMalformed, "tranches", said(err))
	}
}
