package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Version is one version of the scheme within a year.
type Version struct {
	Figure
	// VersionID names the version in whatever belongs to it. A corrected or confirmed row is another figure of the same version.
	VersionID string
	Year      period.FinancialYear
	From, To  period.Date
	// Points is what the version offered as published; nil where nothing was. AtMost means that it was published as "up to".
	Points           *big.Rat
	PointsAtMost     bool
	PointsConfidence working.Confidence
	// NationalGBP is the published national value; it serves comparison only.
	NationalGBP *big.Rat
	// PayingIndicators is how many indicators the version pays, as published; 0 where that is not known, and the list of them then
	// never complete.
	PayingIndicators int
	Rounding         Rounding
}

// Rounding is how a payment becomes pence. No official rule was found, so it is a policy of the version.
type Rounding struct {
	Mode money.Rounding
	// PointsFirst rounds points to two decimals by the same mode before they are multiplied.
	PointsFirst bool
	// SettingIDs are the settings in force; none means the policy of the version.
	SettingIDs []string
}

// Scheme is everything that was published of the fund, and what persons entered, as loaded.
type Scheme struct {
	Versions   []Version
	Indicators []Indicator
	Values     []Value
	Overrides  []Override
	Fields     []ExtractField
	Calendar   []Run
	Settings   []Setting
}

// Query asks for the terms of a year.
type Query struct {
	Year         period.FinancialYear
	Commissioner string
	// Predecessor is the body that owed the payments on the day, whose debts the commissioner has taken over: what it entered stays. Of
	// what the two entered, the later stands. Empty, or the commissioner itself, where there is none.
	Predecessor string
	// Known is the day as of which rows count; zero for all that is known.
	Known period.Date
	// On is the day whose version governs; zero for 31 March, which decides for the whole year.
	On period.Date
}

// holds tells whether what a body entered counts for who asks.
func (q *Query) holds(body string) bool {
	return body == England || body == q.Commissioner || (q.Predecessor != "" && body == q.Predecessor)
}

// Terms is what governs a year for a commissioner, as known on a day.
type Terms struct {
	Query
	Version Version
	Price   Held
	Average Held
	// Indicators of the version in the order of the table.
	Indicators []IndicatorTerms
	// Incomplete says why the indicators may not be all of them; the year then has no total.
	Incomplete *fault.Fault
}

// IndicatorTerms is an indicator with the figures that govern it.
type IndicatorTerms struct {
	Indicator
	Points, Lower, Upper, Prevalent, National Held
	Override                                  *Override
}

// Find returns the terms of an indicator.
func (t *Terms) Find(code string) (*IndicatorTerms, bool) {
	i := slices.IndexFunc(t.Indicators, func(it IndicatorTerms) bool { return it.Code == code })
	if i < 0 {
		return nil, false
	}
	return &t.Indicators[i], true
}

// TermsFor finds the version in force at 31 March, which judges the whole year, with its figures. That no text splits a year at
// the day of a change is inferred. It refuses with SCHEME_VERSION_UNKNOWN where the year has none, or one without figures.
func TermsFor(s *Scheme, q Query) (*Terms, error) {
	t, err := Outline(s, q)
	if err != nil {
		return nil, err
	}
	if !t.Version.Confidence.Payable() {
		return nil, t.Incomplete
	}
	return t, nil
}

// Outline is TermsFor for who looks or enters: it returns what is there also of a version that nobody knows or has confirmed, whose
// Incomplete then refuses with SCHEME_VERSION_UNKNOWN. Nothing is assessed by it. It fails where the year has no version at all.
func Outline(s *Scheme, q Query) (*Terms, error) {
	if q.On.IsZero() {
		q.On = q.Year.Last().Last()
	}
	version := s.version(q)
	if version == nil {
		return nil, unknownVersion(q, "enter the version and its indicators with their source")
	}
	t := &Terms{Query: q, Version: *version}
	var err error
	if t.Version.Rounding, err = roundingFor(s.Settings, q, version); err != nil {
		return nil, err
	}
	values := s.values(q)
	hold := func(k Key) Held { return Held{k, values[k]} }
	t.Price = hold(Key{Year: q.Year, VersionID: version.VersionID, Field: PriceField})
	t.Average = hold(Key{Year: q.Year, Field: AverageField})
	active := 0
	for _, indicator := range s.indicators(q, version.VersionID) {
		of := func(field Field) Held { return hold(Key{q.Year, version.VersionID, indicator.Code, field}) }
		t.Indicators = append(t.Indicators, IndicatorTerms{
			Indicator: *indicator, Points: of(PointsField), Lower: of(LowerField), Upper: of(UpperField), Prevalent: of(PrevalentField),
			National: hold(Key{Year: q.Year, Code: indicator.Code, Field: PrevalenceField}), Override: s.override(q, indicator.Code),
		})
		if indicator.Status == Active && indicator.Confidence.Payable() {
			active++
		}
	}
	switch n := version.PayingIndicators; {
	case version.Confidence == working.Candidate:
		t.Incomplete = unknownVersion(q, "confirm candidate "+version.ID+", or enter the version with its source")
	case !version.Confidence.Payable():
		t.Incomplete = unknownVersion(q, "enter the version and its indicators with their source")
	case active == 0 || n == 0 || active < n:
		t.Incomplete = missing(ReasonVersionIncomplete, "list of all paying indicators of "+version.VersionID, "enter or confirm the others with their source").
			With("confirmed", active).With("published", n)
	}
	return t, nil
}

func unknownVersion(q Query, remedy string) *fault.Fault {
	return missing(ReasonVersionUnknown, "version of the scheme in force on "+q.On.String(), remedy)
}

// known returns the rows that match and are known to who asks.
func known[R any](rows []R, figure func(*R) *Figure, q Query, matches func(*R) bool) []*R {
	var out []*R
	for i := range rows {
		if row := &rows[i]; matches(row) && figure(row).knownTo(q) {
			out = append(out, row)
		}
	}
	return out
}

// VersionsOf returns the row that governs each version of a year for a commissioner, by first day. The day of the query plays no part.
func VersionsOf(s *Scheme, q Query) []*Version {
	figure := func(v *Version) *Figure { return &v.Figure }
	byID := make(map[string][]*Version)
	for _, row := range known(s.Versions, figure, q, func(v *Version) bool { return v.Year == q.Year }) {
		byID[row.VersionID] = append(byID[row.VersionID], row)
	}
	out := make([]*Version, 0, len(byID))
	for _, rows := range byID {
		out = append(out, governing(rows, figure))
	}
	slices.SortFunc(out, func(a, b *Version) int {
		own := func(v *Version) bool { return v.CommissionerCode != England }
		if order := a.From.Compare(b.From); order != 0 || own(a) == own(b) {
			return cmp.Or(order, cmp.Compare(a.VersionID, b.VersionID))
		}
		if own(b) {
			return -1
		}
		return 1
	})
	return out
}

// version finds the version that began last before or on the day. A candidate takes the place only of what is not known.
func (s *Scheme) version(q Query) *Version {
	var stands, candidate *Version
	for _, row := range VersionsOf(s, q) {
		switch {
		case row.From.After(q.On):
		case row.Confidence == working.Candidate:
			candidate = row
		default:
			stands = row
		}
	}
	if candidate != nil && (stands == nil || !stands.Confidence.Payable()) {
		return candidate
	}
	return stands
}

// IndicatorsOf returns the row that governs each indicator of a version for a commissioner, in the order of their first rows.
func IndicatorsOf(s *Scheme, q Query, versionID string) []*Indicator {
	return s.indicators(q, versionID)
}

// ValueOf returns the value that governs a key for a commissioner, or its absence.
func ValueOf(s *Scheme, q Query, key Key) Held {
	figure := func(v *Value) *Figure { return &v.Figure }
	return Held{key, governing(known(s.Values, figure, q, func(v *Value) bool { return v.Key == key }), figure)}
}

// OverrideOf returns the override that governs an indicator in the query's year; nil where there is none, or it was withdrawn.
func OverrideOf(s *Scheme, q Query, code string) *Override { return s.override(q, code) }

// indicators returns the rows of a version that hold, in the order of the table.
func (s *Scheme) indicators(q Query, versionID string) []*Indicator {
	figure := func(i *Indicator) *Figure { return &i.Figure }
	byCode := make(map[string][]*Indicator)
	var order []string
	for _, row := range known(s.Indicators, figure, q, func(i *Indicator) bool { return i.VersionID == versionID }) {
		if byCode[row.Code] == nil {
			order = append(order, row.Code)
		}
		byCode[row.Code] = append(byCode[row.Code], row)
	}
	out := make([]*Indicator, len(order))
	for i, code := range order {
		row := *governing(byCode[code], figure)
		if len(row.Exclusions)+len(row.Adjustments) == 0 {
			row.Exclusions, row.Adjustments = s.fields(code)
		}
		out[i] = &row
	}
	return out
}

// fields returns the fields that the tables hold for a code. They are of every version: one that names fields of its own has those.
func (s *Scheme) fields(code string) (exclusions, adjustments []string) {
	for i := range s.Fields {
		switch field := &s.Fields[i]; {
		case field.Code != code || field.VersionID != "":
		case field.Role == Exclusion:
			exclusions = append(exclusions, field.Name)
		default:
			adjustments = append(adjustments, field.Name)
		}
	}
	return exclusions, adjustments
}

func (s *Scheme) values(q Query) map[Key]*Value {
	figure := func(v *Value) *Figure { return &v.Figure }
	byKey := make(map[Key][]*Value)
	for _, row := range known(s.Values, figure, q, func(v *Value) bool { return v.Year == q.Year }) {
		byKey[row.Key] = append(byKey[row.Key], row)
	}
	out := make(map[Key]*Value, len(byKey))
	for key, rows := range byKey {
		out[key] = governing(rows, figure)
	}
	return out
}

// override returns the override in force; nil where there is none, or a payable row without a share withdrew it.
func (s *Scheme) override(q Query, code string) *Override {
	figure := func(o *Override) *Figure { return &o.Figure }
	row := governing(known(s.Overrides, figure, q, func(o *Override) bool { return o.Year == q.Year && o.Code == code }), figure)
	if row != nil && row.Confidence.Payable() && row.Share.Value == nil {
		return nil
	}
	return row
}

// NationalValue is what a year was budgeted at: points × price × the share expected to be earned × networks, in pounds (example
// IIF-004). The share is never applied to a network's payment.
func NationalValue(points, gbpPerPoint, shareExpected *big.Rat, networks int64) *big.Rat {
	out := new(big.Rat).Mul(points, gbpPerPoint)
	return out.Mul(out.Mul(out, shareExpected), whole(networks))
}
