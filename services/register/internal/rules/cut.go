package rules

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// index notes which PCNs and practices a snapshot for a code must hold.
func (n *National) index() {
	n.touches, n.outside = make(map[string][]int), make(map[string][]int)
	n.heirs = make(map[string][]string)
	for i, pcn := range n.PCNs {
		n.noteHeirs(pcn.Location)
		all := n.owners(pcn.Location, pcn.Payer, pcn.System)
		for _, practice := range pcn.Practices {
			n.noteHeirs(practice.Location)
			all = append(all, n.owners(practice.Location, practice.Payer, practice.System)...)
		}
		addIndex(n.touches, all, i)
	}
	for i, practice := range n.Outside {
		n.noteHeirs(practice.Location)
		addIndex(n.outside, n.owners(practice.Location, practice.Payer, practice.System), i)
	}
}

// noteHeirs remembers who took over the debts of a location, which is asked for often.
func (n *National) noteHeirs(location string) {
	if _, noted := n.heirs[location]; !noted && location != "" {
		n.heirs[location] = n.places.heirs(location)
	}
}

// owners returns the bodies that owe what is due to a PCN or practice: its payer on the day, and those that took over the
// payer's debts.
func (n *National) owners(location, payer, system string) []string {
	known := n.heirs[location]
	out := append([]string{payer}, known...)
	// Before July 2022 an STP owed nothing; its code stands for the ICB only where no publication tells the ICB.
	if len(known) == 0 || eraOfICBs(n.Day) {
		out = append(out, system)
	}
	return out
}

func addIndex(index map[string][]int, codes []string, at int) {
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		if code != "" {
			index[code] = append(index[code], at)
		}
	}
}

// Cut returns the part of the picture that concerns a commissioner: the PCNs it leads on the day, or whose debts it took over,
// and PCNs of others with a practice it commissions, each whole. An empty code means all of England.
func (n *National) Cut(code string) (Snapshot, error) {
	if code == "" {
		return n.england(), nil
	}
	if err := n.checkCommissioner(code); err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Commissioner: code, CommissionerName: n.commissionerName(code), Day: n.Day, Reference: n.Reference}
	s.owed = make(map[string]bool)
	pcns, practices := make(map[string]bool), make(map[string]bool)
	for _, i := range n.touches[code] {
		pcn := n.PCNs[i]
		s.PCNs = append(s.PCNs, pcn)
		s.note(pcn.Code, n.owners(pcn.Location, pcn.Payer, pcn.System))
		for _, p := range pcn.Practices {
			s.note(p.Code, n.owners(p.Location, p.Payer, p.System))
		}
		pcns[pcn.Code] = true
	}
	for _, i := range n.outside[code] {
		practices[n.Outside[i].Code] = true
	}
	for _, f := range n.Findings {
		if pcns[f.PCN] || practices[f.Practice] || (f.PCN == "" && f.Practice == "") {
			s.Findings = append(s.Findings, f)
		}
	}
	s.Sources = n.sources(s.PCNs, n.OutsideOf(code))
	return s, nil
}

// note remembers whether the commissioner is one of the owners of a debt to a PCN or practice, and then the others.
func (s *Snapshot) note(creditor string, owners []string) {
	if s.owed[creditor] = slices.Contains(owners, s.Commissioner); !s.owed[creditor] {
		return
	}
	for _, owner := range owners {
		if at, found := slices.BinarySearch(s.Debtors, owner); !found && owner != "" {
			s.Debtors = slices.Insert(s.Debtors, at, owner)
		}
	}
}

func (n *National) england() Snapshot {
	return Snapshot{Day: n.Day, Reference: n.Reference, PCNs: n.PCNs, Findings: n.Findings, Sources: n.sources(n.PCNs, n.Outside)}
}

// OutsideOf returns the practices in no PCN that a commissioner commissions; of all England for an empty code.
func (n *National) OutsideOf(code string) []Practice {
	if code == "" {
		return n.Outside
	}
	out := make([]Practice, 0, len(n.outside[code]))
	for _, i := range n.outside[code] {
		out = append(out, n.Outside[i])
	}
	return out
}

// sources lists the loads that what a snapshot shows rests on, by kind, day and identifier.
func (n *National) sources(pcns []PCN, outside []Practice) []Load {
	used := make(map[int64]bool)
	note := func(positions []int64) {
		for _, position := range positions {
			used[position] = true
		}
	}
	for _, pcn := range pcns {
		note(pcn.sources)
		for _, practice := range pcn.Practices {
			note(practice.sources)
		}
	}
	for _, practice := range outside {
		note(practice.sources)
	}
	out := make([]Load, 0, len(used))
	for position := range used {
		if load, ok := n.loads[position]; ok {
			out = append(out, load)
		}
	}
	slices.SortFunc(out, func(a, b Load) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.ExtractDate.Compare(b.ExtractDate), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// checkCommissioner refuses a code that is no commissioner, or one that neither owed money on the day nor took over debts of
// it: a CCG or sub-ICB location from July 2022, or a body that had closed before.
func (n *National) checkCommissioner(code string) error {
	kind := n.places.kind(code)
	if kind == "" || kind == RegionBody {
		return fault.New(fault.NotFound, ReasonOrganisationUnknown, "the register knows no commissioner %s", code).With("commissioner_code", code)
	}
	refused := fault.New(fault.Refused, ReasonCommissionerNotInForce, "%s owed nothing on %s", code, n.Day).
		With("commissioner_code", code).With("date", n.Day)
	if kind == LocationBody {
		if eraOfICBs(n.Day) {
			refused.Message += ": from 1 July 2022 the ICB of the location owes the payments"
			return refused.With("icb", n.places.systemOf(code).code)
		}
		if n.places.standing(code, n.Day) == notInForce {
			return refused
		}
		return nil
	}
	if len(n.touches[code]) == 0 && len(n.outside[code]) == 0 && n.closedSystem(code) {
		return refused
	}
	return nil
}

// closedSystem tells whether a system was gone on the day.
func (n *National) closedSystem(code string) bool {
	if n.places.replaced(code, n.Day) {
		return true
	}
	rows := n.places.table[code]
	return len(rows) > 0 && closedBefore(rows, n.Day)
}

// commissionerName names a body; an ICB that took over debts of an earlier day is named as the ICB.
func (n *National) commissionerName(code string) string {
	if n.places.kind(code) == SystemBody && !eraOfICBs(n.Day) {
		return n.places.name(code, lastDayOfCCGs.AddDays(1))
	}
	return n.places.name(code, n.Day)
}

// Payer is a body that owes the payments of PCNs on a day.
type Payer struct {
	Code, Name, System, Region string
	PCNs                       int
}

// Payers lists the bodies that lead at least one PCN on the day, by code.
func (n *National) Payers() []Payer {
	byCode := make(map[string]*Payer)
	for _, pcn := range n.PCNs {
		if pcn.Payer == "" {
			continue
		}
		p, ok := byCode[pcn.Payer]
		if !ok {
			p = &Payer{Code: pcn.Payer, Name: pcn.PayerName, System: pcn.System, Region: pcn.Region}
			byCode[pcn.Payer] = p
		}
		p.PCNs++
	}
	out := make([]Payer, 0, len(byCode))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		out = append(out, *byCode[code])
	}
	return out
}

// Commissions tells whether an organisation, a PCN or a practice, belongs to a commissioner on the day: to the body that owes
// its payments, to one that took over the debts of that body, or to the location it lies in.
func (n *National) Commissions(commissioner, organisation string) bool {
	if commissioner == "" {
		return false
	}
	belongs := func(location, payer, system string) bool {
		return location == commissioner || slices.Contains(n.owners(location, payer, system), commissioner)
	}
	of := func(p Practice) bool { return p.Code == organisation && belongs(p.Location, p.Payer, p.System) }
	for _, pcn := range n.PCNs {
		if (pcn.Code == organisation && belongs(pcn.Location, pcn.Payer, pcn.System)) || slices.ContainsFunc(pcn.Practices, of) {
			return true
		}
	}
	return slices.ContainsFunc(n.Outside, of)
}

// Coverage counts how much of a commissioner, or of England, a day covers.
type Coverage struct {
	Practices, PracticesInPCN, PCNs int
	Patients, PatientsInPCN         int64
	// BasisPoints is the share of patients in a PCN in hundredths of a per cent, rounded half up.
	BasisPoints int
	Findings    []Finding
}

// CoverageOf counts a cut: the PCNs of the snapshot with all their practices, and the practices outside.
func (n *National) CoverageOf(s Snapshot) Coverage {
	c := Coverage{PCNs: len(s.PCNs), Findings: s.Findings}
	for _, pcn := range s.PCNs {
		for _, practice := range pcn.Practices {
			count, _ := practice.RegisteredPatients()
			c.Practices++
			c.PracticesInPCN++
			c.Patients += count
			c.PatientsInPCN += count
		}
	}
	for _, practice := range n.OutsideOf(s.Commissioner) {
		count, _ := practice.RegisteredPatients()
		c.Practices++
		c.Patients += count
	}
	if c.Patients > 0 {
		c.BasisPoints = int((c.PatientsInPCN*20000 + c.Patients) / (2 * c.Patients))
	}
	return c
}
