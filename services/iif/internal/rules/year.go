package rules

import (
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// IndicatorCounts are the counts of one indicator of a network.
type IndicatorCounts struct {
	Code   string
	Counts Counts
}

// Year is what a year comes to for a network.
type Year struct {
	PCN       string
	VersionID string
	// Results of every indicator of the version, in its order.
	Results []Result
	// Due is the sum of the amounts due, Measured that of what the counts earned, and Points those due, also where their amount is
	// not known. They leave out what is refused: see Whole.
	Due, Measured money.Pence
	Points        *big.Rat
	// Working adds up Due; nil where nothing could be worked out.
	Working *working.Working
	// Available are the points of the indicators that pay; of those whose points are known.
	Available *big.Rat
	// Missing are indicators that pay and whose counts did not come or are hidden; the year cannot be declared before they have. A
	// national override is no exception: the measured result stands beside it.
	Missing []string
	// Refused names what is missing for amounts that are due.
	Refused []Refusal
	// Ignored are codes with counts that the version does not list.
	Ignored    []string
	Confidence working.Confidence
}

// Refusal is what could not be worked out, by indicator; no indicator for the version as a whole.
type Refusal struct {
	Code string
	Why  *fault.Fault
}

// Whole tells whether the sums leave nothing out.
func (y *Year) Whole() bool { return len(y.Missing) == 0 && len(y.Refused) == 0 }

// Find returns the result of an indicator.
func (y *Year) Find(code string) (*Result, bool) {
	for i := range y.Results {
		if y.Results[i].Code == code {
			return &y.Results[i], true
		}
	}
	return nil, false
}

// AssessYear works out every indicator of the version for a network; the year is the sum of the rounded amounts (example
// IIF-031). With cumulative counts it tells what the year would come to if it ended now. It does not depend on the order of the
// counts. It fails on counts of one indicator that stand twice.
func AssessYear(t *Terms, n *Network, counts []IndicatorCounts) (*Year, error) {
	return QuoteYear(t, n, counts, Quotation{})
}

// QuoteYear is AssessYear with adjustments that the caller states; its result is not for payment.
func QuoteYear(t *Terms, n *Network, counts []IndicatorCounts, q Quotation) (*Year, error) {
	byCode := make(map[string]*Counts, len(counts))
	for i := range counts {
		if byCode[counts[i].Code] != nil {
			return nil, fault.New(fault.Invalid, ReasonIndicatorTwice, "%s has counts twice", money.Clip(counts[i].Code)).With("code", money.Clip(counts[i].Code))
		}
		byCode[counts[i].Code] = &counts[i].Counts
	}
	y := &Year{
		PCN: n.PCN, VersionID: t.Version.VersionID, Results: make([]Result, 0, len(t.Indicators)),
		Points: new(big.Rat), Available: new(big.Rat),
	}
	if t.Incomplete != nil {
		y.Refused = append(y.Refused, Refusal{Why: t.Incomplete})
	}
	for i := range t.Indicators {
		it := &t.Indicators[i]
		result, err := Quote(t, it, n, byCode[it.Code], q)
		if err != nil {
			return nil, err
		}
		delete(byCode, it.Code)
		if err := y.add(it, result); err != nil {
			return nil, err
		}
	}
	y.Ignored = sortedKeys(byCode)
	y.total()
	return y, y.holds()
}

// uncounted tells whether counts are missing of the indicator, or hidden.
func (r *Result) uncounted() bool {
	at := &r.Tests[TestAchievement-1]
	return at.Outcome == Waits && (slices.Contains(at.Reasons, ReasonCountMissing) || slices.Contains(at.Reasons, ReasonCountSuppressed))
}

func (y *Year) add(it *IndicatorTerms, r *Result) error {
	y.Results = append(y.Results, *r)
	pays := r.Status == Active || r.Status == Overridden
	if pays && it.Points.Value != nil && it.Points.Value.Amount != nil && it.Points.Value.Confidence.Payable() {
		y.Available.Add(y.Available, it.Points.Value.Amount)
	}
	if pays && r.uncounted() {
		y.Missing = append(y.Missing, r.Code)
	}
	if r.Measured.Known() {
		var err error
		if y.Measured, err = y.Measured.Add(r.Measured.Amount); err != nil {
			return err
		}
	}
	if r.Due.Points != nil {
		y.Points.Add(y.Points, r.Due.Points)
	}
	if !r.Due.Known() {
		y.Refused = append(y.Refused, Refusal{r.Code, r.Due.Refused})
		return nil
	}
	y.Confidence = max(y.Confidence, r.Due.Confidence)
	var err error
	y.Due, err = y.Due.Add(r.Due.Amount)
	return err
}

// total notes how the amounts due add up.
func (y *Year) total() {
	b := new(working.Builder)
	b.Grow(len(y.Results), 1)
	terms := make([]working.Term, 0, len(y.Results))
	for i := range y.Results {
		if r := &y.Results[i]; r.Due.Known() {
			origin := working.Origin{Kind: working.FromLine, Ref: r.IndicatorID, Confidence: r.Due.Confidence}
			terms = append(terms, b.Input("payment "+r.Code, r.Due.Amount.GBP(), unitGBP, origin))
		}
	}
	if len(terms) == 0 {
		return
	}
	b.Step("payment of the year", working.Add, unitGBP, "IIF: the year is the sum of its indicators", terms...)
	y.Working = b.Done()
}

// holds asserts that the year is the sum of its indicators and earns no more than there is.
func (y *Year) holds() error {
	var sum money.Pence
	var err error
	for i := range y.Results {
		if r := &y.Results[i]; r.Due.Known() {
			if sum, err = sum.Add(r.Due.Amount); err != nil {
				return err
			}
		}
	}
	if sum != y.Due || y.Due < 0 || (y.Working != nil && y.Working.Result().Cmp(y.Due.GBP()) != 0) {
		return fault.Bug("the year of %s is not the sum of its indicators", y.PCN)
	}
	if y.Points.Cmp(y.Available) > 0 {
		return fault.Bug("the year of %s earns more points than there are", y.PCN)
	}
	return nil
}
