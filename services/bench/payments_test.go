package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

const (
	// The PCNs of England, with the practices of each and the lines that each has in a month for itself: the practices have one each.
	// A year comes to 150,000 lines and 75,000 payments.
	englandPCNs, practicesEach, ownLines = 1_250, 5, 5
	// postingRatio is how much longer than bare inserts of the same rows it may take to post them.
	postingRatio = 4
	// postingHeap is by how many megabytes the live heap may grow while months are posted and exported.
	postingHeap = 64
	// copied is how many rows are read back at once, and takenTogether how many schedules the inbox takes in one transaction.
	copied, takenTogether = 10_000, 64
)

// firstPaid is the first month that is paid.
var firstPaid = period.NewMonth(2022, time.April)

// commissionersIn is how many commissioners there are in a month: CCGs until June 2022, integrated care boards after.
func commissionersIn(month period.Month) int {
	if month.Before(period.NewMonth(2022, time.July)) {
		return 106
	}
	return 42
}

// paying is payments as serve all runs it, on a store of its own and without a relay.
type paying struct {
	closers
	db       *sqldb.DB
	inbox    *inbox.Inbox
	client   paymentsv1.PaymentsServiceClient
	address  string
	issuer   *testkit.TokenSource
	sequence map[string]int
}

func newPaying(b *testing.B, store string) *paying {
	b.Helper()
	p := &paying{issuer: testkit.Tokens(b), sequence: make(map[string]int)}
	b.Cleanup(p.close)
	telling, shutdown, err := telemetry.OpenWith(b.Context(), telemetry.Options{
		Service: "bench", Output: io.Discard, Getenv: func(string) string { return "" },
	})
	require.NoError(b, err)
	p.add(func() { _ = shutdown(context.Background()) })
	server, err := rpc.NewServer(rpc.ServerOptions{
		Logger: telling.Logger, Verifier: p.issuer, Meter: telling.Meter, Tracer: telling.Tracer, Clock: time.Now,
	})
	require.NoError(b, err)
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	p.address = "passthrough:///" + listener.Addr().String()
	conn, err := rpc.Dial(p.address, rpc.DialOptions{Meter: telling.Meter, Tracer: telling.Tracer, Timeout: time.Minute})
	require.NoError(b, err)
	p.add(func() { _ = conn.Close() })
	p.client = paymentsv1.NewPaymentsServiceClient(conn)
	p.db = openDB(b, &p.closers, store, payments.Migrations())
	service := payments.New(payments.Deps{DB: p.db, Logger: telling.Logger, Meter: telling.Meter.Meter(payments.Name)})
	p.inbox = service.Inbox()
	service.Register(server)
	serve(server, listener, &p.closers)
	return p
}

func (p *paying) as(ctx context.Context, role func(...string) auth.Principal) context.Context {
	return p.issuer.Context(ctx, role(auth.England))
}

// schedules makes the events that close a month for all of England, by commissioner.
func (p *paying) schedules(b *testing.B, month period.Month) (codes []string, events []inbox.Delivery) {
	b.Helper()
	bodies := commissionersIn(month)
	lines := make([][]*typev1.PaymentLine, bodies)
	for pcn := range englandPCNs {
		lines[pcn%bodies] = append(lines[pcn%bodies], linesOf(pcn, month)...)
	}
	for body := range bodies {
		code := fmt.Sprintf("B%d%03d", bodies, body)
		codes = append(codes, code)
		slices.SortFunc(lines[body], func(x, y *typev1.PaymentLine) int { return strings.Compare(x.GetLineId(), y.GetLineId()) })
		events = append(events, p.event(b, code, month, lines[body]))
	}
	return codes, events
}

// linesOf are the lines of one PCN: its own, which go to its first practice, and one to each practice.
func linesOf(pcn int, month period.Month) []*typev1.PaymentLine {
	out := make([]*typev1.PaymentLine, 0, ownLines+practicesEach)
	for n := range ownLines + practicesEach {
		line := &typev1.PaymentLine{
			// Identifiers are hashes of what is paid, so that their order says nothing of their age.
			LineId:   fmt.Sprintf("%08x-%05d-%02d-%s", uint32(pcn*16+n)*2654435761+uint32(month.First().Time().Unix())*40503, pcn, n, month),
			ForMonth: month.String(), PaymentCode: fmt.Sprintf("STREAM_%d", n), PcnCode: fmt.Sprintf("U%05d", pcn), PcnName: fmt.Sprintf("PCN %d", pcn),
			LocationCode: fmt.Sprintf("L%03d", pcn%106), FundingSource: "DELEGATED", Instruction: typev1.Instruction_INSTRUCTION_PAY,
			AmountPence: int64(100_000 + 37*pcn + 1_013*n), Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
			Basis: &typev1.LineBasis{
				Factors: []*typev1.BasisFactor{{
					RateGbp: "1.50", Per: "registered_patient", Quantity: fmt.Sprint(40_000 + pcn), Unit: "patients", RateId: "rate-1", Source: "contract",
					Clause: "core PCN funding",
				}},
				Instalments: 12, Convention: "PCN_ANNUAL", Clause: "Network Contract DES",
			},
		}
		practice := 0
		if n >= ownLines {
			practice = n - ownLines
			line.PracticeCode, line.PaymentCode = fmt.Sprintf("A%05d%d", pcn, practice), "NPP"
		}
		line.Payee = &typev1.Payee{Code: fmt.Sprintf("A%05d%d", pcn, practice), Name: fmt.Sprintf("PRACTICE %d OF PCN %d", practice, pcn)}
		out = append(out, line)
	}
	return out
}

// event closes a month of one commissioner, as core announces it.
func (p *paying) event(b *testing.B, code string, month period.Month, lines []*typev1.PaymentLine) inbox.Delivery {
	b.Helper()
	pay, reconcile, err := schedule.Totals(lines)
	require.NoError(b, err)
	hash, err := schedule.Hash(lines)
	require.NoError(b, err)
	message := &corev1.ScheduleClosed{Part: 1, Parts: 1, Schedule: &typev1.PaymentSchedule{
		ScheduleId: fmt.Sprintf("core-%s-%s-1", code, month), Fund: typev1.Fund_FUND_CORE, CommissionerCode: code, CommissionerName: "BODY " + code,
		Month: month.String(), Sequence: 1, Lines: lines, LineCount: int32(len(lines)), PayTotalPence: int64(pay),
		ReconcileTotalPence: int64(reconcile), LinesSha256: hash,
	}}
	payload, err := proto.Marshal(message)
	require.NoError(b, err)
	p.sequence[code]++
	name := string(message.ProtoReflect().Descriptor().FullName())
	return inbox.Delivery{Subject: name + "." + code, Payload: payload, Header: map[string]string{
		outbox.HeaderID: fmt.Sprintf("%s-%s", code, month), outbox.HeaderSource: "/pcnfunding/core", outbox.HeaderType: name,
		outbox.HeaderSubject: "schedule/" + code, outbox.HeaderSequence: fmt.Sprint(p.sequence[code]), outbox.HeaderSpecVersion: "1.0",
		outbox.HeaderContentType: "application/protobuf", outbox.HeaderTime: month.Last().Time().Format(time.RFC3339Nano),
	}}
}

// month takes a month of England in, pays it and has it confirmed, and returns the seconds that took without the making of
// what comes from outside.
func (p *paying) month(b *testing.B, month period.Month, upTo phase) float64 {
	b.Helper()
	codes, events := p.schedules(b, month)
	took, err := seconds(func() error {
		for _, verdict := range p.inbox.Take(b.Context(), events) {
			if verdict != inbox.Settled {
				return fmt.Errorf("a schedule of %s was not taken in: %v", month, verdict)
			}
		}
		return each(b.Context(), codes, func(ctx context.Context, code string) error { return p.pay(ctx, code, month) })
	})
	require.NoError(b, err)
	if upTo != confirmed {
		return took
	}
	files := make(map[string][]byte, len(codes))
	for _, code := range codes {
		files[code] = p.confirmations(b, runID(code, month), month)
	}
	last, err := seconds(func() error {
		return each(b.Context(), codes, func(ctx context.Context, code string) error { return p.confirm(ctx, code, month, files[code]) })
	})
	require.NoError(b, err)
	return took + last
}

// phase is how far a month is carried.
type phase int

const (
	sent phase = iota
	confirmed
)

// each does some work for every commissioner.
func each(ctx context.Context, codes []string, do func(ctx context.Context, code string) error) error {
	for _, code := range codes {
		if err := do(ctx, code); err != nil {
			return fmt.Errorf("%s: %w", code, err)
		}
	}
	return nil
}

func runID(code string, month period.Month) string { return fmt.Sprintf("%s-%s-1", code, month) }

// pay puts a run forward, approves it and sends its payments.
func (p *paying) pay(ctx context.Context, code string, month period.Month) error {
	id := runID(code, month)
	preparer, approver := p.as(ctx, testkit.Preparer), p.as(ctx, testkit.Approver)
	run, err := p.client.GetRun(preparer, &paymentsv1.GetRunRequest{RunId: id})
	if err != nil {
		return err
	}
	if run, err = p.client.SubmitRun(preparer, &paymentsv1.SubmitRunRequest{RequestId: "submit " + id, RunId: id, Etag: run.GetEtag()}); err != nil {
		return err
	}
	if _, err = p.client.ApproveRun(approver, &paymentsv1.ApproveRunRequest{RequestId: "approve " + id, RunId: id, Etag: run.GetEtag()}); err != nil {
		return err
	}
	_, err = p.client.ExportRun(preparer, &paymentsv1.ExportRunRequest{
		RequestId: "export " + id, RunId: id, Format: paymentsv1.Format_FORMAT_PCSE_VARIATION, AccountingDate: month.Last().String(),
	})
	return err
}

// confirmations is the payer's file for a run.
func (p *paying) confirmations(b *testing.B, run string, month period.Month) []byte {
	b.Helper()
	var out bytes.Buffer
	out.WriteString("reference,status,payment_date,payment_reference,amount\n")
	sent, err := readTable(b.Context(), p.db, "payments", `SELECT payment_id, amount_pence FROM payments WHERE run_id = $1 ORDER BY payment_id`, run)
	require.NoError(b, err)
	for i, row := range sent.rows {
		pence, ok := row[1].(int64)
		require.True(b, ok)
		fmt.Fprintf(&out, "%s,PAID,%s,R%d,%s\n", row[0], month.Last(), i, money.Pence(pence).Plain())
	}
	return out.Bytes()
}

func (p *paying) confirm(ctx context.Context, code string, month period.Month, content []byte) error {
	stream, err := p.client.Import(p.as(ctx, testkit.Preparer))
	if err != nil {
		return err
	}
	err = stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Header{Header: &paymentsv1.ImportHeader{
		RequestId: "confirm " + runID(code, month), CommissionerCode: code, Kind: paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, FileName: "paid.csv",
	}}})
	if err == nil {
		err = stream.Send(&paymentsv1.ImportRequest{Part: &paymentsv1.ImportRequest_Chunk{Chunk: content}})
	}
	answer, closed := stream.CloseAndRecv()
	if closed != nil {
		return closed // tells why sending failed
	}
	if file := answer.GetFile(); file.GetRowsApplied() != file.GetRows() {
		return fmt.Errorf("%d of %d confirmations were applied", file.GetRowsApplied(), file.GetRows())
	}
	return err
}

// steps are the transactions that carry a run to its confirmation, with the tables that each writes to.
var steps = []struct {
	together int // runs in one transaction
	tables   []string
}{
	{takenTogether, []string{
		"inbox_seen", "inbox_sequence", "schedules", "lines", "items", "runs", "postings", "entries", "outbox", "outbox_sequence", "audit",
	}},
	{1, []string{"run_lines", "run_payees", "outbox", "audit", "idempotency"}},
	{1, []string{"approvals", "postings", "entries", "outbox", "outbox_sequence", "audit", "idempotency"}},
	{1, []string{"payments", "exports", "postings", "entries", "outbox", "audit", "idempotency"}},
	{1, []string{"imports", "imported_rows", "postings", "entries", "outbox", "outbox_sequence", "audit", "idempotency"}},
}

// keys are the primary keys of those tables.
var keys = map[string]string{
	"inbox_seen": "event", "inbox_sequence": "aggregate", "schedules": "schedule_id", "lines": "line_id", "items": "line_id", "runs": "run_id",
	"run_lines": "run_id, line_id", "run_payees": "run_id, payee_code", "approvals": "run_id, approved_by", "payments": "payment_id",
	"exports": "export_id", "imports": "import_id", "imported_rows": "import_id, line", "postings": "posting_id", "entries": "posting_id, number",
	"outbox": "position", "outbox_sequence": "aggregate", "audit": "id", "idempotency": "caller, method, request_id",
}

// bare inserts the rows that posting has left behind into tables that have nothing but a primary key, in as many transactions as it
// takes to post them run by run, and returns the seconds of that and the number of rows.
func (p *paying) bare(b *testing.B, store string, runs int) (took float64, rows int) {
	b.Helper()
	var empty closers
	defer empty.close()
	db := openDB(b, &empty, store, nil)
	cursors := make(map[string]*cursor, len(keys))
	for name, key := range keys {
		cursors[name] = p.open(b, name, key)
		rows += cursors[name].rows
		require.NoError(b, cursors[name].next.create(b.Context(), db, key))
	}
	for _, step := range steps {
		for range runs {
			for _, name := range step.tables {
				cursors[name].parts++
			}
		}
	}
	for _, step := range steps {
		for begun := 0; begun < runs; begun += step.together {
			var parts []table
			for _, name := range step.tables {
				parts = append(parts, cursors[name].take(b, min(step.together, runs-begun)))
			}
			inserted, err := seconds(func() error {
				return db.Write(b.Context(), func(tx *sqldb.Tx) error {
					for _, part := range parts {
						if err := part.insertIn(b.Context(), tx); err != nil {
							return err
						}
					}
					return nil
				})
			})
			require.NoError(b, err)
			took += inserted
		}
	}
	for name, c := range cursors {
		require.Zero(b, c.rows-c.taken, "rows of %s that were not inserted", name)
	}
	return took, rows
}

// cursor hands over the rows of a table in order of its key, in equal parts.
type cursor struct {
	p           *paying
	name, key   string
	rows, taken int
	parts, done int
	next        table // read and not handed over
}

func (p *paying) open(b *testing.B, name, key string) *cursor {
	b.Helper()
	c := &cursor{p: p, name: name, key: key}
	require.NoError(b, p.db.Read(b.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(b.Context(), `SELECT COUNT(*) FROM `+name).Scan(&c.rows)
	}))
	c.next = p.part(b, name, key, nil)
	return c
}

// take returns the rows of the next parts.
func (c *cursor) take(b *testing.B, parts int) table {
	b.Helper()
	c.done += parts
	out := table{name: "bare_" + c.name, columns: c.next.columns}
	for wanted := c.rows * c.done / c.parts; c.taken < wanted; {
		if len(c.next.rows) == 0 {
			c.next = c.p.part(b, c.name, c.key, c.next.after)
		}
		n := min(wanted-c.taken, len(c.next.rows))
		require.Positive(b, n, "rows of %s", c.name)
		out.rows, c.next.rows, c.taken = append(out.rows, c.next.rows[:n]...), c.next.rows[n:], c.taken+n
	}
	return out
}

// part reads the next rows of a table in order of its key.
func (p *paying) part(b *testing.B, name, key string, after []any) table {
	b.Helper()
	query := `SELECT * FROM ` + name
	if after != nil {
		query += ` WHERE (` + key + `) > (` + sqldb.Placeholders(1, len(after)) + `)`
	}
	part, err := readTable(b.Context(), p.db, name, fmt.Sprintf(`%s ORDER BY %s LIMIT %d`, query, key, copied), after...)
	require.NoError(b, err)
	if len(part.rows) > 0 {
		part.after = part.last(key)
	}
	return part
}

// last returns the key of the last row.
func (t table) last(key string) []any {
	var out []any
	for column := range strings.SplitSeq(key, ", ") {
		out = append(out, t.rows[len(t.rows)-1][slices.Index(t.columns, column)])
	}
	return out
}

// create makes a table like that of the rows, with a primary key and nothing else.
func (t table) create(ctx context.Context, db *sqldb.DB, key string) error {
	columns := make([]string, len(t.columns))
	for i, name := range t.columns {
		kind := "BIGINT" // also of a column that nothing is in yet
		for _, row := range t.rows {
			switch row[i].(type) {
			case string:
				kind = "TEXT"
			case []byte:
				kind = "BYTEA"
			case bool:
				kind = "BOOLEAN"
			}
		}
		columns[i] = name + " " + kind
	}
	_, err := db.Exec(ctx, fmt.Sprintf(`CREATE TABLE bare_%s (%s, PRIMARY KEY (%s))`, t.name, strings.Join(columns, ", "), key))
	return err
}

// BenchmarkPosting carries months of all England from the schedule to the confirmed payment, and compares that with bare inserts of
// every row it has left behind. A full run posts a year, a short one a month.
func BenchmarkPosting(b *testing.B) {
	all := make(map[string]*posting)
	for _, store := range stores() {
		all[store] = new(posting)
	}
	for range chosen.postings {
		for _, store := range stores() {
			all[store].round(b, store)
		}
	}
	b.ReportMetric(0, "ns/op")
	span := fmt.Sprintf("%d months of England, schedule to confirmation, on ", chosen.months)
	for _, store := range stores() {
		r := all[store]
		results.ratio(b, goal{id: "P14", work: span + store, unit: "s", at: postingRatio, note: r.note}, r.figures, r.bounds)
	}
	note := fmt.Sprintf("above the heap at rest; %d months", chosen.months)
	results.limit(b, goal{id: "P14", work: "live heap, posting and export", unit: "MB", at: postingHeap, note: note}, []float64{postingPeak(b)})
}

// postingPeak pays months of England and returns by how many megabytes the live heap grew at most.
func postingPeak(b *testing.B) float64 {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // the collector runs often enough to see the peak
	p := newPaying(b, onSQLite)
	defer p.close()
	debug.FreeOSMemory()
	rest := liveHeap()
	watching, stop := context.WithCancel(b.Context())
	peak := make(chan float64, 1)
	go func() { peak <- watchHeap(watching) }()
	for n := range chosen.months {
		p.month(b, firstPaid.Add(n), confirmed)
	}
	stop()
	return <-peak - rest
}

// posting is what the rounds of one store came to.
type posting struct {
	figures, bounds []float64
	note            string
}

func (r *posting) round(b *testing.B, store string) {
	b.Helper()
	p := newPaying(b, store)
	defer p.close()
	var took float64
	for n := range chosen.months {
		took += p.month(b, firstPaid.Add(n), confirmed)
	}
	runs := 0
	for n := range chosen.months {
		runs += commissionersIn(firstPaid.Add(n))
	}
	bound, rows := p.bare(b, store, runs)
	r.figures, r.bounds = append(r.figures, took), append(r.bounds, bound)
	r.note = fmt.Sprintf("%d lines in %d runs, %d rows: schedule, run, approval, file, confirmation",
		englandPCNs*(ownLines+practicesEach)*chosen.months, runs, rows)
}
