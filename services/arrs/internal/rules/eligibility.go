package rules

import (
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Rule is what a person must meet to be claimed in a role.
type Rule string

// The rules. The number of months that a rule speaks of stands in its row.
const (
	// TrainingPathway asks for an approved pathway or equivalent, or reasons why not.
	TrainingPathway Rule = "TRAINING_PATHWAY"
	// Level7 asks for advanced capability.
	Level7 Rule = "LEVEL_7"
	// Level7OrRotational asks for it, or for a rotational model with an ambulance trust.
	Level7OrRotational Rule = "LEVEL_7_OR_ROTATIONAL"
	// NotANurse keeps nurses out of the role.
	NotANurse Rule = "NOT_A_NURSE"
	// NoPostInNetwork refuses who held a post with the network or a member practice in the months before, unless the move is to
	// a specialist or more senior nursing role.
	NoPostInNetwork Rule = "NO_POST_IN_NETWORK"
	// TrainedWithin asks that a GP's training certificate is no older than so many months.
	TrainedWithin Rule = "TRAINED_WITHIN"
	// NoSubstantiveGPPost refuses who was a substantive GP before.
	NoSubstantiveGPPost Rule = "NO_SUBSTANTIVE_GP_POST"
	// NotSubstantiveInNetwork refuses who was one for a practice of the network in the months before.
	NotSubstantiveInNetwork Rule = "NOT_SUBSTANTIVE_IN_NETWORK"
	// NotTemporary refuses locums; a fixed term with a regular pattern is not temporary.
	NotTemporary Rule = "NOT_TEMPORARY"
	// NoSecondJob refuses who is in a salaried post already.
	NoSecondJob Rule = "NO_SECOND_JOB"
	// ModelTerms asks for terms no worse than those of the model salaried GP contract.
	ModelTerms Rule = "MODEL_TERMS"
)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		TrainingPathway, Level7, Level7OrRotational, NotANurse, NoPostInNetwork, TrainedWithin, NoSubstantiveGPPost,
		NotSubstantiveInNetwork, NotTemporary, NoSecondJob, ModelTerms,
	}
}

// Eligibility is a rule in force for a role.
type Eligibility struct {
	Figure
	Months
	Role string
	Rule Rule
	// Span is the number of months the rule speaks of; 0 where it speaks of none.
	Span int
	// Waivable tells whether the commissioner may expressly agree otherwise.
	Waivable bool
}

// Facts is what a claim says of a person, as far as a rule asks for it.
type Facts struct {
	// TrainedOn is the day of a GP's certificate of completion of training.
	TrainedOn period.Date
	// SubstantiveGPBefore: was a substantive GP in general practice before.
	SubstantiveGPBefore Answer
	// Temporary: a locum, or a temporary post without a regular pattern.
	Temporary Answer
	// SalariedElsewhere: holds another salaried GP post.
	SalariedElsewhere Answer
	// ModelTerms: employed on terms no worse than the model ones.
	ModelTerms Answer
	// HeldPost: held a post with the network or a member practice before (for a GP, a substantive one), and LastPostEnded
	// the last day of it; no day while it lasts.
	HeldPost      Answer
	LastPostEnded period.Date
	// MoreSenior: the move is to a specialist or more senior nursing role.
	MoreSenior Answer
	// OnPathway: in, or through, the training pathway of the role; ReasonNotOnPathway says that reasons are given if not.
	OnPathway          Answer
	ReasonNotOnPathway bool
	// Level7: has the advanced capability or qualification the role asks for, and Rotational works in a rotational model.
	Level7     Answer
	Rotational Answer
	// Nurse: works in the role as a registered nurse.
	Nurse Answer
	// InBaseline: the person's post was among the staff of 31 March 2019. TransferScheme names the scheme that it was
	// transferred under and TransferredOn the day; both empty where it was not.
	InBaseline     Answer
	TransferScheme string
	TransferredOn  period.Date
}

// Person is who is asked about.
type Person struct {
	Role  string
	Start period.Date
	Facts Facts
	// GPAgreed tells that the commissioner expressly agreed to an earlier substantive post.
	GPAgreed bool
	// TrainingTestedOn is the day on which the age of a GP's certificate is tested where the commissioner decided it; no day
	// tests the start.
	TrainingTestedOn period.Date
}

// Eligible tells whether a person may be claimed: by the rules in force on the day the person started, or, for who was there
// before the role became reimbursable, on the role's first day. It returns nil, or the reason of the first rule that is not
// met, or FACT_MISSING naming the fact that a rule asks for. (Examples ARRS-S25 to S27.)
func Eligible(rules []Eligibility, role *Role, person Person, known period.Date) *fault.Fault {
	tested := person.Start
	if tested.Before(role.From) && (role.EarlyFrom.IsZero() || tested.Before(role.EarlyFrom)) {
		tested = role.From
	}
	for i := range rules {
		rule := &rules[i]
		if rule.Role != person.Role || !rule.Covers(tested.Month()) || !rule.knownTo(England, known) {
			continue
		}
		if refused := rule.met(person, tested); refused != nil {
			return refused.With("rule", rule.ID)
		}
	}
	return nil
}

func (e *Eligibility) met(p Person, tested period.Date) *fault.Fault {
	f := &p.Facts
	switch e.Rule {
	case TrainingPathway:
		if f.OnPathway == No && f.ReasonNotOnPathway {
			return nil
		}
		return expect(f.OnPathway, Yes, "training_pathway", ReasonTrainingPathwayNotMet)
	case Level7:
		return expect(f.Level7, Yes, "level_7", ReasonLevelNotMet)
	case Level7OrRotational:
		if f.Rotational == Yes {
			return nil
		}
		return expect(f.Level7, Yes, "level_7", ReasonLevelNotMet)
	case NotANurse:
		return expect(f.Nurse, No, "nurse", ReasonNurseNotCounted)
	case NoPostInNetwork:
		if f.MoreSenior == Yes {
			return nil
		}
		return e.leftLongAgo(f, tested, ReasonHeldPostInNetwork)
	case NotSubstantiveInNetwork:
		return e.leftLongAgo(f, tested, ReasonSubstantiveGPBefore)
	case TrainedWithin:
		return e.trained(p, tested)
	case NoSubstantiveGPPost:
		if e.Waivable && p.GPAgreed {
			return nil
		}
		return expect(f.SubstantiveGPBefore, No, "substantive_gp_before", ReasonSubstantiveGPBefore)
	case NotTemporary:
		return expect(f.Temporary, No, "temporary", ReasonTemporaryPost)
	case NoSecondJob:
		return expect(f.SalariedElsewhere, No, "salaried_elsewhere", ReasonSecondJob)
	case ModelTerms:
		return expect(f.ModelTerms, Yes, "model_terms", ReasonTermsBelowModel)
	default:
		return fault.New(fault.Refused, ReasonFactMissing, "the rule %s is not known", e.Rule)
	}
}

func expect(answer, wanted Answer, fact, reason string) *fault.Fault {
	switch answer {
	case wanted:
		return nil
	case Unstated:
		return missing(ReasonFactMissing, fact, "state it in the engagement")
	default:
		return fault.New(fault.Refused, reason, "%s is %s", fact, answer).With("fact", fact)
	}
}

// leftLongAgo holds that no post was held in the months before the day.
func (e *Eligibility) leftLongAgo(f *Facts, tested period.Date, reason string) *fault.Fault {
	if f.HeldPost == Unstated && f.LastPostEnded.IsZero() {
		return missing(ReasonFactMissing, "held_post_in_network", "state it in the engagement")
	}
	if f.HeldPost == No {
		return nil
	}
	if !f.LastPostEnded.IsZero() && f.LastPostEnded.Before(addMonths(tested, -e.Span)) {
		return nil
	}
	return fault.New(fault.Refused, reason, "a post in the network was held in the %d months before %s", e.Span, tested).
		With("last_post_ended", f.LastPostEnded)
}

// trained holds that the certificate is no older than its span; the anniversary itself is within.
func (e *Eligibility) trained(p Person, tested period.Date) *fault.Fault {
	if p.Facts.TrainedOn.IsZero() {
		return missing(ReasonFactMissing, "trained_on", "state the day of the training certificate")
	}
	if !p.TrainingTestedOn.IsZero() {
		tested = p.TrainingTestedOn
	}
	if anniversary := addMonths(p.Facts.TrainedOn, e.Span); tested.After(anniversary) {
		return fault.New(fault.Refused, ReasonTrainedTooLongAgo, "the %d months since training ended on %s, before %s", e.Span, anniversary, tested).
			With("trained_on", p.Facts.TrainedOn)
	}
	return nil
}

// addMonths returns the day so many months later, or the last of its month where there is no such day.
func addMonths(day period.Date, n int) period.Date {
	month := day.Month().Add(n)
	last := month.Last()
	if wanted := month.First().AddDays(dayOfMonth(day) - 1); !wanted.After(last) {
		return wanted
	}
	return last
}

func dayOfMonth(day period.Date) int { return day.Time().Day() }

func daysOf(month period.Month) int { return dayOfMonth(month.Last()) }
