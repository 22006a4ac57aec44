package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Snapshot is a picture as it was given out. Content is its encoded message.
type Snapshot struct {
	ID, Commissioner          string
	MembershipDate, Reference string
	KnownAt                   time.Time
	Content                   []byte
}

// HasSnapshot tells whether a picture was stored before.
func HasSnapshot(ctx context.Context, q sqldb.Querier, id string) (bool, error) {
	var count int64
	if err := q.QueryRow(ctx, `SELECT count(*) FROM snapshots WHERE snapshot_id = $1`, id).Scan(&count); err != nil {
		return false, fmt.Errorf("look for a snapshot: %w", err)
	}
	return count > 0, nil
}

// AddSnapshot stores a picture and tells whether it is new.
func AddSnapshot(ctx context.Context, tx *sqldb.Tx, s Snapshot) (bool, error) {
	result, err := tx.Exec(ctx, `INSERT INTO snapshots (snapshot_id, commissioner_code, membership_date, population_reference_date, known_at, content)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		s.ID, s.Commissioner, s.MembershipDate, s.Reference, sqldb.Micros(s.KnownAt), s.Content)
	if err != nil {
		return false, fmt.Errorf("store a snapshot: %w", err)
	}
	count, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("store a snapshot: %w", err)
	}
	return count == 1, nil
}

// SnapshotByID returns a stored picture; sql.ErrNoRows if there is none.
func SnapshotByID(ctx context.Context, q sqldb.Querier, id string) (Snapshot, error) {
	s := Snapshot{ID: id}
	var known int64
	err := q.QueryRow(ctx, `SELECT commissioner_code, membership_date, population_reference_date, known_at, content
		FROM snapshots WHERE snapshot_id = $1`, id).Scan(&s.Commissioner, &s.MembershipDate, &s.Reference, &known, &s.Content)
	s.KnownAt = sqldb.FromMicros(known)
	return s, err
}
