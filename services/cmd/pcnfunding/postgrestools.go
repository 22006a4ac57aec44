package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// debianTools is where Debian keeps each version's programs, apart from PATH.
const debianTools = "/usr/lib/postgresql/*/bin"

// postgresTool finds a program that comes with Postgres: the newest where Debian keeps them, or by PATH.
func postgresTool(name string) (string, error) {
	places, err := filepath.Glob(filepath.Join(debianTools, name))
	if err == nil && len(places) > 0 {
		slices.Sort(places)
		return places[len(places)-1], nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not on this machine: install the client programs of Postgres, of the server's version or later: %w", name, err)
	}
	return found, nil
}

// postgresCommand makes a command that connects to address, whose password goes by the environment: all users of a machine see the
// arguments of a program.
func postgresCommand(run func(name string, args ...string) *exec.Cmd, tool, address string, args ...string) (*exec.Cmd, error) {
	path, err := postgresTool(tool)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("read the address of the database: it is not a URL")
	}
	password, secret := u.User.Password()
	u.User = url.User(u.User.Username())
	cmd := run(path, append(args, "--dbname", u.String())...)
	cmd.Env = os.Environ()
	if secret {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	}
	return cmd, nil
}

// runTool runs a program of Postgres, and tells what it said if it fails.
func runTool(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(out)))
	}
	return nil
}
