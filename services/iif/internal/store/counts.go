package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// CountKey names what versions of counts are versions of.
type CountKey struct {
	Organisation string
	On           period.Date
	Indicator    string
}

// CountRow is one version of the counts of an indicator of an organisation on a day, as it is kept. Its year is that of the day.
type CountRow struct {
	CountKey
	Position         int64
	CommissionerCode string // rules.England for all
	SourceID         string
	Cells            Cells
	Makers           []string // who entered some of the cells by hand, or took in a commissioner's own file with them
	Reason           string
	RecordedBy       string
	RecordedAt       int64
}

// answer returns the answer among the cells, if there is one.
func (r *CountRow) answer() rules.Answer {
	for _, c := range r.Cells {
		if c.Measure == feed.Answer {
			return rules.Answer(c.N)
		}
	}
	return rules.Unanswered
}

// LastCount returns the position of the last version of counts; 0 where there is none.
func LastCount(ctx context.Context, q sqldb.Querier) (position int64, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) FROM counts`).Scan(&position)
	return position, err
}

// InsertCounts adds versions, which carry their positions.
func InsertCounts(ctx context.Context, tx *sqldb.Tx, rows []CountRow) error {
	var day period.Date
	var on, year string
	_, err := tx.BulkInsert(ctx, "counts", []string{
		"organisation_code", "financial_year", "achieved_on", "indicator_code", "position", "commissioner_code", "source_id", "defaulted", "answer", "body", "reason",
		"recorded_by", "recorded_at",
	}, rowsOf(rows, func(r CountRow) ([]any, error) {
		if r.On != day {
			day, on, year = r.On, r.On.String(), r.On.Month().FinancialYear().String()
		}
		defaulted := r.Cells.Any(func(c Cell) bool { return c.Defaulted })
		return []any{
			r.Organisation, year, on, r.Indicator, r.Position, r.CommissionerCode, r.SourceID, defaulted, int64(r.answer()), encodeCells(r.Cells, r.Makers), r.Reason,
			r.RecordedBy, r.RecordedAt,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert counts: %w", err)
	}
	return nil
}

// AnalyzeCounts follows a large number of new versions, which are then read.
func AnalyzeCounts(ctx context.Context, tx *sqldb.Tx) error { return tx.Analyze(ctx, "counts") }

// CountFilter says which counts are wanted.
type CountFilter struct {
	Year period.FinancialYear
	// Bodies add those of their own to those of England; none means England's alone.
	Bodies []string
	// Organisations are whose counts are wanted; nil for everybody's.
	Organisations []string
	// UpTo is the last position that counts; 0 for all.
	UpTo int64
}

// manyOrganisations is from how many on all counts of a day are read and sorted out here: an index is slower.
const manyOrganisations = 1200

// conditions returns the filter's conditions on rows of a batch of organisations.
func (by *CountFilter) conditions(batch []string) (f sqldb.Filter) {
	f.Equal("financial_year", by.Year.String())
	f.In("commissioner_code", scopesOf(by.Bodies))
	f.Within("organisation_code", batch)
	if by.UpTo > 0 {
		f.Where("position <= ?", by.UpTo)
	}
	return f
}

// scopesOf returns under which codes counts hold for some bodies.
func scopesOf(bodies []string) []string {
	out := []string{rules.England}
	for _, body := range bodies {
		if body != "" && !slices.Contains(out, body) {
			out = append(out, body)
		}
	}
	return out
}

// inBatches calls fn for the organisations wanted, with nil where all rows are read; keep then tells which of them to keep.
func (by *CountFilter) inBatches(fn func(batch []string, keep func(string) bool) error) error {
	if by.Organisations == nil {
		return fn(nil, func(string) bool { return true })
	}
	if len(by.Organisations) < manyOrganisations {
		return sqldb.InBatches(by.Organisations, func(batch []string) error { return fn(batch, func(string) bool { return true }) })
	}
	wanted := make(map[string]bool, len(by.Organisations))
	for _, code := range by.Organisations {
		wanted[code] = true
	}
	return fn(nil, func(code string) bool { return wanted[code] })
}

// Standing are counts that stand, by organisation and in order of their indicators.
type Standing struct {
	Of map[string][]rules.IndicatorCounts
	// Makers are those who entered some of them by hand or took in a commissioner's own file, by organisation and in order.
	Makers map[string][]string
}

// standing is what is known of the version that stands so far.
type standing struct {
	on       string // of an answer from a day before
	position int64
	makers   string
}

// gathered collects the versions that stand.
type gathered struct {
	names    names
	of       map[string]*organisationCounts
	lastCode string
	last     *organisationCounts
}

type organisationCounts struct {
	counts []rules.IndicatorCounts
	stands []standing
}

// row takes one version in, if none that stands before it has been taken.
func (g *gathered) row(organisation, indicator, on, body []byte, position int64) error {
	if g.last == nil || string(organisation) != g.lastCode {
		g.lastCode = g.names.of(organisation)
		before := g.last
		if g.last = g.of[g.lastCode]; g.last == nil {
			g.last = new(organisationCounts)
			g.of[g.lastCode] = g.last
			if before != nil { // organisations have about as many indicators as each other
				g.last.counts, g.last.stands = make([]rules.IndicatorCounts, 0, len(before.counts)), make([]standing, 0, len(before.counts))
			}
		}
	}
	o := g.last
	i := slices.IndexFunc(o.counts, func(c rules.IndicatorCounts) bool { return c.Code == string(indicator) })
	if i < 0 {
		i = len(o.counts)
		o.counts = append(o.counts, rules.IndicatorCounts{Code: g.names.of(indicator)})
		o.stands = append(o.stands, standing{})
	} else if cmp.Or(cmp.Compare(o.stands[i].on, string(on)), cmp.Compare(o.stands[i].position, position)) > 0 {
		return nil
	}
	counts := &o.counts[i].Counts
	*counts = rules.Counts{}
	makers, err := decodeCells(body, g.names, func(c Cell) { c.into(counts) })
	o.stands[i] = standing{g.names.of(on), position, makers}
	return err
}

// StandingCounts returns the counts that stand on a day. An answer stands from its day to the end of the year, or to that of the next
// (CQRS: a yes for February 2022 holds on 31 March 2022).
func StandingCounts(ctx context.Context, q sqldb.Querier, on period.Date, by CountFilter) (*Standing, error) {
	g := gathered{names: make(names), of: make(map[string]*organisationCounts)}
	err := by.inBatches(func(batch []string, keep func(string) bool) error {
		f := by.conditions(batch)
		f.Equal("achieved_on", on.String())
		if err := g.read(ctx, q, &f, on.String(), keep); err != nil {
			return err
		}
		f = by.conditions(batch)
		f.Where("achieved_on < ?", on.String())
		f.Where("answer <> 0")
		return g.read(ctx, q, &f, "", keep)
	})
	if err != nil {
		return nil, fmt.Errorf("counts of %s: %w", on, err)
	}
	out := &Standing{Of: make(map[string][]rules.IndicatorCounts, len(g.of)), Makers: make(map[string][]string)}
	for code, o := range g.of {
		for i := range o.stands {
			if makers := o.stands[i].makers; makers != "" {
				out.Makers[code] = append(out.Makers[code], makersIn(makers)...)
			}
		}
		slices.Sort(out.Makers[code])
		out.Makers[code] = slices.Compact(out.Makers[code])
		slices.SortFunc(o.counts, func(a, b rules.IndicatorCounts) int { return cmp.Compare(a.Code, b.Code) })
		out.Of[code] = o.counts
	}
	return out, nil
}

// read takes in the versions that meet conditions. They are of one day, or of several where it is empty: each column costs.
func (g *gathered) read(ctx context.Context, q sqldb.Querier, f *sqldb.Filter, day string, keep func(string) bool) error {
	var organisation, indicator, body sql.RawBytes
	var position int64
	on := sql.RawBytes(day)
	columns, into := `organisation_code, indicator_code, position, body`, []any{&organisation, &indicator, &position, &body}
	if day == "" {
		columns, into = columns+`, achieved_on`, append(into, &on)
	}
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM counts`+f.String(), f.Args()...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if !keep(string(organisation)) {
			continue
		}
		if err := g.row(organisation, indicator, on, body, position); err != nil {
			return fmt.Errorf("%s %s: %w", organisation, indicator, err)
		}
	}
	return rows.Err()
}

// CountDays returns the days of a year of which there are counts, in order. They are few, so each is looked up in the index.
func CountDays(ctx context.Context, q sqldb.Querier, year period.FinancialYear) ([]period.Date, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (period.Date, error) {
		text, err := sqldb.Text(rows)
		if err != nil {
			return period.Date{}, err
		}
		return period.ParseDate(text)
	}, `WITH RECURSIVE days (achieved_on) AS (
			SELECT MIN(achieved_on) FROM counts WHERE financial_year = $1
			UNION ALL
			SELECT (SELECT MIN(c.achieved_on) FROM counts c WHERE c.financial_year = $1 AND c.achieved_on > days.achieved_on) FROM days WHERE achieved_on IS NOT NULL
		) SELECT achieved_on FROM days WHERE achieved_on IS NOT NULL ORDER BY achieved_on`, year.String())
}

// LastCountDay returns the last day of which organisations have counts other than answers, which are given ahead; zero for none.
func LastCountDay(ctx context.Context, q sqldb.Querier, by CountFilter) (period.Date, error) {
	days, err := CountDays(ctx, q, by.Year)
	if err != nil {
		return period.Date{}, err
	}
	for _, day := range slices.Backward(days) {
		found := false
		err := by.inBatches(func(batch []string, keep func(string) bool) error {
			if found {
				return nil
			}
			f := by.conditions(batch)
			f.Equal("achieved_on", day.String())
			f.Where("answer = 0")
			text := `SELECT organisation_code FROM counts` + f.String()
			if batch != nil || by.Organisations == nil { // the first will do where every row is wanted
				text += f.Limit(1)
			}
			return sqldb.Each(ctx, q, sqldb.Text, func(code string) error {
				found = found || keep(code)
				return nil
			}, text, f.Args()...)
		})
		if err != nil || found {
			return day, err
		}
	}
	return period.Date{}, nil
}

const countColumns = `organisation_code, achieved_on, indicator_code, position, commissioner_code, source_id, body, reason, recorded_by, recorded_at`

func countScanner() func(*sql.Rows) (CountRow, error) {
	repeated := make(names)
	return func(rows *sql.Rows) (r CountRow, err error) {
		var on string
		var body sql.RawBytes
		if err := rows.Scan(&r.Organisation, &on, &r.Indicator, &r.Position, &r.CommissionerCode, &r.SourceID, &body, &r.Reason, &r.RecordedBy, &r.RecordedAt); err != nil {
			return r, err
		}
		if r.On, err = period.ParseDate(on); err != nil {
			return r, err
		}
		makers, err := decodeCells(body, repeated, func(c Cell) { r.Cells = append(r.Cells, c) })
		r.Makers = makersIn(makers)
		return r, err
	}
}

// CountVersions returns every version of the counts of an organisation in a year that holds under some codes, by day, indicator and
// position; nil codes for all. Indicator is one, or empty for all.
func CountVersions(
	ctx context.Context, q sqldb.Querier, organisation, indicator string, year period.FinancialYear, commissioners []string,
) ([]CountRow, error) {
	days, err := CountDays(ctx, q, year)
	if err != nil || len(days) == 0 {
		return nil, err
	}
	texts := make([]string, len(days))
	for i, day := range days {
		texts[i] = day.String()
	}
	var f sqldb.Filter
	f.Equal("financial_year", year.String())
	f.In("achieved_on", texts) // the index is by day
	f.Equal("organisation_code", organisation, "indicator_code", indicator)
	f.Within("commissioner_code", commissioners)
	return sqldb.Collect(ctx, q, countScanner(), `SELECT `+countColumns+` FROM counts`+f.String()+
		` ORDER BY achieved_on, indicator_code, position`, f.Args()...)
}

// CountsBetween hands over the versions of a day of the organisations from one to another, in no order; of England and a commissioner, or
// of everybody where that is England.
func CountsBetween(ctx context.Context, q sqldb.Querier, on period.Date, first, last, commissioner string, each func(CountRow) error) error {
	var f sqldb.Filter
	f.Equal("financial_year", on.Month().FinancialYear().String(), "achieved_on", on.String())
	f.Where("organisation_code >= ?", first)
	f.Where("organisation_code <= ?", last)
	if commissioner != rules.England {
		f.In("commissioner_code", scopesOf([]string{commissioner}))
	}
	return sqldb.Each(ctx, q, countScanner(), each, `SELECT `+countColumns+` FROM counts`+f.String(), f.Args()...)
}
