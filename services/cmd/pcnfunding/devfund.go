package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type devfundCommand struct {
	Allocations devfundAllocationsCommand `cmd:"" help:"List allocations of the development fund, down the hierarchy."`
	Tree        devfundTreeCommand        `cmd:"" help:"Show what came of an allocation, level by level."`
	Compare     devfundCompareCommand     `cmd:"" help:"Share an allocation by several methods side by side, and write nothing."`
	Share       devfundShareCommand       `cmd:"" help:"Record how an allocation is shared, by whom that was decided and where it is minuted."`
	Plan        devfundPlanCommand        `cmd:"" help:"Show plans and their governance checks."`
	Trace       devfundTraceCommand       `cmd:"" help:"Follow the money of a plan's line from the nation down."`
	Return      devfundReturnCommand      `cmd:"" help:"Write a quarter's return of a system as CSV."`
	Exceptions  devfundExceptionsCommand  `cmd:"" help:"List what the region should look at."`
	Need        devfundNeedCommand        `cmd:"" help:"Take in published practice weights, check them, forecast from them; never for payment."`
}

type devfundAllocationsCommand struct {
	client       `embed:""`
	Year         string `arg:"" optional:"" help:"Financial year, YYYY-YY; without one, all."`
	Fund         string `help:"Only this fund, such as PCN_DEV."`
	Level        string `help:"Only this level: nation, system, place, commissioner, pcn or supplier-line."`
	Commissioner string `help:"Only those that this commissioner accounts for."`
}

// Run prints allocations.
func (c *devfundAllocationsCommand) Run(ctx context.Context) error {
	level, err := levelOf(c.Level)
	if err != nil {
		return err
	}
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		all, err := listAllocations(ctx, suite.devfund, &devfundv1.ListAllocationsRequest{
			FinancialYear: c.Year, FundCode: c.Fund, Level: level, CommissionerCode: c.Commissioner,
		})
		if err != nil {
			return err
		}
		return tellAllocations(os.Stdout, all)
	})
}

// levelOf reads a level as a person writes it, in small letters; nothing is the unspecified one.
func levelOf(text string) (devfundv1.AllocationLevel, error) {
	if text == "" {
		return 0, nil
	}
	value, known := devfundv1.AllocationLevel_value[strings.ToUpper(strings.ReplaceAll(text, "-", "_"))]
	if known && value != 0 {
		return devfundv1.AllocationLevel(value), nil
	}
	var names []string
	for number := range int32(len(devfundv1.AllocationLevel_name)) { //nolint:gosec // a few levels
		if number != 0 {
			names = append(names, strings.ToLower(strings.ReplaceAll(devfundv1.AllocationLevel_name[number], "_", "-")))
		}
	}
	return 0, fmt.Errorf("there is no level %q: %s", text, strings.Join(names, ", "))
}

// listAllocations reads all pages.
func listAllocations(ctx context.Context, devfund devfundv1.DevfundServiceClient, req *devfundv1.ListAllocationsRequest) (out []*devfundv1.Allocation, err error) {
	for req.PageSize = samplePage; ; {
		answer, err := devfund.ListAllocations(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetAllocations()...)
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out, nil
		}
	}
}

// orUnknown writes an amount that may not be known.
func orUnknown(pence *int64) string {
	if pence == nil {
		return "not known"
	}
	return money.Pence(*pence).String()
}

func tellAllocations(out io.Writer, all []*devfundv1.Allocation) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "allocation\tyear\tfund\tlevel\tholder\tpurpose\tplanned\treleased\tshared\tcommitted\tleft")
	for _, a := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.GetAllocationId(), a.GetFinancialYear(), a.GetFundCode(), lower(a.GetLevel().String()),
			a.GetHolderCode(), a.GetHolderName(), lower(a.GetPurpose().String()), orUnknown(a.PlannedPence), orUnknown(a.ReleasedPence), money.Pence(a.GetSharedPence()),
			money.Pence(a.GetCommittedPence()), orUnknown(a.LeftPence))
	}
	return w.Flush()
}

type devfundTreeCommand struct {
	client     `embed:""`
	Allocation string `arg:"" help:"Allocation, such as PCN_DEV-2019-20."`
}

// Run prints the tree below an allocation.
func (c *devfundTreeCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		tree, err := suite.devfund.GetAllocationTree(ctx, &devfundv1.GetAllocationTreeRequest{AllocationId: c.Allocation})
		if err != nil {
			return err
		}
		return tellTree(os.Stdout, tree)
	})
}

func tellTree(out io.Writer, tree *devfundv1.GetAllocationTreeResponse) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "available\tshared\tcommitted\tscheduled\t")
	for i, a := range tree.GetAbove() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t\t\t  %s%s\n", orUnknown(a.AvailablePence), money.Pence(a.GetSharedPence()), strings.Repeat("  ", i), holderWords(a))
	}
	method := ""
	for _, n := range tree.GetNodes() {
		a, how := n.GetAllocation(), ""
		if n.GetMethod() != method && n.GetMethod() != "" {
			how = "  " + n.GetMethod()
		}
		method = n.GetMethod()
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t  %s%s%s\n", orUnknown(a.AvailablePence), money.Pence(a.GetSharedPence()), money.Pence(a.GetCommittedPence()),
			money.Pence(n.GetScheduledPence()), strings.Repeat("  ", len(tree.GetAbove())+int(n.GetDepth())), holderWords(a), how)
	}
	return w.Flush()
}

// holderWords says who holds an allocation, and for what where that is not development at large.
func holderWords(a *devfundv1.Allocation) string {
	words := strings.TrimSpace(a.GetHolderCode() + " " + a.GetHolderName())
	if p := a.GetPurpose(); p != devfundv1.AllocationPurpose_GENERAL {
		words += " (" + lower(p.String()) + ")"
	}
	return words
}
