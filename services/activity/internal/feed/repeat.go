package feed

import (
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// maxTraced bounds the keys that a second reading holds to tell which rows repeat them; a report names fewer.
const maxTraced = 10 * MaxBad

// Check reads a file like Read, and besides finds the rows whose key stands in the file before: they are bad for KEY_REPEATED, and
// Report.Kept does not count them; Report.Sums does. It calls begin for the file from its start, twice where a key may repeat. It holds 8
// bytes a row, at most some 40 MB for the longest file.
//
// Where more than a thousand keys repeat, the rows that are counted and not named are those of equal 64-bit hashes of their keys.
func Check(begin func() io.Reader, o Options) (*Report, error) {
	found := newHashes()
	report, err := Read(begin(), o, func(row *Row) error {
		found.add(keyOf(row))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found.repeat() == 0 {
		return report, nil
	}
	return report, found.trace(begin(), o, report)
}

// key is what may stand once in a file. A category counts by what the file says for it, because two codes of one meaning are of different
// attendances.
type key struct {
	commissioner, provider, site   string
	month                          period.Month
	department, category, practice string
	hrg                            string
}

func keyOf(row *Row) key {
	return key{row.Commissioner, row.Provider, row.Site, row.Month, row.Department, row.CategoryCode, row.Practice, row.HRG}
}

// clone returns the key with memory of its own.
func (k key) clone() key {
	return key{
		strings.Clone(k.commissioner), strings.Clone(k.provider), strings.Clone(k.site), k.month, strings.Clone(k.department),
		strings.Clone(k.category), strings.Clone(k.practice), strings.Clone(k.hrg),
	}
}

// hashes are those of the keys of a file, in parts so that no one slice has to grow at once.
type hashes struct {
	seed  maphash.Seed
	parts [256][]uint64
	// more is how many rows have the hash of one before, and again how many hashes they have.
	more  int64
	again int
}

func newHashes() *hashes { return &hashes{seed: maphash.MakeSeed()} }

func (h *hashes) of(k key) (hash uint64, part *[]uint64) {
	hash = maphash.Comparable(h.seed, k)
	return hash, &h.parts[hash>>56]
}

func (h *hashes) add(k key) {
	hash, part := h.of(k)
	*part = append(*part, hash)
}

// repeat leaves of the hashes those that stand more than once, each once and in order, and returns their number.
func (h *hashes) repeat() int {
	for i, part := range h.parts {
		slices.Sort(part)
		kept := part[:0]
		for n := 1; n < len(part); n++ {
			if part[n] != part[n-1] {
				continue
			}
			h.more++
			if len(kept) == 0 || kept[len(kept)-1] != part[n] {
				kept = append(kept, part[n])
			}
		}
		h.parts[i] = kept
		h.again += len(kept)
	}
	return h.again
}

// trace reads the file once more for the keys behind the hashes, and notes the rows that repeat one.
func (h *hashes) trace(r io.Reader, o Options, report *Report) error {
	lines := make(map[key]int64)
	var repeated int64
	_, err := Read(r, o, func(row *Row) error {
		k := keyOf(row)
		hash, part := h.of(k)
		if _, may := slices.BinarySearch(*part, hash); !may {
			return nil
		}
		first, stood := lines[k]
		switch {
		case !stood && len(lines) < maxTraced:
			lines[k.clone()] = row.Line
		case stood:
			if repeated++; len(report.Bad) < MaxBad {
				report.Bad = append(report.Bad, Bad{
					Line: row.Line, Value: k.String(), Reason: ReasonKeyRepeated,
					Detail: fmt.Sprintf("line %d has the same values in all columns but attendances and cost: send one row with what they come to, if both count", first),
				})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if h.again > maxTraced {
		repeated = h.more
	}
	report.Kept -= repeated
	report.BadRows += repeated
	return nil
}

// String writes the key in the order of the columns.
func (k key) String() string {
	return strings.Join([]string{k.provider, k.site, k.month.String(), k.department, k.category, k.practice, k.hrg, k.commissioner}, ",")
}
