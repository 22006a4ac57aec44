package payments

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// mayRead tells whether the caller may read what a commissioner did: who holds it, or one to which its open items all passed, near or
// far.
func mayRead(ctx context.Context, q sqldb.Querier, code string) (bool, error) {
	line := []string{code}
	for i := 0; i < len(line); i++ {
		if holds(ctx, line[i]) {
			return true, nil
		}
		moves, err := store.Moves(ctx, q, line[i])
		if err != nil {
			return false, err
		}
		for _, m := range moves {
			if to := m.GetToCommissionerCode(); isWhole(m) && !slices.Contains(line, to) {
				line = append(line, to)
			}
		}
	}
	return false, nil
}

// mayReadRun tells whether the caller may read a run of a commissioner: who may read what that one did, and who holds a commissioner to
// which a payment of the run passed.
func mayReadRun(ctx context.Context, q sqldb.Querier, code, runID string) (bool, error) {
	if may, err := mayRead(ctx, q, code); may || err != nil {
		return may, err
	}
	payments, err := store.Payments(ctx, q, store.PaymentFilter{RunID: runID})
	return slices.ContainsFunc(payments, func(p store.PaymentRow) bool { return holds(ctx, p.CommissionerCode) }), err
}

// readableRun loads a run that the caller may read.
func readableRun(ctx context.Context, q sqldb.Querier, id string) (store.RunRow, error) {
	run, err := store.Run(ctx, q, id)
	if err == nil {
		var may bool
		if may, err = mayReadRun(ctx, q, run.CommissionerCode, id); err == nil && !may {
			err = sql.ErrNoRows
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = runNotFound(id)
	}
	return run, err
}

func runNotFound(id string) error {
	return fault.New(fault.NotFound, rules.ReasonRunNotFound, "there is no run %q", id)
}

// readableExport loads an export of a run that the caller may read.
func readableExport(ctx context.Context, q sqldb.Querier, id string) (store.ExportRow, error) {
	row, err := store.Export(ctx, q, id)
	if err == nil {
		var may bool
		if may, err = mayReadRun(ctx, q, row.CommissionerCode, row.RunID); err == nil && !may {
			err = sql.ErrNoRows
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, rules.ReasonExportNotFound, "there is no export %q", id)
	}
	return row, err
}

// exportsOf returns a part of the exports that the caller may see; those of one run to whoever may read it.
func exportsOf(ctx context.Context, q sqldb.Querier, by store.Page, req *paymentsv1.ListExportsRequest) ([]store.ExportRow, error) {
	if req.GetRunId() != "" && req.GetCommissionerCode() == "" {
		run, err := store.Run(ctx, q, req.GetRunId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if may, err := mayReadRun(ctx, q, run.CommissionerCode, run.ID); err != nil || !may {
			return nil, err
		}
		by.Commissioners = []string{run.CommissionerCode}
	}
	return store.Exports(ctx, q, by, req.GetRunId())
}
