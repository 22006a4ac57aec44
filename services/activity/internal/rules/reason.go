package rules

// Stable reason codes of refusals and of missing costs. A released code is never renamed.
const (
	ReasonPriceUnknown         = "PRICE_UNKNOWN"
	ReasonPriceNotConfirmed    = "PRICE_NOT_CONFIRMED"
	ReasonFactorUnknown        = "FACTOR_UNKNOWN"
	ReasonFactorNotConfirmed   = "FACTOR_NOT_CONFIRMED"
	ReasonPriceIsLocal         = "PRICE_IS_LOCAL"
	ReasonNotReconciled        = "NOT_RECONCILED"
	ReasonSettingInvalid       = "SETTING_INVALID"
	ReasonDueDayNotSet         = "DUE_DAY_NOT_SET"
	ReasonBankHolidaysUnknown  = "BANK_HOLIDAYS_UNKNOWN"
	ReasonAmountTooLarge       = "AMOUNT_TOO_LARGE"
	ReasonFigureSubjectInvalid = "FIGURE_SUBJECT_INVALID"
)

// Keys of what a refusal tells besides its words.
const (
	MetaMissing = "missing"
	MetaRemedy  = "remedy"
)
