package iif

import (
	"context"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// QuoteSubmissions tells which rows of an extract count.
func (s *Service) QuoteSubmissions(_ context.Context, req *iifv1.QuoteSubmissionsRequest) (*iifv1.QuoteSubmissionsResponse, error) {
	var r quoteReader
	rows := make([]rules.Submission, len(req.GetRows()))
	for i, row := range req.GetRows() {
		cell, err := rules.ParseCell(row.GetValue())
		if refused, ok := fault.As(err); ok {
			r.refuse("rows["+strconv.Itoa(i)+"].value", refused.Reason, refused.Message)
		}
		rows[i] = rules.Submission{
			CellKey: rules.CellKey{
				Organisation: row.GetOrganisationCode(), AchievementDate: row.GetAchievedOn(), Code: row.GetIndicatorCode(), Field: row.GetField(),
			},
			Cell: cell, Last: row.GetLastSubmission(),
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	counts, err := rules.LastSubmissions(rows)
	if err != nil {
		return nil, err
	}
	out := new(iifv1.QuoteSubmissionsResponse)
	for _, row := range rows {
		cell, stands := counts[row.CellKey]
		if !stands {
			continue
		}
		delete(counts, row.CellKey)
		out.Cells = append(out.Cells, &iifv1.SubmittedCell{
			OrganisationCode: row.Organisation, AchievedOn: row.AchievementDate, IndicatorCode: row.Code, Field: row.Field,
			Value: cell.String(), LastSubmission: true,
		})
	}
	out.RowsLeftOut = int32(len(rows) - len(out.GetCells())) //nolint:gosec // the contract bounds the rows
	return out, nil
}

// QuotePublication tells what publications show of counts.
func (s *Service) QuotePublication(_ context.Context, req *iifv1.QuotePublicationRequest) (*iifv1.QuotePublicationResponse, error) {
	counts := countsFromProto(req.GetCounts())
	published := rules.Publish(&counts)
	out := &iifv1.QuotePublicationResponse{Numerator: published.Numerator.String(), Denominator: published.Denominator.String()}
	for _, f := range published.Adjustments {
		out.Adjustments = append(out.Adjustments, &iifv1.PublishedField{Field: f.Field, Value: f.Cell.String()})
	}
	for _, value := range req.GetHospitalValues() {
		out.HospitalValues = append(out.HospitalValues, rules.PublishHospital(value).String())
	}
	return out, nil
}

// QuotePaymentRuns tells when approvals are paid.
func (s *Service) QuotePaymentRuns(ctx context.Context, req *iifv1.QuotePaymentRunsRequest) (*iifv1.QuotePaymentRunsResponse, error) {
	var r quoteReader
	query := rules.Query{
		Year: r.year("financial_year", req.GetFinancialYear()), Commissioner: rules.England, Known: r.date("known_on", req.GetKnownOn()),
	}
	days := make([]period.Date, len(req.GetApprovedOn()))
	for i, text := range req.GetApprovedOn() {
		days[i] = r.date("approved_on["+strconv.Itoa(i)+"]", text)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	scheme, err := s.quoteScheme(ctx)
	if err != nil {
		return nil, err
	}
	deadline, known := rules.DeadlineOf(scheme, query)
	out := &iifv1.QuotePaymentRunsResponse{Deadline: deadline.String(), Runs: make([]*iifv1.QuotedRun, len(days))}
	for i, day := range days {
		out.Runs[i] = &iifv1.QuotedRun{ApprovedOn: day.String()}
		run, err := rules.RunFor(scheme, query, day)
		if refused, waits := fault.As(err); waits {
			out.Runs[i].Refusal = missingToProto(refused)
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Runs[i] = &iifv1.QuotedRun{
			ApprovedOn: day.String(), PayOn: run.PayOn.String(), ApproveBy: run.ApproveBy.String(), FigureId: run.ID, Source: run.Source,
			Confidence: working.ConfidenceToProto(run.Confidence), AfterDeadline: known && run.PayOn.After(deadline),
		}
	}
	return out, nil
}

// quotedWords is what is said with a step of a quotation that takes words.
const quotedWords = "as asked"

// quotedCourse is a year that runs through steps asked about. Every new result has a name of its own.
type quotedCourse struct {
	rules.Course
	results          int
	missing, waiting []string
}

// QuoteCourse tells where a year stands after some steps.
func (s *Service) QuoteCourse(_ context.Context, req *iifv1.QuoteCourseRequest) (*iifv1.QuoteCourseResponse, error) {
	var r quoteReader
	year := r.year("financial_year", req.GetFinancialYear())
	days := make([]period.Date, len(req.GetSteps()))
	for i, step := range req.GetSteps() {
		days[i] = r.date("steps["+strconv.Itoa(i)+"].on_date", step.GetOnDate())
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	c := quotedCourse{Course: rules.Course{Year: year, State: rules.Open}, missing: req.GetMissing(), waiting: req.GetWaiting()}
	if req.GetReinvestmentCommitted() {
		before := iifv1.QuotedStep{Step: string(rules.Commits), Person: "commitment"}
		if err := c.take(&before, "", year.Last().Last()); err != nil {
			return nil, err
		}
	}
	out := &iifv1.QuoteCourseResponse{States: make([]*iifv1.QuotedState, len(days))}
	for i, step := range req.GetSteps() {
		state := &iifv1.QuotedState{Step: step.GetStep()}
		err := c.take(step, "step "+strconv.Itoa(i+1), days[i])
		if refused, ok := fault.As(err); ok {
			state.Refusal = missingToProto(refused)
		} else if err != nil {
			return nil, err
		}
		state.State, state.StateWords = states[c.State], c.State.Words()
		out.States[i] = state
	}
	out.FellBack = int32(c.FellBack) //nolint:gosec // the contract bounds the steps
	return out, nil
}

// quotedRoles are the roles in which steps are asked about.
var quotedRoles = map[rules.Step]rules.Role{
	rules.Aggregated: rules.RoleSystem, rules.ProviderDeclares: rules.RolePCNManager, rules.CommissionerDeclares: rules.RolePreparer,
	rules.FinanciallyApproves: rules.RoleApprover, rules.Commits: rules.RolePCNManager, rules.DataChanged: rules.RolePreparer,
	rules.Appeals: rules.RolePCNManager, rules.AppealDecided: rules.RolePreparer,
}

// take takes a step, by someone of its own where it names nobody.
func (c *quotedCourse) take(step *iifv1.QuotedStep, someone string, on period.Date) error {
	if step.GetPerson() != "" {
		someone = step.GetPerson()
	}
	if on.IsZero() {
		on = c.Year.Last().Last().AddDays(1)
		if c.LastOn.After(on) {
			on = c.LastOn
		}
	}
	e := rules.Event{
		Step: rules.Step(step.GetStep()), On: on, ResultID: c.ResultID, Cause: causeOf(step.GetCause()), Verdict: verdictOf(step.GetVerdict()),
		Reason: quotedWords, By: rules.Actor{Person: someone, Role: quotedRoles[rules.Step(step.GetStep())], Nominated: !step.GetNotNominated()},
	}
	switch e.Step { //nolint:exhaustive // the others bring nothing with them
	case rules.Aggregated, rules.DataChanged:
		e.ResultID, e.Missing, e.Waiting = "result "+strconv.Itoa(c.results+1), c.missing, c.waiting
	case rules.Commits:
		e.Commitment = rules.Commitment{Person: someone, On: on, Year: c.Year, Text: quotedWords}
	}
	next, err := rules.Advance(c.Course, e)
	if err != nil {
		return err
	}
	c.Course, c.results = next, c.results+1
	return nil
}
