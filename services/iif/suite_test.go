package iif_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

// suite is iif over a database, with a clock of the test's.
type suite struct {
	iif     iifv1.IifServiceClient
	service *iif.Service
	db      *sqldb.DB
	clock   *testkit.Clock

	mu       sync.Mutex
	requests int
}

// stores opens a database of either kind.
var stores = map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres}

// each runs a test on both stores.
func each(t *testing.T, test func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(testkit.Start)
			test(t, newSuite(t, open(t, sqldb.Options{Clock: clock.Now}), clock))
		})
	}
}

func newSuite(t *testing.T, db *sqldb.DB, clock *testkit.Clock) *suite {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
	s := &suite{db: db, clock: clock}
	service, err := iif.New(t.Context(), iif.Deps{DB: db, Logger: testkit.Logger(t)})
	require.NoError(t, err)
	s.service = service
	s.iif = iifv1.NewIifServiceClient(testkit.Serve(t, service.Register))
	return s
}

// as makes calls in the name of someone, later than those before.
func (s *suite) as(t *testing.T, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

// next returns a request id that was not used before.
func (s *suite) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

func reason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

// published is an event as the outbox holds it.
type published struct {
	aggregate, subject string
	event              proto.Message
}

// published returns the events of the outbox, in order.
func (s *suite) published(t *testing.T) (out []published) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT aggregate, type, payload, subject FROM outbox ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var p published
			var name string
			var payload []byte
			if err := rows.Scan(&p.aggregate, &name, &payload, &p.subject); err != nil {
				return err
			}
			kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
			if err != nil {
				return err
			}
			p.event = kind.New().Interface()
			if err := proto.Unmarshal(payload, p.event); err != nil {
				return err
			}
			out = append(out, p)
		}
		return rows.Err()
	}))
	return out
}

// count returns how many rows a table holds, or those of a condition.
func (s *suite) count(t *testing.T, from string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+from, args...).Scan(&n)
	}))
	return n
}
