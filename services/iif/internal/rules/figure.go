package rules

import (
	"cmp"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// England is the code under which figures and settings hold for every commissioner.
const England = "england"

// Figure says where one row of a table comes from and since when it is known.
type Figure struct {
	ID         string
	Source     string
	Confidence working.Confidence
	// KnownFrom is the day from which the row was known in the world, and KnownFromBasis says how that is known.
	KnownFrom      period.Date
	KnownFromBasis string
	Note           string
	// CommissionerCode is England, or the commissioner that entered the figure for its own networks.
	CommissionerCode string
	// Position is the order in which figures were recorded; 0 where that is not known.
	Position int64
}

// The ways in which the day is known from which a figure was known.
const (
	// KnownByPublication means that the figure was published on the day.
	KnownByPublication = "publication"
	// KnownByPublicationMonth means that only the month of publication is known, and its last day stands for it.
	KnownByPublicationMonth = "publication_month"
	// KnownByEffectiveDate means that the day of publication is not known, and the first day of the period stands for it.
	KnownByEffectiveDate = "effective_date"
	// KnownByEntry means that a person entered the figure on the day.
	KnownByEntry = "entry"
)

func (f *Figure) origin() working.Origin {
	return working.Origin{Kind: working.FromRate, Ref: f.ID, Source: f.Source, Confidence: f.Confidence}
}

// knownTo tells whether a row counts for who asks on a day; no day counts everything.
func (f *Figure) knownTo(q Query) bool {
	return q.holds(f.CommissionerCode) && (q.Known.IsZero() || !f.KnownFrom.After(q.Known))
}

// governing returns the row that holds, of rows of one figure; nil of none. It is a body's own before England's, of those the
// one that became known last, and of one day the one recorded last, whatever the order in which they are loaded. So a figure that was
// changed to one that nobody knows is refused. A candidate takes the place only of what was not known before it.
func governing[R any](rows []*R, figure func(*R) *Figure) *R {
	var stands, candidate *R
	for _, row := range rows {
		best := &stands
		if figure(row).Confidence == working.Candidate {
			best = &candidate
		}
		if *best == nil || figure(row).follows(figure(*best)) {
			*best = row
		}
	}
	if candidate != nil && (stands == nil || (!figure(stands).Confidence.Payable() && figure(candidate).follows(figure(stands)))) {
		return candidate
	}
	return stands
}

func (f *Figure) follows(g *Figure) bool {
	if own := f.CommissionerCode != England; own != (g.CommissionerCode != England) {
		return own
	}
	return cmp.Or(f.KnownFrom.Compare(g.KnownFrom), cmp.Compare(f.Position, g.Position), cmp.Compare(f.ID, g.ID)) > 0
}

// ListKind is how the patients of a list are counted.
type ListKind string

// The kinds.
const (
	RegisteredList ListKind = "registered"
	AdjustedList   ListKind = "adjusted"
	WeightedList   ListKind = "weighted"
)

// List says which list a number of patients is of; what is not known is empty.
type List struct {
	Kind ListKind
	On   period.Date
}

// Field names a figure of the scheme that someone may state, confirm or correct.
type Field string

// The fields. The first belongs to a version, the next to a year, the rest to an indicator.
const (
	// PriceField is pounds for one point.
	PriceField Field = "gbp_per_point"
	// AverageField is the national average list of a network, in patients.
	AverageField Field = "national_average_list_size"
	// PrevalenceField is the national prevalence of an indicator, percent of the list.
	PrevalenceField Field = "national_prevalence_percent"
	PointsField     Field = "points"
	// LowerField and UpperField are the thresholds, in the unit that the indicator is measured in.
	LowerField Field = "lower_threshold"
	UpperField Field = "upper_threshold"
	// PrevalentField is 1 where the prevalence adjustment applies and 0 where it does not.
	PrevalentField Field = "prevalence_adjusted"
)

// wants tells what is said of a figure that is missing, and of one that waits for its confirmation.
func (f Field) wants() (words, unknown, unconfirmed string) {
	switch f {
	case PriceField:
		return "price of a point", ReasonPriceUnknown, ReasonPriceNotConfirmed
	case AverageField:
		return "national average list size", ReasonAverageUnknown, ReasonAverageNotConfirmed
	case PrevalenceField:
		return "national prevalence", ReasonPrevalenceUnknown, ReasonPrevalenceNotConfirmed
	case PointsField:
		return "points available", ReasonPointsUnknown, ReasonPointsNotConfirmed
	case LowerField:
		return "lower threshold", ReasonThresholdUnknown, ReasonThresholdNotConfirmed
	case UpperField:
		return "upper threshold", ReasonThresholdUnknown, ReasonThresholdNotConfirmed
	case PrevalentField:
		return "rule whether prevalence adjusts the payment", ReasonPrevalenceRuleUnknown, ReasonPrevalenceRuleUnconfirmed
	default:
		return string(f), ReasonFigureInvalid, ReasonFigureInvalid
	}
}

// Key says which figure a value is.
type Key struct {
	Year period.FinancialYear
	// VersionID is empty for figures of a year: the average list and the national prevalence.
	VersionID string
	// Code is the indicator's, empty for the price and the average list.
	Code  string
	Field Field
}

func (k Key) words() string {
	words, _, _ := k.Field.wants()
	if k.Code != "" {
		words += " of " + k.Code
	}
	if k.VersionID != "" {
		return words + " in " + k.VersionID
	}
	return words + " in " + k.Year.String()
}

// Value is one version of a figure: of the tables, or entered by a person.
type Value struct {
	Figure
	Key
	// Amount is nil while unknown.
	Amount *big.Rat
	// List is of which list an average is; empty for other figures, and where it was not found.
	List List
}

// check tells whether a figure makes sense at all.
func (v *Value) check() *fault.Fault {
	bad := v.Amount.Sign() < 0
	switch v.Field {
	case AverageField, PrevalenceField:
		bad = v.Amount.Sign() == 0 || bad
	case PrevalentField:
		bad = v.Amount.Sign() != 0 && v.Amount.Cmp(one) != 0
	case LowerField, UpperField:
		bad = false // a change may fall
	case PriceField, PointsField:
	}
	if bad {
		return fault.New(fault.Invalid, ReasonFigureInvalid, "the %s cannot be %s", v.words(), v.Amount.RatString()).With("figure", v.ID)
	}
	return nil
}

// Held is the value that governs a key, or its absence.
type Held struct {
	Key   Key
	Value *Value
}

// need refuses by name a figure that nobody knows, or nobody has confirmed.
func (h *Held) need() *fault.Fault {
	_, unknown, unconfirmed := h.Key.Field.wants()
	switch {
	case h.Value == nil || h.Value.Amount == nil:
		return missing(unknown, h.Key.words(), "enter the figure with its source")
	case !h.Value.Confidence.Payable():
		return missing(unconfirmed, h.Key.words(), "confirm candidate "+h.Value.ID+", or enter the figure with its source")
	}
	return h.Value.check()
}

// input notes the figure in a working.
func (h *Held) input(b *working.Builder, unit string) working.Term {
	words, _, _ := h.Key.Field.wants()
	return b.Input(words, h.Value.Amount, unit, h.Value.origin())
}

// Meta keys of a refusal for want of a figure.
const (
	metaMissing = "missing"
	metaRemedy  = "remedy"
)

// missing refuses by name what cannot be decided for want of a figure or a fact.
func missing(reason, what, remedy string) *fault.Fault {
	return fault.New(fault.Refused, reason, "%s missing: %s", what, remedy).With(metaMissing, what).With(metaRemedy, remedy)
}

// Given is a quantity that the caller states, with where it came from.
type Given struct {
	Value  *big.Rat // nil while it is not stated
	Origin working.Origin
}

var (
	nothing = new(big.Rat)
	one     = big.NewRat(1, 1)
	hundred = big.NewRat(100, 1)
)

func whole(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func contract() working.Origin { return working.Origin{Kind: working.FromContract} }
