package arrs

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
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

// listing is a request for a page of rows that a commissioner or a PCN may see.
type listing interface {
	GetCommissionerCode() string
	GetPageSize() int32
	GetPageToken() string
}

// pageOf selects a page of the rows that the caller may see, and one row beyond it: those of commissioners and of PCNs held.
func pageOf(ctx context.Context, req listing) (by store.Page, size int, err error) {
	if by.Before, err = page.Key(req.GetPageToken()); err != nil {
		return by, 0, err
	}
	if by.Commissioners, err = visible(ctx, req.GetCommissionerCode()); err != nil {
		return by, 0, err
	}
	size = page.Size(req.GetPageSize(), defaultPage)
	by.PCNs, by.CommissionerCode, by.Limit = caller(ctx).PCNs, req.GetCommissionerCode(), size+1
	return by, size, nil
}

// orEngland is the commissioner that a change holds for; an empty one is all of England.
func orEngland(commissioner string) string {
	if commissioner == "" {
		return rules.England
	}
	return commissioner
}
