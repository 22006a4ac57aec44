package register

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// GetLoad returns one load with its counts.
func (s *Service) GetLoad(ctx context.Context, req *registerv1.GetLoadRequest) (*registerv1.Load, error) {
	load, err := s.load(ctx, req.GetLoadId())
	if err != nil {
		return nil, err
	}
	return loadToProto(load), nil
}

func (s *Service) load(ctx context.Context, id string) (load store.Load, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		load, err = store.LoadByID(ctx, q, id)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return load, fault.New(fault.NotFound, rules.ReasonLoadNotFound, "there is no load %s", id).With("load_id", id)
	}
	if err != nil {
		return load, fmt.Errorf("read load %s: %w", id, err)
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
	var rows []store.Load
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Loads(ctx, q, kindFromProto(req.GetKind()), before, size+1)
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

// ListQuarantinedRows returns the bad values of a load that were set aside.
func (s *Service) ListQuarantinedRows(
	ctx context.Context, req *registerv1.ListQuarantinedRowsRequest,
) (*registerv1.ListQuarantinedRowsResponse, error) {
	after, err := numberKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	load, err := s.load(ctx, req.GetLoadId())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []store.QuarantinedRow
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.QuarantinedRows(ctx, q, load.Position, after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListQuarantinedRowsResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.QuarantinedRow) string { return strconv.FormatInt(r.Number, 10) })
	for _, r := range rows {
		out.Rows = append(out.Rows, badToProto(r.Bad))
	}
	return out, nil
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
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: codes, Before: before, Limit: min(size+1, maxList)})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListAuditEntriesResponse{}
	// A page of the greatest size cannot be read with one row more, so a full one is followed by a token.
	if len(rows) > size || len(rows) == maxList {
		rows = rows[:min(size, len(rows))]
		out.NextPageToken = page.Token(rows[len(rows)-1].ID)
	}
	for _, r := range rows {
		out.Entries = append(out.Entries, auditToProto(r))
	}
	return out, nil
}

func auditToProto(r audit.Row) *typev1.AuditEntry {
	return &typev1.AuditEntry{
		EntryId: r.ID, At: timestamppb.New(r.At), Actor: r.Actor, Roles: r.Roles, Method: r.Method, Resource: r.Resource,
		CommissionerCode: r.CommissionerCode, Summary: r.Summary,
	}
}
