package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"google.golang.org/grpc"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/internal/check"
)

type checkCommand struct {
	access `embed:""`

	File    string `arg:"" help:"CSV with the columns id, method, request, expected, source; - for standard input."`
	Address string `help:"gRPC address of a running suite; without one the quotations run in this process." placeholder:"127.0.0.1:9090"`
	Token   string `help:"Bearer token for a running suite; without one the issuer gives it to --oidc-client-id, or else the local key mints it." env:"PCN_TOKEN"`
	DataDir string `help:"Folder of the local key." default:"var" type:"path"`
}

// Run prints each difference and a summary; it fails if there is any.
func (c *checkCommand) Run(ctx context.Context) (err error) {
	file := os.Stdin
	if c.File != "-" {
		if file, err = os.Open(c.File); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	conn, done, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	result, err := check.Run(ctx, file, func(string) grpc.ClientConnInterface { return conn }, os.Stdout)
	if err != nil {
		return err
	}
	if result.Failed > 0 {
		return fmt.Errorf("%d of %d cases differ", result.Failed, result.Failed+result.Passed)
	}
	return nil
}

func (c *checkCommand) connect(ctx context.Context) (grpc.ClientConnInterface, func() error, error) {
	if c.Address == "" {
		return inProcess(ctx)
	}
	reach := client{access: c.access, Address: c.Address, Token: c.Token, DataDir: c.DataDir}
	dialler, err := reach.dialler(localPrincipal(optionsv1.Role_ROLE_AUDITOR))
	if err != nil {
		return nil, nil, err
	}
	conn, err := dialler.dial(reach.Address, serviceNames...)
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.Close, nil
}

// inProcess starts a suite on a folder that is thrown away, reached from this process only.
func inProcess(ctx context.Context) (grpc.ClientConnInterface, func() error, error) {
	dir, err := os.MkdirTemp("", "pcnfunding-check-")
	if err != nil {
		return nil, nil, err
	}
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", quiet: true}
	command.DataDir = dir
	process, err := command.assemble(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := process.start(ctx)
	reach := process.reach()
	dialler, err := reach.dialler(localPrincipal(optionsv1.Role_ROLE_AUDITOR))
	if err != nil {
		return nil, nil, errors.Join(err, stop(), os.RemoveAll(dir))
	}
	conn, err := dialler.dial(reach.Address, serviceNames...)
	if err != nil {
		return nil, nil, errors.Join(err, stop(), os.RemoveAll(dir))
	}
	return conn, func() error { return errors.Join(conn.Close(), stop(), os.RemoveAll(dir)) }, nil
}
