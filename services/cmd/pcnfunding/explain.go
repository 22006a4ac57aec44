package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

type explainCommand struct {
	client `embed:""`
	Line   string `arg:"" help:"Line id."`
	Verify bool   `help:"Recompute the pence from the working alone, and fail if they differ."`
}

// Run prints the line's working in words.
func (e *explainCommand) Run(ctx context.Context) error {
	return e.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		answer, err := e.explained(ctx, suite)
		if err != nil {
			return err
		}
		line := answer.GetLine()
		fmt.Printf("%s\n%s for %s of %s %s, scheduled %s by %s: %s\n", line.GetLineId(), line.GetPaymentCode(), line.GetForMonth(),
			line.GetPcnCode(), line.GetPcnName(), answer.GetMonth(), answer.GetCommissionerCode(), money.Pence(line.GetAmountPence()))
		for _, sentence := range answer.GetSentences() {
			fmt.Println("  " + sentence)
		}
		if !e.Verify {
			return nil
		}
		return verify(answer)
	})
}

// explainedLine is a line with its explanation, of whatever fund.
type explainedLine interface {
	GetLine() *typev1.PaymentLine
	GetSentences() []string
	GetCommissionerCode() string
	GetMonth() string
	GetVerified() bool
}

// explained asks the fund that the line id names.
func (e *explainCommand) explained(ctx context.Context, suite clients) (explainedLine, error) {
	switch fund, _, _ := strings.Cut(e.Line, "-"); fund {
	case arrs.Name:
		return suite.arrs.GetLine(ctx, &arrsv1.GetLineRequest{LineId: e.Line})
	case iif.Name:
		return suite.iif.GetLine(ctx, &iifv1.GetLineRequest{LineId: e.Line})
	case devfund.Name:
		return suite.devfund.GetLine(ctx, &devfundv1.GetLineRequest{LineId: e.Line})
	}
	return suite.core.GetLine(ctx, &corev1.GetLineRequest{LineId: e.Line})
}

// verify recomputes the amount on this side, from the working alone.
func verify(answer explainedLine) error {
	steps, err := working.FromProto(answer.GetLine().GetWorking())
	if err != nil {
		return err
	}
	result, err := working.Evaluate(steps)
	if err != nil {
		return err
	}
	if stated := money.Pence(answer.GetLine().GetAmountPence()); result.Cmp(stated.GBP()) != 0 {
		return fmt.Errorf("the working gives £%s, the line states %s", money.Format(result), stated)
	}
	if !answer.GetVerified() {
		return errors.New("the suite itself could not verify the line")
	}
	fmt.Println("verified: the working alone gives the same pence")
	return nil
}
