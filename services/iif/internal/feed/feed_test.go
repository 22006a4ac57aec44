package feed_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

const (
	extractHeader = "QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION\n"
	oldHeader     = "PRMRY_MDCL_CARE_SRVC_SHRT_NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,APPROVED_STATUS\n"
	monthlyHeader = "PRACTICE_CODE,PRACTICE_NAME,QUALITY_SERVICE,ACH_DATE,IND_CODE,MEASURE,VALUE\n"
	annualHeader  = "ORGANISATION_TYPE,ORGANISATION_CODE,ORGANISATION_NAME,QUALITY_SERVICE,ACH_DATE,IND_CODE,MEASURE,VALUE\n"
	centralHeader = "ORG_ID,ACHIEVEMENT_DATE,DATA_REFERENCE_IDENTIFIER,ATTRIBUTE_IDENTIFIER,ATTRIBUTE_VALUE,ATTRIBUTE_TYPE,CREATED_AT\n"
	mapHeader     = "SERVICE_YEAR,IND_CODE,FIELD_NAME,SHORT_NAME\n"

	goodExtract = "NCD2425,Network Contract DES 2024/25,A81001,20240930,CAN04,FAECIMMDEC,14,None,cro-processor,05/10/2024,19:36:07,Y\n"
)

// indicators are those of all versions of a year, with their fields, as the tables have them.
func indicators(t testing.TB, year period.FinancialYear) []rules.Indicator {
	t.Helper()
	scheme, err := tables.Scheme()
	require.NoError(t, err)
	var out []rules.Indicator
	for _, i := range scheme.Indicators {
		if !slices.ContainsFunc(scheme.Versions, func(v rules.Version) bool { return v.ID == i.VersionID && v.Year == year }) {
			continue
		}
		for _, f := range scheme.Fields {
			switch {
			case f.Code != i.Code:
			case f.Role == rules.Exclusion:
				i.Exclusions = append(i.Exclusions, f.Name)
			default:
				i.Adjustments = append(i.Adjustments, f.Name)
			}
		}
		out = append(out, i)
	}
	return out
}

type asker func(period.FinancialYear) (*feed.Names, error)

// names answers for the years of the tables.
func names(t testing.TB, fieldMap ...feed.MapRow) asker {
	t.Helper()
	return func(year period.FinancialYear) (*feed.Names, error) {
		of := indicators(t, year)
		if len(of) == 0 {
			return nil, nil
		}
		return feed.NewNames(year, of, fieldMap)
	}
}

func read(t testing.TB, text string, ask asker) ([]feed.Row, *feed.Report) {
	t.Helper()
	var rows []feed.Row
	report, err := feed.Read(strings.NewReader(text), ask, 0, func(row feed.Row) error {
		rows = append(rows, row)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, report.Kept, int64(len(rows)))
	addsUp(t, report)
	return rows, report
}

func addsUp(t testing.TB, report *feed.Report) {
	t.Helper()
	sum := report.Kept + report.BadRows
	for _, tally := range report.Tallies {
		sum += tally.Rows
	}
	require.Equal(t, report.Rows, sum, "every row is kept, tallied or bad")
}

func date(year int, month time.Month, day int) period.Date { return period.NewDate(year, month, day) }

func TestRead_ReadsEachLayout(t *testing.T) {
	t.Parallel()
	september, march := date(2024, 9, 30), date(2023, 3, 31)
	for name, test := range map[string]struct {
		text   string
		layout feed.Layout
		want   feed.Row
	}{
		"extract, an adjustment": {extractHeader + goodExtract, feed.CQRSExtract, feed.Row{
			Line: 2, Organisation: "A81001", OrganisationKind: feed.Practice, Service: "NCD2425", Year: 2024, AchievedOn: september, Code: "CAN-04",
			Measure: feed.Adjustment, Field: "FAECIMMDEC", Cell: rules.Count(14), SubmittedAt: "05/10/2024 19:36:07",
		}},
		"extract, a network, a default value and other case": {
			strings.ToLower(extractHeader) + "NCD2425,,U64356,20240930,can-04,gicanref,0,Denominator,x,05/10/2024,19:36:07,y\n", feed.CQRSExtract, feed.Row{
				Line: 2, Organisation: "U64356", OrganisationKind: feed.PCN, Service: "NCD2425", Year: 2024, AchievedOn: september, Code: "CAN-04",
				Measure: feed.Exclusion, Field: "GICANREF", Cell: rules.Count(0), SubmittedAt: "05/10/2024 19:36:07", Defaulted: true,
			},
		},
		"old extract": {oldHeader + "NCD2223,A81001,20230331,NCD002,Numerator,7,Approved\n", feed.CQRSExtractOld, feed.Row{
			Line: 2, Organisation: "A81001", OrganisationKind: feed.Practice, Service: "NCD2223", Year: 2022, AchievedOn: march, Code: "VI-01",
			Measure: feed.Numerator, Cell: rules.Count(7), Approval: "Approved",
		}},
		"old extract, a tick": {oldHeader + "NCD2122,U64356,20220331,NCD009,Numerator,Yes,\n", feed.CQRSExtractOld, feed.Row{
			Line: 2, Organisation: "U64356", OrganisationKind: feed.PCN, Service: "NCD2122", Year: 2021, AchievedOn: date(2022, 3, 31), Code: "COV-01",
			Measure: feed.Answer, Answer: rules.Yes,
		}},
		"old extract, EHCH-04 under a placeholder": {oldHeader + "NCD2223,A81001,20230331,NCDMI997,Management Information,9,Y\n", feed.CQRSExtractOld, feed.Row{
			Line: 2, Organisation: "A81001", OrganisationKind: feed.Practice, Service: "NCD2223", Year: 2022, AchievedOn: march, Code: "EHCH-04",
			Measure: feed.Exclusion, Field: "PAT_AGEU18", Cell: rules.Count(9), Approval: "Y",
		}},
		"monthly publication, hidden": {monthlyHeader + "A81001,\"SURGERY, THE\",NCD2425,30/09/2024,HI03,Denominator,*\n", feed.MonthlyPublication, feed.Row{
			Line: 2, Organisation: "A81001", OrganisationKind: feed.Practice, Service: "NCD2425", Year: 2024, AchievedOn: september, Code: "HI-03",
			Measure: feed.Denominator, Cell: rules.Cell{State: rules.Suppressed},
		}},
		"annual publication, rounded": {annualHeader + "PCN,U00070,X,NCD2223,31/03/2023,NCD022,AC-02 baseline numerator,255\n", feed.AnnualPublication, feed.Row{
			Line: 2, Organisation: "U00070", OrganisationKind: feed.PCN, Service: "NCD2223", Year: 2022, AchievedOn: march, Code: "AC-02",
			Measure: feed.BaselineNumerator, Cell: rules.Count(255), Rounded: true,
		}},
		"annual publication, a list": {annualHeader + "PCN,U00070,X,NCD2223,31/03/2023,NCD022,Base Year Denominator,32116\n", feed.AnnualPublication, feed.Row{
			Line: 2, Organisation: "U00070", OrganisationKind: feed.PCN, Service: "NCD2223", Year: 2022, AchievedOn: march, Code: "AC-02",
			Measure: feed.BaselineDenominator, Cell: rules.Count(32116),
		}},
		"central feed": {
			centralHeader + "U00070,2023-03-31,E1B4261F-8649-42D0-A40E-208AA41F8EAE,88337490-8a59-4c40-8c13-ff0d9d01f48d,32115,int,2023-04-12T08:00:00.000+0000\n",
			feed.CentralFeed,
			feed.Row{
				Line: 2, Organisation: "U00070", OrganisationKind: feed.PCN, Year: 2022, AchievedOn: march, Code: "AC-02",
				Measure: feed.BaselineDenominator, Cell: rules.Count(32115), SubmittedAt: "2023-04-12T08:00:00.000+0000",
			},
		},
		"columns in another order": {"VALUE,APPROVED_STATUS,FIELD_NAME,IND_CODE,ACH_DATE,ORG_CODE,PRMRY_MDCL_CARE_SRVC_SHRT_NAME\n7,,Register,NCD002,20230331,A81001,NCD2223\n", feed.CQRSExtractOld, feed.Row{
			Line: 2, Organisation: "A81001", OrganisationKind: feed.Practice, Service: "NCD2223", Year: 2022, AchievedOn: march, Code: "VI-01",
			Measure: feed.Register, Cell: rules.Count(7),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, report := read(t, test.text, names(t))
			require.Empty(t, report.Bad)
			require.Equal(t, []feed.Row{test.want}, rows)
			require.Equal(t, test.layout, report.Layout)
			require.Equal(t, []period.FinancialYear{test.want.Year}, report.Years)
			require.Equal(t, []period.Date{test.want.AchievedOn}, report.Days)
		})
	}
}

func TestRead_ReadsTheCentralIdentifiers(t *testing.T) {
	t.Parallel()
	const acc08, ehch04, ac02 = "283A5FDD-D4BA-4DF7-AC70-B59C83285D3E", "FB4334A8-2E9C-43AB-9D1F-51C4A4F14E6B", "E1B4261F-8649-42D0-A40E-208AA41F8EAE"
	text := centralHeader
	for i, id := range []string{
		acc08 + ",767390F9-FD7E-4B01-A8AE-82B41DE00A02", acc08 + ",FB4D2185-044E-44A4-9C11-02A0A4034A02", ehch04 + ",982C9A99-A4EA-48FB-ABE9-B60B3E2F1719",
		ac02 + ",D3C64D53-20CF-43E7-B15B-1AA8613F7B74", ac02 + ",D388FDB3-E3D7-44F2-80C7-0832B448C9B4", ac02 + ",0871C126-B4C3-4054-A0C0-2481525A940F",
		ac02 + ",88337490-8A59-4C40-8C13-FF0D9D01F48D", ac02 + ",D3C64D53-20CF-43E7-B15B-1AA8613F7BNS", "00000000-0000-0000-0000-000000000000,x",
	} {
		text += fmt.Sprintf("A81001,2023-03-31,%s,%d,int,x\n", id, i)
	}
	rows, report := read(t, text+"A81001,2024-03-31,"+ehch04+",982C9A99-A4EA-48FB-ABE9-B60B3E2F1719,1,int,x\n", names(t))
	var got []string
	for _, row := range rows {
		got = append(got, fmt.Sprintf("%s %s %s", row.Code, row.Measure, row.Cell))
	}
	require.Equal(t, []string{
		"ACC-08 numerator 0", "ACC-08 denominator 1", "EHCH-04 numerator 2",
		"AC-02 numerator 3", "AC-02 denominator 4", "AC-02 baseline numerator 5", "AC-02 baseline denominator 6",
	}, got)
	require.Equal(t, []int64{2, 1}, []int64{report.Tallies[0].Rows, report.Tallies[1].Rows})
	require.Equal(t, []feed.Cause{feed.UnlistedCode, feed.OtherMeasure}, []feed.Cause{report.Tallies[0].Cause, report.Tallies[1].Cause},
		"EHCH-04 is not of 2023/24")
}

func TestRead_RefusesFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text   string
		want   feed.Layout
		reason string
		detail string
	}{
		"nothing":              {"", 0, rules.ReasonFileEmpty, "empty"},
		"blank lines":          {"\n\r\n", feed.CQRSExtract, rules.ReasonFileEmpty, "empty"},
		"another file":         {"a,b\n1,2\n", 0, rules.ReasonLayoutUnknown, "A, B"},
		"a column is missing":  {strings.Replace(extractHeader, ",VALUE", "", 1), 0, rules.ReasonLayoutUnknown, "QUALITY_SERVICE"},
		"which one":            {strings.Replace(extractHeader, ",VALUE", "", 1), feed.CQRSExtract, rules.ReasonLayoutMismatch, "lacks VALUE, and has none beside"},
		"a column more":        {"NOTE," + extractHeader, feed.CQRSExtract, rules.ReasonLayoutMismatch, "lacks none, and has NOTE beside"},
		"a column more, alone": {"NOTE," + extractHeader, 0, rules.ReasonLayoutUnknown, "NOTE"},
		"a column twice":       {"VALUE," + extractHeader, feed.CQRSExtract, rules.ReasonLayoutMismatch, "has VALUE beside"},
		"another layout":       {oldHeader, feed.CQRSExtract, rules.ReasonLayoutMismatch, "header is not that of the CQRS extract"},
		"another layout after": {extractHeader, feed.CentralFeed, rules.ReasonLayoutMismatch, "that of the CQRS extract, not of the central feed"},
		"a field map":          {mapHeader, 0, rules.ReasonLayoutMismatch, "field map"},
		"a stated field map":   {mapHeader, feed.FieldMap, rules.ReasonLayoutMismatch, "field map"},
		"two bytes a letter":   {"Q\x00U\x00A\x00", 0, rules.ReasonLayoutUnknown, "no line of CSV"},
		"compressed":           {"\x1f\x8b\x08\x00", 0, rules.ReasonLayoutUnknown, "no line of CSV"},
		"half a quotation":     {"\"" + extractHeader, 0, rules.ReasonLayoutUnknown, "no line of CSV"},
		"a quotation inside":   {"A\"\"" + extractHeader, 0, rules.ReasonLayoutUnknown, "no line of CSV"},
		"one long line":        {strings.Repeat("x", 1<<20), 0, rules.ReasonLayoutUnknown, "no line of CSV"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := feed.Read(strings.NewReader(test.text), names(t), test.want, func(feed.Row) error { return nil })
			require.Nil(t, report)
			found, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, fault.Invalid, found.Kind)
			require.Equal(t, test.reason, found.Reason)
			require.ErrorContains(t, err, test.detail)
		})
	}
}

func TestRead_NamesEachBadRow(t *testing.T) {
	t.Parallel()
	inExtract := func(old, replacement string) string {
		return extractHeader + strings.Replace(goodExtract, old, replacement, 1)
	}
	for name, test := range map[string]struct {
		text string
		want feed.Bad
	}{
		"too few values":      {extractHeader + "NCD2425,x\n", feed.Bad{Value: "NCD2425,x", Reason: rules.ReasonRowRagged, Detail: "2 values, the header 12"}},
		"too many values":     {oldHeader + "NCD2223,A81001,20230331,NCD002,Numerator,7,Y,\n", feed.Bad{Value: "NCD2223,A81001,20230331,NCD002,Numerator,7,Y,", Reason: rules.ReasonRowRagged, Detail: "8 values"}},
		"half a quotation":    {inExtract("Network", "\"Network"), feed.Bad{Value: "NCD2425,Network Contract DES 2024/25,A81001,20240930,CAN04,F…", Reason: rules.ReasonRowDamaged, Detail: "pairs"}},
		"a quotation inside":  {oldHeader + "NCD2223,A8\"10\"01,20230331,NCD002,Numerator,7,Y\n", feed.Bad{Value: "NCD2223", Reason: rules.ReasonRowDamaged, Detail: "bare"}},
		"a NUL":               {oldHeader + "NCD2223,A81001,20230331,NCD002,Numerator,7\x00,Y\n", feed.Bad{Value: "NCD2223,A81001,20230331,NCD002,Numerator,7,Y", Reason: rules.ReasonRowDamaged, Detail: "no NUL"}},
		"a long line":         {oldHeader + "x" + strings.Repeat("é", 40_000) + "\n", feed.Bad{Value: "x" + strings.Repeat("é", 59) + "…", Reason: rules.ReasonLineTooLong, Detail: "16384 bytes"}},
		"the mark of last":    {inExtract(",Y", ",?"), feed.Bad{Column: "LAST_SUBMISSION", Value: "?", Reason: rules.ReasonValueNotAllowed, Detail: "Y, N"}},
		"no mark of last":     {inExtract(",Y", ","), feed.Bad{Column: "LAST_SUBMISSION", Reason: rules.ReasonValueNotAllowed, Detail: "Y, N"}},
		"the day":             {inExtract("20240930", "20240931"), feed.Bad{Column: "ACH_DATE", Value: "20240931", Reason: rules.ReasonDateMalformed, Detail: "calendar"}},
		"another day's form":  {inExtract("20240930", "30/09/2024"), feed.Bad{Column: "ACH_DATE", Value: "30/09/2024", Reason: rules.ReasonDateMalformed, Detail: "calendar"}},
		"no day":              {inExtract("20240930", ""), feed.Bad{Column: "ACH_DATE", Reason: rules.ReasonDateMalformed, Detail: "calendar"}},
		"American day":        {monthlyHeader + "A81001,X,NCD2425,09/30/2024,HI03,Numerator,1\n", feed.Bad{Column: "ACH_DATE", Value: "09/30/2024", Reason: rules.ReasonDateMalformed, Detail: "calendar"}},
		"the service":         {inExtract("NCD2425", "QOF2425"), feed.Bad{Column: "QUALITY_SERVICE", Value: "QOF2425", Reason: rules.ReasonYearMismatch, Detail: "2024-09-30 is NCD2425"}},
		"of another year":     {inExtract("NCD2425", "NCD2526"), feed.Bad{Column: "QUALITY_SERVICE", Value: "NCD2526", Reason: rules.ReasonYearMismatch, Detail: "2024-09-30 is NCD2425"}},
		"before the fund":     {oldHeader + "NCD1920,A81001,20200331,NCD002,Numerator,7,Y\n", feed.Bad{Column: "ACH_DATE", Value: "20200331", Reason: rules.ReasonYearUnknown, Detail: "2019/20"}},
		"beyond the scheme":   {oldHeader + "NCD4041,A81001,20410331,NCD002,Numerator,7,Y\n", feed.Bad{Column: "ACH_DATE", Value: "20410331", Reason: rules.ReasonYearUnknown, Detail: "2040/41"}},
		"no code":             {inExtract("CAN04", " "), feed.Bad{Column: "IND_CODE", Value: " ", Reason: rules.ReasonValueMissing, Detail: "required"}},
		"no field":            {inExtract("FAECIMMDEC", ""), feed.Bad{Column: "FIELD_NAME", Reason: rules.ReasonValueMissing, Detail: "required"}},
		"an unknown field":    {inExtract("FAECIMMDEC", "PAT_AGEU75"), feed.Bad{Column: "FIELD_NAME", Value: "PAT_AGEU75", Reason: rules.ReasonFieldUnknown, Detail: "CAN-04 in 2024/25: load the field map"}},
		"an unmapped one":     {inExtract("FAECIMMDEC", "The number of patients"), feed.Bad{Column: "FIELD_NAME", Value: "The number of patients", Reason: rules.ReasonFieldUnknown, Detail: "load the field map"}},
		"the wrong role":      {inExtract("FAECIMMDEC", "Exclusion: FAECIMMDEC"), feed.Bad{Column: "FIELD_NAME", Value: "Exclusion: FAECIMMDEC", Reason: rules.ReasonFieldUnknown, Detail: "load the field map"}},
		"no role":             {inExtract("FAECIMMDEC", "NEWFIELD"), feed.Bad{Column: "FIELD_NAME", Value: "NEWFIELD", Reason: rules.ReasonFieldRoleUnknown, Detail: "NEWFIELD is an exclusion or an adjustment"}},
		"a baseline of none":  {inExtract("FAECIMMDEC", "Baseline Numerator"), feed.Bad{Column: "FIELD_NAME", Value: "Baseline Numerator", Reason: rules.ReasonFieldUnknown, Detail: "load the field map"}},
		"a strange code":      {annualHeader + "GP practice,A81001,X,NCD2324,31/03/2024,NCD026,ACC-10 Numerator,1\n", feed.Bad{Column: "MEASURE", Value: "ACC-10 Numerator", Reason: rules.ReasonFieldUnknown, Detail: "ACC-08 in 2023/24"}},
		"another's attribute": {centralHeader + "A81001,2023-03-31,283A5FDD-D4BA-4DF7-AC70-B59C83285D3E,982C9A99-A4EA-48FB-ABE9-B60B3E2F1719,1,int,x\n", feed.Bad{Column: "ATTRIBUTE_IDENTIFIER", Value: "982C9A99-A4EA-48FB-ABE9-B60B3E2F1719", Reason: rules.ReasonFieldUnknown, Detail: "ACC-08"}},
		"the organisation":    {inExtract("A81001", "A8100"), feed.Bad{Column: "ORG_CODE", Value: "A8100", Reason: rules.ReasonOrganisationMalformed, Detail: "five digits"}},
		"small letters":       {inExtract("A81001", "a81001"), feed.Bad{Column: "ORG_CODE", Value: "a81001", Reason: rules.ReasonOrganisationMalformed, Detail: "five digits"}},
		"no organisation":     {inExtract("A81001", ""), feed.Bad{Column: "ORG_CODE", Reason: rules.ReasonOrganisationMalformed, Detail: "five digits"}},
		"the other kind":      {annualHeader + "PCN,A81001,X,NCD2324,31/03/2024,NCD026,Numerator,1\n", feed.Bad{Column: "ORGANISATION_TYPE", Value: "PCN", Reason: rules.ReasonOrganisationMismatch, Detail: "A81001 is the code of a practice"}},
		"no kind":             {annualHeader + "ICB,A81001,X,NCD2324,31/03/2024,NCD026,Numerator,1\n", feed.Bad{Column: "ORGANISATION_TYPE", Value: "ICB", Reason: rules.ReasonValueNotAllowed, Detail: "PCN, GP practice"}},
		"no count":            {inExtract(",14,", ",,"), feed.Bad{Column: "VALUE", Reason: rules.ReasonValueMissing, Detail: "required"}},
		"a broken count":      {inExtract(",14,", ",14.0,"), feed.Bad{Column: "VALUE", Value: "14.0", Reason: rules.ReasonCountMalformed, Detail: "whole number"}},
		"less than nothing":   {inExtract(",14,", ",-1,"), feed.Bad{Column: "VALUE", Value: "-1", Reason: rules.ReasonCountMalformed, Detail: "whole number"}},
		"no answer":           {oldHeader + "NCD2122,U64356,20220331,NCD009,Answer,2,\n", feed.Bad{Column: "VALUE", Value: "2", Reason: rules.ReasonValueNotAllowed, Detail: "Yes"}},
		"another type":        {centralHeader + "A81001,2023-03-31,FB4334A8-2E9C-43AB-9D1F-51C4A4F14E6B,982C9A99-A4EA-48FB-ABE9-B60B3E2F1719,1,str,x\n", feed.Bad{Column: "ATTRIBUTE_TYPE", Value: "str", Reason: rules.ReasonValueNotAllowed, Detail: "int"}},
		"day of submission":   {inExtract("05/10/2024", "2024-10-05"), feed.Bad{Column: "SUBMIT_DATE", Value: "2024-10-05", Reason: rules.ReasonDateMalformed, Detail: "30/09/2024"}},
		"time of submission":  {inExtract("19:36:07", "7pm"), feed.Bad{Column: "SUBMIT_DATE", Value: "05/10/2024", Reason: rules.ReasonDateMalformed, Detail: "19:36:07"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, bad, _ := strings.Cut(test.text, "\n")
			_, report := read(t, header+"\n\n"+bad, names(t, feed.MapRow{Year: 2024, Code: "CAN04", Field: "NEWFIELD", Short: "NEWFIELD"}))
			require.EqualValues(t, 1, report.BadRows)
			require.Len(t, report.Bad, 1)
			got := report.Bad[0]
			require.Contains(t, got.Detail, test.want.Detail)
			test.want.Line, test.want.Detail = 3, got.Detail
			require.Equal(t, test.want, got)
		})
	}
}

func TestRead_GoesOnAfterABadRow(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(extractHeader)
	for range feed.MaxBad + 20 {
		text.WriteString("\"half,\n" + goodExtract)
	}
	rows, report := read(t, text.String(), names(t))
	require.Len(t, rows, feed.MaxBad+20)
	require.Len(t, report.Bad, feed.MaxBad)
	require.EqualValues(t, feed.MaxBad+20, report.BadRows)
	require.EqualValues(t, 2*feed.MaxBad, report.Bad[feed.MaxBad-1].Line)
}

func TestRead_TalliesWhatDoesNotPay(t *testing.T) {
	t.Parallel()
	text := extractHeader
	add := func(service, day, code, field, last string) {
		text += service + ",x,A81001," + day + "," + code + "," + field + ",1,None,x,05/10/2024,19:36:07," + last + "\n"
	}
	add("NCD2425", "20240930", "NCDMI001", "Management Information", "Y")
	add("NCD2425", "20240930", "HI21", "Number of patients", "Y")
	add("NCD2425", "20240930", "VI01", "FLUDEC_DAT", "Y")
	add("NCD2425", "20240930", "HI03", "MI Count", "Y")
	add("NCD2425", "20240930", "HI03", "Num Patients in Set", "Y")
	add("bad", "bad", "HI03", "Numerator", "N")
	add("NCD2425", "20240930", "HI03", "Numerator", "N")
	for i := range 2 * feed.MaxExamples {
		add("NCD2425", "20240930", fmt.Sprintf("SMR%02d", i/2), "Numerator", "Y")
	}
	rows, report := read(t, text, names(t))
	require.Empty(t, rows)
	require.Empty(t, report.Bad)
	require.Equal(t, []period.Date{date(2024, 9, 30)}, report.Days)
	require.Equal(t, []feed.Tally{
		{Cause: feed.ManagementCode, Rows: 1, Examples: []feed.Example{{Line: 2, Code: "NCDMI001", Field: "Management Information"}}},
		{Cause: feed.UnlistedCode, Rows: 12, Examples: []feed.Example{
			{Line: 3, Code: "HI21", Field: "Number of patients"},
			{Line: 4, Code: "VI01", Field: "FLUDEC_DAT"},
			{Line: 9, Code: "SMR00", Field: "Numerator"},
			{Line: 11, Code: "SMR01", Field: "Numerator"},
			{Line: 13, Code: "SMR02", Field: "Numerator"},
		}},
		{Cause: feed.ManagementCount, Rows: 1, Examples: []feed.Example{{Line: 5, Code: "HI03", Field: "MI Count"}}},
		{Cause: feed.NotLast, Rows: 2, Examples: []feed.Example{{Line: 7, Code: "HI03", Field: "Numerator"}}},
		{Cause: feed.OtherMeasure, Rows: 1, Examples: []feed.Example{{Line: 6, Code: "HI03", Field: "Num Patients in Set"}}},
	}, report.Tallies)
}

func TestRead_FindsNamesInTheirYearOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		service, day, code, field string
		want                      string
	}{
		{"NCD2324", "20240331", "NCD120", "Numerator", "HI-03 numerator"},
		{"NCD2324", "20240331", "HI03", "Rule 1: PAT_AGEU14", "HI-03 exclusion PAT_AGEU14"},
		{"NCD2324", "20240331", "HI-03", "rule 12:  hlthapdec", "HI-03 adjustment HLTHAPDEC"},
		{"NCD2324", "20240331", "HI-03", "PCA: HLTHAPDEC", "HI-03 adjustment HLTHAPDEC"},
		{"NCD2324", "20240331", "NCD026", "ACC-08 Denominator", "ACC-08 denominator"},
		{"NCD2324", "20240331", "NCD002", "Numerator", "not of the scheme"},
		{"NCD2324", "20240331", "NCDMI996", "Denominator", "management information"},
		{"NCD2324", "20240331", "CAN04", "Numerator", "not of the scheme"},
		{"NCD2223", "20230331", "NCD120", "Numerator", "not of the scheme"},
		{"NCD2223", "20230331", "NCDMI996", "Denominator", "EHCH-04 denominator"},
		{"NCD2223", "20230331", "NCDMI998", "x", "EHCH-04 exclusion NURSHOME"},
		{"NCD2223", "20230331", "NCDMI999", "x", "EHCH-04 adjustment CARHOMDEC1"},
		{"NCD2223", "20230331", "NCD022", "Numerator - Non-standardised", "measure that does not pay"},
		{"NCD2223", "20230331", "NCD022", "AC-02 standardised numerator", "AC-02 numerator"},
		{"NCD2223", "20230331", "CVD-02", "Baseline Denominator", "CVD-02 baseline denominator"},
		{"NCD2425", "20250331", "NCD120", "Numerator", "not of the scheme"},
		{"NCD2425", "20250331", "HI03", "a sentence,  of\t2024/25", "HI-03 denominator"},
		{"NCD2526", "20260331", "HI03", "a sentence of 2025/26", "HI-03 numerator"},
		{"NCD2526", "20260331", "HI03", "A sentence, of 2024/25", rules.ReasonFieldUnknown},
		{"NCD2526", "20260331", "HI03", "MEDRVWDEC", "HI-03 adjustment MEDRVWDEC"},
		{"NCD2526", "20260331", "HI03", "another role", "HI-03 exclusion PAT_AGEU18"},
		{"NCD2324", "20240331", "NCD003", "N_AT_RISK", "VI-02 exclusion N_AT_RISK"},
		{"NCD2324", "20240331", "NCD003", "HLTHAPDEC", rules.ReasonFieldUnknown},
		{"NCD2324", "20240331", "NCD123", "N_AT_RISK", rules.ReasonFieldUnknown},
	} {
		fieldMap := []feed.MapRow{
			{Year: 2024, Code: "HI03", Field: "A sentence, of 2024/25", Short: "Denominator"},
			{Year: 2025, Code: "HI03", Field: "a sentence of 2025/26", Short: "numerator"},
			{Year: 2025, Code: "hi03", Field: "a declined review", Short: "MEDRVWDEC"},
			{Year: 2025, Code: "HI-03", Field: "another role", Short: "PAT_AGEU18"},
			{Year: 2025, Code: "HI21", Field: "a count", Short: "MI Count"},
		}
		text := oldHeader + test.service + ",A81001," + test.day + "," + test.code + ",\"" + test.field + "\",1,\n"
		rows, report := read(t, text, names(t, fieldMap...))
		var got string
		switch {
		case len(rows) > 0:
			got = strings.TrimSpace(fmt.Sprintf("%s %s %s", rows[0].Code, rows[0].Measure, rows[0].Field))
		case len(report.Bad) > 0:
			got = report.Bad[0].Reason
		default:
			got = report.Tallies[0].Cause.String()
		}
		require.Equal(t, test.want, got, "%+v", test)
	}
}

func TestNewNames_RefusesTwoMeanings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		indicators []rules.Indicator
		fieldMap   []feed.MapRow
	}{
		"of a code":             {[]rules.Indicator{{Code: "A-1", CQRSCode: "NCD001"}, {Code: "B-1", CQRSCode: "NCD001"}}, nil},
		"of a code less hyphen": {[]rules.Indicator{{Code: "A-1"}, {Code: "A1"}}, nil},
		"of a field":            {[]rules.Indicator{{Code: "A-1", Exclusions: []string{"X"}, Adjustments: []string{"X"}}}, nil},
		"of a version's":        {[]rules.Indicator{{Code: "A-1", Exclusions: []string{"X"}}, {Code: "A-1", Adjustments: []string{"X"}}}, nil},
		"of a word":             {[]rules.Indicator{{Code: "A-1"}}, []feed.MapRow{{Year: 2025, Code: "A-1", Field: "Numerator", Short: "Denominator"}}},
		"in the map":            {[]rules.Indicator{{Code: "A-1"}}, []feed.MapRow{{Year: 2025, Code: "A-1", Field: "x", Short: "Denominator"}, {Year: 2025, Code: "A1", Field: " X", Short: "Numerator"}}},
	} {
		_, err := feed.NewNames(2025, test.indicators, test.fieldMap)
		require.Equal(t, rules.ReasonNamesConflict, fault.ReasonOf(err), name)
		_, err = feed.NewNames(2024, test.indicators[:1], test.fieldMap)
		require.Equal(t, name == "of a field", err != nil, "%s: the map of another year: %v", name, err)
	}
}

func TestNewNames_TakesEveryYearOfTheTables(t *testing.T) {
	t.Parallel()
	for year := period.FinancialYear(2020); year <= 2025; year++ {
		of := indicators(t, year)
		require.NotEmpty(t, of)
		_, err := feed.NewNames(year, of, nil)
		require.NoError(t, err)
	}
}

func TestRead_ReadsLettersOfEitherKind(t *testing.T) {
	t.Parallel()
	sentence := feed.MapRow{Year: 2024, Code: "HI03", Field: "the number with a ‘plan’ – agreed", Short: "Numerator"}
	utf8 := monthlyHeader + "A81001,CAFÉ’S,NCD2425,30/09/2024,HI03,the number with a ‘plan’ – agreed,5\n"
	windows := strings.NewReplacer("É", "\xc9", "’", "\x92", "‘", "\x91", "–", "\x96").Replace(utf8)
	want, _ := read(t, utf8, names(t, sentence))
	require.Len(t, want, 1)
	for name, text := range map[string]string{
		"mark": "\ufeff" + utf8, "Windows-1252": windows, "CRLF": strings.ReplaceAll(windows, "\n", "\r\n"), "no last line end": strings.TrimSuffix(utf8, "\n"),
		"quoted": "\ufeff" + strings.Replace(utf8, "PRACTICE_CODE", `"PRACTICE_CODE"`, 1),
	} {
		got, report := read(t, text, names(t, sentence))
		require.Empty(t, report.Bad, name)
		require.Equal(t, want, got, name)
	}
	_, report := read(t, strings.Replace(windows, "agreed", "agreed\x81", 1), names(t, sentence))
	require.Equal(t, "the number with a ‘plan’ – agreed\ufffd", report.Bad[0].Value, "a byte that is no letter")
}

func TestRead_ReadsThePublishedYear(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "annual_2023-24.csv"))
	require.NoError(t, err)
	rows, report := read(t, string(text), names(t))
	require.Empty(t, report.Bad)
	require.EqualValues(t, 30, report.Rows)
	require.Len(t, report.Tallies, 1)
	require.Equal(t, feed.ManagementCode, report.Tallies[0].Cause, "ACC-10 and, since 2023/24, EHCH-04")
	require.EqualValues(t, 22, report.Tallies[0].Rows)
	require.Equal(t, []period.Date{date(2024, 3, 31)}, report.Days)
	sums := make(map[feed.Measure]int64)
	for _, row := range rows {
		require.Equal(t, "ACC-08", row.Code)
		require.Equal(t, feed.Practice, row.OrganisationKind)
		require.False(t, row.Rounded, "appointments are not rounded")
		sums[row.Measure] += row.Cell.N
	}
	require.Equal(t, map[feed.Measure]int64{feed.Numerator: 3001 + 39002 + 24874 + 27141, feed.Denominator: 3026 + 40619 + 33564 + 28542}, sums)
}

func TestReadFieldMap_NamesAllFieldsOfTheMetadata(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("testdata", "field_map_2025-26.csv"))
	require.NoError(t, err)
	var fieldMap []feed.MapRow
	report, err := feed.ReadFieldMap(file, func(row feed.MapRow) error {
		fieldMap = append(fieldMap, row)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Empty(t, report.Bad)
	require.EqualValues(t, 12, report.Kept)
	require.Equal(t, []period.FinancialYear{2025}, report.Years)
	require.Equal(t, feed.MapRow{Line: 13, Year: 2025, Code: "HI21", Field: "Number of patients recorded as having a diagnosis of autism.", Short: "MI Count"}, fieldMap[11])

	metadata, err := os.Open(filepath.Join("testdata", "ncd_metadata_2025-26.csv"))
	require.NoError(t, err)
	official, err := csv.NewReader(metadata).ReadAll()
	require.NoError(t, err)
	require.NoError(t, metadata.Close())
	text, paying := oldHeader, 0
	var want []string
	for _, row := range official[1:] {
		text += "NCD2526,A81001,20260331," + row[8] + "," + row[11] + ",1,\n"
		if row[8] != "HI21" {
			paying++
			want = append(want, strings.NewReplacer("PCA", "adjustment", "N", "n", "D", "d", "E", "e").Replace(row[10]))
		}
	}
	for _, row := range fieldMap {
		text += "NCD2526,A81001,20260331," + row.Code + ",\"" + row.Field + "\",1,\n"
	}
	rows, got := read(t, text, names(t, fieldMap...))
	require.Empty(t, got.Bad)
	require.Equal(t, 11, paying)
	require.Len(t, rows, 2*paying, "each field by its name in the metadata and by that in the extract")
	require.EqualValues(t, 2, got.Tallies[0].Rows, "HI21 is not of the scheme")
	for i := range want {
		require.Equal(t, want[i], rows[i].Measure.String())
	}
	_, unmapped := read(t, text, names(t))
	require.EqualValues(t, 4, unmapped.BadRows, "the four sentences")
}

func TestReadFieldMap_NamesEachBadRow(t *testing.T) {
	t.Parallel()
	text := mapHeader + "2025/26,HI03,x,Numerator\n2025-27,HI03,x,Numerator\n25-26,HI03,x,Numerator\n,HI03,x,Numerator\n" +
		"2025-26,,x,Numerator\n2025-26,HI03, ,Numerator\n2025-26,HI03,x,\n2025-26,HI03\n\"2025-26,HI03,x,Numerator\n"
	var kept int
	report, err := feed.ReadFieldMap(strings.NewReader(text), func(feed.MapRow) error {
		kept++
		return nil
	})
	require.NoError(t, err)
	addsUp(t, report)
	require.Equal(t, 1, kept, "with a stroke too")
	var got []string
	for _, bad := range report.Bad {
		got = append(got, fmt.Sprintf("%d %s %s", bad.Line, bad.Column, bad.Reason))
	}
	require.Equal(t, []string{
		"3 SERVICE_YEAR VALUE_NOT_ALLOWED", "4 SERVICE_YEAR VALUE_NOT_ALLOWED", "5 SERVICE_YEAR VALUE_NOT_ALLOWED", "6 IND_CODE VALUE_MISSING",
		"7 FIELD_NAME VALUE_MISSING", "8 SHORT_NAME VALUE_MISSING", "9  ROW_RAGGED", "10  ROW_DAMAGED",
	}, got)
	_, err = feed.ReadFieldMap(strings.NewReader(extractHeader), func(feed.MapRow) error { return nil })
	require.Equal(t, rules.ReasonLayoutMismatch, fault.ReasonOf(err))
}

func TestRead_ReturnsTheErrorsOfOthers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var called int
	_, err := feed.Read(strings.NewReader(extractHeader+goodExtract+goodExtract), names(t), 0, func(feed.Row) error {
		called++
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, called)
	none := func(feed.Row) error { return nil }
	_, err = feed.Read(strings.NewReader(extractHeader+goodExtract), func(period.FinancialYear) (*feed.Names, error) { return nil, broken }, 0, none)
	require.ErrorIs(t, err, broken)
	for _, before := range []string{"", "QUAL", extractHeader, extractHeader + goodExtract + "NCD", extractHeader + strings.Repeat("x", 20_000)} {
		_, err = feed.Read(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)), names(t), 0, none)
		require.ErrorIs(t, err, broken, before)
	}
	_, err = feed.ReadFieldMap(strings.NewReader(mapHeader+"2025-26,HI03,x,Numerator\n"), func(feed.MapRow) error { return broken })
	require.ErrorIs(t, err, broken)
}

func TestRead_AsksForAYearOnce(t *testing.T) {
	t.Parallel()
	asked := make(map[period.FinancialYear]int)
	answer := names(t)
	text := oldHeader + strings.Repeat("NCD2223,A81001,20230331,NCD002,Numerator,7,\nNCD4041,A81001,20410331,NCD002,Numerator,7,\n", 3)
	_, report := read(t, text, func(year period.FinancialYear) (*feed.Names, error) {
		asked[year]++
		return answer(year)
	})
	require.Equal(t, map[period.FinancialYear]int{2022: 1, 2040: 1}, asked)
	require.EqualValues(t, 3, report.BadRows)
	require.Equal(t, []period.FinancialYear{2022}, report.Years)
}

func TestRead_OrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	ask := names(t)
	pick := func(r *rapid.T, label string, of ...string) string { return rapid.SampledFrom(of).Draw(r, label) }
	rapid.Check(t, func(r *rapid.T) {
		lines := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) string {
			year := rapid.IntRange(20, 26).Draw(r, "year")
			return fmt.Sprintf("NCD%d%d,x,%s,20%d%s,%s,%s,%s,%s,x,05/10/2024,19:36:0%d,%s\n", year, year+1, pick(r, "organisation", "A81001", "U64356", "x"), year,
				pick(r, "day", "0930", "1031", "1131"), pick(r, "code", "CAN04", "NCD120", "NCD009", "NCDMI996", "HI-03"),
				pick(r, "field", "Numerator", "Denominator", "GICANREF", "MI Count", "\"", "x"), pick(r, "value", "0", "17", "*", "Y", ""),
				pick(r, "defaulted", "None", "", "7"), rapid.IntRange(0, 9).Draw(r, "second"), pick(r, "last", "Y", "Y", "N"))
		}), 1, 60).Draw(r, "lines")
		rows, report := read(t, extractHeader+strings.Join(lines, ""), ask)
		again, other := read(t, extractHeader+strings.Join(rapid.Permutation(lines).Draw(r, "order"), ""), ask)
		require.ElementsMatch(r, withoutLines(rows), withoutLines(again))
		require.Equal(r, report.BadRows, other.BadRows)
		require.Equal(r, report.Days, other.Days)
		require.Equal(r, report.Years, other.Years)
		require.Len(r, other.Tallies, len(report.Tallies))
		for i := range report.Tallies {
			require.Equal(r, report.Tallies[i].Rows, other.Tallies[i].Rows)
		}
	})
}

func withoutLines(rows []feed.Row) []feed.Row {
	out := slices.Clone(rows)
	for i := range out {
		out[i].Line = 0
	}
	return out
}

func TestNames_SayWhatTheyAre(t *testing.T) {
	t.Parallel()
	layouts := []string{"CQRS extract", "old CQRS extract", "monthly publication", "annual publication", "central feed", "field map", "unknown"}
	for i, want := range layouts {
		require.Equal(t, want, feed.Layout(i+1).String())
	}
	require.Equal(t, "unknown", feed.Layout(0).String())
	require.Equal(t, "PCN", feed.PCN.String())
	require.Equal(t, "answer", feed.Answer.String())
	require.Equal(t, "measure that does not pay", feed.OtherMeasure.String())
}
