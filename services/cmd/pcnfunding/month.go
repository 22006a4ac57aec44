package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

type monthCommand struct {
	Close   monthCloseCommand   `cmd:"" help:"Close a month for one commissioner or for all of England. Safe to repeat."`
	Summary monthSummaryCommand `cmd:"" help:"Show what a closed month came to."`
}

type monthCloseCommand struct {
	client       `embed:""`
	Month        string   `arg:"" help:"Month, YYYY-MM."`
	Commissioner []string `help:"Commissioner to close it for; without one, all who owe money in the month."`
}

// Run closes the month and prints what it came to; it fails if any commissioner's close failed.
func (m *monthCloseCommand) Run(ctx context.Context) error {
	return m.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		codes := m.Commissioner
		if len(codes) == 0 {
			var err error
			if codes, err = commissioners(ctx, suite.register, m.Month); err != nil {
				return err
			}
			if err := tellUncovered(ctx, suite.register, m.Month, len(codes)); err != nil {
				return err
			}
		}
		closed, err := closeMonth(ctx, suite.core, m.Month, codes, func(string) string { return newRequestID() })
		fmt.Printf("closed %s for %d of %d commissioners; their latest schedules hold %d lines, %s to pay, %s to reconcile\n",
			m.Month, closed.commissioners, len(codes), closed.lines, closed.pay, closed.reconcile)
		if err != nil {
			return err
		}
		return tellAssembled(ctx, suite.payments, m.Month, closed.schedules)
	})
}

// commissioners lists who owes money on the first day of a month.
func commissioners(ctx context.Context, register registerv1.RegisterServiceClient, text string) ([]string, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return nil, err
	}
	var codes []string
	req := &registerv1.ListCommissionersRequest{OnDate: month.First().String()}
	for {
		answer, err := register.ListCommissioners(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, c := range answer.GetCommissioners() {
			codes = append(codes, c.GetCommissionerCode())
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			slices.Sort(codes)
			return codes, nil
		}
	}
}

// tellUncovered says which networks no commissioner will close the month for, and fails if there is none to close it for.
func tellUncovered(ctx context.Context, register registerv1.RegisterServiceClient, month string, commissioners int) error {
	coverage, err := register.GetCoverage(ctx, &registerv1.GetCoverageRequest{MembershipDate: month + "-01"})
	if err != nil {
		return err
	}
	if commissioners == 0 {
		return fmt.Errorf("by what is loaded nobody owes money in %s, though %d practices are known: load PCN details or a mapping that name commissioners in force", month, coverage.GetPractices())
	}
	var codes []string
	var patients int64
	for _, f := range coverage.GetFindings() {
		if f.GetKind() == registerv1.FindingKind_LEAD_COMMISSIONER_UNKNOWN {
			codes = append(codes, f.GetPcnCode())
			patients += f.GetRegisteredPatients()
		}
	}
	if len(codes) > 0 {
		fmt.Printf("covered by nobody, because their lead commissioner is not known: %d PCNs with %s registered patients: %s\n",
			len(codes), count(patients), strings.Join(codes, " "))
	}
	return nil
}

// closed is what a close of several commissioners came to.
type closed struct {
	commissioners, lines int
	pay, reconcile       money.Pence
	schedules            []string
}

// closeMonth closes a month for some commissioners, a few at a time, and joins the failures.
func closeMonth(ctx context.Context, core corev1.CoreServiceClient, month string, codes []string, requestID func(commissioner string) string) (closed, error) {
	var out closed
	var failures []error
	var mu sync.Mutex
	tell := newProgress("closing "+month, len(codes))
	group := new(errgroup.Group)
	group.SetLimit(4)
	for _, code := range codes {
		group.Go(func() error {
			schedule, err := core.CloseMonth(ctx, &corev1.CloseMonthRequest{
				RequestId: requestID(code), CommissionerCode: code, Month: month, OmitLines: true,
			})
			mu.Lock()
			defer mu.Unlock()
			tell.step()
			if err != nil {
				failures = append(failures, fmt.Errorf("close %s for %s: %s", month, code, describe(err)))
				return nil
			}
			out.commissioners++
			out.lines += int(schedule.GetLineCount())
			out.pay += money.Pence(schedule.GetPayTotalPence())
			out.reconcile += money.Pence(schedule.GetReconcileTotalPence())
			out.schedules = append(out.schedules, schedule.GetScheduleId())
			return nil
		})
	}
	err := group.Wait()
	return out, errors.Join(append(failures, err)...)
}

type monthSummaryCommand struct {
	client       `embed:""`
	Month        string `arg:"" help:"Month, YYYY-MM."`
	Commissioner string `help:"Only this commissioner."`
}

// Run prints the summary.
func (m *monthSummaryCommand) Run(ctx context.Context) error {
	return m.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		summary, err := suite.core.GetMonthSummary(ctx, &corev1.GetMonthSummaryRequest{Month: m.Month, CommissionerCode: m.Commissioner})
		if err != nil {
			return err
		}
		return printSummary(os.Stdout, summary)
	})
}
