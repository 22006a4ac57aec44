package arrs

// Stable reason codes of what handlers refuse; those of claims and figures themselves are in internal/rules. Together they equal the
// values of pcnfunding.arrs.v1.Reason.
const (
	reasonFigureNotFound       = "FIGURE_NOT_FOUND"
	reasonFigureChanged        = "FIGURE_CHANGED"
	reasonFigureNotConfirmable = "FIGURE_NOT_CONFIRMABLE"
	reasonFigureValueRequired  = "FIGURE_VALUE_REQUIRED"
	reasonFigurePeriodInvalid  = "FIGURE_PERIOD_INVALID"
	reasonFigureSubjectInvalid = "FIGURE_SUBJECT_INVALID"
	reasonConfirmerIsAuthor    = "CONFIRMER_IS_AUTHOR"
	reasonApproverRequired     = "APPROVER_REQUIRED"
	reasonKnownAtInFuture      = "KNOWN_AT_IN_FUTURE"
	reasonDateMalformed        = "DATE_MALFORMED"
	reasonMonthMalformed       = "MONTH_MALFORMED"
	reasonYearMalformed        = "YEAR_MALFORMED"
	reasonDecisionInvalid      = "DECISION_INVALID"
	reasonEngagementNotFound   = "ENGAGEMENT_NOT_FOUND"
	reasonPCNNotFound          = "PCN_NOT_FOUND"
	reasonYearNotFound         = "YEAR_NOT_FOUND"
	reasonYearOutOfRange       = "YEAR_OUT_OF_RANGE"
	reasonFixInProgress        = "FIX_IN_PROGRESS"

	// Engagements, claims, and files of them.
	reasonEngagementInvalid    = "ENGAGEMENT_INVALID"
	reasonLabelTaken           = "LABEL_TAKEN"
	reasonYearNotFixed         = "YEAR_NOT_FIXED"
	reasonCommissionerDiffers  = "COMMISSIONER_DIFFERS"
	reasonClaimNotFound        = "CLAIM_NOT_FOUND"
	reasonClaimStateDiffers    = "CLAIM_STATE_DIFFERS"
	reasonClaimDiffers         = "CLAIM_DIFFERS"
	reasonDeciderIsSubmitter   = "DECIDER_IS_SUBMITTER"
	reasonReasonRequired       = "REASON_REQUIRED"
	reasonApprovedAbovePayable = "APPROVED_ABOVE_PAYABLE"
	reasonSumLowered           = "SUM_LOWERED"
	reasonLineNotFound         = "LINE_NOT_FOUND"
	reasonETagRequired         = "ETAG_REQUIRED"
	reasonVersionChanged       = "VERSION_CHANGED"
	reasonFileMalformed        = "FILE_MALFORMED"
	reasonFileHasBadRows       = "FILE_HAS_BAD_ROWS"
	reasonPCNNotYours          = "PCN_NOT_YOURS"
	reasonClaimInvalid         = "CLAIM_INVALID"
	reasonUpliftNotPublished   = "UPLIFT_NOT_PUBLISHED"
	reasonUpliftLineMissing    = "UPLIFT_LINE_MISSING"
	reasonUpliftMonthInvalid   = "UPLIFT_MONTH_INVALID"

	// Closes of months and their schedules.
	reasonMonthNotStarted        = "MONTH_NOT_STARTED"
	reasonCommissionerNotInForce = "COMMISSIONER_NOT_IN_FORCE"
	reasonPayeeNotRecorded       = "PAYEE_NOT_RECORDED"
	reasonScheduleNotFound       = "SCHEDULE_NOT_FOUND"

	// Unclaimed money.
	reasonUnclaimedNotFound   = "UNCLAIMED_NOT_FOUND"
	reasonUnclaimedNothing    = "UNCLAIMED_NOTHING"
	reasonUnclaimedNotWaiting = "UNCLAIMED_NOT_WAITING"
	reasonAgreerIsEstimator   = "AGREER_IS_ESTIMATOR"
	reasonBidNotFound         = "BID_NOT_FOUND"
	reasonBidNotOpen          = "BID_NOT_OPEN"
	reasonBidderGaveUp        = "BIDDER_GAVE_UP"
	reasonAwarderIsBidder     = "AWARDER_IS_BIDDER"
	reasonAwardEmpty          = "AWARD_EMPTY"

	// Plans and the published workforce.
	reasonDayInFuture             = "DAY_IN_FUTURE"
	reasonPlanNotFound            = "PLAN_NOT_FOUND"
	reasonPlanReplaced            = "PLAN_REPLACED"
	reasonPlanAlreadyAgreed       = "PLAN_ALREADY_AGREED"
	reasonPlanNotAgreed           = "PLAN_NOT_AGREED"
	reasonPlanLineInvalid         = "PLAN_LINE_INVALID"
	reasonPlanItemInvalid         = "PLAN_ITEM_INVALID"
	reasonWorkforceImportNotFound = "WORKFORCE_IMPORT_NOT_FOUND"
)
