package apidoc

import (
	"bufio"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

var (
	scopeLine = regexp.MustCompile(`^(?:message|enum|service|rpc|oneof|extend)\s+([\w.]+)`)
	kindLine  = regexp.MustCompile(`^(message|enum|service|rpc|oneof|extend)\b`)
	fieldLine = regexp.MustCompile(`^(?:optional\s+|repeated\s+)?(?:map<[^>]+>|[\w.]+)\s+(\w+)\s*=\s*[0-9]+`)
	valueLine = regexp.MustCompile(`^(\w+)\s*=\s*-?[0-9]+`)
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// readComments returns the comment in front of each message, field, enum value, service and call, by full name. The generated
// Go code carries none. It reads the plain layout that `buf format` enforces: one declaration a line, comments of two slashes.
func readComments(protos fs.FS) (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(protos, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".proto") {
			return nil
		}
		file, err := protos.Open(path)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer func() { _ = file.Close() }() // read only
		s := scanner{out: out}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			s.line(strings.TrimSpace(lines.Text()))
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read contracts: %w", err)
	}
	return out, nil
}

// scope is one open brace; a name is empty where the brace adds none, as that of an option or a oneof.
type scope struct{ kind, name string }

type scanner struct {
	out     map[string]string
	pkg     string
	pending []string
	scopes  []scope
}

func (s *scanner) line(text string) {
	if comment, ok := strings.CutPrefix(text, "//"); ok {
		s.pending = append(s.pending, strings.TrimSpace(comment))
		return
	}
	if name, ok := strings.CutPrefix(text, "package "); ok {
		s.pkg = strings.TrimSuffix(name, ";")
	}
	opened := scope{}
	if m := scopeLine.FindStringSubmatch(text); m != nil {
		opened.kind = kindLine.FindString(text)
		if opened.kind != "extend" {
			s.note(m[1])
		}
		if opened.kind != "oneof" && opened.kind != "extend" {
			opened.name = m[1]
		}
	} else if name := s.leaf(text); name != "" {
		s.note(name)
	}
	s.pending = nil
	s.braces(quoted.ReplaceAllString(text, ""), opened)
}

// leaf returns the name of the field or enum value that a line declares.
func (s *scanner) leaf(text string) string {
	if len(s.scopes) == 0 {
		return ""
	}
	pattern := fieldLine
	switch s.scopes[len(s.scopes)-1].kind {
	case "enum":
		pattern = valueLine
	case "message", "oneof":
	default:
		return ""
	}
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func (s *scanner) braces(text string, opened scope) {
	for _, r := range text {
		switch r {
		case '{':
			s.scopes = append(s.scopes, opened)
			opened = scope{}
		case '}':
			if len(s.scopes) > 0 {
				s.scopes = s.scopes[:len(s.scopes)-1]
			}
		}
	}
}

// note keeps the comment gathered so far for a name inside the open scopes.
func (s *scanner) note(name string) {
	if len(s.pending) == 0 {
		return
	}
	full := []string{s.pkg}
	for _, open := range s.scopes {
		if open.name != "" {
			full = append(full, open.name)
		}
	}
	s.out[strings.Join(append(full, name), ".")] = strings.Join(s.pending, " ")
}

// sentence returns the first sentence of a comment without its full stop.
func sentence(comment string) string {
	for i := range len(comment) {
		if comment[i] != '.' && comment[i] != ':' {
			continue
		}
		if i+1 == len(comment) || comment[i+1] == ' ' {
			return comment[:i]
		}
	}
	return comment
}

// without takes the name of a thing off the front of its comment and starts with a capital.
func without(name, comment string) string {
	rest, ok := strings.CutPrefix(comment, name+" ")
	if !ok || rest == "" {
		return comment
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}
