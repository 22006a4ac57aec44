package feed

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// column is a column of the file.
type column int

// The columns. The last two may be left out.
const (
	provider column = iota
	site
	month
	department
	category
	practice
	hrg
	attendances
	cost
	commissioner
	columns = iota
	whole   = column(-1) // no column but the row
)

var names = [columns]string{
	"provider_code", "site_code", "arrival_month", "department_type", "attendance_category", "practice_code", "hrg_code", "attendances",
	"cost_pence", "commissioner_code",
}

// Columns returns the names of the columns that every file has, and of those that one may have besides.
func Columns() (required, optional []string) {
	return slices.Clone(names[:cost]), slices.Clone(names[cost:])
}

// ofPatients are columns by which records of patients are known. Others of that kind have names that nobody foresees, for which reason
// every other column refuses a file too.
var ofPatients = []string{
	"nhs_number", "nhsnumber", "nhs_no", "local_patient_identifier", "patient_id", "person_id", "pseudo_nhs_number", "attendance_id",
	"attendance_identifier", "attendance_number", "arrival_date", "arrival_time", "arrival_datetime", "conclusion_date", "age",
	"age_at_arrival", "date_of_birth", "dob", "birth_date", "sex", "gender", "ethnicity", "ethnic_category", "postcode", "lsoa", "name",
	"surname", "forename", "address", "diagnosis", "chief_complaint", "disposal", "gp_code",
}

// layout finds the columns of a header; what a file does not have is at -1.
func layout(header []string, o Options) (at [columns]int, err error) {
	for c := range at {
		at[c] = -1
	}
	var known []string
	var others, twice []string
	for i, name := range header {
		name = strings.ToLower(name)
		c := slices.Index(names[:], name)
		switch {
		case c < 0 && slices.Contains(ofPatients, strings.ReplaceAll(name, " ", "_")):
			known = append(known, fmt.Sprintf("column %d is %s", i+1, strings.ReplaceAll(name, " ", "_")))
		case c < 0:
			others = append(others, fmt.Sprint(i+1))
		case at[c] >= 0:
			twice = append(twice, name)
		default:
			at[c] = i
		}
	}
	var missing []string
	for c := provider; c < cost; c++ {
		if at[c] < 0 {
			missing = append(missing, names[c])
		}
	}
	const most = 10
	if len(others) > most {
		others = append(others[:most], "and more")
	}
	switch {
	case len(known) > 0:
		return at, fault.New(fault.Invalid, ReasonPatientLevel, "the file has records of patients, which must not leave the commissioner: %s. "+
			"Send attendances that are counted by the columns of the layout, and no others", strings.Join(known, "; "))
	case len(others) == len(header):
		return at, fault.New(fault.Invalid, ReasonLayoutMismatch, "the first line is not the header of attendances: it begins with %s", strings.Join(names[:cost], ","))
	case len(others) > 0:
		return at, fault.New(fault.Invalid, ReasonPatientLevel, "a column that is not of the layout may tell of patients, and none may stand in the file: see column %s. "+
			"The columns are %s, and may be %s", strings.Join(others, ", "), strings.Join(names[:cost], ", "), strings.Join(names[cost:], ", "))
	case len(missing)+len(twice) > 0:
		return at, fault.New(fault.Invalid, ReasonLayoutMismatch, "the header %s", headerWords(missing, twice))
	case o.Commissioner == "" && at[commissioner] < 0:
		return at, fault.New(fault.Invalid, ReasonCommissionerUnset, "the file is of no one commissioner: name one with the file, or each row's in the column %s", names[commissioner])
	}
	return at, nil
}

// headerWords says what is wrong with a header: columns that it lacks, or has twice.
func headerWords(missing, twice []string) string {
	var words []string
	if len(missing) > 0 {
		words = append(words, "lacks "+strings.Join(missing, ", "))
	}
	if len(twice) > 0 {
		words = append(words, "has "+strings.Join(twice, ", ")+" twice")
	}
	return strings.Join(words, ", and ")
}
