package payments_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// step is one thing done in a month, in a way that can be done again under the same request id.
type step struct {
	name string
	do   func(ctx context.Context) error
}

// month is a course of steps from two schedules to a payment that is issued again. Their etags are those of an undisturbed course.
func month(t *testing.T, s *suite) []step {
	t.Helper()
	april := closed(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 900), pay("P3", -400), pay("", 5))
	may := closed(t, "15N", "2022-05", 1, pay("P1", -2500), pay("P2", 100), pay("P3", 1000))
	var events []inbox.Delivery
	for _, part := range append(parts(april, 1), parts(may, 1)...) {
		events = append(events, s.delivery(t, "15N", part))
	}
	var steps []step
	add := func(name string, do func(ctx context.Context) error) { steps = append(steps, step{name, do}) }
	add("take", func(ctx context.Context) error {
		for _, verdict := range s.service.Inbox().Take(s.within(ctx), events) {
			if verdict != inbox.Settled {
				return status.Error(codes.Unavailable, "again")
			}
		}
		return nil
	})
	pays := func(id string) {
		add("submit "+id, func(ctx context.Context) error {
			_, err := s.payments.SubmitRun(testkit.As(ctx, person("maker")), &paymentsv1.SubmitRunRequest{RequestId: "s" + id, RunId: id, Etag: "1"})
			return err
		})
		add("approve "+id, func(ctx context.Context) error {
			_, err := s.payments.ApproveRun(testkit.As(ctx, person("ann")), &paymentsv1.ApproveRunRequest{RequestId: "a" + id, RunId: id, Etag: "2"})
			return err
		})
	}
	hold := func(payee string) {
		add("hold "+payee, func(ctx context.Context) error {
			_, err := s.payments.PlaceHold(testkit.As(ctx, person("maker")), &paymentsv1.PlaceHoldRequest{RequestId: "h" + payee, CommissionerCode: "15N", PayeeCode: payee, Reason: "doubt"})
			return err
		})
	}
	export := func(id string) {
		add("export "+id, func(ctx context.Context) error {
			_, err := s.payments.ExportRun(testkit.As(ctx, person("maker")), &paymentsv1.ExportRunRequest{RequestId: "e" + id, RunId: id, Format: variation})
			return err
		})
	}
	pays("15N-2022-04-1")
	export("15N-2022-04-1")
	add("confirm", func(ctx context.Context) error {
		_, err := s.confirm(ctx, "c1", "15N", confirmations([3]string{"15N-2022-04-1-P1", "REJECTED", "100.00"}, [3]string{"15N-2022-04-1-P2", "PAID", "9.00"}))
		return err
	})
	add("reissue", func(ctx context.Context) error {
		_, err := s.payments.ReissuePayment(testkit.As(ctx, person("maker")), &paymentsv1.ReissuePaymentRequest{
			RequestId: "i1", PaymentId: "15N-2022-04-1-P1", Etag: "2", Reason: "new account",
		})
		return err
	})
	pays("15N-2022-05-1")
	hold("P2")
	export("15N-2022-05-1")
	s.heirs.record("15N", "QJK", "2022-07-01")
	var proposed *paymentsv1.Move
	add("propose", func(ctx context.Context) (err error) {
		proposed, err = s.payments.ProposeMove(testkit.As(ctx, person("ann")), &paymentsv1.ProposeMoveRequest{
			RequestId: "p", FromCommissionerCode: "15N", ToCommissionerCode: "QJK", Reason: "abolished",
		})
		return err
	})
	add("move", func(ctx context.Context) error {
		_, err := s.payments.ConfirmMove(testkit.As(ctx, person("bob")), &paymentsv1.ConfirmMoveRequest{
			RequestId: "m", MoveId: proposed.GetMoveId(), Etag: proposed.GetEtag(),
		})
		return err
	})
	return steps
}

// outcome is what a course has brought about, without the identifiers that chance has made.
func (s *suite) outcome(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, query := range []string{
		`SELECT line_id, commissioner_code, state, run_id, payment_id FROM items`,
		`SELECT run_id, state, version, totals, submitted_by, lines_sha256, ended_by, end_reason, replaced_by, export_id FROM runs`,
		`SELECT payment_id, commissioner_code, amount_pence, state, version, confirmed_on FROM payments`,
		`SELECT commissioner_code, kind, effective_date, source, recorded_by, entry_count, reverses = '' FROM postings WHERE source NOT LIKE 'move/%'`,
		`SELECT number, commissioner_code, fund, payee_code, stage, amount_pence, line_id, effective_date FROM entries`,
		`SELECT run_id, approved_by FROM approvals`, `SELECT * FROM run_lines`, `SELECT * FROM run_payees`, `SELECT export_id, sha256, content FROM exports`,
		`SELECT commissioner_code, payee_code, line_id, reason_code, version FROM holds`, `SELECT rows_read, rows_applied FROM imports`,
		`SELECT line, outcome, payment_id FROM imported_rows`, `SELECT from_code, to_code FROM moves`, `SELECT schedule_id FROM schedules`,
		`SELECT schedule_id FROM schedule_parts`, `SELECT type, aggregate_sequence FROM outbox WHERE aggregate NOT LIKE '%/%-%-%-%-%'`,
		`SELECT COUNT(*), type FROM outbox GROUP BY type`, `SELECT actor, method, commissioner, COUNT(*) FROM audit GROUP BY actor, method, commissioner`,
		`SELECT caller, method, request_id FROM idempotency`, `SELECT COUNT(*) FROM inbox_seen`, `SELECT COUNT(*) FROM inbox_held`,
	} {
		rows := s.rows(t, query)
		slices.Sort(rows)
		out = append(append(out, query), rows...)
	}
	return out
}

// undisturbed plays a month through.
func undisturbed(t *testing.T, s *suite) []string {
	t.Helper()
	for _, step := range month(t, s) {
		require.NoError(t, step.do(t.Context()), step.name)
	}
	s.books(t).hold(t)
	return s.outcome(t)
}

// disturbed plays a month through with each step cut short, by arm, at an early moment, then stride later, and so on until one
// try comes through. What a try leaves is nothing, or all of it; the end is that of an undisturbed month.
func disturbed(t *testing.T, s *suite, stride int, arm func(n int) (disarm func())) {
	t.Helper()
	want := undisturbed(t, openSuite(t, stores[s.db.Dialect().String()]))
	total := 0
	for _, step := range month(t, s) {
		before := s.dump(t)
		var after map[string][]string
		for n := 2; ; n += stride {
			require.Less(t, n, 2000, step.name)
			disarm := arm(n)
			err := step.do(t.Context())
			disarm()
			if err == nil {
				break
			}
			total++
			require.Contains(t, []codes.Code{codes.Canceled, codes.Unavailable}, status.Code(err), "%s, cut at %d: %v", step.name, n, err)
			left := s.dump(t)
			if after == nil && same(before, left) {
				continue
			}
			// It was cut after its commit, or in the course of several: what stands stays, and the books hold.
			if step.name != "take" && after != nil {
				require.Equal(t, after, left, "%s, cut at %d", step.name, n)
			}
			after = left
			s.books(t).hold(t)
		}
	}
	require.Greater(t, total, 30, "steps were cut")
	t.Logf("cut %d times", total)
	require.Equal(t, want, s.outcome(t))
}

// patience returns how many moments to leave out between two cuts; RAPID_CHECKS, which asks for more checks, has none left out.
func patience(stride int) int {
	if os.Getenv("RAPID_CHECKS") != "" {
		return 1
	}
	return stride
}

func same(a, b map[string][]string) bool {
	for _, table := range tables {
		if !slices.Equal(a[table], b[table]) {
			return false
		}
	}
	return true
}

// fuse is a context that ends when it is looked at for the n-th time: once or more for each statement.
type fuse struct {
	context.Context //nolint:containedctx // it is one

	left  *atomic.Int64
	blown chan struct{}
}

func (f fuse) Done() <-chan struct{} {
	if f.left.Add(-1) == 0 {
		close(f.blown)
	}
	return f.blown
}

func (f fuse) Err() error {
	select {
	case <-f.blown:
		return context.Canceled
	default:
		return f.Context.Err()
	}
}

func TestMonth_SurvivesTheEndOfItsContextAtEveryStatement(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		// A statement looks at its context several times, and each try on Postgres costs a connection.
		disturbed(t, s, patience(map[sqldb.Dialect]int{sqldb.SQLite: 37, sqldb.Postgres: 53}[s.db.Dialect()]), func(n int) func() {
			left, blown := new(atomic.Int64), make(chan struct{})
			left.Store(int64(n))
			s.change.Store(new(func(ctx context.Context) context.Context { return fuse{ctx, left, blown} }))
			return func() { s.change.Store(nil) }
		})
	})
}

// cable is a connection to Postgres that is cut when the client has spoken so many times: before the server hears it, or after, so
// that the client does not learn what came of it.
type cable struct {
	net.Listener

	to   string
	left atomic.Int64
	late atomic.Bool
	mu   sync.Mutex
	ends []net.Conn
}

func layCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{Listener: listener, to: to}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut()
		wg.Wait()
	})
	return c
}

// carry passes on what both sides say.
func (c *cable) carry(client net.Conn) {
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", c.to)
	if err != nil {
		_ = client.Close()
		return
	}
	c.mu.Lock()
	c.ends = append(c.ends, client, server)
	c.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		last := c.left.Add(-1) == 0
		if last && c.late.Load() {
			_ = client.Close()
		}
		if last && !c.late.Load() {
			break
		}
		if _, err := server.Write(buffer[:n]); err != nil || last {
			// The server is given the time to hear it: it ends by itself once it finds nobody there.
			break
		}
	}
	_ = client.Close()
	if tcp, ok := server.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	wg.Wait()
	_ = server.Close()
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		_ = end.Close()
	}
	c.ends = nil
}

func TestMonth_SurvivesTheLossOfItsConnectionAtEveryStatement(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"before it is heard": false, "after it is heard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := fmt.Sprintf("cable_%t_%d", late, os.Getpid())
			clock := testkit.NewClock(testkit.Start)
			direct := testkit.Postgres(t, sqldb.Options{Schema: schema, Clock: clock.Now})
			address, err := url.Parse(os.Getenv(testkit.PostgresVariable))
			require.NoError(t, err)
			c := layCable(t, address.Host)
			address.Host = c.Addr().String()
			db, err := sqldb.Open(t.Context(), address.String(), sqldb.Options{Schema: schema, Clock: clock.Now, AllowUnsafe: true, MaxConns: 1})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			require.NoError(t, direct.Migrate(t.Context(), payments.Migrations()))
			s := newSuite(t, db, clock)
			s.db = direct
			s.blunt.Store(true)
			c.late.Store(late)
			disturbed(t, s, patience(6), func(n int) func() {
				c.left.Store(int64(n))
				return func() { c.left.Store(0) }
			})
		})
	}
}
