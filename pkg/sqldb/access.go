package sqldb

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// accessFile stands beside the migrations of a set and says what the service may do with each of its tables.
const accessFile = "access.csv"

// Access says what a service may do with one of its tables. It may always read it and add rows.
type Access struct {
	Table string
	// Update names the columns that the service changes; "*" stands for all. None means that a row stays as it was added.
	Update []string
	// Delete tells whether the service deletes rows.
	Delete bool
}

// AppendOnly tells whether rows are only ever added.
func (a Access) AppendOnly() bool { return len(a.Update) == 0 && !a.Delete }

// Tables returns what a service may do with each of its tables, those of the mechanisms among them, in order of name: what the files
// access.csv beside the migrations say, with the columns table, update (column names with spaces between, or *) and delete (yes or
// nothing).
func Tables(serviceMigrations fs.FS) ([]Access, error) {
	var list []Access
	for _, set := range []fs.FS{mechanismMigrations(), serviceMigrations} {
		if set == nil {
			continue
		}
		tables, err := readAccess(set)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", accessFile, err)
		}
		list = append(list, tables...)
	}
	slices.SortFunc(list, func(a, b Access) int { return strings.Compare(a.Table, b.Table) })
	return list, nil
}

func readAccess(set fs.FS) (list []Access, err error) {
	file, err := set.Open(accessFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], []string{"table", "update", "delete"}) {
		return nil, errors.New("its columns are not table, update, delete")
	}
	for _, row := range rows[1:] {
		a := Access{Table: row[0], Update: strings.Fields(row[1]), Delete: row[2] == "yes"}
		names := append([]string{a.Table}, a.Update...)
		if slices.Equal(a.Update, []string{"*"}) {
			names = names[:1]
		}
		for _, name := range names {
			if !isIdentifier(name) {
				return nil, fmt.Errorf("table %s: %q is not a plain lower-case identifier", a.Table, name)
			}
		}
		list = append(list, a)
	}
	return list, nil
}

// Grant gives a Postgres role what the service needs on its schema, and takes away what else the role had there: it may use the schema,
// read its tables, add to them, and change or delete what access.csv says. Whoever logs in must own the schema. The role must be there,
// and be one that the rules of the database bind: no superuser, and none that owns tables here. Granting twice does no harm.
func (db *DB) Grant(ctx context.Context, role string, serviceMigrations fs.FS) error {
	if db.dialect != Postgres {
		return errors.New("grant: SQLite has no roles")
	}
	pool, done, err := db.migrationPool(ctx)
	if err == nil {
		defer done()
		err = db.grantWith(ctx, pool, role, serviceMigrations)
	}
	if err != nil {
		return fmt.Errorf("grant %s what it needs on schema %s: %w", role, db.schema, explain(err))
	}
	return nil
}

// HasRole tells whether there is a role of this name. SQLite has none.
func (db *DB) HasRole(ctx context.Context, role string) (there bool, err error) {
	if db.dialect != Postgres {
		return false, nil
	}
	err = db.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)`, role).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for role %s: %w", role, explain(err))
	}
	return there, nil
}

func (db *DB) grantWith(ctx context.Context, pool *sql.DB, role string, serviceMigrations fs.FS) (err error) {
	tables, err := Tables(serviceMigrations)
	if err != nil {
		return err
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := checkBound(ctx, tx, role, db.schema); err != nil {
		return err
	}
	there, err := tablesOf(ctx, tx, db.schema)
	if err != nil {
		return err
	}
	if err := sameTables(there, tables); err != nil {
		return err
	}
	for _, statement := range grants(db.schema, role, tables, slices.Contains(there, serviceVersions)) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return tx.Commit()
}

// checkBound refuses a role that grants would not confine.
func checkBound(ctx context.Context, tx *sql.Tx, role, schema string) error {
	var unbound, owns bool
	const q = `SELECT rolsuper OR rolbypassrls, EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace($2)
			AND pg_has_role(pg_roles.oid, relowner, 'MEMBER'))
		FROM pg_roles WHERE rolname = $1`
	err := tx.QueryRowContext(ctx, q, role, schema).Scan(&unbound, &owns)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errors.New("there is no such role; migrate --print-roles prints what makes it")
	case err != nil:
		return err
	case unbound:
		return errors.New("it is a superuser or passes row security by, so nothing would confine it; take another role")
	case owns:
		return errors.New("it owns tables of the schema, or is a member of the role that does, so nothing would confine it; take another role")
	}
	return nil
}

// tablesOf returns the tables of a schema.
func tablesOf(ctx context.Context, tx *sql.Tx, schema string) (names []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')`, schema)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// sameTables refuses a table without a decision, and a decision without a table.
func sameTables(there []string, decided []Access) error {
	var errs []error
	known := map[string]bool{mechanismVersions: true, serviceVersions: true}
	for _, a := range decided {
		known[a.Table] = true
		if !slices.Contains(there, a.Table) {
			errs = append(errs, fmt.Errorf("%s names table %s, which is not there: migrate first", accessFile, a.Table))
		}
	}
	for _, name := range there {
		if !known[name] {
			errs = append(errs, fmt.Errorf("%s does not say what may be done with table %s", accessFile, name))
		}
	}
	return errors.Join(errs...)
}

// grants returns the statements that give a role what it needs, and no more.
func grants(schema, role string, tables []Access, service bool) []string {
	in, to := pgx.Identifier{schema}.Sanitize(), pgx.Identifier{role}.Sanitize()
	list := []string{
		"REVOKE ALL ON SCHEMA " + in + " FROM PUBLIC, " + to,
		"REVOKE ALL ON ALL TABLES IN SCHEMA " + in + " FROM PUBLIC, " + to,
		"REVOKE ALL ON ALL SEQUENCES IN SCHEMA " + in + " FROM PUBLIC, " + to,
		"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA " + in + " FROM PUBLIC, " + to,
		"GRANT USAGE ON SCHEMA " + in + " TO " + to,
		"GRANT EXECUTE ON FUNCTION " + in + ".analyze_table(text) TO " + to,
	}
	give := func(right string, names []string) {
		if len(names) > 0 {
			list = append(list, "GRANT "+right+" ON "+strings.Join(names, ", ")+" TO "+to)
		}
	}
	var all, change, remove []string
	for _, a := range tables {
		name := in + "." + a.Table
		all = append(all, name)
		if a.Delete {
			remove = append(remove, name)
		}
		switch {
		case slices.Equal(a.Update, []string{"*"}):
			change = append(change, name)
		case len(a.Update) > 0:
			give("UPDATE ("+strings.Join(a.Update, ", ")+")", []string{name})
		}
	}
	give("SELECT, INSERT", all)
	give("UPDATE", change)
	give("DELETE", remove)
	versions := []string{in + "." + mechanismVersions}
	if service {
		versions = append(versions, in+"."+serviceVersions)
	}
	give("SELECT", versions)
	return list
}
