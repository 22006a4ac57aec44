package tables

import (
	"fmt"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// Rails returns from when on which payment is made by the national payment system, so that its lines serve reconciliation
// only. It fails on a row that cannot be read.
var Rails = sync.OnceValues(func() ([]rules.Rail, error) { return parseRails(files.ReadFile) })

func parseRails(open table.Opener) ([]rules.Rail, error) {
	return table.Read(open, "rails.csv", "payment_code,from_month,instruction,source", func(r *table.Row) rules.Rail {
		return rules.Rail{
			PaymentCode: r.Required("payment_code"), From: table.Value(r, "from_month", period.ParseMonth),
			Instruction: table.Value(r, "instruction", instruction), Source: r.Required("source"),
		}
	})
}

func instruction(text string) (rules.Instruction, error) {
	switch text {
	case "PAY":
		return rules.Pay, nil
	case "RECONCILE_ONLY":
		return rules.ReconcileOnly, nil
	}
	return 0, fmt.Errorf("%q is not PAY or RECONCILE_ONLY", text)
}
