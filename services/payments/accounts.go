package payments

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

// AccountResolver turns account tokens into bank details at the moment a bank file is put together. The suite stores tokens only.
type AccountResolver interface {
	// Resolve returns the accounts behind tokens. One that is not known is left out.
	Resolve(ctx context.Context, tokens []string) (map[string]export.Account, error)
}

// AccountFile resolves tokens from a CSV file with the columns token, name, sort_code and account_number, such as a mounted
// secret. It is read anew at each call, so that a change needs no restart.
type AccountFile string

var errAccountColumns = errors.New("the account file has the columns token, name, sort_code, account_number")

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
		return nil, errAccountColumns // the reader's own error could repeat bank details
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
			found[row[0]] = export.Account{Name: row[1], SortCode: row[2], AccountNumber: row[3]}
		}
	}
}
