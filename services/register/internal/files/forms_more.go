package files

import (
	"strconv"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/tables"
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
			if c.has(plainReference) {
				c.sameDate(plainReference, c.date(plainReference))
			}
			p := rules.Population{
				Organisation: c.code(plainOrganisation, role), Kind: rules.Adjusted, Reference: c.reader.extractDate,
				Value: wholeText(c.whole(plainAdjusted, most, "patients")), AppliedFrom: c.reader.options.AppliedFrom,
			}
			return &Row{Populations: []rules.Population{p}}, p.Organisation
		},
		finish: statedDate,
	}
}

const (
	bedsPCN = iota
	bedsMonth
	bedsBeds
	bedsCoding
)

// bedsForm is care home beds per PCN and month.
var bedsForm = &form{
	kind: rules.CareHomeBedCounts,
	columns: []column{
		bedsPCN:    {[]string{"pcn_code"}, true},
		bedsMonth:  {[]string{"month"}, true},
		bedsBeds:   {[]string{"beds"}, true},
		bedsCoding: {[]string{"coding_satisfied"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		b := &rules.Beds{PCN: c.code(bedsPCN, rules.PCNCode), Beds: c.whole(bedsBeds, maxBeds, "beds"), CodingSatisfied: c.yes(bedsCoding)}
		if text, ok := c.required(bedsMonth); ok {
			month, err := period.ParseMonth(text)
			if err != nil {
				c.reject(bedsMonth, rules.ReasonMonthMalformed, "a month is written 2022-04")
			}
			b.Month = month
		}
		if len(c.bad) == 0 {
			c.reader.newest(b.Month.First())
		}
		return &Row{Beds: b}, b.PCN + "\x1f" + b.Month.String()
	},
	finish: editionDate,
}

const (
	payeeOrganisation = iota
	payeeCode
	payeeName
	payeeFrom
)

// payeesForm is who receives the money of a PCN or practice.
var payeesForm = &form{
	kind: rules.NominatedPayees,
	columns: []column{
		payeeOrganisation: {[]string{"organisation_code", "pcn_code"}, true},
		payeeCode:         {[]string{"payee_code"}, true},
		payeeName:         {[]string{"payee_name"}, true},
		payeeFrom:         {[]string{"effective_from"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		p := &rules.Payee{
			Organisation: c.code(payeeOrganisation, rules.AnyCode), Code: c.code(payeeCode, rules.AnyCode), From: c.date(payeeFrom),
		}
		if _, ok := c.required(payeeName); ok {
			p.Name = c.name(payeeName)
		}
		if len(c.bad) == 0 {
			c.reader.newest(p.From)
		}
		return &Row{Payee: p}, p.Organisation + "\x1f" + p.From.String()
	},
	finish: editionDate,
}

const (
	participationPractice = iota
	participationTakesPart
	participationNotice
	participationFrom
)

// participationsForm is opt-outs from the DES and their ends.
var participationsForm = &form{
	kind: rules.Participations,
	columns: []column{
		participationPractice:  {[]string{"practice_code"}, true},
		participationTakesPart: {[]string{"participating"}, true},
		participationNotice:    {[]string{"notice_date"}, true},
		participationFrom:      {[]string{"effective_from"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		p := &rules.Participation{
			Practice: c.code(participationPractice, rules.PracticeCode), Participating: c.yes(participationTakesPart),
			Notice: c.optionalDate(participationNotice), From: c.date(participationFrom),
		}
		if len(c.bad) == 0 {
			if err := rules.CheckOptOut(*p, c.reader.options.Windows); err != nil {
				found, _ := fault.As(err)
				c.reject(participationNotice, found.Reason, "%s", found.Message)
			}
		}
		if len(c.bad) == 0 {
			c.reader.newest(p.From)
		}
		return &Row{Participation: p}, p.Practice + "\x1f" + p.From.String()
	},
	finish: editionDate,
}

const (
	bodyCode = iota
	bodyName
	bodyKind
	bodyRegion
	bodySystem
	bodyOpened
	bodyClosed
)

// commissionersForm is CCGs, sub-ICB locations, STPs, ICBs and regions with their periods.
var commissionersForm = &form{
	kind: rules.Commissioners,
	columns: []column{
		bodyCode:   {[]string{"code"}, true},
		bodyName:   {[]string{"name"}, true},
		bodyKind:   {[]string{"kind"}, true},
		bodyRegion: {[]string{"region_code"}, true},
		bodySystem: {[]string{"system_code"}, true},
		bodyOpened: {[]string{"open_date"}, true},
		bodyClosed: {[]string{"close_date"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		b := &rules.Commissioner{
			Code: c.code(bodyCode, rules.AnyCode), Name: c.name(bodyName),
			Region: c.optionalCode(bodyRegion, rules.RegionCode), System: c.optionalCode(bodySystem, rules.SystemCode),
			Opened: c.optionalDate(bodyOpened), Closed: c.optionalDate(bodyClosed),
		}
		if text, ok := c.required(bodyKind); ok {
			kind, known := tables.BodyKinds[strings.ToLower(text)]
			if !known {
				c.reject(bodyKind, rules.ReasonValueNotAllowed, "the kind is ccg, sub_icb_location, stp, icb or region")
			}
			b.Kind = kind
		}
		if b.Name == "" && len(c.bad) == 0 {
			c.reject(bodyName, rules.ReasonValueMissing, "a value is required")
		}
		c.ordered(bodyClosed, b.Opened, b.Closed)
		if len(c.bad) == 0 {
			c.reader.newest(b.Opened)
		}
		return &Row{Commissioner: b}, b.Code + "\x1f" + b.Opened.String()
	},
	finish: editionDate,
}

func wholeText(count int64) string { return strconv.FormatInt(count, 10) }
