// Package tables holds the dated figures that iif starts with: versions of the scheme, their indicators, the national average list
// and prevalence, national overrides, fields of the extract, and the payment calendar. They seed the database and are versioned
// there; decisions read the database only.
//
// Every row carries its source, by the references of sources.csv, and its confidence; points, thresholds and the prevalence rule of
// an indicator have one each. A figure that is not published has a place all the same, with confidence unknown and no figure, so
// that what cannot be computed is refused by name and never taken for nothing. Candidates wait for a person's confirmation.
package tables

import (
	"bytes"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

//go:embed *.csv
var files embed.FS

// Source is a document that rows refer to.
type Source struct{ Ref, Title, URL string }

// Scheme returns the tables that iif starts with. It fails, with everything that is wrong, on a table that breaks a promise of the
// package. The caller must not change what it gets.
var Scheme = sync.OnceValues(func() (*rules.Scheme, error) { return parse(embedded) })

// Sources returns the documents that rows refer to.
func Sources() ([]Source, error) {
	return read(embedded, "sources.csv", "ref,title,url", func(c *cells) Source {
		return Source{c.required("ref"), c.required("title"), c.text("url")}
	})
}

// opener gives the text of a table.
type opener func(name string) ([]byte, error)

func embedded(name string) ([]byte, error) { return files.ReadFile(name) }

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

func parse(open opener) (*rules.Scheme, error) {
	s := new(rules.Scheme)
	versions, err := read(open, "versions.csv", versionColumns, version)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*rules.Version, len(versions))
	for i := range versions {
		s.Versions = append(s.Versions, versions[i].Version)
		s.Values = append(s.Values, versions[i].price)
		byID[versions[i].ID] = &versions[i].Version
	}
	var wrong [6]error
	var indicators []indicatorRow
	var averages, prevalences []rules.Value
	indicators, wrong[0] = read(open, "indicators.csv", indicatorColumns, func(c *cells) indicatorRow { return indicator(c, byID) })
	averages, wrong[1] = read(open, "averages.csv", averageColumns, average)
	prevalences, wrong[2] = read(open, "prevalence.csv", prevalenceColumns, prevalence)
	s.Overrides, wrong[3] = read(open, "overrides.csv", overrideColumns, override)
	s.Calendar, wrong[4] = read(open, "calendar.csv", calendarColumns, run)
	s.Fields, wrong[5] = read(open, "fields.csv", fieldColumns, field)
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

func version(c *cells) versionRow {
	row := versionRow{Version: rules.Version{
		Figure: c.figure("version_id"), Year: c.year(), From: c.date("version_from"), To: c.date("version_to"),
		Points: c.optionalDecimal("points"), PointsAtMost: c.oneOf("points_basis", "exact", "at_most", "") == "at_most",
		PointsConfidence: c.confidence("points_confidence"), NationalGBP: c.optionalDecimal("national_value_gbp"),
	}}
	if c.text("paying_indicators") != "" {
		row.PayingIndicators = int(value(c, "paying_indicators", money.ParseWhole))
	}
	if (row.Points == nil) != (row.PointsConfidence == working.Unknown) || (row.Points == nil) != (c.text("points_basis") == "") {
		c.fail("points", errors.New("it is left out exactly where its confidence is unknown"))
	}
	row.price = c.stated(row.Figure, rules.Key{Year: row.Year, VersionID: row.ID, Field: rules.PriceField}, "gbp_per_point", "confidence")
	for name, column := range map[string]string{rules.SettingRounding: "rounding", rules.SettingRoundingPlace: "rounding_place"} {
		var err error
		if row.Rounding, err = row.Rounding.Apply(name, c.required(column)); err != nil {
			c.fail(column, err)
		}
	}
	if row.To.Before(row.From) || row.From.Month().FinancialYear() != row.Year || row.To.Month().FinancialYear() != row.Year {
		c.fail("version_to", errors.New("the version is not within its financial year"))
	}
	return row
}

func indicator(c *cells, versions map[string]*rules.Version) indicatorRow {
	row := indicatorRow{Indicator: rules.Indicator{
		Figure: c.figure("indicator_id"), VersionID: c.required("version_id"), Code: c.required("code"), CodeIsLabel: c.yes("code_is_label"),
		CQRSCode: c.text("cqrs_code"), Name: c.required("name"), Area: c.required("area"), Kind: value(c, "kind", rules.ParseKind),
		Direction: rules.Direction(c.oneOf("direction", "", string(rules.HigherBetter), string(rules.LowerBetter))),
		Status:    value(c, "status", rules.ParseStatus), ReplacedBy: c.text("replaced_by"),
		NumeratorFrom: value(c, "numerator_from", rules.ParseFeed), DenominatorFrom: value(c, "denominator_from", rules.ParseFeed),
		CountsFrom: c.optionalDate("counts_from"), JudgedOn: c.dates("judged_on"),
	}}
	version, found := versions[row.VersionID]
	if !found {
		c.fail("version_id", fmt.Errorf("%q is not a version", row.VersionID))
		return row
	}
	if (row.Kind == rules.Undefined) != (row.Confidence == working.Unknown) {
		c.fail("kind", errors.New("it is undefined exactly where the confidence is unknown"))
	}
	if row.Kind != rules.Undefined && (row.Direction == "") != (row.Kind == rules.Binary) {
		c.fail("direction", errors.New("it is left out exactly for a question of yes or no"))
	}
	key := func(field rules.Field) rules.Key {
		return rules.Key{Year: version.Year, VersionID: row.VersionID, Code: row.Code, Field: field}
	}
	row.values = append(row.values, c.stated(row.Figure, key(rules.PointsField), "points", "points_confidence"))
	if row.Kind == rules.Binary {
		if c.text("lower_threshold")+c.text("upper_threshold")+c.text("thresholds_confidence") != "" {
			c.fail("lower_threshold", errors.New("a question of yes or no has no thresholds"))
		}
		return row
	}
	row.values = append(row.values,
		c.stated(row.Figure, key(rules.LowerField), "lower_threshold", "thresholds_confidence"),
		c.stated(row.Figure, key(rules.UpperField), "upper_threshold", "thresholds_confidence"),
		c.prevalent(row.Figure, key(rules.PrevalentField)))
	return row
}

// prevalent reads whether prevalence adjusts an indicator: 1 for yes, 0 for no, and no figure where nobody knows.
func (c *cells) prevalent(of rules.Figure, key rules.Key) rules.Value {
	of.ID += ":" + string(key.Field)
	of.Confidence = c.confidence("prevalence_confidence")
	out := rules.Value{Figure: of, Key: key}
	switch c.oneOf("prevalence_adjusted", "yes", "no", "") {
	case "yes":
		out.Amount = big.NewRat(1, 1)
	case "no":
		out.Amount = new(big.Rat)
	}
	if (out.Amount == nil) != (of.Confidence == working.Unknown) {
		c.fail("prevalence_adjusted", errors.New("it is left out exactly where its confidence is unknown"))
	}
	return out
}

func average(c *cells) rules.Value {
	v := c.stated(c.figure("average_id"), rules.Key{Year: c.year(), Field: rules.AverageField}, "patients", "confidence")
	v.List.Kind = rules.ListKind(c.oneOf("list_kind", "", string(rules.RegisteredList), string(rules.AdjustedList), string(rules.WeightedList)))
	v.List.On = c.optionalDate("list_date")
	return v
}

func prevalence(c *cells) rules.Value {
	key := rules.Key{Year: c.year(), Code: c.required("code"), Field: rules.PrevalenceField}
	return c.stated(c.figure("prevalence_id"), key, "national_percent", "confidence")
}

func override(c *cells) rules.Override {
	row := rules.Override{Figure: c.figure("override_id"), Year: c.year(), Code: c.required("code")}
	row.Share = rules.Given{Value: c.optionalDecimal("share_of_points")}
	if row.Share.Value == nil || row.Share.Value.Cmp(big.NewRat(1, 1)) > 0 {
		c.fail("share_of_points", errors.New("it is not from 0 to 1"))
	}
	return row
}

func run(c *cells) rules.Run {
	row := rules.Run{
		Figure: c.figure("calendar_id"), Year: c.year(), Kind: rules.RunKind(c.oneOf("kind", string(rules.PaymentRun), string(rules.PaymentDeadline))),
		ApproveBy: c.optionalDate("approve_by"), PayOn: c.date("pay_on"),
	}
	if err := row.Check(); err != nil {
		c.fail("pay_on", err)
	}
	return row
}

func field(c *cells) rules.ExtractField {
	row := rules.ExtractField{
		Figure: c.figure("field"), Code: c.required("code"), Name: c.required("field"), Meaning: c.text("meaning"),
		Role: rules.FieldRole(c.oneOf("role", string(rules.Exclusion), string(rules.Adjustment))),
	}
	row.ID = row.Code + ":" + row.Name
	return row
}

// read reads a table row by row and gathers everything that is wrong with it.
func read[T any](open opener, name, columns string, row func(*cells) T) ([]T, error) {
	text, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	header := strings.Split(columns, ",")
	if len(rows) < 2 || !slices.Equal(rows[0], header) {
		return nil, fmt.Errorf("%s has no rows, or other columns than %s", name, columns)
	}
	out := make([]T, 0, len(rows)-1)
	var wrong []error
	for i, fields := range rows[1:] {
		c := cells{byName: make(map[string]string, len(header))}
		for j, column := range header {
			c.byName[column] = fields[j]
		}
		out = append(out, row(&c))
		if err := errors.Join(c.wrong...); err != nil {
			wrong = append(wrong, fmt.Errorf("%s row %d (%s): %w", name, i+2, fields[0], err))
		}
	}
	return out, errors.Join(wrong...)
}
