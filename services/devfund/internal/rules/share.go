package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Kind is how a pool is shared.
type Kind string

// The kinds. None is national: how a system shares is its own recorded decision.
const (
	// Equal gives every receiver the same.
	Equal Kind = "EQUAL"
	// PerHead shares by patients of the method's list.
	PerHead Kind = "PER_HEAD"
	// FlatPlusPerHead gives every receiver a flat sum, and shares the rest by patients.
	FlatPlusPerHead Kind = "FLAT_PLUS_PER_HEAD"
	// NeedIndex shares by patients × a local index of need.
	NeedIndex Kind = "NEED_INDEX"
	// Bid gives what was approved of each receiver's bid, and holds back what is left.
	Bid Kind = "BID"
)

// List is how the patients of a receiver are counted.
type List string

// The lists.
const (
	RegisteredList List = "REGISTERED"
	WeightedList   List = "WEIGHTED"
	AdjustedList   List = "ADJUSTED"
)

func (l List) words() (name, unit string) {
	name = strings.ToLower(string(l)) + " patients"
	return name, strings.ToLower(string(l)) + "_patient"
}

// Method is how a pool is shared, with its parameters.
type Method struct {
	Kind Kind
	// List is whose patients count, for the kinds that count patients.
	List List
	// Flat is what each receiver gets first, for FlatPlusPerHead.
	Flat Amount
}

// Words say how a pool is shared, for people.
func (m *Method) Words() string {
	patients, _ := m.List.words()
	switch m.Kind {
	case Equal:
		return "the same for each"
	case PerHead:
		return "per head of " + patients
	case FlatPlusPerHead:
		return m.Flat.Pence.String() + " for each, the rest per head of " + patients
	case NeedIndex:
		return "per head of " + patients + " × index of need"
	case Bid:
		return "bids as approved"
	default:
		return ""
	}
}

// Amount is a sum that the caller states, with where it came from.
type Amount struct {
	Pence  money.Pence
	Origin working.Origin
}

// Given is a quantity that the caller states, with where it came from.
type Given struct {
	Value  *big.Rat // nil while it is not stated
	Origin working.Origin
}

// Receiver is one of those a pool is shared among, with the facts that methods weigh it by. Only those of the method are needed.
type Receiver struct {
	Code string
	// Registered, Weighted and Adjusted are patients.
	Registered, Weighted, Adjusted Given
	// NeedIndex is 1 where it is not stated.
	NeedIndex Given
	// Bid is what was approved; nil while nothing is.
	Bid *Amount
}

func (r *Receiver) list(l List) Given {
	switch l {
	case RegisteredList:
		return r.Registered
	case WeightedList:
		return r.Weighted
	case AdjustedList:
		return r.Adjusted
	default:
		return Given{}
	}
}

// Part is what one receiver gets.
type Part struct {
	Code   string
	Amount money.Pence
	// Weight is what the receiver was weighed by, nil for bids; 1 where all are equal.
	Weight *big.Rat
	// Exact is the share in pounds before it was rounded down and given a penny of what that left.
	Exact   *big.Rat
	Working *working.Working
}

// Confidence is that of the worst founded figure behind the part.
func (p *Part) Confidence() working.Confidence { return p.Working.Confidence() }

// Shared is a pool shared out: slices, parts and what is held back come to the pool exactly.
type Shared struct {
	Pool   money.Pence
	Method Method
	// Slices were taken off first, in the order leadership, system, place; only those that the pool states.
	Slices []Slice
	// ToShare is the pool less its slices.
	ToShare money.Pence
	// Parts are in order of code.
	Parts []Part
	// Weight is the sum of the weights of the parts; nil for bids.
	Weight *big.Rat
	// HeldBack is what no bid took; nothing for other methods.
	HeldBack        money.Pence
	HeldBackWorking *working.Working
}

// Part returns what a receiver gets.
func (s *Shared) Part(code string) (*Part, bool) {
	i, found := slices.BinarySearchFunc(s.Parts, code, func(p Part, code string) int { return cmp.Compare(p.Code, code) })
	if !found {
		return nil, false
	}
	return &s.Parts[i], true
}

const (
	clauseShare  = "PCN development fund: local decision how the pool is shared"
	clauseFlat   = "PCN development fund: flat sum first, the rest per head"
	clauseNeed   = "PCN development fund: list × local index of need"
	clauseDown   = "pool split: exact share down to the penny"
	clausePenny  = "pool split: pennies left go one each to the largest remainders, of equal ones to the lower code"
	clauseBid    = "PCN development fund: bid as approved"
	pencePlaces  = 2
	mostOperands = 1000
)

var (
	nothing = new(big.Rat)
	one     = big.NewRat(1, 1)
	hundred = big.NewRat(100, 1)
	penny   = big.NewRat(1, 100)
)

func contract() working.Origin { return working.Origin{Kind: working.FromContract} }

// Share takes the slices off a pool and shares what is left (development fund, sections 2.4 and 4; examples DF-001 to DF-005 and
// DF-008). A share is rounded down to the penny, and the pennies left go one each to the largest remainders, of equal ones to the
// lower code. The order of the receivers changes nothing, and every part has its working from the pool to the penny.
//
// Another receiver never raises anybody's exact share, and the pence of a share by no more than the one penny that the
// largest-remainder method may move.
//
// It refuses, by name and with the figures: no receivers, one that stands twice or has no code, a pool, a percentage, a weight, a flat sum or
// a bid below nothing, percentages above 100, flat sums or bids above what there is to share, patients or bids that are not
// stated, and weights that are all nothing.
func Share(pool *Pool, method Method, receivers []Receiver) (*Shared, error) {
	rows, err := ordered(receivers)
	if err != nil {
		return nil, err
	}
	c, err := pool.cut()
	if err != nil {
		return nil, err
	}
	out := &Shared{Pool: pool.Pence, Method: method, Slices: c.slices, ToShare: c.left}
	switch method.Kind {
	case Bid:
		err = out.bids(c, rows)
	case Equal, PerHead, FlatPlusPerHead, NeedIndex:
		err = out.weigh(c, rows)
	default:
		err = fault.New(fault.Invalid, ReasonMethodMalformed, "%q is not a way to share a pool", money.Clip(string(method.Kind)))
	}
	if err != nil {
		return nil, err
	}
	return out, out.check()
}

// ordered returns the receivers in order of code, each once.
func ordered(receivers []Receiver) ([]Receiver, error) {
	if len(receivers) == 0 {
		return nil, fault.New(fault.Invalid, ReasonNoReceivers, "a pool is shared among at least one receiver")
	}
	rows := slices.Clone(receivers)
	slices.SortFunc(rows, func(a, b Receiver) int { return cmp.Compare(a.Code, b.Code) })
	for i := range rows {
		switch code := rows[i].Code; {
		case code == "":
			return nil, fault.New(fault.Invalid, ReasonMethodMalformed, "a receiver has no code")
		case i > 0 && code == rows[i-1].Code:
			return nil, fault.New(fault.Invalid, ReasonReceiverTwice, "%s stands twice among the receivers", code).With("receiver", code)
		}
	}
	return rows, nil
}

// check holds that nothing of the pool is lost or made.
func (s *Shared) check() error {
	amounts := make([]money.Pence, 0, len(s.Slices)+len(s.Parts)+1)
	for i := range s.Slices {
		amounts = append(amounts, s.Slices[i].Amount)
	}
	for i := range s.Parts {
		amounts = append(amounts, s.Parts[i].Amount)
	}
	sum, err := money.Sum(append(amounts, s.HeldBack)...)
	if err != nil {
		return err
	}
	if sum != s.Pool {
		return fault.Bug("%d pence are shared of a pool of %d", sum, s.Pool)
	}
	return nil
}

// weighed is a receiver with its weight, and its working so far; the term is none where all are equal.
type weighed struct {
	code   string
	weight *big.Rat
	own    working.Builder
	term   working.Term
	unit   string
	exact  working.Term
}

// weigh shares what is left by the weights of the method.
func (s *Shared) weigh(c *cut, rows []Receiver) error {
	rest, flat, err := s.flats(c, len(rows))
	if err != nil {
		return err
	}
	entries, err := s.Method.entries(rows)
	if err != nil {
		return err
	}
	return s.byWeight(c, entries, rest, flat)
}

// byWeight shares the rest by weight, and explains every part.
func (s *Shared) byWeight(c *cut, entries []weighed, rest remainder, flat working.Term) error {
	weights := make([]*big.Rat, len(entries))
	for i := range entries {
		weights[i] = entries[i].weight
	}
	amounts, err := money.Allocate(rest.amount, weights)
	if fault.ReasonOf(err) == money.ReasonNoWeight {
		return fault.New(fault.Invalid, ReasonNoWeight, "%s cannot be shared: nobody has a weight", rest.amount).With("pool_pence", int64(rest.amount))
	}
	if err != nil {
		return err
	}
	s.Weight = total(weights)
	places, over, err := s.places(c, entries, rest)
	if err != nil {
		return err
	}
	s.Parts = make([]Part, len(entries))
	for i := range entries {
		e := &entries[i]
		s.Parts[i] = Part{Code: e.code, Weight: e.weight}
		if s.Parts[i].Amount, err = amounts[i].Add(s.Method.flat()); err != nil {
			return err
		}
		s.explain(&s.Parts[i], e, c, flat, places[i], over)
		if s.Parts[i].Working.Result().Cmp(s.Parts[i].Amount.GBP()) != 0 {
			return fault.Bug("the working of %s gives other pence than its share", e.code)
		}
	}
	return nil
}

func (m *Method) flat() money.Pence {
	if m.Kind == FlatPlusPerHead {
		return m.Flat.Pence
	}
	return 0
}

// remainder is what there is to share by weight, with its term in the working of the pool.
type remainder struct {
	amount money.Pence
	term   working.Term
}

// flats takes the flat sums off what there is to share.
func (s *Shared) flats(c *cut, n int) (rest remainder, flat working.Term, err error) {
	rest = remainder{c.left, c.term}
	if s.Method.Kind != FlatPlusPerHead {
		return rest, flat, nil
	}
	if s.Method.Flat.Pence < 0 {
		return rest, flat, fault.New(fault.Invalid, ReasonMethodMalformed, "a flat sum of %s is below nothing", s.Method.Flat.Pence)
	}
	flats, err := s.Method.Flat.Pence.Times(int64(n))
	if err != nil {
		return rest, flat, err
	}
	if flats > c.left {
		return rest, flat, fault.New(fault.Refused, ReasonFlatsExceedPool, "%d flat sums of %s come to %s, and there are %s to share: lower the flat sum",
			n, s.Method.Flat.Pence, flats, c.left).
			With("flat_pence", int64(s.Method.Flat.Pence)).With("receivers", n).With("flats_pence", int64(flats)).With("pool_pence", int64(c.left))
	}
	flat = c.b.Input("flat sum", s.Method.Flat.Pence.GBP(), "GBP", s.Method.Flat.Origin)
	receivers := c.b.Input("receivers", big.NewRat(int64(n), 1), "receiver", contract())
	sum := c.b.Step("flat sums", working.Multiply, "GBP", clauseFlat, flat, receivers)
	rest.amount = c.left - flats
	rest.term = c.b.Step("to share per head", working.Subtract, "GBP", clauseFlat, c.term, sum)
	return rest, flat, nil
}

// entries weighs every receiver. All whose patients are not stated are named at once.
func (m *Method) entries(rows []Receiver) ([]weighed, error) {
	out := make([]weighed, len(rows))
	var missing []string
	for i := range rows {
		r := &rows[i]
		e := &out[i]
		e.code = r.Code
		if m.Kind == Equal {
			e.weight = one
			continue
		}
		list := r.list(m.List)
		if list.Value == nil {
			missing = append(missing, r.Code)
			continue
		}
		if err := notNegative(r.Code, "patients", list.Value); err != nil {
			return nil, err
		}
		name, unit := m.List.words()
		e.unit = unit
		e.own.Grow(7, 7)
		e.term = e.own.Input(name, list.Value, unit, list.Origin)
		if m.Kind == NeedIndex {
			index := r.NeedIndex
			if index.Value == nil {
				index = Given{one, working.Origin{Kind: working.FromSetting, Source: "an index of need that is not stated is 1"}}
			}
			if err := notNegative(r.Code, "index of need", index.Value); err != nil {
				return nil, err
			}
			need := e.own.Input("index of need", index.Value, "index", index.Origin)
			e.term = e.own.Step("patients by need", working.Multiply, unit, clauseNeed, e.term, need)
		}
		e.weight = e.term.Value
	}
	switch {
	case m.Kind != Equal && m.List != RegisteredList && m.List != WeightedList && m.List != AdjustedList:
		return nil, fault.New(fault.Invalid, ReasonMethodMalformed, "%q is not a list that a pool is shared by: %s, %s or %s",
			money.Clip(string(m.List)), RegisteredList, WeightedList, AdjustedList)
	case len(missing) > 0:
		name, _ := m.List.words()
		return nil, refuse(ReasonPopulationMissing, name+" of "+strings.Join(missing, ", "), "load the lists, state the patients, or leave the receiver out").
			With("receivers", strings.Join(missing, ","))
	}
	return out, nil
}

func notNegative(code, what string, value *big.Rat) error {
	if value.Sign() >= 0 {
		return nil
	}
	return fault.New(fault.Invalid, ReasonWeightNegative, "%s has %s of %s, which is below nothing", code, what, money.Format(value)).
		With("receiver", code).With("value", money.Format(value))
}

func total(weights []*big.Rat) *big.Rat {
	sum := new(big.Rat)
	for _, w := range weights {
		sum.Add(sum, w)
	}
	return sum
}

// exactly writes the exact share of a receiver.
func (s *Shared) exactly(e *weighed, c *cut, rest working.Term, n int) {
	b := &e.own
	if e.term.Value == nil {
		receivers := b.Input("receivers", s.Weight, "receiver", contract())
		e.exact = b.Step("exact share", working.Divide, "GBP", c.clause, rest, receivers)
		return
	}
	all := b.Input(e.term.Name+" of all receivers", s.Weight, e.unit, working.Origin{
		Kind: working.FromContract, Source: "sum of the weights of " + strconv.Itoa(n) + " receivers",
	})
	of := b.Step("share of the whole", working.Divide, "share", c.clause, e.term, all)
	e.exact = b.Step("exact share", working.Multiply, "GBP", c.clause, of, rest)
}

// places finds the exact shares, how many receivers have a larger remainder than each, or an equal one and a lower code, and how
// many pennies rounding down leaves over.
func (s *Shared) places(c *cut, entries []weighed, rest remainder) (places []int, over money.Pence, err error) {
	over = rest.amount
	remainders := make([]*big.Rat, len(entries))
	order := make([]int, len(entries))
	for i := range entries {
		s.exactly(&entries[i], c, rest.term, len(entries))
		exact := entries[i].exact.Value
		down, err := money.RoundDown(exact)
		if err != nil {
			return nil, 0, err
		}
		over -= down
		remainders[i], order[i] = new(big.Rat).Sub(exact, down.GBP()), i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(remainders[b].Cmp(remainders[a]), cmp.Compare(a, b)) })
	places = make([]int, len(entries))
	for place, i := range order {
		places[i] = place
	}
	return places, over, nil
}

// explain writes how a part came about: the pool's working, the receiver's exact share, down to the penny, and whether one of the
// pennies left over reaches it.
func (s *Shared) explain(p *Part, e *weighed, c *cut, flat working.Term, place int, over money.Pence) {
	b := &e.own
	p.Exact = e.exact.Value
	terms := []working.Term{b.Round("rounded down", money.Floor, pencePlaces, "GBP", clauseDown, e.exact)}
	if over > 0 {
		left := b.Input("left over by rounding down", over.GBP(), "GBP", contract())
		before := b.Input("taken by larger remainders", money.Pence(place).GBP(), "GBP", contract())
		none, most := b.Input("nothing", nothing, "GBP", contract()), b.Input("a penny", penny, "GBP", contract())
		reaches := b.Step("left over for this one", working.Subtract, "GBP", clausePenny, left, before)
		terms = append(terms, b.Step("penny left over", working.Clamp, "GBP", clausePenny, reaches, none, most))
	}
	if s.Method.Kind == FlatPlusPerHead {
		terms = append(terms, flat)
		p.Exact = new(big.Rat).Add(p.Exact, flat.Value)
	}
	b.Step(shareName, working.Add, "GBP", c.clause, terms...)
	p.Working = c.with(b)
}

// bids gives what was approved, and holds back the rest.
func (s *Shared) bids(c *cut, rows []Receiver) error {
	s.Parts = make([]Part, len(rows))
	var held working.Builder
	var sum money.Pence
	terms := make([]working.Term, len(rows))
	var missing []string
	for i := range rows {
		r := &rows[i]
		if r.Bid == nil {
			missing = append(missing, r.Code)
			continue
		}
		if r.Bid.Pence < 0 {
			return fault.New(fault.Invalid, ReasonMethodMalformed, "the bid of %s is %s, which is below nothing", r.Code, r.Bid.Pence).With("receiver", r.Code)
		}
		var err error
		if sum, err = sum.Add(r.Bid.Pence); err != nil {
			return err
		}
		gbp := r.Bid.Pence.GBP()
		terms[i] = held.Input("bid of "+r.Code, gbp, "GBP", r.Bid.Origin)
		var own working.Builder
		own.Step(shareName, working.Add, "GBP", clauseBid, own.Input("bid as approved", gbp, "GBP", r.Bid.Origin))
		s.Parts[i] = Part{Code: r.Code, Amount: r.Bid.Pence, Exact: gbp, Working: own.Done()}
	}
	if len(missing) > 0 {
		return refuse(ReasonMethodMalformed, "approved bid of "+strings.Join(missing, ", "), "state what was approved, if nothing then nothing, or leave the receiver out").
			With("receivers", strings.Join(missing, ","))
	}
	if sum > c.left {
		return fault.New(fault.Refused, ReasonBidsExceedPool, "bids of %s are approved, and there are %s to share: approve %s less", sum, c.left, sum-c.left).
			With("bids_pence", int64(sum)).With("pool_pence", int64(c.left)).With("excess_pence", int64(sum-c.left))
	}
	s.HeldBack = c.left - sum
	taken := addAll(&held, "bids", clauseBid, terms)
	held.Step("held back", working.Subtract, "GBP", clauseBid, c.term, taken)
	s.HeldBackWorking = c.with(&held)
	return nil
}

// addAll adds terms in steps of as many operands as a step may have.
func addAll(b *working.Builder, name, clause string, terms []working.Term) working.Term {
	for part := 1; len(terms) > mostOperands; part++ {
		sum := b.Step(fmt.Sprintf("%s, part %d", name, part), working.Add, "GBP", clause, terms[:mostOperands]...)
		terms = append([]working.Term{sum}, terms[mostOperands:]...)
	}
	return b.Step(name, working.Add, "GBP", clause, terms...)
}
