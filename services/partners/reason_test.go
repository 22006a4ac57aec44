package partners_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
)

// TestReasons_AreThoseOfTheContract holds the constants of rules and handlers and the enum of the contract equal.
func TestReasons_AreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	var inCode, inContract []string
	for _, name := range []string{"internal/rules/scope.go", "reason.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(strings.ToLower(spec.Names[0].Name), "reason") {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				inCode = append(inCode, value)
			}
			return true
		})
	}
	for number, name := range partnersv1.Reason_name {
		if number != 0 {
			inContract = append(inContract, name)
		}
	}
	require.ElementsMatch(t, inContract, inCode)
}
