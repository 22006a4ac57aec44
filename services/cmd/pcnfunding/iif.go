package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type iifCommand struct {
	Import    iifImportCommand    `cmd:"" help:"Take in files of counts: CQRS extracts, publications, central feeds, maps of field names."`
	Calculate iifCalculateCommand `cmd:"" help:"Work a year out for every PCN of a commissioner, or of all."`
	List      iifListCommand      `cmd:"" help:"List years of PCNs with their state, points and pounds."`
	Show      iifShowCommand      `cmd:"" help:"Show the year of a PCN indicator by indicator, with the tests behind it."`
	Standing  iifStandingCommand  `cmd:"" help:"Tell where a PCN stands within the year, and how far it is from its thresholds."`
	Nominate  iifNominateCommand  `cmd:"" help:"Name a person who may declare for a PCN."`
	Nominee   iifNomineeCommand   `cmd:"" help:"Approve or refuse a nomination, for the commissioner."`
	Declare   iifDeclareCommand   `cmd:"" help:"Declare the year of a PCN as it stands, and commit to reinvest the money."`
	Accept    iifAcceptCommand    `cmd:"" help:"Declare the year of a PCN as it stands, for the commissioner."`
	Approve   iifApproveCommand   `cmd:"" help:"Approve the money of a year that both sides have declared."`
	Figures   iifFiguresCommand   `cmd:"" help:"List and confirm figures of the scheme."`
}

type iifImportCommand struct {
	client       `embed:""`
	Files        []string `arg:"" help:"CSV files, plain or gzip." type:"existingfile"`
	Source       string   `help:"Where the files come from." default:"file"`
	Layout       string   `help:"Layout the files must have, such as CQRS_EXTRACT; without one their headers decide."`
	Commissioner string   `help:"Commissioner they hold for; without one, all of England."`
}

// Run takes the files in and says what became of their rows.
func (c *iifImportCommand) Run(ctx context.Context) error {
	layout, known := iifv1.CountsLayout_value[strings.ToUpper(c.Layout)]
	if c.Layout != "" && !known {
		return fmt.Errorf("there is no layout of counts %q", c.Layout)
	}
	return c.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		for _, path := range c.Files {
			err := importCountsFile(ctx, suite.iif, path, &iifv1.CountsHeader{
				RequestId: newRequestID(), CommissionerCode: c.Commissioner, Layout: iifv1.CountsLayout(layout), FileName: filepath.Base(path), Source: c.Source,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
}

func importCountsFile(ctx context.Context, iif iifv1.IifServiceClient, path string, header *iifv1.CountsHeader) (err error) {
	file, err := os.Open(path) //nolint:gosec // the file is the one the operator names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	answer, err := sendCounts(ctx, iif, header, file)
	if err != nil {
		return err
	}
	return tellCounts(os.Stdout, answer)
}

// sendCounts sends a file of counts in pieces.
func sendCounts(ctx context.Context, iif iifv1.IifServiceClient, header *iifv1.CountsHeader, content io.Reader) (*iifv1.ImportCountsResponse, error) {
	stream, err := iif.ImportCounts(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Header{Header: header}})
	if err == nil {
		err = inPieces(content, func(piece []byte) error {
			return stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Chunk{Chunk: piece}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv() // it tells the cause where the server ended the upload early
}

func tellCounts(w io.Writer, answer *iifv1.ImportCountsResponse) error {
	taken, state := answer.GetCountsImport(), "taken in"
	if answer.GetAlreadyImported() {
		state = "taken in before, nothing changed"
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s; %s rows, %s counts for payment of %s practices and %s PCNs, %s hidden, %s default values; %s indicators changed, %d results worked out again, import %s\n",
		taken.GetFileName(), state, lower(taken.GetLayout().String()), count(taken.GetRows()), count(taken.GetCounts()), count(int64(taken.GetPractices())),
		count(int64(taken.GetPcns())), count(taken.GetSuppressed()), count(taken.GetDefaulted()), count(taken.GetChanged()), taken.GetResultsReworked(), taken.GetImportId())
	for _, tally := range taken.GetTallies() {
		_, _ = fmt.Fprintf(w, "  %s no counts for payment: %s\n", count(tally.GetRows()), tally.GetCause())
	}
	return err
}

// lower writes a value of the contract in words.
func lower(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", " ")) }

type iifCalculateCommand struct {
	client       `embed:""`
	Year         string `arg:"" help:"Financial year, YYYY-YY."`
	Commissioner string `help:"Only this commissioner; without one, all who owe money in the last month of the year."`
}

// Run works the year out and says what it came to; it fails if it did for any commissioner.
func (c *iifCalculateCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		codes := []string{c.Commissioner}
		if c.Commissioner == "" {
			last, err := lastMonth(c.Year)
			if err != nil {
				return err
			}
			if codes, err = commissioners(ctx, suite.register, last); err != nil {
				return err
			}
		}
		done, err := calculateYear(ctx, suite.iif, c.Year, codes, anyRequestID)
		done.tell(os.Stdout, c.Year)
		return err
	})
}

type iifListCommand struct {
	client       `embed:""`
	Year         string `arg:"" optional:"" help:"Financial year, YYYY-YY; without one, all."`
	Commissioner string `help:"Only this commissioner."`
	PCN          string `name:"pcn" help:"Only this PCN."`
	State        string `help:"Only this state, such as AWAITING_FINANCIAL_APPROVAL."`
}

// Run prints years of PCNs.
func (c *iifListCommand) Run(ctx context.Context) error {
	state, known := iifv1.AchievementState_value[strings.ToUpper(c.State)]
	if c.State != "" && !known {
		return fmt.Errorf("there is no state %q", c.State)
	}
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		all, err := listAchievements(ctx, suite.iif, &iifv1.ListAchievementsRequest{
			CommissionerCode: c.Commissioner, FinancialYear: c.Year, PcnCode: c.PCN, State: iifv1.AchievementState(state),
		})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(w, "pcn\tcommissioner\tyear\tpoints\tof\tmeasured\tdue\tpaid\t  state\t")
		for _, a := range all {
			result, whole := a.GetResult(), ""
			if !result.GetWhole() {
				whole = ", not whole"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t  %s%s\t\n", a.GetPcnCode(), a.GetCommissionerCode(), a.GetFinancialYear(), shortly(result.GetPoints()),
				shortly(result.GetPointsAvailable()), money.Pence(result.GetMeasuredPence()), money.Pence(result.GetDuePence()), money.Pence(a.GetPaidPence()), a.GetStateWords(), whole)
		}
		return w.Flush()
	})
}

// listAchievements reads all pages.
func listAchievements(ctx context.Context, iif iifv1.IifServiceClient, req *iifv1.ListAchievementsRequest) (out []*iifv1.Achievement, err error) {
	for req.PageSize = samplePage; ; {
		answer, err := iif.ListAchievements(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetAchievements()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// shortly writes an exact decimal or fraction with at most two decimals; nothing stays nothing.
func shortly(exact string) string {
	value, err := money.ParseExact(exact)
	if exact == "" || err != nil {
		return exact
	}
	text := value.FloatString(2)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

type iifShowCommand struct {
	client `embed:""`
	PCN    string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
}

// Run prints the year of a PCN.
func (c *iifShowCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		a, err := suite.iif.GetAchievement(ctx, &iifv1.GetAchievementRequest{PcnCode: c.PCN, FinancialYear: c.Year})
		if err != nil {
			return err
		}
		tellAchievement(os.Stdout, a)
		return tellResult(os.Stdout, a.GetResult())
	})
}

// tellAchievement prints where the year of a PCN stands.
func tellAchievement(w io.Writer, a *iifv1.Achievement) {
	_, _ = fmt.Fprintf(w, "%s of %s %s (%s): %s; result %s\n", a.GetFinancialYear(), a.GetPcnCode(), a.GetPcnName(), a.GetCommissionerCode(),
		cmp.Or(a.GetStateWords(), lower(a.GetState().String())), a.GetResult().GetResultId())
	for _, waits := range a.GetWaiting() {
		_, _ = fmt.Fprintln(w, "  waits for", waits)
	}
	if text := a.GetCommitment().GetText(); text != "" {
		_, _ = fmt.Fprintf(w, "  to be reinvested: %s\n", text)
	}
	if month := a.GetPaymentMonth(); month != "" {
		_, _ = fmt.Fprintf(w, "  paid with %s by the run of %s", month, a.GetPaymentRun().GetPaymentRun().GetPayOn())
		if id := a.GetScheduleId(); id != "" {
			_, _ = fmt.Fprintf(w, ", schedule %s, %s", id, money.Pence(a.GetPaidPence()))
		}
		_, _ = fmt.Fprintln(w)
	}
	if a.CorrectionPence != nil {
		_, _ = fmt.Fprintf(w, "  a correction would come to %s\n", money.Pence(a.GetCorrectionPence()))
	}
}

// tellResult prints a year indicator by indicator.
func tellResult(w io.Writer, r *iifv1.YearResult) error {
	whole := ""
	if !r.GetWhole() {
		whole = ", not whole"
	}
	_, err := fmt.Fprintf(w, "  counts of %s, version %s: %s of %s points, %s due, %s measured%s\n", r.GetAchievedOn(), r.GetVersionId(), shortly(r.GetPoints()),
		shortly(r.GetPointsAvailable()), money.Pence(r.GetDuePence()), money.Pence(r.GetMeasuredPence()), whole)
	for _, refusal := range r.GetRefusals() {
		_, _ = fmt.Fprintf(w, "  not computed: %s %s: %s; %s\n", refusal.GetPaymentCode(), refusal.GetReason(), refusal.GetMissing(), refusal.GetRemedy())
	}
	for _, d := range r.GetDifferences() {
		_, _ = fmt.Fprintf(w, "  %s %s: practices add up to %s, the row of the PCN states %s; the sum counts\n", d.GetIndicatorCode(), d.GetName(), count(d.GetSummed()), count(d.GetStated()))
	}
	for _, it := range r.GetIndicators() {
		tellIndicator(w, it)
	}
	return err
}

func tellIndicator(w io.Writer, it *iifv1.IndicatorResult) {
	measured := "no counts"
	if it.GetAchievement() != "" {
		measured = fmt.Sprintf("%s %s (%s of %s)", shortly(it.GetAchievement()), it.GetUnit(), shortly(it.GetNumerator()), shortly(it.GetDenominator()))
	}
	_, _ = fmt.Fprintf(w, "  %s %s, %s: %s, %s\n", it.GetIndicatorCode(), it.GetName(), lower(it.GetStatus().String()), measured, earned(it.GetDue()))
	if it.GetOverrideId() != "" {
		_, _ = fmt.Fprintf(w, "    by national override %s; measured %s\n", it.GetOverrideId(), earned(it.GetMeasured()))
	}
	for _, test := range it.GetTests() {
		if len(test.GetNumbers())+len(test.GetReasons()) == 0 {
			continue // it says nothing that the heading does not
		}
		words := make([]string, 0, len(test.GetNumbers())+len(test.GetReasons()))
		for _, n := range test.GetNumbers() {
			words = append(words, strings.TrimSpace(lower(n.GetName())+" "+shortly(n.GetValue())+" "+n.GetUnit()))
		}
		words = append(words, test.GetReasons()...)
		_, _ = fmt.Fprintf(w, "    %s %s: %s\n", lower(test.GetTest()), lower(test.GetOutcome()), strings.Join(words, ", "))
	}
	for _, note := range it.GetNotes() {
		_, _ = fmt.Fprintln(w, "    note:", note)
	}
}

// earned writes points and pounds, or why there are none.
func earned(p *iifv1.EarnedPayment) string {
	points := shortly(p.GetPoints()) + " points"
	switch {
	case p == nil:
		return "nothing"
	case p.GetRefusal() != nil:
		return fmt.Sprintf("%s waits for %s (%s)", points, p.GetRefusal().GetMissing(), p.GetRefusal().GetReason())
	case p.AmountPence == nil:
		return points
	default:
		return points + ", " + money.Pence(p.GetAmountPence()).String()
	}
}

type iifStandingCommand struct {
	client `embed:""`
	PCN    string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
	On     string `help:"Day of the counts, YYYY-MM-DD; without one, the last there is."`
}

// Run prints where the PCN stands.
func (c *iifStandingCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		s, err := suite.iif.GetStanding(ctx, &iifv1.GetStandingRequest{PcnCode: c.PCN, FinancialYear: c.Year, AchievedOn: c.On})
		if err != nil {
			return err
		}
		return tellStanding(os.Stdout, s)
	})
}

func tellStanding(w io.Writer, s *iifv1.Standing) error {
	r := s.GetResult()
	_, _ = fmt.Fprintf(w, "%s %s in %s, if the year ended on %s\n", r.GetPcnCode(), r.GetPcnName(), r.GetFinancialYear(), r.GetAchievedOn())
	if err := tellResult(w, r); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "  what is left to earn")
	for _, d := range s.GetDistances() {
		switch {
		case d.GetSentence() != "":
			_, _ = fmt.Fprintln(w, "    "+d.GetSentence())
		case d.GetRefusal() != nil:
			_, _ = fmt.Fprintf(w, "    %s: %s, %s\n", d.GetIndicatorCode(), d.GetRefusal().GetReason(), d.GetRefusal().GetMissing())
		}
	}
	_, _ = fmt.Fprintln(w, "  among the PCNs of", r.GetCommissionerCode())
	for _, rank := range s.GetRanks() {
		if rank.GetPlace() > 0 {
			_, _ = fmt.Fprintf(w, "    %s: place %d of %d; best %s, middle %s\n", rank.GetIndicatorCode(), rank.GetPlace(), rank.GetAmong(), shortly(rank.GetBest()), shortly(rank.GetMedian()))
		}
	}
	return nil
}

type iifNominateCommand struct {
	client `embed:""`
	PCN    string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Person string `arg:"" default:"local.clinical.director" help:"Token subject of the person; without one the director as whom iif declare speaks."`
}

// Run nominates the person; the commissioner decides.
func (c *iifNominateCommand) Run(ctx context.Context) error {
	return c.as(localOfPCN(optionsv1.Role_ROLE_PCN_MANAGER, c.PCN), func(suite clients) error {
		n, err := suite.iif.Nominate(ctx, &iifv1.NominateRequest{RequestId: newRequestID(), PcnCode: c.PCN, Person: c.Person})
		return tellNomination(os.Stdout, n, err)
	})
}

type iifNomineeCommand struct {
	client       `embed:""`
	Nomination   string `arg:"" help:"Nomination id."`
	Commissioner string `required:"" help:"Commissioner of the PCN."`
	Refuse       string `help:"Refuse it, and why." placeholder:"REASON"`
}

// Run decides the nomination.
func (c *iifNomineeCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		all, err := suite.iif.ListNominations(ctx, &iifv1.ListNominationsRequest{CommissionerCode: c.Commissioner, PageSize: samplePage})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(all.GetNominations(), func(n *iifv1.Nomination) bool { return n.GetNominationId() == c.Nomination })
		if at < 0 {
			return fmt.Errorf("%s has no nomination %q", c.Commissioner, c.Nomination)
		}
		n, err := suite.iif.DecideNomination(ctx, &iifv1.DecideNominationRequest{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, NominationId: c.Nomination, Etag: all.GetNominations()[at].GetEtag(),
			Approve: c.Refuse == "", Reason: c.Refuse,
		})
		return tellNomination(os.Stdout, n, err)
	})
}

func tellNomination(w io.Writer, n *iifv1.Nomination, err error) error {
	if err == nil {
		_, err = fmt.Fprintf(w, "nomination %s of %s for %s is %s\n", n.GetNominationId(), n.GetPerson(), n.GetPcnCode(), lower(strings.TrimPrefix(n.GetState().String(), "NOMINATION_")))
	}
	return err
}

type iifDeclareCommand struct {
	client     `embed:""`
	PCN        string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Year       string `arg:"" help:"Financial year, YYYY-YY."`
	Commitment string `help:"What the money will be spent on: extra workforce or primary medical services. It is needed before approval, and may follow later."`
}

// Run declares the result that stands, as a person of the PCN whom the commissioner has approved.
func (c *iifDeclareCommand) Run(ctx context.Context) error {
	return c.as(localOfPCN(optionsv1.Role_ROLE_CLINICAL_DIRECTOR, c.PCN), func(suite clients) error {
		a, err := suite.iif.GetAchievement(ctx, &iifv1.GetAchievementRequest{PcnCode: c.PCN, FinancialYear: c.Year})
		if err != nil {
			return err
		}
		// Who declared without a commitment comes back with one.
		if a.GetState() == iifv1.AchievementState_AWAITING_SERVICE_PROVIDER_APPROVAL || c.Commitment == "" {
			a, err = suite.iif.DeclareAchievement(ctx, &iifv1.DeclareAchievementRequest{
				RequestId: newRequestID(), PcnCode: c.PCN, FinancialYear: c.Year, ResultId: a.GetResult().GetResultId(),
			})
		}
		if err == nil && c.Commitment != "" {
			a, err = suite.iif.CommitReinvestment(ctx, &iifv1.CommitReinvestmentRequest{
				RequestId: newRequestID(), PcnCode: c.PCN, FinancialYear: c.Year, Text: c.Commitment,
			})
		}
		if err == nil {
			tellAchievement(os.Stdout, a)
		}
		return err
	})
}

type iifAcceptCommand struct {
	client `embed:""`
	PCN    string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
}

// Run declares the result for the commissioner.
func (c *iifAcceptCommand) Run(ctx context.Context) error {
	return c.decideYear(ctx, optionsv1.Role_ROLE_FINANCE_PREPARER, c.PCN, c.Year, func(iif iifv1.IifServiceClient, a *iifv1.Achievement) (*iifv1.Achievement, error) {
		return iif.AcceptAchievement(ctx, &iifv1.AcceptAchievementRequest{
			RequestId: newRequestID(), CommissionerCode: a.GetCommissionerCode(), PcnCode: c.PCN, FinancialYear: c.Year, ResultId: a.GetResult().GetResultId(),
		})
	})
}

type iifApproveCommand struct {
	client `embed:""`
	PCN    string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Year   string `arg:"" help:"Financial year, YYYY-YY."`
}

// Run approves the money.
func (c *iifApproveCommand) Run(ctx context.Context) error {
	return c.decideYear(ctx, optionsv1.Role_ROLE_FINANCE_APPROVER, c.PCN, c.Year, func(iif iifv1.IifServiceClient, a *iifv1.Achievement) (*iifv1.Achievement, error) {
		return iif.ApprovePayment(ctx, &iifv1.ApprovePaymentRequest{
			RequestId: newRequestID(), CommissionerCode: a.GetCommissionerCode(), PcnCode: c.PCN, FinancialYear: c.Year, ResultId: a.GetResult().GetResultId(),
		})
	})
}

// decideYear takes a step of the commissioner on the result that stands.
func (c *client) decideYear(
	ctx context.Context, role optionsv1.Role, pcn, year string, step func(iifv1.IifServiceClient, *iifv1.Achievement) (*iifv1.Achievement, error),
) error {
	return c.withClients(role, func(suite clients) error {
		a, err := suite.iif.GetAchievement(ctx, &iifv1.GetAchievementRequest{PcnCode: pcn, FinancialYear: year})
		if err != nil {
			return err
		}
		if a, err = step(suite.iif, a); err != nil {
			return err
		}
		tellAchievement(os.Stdout, a)
		return nil
	})
}

type iifFiguresCommand struct {
	List    iifFiguresListCommand    `cmd:"" help:"List figures; --waiting for those that wait for a figure or a confirmation."`
	Confirm iifFiguresConfirmCommand `cmd:"" help:"Confirm a candidate, or enter an unknown number."`
}

type iifFiguresListCommand struct {
	client    `embed:""`
	Year      string `arg:"" optional:"" help:"Financial year, YYYY-YY; without one, all."`
	Indicator string `help:"Only this indicator."`
	Waiting   bool   `help:"Only candidate and unknown figures."`
	All       bool   `help:"Replaced versions too."`
}

// Run prints the figures as a table.
func (c *iifFiguresListCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		figures, err := listFigures(ctx, suite.iif, &iifv1.ListFiguresRequest{
			FinancialYear: c.Year, IndicatorCode: c.Indicator, NotPayableOnly: c.Waiting, IncludeSuperseded: c.All,
		})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "figure\tyear\twhat\tvalue\tconfidence\tcommissioner\tsource")
		for _, f := range figures {
			what, value := figureWords(f)
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.GetFigureId(), f.GetFinancialYear(), what, value, confidenceName(f.GetConfidence()), f.GetCommissionerCode(), f.GetSource())
		}
		return w.Flush()
	})
}

// figureWords says what a figure is of, and what it is.
func figureWords(f *iifv1.Figure) (what, value string) {
	switch {
	case f.GetValue() != nil:
		v := f.GetValue()
		return strings.TrimSpace(lower(v.GetField().String()) + " " + cmp.Or(v.GetIndicatorCode(), v.GetVersionId())), cmp.Or(v.GetValue(), "not known")
	case f.GetVersion() != nil:
		return "version", f.GetVersion().GetFromDate() + " to " + f.GetVersion().GetToDate()
	case f.GetIndicator() != nil:
		return "indicator " + f.GetIndicator().GetIndicatorCode(), lower(f.GetIndicator().GetStatus().String())
	case f.GetOverride() != nil:
		return "override " + f.GetOverride().GetIndicatorCode(), f.GetOverride().GetShareOfPoints() + " of the points"
	default:
		run := f.GetPaymentRun()
		if run.GetDeadline() {
			return "payment deadline", run.GetPayOn()
		}
		return "payment run for approvals to " + run.GetApproveBy(), run.GetPayOn()
	}
}

// listFigures reads all pages.
func listFigures(ctx context.Context, iif iifv1.IifServiceClient, req *iifv1.ListFiguresRequest) (out []*iifv1.Figure, err error) {
	for req.PageSize = samplePage; ; {
		answer, err := iif.ListFigures(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetFigures()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

type iifFiguresConfirmCommand struct {
	client       `embed:""`
	Figure       string `arg:"" help:"Candidate or unknown figure."`
	Value        string `help:"The number; needed where there is none yet."`
	Source       string `help:"Where it is published." required:""`
	Confidence   string `help:"official, secondary or inferred." required:"" enum:"official,secondary,inferred"`
	Commissioner string `help:"Commissioner it is confirmed for; without one, all of England."`
	Note         string `help:"Why."`
}

// Run confirms the figure.
func (c *iifFiguresConfirmCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		f, err := suite.iif.ConfirmFigure(ctx, &iifv1.ConfirmFigureRequest{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, FigureId: c.Figure, Value: c.Value, Source: c.Source,
			Confidence: confidenceOf(c.Confidence), Note: c.Note,
		})
		if err == nil {
			what, value := figureWords(f)
			fmt.Printf("confirmed %s as %s: %s is %s\n", c.Figure, f.GetFigureId(), what, value)
		}
		return err
	})
}
