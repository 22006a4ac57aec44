package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

type auditCommand struct {
	Verify auditVerifyCommand `cmd:"" help:"Recompute every seal of the audit log, and fail if an entry or a seal is not as it was written."`
}

type auditVerifyCommand struct {
	storage `embed:""`
	Service string `arg:"" default:"all" help:"all, register, core, arrs, iif, devfund, activity, payments or partners."`
}

// Run verifies the audit logs of the services chosen.
func (a *auditVerifyCommand) Run(ctx context.Context) error {
	names, err := chosen(a.Service)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == gatewayName {
			continue
		}
		if err := a.one(ctx, name); err != nil {
			return fmt.Errorf("audit log of %s: %w", name, err)
		}
		fmt.Println("every seal of the audit log holds:", name)
	}
	return nil
}

func (a *auditVerifyCommand) one(ctx context.Context, name string) (err error) {
	db, err := a.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Read(ctx, func(q sqldb.Querier) error { return audit.Verify(ctx, q) })
}
