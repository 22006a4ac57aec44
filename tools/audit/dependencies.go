package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

const (
	// own is the path under which the modules of the suite lie.
	own = "github.com/pcnfunding/pcnfunding/"
	// table is the file that gives the reason of each dependency.
	table = "docs/dependencies.md"
)

// checkDependencies compares what the modules below a folder require directly, tools included, with the rows of the table.
func checkDependencies(root string) error {
	required, err := requirements(root)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, table)) //nolint:gosec // a file of the repository
	if err != nil {
		return fmt.Errorf("read the table of dependencies: %w", err)
	}
	return compare(required, rows(string(text)))
}

// requirements returns the modules that are required directly, and the packages of tools, with where they are named.
func requirements(root string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("find the modules: %w", err)
	}
	tools, err := filepath.Glob(filepath.Join(root, "tools", "*", "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("find the tools: %w", err)
	}
	out := make(map[string]string)
	for _, name := range append(files, tools...) {
		content, err := os.ReadFile(name) //nolint:gosec // a file of the repository
		if err != nil {
			return nil, fmt.Errorf("read a module: %w", err)
		}
		file, err := modfile.Parse(name, content, nil)
		if err != nil {
			return nil, fmt.Errorf("read a module: %w", err)
		}
		for _, r := range file.Require {
			if !r.Indirect && !strings.HasPrefix(r.Mod.Path+"/", own) {
				out[r.Mod.Path] = name
			}
		}
		for _, t := range file.Tool {
			out[t.Path] = name
		}
	}
	return out, nil
}

// rows returns what stands in the first column of the tables, one path or several with commas between.
func rows(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			if name = strings.TrimSpace(name); strings.Contains(name, ".") {
				out = append(out, name)
			}
		}
	}
	return out
}

// compare reports every dependency without a row, row without a dependency, and row that stands twice.
func compare(required map[string]string, listed []string) error {
	var problems []error
	for _, path := range slices.Sorted(maps.Keys(required)) {
		if !slices.Contains(listed, path) {
			problems = append(problems, fmt.Errorf("%s of %s has no row in %s: say what it is for and what else was looked at", path, required[path], table))
		}
	}
	for i, path := range listed {
		if _, ok := required[path]; !ok {
			problems = append(problems, fmt.Errorf("%s lists %s, which no module requires directly: drop the row", table, path))
		}
		if slices.Contains(listed[:i], path) {
			problems = append(problems, fmt.Errorf("%s lists %s twice", table, path))
		}
	}
	return errors.Join(problems...)
}
