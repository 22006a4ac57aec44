// Package rules decides: which sources speak for a day, which practices make up which PCN on it, who owes each PCN money, what
// is odd about it, and whether an opt-out notice is in time. It is given loaded data and returns what it found; it reads no
// database, clock or file.
package rules

// Stable reason codes of the register, equal to the Reason enum of its contract.
const (
	// ReasonFileKindUnknown says that a header matches no kind of file.
	ReasonFileKindUnknown = "FILE_KIND_UNKNOWN"
	// ReasonFileKindMismatch says that a file is not of the kind the caller named.
	ReasonFileKindMismatch = "FILE_KIND_MISMATCH"
	// ReasonFileDamaged says that a file or a cell cannot be read.
	ReasonFileDamaged = "FILE_DAMAGED"
	// ReasonLineTooLong says that a line passes the limit.
	ReasonLineTooLong = "LINE_TOO_LONG"
	// ReasonFileEmpty says that a file holds no data rows.
	ReasonFileEmpty = "FILE_EMPTY"
	// ReasonFileHasBadRows says that nothing was stored because rows are bad.
	ReasonFileHasBadRows = "FILE_HAS_BAD_ROWS"
	// ReasonColumnMissing says that a required column is absent.
	ReasonColumnMissing = "COLUMN_MISSING"
	// ReasonRowRagged says that a row has more or fewer cells than the header.
	ReasonRowRagged = "ROW_RAGGED"
	// ReasonValueMissing says that a required value is empty.
	ReasonValueMissing = "VALUE_MISSING"
	// ReasonNumberMalformed says that a number is not in plain digits.
	ReasonNumberMalformed = "NUMBER_MALFORMED"
	// ReasonNumberOutOfRange says that a number is beyond the bounds of its kind.
	ReasonNumberOutOfRange = "NUMBER_OUT_OF_RANGE"
	// ReasonDateMalformed says that a date is in no known style or not in the calendar.
	ReasonDateMalformed = "DATE_MALFORMED"
	// ReasonPeriodReversed says that a period ends before it starts.
	ReasonPeriodReversed = "PERIOD_REVERSED"
	// ReasonRowDuplicate says that a subject stands twice in one file.
	ReasonRowDuplicate = "ROW_DUPLICATE"
	// ReasonExtractDateMixed says that rows of one file speak for different dates.
	ReasonExtractDateMixed = "EXTRACT_DATE_MIXED"
	// ReasonCodeMalformed says that a code holds characters no organisation code has.
	ReasonCodeMalformed = "CODE_MALFORMED"
	// ReasonOrganisationUnknown says that the register does not know an organisation.
	ReasonOrganisationUnknown = "ORGANISATION_UNKNOWN"
	// ReasonCommissionerNotInForce says that a commissioner owed nothing on the date.
	ReasonCommissionerNotInForce = "COMMISSIONER_NOT_IN_FORCE"
	// ReasonMembershipNotLoaded says that no source tells the members on the date.
	ReasonMembershipNotLoaded = "MEMBERSHIP_NOT_LOADED"
	// ReasonLoadNotFound says that there is no such load.
	ReasonLoadNotFound = "LOAD_NOT_FOUND"
	// ReasonSnapshotNotFound says that there is no such snapshot.
	ReasonSnapshotNotFound = "SNAPSHOT_NOT_FOUND"
	// ReasonOptOutOutsideWindow says that a notice falls in no window.
	ReasonOptOutOutsideWindow = "OPT_OUT_OUTSIDE_WINDOW"
	// ReasonMonthMalformed says that a month is not written YYYY-MM.
	ReasonMonthMalformed = "MONTH_MALFORMED"
	// ReasonKnownAtInFuture says that knowledge of the future was asked for.
	ReasonKnownAtInFuture = "KNOWN_AT_IN_FUTURE"
	// ReasonValueNotAllowed says that a value is not one of those allowed.
	ReasonValueNotAllowed = "VALUE_NOT_ALLOWED"
	// ReasonSuccessionDiffers says that all a commissioner owes passes to another already.
	ReasonSuccessionDiffers = "SUCCESSION_DIFFERS"
	// ReasonPayerUnknown: it is not known who owes a PCN's payments on the day.
	ReasonPayerUnknown = "PAYER_UNKNOWN"
	// ReasonYearMalformed: a financial year is not written YYYY-YY.
	ReasonYearMalformed = "YEAR_MALFORMED"
	// ReasonRequirementNotFound: no such requirement, or none that the caller may see.
	ReasonRequirementNotFound = "REQUIREMENT_NOT_FOUND"
	// ReasonRequirementYearFixed: a version names another financial year than the requirement has.
	ReasonRequirementYearFixed = "REQUIREMENT_YEAR_FIXED"
	// ReasonRequirementNotOwn: the commissioner has no version of its own to take back.
	ReasonRequirementNotOwn = "REQUIREMENT_NOT_OWN"
	// ReasonRequirementPutOff: the requirement is put off for the year: nothing is recorded of it.
	ReasonRequirementPutOff = "REQUIREMENT_PUT_OFF"
	// ReasonStepNotAllowed: the step does not follow from where the requirement stands.
	ReasonStepNotAllowed = "STEP_NOT_ALLOWED"
	// ReasonEvidenceMissing: evidence cannot be accepted without its kind and its reference.
	ReasonEvidenceMissing = "EVIDENCE_MISSING"
	// ReasonAccepterIsMaker: who said that it was delivered does not accept the evidence.
	ReasonAccepterIsMaker = "ACCEPTER_IS_MAKER"
	// ReasonReasonMissing: the step needs a reason.
	ReasonReasonMissing = "REASON_MISSING"
	// ReasonDayInFuture: a day on which something was done lies in the future.
	ReasonDayInFuture = "DAY_IN_FUTURE"
	// ReasonETagRequired: the tag of the last read is missing.
	ReasonETagRequired = "ETAG_REQUIRED"
	// ReasonVersionChanged: it has changed since it was read: read it again.
	ReasonVersionChanged = "VERSION_CHANGED"
	// ReasonCalendarItemNotFound: no such item of the calendar, or none that the caller may see.
	ReasonCalendarItemNotFound = "CALENDAR_ITEM_NOT_FOUND"
	// ReasonCalendarDayInvalid: an item has neither a day nor a window, both, or half a window.
	ReasonCalendarDayInvalid = "CALENDAR_DAY_INVALID"
	// ReasonCalendarStateDiffers: the item stands where the change would bring it.
	ReasonCalendarStateDiffers = "CALENDAR_STATE_DIFFERS"
	// ReasonBankHolidaysUnknown: the bank holidays of the year are not held, so that its working days are not known.
	ReasonBankHolidaysUnknown = "BANK_HOLIDAYS_UNKNOWN"
)
