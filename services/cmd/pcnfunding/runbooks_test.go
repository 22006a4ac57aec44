package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// TestRunbooks_NameWhatThereIs holds commands, their flags and paths in the runbooks against what the suite has.
func TestRunbooks_NameWhatThereIs(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{}, kong.Name("pcnfunding"))
	require.NoError(t, err)
	pages, err := filepath.Glob("../../../docs/runbooks/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	command := regexp.MustCompile("(?m)(?:^|`)pcnfunding ([a-z]+(?: [a-z]+)*)([^`\n]*(?:\n  [^`\n]*)?)")
	path := regexp.MustCompile(`/v1/[a-zA-Z0-9_{}/:-]+`)
	for _, page := range pages {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, found := range command.FindAllStringSubmatch(string(content), -1) {
			node := parser.Model.Node
			for word := range strings.FieldsSeq(found[1]) {
				for _, child := range node.Children {
					if child.Name == word {
						node = child
						break
					}
				}
			}
			require.Equal(t, kong.CommandNode, node.Type, "%s: %s", page, found[0])
			require.True(t, node.Leaf(), "%s: %s", page, found[0])
			for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(found[2], -1) {
				require.True(t, hasFlag(node, flag[1]), "%s: %s", page, found[0])
			}
		}
		for _, found := range path.FindAllString(string(content), -1) {
			require.True(t, isServed(found), "%s: %s", page, found)
		}
	}
}

func hasFlag(node *kong.Node, name string) bool {
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if flag.Name == name {
				return true
			}
		}
	}
	return false
}

// isServed tells whether the API reference has a path, whatever stands for its variables.
func isServed(path string) bool {
	variable := regexp.MustCompile(`\{[a-z_]+\}|\b[A-Z]+\b`)
	want := variable.ReplaceAllString(path, "*")
	for _, found := range regexp.MustCompile(`"(/v1/[^"]+)"`).FindAllStringSubmatch(string(gateway.OpenAPI()), -1) {
		if variable.ReplaceAllString(found[1], "*") == want {
			return true
		}
	}
	return false
}
