package register

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// GetLoad returns one load with its counts.
func (s *Service) GetLoad(ctx context.Context, req *registerv1.GetLoadRequest) (*registerv1.Load, error) {
	var load store.Load
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		load, err = visibleLoad(ctx, q, req.GetLoadId())
		return err
	})
	if err != nil {
		return nil, err
	}
	return loadToProto(load), nil
}

// visibleLoad returns a load that the caller may see: one for all of England, or recorded for a commissioner the caller holds.
func visibleLoad(ctx context.Context, q sqldb.Querier, id string) (store.Load, error) {
	caller, _ := auth.From(ctx)
	load, err := store.LoadByID(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && load.Commissioner != "" && !caller.HoldsCommissioner(load.Commissioner)) {
		return store.Load{}, fault.New(fault.NotFound, rules.ReasonLoadNotFound, "there is no load %s that you may see", id).With("load_id", id)
	}
	if err != nil {
		return store.Load{}, fmt.Errorf("read load %s: %w", id, err)
	}
	return load, nil
}

// numberKey reads a page token whose key is a number; 0 begins.
func numberKey(token string) (int64, error) {
	key, err := page.Key(token)
	if err != nil || key == "" {
		return 0, err
	}
	number, err := strconv.ParseInt(key, 10, 64)
	if err != nil || number <= 0 {
		return 0, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").
			At("page_token", "use next_page_token of the page before, or leave it empty")
	}
	return number, nil
}

// ListLoads returns loads, newest first.
func (s *Service) ListLoads(ctx context.Context, req *registerv1.ListLoadsRequest) (*registerv1.ListLoadsResponse, error) {
	before, err := numberKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	caller, _ := auth.From(ctx)
	var rows []store.Load
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Loads(ctx, q, store.LoadFilter{
			Kind: kindFromProto(req.GetKind()), Commissioners: caller.CommissionerScope(), Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListLoadsResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(l store.Load) string { return strconv.FormatInt(l.Position, 10) })
	for _, l := range rows {
		out.Loads = append(out.Loads, loadToProto(l))
	}
	return out, nil
}

// ListQuarantinedRows returns the bad values of a load that were set aside, or all those of a refused file by the report_id of
// the refusal.
func (s *Service) ListQuarantinedRows(
	ctx context.Context, req *registerv1.ListQuarantinedRowsRequest,
) (*registerv1.ListQuarantinedRowsResponse, error) {
	after, err := numberKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []store.BadRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		load, err := visibleLoad(ctx, q, req.GetLoadId())
		if err == nil {
			rows, err = store.QuarantinedRows(ctx, q, load.Position, after, size+1)
			return err
		}
		if fault.ReasonOf(err) != rules.ReasonLoadNotFound {
			return err
		}
		if readable, failed := mayReadReport(ctx, q, req.GetLoadId()); !readable {
			return cmp.Or(failed, err)
		}
		rows, err = store.RefusedRows(ctx, q, req.GetLoadId(), after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListQuarantinedRowsResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.BadRow) string { return strconv.FormatInt(r.Number, 10) })
	for _, r := range rows {
		out.Rows = append(out.Rows, badToProto(r.Bad))
	}
	return out, nil
}

// mayReadReport tells whether there is a report of a refused file by an identifier and the caller may see it: whoever sent the
// file, and who holds England.
func mayReadReport(ctx context.Context, q sqldb.Querier, id string) (bool, error) {
	caller, _ := auth.From(ctx)
	refusedTo, err := store.RefusedTo(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the report of a refused file: %w", err)
	}
	return caller.HoldsEngland() || refusedTo == caller.Subject, nil
}

// ListAuditEntries returns decisions recorded by the register, newest first: those recorded for one commissioner, or all that the
// caller may see.
func (s *Service) ListAuditEntries(
	ctx context.Context, req *registerv1.ListAuditEntriesRequest,
) (*registerv1.ListAuditEntriesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	caller, _ := auth.From(ctx)
	codes := caller.CommissionerScope()
	if code := req.GetCommissionerCode(); code != "" {
		codes = []string{code}
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: codes, Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListAuditEntriesResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(r audit.Row) string { return r.ID })
	for _, r := range rows {
		out.Entries = append(out.Entries, r.Proto())
	}
	return out, nil
}
