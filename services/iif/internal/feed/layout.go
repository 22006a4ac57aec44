package feed

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// Layout is a layout of file. The zero value is none stated.
type Layout int

// The layouts (S34, S35, S57).
const (
	// CQRSExtract is the extract as it comes today, with every submission of a cell.
	CQRSExtract Layout = iota + 1
	// CQRSExtractOld is the extract before that, with one submission.
	CQRSExtractOld
	// MonthlyPublication is of practices, for information: exclusions are left out, and small counts hidden.
	MonthlyPublication
	// AnnualPublication is of practices and networks, for information: counts from hospital data are rounded or hidden.
	AnnualPublication
	// CentralFeed is what is counted nationally and loaded into CQRS.
	CentralFeed
	// FieldMap gives field names of the extract their short names.
	FieldMap
)

// String returns the layout in words.
func (l Layout) String() string {
	return word(int(l), "CQRS extract", "old CQRS extract", "monthly publication", "annual publication", "central feed", "field map")
}

// column is what a column holds, whatever a layout calls it.
type column int

const (
	whole column = iota // no column but the row; of the file, what is not read
	organisation
	organisationType
	service
	day
	code
	field
	value
	defaulted
	submitDate
	submitTime
	last
	approval
	attributeType
	created
	shortName
	columns = iota
)

// headings says what the columns of all layouts hold: no name means one thing here and another there.
var headings = map[string]column{
	"QUALITY_SERVICE": service, "PRMRY_MDCL_CARE_SRVC_SHRT_NAME": service, "SERVICE_YEAR": service,
	"ORG_CODE": organisation, "PRACTICE_CODE": organisation, "ORGANISATION_CODE": organisation, "ORG_ID": organisation,
	"ACH_DATE": day, "ACHIEVEMENT_DATE": day, "IND_CODE": code, "DATA_REFERENCE_IDENTIFIER": code,
	"FIELD_NAME": field, "MEASURE": field, "ATTRIBUTE_IDENTIFIER": field, "VALUE": value, "ATTRIBUTE_VALUE": value,
	"ORGANISATION_TYPE": organisationType, "ATTRIBUTE_TYPE": attributeType, "DEFAULT_VALUES_USED": defaulted,
	"SUBMIT_DATE": submitDate, "SUBMIT_TIME": submitTime, "LAST_SUBMISSION": last, "APPROVED_STATUS": approval,
	"CREATED_AT": created, "SHORT_NAME": shortName,
}

// form is a layout with its header and the form of its dates.
type form struct {
	layout Layout
	dates  string
	header []string
}

var forms = []form{
	{CQRSExtract, "20060102", strings.Split("QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,"+
		"SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION", ",")},
	{CQRSExtractOld, "20060102", strings.Split("PRMRY_MDCL_CARE_SRVC_SHRT_NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,"+
		"APPROVED_STATUS", ",")},
	{MonthlyPublication, "02/01/2006", strings.Split("PRACTICE_CODE,PRACTICE_NAME,QUALITY_SERVICE,ACH_DATE,IND_CODE,MEASURE,VALUE", ",")},
	{AnnualPublication, "02/01/2006", strings.Split("ORGANISATION_TYPE,ORGANISATION_CODE,ORGANISATION_NAME,QUALITY_SERVICE,ACH_DATE,"+
		"IND_CODE,MEASURE,VALUE", ",")},
	{CentralFeed, "2006-01-02", strings.Split("ORG_ID,ACHIEVEMENT_DATE,DATA_REFERENCE_IDENTIFIER,ATTRIBUTE_IDENTIFIER,ATTRIBUTE_VALUE,"+
		"ATTRIBUTE_TYPE,CREATED_AT", ",")},
	{FieldMap, "", strings.Split("SERVICE_YEAR,IND_CODE,FIELD_NAME,SHORT_NAME", ",")},
}

// recognise finds the form of a header; want is the layout that the caller states, if any.
func recognise(header []string, want Layout) (*form, error) {
	for i := range forms {
		f := &forms[i]
		missing, extra := f.against(header)
		fits := len(missing)+len(extra) == 0
		switch {
		case fits && (want == 0 || want == f.layout):
			return f, nil
		case fits:
			return nil, fault.New(fault.Invalid, rules.ReasonLayoutMismatch, "the header is that of the %s, not of the %s", f.layout, want)
		case want == f.layout:
			return nil, fault.New(fault.Invalid, rules.ReasonLayoutMismatch, "the header is not that of the %s: it lacks %s, and has %s beside",
				want, listed(missing), listed(extra))
		}
	}
	return nil, fault.New(fault.Invalid, rules.ReasonLayoutUnknown, "the header is of no layout of counts: %s", listed(header))
}

// against returns the columns that a header lacks, and those it has beside the form's or twice.
func (f *form) against(header []string) (missing, extra []string) {
	for _, name := range f.header {
		if !slices.Contains(header, name) {
			missing = append(missing, name)
		}
	}
	for i, name := range header {
		if !slices.Contains(f.header, name) || slices.Contains(header[:i], name) {
			extra = append(extra, name)
		}
	}
	return missing, extra
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return money.Clip(strings.Join(names, ", "))
}
