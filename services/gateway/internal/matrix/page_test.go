package matrix

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// mostOnAPage is the largest page of a list, and longer those of which a page is larger.
const mostOnAPage = 1000

var longer = map[string]int32{"activity.GetReport": 10_000} // the rows of one report

// TestPageSize_IsBoundedOnEveryList asks every list for more than a page may hold.
func TestPageSize_IsBoundedOnEveryList(t *testing.T) {
	t.Parallel()
	all, err := calls(gateway.Packages())
	require.NoError(t, err)
	lists := 0
	for _, c := range all {
		field := c.input.Fields().ByName("page_size")
		if field == nil {
			continue
		}
		lists++
		token, err := running.token(c.rule.Roles[0], []string{auth.England}, ownPCNs)
		require.NoError(t, err)
		for _, size := range []int32{-1, max(mostOnAPage, longer[c.name]) + 1} {
			req, err := c.request(vocabulary(), false)
			require.NoError(t, err)
			req.ProtoReflect().Set(field, protoreflect.ValueOfInt32(size))
			_, err = c.overGRPC(t.Context(), running.conn, token, req)
			f, ok := rpc.FaultOf(err)
			require.True(t, ok, "%s takes a page of %d: %v", c.name, size, err)
			require.Equal(t, rpc.ReasonRequestInvalid, f.Reason, c.name)
			require.True(t, slices.ContainsFunc(f.Violations, func(v fault.Violation) bool { return v.Field == "page_size" }), c.name)
		}
	}
	require.Greater(t, lists, 50)
}
