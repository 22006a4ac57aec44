package devfund

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
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

// prepares tells whether the caller prepares the finances of the commissioner.
func prepares(by auth.Principal, commissioner string) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_PREPARER) && by.HoldsCommissioner(commissioner)
}

func noPCN(pcn string) error {
	return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %q that you may see", money.Clip(pcn)).With("pcn_code", money.Clip(pcn))
}
