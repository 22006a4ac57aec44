// Package tables holds the dated tables the register is born with: commissioning bodies, and the windows in which a practice may
// give notice to leave the DES. Each row names its source or stands under one that does.
package tables

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the tables
	"encoding/csv"
	"encoding/hex"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

//go:embed commissioners.csv
var commissionersCSV []byte

//go:embed opt_out_windows.csv
var windowsCSV []byte

// CommissionersSource names where the table of commissioners comes from.
const CommissionersSource = "Register's own table: ODS eccg December 2025; ONS ICB names and codes December 2024; gp-reg-pat-prac-map January 2022"

// CommissionersFile is the name of the table of commissioners.
const CommissionersFile = "commissioners.csv"

// CommissionersSHA256 returns the hash of the table of commissioners, in hexadecimal.
func CommissionersSHA256() string {
	sum := sha256.Sum256(commissionersCSV)
	return hex.EncodeToString(sum[:])
}

// BodyKinds tells what the words for a commissioning body in files stand for.
var BodyKinds = map[string]rules.BodyKind{
	"ccg": rules.LocationBody, "sub_icb_location": rules.LocationBody, "location": rules.LocationBody,
	"stp": rules.SystemBody, "icb": rules.SystemBody, "system": rules.SystemBody, "region": rules.RegionBody,
}

// Commissioners returns the table of commissioning bodies, one row per body and period.
func Commissioners() ([]rules.Commissioner, error) {
	rows, err := read(commissionersCSV, 7)
	if err != nil {
		return nil, fmt.Errorf("table of commissioners: %w", err)
	}
	out := make([]rules.Commissioner, 0, len(rows))
	for i, row := range rows {
		opened, errOpened := optionalDate(row[5])
		closed, errClosed := optionalDate(row[6])
		kind, known := BodyKinds[row[2]]
		if errOpened != nil || errClosed != nil || !known || !rules.ValidCode(row[0]) || row[1] == "" {
			return nil, fmt.Errorf("table of commissioners: row %d, %q, is wrong", i+1, row[0])
		}
		if !closed.IsZero() && closed.Before(opened) {
			return nil, fmt.Errorf("table of commissioners: %s closed before it opened", row[0])
		}
		out = append(out, rules.Commissioner{
			Code: row[0], Name: row[1], Kind: kind, Region: row[3], System: row[4], Opened: opened, Closed: closed,
		})
	}
	return out, nil
}

// Windows returns the known opt-out windows, by opening day.
func Windows() ([]rules.Window, error) {
	rows, err := read(windowsCSV, 3)
	if err != nil {
		return nil, fmt.Errorf("table of opt-out windows: %w", err)
	}
	out := make([]rules.Window, 0, len(rows))
	for i, row := range rows {
		opens, errOpens := period.ParseDate(row[0])
		closes, errCloses := period.ParseDate(row[1])
		if errOpens != nil || errCloses != nil || closes.Before(opens) || row[2] == "" {
			return nil, fmt.Errorf("table of opt-out windows: row %d is wrong", i+1)
		}
		if i > 0 && !out[i-1].Closes.Before(opens) {
			return nil, fmt.Errorf("table of opt-out windows: row %d overlaps the one before", i+1)
		}
		out = append(out, rules.Window{Opens: opens, Closes: closes, Source: row[2]})
	}
	return out, nil
}

// read returns the rows of an embedded table without its header.
func read(content []byte, columns int) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(content))
	r.Comment = '#'
	r.FieldsPerRecord = columns
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("read: no rows")
	}
	return rows[1:], nil
}

func optionalDate(text string) (period.Date, error) {
	if text == "" {
		return period.Date{}, nil
	}
	return period.ParseDate(text)
}
