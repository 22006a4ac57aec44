package rules

import "slices"

// Words are those by which a confirmation tells a payment from others of its payee and amount.
type Words struct{ Reference, PayerReference string }

// Confirmation is a row of a payer's file without the reference of a payment.
type Confirmation struct {
	Words
	// CameBack is true if it says that a payment was returned, which only one can be that was paid.
	CameBack bool
}

// Candidate is a payment that rows which are alike, in payee, amount, day and status, can be of.
type Candidate struct {
	PaymentID string
	// Said are the words in which files before this one said the same of it. Of a payment on which the rows can have an effect, none did.
	Said []Words
	// Named is true if the file has a row for it by reference, so that of the others only one in the same words as before can be of it.
	Named bool
	// Paid is true if it was paid, or a row of the file says so. It can come back.
	Paid bool
}

// Verdict is what a confirmation is found to be.
type Verdict int

// Unfound confirmations are of no candidate, Ambiguous ones may be of any of several; Known ones say again what was said of a payment, and
// Effective ones change it.
const (
	Unfound Verdict = iota
	Ambiguous
	Known
	Effective
)

// Found is what a confirmation is found to be, and of which payment.
type Found struct {
	PaymentID string
	Verdict   Verdict
}

// Alike are confirmations of one file that are alike, and the payments they can be of, each in their order.
type Alike struct {
	Rows       []Confirmation
	Candidates []Candidate
	// PaidToo is true if rows of the file say of some of the candidates that they were paid, and it is open of which.
	PaidToo bool
}

// likeness tells whether a row can say of a payment once more what was said.
type likeness int

const (
	other         likeness = iota
	perhaps                // in other words
	sameWords              // which a row of an equal payment may have as well
	sameReference          // of the payer, by which it tells payments apart
)

// likenessOf compares a row with what was said of a payment. A row without a reference, where the earlier one had one, may be either. One
// reference for several rows of a file does not tell them apart.
func (c *Candidate) likenessOf(row Words) likeness {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	out := perhaps
	for _, was := range c.Said {
		own := was.Reference == c.PaymentID
		switch {
		case was.PayerReference != "" && was.PayerReference == row.PayerReference && (own || !differ(was.Reference, row.Reference)):
			if c.Named {
				return sameWords
			}
			return sameReference
		case was == row:
			return sameWords
		case differ(was.PayerReference, row.PayerReference), !own && differ(was.Reference, row.Reference):
			out = other
		}
	}
	return out
}

// sharing is where the sharing out of rows has got to.
type sharing struct {
	rows  []Confirmation
	found []Found
	// Payments that no row was found to be of yet: said are those of which the same was said before, paid and waiting those on which rows
	// can have an effect.
	said          []Candidate
	paid, waiting []string
}

// ShareOut finds which payments rows that are alike are of. Two rows of one file are two payments, and one that says in the same words
// what an earlier file said is the same if no other payment can be meant. A row has an effect only if it cannot be of another payment:
// if every payment has its row, or as many were paid as come back, or as many wait as are rejected.
func (a *Alike) ShareOut() []Found {
	s := sharing{rows: a.Rows, found: make([]Found, len(a.Rows))}
	for _, c := range a.Candidates {
		switch {
		case len(c.Said) > 0:
			s.said = append(s.said, c)
		case c.Paid:
			s.paid = append(s.paid, c.PaymentID)
		default:
			s.waiting = append(s.waiting, c.PaymentID)
		}
	}
	all := make([]int, len(a.Rows))
	for i := range all {
		all[i] = i
	}
	doubtful := s.recognise(all, sameReference)
	left := s.recognise(doubtful, sameWords)
	s.said = slices.DeleteFunc(s.said, func(c Candidate) bool { return c.Named })
	fresh := slices.DeleteFunc(slices.Clone(left), func(i int) bool {
		return slices.ContainsFunc(s.said, func(c Candidate) bool { return c.likenessOf(s.rows[i].Words) == perhaps })
	})
	open := len(s.paid) + len(s.waiting)
	switch {
	case len(fresh) >= open || len(left) >= len(s.said)+open:
		left = s.recognise(left, perhaps)
		s.deal(fresh)
		s.deal(slices.DeleteFunc(left, func(i int) bool { return slices.Contains(fresh, i) }))
	case len(fresh) < len(doubtful) || a.PaidToo:
		s.doubt(doubtful)
	default:
		s.prefer(fresh)
	}
	return s.found
}

// recognise finds which of the rows say again what was said, with that likeness or a closer one, and returns the others.
func (s *sharing) recognise(rows []int, least likeness) (left []int) {
	for _, i := range rows {
		at := slices.IndexFunc(s.said, func(c Candidate) bool { return c.likenessOf(s.rows[i].Words) >= least })
		if at < 0 {
			left = append(left, i)
			continue
		}
		s.found[i] = Found{s.said[at].PaymentID, Known}
		s.said = slices.Delete(s.said, at, at+1)
	}
	return left
}

// prefer takes what comes back for payments that were paid, and other rejections for those that wait, as far as each of them has its row.
func (s *sharing) prefer(rows []int) {
	var back, refused []int
	for _, i := range rows {
		if s.rows[i].CameBack {
			back = append(back, i)
		} else {
			refused = append(refused, i)
		}
	}
	if len(back) > len(s.paid) || len(refused) > len(s.waiting) {
		s.doubt(rows) // those left over may be of any
		return
	}
	if len(back) < len(s.paid) {
		s.doubt(back)
		back = nil
	}
	if len(refused) < len(s.waiting) {
		s.doubt(refused)
		refused = nil
	}
	s.deal(slices.Concat(back, refused))
}

// deal gives each row its payment, first those of the kind it prefers.
func (s *sharing) deal(rows []int) {
	take := func(i int, from *[]string) {
		if len(*from) > 0 && s.found[i].Verdict == Unfound {
			s.found[i] = Found{(*from)[0], Effective}
			*from = (*from)[1:]
		}
	}
	for _, i := range rows {
		if s.rows[i].CameBack {
			take(i, &s.paid)
		} else {
			take(i, &s.waiting)
		}
	}
	for _, i := range rows {
		take(i, &s.paid)
		take(i, &s.waiting)
	}
}

func (s *sharing) doubt(rows []int) {
	for _, i := range rows {
		s.found[i] = Found{Verdict: Ambiguous}
	}
}
