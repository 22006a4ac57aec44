package files

import (
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// Names of why rows are passed over.
const (
	passedTotals   = "TOTALS_ROW"
	passedNoWeight = "WEIGHT_NOT_GIVEN"
	passedWelsh    = "PRACTICE_IN_WALES"
	passedScottish = "PRACTICE_IN_SCOTLAND"
)

// forms are all layouts, those that need more columns before those that need fewer of the same names.
var forms = []*form{
	mappingForm, partnersForm, detailsForm, listsForm, adjustedForm, weightedForm, adjustedPracticeForm, adjustedPCNForm, bedsForm,
	payeesForm, participationsForm, commissionersForm,
}

const (
	mapExtractDate = iota
	mapPractice
	mapPracticeName
	mapPCN
	mapPCNName
	mapLocation
	mapLocationName
	mapSystem
	mapSystemName
	mapRegion
	mapRegionName
)

// mappingForm is the gp-reg-pat-prac-map of NHS England, with CCG and STP columns to 2022 and sub-ICB and ICB columns after.
var mappingForm = &form{
	kind: rules.PracticeMapping, maps: true, locates: true,
	columns: []column{
		mapExtractDate:  {[]string{"EXTRACT_DATE"}, true},
		mapPractice:     {[]string{"PRACTICE_CODE"}, true},
		mapPracticeName: {[]string{"PRACTICE_NAME"}, true},
		mapPCN:          {[]string{"PCN_CODE"}, true},
		mapPCNName:      {[]string{"PCN_NAME"}, true},
		mapLocation:     {[]string{"SUB_ICB_LOCATION_CODE", "CCG_CODE"}, true},
		mapLocationName: {[]string{"SUB_ICB_LOCATION_NAME", "CCG_NAME"}, true},
		mapSystem:       {[]string{"ICB_CODE", "STP_CODE"}, true},
		mapSystemName:   {[]string{"ICB_NAME", "STP_NAME"}, true},
		mapRegion:       {[]string{"COMM_REGION_CODE"}, true},
		mapRegionName:   {[]string{"COMM_REGION_NAME"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		c.sameDate(mapExtractDate, c.date(mapExtractDate))
		m := &rules.MappingRow{
			Practice: c.code(mapPractice, rules.PracticeCode), PracticeName: c.name(mapPracticeName),
			PCN:      c.memberOf(mapPCN),
			Location: c.code(mapLocation, rules.LocationCode), LocationName: c.name(mapLocationName),
			System: c.code(mapSystem, rules.SystemCode), SystemName: c.name(mapSystemName),
			RegionCode: c.code(mapRegion, rules.RegionCode), RegionName: c.name(mapRegionName),
		}
		if m.PCN != "" {
			m.PCNName = c.name(mapPCNName)
		}
		return &Row{Mapping: m}, m.Practice
	},
	finish: statedDate,
}

const (
	listExtractDate = iota
	listPractice
	listPatients
	listType
	listSex
	listAge
)

// listsForm is the gp-reg-pat-prac-all of NHS England: one row per practice, all persons.
var listsForm = &form{
	kind: rules.RegisteredLists,
	columns: []column{
		listExtractDate: {[]string{"EXTRACT_DATE"}, true},
		listPractice:    {[]string{"CODE"}, true},
		listPatients:    {[]string{"NUMBER_OF_PATIENTS"}, true},
		listType:        {[]string{"TYPE"}, true},
		listSex:         {[]string{"SEX"}, true},
		listAge:         {[]string{"AGE"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		day := c.date(listExtractDate)
		c.sameDate(listExtractDate, day)
		c.one(listType, "GP", "practices")
		c.one(listSex, "ALL", "all persons")
		c.one(listAge, "ALL", "all ages")
		p := c.registered(listPractice, listPatients, day)
		return &Row{Populations: []rules.Population{p}}, p.Organisation
	},
	finish: statedDate,
}

// registered reads a practice's head count.
func (c *cells) registered(practice, patients int, day period.Date) rules.Population {
	return rules.Population{
		Organisation: c.code(practice, rules.PracticeCode), Kind: rules.Registered, Reference: day,
		Value: wholeText(c.whole(patients, maxPracticePatients, "patients")), AppliedFrom: c.reader.options.AppliedFrom,
	}
}

const (
	partnerPractice = iota
	partnerPracticeName
	partnerLocation
	partnerLocationName
	partnerPCN
	partnerPCNName
	partnerPCNLocation
	partnerPCNLocationName
	partnerStarts
	partnerEnds
)

// partnersForm is the core partner sheet of the ODS ePCN workbook, headed CCG to 2022 and Sub ICB Loc after.
var partnersForm = &form{
	kind: rules.PCNPartners,
	columns: []column{
		partnerPractice:     {[]string{"Partner Organisation Code"}, true},
		partnerPracticeName: {[]string{"Partner Name"}, true},
		partnerLocation: {[]string{
			"Practice Parent Sub ICB Loc Code", "Practice Parent CCG Code", "Practice Parent Sub ICB Location Code",
		}, true},
		partnerLocationName: {[]string{
			"Practice Parent Sub ICB Loc Name", "Practice Parent CCG Name", "Practice Parent Sub ICB Location Name",
		}, false},
		partnerPCN:     {[]string{"PCN Code"}, true},
		partnerPCNName: {[]string{"PCN Name"}, true},
		partnerPCNLocation: {[]string{
			"PCN Parent Sub ICB Loc Code", "PCN Parent CCG Code", "PCN Parent Sub ICB Location Code",
		}, true},
		partnerPCNLocationName: {[]string{
			"PCN Parent Sub ICB Loc Name", "PCN Parent CCG Name", "PCN Parent Sub ICB Location Name",
		}, false},
		partnerStarts: {[]string{"Practice to PCN Relationship Start Date"}, true},
		partnerEnds:   {[]string{"Practice to PCN Relationship End Date"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		r := &rules.Relationship{
			Practice: c.code(partnerPractice, rules.AnyCode), PracticeName: c.name(partnerPracticeName),
			PCN: c.code(partnerPCN, rules.PCNCode), PCNName: c.name(partnerPCNName),
			Starts: c.date(partnerStarts), Ends: c.optionalDate(partnerEnds),
		}
		if len(c.bad) == 0 && (r.Practice[0] == 'W' || r.Practice[0] == 'S') {
			c.passed = passedWelsh
			if r.Practice[0] == 'S' {
				c.passed = passedScottish
			}
			return nil, ""
		}
		if r.Practice != "" && !rules.UsualShape(rules.PracticeCode, r.Practice) {
			c.reader.warn("line %d: the practice code %s has an unusual shape", c.line, r.Practice)
		}
		r.PracticeLocation, r.PracticeLocationName = c.code(partnerLocation, rules.LocationCode), c.name(partnerLocationName)
		r.PCNLocation, r.PCNLocationName = c.code(partnerPCNLocation, rules.LocationCode), c.name(partnerPCNLocationName)
		c.ordered(partnerEnds, r.Starts, r.Ends)
		if len(c.bad) == 0 {
			c.reader.newest(r.Starts)
		}
		return &Row{Relationship: r}, r.Practice + "\x1f" + r.PCN + "\x1f" + r.Starts.String()
	},
	finish: editionDate,
}

const (
	detailPCN = iota
	detailName
	detailLocation
	detailLocationName
	detailOpened
	detailClosed
)

// detailsForm is the PCN details sheet of the ODS ePCN workbook.
var detailsForm = &form{
	kind: rules.PCNDetails,
	columns: []column{
		detailPCN:  {[]string{"PCN Code"}, true},
		detailName: {[]string{"PCN Name"}, true},
		detailLocation: {[]string{
			"Current Sub ICB Loc Code", "Current Clinical Commissioning Group Code", "Current Sub ICB Location Code",
		}, true},
		detailLocationName: {[]string{"Sub ICB Location", "Clinical Commissioning Group Name", "Sub ICB Location Name"}, false},
		detailOpened:       {[]string{"Open Date"}, true},
		detailClosed:       {[]string{"Close Date"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		d := &rules.Detail{
			PCN: c.code(detailPCN, rules.PCNCode), Name: c.name(detailName),
			Location: c.code(detailLocation, rules.LocationCode), LocationName: c.name(detailLocationName),
			Opened: c.date(detailOpened), Closed: c.optionalDate(detailClosed),
		}
		c.ordered(detailClosed, d.Opened, d.Closed)
		if len(c.bad) == 0 {
			c.reader.newest(d.Opened)
		}
		return &Row{Detail: d}, d.PCN
	},
	finish: editionDate,
}

const (
	weightYear = iota
	weightPractice
	weightWeighted
)

// weightedForm holds contractor weighted patients of several financial years. The registered column beside them is an average
// or a last figure of the year, not a list of a day, and is not read.
var weightedForm = &form{
	kind: rules.WeightedLists,
	columns: []column{
		weightYear:     {[]string{"financial_year"}, true},
		weightPractice: {[]string{"practice_code"}, true},
		weightWeighted: {[]string{"weighted_patients"}, true},
	},
	parse: func(c *cells) (*Row, string) {
		var reference period.Date
		if text, ok := c.required(weightYear); ok {
			year, err := period.ParseFinancialYear(text)
			if err != nil {
				c.reject(weightYear, rules.ReasonDateMalformed, "a financial year is written 2021/22")
			} else {
				// The weight of a year goes with the list of the 1 January inside it.
				reference = period.NewDate(int(year)+1, time.January, 1)
			}
		}
		practice := c.code(weightPractice, rules.PracticeCode)
		value := c.decimal(weightWeighted, maxPracticePatients, "weighted patients")
		if len(c.bad) == 0 && value.Sign() == 0 {
			c.passed = passedNoWeight
			return nil, ""
		}
		if len(c.bad) == 0 {
			c.reader.newest(reference)
		}
		return &Row{Populations: []rules.Population{{
			Organisation: practice, Kind: rules.Weighted, Reference: reference, Value: money.Format(value), AppliedFrom: c.reader.options.AppliedFrom,
		}}}, reference.String() + "\x1f" + practice
	},
	finish: editionDate,
}

// statedDate refuses a caller's day that differs from the one the rows state.
func statedDate(r *reader) error {
	if said := r.options.ExtractDate; !said.IsZero() && !r.extractDate.IsZero() && said != r.extractDate {
		return fault.New(fault.Invalid, rules.ReasonExtractDateMixed, "the file speaks for %s, the request for %s", r.extractDate, said).
			At("extract_date", "leave it empty: the file itself says "+r.extractDate.String())
	}
	return nil
}

// editionDate takes the caller's day, or else the newest day the rows name.
func editionDate(r *reader) error {
	r.extractDate = r.options.ExtractDate
	if r.extractDate.IsZero() {
		r.extractDate = r.newestDate
	}
	return nil
}

// newest notes a day that a good row names.
func (r *reader) newest(day period.Date) {
	if day.After(r.newestDate) {
		r.newestDate = day
	}
}
