package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// Places are a column with a blank between: codes have none.
var successionTable = table{
	"successions",
	[]string{"predecessor_code", "successor_code", "effective_date", "location_codes"},
	func(r *files.Row) [][]any {
		s := r.Succession
		if s == nil {
			return nil
		}
		return [][]any{{s.Predecessor, s.Successor, s.Day.String(), strings.Join(s.Locations, " ")}}
	},
}

// SuccessionFacts are what tells who takes over from a commissioner.
type SuccessionFacts struct {
	Loads         map[int64]rules.Load
	Recorded      []rules.Succession // in order of load
	Places        []rules.Place
	Commissioners []rules.Commissioner
}

// ReadSuccession reads what a set of loads says of the successors of a commissioner. The loads are all those up to a number, as
// LoadsUpTo returns them.
func ReadSuccession(ctx context.Context, q sqldb.Querier, loads []rules.Load, commissioner string) (SuccessionFacts, error) {
	r, byPosition := newFactReader(ctx, q, loads)
	out := SuccessionFacts{Loads: byPosition, Places: r.places(byPosition), Commissioners: r.commissioners()}
	out.Recorded = gather(r, func(row scanner, s *rules.Succession) error {
		var day, locations string
		err := row.Scan(&s.Load, &s.Predecessor, &s.Successor, &day, &locations)
		s.Day, s.Locations = r.day(day), strings.Fields(locations)
		return err
	}, `SELECT load_position, predecessor_code, successor_code, effective_date, location_codes
		FROM successions WHERE predecessor_code = $1 AND load_position <= $2 ORDER BY load_position`, commissioner, r.last)
	if r.err != nil {
		return SuccessionFacts{}, fmt.Errorf("read the successions: %w", r.err)
	}
	return out, nil
}
