package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
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
