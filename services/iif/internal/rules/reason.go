package rules

// Stable reason codes of refusals, and of what is noted with a result. A released code is never renamed.
const (
	// Figures that are not known, or wait for a person's confirmation.
	ReasonPriceUnknown              = "PRICE_UNKNOWN"
	ReasonPriceNotConfirmed         = "PRICE_NOT_CONFIRMED"
	ReasonAverageUnknown            = "AVERAGE_LIST_UNKNOWN"
	ReasonAverageNotConfirmed       = "AVERAGE_LIST_NOT_CONFIRMED"
	ReasonPrevalenceUnknown         = "PREVALENCE_UNKNOWN"
	ReasonPrevalenceNotConfirmed    = "PREVALENCE_NOT_CONFIRMED"
	ReasonPointsUnknown             = "POINTS_UNKNOWN"
	ReasonPointsNotConfirmed        = "POINTS_NOT_CONFIRMED"
	ReasonThresholdUnknown          = "THRESHOLD_UNKNOWN"
	ReasonThresholdNotConfirmed     = "THRESHOLD_NOT_CONFIRMED"
	ReasonPrevalenceRuleUnknown     = "PREVALENCE_RULE_UNKNOWN"
	ReasonPrevalenceRuleUnconfirmed = "PREVALENCE_RULE_NOT_CONFIRMED"
	ReasonListSizeMissing           = "LIST_SIZE_MISSING"
	ReasonFigureInvalid             = "FIGURE_INVALID"

	// Versions and indicators.
	ReasonVersionUnknown      = "SCHEME_VERSION_UNKNOWN"
	ReasonVersionIncomplete   = "SCHEME_VERSION_INCOMPLETE"
	ReasonIndicatorUndefined  = "INDICATOR_UNDEFINED"
	ReasonIndicatorSuspended  = "INDICATOR_SUSPENDED"
	ReasonIndicatorDeferred   = "INDICATOR_DEFERRED"
	ReasonIndicatorRetired    = "INDICATOR_RETIRED"
	ReasonIndicatorReplaced   = "INDICATOR_REPLACED"
	ReasonNationalOverride    = "NATIONAL_OVERRIDE"
	ReasonIndicatorTwice      = "INDICATOR_TWICE"
	ReasonOverrideUnconfirmed = "OVERRIDE_NOT_CONFIRMED"

	// Counts.
	ReasonCountMalformed     = "COUNT_MALFORMED"
	ReasonCountMissing       = "COUNT_MISSING"
	ReasonCountSuppressed    = "COUNT_SUPPRESSED"
	ReasonCountsDisagree     = "COUNTS_DISAGREE"
	ReasonFieldMisplaced     = "FIELD_MISPLACED"
	ReasonNoPercentage       = "NO_PERCENTAGE"
	ReasonAboveWhole         = "ABOVE_WHOLE"
	ReasonNotAnswered        = "NOT_ANSWERED"
	ReasonBedsNotEntered     = "BEDS_NOT_ENTERED"
	ReasonLoadedAsNothing    = "LOADED_AS_NOTHING"
	ReasonPracticeTwice      = "PRACTICE_TWICE"
	ReasonSubmissionTwice    = "SUBMISSION_TWICE"
	ReasonBandWithoutPeople  = "BAND_WITHOUT_PATIENTS"
	ReasonBelowLower         = "BELOW_LOWER_THRESHOLD"
	ReasonAnsweredNo         = "ANSWERED_NO"
	ReasonDistanceNotCounted = "DISTANCE_NOT_IN_PATIENTS"

	// Workflow.
	ReasonStepOutOfOrder     = "STEP_OUT_OF_ORDER"
	ReasonRoleNotAllowed     = "ROLE_NOT_ALLOWED"
	ReasonNotNominated       = "NOT_NOMINATED"
	ReasonPersonRequired     = "PERSON_REQUIRED"
	ReasonApproverIsMaker    = "APPROVER_IS_MAKER"
	ReasonIndicatorsMissing  = "INDICATORS_MISSING"
	ReasonFiguresMissing     = "FIGURES_MISSING"
	ReasonResultChanged      = "RESULT_CHANGED"
	ReasonResultUnnamed      = "RESULT_UNNAMED"
	ReasonYearNotOver        = "YEAR_NOT_OVER"
	ReasonDayInvalid         = "DAY_INVALID"
	ReasonCommitmentRequired = "REINVESTMENT_COMMITMENT_REQUIRED"
	ReasonCommitmentInvalid  = "REINVESTMENT_COMMITMENT_INVALID"
	ReasonReasonRequired     = "REASON_REQUIRED"
	ReasonOutcomeRequired    = "OUTCOME_REQUIRED"
	ReasonAlreadyApproved    = "ALREADY_APPROVED"
	ReasonPaymentDayUnknown  = "PAYMENT_DAY_UNKNOWN"

	// Settings and corrections.
	ReasonSettingInvalid   = "SETTING_INVALID"
	ReasonPaidTwice        = "PAID_TWICE"
	ReasonResultIncomplete = "RESULT_INCOMPLETE"
)
