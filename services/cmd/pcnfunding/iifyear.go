package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
)

// lastMonth returns March of a financial year that is written YYYY-YY.
func lastMonth(text string) (string, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return "", err
	}
	return year.Last().String(), nil
}

// calculated is what working a year out came to for several commissioners.
type calculated struct {
	commissioners                               int
	pcns, opened, reworked, unchanged, approved int32
	due                                         money.Pence
	missing                                     int
	refusals                                    map[string]int // PCNs by reason
}

// calculateYear works a year out for some commissioners, a few at a time, and joins the failures.
func calculateYear(
	ctx context.Context, iif iifv1.IifServiceClient, year string, codes []string, requestID func(commissioner string) string,
) (calculated, error) {
	out := calculated{refusals: make(map[string]int)}
	var failures []error
	var mu sync.Mutex
	tell := newProgress("working out "+year, len(codes))
	group := new(errgroup.Group)
	group.SetLimit(sampleAtOnce)
	for _, code := range codes {
		group.Go(func() error {
			answer, err := iif.CalculateYear(ctx, &iifv1.CalculateYearRequest{RequestId: requestID(code), CommissionerCode: code, FinancialYear: year})
			mu.Lock()
			defer mu.Unlock()
			tell.step()
			if err != nil {
				failures = append(failures, fmt.Errorf("work out %s for %s: %s", year, code, describe(err)))
				return nil
			}
			out.add(answer)
			return nil
		})
	}
	err := group.Wait()
	return out, errors.Join(append(failures, err)...)
}

func (c *calculated) add(answer *iifv1.CalculateYearResponse) {
	c.commissioners++
	c.pcns += answer.GetPcns()
	c.opened += answer.GetOpened()
	c.reworked += answer.GetReworked()
	c.unchanged += answer.GetUnchanged()
	c.approved += answer.GetApproved()
	c.due += money.Pence(answer.GetDuePence())
	c.missing += len(answer.GetPcnsMissingCounts())
	for _, refusal := range answer.GetRefusals() {
		c.refusals[refusal.GetReason()+" "+refusal.GetMissing()] += len(refusal.GetPcnCodes())
	}
}

// tell prints what the year came to.
func (c *calculated) tell(w io.Writer, year string) {
	_, _ = fmt.Fprintf(w, "%s of %d PCNs of %d commissioners: %d opened, %d worked out again, %d as before, %d approved before; %s due\n", year, c.pcns, c.commissioners,
		c.opened, c.reworked, c.unchanged, c.approved, c.due)
	if c.missing > 0 {
		_, _ = fmt.Fprintf(w, "%d PCNs lack counts of an indicator that pays\n", c.missing)
	}
	for _, what := range sortedNames(c.refusals) {
		_, _ = fmt.Fprintf(w, "  %d PCNs wait: %s\n", c.refusals[what], what)
	}
}
