// Package proof holds documents to the tests that they name.
package proof

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

var (
	named   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	defined = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
	threat  = regexp.MustCompile(`(?m)^\| (T\d+) \|.*\|([^|]+)\|$`)
)

func TestDocuments_NameTestsThatExist(t *testing.T) {
	t.Parallel()
	tests := tests(t)
	for _, name := range []string{"docs/security.md", "docs/limits.md"} {
		found := named.FindAllStringSubmatch(read(t, name), -1)
		require.NotEmpty(t, found, name)
		for _, proof := range found {
			require.True(t, tests[proof[1]], "%s names %s, which is in no test file", name, proof[1])
		}
	}
}

func TestThreats_HaveEachAProof(t *testing.T) {
	t.Parallel()
	rows := threat.FindAllStringSubmatch(read(t, "docs/security.md"), -1)
	require.Greater(t, len(rows), 25)
	for _, row := range rows {
		require.Regexp(t, "`(Test|Fuzz|\\.ci/)", row[2], row[1])
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(content)
}

// tests are the tests of the whole tree.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for _, top := range []string{"pkg", "services", "tools"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, name := range defined.FindAllSubmatch(content, -1) {
				out[string(bytes.Clone(name[1]))] = true
			}
			return err
		}))
	}
	return out
}
