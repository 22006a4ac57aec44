package arrs

import (
	"math/big"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

var testNames = map[rules.Test]string{
	rules.TestRole: "ROLE", rules.TestAdditional: "ADDITIONALITY", rules.TestMaximum: "MAXIMUM", rules.TestYearSum: "YEAR_SUM",
}

var outcomes = map[rules.Outcome]arrsv1.Outcome{
	rules.Passed: arrsv1.Outcome_PASSED, rules.Reduced: arrsv1.Outcome_REDUCED, rules.Failed: arrsv1.Outcome_FAILED,
	rules.Waits: arrsv1.Outcome_WAITING, rules.NotReached: arrsv1.Outcome_NOT_REACHED,
}

// words say what a reason means and what to do about it.
var words = map[string]string{
	rules.ReasonRoleUnknown:             "the role is not known",
	rules.ReasonRoleNotReimbursable:     "the role cannot be reimbursed on these days",
	rules.ReasonRoleNotAgreed:           "the commissioner has not agreed to the post: ask it to record the decision ROLE_AGREED",
	rules.ReasonOutsideEngagement:       "the engagement has no day in the month: it begins later, it ended, or a claim of an earlier month says that the person left",
	rules.ReasonAlreadyClaimed:          "the month of the engagement is claimed by another line: correct that one, or record a second engagement for other days or hours",
	rules.ReasonFeeNotAllowed:           "a supplier's fee is reimbursed for link workers only",
	rules.ReasonFeeOverAllowance:        "the supplier's fee is above what is allowed for it",
	rules.ReasonTrainingNotReimbursable: "time in this training is not reimbursed for the role",
	rules.ReasonLimitReached:            "the number of the role that a PCN may claim is reached",
	rules.ReasonProviderNotAgreed:       "the mental health provider has not agreed: ask the commissioner to record the decision PROVIDER_AGREED",
	rules.ReasonTrainingPathwayNotMet:   "the person is not on the training pathway, and no reason is given",
	rules.ReasonLevelNotMet:             "the person has not the capability that the role asks for",
	rules.ReasonNurseNotCounted:         "nurses do not count in the role in this year",
	rules.ReasonHeldPostInNetwork:       "the person held a post in the network shortly before",
	rules.ReasonTrainedTooLongAgo:       "the certificate of training is too old",
	rules.ReasonSubstantiveGPBefore:     "the person was a substantive GP before",
	rules.ReasonTemporaryPost:           "locums and temporary posts are not reimbursed",
	rules.ReasonSecondJob:               "the person holds another salaried post as a GP",
	rules.ReasonTermsBelowModel:         "the terms are below those of the model contract",
	rules.ReasonInBaseline:              "the post is among the staff of 31 March 2019",
	rules.ReasonTransferredLate:         "the transfer came after its window",
	rules.ReasonTransferNotKnown:        "no transfer scheme of this name is known for the role",
	rules.ReasonWithinBaseline:          "the working time lies within the baseline of 31 March 2019",
	rules.ReasonNetworkShare:            "the part of the cost that the PCN bears",
	rules.ReasonOverMaximum:             "the cost is above the month's maximum of the role",
	rules.ReasonOverCeiling:             "one person counts for no more WTE than the ceiling: the rest stands in other lines, or needs the decision OVER_CEILING_AGREED",
	rules.ReasonOverYearSum:             "what is left of the year's sum does not cover it",
	rules.ReasonUpliftNotPassedOn:       "the uplift was not paid to the person",
	rules.ReasonUpliftBelowPaid:         "less is due by the new maximum than was approved before",
	reasonUpliftNotPublished:            "the maximum of the month was not replaced after its end: there is no uplift to claim",
	reasonUpliftLineMissing:             "no line of the engagement is approved for the month: claim the month first",
}

// lineToAssessment writes what a line came to, without its entry and label.
func lineToAssessment(a *rules.Assessed) *arrsv1.ClaimLine {
	out := &arrsv1.ClaimLine{
		RoleCode: a.Role, Pot: potToProto(a.Pot), ClaimedPence: int64(a.Claimed), PayablePence: int64(a.Payable), Working: working.ToProto(a.Working),
	}
	if a.WTE != nil {
		out.Wte = money.Format(a.WTE)
	}
	explained := make(map[string]string)
	out.Parts = partsToProto(a.Parts)
	for _, part := range a.Parts {
		explained[part.Reason] = words[part.Reason]
		if part.Missing != "" {
			explained[part.Reason] = "the " + part.Missing + " is missing: " + part.Remedy
		}
	}
	for i := range a.Tests {
		shown := testToProto(&a.Tests[i])
		if shown.Message = explained[shown.GetReason()]; shown.GetMessage() == "" {
			shown.Message = words[shown.GetReason()]
		}
		for _, number := range a.Tests[i].Numbers {
			if number.Name == "monthly maximum" {
				out.MaximumPence = pence(number.Value)
			}
		}
		out.Tests = append(out.Tests, shown)
	}
	return out
}

func partsToProto(parts []rules.Part) []*arrsv1.Part {
	out := make([]*arrsv1.Part, len(parts))
	for i, part := range parts {
		out[i] = &arrsv1.Part{Test: testNames[part.Test], Reason: part.Reason, AmountPence: int64(part.Amount)}
	}
	return out
}

// testToProto writes how a test came out, without words.
func testToProto(result *rules.Result) *arrsv1.TestResult {
	out := &arrsv1.TestResult{Test: testNames[result.Test], Outcome: outcomes[result.Outcome], Numbers: make(map[string]string, len(result.Numbers))}
	if len(result.Reasons) > 0 {
		out.Reason = result.Reasons[0]
	}
	for _, number := range result.Numbers {
		out.Numbers[number.Name] = money.Format(number.Value)
	}
	return out
}

// pence rounds a figure that is shown, not paid.
func pence(value *big.Rat) int64 {
	amount, err := money.RoundHalfUp(value)
	if err != nil {
		return 0
	}
	return int64(amount)
}

func lineToProto(l *store.LineRow) *arrsv1.ClaimLine {
	out := proto.CloneOf(l.Assessment)
	out.LineId, out.Entry, out.RoleCode, out.Pot = l.ID, l.Entry, l.Role, potToProto(l.Pot)
	out.ClaimedPence, out.PayablePence, out.ApprovedPence, out.DecisionReason = int64(l.Claimed), int64(l.Payable), int64(l.Approved), l.Reason
	out.ReplacedPence, out.ReplacedByLineId, out.Terms = int64(l.Replaced), l.ReplacedBy, l.Terms
	return out
}

func claimToProto(c *store.ClaimRow, lines []store.LineRow) *arrsv1.Claim {
	out := &arrsv1.Claim{
		ClaimId: c.ID, PcnCode: c.PCNCode, CommissionerCode: c.CommissionerCode, Month: c.Month.String(), Kind: arrsv1.ClaimKind(c.Kind), //nolint:gosec // enum
		State: arrsv1.ClaimState(c.State), Notes: c.Notes, Query: c.Query, Totals: c.Totals, LineCount: int32(c.LineCount), //nolint:gosec // at most 500 lines
		Revision: int32(c.Revision), SubmittedBy: c.SubmittedBy, AmendedBy: c.AmendedBy, DecidedBy: c.DecidedBy, DecisionReason: c.DecisionReason, //nolint:gosec // few
		Erased: c.ErasedAt > 0, SubmittedAt: timestamp(c.SubmittedAt),
	}
	if c.DecidedBy != "" {
		out.DecidedAt = timestamp(c.DecidedAt)
	}
	if c.Version > 0 {
		out.Etag = versionTag(c.Version)
	}
	for i := range lines {
		out.Lines = append(out.Lines, lineToProto(&lines[i]))
	}
	return out
}
