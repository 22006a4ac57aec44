package files

import (
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/tables"
)

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
