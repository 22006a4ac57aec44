package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// printSummary writes what a month came to, for a person who checks it.
func printSummary(out io.Writer, s *corev1.MonthSummary) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", s.GetMonth(), strings.Repeat("─", len(s.GetMonth())))
	_, _ = fmt.Fprintf(out, "%s commissioners · %s PCNs · %s practices · %s registered patients · %s lines\n",
		count(int64(s.GetCommissioners())), count(int64(s.GetPcns())), count(int64(s.GetPractices())),
		count(s.GetRegisteredPatients()), count(int64(s.GetLines())))
	_, _ = fmt.Fprintf(out, "to pay %s · to reconcile only %s · withheld %s · lines on hold %s\n\n",
		money.Pence(s.GetPayTotalPence()), money.Pence(s.GetReconcileTotalPence()), money.Pence(s.GetWithheldPence()), count(int64(s.GetHeldLines())))
	p("payment\tinstruction\tlines\tbeneficiaries\tamount\tof it adjustments\t\n")
	for _, payment := range s.GetPayments() {
		p("%s\t%s\t%s\t%s\t%s\t%s\t\n", payment.GetPaymentCode(), instruction(payment.GetInstruction()), count(int64(payment.GetLines())),
			count(int64(payment.GetBeneficiaries())), money.Pence(payment.GetAmountPence()), money.Pence(payment.GetAdjustmentPence()))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, list := range []struct {
		title string
		pcns  []*corev1.PcnTotal
	}{{"largest", s.GetLargestPcns()}, {"smallest", s.GetSmallestPcns()}} {
		_, _ = fmt.Fprintf(out, "\nfive %s PCNs\n", list.title)
		for _, pcn := range list.pcns {
			p("%s\t%s\t%s\t  %s\t\n", pcn.GetPcnCode(), pcn.GetCommissionerCode(), money.Pence(pcn.GetAmountPence()), pcn.GetPcnName())
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	printRefusals(out, s.GetMonth(), s.GetRefusals())
	return nil
}

// printRefusals writes what was refused for the month itself, and counts what earlier months still wait for.
func printRefusals(out io.Writer, month string, refusals []*typev1.Refusal) {
	earlier := 0
	for _, r := range refusals {
		if r.GetForMonth() != month {
			earlier++
		}
	}
	if len(refusals) > earlier {
		_, _ = fmt.Fprint(out, "\nrefused, and what it waits for\n")
	}
	defer func() {
		if earlier > 0 {
			_, _ = fmt.Fprintf(out, "  and %d refusals of earlier months still wait: see their summaries\n", earlier)
		}
	}()
	for _, r := range refusals {
		if r.GetForMonth() != month {
			continue
		}
		waiting := []string{count(int64(len(r.GetPcnCodes()))) + " PCNs"}
		if n := len(r.GetPracticeCodes()); n > 0 {
			waiting = append(waiting, count(int64(n))+" practices")
		}
		if r.GetUnit() != "" {
			waiting = append(waiting, r.GetQuantity()+" "+r.GetUnit())
		}
		if r.CandidatePence != nil {
			waiting = append(waiting, money.Pence(r.GetCandidatePence()).String()+" on the candidate figure")
		}
		_, _ = fmt.Fprintf(out, "  %s  %s  %s\n      missing: %s\n      to do:   %s\n",
			r.GetPaymentCode(), r.GetReason(), strings.Join(waiting, ", "), r.GetMissing(), r.GetRemedy())
	}
}

func instruction(i typev1.Instruction) string {
	if i == typev1.Instruction_INSTRUCTION_RECONCILE_ONLY {
		return "reconcile"
	}
	return "pay"
}

// count writes a whole number with thousands separators.
func count(n int64) string {
	text := money.Pence(n * 100).String()
	return strings.TrimSuffix(strings.Replace(text, "£", "", 1), ".00")
}
