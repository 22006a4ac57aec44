package devfund

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// listRequest asks for a page of what commissioners account for.
type listRequest interface {
	GetCommissionerCode() string
	GetPageSize() int32
	GetPageToken() string
}

// listed reads the key of the last row seen, the rows wanted and the commissioners that a list is limited to.
func listed(ctx context.Context, req listRequest) (before string, size int, scope []string, err error) {
	if before, err = page.Key(req.GetPageToken()); err != nil {
		return "", 0, nil, err
	}
	scope, err = visible(ctx, req.GetCommissionerCode())
	return before, page.Size(req.GetPageSize(), defaultPage), scope, err
}

// listedYear reads the year that a list is limited to, as the database has it; an empty one is all.
func listedYear(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	year, err := parseYear("financial_year", text)
	if err != nil {
		return "", err
	}
	return year.String(), nil
}

// ListAuditEntries returns decisions recorded by devfund, newest first.
func (s *Service) ListAuditEntries(ctx context.Context, req *devfundv1.ListAuditEntriesRequest) (*devfundv1.ListAuditEntriesResponse, error) {
	before, size, scope, err := listed(ctx, req)
	if err != nil {
		return nil, err
	}
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: scope, Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListAuditEntriesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r audit.Row) string { return r.ID })
	for _, row := range rows {
		out.Entries = append(out.Entries, row.Proto())
	}
	return out, nil
}
