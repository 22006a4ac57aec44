package tables

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

//go:embed rails.csv
var railsCSV string

// Rails returns from when on which payment is made by the national payment system, so that its lines serve reconciliation
// only. It fails on a row that cannot be read.
var Rails = sync.OnceValues(func() ([]rules.Rail, error) { return parseRails(railsCSV) })

func parseRails(text string) ([]rules.Rail, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read rails.csv: %w", err)
	}
	if len(rows) < 2 || !slices.Equal(rows[0], []string{"payment_code", "from_month", "instruction", "source"}) {
		return nil, fmt.Errorf("rails.csv has no rows, or other columns")
	}
	instructions := map[string]rules.Instruction{"PAY": rules.Pay, "RECONCILE_ONLY": rules.ReconcileOnly}
	rails := make([]rules.Rail, 0, len(rows)-1)
	for i, row := range rows[1:] {
		from, err := period.ParseMonth(row[1])
		instruction, known := instructions[row[2]]
		if err != nil || !known || row[0] == "" || row[3] == "" {
			return nil, fmt.Errorf("rails.csv row %d: a payment, a month, an instruction and a source are needed: %v", i+2, row)
		}
		rails = append(rails, rules.Rail{PaymentCode: row[0], From: from, Instruction: instruction, Source: row[3]})
	}
	return rails, nil
}
