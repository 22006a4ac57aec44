package matrix

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/pcnfunding/pcnfunding/pkg/sqldb" // registers the driver
)

// passing tells the tables that change without a caller's doing, or by a read that is allowed.
func passing(service, table string) bool {
	switch table {
	case "snapshots": // the register keeps what it has once worked out, for the next who asks
		return true
	case "audit_seal": // entries are sealed each minute
		return true
	case "outbox", "outbox_sequence", "reminders": // what the register reminds of falls due by the clock
		return service == "register"
	case "inbox_seen", "inbox_sequence": // partners takes in what every other service says, when it comes
		return service == "partners"
	default:
		return false
	}
}

// rows counts the rows of every table of the suite. Each change writes its audit entry, its stored answer and its events in one
// transaction, so that a count tells of an update too.
func (s *suite) rows(t *testing.T) map[string]int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.data, "*.db"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out := make(map[string]int64)
	for _, file := range files {
		// Not by sqldb, which checks a store whole before it opens it.
		db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
		require.NoError(t, err)
		count(t, db, strings.TrimSuffix(filepath.Base(file), ".db"), out)
		require.NoError(t, db.Close())
	}
	return out
}

func count(t *testing.T, db *sql.DB, service string, out map[string]int64) {
	t.Helper()
	var tables string
	require.NoError(t, db.QueryRowContext(t.Context(),
		`SELECT group_concat(name) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).Scan(&tables))
	for name := range strings.SplitSeq(tables, ",") {
		if passing(service, name) {
			continue
		}
		var n int64
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n))
		out[service+"."+name] = n
	}
}
