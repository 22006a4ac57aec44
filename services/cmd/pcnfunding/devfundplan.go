package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type devfundPlanCommand struct {
	List  devfundPlanListCommand  `cmd:"" help:"List plans with their state."`
	Show  devfundPlanShowCommand  `cmd:"" help:"Show a plan with its lines, its checks and what it pays when."`
	Check devfundPlanCheckCommand `cmd:"" help:"Tell what the governance checks make of a plan; fails while one fails."`
}

type devfundPlanListCommand struct {
	client       `embed:""`
	Year         string `arg:"" optional:"" help:"Financial year, YYYY-YY; without one, all."`
	Commissioner string `help:"Only this commissioner's."`
	PCN          string `name:"pcn" help:"Only those that cover this PCN."`
}

// Run prints plans.
func (c *devfundPlanListCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		req := &devfundv1.ListPlansRequest{FinancialYear: c.Year, CommissionerCode: c.Commissioner, PcnCode: c.PCN, PageSize: samplePage}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "plan\tversion\tyear\tcommissioner\tstate\tplanned\ttitle")
		for {
			answer, err := suite.devfund.ListPlans(ctx, req)
			if err != nil {
				return err
			}
			for _, p := range answer.GetPlans() {
				_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", p.GetPlanId(), p.GetVersion(), p.GetFinancialYear(), p.GetCommissionerCode(), lower(p.GetState().String()),
					money.Pence(p.GetPlannedPence()), p.GetHeader().GetTitle())
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				return w.Flush()
			}
		}
	})
}

type devfundPlanShowCommand struct {
	client  `embed:""`
	Plan    string `arg:"" help:"Plan."`
	Version int32  `help:"Version; without it, the newest."`
}

// Run prints a plan.
func (c *devfundPlanShowCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		plan, err := suite.devfund.GetPlan(ctx, &devfundv1.GetPlanRequest{PlanId: c.Plan, Version: c.Version})
		if err != nil {
			return err
		}
		return tellPlan(os.Stdout, plan)
	})
}

func tellPlan(out io.Writer, p *devfundv1.Plan) error {
	_, _ = fmt.Fprintf(out, "%s, version %d, %s of %s: %s; %s, %s\n", p.GetPlanId(), p.GetVersion(), p.GetFinancialYear(), p.GetCommissionerCode(), p.GetHeader().GetTitle(),
		lower(p.GetState().String()), money.Pence(p.GetPlannedPence()))
	if a := p.GetApproval(); a != nil {
		_, _ = fmt.Fprintf(out, "  approved by %s on %s (%s)\n", a.GetBody(), a.GetApprovedOn(), a.GetMinuteReference())
	}
	for _, line := range p.GetLines() {
		served := make([]string, len(line.GetBeneficiaries()))
		for i, b := range line.GetBeneficiaries() {
			served[i] = b.GetPcnCode()
		}
		payee := lower(line.GetPayee().String())
		if line.GetSupplierName() != "" {
			payee += " " + line.GetSupplierName()
		}
		_, _ = fmt.Fprintf(out, "  %s %s, %s: %s (%s; %s)\n", line.GetLineId(), money.Pence(line.GetAmountPence()), payee, line.GetDescription(), lower(line.GetCategory()),
			strings.Join(served, " "))
	}
	tellChecks(out, p.GetChecks())
	for _, tranche := range p.GetTranches() {
		where := "not scheduled yet"
		if tranche.GetScheduleId() != "" {
			where = "schedule " + tranche.GetScheduleId()
		}
		_, _ = fmt.Fprintf(out, "  %s %s %s %s, %s\n", tranche.GetMonth(), tranche.GetPcnCode(), tranche.GetLineId(), money.Pence(tranche.GetAmountPence()), where)
	}
	return nil
}

func tellChecks(out io.Writer, checks []*devfundv1.GovernanceCheck) {
	for _, check := range checks {
		result := "passed"
		if !check.GetPassed() {
			result = "FAILED: " + check.GetWords()
		}
		_, _ = fmt.Fprintf(out, "  %s %s\n", check.GetCheck(), result)
	}
}

type devfundPlanCheckCommand struct {
	client  `embed:""`
	Plan    string `arg:"" help:"Plan."`
	Version int32  `help:"Version; without it, the newest."`
}

// Run prints the checks of a plan, and fails while one fails.
func (c *devfundPlanCheckCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		plan, err := suite.devfund.GetPlan(ctx, &devfundv1.GetPlanRequest{PlanId: c.Plan, Version: c.Version})
		if err != nil {
			return err
		}
		tellChecks(os.Stdout, plan.GetChecks())
		return checksHold(plan.GetChecks())
	})
}

// checksHold fails where a check does.
func checksHold(checks []*devfundv1.GovernanceCheck) error {
	var failed []string
	for _, check := range checks {
		if !check.GetPassed() {
			failed = append(failed, check.GetCheck())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d checks fail: %s", len(failed), len(checks), strings.Join(failed, ", "))
	}
	return nil
}

type devfundTraceCommand struct {
	client `embed:""`
	Plan   string `arg:"" help:"Plan."`
	Line   string `arg:"" help:"Line of the plan."`
}

// Run prints the way of a line's money.
func (c *devfundTraceCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		trace, err := suite.devfund.TraceLine(ctx, &devfundv1.TraceLineRequest{PlanId: c.Plan, LineId: c.Line})
		if err != nil {
			return err
		}
		return tellTrace(os.Stdout, trace)
	})
}

func tellTrace(out io.Writer, trace *devfundv1.TraceLineResponse) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, step := range trace.GetSteps() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", lower(step.GetKind()), money.Pence(step.GetAmountPence()), step.GetOnDate(), step.GetWords(), step.GetReference())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	said := "every sum on the way comes to the one above it"
	if !trace.GetWhole() {
		said = "not whole yet: something of it waits for its month, or a sum on the way does not come to the one above it"
	}
	_, err := fmt.Fprintln(out, said)
	return err
}

type devfundReturnCommand struct {
	client       `embed:""`
	Year         string `arg:"" help:"Financial year, YYYY-YY."`
	Quarter      string `arg:"" help:"Quarter, 1 to 4."`
	Commissioner string `help:"Only this commissioner."`
	Fund         string `help:"Fund; unless stated PCN_DEV, or the one that it went into by that year."`
	Out          string `short:"o" help:"File to write; without one, standard output." type:"path"`
}

// Run writes the return.
func (c *devfundReturnCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		file, err := suite.devfund.DownloadSystemReturn(ctx, &devfundv1.DownloadSystemReturnRequest{
			FinancialYear: c.Year, Quarter: c.Quarter, CommissionerCode: c.Commissioner, FundCode: c.Fund,
		})
		if err != nil {
			return err
		}
		if c.Out == "" {
			_, err = os.Stdout.Write(file.GetData())
			return err
		}
		return os.WriteFile(c.Out, file.GetData(), 0o600)
	})
}

type devfundExceptionsCommand struct {
	client       `embed:""`
	Year         string `arg:"" help:"Financial year, YYYY-YY."`
	Commissioner string `help:"Only this commissioner."`
	Fund         string `help:"Fund; unless stated PCN_DEV, or the one that it went into by that year."`
}

// Run prints the exceptions.
func (c *devfundExceptionsCommand) Run(ctx context.Context) error {
	return c.as(regional(), func(suite clients) error {
		answer, err := suite.devfund.ListExceptions(ctx, &devfundv1.ListExceptionsRequest{FinancialYear: c.Year, CommissionerCode: c.Commissioner, FundCode: c.Fund})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		for _, e := range answer.GetExceptions() {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.GetCommissionerCode(), e.GetException(), money.Pence(e.GetAmountPence()), e.GetWords())
		}
		_, _ = fmt.Fprintf(w, "%d exceptions\n", len(answer.GetExceptions()))
		return w.Flush()
	})
}

// regional is who looks at commissioners from outside.
func regional() auth.Principal { return localPrincipal(optionsv1.Role_ROLE_REGIONAL_VIEWER) }
