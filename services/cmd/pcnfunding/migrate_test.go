package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// migrateVariable has this test program run as pcnfunding migrate payments on the address that it holds.
const migrateVariable = "PCN_TEST_MIGRATE"

func TestMain(m *testing.M) {
	if address := os.Getenv(migrateVariable); address != "" {
		os.Exit(migrateOnly(address, os.Getenv(migrateVariable+"_SCHEMA")))
	}
	os.Exit(m.Run())
}

func migrateOnly(address, schema string) int {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, address, sqldb.Options{Schema: schema, Clock: time.Now, AllowUnsafe: true})
	if err == nil {
		err = migrate(ctx, db, payments.Name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// migration is a process that migrates a database.
func migration(t *testing.T, address, schema string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), migrateVariable+"="+address, migrateVariable+"_SCHEMA="+schema)
	return cmd
}

// place is a database without tables.
type place struct {
	address string
	db      *sqldb.DB
}

func places(t *testing.T) map[string]func(t *testing.T) place {
	t.Helper()
	return map[string]func(t *testing.T) place{
		"sqlite": func(t *testing.T) place {
			t.Helper()
			address := testkit.SQLiteURL(t)
			db, err := sqldb.Open(t.Context(), address, sqldb.Options{Clock: time.Now})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			return place{address, db}
		},
		"postgres": func(t *testing.T) place {
			t.Helper()
			return place{os.Getenv(testkit.PostgresVariable), testkit.PostgresOwned(t, sqldb.Options{})}
		},
	}
}

// digest is the schema of a place.
func (p place) digest(t *testing.T) string {
	t.Helper()
	sum, err := p.db.SchemaDigest(t.Context())
	require.NoError(t, err)
	return sum
}

// migrationKills is how many processes are killed in a migration of each store.
const migrationKills = 4

// TestMigrate_SurvivesKills kills processes at random while they migrate, and holds that the next comes to the schema of one that
// nobody disturbed.
func TestMigrate_SurvivesKills(t *testing.T) {
	t.Parallel()
	for name, open := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			undisturbed := open(t)
			began := time.Now()
			require.NoError(t, migration(t, undisturbed.address, undisturbed.db.Schema()).Run())
			whole := time.Since(began)
			want := undisturbed.digest(t)

			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d, a migration takes %s", seed, whole)
			chance := rand.New(rand.NewPCG(seed, 0))
			p := open(t)
			for range migrationKills {
				cmd := migration(t, p.address, p.db.Schema())
				require.NoError(t, cmd.Start())
				timer := time.AfterFunc(time.Duration(chance.Int64N(int64(whole))), func() { _ = cmd.Process.Kill() })
				_ = cmd.Wait()
				timer.Stop()
			}
			out, err := migration(t, p.address, p.db.Schema()).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, want, p.digest(t))
		})
	}
}

// TestMigrate_TwoProcessesAtOnce holds that neither fails, and that both together come to the same schema.
func TestMigrate_TwoProcessesAtOnce(t *testing.T) {
	t.Parallel()
	for name, open := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, alone := open(t), open(t)
			require.NoError(t, alone.db.Migrate(t.Context(), payments.Migrations()))
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					out, err := migration(t, p.address, p.db.Schema()).CombinedOutput()
					assert.NoError(t, err, string(out))
				})
			}
			both.Wait()
			require.Equal(t, alone.digest(t), p.digest(t))
		})
	}
}

// released is the last migration of each set that a release has, or the first release will have; later ones have to leave what its code
// uses.
var released = map[string]string{
	"mechanism": "00007", "register": "00006", "core": "00004", "arrs": "00004", "iif": "00002", "devfund": "00002", "activity": "00002",
	"payments": "00008", "partners": "00001",
}

// contracts marks a migration that takes something away, with the release since which no code uses it.
var contracts = regexp.MustCompile(`(?m)^-- contract: unused since \S+`)

// takesAway is what breaks code of the release before: it may still read what is dropped or renamed, write rows without what is now
// required, or meet a check that it does not know.
var takesAway = map[string]*regexp.Regexp{
	"drops something":                                        regexp.MustCompile(`(?i)\bDROP\s+(TABLE|COLUMN|INDEX|CONSTRAINT|DEFAULT|FUNCTION|TRIGGER|POLICY|SCHEMA|VIEW|SEQUENCE)\b|\bDROP\s+[a-z_]+\s*[,;]`),
	"renames something":                                      regexp.MustCompile(`(?i)\bRENAME\s+(TO|COLUMN|CONSTRAINT)\b|\bRENAME\s+[a-z_]+\s+TO\b`),
	"changes the type of a column":                           regexp.MustCompile(`(?i)\bALTER\s+(COLUMN\s+)?[a-z_]+\s+(SET\s+DATA\s+)?TYPE\b`),
	"requires a value that old code leaves":                  regexp.MustCompile(`(?i)\bSET\s+NOT\s+NULL\b`),
	"adds a rule that old rows may break":                    regexp.MustCompile(`(?i)\bALTER\s+TABLE\s+[^;]*\bADD\s+(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)\b`),
	"changes what is stored":                                 regexp.MustCompile(`(?im)^\s*(DELETE\s+FROM|TRUNCATE)\b`),
	"binds old code by row security, under which COPY fails": regexp.MustCompile(`(?i)\b(ENABLE|FORCE)\s+ROW\s+LEVEL\s+SECURITY\b`),
	"takes rights away, which access.csv does":               regexp.MustCompile(`(?i)\bREVOKE\b`),
}

// addsRequired finds a column added to a table that old code inserts into.
var addsRequired = regexp.MustCompile(`(?i)\bADD\s+(COLUMN\s+)?[a-z_]+\s[^,;]*\bNOT\s+NULL\b[^,;]*`)

// breaks returns why code of the release before may not run on a schema after a migration; nothing if it may.
func breaks(text string) (why []string) {
	if contracts.MatchString(text) {
		return nil
	}
	plain := regexp.MustCompile(`--[^\n]*`).ReplaceAllString(text, "")
	for what, pattern := range takesAway {
		if pattern.MatchString(plain) {
			why = append(why, what)
		}
	}
	for _, column := range addsRequired.FindAllString(plain, -1) {
		if !strings.Contains(strings.ToUpper(column), "DEFAULT") {
			why = append(why, "adds a column that old code does not fill: "+column)
		}
	}
	return why
}

// TestMigrations_OnlyAddToWhatWasReleased holds that code of the release before goes on while, and after, the new schema comes.
func TestMigrations_OnlyAddToWhatWasReleased(t *testing.T) {
	t.Parallel()
	sets := map[string]fs.FS{"mechanism": os.DirFS(filepath.Join("..", "..", "..", "pkg", "sqldb", "migrations"))}
	for _, name := range serviceNames {
		sets[name] = migrations(name)
	}
	for set, files := range sets {
		names, err := fs.Glob(files, "*.sql")
		require.NoError(t, err)
		require.NotEmpty(t, names, set)
		for _, name := range names {
			if name[:5] <= released[set] {
				continue
			}
			text, err := fs.ReadFile(files, name)
			require.NoError(t, err)
			assert.Empty(t, breaks(string(text)), "%s of %s; see docs/operations/database.md", name, set)
		}
	}
}

func TestBreaks_FindsWhatOldCodeCannotBear(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"DROP TABLE lines;", "ALTER TABLE lines DROP COLUMN basis;", "ALTER TABLE lines DROP basis;", "alter table lines rename column a to b;",
		"ALTER TABLE lines RENAME TO rows;", "ALTER TABLE lines ALTER COLUMN a TYPE BIGINT;", "ALTER TABLE lines ALTER a SET DATA TYPE TEXT;",
		"ALTER TABLE lines ALTER COLUMN a SET NOT NULL;", "ALTER TABLE lines ADD COLUMN a TEXT NOT NULL;", "ALTER TABLE lines ADD a TEXT NOT NULL;",
		"ALTER TABLE lines ADD CONSTRAINT c CHECK (a > 0);", "DELETE FROM lines;", "DROP INDEX lines_by_pcn;", "REVOKE ALL ON lines FROM PUBLIC;",
		"ALTER TABLE lines ENABLE ROW LEVEL SECURITY;",
		"-- a comment\nDROP TRIGGER t ON lines;",
	} {
		assert.NotEmpty(t, breaks(text), text)
	}
	for _, text := range []string{
		"CREATE TABLE more (id TEXT NOT NULL PRIMARY KEY, a BIGINT NOT NULL CHECK (a > 0));", "ALTER TABLE lines ADD COLUMN a TEXT;",
		"ALTER TABLE lines ADD COLUMN a BIGINT NOT NULL DEFAULT 0;", "CREATE INDEX lines_by_a ON lines (a);", "-- DROP TABLE lines",
		"-- contract: unused since v1.4.0\nALTER TABLE lines DROP COLUMN basis;",
	} {
		assert.Empty(t, breaks(text), text)
	}
}
