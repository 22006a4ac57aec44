package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

type demoCommand struct {
	DataDir string `help:"Folder of the embedded stores; without one, a folder that is thrown away." type:"path"`
}

// Run does what serve all --sample does, and exits.
func (d *demoCommand) Run(ctx context.Context) (err error) {
	dir := d.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pcnfunding-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", quiet: true}
	command.DataDir = dir
	process, err := command.assemble(ctx)
	if err != nil {
		return err
	}
	stop := process.start(ctx)
	err = process.sampleMonths(ctx)
	if err == nil {
		err = process.sampleClaims(ctx)
	}
	if err == nil {
		err = process.sampleAchievement(ctx)
	}
	if err == nil {
		err = process.sampleDevelopment(ctx)
	}
	if err == nil {
		err = process.sampleAttendances(ctx)
	}
	return errors.Join(err, stop())
}

// start runs the parts in the background and returns what stops them.
func (p *process) start(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.group.Run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, p.shutdown(context.WithoutCancel(ctx)))
	}
}

// showSample loads the sample, closes its months, prints what they came to and where to look.
func (p *process) showSample(ctx context.Context) error {
	if err := p.sampleMonths(ctx); err != nil {
		return err
	}
	if p.command.Claims {
		if err := p.sampleClaims(ctx); err != nil {
			return err
		}
	}
	if p.command.Achievement {
		if err := p.sampleAchievement(ctx); err != nil {
			return err
		}
	}
	if p.command.Development {
		if err := p.sampleDevelopment(ctx); err != nil {
			return err
		}
	}
	if p.command.Attendances {
		if err := p.sampleAttendances(ctx); err != nil {
			return err
		}
	}
	p.greet()
	return nil
}

// sampleMonths loads the sample data and closes its months over gRPC, as a stranger would. What was done before stays.
func (p *process) sampleMonths(ctx context.Context) error {
	reach := p.reach()
	began := time.Now()
	err := reach.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		return loadSample(ctx, suite.register)
	})
	if err != nil {
		return err
	}
	err = reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		for _, month := range sample.Months() {
			codes, err := commissioners(ctx, suite.register, month)
			if err != nil {
				return err
			}
			requestID := func(commissioner string) string { return "sample-" + month + "-" + commissioner }
			closed, err := closeMonth(ctx, "core", month, codes, closeCore(suite.core, month, requestID))
			if err != nil {
				return err
			}
			if err := awaitSchedules(ctx, suite.payments, month, closed.schedules); err != nil {
				return err
			}
		}
		for _, month := range sample.Months() {
			summary, err := suite.core.GetMonthSummary(ctx, &corev1.GetMonthSummaryRequest{Month: month})
			if err != nil {
				return err
			}
			if err := printSummary(os.Stdout, summary); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = payOneRun(ctx, reach, os.Stdout)
	}
	fmt.Printf("\nloaded, closed, paid and added up in %s\n", time.Since(began).Round(time.Millisecond))
	return err
}

func loadSample(ctx context.Context, register registerv1.RegisterServiceClient) error {
	files := sample.Files()
	tell := newProgress("loading the sample", len(files))
	for _, file := range files {
		content, err := file.Read()
		if err != nil {
			return err
		}
		_, err = upload(ctx, register, bytes.NewReader(content), &registerv1.ImportHeader{
			RequestId: "sample-" + file.Name, ExpectedKind: file.Kind, BadRows: registerv1.BadRows_STORE_NOTHING,
			Source: file.Source, FileName: file.Name, ExtractDate: file.ExtractDate,
		})
		if err != nil {
			return fmt.Errorf("load %s: %w", file.Name, err)
		}
		tell.step()
	}
	return nil
}

// upload streams a file to the register.
func upload(ctx context.Context, register registerv1.RegisterServiceClient, file io.Reader, header *registerv1.ImportHeader) (*registerv1.ImportResponse, error) {
	stream, err := register.Import(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: header}})
	if err == nil {
		err = inPieces(file, func(piece []byte) error {
			return stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: piece}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv() // it tells the cause where the server ended the upload early
}

// inPieces hands over a file piece by piece.
func inPieces(file io.Reader, send func(piece []byte) error) error {
	buffer := make([]byte, 512<<10)
	for {
		n, err := io.ReadFull(file, buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// greet says where the suite can be reached.
func (p *process) greet() {
	fmt.Printf(`
REST       %[1]s/v1      reference page %[1]s/docs/
gRPC       %[2]s            events %[3]s
health     %[1]s/readyz  metrics %[1]s/metrics

A token, one PCN's lines with their working, its statement, its year of the Investment and Impact Fund, and its A&E attendances:
  TOKEN=$(bin/pcnfunding token --role auditor --data-dir %[4]s)
  curl -s -H "Authorization: Bearer $TOKEN" %[1]s/v1/core/pcns/U89141/months/2022-04
  curl -s -H "Authorization: Bearer $TOKEN" -o statement.pdf %[1]s/v1/payments/pcns/U89141/statements/2022-04/statement.pdf
  curl -s -H "Authorization: Bearer $TOKEN" %[1]s/v1/iif/pcns/U89141/years/2023-24
  curl -s -H "Authorization: Bearer $TOKEN" %[1]s/v1/activity/pcns/U89141/months/2020-11/report

Stop with Ctrl-C.
`, p.address(), p.grpcAddr, p.eventsURL(), p.command.DataDir)
}
