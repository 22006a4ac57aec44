package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// ClaimKind is what a claim asks for; its values equal those of the contract.
type ClaimKind int64

// The kinds.
const (
	Monthly ClaimKind = iota + 1
	Uplift
	Correction
)

// ClaimState is where a claim stands; its values equal those of the contract.
type ClaimState int64

// The states.
const (
	Submitted ClaimState = iota + 1
	Queried
	Withdrawn
	Approved
	PartlyApproved
	Rejected
)

// Waits tells whether nobody has decided yet.
func (s ClaimState) Waits() bool { return s == Submitted || s == Queried }

// ClaimRow is a claim as it is kept.
type ClaimRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Month            period.Month
	Kind             ClaimKind
	State            ClaimState
	Revision         int
	LineCount        int
	Notes, Query     string
	Totals           []*arrsv1.PotTotal
	SubmittedBy      string
	SubmittedAt      int64
	AssessedAt       int64 // when what was entered last was assessed
	AmendedBy        string
	DecidedBy        string // empty for a claim that was withdrawn
	DecidedAt        int64  // when it was decided or withdrawn
	DecisionReason   string
	ErasedAt         int64
	Version          int64
}

// LineRow is a line of a claim as it is kept. Once the claim is erased its entry and assessment are empty and its amounts 0.
type LineRow struct {
	ID           string
	ClaimID      string
	Revision     int
	Number       int
	PCNCode      string
	Month        period.Month // whose cost it is
	EngagementID string
	Left         string // last day of the person's work, if the line says that it was the last
	Kind         ClaimKind
	Live         bool
	Role, Person string
	Pot          rules.Pot
	Held         rules.Held
	Claimed      money.Pence
	Payable      money.Pence
	Approved     money.Pence
	Confidence   working.Confidence // the least of the figures that the payable amount rests on
	PriceKnown   period.Date        // the day whose knowledge of prices decided
	ScheduleID   string
	// Replaced is what was approved before of the engagement and month that a correction is of, Paid what of it is in schedules and PaidBy
	// whose those are, and ReplacedBy the line of the correction that took the place of this one.
	Replaced, Paid     money.Pence
	PaidBy, ReplacedBy string
	Reason             string                  // why less than what is payable was approved
	Terms              *arrsv1.EngagementTerms // the engagement as it was stated when the line was read, with the working time claimed
	Entry              *arrsv1.LineEntry
	Assessment         *arrsv1.ClaimLine // without its entry
}

// EngagementMonth is a month of an engagement: what a line claims.
type EngagementMonth struct {
	EngagementID string
	Month        period.Month
}

// Of is what the line claims.
func (l *LineRow) Of() EngagementMonth { return EngagementMonth{l.EngagementID, l.Month} }

const claimColumns = `claim_id, pcn_code, commissioner_code, month, kind, state, revision, line_count, notes, query, totals, submitted_by, submitted_at, assessed_at,
	amended_by, decided_by, decided_at, decision_reason, erased_at, version`

func scanClaim(rows *sql.Rows) (c ClaimRow, err error) {
	var month string
	var totals []byte
	if err := rows.Scan(&c.ID, &c.PCNCode, &c.CommissionerCode, &month, &c.Kind, &c.State, &c.Revision, &c.LineCount, &c.Notes, &c.Query, &totals, &c.SubmittedBy,
		&c.SubmittedAt, &c.AssessedAt, &c.AmendedBy, &c.DecidedBy, &c.DecidedAt, &c.DecisionReason, &c.ErasedAt, &c.Version); err != nil {
		return c, err
	}
	var p stored.Texts
	if c.Month = p.Month(month); p.Err != nil {
		return c, p.Err
	}
	kept, err := sqldb.Unmarshal(totals, new(arrsv1.Claim))
	c.Totals = kept.GetTotals()
	return c, err
}

// InsertClaim adds a claim; its lines follow with InsertLines.
func InsertClaim(ctx context.Context, tx *sqldb.Tx, c ClaimRow) error {
	totals, err := sqldb.Marshal(&arrsv1.Claim{Totals: c.Totals})
	if err != nil {
		return err
	}
	return tx.Queue(ctx, "insert claim", `INSERT INTO claims (claim_id, pcn_code, commissioner_code, month, financial_year, kind, state, revision, line_count, notes, totals,
		submitted_by, submitted_at, assessed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		c.ID, c.PCNCode, c.CommissionerCode, c.Month.String(), c.Month.FinancialYear().String(), int64(c.Kind), int64(c.State), c.Revision, c.LineCount, c.Notes, totals,
		c.SubmittedBy, c.SubmittedAt, c.AssessedAt)
}

// ChangeClaim writes what can change of a claim, if its version is still that of the row; the row's version becomes the next.
func ChangeClaim(ctx context.Context, tx *sqldb.Tx, c *ClaimRow) (bool, error) {
	totals, err := sqldb.Marshal(&arrsv1.Claim{Totals: c.Totals})
	if err != nil {
		return false, err
	}
	changed, err := sqldb.One(tx.Exec(ctx, `UPDATE claims SET state = $1, revision = $2, line_count = $3, notes = $4, query = $5, totals = $6, amended_by = $7, decided_by = $8,
		decided_at = $9, decision_reason = $10, assessed_at = $11, version = version + 1 WHERE claim_id = $12 AND version = $13`,
		int64(c.State), c.Revision, c.LineCount, c.Notes, c.Query, totals, c.AmendedBy, c.DecidedBy, c.DecidedAt, c.DecisionReason, c.AssessedAt, c.ID, c.Version))
	if err != nil {
		return false, fmt.Errorf("change claim %s: %w", c.ID, err)
	}
	c.Version++
	return changed, nil
}

// Claim returns one, or sql.ErrNoRows.
func Claim(ctx context.Context, q sqldb.Querier, id string) (ClaimRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanClaim, `SELECT `+claimColumns+` FROM claims WHERE claim_id = $1`, id))
}

// ClaimFilter says which claims to list.
type ClaimFilter struct {
	Scope
	Commissioner, PCN, Month string     // empty means any
	State                    ClaimState // 0 means any
	Before                   string     // the last row seen; empty for the first page
	Limit                    int        // 0 means all
}

// Claims returns some, newest first.
func Claims(ctx context.Context, q sqldb.Querier, by ClaimFilter) ([]ClaimRow, error) {
	var f sqldb.Filter
	by.limit(&f, "commissioner_code", "pcn_code")
	f.Equal("commissioner_code", by.Commissioner, "pcn_code", by.PCN, "month", by.Month)
	if by.State != 0 {
		f.Where("state = ?", int64(by.State))
	}
	if by.Before != "" {
		f.Where("claim_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanClaim, `SELECT `+claimColumns+` FROM claims`+conditions+` ORDER BY claim_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// InsertLines adds the lines of a revision of a claim.
func InsertLines(ctx context.Context, tx *sqldb.Tx, lines []LineRow) error {
	_, err := tx.BulkInsert(ctx, "claim_lines", []string{
		"line_id", "claim_id", "revision", "number", "pcn_code", "month", "engagement_id", "left_date", "kind", "live", "role_code", "person", "pot", "held", "claimed_pence",
		"payable_pence", "replaced_pence", "confidence", "price_known_on", "terms", "entry", "assessment",
	}, rowsOf(lines, func(l LineRow) ([]any, error) {
		held, err := heldBytes(l.Held)
		if err != nil {
			return nil, err
		}
		terms, err := sqldb.Marshal(l.Terms)
		if err != nil {
			return nil, err
		}
		entry, err := sqldb.Marshal(l.Entry)
		if err != nil {
			return nil, err
		}
		assessment, err := sqldb.Marshal(l.Assessment)
		if err != nil {
			return nil, err
		}
		return []any{
			l.ID, l.ClaimID, int64(l.Revision), int64(l.Number), l.PCNCode, l.Month.String(), l.EngagementID, l.Left, int64(l.Kind), l.Live, l.Role, l.Person, string(l.Pot), held,
			int64(l.Claimed), int64(l.Payable), int64(l.Replaced), int64(l.Confidence), l.PriceKnown.String(), terms, entry, assessment,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert %d lines: %w", len(lines), err)
	}
	return nil
}

// heldTime is working time as it is kept.
type heldTime struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	WTE  string `json:"wte"`
}

// heldKept is what a line holds as it is kept; the rest stands in columns.
type heldKept struct {
	From     int        `json:"from,omitempty"`
	To       int        `json:"to,omitempty"`
	Admitted []heldTime `json:"admitted,omitempty"`
}

func heldBytes(h rules.Held) ([]byte, error) {
	kept := heldKept{From: h.From, To: h.To}
	for _, time := range h.Admitted {
		kept.Admitted = append(kept.Admitted, heldTime{time.From, time.To, time.WTE.RatString()})
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("keep what a line holds: %w", err)
	}
	return body, nil
}

// readHeld reads what a live line holds. Of an erased one only the line itself is left, and it holds the whole month: what was paid
// once is never paid again.
func readHeld(body []byte, into *rules.Held) error {
	if len(body) == 0 {
		into.From, into.To = 1, into.Month.Last().Time().Day()
		return nil
	}
	var kept heldKept
	if err := json.Unmarshal(body, &kept); err != nil {
		return fmt.Errorf("what line %s holds: %w", into.LineID, err)
	}
	into.From, into.To = kept.From, kept.To
	for _, time := range kept.Admitted {
		wte, ok := new(big.Rat).SetString(time.WTE)
		if !ok {
			return fmt.Errorf("what line %s holds: no WTE", into.LineID)
		}
		into.Admitted = append(into.Admitted, rules.HeldTime{From: time.From, To: time.To, WTE: wte})
	}
	return nil
}

// HeldLine is what a live line holds, and of which claim it is; or a line of a correction that waits, which holds nothing beside what it
// replaces.
type HeldLine struct {
	rules.Held
	ClaimID   string
	Kind      ClaimKind
	Undecided bool // of a claim that waits for a decision
}

// Of is what the line claims.
func (h *HeldLine) Of() EngagementMonth { return EngagementMonth{h.EngagementID, h.Month} }

// Corrects tells whether the line is of a correction that waits.
func (h *HeldLine) Corrects() bool { return h.Kind == Correction && h.Undecided }

// HeldIn selects what the live lines of a PCN hold in some months, and the lines of its corrections that wait, apart from those of one
// claim, in order of their being put forward.
func HeldIn(pcn string, months []period.Month, without string) sqldb.Select[HeldLine] {
	var live, correcting sqldb.Filter // with the same arguments
	live.Where("l.pcn_code = ?", pcn)
	live.In("l.month", texts(months))
	live.Where("l.claim_id <> ?", without)
	live.Where("l.live")
	correcting.Where("c.pcn_code = ?", pcn)
	correcting.In("l.month", texts(months))
	correcting.Where("l.claim_id <> ?", without)
	correcting.Where("c.kind = 3 AND c.state IN (1, 2)")
	const columns = `SELECT l.line_id, l.claim_id, l.kind, l.month, l.engagement_id, l.role_code, l.person, l.held, `
	return sqldb.Select[HeldLine]{
		Scan: scanHeld,
		Text: columns + `EXISTS (SELECT 1 FROM claims c WHERE c.claim_id = l.claim_id AND c.state IN (1, 2)) FROM claim_lines l` + live.String() + `
			UNION ALL ` + columns + `TRUE FROM claims c JOIN claim_lines l ON l.claim_id = c.claim_id AND l.revision = c.revision` + correcting.String() +
			` ORDER BY line_id`,
		Args: live.Args(),
	}
}

func scanHeld(row sqldb.Row) (h HeldLine, err error) {
	var month string
	var held []byte
	if err := row.Scan(&h.LineID, &h.ClaimID, &h.Kind, &month, &h.EngagementID, &h.Role, &h.Person, &held, &h.Undecided); err != nil {
		return h, err
	}
	var p stored.Texts
	if h.Month = p.Month(month); p.Err != nil {
		return h, p.Err
	}
	return h, readHeld(held, &h.Held)
}

func liveIn(pcn string, months []period.Month) *sqldb.Filter {
	f := new(sqldb.Filter)
	f.Where("live")
	f.Where("pcn_code = ?", pcn)
	f.In("month", texts(months))
	return f
}

func texts(months []period.Month) []string {
	out := make([]string, len(months))
	for i, month := range months {
		out[i] = month.String()
	}
	return out
}

const lineColumns = `line_id, claim_id, revision, number, pcn_code, month, engagement_id, left_date, kind, live, role_code, person, pot, held, claimed_pence, payable_pence,
	approved_pence, confidence, price_known_on, schedule_id, replaced_pence, paid_pence, paid_by, replaced_by, decision_reason, terms, entry, assessment`

func scanLine(rows sqldb.Row) (l LineRow, err error) {
	var month, pot, known string
	var held, terms, entry, assessment []byte
	var confidence int64
	if err := rows.Scan(&l.ID, &l.ClaimID, &l.Revision, &l.Number, &l.PCNCode, &month, &l.EngagementID, &l.Left, &l.Kind, &l.Live, &l.Role, &l.Person, &pot, &held, &l.Claimed,
		&l.Payable, &l.Approved, &confidence, &known, &l.ScheduleID, &l.Replaced, &l.Paid, &l.PaidBy, &l.ReplacedBy, &l.Reason, &terms, &entry, &assessment); err != nil {
		return l, err
	}
	var p stored.Texts
	l.Month, l.Pot, l.Confidence, l.PriceKnown = p.Month(month), rules.Pot(pot), working.Confidence(confidence), p.Date(known)
	if p.Err != nil {
		return l, p.Err
	}
	l.Held = rules.Held{LineID: l.ID, EngagementID: l.EngagementID, Person: l.Person, Role: l.Role, Month: l.Month}
	if err := readHeld(held, &l.Held); err != nil {
		return l, err
	}
	if l.Terms, err = sqldb.Unmarshal(terms, new(arrsv1.EngagementTerms)); err != nil {
		return l, err
	}
	if l.Entry, err = sqldb.Unmarshal(entry, new(arrsv1.LineEntry)); err != nil {
		return l, err
	}
	l.Assessment, err = sqldb.Unmarshal(assessment, new(arrsv1.ClaimLine))
	return l, err
}

// Lines returns the lines of a revision of a claim, in their order.
func Lines(ctx context.Context, q sqldb.Querier, claim string, revision int) ([]LineRow, error) {
	return sqldb.Collect(ctx, q, scanLine, `SELECT `+lineColumns+` FROM claim_lines WHERE claim_id = $1 AND revision = $2 ORDER BY number`, claim, revision)
}

// ApprovedLines selects the lines of a PCN of which something was approved and that count, in some months, in order of their being put
// forward.
func ApprovedLines(pcn string, months []period.Month) sqldb.Select[LineRow] {
	f := liveIn(pcn, months)
	f.Where("approved_pence > 0")
	return sqldb.Select[LineRow]{Scan: scanLine, Text: `SELECT ` + lineColumns + ` FROM claim_lines` + f.String() + ` ORDER BY line_id`, Args: f.Args()}
}

// Replace puts the line of a correction in the place of others: it counts from now on, with what of them is in schedules and whose those
// are, and they do not.
func Replace(ctx context.Context, tx *sqldb.Tx, line string, paid money.Pence, paidBy string, replaced []string) error {
	var f sqldb.Filter
	by, no := f.Arg(line), f.Arg(false)
	f.In("line_id", replaced)
	if _, err := tx.Exec(ctx, `UPDATE claim_lines SET live = `+no+`, replaced_by = `+by+f.String(), f.Args()...); err != nil {
		return fmt.Errorf("replace by line %s: %w", line, err)
	}
	if _, err := tx.Exec(ctx, `UPDATE claim_lines SET live = $1, paid_pence = $2, paid_by = $3 WHERE line_id = $4`, true, int64(paid), paidBy, line); err != nil {
		return fmt.Errorf("let line %s count: %w", line, err)
	}
	return nil
}

// RetireLines ends the counting of a claim's lines: those of an older revision, or of a claim that was withdrawn or rejected.
func RetireLines(ctx context.Context, tx *sqldb.Tx, claim string) error {
	if _, err := tx.Exec(ctx, `UPDATE claim_lines SET live = $1 WHERE claim_id = $2 AND live`, false, claim); err != nil {
		return fmt.Errorf("retire the lines of claim %s: %w", claim, err)
	}
	return nil
}

// ApproveLines approves what is payable of the live lines of a claim.
func ApproveLines(ctx context.Context, tx *sqldb.Tx, claim string) error {
	if _, err := tx.Exec(ctx, `UPDATE claim_lines SET approved_pence = payable_pence WHERE claim_id = $1 AND live`, claim); err != nil {
		return fmt.Errorf("approve the lines of claim %s: %w", claim, err)
	}
	return nil
}

// LowerLine approves less than what is payable of a live line.
func LowerLine(ctx context.Context, tx *sqldb.Tx, line string, approved money.Pence, reason string) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE claim_lines SET approved_pence = $1, decision_reason = $2 WHERE line_id = $3 AND live`, int64(approved), reason, line))
}

// RetireUnpaid ends the counting of those lines of a decided claim of which nothing was approved, so that they can be claimed again. Where
// such a line is of a correction, what it takes off is still due.
func RetireUnpaid(ctx context.Context, tx *sqldb.Tx, claim string) error {
	if _, err := tx.Exec(ctx, `UPDATE claim_lines SET live = $1 WHERE claim_id = $2 AND live AND approved_pence = 0`, false, claim); err != nil {
		return fmt.Errorf("retire the unpaid lines of claim %s: %w", claim, err)
	}
	return nil
}

// ClaimFileRow is a file of claims as it is kept.
type ClaimFileRow struct {
	ID               string
	CommissionerCode string
	SHA256           string
	FileName         string
	Rows             int
	ClaimIDs         []string
	ImportedBy       string
	ImportedAt       int64
}

// KeepClaimFile adds a file. The same bytes of a commissioner keep their identifier, with the claims they made last.
func KeepClaimFile(ctx context.Context, tx *sqldb.Tx, f ClaimFileRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO claim_files (file_id, commissioner_code, sha256, file_name, row_count, claim_ids, imported_by, imported_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (commissioner_code, sha256) DO UPDATE SET file_name = excluded.file_name,
		claim_ids = excluded.claim_ids, imported_by = excluded.imported_by, imported_at = excluded.imported_at`,
		f.ID, f.CommissionerCode, f.SHA256, f.FileName, f.Rows, strings.Join(f.ClaimIDs, " "), f.ImportedBy, f.ImportedAt)
	if err != nil {
		return fmt.Errorf("keep file of claims: %w", err)
	}
	return nil
}

// ClaimFile returns the file of a commissioner with a hash, or sql.ErrNoRows.
func ClaimFile(ctx context.Context, q sqldb.Querier, commissioner, sha256 string) (ClaimFileRow, error) {
	f := ClaimFileRow{CommissionerCode: commissioner, SHA256: sha256}
	var ids string
	err := q.QueryRow(ctx, `SELECT file_id, file_name, row_count, claim_ids, imported_by, imported_at FROM claim_files WHERE commissioner_code = $1 AND sha256 = $2`,
		commissioner, sha256).Scan(&f.ID, &f.FileName, &f.Rows, &ids, &f.ImportedBy, &f.ImportedAt)
	f.ClaimIDs = strings.Fields(ids)
	return f, err
}

// AnyStands tells whether one of some claims waits for a decision or was approved.
func AnyStands(ctx context.Context, q sqldb.Querier, claims []string) (stands bool, err error) {
	err = sqldb.InBatches(claims, func(batch []string) error {
		var f sqldb.Filter
		f.In("claim_id", batch)
		f.Where("state NOT IN (3, 6)")
		var one bool
		err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM claims`+f.String()+`)`, f.Args()...).Scan(&one)
		stands = stands || one
		return err
	})
	return stands, err
}

// EndedCommissioners returns those who have claims that were decided or withdrawn and are not erased.
func EndedCommissioners(ctx context.Context, q sqldb.Querier) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT commissioner_code FROM claims WHERE erased_at = 0 AND decided_at > 0 ORDER BY commissioner_code`)
}

// Erasable returns some claims of a commissioner that ended before a moment and are not erased, without those of which approved money
// waits for a close, or a correction for a decision.
func Erasable(ctx context.Context, q sqldb.Querier, commissioner string, before int64, limit int) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT claim_id FROM claims c WHERE c.commissioner_code = $1 AND c.erased_at = 0 AND c.decided_at > 0 AND c.decided_at < $2
		AND NOT EXISTS (SELECT 1 FROM claim_lines l WHERE l.claim_id = c.claim_id AND `+waiting+`)
		AND c.claim_id NOT IN (SELECT l.claim_id FROM claims k JOIN claim_lines w ON w.claim_id = k.claim_id
			JOIN claim_lines l ON l.pcn_code = w.pcn_code AND l.month = w.month AND l.engagement_id = w.engagement_id AND l.live
			WHERE k.kind = 3 AND k.state IN (1, 2))
		ORDER BY c.decided_at, c.claim_id LIMIT $3`, commissioner, before, limit)
}

// Erase reduces claims to their totals: what was entered, how it was assessed and every text of a person go.
func Erase(ctx context.Context, tx *sqldb.Tx, claims []string, at int64) error {
	var lines, heads sqldb.Filter
	empty := lines.Arg([]byte{})
	lines.In("claim_id", claims)
	_, err := tx.Exec(ctx, `UPDATE claim_lines SET entry = `+empty+`, assessment = `+empty+`, held = `+empty+`, terms = `+empty+`, person = '', decision_reason = '',
		approved_pence = 0, payable_pence = 0, claimed_pence = 0, replaced_pence = 0, paid_pence = 0`+lines.String(), lines.Args()...)
	if err != nil {
		return fmt.Errorf("erase the lines of %d claims: %w", len(claims), err)
	}
	moment := heads.Arg(at)
	heads.In("claim_id", claims)
	_, err = tx.Exec(ctx, `UPDATE claims SET erased_at = `+moment+`, notes = '', query = '', decision_reason = '', version = version + 1`+heads.String(), heads.Args()...)
	if err != nil {
		return fmt.Errorf("erase %d claims: %w", len(claims), err)
	}
	return nil
}
