package rules

// Stable reason codes of refusals, and of pounds that are claimed and not paid. A released code is never renamed.
const (
	// Figures that are not known, or wait for a person's confirmation.
	ReasonPriceUnknown          = "PRICE_UNKNOWN"
	ReasonPriceNotConfirmed     = "PRICE_NOT_CONFIRMED"
	ReasonSumUnknown            = "SUM_UNKNOWN"
	ReasonSumNotConfirmed       = "SUM_NOT_CONFIRMED"
	ReasonLimitUnknown          = "LIMIT_UNKNOWN"
	ReasonLimitNotConfirmed     = "LIMIT_NOT_CONFIRMED"
	ReasonListSizeMissing       = "LIST_SIZE_MISSING"
	ReasonPopulationMissing     = "POPULATION_MISSING"
	ReasonBaselineMissing       = "BASELINE_MISSING"
	ReasonFactMissing           = "FACT_MISSING"
	ReasonAgreedShareMissing    = "AGREED_SHARE_MISSING"
	ReasonTransferWindowUnknown = "TRANSFER_WINDOW_UNKNOWN"
	ReasonParameterUnknown      = "PARAMETER_UNKNOWN"

	// Test of the role and its limits.
	ReasonRoleUnknown             = "ROLE_UNKNOWN"
	ReasonRoleNotReimbursable     = "ROLE_NOT_REIMBURSABLE"
	ReasonRoleNotAgreed           = "ROLE_NOT_AGREED"
	ReasonOutsideEngagement       = "OUTSIDE_ENGAGEMENT"
	ReasonAlreadyClaimed          = "ALREADY_CLAIMED"
	ReasonFeeNotAllowed           = "FEE_NOT_ALLOWED"
	ReasonFeeOverAllowance        = "FEE_OVER_ALLOWANCE"
	ReasonTrainingNotReimbursable = "TRAINING_NOT_REIMBURSABLE"
	ReasonLimitReached            = "LIMIT_REACHED"
	ReasonProviderNotAgreed       = "PROVIDER_NOT_AGREED"
	ReasonTrainingPathwayNotMet   = "TRAINING_PATHWAY_NOT_MET"
	ReasonLevelNotMet             = "LEVEL_NOT_MET"
	ReasonNurseNotCounted         = "NURSE_NOT_COUNTED"
	ReasonHeldPostInNetwork       = "HELD_POST_IN_NETWORK"
	ReasonTrainedTooLongAgo       = "TRAINED_TOO_LONG_AGO"
	ReasonSubstantiveGPBefore     = "SUBSTANTIVE_GP_BEFORE"
	ReasonTemporaryPost           = "TEMPORARY_POST"
	ReasonSecondJob               = "SECOND_JOB"
	ReasonTermsBelowModel         = "TERMS_BELOW_MODEL"

	// Test of additionality.
	ReasonInBaseline       = "IN_BASELINE"
	ReasonTransferredLate  = "TRANSFERRED_LATE"
	ReasonWithinBaseline   = "WITHIN_BASELINE"
	ReasonTransferNotKnown = "TRANSFER_NOT_KNOWN"

	// Tests of the monthly maximum and the yearly sum.
	ReasonNetworkShare = "NETWORK_SHARE"
	ReasonOverMaximum  = "OVER_MAXIMUM"
	ReasonOverCeiling  = "OVER_WTE_CEILING"
	ReasonOverYearSum  = "OVER_YEAR_SUM"
	ReasonNoPot        = "NO_POT"

	// Claims and forms.
	ReasonDecimalMalformed = "DECIMAL_MALFORMED"
	ReasonAmountNegative   = "AMOUNT_NEGATIVE"
	ReasonValueOutOfRange  = "VALUE_OUT_OF_RANGE"
	ReasonValueRequired    = "VALUE_REQUIRED"
	ReasonDatesOutOfOrder  = "DATES_OUT_OF_ORDER"
	ReasonMonthOutOfRange  = "MONTH_OUT_OF_RANGE"
	ReasonNotDeclared      = "NOT_DECLARED"
	ReasonMeasureMismatch  = "MEASURE_MISMATCH"
	ReasonLineTwice        = "LINE_TWICE"
	ReasonLineOfOtherYear  = "LINE_OF_OTHER_YEAR"

	// Backdated uplift.
	ReasonUpliftNotPassedOn = "UPLIFT_NOT_PASSED_ON"
	ReasonUpliftBelowPaid   = "UPLIFT_BELOW_PAID"

	// Unclaimed money and plans.
	ReasonNoUnclaimedMechanism  = "NO_UNCLAIMED_MECHANISM"
	ReasonAwardsStopped         = "AWARDS_STOPPED"
	ReasonUnclaimedExceedsSum   = "UNCLAIMED_EXCEEDS_SUM"
	ReasonBidInvalid            = "BID_INVALID"
	ReasonPlanRulesUnknown      = "PLAN_RULES_UNKNOWN"
	ReasonPlanFirmNotAllowed    = "PLAN_FIRM_NOT_ALLOWED"
	ReasonPlanLocked            = "PLAN_LOCKED"
	ReasonPlanYearOutOfRange    = "PLAN_YEAR_OUT_OF_RANGE"
	ReasonSettingInvalid        = "SETTING_INVALID"
	ReasonForecastPeriodInvalid = "FORECAST_PERIOD_INVALID"
	ReasonAmountOverflow        = "AMOUNT_OVERFLOW"
	ReasonFigureNegative        = "FIGURE_NEGATIVE"
)
