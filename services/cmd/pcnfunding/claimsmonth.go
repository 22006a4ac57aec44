package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type monthClaimsCommand struct {
	client       `embed:""`
	Month        string `arg:"" help:"Month, YYYY-MM."`
	Commissioner string `help:"Only this commissioner."`
	Absent       bool   `help:"List the PCNs that have a sum for the year and no claim for the month, one a line."`
}

// Run prints what the claims of a month came to, or who has claimed nothing.
func (m *monthClaimsCommand) Run(ctx context.Context) error {
	return m.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		heads, err := listClaims(ctx, suite.arrs, &arrsv1.ListClaimsRequest{CommissionerCode: m.Commissioner, Month: m.Month})
		if err != nil {
			return err
		}
		claims := make(map[string]*arrsv1.Claim, len(heads))
		for _, head := range heads {
			claims[head.GetClaimId()] = head
		}
		if !m.Absent {
			if err := withLines(ctx, suite.arrs, claims); err != nil {
				return err
			}
		}
		month, err := claimsMonthOf(ctx, suite.arrs, m.Month, claims)
		if err != nil {
			return err
		}
		if m.Commissioner != "" {
			month.years = slices.DeleteFunc(month.years, func(y *arrsv1.Year) bool { return y.GetCommissionerCode() != m.Commissioner })
		}
		if !m.Absent {
			return month.print(os.Stdout)
		}
		for _, y := range month.absent() {
			fmt.Println(y.GetPcnCode(), y.GetCommissionerCode(), y.GetPcnName())
		}
		return nil
	})
}

// withLines puts claims with their lines in the place of those without.
func withLines(ctx context.Context, arrs arrsv1.ArrsServiceClient, claims map[string]*arrsv1.Claim) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sampleAtOnce)
	for _, id := range slices.Collect(maps.Keys(claims)) {
		group.Go(func() error {
			claim, err := arrs.GetClaim(ctx, &arrsv1.GetClaimRequest{ClaimId: id})
			if err != nil {
				return err
			}
			mu.Lock()
			claims[id] = claim
			mu.Unlock()
			return nil
		})
	}
	return group.Wait()
}

// claimsMonth is what a month of claims came to.
type claimsMonth struct {
	month   string
	years   []*arrsv1.Year
	claims  []*arrsv1.Claim
	roles   map[string]*roleTotal
	reasons map[string]*reasonTotal
	all     roleTotal
}

type roleTotal struct {
	posts            int
	wte              *big.Rat
	claimed, payable money.Pence
	approved         money.Pence
}

type reasonTotal struct {
	lines  int
	amount money.Pence
	words  string
}

// claimsMonthOf adds claims up, and asks what is left of the year's sums. Claims that were withdrawn or rejected ask for nothing.
func claimsMonthOf(ctx context.Context, arrs arrsv1.ArrsServiceClient, text string, claims map[string]*arrsv1.Claim) (*claimsMonth, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return nil, err
	}
	out := &claimsMonth{month: text, roles: make(map[string]*roleTotal), reasons: make(map[string]*reasonTotal), all: roleTotal{wte: new(big.Rat)}}
	if out.years, err = listYears(ctx, arrs, strings.Replace(month.FinancialYear().String(), "/", "-", 1)); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		claim := claims[id]
		if claim.GetState() == arrsv1.ClaimState_CLAIM_STATE_WITHDRAWN || claim.GetState() == arrsv1.ClaimState_CLAIM_STATE_REJECTED {
			continue
		}
		out.claims = append(out.claims, claim)
		for _, line := range claim.GetLines() {
			if err := out.add(line); err != nil {
				return nil, fmt.Errorf("line %s: %w", line.GetLineId(), err)
			}
		}
	}
	return out, nil
}

func (m *claimsMonth) add(line *arrsv1.ClaimLine) error {
	wte, ok := new(big.Rat).SetString(cmp.Or(line.GetWte(), "0"))
	if !ok {
		return fmt.Errorf("%q is no WTE", line.GetWte())
	}
	role := m.roles[line.GetRoleCode()]
	if role == nil {
		role = &roleTotal{wte: new(big.Rat)}
		m.roles[line.GetRoleCode()] = role
	}
	for _, total := range []*roleTotal{role, &m.all} {
		total.posts++
		total.wte.Add(total.wte, wte)
		total.claimed += money.Pence(line.GetClaimedPence())
		total.payable += money.Pence(line.GetPayablePence())
		total.approved += money.Pence(line.GetApprovedPence())
	}
	for _, part := range line.GetParts() {
		reason := m.reasons[part.GetReason()]
		if reason == nil {
			reason = new(reasonTotal)
			m.reasons[part.GetReason()] = reason
		}
		reason.lines++
		reason.amount += money.Pence(part.GetAmountPence())
		for _, test := range line.GetTests() {
			if test.GetReason() == part.GetReason() {
				reason.words = test.GetMessage()
			}
		}
	}
	return nil
}

// absent are the PCNs that have a sum and no claim, by code.
func (m *claimsMonth) absent() (out []*arrsv1.Year) {
	claimed := make(map[string]bool)
	for _, claim := range m.claims {
		claimed[claim.GetPcnCode()] = true
	}
	for _, y := range m.years {
		if !claimed[y.GetPcnCode()] {
			out = append(out, y)
		}
	}
	slices.SortFunc(out, func(a, b *arrsv1.Year) int { return strings.Compare(a.GetPcnCode(), b.GetPcnCode()) })
	return out
}

// print writes the month for a person who checks it.
func (m *claimsMonth) print(out io.Writer) error {
	pcns := make(map[string]money.Pence)
	for _, claim := range m.claims {
		for _, line := range claim.GetLines() {
			pcns[claim.GetPcnCode()] += money.Pence(line.GetPayablePence())
		}
	}
	_, _ = fmt.Fprintf(out, "\n%s claims of %s PCNs · %s lines · %s WTE\nclaimed %s · payable %s · not payable %s · approved %s\n\n", count(int64(len(m.claims))),
		count(int64(len(pcns))), count(int64(m.all.posts)), m.all.wte.FloatString(1), m.all.claimed, m.all.payable, m.all.claimed-m.all.payable, m.all.approved)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("role\tlines\tWTE\tclaimed\tpayable\t\n")
	for _, code := range slices.Sorted(maps.Keys(m.roles)) {
		role := m.roles[code]
		p("%s\t%s\t%s\t%s\t%s\t\n", code, count(int64(role.posts)), role.wte.FloatString(1), role.claimed, role.payable)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(m.reasons) > 0 {
		_, _ = fmt.Fprint(out, "\nnot payable, and why\n")
	}
	for _, code := range slices.SortedFunc(maps.Keys(m.reasons), func(a, b string) int { return cmp.Compare(m.reasons[b].amount, m.reasons[a].amount) }) {
		_, _ = fmt.Fprintf(out, "  %s  %s on %s lines: %s\n", code, m.reasons[code].amount, count(int64(m.reasons[code].lines)), m.reasons[code].words)
	}
	m.printSums(out)
	return m.printEnds(out, w, pcns)
}

// printSums writes what is left of the year, and who has claimed nothing.
func (m *claimsMonth) printSums(out io.Writer) {
	var entitled, used, left money.Pence
	unknown := 0
	for _, y := range m.years {
		for _, pot := range y.GetPots() {
			if pot.GetRefusal() != nil {
				unknown++
				continue
			}
			entitled += money.Pence(pot.GetUsablePence())
			used += money.Pence(pot.GetSubmittedPence() + pot.GetApprovedPence())
			left += money.Pence(pot.GetRemainingPence())
		}
	}
	_, _ = fmt.Fprintf(out, "\nsums of the year for %s PCNs: %s, of which %s is claimed or approved so far and %s is left\n", count(int64(len(m.years))), entitled, used, left)
	if unknown > 0 {
		_, _ = fmt.Fprintf(out, "%d sums wait for a figure: see GET /v1/arrs/years\n", unknown)
	}
	absent := m.absent()
	codes := make([]string, len(absent))
	for i := range absent {
		codes[i] = absent[i].GetPcnCode()
	}
	printCodes(out, "PCNs without a claim (bin/pcnfunding month claims "+m.month+" --absent lists them)", codes)
}

// printEnds writes the PCNs with the most and the least payable.
func (m *claimsMonth) printEnds(out io.Writer, w *tabwriter.Writer, payable map[string]money.Pence) error {
	const shown = 5
	years := make(map[string]*arrsv1.Year, len(m.years))
	for _, y := range m.years {
		years[y.GetPcnCode()] = y
	}
	codes := slices.SortedFunc(maps.Keys(payable), func(a, b string) int { return cmp.Or(cmp.Compare(payable[b], payable[a]), strings.Compare(a, b)) })
	largest, smallest := codes[:min(shown, len(codes))], slices.Clone(codes[max(0, len(codes)-shown):])
	slices.Reverse(smallest)
	for _, list := range []struct {
		title string
		codes []string
	}{{"largest", largest}, {"smallest", smallest}} {
		_, _ = fmt.Fprintf(out, "\nfive %s PCNs, by what is payable\n", list.title)
		for _, code := range list.codes {
			left := money.Pence(0)
			for _, pot := range years[code].GetPots() {
				left += money.Pence(pot.GetRemainingPence())
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s left of the year\t  %s\t\n", code, years[code].GetCommissionerCode(), payable[code], left, years[code].GetPcnName())
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
