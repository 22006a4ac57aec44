package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

type importCommand struct {
	client      `embed:""`
	Files       []string `arg:"" help:"CSV files, plain or gzip." type:"existingfile"`
	Kind        string   `help:"Kind the files must be of, such as PRACTICE_MAPPING; without one their headers decide."`
	Quarantine  bool     `help:"Store the good rows and set the bad ones aside, where the kind allows it; without it a file with bad rows stores nothing."`
	Source      string   `help:"Where the files come from." default:"file"`
	ExtractDate string   `help:"Day the figures speak for, YYYY-MM-DD, where a file does not say."`
	AppliedFrom string   `help:"First month in which the national payment system uses the figures, YYYY-MM."`
}

// Run loads each file and says what was stored.
func (c *importCommand) Run(ctx context.Context) error {
	kind, known := registerv1.FileKind_value[strings.ToUpper(c.Kind)]
	if c.Kind != "" && !known {
		return fmt.Errorf("there is no kind of file %q", c.Kind)
	}
	header := &registerv1.ImportHeader{
		ExpectedKind: registerv1.FileKind(kind), BadRows: registerv1.BadRows_STORE_NOTHING, Source: c.Source,
		ExtractDate: c.ExtractDate, AppliedFromMonth: c.AppliedFrom,
	}
	if c.Quarantine {
		header.BadRows = registerv1.BadRows_QUARANTINE
	}
	return c.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		for _, path := range c.Files {
			header.RequestId, header.FileName = newRequestID(), filepath.Base(path)
			if err := importOne(ctx, suite.register, path, header); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
}

func importOne(ctx context.Context, register registerv1.RegisterServiceClient, path string, header *registerv1.ImportHeader) (err error) {
	file, err := os.Open(path) //nolint:gosec // the file is the one the operator names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	answer, err := upload(ctx, register, file, header)
	if err != nil {
		return err
	}
	load, state := answer.GetLoad(), "stored"
	if answer.GetAlreadyLoaded() {
		state = "loaded before, nothing changed"
	}
	fmt.Printf("%s: %s, %s of %s: %d rows, %d stored, %d set aside, load %s\n", filepath.Base(path), state, load.GetKind(),
		load.GetExtractDate(), load.GetRowsRead(), load.GetRowsStored(), load.GetRowsQuarantined(), load.GetLoadId())
	for _, reason := range slices.Sorted(maps.Keys(load.GetRowsPassedOver())) {
		fmt.Printf("  %d passed over: %s\n", load.GetRowsPassedOver()[reason], reason)
	}
	for _, warning := range load.GetWarnings() {
		fmt.Printf("  look at: %s\n", warning)
	}
	for _, row := range answer.GetBadRows() {
		fmt.Printf("  line %d, column %s, value %q: %s (%s)\n", row.GetLine(), row.GetColumn(), row.GetValue(), row.GetDetail(), row.GetReason())
	}
	return nil
}
