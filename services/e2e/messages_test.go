package e2e

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The messages of the contracts as far as the tests read them.

type monthSummary struct {
	Month               string           `json:"month"`
	Commissioners       int              `json:"commissioners"`
	PCNs                int              `json:"pcns"`
	Practices           int              `json:"practices"`
	RegisteredPatients  int64            `json:"registered_patients,string"`
	Lines               int              `json:"lines"`
	PayTotalPence       int64            `json:"pay_total_pence,string"`
	ReconcileTotalPence int64            `json:"reconcile_total_pence,string"`
	Payments            []paymentSummary `json:"payments"`
	WithheldPence       int64            `json:"withheld_pence,string"`
	HeldLines           int              `json:"held_lines"`
}

type paymentSummary struct {
	PaymentCode     string `json:"payment_code"`
	Instruction     string `json:"instruction"`
	Lines           int    `json:"lines"`
	Beneficiaries   int    `json:"beneficiaries"`
	AmountPence     int64  `json:"amount_pence,string"`
	AdjustmentPence int64  `json:"adjustment_pence,string"`
}

type schedule struct {
	ScheduleID          string     `json:"schedule_id"`
	CommissionerCode    string     `json:"commissioner_code"`
	Month               string     `json:"month"`
	Sequence            int        `json:"sequence"`
	Lines               []line     `json:"lines"`
	LineCount           int        `json:"line_count"`
	PayTotalPence       int64      `json:"pay_total_pence,string"`
	ReconcileTotalPence int64      `json:"reconcile_total_pence,string"`
	LinesSHA256         string     `json:"lines_sha256"`
	SnapshotID          string     `json:"snapshot_id"`
	ClosedBy            string     `json:"closed_by"`
	Refusals            []refusal  `json:"refusals"`
	Withheld            []withheld `json:"withheld"`
}

type scheduleList struct {
	Schedules     []schedule `json:"schedules"`
	NextPageToken string     `json:"next_page_token"`
}

type line struct {
	LineID          string   `json:"line_id"`
	ForMonth        string   `json:"for_month"`
	PaymentCode     string   `json:"payment_code"`
	PCNCode         string   `json:"pcn_code"`
	PracticeCode    string   `json:"practice_code"`
	Payee           payee    `json:"payee"`
	LocationCode    string   `json:"location_code"`
	Instruction     string   `json:"instruction"`
	AmountPence     int64    `json:"amount_pence,string"`
	SourceItem      string   `json:"source_item"`
	AdjustsLineID   string   `json:"adjusts_line_id"`
	AdjustmentCause string   `json:"adjustment_cause"`
	Confidence      string   `json:"confidence"`
	Working         *working `json:"working"`
}

type payee struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

type refusal struct {
	Reason      string   `json:"reason"`
	PaymentCode string   `json:"payment_code"`
	ForMonth    string   `json:"for_month"`
	PCNCodes    []string `json:"pcn_codes"`
}

type withheld struct {
	PaymentCode   string `json:"payment_code"`
	ForMonth      string `json:"for_month"`
	PCNCode       string `json:"pcn_code"`
	AmountPence   int64  `json:"amount_pence,string"`
	Reason        string `json:"reason"`
	WithholdingID string `json:"withholding_id"`
}

type pcnMonth struct {
	PCNCode             string     `json:"pcn_code"`
	Lines               []line     `json:"lines"`
	PayTotalPence       int64      `json:"pay_total_pence,string"`
	ReconcileTotalPence int64      `json:"reconcile_total_pence,string"`
	Refusals            []refusal  `json:"refusals"`
	Withheld            []withheld `json:"withheld"`
	ScheduleIDs         []string   `json:"schedule_ids"`
}

type explainedLine struct {
	Line             line     `json:"line"`
	Sentences        []string `json:"sentences"`
	ScheduleID       string   `json:"schedule_id"`
	CommissionerCode string   `json:"commissioner_code"`
	Month            string   `json:"month"`
	Verified         bool     `json:"verified"`
}

type snapshot struct {
	SnapshotID       string        `json:"snapshot_id"`
	CommissionerCode string        `json:"commissioner_code"`
	PCNs             []snapshotPCN `json:"pcns"`
}

type snapshotPCN struct {
	PCNCode   string             `json:"pcn_code"`
	PayerCode string             `json:"payer_code"`
	Closed    string             `json:"closed"`
	Payee     payee              `json:"payee"`
	Practices []snapshotPractice `json:"practices"`
}

type snapshotPractice struct {
	PracticeCode string       `json:"practice_code"`
	Populations  []population `json:"populations"`
}

type population struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// population returns a practice's count of one kind; empty if there is none.
func (p snapshotPractice) population(kind string) string {
	for _, found := range p.Populations {
		if found.Kind == "POPULATION_KIND_"+kind {
			return found.Value
		}
	}
	return ""
}

type load struct {
	LoadID          string            `json:"load_id"`
	Kind            string            `json:"kind"`
	Source          string            `json:"source"`
	FileName        string            `json:"file_name"`
	ExtractDate     string            `json:"extract_date"`
	SHA256          string            `json:"sha256"`
	RowsRead        int64             `json:"rows_read,string"`
	RowsStored      int64             `json:"rows_stored,string"`
	RowsQuarantined int64             `json:"rows_quarantined,string"`
	RowsPassedOver  map[string]string `json:"rows_passed_over"`
	Warnings        []string          `json:"warnings"`
	LoadedBy        string            `json:"loaded_by"`
}

type importAnswer struct {
	Load          load             `json:"load"`
	AlreadyLoaded bool             `json:"already_loaded"`
	BadRows       []quarantinedRow `json:"bad_rows"`
}

type quarantinedRow struct {
	Line   int64  `json:"line,string"`
	Column string `json:"column"`
	Value  string `json:"value"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

type loadList struct {
	Loads         []load `json:"loads"`
	NextPageToken string `json:"next_page_token"`
}

type organisation struct {
	OrganisationCode string         `json:"organisation_code"`
	Name             string         `json:"name"`
	Kind             string         `json:"kind"`
	Relationships    []relationship `json:"relationships"`
}

type relationship struct {
	Kind          string `json:"kind"`
	OtherCode     string `json:"other_code"`
	OtherName     string `json:"other_name"`
	EffectiveFrom string `json:"effective_from"`
	LoadID        string `json:"load_id"`
}

type organisationList struct {
	Organisations []organisation `json:"organisations"`
	NextPageToken string         `json:"next_page_token"`
}

type coverage struct {
	Practices               int              `json:"practices"`
	PracticesInPCN          int              `json:"practices_in_pcn"`
	PCNs                    int              `json:"pcns"`
	RegisteredPatients      int64            `json:"registered_patients,string"`
	RegisteredPatientsInPCN int64            `json:"registered_patients_in_pcn,string"`
	CoveredBasisPoints      int64            `json:"covered_basis_points"`
	SnapshotID              string           `json:"snapshot_id"`
	Findings                []map[string]any `json:"findings"`
}

type rate struct {
	RateID           string `json:"rate_id"`
	PaymentCode      string `json:"payment_code"`
	RateGBP          string `json:"rate_gbp"`
	EffectiveFrom    string `json:"effective_from"`
	EffectiveTo      string `json:"effective_to"`
	Source           string `json:"source"`
	Confidence       string `json:"confidence"`
	RecordedBy       string `json:"recorded_by"`
	CommissionerCode string `json:"commissioner_code"`
	Superseded       bool   `json:"superseded"`
	ETag             string `json:"etag"`
}

type rateList struct {
	Rates         []rate `json:"rates"`
	NextPageToken string `json:"next_page_token"`
}

type withholding struct {
	WithholdingID    string `json:"withholding_id"`
	CommissionerCode string `json:"commissioner_code"`
	PCNCode          string `json:"pcn_code"`
	PaymentCode      string `json:"payment_code"`
	FromMonth        string `json:"from_month"`
	Reason           string `json:"reason"`
	WithheldBy       string `json:"withheld_by"`
	ReleasedBy       string `json:"released_by"`
	ReleaseReason    string `json:"release_reason"`
	ETag             string `json:"etag"`
}

type withholdingList struct {
	Withholdings  []withholding `json:"withholdings"`
	NextPageToken string        `json:"next_page_token"`
}

type declaration struct {
	DeclarationID  string `json:"declaration_id"`
	PCNCode        string `json:"pcn_code"`
	PaymentCode    string `json:"payment_code"`
	Month          string `json:"month"`
	Share          string `json:"share"`
	State          string `json:"state"`
	DeclaredBy     string `json:"declared_by"`
	DecidedBy      string `json:"decided_by"`
	DecisionReason string `json:"decision_reason"`
	ETag           string `json:"etag"`
}

type declarationList struct {
	Declarations []declaration `json:"declarations"`
}

type setting struct {
	SettingID        string `json:"setting_id"`
	CommissionerCode string `json:"commissioner_code"`
	Name             string `json:"name"`
	PaymentCode      string `json:"payment_code"`
	Value            string `json:"value"`
	FromMonth        string `json:"from_month"`
}

type settingList struct {
	Settings []setting `json:"settings"`
}

type auditList struct {
	Entries       []auditEntry `json:"entries"`
	NextPageToken string       `json:"next_page_token"`
}

type auditEntry struct {
	EntryID          string   `json:"entry_id"`
	At               string   `json:"at"`
	Actor            string   `json:"actor"`
	Roles            []string `json:"roles"`
	Method           string   `json:"method"`
	Resource         string   `json:"resource"`
	CommissionerCode string   `json:"commissioner_code"`
	Summary          string   `json:"summary"`
}

// closeMonth closes a month under a fresh request id.
func closeMonth(t testing.TB, who caller, commissioner, month string) schedule {
	t.Helper()
	out := write[schedule](t, who, "/v1/core/commissioners/"+commissioner+"/months/"+month+":close", fields{"request_id": unique()})
	require.Equal(t, commissioner, out.CommissionerCode)
	require.Equal(t, month, out.Month)
	requireSums(t, out)
	return out
}

// requireSums checks that a schedule's totals are those of its lines.
func requireSums(t testing.TB, s schedule) {
	t.Helper()
	require.Len(t, s.Lines, s.LineCount)
	totals := make(map[string]int64)
	for _, l := range s.Lines {
		totals[l.Instruction] += l.AmountPence
	}
	require.Equal(t, totals["INSTRUCTION_PAY"], s.PayTotalPence)
	require.Equal(t, totals["INSTRUCTION_RECONCILE_ONLY"], s.ReconcileTotalPence)
	require.True(t, slices.IsSortedFunc(s.Lines, func(a, b line) int { return cmp.Compare(a.LineID, b.LineID) }), "lines are not in order of line id")
}

// find returns the lines that a test names.
func find(lines []line, wanted func(line) bool) []line {
	return slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return !wanted(l) })
}

// only returns the one line of a PCN, payment and month.
func only(t testing.TB, lines []line, pcn, payment, month string) line {
	t.Helper()
	found := find(lines, func(l line) bool { return l.PCNCode == pcn && l.PaymentCode == payment && l.ForMonth == month })
	require.Len(t, found, 1, "lines of %s for %s and %s", payment, pcn, month)
	return found[0]
}
