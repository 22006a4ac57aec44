// Command audit checks what the suite is made of. It is run from the root of the repository:
//
//	audit dependencies      every direct dependency has its row in docs/dependencies.md, and every row its dependency
//	audit licences          writes docs/licences.md, and fails on a licence that is not allowed
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("say what to check: dependencies or licences")
	}
	switch args[0] {
	case "dependencies":
		return checkDependencies(".")
	case "licences":
		return writeLicences("docs/licences.md")
	default:
		return fmt.Errorf("there is no check %q: dependencies or licences", args[0])
	}
}
