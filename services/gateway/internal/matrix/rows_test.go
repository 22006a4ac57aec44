package matrix

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
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
		db, err := sqldb.Open(t.Context(), "sqlite:"+file, sqldb.Options{Clock: time.Now})
		require.NoError(t, err)
		count(t, db, strings.TrimSuffix(filepath.Base(file), ".db"), out)
		require.NoError(t, db.Close())
	}
	return out
}

func count(t *testing.T, db *sqldb.DB, service string, out map[string]int64) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
		if err != nil {
			return err
		}
		var tables []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			tables = append(tables, name)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, name := range tables {
			if passing(service, name) {
				continue
			}
			var n int64
			if err := q.QueryRow(t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n); err != nil {
				return err
			}
			out[service+"."+name] = n
		}
		return nil
	}))
}
