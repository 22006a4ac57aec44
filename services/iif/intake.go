package iif

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// intakeCells is about how many counts are put together at a time.
const intakeCells = 20_000

// intake takes the counts of a file in, some organisations at a time.
//
// Counts merge cell by cell: a file changes those that it brings, and what others brought of the indicator stays, since feeds share
// indicators and publications leave fields out. The merged whole is a new version. What a file says no different from what stands makes
// none, so that the same extract again changes nothing, in whatever order its rows come.
//
// A commissioner's counts merge with those that stand for it. England's merge with England's; where a commissioner's own stand before
// them, the cells in which England changed go into these too, as a version of the commissioner's after England's, so that what it entered
// beside stays, such as beds.
type intake struct {
	*countsFile
	tx  *change.Tx
	row *store.ImportRow

	position int64
	changed  int64
	// organisations are those whose counts changed, by year.
	organisations map[period.FinancialYear]map[string]bool
	// twice are the first cells that stand twice, of so many.
	twice  []fault.Violation
	twices int64
}

func (t *intake) all(ctx context.Context) error {
	t.organisations = make(map[period.FinancialYear]map[string]bool)
	if err := store.StageCells(ctx, t.tx.Tx, t.staged()); err != nil {
		return err
	}
	var err error
	if t.position, err = store.LastCount(ctx, t.tx); err != nil {
		return err
	}
	codes := slices.Sorted(maps.Keys(t.cells))
	for len(codes) > 0 {
		n, size := 0, 0
		for n < len(codes) && (n == 0 || size+t.cells[codes[n]] <= intakeCells) {
			size += t.cells[codes[n]]
			n++
		}
		if err := t.some(ctx, codes[0], codes[n-1]); err != nil {
			return err
		}
		codes = codes[n:]
	}
	if t.twices > 0 {
		return t.refuseTwice()
	}
	return store.ClearStage(ctx, t.tx.Tx)
}

var errStageEnded = errors.New("the database takes no more rows")

// staged hands the cells of the file over.
func (t *intake) staged() iter.Seq2[store.StagedCell, error] {
	return func(yield func(store.StagedCell, error) bool) {
		_, err := t.read(func(row feed.Row) error {
			cell := store.StagedCell{CountKey: store.CountKey{Organisation: row.Organisation, On: row.AchievedOn, Indicator: row.Code}, Cell: fedCell(&row), Line: row.Line}
			if !yield(cell, nil) {
				return errStageEnded
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStageEnded) {
			yield(store.StagedCell{}, err)
		}
	}
}

// brought are the cells that a file brings of an indicator, with their lines.
type brought struct {
	cells store.Cells
	lines []int64
}

// some takes in the organisations from one to another.
func (t *intake) some(ctx context.Context, first, last string) error {
	groups := make(map[store.CountKey]*brought)
	days := make(map[period.Date]bool)
	err := store.StagedCells(ctx, t.tx, first, last, func(c store.StagedCell) error {
		group := groups[c.CountKey]
		if group == nil {
			group = new(brought)
			groups[c.CountKey], days[c.On] = group, true
		}
		t.add(group, &c)
		return nil
	})
	if err != nil || t.twices > 0 {
		return err
	}
	held := make(map[store.CountKey]map[string]store.CountRow)
	for _, day := range slices.SortedFunc(maps.Keys(days), period.Date.Compare) {
		err := store.CountsBetween(ctx, t.tx, day, first, last, t.commissioner, func(row store.CountRow) error {
			if groups[row.CountKey] == nil {
				return nil
			}
			if held[row.CountKey] == nil {
				held[row.CountKey] = make(map[string]store.CountRow, 1)
			}
			if row.Position > held[row.CountKey][row.CommissionerCode].Position {
				held[row.CountKey][row.CommissionerCode] = row
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var rows []store.CountRow
	for _, key := range slices.SortedFunc(maps.Keys(groups), compareKeys) {
		rows = t.merge(rows, key, groups[key].cells, held[key])
	}
	return store.InsertCounts(ctx, t.tx.Tx, rows)
}

func compareKeys(a, b store.CountKey) int {
	return cmp.Or(cmp.Compare(a.Organisation, b.Organisation), a.On.Compare(b.On), cmp.Compare(a.Indicator, b.Indicator))
}

// add adds a cell to its indicator. The same count twice is one, and two counts of one cell are noted.
func (t *intake) add(group *brought, c *store.StagedCell) {
	i, found := slices.BinarySearchFunc(group.cells, c.Cell, store.Cell.Compare)
	if !found {
		group.cells, group.lines = slices.Insert(group.cells, i, c.Cell), slices.Insert(group.lines, i, c.Line)
		return
	}
	have := &group.cells[i]
	if have.Cell == c.Cell.Cell {
		have.Defaulted = have.Defaulted || c.Defaulted
		group.lines[i] = min(group.lines[i], c.Line)
		return
	}
	if t.twices++; len(t.twice) < maxCountsViolations {
		lines := [2]int64{min(group.lines[i], c.Line), max(group.lines[i], c.Line)}
		t.twice = append(t.twice, fault.Violation{
			Field: lineField(lines[1], ""), Reason: rules.ReasonSubmissionTwice,
			Description: fmt.Sprintf("%s %s of %s for %s on %s stands in line %d with another count", c.Measure, c.Field, c.Indicator, c.Organisation, c.On, lines[0]),
		})
	}
}

func (t *intake) refuseTwice() error {
	out := fault.New(fault.Invalid, rules.ReasonSubmissionTwice, "%d counts stand twice with different values, so nothing was stored: mark one of each as the last submission", t.twices).
		With("counts", t.twices)
	if more := t.twices - int64(len(t.twice)); more > 0 {
		out.Message += fmt.Sprintf("; the first %d are named, and there are %d more", len(t.twice), more)
	}
	out.Violations = t.twice
	return out
}

// merge adds the versions to which the cells of an indicator lead, given the last version under each code.
func (t *intake) merge(rows []store.CountRow, key store.CountKey, cells store.Cells, held map[string]store.CountRow) []store.CountRow {
	before := held[rules.England]
	if own := held[t.commissioner]; own.Position > before.Position {
		before = own
	}
	after := before.Cells.With(cells)
	if slices.Equal(after, before.Cells) {
		return rows
	}
	t.changed++
	year := key.On.Month().FinancialYear()
	if t.organisations[year] == nil {
		t.organisations[year] = make(map[string]bool)
	}
	t.organisations[year][key.Organisation] = true
	rows = append(rows, t.version(key, t.commissioner, after, &before))
	if t.commissioner != rules.England {
		return rows
	}
	// In their order, and none left out after another: of a body's and its predecessor's the later stands.
	differing, added := after.Differing(before.Cells), false
	for _, own := range slices.SortedFunc(maps.Values(held), func(a, b store.CountRow) int { return cmp.Compare(a.Position, b.Position) }) {
		if own.CommissionerCode == rules.England || own.Position < before.Position {
			continue
		}
		if both := own.Cells.With(differing); added || !slices.Equal(both, after) {
			rows, added = append(rows, t.version(key, own.CommissionerCode, both, &own)), true
		}
	}
	return rows
}

// version makes the next version. Who entered cells by hand is kept while one of them is left. Who takes in a commissioner's own file
// says what its PCNs are paid on as much as who types the counts in, and so has made them; and whoever made a body's own version has made
// the one that follows, since nobody can tell by a cell which file it came with. A national file is what NHS England extracted, the same
// for everybody: who loads it decides nothing, and may approve.
func (t *intake) version(key store.CountKey, commissioner string, cells store.Cells, before *store.CountRow) store.CountRow {
	t.position++
	var makers []string
	if before.CommissionerCode != rules.England || cells.Any(func(c store.Cell) bool { return c.ByHand }) {
		makers = slices.Clone(before.Makers)
	}
	if t.commissioner != rules.England {
		makers = append(makers, t.row.ImportedBy)
	}
	return store.CountRow{
		CountKey: key, Position: t.position, CommissionerCode: commissioner, SourceID: t.row.ID, Cells: cells, Makers: inOrder(makers),
		RecordedBy: t.row.ImportedBy, RecordedAt: sqldb.Micros(t.tx.Now()),
	}
}
