package e2e

// The messages of payments as far as the tests read them.

type payRun struct {
	RunID            string         `json:"run_id"`
	CommissionerCode string         `json:"commissioner_code"`
	CommissionerName string         `json:"commissioner_name"`
	Month            string         `json:"month"`
	Number           int            `json:"number"`
	State            string         `json:"state"`
	Totals           runTotals      `json:"totals"`
	Funds            []expectedFund `json:"funds"`
	AssembledAt      string         `json:"assembled_at"`
	SubmittedBy      string         `json:"submitted_by"`
	SubmitNote       string         `json:"submit_note"`
	LinesSHA256      string         `json:"lines_sha256"`
	Approvals        []approval     `json:"approvals"`
	ApprovalsNeeded  int            `json:"approvals_needed"`
	EndedBy          string         `json:"ended_by"`
	EndReason        string         `json:"end_reason"`
	ReplacedByRunID  string         `json:"replaced_by_run_id"`
	ExportID         string         `json:"export_id"`
	ExportedAt       string         `json:"exported_at"`
	SettledAt        string         `json:"settled_at"`
	ETag             string         `json:"etag"`
}

type runTotals struct {
	Lines               int   `json:"lines"`
	Payees              int   `json:"payees"`
	LinesPence          int64 `json:"lines_pence,string"`
	BroughtForwardPence int64 `json:"brought_forward_pence,string"`
	CarriedForwardPence int64 `json:"carried_forward_pence,string"`
	NetPence            int64 `json:"net_pence,string"`
	Payments            int   `json:"payments"`
	HeldLines           int   `json:"held_lines"`
	HeldPence           int64 `json:"held_pence,string"`
}

type expectedFund struct {
	Fund          string   `json:"fund"`
	Closed        bool     `json:"closed"`
	ScheduleIDs   []string `json:"schedule_ids"`
	MissingReason string   `json:"missing_reason"`
}

type approval struct {
	ApprovedBy string `json:"approved_by"`
	ApprovedAt string `json:"approved_at"`
}

type runList struct {
	Runs          []payRun `json:"runs"`
	NextPageToken string   `json:"next_page_token"`
}

type payeeTotal struct {
	Payee               payee  `json:"payee"`
	Lines               int    `json:"lines"`
	LinesPence          int64  `json:"lines_pence,string"`
	BroughtForwardPence int64  `json:"brought_forward_pence,string"`
	CarriedForwardPence int64  `json:"carried_forward_pence,string"`
	NetPence            int64  `json:"net_pence,string"`
	PaymentID           string `json:"payment_id"`
	HeldLines           int    `json:"held_lines"`
	HeldPence           int64  `json:"held_pence,string"`
}

type payeeTotalList struct {
	Payees        []payeeTotal `json:"payees"`
	NextPageToken string       `json:"next_page_token"`
}

type runLine struct {
	Line          line   `json:"line"`
	ScheduleID    string `json:"schedule_id"`
	ScheduleMonth string `json:"schedule_month"`
	State         string `json:"state"`
	Holds         []hold `json:"holds"`
	RunID         string `json:"run_id"`
}

type runLineList struct {
	Lines         []runLine `json:"lines"`
	NextPageToken string    `json:"next_page_token"`
}

type hold struct {
	HoldID           string `json:"hold_id"`
	CommissionerCode string `json:"commissioner_code"`
	PayeeCode        string `json:"payee_code"`
	LineID           string `json:"line_id"`
	ReasonCode       string `json:"reason_code"`
	Reason           string `json:"reason"`
	PlacedBy         string `json:"placed_by"`
	ReleasedBy       string `json:"released_by"`
	ReleaseReason    string `json:"release_reason"`
	ETag             string `json:"etag"`
}

type holdList struct {
	Holds []hold `json:"holds"`
}

type payment struct {
	PaymentID        string `json:"payment_id"`
	RunID            string `json:"run_id"`
	CommissionerCode string `json:"commissioner_code"`
	Payee            payee  `json:"payee"`
	AmountPence      int64  `json:"amount_pence,string"`
	State            string `json:"state"`
	SentAt           string `json:"sent_at"`
	ConfirmedOn      string `json:"confirmed_on"`
	PayerReference   string `json:"payer_reference"`
	RejectReason     string `json:"reject_reason"`
	ETag             string `json:"etag"`
}

type paymentList struct {
	Payments      []payment `json:"payments"`
	NextPageToken string    `json:"next_page_token"`
}

type reissue struct {
	Payment payment `json:"payment"`
	RunID   string  `json:"run_id"`
}

type export struct {
	ExportID    string `json:"export_id"`
	RunID       string `json:"run_id"`
	Format      string `json:"format"`
	Instructs   bool   `json:"instructs"`
	Payments    int    `json:"payments"`
	AmountPence int64  `json:"amount_pence,string"`
	SHA256      string `json:"sha256"`
	SizeBytes   int64  `json:"size_bytes,string"`
	FileName    string `json:"file_name"`
	ExportedBy  string `json:"exported_by"`
	ExportedAt  string `json:"exported_at"`
}

type exportList struct {
	Exports []export `json:"exports"`
}

type recovery struct {
	CommissionerCode string `json:"commissioner_code"`
	Payee            payee  `json:"payee"`
	OutstandingPence int64  `json:"outstanding_pence,string"`
	InstalmentPence  int64  `json:"instalment_pence,string"`
	FromMonth        string `json:"from_month"`
	PlannedBy        string `json:"planned_by"`
}

type recoveryList struct {
	Recoveries []recovery `json:"recoveries"`
}

type account struct {
	CommissionerCode string `json:"commissioner_code"`
	Fund             string `json:"fund"`
	PayeeCode        string `json:"payee_code"`
	Stage            string `json:"stage"`
}

type trialBalance struct {
	Balances []struct {
		Account      account `json:"account"`
		BalancePence int64   `json:"balance_pence,string"`
	} `json:"balances"`
	DebitPence  int64 `json:"debit_pence,string"`
	CreditPence int64 `json:"credit_pence,string"`
}

type posting struct {
	PostingID         string `json:"posting_id"`
	CommissionerCode  string `json:"commissioner_code"`
	Kind              string `json:"kind"`
	Source            string `json:"source"`
	ReversesPostingID string `json:"reverses_posting_id"`
	Entries           []struct {
		Account     account `json:"account"`
		AmountPence int64   `json:"amount_pence,string"`
		LineID      string  `json:"line_id"`
	} `json:"entries"`
}

type postingList struct {
	Postings      []posting `json:"postings"`
	NextPageToken string    `json:"next_page_token"`
}

type accruals struct {
	Accruals []struct {
		Payee       payee  `json:"payee"`
		PaymentCode string `json:"payment_code"`
		ForMonth    string `json:"for_month"`
		Lines       int    `json:"lines"`
		AmountPence int64  `json:"amount_pence,string"`
	} `json:"accruals"`
	TotalPence int64 `json:"total_pence,string"`
}

type importedFile struct {
	ImportID         string `json:"import_id"`
	CommissionerCode string `json:"commissioner_code"`
	Kind             string `json:"kind"`
	FileName         string `json:"file_name"`
	Rows             int    `json:"rows"`
	RowsApplied      int    `json:"rows_applied"`
	RowsKnown        int    `json:"rows_known"`
	RowsUnmatched    int    `json:"rows_unmatched"`
	AmountPence      int64  `json:"amount_pence,string"`
	ImportedBy       string `json:"imported_by"`
}

type paymentsImport struct {
	File            importedFile `json:"file"`
	AlreadyImported bool         `json:"already_imported"`
}

type importedRow struct {
	Line        int    `json:"line"`
	Reference   string `json:"reference"`
	PayeeCode   string `json:"payee_code"`
	AmountPence int64  `json:"amount_pence,string"`
	Outcome     string `json:"outcome"`
	PaymentID   string `json:"payment_id"`
	Note        string `json:"note"`
}

type importedRowList struct {
	Rows []importedRow `json:"rows"`
}

type reconciliation struct {
	Totals []struct {
		Match         string `json:"match"`
		Cause         string `json:"cause"`
		Rows          int    `json:"rows"`
		ExpectedPence int64  `json:"expected_pence,string"`
		PaidPence     int64  `json:"paid_pence,string"`
	} `json:"totals"`
	Rows          []reconciliationRow `json:"rows"`
	NextPageToken string              `json:"next_page_token"`
}

type reconciliationRow struct {
	Match           string   `json:"match"`
	PayeeCode       string   `json:"payee_code"`
	PCNCode         string   `json:"pcn_code"`
	PaymentCode     string   `json:"payment_code"`
	Period          string   `json:"period"`
	ExpectedPence   int64    `json:"expected_pence,string"`
	PaidPence       int64    `json:"paid_pence,string"`
	DifferencePence int64    `json:"difference_pence,string"`
	Cause           string   `json:"cause"`
	Evidence        string   `json:"evidence"`
	LineIDs         []string `json:"line_ids"`
	Instruction     string   `json:"instruction"`
}

type variance struct {
	RunID   string        `json:"run_id"`
	Total   varianceRow   `json:"total"`
	Largest []varianceRow `json:"largest"`
	Rows    []varianceRow `json:"rows"`
}

type varianceRow struct {
	PCNCode        string `json:"pcn_code"`
	PaymentCode    string `json:"payment_code"`
	ThisMonthPence int64  `json:"this_month_pence,string"`
	LastMonthPence int64  `json:"last_month_pence,string"`
	MovementPence  int64  `json:"movement_pence,string"`
	Causes         []struct {
		Cause       string `json:"cause"`
		EffectPence int64  `json:"effect_pence,string"`
		Evidence    string `json:"evidence"`
	} `json:"causes"`
	Sentence string `json:"sentence"`
}

type statement struct {
	StatementID      string             `json:"statement_id"`
	CommissionerCode string             `json:"commissioner_code"`
	CommissionerName string             `json:"commissioner_name"`
	PCNCode          string             `json:"pcn_code"`
	PCNName          string             `json:"pcn_name"`
	FromMonth        string             `json:"from_month"`
	ToMonth          string             `json:"to_month"`
	OpeningPence     int64              `json:"opening_pence,string"`
	Payments         []statementLine    `json:"payments"`
	Corrections      []statementLine    `json:"corrections"`
	ReconcileOnly    []statementLine    `json:"reconcile_only"`
	Sent             []statementPayment `json:"sent"`
	TotalPence       int64              `json:"total_pence,string"`
	SentPence        int64              `json:"sent_pence,string"`
	PassedPence      int64              `json:"passed_pence,string"`
	ClosingPence     int64              `json:"closing_pence,string"`
	Remaining        []struct {
		PaymentCode    string `json:"payment_code"`
		PracticeCode   string `json:"practice_code"`
		EntitledPence  int64  `json:"entitled_pence,string"`
		ScheduledPence int64  `json:"scheduled_pence,string"`
		RemainingPence int64  `json:"remaining_pence,string"`
	} `json:"remaining"`
	Recoveries []recovery `json:"recoveries"`
}

type statementLine struct {
	Line          line   `json:"line"`
	ScheduleMonth string `json:"schedule_month"`
	State         string `json:"state"`
	Basis         string `json:"basis"`
	Holds         []hold `json:"holds"`
}

type statementPayment struct {
	Payment  payment `json:"payment"`
	PCNPence int64   `json:"pcn_pence,string"`
}

type move struct {
	MoveID           string `json:"move_id"`
	FromCommissioner string `json:"from_commissioner_code"`
	ToCommissioner   string `json:"to_commissioner_code"`
	EffectiveDate    string `json:"effective_date"`
	Lines            int    `json:"lines"`
	Payments         int    `json:"payments"`
	AccruedPence     int64  `json:"accrued_pence,string"`
	PayablePence     int64  `json:"payable_pence,string"`
	SentPence        int64  `json:"sent_pence,string"`
	RecoveryPence    int64  `json:"recovery_pence,string"`
	OpenBeforePence  int64  `json:"open_before_pence,string"`
	OpenAfterPence   int64  `json:"open_after_pence,string"`
	MovedBy          string `json:"moved_by"`
	ProposedBy       string `json:"proposed_by"`
	State            string `json:"state"`
	ETag             string `json:"etag"`
}

type moveList struct {
	Moves []move `json:"moves"`
}

type receivedList struct {
	Schedules []struct {
		Schedule   schedule `json:"schedule"`
		ReceivedAt string   `json:"received_at"`
		EventID    string   `json:"event_id"`
	} `json:"schedules"`
}
