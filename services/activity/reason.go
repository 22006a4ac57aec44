package activity

// Stable reason codes of what handlers refuse; those of results are in internal/rules and those of files in internal/feed. Together they
// equal the values of pcnfunding.activity.v1.Reason.
const (
	// Figures.
	reasonFigureNotFound       = "FIGURE_NOT_FOUND"
	reasonFigureReplaced       = "FIGURE_REPLACED"
	reasonFigureNotConfirmable = "FIGURE_NOT_CONFIRMABLE"
	reasonFigureValueRequired  = "FIGURE_VALUE_REQUIRED"
	reasonConfirmerIsAuthor    = "CONFIRMER_IS_AUTHOR"
	reasonApproverRequired     = "APPROVER_REQUIRED"
	reasonKnownAtInFuture      = "KNOWN_AT_IN_FUTURE"
	reasonDecimalMalformed     = "DECIMAL_MALFORMED"
	reasonYearMalformed        = "YEAR_MALFORMED"
	reasonDateMalformed        = "DATE_MALFORMED"

	// Imports.
	reasonImportNotFound  = "IMPORT_NOT_FOUND"
	reasonFileMalformed   = "FILE_MALFORMED"
	reasonFileHasBadRows  = "FILE_HAS_BAD_ROWS"
	reasonFinalCutStands  = "FINAL_CUT_STANDS"
	reasonReasonRequired  = "REASON_REQUIRED"
	reasonExtractInFuture = "EXTRACT_IN_FUTURE"
	reasonExtractOlder    = "EXTRACT_OLDER"
	reasonNotReportable   = "MONTH_NOT_REPORTABLE"

	// Reports.
	reasonReportNotFound        = "REPORT_NOT_FOUND"
	reasonCutNotFound           = "CUT_NOT_FOUND"
	reasonReportReplaced        = "REPORT_REPLACED"
	reasonReportOutdated        = "REPORT_OUTDATED"
	reasonReportsNotComparable  = "REPORTS_NOT_COMPARABLE"
	reasonCommissionerAmbiguous = "COMMISSIONER_AMBIGUOUS"
	reasonHashDiffers           = "HASH_DIFFERS"
)
