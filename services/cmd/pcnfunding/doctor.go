package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// checkLimit bounds one group of checks, so that what hangs shows as that.
const checkLimit = 20 * time.Second

// verdict is what a check came to.
type verdict string

const (
	fine       verdict = "ok"
	doubtful   verdict = "warn"
	broken     verdict = "fail"
	unverified verdict = "not verified" // it could not be looked at, which is no sign of trouble
)

// finding is one line of the doctor.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	// Mend is what to do, mostly a command; empty where all is well.
	Mend string `json:"mend,omitempty"`
}

// exitError ends the process with a code and says nothing more.
type exitError int

// Error implements error.
func (c exitError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

type doctorCommand struct {
	// The flags and the environment of serve: what is examined is what would be served.
	serveCommand `embed:""`
	JSON         bool `name:"json" help:"Print the findings as JSON."`
}

// Validate leaves what is wrong with the flags to a line of its own.
func (d *doctorCommand) Validate() error { return nil }

// Run examines a service, or the whole suite, and prints a line for each check. The exit code is that of the worst line: 0 for ok and
// not verified, 1 for warn, 2 for fail.
func (d *doctorCommand) Run(ctx context.Context, parsed *kong.Context) error {
	e := &examination{command: d, flags: flagValues(parsed)}
	e.run(ctx)
	if err := e.print(os.Stdout, d.JSON); err != nil {
		return err
	}
	return e.outcome()
}

// flagValues returns the value that a flag of the command has, by its name; empty if there is no such flag.
func flagValues(parsed *kong.Context) func(name string) string {
	return func(name string) string {
		for _, flag := range parsed.Flags() {
			if flag.Name == name {
				return fmt.Sprint(flag.Target.Interface())
			}
		}
		return ""
	}
}

// examination is one run of the doctor.
type examination struct {
	command  *doctorCommand
	flags    func(name string) string
	services []string // those with a database
	stores   map[string]*sqldb.DB
	running  bool // another process has the data folder
	findings []finding
	closing  []func()
}

// run makes every check. None changes anything but what opening a store changes, and each goes on without those before it.
func (e *examination) run(ctx context.Context) {
	e.stores = make(map[string]*sqldb.DB)
	defer func() {
		for i := len(e.closing) - 1; i >= 0; i-- {
			e.closing[i]()
		}
	}()
	for _, check := range []func(context.Context){
		e.configuration, e.folder, e.databases, e.issuer, e.keys, e.webhookKey, e.certificate, e.broker,
	} {
		limited, cancel := context.WithTimeout(ctx, checkLimit)
		check(limited)
		cancel()
	}
}

// note adds a line. A check without anything to mend gives an empty mend.
func (e *examination) note(check string, v verdict, mend, format string, args ...any) {
	if v == fine || v == unverified {
		mend = ""
	}
	e.findings = append(e.findings, finding{Check: check, Verdict: v, Detail: fmt.Sprintf(format, args...), Mend: mend})
}

// configuration holds the flags to the rules of serve.
func (e *examination) configuration(context.Context) {
	names, err := chosen(e.command.Service)
	if err == nil {
		err = e.command.serveCommand.Validate()
	}
	for _, name := range names {
		if name != gatewayName {
			e.services = append(e.services, name)
		}
	}
	if err != nil {
		e.note("configuration", broken, "pcnfunding serve --help", "%v", err)
		return
	}
	e.note("configuration", fine, "", "serve %s", e.command.Service)
}

// outcome is the exit code of the worst line.
func (e *examination) outcome() error {
	worst := exitError(0)
	for _, f := range e.findings {
		switch f.Verdict {
		case broken:
			worst = 2
		case doubtful:
			worst = max(worst, 1)
		case fine, unverified:
		}
	}
	if worst == 0 {
		return nil
	}
	return worst
}

func (e *examination) print(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e.findings)
	}
	var text strings.Builder
	for _, f := range e.findings {
		fmt.Fprintf(&text, "%-12s  %-26s  %s\n", f.Verdict, f.Check, f.Detail)
		if f.Mend != "" {
			fmt.Fprintf(&text, "%-12s  %-26s  → %s\n", "", "", f.Mend)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}
