package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// keeping is a data folder with payments, in which something is posted, and its backup.
func keeping(t *testing.T) (at storage, backup string) {
	t.Helper()
	at = storage{DataDir: t.TempDir()}
	db, err := at.open(t.Context(), payments.Name)
	require.NoError(t, err)
	require.NoError(t, migrate(t.Context(), db, payments.Name))
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for _, q := range []string{
			`INSERT INTO entries VALUES ('p1', 1, '15N', 1, 'A', 1, 100, 'l1', '2025-04-30', 1), ('p1', 2, '15N', 1, 'A', 2, -100, 'l1', '2025-04-30', 1)`,
			`INSERT INTO postings VALUES ('p1', '15N', 1, '2025-04-30', 1, 'schedule/1', '', 'ann', 2)`,
		} {
			if _, err := tx.Exec(t.Context(), q); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	backup = filepath.Join(t.TempDir(), "backup")
	require.NoError(t, (&backupCommand{storage: at, Dir: backup}).Run(t.Context()))
	return at, backup
}

func TestBackup_TakesAFolderOfItsOwnAndSomethingToKeep(t *testing.T) {
	t.Parallel()
	at, backup := keeping(t)
	require.ErrorContains(t, (&backupCommand{storage: at, Dir: backup}).Run(t.Context()), "is not empty")
	require.ErrorContains(t, (&backupCommand{storage: storage{DataDir: t.TempDir()}, Dir: t.TempDir()}).Run(t.Context()), "there is no data")
	inCluster := storage{DatabaseURL: "postgres://pcn_{service}@db/pcnfunding"}
	require.ErrorContains(t, (&backupCommand{storage: inCluster, Dir: t.TempDir()}).Run(t.Context()), "takes one login")
}

func TestBackup_TellsWhatRestoreWouldRefuse(t *testing.T) {
	t.Parallel()
	at, _ := keeping(t)
	db, err := at.open(t.Context(), payments.Name)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "PRAGMA foreign_keys = OFF")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `INSERT INTO entries VALUES ('alone', 1, '15N', 1, 'A', 1, 5, 'l1', '2025-04-30', 1)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	damaged := filepath.Join(t.TempDir(), "backup")
	err = (&backupCommand{storage: at, Dir: damaged}).Run(t.Context())
	require.Equal(t, payments.ReasonLedgerBroken, fault.ReasonOf(err))
	require.ErrorContains(t, err, "the backup is whole")
	err = (&restoreCommand{storage: storage{DataDir: t.TempDir()}, Dir: damaged}).Run(t.Context())
	require.Equal(t, payments.ReasonLedgerBroken, fault.ReasonOf(err))
}

func TestRestore_RefusesWhatIsNotWholeOrWouldBeWrittenOver(t *testing.T) {
	t.Parallel()
	at, backup := keeping(t)
	restore := func(to storage) error { return (&restoreCommand{storage: to, Dir: backup}).Run(t.Context()) }
	elsewhere := storage{DataDir: t.TempDir()}
	require.ErrorContains(t, restore(at), "has data of payments")
	require.ErrorContains(t, restore(storage{DatabaseURL: "postgres://db/pcnfunding"}), "the backup is of sqlite")
	require.ErrorContains(t, (&restoreCommand{storage: elsewhere, Dir: backup, Service: core.Name}).Run(t.Context()), `nothing of "core"`)
	release, err := elsewhere.lock()
	require.NoError(t, err)
	require.ErrorContains(t, restore(elsewhere), "in use by another suite")
	require.NoError(t, release())

	rewrite := func(name string, change func(string) string) (undo func()) {
		path := filepath.Join(backup, name)
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(change(string(before))), 0o600))
		return func() { require.NoError(t, os.WriteFile(path, before, 0o600)) }
	}
	undo := rewrite("payments.db", func(text string) string { return text + "x" })
	require.ErrorContains(t, restore(elsewhere), "payments.db is not as it was written")
	undo()
	undo = rewrite(manifestFile, func(text string) string { return strings.Replace(text, `"format": 1`, `"format": 2`, 1) })
	require.ErrorContains(t, restore(elsewhere), "has format 2")
	undo()
	undo = rewrite(manifestFile, func(text string) string { return strings.Replace(text, "payments.db", "../payments.db", 1) })
	require.ErrorContains(t, restore(elsewhere), "does not know")
	undo()

	// SQLite would read the log of a database that was moved away into the one restored.
	stale := filepath.Join(elsewhere.DataDir, "payments.db-wal")
	require.NoError(t, os.WriteFile(stale, nil, 0o600))
	require.ErrorContains(t, restore(elsewhere), "move payments.db-wal away first")
	require.NoError(t, os.Remove(stale))

	require.NoError(t, restore(elsewhere))
	undo = rewrite(manifestFile, func(text string) string { return strings.Replace(text, `"rows": 2`, `"rows": 3`, 1) })
	require.ErrorContains(t, restore(storage{DataDir: t.TempDir()}), "table entries has 2 rows, and other content than the 3")
	undo()
	require.NoError(t, os.Remove(filepath.Join(backup, manifestFile)))
	require.ErrorContains(t, restore(storage{DataDir: t.TempDir()}), "without which a backup is not whole")
}

func TestVerifyLedger_FindsWhatCameAboutBehindTheDatabase(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]string{
		"amount": `UPDATE entries SET amount_pence = 101 WHERE number = 1`, "entry gone": `DELETE FROM entries WHERE number = 1`,
		"header gone": `DELETE FROM postings`, "entry added": `INSERT INTO entries VALUES ('p1', 3, '15N', 1, 'A', 1, 5, 'l1', '2025-04-30', 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testkit.SQLite(t, sqldb.Options{Clock: time.Now})
			require.NoError(t, db.Migrate(t.Context(), payments.Migrations()))
			postAndLog(t, db)
			verify := func() error {
				return db.Read(t.Context(), func(querier sqldb.Querier) error { return payments.VerifyLedger(t.Context(), querier) })
			}
			require.NoError(t, verify())
			triggers := `SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('entries', 'postings')`
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				names, err := sqldb.Collect(t.Context(), tx, sqldb.Text, triggers)
				require.NoError(t, err)
				for _, name := range names {
					if _, err := tx.Exec(t.Context(), "DROP TRIGGER "+name); err != nil {
						return err
					}
				}
				return nil
			}))
			_, err := db.Exec(t.Context(), "PRAGMA foreign_keys = OFF")
			require.NoError(t, err)
			_, err = db.Exec(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, payments.ReasonLedgerBroken, fault.ReasonOf(verify()))
		})
	}
}
