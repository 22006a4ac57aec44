package arrs

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// caller returns who calls; outside a call nobody, who may nothing.
func caller(ctx context.Context) auth.Principal {
	by, _ := auth.From(ctx)
	return by
}

// speaksFor tells whether the caller is of the PCN.
func speaksFor(by auth.Principal, pcn string) bool {
	return by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_CLINICAL_DIRECTOR) && by.HoldsPCN(pcn)
}

// prepares, approves and oversees tell whether the caller holds a role of finance for the commissioner.
func prepares(by auth.Principal, commissioner string) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_PREPARER) && by.HoldsCommissioner(commissioner)
}

func approves(by auth.Principal, commissioner string) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER) && by.HoldsCommissioner(commissioner)
}

func oversees(by auth.Principal, commissioner string) bool {
	return ofFinance(by) && by.HoldsCommissioner(commissioner)
}

func ofFinance(by auth.Principal) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER, optionsv1.Role_ROLE_AUDITOR)
}

// sees tells whether the caller may see the pay and the engagements of a PCN: its own people, and those of its commissioner.
func sees(by auth.Principal, commissioner, pcn string) bool {
	return speaksFor(by, pcn) || oversees(by, commissioner)
}

// scopeOf returns what of a list of claims or engagements the caller may see.
func scopeOf(by auth.Principal) store.Scope {
	scope := store.Scope{Commissioners: []string{}}
	if ofFinance(by) {
		scope.Commissioners = by.CommissionerScope()
	}
	if by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_CLINICAL_DIRECTOR) {
		scope.PCNs = by.PCNs
	}
	return scope
}

func noPCN(pcn string) error {
	return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %q that you may see", money.Clip(pcn)).With("pcn_code", money.Clip(pcn))
}

// fixedYear returns a PCN's year as it was fixed last, if the caller may see it.
func fixedYear(ctx context.Context, q sqldb.Querier, pcn string, year period.FinancialYear) (store.YearRow, error) {
	by := caller(ctx)
	row, err := store.Year(pcn, year).First(ctx, q)
	unknown := errors.Is(err, sql.ErrNoRows)
	switch {
	case unknown && (by.HoldsPCN(pcn) || by.HoldsEngland()):
		return row, fault.New(fault.Refused, reasonYearNotFixed, "%s of %s is not fixed: its commissioner fixes it first", year, pcn).
			With("pcn_code", pcn).With("financial_year", year)
	case unknown || (err == nil && !by.MaySee(row.CommissionerCode, pcn)):
		return row, noPCN(pcn)
	default:
		return row, err
	}
}

// forPCN refuses a caller who does not hold the PCN itself: a commissioner does not answer in its place.
func forPCN(ctx context.Context, pcn string, refusal error) error {
	if !caller(ctx).HoldsPCN(pcn) {
		return refusal
	}
	return nil
}
