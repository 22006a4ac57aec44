// Package tables holds the dated figures that iif starts with: versions of the scheme, their indicators, the national average list
// and prevalence, national overrides, fields of the extract, and the payment calendar. They seed the database and are versioned
// there; decisions read the database only.
//
// Every row carries its source, by the references of sources.csv, and its confidence; points, thresholds and the prevalence rule of
// an indicator have one each. A figure that is not published has a place all the same, with confidence unknown and no figure, so
// that what cannot be computed is refused by name and never taken for nothing. Candidates wait for a person's confirmation.
package tables

import (
	"embed"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

//go:embed *.csv
var files embed.FS

// Scheme returns the tables that iif starts with. It fails, with everything that is wrong, on a table that breaks a promise of the
// package. The caller must not change what it gets.
var Scheme = sync.OnceValues(func() (*rules.Scheme, error) { return parse(files.ReadFile) })

// Sources returns the documents that rows refer to.
func Sources() ([]table.Source, error) { return table.Sources(files.ReadFile) }

const (
	known          = ",source,confidence,known_from,known_from_basis,note"
	versionColumns = "version_id,financial_year,version_from,version_to,gbp_per_point,points,points_basis,points_confidence," +
		"national_value_gbp,paying_indicators,rounding,rounding_place" + known
	indicatorColumns = "indicator_id,version_id,code,code_is_label,cqrs_code,name,area,kind,direction,points,points_confidence," +
		"lower_threshold,upper_threshold,thresholds_confidence,prevalence_adjusted,prevalence_confidence,status,replaced_by," +
		"numerator_from,denominator_from,counts_from,judged_on" + known
	averageColumns    = "average_id,financial_year,patients,list_kind,list_date" + known
	prevalenceColumns = "prevalence_id,financial_year,code,national_percent" + known
	overrideColumns   = "override_id,financial_year,code,share_of_points" + known
	calendarColumns   = "calendar_id,financial_year,kind,approve_by,pay_on,source,confidence,note"
	fieldColumns      = "code,role,field,meaning,source,confidence,note"
)

// versionRow and indicatorRow are a row with the figures it holds.
type versionRow struct {
	rules.Version
	price rules.Value
}

type indicatorRow struct {
	rules.Indicator
	values []rules.Value
}

func parse(open table.Opener) (*rules.Scheme, error) {
	s := new(rules.Scheme)
	versions, err := table.Read(open, "versions.csv", versionColumns, version)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*rules.Version, len(versions))
	for i := range versions {
		s.Versions = append(s.Versions, versions[i].Version)
		s.Values = append(s.Values, versions[i].price)
		byID[versions[i].VersionID] = &versions[i].Version
	}
	var wrong [6]error
	var indicators []indicatorRow
	var averages, prevalences []rules.Value
	indicators, wrong[0] = table.Read(open, "indicators.csv", indicatorColumns, func(r *table.Row) indicatorRow { return indicator(r, byID) })
	averages, wrong[1] = table.Read(open, "averages.csv", averageColumns, average)
	prevalences, wrong[2] = table.Read(open, "prevalence.csv", prevalenceColumns, prevalence)
	s.Overrides, wrong[3] = table.Read(open, "overrides.csv", overrideColumns, override)
	s.Calendar, wrong[4] = table.Read(open, "calendar.csv", calendarColumns, run)
	s.Fields, wrong[5] = table.Read(open, "fields.csv", fieldColumns, field)
	if err := errors.Join(wrong[:]...); err != nil {
		return nil, err
	}
	for i := range indicators {
		s.Indicators = append(s.Indicators, indicators[i].Indicator)
		s.Values = append(s.Values, indicators[i].values...)
	}
	s.Values = slices.Concat(s.Values, averages, prevalences)
	return s, errors.Join(check(s)...)
}

func version(r *table.Row) versionRow {
	row := versionRow{Version: rules.Version{
		Figure: figure(r, "version_id"), Year: year(r), From: r.Date("version_from"), To: r.Date("version_to"),
		Points: r.OptionalDecimal("points"), PointsAtMost: r.OneOf("points_basis", "exact", "at_most", "") == "at_most",
		PointsConfidence: r.Confidence("points_confidence"), NationalGBP: r.OptionalDecimal("national_value_gbp"),
	}}
	row.VersionID = row.ID
	if r.Text("paying_indicators") != "" {
		row.PayingIndicators = int(table.Value(r, "paying_indicators", money.ParseWhole))
	}
	if (row.Points == nil) != (row.PointsConfidence == working.Unknown) || (row.Points == nil) != (r.Text("points_basis") == "") {
		r.Fail("points", errors.New("it is left out exactly where its confidence is unknown"))
	}
	row.price = stated(r, row.Figure, rules.Key{Year: row.Year, VersionID: row.VersionID, Field: rules.PriceField}, "gbp_per_point", "confidence")
	for name, column := range map[string]string{rules.SettingRounding: "rounding", rules.SettingRoundingPlace: "rounding_place"} {
		var err error
		if row.Rounding, err = row.Rounding.Apply(name, r.Required(column)); err != nil {
			r.Fail(column, err)
		}
	}
	if row.To.Before(row.From) || row.From.Month().FinancialYear() != row.Year || row.To.Month().FinancialYear() != row.Year {
		r.Fail("version_to", errors.New("the version is not within its financial year"))
	}
	return row
}

func indicator(r *table.Row, versions map[string]*rules.Version) indicatorRow {
	row := indicatorRow{Indicator: rules.Indicator{
		Figure: figure(r, "indicator_id"), VersionID: r.Required("version_id"), Code: r.Required("code"), CodeIsLabel: r.Yes("code_is_label"),
		CQRSCode: r.Text("cqrs_code"), Name: r.Required("name"), Area: r.Required("area"), Kind: table.Value(r, "kind", rules.ParseKind),
		Direction: rules.Direction(r.OneOf("direction", "", string(rules.HigherBetter), string(rules.LowerBetter))),
		Status:    table.Value(r, "status", rules.ParseStatus), ReplacedBy: r.Text("replaced_by"),
		NumeratorFrom: table.Value(r, "numerator_from", rules.ParseFeed), DenominatorFrom: table.Value(r, "denominator_from", rules.ParseFeed),
		CountsFrom: r.OptionalDate("counts_from"), JudgedOn: dates(r, "judged_on"),
	}}
	version, found := versions[row.VersionID]
	if !found {
		r.Fail("version_id", fmt.Errorf("%q is not a version", row.VersionID))
		return row
	}
	if (row.Kind == rules.Undefined) != (row.Confidence == working.Unknown) {
		r.Fail("kind", errors.New("it is undefined exactly where the confidence is unknown"))
	}
	if row.Kind != rules.Undefined && (row.Direction == "") != (row.Kind == rules.Binary) {
		r.Fail("direction", errors.New("it is left out exactly for a question of yes or no"))
	}
	key := func(field rules.Field) rules.Key {
		return rules.Key{Year: version.Year, VersionID: row.VersionID, Code: row.Code, Field: field}
	}
	row.values = append(row.values, stated(r, row.Figure, key(rules.PointsField), "points", "points_confidence"))
	if row.Kind == rules.Binary {
		if r.Text("lower_threshold")+r.Text("upper_threshold")+r.Text("thresholds_confidence") != "" {
			r.Fail("lower_threshold", errors.New("a question of yes or no has no thresholds"))
		}
		return row
	}
	row.values = append(row.values,
		stated(r, row.Figure, key(rules.LowerField), "lower_threshold", "thresholds_confidence"),
		stated(r, row.Figure, key(rules.UpperField), "upper_threshold", "thresholds_confidence"),
		prevalent(r, row.Figure, key(rules.PrevalentField)))
	return row
}

// prevalent reads whether prevalence adjusts an indicator: 1 for yes, 0 for no, and no figure where nobody knows.
func prevalent(r *table.Row, of rules.Figure, key rules.Key) rules.Value {
	of.ID += ":" + string(key.Field)
	of.Confidence = r.Confidence("prevalence_confidence")
	out := rules.Value{Figure: of, Key: key}
	switch r.OneOf("prevalence_adjusted", "yes", "no", "") {
	case "yes":
		out.Amount = big.NewRat(1, 1)
	case "no":
		out.Amount = new(big.Rat)
	}
	if (out.Amount == nil) != (of.Confidence == working.Unknown) {
		r.Fail("prevalence_adjusted", errors.New("it is left out exactly where its confidence is unknown"))
	}
	return out
}

func average(r *table.Row) rules.Value {
	v := stated(r, figure(r, "average_id"), rules.Key{Year: year(r), Field: rules.AverageField}, "patients", "confidence")
	v.List.Kind = rules.ListKind(r.OneOf("list_kind", "", string(rules.RegisteredList), string(rules.AdjustedList), string(rules.WeightedList)))
	v.List.On = r.OptionalDate("list_date")
	return v
}

func prevalence(r *table.Row) rules.Value {
	key := rules.Key{Year: year(r), Code: r.Required("code"), Field: rules.PrevalenceField}
	return stated(r, figure(r, "prevalence_id"), key, "national_percent", "confidence")
}

func override(r *table.Row) rules.Override {
	row := rules.Override{Figure: figure(r, "override_id"), Year: year(r), Code: r.Required("code")}
	row.Share = rules.Given{Value: r.OptionalDecimal("share_of_points")}
	if row.Share.Value == nil || row.Share.Value.Cmp(big.NewRat(1, 1)) > 0 {
		r.Fail("share_of_points", errors.New("it is not from 0 to 1"))
	}
	return row
}

func run(r *table.Row) rules.Run {
	row := rules.Run{
		Figure: figure(r, "calendar_id"), Year: year(r), Kind: rules.RunKind(r.OneOf("kind", string(rules.PaymentRun), string(rules.PaymentDeadline))),
		ApproveBy: r.OptionalDate("approve_by"), PayOn: r.Date("pay_on"),
	}
	if err := row.Check(); err != nil {
		r.Fail("pay_on", err)
	}
	return row
}

func field(r *table.Row) rules.ExtractField {
	row := rules.ExtractField{
		Figure: figure(r, "field"), Code: r.Required("code"), Name: r.Required("field"), Meaning: r.Text("meaning"),
		Role: rules.FieldRole(r.OneOf("role", string(rules.Exclusion), string(rules.Adjustment))),
	}
	row.ID = row.Code + ":" + row.Name
	return row
}
