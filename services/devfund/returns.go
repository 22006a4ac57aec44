package devfund

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// returnRequest names a quarter.
type returnRequest interface {
	GetFinancialYear() string
	GetQuarter() string
	GetFundCode() string
	GetCommissionerCode() string
}

// monthsOfQuarter is the length of a quarter.
const monthsOfQuarter = 3

// GetSystemReturn returns a quarter by commissioner, level and domain, with its totals.
func (s *Service) GetSystemReturn(ctx context.Context, req *devfundv1.GetSystemReturnRequest) (*devfundv1.SystemReturn, error) {
	return s.systemReturn(ctx, req)
}

func (s *Service) systemReturn(ctx context.Context, req returnRequest) (*devfundv1.SystemReturn, error) {
	of, err := s.fundAsked(ctx, req.GetFinancialYear(), req.GetFundCode(), req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	quarter := int32(req.GetQuarter()[0] - '0') // the contract takes one digit, 1 to 4
	through := of.year.First().Add(monthsOfQuarter*int(quarter) - 1)
	today := period.DateOf(s.db.Now())
	if first := through.Add(1 - monthsOfQuarter).First(); first.After(today) {
		return nil, fault.New(fault.Refused, reasonMonthNotStarted, "quarter %d of %s begins on %s and today is %s", quarter, yearWords(of.year), first, today).
			With("first_day", first).With("today", today)
	}
	out := &devfundv1.SystemReturn{
		FinancialYear: yearWords(of.year), Quarter: quarter, ThroughMonth: through.String(), FundCode: of.fund,
	}
	if !through.Last().Before(today) {
		out.Notes = append(out.Notes, fmt.Sprintf("the quarter lasts to %s: what comes until then is not in it", through.Last()))
	}
	return out, s.db.Read(ctx, func(q sqldb.Querier) error { return fillReturn(ctx, q, &of, through, out) })
}

// returnKey is what the rows of a return are by; totals have the zero level and domain.
type returnKey struct {
	commissioner string
	level        devfundv1.LineLevel
	domain       devfundv1.SupportDomain
}

// tally adds lines up.
type tally struct {
	sums       rules.Sums
	lines      int32
	unreported int32
}

func (t *tally) add(end *rules.LineEnd) (err error) {
	t.lines++
	if !end.Reported && end.Committed > 0 {
		t.unreported++
	}
	t.sums, err = t.sums.Add(&end.Sums)
	return err
}

func (t *tally) row(key returnKey, allocation money.Pence) *devfundv1.ReturnRow {
	return &devfundv1.ReturnRow{
		CommissionerCode: key.commissioner, Level: key.level, Domain: key.domain, AllocationPence: int64(allocation), CommittedPence: int64(t.sums.Committed),
		PaidPence: int64(t.sums.Paid), SpentPence: int64(t.sums.Spent), ForecastPence: int64(t.sums.Forecast),
		UnspentPence: int64(t.sums.Unspent - t.sums.Overspent), Lines: t.lines, LinesUnreported: t.unreported,
	}
}

// fillReturn adds the rows, the totals and what is not in them.
func fillReturn(ctx context.Context, q sqldb.Querier, of *fundOfYear, through period.Month, out *devfundv1.SystemReturn) error {
	lines, err := fundLines(ctx, q, of)
	if err != nil {
		return err
	}
	purses, err := pursesOf(ctx, q, of)
	if err != nil {
		return err
	}
	rows, bodies, total := make(map[returnKey]*tally), make(map[string]*tally), new(tally)
	for code := range purses {
		bodies[code] = new(tally)
	}
	for i := range lines {
		end, err := lines[i].end(through)
		if err != nil {
			return err
		}
		row := &lines[i].row
		for _, t := range []*tally{
			tallyOf(rows, returnKey{row.CommissionerCode, row.Level, row.Domain}), tallyOf(bodies, row.CommissionerCode), total,
		} {
			if err := t.add(&end); err != nil {
				return err
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b returnKey) int {
		return cmp.Or(cmp.Compare(a.commissioner, b.commissioner), cmp.Compare(a.level, b.level), cmp.Compare(a.domain, b.domain))
	})
	for _, key := range keys {
		out.Rows = append(out.Rows, rows[key].row(key, 0))
	}
	var available money.Pence
	for _, code := range slices.Sorted(maps.Keys(bodies)) {
		held := cmp.Or(purses[code], new(purse))
		if available, err = available.Add(held.available); err != nil {
			return err
		}
		out.CommissionerTotals = append(out.CommissionerTotals, bodies[code].row(returnKey{commissioner: code}, held.available))
		for i := range held.unknown {
			out.Notes = append(out.Notes, fmt.Sprintf("what %s holds of %s is not known, not confirmed or not set for PCN development: it is not in the allocation", held.unknown[i].HolderCode, held.unknown[i].ID))
		}
	}
	out.Total = total.row(returnKey{}, available)
	if total.unreported > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d lines have no report of %s: the latest before it counts, and nothing where there is none", total.unreported, through))
	}
	return nil
}

func tallyOf[K comparable](all map[K]*tally, key K) *tally {
	if all[key] == nil {
		all[key] = new(tally)
	}
	return all[key]
}

// What a row of the CSV adds up.
const (
	rowOfLines        = "LINES"
	rowOfCommissioner = "COMMISSIONER"
	rowOfAll          = "TOTAL"
)

// DownloadSystemReturn returns a quarter as CSV: its rows, the totals of commissioners, and the total. A cell that a spreadsheet would take
// for a formula is made text.
func (s *Service) DownloadSystemReturn(ctx context.Context, req *devfundv1.DownloadSystemReturnRequest) (*httpbody.HttpBody, error) {
	of, err := s.systemReturn(ctx, req)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write([]string{
		"financial_year", "quarter", "through_month", "fund_code", "row", "commissioner_code", "level", "domain", "allocation_gbp", "committed_gbp", "paid_gbp",
		"spent_gbp", "forecast_gbp", "unspent_gbp", "lines", "lines_unreported",
	})
	write := func(kind string, r *devfundv1.ReturnRow) {
		var level, domain, allocation string
		if kind == rowOfLines {
			level, domain = strings.TrimPrefix(r.GetLevel().String(), "LINE_"), r.GetDomain().String()
		} else {
			allocation = money.Pence(r.GetAllocationPence()).Plain()
		}
		_ = w.Write(spreadsheet.Cells(
			of.GetFinancialYear(), strconv.Itoa(int(of.GetQuarter())), of.GetThroughMonth(), of.GetFundCode(), kind, r.GetCommissionerCode(), level, domain, allocation,
			money.Pence(r.GetCommittedPence()).Plain(), money.Pence(r.GetPaidPence()).Plain(), money.Pence(r.GetSpentPence()).Plain(),
			money.Pence(r.GetForecastPence()).Plain(), money.Pence(r.GetUnspentPence()).Plain(), strconv.Itoa(int(r.GetLines())), strconv.Itoa(int(r.GetLinesUnreported())),
		))
	}
	for _, row := range of.GetRows() {
		write(rowOfLines, row)
	}
	for _, row := range of.GetCommissionerTotals() {
		write(rowOfCommissioner, row)
	}
	write(rowOfAll, of.GetTotal())
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of quarter %d of %s: %w", of.GetQuarter(), of.GetFinancialYear(), err)
	}
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text.String())}, nil
}
