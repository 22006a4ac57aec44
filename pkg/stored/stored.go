// Package stored reads values that databases keep as text.
package stored

import (
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Texts reads stored texts and keeps the first failure, after which it reads nothing more. An empty text is the zero value.
type Texts struct{ Err error }

// Month reads a month.
func (t *Texts) Month(text string) period.Month { return Parse(t, text, period.ParseMonth) }

// Date reads a day.
func (t *Texts) Date(text string) period.Date { return Parse(t, text, period.ParseDate) }

// Year reads a financial year.
func (t *Texts) Year(text string) period.FinancialYear {
	return Parse(t, text, period.ParseFinancialYear)
}

// Decimal reads an exact decimal; an empty text is nil.
func (t *Texts) Decimal(text string) *big.Rat { return Parse(t, text, money.ParseDecimal) }

// Parse reads a text as read does.
func Parse[T any](t *Texts, text string, read func(string) (T, error)) T {
	var none T
	if text == "" || t.Err != nil {
		return none
	}
	value, err := read(text)
	if err != nil {
		t.Err = fmt.Errorf("stored value: %w", err)
		return none
	}
	return value
}
