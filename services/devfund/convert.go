package devfund

import (
	"math/big"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// yearWords writes a financial year as requests and messages do, 2020-21, since a path cannot hold 2020/21.
func yearWords(year period.FinancialYear) string { return strings.Replace(year.String(), "/", "-", 1) }

// parseYear reads what yearWords writes.
func parseYear(field, text string) (period.FinancialYear, error) {
	year, err := period.ParseFinancialYear(strings.Replace(text, "-", "/", 1))
	if err != nil {
		return 0, fault.New(fault.Invalid, reasonYearMalformed, "%s: %q is not a financial year written YYYY-YY", field, money.Clip(text)).At(field, "a year such as 2020-21")
	}
	return year, nil
}

func parseDate(field, text string) (period.Date, error) {
	day, err := period.ParseDate(text)
	if err != nil {
		return day, fault.New(fault.Invalid, reasonDateMalformed, "%s: %v", field, err).At(field, err.Error())
	}
	return day, nil
}

func optionalDate(field, text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	return parseDate(field, text)
}

func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

// decimal writes an exact decimal or fraction; nil is an empty text.
func decimal(value *big.Rat) string {
	if value == nil {
		return ""
	}
	return money.Format(value)
}
