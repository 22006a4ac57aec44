package iif

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// placing holds a figure that someone states against those that are known: what it is of exists, its days fit its year and those
// beside it, and its numbers are neither out of order nor slips of the decimal point.
type placing struct {
	scheme *rules.Scheme
	year   period.FinancialYear
	today  period.Date
	// query asks for what the commissioner of the figure has; nothing of it depends on a day.
	query rules.Query
}

// place refuses what cannot stand. It gives a version that is entered its identifier.
func (p *placing) place(of *stated) error {
	confidence := of.figure().Confidence
	if withdraws := of.value != nil || of.indicator != nil || of.run != nil; confidence == working.Unknown && !withdraws {
		return fault.New(fault.Invalid, reasonFigureValueRequired, "only a number, the definition of an indicator or a payment run can become unknown").
			At("confidence", "official, secondary, inferred or candidate")
	}
	switch {
	case of.value != nil:
		return p.value(of.value)
	case of.version != nil:
		return p.version(of.version)
	case of.indicator != nil:
		return p.indicator(of.indicator)
	case of.override != nil:
		return p.override(of.override)
	default:
		return p.run(of.run)
	}
}

func subjectInvalid(field, rule string) error {
	return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s: %s", field, rule).At(field, rule)
}

// notOfYear refuses a day that is not of a year.
func notOfYear(field string, day period.Date, year period.FinancialYear) error {
	return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "%s: %s is not of %s", field, day, year).
		At(field, fmt.Sprintf("a day from %s to %s", year.First().First(), year.Last().Last()))
}

// within holds a number to its bounds: none of the scheme comes near them, and a slip of the decimal point does.
func within(field string, value *big.Rat, least, most int64) error {
	if value.Cmp(big.NewRat(least, 1)) < 0 || value.Cmp(big.NewRat(most, 1)) > 0 {
		return fault.New(fault.Invalid, reasonDecimalMalformed, "%s: %s is not from %d to %d", field, money.Format(value), least, most).
			At(field, fmt.Sprintf("from %d to %d", least, most))
	}
	return nil
}

// of finds a version of the year.
func (p *placing) of(field, id string) (*rules.Version, error) {
	for _, version := range rules.VersionsOf(p.scheme, p.query) {
		if version.VersionID == id {
			return version, nil
		}
	}
	return nil, fault.New(fault.Invalid, reasonFigureSubjectInvalid, "%s has no version %q: enter the version first", p.year, money.Clip(id)).
		At(field, "a version that ListFigures shows for the year")
}

// indicatorOf finds an indicator of a version.
func (p *placing) indicatorOf(versionID, code string) *rules.Indicator {
	for _, indicator := range rules.IndicatorsOf(p.scheme, p.query, versionID) {
		if indicator.Code == code {
			return indicator
		}
	}
	return nil
}

// ofYear refuses a code that no version of the year has.
func (p *placing) ofYear(field, code string) error {
	for _, version := range rules.VersionsOf(p.scheme, p.query) {
		if p.indicatorOf(version.VersionID, code) != nil {
			return nil
		}
	}
	return p.noIndicator(field, code, p.year.String())
}

func (p *placing) noIndicator(field, code, where string) error {
	return fault.New(fault.Invalid, reasonIndicatorUnknown, "%s has no indicator %q: enter the indicator first", where, money.Clip(code)).
		At(field, "an indicator that ListFigures shows")
}

func (p *placing) value(v *rules.Value) error {
	if (v.Amount == nil) != (v.Confidence == working.Unknown) {
		return fault.New(fault.Invalid, reasonFigureValueRequired, "a figure is left out exactly where it is unknown").
			At("value.value", "an exact decimal, or none with confidence unknown")
	}
	if v.Field != rules.AverageField && (v.List != rules.List{}) {
		return subjectInvalid("value.list_kind", "only a national average is of a list")
	}
	ofVersion, ofIndicator := true, true
	switch v.Field {
	case rules.PriceField:
		ofIndicator = false
	case rules.AverageField:
		ofVersion, ofIndicator = false, false
	case rules.PrevalenceField:
		ofVersion = false
	case rules.PointsField, rules.LowerField, rules.UpperField, rules.PrevalentField:
	default:
		return subjectInvalid("value.field", "say which number it is")
	}
	for _, part := range []struct {
		field         string
		given, wanted bool
	}{{"value.version_id", v.VersionID != "", ofVersion}, {"value.indicator_code", v.Code != "", ofIndicator}} {
		switch {
		case part.given && !part.wanted:
			return subjectInvalid(part.field, "a figure of this field has none")
		case part.wanted && !part.given:
			return subjectInvalid(part.field, "a figure of this field needs it")
		}
	}
	var version *rules.Version
	if ofVersion {
		var err error
		if version, err = p.of("value.version_id", v.VersionID); err != nil {
			return err
		}
	}
	switch {
	case !ofIndicator:
		return p.amount(v, nil, nil)
	case !ofVersion:
		if err := p.ofYear("value.indicator_code", v.Code); err != nil {
			return err
		}
		return p.amount(v, nil, nil)
	}
	indicator := p.indicatorOf(v.VersionID, v.Code)
	if indicator == nil {
		return p.noIndicator("value.indicator_code", v.Code, v.VersionID)
	}
	return p.amount(v, version, indicator)
}

// amount holds a number to its bounds, and thresholds to their order.
func (p *placing) amount(v *rules.Value, version *rules.Version, i *rules.Indicator) error {
	const field = "value.value"
	if i != nil && i.Kind == rules.Binary && v.Field != rules.PointsField {
		return subjectInvalid("value.field", "a question of yes or no has points alone")
	}
	if v.Amount == nil {
		return nil
	}
	switch v.Field {
	case rules.PriceField:
		return within(field, v.Amount, 1, maxPrice)
	case rules.AverageField:
		return within(field, v.Amount, minAverage, maxAverage)
	case rules.PrevalenceField:
		if v.Amount.Sign() == 0 {
			return fault.New(fault.Invalid, reasonDecimalMalformed, "%s: a national prevalence is above nothing", field).At(field, "above 0, at most 100")
		}
		return within(field, v.Amount, 0, 100)
	case rules.PointsField:
		if version.Points != nil && v.Amount.Cmp(version.Points) > 0 {
			return fault.New(fault.Invalid, reasonDecimalMalformed, "%s: %s has %s points in all, not %s for %s", field, version.VersionID,
				money.Format(version.Points), money.Format(v.Amount), v.Code).At(field, "at most "+money.Format(version.Points))
		}
		return within(field, v.Amount, 0, maxPoints)
	case rules.PrevalentField:
		if v.Amount.Sign() != 0 && v.Amount.Cmp(big.NewRat(1, 1)) != 0 {
			return fault.New(fault.Invalid, reasonDecimalMalformed, "%s: 1 where prevalence adjusts the payment, 0 where it does not", field).At(field, "0 or 1")
		}
		return nil
	case rules.LowerField, rules.UpperField:
		return p.threshold(field, v, i)
	}
	return nil
}

// Bounds of numbers. The fund paid £111 to £200 a point and at most 220 points for an indicator, to PCNs of 48,000 patients.
const (
	maxPrice               = 1_000
	minAverage, maxAverage = 10_000, 250_000
	maxPoints              = 2_000
	maxVersionPoints       = 5_000
	maxNationalGBP         = 2_000_000_000
	maxIndicators          = 200
)

func (p *placing) threshold(field string, v *rules.Value, i *rules.Indicator) error {
	least, most := int64(-1_000), int64(1_000)
	switch i.Kind {
	case rules.Percentage:
		least, most = 0, 100
	case rules.Beds, rules.Ratio:
		least = 0
	case rules.Change, rules.Standardised:
		least, most = -100, 100
	case rules.Binary, rules.Undefined:
	}
	if err := within(field, v.Amount, least, most); err != nil {
		return err
	}
	other := v.Key
	if other.Field = rules.UpperField; v.Field == rules.UpperField {
		other.Field = rules.LowerField
	}
	beside := rules.ValueOf(p.scheme, p.query, other)
	if beside.Value == nil || beside.Value.Amount == nil || i.Direction == "" {
		return nil
	}
	lower, upper := v.Amount, beside.Value.Amount
	if v.Field == rules.UpperField {
		lower, upper = upper, lower
	}
	if _, err := rules.Share(i.Direction, lower, upper, lower); err != nil {
		return fault.New(fault.Invalid, rules.ReasonFigureInvalid, "%s: lower threshold %s and upper threshold %s are not in order where %s is better",
			field, money.Format(lower), money.Format(upper), i.Direction).With("figure", beside.Value.ID).
			At(field, "the upper threshold is the better one; where both change, enter first the one that keeps the order")
	}
	return nil
}

// version holds the days of a version against those beside it: no two cover one day, and a new one begins where another ends.
func (p *placing) version(v *rules.Version) error {
	first, last := p.year.First().First(), p.year.Last().Last()
	switch {
	case v.From.IsZero() || v.From.Before(first) || v.From.After(last):
		return notOfYear("version.from_date", v.From, p.year)
	case v.To.IsZero() || v.To.Before(v.From) || v.To.After(last):
		return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "a version holds from a day to another of %s: %s to %s does not", p.year, v.From, v.To).
			At("version.to_date", fmt.Sprintf("from %s to %s", v.From, last))
	}
	if v.PointsAtMost && v.Points == nil {
		return subjectInvalid("version.points_at_most", "it is for points that are stated")
	}
	for _, number := range []struct {
		field string
		value *big.Rat
		most  int64
	}{
		{"version.points", v.Points, maxVersionPoints},
		{"version.national_value_gbp", v.NationalGBP, maxNationalGBP},
		{"version.paying_indicators", big.NewRat(int64(v.PayingIndicators), 1), maxIndicators},
	} {
		if number.value == nil {
			continue
		}
		if err := within(number.field, number.value, 0, number.most); err != nil {
			return err
		}
	}
	all := rules.VersionsOf(p.scheme, p.query)
	if err := p.name(v, all); err != nil {
		return err
	}
	stands, others, follows := false, false, false
	for _, other := range all {
		switch {
		case other.Confidence == working.Candidate:
			continue
		case other.VersionID == v.VersionID:
			stands = true
			continue
		case !other.From.After(v.To) && !v.From.After(other.To):
			return fault.New(fault.Refused, reasonFigurePeriodInvalid, "%s holds from %s to %s, beside which none from %s to %s can stand", other.VersionID,
				other.From, other.To, v.From, v.To).With("figure_id", other.ID).
				At("version.from_date", "clear of "+other.VersionID+": restate that version with the day it ends, or give its version_id")
		}
		others = true
		follows = follows || other.To.AddDays(1) == v.From || v.To.AddDays(1) == other.From
	}
	if !stands && others && !follows {
		return fault.New(fault.Refused, reasonFigurePeriodInvalid, "a version from %s to %s neither begins the day after another of %s nor ends the day before one",
			v.From, v.To, p.year).At("version.from_date", "the day after the last of the version before")
	}
	return nil
}

// name gives a version the identifier of the one that begins on the same day, or one of its own.
func (p *placing) name(v *rules.Version, all []*rules.Version) error {
	if v.VersionID != "" {
		_, err := p.of("version.version_id", v.VersionID)
		return err
	}
	v.VersionID = "IIF-" + v.From.Month().String()
	for _, other := range all {
		if other.From == v.From {
			v.VersionID = other.VersionID
			return nil
		}
	}
	if slices.ContainsFunc(p.scheme.Versions, func(other rules.Version) bool { return other.VersionID == v.VersionID && other.From != v.From }) {
		v.VersionID = "IIF-" + v.From.String()
	}
	return nil
}

// Codes begin with a letter, so that what is named by a version and a code is named once.
var (
	codeForm  = regexp.MustCompile(`^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$`)
	fieldForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,39}$`)
)

func (p *placing) indicator(i *rules.Indicator) error {
	version, err := p.of("indicator.version_id", i.VersionID)
	if err != nil {
		return err
	}
	binary, undefined := i.Kind == rules.Binary, i.Kind == rules.Undefined
	for _, rule := range []struct {
		holds       bool
		field, rule string
	}{
		{codeForm.MatchString(i.Code), "indicator.indicator_code", "capital letters and digits that begin with a letter, in parts joined by hyphens"},
		{i.Name != "", "indicator.name", "it has a name"},
		{i.Area != "", "indicator.area", "it has an area"},
		{i.Kind != "", "indicator.kind", "say how it is measured"},
		{undefined == (i.Confidence == working.Unknown), "indicator.kind", "it is undefined exactly where the confidence is unknown"},
		{undefined || (i.Direction == "") == binary, "indicator.direction", "it is left out exactly for a question of yes or no"},
		{i.Status != "" && i.Status != rules.Overridden, "indicator.status", "active, suspended, deferred or retired"},
		{i.ReplacedBy == "" || i.Status == rules.Retired, "indicator.replaced_by", "it is for an indicator that is retired"},
		{i.NumeratorFrom != rules.NoFeed, "indicator.numerator_from", "say where the numerator comes from"},
		{binary == (i.NumeratorFrom == rules.Tick), "indicator.numerator_from", "a tick exactly for a question of yes or no"},
		{binary == (i.DenominatorFrom == rules.NoFeed), "indicator.denominator_from", "it is left out exactly for a question of yes or no"},
		{i.DenominatorFrom != rules.Tick, "indicator.denominator_from", "a tick has no denominator"},
	} {
		if !rule.holds {
			return subjectInvalid(rule.field, rule.rule)
		}
	}
	if i.ReplacedBy != "" {
		if by := p.indicatorOf(i.VersionID, i.ReplacedBy); by == nil || by.Code == i.Code || by.Status != rules.Active {
			return subjectInvalid("indicator.replaced_by", fmt.Sprintf("%s assesses no %s: enter that indicator first", i.VersionID, money.Clip(i.ReplacedBy)))
		}
	}
	if err := p.days(i, version); err != nil {
		return err
	}
	if err := p.extractName(i); err != nil {
		return err
	}
	if err := fields(i); err != nil {
		return err
	}
	return p.namesInYear(i)
}

// namesInYear holds that files of the year can still be read: they go by the indicators of all its versions.
func (p *placing) namesInYear(i *rules.Indicator) error {
	others := slices.DeleteFunc(indicatorsOf(p.scheme, p.query.Commissioner, p.year), func(held rules.Indicator) bool {
		return held.VersionID == i.VersionID && held.Code == i.Code
	})
	if _, err := feed.NewNames(p.year, append(others, *i), nil); err != nil {
		return fault.New(fault.Invalid, reasonFigureSubjectInvalid, "no file of %s could be read beside the other versions: %v", p.year, err).
			At("indicator", "measured as in the other versions of the year, or under another code")
	}
	return nil
}

// days holds that an indicator is counted and judged within its year.
func (p *placing) days(i *rules.Indicator, version *rules.Version) error {
	first, last := version.Year.First().First(), version.Year.Last().Last()
	for n, day := range append([]period.Date{i.CountsFrom}, i.JudgedOn...) {
		field := "indicator.counts_from"
		if n > 0 {
			field = fmt.Sprintf("indicator.judged_on[%d]", n-1)
		} else if day.IsZero() {
			continue
		}
		if day.Before(first) || day.After(last) {
			return notOfYear(field, day, version.Year)
		}
	}
	return nil
}

// extractName refuses a name of the extract that is another indicator's of the version: counts would be of either.
func (p *placing) extractName(i *rules.Indicator) error {
	for _, other := range rules.IndicatorsOf(p.scheme, p.query, i.VersionID) {
		if other.Code == i.Code {
			continue
		}
		if i.CQRSCode != "" && (i.CQRSCode == other.CQRSCode || i.CQRSCode == other.Code) || i.Code == other.CQRSCode {
			return subjectInvalid("indicator.cqrs_code", "extracts name "+other.Code+" so")
		}
	}
	return nil
}

// fields refuses names that cannot be the extract's, and one that stands twice: its patients would leave twice.
func fields(i *rules.Indicator) error {
	seen := make(map[string]bool)
	for _, part := range []struct {
		name   string
		fields []string
	}{{"indicator.exclusions", i.Exclusions}, {"indicator.adjustments", i.Adjustments}} {
		for n, field := range part.fields {
			at := fmt.Sprintf("%s[%d]", part.name, n)
			if !fieldForm.MatchString(field) {
				return subjectInvalid(at, "a short name of the extract: capital letters, digits and underscores")
			}
			if seen[field] {
				return fault.New(fault.Invalid, rules.ReasonFieldMisplaced, "%s: %s stands twice", at, field).At(at, "each field once, as exclusion or as adjustment")
			}
			seen[field] = true
		}
	}
	return nil
}

// override holds that a share is one, and of an indicator of the year. One without a share withdraws what stands.
func (p *placing) override(o *rules.Override) error {
	if err := p.ofYear("override.indicator_code", o.Code); err != nil {
		return err
	}
	if o.Share.Value == nil {
		if rules.OverrideOf(p.scheme, p.query, o.Code) == nil {
			return fault.New(fault.Invalid, reasonFigureValueRequired, "%s has no override in %s that could be withdrawn: give the share", o.Code, p.year).
				At("override.share_of_points", "from 0 to 1")
		}
		return nil
	}
	return within("override.share_of_points", o.Share.Value, 0, 1)
}

// run holds the days of a run to their order, and to the two years after the one that it pays.
func (p *placing) run(r *rules.Run) error {
	if (r.Kind == rules.PaymentRun) == r.ApproveBy.IsZero() {
		return subjectInvalid("payment_run.approve_by", "a run has a last day of approval, and a deadline has none")
	}
	if err := r.Check(); err != nil {
		return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "a run cannot pay on %s what is approved by %s", r.PayOn, r.ApproveBy).
			At("payment_run.pay_on", "not before approve_by")
	}
	// A year that is late may still be paid: what lies within a year from now is no slip of the pen.
	first, last := p.year.Last().Last().AddDays(1), p.year.Last().Add(24).Last()
	if soon := p.today.Month().Add(12).Last(); soon.After(last) {
		last = soon
	}
	for _, day := range []struct {
		field string
		day   period.Date
	}{{"payment_run.approve_by", r.ApproveBy}, {"payment_run.pay_on", r.PayOn}} {
		if !day.day.IsZero() && (day.day.Before(first) || day.day.After(last)) {
			return fault.New(fault.Invalid, reasonFigurePeriodInvalid, "%s: %s is paid after it is over: %s does not lie from %s to %s", day.field, p.year,
				day.day, first, last).At(day.field, fmt.Sprintf("from %s to %s", first, last))
		}
	}
	return nil
}
