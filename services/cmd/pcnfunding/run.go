package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

const (
	// assembleLimit is how long a command waits for payments to take schedules in; they come by way of the broker.
	assembleLimit = time.Minute
	assembleCheck = 100 * time.Millisecond
)

type runCommand struct {
	List    runListCommand    `cmd:"" help:"List payment runs."`
	Submit  runSubmitCommand  `cmd:"" help:"Freeze a run and put it forward."`
	Approve runApproveCommand `cmd:"" help:"Approve a run that another person put forward."`
	Export  runExportCommand  `cmd:"" help:"Make a file of an approved run, and write it out."`
}

type runListCommand struct {
	client       `embed:""`
	Month        string `help:"Only this month, YYYY-MM."`
	Commissioner string `help:"Only this commissioner."`
}

// Run prints runs, newest month first.
func (r *runListCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(w, "run\tstate\tlines\tpayments\tto send\tsent\tkept back\theld\t")
		runs, err := listRuns(ctx, suite.payments, &paymentsv1.ListRunsRequest{Month: r.Month, CommissionerCode: r.Commissioner})
		for _, run := range runs {
			t, sent := run.GetTotals(), run.GetSent()
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", run.GetRunId(), runState(run), count(int64(t.GetLines())), count(int64(t.GetPayments())),
				money.Pence(t.GetNetPence()), money.Pence(sent.GetPence()), money.Pence(sent.GetKeptBackPence()), money.Pence(t.GetHeldPence()))
		}
		return errors.Join(err, w.Flush())
	})
}

func runState(run *paymentsv1.Run) string {
	return strings.ToLower(strings.TrimPrefix(run.GetState().String(), "RUN_STATE_"))
}

// listRuns reads all pages.
func listRuns(ctx context.Context, payments paymentsv1.PaymentsServiceClient, req *paymentsv1.ListRunsRequest) ([]*paymentsv1.Run, error) {
	var out []*paymentsv1.Run
	for req.PageSize = 1000; ; {
		answer, err := payments.ListRuns(ctx, req)
		if err != nil {
			return out, err
		}
		out = append(out, answer.GetRuns()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

type runSubmitCommand struct {
	client `embed:""`
	RunID  string `arg:"" name:"run" help:"Run, such as 16C-2022-04-1."`
	Note   string `help:"Words for the approver."`
}

// Run puts the run forward as it stands.
func (r *runSubmitCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		run, err := suite.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: r.RunID})
		if err != nil {
			return err
		}
		run, err = suite.payments.SubmitRun(ctx, &paymentsv1.SubmitRunRequest{RequestId: newRequestID(), RunId: r.RunID, Etag: run.GetEtag(), Note: r.Note})
		return tellRun(run, err)
	})
}

type runApproveCommand struct {
	client `embed:""`
	RunID  string `arg:"" name:"run" help:"Run, such as 16C-2022-04-1."`
}

// Run approves the run as it stands.
func (r *runApproveCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		run, err := suite.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: r.RunID})
		if err != nil {
			return err
		}
		run, err = suite.payments.ApproveRun(ctx, &paymentsv1.ApproveRunRequest{RequestId: newRequestID(), RunId: r.RunID, Etag: run.GetEtag()})
		return tellRun(run, err)
	})
}

// tellRun prints where a run stands.
func tellRun(run *paymentsv1.Run, err error) error {
	if err == nil {
		t := run.GetTotals()
		fmt.Printf("%s is %s: %d lines, %s to send in %d payments\n", run.GetRunId(), runState(run), t.GetLines(), money.Pence(t.GetNetPence()), t.GetPayments())
	}
	return err
}

type runExportCommand struct {
	client `embed:""`
	RunID  string `arg:"" name:"run" help:"Run, such as 16C-2022-04-1."`
	Format string `help:"journal, payables_invoices, pcse_variation, pain_001 or remittance." default:"journal" enum:"journal,payables_invoices,pcse_variation,pain_001,remittance"`
	Out    string `help:"File to write; without one, the name of the export in this folder." type:"path"`
}

// Run makes the file and writes it out.
func (r *runExportCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		made, err := suite.payments.ExportRun(ctx, &paymentsv1.ExportRunRequest{
			RequestId: newRequestID(), RunId: r.RunID, Format: paymentsv1.Format(paymentsv1.Format_value["FORMAT_"+strings.ToUpper(r.Format)]),
		})
		if err != nil {
			return err
		}
		file, err := suite.payments.DownloadExport(ctx, &paymentsv1.DownloadExportRequest{ExportId: made.GetExportId()})
		if err != nil {
			return err
		}
		name := cmp.Or(r.Out, made.GetFileName())
		if err := os.WriteFile(name, file.GetData(), 0o600); err != nil {
			return err
		}
		fmt.Printf("%s: %d payments, %s, sha256 %s\n", name, made.GetPayments(), money.Pence(made.GetAmountPence()), made.GetSha256())
		run, err := suite.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: r.RunID})
		if sent := run.GetSent(); sent.GetKeptBackPayments() > 0 {
			fmt.Printf("kept back %d payments of payees on hold, %s: their lines go into another run once the hold is released\n",
				sent.GetKeptBackPayments(), money.Pence(sent.GetKeptBackPence()))
		}
		return err
	})
}

type statementCommand struct {
	client       `embed:""`
	PCN          string `arg:"" name:"pcn" help:"PCN, such as U89141."`
	Period       string `arg:"" help:"Month, YYYY-MM, or financial year, YYYY-YY."`
	Commissioner string `help:"Commissioner whose account with the PCN is wanted; without one, that of its newest line." placeholder:"CODE"`
	CSV          bool   `name:"csv" help:"CSV in place of PDF."`
	Out          string `help:"File to write; without one, PCN and period in this folder." type:"path"`
}

// Run writes the statement out.
func (s *statementCommand) Run(ctx context.Context) error {
	return s.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		name := cmp.Or(s.Out, s.PCN+"-"+s.Period+"-statement"+s.extension())
		file, err := s.download(ctx, suite.payments)
		if err != nil {
			return err
		}
		fmt.Println(name)
		return os.WriteFile(name, file.GetData(), 0o600)
	})
}

func (s *statementCommand) extension() string {
	if s.CSV {
		return ".csv"
	}
	return ".pdf"
}

func (s *statementCommand) download(ctx context.Context, payments paymentsv1.PaymentsServiceClient) (*httpbody.HttpBody, error) {
	if s.CSV {
		return payments.DownloadStatementCsv(ctx, &paymentsv1.DownloadStatementCsvRequest{
			PcnCode: s.PCN, Period: s.Period, CommissionerCode: s.Commissioner,
		})
	}
	return payments.DownloadStatement(ctx, &paymentsv1.DownloadStatementRequest{PcnCode: s.PCN, Period: s.Period, CommissionerCode: s.Commissioner})
}

// awaitSchedules waits until payments has taken schedules of a month in.
func awaitSchedules(ctx context.Context, payments paymentsv1.PaymentsServiceClient, month string, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, assembleLimit)
	defer cancel()
	check := time.NewTicker(assembleCheck)
	defer check.Stop()
	for {
		taken, err := takenIn(ctx, payments, month)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return taken[id] })
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-check.C:
		case <-ctx.Done():
			return fmt.Errorf("payments has not taken in %d of %d schedules, the first of them %s: look at the held events and at the broker", len(missing), len(ids), missing[0])
		}
	}
}

// takenIn returns the schedules of a month that payments holds.
func takenIn(ctx context.Context, payments paymentsv1.PaymentsServiceClient, month string) (map[string]bool, error) {
	out := make(map[string]bool)
	req := &paymentsv1.ListReceivedSchedulesRequest{Month: month, PageSize: 1000}
	for {
		answer, err := payments.ListReceivedSchedules(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, schedule := range answer.GetSchedules() {
			out[schedule.GetSchedule().GetScheduleId()] = true
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// tellAssembled waits for the schedules of a month and prints what its assembled runs come to.
func tellAssembled(ctx context.Context, payments paymentsv1.PaymentsServiceClient, month string, schedules []string) error {
	if err := awaitSchedules(ctx, payments, month, schedules); err != nil {
		return err
	}
	runs, err := listRuns(ctx, payments, &paymentsv1.ListRunsRequest{Month: month, State: paymentsv1.RunState_RUN_STATE_ASSEMBLED})
	if err != nil {
		return err
	}
	var lines, held int64
	var net money.Pence
	for _, run := range runs {
		lines += int64(run.GetTotals().GetLines())
		held += int64(run.GetTotals().GetHeldLines())
		net += money.Pence(run.GetTotals().GetNetPence())
	}
	fmt.Printf("assembled %d runs of %s: %s lines, %s to send, %s lines on hold; put them forward with run submit\n", len(runs), month, count(lines), net, count(held))
	return nil
}
