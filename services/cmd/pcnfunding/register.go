package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

type registerCommand struct {
	Requirements registerRequirementsCommand `cmd:"" help:"List where PCNs stand with the service requirements of a year."`
	Calendar     registerCalendarCommand     `cmd:"" help:"List what is due."`
}

type registerRequirementsCommand struct {
	client       `embed:""`
	Year         string `arg:"" help:"Financial year, YYYY-YY."`
	Commissioner string `help:"Commissioner; without one, all of England."`
	PCN          string `name:"pcn" help:"Only this PCN."`
	State        string `help:"Only this state, such as OVERDUE." enum:",NOT_STARTED,PLANNED,IN_PROGRESS,DELIVERED,EVIDENCED,OVERDUE,WITHDRAWN,DEFERRED,DATE_UNKNOWN,NOT_DUE,PCN_ENDED,DUE_PASSED" default:""`
	On           string `help:"Day, YYYY-MM-DD; without one, today."`
}

// Run prints the statuses as a table.
func (r *registerRequirementsCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "PCN\trequirement\tdue\tstate\tdays late\tcommissioner\tconfidence\tmissing")
		req := &registerv1.ListRequirementStatusesRequest{
			FinancialYear: r.Year, CommissionerCode: r.Commissioner, PcnCode: r.PCN, OnDate: r.On, PageSize: 1000,
			State: registerv1.RequirementState(registerv1.RequirementState_value[r.State]),
		}
		for {
			answer, err := suite.register.ListRequirementStatuses(ctx, req)
			if err != nil {
				return err
			}
			for _, s := range answer.GetStatuses() {
				of := s.GetRequirement()
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", s.GetPcnCode(), of.GetRequirementId(), of.GetDueDate(), s.GetState(), s.GetDaysLate(),
					s.GetCommissionerCode(), confidenceName(of.GetConfidence()), strings.Join(s.GetMissing(), "; "))
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				for _, warning := range answer.GetWarnings() {
					_, _ = fmt.Fprintln(os.Stderr, warning)
				}
				return w.Flush()
			}
		}
	})
}

type registerCalendarCommand struct {
	client       `embed:""`
	From         string `help:"First day, YYYY-MM-DD."`
	To           string `help:"Last day, YYYY-MM-DD."`
	Commissioner string `help:"Commissioner whose items are listed beside those of England."`
	Late         bool   `help:"Only what is overdue."`
}

// Run prints the calendar as a table.
func (r *registerCalendarCommand) Run(ctx context.Context) error {
	return r.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "due\tstate\tlevel\towner\ttitle\titem\tconfidence")
		req := &registerv1.ListCalendarItemsRequest{FromDate: r.From, ToDate: r.To, CommissionerCode: r.Commissioner, PageSize: 1000}
		if r.Late {
			req.State = registerv1.CalendarState_LATE
		}
		for {
			answer, err := suite.register.ListCalendarItems(ctx, req)
			if err != nil {
				return err
			}
			for _, i := range answer.GetItems() {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.GetFallsDue(), i.GetState(), strings.TrimSuffix(i.GetOwnerLevel().String(), "_LEVEL"),
					i.GetOwnerCode(), i.GetTitle(), i.GetItemId(), confidenceName(i.GetConfidence()))
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				return w.Flush()
			}
		}
	})
}
