package activity

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// defaultPage is the rows of a page where the caller asks for no number.
const defaultPage = 100

// caller returns who calls; outside a call nobody, who may nothing.
func caller(ctx context.Context) auth.Principal {
	by, _ := auth.From(ctx)
	return by
}

// seesAll tells whether the caller sees every count of a commissioner: its finance people and auditors do.
func seesAll(by auth.Principal, commissioner string) bool {
	roles := []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER, optionsv1.Role_ROLE_AUDITOR}
	return by.HasRole(roles...) && by.HoldsCommissioner(commissioner)
}

// speaksFor tells whether the caller is of the PCN.
func speaksFor(by auth.Principal, pcn string) bool {
	return by.HasRole(optionsv1.Role_ROLE_PCN_MANAGER, optionsv1.Role_ROLE_CLINICAL_DIRECTOR) && by.HoldsPCN(pcn)
}

// approves tells whether the caller holds the role of an approver for the commissioner.
func approves(by auth.Principal, commissioner string) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER) && by.HoldsCommissioner(commissioner)
}

// visible returns the commissioners a list is limited to: the one asked for, or all that the caller holds. Nil means all. One that the
// caller does not hold is not found.
func visible(ctx context.Context, asked string) ([]string, error) {
	by := caller(ctx)
	switch {
	case asked == "":
		return by.CommissionerScope(), nil
	case by.HoldsCommissioner(asked):
		return []string{asked}, nil
	default:
		return nil, noCommissioner(asked)
	}
}

func noCommissioner(code string) error {
	return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", money.Clip(code)).With("commissioner_code", money.Clip(code))
}

// orEngland is the commissioner that a change holds for; an empty one is all of England.
func orEngland(commissioner string) string {
	if commissioner == "" {
		return rules.England
	}
	return commissioner
}

// addressOf is to whom something under a code is addressed: nobody in particular where it holds for England.
func addressOf(commissioner string) string {
	if commissioner == rules.England {
		return ""
	}
	return commissioner
}
