package devfund

import (
	"cmp"
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// GetAllocationTree returns an allocation with everything that came out of it: to each caller what its commissioners account for, and
// what came straight out of that.
func (s *Service) GetAllocationTree(ctx context.Context, req *devfundv1.GetAllocationTreeRequest) (*devfundv1.GetAllocationTreeResponse, error) {
	out := new(devfundv1.GetAllocationTreeResponse)
	err := s.readAsHeir(ctx, func(ctx context.Context) error {
		return s.db.Read(ctx, func(q sqldb.Querier) error {
			root, err := s.allocationOf(ctx, q, req.GetAllocationId())
			if err != nil {
				return err
			}
			rows, err := store.Under(ctx, q, root.ID)
			if err != nil {
				return err
			}
			if out.Nodes, err = nodes(ctx, q, &root, rows); err != nil {
				return err
			}
			above, err := store.Above(ctx, q, &root)
			if err != nil {
				return err
			}
			by := caller(ctx)
			above = slices.DeleteFunc(above, func(r store.AllocationRow) bool { return !seesAllocation(by, &r) })
			out.Above, err = shownAll(ctx, q, above)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// node is an allocation in its place.
type node struct {
	row   *store.AllocationRow
	depth int32
}

// nodes writes a tree depth first, what came out of one allocation by level, holder and purpose.
func nodes(ctx context.Context, q sqldb.Querier, root *store.AllocationRow, rows []store.AllocationRow) ([]*devfundv1.AllocationNode, error) {
	flat := seenBelow(caller(ctx), root, rows)
	shownRows, ids := make([]store.AllocationRow, len(flat)), make([]string, len(flat))
	for i, n := range flat {
		shownRows[i], ids[i] = *n.row, n.row.ID
	}
	allocations, err := shownAll(ctx, q, shownRows)
	if err != nil {
		return nil, err
	}
	sums, err := store.SumsOfLines(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	words := make(map[string]string)
	out := make([]*devfundv1.AllocationNode, len(flat))
	for i, n := range flat {
		id := n.row.DecisionID
		if _, known := words[id]; !known && id != "" {
			decision, err := store.Decision(ctx, q, id)
			if err != nil {
				return nil, err
			}
			words[id] = decision.Decision.GetOutcome().GetMethodWords()
		}
		of := sums[n.row.ID]
		out[i] = &devfundv1.AllocationNode{
			Allocation: allocations[i], Depth: n.depth, Method: words[id],
			PlannedLinesPence: int64(of.Planned), ScheduledPence: int64(of.Scheduled), SpentPence: int64(of.Spent),
		}
	}
	return out, nil
}

// seenBelow lays a tree out depth first, without what the caller may not see.
func seenBelow(by auth.Principal, root *store.AllocationRow, rows []store.AllocationRow) []node {
	children := make(map[string][]*store.AllocationRow)
	for i := range rows {
		children[rows[i].ParentID] = append(children[rows[i].ParentID], &rows[i])
	}
	var out []node
	var walk func(r *store.AllocationRow, depth int32, gives bool)
	walk = func(r *store.AllocationRow, depth int32, gave bool) {
		if gave || depth == 0 || seesAllocation(by, r) {
			out = append(out, node{r, depth})
		}
		below := children[r.ID]
		slices.SortFunc(below, func(a, b *store.AllocationRow) int {
			return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.HolderCode, b.HolderCode), cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Year, b.Year))
		})
		for _, child := range below {
			walk(child, depth+1, by.HoldsCommissioner(r.CommissionerCode))
		}
	}
	walk(root, 0, false)
	return out
}
