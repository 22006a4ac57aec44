package idempotency_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// BenchmarkRequest compares a mutating request with everything that surrounds it (request id, audit entry, event) with a plain
// transaction of four statements, from 16 clients.
func BenchmarkRequest(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		request(b, func(ctx context.Context, db *sqldb.DB, n int64) error {
			return db.Write(ctx, func(tx *sqldb.Tx) error {
				for i := range 4 {
					id := fmt.Sprintf("%d-%d", n, i)
					if _, err := tx.Exec(ctx, `INSERT INTO effect (id, request) VALUES ($1, $2)`, id, "x"); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
	b.Run("full", func(b *testing.B) {
		request(b, func(ctx context.Context, db *sqldb.DB, n int64) error {
			req := change(fmt.Sprintf(`{"request_id": "%d", "reason": "bench"}`, n))
			_, _, err := idempotency.Do(ctx, db, caller, req, func(ctx context.Context, tx *sqldb.Tx) (*wrapperspb.StringValue, error) {
				resp, err := effect(fmt.Sprint(n))(ctx, tx)
				if err != nil {
					return nil, err
				}
				if err := audit.Add(ctx, tx, audit.Entry{Actor: "ann", Method: caller.Method, Resource: resp.GetValue()}); err != nil {
					return nil, err
				}
				_, err = outbox.Add(ctx, tx, outbox.Event{Aggregate: resp.GetValue(), Message: resp})
				return resp, err
			})
			return err
		})
	})
}

// request runs one kind of request on Postgres from 16 clients.
func request(b *testing.B, do func(ctx context.Context, db *sqldb.DB, n int64) error) {
	b.Helper()
	db := testkit.PostgresOwned(b, sqldb.Options{})
	effects := fstest.MapFS{"00001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id TEXT PRIMARY KEY, request TEXT NOT NULL);")}}
	require.NoError(b, db.Migrate(b.Context(), effects))
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(b.Context(), db, n.Add(1)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
