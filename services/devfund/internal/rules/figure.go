package rules

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Figure says where one statement of a figure comes from and since when it is known.
type Figure struct {
	ID         string
	Source     string
	Confidence working.Confidence
	// KnownFrom is the day from which the figure was known in the world, and KnownFromBasis says how that is known.
	KnownFrom      period.Date
	KnownFromBasis string
	Note           string
	// Position is the order in which figures were recorded; 0 where that is not known.
	Position int64
}

// The ways in which the day is known from which a figure was known.
const (
	// KnownByPublication means that the figure was published on the day.
	KnownByPublication = "publication"
	// KnownByPublicationMonth means that only the month of publication is known, and its last day stands for it.
	KnownByPublicationMonth = "publication_month"
	// KnownByEffectiveDate means that the day of publication is not known, and the first day of the year stands for it.
	KnownByEffectiveDate = "effective_date"
	// KnownByEntry means that a person entered the figure on the day.
	KnownByEntry = "entry"
)

func (f *Figure) origin() working.Origin {
	return working.Origin{Kind: working.FromRate, Ref: f.ID, Source: f.Source, Confidence: f.Confidence}
}

// Basis tells apart what statements of an amount say.
type Basis string

// The bases.
const (
	// Planned is a figure of planning guidance. It is never shared nor committed: of 2020/21 £45m were planned and £43.7m released.
	Planned Basis = "PLANNED"
	// Released is what was given.
	Released Basis = "RELEASED"
	// PCNShare is the locally set part of a combined fund that is for the development of networks.
	PCNShare Basis = "PCN_SHARE"
)

// Key says which amount a statement is of.
type Key struct {
	Year     period.FinancialYear
	FundCode string
	Basis    Basis
}

func (k Key) words() string {
	basis := map[Basis]string{Planned: "planned sum", Released: "released sum", PCNShare: "share for PCN development"}[k.Basis]
	return basis + " of " + k.FundCode + " in " + k.Year.String()
}

// Total is one statement of what a level of the hierarchy holds of a fund in a year, such as the nation.
type Total struct {
	Figure
	Key
	Name string
	// Combined is true of a fund that holds other money too; before its share is set, nothing of it is for networks.
	Combined bool
	// Amount is nil while unknown.
	Amount *money.Pence
}

// Need refuses by name an amount that nobody knows, or nobody has confirmed.
func (t *Total) Need() error {
	switch {
	case t.Amount == nil:
		return refuse(ReasonAmountUnknown, t.words(), "enter the amount with its source")
	case !t.Confidence.Payable():
		return refuse(ReasonAmountNotConfirmed, t.words(), "confirm candidate "+t.ID+", or enter the amount with its source").
			With("candidate_pence", int64(*t.Amount))
	}
	return nil
}

// Governing returns the statement of a key that holds, as known on a day, no day meaning now; nil of none. It is the one that became
// known last, and of one day the one recorded last, whatever the order. A candidate takes the place only of what was not known before it.
func Governing(all []Total, key Key, known period.Date) *Total {
	var stands, candidate *Total
	for i := range all {
		t := &all[i]
		if t.Key != key || (!known.IsZero() && t.KnownFrom.After(known)) {
			continue
		}
		best := &stands
		if t.Confidence == working.Candidate {
			best = &candidate
		}
		if *best == nil || t.follows(&(*best).Figure) {
			*best = t
		}
	}
	if candidate != nil && (stands == nil || (stands.Amount == nil && candidate.follows(&stands.Figure))) {
		return candidate
	}
	return stands
}

func (f *Figure) follows(g *Figure) bool {
	return cmp.Or(f.KnownFrom.Compare(g.KnownFrom), cmp.Compare(f.Position, g.Position), cmp.Compare(f.ID, g.ID)) > 0
}

// Usable returns what may be shared or committed of a fund, as known on a day: what was released, never what was planned, and of a
// combined fund only the share that is set for PCN development. It refuses by name what is not known, not confirmed or not set, and
// a share above what was released.
func Usable(all []Total, year period.FinancialYear, fund string, known period.Date) (Amount, error) {
	released := Governing(all, Key{year, fund, Released}, known)
	if released == nil {
		released = &Total{Key: Key{year, fund, Released}}
	}
	if err := released.Need(); err != nil {
		return Amount{}, err
	}
	share := Governing(all, Key{year, fund, PCNShare}, known)
	switch {
	case share == nil && released.Combined:
		return Amount{}, refuse(ReasonPCNShareNotSet, Key{year, fund, PCNShare}.words(), "set how much of "+released.Amount.String()+" is for PCN development").
			With("released_pence", int64(*released.Amount))
	case share == nil:
		return Amount{*released.Amount, released.origin()}, nil
	}
	if err := share.Need(); err != nil {
		return Amount{}, err
	}
	if *share.Amount > *released.Amount {
		return Amount{}, fault.New(fault.Invalid, ReasonAllocationExceeded, "the %s is %s, and %s were released", share.words(), *share.Amount, *released.Amount).
			With("share_pence", int64(*share.Amount)).With("released_pence", int64(*released.Amount))
	}
	return Amount{*share.Amount, share.origin()}, nil
}

// Portion is one statement of the leadership portion of a year, in percent.
type Portion struct {
	Figure
	Year period.FinancialYear
	// Percent is nil while unknown.
	Percent *big.Rat
}

// LeadershipPercent returns the portion for the leadership of clinical directors: what was decided, or the default of the year, which
// only 2019/20 has. It refuses a year that has none until one is entered, nothing without a reason after 2019/20, and a portion
// beyond 0 to 100.
func LeadershipPercent(year period.FinancialYear, decided Given, reason string, defaults []Portion) (Given, error) {
	if decided.Value == nil {
		i := slices.IndexFunc(defaults, func(p Portion) bool { return p.Year == year && p.Percent != nil && p.Confidence.Payable() })
		if i < 0 {
			return Given{}, refuse(ReasonLeadershipPercentMissing, "leadership percentage of "+year.String(), "enter what was decided; nothing is an answer that needs a reason")
		}
		return Given{defaults[i].Percent, defaults[i].origin()}, nil
	}
	if decided.Value.Sign() < 0 || decided.Value.Cmp(hundred) > 0 {
		return Given{}, fault.New(fault.Invalid, ReasonMethodMalformed, "%s percent for leadership is not between 0 and 100", money.Format(decided.Value))
	}
	if decided.Value.Sign() == 0 && year >= leadershipDecidedFrom && strings.TrimSpace(reason) == "" {
		return Given{}, refuse(ReasonLeadershipReasonMissing, "reason why nothing is set aside for leadership in "+year.String(), "give the reason")
	}
	return decided, nil
}

// Average is what a sum, or a percentage of it, comes to for each of n receivers, in pence half up. It is a check of plausibility, and
// pays nobody (example DF-002). A percentage that is not stated is the whole.
func Average(sum Amount, percent Given, n int64) (money.Pence, *working.Working, error) {
	const clause = "average, for plausibility only"
	if n <= 0 {
		return 0, nil, fault.New(fault.Invalid, ReasonNoReceivers, "an average is of at least one receiver")
	}
	b := new(working.Builder)
	term := b.Input("sum", sum.Pence.GBP(), "GBP", sum.Origin)
	if percent.Value != nil {
		rate, whole := b.Input("percent", percent.Value, "percent", percent.Origin), b.Input("the whole", hundred, "percent", contract())
		share := b.Step("share", working.Divide, "share", clause, rate, whole)
		term = b.Step("portion", working.Multiply, "GBP", clause, term, share)
	}
	exact := b.Step("exact average", working.Divide, "GBP", clause, term, b.Input("receivers", big.NewRat(n, 1), "receiver", contract()))
	average, err := money.RoundHalfUp(exact.Value)
	if err != nil {
		return 0, nil, err
	}
	b.Round("average", money.HalfUp, pencePlaces, "GBP", clause, exact)
	return average, b.Done(), nil
}
