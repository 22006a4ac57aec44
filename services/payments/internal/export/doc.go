// Package export renders the finance files of an approved payment run: journal, payables invoices, contract variation,
// remittance, transparency list and bank credit transfers. It has no input, output, clock or database: the caller loads a
// Batch and the Coding, asks Missing what still blocks the file, and lets Render write it. The same content gives the same
// bytes, whatever the order it came in.
//
// Words, each with one meaning:
//
//   - A batch is what one export writes: the payments of one run of one commissioner.
//   - A payment is what one payee gets, under one reference; its lines sum to it.
//   - A segment is one part of the ledger code a line is posted to; the control is the payables account that balances a journal.
//   - A profile says how a file is laid out: which columns, what they are called, how dates and signs are written.
//   - A gap is one figure or code without which a file would be wrong, so that it is not written.
//   - A token stands for a bank account. Only Resolve sees what it stands for.
//
// CSV follows RFC 4180: UTF-8 without a byte order mark, lines ended by CR LF, amounts in pounds with two decimals. A line break
// or another control character within a value becomes a space, since ledger loaders read line by line, and a value that a
// spreadsheet would take for a formula is made text.
package export

// Stable reason codes.
const (
	// ReasonIncomplete says that codes, VAT treatments, suppliers, accounts or settings are missing; each is named.
	ReasonIncomplete = "EXPORT_INCOMPLETE"
	// ReasonVATRateNotStated says that a line is taxed and nobody has stated at which rate.
	ReasonVATRateNotStated = "VAT_RATE_NOT_STATED"
	// ReasonProfileInvalid says that a profile cannot lay out its file; each fault of it is named.
	ReasonProfileInvalid = "EXPORT_PROFILE_INVALID"
	// ReasonIdentifierInvalid says that an identifier is not one that a bank file can carry.
	ReasonIdentifierInvalid = "BANK_IDENTIFIER_INVALID"
	// ReasonAccountNotResolved says that account tokens stand for no account.
	ReasonAccountNotResolved = "ACCOUNT_NOT_RESOLVED"
	// ReasonBankDetailsInvalid says that what a token stands for is not a United Kingdom account. The details are not shown.
	ReasonBankDetailsInvalid = "BANK_DETAILS_INVALID"
	// ReasonTemplateAltered says that the transfers of a template do not agree with its count and sum.
	ReasonTemplateAltered = "BANK_TEMPLATE_ALTERED"
)
