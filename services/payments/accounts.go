package payments

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// AccountResolver turns account tokens into bank details at the moment a bank file is put together. The suite stores tokens only.
type AccountResolver interface {
	// Resolve returns the accounts behind tokens. One that is not known is left out. An error other than a fault means that there is
	// no answer now; neither names details of an account.
	Resolve(ctx context.Context, tokens []string) (map[string]export.Account, error)
}

// AccountFile resolves tokens from a CSV file with the columns token, name, sort_code and account_number, such as a mounted
// secret. It is read anew at each call, so that a change needs no restart.
type AccountFile string

// errAccountColumns stands for the errors of the CSV reader, which could repeat bank details.
var errAccountColumns = fault.New(fault.Refused, rules.ReasonAccountNotResolved,
	"the account file is CSV with the columns token, name, sort_code, account_number")

// Resolve implements AccountResolver.
func (f AccountFile) Resolve(_ context.Context, tokens []string) (_ map[string]export.Account, err error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("open the account file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r := csv.NewReader(file)
	r.FieldsPerRecord = 4
	header, err := r.Read()
	if err != nil || !slices.Equal(header, []string{"token", "name", "sort_code", "account_number"}) {
		return nil, errAccountColumns
	}
	found := make(map[string]export.Account)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, errAccountColumns
		}
		if slices.Contains(tokens, row[0]) {
			if _, twice := found[row[0]]; twice {
				return nil, fault.New(fault.Refused, rules.ReasonAccountNotResolved, "the account file has two rows of token %s", row[0]).
					At(row[0], "stands for two accounts")
			}
			found[row[0]] = export.Account{Name: row[1], SortCode: row[2], AccountNumber: row[3]}
		}
	}
}
