package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/template"

	"github.com/jackc/pgx/v5"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// appRole is the role of a service where none is named.
const appRole = "pcn_" + serviceMark

// grant gives the role of a service what it needs.
func (m *migrateCommand) grant(ctx context.Context, db *sqldb.DB, service string) error {
	role := ofService(m.AppRole, service)
	if role == "" {
		role = ofService(appRole, service)
		if there, err := db.HasRole(ctx, role); err != nil || !there {
			return err
		}
	} else if db.Dialect() != sqldb.Postgres {
		return errors.New("--app-role goes with --database-url: embedded files have no roles")
	}
	if err := db.Grant(ctx, role, migrations(service)); err != nil {
		return err
	}
	fmt.Printf("%s may do what %s needs\n", role, service)
	return nil
}

// rolesSQL makes roles without passwords, and schemas. It can be run again. The limits are those of sqldb, so that they hold for whoever
// else logs in as a service too.
var rolesSQL = template.Must(template.New("roles").Funcs(template.FuncMap{"name": func(s string) string { return pgx.Identifier{s}.Sanitize() }}).Parse(
	`-- For an administrator, with psql. Set passwords with \password afterwards, or use certificates.
{{define "role"}}SELECT 'CREATE ROLE {{name .}}' WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{{.}}') \gexec
ALTER ROLE {{name .}} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
{{end}}REVOKE ALL ON DATABASE {{name .Database}} FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
{{template "role" .Owner}}GRANT CONNECT, CREATE ON DATABASE {{name .Database}} TO {{name .Owner}};
{{range .Services}}
{{template "role" .Role}}ALTER ROLE {{name .Role}} SET statement_timeout = '4s';
ALTER ROLE {{name .Role}} SET lock_timeout = '2s';
ALTER ROLE {{name .Role}} SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE {{name .Role}} CONNECTION LIMIT {{$.Connections}};
GRANT CONNECT ON DATABASE {{name $.Database}} TO {{name .Role}};
CREATE SCHEMA IF NOT EXISTS {{name .Schema}} AUTHORIZATION {{name $.Owner}};
ALTER SCHEMA {{name .Schema}} OWNER TO {{name $.Owner}};
{{end}}`))

// roleConnections bounds the connections of a service, those of all its processes together.
const roleConnections = 100

// printRoles writes the SQL that makes the roles and schemas of services.
func (m *migrateCommand) printRoles(out io.Writer, services []string) error {
	type role struct{ Role, Schema string }
	data := struct {
		Database, Owner string
		Connections     int
		Services        []role
	}{Database: "pcnfunding", Owner: m.Owner, Connections: roleConnections}
	if m.DatabaseURL != "" {
		config, err := pgx.ParseConfig(ofService(m.DatabaseURL, ""))
		if err != nil {
			return fmt.Errorf("read the address of the database: %w", err)
		}
		data.Database = config.Database
	}
	for _, name := range services {
		if name == gatewayName {
			continue
		}
		r := role{Role: ofService(m.AppRole, name), Schema: name}
		if r.Role == "" {
			r.Role = ofService(appRole, name)
		}
		data.Services = append(data.Services, r)
	}
	if err := rolesSQL.Execute(out, data); err != nil {
		return fmt.Errorf("print the roles: %w", err)
	}
	return nil
}
