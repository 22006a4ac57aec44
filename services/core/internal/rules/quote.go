package rules

import (
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Stream is one payment over one period, as a quotation asks about it.
type Stream struct {
	PaymentCode string
	Terms       []Term
	Instalments int
	Convention  Convention
	// FirstInstalments are paid together at first; 0 means 1.
	FirstInstalments int
	// PartInstalments are told apart from the rest; 0 means none.
	PartInstalments int
}

// Quotation is what a stream comes to.
type Quotation struct {
	// Instalments in pence, in order.
	Instalments []money.Pence
	// First is the first payment: the instalments paid together.
	First money.Pence
	// Remaining is the number of instalments after the first payment.
	Remaining int
	// Total is the sum of the instalments, and Part and Rest are those of the instalments told apart and of the others.
	Total, Part, Rest money.Pence
	// UnroundedGBP is rate × population for the period, and RoundedOnce the same rounded half up once.
	UnroundedGBP *big.Rat
	RoundedOnce  money.Pence
	// Population of the first term.
	Population *big.Rat
	// Working of the first instalment.
	Working *working.Working
}

// Quote tells what a stream comes to, instalment by instalment.
func Quote(s Stream) (*Quotation, error) {
	if max(s.FirstInstalments, s.PartInstalments) > s.Instalments || min(s.FirstInstalments, s.PartInstalments) < 0 {
		return nil, fault.New(fault.Invalid, ReasonQuoteIncomplete,
			"%s has %d instalments, of which %d cannot be paid at first or %d told apart",
			s.PaymentCode, s.Instalments, s.FirstInstalments, s.PartInstalments)
	}
	q := &Quotation{Instalments: make([]money.Pence, max(s.Instalments, 0))}
	first, steps, err := s.instalment(1)
	if err != nil {
		return nil, err
	}
	for n := range q.Instalments {
		q.Instalments[n] = first
	}
	if s.Convention == ResidualLast {
		if q.Instalments[s.Instalments-1], _, err = s.instalment(s.Instalments); err != nil {
			return nil, err
		}
	}
	together := max(s.FirstInstalments, 1)
	q.Remaining, q.Working = s.Instalments-together, steps
	if q.First, err = money.Sum(q.Instalments[:together]...); err != nil {
		return nil, err
	}
	if q.Part, err = money.Sum(q.Instalments[:s.PartInstalments]...); err != nil {
		return nil, err
	}
	if q.Rest, err = money.Sum(q.Instalments[s.PartInstalments:]...); err != nil {
		return nil, err
	}
	if q.Total, err = q.Part.Add(q.Rest); err != nil {
		return nil, err
	}
	q.UnroundedGBP, q.Population = wholePeriod(s.Terms, s.Instalments), s.Terms[0].Population.Total()
	q.RoundedOnce, err = money.RoundHalfUp(q.UnroundedGBP)
	return q, err
}

func (s *Stream) instalment(number int) (money.Pence, *working.Working, error) {
	return Instalment(InstalmentInput{
		PaymentCode: s.PaymentCode, Terms: s.Terms, Instalments: s.Instalments, Number: number,
		Convention: s.Convention, Clause: s.PaymentCode,
	})
}

// Correction is what a back-dated change of a rate or a population comes to.
type Correction struct {
	// Before and After are the first instalments on the old and the new figures.
	Before, After money.Pence
	// PaidBefore was paid on the old figures, and PaidAfter is to pay on the new ones in the months that remain.
	PaidBefore, PaidAfter money.Pence
	// Arrears is the difference for the months already paid, negative where too much was paid.
	Arrears money.Pence
	// Next is the first payment after the change: an instalment with the arrears, or the arrears alone where none remains.
	Next money.Pence
	// WithoutArrears is PaidBefore with PaidAfter, and Total is what is due.
	WithoutArrears, Total money.Pence
}

// QuoteCorrection tells what a back-dated change comes to once some instalments were paid on the old figures: for each month
// already paid the difference between the new and the old instalment, paid with the next run.
func QuoteCorrection(before, after Stream, paid int) (*Correction, error) {
	if before.Instalments != after.Instalments {
		return nil, fault.New(fault.Invalid, ReasonQuoteIncomplete,
			"the same period has %d instalments before and %d after the change", before.Instalments, after.Instalments)
	}
	if paid < 0 || paid > before.Instalments {
		return nil, fault.New(fault.Invalid, ReasonQuoteIncomplete,
			"%d instalments cannot have been paid of %d", paid, before.Instalments)
	}
	before.PartInstalments, after.PartInstalments = paid, paid
	old, err := Quote(before)
	if err != nil {
		return nil, err
	}
	due, err := Quote(after)
	if err != nil {
		return nil, err
	}
	c := &Correction{
		Before: old.Instalments[0], After: due.Instalments[0],
		PaidBefore: old.Part, PaidAfter: due.Rest, Total: due.Total,
	}
	if c.Arrears, err = due.Part.Sub(old.Part); err != nil {
		return nil, err
	}
	c.Next = c.Arrears
	if paid < len(due.Instalments) {
		if c.Next, err = c.Arrears.Add(due.Instalments[paid]); err != nil {
			return nil, err
		}
	}
	if c.WithoutArrears, err = c.PaidBefore.Add(c.PaidAfter); err != nil {
		return nil, err
	}
	if check, err := c.WithoutArrears.Add(c.Arrears); err != nil || check != c.Total {
		return nil, fault.Bug("correction of %s: %d pence with arrears, but %d are due", before.PaymentCode, check, c.Total)
	}
	return c, nil
}

// Improvement is what the declared parts of the capacity and access improvement payment come to.
type Improvement struct {
	// Parts holds each declared part.
	Parts map[string]money.Pence
	// Amount is their sum, and Maximum what all parts would come to.
	Amount, Maximum money.Pence
}

// QuoteImprovement pays each declared part's full-year value, whenever in the year it was declared, rounded half up once.
func QuoteImprovement(adjusted *big.Rat, ratesGBP map[string]*big.Rat, declared []string) (*Improvement, error) {
	out := &Improvement{Parts: make(map[string]money.Pence, len(declared))}
	values := make(map[string]money.Pence, len(ratesGBP))
	for _, part := range slices.Sorted(maps.Keys(ratesGBP)) {
		pence, _, err := Instalment(InstalmentInput{
			PaymentCode: part, Instalments: 1, Number: 1,
			Terms: []Term{{RateGBP: ratesGBP[part], Population: Population{Value: adjusted}}},
		})
		if err != nil {
			return nil, err
		}
		values[part] = pence
		if out.Maximum, err = out.Maximum.Add(pence); err != nil {
			return nil, err
		}
	}
	for _, part := range declared {
		pence, known := values[part]
		if _, twice := out.Parts[part]; !known || twice {
			return nil, fault.New(fault.Invalid, ReasonDeclarationPartUnknown,
				"part %q is declared twice or has no rate", money.Clip(part)).With("part", money.Clip(part))
		}
		out.Parts[part] = pence
		// Parts that sum to no more than the maximum cannot overflow.
		out.Amount += pence
	}
	return out, nil
}

// PerHead adds up rates. The sum is a label for comparison: its parts rest on different populations.
func PerHead(ratesGBP map[string]*big.Rat) *big.Rat {
	sum := new(big.Rat)
	for _, rate := range ratesGBP {
		sum.Add(sum, rate)
	}
	return sum
}

// ServiceHours is the least weekly service: minutes per 1,000 patients of the population, and the same in hours to the
// nearest quarter (2019/20 specification, section 4.6; 30 minutes for extended hours, 60 for enhanced access).
func ServiceHours(population, minutesPer1000 *big.Rat) (minutes, hours *big.Rat) {
	minutes = new(big.Rat).Mul(population, minutesPer1000)
	minutes.Quo(minutes, big.NewRat(1000, 1))
	quarters := money.Round(new(big.Rat).Quo(minutes, big.NewRat(15, 1)), money.HalfUp, 0)
	return minutes, quarters.Quo(quarters, big.NewRat(4, 1))
}

// ImpliedPopulation is the population that a national sum and a rate imply, rounded half up to the nearest thousand.
func ImpliedPopulation(nationalGBP, rateGBP *big.Rat) (int64, error) {
	if rateGBP.Sign() <= 0 {
		return 0, fault.New(fault.Invalid, ReasonDecimalMalformed, "a rate of %s implies no population", money.Format(rateGBP))
	}
	thousands := new(big.Rat).Quo(nationalGBP, rateGBP)
	thousands = money.Round(thousands.Quo(thousands, big.NewRat(1000, 1)), money.HalfUp, 0)
	people := new(big.Int).Mul(thousands.Num(), big.NewInt(1000))
	if !people.IsInt64() {
		return 0, fault.New(fault.Invalid, ReasonAmountOverflow, "the implied population is beyond what can be held")
	}
	return people.Int64(), nil
}
