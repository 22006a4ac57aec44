package audit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// ReasonBroken is the reason of the fault that Verify returns: an entry or a seal is not as it was written.
const ReasonBroken = "AUDIT_SEAL_BROKEN"

// sealBatch bounds the entries under one seal, and so the length of the transaction that notes it.
const sealBatch = 500

// Seal seals every entry that is not yet sealed and returns how many those were. Two processes may call it at once.
func Seal(ctx context.Context, db *sqldb.DB) (int, error) {
	commissioners, err := unsealedCommissioners(ctx, db)
	if err != nil {
		return 0, fmt.Errorf("seal the audit log: %w", err)
	}
	total := 0
	for _, commissioner := range commissioners {
		for {
			n, err := sealBatchOf(ctx, db, commissioner)
			if err != nil {
				return total, fmt.Errorf("seal the audit log of %s: %w", commissioner, err)
			}
			total += n
			if n < sealBatch {
				break
			}
		}
	}
	return total, nil
}

// UnsealedAge returns how long the oldest entry without a seal has waited for one, 0 if none waits.
func UnsealedAge(ctx context.Context, db *sqldb.DB) (age time.Duration, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		var oldest sql.NullInt64
		// Few entries are without a seal, and only those are in the index that this reads.
		err := q.QueryRow(ctx, `SELECT MIN(at) FROM audit WHERE seal IS NULL`).Scan(&oldest)
		if oldest.Valid {
			age = max(0, db.Now().Sub(sqldb.FromMicros(oldest.Int64)))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("age of the oldest audit entry without a seal: %w", err)
	}
	return age, nil
}

func unsealedCommissioners(ctx context.Context, db *sqldb.DB) (codes []string, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		codes, err = texts(ctx, q, `SELECT DISTINCT commissioner FROM audit WHERE seal IS NULL ORDER BY commissioner`)
		return err
	})
	return codes, err
}

// texts returns the one column of a query.
func texts(ctx context.Context, q sqldb.Querier, text string) (list []string, err error) {
	rows, err := q.Query(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// sealBatchOf puts one seal on a commissioner's oldest unsealed entries. They are read outside the transaction that writes the
// seal, so that no writer of new entries can get into its way: entries do not change, and if another process seals them first,
// the database refuses ours.
func sealBatchOf(ctx context.Context, db *sqldb.DB, commissioner string) (int, error) {
	var entries []Row
	var last int64
	var hash []byte
	err := db.Read(ctx, func(q sqldb.Querier) (err error) {
		const newest = `SELECT seal, hash FROM audit_seal WHERE commissioner = $1 ORDER BY seal DESC LIMIT 1`
		if err := q.QueryRow(ctx, newest, commissioner).Scan(&last, &hash); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		entries, err = query(ctx, q, `WHERE commissioner = $1 AND seal IS NULL ORDER BY id LIMIT $2`, commissioner, sealBatch)
		return err
	})
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		const insert = `INSERT INTO audit_seal (commissioner, seal, at, entries, hash) VALUES ($1, $2, $3, $4, $5)`
		sum := chain(hash, entries)
		_, err := tx.Exec(ctx, insert, commissioner, last+1, sqldb.Micros(tx.Now()), len(entries), sum)
		if err != nil {
			return err
		}
		args := []any{last + 1}
		for _, e := range entries {
			args = append(args, e.ID)
		}
		_, err = tx.Exec(ctx, `UPDATE audit SET seal = $1 WHERE id IN (`+sqldb.Placeholders(2, len(entries))+`)`, args...)
		return err
	})
	if sqldb.IsUnique(err) {
		return 0, nil // another process was first, and goes on with the rest
	}
	return len(entries), err
}

// chain hashes the previous seal and the entries under this one. Every text is preceded by its length, so that no two logs
// look the same to the hash.
func chain(previous []byte, entries []Row) []byte {
	h := sha256.New()
	h.Write(previous)
	for _, e := range entries {
		var at [8]byte
		binary.BigEndian.PutUint64(at[:], uint64(sqldb.Micros(e.At))) //nolint:gosec // only the bits matter
		h.Write(at[:])
		for _, s := range []string{e.ID, e.Actor, strings.Join(e.Roles, ","), e.Method, e.Resource, e.CommissionerCode, e.Summary} {
			var size [8]byte
			binary.BigEndian.PutUint64(size[:], uint64(len(s)))
			h.Write(size[:])
			h.Write([]byte(s))
		}
	}
	return h.Sum(nil)
}

// Verify recomputes every seal from the entries. What is not as it was sealed gives a Refused fault that names the
// commissioner and the seal.
func Verify(ctx context.Context, q sqldb.Querier) error {
	commissioners, err := texts(ctx, q, `SELECT commissioner FROM audit_seal
		UNION SELECT commissioner FROM audit WHERE seal IS NOT NULL ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	for _, commissioner := range commissioners {
		if err := verifyCommissioner(ctx, q, commissioner); err != nil {
			return fmt.Errorf("verify the audit log of %s: %w", commissioner, err)
		}
	}
	return nil
}

func verifyCommissioner(ctx context.Context, q sqldb.Querier, commissioner string) error {
	var seals int64
	const last = `SELECT max(n) FROM (SELECT max(seal) AS n FROM audit_seal WHERE commissioner = $1
		UNION ALL SELECT max(seal) FROM audit WHERE commissioner = $1) AS both_tables`
	if err := q.QueryRow(ctx, last, commissioner).Scan(&seals); err != nil {
		return err
	}
	var previous []byte
	for seal := int64(1); seal <= seals; seal++ {
		broken := fault.New(fault.Refused, ReasonBroken, "seal %d of %s does not fit its entries", seal, commissioner).
			With("commissioner", commissioner).With("seal", seal)
		var hash []byte
		var count int
		const one = `SELECT entries, hash FROM audit_seal WHERE commissioner = $1 AND seal = $2`
		if err := q.QueryRow(ctx, one, commissioner, seal).Scan(&count, &hash); errors.Is(err, sql.ErrNoRows) {
			return broken
		} else if err != nil {
			return err
		}
		entries, err := query(ctx, q, `WHERE commissioner = $1 AND seal = $2 ORDER BY id`, commissioner, seal)
		if err != nil {
			return err
		}
		if len(entries) != count || subtle.ConstantTimeCompare(chain(previous, entries), hash) != 1 {
			return broken
		}
		previous = hash
	}
	return nil
}
