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

// walk is one line on its way through the tests. What is left of it is exact until the line's end; a part is the difference of
// two rounded amounts, so that parts and payable add up and the payable amount is rounded once.
type walk struct {
	a     *assessor
	l     *ClaimLine
	out   Assessed
	conv  Conventions
	known period.Date

	role  *Role
	steps *working.Builder
	left  working.Term // exact, in pounds
	pence money.Pence  // left, rounded
	done  bool         // nothing is left

	from, to int    // days of the month, numbered from 1
	counted  []span // after the working time that one person may have
	admitted []span // after limits and baseline
	unshared bool   // paid without the network's share by decision
}

func (a *assessor) start(l *ClaimLine) (*walk, error) {
	cost, err := l.Cost()
	if err != nil {
		return nil, fault.New(fault.Invalid, ReasonAmountOverflow, "the amounts of line %s are too large", money.Clip(l.ID))
	}
	w := &walk{a: a, l: l, conv: a.conventions[l.Month], known: l.Known, pence: cost}
	if w.known.IsZero() {
		w.known = a.Known
	}
	w.out = Assessed{LineID: l.ID, EngagementID: l.EngagementID, Month: l.Month, Role: l.Role, Claimed: cost}
	w.out.Held = Held{LineID: l.ID, EngagementID: l.EngagementID, Person: l.Person, Role: l.Role, Month: l.Month}
	for i := range w.out.Tests {
		w.out.Tests[i] = Result{Test: Test(i + 1), Outcome: NotReached}
	}
	w.steps = new(working.Builder)
	w.steps.Grow(14, 14)
	origin := working.Origin{Kind: working.FromLine, Ref: l.ID}
	w.left = w.steps.Step("cost of the month", working.Add, gbp, clauseCost,
		w.steps.Input("salary", l.Salary.GBP(), gbp, origin),
		w.steps.Input("employer National Insurance", l.EmployerNI.GBP(), gbp, origin),
		w.steps.Input("employer pension", l.EmployerPension.GBP(), gbp, origin))
	return w, nil
}

const (
	gbp        = "GBP"
	clauseCost = "ARRS: salary, employer National Insurance and employer pension of the month"
)

func (w *walk) result(test Test) *Result { return &w.out.Tests[test-1] }

// begin opens a test, and tells whether anything is left to test.
func (w *walk) begin(test Test) bool {
	if w.done {
		return false
	}
	w.result(test).Outcome = Passed
	return true
}

func (w *walk) note(test Test, name string, value *big.Rat, unit string) {
	r := w.result(test)
	r.Numbers = append(r.Numbers, Number{name, value, unit})
}

// cut lowers what is left to an exact amount and makes the difference a part.
func (w *walk) cut(test Test, reason string, to *big.Rat, refused *fault.Fault) error {
	pence, err := w.conv.round(to)
	if err != nil {
		return err
	}
	return w.cutPence(test, reason, min(pence, w.pence), refused)
}

func (w *walk) cutPence(test Test, reason string, to money.Pence, refused *fault.Fault) error {
	if to > w.pence || to < 0 {
		return fault.Bug("line %s grows in test %s", w.l.ID, test)
	}
	r := w.result(test)
	if !slices.Contains(r.Reasons, reason) {
		r.Reasons = append(r.Reasons, reason)
	}
	waits := refused != nil && refused.Meta[metaMissing] != ""
	switch {
	case waits || r.Outcome == Waits:
		r.Outcome = Waits
	case to == 0:
		r.Outcome = Failed
	default:
		r.Outcome = Reduced
	}
	if removed := w.pence - to; removed > 0 {
		part := Part{Test: test, Reason: reason, Amount: removed}
		if waits {
			part.Missing, part.Remedy = refused.Meta[metaMissing], refused.Meta[metaRemedy]
		}
		w.out.Parts = append(w.out.Parts, part)
		r.Removed += removed
	}
	w.pence = to
	return nil
}

// fail lets nothing of the line pass.
func (w *walk) fail(test Test, refused *fault.Fault) error {
	w.done = true
	w.left.Value = new(big.Rat)
	return w.cutPence(test, refused.Reason, 0, refused)
}

// decision finds what the commissioner decided about the line.
func (w *walk) decision(kind DecisionKind) *Decision {
	return decided(w.a.Decisions, kind, w.l.EngagementID, w.l.Role, w.l.Month)
}

func refuse(reason, format string, args ...any) *fault.Fault {
	return fault.New(fault.Refused, reason, format, args...)
}

// testRole: the role on the day, the days, the person, the fee, training and numbers.
func (w *walk) testRole() error {
	w.begin(TestRole)
	if refused := w.admissible(); refused != nil {
		return w.fail(TestRole, refused)
	}
	if err := w.fees(); err != nil {
		return err
	}
	if err := w.training(); err != nil {
		return err
	}
	return w.numbers()
}

func (w *walk) admissible() *fault.Fault {
	role, known := w.a.roles[w.l.Role]
	if !known {
		return refuse(ReasonRoleUnknown, "%q is not a role", money.Clip(w.l.Role))
	}
	w.role = role
	w.out.WTE = role.WTE(w.l.PerWeek)
	w.note(TestRole, "WTE claimed", w.out.WTE, "WTE")
	from, to, some := w.l.days()
	if !some {
		return refuse(ReasonOutsideEngagement, "the engagement has no day in %s", w.l.Month)
	}
	w.from, w.to = dayOfMonth(from), dayOfMonth(to)
	w.out.Days = w.to - w.from + 1
	w.note(TestRole, "days claimed", whole(w.out.Days), "days")
	key := personMonth{w.l.EngagementID, w.l.Month}
	for _, before := range w.a.claimed[key] {
		if before.from <= w.to && before.to >= w.from {
			return refuse(ReasonAlreadyClaimed, "an earlier line claims the same days of the engagement")
		}
	}
	w.a.claimed[key] = append(w.a.claimed[key], span{from: w.from, to: w.to})
	w.out.Held.From, w.out.Held.To = w.from, w.to
	if refused := w.reimbursable(from, to); refused != nil {
		return refused
	}
	return w.eligible()
}

// reimbursable holds that the role is on the list on the days, or that the commissioner agreed to an early hire.
func (w *walk) reimbursable(from, to period.Date) *fault.Fault {
	early := w.decision(EarlyHireAgreed)
	hired := early != nil && !w.role.EarlyFrom.IsZero() && !w.l.Start.Before(w.role.EarlyFrom)
	w.unshared = hired && w.a.Year == firstYear
	first := w.role.From
	if hired && w.role.EarlyFrom.Before(first) {
		first = w.role.EarlyFrom
	}
	switch {
	case from.Before(first), !w.role.To.IsZero() && to.After(w.role.To):
		return refuse(ReasonRoleNotReimbursable, "%s is not reimbursable in %s", w.role.Code, w.l.Month)
	case w.role.NeedsAgreement && w.decision(RoleAgreed) == nil:
		return refuse(ReasonRoleNotAgreed, "the commissioner has not agreed to the post")
	}
	if (w.role.Code == MentalHealth || w.role.NeedsAgreement) && w.l.Band == "" {
		return missing(ReasonFactMissing, "band", "state it in the engagement")
	}
	if w.role.Code == MentalHealth && w.l.Post != FirstPost && w.l.Post != LaterPost {
		return missing(ReasonFactMissing, "post", "state whether it is the first of its band or a later one")
	}
	return nil
}

func (w *walk) eligible() *fault.Fault {
	person := Person{Role: w.l.Role, Start: w.l.Start, Facts: w.l.Facts, GPAgreed: w.decision(SubstantiveGPAgreed) != nil}
	if day := w.decision(TrainingTestDay); day != nil {
		person.TrainingTestedOn = day.Day
	}
	return Eligible(w.a.Scheme.Eligibility, w.role, person, w.known)
}

// fees adds the supplier's fee as far as it is allowed: so much a month for each WTE, by days.
func (w *walk) fees() error {
	if w.l.Fees == 0 {
		return nil
	}
	scheme := w.a.Scheme
	allowance := ParameterFor(scheme.Parameters, SupplierFee, w.l.Role, w.a.Commissioner, w.l.Month, w.known)
	switch {
	case allowance == nil:
		return w.cut(TestRole, ReasonFeeNotAllowed, w.left.Value, nil)
	case allowance.Value == nil || !allowance.Confidence.Payable():
		return w.cut(TestRole, ReasonParameterUnknown, w.left.Value,
			missing(ReasonParameterUnknown, "allowance for the supplier's fee", "enter the figure with its source"))
	}
	paid := w.steps.Input("supplier's fee", w.l.Fees.GBP(), gbp, working.Origin{Kind: working.FromLine, Ref: w.l.ID})
	perWTE := w.steps.Input("fee allowed", allowance.Value, "GBP per WTE and month", allowance.origin())
	ceiling, _ := w.ceiling()
	share := new(big.Rat).Mul(least(w.out.WTE, ceiling), big.NewRat(int64(w.out.Days), int64(daysOf(w.l.Month))))
	time := w.steps.Input("WTE by days of the month", share, "WTE", working.Origin{Kind: working.FromLine, Ref: w.l.ID})
	const clause = "ARRS: £200 a month per WTE toward the supplier's charges, inside the maximum"
	most := w.steps.Step("fee allowed for the line", working.Multiply, gbp, clause, perWTE, time)
	allowed := w.steps.Step("fee counted", working.Minimum, gbp, clause, paid, most)
	w.left = w.steps.Step("cost with fee", working.Add, gbp, clause, w.left, allowed)
	w.note(TestRole, "fee allowed", most.Value, gbp)
	if allowed.Value.Cmp(paid.Value) == 0 {
		return nil
	}
	return w.cut(TestRole, ReasonFeeOverAllowance, w.left.Value, nil)
}

// ceiling is the WTE that the person may count for, and what says so.
func (w *walk) ceiling() (*big.Rat, working.Origin) {
	if agreed := w.decision(OverCeilingAgreed); agreed != nil && agreed.Value != nil {
		return agreed.Value, agreed.origin()
	}
	return w.conv.WTECeiling, working.Origin{Kind: working.FromSetting, Ref: w.conv.IDs[SettingWTECeiling]}
}

// training takes out time in training that is not reimbursable for the role.
func (w *walk) training() error {
	if w.l.Training == "" || w.l.TrainingShare == nil || w.l.TrainingShare.Sign() == 0 {
		return nil
	}
	row := governing(w.a.Scheme.Training, func(t *Training) *Figure { return &t.Figure }, w.a.Commissioner, w.known, func(t *Training) bool {
		return t.Code == w.l.Training && t.Role == w.l.Role && t.Covers(w.l.Month)
	})
	if row != nil {
		return nil
	}
	origin := working.Origin{Kind: working.FromLine, Ref: w.l.ID}
	share := w.steps.Input("share of the cost outside training", new(big.Rat).Sub(one(), w.l.TrainingShare), "", origin)
	w.left = w.steps.Step("cost outside training", working.Multiply, gbp, "ARRS: training time is payable for named roles only", w.left, share)
	w.done = w.left.Value.Sign() == 0
	return w.cut(TestRole, ReasonTrainingNotReimbursable, w.left.Value, nil)
}

// numbers counts the person's working time and takes what the role's number leaves. Working time over the ceiling takes
// nothing from the cost: it does not raise the maximum.
func (w *walk) numbers() error {
	if w.done {
		return nil
	}
	asked := []span{{w.from, w.to, w.out.WTE}}
	ceiling, _ := w.ceiling()
	w.counted = w.a.persons[personMonth{w.l.Person, w.l.Month}].room(asked, ceiling)
	w.admitted = w.counted
	w.note(TestRole, "WTE-days counted", wteDays(w.counted), "WTE-days")
	limit, refused := limitFor(w.a.Scheme.Limits, w.l.Role, w.a.List, w.a.Commissioner, w.l.Month, w.known)
	if refused != nil {
		return w.fail(TestRole, refused)
	}
	if limit == nil {
		return nil
	}
	if limit.NeedsAgreement && w.decision(ProviderAgreed) == nil {
		return w.fail(TestRole, refuse(ReasonProviderNotAgreed, "the mental health provider has not agreed"))
	}
	held := w.a.limited[roleMonth{w.l.Role, w.l.Month}]
	if limit.Most != nil {
		w.note(TestRole, "limit", limit.Most, "WTE")
		if err := w.admit(TestRole, ReasonLimitReached, held.room(w.admitted, limit.Most), nil); err != nil {
			return err
		}
	}
	if limit.settled() || w.done {
		return nil
	}
	certain := limit.Certain
	if certain == nil {
		certain = new(big.Rat)
	}
	w.note(TestRole, "limit that is certain", certain, "WTE")
	unknown := missing(ReasonLimitUnknown, limitName(w.l.Role, w.l.Month), "enter the figure with its source")
	return w.admit(TestRole, ReasonLimitUnknown, held.room(w.admitted, certain), unknown)
}

// admit lowers the working time that passes, and the cost with it in proportion.
func (w *walk) admit(test Test, reason string, spans []span, refused *fault.Fault) error {
	before, after := wteDays(w.admitted), wteDays(spans)
	if before.Cmp(after) == 0 {
		return nil
	}
	w.admitted = spans
	if after.Sign() == 0 {
		if refused == nil {
			refused = refuse(reason, "no working time is left")
		}
		return w.fail(test, refused)
	}
	origin := working.Origin{Kind: working.FromLine, Ref: w.l.ID, Source: "lines before this one"}
	of := w.steps.Input("WTE-days before "+reason, before, "WTE-days", origin)
	part := w.steps.Input("WTE-days after "+reason, after, "WTE-days", origin)
	const clause = "ARRS: the cost of the working time that passes"
	product := w.steps.Step("cost by WTE-days after "+reason, working.Multiply, gbp, clause, w.left, part)
	w.left = w.steps.Step("cost after "+reason, working.Divide, gbp, clause, product, of)
	return w.cut(test, reason, w.left.Value, refused)
}

// testAdditional: the person is not of the baseline, and the role's working time is above it.
func (w *walk) testAdditional() error {
	if !w.begin(TestAdditional) {
		return nil
	}
	facts := &w.l.Facts
	if facts.InBaseline == Yes {
		if refused := exempt(w.a.Scheme.Transfers, w.l.Role, facts, w.decision(TransferAgreed) != nil); refused != nil {
			return w.fail(TestAdditional, refused)
		}
	}
	baseline := w.baseline()
	if baseline == nil && w.role.Baseline {
		return w.fail(TestAdditional, missing(ReasonBaselineMissing, "baseline of "+w.l.Role+" on 31 March 2019", "record the baseline agreed with the commissioner, which may be 0"))
	}
	if baseline != nil {
		if err := w.aboveBaseline(baseline); err != nil || w.done {
			return err
		}
	}
	w.count()
	return nil
}

func (w *walk) baseline() *Baseline {
	for i := range w.a.Baselines {
		if b := &w.a.Baselines[i]; b.Role == w.l.Role && (b.Month.IsZero() || b.Month == w.l.Month) {
			return b
		}
	}
	return nil
}

func (w *walk) aboveBaseline(baseline *Baseline) error {
	transferred := baseline.ExemptWTE
	if transferred == nil {
		transferred = new(big.Rat)
	}
	w.note(TestAdditional, "baseline", baseline.WTE, "WTE")
	w.note(TestAdditional, "exempt transfers", transferred, "WTE")
	for i := range w.a.Employed {
		employed := &w.a.Employed[i]
		if employed.Role != w.l.Role || employed.Month != w.l.Month {
			continue
		}
		claimable := ClaimableWTE(employed.WTE, baseline.WTE, transferred)
		w.note(TestAdditional, "employed", employed.WTE, "WTE")
		w.note(TestAdditional, "claimable", claimable, "WTE")
		held := w.a.additional[roleMonth{w.l.Role, w.l.Month}]
		return w.admit(TestAdditional, ReasonWithinBaseline, held.room(w.admitted, claimable), nil)
	}
	return nil
}

// count takes the working time that passed up in the state, for the lines that follow. A line that waits for a price or a sum
// keeps its place.
func (w *walk) count() {
	if w.out.Claimed == 0 && w.l.Standing > 0 {
		return // what is corrected to nothing leaves its working time to others
	}
	w.a.occupy(w.l.Person, w.l.Role, w.l.Month, w.admitted)
	for _, s := range w.admitted {
		w.out.Held.Admitted = append(w.out.Held.Admitted, HeldTime{s.from, s.to, s.wte})
	}
}

// withoutCeiling is the maximum by the working time claimed, where the ceiling of one person took from it; so much of the cost is over the
// maximum in any case, and the rest for the ceiling.
func (w *walk) withoutCeiling(most working.Term) *big.Rat {
	claimed, counted := new(big.Rat).Mul(w.out.WTE, whole(w.out.Days)), wteDays(w.counted)
	if counted.Cmp(claimed) == 0 {
		return most.Value
	}
	if w.out.AdmittedWTEDays.Sign() == 0 {
		return w.left.Value
	}
	out := new(big.Rat).Mul(most.Value, claimed)
	return out.Quo(out, counted)
}

// testMaximum: the percentage of the cost, and the monthly maximum.
func (w *walk) testMaximum() error {
	if !w.begin(TestMaximum) {
		return nil
	}
	price, share, refused := w.price()
	if refused != nil {
		return w.fail(TestMaximum, refused)
	}
	w.out.PriceID = price.ID
	var shareOrigin working.Origin
	if share != nil {
		shareOrigin = share.origin()
	}
	if err := w.percentage(price, share, shareOrigin); err != nil {
		return err
	}
	days := daysOf(w.l.Month)
	if w.conv.PartMonth == PartMonthWholeMonth {
		days = w.out.Days
	}
	w.out.AdmittedWTEDays = wteDays(w.admitted)
	var agreed *big.Rat
	if share != nil {
		agreed = share.Value
	}
	most := monthlyMaximum(w.steps, price, w.wteDays(), days, agreed, shareOrigin)
	w.note(TestMaximum, "monthly maximum", most.Value, gbp)
	within, over := w.withoutCeiling(most), w.left.Value.Cmp(most.Value) > 0
	if over && w.left.Value.Cmp(within) > 0 {
		if err := w.cut(TestMaximum, ReasonOverMaximum, within, nil); err != nil {
			return err
		}
	}
	w.left = w.steps.Step("cost within the maximum", working.Minimum, gbp, clauseMaximum, w.left, most)
	if over && within.Cmp(most.Value) > 0 {
		if err := w.cut(TestMaximum, ReasonOverCeiling, w.left.Value, nil); err != nil {
			return err
		}
	}
	w.left = w.steps.Round("payable before the year's sum", w.conv.Rounding, 2, gbp, "convention: each line is rounded once, at its end", w.left)
	w.out.WithinMaximum = w.pence
	return nil
}

// price finds the maximum, and for a later mental health post the share that was agreed.
func (w *walk) price() (*Price, *Decision, *fault.Fault) {
	key := w.a.priceKey(w.role, w.l)
	if key.Region == 0 {
		return nil, nil, missing(ReasonFactMissing, "price region of the network", "record the commissioner's decision")
	}
	price, err := w.a.Scheme.Prices.At(key, w.a.Commissioner, w.l.Month, cmp.Or(w.l.PriceKnown, w.known))
	if refused, ok := fault.As(err); ok {
		return nil, nil, refused
	}
	if w.role.Code != MentalHealth || price.Post != LaterPost {
		return price, nil, nil
	}
	share := w.decision(ShareAgreed)
	if share == nil || share.Value == nil || share.Value.Sign() < 0 || share.Value.Cmp(one()) > 0 {
		return nil, nil, missing(ReasonAgreedShareMissing, "share of the post agreed in writing", "record the agreement, from 0 to 1")
	}
	return price, share, nil
}

func (w *walk) percentage(price *Price, share *Decision, shareOrigin working.Origin) error {
	const clause = "ARRS: the percentage of the actual cost that is payable"
	hundred := whole(100)
	percent := price.Percent
	if w.unshared {
		percent = hundred
	}
	w.note(TestMaximum, "percent payable", percent, "percent")
	reduced := false
	if percent.Cmp(hundred) != 0 {
		part := w.steps.Input("percent payable", percent, "percent", price.origin())
		of := w.steps.Input("of a hundred", hundred, "percent", working.Origin{Kind: working.FromContract})
		product := w.steps.Step("cost by percent payable", working.Multiply, gbp, clause, w.left, part)
		w.left = w.steps.Step("share payable", working.Divide, gbp, clause, product, of)
		reduced = true
	}
	if share != nil && share.Value.Cmp(one()) != 0 {
		part := w.steps.Input("agreed share of the cost", share.Value, "", shareOrigin)
		w.left = w.steps.Step("share agreed", working.Multiply, gbp, clause, w.left, part)
		reduced = true
	}
	if !reduced {
		return nil
	}
	return w.cut(TestMaximum, ReasonNetworkShare, w.left.Value, nil)
}

// wteDays notes the admitted working time: by hours and days where nothing bound, otherwise as the lines before left it.
func (w *walk) wteDays() working.Term {
	origin := working.Origin{Kind: working.FromLine, Ref: w.l.ID}
	ceiling, says := w.ceiling()
	counted := least(w.out.WTE, ceiling)
	plain := new(big.Rat).Mul(counted, whole(w.out.Days))
	if plain.Cmp(w.out.AdmittedWTEDays) != 0 {
		origin.Source = "lines before this one"
		return w.steps.Input("WTE-days admitted", w.out.AdmittedWTEDays, "WTE-days", origin)
	}
	const clause = "ARRS: working time as a part of full time, no more than one for one person"
	perWeek := w.steps.Input("worked in a week", w.l.PerWeek, w.role.Measure.String(), origin)
	full := w.steps.Input("full time", w.role.FullTime, w.role.Measure.String(), w.role.origin())
	wte := w.steps.Step("WTE", working.Divide, "WTE", clause, perWeek, full)
	if counted.Cmp(w.out.WTE) != 0 {
		most := w.steps.Input("most WTE of one person", counted, "WTE", says)
		wte = w.steps.Step("WTE counted", working.Minimum, "WTE", clause, wte, most)
	}
	days := w.steps.Input("days claimed", whole(w.out.Days), "days", origin)
	return w.steps.Step("WTE-days", working.Multiply, "WTE-days", clause, wte, days)
}

// free gives what a line replaces back to the pot that paid it, where nothing of it stands.
func (w *walk) free() {
	if state := w.a.pots[w.l.StandingPot]; w.l.Standing > 0 && state != nil && state.Refused == nil {
		state.take(-w.l.Standing)
	}
}

// testYearSum: what is left of the pot.
func (w *walk) testYearSum() error {
	if !w.begin(TestYearSum) {
		w.free()
		return nil
	}
	pot, found := PotOf(w.a.Scheme.SumRates, w.l.Role, w.l.Month)
	w.out.Pot = pot
	if !found {
		return w.fail(TestYearSum, missing(ReasonNoPot, "pot that pays "+w.l.Role+" in "+w.l.Month.String(), "enter the year's rate with its source"))
	}
	state := w.a.pots[pot]
	if state == nil {
		return w.fail(TestYearSum, missing(ReasonSumUnknown, "yearly sum of pot "+string(pot), "compute or enter the entitlement"))
	}
	if state.Refused != nil {
		return w.fail(TestYearSum, state.Refused)
	}
	w.note(TestYearSum, "left of the year's sum", (state.Left + state.freed).GBP(), gbp)
	within, standing := w.pence, w.l.Standing
	if pot != w.l.StandingPot {
		w.free()
		standing = 0
	}
	left := w.steps.Input("left of the year's sum", (state.Left + state.freed).GBP(), gbp,
		working.Origin{Kind: working.FromLine, Source: "the pot after the lines before this one", Confidence: state.Confidence})
	if standing > 0 {
		before := w.steps.Input("approved before", standing.GBP(), gbp, working.Origin{Kind: working.FromLine, Ref: w.l.ID, Source: "what the line replaces"})
		left = w.steps.Step("left with what was approved before", working.Add, gbp, "ARRS: what was approved stands, though the sum was lowered since", left, before)
	}
	payable := min(within, state.Left+state.freed+standing)
	final := w.steps.Step("payable", working.Minimum, gbp, "ARRS: no more than the year's sum, in claim order", w.left, left)
	if payable < within {
		if err := w.cutPence(TestYearSum, ReasonOverYearSum, payable, nil); err != nil {
			return err
		}
	}
	if final.Value.Cmp(payable.GBP()) != 0 {
		return fault.Bug("line %s: the working does not give what is payable", w.l.ID)
	}
	state.take(payable - standing)
	state.Unfunded += within - payable
	w.out.Payable, w.out.Working, w.out.Confidence = payable, w.steps.Done(), w.steps.Done().Confidence()
	return nil
}
