package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// ResultRow is what a year came to, as it is kept. Basis is the result without its indicators and workings.
type ResultRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	Basis            *iifv1.YearResult
	Digest           string
	Due              money.Pence
	Whole            bool
	WorkedBy         string
	WorkedAt         int64
}

// AchievementRow is where the year of a PCN stands, as it is kept.
type AchievementRow struct {
	PCNCode          string
	PCNName          string
	LocationCode     string
	CommissionerCode string
	// PayerCode is the body that owed the PCN's payments on the last day, as the result has it.
	PayerCode    string
	Year         period.FinancialYear
	Course       rules.Course
	ResultID     string
	PaymentRunID string
	PaymentMonth period.Month // zero before approval
	ScheduleID   string
	Version      int64
}

// CorrectionState is where a correction stands; its values equal those of the contract.
type CorrectionState int64

// The states.
const (
	CorrectionProposed CorrectionState = iota + 1
	CorrectionApproved
	CorrectionRejected
)

// CorrectionRow is a correction as it is kept.
type CorrectionRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	Year             period.FinancialYear
	State            CorrectionState
	ResultID         string
	// Lines hold the differences, with their workings.
	Lines          []*iifv1.CorrectionLine
	Amount         money.Pence
	Reason         string
	ProposedBy     string
	ProposedAt     int64
	DecidedBy      string
	DecidedAt      int64
	DecisionReason string
	PaymentMonth   period.Month // from when it may be scheduled; zero before approval
	ScheduleID     string
	Version        int64
}

// states are those of a course in the order of the contract, from 1.
var states = []rules.State{rules.Open, rules.AwaitingProvider, rules.AwaitingCommissioner, rules.AwaitingFinancial, rules.Appealed, rules.Approved}

// StateNumber is a state as tables and the contract number it; 0 for none.
func StateNumber(s rules.State) int64 { return int64(slices.Index(states, s) + 1) }

// StateOf returns the state of a number; empty for none.
func StateOf(number int64) rules.State {
	if number < 1 || number > int64(len(states)) {
		return ""
	}
	return states[number-1]
}

// declared is a declaration as it is kept.
type declared struct {
	Person string `json:"person"`
	On     string `json:"on"`
}

func keepDeclared(d rules.Declaration) *declared {
	if d == (rules.Declaration{}) {
		return nil
	}
	return &declared{d.Person, d.On.String()}
}

func (d *declared) read(p *stored.Texts) rules.Declaration {
	if d == nil {
		return rules.Declaration{}
	}
	return rules.Declaration{Person: d.Person, On: p.Date(d.On)}
}

// committed is a commitment as it is kept; its year is that of the course.
type committed struct {
	declared
	Text string `json:"text"`
}

// appealed is an appeal as it is kept.
type appealed struct {
	declared
	Reason  string    `json:"reason"`
	Verdict string    `json:"verdict,omitempty"`
	Decided *declared `json:"decided,omitempty"`
	Grounds string    `json:"grounds,omitempty"`
}

// course is what is kept of a course beside its state, year and result, which have columns of their own.
type course struct {
	Missing      []string   `json:"missing,omitempty"`
	Waiting      []string   `json:"waiting,omitempty"`
	Makers       []string   `json:"makers,omitempty"`
	Provider     *declared  `json:"provider,omitempty"`
	Commissioner *declared  `json:"commissioner,omitempty"`
	Financial    *declared  `json:"financial,omitempty"`
	Commitment   *committed `json:"commitment,omitempty"`
	Appeals      []appealed `json:"appeals,omitempty"`
	LastOn       string     `json:"last_on"`
	FellBack     int        `json:"fell_back,omitempty"`
}

func keepCourse(c *rules.Course) ([]byte, error) {
	kept := course{
		Missing: c.Missing, Waiting: c.Waiting, Makers: c.Makers, LastOn: c.LastOn.String(), FellBack: c.FellBack,
		Provider: keepDeclared(c.Provider), Commissioner: keepDeclared(c.Commissioner), Financial: keepDeclared(c.Financial),
	}
	if m := c.Commitment; m != nil {
		kept.Commitment = &committed{declared{m.Person, m.On.String()}, m.Text}
	}
	for _, a := range c.Appeals {
		decided := keepDeclared(rules.Declaration{Person: a.DecidedBy, On: a.DecidedOn})
		kept.Appeals = append(kept.Appeals, appealed{declared{a.Person, a.On.String()}, a.Reason, string(a.Verdict), decided, a.Grounds})
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("keep a course: %w", err)
	}
	return body, nil
}

func readCourse(p *stored.Texts, body []byte, c *rules.Course) error {
	var kept course
	if err := json.Unmarshal(body, &kept); err != nil {
		return fmt.Errorf("read a course: %w", err)
	}
	c.Missing, c.Waiting, c.Makers, c.LastOn, c.FellBack = kept.Missing, kept.Waiting, kept.Makers, p.Date(kept.LastOn), kept.FellBack
	c.Provider, c.Commissioner, c.Financial = kept.Provider.read(p), kept.Commissioner.read(p), kept.Financial.read(p)
	if m := kept.Commitment; m != nil {
		c.Commitment = &rules.Commitment{Person: m.Person, On: p.Date(m.On), Year: c.Year, Text: m.Text}
	}
	for _, a := range kept.Appeals {
		decided := a.Decided.read(p)
		c.Appeals = append(c.Appeals, rules.Appeal{
			Person: a.Person, Reason: a.Reason, On: p.Date(a.On), Verdict: rules.Verdict(a.Verdict), DecidedBy: decided.Person, DecidedOn: decided.On, Grounds: a.Grounds,
		})
	}
	return p.Err
}

const achievementColumns = `pcn_code, financial_year, commissioner_code, payer_code, pcn_name, location_code, state, course, result_id, payment_run_id, payment_month,
	schedule_id, version`

func scanAchievement(rows *sql.Rows) (r AchievementRow, err error) {
	var year, month string
	var state int64
	var body []byte
	if err := rows.Scan(&r.PCNCode, &year, &r.CommissionerCode, &r.PayerCode, &r.PCNName, &r.LocationCode, &state, &body, &r.ResultID, &r.PaymentRunID, &month,
		&r.ScheduleID, &r.Version); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year, r.PaymentMonth = p.Year(year), p.Month(month)
	r.Course = rules.Course{Year: r.Year, State: StateOf(state), ResultID: r.ResultID}
	return r, readCourse(&p, body, &r.Course)
}

// InsertAchievements adds years of PCNs; their results are there.
func InsertAchievements(ctx context.Context, tx *sqldb.Tx, achievements []AchievementRow) error {
	_, err := tx.BulkInsert(ctx, "achievements", []string{
		"pcn_code", "financial_year", "commissioner_code", "payer_code", "pcn_name", "location_code", "state", "course", "result_id", "payment_run_id", "payment_month",
		"schedule_id", "version",
	}, rowsOf(achievements, func(r AchievementRow) ([]any, error) {
		body, err := keepCourse(&r.Course)
		return []any{
			r.PCNCode, r.Year.String(), r.CommissionerCode, r.PayerCode, r.PCNName, r.LocationCode, StateNumber(r.Course.State), body, r.ResultID, r.PaymentRunID,
			r.PaymentMonth.String(), r.ScheduleID, r.Version,
		}, err
	}))
	if err != nil {
		return fmt.Errorf("insert %d years of PCNs: %w", len(achievements), err)
	}
	return nil
}

// ChangeAchievement stores where a year stands, if its row is still the one that was read.
func ChangeAchievement(ctx context.Context, tx *sqldb.Tx, r AchievementRow) (bool, error) {
	body, err := keepCourse(&r.Course)
	if err != nil {
		return false, err
	}
	return sqldb.One(tx.Exec(ctx, `UPDATE achievements SET commissioner_code = $1, payer_code = $2, pcn_name = $3, location_code = $4, state = $5, course = $6,
		result_id = $7, payment_run_id = $8, payment_month = $9, version = version + 1 WHERE pcn_code = $10 AND financial_year = $11 AND version = $12`,
		r.CommissionerCode, r.PayerCode, r.PCNName, r.LocationCode, StateNumber(r.Course.State), body, r.ResultID, r.PaymentRunID, r.PaymentMonth.String(),
		r.PCNCode, r.Year.String(), r.Version))
}

// Achievement returns the year of a PCN, or sql.ErrNoRows.
func Achievement(ctx context.Context, q sqldb.Querier, pcn string, year period.FinancialYear) (AchievementRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanAchievement, `SELECT `+achievementColumns+` FROM achievements WHERE pcn_code = $1 AND financial_year = $2`,
		pcn, year.String()))
}

// NewestAchievement returns the newest year of a PCN that was calculated, or sql.ErrNoRows.
func NewestAchievement(ctx context.Context, q sqldb.Querier, pcn string) (AchievementRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanAchievement, `SELECT `+achievementColumns+` FROM achievements WHERE pcn_code = $1
		ORDER BY financial_year DESC LIMIT 1`, pcn))
}

// AchievementsOf returns the years of some PCNs, in order of PCN.
func AchievementsOf(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]AchievementRow, error) {
	var out []AchievementRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.Where("financial_year = ?", year.String())
		f.In("pcn_code", batch)
		rows, err := sqldb.Collect(ctx, q, scanAchievement, `SELECT `+achievementColumns+` FROM achievements`+f.String()+` ORDER BY pcn_code`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

// OpenAchievements returns the years that are not approved and for which the figures and counts of a body count, or of all bodies, in
// order of PCN; PCNs are those wanted, nil for all.
func OpenAchievements(ctx context.Context, q sqldb.Querier, year period.FinancialYear, body string, pcns []string) ([]AchievementRow, error) {
	if pcns == nil {
		return openAchievements(ctx, q, year, body, nil)
	}
	var out []AchievementRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		rows, err := openAchievements(ctx, q, year, body, batch)
		out = append(out, rows...)
		return err
	})
}

func openAchievements(ctx context.Context, q sqldb.Querier, year period.FinancialYear, body string, pcns []string) ([]AchievementRow, error) {
	var f sqldb.Filter
	f.Where("financial_year = ?", year.String())
	f.Where("state <> ?", StateNumber(rules.Approved))
	f.Within("pcn_code", pcns)
	if body != "" {
		f.Where("(commissioner_code = ? OR payer_code = ?)", body, body)
	}
	return sqldb.Collect(ctx, q, scanAchievement, `SELECT `+achievementColumns+` FROM achievements`+f.String()+` ORDER BY pcn_code`, f.Args()...)
}

// Achievements returns years of PCNs in order of PCN and year; By.Before is a PCN with a year, parted by a space, which the page follows.
func Achievements(ctx context.Context, q sqldb.Querier, by Page, state rules.State) ([]AchievementRow, error) {
	f := by.scope()
	f.Equal("financial_year", by.Year)
	if state != "" {
		f.Where("state = ?", StateNumber(state))
	}
	if pcn, year, found := strings.Cut(by.Before, " "); found {
		f.Where("(pcn_code > ? OR (pcn_code = ? AND financial_year > ?))", pcn, pcn, year)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanAchievement, `SELECT `+achievementColumns+` FROM achievements`+conditions+` ORDER BY pcn_code, financial_year`+
		f.Limit(by.Limit), f.Args()...)
}

// StepRow is one step of a PCN's year, as it is kept.
type StepRow struct {
	PCNCode  string
	Year     period.FinancialYear
	Number   int64 // the version of the year after it
	Step     rules.Step
	TakenBy  string
	TakenAt  int64
	ResultID string
	State    rules.State
	Cause    rules.Cause
	Words    string
}

// InsertSteps adds steps.
func InsertSteps(ctx context.Context, tx *sqldb.Tx, steps []StepRow) error {
	_, err := tx.BulkInsert(ctx, "steps", []string{
		"pcn_code", "financial_year", "number", "step", "taken_by", "taken_at", "result_id", "state", "cause", "words",
	}, rowsOf(steps, func(r StepRow) ([]any, error) {
		return []any{
			r.PCNCode, r.Year.String(), r.Number, string(r.Step), r.TakenBy, r.TakenAt, r.ResultID, StateNumber(r.State), string(r.Cause), r.Words,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert %d steps: %w", len(steps), err)
	}
	return nil
}

// Steps returns the steps of a PCN's year, in order.
func Steps(ctx context.Context, q sqldb.Querier, pcn string, year period.FinancialYear) ([]StepRow, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r StepRow, err error) {
		var state int64
		err = rows.Scan(&r.Number, &r.Step, &r.TakenBy, &r.TakenAt, &r.ResultID, &state, &r.Cause, &r.Words)
		r.PCNCode, r.Year, r.State = pcn, year, StateOf(state)
		return r, err
	}, `SELECT number, step, taken_by, taken_at, result_id, state, cause, words FROM steps WHERE pcn_code = $1 AND financial_year = $2 ORDER BY number`,
		pcn, year.String())
}
