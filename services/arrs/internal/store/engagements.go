package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

// EngagementRow is an engagement as it is kept. Role and Start repeat what its terms say, and so does End, unless a claim that counts says
// that the person left before.
type EngagementRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Label            string
	Terms            *arrsv1.EngagementTerms
	Role             string
	Start, End       period.Date // End is zero while it lasts
	Pseudonym        string      // of the person; empty if no reference was given
	RecordedBy       string
	RecordedAt       int64
	ChangedBy        string
	ChangedAt        int64
	Version          int64
}

// Person is whom the engagement is of: without a reference it stands for the person itself.
func (e *EngagementRow) Person() string {
	if e.Pseudonym == "" {
		return "engagement/" + e.ID
	}
	return e.Pseudonym
}

// endOf is the day on which an engagement ends, by its terms or by a claim that says that the person has left since it began: one whose line
// counts, or of a month that was corrected and not claimed anew. A correction speaks once it was decided.
const endOf = `COALESCE((SELECT MIN(x.left_date) FROM claim_lines x JOIN claims k ON k.claim_id = x.claim_id AND k.revision = x.revision
	WHERE x.engagement_id = e.engagement_id AND x.left_date <> '' AND x.left_date >= e.start_date AND (e.end_date = '' OR x.left_date < e.end_date)
	AND (k.state IN (4, 5) OR (k.state IN (1, 2) AND k.kind <> 3)) AND (x.live OR NOT EXISTS (SELECT 1 FROM claim_lines y
		JOIN claims n ON n.claim_id = y.claim_id AND n.revision = y.revision WHERE y.engagement_id = x.engagement_id AND y.month = x.month
		AND y.line_id > x.line_id AND y.kind <> 2 AND (n.state IN (4, 5) OR (n.state IN (1, 2) AND n.kind <> 3))))), e.end_date)`

const engagementColumns = `e.engagement_id, e.pcn_code, e.commissioner_code, e.label, e.role_code, e.start_date, ` + endOf + `, e.terms, e.pseudonym, e.recorded_by,
	e.recorded_at, e.changed_by, e.changed_at, e.version`

func scanEngagement(rows sqldb.Row) (e EngagementRow, err error) {
	var start, end string
	var terms []byte
	if err := rows.Scan(&e.ID, &e.PCNCode, &e.CommissionerCode, &e.Label, &e.Role, &start, &end, &terms, &e.Pseudonym, &e.RecordedBy, &e.RecordedAt,
		&e.ChangedBy, &e.ChangedAt, &e.Version); err != nil {
		return e, err
	}
	var p stored.Texts
	e.Start, e.End = p.Date(start), p.Date(end)
	if p.Err != nil {
		return e, p.Err
	}
	e.Terms, err = sqldb.Unmarshal(terms, new(arrsv1.EngagementTerms))
	return e, err
}

// InsertEngagement adds an engagement. A label that the PCN has already breaks a key.
func InsertEngagement(ctx context.Context, tx *sqldb.Tx, e EngagementRow) error {
	terms, err := sqldb.Marshal(e.Terms)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO engagements (engagement_id, pcn_code, commissioner_code, label, folded_label, role_code, start_date, end_date, terms, pseudonym,
		recorded_by, recorded_at, changed_by, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		e.ID, e.PCNCode, e.CommissionerCode, e.Label, folded(e.Label), e.Role, e.Start.String(), e.End.String(), terms, e.Pseudonym, e.RecordedBy, e.RecordedAt, e.ChangedBy, e.ChangedAt)
	if err != nil {
		return fmt.Errorf("insert engagement: %w", err)
	}
	return nil
}

// ChangeEngagement keeps the terms of before and puts the new ones, and the pseudonym, in their place. It tells whether the version
// before was still that of the row.
func ChangeEngagement(ctx context.Context, tx *sqldb.Tx, before, e EngagementRow) (bool, error) {
	old, err := sqldb.Marshal(before.Terms)
	if err != nil {
		return false, err
	}
	terms, err := sqldb.Marshal(e.Terms)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO engagement_terms (engagement_id, version, terms, stated_by, stated_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, before.ID, before.Version, old, before.ChangedBy, before.ChangedAt)
	if err != nil {
		return false, fmt.Errorf("keep the terms of engagement %s: %w", e.ID, err)
	}
	return sqldb.One(tx.Exec(ctx, `UPDATE engagements SET role_code = $1, start_date = $2, end_date = $3, terms = $4, pseudonym = $5, changed_by = $6, changed_at = $7,
		label = $8, folded_label = $9, version = version + 1 WHERE engagement_id = $10 AND version = $11`,
		e.Role, e.Start.String(), e.End.String(), terms, e.Pseudonym, e.ChangedBy, e.ChangedAt, e.Label, folded(e.Label), e.ID, before.Version))
}

// LeadClaims hands to the commissioner that leads a PCN in a year the claims of that year that wait for a decision or for a close, and
// returns them.
func LeadClaims(ctx context.Context, tx *sqldb.Tx, pcn string, year period.FinancialYear, commissioner string) ([]ClaimRow, error) {
	ids, err := sqldb.Collect(ctx, tx, sqldb.Text, `UPDATE claims SET commissioner_code = $1, version = version + 1 WHERE pcn_code = $2 AND financial_year = $3
		AND commissioner_code <> $1 AND (state IN (1, 2) OR EXISTS (SELECT 1 FROM claim_lines l WHERE l.claim_id = claims.claim_id AND `+waiting+`))
		RETURNING claim_id`, commissioner, pcn, year.String())
	if err != nil {
		return nil, fmt.Errorf("hand over the claims of %s: %w", pcn, err)
	}
	slices.Sort(ids)
	out := make([]ClaimRow, len(ids))
	for i, id := range ids {
		if out[i], err = Claim(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// leading is the commissioner that leads the PCN of an engagement, by the last year that has begun and is fixed; where none has, by the last
// one that is fixed.
const leading = `(SELECT y.commissioner_code FROM years y WHERE y.pcn_code = engagements.pcn_code
	ORDER BY CASE WHEN y.financial_year <= $1 THEN 0 ELSE 1 END, y.financial_year DESC, y.version DESC LIMIT 1)`

// LeadEngagements hands the engagements of a PCN, or of all, to the commissioner that leads it in a year that runs, and returns how many
// each commissioner got. A year that is fixed before it begins hands them over when it does.
func LeadEngagements(ctx context.Context, tx *sqldb.Tx, pcn string, running period.FinancialYear) (map[string]int, error) {
	codes, err := sqldb.Collect(ctx, tx, sqldb.Text, `UPDATE engagements SET commissioner_code = `+leading+` WHERE (pcn_code = $2 OR $2 = '') AND commissioner_code <> `+leading+` RETURNING commissioner_code`, running.String(), pcn)
	if err != nil {
		return nil, fmt.Errorf("hand over engagements: %w", err)
	}
	moved := make(map[string]int)
	for _, code := range codes {
		moved[code]++
	}
	return moved, nil
}

// Engagement returns one, or sql.ErrNoRows.
func Engagement(ctx context.Context, q sqldb.Querier, id string) (EngagementRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanEngagement, `SELECT `+engagementColumns+` FROM engagements e WHERE e.engagement_id = $1`, id))
}

// LabelTaken tells whether another engagement of the PCN has the label, or one that differs in case and spaces alone.
func LabelTaken(ctx context.Context, q sqldb.Querier, e *EngagementRow) (bool, error) {
	others, err := sqldb.Collect(ctx, q, sqldb.Text, `SELECT engagement_id FROM engagements WHERE pcn_code = $1 AND folded_label = $2 AND engagement_id <> $3`,
		e.PCNCode, folded(e.Label), e.ID)
	return len(others) > 0, err
}

func folded(label string) string { return strings.ToLower(strings.Join(strings.Fields(label), " ")) }

// EngagementsOf returns those of a PCN, in order of label.
func EngagementsOf(ctx context.Context, q sqldb.Querier, pcn string) ([]EngagementRow, error) {
	return sqldb.Collect(ctx, q, scanEngagement, `SELECT `+engagementColumns+` FROM engagements e WHERE e.pcn_code = $1 ORDER BY e.label`, pcn)
}

// EngagementsNamed selects those of a PCN that have one of some labels or identifiers, of which a claim has at most 500.
func EngagementsNamed(pcn string, names []string) sqldb.Select[EngagementRow] {
	var ids, labels sqldb.Filter // with the same arguments, each for an index of its own
	ids.Where("e.pcn_code = ?", pcn)
	ids.In("e.engagement_id", names)
	labels.Where("e.pcn_code = ?", pcn)
	labels.In("e.label", names)
	return sqldb.Select[EngagementRow]{
		Scan: scanEngagement,
		Text: `SELECT ` + engagementColumns + ` FROM engagements e` + ids.String() + ` OR ` + strings.TrimPrefix(labels.String(), " WHERE "),
		Args: ids.Args(),
	}
}

// EngagementFilter says which engagements to list.
type EngagementFilter struct {
	Scope
	Commissioner, PCN    string       // empty means any
	Month                period.Month // zero means any; otherwise those that run on a day of it
	AfterPCN, AfterLabel string       // the last row seen; empty for the first page
	Limit                int          // 0 means all
}

// Engagements returns some, in order of PCN and label.
func Engagements(ctx context.Context, q sqldb.Querier, by EngagementFilter) ([]EngagementRow, error) {
	var f sqldb.Filter
	by.limit(&f, "e.commissioner_code", "e.pcn_code")
	f.Equal("e.commissioner_code", by.Commissioner, "e.pcn_code", by.PCN)
	runsIn(&f, by.Month)
	if by.AfterPCN != "" {
		f.Where("(e.pcn_code > ? OR (e.pcn_code = ? AND e.label > ?))", by.AfterPCN, by.AfterPCN, by.AfterLabel)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanEngagement, `SELECT `+engagementColumns+` FROM engagements e`+conditions+` ORDER BY e.pcn_code, e.label`+f.Limit(by.Limit), f.Args()...)
}

// runsIn lets engagements through that run on a day of the month.
func runsIn(f *sqldb.Filter, month period.Month) {
	if !month.IsZero() {
		f.Where("e.start_date <= ?", month.Last().String())
		f.Where("("+endOf+" = '' OR "+endOf+" >= ?)", month.First().String())
	}
}

// SharedEngagements returns the engagements that run in a month of every person who has one with the commissioner and one besides, with
// it or with any other.
func SharedEngagements(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) ([]EngagementRow, error) {
	var f sqldb.Filter
	f.Where("e.pseudonym <> ''")
	runsIn(&f, month)
	f.Where(`e.pseudonym IN (SELECT o.pseudonym FROM engagements o WHERE o.commissioner_code = ? AND o.pseudonym <> '')`, commissioner)
	f.Where(`EXISTS (SELECT 1 FROM engagements t WHERE t.pseudonym = e.pseudonym AND t.engagement_id <> e.engagement_id)`)
	return sqldb.Collect(ctx, q, scanEngagement, `SELECT `+engagementColumns+` FROM engagements e`+f.String()+` ORDER BY e.pcn_code, e.label`, f.Args()...)
}

// LeadingYear returns the year of a PCN by which it is led: the last that has begun and is fixed, or where none has the last one that is
// fixed; sql.ErrNoRows if there is none.
func LeadingYear(ctx context.Context, q sqldb.Querier, pcn string, running period.FinancialYear) (YearRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanYear, `SELECT `+yearColumns+` FROM years y WHERE y.pcn_code = $2
		ORDER BY CASE WHEN y.financial_year <= $1 THEN 0 ELSE 1 END, y.financial_year DESC, y.version DESC LIMIT 1`, running.String(), pcn))
}
