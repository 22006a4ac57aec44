package rules

import (
	"cmp"
	"fmt"
	"slices"
)

func (n *National) find(f Finding) { n.Findings = append(n.Findings, f) }

// outsideFindings reports practices in no PCN, and lists of practices that no source names.
func (n *National) outsideFindings(b *builder) {
	for _, p := range n.Outside {
		if !b.mapped[p.Code] {
			n.find(Finding{
				Kind: ListWithoutPractice, Practice: p.Code,
				Detail: fmt.Sprintf("a list of %s is held for practice %s, which no source maps", n.Reference, p.Code),
			})
			continue
		}
		n.find(Finding{Kind: PracticeWithoutPCN, Practice: p.Code, Detail: fmt.Sprintf("practice %s is in no PCN on %s", p.Code, n.Day)})
	}
}

// populationFindings reports members without a population. A kind that no practice has on the reference date is one finding,
// not one per practice.
func (n *National) populationFindings() {
	held := make(map[PopulationKind]bool)
	for _, pcn := range n.PCNs {
		for _, population := range pcn.Populations {
			held[population.Kind] = true
		}
		for _, practice := range pcn.Practices {
			for _, population := range practice.Populations {
				held[population.Kind] = true
			}
		}
	}
	for _, lack := range []struct {
		kind    PopulationKind
		finding FindingKind
		words   string
	}{
		{Registered, PracticeWithoutList, "a registered list"},
		{Weighted, PracticeWithoutWeight, "a contractor weighted population"},
		{Adjusted, PracticeWithoutAdjusted, "an adjusted population"},
	} {
		if !held[lack.kind] {
			n.find(Finding{Kind: lack.finding, Detail: fmt.Sprintf("no practice has %s of %s", lack.words, n.Reference)})
			continue
		}
		for _, pcn := range n.PCNs {
			n.lacking(pcn, lack.kind, lack.finding, lack.words)
		}
	}
}

// lacking reports practices of a PCN without a kind of population, unless the PCN as a whole has it.
func (n *National) lacking(pcn PCN, kind PopulationKind, finding FindingKind, words string) {
	hasKind := func(p Population) bool { return p.Kind == kind }
	if slices.ContainsFunc(pcn.Populations, hasKind) {
		return
	}
	for _, practice := range pcn.Practices {
		if !slices.ContainsFunc(practice.Populations, hasKind) {
			n.find(Finding{
				Kind: finding, PCN: pcn.Code, Practice: practice.Code,
				Detail: fmt.Sprintf("practice %s lacks %s of %s", practice.Code, words, n.Reference),
			})
		}
	}
}

// sizeFindings adds patients, location and payer to the findings and orders them.
func (n *National) sizeFindings() {
	practices := make(map[string]Practice)
	pcns := make(map[string]PCN, len(n.PCNs))
	for _, pcn := range n.PCNs {
		pcns[pcn.Code] = pcn
		for _, practice := range pcn.Practices {
			practices[practice.Code] = practice
		}
	}
	for _, practice := range n.Outside {
		practices[practice.Code] = practice
	}
	for i := range n.Findings {
		f := &n.Findings[i]
		if practice, ok := practices[f.Practice]; ok {
			f.RegisteredPatients, _ = practice.RegisteredPatients()
			f.Location, f.Payer = practice.Location, practice.Payer
		} else if pcn, ok := pcns[f.PCN]; ok {
			f.RegisteredPatients = pcn.RegisteredPatients()
			f.Location, f.Payer = pcn.Location, pcn.Payer
		}
	}
	slices.SortFunc(n.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(findingOrder[a.Kind], findingOrder[b.Kind]), cmp.Compare(a.PCN, b.PCN), cmp.Compare(a.Practice, b.Practice),
			cmp.Compare(a.Detail, b.Detail))
	})
}

// RegisteredPatients returns the registered patients of the PCN: the sum over its practices, or the count for the PCN as a
// whole where no practice has one.
func (p PCN) RegisteredPatients() int64 {
	var sum int64
	for _, practice := range p.Practices {
		count, _ := practice.RegisteredPatients()
		sum += count
	}
	if sum == 0 {
		sum, _ = registeredOf(p.Populations)
	}
	return sum
}
