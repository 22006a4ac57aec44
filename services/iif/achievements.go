package iif

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// GetAchievement returns where a PCN's year stands, with its result, workings and steps.
func (s *Service) GetAchievement(ctx context.Context, req *iifv1.GetAchievementRequest) (out *iifv1.Achievement, err error) {
	year, err := fundYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Achievement(ctx, q, req.GetPcnCode(), year)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, row.PCNCode)) {
			return notCalculated(req.GetPcnCode(), year)
		}
		if err != nil {
			return err
		}
		all, err := s.achievements(ctx, q, []store.AchievementRow{row})
		if err != nil {
			return err
		}
		out = all[0]
		result, err := store.Result(ctx, q, row.ResultID)
		if err != nil {
			return err
		}
		if out.Result, err = s.wholeToProto(ctx, q, result); err != nil {
			return err
		}
		return s.addSteps(ctx, q, &row, out)
	})
}

// ListAchievements returns years of PCNs by PCN. Results come without their indicators, which would make a page too large to send.
func (s *Service) ListAchievements(ctx context.Context, req *iifv1.ListAchievementsRequest) (*iifv1.ListAchievementsResponse, error) {
	by, size, err := pageOf(ctx, req)
	if err != nil {
		return nil, err
	}
	by.PCNCode = req.GetPcnCode()
	if by.Year, err = yearFilter("financial_year", req.GetFinancialYear()); err != nil {
		return nil, err
	}
	out := new(iifv1.ListAchievementsResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Achievements(ctx, q, by, store.StateOf(int64(req.GetState())))
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.AchievementRow) string { return r.PCNCode + " " + r.Year.String() })
		out.Achievements, err = s.achievements(ctx, q, rows)
		return err
	})
}

// yearFilter reads the year that a list is asked for, as tables write it; empty is any.
func yearFilter(field, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	year, err := fundYear(field, text)
	return year.String(), err
}

// listing is a request for a page of rows that a commissioner or a PCN may see.
type listing interface {
	GetCommissionerCode() string
	GetPageSize() int32
	GetPageToken() string
}

// pageOf selects a page of the rows that the caller may see, and one row beyond it: those of commissioners and of PCNs held.
func pageOf(ctx context.Context, req listing) (by store.Page, size int, err error) {
	if by.Before, err = page.Key(req.GetPageToken()); err != nil {
		return by, 0, err
	}
	if by.Commissioners, err = visible(ctx, req.GetCommissionerCode()); err != nil {
		return by, 0, err
	}
	size = page.Size(req.GetPageSize(), defaultPage)
	by.PCNs, by.CommissionerCode, by.Limit = caller(ctx).PCNs, req.GetCommissionerCode(), size+1
	return by, size, nil
}

// achievements writes years of PCNs, without indicators and steps.
func (s *Service) achievements(ctx context.Context, q sqldb.Querier, rows []store.AchievementRow) ([]*iifv1.Achievement, error) {
	results, err := resultsOf(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	scheme, _, err := s.scheme(ctx, q, latest)
	if err != nil {
		return nil, err
	}
	money, err := s.moneyOf(ctx, q, rows, results)
	if err != nil {
		return nil, err
	}
	out := make([]*iifv1.Achievement, len(rows))
	for i := range rows {
		row := &rows[i]
		held := money[yearKey{row.PCNCode, row.Year}]
		out[i] = courseToProto(row)
		out[i].Result = keptToProto(results[row.ResultID])
		out[i].PaidPence, out[i].CorrectionPence = int64(held.paid), held.correction
		if at := slices.IndexFunc(scheme.Calendar, func(run rules.Run) bool { return run.ID == row.PaymentRunID }); at >= 0 && row.PaymentRunID != "" {
			out[i].PaymentRun = runToProto(&scheme.Calendar[at])
		}
	}
	return out, nil
}

func courseToProto(row *store.AchievementRow) *iifv1.Achievement {
	c := &row.Course
	out := &iifv1.Achievement{
		PcnCode: row.PCNCode, PcnName: row.PCNName, CommissionerCode: row.CommissionerCode, FinancialYear: yearWords(row.Year),
		State: states[c.State], StateWords: c.State.Words(), Provider: declarationToProto(c.Provider), Commissioner: declarationToProto(c.Commissioner),
		Financial: declarationToProto(c.Financial), FellBack: int32(c.FellBack), Waiting: c.Waiting, PaymentMonth: row.PaymentMonth.String(), //nolint:gosec // few
		ScheduleId: row.ScheduleID, Etag: versionTag(row.Version),
	}
	if m := c.Commitment; m != nil {
		out.Commitment = &iifv1.Commitment{Person: m.Person, OnDate: m.On.String(), Text: m.Text}
	}
	for _, a := range c.Appeals {
		out.Appeals = append(out.Appeals, &iifv1.Appeal{
			Person: a.Person, OnDate: a.On.String(), Reason: a.Reason, Verdict: iifv1.Verdict(iifv1.Verdict_value[string(a.Verdict)]), DecidedBy: a.DecidedBy,
			DecidedOn: a.DecidedOn.String(), Grounds: a.Grounds,
		})
	}
	return out
}

func declarationToProto(d rules.Declaration) *iifv1.Declaration {
	if d == (rules.Declaration{}) {
		return nil
	}
	return &iifv1.Declaration{Person: d.Person, OnDate: d.On.String()}
}

// runToProto writes the run that a year is paid in.
func runToProto(run *rules.Run) *iifv1.Figure {
	return &iifv1.Figure{
		FigureId: run.ID, Kind: iifv1.FigureKind_PAYMENT_RUN, FinancialYear: yearWords(run.Year),
		Body:   &iifv1.Figure_PaymentRun{PaymentRun: &iifv1.PaymentRun{ApproveBy: run.ApproveBy.String(), PayOn: run.PayOn.String()}},
		Source: run.Source, Confidence: working.ConfidenceToProto(run.Confidence), KnownFrom: run.KnownFrom.String(), KnownFromBasis: run.KnownFromBasis,
		CommissionerCode: run.CommissionerCode, Note: run.Note,
	}
}

// addSteps writes what happened to a year.
func (s *Service) addSteps(ctx context.Context, q sqldb.Querier, row *store.AchievementRow, out *iifv1.Achievement) error {
	steps, err := store.Steps(ctx, q, row.PCNCode, row.Year)
	for _, step := range steps {
		out.Steps = append(out.Steps, &iifv1.AchievementStep{
			Step: string(step.Step), By: step.TakenBy, At: timestamp(step.TakenAt), ResultId: step.ResultID, State: states[step.State],
			Cause: iifv1.ChangeCause(iifv1.ChangeCause_value[string(step.Cause)]), Words: step.Words,
		})
	}
	return err
}

type yearKey struct {
	pcn  string
	year period.FinancialYear
}

// yearMoney is what schedules hold of a year, and what a correction would come to; nil where there is none to tell.
type yearMoney struct {
	paid       money.Pence
	correction *int64
}

// moneyOf adds up what schedules hold of years, and works approved ones out as counts and figures stand now, by the members and the list
// that they were approved or corrected by.
func (s *Service) moneyOf(
	ctx context.Context, q sqldb.Querier, rows []store.AchievementRow, results map[string]store.ResultRow,
) (map[yearKey]yearMoney, error) {
	approved := make(map[period.FinancialYear][]store.AchievementRow)
	var pcns []string
	for _, row := range rows {
		if row.Course.State == rules.Approved {
			approved[row.Year] = append(approved[row.Year], row)
			pcns = append(pcns, row.PCNCode)
		}
	}
	out := make(map[yearKey]yearMoney)
	if len(pcns) == 0 {
		return out, nil
	}
	lines, err := store.PaidOf(ctx, q, inOrder(pcns))
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		key := yearKey{line.PCNCode, line.Year}
		held := out[key]
		if held.paid, err = held.paid.Add(line.Amount); err != nil {
			return nil, err
		}
		out[key] = held
	}
	for year, of := range approved {
		if err := s.correctionsNow(ctx, q, year, of, results, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// correctedResults loads the results of approved corrections, by identifier.
func correctedResults(ctx context.Context, q sqldb.Querier, corrections []store.CorrectionRow) (map[string]store.ResultRow, error) {
	var ids []string
	for i := range corrections {
		if corrections[i].State == store.CorrectionApproved {
			ids = append(ids, corrections[i].ResultID)
		}
	}
	found, err := store.Results(ctx, q, ids)
	out := make(map[string]store.ResultRow, len(found))
	for _, row := range found {
		out[row.ID] = row
	}
	return out, err
}

// correctionsNow works out what corrections of approved years would come to. What is approved and waits for a close counts as paid.
func (s *Service) correctionsNow(
	ctx context.Context, q sqldb.Querier, year period.FinancialYear, rows []store.AchievementRow, results map[string]store.ResultRow, out map[yearKey]yearMoney,
) error {
	pcns := make([]string, len(rows))
	for i := range rows {
		pcns[i] = rows[i].PCNCode
	}
	corrections, err := store.CorrectionsOf(ctx, q, year, inOrder(pcns))
	if err != nil {
		return err
	}
	corrected, err := correctedResults(ctx, q, corrections)
	if err != nil {
		return err
	}
	due, of := make([]money.Pence, len(rows)), make([]store.ResultRow, len(rows))
	for i := range rows {
		of[i] = results[rows[i].ResultID]
		due[i] = out[yearKey{rows[i].PCNCode, year}].paid
		if rows[i].ScheduleID == "" {
			if due[i], err = due[i].Add(of[i].Due); err != nil {
				return err
			}
		}
		for _, c := range corrections {
			if c.PCNCode != rows[i].PCNCode || c.State != store.CorrectionApproved {
				continue
			}
			of[i] = corrected[c.ResultID]
			if c.ScheduleID == "" {
				if due[i], err = due[i].Add(c.Amount); err != nil {
					return err
				}
			}
		}
	}
	bases := make([]basis, len(rows))
	for i := range rows {
		if bases[i], err = basisOf(of[i]); err != nil {
			return err
		}
		bases[i].commissioner, bases[i].figures, bases[i].counts = rows[i].CommissionerCode, latest, latest
	}
	all, err := s.workOut(ctx, q, bases, sumsOnly)
	if err != nil {
		return err
	}
	for i := range all {
		if !all[i].result.Whole() {
			continue
		}
		difference, err := all[i].result.Due.Sub(due[i])
		if err != nil {
			return err
		}
		amount := int64(difference)
		key := yearKey{rows[i].PCNCode, year}
		out[key] = yearMoney{out[key].paid, &amount}
	}
	return nil
}
