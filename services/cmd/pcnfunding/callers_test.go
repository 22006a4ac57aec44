package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// TestCallers_AreThoseWhoCall reads in the source which service calls which method of another, and holds it against the callers that
// the contracts name. The client of another service is a field or variable by
// that service's name.
func TestCallers_AreThoseWhoCall(t *testing.T) {
	t.Parallel()
	called := make(map[string]map[string]bool) // method → callers
	for _, caller := range services(t) {
		for _, method := range callsTo(t, "register", filepath.Join("..", "..", caller)) {
			full := "/" + registerv1.RegisterService_ServiceDesc.ServiceName + "/" + method
			if called[full] == nil {
				called[full] = make(map[string]bool)
			}
			called[full][caller] = true
		}
	}
	require.True(t, called[registerv1.RegisterService_GetSnapshot_FullMethodName]["core"], "the source is where it is looked for")
	for _, rule := range auth.Rules() {
		for caller := range called[rule.Method] {
			require.True(t, rule.AllowsCaller(caller), "%s calls %s: add it to the callers in the contract", caller, rule.Method)
		}
		for _, caller := range services(t) {
			if rule.AllowsCaller(caller) {
				require.True(t, called[rule.Method][caller], "%s no longer calls %s: take it off the callers in the contract", caller, rule.Method)
			}
		}
	}
}

// services are those that the contracts know as callers and whose source is here.
func services(t *testing.T) []string {
	t.Helper()
	var names []string
	for number := range optionsv1.Caller_name {
		name := auth.CallerName(optionsv1.Caller(number))
		if _, err := os.Stat(filepath.Join("..", "..", name)); err == nil {
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names)
	return names
}

// callsTo lists the methods that the source in a folder calls on the client of a service.
func callsTo(t *testing.T, service, folder string) []string {
	t.Helper()
	var methods []string
	require.NoError(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if method, ok := call.Fun.(*ast.SelectorExpr); ok && strings.EqualFold(lastName(method.X), service) {
				methods = append(methods, method.Sel.Name)
			}
			return true
		})
		return nil
	}))
	return methods
}

// lastName is the name of a variable, or of a field by whatever way.
func lastName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	default:
		return ""
	}
}
