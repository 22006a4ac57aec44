package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// Cell is one count of an indicator with what is known of it. An answer is a stated cell whose count is the rules.Answer.
type Cell struct {
	Measure feed.Measure
	// Field is that of an exclusion or adjustment; empty for others.
	Field string
	rules.Cell
	// Defaulted means that the extract put a default value in its place.
	Defaulted bool
	// ByHand means that a person entered it.
	ByHand bool
}

// Compare orders the cells of an indicator.
func (c Cell) Compare(d Cell) int {
	return cmp.Or(cmp.Compare(c.Measure, d.Measure), cmp.Compare(c.Field, d.Field))
}

// Cells are the counts of one indicator of an organisation on a day, in order and each once. None is absent.
type Cells []Cell

// With returns the cells with others in their place, one by one: what the others leave out stays. A hidden count says nothing of the
// count that it hides, so it takes the place of none that is stated.
func (c Cells) With(others Cells) Cells {
	out := slices.Clone(c)
	for _, other := range others {
		i, found := slices.BinarySearchFunc(out, other, Cell.Compare)
		switch {
		case !found:
			out = slices.Insert(out, i, other)
		case other.State == rules.Stated || out[i].State != rules.Stated:
			out[i] = other
		}
	}
	return out
}

// Differing returns those of the cells that others lack or have differently.
func (c Cells) Differing(others Cells) Cells {
	var out Cells
	for _, cell := range c {
		if i, found := slices.BinarySearchFunc(others, cell, Cell.Compare); !found || others[i] != cell {
			out = append(out, cell)
		}
	}
	return out
}

// Any tells whether one of the cells has a property.
func (c Cells) Any(property func(Cell) bool) bool { return slices.ContainsFunc(c, property) }

// Counts returns the cells as the rules have them.
func (c Cells) Counts() (out rules.Counts) {
	for i := range c {
		c[i].into(&out)
	}
	return out
}

func (c *Cell) into(out *rules.Counts) {
	switch c.Measure {
	case feed.Numerator:
		out.Numerator = c.Cell
	case feed.Denominator:
		out.Denominator = c.Cell
	case feed.Register:
		out.Register = c.Cell
	case feed.BaselineNumerator:
		out.BaselineNumerator = c.Cell
	case feed.BaselineDenominator:
		out.BaselineDenominator = c.Cell
	case feed.Exclusion:
		out.Exclusions = append(out.Exclusions, rules.FieldCount{Field: c.Field, Cell: c.Cell})
	case feed.Adjustment:
		out.Adjustments = append(out.Adjustments, rules.FieldCount{Field: c.Field, Cell: c.Cell})
	case feed.Answer:
		out.Answer = rules.Answer(c.N)
	}
}

// How cells are kept: a byte for the form; for each cell a byte with its measure and its marks, the field of an exclusion or adjustment,
// and the count of a stated one; a zero; and who made them, a line for each. It is a fifth of the message's size, and the counts of England
// are read without an allocation for each.
const (
	cellsForm   = 1
	measureMask = 0x0f
	markHidden  = 0x10
	markDefault = 0x20
	markByHand  = 0x40
	makerEnd    = "\n"
)

// makersIn parts those who made cells.
func makersIn(makers string) []string {
	if makers == "" {
		return nil
	}
	return strings.Split(makers, makerEnd)
}

func encodeCells(cells Cells, makers []string) []byte {
	who := strings.Join(makers, makerEnd)
	out := append(make([]byte, 0, 8+8*len(cells)+len(who)), cellsForm)
	for _, c := range cells {
		mark := byte(c.Measure) & measureMask //nolint:gosec // a handful of measures
		if c.State == rules.Suppressed {
			mark |= markHidden
		}
		if c.Defaulted {
			mark |= markDefault
		}
		if c.ByHand {
			mark |= markByHand
		}
		out = append(out, mark)
		if c.Measure == feed.Exclusion || c.Measure == feed.Adjustment {
			out = append(binary.AppendUvarint(out, uint64(len(c.Field))), c.Field...)
		}
		if c.State == rules.Stated {
			out = binary.AppendUvarint(out, uint64(c.N)) //nolint:gosec // counts are not negative
		}
	}
	return append(append(out, 0), who...)
}

var errCells = errors.New("the counts are not as they were kept")

// names keeps one string for each text that repeats from row to row.
type names map[string]string

func (n names) of(text []byte) string {
	if have, known := n[string(text)]; known {
		return have
	}
	n[string(text)] = string(text)
	return n[string(text)]
}

// decodeCells hands over cell by cell, and returns who made them, for makersIn.
func decodeCells(body []byte, repeated names, each func(Cell)) (makers string, err error) {
	if len(body) == 0 || body[0] != cellsForm {
		return "", fmt.Errorf("%w: the form is not known", errCells)
	}
	rest := body[1:]
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			err = errCells
			return 0
		}
		rest = rest[size:]
		return n
	}
	for len(rest) > 0 && err == nil {
		mark := rest[0]
		rest = rest[1:]
		if mark == 0 {
			return repeated.of(rest), nil
		}
		c := Cell{Measure: feed.Measure(mark & measureMask), Defaulted: mark&markDefault != 0, ByHand: mark&markByHand != 0}
		if c.Measure == feed.Exclusion || c.Measure == feed.Adjustment {
			length := number()
			if length > uint64(len(rest)) {
				return "", errCells
			}
			c.Field, rest = repeated.of(rest[:length]), rest[length:]
		}
		if c.State = rules.Suppressed; mark&markHidden == 0 {
			c.Cell = rules.Count(int64(number())) //nolint:gosec // written from a count
		}
		each(c)
	}
	return "", errors.Join(err, errCells)
}
