package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// SchemeUpTo returns the scheme up to a position, 0 for all, with the position of the last row of it.
func (s *Service) SchemeUpTo(ctx context.Context, upTo int64) (out *rules.Scheme, position int64, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		out, position, err = s.SchemeIn(ctx, q, upTo)
		return err
	})
	return out, position, err
}

// SchemeIn does so within a transaction.
func (s *Service) SchemeIn(ctx context.Context, q sqldb.Querier, upTo int64) (*rules.Scheme, int64, error) {
	return s.scheme(ctx, q, upTo)
}
