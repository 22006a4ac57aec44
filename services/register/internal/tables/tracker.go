package tables

import (
	"crypto/sha256"
	_ "embed" // the tables
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

//go:embed requirements.csv
var requirementsCSV []byte

//go:embed calendar.csv
var calendarCSV []byte

//go:embed bank_holidays.csv
var holidaysCSV []byte

// TrackerSHA256 returns the hash of the requirements and the calendar that the program brings, in hexadecimal.
func TrackerSHA256() string {
	sum := sha256.New()
	sum.Write(requirementsCSV)
	sum.Write(calendarCSV)
	return hex.EncodeToString(sum.Sum(nil))
}

// cells reads the values of a row and keeps the first failure.
type cells struct {
	row []string
	err error
}

func (c *cells) day(i int) period.Date {
	day, err := optionalDate(c.row[i])
	c.err = errors.Join(c.err, err)
	return day
}

func (c *cells) confidence(i int) working.Confidence {
	confidence, err := working.ParseConfidence(c.row[i])
	c.err = errors.Join(c.err, err)
	return confidence
}

// Requirements returns the service requirements that are known, by year.
func Requirements() ([]rules.Requirement, error) {
	rows, err := read(requirementsCSV, 15)
	if err != nil {
		return nil, fmt.Errorf("table of requirements: %w", err)
	}
	out := make([]rules.Requirement, 0, len(rows))
	seen := make(map[string]bool)
	for i, row := range rows {
		c := cells{row: row}
		year, err := period.ParseFinancialYear(row[1])
		r := rules.Requirement{
			ID: row[0], Year: year, Name: row[2], Phase: row[3], Focus: row[4], Start: c.day(5), Due: c.day(6), Other: c.day(7), End: c.day(8),
			PutOff: row[9] == "yes", Evidence: row[10], HoldBasis: row[11], Source: row[12], Confidence: c.confidence(13), Note: row[14],
		}
		if err = errors.Join(err, c.err, r.Check()); err != nil || r.ID == "" || seen[r.ID] || (row[9] != "" && row[9] != "yes") {
			return nil, fmt.Errorf("table of requirements: row %d, %q, is wrong: %w", i+1, r.ID, err)
		}
		seen[r.ID] = true
		out = append(out, r)
	}
	return out, nil
}

var (
	levels = map[string]rules.Level{
		"nation": rules.NationLevel, "region": rules.RegionLevel, "system": rules.SystemLevel, "place": rules.PlaceLevel,
		"commissioner": rules.CommissionerLevel, "PCN": rules.PCNLevel,
	}
	dayRules = map[string]rules.DayRule{"as_stated": rules.AsStated, "next": rules.NextWorking, "previous": rules.PreviousWorking}
)

// Calendar returns the items of the planning calendar that are known. A note stands as the reason of the item.
func Calendar() ([]rules.Item, error) {
	rows, err := read(calendarCSV, 12)
	if err != nil {
		return nil, fmt.Errorf("table of the calendar: %w", err)
	}
	holidays, err := Holidays()
	if err != nil {
		return nil, err
	}
	out := make([]rules.Item, 0, len(rows))
	seen := make(map[string]bool)
	for i, row := range rows {
		c := cells{row: row}
		item := rules.Item{
			ID: row[0], Title: row[1], Level: levels[row[2]], Due: c.day(3), From: c.day(4), Till: c.day(5), Rule: dayRules[row[6]], Evidence: row[7],
			Linked: row[8], Source: row[9], Confidence: c.confidence(10), Reason: row[11], State: rules.ItemOpen,
		}
		if err := errors.Join(c.err, item.Check(holidays)); err != nil || item.ID == "" || item.Level == "" || item.Rule == "" || item.Source == "" || seen[item.ID] {
			return nil, fmt.Errorf("table of the calendar: row %d, %q, is wrong: %w", i+1, item.ID, err)
		}
		seen[item.ID] = true
		out = append(out, item)
	}
	return out, nil
}

// Holidays returns the bank holidays of England and Wales of the years of which they are known.
func Holidays() (*rules.Holidays, error) {
	rows, err := read(holidaysCSV, 3)
	if err != nil {
		return nil, fmt.Errorf("table of bank holidays: %w", err)
	}
	days := make([]rules.Holiday, 0, len(rows))
	for i, row := range rows {
		day, err := period.ParseDate(row[0])
		if err != nil || row[1] == "" || row[2] == "" || (i > 0 && !days[i-1].Day.Before(day)) {
			return nil, fmt.Errorf("table of bank holidays: row %d, %q, is wrong: %w", i+1, row[0], err)
		}
		days = append(days, rules.Holiday{Day: day, Name: row[1], Source: row[2]})
	}
	return rules.NewHolidays(days), nil
}
