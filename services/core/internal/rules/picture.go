package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Picture is the part of a register snapshot that core decides on.
type Picture struct {
	SnapshotID string
	Day        period.Date // members, payers and payees of this day
	ListDate   period.Date // populations of this day
	PCNs       []PCN
	// Debtors are the bodies that owed any of what the commissioner owes here, from the day on.
	Debtors []string
}

// OwedLocations returns the places of the networks and practices that the commissioner of the picture owes.
func (p *Picture) OwedLocations() map[string]bool {
	out := make(map[string]bool)
	for i := range p.PCNs {
		pcn := &p.PCNs[i]
		if pcn.Owed && pcn.LocationCode != "" {
			out[pcn.LocationCode] = true
		}
		for j := range pcn.Practices {
			if practice := &pcn.Practices[j]; practice.Owed && practice.LocationCode != "" {
				out[practice.LocationCode] = true
			}
		}
	}
	return out
}

// Owed tells whether the commissioner of the picture owes what is due to a network, or to a practice where one is named.
func (p *Picture) Owed(pcnCode, practiceCode string) bool {
	for i := range p.PCNs {
		pcn := &p.PCNs[i]
		if practiceCode == "" && pcn.Code == pcnCode {
			return pcn.Owed
		}
		for j := range pcn.Practices {
			if practiceCode != "" && pcn.Practices[j].Code == practiceCode {
				return pcn.Practices[j].Owed
			}
		}
	}
	return false
}

// PCN is a network on the day of a picture.
type PCN struct {
	Code, Name   string
	PayerCode    string // body that owes its payments on the day; empty when it cannot be told
	Owed         bool   // by the commissioner of the picture: as the payer, or as the body that took over the payer's debts
	LocationCode string
	Payee        Payee
	Opened       period.Date // zero when not known
	Closed       period.Date // last day; zero while open
	Beds         *Beds       // nil when none were ever stated
	Practices    []Practice
	Populations  map[Unit]Figure // supplied for the network as a whole
}

// InForce tells whether the network existed on a day.
func (p *PCN) InForce(day period.Date) bool {
	opened := p.Opened.IsZero() || !day.Before(p.Opened)
	open := p.Closed.IsZero() || !day.After(p.Closed)
	return opened && open
}

// Practice is a core member practice on the day of a picture.
type Practice struct {
	Code, Name    string
	PayerCode     string
	Owed          bool // by the commissioner of the picture
	LocationCode  string
	Payee         Payee // zero means the practice itself
	Participating bool
	Populations   map[Unit]Figure
}

// Payee receives money. The zero value means that none is recorded.
type Payee struct{ Code, Name string }

// Figure is one population with the load it comes from.
type Figure struct {
	Value       *big.Rat
	LoadID      string
	AppliedFrom period.Month // first month in which the national payment system uses it; zero means all
}

// Beds is a care home bed count in force.
type Beds struct {
	Count           int64
	StatedMonth     period.Month
	CodingSatisfied bool
	LoadID          string
}

// RegisteredPatients adds up the registered lists of the network's practices, as far as they are known.
func (p *PCN) RegisteredPatients() *big.Rat {
	total := new(big.Rat)
	for i := range p.Practices {
		if figure, ok := p.Practices[i].Populations[RegisteredPatient]; ok {
			total.Add(total, figure.Value)
		}
	}
	return total
}
