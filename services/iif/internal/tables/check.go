package tables

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// check holds the tables as a whole: identifiers are unique, versions of a year follow one another without a gap to 31 March,
// thresholds are in the order of the direction, points keep to what was published, and rows of a year name its indicators.
func check(s *rules.Scheme) []error {
	c := checking{scheme: s, ids: make(map[string]bool), values: make(map[rules.Key]*rules.Value)}
	for i := range s.Versions {
		c.row(s.Versions[i].ID)
		c.follows(i)
	}
	for i := range s.Indicators {
		c.row(s.Indicators[i].ID)
	}
	for i := range s.Values {
		v := &s.Values[i]
		c.row(v.ID)
		if c.values[v.Key] != nil {
			c.fail("%s and %s are one figure", v.ID, c.values[v.Key].ID)
		}
		c.values[v.Key] = v
	}
	for i := range s.Overrides {
		c.row(s.Overrides[i].ID)
		c.ofYear(s.Overrides[i].ID, rules.Key{Year: s.Overrides[i].Year, Code: s.Overrides[i].Code})
	}
	for i := range s.Calendar {
		c.row(s.Calendar[i].ID)
		c.oneRun(i)
	}
	for i := range s.Fields {
		c.row(s.Fields[i].ID)
	}
	for i := range s.Values {
		if v := &s.Values[i]; v.Field == rules.PrevalenceField {
			c.ofYear(v.ID, v.Key)
		}
	}
	for i := range s.Indicators {
		c.thresholds(&s.Indicators[i])
		c.replaced(&s.Indicators[i])
	}
	for i := range s.Versions {
		c.points(&s.Versions[i])
	}
	slices.SortFunc(c.wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c.wrong
}

type checking struct {
	scheme *rules.Scheme
	ids    map[string]bool
	values map[rules.Key]*rules.Value
	wrong  []error
}

func (c *checking) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

func (c *checking) row(id string) {
	if c.ids[id] {
		c.fail("%s stands twice", id)
	}
	c.ids[id] = true
}

// follows holds that a version begins the day after the one before it, or begins a year's scheme after a year that ran to its end.
func (c *checking) follows(i int) {
	v := &c.scheme.Versions[i]
	if i == 0 {
		return
	}
	before := &c.scheme.Versions[i-1]
	if before.To.AddDays(1) != v.From {
		c.fail("%s does not follow %s", v.ID, before.ID)
	}
}

// oneRun holds that a year has one run in a month and one deadline, because another would correct it.
func (c *checking) oneRun(i int) {
	run := &c.scheme.Calendar[i]
	for n := range i {
		other := &c.scheme.Calendar[n]
		if run.Year == other.Year && run.Kind == other.Kind && (run.Kind == rules.PaymentDeadline || run.PayOn.Month() == other.PayOn.Month()) {
			c.fail("%s and %s are one run", other.ID, run.ID)
		}
	}
}

// ofYear holds that a row of a year names an indicator of it.
func (c *checking) ofYear(id string, key rules.Key) {
	for i := range c.scheme.Indicators {
		row := &c.scheme.Indicators[i]
		if row.Code == key.Code && c.version(row.VersionID).Year == key.Year {
			return
		}
	}
	c.fail("%s is of %q, which is not an indicator of %s", id, key.Code, key.Year)
}

func (c *checking) version(id string) *rules.Version {
	i := slices.IndexFunc(c.scheme.Versions, func(v rules.Version) bool { return v.VersionID == id })
	return &c.scheme.Versions[i]
}

func (c *checking) value(i *rules.Indicator, field rules.Field) *big.Rat {
	v := c.values[rules.Key{Year: c.version(i.VersionID).Year, VersionID: i.VersionID, Code: i.Code, Field: field}]
	if v == nil {
		return nil
	}
	return v.Amount
}

func (c *checking) thresholds(i *rules.Indicator) {
	lower, upper := c.value(i, rules.LowerField), c.value(i, rules.UpperField)
	if lower == nil || upper == nil {
		if lower != upper {
			c.fail("%s has one threshold of two", i.ID)
		}
		return
	}
	if _, err := rules.Share(i.Direction, lower, upper, lower); err != nil {
		c.fail("%s: %w", i.ID, err)
	}
}

func (c *checking) replaced(i *rules.Indicator) {
	if i.ReplacedBy == "" {
		return
	}
	by := slices.ContainsFunc(c.scheme.Indicators, func(o rules.Indicator) bool {
		return o.VersionID == i.VersionID && o.Code == i.ReplacedBy && o.Status == rules.Active
	})
	if i.Status != rules.Retired || !by {
		c.fail("%s is replaced by %s, which its version does not assess, or is not retired", i.ID, i.ReplacedBy)
	}
}

// points holds that points sum to what was published, where all are known, and to less where some are not; and that no more
// indicators pay than were published.
func (c *checking) points(v *rules.Version) {
	sum, known, paying := new(big.Rat), true, 0
	for i := range c.scheme.Indicators {
		row := &c.scheme.Indicators[i]
		if row.VersionID != v.VersionID || row.Status != rules.Active {
			continue
		}
		paying++
		points := c.value(row, rules.PointsField)
		if points == nil {
			known = false
			continue
		}
		sum.Add(sum, points)
	}
	if paying > v.PayingIndicators {
		c.fail("%s pays %d indicators, not %d", v.ID, paying, v.PayingIndicators)
	}
	if v.Points == nil {
		return
	}
	complete := known && paying == v.PayingIndicators
	if order := sum.Cmp(v.Points); order > 0 || (complete && !v.PointsAtMost && order != 0) || (!complete && order == 0) {
		c.fail("%s: points sum to %s of %s published", v.ID, sum.RatString(), v.Points.RatString())
	}
}
