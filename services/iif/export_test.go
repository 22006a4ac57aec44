package iif

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// CalculateFrom has closes take years from a test in place of working them out from counts and figures.
func CalculateFrom(s *Service, year func(pcn string, year period.FinancialYear, figures int64) *rules.Year) {
	s.calculate = func(_ context.Context, _ sqldb.Querier, all []basis) ([]worked, error) {
		out := make([]worked, len(all))
		for i := range all {
			out[i] = worked{basis: all[i], result: year(all[i].pcn, all[i].year, all[i].figures)}
		}
		return out, nil
	}
}

// DigestOf shows tests by what results are told apart.
func DigestOf(y *rules.Year) string { return digestOf(&worked{terms: new(rules.Terms), result: y}) }
