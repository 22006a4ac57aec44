package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// CheckID names a governance check.
type CheckID string

// The checks, in the order of the guidance (development fund, section 2.8; wording of 2020/21, kept for all years).
const (
	DevelopmentNotDelivery      CheckID = "development_not_delivery"
	UniversalOffer              CheckID = "universal_offer"
	AgreedWithClinicalDirectors CheckID = "agreed_with_clinical_directors"
	LevelDecided                CheckID = "level_decided"
	LeadershipPortionDecided    CheckID = "leadership_portion_decided"
	DESAndLTPAlignment          CheckID = "des_and_ltp_alignment"
	Collaboration               CheckID = "collaboration"
	WithinAllocation            CheckID = "within_allocation"
)

// Finding is one thing that a check misses.
type Finding struct {
	// Subject is the network, the line, the staff group or the figure that it is about.
	Subject string
	Words   string
}

// Check is one check with what it found; it passes where it found nothing.
type Check struct {
	ID CheckID
	// Clause is what the guidance asks.
	Clause   string
	Findings []Finding
	// Note is what is worth knowing though it fails nothing.
	Note string
	// Assumed is true where the caller asked to take the check as passed; nobody looked.
	Assumed bool
}

// Passed tells whether nothing is missing.
func (c *Check) Passed() bool { return len(c.Findings) == 0 }

// Missing returns what the findings are about, each once, in order.
func (c *Check) Missing() []string {
	out := make([]string, len(c.Findings))
	for i, f := range c.Findings {
		out[i] = f.Subject
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Words says what is missing, or that nothing is.
func (c *Check) Words() string {
	if c.Assumed {
		return "taken as passed, as asked"
	}
	words := make([]string, 0, len(c.Findings)+2)
	if c.Passed() {
		words = append(words, "passed")
	}
	for _, f := range c.Findings {
		words = append(words, f.Words)
	}
	if c.Note != "" {
		words = append(words, c.Note)
	}
	return strings.Join(words, "; ")
}

var checks = []struct {
	id     CheckID
	clause string
	find   func(*Plan) ([]Finding, error)
}{
	{DevelopmentNotDelivery, "money is for development, not for services or running costs; freed time has its development activity and day", (*Plan).notDelivery},
	{UniversalOffer, "every network gets support or money, and clinical and non-clinical staff are covered", (*Plan).universal},
	{AgreedWithClinicalDirectors, "every network's clinical director, or a deputy, agreed on a day that is on file", (*Plan).agreed},
	{LevelDecided, "every line says where it is bought, and why once where it is bought once", (*Plan).levels},
	{LeadershipPortionDecided, "the portion for the leadership of clinical directors is decided; nothing needs a reason, after 2019/20", (*Plan).leadership},
	{DESAndLTPAlignment, "every line serves the Network Contract DES, the Long Term Plan or the strategy of the system", (*Plan).aligned},
	{Collaboration, "every line shows its wider partners, or why none are relevant", (*Plan).collaborates},
	{WithinAllocation, "the plan comes to no more than its allocation", (*Plan).within},
}

// CheckIDs returns the checks in order.
func CheckIDs() []CheckID {
	out := make([]CheckID, len(checks))
	for i := range checks {
		out[i] = checks[i].id
	}
	return out
}

// CheckPlan holds a plan against the eight governance checks, always all of them and in their order (example DF-007). Those assumed are
// not looked at and pass; that is for questions, and never for the approval of a plan. It fails on amounts that 64 bits do not hold.
func CheckPlan(p *Plan, assumed ...CheckID) ([]Check, error) {
	out := make([]Check, len(checks))
	for i, check := range checks {
		out[i] = Check{ID: check.id, Clause: check.clause, Assumed: slices.Contains(assumed, check.id)}
		if out[i].Assumed {
			continue
		}
		var err error
		if out[i].Findings, err = check.find(p); err != nil {
			return nil, fmt.Errorf("check %s: %w", check.id, err)
		}
		if check.id != LeadershipPortionDecided {
			continue
		}
		if out[i].Note, err = p.leadershipNote(); err != nil {
			return nil, fmt.Errorf("check %s: %w", check.id, err)
		}
	}
	return out, nil
}

// Failed returns the checks that fail, in order.
func Failed(all []Check) []CheckID {
	var out []CheckID
	for i := range all {
		if !all[i].Passed() {
			out = append(out, all[i].ID)
		}
	}
	return out
}

// Approvable refuses a plan of which a check fails, with every one that does.
func Approvable(all []Check) error {
	failed := Failed(all)
	if len(failed) == 0 {
		return nil
	}
	names := make([]string, len(failed))
	for i, id := range failed {
		names[i] = string(id)
	}
	wrong := fault.New(fault.Refused, ReasonChecksFailed, "%d of %d governance checks fail: %s", len(failed), len(all), strings.Join(names, ", ")).
		With("failed_checks", strings.Join(names, ","))
	for i := range all {
		if !all[i].Passed() {
			wrong = wrong.With(string(all[i].ID), money.Clip(strings.Join(all[i].Missing(), ",")))
		}
	}
	return wrong
}

// eachLine finds lines of which something is missing.
func (p *Plan) eachLine(words func(*Line) string) []Finding {
	var out []Finding
	for i := range p.Lines {
		if missing := words(&p.Lines[i]); missing != "" {
			out = append(out, Finding{p.Lines[i].ID, "line " + p.Lines[i].ID + ": " + missing})
		}
	}
	return out
}

func (p *Plan) notDelivery() ([]Finding, error) {
	return p.eachLine(func(l *Line) string {
		judged, err := Judge(&l.Proposal)
		switch {
		case err != nil:
			return fmt.Sprintf("%q is not a category", money.Clip(l.Category))
		case judged.Eligible:
			return ""
		}
		return judged.Answer + " (" + judged.Basis + ")"
	}), nil
}

// universal counts a network as offered something where a line names it, at whatever amount: support in kind counts. Staff groups are
// looked at over the whole plan, because what each network gets is matched to its need.
func (p *Plan) universal() ([]Finding, error) {
	served, covered := make(map[string]bool), make(map[StaffGroup]bool)
	for i := range p.Lines {
		for _, b := range p.Lines[i].Beneficiaries {
			served[b.PCN] = true
		}
		for _, group := range p.Lines[i].StaffGroups {
			covered[group] = true
		}
	}
	var out []Finding
	if len(p.PCNs) == 0 {
		out = append(out, Finding{"pcn_codes", "the plan covers no network"})
	}
	for _, pcn := range p.ordered() {
		if !served[pcn] {
			out = append(out, Finding{pcn, pcn + " gets neither money nor support"})
		}
	}
	for _, group := range []StaffGroup{Clinical, NonClinical} {
		if !covered[group] {
			out = append(out, Finding{string(group), "no line covers " + strings.ReplaceAll(strings.ToLower(string(group)), "_", "-") + " staff"})
		}
	}
	return out, nil
}

// ordered returns the networks in order of code, each once.
func (p *Plan) ordered() []string {
	out := slices.Clone(p.PCNs)
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *Plan) agreed() ([]Finding, error) {
	var out []Finding
	for _, pcn := range p.ordered() {
		if !slices.ContainsFunc(p.Agreements, func(a Agreement) bool { return a.PCN == pcn && a.Director != "" && !a.On.IsZero() }) {
			out = append(out, Finding{pcn, "no dated agreement of the clinical director of " + pcn + ", or a deputy, is on file"})
		}
	}
	return out, nil
}

func (p *Plan) levels() ([]Finding, error) {
	return p.eachLine(func(l *Line) string {
		switch {
		case l.Level == "":
			return "it does not say whether it is bought by networks, a place or the system"
		case l.Level != PCNLevel && strings.TrimSpace(l.LevelReason) == "":
			return "it is bought once and does not say why"
		}
		return ""
	}), nil
}

func (p *Plan) leadership() ([]Finding, error) {
	const subject = "leadership_percent"
	percent := p.LeadershipPercent
	switch {
	case percent == nil && p.Year < leadershipDecidedFrom:
		return nil, nil
	case percent == nil:
		return []Finding{{subject, "no portion for leadership is decided"}}, nil
	case percent.Sign() < 0 || percent.Cmp(hundred) > 0:
		return []Finding{{subject, money.Format(percent) + " percent for leadership is not between 0 and 100"}}, nil
	case percent.Sign() == 0 && p.Year < leadershipDecidedFrom:
		return []Finding{{subject, "a portion for leadership is due in " + p.Year.String()}}, nil
	case percent.Sign() == 0 && strings.TrimSpace(p.LeadershipReason) == "":
		return []Finding{{"leadership_reason", "nothing is set aside for leadership, and no reason is given"}}, nil
	}
	return nil, nil
}

// leadershipNote says where lines do not draw on money for leadership what the header says of it. No rule makes them: leadership may be paid
// out of another plan.
func (p *Plan) leadershipNote() (string, error) {
	percent := p.LeadershipPercent
	if percent == nil || percent.Sign() < 0 || percent.Cmp(hundred) > 0 || len(p.Holdings) == 0 || len(p.Lines) == 0 {
		return "", nil
	}
	planned, err := p.Planned()
	if err != nil {
		return "", err
	}
	var drawn money.Pence
	for _, holding := range p.Holdings {
		if !holding.Leadership {
			continue
		}
		of, err := p.drawnOn(holding.Allocation)
		if err != nil {
			return "", err
		}
		if drawn, err = drawn.Add(of); err != nil {
			return "", err
		}
	}
	share := new(big.Rat).Quo(percent, hundred)
	said, err := money.RoundHalfUp(share.Mul(share, planned.GBP()))
	if err != nil || said == drawn {
		return "", err
	}
	return fmt.Sprintf("the header says %s percent for leadership, %s of %s planned, and lines that draw on money for leadership come to %s",
		money.Format(percent), said, planned, drawn), nil
}

func (p *Plan) aligned() ([]Finding, error) {
	return p.eachLine(func(l *Line) string {
		if len(l.Alignments) == 0 {
			return "it serves neither the Network Contract DES nor the Long Term Plan nor the strategy of the system"
		}
		return ""
	}), nil
}

func (p *Plan) collaborates() ([]Finding, error) {
	return p.eachLine(func(l *Line) string {
		if strings.TrimSpace(l.WiderPartners) == "" {
			return "it neither shows wider partners nor says why none are relevant"
		}
		return ""
	}), nil
}

// within bounds the plan as a whole, or where it says what each allocation holds, what is drawn on each.
func (p *Plan) within() ([]Finding, error) {
	if len(p.Holdings) == 0 {
		planned, err := p.Planned()
		if err != nil {
			return nil, err
		}
		return withinOne(Holding{Allocation: cmp.Or(p.AvailableOf, "allocation"), Left: p.Available}, "the plan comes", planned), nil
	}
	var out []Finding
	for _, holding := range p.Holdings {
		drawn, err := p.drawnOn(holding.Allocation)
		if err != nil {
			return nil, err
		}
		out = append(out, withinOne(holding, p.linesOn(holding.Allocation), drawn)...)
	}
	return out, nil
}

// drawnOn is what lines draw on an allocation.
func (p *Plan) drawnOn(allocation string) (sum money.Pence, err error) {
	for i := range p.Lines {
		if p.Lines[i].Allocation != allocation {
			continue
		}
		if sum, err = sum.Add(p.Lines[i].Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// linesOn names the lines that draw on an allocation, as they begin a sentence on what they come to.
func (p *Plan) linesOn(allocation string) string {
	var ids []string
	for i := range p.Lines {
		if p.Lines[i].Allocation == allocation {
			ids = append(ids, p.Lines[i].ID)
		}
	}
	switch len(ids) {
	case 0:
		return "the plan comes"
	case 1:
		return "line " + ids[0] + " comes"
	}
	return "lines " + money.Clip(strings.Join(ids, ", ")) + " come"
}

// withinOne holds what lines come to against an allocation.
func withinOne(h Holding, lines string, planned money.Pence) []Finding {
	whose := cmp.Or(h.Name, "the allocation")
	switch {
	case h.Left == nil:
		return []Finding{{h.Allocation, cmp.Or(h.Why, "what "+whose+" holds is not known: enter or confirm it")}}
	case planned > *h.Left:
		return []Finding{{h.Allocation, fmt.Sprintf("%s to %s, %s holds %s: plan %s less", lines, planned, whose, *h.Left, planned-*h.Left)}}
	}
	return nil
}
