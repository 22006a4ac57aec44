package rules

import "github.com/pcnfunding/pcnfunding/pkg/period"

// Kind names a kind of load; the names are those of FileKind in the contract.
type Kind string

// The kinds of load.
const (
	// PracticeMapping is practice to PCN, commissioner, system and region on a day.
	PracticeMapping Kind = "PRACTICE_MAPPING"
	// RegisteredLists is registered patients per practice on a day.
	RegisteredLists Kind = "REGISTERED_LISTS"
	// PCNPartners is an edition of dated practice to PCN relationships.
	PCNPartners Kind = "PCN_PARTNERS"
	// PCNDetails is an edition of PCNs with their commissioner, opening and closing day.
	PCNDetails Kind = "PCN_DETAILS"
	// WeightedLists is contractor weighted patients per practice and financial year.
	WeightedLists Kind = "WEIGHTED_LISTS"
	// AdjustedPopulations is PCN adjusted populations, with or without mapping and list.
	AdjustedPopulations Kind = "ADJUSTED_POPULATIONS"
	// CareHomeBedCounts is care home beds per PCN and month.
	CareHomeBedCounts Kind = "CARE_HOME_BEDS"
	// NominatedPayees is payees by organisation and first day.
	NominatedPayees Kind = "NOMINATED_PAYEES"
	// Participations is opt-outs from the DES and their ends.
	Participations Kind = "PARTICIPATIONS"
	// Commissioners is CCGs, sub-ICB locations, STPs and ICBs with opening and closing days.
	Commissioners Kind = "COMMISSIONERS"
	// Recorded is one figure recorded by a call.
	Recorded Kind = "RECORDED"
)

// Load is one version of reference data. Position orders loads by the moment they became known.
type Load struct {
	Position    int64
	ID          string
	Kind        Kind
	Source      string
	ExtractDate period.Date
	// Maps says that the load tells the PCN of each practice on ExtractDate.
	Maps bool
	// Locates says that it also tells the CCG or sub-ICB location.
	Locates bool
}

// MappingRow is one practice of a published mapping. PCN is empty for a practice in no PCN; Location is empty where the
// publication knows only the ICB.
type MappingRow struct {
	Practice, PracticeName string
	PCN, PCNName           string
	Location, LocationName string
	System, SystemName     string
	RegionCode, RegionName string
}

// Mapping is a published mapping: the whole picture of one day.
type Mapping struct {
	Load Load
	Rows []MappingRow
}

// Relationship is one dated membership of an edition of dated relationships. Ends is inclusive; zero means open. The two
// locations are those of the edition's day, whatever the period of the relationship.
type Relationship struct {
	Practice, PracticeName string
	PracticeLocation       string
	PracticeLocationName   string
	PCN, PCNName           string
	PCNLocation            string
	PCNLocationName        string
	Starts, Ends           period.Date
}

// Edition is one edition of dated relationships.
type Edition struct {
	Load Load
	Rows []Relationship
}

// Detail is one PCN of an edition of PCN details. Closed is inclusive; zero means open.
type Detail struct {
	PCN, Name              string
	Location, LocationName string
	Opened, Closed         period.Date
}

// DetailsEdition is one edition of PCN details.
type DetailsEdition struct {
	Load Load
	Rows []Detail
}

// Place is one observation of where a location lies: a publication of Date showed it.
type Place struct {
	Load                   int64
	Date                   period.Date
	Location, LocationName string
	System, SystemName     string
	Region, RegionName     string
}

// BodyKind tells the kinds of commissioning body apart.
type BodyKind string

// The kinds of commissioning body.
const (
	// LocationBody is a CCG, or from July 2022 a sub-ICB location.
	LocationBody BodyKind = "location"
	// SystemBody is an STP, or from July 2022 an ICB.
	SystemBody BodyKind = "system"
	// RegionBody is an NHS England region.
	RegionBody BodyKind = "region"
)

// Commissioner is one body with the period it stood under one name. Closed is inclusive; a zero day means not known or open.
type Commissioner struct {
	Load           int64
	Code, Name     string
	Kind           BodyKind
	Region, System string
	Opened, Closed period.Date
}

// PopulationKind tells the three populations apart.
type PopulationKind string

// The three populations.
const (
	// Registered is the head count of registered patients.
	Registered PopulationKind = "registered"
	// Weighted is the registered list weighted by the global sum formula.
	Weighted PopulationKind = "weighted"
	// Adjusted is the need-weighted head count published once a year.
	Adjusted PopulationKind = "adjusted"
)

// Population is one count of a practice or PCN. Value is an exact decimal. AppliedFrom is the first month the national payment
// system uses it; zero means all.
type Population struct {
	Load         int64
	Organisation string
	Kind         PopulationKind
	Reference    period.Date
	Value        string
	AppliedFrom  period.Month
}

// RecordedMembership is one membership stated by a call. PCN is empty for a practice in no PCN; Ends is inclusive, zero means
// open.
type RecordedMembership struct {
	Load          int64
	Practice, PCN string
	Starts, Ends  period.Date
}

// Beds is a count of care home beds stated for a month; it holds until a later month states another.
type Beds struct {
	Load            int64
	PCN             string
	Month           period.Month
	Beds            int64
	CodingSatisfied bool
}

// Payee says who receives the money of a PCN or practice from a day on.
type Payee struct {
	Load         int64
	Organisation string
	Code, Name   string
	From         period.Date
}

// Participation says that a practice opts out of the DES, or takes part again, from a day on. Notice is zero where none is
// needed.
type Participation struct {
	Load          int64
	Practice      string
	Participating bool
	Notice        period.Date
	From          period.Date
}

// Facts is what was known at one moment, as far as it matters for one day and one reference date.
type Facts struct {
	// Loads holds every load that a fact below names, by position.
	Loads map[int64]Load
	// Mappings, Editions and Details are those the plan asks for, by position.
	Mappings map[int64]Mapping
	Editions map[int64]Edition
	Details  map[int64]DetailsEdition
	// Places are all observations known; Commissioners all rows known.
	Places        []Place
	Commissioners []Commissioner
	// The rest is in order of position.
	Recorded       []RecordedMembership
	Populations    []Population
	Beds           []Beds
	Payees         []Payee
	Participations []Participation
}

// recorded tells whether a load is one figure recorded by a call.
func (f Facts) recorded(load int64) bool { return f.Loads[load].Kind == Recorded }
