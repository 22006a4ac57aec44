package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// The run that the sample takes from assembled to a file and a statement.
const (
	sampleCommissioner = "16C"
	sampleMonth        = "2022-04"
	samplePCN          = "U89141"
	sampleRun          = sampleCommissioner + "-" + sampleMonth + "-1"
	sampleShown        = 4 // rows of a file or statement that are printed
)

// payOneRun takes one commissioner's run through submission, another person's approval and export. What was done before stays.
func payOneRun(ctx context.Context, reach client, out io.Writer) error {
	err := reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		run, err := suite.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: sampleRun})
		if err != nil || run.GetState() != paymentsv1.RunState_RUN_STATE_ASSEMBLED {
			return err
		}
		_, err = suite.payments.SubmitRun(ctx, &paymentsv1.SubmitRunRequest{
			RequestId: "sample-submit", RunId: sampleRun, Etag: run.GetEtag(), Note: "sample run",
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("put the sample run forward: %w", err)
	}
	err = reach.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		run, err := suite.payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: sampleRun})
		if err != nil || run.GetState() != paymentsv1.RunState_RUN_STATE_SUBMITTED {
			return err
		}
		if err := sampleCodes(ctx, suite.payments); err != nil {
			return err
		}
		_, err = suite.payments.ApproveRun(ctx, &paymentsv1.ApproveRunRequest{RequestId: "sample-approve", RunId: sampleRun, Etag: run.GetEtag()})
		return err
	})
	if err != nil {
		return fmt.Errorf("approve the sample run: %w", err)
	}
	return reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		return showRun(ctx, suite.payments, out)
	})
}

// sampleCodes records ledger codes that are plainly none of a real ledger.
func sampleCodes(ctx context.Context, payments paymentsv1.PaymentsServiceClient) error {
	req := &paymentsv1.AddCodesRequest{RequestId: "sample-codes", CommissionerCode: sampleCommissioner, Reason: "sample codes, of no real ledger"}
	for i, stream := range []string{"CORE_PCN", "CLINICAL_DIRECTOR", "EXTENDED_HOURS", "LEADERSHIP_MANAGEMENT", "CARE_HOME_PREMIUM", "NPP", "RECOVERY", "CONTROL"} {
		req.Mappings = append(req.Mappings, &paymentsv1.CodeMapping{
			Stream: stream, EffectiveFrom: "2022-04-01", Entity: "SAM", CostCentre: "SAMPLE", Subjective: fmt.Sprintf("SAMPLE%02d", i+1), Analysis1: "00000",
			Analysis2: "000000", Spare: "000000", VatTreatment: paymentsv1.VatTreatment_VAT_TREATMENT_OUTSIDE_SCOPE, VatCode: "SAMPLE",
		})
	}
	if _, err := payments.AddCodes(ctx, req); err != nil {
		return err
	}
	_, err := payments.SetSetting(ctx, &paymentsv1.SetSettingRequest{
		RequestId: "sample-profile", CommissionerCode: sampleCommissioner, FromMonth: sampleMonth, Reason: "sample profile",
		Choice: &paymentsv1.SetSettingRequest_ExportProfile{ExportProfile: &paymentsv1.ExportProfile{
			Format: paymentsv1.Format_FORMAT_JOURNAL, Texts: map[string]string{"journal_source": "SAMPLE", "journal_category": "PCN"},
		}},
	})
	return err
}

// showRun exports the run, unless that was done, and prints the run, the head of its journal and one PCN's statement.
func showRun(ctx context.Context, payments paymentsv1.PaymentsServiceClient, out io.Writer) error {
	run, err := payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: sampleRun})
	if err != nil {
		return err
	}
	if run.GetState() == paymentsv1.RunState_RUN_STATE_APPROVED {
		_, err := payments.ExportRun(ctx, &paymentsv1.ExportRunRequest{
			RequestId: "sample-export", RunId: sampleRun, Format: paymentsv1.Format_FORMAT_JOURNAL, AccountingDate: sampleMonth + "-30",
		})
		if err != nil {
			return fmt.Errorf("export the sample run: %w", err)
		}
		if run, err = payments.GetRun(ctx, &paymentsv1.GetRunRequest{RunId: sampleRun}); err != nil {
			return err
		}
	}
	title := "one run, from closed schedules to a file and a statement"
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("─", len(title)))
	t := run.GetTotals()
	_, _ = fmt.Fprintf(out, "%s of %s is %s: %d lines, %s to send in %d payments\n", run.GetRunId(), run.GetCommissionerName(), runState(run), t.GetLines(),
		money.Pence(t.GetNetPence()), t.GetPayments())
	_, _ = fmt.Fprintf(out, "put forward by %s, approved by %s, sent by export %s\n", run.GetSubmittedBy(), approvers(run), run.GetExportId())
	if err := showLedger(ctx, payments, out); err != nil {
		return err
	}
	file, err := payments.DownloadExport(ctx, &paymentsv1.DownloadExportRequest{ExportId: run.GetExportId()})
	if err != nil {
		return err
	}
	rows := strings.Split(string(file.GetData()), "\r\n")
	_, _ = fmt.Fprintf(out, "\nthe journal: %d rows, of which\n", len(rows)-2)
	for _, row := range rows[:min(sampleShown, len(rows))] {
		_, _ = fmt.Fprintln(out, "  "+row)
	}
	return showStatement(ctx, payments, out)
}

func approvers(run *paymentsv1.Run) string {
	names := make([]string, 0, len(run.GetApprovals()))
	for _, approval := range run.GetApprovals() {
		names = append(names, approval.GetApprovedBy())
	}
	return strings.Join(names, ", ")
}

// showLedger prints the commissioner's trial balance.
func showLedger(ctx context.Context, payments paymentsv1.PaymentsServiceClient, out io.Writer) error {
	balance, err := payments.GetTrialBalance(ctx, &paymentsv1.GetTrialBalanceRequest{CommissionerCode: sampleCommissioner})
	if err != nil {
		return err
	}
	parts := make([]string, 0, len(balance.GetBalances()))
	for _, b := range balance.GetBalances() {
		stage := strings.ToLower(strings.TrimPrefix(b.GetAccount().GetStage().String(), "STAGE_"))
		parts = append(parts, stage+" "+money.Pence(b.GetBalancePence()).String())
	}
	slices.Sort(parts)
	_, _ = fmt.Fprintf(out, "the ledger of %s: %s\n", sampleCommissioner, strings.Join(parts, ", "))
	return nil
}

// showStatement prints the head of a PCN's statement.
func showStatement(ctx context.Context, payments paymentsv1.PaymentsServiceClient, out io.Writer) error {
	s, err := payments.GetStatement(ctx, &paymentsv1.GetStatementRequest{PcnCode: samplePCN, Period: sampleMonth})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\nstatement %s of %s: opening %s, lines %s, sent %s, closing %s\n", s.GetStatementId(), s.GetPcnName(),
		money.Pence(s.GetOpeningPence()), money.Pence(s.GetTotalPence()), money.Pence(s.GetSentPence()), money.Pence(s.GetClosingPence()))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, line := range s.GetPayments()[:min(sampleShown, len(s.GetPayments()))] {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t= %s\t%s\n", line.GetLine().GetPaymentCode(), line.GetBasis(), money.Pence(line.GetLine().GetAmountPence()),
			line.GetLine().GetPayee().GetName())
	}
	return w.Flush()
}
