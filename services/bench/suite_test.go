package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/register"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// Names of the stores.
const (
	onSQLite   = "SQLite"
	onPostgres = "Postgres"
)

// stores are those that can be measured.
func stores() []string {
	if os.Getenv(testkit.PostgresVariable) == "" {
		return []string{onSQLite}
	}
	return []string{onSQLite, onPostgres}
}

// closers undo what was opened, last things first, once.
type closers []func()

func (c *closers) add(undo func()) { *c = append(*c, undo) }

func (c *closers) close() {
	for _, undo := range slices.Backward(*c) {
		undo()
	}
	*c = nil
}

var schemas atomic.Int64

// openDB opens a new database of a store. It goes with c, and at the latest with the benchmark.
func openDB(b *testing.B, c *closers, store string, migrations fs.FS) *sqldb.DB {
	b.Helper()
	return openAt(b, c, store, migrations, time.Now)
}

// openAt does so with a clock.
func openAt(b *testing.B, c *closers, store string, migrations fs.FS, clock func() time.Time) *sqldb.DB {
	b.Helper()
	options, address := sqldb.Options{Clock: clock}, "sqlite:"+filepath.Join(b.TempDir(), "bench.db")
	if store == onPostgres {
		options.Schema = fmt.Sprintf("bench_%d_%d", os.Getpid(), schemas.Add(1))
		address = os.Getenv(testkit.PostgresVariable)
		c.add(func() { dropSchema(b, options.Schema) })
	}
	db, err := sqldb.Open(b.Context(), address, options)
	require.NoError(b, err)
	c.add(func() { require.NoError(b, db.Close()) })
	require.NoError(b, db.Migrate(b.Context(), migrations))
	return db
}

func dropSchema(b *testing.B, schema string) {
	b.Helper()
	pool, err := sql.Open("pgx", os.Getenv(testkit.PostgresVariable))
	require.NoError(b, err)
	defer func() { _ = pool.Close() }()
	_, err = pool.ExecContext(context.Background(), "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
	require.NoError(b, err)
}

// suite is register, core and arrs as serve all runs them: one gRPC server on loopback with the full chain, and for each service a
// relay to an embedded broker.
type suite struct {
	closers
	store      string
	address    string
	registerDB *sqldb.DB
	coreDB     *sqldb.DB
	arrsDB     *sqldb.DB
	conn       *grpc.ClientConn
	register   registerv1.RegisterServiceClient
	core       corev1.CoreServiceClient
	arrs       arrsv1.ArrsServiceClient
	issuer     *testkit.TokenSource
	telling    *telemetry.Telemetry
}

// newSuite starts a suite on empty stores.
func newSuite(b *testing.B, store string) *suite {
	b.Helper()
	s := &suite{store: store, issuer: testkit.Tokens(b)}
	b.Cleanup(s.close)
	telling, shutdown, err := telemetry.OpenWith(b.Context(), telemetry.Options{
		Service: "bench", Output: io.Discard, Getenv: func(string) string { return "" },
	})
	require.NoError(b, err)
	s.telling = telling
	s.add(func() { _ = shutdown(context.Background()) })
	server, err := rpc.NewServer(rpc.ServerOptions{
		Logger: telling.Logger, Verifier: s.issuer, Meter: telling.Meter, Tracer: telling.Tracer, Clock: time.Now,
	})
	require.NoError(b, err)
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	s.address = "passthrough:///" + listener.Addr().String()
	s.conn, err = rpc.Dial(s.address, rpc.DialOptions{Meter: telling.Meter, Tracer: telling.Tracer, Timeout: time.Minute})
	require.NoError(b, err)
	s.add(func() { _ = s.conn.Close() })
	s.register, s.core, s.arrs = registerv1.NewRegisterServiceClient(s.conn), corev1.NewCoreServiceClient(s.conn), arrsv1.NewArrsServiceClient(s.conn)

	s.registerDB = openDB(b, &s.closers, store, register.Migrations())
	registering, err := register.New(b.Context(), register.Deps{DB: s.registerDB, Logger: telling.Logger})
	require.NoError(b, err)
	registering.Register(server)
	s.coreDB = openDB(b, &s.closers, store, core.Migrations())
	deciding, err := core.New(b.Context(), core.Deps{DB: s.coreDB, Register: s.register, Logger: telling.Logger})
	require.NoError(b, err)
	deciding.Register(server)
	s.arrsDB = openAt(b, &s.closers, store, arrs.Migrations(), func() time.Time { return claimDay })
	claiming, err := arrs.New(b.Context(), arrs.Deps{DB: s.arrsDB, Register: s.register, Logger: telling.Logger, PersonKey: bytes.Repeat([]byte{1}, 32)})
	require.NoError(b, err)
	claiming.Register(server)
	s.relay(b)
	serve(server, listener, &s.closers)
	return s
}

// serve serves until c is closed.
func serve(server *grpc.Server, listener net.Listener, c *closers) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends with the benchmark
	}()
	c.add(func() { server.Stop(); <-done })
}

// relay publishes the events of the services, as they would be beside the calls.
func (s *suite) relay(b *testing.B) {
	b.Helper()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: b.TempDir()})
	require.NoError(b, err)
	s.add(server.Stop)
	broker, err := bus.Open(b.Context(), bus.Config{Server: server})
	require.NoError(b, err)
	s.add(broker.Close)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	for name, db := range map[string]*sqldb.DB{register.Name: s.registerDB, core.Name: s.coreDB, arrs.Name: s.arrsDB} {
		require.NoError(b, broker.EnsureStream(ctx, bus.Stream{Name: "PCNFUNDING_" + name, Subjects: []string{"pcnfunding." + name + ".v1.>"}}))
		relay := outbox.NewRelay(db, broker, outbox.RelayOptions{Source: "/pcnfunding/" + name, Logger: s.telling.Logger})
		group.Go(func() error { return relay.Run(ctx) })
	}
	s.add(func() { cancel(); _ = group.Wait() })
}

// as returns a context for calls by a principal of all of England.
func (s *suite) as(ctx context.Context, role func(...string) auth.Principal) context.Context {
	return s.issuer.Context(ctx, role(auth.England))
}

// loadSample loads the sample.
func (s *suite) loadSample(b *testing.B) {
	b.Helper()
	ctx := s.issuer.Context(b.Context(), testkit.Operator())
	for _, file := range sample.Files() {
		content, err := file.Read()
		require.NoError(b, err)
		_, err = s.upload(ctx, content, &registerv1.ImportHeader{
			RequestId: file.Name, ExpectedKind: file.Kind, BadRows: registerv1.BadRows_STORE_NOTHING,
			Source: file.Source, FileName: file.Name, ExtractDate: file.ExtractDate,
		})
		require.NoError(b, err, file.Name)
	}
}

// upload sends a file as the command line does.
func (s *suite) upload(ctx context.Context, content []byte, header *registerv1.ImportHeader) (*registerv1.ImportResponse, error) {
	stream, err := s.register.Import(ctx)
	if err != nil {
		return nil, err
	}
	// A refusal shows as the end of the stream; CloseAndRecv then tells the cause.
	err = stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: header}})
	for part := range slices.Chunk(content, 512<<10) {
		if err == nil {
			err = stream.Send(&registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: part}})
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// england lists who owes money on the first of a month.
func (s *suite) england(b *testing.B, month string) []string {
	b.Helper()
	var codes []string
	req := &registerv1.ListCommissionersRequest{OnDate: month + "-01"}
	for {
		answer, err := s.register.ListCommissioners(s.as(b.Context(), testkit.Preparer), req)
		require.NoError(b, err)
		for _, c := range answer.GetCommissioners() {
			codes = append(codes, c.GetCommissionerCode())
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			slices.Sort(codes)
			return codes
		}
	}
}

// closeMonth closes a month for all of some commissioners, four at a time as the command line does.
func (s *suite) closeMonth(ctx context.Context, month string, codes []string) error {
	ctx = s.as(ctx, testkit.Preparer)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, code := range codes {
		group.Go(func() error {
			_, err := s.core.CloseMonth(ctx, &corev1.CloseMonthRequest{
				RequestId: month + "-" + code, CommissionerCode: code, Month: month, OmitLines: true,
			})
			if err != nil {
				return fmt.Errorf("close %s for %s: %w", month, code, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// unzip returns a file of the sample in plain text.
func unzip(b *testing.B, file sample.File) []byte {
	b.Helper()
	content, err := file.Read()
	require.NoError(b, err)
	reader, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(b, err)
	content, err = io.ReadAll(reader)
	require.NoError(b, err)
	return content
}

// table is rows of a table as they are stored.
type table struct {
	name    string
	columns []string
	rows    [][]any
	after   []any // key of the last row, where the rest is still to be read
}

// readTable reads the rows of a query back into memory.
func readTable(ctx context.Context, db *sqldb.DB, name, query string, args ...any) (table, error) {
	t := table{name: name}
	err := db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err := q.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		if t.columns, err = rows.Columns(); err != nil {
			return err
		}
		for rows.Next() {
			values := make([]any, len(t.columns))
			targets := make([]any, len(values))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				return err
			}
			t.rows = append(t.rows, values)
		}
		return rows.Err()
	})
	if err != nil {
		return t, fmt.Errorf("read %s back: %w", name, err)
	}
	return t, nil
}

// bytes is the size of the values.
func (t table) bytes() int {
	size := 0
	for _, row := range t.rows {
		for _, v := range row {
			switch v := v.(type) {
			case string:
				size += len(v)
			case []byte:
				size += len(v)
			default:
				size += 8
			}
		}
	}
	return size
}

// insert writes the rows in one transaction, as fast as the store takes them.
func (t table) insert(ctx context.Context, db *sqldb.DB) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error { return t.insertIn(ctx, tx) })
}

func (t table) insertIn(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.BulkInsert(ctx, t.name, t.columns, func(yield func([]any, error) bool) {
		for _, row := range t.rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	return err
}
