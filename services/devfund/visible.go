package devfund

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

const defaultPage = 100

func maySee(ctx context.Context, commissioner, pcn string) bool {
	return caller(ctx).MaySee(commissioner, pcn)
}

// visible returns the commissioners a list is limited to: the one asked for, or all that the caller holds. Nil means all. One
// that the caller does not hold is not found.
func visible(ctx context.Context, asked string) ([]string, error) {
	by := caller(ctx)
	switch {
	case asked == "":
		return by.CommissionerScope(), nil
	case by.HoldsCommissioner(asked):
		return []string{asked}, nil
	default:
		return nil, fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", asked).With("commissioner_code", asked)
	}
}

// orEngland is the commissioner that a change holds for; an empty one is all of England.
func orEngland(commissioner string) string {
	if commissioner == "" {
		return rules.England
	}
	return commissioner
}
