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

// share is what a caller may read of a run: all of it where heirs is nil, and else what belongs to its payments that passed to these.
type share struct{ heirs []string }

// partial tells a part of a run from all of it.
func (s share) partial() bool { return s.heirs != nil }

// readableRun loads a run of which the caller may read at least a part.
func readableRun(ctx context.Context, q sqldb.Querier, id string) (run store.RunRow, of share, err error) {
	run, err = store.Run(ctx, q, id)
	if err == nil {
		of, err = shareOf(ctx, q, run)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = runNotFound(id)
	}
	return run, of, err
}

// shareOf returns what the caller may read of a run, or sql.ErrNoRows where that is nothing.
func shareOf(ctx context.Context, q sqldb.Querier, run store.RunRow) (share, error) {
	if may, err := mayRead(ctx, q, run.CommissionerCode); may || err != nil {
		return share{}, err
	}
	scope, err := visible(ctx, "")
	if err != nil {
		return share{}, err
	}
	holds, err := store.HoldsPaymentOf(ctx, q, run.ID, scope)
	if err == nil && !holds {
		err = sql.ErrNoRows
	}
	return share{heirs: scope}, err
}

// wholeRun loads a run of which the caller may read all.
func wholeRun(ctx context.Context, q sqldb.Querier, id string) (store.RunRow, error) {
	run, of, err := readableRun(ctx, q, id)
	if err == nil && of.partial() {
		err = runNotFound(id)
	}
	return run, err
}

// headToProto writes what a run says of no single payee or sum.
func headToProto(r store.RunRow) *paymentsv1.Run {
	return &paymentsv1.Run{
		RunId: r.ID, CommissionerCode: r.CommissionerCode, CommissionerName: r.CommissionerName, Month: r.Month.String(), Number: int32(r.Number), //nolint:gosec // a count
		State: r.State, AssembledAt: timestamp(r.AssembledAt), SubmittedAt: timestamp(r.SubmittedAt), ExportedAt: timestamp(r.ExportedAt), SettledAt: timestamp(r.SettledAt),
	}
}

func runNotFound(id string) error {
	return fault.New(fault.NotFound, rules.ReasonRunNotFound, "there is no run %q", id)
}

// mayReadFile tells whether the caller may read a file of a run of a commissioner: who may read all that one did, and of a file for a
// bank, which shows the accounts of payees, only who holds that one itself.
func mayReadFile(ctx context.Context, q sqldb.Querier, e *store.ExportRow) (bool, error) {
	if e.Format == paymentsv1.Format_FORMAT_PAIN_001 {
		return holds(ctx, e.CommissionerCode), nil
	}
	return mayRead(ctx, q, e.CommissionerCode)
}

// readableExport loads an export that the caller may read.
func readableExport(ctx context.Context, q sqldb.Querier, id string) (store.ExportRow, error) {
	row, err := store.Export(ctx, q, id)
	if err == nil {
		var may bool
		if may, err = mayReadFile(ctx, q, &row); err == nil && !may {
			err = sql.ErrNoRows
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ExportRow{}, fault.New(fault.NotFound, rules.ReasonExportNotFound, "there is no export %q", id)
	}
	return row, err
}

// exportsOf returns a part of the exports that the caller may see; those of one run to whoever may read each.
func exportsOf(ctx context.Context, q sqldb.Querier, by store.Page, req *paymentsv1.ListExportsRequest) ([]store.ExportRow, error) {
	if req.GetRunId() == "" || req.GetCommissionerCode() != "" {
		return store.Exports(ctx, q, by, req.GetRunId())
	}
	// A run has one file of each format: all of them are few.
	wanted := by.Limit
	by.Commissioners, by.Limit = nil, 0
	files, err := store.Exports(ctx, q, by, req.GetRunId())
	if err != nil {
		return nil, err
	}
	var out []store.ExportRow
	for i := range files {
		may, err := mayReadFile(ctx, q, &files[i])
		if err != nil {
			return nil, err
		}
		if may && len(out) < wanted {
			out = append(out, files[i])
		}
	}
	return out, nil
}
