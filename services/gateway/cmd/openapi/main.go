// Command openapi writes services/gateway/openapi/openapi.json from the contracts. It is run from the root of the repository.
package main

import (
	"flag"
	"fmt"
	"os"

	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1" // the contracts the document describes
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/apidoc"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

// version of the API as the contracts' packages state it; additions do not change it.
const version = "1.0.0"

func main() {
	protos := flag.String("proto", "proto", "folder of the contracts")
	out := flag.String("out", "services/gateway/openapi/openapi.json", "file to write")
	flag.Parse()
	if err := run(*protos, *out); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(protos, out string) error {
	routes, err := route.All(
		"pcnfunding.arrs.v1",
		"pcnfunding.core.v1",
		"pcnfunding.devfund.v1",
		"pcnfunding.activity.v1",
		"pcnfunding.iif.v1",
		"pcnfunding.partners.v1",
		"pcnfunding.payments.v1",
		"pcnfunding.register.v1",
	)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	document, err := apidoc.Build(apidoc.Input{Routes: routes, Protos: os.DirFS(protos), Version: version})
	if err != nil {
		return fmt.Errorf("build document: %w", err)
	}
	if err := os.WriteFile(out, document, 0o644); err != nil { //nolint:gosec // a document that everyone may read
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}
