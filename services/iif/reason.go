package iif

// Stable reason codes of what handlers refuse; those of results are in internal/rules. Together they equal the values of
// pcnfunding.iif.v1.Reason.
const (
	// Figures and scheme.
	reasonFigureNotFound       = "FIGURE_NOT_FOUND"
	reasonFigureReplaced       = "FIGURE_REPLACED"
	reasonFigureNotConfirmable = "FIGURE_NOT_CONFIRMABLE"
	reasonFigureValueRequired  = "FIGURE_VALUE_REQUIRED"
	reasonFigureSubjectInvalid = "FIGURE_SUBJECT_INVALID"
	reasonFigurePeriodInvalid  = "FIGURE_PERIOD_INVALID"
	reasonConfirmerIsAuthor    = "CONFIRMER_IS_AUTHOR"
	reasonApproverRequired     = "APPROVER_REQUIRED"
	reasonKnownAtInFuture      = "KNOWN_AT_IN_FUTURE"
	reasonDecimalMalformed     = "DECIMAL_MALFORMED"
	reasonMonthMalformed       = "MONTH_MALFORMED"
	reasonYearMalformed        = "YEAR_MALFORMED"
	reasonYearOutOfRange       = "YEAR_OUT_OF_RANGE"

	// Counts.
	reasonImportNotFound   = "IMPORT_NOT_FOUND"
	reasonFileMalformed    = "FILE_MALFORMED"
	reasonFileHasBadRows   = "FILE_HAS_BAD_ROWS"
	reasonCountsInvalid    = "COUNTS_INVALID"
	reasonCountsNotLoaded  = "COUNTS_NOT_LOADED"
	reasonIndicatorUnknown = "INDICATOR_UNKNOWN"

	// Years of PCNs.
	reasonYearNotCalculated      = "YEAR_NOT_CALCULATED"
	reasonResultNotFound         = "RESULT_NOT_FOUND"
	reasonResultOutdated         = "RESULT_OUTDATED"
	reasonNominationNotFound     = "NOMINATION_NOT_FOUND"
	reasonNominationStateDiffers = "NOMINATION_STATE_DIFFERS"
	reasonNominationsFull        = "NOMINATIONS_FULL"
	reasonNominationExists       = "NOMINATION_EXISTS"
	reasonEtagRequired           = "ETAG_REQUIRED"
	reasonVersionChanged         = "VERSION_CHANGED"
	reasonCorrectionNotFound     = "CORRECTION_NOT_FOUND"
	reasonCorrectionStateDiffers = "CORRECTION_STATE_DIFFERS"
	reasonCorrectionWaits        = "CORRECTION_WAITS"
	reasonNothingToCorrect       = "NOTHING_TO_CORRECT"
	reasonNotApproved            = "NOT_APPROVED"
	reasonNotScheduled           = "NOT_SCHEDULED"

	// Closes of months and their schedules.
	reasonMonthNotStarted        = "MONTH_NOT_STARTED"
	reasonMonthOutOfRange        = "MONTH_OUT_OF_RANGE"
	reasonCommissionerNotInForce = "COMMISSIONER_NOT_IN_FORCE"
	reasonPayeeNotRecorded       = "PAYEE_NOT_RECORDED"
	reasonScheduleNotFound       = "SCHEDULE_NOT_FOUND"
	reasonLineNotFound           = "LINE_NOT_FOUND"
)
