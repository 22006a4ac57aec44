package register_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// TestReasons_AreThoseOfTheContract holds the constants of the rules and the enum of the contract equal.
func TestReasons_AreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "internal/rules/reason.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var inRules, inContract []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			inRules = append(inRules, value)
		}
		return true
	})
	for number, name := range registerv1.Reason_name {
		if number != 0 {
			inContract = append(inContract, name)
		}
	}
	require.ElementsMatch(t, inContract, inRules)
}
