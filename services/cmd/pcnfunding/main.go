// Command pcnfunding runs the PCN funding suite and drives it from the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	_ "time/tzdata" // a container has no zones of its own; the tag timetzdata would have all that uses time compiled once more

	"github.com/alecthomas/kong"
)

// version is set when a release is built.
var version = "development"

// commands is every subcommand; each has a Run method.
type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run one service, or all of them on embedded stores."`
	Demo      demoCommand      `cmd:"" help:"Load the sample data, close its months, print the summaries and exit."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the schema of one service, or of all, up to date. Safe to run twice."`
	Token     tokenCommand     `cmd:"" help:"Mint a token with the key of the local run."`
	Import    importCommand    `cmd:"" help:"Load a file of reference data into the register."`
	Month     monthCommand     `cmd:"" help:"Close a month, or show what it came to."`
	Run       runCommand       `cmd:"" help:"List payment runs, put one forward, approve it, export it."`
	Claim     claimCommand     `cmd:"" help:"List claims for staff, show, import, approve or reject them."`
	Devfund   devfundCommand   `cmd:"" help:"Allocations of the development fund, how they are shared, plans, returns and exceptions."`
	Iif       iifCommand       `cmd:"" help:"Import counts of the Investment and Impact Fund, work years of PCNs out, show, declare and approve them."`
	Register  registerCommand  `cmd:"" help:"List service requirements of PCNs and the planning calendar."`
	Activity  activityCommand  `cmd:"" help:"Import A&E attendances, build and publish the reports of PCNs, and tell who has got theirs."`
	Partner   partnerCommand   `cmd:"" help:"Systems of other organisations that follow events: grants, credentials, webhooks and what was delivered."`
	Rates     ratesCommand     `cmd:"" help:"List, add and confirm rates."`
	Check     checkCommand     `cmd:"" help:"Prove worked examples against the quotation calls."`
	Explain   explainCommand   `cmd:"" help:"Show how a line came about, from clause to penny."`
	Statement statementCommand `cmd:"" help:"Write the statement of a PCN for a month or a year."`
	Events    eventsCommand    `cmd:"" help:"Hold events of databases and streams against each other, and mend where they differ."`
	Backup    backupCommand    `cmd:"" help:"Back all databases up into a folder, while the suite runs."`
	Restore   restoreCommand   `cmd:"" help:"Restore a backup where there is nothing yet, and hold the result against it."`
	Nats      natsCommand      `cmd:"" help:"Keys, accounts and credentials of a NATS broker."`
	Audit     auditCommand     `cmd:"" help:"Verify the seals of the audit log."`
	Doctor    doctorCommand    `cmd:"" help:"Check configuration, databases, streams, keys, clocks and disk, and print what is wrong and how to mend it."`
	Issuer    issuerCommand    `cmd:"" help:"Publish the key of the local run to services of their own processes; for a laptop."`
	Ready     readyCommand     `cmd:"" help:"Tell whether a service on this machine is ready, for health checks of containers."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

func main() {
	var c commands
	parsed := kong.Parse(&c,
		kong.Name("pcnfunding"),
		kong.Description("Pays England's Primary Care Networks the right amount, every month, with a reason for every penny."),
		kong.UsageOnError(),
		kong.DefaultEnvars("PCN"),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
	)
	err := parsed.Run()
	if code, ok := errors.AsType[exitError](err); ok {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pcnfunding:", describe(err))
		os.Exit(1)
	}
}

type versionCommand struct{}

// Run prints the version and the Go release it was built with.
func (versionCommand) Run() error {
	release := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		release = info.GoVersion
	}
	_, err := fmt.Printf("pcnfunding %s (%s)\n", version, release)
	return err
}
