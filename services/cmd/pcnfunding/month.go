package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

type monthCommand struct {
	Close   monthCloseCommand   `cmd:"" help:"Close a month for one commissioner or for all of England. Safe to repeat."`
	Summary monthSummaryCommand `cmd:"" help:"Show what a closed month of core came to."`
	Claims  monthClaimsCommand  `cmd:"" help:"Show what the claims of a month came to, role by role, and who has claimed nothing."`
}

type monthCloseCommand struct {
	client       `embed:""`
	Month        string   `arg:"" help:"Month, YYYY-MM, or current or previous, which is what a schedule can say."`
	Commissioner []string `help:"Commissioner to close it for; without one, all who owe money in the month."`
}

// Run closes the month and prints what it came to; it fails if any commissioner's close failed.
func (m *monthCloseCommand) Run(ctx context.Context) error {
	m.Month = monthNamed(m.Month, time.Now())
	return m.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		owing := m.Commissioner
		if len(owing) == 0 {
			var err error
			if owing, err = commissioners(ctx, suite.register, m.Month); err != nil {
				return err
			}
			if err := tellUncovered(ctx, suite.register, m.Month, len(owing)); err != nil {
				return err
			}
		}
		core, coreErr := closeMonth(ctx, "core", m.Month, owing, closeCore(suite.core, m.Month, anyRequestID))
		core.tell("core", m.Month, len(owing))
		// One fund's failure keeps no other fund's money back: a run tells which fund it waits for.
		arrs, arrsErr := closeMonth(ctx, "arrs", m.Month, owing, closeArrs(suite.arrs, m.Month, anyRequestID))
		arrs.tell("arrs", m.Month, len(owing))
		iif, iifErr := closeMonth(ctx, "iif", m.Month, owing, closeIif(suite.iif, m.Month, anyRequestID))
		iif.tell("iif", m.Month, len(owing))
		devfund, devfundErr := closeMonth(ctx, "devfund", m.Month, owing, closeDevfund(suite.devfund, m.Month, anyRequestID))
		devfund.tell("devfund", m.Month, len(owing))
		if err := errors.Join(coreErr, arrsErr, iifErr, devfundErr); err != nil {
			return err
		}
		return tellAssembled(ctx, suite.payments, m.Month, slices.Concat(core.schedules, arrs.schedules, iif.schedules, devfund.schedules))
	})
}

// monthNamed returns the month that current or previous mean at a moment, as YYYY-MM; any other text as it is.
func monthNamed(text string, now time.Time) string {
	current := period.DateOf(now).Month()
	switch text {
	case "current":
		return current.String()
	case "previous":
		return current.Add(-1).String()
	default:
		return text
	}
}

func anyRequestID(string) string { return newRequestID() }

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

// closed is what a close of one fund for several commissioners came to.
type closed struct {
	commissioners, passedOver, lines int
	pay, reconcile                   money.Pence
	schedules                        []string
}

// nothingIn says of a fund what a commissioner lacks that is passed over.
var nothingIn = map[string]string{
	"arrs":    "no yearly sum and no approved claim in arrs",
	"iif":     "nothing in iif that is approved and due by then",
	"devfund": "no approved plan in devfund with money due by then",
}

// tell prints what the close of a fund came to.
func (c *closed) tell(fund, month string, commissioners int) {
	fmt.Printf("closed %s of %s for %d of %d commissioners; their latest schedules hold %d lines, %s to pay, %s to reconcile\n",
		month, fund, c.commissioners, commissioners, c.lines, c.pay, c.reconcile)
	if c.passedOver > 0 {
		fmt.Printf("%d commissioners have %s, and were passed over\n", c.passedOver, nothingIn[fund])
	}
}

// closing closes a month of one fund for a commissioner; nil where the fund has nothing to do with it.
type closing func(ctx context.Context, commissioner string) (*typev1.PaymentSchedule, error)

// closeCore closes core for every commissioner.
func closeCore(core corev1.CoreServiceClient, month string, requestID func(commissioner string) string) closing {
	return func(ctx context.Context, code string) (*typev1.PaymentSchedule, error) {
		return core.CloseMonth(ctx, &corev1.CloseMonthRequest{
			RequestId: requestID(code), CommissionerCode: code, Month: month, OmitLines: true,
		})
	}
}

// closeArrs closes arrs for the commissioners that use it: those of which a yearly sum of the month's year is fixed, and those that owe
// for approved claims, such as a successor to bodies that approved them. For any other, a schedule without lines would say nothing.
func closeArrs(arrs arrsv1.ArrsServiceClient, month string, requestID func(commissioner string) string) closing {
	return func(ctx context.Context, code string) (*typev1.PaymentSchedule, error) {
		used, err := usesArrs(ctx, arrs, code, month)
		if err != nil || !used {
			return nil, err
		}
		return arrs.CloseMonth(ctx, &arrsv1.CloseMonthRequest{
			RequestId: requestID(code), CommissionerCode: code, Month: month, OmitLines: true,
		})
	}
}

func usesArrs(ctx context.Context, arrs arrsv1.ArrsServiceClient, code, text string) (bool, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return false, err
	}
	years, err := arrs.ListYears(ctx, &arrsv1.ListYearsRequest{
		CommissionerCode: code, FinancialYear: strings.Replace(month.FinancialYear().String(), "/", "-", 1), PageSize: 1,
	})
	if status.Code(err) == codes.Unimplemented {
		return false, nil // a suite that runs without arrs
	}
	if err != nil || len(years.GetYears()) > 0 {
		return err == nil, err
	}
	due, err := arrs.PreviewMonth(ctx, &arrsv1.PreviewMonthRequest{CommissionerCode: code, Month: text})
	return due.GetLineCount() > 0, err
}

// closeIif closes iif for the commissioners that owe something of it in the month: approved years and corrections whose payment run is
// in the month or before. Who closed the month before closes it again. For any other, a schedule without lines would have its run wait
// for a fund that pays once a year.
func closeIif(iif iifv1.IifServiceClient, month string, requestID func(commissioner string) string) closing {
	return func(ctx context.Context, code string) (*typev1.PaymentSchedule, error) {
		used, err := usesIif(ctx, iif, code, month)
		if err != nil || !used {
			return nil, err
		}
		return iif.CloseMonth(ctx, &iifv1.CloseMonthRequest{
			RequestId: requestID(code), CommissionerCode: code, Month: month, OmitLines: true,
		})
	}
}

func usesIif(ctx context.Context, iif iifv1.IifServiceClient, code, month string) (bool, error) {
	before, err := iif.ListSchedules(ctx, &iifv1.ListSchedulesRequest{CommissionerCode: code, Month: month, PageSize: 1})
	if status.Code(err) == codes.Unimplemented {
		return false, nil // a suite that runs without iif
	}
	if err != nil || len(before.GetSchedules()) > 0 {
		return err == nil, err
	}
	due, err := iif.PreviewMonth(ctx, &iifv1.PreviewMonthRequest{CommissionerCode: code, Month: month})
	return due.GetLineCount() > 0, err
}

// closeDevfund closes devfund for the commissioners that owe something of it in the month: tranches of approved plans and recoveries.
// Who closed the month before closes it again; any other is passed over, for development money is paid now and then.
func closeDevfund(devfund devfundv1.DevfundServiceClient, month string, requestID func(commissioner string) string) closing {
	return func(ctx context.Context, code string) (*typev1.PaymentSchedule, error) {
		used, err := usesDevfund(ctx, devfund, code, month)
		if err != nil || !used {
			return nil, err
		}
		return devfund.CloseMonth(ctx, &devfundv1.CloseMonthRequest{
			RequestId: requestID(code), CommissionerCode: code, Month: month, OmitLines: true,
		})
	}
}

func usesDevfund(ctx context.Context, devfund devfundv1.DevfundServiceClient, code, month string) (bool, error) {
	before, err := devfund.ListSchedules(ctx, &devfundv1.ListSchedulesRequest{CommissionerCode: code, Month: month, PageSize: 1})
	if status.Code(err) == codes.Unimplemented {
		return false, nil // a suite that runs without devfund
	}
	if err != nil || len(before.GetSchedules()) > 0 {
		return err == nil, err
	}
	due, err := devfund.PreviewMonth(ctx, &devfundv1.PreviewMonthRequest{CommissionerCode: code, Month: month})
	return due.GetLineCount() > 0, err
}

// closeMonth closes a month of a fund for some commissioners, a few at a time, and joins the failures.
func closeMonth(ctx context.Context, fund, month string, commissioners []string, one closing) (closed, error) {
	var out closed
	var failures []error
	var mu sync.Mutex
	tell := newProgress("closing "+month+" of "+fund, len(commissioners))
	group := new(errgroup.Group)
	group.SetLimit(4)
	for _, code := range commissioners {
		group.Go(func() error {
			schedule, err := one(ctx, code)
			mu.Lock()
			defer mu.Unlock()
			tell.step()
			if err != nil {
				failures = append(failures, fmt.Errorf("close %s of %s for %s: %s", month, fund, code, describe(err)))
				return nil
			}
			if schedule == nil {
				out.passedOver++
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
