// Command arguments asks a program whether it knows the arguments that rendered manifests give it: it runs the program once for each
// container, with those arguments and --help, which ends it before it does anything.
//
//	arguments PROGRAM <MANIFESTS
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"slices"

	"sigs.k8s.io/yaml"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: arguments PROGRAM <MANIFESTS")
	}
	if err := run(os.Args[1], os.Stdin); err != nil {
		log.Fatal(err)
	}
}

func run(program string, manifests io.Reader) error {
	text, err := io.ReadAll(manifests)
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	var failures []error
	checked := 0
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var object any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return fmt.Errorf("decode a manifest: %w", err)
		}
		for _, c := range containers(object) {
			checked++
			args := append(slices.Clone(c.args), "--help")
			if said, err := exec.Command(program, args...).CombinedOutput(); err != nil { //nolint:gosec // the caller names the program
				failures = append(failures, fmt.Errorf("%s: %w: %s", c.name, err, lastLine(said)))
			}
		}
	}
	if checked == 0 {
		failures = append(failures, errors.New("the manifests have no container with arguments"))
	}
	return errors.Join(failures...)
}

type container struct {
	name string
	args []string
}

// containers finds the containers with arguments in a manifest of any kind.
func containers(value any) []container {
	var out []container
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			out = append(out, containers(item)...)
		}
	case map[string]any:
		if args, ok := v["args"].([]any); ok {
			c := container{name: fmt.Sprint(v["name"])}
			for _, arg := range args {
				c.args = append(c.args, fmt.Sprint(arg))
			}
			out = append(out, c)
		}
		for _, item := range v {
			out = append(out, containers(item)...)
		}
	}
	return out
}

func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}
