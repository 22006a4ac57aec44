package files

import (
	"strconv"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

const (
	adjustedPractice = iota
	adjustedPracticeName
	adjustedPCN
	adjustedPCNName
	adjustedICB
	adjustedICBName
	adjustedRegion
	adjustedRegionName
	adjustedRegistered
	adjustedPopulation
	adjustedMember
)

// memberColumn begins the name of the column that says on which day a practice was in a PCN.
const memberColumn = "PCN member"

// adjustedForm is the PCN adjusted populations of NHS England: practice, PCN, ICB, registered list and adjusted population in
// one. Its last row is a total without codes.
var adjustedForm = &form{
	kind: rules.AdjustedPopulations, maps: true,
	columns: []column{
		adjustedPractice:     {[]string{"Practice Code"}, true},
		adjustedPracticeName: {[]string{"Practice Name"}, true},
		adjustedPCN:          {[]string{"PCN Code"}, true},
		adjustedPCNName:      {[]string{"PCN Name"}, true},
		adjustedICB:          {[]string{"ICB Code"}, true},
		adjustedICBName:      {[]string{"ICB Name"}, true},
		adjustedRegion:       {[]string{"Region code"}, true},
		adjustedRegionName:   {[]string{"Region", "Region name"}, true},
		adjustedRegistered:   {[]string{"Raw list size"}, true},
		adjustedPopulation:   {[]string{"Adjusted Population"}, true},
		adjustedMember:       {[]string{memberColumn + "*"}, true},
	},
	begin:  adjustedBegin,
	parse:  adjustedParse,
	finish: func(*reader) error { return nil },
}

// adjustedBegin takes the day of the lists from the name of the member column, such as "PCN member January 25", or from the
// caller.
func adjustedBegin(r *reader) error {
	r.extractDate = r.options.ExtractDate
	name := r.header[r.at[adjustedMember]]
	said := strings.Join(strings.Fields(name[min(len(memberColumn), len(name)):]), " ")
	for _, style := range []string{"January 06", "January 2006", "2 January 2006", "2006-01-02"} {
		day, err := time.Parse(style, said)
		if err != nil {
			continue
		}
		stated := period.DateOf(day)
		if !r.extractDate.IsZero() && r.extractDate != stated {
			return fault.New(fault.Invalid, rules.ReasonExtractDateMixed, "the header says %q, the request %s", name, r.extractDate).
				At("extract_date", "leave it empty: the header itself says "+stated.String())
		}
		r.extractDate = stated
		return nil
	}
	return needDate(r)
}

// needDate refuses a file that nobody dates.
func needDate(r *reader) error {
	if r.extractDate.IsZero() {
		return fault.New(fault.Invalid, rules.ReasonValueMissing, "the file does not say for which day it speaks").
			At("extract_date", "state the day the populations were counted")
	}
	return nil
}

func adjustedParse(c *cells) (*Row, string) {
	if c.raw(adjustedPractice) == "" && c.raw(adjustedPCN) == "" && c.raw(adjustedICB) == "" && c.raw(adjustedRegion) == "" {
		c.passed = passedTotals
		return nil, ""
	}
	day := c.reader.extractDate
	list := c.registered(adjustedPractice, adjustedRegistered, day)
	adjusted := list
	adjusted.Kind = rules.Adjusted
	adjusted.Value = wholeText(c.whole(adjustedPopulation, maxPracticePatients, "patients"))
	m := &rules.MappingRow{
		Practice: list.Organisation, PracticeName: c.name(adjustedPracticeName),
		PCN:        c.memberOf(adjustedPCN),
		RegionCode: c.code(adjustedRegion, rules.RegionCode), RegionName: c.name(adjustedRegionName),
	}
	if !rules.NoPCN(c.raw(adjustedICB)) {
		m.System, m.SystemName = c.code(adjustedICB, rules.SystemCode), c.name(adjustedICBName)
	}
	if member := c.yes(adjustedMember); member != (m.PCN != "") && len(c.bad) == 0 {
		c.reject(adjustedMember, rules.ReasonValueNotAllowed, "the value contradicts the PCN code %q", c.raw(adjustedPCN))
	}
	if m.PCN != "" {
		m.PCNName = c.name(adjustedPCNName)
	}
	return &Row{Mapping: m, Populations: []rules.Population{list, adjusted}}, m.Practice
}

const (
	plainOrganisation = iota
	plainAdjusted
	plainReference
)

// adjustedPracticeForm is adjusted populations per practice and nothing else.
var adjustedPracticeForm = plainAdjustedForm("practice_code", rules.PracticeCode, maxPracticePatients)

// adjustedPCNForm is adjusted populations per PCN and nothing else.
var adjustedPCNForm = plainAdjustedForm("pcn_code", rules.PCNCode, maxPCNPatients)

func plainAdjustedForm(organisation string, role rules.CodeRole, most int64) *form {
	return &form{
		kind: rules.AdjustedPopulations,
		columns: []column{
			plainOrganisation: {[]string{organisation}, true},
			plainAdjusted:     {[]string{"adjusted_population"}, true},
			plainReference:    {[]string{"reference_date"}, false},
		},
		begin: func(r *reader) error {
			if r.at[plainReference] >= 0 {
				return nil
			}
			r.extractDate = r.options.ExtractDate
			return needDate(r)
		},
		parse: func(c *cells) (*Row, string) {
			reference := c.reader.extractDate
			if c.has(plainReference) {
				reference = c.date(plainReference)
				c.sameDate(plainReference, reference)
			}
			p := rules.Population{
				Organisation: c.code(plainOrganisation, role), Kind: rules.Adjusted, Reference: reference,
				Value: wholeText(c.whole(plainAdjusted, most, "patients")), AppliedFrom: c.reader.options.AppliedFrom,
			}
			return &Row{Populations: []rules.Population{p}}, p.Organisation
		},
		finish: statedDate,
	}
}

func wholeText(count int64) string { return strconv.FormatInt(count, 10) }
