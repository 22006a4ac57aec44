package store

import (
	"cmp"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// parser reads stored texts and keeps the first that it cannot read.
type parser struct{ err error }

func (p *parser) month(text string) period.Month { return parse(p, text, period.ParseMonth) }
func (p *parser) date(text string) period.Date   { return parse(p, text, period.ParseDate) }
func (p *parser) year(text string) period.FinancialYear {
	return parse(p, text, period.ParseFinancialYear)
}

func parse[T any](p *parser, text string, read func(string) (T, error)) T {
	var none T
	if text == "" || p.err != nil {
		return none
	}
	value, err := read(text)
	if err != nil {
		p.err = cmp.Or(p.err, fmt.Errorf("stored value: %w", err))
		return none
	}
	return value
}
