package rules

import (
	"cmp"
	"slices"
)

// Shared says what others than the PCN and the commissioner may see of a report at the level of PCNs, whose total, sums of PCNs and rows
// are shown together. What is hidden cannot be had by subtraction: see conceal.
type Shared struct {
	// Limit is up to which number counts are hidden; 0 hides none.
	Limit int64
	// Rows tells of each row whether its count is hidden.
	Rows []bool
	// PCNs tells whose sum is hidden, and with it all rows.
	PCNs map[string]bool
	// Parts tells of which PCNs a row is hidden: their sum is shown, but nothing else that adds rows up, such as a cost.
	Parts map[string]bool
	// Total is true where the sum of all is hidden.
	Total bool
}

// Any tells whether anything is hidden.
func (s *Shared) Any() bool { return s.Total || len(s.PCNs) > 0 || len(s.Parts) > 0 }

// Whole tells whether nothing of a PCN is hidden.
func (s *Shared) Whole(pcn string) bool { return !s.PCNs[pcn] && !s.Parts[pcn] }

// Share hides what is small in a report, and what would give it away. Rows are at the level of PCNs and in order; own are the PCNs whose
// people look, who know their own counts and could subtract them.
func Share(rows []Row, pcns []PCN, limit int64, own ...string) *Shared {
	s := &Shared{Limit: limit, Rows: make([]bool, len(rows)), PCNs: make(map[string]bool), Parts: make(map[string]bool)}
	if limit <= 0 {
		return s
	}
	within := make(map[string][]int)
	for i := range rows {
		within[rows[i].PCN] = append(within[rows[i].PCN], i)
	}
	var codes []string
	var sums []int64
	var forced []bool
	for i := range pcns {
		code := pcns[i].Code
		if slices.Contains(own, code) {
			continue
		}
		counts := make([]int64, len(within[code]))
		for n, at := range within[code] {
			counts[n] = rows[at].Attendances
		}
		hidden, whole := conceal(counts, make([]bool, len(counts)), limit)
		for n, at := range within[code] {
			if hidden[n] {
				s.Rows[at], s.Parts[code] = true, true
			}
		}
		codes, sums, forced = append(codes, code), append(sums, pcns[i].Attendances), append(forced, whole)
	}
	hidden, whole := conceal(sums, forced, limit)
	s.Total = whole
	for i, code := range codes {
		if !hidden[i] {
			continue
		}
		s.PCNs[code] = true
		delete(s.Parts, code)
		for _, at := range within[code] {
			s.Rows[at] = true
		}
	}
	return s
}

// conceal says which of some counts are hidden, so that none can be had from the others and their sum; whole is true where that needs the
// sum to be hidden too. Forced are hidden whatever they are.
//
// Hidden are the counts from 1 to the limit. The next smallest follow until what is left open is wide enough: two counts or more, any of
// which may by their sum be anything from 1 to beyond the limit; and where all of them are small, which a reader would take them for, far
// enough from all being as large as the limit. Counts that are equal are hidden together, so that whoever exchanges two of the hidden ones
// sees the same: the choice tells nothing of which is which.
func conceal(counts []int64, forced []bool, limit int64) (hidden []bool, whole bool) {
	hidden = make([]bool, len(counts))
	var sum, k int64
	small := true
	hide := func(i int) {
		hidden[i] = true
		sum += counts[i]
		k++
		small = small && counts[i] <= limit && !forced[i]
	}
	var rest []int
	for i, n := range counts {
		switch {
		case forced[i] || (n >= 1 && n <= limit):
			hide(i)
		case n > limit:
			rest = append(rest, i)
		}
	}
	if k == 0 {
		return hidden, false
	}
	slices.SortFunc(rest, func(a, b int) int { return cmp.Compare(counts[a], counts[b]) })
	safe := func() bool {
		return k >= 2 && sum-k >= limit && (!small || k*limit-sum >= limit)
	}
	for n := 0; n < len(rest) && !safe(); {
		for smallest := counts[rest[n]]; n < len(rest) && counts[rest[n]] == smallest; n++ {
			hide(rest[n])
		}
	}
	return hidden, !safe()
}

// Costs tells whether the cost of a row may be shown beside its count: not where it would tell that a few of the attendances have none, or
// only a few have one.
func (s *Shared) Costs(t Totals) bool {
	with := t.Attendances - t.Uncosted
	few := func(n int64) bool { return n >= 1 && n <= s.Limit }
	return !few(t.Uncosted) && !few(with)
}
