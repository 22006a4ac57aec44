package rules

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Department is the type of an emergency care department.
type Department int

// The types, whose codes are 01 to 04.
const (
	Emergency Department = iota + 1
	SingleSpecialty
	OtherDepartment
	WalkIn
)

// String returns the code.
func (d Department) String() string { return "0" + strconv.Itoa(int(d)) }

// DepartmentOf reads a code; 0 for none.
func DepartmentOf(code string) Department {
	if len(code) == 2 && code[0] == '0' && code[1] >= '1' && code[1] <= '4' {
		return Department(code[1] - '0')
	}
	return 0
}

// Category is why somebody came.
type Category int

// The categories.
const (
	First Category = iota + 1
	FollowUpPlanned
	FollowUpUnplanned
	CategoryUnknown
)

var categoryNames = []string{"", "FIRST", "FOLLOW_UP_PLANNED", "FOLLOW_UP_UNPLANNED", "UNKNOWN"}

// String returns the name.
func (c Category) String() string { return categoryNames[c] }

// CategoryOf reads what every file may say, in whatever case; 0 for a code of the file's own.
func CategoryOf(text string) Category {
	return Category(max(0, slices.IndexFunc(categoryNames, func(n string) bool { return n != "" && strings.EqualFold(n, text) })))
}

// Categories returns what codes mean to a commissioner: what every file may say, else what was set; unknown for whatever nobody set.
func Categories(settings []Setting, commissioner string) func(code string) (c Category, set *Setting) {
	known := make(map[string]*Setting)
	return func(code string) (Category, *Setting) {
		if c := CategoryOf(code); c != 0 {
			return c, nil
		}
		s, asked := known[code]
		if !asked {
			s = Find(settings, commissioner, SettingCategory, code)
			known[strings.Clone(code)] = s
		}
		if s == nil {
			return CategoryUnknown, nil
		}
		return CategoryOf(s.Value), s
	}
}

// Attendance is one row of a cut: attendances that are alike in all that counts.
type Attendance struct {
	Line       int64
	Provider   string
	Department Department
	// Code is the category as the file has it.
	Code string
	// Practice is empty where it is not known.
	Practice string
	// HRG is empty where the attendances were not grouped.
	HRG   string
	Count int64
	// Given is the file's own cost, where HasGiven.
	Given    money.Pence
	HasGiven bool
}

// Network is a PCN as it was on the day.
type Network struct {
	Code, Name string
	// List is its registered patients; nil where that of a member is not known.
	List *int64
	// LedElsewhere is true where another commissioner leads it.
	LedElsewhere bool
}

// Member is a practice of a PCN as it was on the day.
type Member struct {
	PCN string
	// List is its registered patients; nil where not known.
	List *int64
}

// Members are practices with their PCNs on a day.
type Members struct {
	Practices map[string]Member
	Networks  map[string]Network
}

// What stands in the place of a PCN.
const (
	// NoPCN is for practices in no PCN.
	NoPCN = "NO_PCN"
	// UnknownPractice is for attendances of which no practice is known.
	UnknownPractice = "UNKNOWN"
)

// Names of what stands in the place of a PCN.
var placeNames = map[string]string{NoPCN: "practices in no PCN", UnknownPractice: "practice not known"}

// IsPCN tells a PCN from what stands in the place of one.
func IsPCN(code string) bool { return code != NoPCN && code != UnknownPractice }

// attribute returns the PCN of a practice, and what is known of the practice.
func (m *Members) attribute(practice string) (pcn string, list *int64) {
	if practice == "" {
		return UnknownPractice, nil
	}
	member, found := m.Practices[practice]
	if !found || member.PCN == "" {
		return NoPCN, member.List
	}
	return member.PCN, member.List
}
