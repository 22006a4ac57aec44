package rules

import "github.com/pcnfunding/pcnfunding/pkg/fault"

// Stable reason codes of refusals. A released code is never renamed.
const (
	// Figures that are not known, or wait for a person's confirmation.
	ReasonAmountUnknown            = "AMOUNT_UNKNOWN"
	ReasonAmountNotConfirmed       = "AMOUNT_NOT_CONFIRMED"
	ReasonAllocationExceeded       = "ALLOCATION_EXCEEDED"
	ReasonPCNShareNotSet           = "PCN_SHARE_NOT_SET"
	ReasonLeadershipPercentMissing = "LEADERSHIP_PERCENT_MISSING"
	ReasonLeadershipReasonMissing  = "LEADERSHIP_REASON_MISSING"

	// Sharing.
	ReasonMethodMalformed       = "METHOD_MALFORMED"
	ReasonNoReceivers           = "NO_RECEIVERS"
	ReasonReceiverTwice         = "RECEIVER_TWICE"
	ReasonPercentagesExceedPool = "PERCENTAGES_EXCEED_POOL"
	ReasonFlatsExceedPool       = "FLATS_EXCEED_POOL"
	ReasonBidsExceedPool        = "BIDS_EXCEED_POOL"
	ReasonPopulationMissing     = "POPULATION_MISSING"
	ReasonWeightNegative        = "WEIGHT_NEGATIVE"
	ReasonNoWeight              = "NO_WEIGHT"

	// Plans.
	ReasonPlanLineMalformed             = "PLAN_LINE_MALFORMED"
	ReasonBeneficiariesMalformed        = "BENEFICIARIES_MALFORMED"
	ReasonTranchesMalformed             = "TRANCHES_MALFORMED"
	ReasonNotOfPCN                      = "NOT_OF_PCN"
	ReasonReleaseTimeWithoutDevelopment = "RELEASE_TIME_WITHOUT_DEVELOPMENT"
	ReasonChecksFailed                  = "CHECKS_FAILED"
	ReasonPlanStateWrong                = "PLAN_STATE_WRONG"
	ReasonRoleNotAllowed                = "ROLE_NOT_ALLOWED"
	ReasonSelfApproved                  = "SELF_APPROVED"
	ReasonConflictOfInterest            = "CONFLICT_OF_INTEREST"
	ReasonAssessmentMalformed           = "ASSESSMENT_MALFORMED"

	// Spend and what is left of it.
	ReasonSpendBelowEarlier       = "SPEND_BELOW_EARLIER"
	ReasonForecastBelowSpend      = "FORECAST_BELOW_SPEND"
	ReasonSpendReportMissing      = "SPEND_NOT_REPORTED"
	ReasonSpendMonthWrong         = "SPEND_MONTH_WRONG"
	ReasonPolicyOther             = "POLICY_OTHER"
	ReasonTreatmentExceedsUnspent = "TREATMENT_EXCEEDS_UNSPENT"
	ReasonYearNotOver             = "YEAR_NOT_OVER"

	// Need.
	ReasonNeedWeightsNotFound = "NEED_WEIGHTS_NOT_FOUND"
)

// Meta keys of a refusal for want of a figure or a fact.
const (
	metaMissing = "missing"
	metaRemedy  = "remedy"
)

// refuse names what is missing and what to do.
func refuse(reason, what, remedy string) *fault.Fault {
	return fault.New(fault.Refused, reason, "%s missing: %s", what, remedy).With(metaMissing, what).With(metaRemedy, remedy)
}
