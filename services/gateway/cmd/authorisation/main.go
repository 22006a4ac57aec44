// Command authorisation writes docs/authorisation.md from the contracts, and fails on a call without an access rule. It is run from the root
// of the repository.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

func main() {
	out := flag.String("out", "docs/authorisation.md", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "authorisation:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	document, err := table(gateway.Packages(), auth.Rules())
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, document, 0o644); err != nil { //nolint:gosec // a document that everyone may read
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
