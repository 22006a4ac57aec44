package rules

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// ForMonth is everything that decides what is due for one month.
type ForMonth struct {
	Month period.Month
	// PaidMonth is the month whose close first pays it: the month itself, or a later one where a payment started late.
	PaidMonth    period.Month
	Picture      *Picture
	Rates        []Rate // versions known, in order of becoming known; see Governing
	Settings     []Setting
	Withholdings []Withholding
	Declarations []Declaration
	// Payments limits the computation to some payments; nil means all.
	Payments func(Rate) bool
}

// Entitled is what a month comes to.
type Entitled struct {
	Entitlements []Entitlement
	Periods      []PeriodAmount // of what is entitled or withheld, never of what is refused
	Refusals     []Refusal
	Withheld     []Withheld
}

// Governing returns the rates of a month, payment by payment, each with its components in order: of several versions of one
// figure the commissioner's own before England's, and then the one that became known last. A candidate never takes the place
// of a payable version: it waits for its confirmation.
func Governing(rates []Rate, commissioner string, month period.Month) [][]Rate {
	type figure struct{ payment, component string }
	best := make(map[figure]Rate)
	for _, rate := range rates {
		if rate.From.After(month) || rate.To.Before(month) ||
			(rate.CommissionerCode != commissioner && rate.CommissionerCode != England) {
			continue
		}
		key := figure{rate.PaymentCode, rate.Component}
		held, taken := best[key]
		if taken && (outranks(held, rate) || (held.Confidence.Payable() && rate.Confidence == working.Candidate)) {
			continue
		}
		best[key] = rate
	}
	payments := make(map[string][]Rate)
	for key, rate := range best {
		payments[key.payment] = append(payments[key.payment], rate)
	}
	out := make([][]Rate, 0, len(payments))
	for _, components := range payments {
		slices.SortFunc(components, func(a, b Rate) int { return compareText(b.Component, a.Component) })
		out = append(out, components)
	}
	slices.SortFunc(out, func(a, b []Rate) int { return compareText(a[0].PaymentCode, b[0].PaymentCode) })
	return out
}

// outranks tells a commissioner's own version from one of England.
func outranks(held, other Rate) bool {
	return held.CommissionerCode != England && other.CommissionerCode == England
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// Entitle computes what is owed for one month from the figures now known: to the networks and practices that the picture shows
// as owed by its commissioner. Rates and conventions are those of the payer of the day, so that a successor pays what its
// predecessor would have.
func Entitle(in ForMonth) (*Entitled, error) {
	e := entitling{in: in, out: new(Entitled), governing: make(map[string][][]Rate)}
	for i := range in.Picture.PCNs {
		if err := e.network(&in.Picture.PCNs[i]); err != nil {
			return nil, fmt.Errorf("%s for %s: %w", in.Picture.PCNs[i].Code, in.Month, err)
		}
	}
	return e.out, nil
}

type entitling struct {
	in        ForMonth
	out       *Entitled
	governing map[string][][]Rate // by payer
}

// rates returns the payments of the month that a payer makes.
func (e *entitling) rates(payer string) [][]Rate {
	found, known := e.governing[payer]
	if !known {
		found = slices.DeleteFunc(Governing(e.in.Rates, payer, e.in.Month), func(components []Rate) bool {
			return e.in.Payments != nil && !e.in.Payments(components[0])
		})
		e.governing[payer] = found
	}
	return found
}

// network decides all payments of a network and its practices. A network none of whose practices takes part is owed nothing.
func (e *entitling) network(pcn *PCN) error {
	takesPart := len(pcn.Practices) == 0
	for i := range pcn.Practices {
		practice := &pcn.Practices[i]
		if !practice.Participating {
			continue
		}
		takesPart = true
		if err := e.practice(pcn, practice); err != nil {
			return fmt.Errorf("practice %s: %w", practice.Code, err)
		}
	}
	if !takesPart || (pcn.PayerCode != "" && !pcn.Owed) {
		return nil
	}
	for _, components := range e.rates(pcn.PayerCode) {
		if components[0].PaidToPractice {
			continue
		}
		if err := e.payment(components, pcn); err != nil {
			return fmt.Errorf("%s: %w", components[0].PaymentCode, err)
		}
	}
	return nil
}

func (e *entitling) payment(components []Rate, pcn *PCN) error {
	lead := components[0]
	switch {
	case lead.Timing == OnDeclaration:
		return e.declared(lead, pcn)
	case pcn.PayerCode == "":
		e.refuse(payerUnknown(e.group(lead, pcn), pcn.RegisteredPatients()))
		return nil
	case !pcn.InForce(e.in.Picture.Day):
		e.refuse(e.notInForce(e.group(lead, pcn), pcn))
		return nil
	}
	return e.monthly(components, pcn)
}

func payerUnknown(group Group, patients *big.Rat) Refusal {
	return Refusal{
		Group: group, Reason: ReasonLeadCommissionerUnknown, Missing: "commissioner that owes the payment",
		Remedy: "load the PCN details that name it, or record it", Quantity: patients, Unit: "patients",
	}
}

func (e *entitling) group(rate Rate, pcn *PCN) Group {
	return Group{ForMonth: e.in.Month, PaymentCode: rate.PaymentCode, PCNCode: pcn.Code}
}

func (e *entitling) refuse(r Refusal) { e.out.Refusals = append(e.out.Refusals, r) }

func (e *entitling) notInForce(group Group, pcn *PCN) Refusal {
	when := "opened " + pcn.Opened.String()
	if !pcn.Closed.IsZero() && pcn.Closed.Before(e.in.Picture.Day) {
		when = "closed " + pcn.Closed.String()
	}
	return Refusal{
		Group: group, Reason: ReasonPCNNotInForce,
		Missing:  "network in force on " + e.in.Picture.Day.String() + " (" + when + ")",
		Remedy:   "load a mapping or partner details that show where its practices went",
		Quantity: pcn.RegisteredPatients(), Unit: "patients",
	}
}

// monthly decides one instalment of a payment to a PCN.
func (e *entitling) monthly(components []Rate, pcn *PCN) error {
	group := e.group(components[0], pcn)
	terms, late, refusal := e.terms(components, pcn)
	if refusal == nil {
		refusal = e.unpayable(components, terms)
	}
	if refusal != nil {
		refusal.Group = group
		e.refuse(*refusal)
		return nil
	}
	lead := components[0]
	due, refusal, err := e.instalment(lead, terms, pcn.PayerCode)
	if err != nil {
		return err
	}
	if refusal != nil {
		refusal.Group = group
		e.refuse(*refusal)
		return nil
	}
	e.state(group, lead, pcn.Name, pcn.LocationCode, due)
	if lead.Unit == CareHomeBed && !pcn.Beds.CodingSatisfied {
		e.withhold(Withheld{
			Group: group, Amount: due.amount, Reason: ReasonCodingNotSatisfied,
			Note: "the commissioner is not satisfied that residents of aligned homes are coded",
		})
		return nil
	}
	e.entitle(group, lead, pcn, due, late)
	return nil
}

// computed is an amount with how it came about, what it rests on, and what its whole period comes to.
type computed struct {
	amount, period money.Pence
	instalments    int
	steps          *working.Working
	basis          *Basis
}

// state notes what a payment comes to for its whole period.
func (e *entitling) state(group Group, rate Rate, pcnName, location string, c computed) {
	e.out.Periods = append(e.out.Periods, PeriodAmount{
		Group: group, PCNName: pcnName, FundingSource: rate.FundingSource, LocationCode: location, From: rate.From, To: rate.To,
		Instalments: c.instalments, Amount: c.period, Confidence: c.steps.Confidence(),
	})
}

// entitle notes an amount due to a PCN, or withholds it if a person decided so.
func (e *entitling) entitle(group Group, rate Rate, pcn *PCN, c computed, late bool) {
	if e.withheldByDecision(group, c.amount) {
		return
	}
	due := Entitlement{
		Key:     Key{Group: group, PayeeCode: pcn.Payee.Code, FundingSource: rate.FundingSource},
		PCNName: pcn.Name, PayeeName: pcn.Payee.Name, LocationCode: pcn.LocationCode,
		Amount: c.amount, Working: c.steps, Basis: c.basis, LateFigure: late,
	}
	if pcn.Payee.Code == "" {
		due.Holds = []Hold{payeeHold(pcn.Code)}
	}
	e.out.Entitlements = append(e.out.Entitlements, due)
}

func payeeHold(pcnCode string) Hold {
	return Hold{ReasonPayeeNotRecorded, "record the nominated payee of " + pcnCode}
}

func (e *entitling) withheldByDecision(group Group, amount money.Pence) bool {
	for _, w := range e.in.Withholdings {
		if w.covers(group.PCNCode, group.PaymentCode, group.ForMonth) {
			e.withhold(Withheld{Group: group, Amount: amount, Reason: ReasonWithheld, Note: w.Reason, WithholdingID: w.ID})
			return true
		}
	}
	return false
}

func (e *entitling) withhold(w Withheld) { e.out.Withheld = append(e.out.Withheld, w) }

// practice decides the payments of a practice that takes part: by its own commissioner.
func (e *entitling) practice(pcn *PCN, practice *Practice) error {
	if practice.PayerCode != "" && !practice.Owed {
		return nil
	}
	for _, components := range e.rates(practice.PayerCode) {
		if !components[0].PaidToPractice {
			continue
		}
		group := e.group(components[0], pcn)
		group.PracticeCode = practice.Code
		if practice.PayerCode == "" {
			refusal := payerUnknown(group, registeredOf(practice))
			refusal.Practices = []string{practice.Code}
			e.refuse(refusal)
			continue
		}
		if err := e.participation(components[0], group, pcn, practice); err != nil {
			return err
		}
	}
	return nil
}

func (e *entitling) participation(rate Rate, group Group, pcn *PCN, practice *Practice) error {
	if !pcn.InForce(e.in.Picture.Day) {
		refusal := e.notInForce(group, pcn)
		refusal.Quantity, refusal.Practices = registeredOf(practice), []string{practice.Code}
		e.refuse(refusal)
		return nil
	}
	figure, known := practice.Populations[rate.Unit]
	if !known {
		e.refuse(Refusal{
			Group: group, Reason: ReasonPopulationMissing, Missing: e.populationName(rate.Unit), Remedy: populationRemedy(rate.Unit),
			Practices: []string{practice.Code}, Quantity: registeredOf(practice), Unit: "patients",
		})
		return nil
	}
	terms := []Term{term(rate, Population{Practices: []PracticePopulation{{practice.Code, figure.Value, snapshotOrigin(figure.LoadID)}}})}
	if refusal := e.unpayable([]Rate{rate}, terms); refusal != nil {
		refusal.Group, refusal.Practices = group, []string{practice.Code}
		e.refuse(*refusal)
		return nil
	}
	due, refusal, err := e.instalment(rate, terms, practice.PayerCode)
	if err != nil {
		return err
	}
	if refusal != nil {
		refusal.Group, refusal.Practices = group, []string{practice.Code}
		e.refuse(*refusal)
		return nil
	}
	e.state(group, rate, pcn.Name, practice.LocationCode, due)
	if e.withheldByDecision(group, due.amount) {
		return nil
	}
	payee := practice.Payee
	if payee.Code == "" {
		payee = Payee{practice.Code, practice.Name}
	}
	e.out.Entitlements = append(e.out.Entitlements, Entitlement{
		Key:     Key{Group: group, PayeeCode: payee.Code, FundingSource: rate.FundingSource},
		PCNName: pcn.Name, PayeeName: payee.Name, LocationCode: practice.LocationCode,
		Amount: due.amount, Working: due.steps, Basis: due.basis, LateFigure: figure.AppliedFrom.After(e.in.Month),
	})
	return nil
}

// instalment computes the month's instalment by the convention in force. A figure that the convention needs and that is
// not published, or one that makes no sense, is a refusal of this payment and holds up no other.
func (e *entitling) instalment(lead Rate, terms []Term, payer string) (computed, *Refusal, error) {
	convention, origin, err := e.convention(lead, payer)
	if err != nil {
		return computed{}, nil, err
	}
	in := InstalmentInput{
		PaymentCode: lead.PaymentCode, Terms: terms,
		Instalments: lead.Months(), Number: e.in.Month.Sub(lead.From) + 1,
		Convention: convention, ConventionOrigin: origin, Clause: clause(lead, e.in.Month),
	}
	out := computed{instalments: in.Instalments}
	out.amount, out.steps, err = Instalment(in)
	if err == nil {
		out.period, err = in.Period()
	}
	if f, ok := fault.As(err); ok {
		missing := f.Meta["missing"]
		if missing == "" {
			missing = f.Message
		}
		return computed{}, &Refusal{
			Reason: f.Reason, Missing: missing, Remedy: "enter the figure anew, or set another instalment convention",
			Quantity: terms[0].Population.Total(), Unit: terms[0].Unit,
		}, nil
	}
	if err != nil {
		return computed{}, nil, err
	}
	out.basis = in.Basis()
	return out, nil, nil
}

func registeredOf(practice *Practice) *big.Rat {
	if figure, ok := practice.Populations[RegisteredPatient]; ok {
		return figure.Value
	}
	return new(big.Rat)
}

// declared decides a payment that is made once, for each accepted declaration of the month: its full-year value times the
// share awarded, whenever in the year it was declared.
func (e *entitling) declared(rate Rate, pcn *PCN) error {
	for _, declaration := range e.in.Declarations {
		if declaration.PCNCode != pcn.Code || declaration.PaymentCode != rate.PaymentCode || declaration.Month != e.in.Month {
			continue
		}
		group := e.group(rate, pcn)
		group.Item = declaration.ID
		if pcn.PayerCode == "" {
			e.refuse(payerUnknown(group, pcn.RegisteredPatients()))
			continue
		}
		if !pcn.InForce(e.in.Picture.Day) {
			e.refuse(e.notInForce(group, pcn))
			continue
		}
		terms, late, refusal := e.terms([]Rate{rate}, pcn)
		if refusal == nil {
			refusal = e.unpayable([]Rate{rate}, terms)
		}
		if refusal != nil {
			refusal.Group = group
			e.refuse(*refusal)
			continue
		}
		due, err := declaredAmount(rate, terms[0], declaration, e.in.Month)
		if err != nil {
			return err
		}
		e.state(group, rate, pcn.Name, pcn.LocationCode, due)
		e.entitle(group, rate, pcn, due, late)
	}
	return nil
}

func declaredAmount(rate Rate, t Term, declaration Declaration, month period.Month) (computed, error) {
	var b working.Builder
	population := populationOf(&b, t)
	rateTerm := b.Input("rate", t.RateGBP, "GBP_per_"+rate.Unit.Singular(), t.RateOrigin)
	share := b.Input("share", declaration.Share, "share", working.Origin{Kind: working.FromDeclaration, Ref: declaration.ID})
	full := b.Step("full_value", working.Multiply, "GBP", clause(rate, month), rateTerm, population)
	due := b.Step("due", working.Multiply, "GBP", "full-year value of a declared part, whenever it is declared", full, share)
	b.Round("amount", money.HalfUp, 2, "GBP", "rounded half up once; paid once, not in instalments", due)
	amount, err := money.RoundHalfUp(due.Value)
	basis := &Basis{Factors: []Factor{t.factor("")}, Instalments: 1, Share: declaration.Share, Clause: clause(rate, month)}
	return computed{amount: amount, period: amount, instalments: 1, steps: b.Done(), basis: basis}, err
}

// populationOf notes the practices' figures and their sum, or the figure supplied for the whole.
func populationOf(b *working.Builder, t Term) working.Term {
	if len(t.Population.Practices) == 0 {
		return b.Input("population", t.Population.Total(), t.Unit, t.Population.Origin)
	}
	parts := make([]working.Term, len(t.Population.Practices))
	for i, practice := range t.Population.Practices {
		parts[i] = b.Input(practice.Code+"_population", practice.Value, t.Unit, practice.Origin)
	}
	return b.Step("population", working.Add, t.Unit, "", parts...)
}

// terms pairs each rate of a payment with its own population, or says which figure is missing.
func (e *entitling) terms(components []Rate, pcn *PCN) ([]Term, bool, *Refusal) {
	terms := make([]Term, 0, len(components))
	late := false
	for _, rate := range components {
		if rate.Unit == CareHomeBed {
			if pcn.Beds == nil {
				return nil, false, &Refusal{
					Reason: ReasonBedsMissing, Missing: "care home beds of " + e.in.Month.String(),
					Remedy: "load the care home beds, or record them for the PCN",
				}
			}
			terms = append(terms, term(rate, Population{
				Value:  new(big.Rat).SetInt64(pcn.Beds.Count),
				Origin: working.Origin{Kind: working.FromSnapshot, Ref: pcn.Beds.LoadID, Source: "beds stated for " + pcn.Beds.StatedMonth.String()},
			}))
			continue
		}
		population, isLate, refusal := e.population(rate.Unit, pcn)
		if refusal != nil {
			return nil, false, refusal
		}
		late = late || isLate
		t := term(rate, population)
		t.Clause = clause(rate, e.in.Month)
		terms = append(terms, t)
	}
	return terms, late, nil
}

func term(rate Rate, population Population) Term {
	return Term{
		Name: rate.Component, RateGBP: rate.RateGBP, MonthlyRateGBP: rate.MonthlyRateGBP,
		RateOrigin: working.Origin{Kind: working.FromRate, Ref: rate.ID, Source: rate.Source, Confidence: rate.Confidence},
		Population: population, Unit: rate.Unit.Plural(), Per: rate.Unit.Singular(),
	}
}

// population adds up the practices that take part, or takes the figure supplied for the network where they have none.
func (e *entitling) population(unit Unit, pcn *PCN) (Population, bool, *Refusal) {
	out := Population{Value: new(big.Rat)}
	late := false
	var missing []string
	for i := range pcn.Practices {
		practice := &pcn.Practices[i]
		if !practice.Participating {
			continue
		}
		figure, known := practice.Populations[unit]
		if !known {
			missing = append(missing, practice.Code)
			continue
		}
		late = late || figure.AppliedFrom.After(e.in.Month)
		out.Value.Add(out.Value, figure.Value)
		out.Practices = append(out.Practices, PracticePopulation{practice.Code, figure.Value, snapshotOrigin(figure.LoadID)})
	}
	if len(missing) == 0 && len(out.Practices) > 0 {
		return out, late, nil
	}
	if whole, supplied := pcn.Populations[unit]; supplied && len(out.Practices) == 0 {
		return Population{Value: whole.Value, Origin: snapshotOrigin(whole.LoadID)}, whole.AppliedFrom.After(e.in.Month), nil
	}
	return Population{}, false, &Refusal{
		Reason: ReasonPopulationMissing, Missing: e.populationName(unit), Remedy: populationRemedy(unit),
		Practices: missing, Quantity: pcn.RegisteredPatients(), Unit: "patients",
	}
}

func (e *entitling) populationName(unit Unit) string {
	return unit.Adjective() + " population at " + e.in.Picture.ListDate.String()
}

func populationRemedy(unit Unit) string {
	return "load the " + unit.Adjective() + " populations of that day, or record the figure: 0 for a practice that had none"
}

func snapshotOrigin(loadID string) working.Origin {
	return working.Origin{Kind: working.FromSnapshot, Ref: loadID}
}

// unpayable refuses a payment whose rate is unknown or not confirmed. Where a candidate stands, the pounds it would come to
// are told.
func (e *entitling) unpayable(components []Rate, terms []Term) *Refusal {
	for i, rate := range components {
		if rate.Confidence.Payable() && rate.RateGBP != nil {
			continue
		}
		name := rate.PaymentCode
		if rate.Component != "" {
			name += " " + rate.Component
		}
		refusal := &Refusal{
			Missing:  fmt.Sprintf("rate of %s for %s to %s (%s)", name, rate.From, rate.To, rate.ID),
			Quantity: terms[i].Population.Total(), Unit: terms[i].Unit,
		}
		if rate.Confidence != working.Candidate || rate.RateGBP == nil {
			refusal.Reason, refusal.Remedy = ReasonRateUnknown, "enter the figure with its source: confirm rate "+rate.ID
			return refusal
		}
		refusal.Reason, refusal.Remedy = ReasonRateNotConfirmed, "confirm rate "+rate.ID+" with its source"
		instalments := int64(1)
		if rate.Timing == Monthly {
			instalments = int64(rate.Months())
		}
		would := new(big.Rat).Mul(rate.RateGBP, terms[i].Population.Total())
		if pence, err := money.RoundHalfUp(would.Quo(would, big.NewRat(instalments, 1))); err == nil {
			refusal.Candidate = &pence
		}
		return refusal
	}
	return nil
}

func (e *entitling) convention(rate Rate, payer string) (Convention, working.Origin, error) {
	setting, found := SettingFor(e.in.Settings, payer, SettingConvention, rate.PaymentCode, e.in.Month)
	if !found {
		return PCNAnnual, working.Origin{Kind: working.FromSetting, Ref: "default", Source: PCNAnnual.String()}, nil
	}
	convention, err := ParseConvention(setting.Value)
	if err != nil {
		return 0, working.Origin{}, err
	}
	return convention, working.Origin{Kind: working.FromSetting, Ref: setting.ID, Source: setting.Value}, nil
}

func clause(rate Rate, month period.Month) string {
	return "Network Contract DES " + month.FinancialYear().String() + ": " + rate.Name +
		", " + strconv.Itoa(rate.Months()) + " months from " + rate.From.String()
}
