package feed

// Stable reason codes of what is wrong with a file of attendances. A released code is never renamed.
const (
	// Of the whole file.
	ReasonFileEmpty         = "FILE_EMPTY"
	ReasonLayoutMismatch    = "LAYOUT_MISMATCH"
	ReasonPatientLevel      = "PATIENT_LEVEL_COLUMN"
	ReasonCommissionerUnset = "COMMISSIONER_COLUMN_REQUIRED"
	ReasonFileTooLong       = "FILE_TOO_LONG"
	ReasonFileTooWide       = "FILE_TOO_WIDE"

	// Of a row.
	ReasonRowDamaged            = "ROW_DAMAGED"
	ReasonRowRagged             = "ROW_RAGGED"
	ReasonLineTooLong           = "LINE_TOO_LONG"
	ReasonValueMissing          = "VALUE_MISSING"
	ReasonCodeMalformed         = "CODE_MALFORMED"
	ReasonMonthMalformed        = "MONTH_MALFORMED"
	ReasonMonthNotBegun         = "MONTH_NOT_BEGUN"
	ReasonDepartmentUnknown     = "DEPARTMENT_TYPE_UNKNOWN"
	ReasonCategoryUnmapped      = "CATEGORY_UNMAPPED"
	ReasonCountMalformed        = "COUNT_MALFORMED"
	ReasonCostMalformed         = "COST_MALFORMED"
	ReasonCommissionerElsewhere = "COMMISSIONER_MISMATCH"
	ReasonKeyRepeated           = "KEY_REPEATED"
)
