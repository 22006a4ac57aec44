package rules

import "github.com/pcnfunding/pcnfunding/pkg/period"

// National is the picture of all of England on a day. It is not changed once made and may be read by many at once.
type National struct {
	Day, Reference period.Date
	// PCNs is by code.
	PCNs []PCN
	// Outside is every practice in no PCN, by code.
	Outside []Practice
	// Findings is by kind, PCN and practice.
	Findings []Finding

	places *places
	loads  map[int64]Load
	// touches and outside index PCNs and practices by the codes a snapshot may be cut for.
	touches map[string][]int
	heirs   map[string][]string // bodies that took over the debts of a location
	outside map[string][]int
}

// PCN is one PCN of a picture.
type PCN struct {
	Code, Name       string
	Location         string
	Payer, PayerName string
	System, Region   string
	Payee            *Payee
	Practices        []Practice
	Populations      []Population
	Beds             *Beds
	Opened, Closed   period.Date
	sources          []int64
}

// Practice is one practice of a picture. Payee is nil where the practice itself is paid.
type Practice struct {
	Code, Name     string
	PCN            string
	Location       string
	Payer          string
	System, Region string
	Payee          *Payee
	Participating  bool
	Populations    []Population
	sources        []int64
}

// RegisteredPatients returns the practice's registered list on the reference date, and whether there is one.
func (p Practice) RegisteredPatients() (int64, bool) { return registeredOf(p.Populations) }

// Snapshot is a picture cut for one commissioner, or for all of England.
type Snapshot struct {
	Commissioner, CommissionerName string
	Day, Reference                 period.Date
	PCNs                           []PCN
	Sources                        []Load
	Findings                       []Finding
	// Debtors are the bodies that owed any of what the commissioner owes here, from the day on, by code.
	Debtors []string
	owed    map[string]bool
}

// Owes tells whether the commissioner owes what is due to a PCN or practice of the snapshot: as the payer on the day, or as
// the body that took over the payer's debts. For all of England everything is owed.
func (s *Snapshot) Owes(code string) bool { return s.Commissioner == "" || s.owed[code] }

// FindingKind names what is odd; the names are those of FindingKind in the contract.
type FindingKind string

// The kinds of finding.
const (
	// PracticeWithoutPCN is a practice in no PCN.
	PracticeWithoutPCN FindingKind = "PRACTICE_WITHOUT_PCN"
	// PracticeWithoutList is a member without a registered list on the reference date.
	PracticeWithoutList FindingKind = "PRACTICE_WITHOUT_LIST"
	// PracticeWithoutWeight is a member without a contractor weighted population.
	PracticeWithoutWeight FindingKind = "PRACTICE_WITHOUT_WEIGHT"
	// PracticeWithoutAdjusted is a member without an adjusted population.
	PracticeWithoutAdjusted FindingKind = "PRACTICE_WITHOUT_ADJUSTED"
	// PracticeInTwoPCNs is a practice with two PCNs on the day.
	PracticeInTwoPCNs FindingKind = "PRACTICE_IN_TWO_PCNS"
	// SourcesDisagree is a PCN or population that two sources tell differently; the detail says which was taken.
	SourcesDisagree FindingKind = "SOURCES_DISAGREE"
	// PCNUnderTwoCommissioners is a PCN with practices of more than one payer.
	PCNUnderTwoCommissioners FindingKind = "PCN_UNDER_TWO_COMMISSIONERS"
	// LeadCommissionerUnknown is a PCN whose payer cannot be told.
	LeadCommissionerUnknown FindingKind = "LEAD_COMMISSIONER_UNKNOWN"
	// PCNClosed is a PCN with members that was closed, or not yet open, on the day.
	PCNClosed FindingKind = "PCN_CLOSED"
	// ListWithoutPractice is a list of a practice that no source maps.
	ListWithoutPractice FindingKind = "LIST_WITHOUT_PRACTICE"
	// LeadCarriedBack is a lead commissioner observed only after the day.
	LeadCarriedBack FindingKind = "LEAD_CARRIED_BACK"
)

// findingOrder is the order of the contract.
var findingOrder = map[FindingKind]int{
	PracticeWithoutPCN: 1, PracticeWithoutList: 2, PracticeWithoutWeight: 3, PracticeWithoutAdjusted: 4, PracticeInTwoPCNs: 5,
	SourcesDisagree: 6, PCNUnderTwoCommissioners: 7, LeadCommissionerUnknown: 8, PCNClosed: 9, ListWithoutPractice: 10, LeadCarriedBack: 11,
}

// Finding is one oddity with its size. PCN and Practice are empty where none is concerned.
type Finding struct {
	Kind               FindingKind
	PCN, Practice      string
	Detail             string
	RegisteredPatients int64
	Location, Payer    string
}
