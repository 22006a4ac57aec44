package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is what is handed to users, and so what the licences of its parts bind.
const program = "./services/cmd/pcnfunding"

// allowed are the licences under which parts may be handed on within the program, by their SPDX names: all ask for their notice, and the
// Mozilla one for the source of its own files.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "OFL-1.1"}

// marks are phrases by which a licence is known. The first that has all of its phrases counts.
var marks = []struct {
	name    string
	phrases []string
}{
	{"AGPL", []string{"affero general public license"}},
	{"LGPL", []string{"gnu lesser general public license version"}},
	{"GPL", []string{"gnu general public license version"}},
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}},
	{"OFL-1.1", []string{"sil open font license version 1.1"}},
	{"MIT", []string{"permission is hereby granted, free of charge"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "endorse or promote products"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
}

// licensed is a module that is linked into the program, with its licence.
type licensed struct{ path, version, licence, file string }

// writeLicences lists the licences of what is linked into the program, and refuses one that is not known or not allowed.
func writeLicences(out string) error {
	modules, err := linked()
	if err != nil {
		return err
	}
	var problems []error
	var text strings.Builder
	text.WriteString(licencesHeading)
	for _, m := range modules {
		if !slices.Contains(allowed, m.licence) {
			problems = append(problems, fmt.Errorf("%s %s has the licence %q, which is not in the list of those that are allowed", m.path, m.version, m.licence))
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", m.path, m.version, m.licence, m.file)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if err := os.WriteFile(out, []byte(text.String()), 0o644); err != nil { //nolint:gosec // a document that everyone may read
		return fmt.Errorf("write the list of licences: %w", err)
	}
	return nil
}

const licencesHeading = `# Licences

What is linked into ` + "`pcnfunding`" + `, written by ` + "`make audit`" + `. A module under a licence outside the list in
` + "`tools/audit/licences.go`" + ` fails it.

| Module | Version | Licence | Notice |
|---|---|---|---|
`

// linked returns the modules whose packages are linked into the program, in order of path.
func linked() ([]licensed, error) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", program) //nolint:noctx // it ends
	list.Stderr = os.Stderr
	content, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list what is linked: %w", err)
	}
	var out []licensed
	seen := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 || seen[fields[0]] || strings.HasPrefix(fields[0]+"/", own) {
			continue
		}
		seen[fields[0]] = true
		licence, file, err := licenceOf(fields[2])
		if err != nil {
			return nil, fmt.Errorf("licence of %s: %w", fields[0], err)
		}
		out = append(out, licensed{fields[0], fields[1], licence, file})
	}
	slices.SortFunc(out, func(a, b licensed) int { return strings.Compare(a.path, b.path) })
	return out, lines.Err()
}

// licenceOf reads the licence of a module off its file; it is empty if there is none that is known.
func licenceOf(dir string) (licence, file string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", "", err
	}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name())) //nolint:gosec // a file of the module cache
		if err != nil {
			return "", "", err
		}
		if licence = known(string(content)); licence != "" {
			return licence, entry.Name(), nil
		}
	}
	return "", "", nil
}

// known returns the licence that a text is, or an empty string.
func known(text string) string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, mark := range marks {
		if !slices.ContainsFunc(mark.phrases, func(phrase string) bool { return !strings.Contains(text, phrase) }) {
			return mark.name
		}
	}
	return ""
}
